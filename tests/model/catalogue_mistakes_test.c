/* catalogue_mistakes_test.c - every kind of mistake in a catalogue ends in an error that names
 * file, line, key, what was found and what is allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/config_files.h"

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

/* In the shipped `file`, the first `from` becomes `to`; the error stands `down` lines below. */
struct mistake {
    const char *file;
    const char *from;
    const char *to;
    int down;
    const char *message; /* a part of it */
};

static void assert_refused(struct cvm_arena *arena, const struct config_files *config,
                           const char *where, const char *message)
{
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_error err = {0};
    enum cvm_status status = config_read(arena, config, &catalogue, &err);

    if (status != CVM_E_INVALID || strcmp(err.where, where) != 0 ||
        strstr(err.message, message) == NULL) {
        fail_msg("expected '%s' at %s, got %s '%s' at %s", message, where, cvm_status_name(status),
                 err.message, err.where);
    }
    assert_null(catalogue);
}

static void check(struct cvm_arena *arena, const struct mistake *mistakes, size_t count)
{
    const struct config_files shipped = config_load(arena, 100000);

    for (size_t i = 0; i < count; i++) {
        const struct mistake *m = &mistakes[i];
        struct config_files config = shipped;
        char where[300];
        int line = config_replace(arena, &config, m->file, m->from, m->to);
        (void)snprintf(where, sizeof(where), "config/%s:%d", m->file, line + m->down);
        assert_refused(arena, &config, where, m->message);
    }
}

#define CHECK(state, mistakes) check((state), (mistakes), sizeof(mistakes) / sizeof((mistakes)[0]))
#define TELECOM                "mappings/telecom.yaml"

static void mistakes_of_form_are_refused(void **state)
{
    static const struct mistake mistakes[] = {
        {"values.yaml", "margin_share: 0.55", "margin_shar: 0.55", 0,
         "unknown key 'margin_shar' in the value model; did you mean 'margin_share'?"},
        {"values.yaml", "margin_share: 0.55", "margin_share: much", 0,
         "key 'margin_share': found 'much', a number from 0 to 1 is allowed"},
        {"values.yaml", "margin_share: 0.55", "margin_share: 1.5", 0,
         "found '1.5', a number from 0 to 1 is allowed"},
        {"values.yaml", "margin_share: 0.55", "margin_share: '0.55'", 0,
         "found text '0.55', a number from 0 to 1 is allowed"},
        {"values.yaml", "  horizon_days: 90\n", "", -1, "key 'horizon_days' is missing"},
        {"values.yaml", "margin_share: 0.55", "margin_share: [", 2, "not valid YAML"},
        {"values.yaml", "margin_share: 0.55", "horizon_days: 90", 0,
         "key 'horizon_days' appears twice"},
        {"values.yaml", "margin_share: 0.55", "margin_share: &x 0.55", 0, "anchors"},
        {"treatments/data_boost.yaml", "class: service", "class: servce", 0,
         "one of mandatory, service, retention, sales is allowed; did you mean 'service'?"},
        {"treatments/data_boost.yaml", "enabled: true", "enabled: maybe", 0,
         "true or false is allowed"},
        {"treatments/data_boost.yaml", "cost: 0.01", "cost: 0.0000001", 0,
         "an amount with at most 6 decimals is allowed"},
        {"treatments/data_boost.yaml", "max_per_day: 4000", "max_per_day: -1", 0,
         "a whole number from 0 to 1000000000000 is allowed"},
        {"treatments/data_boost.yaml", "priority: 4", "priority: 4\nvalid_from: 2024-02-30", 1,
         "a date that exists"},
        {"constraints.yaml", "budgets:\n  - budget", "budgets:\n    budget", 0,
         "a list of budgets is allowed"},
        {"treatments/data_boost.yaml", "priority: 4", "uses: [call_centre_minutes]", 0,
         "a map of resources is allowed"},
    };
    CHECK(*state, mistakes);
}

