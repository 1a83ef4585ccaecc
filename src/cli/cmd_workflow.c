/* workflow list, workflow start, workflow pause, workflow resume, workflow cancel, workflow
 * definition */
#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/work.h"
#include "cli/workflow_definitions.h"
#include "storage/audit.h"
#include "workflows/flow.h"

#define DEFAULT_LIMIT 20

/* ---- list ---- */

struct list_job {
    struct cvm_session *session;
    struct cvm_document document;
    struct cvm_table table;
    int64_t count;
    int64_t last_ms;
};

static enum cvm_status take_workflow(void *state, const struct cvm_workflow *workflow,
                                     struct cvm_error *err)
{
    struct list_job *job = state;
    struct cvm_json_writer *json = &job->document.json;
    char moment[CVM_MOMENT_TEXT_SIZE];
    (void)err;
    job->count++;
    job->last_ms = workflow->created_ms;
    if (job->session->is_json) {
        cvm_json_object(json);
        cvm_json_key_string(json, "workflow_id", workflow->workflow_id);
        cvm_json_key_string(json, "workflow", workflow->name);
        cvm_json_key_string(json, "state", cvm_workflow_state_name(workflow->state));
        cvm_json_key_string(json, "run_id", workflow->run_id);
        cvm_json_key_moment(json, "created_at", workflow->created_ms);
        cvm_json_key_moment(json, "finished_at", workflow->finished_ms);
        cvm_json_key_string(json, "who", workflow->who);
        cvm_json_key_string(json, "error", workflow->error);
        cvm_json_object_end(json);
        return CVM_OK;
    }
    cvm_table_add(&job->table, workflow->workflow_id);
    cvm_table_add(&job->table, cvm_workflow_state_name(workflow->state));
    cvm_table_add(&job->table, cvm_moment_format(workflow->created_ms, moment));
    cvm_table_add(&job->table, workflow->who);
    cvm_table_add(&job->table, workflow->run_id == NULL ? "-" : workflow->run_id);
    cvm_table_add_format(&job->table, "%.60s", workflow->error == NULL ? "" : workflow->error);
    return CVM_OK;
}

static enum cvm_status check_state(const char *state, struct cvm_error *err)
{
    if (state == NULL || cvm_workflow_state_parse(state) >= 0) {
        return CVM_OK;
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_INVALID, "option --state: '%s' is no state of a workflow", state);
    return cvm_error_hint(err, status,
                          "There are: accepted, running, waiting, paused, completed, failed, "
                          "cancelled and dead.");
}

static enum cvm_status run_list(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    static const char *const headers[] = {"workflow", "state", "accepted", "who", "run", "error"};
    struct list_job job = {.session = session};
    struct cvm_store *store = NULL;
    const char *state = cvm_argument(arguments, "--state");
    int64_t limit = DEFAULT_LIMIT;
    int64_t before = 0;
    enum cvm_status status = cvm_session_page(session, arguments, &limit, &before, err);
    if (status == CVM_OK) {
        status = cvm_session_usage(session, check_state(state, err));
    }
    if (status != CVM_OK) {
        return status;
    }
    cvm_document_init(&job.document);
    cvm_table_init(&job.table, headers, sizeof(headers) / sizeof(headers[0]));
    cvm_json_key_array(&job.document.json, "workflows");
    status = cvm_session_store(session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_workflow_list(store, session->arena, state, before, limit, take_workflow, &job,
                                   err);
    }
    cvm_store_close(store);
    cvm_json_array_end(&job.document.json);
    cvm_json_key_number(&job.document.json, "next_before", job.count == limit ? job.last_ms : 0);
    return cvm_document_or_table(&job.document, &job.table, session, status, err);
}

static const struct cvm_option list_options[] = {
    {"--state", "S", "only those in this state"},
    {"--limit", "N", "how many workflows, newest first (default 20)"},
    {"--before", "MS", "only those accepted before this moment (next_before of the JSON)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_workflow_list = {
    .name = "workflow list",
    .arguments = "",
    .summary = "Workflows that were accepted, and how far they are",
    .details = "  cvm workflow list --state failed",
    .options = list_options,
    .run = run_list,
};

/* ---- start ---- */

struct start_job {
    struct cvm_arena *arena;
    struct cvm_flow_request request;
    struct cvm_workflow workflow;
    bool is_new;
};

static enum cvm_status start(void *state, struct cvm_store *store, struct cvm_error *err)
{
    struct start_job *job = state;
    return cvm_flow_accept(store, job->arena, &job->request, &job->workflow, &job->is_new, err);
}

/* Without a key each call is other work. */
static enum cvm_status make_key(struct cvm_session *session, const char **out_key,
                                struct cvm_error *err)
{
    char text[100];
    (void)snprintf(text, sizeof(text), "%.40s/%lld/%lld", session->who,
                   (long long)cvm_context_now_ms(&session->context),
                   (long long)session->context.clock.steady_ns(session->context.clock.state));
    *out_key = cvm_arena_string(session->arena, text);
    return *out_key == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a key") : CVM_OK;
}

static enum cvm_status report_start(struct cvm_session *session, const struct start_job *job,
                                    struct cvm_error *err)
{
    const struct cvm_workflow *workflow = &job->workflow;
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "workflow_id", workflow->workflow_id);
        cvm_json_key_string(&document.json, "state", cvm_workflow_state_name(workflow->state));
        cvm_json_key_bool(&document.json, "new", job->is_new);
        return cvm_document_print(&document, session, err);
    }
    fprintf(session->out, "%s is %s%s.\n", workflow->workflow_id,
            cvm_workflow_state_name(workflow->state),
            job->is_new ? "" : "; it was asked for before");
    if (!session->is_quiet) {
        fprintf(session->out, "\nNext:\n  cvm workflow show %s\n", workflow->workflow_id);
    }
    return CVM_OK;
}

