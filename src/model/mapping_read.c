/* mappings/NAME.yaml: the sources and where their records say who, when and what. */
#include <string.h>

#include "model/catalogue_reading.h"

#define PATHS_MAX    16 /* ways to find one thing */
#define PATTERNS_MAX 16
#define IGNORED_MAX  64

static const char *const kind_words[] = {"events", "attributes", "consent", NULL};

struct source_item {
    const char *name;
    const char *display_name;
    struct cvm_schema_texts files;
    int kind;
    int64_t rank;
    bool has_rank;
    struct cvm_schema_texts customer;
    struct cvm_schema_texts date;
    struct cvm_schema_texts identity;
    double freshness_days;
    double expected_rows;
    int64_t keep_days;
    const char *sentence;
    const char *channel;
    const struct cvm_yaml_node *attributes;
    struct cvm_schema_texts ignored;
    const char *consent;
    const char *quiet_hours;
    const char *preferred_time;
    const char *language;
};
static const struct cvm_schema_field source_fields[] = {
    CVM_KEY(struct source_item, "source", name, CVM_SCHEMA_NAME, .required = true),
    CVM_KEY(struct source_item, "display_name", display_name, CVM_SCHEMA_TEXT),
    CVM_KEY(struct source_item, "files", files, CVM_SCHEMA_TEXTS, .required = true),
    CVM_KEY(struct source_item, "kind", kind, CVM_SCHEMA_WORD, .required = true,
            .words = kind_words),
    CVM_KEY(struct source_item, "rank", rank, CVM_SCHEMA_INT, .min = 0, .max = 255,
            .present_offset = offsetof(struct source_item, has_rank) + 1),
    CVM_KEY(struct source_item, "customer", customer, CVM_SCHEMA_TEXTS, .required = true),
    CVM_KEY(struct source_item, "date", date, CVM_SCHEMA_TEXTS),
    CVM_KEY(struct source_item, "identity", identity, CVM_SCHEMA_TEXTS),
    CVM_KEY(struct source_item, "freshness_days", freshness_days, CVM_SCHEMA_NUMBER, .min = 0,
            .max = 36500),
    CVM_KEY(struct source_item, "expected_rows", expected_rows, CVM_SCHEMA_NUMBER, .min = 0,
            .max = 1e15),
    CVM_KEY(struct source_item, "keep_days", keep_days, CVM_SCHEMA_INT, .min = 1, .max = 36500),
    CVM_KEY(struct source_item, "sentence", sentence, CVM_SCHEMA_TEXT),
    CVM_KEY(struct source_item, "channel", channel, CVM_SCHEMA_NAME),
    CVM_KEY(struct source_item, "attributes", attributes, CVM_SCHEMA_NODE),
    CVM_KEY(struct source_item, "ignored", ignored, CVM_SCHEMA_TEXTS),
    CVM_KEY(struct source_item, "consent", consent, CVM_SCHEMA_TEXT),
    CVM_KEY(struct source_item, "quiet_hours", quiet_hours, CVM_SCHEMA_TEXT),
    CVM_KEY(struct source_item, "preferred_time", preferred_time, CVM_SCHEMA_TEXT),
    CVM_KEY(struct source_item, "language", language, CVM_SCHEMA_TEXT),
    {.key = NULL},
};
static const struct cvm_schema source_schema = {"a source", source_fields};

static enum cvm_status check_keys(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                  const struct source_item *item)
{
    static const char *const consent_only[] = {"consent", "quiet_hours", "preferred_time",
                                               "language", NULL};
    bool is_consent = item->kind == CVM_SOURCE_CONSENT;

