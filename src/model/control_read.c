/* control.yaml: the universal control group, and the holdouts per action. */
#include <string.h>

#include "model/catalogue_reading.h"

#define SHARE_MAX  0.5
#define STRATA_MAX 4096 /* values of all strata features together, times segments */

struct control_file {
    const struct cvm_yaml_node *universal;
    const struct cvm_yaml_node *holdouts;
};
static const struct cvm_schema_field control_fields[] = {
    CVM_KEY(struct control_file, "universal", universal, CVM_SCHEMA_NODE),
    CVM_KEY(struct control_file, "holdouts", holdouts, CVM_SCHEMA_NODE),
    {.key = NULL},
};
static const struct cvm_schema control_schema = {"control.yaml", control_fields};

struct universal_item {
    double share;
    struct cvm_schema_texts strata;
    int64_t least_customers;
};
static const struct cvm_schema_field universal_fields[] = {
    CVM_KEY(struct universal_item, "share", share, CVM_SCHEMA_NUMBER, .required = true, .min = 0,
            .max = SHARE_MAX),
    CVM_KEY(struct universal_item, "strata", strata, CVM_SCHEMA_TEXTS),
    CVM_KEY(struct universal_item, "least_customers", least_customers, CVM_SCHEMA_INT, .min = 0,
            .max = 1e12),
    {.key = NULL},
};
static const struct cvm_schema universal_schema = {"the universal control group", universal_fields};

/* ---- strata ---- */

/* A stratum is a value of each feature, so each feature has to have few of them: words, or yes and
 * no; and missing. */
static enum cvm_status add_stratum(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                   const char *name, size_t *strata)
{
    struct cvm_control *control = &reading->catalogue->control;
    int index = CVM_INDEX_NONE;
    enum cvm_status status = cvm_reading_feature(reading, node, name, &index);
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_feature *feature = &reading->catalogue->features[index];
    size_t values = 2;
    if (feature->words != NULL) {
        for (values = 0; feature->words[values] != NULL; values++) {
        }
    } else if (feature->type != CVM_RULE_BOOL) {
        return cvm_schema_fail(node, reading->err,
                               "feature '%s' is a number; a stratum needs words, or yes and no",
                               name);
    }
    *strata *= values + 1;
    if (*strata > STRATA_MAX) {
        return cvm_schema_fail(node, reading->err, "more than %d strata", STRATA_MAX);
    }
    control->strata[control->strata_count++] = index;
    return CVM_OK;
}

static enum cvm_status read_universal(struct cvm_reading *reading, const struct cvm_yaml_node *node)
{
    struct cvm_control *control = &reading->catalogue->control;
    struct universal_item item = {.least_customers = control->least_customers};
    size_t strata = reading->catalogue->segment_count;
    enum cvm_status status =
        cvm_schema_read(reading->arena, &universal_schema, node, &item, reading->err);
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_yaml_node *list = cvm_yaml_member(node, "strata");
    if (item.strata.count > CVM_STRATA_FEATURES_MAX) {
        return cvm_schema_fail(list, reading->err, "at most %d features make strata",
                               CVM_STRATA_FEATURES_MAX);
    }
    for (size_t i = 0; status == CVM_OK && i < item.strata.count; i++) {
        status = add_stratum(reading, list, item.strata.items[i], &strata);
    }
    control->universal_share = item.share;
    control->least_customers = item.least_customers;
    return status;
}

/* ---- holdouts ---- */

/* What the law or the contract demands is withheld from nobody. */
static enum cvm_status hold_out_action(struct cvm_reading *reading,
                                       const struct cvm_yaml_node *node, double share)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_suggestion nearest = {.typed = node->key};
    bool is_known = false;
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        const struct cvm_treatment *treatment = &catalogue->treatments[t];
        cvm_suggestion_try(&nearest, treatment->action);
        if (strcmp(treatment->action, node->key) != 0) {
            continue;
        }
        if (treatment->class == CVM_CLASS_MANDATORY) {
            return cvm_schema_fail(node, reading->err,
                                   "treatment '%s' of this action is mandatory and can not be "
                                   "withheld",
                                   treatment->id);
        }
        is_known = true;
        catalogue->control.holdout[t] = share;
    }
    return is_known ? CVM_OK : cvm_reading_fail_unknown(reading, node, "action", &nearest);
}

/* The default is of actions that are marketing, in one of their treatments at least. */
static void hold_out_marketing(struct cvm_catalogue *catalogue, double share)
{
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        bool is_marketing = false;
        bool is_mandatory = false;
        for (size_t o = 0; o < catalogue->treatment_count; o++) {
            const struct cvm_treatment *other = &catalogue->treatments[o];
            if (strcmp(other->action, catalogue->treatments[t].action) == 0) {
                is_marketing |= other->purpose == CVM_PURPOSE_MARKETING;
                is_mandatory |= other->class == CVM_CLASS_MANDATORY;
            }
        }
        catalogue->control.holdout[t] = is_marketing && !is_mandatory ? share : 0;
    }
}

static enum cvm_status read_holdouts(struct cvm_reading *reading, const struct cvm_yaml_node *map)
{
    enum cvm_status status =
        cvm_reading_check_map(reading, map, CVM_TREATMENTS_MAX + 1, "holdouts");
    for (int pass = 0; pass < 2; pass++) { /* the default first, wherever it stands */
        const struct cvm_yaml_node *node = map->first_child;
        for (; status == CVM_OK && node != NULL; node = node->next) {
            double share = 0;
            bool is_default = strcmp(node->key, "default") == 0;
            status = cvm_schema_number(node, 0, SHARE_MAX, &share, reading->err);
            if (status == CVM_OK && is_default && pass == 0) {
                hold_out_marketing(reading->catalogue, share);
            } else if (status == CVM_OK && !is_default && pass == 1) {
                status = hold_out_action(reading, node, share);
            }
        }
    }
    return status;
}

enum cvm_status cvm_read_control(struct cvm_reading *reading, const struct cvm_yaml_node *root)
{
    struct control_file file = {0};
    reading->catalogue->control.least_customers = 1000;
    enum cvm_status status =
        cvm_schema_read(reading->arena, &control_schema, root, &file, reading->err);
    if (status == CVM_OK && file.universal != NULL) {
        status = read_universal(reading, file.universal);
    }
    if (status == CVM_OK && file.holdouts != NULL) {
        status = read_holdouts(reading, file.holdouts);
    }
    return status;
}
