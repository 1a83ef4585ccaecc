/* Intervals of shares against the tables of the papers that they come from. */
#include "evaluation/proportion.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void near(double found, double wanted, double tolerance)
{
    if (!(fabs(found - wanted) <= tolerance)) {
        fail_msg("%.8f is not %.8f", found, wanted);
    }
}

/* Newcombe, Interval estimation for the difference between independent proportions, table II,
 * method 10. */
static void the_difference_of_two_shares_is_newcombes(void **state)
{
    static const struct {
        double hits, size, other_hits, other_size, low, high;
    } rows[] = {
        {56, 70, 48, 80, 0.0524, 0.3339}, {9, 10, 3, 10, 0.1705, 0.8090},
        {6, 7, 2, 7, 0.0582, 0.8062},     {5, 56, 0, 29, -0.0381, 0.1926},
        {0, 10, 0, 20, -0.1611, 0.2775},  {0, 10, 0, 10, -0.2775, 0.2775},
        {10, 10, 0, 20, 0.6791, 1.0000},  {10, 10, 0, 10, 0.6075, 1.0000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cvm_interval found =
            cvm_proportion_difference(cvm_proportion_of(rows[i].hits, rows[i].size),
                                      cvm_proportion_of(rows[i].other_hits, rows[i].other_size));
        near(found.estimate, rows[i].hits / rows[i].size - rows[i].other_hits / rows[i].other_size,
             1e-12);
        near(found.low, rows[i].low, 0.00005001);
        near(found.high, rows[i].high, 0.00005001);
    }
}

/* Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17,
 * 1998, 857-872, table I, method 3. */
static void the_interval_of_one_share_is_wilsons(void **state)
{
    static const struct {
        double hits, size, low, high;
    } rows[] = {
        {81, 263, 0.2553, 0.3662},
        {15, 148, 0.0624, 0.1605},
        {0, 20, 0.0000, 0.1611},
        {1, 29, 0.0061, 0.1718},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cvm_interval found =
            cvm_proportion_interval(cvm_proportion_of(rows[i].hits, rows[i].size));
        near(found.low, rows[i].low, 0.00005001);
        near(found.high, rows[i].high, 0.00005001);
    }
    assert_true(cvm_proportion_interval(cvm_proportion_of(0, 20)).low == 0.0);
    assert_true(cvm_proportion_interval(cvm_proportion_of(20, 20)).high == 1.0);
}

/* The aspirin component of the Physicians' Health Study, NEJM 321, 1989: 104 of 11037 against 189
 * of 11034 had an infarction; risk ratio 0.55, 0.43 to 0.70. */
static void the_ratio_of_two_shares_has_the_logarithmic_interval(void **state)
{
    (void)state;
    struct cvm_interval found =
        cvm_proportion_ratio(cvm_proportion_of(104, 11037), cvm_proportion_of(189, 11034));
    near(found.estimate, 0.55, 0.005);
    near(found.low, 0.43, 0.005);
    near(found.high, 0.70, 0.005);
}

static void a_ratio_without_hits_still_has_an_interval(void **state)
{
    (void)state;
    struct cvm_interval found =
        cvm_proportion_ratio(cvm_proportion_of(0, 50), cvm_proportion_of(10, 100));
    assert_true(found.estimate == 0.0);
    assert_true(found.low > 0 && found.low < 0.05 && found.high > 0.5 && isfinite(found.high));
    found = cvm_proportion_ratio(cvm_proportion_of(5, 50), cvm_proportion_of(0, 100));
    assert_true(isnan(found.estimate) && found.low > 1.0 && isfinite(found.high));
}

static void nobody_has_no_share(void **state)
{
    (void)state;
    struct cvm_proportion nobody = cvm_proportion_of(0, 0);
    struct cvm_proportion some = cvm_proportion_of(1, 10);
    assert_true(isnan(cvm_proportion_interval(nobody).low));
    assert_true(isnan(cvm_proportion_difference(nobody, some).estimate));
    assert_true(isnan(cvm_proportion_difference(some, nobody).high));
    assert_true(isnan(cvm_proportion_ratio(nobody, some).estimate));
    assert_true(isnan(cvm_smallest_fall(0.1, 0, 100)));
    assert_true(isnan(cvm_smallest_fall(0, 100, 100)));
}

/* R: power.prop.test(p1 = .10, p2 = .05, power = .80) needs n = 434.432 in each group, and
 * power.prop.test(p1 = .75, p2 = .50, power = .80) needs 57.67344. */
static void the_smallest_fall_is_the_one_that_80_of_100_tests_find(void **state)
{
    (void)state;
    near(cvm_smallest_fall(0.10, 434.432, 434.432), 0.05, 1e-5);
    near(cvm_smallest_fall(0.75, 57.67344, 57.67344), 0.25, 1e-4);
    double narrow = cvm_smallest_fall(0.10, 10000, 1000);
    double wide = cvm_smallest_fall(0.10, 10000, 10000);
    assert_true(wide < narrow && narrow < 0.05);
}

static void groups_too_small_for_any_fall_say_so(void **state)
{
    (void)state;
    assert_true(isnan(cvm_smallest_fall(0.02, 20, 20)));
    assert_true(isfinite(cvm_smallest_fall(0.02, 2000, 2000)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_difference_of_two_shares_is_newcombes),
        cmocka_unit_test(the_interval_of_one_share_is_wilsons),
        cmocka_unit_test(the_ratio_of_two_shares_has_the_logarithmic_interval),
        cmocka_unit_test(a_ratio_without_hits_still_has_an_interval),
        cmocka_unit_test(nobody_has_no_share),
        cmocka_unit_test(the_smallest_fall_is_the_one_that_80_of_100_tests_find),
        cmocka_unit_test(groups_too_small_for_any_fall_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
