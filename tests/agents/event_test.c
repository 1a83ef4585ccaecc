/* Events of the broker's queue: stored once and looked at once, whoever dies when, and however
 * often a message comes. */
#include "engine/run_base.h"

#include <sched.h>

#include "agents/event_batch.h"
#include "agents/event_intake.h"
#include "agents/host.h"
#include "base/file.h"
#include "storage/dead_letter.h"
#include "storage/erase.h"
#include "storage/workflow_store.h"
#include "support/db_faulty.h"

#define CUSTOMERS   100
#define PATIENCE_MS 120000 /* a busy machine is no failure */
#define TEXTS       16

struct desk {
    struct base *base;
    struct cvm_agent_site site;
    struct cvm_zone *zone;
    struct cvm_random random;
    struct cvm_event_intake *intake;
    bool has_offsets;
    struct cvm_envelope envelopes[TEXTS];
    struct cvm_delivery deliveries[TEXTS];
    size_t count;
};

static const struct cvm_definition *shipped(struct desk *desk, const char *name)
{
    const struct cvm_definition *definition = NULL;
    struct cvm_error err;
    char path[512];
    char file[64];
    char *text = NULL;
    size_t length = 0;
    (void)snprintf(file, sizeof(file), "%s.yaml", name);
    (void)snprintf(path, sizeof(path), "%s/%s", CVM_WORKFLOWS, file);
    must(cvm_file_read(desk->base->arena, path, 1 << 16, &text, &length, &err), &err);
    must(cvm_definition_read(desk->base->arena, file, text, length, &definition, &err), &err);
    return definition;
}

/* As a process that was started again. */
static void open_intake(struct desk *desk)
{
    struct cvm_error err;
    struct cvm_event_intake_options options = {
        .site = &desk->site,
        .context = &desk->base->context,
        .definition = shipped(desk, CVM_EVENT_WORKFLOW),
        .has_offsets = desk->has_offsets,
        .seed = 3,
    };
    cvm_event_intake_destroy(desk->intake);
    must(cvm_event_intake_create(&options, &desk->intake, &err), &err);
}

static int set_up(void **state)
{
    struct desk *desk = calloc(1, sizeof(*desk));
    assert_non_null(desk);
    desk->base = base_create(CUSTOMERS, NULL);
    assert_int_equal(cvm_zone_open("UTC", &desk->zone, NULL), CVM_OK);
    desk->site = (struct cvm_agent_site){
        .store_url = desk->base->url,
        .writer = cvm_agent_writer_create(desk->base->store),
        .zone = desk->zone,
        .threads = 1,
        .version = "test",
    };
    cvm_random_init(&desk->random, 1);
    open_intake(desk);
    *state = desk;
    return 0;
}

static int tear_down(void **state)
{
    struct desk *desk = *state;
    cvm_event_intake_destroy(desk->intake);
    cvm_agent_writer_destroy(desk->site.writer);
    cvm_zone_close(desk->zone);
    base_destroy(desk->base);
    free(desk);
    return 0;
}

/* ---- messages ---- */

static struct cvm_envelope *bring(struct desk *desk, const char *payload)
{
    size_t number = desk->count++;
    assert_true(number < TEXTS);
    const char *text = cvm_arena_string(desk->base->arena, payload);
    desk->envelopes[number] = (struct cvm_envelope){
        .id = cvm_message_id_make((int64_t)NOW_MS, &desk->random),
        .type = CVM_MESSAGE_EVENT,
        .schema_version = 1,
        .attempt = 1,
        .shard = CVM_SHARD_NONE,
        .created_ms = NOW_MS,
        .payload = {text, strlen(text)},
    };
    desk->deliveries[number] =
        (struct cvm_delivery){.envelope = &desk->envelopes[number], .attempt = 1};
    return &desk->envelopes[number];
}

/* As a producer that does not know our envelope. */
static void bring_bare(struct desk *desk, const char *text)
{
    desk->deliveries[desk->count++] =
        (struct cvm_delivery){.raw = {text, strlen(text)}, .attempt = 1};
}

static const char *score(struct desk *desk, int customer, const char *probability)
{
    char text[256];
    char id[CVM_WORLD_ID_SIZE];
    cvm_world_customer_id(customer, id);
    (void)snprintf(
        text, sizeof(text),
        "{\"source\":\"churn_score\",\"as_of\":\"2024-03-20\",\"event\":{\"customer_id\":"
        "\"%s\",\"date\":\"2024-03-20\",\"churn_probability\":%s}}",
        id, probability);
    return cvm_arena_string(desk->base->arena, text);
}

