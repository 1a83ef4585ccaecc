/* The contract of cache.h, on a cache in memory and on a Redis server of the test's own. */
#include "storage/cache.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/metrics.h"
#include "base/threads.h"
#include "support/redis_support.h"
#include "support/store_support.h"

#define DAY_MS      86400000
#define PATIENCE_MS 60000 /* a busy machine is no failure */

static char url[64];

/* A clock that any thread may set. */
static _Atomic int64_t now_ms;

static int64_t read_now_ms(void *state)
{
    (void)state;
    return now_ms;
}

static int64_t read_steady_ns(void *state)
{
    (void)state;
    return now_ms * 1000000;
}

static const struct cvm_context context = {.clock = {read_now_ms, read_steady_ns, NULL}};

/* Each cache has names of its own, on a server too. */
static struct cvm_cache *open_cache(void)
{
    static int number;
    char prefix[32];
    struct cvm_cache *cache = NULL;
    now_ms = SUPPORT_NOW_MS;
    (void)snprintf(prefix, sizeof(prefix), "test%d:", number++);
    struct cvm_cache_options options = {.prefix = prefix, .timeout_ms = PATIENCE_MS};
    ASSERT_OK(cvm_cache_open(url, &options, &cache, ERR));
    return cache;
}

static struct cvm_slice slice(const char *text)
{
    return (struct cvm_slice){text, strlen(text)};
}

static struct cvm_cache_want want(const char *name, uint64_t least, uint64_t most)
{
    return (struct cvm_cache_want){slice(name), least, most};
}

static void put(struct cvm_cache *cache, const char *name, const char *value, uint64_t version)
{
    cvm_cache_put(cache, &context,
                  &(struct cvm_cache_entry){slice(name), slice(value), version, DAY_MS});
}

/* The value, or "" for a miss, until the next call. */
static const char *get(struct cvm_cache *cache, const char *name, uint64_t least, uint64_t most)
{
    static struct cvm_text value;
    struct cvm_cache_want wanted = want(name, least, most);
    cvm_text_finish(&value);
    cvm_text_init(&value, 0);
    bool is_hit = cvm_cache_get(cache, &context, &wanted, &value);
    assert_true(is_hit || value.length == 0);
    return cvm_text_string(&value);
}

static void what_was_put_is_found_byte_for_byte(void **state)
{
    static const char bytes[] = "a\0b\r\n$5\r\n\xff";
    struct cvm_cache *cache = open_cache();
    struct cvm_text value;
    (void)state;
    cvm_text_init(&value, 0);
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        struct cvm_cache_entry entry = {slice("bytes"), {bytes, length}, 1, DAY_MS};
        struct cvm_cache_want wanted = want("bytes", 1, 1);
        cvm_cache_put(cache, &context, &entry);
        assert_true(cvm_cache_get(cache, &context, &wanted, &value));
        assert_int_equal(value.length, length);
        assert_memory_equal(cvm_text_string(&value), bytes, length);
    }
    cvm_text_finish(&value);
    cvm_cache_close(cache);
}

static void an_unknown_name_is_a_miss(void **state)
{
    struct cvm_cache *cache = open_cache();
    (void)state;
    put(cache, "U1", "one", 1);
    assert_string_equal(get(cache, "U2", 0, UINT64_MAX), "");
    assert_string_equal(get(cache, "U", 0, UINT64_MAX), "");
    assert_string_equal(get(cache, "U1 ", 0, UINT64_MAX), "");
    assert_string_equal(get(cache, "U1", 0, UINT64_MAX), "one");
    cvm_cache_close(cache);
}

static void names_of_any_bytes_do_not_meet(void **state)
{
    struct cvm_cache *cache = open_cache();
    char name[CVM_CACHE_NAME_MAX] = {0};
    struct cvm_text value;
    (void)state;
    cvm_text_init(&value, 0);
    for (size_t i = 1; i <= sizeof(name); i++) {
        struct cvm_slice value_bytes = {(const char *)&i, sizeof(i)};
        cvm_cache_put(cache, &context,
                      &(struct cvm_cache_entry){{name, i}, value_bytes, 1, DAY_MS});
    }
    for (size_t i = 1; i <= sizeof(name); i++) {
        struct cvm_cache_want wanted = {{name, i}, 1, 1};
        assert_true(cvm_cache_get(cache, &context, &wanted, &value));
        assert_memory_equal(value.data, &i, sizeof(i));
    }
    cvm_text_finish(&value);
    cvm_cache_close(cache);
}

