/* plan list, plan show */
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/plan_history.h"
#include "cli/run_report.h"
#include "cli/work.h"
#include "storage/catalogue_store.h"

#define DEFAULT_LIMIT 20
#define LIMIT_MAX     100000

static void write_run(struct cvm_json_writer *json, const struct cvm_run_record *run)
{
    cvm_json_key_string(json, "run_id", run->run_id);
    cvm_json_key_string(json, "state", run->state);
    cvm_json_key_string(json, "plan_state", run->plan_state);
    cvm_json_key_day(json, "as_of", run->as_of_day);
    cvm_json_key_int(json, "seed", run->seed);
    cvm_json_key_int(json, "catalogue_version", run->catalogue_version);
    cvm_json_key_int(json, "last_batch", run->last_batch);
    cvm_json_key_moment(json, "created_at", run->created_at_ms);
    cvm_json_key_moment(json, "finished_at", run->finished_at_ms);
    cvm_json_key_int(json, "decisions", run->decisions);
    cvm_json_key_double(json, "value", run->value);
    cvm_json_key_double(json, "dual_bound", run->dual_bound);
    cvm_json_key(json, "spend");
    cvm_json_micro(json, run->spend_micro);
    cvm_json_key_string(json, "plan_digest", run->plan_digest);
}

/* ---- list ---- */

struct list_job {
    struct cvm_session *session;
    struct cvm_document document;
    struct cvm_table table;
    struct cvm_run_page page;
    const char *last_run; /* shown */
    int64_t count;
};

static enum cvm_status list_run(void *state, const struct cvm_run_record *run,
                                struct cvm_error *err)
{
    struct list_job *job = state;
    char text[CVM_NUMBER_TEXT_SIZE];
    char day[CVM_DAY_TEXT_SIZE];
    char moment[CVM_MOMENT_TEXT_SIZE];
    (void)err;
    job->last_run = run->run_id;
    job->count++;
    if (job->session->is_json) {
        cvm_json_object(&job->document.json);
        write_run(&job->document.json, run);
        cvm_json_object_end(&job->document.json);
        return CVM_OK;
    }
    cvm_table_add(&job->table, run->run_id);
    cvm_table_add(&job->table, cvm_day_format(run->as_of_day, day));
    cvm_table_add(&job->table, strcmp(run->state, "done") == 0 ? run->plan_state : run->state);
    cvm_table_add(&job->table, cvm_grouped(run->decisions, text));
    cvm_table_add(&job->table, cvm_money(run->value, text));
    cvm_table_add(&job->table, cvm_money(cvm_micro_to_double(run->spend_micro), text));
    cvm_table_add(&job->table, cvm_moment_format(run->created_at_ms, moment));
    return CVM_OK;
}

static enum cvm_status list_runs(struct list_job *job, const char *before, struct cvm_error *err)
{
    struct cvm_arena *arena = job->session->arena;
    struct cvm_store *store = NULL;
    struct cvm_run_record run = {.run_id = NULL};
    enum cvm_status status = cvm_session_store(job->session, CVM_DB_READ, &store, err);
    if (status == CVM_OK && before != NULL) {
        status = cvm_run_get(store, arena, before, &run, err);
    }
    if (status == CVM_OK) {
        job->page.before = run.run_id;
        status = cvm_run_list_page(store, arena, &job->page, list_run, job, err);
    }
    cvm_store_close(store);
    return status;
}

static enum cvm_status run_list(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    static const char *const headers[] = {"run",    "as of",  "plan",   ">decisions",
                                          ">value", ">spend", "created"};
    struct list_job job = {.session = session, .page.count_max = DEFAULT_LIMIT};
    enum cvm_status status = cvm_session_usage(
        session, cvm_argument_int(arguments, "--limit", 1, LIMIT_MAX, &job.page.count_max, err));
    if (status != CVM_OK) {
        return status;
    }
    cvm_document_init(&job.document);
    cvm_table_init(&job.table, headers, sizeof(headers) / sizeof(headers[0]));
    cvm_json_key_array(&job.document.json, "plans");
    status = list_runs(&job, cvm_argument(arguments, "--before"), err);
    cvm_json_array_end(&job.document.json);
    cvm_json_key_string(&job.document.json, "next_before",
                        job.count == job.page.count_max ? job.last_run : NULL);
    return cvm_document_or_table(&job.document, &job.table, session, status, err);
}

static const struct cvm_option list_options[] = {
    {"--limit", "N", "how many, newest first (default 20)"},
    {"--before", "RUN", "only runs older than this one"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_plan_list = {
    .name = "plan list",
    .arguments = "",
    .summary = "Runs and the state of their plans",
    .details = "  cvm plan list --limit 5",
    .options = list_options,
    .run = run_list,
};

/* ---- show ---- */

static enum cvm_status show_record(struct cvm_session *session, struct cvm_store *store,
                                   const struct cvm_run_record *run, struct cvm_error *err)
{
    struct cvm_document document;
    cvm_document_init(&document);
    write_run(&document.json, run);
    enum cvm_status status = cvm_plan_history_write(session, store, run, &document.json, err);
    if (status != CVM_OK) {
        cvm_document_finish(&document);
        return status;
    }
    cvm_json_key_raw(&document.json, "options", run->options);
    cvm_json_key_raw(&document.json, "summary", run->summary);
    return cvm_document_print(&document, session, err);
}

static enum cvm_status show_report(struct cvm_session *session, const struct cvm_run_record *run,
                                   struct cvm_error *err)
{
    struct cvm_work_options options = {
        .access = CVM_DB_READ,
        .needs_engine = true,
        .threads = 1,
        .catalogue_version = run->catalogue_version,
    };
    struct cvm_work work;
    struct cvm_run_result *result = NULL;
    enum cvm_status status = cvm_work_open(session, &options, &work, err);
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_run_load(work.engine, work.store, run->run_id, session->arena, &result, err);
    if (status == CVM_OK) {
        struct cvm_run_report report = {.result = result};
        cvm_run_report_print(session, &report);
        status = cvm_plan_history_print(session, work.store, run, err);
    }
    cvm_run_result_destroy(result);
    cvm_work_close(&work);
    return status;
}

static enum cvm_status run_show(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    struct cvm_run_record run;
    const char *run_id = arguments->positional_count > 0 ? arguments->positional[0] : "latest";
    enum cvm_status status = cvm_session_store(session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_run_get(store, session->arena, run_id, &run, err);
    }
    if (status == CVM_OK && session->is_json) {
        status = show_record(session, store, &run, err);
    }
    cvm_store_close(store);
    if (status != CVM_OK || session->is_json) {
        return status;
    }
    if (run.summary == NULL || strcmp(run.state, "done") != 0) {
        fprintf(session->out, "Run %s: %s\n", run.run_id, run.state);
        return CVM_OK;
    }
    return show_report(session, &run, err);
}

const struct cvm_command cvm_command_plan_show = {
    .name = "plan show",
    .arguments = "[RUN|latest]",
    .summary = "One run's plan: what was given, prices, refusals",
    .details = "  cvm plan show latest",
    .positional_max = 1,
    .run = run_show,
};
