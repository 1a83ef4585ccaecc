#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/run_internal.h"

/* A hold outlives its run by this much; then anybody may expire it. */
#define HOLD_MS (INT64_C(15) * 60 * 1000)

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
    if (shard->count > 0) {
        memcpy((uint64_t *)memory->keys.data + first, shard->keys.data,
               shard->count * sizeof(uint64_t));
        const float *margins = shard->margins.data;
        double *amounts = (double *)memory->amounts.data + first;
        for (size_t i = 0; i < shard->count; i++) {
            amounts[i] = (double)margins[i];
        }
    }
    return CVM_OK;
}

/* One contiguous problem from the shards, each of which ends in a padded block. */
static enum cvm_status gather(struct cvm_run_job *job, size_t treatment_count,
                              struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    memory->first = CVM_NEW_ARRAY(job->arena, memory->shard_count + 1, size_t);
    if (memory->first == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu shards", memory->shard_count);
    }
    for (size_t s = 0; s < memory->shard_count; s++) {
        memory->first[s + 1] = memory->first[s] + memory->values[s].count;
    }
    size_t count = memory->first[memory->shard_count];
    memory->customer_count = count;
    size_t padded = (count + 15) / 16 * 16 + 16;
    struct {
        struct cvm_buffer *buffer;
        size_t bytes;
    } columns[] = {
        {&memory->matrix, padded * treatment_count * sizeof(float)},
        {&memory->keys, padded * sizeof(uint64_t)},
        {&memory->amounts, padded * sizeof(double)},
        {&memory->plan, padded},
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
    return cvm_pool_run(job->engine->pool, memory->shard_count, gather_shard, memory, err);
}

/* Every limited constraint becomes a row with what the ledger still has for its period. */
static enum cvm_status make_rows(struct cvm_run_job *job, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->catalogue;
    struct cvm_run_rows *rows = &job->memory->rows;
    rows->count = 0;
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        const struct cvm_constraint *constraint = &catalogue->constraints[c];
        int64_t available = constraint->limit;
        job->result->prices[c] = NAN;
        job->result->limits[c] = constraint->limit;
        if (constraint->limit < 0) {
            continue;
        }
        if (job->writer != NULL) {
            struct cvm_ledger_row row;
            enum cvm_status status = cvm_ledger_row(
                job->writer, constraint, job->request->as_of_day, job->result->run_id, &row, err);
            if (status != CVM_OK) {
                return status;
            }
            job->result->limits[c] = row.granted;
            available = row.granted - row.held - row.confirmed -
                        (int64_t)((double)row.granted * job->request->realtime_share);
        }
        if (rows->count == CVM_PROBLEM_ROWS_MAX) {
            return CVM_FAIL(err, CVM_E_LIMIT, "more than %d constraints", CVM_PROBLEM_ROWS_MAX);
        }
        cvm_usage_row(catalogue, c, available > 0 ? available : 0, &rows->rows[rows->count]);
        rows->constraint[rows->count] = (int)c;
        rows->count++;
    }
    return CVM_OK;
}

/* Hold all that the solve may use, so that nobody else spends it meanwhile. */
static enum cvm_status hold(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_ledger_amount amounts[CVM_PROBLEM_ROWS_MAX];
    const struct cvm_run_rows *rows = &job->memory->rows;
    for (size_t r = 0; r < rows->count; r++) {
        amounts[r] = (struct cvm_ledger_amount){rows->constraint[r], rows->rows[r].limit};
    }
    struct cvm_ledger_holder holder = {
        .holder = job->result->run_id,
        .epoch = job->epoch,
        .expires_at_ms = cvm_context_now_ms(job->engine->context) + HOLD_MS,
    };
    return cvm_ledger_hold(job->writer, job->catalogue, job->request->as_of_day, &holder, amounts,
                           rows->count, err);
}

static enum cvm_status rows_and_hold(struct cvm_run_job *job, struct cvm_error *err)
{
    if (job->writer == NULL) {
        return make_rows(job, err);
    }
    struct cvm_db *db = cvm_store_db(job->writer);
    enum cvm_status status = cvm_db_begin(db, err);
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

/* Solve, and meanwhile store the blocks that could not be stored during the scan. */
static enum cvm_status solve(struct cvm_run_job *job, const struct cvm_problem *problem,
                             struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    struct cvm_thread *blocks = NULL;
    struct cvm_error blocks_err = {0};
    enum cvm_status status = CVM_OK;
    if (job->writer != NULL && memory->households != NULL) {
        status = cvm_thread_start(cvm_run_write_blocks, job, &blocks, err);
    }
    if (status == CVM_OK) {
        status = cvm_solve(problem, &(struct cvm_solver_options){0}, job->engine->pool,
                           job->engine->context, &memory->solved, err);
        status = status == CVM_OK ? CVM_OK : cvm_error_context(err, status, "allocate");
    }
    enum cvm_status blocks_status = cvm_thread_join(blocks, &blocks_err);
    if (status == CVM_OK && blocks_status != CVM_OK) {
        status = blocks_status;
        if (err != NULL) {
            *err = blocks_err;
        }
    }
    return status;
}

enum cvm_status cvm_run_allocate(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    const struct cvm_catalogue *catalogue = job->catalogue;
    int64_t priorities[CVM_TREATMENTS_MAX];
    int64_t costs[CVM_TREATMENTS_MAX];
    double start = cvm_context_seconds(job->engine->context);
    enum cvm_status status = gather(job, catalogue->treatment_count, err);
    if (status == CVM_OK) {
        status = cvm_run_withhold(job, err);
    }
    if (status == CVM_OK) {
        status = rows_and_hold(job, err);
    }
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
        .priorities = priorities,
        .tie_cost_micro = costs,
        .rows = memory->rows.rows,
        .row_count = memory->rows.count,
        .forced_treatment = job->request->forced_treatment,
    };
    memory->solved.treatments = memory->plan.data;
    status = solve(job, &problem, err);
    if (status != CVM_OK) {
        return status;
    }
    for (size_t r = 0; r < memory->rows.count; r++) {
        int constraint = memory->rows.constraint[r];
        job->result->prices[constraint] = memory->solved.prices[r];
        job->result->remaining[constraint] = memory->rows.rows[r].limit - memory->solved.used[r];
    }
    job->result->value = memory->solved.value;
    job->result->dual_bound = memory->solved.dual_bound;
    job->result->gap = memory->solved.gap;
    job->result->seconds.allocation = cvm_context_seconds(job->engine->context) - start;
    return CVM_OK;
}
