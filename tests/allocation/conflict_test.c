/* Rows in conflict: hand-made ones with the sets known, small random ones against every plan there
 * is, and a large one.
 *
 * allocation_conflict_test [SEED [COUNT]] looks at these small ones only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "allocation/conflict.h"
#include "allocation/solver.h"
#include "base/random.h"
#include "support/random_problem.h"

#define CLASSES   4
#define ROWS_MAX  12
#define SMALL_MAX 6
#define ALL       UINT64_MAX

static uint64_t first_seed = 1;
static uint64_t seed_count = 200;

struct made {
    struct cvm_problem problem;
    struct cvm_row rows[ROWS_MAX];
    char names[ROWS_MAX][16];
    unsigned char insides[ROWS_MAX][CLASSES];
    float *values;
    uint64_t *keys;
    double *amounts;
    uint16_t *classes;
    uint32_t *groups;
    struct cvm_arena *arena;
    struct cvm_plan plan; /* that fell short */
    struct cvm_conflict conflicts[CVM_CONFLICTS_MAX];
    size_t count;
};

/* Everybody is eligible for everything, of class 0, with the amount 0. */
static struct made *make(size_t customers, size_t treatments)
{
    struct made *made = calloc(1, sizeof(*made));
    size_t padded = (customers + 15) / 16 * 16;
    made->values = calloc(padded * treatments + 1, sizeof(float));
    made->keys = calloc(customers + 1, sizeof(uint64_t));
    made->amounts = calloc(customers + 1, sizeof(double));
    made->classes = calloc(customers + 1, sizeof(uint16_t));
    made->groups = calloc(customers + 1, sizeof(uint32_t));
    made->arena = cvm_arena_create(SIZE_MAX);
    made->problem = (struct cvm_problem){
        .customer_count = customers,
        .treatment_count = treatments,
        .values = made->values,
        .keys = made->keys,
        .amounts = made->amounts,
        .classes = made->classes,
        .class_count = CLASSES,
        .rows = made->rows,
        .forced_treatment = -1,
    };
    for (size_t i = 0; i < padded; i++) {
        for (size_t t = 0; t < treatments; t++) {
            made->values[cvm_problem_at(&made->problem, i, t)] =
                i < customers ? 1.0f : CVM_PROBLEM_INELIGIBLE;
        }
    }
    for (size_t i = 0; i < customers; i++) {
        made->keys[i] = i + 1;
    }
    return made;
}

static void release(struct made *made)
{
    cvm_arena_destroy(made->arena);
    free(made->values);
    free(made->keys);
    free(made->amounts);
    free(made->classes);
    free(made->groups);
    free(made);
}

static void forbid(struct made *made, size_t customer, size_t treatment)
{
    made->values[cvm_problem_at(&made->problem, customer, treatment)] = CVM_PROBLEM_INELIGIBLE;
}

/* `classes`: a bit per class inside; 0 = no segment. */
static size_t add_row(struct made *made, const char *name, struct cvm_row_terms terms,
                      unsigned classes)
{
    size_t r = made->problem.row_count++;
    (void)snprintf(made->names[r], sizeof(made->names[r]), "%s", name);
    for (size_t c = 0; c < CLASSES; c++) {
        made->insides[r][c] = (unsigned char)(classes >> c & 1);
    }
    terms.name = made->names[r];
    terms.inside = classes != 0 ? made->insides[r] : NULL;
    cvm_row_make(&terms, &made->rows[r]);
    return r;
}

static size_t add_limit(struct made *made, const char *name, uint64_t treatments, int64_t limit)
{
    struct cvm_row_terms terms = {
        .kind = CVM_ROW_CAPACITY, .treatments = treatments, .limit = limit};
    return add_row(made, name, terms, 0);
}

static size_t add_minimum(struct made *made, const char *name, unsigned classes, int64_t limit)
{
    struct cvm_row_terms terms = {.kind = CVM_ROW_SEGMENT_MIN, .treatments = ALL, .limit = limit};
    return add_row(made, name, terms, classes);
}

static void before(struct made *made)
{
    struct cvm_error err;
    enum cvm_status status = cvm_conflicts_before(&made->problem, NULL, made->arena,
                                                  made->conflicts, &made->count, &err);
    if (status != CVM_OK) {
        fail_msg("%s", err.message);
    }
}

