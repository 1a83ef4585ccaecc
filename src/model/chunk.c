#include "model/chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum cvm_status cvm_chunk_create(size_t capacity, size_t feature_count,
                                 struct cvm_chunk **out_chunk, struct cvm_error *err)
{
    assert(capacity > 0 && capacity <= CVM_CHUNK_SIZE_MAX);
    struct cvm_chunk *chunk = calloc(1, sizeof(*chunk));
    if (chunk == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a chunk");
    }
    chunk->capacity = capacity;
    chunk->feature_count = feature_count;
    cvm_text_init(&chunk->ids, 0);
    chunk->keys = calloc(capacity, sizeof(*chunk->keys));
    chunk->consents = calloc(capacity, sizeof(*chunk->consents));
    chunk->event_counts = calloc(capacity, sizeof(*chunk->event_counts));
    chunk->id_offsets = calloc(capacity, sizeof(*chunk->id_offsets));
    chunk->features = calloc(capacity * (feature_count + 1), sizeof(*chunk->features));
    if (chunk->keys == NULL || chunk->consents == NULL || chunk->event_counts == NULL ||
        chunk->id_offsets == NULL || chunk->features == NULL) {
        cvm_chunk_destroy(chunk);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a chunk of %zu customers", capacity);
    }
    *out_chunk = chunk;
    return CVM_OK;
}

void cvm_chunk_destroy(struct cvm_chunk *chunk)
{
    if (chunk == NULL) {
        return;
    }
    cvm_text_finish(&chunk->ids);
    free(chunk->keys);
    free(chunk->consents);
    free(chunk->event_counts);
    free(chunk->id_offsets);
    free(chunk->features);
    free(chunk);
}

void cvm_chunk_clear(struct cvm_chunk *chunk)
{
    chunk->count = 0;
    cvm_text_clear(&chunk->ids);
}

const char *cvm_chunk_id(const struct cvm_chunk *chunk, size_t i)
{
    assert(i < chunk->count);
    return chunk->ids.data + chunk->id_offsets[i];
}
