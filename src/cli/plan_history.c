#include "cli/plan_history.h"

#include <string.h>

#include "base/date.h"
#include "base/json_reader.h"
#include "storage/export_store.h"

#define JSON_BYTES_MAX ((size_t)1 << 20)

struct history_job {
    struct cvm_session *session;
    struct cvm_json_writer *json; /* NULL: the table is filled */
    struct cvm_table table;
    struct cvm_json_reader *reader;
};

/* "draft -> approved"; an export says so in its reason. */
static const char *step_of(struct history_job *job, const struct cvm_audit_row *row)
{
    const struct cvm_json_value *after = NULL;
    if (row->after == NULL || cvm_json_read(job->reader, job->session->arena, row->after,
                                            strlen(row->after), false, &after, NULL) != CVM_OK) {
        return "";
    }
    const struct cvm_json_value *state = cvm_json_member(after, "state");
    const char *text =
        state != NULL && state->type == CVM_JSON_STRING
            ? cvm_arena_copy(job->session->arena, state->string.data, state->string.length)
            : "export";
    return text == NULL ? "" : text;
}

static enum cvm_status take_row(void *state, const struct cvm_audit_row *row, struct cvm_error *err)
{
    struct history_job *job = state;
    char moment[CVM_MOMENT_TEXT_SIZE];
    const char *step = step_of(job, row);
    (void)err;
    if (job->json == NULL) {
        cvm_table_add(&job->table, cvm_moment_format(row->at_ms, moment));
        cvm_table_add(&job->table, step);
        cvm_table_add(&job->table, row->who);
        cvm_table_add(&job->table, row->why);
        return CVM_OK;
    }
    cvm_json_object(job->json);
    cvm_json_key_moment(job->json, "at", row->at_ms);
    cvm_json_key_string(job->json, "step", step);
    cvm_json_key_string(job->json, "who", row->who);
    cvm_json_key_string(job->json, "why", row->why);
    cvm_json_object_end(job->json);
    return CVM_OK;
}

static enum cvm_status scan(struct history_job *job, struct cvm_store *store,
                            const struct cvm_run_record *run, struct cvm_error *err)
{
    job->reader = cvm_json_reader_create(JSON_BYTES_MAX);
    if (job->reader == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read a plan's history");
    }
    enum cvm_status status = cvm_plan_history(store, run->run_id, take_row, job, err);
    cvm_json_reader_destroy(job->reader);
    return status;
}

static void write_export(struct cvm_json_writer *json, const struct cvm_plan_export *export)
{
    cvm_json_object(json);
    cvm_json_key_int(json, "export", export->export);
    cvm_json_key_string(json, "channel", export->channel);
    cvm_json_key_string(json, "kind", export->kind);
    cvm_json_key_string(json, "file", export->file);
    cvm_json_key_int(json, "rows", export->rows);
    cvm_json_key_string(json, "digest", export->digest);
    cvm_json_key_moment(json, "at", export->at_ms);
    cvm_json_key_string(json, "who", export->who);
    cvm_json_object_end(json);
}

static void write_states(struct cvm_json_writer *json, const int64_t *states)
{
    cvm_json_key(json, "states");
    cvm_json_object(json);
    for (int s = 0; s < CVM_DECISION_STATE_COUNT; s++) {
        if (states[s] > 0) {
            cvm_json_key_int(json, cvm_decision_state_name((enum cvm_decision_state)s), states[s]);
        }
    }
    cvm_json_object_end(json);
}

/* "Now 494 released, 42 withdrawn" */
static void print_states(struct cvm_session *session, const int64_t *states)
{
    char number[CVM_NUMBER_TEXT_SIZE];
    const char *before = "\nNow ";
    for (int s = 0; s < CVM_DECISION_STATE_COUNT; s++) {
        if (states[s] > 0) {
            fprintf(session->out, "%s%s %s", before, cvm_grouped(states[s], number),
                    cvm_decision_state_name((enum cvm_decision_state)s));
            before = ", ";
        }
    }
    fputs(before[0] == ',' ? "\n" : "", session->out);
}

enum cvm_status cvm_plan_history_write(struct cvm_session *session, struct cvm_store *store,
                                       const struct cvm_run_record *run,
                                       struct cvm_json_writer *json, struct cvm_error *err)
{
    struct history_job job = {.session = session, .json = json};
    const struct cvm_plan_export *exports = NULL;
    size_t count = 0;
    int64_t states[CVM_DECISION_STATE_COUNT];
    cvm_json_key_string(json, "created_by", run->created_by);
    cvm_json_key_raw(json, "hold_reasons", run->hold_reasons == NULL ? "[]" : run->hold_reasons);
    cvm_json_key_array(json, "history");
    enum cvm_status status = scan(&job, store, run, err);
    cvm_json_array_end(json);
    if (status == CVM_OK) {
        status = cvm_plan_states(store, run->run_id, states, err);
    }
    if (status == CVM_OK) {
        write_states(json, states);
        status = cvm_export_list(store, session->arena, run->run_id, &exports, &count, err);
    }
    cvm_json_key_array(json, "exports");
    for (size_t i = 0; i < count; i++) {
        write_export(json, &exports[i]);
    }
    cvm_json_array_end(json);
    return status;
}

static void print_exports(struct cvm_session *session, const struct cvm_plan_export *exports,
                          size_t count)
{
    static const char *const headers[] = {"handed over", "channel", "kind", ">rows", "file"};
    struct cvm_table table;
    char moment[CVM_MOMENT_TEXT_SIZE];
    char number[CVM_NUMBER_TEXT_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < count; i++) {
        cvm_table_add(&table, cvm_moment_format(exports[i].at_ms, moment));
        cvm_table_add(&table, exports[i].channel);
        cvm_table_add(&table, exports[i].kind);
        cvm_table_add(&table, cvm_grouped(exports[i].rows, number));
        cvm_table_add(&table, exports[i].file);
    }
    fputc('\n', session->out);
    cvm_table_print(&table, session->out);
}

enum cvm_status cvm_plan_history_print(struct cvm_session *session, struct cvm_store *store,
                                       const struct cvm_run_record *run, struct cvm_error *err)
{
    static const char *const headers[] = {"when", "plan", "who", "why"};
    struct history_job job = {.session = session};
    const struct cvm_plan_export *exports = NULL;
    size_t count = 0;
    int64_t states[CVM_DECISION_STATE_COUNT];
    cvm_table_init(&job.table, headers, sizeof(headers) / sizeof(headers[0]));
    enum cvm_status status = scan(&job, store, run, err);
    if (status == CVM_OK) {
        status = cvm_plan_states(store, run->run_id, states, err);
    }
    if (status == CVM_OK) {
        status = cvm_export_list(store, session->arena, run->run_id, &exports, &count, err);
    }
    if (status != CVM_OK || job.table.cell_count == 0) {
        cvm_text_finish(&job.table.cells);
        return status;
    }
    print_states(session, states);
    fprintf(session->out, "\nMade by %s\n\n",
            run->created_by == NULL || run->created_by[0] == '\0' ? "somebody" : run->created_by);
    cvm_table_print(&job.table, session->out);
    if (count > 0) {
        print_exports(session, exports, count);
    }
    return CVM_OK;
}
