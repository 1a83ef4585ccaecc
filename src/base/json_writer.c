#include "base/json_writer.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define DEPTH_MAX         ((int)(sizeof(((struct cvm_json_writer *)0)->needs_comma)))
#define REPLACEMENT       "\xEF\xBF\xBD" /* U+FFFD */
#define MICRO_PER_UNIT    1000000u
#define MICRO_DIGITS      6
#define MICRO_TEXT_SIZE   32
#define UTF8_SEQUENCE_MAX 4

void cvm_json_init(struct cvm_json_writer *writer, struct cvm_text *out, bool pretty)
{
    memset(writer, 0, sizeof(*writer));
    writer->out = out;
    writer->pretty = pretty;
}

static void break_line(struct cvm_json_writer *writer)
{
    if (!writer->pretty) {
        return;
    }
    cvm_text_add_char(writer->out, '\n');
    for (int i = 0; i < writer->depth; i++) {
        cvm_text_add_bytes(writer->out, "  ", 2);
    }
}

/* What stands before an element or a key. */
static void begin_item(struct cvm_json_writer *writer)
{
    if (writer->depth == 0) {
        return;
    }
    int level = writer->depth <= DEPTH_MAX ? writer->depth : DEPTH_MAX;
    if (writer->needs_comma[level - 1]) {
        cvm_text_add_char(writer->out, ',');
    }
    writer->needs_comma[level - 1] = true;
    break_line(writer);
}

static void begin_value(struct cvm_json_writer *writer)
{
    if (writer->after_key) {
        writer->after_key = false;
        return;
    }
    begin_item(writer);
}

static void open_container(struct cvm_json_writer *writer, char bracket)
{
    begin_value(writer);
    cvm_text_add_char(writer->out, bracket);
    writer->depth++;
    if (writer->depth > DEPTH_MAX) {
        writer->out->failed = true; /* nested deeper than anything we can read back */
        return;
    }
    writer->needs_comma[writer->depth - 1] = false;
}

static void close_container(struct cvm_json_writer *writer, char bracket)
{
    assert(writer->depth > 0);
    bool has_items = writer->depth <= DEPTH_MAX && writer->needs_comma[writer->depth - 1];
    writer->depth--;
    if (has_items) {
        break_line(writer);
    }
    cvm_text_add_char(writer->out, bracket);
}

void cvm_json_object(struct cvm_json_writer *writer)
{
    open_container(writer, '{');
}

void cvm_json_object_end(struct cvm_json_writer *writer)
{
    close_container(writer, '}');
}

void cvm_json_array(struct cvm_json_writer *writer)
{
    open_container(writer, '[');
}

void cvm_json_array_end(struct cvm_json_writer *writer)
{
    close_container(writer, ']');
}

static void add_escape(struct cvm_text *out, unsigned char c)
{
    switch (c) {
    case '"':
        cvm_text_add_bytes(out, "\\\"", 2);
        break;
    case '\\':
        cvm_text_add_bytes(out, "\\\\", 2);
        break;
    case '\n':
        cvm_text_add_bytes(out, "\\n", 2);
        break;
    case '\r':
        cvm_text_add_bytes(out, "\\r", 2);
        break;
    case '\t':
        cvm_text_add_bytes(out, "\\t", 2);
        break;
    default:
        cvm_text_add_format(out, "\\u%04x", c);
    }
}

