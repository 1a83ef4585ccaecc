/* Workflows and their steps as rows. */
#include "storage/workflow_store.h"

#include <string.h>

#include "storage/step_store.h"
#include "support/store_support.h"

#define DIGEST "0123456789abcdef"

static struct cvm_arena *arena;

static struct cvm_workflow workflow_of(const char *id, const char *key)
{
    return (struct cvm_workflow){
        .workflow_id = id,
        .name = "batch",
        .definition = DIGEST,
        .idempotency_key = key,
        .input_digest = "in",
        .input = "{}",
        .shards = 2,
        .partition_no = 5,
        .priority = 1,
        .created_ms = SUPPORT_NOW_MS,
        .who = "cli:ann",
    };
}

static bool add(struct cvm_store *store, const struct cvm_workflow *workflow)
{
    bool is_new = false;
    support_begin(store);
    ASSERT_OK(cvm_workflow_definition_add(store, DIGEST, "batch", "name: batch\n", ERR));
    ASSERT_OK(cvm_workflow_add(store, workflow, &is_new, ERR));
    support_commit(store);
    return is_new;
}

static struct cvm_store *start(void)
{
    struct cvm_store *store = support_fresh();
    struct cvm_workflow workflow = workflow_of("batch-0a", "key-1");
    arena = cvm_arena_create(1 << 20);
    assert_true(add(store, &workflow));
    return store;
}

static void finish(struct cvm_store *store)
{
    cvm_arena_destroy(arena);
    cvm_store_close(store);
}

static struct cvm_step step_at(struct cvm_store *store, int64_t shard)
{
    struct cvm_step step;
    struct cvm_step_key key = {.workflow_id = "batch-0a", .step_no = 1, .shard_no = shard};
    ASSERT_OK(cvm_step_get(store, arena, &key, &step, ERR));
    return step;
}

static void send(struct cvm_store *store, int64_t shard, int64_t attempt)
{
    struct cvm_step from = step_at(store, shard);
    struct cvm_step to = from;
    bool kept = false;
    to.state = CVM_STEP_RUNNING;
    to.attempt = attempt;
    to.epoch = 4;
    to.due_ms = SUPPORT_NOW_MS + 1000;
    ASSERT_OK(cvm_step_put(store, "batch-0a", &from, &to, &kept, ERR));
    assert_true(kept);
}

/* Step 1 in shards 0 and 1, shard 0 sent. */
static void add_steps(struct cvm_store *store)
{
    struct cvm_step_rows rows = {
        .workflow_id = "batch-0a",
        .step_no = 1,
        .name = "treat",
        .first_shard = 0,
        .last_shard = 1,
        .attempt_max = 3,
    };
    support_begin(store);
    ASSERT_OK(cvm_step_add(store, &rows, ERR));
    ASSERT_OK(cvm_step_add(store, &rows, ERR)); /* those that are there stay */
    send(store, 0, 1);
    support_commit(store);
}

static void a_key_that_is_taken_changes_nothing(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_workflow second = workflow_of("batch-0b", "key-1");
    struct cvm_workflow found;
    assert_false(add(store, &second));
    ASSERT_OK(cvm_workflow_by_key(store, arena, "key-1", &found, ERR));
    assert_string_equal(found.workflow_id, "batch-0a");
    assert_int_equal(found.state, CVM_WORKFLOW_ACCEPTED);
    assert_int_equal(found.wake_ms, SUPPORT_NOW_MS);
    assert_int_equal(found.started_ms, 0);
    assert_null(found.run_id);
    assert_int_equal(cvm_workflow_by_key(store, arena, "key-2", &found, NULL), CVM_E_NOT_FOUND);
    finish(store);
}

