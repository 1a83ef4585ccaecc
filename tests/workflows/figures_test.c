/* How agents did, from rows of steps, failures, marks of messages and changes of workers. */
#include "workflows/figures.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "storage/agent_events.h"
#include "storage/turn.h"
#include "support/store_support.h"

#define T0   SUPPORT_NOW_MS
#define HOUR INT64_C(3600000)

static struct cvm_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = cvm_arena_create((size_t)64 << 20);
    support_now_ms = T0;
    return arena == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    cvm_arena_destroy(arena);
    return 0;
}

static void exec(struct cvm_store *store, const char *format, ...) CVM_PRINTF(2, 3);
static void exec(struct cvm_store *store, const char *format, ...)
{
    char sql[600];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sql, sizeof(sql), format, arguments);
    va_end(arguments);
    support_exec(cvm_store_db(store), sql);
}

static void add_workflow(struct cvm_store *store, const char *id, const char *digest,
                         int64_t accepted_ms)
{
    exec(store,
         "INSERT INTO workflow (workflow_id, name, definition, state, idempotency_key, "
         "input_digest, input, shards, partition_no, priority, epoch, recovery_attempts, "
         "created_at, who) VALUES ('%s', 'batch', '%s', 'running', '%s', '', '{}', -1, 0, 0, 1, "
         "0, %" PRId64 ", 'test')",
         id, digest, id, accepted_ms);
}

/* A shard that took `asked` to its result, and `turn` of it at its worker. */
struct row {
    int64_t step_no, shard_no, attempt;
    const char *state;
    int64_t finished_ms, asked_ms, turn_ms;
};
static void add_step(struct cvm_store *store, const char *id, const struct row *row)
{
    exec(store,
         "INSERT INTO step (workflow_id, step_no, shard_no, name, state, attempt, attempt_max, "
         "epoch, is_news, customers, queued_at, started_at, finished_at) VALUES ('%s', %" PRId64
         ", %" PRId64 ", 'x', '%s', %" PRId64 ", 8, 1, 0, 10, %" PRId64 ", %" PRId64 ", %" PRId64
         ")",
         id, row->step_no, row->shard_no, row->state, row->attempt,
         row->finished_ms - row->asked_ms, row->finished_ms - row->turn_ms, row->finished_ms);
}

static struct cvm_store *fresh(void)
{
    struct cvm_store *store = support_fresh();
    char *text = NULL;
    size_t length = 0;
    ASSERT_OK(cvm_file_read(arena, CVM_WORKFLOWS "/batch.yaml", 1 << 20, &text, &length, NULL));
    support_begin(store);
    ASSERT_OK(cvm_workflow_definition_add(store, "one", "batch", text, NULL));
    ASSERT_OK(cvm_workflow_definition_add(store, "odd", "batch", "workflow: [", NULL));
    support_commit(store);
    return store;
}

static const struct cvm_kind_figures *
read_kind(struct cvm_store *store, const struct cvm_figure_window *window, const char *kind)
{
    struct cvm_figures figures;
    ASSERT_OK(cvm_figures_read(store, arena, window, &figures, NULL));
    for (size_t k = 0; k < figures.count; k++) {
        if (strcmp(figures.kinds[k]->kind, kind) == 0) {
            return figures.kinds[k];
        }
    }
    return NULL;
}

static const struct cvm_figure_window last_hour = {.since_ms = T0 - HOUR, .until_ms = T0};

static void steps_count_for_the_agent_that_their_definition_names(void **state)
{
    struct cvm_store *store = fresh();
    (void)state;
    add_workflow(store, "w1", "one", T0 - HOUR);
    add_step(store, "w1", &(struct row){0, 0, 1, "done", T0 - 100, 50, 20});
    for (int64_t shard = 0; shard < 100; shard++) {
        add_step(store, "w1", &(struct row){1, shard, 1, "done", T0 - 1, 10 * (shard + 1), 5});
    }
    add_step(store, "w1", &(struct row){1, 100, 3, "failed", T0 - 1, 0, 0});
    add_step(store, "w1", &(struct row){1, 101, 1, "running", T0 - 1, 0, 0});
    add_step(store, "w1", &(struct row){1, 102, 1, "done", T0, 9, 9}); /* not of the window */
    const struct cvm_kind_figures *treatment = read_kind(store, &last_hour, "treatment");
    assert_int_equal(treatment->steps, 100);
    assert_int_equal(treatment->customers, 1000);
    assert_int_equal(treatment->steps_given_up, 1);
    assert_int_equal(treatment->retries, 2);
    assert_true(fabs(cvm_spans_quantile(&treatment->asked, 0.5) - 0.5) < 0.5 * 0.03);
    assert_true(fabs(cvm_spans_quantile(&treatment->asked, 0.99) - 0.99) < 0.99 * 0.03);
    assert_true(cvm_spans_quantile(&treatment->turn, 0.99) == 0.005);
    assert_int_equal(read_kind(store, &last_hour, "data")->steps, 1);
    const struct cvm_kind_figures *journey = read_kind(store, &last_hour, "journey");
    assert_int_equal(journey->steps, 0); /* who did nothing is told too */
    assert_true(isnan(cvm_spans_quantile(&journey->asked, 0.5)));
    cvm_store_close(store);
}

