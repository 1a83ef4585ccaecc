/* What `cvm explain RUN` says of everybody: reasons counted, parts as CSV. */
#include <errno.h>
#include <string.h>

#include "base/csv.h"
#include "base/date.h"
#include "base/file.h"
#include "cli/document.h"
#include "cli/explain_report.h"

/* ---- reasons ---- */

static void write_line(const struct cvm_reason_line *line, struct cvm_json_writer *json)
{
    cvm_json_object(json);
    cvm_json_key_string(json, "reason", cvm_reason_name(line->check.reason));
    cvm_json_key_string(json, "stage", cvm_reason_stage(line->check.reason));
    cvm_json_key_string(json, "name", line->check.name);
    cvm_json_key_string(json, "display_name", line->check.display_name);
    cvm_json_key_string(json, "rule", line->check.rule);
    cvm_json_key_int(json, "alone", line->alone);
    cvm_json_key_int(json, "together", line->together);
    cvm_json_object_end(json);
}

static enum cvm_status print_reasons_json(const struct cvm_reasons *reasons,
                                          struct cvm_session *session, struct cvm_error *err)
{
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    cvm_document_init(&document);
    cvm_json_key_string(json, "run_id", reasons->run_id);
    cvm_json_key_day(json, "as_of", reasons->as_of_day);
    cvm_json_key_int(json, "customers", reasons->customers);
    cvm_json_key_bool(json, "data_changed", reasons->data_changed);
    cvm_json_key_array(json, "treatments");
    for (size_t t = 0; t < reasons->catalogue->treatment_count; t++) {
        const struct cvm_treatment_reasons *treatment = &reasons->treatments[t];
        cvm_json_object(json);
        cvm_json_key_string(json, "treatment", reasons->catalogue->treatments[t].id);
        cvm_json_key_int(json, "passed", treatment->passed);
        cvm_json_key_int(json, "given", treatment->given);
        cvm_json_key_array(json, "checks");
        for (size_t l = 0; l < treatment->line_count; l++) {
            write_line(&treatment->lines[l], json);
        }
        cvm_json_array_end(json);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    return cvm_document_print(&document, session, err);
}

static void add_check(const struct cvm_check *check, struct cvm_table *table)
{
    char words[CVM_REASON_WORDS_SIZE];
    const char *what = check->display_name != NULL ? check->display_name
                       : check->rule != NULL
                           ? check->rule
                           : cvm_reason_words(cvm_reason_name(check->reason), words);
    cvm_table_add(table, cvm_reason_stage(check->reason));
    cvm_table_add(table, what);
}

/* A line per check that excluded anybody. */
static void print_reasons_text(const struct cvm_reasons *reasons, struct cvm_session *session)
{
    static const char *const headers[] = {"treatment", "stage", "check", ">alone", ">together"};
    struct cvm_table table;
    char text[CVM_NUMBER_TEXT_SIZE];
    char day[CVM_DAY_TEXT_SIZE];
    fprintf(session->out, "Run %s as of %s: %s customers.\n", reasons->run_id,
            cvm_day_format(reasons->as_of_day, day), cvm_grouped(reasons->customers, text));
    fputs(
        "alone: only this keeps the treatment from the customer; together: with others or not\n\n",
        session->out);
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t t = 0; t < reasons->catalogue->treatment_count; t++) {
        const struct cvm_treatment_reasons *treatment = &reasons->treatments[t];
        cvm_table_add(&table, reasons->catalogue->treatments[t].display_name);
        cvm_table_add(&table, "");
        cvm_table_add_format(&table, "passes every check, given to %s",
                             cvm_grouped(treatment->given, text));
        cvm_table_add(&table, "");
        cvm_table_add(&table, cvm_grouped(treatment->passed, text));
        for (size_t l = 0; l < treatment->line_count; l++) {
            if (treatment->lines[l].together > 0) {
                cvm_table_add(&table, "");
                add_check(&treatment->lines[l].check, &table);
                cvm_table_add(&table, cvm_grouped(treatment->lines[l].alone, text));
                cvm_table_add(&table, cvm_grouped(treatment->lines[l].together, text));
            }
        }
    }
    cvm_table_print(&table, session->out);
    if (reasons->data_changed) {
        fputs("\nThe data has changed since this run: the counts are of today's data.\n",
              session->out);
    }
}

