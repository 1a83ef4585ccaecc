/* Agents in one process, over queues of its own: a whole run by its workflow, and single questions.
 */
#include "engine/run_base.h"

#include <sched.h>

#include "agents/adjuster.h"
#include "agents/host.h"
#include "agents/orchestrator.h"
#include "agents/part_shelf.h"
#include "agents/registry.h"
#include "agents/request.h"
#include "agents/runner.h"
#include "base/file.h"
#include "base/log.h"
#include "base/threads.h"
#include "messaging/broker.h"
#include "storage/agent_events.h"
#include "storage/db_sql.h"
#include "storage/state.h"
#include "workflows/flow.h"

#define CUSTOMERS   1500
#define PATIENCE_MS 120000 /* a busy machine is no failure */

struct desk {
    struct base *base;
    struct cvm_agent_site site;
    struct cvm_context context; /* real time: threads wait in it */
    struct cvm_zone *zone;
    struct cvm_broker *broker;
    struct cvm_state *state;
    struct cvm_host *host;
    struct cvm_store *reader;
    struct cvm_schedules schedules;
    const struct cvm_definition *const *scheduled;
};

static struct cvm_store *open_reader(const struct desk *desk)
{
    struct cvm_store_options options = {.access = CVM_DB_READ, .clock = desk->context.clock};
    struct cvm_store *reader = NULL;
    struct cvm_error err;
    must(cvm_store_open(desk->base->url, &options, &reader, &err), &err);
    return reader;
}

/* The base was made at a moment that stands still; threads wait in one that goes on. */
static void let_time_go_on(struct desk *desk)
{
    struct cvm_store_options options = {.access = CVM_DB_WRITE, .clock = cvm_clock_system};
    struct cvm_error err;
    cvm_store_close(desk->base->store);
    must(cvm_store_open(desk->base->url, &options, &desk->base->store, &err), &err);
}

static void start_host(struct desk *desk, const char *only, size_t workers)
{
    struct cvm_host_options options = {
        .site = &desk->site,
        .context = &desk->context,
        .broker = desk->broker,
        .state = desk->state,
        .knows_all = true,
        .name = "test.1",
        .incarnation = cvm_context_now_ms(&desk->context),
        .orchestrates = true,
        .schedules = desk->schedules,
        .scheduled = desk->scheduled,
        .is_alone = true,
        .seed = 7,
    };
    struct cvm_error err;
    for (size_t k = 0; cvm_agent_kinds[k] != NULL; k++) {
        const char *name = cvm_agent_kinds[k]->name;
        if (only == NULL || strcmp(only, name) == 0) {
            options.pools[options.pool_count++] = (struct cvm_host_pool){name, workers};
        }
    }
    must(cvm_host_start(&options, &desk->host, &err), &err);
}

static int set_up(void **state)
{
    struct desk *desk = calloc(1, sizeof(*desk));
    struct cvm_error err;
    assert_non_null(desk);
    desk->base = base_create(CUSTOMERS, NULL);
    desk->context = (struct cvm_context){.clock = cvm_clock_system};
    let_time_go_on(desk);
    must(cvm_zone_open("UTC", &desk->zone, &err), &err);
    desk->site = (struct cvm_agent_site){
        .store_url = desk->base->url,
        .writer = cvm_agent_writer_create(desk->base->store),
        .zone = desk->zone,
        .threads = 2,
        .chunk_size = 256,
        .shelf = cvm_part_shelf_create(),
        .version = "test",
    };
    struct cvm_broker_options broker = {.context = desk->context};
    struct cvm_state_options shared = {.prefix = NULL};
    must(cvm_broker_open("local:", &broker, &desk->broker, &err), &err);
    must(cvm_state_open("memory:", &shared, &desk->state, &err), &err);
    desk->reader = open_reader(desk);
    *state = desk;
    return 0;
}

static int tear_down(void **state)
{
    struct desk *desk = *state;
    struct cvm_error err;
    must(cvm_host_stop(desk->host, &err), &err);
    cvm_store_close(desk->reader);
    cvm_state_close(desk->state);
    cvm_broker_close(desk->broker);
    cvm_part_shelf_destroy(desk->site.shelf);
    cvm_agent_writer_destroy(desk->site.writer);
    cvm_zone_close(desk->zone);
    base_destroy(desk->base);
    free(desk);
    return 0;
}

