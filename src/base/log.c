#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "base/json_writer.h"
#include "base/text.h"

#define LINE_BYTES_MAX ((size_t)64 << 10)

static const char *const level_names[] = {"debug", "info", "warn", "error"};

struct cvm_log {
    pthread_mutex_t lock; /* held over fwrite() and fflush(), so that one line is one write */
    struct cvm_log_options options;
};

struct cvm_log *cvm_log_create(const struct cvm_log_options *options)
{
    struct cvm_log *log = calloc(1, sizeof(*log));
    if (log != NULL) {
        (void)pthread_mutex_init(&log->lock, NULL); /* on Linux only fills the struct */
        log->options = *options;
    }
    return log;
}

void cvm_log_destroy(struct cvm_log *log)
{
    if (log != NULL) {
        (void)pthread_mutex_destroy(&log->lock);
        free(log);
    }
}

bool cvm_log_level_from_name(const char *name, enum cvm_log_level *out_level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out_level = (enum cvm_log_level)i;
            return true;
        }
    }
    return false;
}

/* "2024-03-20T11:22:33.456Z" */
static void format_time(int64_t now_ms, char text[CVM_MOMENT_TEXT_SIZE + 4])
{
    (void)cvm_moment_format(now_ms, text);
    int ms = (int)((now_ms % 1000 + 1000) % 1000);
    size_t length = strlen(text) - 1; /* without the Z */
    (void)snprintf(text + length, 6, ".%03dZ", ms);
}

static void write_json(struct cvm_text *line, const char *time, const char *level,
                       const char *event, const struct cvm_log_field *fields, size_t field_count)
{
    struct cvm_json_writer json;
    cvm_json_init(&json, line, false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "time", time);
    cvm_json_key_string(&json, "level", level);
    cvm_json_key_string(&json, "event", event);
    for (size_t i = 0; i < field_count; i++) {
        const struct cvm_log_field *field = &fields[i];
        switch (field->type) {
        case CVM_FIELD_TEXT:
            cvm_json_key_string(&json, field->name, field->text);
            break;
        case CVM_FIELD_INT:
            cvm_json_key_int(&json, field->name, field->integer);
            break;
        case CVM_FIELD_DOUBLE:
            cvm_json_key_double(&json, field->name, field->number);
            break;
        }
    }
    cvm_json_object_end(&json);
}

/* Text that could be taken for something else, or break the line, becomes a JSON string. */
static void add_value(struct cvm_text *line, const char *value)
{
    bool is_plain = value[0] != '\0';
    for (const char *at = value; *at != '\0' && is_plain; at++) {
        unsigned char c = (unsigned char)*at;
        is_plain = c > ' ' && c != '"' && c != '=' && c != '\\' && c != 0x7F;
    }
    if (is_plain && cvm_utf8_is_valid(value, strlen(value))) {
        cvm_text_add(line, value);
        return;
    }
    struct cvm_json_writer json;
    cvm_json_init(&json, line, false);
    cvm_json_string(&json, value);
}

static void write_text(struct cvm_text *line, const char *time, const char *level,
                       const char *event, const struct cvm_log_field *fields, size_t field_count)
{
    cvm_text_add_format(line, "%s %s event=", time, level);
    add_value(line, event);
    for (size_t i = 0; i < field_count; i++) {
        const struct cvm_log_field *field = &fields[i];
        cvm_text_add_char(line, ' ');
        cvm_text_add(line, field->name);
        cvm_text_add_char(line, '=');
        switch (field->type) {
        case CVM_FIELD_TEXT:
            add_value(line, field->text == NULL ? "" : field->text);
            break;
        case CVM_FIELD_INT:
            cvm_text_add_int(line, field->integer);
            break;
        case CVM_FIELD_DOUBLE:
            cvm_text_add_double(line, field->number);
            break;
        }
    }
}

void cvm_log_write(struct cvm_log *log, enum cvm_log_level level, const char *event,
                   const struct cvm_log_field *fields, size_t field_count)
{
    if (log == NULL || level < log->options.level || level > CVM_LOG_ERROR) {
        return;
    }
    char time[CVM_MOMENT_TEXT_SIZE + 4];
    format_time(log->options.clock.now_ms(log->options.clock.state), time);

    struct cvm_text line;
    cvm_text_init(&line, LINE_BYTES_MAX);
    if (log->options.as_json) {
        write_json(&line, time, level_names[level], event, fields, field_count);
    } else {
        write_text(&line, time, level_names[level], event, fields, field_count);
    }
    if (line.failed) { /* too long, or no memory: that it happened is still worth a line */
        cvm_text_clear(&line);
        if (log->options.as_json) {
            write_json(&line, time, level_names[level], event, NULL, 0);
        } else {
            write_text(&line, time, level_names[level], event, NULL, 0);
        }
    }
    cvm_text_add_char(&line, '\n');
    /* A log that cannot be written has nowhere to say so. */
    (void)pthread_mutex_lock(&log->lock);
    (void)fwrite(cvm_text_string(&line), 1, line.length, log->options.stream);
    (void)fflush(log->options.stream);
    (void)pthread_mutex_unlock(&log->lock);
    cvm_text_finish(&line);
}
