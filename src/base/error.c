#include "base/error.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* A message that was cut ends in "...", and never in half a UTF-8 character. */
static void mark_cut(char *text, size_t size)
{
    size_t at = size - 4;
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80) {
        at--;
    }
    memcpy(text + at, "...", 4);
}

static void format_into(char *text, size_t size, const char *format, va_list args)
{
    int length = vsnprintf(text, size, format, args);
    if (length < 0) {
        text[0] = '\0';
    } else if ((size_t)length >= size) {
        mark_cut(text, size);
    }
}

enum cvm_status cvm_error_set(struct cvm_error *err, enum cvm_status status, const char *file,
                              int line, const char *format, ...)
{
    if (err == NULL) {
        return status;
    }
    /* Formatted aside first: the arguments may point into *err itself. */
    char message[sizeof(err->message)];
    va_list args;
    va_start(args, format);
    format_into(message, sizeof(message), format, args);
    va_end(args);

    err->status = status;
    err->file = file;
    err->line = line;
    memcpy(err->message, message, sizeof(message));
    err->where[0] = '\0';
    err->hint[0] = '\0';
    return status;
}

enum cvm_status cvm_error_context(struct cvm_error *err, enum cvm_status status, const char *format,
                                  ...)
{
    if (err == NULL) {
        return status;
    }
    char context[sizeof(err->message)];
    va_list args;
    va_start(args, format);
    format_into(context, sizeof(context), format, args);
    va_end(args);

    char lower[sizeof(err->message)];
    memcpy(lower, err->message, sizeof(lower));
    size_t size = sizeof(err->message);
    size_t used = strlen(context);
    memcpy(err->message, context, used + 1);
    size_t room = size - used;
    int length = snprintf(err->message + used, room, ": %s", lower);
    if (length >= 0 && (size_t)length >= room) {
        mark_cut(err->message, size);
    }
    return status;
}

enum cvm_status cvm_error_where(struct cvm_error *err, enum cvm_status status, const char *format,
                                ...)
{
    if (err == NULL) {
        return status;
    }
    char where[sizeof(err->where)];
    va_list args;
    va_start(args, format);
    format_into(where, sizeof(where), format, args);
    va_end(args);
    memcpy(err->where, where, sizeof(where));
    return err->status;
}

enum cvm_status cvm_error_hint(struct cvm_error *err, enum cvm_status status, const char *format,
                               ...)
{
    if (err == NULL) {
        return status;
    }
    char hint[sizeof(err->hint)];
    va_list args;
    va_start(args, format);
    format_into(hint, sizeof(hint), format, args);
    va_end(args);
    memcpy(err->hint, hint, sizeof(hint));
    return err->status;
}