/* ---- a workflow ---- */

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

static const char *accept(struct desk *desk, const char *name, const char *input)
{
    struct cvm_flow_request request = {
        .definition = shipped(desk, name),
        .input = input,
        .idempotency_key = input, /* the same input is the same work */
        .who = "test",
    };
    struct cvm_workflow workflow;
    struct cvm_error err;
    bool is_new = false;
    struct cvm_store *store = cvm_agent_writer_lock(desk->site.writer);
    must(cvm_db_begin(cvm_store_db(store), &err), &err);
    must(cvm_flow_accept(store, desk->base->arena, &request, &workflow, &is_new, &err), &err);
    must(cvm_db_commit(cvm_store_db(store), &err), &err);
    cvm_agent_writer_unlock(desk->site.writer);
    assert_true(is_new);
    return workflow.workflow_id;
}

static struct cvm_workflow wait_for(struct desk *desk, const char *workflow_id)
{
    struct cvm_workflow workflow;
    struct cvm_error err;
    double until = cvm_context_seconds(&desk->context) + PATIENCE_MS / 1000;
    do {
        struct cvm_arena *arena = cvm_arena_create(1 << 24);
        must(cvm_workflow_find(desk->reader, arena, workflow_id, &workflow, &err), &err);
        if (cvm_workflow_has_ended(workflow.state)) {
            must(cvm_workflow_find(desk->reader, desk->base->arena, workflow_id, &workflow, &err),
                 &err);
        }
        cvm_arena_destroy(arena);
        (void)sched_yield();
    } while (!cvm_workflow_has_ended(workflow.state) &&
             cvm_context_seconds(&desk->context) < until);
    return workflow;
}

static void assert_completed(struct cvm_workflow workflow)
{
    if (workflow.state != CVM_WORKFLOW_COMPLETED) {
        fail_msg("%s: %s", cvm_workflow_state_name(workflow.state), workflow.error);
    }
}

#define REQUEST                                                                                    \
    "{\"request\":{\"as_of\":\"2024-03-20\",\"replace\":false,\"release\":true,\"seed\":1,"        \
    "\"realtime_share\":0,\"keep_runs\":3,\"who\":\"test\"}}"

static void assert_plan_of_one_go(struct desk *desk)
{
    struct base *twin = base_create(CUSTOMERS, NULL);
    struct cvm_run_request request = ordinary();
    struct cvm_run_record found;
    struct cvm_error err;
    request.seed = 1;
    struct cvm_run_result *whole = run(twin, &request, 2, 1024);
    must(cvm_run_get(desk->reader, desk->base->arena, "latest", &found, &err), &err);
    assert_string_equal(found.plan_digest, whole->plan_digest);
    assert_string_equal(found.plan_state, "released");
    cvm_run_result_destroy(whole);
    base_destroy(twin);
}

static void a_workflow_makes_the_plan_of_the_run_in_one_go(void **state)
{
    struct desk *desk = *state;
    start_host(desk, NULL, 2);
    assert_completed(wait_for(desk, accept(desk, "batch", REQUEST)));
    assert_plan_of_one_go(desk);
}

static void two_runs_at_once_wait_for_each_other(void **state)
{
    struct desk *desk = *state;
    start_host(desk, NULL, 2);
    const char *first = accept(desk, "batch", REQUEST);
    const char *second = accept(desk, "batch",
                                "{\"request\":{\"as_of\":\"2024-03-20\",\"release\":true,"
                                "\"seed\":2,\"keep_runs\":3,\"who\":\"test\"}}");
    assert_completed(wait_for(desk, first));
    assert_completed(wait_for(desk, second));
}

/* Due each minute: the first look notes nothing of the past, so the store's clock is set back for
 * it. */
