#include "engine/engine.h"

#include <stdlib.h>

#include "base/arena.h"
#include "engine/customer.h"
#include "engine/pending.h"
#include "storage/batches.h"
#include "storage/store_pool.h"

#define SHARDS_BYTES_MAX   ((size_t)16 << 20)
#define WRITER_CONNECTIONS 2
#define CONNECTIONS_LEAST  4
/* What a worker waits for is the end of another one's shard. */
#define SHARD_MS_MAX 3600000

/* A writer has two; the caller of the engine and its workers share the rest. */
static size_t reader_count(const struct cvm_engine *engine, size_t connections_max)
{
    size_t rest = connections_max < CONNECTIONS_LEAST ? CONNECTIONS_LEAST - WRITER_CONNECTIONS
                                                      : connections_max - WRITER_CONNECTIONS;
    bool is_enough = connections_max == 0 || rest > engine->worker_count;
    return is_enough ? engine->worker_count : rest;
}

static enum cvm_status open_readers(struct cvm_engine *engine,
                                    const struct cvm_engine_options *options, struct cvm_error *err)
{
    struct cvm_store_pool_options pool = {
        .url = options->store_url,
        .store = {.access = CVM_DB_READ,
                  .retry = options->retry,
                  .clock = options->context->clock,
                  .privacy = options->privacy,
                  .journeys_url = options->journeys_url},
        .connections_max = reader_count(engine, options->connections_max),
        .wait_ms = SHARD_MS_MAX,
        .keeps_open = options->journeys_url != NULL,
        .context = options->context,
    };
    enum cvm_status status = cvm_store_pool_create(&pool, &engine->stores, err);
    return status == CVM_OK ? cvm_store_pool_lend(engine->stores, &engine->readers[0], err)
                            : status;
}

/* What was taken back before the pinned batch is part of what it says. */
static enum cvm_status pin_batch(struct cvm_engine *engine, struct cvm_error *err)
{
    struct cvm_store *store = engine->readers[0];
    if (engine->last_batch == 0) {
        return cvm_batch_last(store, &engine->last_batch, err);
    }
    int64_t retraction = 0;
    enum cvm_status status = cvm_batch_retraction(store, engine->last_batch, &retraction, err);
    if (status == CVM_OK) {
        engine->retraction = retraction > engine->last_batch ? retraction : 0;
    }
    return status;
}

enum cvm_status cvm_engine_open(const struct cvm_engine_options *options,
                                struct cvm_engine **out_engine, struct cvm_error *err)
{
    struct cvm_engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the engine");
    }
    engine->store_url = options->store_url;
    engine->privacy = options->privacy;
    engine->journeys_url = options->journeys_url;
    engine->last_batch = options->last_batch;
    engine->catalogue = options->catalogue;
    engine->context = options->context;
    engine->chunk_size = options->chunk_size == 0 ? CVM_CHUNK_SIZE : options->chunk_size;
    enum cvm_status status = cvm_pool_create(options->thread_count, &engine->pool, err);
    if (status != CVM_OK) {
        goto fail;
    }
    engine->worker_count = cvm_pool_thread_count(engine->pool);
    engine->readers = calloc(engine->worker_count, sizeof(struct cvm_store *));
    if (engine->readers == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for the engine");
        goto fail;
    }
    status = open_readers(engine, options, err);
    if (status != CVM_OK) {
        goto fail;
    }
    status = pin_batch(engine, err);
    if (status != CVM_OK) {
        goto fail;
    }
    *out_engine = engine;
    return CVM_OK;

fail:
    cvm_engine_close(engine);
    return status;
}

void cvm_engine_close(struct cvm_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    if (engine->readers != NULL && engine->readers[0] != NULL) {
        cvm_store_pool_give_back(engine->stores, engine->readers[0], CVM_OK);
    }
    cvm_store_pool_destroy(engine->stores);
    free(engine->readers);
    cvm_customer_reader_destroy(engine->customer_reader);
    cvm_pool_destroy(engine->pool);
    free(engine);
}

