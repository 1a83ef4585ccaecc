/* features.yaml, insights.yaml and journey.yaml. */
#include <math.h>
#include <string.h>

#include "model/catalogue_reading.h"
#include "model/rule_scope.h"

#define SUMMARY_LINES_MAX 128
#define METRICS_MAX       128
#define HISTORY_DAYS      400
#define HISTORY_DAYS_MAX  3650

static const char *const severity_words[] = {"info", "warning", "high", NULL};

/* ---- features ---- */

struct feature_item {
    const char *name;
    const char *description;
    struct cvm_schema_texts sources;
    const char *attribute;
    int aggregate;
    int64_t window_days;
    const char *where;
    bool sensitive;
    bool has_aggregate;
    const char *rule;
};
static const struct cvm_schema_field feature_fields[] = {
    CVM_KEY(struct feature_item, "feature", name, CVM_SCHEMA_NAME, .required = true),
    CVM_KEY(struct feature_item, "description", description, CVM_SCHEMA_TEXT, .required = true),
    CVM_KEY(struct feature_item, "source", sources, CVM_SCHEMA_TEXTS),
    CVM_KEY(struct feature_item, "attribute", attribute, CVM_SCHEMA_TEXT),
    CVM_KEY(struct feature_item, "aggregate", aggregate, CVM_SCHEMA_WORD,
            .words = cvm_aggregate_words,
            .present_offset = offsetof(struct feature_item, has_aggregate) + 1),
    CVM_KEY(struct feature_item, "window_days", window_days, CVM_SCHEMA_INT, .min = 1,
            .max = HISTORY_DAYS_MAX),
    CVM_KEY(struct feature_item, "where", where, CVM_SCHEMA_TEXT),
    CVM_KEY(struct feature_item, "sensitive", sensitive, CVM_SCHEMA_BOOL),
    CVM_KEY(struct feature_item, "rule", rule, CVM_SCHEMA_TEXT),
    {.key = NULL},
};
static const struct cvm_schema feature_schema = {"a feature", feature_fields};

static enum cvm_status read_where(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                  const char *text, struct cvm_feature *feature)
{
    const struct cvm_names names = {.arena = reading->arena, .catalogue = reading->catalogue};
    struct cvm_rule_scope scope;
    enum cvm_status status = cvm_names_events(&names, feature->sources, &scope, reading->err);
    return status == CVM_OK
               ? cvm_reading_rule_in(reading, node, "where", text, &scope, &feature->where)
               : status;
}

static enum cvm_status find_source(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                   const char *name, int *out_source)
{
    const struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_suggestion nearest = {.typed = name};
    int source = cvm_catalogue_source(catalogue, name);

    if (source >= 0 && catalogue->sources[source].kind == CVM_SOURCE_CONSENT) {
        return cvm_schema_fail(node, reading->err, "source '%s' holds permissions, not events",
                               name);
    }
    if (source >= 0) {
        *out_source = source;
        return CVM_OK;
    }
    for (size_t i = 0; i < catalogue->source_count; i++) {
        cvm_suggestion_try(&nearest, catalogue->sources[i].name);
    }
    return cvm_reading_fail_unknown(reading, node, "source", &nearest);
}

static enum cvm_status read_attribute_name(struct cvm_reading *reading,
                                           const struct cvm_yaml_node *node, const char *name,
                                           struct cvm_feature *feature)
{
    const struct cvm_catalogue *catalogue = reading->catalogue;
    const struct cvm_yaml_node *at = cvm_yaml_member(node, "attribute");
    struct cvm_suggestion nearest = {.typed = name == NULL ? "" : name};

    feature->attribute = CVM_INDEX_NONE;
    if (name == NULL) {
        return CVM_OK;
    }
    feature->attribute = cvm_catalogue_attribute(catalogue, name);
    if (feature->attribute < 0) {
        for (size_t i = 0; i < catalogue->attribute_count; i++) {
            cvm_suggestion_try(&nearest, catalogue->attributes[i].name);
        }
        return cvm_reading_fail_unknown(reading, at, "attribute", &nearest);
    }
    const struct cvm_attribute *attribute = &catalogue->attributes[feature->attribute];
    if (!cvm_attribute_is_numeric(attribute)) {
        return cvm_schema_fail(at, reading->err, "attribute '%s' is %s and can not be a feature",
                               name, attribute->personal ? "personal" : "text");
    }
    return CVM_OK;
}

/* Named ones, else all that fill the attribute, else all events. */
static enum cvm_status read_sources(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                    struct cvm_schema_texts names, struct cvm_feature *feature)
{
    const struct cvm_catalogue *catalogue = reading->catalogue;
    const struct cvm_yaml_node *at = cvm_yaml_member(node, "source");

