/* catalogue_test.c - the shipped catalogue reads as it is meant; digests, differences, scaling and
 * writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "../support/config_files.h"
#include "base/date.h"

static int set_up(void **state)
{
    *state = cvm_arena_create((size_t)256 << 20);
    return *state == NULL;
}

static int tear_down(void **state)
{
    cvm_arena_destroy(*state);
    return 0;
}

static const struct cvm_catalogue *read_config(struct cvm_arena *arena,
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
    return read_config(arena, &config);
}

static const struct cvm_mapped_field *field_of(const struct cvm_catalogue *c, const char *source,
                                               const char *attribute)
{
    const struct cvm_source *s = &c->sources[cvm_catalogue_source(c, source)];
    int index = cvm_catalogue_attribute(c, attribute);
    for (size_t i = 0; i < s->field_count; i++) {
        if (s->fields[i].attribute == index) {
            return &s->fields[i];
        }
    }
    fail_msg("%s does not fill %s", source, attribute);
    return NULL;
}

static double word_value(const struct cvm_mapped_field *field, const char *raw)
{
    for (size_t i = 0; i < field->word_count; i++) {
        if (strcmp(field->words[i].raw, raw) == 0) {
            return field->words[i].value;
        }
    }
    return -1;
}

/* ---- the shipped catalogue ---- */

static void sources_of_one_day_stand_in_the_order_of_the_golden_journey(void **state)
{
    static const char *const order[] = {"call_transcripts", "web_transcripts",       "web_clicks",
                                        "network_data",     "offer_recommendations", "churn_score",
                                        "usage_data",       "billing_data"};
    const struct cvm_catalogue *c = shipped(*state);
    for (size_t i = 1; i < sizeof(order) / sizeof(order[0]); i++) {
        assert_true(c->sources[cvm_catalogue_source(c, order[i - 1])].rank <
                    c->sources[cvm_catalogue_source(c, order[i])].rank);
    }
    assert_int_equal(c->sources[cvm_catalogue_source(c, "permissions")].kind, CVM_SOURCE_CONSENT);
    assert_int_equal(c->sources[cvm_catalogue_source(c, "customers")].kind, CVM_SOURCE_ATTRIBUTES);
    assert_int_equal(c->history_days, 400);
}

static void aliases_units_and_nested_lists_are_mapped(void **state)
{
    const struct cvm_catalogue *c = shipped(*state);
    const struct cvm_mapped_field *extra = field_of(c, "billing_data", "bill.extra");
    const struct cvm_mapped_field *total = field_of(c, "billing_data", "bill.total");
    const struct cvm_mapped_field *seconds = field_of(c, "web_clicks", "click.seconds");
    const struct cvm_mapped_field *status = field_of(c, "billing_data", "bill.status");

    assert_int_equal(extra->path_count, 2);
    assert_int_equal(extra->aggregate, CVM_LIST_SUM);
    assert_int_equal(extra->paths[1].step_count, 2);
    assert_string_equal(extra->paths[1].steps[0], "additional_charges");
    assert_true(extra->paths[1].is_list[0]);
    assert_string_equal(extra->paths[1].steps[1], "amount");
    assert_false(extra->paths[1].is_list[1]);
    assert_int_equal(total->sum_of_count, 2);
    assert_int_equal(total->sum_of[0], cvm_catalogue_attribute(c, "bill.plan_charge"));
    assert_true(seconds->paths[0].scale == 1 && seconds->paths[1].scale == 60);
    assert_true(word_value(status, "paid") == 0 && word_value(status, "on_time") == 0);
    assert_true(word_value(status, "settled") == 0 && word_value(status, "overdue") == 2);
    assert_true(field_of(c, "billing_data", "bill.plan_charge")->required);
    assert_true(field_of(c, "offer_recommendations", "offer.count")->has_constant);
}

