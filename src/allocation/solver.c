#include "allocation/solver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "allocation/moves.h"
#include "allocation/narrow.h"
#include "allocation/phase_one.h"
#include "allocation/repair.h"
#include "allocation/verify.h"
#include "base/hash.h"

#define RETRY_GAP 5e-5
/* A row that has as much room has no price. */
#define ROOM_SHARE 0.01
/* With so many customers so far from a plan the repair would be long and poor. */
#define REPAIR_COUNT_MAX     16384
#define REPAIR_IMBALANCE_MAX 0.05

/* ---- one forced treatment ---- */

struct candidate {
    double value;
    uint32_t customer;
    uint64_t tie;
};

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *left = a;
    const struct candidate *right = b;
    if (left->value != right->value) {
        return left->value > right->value ? -1 : 1;
    }
    if (left->tie != right->tie) {
        return left->tie < right->tie ? -1 : 1;
    }
    return left->customer < right->customer ? -1 : left->customer > right->customer;
}

struct forced {
    const struct cvm_problem *problem;
    int64_t used[CVM_PROBLEM_ROWS_MAX];
    unsigned char *group_counts; /* NULL: no households */
};

static bool take(struct forced *forced, size_t customer, size_t treatment)
{
    const struct cvm_problem *problem = forced->problem;
    size_t customer_class = cvm_problem_class(problem, customer);
    double amount = cvm_problem_amount(problem, customer);
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        int64_t use = cvm_row_use(row, customer_class, treatment, amount);
        if (use > 0 && !cvm_row_is_minimum(row) && use > row->limit - forced->used[r]) {
            return false;
        }
    }
    for (size_t r = 0; r < problem->row_count; r++) {
        forced->used[r] += cvm_row_use(&problem->rows[r], customer_class, treatment, amount);
    }
    return true;
}

/* A household that has all it may is passed over; it ends nothing for others. */
static bool has_household_room(const struct forced *forced, size_t customer, size_t treatment)
{
    const struct cvm_problem *problem = forced->problem;
    uint32_t group = problem->groups != NULL ? problem->groups[customer] : CVM_NO_GROUP;
    if (group == CVM_NO_GROUP || (problem->group_treatments >> treatment & 1) == 0) {
        return true;
    }
    unsigned char max = problem->group_max != NULL ? problem->group_max[group] : 1;
    return forced->group_counts[group] < max;
}

/* In order of value, until the first who does not fit. */
static enum cvm_status solve_forced(const struct cvm_problem *problem, struct cvm_arena *arena,
                                    struct cvm_plan *plan, struct cvm_error *err)
{
    size_t t = (size_t)problem->forced_treatment;
    size_t per_customer = cvm_problem_per_customer(problem);
    size_t count = 0;
    struct forced forced = {
        .problem = problem,
        .group_counts = CVM_NEW_ARRAY(arena, problem->group_count + 1, unsigned char),
    };
    struct candidate *candidates =
        cvm_arena_alloc_raw(arena, problem->customer_count + 1, sizeof(*candidates));
    if (candidates == NULL || forced.group_counts == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu customers", problem->customer_count);
    }
    for (size_t i = 0; i < problem->customer_count; i++) {
        if (cvm_problem_value(problem, i, t) > CVM_PROBLEM_VALUE_MIN) {
            candidates[count++] = (struct candidate){cvm_problem_exact(problem, i, t), (uint32_t)i,
                                                     cvm_hash_mix(problem->keys[i], t)};
        }
    }
    qsort(candidates, count, sizeof(*candidates), compare_candidates);
    memset(plan->treatments, CVM_NOTHING, problem->customer_count * per_customer);
    for (size_t i = 0; i < count; i++) {
        size_t customer = candidates[i].customer;
        if (!has_household_room(&forced, customer, t)) {
            continue;
        }
        if (!take(&forced, customer, t)) {
            break;
        }
        plan->treatments[customer * per_customer] = (unsigned char)t;
        if (problem->groups != NULL && problem->groups[customer] != CVM_NO_GROUP) {
            forced.group_counts[problem->groups[customer]]++;
        }
    }
    return CVM_OK;
}

