/* Who is there: in memory and on a Redis server of the test's own. */
#include "agents/registry.h"

#include <stdio.h>
#include <string.h>

#include "storage/state.h"
#include "support/redis_support.h"
#include "support/store_support.h"

#define PATIENCE_MS 60000 /* a busy machine is no failure */

static struct cvm_context context = {.clock = {NULL}};
static struct redis_server server;

static struct cvm_state *open_at(const char *url)
{
    struct cvm_state_options options = {.prefix = "a:", .timeout_ms = PATIENCE_MS};
    struct cvm_state *state = NULL;
    support_now_ms = SUPPORT_NOW_MS;
    context.clock = cvm_clock_fixed(&support_now_ms);
    ASSERT_OK(cvm_state_open(url, &options, &state, ERR));
    return state;
}

static int set_up_memory(void **state)
{
    *state = open_at("memory:");
    return 0;
}

static int set_up_redis(void **state)
{
    char url[64];
    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%d", server.port);
    redis_tell(&server, "FLUSHALL");
    *state = open_at(url);
    return 0;
}

static int tear_down(void **state)
{
    cvm_state_close(*state);
    return 0;
}

static const struct cvm_registry_process general = {
    .name = "host.1",
    .version = "1.0",
    .incarnation = 7,
    .in_flight = 2,
    .serves = {{"treatment", 4}, {"journey", 1}},
    .serves_count = 2,
};
static const struct cvm_registry_process specialist = {
    .name = "host.2",
    .version = "1.1",
    .incarnation = 8,
    .serves = {{"treatment.call_center", 2}},
    .serves_count = 1,
};

/* Everybody has had the time to speak; what is in memory is never lost. */
static void let_it_be_whole(void)
{
    if (server.process != 0) {
        redis_tell(&server, "HSET a:group:agents \"\" 1");
    }
}

static struct cvm_registry_found find(struct cvm_state *state, const char *queue)
{
    struct cvm_registry_found found;
    ASSERT_OK(cvm_registry_find(state, &context, queue, &found, ERR));
    return found;
}

static void who_serves_a_queue_is_found_until_it_leaves(void **state_pointer)
{
    struct cvm_state *state = *state_pointer;
    assert_int_equal(find(state, "treatment").processes, 0);
    ASSERT_OK(cvm_registry_say(state, &context, &general, ERR));
    ASSERT_OK(cvm_registry_say(state, &context, &specialist, ERR));
    assert_int_equal(find(state, "treatment").processes, 1);
    assert_int_equal(find(state, "treatment").workers, 4);
    assert_int_equal(find(state, "treatment.call_center").workers, 2);
    assert_int_equal(find(state, "treatment.web").processes, 0);
    ASSERT_OK(cvm_registry_leave(state, &context, general.name, ERR));
    assert_int_equal(find(state, "treatment").processes, 0);
    assert_int_equal(find(state, "treatment.call_center").processes, 1);
}

static void who_drains_is_there_and_takes_no_more(void **state_pointer)
{
    struct cvm_state *state = *state_pointer;
    struct cvm_registry_process process = general;
    process.is_draining = true;
    ASSERT_OK(cvm_registry_say(state, &context, &process, ERR));
    struct cvm_registry_found found = find(state, "treatment");
    assert_int_equal(found.processes, 0);
    assert_int_equal(found.draining, 1);
}

static void a_request_goes_elsewhere_only_where_that_is_served(void **state_pointer)
{
    struct cvm_state *state = *state_pointer;
    assert_false(cvm_registry_is_better_served(NULL, &context, "treatment", "treatment.web"));
    assert_false(cvm_registry_is_better_served(state, &context, "treatment", "treatment.web"));
    ASSERT_OK(cvm_registry_say(state, &context, &general, ERR));
    ASSERT_OK(cvm_registry_say(state, &context, &specialist, ERR));
    let_it_be_whole();
    assert_true(cvm_registry_is_better_served(state, &context, "treatment", "treatment.web"));
    assert_false(
        cvm_registry_is_better_served(state, &context, "treatment", "treatment.call_center"));
}

static void one_look_that_finds_nobody_proves_nothing(void **state_pointer)
{
    struct cvm_state *state = *state_pointer;
    struct cvm_absence absence = {0};
    ASSERT_OK(cvm_registry_say(state, &context, &specialist, ERR));
    let_it_be_whole();
    assert_false(cvm_registry_is_unserved(state, &context, "treatment", &absence));
    support_now_ms += CVM_ABSENCE_MS - 1;
    assert_false(cvm_registry_is_unserved(state, &context, "treatment", &absence));
    ASSERT_OK(cvm_registry_say(state, &context, &general, ERR));
    assert_false(cvm_registry_is_unserved(state, &context, "treatment", &absence));
    ASSERT_OK(cvm_registry_leave(state, &context, general.name, ERR));
    ASSERT_OK(cvm_registry_say(state, &context, &specialist, ERR));
    assert_false(cvm_registry_is_unserved(state, &context, "treatment", &absence));
    support_now_ms += CVM_ABSENCE_MS;
    assert_true(cvm_registry_is_unserved(state, &context, "treatment", &absence));
    ASSERT_OK(cvm_registry_say(state, &context, &general, ERR));
    assert_false(cvm_registry_is_unserved(state, &context, "treatment", &absence));
}

