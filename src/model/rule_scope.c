#include "model/rule_scope.h"

#include <string.h>

#include "model/catalogue_reading.h"

#define DESCRIPTION_MAX ((size_t)16 << 20)

const char *const cvm_aggregate_words[] = {"count", "sum",   "avg",   "min",        "max",
                                           "last",  "first", "trend", "days_since", NULL};

static enum cvm_status fail_memory(struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the names of a rule");
}

static enum cvm_status fail_unknown(const char *what, const struct cvm_suggestion *nearest,
                                    struct cvm_error *err)
{
    return nearest->best == NULL
               ? CVM_FAIL(err, CVM_E_NOT_FOUND, "unknown %s '%s'", what, nearest->typed)
               : CVM_FAIL(err, CVM_E_NOT_FOUND, "unknown %s '%s'; did you mean '%s'?", what,
                          nearest->typed, nearest->best);
}

bool cvm_attribute_is_numeric(const struct cvm_attribute *attribute)
{
    return !attribute->personal && attribute->type != CVM_ATTRIBUTE_LABEL &&
           attribute->type != CVM_ATTRIBUTE_TEXT;
}

static enum cvm_rule_type type_of_attribute(const struct cvm_attribute *attribute)
{
    switch (attribute->type) {
    case CVM_ATTRIBUTE_BOOLEAN:
        return CVM_RULE_BOOL;
    case CVM_ATTRIBUTE_WORD:
        return CVM_RULE_WORD;
    case CVM_ATTRIBUTE_DATE:
        return CVM_RULE_DATE;
    case CVM_ATTRIBUTE_CODE:
        return CVM_RULE_CODE;
    default:
        return CVM_RULE_NUMBER;
    }
}

/* ---- features ---- */

static const char *without_prefix(const char *name)
{
    static const char prefix[] = "customer.";
    bool has_prefix = strncmp(name, prefix, strlen(prefix)) == 0;
    return has_prefix ? name + strlen(prefix) : name;
}

static enum cvm_status fail_feature(const struct cvm_catalogue *catalogue, const char *name,
                                    struct cvm_error *err)
{
    struct cvm_suggestion nearest = {.typed = name};
    if (cvm_catalogue_attribute(catalogue, name) >= 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND,
                        "'%s' is an attribute of events, not a feature; last(%s) is its newest "
                        "value",
                        name, name);
    }
    for (size_t i = 0; i < catalogue->feature_count; i++) {
        if (!catalogue->features[i].is_anonymous) {
            cvm_suggestion_try(&nearest, catalogue->features[i].name);
        }
    }
    return fail_unknown("feature", &nearest, err);
}

static struct cvm_rule_operand operand_of(const struct cvm_catalogue *catalogue, size_t feature)
{
    return (struct cvm_rule_operand){.number = (uint16_t)feature,
                                     .type = catalogue->features[feature].type,
                                     .words = catalogue->features[feature].words};
}

static enum cvm_status resolve_feature(void *state, const char *name,
                                       struct cvm_rule_operand *out_operand, struct cvm_error *err)
{
    const struct cvm_names *names = state;
    int feature = cvm_catalogue_feature(names->catalogue, name);

    if (feature < 0) {
        feature = cvm_catalogue_feature(names->catalogue, without_prefix(name));
    }
    if (feature < 0) {
        return fail_feature(names->catalogue, name, err);
    }
    *out_operand = operand_of(names->catalogue, (size_t)feature);
    return CVM_OK;
}

/* ---- aggregates ---- */