/* ---- the ordinary problem ---- */

static enum cvm_status make_choices(struct cvm_solve *solve, size_t count,
                                    struct cvm_choices *out_choices, struct cvm_error *err)
{
    *out_choices = (struct cvm_choices){0};
    if (solve->everybody.units != NULL) {
        out_choices->sets = cvm_arena_alloc_raw(solve->arena, count + 1, sizeof(uint64_t));
    } else {
        out_choices->treatments = cvm_arena_alloc_raw(solve->arena, count + 1, 1);
    }
    return out_choices->sets != NULL || out_choices->treatments != NULL
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_LIMIT, "no memory for the choices of %zu customers", count);
}

static void store_choices(const struct cvm_solve *solve, const struct cvm_choices *choices,
                          unsigned char *treatments)
{
    const struct cvm_tariff *tariff = &solve->tariff;
    unsigned char by_place[256];
    memset(by_place, CVM_NOTHING, sizeof(by_place));
    memcpy(by_place, tariff->treatments, tariff->count);
    for (size_t i = 0; choices->sets == NULL && i < solve->everybody.count; i++) {
        treatments[i] = by_place[choices->treatments[i]];
    }
    for (size_t i = 0; choices->sets != NULL && i < solve->everybody.count; i++) {
        cvm_plan_set_to(solve->problem, treatments, i, choices->sets[i]);
    }
}

/* Everybody's choice at the prices: as decided, and for the others now. */
static enum cvm_status choose_all(struct cvm_solve *solve, const struct cvm_narrowed *narrowed,
                                  const struct cvm_choices *decided, struct cvm_plan *plan,
                                  struct cvm_error *err)
{
    const struct cvm_table *last = narrowed->levels[narrowed->level_count - 1];
    struct cvm_sums sums;
    cvm_tariff_set(&solve->tariff, narrowed->prices);
    if (narrowed->level_count == 1) {
        cvm_pass_choose(solve, &solve->everybody, decided, &sums);
    }
    struct cvm_choices open;
    enum cvm_status status = CVM_OK;
    if (narrowed->level_count > 1) {
        status = make_choices(solve, last->count, &open, err);
        if (status != CVM_OK) {
            return status;
        }
        cvm_pass_choose(solve, last, &open, &sums);
        for (size_t k = 0; k < last->count; k++) {
            if (open.sets != NULL) {
                decided->sets[last->origins[k]] = open.sets[k];
            } else {
                decided->treatments[last->origins[k]] = open.treatments[k];
            }
        }
    }
    store_choices(solve, decided, plan->treatments);
    return CVM_OK;
}

/* A row with a limit of 0 forbids its pairs in the search; the bound wants a price at which nobody
 * takes them, and it costs nothing: what the best of them would bring. */
static void price_forbidden(const struct cvm_solve *solve, struct cvm_plan *plan)
{
    const struct cvm_problem *problem = solve->problem;
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        double price = 0.0;
        bool forbids = false;
        for (size_t t = 0; t < problem->treatment_count; t++) {
            for (size_t c = 0; c < solve->tariff.class_count; c++) {
                forbids = forbids || cvm_row_forbids(row, c, t);
            }
        }
        for (size_t i = 0; forbids && i < problem->customer_count; i++) {
            size_t c = cvm_problem_class(problem, i);
            for (size_t t = 0; t < problem->treatment_count; t++) {
                if (!cvm_row_forbids(row, c, t) ||
                    !(cvm_problem_value(problem, i, t) > CVM_PROBLEM_VALUE_MIN)) {
                    continue;
                }
                double use = cvm_row_natural(row, cvm_row_use(row, c, t, 0.0));
                double rest =
                    cvm_problem_exact(problem, i, t) - cvm_pair_price(problem, plan->prices, i, t);
                price = fmax(price, rest / use);
            }
        }
        if (forbids) {
            /* The last bits may be lost when the price is multiplied again. */
            plan->prices[r] += price * (1.0 + 0x1p-48);
            plan->price_low[r] = plan->price_high[r] = plan->prices[r];
            plan->is_binding[r] = plan->prices[r] > 0.0;
        }
    }
}

