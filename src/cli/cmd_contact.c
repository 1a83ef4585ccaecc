/* contact import */
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/import_report.h"
#include "cli/work.h"
#include "storage/import.h"

/* Contacts of other teams are records of the source that the contact policy counts. */
static enum cvm_status import_contacts(struct cvm_session *session, struct cvm_work *work,
                                       const struct cvm_arguments *arguments,
                                       struct cvm_import_report *out_report, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = work->catalogue;
    struct cvm_import_options options;
    struct cvm_pool *pool = NULL;
    int64_t threads = 0;
    if (catalogue->policy.source == CVM_INDEX_NONE) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_CONFLICT, "the catalogue says nowhere which source has contacts");
        return cvm_error_hint(err, status, "Name it in contact_policy.yaml, or use `cvm import`.");
    }
    enum cvm_status status =
        cvm_session_usage(session, cvm_session_threads(session, arguments, &threads, err));
    if (status == CVM_OK) {
        status = cvm_session_import_options(session, cvm_argument(arguments, "--rejects"), &options,
                                            err);
    }
    if (status == CVM_OK) {
        status = cvm_pool_create((size_t)threads, &pool, err);
    }
    if (status == CVM_OK) {
        struct cvm_import_work import = {work->store, catalogue, &options, pool, &session->context};
        struct cvm_import_paths paths = {
            .paths = arguments->positional,
            .count = arguments->positional_count,
            .source = catalogue->sources[catalogue->policy.source].name,
        };
        status = cvm_import_files(&import, &paths, session->arena, out_report, err);
    }
    cvm_session_progress_end(session);
    cvm_pool_destroy(pool);
    return status;
}

static enum cvm_status run_import(struct cvm_session *session,
                                  const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct cvm_work_options options = {.access = CVM_DB_WRITE};
    struct cvm_work work;
    struct cvm_import_report report;
    enum cvm_status status = cvm_work_open(session, &options, &work, err);
    if (status != CVM_OK) {
        return status;
    }
    status = import_contacts(session, &work, arguments, &report, err);
    if (status == CVM_OK) {
        status = cvm_import_report_print(session, work.catalogue, &report, err);
    }
    cvm_work_close(&work);
    return status;
}

static const struct cvm_option import_options[] = {
    {"--rejects", "FILE", "where rejected contacts go (default: beside the store)"},
    {"--threads", "N", "threads (default: as configured; 0 = one per core)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_contact_import = {
    .name = "contact import",
    .arguments = "FILE...",
    .summary = "Take in contacts that other teams made",
    .details =
        "Files of any name, with records like {customer_id, date, channel, purpose}: what the\n"
        "mapping of the contact policy's source reads. They count in the contact policy as ours\n"
        "do, which come in by `cvm outcome import`. Idempotent; what can not be mapped goes to\n"
        "the rejects file (exit 3).\n\n"
        "  cvm contact import dialler-march.csv\n"
        "  cvm contact import newsletter.ndjson --json",
    .positional_min = 1,
    .positional_max = 100000,
    .options = import_options,
    .run = run_import,
};