enum cvm_status cvm_names_subject(const struct cvm_catalogue *catalogue, const char *name,
                                  uint64_t *out_sources, int *out_attribute, struct cvm_error *err)
{
    struct cvm_suggestion nearest = {.typed = name};
    int source = cvm_catalogue_source(catalogue, name);
    int attribute = cvm_catalogue_attribute(catalogue, name);

    if (source >= 0 && catalogue->sources[source].kind == CVM_SOURCE_CONSENT) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "source '%s' holds permissions, not events", name);
    }
    if (source >= 0) {
        *out_sources = UINT64_C(1) << source;
        *out_attribute = CVM_INDEX_NONE;
        return CVM_OK;
    }
    if (attribute >= 0) {
        const struct cvm_attribute *a = &catalogue->attributes[attribute];
        if (!cvm_attribute_is_numeric(a)) {
            return CVM_FAIL(err, CVM_E_NOT_FOUND, "attribute '%s' is %s and can not be a feature",
                            name, a->personal ? "personal" : "text");
        }
        *out_sources = a->sources;
        *out_attribute = attribute;
        return CVM_OK;
    }
    for (size_t i = 0; i < catalogue->source_count; i++) {
        cvm_suggestion_try(&nearest, catalogue->sources[i].name);
    }
    for (size_t i = 0; i < catalogue->attribute_count; i++) {
        cvm_suggestion_try(&nearest, catalogue->attributes[i].name);
    }
    return fail_unknown("source or attribute", &nearest, err);
}

static bool makes_sense(enum cvm_aggregate aggregate, enum cvm_attribute_type type)
{
    switch (aggregate) {
    case CVM_AGGREGATE_COUNT:
    case CVM_AGGREGATE_LAST:
    case CVM_AGGREGATE_FIRST:
    case CVM_AGGREGATE_DAYS_SINCE:
        return true;
    case CVM_AGGREGATE_MIN:
    case CVM_AGGREGATE_MAX:
        return type != CVM_ATTRIBUTE_WORD && type != CVM_ATTRIBUTE_CODE;
    case CVM_AGGREGATE_SUM:
    case CVM_AGGREGATE_AVG:
    case CVM_AGGREGATE_TREND:
        return type == CVM_ATTRIBUTE_NUMBER || type == CVM_ATTRIBUTE_BOOLEAN;
    }
    return false;
}

/* `last` and the like give one of the attribute's own values, and so its type. */
static enum cvm_rule_type type_of_feature(const struct cvm_catalogue *catalogue,
                                          const struct cvm_feature *feature)
{
    bool keeps_value =
        feature->aggregate == CVM_AGGREGATE_LAST || feature->aggregate == CVM_AGGREGATE_FIRST ||
        feature->aggregate == CVM_AGGREGATE_MIN || feature->aggregate == CVM_AGGREGATE_MAX;
    return keeps_value && feature->attribute != CVM_INDEX_NONE
               ? type_of_attribute(&catalogue->attributes[feature->attribute])
               : CVM_RULE_NUMBER;
}

/* A source that says something sensitive: that it has an event of a customer says so, too. */
static bool is_source_sensitive(const struct cvm_source *source,
                                const struct cvm_catalogue *catalogue)
{
    for (size_t i = 0; i < source->field_count; i++) {
        if (catalogue->attributes[source->fields[i].attribute].sensitive) {
            return true;
        }
    }
    return false;
}

/* What makes a feature from events sensitive, or NULL: an attribute that it or its filter reads,
 * or, of a plain count, its sources. */
static const char *sensitive_cause(const struct cvm_catalogue *catalogue,
                                   const struct cvm_feature *feature)
{
    const char *cause = NULL;
    if (feature->attribute != CVM_INDEX_NONE) {
        const struct cvm_attribute *attribute = &catalogue->attributes[feature->attribute];
        cause = attribute->sensitive ? attribute->name : NULL;
    }
    for (size_t c = 0; c < feature->where.clause_count && cause == NULL; c++) {
        const struct cvm_rule_part *part = &feature->where.clauses[c].whole;
        for (size_t o = 0; o < part->operand_count && cause == NULL; o++) {
            bool is_sensitive = part->operands[o] < catalogue->attribute_count &&
                                catalogue->attributes[part->operands[o]].sensitive;
            cause = is_sensitive ? catalogue->attributes[part->operands[o]].name : NULL;
        }
    }
    bool is_plain = feature->attribute == CVM_INDEX_NONE && cause == NULL;
    for (size_t s = 0; s < catalogue->source_count && is_plain; s++) {
        if ((feature->sources >> s & 1) != 0) {
            is_plain = is_source_sensitive(&catalogue->sources[s], catalogue);
            cause = is_plain ? catalogue->sources[s].name : NULL;
        }
    }
    return cause;
}

