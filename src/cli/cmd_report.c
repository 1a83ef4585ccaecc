#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/report_formats.h"
#include "cli/work.h"
#include "engine/report.h"

struct report_job {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    struct cvm_report_request request;
    struct cvm_report_format format;
};

/* "-" is standard output. */
static enum cvm_status write_file(struct report_job *job, const char *path,
                                  void (*write)(const struct cvm_report_format *,
                                                struct cvm_text *),
                                  struct cvm_error *err)
{
    struct cvm_text text;
    enum cvm_status status = CVM_OK;
    cvm_text_init(&text, 0);
    write(&job->format, &text);
    if (text.failed) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory to write '%s'", path);
    } else if (strcmp(path, "-") == 0) {
        status = fwrite(text.data, 1, text.length, job->session->out) == text.length
                     ? CVM_OK
                     : CVM_FAIL(err, CVM_E_UNAVAILABLE, "standard output can not be written");
    } else {
        status = cvm_file_write(path, text.data, text.length, err);
    }
    if (status == CVM_OK && strcmp(path, "-") != 0 && !job->session->is_json) {
        fprintf(job->session->out, "Wrote %s\n", path);
    }
    cvm_text_finish(&text);
    return status;
}

static enum cvm_status print_document(struct report_job *job, struct cvm_error *err)
{
    struct cvm_document document;
    cvm_document_init(&document);
    cvm_report_write_json(&job->format, &document.json);
    return cvm_document_print(&document, job->session, err);
}

static enum cvm_status write_all(struct report_job *job, struct cvm_error *err)
{
    const char *html = cvm_argument(job->arguments, "--html");
    const char *csv = cvm_argument(job->arguments, "--csv");
    enum cvm_status status = CVM_OK;
    if (html != NULL) {
        status = write_file(job, html, cvm_report_write_html, err);
    }
    if (status == CVM_OK && csv != NULL) {
        status = write_file(job, csv, cvm_report_write_csv, err);
    }
    if (status == CVM_OK && job->session->is_json) {
        return print_document(job, err);
    }
    if (status == CVM_OK && html == NULL && csv == NULL) {
        cvm_report_print_text(job->session, &job->format);
    }
    return status;
}

static enum cvm_status find_version(struct report_job *job, int64_t *out_version,
                                    struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    struct cvm_run_record run;
    enum cvm_status status = cvm_session_store(job->session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_run_get(store, job->session->arena, job->request.run_id, &run, err);
    }
    cvm_store_close(store);
    if (status == CVM_OK) {
        job->request.run_id = run.run_id; /* "latest" stays this one */
        *out_version = run.catalogue_version;
    }
    return status;
}

static enum cvm_status check_outputs(const struct report_job *job, struct cvm_error *err)
{
    const char *html = cvm_argument(job->arguments, "--html");
    const char *csv = cvm_argument(job->arguments, "--csv");
    int to_output = (html != NULL && strcmp(html, "-") == 0) +
                    (csv != NULL && strcmp(csv, "-") == 0) + job->session->is_json;
    return to_output > 1 ? CVM_FAIL(err, CVM_E_INVALID, "only one format can go to standard output")
                         : CVM_OK;
}

static enum cvm_status run_report(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct report_job job = {
        .session = session,
        .arguments = arguments,
        .request = {.run_id = arguments->positional_count > 0 ? arguments->positional[0] : "latest",
                    .against = cvm_argument(arguments, "--against")},
        .format = {.currency = session->config.currency,
                   .made_at_ms = cvm_context_now_ms(&session->context),
                   .arena = session->arena},
    };
    struct cvm_work_options options = {.access = CVM_DB_READ, .needs_engine = true};
    struct cvm_work work;
    enum cvm_status status = cvm_session_usage(session, check_outputs(&job, err));
    if (status == CVM_OK) {
        status = cvm_session_usage(session,
                                   cvm_session_threads(session, arguments, &options.threads, err));
    }
    if (status == CVM_OK) {
        status = find_version(&job, &options.catalogue_version, err);
    }
    if (status == CVM_OK) {
        status = cvm_work_open(session, &options, &work, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_report_make(work.engine, work.store, &job.request, session->arena,
                             &job.format.report, err);
    if (status == CVM_OK) {
        status = write_all(&job, err);
    }
    cvm_work_close(&work);
    return status;
}

static const struct cvm_option options[] = {
    {"--html", "FILE", "one self-contained page with pictures (- = standard output)"},
    {"--csv", "FILE", "all figures in long form: section,name,group,value,unit"},
    {"--against", "RUN", "compare with this run (default: the last of its kind before)"},
    {"--threads", "N", "threads to use (default: as configured)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_report = {
    .name = "report",
    .arguments = "[RUN|latest]",
    .summary = "What a run is worth, uses, refuses and changed",
    .details =
        "Without a format: a short text. The page needs nothing but itself: it can be mailed,\n"
        "printed, and read on a phone. --json prints every figure as one document.\n\n"
        "Examples:\n"
        "  cvm report\n"
        "  cvm report latest --html report.html --csv report.csv\n"
        "  cvm report 2024-03-20 --against 2024-03-13 --json\n",
    .positional_max = 1,
    .options = options,
    .run = run_report,
};