static void sources_share_attributes(void **state)
{
    const struct cvm_catalogue *c = shipped(*state);
    static const struct {
        const char *attribute;
        const char *sources[3];
    } shared[] = {
        {"contact.sentiment", {"call_transcripts", "web_transcripts", NULL}},
        {"bill.plan_charge", {"billing_data", "telco_churn", NULL}},
        {"tenure.months", {"churn_score", "telco_churn", "customers"}},
        {"customer.plan_type", {"customers", "telco_churn", NULL}},
        {"fault.open", {"fault_tickets", "network_data", NULL}},
    };
    for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
        uint64_t expected = 0;
        for (size_t j = 0; j < 3 && shared[i].sources[j] != NULL; j++) {
            expected |= UINT64_C(1) << cvm_catalogue_source(c, shared[i].sources[j]);
        }
        int index = cvm_catalogue_attribute(c, shared[i].attribute);
        assert_true(c->attributes[index].sources == expected);
    }
    const struct cvm_attribute *churn =
        &c->attributes[cvm_catalogue_attribute(c, "churn.probability")];
    assert_true(churn->score.horizon_days == 90);
    assert_string_equal(churn->score.calibration, "assumed");
}

static void every_column_of_the_churn_table_is_known(void **state)
{
    static const char *const columns[] = {
        "customerID",   "gender",           "SeniorCitizen", "Partner",         "Dependents",
        "tenure",       "PhoneService",     "MultipleLines", "InternetService", "OnlineSecurity",
        "OnlineBackup", "DeviceProtection", "TechSupport",   "StreamingTV",     "StreamingMovies",
        "Contract",     "PaperlessBilling", "PaymentMethod", "MonthlyCharges",  "TotalCharges",
        "Churn"};
    const struct cvm_catalogue *c = shipped(*state);
    const struct cvm_source *s = &c->sources[cvm_catalogue_source(c, "telco_churn")];

    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        bool is_known = strcmp(s->customer_paths[0].text, columns[i]) == 0;
        for (size_t f = 0; f < s->field_count; f++) {
            for (size_t p = 0; p < s->fields[f].path_count; p++) {
                is_known = is_known || strcmp(s->fields[f].paths[p].text, columns[i]) == 0;
            }
        }
        if (!is_known) {
            fail_msg("%s is not mapped", columns[i]);
        }
    }
    const struct cvm_mapped_field *plan = field_of(c, "telco_churn", "customer.plan_type");
    assert_true(word_value(plan, "Month-to-month") == 1 && word_value(plan, "Two year") == 2);
    assert_true(c->attributes[cvm_catalogue_attribute(c, "telco.gender")].personal);
    int label = cvm_catalogue_attribute(c, "telco.churned");
    for (size_t i = 0; i < c->feature_count; i++) {
        assert_int_not_equal(c->features[i].attribute, label);
    }
}

static void features_stand_for_what_the_contracts_name(void **state)
{
    static const char *const metrics[] = {"journey_length",
                                          "sentiment.positive",
                                          "sentiment.neutral",
                                          "sentiment.negative",
                                          "recent_activity",
                                          "churn_risk",
                                          "interactions_by_channel.call",
                                          "interactions_by_channel.web_chat"};
    const struct cvm_catalogue *c = shipped(*state);

    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        bool is_there = false;
        for (size_t j = 0; j < c->metric_line_count; j++) {
            is_there = is_there || strcmp(c->metric_lines[j].name, metrics[i]) == 0;
        }
        assert_true(is_there);
    }
    const struct cvm_feature *churn = &c->features[cvm_catalogue_feature(c, "churn_90d")];
    assert_int_equal(churn->aggregate, CVM_AGGREGATE_LAST);
    assert_int_equal(churn->window_days, 120);
    assert_int_equal(c->value.churn_feature, cvm_catalogue_feature(c, "churn_90d"));
    const struct cvm_feature *roaming =
        &c->features[cvm_catalogue_feature(c, "roaming_mentions_90d")];
    assert_int_equal(roaming->where.clauses[0].whole.comparison.operand, CVM_OPERAND_TOPIC);
    assert_string_equal(c->topics[(int)roaming->where.clauses[0].whole.comparison.value].name,
                        "roaming");
    const struct cvm_feature *plan = &c->features[cvm_catalogue_feature(c, "plan_type")];
    assert_string_equal(plan->words[2], "contract");
    assert_true(c->insight_count >= 10 && c->feature_count >= 35);
    static const char *const triggers[] = {"network_issues", "billing_disputes", "churn_risk",
                                           "high_value", "roaming_issues"};
    assert_int_equal(c->trigger_count, 5);
    for (size_t t = 0; t < 5; t++) {
        int found = cvm_catalogue_trigger(c, triggers[t]);
        assert_true(found >= 0 && c->triggers[found].enabled && !c->triggers[found].custom);
        assert_true(c->triggers[found].when.clause_count > 0);
    }
    for (size_t i = 0; i < c->feature_count; i++) {
        const struct cvm_feature *feature = &c->features[i];
        assert_true(feature->description[0] != '\0');
        assert_true((feature->sources != 0) != (feature->rule.clause_count > 0));
    }
}