static void mistakes_of_features_are_refused(void **state)
{
    static const struct mistake mistakes[] = {
        {"features.yaml", "feature: churn_trend", "feature: churn_90d", 0,
         "feature 'churn_90d' is defined twice"},
        {"features.yaml", "attribute: churn.probability", "attribute: churn.probabilty", 0,
         "unknown attribute 'churn.probabilty'; did you mean 'churn.probability'?"},
        {"features.yaml", "feature: calls, source: call_transcripts",
         "feature: calls, source: call_transcript", 0,
         "unknown source 'call_transcript'; did you mean 'call_transcripts'?"},
        {"features.yaml", "feature: calls, source: call_transcripts",
         "feature: calls, source: permissions", 0, "source 'permissions' holds permissions"},
        {"features.yaml", "feature: last_sentiment, attribute: contact.sentiment",
         "feature: last_sentiment, source: usage_data, attribute: contact.sentiment", 0,
         "source 'usage_data' does not fill 'contact.sentiment'"},
        {"features.yaml", "attribute: contact.sentiment, aggregate: last",
         "attribute: contact.sentiment, aggregate: avg", 0, "'avg' makes no sense"},
        {"features.yaml", "feature: events, aggregate: count", "feature: events, aggregate: sum", 0,
         "'sum' needs the key 'attribute'"},
        {"features.yaml", "attribute: household.size", "attribute: customer.birth_year", 0,
         "attribute 'customer.birth_year' is personal and can not be a feature"},
        {"features.yaml", "attribute: household.size", "attribute: bill.payment_method", 0,
         "attribute 'bill.payment_method' is text and can not be a feature"},
        {"features.yaml", "window_days: 180", "window_days: 500", 0,
         "500 days are longer than the history of 400 days"},
        {"features.yaml", "where: bill.status == 'overdue'", "where: bill.statu == 'overdue'", 0,
         "column 1: unknown attribute 'bill.statu'; did you mean 'bill.status'?"},
        {"features.yaml", "where: bill.status == 'overdue'", "where: bill.status == 'late'", 0,
         "it is settled, pending or overdue"},
        {"features.yaml", "where: bill.status == 'overdue'", "where: usage.data_gb > 3", 0,
         "no source of this feature fills 'usage.data_gb'"},
        {"features.yaml", "where: bill.status == 'overdue'", "where: bill.payment_method == 'x'", 0,
         "'bill.payment_method' is text and is not in the journey"},
        {"features.yaml", "where: topic == 'roaming'", "where: topic == 'romaing'", 0,
         "'topic' is never 'romaing'"},
        {"features.yaml", "window_days: 30,", "window_days: 0,", 0,
         "a whole number from 1 to 3650"},
        {"topics.yaml", "topic: roaming", "topic: network_issues", 0,
         "topic 'network_issues' is defined twice"},
        {"topics.yaml", "[network issues, connection issues]", "[]", 0, "found 0 phrases"},
    };
    CHECK(*state, mistakes);
}

