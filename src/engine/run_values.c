#include <stdlib.h>

#include "engine/needed.h"
#include "engine/run_scan.h"

/* Blocks are committed together until this much is written: one sync for many shards. */
#define BLOCK_COMMIT_BYTES ((size_t)32 << 20)

struct value_worker {
    struct cvm_buffer buffer; /* the verdicts of one chunk */
    struct cvm_verdicts verdicts;
    double seconds;
};

struct value_state {
    struct cvm_run_job *job;
    struct cvm_run_scan scan;
    struct value_worker *workers;
    struct cvm_queue *ended; /* shard numbers + 1, for the block writer; NULL: none is written */
    struct cvm_thread *block_writer;
};

/* Verdicts of one chunk in one reused buffer: facts, values, margins, churns, tirings, reasons,
 * segments. */
static enum cvm_status worker_init(struct value_worker *worker, size_t chunk_size,
                                   size_t treatment_count, struct cvm_error *err)
{
    size_t numbers = chunk_size * (treatment_count + 3);
    size_t bytes = chunk_size * (treatment_count + 1);
    size_t facts = chunk_size * sizeof(struct cvm_contact_facts);
    enum cvm_status status =
        cvm_buffer_reserve(&worker->buffer, facts + numbers * sizeof(float) + bytes, err);
    if (status != CVM_OK) {
        return status;
    }
    worker->verdicts.facts = worker->buffer.data;
    float *values = (float *)(void *)(worker->verdicts.facts + chunk_size);
    worker->verdicts.values = values;
    worker->verdicts.margins = values + chunk_size * treatment_count;
    worker->verdicts.churns = worker->verdicts.margins + chunk_size;
    worker->verdicts.tirings = worker->verdicts.churns + chunk_size;
    worker->verdicts.reasons = (unsigned char *)(values + numbers);
    worker->verdicts.segments = worker->verdicts.reasons + chunk_size * treatment_count;
    worker->verdicts.stride = chunk_size;
    return CVM_OK;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void refuse_decided(const struct cvm_run_memory *memory, const struct cvm_chunk *chunk,
                           size_t treatment_count, const struct cvm_verdicts *verdicts)
{
    const struct cvm_column *live = &memory->live_keys;
    for (size_t i = 0; live->count > 0 && i < chunk->count; i++) {
        if (bsearch(&chunk->keys[i], live->buffer.data, live->count, sizeof(uint64_t),
                    compare_keys) == NULL) {
            continue;
        }
        for (size_t t = 0; t < treatment_count; t++) {
            verdicts->values[t * verdicts->stride + i] = CVM_VALUE_INELIGIBLE;
            verdicts->reasons[t * verdicts->stride + i] = CVM_REASON_ALREADY_DECIDED;
        }
    }
}

static void refuse_unselected(const struct cvm_run_job *job, const struct cvm_chunk *chunk,
                              const struct cvm_verdicts *verdicts)
{
    const struct cvm_rule *when = &job->catalogue->triggers[job->trigger].when;
    unsigned char mask[CVM_RULE_ROWS_MAX];
    struct cvm_rule_rows rows = {
        .values = chunk->features, .stride = chunk->capacity, .today = job->request->as_of_day};
    for (rows.from = 0; rows.from < chunk->count; rows.from += CVM_RULE_ROWS_MAX) {
        size_t left = chunk->count - rows.from;
        size_t count = left < CVM_RULE_ROWS_MAX ? left : CVM_RULE_ROWS_MAX;
        cvm_rule_mask(when, &rows, count, mask);
        for (size_t i = 0; i < count; i++) {
            for (size_t t = 0; mask[i] == 0 && t < job->catalogue->treatment_count; t++) {
                size_t at = t * verdicts->stride + rows.from + i;
                verdicts->values[at] = CVM_VALUE_INELIGIBLE;
                verdicts->reasons[at] = CVM_REASON_NOT_SELECTED;
            }
        }
    }
}

/* What is known of the chunk besides its values, for the steps after the scan. */
static enum cvm_status keep_more(const struct value_state *state, size_t shard, size_t worker,
                                 const struct cvm_chunk *chunk, struct cvm_error *err)
{
    const struct cvm_run_job *job = state->job;
    struct cvm_shard_values *values = &state->scan.values[shard];
    size_t first = values->count - chunk->count;
    if (values->has_groups) {
        cvm_groups_of(
            job->catalogue,
            &(struct cvm_groups_strip){chunk, 0, chunk->count,
                                       (const unsigned char *)values->segments.data + first,
                                       job->request->as_of_day},
            (uint64_t *)values->groups.data + first);
    }
    if (job->memory->enrolment.is_on) {
        cvm_control_strata_of(job->catalogue, chunk,
                              (const unsigned char *)values->segments.data + first,
                              (uint16_t *)values->strata.data + first);
    }
    return state->scan.households == NULL
               ? CVM_OK
               : cvm_household_add(&state->scan.households[worker], job->catalogue, chunk,
                                   state->scan.first_shard + shard, first, err);
}

static enum cvm_status value_chunk(void *state_pointer, size_t shard, size_t worker,
                                   const struct cvm_chunk *chunk, struct cvm_error *err)
{
    struct value_state *state = state_pointer;
    const struct cvm_run_job *job = state->job;
    struct value_worker *mine = &state->workers[worker];
    const struct cvm_context *context = job->engine->context;
    double start = cvm_context_seconds(context);
    cvm_recommend_chunk(job->memory->recommender, chunk, &mine->verdicts);
    refuse_decided(job->memory, chunk, job->catalogue->treatment_count, &mine->verdicts);
    if (job->trigger != CVM_INDEX_NONE) {
        refuse_unselected(job, chunk, &mine->verdicts);
    }
    enum cvm_status status =
        cvm_shard_values_add(&state->scan.values[shard], chunk, &mine->verdicts, err);
    if (status == CVM_OK) {
        status = keep_more(state, shard, worker, chunk, err);
    }
    mine->seconds += cvm_context_seconds(context) - start;
    return status;
}

static enum cvm_status shard_ended(void *state_pointer, size_t shard, struct cvm_error *err)
{
    struct value_state *state = state_pointer;
    const struct cvm_run_job *job = state->job;
    size_t ended = atomic_fetch_add(&job->memory->shards_ended, 1) + 1;
    if (job->request->on_progress != NULL) {
        job->request->on_progress(job->request->progress_state, "journeys and values",
                                  (double)ended / (double)job->memory->shard_count, -1);
    }
    if (state->ended != NULL && !cvm_queue_push(state->ended, (void *)(uintptr_t)(shard + 1))) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "the writer of value blocks has stopped");
    }
    return CVM_OK;
}