static void who_asks_says_which_versions_will_do(void **state)
{
    struct cvm_cache *cache = open_cache();
    (void)state;
    put(cache, "U1", "consent of version 5", 5);
    assert_string_equal(get(cache, "U1", 6, UINT64_MAX), ""); /* too old */
    assert_string_equal(get(cache, "U1", 0, 4), "");          /* newer than this reader's world */
    assert_string_equal(get(cache, "U1", 5, 5), "consent of version 5");
    assert_string_equal(get(cache, "U1", 0, UINT64_MAX), "consent of version 5");
    assert_int_equal(cvm_cache_counts_of(cache).stale, 2);
    put(cache, "U1", "consent of version 6", 6);
    assert_string_equal(get(cache, "U1", 6, 6), "consent of version 6");
    put(cache, "U1", "late", 5); /* from a slow reader: whoever needs 6 makes it again */
    assert_string_equal(get(cache, "U1", 6, 6), "");
    cvm_cache_close(cache);
}

static void an_entry_lives_as_long_as_it_was_given(void **state)
{
    struct cvm_cache *cache = open_cache();
    (void)state;
    put(cache, "U1", "one", 1);
    now_ms += DAY_MS - 1;
    assert_string_equal(get(cache, "U1", 1, 1), "one");
    now_ms += 1;
    assert_string_equal(get(cache, "U1", 1, 1), "");
    put(cache, "U1", "again", 1);
    assert_string_equal(get(cache, "U1", 1, 1), "again");
    cvm_cache_close(cache);
}

static void what_was_removed_is_gone(void **state)
{
    struct cvm_cache *cache = open_cache();
    (void)state;
    put(cache, "U1", "one", 1);
    put(cache, "U2", "two", 1);
    cvm_cache_remove(cache, &context, slice("U1"));
    cvm_cache_remove(cache, &context, slice("never there"));
    assert_string_equal(get(cache, "U1", 1, 1), "");
    assert_string_equal(get(cache, "U2", 1, 1), "two");
    cvm_cache_close(cache);
}

static void everything_is_counted_and_published(void **state)
{
    struct cvm_cache *cache = open_cache();
    struct cvm_metrics *metrics = cvm_metrics_create();
    struct cvm_text text;
    (void)state;
    cvm_text_init(&text, 0);
    put(cache, "U1", "one", 1);
    (void)get(cache, "U1", 1, 1);
    (void)get(cache, "U2", 1, 1);
    cvm_cache_publish(cache, metrics);
    (void)get(cache, "U1", 1, 1);
    (void)get(cache, "U1", 2, 2);
    cvm_cache_publish(cache, metrics);
    cvm_metrics_write(metrics, &text);
    static const char *const lines[] = {
        "cvm_cache_hits_total 2\n",      "cvm_cache_misses_total 2\n", "cvm_cache_stale_total 1\n",
        "cvm_cache_puts_total 1\n",      "cvm_cache_waits_total 0\n",  "cvm_cache_errors_total 0\n",
        "cvm_cache_evictions_total 0\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (strstr(cvm_text_string(&text), lines[i]) == NULL) {
            fail_msg("no %s in %s", lines[i], cvm_text_string(&text));
        }
    }
    cvm_text_finish(&text);
    cvm_metrics_destroy(metrics);
    cvm_cache_close(cache);
}

/* ---- one maker at a time ---- */

/* A maker that goes on only when it is told to, and others who come meanwhile. */
struct scene {
    struct cvm_cache *cache;
    const struct cvm_context *context;
    struct cvm_cache_want want;
    atomic_int made;
    atomic_int failures_left; /* of the maker */
    enum cvm_status failure;
    uint64_t version;
    atomic_bool may_end;
    atomic_int served;
};

static enum cvm_status make_slowly(void *state, struct cvm_text *out_value, uint64_t *out_version,
                                   struct cvm_error *err)
{
    struct scene *scene = state;
    int number = atomic_fetch_add(&scene->made, 1) + 1;
    while (number == 1 && !scene->may_end) {
        sched_yield();
    }
    if (atomic_fetch_sub(&scene->failures_left, 1) > 0) {
        return CVM_FAIL(err, scene->failure, "maker %d has failed", number);
    }
    cvm_text_add_format(out_value, "made %d", number);
    *out_version = scene->version;
    return CVM_OK;
}