static void mistakes_of_mappings_are_refused(void **state)
{
    static const struct mistake mistakes[] = {
        {TELECOM, "mapping: telecom", "mapping: telco", 0,
         "found 'telco' in the file of mapping 'telecom'"},
        {TELECOM, "source: web_transcripts", "source: call_transcripts", 0,
         "source 'call_transcripts' is already defined on config/mappings/telecom.yaml:"},
        {TELECOM, "files: [\"web_transcripts*\"]", "files: [\"call_transcripts*\"]", 0,
         "pattern 'call_transcripts*' already belongs to source 'call_transcripts'"},
        {TELECOM, "tenure.months: {type: number", "tenure.months: {type: label", 0,
         "its type is label here, but number on config/mappings/telco_churn.yaml:"},
        {TELECOM, "words: [prepaid, sim_only, contract, converged]",
         "words: [sim_only, prepaid, contract, converged]", 0,
         "its words are not the same, in the same order, as on"},
        {TELECOM, "{type: number, fields: [customer_lifetime_months]}",
         "{type: number, personal: true, fields: [customer_lifetime_months]}", 0,
         "its personal is true here, but false on"},
        {TELECOM, "    kind: attributes\n", "    kind: attributes\n    keep_days: 30\n", 1,
         "only for kind events"},
        {TELECOM, "    kind: events\n    rank: 30\n",
         "    kind: events\n    keep_days: 399\n    rank: 30\n", 1,
         "source 'web_clicks' keeps 399 days, but feature 'events' (config/features.yaml:5) looks "
         "400 days back"},
        {TELECOM, "words: [desktop, mobile, tablet], ", "", 0, "type word needs words"},
        {TELECOM, "words: [desktop, mobile, tablet]", "words: [desktop, desktop]", 0,
         "the word 'desktop' appears twice"},
        {TELECOM, "words: {true: [open], false: [closed]}", "words: {true: [open], false: [Open]}",
         0, "'Open' stands for two words"},
        {TELECOM, "words: {true: [open], false: [closed]}", "words: {1: [open]}", 0,
         "true or false is allowed"},
        {TELECOM, "fields: [additional_charges, \"additional_charges[].amount\"]",
         "fields: [\"additional_charges[.amount\"]", 0, "is not a path like a.b or a[].b"},
        {TELECOM, "fields: [data_usage_gb, total_data_gb]", "fields: [a.b.c.d.e.f.g]", 0,
         "more than 6 steps"},
        {TELECOM, "{field: session_duration_minutes, scale: 60}",
         "{field: session_duration_minutes, scale: 0}", 0, "key 'scale': found '0', a number from"},
        {TELECOM, "sum_of: [bill.plan_charge, bill.extra]", "sum_of: [bill.plan_charge, bill.tax]",
         0, "'bill.tax' is not mapped before it in source 'billing_data'"},
        {TELECOM, "constant: 1", "constant: one", 0, "a number is allowed"},
        {TELECOM, "list: first", "list: last", 0, "one of first, sum, count, min, max is allowed"},
        {TELECOM, "\"recommended_offers[].name\"], list: first",
         "\"recommended_offers[].name\"], list: sum", 0,
         "'sum' gives a number, but the type is label"},
        {TELECOM, "usage.peak_hour: {type: number, fields: [peak_usage_hour]}",
         "usage.peak_hour: {type: number}", 0, "one of fields, sum_of and constant is needed"},
        {TELECOM, "usage.peak_hour:", "Usage.Peak:", 0, "a name of at most 64"},
        {TELECOM, "    rank: 10\n", "", -4, "kind events needs the key 'rank'"},
        {TELECOM, "    rank: 10\n", "    rank: 256\n", 0, "a whole number from 0 to 255"},
        {TELECOM, "    date: [date]\n", "", -6, "kind events needs the key 'date'"},
        {TELECOM, "consent: permissions\n", "# none\n", -6, "kind consent needs the key 'consent'"},
        {TELECOM, "channel: call\n", "quiet_hours: dnd\n", 0, "only for kind consent"},
        {TELECOM, "{contact.sentiment}: {contact.summary}", "{contact.sentimet}", 0,
         "unknown attribute 'contact.sentimet'; did you mean 'contact.sentiment'?"},
        {TELECOM, "horizon_days: 90, ", "", 0, "key 'horizon_days' is missing in a score"},
        {"mappings/telco_churn.yaml", "source: telco_churn", "source: billing_data\n    date: [x]",
         1, "kind attributes has no date"},
        {"consent.yaml", "[call, email, sms, push]", "[call, email, sms]", 0,
         "each of call, email, sms and push is allowed, once"},
        {"consent.yaml", "  email: [mail, e-mail]", "  emial: [mail]", 0,
         "unknown channel 'emial'; did you mean 'email'?"},
        {"consent.yaml", "  sms: [text]", "  sms: [mail]", 0,
         "'mail' already means something else"},
    };
    CHECK(*state, mistakes);
}

