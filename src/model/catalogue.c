#include "model/catalogue.h"

#include <string.h>

const char *const cvm_treatment_class_words[] = {"mandatory", "service", "retention", "sales",
                                                 NULL};
const char *const cvm_constraint_kind_words[] = {"capacity", "resource", "budget", NULL};
const char *const cvm_measure_words[] = {"marginal", "incentive", "both", NULL};
const char *const cvm_period_words[] = {"run", "day", "week", "month", NULL};

/* At most a few hundred of anything: walking them is fast enough for what is done by name. */
#define FIND(array, count, member, wanted)                                                         \
    do {                                                                                           \
        for (size_t i_ = 0; i_ < (count); i_++) {                                                  \
            if (strcmp((array)[i_].member, (wanted)) == 0) {                                       \
                return (int)i_;                                                                    \
            }                                                                                      \
        }                                                                                          \
        return CVM_INDEX_NONE;                                                                     \
    } while (0)

int cvm_catalogue_source(const struct cvm_catalogue *catalogue, const char *name)
{
    FIND(catalogue->sources, catalogue->source_count, name, name);
}

int cvm_catalogue_attribute(const struct cvm_catalogue *catalogue, const char *name)
{
    FIND(catalogue->attributes, catalogue->attribute_count, name, name);
}

int cvm_catalogue_feature(const struct cvm_catalogue *catalogue, const char *name)
{
    FIND(catalogue->features, catalogue->feature_count, name, name);
}

int cvm_catalogue_trigger(const struct cvm_catalogue *catalogue, const char *name)
{
    FIND(catalogue->triggers, catalogue->trigger_count, name, name);
}

int cvm_catalogue_treatment(const struct cvm_catalogue *catalogue, const char *id)
{
    FIND(catalogue->treatments, catalogue->treatment_count, id, id);
}

int cvm_catalogue_constraint(const struct cvm_catalogue *catalogue, const char *id)
{
    FIND(catalogue->constraints, catalogue->constraint_count, id, id);
}

void cvm_constraint_write_amount(const struct cvm_constraint *constraint, int64_t amount,
                                 struct cvm_json_writer *json)
{
    switch (constraint->kind) {
    case CVM_CONSTRAINT_BUDGET:
        cvm_json_micro(json, amount);
        break;
    case CVM_CONSTRAINT_RESOURCE:
        cvm_json_double(json, (double)amount / 1000);
        break;
    case CVM_CONSTRAINT_CAPACITY:
        cvm_json_int(json, amount);
        break;
    }
}