    for (size_t i = 0; i < names.count; i++) {
        int source = 0;
        enum cvm_status status = find_source(reading, at, names.items[i], &source);
        if (status != CVM_OK) {
            return status;
        }
        if (feature->attribute >= 0 &&
            !cvm_source_fills(&catalogue->sources[source], feature->attribute)) {
            return cvm_schema_fail(at, reading->err, "source '%s' does not fill '%s'",
                                   names.items[i], catalogue->attributes[feature->attribute].name);
        }
        feature->sources |= UINT64_C(1) << source;
    }
    if (feature->sources == 0 && feature->attribute >= 0) {
        feature->sources = catalogue->attributes[feature->attribute].sources;
    }
    for (size_t i = 0; i < catalogue->source_count && names.count == 0 && feature->attribute < 0;
         i++) {
        bool is_event = catalogue->sources[i].kind == CVM_SOURCE_EVENTS;
        feature->sources |= is_event ? UINT64_C(1) << i : 0;
    }
    return CVM_OK;
}

static enum cvm_status check_feature(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                     struct cvm_feature *feature)
{
    struct cvm_error found = {0};
    if (feature->window_days > reading->catalogue->history_days) {
        return cvm_schema_fail(cvm_yaml_member(node, "window_days"), reading->err,
                               "%d days are longer than the history of %d days (journey.yaml)",
                               feature->window_days, reading->catalogue->history_days);
    }
    return cvm_feature_complete(reading->catalogue, feature, &found) == CVM_OK
               ? CVM_OK
               : cvm_schema_fail(cvm_yaml_member(node, "aggregate"), reading->err, "%s",
                                 found.message);
}

static enum cvm_status read_feature_of_events(struct cvm_reading *reading,
                                              const struct cvm_yaml_node *node,
                                              const struct feature_item *item,
                                              struct cvm_feature *feature)
{
    if (!item->has_aggregate) {
        return cvm_schema_fail(node, reading->err,
                               "one of the keys 'aggregate' and 'rule' is "
                               "needed");
    }
    feature->aggregate = (enum cvm_aggregate)item->aggregate;
    feature->window_days = (int)item->window_days;
    enum cvm_status status = read_attribute_name(reading, node, item->attribute, feature);
    if (status == CVM_OK) {
        status = read_sources(reading, node, item->sources, feature);
    }
    if (status == CVM_OK) {
        status = read_where(reading, node, item->where, feature);
    }
    return status == CVM_OK ? check_feature(reading, node, feature) : status;
}

/* A number or a date, else a yes or no: the rule itself tells which. */
static enum cvm_status compile_feature(struct cvm_reading *reading,
                                       const struct cvm_yaml_node *node, const char *text,
                                       struct cvm_rule *out_rule)
{
    struct cvm_names names = {.arena = reading->arena, .catalogue = reading->catalogue};
    const struct cvm_rule_scope scope = cvm_names_scope(&names);
    struct cvm_error found = {0};
    struct cvm_error second = {0};

    enum cvm_status status =
        cvm_rule_compile(reading->arena, text, CVM_RULE_NUMBER, &scope, out_rule, &found);
    if (status == CVM_E_INVALID) {
        status = cvm_rule_compile(reading->arena, text, CVM_RULE_BOOL, &scope, out_rule, &second);
        found = status == CVM_E_LIMIT ? second : found; /* no mistake of the rule */
    }
    return status == CVM_OK ? CVM_OK : cvm_reading_fail_rule(reading, node, "rule", &found);
}

static enum cvm_status read_feature_by_rule(struct cvm_reading *reading,
                                            const struct cvm_yaml_node *node,
                                            const struct feature_item *item,
                                            struct cvm_feature *feature)
{
    static const char *const others[] = {"source", "attribute", "aggregate", "window_days",
                                         "where"};
    const struct cvm_yaml_node *at = cvm_yaml_member(node, "rule");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        const struct cvm_yaml_node *other = cvm_yaml_member(node, others[i]);
        if (other != NULL) {
            return cvm_schema_fail(other, reading->err,
                                   "a feature by 'rule' has nothing else but a name, a "
                                   "description and 'sensitive'");
        }
    }
    enum cvm_status status = compile_feature(reading, node, item->rule, &feature->rule);
    if (status == CVM_OK && feature->rule.clause_count == 0) {
        return cvm_schema_fail(at, reading->err, "a rule is needed");
    }
    if (status != CVM_OK) {
        return status;
    }
    feature->attribute = CVM_INDEX_NONE;
    feature->type = feature->rule.type;
    feature->sensitive =
        feature->sensitive || cvm_rule_sensitive(reading->catalogue, &feature->rule) >= 0;
    return CVM_OK;
}

