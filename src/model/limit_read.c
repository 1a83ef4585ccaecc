/* Limits, rests, sequences, exclusions and household limits of contact_policy.yaml.
 *
 * Each becomes a rule that counts contacts, compiled like any other rule: explain, evidence and
 * evaluation need no second mechanism.
 */
#include <string.h>

#include "base/text.h"
#include "model/catalogue_reading.h"
#include "model/rule_scope.h"

#define WINDOW_DAYS_MAX 3650
#define CONTACTS_MAX    1000

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
    enum cvm_status status = name_rule(reading, node, item, part, &rule);
    for (size_t r = 0; status == CVM_OK && r < policy->rule_count; r++) {
        if (strcmp(policy->rules[r].name, rule.name) == 0) {
            status = cvm_schema_fail(node, reading->err, "'%s' is defined twice", item->name);
        }
    }
    if (status != CVM_OK) {
        return status;
    }
    cvm_text_init(&text, 0);
    write_count(reading, item, actions, &text);
    cvm_text_add_format(&text, " < %d", (int)item->max);
    const char *kept = keep_text(reading, &text);
    status = kept == NULL ? cvm_reading_fail_memory(reading, node) : CVM_OK;
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
    struct cvm_suggestion nearest = {.typed = name};
    int treatment = cvm_catalogue_treatment(catalogue, name);
    if (treatment >= 0) {
        return cvm_schema_fail(node, reading->err, "'%s' is a treatment; its action is '%s'", name,
                               action_of(reading, (size_t)treatment));
    }
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        cvm_suggestion_try(&nearest, action_of(reading, t));
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
    for (size_t l = 0; status == CVM_OK && l < policy->household_count; l++) {
        if (strcmp(policy->household[l].name, item.name) == 0) {
            status = cvm_schema_fail(node, reading->err, "'%s' is defined twice", item.name);
        }
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
    cvm_reading_place_features(reading, node);
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

/* ---- all of them ---- */

enum cvm_status cvm_read_limits(struct cvm_reading *reading, const struct cvm_yaml_node *root)
{
    static const struct {
        const char *key;
        const char *what;
        size_t max;
        enum cvm_status (*read)(struct cvm_reading *reading, const struct cvm_yaml_node *node);
    } parts[] = {
        {"limits", "limits", CVM_POLICY_RULES_MAX, read_limit},
        {"rests", "rests", CVM_POLICY_RULES_MAX, read_rest},
        {"sequences", "sequences", CVM_POLICY_RULES_MAX, read_sequence},
        {"exclusions", "exclusions", CVM_POLICY_RULES_MAX, read_exclusion},
        {"household_limits", "household limits", CVM_HOUSEHOLD_LIMITS_MAX, read_household_limit},
    };
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && status == CVM_OK; i++) {
        const struct cvm_yaml_node *list = cvm_yaml_member(root, parts[i].key);
        status = cvm_reading_check_list(reading, list, parts[i].max, parts[i].what);
        for (const struct cvm_yaml_node *n = list == NULL ? NULL : list->first_child;
             n != NULL && status == CVM_OK; n = n->next) {
            status = parts[i].read(reading, n);
        }
    }
    return status;
}
