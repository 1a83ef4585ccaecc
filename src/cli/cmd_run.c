#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "base/file.h"
#include "cli/agent_process.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/paths.h"
#include "cli/run_refused.h"
#include "cli/run_report.h"
#include "cli/run_workflow.h"
#include "cli/work.h"
#include "engine/run_results.h"

struct run_job {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    struct cvm_work_options work_options;
    struct cvm_work work;
    struct cvm_run_request request;
    const char *out_path;
    struct cvm_run_result *result;
    enum { DIRECTLY, BY_OWN_AGENTS, BY_OTHER_AGENTS } way;
    bool is_refused; /* an unknown treatment for named customers */
};

static enum cvm_status parse_days(struct run_job *job, struct cvm_error *err)
{
    const struct cvm_arguments *arguments = job->arguments;
    int32_t as_of = CVM_DAY_NONE;
    int32_t until = CVM_DAY_NONE;
    job->request.since_day = CVM_DAY_NONE;
    enum cvm_status status = cvm_argument_day(arguments, "--as-of", &as_of, err);
    if (status == CVM_OK) {
        status = cvm_argument_day(arguments, "--until", &until, err);
    }
    if (status == CVM_OK) {
        status = cvm_argument_day(arguments, "--since", &job->request.since_day, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (as_of != CVM_DAY_NONE && until != CVM_DAY_NONE && as_of != until) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "options '--as-of' and '--until' name two days: a run looks at what was "
                        "known at the end of one");
    }
    as_of = as_of != CVM_DAY_NONE ? as_of : until;
    job->request.as_of_day = as_of != CVM_DAY_NONE ? as_of : cvm_session_today(job->session);
    if (job->request.since_day > job->request.as_of_day) {
        return CVM_FAIL(err, CVM_E_INVALID, "option '--since': the window ends before it begins");
    }
    return CVM_OK;
}

static enum cvm_status parse(struct run_job *job, struct cvm_error *err)
{
    const struct cvm_arguments *arguments = job->arguments;
    const char *customers = cvm_argument(arguments, "--customers");
    enum cvm_status status = parse_days(job, err);
    if (status == CVM_OK) {
        status = cvm_session_threads(job->session, arguments, &job->work_options.threads, err);
    }
    if (status == CVM_OK) {
        status = cvm_argument_int(arguments, "--chunk-size", CVM_CHUNK_SIZE_MIN, CVM_CHUNK_SIZE_MAX,
                                  &job->work_options.chunk_size, err);
    }
    if (status == CVM_OK) {
        status = cvm_argument_int(arguments, "--seed", 0, INT64_MAX, &job->request.seed, err);
    }
    if (status == CVM_OK) {
        status = cvm_argument_int(arguments, "--snapshot", 1, INT32_MAX - 1,
                                  &job->work_options.snapshot, err);
    }
    if (status == CVM_OK && customers != NULL) {
        status = cvm_argument_list(job->session->arena, customers, &job->request.customers,
                                   &job->request.customer_count, err);
    }
    job->out_path = cvm_argument(arguments, "--out");
    bool is_known = job->out_path == NULL || cvm_text_matches_pattern(job->out_path, "*.json") ||
                    cvm_text_matches_pattern(job->out_path, "*.ndjson");
    if (status == CVM_OK && !is_known) {
        status = CVM_FAIL(err, CVM_E_INVALID,
                          "option '--out': found '%s', a file named *.json or *.ndjson is allowed",
                          job->out_path);
    }
    return cvm_session_usage(job->session, status);
}

static void fill_request(struct run_job *job)
{
    struct cvm_session *session = job->session;
    job->request.is_dry = cvm_argument_given(job->arguments, "--dry-run");
    job->request.is_replacing = cvm_argument_given(job->arguments, "--replace");
    job->request.must_release = strcmp(session->config.release, "auto") == 0;
    job->request.realtime_share = session->config.realtime_share;
    job->request.keep_runs = session->config.keep_runs;
    job->request.matrix_bytes_max = (size_t)session->config.run_memory_mb << 20;
    job->request.spill_folder = cvm_temporary_folder();
    job->request.who = session->who;
    job->request.zone = session->zone;
    job->request.trigger = cvm_argument(job->arguments, "--trigger");
    job->request.on_progress = cvm_session_progress;
    job->request.progress_state = session;
    /* Agents behind a broker do it, and this command waits; else it is the only writer, and its own
     * threads are the agents. A workflow is in the store: a dry run stores nothing, and the
     * journeys of an earlier batch are in a file of this command. */
    bool is_shared = !cvm_session_broker_is_local(session);
    bool is_apart = job->request.is_dry || (!is_shared && job->work_options.snapshot != 0);
    job->way = is_apart ? DIRECTLY : is_shared ? BY_OTHER_AGENTS : BY_OWN_AGENTS;
    job->work_options.access = job->request.is_dry ? CVM_DB_READ
                               : is_shared         ? CVM_DB_SHARED
                                                   : CVM_DB_WRITE;
    job->work_options.needs_engine = true;
}

