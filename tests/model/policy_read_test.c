/* policy_read_test.c - contact_policy.yaml and suppressions.yaml: what limits become, and every
 * kind of mistake with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/config_files.h"

#define POLICY       "contact_policy.yaml"
#define SUPPRESSIONS "suppressions.yaml"
#define HEAD                                                                                       \
    "contact_policy:\n  source: contact_history\n  channel: outreach.channel\n"                    \
    "  purpose: outreach.purpose\n  action: outreach.action\n  household: household\n"

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

static void set_file(struct config_files *config, const char *name, const char *text)
{
    struct cvm_catalogue_file *file = config_file(config, name);
    file->text = text;
    file->length = strlen(text);
}

static const struct cvm_catalogue *read_with(struct cvm_arena *arena, const char *name,
                                             const char *text)
{
    struct config_files config = config_load(arena, 100000);
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_error err = {0};
    set_file(&config, name, text);
    config_check(config_read(arena, &config, &catalogue, &err), &err);
    return catalogue;
}

static uint64_t bits_of(const struct cvm_catalogue *catalogue, const char *const *ids)
{
    uint64_t bits = 0;
    for (size_t i = 0; ids[i] != NULL; i++) {
        int t = cvm_catalogue_treatment(catalogue, ids[i]);
        assert_true(t >= 0);
        bits |= UINT64_C(1) << t;
    }
    return bits;
}

static const struct cvm_policy_rule *rule_of(const struct cvm_catalogue *catalogue,
                                             const char *name)
{
    for (size_t r = 0; r < catalogue->policy.rule_count; r++) {
        if (strcmp(catalogue->policy.rules[r].name, name) == 0) {
            return &catalogue->policy.rules[r];
        }
    }
    fail_msg("there is no limit '%s'", name);
    return NULL;
}

/* ---- what becomes of it ---- */

static void the_shipped_limits_govern_what_they_name(void **state)
{
    static const char *const marketing[] = {
        "marketing_call_back", "retention_email", "retention_sms",      "loyalty_app",
        "early_upgrade",       "family_plan",     "personalized_offer", NULL};
    static const char *const calls[] = {"marketing_call_back", "early_upgrade", "family_plan",
                                        "personalized_offer", NULL};
    static const char *const retention[] = {"marketing_call_back", "retention_email",
                                            "retention_sms", NULL};
    static const char *const points[] = {"loyalty_points", NULL};
    const struct config_files config = config_load(*state, 100000);
    const struct cvm_catalogue *c = NULL;
    struct cvm_error err = {0};
    config_check(config_read(*state, &config, &c, &err), &err);
    const struct cvm_policy_rule *rule = rule_of(c, "marketing_30d");
    assert_string_equal(rule->allows.text,
                        "count(contact_history, 30, outreach.purpose == 'marketing' && "
                        "!(outreach.channel == 'none')) < 4");
    assert_true(rule->treatments == bits_of(c, marketing));
    assert_int_equal(rule->channel, CVM_CHANNEL_UNSET);
    rule = rule_of(c, "marketing_calls_60d");
    assert_string_equal(rule->allows.text,
                        "count(contact_history, 60, outreach.purpose == 'marketing' && "
                        "outreach.channel == 'call') < 1");
    assert_true(rule->treatments == bits_of(c, calls));
    assert_int_equal(rule->channel, CVM_CHANNEL_CALL);
    rule = rule_of(c, "same_action:retention_offer");
    assert_string_equal(rule->display_name, "The same at most once in 30 days (retention_offer)");
    assert_string_equal(rule->allows.text,
                        "count(contact_history, 30, outreach.purpose == 'marketing' && "
                        "outreach.action in ['retention_offer']) < 1");
    assert_true(rule->treatments == bits_of(c, retention));
    assert_true(rule_of(c, "same_action:loyalty_points")->treatments == bits_of(c, points));
    rule = rule_of(c, "marketing_rest");
    assert_string_equal(rule->allows.text,
                        "count(contact_history, 3, outreach.purpose == 'marketing' && "
                        "!(outreach.channel == 'none')) < 1");
    assert_true(rule->treatments == bits_of(c, marketing));
    assert_int_equal(c->policy.lead_days, 1);
    assert_int_equal(c->policy.channel_hours[CVM_CHANNEL_CALL].from_min, 540);
    assert_int_equal(c->policy.channel_hours[CVM_CHANNEL_EMAIL].from_min, CVM_MINUTE_NONE);
    assert_int_equal(c->policy.preferred[CVM_TIME_EVENING].to_min, 1260);
    assert_int_equal(c->policy.household_count, 1);
    assert_true(c->features[c->policy.household[0].count_feature].is_anonymous);
}

