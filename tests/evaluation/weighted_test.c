#include "evaluation/weighted.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void near(double found, double wanted)
{
    if (!(fabs(found - wanted) <= 1e-12)) {
        fail_msg("%.15f is not %.15f", found, wanted);
    }
}

static void equal_probabilities_give_the_ordinary_mean(void **state)
{
    struct cvm_weighted sums = {0};
    (void)state;
    for (int i = 0; i < 10; i++) {
        cvm_weighted_add(&sums, 0.25, i < 3 ? 1 : 0);
    }
    assert_int_equal(sums.count, 10);
    near(cvm_weighted_mean(&sums), 0.3);
    near(cvm_weighted_standard_error(&sums), sqrt(0.3 * 0.7 / 10));
    near(cvm_weighted_effective_size(&sums), 10);
    near(cvm_weighted_proportion(&sums).rate, 0.3);
}

/* Weights 2 (y = 4) and 4 (y = 1): mean (8 + 4) / 6 = 2; deviations 2 and -1, so the error is
 * sqrt(4 x 4 + 16 x 1) / 6; effective size 36 / 20. */
static void unequal_probabilities_weigh_by_their_inverse(void **state)
{
    struct cvm_weighted sums = {0};
    (void)state;
    cvm_weighted_add(&sums, 0.5, 4);
    cvm_weighted_add(&sums, 0.25, 1);
    near(cvm_weighted_mean(&sums), 2);
    near(cvm_weighted_standard_error(&sums), sqrt(32) / 6);
    near(cvm_weighted_effective_size(&sums), 1.8);
}

/* A base of 900 who churn at 10 % and 100 who churn at 50 %; the second half of the sample was ten
 * times as likely. The weighted mean is the base's, 14 %; the plain one would be 30 %. */
static void the_weighted_mean_stands_for_the_whole_base(void **state)
{
    struct cvm_weighted sums = {0};
    (void)state;
    for (int i = 0; i < 100; i++) {
        cvm_weighted_add(&sums, 100.0 / 900, i < 10 ? 1 : 0);
        cvm_weighted_add(&sums, 1, i < 50 ? 1 : 0);
    }
    near(cvm_weighted_mean(&sums), 0.14);
    assert_true(cvm_weighted_effective_size(&sums) < 200);
}

static void nobody_has_no_mean(void **state)
{
    struct cvm_weighted sums = {0};
    (void)state;
    assert_true(isnan(cvm_weighted_mean(&sums)));
    assert_true(isnan(cvm_weighted_standard_error(&sums)));
    near(cvm_weighted_effective_size(&sums), 0);
}

static void impossible_probabilities_are_passed_over(void **state)
{
    struct cvm_weighted sums = {0};
    (void)state;
    cvm_weighted_add(&sums, 0, 1);
    cvm_weighted_add(&sums, -1, 1);
    cvm_weighted_add(&sums, 1.5, 1);
    cvm_weighted_add(&sums, NAN, 1);
    cvm_weighted_add(&sums, 1, NAN);
    assert_int_equal(sums.count, 0);
    cvm_weighted_add(&sums, 1, 1);
    near(cvm_weighted_mean(&sums), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_probabilities_give_the_ordinary_mean),
        cmocka_unit_test(unequal_probabilities_weigh_by_their_inverse),
        cmocka_unit_test(the_weighted_mean_stands_for_the_whole_base),
        cmocka_unit_test(nobody_has_no_mean),
        cmocka_unit_test(impossible_probabilities_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
