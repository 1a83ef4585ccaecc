/* threads.h - a pool of workers, loops over it, and a bounded queue between threads. */
#ifndef CVM_BASE_THREADS_H
#define CVM_BASE_THREADS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct cvm_pool;

/* thread_count 0 = one per core. The pool of 1 runs everything on the caller's thread. */
CVM_MUST_CHECK enum cvm_status cvm_pool_create(size_t thread_count, struct cvm_pool **out_pool,
                                               struct cvm_error *err);
void cvm_pool_destroy(struct cvm_pool *pool);
size_t cvm_pool_thread_count(const struct cvm_pool *pool);

/* One piece of work: item 0..count-1 on worker 0..thread_count-1 (a worker runs one item at a
 * time). */
typedef enum cvm_status (*cvm_task_fn)(void *state, size_t item, size_t worker,
                                       struct cvm_error *err);

/* Run every item, in any order, on all workers (the caller is worker 0); return when all are done.
 * After the first failure no further item starts, and the failure of the lowest failed item is
 * returned. Not to be nested. */
CVM_MUST_CHECK enum cvm_status cvm_pool_run(struct cvm_pool *pool, size_t item_count,
                                            cvm_task_fn task, void *state, struct cvm_error *err);

/* Bounded multi-producer multi-consumer queue of pointers. */
struct cvm_queue;
struct cvm_queue *cvm_queue_create(size_t capacity); /* NULL when out of memory */
void cvm_queue_destroy(struct cvm_queue *queue);
bool cvm_queue_push(struct cvm_queue *queue, void *item); /* waits for room; false once closed */
bool cvm_queue_pop(struct cvm_queue *queue,
                   void **out_item); /* waits; false when closed and empty */
void cvm_queue_close(struct cvm_queue *queue);

/* A plain thread; body's return is kept for join. */
struct cvm_thread;
typedef enum cvm_status (*cvm_thread_fn)(void *state, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_thread_start(cvm_thread_fn body, void *state,
                                                struct cvm_thread **out_thread,
                                                struct cvm_error *err);
/* Waits, frees the thread, returns what body returned. NULL gives CVM_OK. */
CVM_MUST_CHECK enum cvm_status cvm_thread_join(struct cvm_thread *thread, struct cvm_error *err);

#endif