static void the_twelve_treatments_keep_channel_purpose_and_class(void **state)
{
    static const struct {
        const char *id;
        enum cvm_channel channel;
        enum cvm_purpose purpose;
        enum cvm_treatment_class class;
    } expected[] = {
        {"service_call_back", CVM_CHANNEL_CALL, CVM_PURPOSE_SERVICE, CVM_CLASS_SERVICE},
        {"marketing_call_back", CVM_CHANNEL_CALL, CVM_PURPOSE_MARKETING, CVM_CLASS_RETENTION},
        {"retention_email", CVM_CHANNEL_EMAIL, CVM_PURPOSE_MARKETING, CVM_CLASS_RETENTION},
        {"retention_sms", CVM_CHANNEL_SMS, CVM_PURPOSE_MARKETING, CVM_CLASS_RETENTION},
        {"service_sms", CVM_CHANNEL_SMS, CVM_PURPOSE_SERVICE, CVM_CLASS_SERVICE},
        {"loyalty_app", CVM_CHANNEL_PUSH, CVM_PURPOSE_MARKETING, CVM_CLASS_RETENTION},
        {"early_upgrade", CVM_CHANNEL_ANY, CVM_PURPOSE_MARKETING, CVM_CLASS_SALES},
        {"family_plan", CVM_CHANNEL_ANY, CVM_PURPOSE_MARKETING, CVM_CLASS_SALES},
        {"data_boost", CVM_CHANNEL_NONE, CVM_PURPOSE_SERVICE, CVM_CLASS_SERVICE},
        {"loyalty_points", CVM_CHANNEL_NONE, CVM_PURPOSE_MARKETING, CVM_CLASS_RETENTION},
        {"personalized_offer", CVM_CHANNEL_ANY, CVM_PURPOSE_MARKETING, CVM_CLASS_SALES},
    };
    const struct cvm_catalogue *c = shipped(*state);

    assert_int_equal(c->treatment_count, 11);
    assert_string_equal(c->ignore.id, "ignore");
    assert_int_equal(c->ignore.channel, CVM_CHANNEL_NONE);
    assert_int_equal(cvm_catalogue_treatment(c, "ignore"), CVM_INDEX_NONE);
    for (size_t i = 0; i < 11; i++) {
        int index = cvm_catalogue_treatment(c, expected[i].id);
        assert_true(index >= 0);
        assert_int_equal(c->treatments[index].channel, expected[i].channel);
        assert_int_equal(c->treatments[index].purpose, expected[i].purpose);
        assert_int_equal(c->treatments[index].class, expected[i].class);
        assert_true(c->treatments[index].enabled && !c->treatments[index].custom);
    }
    const struct cvm_treatment *call =
        &c->treatments[cvm_catalogue_treatment(c, "marketing_call_back")];
    assert_int_equal(call->max_per_day, 100);
    assert_int_equal(call->cost_micro, 300000);
    assert_true(call->response.incentive_margins == 1 && call->response.reach == 0.35);
}

static void capacities_stand_before_resources_and_budgets(void **state)
{
    const struct cvm_catalogue *c = shipped(*state);
    uint64_t all = (UINT64_C(1) << c->treatment_count) - 1;

    assert_int_equal(c->constraint_count, 13);
    for (size_t i = 0; i < c->treatment_count; i++) {
        assert_int_equal(c->constraints[i].kind, CVM_CONSTRAINT_CAPACITY);
        assert_true(c->constraints[i].treatments == UINT64_C(1) << i);
        assert_int_equal(c->constraints[i].limit, c->treatments[i].max_per_day);
    }
    int minutes = cvm_catalogue_constraint(c, "call_centre_minutes");
    int call = cvm_catalogue_treatment(c, "marketing_call_back");
    assert_int_equal(c->constraints[minutes].limit, 2400 * 1000);
    assert_int_equal(c->treatments[call].uses[0].constraint, minutes);
    assert_true(
        c->constraints[minutes].treatments ==
        (UINT64_C(1) << call | UINT64_C(1) << cvm_catalogue_treatment(c, "service_call_back")));
    int budget = cvm_catalogue_constraint(c, "incentive_budget");
    assert_true(c->constraints[budget].limit == INT64_C(3000000000));
    assert_true(c->constraints[budget].treatments == all);
    assert_int_equal(c->constraints[budget].measure, CVM_MEASURE_INCENTIVE);
}

