/* chunk.h - up to 1,024 customers in columns: the unit of memory that flows from scan to values.
 *
 * A chunk is made once per worker and reused. Column c of customer i is column[c * capacity + i].
 */
#ifndef CVM_MODEL_CHUNK_H
#define CVM_MODEL_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "model/consent.h"

#define CVM_CHUNK_SIZE     1024
#define CVM_CHUNK_SIZE_MIN 16
#define CVM_CHUNK_SIZE_MAX 65536

struct cvm_chunk {
    size_t capacity;
    size_t count;
    size_t feature_count;
    uint64_t *keys; /* customer keys, ascending */
    struct cvm_consent *consents;
    uint32_t *event_counts; /* dated events inside the history window */
    double *features;       /* feature f of customer i: features[f * capacity + i]; NaN = missing */
    struct cvm_text ids;    /* customer ids, each ended by '\0' */
    uint32_t *id_offsets;
};

CVM_MUST_CHECK enum cvm_status cvm_chunk_create(size_t capacity, size_t feature_count,
                                                struct cvm_chunk **out_chunk,
                                                struct cvm_error *err);
void cvm_chunk_destroy(struct cvm_chunk *chunk);
void cvm_chunk_clear(struct cvm_chunk *chunk); /* count = 0, ids empty */
const char *cvm_chunk_id(const struct cvm_chunk *chunk, size_t i);

#endif
