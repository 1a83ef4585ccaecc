/* rule_scope_test.c - what names mean in rules: features, aggregates, mentions, and who is
 * sensitive because of what it reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/config_files.h"
#include "model/rule_scope.h"

static int set_up(void **state)
{
    *state = cvm_arena_create((size_t)512 << 20);
    return *state == NULL;
}

static int tear_down(void **state)
{
    cvm_arena_destroy(*state);
    return 0;
}

static const struct cvm_catalogue *read_or_fail(struct cvm_arena *arena,
                                                const struct config_files *config)
{
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_error err = {0};
    if (config_read(arena, config, &catalogue, &err) != CVM_OK) {
        fail_msg("%s: %s", err.where, err.message);
    }
    return catalogue;
}

static const struct cvm_catalogue *shipped(struct cvm_arena *arena)
{
    struct config_files config = config_load(arena, 100000);
    return read_or_fail(arena, &config);
}

/* The shipped catalogue with these lines at the end of features.yaml. */
static enum cvm_status with_features(struct cvm_arena *arena, const char *lines,
                                     const struct cvm_catalogue **out_catalogue,
                                     struct cvm_error *err)
{
    struct config_files config = config_load(arena, 100000);
    struct cvm_catalogue_file *file = config_file(&config, "features.yaml");
    char *text = cvm_arena_alloc(arena, file->length + strlen(lines) + 1, 1);
    assert_non_null(text);
    memcpy(text, file->text, file->length);
    memcpy(text + file->length, lines, strlen(lines));
    file->text = text;
    file->length += strlen(lines);
    return config_read(arena, &config, out_catalogue, err);
}

static const struct cvm_feature *feature_of(const struct cvm_catalogue *catalogue, const char *name)
{
    int index = cvm_catalogue_feature(catalogue, name);
    if (index < 0) {
        fail_msg("no feature '%s'", name);
    }
    return &catalogue->features[index];
}

static enum cvm_status compile(struct cvm_arena *arena, const struct cvm_catalogue *catalogue,
                               const char *text, enum cvm_rule_type wanted,
                               const struct cvm_catalogue **out_catalogue,
                               struct cvm_rule *out_rule)
{
    struct cvm_error err = {0};
    enum cvm_status status =
        cvm_names_compile(arena, catalogue, text, wanted, out_catalogue, out_rule, &err);
    if (status != CVM_OK) {
        print_message("%s: %s\n", text, err.message);
    }
    return status;
}

static void assert_refused(struct cvm_arena *arena, const struct cvm_catalogue *catalogue,
                           const char *text, const char *message)
{
    const struct cvm_catalogue *after = NULL;
    struct cvm_rule rule;
    struct cvm_error err = {0};
    enum cvm_status status =
        cvm_names_compile(arena, catalogue, text, CVM_RULE_BOOL, &after, &rule, &err);
    if (status == CVM_OK || strstr(err.message, message) == NULL) {
        fail_msg("expected '%s' of %s, got '%s'", message, text, err.message);
    }
    assert_null(after);
}

/* ---- features ---- */

static void a_feature_has_two_names(void **state)
{
    const struct cvm_catalogue *catalogue = shipped(*state);
    const struct cvm_catalogue *after = NULL;
    struct cvm_rule rule = {0};

    assert_int_equal(compile(*state, catalogue, "churn_90d > 0.5 && customer.churn_90d > 0.5",
                             CVM_RULE_BOOL, &after, &rule),
                     CVM_OK);
    assert_int_equal(rule.clause_count, 2);
    assert_int_equal(rule.clauses[0].whole.operands[0], rule.clauses[1].whole.operands[0]);
    assert_int_equal(rule.clauses[0].whole.operands[0],
                     cvm_catalogue_feature(catalogue, "churn_90d"));
    assert_int_equal(after->feature_count, catalogue->feature_count);
}

