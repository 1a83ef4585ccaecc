#include "allocation/solver.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/random.h"

/* A problem that owns its columns. */
struct base {
    struct cvm_problem problem;
    float *values;
    float *amounts;
    uint64_t *keys;
    struct cvm_row rows[8];
    int64_t priorities[CVM_PROBLEM_TREATMENTS_MAX];
    int64_t costs[CVM_PROBLEM_TREATMENTS_MAX];
    struct cvm_plan plan;
};

static void base_init(struct base *base, size_t customers, size_t treatments)
{
    size_t padded = (customers + CVM_PROBLEM_BLOCK - 1) / CVM_PROBLEM_BLOCK * CVM_PROBLEM_BLOCK;
    memset(base, 0, sizeof(*base));
    base->values = malloc((padded * treatments + 1) * sizeof(float));
    /* Exactly as many as there are customers, so that sanitizers see a read beyond. */
    base->amounts = malloc(customers * sizeof(float) + 1);
    base->keys = malloc(customers * sizeof(uint64_t) + 1);
    base->plan.treatments = malloc(customers + 1);
    assert_true(base->values != NULL && base->amounts != NULL && base->keys != NULL &&
                base->plan.treatments != NULL);
    for (size_t i = 0; i < padded * treatments; i++) {
        base->values[i] = CVM_PROBLEM_INELIGIBLE;
    }
    for (size_t i = 0; i < customers; i++) {
        base->keys[i] = cvm_hash_mix(i, 7);
        base->amounts[i] = 0.0f;
    }
    for (size_t t = 0; t < treatments; t++) {
        base->priorities[t] = 1;
    }
    base->problem = (struct cvm_problem){
        .customer_count = customers,
        .treatment_count = treatments,
        .values = base->values,
        .keys = base->keys,
        .amounts = base->amounts,
        .priorities = base->priorities,
        .tie_cost_micro = base->costs,
        .rows = base->rows,
        .forced_treatment = -1,
    };
}

static void base_finish(struct base *base)
{
    free(base->values);
    free(base->amounts);
    free(base->keys);
    free(base->plan.treatments);
}

static void set_value(struct base *base, size_t customer, size_t treatment, double value)
{
    base->values[(customer / CVM_PROBLEM_BLOCK * base->problem.treatment_count + treatment) *
                     CVM_PROBLEM_BLOCK +
                 customer % CVM_PROBLEM_BLOCK] = (float)value;
}

static void set_all(struct base *base, double value)
{
    for (size_t i = 0; i < base->problem.customer_count; i++) {
        for (size_t t = 0; t < base->problem.treatment_count; t++) {
            set_value(base, i, t, value);
        }
    }
}

static struct cvm_row *add_row(struct base *base, enum cvm_row_kind kind, int64_t limit)
{
    struct cvm_row *row = &base->rows[base->problem.row_count++];
    memset(row, 0, sizeof(*row));
    row->name = "row";
    row->kind = kind;
    row->limit = limit;
    return row;
}

static void add_capacity(struct base *base, size_t treatment, int64_t limit)
{
    add_row(base, CVM_ROW_UNITS, limit)->units[treatment] = 1;
}

static void solve_on(struct base *base, struct cvm_pool *pool)
{
    struct cvm_error err;
    err.message[0] = '\0';
    enum cvm_status status = cvm_solve(&base->problem, NULL, pool, NULL, &base->plan, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, CVM_OK);
    for (size_t r = 0; r < base->problem.row_count; r++) {
        assert_true(base->plan.used[r] <= base->rows[r].limit);
        assert_true(base->plan.prices[r] >= 0.0 && isfinite(base->plan.prices[r]));
    }
    double tolerance = 1e-9 * (fabs(base->plan.dual_bound) + 1e-9);
    assert_true(base->plan.dual_bound >= base->plan.value - tolerance);
}

static void solve(struct base *base)
{
    solve_on(base, NULL);
}

