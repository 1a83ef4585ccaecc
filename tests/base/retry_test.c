#include "base/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SLEEPS_MAX 64

/* A clock that only sleeping moves. */
struct world {
    int64_t now_ms;
    int64_t pauses[SLEEPS_MAX];
    size_t count;
    atomic_bool cancelled;
    bool cancels_while_asleep;
};

static void fall_asleep(void *state, int64_t pause_ms)
{
    struct world *world = state;
    assert_true(world->count < SLEEPS_MAX);
    world->pauses[world->count++] = pause_ms;
    world->now_ms += pause_ms;
    atomic_store(&world->cancelled, world->cancels_while_asleep);
}

static struct cvm_retry_means means_of(struct world *world, uint64_t seed)
{
    return (struct cvm_retry_means){
        .clock = cvm_clock_fixed(&world->now_ms),
        .sleep = fall_asleep,
        .sleep_state = world,
        .seed = seed,
        .cancelled = &world->cancelled,
    };
}

/* Attempts that all fail; their number. */
static int64_t fail_always(struct world *world, const struct cvm_retry_policy *policy,
                           struct cvm_retry_budget *budget)
{
    struct cvm_retry retry;
    struct cvm_retry_means means = means_of(world, 1);
    means.budget = budget;
    int64_t attempts = 0;
    cvm_retry_start(&retry, policy, &means);
    do {
        attempts++;
    } while (cvm_retry_again(&retry));
    return attempts;
}

static void a_pause_lies_between_nothing_and_the_doubled_base(void **state)
{
    (void)state;
    static const struct cvm_retry_policy policy = {.base_ms = 100, .cap_ms = 1000};
    static const int64_t most[] = {100, 200, 400, 800, 1000, 1000};
    for (size_t n = 0; n < sizeof(most) / sizeof(most[0]); n++) {
        int64_t longest = 0;
        int64_t shortest = INT64_MAX;
        double sum = 0;
        for (uint64_t seed = 0; seed < 2000; seed++) {
            struct cvm_random random;
            cvm_random_init(&random, seed);
            int64_t pause = cvm_retry_pause_ms(&policy, (int64_t)n, &random);
            longest = pause > longest ? pause : longest;
            shortest = pause < shortest ? pause : shortest;
            sum += (double)pause;
        }
        assert_true(shortest <= most[n] / 100);
        assert_true(longest <= most[n] && longest >= most[n] * 99 / 100);
        assert_true(sum / 2000 > 0.45 * (double)most[n] && sum / 2000 < 0.55 * (double)most[n]);
    }
}

static void no_number_of_repetitions_goes_beyond_the_cap(void **state)
{
    (void)state;
    static const struct cvm_retry_policy none = {0};
    struct cvm_random random;
    cvm_random_init(&random, 3);
    for (int64_t n = 0; n < 5000; n += 7) {
        int64_t pause = cvm_retry_pause_ms(&none, n, &random);
        assert_true(pause >= 0 && pause <= 30000);
    }
    static const struct cvm_retry_policy large = {.base_ms = INT64_MAX / 2,
                                                  .cap_ms = INT64_MAX / 2};
    assert_true(cvm_retry_pause_ms(&large, INT64_MAX, &random) <= INT64_MAX / 2);
}

static void the_same_seed_pauses_the_same(void **state)
{
    (void)state;
    static const struct cvm_retry_policy policy = {.attempts = 6};
    struct world worlds[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fail_always(&worlds[i], &policy, NULL), 6);
        assert_int_equal(worlds[i].count, 5);
    }
    assert_memory_equal(worlds[0].pauses, worlds[1].pauses, sizeof(worlds[0].pauses));
}

static void attempts_are_counted_with_the_first(void **state)
{
    (void)state;
    static const struct cvm_retry_policy once = {.attempts = 1};
    static const struct cvm_retry_policy none = {0};
    struct world world = {0};
    assert_int_equal(fail_always(&world, &once, NULL), 1);
    assert_int_equal(world.count, 0);
    assert_int_equal(fail_always(&world, &none, NULL), 8);
}