static enum cvm_status read_feature(struct cvm_reading *reading, const struct cvm_yaml_node *node)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_feature feature = {0};
    struct feature_item item = {0};

    enum cvm_status status =
        cvm_schema_read(reading->arena, &feature_schema, node, &item, reading->err);
    if (status != CVM_OK) {
        return status;
    }
    if (cvm_catalogue_feature(catalogue, item.name) >= 0) {
        return cvm_schema_fail(node, reading->err, "feature '%s' is defined twice", item.name);
    }
    feature.name = item.name;
    feature.description = item.description;
    feature.sensitive = item.sensitive;
    status = item.rule != NULL ? read_feature_by_rule(reading, node, &item, &feature)
                               : read_feature_of_events(reading, node, &item, &feature);
    if (status == CVM_OK && catalogue->feature_count == CVM_FEATURES_MAX) {
        return cvm_schema_fail(node, reading->err,
                               "more than %d features, with the aggregates "
                               "that rules ask for",
                               CVM_FEATURES_MAX);
    }
    if (status == CVM_OK) {
        catalogue->features[catalogue->feature_count++] = feature;
        cvm_reading_place_features(reading, node); /* also what its rule asks for */
    }
    return status;
}

/* A file with one list under one key. */
struct list_file {
    const struct cvm_yaml_node *items;
};

static enum cvm_status read_list(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                 const char *key, size_t max,
                                 enum cvm_status (*read_item)(struct cvm_reading *,
                                                              const struct cvm_yaml_node *))
{
    const struct cvm_schema_field fields[] = {
        CVM_KEY(struct list_file, key, items, CVM_SCHEMA_NODE, .required = true),
        {.key = NULL},
    };
    const struct cvm_schema schema = {"this file", fields};
    struct list_file file = {NULL};

    enum cvm_status status = cvm_schema_read(reading->arena, &schema, root, &file, reading->err);
    if (status == CVM_OK) {
        status = cvm_reading_check_list(reading, file.items, max, key);
    }
    for (const struct cvm_yaml_node *n = file.items == NULL ? NULL : file.items->first_child;
         n != NULL && status == CVM_OK; n = n->next) {
        status = read_item(reading, n);
    }
    return status;
}

enum cvm_status cvm_read_features(struct cvm_reading *reading, const struct cvm_yaml_node *root)
{
    return read_list(reading, root, "features", CVM_FEATURES_MAX, read_feature);
}

/* ---- insights ---- */

struct insight_item {
    const char *name;
    int severity;
    const char *when;
    const char *sentence;
};
static const struct cvm_schema_field insight_fields[] = {
    CVM_KEY(struct insight_item, "insight", name, CVM_SCHEMA_NAME, .required = true),
    CVM_KEY(struct insight_item, "severity", severity, CVM_SCHEMA_WORD, .required = true,
            .words = severity_words),
    CVM_KEY(struct insight_item, "when", when, CVM_SCHEMA_TEXT, .required = true),
    CVM_KEY(struct insight_item, "sentence", sentence, CVM_SCHEMA_TEXT, .required = true),
    {.key = NULL},
};
static const struct cvm_schema insight_schema = {"an insight", insight_fields};

static enum cvm_status read_insight(struct cvm_reading *reading, const struct cvm_yaml_node *node)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_insight *insight = &catalogue->insights[catalogue->insight_count];
    struct insight_item item = {0};

    enum cvm_status status =
        cvm_schema_read(reading->arena, &insight_schema, node, &item, reading->err);
    if (status != CVM_OK) {
        return status;
    }
    for (size_t i = 0; i < catalogue->insight_count; i++) {
        if (strcmp(catalogue->insights[i].name, item.name) == 0) {
            return cvm_schema_fail(node, reading->err, "insight '%s' is defined twice", item.name);
        }
    }
    insight->name = item.name;
    insight->severity = severity_words[item.severity];
    insight->sentence = item.sentence;
    status = cvm_reading_rule(reading, node, "when", item.when, &insight->when);
    if (status == CVM_OK) {
        status = cvm_reading_sentence(reading, node, item.sentence);
    }
    catalogue->insight_count += status == CVM_OK ? 1 : 0;
    return status;
}

enum cvm_status cvm_read_insights(struct cvm_reading *reading, const struct cvm_yaml_node *root)
{
    return read_list(reading, root, "insights", CVM_INSIGHTS_MAX, read_insight);
}

/* ---- journey ---- */

