#include "cli/event_input.h"

#include <string.h>

#include "base/date.h"
#include "base/file.h"
#include "base/suggest.h"
#include "cli/work.h"

/* ---- reading ---- */

static enum cvm_status find_source(const struct cvm_catalogue *catalogue, const char *name,
                                   int *out_source, struct cvm_error *err)
{
    struct cvm_suggestion suggestion = {.typed = name};
    *out_source = cvm_catalogue_source(catalogue, name);
    if (*out_source >= 0) {
        return CVM_OK;
    }
    for (size_t s = 0; s < catalogue->source_count; s++) {
        cvm_suggestion_try(&suggestion, catalogue->sources[s].name);
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_NOT_FOUND, "the catalogue has no source '%s'", name);
    return suggestion.best == NULL
               ? cvm_error_hint(err, status, "Sources stand in the catalogue's mappings.")
               : cvm_error_hint(err, status, "Did you mean '%s'?", suggestion.best);
}

static enum cvm_status read_stream(struct cvm_session *session, FILE *in,
                                   struct cvm_event_records *records, struct cvm_error *err)
{
    char *text = cvm_arena_alloc(session->arena, CVM_EVENTS_BYTES_MAX + CVM_JSON_PADDING, 1);
    if (text == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for events");
    }
    records->text = text;
    records->length = fread(text, 1, CVM_EVENTS_BYTES_MAX, in);
    if (ferror(in) != 0) {
        return CVM_FAIL(err, CVM_E_INVALID, "standard input can not be read");
    }
    return records->length < CVM_EVENTS_BYTES_MAX
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_LIMIT, "at most %zu bytes of events are taken at once",
                          CVM_EVENTS_BYTES_MAX - 1);
}

static enum cvm_status read_text(struct cvm_session *session, const char *what,
                                 struct cvm_event_records *records, struct cvm_error *err)
{
    const char *text = what;
    char *read = NULL;
    bool is_json = what[strspn(what, " \t\r\n")] == '{';
    records->name = is_json ? "event" : what;
    if (strcmp(what, "-") == 0) {
        records->name = "standard input";
        return read_stream(session, session->in != NULL ? session->in : stdin, records, err);
    }
    records->length = strlen(what);
    if (!is_json) {
        enum cvm_status status =
            cvm_file_read(session->arena, what, CVM_EVENTS_BYTES_MAX, &read, &records->length, err);
        if (status != CVM_OK) {
            return status;
        }
        text = read;
    }
    records->text = cvm_arena_alloc(session->arena, records->length + CVM_JSON_PADDING, 1);
    if (records->text == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for events");
    }
    memcpy(records->text, text, records->length);
    return CVM_OK;
}

/* One object may stand on several lines: a line break is a space there, never within a text. */
static void join_lines(struct cvm_event_records *records)
{
    const struct cvm_json_value *root = NULL;
    struct cvm_json_reader *reader = cvm_json_reader_create(CVM_EVENTS_BYTES_MAX);
    struct cvm_arena *arena = cvm_arena_create(CVM_EVENTS_BYTES_MAX);
    if (reader != NULL && arena != NULL &&
        cvm_json_read(reader, arena, records->text, records->length, true, &root, NULL) == CVM_OK) {
        for (size_t i = 0; i < records->length; i++) {
            bool is_break = records->text[i] == '\n' || records->text[i] == '\r';
            records->text[i] = is_break ? ' ' : records->text[i];
        }
    }
    cvm_arena_destroy(arena);
    cvm_json_reader_destroy(reader);
}

static bool is_blank(struct cvm_slice line)
{
    for (size_t i = 0; i < line.length; i++) {
        if (strchr(" \t\r", line.data[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static enum cvm_status cut(struct cvm_event_records *records, int source, int32_t as_of_day,
                           struct cvm_error *err)
{
    size_t at = 0;
    for (int line_no = 1; at < records->length; line_no++) {
        const char *line = records->text + at;
        const char *end = memchr(line, '\n', records->length - at);
        size_t length = end == NULL ? records->length - at : (size_t)(end - line);
        struct cvm_slice text = {line, length};
        at += length + 1;
        if (is_blank(text)) {
            continue;
        }
        if (cvm_event_batch_count(records->batch) == CVM_EVENTS_MAX) {
            enum cvm_status status =
                CVM_FAIL(err, CVM_E_LIMIT, "at most %d events are pushed at once", CVM_EVENTS_MAX);
            return cvm_error_hint(err, status, "`cvm import` takes any number.");
        }
        enum cvm_status status = cvm_event_batch_add(records->batch, source, text, as_of_day, err);
        if (status != CVM_OK) {
            return cvm_error_where(err, status, "%s:%d", records->name, line_no);
        }
    }
    return cvm_event_batch_count(records->batch) > 0
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_INVALID, "there is no event in %s", records->name);
}

void cvm_event_records_finish(struct cvm_event_records *records)
{
    cvm_event_batch_destroy(records->batch);
    records->batch = NULL;
}

enum cvm_status cvm_event_records_read(struct cvm_session *session,
                                       const struct cvm_catalogue *catalogue,
                                       const struct cvm_arguments *arguments,
                                       struct cvm_event_records *out_records, struct cvm_error *err)
{
    struct cvm_event_records records = {.batch = NULL};
    const char *what = arguments->positional_count > 0 ? arguments->positional[0] : "-";
    int32_t as_of_day = CVM_DAY_NONE;
    int source = -1;
    enum cvm_status status = cvm_argument_day(arguments, "--as-of", &as_of_day, err);
    if (status == CVM_OK) {
        status = find_source(catalogue, cvm_argument(arguments, "--source"), &source, err);
    }
    if (status == CVM_OK) {
        status = read_text(session, what, &records, err);
    }
    if (status == CVM_OK) {
        join_lines(&records);
        status =
            cvm_event_batch_create(session->arena, catalogue,
                                   (size_t)session->config.record_bytes_max, &records.batch, err);
    }
    if (status == CVM_OK) {
        status = cut(&records, source, as_of_day, err);
    }
    if (status != CVM_OK) {
        cvm_event_records_finish(&records);
        return status;
    }
    *out_records = records;
    return CVM_OK;
}

enum cvm_status cvm_event_arguments_check(struct cvm_session *session,
                                          const struct cvm_arguments *arguments,
                                          struct cvm_error *err)
{
    int32_t day = CVM_DAY_NONE;
    enum cvm_status status = cvm_argument_day(arguments, "--as-of", &day, err);
    if (status == CVM_OK && cvm_argument(arguments, "--source") == NULL) {
        status = CVM_FAIL(err, CVM_E_INVALID, "name what the events are: --source NAME");
    }
    return status == CVM_OK ? CVM_OK : cvm_session_usage(session, status);
}

/* ---- storing ---- */

enum cvm_status cvm_event_records_import(struct cvm_session *session, struct cvm_store *writer,
                                         const struct cvm_catalogue *catalogue,
                                         const struct cvm_event_records *records,
                                         struct cvm_import_report *out_report,
                                         struct cvm_error *err)
{
    struct cvm_import_options options;
    struct cvm_pool *pool = NULL;
    enum cvm_status status = cvm_session_import_options(session, NULL, &options, err);
    if (status == CVM_OK) {
        options.on_progress = NULL;
        status = cvm_pool_create(1, &pool, err);
    }
    if (status == CVM_OK) {
        struct cvm_import_work work = {writer, catalogue, &options, pool, &session->context};
        status = cvm_event_batch_import(records->batch, &work, records->name, out_report, err);
    }
    cvm_pool_destroy(pool);
    return status;
}
