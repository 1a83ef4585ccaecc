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

#define ROWS_MAX 8

/* Class 1 is inside. */
static const unsigned char inside[2] = {0, 1};

/* A problem that owns its columns. */
struct base {
    struct cvm_problem problem;
    float *values;
    double *amounts;
    uint64_t *keys;
    uint16_t *classes;
    struct cvm_row rows[ROWS_MAX];
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
    base->amounts = malloc(customers * sizeof(double) + 1);
    base->keys = malloc(customers * sizeof(uint64_t) + 1);
    base->classes = malloc(customers * sizeof(uint16_t) + 1);
    base->plan.treatments = malloc(2 * customers + 1);
    assert_true(base->values != NULL && base->amounts != NULL && base->keys != NULL &&
                base->classes != NULL && base->plan.treatments != NULL);
    for (size_t i = 0; i < padded * treatments; i++) {
        base->values[i] = CVM_PROBLEM_INELIGIBLE;
    }
    for (size_t i = 0; i < customers; i++) {
        base->keys[i] = (uint64_t)i << 32 | cvm_hash_mix(i, 7) >> 32;
        base->amounts[i] = 0.0;
        base->classes[i] = 0;
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
        .classes = base->classes,
        .class_count = 2,
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
    free(base->classes);
    free(base->plan.treatments);
}

static void set_value(struct base *base, size_t customer, size_t treatment, double value)
{
    base->values[cvm_problem_at(&base->problem, customer, treatment)] = (float)value;
}

static void set_all(struct base *base, double value)
{
    for (size_t i = 0; i < base->problem.customer_count; i++) {
        for (size_t t = 0; t < base->problem.treatment_count; t++) {
            set_value(base, i, t, value);
        }
    }
}

static void add_row(struct base *base, const struct cvm_row_terms *terms)
{
    assert_true(base->problem.row_count < ROWS_MAX);
    cvm_row_make(terms, &base->rows[base->problem.row_count++]);
}

static uint64_t all_treatments(const struct base *base)
{
    return (UINT64_C(1) << base->problem.treatment_count) - 1;
}

static void add_capacity(struct base *base, size_t treatment, int64_t limit)
{
    add_row(base, &(struct cvm_row_terms){.name = "capacity",
                                          .kind = CVM_ROW_CAPACITY,
                                          .treatments = UINT64_C(1) << treatment,
                                          .limit = limit});
}

static void add_units(struct base *base, const int64_t *units, int64_t limit)
{
    add_row(base, &(struct cvm_row_terms){.name = "minutes",
                                          .kind = CVM_ROW_SHARED,
                                          .treatments = all_treatments(base),
                                          .limit = limit,
                                          .units = units});
}

static void add_budget(struct base *base, const double *flat, const double *rate, int64_t limit)
{
    add_row(base, &(struct cvm_row_terms){.name = "budget",
                                          .kind = CVM_ROW_BUDGET,
                                          .treatments = all_treatments(base),
                                          .limit = limit,
                                          .flat = flat,
                                          .rate = rate});
}

/* On all treatments. */
static void add_segment(struct base *base, enum cvm_row_kind kind, int64_t limit, double share)
{
    add_row(base, &(struct cvm_row_terms){.name = "segment",
                                          .kind = kind,
                                          .treatments = all_treatments(base),
                                          .inside = inside,
                                          .limit = limit,
                                          .share = share});
}

static void solve_on(struct base *base, struct cvm_pool *pool)
{
    struct cvm_error err;
    err.message[0] = '\0';
    enum cvm_status status = cvm_solve(&base->problem, NULL, pool, NULL, &base->plan, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, CVM_OK);
    for (size_t r = 0; r < base->problem.row_count; r++) {
        assert_true(base->plan.used[r] - base->plan.shortfall[r] <= base->rows[r].limit);
        assert_true(base->plan.shortfall[r] == 0 || cvm_row_is_minimum(&base->rows[r]));
        assert_true(base->plan.prices[r] >= 0.0 && isfinite(base->plan.prices[r]));
    }
    double tolerance = 1e-9 * (fabs(base->plan.dual_bound) + 1e-9);
    assert_true(!base->plan.is_feasible || base->plan.dual_bound >= base->plan.value - tolerance);
}

static void solve(struct base *base)
{
    solve_on(base, NULL);
}

/* ---- size ---- */

static void make_big(struct base *base, size_t customers, uint64_t seed)
{
    static const double shares[] = {.001, .01, .03, .08, .2, 1.0};
    static const int64_t units[] = {10000, 7500, 0, 0, 0, 0};
    static const double flat[] = {0.1, 0.1, 0.1, 0.1, 0.1, 0.1};
    static const double rate[] = {0.3, 0.15, 0.1, 0.075, 0.06, 0.05};
    base_init(base, customers, 6);
    for (size_t i = 0; i < customers; i++) {
        struct cvm_random random;
        cvm_random_init(&random, cvm_hash_mix(seed, i));
        double worth = cvm_random_lognormal(&random, 20.0, 1.0);
        base->amounts[i] = cvm_random_lognormal(&random, 12.0, 0.5);
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
    add_units(base, units, (int64_t)customers * 60);
    add_budget(base, flat, rate, (int64_t)customers * 150000);
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
        base.amounts[i] = 10.0;
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
    static const int64_t units[] = {1, 1, 1, 0, 0, 0};
    static const double flat[] = {1, 2, 3, 4, 5, 6};
    (void)state;
    struct base base;
    base_init(&base, 30000, 6);
    set_all(&base, 1.0);
    for (size_t t = 0; t < 6; t++) {
        add_capacity(&base, t, 300 * (int64_t)(t + 1));
    }
    add_units(&base, units, 700);
    add_budget(&base, flat, NULL, INT64_C(15000000000));
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

/* The same customers at other places: others, who may get nothing, stand between them. */
static void a_tie_between_customers_goes_by_key_and_not_by_place(void **state)
{
    (void)state;
    struct base base;
    struct base sparse;
    base_init(&base, 40, 1);
    base_init(&sparse, 120, 1);
    set_all(&base, 1.0);
    for (size_t i = 0; i < 120; i++) {
        sparse.keys[i] = base.keys[i / 3] + i % 3;
        if (i % 3 == 0) {
            set_value(&sparse, i, 0, 1.0);
        }
    }
    add_capacity(&base, 0, 7);
    add_capacity(&sparse, 0, 7);
    solve(&base);
    solve(&sparse);
    assert_int_equal(base.plan.counts[0], 7);
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(base.plan.treatments[i], sparse.plan.treatments[3 * i]);
    }
    base_finish(&base);
    base_finish(&sparse);
}

/* ---- prices ---- */

static void check_price(const struct base *base, size_t row, double low, double high)
{
    const struct cvm_plan *plan = &base->plan;
    bool is_there = fabs(plan->price_low[row] - low) < 1e-3 && plan->price_low[row] <= high &&
                    fabs(plan->price_high[row] - high) < 1e-3 &&
                    plan->prices[row] >= plan->price_low[row] &&
                    plan->prices[row] <= plan->price_high[row];
    if (!is_there) {
        fail_msg("the price %.9g from %.9g to %.9g is not within %g to %g", plan->prices[row],
                 plan->price_low[row], plan->price_high[row], low, high);
    }
    assert_int_equal(plan->is_binding[row], high > 0.0);
}

static void a_price_lies_between_the_next_customer_and_the_last(void **state)
{
    static const double values[] = {9, 5, 2};
    (void)state;
    struct base base;
    base_init(&base, 3, 1);
    for (size_t i = 0; i < 3; i++) {
        set_value(&base, i, 0, values[i]);
    }
    add_capacity(&base, 0, 1);
    solve(&base);
    check_price(&base, 0, 5, 9);
    base.rows[0].limit = 2;
    solve(&base);
    check_price(&base, 0, 2, 5);
    base.rows[0].limit = 4;
    solve(&base);
    check_price(&base, 0, 0, 0);
    base_finish(&base);
}

/* Class 1 is worth 1 less than class 0 would be in its place: that is what its minimum costs. */
static void the_price_of_a_minimum_is_what_one_more_would_cost(void **state)
{
    static const double values[] = {9, 8, 7, 4, 2, 1};
    (void)state;
    struct base base;
    base_init(&base, 6, 1);
    for (size_t i = 0; i < 6; i++) {
        set_value(&base, i, 0, values[i]);
        base.classes[i] = i >= 3;
    }
    add_capacity(&base, 0, 3);
    add_segment(&base, CVM_ROW_SEGMENT_MIN, 1, 0);
    solve(&base);
    assert_true(base.plan.value == 9 + 8 + 4);
    assert_true(base.plan.is_feasible && base.plan.is_binding[1]);
    double price = base.plan.prices[1]; /* 7 would take the place of 4, 2 that of 8 */
    assert_true(price >= 7 - 4 - 1e-3 && price <= 8 - 2 + 1e-3);
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
    static const double flat[] = {0.0, 0.01, 0.0};
    static const double rate[] = {0.0, 0.0, 0.01};
    (void)state;
    struct base base;
    base_init(&base, 100, 3);
    set_all(&base, 4.0);
    for (size_t i = 0; i < 100; i++) {
        base.amounts[i] = 1.0 + (double)i;
    }
    add_capacity(&base, 0, 0);
    add_budget(&base, flat, rate, 0);
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

static void a_minimum_above_the_eligible_falls_short_by_what_is_missing(void **state)
{
    (void)state;
    struct base base;
    base_init(&base, 100, 2);
    for (size_t i = 0; i < 100; i++) {
        base.classes[i] = i < 30;
        set_value(&base, i, i % 2, i < 20 || i >= 30 ? 1.0 : CVM_PROBLEM_INELIGIBLE);
    }
    add_capacity(&base, 0, 50);
    add_segment(&base, CVM_ROW_SEGMENT_MIN, 25, 0);
    solve(&base);
    assert_false(base.plan.is_feasible);
    assert_int_equal(base.plan.inside[1], 20);
    assert_int_equal(base.plan.shortfall[1], 5);
    assert_int_equal(base.plan.treated, 90);
    base_finish(&base);
}

static void an_empty_segment_has_no_minimum_and_any_maximum(void **state)
{
    (void)state;
    struct base base;
    base_init(&base, 100, 1);
    set_all(&base, 2.0);
    add_segment(&base, CVM_ROW_SEGMENT_MAX, 0, 0);
    add_segment(&base, CVM_ROW_SHARE_MAX, 0, 0.1);
    solve(&base);
    assert_true(base.plan.is_feasible && base.plan.value == 200.0);
    add_segment(&base, CVM_ROW_SEGMENT_MIN, 3, 0);
    solve(&base);
    assert_false(base.plan.is_feasible);
    assert_int_equal(base.plan.shortfall[2], 3);
    assert_true(base.plan.value == 200.0);
    base_finish(&base);
}

/* A quarter of those treated must be of class 1, which nobody would choose: each of its customers
 * makes room for three others. */
static void a_share_is_bought_where_it_pays(void **state)
{
    (void)state;
    struct base base;
    base_init(&base, 40, 1);
    for (size_t i = 0; i < 40; i++) {
        base.classes[i] = i < 5;
        set_value(&base, i, 0, i < 5 ? -1.0 : 2.0);
    }
    add_segment(&base, CVM_ROW_SHARE_MIN, 0, 0.25);
    solve(&base);
    assert_true(base.plan.is_feasible);
    assert_int_equal(base.plan.inside[0], 5);
    assert_int_equal(base.plan.covered[0], 20);
    assert_true(base.plan.value == 15 * 2.0 - 5);
    base_finish(&base);
}

static void capacities_of_one_go_to_the_best(void **state)
{
    (void)state;
    struct base base;
    base_init(&base, 5000, 3);
    for (size_t i = 0; i < 5000; i++) {
        for (size_t t = 0; t < 3; t++) {
            set_value(&base, i, t, 1.0 + (double)((i * (t + 1)) % 4999));
        }
    }
    for (size_t t = 0; t < 3; t++) {
        add_capacity(&base, t, 1);
    }
    solve(&base);
    for (size_t t = 0; t < 3; t++) {
        assert_int_equal(base.plan.counts[t], 1);
    }
    assert_true(base.plan.value == 3 * 4999.0);
    assert_true(base.plan.gap < 1e-3);
    base_finish(&base);
}

/* ---- several treatments, households ---- */

static void a_customer_gets_two_treatments_that_go_together(void **state)
{
    static const uint64_t exclusions[] = {2, 1, 0};
    (void)state;
    struct base base;
    base_init(&base, 2, 3);
    base.problem.per_customer_max = 2;
    base.problem.exclusions = exclusions;
    for (size_t t = 0; t < 3; t++) {
        set_value(&base, 0, t, 5.0 - (double)t);
    }
    set_value(&base, 1, 1, 1.0);
    solve(&base);
    assert_true(base.plan.value == 5.0 + 3.0 + 1.0);
    assert_int_equal(base.plan.counts[0], 1);
    assert_int_equal(base.plan.counts[2], 1);
    assert_int_equal(base.plan.treatments[2], 1);
    assert_int_equal(base.plan.treatments[3], CVM_NOTHING);
    assert_int_equal(base.plan.treated, 2);
    base_finish(&base);
}

/* Treatment 1 does not count: everybody may have it. */
static void of_a_household_only_the_best_member_is_treated(void **state)
{
    static const uint32_t groups[] = {0, 0, 0, CVM_NO_GROUP};
    static const unsigned char two[] = {2};
    (void)state;
    struct base base;
    base_init(&base, 4, 2);
    base.problem.groups = groups;
    base.problem.group_count = 1;
    base.problem.group_treatments = 1;
    for (size_t i = 0; i < 4; i++) {
        set_value(&base, i, 0, 3.0 + (double)i);
        set_value(&base, i, 1, 1.0);
    }
    solve(&base);
    assert_true(base.plan.value == 1.0 + 1.0 + 5.0 + 6.0);
    assert_int_equal(base.plan.treatments[2], 0);
    base.problem.group_max = two;
    solve(&base);
    assert_true(base.plan.value == 1.0 + 4.0 + 5.0 + 6.0);
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
        cmocka_unit_test(the_plan_does_not_depend_on_threads),
        cmocka_unit_test(warm_prices_give_as_good_a_plan),
        cmocka_unit_test(equal_values_fill_the_capacity_exactly),
        cmocka_unit_test(equal_values_of_all_treatments_fill_every_capacity),
        cmocka_unit_test(values_on_a_grid_are_solved_to_a_small_gap),
        cmocka_unit_test(customers_who_are_all_alike_are_solved_under_many_rows),
        cmocka_unit_test(a_customers_tie_goes_to_lower_cost_then_priority_then_number),
        cmocka_unit_test(a_tie_between_customers_goes_by_key_and_not_by_place),
        cmocka_unit_test(a_price_lies_between_the_next_customer_and_the_last),
        cmocka_unit_test(the_price_of_a_minimum_is_what_one_more_would_cost),
        cmocka_unit_test(without_rows_everybody_gets_the_best_positive_value),
        cmocka_unit_test(nobody_and_nothing_are_solved),
        cmocka_unit_test(zero_capacity_and_zero_budget_treat_nobody),
        cmocka_unit_test(huge_and_tiny_values_live_together),
        cmocka_unit_test(ample_limits_have_no_price),
        cmocka_unit_test(a_minimum_above_the_eligible_falls_short_by_what_is_missing),
        cmocka_unit_test(an_empty_segment_has_no_minimum_and_any_maximum),
        cmocka_unit_test(a_share_is_bought_where_it_pays),
        cmocka_unit_test(capacities_of_one_go_to_the_best),
        cmocka_unit_test(a_customer_gets_two_treatments_that_go_together),
        cmocka_unit_test(of_a_household_only_the_best_member_is_treated),
        cmocka_unit_test(a_forced_treatment_goes_by_value_until_a_row_ends),
        cmocka_unit_test(verification_refuses_a_broken_plan),
        cmocka_unit_test(a_cancelled_solve_leaves_the_plan_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
