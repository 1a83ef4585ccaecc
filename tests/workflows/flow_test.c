/* Workflows at work on a store: accepted, looked at, done by workers, taken up after crashes. */
#include "workflows/flow.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/random.h"
#include "base/threads.h"
#include "storage/dead_letter.h"
#include "support/db_faulty.h"
#include "support/store_support.h"

static struct cvm_arena *arena;
static const struct cvm_definition *batch;

static int set_up(void **state)
{
    char *text = NULL;
    size_t length = 0;
    (void)state;
    arena = cvm_arena_create((size_t)256 << 20);
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

/* ---- a site: a store, who works on workflows, and workers ---- */

/* What a worker needs to know of a message, as its bytes. */
struct order {
    char workflow_id[CVM_WORKFLOW_ID_MAX + 1];
    int64_t step_no;
    int64_t shard;
    int64_t attempt;
    int64_t epoch;
    unsigned char message_id[CVM_TURN_MESSAGE_ID_BYTES];
    unsigned char idempotency_key[32];
    char payload[600];
};

static enum cvm_status encode(void *state, const struct cvm_flow_message *message,
                              struct cvm_text *out, struct cvm_error *err)
{
    struct order order = {
        .step_no = message->step_no,
        .shard = message->shard,
        .attempt = message->attempt,
        .epoch = message->epoch,
    };
    (void)state;
    (void)err;
    (void)snprintf(order.workflow_id, sizeof(order.workflow_id), "%s", message->workflow_id);
    (void)snprintf(order.payload, sizeof(order.payload), "%s", message->payload);
    memcpy(order.message_id, message->message_id, sizeof(order.message_id));
    memcpy(order.idempotency_key, message->idempotency_key, sizeof(order.idempotency_key));
    cvm_text_add_bytes(out, &order, sizeof(order));
    return CVM_OK;
}

static struct cvm_flow *make_flow(struct cvm_store *store, bool loses_messages)
{
    struct cvm_flow *flow = NULL;
    struct cvm_flow_options options = {
        .store = store, .encode = encode, .seed = 1, .loses_messages = loses_messages};
    ASSERT_OK(cvm_flow_create(&options, &flow, ERR));
    return flow;
}

static enum cvm_status accept_with(struct cvm_store *store, const char *key, const char *input,
                                   struct cvm_workflow *out, bool *out_is_new,
                                   struct cvm_error *err)
{
    struct cvm_flow_request request = {
        .definition = batch, .input = input, .idempotency_key = key, .who = "cli:ann"};
    enum cvm_status status = cvm_db_begin(cvm_store_db(store), err);
    if (status == CVM_OK) {
        status = cvm_flow_accept(store, arena, &request, out, out_is_new, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(cvm_store_db(store), err);
    }
    cvm_db_rollback(cvm_store_db(store));
    return status;
}

static const char *accept(struct cvm_store *store, const char *key)
{
    struct cvm_workflow workflow;
    bool is_new = false;
    ASSERT_OK(accept_with(store, key, "{\"request\":{}}", &workflow, &is_new, ERR));
    assert_true(is_new);
    return workflow.workflow_id;
}

static struct cvm_flow_look look(struct cvm_store *store, struct cvm_flow *flow, const char *id)
{
    struct cvm_flow_look result = {0};
    support_begin(store);
    ASSERT_OK(cvm_flow_look(flow, id, 3, &result, ERR));
    support_commit(store);
    return result;
}

struct orders {
    struct order items[64];
    int64_t numbers[64];
    size_t count;
};

static enum cvm_status take_order(void *state, const struct cvm_outbox_message *message,
                                  struct cvm_error *err)
{
    struct orders *orders = state;
    (void)err;
    assert_int_equal(message->length, sizeof(struct order));
    memcpy(&orders->items[orders->count], message->envelope, sizeof(struct order));
    assert_memory_equal(message->message_id, orders->items[orders->count].message_id, 16);
    orders->numbers[orders->count++] = message->outbox;
    return CVM_OK;
}

/* What the relay sends: of all partitions. */
static struct orders relay(struct cvm_store *store)
{
    struct orders orders = {.count = 0};
    for (int64_t p = 0; p < CVM_FLOW_PARTITIONS; p++) {
        ASSERT_OK(cvm_outbox_pending(store, p, INT64_MAX, 64, take_order, &orders, ERR));
    }
    support_begin(store);
    ASSERT_OK(cvm_outbox_sent(store, orders.numbers, orders.count, ERR));
    support_commit(store);
    return orders;
}

/* CVM_E_CONFLICT: the attempt is not in force. *out_is_new false: applied before. */
static enum cvm_status work(struct cvm_store *store, const struct order *order, const char *output,
                            const char *failure_class, bool *out_is_new)
{
    struct cvm_turn_key turn_key = {.consumer = "worker"};
    struct cvm_turn_transaction turn;
    struct cvm_step_key key = {
        .workflow_id = order->workflow_id,
        .step_no = order->step_no,
        .shard_no = order->shard < 0 ? CVM_STEP_SHARD_ONLY : order->shard,
        .attempt = order->attempt,
    };
    struct cvm_step_result result = {.worker = "w", .output = output, .customers = 10};
    struct cvm_step_failure failure = {
        .worker = "w", .error_class = failure_class, .error = "it broke"};
    memcpy(turn_key.message_id, order->message_id, sizeof(turn_key.message_id));
    ASSERT_OK(cvm_turn_begin(store, &turn_key, &turn, ERR));
    *out_is_new = turn.is_new;
    if (!turn.is_new) {
        return CVM_OK;
    }
    enum cvm_status status = failure_class == NULL ? cvm_step_done(store, &key, &result, NULL)
                                                   : cvm_step_failed(store, &key, &failure, NULL);
    status = status == CVM_OK ? cvm_turn_commit(&turn, NULL) : status;
    cvm_turn_abandon(&turn);
    return status;
}

static const char *output_of(const struct order *order)
{
    return order->step_no == 0 ? "{\"run_id\":\"run-1\",\"parts\":3}" : "{\"part\":1}";
}

/* All that waits is done well; how much it was. */
static size_t work_all(struct cvm_store *store)
{
    struct orders orders = relay(store);
    bool is_new = false;
    for (size_t i = 0; i < orders.count; i++) {
        ASSERT_OK(work(store, &orders.items[i], output_of(&orders.items[i]), NULL, &is_new));
    }
    return orders.count;
}

static struct cvm_workflow find(struct cvm_store *store, const char *id)
{
    struct cvm_workflow workflow;
    ASSERT_OK(cvm_workflow_find(store, arena, id, &workflow, ERR));
    return workflow;
}

/* What waits for a moment has come to it. */
static void let_time_pass(struct cvm_store *store)
{
    support_now_ms += (int64_t)24 * 3600 * 1000 / 4;
    if (support_is_server()) { /* whose clock is its own */
        support_begin(store);
        support_exec(cvm_store_db(store), "UPDATE step SET due_at = 1 WHERE due_at IS NOT NULL");
        support_commit(store);
    }
}

/* ---- accepting ---- */

static void the_same_work_asked_for_again_is_the_same_workflow(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_workflow first;
    struct cvm_workflow second;
    struct cvm_error err = {0};
    bool is_new = false;
    ASSERT_OK(accept_with(store, "k", "{\"request\":{\"a\":1,\"b\":2}}", &first, &is_new, ERR));
    assert_true(is_new);
    assert_int_equal(first.state, CVM_WORKFLOW_ACCEPTED);
    assert_int_equal(first.deadline_ms - first.created_ms, 12 * 3600 * 1000);
    assert_int_equal(strncmp(first.workflow_id, "batch-", 6), 0);
    ASSERT_OK(
        accept_with(store, "k", "{ \"request\": {\"b\":2, \"a\":1} }", &second, &is_new, ERR));
    assert_false(is_new);
    assert_string_equal(second.workflow_id, first.workflow_id);
    assert_int_equal(accept_with(store, "k", "{\"request\":{\"a\":2}}", &second, &is_new, &err),
                     CVM_E_CONFLICT);
    assert_non_null(strstr(err.message, "another input"));
    assert_int_equal(accept_with(store, "", "{\"request\":{}}", &second, &is_new, &err),
                     CVM_E_INVALID);
    assert_int_equal(accept_with(store, "x", "{\"request\":", &second, &is_new, &err),
                     CVM_E_INVALID);
    assert_int_equal(accept_with(store, "x", "{}", &second, &is_new, &err), CVM_E_INVALID);
    assert_int_equal(support_number(cvm_store_db(store), "SELECT count(*) FROM workflow"), 1);
    cvm_store_close(store);
}

/* ---- a life ---- */

static void a_workflow_runs_from_its_first_step_to_its_last(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_flow *flow = make_flow(store, false);
    struct cvm_workflow_ids due;
    const char *id = accept(store, "k");
    int64_t partition = cvm_flow_partition(id);
    ASSERT_OK(cvm_workflow_due(store, arena, partition, INT64_MAX - 1, 9, &due, ERR));
    assert_int_equal(due.count, 1);
    assert_int_equal(look(store, flow, id).sent, 1);
    assert_int_equal(look(store, flow, id).sent, 0);
    struct orders orders = relay(store);
    assert_int_equal(orders.count, 1);
    assert_int_equal(orders.items[0].shard, -1);
    assert_int_equal(orders.items[0].attempt, 1);
    assert_int_equal(orders.items[0].epoch, 3);
    assert_string_equal(orders.items[0].payload, "{\"input\":{\"request\":{}},\"needs\":{}}");
    assert_int_equal(relay(store).count, 0);
    bool is_new = false;
    ASSERT_OK(work(store, &orders.items[0], output_of(&orders.items[0]), NULL, &is_new));
    ASSERT_OK(work(store, &orders.items[0], output_of(&orders.items[0]), NULL, &is_new));
    assert_false(is_new); /* it came twice */
    assert_int_equal(look(store, flow, id).sent, 3);
    assert_string_equal(find(store, id).run_id, "run-1");
    assert_int_equal(find(store, id).shards, 3);
    orders = relay(store);
    assert_string_equal(orders.items[2].payload, "{\"input\":{\"request\":{}},\"needs\":{\"begin\":"
                                                 "{\"run_id\":\"run-1\",\"parts\":3}}}");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(orders.items[i].shard, (int64_t)i);
        ASSERT_OK(work(store, &orders.items[i], "{}", NULL, &is_new));
    }
    assert_int_equal(look(store, flow, id).sent, 1);
    assert_int_equal(work_all(store), 1);
    assert_int_equal(look(store, flow, id).state, CVM_WORKFLOW_COMPLETED);
    assert_string_equal(find(store, "run-1").result, "{\"part\":1}");
    ASSERT_OK(cvm_workflow_due(store, arena, partition, INT64_MAX - 1, 9, &due, ERR));
    assert_int_equal(due.count, 0);
    assert_int_equal(look(store, flow, id).changed, 0);
    cvm_flow_destroy(flow);
    cvm_store_close(store);
}

static void an_attempt_that_was_given_up_has_no_result_any_more(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_flow *flow = make_flow(store, false);
    const char *id = accept(store, "k");
    bool is_new = false;
    (void)look(store, flow, id);
    struct orders first = relay(store);
    let_time_pass(store);
    assert_int_equal(look(store, flow, id).state, CVM_WORKFLOW_WAITING);
    let_time_pass(store);
    if (support_is_server()) { /* the deadline of the whole has not passed there */
        assert_int_equal(look(store, flow, id).sent, 1);
        struct orders second = relay(store);
        assert_int_equal(second.items[0].attempt, 2);
        assert_memory_not_equal(second.items[0].message_id, first.items[0].message_id, 16);
        assert_memory_equal(second.items[0].idempotency_key, first.items[0].idempotency_key, 32);
        assert_int_equal(work(store, &first.items[0], "{}", NULL, &is_new), CVM_E_CONFLICT);
        ASSERT_OK(work(store, &second.items[0], output_of(&second.items[0]), NULL, &is_new));
    } else {
        assert_int_equal(look(store, flow, id).state, CVM_WORKFLOW_FAILED);
        assert_int_equal(work(store, &first.items[0], "{}", NULL, &is_new), CVM_E_CONFLICT);
    }
    assert_int_equal(
        support_number(cvm_store_db(store),
                       "SELECT count(*) FROM step_failure WHERE error_class = 'timeout'"),
        1);
    cvm_flow_destroy(flow);
    cvm_store_close(store);
}

static void a_failure_is_remembered_and_repeated(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_flow *flow = make_flow(store, false);
    const char *id = accept(store, "k");
    bool is_new = false;
    (void)look(store, flow, id);
    struct orders orders = relay(store);
    ASSERT_OK(work(store, &orders.items[0], NULL, "transient", &is_new));
    assert_int_equal(look(store, flow, id).state, CVM_WORKFLOW_WAITING);
    assert_true(find(store, id).wake_ms > 0);
    let_time_pass(store);
    assert_int_equal(look(store, flow, id).sent, 1);
    orders = relay(store);
    ASSERT_OK(work(store, &orders.items[0], NULL, "poison", &is_new));
    assert_int_equal(look(store, flow, id).state, CVM_WORKFLOW_FAILED);
    assert_string_equal(find(store, id).error, "step 'begin': it broke");
    assert_int_equal(support_number(cvm_store_db(store), "SELECT count(*) FROM step_failure"), 2);
    enum cvm_workflow_state after = CVM_WORKFLOW_STATES;
    support_begin(store);
    ASSERT_OK(cvm_flow_order(store, arena, id, CVM_WORKFLOW_RESUME, &after, ERR));
    support_commit(store);
    assert_int_equal(after, CVM_WORKFLOW_RUNNING);
    assert_int_equal(look(store, flow, id).sent, 1);
    assert_int_equal(relay(store).items[0].attempt, 3);
    cvm_flow_destroy(flow);
    cvm_store_close(store);
}

static void what_can_not_be_used_ends_the_workflow_and_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *output;
        const char *error;
    } cases[] = {
        {"{\"run_id\":\"r\"}", "step 'begin': its output does not say into how many parts"},
        {"{\"parts\":-1}", "does not say into how many parts"},
        {"{\"parts\":1.5}", "does not say into how many parts"},
        {"{\"parts\":1000000}", "more parts than are allowed"},
        {"{\"parts\":", "no JSON"},
        {"[]", "does not say into how many parts"},
        {NULL, "does not say into how many parts"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cvm_store *store = support_fresh();
        struct cvm_flow *flow = make_flow(store, false);
        const char *id = accept(store, "k");
        bool is_new = false;
        (void)look(store, flow, id);
        struct orders orders = relay(store);
        ASSERT_OK(work(store, &orders.items[0], cases[i].output, NULL, &is_new));
        assert_int_equal(look(store, flow, id).state, CVM_WORKFLOW_FAILED);
        assert_non_null(strstr(find(store, id).error, cases[i].error));
        cvm_flow_destroy(flow);
        cvm_store_close(store);
    }
}

