/* engine.h - the only composition: store, catalogue and threads to chunks of features, verdicts,
 * values and plans.
 *
 * Used by the run, decide, explain, triggers, agents and bench. One engine per command; its workers
 * read with connections of a pool of its own. The writer, where one is needed, is lent by the
 * caller.
 */
#ifndef CVM_ENGINE_ENGINE_H
#define CVM_ENGINE_ENGINE_H

#include "base/context.h"
#include "base/threads.h"
#include "journey/features.h"
#include "model/catalogue.h"
#include "storage/customers.h"
#include "storage/store.h"

struct cvm_cache;
struct cvm_customer_reader;
struct cvm_pending;
struct cvm_store_pool;

struct cvm_engine {
    const char *store_url;
    struct cvm_store_privacy privacy;
    const struct cvm_catalogue *catalogue; /* the version that governs */
    struct cvm_pool *pool;
    const struct cvm_context *context;
    struct cvm_store_pool *stores;
    /* One per worker: the first is the caller's for as long as the engine lives, the others are
     * lent to a worker while it scans a shard. */
    struct cvm_store **readers;
    size_t worker_count;
    size_t chunk_size;
    int64_t last_batch;       /* pinned */
    int64_t retraction;       /* later batch that takes back one of those up to it; 0 = none */
    const char *journeys_url; /* of another moment than the store's own; NULL = its own */
    /* Contacts that count besides those in the journeys: lent by whoever scans, NULL = none. */
    const struct cvm_pending *pending;
    /* For customers who are read one by one: lent like these, NULL = none. */
    struct cvm_cache *cache;
    /* Of customer.c: what is kept from one customer to the next; NULL until the first. */
    struct cvm_customer_reader *customer_reader;
};

struct cvm_engine_options {
    const char *store_url;
    struct cvm_store_privacy privacy;
    const struct cvm_catalogue *catalogue;
    const struct cvm_context *context;
    size_t thread_count; /* 0 = one per core */
    size_t chunk_size;   /* 0 = CVM_CHUNK_SIZE */
    /* To the store, at most: two are left to a writer; at least 4, 0 = thread_count + 2. */
    size_t connections_max;
    struct cvm_retry_policy retry; /* of a store that can not be reached */
    /* Pin an earlier batch, whose journeys stand elsewhere (storage/snapshot.h); 0, NULL = not. */
    int64_t last_batch;
    const char *journeys_url;
};

/* Pins the last closed batch, or the earlier one that is asked for. */
CVM_MUST_CHECK enum cvm_status cvm_engine_open(const struct cvm_engine_options *options,
                                               struct cvm_engine **out_engine,
                                               struct cvm_error *err);
void cvm_engine_close(struct cvm_engine *engine);

/* A range of customer keys, both ends included: the unit of fan-out. */
struct cvm_shard {
    uint64_t first_key;
    uint64_t last_key;
};

/* Ranges of about 64k customers each that cover all keys. */
#define CVM_SHARD_CUSTOMERS 65536
CVM_MUST_CHECK enum cvm_status cvm_engine_shards(struct cvm_engine *engine, struct cvm_arena *arena,
                                                 struct cvm_shard **out_shards, size_t *out_count,
                                                 struct cvm_error *err);
/* The same cut into so many. */
CVM_MUST_CHECK enum cvm_status cvm_engine_cut(struct cvm_arena *arena, size_t count,
                                              struct cvm_shard **out_shards, struct cvm_error *err);

/* Called with each chunk of a shard in key order; shards run on several workers at once. The chunk
 * is reused afterwards. */
typedef enum cvm_status (*cvm_chunk_fn)(void *state, size_t shard, size_t worker,
                                        const struct cvm_chunk *chunk, struct cvm_error *err);
/* Called on the worker when a shard has ended; may be NULL. */
typedef enum cvm_status (*cvm_shard_fn)(void *state, size_t shard, struct cvm_error *err);

struct cvm_scan_request {
    const struct cvm_feature_program *program; /* NULL: one for `window` and engine->catalogue */
    struct cvm_feature_window window;
    const struct cvm_shard *shards; /* NULL: the whole base */
    size_t shard_count;
    cvm_chunk_fn on_chunk;
    cvm_shard_fn on_shard_end;
    void *state;
};
/* Scan by customer key, chunk by chunk: packed journeys to features. Memory is one chunk per
 * worker. */
CVM_MUST_CHECK enum cvm_status cvm_engine_scan(struct cvm_engine *engine,
                                               const struct cvm_scan_request *request,
                                               struct cvm_error *err);

#endif