static void a_schedule_starts_its_workflow_once(void **state)
{
    struct desk *desk = *state;
    const struct cvm_yaml_node *map = NULL;
    struct cvm_schedules schedules = {0};
    struct cvm_error err;
    static const char yaml[] = "nightly:\n"
                               "  workflow: batch\n"
                               "  at: \"* * * * *\"\n"
                               "  input: {request: {as_of: \"2024-03-20\"}}\n";
    must(cvm_yaml_read(desk->base->arena, "cvm.yaml", yaml, strlen(yaml), &map, &err), &err);
    must(cvm_schedules_read(desk->base->arena, map, "UTC", &schedules, &err), &err);
    const struct cvm_definition *definitions[] = {shipped(desk, "batch")};
    struct cvm_db *db = cvm_store_db(desk->base->store);
    struct cvm_schedule_look look;
    desk->site.must_release = true;
    desk->site.keep_runs = 3;
    must(cvm_db_begin(db, &err), &err);
    must(cvm_schedule_look(desk->base->store, desk->base->arena, &schedules.items[0],
                           definitions[0], "test", &look, &err),
         &err);
    must(cvm_db_exec(db, "UPDATE schedule SET looked_at = looked_at - 120000", NULL, 0, NULL, &err),
         &err);
    must(cvm_db_commit(db, &err), &err);
    desk->schedules = schedules;
    desk->scheduled = definitions;
    start_host(desk, NULL, 1);
    double until = cvm_context_seconds(&desk->context) + PATIENCE_MS / 1000;
    enum cvm_status status = CVM_E_NOT_FOUND;
    struct cvm_workflow workflow;
    while (status == CVM_E_NOT_FOUND && cvm_context_seconds(&desk->context) < until) {
        status = cvm_workflow_find(desk->reader, desk->base->arena, "latest", &workflow, &err);
        (void)sched_yield();
    }
    must(status, &err);
    assert_completed(wait_for(desk, workflow.workflow_id));
    assert_plan_of_one_go(desk);
    cvm_schedules_finish(&schedules);
}

static void what_a_stopped_process_left_is_taken_up_by_the_next(void **state)
{
    struct desk *desk = *state;
    struct cvm_error err;
    start_host(desk, "data", 1); /* it gets as far as its parts */
    const char *workflow_id = accept(desk, "batch", REQUEST);
    double until = cvm_context_seconds(&desk->context) + PATIENCE_MS / 1000;
    uint64_t counts[CVM_TURN_ENDS] = {0};
    while (counts[CVM_TURN_DONE] == 0 && cvm_context_seconds(&desk->context) < until) {
        cvm_host_counts(desk->host, counts);
        (void)sched_yield();
    }
    must(cvm_host_stop(desk->host, &err), &err);
    desk->host = NULL;
    cvm_broker_close(desk->broker); /* and with it what was on its way */
    struct cvm_broker_options broker = {.context = desk->context};
    must(cvm_broker_open("local:", &broker, &desk->broker, &err), &err);
    start_host(desk, NULL, 2);
    assert_completed(wait_for(desk, workflow_id));
    assert_plan_of_one_go(desk);
}

static void a_run_without_data_fails_and_says_why(void **state)
{
    struct desk *desk = *state;
    start_host(desk, NULL, 1);
    struct cvm_workflow workflow =
        wait_for(desk, accept(desk, "batch",
                              "{\"request\":{\"as_of\":\"2030-01-01\",\"seed\":1,\"keep_runs\":3,"
                              "\"who\":\"test\"}}"));
    assert_int_equal(workflow.state, CVM_WORKFLOW_FAILED);
    assert_non_null(strstr(workflow.error, "2024-03-20"));
}

static void one_customer_goes_through_its_workflow(void **state)
{
    struct desk *desk = *state;
    char id[CVM_WORLD_ID_SIZE];
    char input[96];
    start_host(desk, NULL, 1);
    cvm_world_customer_id(5, id);
    (void)snprintf(input, sizeof(input), "{\"customer_id\":\"%s\",\"as_of\":\"2024-03-20\"}", id);
    assert_completed(wait_for(desk, accept(desk, "treatment_selection", input)));
}

/* ---- who is there ---- */

static void a_process_says_that_it_is_there_until_it_stops(void **state)
{
    struct desk *desk = *state;
    struct cvm_registry registry = {.count = 0};
    struct cvm_error err;
    start_host(desk, "treatment", 3);
    double until = cvm_context_seconds(&desk->context) + PATIENCE_MS / 1000;
    while (registry.count == 0 && cvm_context_seconds(&desk->context) < until) {
        must(cvm_registry_read(desk->state, &desk->context, desk->base->arena, &registry, &err),
             &err);
        (void)sched_yield();
    }
    assert_int_equal(registry.count, 1);
    const struct cvm_registry_process *process = &registry.items[0];
    assert_string_equal(process->name, "test.1");
    assert_string_equal(process->version, "test");
    assert_false(process->is_draining);
    assert_true(process->beat_ms >= process->incarnation && process->incarnation > 0);
    assert_int_equal(process->serves_count, 2);
    assert_string_equal(process->serves[0].queue, "treatment");
    assert_int_equal(process->serves[0].workers, 3);
    assert_string_equal(process->serves[1].queue, "orchestration");
    must(cvm_host_stop(desk->host, &err), &err);
    desk->host = NULL;
    must(cvm_registry_read(desk->state, &desk->context, desk->base->arena, &registry, &err), &err);
    assert_int_equal(registry.count, 0);
}