static void what_is_cancelled_is_not_done_any_more(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_flow *flow = make_flow(store, false);
    const char *id = accept(store, "k");
    enum cvm_workflow_state after = CVM_WORKFLOW_STATES;
    bool is_new = false;
    (void)look(store, flow, id);
    struct orders orders = relay(store);
    support_begin(store);
    ASSERT_OK(cvm_flow_order(store, arena, id, CVM_WORKFLOW_CANCEL, &after, ERR));
    support_commit(store);
    assert_int_equal(after, CVM_WORKFLOW_CANCELLED);
    assert_int_equal(work(store, &orders.items[0], "{}", NULL, &is_new), CVM_E_CONFLICT);
    assert_int_equal(look(store, flow, id).changed, 0);
    support_begin(store);
    assert_int_equal(cvm_flow_order(store, arena, id, CVM_WORKFLOW_CANCEL, &after, NULL),
                     CVM_E_CONFLICT);
    assert_int_equal(cvm_flow_order(store, arena, "no", CVM_WORKFLOW_CANCEL, &after, NULL),
                     CVM_E_NOT_FOUND);
    support_commit(store);
    cvm_flow_destroy(flow);
    cvm_store_close(store);
}

static void an_agent_in_trouble_is_left_alone_and_no_attempt_is_used_up(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_flow *flow = NULL;
    const struct cvm_flow_options options = {
        .store = store,
        .encode = encode,
        .breaker = {.calls_min = 3, .open_ms = 3600000, .open_ms_max = 3600000}};
    const char *ids[4];
    bool is_new = false;
    ASSERT_OK(cvm_flow_create(&options, &flow, ERR));
    for (int i = 0; i < 3; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        ids[i] = accept(store, key);
        assert_int_equal(look(store, flow, ids[i]).sent, 1);
    }
    struct orders orders = relay(store);
    for (size_t i = 0; i < 3; i++) {
        ASSERT_OK(work(store, &orders.items[i], NULL, i == 0 ? "poison" : "transient", &is_new));
    }
    for (int i = 0; i < 3; i++) {
        (void)look(store, flow, ids[i]);
    }
    assert_int_equal(cvm_flow_breaker(flow, "data"), CVM_BREAKER_CLOSED); /* poison says nothing */
    ids[3] = accept(store, "k3");
    assert_int_equal(look(store, flow, ids[3]).sent, 1);
    orders = relay(store);
    ASSERT_OK(work(store, &orders.items[0], NULL, "transient", &is_new));
    (void)look(store, flow, ids[3]);
    assert_int_equal(cvm_flow_breaker(flow, "data"), CVM_BREAKER_OPEN);
    const char *late = accept(store, "k4");
    struct cvm_flow_look parked = look(store, flow, late);
    assert_int_equal(parked.sent, 0);
    assert_int_equal(parked.state, CVM_WORKFLOW_WAITING);
    assert_true(find(store, late).wake_ms > find(store, late).created_ms + 1000000);
    assert_int_equal(support_number(cvm_store_db(store),
                                    "SELECT count(*) FROM step WHERE attempt = 0 AND step_no = 0"),
                     1);
    cvm_flow_destroy(flow);
    cvm_store_close(store);
}

