/* agent list: which processes of agents are there, and how each kind did lately. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agents/registry.h"
#include "base/date.h"
#include "cli/agent_process.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "storage/state.h"
#include "storage/turn.h"
#include "workflows/figures.h"

#define HOURS_DEFAULT 24
#define HOUR_MS       INT64_C(3600000)
#define HOURS_MAX     (CVM_INBOX_KEEP_MS / HOUR_MS)

struct list_job {
    struct cvm_session *session;
    int64_t now_ms;
    bool is_seen; /* the shared state answered */
    struct cvm_registry registry;
    struct cvm_figures figures;
};

/* ---- reading ---- */

static enum cvm_status read_processes(struct list_job *job, struct cvm_store *store,
                                      struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    struct cvm_state *state = NULL;
    struct cvm_error away = {0};
    if (strncmp(session->config.state_url, "redis", 5) != 0) {
        return CVM_OK; /* each process keeps its own to itself */
    }
    enum cvm_status status = cvm_session_state(session, store, &state, err);
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_registry_read(state, &session->context, session->arena, &job->registry, &away);
    job->is_seen = status == CVM_OK;
    if (!job->is_seen) {
        cvm_session_warn(session, "who is there is not known: %s", away.message);
    }
    cvm_state_close(state);
    return CVM_OK;
}