static void after(struct made *made)
{
    struct cvm_error err;
    enum cvm_status status = cvm_conflicts_after(&made->problem, &made->plan, NULL, NULL,
                                                 made->arena, made->conflicts, &made->count, &err);
    if (status != CVM_OK) {
        fail_msg("%s", err.message);
    }
}

static void assert_conflict(const struct made *made, size_t number, uint64_t rows,
                            const char *message, const char *relaxation)
{
    uint64_t found = 0;
    assert_true(number < made->count);
    for (size_t k = 0; k < made->conflicts[number].row_count; k++) {
        found |= UINT64_C(1) << made->conflicts[number].rows[k];
    }
    assert_string_equal(made->conflicts[number].message, message);
    assert_string_equal(made->conflicts[number].relaxation, relaxation);
    assert_int_equal(found, rows);
}

/* ---- before ---- */

static void no_minimum_no_conflict(void **state)
{
    struct made *made = make(10, 2);
    (void)state;
    add_limit(made, "cap", ALL, 0);
    before(made);
    assert_int_equal(made->count, 0);
    release(made);
}

static void a_minimum_above_the_eligible_is_named_with_their_number(void **state)
{
    struct made *made = make(40, 2);
    (void)state;
    for (size_t i = 0; i < 40; i++) {
        made->classes[i] = i < 30 ? 1 : 0;
        if (i < 10) {
            forbid(made, i, 0);
            forbid(made, i, 1);
        }
    }
    add_minimum(made, "north", 2, 25);
    add_minimum(made, "all", 15, 30);
    before(made);
    assert_int_equal(made->count, 1);
    assert_conflict(
        made, 0, 1,
        "'north' (at least 25) asks for more than there is: its customers can get 20 at "
        "most",
        "lower 'north' from 25 to 20");
    after(made);
    assert_int_equal(made->count, 1);
    assert_conflict(made, 0, 1,
                    "'north' (at least 25) can not be reached by any plan: 'north' gets 20 at most",
                    "lower 'north' from 25 to 20");
    release(made);
}

static void a_customer_counts_once_per_treatment_it_may_have(void **state)
{
    struct made *made = make(10, 3);
    (void)state;
    add_minimum(made, "all", 15, 20);
    before(made);
    assert_int_equal(made->count, 1);
    made->problem.per_customer_max = 2;
    before(made);
    assert_int_equal(made->count, 0);
    release(made);
}

static void a_household_counts_as_many_as_it_may_have(void **state)
{
    struct made *made = make(10, 1);
    (void)state;
    for (size_t i = 0; i < 10; i++) {
        made->groups[i] = (uint32_t)(i / 2);
    }
    made->problem.groups = made->groups;
    made->problem.group_count = 5;
    made->problem.group_treatments = ALL;
    add_minimum(made, "all", 15, 6);
    before(made);
    assert_conflict(
        made, 0, 1,
        "'all' (at least 6) asks for more than there is: its customers can get 5 at most",
        "lower 'all' from 6 to 5");
    made->problem.group_treatments = 0;
    before(made);
    assert_int_equal(made->count, 0);
    release(made);
}

static void a_minimum_above_the_capacities_of_its_treatments_is_named(void **state)
{
    struct made *made = make(100, 2);
    (void)state;
    add_minimum(made, "north", 15, 50);
    add_limit(made, "call", 1, 20);
    add_limit(made, "mail", 2, 25);
    add_limit(made, "any", 3, 90);
    before(made);
    assert_int_equal(made->count, 1);
    assert_conflict(made, 0, 7,
                    "'north' (at least 50) asks for more than its treatments have room for: 'call' "
                    "(at most 20), 'mail' (at most 25) let it have 45 at most",
                    "lower 'north' from 50 to 45");
    after(made);
    assert_int_equal(made->count, 1);
    assert_conflict(made, 0, 7,
                    "'north' (at least 50), 'call' (at most 20) and 'mail' (at most 25) can not be "
                    "kept together: with the rest kept, 'north' gets 45 at most",
                    "lower 'north' from 50 to 45, or raise 'mail' from 25 to 30");
    release(made);
}