static void features_have_the_type_of_what_they_keep(void **state)
{
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_error err = {0};
    assert_int_equal(
        with_features(
            *state,
            "  - {feature: t_bool, attribute: fault.open, aggregate: max, description: d}\n"
            "  - {feature: t_date, attribute: contract.end, aggregate: min, description: d}\n"
            "  - {feature: t_days, attribute: contract.end, aggregate: days_since, description: "
            "d}\n"
            "  - {feature: t_code, attribute: bill.plan_name, aggregate: first, description: d}\n"
            "  - {feature: t_count, attribute: bill.plan_name, aggregate: count, description: d}\n"
            "  - {feature: t_sum, attribute: fault.open, aggregate: sum, description: d}\n",
            &catalogue, &err),
        CVM_OK);
    assert_int_equal(feature_of(catalogue, "t_bool")->type, CVM_RULE_BOOL);
    assert_int_equal(feature_of(catalogue, "t_date")->type, CVM_RULE_DATE);
    assert_int_equal(feature_of(catalogue, "t_days")->type, CVM_RULE_NUMBER);
    assert_int_equal(feature_of(catalogue, "t_code")->type, CVM_RULE_CODE);
    assert_int_equal(feature_of(catalogue, "t_count")->type, CVM_RULE_NUMBER);
    assert_int_equal(feature_of(catalogue, "t_sum")->type, CVM_RULE_NUMBER);
    assert_int_equal(feature_of(catalogue, "plan_type")->type, CVM_RULE_WORD);
    assert_string_equal(feature_of(catalogue, "plan_type")->words[0], "prepaid");
    assert_int_equal(feature_of(catalogue, "value_12m")->type, CVM_RULE_NUMBER);
    assert_int_equal(feature_of(catalogue, "high_value")->type, CVM_RULE_BOOL);
}

static void a_feature_by_a_rule_reads_features_before_it(void **state)
{
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_error err = {0};
    assert_int_equal(with_features(*state,
                                   "  - feature: busy\n"
                                   "    description: d\n"
                                   "    rule: count(call_transcripts, 7) + calls_30d >= 3\n",
                                   &catalogue, &err),
                     CVM_OK);
    int busy = cvm_catalogue_feature(catalogue, "busy");
    int own = cvm_catalogue_feature(catalogue, "count(call_transcripts, 7)");
    assert_true(own >= 0 && own < busy);
    assert_true(catalogue->features[own].is_anonymous);
    assert_int_equal(catalogue->features[own].window_days, 7);

    assert_int_equal(with_features(*state,
                                   "  - {feature: a, description: d, rule: later > 1}\n"
                                   "  - {feature: later, description: d, rule: calls_30d}\n",
                                   &catalogue, &err),
                     CVM_E_INVALID);
    assert_non_null(strstr(err.message, "unknown feature 'later'"));
}

static void mistakes_in_features_by_rule_are_refused(void **state)
{
    static const struct {
        const char *lines;
        const char *message;
    } mistakes[] = {
        {"  - {feature: a, description: d, rule: calls_30d, aggregate: count}\n",
         "a feature by 'rule' has nothing else"},
        {"  - {feature: a, description: d, rule: calls_30d, where: contact.minutes > 1}\n",
         "a feature by 'rule' has nothing else"},
        {"  - {feature: a, description: d}\n", "one of the keys 'aggregate' and 'rule'"},
        {"  - {feature: a, description: d, rule: ''}\n", ""},
        {"  - {feature: a, description: d, rule: plan_type}\n", "plan_type"},
        {"  - {feature: a, description: d, rule: calls_30d +}\n", "column"},
        {"  - {feature: plan_type, description: d, rule: calls_30d}\n", "is defined twice"},
    };
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        const struct cvm_catalogue *catalogue = NULL;
        struct cvm_error err = {0};
        assert_int_equal(with_features(*state, mistakes[i].lines, &catalogue, &err), CVM_E_INVALID);
        if (strstr(err.message, mistakes[i].message) == NULL) {
            fail_msg("expected '%s', got '%s'", mistakes[i].message, err.message);
        }
    }
}

/* ---- aggregates ---- */

