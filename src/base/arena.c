/* Blocks are in two lists: those handed out from since the last reset, the one with most room
 * first, and spare ones. A block's bytes above its high-water mark are known to be zero, so that
 * fresh memory is not cleared a second time. */
#include "base/arena.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"

#define BLOCK_BYTES_FIRST ((size_t)64 << 10)
#define BLOCK_BYTES_MAX   ((size_t)64 << 20)
#define BIG_ALLOCATION    ((size_t)4 << 10)

struct block {
    struct block *next;
    size_t size; /* of data */
    size_t used;
    size_t high; /* data[high..size) is zero */
    bool is_mapped;
    _Alignas(64) unsigned char data[];
};

struct cvm_arena {
    struct block *blocks;
    struct block *spares;
    size_t limit;
    size_t used;
    size_t held; /* sum of the sizes of all blocks */
    size_t block_bytes_next;
};

struct cvm_arena *cvm_arena_create(size_t limit_bytes)
{
    struct cvm_arena *arena = calloc(1, sizeof(*arena));
    if (arena != NULL) {
        arena->limit = limit_bytes;
        arena->block_bytes_next = BLOCK_BYTES_FIRST;
    }
    return arena;
}

static void block_destroy(struct cvm_arena *arena, struct block *block)
{
    arena->held -= block->size;
    if (block->is_mapped) {
        cvm_pages_unmap(block, sizeof(*block) + block->size);
    } else {
        free(block);
    }
}

static void destroy_all(struct cvm_arena *arena, struct block **list)
{
    while (*list != NULL) {
        struct block *block = *list;
        *list = block->next;
        block_destroy(arena, block);
    }
}

void cvm_arena_destroy(struct cvm_arena *arena)
{
    if (arena != NULL) {
        destroy_all(arena, &arena->blocks);
        destroy_all(arena, &arena->spares);
        free(arena);
    }
}

static struct block *block_create(size_t bytes)
{
    size_t total = sizeof(struct block) + bytes;
    bool is_mapped = total >= CVM_HUGE_BYTES;
    total = is_mapped ? cvm_pages_round(total) : (total + 63) / 64 * 64;
    if (total == 0) {
        return NULL;
    }
    struct block *block = is_mapped ? cvm_pages_map(total) : aligned_alloc(64, total);
    if (block != NULL) {
        block->next = NULL;
        block->size = total - sizeof(*block);
        block->used = 0;
        block->high = is_mapped ? 0 : block->size; /* the heap's memory may be dirty */
        block->is_mapped = is_mapped;
    }
    return block;
}

/* The smallest spare that fits, so that the big ones wait for big requests. */
static struct block *take_spare(struct cvm_arena *arena, size_t bytes)
{
    struct block **best = NULL;
    for (struct block **link = &arena->spares; *link != NULL; link = &(*link)->next) {
        if ((*link)->size >= bytes && (best == NULL || (*link)->size < (*best)->size)) {
            best = link;
        }
    }
    if (best == NULL) {
        return NULL;
    }
    struct block *block = *best;
    *best = block->next;
    return block;
}

static struct block *add_block(struct cvm_arena *arena, size_t bytes)
{
    size_t left = arena->limit - arena->used; /* at least `bytes` */
    size_t size = arena->block_bytes_next < left ? arena->block_bytes_next : left;
    size = size > bytes ? size : bytes;
    size_t held_max = arena->limit > SIZE_MAX / 2 ? SIZE_MAX : arena->limit * 2;
    if (arena->held > held_max - (size < held_max ? size : held_max)) {
        /* Spares that keep being too small must not pile up beyond the budget. */
        destroy_all(arena, &arena->spares);
    }
    struct block *block = block_create(size);
    if (block == NULL && size > bytes) {
        block = block_create(bytes);
    }
    if (block != NULL) {
        arena->held += block->size;
        if (arena->block_bytes_next < BLOCK_BYTES_MAX) {
            arena->block_bytes_next *= 2;
        }
    }
    return block;
}

static size_t room_for(const struct block *block, size_t alignment)
{
    size_t start = (block->used + alignment - 1) / alignment * alignment;
    return start > block->size ? 0 : block->size - start;
}

static struct block *find_block(struct cvm_arena *arena, size_t bytes, size_t alignment)
{
    struct block *first = arena->blocks;
    if (first != NULL && room_for(first, alignment) >= bytes) {
        return first;
    }
    struct block *block = take_spare(arena, bytes);
    if (block == NULL) {
        block = add_block(arena, bytes);
    }
    if (block == NULL) {
        return NULL;
    }
    if (first != NULL && first->size - first->used > block->size - bytes) {
        block->next = first->next; /* the first one stays first: it has more room left */
        first->next = block;
    } else {
        block->next = first;
        arena->blocks = block;
    }
    return block;
}

static void *allocate(struct cvm_arena *arena, size_t count, size_t size, bool zeroed)
{
    assert(arena != NULL);
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 4) {
        return NULL;
    }
    bytes = bytes == 0 ? 16 : (bytes + 15) / 16 * 16;
    if (bytes > arena->limit || arena->used > arena->limit - bytes) {
        return NULL;
    }
    size_t alignment = bytes >= BIG_ALLOCATION ? 64 : 16;
    struct block *block = find_block(arena, bytes, alignment);
    if (block == NULL) {
        return NULL;
    }
    size_t start = (block->used + alignment - 1) / alignment * alignment;
    unsigned char *data = block->data + start;
    block->used = start + bytes;
    arena->used += bytes;
    if (zeroed && block->high > start) {
        size_t dirty = block->high - start;
        memset(data, 0, dirty < bytes ? dirty : bytes);
    }
    if (block->high < block->used) {
        block->high = block->used;
    }
    return data;
}

void *cvm_arena_alloc(struct cvm_arena *arena, size_t count, size_t size)
{
    return allocate(arena, count, size, true);
}

void *cvm_arena_alloc_raw(struct cvm_arena *arena, size_t count, size_t size)
{
    return allocate(arena, count, size, false);
}

char *cvm_arena_copy(struct cvm_arena *arena, const char *text, size_t length)
{
    if (length == SIZE_MAX) {
        return NULL;
    }
    char *copy = allocate(arena, length + 1, 1, false);
    if (copy != NULL) {
        if (length > 0) {
            memcpy(copy, text, length);
        }
        copy[length] = '\0';
    }
    return copy;
}

char *cvm_arena_string(struct cvm_arena *arena, const char *text)
{
    return cvm_arena_copy(arena, text, strlen(text));
}

void cvm_arena_reset(struct cvm_arena *arena)
{
    while (arena->blocks != NULL) {
        struct block *block = arena->blocks;
        arena->blocks = block->next;
        block->used = 0;
        block->next = arena->spares;
        arena->spares = block;
    }
    arena->used = 0;
}

size_t cvm_arena_used(const struct cvm_arena *arena)
{
    return arena->used;
}
