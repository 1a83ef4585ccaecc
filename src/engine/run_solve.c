#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/run_internal.h"

/* A hold outlives its run by this much; then anybody may expire it. */
#define HOLD_MS (INT64_C(15) * 60 * 1000)

/* What is withheld from a customer the solver does not see. */
static void mask_withheld(const struct cvm_run_memory *memory, const struct cvm_shard_values *shard,
                          size_t first)
{
    const uint64_t *withheld = (const uint64_t *)memory->withheld.data + first;
    float *matrix = memory->matrix.data;
    for (size_t i = 0; i < shard->count; i++) {
        for (uint64_t left = withheld[i]; left != 0; left &= left - 1) {
            size_t t = (size_t)__builtin_ctzll(left);
            matrix[cvm_values_at(shard->treatment_count, first + i, t)] = CVM_VALUE_INELIGIBLE;
        }
    }
}

static enum cvm_status gather_shard(void *state, size_t s, size_t worker, struct cvm_error *err)
{
    const struct cvm_run_memory *memory = state;
    const struct cvm_shard_values *shard = &memory->values[s];
    size_t first = memory->first[s];
    size_t treatment_count = shard->treatment_count;
    const float *from = shard->values.data;
    float *matrix = memory->matrix.data;
    (void)worker;
    (void)err;
    for (size_t i = 0; i < shard->count; i++) {
        for (size_t t = 0; t < treatment_count; t++) {
            matrix[cvm_values_at(treatment_count, first + i, t)] =
                from[cvm_values_at(treatment_count, i, t)];
        }
    }
    if (cvm_control_is_on(&memory->control)) {
        mask_withheld(memory, shard, first);
    }
    if (shard->count > 0) {
        memcpy((uint64_t *)memory->keys.data + first, shard->keys.data,
               shard->count * sizeof(uint64_t));
        const float *margins = shard->margins.data;
        double *amounts = (double *)memory->amounts.data + first;
        for (size_t i = 0; i < shard->count; i++) {
            amounts[i] = (double)margins[i];
        }
    }
    const uint64_t *groups = shard->groups.data;
    for (size_t i = 0; shard->has_groups && i < shard->count; i++) {
        ((uint16_t *)memory->classes.data)[first + i] =
            (uint16_t)cvm_group_class(&memory->group_classes, groups[i]);
    }
    return CVM_OK;
}

/* Which combinations of groups there are. */
static enum cvm_status find_classes(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    enum cvm_status status = CVM_OK;
    for (size_t s = 0; status == CVM_OK && s < memory->shard_count; s++) {
        const struct cvm_shard_values *shard = &memory->values[s];
        if (shard->has_groups) {
            status = cvm_group_classes_add(&memory->group_classes, shard->groups.data, shard->count,
                                           err);
        }
    }
    return status;
}

/* Where each shard's customers begin. */
static enum cvm_status count_customers(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    memory->first = CVM_NEW_ARRAY(job->arena, memory->shard_count + 1, size_t);
    if (memory->first == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu shards", memory->shard_count);
    }
    for (size_t s = 0; s < memory->shard_count; s++) {
        memory->first[s + 1] = memory->first[s] + memory->values[s].count;
    }
    memory->customer_count = memory->first[memory->shard_count];
    return CVM_OK;
}

