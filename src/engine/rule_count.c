#include "engine/rule_count.h"

#include <math.h>

#define SHARDS_BYTES_MAX ((size_t)256 << 20)

struct counting {
    const struct cvm_rule *rule;
    int32_t today;
    struct cvm_rule_count *shards;
};

static int64_t ones(const unsigned char *mask, size_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += mask[i];
    }
    return sum;
}

static void add_masks(const struct cvm_rule *rule, const struct cvm_rule_rows *rows, size_t count,
                      struct cvm_rule_count *found)
{
    unsigned char mask[CVM_RULE_ROWS_MAX];
    for (size_t c = 0; c < rule->clause_count; c++) {
        cvm_rule_part_mask(&rule->clauses[c].whole, rows, count, mask);
        found->clause_holds[c] += ones(mask, count);
    }
    cvm_rule_mask(rule, rows, count, mask);
    found->holds += ones(mask, count);
}

static void add_values(const struct cvm_rule *rule, const struct cvm_rule_rows *rows, size_t count,
                       struct cvm_rule_count *found)
{
    double values[CVM_RULE_ROWS_MAX];
    cvm_rule_values(rule, rows, count, values);
    for (size_t i = 0; i < count; i++) {
        if (isnan(values[i])) {
            continue;
        }
        found->least = found->holds == 0 ? values[i] : fmin(found->least, values[i]);
        found->greatest = found->holds == 0 ? values[i] : fmax(found->greatest, values[i]);
        found->sum += values[i];
        found->holds++;
    }
}

static enum cvm_status count_chunk(void *state, size_t shard, size_t worker,
                                   const struct cvm_chunk *chunk, struct cvm_error *err)
{
    const struct counting *counting = state;
    struct cvm_rule_count *found = &counting->shards[shard];
    (void)worker;
    (void)err;
    found->customers += (int64_t)chunk->count;
    for (size_t from = 0; from < chunk->count; from += CVM_RULE_ROWS_MAX) {
        size_t left = chunk->count - from;
        size_t count = left < CVM_RULE_ROWS_MAX ? left : CVM_RULE_ROWS_MAX;
        const struct cvm_rule_rows rows = {.values = chunk->features,
                                           .stride = chunk->capacity,
                                           .from = from,
                                           .today = counting->today};
        if (counting->rule->type == CVM_RULE_BOOL) {
            add_masks(counting->rule, &rows, count, found);
        } else {
            add_values(counting->rule, &rows, count, found);
        }
    }
    return CVM_OK;
}

static void merge(const struct cvm_rule_count *from, struct cvm_rule_count *to)
{
    if (from->holds > 0) {
        to->least = to->holds == 0 ? from->least : fmin(to->least, from->least);
        to->greatest = to->holds == 0 ? from->greatest : fmax(to->greatest, from->greatest);
    }
    to->customers += from->customers;
    to->holds += from->holds;
    to->sum += from->sum;
    for (size_t c = 0; c < CVM_RULE_CLAUSES_MAX; c++) {
        to->clause_holds[c] += from->clause_holds[c];
    }
}

static enum cvm_status scan(struct cvm_engine *engine, const struct cvm_scan_request *shards,
                            struct counting *counting, struct cvm_error *err)
{
    struct cvm_feature_set needed = {{0}};
    struct cvm_scan_request request = *shards;
    cvm_feature_set_add_rule(&needed, engine->catalogue, counting->rule);
    request.window = (struct cvm_feature_window){counting->today, CVM_DAY_NONE, &needed};
    request.on_chunk = count_chunk;
    request.state = counting;
    return cvm_engine_scan(engine, &request, err);
}

enum cvm_status cvm_rule_count(struct cvm_engine *engine, const struct cvm_catalogue *catalogue,
                               const struct cvm_rule *rule, int32_t as_of_day,
                               struct cvm_rule_count *out_count, struct cvm_error *err)
{
    struct cvm_engine wider = *engine; /* the same readers and threads, the rule's own features */
    struct counting counting = {.rule = rule, .today = as_of_day};
    struct cvm_rule_count total = {0};
    struct cvm_shard *shards = NULL;
    size_t count = 0;
    struct cvm_arena *arena = cvm_arena_create(SHARDS_BYTES_MAX);
    enum cvm_status status = arena == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to count")
                                           : cvm_engine_shards(engine, arena, &shards, &count, err);
    if (status == CVM_OK) {
        counting.shards = CVM_NEW_ARRAY(arena, count + 1, struct cvm_rule_count);
        status =
            counting.shards == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to count") : CVM_OK;
    }
    wider.catalogue = catalogue;
    if (status == CVM_OK) {
        const struct cvm_scan_request request = {.shards = shards, .shard_count = count};
        status = scan(&wider, &request, &counting, err);
    }
    for (size_t s = 0; status == CVM_OK && s < count; s++) {
        merge(&counting.shards[s], &total);
    }
    if (status == CVM_OK) {
        *out_count = total;
    }
    cvm_arena_destroy(arena);
    return status;
}
