#include "allocation/exact.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CUSTOMERS_MAX 16
#define CHOICES_MAX   4096
#define NODES_MAX     2000000

/* What one customer may get. */
struct choice {
    uint64_t set;
    double value;
    double score; /* at the prices */
    int64_t uses[CVM_PROBLEM_ROWS_MAX];
};

struct customer {
    size_t number;          /* in the problem */
    struct choice *choices; /* best score first */
    size_t count;
    uint32_t group;
};

struct exact {
    const struct cvm_problem *problem;
    const struct cvm_tariff *tariff;
    const double *prices;
    struct customer customers[CUSTOMERS_MAX]; /* who may get anything */
    size_t customer_count;
    /* Of the customers from i on: the best scores, and the least that they can use. */
    double scores_from[CUSTOMERS_MAX + 1];
    int64_t least_from[CUSTOMERS_MAX + 1][CVM_PROBLEM_ROWS_MAX];
    int64_t used[CVM_PROBLEM_ROWS_MAX];
    size_t chosen[CUSTOMERS_MAX];
    size_t best_chosen[CUSTOMERS_MAX];
    double best;
    bool is_found;
    int64_t nodes;
};

/* ---- what customers may get ---- */

static bool may_get(const struct exact *exact, size_t number, size_t treatment)
{
    const struct cvm_tariff *tariff = exact->tariff;
    size_t customer_class = cvm_problem_class(exact->problem, number);
    return cvm_problem_value(exact->problem, number, treatment) > CVM_PROBLEM_VALUE_MIN &&
           tariff->flat[treatment * tariff->class_count + customer_class] < CVM_TARIFF_FORBIDDEN;
}

/* Who may get anything; false when they are too many. */
static bool find_customers(struct exact *exact)
{
    const struct cvm_problem *problem = exact->problem;
    for (size_t i = 0; i < problem->customer_count; i++) {
        bool may_any = false;
        for (size_t place = 0; place < exact->tariff->count && !may_any; place++) {
            may_any = may_get(exact, i, exact->tariff->treatments[place]);
        }
        if (may_any && exact->customer_count == CUSTOMERS_MAX) {
            return false;
        }
        if (may_any) {
            struct customer *customer = &exact->customers[exact->customer_count++];
            customer->number = i;
            customer->group = problem->groups != NULL ? problem->groups[i] : CVM_NO_GROUP;
        }
    }
    return true;
}

/* The set and all that grow from it by treatments from `place` on; false when they are too many. */
static bool list_choices(const struct exact *exact, struct customer *customer, size_t place,
                         struct choice choice)
{
    const struct cvm_problem *problem = exact->problem;
    const struct cvm_tariff *tariff = exact->tariff;
    size_t number = customer->number;
    size_t customer_class = cvm_problem_class(problem, number);
    if (customer->count == CHOICES_MAX) {
        return false;
    }
    choice.score = choice.value;
    for (size_t r = 0; r < problem->row_count; r++) {
        choice.score -= exact->prices[r] * cvm_row_natural(&problem->rows[r], choice.uses[r]);
    }
    customer->choices[customer->count++] = choice;
    for (; place < tariff->count; place++) {
        size_t t = tariff->treatments[place];
        struct choice next = choice;
        next.set |= UINT64_C(1) << t;
        if (!may_get(exact, number, t) || !cvm_set_is_allowed(problem, next.set)) {
            continue;
        }
        next.value += cvm_problem_exact(problem, number, t);
        for (size_t r = 0; r < problem->row_count; r++) {
            next.uses[r] += cvm_row_use(&problem->rows[r], customer_class, t,
                                        cvm_problem_amount(problem, number));
        }
        if (!list_choices(exact, customer, place + 1, next)) {
            return false;
        }
    }
    return true;
}

static int compare_choices(const void *a, const void *b)
{
    const struct choice *left = a;
    const struct choice *right = b;
    if (left->score != right->score) {
        return left->score > right->score ? -1 : 1;
    }
    return left->set < right->set ? -1 : left->set > right->set;
}

/* false when there are too many choices. */
static bool make_customers(struct exact *exact, struct cvm_arena *arena, struct choice *scratch)
{
    const struct cvm_problem *problem = exact->problem;
    for (size_t i = exact->customer_count; i-- > 0;) {
        struct customer *customer = &exact->customers[i];
        customer->choices = scratch;
        if (!list_choices(exact, customer, 0, (struct choice){0})) {
            return false;
        }
        qsort(scratch, customer->count, sizeof(*scratch), compare_choices);
        customer->choices = cvm_arena_alloc_raw(arena, customer->count, sizeof(*scratch));
        if (customer->choices == NULL) {
            return false; /* only an improvement is lost */
        }
        memcpy(customer->choices, scratch, customer->count * sizeof(*scratch));
        exact->scores_from[i] = exact->scores_from[i + 1] + customer->choices[0].score;
        for (size_t r = 0; r < problem->row_count; r++) {
            int64_t least = customer->choices[0].uses[r];
            for (size_t k = 1; k < customer->count; k++) {
                least = customer->choices[k].uses[r] < least ? customer->choices[k].uses[r] : least;
            }
            exact->least_from[i][r] = exact->least_from[i + 1][r] + least;
        }
    }
    return true;
}