static void no_attempt_begins_after_the_limit(void **state)
{
    (void)state;
    static const struct cvm_retry_policy policy = {
        .base_ms = 400, .attempts = INT64_MAX, .limit_ms = 2000};
    struct world world = {0};
    int64_t attempts = fail_always(&world, &policy, NULL);
    assert_true(attempts > 2 && attempts < SLEEPS_MAX);
    assert_int_equal(world.now_ms, 2000); /* the last pause is cut to what is left */
}

static void work_that_got_on_counts_from_there(void **state)
{
    (void)state;
    static const struct cvm_retry_policy policy = {.attempts = 2, .limit_ms = 500};
    struct world world = {0};
    struct cvm_retry retry;
    struct cvm_retry_means means = means_of(&world, 5);
    cvm_retry_start(&retry, &policy, &means);
    for (int i = 0; i < 20; i++) {
        assert_true(cvm_retry_again(&retry));
        cvm_retry_progress(&retry);
        world.now_ms += 400;
        cvm_retry_progress(&retry);
    }
    assert_true(cvm_retry_again(&retry));
    assert_false(cvm_retry_again(&retry));
}

static void nothing_is_repeated_once_it_was_cancelled(void **state)
{
    (void)state;
    static const struct cvm_retry_policy none = {0};
    struct world world = {.cancels_while_asleep = true};
    assert_int_equal(fail_always(&world, &none, NULL), 1);
    assert_int_equal(world.count, 1);
    assert_int_equal(fail_always(&world, &none, NULL), 1);
    assert_int_equal(world.count, 1);
}

static void a_budget_keeps_repetitions_a_tenth_of_requests(void **state)
{
    (void)state;
    static const struct cvm_retry_policy twice = {.attempts = 2};
    struct cvm_retry_budget budget;
    int64_t repeated = 0;
    cvm_retry_budget_init(&budget, 0.1, 5);
    for (int request = 0; request < 1000; request++) {
        struct world world = {0};
        cvm_retry_budget_request(&budget);
        repeated += fail_always(&world, &twice, &budget) - 1;
    }
    assert_true(repeated >= 100 && repeated <= 105); /* and the burst of the start */
}

static void a_budget_saves_no_more_than_its_burst(void **state)
{
    (void)state;
    struct cvm_retry_budget budget;
    cvm_retry_budget_init(&budget, 0.1, 3);
    for (int request = 0; request < 1000; request++) {
        cvm_retry_budget_request(&budget);
    }
    for (int i = 0; i < 3; i++) {
        assert_true(cvm_retry_budget_take(&budget));
    }
    assert_false(cvm_retry_budget_take(&budget));
}

static void the_systems_means_sleep_and_differ(void **state)
{
    (void)state;
    struct cvm_retry_means first = cvm_retry_means_system();
    first.sleep(first.sleep_state, 0);
    struct cvm_retry_means second = cvm_retry_means_system();
    assert_true(first.seed != second.seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_lies_between_nothing_and_the_doubled_base),
        cmocka_unit_test(no_number_of_repetitions_goes_beyond_the_cap),
        cmocka_unit_test(the_same_seed_pauses_the_same),
        cmocka_unit_test(attempts_are_counted_with_the_first),
        cmocka_unit_test(no_attempt_begins_after_the_limit),
        cmocka_unit_test(work_that_got_on_counts_from_there),
        cmocka_unit_test(nothing_is_repeated_once_it_was_cancelled),
        cmocka_unit_test(a_budget_keeps_repetitions_a_tenth_of_requests),
        cmocka_unit_test(a_budget_saves_no_more_than_its_burst),
        cmocka_unit_test(the_systems_means_sleep_and_differ),
    };
    return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
