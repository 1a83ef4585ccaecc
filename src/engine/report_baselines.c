/* What simpler rules would have made of the problem that the run solved: the same customers, values
 * and limits. */
#include <stdlib.h>

#include "allocation/greedy.h"
#include "engine/report_internal.h"

/* Besides the columns: an order, and the heap of the best pairs. */
#define BYTES_PER_CUSTOMER ((size_t)64)

struct ranked {
    float churn;
    uint32_t customer;
};

static int compare_churn(const void *a, const void *b)
{
    const struct ranked *left = a;
    const struct ranked *right = b;
    if (left->churn != right->churn) {
        return left->churn > right->churn ? -1 : 1;
    }
    return (left->customer > right->customer) - (left->customer < right->customer);
}

static const uint32_t *churn_first(const struct cvm_report_base *base, struct cvm_arena *arena)
{
    struct ranked *ranked = cvm_arena_alloc_raw(arena, base->count + 1, sizeof(*ranked));
    uint32_t *order = cvm_arena_alloc_raw(arena, base->count + 1, sizeof(*order));
    const float *churns = base->churns.data;
    if (ranked == NULL || order == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < base->count; i++) {
        ranked[i] = (struct ranked){churns[i], (uint32_t)i};
    }
    qsort(ranked, base->count, sizeof(*ranked), compare_churn);
    for (size_t i = 0; i < base->count; i++) {
        order[i] = ranked[i].customer;
    }
    return order;
}

static enum cvm_status solve_all(struct cvm_report_job *job, const struct cvm_problem *problem,
                                 struct cvm_arena *arena, struct cvm_error *err)
{
    struct cvm_report *report = job->report;
    struct cvm_greedy found[3];
    const uint32_t *order = churn_first(&job->base, arena);
    if (order == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to compare the plan with simpler rules");
    }
    enum cvm_status status = cvm_greedy_by_value(problem, arena, NULL, &found[0], err);
    if (status != CVM_OK) {
        return status;
    }
    cvm_greedy_in_order(problem, order, NULL, &found[1]);
    cvm_greedy_in_order(problem, NULL, NULL, &found[2]);
    static const char *const names[][2] = {
        {"plan", "The plan"},
        {"best_value_first", "Best value first"},
        {"churn_first", "Likeliest to leave first"},
        {"first_come", "First come, first served"},
    };
    for (size_t i = 0; i < 4; i++) {
        report->baselines[i] = (struct cvm_report_baseline){
            .name = names[i][0],
            .display_name = names[i][1],
            .value = i == 0 ? report->total.value : found[i - 1].value,
            .treated = i == 0 ? report->total.treated : found[i - 1].treated,
        };
    }
    report->baseline_count = 4;
    return CVM_OK;
}

enum cvm_status cvm_report_baselines_make(struct cvm_report_job *job, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->now->catalogue;
    struct cvm_report_problem problem = {.rows = NULL};
    int64_t available[CVM_CONSTRAINTS_MAX];
    if (!job->now->has_values || job->report->is_forced) {
        return CVM_OK;
    }
    struct cvm_arena *arena =
        cvm_arena_create(((size_t)1 << 20) + job->base.count * BYTES_PER_CUSTOMER);
    if (arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to compare the plan with simpler rules");
    }
    enum cvm_status status =
        cvm_report_problem_make(job, CVM_REPORT_GHOSTS_GET_NOTHING, &problem, err);
    if (status == CVM_OK) {
        cvm_report_available(job->now, available);
        /* Simpler rules know nothing of groups. */
        for (size_t g = 0; g < catalogue->group_count; g++) {
            available[catalogue->constraint_count + g] = CVM_REPORT_NO_ROW;
        }
        cvm_report_problem_limit(&problem, catalogue, available);
        status = solve_all(job, &problem.of, arena, err);
    }
    cvm_report_problem_finish(&problem);
    cvm_arena_destroy(arena);
    return status;
}