/* One contiguous problem from the shards, each of which ends in a padded block. */
static enum cvm_status gather(struct cvm_run_job *job, size_t treatment_count,
                              struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    size_t count = memory->customer_count;
    size_t padded = (count + 15) / 16 * 16 + 16;
    size_t matrix_bytes = padded * treatment_count * sizeof(float);
    memory->is_spilled =
        job->request->matrix_bytes_max > 0 && matrix_bytes > job->request->matrix_bytes_max;
    if (memory->is_spilled) {
        enum cvm_status status =
            cvm_buffer_map_file(&memory->matrix, matrix_bytes, job->request->spill_folder, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    struct {
        struct cvm_buffer *buffer;
        size_t bytes;
    } columns[] = {
        {&memory->matrix, matrix_bytes},
        {&memory->keys, padded * sizeof(uint64_t)},
        {&memory->amounts, padded * sizeof(double)},
        {&memory->plan, padded},
        {&memory->classes, job->catalogue->group_count > 0 ? padded * sizeof(uint16_t) : 0},
    };
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        enum cvm_status status = cvm_buffer_reserve(columns[i].buffer, columns[i].bytes, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    float *matrix = memory->matrix.data;
    for (size_t i = count; i < (count + 15) / 16 * 16; i++) {
        for (size_t t = 0; t < treatment_count; t++) {
            matrix[cvm_values_at(treatment_count, i, t)] = CVM_VALUE_INELIGIBLE;
        }
    }
    enum cvm_status status = find_classes(job, err);
    return status == CVM_OK
               ? cvm_pool_run(job->engine->pool, memory->shard_count, gather_shard, memory, err)
               : status;
}

/* ---- rows ---- */

/* What the run may have of a constraint of the ledger; granted goes into the result. */
static enum cvm_status find_available(struct cvm_run_job *job, size_t c, int64_t *out_available,
                                      struct cvm_error *err)
{
    const struct cvm_constraint *constraint = &job->catalogue->constraints[c];
    struct cvm_ledger_row row;
    *out_available = constraint->limit;
    if (job->request->is_dry) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_ledger_row(job->writer, constraint, job->request->as_of_day,
                                            job->result->run_id, &row, err);
    if (status != CVM_OK) {
        return status;
    }
    job->result->limits[c] = row.granted;
    int64_t left = row.granted - row.held - row.confirmed -
                   (int64_t)((double)row.granted * job->request->realtime_share);
    *out_available = left > 0 ? left : 0;
    return CVM_OK;
}

/* A minimum or a share is of everybody: a run for some, or for who is left of the day, can not keep
 * it. */
static bool is_for_everybody(const struct cvm_run_job *job)
{
    return job->request->customers == NULL && job->trigger == CVM_INDEX_NONE &&
           job->request->forced_treatment == CVM_INDEX_NONE && job->memory->live_keys.count == 0;
}

static bool holds(const struct cvm_run_job *job, const struct cvm_constraint *group)
{
    bool is_limit =
        group->kind == CVM_CONSTRAINT_SEGMENT_MAX || group->kind == CVM_CONSTRAINT_RESERVE;
    return is_limit || is_for_everybody(job);
}

/* A reserve leaves the others what the capacity has beyond it. */
static int64_t limit_of_group(const struct cvm_run_job *job, const struct cvm_constraint *group)
{
    const struct cvm_run_rows *rows = &job->memory->rows;
    if (group->kind != CVM_CONSTRAINT_RESERVE) {
        return group->limit;
    }
    int capacity =
        cvm_catalogue_capacity(job->catalogue, (size_t)__builtin_ctzll(group->treatments));
    for (size_t r = 0; r < rows->ledger_count; r++) {
        if (rows->constraint[r] == capacity) {
            int64_t left = rows->rows[r].limit - group->limit;
            return left > 0 ? left : 0;
        }
    }
    return 0;
}

static enum cvm_status make_group_rows(struct cvm_run_job *job, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->catalogue;
    struct cvm_run_memory *memory = job->memory;
    struct cvm_run_rows *rows = &memory->rows;
    for (size_t g = 0; g < catalogue->group_count; g++) {
        size_t c = catalogue->constraint_count + g;
        const struct cvm_constraint *group = &catalogue->constraints[c];
        job->result->prices[c] = NAN;
        job->result->limits[c] = group->limit;
        if (!holds(job, group)) {
            continue;
        }
        unsigned char *inside =
            CVM_NEW_ARRAY(job->arena, memory->group_classes.count + 1, unsigned char);
        if (inside == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for groups of customers");
        }
        cvm_group_inside(&memory->group_classes, g, inside);
        cvm_usage_row(catalogue, c, limit_of_group(job, group), inside, &rows->rows[rows->count]);
        rows->constraint[rows->count++] = (int)c;
    }
    return CVM_OK;
}

/* Every limited constraint becomes a row with what the ledger still has for its period; there are
 * no more of them than the solver takes. */
static enum cvm_status make_rows(struct cvm_run_job *job, struct cvm_error *err)
{
    _Static_assert(CVM_CONSTRAINTS_MAX <= CVM_PROBLEM_ROWS_MAX, "a row for each constraint");
    const struct cvm_catalogue *catalogue = job->catalogue;
    struct cvm_run_rows *rows = &job->memory->rows;
    enum cvm_status status = CVM_OK;
    rows->count = 0;
    for (size_t c = 0; status == CVM_OK && c < catalogue->constraint_count; c++) {
        int64_t available = 0;
        job->result->prices[c] = NAN;
        job->result->limits[c] = catalogue->constraints[c].limit;
        if (catalogue->constraints[c].limit < 0) {
            continue;
        }
        status = find_available(job, c, &available, err);
        cvm_usage_row(catalogue, c, available, NULL, &rows->rows[rows->count]);
        rows->constraint[rows->count++] = (int)c;
    }
    rows->ledger_count = rows->count;
    return status == CVM_OK ? make_group_rows(job, err) : status;
}

/* Hold all that the solve may use, so that nobody else spends it meanwhile. */
static enum cvm_status hold(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_ledger_amount amounts[CVM_PROBLEM_ROWS_MAX];
    const struct cvm_run_rows *rows = &job->memory->rows;
    for (size_t r = 0; r < rows->ledger_count; r++) {
        amounts[r] = (struct cvm_ledger_amount){rows->constraint[r], rows->rows[r].limit};
    }
    struct cvm_ledger_holder holder = {
        .holder = job->result->run_id,
        .epoch = job->epoch,
        .expires_at_ms = cvm_context_now_ms(job->engine->context) + HOLD_MS,
    };
    return cvm_ledger_hold(job->writer, job->catalogue, job->request->as_of_day, &holder, amounts,
                           rows->ledger_count, err);
}

static enum cvm_status rows_and_hold(struct cvm_run_job *job, struct cvm_error *err)
{
    if (job->request->is_dry) {
        return make_rows(job, err);
    }
    struct cvm_db *db = cvm_store_db(job->writer);
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_run_fence(job->writer, job->result->run_id, job->epoch, err);
    }
    if (status == CVM_OK) {
        status = make_rows(job, err);
    }
    if (status == CVM_OK) {
        status = hold(job, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(db);
    }
    return status;
}

/* ---- the solve ---- */

/* From the values of the scan to columns and rows. */
static enum cvm_status make_problem(struct cvm_run_job *job, struct cvm_error *err)
{
    enum cvm_status status = count_customers(job, err);
    if (status == CVM_OK) {
        status = cvm_run_withhold(job, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_number_households(job, err);
    }
    if (status == CVM_OK) {
        status = gather(job, job->catalogue->treatment_count, err);
    }
    return status == CVM_OK ? rows_and_hold(job, err) : status;
}

enum cvm_status cvm_run_allocate(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    const struct cvm_catalogue *catalogue = job->catalogue;
    int64_t priorities[CVM_TREATMENTS_MAX];
    int64_t costs[CVM_TREATMENTS_MAX];
    double start = cvm_context_seconds(job->engine->context);
    enum cvm_status status = make_problem(job, err);
    if (status != CVM_OK) {
        return status;
    }
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        priorities[t] = catalogue->treatments[t].priority;
        costs[t] = catalogue->treatments[t].cost_micro;
    }
    struct cvm_problem problem = {
        .customer_count = memory->customer_count,
        .treatment_count = catalogue->treatment_count,
        .values = memory->matrix.data,
        .keys = memory->keys.data,
        .amounts = memory->amounts.data,
        .classes = catalogue->group_count > 0 ? memory->classes.data : NULL,
        .class_count = memory->group_classes.count,
        .priorities = priorities,
        .tie_cost_micro = costs,
        .rows = memory->rows.rows,
        .row_count = memory->rows.count,
        .forced_treatment = job->request->forced_treatment,
    };
    if (memory->household_count > 0) {
        problem.groups = memory->members_of.data;
        problem.group_count = memory->household_count;
        problem.group_max = memory->allowances.data;
        problem.group_treatments =
            cvm_household_governed(catalogue, &catalogue->policy.household[0]);
    }
    memory->solved.treatments = memory->plan.data;
    status = cvm_run_find_conflicts(job, &problem, false, err);
    if (status == CVM_OK) {
        struct cvm_solver_options options = {.is_mapped = memory->is_spilled};
        status = cvm_solve(&problem, &options, job->engine->pool, job->engine->context,
                           &memory->solved, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_find_conflicts(job, &problem, true, err);
    }
    if (status != CVM_OK) {
        return cvm_error_context(err, status, "allocate");
    }
    cvm_run_limits_take(&problem, memory->rows.constraint, &memory->solved, job->result);
    cvm_run_tell_households(job);
    job->result->seconds.allocation = cvm_context_seconds(job->engine->context) - start;
    return CVM_OK;
}
