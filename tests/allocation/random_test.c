/* Random bases with rows of every kind: what the certificate says, and that the same plan comes of
 * any threads, instructions and memory. tests/soak/allocation.sh looks at many more and bigger
 * ones. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "allocation/solver.h"
#include "base/hash.h"
#include "base/random.h"
#include "support/plan_check.h"

#define PAGE ((size_t)4096)

/* A problem and its plan. */
struct solved {
    struct random_problem *made;
    struct cvm_plan plan;
};

static void check(const struct solved *solved)
{
    char text[400];
    if (!plan_check(solved->made, &solved->plan, text, sizeof(text))) {
        fail_msg("%s", text);
    }
}

static void solve_as(const struct cvm_problem *problem, const struct cvm_solver_options *options,
                     struct cvm_pool *pool, struct cvm_plan *plan)
{
    struct cvm_error err = {.message = ""};
    if (cvm_solve(problem, options, pool, NULL, plan, &err) != CVM_OK) {
        fail_msg("%s", err.message);
    }
}

static struct solved solve(const struct random_shape *shape)
{
    struct solved solved = {.made = random_problem_big(shape)};
    solved.plan.treatments = random_problem_treatments(solved.made);
    solve_as(&solved.made->problem, NULL, NULL, &solved.plan);
    check(&solved);
    return solved;
}

static void finish(struct solved *solved)
{
    free(solved->plan.treatments);
    random_problem_free(solved->made);
}

/* ---- the gap ---- */

static void bases_of_20000_with_every_kind_of_row_are_kept_to_a_small_gap(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct random_shape shape = random_shape_of(seed, 20000);
        struct solved solved = solve(&shape);
        print_message("seed %llu: %zu rows, gap %.1e\n", (unsigned long long)seed,
                      solved.made->problem.row_count, solved.plan.gap);
        assert_true(solved.plan.is_feasible);
        assert_true(solved.plan.gap <= 1e-4);
        finish(&solved);
    }
}

/* The best plan hides behind exact ties, or there is nothing to win: the plan keeps its rows and
 * its certificate holds (that is checked in solve()), and comes near the bound. */
static void ties_zeros_and_extremes_are_solved(void **state)
{
    (void)state;
    int far = 0;
    for (int values = RANDOM_VALUES_GRID; values < RANDOM_VALUES_COUNT; values++) {
        struct random_shape shape = random_shape_of((uint64_t)values, 20000);
        shape.values = (enum random_values)values;
        struct solved solved = solve(&shape);
        print_message("values %d: value %.9g, bound %.9g\n", values, solved.plan.value,
                      solved.plan.dual_bound);
        assert_true(solved.plan.is_feasible);
        double gap = solved.plan.dual_bound - solved.plan.value;
        far += !(gap <= 1e-4 * fabs(solved.plan.dual_bound) + 1e-6);
        finish(&solved);
    }
    assert_int_equal(far, 0);
}

/* Where all values are alike, or below 0, they show no way to the plan that is known to be there.
 */
static void a_plan_that_keeps_every_row_is_found_whatever_it_is_worth(void **state)
{
    static const enum random_values values[] = {RANDOM_VALUES_ZERO, RANDOM_VALUES_NEGATIVE,
                                                RANDOM_VALUES_EQUAL};
    (void)state;
    for (uint64_t seed = 801; seed < 848; seed++) {
        struct random_shape shape = random_shape_of(seed, 13 + seed % 200);
        for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
            shape.values = values[k];
            struct solved solved = solve(&shape);
            if (!solved.plan.is_feasible) {
                fail_msg("seed %llu, values %d", (unsigned long long)seed, shape.values);
            }
            finish(&solved);
        }
    }
    /* Rows that press against each other by shares, and a larger one. */
    static const uint64_t hard[][2] = {{200219, 32}, {201150, 163}, {5058, 1373}};
    for (size_t k = 0; k < sizeof(hard) / sizeof(hard[0]); k++) {
        struct random_shape shape = random_shape_of(hard[k][0], hard[k][1]);
        shape.values = RANDOM_VALUES_ZERO;
        struct solved solved = solve(&shape);
        assert_true(solved.plan.is_feasible);
        finish(&solved);
    }
}

