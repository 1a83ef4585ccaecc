#include "base/maths.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

static bool is_near(double found, double expected)
{
    return fabs(found - expected) <= 1e-14 * fabs(expected);
}

static void exp_and_log_agree_with_the_c_library(void **state)
{
    (void)state;
    for (double x = -700.0; x <= 700.0; x += 0.37) {
        assert_true(is_near(cvm_exp(x), exp(x)));
    }
    for (double x = 1e-300; x < 1e300; x *= 1.37) {
        assert_true(fabs(cvm_log(x) - log(x)) <= 1e-14 * fabs(log(x)) + 1e-15);
    }
    assert_true(cvm_exp(0.0) == 1.0);
    assert_true(cvm_log(1.0) == 0.0);
}

static void the_ends_of_exp_are_infinity_and_nothing(void **state)
{
    (void)state;
    assert_true(isinf(cvm_exp(710.0)));
    assert_true(cvm_exp(-746.0) == 0.0);
    assert_true(cvm_exp(-744.0) > 0.0);
}

static void logistic_and_logit_undo_each_other(void **state)
{
    (void)state;
    for (double p = 0.001; p < 1.0; p += 0.013) {
        assert_true(fabs(cvm_logistic(cvm_logit(p)) - p) < 1e-14);
    }
    assert_true(cvm_logistic(0.0) == 0.5);
}

/* The bits themselves: another machine, compiler or option may not change them. */
static void the_bits_are_the_same_everywhere(void **state)
{
    (void)state;
    assert_true(cvm_exp(1.0) == 0x1.5bf0a8b14576ap+1);
    assert_true(cvm_exp(-3.7) == 0x1.9511fc6871044p-6);
    assert_true(cvm_log(10.0) == 0x1.26bb1bbb55516p+1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_and_log_agree_with_the_c_library),
        cmocka_unit_test(the_ends_of_exp_are_infinity_and_nothing),
        cmocka_unit_test(logistic_and_logit_undo_each_other),
        cmocka_unit_test(the_bits_are_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