enum cvm_status cvm_feature_complete(const struct cvm_catalogue *catalogue,
                                     struct cvm_feature *feature, struct cvm_error *err)
{
    const char *word = cvm_aggregate_words[feature->aggregate];

    if (feature->attribute == CVM_INDEX_NONE) {
        if (feature->aggregate != CVM_AGGREGATE_COUNT &&
            feature->aggregate != CVM_AGGREGATE_DAYS_SINCE) {
            return CVM_FAIL(err, CVM_E_INVALID, "'%s' needs the key 'attribute'", word);
        }
    } else if (!makes_sense(feature->aggregate, catalogue->attributes[feature->attribute].type)) {
        return CVM_FAIL(err, CVM_E_INVALID, "'%s' makes no sense for '%s', which is no number",
                        word, catalogue->attributes[feature->attribute].name);
    }
    feature->type = type_of_feature(catalogue, feature);
    feature->words =
        feature->type == CVM_RULE_WORD ? catalogue->attributes[feature->attribute].words : NULL;
    feature->sensitive = feature->sensitive || sensitive_cause(catalogue, feature) != NULL;
    return CVM_OK;
}

static enum cvm_status find_aggregate(const char *function, enum cvm_aggregate *out_aggregate,
                                      struct cvm_error *err)
{
    struct cvm_suggestion nearest = {.typed = function};
    for (size_t i = 0; cvm_aggregate_words[i] != NULL; i++) {
        if (strcmp(cvm_aggregate_words[i], function) == 0) {
            *out_aggregate = (enum cvm_aggregate)i;
            return CVM_OK;
        }
        cvm_suggestion_try(&nearest, cvm_aggregate_words[i]);
    }
    return fail_unknown("function", &nearest, err);
}

static enum cvm_status check_window(const struct cvm_catalogue *catalogue, int window_days,
                                    struct cvm_error *err)
{
    return window_days > catalogue->history_days
               ? CVM_FAIL(err, CVM_E_INVALID,
                          "%d days are longer than the history of %d days (journey.yaml)",
                          window_days, catalogue->history_days)
               : CVM_OK;
}

static enum cvm_status add_anonymous(const struct cvm_names *names, struct cvm_feature feature,
                                     const char *text, struct cvm_error *err)
{
    struct cvm_catalogue *catalogue = names->catalogue;

    if (catalogue->feature_count == CVM_FEATURES_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "more than %d features, with the aggregates that rules ask for; write the "
                        "same aggregate the same way everywhere, or name it in features.yaml",
                        CVM_FEATURES_MAX);
    }
    feature.name = cvm_arena_string(names->arena, text);
    feature.description = feature.name;
    if (feature.name == NULL) {
        return fail_memory(err);
    }
    catalogue->features[catalogue->feature_count++] = feature;
    return CVM_OK;
}

static enum cvm_status make_aggregate(void *state, const struct cvm_rule_aggregate *aggregate,
                                      struct cvm_rule_operand *out_operand, struct cvm_error *err)
{
    const struct cvm_names *names = state;
    struct cvm_catalogue *catalogue = names->catalogue;
    struct cvm_feature feature = {.is_anonymous = true, .window_days = aggregate->window_days};
    int known = cvm_catalogue_feature(catalogue, aggregate->text);

