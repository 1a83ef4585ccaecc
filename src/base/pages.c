#include "base/pages.h"

#include <stdint.h>
#include <sys/mman.h>

#define SMALL_BYTES ((size_t)64 << 10)

size_t cvm_pages_round(size_t bytes)
{
    size_t unit = bytes >= CVM_HUGE_BYTES ? CVM_HUGE_BYTES : SMALL_BYTES;
    if (bytes > SIZE_MAX / 2) {
        return 0;
    }
    return bytes == 0 ? unit : (bytes + unit - 1) / unit * unit;
}

/* Only an address that is a multiple of a huge page can be one, and mmap() promises no such thing:
 * map one more and give back both ends. */
static void *map_aligned(size_t bytes)
{
    size_t total = bytes + CVM_HUGE_BYTES;
    char *start = mmap(NULL, total, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        return NULL;
    }
    size_t before = (CVM_HUGE_BYTES - (uintptr_t)start % CVM_HUGE_BYTES) % CVM_HUGE_BYTES;
    if (before > 0) {
        (void)munmap(start, before);
    }
    if (before < CVM_HUGE_BYTES) {
        (void)munmap(start + before + bytes, CVM_HUGE_BYTES - before);
    }
    return start + before;
}

void *cvm_pages_map(size_t bytes)
{
    if (bytes == 0) {
        return NULL;
    }
    if (bytes < CVM_HUGE_BYTES) {
        void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return pages == MAP_FAILED ? NULL : pages;
    }
    void *pages = map_aligned(bytes);
    if (pages != NULL) {
        (void)madvise(pages, bytes, MADV_HUGEPAGE); /* advice: without it only slower */
    }
    return pages;
}

void *cvm_pages_grow(void *pages, size_t old_bytes, size_t new_bytes)
{
    void *target = cvm_pages_map(new_bytes);
    if (target == NULL) {
        return NULL;
    }
    /* Onto the aligned target, because mremap() alone may pick an address that ends huge pages; and
     * grown by the same call, because the kernel moves only one mapping at a time. */
    void *moved = mremap(pages, old_bytes, new_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    if (moved == MAP_FAILED) {
        return NULL; /* the target may be gone or another thread's by now: leave it alone */
    }
    if (new_bytes >= CVM_HUGE_BYTES) {
        (void)madvise(target, new_bytes, MADV_HUGEPAGE);
    }
    return target;
}

void cvm_pages_unmap(void *pages, size_t bytes)
{
    if (pages != NULL) {
        (void)munmap(pages, bytes);
    }
}