static struct cvm_event_take take(struct desk *desk)
{
    struct cvm_event_take taken;
    struct cvm_error err = {.message = ""};
    must(cvm_event_intake_take(desk->intake, desk->deliveries, desk->count, &taken, &err), &err);
    desk->count = 0;
    return taken;
}

/* ---- what is in the store ---- */

static enum cvm_status keep_number(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    *(int64_t *)state = columns[0].integer;
    return CVM_OK;
}

static int64_t ask(struct desk *desk, const char *sql)
{
    int64_t number = -1;
    struct cvm_error err;
    must(cvm_db_query(cvm_store_db(desk->base->store), sql, NULL, 0, keep_number, &number, &err),
         &err);
    return number;
}

static int64_t workflows(struct desk *desk)
{
    return ask(desk, "SELECT count(*) FROM workflow WHERE name = 'trigger_and_process'");
}

/* With versions: whatever was stored twice counts twice. */
static int64_t events(struct desk *desk)
{
    return ask(desk, "SELECT count(*) FROM event AS e JOIN batch AS b ON b.batch = e.batch "
                     "WHERE b.state = 'closed'");
}

struct letters {
    struct desk *desk;
    int count;
    char why[TEXTS][480];
    struct cvm_envelope last;
    int64_t number; /* of the last */
};

static enum cvm_status note_letter(void *state, const struct cvm_dead_letter *letter,
                                   struct cvm_error *err)
{
    struct letters *letters = state;
    assert_string_equal(letter->destination, "event");
    letters->number = letter->dead_letter;
    const char *bytes =
        cvm_arena_copy(letters->desk->base->arena, letter->envelope, letter->length);
    must(cvm_envelope_decode(bytes, letter->length, &letters->last, err), err);
    (void)snprintf(letters->why[letters->count++], 480, "%s", letter->error);
    return CVM_OK;
}

/* The newest first; `last` is the oldest. */
static struct letters letters_of(struct desk *desk)
{
    struct letters letters = {.desk = desk};
    struct cvm_error err;
    must(cvm_dead_letter_list(desk->base->store, "waiting", 0, TEXTS, note_letter, &letters, &err),
         &err);
    return letters;
}

/* ---- once ---- */

static void a_message_that_comes_again_stores_and_starts_nothing(void **state)
{
    struct desk *desk = *state;
    int64_t before = events(desk);
    bring(desk, score(desk, 1, "0.9"));
    bring(desk, score(desk, 2, "0.9"));
    struct cvm_event_take taken = take(desk);
    assert_int_equal(taken.events, 2);
    assert_int_equal(taken.stored, 2);
    assert_int_equal(taken.started, 2);
    desk->count = 2; /* the acknowledgements were lost */
    taken = take(desk);
    assert_int_equal(taken.stored, 0);
    assert_int_equal(taken.started, 0);
    assert_int_equal(events(desk), before + 2);
    assert_int_equal(workflows(desk), 2);
}

static void an_event_that_is_published_twice_is_one(void **state)
{
    struct desk *desk = *state;
    int64_t before = events(desk);
    bring(desk, score(desk, 1, "0.9"));
    bring(desk, score(desk, 1, "0.9")); /* in the same batch */
    struct cvm_event_take taken = take(desk);
    assert_int_equal(taken.stored, 1);
    assert_int_equal(taken.started, 1);
    bring_bare(desk, score(desk, 1, "0.9")); /* and in a later one, by somebody else */
    taken = take(desk);
    assert_int_equal(taken.stored, 0);
    assert_int_equal(taken.started, 0);
    assert_int_equal(events(desk), before + 1);
    assert_int_equal(workflows(desk), 1);
}

/* Web clicks have no identity of their own: equal records of one file are as many events there. */
static void events_that_are_known_by_their_content_are_one_too(void **state)
{
    struct desk *desk = *state;
    static const char click[] =
        "{\"source\":\"web_clicks\",\"event\":[{\"customer_id\":\"X\","
        "\"date\":\"2024-03-20\"},\n{\"date\":\"2024-03-20\",\"customer_id\":"
        "\"X\"}]}";
    bring(desk, click);
    struct cvm_event_take taken = take(desk);
    assert_int_equal(taken.events, 2);
    assert_int_equal(taken.stored, 1);
    assert_int_equal(taken.started, 1);
    bring(desk, click);
    assert_int_equal(take(desk).stored, 0);
}