static void a_minimum_that_a_budget_can_not_pay_is_named(void **state)
{
    static const double flat[2] = {2.0, 3.0};
    static const double rate[2] = {0.01, 0.0};
    struct made *made = make(100, 2);
    (void)state;
    for (size_t i = 0; i < 100; i++) {
        made->amounts[i] = i < 50 ? 100.0 : 50.0; /* 3 and 2.5 each */
    }
    add_minimum(made, "all", 15, 60);
    add_row(made, "money",
            (struct cvm_row_terms){.kind = CVM_ROW_BUDGET,
                                   .treatments = 3,
                                   .limit = 140 * INT64_C(1000000),
                                   .flat = flat,
                                   .rate = rate},
            0);
    before(made);
    assert_int_equal(made->count, 1);
    assert_conflict(
        made, 0, 3,
        "'all' (at least 60) needs 155 of 'money' (at most 140) even with the customers "
        "who use least of it, and gets 55 at most",
        "lower 'all' from 60 to 55, or raise 'money' from 140 to 155");
    after(made);
    assert_int_equal(made->count, 1);
    assert_conflict(made, 0, 3,
                    "'all' (at least 60) and 'money' (at most 140) can not be kept together: with "
                    "the rest kept, 'all' gets 55 at most",
                    "lower 'all' from 60 to 55, or raise 'money' from 140 to 155");
    release(made);
}

static void a_minimum_above_the_maximum_of_the_same_customers_is_named(void **state)
{
    struct made *made = make(20, 1);
    (void)state;
    add_row(made, "most",
            (struct cvm_row_terms){.kind = CVM_ROW_SEGMENT_MAX, .treatments = ALL, .limit = 4}, 1);
    add_minimum(made, "least", 1, 8);
    before(made);
    assert_int_equal(made->count, 1);
    assert_conflict(
        made, 0, 3,
        "'least' (at least 8) needs 8 of 'most' (at most 4) even with the customers who "
        "use least of it, and gets 4 at most",
        "lower 'least' from 8 to 4, or raise 'most' from 4 to 8");
    release(made);
}

static void minimums_of_different_customers_add_up_against_a_shared_limit(void **state)
{
    struct made *made = make(90, 1);
    (void)state;
    for (size_t i = 0; i < 90; i++) {
        made->classes[i] = (uint16_t)(i % 3);
    }
    add_minimum(made, "a", 1, 20);
    add_minimum(made, "b", 2, 15);
    add_minimum(made, "c", 4, 5);
    add_limit(made, "cap", ALL, 30);
    before(made);
    assert_int_equal(made->count, 1);
    assert_conflict(
        made, 0, 11,
        "'a' (at least 20) and 'b' (at least 15) together need 35 of 'cap' (at most 30)",
        "raise 'cap' from 30 to 35");
    after(made);
    assert_int_equal(made->count, 1);
    assert_conflict(made, 0, 11,
                    "'a' (at least 20), 'b' (at least 15) and 'cap' (at most 30) can not be kept "
                    "together: with the rest kept, 'a' gets 15 at most",
                    "raise 'cap' from 30 to 35, or lower 'a' from 20 to 15");
    release(made);
}

static void a_share_of_a_segment_without_anybody_is_named(void **state)
{
    struct made *made = make(20, 1);
    (void)state;
    add_row(made, "fair",
            (struct cvm_row_terms){.kind = CVM_ROW_SHARE_MIN, .treatments = ALL, .share = 0.2}, 2);
    add_minimum(made, "some", 1, 5);
    before(made);
    assert_int_equal(made->count, 1);
    assert_conflict(
        made, 0, 3,
        "'fair' (at least 20 %) is a share of treatments, but no customer of its segment "
        "is eligible; 'some' (at least 5) asks for treatments of others",
        "lower 'fair' from 20 % to 0 %");
    release(made);
}

/* ---- after ---- */

static void a_plan_that_keeps_all_has_no_conflict(void **state)
{
    struct made *made = make(20, 1);
    (void)state;
    add_minimum(made, "some", 1, 25);
    made->plan.is_feasible = true;
    after(made);
    assert_int_equal(made->count, 0);
    release(made);
}

static void shares_are_told_in_per_cent(void **state)
{
    struct made *made = make(100, 1);
    (void)state;
    for (size_t i = 0; i < 10; i++) {
        made->classes[i] = 1;
    }
    add_row(made, "fair",
            (struct cvm_row_terms){.kind = CVM_ROW_SHARE_MIN, .treatments = ALL, .share = 0.25}, 2);
    add_minimum(made, "all", 15, 50);
    before(made);
    assert_int_equal(made->count, 0);
    after(made);
    assert_int_equal(made->count, 1);
    assert_conflict(made, 0, 3,
                    "'fair' (at least 25 %) and 'all' (at least 50) can not be kept together: with "
                    "the rest kept, 'fair' gets 20 % at most",
                    "lower 'fair' from 25 % to 20 %");
    release(made);
}

