#include "storage/import_report.h"

#include "base/date.h"

static void write_day(struct cvm_json_writer *writer, const char *key, int32_t day)
{
    char text[CVM_DAY_TEXT_SIZE];
    cvm_json_key_string(writer, key, day == CVM_DAY_NONE ? NULL : cvm_day_format(day, text));
}

/* Share of the records that have no value, for each attribute of the source. */
static void write_missing(struct cvm_json_writer *writer, const struct cvm_catalogue *catalogue,
                          const struct cvm_import_source_report *report)
{
    const struct cvm_source *source = &catalogue->sources[report->source];
    double mapped = (double)(report->read - report->rejected - report->outside);
    cvm_json_key(writer, "missing");
    cvm_json_object(writer);
    for (size_t f = 0; f < source->field_count; f++) {
        if (report->attribute_missing[f] > 0) {
            cvm_json_key_double(writer, catalogue->attributes[source->fields[f].attribute].name,
                                (double)report->attribute_missing[f] / mapped);
        }
    }
    cvm_json_object_end(writer);
}

static void write_source(struct cvm_json_writer *writer, const struct cvm_catalogue *catalogue,
                         const struct cvm_import_source_report *report, int32_t today)
{
    const struct cvm_source *source = &catalogue->sources[report->source];
    cvm_json_key(writer, source->name);
    cvm_json_object(writer);
    cvm_json_key_int(writer, "read", report->read);
    cvm_json_key_int(writer, "stored", report->stored);
    cvm_json_key_int(writer, "duplicate", report->duplicate);
    cvm_json_key_int(writer, "rejected", report->rejected);
    cvm_json_key_int(writer, "outside", report->outside);
    cvm_json_key_int(writer, "changed", report->changed);
    cvm_json_key_int(writer, "too_old", report->too_old);
    cvm_json_key_int(writer, "bytes", report->bytes);
    write_day(writer, "first_date", report->first_day);
    write_day(writer, "last_date", report->last_day);
    if (report->last_day != CVM_DAY_NONE && today != CVM_DAY_NONE) {
        int64_t age = (int64_t)today - report->last_day;
        cvm_json_key_int(writer, "age_days", age);
        if (source->freshness_days_max > 0) {
            cvm_json_key_bool(writer, "stale", (double)age > source->freshness_days_max);
        }
    }
    if (source->expected_rows_min > 0) {
        cvm_json_key_double(writer, "expected_rows_min", source->expected_rows_min);
        cvm_json_key_bool(writer, "too_few", (double)report->read < source->expected_rows_min);
    }
    if (source->kind == CVM_SOURCE_CONSENT) {
        cvm_json_key_int(writer, "unclear_quiet_hours", report->unclear_quiet_hours);
    }
    write_missing(writer, catalogue, report);
    cvm_json_object_end(writer);
}

static void write_texts(struct cvm_json_writer *writer, const char *key, const char **texts,
                        size_t count)
{
    cvm_json_key(writer, key);
    cvm_json_array(writer);
    for (size_t t = 0; t < count; t++) {
        cvm_json_string(writer, texts[t]);
    }
    cvm_json_array_end(writer);
}

void cvm_import_report_write(const struct cvm_import_report *report,
                             const struct cvm_catalogue *catalogue, int32_t today,
                             struct cvm_json_writer *writer)
{
    cvm_json_object(writer);
    cvm_json_key_int(writer, "batch", report->batch);
    cvm_json_key_int(writer, "read", report->read);
    cvm_json_key_int(writer, "stored", report->stored);
    cvm_json_key_int(writer, "duplicate", report->duplicate);
    cvm_json_key_int(writer, "rejected", report->rejected);
    cvm_json_key_int(writer, "outside", report->outside);
    cvm_json_key_int(writer, "changed", report->changed);
    cvm_json_key_int(writer, "too_old", report->too_old);
    cvm_json_key_int(writer, "unmapped_fields", report->unmapped_fields);
    cvm_json_key_int(writer, "customers", report->customers);
    cvm_json_key_int(writer, "new_customers", report->new_customers);
    cvm_json_key_int(writer, "bytes", report->bytes);
    cvm_json_key_bool(writer, "follows_outcomes", report->follows_outcomes);
    cvm_json_key(writer, "by_source");
    cvm_json_object(writer);
    for (size_t s = 0; s < report->source_count; s++) {
        write_source(writer, catalogue, &report->sources[s], today);
    }
    cvm_json_object_end(writer);
    cvm_json_key_string(writer, "rejects_file", report->rejects_path);
    write_texts(writer, "skipped_files", report->skipped_files, report->skipped_file_count);
    write_texts(writer, "failed_files", report->failed_files, report->failed_file_count);
    cvm_json_key(writer, "seconds");
    cvm_json_object(writer);
    cvm_json_key_double(writer, "read", report->seconds_parse);
    cvm_json_key_double(writer, "store", report->seconds_store);
    cvm_json_object_end(writer);
    cvm_json_object_end(writer);
}