    for (size_t i = 0; !is_consent && consent_only[i] != NULL; i++) {
        const struct cvm_yaml_node *key = cvm_yaml_member(node, consent_only[i]);
        if (key != NULL) {
            return cvm_schema_fail(key, reading->err, "only for kind consent");
        }
    }
    if (is_consent && item->consent == NULL) {
        return cvm_schema_fail(node, reading->err, "kind consent needs the key 'consent'");
    }
    if (is_consent && item->attributes != NULL) {
        return cvm_schema_fail(item->attributes, reading->err, "not for kind consent");
    }
    if (item->kind == CVM_SOURCE_EVENTS && (item->date.count == 0 || !item->has_rank)) {
        return cvm_schema_fail(node, reading->err, "kind events needs the key '%s'",
                               item->date.count == 0 ? "date" : "rank");
    }
    if (item->kind == CVM_SOURCE_ATTRIBUTES && item->date.count > 0) {
        return cvm_schema_fail(cvm_yaml_member(node, "date"), reading->err,
                               "kind attributes has no date; use kind events");
    }
    if (item->kind != CVM_SOURCE_EVENTS && item->keep_days > 0) {
        return cvm_schema_fail(cvm_yaml_member(node, "keep_days"), reading->err,
                               "only for kind events: nothing else has a day to count from");
    }
    if (item->customer.count == 0 || item->files.count == 0) {
        return cvm_schema_fail(node, reading->err,
                               "the keys 'customer' and 'files' may not be empty");
    }
    return CVM_OK;
}

static enum cvm_status check_twice(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                   const struct source_item *item)
{
    const struct cvm_catalogue *catalogue = reading->catalogue;

    for (size_t i = 0; i < catalogue->source_count; i++) {
        if (strcmp(catalogue->sources[i].name, item->name) == 0) {
            return cvm_reading_fail_twice(reading, node, "source", item->name, reading->sources[i]);
        }
        for (const char *const *p = catalogue->sources[i].file_patterns; *p != NULL; p++) {
            for (size_t j = 0; j < item->files.count; j++) {
                if (strcmp(*p, item->files.items[j]) == 0) {
                    return cvm_schema_fail(cvm_yaml_member(node, "files"), reading->err,
                                           "pattern '%s' already belongs to source '%s'", *p,
                                           catalogue->sources[i].name);
                }
            }
        }
    }
    return CVM_OK;
}

static enum cvm_status parse_paths(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                   struct cvm_schema_texts texts, size_t max,
                                   const struct cvm_path **out_paths, size_t *out_count)
{
    struct cvm_path *paths = CVM_NEW_ARRAY(reading->arena, texts.count + 1, struct cvm_path);
    enum cvm_status status = CVM_OK;

    if (paths == NULL) {
        return cvm_reading_fail_memory(reading, node);
    }
    if (texts.count > max) {
        return cvm_schema_fail(node, reading->err, "found %zu paths, at most %zu are allowed",
                               texts.count, max);
    }
    for (size_t i = 0; i < texts.count && status == CVM_OK; i++) {
        status = cvm_reading_path(reading, node, texts.items[i], &paths[i]);
    }
    *out_paths = paths;
    *out_count = texts.count;
    return status;
}

static enum cvm_status read_consent_paths(struct cvm_reading *reading,
                                          const struct cvm_yaml_node *node,
                                          const struct source_item *item, struct cvm_source *source)
{
    const struct {
        const char *text;
        struct cvm_path *path;
    } paths[] = {{item->consent, &source->consent_path},
                 {item->quiet_hours, &source->quiet_path},
                 {item->preferred_time, &source->preferred_path},
                 {item->language, &source->language_path}};
    enum cvm_status status = CVM_OK;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]) && status == CVM_OK; i++) {
        if (paths[i].text != NULL) {
            status = cvm_reading_path(reading, node, paths[i].text, paths[i].path);
        }
    }
    return status;
}

static enum cvm_status read_source_paths(struct cvm_reading *reading,
                                         const struct cvm_yaml_node *node,
                                         const struct source_item *item, struct cvm_source *source)
{
    enum cvm_status status = parse_paths(reading, node, item->customer, PATHS_MAX,
                                         &source->customer_paths, &source->customer_path_count);
    if (status == CVM_OK) {
        status = parse_paths(reading, node, item->date, PATHS_MAX, &source->date_paths,
                             &source->date_path_count);
    }
    if (status == CVM_OK) {
        status = parse_paths(reading, node, item->identity, PATHS_MAX, &source->identity_paths,
                             &source->identity_path_count);
    }
    if (status == CVM_OK) {
        status = parse_paths(reading, node, item->ignored, IGNORED_MAX, &source->ignored_paths,
                             &source->ignored_path_count);
    }
    return status == CVM_OK ? read_consent_paths(reading, node, item, source) : status;
}