static void what_is_left_of_a_capacity_is_told_as_such(void **state)
{
    struct made *made = make(100, 1);
    (void)state;
    for (size_t i = 0; i < 10; i++) {
        made->classes[i] = 1;
    }
    add_minimum(made, "all", 15, 50);
    add_row(made, "vip",
            (struct cvm_row_terms){.kind = CVM_ROW_RESERVE, .treatments = 1, .limit = 30}, 2);
    after(made);
    assert_int_equal(made->count, 1);
    assert_conflict(
        made, 0, 3,
        "'all' (at least 50) and 'vip' (at most 30 for the others) can not be kept "
        "together: with the rest kept, 'all' gets 40 at most",
        "lower 'all' from 50 to 40, or raise what 'vip' leaves for the others from 30 to "
        "40");
    release(made);
}

static void conflicts_of_different_minimums_are_all_told(void **state)
{
    struct made *made = make(60, 2);
    (void)state;
    for (size_t i = 0; i < 60; i++) {
        made->classes[i] = (uint16_t)(i % 2);
        forbid(made, i, i % 2);
    }
    add_minimum(made, "a", 1, 20);
    add_minimum(made, "b", 2, 20);
    add_limit(made, "one", 1, 10);
    add_limit(made, "two", 2, 15);
    after(made);
    assert_int_equal(made->count, 2);
    assert_conflict(made, 1, 9,
                    "'a' (at least 20) and 'two' (at most 15) can not be kept together: with the "
                    "rest kept, 'a' gets 15 at most",
                    "lower 'a' from 20 to 15, or raise 'two' from 15 to 20");
    assert_conflict(made, 0, 6,
                    "'b' (at least 20) and 'one' (at most 10) can not be kept together: with the "
                    "rest kept, 'b' gets 10 at most",
                    "lower 'b' from 20 to 10, or raise 'one' from 10 to 20");
    release(made);
}

static void a_shortfall_without_a_proof_is_told_as_that(void **state)
{
    struct made *made = make(60, 1);
    (void)state;
    add_minimum(made, "a", 1, 20);
    made->plan.shortfall[0] = 2;
    made->plan.used[0] = -18;
    after(made);
    assert_int_equal(made->count, 1);
    assert_conflict(made, 0, 1,
                    "no whole plan was found that keeps every row, although none of them is proven "
                    "impossible: 'a' (at least 20) gets 18",
                    "lower 'a' from 20 to 18");
    release(made);
}

static void a_plan_of_the_solver_is_told_as_it_falls_short(void **state)
{
    struct made *made = make(300, 2);
    struct cvm_error err;
    (void)state;
    made->plan.treatments = cvm_arena_alloc(made->arena, 300, 1);
    for (size_t i = 0; i < 300; i++) {
        made->classes[i] = (uint16_t)(i % 3);
    }
    add_minimum(made, "north", 1, 80);
    add_limit(made, "call", 1, 20);
    add_limit(made, "mail", 2, 30);
    if (cvm_solve(&made->problem, NULL, NULL, NULL, &made->plan, &err) != CVM_OK) {
        fail_msg("%s", err.message);
    }
    assert_false(made->plan.is_feasible);
    after(made);
    assert_int_equal(made->count, 1);
    assert_conflict(made, 0, 7,
                    "'north' (at least 80), 'call' (at most 20) and 'mail' (at most 30) can not be "
                    "kept together: with the rest kept, 'north' gets 50 at most",
                    "lower 'north' from 80 to 50, or raise 'mail' from 30 to 60");
    made->rows[0].limit = -50;
    if (cvm_solve(&made->problem, NULL, NULL, NULL, &made->plan, &err) != CVM_OK) {
        fail_msg("%s", err.message);
    }
    assert_true(made->plan.is_feasible);
    after(made);
    assert_int_equal(made->count, 0);
    release(made);
}

/* ---- small ones, against every plan ---- */

