/* release.yaml: what a plan may differ from the one before it. */
#include "model/catalogue_reading.h"

#define DECISIONS_MAX 1e12
#define CHANGE_MAX    1000

static const struct cvm_schema_field release_fields[] = {
    CVM_KEY(struct cvm_release_rules, "least_decisions", least_decisions, CVM_SCHEMA_INT, .min = 0,
            .max = DECISIONS_MAX),
    CVM_KEY(struct cvm_release_rules, "volume_change", volume_change, CVM_SCHEMA_NUMBER, .min = 0,
            .max = CHANGE_MAX),
    CVM_KEY(struct cvm_release_rules, "spend_change", spend_change, CVM_SCHEMA_NUMBER, .min = 0,
            .max = CHANGE_MAX),
    CVM_KEY(struct cvm_release_rules, "treatment_change", treatment_change, CVM_SCHEMA_NUMBER,
            .min = 0, .max = 1),
    CVM_KEY(struct cvm_release_rules, "opt_out_rate", opt_out_rate, CVM_SCHEMA_NUMBER, .min = 0,
            .max = 1),
    CVM_KEY(struct cvm_release_rules, "source_shrink", source_shrink, CVM_SCHEMA_NUMBER, .min = 0,
            .max = 1),
    CVM_KEY(struct cvm_release_rules, "hold_stale", hold_stale, CVM_SCHEMA_BOOL),
    {.key = NULL},
};
static const struct cvm_schema release_schema = {"release.yaml", release_fields};

enum cvm_status cvm_read_release(struct cvm_reading *reading, const struct cvm_yaml_node *root)
{
    return cvm_schema_read(reading->arena, &release_schema, root, &reading->catalogue->release,
                           reading->err);
}
