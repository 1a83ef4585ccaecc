#include "base/csv.h"

#include <stdint.h>
#include <string.h>

#define BYTE_ORDER_MARK        "\xEF\xBB\xBF"
#define BYTE_ORDER_MARK_LENGTH 3

static size_t mark_length(const char *data, size_t length)
{
    bool has_mark = length >= BYTE_ORDER_MARK_LENGTH &&
                    memcmp(data, BYTE_ORDER_MARK, BYTE_ORDER_MARK_LENGTH) == 0;
    return has_mark ? BYTE_ORDER_MARK_LENGTH : 0;
}

char cvm_csv_separator(const char *header, size_t length)
{
    static const char separators[] = {',', ';', '\t'};
    size_t counts[sizeof(separators)] = {0};
    size_t best = 0;
    bool is_quoted = false;

    for (size_t i = 0; i < length && (is_quoted || header[i] != '\n'); i++) {
        if (header[i] == '"') {
            is_quoted = !is_quoted;
        }
        for (size_t s = 0; s < sizeof(separators) && !is_quoted; s++) {
            counts[s] += header[i] == separators[s];
        }
    }
    for (size_t s = 1; s < sizeof(separators); s++) {
        best = counts[s] > counts[best] ? s : best;
    }
    return separators[best];
}

/* A quote opens a field only where a field may begin; elsewhere it is a stray one, which must not
 * swallow the lines that follow. */
static bool opens_field(const char *data, size_t at, size_t start)
{
    char before = at > start ? data[at - 1] : ',';
    return before == ',' || before == ';' || before == '\t';
}

size_t cvm_csv_record_length(const char *data, size_t length, bool is_last)
{
    size_t start = mark_length(data, length);
    size_t at = start;
    size_t line_end = start;  /* of the line that holds `at`; looked for once per line */
    size_t closed = SIZE_MAX; /* after the last closing quote: a quote here is a doubled one */

    while (at < length) {
        if (at >= line_end) {
            const char *newline = memchr(data + at, '\n', length - at);
            line_end = newline == NULL ? length : (size_t)(newline - data);
        }
        const char *quote = memchr(data + at, '"', line_end - at);
        if (quote == NULL) {
            if (line_end < length) {
                return line_end + 1;
            }
            break;
        }
        size_t opening = (size_t)(quote - data);
        at = opening + 1;
        if (opening == closed || opens_field(data, opening, start)) {
            const char *closing = memchr(data + at, '"', length - at);
            if (closing == NULL) {
                break;
            }
            at = (size_t)(closing - data) + 1;
            closed = at;
        }
    }
    return is_last ? length : 0;
}

/* One record being split. */
struct splitting {
    struct cvm_arena *arena;
    const char *begin;
    const char *end; /* without the line end */
    char separator;
    size_t field; /* from 1, for messages */
    struct cvm_error *err;
};

static enum cvm_status fail_at(const struct splitting *s, const char *at, const char *what)
{
    return CVM_FAIL(s->err, CVM_E_INVALID, "CSV field %zu, byte %zu: %s", s->field,
                    (size_t)(at - s->begin), what);
}

/* Copy text[0..end) with doubled quotes made single. */
static enum cvm_status undouble(const struct splitting *s, const char *text, const char *end,
                                struct cvm_slice *out_field)
{
    char *copy = cvm_arena_alloc_raw(s->arena, (size_t)(end - text), 1);
    size_t length = 0;
    if (copy == NULL) {
        return CVM_FAIL(s->err, CVM_E_LIMIT, "no memory for CSV field %zu", s->field);
    }
    while (text < end) {
        const char *quote = memchr(text, '"', (size_t)(end - text));
        size_t run = (size_t)((quote == NULL ? end : quote + 1) - text);
        memcpy(copy + length, text, run);
        length += run;
        text += run + (quote != NULL ? 1 : 0);
    }
    *out_field = (struct cvm_slice){copy, length};
    return CVM_OK;
}

/* `at` is the opening quote; *out_next is the byte after the closing one. */
static enum cvm_status read_quoted(const struct splitting *s, const char *at, const char **out_next,
                                   struct cvm_slice *out_field)
{
    const char *text = at + 1;
    const char *p = text;
    bool has_doubled = false;

    for (;;) {
        p = memchr(p, '"', (size_t)(s->end - p));
        if (p == NULL) {
            return fail_at(s, at, "quote is never closed");
        }
        if (p + 1 == s->end || p[1] != '"') {
            break;
        }
        has_doubled = true;
        p += 2;
    }
    if (p + 1 < s->end && p[1] != s->separator) {
        return fail_at(s, p + 1, "text after the closing quote");
    }
    *out_next = p + 1;
    if (has_doubled) {
        return undouble(s, text, p, out_field);
    }
    *out_field = (struct cvm_slice){text, (size_t)(p - text)};
    return CVM_OK;
}

