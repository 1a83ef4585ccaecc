/* What simpler rules would have made of the problem that the run solved: the same customers, values
 * and limits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "allocation/greedy.h"
#include "engine/control.h"
#include "engine/report_internal.h"
#include "engine/usage.h"
#include "engine/values.h"
#include "storage/control_store.h"

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

/* What the ledger had for the run: what it used and what it left. */
static size_t make_rows(const struct cvm_report_side *side, struct cvm_row *rows)
{
    const struct cvm_catalogue *catalogue = side->catalogue;
    size_t count = 0;
    for (size_t c = 0; c < catalogue->constraint_count && count < CVM_PROBLEM_ROWS_MAX; c++) {
        if (side->summary.limits[c] < 0) {
            continue;
        }
        cvm_usage_row(catalogue, c, side->summary.remaining[c] + llrint(side->used[c]), NULL,
                      &rows[count++]);
    }
    return count;
}

static void withhold(struct cvm_report_base *base, size_t treatment_count, size_t customer,
                     uint64_t treatments)
{
    float *matrix = base->matrix.data;
    for (size_t t = 0; t < treatment_count; t++) {
        if ((treatments >> t & 1) != 0) {
            matrix[cvm_values_at(treatment_count, customer, t)] = CVM_VALUE_INELIGIBLE;
        }
    }
}

static void withhold_all(struct cvm_report_base *base, const struct cvm_control_groups *groups)
{
    size_t treatment_count = groups->catalogue->treatment_count;
    const unsigned char *flags = base->flags.data;
    const uint64_t *keys = base->keys.data;
    const uint64_t *members = groups->members.buffer.data;
    size_t at = 0;
    for (size_t i = 0; i < base->count; i++) {
        while (at < groups->members.count && members[at] < keys[i]) {
            at++;
        }
        bool is_member = at < groups->members.count && members[at] == keys[i];
        withhold(base, treatment_count, i,
                 (flags[i] & CVM_REPORT_GHOST) != 0
                     ? UINT64_MAX
                     : cvm_control_withheld(groups, is_member, keys[i]));
    }
}

/* Control groups get no more under a simpler rule than they did. */
static enum cvm_status keep_controls(struct cvm_report_job *job, struct cvm_error *err)
{
    struct cvm_control_groups groups = {0};
    struct cvm_column members;
    struct cvm_control_options options = {0};
    cvm_column_init(&members, sizeof(uint64_t));
    enum cvm_status status = cvm_customer_count(job->store, &options.customers, err);
    if (status == CVM_OK) {
        status = cvm_control_members(job->store, &members, err);
    }
    options.is_enrolled = members.count > 0;
    if (status == CVM_OK) {
        status = cvm_control_groups_init(&groups, job->now->catalogue, &options, job->arena, err);
    }
    if (status == CVM_OK) {
        cvm_column_finish(&groups.members);
        groups.members = members;
        members = (struct cvm_column){.count = 0};
        withhold_all(&job->base, &groups);
        cvm_control_groups_finish(&groups);
    }
    cvm_column_finish(&members);
    return status;
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
    int64_t priorities[CVM_TREATMENTS_MAX];
    int64_t costs[CVM_TREATMENTS_MAX];
    if (!job->now->has_values || job->report->is_forced) {
        return CVM_OK;
    }
    struct cvm_row *rows = CVM_NEW_ARRAY(job->arena, CVM_PROBLEM_ROWS_MAX, struct cvm_row);
    struct cvm_arena *arena =
        cvm_arena_create(((size_t)1 << 20) + job->base.count * BYTES_PER_CUSTOMER);
    enum cvm_status status = CVM_OK;
    if (rows == NULL || arena == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory to compare the plan with simpler rules");
        goto out;
    }
    status = keep_controls(job, err);
    if (status != CVM_OK) {
        goto out;
    }
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        priorities[t] = catalogue->treatments[t].priority;
        costs[t] = catalogue->treatments[t].cost_micro;
    }
    struct cvm_problem problem = {
        .customer_count = job->base.count,
        .treatment_count = catalogue->treatment_count,
        .values = job->base.matrix.data,
        .keys = job->base.keys.data,
        .amounts = job->base.margins.data,
        .priorities = priorities,
        .tie_cost_micro = costs,
        .rows = rows,
        .row_count = make_rows(job->now, rows),
        .forced_treatment = CVM_INDEX_NONE,
    };
    status = solve_all(job, &problem, arena, err);

out:
    cvm_arena_destroy(arena);
    return status;
}