static struct made *make_small(uint64_t seed)
{
    struct cvm_random random;
    cvm_random_init(&random, seed);
    struct made *made =
        make(2 + cvm_random_below(&random, SMALL_MAX - 1), 1 + cvm_random_below(&random, 3));
    size_t customers = made->problem.customer_count;
    size_t rows = 2 + cvm_random_below(&random, 7);
    for (size_t i = 0; i < customers; i++) {
        made->classes[i] = (uint16_t)cvm_random_below(&random, CLASSES);
        made->amounts[i] = (double)cvm_random_below(&random, 20);
        made->groups[i] = (uint32_t)cvm_random_below(&random, 3);
        for (size_t t = 0; t < made->problem.treatment_count; t++) {
            if (cvm_random_below(&random, 4) == 0) {
                forbid(made, i, t);
            }
        }
    }
    made->problem.per_customer_max = 1 + cvm_random_below(&random, 2);
    made->problem.groups = cvm_random_below(&random, 3) == 0 ? made->groups : NULL;
    made->problem.group_count = made->problem.groups != NULL ? 3 : 0;
    made->problem.group_treatments = made->problem.groups != NULL ? cvm_random_u64(&random) : 0;
    for (size_t r = 0; r < rows; r++) {
        enum cvm_row_kind kind = (enum cvm_row_kind)cvm_random_below(&random, 8);
        kind = r == 0 ? CVM_ROW_SEGMENT_MIN : r == 1 ? CVM_ROW_SHARE_MIN : kind;
        double flat[CVM_PROBLEM_TREATMENTS_MAX];
        double rate[CVM_PROBLEM_TREATMENTS_MAX];
        int64_t units[CVM_PROBLEM_TREATMENTS_MAX];
        char name[16];
        for (size_t t = 0; t < CVM_PROBLEM_TREATMENTS_MAX; t++) {
            flat[t] = (double)cvm_random_below(&random, 300) / 100.0;
            rate[t] = (double)cvm_random_below(&random, 10) / 100.0;
            units[t] = (int64_t)cvm_random_below(&random, 4);
        }
        (void)snprintf(name, sizeof(name), "row %u", (unsigned)(r % 100));
        int64_t limit = (int64_t)cvm_random_below(&random, 5);
        add_row(made, name,
                (struct cvm_row_terms){.kind = kind,
                                       .treatments = 1 + cvm_random_below(&random, 7),
                                       .limit = kind == CVM_ROW_BUDGET ? limit * 1000000 : limit,
                                       .share = (double)cvm_random_below(&random, 11) / 10.0,
                                       .units = units,
                                       .flat = flat,
                                       .rate = rate},
                1 + (unsigned)cvm_random_below(&random, 15));
        made->rows[r].inside =
            kind == CVM_ROW_BUDGET || kind == CVM_ROW_CAPACITY || kind == CVM_ROW_SHARED
                ? NULL
                : made->insides[r];
    }
    return made;
}

struct every {
    const struct made *made;
    uint64_t rows; /* that are to be kept */
    int64_t used[ROWS_MAX];
    int counts[3]; /* of the households */
};

static bool is_fine(const struct every *every, size_t customer, uint64_t set)
{
    const struct cvm_problem *problem = &every->made->problem;
    bool is_member = problem->groups != NULL && (set & problem->group_treatments) != 0;
    for (size_t t = 0; t < problem->treatment_count; t++) {
        if ((set >> t & 1) != 0 && !(cvm_problem_value(problem, customer, t) > -1e29f)) {
            return false;
        }
    }
    return (size_t)__builtin_popcountll(set) <= problem->per_customer_max &&
           !(is_member && every->counts[problem->groups[customer]] > 0);
}

/* Is there a plan that keeps the rows? */
static bool is_there(struct every *every, size_t customer)
{
    const struct cvm_problem *problem = &every->made->problem;
    if (customer == problem->customer_count) {
        for (size_t r = 0; r < problem->row_count; r++) {
            if ((every->rows >> r & 1) != 0 && every->used[r] > problem->rows[r].limit) {
                return false;
            }
        }
        return true;
    }
    for (uint64_t set = 0; set < UINT64_C(1) << problem->treatment_count; set++) {
        struct every next = *every;
        if (!is_fine(every, customer, set)) {
            continue;
        }
        if (problem->groups != NULL && (set & problem->group_treatments) != 0) {
            next.counts[problem->groups[customer]]++;
        }
        for (size_t t = 0; t < problem->treatment_count; t++) {
            for (size_t r = 0; (set >> t & 1) != 0 && r < problem->row_count; r++) {
                next.used[r] += cvm_row_use(&problem->rows[r], problem->classes[customer], t,
                                            problem->amounts[customer]);
            }
        }
        if (is_there(&next, customer + 1)) {
            return true;
        }
    }
    return false;
}