static enum cvm_status read_all(struct list_job *job, int64_t hours, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    const struct cvm_figure_window window = {.since_ms = job->now_ms - hours * HOUR_MS,
                                             .until_ms = job->now_ms + 1};
    enum cvm_status status = cvm_session_store(job->session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = read_processes(job, store, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_begin(cvm_store_db(store), err); /* one moment of it */
    }
    if (status == CVM_OK) {
        status = cvm_figures_read(store, job->session->arena, &window, &job->figures, err);
    }
    cvm_store_close(store);
    return status;
}

/* ---- JSON ---- */

static void write_serves(const struct cvm_registry_process *process, struct cvm_json_writer *json)
{
    cvm_json_key_array(json, "serves");
    for (size_t i = 0; i < process->serves_count; i++) {
        const struct cvm_agent_kind *kind = cvm_agent_kind_find(process->serves[i].queue);
        const enum cvm_message_type *type = kind == NULL ? NULL : kind->serves;
        for (; type != NULL && *type != CVM_MESSAGE_NONE; type++) {
            cvm_json_string(json, cvm_message_type_name(*type));
        }
        if (strcmp(process->serves[i].queue, CVM_ORCHESTRATION) == 0) {
            cvm_json_string(json, cvm_message_type_name(CVM_MESSAGE_ORCHESTRATION_REQUEST));
        }
    }
    cvm_json_array_end(json);
}

static void write_process(const struct cvm_registry_process *process, struct cvm_json_writer *json)
{
    cvm_json_object(json);
    cvm_json_key_string(json, "process", process->name);
    cvm_json_key_string(json, "version", process->version);
    cvm_json_key_int(json, "incarnation", process->incarnation);
    cvm_json_key_moment(json, "heartbeat_at", process->beat_ms);
    cvm_json_key_string(json, "state", process->is_draining ? "draining" : "ready");
    cvm_json_key_int(json, "turns_in_flight", process->in_flight);
    cvm_json_key_object(json, "workers");
    for (size_t i = 0; i < process->serves_count; i++) {
        cvm_json_key_int(json, process->serves[i].queue, process->serves[i].workers);
    }
    cvm_json_object_end(json);
    write_serves(process, json);
    cvm_json_object_end(json);
}

static enum cvm_status print_json(const struct list_job *job, struct cvm_error *err)
{
    struct cvm_document document;
    cvm_document_init(&document);
    cvm_json_key(&document.json, "processes");
    if (job->is_seen) {
        cvm_json_array(&document.json);
        for (size_t i = 0; i < job->registry.count; i++) {
            write_process(&job->registry.items[i], &document.json);
        }
        cvm_json_array_end(&document.json);
    } else {
        cvm_json_null(&document.json);
    }
    cvm_json_key_double(&document.json, "seconds", job->figures.seconds);
    cvm_json_key(&document.json, "kinds");
    cvm_figures_write(&job->figures, &document.json);
    return cvm_document_print(&document, job->session, err);
}

/* ---- for people ---- */

static void add_workers(struct cvm_table *table, const struct cvm_registry_process *process)
{
    char text[400] = "";
    size_t used = 0;
    for (size_t i = 0; i < process->serves_count; i++) {
        int added = snprintf(text + used, sizeof(text) - used, "%s%.64s %lld", i == 0 ? "" : ", ",
                             process->serves[i].queue, (long long)process->serves[i].workers);
        used = used + (size_t)added < sizeof(text) ? used + (size_t)added : used;
    }
    cvm_table_add(table, text);
}

static void print_processes(const struct list_job *job)
{
    static const char *const headers[] = {"process",  "version", "since",  ">heartbeat",
                                          ">at work", "state",   "workers"};
    FILE *out = job->session->out;
    struct cvm_table table;
    char text[CVM_NUMBER_TEXT_SIZE];
    char moment[CVM_MOMENT_TEXT_SIZE];
    if (!job->is_seen) {
        fputs("Which processes are there only a shared state knows (state: redis://... in "
              "cvm.yaml).\n",
              out);
        return;
    }
    if (job->registry.count == 0) {
        fputs("No process of agents is there.\n", out);
        return;
    }
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    table.has_colour = job->session->has_colour;
    for (size_t i = 0; i < job->registry.count; i++) {
        const struct cvm_registry_process *process = &job->registry.items[i];
        int64_t ago_ms = job->now_ms - process->beat_ms;
        cvm_table_add(&table, process->name);
        cvm_table_add(&table, process->version);
        cvm_table_add(&table, cvm_moment_format(process->incarnation, moment));
        cvm_table_add_format(&table, "%s ago", cvm_span(ago_ms < 0 ? 0 : ago_ms, text));
        cvm_table_add_format(&table, "%lld", (long long)process->in_flight);
        cvm_table_add(&table, process->is_draining ? "draining" : "ready");
        add_workers(&table, process);
    }
    cvm_table_print(&table, out);
}

static const char *format_quantile(const struct cvm_spans *spans, double share,
                                   char text[CVM_NUMBER_TEXT_SIZE])
{
    double seconds = cvm_spans_quantile(spans, share);
    return cvm_span(isnan(seconds) ? -1 : (int64_t)(seconds * 1000), text);
}

static void add_failures(struct cvm_table *table, const struct cvm_kind_figures *kind)
{
    char text[200] = "";
    size_t used = 0;
    for (int f = 0; f < CVM_FAILURE_CLASSES; f++) {
        if (kind->failures[f] > 0) {
            int added =
                snprintf(text + used, sizeof(text) - used, "%s%lld %s", used == 0 ? "" : ", ",
                         (long long)kind->failures[f], cvm_failure_name((enum cvm_failure_class)f));
            used = used + (size_t)added < sizeof(text) ? used + (size_t)added : used;
        }
    }
    cvm_table_add(table, used == 0 ? "-" : text);
}

static void print_kinds(const struct list_job *job)
{
    static const char *const headers[] = {"kind",      ">turns",    ">a second", ">steps",
                                          ">step p50", ">step p99", ">turn p50", ">turn p99",
                                          ">retries",  "failures"};
    struct cvm_table table;
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    table.has_colour = job->session->has_colour;
    for (size_t k = 0; k < job->figures.count; k++) {
        const struct cvm_kind_figures *kind = job->figures.kinds[k];
        cvm_table_add(&table, kind->kind);
        cvm_table_add(&table, cvm_grouped(kind->turns, text));
        cvm_table_add_format(&table, "%.2f", (double)kind->turns / job->figures.seconds);
        cvm_table_add(&table, cvm_grouped(kind->steps, text));
        cvm_table_add(&table, format_quantile(&kind->asked, 0.5, text));
        cvm_table_add(&table, format_quantile(&kind->asked, 0.99, text));
        cvm_table_add(&table, format_quantile(&kind->turn, 0.5, text));
        cvm_table_add(&table, format_quantile(&kind->turn, 0.99, text));
        cvm_table_add(&table, cvm_grouped(kind->retries, text));
        add_failures(&table, kind);
    }
    cvm_table_print(&table, job->session->out);
}

static enum cvm_status run_agent_list(struct cvm_session *session,
                                      const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct list_job job = {.session = session, .now_ms = cvm_context_now_ms(&session->context)};
    int64_t hours = HOURS_DEFAULT;
    enum cvm_status status = cvm_session_usage(
        session, cvm_argument_int(arguments, "--hours", 1, HOURS_MAX, &hours, err));
    if (status == CVM_OK) {
        status = read_all(&job, hours, err);
    }
    if (status != CVM_OK || session->is_json) {
        return status == CVM_OK ? print_json(&job, err) : status;
    }
    print_processes(&job);
    fprintf(session->out, "\nThe last %lld hours\n", (long long)hours);
    print_kinds(&job);
    return CVM_OK;
}

static const struct cvm_option list_options[] = {
    {"--hours", "N", "figures of the last N hours, at most 168 (default 24)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_agent_list = {
    .name = "agent list",
    .arguments = "",
    .summary = "Which processes of agents are there, and how each kind did",
    .details = "Processes say that they are there in the shared state (state: redis://... in\n"
               "cvm.yaml). How they did is read from the store, of all processes together: turns,\n"
               "steps from when they were asked for to their result, attempts that failed.\n\n"
               "  cvm agent list --hours 1",
    .options = list_options,
    .run = run_agent_list,
};
