#include "allocation/exact.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CUSTOMERS_MAX 16
#define CHOICES_MAX   4096
#define NODES_MAX     2000000

/* What one unit may get. */
struct choice {
    double value;
    double score; /* at the prices */
    uint64_t sets[CUSTOMERS_MAX]; /* by member */
    int64_t uses[CVM_PROBLEM_ROWS_MAX];
};

struct unit {
    size_t customers[CUSTOMERS_MAX];
    size_t size;
    size_t max;
    struct choice *choices; /* best score first */
    size_t count;
};

struct exact {
    const struct cvm_problem *problem;
    const struct cvm_tariff *tariff;
    const double *prices;
    struct unit units[CUSTOMERS_MAX];
    size_t unit_count;
    /* Of the units from u on: the best scores, and the least that they can use. */
    double scores_from[CUSTOMERS_MAX + 1];
    int64_t least_from[CUSTOMERS_MAX + 1][CVM_PROBLEM_ROWS_MAX];
    int64_t used[CVM_PROBLEM_ROWS_MAX];
    size_t chosen[CUSTOMERS_MAX];
    size_t best_chosen[CUSTOMERS_MAX];
    double best;
    bool is_found;
    int64_t nodes;
};

/* ---- what units may get ---- */

static bool counts(const struct cvm_problem *problem, uint64_t set)
{
    return problem->groups != NULL && (set & problem->group_treatments) != 0;
}

static void add_pairs(const struct exact *exact, size_t customer, uint64_t set,
                      struct choice *choice)
{
    const struct cvm_problem *problem = exact->problem;
    size_t customer_class = cvm_problem_class(problem, customer);
    double amount = cvm_problem_amount(problem, customer);
    for (; set != 0; set &= set - 1) {
        size_t t = (size_t)__builtin_ctzll(set);
        choice->value += cvm_problem_exact(problem, customer, t);
        for (size_t r = 0; r < problem->row_count; r++) {
            choice->uses[r] += cvm_row_use(&problem->rows[r], customer_class, t, amount);
        }
    }
}

static uint64_t allowed_treatments(const struct exact *exact, size_t customer)
{
    const struct cvm_tariff *tariff = exact->tariff;
    size_t customer_class = cvm_problem_class(exact->problem, customer);
    uint64_t allowed = 0;
    for (size_t place = 0; place < tariff->count; place++) {
        size_t t = tariff->treatments[place];
        bool is_allowed =
            cvm_problem_value(exact->problem, customer, t) > CVM_PROBLEM_VALUE_MIN &&
            tariff->flat[t * tariff->class_count + customer_class] < CVM_TARIFF_FORBIDDEN;
        allowed |= is_allowed ? UINT64_C(1) << t : 0;
    }
    return allowed;
}