/* ---- recovery ---- */

static void after_a_crash_lost_messages_are_sent_again(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    const char *id = accept(store, "k");
    struct cvm_flow_look result;
    bool is_new = false;
    struct cvm_flow *flow = make_flow(store, true);
    (void)look(store, flow, id);
    struct orders lost = relay(store);
    cvm_flow_destroy(flow);
    flow = make_flow(store, true);
    support_begin(store);
    ASSERT_OK(cvm_flow_recover(flow, id, 9, &result, ERR));
    support_commit(store);
    assert_int_equal(result.sent, 1);
    assert_int_equal(find(store, id).recovery_attempts, 1);
    assert_int_equal(find(store, id).epoch, 9);
    /* The one that was lost turns up after all. */
    assert_int_equal(work(store, &lost.items[0], "{}", NULL, &is_new), CVM_E_CONFLICT);
    assert_int_equal(work_all(store), 1);
    (void)look(store, flow, id);
    assert_int_equal(find(store, id).recovery_attempts, 0);
    cvm_flow_destroy(flow);
    cvm_store_close(store);
}

static enum cvm_status count_letter(void *state, const struct cvm_dead_letter *letter,
                                    struct cvm_error *err)
{
    (void)err;
    assert_string_equal(letter->destination, "workflow");
    assert_null(letter->envelope);
    ++*(int *)state;
    return CVM_OK;
}

