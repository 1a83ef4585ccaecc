/* The baselines on problems small enough to do by hand, and never over a limit on random ones. */
#include "allocation/greedy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "allocation/solver.h"
#include "base/random.h"

#define CUSTOMERS_MAX  512
#define TREATMENTS_MAX 4

struct base {
    struct cvm_problem problem;
    struct cvm_row rows[TREATMENTS_MAX];
    float values[CUSTOMERS_MAX * TREATMENTS_MAX];
    double amounts[CUSTOMERS_MAX];
    uint64_t keys[CUSTOMERS_MAX];
    unsigned char choices[CUSTOMERS_MAX];
    struct cvm_arena *arena;
};

static struct base shared;

static struct base *base_of(size_t customers, size_t treatments)
{
    struct base *base = &shared;
    struct cvm_arena *arena = base->arena;
    memset(base, 0, sizeof(*base));
    base->arena = arena;
    for (size_t i = 0; i < CUSTOMERS_MAX * TREATMENTS_MAX; i++) {
        base->values[i] = CVM_PROBLEM_INELIGIBLE;
    }
    for (size_t i = 0; i < CUSTOMERS_MAX; i++) {
        base->keys[i] = i + 1;
    }
    base->problem = (struct cvm_problem){
        .customer_count = customers,
        .treatment_count = treatments,
        .values = base->values,
        .keys = base->keys,
        .amounts = base->amounts,
        .rows = base->rows,
        .forced_treatment = -1,
    };
    return base;
}

static void put(struct base *base, size_t customer, size_t treatment, double value)
{
    base->values[cvm_problem_at(&base->problem, customer, treatment)] = (float)value;
}

static void add_row(struct base *base, const struct cvm_row_terms *terms)
{
    cvm_row_make(terms, &base->rows[base->problem.row_count++]);
}

static void add_capacity(struct base *base, size_t treatment, int64_t limit)
{
    add_row(base, &(struct cvm_row_terms){.name = "capacity",
                                          .kind = CVM_ROW_CAPACITY,
                                          .treatments = UINT64_C(1) << treatment,
                                          .limit = limit});
}

static void add_budget(struct base *base, int64_t limit, const double *flat, const double *rate)
{
    add_row(base, &(struct cvm_row_terms){.name = "budget",
                                          .kind = CVM_ROW_BUDGET,
                                          .treatments = (UINT64_C(1) << TREATMENTS_MAX) - 1,
                                          .limit = limit,
                                          .flat = flat,
                                          .rate = rate});
}

static struct cvm_greedy by_value(struct base *base)
{
    struct cvm_greedy found;
    struct cvm_error err;
    assert_int_equal(cvm_greedy_by_value(&base->problem, base->arena, base->choices, &found, &err),
                     CVM_OK);
    return found;
}

static struct cvm_greedy in_order(struct base *base, const uint32_t *order)
{
    struct cvm_greedy found;
    cvm_greedy_in_order(&base->problem, order, base->choices, &found);
    return found;
}

static void near(double found, double wanted)
{
    if (!(fabs(found - wanted) < 1e-6)) {
        fail_msg("%.9f is not %.9f", found, wanted);
    }
}

/* One call (treatment 0) and any number of mails (1). First come: customer 0 calls for 3, the
 * others write: 3 + 2 + 1 = 6. By value: customer 1 calls for 9, 0 writes for 2.5, 2 for 1: 12.5.
 */
static struct base *one_call(void)
{
    struct base *base = base_of(3, 2);
    put(base, 0, 0, 3);
    put(base, 0, 1, 2.5);
    put(base, 1, 0, 9);
    put(base, 1, 1, 2);
    put(base, 2, 0, 4);
    put(base, 2, 1, 1);
    add_capacity(base, 0, 1);
    return base;
}

static void first_come_takes_the_best_that_has_room(void **state)
{
    (void)state;
    struct base *base = one_call();
    struct cvm_greedy found = in_order(base, NULL);
    near(found.value, 6);
    assert_int_equal(found.treated, 3);
    assert_int_equal(found.counts[0], 1);
    assert_int_equal(found.counts[1], 2);
    assert_int_equal(found.used[0], 1);
    assert_int_equal(base->choices[0], 0);
    assert_int_equal(base->choices[1], 1);
}

/* Customer 2 calls for 4, 0 and 1 write: 4 + 2.5 + 2. */
static void an_order_says_who_comes_first(void **state)
{
    static const uint32_t order[] = {2, 0, 1};
    (void)state;
    near(in_order(one_call(), order).value, 8.5);
}

static void the_best_pair_comes_first_whosever_it_is(void **state)
{
    (void)state;
    struct base *base = one_call();
    struct cvm_greedy found = by_value(base);
    near(found.value, 12.5);
    assert_int_equal(base->choices[0], 1);
    assert_int_equal(base->choices[1], 0);
    assert_int_equal(base->choices[2], 1);
}

static void what_is_not_worth_anything_is_not_given(void **state)
{
    (void)state;
    struct base *base = base_of(3, 1);
    put(base, 0, 0, 0);
    put(base, 1, 0, -1);
    assert_int_equal(in_order(base, NULL).treated, 0);
    assert_int_equal(by_value(base).treated, 0);
    assert_int_equal(base->choices[0], CVM_NOTHING);
    assert_int_equal(base->choices[2], CVM_NOTHING);
}