/* Every "{name}" is an attribute that this source fills. */
static enum cvm_status check_source_sentence(struct cvm_reading *reading,
                                             const struct cvm_yaml_node *node,
                                             const struct cvm_source *source)
{
    char name[80];

    for (const char *at = cvm_sentence_name(source->sentence, name); at != NULL;
         at = cvm_sentence_name(at, name)) {
        int attribute = cvm_catalogue_attribute(reading->catalogue, name);
        if (attribute >= 0 && cvm_source_fills(source, attribute)) {
            continue;
        }
        struct cvm_suggestion nearest = {.typed = name};
        for (size_t i = 0; i < source->field_count; i++) {
            cvm_suggestion_try(&nearest,
                               reading->catalogue->attributes[source->fields[i].attribute].name);
        }
        return cvm_reading_fail_unknown(reading, cvm_yaml_member(node, "sentence"), "attribute",
                                        &nearest);
    }
    return CVM_OK;
}

static enum cvm_status fill_source(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                   const struct source_item *item, struct cvm_source *source)
{
    source->name = item->name;
    source->display_name = item->display_name == NULL ? item->name : item->display_name;
    source->kind = (enum cvm_source_kind)item->kind;
    source->rank = (int)item->rank;
    source->freshness_days_max = item->freshness_days;
    source->expected_rows_min = item->expected_rows;
    source->keep_days = (int)item->keep_days;
    source->sentence = item->sentence == NULL ? source->display_name : item->sentence;
    source->channel = item->channel;
    enum cvm_status status = read_source_paths(reading, node, item, source);
    if (status == CVM_OK && item->files.count > PATTERNS_MAX) {
        status = cvm_schema_fail(node, reading->err, "more than %d file patterns", PATTERNS_MAX);
    }
    if (status == CVM_OK) {
        status = cvm_reading_texts(reading, node, item->files, &source->file_patterns);
    }
    if (status == CVM_OK) {
        status = cvm_read_attributes(reading, source, item->attributes);
    }
    return status == CVM_OK && item->sentence != NULL ? check_source_sentence(reading, node, source)
                                                      : status;
}

static enum cvm_status read_source(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                   const char *mapping)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_source *source = &catalogue->sources[catalogue->source_count];
    struct source_item item = {0};

    if (catalogue->source_count == CVM_SOURCES_MAX) {
        return cvm_schema_fail(node, reading->err, "more than %d sources", CVM_SOURCES_MAX);
    }
    enum cvm_status status =
        cvm_schema_read(reading->arena, &source_schema, node, &item, reading->err);
    if (status == CVM_OK) {
        status = check_twice(reading, node, &item);
    }
    if (status == CVM_OK) {
        status = check_keys(reading, node, &item);
    }
    if (status == CVM_OK) {
        source->mapping = mapping;
        status = fill_source(reading, node, &item, source);
    }
    if (status == CVM_OK) {
        reading->sources[catalogue->source_count++] = node;
    }
    return status;
}

struct mapping_file {
    const char *mapping;
    const struct cvm_yaml_node *sources;
};
static const struct cvm_schema_field mapping_fields[] = {
    CVM_KEY(struct mapping_file, "mapping", mapping, CVM_SCHEMA_NAME, .required = true),
    CVM_KEY(struct mapping_file, "sources", sources, CVM_SCHEMA_NODE, .required = true),
    {.key = NULL},
};
static const struct cvm_schema mapping_schema = {"a mapping", mapping_fields};

enum cvm_status cvm_read_mapping(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                 const char *name)
{
    struct mapping_file file = {0};
    enum cvm_status status =
        cvm_schema_read(reading->arena, &mapping_schema, root, &file, reading->err);

    if (status == CVM_OK && strcmp(file.mapping, name) != 0) {
        return cvm_schema_fail(cvm_yaml_member(root, "mapping"), reading->err,
                               "found '%s' in the file of mapping '%s'; they must be the same",
                               file.mapping, name);
    }
    if (status == CVM_OK) {
        status = cvm_reading_check_list(reading, file.sources, CVM_SOURCES_MAX, "sources");
    }
    for (const struct cvm_yaml_node *n = file.sources == NULL ? NULL : file.sources->first_child;
         n != NULL && status == CVM_OK; n = n->next) {
        status = read_source(reading, n, file.mapping);
    }
    return status;
}
