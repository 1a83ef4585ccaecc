#include "allocation/solver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "allocation/repair.h"
#include "allocation/search.h"
#include "base/hash.h"

#define BLOCK     CVM_PROBLEM_BLOCK
#define RETRY_GAP 5e-5
/* With so many customers so far from a plan the repair would be long and poor. */
#define REPAIR_COUNT_MAX     16384
#define REPAIR_IMBALANCE_MAX 0.05

/* ---- one forced treatment ---- */

struct candidate {
    float value;
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

static bool take(const struct cvm_problem *problem, size_t customer, size_t treatment,
                 int64_t *used)
{
    double amount = problem->amounts != NULL ? (double)problem->amounts[customer] : 0.0;
    for (size_t r = 0; r < problem->row_count; r++) {
        int64_t use = cvm_row_use(&problem->rows[r], treatment, amount);
        if (use > problem->rows[r].limit - used[r]) {
            return false;
        }
    }
    for (size_t r = 0; r < problem->row_count; r++) {
        used[r] += cvm_row_use(&problem->rows[r], treatment, amount);
    }
    return true;
}

/* In order of value, until the first who does not fit. */
static enum cvm_status solve_forced(const struct cvm_problem *problem, struct cvm_arena *arena,
                                    struct cvm_plan *plan, struct cvm_error *err)
{
    size_t t = (size_t)problem->forced_treatment;
    int64_t used[CVM_PROBLEM_ROWS_MAX] = {0};
    size_t count = 0;
    struct candidate *candidates =
        cvm_arena_alloc_raw(arena, problem->customer_count + 1, sizeof(*candidates));
    if (candidates == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu customers", problem->customer_count);
    }
    for (size_t i = 0; i < problem->customer_count; i++) {
        float value = cvm_problem_value(problem, i, t);
        if (value > CVM_PROBLEM_VALUE_MIN) {
            candidates[count++] =
                (struct candidate){value, (uint32_t)i, cvm_hash_mix(problem->keys[i], t)};
        }
    }
    qsort(candidates, count, sizeof(*candidates), compare_candidates);
    memset(plan->treatments, CVM_NOTHING, problem->customer_count);
    for (size_t i = 0; i < count && take(problem, candidates[i].customer, t, used); i++) {
        plan->treatments[candidates[i].customer] = (unsigned char)t;
    }
    return CVM_OK;
}

/* ---- the ordinary problem ---- */

struct jitter_run {
    const struct cvm_problem *problem;
    float *jitters;
};

static void jitter_group(void *state, size_t group, size_t worker)
{
    const struct jitter_run *run = state;
    size_t count = run->problem->customer_count;
    size_t padded = (count + BLOCK - 1) / BLOCK * BLOCK;
    size_t end = (group + 1) * CVM_GROUP_SIZE;
    end = end < padded ? end : padded;
    (void)worker;
    for (size_t i = group * CVM_GROUP_SIZE; i < end; i++) {
        run->jitters[i] = i < count ? cvm_jitter(run->problem->keys[i]) : 0.0f;
    }
}

static enum cvm_status prepare(struct cvm_search *search, struct cvm_error *err)
{
    const struct cvm_problem *problem = search->problem;
    size_t padded = (problem->customer_count + BLOCK - 1) / BLOCK * BLOCK;
    float *jitters = cvm_arena_alloc_raw(search->arena, padded + BLOCK, sizeof(*jitters));
    search->scratch = cvm_pass_scratch(search->arena, problem->customer_count);
    if (jitters == NULL || search->scratch == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu customers", problem->customer_count);
    }
    struct jitter_run run = {problem, jitters};
    cvm_groups_run(search->pool, cvm_group_count(problem->customer_count), jitter_group, &run);
    search->data = (struct cvm_pass_data){problem->customer_count, problem->treatment_count,
                                          problem->values, problem->amounts, jitters};
    cvm_tariff_init(problem, &search->tariff);
    return CVM_OK;
}

/* Choices at the prices found, repair, certificate. */
static enum cvm_status finish(struct cvm_search *search, struct cvm_plan *plan,
                              struct cvm_error *err)
{
    const struct cvm_problem *problem = search->problem;
    struct cvm_pass_sums sums;
    cvm_tariff_set(problem, search->prices, &search->tariff);
    cvm_pass_run(&search->data, &search->tariff, search->pool, search->scratch, plan->treatments,
                 &sums);
    struct cvm_repair repair = {
        .problem = problem,
        .tariff = &search->tariff,
        .prices = search->prices,
        .pool = search->pool,
        .arena = search->arena,
        .context = search->context,
        .treatments = plan->treatments,
    };
    memcpy(plan->prices, search->prices, sizeof(plan->prices));
    plan->passes = search->passes;
    enum cvm_status status = cvm_repair_run(&repair, err);
    return status == CVM_OK ? cvm_plan_verify(problem, search->pool, plan, err) : status;
}

static enum cvm_status search_blurred(struct cvm_search *search, struct cvm_plan *plan,
                                      struct cvm_error *err)
{
    search->is_blurred = true;
    enum cvm_status status = cvm_search_run(search, err);
    return status == CVM_OK ? finish(search, plan, err) : status;
}

/* The last unit of a priced row may find no taker that fits: as much gap is nobody's fault. */
static bool is_explained(const struct cvm_problem *problem, const struct cvm_plan *plan)
{
    double loose = 0.0;
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        double most = 0.0;
        for (size_t t = 0; row->kind == CVM_ROW_UNITS && t < problem->treatment_count; t++) {
            most = (double)row->units[t] > most ? (double)row->units[t] : most;
        }
        loose += plan->prices[r] * most;
    }
    return plan->dual_bound - plan->value <= loose;
}

