/* Agents: one customer asked about by send and wait, valued and decided; and a run of the whole
 * base by its workflow, whose turns the store tells of. All agents run in this process; with
 * --broker their messages travel over a server.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agents/request.h"
#include "base/date.h"
#include "cli/agent_process.h"
#include "cli/bench.h"
#include "cli/workflow_definitions.h"
#include "storage/customers.h"
#include "storage/step_store.h"
#include "workflows/flow.h"

#define QUESTIONS_MAX   1000
#define WARM_UP         20
#define TIMEOUT_MS      60000
#define LOOK_MS         20
#define ARENA_BYTES_MAX ((size_t)64 << 20)

struct measuring {
    struct cvm_bench *bench;
    struct cvm_bench_sample *sample;
    struct cvm_agent_process process;
    const char *ids[QUESTIONS_MAX];
    size_t count;
    char day[CVM_DAY_TEXT_SIZE];
};

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static void tell(struct measuring *measuring, const char *what, double *ms, size_t count)
{
    char name[48];
    if (count == 0) {
        return;
    }
    qsort(ms, count, sizeof(*ms), compare);
    (void)snprintf(name, sizeof(name), "%s_p50", what);
    cvm_bench_add_result(measuring->sample, name, ms[count / 2], "ms");
    (void)snprintf(name, sizeof(name), "%s_p99", what);
    cvm_bench_add_result(measuring->sample, name, ms[count * 99 / 100], "ms");
}

/* ---- one customer ---- */

static enum cvm_status add_id(void *state, uint64_t key, const char *customer_id,
                              struct cvm_error *err)
{
    struct measuring *measuring = state;
    const char *id = cvm_arena_string(measuring->bench->session->arena, customer_id);
    (void)key;
    if (id == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
    }
    measuring->ids[measuring->count++] = id;
    return CVM_OK;
}

static enum cvm_status ask(struct measuring *measuring, struct cvm_requester *requester,
                           struct cvm_request *request, size_t i, struct cvm_text *answer,
                           struct cvm_error *err)
{
    char payload[256];
    (void)snprintf(payload, sizeof(payload), "{\"customer_id\":\"%.100s\",\"as_of\":\"%s\"}",
                   measuring->ids[i], measuring->day);
    request->payload = payload;
    enum cvm_status status = cvm_requester_ask(requester, request, answer, err);
    if (status == CVM_OK && strstr(cvm_text_string(answer), "\"end\":\"done\"") == NULL) {
        status = CVM_FAIL(err, CVM_E_UNAVAILABLE, "an agent could not answer: %.300s",
                          cvm_text_string(answer));
    }
    return status;
}

static enum cvm_status ask_all(struct measuring *measuring, struct cvm_requester *requester,
                               const char *queue, enum cvm_message_type type, struct cvm_error *err)
{
    const struct cvm_context *context = &measuring->bench->session->context;
    struct cvm_request request = {.queue = queue, .type = type, .timeout_ms = TIMEOUT_MS};
    struct cvm_text answer;
    double ms[QUESTIONS_MAX];
    size_t warm = measuring->count > 2 * WARM_UP ? WARM_UP : 0;
    enum cvm_status status = CVM_OK;
    cvm_text_init(&answer, 0);
    for (size_t i = 0; status == CVM_OK && i < measuring->count; i++) {
        double start = cvm_context_seconds(context);
        status = ask(measuring, requester, &request, i, &answer, err);
        ms[i < warm ? 0 : i - warm] = (cvm_context_seconds(context) - start) * 1000;
    }
    cvm_text_finish(&answer);
    if (status == CVM_OK) {
        tell(measuring, queue, ms, measuring->count - warm);
    }
    return status;
}

static enum cvm_status measure_questions(struct measuring *measuring, struct cvm_error *err)
{
    struct cvm_requester *requester = NULL;
    struct cvm_agent_process *process = &measuring->process;
    struct cvm_store *store = cvm_agent_writer_lock(process->site.writer);
    enum cvm_status status = cvm_customer_list(store, 0, QUESTIONS_MAX, add_id, measuring, err);
    cvm_agent_writer_unlock(process->site.writer);
    if (status == CVM_OK) {
        status =
            cvm_requester_open(process->broker, &process->context, "bench", 1, &requester, err);
    }
    if (status == CVM_OK) {
        cvm_requester_discover(requester, process->registry);
        status = ask_all(measuring, requester, "treatment", CVM_MESSAGE_TREATMENT_REQUEST, err);
    }
    if (status == CVM_OK) {
        status = ask_all(measuring, requester, "allocation", CVM_MESSAGE_ALLOCATION_REQUEST, err);
    }
    cvm_requester_close(requester);
    return status;
}

/* ---- everybody ---- */