static void mistakes_of_values_and_constraints_are_refused(void **state)
{
    static const struct mistake mistakes[] = {
        {"values.yaml", "churn_feature: churn_90d", "churn_feature: data_use_share", 0,
         "feature 'data_use_share' is no declared score and may not be a probability"},
        {"values.yaml", "churn_feature: churn_90d", "churn_feature: churn_trend", 0,
         "feature 'churn_trend' is no declared score"},
        {"values.yaml", "margin_feature: plan_charge", "margin_feature: plan_chrage", 0,
         "unknown feature 'plan_chrage'; did you mean 'plan_charge'?"},
        {"values.yaml", "segment: sim_only", "segment: prepaid", 0,
         "segment 'prepaid' is defined twice"},
        {"values.yaml", "    when: plan_type == 'prepaid'\n", "", -1,
         "segment 'prepaid' needs the key 'when'; only the last has none"},
        {"values.yaml", "segment: contract\n", "segment: contract\n    when: churn_90d > 0\n", 0,
         "the last segment takes everybody else"},
        {"values.yaml", "{median: 3, min: 1, max: 8}", "{median: 9, min: 1, max: 8}", 0,
         "the median is not between min and max"},
        {"insights.yaml", "when: satisfaction <= 2", "when: satisfcation <= 2", 0,
         "key 'when': column 1: unknown feature 'satisfcation'; did you mean 'satisfaction'?"},
        {"insights.yaml", "{satisfaction} of 5", "{satisfcation} of 5", 0,
         "key 'sentence': unknown feature 'satisfcation'"},
        {"insights.yaml", "insight: low_satisfaction", "insight: high_churn_risk", 0,
         "insight 'high_churn_risk' is defined twice"},
        {"journey.yaml", "churn_risk: churn_90d", "churn_risk: churn_9d", 0,
         "key 'churn_risk': unknown feature 'churn_9d'; did you mean 'churn_90d'?"},
        {"journey.yaml", "  - group: 1", "  - group: 2", 3, "group 1 comes after group 2"},
        {"constraints.yaml", "budget: incentive_budget", "budget: call_centre_minutes", 0,
         "constraint 'call_centre_minutes' is already defined on config/constraints.yaml:4"},
        {"constraints.yaml", "measure: incentive", "measure: all", 0,
         "one of marginal, incentive, both is allowed"},
        {"constraints.yaml", "measure: incentive",
         "measure: incentive\n    treatments: [data_bost]", 1,
         "unknown treatment 'data_bost'; did you mean 'data_boost'?"},
    };
    CHECK(*state, mistakes);
}

#define GROUP(lines) "budgets:", "groups:\n  - group: young\n" lines "budgets:"

static void mistakes_of_groups_are_refused(void **state)
{
    static const struct mistake mistakes[] = {
        {"constraints.yaml", GROUP("    kind: segment_min\n    limit: 5\n"), 1,
         "group 'young' needs the key 'customers' or 'segment': who is in it"},
        {"constraints.yaml", GROUP("    kind: segment_mni\n    segment: prepaid\n    limit: 5\n"),
         2, "one of segment_max, segment_min, share_min, share_max, reserve is allowed"},
        {"constraints.yaml", GROUP("    kind: share_min\n    segment: prepaid\n    limit: 20\n"), 4,
         "the limit of group 'young' is a share, from 0 to 1"},
        {"constraints.yaml", GROUP("    kind: segment_max\n    segment: prepaid\n    limit: 0.5\n"),
         4, "the limit of group 'young' is a whole number"},
        {"constraints.yaml", GROUP("    kind: segment_max\n    segment: prepayd\n    limit: 5\n"),
         3, "unknown segment 'prepayd'; did you mean 'prepaid'?"},
        {"constraints.yaml",
         GROUP("    kind: segment_max\n    customers: tenure > 3\n    limit: 5\n"), 3,
         "key 'customers': column 1: unknown feature 'tenure'"},
        {"constraints.yaml", GROUP("    kind: reserve\n    segment: prepaid\n    limit: 5\n"), 1,
         "the reserve 'young' needs one treatment, which has a max_per_day"},
        {"constraints.yaml",
         GROUP("    kind: segment_max\n    segment: prepaid\n    limit: 5\n"
               "  - group: young\n    kind: segment_min\n    segment: prepaid\n    limit: 5\n"),
         5, "constraint 'young' is already defined on config/constraints.yaml:"},
        {"constraints.yaml",
         GROUP("    kind: segment_max\n    segment: prepaid\n    limit: 5\n"
               "    treatments: [data_bost]\n"),
         5, "unknown treatment 'data_bost'; did you mean 'data_boost'?"},
    };
    CHECK(*state, mistakes);
}

