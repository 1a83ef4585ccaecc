/* The problem that a finished run solved, from the columns that it left behind. */
#include <math.h>
#include <stdlib.h>

#include "engine/control.h"
#include "engine/household.h"
#include "engine/report_internal.h"
#include "engine/usage.h"
#include "engine/values.h"
#include "storage/control_store.h"

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

static void withhold_all(struct cvm_report_base *base, const struct cvm_control_groups *groups,
                         enum cvm_report_ghosts ghosts)
{
    size_t treatment_count = groups->catalogue->treatment_count;
    const unsigned char *flags = base->flags.data;
    const uint64_t *keys = base->keys.data;
    struct cvm_control_walk walk = cvm_control_walk_members(groups);
    for (size_t i = 0; i < base->count; i++) {
        bool is_member = cvm_control_walk_has(&walk, keys[i]);
        bool is_idle =
            ghosts == CVM_REPORT_GHOSTS_GET_NOTHING && (flags[i] & CVM_REPORT_GHOST) != 0;
        withhold(base, treatment_count, i,
                 is_idle ? UINT64_MAX : cvm_control_withheld(groups, is_member, keys[i]));
    }
}

enum cvm_status cvm_report_control_load(struct cvm_store *store, struct cvm_arena *arena,
                                        const struct cvm_run_result *summary,
                                        struct cvm_control_groups *out_groups,
                                        struct cvm_error *err)
{
    struct cvm_column members;
    struct cvm_control_options options = {0};
    cvm_column_init(&members, sizeof(uint64_t));
    enum cvm_status status = cvm_customer_count(store, &options.customers, err);
    /* A run that met no member was before the enrolment, or of others. */
    if (status == CVM_OK && summary->control_members > 0) {
        status = cvm_control_members(store, &members, err);
    }
    options.is_enrolled = members.count > 0;
    if (status == CVM_OK) {
        status = cvm_control_groups_init(out_groups, summary->catalogue, &options, arena, err);
    }
    if (status == CVM_OK) {
        cvm_column_finish(&out_groups->members);
        out_groups->members = members;
        return CVM_OK;
    }
    cvm_column_finish(&members);
    return status;
}

/* ---- groups ---- */

static enum cvm_status make_classes(struct cvm_report_job *job, struct cvm_report_problem *problem,
                                    struct cvm_error *err)
{
    const struct cvm_report_base *base = &job->base;
    const uint64_t *groups = base->groups.data;
    size_t group_count = job->now->catalogue->group_count;
    if (group_count == 0) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_group_classes_add(&problem->classes, groups, base->count, err);
    uint16_t *classes = cvm_arena_alloc_raw(job->arena, base->count + 1, sizeof(uint16_t));
    problem->inside =
        CVM_NEW_ARRAY(job->arena, group_count * (problem->classes.count + 1), unsigned char);
    if (status != CVM_OK || classes == NULL || problem->inside == NULL) {
        return status != CVM_OK ? status
                                : CVM_FAIL(err, CVM_E_LIMIT, "no memory for groups of customers");
    }
    for (size_t i = 0; i < base->count; i++) {
        classes[i] = (uint16_t)cvm_group_class(&problem->classes, groups[i]);
    }
    for (size_t g = 0; g < group_count; g++) {
        cvm_group_inside(&problem->classes, g, problem->inside + g * problem->classes.count);
    }
    problem->of.classes = classes;
    problem->of.class_count = problem->classes.count;
    return CVM_OK;
}

/* ---- households ---- */

