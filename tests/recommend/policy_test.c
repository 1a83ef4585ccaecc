/* policy_test.c - suppressions, limits, kill switches and tiring; consents, rules and values have
 * tests of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalogue.h"

#define check_reason(small, customer, treatment, expected)                                         \
    assert_int_equal(small_reason((small), (customer), (treatment)), CVM_REASON_##expected)
#define MARKETING (1u << CVM_PURPOSE_MARKETING)
#define SERVICE   (1u << CVM_PURPOSE_SERVICE)
#define BIT(t)    (UINT64_C(1) << (t))

/* Tenure stands for whatever a suppression or a limit counts. */
struct policy {
    struct small small;
    struct cvm_suppression suppressions[2];
    struct cvm_policy_rule rules[2];
    struct cvm_contact_facts facts[CVM_CHUNK_SIZE];
    float tirings[CVM_CHUNK_SIZE];
};

static void policy_init(struct policy *policy)
{
    memset(policy, 0, sizeof(*policy));
    small_init(&policy->small);
    policy->small.catalogue.suppressions = policy->suppressions;
    policy->small.catalogue.policy.rules = policy->rules;
}

static void suppress(struct policy *policy, const char *name, double above, unsigned purposes,
                     bool covers_no_contact)
{
    struct cvm_catalogue *catalogue = &policy->small.catalogue;
    size_t s = catalogue->suppression_count++;
    policy->suppressions[s] = (struct cvm_suppression){
        .name = name,
        .when = small_rule(&policy->small, 1 + s, FEATURE_TENURE, CVM_GREATER, above),
        .purposes = purposes,
        .covers_no_contact = covers_no_contact,
    };
}

static void limit(struct policy *policy, const char *name, double below, uint64_t treatments,
                  enum cvm_channel channel)
{
    struct cvm_contact_policy *contact = &policy->small.catalogue.policy;
    size_t r = contact->rule_count++;
    policy->rules[r] = (struct cvm_policy_rule){
        .name = name,
        .allows = small_rule(&policy->small, 3 + r, FEATURE_TENURE, CVM_LESS, below),
        .treatments = treatments,
        .channel = channel,
    };
}

static void recommend(struct policy *policy)
{
    struct small *small = &policy->small;
    struct cvm_verdicts verdicts = {.values = small->values,
                                    .reasons = small->reasons,
                                    .margins = small->margins,
                                    .churns = small->churns,
                                    .tirings = policy->tirings,
                                    .facts = policy->facts,
                                    .segments = small->segment_of,
                                    .stride = CVM_CHUNK_SIZE};
    small_recommend(small);
    cvm_recommend_chunk(small->recommender, small->chunk, &verdicts);
}

static void a_suppression_withholds_its_purposes_and_names_itself(void **state)
{
    struct policy policy;
    (void)state;
    policy_init(&policy);
    suppress(&policy, "vulnerable", 20.0, MARKETING, false);
    size_t i = small_add(&policy.small); /* tenure 30 */
    size_t j = small_add(&policy.small);
    size_t k = small_add(&policy.small);
    small_set(&policy.small, j, FEATURE_TENURE, 20.0);
    small_set(&policy.small, k, FEATURE_TENURE, NAN); /* unknown: not suppressed */
    recommend(&policy);
    check_reason(&policy.small, i, SMS, SUPPRESSED);
    check_reason(&policy.small, i, UPGRADE, SUPPRESSED);
    check_reason(&policy.small, i, BOOST, PERMITTED); /* service */
    check_reason(&policy.small, j, SMS, PERMITTED);
    check_reason(&policy.small, k, SMS, PERMITTED);
    assert_true(small_value(&policy.small, i, SMS) == CVM_VALUE_INELIGIBLE);
    struct cvm_action_value value = small_explain(&policy.small, i, SMS);
    assert_string_equal(value.failed_name, "vulnerable");
    assert_string_equal(value.failed_rule, "tenure_months > 20");
    assert_int_equal(value.failed_feature, FEATURE_TENURE);
    assert_true(value.failed_value == 30.0);
    assert_null(value.failed_clause);
    small_finish(&policy.small);
}