static void what_another_version_says_is_read_as_far_as_it_goes(void **state)
{
    struct desk *desk = *state;
    static const char *const values[] = {"{\"version\":\"9\",\"moods\":[1]}", "no JSON", ""};
    struct cvm_registry registry;
    struct cvm_error err;
    for (size_t i = 0; i < 3; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "p%zu", i);
        struct cvm_state_member member = {"agents", name, values[i], 60000};
        must(cvm_state_announce(desk->state, &desk->context, &member, &err), &err);
    }
    must(cvm_registry_read(desk->state, &desk->context, desk->base->arena, &registry, &err), &err);
    assert_int_equal(registry.count, 3);
    assert_string_equal(registry.items[0].version, "9");
    assert_string_equal(registry.items[1].version, "");
    assert_true(registry.items[0].is_unknown);
}

static void the_audit_log_is_sealed_every_minute(void **state)
{
    struct desk *desk = *state;
    struct cvm_db *db = cvm_store_db(desk->base->store);
    struct cvm_orchestrator *orchestrator = NULL;
    struct cvm_orchestrator_look look;
    struct cvm_error err;
    int64_t unsealed[2] = {0};
    int64_t now_ms = cvm_context_now_ms(&desk->context);
    desk->context.clock = cvm_clock_fixed(&now_ms);
    struct cvm_orchestrator_options options = {
        .site = &desk->site, .context = &desk->context, .name = "test.1", .incarnation = 1};
    must(cvm_orchestrator_create(&options, &orchestrator, &err), &err);
    for (int minute = 0; minute < 2; minute++) {
        must(cvm_orchestrator_look(orchestrator, NULL, &look, &err), &err);
        must(cvm_db_get_int(db, CVM_SQL_AUDIT_UNSEALED_COUNT, NULL, 0, &unsealed[minute], &err),
             &err);
        now_ms += 61000;
    }
    assert_true(unsealed[0] > 0);
    assert_int_equal(unsealed[1], 0);
    cvm_orchestrator_destroy(orchestrator);
}

/* ---- send and wait ---- */

static void a_question_gets_its_answer(void **state)
{
    struct desk *desk = *state;
    struct cvm_requester *requester = NULL;
    struct cvm_text answer;
    struct cvm_error err;
    char id[CVM_WORLD_ID_SIZE];
    char payload[96];
    cvm_text_init(&answer, 0);
    start_host(desk, NULL, 1);
    must(cvm_requester_open(desk->broker, &desk->context, "asker", 3, &requester, &err), &err);
    cvm_world_customer_id(5, id);
    (void)snprintf(payload, sizeof(payload), "{\"customer_id\":\"%s\",\"as_of\":\"2024-03-20\"}",
                   id);
    struct cvm_request request = {"treatment", CVM_MESSAGE_TREATMENT_REQUEST, payload, PATIENCE_MS};
    must(cvm_requester_ask(requester, &request, &answer, &err), &err);
    assert_non_null(strstr(cvm_text_string(&answer), "\"end\":\"done\""));
    assert_non_null(strstr(cvm_text_string(&answer), "\"treatments\":["));
    request.payload = "{\"customer_id\":\"nobody\"}";
    must(cvm_requester_ask(requester, &request, &answer, &err), &err);
    assert_non_null(strstr(cvm_text_string(&answer), "\"end\":\"failed\""));
    assert_non_null(strstr(cvm_text_string(&answer), "nobody"));
    cvm_requester_close(requester);
    cvm_text_finish(&answer);
}

