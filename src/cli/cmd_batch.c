/* batch list, batch retract */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/work.h"
#include "storage/batches.h"
#include "storage/import.h"

#define DEFAULT_LIMIT 20

/* ---- list ---- */

struct list_job {
    struct cvm_session *session;
    struct cvm_document document;
    struct cvm_table table;
    int64_t count;
    int64_t last_batch;
};

static enum cvm_status write_batch(struct list_job *job, const struct cvm_batch *batch)
{
    struct cvm_json_writer *json = &job->document.json;
    cvm_json_object(json);
    cvm_json_key_int(json, "batch", batch->batch);
    cvm_json_key_string(json, "state", batch->state);
    cvm_json_key_moment(json, "started_at", batch->started_at_ms);
    cvm_json_key_moment(json, "finished_at", batch->finished_at_ms);
    cvm_json_key_string(json, "who", batch->who);
    cvm_json_key_int(json, "catalogue_version", batch->catalogue_version);
    cvm_json_key_number(json, "retracts", batch->retracts);
    cvm_json_key_number(json, "retracted_by", batch->retracted_by);
    cvm_json_key_day(json, "first_day", batch->first_day);
    cvm_json_key_day(json, "last_day", batch->last_day);
    cvm_json_key_raw(json, "report", batch->report);
    cvm_json_object_end(json);
    return CVM_OK;
}

static void describe_state(const struct cvm_batch *batch, char text[64])
{
    if (batch->retracts != 0) {
        (void)!snprintf(text, 64, "takes back %lld", (long long)batch->retracts);
    } else if (batch->retracted_by != 0) {
        (void)!snprintf(text, 64, "taken back by %lld", (long long)batch->retracted_by);
    } else {
        (void)!snprintf(text, 64, "%s", batch->state);
    }
}

static enum cvm_status take_batch(void *state, const struct cvm_batch *batch, struct cvm_error *err)
{
    struct list_job *job = state;
    char moment[CVM_MOMENT_TEXT_SIZE];
    char first[CVM_DAY_TEXT_SIZE];
    char last[CVM_DAY_TEXT_SIZE];
    char text[64];
    bool is_dated = batch->first_day != CVM_DAY_NONE && batch->last_day != CVM_DAY_NONE;
    (void)err;
    job->count++;
    job->last_batch = batch->batch;
    if (job->session->is_json) {
        return write_batch(job, batch);
    }
    describe_state(batch, text);
    cvm_table_add_format(&job->table, "%lld", (long long)batch->batch);
    cvm_table_add(&job->table, cvm_moment_format(batch->started_at_ms, moment));
    cvm_table_add(&job->table, batch->who);
    cvm_table_add(&job->table, text);
    cvm_table_add(&job->table, is_dated ? cvm_day_format(batch->first_day, first) : "-");
    cvm_table_add(&job->table, is_dated ? cvm_day_format(batch->last_day, last) : "-");
    return CVM_OK;
}

static enum cvm_status run_list(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    static const char *const headers[] = {">batch", "when", "who", "state", "first", "last"};
    struct list_job job = {.session = session};
    struct cvm_store *store = NULL;
    int64_t limit = DEFAULT_LIMIT;
    int64_t before = 0;
    enum cvm_status status = cvm_session_page(session, arguments, &limit, &before, err);
    if (status != CVM_OK) {
        return status;
    }
    cvm_document_init(&job.document);
    cvm_table_init(&job.table, headers, sizeof(headers) / sizeof(headers[0]));
    cvm_json_key_array(&job.document.json, "batches");
    status = cvm_session_store(session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_batch_list(store, before, limit, take_batch, &job, err);
    }
    cvm_store_close(store);
    cvm_json_array_end(&job.document.json);
    cvm_json_key_number(&job.document.json, "next_before", job.count == limit ? job.last_batch : 0);
    return cvm_document_or_table(&job.document, &job.table, session, status, err);
}