static enum cvm_status make_households(struct cvm_report_job *job, struct cvm_problem *problem,
                                       struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->now->catalogue;
    const uint32_t *households = job->base.households.data;
    const unsigned char *allowances = job->base.allowances.data;
    size_t count = 0;
    for (size_t i = 0; i < job->base.count; i++) {
        if (households[i] != CVM_NO_GROUP && households[i] >= count) {
            count = (size_t)households[i] + 1;
        }
    }
    if (!job->base.keeps_households || count == 0) {
        return CVM_OK;
    }
    if (count > job->base.count || catalogue->policy.household_count == 0) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "a stored block of values names household %zu",
                        count - 1);
    }
    unsigned char *max = cvm_arena_alloc(job->arena, count, 1);
    if (max == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu households", count);
    }
    for (size_t i = 0; i < job->base.count; i++) {
        if (households[i] != CVM_NO_GROUP) {
            max[households[i]] = allowances[i];
        }
    }
    problem->groups = households;
    problem->group_count = count;
    problem->group_max = max;
    problem->group_treatments = cvm_household_governed(catalogue, &catalogue->policy.household[0]);
    return CVM_OK;
}

/* ---- the problem ---- */

enum cvm_status cvm_report_problem_make(struct cvm_report_job *job, enum cvm_report_ghosts ghosts,
                                        struct cvm_report_problem *out_problem,
                                        struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->now->catalogue;
    struct cvm_control_groups control = {0};
    struct cvm_row *rows = CVM_NEW_ARRAY(job->arena, CVM_PROBLEM_ROWS_MAX, struct cvm_row);
    int64_t *ties = CVM_NEW_ARRAY(job->arena, 2 * CVM_TREATMENTS_MAX, int64_t);
    if (rows == NULL || ties == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the problem of a run");
    }
    enum cvm_status status =
        cvm_report_control_load(job->store, job->arena, &job->now->summary, &control, err);
    if (status != CVM_OK) {
        return status;
    }
    withhold_all(&job->base, &control, ghosts);
    cvm_control_groups_finish(&control);
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        ties[t] = catalogue->treatments[t].priority;
        ties[CVM_TREATMENTS_MAX + t] = catalogue->treatments[t].cost_micro;
    }
    out_problem->rows = rows;
    out_problem->of = (struct cvm_problem){
        .customer_count = job->base.count,
        .treatment_count = catalogue->treatment_count,
        .values = job->base.matrix.data,
        .keys = job->base.keys.data,
        .amounts = job->base.margins.data,
        .priorities = ties,
        .tie_cost_micro = ties + CVM_TREATMENTS_MAX,
        .rows = rows,
        .forced_treatment = CVM_INDEX_NONE,
    };
    status = make_classes(job, out_problem, err);
    return status == CVM_OK ? make_households(job, &out_problem->of, err) : status;
}

void cvm_report_problem_finish(struct cvm_report_problem *problem)
{
    cvm_group_classes_finish(&problem->classes);
}

/* ---- rows ---- */

static int64_t available_of(const struct cvm_report_side *side, size_t c)
{
    const struct cvm_run_limit *solved = &side->summary.solved[c];
    if (solved->is_solved) {
        return llabs(solved->available); /* a minimum's is negative */
    }
    bool is_known = c < side->catalogue->constraint_count && side->summary.limits[c] >= 0;
    return is_known ? side->summary.remaining[c] + llrint(side->used[c]) : CVM_REPORT_NO_ROW;
}

void cvm_report_available(const struct cvm_report_side *side, int64_t *out_available)
{
    const struct cvm_catalogue *catalogue = side->catalogue;
    for (size_t c = 0; c < catalogue->constraint_count + catalogue->group_count; c++) {
        out_available[c] = available_of(side, c);
    }
}

void cvm_report_problem_limit(struct cvm_report_problem *problem,
                              const struct cvm_catalogue *catalogue, const int64_t *available)
{
    size_t count = 0;
    for (size_t c = 0; c < catalogue->constraint_count + catalogue->group_count; c++) {
        if (available[c] == CVM_REPORT_NO_ROW) {
            continue;
        }
        const unsigned char *inside =
            c < catalogue->constraint_count
                ? NULL
                : problem->inside + (c - catalogue->constraint_count) * problem->classes.count;
        cvm_usage_row(catalogue, c, available[c], inside, &problem->rows[count]);
        problem->constraint[count++] = (int)c;
    }
    problem->of.row_count = count;
}
