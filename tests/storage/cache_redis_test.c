/* A Redis server that is away, slow, full, emptied, locked or somebody else: always a miss, never
 * more. Exit 77 (skipped) where there is none to test with. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "storage/cache.h"
#include "support/redis_support.h"
#include "support/store_support.h"

#define TTL_MS      1000000
#define PATIENCE_MS 60000 /* a busy machine is no failure */
#define PAUSE_MS    40000 /* longer than any pause of the breaker */

static struct cvm_context context = {.clock = {NULL}};

static struct cvm_cache *open_with(const char *login, int port, int timeout_ms)
{
    char url[128];
    struct cvm_cache *cache = NULL;
    struct cvm_cache_options options = {.prefix = "cvm:", .timeout_ms = timeout_ms};
    support_now_ms = SUPPORT_NOW_MS;
    context.clock = cvm_clock_fixed(&support_now_ms);
    (void)snprintf(url, sizeof(url), "redis://%s127.0.0.1:%d", login, port);
    ASSERT_OK(cvm_cache_open(url, &options, &cache, ERR));
    return cache;
}

static struct cvm_cache *open_cache(int port)
{
    return open_with("", port, PATIENCE_MS);
}

static bool has(struct cvm_cache *cache, const char *name)
{
    struct cvm_cache_want want = {{name, strlen(name)}, 0, UINT64_MAX};
    struct cvm_text value;
    cvm_text_init(&value, 0);
    bool is_hit = cvm_cache_get(cache, &context, &want, &value);
    assert_string_equal(cvm_text_string(&value), is_hit ? name : "");
    cvm_text_finish(&value);
    return is_hit;
}

/* The value is the name. */
static void put(struct cvm_cache *cache, const char *name)
{
    struct cvm_slice text = {name, strlen(name)};
    cvm_cache_put(cache, &context, &(struct cvm_cache_entry){text, text, 1, TTL_MS});
}

static uint64_t errors(struct cvm_cache *cache)
{
    return cvm_cache_counts_of(cache).errors;
}

static struct redis_server start(void)
{
    struct redis_server server = {0};
    assert_true(redis_start(&server, NULL));
    return server;
}

static void a_killed_server_is_missed_and_taken_up_again(void **state)
{
    struct redis_server server = start();
    struct cvm_cache *cache = open_cache(server.port);
    struct cvm_error err = {0};
    (void)state;
    put(cache, "U1");
    assert_true(has(cache, "U1"));
    redis_stop(&server);
    assert_false(has(cache, "U1"));
    put(cache, "U1");
    assert_int_equal(errors(cache), 2);
    assert_int_equal(cvm_cache_check(cache, &context, &err), CVM_E_UNAVAILABLE);
    assert_non_null(strstr(err.message, "127.0.0.1"));
    assert_true(redis_start(&server, NULL));
    put(cache, "U1"); /* nobody looks before the pause is over */
    assert_int_equal(errors(cache), 3);
    support_now_ms += PAUSE_MS;
    put(cache, "U1");
    assert_true(has(cache, "U1"));
    assert_int_equal(errors(cache), 3);
    cvm_cache_close(cache);
    redis_stop(&server);
}

static void a_server_that_was_started_anew_is_no_failure(void **state)
{
    struct redis_server server = start();
    struct cvm_cache *cache = open_cache(server.port);
    (void)state;
    put(cache, "U1");
    redis_stop(&server);
    assert_true(redis_start(&server, NULL));
    assert_false(has(cache, "U1")); /* the connection is dead, the next one is not */
    put(cache, "U1");
    assert_true(has(cache, "U1"));
    assert_int_equal(errors(cache), 0);
    cvm_cache_close(cache);
    redis_stop(&server);
}

static void an_emptied_server_is_a_miss_and_no_error(void **state)
{
    struct redis_server server = start();
    struct cvm_cache *cache = open_cache(server.port);
    (void)state;
    put(cache, "U1");
    redis_tell(&server, "FLUSHALL");
    assert_false(has(cache, "U1"));
    put(cache, "U1");
    assert_true(has(cache, "U1"));
    assert_int_equal(errors(cache), 0);
    cvm_cache_close(cache);
    redis_stop(&server);
}

static void a_server_that_stands_still_is_waited_for_once(void **state)
{
    struct redis_server server = start();
    struct cvm_cache *cache = open_with("", server.port, 50);
    (void)state;
    put(cache, "U1");
    if (!has(cache, "U1")) { /* too busy a machine for 50 ms: wait until it is not */
        support_now_ms += PAUSE_MS;
    }
    redis_pause(&server, true);
    for (int i = 0; i < 100000; i++) { /* more than an hour, were each of them to wait */
        assert_false(has(cache, "U1"));
    }
    redis_pause(&server, false);
    assert_false(has(cache, "U1"));
    assert_true(errors(cache) >= 100001);
    cvm_cache_close(cache);
    cache = open_cache(server.port);
    put(cache, "U1");
    assert_true(has(cache, "U1"));
    cvm_cache_close(cache);
    redis_stop(&server);
}

static void the_pause_after_a_failure_doubles_up_to_half_a_minute(void **state)
{
    int port = 0;
    struct redis_babbler *babbler = redis_babbler_start("", 0, &port);
    struct cvm_cache *cache = open_cache(port);
    (void)state;
    for (int i = 0; i < 60000; i++) { /* ten minutes */
        assert_false(has(cache, "U1"));
        support_now_ms += 10;
    }
    cvm_cache_close(cache);
    int tries = redis_babbler_stop(babbler);
    print_message("%d tries in ten minutes\n", tries);
    assert_in_range(tries, 20, 30); /* 9 while it doubles, then one in 30 to 36 seconds */
}

