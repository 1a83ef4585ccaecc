/* customer export, customer erase */
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/work.h"
#include "storage/customer_export.h"
#include "storage/erase.h"

#define CUSTOMERS_MAX 100000

/* ---- export ---- */

/* For its owner's eyes. */
static enum cvm_status write_file(struct cvm_session *session, struct cvm_text *text,
                                  const char *path, struct cvm_error *err)
{
    cvm_text_add_char(text, '\n');
    if (text->failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the output");
    }
    mode_t before = umask(077);
    enum cvm_status status = cvm_file_write(path, text->data, text->length, err);
    (void)umask(before);
    if (status == CVM_OK && !session->is_quiet) {
        fprintf(session->err, "Written to %s.\n", path);
    }
    return status;
}

static enum cvm_status run_export(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    struct cvm_document document;
    const char *path = cvm_argument(arguments, "--out");
    cvm_document_init(&document);
    cvm_json_key_moment(&document.json, "exported_at", cvm_context_now_ms(&session->context));
    enum cvm_status status = cvm_session_store(session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_customer_export_write(store, session->arena, arguments->positional[0],
                                           &document.json, err);
    }
    cvm_store_close(store);
    if (status == CVM_OK && path == NULL) {
        return cvm_document_print(&document, session, err);
    }
    if (status == CVM_OK) {
        cvm_json_object_end(&document.json);
        status = write_file(session, &document.text, path, err);
    }
    cvm_document_finish(&document);
    return status;
}