/* "--treatment ignore" asks that nothing be given: nothing is allowed then. */
static enum cvm_status choose_treatments(struct run_job *job, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->work.catalogue;
    const char *forced = cvm_argument(job->arguments, "--treatment");
    job->request.forced_treatment = CVM_INDEX_NONE;
    enum cvm_status status =
        cvm_find_treatments(job->session->arena, catalogue,
                            cvm_argument(job->arguments, "--allowed"), &job->request.allowed, err);
    if (status == CVM_E_INVALID) {
        return cvm_session_usage(job->session, status);
    }
    if (status != CVM_OK || forced == NULL) {
        return status;
    }
    status = cvm_find_treatment(catalogue, forced, &job->request.forced_treatment, err);
    if (status == CVM_OK && job->request.forced_treatment == CVM_INDEX_NONE) {
        job->request.allowed = 0;
    }
    if (status == CVM_E_NOT_FOUND && job->request.customers != NULL) {
        struct cvm_run_refused refused = {
            .customers = job->request.customers,
            .customer_count = job->request.customer_count,
            .treatment = forced,
            .out_path = job->out_path,
            .as_of_day = job->request.as_of_day,
        };
        job->is_refused = true;
        return cvm_run_refuse(job->session, catalogue, &refused, err);
    }
    return status;
}

/* A run that was done before is loaded from the store, which does not keep who was not there. */
static enum cvm_status restore_unknown(struct run_job *job, struct cvm_error *err)
{
    struct cvm_run_result *result = job->result;
    if (!result->was_done_before || job->request.customers == NULL) {
        return CVM_OK;
    }
    const char **unknown =
        CVM_NEW_ARRAY(job->session->arena, job->request.customer_count, const char *);
    size_t count = 0;
    if (unknown == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the customers");
    }
    for (size_t i = 0; i < job->request.customer_count; i++) {
        uint64_t key = 0;
        enum cvm_status status =
            cvm_customer_find(job->work.store, job->request.customers[i], &key, err);
        if (status == CVM_E_NOT_FOUND) {
            unknown[count++] = job->request.customers[i];
        } else if (status != CVM_OK) {
            return status;
        }
    }
    result->unknown_ids = unknown;
    result->unknown_count = count;
    return CVM_OK;
}

static enum cvm_status write_results(struct run_job *job, struct cvm_error *err)
{
    if (job->out_path == NULL) {
        return CVM_OK;
    }
    struct cvm_run_file_options options = {
        .path = job->out_path,
        /* also who was refused what was asked for */
        .includes_everybody = cvm_argument_given(job->arguments, "--all") ||
                              job->request.customers != NULL ||
                              job->request.forced_treatment != CVM_INDEX_NONE,
        .store = job->work.store,
    };
    cvm_session_progress(job->session, "results", -1, 0);
    return cvm_run_write_file(job->work.engine, job->result, &options, err);
}

static enum cvm_status report(struct run_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    session->is_partial |= job->result->unknown_count > 0;
    if (!session->is_json) {
        struct cvm_run_report report = {
            .result = job->result,
            .out_path = job->out_path,
        };
        cvm_run_report_print(session, &report);
        return CVM_OK;
    }
    struct cvm_document document;
    cvm_document_init(&document);
    cvm_json_key_string(&document.json, "run_id", job->result->run_id);
    cvm_json_key_string(&document.json, "out", job->out_path);
    cvm_json_key_bool(&document.json, "reused", job->result->was_done_before);
    cvm_json_key_bool(&document.json, "dry_run", job->request.is_dry);
    cvm_json_key_string(&document.json, "plan_state", job->result->plan_state);
    cvm_json_key(&document.json, "summary");
    cvm_run_summary_write(job->result, &document.json);
    return cvm_document_print(&document, session, err);
}

