/* money_test.c - millionths: exact in, exact out, saturating sums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "model/money.h"

static void halves_round_to_even(void **state)
{
    (void)state;
    assert_int_equal(cvm_micro_from_double(0.0000005), 0);
    assert_int_equal(cvm_micro_from_double(0.0000015), 2);
    assert_int_equal(cvm_micro_from_double(0.0000025), 2);
    assert_int_equal(cvm_micro_from_double(-0.0000015), -2);
    assert_int_equal(cvm_micro_from_double(12.5), 12500000);
}

static void what_does_not_fit_saturates_and_nan_is_nothing(void **state)
{
    (void)state;
    assert_true(cvm_micro_from_double(1e300) == CVM_MICRO_MAX);
    assert_true(cvm_micro_from_double(-INFINITY) == -CVM_MICRO_MAX);
    assert_int_equal(cvm_micro_from_double(NAN), 0);
    assert_true(cvm_micro_add(CVM_MICRO_MAX, 1) == CVM_MICRO_MAX);
    assert_true(cvm_micro_add(INT64_MAX, INT64_MAX) == CVM_MICRO_MAX);
    assert_true(cvm_micro_add(-CVM_MICRO_MAX, -CVM_MICRO_MAX) == -CVM_MICRO_MAX);
    assert_int_equal(cvm_micro_add(5, -7), -2);
}

static void text_is_read_exactly(void **state)
{
    static const struct {
        const char *text;
        int64_t micro;
    } good[] = {
        {"12.5", 12500000},
        {"-0.000001", -1},
        {"0", 0},
        {"0.003", 3000},
        {"1000000000000", CVM_MICRO_MAX},
        {"007", 7000000},
        {"999999999999.999999", CVM_MICRO_MAX - 1},
    };
    int64_t micro = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(cvm_micro_parse(good[i].text, strlen(good[i].text), &micro));
        assert_true(micro == good[i].micro);
    }
}

static void anything_else_is_refused_and_leaves_the_output_alone(void **state)
{
    static const char *const bad[] = {"",
                                      "-",
                                      ".5",
                                      "5.",
                                      "1.0000001",
                                      "1e3",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "0x1",
                                      "1,5",
                                      "1000000000001",
                                      "nan",
                                      "--1",
                                      "1.-",
                                      "1..",
                                      "1-1",
                                      "99999999999999999999999999",
                                      "1000000000000.000001"};
    int64_t micro = 42;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(cvm_micro_parse(bad[i], strlen(bad[i]), &micro));
        assert_int_equal(micro, 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_round_to_even),
        cmocka_unit_test(what_does_not_fit_saturates_and_nan_is_nothing),
        cmocka_unit_test(text_is_read_exactly),
        cmocka_unit_test(anything_else_is_refused_and_leaves_the_output_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
