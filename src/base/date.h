/* date.h - calendar dates as day numbers, and moments as milliseconds, without any global state.
 *
 * A day is days since 1970-01-01 (proleptic Gregorian), int32. A moment is milliseconds since
 * 1970-01-01 00:00 UTC.
 */
#ifndef CVM_BASE_DATE_H
#define CVM_BASE_DATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CVM_DAY_NONE INT32_MIN /* no date: sorts before every date */

struct cvm_date {
    int32_t year;
    int32_t month; /* 1..12 */
    int32_t day;   /* 1..31 */
};

int32_t cvm_day_from_date(struct cvm_date date);
struct cvm_date cvm_date_from_day(int32_t day);
int cvm_day_weekday(int32_t day); /* 0 = Monday .. 6 = Sunday */

/* "2024-03-20", optionally followed by 'T' or ' ' and "HH:MM[:SS[.fff]]" and 'Z' or "+HH:MM" (years
 * 1900..2199). False for anything else and for dates that do not exist. *out_second is the second
 * of the day as written (0 when no time is given); *out_offset_minutes the offset or INT32_MIN when
 * none is written. Either may be NULL. */
bool cvm_day_parse(const char *text, size_t length, int32_t *out_day, int32_t *out_second,
                   int32_t *out_offset_minutes);

#define CVM_DAY_TEXT_SIZE    16
#define CVM_MOMENT_TEXT_SIZE 32
/* Write "2024-03-20" / "2024-03-20T11:22:33Z"; return text. */
const char *cvm_day_format(int32_t day, char text[CVM_DAY_TEXT_SIZE]);
const char *cvm_moment_format(int64_t moment_ms, char text[CVM_MOMENT_TEXT_SIZE]);

#endif