static void what_was_corrected_is_not_undone_by_a_message_that_comes_again(void **state)
{
    struct desk *desk = *state;
    bring(desk, score(desk, 1, "0.5"));
    (void)take(desk);
    struct cvm_envelope first = desk->envelopes[0];
    bring(desk, score(desk, 1, "0.6"));
    struct cvm_event_take taken = take(desk);
    assert_int_equal(taken.stored, 1);
    assert_int_equal(taken.started, 1);
    *bring(desk, "{}") = first;
    taken = take(desk);
    assert_int_equal(taken.stored, 0);
    assert_int_equal(taken.started, 0);
}

static void where_a_log_goes_on_is_kept_with_the_events(void **state)
{
    struct desk *desk = *state;
    static const int partitions[] = {3, 4, 3};
    int64_t next = 0;
    struct cvm_error err;
    desk->has_offsets = true;
    open_intake(desk);
    for (int i = 0; i < 3; i++) {
        bring(desk, i == 2 ? "no event" : score(desk, i, "0.9"));
        desk->deliveries[i].partition = partitions[i];
        desk->deliveries[i].offset = 10 + i;
    }
    (void)take(desk);
    must(cvm_broker_offset_get(desk->base->store, "event", 3, &next, &err), &err);
    assert_int_equal(next, 13);
    must(cvm_broker_offset_get(desk->base->store, "event", 4, &next, &err), &err);
    assert_int_equal(next, 12);
}

/* ---- whoever dies ---- */

/* The k-th call of the store fails, and the process dies of it; the message comes again to the next
 * one. False: there was no such call. */
static bool die_and_repeat(struct desk *desk, int64_t k)
{
    struct db_faults faults = {.fail_at = k, .loses_transaction = true};
    struct cvm_event_take taken;
    struct cvm_error err;
    int64_t stored = events(desk);
    int64_t started = workflows(desk);
    char probability[32];
    (void)snprintf(probability, sizeof(probability), "0.%lld", (long long)k + 100);
    bring(desk, score(desk, (int)(k % CUSTOMERS), probability));
    db_faulty_wrap(desk->base->store, false, &faults);
    enum cvm_status status =
        cvm_event_intake_take(desk->intake, desk->deliveries, desk->count, &taken, &err);
    db_faulty_unwrap(desk->base->store);
    open_intake(desk);
    (void)take(desk);
    assert_int_equal(events(desk), stored + 1);
    assert_int_equal(workflows(desk), started + 1);
    return status != CVM_OK;
}

static void whoever_dies_at_any_call_of_the_store_leaves_nothing_undone_or_twice(void **state)
{
    struct desk *desk = *state;
    int64_t k = 1;
    while (die_and_repeat(desk, k)) {
        k++;
    }
    assert_true(k > 10);
    assert_int_equal(letters_of(desk).count, 0);
}

/* By another road: `cvm import` brought the event, or who pushed it died before it was accepted. */
static void an_event_that_is_stored_and_was_never_looked_at_is_looked_at(void **state)
{
    struct desk *desk = *state;
    bring(desk, score(desk, 1, "0.9"));
    (void)take(desk);
    struct cvm_db *db = cvm_store_db(desk->base->store);
    struct cvm_error err;
    must(cvm_db_begin(db, &err), &err);
    must(cvm_db_exec(db, "DELETE FROM workflow", NULL, 0, NULL, &err), &err);
    must(cvm_db_exec(db, "DELETE FROM inbox", NULL, 0, NULL, &err), &err);
    must(cvm_db_commit(db, &err), &err);
    bring(desk, score(desk, 1, "0.9"));
    struct cvm_event_take taken = take(desk);
    assert_int_equal(taken.stored, 0);
    assert_int_equal(taken.started, 1);
}

/* ---- what can not be stored ---- */