static void a_workflow_is_found_by_its_id_a_beginning_or_its_run(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_workflow second = workflow_of("batch-0a1", "key-2");
    struct cvm_workflow found;
    struct cvm_error err = {0};
    second.created_ms++;
    assert_true(add(store, &second));
    ASSERT_OK(cvm_workflow_find(store, arena, "batch-0a", &found, ERR));
    assert_string_equal(found.workflow_id, "batch-0a");
    ASSERT_OK(cvm_workflow_find(store, arena, "latest", &found, ERR));
    assert_string_equal(found.workflow_id, "batch-0a1");
    assert_int_equal(cvm_workflow_find(store, arena, "batch", &found, &err), CVM_E_CONFLICT);
    assert_int_equal(cvm_workflow_find(store, arena, "x", &found, &err), CVM_E_NOT_FOUND);
    assert_int_equal(cvm_workflow_find(store, arena, "", &found, &err), CVM_E_NOT_FOUND);
    support_begin(store);
    ASSERT_OK(cvm_workflow_lock(store, arena, "batch-0a", &found, ERR));
    found.run_id = "2024-03-20-ab";
    found.state = CVM_WORKFLOW_RUNNING;
    found.epoch = 9;
    found.wake_ms = 0;
    ASSERT_OK(cvm_workflow_put(store, &found, ERR));
    assert_int_equal(cvm_workflow_lock(store, arena, "batch", &found, NULL), CVM_E_NOT_FOUND);
    support_commit(store);
    ASSERT_OK(cvm_workflow_find(store, arena, "2024-03-20-ab", &found, ERR));
    assert_string_equal(found.workflow_id, "batch-0a");
    assert_int_equal(found.epoch, 9);
    finish(store);
}

static void definitions_are_kept_once(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    const char *body = NULL;
    ASSERT_OK(cvm_workflow_definition_get(store, arena, DIGEST, &body, ERR));
    assert_string_equal(body, "name: batch\n");
    assert_int_equal(cvm_workflow_definition_get(store, arena, "no", &body, NULL), CVM_E_NOT_FOUND);
    finish(store);
}

static enum cvm_status beat(struct cvm_store *store, const char *worker, int64_t attempt,
                            int64_t due_ms)
{
    const struct cvm_step_key key = {"batch-0a", 1, 0, attempt};
    /* The server has a clock of its own, so it is the deadline that tells when. */
    const struct cvm_step_life life = {worker, INT64_C(4000000000000), due_ms};
    return cvm_step_beat(store, &key, &life, NULL);
}

static void a_step_whose_worker_is_alive_is_its_alone_and_due_sooner(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    add_steps(store);
    support_begin(store);
    int64_t due_ms = step_at(store, 0).due_ms;
    assert_int_equal(beat(store, "a-1", 1, due_ms), CVM_OK);
    assert_int_equal(step_at(store, 0).due_ms, due_ms);
    assert_string_equal(step_at(store, 0).worker, "a-1");
    assert_false(step_at(store, 0).is_news);
    assert_int_equal(beat(store, "a-1", 1, due_ms - 5), CVM_OK);
    assert_int_equal(step_at(store, 0).due_ms, due_ms - 5);
    assert_true(step_at(store, 0).is_news); /* who looks has to look sooner */
    ASSERT_OK(cvm_step_news_take(store, "batch-0a", NULL, NULL, ERR));
    assert_int_equal(beat(store, "a-1", 1, due_ms - 1), CVM_OK);
    assert_int_equal(step_at(store, 0).due_ms, due_ms - 1);
    assert_false(step_at(store, 0).is_news);
    assert_int_equal(beat(store, "a-2", 1, due_ms), CVM_E_CONFLICT); /* its message came twice */
    assert_int_equal(beat(store, "a-1", 2, due_ms), CVM_E_CONFLICT);
    struct cvm_step from = step_at(store, 0);
    struct cvm_step to = from;
    bool is_kept = false;
    to.attempt = 2; /* sent again: it is nobody's */
    ASSERT_OK(cvm_step_put(store, "batch-0a", &from, &to, &is_kept, ERR));
    assert_true(is_kept);
    assert_null(step_at(store, 0).worker);
    assert_int_equal(beat(store, "a-2", 2, due_ms), CVM_OK);
    support_commit(store);
    finish(store);
}

static void a_result_counts_under_the_attempt_in_force_only(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_error err = {0};
    struct cvm_step_key key = {.workflow_id = "batch-0a", .step_no = 1, .attempt = 1};
    struct cvm_step_result result = {.worker = "t-1", .output = "{\"block\":7}", .customers = 64};
    add_steps(store);
    support_begin(store);
    key.attempt = 2;
    assert_int_equal(cvm_step_done(store, &key, &result, &err), CVM_E_CONFLICT);
    assert_non_null(strstr(err.message, "not in force"));
    key.attempt = 1;
    key.shard_no = 1; /* never sent */
    assert_int_equal(cvm_step_done(store, &key, &result, &err), CVM_E_CONFLICT);
    key.shard_no = 0;
    ASSERT_OK(cvm_step_done(store, &key, &result, ERR));
    assert_int_equal(cvm_step_done(store, &key, &result, &err), CVM_E_CONFLICT);
    support_commit(store);
    struct cvm_step step = step_at(store, 0);
    assert_int_equal(step.state, CVM_STEP_DONE);
    assert_string_equal(step.output, "{\"block\":7}");
    assert_string_equal(step.worker, "t-1");
    assert_int_equal(step.customers, 64);
    assert_int_equal(step.due_ms, 0);
    assert_int_equal(step.epoch, 4);
    assert_true(step.is_news);
    finish(store);
}