static void a_treatment_without_contact_is_withheld_only_where_the_suppression_says_so(void **state)
{
    struct policy policy;
    (void)state;
    policy_init(&policy);
    suppress(&policy, "fraud", 20.0, MARKETING | SERVICE, false);
    size_t i = small_add(&policy.small);
    recommend(&policy);
    check_reason(&policy.small, i, BOOST, PERMITTED);
    policy.suppressions[0].covers_no_contact = true;
    recommend(&policy);
    check_reason(&policy.small, i, BOOST, SUPPRESSED);
    policy.small.treatments[BOOST].purpose = CVM_PURPOSE_BILLING; /* not withheld */
    recommend(&policy);
    check_reason(&policy.small, i, BOOST, PERMITTED);
    small_finish(&policy.small);
}

static void consent_comes_before_suppression_before_policy_before_rules(void **state)
{
    struct policy policy;
    (void)state;
    policy_init(&policy);
    size_t i = small_add(&policy.small);
    policy.small.treatments[SMS].eligible =
        small_rule(&policy.small, 5, FEATURE_TENURE, CVM_LESS, 10.0);
    recommend(&policy);
    check_reason(&policy.small, i, SMS, NOT_ELIGIBLE);
    limit(&policy, "marketing_30d", 20.0, BIT(SMS), CVM_CHANNEL_UNSET);
    recommend(&policy);
    check_reason(&policy.small, i, SMS, CONTACT_POLICY);
    suppress(&policy, "minor", 20.0, MARKETING, false);
    recommend(&policy);
    check_reason(&policy.small, i, SMS, SUPPRESSED);
    small_grant(&policy.small, i, CVM_CHANNEL_SMS, CVM_PURPOSE_MARKETING, false);
    recommend(&policy);
    check_reason(&policy.small, i, SMS, NO_CONSENT);
    policy.small.options.allowed = BIT(BOOST);
    recommend(&policy);
    check_reason(&policy.small, i, SMS, NOT_ALLOWED);
    policy.small.options.stopped = BIT(SMS);
    recommend(&policy);
    check_reason(&policy.small, i, SMS, STOPPED);
    small_finish(&policy.small);
}

static void a_limit_governs_its_treatments_and_names_itself(void **state)
{
    struct policy policy;
    (void)state;
    policy_init(&policy);
    limit(&policy, "marketing_30d", 20.0, BIT(SMS), CVM_CHANNEL_UNSET);
    size_t i = small_add(&policy.small);
    size_t j = small_add(&policy.small);
    small_set(&policy.small, j, FEATURE_TENURE, 19.0);
    recommend(&policy);
    check_reason(&policy.small, i, SMS, CONTACT_POLICY);
    check_reason(&policy.small, i, UPGRADE, PERMITTED);
    check_reason(&policy.small, j, SMS, PERMITTED);
    struct cvm_action_value value = small_explain(&policy.small, i, SMS);
    assert_string_equal(value.failed_name, "marketing_30d");
    assert_string_equal(value.failed_rule, "tenure_months < 20");
    assert_int_equal(value.failed_feature, FEATURE_TENURE);
    assert_true(value.failed_value == 30.0);
    assert_true(value.failed_clause == &policy.rules[0].allows.clauses[0]);
    small_finish(&policy.small);
}

static void a_limit_on_a_channel_takes_that_channel_from_any(void **state)
{
    struct policy policy;
    (void)state;
    policy_init(&policy);
    limit(&policy, "calls_60d", 20.0, BIT(UPGRADE), CVM_CHANNEL_CALL);
    size_t i = small_add(&policy.small);
    size_t j = small_add(&policy.small);
    small_set(&policy.small, j, FEATURE_TENURE, 5.0);
    recommend(&policy);
    check_reason(&policy.small, i, UPGRADE, PERMITTED);
    assert_int_equal(small_explain(&policy.small, i, UPGRADE).channel, CVM_CHANNEL_EMAIL);
    assert_int_equal(cvm_recommend_channel(policy.small.recommender, UPGRADE, &policy.facts[i]),
                     CVM_CHANNEL_EMAIL);
    assert_int_equal(cvm_recommend_channel(policy.small.recommender, UPGRADE, &policy.facts[j]),
                     CVM_CHANNEL_CALL);
    /* The last channel that consent leaves is over its limit. */
    small_grant(&policy.small, i, CVM_CHANNEL_EMAIL, CVM_PURPOSE_MARKETING, false);
    small_grant(&policy.small, i, CVM_CHANNEL_SMS, CVM_PURPOSE_MARKETING, false);
    small_grant(&policy.small, i, CVM_CHANNEL_PUSH, CVM_PURPOSE_MARKETING, false);
    recommend(&policy);
    check_reason(&policy.small, i, UPGRADE, CONTACT_POLICY);
    assert_string_equal(small_explain(&policy.small, i, UPGRADE).failed_name, "calls_60d");
    small_grant(&policy.small, i, CVM_CHANNEL_CALL, CVM_PURPOSE_MARKETING, false);
    recommend(&policy);
    check_reason(&policy.small, i, UPGRADE, NO_CONSENT);
    small_finish(&policy.small);
}

