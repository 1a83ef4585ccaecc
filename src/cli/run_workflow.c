#include "cli/run_workflow.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agents/host.h"
#include "agents/own_run.h"
#include "agents/part_shelf.h"
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
    bool is_embedded;
    bool is_new;
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

/* ---- what dead commands left ---- */

/* Commands like this one that were killed: nobody else writes, so nobody works on theirs. */
static enum cvm_status end_dead(const struct asking *asking, struct cvm_error *err)
{
    struct cvm_store *store = asking->work->store;
    struct cvm_arena *arena = asking->session->arena;
    enum cvm_status status = CVM_OK;
    for (int64_t p = 0; status == CVM_OK && p < CVM_FLOW_PARTITIONS; p++) {
        struct cvm_workflow_ids ids = {0};
        status = cvm_workflow_open_ids(store, arena, p, &ids, err);
        for (size_t i = 0; status == CVM_OK && i < ids.count; i++) {
            struct cvm_workflow workflow;
            enum cvm_workflow_state ended = CVM_WORKFLOW_CANCELLED;
            status = cvm_workflow_lock(store, arena, ids.ids[i], &workflow, err);
            if (status == CVM_OK && strncmp(workflow.idempotency_key, "run/", 4) == 0 &&
                strcmp(ids.ids[i], asking->workflow.workflow_id) != 0) {
                status = cvm_flow_order(store, arena, ids.ids[i], CVM_WORKFLOW_CANCEL, &ended, err);
            }
        }
    }
    return status;
}

/* ---- accepting ---- */

/* The run's id is the key of its workflow, so that a command that is given again finds the one that
 * works on it. One that has ended leaves room for another; so does one that can not be gone on with
 * by threads of this process, which nobody else works on. */
static enum cvm_status try_key(struct asking *asking, int number, bool *out_is_found,
                               struct cvm_error *err)
{
    struct cvm_store *store = asking->work->store;
    struct cvm_arena *arena = asking->session->arena;
    char key[64];
    enum cvm_workflow_state state = CVM_WORKFLOW_ACCEPTED;
    (void)snprintf(key, sizeof(key), number == 1 ? "run/%s" : "run/%s/%d",
                   cvm_run_job_id(asking->job), number);
    const struct cvm_flow_request request = {
        .definition = asking->definition,
        .input = asking->input,
        .idempotency_key = key,
        .run_id = cvm_run_job_id(asking->job),
        .who = asking->session->who,
    };
    struct cvm_workflow *workflow = &asking->workflow;
    enum cvm_status status =
        cvm_flow_accept(store, arena, &request, workflow, &asking->is_new, err);
    bool is_other = status == CVM_E_CONFLICT; /* the same run, asked for in other words */
    if (is_other && cvm_workflow_by_key(store, arena, key, workflow, NULL) == CVM_OK &&
        (asking->is_embedded || cvm_workflow_has_ended(workflow->state))) {
        status = CVM_OK;
    }
    if (status != CVM_OK || asking->is_new) {
        *out_is_found = status == CVM_OK;
        return status;
    }
    bool is_spent = workflow->recovery_attempts >= CVM_WORKFLOW_RECOVERIES_MAX ||
                    workflow->state == CVM_WORKFLOW_PAUSED;
    *out_is_found =
        !is_other && !cvm_workflow_has_ended(workflow->state) && !(asking->is_embedded && is_spent);
    if (*out_is_found || cvm_workflow_has_ended(workflow->state)) {
        return CVM_OK;
    }
    return cvm_flow_order(store, arena, workflow->workflow_id, CVM_WORKFLOW_CANCEL, &state, err);
}