/* ---- blocks ---- */

struct block_writing {
    const struct cvm_run_job *job;
    struct cvm_text body;
    size_t written; /* since the last commit */
};

static enum cvm_status begin_blocks(const struct cvm_run_job *job, struct cvm_error *err)
{
    enum cvm_status status = cvm_db_begin(cvm_store_db(job->writer), err);
    return status == CVM_OK ? cvm_run_fence(job->writer, job->result->run_id, job->epoch, err)
                            : status;
}

static enum cvm_status write_block(struct block_writing *writing, size_t shard,
                                   struct cvm_error *err)
{
    const struct cvm_run_job *job = writing->job;
    const struct cvm_shard_values *values = &job->memory->values[shard];
    struct cvm_db *db = cvm_store_db(job->writer);
    if (values->count == 0) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_shard_values_encode(values, &writing->body, err);
    if (status == CVM_OK) {
        struct cvm_value_block block = {
            .first_key = job->memory->shards[shard].first_key,
            .last_key = job->memory->shards[shard].last_key,
            .customers = (int64_t)values->count,
            .body = writing->body.data,
            .length = writing->body.length,
        };
        status = cvm_value_block_add(job->writer, job->result->run_id, &block, err);
    }
    writing->written += writing->body.length;
    if (status == CVM_OK && writing->written > BLOCK_COMMIT_BYTES) {
        writing->written = 0;
        status = cvm_db_commit(db, err);
        if (status == CVM_OK) {
            status = begin_blocks(job, err);
        }
    }
    return status;
}

static enum cvm_status end_blocks(struct block_writing *writing, enum cvm_status status,
                                  struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(writing->job->writer);
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(db);
    }
    cvm_text_finish(&writing->body);
    return status;
}

/* Own thread: stores the blocks of ended shards while other shards are still computed. */
static enum cvm_status write_blocks(void *state_pointer, struct cvm_error *err)
{
    struct value_state *state = state_pointer;
    struct block_writing writing = {.job = state->job};
    void *item = NULL;
    cvm_text_init(&writing.body, 0);
    enum cvm_status status = begin_blocks(state->job, err);
    while (status == CVM_OK && cvm_queue_pop(state->ended, &item)) {
        status = write_block(&writing, (size_t)(uintptr_t)item - 1, err);
    }
    status = end_blocks(&writing, status, err);
    if (status != CVM_OK) {
        cvm_queue_close(state->ended); /* lets the shards stop too */
    }
    return status;
}

enum cvm_status cvm_run_write_blocks(void *job_pointer, struct cvm_error *err)
{
    struct cvm_run_job *job = job_pointer;
    struct block_writing writing = {.job = job};
    cvm_text_init(&writing.body, 0);
    enum cvm_status status = begin_blocks(job, err);
    for (size_t s = 0; status == CVM_OK && s < job->memory->shard_count; s++) {
        status = write_block(&writing, s, err);
    }
    return end_blocks(&writing, status, err);
}

/* ---- the scan ---- */