static enum cvm_status read_unquoted(const struct splitting *s, const char *at,
                                     const char **out_next, struct cvm_slice *out_field)
{
    const char *next = memchr(at, s->separator, (size_t)(s->end - at));
    next = next == NULL ? s->end : next;
    const char *quote = memchr(at, '"', (size_t)(next - at));
    if (quote != NULL) {
        return fail_at(s, quote, "stray quote");
    }
    *out_next = next;
    *out_field = (struct cvm_slice){at, (size_t)(next - at)};
    return CVM_OK;
}

/* Without quotes every separator counts; fields are short, so a plain loop beats memchr. */
static size_t split_plain(const struct splitting *s, struct cvm_slice *fields)
{
    const char *start = s->begin;
    size_t count = 0;
    for (const char *p = s->begin; p < s->end; p++) {
        if (*p == s->separator) {
            fields[count++] = (struct cvm_slice){start, (size_t)(p - start)};
            start = p + 1;
        }
    }
    fields[count++] = (struct cvm_slice){start, (size_t)(s->end - start)};
    return count;
}

static enum cvm_status split_quoted(struct splitting *s, struct cvm_slice *fields,
                                    size_t *out_count)
{
    const char *at = s->begin;
    for (size_t count = 0;; count++) {
        s->field = count + 1;
        bool is_quoted = at < s->end && *at == '"';
        enum cvm_status status = is_quoted ? read_quoted(s, at, &at, &fields[count])
                                           : read_unquoted(s, at, &at, &fields[count]);
        if (status != CVM_OK) {
            return status;
        }
        if (at == s->end) {
            *out_count = count + 1;
            return CVM_OK;
        }
        at++; /* the separator */
    }
}

static enum cvm_status check_bytes(const struct splitting *s)
{
    size_t length = (size_t)(s->end - s->begin);
    const char *nul = memchr(s->begin, '\0', length);
    if (nul != NULL) {
        return CVM_FAIL(s->err, CVM_E_INVALID, "CSV byte %zu: NUL byte", (size_t)(nul - s->begin));
    }
    if (!cvm_utf8_is_valid(s->begin, length)) {
        return CVM_FAIL(s->err, CVM_E_INVALID, "CSV record holds invalid UTF-8");
    }
    return CVM_OK;
}

enum cvm_status cvm_csv_split(struct cvm_arena *arena, const char *record, size_t length,
                              char separator, struct cvm_slice **out_fields, size_t *out_count,
                              struct cvm_error *err)
{
    size_t mark = mark_length(record, length);
    if (length > mark && record[length - 1] == '\n') {
        length--;
    }
    if (length > mark && record[length - 1] == '\r') {
        length--;
    }
    struct splitting s = {.arena = arena,
                          .begin = record + mark,
                          .end = record + length,
                          .separator = separator,
                          .err = err};
    enum cvm_status status = check_bytes(&s);
    if (status != CVM_OK) {
        return status;
    }
    size_t capacity = 1; /* quoted separators are counted too: an upper bound */
    for (const char *p = s.begin; p < s.end; p++) {
        capacity += *p == separator;
    }
    struct cvm_slice *fields = cvm_arena_alloc_raw(arena, capacity, sizeof(*fields));
    if (fields == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a CSV record of %zu fields", capacity);
    }
    if (memchr(s.begin, '"', (size_t)(s.end - s.begin)) == NULL) {
        *out_count = split_plain(&s, fields);
    } else {
        status = split_quoted(&s, fields, out_count);
        if (status != CVM_OK) {
            return status;
        }
    }
    *out_fields = fields;
    return CVM_OK;
}

static bool needs_quotes(const char *field, size_t length, char separator)
{
    if (mark_length(field, length) > 0) {
        return true; /* would be taken for a byte-order mark */
    }
    for (size_t i = 0; i < length; i++) {
        char c = field[i];
        if (c == separator || c == '"' || c == '\n' || c == '\r') {
            return true;
        }
    }
    return false;
}

void cvm_csv_add_field(struct cvm_text *out, const char *field, size_t length, char separator)
{
    if (!needs_quotes(field, length, separator)) {
        cvm_text_add_bytes(out, field, length);
        return;
    }
    cvm_text_add_char(out, '"');
    while (length > 0) {
        const char *quote = memchr(field, '"', length);
        size_t run = quote == NULL ? length : (size_t)(quote - field) + 1;
        cvm_text_add_bytes(out, field, run);
        if (quote != NULL) {
            cvm_text_add_char(out, '"');
        }
        field += run;
        length -= run;
    }
    cvm_text_add_char(out, '"');
}
