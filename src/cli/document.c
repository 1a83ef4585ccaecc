#include "cli/document.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/date.h"

void cvm_document_init(struct cvm_document *document)
{
    cvm_text_init(&document->text, 0);
    cvm_json_init(&document->json, &document->text, true);
    cvm_json_object(&document->json);
}

void cvm_document_finish(struct cvm_document *document)
{
    cvm_text_finish(&document->text);
}

enum cvm_status cvm_document_print(struct cvm_document *document, struct cvm_session *session,
                                   struct cvm_error *err)
{
    cvm_json_object_end(&document->json);
    enum cvm_status status = cvm_session_print(session, &document->text, err);
    cvm_document_finish(document);
    return status;
}

enum cvm_status cvm_document_or_table(struct cvm_document *document, struct cvm_table *table,
                                      struct cvm_session *session, enum cvm_status status,
                                      struct cvm_error *err)
{
    if (status == CVM_OK && !session->is_json) {
        table->has_colour = session->has_colour;
        cvm_table_print(table, session->out);
    } else {
        cvm_text_finish(&table->cells);
    }
    if (status == CVM_OK && session->is_json) {
        return cvm_document_print(document, session, err);
    }
    cvm_document_finish(document);
    return status;
}

void cvm_json_key_day(struct cvm_json_writer *json, const char *key, int32_t day)
{
    char text[CVM_DAY_TEXT_SIZE];
    cvm_json_key_string(json, key, day == CVM_DAY_NONE ? NULL : cvm_day_format(day, text));
}

void cvm_json_key_moment(struct cvm_json_writer *json, const char *key, int64_t moment_ms)
{
    char text[CVM_MOMENT_TEXT_SIZE];
    cvm_json_key_string(json, key, moment_ms == 0 ? NULL : cvm_moment_format(moment_ms, text));
}

void cvm_json_key_raw(struct cvm_json_writer *json, const char *key, const char *text)
{
    cvm_json_key(json, key);
    if (text == NULL || text[0] == '\0') {
        cvm_json_null(json);
    } else {
        cvm_json_raw(json, text, strlen(text));
    }
}

void cvm_json_key_object(struct cvm_json_writer *json, const char *key)
{
    cvm_json_key(json, key);
    cvm_json_object(json);
}

void cvm_json_key_array(struct cvm_json_writer *json, const char *key)
{
    cvm_json_key(json, key);
    cvm_json_array(json);
}

const char *cvm_grouped(int64_t value, char text[CVM_NUMBER_TEXT_SIZE])
{
    char digits[32];
    int length = snprintf(digits, sizeof(digits), "%lld", (long long)value);
    size_t at = 0;
    for (int i = 0; i < length; i++) {
        bool is_group = i > 0 && digits[i - 1] != '-' && (length - i) % 3 == 0;
        if (is_group) {
            text[at++] = ',';
        }
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

const char *cvm_money(double amount, char text[CVM_NUMBER_TEXT_SIZE])
{
    if (!(fabs(amount) < 1e15)) {
        (void)snprintf(text, CVM_NUMBER_TEXT_SIZE, "%g", amount);
        return text;
    }
    char whole[CVM_NUMBER_TEXT_SIZE];
    int64_t cents = (int64_t)llround(fabs(amount) * 100);
    int length =
        snprintf(text, CVM_NUMBER_TEXT_SIZE, "%s%.30s.%02d", amount < 0 && cents > 0 ? "-" : "",
                 cvm_grouped(cents / 100, whole), (int)(cents % 100));
    (void)length;
    return text;
}

void cvm_json_key_lines(struct cvm_json_writer *json, const char *key, const struct cvm_text *lines)
{
    const char *line = cvm_text_string(lines);
    cvm_json_key_array(json, key);
    while (*line != '\0') {
        size_t length = strcspn(line, "\n");
        cvm_json_string_n(json, line, length);
        line += length + (line[length] == '\n' ? 1 : 0);
    }
    cvm_json_array_end(json);
}

void cvm_lines_print(FILE *out, const char *label, const struct cvm_text *lines)
{
    const char *line = cvm_text_string(lines);
    while (*line != '\0') {
        size_t length = strcspn(line, "\n");
        fprintf(out, "%s%.*s\n", label, (int)length, line);
        line += length + (line[length] == '\n' ? 1 : 0);
    }
}

const char *cvm_span(int64_t ms, char text[CVM_NUMBER_TEXT_SIZE])
{
    if (ms < 0) {
        (void)snprintf(text, CVM_NUMBER_TEXT_SIZE, "-");
    } else if (ms < 1000) {
        (void)snprintf(text, CVM_NUMBER_TEXT_SIZE, "%" PRId64 " ms", ms);
    } else if (ms < 120000) {
        (void)snprintf(text, CVM_NUMBER_TEXT_SIZE, "%.1f s", (double)ms / 1000);
    } else {
        (void)snprintf(text, CVM_NUMBER_TEXT_SIZE, "%.1f min", (double)ms / 60000);
    }
    return text;
}
