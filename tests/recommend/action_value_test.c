#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "recommend/probability.h"
#include "small_catalogue.h"

#define check_near(actual, expected) assert_true(fabs((actual) - (expected)) < 5e-7)

/* margin 5.5, annuity 1 + .955 x .992 = 1.94736, worth 10.71048, churn .2 */
static void values_are_those_of_the_formula_to_the_micro(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    small_recommend(&small);
    check_near((double)small.margins[i], 5.5);
    check_near((double)small.churns[i], .2);
    assert_int_equal(small.segment_of[i], 0);
    /* .95 (.2 x .04 x 10.71048 - .03 x 2.75) - .01 - .03 */
    check_near((double)small_value(&small, i, SMS), -.036975352);
    /* .6 (.2 x .35 x 10.71048 + .1 (1.94736 - 16.5)) - .3 - .03 */
    check_near((double)small_value(&small, i, UPGRADE), -.75331824);
    /* .95 (.2 x .04 x 10.71048 + .4 (.03 x 1.94736 - .15)) - .01, no contact: no fatigue */
    check_near((double)small_value(&small, i, BOOST), .036599552);
    small_finish(&small);
}

static void a_value_that_is_not_positive_stays_permitted(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    small_recommend(&small);
    assert_int_equal(small_reason(&small, i, SMS), CVM_REASON_PERMITTED);
    assert_true(small_value(&small, i, SMS) < 0.0f);
    small_finish(&small);
}

static void explain_shows_every_part(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    small_recommend(&small);
    struct cvm_action_value value = small_explain(&small, i, UPGRADE);
    check_near(value.margin, 5.5);
    check_near(value.annuity, 1.94736);
    check_near(value.worth, 10.71048);
    check_near(value.incentive, 16.5);
    check_near(value.cost, .3);
    check_near(value.fatigue, .03);
    assert_string_equal(value.source, "prior");
    assert_string_equal(small_explain(&small, i, BOOST).source, "learned");
    double again =
        value.reach * (value.churn * value.churn_cut * value.worth +
                       value.accept * (value.extra_margin * value.annuity - value.incentive)) -
        value.cost - value.fatigue;
    assert_true(again == value.value);
    small_finish(&small);
}

static void explain_and_matrix_are_equal_to_the_last_bit(void **state)
{
    (void)state;
    struct small small;
    struct cvm_random random;
    small_init(&small);
    small.attributes[0].score = (struct cvm_score){30.0, -.3, .9, "measured"};
    cvm_random_init(&random, 11);
    for (size_t k = 0; k < 600; k++) {
        size_t i = small_add(&small);
        small_set(&small, i, FEATURE_CHURN, k % 7 == 0 ? NAN : cvm_random_unit(&random));
        small_set(&small, i, FEATURE_CHARGE,
                  k % 11 == 0 ? NAN : cvm_random_lognormal(&random, 12.0, 1.0));
        small_set(&small, i, FEATURE_PLAN, (double)cvm_random_below(&random, 2));
    }
    small_recommend(&small);
    for (size_t i = 0; i < 600; i++) {
        for (size_t t = 0; t < TREATMENT_COUNT; t++) {
            struct cvm_action_value value = small_explain(&small, i, t);
            assert_true((float)value.value == small_value(&small, i, t));
            assert_true(value.margin == (double)small.margins[i]);
            assert_true(value.churn == (double)small.churns[i]);
            assert_true(value.sd ==
                        cvm_action_value_sd(small.recommender,
                                            &(struct cvm_value_facts){small.segment_of[i],
                                                                      (double)small.margins[i],
                                                                      (double)small.churns[i], 1.0},
                                            t));
        }
    }
    small_finish(&small);
}

static void the_margin_is_a_share_of_the_charge_within_the_segments_bounds(void **state)
{
    (void)state;
    static const struct {
        double charge;
        double plan;
        double margin;
    } cases[] = {
        {10.0, PLAN_PREPAID, 5.5},   {0.0, PLAN_PREPAID, 1.0},     {500.0, PLAN_PREPAID, 8.0},
        {-3.0, PLAN_PREPAID, 1.0},   {NAN, PLAN_PREPAID, 3.0},     {NAN, PLAN_CONTRACT, 13.0},
        {1000.0, PLAN_CONTRACT, 25}, {10.0, PLAN_CONTRACT, 8.0},   {10.0, NAN, 8.0},
        {INFINITY, PLAN_PREPAID, 8}, {-INFINITY, PLAN_PREPAID, 1},
    };
    struct small small;
    small_init(&small);
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        size_t i = small_add(&small);
        small_set(&small, i, FEATURE_CHARGE, cases[k].charge);
        small_set(&small, i, FEATURE_PLAN, cases[k].plan);
    }
    small_recommend(&small);
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        check_near((double)small.margins[k], cases[k].margin);
    }
    small_finish(&small);
}