/* Its queues do not fit, or another version says it otherwise. */
static void who_does_not_say_what_it_serves_may_serve_anything(void **state_pointer)
{
    struct cvm_state *state = *state_pointer;
    struct cvm_registry_process process = general;
    struct cvm_absence absence = {0};
    static const char name[] = "treatment.of_a_specialist_whose_name_is_long_enough_to_be_too_long";
    process.serves_count = CVM_REGISTRY_QUEUES_MAX;
    for (size_t i = 0; i < process.serves_count; i++) {
        process.serves[i].queue = name + i % 8;
        process.serves[i].workers = 1;
    }
    ASSERT_OK(cvm_registry_say(state, &context, &process, ERR));
    assert_int_equal(find(state, "treatment").unknown, 1);
    ASSERT_OK(cvm_registry_leave(state, &context, process.name, ERR));
    struct cvm_state_member other = {"agents", "host.3", "ready", 1000000};
    ASSERT_OK(cvm_state_announce(state, &context, &other, ERR));
    assert_int_equal(find(state, "treatment").unknown, 1);
    assert_false(cvm_registry_is_unserved(state, &context, "treatment", &absence));
    support_now_ms += CVM_ABSENCE_MS;
    assert_false(cvm_registry_is_unserved(state, &context, "treatment", &absence));
    assert_false(cvm_registry_is_better_served(state, &context, "journey", "treatment"));
}

static void who_is_not_found_in_a_young_registry_may_be_there(void **state_pointer)
{
    struct cvm_state *state = *state_pointer;
    struct cvm_absence absence = {0};
    ASSERT_OK(cvm_registry_say(state, &context, &general, ERR));
    ASSERT_OK(cvm_registry_say(state, &context, &specialist, ERR));
    let_it_be_whole();
    redis_tell(&server, "FLUSHALL");
    ASSERT_OK(cvm_registry_say(state, &context, &general, ERR)); /* the other one has not yet */
    assert_false(cvm_registry_is_unserved(state, &context, specialist.serves[0].queue, &absence));
    support_now_ms += CVM_REGISTRY_WHOLE_MS - 1;
    assert_false(cvm_registry_is_unserved(state, &context, specialist.serves[0].queue, &absence));
    assert_false(
        cvm_registry_is_better_served(state, &context, "treatment", specialist.serves[0].queue));
    support_now_ms += 1;
    assert_true(cvm_registry_is_unserved(state, &context, specialist.serves[0].queue, &absence));
}

static void while_the_registry_is_away_nobody_is_taken_for_gone(void **state_pointer)
{
    struct cvm_state *state = *state_pointer;
    struct cvm_absence absence = {0};
    ASSERT_OK(cvm_registry_say(state, &context, &general, ERR));
    assert_false(cvm_registry_is_unserved(state, &context, "journey.web", &absence));
    redis_stop(&server);
    for (int i = 0; i < 3; i++) {
        support_now_ms += CVM_REGISTRY_WHOLE_MS;
        assert_false(cvm_registry_is_unserved(state, &context, "journey.web", &absence));
    }
    assert_false(cvm_registry_is_better_served(state, &context, "treatment", "journey.web"));
}

#define CONTRACT(set_up)                                                                           \
    cmocka_unit_test_setup_teardown(who_serves_a_queue_is_found_until_it_leaves, set_up,           \
                                    tear_down),                                                    \
        cmocka_unit_test_setup_teardown(who_drains_is_there_and_takes_no_more, set_up, tear_down), \
        cmocka_unit_test_setup_teardown(a_request_goes_elsewhere_only_where_that_is_served,        \
                                        set_up, tear_down),                                        \
        cmocka_unit_test_setup_teardown(one_look_that_finds_nobody_proves_nothing, set_up,         \
                                        tear_down),                                                \
        cmocka_unit_test_setup_teardown(who_does_not_say_what_it_serves_may_serve_anything,        \
                                        set_up, tear_down)

int main(void)
{
    const struct CMUnitTest in_memory[] = {CONTRACT(set_up_memory)};
    const struct CMUnitTest on_redis[] = {
        CONTRACT(set_up_redis),
        cmocka_unit_test_setup_teardown(who_is_not_found_in_a_young_registry_may_be_there,
                                        set_up_redis, tear_down),
        cmocka_unit_test_setup_teardown(while_the_registry_is_away_nobody_is_taken_for_gone,
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
