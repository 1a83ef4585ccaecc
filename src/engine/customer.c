#include "engine/customer.h"

static enum cvm_status copy_chunk(void *state, size_t shard, size_t worker,
                                  const struct cvm_chunk *chunk, struct cvm_error *err)
{
    struct cvm_chunk *mine = state;
    (void)shard;
    (void)worker;
    mine->count = 1;
    mine->keys[0] = chunk->keys[0];
    mine->consents[0] = chunk->consents[0];
    mine->event_counts[0] = chunk->event_counts[0];
    for (size_t f = 0; f < chunk->feature_count; f++) {
        mine->features[f * mine->capacity] = chunk->features[f * chunk->capacity];
    }
    mine->id_offsets[0] = 0;
    cvm_text_add(&mine->ids, cvm_chunk_id(chunk, 0));
    cvm_text_add_char(&mine->ids, '\0');
    return mine->ids.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a customer") : CVM_OK;
}

enum cvm_status cvm_engine_customer(struct cvm_engine *engine, uint64_t key,
                                    struct cvm_feature_window window, struct cvm_chunk **out_chunk,
                                    struct cvm_error *err)
{
    struct cvm_chunk *chunk = NULL;
    struct cvm_shard shard = {key, key};
    enum cvm_status status = cvm_chunk_create(1, engine->catalogue->feature_count, &chunk, err);
    if (status == CVM_OK) {
        struct cvm_scan_request scan = {
            .window = window,
            .shards = &shard,
            .shard_count = 1,
            .on_chunk = copy_chunk,
            .state = chunk,
        };
        status = cvm_engine_scan(engine, &scan, err);
    }
    if (status == CVM_OK && chunk->count == 0) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "the customer has no journey yet");
    }
    if (status != CVM_OK) {
        cvm_chunk_destroy(chunk);
        return status;
    }
    *out_chunk = chunk;
    return CVM_OK;
}