/* Choices at the prices found, repair, certificate. */
static enum cvm_status finish(struct cvm_solve *solve, const struct cvm_narrowed *narrowed,
                              const struct cvm_choices *decided, struct cvm_plan *plan,
                              struct cvm_error *err)
{
    enum cvm_status status = choose_all(solve, narrowed, decided, plan, err);
    memcpy(plan->prices, narrowed->prices, sizeof(plan->prices));
    if (status == CVM_OK) {
        status = cvm_repair_run(solve, narrowed, plan, err);
    }
    if (status == CVM_OK) {
        price_forbidden(solve, plan);
        plan->passes = solve->passes;
        status = cvm_plan_verify_with(solve->problem, solve->kernel, solve->pool, plan, err);
    }
    return status;
}

/* The last unit of a priced row may find no taker that fits: as much gap is nobody's fault. More
 * means that many values are equal. */
static bool is_explained(const struct cvm_problem *problem, const struct cvm_plan *plan)
{
    double rest = plan->dual_bound - plan->value;
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        double left = cvm_row_natural(row, row->limit - plan->used[r]);
        double most = 0.0;
        for (size_t t = 0; t < problem->treatment_count; t++) {
            most = fmax(most, fabs(cvm_row_natural(row, row->units[t])));
        }
        rest -= left < most ? plan->prices[r] * left : 0.0;
    }
    return rest <= RETRY_GAP * fabs(plan->dual_bound);
}