/* Bytes of the valid UTF-8 sequence at data, 0 if there is none. */
static size_t sequence_length(const char *data, size_t left)
{
    unsigned char lead = (unsigned char)data[0];
    size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : UTF8_SEQUENCE_MAX;
    return length <= left && cvm_utf8_is_valid(data, length) ? length : 0;
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

static void add_quoted(struct cvm_text *out, const char *value, size_t length)
{
    bool is_valid = cvm_utf8_is_valid(value, length);
    size_t run = 0; /* start of the bytes that can be copied as they are */
    size_t i = 0;

    cvm_text_add_char(out, '"');
    while (i < length) {
        unsigned char c = (unsigned char)value[i];
        size_t size = c < 0x80 || is_valid ? 1 : sequence_length(value + i, length - i);
        if (is_plain(c) && size > 0) {
            i += size;
            continue;
        }
        cvm_text_add_bytes(out, value + run, i - run);
        if (is_plain(c)) {
            cvm_text_add(out, REPLACEMENT);
        } else {
            add_escape(out, c);
        }
        i++;
        run = i;
    }
    cvm_text_add_bytes(out, value + run, length - run);
    cvm_text_add_char(out, '"');
}

void cvm_json_key(struct cvm_json_writer *writer, const char *key)
{
    begin_item(writer);
    add_quoted(writer->out, key, strlen(key));
    cvm_text_add(writer->out, writer->pretty ? ": " : ":");
    writer->after_key = true;
}

void cvm_json_string(struct cvm_json_writer *writer, const char *value)
{
    if (value == NULL) {
        cvm_json_null(writer);
        return;
    }
    cvm_json_string_n(writer, value, strlen(value));
}

void cvm_json_string_n(struct cvm_json_writer *writer, const char *value, size_t length)
{
    begin_value(writer);
    add_quoted(writer->out, value, length);
}

void cvm_json_int(struct cvm_json_writer *writer, int64_t value)
{
    begin_value(writer);
    cvm_text_add_int(writer->out, value);
}

void cvm_json_double(struct cvm_json_writer *writer, double value)
{
    if (!isfinite(value)) {
        cvm_json_null(writer);
        return;
    }
    begin_value(writer);
    cvm_text_add_double(writer->out, value);
}

void cvm_json_micro(struct cvm_json_writer *writer, int64_t micro)
{
    char text[MICRO_TEXT_SIZE];
    size_t at = sizeof(text);
    uint64_t left = micro < 0 ? 0 - (uint64_t)micro : (uint64_t)micro;
    uint64_t units = left / MICRO_PER_UNIT;
    uint64_t fraction = left % MICRO_PER_UNIT;

    if (fraction != 0) {
        int digits = MICRO_DIGITS;
        for (; fraction % 10 == 0; digits--) {
            fraction /= 10;
        }
        for (; digits > 0; digits--) {
            text[--at] = (char)('0' + fraction % 10);
            fraction /= 10;
        }
        text[--at] = '.';
    }
    do {
        text[--at] = (char)('0' + units % 10);
        units /= 10;
    } while (units != 0);
    if (micro < 0) {
        text[--at] = '-';
    }
    begin_value(writer);
    cvm_text_add_bytes(writer->out, text + at, sizeof(text) - at);
}

void cvm_json_bool(struct cvm_json_writer *writer, bool value)
{
    begin_value(writer);
    cvm_text_add(writer->out, value ? "true" : "false");
}

void cvm_json_null(struct cvm_json_writer *writer)
{
    begin_value(writer);
    cvm_text_add(writer->out, "null");
}

void cvm_json_raw(struct cvm_json_writer *writer, const char *json, size_t length)
{
    begin_value(writer);
    cvm_text_add_bytes(writer->out, json, length);
}

void cvm_json_key_string(struct cvm_json_writer *writer, const char *key, const char *value)
{
    cvm_json_key(writer, key);
    cvm_json_string(writer, value);
}

void cvm_json_key_int(struct cvm_json_writer *writer, const char *key, int64_t value)
{
    cvm_json_key(writer, key);
    cvm_json_int(writer, value);
}

void cvm_json_key_number(struct cvm_json_writer *writer, const char *key, int64_t number)
{
    cvm_json_key(writer, key);
    if (number == 0) {
        cvm_json_null(writer);
    } else {
        cvm_json_int(writer, number);
    }
}

void cvm_json_key_double(struct cvm_json_writer *writer, const char *key, double value)
{
    cvm_json_key(writer, key);
    cvm_json_double(writer, value);
}

void cvm_json_key_bool(struct cvm_json_writer *writer, const char *key, bool value)
{
    cvm_json_key(writer, key);
    cvm_json_bool(writer, value);
}
