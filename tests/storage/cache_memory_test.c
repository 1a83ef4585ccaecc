/* What memory: promises beyond the contract: its bound, and that scans do not wash it out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "storage/cache.h"
#include "support/store_support.h"

#define TTL_MS     1000000
#define VALUE_SIZE 200

static struct cvm_context context = {.clock = {NULL}};

static struct cvm_cache *open_cache(const char *url)
{
    struct cvm_cache *cache = NULL;
    support_now_ms = SUPPORT_NOW_MS;
    context.clock = cvm_clock_fixed(&support_now_ms);
    ASSERT_OK(cvm_cache_open(url, &(struct cvm_cache_options){0}, &cache, ERR));
    return cache;
}

/* Names are numbers. */
static bool get(struct cvm_cache *cache, uint64_t name, struct cvm_text *value)
{
    struct cvm_cache_want want = {{(const char *)&name, sizeof(name)}, 0, UINT64_MAX};
    return cvm_cache_get(cache, &context, &want, value);
}

static void put(struct cvm_cache *cache, uint64_t name, struct cvm_slice value)
{
    cvm_cache_put(cache, &context,
                  &(struct cvm_cache_entry){{(const char *)&name, sizeof(name)}, value, 1, TTL_MS});
}

/* Asked for, and put when it is not there, as a reader of customers does. */
static bool use(struct cvm_cache *cache, uint64_t name, struct cvm_text *value)
{
    static const char bytes[VALUE_SIZE];
    bool is_hit = get(cache, name, value);
    if (!is_hit) {
        put(cache, name, (struct cvm_slice){bytes, sizeof(bytes)});
    }
    return is_hit;
}

static size_t fill(struct cvm_cache *cache, uint64_t first, size_t count)
{
    struct cvm_text value;
    size_t hits = 0;
    cvm_text_init(&value, 0);
    for (size_t i = 0; i < count; i++) {
        hits += use(cache, first + i, &value);
    }
    cvm_text_finish(&value);
    return hits;
}

static void a_working_set_that_fits_stays(void **state)
{
    struct cvm_cache *cache = open_cache("memory:1MB");
    (void)state;
    fill(cache, 0, 3000); /* 256 bytes each with their heads: three quarters */
    assert_int_equal(fill(cache, 0, 3000), 3000);
    assert_int_equal(cvm_cache_counts_of(cache).evictions, 0);
    cvm_cache_close(cache);
}

static void a_scan_of_ten_times_the_room_leaves_nine_of_ten_that_are_asked_for(void **state)
{
    struct cvm_cache *cache = open_cache("memory:1MB");
    const size_t room = 3600;
    const size_t hot = room / 2;
    struct cvm_text value;
    size_t hits = 0;
    size_t asked = 0;
    (void)state;
    cvm_text_init(&value, 0);
    for (int round = 0; round < 4; round++) {
        fill(cache, 0, hot);
    }
    for (size_t i = 0; i < 10 * room; i++) { /* and one request in ten is for the hot set */
        (void)use(cache, 1000000 + i, &value);
        if (i % 10 == 0) {
            hits += use(cache, i / 10 * 7919 % hot, &value);
            asked++;
        }
    }
    /* LRU keeps none of them: between two requests for one, five times the room passes by. */
    print_message("during the scan %zu of %zu, ", hits, asked);
    assert_true(hits * 10 >= asked * 9);
    size_t left = fill(cache, 0, hot);
    print_message("after it %zu of %zu\n", left, hot);
    assert_true(left * 10 >= hot * 9);
    cvm_text_finish(&value);
    cvm_cache_close(cache);
}

static void another_working_set_takes_over(void **state)
{
    struct cvm_cache *cache = open_cache("memory:1MB");
    (void)state;
    for (int round = 0; round < 10; round++) {
        fill(cache, 0, 3000);
    }
    for (int round = 0; round < 10; round++) {
        fill(cache, 1000000, 3000);
    }
    assert_true(fill(cache, 1000000, 3000) >= 2900);
    cvm_cache_close(cache);
}

/* Random use in a room so small that its queues wrap around all the time, beside what was put last.
 * A hit is that, whatever was evicted; and room and counts agree. */
