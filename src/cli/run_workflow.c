#include "cli/run_workflow.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agents/host.h"
#include "base/hash.h"
#include "cli/agent_process.h"
#include "cli/workflow_definitions.h"
#include "messaging/broker.h"
#include "workflows/flow.h"

#define LOOK_MS         100
#define TRIES_MAX       100
#define ARENA_BYTES_MAX ((size_t)64 << 20)

struct asking {
    struct cvm_work *work;
    struct cvm_session *session;
    const struct cvm_run_request *request;
    struct cvm_run_job *job; /* for its identity alone */
    const struct cvm_definition *definition;
    const char *input;
    struct cvm_workflow workflow;
};

static enum cvm_status write_input(struct asking *asking, struct cvm_error *err)
{
    struct cvm_json_writer json;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_json_init(&json, &text, false);
    cvm_json_object(&json);
    cvm_json_key(&json, "request");
    cvm_run_request_write(asking->request, asking->work->catalogue, &json);
    cvm_json_object_end(&json);
    asking->input =
        text.failed ? NULL
                    : cvm_arena_copy(asking->session->arena, cvm_text_string(&text), text.length);
    cvm_text_finish(&text);
    return asking->input != NULL ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for a request");
}

/* The run's id is the key of its workflow, so that a command that is given again finds the one that
 * works on it. One that failed leaves room for another. */
static enum cvm_status accept(struct asking *asking, struct cvm_error *err)
{
    struct cvm_store *store = asking->work->store;
    struct cvm_db *db = cvm_store_db(store);
    enum cvm_status status = CVM_OK;
    bool is_found = false;
    for (int i = 1; status == CVM_OK && !is_found && i <= TRIES_MAX; i++) {
        char key[64];
        bool is_new = false;
        (void)snprintf(key, sizeof(key), i == 1 ? "run/%s" : "run/%s/%d",
                       cvm_run_job_id(asking->job), i);
        struct cvm_flow_request request = {
            .definition = asking->definition,
            .input = asking->input,
            .idempotency_key = key,
            .run_id = cvm_run_job_id(asking->job),
            .who = asking->session->who,
        };
        status = cvm_db_begin(db, err);
        if (status == CVM_OK) {
            status = cvm_flow_accept(store, asking->session->arena, &request, &asking->workflow,
                                     &is_new, err);
            status = status == CVM_OK ? cvm_db_commit(db, err) : status;
            cvm_db_rollback(db);
        }
        is_found = is_new || !cvm_workflow_has_ended(asking->workflow.state);
    }
    return status;
}

/* So that it begins now and not when somebody next looks: no more than a hint. */
static void hint(const struct asking *asking)
{
    struct cvm_broker *broker = NULL;
    struct cvm_broker_link *link = NULL;
    struct cvm_random random;
    char prefix[40];
    const struct cvm_context *context = &asking->session->context;
    int64_t now_ms = cvm_context_now_ms(context);
    const char *who = "cvm-run";
    cvm_random_init(&random, cvm_hash_mix((uint64_t)now_ms, 1));
    struct cvm_envelope envelope = {
        .id = cvm_message_id_make(now_ms, &random),
        .type = CVM_MESSAGE_ORCHESTRATION_REQUEST,
        .schema_version = 1,
        .attempt = 1,
        .shard = CVM_SHARD_NONE,
        .created_ms = now_ms,
        .workflow_id = {asking->workflow.workflow_id, strlen(asking->workflow.workflow_id)},
        .sender = {who, strlen(who)},
        .payload = {"{}", 2},
    };
    struct cvm_sending sending = {.envelope = &envelope};
    if (cvm_session_broker(asking->session, asking->work->store, prefix, &broker, NULL) == CVM_OK &&
        cvm_broker_link_open(broker, &link, NULL) == CVM_OK &&
        cvm_broker_declare(link, CVM_ORCHESTRATION, NULL) == CVM_OK &&
        cvm_broker_publish(link, CVM_ORCHESTRATION, &sending, 1, NULL) == CVM_OK) {
        (void)!cvm_broker_confirm(link, 1000, NULL);
    }
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

static void show_progress(const struct asking *asking, const struct cvm_steps *steps)
{
    size_t done = 0;
    const char *stage = "waiting for agents";
    for (size_t i = 0; i < steps->count; i++) {
        done += steps->items[i].state == CVM_STEP_DONE;
        if (steps->items[i].state == CVM_STEP_RUNNING) {
            stage = steps->items[i].name;
        }
    }
    double fraction = steps->count > 3 ? (double)done / (double)steps->count : -1;
    cvm_session_progress(asking->session, stage, fraction, -1);
}

static enum cvm_status look(struct asking *asking, struct cvm_workflow *out_workflow,
                            struct cvm_error *err)
{
    struct cvm_steps steps;
    struct cvm_store *store = asking->work->store;
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES_MAX);
    const char *id = asking->workflow.workflow_id;
    if (arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a workflow");
    }
    enum cvm_status status = cvm_workflow_find(store, arena, id, out_workflow, err);
    if (status == CVM_OK && cvm_workflow_has_ended(out_workflow->state)) {
        status = cvm_workflow_find(store, asking->session->arena, id, out_workflow, err);
    }
    if (status == CVM_OK && asking->session->has_progress) {
        status = cvm_step_list(store, arena, id, &steps, err);
        if (status == CVM_OK) {
            show_progress(asking, &steps);
        }
    }
    cvm_arena_destroy(arena);
    return status;
}