static enum cvm_status accept(struct asking *asking, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(asking->work->store);
    enum cvm_status status =
        asking->is_embedded ? cvm_db_begin_light(db, err) : cvm_db_begin(db, err);
    bool is_found = false;
    for (int i = 1; status == CVM_OK && !is_found && i <= TRIES_MAX; i++) {
        status = try_key(asking, i, &is_found, err);
    }
    if (status == CVM_OK && asking->is_embedded) {
        status = end_dead(asking, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
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

static enum cvm_status fail_ended(const struct cvm_workflow *workflow, struct cvm_error *err)
{
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_UNAVAILABLE, "the agents could not do it (%s): %s",
                 cvm_workflow_state_name(workflow->state),
                 workflow->error == NULL ? "nothing is known" : workflow->error);
    return cvm_error_hint(err, status, "`cvm workflow show %s` says what they did.",
                          workflow->workflow_id);
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
    return fail_ended(&workflow, err);
}

/* *out_result stays NULL when the request was not answered before. */
static enum cvm_status begin(struct asking *asking, struct cvm_run_result **out_result,
                             struct cvm_error *err)
{
    struct cvm_run_result *result = NULL;
    enum cvm_status status = cvm_run_find_done(asking->job, &result, err);
    *out_result = result;
    if (status != CVM_OK || result != NULL) {
        return status;
    }
    status = cvm_session_definition(asking->session, "batch", &asking->definition, err);
    if (status == CVM_OK) {
        status = write_input(asking, err);
    }
    return status == CVM_OK ? accept(asking, err) : status;
}

static enum cvm_status open_job(struct asking *asking, struct cvm_run_work *out_work,
                                struct cvm_error *err)
{
    *out_work = (struct cvm_run_work){
        .engine = asking->work->engine,
        .writer = asking->work->store,
        .request = asking->request,
        .arena = asking->session->arena,
    };
    return cvm_run_open(out_work, &asking->job, err);
}

enum cvm_status cvm_run_by_workflow(struct cvm_work *work, const struct cvm_run_request *request,
                                    struct cvm_run_result **out_result, struct cvm_error *err)
{
    struct asking asking = {.work = work, .session = work->session, .request = request};
    struct cvm_run_work run;
    enum cvm_status status = open_job(&asking, &run, err);
    if (status != CVM_OK) {
        return status;
    }
    status = begin(&asking, out_result, err);
    if (status == CVM_OK && *out_result == NULL) {
        hint(&asking);
        status = wait(&asking, err);
        if (status == CVM_OK) {
            status = cvm_run_load(work->engine, work->store, cvm_run_job_id(asking.job), run.arena,
                                  out_result, err);
        }
    }
    cvm_run_close(asking.job);
    return status;
}

/* ---- agents of this process ---- */

struct embedded {
    struct asking *asking;
    struct cvm_own_run *own;
    struct cvm_agent_site site;
    struct cvm_broker *broker;
    struct cvm_host *host;
    char name[CVM_PROCESS_NAME_SIZE];
    char prefix[40];
};

/* A reader each, beside that of the engine and the two connections of the writer. */
static size_t count_valuers(const struct asking *asking)
{
    size_t threads = asking->work->engine->worker_count;
    size_t connections = (size_t)asking->session->config.connections;
    size_t left = connections > 4 ? connections - 3 : 1;
    return connections == 0 || left > threads ? threads : left;
}

/* Of each kind that the definition has a step for. */
static enum cvm_status list_pools(const struct asking *asking, struct cvm_host_options *host,
                                  struct cvm_error *err)
{
    for (size_t i = 0; i < asking->definition->step_count; i++) {
        const char *kind = asking->definition->steps[i].kind->agent;
        bool is_there = false;
        for (size_t p = 0; p < host->pool_count; p++) {
            is_there |= strcmp(host->pools[p].queue, kind) == 0;
        }
        if (is_there) {
            continue;
        }
        if (host->pool_count == CVM_HOST_POOLS_MAX) {
            return CVM_FAIL(err, CVM_E_LIMIT, "workflow 'batch' has steps of too many kinds");
        }
        bool is_wide = strcmp(kind, "treatment") == 0;
        host->pools[host->pool_count++] =
            (struct cvm_host_pool){.queue = kind, .workers = is_wide ? count_valuers(asking) : 1};
    }
    return CVM_OK;
}

static enum cvm_status start_agents(struct embedded *embedded, struct cvm_error *err)
{
    const struct asking *asking = embedded->asking;
    struct cvm_session *session = asking->session;
    int64_t now_ms = cvm_context_now_ms(&session->context);
    cvm_process_name(embedded->name);
    struct cvm_host_options host = {
        .site = &embedded->site,
        .context = &session->context,
        .name = embedded->name,
        .incarnation = now_ms,
        .orchestrates = true,
        .is_adjusted_by_hand = true,
        .is_alone = true,
        .seed = cvm_hash_mix((uint64_t)now_ms, 1),
    };
    enum cvm_status status = list_pools(asking, &host, err);
    if (status == CVM_OK) {
        status = cvm_session_site(session, asking->work->store, &embedded->site, err);
    }
    if (status == CVM_OK) {
        embedded->site.own_run = embedded->own;
        embedded->site.chunk_size = asking->work->engine->chunk_size;
        embedded->site.shelf = cvm_part_shelf_create();
        status = embedded->site.shelf != NULL
                     ? cvm_session_broker(session, asking->work->store, embedded->prefix,
                                          &embedded->broker, err)
                     : CVM_FAIL(err, CVM_E_LIMIT, "no memory for agents");
    }
    host.broker = embedded->broker;
    return status == CVM_OK ? cvm_host_start(&host, &embedded->host, err) : status;
}

/* What its workers had to stop for was told before. */
static void stop_agents(struct embedded *embedded)
{
    (void)!cvm_host_stop(embedded->host, NULL);
    cvm_broker_close(embedded->broker);
    cvm_part_shelf_destroy(embedded->site.shelf);
    cvm_agent_writer_destroy(embedded->site.writer);
}

/* It was found finished, or it ended without an agent that failed. */
static enum cvm_status load_result(const struct asking *asking, struct cvm_run_result **out_result,
                                   struct cvm_error *err)
{
    struct cvm_workflow workflow;
    struct cvm_arena *arena = asking->session->arena;
    struct cvm_store *store = asking->work->store;
    enum cvm_status status =
        cvm_workflow_find(store, arena, asking->workflow.workflow_id, &workflow, err);
    if (status == CVM_OK && workflow.state != CVM_WORKFLOW_COMPLETED) {
        return fail_ended(&workflow, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_load(asking->work->engine, store, workflow.run_id, arena, out_result, err);
    }
    if (status == CVM_OK) {
        (*out_result)->was_done_before = true;
        (*out_result)->forced_treatment = asking->request->forced_treatment;
        (*out_result)->trigger = asking->request->trigger;
    }
    return status;
}

/* Nothing is held by what failed, and nobody goes on with it; what can not be kept any more is
 * found by the next run. */
static void give_up(const struct embedded *embedded)
{
    const struct asking *asking = embedded->asking;
    struct cvm_db *db = cvm_store_db(asking->work->store);
    struct cvm_run_job *job = cvm_own_run_job(embedded->own);
    enum cvm_workflow_state state = CVM_WORKFLOW_FAILED;
    cvm_db_rollback(db);
    if (cvm_run_job_epoch(job) != 0) {
        cvm_run_give_up(job);
    }
    if (cvm_db_begin_light(db, NULL) == CVM_OK &&
        cvm_flow_order(asking->work->store, asking->session->arena, asking->workflow.workflow_id,
                       CVM_WORKFLOW_CANCEL, &state, NULL) == CVM_OK) {
        (void)!cvm_db_commit(db, NULL);
    }
    cvm_db_rollback(db);
}

/* No other process may ever orchestrate on this store. The next run does what this one can not. */
static void forget_old(const struct asking *asking)
{
    struct cvm_db *db = cvm_store_db(asking->work->store);
    if (cvm_db_begin_light(db, NULL) == CVM_OK &&
        cvm_flow_forget(asking->work->store, NULL) == CVM_OK) {
        (void)!cvm_db_commit(db, NULL);
    }
    cvm_db_rollback(db);
}

static enum cvm_status carry_out(struct embedded *embedded, struct cvm_run_result **out_result,
                                 struct cvm_error *err)
{
    struct asking *asking = embedded->asking;
    struct cvm_run_result *result = NULL;
    cvm_own_run_name(embedded->own, asking->workflow.workflow_id, !asking->is_new);
    enum cvm_status status = start_agents(embedded, err);
    if (status == CVM_OK) {
        status = cvm_own_run_wait(embedded->own, &result, err);
    }
    stop_agents(embedded);
    if (status == CVM_OK && result == NULL) {
        status = load_result(asking, &result, err);
    }
    if (status != CVM_OK) {
        give_up(embedded);
    }
    forget_old(asking);
    *out_result = result;
    return status;
}

enum cvm_status cvm_run_embedded(struct cvm_work *work, const struct cvm_run_request *request,
                                 struct cvm_run_result **out_result, struct cvm_error *err)
{
    struct asking asking = {
        .work = work, .session = work->session, .request = request, .is_embedded = true};
    struct embedded embedded = {.asking = &asking};
    struct cvm_run_work run;
    enum cvm_status status = open_job(&asking, &run, err);
    if (status != CVM_OK) {
        return status;
    }
    status = begin(&asking, out_result, err);
    if (status != CVM_OK || *out_result != NULL) {
        cvm_run_close(asking.job);
        return status;
    }
    embedded.own = cvm_own_run_create(&run, asking.job);
    if (embedded.own == NULL) {
        cvm_run_close(asking.job);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a run");
    }
    status = carry_out(&embedded, out_result, err);
    cvm_own_run_destroy(embedded.own);
    return status;
}
