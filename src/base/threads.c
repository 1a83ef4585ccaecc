#include "base/threads.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define THREADS_MAX 1024

struct worker {
    struct cvm_pool *pool;
    size_t number;
    pthread_t thread;
};

struct cvm_pool {
    size_t thread_count;
    struct worker *workers; /* [0] is the caller and has no thread */

    pthread_mutex_t lock; /* guards what follows, up to the atomics */
    pthread_cond_t work_came;
    pthread_cond_t work_done;
    uint64_t round; /* one per cvm_pool_run() */
    size_t busy;    /* workers that have not yet finished this round */
    bool is_closing;
    cvm_task_fn task;
    void *state;
    size_t item_count;
    size_t failed_item; /* valid when status is not CVM_OK */
    enum cvm_status status;
    struct cvm_error error;

    atomic_size_t item_next; /* on the way to item_count */
    atomic_bool has_failed;
};

static void record_failure(struct cvm_pool *pool, size_t item, enum cvm_status status,
                           const struct cvm_error *error)
{
    atomic_store(&pool->has_failed, true);
    (void)pthread_mutex_lock(&pool->lock);
    if (pool->status == CVM_OK || item < pool->failed_item) {
        pool->status = status;
        pool->failed_item = item;
        pool->error = *error;
    }
    (void)pthread_mutex_unlock(&pool->lock);
}

static void run_items(struct cvm_pool *pool, size_t worker)
{
    while (!atomic_load_explicit(&pool->has_failed, memory_order_relaxed)) {
        size_t item = atomic_fetch_add_explicit(&pool->item_next, 1, memory_order_relaxed);
        if (item >= pool->item_count) {
            return;
        }
        struct cvm_error error;
        error.status = CVM_OK;
        error.message[0] = error.where[0] = error.hint[0] = '\0';
        enum cvm_status status = pool->task(pool->state, item, worker, &error);
        if (status != CVM_OK) {
            record_failure(pool, item, status, &error);
        }
    }
}

static void *worker_main(void *state)
{
    struct worker *worker = state;
    struct cvm_pool *pool = worker->pool;
    uint64_t round = 0;
    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->is_closing && pool->round == round) {
            (void)pthread_cond_wait(&pool->work_came, &pool->lock);
        }
        if (pool->is_closing) {
            break;
        }
        round = pool->round;
        (void)pthread_mutex_unlock(&pool->lock);
        run_items(pool, worker->number);
        (void)pthread_mutex_lock(&pool->lock);
        pool->busy--;
        if (pool->busy == 0) {
            (void)pthread_cond_signal(&pool->work_done);
        }
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* The cores this process may use: fewer than the machine's in a container. */
static size_t core_count(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : (size_t)count;
}

/* Ends the first `started` threads, worker 0 counted. */
static void end_threads(struct cvm_pool *pool, size_t started)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->is_closing = true;
    (void)pthread_cond_broadcast(&pool->work_came);
    (void)pthread_mutex_unlock(&pool->lock);
    for (size_t i = 1; i < started; i++) {
        (void)pthread_join(pool->workers[i].thread, NULL);
    }
}

static void pool_free(struct cvm_pool *pool)
{
    (void)pthread_cond_destroy(&pool->work_done);
    (void)pthread_cond_destroy(&pool->work_came);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
}

enum cvm_status cvm_pool_create(size_t thread_count, struct cvm_pool **out_pool,
                                struct cvm_error *err)
{
    thread_count = thread_count == 0 ? core_count() : thread_count;
    if (thread_count > THREADS_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID, "%zu threads are more than %d", thread_count,
                        THREADS_MAX);
    }
    struct cvm_pool *pool = calloc(1, sizeof(*pool));
    struct worker *workers = calloc(thread_count, sizeof(*workers));
    if (pool == NULL || workers == NULL) {
        free(pool);
        free(workers);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu threads", thread_count);
    }
    pool->thread_count = thread_count;
    pool->workers = workers;
    /* On Linux these three only fill their structs. */
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work_came, NULL);
    (void)pthread_cond_init(&pool->work_done, NULL);
    for (size_t i = 0; i < thread_count; i++) {
        struct worker *worker = &workers[i];
        *worker = (struct worker){.pool = pool, .number = i};
        if (i > 0 && pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            end_threads(pool, i);
            pool_free(pool);
            return CVM_FAIL(err, CVM_E_LIMIT, "cannot start thread %zu of %zu", i, thread_count);
        }
    }
    *out_pool = pool;
    return CVM_OK;
}

void cvm_pool_destroy(struct cvm_pool *pool)
{
    if (pool != NULL) {
        end_threads(pool, pool->thread_count);
        pool_free(pool);
    }
}

size_t cvm_pool_thread_count(const struct cvm_pool *pool)
{
    return pool->thread_count;
}