static enum cvm_status accept(struct measuring *measuring, struct cvm_workflow *out_workflow,
                              struct cvm_error *err)
{
    struct cvm_session *session = measuring->bench->session;
    const struct cvm_definition *definition = NULL;
    char input[64];
    char key[32];
    bool is_new = false;
    (void)snprintf(input, sizeof(input), "{\"request\":{\"as_of\":\"%s\"}}", measuring->day);
    (void)snprintf(key, sizeof(key), "bench/%lld",
                   (long long)cvm_context_now_ms(&session->context));
    enum cvm_status status = cvm_session_definition(session, "batch", &definition, err);
    const struct cvm_flow_request request = {
        .definition = definition, .input = input, .idempotency_key = key, .who = session->who};
    struct cvm_store *store = cvm_agent_writer_lock(measuring->process.site.writer);
    struct cvm_db *db = cvm_store_db(store);
    status = status == CVM_OK ? cvm_db_begin(db, err) : status;
    if (status == CVM_OK) {
        status = cvm_flow_accept(store, session->arena, &request, out_workflow, &is_new, err);
        status = status == CVM_OK ? cvm_db_commit(db, err) : status;
        cvm_db_rollback(db);
    }
    cvm_agent_writer_unlock(measuring->process.site.writer);
    return status;
}

static enum cvm_status look(struct measuring *measuring, const char *id, bool *out_ended,
                            struct cvm_error *err)
{
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES_MAX);
    struct cvm_workflow workflow;
    if (arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
    }
    struct cvm_store *store = cvm_agent_writer_lock(measuring->process.site.writer);
    enum cvm_status status = cvm_workflow_find(store, arena, id, &workflow, err);
    cvm_agent_writer_unlock(measuring->process.site.writer);
    *out_ended = status == CVM_OK && cvm_workflow_has_ended(workflow.state);
    if (*out_ended && workflow.state != CVM_WORKFLOW_COMPLETED) {
        status = CVM_FAIL(err, CVM_E_UNAVAILABLE, "the agents could not do it: %s",
                          workflow.error == NULL ? "nothing is known" : workflow.error);
    }
    cvm_arena_destroy(arena);
    return status;
}

static enum cvm_status tell_turns(struct measuring *measuring, const char *id,
                                  struct cvm_error *err)
{
    struct cvm_arena *arena = measuring->bench->session->arena;
    struct cvm_steps steps;
    size_t count = 0;
    struct cvm_store *store = cvm_agent_writer_lock(measuring->process.site.writer);
    enum cvm_status status = cvm_step_list(store, arena, id, &steps, err);
    cvm_agent_writer_unlock(measuring->process.site.writer);
    double *ms = status == CVM_OK ? CVM_NEW_ARRAY(arena, steps.count + 1, double) : NULL;
    if (status == CVM_OK && ms == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
    }
    for (size_t i = 0; status == CVM_OK && i < steps.count; i++) {
        if (strcmp(steps.items[i].name, "values") == 0) {
            ms[count++] = (double)(steps.items[i].finished_ms - steps.items[i].started_ms);
        }
    }
    if (status == CVM_OK) {
        cvm_bench_add_result(measuring->sample, "run_shards", (double)count, "shards");
        tell(measuring, "run_shard_turn", ms, count);
    }
    return status;
}

static enum cvm_status measure_run(struct measuring *measuring, struct cvm_error *err)
{
    const struct cvm_context *context = &measuring->bench->session->context;
    struct cvm_workflow workflow;
    bool has_ended = false;
    double start = cvm_context_seconds(context);
    enum cvm_status status = accept(measuring, &workflow, err);
    while (status == CVM_OK && !has_ended) {
        struct timespec pause = {0, LOOK_MS * INT64_C(1000000)};
        (void)nanosleep(&pause, NULL);
        status = cvm_context_check(context, err);
        status = status == CVM_OK ? look(measuring, workflow.workflow_id, &has_ended, err) : status;
    }
    if (status == CVM_OK) {
        cvm_bench_add_result(measuring->sample, "run", cvm_context_seconds(context) - start, "s");
        status = tell_turns(measuring, workflow.workflow_id, err);
    }
    return status;
}

enum cvm_status cvm_bench_agents(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                 struct cvm_error *err)
{
    struct cvm_agent_process_options options = {.types = "all", .threads = bench->threads};
    struct measuring measuring = {.bench = bench, .sample = out_sample};
    struct cvm_error closing = {.message = ""};
    if (bench->broker_url != NULL) {
        bench->session->config.broker_url = bench->broker_url;
    }
    (void)cvm_day_format(bench->day, measuring.day);
    out_sample->result_count = 0;
    enum cvm_status status =
        cvm_agent_process_open(bench->session, &options, &measuring.process, err);
    if (status != CVM_OK) {
        return status;
    }
    status = measure_run(&measuring, err);
    if (status == CVM_OK) {
        status = measure_questions(&measuring, err);
    }
    enum cvm_status closed = cvm_agent_process_close(&measuring.process, &closing);
    if (status == CVM_OK && closed != CVM_OK) {
        *err = closing;
        return closed;
    }
    return status;
}