/* ---- against every plan there is ---- */

struct exhaustive {
    const struct base *base;
    int64_t used[8];
    double best;
};

static void try_customer(struct exhaustive *search, size_t customer, double value)
{
    const struct cvm_problem *problem = &search->base->problem;
    if (customer == problem->customer_count) {
        search->best = value > search->best ? value : search->best;
        return;
    }
    try_customer(search, customer + 1, value);
    for (size_t t = 0; t < problem->treatment_count; t++) {
        int64_t uses[8];
        float pair = cvm_problem_value(problem, customer, t);
        bool fits = pair > -1e29f;
        for (size_t r = 0; r < problem->row_count; r++) {
            uses[r] = cvm_row_use(&problem->rows[r], t, (double)problem->amounts[customer]);
            fits = fits && search->used[r] + uses[r] <= problem->rows[r].limit;
        }
        if (!fits) {
            continue;
        }
        for (size_t r = 0; r < problem->row_count; r++) {
            search->used[r] += uses[r];
        }
        try_customer(search, customer + 1, value + (double)pair);
        for (size_t r = 0; r < problem->row_count; r++) {
            search->used[r] -= uses[r];
        }
    }
}

static void make_small(struct base *base, struct cvm_random *random)
{
    size_t treatments = 1 + cvm_random_below(random, 4);
    base_init(base, cvm_random_below(random, 8), treatments);
    bool has_grid = cvm_random_below(random, 3) == 0; /* ties */
    for (size_t i = 0; i < base->problem.customer_count; i++) {
        base->amounts[i] = (float)cvm_random_lognormal(random, 10.0, 0.5);
        for (size_t t = 0; t < treatments; t++) {
            double value = cvm_random_normal(random) * 5.0 + 4.0;
            if (cvm_random_below(random, 4) != 0) {
                set_value(base, i, t, has_grid ? floor(value) : value);
            }
        }
    }
    for (size_t t = 0; t < treatments; t++) {
        add_capacity(base, t, (int64_t)cvm_random_below(random, 5));
    }
    struct cvm_row *resource =
        add_row(base, CVM_ROW_UNITS, (int64_t)cvm_random_below(random, 30000));
    struct cvm_row *budget =
        add_row(base, CVM_ROW_MONEY, (int64_t)cvm_random_below(random, 40000000));
    for (size_t t = 0; t < treatments; t++) {
        resource->units[t] = (int64_t)cvm_random_below(random, 3) * 4500;
        budget->flat[t] = cvm_random_unit(random) * 2.0;
        budget->rate[t] = cvm_random_below(random, 2) == 0 ? 0.0 : cvm_random_unit(random);
    }
}

static void the_optimum_of_small_problems_lies_between_value_and_bound(void **state)
{
    (void)state;
    struct cvm_random random;
    double total_best = 0.0;
    double total_value = 0.0;
    cvm_random_init(&random, 42);
    for (int round = 0; round < 1000; round++) {
        struct base base;
        make_small(&base, &random);
        solve(&base);
        struct exhaustive search = {.base = &base};
        try_customer(&search, 0, 0.0);
        double tolerance = 1e-9 * (1.0 + fabs(search.best));
        assert_true(base.plan.value <= search.best + tolerance);
        assert_true(base.plan.dual_bound >= search.best - tolerance);
        total_best += search.best;
        total_value += base.plan.value;
        base_finish(&base);
    }
    assert_true(total_value >= 0.98 * total_best);
}

/* ---- size ---- */