static void groups_stand_behind_what_the_ledger_knows(void **state)
{
    struct cvm_arena *arena = *state;
    struct config_files config = config_load(arena, 100000);
    const struct cvm_catalogue *c = NULL;
    struct cvm_error err = {0};
    (void)config_replace(arena, &config, "constraints.yaml", "budgets:",
                         "groups:\n"
                         "  - {group: few, kind: segment_max, segment: prepaid, limit: 50}\n"
                         "  - group: unhappy\n"
                         "    kind: share_min\n"
                         "    customers: last_sentiment == 'negative'\n"
                         "    treatments: [service_sms, retention_sms]\n"
                         "    limit: 0.25\n"
                         "  - {group: kept, kind: reserve, customers: plan_charge > 50, "
                         "treatments: [marketing_call_back], limit: 3}\n"
                         "budgets:");
    config_check(config_read(arena, &config, &c, &err), &err);
    assert_int_equal(c->constraint_count, 13);
    assert_int_equal(c->group_count, 3);
    const struct cvm_constraint *groups = c->constraints + c->constraint_count;
    assert_string_equal(groups[0].id, "few");
    assert_int_equal(groups[0].kind, CVM_CONSTRAINT_SEGMENT_MAX);
    assert_int_equal(groups[0].segment, cvm_catalogue_segment(c, "prepaid"));
    assert_int_equal(groups[0].limit, 50);
    assert_true(groups[0].treatments == (UINT64_C(1) << c->treatment_count) - 1);
    assert_int_equal(groups[1].kind, CVM_CONSTRAINT_SHARE_MIN);
    assert_int_equal(groups[1].segment, CVM_INDEX_NONE);
    assert_int_equal(groups[1].customers.clause_count, 1);
    assert_int_equal(groups[1].limit, CVM_SHARE_SCALE / 4);
    assert_true(groups[1].treatments ==
                (UINT64_C(1) << cvm_catalogue_treatment(c, "service_sms") |
                 UINT64_C(1) << cvm_catalogue_treatment(c, "retention_sms")));
    assert_int_equal(groups[2].kind, CVM_CONSTRAINT_RESERVE);
    assert_int_equal(cvm_catalogue_constraint(c, "few"), CVM_INDEX_NONE);
}

static void words_of_old_systems_mean_one_permission(void **state)
{
    const struct cvm_consent_words *w = &shipped(*state)->consent_words;
    static const struct {
        const char *raw;
        int value;
    } purposes[] = {{"service", CVM_PURPOSE_SERVICE},
                    {"service_update", CVM_PURPOSE_SERVICE},
                    {"service_updates", CVM_PURPOSE_SERVICE}};
    size_t found = 0;

    for (size_t i = 0; i < w->purpose_count; i++) {
        for (size_t j = 0; j < 3; j++) {
            found += strcmp(w->purposes[i].raw, purposes[j].raw) == 0 &&
                     w->purposes[i].value == purposes[j].value;
        }
    }
    for (size_t i = 0; i < w->channel_count; i++) {
        found += (strcmp(w->channels[i].raw, "app") == 0 ||
                  strcmp(w->channels[i].raw, "push_notifications") == 0) &&
                 w->channels[i].value == CVM_CHANNEL_PUSH;
    }
    assert_int_equal(found, 5);
    assert_int_equal(w->any_order[0], CVM_CHANNEL_CALL);
}

static void segments_end_with_one_for_everybody_else(void **state)
{
    const struct cvm_catalogue *c = shipped(*state);
    assert_int_equal(c->segment_count, 4);
    for (size_t i = 0; i + 1 < c->segment_count; i++) {
        assert_true(c->segments[i].when.clause_count > 0);
    }
    assert_int_equal(c->segments[3].when.clause_count, 0);
    assert_string_equal(c->segments[3].name, "contract");
    assert_true(c->segments[0].margin_median == 3 && c->segments[0].horizon_months == 12);
}

