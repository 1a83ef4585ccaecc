#include "base/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ITEMS   10000
#define WORKERS 4

struct job {
    atomic_int runs[ITEMS];
    atomic_int at_work[WORKERS]; /* a worker runs one item at a time */
    atomic_size_t started;
    size_t fail_at; /* items from here on fail */
};

static enum cvm_status count_item(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    struct job *job = state;
    if (worker >= WORKERS || atomic_fetch_add(&job->at_work[worker], 1) != 0) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "worker %zu is shared", worker);
    }
    atomic_fetch_add(&job->started, 1);
    atomic_fetch_add(&job->runs[item], 1);
    atomic_fetch_sub(&job->at_work[worker], 1);
    if (item >= job->fail_at) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "item %zu", item);
    }
    return CVM_OK;
}

static void every_item_runs_once_on_any_number_of_threads(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= WORKERS; threads++) {
        struct cvm_pool *pool = NULL;
        assert_int_equal(cvm_pool_create(threads, &pool, NULL), CVM_OK);
        assert_int_equal(cvm_pool_thread_count(pool), threads);
        for (size_t items = 0; items <= ITEMS; items = items * 7 + 1) {
            static struct job job;
            memset(&job, 0, sizeof(job));
            job.fail_at = SIZE_MAX;
            struct cvm_error err = {.message = "untouched"};
            assert_int_equal(cvm_pool_run(pool, items, count_item, &job, &err), CVM_OK);
            assert_string_equal(err.message, "untouched");
            for (size_t i = 0; i < ITEMS; i++) {
                assert_int_equal(job.runs[i], i < items ? 1 : 0);
            }
        }
        cvm_pool_destroy(pool);
    }
}

static void the_lowest_failure_is_returned_and_nothing_starts_after_it(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= WORKERS; threads++) {
        static struct job job;
        memset(&job, 0, sizeof(job));
        job.fail_at = 100;
        struct cvm_pool *pool = NULL;
        struct cvm_error err = {0};
        assert_int_equal(cvm_pool_create(threads, &pool, NULL), CVM_OK);
        assert_int_equal(cvm_pool_run(pool, ITEMS, count_item, &job, &err), CVM_E_CORRUPT);
        assert_string_equal(err.message, "item 100");
        assert_in_range(job.started, 101, 100 + threads);

        job.fail_at = SIZE_MAX;
        assert_int_equal(cvm_pool_run(pool, ITEMS, count_item, &job, NULL), CVM_OK);
        cvm_pool_destroy(pool);
    }
}

static void a_pool_has_as_many_threads_as_cores_by_default(void **state)
{
    (void)state;
    struct cvm_pool *pool = NULL;
    assert_int_equal(cvm_pool_create(0, &pool, NULL), CVM_OK);
    assert_true(cvm_pool_thread_count(pool) >= 1);
    cvm_pool_destroy(pool);
    cvm_pool_destroy(NULL);
}

static void too_many_threads_are_refused(void **state)
{
    (void)state;
    struct cvm_pool *pool = NULL;
    struct cvm_error err = {0};
    assert_int_equal(cvm_pool_create(1000000, &pool, &err), CVM_E_INVALID);
    assert_null(pool);
}

#define MESSAGES 20000

static enum cvm_status produce(void *state, struct cvm_error *err)
{
    (void)err;
    struct cvm_queue *queue = state;
    for (uintptr_t i = 1; i <= MESSAGES; i++) {
        if (!cvm_queue_push(queue, (void *)i)) {
            return CVM_E_INTERNAL;
        }
    }
    return CVM_OK;
}

struct consumer {
    struct cvm_queue *queue;
    uint64_t sum;
};

static enum cvm_status consume(void *state, struct cvm_error *err)
{
    (void)err;
    struct consumer *consumer = state;
    void *item = NULL;
    while (cvm_queue_pop(consumer->queue, &item)) {
        consumer->sum += (uintptr_t)item;
    }
    return CVM_OK;
}

static void a_queue_loses_nothing_between_many_threads(void **state)
{
    (void)state;
    struct cvm_queue *queue = cvm_queue_create(8);
    struct consumer consumers[2] = {{queue, 0}, {queue, 0}};
    struct cvm_thread *producing[2] = {NULL};
    struct cvm_thread *consuming[2] = {NULL};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cvm_thread_start(consume, &consumers[i], &consuming[i], NULL), CVM_OK);
        assert_int_equal(cvm_thread_start(produce, queue, &producing[i], NULL), CVM_OK);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cvm_thread_join(producing[i], NULL), CVM_OK);
    }
    cvm_queue_close(queue);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cvm_thread_join(consuming[i], NULL), CVM_OK);
    }
    uint64_t each = (uint64_t)MESSAGES * (MESSAGES + 1) / 2;
    assert_true(consumers[0].sum + consumers[1].sum == 2 * each);
    cvm_queue_destroy(queue);
}

static void a_closed_queue_is_emptied_and_takes_nothing(void **state)
{
    (void)state;
    struct cvm_queue *queue = cvm_queue_create(3);
    int a = 1;
    int b = 2;
    void *item = NULL;
    assert_true(cvm_queue_push(queue, &a));
    assert_true(cvm_queue_push(queue, &b));
    cvm_queue_close(queue);
    assert_false(cvm_queue_push(queue, &a));
    assert_true(cvm_queue_pop(queue, &item));
    assert_ptr_equal(item, &a);
    assert_true(cvm_queue_pop(queue, &item));
    assert_ptr_equal(item, &b);
    assert_false(cvm_queue_pop(queue, &item));
    assert_ptr_equal(item, &b);
    cvm_queue_destroy(queue);
    cvm_queue_destroy(NULL);
}

static enum cvm_status push_until_closed(void *state, struct cvm_error *err)
{
    int item = 0;
    while (cvm_queue_push(state, &item)) {
    }
    return CVM_FAIL(err, CVM_E_TIMEOUT, "closed");
}

static void closing_wakes_who_waits_for_room_and_join_returns_its_failure(void **state)
{
    (void)state;
    struct cvm_queue *queue = cvm_queue_create(1);
    struct cvm_thread *thread = NULL;
    struct cvm_error err = {0};
    assert_int_equal(cvm_thread_start(push_until_closed, queue, &thread, NULL), CVM_OK);
    cvm_queue_close(queue);
    assert_int_equal(cvm_thread_join(thread, &err), CVM_E_TIMEOUT);
    assert_string_equal(err.message, "closed");
    assert_int_equal(cvm_thread_join(NULL, &err), CVM_OK);
    cvm_queue_destroy(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_runs_once_on_any_number_of_threads),
        cmocka_unit_test(the_lowest_failure_is_returned_and_nothing_starts_after_it),
        cmocka_unit_test(a_pool_has_as_many_threads_as_cores_by_default),
        cmocka_unit_test(too_many_threads_are_refused),
        cmocka_unit_test(a_queue_loses_nothing_between_many_threads),
        cmocka_unit_test(a_closed_queue_is_emptied_and_takes_nothing),
        cmocka_unit_test(closing_wakes_who_waits_for_room_and_join_returns_its_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