static void make_big(struct base *base, size_t customers, uint64_t seed)
{
    static const double shares[] = {.001, .01, .03, .08, .2, 1.0};
    base_init(base, customers, 6);
    for (size_t i = 0; i < customers; i++) {
        struct cvm_random random;
        cvm_random_init(&random, cvm_hash_mix(seed, i));
        double worth = cvm_random_lognormal(&random, 20.0, 1.0);
        base->amounts[i] = (float)cvm_random_lognormal(&random, 12.0, 0.5);
        for (size_t t = 0; t < 6; t++) {
            double value = worth * cvm_random_unit(&random) / (1.0 + (double)t) - 1.0;
            if (cvm_random_unit(&random) > 0.3) {
                set_value(base, i, t, value);
            }
        }
    }
    for (size_t t = 0; t < 6; t++) {
        add_capacity(base, t, (int64_t)(shares[t] * (double)customers));
    }
    struct cvm_row *minutes = add_row(base, CVM_ROW_UNITS, (int64_t)customers * 60);
    struct cvm_row *budget = add_row(base, CVM_ROW_MONEY, (int64_t)customers * 150000);
    minutes->units[0] = 10000;
    minutes->units[1] = 7500;
    for (size_t t = 0; t < 6; t++) {
        budget->flat[t] = 0.1;
        budget->rate[t] = 0.3 / (1.0 + (double)t);
    }
}

static void random_bases_of_20000_are_solved_to_a_small_gap(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct base base;
        make_big(&base, 20000, seed);
        solve(&base);
        assert_true(base.plan.value > 0.0);
        assert_true(base.plan.gap < 2e-4); /* a quarter call-back of the minutes stays idle */
        base_finish(&base);
    }
}

static void the_plan_does_not_depend_on_threads(void **state)
{
    (void)state;
    static const size_t threads[] = {2, 4};
    struct base base;
    make_big(&base, 100001, 9); /* above the sample's limit, and not whole blocks */
    solve(&base);
    unsigned char *first = malloc(base.problem.customer_count);
    assert_non_null(first);
    memcpy(first, base.plan.treatments, base.problem.customer_count);
    struct cvm_plan plan = base.plan;
    for (size_t i = 0; i < 2; i++) {
        struct cvm_pool *pool = NULL;
        assert_int_equal(cvm_pool_create(threads[i], &pool, NULL), CVM_OK);
        memset(base.plan.treatments, 0, base.problem.customer_count);
        solve_on(&base, pool);
        assert_memory_equal(first, base.plan.treatments, base.problem.customer_count);
        assert_memory_equal(plan.prices, base.plan.prices, sizeof(plan.prices));
        assert_true(plan.value == base.plan.value && plan.dual_bound == base.plan.dual_bound);
        cvm_pool_destroy(pool);
    }
    assert_true(plan.gap < 1e-4);
    free(first);
    base_finish(&base);
}

static void warm_prices_give_as_good_a_plan(void **state)
{
    (void)state;
    struct base base;
    make_big(&base, 20000, 3);
    solve(&base);
    double prices[CVM_PROBLEM_ROWS_MAX];
    double value = base.plan.value;
    int passes = base.plan.passes;
    memcpy(prices, base.plan.prices, sizeof(prices));
    struct cvm_solver_options options = {.warm_prices = prices};
    assert_int_equal(cvm_solve(&base.problem, &options, NULL, NULL, &base.plan, NULL), CVM_OK);
    assert_true(base.plan.gap < 2e-4);
    assert_true(fabs(base.plan.value - value) < 1e-4 * value);
    assert_true(base.plan.passes <= passes);
    base_finish(&base);
}

/* ---- ties ---- */

static void equal_values_fill_the_capacity_exactly(void **state)
{
    (void)state;
    static const size_t sizes[] = {1000, 20000, 200000};
    for (size_t s = 0; s < 3; s++) {
        struct base base;
        base_init(&base, sizes[s], 1);
        set_all(&base, 1.0);
        add_capacity(&base, 0, (int64_t)sizes[s] / 3);
        solve(&base);
        assert_int_equal(base.plan.counts[0], sizes[s] / 3);
        assert_true(base.plan.gap < 1e-5);
        base_finish(&base);
    }
}

