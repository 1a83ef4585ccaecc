/* The rule by which workers come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agents/scale.h"

static int64_t now_ms;

static struct cvm_scale_choice step(struct cvm_scale *scale, double arrivals, double service,
                                    int64_t backlog, bool is_slow)
{
    struct cvm_scale_sample sample = {now_ms, arrivals, service, backlog, is_slow};
    now_ms += CVM_SCALE_EVERY_MS;
    return cvm_scale_next(scale, &sample);
}

static struct cvm_scale start(size_t workers)
{
    struct cvm_scale scale;
    now_ms = 1000000;
    cvm_scale_init(&scale, 1, 16, workers);
    return scale;
}

static void a_backlog_doubles_the_workers_and_then_waits(void **state)
{
    struct cvm_scale scale = start(2);
    (void)state;
    struct cvm_scale_choice choice = step(&scale, 10, 0.5, 1000, false);
    assert_int_equal(choice.reason, CVM_SCALE_UP);
    assert_int_equal(choice.workers, 4);
    assert_int_equal(step(&scale, 10, 0.5, 1000, false).workers, 4); /* too soon */
    assert_int_equal(step(&scale, 10, 0.5, 1000, false).workers, 8);
    step(&scale, 10, 0.5, 1000, false);
    assert_int_equal(step(&scale, 10, 0.5, 1000, false).workers, 16);
    step(&scale, 10, 0.5, 1000, false);
    assert_int_equal(step(&scale, 10, 0.5, 1000, false).workers, 16); /* no more are allowed */
}

static void the_need_is_what_arrives_and_what_waits_at_seven_tenths(void **state)
{
    struct cvm_scale scale = start(1);
    (void)state;
    /* (4/s * 0.5 s + 30 * 0.5 s / 30 s) / 0.7 = 3.57 */
    assert_true(step(&scale, 4, 0.5, 30, false).need == 4);
}

static void a_small_difference_changes_nothing(void **state)
{
    struct cvm_scale scale = start(10);
    (void)state;
    /* needs 11 of 10 */
    assert_int_equal(step(&scale, 14.2, 0.5, 0, false).reason, CVM_SCALE_STAY);
}

static void workers_go_a_quarter_at_a_time_after_two_quiet_minutes(void **state)
{
    struct cvm_scale scale = start(16);
    (void)state;
    for (size_t i = 0; i + 1 < CVM_SCALE_SAMPLES; i++) {
        assert_int_equal(step(&scale, 0, 0.5, 0, false).workers, 16);
    }
    assert_int_equal(step(&scale, 0, 0.5, 0, false).workers, 12);
    assert_int_equal(step(&scale, 0, 0.5, 0, false).workers, 12);
    assert_int_equal(step(&scale, 0, 0.5, 0, false).workers, 9);
    for (int i = 0; i < 100; i++) {
        step(&scale, 0, 0.5, 0, false);
    }
    assert_int_equal(scale.workers, 1);
}

static void a_peak_within_two_minutes_keeps_them(void **state)
{
    struct cvm_scale scale = start(8);
    (void)state;
    step(&scale, 10, 0.5, 0, false);
    for (size_t i = 0; i + 1 < CVM_SCALE_SAMPLES; i++) {
        assert_int_equal(step(&scale, 0, 0, 0, false).workers, 8);
    }
}

static void what_is_slow_is_not_asked_by_more(void **state)
{
    struct cvm_scale scale = start(8);
    (void)state;
    struct cvm_scale_choice choice = step(&scale, 100, 2, 1000, true);
    assert_int_equal(choice.reason, CVM_SCALE_SPARED);
    assert_int_equal(choice.workers, 6);
    choice = step(&scale, 100, 2, 1000, true);
    assert_int_equal(choice.reason, CVM_SCALE_HELD_BACK);
    assert_int_equal(choice.workers, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backlog_doubles_the_workers_and_then_waits),
        cmocka_unit_test(the_need_is_what_arrives_and_what_waits_at_seven_tenths),
        cmocka_unit_test(a_small_difference_changes_nothing),
        cmocka_unit_test(workers_go_a_quarter_at_a_time_after_two_quiet_minutes),
        cmocka_unit_test(a_peak_within_two_minutes_keeps_them),
        cmocka_unit_test(what_is_slow_is_not_asked_by_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