/* A gap that integers do not explain means that many values are equal: once more with a blur. The
 * better plan and the lower bound of the two may come from different prices. */
static enum cvm_status attempt_again(struct cvm_search *search, struct cvm_plan *plan,
                                     struct cvm_error *err)
{
    const struct cvm_problem *problem = search->problem;
    struct cvm_plan second = {0};
    second.treatments = cvm_arena_alloc_raw(search->arena, problem->customer_count + 1, 1);
    if (second.treatments == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu customers", problem->customer_count);
    }
    enum cvm_status status = search_blurred(search, &second, err);
    if (status != CVM_OK) {
        return status;
    }
    if (second.value > plan->value) {
        memcpy(plan->treatments, second.treatments, problem->customer_count);
    }
    if (second.dual_bound < plan->dual_bound) {
        memcpy(plan->prices, second.prices, sizeof(plan->prices));
    }
    plan->passes = second.passes;
    return cvm_plan_verify(problem, search->pool, plan, err);
}

static enum cvm_status solve_free(struct cvm_search *search, struct cvm_plan *plan,
                                  struct cvm_error *err)
{
    const struct cvm_problem *problem = search->problem;
    enum cvm_status status = prepare(search, err);
    if (status == CVM_OK) {
        status = cvm_search_run(search, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (problem->customer_count > REPAIR_COUNT_MAX && search->imbalance > REPAIR_IMBALANCE_MAX) {
        return search_blurred(search, plan, err);
    }
    status = finish(search, plan, err);
    if (status == CVM_OK && plan->gap > RETRY_GAP && !is_explained(problem, plan)) {
        status = attempt_again(search, plan, err);
    }
    return status;
}

enum cvm_status cvm_solve(const struct cvm_problem *problem,
                          const struct cvm_solver_options *options, struct cvm_pool *pool,
                          const struct cvm_context *context, struct cvm_plan *out_plan,
                          struct cvm_error *err)
{
    enum cvm_status status = cvm_problem_check(problem, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_arena *arena = cvm_arena_create(SIZE_MAX);
    struct cvm_search *search = arena == NULL ? NULL : CVM_NEW(arena, struct cvm_search);
    if (search == NULL) {
        cvm_arena_destroy(arena);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the solver");
    }
    *search = (struct cvm_search){
        .problem = problem,
        .options = options,
        .pool = pool,
        .context = context,
        .arena = arena,
    };
    struct cvm_plan plan = {.treatments = out_plan->treatments};
    if (problem->forced_treatment < 0) {
        status = solve_free(search, &plan, err);
    } else {
        status = solve_forced(problem, arena, &plan, err);
        if (status == CVM_OK) {
            status = cvm_plan_verify(problem, pool, &plan, err);
        }
    }
    cvm_arena_destroy(arena);
    if (status == CVM_OK) {
        *out_plan = plan;
    }
    return status;
}
