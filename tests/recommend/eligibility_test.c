#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalogue.h"

#define check_reason(small, customer, treatment, expected)                                         \
    assert_int_equal(small_reason((small), (customer), (treatment)), CVM_REASON_##expected)

static void a_customer_who_consents_is_permitted_everything(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    small_recommend(&small);
    for (size_t t = 0; t < TREATMENT_COUNT; t++) {
        check_reason(&small, i, t, PERMITTED);
        assert_true(small_value(&small, i, t) > CVM_VALUE_INELIGIBLE);
    }
    small_finish(&small);
}

static void without_a_record_every_contact_is_denied_and_no_contact_is_not(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    cvm_consent_init(&small.chunk->consents[i]);
    small_recommend(&small);
    check_reason(&small, i, SMS, NO_CONSENT_RECORD);
    check_reason(&small, i, UPGRADE, NO_CONSENT_RECORD);
    check_reason(&small, i, BOOST, PERMITTED);
    assert_true(small_value(&small, i, SMS) == CVM_VALUE_INELIGIBLE);
    small_finish(&small);
}

static void consent_is_asked_for_this_channel_and_purpose(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    size_t j = small_add(&small);
    small_grant(&small, i, CVM_CHANNEL_SMS, CVM_PURPOSE_MARKETING, false);
    small_grant(&small, j, CVM_CHANNEL_SMS, CVM_PURPOSE_SERVICE, false);
    small_recommend(&small);
    check_reason(&small, i, SMS, NO_CONSENT);
    check_reason(&small, j, SMS, PERMITTED);
    small_finish(&small);
}

static void what_is_not_on_record_is_denied(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    struct cvm_consent *consent = &small.chunk->consents[i];
    consent->recorded = 0; /* granted alone is no permission */
    small_recommend(&small);
    check_reason(&small, i, SMS, NO_CONSENT);
    small_finish(&small);
}

static void any_is_the_first_consented_channel_in_order(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    small_recommend(&small);
    assert_int_equal(small_explain(&small, i, UPGRADE).channel, CVM_CHANNEL_CALL);
    small_grant(&small, i, CVM_CHANNEL_CALL, CVM_PURPOSE_MARKETING, false);
    small_grant(&small, i, CVM_CHANNEL_EMAIL, CVM_PURPOSE_MARKETING, false);
    small_recommend(&small);
    check_reason(&small, i, UPGRADE, PERMITTED);
    assert_int_equal(small_explain(&small, i, UPGRADE).channel, CVM_CHANNEL_SMS);
    small.catalogue.consent_words.any_order[0] = CVM_CHANNEL_PUSH;
    small.catalogue.consent_words.any_order[3] = CVM_CHANNEL_CALL;
    small_recommend(&small);
    assert_int_equal(small_explain(&small, i, UPGRADE).channel, CVM_CHANNEL_PUSH);
    small_grant(&small, i, CVM_CHANNEL_SMS, CVM_PURPOSE_MARKETING, false);
    small_grant(&small, i, CVM_CHANNEL_PUSH, CVM_PURPOSE_MARKETING, false);
    small_recommend(&small);
    check_reason(&small, i, UPGRADE, NO_CONSENT);
    assert_int_equal(small_explain(&small, i, UPGRADE).channel, CVM_CHANNEL_ANY);
    small_finish(&small);
}

static void an_unset_channel_or_purpose_can_not_be_used(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    small.treatments[SMS].channel = CVM_CHANNEL_UNSET;
    small.treatments[BOOST].purpose = CVM_PURPOSE_UNSET;
    small_recommend(&small);
    check_reason(&small, i, SMS, NO_CHANNEL);
    check_reason(&small, i, BOOST, NO_CHANNEL);
    check_reason(&small, i, UPGRADE, PERMITTED);
    small_finish(&small);
}

static void a_disabled_treatment_is_refused_first(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    small.treatments[SMS].enabled = false;
    small.treatments[SMS].valid_to_day = AS_OF - 1;
    small.treatments[SMS].channel = CVM_CHANNEL_UNSET;
    small.options.forced_treatment = SMS;
    small_recommend(&small);
    check_reason(&small, i, SMS, DISABLED);
    small_finish(&small);
}

static void both_valid_days_are_inclusive(void **state)
{
    (void)state;
    static const struct {
        int32_t from;
        int32_t to;
        enum cvm_reason reason;
    } cases[] = {
        {AS_OF, AS_OF, CVM_REASON_PERMITTED},
        {AS_OF + 1, CVM_DAY_NONE, CVM_REASON_NOT_VALID},
        {CVM_DAY_NONE, AS_OF - 1, CVM_REASON_NOT_VALID},
        {CVM_DAY_NONE, AS_OF, CVM_REASON_PERMITTED},
    };
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        small.treatments[SMS].valid_from_day = cases[k].from;
        small.treatments[SMS].valid_to_day = cases[k].to;
        small_recommend(&small);
        assert_int_equal(small_reason(&small, i, SMS), cases[k].reason);
    }
    small_finish(&small);
}

