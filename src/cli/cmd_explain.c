#include "cli/commands.h"
#include "cli/document.h"
#include "cli/explain_report.h"

struct explain_job {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    struct cvm_work work;
    struct cvm_run_record run;
};

static enum cvm_status find_run(struct explain_job *job, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    enum cvm_status status = cvm_session_store(job->session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status =
            cvm_run_get(store, job->session->arena, job->arguments->positional[0], &job->run, err);
    }
    cvm_store_close(store);
    return status;
}

static enum cvm_status check_usage(const struct explain_job *job, struct cvm_error *err)
{
    const struct cvm_arguments *arguments = job->arguments;
    bool wants_all = cvm_argument_given(arguments, "--all-reasons");
    bool wants_csv = cvm_argument_given(arguments, "--csv");
    bool has_customer = arguments->positional_count == 2;
    enum cvm_status status = CVM_OK;
    if (wants_all + wants_csv + has_customer != 1) {
        status = CVM_FAIL(err, CVM_E_INVALID,
                          "give a customer, or --all-reasons, or --csv FILE, and only one of them");
    } else if (cvm_argument_given(arguments, "--customers") && !wants_csv) {
        status = CVM_FAIL(err, CVM_E_INVALID, "--customers goes with --csv FILE");
    }
    return cvm_session_usage(job->session, status);
}

static enum cvm_status explain_one(struct explain_job *job, struct cvm_error *err)
{
    struct cvm_explanation *explanation = NULL;
    enum cvm_status status =
        cvm_explain(job->work.engine, job->work.store, job->run.run_id,
                    job->arguments->positional[1], job->session->arena, &explanation, err);
    if (status != CVM_OK || job->session->is_json) {
        return status == CVM_OK ? cvm_explain_print_json(explanation, job->session, err) : status;
    }
    cvm_explain_print(explanation, job->session);
    return CVM_OK;
}

static enum cvm_status explain_reasons(struct explain_job *job, struct cvm_error *err)
{
    struct cvm_reasons *reasons = NULL;
    enum cvm_status status = cvm_reasons_scan(job->work.engine, job->work.store, job->run.run_id,
                                              job->session->arena, &reasons, err);
    return status == CVM_OK ? cvm_explain_print_reasons(reasons, job->session, err) : status;
}

static enum cvm_status explain_csv(struct explain_job *job, struct cvm_error *err)
{
    const char *path = cvm_argument(job->arguments, "--csv");
    const char *list = cvm_argument(job->arguments, "--customers");
    struct cvm_explain_many request = {.run_id = job->run.run_id};
    struct cvm_document document;
    int64_t rows = 0;
    char text[CVM_NUMBER_TEXT_SIZE];
    enum cvm_status status = CVM_OK;
    if (list != NULL) {
        status = cvm_argument_list(job->session->arena, list, &request.customers,
                                   &request.customer_count, err);
    }
    if (status == CVM_OK) {
        status = cvm_explain_write_csv(&job->work, path, &request, &rows, err);
    }
    if (status != CVM_OK || path[0] == '-') {
        return status;
    }
    if (!job->session->is_json) {
        fprintf(job->session->out, "%s lines in '%s': " CVM_EXPLAIN_FORMULA "\n",
                cvm_grouped(rows, text), path);
        return CVM_OK;
    }
    cvm_document_init(&document);
    cvm_json_key_string(&document.json, "run_id", job->run.run_id);
    cvm_json_key_string(&document.json, "csv", path);
    cvm_json_key_int(&document.json, "rows", rows);
    return cvm_document_print(&document, job->session, err);
}

static enum cvm_status run_explain(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct explain_job job = {.session = session, .arguments = arguments};
    bool wants_all = cvm_argument_given(arguments, "--all-reasons");
    struct cvm_work_options options = {
        .access = CVM_DB_READ, .needs_engine = true, .threads = wants_all ? 0 : 1};
    enum cvm_status status = check_usage(&job, err);
    if (status == CVM_OK) {
        status = find_run(&job, err);
    }
    if (status == CVM_OK) {
        options.catalogue_version = job.run.catalogue_version;
        status = cvm_work_open(session, &options, &job.work, err);
    }
    if (status == CVM_OK) {
        status = cvm_work_warn_of_gone(&job.work, job.run.as_of_day, err);
    }
    if (status == CVM_OK) {
        status = wants_all                                ? explain_reasons(&job, err)
                 : cvm_argument_given(arguments, "--csv") ? explain_csv(&job, err)
                                                          : explain_one(&job, err);
    }
    cvm_work_close(&job.work);
    return status;
}

static const struct cvm_option explain_options[] = {
    {"--all-reasons", NULL, "how many customers each rule, consent, limit and price excluded"},
    {"--csv", "FILE", "the parts of every value as CSV, for a spreadsheet (- = standard output)"},
    {"--customers", "A,B", "with --csv: only these"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_explain = {
    .name = "explain",
    .arguments = "RUN|latest [ID]",
    .summary = "Why this treatment and not another: every part of every value",
    .details =
        "Of a customer: the decision, what else was possible, and of what was refused the stage,\n"
        "the check and what would have to change.\n\n"
        "The parts give the same number in a spreadsheet:\n" CVM_EXPLAIN_FORMULA "\n"
        "f what late contacts leave of the response, q reached, p churn if untreated, rho cut of\n"
        "churn if reached, W worth of the customer, a accepts, u extra margin a month, H months\n"
        "it lasts, g incentive, c cost of the contact, k fatigue. Price: what the scarce means\n"
        "that it needs are worth.\n\n"
        "  cvm explain latest U124\n"
        "  cvm explain latest --all-reasons\n"
        "  cvm explain latest --csv parts.csv --customers U124,U125",
    .positional_min = 1,
    .positional_max = 2,
    .options = explain_options,
    .run = run_explain,
};
