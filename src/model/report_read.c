/* report.yaml: what a report compares. */
#include "model/catalogue_reading.h"

struct report_file {
    struct cvm_schema_texts groups;
};
static const struct cvm_schema_field report_fields[] = {
    CVM_KEY(struct report_file, "groups", groups, CVM_SCHEMA_TEXTS),
    {.key = NULL},
};
static const struct cvm_schema report_schema = {"report.yaml", report_fields};

/* A group is a value of the feature, so it has to have few of them. */
static enum cvm_status add_group(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                 const char *name)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    int index = CVM_INDEX_NONE;
    enum cvm_status status = cvm_reading_feature(reading, node, name, &index);
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_feature *feature = &catalogue->features[index];
    if (feature->words == NULL && feature->type != CVM_RULE_BOOL) {
        return cvm_schema_fail(node, reading->err,
                               "feature '%s' is a number; groups need words, or yes and no", name);
    }
    for (size_t i = 0; i < catalogue->report_group_count; i++) {
        if (catalogue->report_groups[i] == index) {
            return cvm_schema_fail(node, reading->err, "feature '%s' is named twice", name);
        }
    }
    catalogue->report_groups[catalogue->report_group_count++] = index;
    return CVM_OK;
}

enum cvm_status cvm_read_report(struct cvm_reading *reading, const struct cvm_yaml_node *root)
{
    struct report_file file = {.groups.count = 0};
    enum cvm_status status =
        cvm_schema_read(reading->arena, &report_schema, root, &file, reading->err);
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_yaml_node *list = cvm_yaml_member(root, "groups");
    if (file.groups.count > CVM_REPORT_GROUPS_MAX) {
        return cvm_schema_fail(list, reading->err, "at most %d features make groups",
                               CVM_REPORT_GROUPS_MAX);
    }
    for (size_t i = 0; status == CVM_OK && i < file.groups.count; i++) {
        status = add_group(reading, list, file.groups.items[i]);
    }
    return status;
}