    if (known >= 0) {
        *out_operand = operand_of(catalogue, (size_t)known);
        return CVM_OK;
    }
    if (aggregate->where != NULL) {
        feature.where = *aggregate->where;
    }
    enum cvm_status status = find_aggregate(aggregate->function, &feature.aggregate, err);
    if (status == CVM_OK) {
        status = cvm_names_subject(catalogue, aggregate->subject, &feature.sources,
                                   &feature.attribute, err);
    }
    if (status == CVM_OK && feature.attribute == CVM_INDEX_NONE &&
        feature.aggregate != CVM_AGGREGATE_COUNT && feature.aggregate != CVM_AGGREGATE_DAYS_SINCE) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "%s() needs an attribute; '%s' is a source, whose events are counted",
                        aggregate->function, aggregate->subject);
    }
    if (status == CVM_OK) {
        status = check_window(catalogue, feature.window_days, err);
    }
    if (status == CVM_OK) {
        status = cvm_feature_complete(catalogue, &feature, err);
    }
    if (status == CVM_OK) {
        status = add_anonymous(names, feature, aggregate->text, err);
    }
    if (status == CVM_OK) {
        *out_operand = operand_of(catalogue, catalogue->feature_count - 1);
    }
    return status;
}

/* ---- events ---- */

struct event_names {
    struct cvm_names names;
    uint64_t sources;
    const char *const *topic_words;
};

static enum cvm_status fail_attribute(const struct event_names *events, const char *name,
                                      struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = events->names.catalogue;
    struct cvm_suggestion nearest = {.typed = name};

    for (size_t i = 0; i < catalogue->attribute_count; i++) {
        const struct cvm_attribute *attribute = &catalogue->attributes[i];
        if ((attribute->sources & events->sources) != 0 && cvm_attribute_is_numeric(attribute)) {
            cvm_suggestion_try(&nearest, attribute->name);
        }
    }
    cvm_suggestion_try(&nearest, "topic");
    return fail_unknown("attribute", &nearest, err);
}

static enum cvm_status resolve_event(void *state, const char *name,
                                     struct cvm_rule_operand *out_operand, struct cvm_error *err)
{
    const struct event_names *events = state;
    const struct cvm_catalogue *catalogue = events->names.catalogue;
    int index = cvm_catalogue_attribute(catalogue, name);

    if (strcmp(name, "topic") == 0) {
        *out_operand = (struct cvm_rule_operand){
            .number = CVM_OPERAND_TOPIC, .type = CVM_RULE_WORD, .words = events->topic_words};
        return CVM_OK;
    }
    if (index < 0) {
        return fail_attribute(events, name, err);
    }
    const struct cvm_attribute *attribute = &catalogue->attributes[index];
    if ((attribute->sources & events->sources) == 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "no source of this feature fills '%s'", name);
    }
    if (!cvm_attribute_is_numeric(attribute)) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND,
                        "'%s' is %s and is not in the journey; only its topics are", name,
                        attribute->personal ? "personal" : "text");
    }
    *out_operand = (struct cvm_rule_operand){
        .number = (uint16_t)index,
        .type = type_of_attribute(attribute),
        .words = attribute->words,
    };
    return CVM_OK;
}

/* A phrase found as the whole of another is the same phrase. */
static bool is_same_phrase(const char *a, const char *b)
{
    size_t length = 0;
    return cvm_text_find_phrase(a, strlen(a), b, &length) == 0 && length == strlen(a);
}

static bool has_phrase(const char *const *phrases, size_t count, const char *phrase)
{
    for (size_t i = 0; i < count; i++) {
        if (is_same_phrase(phrases[i], phrase)) {
            return true;
        }
    }
    return false;
}

static bool has_phrases(const struct cvm_topic *topic, const char *const *phrases, size_t count)
{
    size_t own_count = 0;
    while (topic->phrases[own_count] != NULL) {
        if (!has_phrase(phrases, count, topic->phrases[own_count++])) {
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!has_phrase(topic->phrases, own_count, phrases[i])) {
            return false;
        }
    }
    return true;
}

static enum cvm_status check_phrase(const char *phrase, struct cvm_error *err)
{
    bool has_letter = false;
    for (const unsigned char *p = (const unsigned char *)phrase; *p != '\0'; p++) {
        has_letter = has_letter || *p >= 0x80 || (*p >= '0' && *p <= '9') ||
                     (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
    }
    return has_letter
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_INVALID, "'%s' has no letter or digit to look for", phrase);
}

