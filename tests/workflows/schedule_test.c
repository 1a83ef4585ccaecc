/* Schedules: each moment once, whoever looks and however late. */
#include "workflows/schedule.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "support/store_support.h"

static struct cvm_arena *arena;
static const struct cvm_definition *batch;

static int set_up(void **state)
{
    char *text = NULL;
    size_t length = 0;
    (void)state;
    arena = cvm_arena_create((size_t)64 << 20);
    if (arena == NULL || cvm_file_read(arena, CVM_WORKFLOWS "/batch.yaml", 1 << 20, &text, &length,
                                       NULL) != CVM_OK) {
        return 1;
    }
    return cvm_definition_read(arena, "batch.yaml", text, length, &batch, NULL) != CVM_OK;
}

static int tear_down(void **state)
{
    (void)state;
    cvm_arena_destroy(arena);
    return 0;
}

static enum cvm_status read_text(const char *text, struct cvm_schedules *out, struct cvm_error *err)
{
    const struct cvm_yaml_node *root = NULL;
    assert_int_equal(cvm_yaml_read(arena, "cvm.yaml", text, strlen(text), &root, NULL), CVM_OK);
    return cvm_schedules_read(arena, cvm_yaml_member(root, "schedule"), "Europe/London", out, err);
}

static struct cvm_schedules nightly(const char *more)
{
    char text[400];
    struct cvm_schedules schedules;
    (void)snprintf(text, sizeof(text),
                   "schedule:\n  nightly:\n    workflow: batch\n    at: \"0 2 * * *\"\n"
                   "    input: {request: {as_of: $day, seed: 7, share: 0.5, all: true, "
                   "only: [\"7\", x]}}\n%s",
                   more);
    ASSERT_OK(read_text(text, &schedules, ERR));
    assert_int_equal(schedules.count, 1);
    return schedules;
}

static struct cvm_schedule_look look(struct cvm_store *store, const struct cvm_schedules *schedules)
{
    struct cvm_schedule_look result = {.missed = -1};
    support_begin(store);
    ASSERT_OK(
        cvm_schedule_look(store, arena, &schedules->items[0], batch, "schedule", &result, ERR));
    support_commit(store);
    return result;
}

static int64_t count(struct cvm_store *store, const char *sql)
{
    return support_number(cvm_store_db(store), sql);
}

#define HOUR INT64_C(3600000)

/* SUPPORT_NOW_MS is 2024-03-20T10:20:00Z. */
static void a_moment_starts_its_workflow_once(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_schedules schedules = nightly("");
    struct cvm_workflow workflow;
    assert_null(look(store, &schedules).outcome); /* nothing of the past */
    support_now_ms += 12 * HOUR;
    assert_null(look(store, &schedules).outcome);
    support_now_ms += 4 * HOUR; /* 02:20 of the 21st */
    struct cvm_schedule_look first = look(store, &schedules);
    assert_string_equal(first.outcome, "started");
    assert_int_equal(first.missed, 0);
    assert_int_equal(first.fire_ms, support_now_ms - HOUR / 3);
    assert_null(look(store, &schedules).outcome);
    ASSERT_OK(cvm_workflow_find(store, arena, first.workflow_id, &workflow, ERR));
    assert_string_equal(workflow.input, "{\"request\":{\"as_of\":\"2024-03-21\",\"seed\":7,"
                                        "\"share\":0.5,\"all\":true,\"only\":[\"7\",\"x\"]}}");
    assert_int_equal(count(store, "SELECT count(*) FROM schedule_fire"), 1);
    /* What rolls back has not been. */
    support_now_ms += 24 * HOUR;
    struct cvm_schedule_look undone;
    support_begin(store);
    ASSERT_OK(cvm_schedule_look(store, arena, &schedules.items[0], batch, "s", &undone, ERR));
    cvm_db_rollback(cvm_store_db(store));
    assert_string_equal(look(store, &schedules).outcome, "started");
    assert_int_equal(count(store, "SELECT count(*) FROM workflow"), 2);
    cvm_schedules_finish(&schedules);
    cvm_store_close(store);
}

