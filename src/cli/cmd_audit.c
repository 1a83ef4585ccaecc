#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/work.h"
#include "storage/audit.h"

#define DEFAULT_LIMIT 20

struct audit_job {
    struct cvm_session *session;
    struct cvm_document document;
    struct cvm_table table;
    int64_t last_id;
    int64_t count;
};

static enum cvm_status show_row(void *state, const struct cvm_audit_row *row, struct cvm_error *err)
{
    struct audit_job *job = state;
    struct cvm_json_writer *json = &job->document.json;
    char moment[CVM_MOMENT_TEXT_SIZE];
    (void)err;
    job->last_id = row->id;
    job->count++;
    if (!job->session->is_json) {
        cvm_table_add_format(&job->table, "%lld", (long long)row->id);
        cvm_table_add(&job->table, cvm_moment_format(row->at_ms, moment));
        cvm_table_add(&job->table, row->who);
        cvm_table_add(&job->table, row->action);
        cvm_table_add(&job->table, row->object);
        cvm_table_add(&job->table, row->why);
        return CVM_OK;
    }
    cvm_json_object(json);
    cvm_json_key_int(json, "id", row->id);
    cvm_json_key_moment(json, "at", row->at_ms);
    cvm_json_key_string(json, "who", row->who);
    cvm_json_key_string(json, "action", row->action);
    cvm_json_key_string(json, "object", row->object);
    cvm_json_key_string(json, "why", row->why);
    cvm_json_key_raw(json, "before", row->before);
    cvm_json_key_raw(json, "after", row->after);
    cvm_json_object_end(json);
    return CVM_OK;
}

static enum cvm_status list_rows(struct audit_job *job, int64_t before, int64_t limit,
                                 struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    enum cvm_status status = cvm_session_store(job->session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_audit_list(store, before, limit, show_row, job, err);
    }
    cvm_store_close(store);
    return status;
}

static enum cvm_status run_list(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    static const char *const headers[] = {">id", "when", "who", "action", "object", "why"};
    struct audit_job job = {.session = session};
    int64_t limit = DEFAULT_LIMIT;
    int64_t before = 0;
    enum cvm_status status = cvm_session_page(session, arguments, &limit, &before, err);
    if (status != CVM_OK) {
        return status;
    }
    cvm_document_init(&job.document);
    cvm_table_init(&job.table, headers, sizeof(headers) / sizeof(headers[0]));
    cvm_json_key_array(&job.document.json, "audit");
    status = list_rows(&job, before, limit, err);
    cvm_json_array_end(&job.document.json);
    cvm_json_key_number(&job.document.json, "next_before", job.count == limit ? job.last_id : 0);
    return cvm_document_or_table(&job.document, &job.table, session, status, err);
}

static const struct cvm_option list_options[] = {
    {"--limit", "N", "how many rows, newest first (default 20)"},
    {"--before", "ID", "only rows older than this one"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_audit_list = {
    .name = "audit list",
    .arguments = "",
    .summary = "Who changed what, when and why",
    .details = "One row per import, catalogue change, plan and capacity change. The JSON has\n"
               "what stood before and after.\n\n"
               "  cvm audit list --limit 5",
    .options = list_options,
    .run = run_list,
};
