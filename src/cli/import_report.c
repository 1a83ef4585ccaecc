#include "cli/import_report.h"

#include "base/date.h"
#include "cli/document.h"

#define NULL_RATES_SHOWN 3

/* Records of the source that were understood. */
static int64_t mapped_count(const struct cvm_import_source_report *report)
{
    return report->read - report->rejected - report->outside;
}

static double null_rate(const struct cvm_import_source_report *report, size_t field)
{
    int64_t mapped = mapped_count(report);
    return mapped > 0 && report->attribute_missing != NULL
               ? (double)report->attribute_missing[field] / (double)mapped
               : 0;
}

static int32_t freshness_of(const struct cvm_session *session,
                            const struct cvm_import_source_report *report)
{
    return report->last_day == CVM_DAY_NONE ? CVM_DAY_NONE
                                            : cvm_session_today(session) - report->last_day;
}

/* ---- JSON ---- */

static void write_source(struct cvm_session *session, const struct cvm_catalogue *catalogue,
                         const struct cvm_import_source_report *report,
                         struct cvm_json_writer *json)
{
    const struct cvm_source *source = &catalogue->sources[report->source];
    int32_t freshness = freshness_of(session, report);
    cvm_json_key_object(json, source->name);
    cvm_json_key_int(json, "read", report->read);
    cvm_json_key_int(json, "stored", report->stored);
    cvm_json_key_int(json, "duplicate", report->duplicate);
    cvm_json_key_int(json, "rejected", report->rejected);
    cvm_json_key_int(json, "outside", report->outside);
    cvm_json_key_int(json, "changed", report->changed);
    cvm_json_key_int(json, "too_old", report->too_old);
    cvm_json_key_day(json, "first_day", report->first_day);
    cvm_json_key_day(json, "last_day", report->last_day);
    cvm_json_key(json, "freshness_days");
    if (freshness == CVM_DAY_NONE) {
        cvm_json_null(json);
    } else {
        cvm_json_int(json, freshness);
    }
    cvm_json_key_double(json, "freshness_days_max", source->freshness_days_max);
    cvm_json_key_double(json, "expected_rows_min", source->expected_rows_min);
    if (source->kind == CVM_SOURCE_CONSENT) {
        cvm_json_key_int(json, "unclear_quiet_hours", report->unclear_quiet_hours);
    }
    cvm_json_key_object(json, "null_rates");
    for (size_t f = 0; f < source->field_count; f++) {
        cvm_json_key_double(json, catalogue->attributes[source->fields[f].attribute].name,
                            null_rate(report, f));
    }
    cvm_json_object_end(json);
    cvm_json_object_end(json);
}

static void write_texts(struct cvm_json_writer *json, const char *key, const char *const *texts,
                        size_t count)
{
    cvm_json_key_array(json, key);
    for (size_t i = 0; i < count; i++) {
        cvm_json_string(json, texts[i]);
    }
    cvm_json_array_end(json);
}

static enum cvm_status print_document(struct cvm_session *session,
                                      const struct cvm_catalogue *catalogue,
                                      const struct cvm_import_report *report, struct cvm_error *err)
{
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    cvm_document_init(&document);
    cvm_json_key_int(json, "batch", report->batch);
    cvm_json_key_int(json, "read", report->read);
    cvm_json_key_int(json, "stored", report->stored);
    cvm_json_key_int(json, "duplicate", report->duplicate);
    cvm_json_key_int(json, "rejected", report->rejected);
    cvm_json_key_int(json, "outside", report->outside);
    cvm_json_key_int(json, "changed", report->changed);
    cvm_json_key_int(json, "too_old", report->too_old);
    cvm_json_key_int(json, "customers", report->customers);
    cvm_json_key_int(json, "new_customers", report->new_customers);
    cvm_json_key_int(json, "unmapped_fields", report->unmapped_fields);
    cvm_json_key_object(json, "by_source");
    for (size_t i = 0; i < report->source_count; i++) {
        write_source(session, catalogue, &report->sources[i], json);
    }
    cvm_json_object_end(json);
    cvm_json_key_string(json, "rejects_file", report->rejects_path);
    write_texts(json, "skipped_files", report->skipped_files, report->skipped_file_count);
    write_texts(json, "failed_files", report->failed_files, report->failed_file_count);
    cvm_json_key_object(json, "seconds");
    cvm_json_key_double(json, "parse", report->seconds_parse);
    cvm_json_key_double(json, "store", report->seconds_store);
    cvm_json_object_end(json);
    return cvm_document_print(&document, session, err);
}

/* ---- people ---- */

/* The attributes that are missing most often, "contact.resolution 97 %, ...". */
static void add_null_rates(const struct cvm_catalogue *catalogue,
                           const struct cvm_import_source_report *report, struct cvm_text *out)
{
    const struct cvm_source *source = &catalogue->sources[report->source];
    double last_rate = 2;
    size_t last = 0;
    for (size_t shown = 0; shown < NULL_RATES_SHOWN; shown++) {
        size_t best = source->field_count;
        for (size_t f = 0; f < source->field_count; f++) {
            double rate = null_rate(report, f);
            bool is_next = rate < last_rate || (rate == last_rate && f > last);
            if (rate > 0 && is_next &&
                (best == source->field_count || rate > null_rate(report, best))) {
                best = f;
            }
        }
        if (best == source->field_count) {
            return;
        }
        last = best;
        last_rate = null_rate(report, best);
        cvm_text_add_format(out, "%s%s %.0f %%", shown == 0 ? "" : ", ",
                            catalogue->attributes[source->fields[best].attribute].name,
                            100 * last_rate);
    }
}