/* ---- digests ---- */

static void the_digest_depends_on_every_byte_and_not_on_the_order_given(void **state)
{
    struct config_files config = config_load(*state, 100000);
    const struct cvm_catalogue *first = read_config(*state, &config);
    struct cvm_catalogue_file swapped = config.files[0];

    config.files[0] = config.files[1];
    config.files[1] = swapped;
    assert_string_equal(read_config(*state, &config)->digest, first->digest);
    (void)config_replace(*state, &config, "journey.yaml", "# The window", "# the window");
    const struct cvm_catalogue *second = read_config(*state, &config);
    assert_string_not_equal(second->digest, first->digest);
    assert_string_equal(second->data_digest, first->data_digest);
}

static void the_data_digest_changes_with_what_packed_journeys_hold(void **state)
{
    static const struct {
        const char *file;
        const char *from;
        const char *to;
        bool changes;
    } edits[] = {
        {"features.yaml", "window_days: 30", "window_days: 31", false},
        {"mappings/telecom.yaml", "display_name: Calls", "display_name: Phone calls", false},
        {"treatments/data_boost.yaml", "priority: 4", "priority: 5", false},
        {"topics.yaml", "[network issues, connection issues]", "[network issues]", true},
        {"mappings/telecom.yaml", "rank: 10", "rank: 11", true},
        {"mappings/telecom.yaml", "[monthly_charge, plan_cost]", "[monthly_charge]", true},
        {"mappings/telecom.yaml", "scale: 60", "scale: 61", true},
    };
    const struct cvm_catalogue *first = shipped(*state);

    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        struct config_files config = config_load(*state, 100000);
        (void)config_replace(*state, &config, edits[i].file, edits[i].from, edits[i].to);
        const struct cvm_catalogue *other = read_config(*state, &config);
        assert_int_equal(strcmp(other->data_digest, first->data_digest) != 0, edits[i].changes);
    }
}

/* ---- the difference ---- */

struct difference {
    const struct cvm_catalogue_change *changes;
    size_t count;
};

static struct difference differ(struct cvm_arena *arena, const struct config_files *before,
                                const struct config_files *after)
{
    const struct cvm_catalogue_files b = {before->files, before->count};
    const struct cvm_catalogue_files a = {after->files, after->count};
    struct difference difference = {NULL, 0};
    struct cvm_error err = {0};
    assert_int_equal(
        cvm_catalogue_diff(arena, &b, &a, &difference.changes, &difference.count, &err), CVM_OK);
    return difference;
}

static void the_difference_names_keys_and_both_values(void **state)
{
    static const struct {
        const char *file, *from, *to, *path, *before, *after;
    } edits[] = {
        {"treatments/retention_email.yaml", "max_per_day: 20000", "max_per_day: 500",
         "treatments/retention_email.yaml: max_per_day", "20000", "500"},
        {"treatments/retention_email.yaml", "reach: {mean: 0.22,", "reach: {mean: 0.25,",
         "treatments/retention_email.yaml: response.reach.mean", "0.22", "0.25"},
        {"features.yaml", "aggregate: last, window_days: 120", "aggregate: last, window_days: 60",
         "features.yaml: features[churn_90d].window_days", "120", "60"},
        {"values.yaml", "    when: plan_type == 'prepaid'\n", "",
         "values.yaml: segments[prepaid].when", "plan_type == 'prepaid'", NULL},
        {"mappings/telecom.yaml", "fields: [monthly_charge, plan_cost]", "fields: [monthly_charge]",
         "mappings/telecom.yaml: sources[billing_data].attributes.bill.plan_charge.fields",
         "[monthly_charge, plan_cost]", "[monthly_charge]"},
        {"journey.yaml", "metrics:\n", "metrics:\n  sent: calls\n", "journey.yaml: metrics.sent",
         NULL, "calls"},
        {"journey.yaml", "when: calls > 0 && chats > 0", "when: calls > 1",
         "journey.yaml: summary[1].when", "calls > 0 && chats > 0", "calls > 1"},
    };
    struct config_files before = config_load(*state, 100000);

    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        struct config_files after = before;
        (void)config_replace(*state, &after, edits[i].file, edits[i].from, edits[i].to);
        struct difference d = differ(*state, &before, &after);
        assert_int_equal(d.count, 1);
        assert_string_equal(d.changes[0].path, edits[i].path);
        assert_int_equal(d.changes[0].before == NULL, edits[i].before == NULL);
        assert_int_equal(d.changes[0].after == NULL, edits[i].after == NULL);
        if (edits[i].before != NULL) {
            assert_string_equal(d.changes[0].before, edits[i].before);
        }
        if (edits[i].after != NULL) {
            assert_string_equal(d.changes[0].after, edits[i].after);
        }
    }
}