/* ---- the certificate ---- */

static void the_bound_at_any_prices_is_the_sum_of_the_best_scores(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct random_shape shape = random_shape_of(seed, 3000);
        struct cvm_random random;
        struct solved solved = {.made = random_problem_big(&shape)};
        struct cvm_error err = {.message = ""};
        cvm_random_init(&random, seed);
        solved.plan.treatments = random_problem_treatments(solved.made);
        memset(solved.plan.treatments, CVM_NOTHING,
               shape.customers * cvm_problem_per_customer(&solved.made->problem));
        for (size_t r = 0; r < solved.made->problem.row_count; r++) {
            bool is_free = cvm_random_below(&random, 2) == 0;
            solved.plan.prices[r] = is_free ? 0.0 : cvm_random_lognormal(&random, 0.5, 1.0);
            solved.plan.price_low[r] = solved.plan.prices[r];
            solved.plan.price_high[r] = solved.plan.prices[r];
            solved.plan.is_binding[r] = !is_free;
        }
        if (cvm_plan_verify(&solved.made->problem, NULL, &solved.plan, &err) != CVM_OK) {
            fail_msg("%s", err.message);
        }
        check(&solved);
        assert_true(solved.plan.value == 0.0 && solved.plan.treated == 0);
        finish(&solved);
    }
}

/* ---- the same plan everywhere ---- */

/* Two bases above the size that is solved as a whole, and not of whole blocks: one with a treatment
 * per customer, one with two, households and exact values. */
static struct random_shape shape_of(int number)
{
    struct random_shape shape = random_shape_of(9 + (uint64_t)number, 50001);
    shape.per_customer_max = number == 0 ? 1 : 2;
    shape.has_households = number == 1;
    shape.values = number == 0 ? RANDOM_VALUES_PLAIN : RANDOM_VALUES_EXACT;
    return shape;
}

static void check_same(const struct solved *first, const struct cvm_plan *other)
{
    const struct cvm_problem *problem = &first->made->problem;
    size_t bytes = problem->customer_count * cvm_problem_per_customer(problem);
    const struct cvm_plan *plan = &first->plan;
    assert_memory_equal(plan->treatments, other->treatments, bytes);
    assert_memory_equal(plan->prices, other->prices, sizeof(plan->prices));
    assert_memory_equal(plan->price_low, other->price_low, sizeof(plan->price_low));
    assert_memory_equal(plan->price_high, other->price_high, sizeof(plan->price_high));
    assert_true(plan->value == other->value && plan->dual_bound == other->dual_bound);
    assert_true(plan->regret == other->regret && plan->slack == other->slack);
}

static void solve_on_threads(const struct solved *first, struct cvm_plan *plan)
{
    static const size_t threads[] = {2, 4}; /* the first was solved without a pool */
    for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
        struct cvm_pool *pool = NULL;
        assert_int_equal(cvm_pool_create(threads[i], &pool, NULL), CVM_OK);
        solve_as(&first->made->problem, NULL, pool, plan);
        check_same(first, plan);
        cvm_pool_destroy(pool);
    }
}

static void solve_with_instructions(const struct solved *first, struct cvm_plan *plan)
{
    static const char *const names[] = {"best", "plain", "AVX2", "AVX-512"};
    for (int k = CVM_INSTRUCTIONS_PLAIN; k <= CVM_INSTRUCTIONS_AVX512; k++) {
        struct cvm_solver_options options = {.instructions = (enum cvm_instructions)k};
        struct cvm_error err = {.message = ""};
        enum cvm_status status = cvm_solve(&first->made->problem, &options, NULL, NULL, plan, &err);
        if (status == CVM_E_INVALID) {
            print_message("%s: this machine lacks it\n", names[k]);
            continue;
        }
        assert_int_equal(status, CVM_OK);
        check_same(first, plan);
    }
}

