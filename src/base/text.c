#include "base/text.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_double.h"

#define LIMIT_DEFAULT  ((size_t)1 << 30)
#define CAPACITY_FIRST 256

void cvm_text_init(struct cvm_text *text, size_t limit_bytes)
{
    *text = (struct cvm_text){.limit_bytes = limit_bytes == 0 ? LIMIT_DEFAULT : limit_bytes};
}

void cvm_text_finish(struct cvm_text *text)
{
    if (text != NULL) {
        free(text->data);
        *text = (struct cvm_text){.limit_bytes = text->limit_bytes};
    }
}

void cvm_text_clear(struct cvm_text *text)
{
    text->length = 0;
    text->failed = false;
    if (text->data != NULL) {
        text->data[0] = '\0';
    }
}

const char *cvm_text_string(const struct cvm_text *text)
{
    return text->data == NULL ? "" : text->data;
}

static bool grow(struct cvm_text *text, size_t more)
{
    if (text->failed || more > text->limit_bytes || text->length > text->limit_bytes - more) {
        text->failed = true;
        return false;
    }
    size_t needed = text->length + more + 1;
    size_t capacity = text->capacity == 0 ? CAPACITY_FIRST : text->capacity;
    while (capacity < needed) {
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    }
    char *data = realloc(text->data, capacity);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

/* Where `more` further bytes and the '\0' may be written; NULL after a failure. */
static inline char *reserve(struct cvm_text *text, size_t more)
{
    bool has_room = !text->failed && text->capacity > more &&
                    text->length < text->capacity - more && text->limit_bytes >= more &&
                    text->length <= text->limit_bytes - more;
    return has_room || grow(text, more) ? text->data + text->length : NULL;
}

void cvm_text_add_bytes(struct cvm_text *text, const void *bytes, size_t length)
{
    char *at = reserve(text, length);
    if (at != NULL) {
        if (length > 0) {
            memcpy(at, bytes, length);
        }
        at[length] = '\0';
        text->length += length;
    }
}

void cvm_text_add(struct cvm_text *text, const char *string)
{
    cvm_text_add_bytes(text, string, strlen(string));
}

void cvm_text_add_char(struct cvm_text *text, char c)
{
    cvm_text_add_bytes(text, &c, 1);
}

void cvm_text_add_format(struct cvm_text *text, const char *format, ...)
{
    char small[256];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (length < 0) {
        text->failed = true;
        return;
    }
    if ((size_t)length < sizeof(small)) {
        cvm_text_add_bytes(text, small, (size_t)length);
        return;
    }
    char *at = reserve(text, (size_t)length);
    if (at != NULL) {
        va_start(args, format);
        (void)vsnprintf(at, (size_t)length + 1, format, args);
        va_end(args);
        text->length += (size_t)length;
    }
}

/* The digits of value, ending at `end`; returns the first. */
static char *put_unsigned(char *end, uint64_t value)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return end;
}

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

void cvm_text_add_int(struct cvm_text *text, int64_t value)
{
    char digits[24];
    char *end = digits + sizeof(digits);
    char *at = put_unsigned(end, magnitude(value));
    if (value < 0) {
        *--at = '-';
    }
    cvm_text_add_bytes(text, at, (size_t)(end - at));
}

void cvm_text_add_grouped(struct cvm_text *text, int64_t value)
{
    char digits[24];
    char *end = digits + sizeof(digits);
    char *at = put_unsigned(end, magnitude(value));
    if (value < 0) {
        cvm_text_add_char(text, '-');
    }
    for (; at < end; at++) {
        cvm_text_add_bytes(text, at, 1);
        if (end - at > 1 && (end - at - 1) % 3 == 0) {
            cvm_text_add_char(text, ',');
        }
    }
}

/* Whole hundredths: a decimal of up to 15 digits that divides back to the same double is its
 * shortest one, because no two of them share a double. */
static bool add_hundredths(struct cvm_text *text, double value)
{
    if (!(fabs(value) < 1e12) || (value == 0.0 && signbit(value))) {
        return false;
    }
    int64_t hundredths = (int64_t)(value * 100.0 + (value < 0 ? -0.5 : 0.5));
    if ((double)hundredths / 100.0 != value) {
        return false;
    }
    char digits[24];
    char *end = digits + sizeof(digits);
    uint64_t size = magnitude(hundredths);
    unsigned cents = (unsigned)(size % 100);
    char *at = end;
    if (cents % 10 != 0) {
        *--at = (char)('0' + cents % 10);
    }
    if (cents != 0) {
        *--at = (char)('0' + cents / 10);
        *--at = '.';
    }
    at = put_unsigned(at, size / 100);
    if (hundredths < 0) {
        *--at = '-';
    }
    cvm_text_add_bytes(text, at, (size_t)(end - at));
    return true;
}