/* "mentions('a','b')" */
static const char *name_of_phrases(struct cvm_arena *arena, const char *const *phrases,
                                   size_t count)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_text_add(&text, "mentions(");
    for (size_t i = 0; i < count; i++) {
        cvm_text_add_format(&text, "%s'%s'", i == 0 ? "" : ",", phrases[i]);
    }
    cvm_text_add_char(&text, ')');
    const char *name =
        text.failed ? NULL : cvm_arena_copy(arena, cvm_text_string(&text), text.length);
    cvm_text_finish(&text);
    return name;
}

static enum cvm_status add_topic(const struct cvm_names *names, const char *const *phrases,
                                 size_t count, struct cvm_error *err)
{
    struct cvm_catalogue *catalogue = names->catalogue;
    struct cvm_topic topic = {.is_anonymous = true};
    const char **kept = CVM_NEW_ARRAY(names->arena, count + 1, const char *);

    topic.name = name_of_phrases(names->arena, phrases, count);
    if (kept == NULL || topic.name == NULL) {
        return fail_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        kept[i] = cvm_arena_string(names->arena, phrases[i]);
        if (kept[i] == NULL) {
            return fail_memory(err);
        }
    }
    topic.phrases = kept;
    catalogue->topics[catalogue->topic_count++] = topic;
    return CVM_OK;
}

static enum cvm_status find_mentions(void *state, const char *const *phrases, size_t count,
                                     uint16_t *out_topic, struct cvm_error *err)
{
    const struct event_names *events = state;
    const struct cvm_catalogue *catalogue = events->names.catalogue;

    for (size_t i = 0; i < count; i++) {
        enum cvm_status status = check_phrase(phrases[i], err);
        if (status != CVM_OK) {
            return status;
        }
    }
    for (size_t t = 0; t < catalogue->topic_count; t++) {
        if (has_phrases(&catalogue->topics[t], phrases, count)) {
            *out_topic = (uint16_t)t;
            return CVM_OK;
        }
    }
    if (catalogue->topic_count == CVM_TOPICS_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "more than %d sets of words to look for, topics.yaml and mentions() "
                        "together; use a topic that exists, or one mentions() for several rules",
                        CVM_TOPICS_MAX);
    }
    enum cvm_status status = add_topic(&events->names, phrases, count, err);
    if (status == CVM_OK) {
        *out_topic = (uint16_t)(catalogue->topic_count - 1);
    }
    return status;
}

enum cvm_status cvm_names_events(const struct cvm_names *names, uint64_t sources,
                                 struct cvm_rule_scope *out_scope, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = names->catalogue;
    struct event_names *events = CVM_NEW(names->arena, struct event_names);
    const char **words = CVM_NEW_ARRAY(names->arena, catalogue->topic_count + 1, const char *);

    if (events == NULL || words == NULL) {
        return fail_memory(err);
    }
    /* Anonymous topics stand behind the others. */
    for (size_t i = 0; i < catalogue->topic_count && !catalogue->topics[i].is_anonymous; i++) {
        words[i] = catalogue->topics[i].name;
    }
    *events = (struct event_names){.names = *names, .sources = sources, .topic_words = words};
    *out_scope = (struct cvm_rule_scope){
        .resolve = resolve_event, .mentions = find_mentions, .state = events};
    return CVM_OK;
}

static enum cvm_status find_events(void *state, const char *subject,
                                   struct cvm_rule_scope *out_scope, struct cvm_error *err)
{
    const struct cvm_names *names = state;
    uint64_t sources = 0;
    int attribute = CVM_INDEX_NONE;
    enum cvm_status status =
        cvm_names_subject(names->catalogue, subject, &sources, &attribute, err);
    return status == CVM_OK ? cvm_names_events(names, sources, out_scope, err) : status;
}