enum cvm_status cvm_engine_cut(struct cvm_arena *arena, size_t count, struct cvm_shard **out_shards,
                               struct cvm_error *err)
{
    struct cvm_shard *shards = CVM_NEW_ARRAY(arena, count, struct cvm_shard);
    if (shards == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu shards", count);
    }
    uint64_t width = (uint64_t)INT64_MAX / count;
    for (size_t i = 0; i < count; i++) {
        shards[i].first_key = width * i;
        shards[i].last_key = i + 1 == count ? (uint64_t)INT64_MAX : width * (i + 1) - 1;
    }
    *out_shards = shards;
    return CVM_OK;
}

enum cvm_status cvm_engine_shards(struct cvm_engine *engine, struct cvm_arena *arena,
                                  struct cvm_shard **out_shards, size_t *out_count,
                                  struct cvm_error *err)
{
    int64_t customers = 0;
    enum cvm_status status = cvm_customer_count(engine->readers[0], &customers, err);
    if (status != CVM_OK) {
        return status;
    }
    /* Keys are hashes, so equal ranges hold about equally many customers; a few more ranges than
     * needed keep all workers busy to the end. */
    size_t count = (size_t)customers / CVM_SHARD_CUSTOMERS + 1;
    if (customers > (int64_t)engine->chunk_size && count < 4 * engine->worker_count) {
        count = 4 * engine->worker_count;
    }
    *out_count = count;
    return cvm_engine_cut(arena, count, out_shards, err);
}

struct scan_worker {
    struct cvm_feature_builder *builder;
    struct cvm_chunk *chunk;
};

struct scan_state {
    struct cvm_engine *engine;
    const struct cvm_scan_request *request;
    struct scan_worker *workers;
};

static enum cvm_status hand_over(struct scan_state *state, size_t shard, size_t worker,
                                 struct cvm_error *err)
{
    struct scan_worker *mine = &state->workers[worker];
    enum cvm_status status = cvm_context_check(state->engine->context, err);
    cvm_feature_builder_end(mine->builder);
    if (status == CVM_OK && mine->chunk->count > 0) {
        status = state->request->on_chunk(state->request->state, shard, worker, mine->chunk, err);
    }
    cvm_feature_builder_start(mine->builder, mine->chunk);
    return status;
}

static enum cvm_status end_customer(struct scan_state *state, size_t worker, uint64_t key,
                                    struct cvm_error *err)
{
    const struct cvm_engine *engine = state->engine;
    struct cvm_feature_builder *builder = state->workers[worker].builder;
    enum cvm_status status = CVM_OK;
    if (engine->pending != NULL && engine->pending->contacts.count > 0) {
        status = cvm_pending_lend(engine->pending, engine->catalogue, key, builder, err);
    }
    return status == CVM_OK ? cvm_feature_builder_customer_end(builder, err) : status;
}

/* One row of the scan: a body of the customer at hand, or the first of the next one. */
static enum cvm_status take_row(struct scan_state *state, size_t shard, size_t worker,
                                const struct cvm_packed_row *row, uint64_t *key,
                                struct cvm_error *err)
{
    struct scan_worker *mine = &state->workers[worker];
    enum cvm_status status = CVM_OK;
    if (row->key != *key) {
        if (*key != UINT64_MAX) {
            status = end_customer(state, worker, *key, err);
            if (status == CVM_OK && mine->chunk->count == mine->chunk->capacity) {
                status = hand_over(state, shard, worker, err);
            }
        }
        if (status != CVM_OK) {
            return status;
        }
        *key = row->key;
        cvm_feature_builder_customer(mine->builder, row->key);
    }
    status = cvm_feature_builder_body(mine->builder, row->period, row->body, row->length, err);
    if (status != CVM_OK) {
        return cvm_error_context(err, status, "packed journey %llu of period %d",
                                 (unsigned long long)row->key, (int)row->period);
    }
    return CVM_OK;
}