static void sequences_and_exclusions_are_by_action(void **state)
{
    static const char *const upgrade[] = {"early_upgrade", NULL};
    static const char *const retention[] = {"marketing_call_back", "retention_email",
                                            "retention_sms", NULL};
    const struct cvm_catalogue *c =
        read_with(*state, POLICY,
                  HEAD "sequences:\n"
                       "  - {sequence: calm, never: [early_upgrade], after: [solve_problem, "
                       "service_notice], within_days: 14}\n"
                       "exclusions:\n"
                       "  - {exclusion: apart, never_together: [retention_offer, early_upgrade], "
                       "within_days: 7}\n");
    const struct cvm_policy_rule *rules = c->policy.rules;
    assert_int_equal(c->policy.rule_count, 3);
    assert_string_equal(rules[0].allows.text, "count(contact_history, 14, outreach.action in "
                                              "['solve_problem', 'service_notice']) < 1");
    assert_true(rules[0].treatments == bits_of(c, upgrade));
    assert_string_equal(rules[1].name, "apart:early_upgrade");
    assert_string_equal(rules[1].allows.text,
                        "count(contact_history, 7, outreach.action in ['retention_offer']) < 1");
    assert_string_equal(rules[2].name, "apart:retention_offer");
    assert_true(rules[2].treatments == bits_of(c, retention));
}

static void a_folder_without_the_files_has_no_policy_and_no_suppressions(void **state)
{
    struct config_files config = config_load(*state, 100000);
    const struct cvm_catalogue *c = NULL;
    struct cvm_error err = {0};
    config_remove(&config, POLICY);
    config_remove(&config, SUPPRESSIONS);
    config_check(config_read(*state, &config, &c, &err), &err);
    assert_int_equal(c->policy.source, CVM_INDEX_NONE);
    assert_int_equal(c->policy.zone_feature, CVM_INDEX_NONE);
    assert_int_equal(c->policy.household_feature, CVM_INDEX_NONE);
    assert_int_equal(c->policy.rule_count, 0);
    assert_int_equal(c->suppression_count, 0);
}

static void the_shipped_suppressions_withhold_what_they_say(void **state)
{
    static const struct {
        const char *name;
        unsigned purposes;
        bool covers_no_contact;
    } expected[] = {
        {"vulnerable", 1, false},     {"bereaved", 1, true},
        {"minor", 1, true},           {"fraud", 3, true},
        {"collections", 1, true},     {"complaint", 1, false},
        {"port_out", 1, true},        {"profiling_objection", 1, true},
        {"do_not_contact", 3, false},
    };
    const struct config_files config = config_load(*state, 100000);
    const struct cvm_catalogue *c = NULL;
    struct cvm_error err = {0};
    config_check(config_read(*state, &config, &c, &err), &err);
    assert_int_equal(c->suppression_count, sizeof(expected) / sizeof(expected[0]));
    for (size_t i = 0; i < c->suppression_count; i++) {
        assert_string_equal(c->suppressions[i].name, expected[i].name);
        assert_int_equal(c->suppressions[i].purposes, expected[i].purposes);
        assert_int_equal(c->suppressions[i].covers_no_contact, expected[i].covers_no_contact);
    }
}

/* ---- mistakes ---- */

struct mistake {
    const char *file;
    const char *text; /* the whole file */
    int line;
    const char *message;
};