static void comments_layout_and_the_writing_of_numbers_make_no_difference(void **state)
{
    struct config_files before = config_load(*state, 100000);
    struct config_files after = before;

    assert_int_equal(differ(*state, &before, &after).count, 0);
    (void)config_replace(*state, &after, "values.yaml", "horizon_days: 90",
                         "horizon_days:    90 # days");
    (void)config_replace(*state, &after, "values.yaml", "margin_share: 0.55",
                         "margin_share: 0.550");
    (void)config_replace(*state, &after, "topics.yaml", "[network issues, connection issues]",
                         "\n      - network issues\n      - 'connection issues'");
    assert_int_equal(differ(*state, &before, &after).count, 0);
}

static void files_and_items_that_come_or_go_are_named(void **state)
{
    struct config_files before = config_load(*state, 100000);
    struct config_files after = before;

    config_remove(&after, "treatments/data_boost.yaml");
    (void)config_replace(*state, &after, "topics.yaml", "topic: praise", "topic: thanks");
    struct difference d = differ(*state, &before, &after);
    assert_int_equal(d.count, 3);
    assert_string_equal(d.changes[0].path, "topics.yaml: topics[praise]");
    assert_null(d.changes[0].after);
    assert_string_equal(d.changes[1].path, "topics.yaml: topics[thanks]");
    assert_null(d.changes[1].before);
    assert_string_equal(d.changes[2].path, "treatments/data_boost.yaml");
    assert_null(d.changes[2].after);
    d = differ(*state, &after, &before);
    assert_null(d.changes[2].before);
}

static void another_order_of_named_items_is_a_difference(void **state)
{
    struct config_files before = config_load(*state, 100000);
    struct config_files after = before;

    (void)config_replace(*state, &after, "values.yaml", "segment: prepaid", "segment: other");
    (void)config_replace(*state, &after, "values.yaml", "segment: sim_only", "segment: prepaid");
    (void)config_replace(*state, &after, "values.yaml", "segment: other", "segment: sim_only");
    struct difference d = differ(*state, &before, &after);
    assert_true(d.count > 1);
    assert_string_equal(d.changes[d.count - 1].path, "values.yaml: segments order");
    assert_string_equal(d.changes[d.count - 1].before, "prepaid, sim_only, converged, contract");
}

/* ---- scaling ---- */

static void assert_scaled(struct cvm_arena *arena, const char *text, int64_t customers,
                          const char *expected)
{
    assert_string_equal(config_scale(arena, "", text, strlen(text), customers).text, expected);
}

static void placeholders_scale_to_the_base(void **state)
{
    assert_scaled(*state, "a: ${per_100k:100}\n", 100000, "a: 100\n");
    assert_scaled(*state, "${per_100k:100}", 1000000, "1000");
    assert_scaled(*state, "${per_100k:100}", 10001, "11");
    assert_scaled(*state, "${per_100k:100}", 11, "1");
    assert_scaled(*state, "${per_100k:0.7}", 1000000, "7");
    assert_scaled(*state, "${per_100k:2400:60}", 11, "60");
    assert_scaled(*state, "${money_per_100k:3000}", 10000, "300.00");
    assert_scaled(*state, "${money_per_100k:3000:60}", 11, "60.00");
    assert_scaled(*state, "$1 {x} $ ${per_100k:5}$", 100000, "$1 {x} $ 5$");
}

static void a_bad_placeholder_names_its_line(void **state)
{
    static const char *const bad[] = {"a\n${per_100:5}",    "a\n${per_100k:}", "a\n${per_100k:x}",
                                      "a\n${per_100k:1:y}", "a\n${per_100k:1", "a\n${",
                                      "a\n${per_100k:-1}"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cvm_text out;
        struct cvm_error err = {0};
        cvm_text_init(&out, 0);
        assert_int_equal(cvm_catalogue_scale(bad[i], strlen(bad[i]), 1000, &out, &err),
                         CVM_E_INVALID);
        assert_non_null(strstr(err.message, "line 2: '${"));
        cvm_text_finish(&out);
    }
}

