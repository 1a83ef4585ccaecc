/* arena.h - memory whose lifetime is a unit of work.
 *
 * Every turn of an agent, HTTP request, chunk and CLI command owns one arena. Allocate freely,
 * never free a single object, reset once when the work ends. The limit is the work's memory budget:
 * crossing it is an ordinary error (NULL), which turns a hostile payload into an error instead of a
 * dead process. Fresh memory is slow on many machines, so reset keeps every block for the next unit
 * of work. Not thread safe: one arena per thread.
 */
#ifndef CVM_BASE_ARENA_H
#define CVM_BASE_ARENA_H

#include <stddef.h>

struct cvm_arena;

struct cvm_arena *cvm_arena_create(size_t limit_bytes); /* NULL when out of memory */
void cvm_arena_destroy(struct cvm_arena *arena);        /* NULL is fine */

/* Zeroed, aligned to 16 (64 from 4 KiB on); overflow-checked; NULL when the limit is reached. */
void *cvm_arena_alloc(struct cvm_arena *arena, size_t count, size_t size);

/* As above, contents undefined: for big buffers that are overwritten at once. */
void *cvm_arena_alloc_raw(struct cvm_arena *arena, size_t count, size_t size);

/* Copies, always ended by '\0'; NULL when the limit is reached. */
char *cvm_arena_copy(struct cvm_arena *arena, const char *text, size_t length);
char *cvm_arena_string(struct cvm_arena *arena, const char *text);

/* Everything allocated becomes invalid; the blocks are kept and reused. */
void cvm_arena_reset(struct cvm_arena *arena);
size_t cvm_arena_used(const struct cvm_arena *arena); /* bytes handed out since the last reset */

#define CVM_NEW(arena, type)              ((type *)cvm_arena_alloc((arena), 1, sizeof(type)))
#define CVM_NEW_ARRAY(arena, count, type) ((type *)cvm_arena_alloc((arena), (count), sizeof(type)))

#endif