static void nobody_there_is_a_time_out(void **state)
{
    struct desk *desk = *state;
    struct cvm_requester *requester = NULL;
    struct cvm_text answer;
    struct cvm_error err;
    cvm_text_init(&answer, 0);
    must(cvm_requester_open(desk->broker, &desk->context, "asker", 3, &requester, &err), &err);
    struct cvm_request request = {"treatment", CVM_MESSAGE_TREATMENT_REQUEST, "{}", 20};
    assert_int_equal(cvm_requester_ask(requester, &request, &answer, &err), CVM_E_TIMEOUT);
    cvm_requester_close(requester);
    cvm_text_finish(&answer);
}

static bool is_served(struct desk *desk, const char *queue)
{
    struct cvm_registry_found found;
    struct cvm_error err;
    must(cvm_registry_find(desk->state, &desk->context, queue, &found, &err), &err);
    return found.processes > 0;
}

static void who_is_not_there_is_not_waited_for_until_the_deadline(void **state)
{
    struct desk *desk = *state;
    struct cvm_requester *requester = NULL;
    struct cvm_text answer;
    struct cvm_error err;
    cvm_text_init(&answer, 0);
    must(cvm_requester_open(desk->broker, &desk->context, "asker", 3, &requester, &err), &err);
    cvm_requester_discover(requester, desk->state);
    struct cvm_request request = {"treatment.web", CVM_MESSAGE_TREATMENT_REQUEST, "{}", PATIENCE_MS,
                                  "treatment"};
    assert_int_equal(cvm_requester_ask(requester, &request, &answer, &err), CVM_E_NOT_FOUND);
    assert_string_equal(err.message, "nobody serves 'treatment.web'");
    cvm_requester_close(requester);
    cvm_text_finish(&answer);
}

static void the_kind_answers_for_a_specialist_who_is_not_there(void **state)
{
    struct desk *desk = *state;
    struct cvm_requester *requester = NULL;
    struct cvm_text answer;
    struct cvm_error err;
    char id[CVM_WORLD_ID_SIZE];
    char payload[96];
    cvm_text_init(&answer, 0);
    start_host(desk, "treatment", 1);
    while (!is_served(desk, "treatment")) {
        (void)sched_yield();
    }
    cvm_world_customer_id(5, id);
    (void)snprintf(payload, sizeof(payload), "{\"customer_id\":\"%s\",\"as_of\":\"2024-03-20\"}",
                   id);
    must(cvm_requester_open(desk->broker, &desk->context, "asker", 3, &requester, &err), &err);
    cvm_requester_discover(requester, desk->state);
    struct cvm_request request = {"treatment.call_center", CVM_MESSAGE_TREATMENT_REQUEST, payload,
                                  PATIENCE_MS, "treatment"};
    must(cvm_requester_ask(requester, &request, &answer, &err), &err);
    assert_non_null(strstr(cvm_text_string(&answer), "\"end\":\"done\""));
    request.instead = NULL;
    assert_int_equal(cvm_requester_ask(requester, &request, &answer, &err), CVM_E_NOT_FOUND);
    cvm_requester_close(requester);
    cvm_text_finish(&answer);
}

static void work_that_nobody_serves_is_told_of_and_waits(void **state)
{
    struct desk *desk = *state;
    char *text = NULL;
    size_t size = 0;
    struct cvm_error err;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    desk->context.log = cvm_log_create(&(struct cvm_log_options){
        .stream = stream, .level = CVM_LOG_WARN, .clock = desk->context.clock});
    start_host(desk, "data", 1);
    const char *workflow_id = accept(desk, "batch", REQUEST);
    double until = cvm_context_seconds(&desk->context) + PATIENCE_MS / 1000;
    bool is_told = false;
    while (!is_told && cvm_context_seconds(&desk->context) < until) {
        flockfile(stream);
        (void)fflush(stream);
        is_told = strstr(text, "event=nobody_serves queue=treatment") != NULL;
        funlockfile(stream);
        (void)sched_yield();
    }
    assert_true(is_told);
    must(cvm_host_stop(desk->host, &err), &err);
    start_host(desk, NULL, 1);
    assert_completed(wait_for(desk, workflow_id));
    must(cvm_host_stop(desk->host, &err), &err);
    desk->host = NULL;
    cvm_log_destroy(desk->context.log);
    (void)fclose(stream);
    assert_null(strstr(text, "nobody_serves queue=data"));
    free(text);
}

/* ---- adjustment ---- */