/* ---- the search ---- */

/* No plan that goes on from here is worth more. */
static double bound_of(const struct exact *exact, size_t customer, double value)
{
    double bound = value + exact->scores_from[customer];
    for (size_t r = 0; r < exact->problem->row_count; r++) {
        const struct cvm_row *row = &exact->problem->rows[r];
        bound += exact->prices[r] * cvm_row_natural(row, row->limit - exact->used[r]);
    }
    return bound;
}

static bool can_fit(const struct exact *exact, size_t customer)
{
    for (size_t r = 0; r < exact->problem->row_count; r++) {
        if (exact->used[r] + exact->least_from[customer][r] > exact->problem->rows[r].limit) {
            return false;
        }
    }
    return true;
}

/* May this customer's household have one more who is treated? */
static bool has_household_room(const struct exact *exact, size_t number, uint64_t set)
{
    const struct cvm_problem *problem = exact->problem;
    uint32_t group = exact->customers[number].group;
    if (group == CVM_NO_GROUP || (set & problem->group_treatments) == 0) {
        return true;
    }
    size_t count = 0;
    for (size_t i = 0; i < number; i++) {
        uint64_t other = exact->customers[i].choices[exact->chosen[i]].set;
        count += exact->customers[i].group == group && (other & problem->group_treatments) != 0;
    }
    return count < (problem->group_max != NULL ? problem->group_max[group] : 1);
}

static void visit(struct exact *exact, size_t at, double value)
{
    if (++exact->nodes > NODES_MAX || !can_fit(exact, at)) {
        return;
    }
    if (at == exact->customer_count) {
        if (!exact->is_found || value > exact->best) {
            exact->is_found = true;
            exact->best = value;
            memcpy(exact->best_chosen, exact->chosen, sizeof(exact->chosen));
        }
        return;
    }
    const struct customer *customer = &exact->customers[at];
    double bound = bound_of(exact, at, value) - customer->choices[0].score;
    for (size_t k = 0; k < customer->count; k++) {
        const struct choice *choice = &customer->choices[k];
        if (exact->is_found && !(bound + choice->score > exact->best)) {
            return; /* choices come by score: the others promise less */
        }
        if (!has_household_room(exact, at, choice->set)) {
            continue;
        }
        for (size_t r = 0; r < exact->problem->row_count; r++) {
            exact->used[r] += choice->uses[r];
        }
        exact->chosen[at] = k;
        visit(exact, at + 1, value + choice->value);
        for (size_t r = 0; r < exact->problem->row_count; r++) {
            exact->used[r] -= choice->uses[r];
        }
    }
}

static double value_of_plan(const struct exact *exact, const struct cvm_moves *moves)
{
    const struct cvm_problem *problem = moves->solve->problem;
    double value = 0.0;
    for (size_t i = 0; i < exact->customer_count; i++) {
        size_t number = exact->customers[i].number;
        uint64_t set = cvm_plan_set(problem, moves->treatments, number);
        for (; set != 0; set &= set - 1) {
            value += cvm_problem_exact(problem, number, (size_t)__builtin_ctzll(set));
        }
    }
    return value;
}

static void store(const struct exact *exact, struct cvm_moves *moves)
{
    memset(moves->used, 0, sizeof(moves->used));
    for (size_t i = 0; i < exact->customer_count; i++) {
        const struct customer *customer = &exact->customers[i];
        const struct choice *choice = &customer->choices[exact->best_chosen[i]];
        cvm_plan_set_to(exact->problem, moves->treatments, customer->number, choice->set);
        for (size_t r = 0; r < exact->problem->row_count; r++) {
            moves->used[r] += choice->uses[r];
        }
    }
}

enum cvm_status cvm_exact_run(struct cvm_moves *moves, const double *prices, struct cvm_error *err)
{
    const struct cvm_solve *solve = moves->solve;
    struct exact *exact = CVM_NEW(solve->arena, struct exact);
    struct choice *scratch = cvm_arena_alloc_raw(solve->arena, CHOICES_MAX, sizeof(*scratch));
    if (exact == NULL || scratch == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an exact search");
    }
    exact->problem = solve->problem;
    exact->tariff = &solve->tariff;
    exact->prices = prices;
    if (!find_customers(exact) || !make_customers(exact, solve->arena, scratch)) {
        return CVM_OK;
    }
    bool is_feasible = cvm_moves_keep_limits(moves, CVM_MOVES_LIMITS);
    exact->best = value_of_plan(exact, moves);
    double before = exact->best;
    exact->is_found = is_feasible;
    visit(exact, 0, 0.0);
    if (exact->is_found && (!is_feasible || exact->best > before)) {
        store(exact, moves);
    }
    return CVM_OK;
}