static void the_shipped_catalogue_reads_at_any_size(void **state)
{
    static const int64_t sizes[] = {0, 1, 11, 1000, 123457, 100000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct config_files config = config_load(*state, sizes[i]);
        const struct cvm_catalogue *c = read_config(*state, &config);
        int minutes = cvm_catalogue_constraint(c, "call_centre_minutes");
        int64_t needed = 0;
        for (size_t t = 0; t < c->treatment_count; t++) {
            assert_true(c->treatments[t].max_per_day >= 1);
            needed += c->treatments[t].use_count == 0
                          ? 0
                          : (int64_t)(1000 * c->treatments[t].uses[0].units) *
                                c->treatments[t].max_per_day;
        }
        assert_true(c->constraints[minutes].limit >= needed);
    }
}

/* ---- writing ---- */

static void assert_same_rule(const struct cvm_rule *a, const struct cvm_rule *b)
{
    assert_int_equal(a->clause_count, b->clause_count);
    for (size_t i = 0; i < a->clause_count; i++) {
        const struct cvm_comparison *left = &a->clauses[i].whole.comparison;
        const struct cvm_comparison *right = &b->clauses[i].whole.comparison;
        assert_int_equal(left->operand, right->operand);
        assert_int_equal(left->compare, right->compare);
        assert_true(left->value == right->value);
    }
}

static void assert_same_text(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a != NULL) {
        assert_string_equal(a, b);
    }
}

static void assert_same_treatment(const struct cvm_treatment *a, const struct cvm_treatment *b)
{
    assert_same_text(a->id, b->id);
    assert_same_text(a->display_name, b->display_name);
    assert_same_text(a->description, b->description);
    assert_same_text(a->action, b->action);
    assert_same_text(a->created_at, b->created_at);
    assert_same_text(a->updated_at, b->updated_at);
    assert_int_equal(a->response_days, b->response_days);
    assert_int_equal(a->outcome_days, b->outcome_days);
    assert_same_text(a->response.source, b->response.source);
    assert_int_equal(a->enabled, b->enabled);
    assert_int_equal(a->custom, b->custom);
    assert_int_equal(a->channel, b->channel);
    assert_int_equal(a->purpose, b->purpose);
    assert_int_equal(a->class, b->class);
    assert_int_equal(a->valid_from_day, b->valid_from_day);
    assert_int_equal(a->valid_to_day, b->valid_to_day);
    assert_same_rule(&a->eligible, &b->eligible);
    assert_same_rule(&a->applicable, &b->applicable);
    assert_same_rule(&a->suitable, &b->suitable);
    assert_true(a->max_per_day == b->max_per_day && a->priority == b->priority);
    assert_true(a->cost_micro == b->cost_micro && a->loaded_cost_micro == b->loaded_cost_micro);
    assert_int_equal(a->use_count, b->use_count);
    for (size_t i = 0; i < a->use_count; i++) {
        assert_true(a->uses[i].units == b->uses[i].units);
    }
    assert_int_equal(a->language_count, b->language_count);
    for (size_t l = 0; l < a->language_count; l++) {
        assert_string_equal(a->languages[l], b->languages[l]);
    }
    const struct cvm_response *x = &a->response;
    const struct cvm_response *y = &b->response;
    assert_true(x->reach == y->reach && x->reach_sd == y->reach_sd && x->accept == y->accept &&
                x->accept_sd == y->accept_sd && x->churn_cut == y->churn_cut &&
                x->churn_cut_sd == y->churn_cut_sd && x->incentive == y->incentive &&
                x->incentive_margins == y->incentive_margins && x->extra_margin == y->extra_margin);
}