struct journey_file {
    int64_t history_days;
    const struct cvm_yaml_node *summary;
    const struct cvm_yaml_node *metrics;
};
static const struct cvm_schema_field journey_fields[] = {
    CVM_KEY(struct journey_file, "history_days", history_days, CVM_SCHEMA_INT, .min = 1,
            .max = HISTORY_DAYS_MAX),
    CVM_KEY(struct journey_file, "summary", summary, CVM_SCHEMA_NODE, .required = true),
    CVM_KEY(struct journey_file, "metrics", metrics, CVM_SCHEMA_NODE, .required = true),
    {.key = NULL},
};
static const struct cvm_schema journey_schema = {"the journey file", journey_fields};

struct summary_item {
    int64_t group;
    const char *when;
    const char *sentence;
};
static const struct cvm_schema_field summary_fields[] = {
    CVM_KEY(struct summary_item, "group", group, CVM_SCHEMA_INT, .required = true, .min = 1,
            .max = 100),
    CVM_KEY(struct summary_item, "when", when, CVM_SCHEMA_TEXT),
    CVM_KEY(struct summary_item, "sentence", sentence, CVM_SCHEMA_TEXT, .required = true),
    {.key = NULL},
};
static const struct cvm_schema summary_schema = {"a summary line", summary_fields};

static enum cvm_status read_journey_file(struct cvm_reading *reading,
                                         const struct cvm_yaml_node *root,
                                         struct journey_file *out_file)
{
    *out_file = (struct journey_file){.history_days = HISTORY_DAYS};
    return cvm_schema_read(reading->arena, &journey_schema, root, out_file, reading->err);
}

enum cvm_status cvm_read_history(struct cvm_reading *reading, const struct cvm_yaml_node *root)
{
    struct journey_file file;
    enum cvm_status status = read_journey_file(reading, root, &file);
    reading->catalogue->history_days = (int)file.history_days;
    return status;
}

static enum cvm_status read_summary_line(struct cvm_reading *reading,
                                         const struct cvm_yaml_node *node)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_summary_line *line = &catalogue->summary_lines[catalogue->summary_line_count];
    struct summary_item item = {0};

    enum cvm_status status =
        cvm_schema_read(reading->arena, &summary_schema, node, &item, reading->err);
    if (status != CVM_OK) {
        return status;
    }
    if (catalogue->summary_line_count > 0 && item.group < line[-1].group) {
        return cvm_schema_fail(cvm_yaml_member(node, "group"), reading->err,
                               "group %d comes after group %d; groups go up", (int)item.group,
                               line[-1].group);
    }
    line->group = (int)item.group;
    line->sentence = item.sentence;
    status = cvm_reading_rule(reading, node, "when", item.when, &line->when);
    if (status == CVM_OK) {
        status = cvm_reading_sentence(reading, node, item.sentence);
    }
    catalogue->summary_line_count += status == CVM_OK ? 1 : 0;
    return status;
}

static enum cvm_status read_metric(struct cvm_reading *reading, const struct cvm_yaml_node *node)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_metric_line *line = &catalogue->metric_lines[catalogue->metric_line_count];

    if (!cvm_reading_is_name(node->key) || node->type != CVM_YAML_SCALAR) {
        return cvm_schema_fail(node, reading->err, "a metric's name and a feature are allowed");
    }
    line->name = node->key;
    enum cvm_status status = cvm_reading_feature(reading, node, node->text, &line->feature);
    catalogue->metric_line_count += status == CVM_OK ? 1 : 0;
    return status;
}

enum cvm_status cvm_read_journey(struct cvm_reading *reading, const struct cvm_yaml_node *root)
{
    struct cvm_catalogue *catalogue = reading->catalogue;
    struct journey_file file;

    enum cvm_status status = read_journey_file(reading, root, &file);
    if (status == CVM_OK) {
        status = cvm_reading_check_list(reading, file.summary, SUMMARY_LINES_MAX, "summary lines");
    }
    if (status == CVM_OK) {
        status = cvm_reading_check_map(reading, file.metrics, METRICS_MAX, "metrics");
    }
    if (status != CVM_OK) {
        return status;
    }
    catalogue->summary_lines =
        CVM_NEW_ARRAY(reading->arena, file.summary->child_count + 1, struct cvm_summary_line);
    catalogue->metric_lines =
        CVM_NEW_ARRAY(reading->arena, file.metrics->child_count + 1, struct cvm_metric_line);
    if (catalogue->summary_lines == NULL || catalogue->metric_lines == NULL) {
        return cvm_reading_fail_memory(reading, root);
    }
    for (const struct cvm_yaml_node *n = file.summary->first_child; n != NULL && status == CVM_OK;
         n = n->next) {
        status = read_summary_line(reading, n);
    }
    for (const struct cvm_yaml_node *n = file.metrics->first_child; n != NULL && status == CVM_OK;
         n = n->next) {
        status = read_metric(reading, n);
    }
    return status;
}