static void a_full_server_keeps_nothing_and_is_asked_on(void **state)
{
    struct redis_server server = start();
    struct cvm_cache *cache = open_cache(server.port);
    (void)state;
    put(cache, "U1");
    redis_tell(&server, "CONFIG SET maxmemory 1");
    put(cache, "U2");
    assert_int_equal(errors(cache), 1);
    assert_false(has(cache, "U2"));
    assert_true(has(cache, "U1"));
    redis_tell(&server, "CONFIG SET maxmemory 0");
    put(cache, "U2");
    assert_true(has(cache, "U2"));
    assert_int_equal(errors(cache), 1);
    cvm_cache_close(cache);
    redis_stop(&server);
}

static void rubbish_for_an_answer_is_a_miss(void **state)
{
    static const char *const words[] = {
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "$5\r\nab",
        "$4\r\nabcd\r\n",
        "$99999999999999999999\r\n",
        "$-2\r\n",
        ":1\r\n",
        "+OK\r\n",
        "-ERR no\r\n",
        "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
        "*1000000\r\n",
        "\r\n",
        "\xff\xfe",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        int port = 0;
        struct redis_babbler *babbler = redis_babbler_start(words[i], 1, &port);
        struct cvm_cache *cache = open_cache(port);
        assert_false(has(cache, "U1"));
        assert_int_equal(errors(cache), 1);
        cvm_cache_remove(cache, &context, (struct cvm_slice){"U1", 2});
        cvm_cache_close(cache);
        redis_babbler_stop(babbler);
    }
}

static void what_somebody_else_wrote_or_damaged_is_no_value(void **state)
{
    static const char *const deeds[] = {
        "SET cvm:U1 U1",        "SET cvm:U1 cvmcach1", "SETRANGE cvm:U1 9 x",
        "SETRANGE cvm:U1 33 2", "APPEND cvm:U1 x",     "COPY cvm:U2 cvm:U1 REPLACE",
        "SETRANGE cvm:U1 0 x",
    };
    struct redis_server server = start();
    struct cvm_cache *cache = open_cache(server.port);
    (void)state;
    for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
        put(cache, "U1");
        put(cache, "U2");
        assert_true(has(cache, "U1"));
        redis_tell(&server, deeds[i]);
        assert_false(has(cache, "U1"));
        assert_int_equal(errors(cache), i + 1);
    }
    redis_tell(&server, "DEL cvm:U1");
    redis_tell(&server, "LPUSH cvm:U1 x");
    assert_false(has(cache, "U1"));
    put(cache, "U1");
    assert_true(has(cache, "U1"));
    cvm_cache_close(cache);
    redis_stop(&server);
}

static void a_refused_login_is_a_miss_and_its_message_keeps_the_password(void **state)
{
    static const char *const options[] = {"--requirepass", "right",  "--user", "cvm", "on",
                                          ">p@s:s/%",      "~cvm:*", "+@all",  NULL};
    static const struct login {
        const char *text;
        bool is_good;
    } logins[] = {
        {":right@", true},     {"default:right@", true}, {"cvm:p%40s%3as%2F%25@", true},
        {":wrong@", false},    {"nobody:right@", false}, {"", false},
        {"cvm:right@", false},
    };
    struct redis_server server = {0};
    (void)state;
    assert_true(redis_start(&server, options));
    for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
        struct cvm_cache *cache = open_with(logins[i].text, server.port, PATIENCE_MS);
        struct cvm_error err = {0};
        enum cvm_status status = cvm_cache_check(cache, &context, &err);
        assert_int_equal(status, logins[i].is_good ? CVM_OK : CVM_E_DENIED);
        assert_null(strstr(err.message, "wrong"));
        assert_null(strstr(err.message, "right"));
        put(cache, "U1");
        assert_int_equal(has(cache, "U1"), logins[i].is_good);
        cvm_cache_close(cache);
    }
    redis_stop(&server);
}

static void names_of_two_stores_do_not_meet(void **state)
{
    struct redis_server server = start();
    struct cvm_cache *mine = open_cache(server.port);
    struct cvm_cache *other = NULL;
    char url[64];
    (void)state;
    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d", server.port);
    struct cvm_cache_options options = {.prefix = "other:", .timeout_ms = PATIENCE_MS};
    ASSERT_OK(cvm_cache_open(url, &options, &other, ERR));
    put(mine, "U1");
    assert_false(has(other, "U1"));
    assert_true(has(mine, "U1"));
    cvm_cache_close(other);
    cvm_cache_close(mine);
    redis_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_server_is_missed_and_taken_up_again),
        cmocka_unit_test(a_server_that_was_started_anew_is_no_failure),
        cmocka_unit_test(an_emptied_server_is_a_miss_and_no_error),
        cmocka_unit_test(a_server_that_stands_still_is_waited_for_once),
        cmocka_unit_test(the_pause_after_a_failure_doubles_up_to_half_a_minute),
        cmocka_unit_test(a_full_server_keeps_nothing_and_is_asked_on),
        cmocka_unit_test(rubbish_for_an_answer_is_a_miss),
        cmocka_unit_test(what_somebody_else_wrote_or_damaged_is_no_value),
        cmocka_unit_test(a_refused_login_is_a_miss_and_its_message_keeps_the_password),
        cmocka_unit_test(names_of_two_stores_do_not_meet),
    };
    struct redis_server server = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    if (!redis_start(&server, NULL)) {
        puts("skipped: there is no redis-server here");
        return 77;
    }
    redis_stop(&server);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