static void equal_values_of_all_treatments_fill_every_capacity(void **state)
{
    (void)state;
    struct base base;
    base_init(&base, 50000, 4);
    set_all(&base, 2.5);
    for (size_t t = 0; t < 4; t++) {
        add_capacity(&base, t, 3000 * (int64_t)(t + 1));
    }
    solve(&base);
    for (size_t t = 0; t < 4; t++) {
        assert_int_equal(base.plan.counts[t], 3000 * (int64_t)(t + 1));
    }
    assert_true(base.plan.gap < 1e-5);
    base_finish(&base);
}

static void values_on_a_grid_are_solved_to_a_small_gap(void **state)
{
    (void)state;
    struct base base;
    make_big(&base, 30000, 4);
    for (size_t i = 0; i < base.problem.customer_count; i++) {
        base.amounts[i] = 10.0f;
        for (size_t t = 0; t < 6; t++) {
            double value = (double)cvm_problem_value(&base.problem, i, t);
            set_value(&base, i, t, value > -1e29 ? 5.0 * floor(value / 5.0) : value);
        }
    }
    solve(&base);
    assert_true(base.plan.gap < 1e-4);
    base_finish(&base);
}

static void customers_who_are_all_alike_are_solved_under_many_rows(void **state)
{
    (void)state;
    struct base base;
    base_init(&base, 30000, 6);
    set_all(&base, 1.0);
    for (size_t t = 0; t < 6; t++) {
        add_capacity(&base, t, 300 * (int64_t)(t + 1));
    }
    struct cvm_row *minutes = add_row(&base, CVM_ROW_UNITS, 700);
    struct cvm_row *budget = add_row(&base, CVM_ROW_MONEY, INT64_C(15000000000));
    for (size_t t = 0; t < 6; t++) {
        minutes->units[t] = t < 3;
        budget->flat[t] = (double)(t + 1);
    }
    solve(&base);
    /* The cheap first: 300 x 1, 400 x 2 (minutes end), 1200 x 4, 1500 x 5, the rest of the money.
     */
    assert_int_equal(base.plan.treated, 300 + 400 + 1200 + 1500 + (15000 - 13400) / 6);
    assert_true(base.plan.gap < 2e-2); /* the plan is the best; the prices are not quite */
    base_finish(&base);
}

static void a_customers_tie_goes_to_lower_cost_then_priority_then_number(void **state)
{
    (void)state;
    struct base base;
    base_init(&base, 3, 3);
    set_all(&base, 1.0);
    base.costs[0] = 30;
    base.costs[1] = 20;
    base.costs[2] = 20;
    base.priorities[1] = 2;
    base.priorities[2] = 1;
    solve(&base);
    assert_int_equal(base.plan.counts[2], 3);
    base.priorities[2] = 2;
    solve(&base);
    assert_int_equal(base.plan.counts[1], 3);
    base.problem.tie_cost_micro = NULL;
    base.problem.priorities = NULL;
    solve(&base);
    assert_int_equal(base.plan.counts[0], 3);
    base_finish(&base);
}

static void a_tie_between_customers_goes_by_key_and_not_by_place(void **state)
{
    (void)state;
    struct base base;
    base_init(&base, 40, 1);
    set_all(&base, 1.0);
    add_capacity(&base, 0, 7);
    solve(&base);
    uint64_t chosen[7];
    size_t count = 0;
    for (size_t i = 0; i < 40; i++) {
        if (base.plan.treatments[i] == 0) {
            chosen[count++] = base.keys[i];
        }
    }
    assert_int_equal(count, 7);
    for (size_t i = 0; i < 20; i++) { /* the same customers in reverse */
        uint64_t key = base.keys[i];
        base.keys[i] = base.keys[39 - i];
        base.keys[39 - i] = key;
    }
    solve(&base);
    for (size_t i = 0; i < 40; i++) {
        bool was_chosen = false;
        for (size_t k = 0; k < 7; k++) {
            was_chosen = was_chosen || chosen[k] == base.keys[i];
        }
        assert_int_equal(base.plan.treatments[i] == 0, was_chosen);
    }
    base_finish(&base);
}