static void an_aggregate_becomes_an_anonymous_feature(void **state)
{
    const struct cvm_catalogue *catalogue = shipped(*state);
    size_t before = catalogue->feature_count;
    const struct cvm_catalogue *after = NULL;
    struct cvm_rule rule = {0};
    const char *text = "count(call_transcripts, 90, contact.sentiment == 'negative') >= 2 && "
                       "max(bill.extra, 30) > 20";

    assert_int_equal(compile(*state, catalogue, text, CVM_RULE_BOOL, &after, &rule), CVM_OK);
    assert_int_equal(after->feature_count, before + 2);
    assert_int_equal(catalogue->feature_count, before);
    const struct cvm_feature *calls = &after->features[before];
    assert_string_equal(calls->name,
                        "count(call_transcripts, 90, contact.sentiment == 'negative')");
    assert_true(calls->is_anonymous);
    assert_int_equal(calls->aggregate, CVM_AGGREGATE_COUNT);
    assert_int_equal(calls->attribute, CVM_INDEX_NONE);
    assert_int_equal(calls->window_days, 90);
    assert_int_equal(calls->where.clause_count, 1);
    assert_int_equal(calls->sources, UINT64_C(1)
                                         << cvm_catalogue_source(catalogue, "call_transcripts"));
    const struct cvm_feature *extra = &after->features[before + 1];
    assert_int_equal(extra->aggregate, CVM_AGGREGATE_MAX);
    assert_int_equal(extra->attribute, cvm_catalogue_attribute(catalogue, "bill.extra"));
    assert_int_equal(extra->sources, catalogue->attributes[extra->attribute].sources);
}

static void the_same_text_is_the_same_feature(void **state)
{
    const struct cvm_catalogue *first = NULL;
    const struct cvm_catalogue *second = NULL;
    struct cvm_rule rule = {0};
    assert_int_equal(compile(*state, shipped(*state), "count(call_transcripts, 90) > 1",
                             CVM_RULE_BOOL, &first, &rule),
                     CVM_OK);
    assert_int_equal(compile(*state, first,
                             "count(call_transcripts,   90) > 5 || count(call_transcripts, 90) < 2",
                             CVM_RULE_BOOL, &second, &rule),
                     CVM_OK);
    assert_int_equal(second->feature_count, first->feature_count);
}

static void aggregates_that_make_no_sense_are_refused(void **state)
{
    const struct cvm_catalogue *catalogue = shipped(*state);
    assert_refused(*state, catalogue, "count(call_transcript, 90) > 1",
                   "did you mean 'call_transcripts'?");
    assert_refused(*state, catalogue, "sum(call_transcripts, 90) > 1", "attribute");
    assert_refused(*state, catalogue, "sum(contact.sentiment) > 1", "contact.sentiment");
    assert_refused(*state, catalogue, "max(bill.plan_name) > 1", "bill.plan_name");
    assert_refused(*state, catalogue, "last(contact.summary) > 1",
                   "'contact.summary' is text and can not be a feature");
    assert_refused(*state, catalogue, "last(customer.birth_year) > 1", "is personal");
    assert_refused(*state, catalogue, "count(permissions) > 1", "holds permissions, not events");
    assert_refused(*state, catalogue, "count(call_transcripts, 500) > 1",
                   "longer than the history of 400 days");
    assert_refused(*state, catalogue, "count(call_transcripts, 90, bill.extra > 1) > 1",
                   "no source of this feature fills 'bill.extra'");
    assert_refused(*state, catalogue, "bill.extra > 1", "last(bill.extra)");
    assert_refused(*state, catalogue, "churn_90 > 1", "did you mean 'churn_90d'?");
}

static void more_features_than_there_is_room_for_are_an_error(void **state)
{
    const struct cvm_catalogue *catalogue = shipped(*state);
    struct cvm_error err = {0};
    enum cvm_status status = CVM_OK;
    char text[64];

    for (int days = 1; days <= CVM_FEATURES_MAX && status == CVM_OK; days++) {
        struct cvm_rule rule;
        (void)snprintf(text, sizeof(text), "count(web_clicks, %d) > 1", days);
        status = cvm_names_compile(*state, catalogue, text, CVM_RULE_BOOL, &catalogue, &rule, &err);
    }
    assert_int_not_equal(status, CVM_OK);
    assert_int_equal(catalogue->feature_count, CVM_FEATURES_MAX);
    assert_non_null(strstr(err.message, "more than 256 features"));
}

/* ---- mentions ---- */

static uint16_t topic_of(const struct cvm_catalogue *catalogue, const char *feature)
{
    return (uint16_t)feature_of(catalogue, feature)->where.clauses[0].whole.comparison.value;
}