static enum cvm_status call(void *state, struct cvm_error *err)
{
    struct scene *scene = state;
    struct cvm_cache_maker maker = {make_slowly, scene, DAY_MS};
    struct cvm_text value;
    cvm_text_init(&value, 0);
    enum cvm_status status =
        cvm_cache_get_or_make(scene->cache, scene->context, &scene->want, &maker, &value, err);
    if (status == CVM_OK && strncmp(cvm_text_string(&value), "made ", 5) == 0) {
        scene->served++;
    }
    cvm_text_finish(&value);
    return status;
}

#define CALLERS 4

static void start(struct scene *scene, struct cvm_thread *threads[CALLERS])
{
    scene->cache = open_cache();
    scene->context = &context;
    scene->want = want("U1", 3, 3);
    scene->version = 3;
    for (size_t i = 0; i < CALLERS; i++) {
        ASSERT_OK(cvm_thread_start(call, scene, &threads[i], ERR));
    }
    while (cvm_cache_counts_of(scene->cache).waits < CALLERS - 1) {
        sched_yield();
    }
    scene->may_end = true;
}

static void concurrent_callers_of_a_name_make_it_once(void **state)
{
    struct scene scene = {0};
    struct cvm_thread *threads[CALLERS];
    (void)state;
    start(&scene, threads);
    for (size_t i = 0; i < CALLERS; i++) {
        ASSERT_OK(cvm_thread_join(threads[i], ERR));
    }
    assert_int_equal(scene.made, 1);
    assert_int_equal(scene.served, CALLERS);
    ASSERT_OK(call(&scene, ERR)); /* and from then on it is there */
    assert_int_equal(scene.made, 1);
    cvm_cache_close(scene.cache);
}

static void a_makers_failure_is_that_of_all_who_wait(void **state)
{
    struct scene scene = {.failures_left = 1, .failure = CVM_E_CORRUPT};
    struct cvm_thread *threads[CALLERS];
    (void)state;
    start(&scene, threads);
    for (size_t i = 0; i < CALLERS; i++) {
        struct cvm_error err = {0};
        assert_int_equal(cvm_thread_join(threads[i], &err), CVM_E_CORRUPT);
        assert_string_equal(err.message, "maker 1 has failed");
    }
    assert_int_equal(scene.made, 1);
    ASSERT_OK(call(&scene, ERR)); /* nothing was kept: the next one makes it */
    assert_int_equal(scene.made, 2);
    cvm_cache_close(scene.cache);
}

static void after_a_maker_whose_time_ran_out_the_next_one_makes(void **state)
{
    struct scene scene = {.failures_left = 1, .failure = CVM_E_TIMEOUT};
    struct cvm_thread *threads[CALLERS];
    int failed = 0;
    (void)state;
    start(&scene, threads);
    for (size_t i = 0; i < CALLERS; i++) {
        failed += cvm_thread_join(threads[i], NULL) == CVM_E_TIMEOUT;
    }
    assert_int_equal(failed, 1);
    assert_int_equal(scene.made, 2);
    assert_int_equal(scene.served, CALLERS - 1);
    cvm_cache_close(scene.cache);
}

static void who_waits_does_so_until_his_deadline(void **state)
{
    struct scene scene = {.want = want("U1", 3, 3), .version = 3, .context = &context};
    struct scene other;
    struct cvm_context hurried = context;
    struct cvm_thread *maker = NULL;
    struct cvm_thread *waiter = NULL;
    struct cvm_error err = {0};
    (void)state;
    scene.cache = open_cache();
    hurried.deadline_ms = now_ms + 50;
    other = scene;
    other.context = &hurried;
    ASSERT_OK(cvm_thread_start(call, &scene, &maker, ERR));
    while (scene.made == 0) {
        sched_yield();
    }
    ASSERT_OK(cvm_thread_start(call, &other, &waiter, ERR));
    while (cvm_cache_counts_of(scene.cache).waits == 0) {
        sched_yield();
    }
    now_ms += 51;
    assert_int_equal(cvm_thread_join(waiter, &err), CVM_E_TIMEOUT);
    assert_int_equal(other.made, 0);
    scene.may_end = true;
    ASSERT_OK(cvm_thread_join(maker, ERR));
    cvm_cache_close(scene.cache);
}

