/* columns.h - big buffers that are reused, and columns that grow.
 *
 * Fresh pages cost more than reading memory (measured 1-3 us each), so a buffer asks for huge pages
 * and only ever grows; clear it and use it again.
 */
#ifndef CVM_BASE_COLUMNS_H
#define CVM_BASE_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct cvm_buffer {
    void *data;
    size_t size_bytes; /* capacity */
};

/* Make room for size_bytes, contents kept up to the old capacity, new bytes zero when fresh from
 * the system; 64-byte aligned. A zeroed struct cvm_buffer is empty and valid. */
CVM_MUST_CHECK enum cvm_status cvm_buffer_reserve(struct cvm_buffer *buffer, size_t size_bytes,
                                                  struct cvm_error *err);
/* The same for an empty buffer, in a nameless file of `folder`: what does not fit into memory is
 * written there. CVM_E_LIMIT where the disk has no room for it. */
CVM_MUST_CHECK enum cvm_status cvm_buffer_map_file(struct cvm_buffer *buffer, size_t size_bytes,
                                                   const char *folder, struct cvm_error *err);
void cvm_buffer_finish(struct cvm_buffer *buffer);

/* A growing array of fixed-size elements over a buffer. */
struct cvm_column {
    struct cvm_buffer buffer;
    size_t element_bytes;
    size_t count;
};
void cvm_column_init(struct cvm_column *column, size_t element_bytes);
void cvm_column_finish(struct cvm_column *column);
/* Room for `more` further elements; *out_first points to the first of them; count grows by `more`.
 * Grows by doubling. */
CVM_MUST_CHECK enum cvm_status cvm_column_extend(struct cvm_column *column, size_t more,
                                                 void **out_first, struct cvm_error *err);
#define CVM_COLUMN_DATA(column, type) ((type *)(column)->buffer.data)

#endif
