#include "base/cron.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/date.h"

#define TEXT_MAX 200
#define DAYS_MAX (45 * 366) /* until 29 February is a Sunday again, across 2100 */
#define DAY_MS   INT64_C(86400000)

/* ---- reading ---- */

struct field {
    const char *name;
    int min;
    int max;
    const char *const *words; /* of the values from min on; NULL = none */
};

static const char *const month_words[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                          "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekday_words[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

static const struct field fields[] = {
    {"minute", 0, 59, NULL},
    {"hour", 0, 23, NULL},
    {"day of the month", 1, 31, NULL},
    {"month", 1, 12, month_words},
    {"day of the week", 0, 7, weekday_words},
};
enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

/* The value at *at, which moves behind it. */
static bool read_value(const struct field *field, const char **at, int *out_value)
{
    size_t digits = strspn(*at, "0123456789");
    for (int i = 0; field->words != NULL && field->words[i] != NULL; i++) {
        if (strncasecmp(*at, field->words[i], 3) == 0) {
            *at += 3;
            *out_value = field->min + i;
            return true;
        }
    }
    if (digits == 0 || digits > 2) {
        return false;
    }
    int value = 0;
    for (size_t i = 0; i < digits; i++) {
        value = value * 10 + (*at)[i] - '0';
    }
    *at += digits;
    *out_value = value;
    return value >= field->min && value <= field->max;
}

/* "*", "5", "1-5", with "/2" behind it. */
static bool read_item(const struct field *field, const char **at, uint64_t *bits)
{
    int low = field->min;
    int high = field->max;
    int step = 1;
    bool is_all = **at == '*';
    if (is_all) {
        (*at)++;
    } else if (!read_value(field, at, &low)) {
        return false;
    } else {
        high = low;
    }
    if (!is_all && **at == '-') {
        (*at)++;
        if (!read_value(field, at, &high) || high < low) {
            return false;
        }
    } else if (!is_all && **at == '/') {
        high = field->max; /* "5/15" is from 5 on */
    }
    if (**at == '/') {
        const struct field number = {field->name, 1, field->max, NULL};
        (*at)++;
        if (!read_value(&number, at, &step)) {
            return false;
        }
    }
    for (int value = low; value <= high; value += step) {
        *bits |= UINT64_C(1) << value;
    }
    return true;
}

static bool read_field(const struct field *field, const char *text, uint64_t *out_bits)
{
    const char *at = text;
    for (;;) {
        if (!read_item(field, &at, out_bits)) {
            return false;
        }
        if (*at == '\0') {
            return true;
        }
        if (*at++ != ',') {
            return false;
        }
    }
}

/* Is there such a day in one of the months? */
static bool can_fire(const struct cvm_cron *cron)
{
    static const int longest[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!cron->has_days || cron->has_weekdays) {
        return true;
    }
    for (int month = 1; month <= 12; month++) {
        uint32_t days = (UINT32_C(2) << longest[month - 1]) - 1;
        if ((cron->months >> month & 1) != 0 && (cron->days & days) != 0) {
            return true;
        }
    }
    return false;
}

static enum cvm_status split(const char *text, char copy[TEXT_MAX], const char *parts[FIELDS],
                             struct cvm_error *err)
{
    size_t count = 0;
    if (strlen(text) >= TEXT_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID, "a cron expression has less than %d bytes", TEXT_MAX);
    }
    (void)snprintf(copy, TEXT_MAX, "%s", text);
    for (char *at = copy + strspn(copy, " \t"); *at != '\0'; at += strspn(at, " \t")) {
        if (count < FIELDS) {
            parts[count] = at;
        }
        count++;
        at += strcspn(at, " \t");
        if (*at != '\0') {
            *at++ = '\0';
        }
    }
    if (count != FIELDS) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "'%s' has %zu fields, a cron expression has five: minute, hour, day of the "
                        "month, month, day of the week",
                        text, count);
    }
    return CVM_OK;
}

enum cvm_status cvm_cron_parse(const char *text, struct cvm_cron *out_cron, struct cvm_error *err)
{
    char copy[TEXT_MAX];
    const char *parts[FIELDS];
    uint64_t bits[FIELDS] = {0};
    enum cvm_status status = split(text, copy, parts, err);
    for (size_t i = 0; status == CVM_OK && i < FIELDS; i++) {
        if (!read_field(&fields[i], parts[i], &bits[i])) {
            status = CVM_FAIL(err, CVM_E_INVALID,
                              "'%s' is no %s: a number from %d to %d, a range, a step or a list of "
                              "these is allowed",
                              parts[i], fields[i].name, fields[i].min, fields[i].max);
        }
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_cron cron = {
        .minutes = bits[0],
        .hours = (uint32_t)bits[1],
        .days = (uint32_t)bits[2],
        .months = (uint16_t)bits[3],
        .weekdays = (uint8_t)((bits[4] | bits[4] >> 7) & 0x7F),
        .has_days = parts[2][0] != '*',
        .has_weekdays = parts[4][0] != '*',
    };
    if (!can_fire(&cron)) {
        return CVM_FAIL(err, CVM_E_INVALID, "'%s' never fires: there is no such day", text);
    }
    *out_cron = cron;
    return CVM_OK;
}

/* ---- the next moment ---- */

static bool is_day(const struct cvm_cron *cron, int32_t day)
{
    struct cvm_date date = cvm_date_from_day(day);
    bool is_month_day = (cron->days >> date.day & 1) != 0;
    bool is_weekday = (cron->weekdays >> (cvm_day_weekday(day) + 1) % 7 & 1) != 0;
    if ((cron->months >> date.month & 1) == 0) {
        return false;
    }
    return cron->has_days && cron->has_weekdays ? is_month_day || is_weekday
                                                : is_month_day && is_weekday;
}

/* Local times of a day go up, and so do their moments: those skipped by a change of the clock are
 * all the first one after it. */
static bool next_of_day(const struct cvm_cron *cron, const struct cvm_zone *zone, int32_t day,
                        int64_t after_ms, int64_t *out_ms)
{
    for (int hour = 0; hour < 24; hour++) {
        if ((cron->hours >> hour & 1) == 0 ||
            cvm_zone_moment(zone, day, hour * 3600 + 59 * 60) <= after_ms) {
            continue;
        }
        for (int minute = 0; minute < 60; minute++) {
            int64_t moment_ms = (cron->minutes >> minute & 1) == 0
                                    ? after_ms
                                    : cvm_zone_moment(zone, day, hour * 3600 + minute * 60);
            if (moment_ms > after_ms) {
                *out_ms = moment_ms;
                return true;
            }
        }
    }
    return false;
}

int64_t cvm_cron_next(const struct cvm_cron *cron, const struct cvm_zone *zone, int64_t after_ms)
{
    int32_t first = cvm_zone_day(zone, after_ms) - 1; /* a zone may repeat a day */
    int64_t moment_ms = after_ms;
    for (int32_t day = first; day < first + DAYS_MAX; day++) {
        if (is_day(cron, day) && next_of_day(cron, zone, day, after_ms, &moment_ms)) {
            return moment_ms;
        }
    }
    assert(false); /* cvm_cron_parse() refused what never fires */
    return after_ms + DAYS_MAX * DAY_MS;
}