static void mentions_of_a_topics_phrases_is_that_topic(void **state)
{
    const struct cvm_catalogue *catalogue = shipped(*state);
    const struct cvm_catalogue *after = NULL;
    struct cvm_rule rule = {0};
    const char *text =
        "count(web_transcripts, mentions('Connection Issues', 'NETWORK issues')) > 0";

    assert_int_equal(compile(*state, catalogue, text, CVM_RULE_BOOL, &after, &rule), CVM_OK);
    assert_int_equal(after->topic_count, catalogue->topic_count);
    const struct cvm_feature *feature = &after->features[after->feature_count - 1];
    assert_int_equal(feature->where.clauses[0].whole.comparison.operand, CVM_OPERAND_TOPIC);
    assert_int_equal(feature->where.clauses[0].whole.comparison.value,
                     topic_of(catalogue, "network_mentions"));
}

static void other_phrases_are_a_topic_behind_the_named_ones(void **state)
{
    const struct cvm_catalogue *catalogue = shipped(*state);
    const struct cvm_catalogue *after = NULL;
    struct cvm_rule rule = {0};
    const char *text = "count(web_transcripts, mentions('network issues')) > 0 && "
                       "count(call_transcripts, mentions('Network Issues')) > 0";

    assert_int_equal(compile(*state, catalogue, text, CVM_RULE_BOOL, &after, &rule), CVM_OK);
    assert_int_equal(after->topic_count, catalogue->topic_count + 1);
    const struct cvm_topic *topic = &after->topics[catalogue->topic_count];
    assert_true(topic->is_anonymous);
    assert_string_equal(topic->name, "mentions('network issues')");
    assert_string_equal(topic->phrases[0], "network issues");
    assert_null(topic->phrases[1]);
    /* A topic of a rule has no name to ask for. */
    assert_refused(*state, after,
                   "count(web_transcripts, topic == \"mentions('network issues')\") > 0",
                   "is never");
}

static void more_topics_than_bits_are_an_error(void **state)
{
    const struct cvm_catalogue *catalogue = shipped(*state);
    struct cvm_error err = {0};
    enum cvm_status status = CVM_OK;
    char text[80];

    for (int i = 0; i <= CVM_TOPICS_MAX && status == CVM_OK; i++) {
        struct cvm_rule rule;
        (void)snprintf(text, sizeof(text), "count(web_clicks, mentions('word%d')) > 1", i);
        status = cvm_names_compile(*state, catalogue, text, CVM_RULE_BOOL, &catalogue, &rule, &err);
    }
    assert_int_not_equal(status, CVM_OK);
    assert_int_equal(catalogue->topic_count, CVM_TOPICS_MAX);
    assert_non_null(strstr(err.message, "more than 32 sets of words"));
    assert_refused(*state, shipped(*state), "count(web_clicks, mentions('?!')) > 1",
                   "no letter or digit");
}

static void topics_of_rules_leave_older_journeys_readable(void **state)
{
    struct config_files config = config_load(*state, 100000);
    const struct cvm_catalogue *before = read_or_fail(*state, &config);
    config_add(&config, "triggers/gamers.yaml",
               "trigger: gamers\ndescription: d\n"
               "when: count(call_transcripts, mentions('gaming', 'lag')) > 0\n");
    const struct cvm_catalogue *after = read_or_fail(*state, &config);
    assert_int_equal(after->topic_count, before->topic_count + 1);
    assert_string_not_equal(after->data_digest, before->data_digest);
    assert_true(cvm_catalogue_reads_journeys_of(before, after));
    assert_true(cvm_catalogue_reads_journeys_of(after, before));

    (void)config_replace(*state, &config, "topics.yaml", "phrases: [network issues,",
                         "phrases: [network trouble, network issues,");
    const struct cvm_catalogue *other = read_or_fail(*state, &config);
    assert_false(cvm_catalogue_reads_journeys_of(before, other));
    (void)config_replace(*state, &config, "mappings/telecom.yaml", "fields: [duration_minutes,",
                         "fields: [minutes, duration_minutes,");
    assert_false(cvm_catalogue_reads_journeys_of(other, read_or_fail(*state, &config)));
}

/* ---- sensitive ---- */