/* A budget of 5: 2 + 0.5 x amount. Amounts 2, 8, 1: costs 3, 6, 2.5. In order: the first fits, the
 * second never does, the third no longer. By value: the second does not fit, the third (5) does,
 * then the first (1) does not. */
static void money_that_does_not_reach_is_not_spent(void **state)
{
    static const double flat[TREATMENTS_MAX] = {2};
    static const double rate[TREATMENTS_MAX] = {0.5};
    (void)state;
    struct base *base = base_of(3, 1);
    add_budget(base, 5000000, flat, rate);
    base->amounts[0] = 2;
    base->amounts[1] = 8;
    base->amounts[2] = 1;
    put(base, 0, 0, 1);
    put(base, 1, 0, 9);
    put(base, 2, 0, 5);
    struct cvm_greedy found = in_order(base, NULL);
    near(found.value, 1);
    assert_int_equal(found.used[0], 3000000);
    found = by_value(base);
    near(found.value, 5);
    assert_int_equal(found.used[0], 2500000);
}

static void equal_values_go_to_the_cheaper_treatment(void **state)
{
    static const int64_t costs[] = {2, 1};
    (void)state;
    struct base *base = base_of(1, 2);
    base->problem.tie_cost_micro = costs;
    put(base, 0, 0, 7);
    put(base, 0, 1, 7);
    (void)in_order(base, NULL);
    assert_int_equal(base->choices[0], 1);
    (void)by_value(base);
    assert_int_equal(base->choices[0], 1);
}

static void nobody_is_no_problem(void **state)
{
    (void)state;
    struct base *base = base_of(0, 2);
    assert_int_equal(in_order(base, NULL).treated, 0);
    near(by_value(base).value, 0);
}

static void fill_randomly(struct base *base, uint64_t seed)
{
    static const double flat[TREATMENTS_MAX] = {0};
    static const double rate[TREATMENTS_MAX] = {0.1, 0.2, 0.3, 0.4};
    struct cvm_random random;
    cvm_random_init(&random, seed);
    for (size_t i = 0; i < base->problem.customer_count; i++) {
        base->amounts[i] = 5 + 10 * cvm_random_unit(&random);
        for (size_t t = 0; t < base->problem.treatment_count; t++) {
            put(base, i, t, 4 * cvm_random_unit(&random) - 1);
        }
    }
    for (size_t t = 0; t + 1 < base->problem.treatment_count; t++) {
        add_capacity(base, t, 10 + (int64_t)t);
    }
    add_budget(base, 90000000, flat, rate);
}

static void no_limit_is_exceeded_and_the_solver_is_no_worse(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct base *base = base_of(300, TREATMENTS_MAX);
        fill_randomly(base, seed);
        struct cvm_greedy rules[2] = {in_order(base, NULL), by_value(base)};
        unsigned char treatments[CUSTOMERS_MAX];
        struct cvm_plan plan = {.treatments = treatments};
        struct cvm_error err;
        assert_int_equal(cvm_solve(&base->problem, NULL, NULL, NULL, &plan, &err), CVM_OK);
        for (size_t k = 0; k < 2; k++) {
            int64_t treated = 0;
            for (size_t r = 0; r < base->problem.row_count; r++) {
                assert_true(rules[k].used[r] <= base->rows[r].limit);
            }
            for (size_t t = 0; t < TREATMENTS_MAX; t++) {
                treated += rules[k].counts[t];
            }
            assert_int_equal(treated, rules[k].treated);
            assert_true(rules[k].value <= plan.dual_bound);
        }
        struct cvm_greedy again = by_value(base);
        assert_memory_equal(&again, &rules[1], sizeof(again));
        assert_true(rules[0].value < plan.value && rules[1].value <= plan.value + 1e-6);
    }
}

static void without_memory_it_fails_and_says_so(void **state)
{
    (void)state;
    struct base *base = one_call();
    struct cvm_arena *small = cvm_arena_create(16);
    struct cvm_greedy found = {.treated = -1};
    struct cvm_error err;
    assert_int_equal(cvm_greedy_by_value(&base->problem, small, NULL, &found, &err), CVM_E_LIMIT);
    assert_int_equal(found.treated, -1);
    cvm_arena_destroy(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_come_takes_the_best_that_has_room),
        cmocka_unit_test(an_order_says_who_comes_first),
        cmocka_unit_test(the_best_pair_comes_first_whosever_it_is),
        cmocka_unit_test(what_is_not_worth_anything_is_not_given),
        cmocka_unit_test(money_that_does_not_reach_is_not_spent),
        cmocka_unit_test(equal_values_go_to_the_cheaper_treatment),
        cmocka_unit_test(nobody_is_no_problem),
        cmocka_unit_test(no_limit_is_exceeded_and_the_solver_is_no_worse),
        cmocka_unit_test(without_memory_it_fails_and_says_so),
    };
    shared.arena = cvm_arena_create((size_t)1 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cvm_arena_destroy(shared.arena);
    return failed;
}