static enum cvm_status count_failure(void *state, const struct cvm_step_failure *failure,
                                     struct cvm_error *err)
{
    (void)err;
    assert_string_equal(failure->error_class, "transient");
    assert_int_equal(failure->epoch, 4);
    *(int64_t *)state = *(int64_t *)state * 10 + failure->attempt;
    return CVM_OK;
}

static void each_failed_attempt_is_remembered(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_step_key key = {.workflow_id = "batch-0a", .step_no = 1};
    struct cvm_step_failure failure = {
        .worker = "t-1", .error_class = "transient", .error = "server away"};
    int64_t attempts = 0;
    add_steps(store);
    support_begin(store);
    for (key.attempt = 1; key.attempt <= 3; key.attempt++) {
        ASSERT_OK(cvm_step_failed(store, &key, &failure, ERR));
        assert_int_equal(cvm_step_failed(store, &key, &failure, NULL), CVM_E_CONFLICT);
        assert_int_equal(step_at(store, 0).state, CVM_STEP_RETRY);
        assert_string_equal(step_at(store, 0).error, "server away");
        if (key.attempt < 3) {
            send(store, 0, key.attempt + 1);
        }
    }
    support_commit(store);
    ASSERT_OK(cvm_step_failure_list(store, "batch-0a", count_failure, &attempts, ERR));
    assert_int_equal(attempts, 123);
    finish(store);
}

static void a_step_that_moved_on_is_not_overwritten(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_step_key key = {.workflow_id = "batch-0a", .step_no = 1, .attempt = 1};
    struct cvm_step_result result = {.worker = "t-1"};
    add_steps(store);
    struct cvm_step from = step_at(store, 0);
    struct cvm_step to = from;
    bool kept = true;
    to.state = CVM_STEP_FAILED;
    support_begin(store);
    ASSERT_OK(cvm_step_done(store, &key, &result, ERR)); /* meanwhile */
    ASSERT_OK(cvm_step_put(store, "batch-0a", &from, &to, &kept, ERR));
    support_commit(store);
    assert_false(kept);
    assert_int_equal(step_at(store, 0).state, CVM_STEP_DONE);
    finish(store);
}

static void keep_news(void *state, const struct cvm_step_news *news)
{
    *(struct cvm_step_news *)state = *news;
}

static void what_has_news_or_whose_moment_came_is_due(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_workflow_ids ids;
    struct cvm_workflow workflow = workflow_of("batch-0c", "key-3");
    struct cvm_step_key key = {.workflow_id = "batch-0a", .step_no = 1, .attempt = 1};
    struct cvm_step_result result = {.worker = "t-1"};
    int64_t wake_ms = 0;
    workflow.priority = 7;
    assert_true(add(store, &workflow));
    ASSERT_OK(cvm_workflow_due(store, arena, 5, SUPPORT_NOW_MS, 10, &ids, ERR));
    assert_int_equal(ids.count, 2);
    assert_string_equal(ids.ids[0], "batch-0c"); /* of higher priority */
    ASSERT_OK(cvm_workflow_due(store, arena, 4, SUPPORT_NOW_MS, 10, &ids, ERR));
    assert_int_equal(ids.count, 0);

    support_begin(store);
    ASSERT_OK(cvm_workflow_lock(store, arena, "batch-0c", &workflow, ERR));
    workflow.state = CVM_WORKFLOW_COMPLETED;
    workflow.finished_ms = SUPPORT_NOW_MS;
    workflow.wake_ms = 0;
    ASSERT_OK(cvm_workflow_put(store, &workflow, ERR));
    ASSERT_OK(cvm_workflow_lock(store, arena, "batch-0a", &workflow, ERR));
    workflow.wake_ms = SUPPORT_NOW_MS + 50;
    ASSERT_OK(cvm_workflow_put(store, &workflow, ERR));
    support_commit(store);
    ASSERT_OK(cvm_workflow_due(store, arena, 5, SUPPORT_NOW_MS, 10, &ids, ERR));
    assert_int_equal(ids.count, 0);
    ASSERT_OK(cvm_workflow_next_wake(store, 5, &wake_ms, ERR));
    assert_int_equal(wake_ms, SUPPORT_NOW_MS + 50);
    ASSERT_OK(cvm_workflow_open_ids(store, arena, 5, &ids, ERR));
    assert_int_equal(ids.count, 1);
    assert_string_equal(ids.ids[0], "batch-0a");

    add_steps(store);
    support_begin(store);
    ASSERT_OK(cvm_step_done(store, &key, &result, ERR));
    support_commit(store);
    ASSERT_OK(cvm_workflow_due(store, arena, 5, SUPPORT_NOW_MS, 10, &ids, ERR));
    assert_int_equal(ids.count, 1);
    support_begin(store);
    struct cvm_step_news news = {.step_no = -1};
    ASSERT_OK(cvm_step_news_take(store, "batch-0a", keep_news, &news, ERR));
    assert_int_equal(news.step_no, 1);
    assert_int_equal(news.state, CVM_STEP_DONE);
    support_commit(store);
    ASSERT_OK(cvm_workflow_due(store, arena, 5, SUPPORT_NOW_MS, 10, &ids, ERR));
    assert_int_equal(ids.count, 0);
    finish(store);
}