static const struct cvm_option export_options[] = {
    {"--out", "FILE", "write it there (default: standard output)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_customer_export = {
    .name = "customer export",
    .arguments = "ID",
    .summary = "Everything that is held of one customer, as one JSON document",
    .details = "Events and permissions in all their versions with what is sealed opened,\n"
               "decisions, outcomes, control group and audit rows: what a customer may ask for.\n\n"
               "  cvm customer export U124 --out U124.json",
    .positional_min = 1,
    .positional_max = 1,
    .options = export_options,
    .run = run_export,
};

/* ---- erase ---- */

struct erase_job {
    struct cvm_session *session;
    struct cvm_store *store;
    const char *why;
    const char *folder; /* where rejects files are */
    const char *const *ids;
    size_t count;
    struct cvm_document document;
};

static void print_report(struct erase_job *job, const struct cvm_erasure_report *report,
                         int64_t lines)
{
    struct cvm_json_writer *json = &job->document.json;
    cvm_json_object(json);
    cvm_json_key_string(json, "pseudonym", report->pseudonym);
    cvm_json_key_bool(json, "was_erased_before", report->was_erased_before);
    cvm_json_key_int(json, "events", report->events);
    cvm_json_key_int(json, "consents", report->consents);
    cvm_json_key_int(json, "decisions", report->decisions);
    cvm_json_key_int(json, "audit_rows", report->audit_rows);
    cvm_json_key_int(json, "rejected_records", lines);
    cvm_json_key_array(json, "export_files");
    for (size_t i = 0; i < report->export_file_count; i++) {
        cvm_json_string(json, report->export_files[i]);
    }
    cvm_json_array_end(json);
    cvm_json_object_end(json);
    if (job->session->is_json) {
        return;
    }
    FILE *out = job->session->out;
    if (report->was_erased_before) {
        fputs("Erased before; what an earlier call left undone is done.\n", out);
        return;
    }
    fprintf(out, "Erased: %lld events, %lld permission records; %lld decisions stay under %s.\n",
            (long long)report->events, (long long)report->consents, (long long)report->decisions,
            report->pseudonym);
    for (size_t i = 0; i < report->export_file_count; i++) {
        fprintf(out, "Still named in a file that was handed over: %s\n", report->export_files[i]);
    }
}

static enum cvm_status erase_one(struct erase_job *job, const char *customer_id,
                                 struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    struct cvm_erasure erasure = {.customer_id = customer_id, .who = session->who, .why = job->why};
    struct cvm_erasure_report report;
    int64_t lines = 0;
    enum cvm_status status = cvm_customer_erase(job->store, session->arena, &erasure, &report, err);
    if (status == CVM_OK) {
        status = cvm_erase_rejects(session->arena, job->folder, customer_id, &lines, err);
    }
    if (status == CVM_OK) {
        print_report(job, &report, lines);
    }
    return status;
}

/* What was begun is ended for those that could be erased, whatever became of the others. */
static enum cvm_status erase_all(struct erase_job *job, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    cvm_json_key_array(&job->document.json, "erased");
    for (size_t i = 0; status == CVM_OK && i < job->count; i++) {
        status = erase_one(job, job->ids[i], err);
    }
    cvm_json_array_end(&job->document.json);
    struct cvm_error remnants_error;
    enum cvm_status remnants = cvm_erase_remnants(job->store, &remnants_error);
    if (status == CVM_OK && remnants != CVM_OK) {
        if (err != NULL) {
            *err = remnants_error;
        }
        status = cvm_error_context(err, remnants, "erased, but not yet from the files");
    }
    return status;
}

static bool is_wanted(const struct erase_job *job, const struct cvm_arguments *arguments)
{
    struct cvm_session *session = job->session;
    if (cvm_argument_given(arguments, "--yes") || job->count == 0) {
        return true;
    }
    if (session->can_ask) {
        fprintf(session->out, "Nothing brings back what is erased: %zu customer%s, first '%s'.\n",
                job->count, job->count == 1 ? "" : "s", job->ids[0]);
    }
    return cvm_session_ask(session, "Erase?");
}

static enum cvm_status run_erase(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 struct cvm_error *err)
{
    struct erase_job job = {
        .session = session,
        .why = cvm_argument(arguments, "--reason"),
        .ids = arguments->positional,
        .count = arguments->positional_count,
    };
    bool is_restored = cvm_argument_given(arguments, "--restored");
    if (job.why == NULL || job.why[0] == '\0') {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_INVALID, "option '--reason' is missing: an erasure needs one");
        return cvm_session_usage(session, status);
    }
    if (is_restored == (job.count > 0)) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_INVALID, "ids, or '--restored': one of the two is needed");
        return cvm_session_usage(session, status);
    }
    enum cvm_status status = cvm_session_store(session, CVM_DB_WRITE, &job.store, err);
    if (status == CVM_OK && is_restored) {
        status = cvm_erased_and_back(job.store, session->arena, &job.ids, &job.count, err);
    }
    if (status != CVM_OK || !is_wanted(&job, arguments)) {
        cvm_store_close(job.store);
        return status;
    }
    cvm_document_init(&job.document);
    status = cvm_session_rejects_folder(session, &job.folder, err);
    if (status == CVM_OK) {
        status = erase_all(&job, err);
    }
    cvm_store_close(job.store);
    if (status == CVM_OK && session->is_json) {
        return cvm_document_print(&job.document, session, err);
    }
    cvm_document_finish(&job.document);
    return status;
}

static const struct cvm_option erase_options[] = {
    {"--reason", "TEXT", "why; kept, so without the customer's name"},
    {"--restored", NULL, "those erased before whom a restored backup brought back"},
    {"--yes", NULL, "do not ask"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_customer_erase = {
    .name = "customer erase",
    .arguments = "[ID...]",
    .summary = "Forget customers: keys, events, permissions, names",
    .details =
        "The customer's key goes first, so that sealed data in old backups of the store\n"
        "cannot be read any more. Decisions and outcomes stay under a pseudonym. Databases\n"
        "are then written anew, which takes as long, and as much room, as copying them:\n"
        "name many customers at once. A second call completes one that was cut off. A later\n"
        "import of the customer is refused (cvm import --allow-erased takes it).\n\n"
        "  cvm customer erase U124 --reason \"request of 2024-03-20\"\n"
        "  cvm customer erase --restored --reason \"backup of 2024-03-01 restored\"",
    .positional_max = CUSTOMERS_MAX,
    .options = erase_options,
    .run = run_erase,
};