static void only_allowed_treatments_are_permitted(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    small.options.allowed = UINT64_C(1) << BOOST;
    small_recommend(&small);
    check_reason(&small, i, SMS, NOT_ALLOWED);
    check_reason(&small, i, UPGRADE, NOT_ALLOWED);
    check_reason(&small, i, BOOST, PERMITTED);
    small_finish(&small);
}

static void rules_are_asked_in_the_order_eligible_applicable_suitable(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    struct cvm_treatment *sms = &small.treatments[SMS];
    sms->eligible = small_rule(&small, 1, FEATURE_TENURE, CVM_GREATER_EQUAL, 12.0);
    sms->applicable = small_rule(&small, 2, FEATURE_CHURN, CVM_GREATER, .1);
    sms->suitable = small_rule(&small, 3, FEATURE_PLAN, CVM_EQUAL, PLAN_PREPAID);
    small_recommend(&small);
    check_reason(&small, i, SMS, PERMITTED);
    small_set(&small, i, FEATURE_PLAN, PLAN_CONTRACT);
    small_recommend(&small);
    check_reason(&small, i, SMS, NOT_SUITABLE);
    assert_string_equal(small_explain(&small, i, SMS).failed_rule, "plan_type == 0");
    small_set(&small, i, FEATURE_CHURN, .1);
    small_recommend(&small);
    check_reason(&small, i, SMS, NOT_APPLICABLE);
    small_set(&small, i, FEATURE_TENURE, 11.0);
    small_recommend(&small);
    check_reason(&small, i, SMS, NOT_ELIGIBLE);
    struct cvm_action_value value = small_explain(&small, i, SMS);
    assert_string_equal(value.failed_rule, "tenure_months >= 12");
    assert_true(value.failed_value == 11.0);
    small_grant(&small, i, CVM_CHANNEL_SMS, CVM_PURPOSE_MARKETING, false);
    small_recommend(&small);
    check_reason(&small, i, SMS, NO_CONSENT); /* consent comes before every rule */
    assert_null(small_explain(&small, i, SMS).failed_rule);
    small_finish(&small);
}

static void the_failed_comparison_of_several_is_named(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    (void)small_rule(&small, 1, FEATURE_CHURN, CVM_GREATER_EQUAL, .1);
    (void)small_rule(&small, 2, FEATURE_TENURE, CVM_LESS, 30.0);
    small.treatments[SMS].eligible =
        (struct cvm_rule){.text = "both", .clauses = &small.clauses[1], .clause_count = 2};
    small_recommend(&small);
    check_reason(&small, i, SMS, NOT_ELIGIBLE);
    assert_string_equal(small_explain(&small, i, SMS).failed_rule, "tenure_months < 30");
    small_finish(&small);
}

static void a_missing_value_fails_every_comparison(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    small_set(&small, i, FEATURE_TENURE, NAN);
    for (int compare = CVM_EQUAL; compare <= CVM_GREATER_EQUAL; compare++) {
        small.treatments[SMS].eligible =
            small_rule(&small, 1, FEATURE_TENURE, (enum cvm_compare)compare, 12.0);
        small_recommend(&small);
        check_reason(&small, i, SMS, NOT_ELIGIBLE);
        assert_true(isnan(small_explain(&small, i, SMS).failed_value));
    }
    small_finish(&small);
}

static void comparisons_over_a_column_agree_with_one_at_a_time(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    for (size_t k = 0; k < 700; k++) { /* more than two strips, the last partial */
        size_t i = small_add(&small);
        small_set(&small, i, FEATURE_TENURE, k % 5 == 4 ? NAN : (double)(k % 5));
    }
    for (int compare = CVM_EQUAL; compare <= CVM_GREATER_EQUAL; compare++) {
        small.treatments[SMS].eligible =
            small_rule(&small, 1, FEATURE_TENURE, (enum cvm_compare)compare, 2.0);
        small_recommend(&small);
        for (size_t i = 0; i < 700; i++) {
            double tenure = small.chunk->features[FEATURE_TENURE * small.chunk->capacity + i];
            bool holds = cvm_compare_holds(tenure, (enum cvm_compare)compare, 2.0);
            assert_int_equal(small_reason(&small, i, SMS),
                             holds ? CVM_REASON_PERMITTED : CVM_REASON_NOT_ELIGIBLE);
        }
    }
    small_finish(&small);
}