static void mistakes_of_treatments_are_refused(void **state)
{
    static const struct mistake mistakes[] = {
        {"treatments/data_boost.yaml", "treatment: data_boost", "treatment: data_bonus", 0,
         "found 'data_bonus' in the file of treatment 'data_boost'"},
        {"treatments/early_upgrade.yaml", "treatment: early_upgrade", "treatment: data_boost", 0,
         "treatment 'data_boost' is already defined on config/treatments/data_boost.yaml:1"},
        {"treatments/data_boost.yaml", "data_use_share >= 0.9", "data_use_shar >= 0.9", 0,
         "key 'applicable': column 1: unknown feature 'data_use_shar'; did you mean "
         "'data_use_share'?"},
        {"treatments/data_boost.yaml", "data_use_share >= 0.9", "data_use_share >= ", 0,
         "expected a name, a number or a text in quotes"},
        {"treatments/data_boost.yaml", "priority: 4", "uses: {call_center_minutes: 1}", 0,
         "unknown resource 'call_center_minutes'; did you mean 'call_centre_minutes'?"},
        {"treatments/data_boost.yaml", "priority: 4", "uses: {call_centre_minutes: 0}", 0,
         "a number from 0.001"},
        {"treatments/data_boost.yaml", "reach: {mean: 0.95", "reach: {mean: 1.95", 0,
         "key 'mean': found '1.95', a number from 0 to 1 is allowed"},
        {"treatments/data_boost.yaml", "{mean: 0.95, sd: 0.02}", "0.95", 0,
         "found '0.95' where an estimate is wanted"},
        {"treatments/data_boost.yaml", "priority: 4",
         "valid_from: 2024-03-02\nvalid_to: 2024-03-01", 1, "ends before it begins"},
        {"treatments/data_boost.yaml", "class: service\n", "", -7, "key 'class' is missing"},
        {"treatments/ignore.yaml", "channel: none", "channel: sms", -4,
         "the treatment 'ignore' is enabled and has channel none"},
        {"treatments/data_boost.yaml", "priority: 4", "languages: [en, frr]", 0,
         "unknown language 'frr'; did you mean 'fr'?"},
        {"treatments/ignore.yaml", "priority: 99", "languages: [en]", 0,
         "not for the treatment 'ignore'"},
        {"treatments/ignore.yaml", "priority: 99", "max_per_day: 5", 0,
         "not for the treatment 'ignore'"},
    };
    CHECK(*state, mistakes);
}

static void a_sensitive_feature_may_not_enter_a_value(void **state)
{
    struct config_files config = config_load(*state, 100000);
    (void)config_replace(*state, &config, "features.yaml", "feature: plan_type,",
                         "feature: plan_type, sensitive: true,");
    int line = config_replace(*state, &config, "values.yaml", "when: plan_type == 'prepaid'",
                              "when: plan_type == 'prepaid' ");
    char where[64];
    (void)snprintf(where, sizeof(where), "config/values.yaml:%d", line);
    assert_refused(*state, &config, where,
                   "feature 'plan_type' is sensitive and may not be used for segments");

    config = config_load(*state, 100000);
    (void)config_replace(*state, &config, "features.yaml", "feature: plan_charge,",
                         "feature: plan_charge, sensitive: true,");
    line = config_replace(*state, &config, "values.yaml", "margin_feature", "margin_feature");
    (void)snprintf(where, sizeof(where), "config/values.yaml:%d", line);
    assert_refused(*state, &config, where,
                   "feature 'plan_charge' is sensitive and may not be used for values");
}