static enum cvm_status run_start(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 struct cvm_error *err)
{
    const char *input = cvm_argument(arguments, "--input");
    struct start_job job = {
        .arena = session->arena,
        .request = {.input = input == NULL ? "{}" : input,
                    .idempotency_key = cvm_argument(arguments, "--key"),
                    .who = session->who},
    };
    enum cvm_status status =
        cvm_session_definition(session, arguments->positional[0], &job.request.definition, err);
    if (status == CVM_OK && job.request.idempotency_key == NULL) {
        status = make_key(session, &job.request.idempotency_key, err);
    }
    if (status == CVM_OK) {
        status = cvm_session_change(session, start, &job, err);
    }
    return status == CVM_OK ? report_start(session, &job, err) : status;
}

static const struct cvm_option start_options[] = {
    {"--input", "JSON", "what the definition asks for (default {})"},
    {"--key", "TEXT", "the same key is the same work: it is started once"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_workflow_start = {
    .name = "workflow start",
    .arguments = "NAME",
    .summary = "Accept a workflow: agents carry it out",
    .details = "It is kept in the store and begins when an agent looks.\n\n"
               "  cvm workflow start treatment_selection --input '{\"customer_id\":\"U1\"}'\n"
               "  cvm workflow start batch --input '{\"request\":{}}' --key nightly-2024-03-20",
    .positional_min = 1,
    .positional_max = 1,
    .options = start_options,
    .run = run_start,
};

/* ---- pause, resume, cancel ---- */

struct order_job {
    struct cvm_session *session;
    const char *name;
    const char *why;
    enum cvm_workflow_event event;
    struct cvm_workflow workflow; /* as it was */
    enum cvm_workflow_state after;
};

static enum cvm_status order(void *state, struct cvm_store *store, struct cvm_error *err)
{
    struct order_job *job = state;
    char object[CVM_WORKFLOW_ID_MAX + 16];
    char before[48];
    char after[48];
    struct cvm_arena *arena = job->session->arena;
    enum cvm_status status = cvm_workflow_find(store, arena, job->name, &job->workflow, err);
    if (status == CVM_OK) {
        status =
            cvm_flow_order(store, arena, job->workflow.workflow_id, job->event, &job->after, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    (void)snprintf(object, sizeof(object), "workflow %.64s", job->workflow.workflow_id);
    (void)snprintf(before, sizeof(before), "{\"state\":\"%s\"}",
                   cvm_workflow_state_name(job->workflow.state));
    (void)snprintf(after, sizeof(after), "{\"state\":\"%s\"}", cvm_workflow_state_name(job->after));
    struct cvm_audit_row row = {
        .who = job->session->who,
        .action = "workflow",
        .object = object,
        .why = job->why,
        .before = before,
        .after = after,
    };
    return cvm_audit_add(store, &row, err);
}

static enum cvm_status run_order(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 enum cvm_workflow_event event, struct cvm_error *err)
{
    const char *why = cvm_argument(arguments, "--why");
    struct order_job job = {
        .session = session,
        .name = arguments->positional[0],
        .why = why == NULL ? "" : why,
        .event = event,
    };
    enum cvm_status status = cvm_session_change(session, order, &job, err);
    if (status != CVM_OK) {
        return status;
    }
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "workflow_id", job.workflow.workflow_id);
        cvm_json_key_string(&document.json, "before", cvm_workflow_state_name(job.workflow.state));
        cvm_json_key_string(&document.json, "state", cvm_workflow_state_name(job.after));
        return cvm_document_print(&document, session, err);
    }
    fprintf(session->out, "%s was %s and is %s.\n", job.workflow.workflow_id,
            cvm_workflow_state_name(job.workflow.state), cvm_workflow_state_name(job.after));
    return CVM_OK;
}

static enum cvm_status run_pause(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 struct cvm_error *err)
{
    return run_order(session, arguments, CVM_WORKFLOW_PAUSE, err);
}

static enum cvm_status run_resume(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    return run_order(session, arguments, CVM_WORKFLOW_RESUME, err);
}

static enum cvm_status run_cancel(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    return run_order(session, arguments, CVM_WORKFLOW_CANCEL, err);
}

static const struct cvm_option order_options[] = {
    {"--why", "TEXT", "why, for the audit"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_workflow_pause = {
    .name = "workflow pause",
    .arguments = "WORKFLOW",
    .summary = "Send no further step of a workflow",
    .details = "Steps that are at work end. WORKFLOW is an id, the beginning of one, or a run.\n\n"
               "  cvm workflow pause batch-3f9a --why \"the server is moved\"",
    .positional_min = 1,
    .positional_max = 1,
    .options = order_options,
    .run = run_pause,
};

const struct cvm_command cvm_command_workflow_resume = {
    .name = "workflow resume",
    .arguments = "WORKFLOW",
    .summary = "Let a paused, failed or dead workflow go on",
    .details = "What is done stays done; what failed is tried as often again as its definition\n"
               "says.\n\n"
               "  cvm workflow resume batch-3f9a --why \"the disk has room again\"",
    .positional_min = 1,
    .positional_max = 1,
    .options = order_options,
    .run = run_resume,
};

const struct cvm_command cvm_command_workflow_cancel = {
    .name = "workflow cancel",
    .arguments = "WORKFLOW",
    .summary = "End a workflow: nothing further of it counts",
    .details = "Steps that are done stay; the result of one that is at work is refused.\n\n"
               "  cvm workflow cancel batch-3f9a --why \"the wrong day\"",
    .positional_min = 1,
    .positional_max = 1,
    .options = order_options,
    .run = run_cancel,
};

/* ---- definition ---- */

static enum cvm_status list_definitions(struct cvm_session *session, struct cvm_error *err)
{
    static const char *const headers[] = {"workflow", ">steps", "from", "does"};
    struct cvm_definition_names names = {NULL, 0};
    struct cvm_document document;
    struct cvm_table table;
    cvm_document_init(&document);
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    cvm_json_key_array(&document.json, "definitions");
    enum cvm_status status = cvm_session_definition_names(session, &names, err);
    for (size_t i = 0; status == CVM_OK && i < names.count; i++) {
        const struct cvm_definition *definition = NULL;
        const char *where = names.items[i].where;
        status = cvm_session_definition(session, names.items[i].name, &definition, err);
        if (status != CVM_OK) {
            break;
        }
        cvm_json_object(&document.json);
        cvm_json_key_string(&document.json, "workflow", definition->name);
        cvm_json_key_string(&document.json, "description", definition->description);
        cvm_json_key_int(&document.json, "steps", (int64_t)definition->step_count);
        cvm_json_key_string(&document.json, "digest", definition->digest);
        cvm_json_key_string(&document.json, "file", where);
        cvm_json_object_end(&document.json);
        cvm_table_add(&table, definition->name);
        cvm_table_add_format(&table, "%zu", definition->step_count);
        cvm_table_add(&table, where == NULL ? "the program" : where);
        cvm_table_add(&table, definition->description);
    }
    cvm_json_array_end(&document.json);
    return cvm_document_or_table(&document, &table, session, status, err);
}

static enum cvm_status run_definition(struct cvm_session *session,
                                      const struct cvm_arguments *arguments, struct cvm_error *err)
{
    const struct cvm_definition *definition = NULL;
    bool is_shipped = cvm_argument_given(arguments, "--shipped");
    if (arguments->positional_count == 0) {
        return list_definitions(session, err);
    }
    if (is_shipped) {
        session->config.path = NULL; /* no folder beside it then */
    }
    enum cvm_status status =
        cvm_session_definition(session, arguments->positional[0], &definition, err);
    if (status != CVM_OK) {
        return status;
    }
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "workflow", definition->name);
        cvm_json_key_string(&document.json, "digest", definition->digest);
        cvm_json_key_string(&document.json, "text", definition->text);
        return cvm_document_print(&document, session, err);
    }
    fputs(definition->text, session->out);
    return CVM_OK;
}

static const struct cvm_option definition_options[] = {
    {"--shipped", NULL, "the one that ships, whatever stands in the folder"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_workflow_definition = {
    .name = "workflow definition",
    .arguments = "[NAME]",
    .summary = "The workflows there are, or the text of one",
    .details = "A file workflows/NAME.yaml beside cvm.yaml stands for the one that ships. It is\n"
               "checked when it is read; mistakes name their line.\n\n"
               "  cvm workflow definition\n"
               "  mkdir -p workflows\n"
               "  cvm workflow definition batch --shipped > workflows/batch.yaml",
    .positional_max = 1,
    .options = definition_options,
    .run = run_definition,
};
