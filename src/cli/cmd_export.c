/* export customers, export decisions, export audit */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "storage/bulk_export.h"
#include "storage/plan_store.h"

#define ROWS_BETWEEN_CHECKS 1024

struct export_job {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    const char *what; /* "customers" */
    const char *path; /* NULL = standard output */
    bool is_csv;
    int64_t limit;
    struct cvm_bulk_request request;
    struct cvm_store *store;
    struct cvm_bulk_walk *walk;
    FILE *stream;
    struct cvm_text line;
    struct cvm_text scratch;
    int64_t rows;
    bool has_more;
    char cursor[CVM_BULK_CURSOR_SIZE];
};

/* ---- what is asked for ---- */

static enum cvm_status parse_format(struct export_job *job, struct cvm_error *err)
{
    const char *format = cvm_argument(job->arguments, "--format");
    size_t length = job->path == NULL ? 0 : strlen(job->path);
    if (format == NULL) {
        job->is_csv = length > 4 && strcmp(job->path + length - 4, ".csv") == 0;
        return CVM_OK;
    }
    job->is_csv = strcmp(format, "csv") == 0;
    return job->is_csv || strcmp(format, "ndjson") == 0
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_INVALID,
                          "option '--format': found '%s', ndjson or csv is allowed", format);
}

/* Days as dates of runs, and as moments in the deployment's zone. */
static enum cvm_status parse_days(struct export_job *job, struct cvm_error *err)
{
    struct cvm_bulk_request *request = &job->request;
    const struct cvm_zone *zone = job->session->zone;
    request->first_day = INT32_MIN;
    request->last_day = INT32_MAX;
    request->since_ms = INT64_MIN;
    request->until_ms = INT64_MAX;
    enum cvm_status status = cvm_argument_day(job->arguments, "--since", &request->first_day, err);
    if (status == CVM_OK) {
        status = cvm_argument_day(job->arguments, "--until", &request->last_day, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (request->first_day > request->last_day) {
        return CVM_FAIL(err, CVM_E_INVALID, "'--since' is after '--until'");
    }
    if (request->first_day != INT32_MIN) {
        request->since_ms = cvm_zone_moment(zone, request->first_day, 0);
    }
    if (request->last_day != INT32_MAX) {
        request->until_ms = cvm_zone_moment(zone, request->last_day + 1, 0);
    }
    return CVM_OK;
}

static enum cvm_status parse(struct export_job *job, struct cvm_error *err)
{
    const char *out = cvm_argument(job->arguments, "--out");
    job->path = out == NULL || strcmp(out, "-") == 0 ? NULL : out;
    job->limit = INT64_MAX;
    job->request.after = cvm_argument(job->arguments, "--after");
    if (job->session->is_json && job->path == NULL) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "with --json say where the rows go: --out FILE; standard output has the "
                        "summary");
    }
    enum cvm_status status = parse_format(job, err);
    if (status == CVM_OK) {
        status = parse_days(job, err);
    }
    return status == CVM_OK
               ? cvm_argument_int(job->arguments, "--limit", 1, INT64_MAX, &job->limit, err)
               : status;
}

/* ---- rows ---- */

static enum cvm_status put_line(struct export_job *job, struct cvm_error *err)
{
    if (job->line.failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a row of the export");
    }
    if (fwrite(job->line.data, 1, job->line.length, job->stream) == job->line.length) {
        return CVM_OK;
    }
    if (job->path == NULL && errno == EPIPE) {
        job->session->is_cut_off = true;
        return CVM_OK;
    }
    return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write the export: %s", strerror(errno));
}

static enum cvm_status put_row(struct export_job *job, const struct cvm_db_value *columns,
                               struct cvm_error *err)
{
    const struct cvm_member *members = cvm_bulk_members(job->request.kind);
    struct cvm_json_writer json;
    cvm_text_clear(&job->line);
    if (job->is_csv) {
        cvm_members_write_line(members, columns, &job->scratch, &job->line);
    } else {
        cvm_json_init(&json, &job->line, false);
        cvm_json_object(&json);
        cvm_members_write(members, columns, &job->scratch, &json);
        cvm_json_object_end(&json);
        cvm_text_add_char(&job->line, '\n');
    }
    job->rows++;
    return put_line(job, err);
}