static void a_bad_event_is_a_dead_letter_and_holds_up_no_other(void **state)
{
    struct desk *desk = *state;
    static const char *const bad[] = {
        "no JSON",
        "[\"no event\"]",
        "{\"source\":\"nobody\",\"event\":{\"customer_id\":\"C1\",\"date\":\"2024-03-20\"}}",
        "{\"source\":\"churn_score\"}",
        "{\"source\":\"churn_score\",\"event\":{\"date\":\"2024-03-20\"}}",
        "{\"source\":\"churn_score\",\"event\":7}",
        "{\"source\":\"churn_score\",\"as_of\":\"soon\",\"event\":{}}",
    };
    size_t count = sizeof(bad) / sizeof(bad[0]);
    for (size_t i = 0; i < count; i++) {
        bring(desk, bad[i]);
    }
    bring(desk, score(desk, 1, "0.9"));
    bring(desk, "{}")->type = CVM_MESSAGE_TRIGGER_REQUEST;
    struct cvm_event_take taken = take(desk);
    assert_int_equal(taken.stored, 1);
    assert_int_equal(taken.started, 1);
    assert_int_equal(taken.dead, count + 1);
    struct letters letters = letters_of(desk);
    assert_int_equal(letters.count, count + 1);
    assert_non_null(strstr(letters.why[0], "TRIGGER_REQUEST is no EVENT"));
    assert_non_null(strstr(letters.why[count - 2], "no such source"));
    assert_memory_equal(letters.last.payload.data, "no JSON", 7);
    desk->count = count + 2; /* it comes again: the same letters */
    assert_int_equal(take(desk).dead, 0);
    assert_int_equal(letters_of(desk).count, count + 1);
}

static void replay(struct desk *desk, int64_t number)
{
    struct cvm_store *store = desk->base->store;
    struct cvm_dead_letter letter;
    struct cvm_error err;
    must(cvm_dead_letter_get(store, desk->base->arena, number, &letter, &err), &err);
    must(cvm_db_begin(cvm_store_db(store), &err), &err);
    must(cvm_dead_letter_replay(store, &letter, "test", "the source is known now", &err), &err);
    must(cvm_db_commit(cvm_store_db(store), &err), &err);
}

static void a_bad_event_of_a_list_has_a_letter_of_its_own_that_can_be_replayed(void **state)
{
    struct desk *desk = *state;
    bring_bare(desk, "[{\"source\":\"web_clicks\",\"as_of\":\"2024-03-20\",\"event\":["
                     "{\"customer_id\":\"A\",\"date\":\"2024-03-20\"},{\"date\":\"2024-03-20\"},"
                     "{\"customer_id\":\"B\",\"date\":\"2024-03-20\"}]}]");
    struct cvm_event_take taken = take(desk);
    assert_int_equal(taken.events, 3);
    assert_int_equal(taken.stored, 2);
    assert_int_equal(taken.dead, 1);
    struct letters letters = letters_of(desk);
    static const char kept[] = "{\"source\":\"web_clicks\",\"as_of\":\"2024-03-20\",\"event\":"
                               "{\"date\":\"2024-03-20\"}}";
    assert_int_equal(letters.last.payload.length, strlen(kept));
    assert_memory_equal(letters.last.payload.data, kept, strlen(kept));
    replay(desk, letters.number);
    assert_int_equal(letters_of(desk).count, 0);
    *bring(desk, "") = letters.last;
    assert_int_equal(take(desk).dead, 1); /* no better than before */
    assert_int_equal(letters_of(desk).count, 1);
}

static void of_a_customer_who_was_erased_no_event_is_kept_in_a_letter_either(void **state)
{
    struct desk *desk = *state;
    struct cvm_erasure_report report;
    struct cvm_error err;
    char id[CVM_WORLD_ID_SIZE];
    cvm_world_customer_id(1, id);
    struct cvm_erasure erasure = {id, "test", "asked for it"};
    must(cvm_customer_erase(desk->base->store, desk->base->arena, &erasure, &report, &err), &err);
    bring(desk, score(desk, 1, "0.9"));
    bring(desk, score(desk, 2, "0.9"));
    struct cvm_event_take taken = take(desk);
    assert_int_equal(taken.stored, 1);
    assert_int_equal(taken.started, 1);
    struct letters letters = letters_of(desk);
    assert_int_equal(letters.count, 1);
    assert_non_null(strstr(letters.why[0], "erased"));
    assert_int_equal(letters.last.payload.length,
                     strlen("{\"source\":\"churn_score\",\"as_of\":\"2024-03-20\"}"));
}

/* ---- a run ---- */