/* ---- edges ---- */

static void without_rows_everybody_gets_the_best_positive_value(void **state)
{
    (void)state;
    struct base base;
    base_init(&base, 3, 2);
    set_value(&base, 0, 0, 1.0);
    set_value(&base, 0, 1, 2.0);
    set_value(&base, 1, 0, -1.0);
    set_value(&base, 1, 1, 0.0);
    solve(&base);
    assert_int_equal(base.plan.treatments[0], 1);
    assert_int_equal(base.plan.treatments[1], CVM_NOTHING); /* nothing is as good as 0 */
    assert_int_equal(base.plan.treatments[2], CVM_NOTHING);
    assert_true(base.plan.value == 2.0 && base.plan.dual_bound == 2.0 && base.plan.gap == 0.0);
    assert_int_equal(base.plan.treated, 1);
    base_finish(&base);
}

static void nobody_and_nothing_are_solved(void **state)
{
    (void)state;
    struct base base;
    base_init(&base, 0, 2);
    add_capacity(&base, 0, 5);
    solve(&base);
    assert_true(base.plan.value == 0.0 && base.plan.gap == 0.0);
    base_finish(&base);
    base_init(&base, 20, 0);
    solve(&base);
    assert_int_equal(base.plan.treated, 0);
    base_finish(&base);
    base_init(&base, 20, 2); /* all ineligible */
    add_capacity(&base, 0, 5);
    solve(&base);
    assert_int_equal(base.plan.treated, 0);
    assert_true(base.plan.dual_bound < 1e-6);
    base_finish(&base);
}

static void zero_capacity_and_zero_budget_treat_nobody(void **state)
{
    (void)state;
    struct base base;
    base_init(&base, 100, 3);
    set_all(&base, 4.0);
    for (size_t i = 0; i < 100; i++) {
        base.amounts[i] = 1.0f + (float)i;
    }
    add_capacity(&base, 0, 0);
    struct cvm_row *budget = add_row(&base, CVM_ROW_MONEY, 0);
    budget->flat[1] = 0.01;
    budget->rate[2] = 0.01;
    solve(&base);
    assert_int_equal(base.plan.treated, 0);
    assert_true(base.plan.dual_bound < 1e-3);
    base_finish(&base);
}

static void huge_and_tiny_values_live_together(void **state)
{
    (void)state;
    struct base base;
    base_init(&base, 5000, 2);
    for (size_t i = 0; i < 5000; i++) {
        set_value(&base, i, 0, i % 2 == 0 ? 1e9 + (double)i * 1e3 : 1e-9 * (double)(i + 1));
        set_value(&base, i, 1, 1e-9 * (double)(i % 7 + 1));
    }
    add_capacity(&base, 0, 100);
    add_capacity(&base, 1, 1000);
    solve(&base);
    assert_int_equal(base.plan.counts[0], 100);
    assert_int_equal(base.plan.counts[1], 1000);
    assert_true(base.plan.gap < 1e-6);
    base_finish(&base);
}

static void ample_limits_have_no_price(void **state)
{
    (void)state;
    struct base base;
    make_big(&base, 5000, 5);
    for (size_t r = 0; r < base.problem.row_count; r++) {
        base.rows[r].limit = INT64_C(1000000000000);
    }
    solve(&base);
    for (size_t r = 0; r < base.problem.row_count; r++) {
        assert_true(base.plan.prices[r] == 0.0);
    }
    assert_true(base.plan.gap < 1e-12);
    base_finish(&base);
}

/* ---- forced ---- */