/* Turns that go on until they are let go, in a time that the test moves on. */
static struct {
    atomic_int at_work;
    atomic_int handled;
    atomic_bool is_let_go;
    _Atomic int64_t ahead_ms;
} stall;

static int64_t shifted_now_ms(void *state)
{
    (void)state;
    return cvm_clock_system.now_ms(NULL) + atomic_load(&stall.ahead_ms);
}

static int64_t shifted_steady_ns(void *state)
{
    (void)state;
    return cvm_clock_system.steady_ns(NULL) + atomic_load(&stall.ahead_ms) * 1000000;
}

static enum cvm_status stalled_handle(void *worker, const struct cvm_turn *turn,
                                      struct cvm_effects *effects, struct cvm_error *err)
{
    (void)worker;
    (void)turn;
    (void)effects;
    (void)err;
    atomic_fetch_add(&stall.at_work, 1);
    while (!atomic_load(&stall.is_let_go)) {
        (void)sched_yield();
    }
    atomic_fetch_sub(&stall.at_work, 1);
    atomic_fetch_add(&stall.handled, 1);
    return CVM_OK;
}

static const enum cvm_message_type stalled_serves[] = {CVM_MESSAGE_EVENT, CVM_MESSAGE_NONE};
static const struct cvm_agent_kind stalled = {
    .name = "stalled", .does = "nothing", .serves = stalled_serves, .handle = stalled_handle};
static const struct cvm_agent_kind *const stalled_kinds[] = {&stalled, NULL};

static void start_stalled_host(struct desk *desk, struct cvm_host_options *options)
{
    struct cvm_error err;
    atomic_store(&stall.at_work, 0);
    atomic_store(&stall.handled, 0);
    atomic_store(&stall.is_let_go, false);
    atomic_store(&stall.ahead_ms, 0);
    desk->context.clock = (struct cvm_clock){shifted_now_ms, shifted_steady_ns, NULL};
    *options = (struct cvm_host_options){
        .site = &desk->site,
        .context = &desk->context,
        .broker = desk->broker,
        .state = desk->state,
        .name = "test.1",
        .incarnation = 1,
        .pools = {{"stalled", 1, 8}},
        .pool_count = 1,
        .kinds = stalled_kinds,
        .is_adjusted_by_hand = true,
        .is_alone = true,
        .seed = 7,
    };
    must(cvm_host_start(options, &desk->host, &err), &err);
}

static void publish_events(struct desk *desk, int count)
{
    struct cvm_broker_link *link = NULL;
    struct cvm_random random;
    struct cvm_error err;
    cvm_random_init(&random, (uint64_t)count);
    must(cvm_broker_link_open(desk->broker, &link, &err), &err);
    must(cvm_broker_declare(link, "stalled", &err), &err);
    for (int i = 0; i < count; i++) {
        struct cvm_envelope envelope = {
            .id = cvm_message_id_make(i, &random),
            .type = CVM_MESSAGE_EVENT,
            .schema_version = 1,
            .attempt = 1,
            .shard = CVM_SHARD_NONE,
            .created_ms = 1,
            .payload = {"{}", 2},
        };
        struct cvm_sending sending = {.envelope = &envelope};
        must(cvm_broker_publish(link, "stalled", &sending, 1, &err), &err);
        must(cvm_broker_confirm(link, 1000, &err), &err);
    }
    cvm_broker_link_close(link);
}

static void wait_until(struct desk *desk, const atomic_int *what, int count)
{
    double until = cvm_clock_system.steady_ns(NULL) / 1e9 + PATIENCE_MS / 1000;
    (void)desk;
    while (atomic_load(what) != count && cvm_clock_system.steady_ns(NULL) / 1e9 < until) {
        (void)sched_yield();
    }
    assert_int_equal(atomic_load(what), count);
}

/* Ten seconds later. */
static size_t look_later(struct desk *desk)
{
    struct cvm_error err;
    atomic_fetch_add(&stall.ahead_ms, 10000);
    must(cvm_host_adjust(desk->host, &err), &err);
    return cvm_host_workers(desk->host, 0);
}

