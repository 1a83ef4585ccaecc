/* contact_policy.yaml: when customers may be contacted, and how often.
 *
 * Each limit becomes a rule that counts contacts, compiled like any other rule: explain, evidence
 * and evaluation need no second mechanism.
 */
#include <string.h>

#include "base/text.h"
#include "model/catalogue_reading.h"
#include "model/rule_scope.h"

#define WINDOW_DAYS_MAX 3650
#define CONTACTS_MAX    1000

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

/* What all kinds of limits have. */
struct limit_item {
    const char *name;
    const char *display_name;
    int purpose;
    int channel;
    int each; /* 0 = action, -1 = all together */
    bool without_contact;
    int64_t max;
    int64_t window_days;
    struct cvm_schema_texts first;  /* never, never_together */
    struct cvm_schema_texts second; /* after */
};
static const char *const each_words[] = {"action", NULL};
#define NAME_KEYS(key)                                                                             \
    CVM_KEY(struct limit_item, key, name, CVM_SCHEMA_NAME, .required = true),                      \
        CVM_KEY(struct limit_item, "display_name", display_name, CVM_SCHEMA_TEXT)
#define PURPOSE_KEY                                                                                \
    CVM_KEY(struct limit_item, "purpose", purpose, CVM_SCHEMA_WORD, .words = cvm_purpose_words)
#define DAYS_KEY(key)                                                                              \
    CVM_KEY(struct limit_item, key, window_days, CVM_SCHEMA_INT, .required = true, .min = 1,       \
            .max = WINDOW_DAYS_MAX)
#define MAX_KEY                                                                                    \
    CVM_KEY(struct limit_item, "max", max, CVM_SCHEMA_INT, .required = true, .min = 0,             \
            .max = CONTACTS_MAX)
static const struct cvm_schema_field limit_fields[] = {
    NAME_KEYS("limit"),
    PURPOSE_KEY,
    CVM_KEY(struct limit_item, "channel", channel, CVM_SCHEMA_WORD, .words = cvm_channel_words),
    CVM_KEY(struct limit_item, "each", each, CVM_SCHEMA_WORD, .words = each_words),
    CVM_KEY(struct limit_item, "without_contact", without_contact, CVM_SCHEMA_BOOL),
    MAX_KEY,
    DAYS_KEY("window_days"),
    {.key = NULL},
};
static const struct cvm_schema limit_schema = {"a limit", limit_fields};
static const struct cvm_schema_field rest_fields[] = {
    NAME_KEYS("rest"), PURPOSE_KEY, DAYS_KEY("days"), {.key = NULL}};
static const struct cvm_schema rest_schema = {"a rest", rest_fields};
static const struct cvm_schema_field sequence_fields[] = {
    NAME_KEYS("sequence"),
    CVM_KEY(struct limit_item, "never", first, CVM_SCHEMA_TEXTS, .required = true),
    CVM_KEY(struct limit_item, "after", second, CVM_SCHEMA_TEXTS, .required = true),
    DAYS_KEY("within_days"),
    {.key = NULL},
};
static const struct cvm_schema sequence_schema = {"a sequence", sequence_fields};
static const struct cvm_schema_field exclusion_fields[] = {
    NAME_KEYS("exclusion"),
    CVM_KEY(struct limit_item, "never_together", first, CVM_SCHEMA_TEXTS, .required = true),
    DAYS_KEY("within_days"),
    {.key = NULL},
};
static const struct cvm_schema exclusion_schema = {"an exclusion", exclusion_fields};
static const struct cvm_schema_field household_fields[] = {
    NAME_KEYS("limit"), PURPOSE_KEY, MAX_KEY, DAYS_KEY("window_days"), {.key = NULL}};
static const struct cvm_schema household_schema = {"a household limit", household_fields};

/* ---- the source of contacts ---- */

