/* line.h - one record, written without a function call per field; only for this folder.
 *
 * A generator writes gigabytes of small pieces. Records are short and made here only, so a fixed
 * buffer holds one, and what would not fit is left out by a check instead of an overflow (a test
 * parses every record). The whole line then goes to a text builder at once.
 */
#ifndef CVM_WORLD_LINE_H
#define CVM_WORLD_LINE_H

#include <stdint.h>
#include <string.h>

#include "base/date.h"
#include "base/text.h"

#define CVM_WORLD_LINE_SIZE 2048

struct cvm_world_line {
    size_t length;
    char bytes[CVM_WORLD_LINE_SIZE];
};

/* Text that is already valid inside a JSON string. */
struct cvm_world_phrase {
    const char *text;
    size_t length;
};
#define CVM_WORLD_PHRASE(literal)                                                                  \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }

static inline void cvm_world_put_bytes(struct cvm_world_line *line, const char *bytes,
                                       size_t length)
{
    if (length <= CVM_WORLD_LINE_SIZE - line->length) {
        memcpy(line->bytes + line->length, bytes, length);
        line->length += length;
    }
}

/* A string literal: its length is known to the compiler. */
#define CVM_WORLD_PUT(line, literal) cvm_world_put_bytes((line), "" literal, sizeof(literal) - 1)

static inline void cvm_world_put_phrase(struct cvm_world_line *line,
                                        const struct cvm_world_phrase *phrase)
{
    cvm_world_put_bytes(line, phrase->text, phrase->length);
}

/* `scaled` is the value times 10^decimals: (12350, 2) gives 123.50, (7, 0) gives 7. */
static inline void cvm_world_put_scaled(struct cvm_world_line *line, int64_t scaled, int decimals)
{
    char digits[32];
    char *at = digits + sizeof(digits);
    uint64_t rest = scaled < 0 ? 0 - (uint64_t)scaled : (uint64_t)scaled;
    int written = 0;
    do {
        if (written == decimals && decimals > 0) {
            *--at = '.';
        }
        *--at = (char)('0' + rest % 10);
        rest /= 10;
        written++;
    } while (rest != 0 || written <= decimals);
    if (scaled < 0) {
        *--at = '-';
    }
    cvm_world_put_bytes(line, at, (size_t)(digits + sizeof(digits) - at));
}

static inline void cvm_world_put_int(struct cvm_world_line *line, int64_t value)
{
    cvm_world_put_scaled(line, value, 0);
}

static inline void cvm_world_put_day(struct cvm_world_line *line, int32_t day)
{
    struct cvm_date date = cvm_date_from_day(day);
    char text[10] = "0000-00-00";
    for (int i = 3, year = date.year; i >= 0; i--, year /= 10) {
        text[i] = (char)('0' + year % 10);
    }
    text[5] = (char)('0' + date.month / 10);
    text[6] = (char)('0' + date.month % 10);
    text[8] = (char)('0' + date.day / 10);
    text[9] = (char)('0' + date.day % 10);
    cvm_world_put_bytes(line, text, sizeof(text));
}

static inline void cvm_world_line_finish(struct cvm_world_line *line, struct cvm_text *out)
{
    CVM_WORLD_PUT(line, "\n");
    cvm_text_add_bytes(out, line->bytes, line->length);
    line->length = 0;
}

#endif
