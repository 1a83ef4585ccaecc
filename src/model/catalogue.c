#include "model/catalogue.h"

#include <string.h>

#include "model/money.h"

const char *const cvm_treatment_class_words[] = {"mandatory", "service", "retention", "sales",
                                                 NULL};
const char *const cvm_constraint_kind_words[] = {"capacity",    "resource",    "budget",
                                                 "segment_max", "segment_min", "share_min",
                                                 "share_max",   "reserve",     NULL};
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

int cvm_catalogue_segment(const struct cvm_catalogue *catalogue, const char *name)
{
    FIND(catalogue->segments, catalogue->segment_count, name, name);
}

int cvm_catalogue_reach_days(const struct cvm_catalogue *catalogue, size_t source, int *out_feature)
{
    int reach = 0;
    int furthest = CVM_INDEX_NONE;
    for (size_t f = 0; f < catalogue->feature_count; f++) {
        const struct cvm_feature *feature = &catalogue->features[f];
        int days = feature->window_days > 0 ? feature->window_days : catalogue->history_days;
        if ((feature->sources >> source & 1) != 0 && days > reach) {
            reach = days;
            furthest = (int)f;
        }
    }
    if (out_feature != NULL) {
        *out_feature = furthest;
    }
    return reach;
}

int cvm_catalogue_capacity(const struct cvm_catalogue *catalogue, size_t treatment)
{
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        const struct cvm_constraint *constraint = &catalogue->constraints[c];
        if (constraint->kind == CVM_CONSTRAINT_CAPACITY &&
            constraint->treatments == UINT64_C(1) << treatment) {
            return (int)c;
        }
    }
    return CVM_INDEX_NONE;
}

int64_t cvm_constraint_scale(const struct cvm_constraint *constraint)
{
    switch (constraint->kind) {
    case CVM_CONSTRAINT_BUDGET:
        return CVM_MICRO_PER_UNIT;
    case CVM_CONSTRAINT_RESOURCE:
        return 1000;
    case CVM_CONSTRAINT_SHARE_MIN:
    case CVM_CONSTRAINT_SHARE_MAX:
        return CVM_SHARE_SCALE;
    case CVM_CONSTRAINT_CAPACITY:
    case CVM_CONSTRAINT_SEGMENT_MAX:
    case CVM_CONSTRAINT_SEGMENT_MIN:
    case CVM_CONSTRAINT_RESERVE:
        break;
    }
    return 1;
}

void cvm_constraint_write_amount(const struct cvm_constraint *constraint, int64_t amount,
                                 struct cvm_json_writer *json)
{
    int64_t scale = cvm_constraint_scale(constraint);
    if (constraint->kind == CVM_CONSTRAINT_BUDGET) {
        cvm_json_micro(json, amount);
    } else if (scale == 1) {
        cvm_json_int(json, amount);
    } else {
        cvm_json_double(json, (double)amount / (double)scale);
    }
}
