#include "storage/import_split.h"

#include <string.h>

void cvm_splitter_init(struct cvm_splitter *splitter, bool is_array, size_t record_bytes_max)
{
    memset(splitter, 0, sizeof(*splitter));
    splitter->is_array = is_array;
    splitter->record_bytes_max = record_bytes_max;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

struct splitting {
    struct cvm_splitter *splitter;
    char *out;
    size_t *out_length;
};

/* Bytes beyond the limit are counted only. */
static void copy(struct splitting *s, const char *from, size_t count)
{
    struct cvm_splitter *splitter = s->splitter;
    size_t kept = splitter->record_bytes;
    size_t room = splitter->record_bytes_max + 1 -
                  (kept < splitter->record_bytes_max + 1 ? kept : splitter->record_bytes_max + 1);
    size_t part = count < room ? count : room;
    memcpy(s->out + *s->out_length, from, part);
    *s->out_length += part;
    splitter->record_bytes += count;
}

static void copy_char(struct splitting *s, char c)
{
    copy(s, &c, 1);
}

/* Inside a string, from in[at) to its end or that of the input; the place after it. */
static size_t copy_string(struct splitting *s, const char *in, size_t length, size_t at)
{
    struct cvm_splitter *splitter = s->splitter;
    while (at < length && splitter->in_string) {
        size_t run = at;
        if (splitter->is_escaped) {
            splitter->is_escaped = false;
            copy_char(s, in[at] == '\n' ? '\x01' : in[at]);
            at++;
            continue;
        }
        while (run < length && in[run] != '"' && in[run] != '\\' && in[run] != '\n') {
            run++;
        }
        copy(s, in + at, run - at);
        at = run;
        if (at == length) {
            break;
        }
        splitter->is_escaped = in[at] == '\\';
        splitter->in_string = in[at] != '"';
        copy_char(s, in[at] == '\n' ? '\x01' : in[at]);
        at++;
    }
    return at;
}

/* One byte outside strings. False if brackets do not match. */
static bool take_structure(struct splitting *s, char c)
{
    struct cvm_splitter *splitter = s->splitter;
    if (c == '{' || c == '[') {
        if (splitter->depth < CVM_SPLIT_LEVELS) {
            splitter->brackets[splitter->depth] = c == '{' ? '}' : ']';
        }
        splitter->depth++;
    } else if (c == '}' || c == ']') {
        if (splitter->depth == 0) {
            return false;
        }
        splitter->depth--;
        if (splitter->depth < CVM_SPLIT_LEVELS &&
            splitter->brackets[splitter->depth] != (uint8_t)c) {
            return false;
        }
    } else if (c == '"') {
        splitter->in_string = true;
    }
    copy_char(s, c == '\n' || c == '\r' ? ' ' : c);
    return true;
}

static enum cvm_split_result finish_record(struct cvm_splitter *splitter)
{
    splitter->phase = splitter->is_array ? CVM_SPLIT_BEHIND : CVM_SPLIT_BEFORE;
    return splitter->record_bytes > splitter->record_bytes_max ? CVM_SPLIT_LONG : CVM_SPLIT_RECORD;
}

/* Bytes that neither open nor close anything, in one go. */
static size_t plain_run(const char *in, size_t length, size_t at)
{
    while (at < length && in[at] != '"' && in[at] != '{' && in[at] != '}' && in[at] != '[' &&
           in[at] != ']' && in[at] != '\n' && in[at] != '\r') {
        at++;
    }
    return at;
}

static enum cvm_split_result inside(struct splitting *s, const char *in, size_t length, size_t *at)
{
    struct cvm_splitter *splitter = s->splitter;
    while (*at < length) {
        if (splitter->in_string) {
            *at = copy_string(s, in, length, *at);
            if (!splitter->in_string && splitter->depth == 0) {
                return finish_record(splitter);
            }
            continue;
        }
        if (splitter->is_scalar) { /* a number or word where a record should be: up to its end */
            if (is_space(in[*at]) || in[*at] == ',' || in[*at] == ']' || in[*at] == '}') {
                return finish_record(splitter);
            }
            copy_char(s, in[(*at)++]);
            continue;
        }
        if (splitter->depth > 0) {
            size_t run = plain_run(in, length, *at);
            copy(s, in + *at, run - *at);
            *at = run;
            if (run == length) {
                break;
            }
        }
        if (!take_structure(s, in[*at])) {
            return CVM_SPLIT_BROKEN;
        }
        (*at)++;
        if (splitter->depth == 0 && !splitter->in_string) {
            return finish_record(splitter);
        }
    }
    return CVM_SPLIT_MORE;
}

/* Between records. */
static enum cvm_split_result outside(struct cvm_splitter *splitter, char c, size_t *at)
{
    if (is_space(c)) {
        (*at)++;
        return CVM_SPLIT_MORE;
    }
    if (splitter->is_array && c == ']') {
        (*at)++;
        splitter->phase = CVM_SPLIT_CLOSED;
        return CVM_SPLIT_END;
    }
    if (splitter->phase == CVM_SPLIT_BEHIND || (splitter->is_array && c == ',')) {
        bool is_expected = splitter->phase == CVM_SPLIT_BEHIND && c == ',';
        *at += is_expected;
        splitter->phase = CVM_SPLIT_BEFORE;
        return is_expected ? CVM_SPLIT_MORE : CVM_SPLIT_BROKEN;
    }
    splitter->phase = CVM_SPLIT_INSIDE;
    splitter->depth = 0;
    splitter->record_bytes = 0;
    splitter->is_scalar = c != '{' && c != '[' && c != '"';
    if (c == '}' || c == ']' || c == ',') {
        return CVM_SPLIT_BROKEN;
    }
    return CVM_SPLIT_MORE;
}

enum cvm_split_result cvm_split(struct cvm_splitter *splitter, const char *in, size_t length,
                                size_t *at, char *out, size_t *out_length)
{
    struct splitting s = {.splitter = splitter, .out = out, .out_length = out_length};
    while (*at < length) {
        enum cvm_split_result result = splitter->phase == CVM_SPLIT_INSIDE
                                           ? inside(&s, in, length, at)
                                           : outside(splitter, in[*at], at);
        if (result != CVM_SPLIT_MORE) {
            return result;
        }
    }
    return CVM_SPLIT_MORE;
}
