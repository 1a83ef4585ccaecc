/* Placeholders of the shipped catalogue, filled in for a base of some size. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/catalogue_read.h"

#define CUSTOMERS_PER_UNIT 100000.0
#define NUMBER_MAX         64

struct placeholder {
    bool is_money;
    double per_unit;
    double least;
};

/* "12.5" up to `end`. */
static bool parse_amount(const char *text, const char *end, double *out_amount)
{
    char digits[NUMBER_MAX];
    size_t length = (size_t)(end - text);
    char *stop = NULL;

    if (length == 0 || length >= sizeof(digits) || strspn(text, "0123456789.") < length) {
        return false;
    }
    memcpy(digits, text, length);
    digits[length] = '\0';
    *out_amount = strtod(digits, &stop);
    return *stop == '\0' && isfinite(*out_amount);
}

static bool starts_with(const char *text, const char *end, const char *prefix)
{
    size_t length = strlen(prefix);
    return (size_t)(end - text) >= length && memcmp(text, prefix, length) == 0;
}

/* What stands between "${" and "}": per_100k:X, per_100k:X:LEAST, money_per_100k:... */
static bool parse_placeholder(const char *text, const char *end, struct placeholder *out)
{
    static const char units[] = "per_100k:";
    static const char money[] = "money_per_100k:";
    struct placeholder found = {.least = 1};

    found.is_money = starts_with(text, end, money);
    if (!found.is_money && !starts_with(text, end, units)) {
        return false;
    }
    text += found.is_money ? strlen(money) : strlen(units);
    const char *colon = memchr(text, ':', (size_t)(end - text));
    const char *first_end = colon == NULL ? end : colon;
    if (!parse_amount(text, first_end, &found.per_unit) ||
        (colon != NULL && !parse_amount(colon + 1, end, &found.least))) {
        return false;
    }
    *out = found;
    return true;
}

static void write_scaled(const struct placeholder *placeholder, int64_t customers,
                         struct cvm_text *out)
{
    double scaled = placeholder->per_unit * (double)customers / CUSTOMERS_PER_UNIT;
    scaled = scaled < placeholder->least ? placeholder->least : scaled;
    if (placeholder->is_money) {
        cvm_text_add_format(out, "%.2f", scaled);
        return;
    }
    /* A product that is whole up to rounding stays what it is. */
    cvm_text_add_format(out, "%.0f", ceil(scaled - 1e-9 * scaled));
}

static enum cvm_status fail_placeholder(const char *text, const char *at, const char *end,
                                        struct cvm_error *err)
{
    int line = 1;
    int shown = end - at > 60 ? 60 : (int)(end - at);
    for (const char *p = text; p < at; p++) {
        line += *p == '\n' ? 1 : 0;
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_INVALID, "line %d: '%.*s' is no placeholder", line, shown, at);
    return cvm_error_hint(err, status,
                          "Allowed are ${per_100k:NUMBER} and ${money_per_100k:NUMBER}, each also "
                          "with a least value: ${per_100k:NUMBER:LEAST}.");
}

enum cvm_status cvm_catalogue_scale(const char *text, size_t length, int64_t customers,
                                    struct cvm_text *out, struct cvm_error *err)
{
    const char *end = text + length;
    const char *at = text;

    if (customers < 0) {
        return CVM_FAIL(err, CVM_E_INVALID, "the number of customers is negative");
    }
    while (at < end) {
        const char *dollar = memchr(at, '$', (size_t)(end - at));
        const char *stop = dollar == NULL ? end : dollar;
        struct placeholder placeholder;

        cvm_text_add_bytes(out, at, (size_t)(stop - at));
        at = stop;
        if (at + 1 >= end || at[1] != '{') {
            cvm_text_add_bytes(out, at, at < end ? 1 : 0);
            at += at < end ? 1 : 0;
            continue;
        }
        const char *brace = memchr(at, '}', (size_t)(end - at));
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (brace == NULL || !parse_placeholder(at + 2, brace, &placeholder)) {
            line_end = line_end == NULL ? end : line_end;
            return fail_placeholder(text, at,
                                    brace == NULL || brace > line_end ? line_end : brace + 1, err);
        }
        write_scaled(&placeholder, customers, out);
        at = brace + 1;
    }
    return out->failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a catalogue file") : CVM_OK;
}