static const struct cvm_option list_options[] = {
    {"--limit", "N", "how many batches, newest first (default 20)"},
    {"--before", "BATCH", "only batches older than this one"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_batch_list = {
    .name = "batch list",
    .arguments = "",
    .summary = "Imports as they came, and which were taken back",
    .details = "One row per import, the newest first: who, when, the days of its events. The JSON\n"
               "has what the import reported.\n\n"
               "  cvm batch list --limit 5",
    .options = list_options,
    .run = run_list,
};

/* ---- retract ---- */

static enum cvm_status parse_batch(const char *text, int64_t *out_batch, struct cvm_error *err)
{
    char *end = NULL;
    bool is_number = text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
    long long batch = is_number ? strtoll(text, &end, 10) : 0;
    if (!is_number || batch <= 0 || batch >= INT32_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID, "found '%s', the number of a batch is expected", text);
    }
    *out_batch = batch;
    return CVM_OK;
}

static enum cvm_status rebuild(struct cvm_session *session, struct cvm_store *store,
                               struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_import_options options;
    enum cvm_status status = cvm_session_catalogue(session, store, &catalogue, err);
    if (status == CVM_OK) {
        status = cvm_session_import_options(session, NULL, &options, err);
    }
    if (status == CVM_OK) {
        status = cvm_import_rebuild(store, catalogue, &options, &session->context, err);
    }
    cvm_session_progress_end(session);
    if (status != CVM_OK) {
        (void)cvm_error_context(err, status, "the batch is taken back, journeys are behind");
        return cvm_error_hint(err, status, "The next command that needs them builds them.");
    }
    return CVM_OK;
}

static enum cvm_status report_retraction(struct cvm_session *session, int64_t batch,
                                         const struct cvm_retraction *retraction,
                                         struct cvm_error *err)
{
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_int(&document.json, "retracted", batch);
        cvm_json_key_int(&document.json, "batch", retraction->batch);
        cvm_json_key_int(&document.json, "customers_gone", retraction->customers_gone);
        cvm_json_key_int(&document.json, "later_imports", retraction->later_imports);
        return cvm_document_print(&document, session, err);
    }
    char number[CVM_NUMBER_TEXT_SIZE];
    fprintf(session->out, "Batch %lld is taken back, by batch %lld. ", (long long)batch,
            (long long)retraction->batch);
    fprintf(session->out, "%s customers came with it alone and are gone.\n",
            cvm_grouped(retraction->customers_gone, number));
    if (retraction->later_imports > 0) {
        fprintf(session->out,
                "%s imports came after it. What they brought again was known then and was not "
                "stored: import their files again.\n",
                cvm_grouped(retraction->later_imports, number));
    }
    return CVM_OK;
}

static enum cvm_status run_retract(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    const char *reason = cvm_argument(arguments, "--reason");
    struct cvm_store *store = NULL;
    struct cvm_retraction retraction;
    int64_t batch = 0;
    enum cvm_status status =
        cvm_session_usage(session, parse_batch(arguments->positional[0], &batch, err));
    if (status == CVM_OK) {
        status = cvm_session_store(session, CVM_DB_WRITE, &store, err);
    }
    if (status == CVM_OK) {
        status = cvm_batch_retract(store, batch, session->who, reason == NULL ? "" : reason,
                                   &retraction, err);
    }
    if (status == CVM_OK) {
        status = rebuild(session, store, err);
    }
    cvm_store_close(store);
    return status == CVM_OK ? report_retraction(session, batch, &retraction, err) : status;
}

static const struct cvm_option retract_options[] = {
    {"--reason", "TEXT", "why, for the audit"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_batch_retract = {
    .name = "batch retract",
    .arguments = "BATCH",
    .summary = "Take an import back: its records no longer count",
    .details = "Nothing is deleted. What stood before the batch counts again: attributes,\n"
               "permissions, records that it had changed; journeys are built anew. Importing the\n"
               "files again brings them back. Imports after it did not store what it had brought\n"
               "already: import those files again too.\n\n"
               "  cvm batch retract 7 --reason \"the file of the wrong day\"",
    .positional_min = 1,
    .positional_max = 1,
    .options = retract_options,
    .run = run_retract,
};