/* One row more than is wanted tells whether there are more. */
static enum cvm_status put_rows(struct export_job *job, struct cvm_error *err)
{
    const struct cvm_db_value *columns = NULL;
    enum cvm_status status = CVM_OK;
    if (job->is_csv) {
        cvm_members_write_names(cvm_bulk_members(job->request.kind), &job->line);
        status = put_line(job, err);
    }
    while (status == CVM_OK && !job->session->is_cut_off) {
        if (job->rows % ROWS_BETWEEN_CHECKS == 0) {
            status = cvm_context_check(&job->session->context, err);
        }
        if (status == CVM_OK && job->rows > 0) {
            (void)cvm_bulk_cursor(job->walk, job->cursor);
        }
        if (status == CVM_OK) {
            status = cvm_bulk_next(job->walk, &columns, err);
        }
        if (status != CVM_OK || columns == NULL || job->rows == job->limit) {
            break;
        }
        status = put_row(job, columns, err);
    }
    job->has_more = status == CVM_OK && columns != NULL;
    return status;
}

static enum cvm_status write_file(struct export_job *job, struct cvm_error *err)
{
    struct cvm_file_out *file = NULL;
    mode_t before = umask(077); /* for its owner's eyes */
    enum cvm_status status = cvm_file_out_open(job->path, &file, err);
    (void)umask(before);
    if (status == CVM_OK) {
        job->stream = cvm_file_out_stream(file);
        status = put_rows(job, err);
    }
    if (status == CVM_OK) {
        status = cvm_file_out_commit(file, err);
    }
    cvm_file_out_close(file);
    return status;
}

static enum cvm_status find_run(struct export_job *job, const char *run_id, struct cvm_error *err)
{
    struct cvm_run_record run;
    enum cvm_status status = cvm_run_get(job->store, job->session->arena, run_id, &run, err);
    if (status == CVM_OK) {
        job->request.run_id = run.run_id;
    }
    return status;
}

static enum cvm_status export(struct export_job *job, const char *run_id, struct cvm_error *err) {
    enum cvm_status status = cvm_session_store_to_scan(job->session, &job->store, err);
    if (status == CVM_OK && run_id != NULL){status = find_run(job, run_id, err);}
if (status == CVM_OK)
{
    status = cvm_bulk_open(job->store, &job->request, &job->walk, err);
    bool is_no_cursor = status == CVM_E_INVALID;
    status = is_no_cursor ? cvm_session_usage(job->session, status) : status;
}
if (status == CVM_OK) {
    job->stream = job->session->out;
    status = job->path == NULL ? put_rows(job, err) : write_file(job, err);
}
cvm_bulk_close(job->walk);
cvm_store_close(job->store);
return status;
}

/* ---- the summary ---- */

static enum cvm_status tell(struct export_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    FILE *out = job->path == NULL ? session->err : session->out;
    const char *next = job->has_more ? job->cursor : NULL;
    struct cvm_document document;
    char number[CVM_NUMBER_TEXT_SIZE];
    if (session->is_json) {
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "export", job->what);
        cvm_json_key_string(&document.json, "format", job->is_csv ? "csv" : "ndjson");
        cvm_json_key_int(&document.json, "rows", job->rows);
        cvm_json_key_string(&document.json, "file", job->path);
        cvm_json_key_string(&document.json, "next_cursor", next);
        return cvm_document_print(&document, session, err);
    }
    if (session->is_quiet || job->session->is_cut_off) {
        return CVM_OK;
    }
    fprintf(out, "%s rows of %s%s%s.\n", cvm_grouped(job->rows, number), job->what,
            job->path == NULL ? "" : " in ", job->path == NULL ? "" : job->path);
    if (next != NULL) {
        fprintf(out, "More: --after %s\n", next);
    }
    return CVM_OK;
}