static void of_what_was_missed_the_last_is_made_up_for(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_schedules schedules = nightly("");
    (void)look(store, &schedules);
    support_now_ms += 4 * 24 * HOUR;
    struct cvm_schedule_look late = look(store, &schedules);
    assert_int_equal(late.missed, 3);
    assert_string_equal(late.outcome, "started");
    assert_int_equal(count(store, "SELECT count(*) FROM schedule_fire WHERE outcome = 'missed'"),
                     3);
    assert_int_equal(count(store, "SELECT count(*) FROM workflow"), 1);
    support_now_ms -= 24 * HOUR; /* a clock that goes back */
    assert_null(look(store, &schedules).outcome);
    cvm_schedules_finish(&schedules);
    cvm_store_close(store);
}

static void stale_inputs_skip_a_moment(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_schedules schedules = nightly("    stale_after: 20h\n");
    (void)look(store, &schedules);
    support_now_ms += 24 * HOUR;
    assert_string_equal(look(store, &schedules).outcome, "skipped");
    assert_int_equal(count(store, "SELECT count(*) FROM schedule_fire WHERE why LIKE 'nothing%'"),
                     1);
    char sql[300];
    (void)snprintf(sql, sizeof(sql),
                   "INSERT INTO batch (batch, state, catalogue_version, started_at, finished_at) "
                   "VALUES (1, 'closed', 1, 0, %lld)",
                   (long long)(support_now_ms - 5 * HOUR));
    support_exec(cvm_store_db(store), sql);
    support_now_ms += 24 * HOUR; /* at 02:00 that was 20 h 40 min ago */
    assert_string_equal(look(store, &schedules).outcome, "skipped");
    assert_int_equal(count(store, "SELECT count(*) FROM schedule_fire WHERE why LIKE 'the last%'"),
                     1);
    support_exec(cvm_store_db(store), "UPDATE batch SET finished_at = finished_at + 90000000");
    support_now_ms += 24 * HOUR;
    assert_string_equal(look(store, &schedules).outcome, "started");
    cvm_schedules_finish(&schedules);
    cvm_store_close(store);
}

static void an_input_that_the_workflow_does_not_take_is_an_error(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_schedules schedules;
    struct cvm_schedule_look result;
    struct cvm_error err = {0};
    ASSERT_OK(read_text("schedule:\n  n: {workflow: batch, at: \"* * * * *\"}\n", &schedules, ERR));
    (void)look(store, &schedules);
    support_now_ms += HOUR;
    support_begin(store);
    assert_int_equal(
        cvm_schedule_look(store, arena, &schedules.items[0], batch, "s", &result, &err),
        CVM_E_INVALID);
    assert_non_null(strstr(err.message, "schedule 'n': workflow 'batch' needs the input"));
    cvm_db_rollback(cvm_store_db(store));
    cvm_schedules_finish(&schedules);
    cvm_store_close(store);
}

static void what_is_wrong_names_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *where;
        const char *words;
    } cases[] = {
        {"schedule: [a]\n", "cvm.yaml:1", "a map of at most 64"},
        {"schedule:\n  n: {at: \"* * * * *\"}\n", "cvm.yaml:2", "'workflow' is missing"},
        {"schedule:\n  n:\n    workflow: batch\n    at: 2 am\n", "cvm.yaml:4", "has 2 fields"},
        {"schedule:\n  n:\n    workflow: batch\n    at: \"0 2 * * *\"\n    zone: Mars/North\n",
         "cvm.yaml:5", "Mars/North"},
        {"schedule:\n  n:\n    workflow: batch\n    at: \"0 2 * * *\"\n    input: [1]\n",
         "cvm.yaml:5", "a map is allowed"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cvm_schedules schedules = {0};
        struct cvm_error err = {0};
        assert_true(read_text(cases[i].text, &schedules, &err) != CVM_OK);
        assert_string_equal(err.where, cases[i].where);
        assert_non_null(strstr(err.message, cases[i].words));
    }
    struct cvm_schedules none;
    ASSERT_OK(read_text("x: 1\n", &none, ERR));
    assert_int_equal(none.count, 0);
    cvm_schedules_finish(&none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_moment_starts_its_workflow_once),
        TEST(of_what_was_missed_the_last_is_made_up_for),
        TEST(stale_inputs_skip_a_moment),
        TEST(an_input_that_the_workflow_does_not_take_is_an_error),
        TEST(what_is_wrong_names_its_line),
    };
    return SUPPORT_RUN("schedules", tests);
}