/* The words of a result file need more; they come with its own scan. */
static void list_needed(const struct cvm_run_job *job, struct cvm_feature_set *needed)
{
    const struct cvm_catalogue *catalogue = job->catalogue;
    const struct cvm_contact_policy *policy = &catalogue->policy;
    cvm_needed_for_values(catalogue, needed);
    for (size_t i = 0; i < catalogue->control.strata_count; i++) {
        cvm_feature_set_add(needed, catalogue, (size_t)catalogue->control.strata[i]);
    }
    if (cvm_household_is_on(catalogue)) {
        cvm_feature_set_add(needed, catalogue, (size_t)policy->household_feature);
        for (size_t l = 0; l < policy->household_count; l++) {
            cvm_feature_set_add(needed, catalogue, (size_t)policy->household[l].count_feature);
        }
    }
    if (job->trigger != CVM_INDEX_NONE) {
        cvm_feature_set_add_rule(needed, catalogue, &catalogue->triggers[job->trigger].when);
    }
}

static enum cvm_status scan_everybody(struct value_state *state, struct cvm_error *err)
{
    const struct cvm_run_job *job = state->job;
    struct cvm_feature_program *program = NULL;
    struct cvm_feature_set needed = {0};
    struct cvm_feature_window window = {job->request->as_of_day, job->request->since_day, &needed};
    list_needed(job, &needed);
    enum cvm_status status =
        cvm_feature_program_create(job->engine->catalogue, window, &program, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_scan_request scan = {
        .program = program,
        .shards = job->memory->shards + state->scan.first_shard,
        .shard_count = state->scan.shard_count,
        .on_chunk = value_chunk,
        .on_shard_end = shard_ended,
        .state = state,
    };
    status = cvm_engine_scan(state->scan.engine, &scan, err);
    cvm_feature_program_destroy(program);
    return status;
}

static enum cvm_status scan_and_store(struct value_state *state, struct cvm_error *err)
{
    struct cvm_error writer_err = {0};
    state->ended = cvm_queue_create(state->job->memory->shard_count + 1);
    if (state->ended == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the queue of shards");
    }
    enum cvm_status status = cvm_thread_start(write_blocks, state, &state->block_writer, err);
    if (status == CVM_OK) {
        status = scan_everybody(state, err);
        cvm_queue_close(state->ended);
        enum cvm_status writer_status = cvm_thread_join(state->block_writer, &writer_err);
        if (writer_status != CVM_OK) { /* the cause; what the scan says then only follows from it */
            status = writer_status;
            if (err != NULL) {
                *err = writer_err;
            }
        }
    }
    cvm_queue_destroy(state->ended);
    return status;
}

static enum cvm_status make_values(struct value_state *state, bool is_stored,
                                   struct cvm_run_seconds *seconds, struct cvm_error *err)
{
    struct cvm_run_job *job = state->job;
    struct cvm_engine *engine = state->scan.engine;
    const struct cvm_pending *lent = engine->pending;
    double start = cvm_context_seconds(engine->context);
    double value_seconds = 0;
    state->workers = calloc(engine->worker_count, sizeof(*state->workers));
    if (state->workers == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for values");
    }
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < engine->worker_count; i++) {
        status = worker_init(&state->workers[i], engine->chunk_size,
                             engine->catalogue->treatment_count, err);
    }
    engine->pending = &job->memory->pending;
    if (status == CVM_OK) {
        status = is_stored ? scan_and_store(state, err) : scan_everybody(state, err);
    }
    engine->pending = lent;
    for (size_t i = 1;
         status == CVM_OK && state->scan.households != NULL && i < engine->worker_count; i++) {
        status = cvm_household_join(&state->scan.households[0], &state->scan.households[i], err);
    }
    for (size_t i = 0; i < engine->worker_count; i++) {
        value_seconds += state->workers[i].seconds / (double)engine->worker_count;
        cvm_buffer_finish(&state->workers[i].buffer);
    }
    free(state->workers);
    seconds->values += value_seconds;
    seconds->features += cvm_context_seconds(engine->context) - start - value_seconds;
    return status;
}

enum cvm_status cvm_run_make_values(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    struct cvm_run_seconds seconds = {0};
    bool is_stored = !job->request->is_dry && memory->households == NULL;
    struct value_state state = {
        .job = job,
        .scan = {.engine = job->engine,
                 .shard_count = memory->shard_count,
                 .values = memory->values,
                 .households = memory->households},
    };
    job->has_unwritten_blocks = !job->request->is_dry && !is_stored;
    enum cvm_status status = make_values(&state, is_stored, &seconds, err);
    job->result->seconds.features = seconds.features;
    job->result->seconds.values = seconds.values;
    return status;
}

enum cvm_status cvm_run_scan_shards(struct cvm_run_job *job, const struct cvm_run_scan *scan,
                                    struct cvm_run_seconds *seconds, struct cvm_error *err)
{
    struct value_state state = {.job = job, .scan = *scan};
    return make_values(&state, false, seconds, err);
}