static void churn_is_calibrated_and_brought_to_the_horizon(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    small_set(&small, i, FEATURE_CHURN, NAN); /* the segment's: 1 - .97^3 */
    small_recommend(&small);
    check_near((double)small.churns[i], .087327);
    small.attributes[0].score = (struct cvm_score){30.0, 0.0, 1.0, "assumed"};
    small_set(&small, i, FEATURE_CHURN, .1); /* 1 - .9^3 */
    small_recommend(&small);
    check_near((double)small.churns[i], .271);
    small.attributes[0].score = (struct cvm_score){90.0, -1.0, .5, "measured"};
    small_set(&small, i, FEATURE_CHURN, .5); /* 1 / (1 + e) */
    small_recommend(&small);
    check_near((double)small.churns[i], .2689414);
    small.attributes[0].score = (struct cvm_score){90.0, 0.0, 1.0, "assumed"};
    small_set(&small, i, FEATURE_CHURN, 1.7); /* out of range: the nearest probability */
    small_recommend(&small);
    check_near((double)small.churns[i], 1.0);
    small.catalogue.value.churn_feature = CVM_INDEX_NONE;
    small_recommend(&small);
    check_near((double)small.churns[i], .087327);
    small_finish(&small);
}

static void a_number_that_is_no_declared_score_is_refused(void **state)
{
    (void)state;
    struct small small;
    struct cvm_error err;
    small_init(&small);
    small.attributes[0].score.horizon_days = 0.0;
    assert_int_equal(
        cvm_recommender_create(&small.catalogue, &small.options, &small.recommender, &err),
        CVM_E_INVALID);
    assert_non_null(strstr(err.message, "'churn_90d' is not a declared score"));
    small.catalogue.value.churn_feature = FEATURE_TENURE; /* has no attribute at all */
    assert_int_equal(
        cvm_recommender_create(&small.catalogue, &small.options, &small.recommender, &err),
        CVM_E_INVALID);
    assert_null(small.recommender);
    small_finish(&small);
}

static void the_annuity_of_a_contract_is_about_18_6_months(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    small_set(&small, i, FEATURE_PLAN, PLAN_CONTRACT);
    small_recommend(&small);
    /* (1 - .97712^24) / (1 - .97712) */
    check_near(small_explain(&small, i, BOOST).annuity, 18.6282507);
    small_finish(&small);
}

static void the_standard_deviation_adds_the_effects_of_all_inputs(void **state)
{
    (void)state;
    struct small small;
    small_init(&small);
    size_t i = small_add(&small);
    small_recommend(&small);
    /* reach .000981, accept -.006960, churn cut .081400, churn .019733 */
    assert_true(fabs(small_explain(&small, i, BOOST).sd - 0.084051833) < 5e-7);
    small_finish(&small);
}

static void costs_are_by_measure_and_half_even(void **state)
{
    (void)state;
    struct small small;
    double flat = 0.0;
    double rate = 0.0;
    small_init(&small);
    const struct cvm_treatment *upgrade = &small.treatments[UPGRADE];
    assert_int_equal(cvm_recommend_cost_micro(upgrade, CVM_MEASURE_MARGINAL, 5.5), 300000);
    /* .6 x .1 x 3 x 5.5 */
    assert_int_equal(cvm_recommend_cost_micro(upgrade, CVM_MEASURE_INCENTIVE, 5.5), 990000);
    assert_int_equal(cvm_recommend_cost_micro(upgrade, CVM_MEASURE_BOTH, 5.5), 1290000);
    cvm_recommend_cost_rate(upgrade, CVM_MEASURE_BOTH, &flat, &rate);
    check_near(flat, .3);
    check_near(rate, .18);
    /* .95 x .4 x .15 */
    assert_int_equal(
        cvm_recommend_cost_micro(&small.treatments[BOOST], CVM_MEASURE_INCENTIVE, 99.0), 57000);
    small_finish(&small);
}

static void certain_churn_stays_certain_over_any_horizon(void **state)
{
    (void)state;
    assert_true(cvm_probability_rescale(0.0, 30.0, 90.0) == 0.0);
    assert_true(cvm_probability_rescale(1.0, 30.0, 90.0) == 1.0);
    assert_true(cvm_probability_rescale(0.3, 90.0, 90.0) == 0.3);
    assert_true(fabs(cvm_probability_rescale(.271, 90.0, 30.0) - .1) < 1e-15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_the_formula_to_the_micro),
        cmocka_unit_test(a_value_that_is_not_positive_stays_permitted),
        cmocka_unit_test(explain_shows_every_part),
        cmocka_unit_test(explain_and_matrix_are_equal_to_the_last_bit),
        cmocka_unit_test(the_margin_is_a_share_of_the_charge_within_the_segments_bounds),
        cmocka_unit_test(churn_is_calibrated_and_brought_to_the_horizon),
        cmocka_unit_test(a_number_that_is_no_declared_score_is_refused),
        cmocka_unit_test(the_annuity_of_a_contract_is_about_18_6_months),
        cmocka_unit_test(the_standard_deviation_adds_the_effects_of_all_inputs),
        cmocka_unit_test(costs_are_by_measure_and_half_even),
        cmocka_unit_test(certain_churn_stays_certain_over_any_horizon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
