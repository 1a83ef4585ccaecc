/* Whom a trigger finds: its rule over chunks of only the features that it needs. */
#include "engine/trigger.h"

#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "engine/trigger_internal.h"

#define SCRATCH_BYTES_MAX ((size_t)256 << 20)
#define PRIVATE_BYTES_MAX ((size_t)16 << 20)

struct shard_found {
    struct cvm_column keys; /* uint64_t, ascending: the first of them */
    int64_t matches;
    int64_t wanted; /* behind after_key */
    int64_t customers;
};

struct search {
    const struct cvm_rule *when;
    int32_t today;
    size_t keys_max;
    uint64_t after_key;
    struct shard_found *shards;
};

static enum cvm_status keep_key(const struct search *search, struct shard_found *found,
                                uint64_t key, struct cvm_error *err)
{
    void *room = NULL;
    found->matches++;
    found->wanted += key > search->after_key;
    if (key <= search->after_key || found->keys.count == search->keys_max) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_column_extend(&found->keys, 1, &room, err);
    if (status == CVM_OK) {
        *(uint64_t *)room = key;
    }
    return status;
}

static enum cvm_status search_chunk(void *state, size_t shard, size_t worker,
                                    const struct cvm_chunk *chunk, struct cvm_error *err)
{
    const struct search *search = state;
    struct shard_found *found = &search->shards[shard];
    unsigned char mask[CVM_RULE_ROWS_MAX];
    enum cvm_status status = CVM_OK;
    (void)worker;
    found->customers += (int64_t)chunk->count;
    for (size_t from = 0; from < chunk->count && status == CVM_OK; from += CVM_RULE_ROWS_MAX) {
        size_t left = chunk->count - from;
        size_t count = left < CVM_RULE_ROWS_MAX ? left : CVM_RULE_ROWS_MAX;
        const struct cvm_rule_rows rows = {.values = chunk->features,
                                           .stride = chunk->capacity,
                                           .from = from,
                                           .today = search->today};
        cvm_rule_mask(search->when, &rows, count, mask);
        for (size_t i = 0; i < count && status == CVM_OK; i++) {
            if (mask[i] != 0) {
                status = keep_key(search, found, chunk->keys[from + i], err);
            }
        }
    }
    return status;
}

/* ---- whom to look at ---- */

static int compare_shards(const void *a, const void *b)
{
    const struct cvm_shard *x = a;
    const struct cvm_shard *y = b;
    return x->first_key < y->first_key ? -1 : x->first_key > y->first_key;
}

/* Each customer asked for as a range of its own; those that nobody knows match nothing. */
static enum cvm_status shards_of_customers(struct cvm_engine *engine,
                                           const struct cvm_trigger_request *request,
                                           struct cvm_arena *arena, struct cvm_shard **out_shards,
                                           size_t *out_count, struct cvm_error *err)
{
    struct cvm_shard *shards = CVM_NEW_ARRAY(arena, request->customer_count + 1, struct cvm_shard);
    size_t count = 0;
    if (shards == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu customers", request->customer_count);
    }
    for (size_t i = 0; i < request->customer_count; i++) {
        struct cvm_error ignored;
        uint64_t key = 0;
        enum cvm_status status =
            cvm_customer_find(engine->readers[0], request->customers[i], &key, &ignored);
        if (status != CVM_OK && status != CVM_E_NOT_FOUND) {
            return cvm_customer_find(engine->readers[0], request->customers[i], &key, err);
        }
        if (status == CVM_OK) {
            shards[count++] = (struct cvm_shard){key, key};
        }
    }
    qsort(shards, count, sizeof(shards[0]), compare_shards);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || shards[kept - 1].first_key != shards[i].first_key) {
            shards[kept++] = shards[i];
        }
    }
    *out_shards = shards;
    *out_count = kept;
    return CVM_OK;
}

static enum cvm_status scan(struct cvm_engine *engine, const struct cvm_trigger_request *request,
                            const struct cvm_feature_set *needed, struct search *search,
                            const struct cvm_shard *shards, size_t shard_count,
                            struct cvm_error *err)
{
    const struct cvm_scan_request scan_request = {
        .window = {request->as_of_day, CVM_DAY_NONE, needed},
        .shards = shards,
        .shard_count = shard_count,
        .on_chunk = search_chunk,
        .state = search,
    };
    return cvm_engine_scan(engine, &scan_request, err);
}