enum cvm_status cvm_pool_run(struct cvm_pool *pool, size_t item_count, cvm_task_fn task,
                             void *state, struct cvm_error *err)
{
    assert(pool != NULL && task != NULL);
    if (item_count == 0) {
        return CVM_OK;
    }
    /* One item needs nobody else: waking a thread costs more than most single items. */
    bool is_shared = pool->thread_count > 1 && item_count > 1;
    (void)pthread_mutex_lock(&pool->lock);
    assert(pool->busy == 0);
    pool->task = task;
    pool->state = state;
    pool->item_count = item_count;
    pool->status = CVM_OK;
    atomic_store(&pool->item_next, 0);
    atomic_store(&pool->has_failed, false);
    if (is_shared) {
        pool->busy = pool->thread_count - 1;
        pool->round++;
        (void)pthread_cond_broadcast(&pool->work_came);
    }
    (void)pthread_mutex_unlock(&pool->lock);

    run_items(pool, 0);

    (void)pthread_mutex_lock(&pool->lock);
    while (pool->busy > 0) {
        (void)pthread_cond_wait(&pool->work_done, &pool->lock);
    }
    enum cvm_status status = pool->status;
    if (status != CVM_OK && err != NULL) {
        *err = pool->error;
        err->status = status;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return status;
}

struct cvm_queue {
    pthread_mutex_t lock;
    pthread_cond_t has_room;
    pthread_cond_t has_items;
    size_t capacity;
    size_t first;
    size_t count;
    bool is_closed;
    void *items[];
};

struct cvm_queue *cvm_queue_create(size_t capacity)
{
    assert(capacity > 0);
    if (capacity > SIZE_MAX / sizeof(void *) / 2) {
        return NULL;
    }
    struct cvm_queue *queue = calloc(1, sizeof(*queue) + capacity * sizeof(void *));
    if (queue != NULL) {
        queue->capacity = capacity;
        (void)pthread_mutex_init(&queue->lock, NULL);
        (void)pthread_cond_init(&queue->has_room, NULL);
        (void)pthread_cond_init(&queue->has_items, NULL);
    }
    return queue;
}

void cvm_queue_destroy(struct cvm_queue *queue)
{
    if (queue != NULL) {
        (void)pthread_cond_destroy(&queue->has_items);
        (void)pthread_cond_destroy(&queue->has_room);
        (void)pthread_mutex_destroy(&queue->lock);
        free(queue);
    }
}

bool cvm_queue_push(struct cvm_queue *queue, void *item)
{
    (void)pthread_mutex_lock(&queue->lock);
    while (queue->count == queue->capacity && !queue->is_closed) {
        (void)pthread_cond_wait(&queue->has_room, &queue->lock);
    }
    bool is_open = !queue->is_closed;
    if (is_open) {
        queue->items[(queue->first + queue->count) % queue->capacity] = item;
        queue->count++;
        (void)pthread_cond_signal(&queue->has_items);
    }
    (void)pthread_mutex_unlock(&queue->lock);
    return is_open;
}

bool cvm_queue_pop(struct cvm_queue *queue, void **out_item)
{
    (void)pthread_mutex_lock(&queue->lock);
    while (queue->count == 0 && !queue->is_closed) {
        (void)pthread_cond_wait(&queue->has_items, &queue->lock);
    }
    bool has_item = queue->count > 0;
    if (has_item) {
        *out_item = queue->items[queue->first];
        queue->first = (queue->first + 1) % queue->capacity;
        queue->count--;
        (void)pthread_cond_signal(&queue->has_room);
    }
    (void)pthread_mutex_unlock(&queue->lock);
    return has_item;
}

void cvm_queue_close(struct cvm_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    queue->is_closed = true;
    (void)pthread_cond_broadcast(&queue->has_items);
    (void)pthread_cond_broadcast(&queue->has_room);
    (void)pthread_mutex_unlock(&queue->lock);
}

struct cvm_thread {
    pthread_t thread;
    cvm_thread_fn body;
    void *state;
    enum cvm_status status;
    struct cvm_error error;
};

static void *thread_main(void *state)
{
    struct cvm_thread *thread = state;
    thread->status = thread->body(thread->state, &thread->error);
    return NULL;
}

enum cvm_status cvm_thread_start(cvm_thread_fn body, void *state, struct cvm_thread **out_thread,
                                 struct cvm_error *err)
{
    struct cvm_thread *thread = calloc(1, sizeof(*thread));
    if (thread == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a thread");
    }
    thread->body = body;
    thread->state = state;
    if (pthread_create(&thread->thread, NULL, thread_main, thread) != 0) {
        free(thread);
        return CVM_FAIL(err, CVM_E_LIMIT, "cannot start a thread");
    }
    *out_thread = thread;
    return CVM_OK;
}

enum cvm_status cvm_thread_join(struct cvm_thread *thread, struct cvm_error *err)
{
    if (thread == NULL) {
        return CVM_OK;
    }
    (void)pthread_join(thread->thread, NULL);
    enum cvm_status status = thread->status;
    if (status != CVM_OK && err != NULL) {
        *err = thread->error;
        err->status = status;
    }
    free(thread);
    return status;
}
