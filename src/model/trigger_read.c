/* triggers/NAME.yaml: whom to look for. */
#include <string.h>

#include "model/catalogue_reading.h"

struct trigger_item {
    const char *name;
    const char *display_name;
    const char *description;
    bool enabled;
    bool custom;
    const char *when;
    const char *created_at;
};
static const struct cvm_schema_field trigger_fields[] = {
    CVM_KEY(struct trigger_item, "trigger", name, CVM_SCHEMA_NAME, .required = true),
    CVM_KEY(struct trigger_item, "display_name", display_name, CVM_SCHEMA_TEXT),
    CVM_KEY(struct trigger_item, "description", description, CVM_SCHEMA_TEXT, .required = true),
    CVM_KEY(struct trigger_item, "enabled", enabled, CVM_SCHEMA_BOOL),
    CVM_KEY(struct trigger_item, "custom", custom, CVM_SCHEMA_BOOL),
    CVM_KEY(struct trigger_item, "when", when, CVM_SCHEMA_TEXT, .required = true),
    CVM_KEY(struct trigger_item, "created_at", created_at, CVM_SCHEMA_TEXT),
    {.key = NULL},
};
static const struct cvm_schema trigger_schema = {"a trigger", trigger_fields};

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

static enum cvm_status check_trigger(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                     const struct trigger_item *item, const char *name)
{
    if (strcmp(item->name, name) != 0) {
        return cvm_schema_fail(cvm_yaml_member(root, "trigger"), reading->err,
                               "trigger '%s' stands in the file of '%s'", item->name, name);
    }
    if (is_blank(item->description)) {
        return cvm_schema_fail(cvm_yaml_member(root, "description"), reading->err,
                               "it says for people whom the trigger looks for, and is empty");
    }
    if (is_blank(item->when)) {
        return cvm_schema_fail(cvm_yaml_member(root, "when"), reading->err, "a rule is needed");
    }
    return CVM_OK;
}

enum cvm_status cvm_read_trigger(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                 const char *name, const char *file)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct trigger_item item = {.enabled = true};
    struct cvm_rule when = {0};

    enum cvm_status status =
        cvm_schema_read(reading->arena, &trigger_schema, root, &item, reading->err);
    if (status == CVM_OK) {
        status = check_trigger(reading, root, &item, name);
    }
    if (status == CVM_OK) {
        status = cvm_reading_rule(reading, root, "when", item.when, &when);
    }
    if (status != CVM_OK) {
        return status;
    }
    catalogue->triggers[catalogue->trigger_count++] = (struct cvm_trigger){
        .name = item.name,
        .display_name = item.display_name == NULL ? item.name : item.display_name,
        .description = item.description,
        .enabled = item.enabled,
        .custom = item.custom,
        .when = when,
        .created_at = item.created_at,
        .file = file,
    };
    return CVM_OK;
}