static void failures_stand_by_class_and_turns_are_what_was_kept(void **state)
{
    static const char *const failures[][2] = {
        {"0", "timeout"}, {"1", "timeout"}, {"2", "transient"}};
    struct cvm_store *store = fresh();
    unsigned char id[CVM_TURN_MESSAGE_ID_BYTES] = {0};
    (void)state;
    add_workflow(store, "w1", "one", T0 - HOUR);
    add_step(store, "w1", &(struct row){1, 0, 2, "done", T0 - 1, 7, 7});
    for (size_t f = 0; f < 3; f++) {
        exec(store,
             "INSERT INTO step_failure (workflow_id, step_no, shard_no, attempt, epoch, "
             "error_class, error, failed_at) VALUES ('w1', 1, %s, 1, 1, '%s', 'x', %" PRId64 ")",
             failures[f][0], failures[f][1], T0 - 5);
    }
    support_now_ms = T0 - 3;
    for (int turn = 0; turn < 5; turn++) {
        struct cvm_turn_key key = {.consumer = turn < 4 ? "treatment" : "journey"};
        struct cvm_turn_transaction transaction;
        id[0] = (unsigned char)turn;
        memcpy(key.message_id, id, sizeof(id));
        ASSERT_OK(cvm_turn_begin(store, &key, &transaction, NULL));
        ASSERT_OK(cvm_turn_commit(&transaction, NULL));
    }
    support_begin(store);
    ASSERT_OK(cvm_agent_event_add(
        store,
        &(struct cvm_agent_event){
            .agent_type = "treatment.call_center", .agent = "a", .event = "busy", .inputs = "{}"},
        NULL));
    support_commit(store);
    const struct cvm_kind_figures *treatment = read_kind(store, &last_hour, "treatment");
    assert_int_equal(treatment->failures[CVM_FAILURE_TIMEOUT], 2);
    assert_int_equal(treatment->failures[CVM_FAILURE_TRANSIENT], 1);
    assert_int_equal(treatment->turns, 4);
    assert_int_equal(treatment->changes, 1); /* of its specialists too */
    assert_int_equal(read_kind(store, &last_hour, "journey")->turns, 1);
    struct cvm_figure_window own = last_hour;
    own.workflow_id = "w1"; /* each attempt is a turn then */
    assert_int_equal(read_kind(store, &own, "treatment")->turns, 4);
    assert_int_equal(read_kind(store, &own, "treatment")->retries, 1);
    assert_int_equal(read_kind(store, &own, "journey")->turns, 0);
    own.workflow_id = "w2";
    assert_int_equal(read_kind(store, &own, "treatment")->turns, 0);
    cvm_store_close(store);
}

static void what_is_long_over_or_can_not_be_read_is_told_apart(void **state)
{
    struct cvm_store *store = fresh();
    (void)state;
    add_workflow(store, "w1", "odd", T0 - HOUR);
    add_workflow(store, "w2", "one", T0 - 60 * HOUR);
    add_step(store, "w1", &(struct row){0, 0, 1, "done", T0 - 1, 7, 7});
    add_step(store, "w2", &(struct row){0, 0, 1, "done", T0 - 1, 7, 7});
    assert_int_equal(read_kind(store, &last_hour, "unknown")->steps, 1);
    assert_int_equal(read_kind(store, &last_hour, "data")->steps, 0);
    cvm_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(steps_count_for_the_agent_that_their_definition_names,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_stand_by_class_and_turns_are_what_was_kept, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_long_over_or_can_not_be_read_is_told_apart, set_up,
                                        tear_down),
    };
    return SUPPORT_RUN("figures", tests);
}