static void nobody_waits_for_a_version_that_will_not_do(void **state)
{
    struct scene scene = {.want = want("U1", 3, 3), .version = 3, .context = &context};
    struct scene newer;
    struct cvm_thread *maker = NULL;
    (void)state;
    scene.cache = open_cache();
    newer = scene;
    newer.want = want("U1", 4, 4);
    newer.version = 4;
    newer.may_end = true;
    ASSERT_OK(cvm_thread_start(call, &scene, &maker, ERR));
    while (scene.made == 0) {
        sched_yield();
    }
    ASSERT_OK(call(&newer, ERR));
    assert_int_equal(newer.made, 1);
    assert_int_equal(cvm_cache_counts_of(scene.cache).waits, 0);
    scene.may_end = true;
    ASSERT_OK(cvm_thread_join(maker, ERR));
    cvm_cache_close(scene.cache);
}

/* ---- many threads ---- */

#define NAMES  200
#define ROUNDS 3000

/* A value says whose it is, so that one that is torn or of another name shows. */
static enum cvm_status use_hard(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    struct cvm_cache *cache = state;
    struct cvm_text value;
    char name[16];
    char wanted[64];
    uint64_t at = item * 7919 + 1;
    (void)worker;
    cvm_text_init(&value, 0);
    for (size_t round = 0; round < ROUNDS; round++) {
        at = at * 6364136223846793005u + 1442695040888963407u;
        (void)snprintf(name, sizeof(name), "U%u", (unsigned)((at >> 33) % NAMES));
        (void)snprintf(wanted, sizeof(wanted), "%s %s %s %s", name, name, name, name);
        struct cvm_cache_want any = want(name, 0, UINT64_MAX);
        if (at >> 62 == 0) {
            put(cache, name, wanted, round);
        } else if (at >> 58 == 63) {
            cvm_cache_remove(cache, &context, slice(name));
        } else if (cvm_cache_get(cache, &context, &any, &value) &&
                   strcmp(cvm_text_string(&value), wanted) != 0) {
            cvm_text_finish(&value);
            return CVM_FAIL(err, CVM_E_CORRUPT, "'%s' is no value of '%s'", value.data, name);
        }
    }
    cvm_text_finish(&value);
    return CVM_OK;
}

static void threads_share_a_cache(void **state)
{
    struct cvm_cache *cache = open_cache();
    struct cvm_pool *pool = NULL;
    (void)state;
    ASSERT_OK(cvm_pool_create(4, &pool, ERR));
    ASSERT_OK(cvm_pool_run(pool, 8, use_hard, cache, ERR));
    assert_true(cvm_cache_counts_of(cache).hits > 0);
    assert_int_equal(cvm_cache_counts_of(cache).errors, 0);
    cvm_pool_destroy(pool);
    cvm_cache_close(cache);
}

static int run(const char *name)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found_byte_for_byte),
        cmocka_unit_test(an_unknown_name_is_a_miss),
        cmocka_unit_test(names_of_any_bytes_do_not_meet),
        cmocka_unit_test(who_asks_says_which_versions_will_do),
        cmocka_unit_test(an_entry_lives_as_long_as_it_was_given),
        cmocka_unit_test(what_was_removed_is_gone),
        cmocka_unit_test(everything_is_counted_and_published),
        cmocka_unit_test(concurrent_callers_of_a_name_make_it_once),
        cmocka_unit_test(a_makers_failure_is_that_of_all_who_wait),
        cmocka_unit_test(after_a_maker_whose_time_ran_out_the_next_one_makes),
        cmocka_unit_test(who_waits_does_so_until_his_deadline),
        cmocka_unit_test(nobody_waits_for_a_version_that_will_not_do),
        cmocka_unit_test(threads_share_a_cache),
    };
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    struct redis_server server = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    (void)snprintf(url, sizeof(url), "memory:1MB");
    int failed = run("memory");
    if (redis_start(&server, NULL)) {
        (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d/1", server.port);
        failed += run("redis");
        redis_stop(&server);
    } else {
        puts("skipped: there is no redis-server here, so only memory: was tested");
    }
    return failed;
}
