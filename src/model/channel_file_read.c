/* channels/NAME.yaml: the file that a channel is handed. */
#include <string.h>

#include "model/catalogue_reading.h"

static const char *const format_words[] = {"csv", "ndjson", NULL};
static const char *const field_words[] = {
    "decision_id", "customer_id",  "treatment", "action", "offer", "language", "earliest_at",
    "latest_at",   "display_name", "value",     "run_id", "as_of", "is_test",  NULL,
};

struct file_item {
    int channel;
    int format;
    const char *delimiter;
    const struct cvm_yaml_node *columns;
    struct cvm_schema_texts test_recipients;
};
static const struct cvm_schema_field file_fields[] = {
    CVM_KEY(struct file_item, "channel", channel, CVM_SCHEMA_WORD, .required = true,
            .words = cvm_channel_words),
    CVM_KEY(struct file_item, "format", format, CVM_SCHEMA_WORD, .words = format_words),
    CVM_KEY(struct file_item, "delimiter", delimiter, CVM_SCHEMA_TEXT),
    CVM_KEY(struct file_item, "columns", columns, CVM_SCHEMA_NODE, .required = true),
    CVM_KEY(struct file_item, "test_recipients", test_recipients, CVM_SCHEMA_TEXTS),
    {.key = NULL},
};
static const struct cvm_schema file_schema = {"a channel file", file_fields};

struct column_item {
    const char *name;
    int field;
    const char *feature;
    const char *constant;
    bool has_field;
};
static const struct cvm_schema_field column_fields[] = {
    CVM_KEY(struct column_item, "column", name, CVM_SCHEMA_TEXT, .required = true),
    CVM_KEY(struct column_item, "field", field, CVM_SCHEMA_WORD, .words = field_words,
            .present_offset = offsetof(struct column_item, has_field) + 1),
    CVM_KEY(struct column_item, "feature", feature, CVM_SCHEMA_TEXT),
    CVM_KEY(struct column_item, "constant", constant, CVM_SCHEMA_TEXT),
    {.key = NULL},
};
static const struct cvm_schema column_schema = {"a column", column_fields};

static enum cvm_status read_column(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                   struct cvm_channel_file *file)
{
    struct cvm_file_column *column = &file->columns[file->column_count];
    struct column_item item = {0};
    enum cvm_status status =
        cvm_schema_read(reading->arena, &column_schema, node, &item, reading->err);
    if (status != CVM_OK) {
        return status;
    }
    if (item.has_field + (item.feature != NULL) + (item.constant != NULL) != 1) {
        return cvm_schema_fail(node, reading->err,
                               "column '%s' needs one of 'field', 'feature' and 'constant'",
                               item.name);
    }
    for (size_t i = 0; i < file->column_count; i++) {
        if (strcmp(file->columns[i].name, item.name) == 0) {
            return cvm_schema_fail(node, reading->err, "column '%s' is given twice", item.name);
        }
    }
    column->name = item.name;
    column->field = item.has_field ? field_words[item.field] : NULL;
    column->constant = item.constant;
    column->feature = CVM_INDEX_NONE;
    if (item.feature != NULL) {
        status = cvm_reading_feature(reading, node, item.feature, &column->feature);
    }
    if (status == CVM_OK && item.feature != NULL) {
        status = cvm_reading_not_sensitive(reading, node, column->feature, "a channel file");
    }
    file->column_count += status == CVM_OK;
    return status;
}

static enum cvm_status read_columns(struct cvm_reading *reading, const struct cvm_yaml_node *list,
                                    struct cvm_channel_file *file)
{
    enum cvm_status status = cvm_reading_check_list(reading, list, CVM_FILE_COLUMNS_MAX, "columns");
    file->columns = CVM_NEW_ARRAY(reading->arena, list->child_count + 1, struct cvm_file_column);
    if (status == CVM_OK && file->columns == NULL) {
        return cvm_reading_fail_memory(reading, list);
    }
    if (status == CVM_OK && list->child_count == 0) {
        return cvm_schema_fail(list, reading->err, "a file needs at least one column");
    }
    for (const struct cvm_yaml_node *node = list->first_child; node != NULL && status == CVM_OK;
         node = node->next) {
        status = read_column(reading, node, file);
    }
    return status;
}

/* One file per channel: which one a decision goes to must not depend on names of files. */
static enum cvm_status check_file(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                  const struct file_item *item)
{
    const struct cvm_catalogue *catalogue = reading->catalogue;
    const struct cvm_yaml_node *channel = cvm_yaml_member(root, "channel");
    if (item->channel == CVM_CHANNEL_ANY || item->channel == CVM_CHANNEL_UNSET) {
        return cvm_schema_fail(channel, reading->err,
                               "found '%s', one of call, email, sms, push and none is allowed",
                               cvm_channel_words[item->channel]);
    }
    for (size_t i = 0; i < catalogue->channel_file_count; i++) {
        if ((int)catalogue->channel_files[i].channel == item->channel) {
            return cvm_schema_fail(channel, reading->err, "channel '%s' has its file in %s",
                                   cvm_channel_words[item->channel],
                                   catalogue->channel_files[i].file);
        }
    }
    bool is_usual = item->delimiter == NULL ||
                    (strlen(item->delimiter) == 1 && strchr(",;|\t", item->delimiter[0]) != NULL);
    return is_usual
               ? CVM_OK
               : cvm_schema_fail(cvm_yaml_member(root, "delimiter"), reading->err,
                                 "found '%s', one of , ; | and a tab is allowed", item->delimiter);
}

enum cvm_status cvm_read_channel_file(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                      const char *name, const char *file_name)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_channel_file *file = &catalogue->channel_files[catalogue->channel_file_count];
    struct file_item item = {0};
    enum cvm_status status =
        cvm_schema_read(reading->arena, &file_schema, root, &item, reading->err);
    if (status == CVM_OK) {
        status = check_file(reading, root, &item);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (!cvm_reading_is_name(name)) {
        return cvm_schema_fail(root, reading->err,
                               "'%s' names a file: small letters, digits, _ and . are allowed",
                               name);
    }
    *file = (struct cvm_channel_file){
        .name = name,
        .channel = (enum cvm_channel)item.channel,
        .format = (enum cvm_file_format)item.format,
        .delimiter = item.delimiter == NULL ? ',' : item.delimiter[0],
        .file = file_name,
    };
    status = cvm_reading_texts(reading, root, item.test_recipients, &file->test_recipients);
    if (status == CVM_OK) {
        status = read_columns(reading, item.columns, file);
    }
    catalogue->channel_file_count += status == CVM_OK;
    return status;
}
