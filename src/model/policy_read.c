/* contact_policy.yaml: where contacts stand, and when customers may be contacted; how often is
 * limit_read.c. */
#include <string.h>

#include "model/catalogue_reading.h"

struct policy_file {
    const struct cvm_yaml_node *policy;
    const struct cvm_yaml_node *channel_hours;
    const struct cvm_yaml_node *preferred_times;
    const struct cvm_yaml_node *limits;
    const struct cvm_yaml_node *rests;
    const struct cvm_yaml_node *sequences;
    const struct cvm_yaml_node *exclusions;
    const struct cvm_yaml_node *household_limits;
};
static const struct cvm_schema_field file_fields[] = {
    CVM_KEY(struct policy_file, "contact_policy", policy, CVM_SCHEMA_NODE, .required = true),
    CVM_KEY(struct policy_file, "channel_hours", channel_hours, CVM_SCHEMA_NODE),
    CVM_KEY(struct policy_file, "preferred_times", preferred_times, CVM_SCHEMA_NODE),
    CVM_KEY(struct policy_file, "limits", limits, CVM_SCHEMA_NODE),
    CVM_KEY(struct policy_file, "rests", rests, CVM_SCHEMA_NODE),
    CVM_KEY(struct policy_file, "sequences", sequences, CVM_SCHEMA_NODE),
    CVM_KEY(struct policy_file, "exclusions", exclusions, CVM_SCHEMA_NODE),
    CVM_KEY(struct policy_file, "household_limits", household_limits, CVM_SCHEMA_NODE),
    {.key = NULL},
};
static const struct cvm_schema file_schema = {"contact_policy.yaml", file_fields};

struct policy_item {
    const char *source;
    const char *channel;
    const char *purpose;
    const char *action;
    const char *time_zone;
    const char *household;
    int64_t lead_days;
};
static const struct cvm_schema_field policy_fields[] = {
    CVM_KEY(struct policy_item, "source", source, CVM_SCHEMA_TEXT, .required = true),
    CVM_KEY(struct policy_item, "channel", channel, CVM_SCHEMA_TEXT, .required = true),
    CVM_KEY(struct policy_item, "purpose", purpose, CVM_SCHEMA_TEXT, .required = true),
    CVM_KEY(struct policy_item, "action", action, CVM_SCHEMA_TEXT),
    CVM_KEY(struct policy_item, "time_zone", time_zone, CVM_SCHEMA_TEXT),
    CVM_KEY(struct policy_item, "household", household, CVM_SCHEMA_TEXT),
    CVM_KEY(struct policy_item, "lead_days", lead_days, CVM_SCHEMA_INT, .min = 0, .max = 30),
    {.key = NULL},
};
static const struct cvm_schema policy_schema = {"the contact policy", policy_fields};

/* ---- the source of contacts ---- */

static enum cvm_status find_source(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                   const char *name)
{
    const struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_suggestion nearest = {.typed = name};
    int source = cvm_catalogue_source(catalogue, name);
    for (size_t i = 0; source < 0 && i < catalogue->source_count; i++) {
        cvm_suggestion_try(&nearest, catalogue->sources[i].name);
    }
    if (source < 0) {
        return cvm_reading_fail_unknown(reading, node, "source", &nearest);
    }
    if (catalogue->sources[source].kind != CVM_SOURCE_EVENTS) {
        return cvm_schema_fail(node, reading->err, "source '%s' has no events", name);
    }
    reading->catalogue->policy.source = source;
    return CVM_OK;
}

static enum cvm_status find_attribute(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                      const char *name, enum cvm_attribute_type type,
                                      int *out_attribute)
{
    const struct cvm_catalogue *catalogue = reading->catalogue;
    const struct cvm_source *source = &catalogue->sources[catalogue->policy.source];
    struct cvm_suggestion nearest = {.typed = name};
    int attribute = cvm_catalogue_attribute(catalogue, name);
    if (attribute < 0 || !cvm_source_fills(source, attribute)) {
        for (size_t i = 0; i < source->field_count; i++) {
            cvm_suggestion_try(&nearest, catalogue->attributes[source->fields[i].attribute].name);
        }
        return cvm_reading_fail_unknown(reading, node, "attribute of contacts", &nearest);
    }
    if (catalogue->attributes[attribute].type != type) {
        return cvm_schema_fail(node, reading->err, "attribute '%s' is not of type %s", name,
                               type == CVM_ATTRIBUTE_WORD ? "word" : "code");
    }
    *out_attribute = attribute;
    return CVM_OK;
}

static bool has_word(const char *const *words, const char *word)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], word) == 0) {
            return true;
        }
    }
    return false;
}

/* Our own contacts are lent to the journey in these words, so each must be there; others would
 * never match a limit. */
static enum cvm_status check_words(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                   int attribute, const char *const *canonical, size_t count)
{
    const struct cvm_attribute *a = &reading->catalogue->attributes[attribute];
    for (size_t i = 0; i < count; i++) {
        if (!has_word(a->words, canonical[i])) {
            return cvm_schema_fail(node, reading->err, "attribute '%s' lacks the word '%s'",
                                   a->name, canonical[i]);
        }
    }
    for (size_t i = 0; a->words[i] != NULL; i++) {
        if (!has_word(canonical, a->words[i])) {
            return cvm_schema_fail(node, reading->err, "attribute '%s' has the unknown word '%s'",
                                   a->name, a->words[i]);
        }
    }
    return CVM_OK;
}