static enum cvm_status wait(struct asking *asking, struct cvm_error *err)
{
    struct cvm_workflow workflow = {.state = CVM_WORKFLOW_ACCEPTED};
    const char *id = asking->workflow.workflow_id;
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && !cvm_workflow_has_ended(workflow.state)) {
        struct timespec pause = {0, LOOK_MS * INT64_C(1000000)};
        status = cvm_context_check(&asking->session->context, err);
        if (status != CVM_OK) {
            cvm_session_progress_end(asking->session);
            return cvm_error_hint(err, status,
                                  "The run goes on without this command: `cvm workflow show %s`; "
                                  "`cvm workflow cancel %s` ends it.",
                                  id, id);
        }
        (void)nanosleep(&pause, NULL);
        status = look(asking, &workflow, err);
    }
    cvm_session_progress_end(asking->session);
    if (status != CVM_OK || workflow.state == CVM_WORKFLOW_COMPLETED) {
        return status;
    }
    status = CVM_FAIL(err, CVM_E_UNAVAILABLE, "the agents could not do it (%s): %s",
                      cvm_workflow_state_name(workflow.state),
                      workflow.error == NULL ? "nothing is known" : workflow.error);
    return cvm_error_hint(err, status, "`cvm workflow show %s` says what they did.", id);
}

static enum cvm_status ask(struct asking *asking, struct cvm_run_result **out_result,
                           struct cvm_error *err)
{
    struct cvm_run_result *result = NULL;
    enum cvm_status status = cvm_run_find_done(asking->job, &result, err);
    if (status != CVM_OK || result != NULL) {
        *out_result = result;
        return status;
    }
    status = cvm_session_definition(asking->session, "batch", &asking->definition, err);
    if (status == CVM_OK) {
        status = write_input(asking, err);
    }
    if (status == CVM_OK) {
        status = accept(asking, err);
    }
    if (status == CVM_OK) {
        hint(asking);
        status = wait(asking, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_load(asking->work->engine, asking->work->store,
                              cvm_run_job_id(asking->job), asking->session->arena, out_result, err);
    }
    return status;
}

enum cvm_status cvm_run_by_workflow(struct cvm_work *work, const struct cvm_run_request *request,
                                    struct cvm_run_result **out_result, struct cvm_error *err)
{
    struct asking asking = {.work = work, .session = work->session, .request = request};
    const struct cvm_run_work run = {
        .engine = work->engine,
        .writer = work->store,
        .request = request,
        .arena = work->session->arena,
    };
    enum cvm_status status = cvm_run_open(&run, &asking.job, err);
    if (status != CVM_OK) {
        return status;
    }
    status = ask(&asking, out_result, err);
    cvm_run_close(asking.job);
    return status;
}