/* Before anything is decided: a plan must not be released by a command that then fails. */
static enum cvm_status check_out_path(const char *path, struct cvm_error *err)
{
    if (path == NULL) {
        return CVM_OK;
    }
    struct cvm_file_out *file = NULL;
    enum cvm_status status = cvm_file_out_open(path, &file, err);
    cvm_file_out_close(file);
    return status;
}

static enum cvm_status decide_everybody(struct run_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    struct cvm_store *writer = job->request.is_dry ? NULL : job->work.store;
    enum cvm_status status = check_out_path(job->out_path, err);
    if (status != CVM_OK) {
        return status;
    }
    if (job->way == BY_OTHER_AGENTS) {
        status = cvm_run_by_workflow(&job->work, &job->request, &job->result, err);
    } else if (job->way == BY_OWN_AGENTS) {
        status = cvm_run_embedded(&job->work, &job->request, &job->result, err);
    } else {
        status =
            cvm_run(job->work.engine, writer, &job->request, session->arena, &job->result, err);
    }
    if (status == CVM_OK && !job->result->was_done_before) {
        status = cvm_work_warn_of_gone(&job->work, job->request.as_of_day, err);
    }
    if (status == CVM_OK) {
        status = restore_unknown(job, err);
    }
    if (status == CVM_OK) {
        status = write_results(job, err);
    }
    cvm_session_progress_end(session);
    return status == CVM_OK ? report(job, err) : status;
}

static enum cvm_status run_run(struct cvm_session *session, const struct cvm_arguments *arguments,
                               struct cvm_error *err)
{
    struct run_job job = {.session = session, .arguments = arguments, .request = {.seed = 1}};
    enum cvm_status status = parse(&job, err);
    if (status != CVM_OK) {
        return status;
    }
    fill_request(&job);
    status = cvm_work_open(session, &job.work_options, &job.work, err);
    if (status == CVM_OK) {
        status = choose_treatments(&job, err);
    }
    if (status == CVM_OK && !job.is_refused) {
        status = decide_everybody(&job, err);
    }
    cvm_run_result_destroy(job.result);
    cvm_work_close(&job.work);
    return status;
}

static const struct cvm_option run_options[] = {
    {"--as-of", "D", "decide with what was known at the end of this day (default: today)"},
    {"--customers", "A,B", "only these customers; one that is not in the store is an error entry"},
    {"--trigger", "NAME", "only customers that this trigger finds; see cvm trigger list"},
    {"--treatment", "ID", "give this treatment to whom it may go to, best value first"},
    {"--allowed", "A,B", "choose among these treatments only; \"ignore\" may be one"},
    {"--out", "FILE", "write a result file: x.json (a document) or x.ndjson (an entry a line)"},
    {"--all", NULL, "entries of all customers in it, also of those that got nothing"},
    {"--dry-run", NULL, "decide, store nothing, use no capacity"},
    {"--replace", NULL, "first withdraw what was decided for them that day and not handed over"},
    {"--since", "D", "look at no event before this day (default: the catalogue's history)"},
    {"--until", "D", "the same as --as-of"},
    {"--snapshot", "BATCH", "with the data of imports up to this one; see cvm batch list"},
    {"--threads", "N", "threads (default: as configured; 0 = one per core)"},
    {"--chunk-size", "N", "customers per chunk, 16 to 65536 (default: as configured, 1024)"},
    {"--seed", "S", "seed of the run (default 1)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_run = {
    .name = "run",
    .arguments = "",
    .summary = "Decide for the whole base, or for some customers: the main job",
    .details =
        "Journeys, values of every permitted treatment, one allocation over everybody, and\n"
        "a plan. The same request on the same data is the same run: it is returned, not\n"
        "repeated. Another run for a day decides only who has no decision of that day.\n\n"
        "  cvm run --out results.json\n"
        "  cvm run --as-of 2024-03-20 --customers U124,U126 --allowed retention_email,ignore\n"
        "  cvm run --trigger network_issues --treatment service_sms",
    .options = run_options,
    .run = run_run,
};
