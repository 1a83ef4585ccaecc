/* The inner loops: the same bits whatever the instructions, slopes that are slopes, and decisions
 * that hold wherever in the region the prices end. */
#include "allocation/pass.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "support/random_problem.h"

struct fixture {
    struct random_problem *made;
    struct cvm_arena *arena;
    struct cvm_solve *solve;
    struct cvm_choices choices;
};

static void make_fixture(struct fixture *fixture, const struct random_shape *shape,
                         enum cvm_instructions instructions)
{
    const struct cvm_kernel *kernel = NULL;
    memset(fixture, 0, sizeof(*fixture));
    fixture->made = random_problem_big(shape);
    fixture->arena = cvm_arena_create(SIZE_MAX);
    assert_non_null(fixture->arena);
    fixture->solve = CVM_NEW(fixture->arena, struct cvm_solve);
    assert_int_equal(cvm_kernel_find(instructions, &kernel, NULL), CVM_OK);
    assert_int_equal(
        cvm_solve_init(fixture->solve, &fixture->made->problem, kernel, fixture->arena, NULL, NULL),
        CVM_OK);
    size_t count = fixture->made->problem.customer_count;
    fixture->choices.treatments = CVM_NEW_ARRAY(fixture->arena, count + 1, unsigned char);
    fixture->choices.sets = CVM_NEW_ARRAY(fixture->arena, count + 1, uint64_t);
}

static void drop_fixture(struct fixture *fixture)
{
    random_problem_free(fixture->made);
    cvm_arena_destroy(fixture->arena);
}

/* Some rows priced, so that prices matter and not everybody is driven away. */
static void random_prices(const struct cvm_problem *problem, struct cvm_random *random,
                          double *prices)
{
    for (size_t r = 0; r < problem->row_count; r++) {
        bool is_priced = cvm_random_below(random, 3) != 0;
        prices[r] = is_priced ? cvm_random_lognormal(random, 0.5, 1.0) : 0.0;
    }
}

static const struct random_shape simple = {.seed = 3, .customers = 5003, .treatments = 9};
static const struct random_shape households = {
    .seed = 4, .customers = 3001, .treatments = 7, .per_customer_max = 2, .has_households = true};

static void all_instructions_choose_alike(void **state)
{
    static const enum cvm_instructions all[] = {CVM_INSTRUCTIONS_AVX2, CVM_INSTRUCTIONS_AVX512};
    struct fixture plain;
    struct cvm_random random;
    double prices[CVM_PROBLEM_ROWS_MAX] = {0};
    struct cvm_sums sums;
    (void)state;
    make_fixture(&plain, &simple, CVM_INSTRUCTIONS_PLAIN);
    cvm_random_init(&random, 1);
    random_prices(&plain.made->problem, &random, prices);
    cvm_tariff_set(&plain.solve->tariff, prices);
    cvm_pass_choose(plain.solve, &plain.solve->everybody, &plain.choices, &sums);
    for (size_t k = 0; k < 2; k++) {
        const struct cvm_kernel *kernel = NULL;
        struct fixture other;
        struct cvm_sums other_sums;
        if (cvm_kernel_find(all[k], &kernel, NULL) != CVM_OK) {
            print_message("this machine lacks %s: not compared\n", k == 0 ? "AVX2" : "AVX-512");
            continue;
        }
        make_fixture(&other, &simple, all[k]);
        cvm_tariff_set(&other.solve->tariff, prices);
        cvm_pass_choose(other.solve, &other.solve->everybody, &other.choices, &other_sums);
        assert_memory_equal(&sums, &other_sums, sizeof(sums));
        assert_memory_equal(plain.choices.treatments, other.choices.treatments, simple.customers);
        drop_fixture(&other);
    }
    drop_fixture(&plain);
}

/* D is piecewise linear in the prices: between its kinks the use of a row is its slope. */
static void the_use_of_a_row_is_the_slope_of_the_gain(const struct random_shape *shape)
{
    struct fixture fixture;
    struct cvm_random random;
    double prices[CVM_PROBLEM_ROWS_MAX] = {0};
    struct cvm_sums sums;
    make_fixture(&fixture, shape, CVM_INSTRUCTIONS_BEST);
    const struct cvm_problem *problem = &fixture.made->problem;
    fixture.solve->is_rough = true; /* the jitter is no part of D */
    cvm_random_init(&random, shape->seed);
    random_prices(problem, &random, prices);
    cvm_tariff_set(&fixture.solve->tariff, prices);
    cvm_pass_choose(fixture.solve, &fixture.solve->everybody, NULL, &sums);
    for (size_t r = 0; r < problem->row_count; r++) {
        struct cvm_sums higher;
        struct cvm_sums lower;
        double before = prices[r];
        double step = 1e-3 + 1e-3 * before;
        prices[r] = before + step;
        cvm_tariff_set(&fixture.solve->tariff, prices);
        cvm_pass_choose(fixture.solve, &fixture.solve->everybody, NULL, &higher);
        prices[r] = before - step;
        cvm_tariff_set(&fixture.solve->tariff, prices);
        cvm_pass_choose(fixture.solve, &fixture.solve->everybody, NULL, &lower);
        prices[r] = before;
        /* Convex: the slope lies between those at both ends, and the difference between them. */
        double slope = (higher.gain - lower.gain) / (2 * step);
        double slack = 1e-4 * (fabs(sums.gain) / step * 1e-3 + fabs(sums.uses[r]) + 1.0);
        double least = fmin(fmin(-higher.uses[r], -lower.uses[r]), -sums.uses[r]);
        double most = fmax(fmax(-higher.uses[r], -lower.uses[r]), -sums.uses[r]);
        assert_true(slope >= least - slack && slope <= most + slack);
        assert_true(higher.uses[r] <= sums.uses[r] + 1e-6 * fabs(sums.uses[r]) + 1e-9);
        assert_true(lower.uses[r] >= sums.uses[r] - 1e-6 * fabs(sums.uses[r]) - 1e-9);
    }
    drop_fixture(&fixture);
}