static void a_workflow_that_is_taken_up_too_often_becomes_a_dead_letter(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_flow *flow = make_flow(store, true);
    const char *id = accept(store, "k");
    struct cvm_flow_look result = {0};
    int letters = 0;
    for (int i = 0; i <= CVM_WORKFLOW_RECOVERIES_MAX + 1; i++) {
        support_begin(store);
        ASSERT_OK(cvm_flow_recover(flow, id, 9 + i, &result, ERR));
        support_commit(store);
    }
    assert_int_equal(result.state, CVM_WORKFLOW_DEAD);
    ASSERT_OK(cvm_dead_letter_list(store, "waiting", 0, 9, count_letter, &letters, ERR));
    assert_int_equal(letters, 1);
    cvm_flow_destroy(flow);
    cvm_store_close(store);
}

/* Each call of a look fails once: it is kept as a whole, or not at all. */
static void a_look_survives_the_failure_of_each_call(void **state)
{
    (void)state;
    bool is_done = false;
    for (int64_t k = 1; !is_done; k++) {
        struct cvm_store *store = support_fresh();
        struct cvm_flow *flow = make_flow(store, false);
        const char *id = accept(store, "k");
        struct cvm_db *db = cvm_store_db(store);
        struct db_faults faults = {0};
        struct cvm_flow_look result;
        (void)look(store, flow, id);
        (void)work_all(store);
        db_faulty_wrap(store, false, &faults);
        db = cvm_store_db(store);
        faults.calls = 0;
        faults.fail_at = k;
        enum cvm_status status = cvm_db_begin(db, NULL);
        status = status == CVM_OK ? cvm_flow_look(flow, id, 3, &result, NULL) : status;
        status = status == CVM_OK ? cvm_db_commit(db, NULL) : status;
        cvm_db_rollback(db);
        faults.fail_at = 0;
        is_done = status == CVM_OK;
        assert_int_equal(support_number(db, "SELECT count(*) FROM outbox WHERE sent_at IS NULL"),
                         is_done ? 3 : 0);
        assert_int_equal(support_number(db, "SELECT count(*) FROM step WHERE state = 'running'"),
                         is_done ? 3 : 0);
        (void)look(store, flow, id); /* and it goes on from there */
        assert_int_equal(support_number(db, "SELECT count(*) FROM outbox WHERE sent_at IS NULL"),
                         3);
        cvm_flow_destroy(flow);
        cvm_store_close(store);
        assert_true(k < 60);
    }
}