static enum cvm_status read_shard(struct scan_state *state, size_t shard, size_t worker,
                                  struct cvm_error *err)
{
    const struct cvm_scan_request *request = state->request;
    struct scan_worker *mine = &state->workers[worker];
    struct cvm_packed_range range = {
        .first_key = request->shards[shard].first_key,
        .last_key = request->shards[shard].last_key,
        .first_period = cvm_feature_first_period(request->program),
        .last_period = cvm_feature_last_period(request->program),
    };
    struct cvm_packed_scan *scan = NULL;
    struct cvm_packed_row row;
    uint64_t key = UINT64_MAX; /* keys have 63 bits */
    bool has_row = false;
    enum cvm_status status =
        cvm_packed_scan_open(state->engine->readers[worker], &range, &scan, err);
    if (status != CVM_OK) {
        return status;
    }
    cvm_feature_builder_start(mine->builder, mine->chunk);
    do {
        status = cvm_packed_scan_next(scan, &has_row, &row, err);
        if (status == CVM_OK && has_row) {
            status = take_row(state, shard, worker, &row, &key, err);
        }
    } while (status == CVM_OK && has_row);
    if (status == CVM_OK && key != UINT64_MAX) {
        status = end_customer(state, worker, key, err);
    }
    if (status == CVM_OK) {
        status = hand_over(state, shard, worker, err);
    }
    if (status == CVM_OK && request->on_shard_end != NULL) {
        status = request->on_shard_end(request->state, shard, err);
    }
    cvm_packed_scan_close(scan);
    return status;
}

static enum cvm_status scan_shard(void *state_pointer, size_t shard, size_t worker,
                                  struct cvm_error *err)
{
    struct scan_state *state = state_pointer;
    struct cvm_engine *engine = state->engine;
    bool is_lent = worker != 0;
    enum cvm_status status =
        is_lent ? cvm_store_pool_lend(engine->stores, &engine->readers[worker], err) : CVM_OK;
    if (status != CVM_OK) {
        return status;
    }
    status = read_shard(state, shard, worker, err);
    if (is_lent) {
        cvm_store_pool_give_back(engine->stores, engine->readers[worker], status);
        engine->readers[worker] = NULL;
    }
    return status;
}

static enum cvm_status scan_planned(struct cvm_engine *engine,
                                    const struct cvm_scan_request *request, struct cvm_error *err)
{
    struct scan_state state = {.engine = engine, .request = request};
    enum cvm_status status = CVM_OK;
    state.workers = calloc(engine->worker_count, sizeof(*state.workers));
    if (state.workers == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the scan");
    }
    for (size_t i = 0; status == CVM_OK && i < engine->worker_count; i++) {
        status = cvm_feature_builder_create(request->program, &state.workers[i].builder, err);
        if (status == CVM_OK) {
            status = cvm_chunk_create(engine->chunk_size, engine->catalogue->feature_count,
                                      &state.workers[i].chunk, err);
        }
    }
    if (status == CVM_OK) {
        status = cvm_pool_run(engine->pool, request->shard_count, scan_shard, &state, err);
    }
    for (size_t i = 0; i < engine->worker_count; i++) {
        cvm_feature_builder_destroy(state.workers[i].builder);
        cvm_chunk_destroy(state.workers[i].chunk);
    }
    free(state.workers);
    return status;
}

enum cvm_status cvm_engine_scan(struct cvm_engine *engine, const struct cvm_scan_request *request,
                                struct cvm_error *err)
{
    struct cvm_scan_request planned = *request;
    struct cvm_feature_program *program = NULL;
    struct cvm_arena *arena = NULL;
    struct cvm_shard *shards = NULL;
    enum cvm_status status = CVM_OK;
    if (request->program == NULL) {
        status = cvm_feature_program_create(engine->catalogue, request->window, &program, err);
        planned.program = program;
    }
    if (status == CVM_OK && request->shards == NULL) {
        arena = cvm_arena_create(SHARDS_BYTES_MAX);
        status = arena == NULL
                     ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the scan")
                     : cvm_engine_shards(engine, arena, &shards, &planned.shard_count, err);
        planned.shards = shards;
    }
    if (status == CVM_OK) {
        status = scan_planned(engine, &planned, err);
    }
    cvm_arena_destroy(arena);
    cvm_feature_program_destroy(program);
    return status;
}