static void missing_and_foreign_files_are_refused(void **state)
{
    static const char *const parts[] = {"consent.yaml",    "topics.yaml",  "features.yaml",
                                        "insights.yaml",   "journey.yaml", "values.yaml",
                                        "constraints.yaml"};
    struct config_files shipped = config_load(*state, 100000);

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct config_files config = shipped;
        char message[100];
        char where[100];
        config_remove(&config, parts[i]);
        (void)snprintf(message, sizeof(message), "the catalogue has no file '%s'", parts[i]);
        (void)snprintf(where, sizeof(where), "config/%s", parts[i]);
        assert_refused(*state, &config, where, message);
    }
    static const char *const foreign[] = {"feature.yaml", "treatments/a.yml", "mappings/a/b.yaml",
                                          "treatments/.yaml", "README.md"};
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        struct config_files config = shipped;
        char where[100];
        config_add(&config, foreign[i], "");
        (void)snprintf(where, sizeof(where), "config/%s", foreign[i]);
        assert_refused(*state, &config, where, "is no file of a catalogue");
    }
    struct config_files config = shipped;
    config_add(&config, "values.yaml", "");
    assert_refused(*state, &config, "", "file 'values.yaml' is given twice");
    config = shipped;
    config_remove(&config, "mappings/telecom.yaml");
    config_remove(&config, "mappings/telco_churn.yaml");
    assert_refused(*state, &config, "", "the catalogue has no mapping");
}

static void two_files_may_not_define_one_source(void **state)
{
    struct config_files config = config_load(*state, 100000);
    config_add(&config, "mappings/zz.yaml",
               "mapping: zz\nsources:\n  - source: usage_data\n    files: [zz]\n    kind: events\n"
               "    rank: 1\n    customer: [id]\n    date: [date]\n");
    assert_refused(*state, &config, "config/mappings/zz.yaml:3",
                   "source 'usage_data' is already defined on config/mappings/telecom.yaml:");
}

/* `head`, then `count` times `item` with a number in it. */
static const char *many(struct cvm_arena *arena, const char *head, const char *item, int count)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_text_add(&text, head);
    for (int i = 0; i < count; i++) {
        const char *gap = strchr(item, '#');
        cvm_text_add_bytes(&text, item, (size_t)(gap - item));
        cvm_text_add_int(&text, i);
        cvm_text_add(&text, gap + 1);
    }
    const char *copy = cvm_arena_string(arena, cvm_text_string(&text));
    cvm_text_finish(&text);
    return copy;
}

static void too_many_of_anything_is_refused(void **state)
{
    static const struct {
        const char *file;
        const char *head;
        const char *item;
        int count;
        const char *message;
    } cases[] = {
        {"topics.yaml", "topics:\n", "  - {topic: t#, phrases: [x]}\n", CVM_TOPICS_MAX + 1,
         "found 33 topics, at most 32 are allowed"},
        {"features.yaml", "features:\n", "  - {feature: f#, description: x, aggregate: count}\n",
         CVM_FEATURES_MAX + 1, "found 257 features, at most 256 are allowed"},
        {"insights.yaml", "insights:\n",
         "  - {insight: i#, severity: info, when: calls > 0, sentence: x}\n", CVM_INSIGHTS_MAX + 1,
         "found 65 insights, at most 64 are allowed"},
    };
    struct config_files shipped = config_load(*state, 100000);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config_files config = shipped;
        char where[64];
        struct cvm_catalogue_file *file = config_file(&config, cases[i].file);
        file->text = many(*state, cases[i].head, cases[i].item, cases[i].count);
        file->length = strlen(file->text);
        (void)snprintf(where, sizeof(where), "config/%s:1", cases[i].file);
        assert_refused(*state, &config, where, cases[i].message);
    }
    struct config_files config = shipped;
    for (int i = 0; i < CVM_MAPPINGS_MAX - 1; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "mappings/zz%d.yaml", i);
        config_add(&config, cvm_arena_string(*state, name), "x: 1");
    }
    assert_refused(*state, &config, "config/mappings/zz9.yaml", "more than 16 mappings");
}