/* Once more; the better plan and the lower bound of the two may come from different prices. */
static enum cvm_status try_again(struct cvm_solve *solve, const struct cvm_retry *retry,
                                 const struct cvm_choices *choices, struct cvm_plan *plan,
                                 struct cvm_error *err)
{
    const struct cvm_problem *problem = solve->problem;
    size_t count = problem->customer_count * cvm_problem_per_customer(problem);
    struct cvm_narrowed narrowed = {0};
    struct cvm_plan *second = CVM_NEW(solve->arena, struct cvm_plan);
    unsigned char *treatments = cvm_arena_alloc_raw(solve->arena, count + 1, 1);
    if (second == NULL || treatments == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu customers", problem->customer_count);
    }
    second->treatments = treatments;
    enum cvm_status status = cvm_search_everybody(solve, retry, &narrowed, err);
    if (status == CVM_OK) {
        status = finish(solve, &narrowed, choices, second, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    bool is_first = plan->passes == 0;
    bool is_better = is_first || (second->is_feasible && !plan->is_feasible) ||
                     (second->is_feasible == plan->is_feasible && second->value > plan->value);
    if (is_better) {
        memcpy(plan->treatments, treatments, count);
    }
    if (is_first || second->dual_bound < plan->dual_bound) {
        memcpy(plan->prices, second->prices, sizeof(plan->prices));
        memcpy(plan->price_low, second->price_low, sizeof(plan->price_low));
        memcpy(plan->price_high, second->price_high, sizeof(plan->price_high));
        memcpy(plan->is_binding, second->is_binding, sizeof(plan->is_binding));
    }
    plan->passes = solve->passes;
    return cvm_plan_verify_with(problem, solve->kernel, solve->pool, plan, err);
}

/* Many values are equal: once more, with a blur. If the bound is still too high while rows have
 * room and a price, these prices are wrong: without them. */
static enum cvm_status solve_blurred(struct cvm_solve *solve, const struct cvm_choices *choices,
                                     struct cvm_plan *plan, struct cvm_error *err)
{
    const struct cvm_problem *problem = solve->problem;
    double prices[CVM_PROBLEM_ROWS_MAX] = {0};
    bool frozen[CVM_PROBLEM_ROWS_MAX] = {0};
    enum cvm_status status =
        try_again(solve, &(struct cvm_retry){.is_blurred = true}, choices, plan, err);
    if (status != CVM_OK || is_explained(problem, plan)) {
        return status;
    }
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        double room = cvm_row_natural(row, row->limit - plan->used[r]);
        frozen[r] = room > ROOM_SHARE * fabs(cvm_row_natural(row, row->limit)) + 1.0;
        prices[r] = frozen[r] ? 0.0 : plan->prices[r];
    }
    return try_again(solve, &(struct cvm_retry){.prices = prices, .frozen = frozen}, choices, plan,
                     err);
}

static enum cvm_status solve_free(struct cvm_solve *solve, const double *warm_prices,
                                  struct cvm_plan *plan, struct cvm_error *err)
{
    struct cvm_narrowed narrowed;
    struct cvm_choices choices;
    double warm[CVM_PROBLEM_ROWS_MAX] = {0};
    for (size_t r = 0; warm_prices != NULL && r < solve->problem->row_count; r++) {
        warm[r] = warm_prices[r] > 0.0 && isfinite(warm_prices[r]) ? warm_prices[r] : 0.0;
    }
    enum cvm_status status = make_choices(solve, solve->everybody.count, &choices, err);
    if (status == CVM_OK) {
        status = cvm_narrow_run(solve, warm_prices != NULL ? warm : NULL, &choices, &narrowed, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (solve->everybody.count > REPAIR_COUNT_MAX && narrowed.imbalance > REPAIR_IMBALANCE_MAX) {
        return solve_blurred(solve, &choices, plan, err);
    }
    status = finish(solve, &narrowed, &choices, plan, err);
    if (status != CVM_OK || is_explained(solve->problem, plan)) {
        return status;
    }
    enum cvm_answer answer = CVM_ANSWER_YES;
    if (!plan->is_feasible) {
        status = cvm_phase_one_ask_all(solve->problem, solve->pool, solve->context, &answer, err);
    }
    /* What no plan can keep, none that is found by another search will. */
    return status == CVM_OK && answer != CVM_ANSWER_NO ? solve_blurred(solve, &choices, plan, err)
                                                       : status;
}

enum cvm_status cvm_solve(const struct cvm_problem *problem,
                          const struct cvm_solver_options *options, struct cvm_pool *pool,
                          const struct cvm_context *context, struct cvm_plan *out_plan,
                          struct cvm_error *err)
{
    static const struct cvm_solver_options none = {0};
    const struct cvm_kernel *kernel = NULL;
    options = options != NULL ? options : &none;
    enum cvm_status status = cvm_problem_check(problem, err);
    if (status == CVM_OK) {
        status = cvm_kernel_find(options->instructions, &kernel, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_arena *arena = cvm_arena_create(SIZE_MAX);
    struct cvm_solve *solve = arena == NULL ? NULL : CVM_NEW(arena, struct cvm_solve);
    struct cvm_plan *plan = solve == NULL ? NULL : CVM_NEW(arena, struct cvm_plan);
    if (plan == NULL) {
        cvm_arena_destroy(arena);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the solver");
    }
    solve->context = context;
    solve->is_mapped = options->is_mapped;
    plan->treatments = out_plan->treatments;
    status = cvm_solve_init(solve, problem, kernel, arena, pool, err);
    if (status == CVM_OK && problem->forced_treatment < 0) {
        status = solve_free(solve, options->warm_prices, plan, err);
    } else if (status == CVM_OK) {
        status = solve_forced(problem, arena, plan, err);
        if (status == CVM_OK) {
            status = cvm_plan_verify_with(problem, kernel, pool, plan, err);
        }
    }
    if (status == CVM_OK) {
        *out_plan = *plan;
    }
    cvm_arena_destroy(arena);
    return status;
}