/* ---- a site in trouble ---- */

/* Messages are lost, come twice and in any order, workers fail, who works on workflows dies and is
 * replaced: each step is done once, and all end. One seed is one story. */
struct trouble {
    struct cvm_store *store;
    struct cvm_flow *flow;
    struct cvm_random random;
    struct orders queue;
    const char *ids[3];
    int64_t epoch;
    int applied;
};

static void deliver(struct trouble *t)
{
    struct orders *queue = &t->queue;
    if (queue->count == 0) {
        return;
    }
    size_t at = cvm_random_below(&t->random, queue->count);
    struct order order = queue->items[at];
    uint64_t fate = cvm_random_below(&t->random, 10);
    bool is_new = false;
    if (fate != 0) { /* else it comes again later */
        queue->items[at] = queue->items[--queue->count];
    }
    if (fate == 1) {
        return; /* lost */
    }
    const char *failure = cvm_random_below(&t->random, 6) == 0 ? "transient" : NULL;
    enum cvm_status status = work(t->store, &order, output_of(&order), failure, &is_new);
    assert_true(status == CVM_OK || status == CVM_E_CONFLICT);
    t->applied += status == CVM_OK && is_new && failure == NULL;
}

static void fetch(struct trouble *t)
{
    struct orders fresh = relay(t->store);
    for (size_t i = 0; i < fresh.count && t->queue.count < 60; i++) {
        t->queue.items[t->queue.count++] = fresh.items[i];
    }
}