static void name_run(struct desk *desk, const char *workflow_id, const char *run_id,
                     enum cvm_workflow_state workflow_state)
{
    struct cvm_db *db = cvm_store_db(desk->base->store);
    struct cvm_workflow workflow;
    struct cvm_error err;
    must(cvm_db_begin(db, &err), &err);
    must(cvm_workflow_lock(desk->base->store, desk->base->arena, workflow_id, &workflow, &err),
         &err);
    workflow.run_id = run_id;
    workflow.state = workflow_state;
    must(cvm_workflow_put(desk->base->store, &workflow, &err), &err);
    must(cvm_db_commit(db, &err), &err);
}

static void while_a_run_is_at_work_events_wait(void **state)
{
    struct desk *desk = *state;
    struct cvm_flow_request request = {
        .definition = shipped(desk, "batch"),
        .input = "{\"request\":{}}",
        .idempotency_key = "run",
        .who = "test",
    };
    struct cvm_workflow workflow;
    struct cvm_error err;
    bool is_new = false;
    const char *why = "";
    struct cvm_db *db = cvm_store_db(desk->base->store);
    must(cvm_db_begin(db, &err), &err);
    must(cvm_flow_accept(desk->base->store, desk->base->arena, &request, &workflow, &is_new, &err),
         &err);
    must(cvm_db_commit(db, &err), &err);
    must(cvm_event_intake_look(desk->intake, &why, &err), &err);
    assert_null(why); /* it has not begun */
    name_run(desk, workflow.workflow_id, "r1", CVM_WORKFLOW_RUNNING);
    int64_t before = events(desk);
    bring(desk, score(desk, 1, "0.9"));
    assert_string_equal(take(desk).held_up_by, "a run is at work");
    assert_int_equal(events(desk), before);
    name_run(desk, workflow.workflow_id, "r1", CVM_WORKFLOW_PAUSED);
    desk->count = 1;
    struct cvm_event_take taken = take(desk);
    assert_null(taken.held_up_by);
    assert_int_equal(taken.started, 1);
}

static void while_agents_have_more_than_they_get_done_events_wait(void **state)
{
    struct desk *desk = *state;
    struct cvm_text list;
    struct cvm_error err;
    const char *why = NULL;
    cvm_text_init(&list, 0);
    for (int i = 0; i < CVM_EVENTS_OPEN_MAX; i++) {
        cvm_text_add_format(&list, "%c{\"customer_id\":\"N%d\",\"date\":\"2024-03-20\"}",
                            i == 0 ? '[' : ',', i);
    }
    cvm_text_add(&list, "]");
    struct cvm_text payload;
    cvm_text_init(&payload, 0);
    cvm_text_add_format(&payload, "{\"source\":\"web_clicks\",\"event\":%s}",
                        cvm_text_string(&list));
    bring(desk, cvm_text_string(&payload));
    assert_int_equal(take(desk).started, CVM_EVENTS_OPEN_MAX);
    bring(desk, score(desk, 1, "0.9"));
    assert_string_equal(take(desk).held_up_by, "agents are busy with events");
    struct cvm_db *db = cvm_store_db(desk->base->store);
    must(cvm_db_begin(db, &err), &err);
    must(cvm_db_exec(db, "UPDATE workflow SET state = 'completed', finished_at = 1", NULL, 0, NULL,
                     &err),
         &err);
    must(cvm_db_commit(db, &err), &err);
    must(cvm_event_intake_look(desk->intake, &why, &err), &err);
    assert_null(why);
    cvm_text_finish(&payload);
    cvm_text_finish(&list);
}

/* ---- a process ---- */

static void publish(struct cvm_broker *broker, const char *const *payloads, size_t count)
{
    struct cvm_broker_link *link = NULL;
    struct cvm_random random;
    struct cvm_error err;
    cvm_random_init(&random, 17);
    must(cvm_broker_link_open(broker, &link, &err), &err);
    must(cvm_broker_declare(link, CVM_BROKER_EVENTS, &err), &err);
    for (size_t i = 0; i < 2 * count; i++) {
        struct cvm_envelope envelope = {
            .id = cvm_message_id_make((int64_t)i, &random),
            .type = CVM_MESSAGE_EVENT,
            .schema_version = 1,
            .attempt = 1,
            .shard = CVM_SHARD_NONE,
            .created_ms = 1,
            .payload = {payloads[i % count], strlen(payloads[i % count])},
        };
        struct cvm_sending sending = {.envelope = &envelope};
        must(cvm_broker_publish(link, CVM_BROKER_EVENTS, &sending, 1, &err), &err);
        must(cvm_broker_confirm(link, 1000, &err), &err);
    }
    cvm_broker_link_close(link);
}

