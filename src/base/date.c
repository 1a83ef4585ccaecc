/* Day numbers by Howard Hinnant's days_from_civil and civil_from_days: eras of 400 years that begin
 * on 1 March, so that the leap day is the last of its year. */
#include "base/date.h"

#include <stdio.h>

#define ERA_DAYS   146097
#define MS_PER_DAY 86400000

int32_t cvm_day_from_date(struct cvm_date date)
{
    int64_t year = (int64_t)date.year - (date.month <= 2);
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month = date.month > 2 ? date.month - 3 : date.month + 9;
    int64_t day_of_year = (153 * month + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int32_t)(era * ERA_DAYS + day_of_era - 719468);
}

struct cvm_date cvm_date_from_day(int32_t day)
{
    int64_t shifted = (int64_t)day + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - (ERA_DAYS - 1)) / ERA_DAYS;
    int64_t day_of_era = shifted - era * ERA_DAYS;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    struct cvm_date date = {
        .month = (int32_t)(month < 10 ? month + 3 : month - 9),
        .day = (int32_t)(day_of_year - (153 * month + 2) / 5 + 1),
    };
    date.year = (int32_t)(year_of_era + era * 400 + (date.month <= 2));
    return date;
}

int cvm_day_weekday(int32_t day)
{
    int64_t weekday = ((int64_t)day + 3) % 7; /* 1970-01-01 was a Thursday */
    return (int)(weekday < 0 ? weekday + 7 : weekday);
}

/* Exactly `digits` digits at *at, moved past them; -1 if there are fewer. */
static int32_t read_digits(const char **at, const char *end, int digits)
{
    int32_t value = 0;
    if (end - *at < digits) {
        return -1;
    }
    for (int i = 0; i < digits; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9') {
            return -1;
        }
        value = value * 10 + (c - '0');
    }
    *at += digits;
    return value;
}

static bool read_char(const char **at, const char *end, char wanted)
{
    if (*at == end || **at != wanted) {
        return false;
    }
    (*at)++;
    return true;
}

static int32_t days_in_month(int32_t year, int32_t month)
{
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && is_leap);
}

static bool read_date(const char **at, const char *end, int32_t *out_day)
{
    struct cvm_date date;
    date.year = read_digits(at, end, 4);
    if (date.year < 1900 || date.year > 2199 || !read_char(at, end, '-')) {
        return false;
    }
    date.month = read_digits(at, end, 2);
    if (date.month < 1 || date.month > 12 || !read_char(at, end, '-')) {
        return false;
    }
    date.day = read_digits(at, end, 2);
    if (date.day < 1 || date.day > days_in_month(date.year, date.month)) {
        return false;
    }
    *out_day = cvm_day_from_date(date);
    return true;
}

/* HH:MM[:SS[.fff]] */
static bool read_time(const char **at, const char *end, int32_t *out_second)
{
    int32_t hour = read_digits(at, end, 2);
    if (hour < 0 || hour > 23 || !read_char(at, end, ':')) {
        return false;
    }
    int32_t minute = read_digits(at, end, 2);
    if (minute < 0 || minute > 59) {
        return false;
    }
    int32_t second = 0;
    if (read_char(at, end, ':')) {
        second = read_digits(at, end, 2);
        if (second < 0 || second > 59) {
            return false;
        }
        if (read_char(at, end, '.')) {
            if (read_digits(at, end, 1) < 0) {
                return false;
            }
            while (*at < end && **at >= '0' && **at <= '9') {
                (*at)++;
            }
        }
    }
    *out_second = hour * 3600 + minute * 60 + second;
    return true;
}

/* Z, +HH:MM or -HH:MM */
static bool read_offset(const char **at, const char *end, int32_t *out_minutes)
{
    if (read_char(at, end, 'Z')) {
        *out_minutes = 0;
        return true;
    }
    bool is_negative = read_char(at, end, '-');
    if (!is_negative && !read_char(at, end, '+')) {
        return false;
    }
    int32_t hours = read_digits(at, end, 2);
    if (hours < 0 || hours > 23 || !read_char(at, end, ':')) {
        return false;
    }
    int32_t minutes = read_digits(at, end, 2);
    if (minutes < 0 || minutes > 59) {
        return false;
    }
    *out_minutes = (hours * 60 + minutes) * (is_negative ? -1 : 1);
    return true;
}

bool cvm_day_parse(const char *text, size_t length, int32_t *out_day, int32_t *out_second,
                   int32_t *out_offset_minutes)
{
    if (text == NULL) {
        return false;
    }
    const char *at = text;
    const char *end = text + length;
    int32_t day = 0;
    int32_t second = 0;
    int32_t offset = INT32_MIN;
    if (!read_date(&at, end, &day)) {
        return false;
    }
    if (at < end) {
        if (!read_char(&at, end, 'T') && !read_char(&at, end, ' ')) {
            return false;
        }
        if (!read_time(&at, end, &second) || (at < end && !read_offset(&at, end, &offset)) ||
            at < end) {
            return false;
        }
    }
    *out_day = day;
    if (out_second != NULL) {
        *out_second = second;
    }
    if (out_offset_minutes != NULL) {
        *out_offset_minutes = offset;
    }
    return true;
}

/* Of years of four digits this is the hot one: snprintf() would be most of an export. */
static char *put_digits(char *at, int32_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + digits;
}

const char *cvm_day_format(int32_t day, char text[CVM_DAY_TEXT_SIZE])
{
    if (day == CVM_DAY_NONE) {
        text[0] = '\0';
        return text;
    }
    struct cvm_date date = cvm_date_from_day(day);
    if (date.year < 0 || date.year > 9999) {
        (void)snprintf(text, CVM_DAY_TEXT_SIZE, "%04d-%02u-%02u", (int)date.year,
                       (unsigned)date.month % 100, (unsigned)date.day % 100);
        return text;
    }
    char *at = put_digits(text, date.year, 4);
    *at++ = '-';
    at = put_digits(at, date.month, 2);
    *at++ = '-';
    at = put_digits(at, date.day, 2);
    *at = '\0';
    return text;
}

const char *cvm_moment_format(int64_t moment_ms, char text[CVM_MOMENT_TEXT_SIZE])
{
    int64_t day = moment_ms / MS_PER_DAY - (moment_ms % MS_PER_DAY < 0);
    int64_t ms_of_day = moment_ms % MS_PER_DAY;
    int32_t second = (int32_t)((ms_of_day < 0 ? ms_of_day + MS_PER_DAY : ms_of_day) / 1000);
    char *at = text;
    day = day > INT32_MAX ? INT32_MAX : day <= INT32_MIN ? INT32_MIN + 1 : day;
    (void)cvm_day_format((int32_t)day, text);
    while (*at != '\0') {
        at++;
    }
    *at++ = 'T';
    at = put_digits(at, second / 3600, 2);
    *at++ = ':';
    at = put_digits(at, second / 60 % 60, 2);
    *at++ = ':';
    at = put_digits(at, second % 60, 2);
    *at++ = 'Z';
    *at = '\0';
    return text;
}
