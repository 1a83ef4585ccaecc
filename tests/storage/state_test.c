/* The state that agents share: one contract, in memory and on a Redis server of the test's own. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/threads.h"
#include "storage/state.h"
#include "support/redis_support.h"
#include "support/store_support.h"

#define PATIENCE_MS 60000 /* a busy machine is no failure */
#define LONG_MS     1000000

static struct cvm_context context = {.clock = {NULL}};
static struct redis_server server;

static struct cvm_state *open_at(const char *url, const char *prefix)
{
    struct cvm_state_options options = {.prefix = prefix, .timeout_ms = PATIENCE_MS};
    struct cvm_state *state = NULL;
    support_now_ms = SUPPORT_NOW_MS;
    context.clock = cvm_clock_fixed(&support_now_ms);
    ASSERT_OK(cvm_state_open(url, &options, &state, ERR));
    return state;
}

static int set_up_memory(void **state)
{
    *state = open_at("memory:", "a:");
    return 0;
}

static int set_up_redis(void **state)
{
    char url[64];
    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d", server.port);
    redis_tell(&server, "FLUSHALL");
    *state = open_at(url, "a:");
    return 0;
}

static int tear_down(void **state)
{
    cvm_state_close(*state);
    return 0;
}

static enum cvm_status add(struct cvm_state *state, int64_t amount, int64_t *out_total)
{
    struct cvm_state_addition addition = {"budget", amount, 10, LONG_MS};
    return cvm_state_add(state, &context, &addition, out_total, NULL);
}

static void a_counter_stays_within_its_bounds(void **state_pointer)
{
    struct cvm_state *state = *state_pointer;
    int64_t total = -1;
    assert_int_equal(add(state, 7, &total), CVM_OK);
    assert_int_equal(total, 7);
    assert_int_equal(add(state, 4, &total), CVM_E_CONFLICT);
    assert_int_equal(total, 7);
    assert_int_equal(add(state, 3, &total), CVM_OK);
    assert_int_equal(add(state, -11, &total), CVM_E_CONFLICT);
    assert_int_equal(add(state, -10, &total), CVM_OK);
    assert_int_equal(total, 0);
}

struct race {
    struct cvm_state *state;
    atomic_int added;
};

static enum cvm_status add_one(void *race_pointer, size_t item, size_t worker,
                               struct cvm_error *err)
{
    struct race *race = race_pointer;
    int64_t total = 0;
    (void)item;
    (void)worker;
    (void)err;
    enum cvm_status status = add(race->state, 1, &total);
    atomic_fetch_add(&race->added, status == CVM_OK ? 1 : 0);
    return status == CVM_E_CONFLICT ? CVM_OK : status;
}

static void of_many_who_add_at_once_no_more_than_fit_do(void **state_pointer)
{
    struct race race = {.state = *state_pointer};
    struct cvm_pool *pool = NULL;
    ASSERT_OK(cvm_pool_create(8, &pool, ERR));
    ASSERT_OK(cvm_pool_run(pool, 64, add_one, &race, ERR));
    cvm_pool_destroy(pool);
    assert_int_equal(race.added, 10);
}

static void one_owner_has_a_name_and_every_taking_a_higher_epoch(void **state_pointer)
{
    struct cvm_state *state = *state_pointer;
    struct cvm_state_claim mine = {"runs", "agent 1", LONG_MS};
    struct cvm_state_claim other = {"runs", "agent 2", LONG_MS};
    int64_t first = 0;
    int64_t again = 0;
    int64_t later = 0;
    ASSERT_OK(cvm_state_take(state, &context, &mine, &first, ERR));
    assert_true(first > 0);
    ASSERT_OK(cvm_state_take(state, &context, &mine, &again, ERR));
    assert_int_equal(again, first);
    assert_int_equal(cvm_state_take(state, &context, &other, &later, NULL), CVM_E_CONFLICT);
    ASSERT_OK(cvm_state_give_back(state, &context, &other, ERR)); /* it is not the other's */
    assert_int_equal(cvm_state_take(state, &context, &other, &later, NULL), CVM_E_CONFLICT);
    ASSERT_OK(cvm_state_give_back(state, &context, &mine, ERR));
    ASSERT_OK(cvm_state_take(state, &context, &other, &later, ERR));
    assert_true(later > first);
}

struct seen {
    size_t count;
    char last[CVM_STATE_VALUE_MAX + 1];
};

static enum cvm_status see(void *seen_pointer, const char *member, const char *value,
                           struct cvm_error *err)
{
    struct seen *seen = seen_pointer;
    (void)err;
    assert_int_equal(strncmp(member, "agent", 5), 0);
    seen->count++;
    (void)snprintf(seen->last, sizeof(seen->last), "%s", value);
    return CVM_OK;
}

static struct seen members(struct cvm_state *state)
{
    struct seen seen = {0};
    ASSERT_OK(cvm_state_members(state, &context, "agents", see, &seen, ERR));
    return seen;
}

static void members_are_listed_with_what_they_said_last(void **state_pointer)
{
    struct cvm_state *state = *state_pointer;
    struct cvm_state_member one = {"agents", "agent 1", "{\"inflight\":1}", LONG_MS};
    struct cvm_state_member two = {"agents", "agent 2", "", LONG_MS};
    assert_int_equal(members(state).count, 0);
    ASSERT_OK(cvm_state_announce(state, &context, &one, ERR));
    one.value = "{\"inflight\":2}";
    ASSERT_OK(cvm_state_announce(state, &context, &one, ERR));
    struct seen seen = members(state);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.last, one.value);
    ASSERT_OK(cvm_state_announce(state, &context, &two, ERR));
    assert_int_equal(members(state).count, 2);
    ASSERT_OK(cvm_state_leave(state, &context, &one, ERR));
    seen = members(state);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.last, "");
}