static int64_t count_completed(struct desk *desk)
{
    struct cvm_store_options options = {.access = CVM_DB_READ, .clock = cvm_clock_system};
    struct cvm_store *reader = NULL;
    int64_t count = 0;
    struct cvm_error err;
    must(cvm_store_open(desk->base->url, &options, &reader, &err), &err);
    must(cvm_db_query(cvm_store_db(reader),
                      "SELECT count(*) FROM workflow WHERE state = 'completed'", NULL, 0,
                      keep_number, &count, &err),
         &err);
    cvm_store_close(reader);
    return count;
}

/* Workers and the import take turns with the one writer that the process has. */
static void a_process_takes_events_while_its_agents_work_on_those_before(void **state)
{
    enum { EVENTS = 40 };
    struct desk *desk = *state;
    const char *payloads[EVENTS];
    struct cvm_context context = {.clock = cvm_clock_system};
    struct cvm_broker_options options = {.context = context};
    struct cvm_broker *broker = NULL;
    struct cvm_host *host = NULL;
    struct cvm_error err;
    int64_t before = events(desk);
    for (int i = 0; i < EVENTS; i++) {
        payloads[i] = score(desk, i, "0.91");
    }
    cvm_store_close(desk->base->store); /* whose clock stands still */
    struct cvm_store_options store = {.access = CVM_DB_WRITE, .clock = cvm_clock_system};
    must(cvm_store_open(desk->base->url, &store, &desk->base->store, &err), &err);
    cvm_agent_writer_destroy(desk->site.writer);
    desk->site.writer = cvm_agent_writer_create(desk->base->store);
    must(cvm_broker_open("local:", &options, &broker, &err), &err);
    struct cvm_host_options agents = {
        .site = &desk->site,
        .context = &context,
        .broker = broker,
        .name = "test.1",
        .incarnation = 1,
        .orchestrates = true,
        .event_workflow = shipped(desk, CVM_EVENT_WORKFLOW),
        .is_alone = true,
        .seed = 7,
    };
    for (size_t k = 0; cvm_agent_kinds[k] != NULL; k++) {
        agents.pools[agents.pool_count++] = (struct cvm_host_pool){cvm_agent_kinds[k]->name, 1};
    }
    must(cvm_host_start(&agents, &host, &err), &err);
    publish(broker, payloads, EVENTS / 2);
    double until = cvm_context_seconds(&context) + PATIENCE_MS / 1000;
    while (count_completed(desk) == 0 && cvm_context_seconds(&context) < until) {
        (void)sched_yield();
    }
    publish(broker, payloads, EVENTS);
    while (count_completed(desk) < EVENTS && cvm_context_seconds(&context) < until) {
        (void)sched_yield();
    }
    must(cvm_host_stop(host, &err), &err);
    cvm_broker_close(broker);
    assert_int_equal(count_completed(desk), EVENTS);
    assert_int_equal(events(desk), before + EVENTS);
    assert_int_equal(workflows(desk), EVENTS);
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(a_message_that_comes_again_stores_and_starts_nothing),
        RULE(an_event_that_is_published_twice_is_one),
        RULE(events_that_are_known_by_their_content_are_one_too),
        RULE(what_was_corrected_is_not_undone_by_a_message_that_comes_again),
        RULE(where_a_log_goes_on_is_kept_with_the_events),
        RULE(whoever_dies_at_any_call_of_the_store_leaves_nothing_undone_or_twice),
        RULE(an_event_that_is_stored_and_was_never_looked_at_is_looked_at),
        RULE(a_bad_event_is_a_dead_letter_and_holds_up_no_other),
        RULE(a_bad_event_of_a_list_has_a_letter_of_its_own_that_can_be_replayed),
        RULE(of_a_customer_who_was_erased_no_event_is_kept_in_a_letter_either),
        RULE(while_a_run_is_at_work_events_wait),
        RULE(while_agents_have_more_than_they_get_done_events_wait),
        RULE(a_process_takes_events_while_its_agents_work_on_those_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
