/* pages.h - memory straight from the system, in huge pages where it is big; for arena.c and
 * columns.c only. */
#ifndef CVM_BASE_PAGES_H
#define CVM_BASE_PAGES_H

#include <stddef.h>

#define CVM_HUGE_BYTES ((size_t)2 << 20)

/* What is asked for is rounded up: to whole huge pages from one of them on, else to 64 KiB. 0 when
 * it does not fit a size_t. */
size_t cvm_pages_round(size_t bytes);

/* `bytes` comes from cvm_pages_round(). Zeroed; aligned to a huge page from one of them on; NULL
 * when out of memory. */
void *cvm_pages_map(size_t bytes);
/* Moves the pages, not their bytes. NULL when out of memory: the old ones stay valid. */
void *cvm_pages_grow(void *pages, size_t old_bytes, size_t new_bytes);
void cvm_pages_unmap(void *pages, size_t bytes);

#endif