static enum cvm_status run_export(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, enum cvm_bulk_kind kind,
                                  struct cvm_error *err)
{
    static const char *const names[] = {"customers", "decisions", "audit"};
    struct export_job job = {
        .session = session, .arguments = arguments, .what = names[kind], .request = {.kind = kind}};
    const char *run_id = kind == CVM_BULK_DECISIONS ? cvm_argument(arguments, "--run") : NULL;
    enum cvm_status status = cvm_session_usage(session, parse(&job, err));
    if (status != CVM_OK) {
        return status;
    }
    cvm_text_init(&job.line, 0);
    cvm_text_init(&job.scratch, 0);
    status = export(&job, run_id, err);
    cvm_text_finish(&job.line);
    cvm_text_finish(&job.scratch);
    return status == CVM_OK ? tell(&job, err) : status;
}

static enum cvm_status run_customers(struct cvm_session *session,
                                     const struct cvm_arguments *arguments, struct cvm_error *err)
{
    return run_export(session, arguments, CVM_BULK_CUSTOMERS, err);
}

static enum cvm_status run_decisions(struct cvm_session *session,
                                     const struct cvm_arguments *arguments, struct cvm_error *err)
{
    return run_export(session, arguments, CVM_BULK_DECISIONS, err);
}

static enum cvm_status run_audit(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 struct cvm_error *err)
{
    return run_export(session, arguments, CVM_BULK_AUDIT, err);
}

#define FORMAT_OPTION                                                                              \
    {                                                                                              \
        "--format", "F", "ndjson or csv (default: csv if FILE ends in .csv)"                       \
    }
#define OUT_OPTION                                                                                 \
    {                                                                                              \
        "--out", "FILE", "where the rows go (default: -, standard output)"                         \
    }
#define AFTER_OPTION                                                                               \
    {                                                                                              \
        "--after", "CURSOR", "go on after an earlier export: its next_cursor"                      \
    }
#define LIMIT_OPTION                                                                               \
    {                                                                                              \
        "--limit", "N", "so many rows at most (default: all)"                                      \
    }

static const struct cvm_option customer_options[] = {
    FORMAT_OPTION,
    OUT_OPTION,
    {"--since", "D", "only those who came with an import of this day or later"},
    {"--until", "D", "or of this day or earlier"},
    AFTER_OPTION,
    LIMIT_OPTION,
    {NULL, NULL, NULL},
};
static const struct cvm_option decision_options[] = {
    FORMAT_OPTION,
    OUT_OPTION,
    {"--run", "RUN", "only of this run, or latest (default: of all)"},
    {"--since", "D", "only of runs as of this day or later"},
    {"--until", "D", "or as of this day or earlier"},
    AFTER_OPTION,
    LIMIT_OPTION,
    {NULL, NULL, NULL},
};
static const struct cvm_option audit_options[] = {
    FORMAT_OPTION,
    OUT_OPTION,
    {"--since", "D", "only changes of this day or later"},
    {"--until", "D", "or of this day or earlier"},
    AFTER_OPTION,
    LIMIT_OPTION,
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_export_customers = {
    .name = "export customers",
    .arguments = "",
    .summary = "All customers with permissions and attributes, as NDJSON or CSV",
    .details = "One row a customer, by key; the attributes that are not personal. Memory is the\n"
               "same whatever the number of rows. Everything of one customer: `cvm customer\n"
               "export`.\n\n"
               "  cvm export customers --out customers.csv\n"
               "  cvm export customers --limit 100000 --out part1.ndjson --json",
    .options = customer_options,
    .run = run_customers,
};

const struct cvm_command cvm_command_export_decisions = {
    .name = "export decisions",
    .arguments = "",
    .summary = "Decisions of all runs or of one, as NDJSON or CSV",
    .details =
        "One row a decision, ghosts of control groups too, by run and customer key. What is\n"
        "for the channels makes `cvm plan export`.\n\n"
        "  cvm export decisions --run latest --out decisions.csv\n"
        "  cvm export decisions --since 2024-03-01 | gzip > march.ndjson.gz",
    .options = decision_options,
    .run = run_decisions,
};

const struct cvm_command cvm_command_export_audit = {
    .name = "export audit",
    .arguments = "",
    .summary = "The audit log from its beginning, as NDJSON or CSV",
    .details = "One row a change, in the order of their ids, so that the id of the last row is\n"
               "where the next export goes on.\n\n"
               "  cvm export audit --out audit.ndjson\n"
               "  cvm export audit --after 1042 --format csv",
    .options = audit_options,
    .run = run_audit,
};