/* A file with the columns, each from a page of its own on. */
struct mapping {
    FILE *file;
    void *pages;
    size_t bytes;
};

static size_t write_column(struct mapping *mapping, const void *column, size_t bytes)
{
    static const char zeros[PAGE];
    size_t at = mapping->bytes;
    size_t padding = (PAGE - bytes % PAGE) % PAGE;
    if (column == NULL) {
        return 0;
    }
    assert_int_equal(fwrite(column, 1, bytes, mapping->file), bytes);
    assert_int_equal(fwrite(zeros, 1, padding, mapping->file), padding);
    mapping->bytes += bytes + padding;
    return at;
}

static const void *mapped_column(const struct mapping *mapping, const void *column, size_t at)
{
    return column == NULL ? NULL : (const char *)mapping->pages + at;
}

static struct cvm_problem map_problem(const struct cvm_problem *problem, struct mapping *mapping)
{
    struct cvm_problem mapped = *problem;
    size_t count = problem->customer_count;
    size_t pairs = (count + CVM_PROBLEM_BLOCK - 1) / CVM_PROBLEM_BLOCK * CVM_PROBLEM_BLOCK *
                   problem->treatment_count;
    *mapping = (struct mapping){.file = tmpfile()};
    assert_non_null(mapping->file);
    size_t values = write_column(mapping, problem->values, pairs * sizeof(float));
    size_t exact = write_column(mapping, problem->exact_values, pairs * sizeof(double));
    size_t keys = write_column(mapping, problem->keys, count * sizeof(uint64_t));
    size_t amounts = write_column(mapping, problem->amounts, count * sizeof(double));
    size_t classes = write_column(mapping, problem->classes, count * sizeof(uint16_t));
    size_t groups = write_column(mapping, problem->groups, count * sizeof(uint32_t));
    assert_int_equal(fflush(mapping->file), 0);
    mapping->pages = mmap(NULL, mapping->bytes, PROT_READ, MAP_PRIVATE, fileno(mapping->file), 0);
    assert_true(mapping->pages != MAP_FAILED);
    mapped.values = mapped_column(mapping, problem->values, values);
    mapped.exact_values = mapped_column(mapping, problem->exact_values, exact);
    mapped.keys = mapped_column(mapping, problem->keys, keys);
    mapped.amounts = mapped_column(mapping, problem->amounts, amounts);
    mapped.classes = mapped_column(mapping, problem->classes, classes);
    mapped.groups = mapped_column(mapping, problem->groups, groups);
    return mapped;
}

static void solve_mapped(const struct solved *first, struct cvm_plan *plan)
{
    struct cvm_solver_options options = {.is_mapped = true};
    struct mapping mapping;
    struct cvm_problem mapped = map_problem(&first->made->problem, &mapping);
    solve_as(&mapped, &options, NULL, plan);
    check_same(first, plan);
    assert_int_equal(munmap(mapping.pages, mapping.bytes), 0);
    assert_int_equal(fclose(mapping.file), 0);
}

static void threads_instructions_and_memory_make_no_difference(void **state)
{
    (void)state;
    for (int number = 0; number < 2; number++) {
        struct random_shape shape = shape_of(number);
        struct solved solved = solve(&shape);
        struct cvm_plan plan = {.treatments = random_problem_treatments(solved.made)};
        solve_on_threads(&solved, &plan);
        solve_with_instructions(&solved, &plan);
        solve_mapped(&solved, &plan);
        free(plan.treatments);
        finish(&solved);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bases_of_20000_with_every_kind_of_row_are_kept_to_a_small_gap),
        cmocka_unit_test(ties_zeros_and_extremes_are_solved),
        cmocka_unit_test(a_plan_that_keeps_every_row_is_found_whatever_it_is_worth),
        cmocka_unit_test(the_bound_at_any_prices_is_the_sum_of_the_best_scores),
        cmocka_unit_test(threads_instructions_and_memory_make_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