static void a_forced_treatment_skips_applicable_and_suitable_only(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    struct cvm_treatment *sms = &small.treatments[SMS];
    sms->applicable = small_rule(&small, 1, FEATURE_TENURE, CVM_LESS, 0.0);
    sms->suitable = small_rule(&small, 2, FEATURE_TENURE, CVM_LESS, 0.0);
    small.treatments[UPGRADE].applicable = sms->applicable;
    small.options.forced_treatment = SMS;
    small_recommend(&small);
    check_reason(&small, i, SMS, PERMITTED);
    check_reason(&small, i, UPGRADE, NOT_APPLICABLE);
    sms->eligible = small_rule(&small, 3, FEATURE_TENURE, CVM_LESS, 0.0);
    small_recommend(&small);
    check_reason(&small, i, SMS, NOT_ELIGIBLE);
    sms->eligible.clause_count = 0;
    small_grant(&small, i, CVM_CHANNEL_SMS, CVM_PURPOSE_MARKETING, false);
    small_recommend(&small);
    check_reason(&small, i, SMS, NO_CONSENT);
    sms->valid_to_day = AS_OF - 1;
    small_recommend(&small);
    check_reason(&small, i, SMS, NOT_VALID);
    small_finish(&small);
}

static void an_inbound_decision_asks_no_outbound_consent(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    size_t j = small_add(&small);
    cvm_consent_init(&small.chunk->consents[i]);
    small_grant(&small, j, CVM_CHANNEL_CALL, CVM_PURPOSE_MARKETING, false);
    small.options.direction = CVM_DIRECTION_INBOUND;
    small.options.channel = CVM_CHANNEL_CALL;
    small_recommend(&small);
    check_reason(&small, i, UPGRADE, PERMITTED);
    check_reason(&small, j, UPGRADE, PERMITTED);
    assert_int_equal(small_explain(&small, i, UPGRADE).channel, CVM_CHANNEL_CALL);
    small.chunk->consents[j].recorded |=
        cvm_consent_bit(CVM_CHANNEL_CALL, CVM_DIRECTION_INBOUND, CVM_PURPOSE_MARKETING);
    small_recommend(&small);
    check_reason(&small, j, UPGRADE, NO_CONSENT); /* a recorded refusal of inbound offers counts */
    small_finish(&small);
}

static void a_requested_channel_leaves_that_channel_and_no_contact(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    small.options.channel = CVM_CHANNEL_EMAIL;
    small_recommend(&small);
    check_reason(&small, i, SMS, NOT_ALLOWED);
    check_reason(&small, i, UPGRADE, PERMITTED);
    assert_int_equal(small_explain(&small, i, UPGRADE).channel, CVM_CHANNEL_EMAIL);
    check_reason(&small, i, BOOST, PERMITTED);
    small_grant(&small, i, CVM_CHANNEL_EMAIL, CVM_PURPOSE_MARKETING, false);
    small_recommend(&small);
    check_reason(&small, i, UPGRADE, NO_CONSENT); /* a consented call does not help */
    small_finish(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_customer_who_consents_is_permitted_everything),
        cmocka_unit_test(without_a_record_every_contact_is_denied_and_no_contact_is_not),
        cmocka_unit_test(consent_is_asked_for_this_channel_and_purpose),
        cmocka_unit_test(what_is_not_on_record_is_denied),
        cmocka_unit_test(any_is_the_first_consented_channel_in_order),
        cmocka_unit_test(an_unset_channel_or_purpose_can_not_be_used),
        cmocka_unit_test(a_disabled_treatment_is_refused_first),
        cmocka_unit_test(both_valid_days_are_inclusive),
        cmocka_unit_test(only_allowed_treatments_are_permitted),
        cmocka_unit_test(rules_are_asked_in_the_order_eligible_applicable_suitable),
        cmocka_unit_test(the_failed_comparison_of_several_is_named),
        cmocka_unit_test(a_missing_value_fails_every_comparison),
        cmocka_unit_test(comparisons_over_a_column_agree_with_one_at_a_time),
        cmocka_unit_test(a_forced_treatment_skips_applicable_and_suitable_only),
        cmocka_unit_test(an_inbound_decision_asks_no_outbound_consent),
        cmocka_unit_test(a_requested_channel_leaves_that_channel_and_no_contact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