static void check_mistakes(struct cvm_arena *arena, const struct mistake *mistakes, size_t count)
{
    const struct config_files shipped = config_load(arena, 100000);
    for (size_t i = 0; i < count; i++) {
        const struct mistake *m = &mistakes[i];
        struct config_files config = shipped;
        const struct cvm_catalogue *catalogue = NULL;
        struct cvm_error err = {0};
        char where[64];
        set_file(&config, m->file, m->text);
        (void)snprintf(where, sizeof(where), "config/%s:%d", m->file, m->line);
        enum cvm_status status = config_read(arena, &config, &catalogue, &err);
        if (status != CVM_E_INVALID || strcmp(err.where, where) != 0 ||
            strstr(err.message, m->message) == NULL) {
            fail_msg("expected '%s' at %s, got %s '%s' at %s", m->message, where,
                     cvm_status_name(status), err.message, err.where);
        }
    }
}

static void mistakes_of_the_policy_are_refused(void **state)
{
    static const struct mistake mistakes[] = {
        {POLICY, "limits: []\n", 1, "key 'contact_policy' is missing"},
        {POLICY, HEAD "limitz: []\n", 7, "unknown key 'limitz'"},
        {POLICY, "contact_policy: {source: contact_histori, channel: a, purpose: b}\n", 1,
         "unknown source 'contact_histori'; did you mean 'contact_history'?"},
        {POLICY, "contact_policy: {source: customers, channel: a, purpose: b}\n", 1,
         "source 'customers' has no events"},
        {POLICY,
         "contact_policy:\n  source: contact_history\n  channel: outreach.chanel\n  purpose: b\n",
         3, "unknown attribute of contacts 'outreach.chanel'; did you mean 'outreach.channel'?"},
        {POLICY,
         "contact_policy:\n  source: contact_history\n  channel: outreach.action\n  purpose: b\n",
         3, "attribute 'outreach.action' is not of type word"},
        {POLICY,
         "contact_policy:\n  source: contact_history\n  channel: outreach.purpose\n  purpose: b\n",
         3, "attribute 'outreach.purpose' lacks the word 'call'"},
        {POLICY,
         "contact_policy:\n  source: contact_history\n  channel: outreach.channel\n"
         "  purpose: outreach.purpose\n  action: outreach.channel\n",
         5, "attribute 'outreach.channel' is not of type code"},
        {POLICY,
         "contact_policy:\n  source: contact_history\n  channel: outreach.channel\n"
         "  purpose: outreach.purpose\n  time_zone: plan_charge\n",
         5, "'plan_charge' is no word"},
        {POLICY, HEAD "channel_hours: {fax: \"09:00-20:00\"}\n", 7, "unknown hours 'fax'"},
        {POLICY, HEAD "channel_hours: {call: 9-20}\n", 7, "hours are written \"09:00-20:00\""},
        {POLICY, HEAD "preferred_times: {morning: \"09:00-09:00\"}\n", 7, "no minute lies in"},
        {POLICY, HEAD "limits:\n  - {limit: a, max: 4}\n", 8, "key 'window_days' is missing"},
        {POLICY, HEAD "limits:\n  - {limit: a, max: 4, window_days: 0}\n", 8,
         "a whole number from 1 to 3650 is allowed"},
        {POLICY, HEAD "limits:\n  - {limit: a, max: 4, window_days: 9, channel: any}\n", 8,
         "a limit is on call, email, sms or push"},
        {POLICY,
         HEAD "limits:\n  - {limit: a, max: 4, window_days: 9, channel: sms, each: action}\n", 8,
         "no 'each'"},
        {POLICY, HEAD "limits:\n  - {limit: a, max: 4, window_days: 9, each: channel}\n", 8,
         "one of action is allowed"},
        {POLICY, HEAD "rests:\n  - {rest: a}\n", 8, "key 'days' is missing"},
        {POLICY,
         HEAD "sequences:\n  - {sequence: a, never: [early_upgrad], after: [solve_problem], "
              "within_days: 3}\n",
         8, "unknown action 'early_upgrad'; did you mean 'early_upgrade'?"},
        {POLICY,
         HEAD "sequences:\n  - {sequence: a, never: [early_upgrade], after: [retention_sms], "
              "within_days: 3}\n",
         8, "'retention_sms' is a treatment; its action is 'retention_offer'"},
        {POLICY,
         HEAD "exclusions:\n  - {exclusion: a, never_together: [early_upgrade, early_upgrade], "
              "within_days: 3}\n",
         8, "at least two actions"},
        {POLICY,
         "contact_policy: {source: contact_history, channel: outreach.channel, purpose: "
         "outreach.purpose}\nlimits:\n  - {limit: a, max: 1, window_days: 9, each: action}\n",
         3, "names no attribute for the action"},
        {POLICY,
         "contact_policy: {source: contact_history, channel: outreach.channel, purpose: "
         "outreach.purpose}\nhousehold_limits:\n  - {limit: a, max: 1, window_days: 9}\n",
         3, "names no feature for the household"},
    };
    check_mistakes(*state, mistakes, sizeof(mistakes) / sizeof(mistakes[0]));
}