static void a_forced_treatment_goes_by_value_until_a_row_ends(void **state)
{
    (void)state;
    struct base base;
    base_init(&base, 6, 2);
    set_all(&base, 100.0);
    for (size_t i = 0; i < 5; i++) { /* the sixth is ineligible */
        set_value(&base, i, 1, 2.0 - (double)i);
    }
    set_value(&base, 5, 1, CVM_PROBLEM_INELIGIBLE);
    base.problem.forced_treatment = 1;
    add_capacity(&base, 1, 4);
    solve(&base);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(base.plan.treatments[i], i < 4 ? 1 : CVM_NOTHING);
    }
    assert_true(base.plan.value == 2.0 + 1.0 + 0.0 - 1.0);
    assert_true(base.plan.gap == 0.0);
    base.rows[0].limit = 10;
    solve(&base);
    assert_int_equal(base.plan.treated, 5);
    base_finish(&base);
}

/* ---- verification and failure ---- */

static void verification_refuses_a_broken_plan(void **state)
{
    (void)state;
    struct base base;
    struct cvm_error err;
    base_init(&base, 20, 2);
    set_all(&base, 1.0);
    set_value(&base, 3, 1, CVM_PROBLEM_INELIGIBLE);
    add_capacity(&base, 0, 5);
    solve(&base);
    assert_int_equal(cvm_plan_verify(&base.problem, NULL, &base.plan, &err), CVM_OK);
    base.plan.treatments[3] = 1;
    assert_int_equal(cvm_plan_verify(&base.problem, NULL, &base.plan, &err), CVM_E_INTERNAL);
    assert_non_null(strstr(err.message, "customer 3"));
    base.plan.treatments[3] = 9;
    assert_int_equal(cvm_plan_verify(&base.problem, NULL, &base.plan, &err), CVM_E_INTERNAL);
    memset(base.plan.treatments, 0, 20);
    assert_int_equal(cvm_plan_verify(&base.problem, NULL, &base.plan, &err), CVM_E_INTERNAL);
    assert_non_null(strstr(err.message, "uses 20 of row"));
    base_finish(&base);
}

static void a_cancelled_solve_leaves_the_plan_alone(void **state)
{
    (void)state;
    struct base base;
    atomic_bool cancelled = true;
    struct cvm_context context = {.clock = cvm_clock_system, .cancelled = &cancelled};
    make_big(&base, 1000, 1);
    base.plan.value = 123.0;
    assert_int_equal(cvm_solve(&base.problem, NULL, NULL, &context, &base.plan, NULL),
                     CVM_E_TIMEOUT);
    assert_true(base.plan.value == 123.0);
    base_finish(&base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_optimum_of_small_problems_lies_between_value_and_bound),
        cmocka_unit_test(random_bases_of_20000_are_solved_to_a_small_gap),
        cmocka_unit_test(the_plan_does_not_depend_on_threads),
        cmocka_unit_test(warm_prices_give_as_good_a_plan),
        cmocka_unit_test(equal_values_fill_the_capacity_exactly),
        cmocka_unit_test(equal_values_of_all_treatments_fill_every_capacity),
        cmocka_unit_test(values_on_a_grid_are_solved_to_a_small_gap),
        cmocka_unit_test(customers_who_are_all_alike_are_solved_under_many_rows),
        cmocka_unit_test(a_customers_tie_goes_to_lower_cost_then_priority_then_number),
        cmocka_unit_test(a_tie_between_customers_goes_by_key_and_not_by_place),
        cmocka_unit_test(without_rows_everybody_gets_the_best_positive_value),
        cmocka_unit_test(nobody_and_nothing_are_solved),
        cmocka_unit_test(zero_capacity_and_zero_budget_treat_nobody),
        cmocka_unit_test(huge_and_tiny_values_live_together),
        cmocka_unit_test(ample_limits_have_no_price),
        cmocka_unit_test(a_forced_treatment_goes_by_value_until_a_row_ends),
        cmocka_unit_test(verification_refuses_a_broken_plan),
        cmocka_unit_test(a_cancelled_solve_leaves_the_plan_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