static enum cvm_status find_source(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                   const char *name)
{
    const struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_nearest nearest = {.wanted = name};
    int source = cvm_catalogue_source(catalogue, name);
    for (size_t i = 0; source < 0 && i < catalogue->source_count; i++) {
        cvm_nearest_try(&nearest, catalogue->sources[i].name);
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
    struct cvm_nearest nearest = {.wanted = name};
    int attribute = cvm_catalogue_attribute(catalogue, name);
    if (attribute < 0 || !cvm_source_fills(source, attribute)) {
        for (size_t i = 0; i < source->field_count; i++) {
            cvm_nearest_try(&nearest, catalogue->attributes[source->fields[i].attribute].name);
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
    struct cvm_nearest nearest = {.wanted = node->key};
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], node->key) != 0) {
            cvm_nearest_try(&nearest, words[i]);
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

/* ---- rules from limits ---- */

static const char *attribute_name(const struct cvm_reading *reading, int attribute)
{
    return reading->catalogue->attributes[attribute].name;
}

static const char *action_of(const struct cvm_reading *reading, size_t treatment)
{
    return reading->catalogue->treatments[treatment].action;
}

/* "outreach.action in ['a', 'b']", each action once */
static void write_actions(const struct cvm_reading *reading, uint64_t treatments,
                          struct cvm_text *out)
{
    const struct cvm_catalogue *catalogue = reading->catalogue;
    const char *glue = "";
    cvm_text_add_format(out, "%s in [",
                        attribute_name(reading, catalogue->policy.action_attribute));
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        bool is_first = (treatments >> t & 1) != 0;
        for (size_t u = 0; is_first && u < t; u++) {
            is_first = (treatments >> u & 1) == 0 ||
                       strcmp(action_of(reading, u), action_of(reading, t)) != 0;
        }
        if (is_first) {
            cvm_text_add_format(out, "%s'%s'", glue, action_of(reading, t));
            glue = ", ";
        }
    }
    cvm_text_add_char(out, ']');
}

/* count(contact_history, 30, outreach.purpose == 'marketing' && ...) */
static void write_count(const struct cvm_reading *reading, const struct limit_item *item,
                        uint64_t actions, struct cvm_text *out)
{
    const struct cvm_contact_policy *policy = &reading->catalogue->policy;
    const char *channel = attribute_name(reading, policy->channel_attribute);
    const char *glue = ", ";
    cvm_text_add_format(out, "count(%s, %d", reading->catalogue->sources[policy->source].name,
                        (int)item->window_days);
    if (item->purpose != CVM_PURPOSE_UNSET) {
        cvm_text_add_format(out, "%s%s == '%s'", glue,
                            attribute_name(reading, policy->purpose_attribute),
                            cvm_purpose_words[item->purpose]);
        glue = " && ";
    }
    if (item->channel != CVM_CHANNEL_UNSET) {
        cvm_text_add_format(out, "%s%s == '%s'", glue, channel, cvm_channel_words[item->channel]);
        glue = " && ";
    } else if (!item->without_contact) {
        cvm_text_add_format(out, "%s!(%s == 'none')", glue, channel);
        glue = " && ";
    }
    if (actions != 0) {
        cvm_text_add(out, glue);
        write_actions(reading, actions, out);
    }
    cvm_text_add_char(out, ')');
}

/* A text of its own in the arena; finishes `text`. NULL when there is no memory. */
static const char *keep_text(struct cvm_reading *reading, struct cvm_text *text)
{
    const char *kept =
        text->failed ? NULL : cvm_arena_string(reading->arena, cvm_text_string(text));
    cvm_text_finish(text);
    return kept;
}

/* "same_action:retention_offer", and the words for people. */
static enum cvm_status name_rule(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                 const struct limit_item *item, const char *part,
                                 struct cvm_policy_rule *rule)
{
    struct cvm_text name;
    struct cvm_text display;
    cvm_text_init(&name, 0);
    cvm_text_init(&display, 0);
    cvm_text_add(&name, item->name);
    cvm_text_add(&display, item->display_name == NULL ? item->name : item->display_name);
    if (part != NULL) {
        cvm_text_add_format(&name, ":%s", part);
        cvm_text_add_format(&display, " (%s)", part);
    }
    rule->name = keep_text(reading, &name);
    rule->display_name = keep_text(reading, &display);
    return rule->name == NULL || rule->display_name == NULL ? cvm_reading_fail_memory(reading, node)
                                                            : CVM_OK;
}

/* `part`: of a limit that becomes several rules; NULL = it is one. */
static enum cvm_status add_rule(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                const struct limit_item *item, const char *part,
                                uint64_t treatments, uint64_t actions)
{
    struct cvm_contact_policy *policy = &reading->catalogue->policy;
    struct cvm_policy_rule rule = {
        .treatments = treatments,
        .channel = (enum cvm_channel)item->channel,
    };
    struct cvm_text text;
    if (policy->rule_count == CVM_POLICY_RULES_MAX) {
        return cvm_schema_fail(node, reading->err, "more than %d rules in the contact policy",
                               CVM_POLICY_RULES_MAX);
    }
    for (size_t r = 0; part == NULL && r < policy->rule_count; r++) {
        if (strcmp(policy->rules[r].name, item->name) == 0) {
            return cvm_schema_fail(node, reading->err, "'%s' is defined twice", item->name);
        }
    }
    cvm_text_init(&text, 0);
    write_count(reading, item, actions, &text);
    cvm_text_add_format(&text, " < %d", (int)item->max);
    const char *kept = keep_text(reading, &text);
    if (kept == NULL) {
        return cvm_reading_fail_memory(reading, node);
    }
    enum cvm_status status = name_rule(reading, node, item, part, &rule);
    if (status == CVM_OK) {
        status = cvm_reading_rule(reading, node, "", kept, &rule.allows);
    }
    if (status == CVM_OK) {
        policy->rules[policy->rule_count++] = rule;
    }
    return status;
}

/* The treatments that one more contact of this kind would be. */
static uint64_t governed(const struct cvm_catalogue *catalogue, const struct limit_item *item)
{
    uint64_t treatments = 0;
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        const struct cvm_treatment *treatment = &catalogue->treatments[t];
        bool is_purpose =
            item->purpose == CVM_PURPOSE_UNSET || item->purpose == (int)treatment->purpose;
        bool is_channel = item->channel == CVM_CHANNEL_UNSET ||
                          item->channel == (int)treatment->channel ||
                          treatment->channel == CVM_CHANNEL_ANY;
        bool is_contact = treatment->channel != CVM_CHANNEL_NONE || item->without_contact;
        if (is_purpose && is_channel && is_contact) {
            treatments |= UINT64_C(1) << t;
        }
    }
    return treatments;
}

