/* event push */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "cli/agent_process.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/event_input.h"
#include "cli/paths.h"
#include "cli/work.h"
#include "cli/workflow_definitions.h"
#include "storage/step_store.h"

#define AGENTS            "orchestration,data,trigger,journey,treatment,allocation,evaluation"
#define TIMEOUT_DEFAULT_S 60
#define LOOK_MS           20

struct pushed {
    const struct cvm_event *event;
    struct cvm_workflow workflow; /* .workflow_id NULL: the event was rejected */
    const char *matches;          /* what the step said, JSON; NULL = it did not get so far */
    const char *decision;
};

struct push_job {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    int64_t timeout_s;
    bool waits;
    bool is_embedded; /* the agents are threads of this process */
    const struct cvm_catalogue *catalogue;
    const struct cvm_definition *definition;
    struct cvm_event_records records;
    struct cvm_import_report report;
    struct pushed *pushed;
    size_t count;
};

/* ---- accepting ---- */

static enum cvm_status accept_all(struct push_job *job, struct cvm_store *store,
                                  struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    const struct cvm_context *context = &job->session->context;
    struct cvm_random random;
    struct cvm_event_acceptance how = {
        .definition = job->definition,
        .who = job->session->who,
        .traceparent = {"", 0},
        .random = &random,
    };
    cvm_random_init(&random,
                    cvm_hash_mix((uint64_t)cvm_context_now_ms(context),
                                 (uint64_t)context->clock.steady_ns(context->clock.state)));
    enum cvm_status status = cvm_db_begin(db, err);
    for (size_t i = 0; status == CVM_OK && i < job->count; i++) {
        if (job->pushed[i].event->why == NULL) {
            status = cvm_event_batch_accept(job->records.batch, i, store, &how, err);
            job->pushed[i].workflow = job->pushed[i].event->workflow;
        }
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
    return status;
}

static enum cvm_status read_events(struct push_job *job, struct cvm_store *store,
                                   struct cvm_error *err)
{
    enum cvm_status status = cvm_session_catalogue(job->session, store, &job->catalogue, err);
    if (status == CVM_OK) {
        status = cvm_event_records_read(job->session, job->catalogue, job->arguments, &job->records,
                                        err);
    }
    if (status != CVM_OK) {
        return status;
    }
    job->count = cvm_event_batch_count(job->records.batch);
    job->pushed = CVM_NEW_ARRAY(job->session->arena, job->count, struct pushed);
    if (job->pushed == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for events");
    }
    for (size_t i = 0; i < job->count; i++) {
        job->pushed[i].event = cvm_event_batch_at(job->records.batch, i);
    }
    return CVM_OK;
}

/* Stored, then accepted: who dies in between pushes again, and nothing is there twice. */
static enum cvm_status store_events(struct push_job *job, struct cvm_store *writer,
                                    struct cvm_error *err)
{
    enum cvm_status status = read_events(job, writer, err);
    if (status == CVM_OK) {
        status = cvm_event_records_import(job->session, writer, job->catalogue, &job->records,
                                          &job->report, err);
    }
    return status;
}

/* ---- waiting ---- */

static enum cvm_status look(const struct push_job *job, struct cvm_store *reader,
                            bool *out_have_ended, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    *out_have_ended = true;
    struct cvm_arena *arena = cvm_arena_create((size_t)16 << 20);
    if (arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for workflows");
    }
    for (size_t i = 0; status == CVM_OK && *out_have_ended && i < job->count; i++) {
        struct cvm_workflow workflow;
        if (job->pushed[i].workflow.workflow_id != NULL &&
            !cvm_workflow_has_ended(job->pushed[i].workflow.state)) {
            status = cvm_workflow_find(reader, arena, job->pushed[i].workflow.workflow_id,
                                       &workflow, err);
            *out_have_ended = status != CVM_OK || cvm_workflow_has_ended(workflow.state);
            if (status == CVM_OK) {
                job->pushed[i].workflow.state = workflow.state;
            }
        }
    }
    cvm_arena_destroy(arena);
    return status;
}

static enum cvm_status wait_for_all(const struct push_job *job, struct cvm_store *reader,
                                    struct cvm_error *err)
{
    const struct cvm_context *context = &job->session->context;
    double until = cvm_context_seconds(context) + (double)job->timeout_s;
    bool have_ended = false;
    enum cvm_status status = look(job, reader, &have_ended, err);
    while (status == CVM_OK && !have_ended && cvm_context_seconds(context) < until) {
        struct timespec pause = {0, LOOK_MS * INT64_C(1000000)};
        (void)nanosleep(&pause, NULL);
        status = cvm_context_check(context, err);
        if (status == CVM_OK) {
            status = look(job, reader, &have_ended, err);
        }
    }
    return status;
}

static enum cvm_status read_result(const struct push_job *job, struct cvm_store *reader,
                                   struct pushed *pushed, struct cvm_error *err)
{
    struct cvm_arena *arena = job->session->arena;
    const char *id = pushed->workflow.workflow_id;
    struct cvm_steps steps = {NULL, 0};
    if (id == NULL) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_workflow_find(reader, arena, id, &pushed->workflow, err);
    if (status == CVM_OK) {
        status = cvm_step_list(reader, arena, id, &steps, err);
    }
    for (size_t s = 0; status == CVM_OK && s < steps.count; s++) {
        const struct cvm_step *step = &steps.items[s];
        pushed->matches = strcmp(step->name, "match") == 0 ? step->output : pushed->matches;
        pushed->decision = strcmp(step->name, "plan") == 0 ? step->output : pushed->decision;
    }
    return status;
}

static enum cvm_status await(struct push_job *job, struct cvm_error *err)
{
    struct cvm_store *reader = NULL;
    if (!job->waits && !job->is_embedded) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_session_store(job->session, CVM_DB_READ, &reader, err);
    if (status == CVM_OK) {
        status = wait_for_all(job, reader, err);
    }
    for (size_t i = 0; status == CVM_OK && i < job->count; i++) {
        status = read_result(job, reader, &job->pushed[i], err);
    }
    cvm_store_close(reader);
    return status;
}

/* ---- where the agents are ---- */

/* They are threads of this process, and so nobody else's: a store that one process writes. */
static enum cvm_status push_embedded(struct push_job *job, struct cvm_error *err)
{
    struct cvm_agent_process_options options = {.types = AGENTS, .workers = 1, .threads = 1};
    struct cvm_agent_process process;
    enum cvm_status status = cvm_agent_process_open(job->session, &options, &process, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_store *writer = cvm_agent_writer_lock(process.site.writer);
    status = store_events(job, writer, err);
    if (status == CVM_OK) {
        status = accept_all(job, writer, err);
    }
    cvm_agent_writer_unlock(process.site.writer);
    if (status == CVM_OK) {
        status = await(job, err);
    }
    enum cvm_status closed = cvm_agent_process_close(&process, status == CVM_OK ? err : NULL);
    return status == CVM_OK ? closed : status;
}

/* Agents of other processes: the import waits for the turns that they are at. */
static enum cvm_status push_shared(struct push_job *job, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    enum cvm_status status = cvm_session_store(job->session, CVM_DB_WRITE, &store, err);
    if (status == CVM_OK) {
        status = store_events(job, store, err);
    }
    cvm_store_close(store);
    store = NULL;
    if (status == CVM_OK) {
        status = cvm_session_store(job->session, CVM_DB_SHARED, &store, err);
    }
    if (status == CVM_OK) {
        status = accept_all(job, store, err);
    }
    cvm_store_close(store);
    return status == CVM_OK ? await(job, err) : status;
}

/* ---- telling ---- */

static bool has_failed(const struct pushed *pushed)
{
    enum cvm_workflow_state state = pushed->workflow.state;
    return cvm_workflow_has_ended(state) && state != CVM_WORKFLOW_COMPLETED;
}

static enum cvm_status print_json(const struct push_job *job, struct cvm_error *err)
{
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    cvm_document_init(&document);
    cvm_json_key_int(json, "batch", job->report.batch);
    cvm_json_key_int(json, "stored", job->report.stored);
    cvm_json_key_int(json, "duplicate", job->report.duplicate);
    cvm_json_key_int(json, "rejected", job->report.rejected);
    cvm_json_key_array(json, "events");
    for (size_t i = 0; i < job->count; i++) {
        const struct pushed *pushed = &job->pushed[i];
        const char *id = pushed->workflow.workflow_id;
        cvm_json_object(json);
        cvm_json_key_string(json, "customer_id", pushed->event->identity.customer_id);
        cvm_json_key_string(json, "workflow_id", id);
        cvm_json_key_bool(json, "new", pushed->event->is_new);
        cvm_json_key_string(json, "state",
                            id == NULL ? "rejected"
                                       : cvm_workflow_state_name(pushed->workflow.state));
        cvm_json_key_raw(json, "match", pushed->matches);
        cvm_json_key_raw(json, "decision", pushed->decision);
        cvm_json_key_string(json, "error", pushed->workflow.error);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    return cvm_document_print(&document, job->session, err);
}

/* "churn_risk, high_value" of {"triggers": [...]}, and the treatment of a decision. */
static void add_triggers(struct cvm_table *table, const struct cvm_json_value *match)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    const struct cvm_json_value *list = match == NULL ? NULL : cvm_json_member(match, "triggers");
    const struct cvm_json_value *name = list == NULL ? NULL : list->first_child;
    for (; name != NULL; name = name->next) {
        cvm_text_add(&text, text.length == 0 ? "" : ", ");
        cvm_text_add_bytes(&text, name->string.data, name->string.length);
    }
    cvm_table_add(table, text.length == 0 ? "-" : cvm_text_string(&text));
    cvm_text_finish(&text);
}

static void add_decision(struct cvm_table *table, const struct cvm_json_value *decision)
{
    const struct cvm_json_value *treatment =
        decision == NULL ? NULL : cvm_json_member(decision, "selected_treatment");
    if (treatment != NULL && treatment->type == CVM_JSON_STRING) {
        cvm_table_add_format(table, "%.*s", (int)treatment->string.length, treatment->string.data);
    } else {
        cvm_table_add(table, "-");
    }
}

static const struct cvm_json_value *parse(const struct push_job *job,
                                          struct cvm_json_reader *reader, const char *text)
{
    const struct cvm_json_value *value = NULL;
    if (text == NULL || reader == NULL ||
        cvm_json_read(reader, job->session->arena, text, strlen(text), false, &value, NULL) !=
            CVM_OK) {
        return NULL;
    }
    return value;
}

static void print_text(const struct push_job *job)
{
    static const char *const headers[] = {"customer", "workflow", "state", "triggers", "decision"};
    FILE *out = job->session->out;
    struct cvm_json_reader *reader = cvm_json_reader_create(CVM_STEP_OUTPUT_MAX + 1);
    struct cvm_table table;
    fprintf(out, "%lld stored, %lld there already, %lld rejected.\n\n",
            (long long)job->report.stored, (long long)job->report.duplicate,
            (long long)job->report.rejected);
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < job->count; i++) {
        const struct pushed *pushed = &job->pushed[i];
        const char *id = pushed->workflow.workflow_id;
        cvm_table_add(&table, pushed->event->identity.customer_id);
        cvm_table_add(&table, id == NULL ? "-" : id);
        cvm_table_add(&table,
                      id == NULL ? "rejected" : cvm_workflow_state_name(pushed->workflow.state));
        add_triggers(&table, parse(job, reader, pushed->matches));
        add_decision(&table, parse(job, reader, pushed->decision));
    }
    cvm_table_print(&table, out);
    cvm_json_reader_destroy(reader);
}

static enum cvm_status tell(const struct push_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    for (size_t i = 0; i < job->count; i++) {
        const struct pushed *pushed = &job->pushed[i];
        bool is_late = (job->waits || job->is_embedded) && pushed->workflow.workflow_id != NULL &&
                       !cvm_workflow_has_ended(pushed->workflow.state);
        if (has_failed(pushed)) {
            cvm_session_warn(session, "%s: %s", pushed->workflow.workflow_id,
                             pushed->workflow.error == NULL ? "it was ended"
                                                            : pushed->workflow.error);
        } else if (is_late) {
            cvm_session_warn(session, "%s has not ended within %lld s",
                             pushed->workflow.workflow_id, (long long)job->timeout_s);
        }
        session->is_partial |= is_late || has_failed(pushed);
    }
    session->is_partial |= job->report.rejected > 0;
    if (session->is_json) {
        return print_json(job, err);
    }
    print_text(job);
    return CVM_OK;
}

/* ---- the command ---- */

static enum cvm_status run_push(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct push_job job = {
        .session = session,
        .arguments = arguments,
        .timeout_s = TIMEOUT_DEFAULT_S,
        .waits = cvm_argument_given(arguments, "--wait"),
        .is_embedded =
            session->config.store_url == NULL || !cvm_store_is_server(session->config.store_url),
    };
    enum cvm_status status = cvm_argument_int(arguments, "--timeout", 1, 3600, &job.timeout_s, err);
    if (status != CVM_OK) {
        return cvm_session_usage(session, status);
    }
    status = cvm_event_arguments_check(session, arguments, err);
    if (status == CVM_OK) {
        status = cvm_session_definition(session, CVM_EVENT_WORKFLOW, &job.definition, err);
    }
    if (status == CVM_OK) {
        status = job.is_embedded ? push_embedded(&job, err) : push_shared(&job, err);
    }
    if (status == CVM_OK) {
        status = tell(&job, err);
    }
    cvm_event_records_finish(&job.records);
    return status;
}

static const struct cvm_option push_options[] = {
    {"--source", "NAME", "the source of the catalogue whose events these are"},
    {"--as-of", "D", "look at the customers as of this day (default: today)"},
    {"--wait", NULL, "wait for the agents, and show what they decided"},
    {"--timeout", "S", "wait for at most so many seconds (default 60)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_event_push = {
    .name = "event push",
    .arguments = "[JSON|FILE|-]",
    .summary = "Store an event, and have agents act on it",
    .details =
        "One JSON object, or one a line, from the argument, a file or standard input. It is\n"
        "stored as `cvm import` would; then the workflow trigger_and_process begins for its\n"
        "customer, once: the same event pushed again starts nothing. It decides for the\n"
        "customer where a trigger matches. With a store of one process (sqlite:) the agents\n"
        "run in this command until they are done.\n\n"
        "  cvm event push --source churn_score '{\"customer_id\":\"U1\",\"date\":\"2024-03-20\",\n"
        "      \"churn_probability\":0.9}'\n"
        "  tail -n 1 calls.ndjson | cvm event push --source call_transcripts --wait",
    .positional_max = 1,
    .options = push_options,
    .run = run_push,
};