static void too_many_treatments_are_refused(void **state)
{
    struct config_files config = config_load(*state, 100000);
    for (int i = 0; i < CVM_TREATMENTS_MAX - 10; i++) {
        char name[40];
        char text[64];
        (void)snprintf(name, sizeof(name), "treatments/zz%02d.yaml", i);
        (void)snprintf(text, sizeof(text), "treatment: zz%02d\nclass: sales\n", i);
        config_add(&config, cvm_arena_string(*state, name), cvm_arena_string(*state, text));
    }
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_error err = {0};
    assert_int_equal(config_read(*state, &config, &catalogue, &err), CVM_E_INVALID);
    assert_non_null(strstr(err.message, "more than 6"));
    config.count--;
    assert_int_equal(config_read(*state, &config, &catalogue, &err), CVM_OK);
    assert_int_equal(catalogue->treatment_count, CVM_TREATMENTS_MAX);
    const struct cvm_treatment *last = &catalogue->treatments[CVM_TREATMENTS_MAX - 1];
    assert_int_equal(last->channel, CVM_CHANNEL_UNSET);
    assert_int_equal(last->max_per_day, -1);
}

/* Shrink the memory until it does not fit: each allocation gets to fail. */
static void a_small_memory_is_an_error_and_writes_nothing(void **state)
{
    struct config_files config = config_load(*state, 100000);
    enum cvm_status status = CVM_E_LIMIT;

    for (size_t budget = 0; status == CVM_E_LIMIT; budget += 6000) {
        struct cvm_arena *arena = cvm_arena_create(budget);
        const struct cvm_catalogue *catalogue = NULL;
        struct cvm_error err = {0};
        assert_non_null(arena);
        status = config_read(arena, &config, &catalogue, &err);
        assert_true(status == CVM_OK || (status == CVM_E_LIMIT && catalogue == NULL));
        cvm_arena_destroy(arena);
        assert_true(budget < (size_t)4 << 20);
    }
    assert_int_equal(status, CVM_OK);
}

static void the_groups_of_a_report_are_words_or_yes_and_no_each_once(void **state)
{
    static const struct mistake mistakes[] = {
        {"report.yaml", "groups: [", "groups: [tenure_months, ", 0, "tenure_months' is a number"},
        {"report.yaml", "groups: [", "groups: [nonsense, ", 0, "nonsense"},
        {"report.yaml", "groups: [", "groups: [plan_type, plan_type, ", 0,
         "plan_type' is named twice"},
        {"report.yaml", "groups: [", "grups: [", 0, "groups"},
    };
    check(*state, mistakes, sizeof(mistakes) / sizeof(mistakes[0]));
}

static void a_catalogue_without_report_yaml_has_no_groups(void **state)
{
    struct config_files config = config_load(*state, 100000);
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_error err = {0};
    assert_int_equal(config_read(*state, &config, &catalogue, &err), CVM_OK);
    assert_true(catalogue->report_group_count > 0);
    config_remove(&config, "report.yaml");
    assert_int_equal(config_read(*state, &config, &catalogue, &err), CVM_OK);
    assert_int_equal(catalogue->report_group_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_of_form_are_refused),
        cmocka_unit_test(mistakes_of_features_are_refused),
        cmocka_unit_test(mistakes_of_mappings_are_refused),
        cmocka_unit_test(mistakes_of_values_and_constraints_are_refused),
        cmocka_unit_test(mistakes_of_groups_are_refused),
        cmocka_unit_test(mistakes_of_treatments_are_refused),
        cmocka_unit_test(a_sensitive_feature_may_not_enter_a_value),
        cmocka_unit_test(missing_and_foreign_files_are_refused),
        cmocka_unit_test(two_files_may_not_define_one_source),
        cmocka_unit_test(too_many_of_anything_is_refused),
        cmocka_unit_test(too_many_treatments_are_refused),
        cmocka_unit_test(a_small_memory_is_an_error_and_writes_nothing),
        cmocka_unit_test(the_groups_of_a_report_are_words_or_yes_and_no_each_once),
        cmocka_unit_test(a_catalogue_without_report_yaml_has_no_groups),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