static void crash(struct trouble *t)
{
    struct cvm_flow_look result;
    cvm_flow_destroy(t->flow);
    t->flow = make_flow(t->store, true);
    t->queue.count = 0; /* the queues were in the process */
    t->epoch++;
    for (int i = 0; i < 3; i++) {
        support_begin(t->store);
        ASSERT_OK(cvm_flow_recover(t->flow, t->ids[i], t->epoch, &result, ERR));
        support_commit(t->store);
    }
}

static void act(struct trouble *t)
{
    uint64_t choice = cvm_random_below(&t->random, 40);
    if (choice == 0) {
        crash(t);
    } else if (choice < 10) {
        fetch(t);
    } else if (choice < 25) {
        deliver(t);
    } else if (choice < 28) {
        support_now_ms += (int64_t)cvm_random_below(&t->random, 120000);
    } else {
        (void)look(t->store, t->flow, t->ids[cvm_random_below(&t->random, 3)]);
    }
}

static bool have_all_ended(struct trouble *t)
{
    int ended = 0;
    for (int i = 0; i < 3; i++) {
        ended += cvm_workflow_has_ended(find(t->store, t->ids[i]).state);
    }
    return ended == 3;
}

static void whatever_goes_wrong_each_step_is_done_once(void **state)
{
    (void)state;
    if (support_is_shared()) {
        skip(); /* a server's clock can not be moved, and a disk makes it no truer */
    }
    int completed = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct trouble t = {.store = support_fresh(), .epoch = 1};
        cvm_random_init(&t.random, seed);
        t.flow = make_flow(t.store, true);
        for (int i = 0; i < 3; i++) {
            char key[16];
            (void)snprintf(key, sizeof(key), "k%d", i);
            t.ids[i] = accept(t.store, key);
        }
        for (int i = 0; i < 3000 && (i % 50 != 0 || !have_all_ended(&t)); i++) {
            act(&t);
        }
        assert_true(have_all_ended(&t));
        struct cvm_db *db = cvm_store_db(t.store);
        assert_int_equal(support_number(db, "SELECT count(*) FROM step WHERE state = 'done'"),
                         t.applied);
        for (int i = 0; i < 3; i++) {
            completed += find(t.store, t.ids[i]).state == CVM_WORKFLOW_COMPLETED;
        }
        cvm_flow_destroy(t.flow);
        cvm_store_close(t.store);
    }
    assert_true(completed > 60); /* of 180: the others ran out of attempts or time */
}

