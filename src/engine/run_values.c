#include <stdlib.h>

#include "engine/run_internal.h"

/* Blocks are committed together until this much is written: one sync for many shards. */
#define BLOCK_COMMIT_BYTES ((size_t)32 << 20)

struct value_worker {
    struct cvm_buffer buffer; /* the verdicts of one chunk */
    struct cvm_verdicts verdicts;
    double seconds;
};

struct value_state {
    struct cvm_run_job *job;
    struct value_worker *workers;
    struct cvm_queue *ended; /* shard numbers + 1, for the block writer; NULL in a dry run */
    struct cvm_thread *block_writer;
    atomic_size_t ended_count;
};

/* Verdicts of one chunk in one reused buffer: values, margins, churns, reasons, segments. */
static enum cvm_status worker_init(struct value_worker *worker, size_t chunk_size,
                                   size_t treatment_count, struct cvm_error *err)
{
    size_t numbers = chunk_size * (treatment_count + 2);
    size_t bytes = chunk_size * (treatment_count + 1);
    enum cvm_status status =
        cvm_buffer_reserve(&worker->buffer, numbers * sizeof(float) + bytes, err);
    if (status != CVM_OK) {
        return status;
    }
    float *values = worker->buffer.data;
    worker->verdicts.values = values;
    worker->verdicts.margins = values + chunk_size * treatment_count;
    worker->verdicts.churns = worker->verdicts.margins + chunk_size;
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

static enum cvm_status value_chunk(void *state_pointer, size_t shard, size_t worker,
                                   const struct cvm_chunk *chunk, struct cvm_error *err)
{
    struct value_state *state = state_pointer;
    struct cvm_run_memory *memory = state->job->memory;
    struct value_worker *mine = &state->workers[worker];
    const struct cvm_context *context = state->job->engine->context;
    double start = cvm_context_seconds(context);
    cvm_recommend_chunk(memory->recommender, chunk, &mine->verdicts);
    refuse_decided(memory, chunk, state->job->engine->catalogue->treatment_count, &mine->verdicts);
    enum cvm_status status =
        cvm_shard_values_add(&memory->values[shard], chunk, &mine->verdicts, err);
    mine->seconds += cvm_context_seconds(context) - start;
    return status;
}

static enum cvm_status shard_ended(void *state_pointer, size_t shard, struct cvm_error *err)
{
    struct value_state *state = state_pointer;
    const struct cvm_run_job *job = state->job;
    size_t ended = atomic_fetch_add(&state->ended_count, 1) + 1;
    if (job->request->on_progress != NULL) {
        job->request->on_progress(job->request->progress_state, "journeys and values",
                                  (double)ended / (double)job->memory->shard_count, -1);
    }
    if (state->ended != NULL && !cvm_queue_push(state->ended, (void *)(uintptr_t)(shard + 1))) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "the writer of value blocks has stopped");
    }
    return CVM_OK;
}

/* Own thread: stores the blocks of ended shards while other shards are still computed. */
static enum cvm_status write_blocks(void *state_pointer, struct cvm_error *err)
{
    struct value_state *state = state_pointer;
    const struct cvm_run_job *job = state->job;
    struct cvm_db *db = cvm_store_db(job->writer);
    struct cvm_text body;
    size_t written = 0;
    void *item = NULL;
    cvm_text_init(&body, 0);
    enum cvm_status status = cvm_db_begin(db, err);
    while (status == CVM_OK && cvm_queue_pop(state->ended, &item)) {
        size_t shard = (size_t)(uintptr_t)item - 1;
        const struct cvm_shard_values *values = &job->memory->values[shard];
        if (values->count == 0) {
            continue;
        }
        status = cvm_shard_values_encode(values, &body, err);
        if (status == CVM_OK) {
            struct cvm_value_block block = {
                .first_key = job->memory->shards[shard].first_key,
                .last_key = job->memory->shards[shard].last_key,
                .customers = (int64_t)values->count,
                .body = body.data,
                .length = body.length,
            };
            status = cvm_value_block_add(job->writer, job->result->run_id, &block, err);
        }
        written += body.length;
        if (status == CVM_OK && written > BLOCK_COMMIT_BYTES) {
            written = 0;
            status = cvm_db_commit(db, err);
            if (status == CVM_OK) {
                status = cvm_db_begin(db, err);
            }
        }
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(db);
        cvm_queue_close(state->ended); /* lets the shards stop too */
    }
    cvm_text_finish(&body);
    return status;
}

static enum cvm_status scan_everybody(struct value_state *state, struct cvm_error *err)
{
    const struct cvm_run_job *job = state->job;
    struct cvm_feature_program *program = NULL;
    struct cvm_feature_window window = {job->request->as_of_day, job->request->since_day};
    enum cvm_status status =
        cvm_feature_program_create(job->engine->catalogue, window, &program, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_scan_request scan = {
        .program = program,
        .shards = job->memory->shards,
        .shard_count = job->memory->shard_count,
        .on_chunk = value_chunk,
        .on_shard_end = shard_ended,
        .state = state,
    };
    status = cvm_engine_scan(job->engine, &scan, err);
    cvm_feature_program_destroy(program);
    return status;
}

static enum cvm_status scan_and_store(struct value_state *state, struct cvm_error *err)
{
    struct cvm_error writer_err = {0};
    if (state->job->writer == NULL) {
        return scan_everybody(state, err);
    }
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

enum cvm_status cvm_run_make_values(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_engine *engine = job->engine;
    struct value_state state = {.job = job};
    double start = cvm_context_seconds(engine->context);
    enum cvm_status status = CVM_OK;
    state.workers = calloc(engine->worker_count, sizeof(*state.workers));
    if (state.workers == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for values");
    }
    for (size_t i = 0; status == CVM_OK && i < engine->worker_count; i++) {
        status = worker_init(&state.workers[i], engine->chunk_size,
                             engine->catalogue->treatment_count, err);
    }
    if (status == CVM_OK) {
        status = scan_and_store(&state, err);
    }
    double value_seconds = 0;
    for (size_t i = 0; i < engine->worker_count; i++) {
        value_seconds += state.workers[i].seconds / (double)engine->worker_count;
        cvm_buffer_finish(&state.workers[i].buffer);
    }
    free(state.workers);
    job->result->seconds.values = value_seconds;
    job->result->seconds.features = cvm_context_seconds(engine->context) - start - value_seconds;
    return status;
}