static void a_member_may_not_say_more_than_fits(void **state_pointer)
{
    char value[CVM_STATE_VALUE_MAX + 2];
    memset(value, 'x', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    struct cvm_state_member member = {"agents", "agent 1", value, LONG_MS};
    assert_int_equal(cvm_state_announce(*state_pointer, &context, &member, NULL), CVM_E_INVALID);
}

static void what_is_over_is_forgotten(void **state_pointer)
{
    struct cvm_state *state = *state_pointer;
    struct cvm_state_member one = {"agents", "agent 1", "x", 1000};
    struct cvm_state_claim mine = {"runs", "agent 1", 1000};
    struct cvm_state_claim other = {"runs", "agent 2", 1000};
    int64_t epoch = 0;
    int64_t total = 0;
    ASSERT_OK(cvm_state_announce(state, &context, &one, ERR));
    ASSERT_OK(cvm_state_take(state, &context, &mine, &epoch, ERR));
    assert_int_equal(add(state, 10, &total), CVM_OK);
    support_now_ms += LONG_MS;
    assert_int_equal(members(state).count, 0);
    ASSERT_OK(cvm_state_take(state, &context, &other, &epoch, ERR));
    assert_int_equal(epoch, 2);
    assert_int_equal(add(state, 10, &total), CVM_OK);
}

static void a_group_that_was_lost_is_young_again(void **state_pointer)
{
    struct cvm_state *state = *state_pointer;
    struct cvm_state_member one = {"agents", "agent 1", "x", LONG_MS};
    int64_t age_ms = -1;
    ASSERT_OK(cvm_state_group_age(state, &context, "agents", &age_ms, ERR));
    assert_int_equal(age_ms, 0);
    ASSERT_OK(cvm_state_announce(state, &context, &one, ERR));
    redis_tell(&server, "HSET a:group:agents \"\" 1");
    ASSERT_OK(cvm_state_announce(state, &context, &one, ERR));
    assert_int_equal(members(state).count, 1);
    ASSERT_OK(cvm_state_group_age(state, &context, "agents", &age_ms, ERR));
    assert_true(age_ms > LONG_MS);
    redis_tell(&server, "FLUSHALL");
    ASSERT_OK(cvm_state_announce(state, &context, &one, ERR));
    ASSERT_OK(cvm_state_group_age(state, &context, "agents", &age_ms, ERR));
    assert_in_range(age_ms, 0, LONG_MS);
}

/* ---- a server that is away ---- */

static void a_lost_server_is_an_error_and_a_new_one_begins_empty(void **state_pointer)
{
    struct cvm_state *state = *state_pointer;
    struct cvm_state_claim mine = {"runs", "agent 1", LONG_MS};
    struct cvm_state_claim other = {"runs", "agent 2", LONG_MS};
    int64_t epoch = 0;
    ASSERT_OK(cvm_state_take(state, &context, &mine, &epoch, ERR));
    redis_tell(&server, "FLUSHALL");
    ASSERT_OK(cvm_state_take(state, &context, &other, &epoch, ERR));
    redis_stop(&server);
    assert_int_equal(cvm_state_take(state, &context, &mine, &epoch, NULL), CVM_E_UNAVAILABLE);
    assert_int_equal(cvm_state_check(state, &context, NULL), CVM_E_UNAVAILABLE);
    assert_true(redis_start(&server, NULL));
    support_now_ms += LONG_MS; /* the pause of the breaker */
    ASSERT_OK(cvm_state_take(state, &context, &mine, &epoch, ERR));
}

static void a_wrong_url_is_refused_without_its_password(void **state_pointer)
{
    static const char *const urls[] = {"", "memory:x", "etcd://host", "redis:host",
                                       "redis://u:secret@:1"};
    (void)state_pointer;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct cvm_state_options options = {.prefix = NULL};
        struct cvm_state *state = NULL;
        struct cvm_error err = {0};
        assert_int_equal(cvm_state_open(urls[i], &options, &state, &err), CVM_E_INVALID);
        assert_null(strstr(err.message, "secret"));
    }
}

#define CONTRACT(set_up)                                                                           \
    cmocka_unit_test_setup_teardown(a_counter_stays_within_its_bounds, set_up, tear_down),         \
        cmocka_unit_test_setup_teardown(of_many_who_add_at_once_no_more_than_fit_do, set_up,       \
                                        tear_down),                                                \
        cmocka_unit_test_setup_teardown(one_owner_has_a_name_and_every_taking_a_higher_epoch,      \
                                        set_up, tear_down),                                        \
        cmocka_unit_test_setup_teardown(members_are_listed_with_what_they_said_last, set_up,       \
                                        tear_down),                                                \
        cmocka_unit_test_setup_teardown(a_member_may_not_say_more_than_fits, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest in_memory[] = {
        CONTRACT(set_up_memory),
        cmocka_unit_test_setup_teardown(what_is_over_is_forgotten, set_up_memory, tear_down),
        cmocka_unit_test(a_wrong_url_is_refused_without_its_password),
    };
    const struct CMUnitTest on_redis[] = {
        CONTRACT(set_up_redis),
        cmocka_unit_test_setup_teardown(a_group_that_was_lost_is_young_again, set_up_redis,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_lost_server_is_an_error_and_a_new_one_begins_empty,
                                        set_up_redis, tear_down),
    };
    int failed = cmocka_run_group_tests(in_memory, NULL, NULL);
    if (!redis_start(&server, NULL)) {
        (void)fprintf(stderr, "skipped on Redis: there is no redis-server here\n");
        return failed;
    }
    failed += cmocka_run_group_tests(on_redis, NULL, NULL);
    redis_stop(&server);
    return failed;
}
