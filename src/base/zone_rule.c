#include "base/zone_rule.h"

#include "base/date.h"

struct cursor {
    const char *at;
    const char *end;
};

static bool take(struct cursor *cursor, char wanted)
{
    if (cursor->at == cursor->end || *cursor->at != wanted) {
        return false;
    }
    cursor->at++;
    return true;
}

/* Up to three digits; false when there is none or the number is outside [min, max]. */
static bool take_number(struct cursor *cursor, int32_t min, int32_t max, int32_t *out)
{
    int32_t value = 0;
    int digits = 0;
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9' && digits < 3) {
        value = value * 10 + (*cursor->at - '0');
        cursor->at++;
        digits++;
    }
    *out = value;
    return digits > 0 && value >= min && value <= max;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "BST" or "<+0330>"; nobody here asks for it. */
static bool skip_name(struct cursor *cursor)
{
    const char *start = cursor->at;
    if (take(cursor, '<')) {
        while (cursor->at < cursor->end && *cursor->at != '>') {
            cursor->at++;
        }
        return take(cursor, '>') && cursor->at - start >= 5;
    }
    while (cursor->at < cursor->end && is_letter(*cursor->at)) {
        cursor->at++;
    }
    return cursor->at - start >= 3;
}

/* [+-]hh[:mm[:ss]] in seconds */
static bool take_time(struct cursor *cursor, int32_t hours_max, int32_t *out_second)
{
    bool is_negative = take(cursor, '-');
    if (!is_negative) {
        (void)take(cursor, '+');
    }
    int32_t hour = 0;
    int32_t minute = 0;
    int32_t second = 0;
    if (!take_number(cursor, 0, hours_max, &hour)) {
        return false;
    }
    if (take(cursor, ':') && (!take_number(cursor, 0, 59, &minute) ||
                              (take(cursor, ':') && !take_number(cursor, 0, 59, &second)))) {
        return false;
    }
    int32_t total = hour * 3600 + minute * 60 + second;
    *out_second = is_negative ? -total : total;
    return true;
}

static bool take_turn(struct cursor *cursor, struct cvm_zone_turn *turn)
{
    bool is_valid = false;
    *turn = (struct cvm_zone_turn){.second = 2 * 3600};
    if (take(cursor, 'M')) {
        turn->kind = CVM_TURN_MONTH;
        is_valid = take_number(cursor, 1, 12, &turn->month) && take(cursor, '.') &&
                   take_number(cursor, 1, 5, &turn->week) && take(cursor, '.') &&
                   take_number(cursor, 0, 6, &turn->day);
    } else if (take(cursor, 'J')) {
        turn->kind = CVM_TURN_JULIAN;
        is_valid = take_number(cursor, 1, 365, &turn->day);
    } else {
        turn->kind = CVM_TURN_DAY;
        is_valid = take_number(cursor, 0, 365, &turn->day);
    }
    return is_valid && (!take(cursor, '/') || take_time(cursor, 167, &turn->second));
}

bool cvm_zone_rule_parse(const char *text, size_t length, struct cvm_zone_rule *out_rule)
{
    struct cursor cursor = {.at = text, .end = text + length};
    struct cvm_zone_rule rule = {0};
    int32_t west = 0; /* POSIX counts westward */
    if (!skip_name(&cursor) || !take_time(&cursor, 24, &west)) {
        return false;
    }
    rule.std_offset_s = -west;
    if (cursor.at < cursor.end) {
        rule.has_dst = true;
        rule.dst_offset_s = rule.std_offset_s + 3600;
        if (!skip_name(&cursor)) {
            return false;
        }
        if (cursor.at < cursor.end && *cursor.at != ',') {
            if (!take_time(&cursor, 24, &west)) {
                return false;
            }
            rule.dst_offset_s = -west;
        }
        if (!take(&cursor, ',') || !take_turn(&cursor, &rule.start) || !take(&cursor, ',') ||
            !take_turn(&cursor, &rule.end)) {
            return false;
        }
    }
    if (cursor.at != cursor.end) {
        return false;
    }
    *out_rule = rule;
    return true;
}

static int32_t first_of(int32_t year, int32_t month)
{
    return cvm_day_from_date((struct cvm_date){.year = year, .month = month, .day = 1});
}

int64_t cvm_zone_turn_time(const struct cvm_zone_turn *turn, int32_t year, int32_t offset_s)
{
    int32_t day = first_of(year, 1);
    if (turn->kind == CVM_TURN_DAY) {
        day += turn->day;
    } else if (turn->kind == CVM_TURN_JULIAN) { /* 29 February is never counted */
        bool is_leap = first_of(year, 3) - first_of(year, 2) == 29;
        day += turn->day - 1 + (is_leap && turn->day >= 60);
    } else {
        int32_t month_start = first_of(year, turn->month);
        int32_t month_end =
            turn->month == 12 ? first_of(year + 1, 1) : first_of(year, turn->month + 1);
        int32_t weekday = (turn->day + 6) % 7; /* from 0 = Monday */
        day = month_start + (weekday - cvm_day_weekday(month_start) + 7) % 7;
        day += (turn->week - 1) * 7;
        while (day >= month_end) {
            day -= 7;
        }
    }
    return (int64_t)day * 86400 + turn->second - offset_s;
}