static enum cvm_status count_event(void *state, const struct cvm_agent_event *event,
                                   struct cvm_error *err)
{
    int *ups = state;
    (void)err;
    assert_string_equal(event->agent_type, "stalled");
    assert_string_equal(event->agent, "test.1");
    assert_non_null(strstr(event->inputs, "\"backlog\":"));
    assert_non_null(strstr(event->inputs, "\"service_s\":"));
    *ups += strcmp(event->event, "up") == 0 ? 1 : 0;
    return CVM_OK;
}

static void a_stalled_pool_grows_to_its_most_and_shrinks_when_the_work_is_done(void **state)
{
    struct desk *desk = *state;
    struct cvm_host_options options;
    struct cvm_error err;
    int ups = 0;
    start_stalled_host(desk, &options);
    publish_events(desk, 20);
    wait_until(desk, &stall.at_work, 1);
    for (int workers = 2; workers <= 8; workers *= 2) {
        assert_int_equal(look_later(desk), workers);
        wait_until(desk, &stall.at_work, workers);
    }
    assert_int_equal(look_later(desk), 8);
    must(cvm_agent_event_list(desk->reader, 0, 100, count_event, &ups, &err), &err);
    assert_int_equal(ups, 3);
    atomic_store(&stall.is_let_go, true);
    wait_until(desk, &stall.handled, 20);
    size_t workers = 8;
    for (int i = 0; workers > 1 && i < 200; i++) {
        workers = look_later(desk);
    }
    assert_int_equal(workers, 1);
}

static enum cvm_status stop_host(void *state, struct cvm_error *err)
{
    struct desk *desk = state;
    return cvm_host_stop(desk->host, err);
}

static void who_ends_its_last_turn_still_says_that_it_is_there(void **state)
{
    struct desk *desk = *state;
    struct cvm_host_options options;
    struct cvm_registry_found found = {0};
    struct cvm_thread *stopper = NULL;
    struct cvm_error err;
    start_stalled_host(desk, &options);
    publish_events(desk, 1);
    wait_until(desk, &stall.at_work, 1);
    must(cvm_thread_start(stop_host, desk, &stopper, &err), &err);
    while (found.draining == 0) {
        must(cvm_registry_find(desk->state, &desk->context, "stalled", &found, &err), &err);
        (void)sched_yield();
    }
    assert_int_equal(found.processes, 0);
    atomic_store(&stall.is_let_go, true);
    must(cvm_thread_join(stopper, &err), &err);
    desk->host = NULL;
    must(cvm_registry_find(desk->state, &desk->context, "stalled", &found, &err), &err);
    assert_int_equal(found.draining, 0);
}

static void while_the_store_is_away_nobody_takes_messages_or_gets_company(void **state)
{
    struct desk *desk = *state;
    struct cvm_host_options options;
    struct cvm_adjuster *adjuster = NULL;
    struct cvm_turn_report report = {.end = CVM_TURN_LATER, .seconds = 10};
    struct cvm_error err;
    start_stalled_host(desk, &options);
    publish_events(desk, 20);
    must(cvm_adjuster_create(&options, &adjuster, &err), &err);
    for (int i = 0; i < 20; i++) {
        assert_true(cvm_adjuster_may_take(adjuster));
        cvm_adjuster_began(adjuster, 0);
        cvm_adjuster_ended(adjuster, 0, &report);
    }
    assert_false(cvm_adjuster_may_take(adjuster));
    must(cvm_adjuster_look(adjuster, &err), &err);
    assert_int_equal(cvm_adjuster_wanted(adjuster, 0), 1);
    cvm_adjuster_destroy(adjuster);
    atomic_store(&stall.is_let_go, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_workflow_makes_the_plan_of_the_run_in_one_go, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_schedule_starts_its_workflow_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_runs_at_once_wait_for_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_stopped_process_left_is_taken_up_by_the_next, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_run_without_data_fails_and_says_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_customer_goes_through_its_workflow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_process_says_that_it_is_there_until_it_stops, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_another_version_says_is_read_as_far_as_it_goes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_audit_log_is_sealed_every_minute, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_question_gets_its_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_there_is_a_time_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_not_there_is_not_waited_for_until_the_deadline,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_kind_answers_for_a_specialist_who_is_not_there, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(work_that_nobody_serves_is_told_of_and_waits, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_ends_its_last_turn_still_says_that_it_is_there, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_stalled_pool_grows_to_its_most_and_shrinks_when_the_work_is_done, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            while_the_store_is_away_nobody_takes_messages_or_gets_company, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