struct cvm_rule_scope cvm_names_scope(struct cvm_names *names)
{
    return (struct cvm_rule_scope){
        .resolve = resolve_feature,
        .events = find_events,
        .aggregate = make_aggregate,
        .state = names,
    };
}

/* ---- after reading ---- */

enum cvm_status cvm_names_compile(struct cvm_arena *arena, const struct cvm_catalogue *catalogue,
                                  const char *text, enum cvm_rule_type wanted,
                                  const struct cvm_catalogue **out_catalogue,
                                  struct cvm_rule *out_rule, struct cvm_error *err)
{
    struct cvm_catalogue *copy = CVM_NEW(arena, struct cvm_catalogue);
    struct cvm_feature *features = CVM_NEW_ARRAY(arena, CVM_FEATURES_MAX, struct cvm_feature);
    struct cvm_topic *topics = CVM_NEW_ARRAY(arena, CVM_TOPICS_MAX, struct cvm_topic);

    if (copy == NULL || features == NULL || topics == NULL) {
        return fail_memory(err);
    }
    if (catalogue->feature_count > 0) {
        memcpy(features, catalogue->features, catalogue->feature_count * sizeof(features[0]));
    }
    if (catalogue->topic_count > 0) {
        memcpy(topics, catalogue->topics, catalogue->topic_count * sizeof(topics[0]));
    }
    *copy = *catalogue;
    copy->features = features;
    copy->topics = topics;
    struct cvm_names names = {.arena = arena, .catalogue = copy};
    const struct cvm_rule_scope scope = cvm_names_scope(&names);
    enum cvm_status status = cvm_rule_compile(arena, text, wanted, &scope, out_rule, err);
    if (status == CVM_OK) {
        *out_catalogue = copy;
    }
    return status;
}

bool cvm_catalogue_reads_journeys_of(const struct cvm_catalogue *reader,
                                     const struct cvm_catalogue *packed)
{
    size_t topic_count =
        reader->topic_count < packed->topic_count ? reader->topic_count : packed->topic_count;
    struct cvm_text mine;
    struct cvm_text theirs;

    cvm_text_init(&mine, DESCRIPTION_MAX);
    cvm_text_init(&theirs, DESCRIPTION_MAX);
    cvm_catalogue_describe_some(reader, topic_count, &mine);
    cvm_catalogue_describe_some(packed, topic_count, &theirs);
    bool is_same = !mine.failed && !theirs.failed && mine.length == theirs.length &&
                   strcmp(cvm_text_string(&mine), cvm_text_string(&theirs)) == 0;
    cvm_text_finish(&mine);
    cvm_text_finish(&theirs);
    return is_same;
}

/* ---- sensitive ---- */

int cvm_rule_sensitive(const struct cvm_catalogue *catalogue, const struct cvm_rule *rule)
{
    for (size_t c = 0; c < rule->clause_count; c++) {
        const struct cvm_rule_part *part = &rule->clauses[c].whole;
        for (size_t o = 0; o < part->operand_count; o++) {
            if (part->operands[o] < catalogue->feature_count &&
                catalogue->features[part->operands[o]].sensitive) {
                return part->operands[o];
            }
        }
    }
    return CVM_INDEX_NONE;
}

void cvm_feature_tell_sensitive(const struct cvm_catalogue *catalogue, size_t feature,
                                struct cvm_text *out)
{
    const struct cvm_feature *f = &catalogue->features[feature];
    /* A rule reads features before its own, so this ends. */
    int next = cvm_rule_sensitive(catalogue, &f->rule);
    const char *cause = NULL;

    if (next >= 0 && (size_t)next < feature) {
        cvm_text_add_format(out, "%s'%s' reads '%s'", out->length > 0 ? ", " : "", f->name,
                            catalogue->features[next].name);
        cvm_feature_tell_sensitive(catalogue, (size_t)next, out);
        return;
    }
    cause = sensitive_cause(catalogue, f);
    if (cause != NULL) {
        cvm_text_add_format(out, "%s'%s' reads '%s'", out->length > 0 ? ", " : "", f->name, cause);
    }
}