static bool can_keep(const struct made *made, uint64_t rows)
{
    struct every every = {.made = made, .rows = rows};
    return is_there(&every, 0);
}

static uint64_t rows_of(const struct cvm_conflict *conflict)
{
    uint64_t rows = 0;
    for (size_t k = 0; k < conflict->row_count; k++) {
        rows |= UINT64_C(1) << conflict->rows[k];
    }
    return rows;
}

/* The first way out, as told, read back: at it the rows can be kept, a step before it not. */
static void check_relaxation(struct made *made, const struct cvm_conflict *conflict)
{
    const char *text = conflict->relaxation;
    const char *quote = strchr(text, '\'');
    const char *from = strstr(text, " from ");
    const char *to = strstr(text, " to ");
    assert_true(quote != NULL && from != NULL && to != NULL);
    size_t r = strtoull(quote + strlen("'row "), NULL, 10);
    double level = strtod(to + strlen(" to "), NULL);
    struct cvm_row own = made->rows[r];
    uint64_t kept = rows_of(conflict);
    bool is_share = own.kind == CVM_ROW_SHARE_MIN || own.kind == CVM_ROW_SHARE_MAX;
    double step = is_share ? 0.0001 : own.kind == CVM_ROW_BUDGET ? 0.01 : 1.0;
    for (int turn = 0; turn < 2; turn++) {
        double sign = cvm_row_is_minimum(&own) ? -1.0 : 1.0;
        double now = (is_share ? level / 100.0 : level) - (turn == 1 ? sign * step : 0.0);
        for (size_t t = 0; is_share && t < 3; t++) {
            bool is_covered = own.units[t] != 0 || own.outside[t] != 0;
            int64_t share = (int64_t)(now * 1e9 + 0.5);
            made->rows[r].units[t] = is_covered ? (int64_t)sign * (1000000000 - share) : 0;
            made->rows[r].outside[t] = is_covered ? (int64_t)sign * -share : 0;
        }
        if (!is_share) {
            made->rows[r].limit = (int64_t)(sign * now * (double)own.scale + sign * 0.5);
        }
        if (turn == 0) {
            uint64_t all = kept;
            for (size_t q = 0; q < made->problem.row_count; q++) {
                all |= (uint64_t)!cvm_row_is_minimum(&made->rows[q]) << q;
            }
            kept = can_keep(made, all) ? all : kept;
        }
        if (can_keep(made, kept) != (turn == 0)) {
            fail_msg("%s; %s: %s", conflict->message, text, turn == 0 ? "no" : "less is enough");
        }
    }
    made->rows[r] = own;
}

static void check_small(struct made *made, uint64_t seed)
{
    before(made);
    for (size_t k = 0; k < made->count; k++) {
        if (can_keep(made, rows_of(&made->conflicts[k]))) {
            fail_msg("seed %llu, before: a plan keeps these: %s", (unsigned long long)seed,
                     made->conflicts[k].message);
        }
    }
    after(made);
    uint64_t left = (UINT64_C(1) << made->problem.row_count) - 1;
    for (size_t k = 0; k < made->count; k++) {
        uint64_t rows = rows_of(&made->conflicts[k]);
        if (can_keep(made, rows)) {
            fail_msg("seed %llu: a plan keeps these: %s", (unsigned long long)seed,
                     made->conflicts[k].message);
        }
        for (size_t r = 0; r < made->problem.row_count; r++) {
            bool is_in = (rows >> r & 1) != 0;
            if (is_in && !can_keep(made, rows & ~(UINT64_C(1) << r))) {
                fail_msg("seed %llu: row %zu could be left out of: %s", (unsigned long long)seed, r,
                         made->conflicts[k].message);
            }
            if (is_in && cvm_row_is_minimum(&made->rows[r])) {
                left &= ~(UINT64_C(1) << r);
            }
        }
        check_relaxation(made, &made->conflicts[k]);
    }
    if (!can_keep(made, left)) {
        fail_msg("seed %llu: a conflict was missed", (unsigned long long)seed);
    }
}

