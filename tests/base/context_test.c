#include "base/context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void work_goes_on_until_it_is_cancelled(void **state)
{
    (void)state;
    int64_t now = 1000;
    atomic_bool cancelled = false;
    struct cvm_context context = {.clock = cvm_clock_fixed(&now), .cancelled = &cancelled};
    struct cvm_error err = {0};
    assert_int_equal(cvm_context_check(&context, &err), CVM_OK);
    atomic_store(&cancelled, true);
    assert_int_equal(cvm_context_check(&context, &err), CVM_E_TIMEOUT);
    assert_string_equal(err.message, "cancelled");
}

static void work_ends_at_its_deadline(void **state)
{
    (void)state;
    int64_t now = 1000;
    struct cvm_context context = {.clock = cvm_clock_fixed(&now), .deadline_ms = 2000};
    assert_int_equal(cvm_context_check(&context, NULL), CVM_OK);
    now = 1999;
    assert_int_equal(cvm_context_check(&context, NULL), CVM_OK);
    now = 2000;
    assert_int_equal(cvm_context_check(&context, NULL), CVM_E_TIMEOUT);
    context.deadline_ms = 0;
    assert_int_equal(cvm_context_check(&context, NULL), CVM_OK);
}

static void a_fixed_clock_moves_only_when_it_is_set(void **state)
{
    (void)state;
    int64_t now = 1500;
    struct cvm_context context = {.clock = cvm_clock_fixed(&now)};
    assert_int_equal(cvm_context_now_ms(&context), 1500);
    assert_true(cvm_context_seconds(&context) == 1.5);
    now = 2500;
    assert_true(cvm_context_seconds(&context) == 2.5);
}

static void the_system_clocks_answer(void **state)
{
    (void)state;
    struct cvm_context context = {.clock = cvm_clock_system};
    assert_true(cvm_context_now_ms(&context) > 1700000000000);
    double before = cvm_context_seconds(&context);
    assert_true(cvm_context_seconds(&context) >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_goes_on_until_it_is_cancelled),
        cmocka_unit_test(work_ends_at_its_deadline),
        cmocka_unit_test(a_fixed_clock_moves_only_when_it_is_set),
        cmocka_unit_test(the_system_clocks_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