/* Every combination of the members' sets; false when they are too many. */
static bool list_choices(const struct exact *exact, struct unit *unit, size_t at, size_t counting,
                         struct choice *choice)
{
    if (at == unit->size) {
        if (unit->count == CHOICES_MAX) {
            return false;
        }
        choice->score = choice->value;
        for (size_t r = 0; r < exact->problem->row_count; r++) {
            choice->score -=
                exact->prices[r] * cvm_row_natural(&exact->problem->rows[r], choice->uses[r]);
        }
        unit->choices[unit->count++] = *choice;
        return true;
    }
    uint64_t allowed = allowed_treatments(exact, unit->customers[at]);
    for (uint64_t set = allowed;; set = (set - 1) & allowed) { /* every subset, the empty one last */
        bool is_counting = counts(exact->problem, set);
        if (cvm_set_is_allowed(exact->problem, set) && counting + is_counting <= unit->max) {
            struct choice next = *choice;
            next.sets[at] = set;
            add_pairs(exact, unit->customers[at], set, &next);
            if (!list_choices(exact, unit, at + 1, counting + is_counting, &next)) {
                return false;
            }
        }
        if (set == 0) {
            break;
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
    return memcmp(left->sets, right->sets, sizeof(left->sets));
}

static void add_unit(struct exact *exact, const struct cvm_units *units, size_t number)
{
    struct unit *unit = &exact->units[exact->unit_count++];
    unit->size = units != NULL ? units->first[number + 1] - units->first[number] : 1;
    unit->max = units != NULL ? units->max[number] : 1;
    for (size_t j = 0; j < unit->size; j++) {
        unit->customers[j] =
            units != NULL ? cvm_units_member(units, units->first[number] + j) : number;
    }
}

/* false when there are too many choices. */
static bool make_units(struct exact *exact, const struct cvm_solve *solve,
                       struct choice *scratch)
{
    const struct cvm_units *units = solve->everybody.units;
    size_t count = units != NULL ? units->count : solve->everybody.count;
    for (size_t u = 0; u < count; u++) {
        struct choice empty = {0};
        struct unit *unit = &exact->units[exact->unit_count];
        add_unit(exact, units, u);
        unit->choices = scratch;
        if (!list_choices(exact, unit, 0, 0, &empty)) {
            return false;
        }
        qsort(unit->choices, unit->count, sizeof(*unit->choices), compare_choices);
        unit->choices = cvm_arena_alloc_raw(solve->arena, unit->count, sizeof(struct choice));
        if (unit->choices == NULL) {
            return false; /* only an improvement is lost */
        }
        memcpy(unit->choices, scratch, unit->count * sizeof(struct choice));
    }
    for (size_t u = exact->unit_count; u-- > 0;) {
        const struct unit *unit = &exact->units[u];
        exact->scores_from[u] = exact->scores_from[u + 1] + unit->choices[0].score;
        for (size_t r = 0; r < exact->problem->row_count; r++) {
            int64_t least = unit->choices[0].uses[r];
            for (size_t k = 1; k < unit->count; k++) {
                least = unit->choices[k].uses[r] < least ? unit->choices[k].uses[r] : least;
            }
            exact->least_from[u][r] = exact->least_from[u + 1][r] + least;
        }
    }
    return true;
}

/* ---- the search ---- */

/* No plan that goes on from here is worth more. */
static double bound_of(const struct exact *exact, size_t unit, double value)
{
    double bound = value + exact->scores_from[unit];
    for (size_t r = 0; r < exact->problem->row_count; r++) {
        const struct cvm_row *row = &exact->problem->rows[r];
        bound += exact->prices[r] * cvm_row_natural(row, row->limit - exact->used[r]);
    }
    return bound;
}

static bool can_fit(const struct exact *exact, size_t unit)
{
    for (size_t r = 0; r < exact->problem->row_count; r++) {
        if (exact->used[r] + exact->least_from[unit][r] > exact->problem->rows[r].limit) {
            return false;
        }
    }
    return true;
}

static void visit(struct exact *exact, size_t at, double value)
{
    if (++exact->nodes > NODES_MAX || !can_fit(exact, at)) {
        return;
    }
    if (at == exact->unit_count) {
        if (!exact->is_found || value > exact->best) {
            exact->is_found = true;
            exact->best = value;
            memcpy(exact->best_chosen, exact->chosen, sizeof(exact->chosen));
        }
        return;
    }
    const struct unit *unit = &exact->units[at];
    for (size_t k = 0; k < unit->count; k++) {
        const struct choice *choice = &unit->choices[k];
        double score = exact->scores_from[at + 1] + choice->score;
        /* Choices come by score: the others promise less. */
        if (exact->is_found &&
            !(bound_of(exact, at, value) - exact->scores_from[at] + score > exact->best)) {
            return;
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

static double value_of_plan(const struct cvm_moves *moves)
{
    const struct cvm_problem *problem = moves->solve->problem;
    double value = 0.0;
    for (size_t i = 0; i < problem->customer_count; i++) {
        uint64_t set = cvm_plan_set(problem, moves->treatments, i);
        for (; set != 0; set &= set - 1) {
            value += cvm_problem_exact(problem, i, (size_t)__builtin_ctzll(set));
        }
    }
    return value;
}

static void store(const struct exact *exact, struct cvm_moves *moves)
{
    memset(moves->used, 0, sizeof(moves->used));
    for (size_t u = 0; u < exact->unit_count; u++) {
        const struct unit *unit = &exact->units[u];
        const struct choice *choice = &unit->choices[exact->best_chosen[u]];
        for (size_t j = 0; j < unit->size; j++) {
            cvm_plan_set_to(exact->problem, moves->treatments, unit->customers[j],
                            choice->sets[j]);
        }
        for (size_t r = 0; r < exact->problem->row_count; r++) {
            moves->used[r] += choice->uses[r];
        }
    }
}

enum cvm_status cvm_exact_run(struct cvm_moves *moves, const double *prices, struct cvm_error *err)
{
    const struct cvm_solve *solve = moves->solve;
    if (solve->everybody.count > CUSTOMERS_MAX) {
        return CVM_OK;
    }
    struct exact *exact = CVM_NEW(solve->arena, struct exact);
    struct choice *scratch = cvm_arena_alloc_raw(solve->arena, CHOICES_MAX, sizeof(*scratch));
    if (exact == NULL || scratch == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an exact search");
    }
    exact->problem = solve->problem;
    exact->tariff = &solve->tariff;
    exact->prices = prices;
    if (!make_units(exact, solve, scratch)) {
        return CVM_OK;
    }
    bool is_feasible = cvm_moves_keep_limits(moves, CVM_MOVES_LIMITS);
    exact->best = value_of_plan(moves);
    double before = exact->best;
    exact->is_found = is_feasible;
    visit(exact, 0, 0.0);
    if (exact->is_found && (!is_feasible || exact->best > before)) {
        store(exact, moves);
    }
    return CVM_OK;
}