static void sets_of_small_problems_are_the_smallest(void **state)
{
    uint64_t looked_at = 0;
    (void)state;
    for (uint64_t seed = first_seed; looked_at < seed_count; seed++) {
        struct made *made = make_small(seed);
        struct cvm_error err;
        if (cvm_problem_check(&made->problem, &err) != CVM_OK) {
            fail_msg("seed %llu: %s", (unsigned long long)seed, err.message);
        }
        if (!can_keep(made, (UINT64_C(1) << made->problem.row_count) - 1)) {
            check_small(made, seed);
            looked_at++;
        }
        release(made);
    }
}

/* ---- a large one ---- */

static void make_large_rows(struct made *made)
{
    static const double flat[6] = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0};
    static const double rate[6] = {0.01, 0.01, 0.0, 0.0, 0.02, 0.0};
    for (size_t t = 0; t < 6; t++) {
        static const char *const names[] = {"t0", "t1", "t2", "t3", "t4", "t5"};
        add_limit(made, names[t], UINT64_C(1) << t, 8000);
    }
    add_row(made, "money",
            (struct cvm_row_terms){.kind = CVM_ROW_BUDGET,
                                   .treatments = 63,
                                   .limit = 60000 * INT64_C(1000000),
                                   .flat = flat,
                                   .rate = rate},
            0);
    add_minimum(made, "north", 1, 9000);
    add_minimum(made, "south", 2, 12000);
    add_row(made, "fair",
            (struct cvm_row_terms){.kind = CVM_ROW_SHARE_MIN, .treatments = ALL, .share = 0.3}, 4);
}

static void sets_of_a_large_problem_are_found_too(void **state)
{
    struct made *made = make(100000, 6);
    struct cvm_random random;
    (void)state;
    cvm_random_init(&random, 7);
    for (size_t i = 0; i < made->problem.customer_count; i++) {
        made->classes[i] = (uint16_t)cvm_random_below(&random, CLASSES);
        made->amounts[i] = cvm_random_lognormal(&random, 80.0, 0.8);
        for (size_t t = 0; t < 6; t++) {
            if (cvm_random_below(&random, 10) < 3) {
                forbid(made, i, t);
            }
        }
    }
    make_large_rows(made);
    before(made);
    assert_int_equal(made->count, 0);
    after(made);
    assert_int_equal(made->count, 1);
    assert_conflict(
        made, 0, 1 + 64 + 128 + 256 + 512,
        "'t0' (at most 8000), 'money' (at most 60000), 'north' (at least 9000), 'south' "
        "(at least 12000) and 'fair' (at least 30 %) can not be kept together: with the "
        "rest kept, 'south' gets 9060 at most",
        "lower 'south' from 12000 to 9060, or raise 'money' from 60000 to 76770");
    made->rows[6].limit = 76770 * INT64_C(1000000);
    after(made);
    assert_int_equal(made->count, 0);
    made->rows[6].limit = 76760 * INT64_C(1000000);
    after(made);
    assert_int_equal(made->count, 1);
    release(made);
}

/* ---- judged by the solver: bases with households and budgets that depend on amounts ---- */

/* How many units the plan of the solver lacks. */
static double lack_of(const struct random_problem *random)
{
    struct cvm_plan plan = {.treatments = random_problem_treatments(random)};
    struct cvm_error err;
    double lack = 0.0;
    if (cvm_solve(&random->problem, NULL, NULL, NULL, &plan, &err) != CVM_OK) {
        fail_msg("%s", err.message);
    }
    for (size_t r = 0; r < random->problem.row_count; r++) {
        lack += cvm_row_natural(&random->problem.rows[r], plan.shortfall[r]);
    }
    free(plan.treatments);
    return lack;
}

/* Only these rows ask for anything. */
static void keep_only(struct random_problem *random, const struct cvm_row *own, uint64_t rows)
{
    for (size_t r = 0; r < random->problem.row_count; r++) {
        bool is_minimum = cvm_row_is_minimum(&own[r]);
        random->rows[r] = own[r];
        if ((rows >> r & 1) == 0) {
            random->rows[r].limit =
                is_minimum && own[r].kind != CVM_ROW_SHARE_MIN ? 0 : INT64_C(1) << 50;
        }
    }
}