/* Of `treatments`, those with the action of `treatment`. */
static uint64_t same_action(const struct cvm_reading *reading, uint64_t treatments,
                            size_t treatment)
{
    uint64_t same = 0;
    for (size_t t = 0; t < reading->catalogue->treatment_count; t++) {
        if ((treatments >> t & 1) != 0 &&
            strcmp(action_of(reading, t), action_of(reading, treatment)) == 0) {
            same |= UINT64_C(1) << t;
        }
    }
    return same;
}

static enum cvm_status need_actions(struct cvm_reading *reading, const struct cvm_yaml_node *node)
{
    return reading->catalogue->policy.action_attribute == CVM_INDEX_NONE
               ? cvm_schema_fail(node, reading->err,
                                 "the contact policy names no attribute for the action")
               : CVM_OK;
}

/* A rule per action that `treatments` have; `done` gives what must not have been done. */
static enum cvm_status add_each(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                const struct limit_item *item, uint64_t treatments,
                                uint64_t (*done)(uint64_t all, uint64_t same))
{
    enum cvm_status status = need_actions(reading, node);
    for (size_t t = 0; status == CVM_OK && t < reading->catalogue->treatment_count; t++) {
        uint64_t same = same_action(reading, treatments, t);
        bool is_first = (treatments >> t & 1) != 0 && (same & ((UINT64_C(1) << t) - 1)) == 0;
        if (is_first) {
            status =
                add_rule(reading, node, item, action_of(reading, t), same, done(treatments, same));
        }
    }
    return status;
}

static uint64_t itself(uint64_t all, uint64_t same)
{
    (void)all;
    return same;
}

static uint64_t the_others(uint64_t all, uint64_t same)
{
    return all & ~same;
}

