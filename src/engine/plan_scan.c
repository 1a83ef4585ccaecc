#include "engine/plan_scan.h"

#include <stdlib.h>

struct scan_job {
    struct cvm_engine *engine;
    const struct cvm_plan_scan *scan;
    size_t first_shard;  /* of the engine's scan at work */
    uint64_t *next_keys; /* per shard: the first key that no chunk has covered yet */
};

/* The decisions in a range of keys, beside the chunk that covers it. */
struct range {
    const struct cvm_plan_scan *scan;
    struct cvm_plan_place place;
};

static enum cvm_status hand_over(void *state, const struct cvm_decision *decision,
                                 struct cvm_error *err)
{
    struct range *range = state;
    const struct cvm_chunk *chunk = range->place.chunk;
    struct cvm_plan_place place = range->place;
    while (chunk != NULL && range->place.at < chunk->count &&
           chunk->keys[range->place.at] < decision->customer_key) {
        range->place.at++;
    }
    place.at = range->place.at;
    if (chunk != NULL &&
        (place.at == chunk->count || chunk->keys[place.at] != decision->customer_key)) {
        place.chunk = NULL;
    }
    return range->scan->on_decision(range->scan->state, decision, &place, err);
}

static enum cvm_status scan_chunk(void *state, size_t shard, size_t worker,
                                  const struct cvm_chunk *chunk, struct cvm_error *err)
{
    struct scan_job *job = state;
    struct range range = {job->scan, {.chunk = chunk, .worker = worker}};
    uint64_t last = chunk->keys[chunk->count - 1];
    uint64_t keys[2] = {job->next_keys[job->first_shard + shard], last};
    if (job->scan->on_chunk != NULL) {
        job->scan->on_chunk(job->scan->state, worker, chunk);
    }
    job->next_keys[job->first_shard + shard] = last + 1; /* keys have 63 bits */
    return cvm_decision_scan_range(job->engine->readers[worker], job->scan->run_id, keys, hand_over,
                                   &range, err);
}

/* Behind the last chunk of a shard there may be decisions of customers without a journey. */
static enum cvm_status scan_rest(struct scan_job *job, size_t first, size_t count,
                                 struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t s = first; status == CVM_OK && s < first + count; s++) {
        struct range range = {job->scan, {0}};
        uint64_t keys[2] = {job->next_keys[s], job->scan->shards[s].last_key};
        if (keys[0] <= keys[1]) {
            status = cvm_decision_scan_range(job->engine->readers[0], job->scan->run_id, keys,
                                             hand_over, &range, err);
        }
    }
    return status;
}

static enum cvm_status scan_shards(struct scan_job *job, size_t first, size_t count,
                                   struct cvm_error *err)
{
    struct cvm_scan_request request = {
        .program = job->scan->program,
        .shards = job->scan->shards + first,
        .shard_count = count,
        .on_chunk = scan_chunk,
        .state = job,
    };
    enum cvm_status status = CVM_OK;
    job->first_shard = first;
    if (job->scan->program != NULL) {
        status = cvm_engine_scan(job->engine, &request, err);
    }
    return status == CVM_OK ? scan_rest(job, first, count, err) : status;
}

enum cvm_status cvm_plan_scan(struct cvm_engine *engine, const struct cvm_plan_scan *scan,
                              struct cvm_error *err)
{
    struct scan_job job = {.engine = engine, .scan = scan};
    size_t step = scan->is_ordered ? 1 : scan->shard_count;
    enum cvm_status status = CVM_OK;
    job.next_keys = calloc(scan->shard_count + 1, sizeof(*job.next_keys));
    if (job.next_keys == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the scan of a plan");
    }
    for (size_t s = 0; s < scan->shard_count; s++) {
        job.next_keys[s] = scan->shards[s].first_key;
    }
    for (size_t s = 0; status == CVM_OK && s < scan->shard_count; s += step) {
        status = scan_shards(&job, s, step, err);
    }
    free(job.next_keys);
    return status;
}