/* Write it, put it in place of its file, read the whole, compare. */
static void assert_round_trip(struct cvm_arena *arena, const struct cvm_treatment *treatment,
                              const struct cvm_catalogue *catalogue)
{
    struct config_files config = config_load(arena, 100000);
    struct cvm_text out;
    struct cvm_error err = {0};

    cvm_text_init(&out, 0);
    assert_int_equal(cvm_treatment_write(treatment, catalogue, &out, &err), CVM_OK);
    struct cvm_catalogue_file *file = config_file(&config, treatment->file);
    file->text = cvm_text_string(&out);
    file->length = out.length;
    const struct cvm_catalogue *again = read_config(arena, &config);
    int index = cvm_catalogue_treatment(again, treatment->id);
    const struct cvm_treatment *found = index < 0 ? &again->ignore : &again->treatments[index];
    assert_same_treatment(treatment, found);
    for (size_t i = 0; i < found->use_count; i++) {
        assert_string_equal(again->constraints[found->uses[i].constraint].id,
                            catalogue->constraints[treatment->uses[i].constraint].id);
    }
    cvm_text_finish(&out);
}

static void every_treatment_reads_back_as_it_was_written(void **state)
{
    const struct cvm_catalogue *c = shipped(*state);
    for (size_t i = 0; i < c->treatment_count; i++) {
        assert_round_trip(*state, &c->treatments[i], c);
    }
    assert_round_trip(*state, &c->ignore, c);
}

static void odd_values_read_back_as_they_were_written(void **state)
{
    const struct cvm_catalogue *c = shipped(*state);
    struct cvm_treatment odd = c->treatments[cvm_catalogue_treatment(c, "marketing_call_back")];

    odd.display_name = "yes: \"no\" # 'x' \\ \t\xc3\xa9";
    odd.description = "- a\nb: {c}\n  d ";
    odd.created_at = "2025-03-11T10:24:18.104551";
    odd.updated_at = "2025-03-12T09:00:00Z";
    odd.response_days = 1;
    odd.outcome_days = 365;
    odd.enabled = false;
    odd.custom = true;
    odd.channel = CVM_CHANNEL_UNSET;
    odd.purpose = CVM_PURPOSE_UNSET;
    odd.valid_from_day = 0;
    odd.valid_to_day = 20000;
    odd.max_per_day = -1;
    odd.cost_micro = 1;
    odd.loaded_cost_micro = INT64_C(999999999999999);
    odd.uses[0].units = 0.1 + 0.2;
    odd.response.reach = 1.0 / 3.0;
    odd.response.churn_cut = -1e-7;
    odd.response.extra_margin = -12.5;
    odd.languages = (const char *const[]){"en", "pl"};
    odd.language_count = 2;
    assert_round_trip(*state, &odd, c);
}

static void writing_without_room_is_an_error(void **state)
{
    const struct cvm_catalogue *c = shipped(*state);
    struct cvm_text out;
    struct cvm_error err = {0};

    cvm_text_init(&out, 40);
    assert_int_equal(cvm_treatment_write(&c->treatments[0], c, &out, &err), CVM_E_LIMIT);
    cvm_text_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_of_one_day_stand_in_the_order_of_the_golden_journey),
        cmocka_unit_test(aliases_units_and_nested_lists_are_mapped),
        cmocka_unit_test(sources_share_attributes),
        cmocka_unit_test(every_column_of_the_churn_table_is_known),
        cmocka_unit_test(features_stand_for_what_the_contracts_name),
        cmocka_unit_test(the_twelve_treatments_keep_channel_purpose_and_class),
        cmocka_unit_test(capacities_stand_before_resources_and_budgets),
        cmocka_unit_test(groups_stand_behind_what_the_ledger_knows),
        cmocka_unit_test(words_of_old_systems_mean_one_permission),
        cmocka_unit_test(segments_end_with_one_for_everybody_else),
        cmocka_unit_test(the_digest_depends_on_every_byte_and_not_on_the_order_given),
        cmocka_unit_test(the_data_digest_changes_with_what_packed_journeys_hold),
        cmocka_unit_test(the_difference_names_keys_and_both_values),
        cmocka_unit_test(comments_layout_and_the_writing_of_numbers_make_no_difference),
        cmocka_unit_test(files_and_items_that_come_or_go_are_named),
        cmocka_unit_test(another_order_of_named_items_is_a_difference),
        cmocka_unit_test(placeholders_scale_to_the_base),
        cmocka_unit_test(a_bad_placeholder_names_its_line),
        cmocka_unit_test(the_shipped_catalogue_reads_at_any_size),
        cmocka_unit_test(every_treatment_reads_back_as_it_was_written),
        cmocka_unit_test(odd_values_read_back_as_they_were_written),
        cmocka_unit_test(writing_without_room_is_an_error),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