enum cvm_status cvm_explain_print_reasons(const struct cvm_reasons *reasons,
                                          struct cvm_session *session, struct cvm_error *err)
{
    if (session->is_json) {
        return print_reasons_json(reasons, session, err);
    }
    print_reasons_text(reasons, session);
    return CVM_OK;
}

/* ---- parts as CSV ---- */

struct csv_job {
    const struct cvm_catalogue *catalogue;
    FILE *stream;
    struct cvm_text line;
    int64_t rows;
};

static void add_text(struct csv_job *job, const char *text)
{
    cvm_csv_add_field(&job->line, text, strlen(text), ',');
    cvm_text_add_char(&job->line, ',');
}

static enum cvm_status write_row(void *state, const char *customer_id,
                                 const struct cvm_explained_treatment *treatment,
                                 struct cvm_error *err)
{
    struct csv_job *job = state;
    struct cvm_explain_part parts[CVM_EXPLAIN_PARTS];
    const struct cvm_action_value *value = &treatment->parts;
    const double results[] = {value->value, treatment->value, treatment->price, treatment->margin,
                              treatment->sd};
    cvm_text_clear(&job->line);
    add_text(job, customer_id);
    add_text(job, job->catalogue->treatments[treatment->treatment].id);
    add_text(job, job->catalogue->segments[value->segment].name);
    add_text(job, cvm_channel_words[value->channel]);
    add_text(job, value->source);
    cvm_text_add_int(&job->line, value->outcomes);
    cvm_explain_parts_of(value, parts);
    for (size_t i = 0; i < CVM_EXPLAIN_PARTS; i++) {
        cvm_text_add_char(&job->line, ',');
        cvm_text_add_double(&job->line, parts[i].value);
    }
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        cvm_text_add_char(&job->line, ',');
        cvm_text_add_double(&job->line, results[i]);
    }
    cvm_text_add_char(&job->line, '\n');
    job->rows++;
    if (job->line.failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a line");
    }
    return fwrite(job->line.data, 1, job->line.length, job->stream) == job->line.length
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write the parts: %s", strerror(errno));
}

static enum cvm_status write_head(struct csv_job *job, struct cvm_error *err)
{
    struct cvm_explain_part parts[CVM_EXPLAIN_PARTS];
    struct cvm_action_value nothing = {0};
    fputs("customer_id,treatment,segment,channel,source,outcomes", job->stream);
    cvm_explain_parts_of(&nothing, parts);
    for (size_t i = 0; i < CVM_EXPLAIN_PARTS; i++) {
        fprintf(job->stream, ",%s", parts[i].symbol);
    }
    return fputs(",value,plan_value,price,margin,sd\n", job->stream) >= 0
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write the parts: %s", strerror(errno));
}

static enum cvm_status write_rows(struct cvm_work *work, struct csv_job *job,
                                  struct cvm_explain_many *request, struct cvm_error *err)
{
    enum cvm_status status = write_head(job, err);
    cvm_text_init(&job->line, 0);
    request->on_treatment = write_row;
    request->state = job;
    if (status == CVM_OK) {
        status = cvm_explain_parts(work->engine, work->store, request, work->session->arena, err);
    }
    cvm_text_finish(&job->line);
    return status;
}

enum cvm_status cvm_explain_write_csv(struct cvm_work *work, const char *path,
                                      struct cvm_explain_many *request, int64_t *out_rows,
                                      struct cvm_error *err)
{
    bool is_standard = strcmp(path, "-") == 0;
    struct csv_job job = {.catalogue = work->catalogue};
    struct cvm_file_out *file = NULL;
    enum cvm_status status = is_standard ? CVM_OK : cvm_file_out_open(path, &file, err);
    if (status == CVM_OK) {
        job.stream = is_standard ? work->session->out : cvm_file_out_stream(file);
        status = write_rows(work, &job, request, err);
    }
    if (status == CVM_OK && is_standard && fflush(job.stream) != 0) {
        status = CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write the parts: %s", strerror(errno));
    }
    if (status == CVM_OK && !is_standard) {
        status = cvm_file_out_commit(file, err);
    }
    cvm_file_out_close(file);
    if (status == CVM_OK) {
        *out_rows = job.rows;
    }
    return status;
}