static void a_stopped_channel_is_passed_over_and_a_stopped_treatment_is_refused(void **state)
{
    struct policy policy;
    (void)state;
    policy_init(&policy);
    size_t i = small_add(&policy.small);
    policy.small.options.stopped_channels = 1u << CVM_CHANNEL_CALL | 1u << CVM_CHANNEL_SMS;
    policy.small.options.stopped = BIT(BOOST);
    policy.small.options.forced_treatment = SMS;
    recommend(&policy);
    check_reason(&policy.small, i, SMS, STOPPED); /* forced or not */
    check_reason(&policy.small, i, UPGRADE, PERMITTED);
    check_reason(&policy.small, i, BOOST, STOPPED);
    assert_int_equal(cvm_recommend_channel(policy.small.recommender, UPGRADE, &policy.facts[i]),
                     CVM_CHANNEL_EMAIL);
    policy.small.options.stopped_channels = 0xf;
    recommend(&policy);
    check_reason(&policy.small, i, UPGRADE, STOPPED);
    small_finish(&policy.small);
}

static void an_inbound_decision_asks_no_limits_and_keeps_suppressions(void **state)
{
    struct policy policy;
    (void)state;
    policy_init(&policy);
    limit(&policy, "marketing_30d", 20.0, BIT(SMS) | BIT(UPGRADE), CVM_CHANNEL_UNSET);
    limit(&policy, "calls_60d", 20.0, BIT(UPGRADE), CVM_CHANNEL_CALL);
    suppress(&policy, "minor", 100.0, MARKETING, false);
    size_t i = small_add(&policy.small);
    policy.small.options.direction = CVM_DIRECTION_INBOUND;
    policy.small.options.channel = CVM_CHANNEL_CALL;
    recommend(&policy);
    check_reason(&policy.small, i, UPGRADE, PERMITTED);
    assert_int_equal(small_explain(&policy.small, i, UPGRADE).channel, CVM_CHANNEL_CALL);
    small_set(&policy.small, i, FEATURE_TENURE, 101.0);
    recommend(&policy);
    check_reason(&policy.small, i, UPGRADE, SUPPRESSED);
    small_set(&policy.small, i, FEATURE_TENURE, 30.0);
    policy.small.treatments[UPGRADE].suitable =
        small_rule(&policy.small, 6, FEATURE_CHURN, CVM_GREATER, .5);
    recommend(&policy);
    check_reason(&policy.small, i, UPGRADE, NOT_SUITABLE);
    small_finish(&policy.small);
}

static void a_forced_treatment_keeps_suppression_and_policy(void **state)
{
    struct policy policy;
    (void)state;
    policy_init(&policy);
    limit(&policy, "marketing_30d", 20.0, BIT(SMS), CVM_CHANNEL_UNSET);
    size_t i = small_add(&policy.small);
    policy.small.options.forced_treatment = SMS;
    recommend(&policy);
    check_reason(&policy.small, i, SMS, CONTACT_POLICY);
    suppress(&policy, "minor", 20.0, MARKETING, false);
    recommend(&policy);
    check_reason(&policy.small, i, SMS, SUPPRESSED);
    small_finish(&policy.small);
}