static void what_reads_something_sensitive_is_sensitive(void **state)
{
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_error err = {0};
    assert_int_equal(
        with_features(
            *state,
            "  - {feature: kind, attribute: suppression.kind, aggregate: last, description: d}\n"
            "  - {feature: held, source: suppressions, aggregate: count, description: d}\n"
            "  - feature: bereft\n"
            "    description: d\n"
            "    attribute: suppression.active\n"
            "    aggregate: last\n"
            "    where: suppression.kind == 'bereaved'\n"
            "  - {feature: active, attribute: suppression.active, aggregate: last, description: "
            "d}\n"
            "  - {feature: old, description: d, rule: '!(held > 0) && calls_30d > 1'}\n"
            "  - {feature: older, description: d, rule: 'old || high_value'}\n",
            &catalogue, &err),
        CVM_OK);
    assert_true(feature_of(catalogue, "kind")->sensitive);
    assert_true(feature_of(catalogue, "held")->sensitive);
    assert_true(feature_of(catalogue, "bereft")->sensitive);
    assert_true(feature_of(catalogue, "active")->sensitive);
    assert_true(feature_of(catalogue, "old")->sensitive);
    assert_true(feature_of(catalogue, "older")->sensitive);
    assert_false(feature_of(catalogue, "events")->sensitive);
    assert_false(feature_of(catalogue, "high_value")->sensitive);

    struct cvm_text chain;
    cvm_text_init(&chain, 0);
    cvm_feature_tell_sensitive(catalogue, (size_t)cvm_catalogue_feature(catalogue, "older"),
                               &chain);
    assert_string_equal(cvm_text_string(&chain),
                        "'older' reads 'old', 'old' reads 'held', 'held' reads 'suppressions'");
    cvm_text_finish(&chain);
}

static void a_value_may_read_nothing_sensitive_by_any_way(void **state)
{
    struct config_files config = config_load(*state, 100000);
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_error err = {0};
    (void)config_replace(*state, &config, "values.yaml", "when: plan_type == 'prepaid'",
                         "when: count(suppressions, suppression.kind == 'vulnerable') > 0");
    assert_int_equal(config_read(*state, &config, &catalogue, &err), CVM_E_INVALID);
    assert_non_null(strstr(err.message, "reads 'suppression.kind'"));
    assert_non_null(strstr(err.message, "may not be used for segments"));

    config = config_load(*state, 100000);
    (void)config_replace(*state, &config, "mappings/telecom.yaml",
                         "bill.plan_charge: {type: number,",
                         "bill.plan_charge: {type: number, sensitive: true,");
    assert_int_equal(config_read(*state, &config, &catalogue, &err), CVM_E_INVALID);
    assert_non_null(strstr(err.message, "feature 'plan_charge' is sensitive ('plan_charge' reads "
                                        "'bill.plan_charge') and may not be used for values"));

    config = config_load(*state, 100000);
    (void)config_replace(*state, &config, "mappings/telecom.yaml", "bill.extra: {type: number,",
                         "bill.extra: {type: number, sensitive: true,");
    (void)config_replace(*state, &config, "values.yaml", "margin_feature: plan_charge",
                         "margin_feature: bill_total");
    assert_int_equal(config_read(*state, &config, &catalogue, &err), CVM_E_INVALID);
    assert_non_null(strstr(err.message, "feature 'bill_total' is sensitive"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_feature_has_two_names),
        cmocka_unit_test(features_have_the_type_of_what_they_keep),
        cmocka_unit_test(a_feature_by_a_rule_reads_features_before_it),
        cmocka_unit_test(mistakes_in_features_by_rule_are_refused),
        cmocka_unit_test(an_aggregate_becomes_an_anonymous_feature),
        cmocka_unit_test(the_same_text_is_the_same_feature),
        cmocka_unit_test(aggregates_that_make_no_sense_are_refused),
        cmocka_unit_test(more_features_than_there_is_room_for_are_an_error),
        cmocka_unit_test(mentions_of_a_topics_phrases_is_that_topic),
        cmocka_unit_test(other_phrases_are_a_topic_behind_the_named_ones),
        cmocka_unit_test(more_topics_than_bits_are_an_error),
        cmocka_unit_test(topics_of_rules_leave_older_journeys_readable),
        cmocka_unit_test(what_reads_something_sensitive_is_sensitive),
        cmocka_unit_test(a_value_may_read_nothing_sensitive_by_any_way),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