static void two_limits_of_one_name_are_refused(void **state)
{
    static const struct mistake mistakes[] = {
        {POLICY,
         HEAD "limits:\n  - {limit: a, max: 4, window_days: 9}\n"
              "  - {limit: a, max: 2, window_days: 3}\n",
         9, "'a' is defined twice"},
        {POLICY,
         HEAD "limits:\n  - {limit: a, max: 4, window_days: 9, each: action}\n"
              "  - {limit: a, max: 2, window_days: 3, each: action}\n",
         9, "'a' is defined twice"},
        {POLICY,
         HEAD "household_limits:\n  - {limit: a, max: 4, window_days: 9}\n"
              "  - {limit: a, max: 2, window_days: 3}\n",
         9, "'a' is defined twice"},
    };
    check_mistakes(*state, mistakes, sizeof(mistakes) / sizeof(mistakes[0]));
}

static void mistakes_of_suppressions_are_refused(void **state)
{
    static const struct mistake mistakes[] = {
        {SUPPRESSIONS, "suppression: []\n", 1, "unknown key 'suppression'"},
        {SUPPRESSIONS, "suppressions:\n  - {suppression: a, withholds: [marketing]}\n", 2,
         "key 'when' is missing"},
        {SUPPRESSIONS,
         "suppressions:\n  - suppression: a\n    when: chuurn_90d > 1\n    withholds: "
         "[marketing]\n",
         3, "unknown feature 'chuurn_90d'"},
        {SUPPRESSIONS,
         "suppressions:\n  - suppression: a\n    when: churn_90d > 1\n    withholds: [marketin]\n",
         4, "unknown purpose 'marketin'; did you mean 'marketing'?"},
        {SUPPRESSIONS,
         "suppressions:\n  - suppression: a\n    when: churn_90d > 1\n    withholds: []\n", 4,
         "at least one purpose"},
        {SUPPRESSIONS,
         "suppressions:\n  - suppression: a\n    when: \"\"\n    withholds: [marketing]\n", 3,
         "an empty rule would suppress everybody"},
        {SUPPRESSIONS,
         "suppressions:\n  - {suppression: a, when: events > 1, withholds: [service]}\n"
         "  - {suppression: a, when: events > 2, withholds: [service]}\n",
         3, "suppression 'a' is defined twice"},
    };
    check_mistakes(*state, mistakes, sizeof(mistakes) / sizeof(mistakes[0]));
}

static void what_suppresses_may_not_enter_a_value(void **state)
{
    struct config_files config = config_load(*state, 100000);
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_error err = {0};
    (void)config_replace(*state, &config, "values.yaml", "when: plan_type == 'sim_only'",
                         "when: \"last(suppression.active, suppression.kind == 'minor') == true\"");
    assert_int_equal(config_read(*state, &config, &catalogue, &err), CVM_E_INVALID);
    assert_non_null(strstr(err.message, "is sensitive"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shipped_limits_govern_what_they_name),
        cmocka_unit_test(sequences_and_exclusions_are_by_action),
        cmocka_unit_test(a_folder_without_the_files_has_no_policy_and_no_suppressions),
        cmocka_unit_test(the_shipped_suppressions_withhold_what_they_say),
        cmocka_unit_test(mistakes_of_the_policy_are_refused),
        cmocka_unit_test(two_limits_of_one_name_are_refused),
        cmocka_unit_test(mistakes_of_suppressions_are_refused),
        cmocka_unit_test(what_suppresses_may_not_enter_a_value),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