static enum cvm_status read_optional_feature(struct cvm_reading *reading,
                                             const struct cvm_yaml_node *map, const char *key,
                                             const char *name, int *out_feature)
{
    return name == NULL
               ? CVM_OK
               : cvm_reading_feature(reading, cvm_yaml_member(map, key), name, out_feature);
}

static enum cvm_status read_features_of(struct cvm_reading *reading,
                                        const struct cvm_yaml_node *node,
                                        const struct policy_item *item)
{
    struct cvm_contact_policy *policy = &reading->catalogue->policy;
    enum cvm_status status =
        read_optional_feature(reading, node, "time_zone", item->time_zone, &policy->zone_feature);
    if (status == CVM_OK && policy->zone_feature != CVM_INDEX_NONE &&
        reading->catalogue->features[policy->zone_feature].words == NULL) {
        status = cvm_schema_fail(cvm_yaml_member(node, "time_zone"), reading->err,
                                 "feature '%s' is no word: its words are the names of time zones",
                                 item->time_zone);
    }
    return status == CVM_OK ? read_optional_feature(reading, node, "household", item->household,
                                                    &policy->household_feature)
                            : status;
}

static enum cvm_status read_policy(struct cvm_reading *reading, const struct cvm_yaml_node *node)
{
    struct cvm_contact_policy *policy = &reading->catalogue->policy;
    struct policy_item item = {.lead_days = 1};
    enum cvm_status status =
        cvm_schema_read(reading->arena, &policy_schema, node, &item, reading->err);
    const struct cvm_yaml_node *channel = cvm_yaml_member(node, "channel");
    const struct cvm_yaml_node *purpose = cvm_yaml_member(node, "purpose");
    policy->lead_days = (int)item.lead_days;
    policy->action_attribute = CVM_INDEX_NONE;
    if (status == CVM_OK) {
        status = find_source(reading, cvm_yaml_member(node, "source"), item.source);
    }
    if (status == CVM_OK) {
        status = find_attribute(reading, channel, item.channel, CVM_ATTRIBUTE_WORD,
                                &policy->channel_attribute);
    }
    if (status == CVM_OK) {
        static const char *const words[] = {"call", "email", "sms", "push", "none", NULL};
        status = check_words(reading, channel, policy->channel_attribute, words, 5);
    }
    if (status == CVM_OK) {
        status = find_attribute(reading, purpose, item.purpose, CVM_ATTRIBUTE_WORD,
                                &policy->purpose_attribute);
    }
    if (status == CVM_OK) {
        static const char *const words[] = {"marketing", "service", "billing", NULL};
        status = check_words(reading, purpose, policy->purpose_attribute, words, 3);
    }
    if (status == CVM_OK && item.action != NULL) {
        status = find_attribute(reading, cvm_yaml_member(node, "action"), item.action,
                                CVM_ATTRIBUTE_CODE, &policy->action_attribute);
    }
    return status == CVM_OK ? read_features_of(reading, node, &item) : status;
}

/* ---- hours ---- */

static enum cvm_status read_hours_of(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                     const char *const *words, size_t count,
                                     struct cvm_hours *hours)
{
    struct cvm_suggestion nearest = {.typed = node->key};
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], node->key) != 0) {
            cvm_suggestion_try(&nearest, words[i]);
            continue;
        }
        if (node->type != CVM_YAML_SCALAR ||
            !cvm_quiet_hours_parse(node->text, &hours[i].from_min, &hours[i].to_min)) {
            return cvm_schema_fail(node, reading->err, "hours are written \"09:00-20:00\"");
        }
        return hours[i].from_min == hours[i].to_min
                   ? cvm_schema_fail(node, reading->err, "no minute lies in '%s'", node->text)
                   : CVM_OK;
    }
    return cvm_reading_fail_unknown(reading, node, "hours", &nearest);
}

static enum cvm_status read_hours(struct cvm_reading *reading, const struct cvm_yaml_node *map,
                                  const char *const *words, size_t count, struct cvm_hours *hours)
{
    enum cvm_status status = cvm_reading_check_map(reading, map, count, "hours");
    for (size_t i = 0; i < count; i++) {
        hours[i] = (struct cvm_hours){CVM_MINUTE_NONE, CVM_MINUTE_NONE};
    }
    for (const struct cvm_yaml_node *n = map == NULL ? NULL : map->first_child;
         n != NULL && status == CVM_OK; n = n->next) {
        status = read_hours_of(reading, n, words, count, hours);
    }
    return status;
}

/* ---- the file ---- */

enum cvm_status cvm_read_policy(struct cvm_reading *reading, const struct cvm_yaml_node *root)
{
    struct cvm_contact_policy *policy = &reading->catalogue->policy;
    struct policy_file file = {0};
    enum cvm_status status =
        cvm_schema_read(reading->arena, &file_schema, root, &file, reading->err);
    if (status == CVM_OK) {
        status = read_policy(reading, file.policy);
    }
    if (status == CVM_OK) {
        status = read_hours(reading, file.channel_hours, cvm_channel_words, CVM_CHANNEL_COUNT,
                            policy->channel_hours);
    }
    if (status == CVM_OK) {
        status = read_hours(reading, file.preferred_times, cvm_preferred_time_words, 5,
                            policy->preferred);
    }
    return status == CVM_OK ? cvm_read_limits(reading, root) : status;
}