/* ---- several sites ---- */

#define SITES     4
#define WORKFLOWS 8

struct sites {
    atomic_int applied;
};

/* What another one was in the way of is done by whoever comes next. */
static enum cvm_status pass_over_conflicts(enum cvm_status status)
{
    return status == CVM_E_UNAVAILABLE || status == CVM_E_CONFLICT ? CVM_OK : status;
}

static enum cvm_status look_beside_others(struct cvm_store *store, struct cvm_flow *flow,
                                          struct cvm_arena *mine, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (int64_t p = 0; status == CVM_OK && p < CVM_FLOW_PARTITIONS; p++) {
        struct cvm_workflow_ids due;
        status = cvm_workflow_due(store, mine, p, INT64_MAX - 1, 9, &due, err);
        for (size_t i = 0; status == CVM_OK && i < due.count; i++) {
            struct cvm_flow_look result;
            status = cvm_db_begin(cvm_store_db(store), err);
            status = status == CVM_OK ? cvm_flow_look(flow, due.ids[i], 1, &result, err) : status;
            status = status == CVM_OK ? cvm_db_commit(cvm_store_db(store), err) : status;
            cvm_db_rollback(cvm_store_db(store));
            status = pass_over_conflicts(status);
        }
    }
    return status;
}

static enum cvm_status work_beside_others(struct sites *sites, struct cvm_store *store,
                                          const struct order *order, int64_t number,
                                          struct cvm_error *err)
{
    struct cvm_turn_key turn_key = {.consumer = "worker"};
    struct cvm_turn_transaction turn = {.store = store};
    const struct cvm_step_key key = {
        .workflow_id = order->workflow_id,
        .step_no = order->step_no,
        .shard_no = order->shard < 0 ? CVM_STEP_SHARD_ONLY : order->shard,
        .attempt = order->attempt,
    };
    const struct cvm_step_result result = {.worker = "w", .output = output_of(order)};
    memcpy(turn_key.message_id, order->message_id, sizeof(turn_key.message_id));
    enum cvm_status status = cvm_turn_begin(store, &turn_key, &turn, err);
    if (status != CVM_OK || !turn.is_new) {
        return pass_over_conflicts(status);
    }
    status = cvm_outbox_sent(store, &number, 1, err);
    status = status == CVM_OK ? cvm_step_done(store, &key, &result, err) : status;
    status = status == CVM_OK ? cvm_turn_commit(&turn, err) : status;
    cvm_turn_abandon(&turn);
    (void)atomic_fetch_add(&sites->applied, status == CVM_OK ? 1 : 0);
    return pass_over_conflicts(status);
}