static void add_zeros(struct cvm_text *text, int count)
{
    for (int i = 0; i < count; i++) {
        cvm_text_add_char(text, '0');
    }
}

/* Of "e+XX" or "e-XX". */
static int read_exponent(const char *at)
{
    if (at[0] == '\0' || at[1] == '\0') {
        return 0;
    }
    int value = 0;
    for (const char *digit = at + 2; *digit != '\0'; digit++) {
        value = value * 10 + (*digit - '0');
    }
    return at[1] == '-' ? -value : value;
}

/* 0.ddd, ddd.ddd or ddd000 from 1e-4 up to 1e16, d.ddde+XX elsewhere: as Python prints them. */
static void add_shortest(struct cvm_text *text, double value)
{
    char raw[40];
    char digits[24];
    size_t length = cvm_double_scientific(value, raw, sizeof(raw) - 1);
    raw[length] = '\0';
    const char *at = raw;
    if (*at == '-') {
        cvm_text_add_char(text, '-');
        at++;
    }
    int count = 0;
    for (; *at != 'e' && *at != '\0' && count < 20; at++) {
        if (*at != '.') {
            digits[count++] = *at;
        }
    }
    int exponent = read_exponent(at);
    if (exponent < -4 || exponent >= 16) {
        cvm_text_add(text, raw[0] == '-' ? raw + 1 : raw);
    } else if (exponent < 0) {
        cvm_text_add(text, "0.");
        add_zeros(text, -exponent - 1);
        cvm_text_add_bytes(text, digits, (size_t)count);
    } else if (count <= exponent + 1) {
        cvm_text_add_bytes(text, digits, (size_t)count);
        add_zeros(text, exponent + 1 - count);
    } else {
        cvm_text_add_bytes(text, digits, (size_t)exponent + 1);
        cvm_text_add_char(text, '.');
        cvm_text_add_bytes(text, digits + exponent + 1, (size_t)(count - exponent - 1));
    }
}

void cvm_text_add_double(struct cvm_text *text, double value)
{
    if (isnan(value)) {
        cvm_text_add(text, "nan");
    } else if (isinf(value)) {
        cvm_text_add(text, value < 0 ? "-inf" : "inf");
    } else if (!add_hundredths(text, value)) {
        add_shortest(text, value);
    }
}

bool cvm_text_to_double(const char *text, size_t length, double *out_value)
{
    return cvm_double_from_decimal(text, length, out_value);
}

bool cvm_slice_equals(struct cvm_slice slice, const char *string)
{
    return strlen(string) == slice.length &&
           (slice.length == 0 || memcmp(slice.data, string, slice.length) == 0);
}

/* Length of the well-formed UTF-8 character at data[0..length), 0 if it is none (Unicode 15, table
 * 3-7: no overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t character_length(const unsigned char *data, size_t length)
{
    unsigned char first = data[0];
    if (first < 0x80) {
        return 1;
    }
    size_t size = first >= 0xC2 && first <= 0xDF   ? 2
                  : first >= 0xE0 && first <= 0xEF ? 3
                  : first >= 0xF0 && first <= 0xF4 ? 4
                                                   : 0;
    if (size == 0 || size > length) {
        return 0;
    }
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (data[1] < low || data[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((data[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return size;
}

bool cvm_utf8_is_valid(const char *data, size_t length)
{
    const unsigned char *at = (const unsigned char *)data;
    const unsigned char *end = at + length;
    while (at < end) {
        uint64_t word = 0;
        if (end - at >= 8) {
            memcpy(&word, at, 8);
            if ((word & 0x8080808080808080U) == 0) {
                at += 8;
                continue;
            }
        }
        size_t size = character_length(at, (size_t)(end - at));
        if (size == 0) {
            return false;
        }
        at += size;
    }
    return true;
}

void cvm_word_list(const char *const *words, char out[CVM_WORD_LIST_SIZE])
{
    static const char more[] = ", ...";
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; words[i] != NULL; i++) {
        const char *glue = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
        size_t length = strlen(glue) + strlen(words[i]);
        if (used + length + sizeof(more) > CVM_WORD_LIST_SIZE) {
            memcpy(out + used, more, sizeof(more));
            return;
        }
        memcpy(out + used, glue, strlen(glue));
        memcpy(out + used + strlen(glue), words[i], strlen(words[i]) + 1);
        used += length;
    }
}
