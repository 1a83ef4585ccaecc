/* suppressions.yaml: who is left alone. */
#include <string.h>

#include "model/catalogue_reading.h"

struct suppressions_file {
    const struct cvm_yaml_node *suppressions;
};
static const struct cvm_schema_field file_fields[] = {
    CVM_KEY(struct suppressions_file, "suppressions", suppressions, CVM_SCHEMA_NODE,
            .required = true),
    {.key = NULL},
};
static const struct cvm_schema file_schema = {"suppressions.yaml", file_fields};

struct suppression_item {
    const char *name;
    const char *display_name;
    const char *when;
    struct cvm_schema_texts withholds;
    bool without_contact;
};
static const struct cvm_schema_field suppression_fields[] = {
    CVM_KEY(struct suppression_item, "suppression", name, CVM_SCHEMA_NAME, .required = true),
    CVM_KEY(struct suppression_item, "display_name", display_name, CVM_SCHEMA_TEXT),
    CVM_KEY(struct suppression_item, "when", when, CVM_SCHEMA_TEXT, .required = true),
    CVM_KEY(struct suppression_item, "withholds", withholds, CVM_SCHEMA_TEXTS, .required = true),
    CVM_KEY(struct suppression_item, "without_contact", without_contact, CVM_SCHEMA_BOOL),
    {.key = NULL},
};
static const struct cvm_schema suppression_schema = {"a suppression", suppression_fields};

static enum cvm_status read_purposes(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                     const struct cvm_schema_texts *texts, unsigned *out_purposes)
{
    unsigned purposes = 0;
    for (size_t i = 0; i < texts->count; i++) {
        struct cvm_suggestion nearest = {.typed = texts->items[i]};
        int purpose = 0;
        while (purpose < CVM_PURPOSE_COUNT &&
               strcmp(cvm_purpose_words[purpose], texts->items[i]) != 0) {
            cvm_suggestion_try(&nearest, cvm_purpose_words[purpose]);
            purpose++;
        }
        if (purpose == CVM_PURPOSE_COUNT) {
            return cvm_reading_fail_unknown(reading, node, "purpose", &nearest);
        }
        purposes |= 1u << purpose;
    }
    if (purposes == 0) {
        return cvm_schema_fail(node, reading->err, "a suppression withholds at least one purpose");
    }
    *out_purposes = purposes;
    return CVM_OK;
}

static enum cvm_status read_suppression(struct cvm_reading *reading,
                                        const struct cvm_yaml_node *node)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct suppression_item item = {0};
    enum cvm_status status =
        cvm_schema_read(reading->arena, &suppression_schema, node, &item, reading->err);
    if (status != CVM_OK) {
        return status;
    }
    for (size_t i = 0; i < catalogue->suppression_count; i++) {
        if (strcmp(catalogue->suppressions[i].name, item.name) == 0) {
            return cvm_schema_fail(node, reading->err, "suppression '%s' is defined twice",
                                   item.name);
        }
    }
    struct cvm_suppression suppression = {
        .name = item.name,
        .display_name = item.display_name == NULL ? item.name : item.display_name,
        .covers_no_contact = item.without_contact,
    };
    status = read_purposes(reading, cvm_yaml_member(node, "withholds"), &item.withholds,
                           &suppression.purposes);
    if (status == CVM_OK) {
        status = cvm_reading_rule(reading, node, "when", item.when, &suppression.when);
    }
    if (status == CVM_OK && suppression.when.clause_count == 0) {
        status = cvm_schema_fail(cvm_yaml_member(node, "when"), reading->err,
                                 "an empty rule would suppress everybody");
    }
    if (status == CVM_OK) {
        catalogue->suppressions[catalogue->suppression_count++] = suppression;
    }
    return status;
}

enum cvm_status cvm_read_suppressions(struct cvm_reading *reading, const struct cvm_yaml_node *root)
{
    struct suppressions_file file = {0};
    enum cvm_status status =
        cvm_schema_read(reading->arena, &file_schema, root, &file, reading->err);
    if (status == CVM_OK) {
        status = cvm_reading_check_list(reading, file.suppressions, CVM_SUPPRESSIONS_MAX,
                                        "suppressions");
    }
    for (const struct cvm_yaml_node *n = status == CVM_OK ? file.suppressions->first_child : NULL;
         n != NULL && status == CVM_OK; n = n->next) {
        status = read_suppression(reading, n);
    }
    return status;
}