/* ---- matches ---- */

static enum cvm_status explain(struct cvm_engine *engine, const struct cvm_trigger_request *request,
                               const struct cvm_feature_set *needed, struct cvm_arena *arena,
                               struct cvm_trigger_result *result, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    struct trigger_evidence state = {
        .engine = engine,
        .trigger = &engine->catalogue->triggers[request->trigger],
        .as_of_day = request->as_of_day,
        .needed = *needed,
        .arena = arena,
        .scratch = cvm_arena_create(SCRATCH_BYTES_MAX),
        .reader = cvm_json_reader_create(PRIVATE_BYTES_MAX),
    };
    if (state.scratch == NULL || state.reader == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for the evidence");
    }
    for (size_t i = 0; i < result->count && status == CVM_OK; i++) {
        status = cvm_context_check(engine->context, err);
        if (status == CVM_OK) {
            cvm_arena_reset(state.scratch);
            status = cvm_trigger_explain(&state, &result->matches[i], err);
        }
    }
    cvm_json_reader_destroy(state.reader);
    cvm_arena_destroy(state.scratch);
    return status;
}

/* Shards are ranges in ascending order, and so are the keys of each. */
static enum cvm_status gather(const struct search *search, size_t shard_count,
                              struct cvm_arena *arena, struct cvm_trigger_result *out_result,
                              struct cvm_error *err)
{
    struct cvm_trigger_result result = {0};
    size_t kept = 0;
    for (size_t s = 0; s < shard_count; s++) {
        result.total_matches += search->shards[s].matches;
        result.remaining += search->shards[s].wanted;
        result.customers += search->shards[s].customers;
        kept += search->shards[s].keys.count;
    }
    kept = kept < search->keys_max ? kept : search->keys_max;
    result.matches = CVM_NEW_ARRAY(arena, kept + 1, struct cvm_trigger_match);
    if (result.matches == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu matches", kept);
    }
    for (size_t s = 0; s < shard_count; s++) {
        const struct cvm_column *keys = &search->shards[s].keys;
        for (size_t i = 0; i < keys->count && result.count < kept; i++) {
            result.matches[result.count++].key = CVM_COLUMN_DATA(keys, uint64_t)[i];
        }
    }
    result.remaining -= (int64_t)result.count;
    *out_result = result;
    return CVM_OK;
}

enum cvm_status cvm_trigger_match(struct cvm_engine *engine,
                                  const struct cvm_trigger_request *request,
                                  struct cvm_arena *arena, struct cvm_trigger_result *out_result,
                                  struct cvm_error *err)
{
    const struct cvm_trigger *trigger = &engine->catalogue->triggers[request->trigger];
    struct cvm_feature_set needed = {{0}};
    struct cvm_trigger_result result = {0};
    struct search search = {
        .when = &trigger->when,
        .today = request->as_of_day,
        .keys_max = request->evidence_max,
        .after_key = request->after_key,
    };
    struct cvm_shard *shards = NULL;
    size_t shard_count = 0;
    enum cvm_status status =
        request->customers == NULL
            ? cvm_engine_shards(engine, arena, &shards, &shard_count, err)
            : shards_of_customers(engine, request, arena, &shards, &shard_count, err);
    if (status != CVM_OK) {
        return status;
    }
    search.shards = CVM_NEW_ARRAY(arena, shard_count + 1, struct shard_found);
    if (search.shards == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu shards", shard_count);
    }
    for (size_t s = 0; s < shard_count; s++) {
        cvm_column_init(&search.shards[s].keys, sizeof(uint64_t));
    }
    cvm_feature_set_add_rule(&needed, engine->catalogue, &trigger->when);
    status = scan(engine, request, &needed, &search, shards, shard_count, err);
    if (status == CVM_OK) {
        status = gather(&search, shard_count, arena, &result, err);
    }
    for (size_t s = 0; s < shard_count; s++) {
        cvm_column_finish(&search.shards[s].keys);
    }
    if (status == CVM_OK) {
        status = explain(engine, request, &needed, arena, &result, err);
    }
    if (status == CVM_OK) {
        *out_result = result;
    }
    return status;
}