static enum cvm_status count_workflow(void *state, const struct cvm_workflow *workflow,
                                      struct cvm_error *err)
{
    (void)err;
    *(int64_t *)state += workflow->created_ms - SUPPORT_NOW_MS + 1;
    return CVM_OK;
}

static void workflows_are_listed_and_forgotten_by_their_end(void **state)
{
    (void)state;
    struct cvm_store *store = start();
    struct cvm_workflow workflow = workflow_of("batch-0d", "key-4");
    struct cvm_steps steps;
    int64_t sum = 0;
    workflow.created_ms += 9;
    assert_true(add(store, &workflow));
    add_steps(store);
    ASSERT_OK(cvm_workflow_list(store, arena, NULL, 0, 10, count_workflow, &sum, ERR));
    assert_int_equal(sum, 11);
    sum = 0;
    ASSERT_OK(cvm_workflow_list(store, arena, "accepted", 0, 1, count_workflow, &sum, ERR));
    assert_int_equal(sum, 10);
    sum = 0;
    ASSERT_OK(cvm_workflow_list(store, arena, "dead", 0, 10, count_workflow, &sum, ERR));
    ASSERT_OK(cvm_workflow_list(store, arena, NULL, SUPPORT_NOW_MS, 9, count_workflow, &sum, ERR));
    assert_int_equal(sum, 0);
    support_begin(store);
    ASSERT_OK(cvm_workflow_lock(store, arena, "batch-0a", &workflow, ERR));
    workflow.state = CVM_WORKFLOW_FAILED;
    workflow.finished_ms = SUPPORT_NOW_MS;
    ASSERT_OK(cvm_workflow_put(store, &workflow, ERR));
    ASSERT_OK(cvm_workflow_purge(store, SUPPORT_NOW_MS, ERR));
    ASSERT_OK(cvm_step_list(store, arena, "batch-0a", &steps, ERR));
    assert_int_equal(steps.count, 2);
    assert_int_equal(steps.items[1].shard_no, 1);
    ASSERT_OK(cvm_workflow_purge(store, SUPPORT_NOW_MS + 1, ERR));
    ASSERT_OK(cvm_step_list(store, arena, "batch-0a", &steps, ERR));
    assert_int_equal(steps.count, 0);
    support_commit(store);
    assert_int_equal(support_number(cvm_store_db(store), "SELECT count(*) FROM workflow"), 1);
    finish(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_is_taken_changes_nothing),
        cmocka_unit_test(a_workflow_is_found_by_its_id_a_beginning_or_its_run),
        cmocka_unit_test(definitions_are_kept_once),
        cmocka_unit_test(a_step_whose_worker_is_alive_is_its_alone_and_due_sooner),
        cmocka_unit_test(a_result_counts_under_the_attempt_in_force_only),
        cmocka_unit_test(each_failed_attempt_is_remembered),
        cmocka_unit_test(a_step_that_moved_on_is_not_overwritten),
        cmocka_unit_test(what_has_news_or_whose_moment_came_is_due),
        cmocka_unit_test(workflows_are_listed_and_forgotten_by_their_end),
    };
    return SUPPORT_RUN("workflows", tests);
}
