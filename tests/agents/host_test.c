/* Agents in one process, over queues of its own: a whole run by its workflow, and single questions.
 */
#include "engine/run_base.h"

#include <sched.h>

#include "agents/host.h"
#include "agents/part_shelf.h"
#include "agents/request.h"
#include "agents/runner.h"
#include "base/file.h"
#include "messaging/broker.h"
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
        .name = "test.1",
        .incarnation = cvm_context_now_ms(&desk->context),
        .orchestrates = true,
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
        .idempotency_key = "test",
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
    struct cvm_workflow workflow = wait_for(desk, accept(desk, "batch", REQUEST));
    if (workflow.state != CVM_WORKFLOW_COMPLETED) {
        fail_msg("%s: %s", cvm_workflow_state_name(workflow.state), workflow.error);
    }
    assert_plan_of_one_go(desk);
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
    struct cvm_workflow workflow = wait_for(desk, workflow_id);
    if (workflow.state != CVM_WORKFLOW_COMPLETED) {
        fail_msg("%s: %s", cvm_workflow_state_name(workflow.state), workflow.error);
    }
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
    struct cvm_workflow workflow = wait_for(desk, accept(desk, "treatment_selection", input));
    if (workflow.state != CVM_WORKFLOW_COMPLETED) {
        fail_msg("%s: %s", cvm_workflow_state_name(workflow.state), workflow.error);
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_workflow_makes_the_plan_of_the_run_in_one_go, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_a_stopped_process_left_is_taken_up_by_the_next, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_run_without_data_fails_and_says_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_customer_goes_through_its_workflow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_question_gets_its_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_there_is_a_time_out, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