/* Sets and ways out are of fractions of customers; of whole ones a unit a row may be lacking. */
static void judge(struct random_problem *random, const struct cvm_conflict *conflict)
{
    static struct cvm_row own[CVM_PROBLEM_ROWS_MAX];
    uint64_t rows = rows_of(conflict);
    size_t r = 0;
    double level = 0.0;
    memcpy(own, random->rows, sizeof(own));
    for (uint64_t left = rows; left != 0; left &= left - 1) {
        keep_only(random, own, rows & ~(left & -left));
        if (lack_of(random) > (double)conflict->row_count) {
            fail_msg("a row could be left out of: %s", conflict->message);
        }
    }
    keep_only(random, own, rows);
    assert_true(lack_of(random) > 0.0);
    if (sscanf(conflict->relaxation, "lower 'row %zu' from %*f to %lf", &r, &level) == 2) {
        random->rows[r].limit = -(int64_t)level;
    } else {
        assert_int_equal(
            sscanf(conflict->relaxation, "raise 'row %zu' from %*f to %lf", &r, &level), 2);
        random->rows[r].limit = (int64_t)(level * (double)own[r].scale);
    }
    if (lack_of(random) > (double)conflict->row_count) {
        fail_msg("%s does not help: %s", conflict->relaxation, conflict->message);
    }
    memcpy(random->rows, own, sizeof(own));
}

static void sets_are_the_smallest_and_the_way_out_is_one(void **state)
{
    size_t judged = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct random_shape shape = random_shape_of(seed, 2000);
        shape.has_households = seed % 2 == 0;
        struct random_problem *random = random_problem_big(&shape);
        struct cvm_plan plan = {.treatments = NULL};
        struct cvm_conflict *conflicts = calloc(CVM_CONFLICTS_MAX, sizeof(*conflicts));
        struct cvm_arena *arena = cvm_arena_create(SIZE_MAX);
        struct cvm_error err;
        size_t count = 0;
        for (size_t r = 0; r < random->problem.row_count; r++) {
            struct cvm_row *row = &random->rows[r];
            row->limit = row->kind == CVM_ROW_SEGMENT_MIN ? row->limit * 8 / 5 : row->limit;
            row->limit = row->kind == CVM_ROW_BUDGET ? row->limit / 8 : row->limit;
        }
        if (cvm_conflicts_after(&random->problem, &plan, NULL, NULL, arena, conflicts, &count,
                                &err) != CVM_OK) {
            fail_msg("%s", err.message);
        }
        for (size_t k = 0; k < count; k++) {
            if (conflicts[k].row_count > 0) {
                judge(random, &conflicts[k]);
                judged++;
            }
        }
        cvm_arena_destroy(arena);
        free(conflicts);
        random_problem_free(random);
    }
    print_message("%zu sets\n", judged);
    assert_true(judged >= 3);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest small[] = {
        cmocka_unit_test(sets_of_small_problems_are_the_smallest),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_minimum_no_conflict),
        cmocka_unit_test(a_minimum_above_the_eligible_is_named_with_their_number),
        cmocka_unit_test(a_customer_counts_once_per_treatment_it_may_have),
        cmocka_unit_test(a_household_counts_as_many_as_it_may_have),
        cmocka_unit_test(a_minimum_above_the_capacities_of_its_treatments_is_named),
        cmocka_unit_test(a_minimum_that_a_budget_can_not_pay_is_named),
        cmocka_unit_test(a_minimum_above_the_maximum_of_the_same_customers_is_named),
        cmocka_unit_test(minimums_of_different_customers_add_up_against_a_shared_limit),
        cmocka_unit_test(a_share_of_a_segment_without_anybody_is_named),
        cmocka_unit_test(a_plan_that_keeps_all_has_no_conflict),
        cmocka_unit_test(shares_are_told_in_per_cent),
        cmocka_unit_test(what_is_left_of_a_capacity_is_told_as_such),
        cmocka_unit_test(conflicts_of_different_minimums_are_all_told),
        cmocka_unit_test(a_shortfall_without_a_proof_is_told_as_that),
        cmocka_unit_test(a_plan_of_the_solver_is_told_as_it_falls_short),
        cmocka_unit_test(sets_of_small_problems_are_the_smallest),
        cmocka_unit_test(sets_of_a_large_problem_are_found_too),
        cmocka_unit_test(sets_are_the_smallest_and_the_way_out_is_one),
    };
    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
        return cmocka_run_group_tests(small, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