static void add_row(struct cvm_session *session, const struct cvm_catalogue *catalogue,
                    const struct cvm_import_source_report *report, struct cvm_table *table)
{
    const struct cvm_source *source = &catalogue->sources[report->source];
    const int64_t counts[] = {report->read, report->stored, report->duplicate, report->rejected};
    char text[CVM_NUMBER_TEXT_SIZE];
    char day[CVM_DAY_TEXT_SIZE];
    struct cvm_text rates;
    cvm_table_add(table, source->display_name);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        cvm_table_add(table, cvm_grouped(counts[i], text));
    }
    bool is_dated = report->last_day != CVM_DAY_NONE;
    cvm_table_add(table, is_dated ? cvm_day_format(report->first_day, day) : "-");
    cvm_table_add(table, is_dated ? cvm_day_format(report->last_day, day) : "-");
    if (is_dated) {
        cvm_table_add_format(table, "%d days", (int)freshness_of(session, report));
    } else {
        cvm_table_add(table, "-");
    }
    cvm_text_init(&rates, 0);
    add_null_rates(catalogue, report, &rates);
    cvm_table_add(table, cvm_text_string(&rates));
    cvm_text_finish(&rates);
}

static void warn_of_source(struct cvm_session *session, const struct cvm_catalogue *catalogue,
                           const struct cvm_import_source_report *report)
{
    const struct cvm_source *source = &catalogue->sources[report->source];
    int32_t freshness = freshness_of(session, report);
    if (source->expected_rows_min > 0 && (double)report->read < source->expected_rows_min) {
        cvm_session_warn(session, "%s: %lld records, at least %.0f are expected", source->name,
                         (long long)report->read, source->expected_rows_min);
    }
    if (report->unclear_quiet_hours > 0) {
        cvm_session_warn(session,
                         "%s: quiet hours of %lld records are not understood and do not count; "
                         "they are written 22:00-08:00",
                         source->name, (long long)report->unclear_quiet_hours);
    }
    if (source->freshness_days_max > 0 && freshness != CVM_DAY_NONE &&
        freshness > source->freshness_days_max) {
        cvm_session_warn(session, "%s: the newest record is %d days old, %.0f are allowed",
                         source->name, (int)freshness, source->freshness_days_max);
    }
}

static void print_tables(struct cvm_session *session, const struct cvm_catalogue *catalogue,
                         const struct cvm_import_report *report)
{
    static const char *const headers[] = {"source", ">read", ">stored", ">duplicate",  ">rejected",
                                          "first",  "last",  ">age",    "missing most"};
    struct cvm_table table;
    char numbers[3][CVM_NUMBER_TEXT_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < report->source_count; i++) {
        add_row(session, catalogue, &report->sources[i], &table);
    }
    cvm_table_print(&table, session->out);
    fprintf(session->out, "\n%s records read, %s stored", cvm_grouped(report->read, numbers[0]),
            cvm_grouped(report->stored, numbers[1]));
    if (report->changed > 0) {
        fprintf(session->out, " (%s of them new versions)",
                cvm_grouped(report->changed, numbers[2]));
    }
    fprintf(session->out, "; %s customers, %s of them new.\n",
            cvm_grouped(report->customers, numbers[0]),
            cvm_grouped(report->new_customers, numbers[1]));
    if (report->outside > 0) {
        fprintf(session->out, "%s passed over: of other days than --since and --until say\n",
                cvm_grouped(report->outside, numbers[0]));
    }
    if (report->rejected > report->too_old && report->rejects_path != NULL) {
        fprintf(session->out, "%s rejected: see %s\n",
                cvm_grouped(report->rejected - report->too_old, numbers[0]), report->rejects_path);
    }
    if (report->too_old > 0) {
        fprintf(session->out,
                "%s are older than their source keeps them (keep_days): not stored.\n",
                cvm_grouped(report->too_old, numbers[0]));
    }
}

static void print_warnings(struct cvm_session *session, const struct cvm_catalogue *catalogue,
                           const struct cvm_import_report *report)
{
    for (size_t i = 0; i < report->source_count; i++) {
        warn_of_source(session, catalogue, &report->sources[i]);
    }
    for (size_t i = 0; i < report->skipped_file_count; i++) {
        cvm_session_warn(session, "skipped '%s': no source takes files of this name",
                         report->skipped_files[i]);
    }
    for (size_t i = 0; i < report->failed_file_count; i++) {
        fprintf(session->err, "cvm: failed: %s\n", report->failed_files[i]);
    }
}

enum cvm_status cvm_import_report_print(struct cvm_session *session,
                                        const struct cvm_catalogue *catalogue,
                                        const struct cvm_import_report *report,
                                        struct cvm_error *err)
{
    cvm_session_progress_end(session);
    session->is_partial |= report->rejected > report->too_old || report->failed_file_count > 0;
    if (session->is_json) {
        return print_document(session, catalogue, report, err);
    }
    print_tables(session, catalogue, report);
    fflush(session->out);
    print_warnings(session, catalogue, report);
    return CVM_OK;
}
