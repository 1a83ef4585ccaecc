/* log.h - an event name plus typed fields, one line each, as text or JSON. No format strings.
 *
 * A function either returns an error or logs it, never both. Customer attributes, prompts and keys
 * are never fields. Thread safe: one line is one write.
 */
#ifndef CVM_BASE_LOG_H
#define CVM_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/context.h"

enum cvm_log_level { CVM_LOG_DEBUG, CVM_LOG_INFO, CVM_LOG_WARN, CVM_LOG_ERROR };

struct cvm_log_field {
    const char *name;
    enum { CVM_FIELD_TEXT, CVM_FIELD_INT, CVM_FIELD_DOUBLE } type;
    const char *text;
    int64_t integer;
    double number;
};
#define CVM_TEXT(field, value)                                                                     \
    ((struct cvm_log_field){.name = (field), .type = CVM_FIELD_TEXT, .text = (value)})
#define CVM_INT(field, value)                                                                      \
    ((struct cvm_log_field){.name = (field), .type = CVM_FIELD_INT, .integer = (value)})
#define CVM_DOUBLE(field, value)                                                                   \
    ((struct cvm_log_field){.name = (field), .type = CVM_FIELD_DOUBLE, .number = (value)})

struct cvm_log;

struct cvm_log_options {
    FILE *stream;             /* borrowed */
    enum cvm_log_level level; /* lines below it are dropped */
    bool as_json;
    struct cvm_clock clock;
};
struct cvm_log *cvm_log_create(const struct cvm_log_options *options); /* NULL when out of memory */
void cvm_log_destroy(struct cvm_log *log);

bool cvm_log_level_from_name(const char *name, enum cvm_log_level *out_level);
/* log may be NULL. */
void cvm_log_write(struct cvm_log *log, enum cvm_log_level level, const char *event,
                   const struct cvm_log_field *fields, size_t field_count);
#define CVM_LOG(log, level, event, ...)                                                            \
    cvm_log_write((log), (level), (event), (struct cvm_log_field[]){__VA_ARGS__},                  \
                  sizeof((struct cvm_log_field[]){__VA_ARGS__}) / sizeof(struct cvm_log_field))

#endif
