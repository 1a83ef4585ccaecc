#include "cli/json_file.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/suggest.h"

#define SHOWN_MAX 40

static int line_at(const char *text, size_t offset)
{
    int line = 1;
    const char *end = text + offset;
    for (const char *p = text; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++) {
        line++;
    }
    return line;
}

int cvm_json_file_line(const struct cvm_json_file *file, const struct cvm_json_value *value)
{
    return line_at(file->text, (size_t)(value->raw.data - file->text));
}

enum cvm_status cvm_json_file_fail(const struct cvm_json_file *file,
                                   const struct cvm_json_value *value, struct cvm_error *err,
                                   const char *format, ...)
{
    char message[sizeof(((struct cvm_error *)0)->message)];
    va_list arguments;
    va_start(arguments, format);
    (void)!vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "%s", message);
    return cvm_error_where(err, status, "%s:%d", file->name, cvm_json_file_line(file, value));
}

/* The reader wants room behind the text, and slices of the tree must point into what line_at()
 * counts in. */
static enum cvm_status parse(struct cvm_json_file *file, struct cvm_slice text,
                             struct cvm_error *err)
{
    char *copy = cvm_arena_alloc_raw(file->arena, text.length + CVM_JSON_PADDING, 1);
    struct cvm_json_reader *reader = cvm_json_reader_create(text.length);
    enum cvm_status status = CVM_OK;
    if (copy == NULL || reader == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory to read '%s'", file->name);
    } else {
        if (text.length > 0) {
            memcpy(copy, text.data, text.length);
        }
        memset(copy + text.length, ' ', CVM_JSON_PADDING);
        file->text = copy;
        file->length = text.length;
        status = cvm_json_read(reader, file->arena, copy, text.length, true, &file->root, err);
        if (status == CVM_E_INVALID) {
            (void)cvm_error_where(err, status, "%s:%d", file->name,
                                  line_at(copy, cvm_json_fault_offset(reader)));
        }
    }
    cvm_json_reader_destroy(reader);
    return status;
}

enum cvm_status cvm_json_file_parse(struct cvm_arena *arena, const char *name,
                                    struct cvm_slice text, struct cvm_json_file *out_file,
                                    struct cvm_error *err)
{
    struct cvm_json_file file = {.arena = arena, .name = name};
    enum cvm_status status = parse(&file, text, err);
    if (status == CVM_OK) {
        *out_file = file;
    }
    return status;
}

enum cvm_status cvm_json_file_read(struct cvm_arena *arena, const char *path, size_t bytes_max,
                                   struct cvm_json_file *out_file, struct cvm_error *err)
{
    char *data = NULL;
    size_t length = 0;
    enum cvm_status status = cvm_file_read(arena, path, bytes_max, &data, &length, err);
    return status == CVM_OK
               ? cvm_json_file_parse(arena, path, (struct cvm_slice){data, length}, out_file, err)
               : status;
}

static enum cvm_status fail_unknown(const struct cvm_json_file *file,
                                    const struct cvm_json_value *member, const char *what,
                                    const char *const *keys, struct cvm_error *err)
{
    char key[64];
    struct cvm_suggestion suggestion = {.typed = key};
    (void)!snprintf(key, sizeof(key), "%.*s", (int)member->key.length, member->key.data);
    for (size_t k = 0; keys[k] != NULL; k++) {
        cvm_suggestion_try(&suggestion, keys[k]);
    }
    enum cvm_status status =
        cvm_json_file_fail(file, member, err, "%s has the unknown key '%s'", what, key);
    if (suggestion.best != NULL) {
        return cvm_error_hint(err, status, "Did you mean '%s'?", suggestion.best);
    }
    return cvm_error_hint(err, status, "Take it out; \"description\" holds remarks.");
}

enum cvm_status cvm_json_file_members(const struct cvm_json_file *file,
                                      const struct cvm_json_value *object, const char *what,
                                      const char *const *keys,
                                      const struct cvm_json_value **out_found,
                                      struct cvm_error *err)
{
    if (object->type != CVM_JSON_OBJECT) {
        return cvm_json_file_fail(file, object, err, "%s is an object: {\"%s\": ...}", what,
                                  keys[0]);
    }
    for (size_t k = 0; keys[k] != NULL; k++) {
        out_found[k] = NULL;
    }
    for (const struct cvm_json_value *m = object->first_child; m != NULL; m = m->next) {
        size_t k = 0;
        while (keys[k] != NULL && !cvm_slice_equals(m->key, keys[k])) {
            k++;
        }
        if (keys[k] == NULL) {
            return fail_unknown(file, m, what, keys, err);
        }
        out_found[k] = m->type == CVM_JSON_NULL ? NULL : m;
    }
    return CVM_OK;
}

enum cvm_status cvm_json_file_text(const struct cvm_json_file *file,
                                   const struct cvm_json_value *value, const char *what,
                                   const char **out_text, struct cvm_error *err)
{
    if (value->type != CVM_JSON_STRING) {
        return cvm_json_file_fail(file, value, err, "%s is a text in double quotes", what);
    }
    if (value->string.length > 0 &&
        memchr(value->string.data, '\0', value->string.length) != NULL) {
        return cvm_json_file_fail(file, value, err, "%s holds a NUL byte", what);
    }
    const char *text = cvm_arena_copy(file->arena, value->string.data, value->string.length);
    if (text == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read '%s'", file->name);
    }
    *out_text = text;
    return CVM_OK;
}

enum cvm_status cvm_json_file_number(const struct cvm_json_file *file,
                                     const struct cvm_json_value *value, const char *what,
                                     struct cvm_json_range range, double *out_number,
                                     struct cvm_error *err)
{
    bool is_number = value->type == CVM_JSON_INT || value->type == CVM_JSON_DOUBLE;
    bool is_good = is_number && value->number >= range.min && value->number <= range.max &&
                   (!range.is_whole || value->number == floor(value->number));
    if (!is_good) {
        bool is_scalar = value->type != CVM_JSON_ARRAY && value->type != CVM_JSON_OBJECT;
        int shown = value->raw.length < SHOWN_MAX ? (int)value->raw.length : SHOWN_MAX;
        return cvm_json_file_fail(file, value, err,
                                  "%s is %.*s: a %snumber from %.15g to %.15g is allowed", what,
                                  is_scalar ? shown : 6, is_scalar ? value->raw.data : "a list",
                                  range.is_whole ? "whole " : "", range.min, range.max);
    }
    *out_number = value->number;
    return CVM_OK;
}