static struct limit_item new_item(void)
{
    return (struct limit_item){
        .purpose = CVM_PURPOSE_UNSET, .channel = CVM_CHANNEL_UNSET, .each = -1};
}

static enum cvm_status read_limit(struct cvm_reading *reading, const struct cvm_yaml_node *node)
{
    struct limit_item item = new_item();
    enum cvm_status status =
        cvm_schema_read(reading->arena, &limit_schema, node, &item, reading->err);
    if (status != CVM_OK) {
        return status;
    }
    if (item.channel != CVM_CHANNEL_UNSET && item.channel >= CVM_CHANNEL_COUNT) {
        return cvm_schema_fail(cvm_yaml_member(node, "channel"), reading->err,
                               "a limit is on call, email, sms or push, or on all of them");
    }
    if (item.channel != CVM_CHANNEL_UNSET && (item.each >= 0 || item.without_contact)) {
        return cvm_schema_fail(node, reading->err,
                               "a limit on a channel is for all contacts by it: no 'each' and no "
                               "'without_contact' beside it");
    }
    uint64_t treatments = governed(reading->catalogue, &item);
    return item.each >= 0 ? add_each(reading, node, &item, treatments, itself)
                          : add_rule(reading, node, &item, NULL, treatments, 0);
}

static enum cvm_status read_rest(struct cvm_reading *reading, const struct cvm_yaml_node *node)
{
    struct limit_item item = new_item();
    item.max = 1;
    enum cvm_status status =
        cvm_schema_read(reading->arena, &rest_schema, node, &item, reading->err);
    return status == CVM_OK
               ? add_rule(reading, node, &item, NULL, governed(reading->catalogue, &item), 0)
               : status;
}

/* ---- actions that exclude each other ---- */

static enum cvm_status fail_action(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                   const char *name)
{
    const struct cvm_catalogue *catalogue = reading->catalogue;
    struct cvm_nearest nearest = {.wanted = name};
    int treatment = cvm_catalogue_treatment(catalogue, name);
    if (treatment >= 0) {
        return cvm_schema_fail(node, reading->err, "'%s' is a treatment; its action is '%s'", name,
                               action_of(reading, (size_t)treatment));
    }
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        cvm_nearest_try(&nearest, action_of(reading, t));
    }
    return cvm_reading_fail_unknown(reading, node, "action", &nearest);
}

static enum cvm_status find_actions(struct cvm_reading *reading, const struct cvm_yaml_node *map,
                                    const char *key, const struct cvm_schema_texts *names,
                                    uint64_t *out_treatments)
{
    const struct cvm_yaml_node *node = cvm_yaml_member(map, key);
    uint64_t treatments = 0;
    for (size_t i = 0; i < names->count; i++) {
        uint64_t found = 0;
        for (size_t t = 0; t < reading->catalogue->treatment_count; t++) {
            bool is_it = strcmp(action_of(reading, t), names->items[i]) == 0;
            found |= is_it ? UINT64_C(1) << t : 0;
        }
        if (found == 0) {
            return fail_action(reading, node, names->items[i]);
        }
        treatments |= found;
    }
    *out_treatments = treatments;
    return CVM_OK;
}

static enum cvm_status read_sequence(struct cvm_reading *reading, const struct cvm_yaml_node *node)
{
    struct limit_item item = new_item();
    uint64_t never = 0;
    uint64_t after = 0;
    item.max = 1;
    item.without_contact = true; /* what was done counts, not how it was told */
    enum cvm_status status =
        cvm_schema_read(reading->arena, &sequence_schema, node, &item, reading->err);
    if (status == CVM_OK) {
        status = need_actions(reading, node);
    }
    if (status == CVM_OK) {
        status = find_actions(reading, node, "never", &item.first, &never);
    }
    if (status == CVM_OK) {
        status = find_actions(reading, node, "after", &item.second, &after);
    }
    return status == CVM_OK ? add_rule(reading, node, &item, NULL, never, after) : status;
}

static size_t first_of(uint64_t treatments)
{
    size_t t = 0;
    while (t < CVM_TREATMENTS_MAX - 1 && (treatments >> t & 1) == 0) {
        t++;
    }
    return t;
}