static void a_hit_is_what_was_put_last_whatever_was_evicted(void **state)
{
    enum { COUNT = 300, STEPS = 300000 };
    static unsigned sizes[COUNT];
    static unsigned char marks[COUNT];
    static char bytes[4096];
    struct cvm_cache *cache = open_cache("memory:64KB");
    struct cvm_random random;
    struct cvm_text value;
    size_t hits = 0;
    (void)state;
    cvm_random_init(&random, 7);
    cvm_text_init(&value, 0);
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t name = cvm_random_below(&random, cvm_random_below(&random, COUNT) + 1);
        unsigned what = (unsigned)cvm_random_below(&random, 16);
        support_now_ms += what == 0;
        if (what == 1) {
            cvm_cache_remove(cache, &context,
                             (struct cvm_slice){(const char *)&name, sizeof(name)});
            marks[name] = 0;
        } else if (what < 6) {
            unsigned kind = (unsigned)cvm_random_below(&random, 100);
            sizes[name] =
                kind == 0 ? 3500 : (unsigned)cvm_random_below(&random, kind < 5 ? 2600 : 300);
            marks[name] = (unsigned char)(1 + step % 255);
            memset(bytes, marks[name], sizes[name]);
            put(cache, name, (struct cvm_slice){bytes, sizes[name]});
            marks[name] = sizes[name] > 2600 ? 0 : marks[name]; /* too big to be kept */
        } else if (get(cache, name, &value)) {
            memset(bytes, marks[name], sizes[name]);
            assert_int_not_equal(marks[name], 0);
            assert_int_equal(value.length, sizes[name]);
            assert_memory_equal(cvm_text_string(&value), bytes, sizes[name]);
            hits++;
        }
        if (step % 1000 == 0) {
            assert_true(cvm_cache_counts_of(cache).bytes < 64 << 10);
        }
    }
    struct cvm_cache_counts counts = cvm_cache_counts_of(cache);
    print_message("%zu hits, %llu evictions, %llu entries\n", hits,
                  (unsigned long long)counts.evictions, (unsigned long long)counts.entries);
    assert_true(hits > STEPS / 4 && counts.evictions > 1000 && counts.entries <= COUNT);
    cvm_text_finish(&value);
    cvm_cache_close(cache);
}

static void a_value_that_is_too_big_is_not_kept_nor_is_the_one_before_it(void **state)
{
    static char bytes[512 << 10];
    struct cvm_cache *cache = open_cache("memory:1MB");
    struct cvm_text value;
    (void)state;
    cvm_text_init(&value, 0);
    put(cache, 1, (struct cvm_slice){bytes, 10});
    put(cache, 1, (struct cvm_slice){bytes, sizeof(bytes)});
    assert_false(get(cache, 1, &value));
    assert_int_equal(cvm_cache_counts_of(cache).errors, 1);
    assert_int_equal(cvm_cache_counts_of(cache).entries, 0);
    cvm_text_finish(&value);
    cvm_cache_close(cache);
}

static void urls_are_checked_and_never_shown_with_their_password(void **state)
{
    static const char *const bad[] = {
        "memory",
        "memory:1",
        "memory:0MB",
        "memory:63KB",
        "memory:-1MB",
        "memory:64MB ",
        "memory:300GB",
        "memory:99999999999999999999GB",
        "memcached://host",
        "rediss://user:secret@host",
        "redis:secret",
        "redis://:secret@",
        "redis://:secret@host:0",
        "redis://:secret@host:65536",
        "redis://:secret@host:6379/x",
        "redis://:secret@host:6379/-1",
        "redis://secret@host",
        "redis://user:@host/secret",
        "redis://:sec%2ret@host",
        "redis://:secret%00@host",
        "redis://:secret@[::1",
        "redis://:secret@[::1]x",
        "",
    };
    static const char *const good[] = {
        "memory:",
        "memory:64KB",
        "memory:3MB",
        "redis://host",
        "redis://[::1]:6380/2",
        "redis://user:p%40ss%2Fword%25@host:1/",
        "redis://:p@ss@host",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cvm_cache *cache = NULL;
        struct cvm_error err = {0};
        enum cvm_status status =
            cvm_cache_open(bad[i], &(struct cvm_cache_options){0}, &cache, &err);
        if (status != CVM_E_INVALID || strstr(err.message, "secret") != NULL ||
            strstr(err.hint, "secret") != NULL || cache != NULL) {
            fail_msg("'%s': %d %s", bad[i], status, err.message);
        }
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cvm_cache_close(open_cache(good[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_working_set_that_fits_stays),
        cmocka_unit_test(a_scan_of_ten_times_the_room_leaves_nine_of_ten_that_are_asked_for),
        cmocka_unit_test(another_working_set_takes_over),
        cmocka_unit_test(a_hit_is_what_was_put_last_whatever_was_evicted),
        cmocka_unit_test(a_value_that_is_too_big_is_not_kept_nor_is_the_one_before_it),
        cmocka_unit_test(urls_are_checked_and_never_shown_with_their_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