static void uses_are_slopes(void **state)
{
    (void)state;
    the_use_of_a_row_is_the_slope_of_the_gain(&simple);
    the_use_of_a_row_is_the_slope_of_the_gain(&households);
}

static void decisions_hold_in_the_region(const struct random_shape *shape,
                                         enum cvm_instructions instructions)
{
    struct fixture fixture;
    struct cvm_random random;
    double prices[CVM_PROBLEM_ROWS_MAX] = {0};
    struct cvm_margins margins;
    struct cvm_sums sums;
    struct cvm_table *open = NULL;
    make_fixture(&fixture, shape, instructions);
    const struct cvm_problem *problem = &fixture.made->problem;
    struct cvm_solve *solve = fixture.solve;
    bool is_simple = solve->everybody.units == NULL;
    struct cvm_choices later = {
        .treatments = CVM_NEW_ARRAY(fixture.arena, problem->customer_count + 1, unsigned char),
        .sets = CVM_NEW_ARRAY(fixture.arena, problem->customer_count + 1, uint64_t),
    };
    cvm_random_init(&random, shape->seed);
    random_prices(problem, &random, prices);
    for (size_t t = 0; t < CVM_PROBLEM_TREATMENTS_MAX; t++) {
        margins.shares[t] = 0.05;
        margins.slacks[t] = 0.01;
    }
    cvm_tariff_set(&solve->tariff, prices);
    struct cvm_narrow_request request = {&solve->everybody, &margins, &fixture.choices,
                                         problem->customer_count};
    assert_int_equal(cvm_pass_narrow(solve, &request, &sums, &open, NULL), CVM_OK);
    assert_non_null(open);
    assert_true(open->count > 0 && open->count < problem->customer_count);
    for (int round = 0; round < 20; round++) {
        double moved[CVM_PROBLEM_ROWS_MAX] = {0};
        for (size_t r = 0; r < problem->row_count; r++) { /* each by less than the region allows */
            moved[r] = prices[r] * (1.0 + 0.049 * (2.0 * cvm_random_unit(&random) - 1.0));
        }
        /* A sum of prices of both signs may move by more than its share: as far as is allowed. */
        bool is_inside = true;
        size_t pairs = problem->treatment_count * solve->tariff.class_count;
        double *before = CVM_NEW_ARRAY(fixture.arena, pairs + 1, double);
        cvm_tariff_set(&solve->tariff, prices);
        memcpy(before, solve->tariff.flat, pairs * sizeof(double));
        cvm_tariff_set(&solve->tariff, moved);
        for (size_t k = 0; k < pairs; k++) {
            is_inside = is_inside &&
                        fabs(solve->tariff.flat[k] - before[k]) <= 0.05 * fabs(before[k]) + 0.01;
        }
        if (!is_inside) {
            continue;
        }
        cvm_pass_choose(solve, &solve->everybody, &later, &sums);
        for (size_t i = 0; i < problem->customer_count; i++) {
            if (is_simple && fixture.choices.treatments[i] != CVM_UNDECIDED) {
                assert_int_equal(later.treatments[i], fixture.choices.treatments[i]);
            } else if (!is_simple && fixture.choices.sets[i] != UINT64_MAX) {
                assert_true(later.sets[i] == fixture.choices.sets[i]);
            }
        }
    }
    drop_fixture(&fixture);
}

static void what_is_decided_stays_so_in_the_region(void **state)
{
    (void)state;
    decisions_hold_in_the_region(&simple, CVM_INSTRUCTIONS_BEST);
    decisions_hold_in_the_region(&simple, CVM_INSTRUCTIONS_PLAIN);
    decisions_hold_in_the_region(&households, CVM_INSTRUCTIONS_BEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_instructions_choose_alike),
        cmocka_unit_test(uses_are_slopes),
        cmocka_unit_test(what_is_decided_stays_so_in_the_region),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