static enum cvm_status read_exclusion(struct cvm_reading *reading, const struct cvm_yaml_node *node)
{
    struct limit_item item = new_item();
    uint64_t together = 0;
    item.max = 1;
    item.without_contact = true;
    enum cvm_status status =
        cvm_schema_read(reading->arena, &exclusion_schema, node, &item, reading->err);
    if (status == CVM_OK) {
        status = find_actions(reading, node, "never_together", &item.first, &together);
    }
    if (status == CVM_OK && same_action(reading, together, first_of(together)) == together) {
        status = cvm_schema_fail(cvm_yaml_member(node, "never_together"), reading->err,
                                 "at least two actions exclude each other");
    }
    return status == CVM_OK ? add_each(reading, node, &item, together, the_others) : status;
}

/* ---- households ---- */

static enum cvm_status read_household_limit(struct cvm_reading *reading,
                                            const struct cvm_yaml_node *node)
{
    struct cvm_contact_policy *policy = &reading->catalogue->policy;
    struct cvm_names names = {.arena = reading->arena, .catalogue = reading->catalogue};
    const struct cvm_rule_scope scope = cvm_names_scope(&names);
    struct cvm_rule rule = {0};
    struct cvm_error found = {0};
    struct cvm_text text;
    struct limit_item item = new_item();
    enum cvm_status status =
        cvm_schema_read(reading->arena, &household_schema, node, &item, reading->err);
    if (status == CVM_OK && policy->household_feature == CVM_INDEX_NONE) {
        status = cvm_schema_fail(node, reading->err,
                                 "the contact policy names no feature for the household");
    }
    if (status != CVM_OK) {
        return status;
    }
    cvm_text_init(&text, 0);
    write_count(reading, &item, 0, &text);
    const char *count = keep_text(reading, &text);
    if (count == NULL) {
        return cvm_reading_fail_memory(reading, node);
    }
    status = cvm_rule_compile(reading->arena, count, CVM_RULE_NUMBER, &scope, &rule, &found);
    if (status != CVM_OK) {
        return cvm_reading_fail_rule(reading, node, "", &found);
    }
    policy->household[policy->household_count++] = (struct cvm_household_limit){
        .name = item.name,
        .display_name = item.display_name == NULL ? item.name : item.display_name,
        .max = (int)item.max,
        .window_days = (int)item.window_days,
        .purpose = (enum cvm_purpose)item.purpose,
        .count_feature = rule.clauses[0].whole.operands[0],
    };
    return CVM_OK;
}

/* ---- the file ---- */

struct policy_part {
    const struct cvm_yaml_node *list;
    const char *what;
    size_t max;
    enum cvm_status (*read)(struct cvm_reading *reading, const struct cvm_yaml_node *node);
};

enum cvm_status cvm_read_policy(struct cvm_reading *reading, const struct cvm_yaml_node *root)
{
    struct cvm_contact_policy *policy = &reading->catalogue->policy;
    struct policy_file file = {0};
    enum cvm_status status =
        cvm_schema_read(reading->arena, &file_schema, root, &file, reading->err);
    const struct policy_part parts[] = {
        {file.limits, "limits", CVM_POLICY_RULES_MAX, read_limit},
        {file.rests, "rests", CVM_POLICY_RULES_MAX, read_rest},
        {file.sequences, "sequences", CVM_POLICY_RULES_MAX, read_sequence},
        {file.exclusions, "exclusions", CVM_POLICY_RULES_MAX, read_exclusion},
        {file.household_limits, "household limits", CVM_HOUSEHOLD_LIMITS_MAX, read_household_limit},
    };
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
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && status == CVM_OK; i++) {
        status = cvm_reading_check_list(reading, parts[i].list, parts[i].max, parts[i].what);
        for (const struct cvm_yaml_node *n = parts[i].list == NULL ? NULL
                                                                   : parts[i].list->first_child;
             n != NULL && status == CVM_OK; n = n->next) {
            status = parts[i].read(reading, n);
        }
    }
    return status;
}