/* Looks at all workflows and works on all messages, as if it were alone. */
static enum cvm_status be_a_site(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    struct cvm_flow *flow = NULL;
    struct cvm_arena *mine = cvm_arena_create((size_t)16 << 20);
    struct orders *orders = calloc(1, sizeof(*orders));
    const struct cvm_store_options options = {.access = CVM_DB_SHARED, .clock = cvm_clock_system};
    int64_t open = WORKFLOWS;
    (void)item;
    (void)worker;
    enum cvm_status status = cvm_store_open(support_url(), &options, &store, err);
    const struct cvm_flow_options flow_options = {.store = store, .encode = encode, .seed = item};
    status = status == CVM_OK ? cvm_flow_create(&flow_options, &flow, err) : status;
    for (int round = 0; status == CVM_OK && open > 0 && round < 1000; round++) {
        cvm_arena_reset(mine);
        status = look_beside_others(store, flow, mine, err);
        orders->count = 0;
        for (int64_t p = 0; status == CVM_OK && p < CVM_FLOW_PARTITIONS; p++) {
            status = cvm_outbox_pending(store, p, INT64_MAX, 3, take_order, orders, err);
        }
        for (size_t i = 0; status == CVM_OK && i < orders->count; i++) {
            status = work_beside_others(state, store, &orders->items[i], orders->numbers[i], err);
        }
        open = support_number(cvm_store_db(store),
                              "SELECT count(*) FROM workflow WHERE finished_at IS NULL");
    }
    cvm_flow_destroy(flow);
    cvm_store_close(store);
    cvm_arena_destroy(mine);
    free(orders);
    return status == CVM_OK && open > 0 ? CVM_FAIL(err, CVM_E_TIMEOUT, "it did not end") : status;
}

static void several_sites_share_the_work_and_each_step_is_done_once(void **state)
{
    (void)state;
    struct sites sites = {0};
    struct cvm_pool *pool = NULL;
    if (!support_is_server()) {
        skip(); /* a file has one process, and one writer in it */
    }
    struct cvm_store *store = support_fresh();
    for (int i = 0; i < WORKFLOWS; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        (void)accept(store, key);
    }
    cvm_store_close(store);
    ASSERT_OK(cvm_pool_create(SITES, &pool, ERR));
    ASSERT_OK(cvm_pool_run(pool, SITES, be_a_site, &sites, ERR));
    cvm_pool_destroy(pool);
    store = support_open(CVM_DB_READ);
    struct cvm_db *db = cvm_store_db(store);
    assert_int_equal(support_number(db, "SELECT count(*) FROM workflow WHERE state = 'completed'"),
                     WORKFLOWS);
    assert_int_equal(support_number(db, "SELECT count(*) FROM step WHERE state = 'done'"),
                     WORKFLOWS * 5);
    assert_int_equal(atomic_load(&sites.applied), WORKFLOWS * 5);
    assert_int_equal(support_number(db, "SELECT count(*) FROM outbox"), WORKFLOWS * 5);
    cvm_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_work_asked_for_again_is_the_same_workflow, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_workflow_runs_from_its_first_step_to_its_last, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_attempt_that_was_given_up_has_no_result_any_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_failure_is_remembered_and_repeated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_can_not_be_used_ends_the_workflow_and_says_why, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_cancelled_is_not_done_any_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_agent_in_trouble_is_left_alone_and_no_attempt_is_used_up,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(after_a_crash_lost_messages_are_sent_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_workflow_that_is_taken_up_too_often_becomes_a_dead_letter,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_look_survives_the_failure_of_each_call, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(whatever_goes_wrong_each_step_is_done_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(several_sites_share_the_work_and_each_step_is_done_once,
                                        set_up, tear_down),
    };
    return SUPPORT_RUN("flow", tests);
}