/* .85 to the power of the contacts, on what follows from the response; cost and fatigue stay. */
static void marketing_contacts_tire_the_response_to_one_more(void **state)
{
    static const struct {
        double contacts;
        double tiring;
    } cases[] = {{0, 1},         {1, .85}, {2, .7225}, {31, .0064861},
                 {40, .0015023}, {NAN, 1}, {-2, 1.0},  {1.5, .7836612}};
    struct policy policy;
    (void)state;
    policy_init(&policy);
    policy.small.catalogue.value.contacts_feature = FEATURE_TENURE;
    policy.small.catalogue.value.tiring = .85;
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        size_t i = small_add(&policy.small);
        small_set(&policy.small, i, FEATURE_TENURE, cases[k].contacts);
    }
    recommend(&policy);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double tiring = cases[i].tiring;
        struct cvm_action_value value = small_explain(&policy.small, i, SMS);
        assert_true(fabs((double)policy.tirings[i] - tiring) < 5e-7);
        assert_true(value.tiring == (double)policy.tirings[i]);
        assert_true((float)value.value == small_value(&policy.small, i, SMS));
        /* -.036975352 without contacts, of which -.04 are cost and fatigue */
        assert_true(fabs(value.value - (tiring * .003024648 - .04)) < 5e-8);
        /* A boost makes no contact: nobody tires of it. */
        assert_true(small_explain(&policy.small, i, BOOST).tiring == 1.0);
        assert_true(fabs((double)small_value(&policy.small, i, BOOST) - .036599552) < 5e-7);
    }
    double rested = small_explain(&policy.small, 0, SMS).sd;
    assert_true(fabs(small_explain(&policy.small, 2, SMS).sd - .7225 * rested) < 1e-7);
    small_finish(&policy.small);
}

static void learned_responses_take_the_place_of_the_catalogues(void **state)
{
    struct policy policy;
    struct cvm_response learned[TREATMENT_COUNT];
    (void)state;
    policy_init(&policy);
    for (size_t t = 0; t < TREATMENT_COUNT; t++) {
        learned[t] = policy.small.treatments[t].response;
    }
    learned[SMS].reach = .5;
    learned[SMS].source = "learned";
    learned[SMS].outcomes = 812;
    policy.small.options.responses = learned;
    size_t i = small_add(&policy.small);
    recommend(&policy);
    /* .5 (.2 x .04 x 10.71048 - .03 x 2.75) - .01 - .03 */
    assert_true(fabs((double)small_value(&policy.small, i, SMS) - -.03840808) < 5e-7);
    struct cvm_action_value value = small_explain(&policy.small, i, SMS);
    assert_string_equal(value.source, "learned");
    assert_int_equal(value.outcomes, 812);
    assert_true(value.reach == .5);
    small_finish(&policy.small);
}

static void facts_tell_the_way_to_the_customer(void **state)
{
    struct policy policy;
    (void)state;
    policy_init(&policy);
    policy.small.catalogue.policy.zone_feature = FEATURE_PLAN;
    size_t i = small_add(&policy.small);
    size_t j = small_add(&policy.small);
    struct cvm_consent *consent = &policy.small.chunk->consents[i];
    consent->quiet_start_min = 1320;
    consent->quiet_end_min = 480;
    consent->preferred_time = CVM_TIME_EVENING;
    memcpy(consent->language, "de", 3);
    small_set(&policy.small, i, FEATURE_PLAN, 1.0);
    small_set(&policy.small, j, FEATURE_PLAN, NAN);
    small_grant(&policy.small, j, CVM_CHANNEL_EMAIL, CVM_PURPOSE_BILLING, false);
    recommend(&policy);
    assert_int_equal(policy.facts[i].quiet_start_min, 1320);
    assert_int_equal(policy.facts[i].quiet_end_min, 480);
    assert_int_equal(policy.facts[i].preferred_time, CVM_TIME_EVENING);
    assert_string_equal(policy.facts[i].language, "de");
    assert_int_equal(policy.facts[i].zone, 1);
    assert_int_equal(policy.facts[j].zone, 255);
    assert_int_equal(policy.facts[i].usable, 0xfff);
    assert_int_equal(policy.facts[j].usable,
                     0xfff & ~cvm_contact_bit(CVM_CHANNEL_EMAIL, CVM_PURPOSE_BILLING));
    small_finish(&policy.small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_suppression_withholds_its_purposes_and_names_itself),
        cmocka_unit_test(
            a_treatment_without_contact_is_withheld_only_where_the_suppression_says_so),
        cmocka_unit_test(consent_comes_before_suppression_before_policy_before_rules),
        cmocka_unit_test(a_limit_governs_its_treatments_and_names_itself),
        cmocka_unit_test(a_limit_on_a_channel_takes_that_channel_from_any),
        cmocka_unit_test(a_stopped_channel_is_passed_over_and_a_stopped_treatment_is_refused),
        cmocka_unit_test(an_inbound_decision_asks_no_limits_and_keeps_suppressions),
        cmocka_unit_test(a_forced_treatment_keeps_suppression_and_policy),
        cmocka_unit_test(marketing_contacts_tire_the_response_to_one_more),
        cmocka_unit_test(learned_responses_take_the_place_of_the_catalogues),
        cmocka_unit_test(facts_tell_the_way_to_the_customer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
