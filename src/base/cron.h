/* cron.h - moments by a cron expression of five fields in a time zone.
 *
 *     minute hour day-of-month month day-of-week
 *     0 2 * * *        at 2:00 each day
 *     0-59/15 9-17 * * mon-fri
 *     30 6 1,15 * *
 *
 * Fields are numbers, names (jan-dec, sun-sat; 7 is Sunday too), ranges, steps and lists of these.
 * When neither of the two days begins with a star, either is enough, as everywhere in cron.
 *
 * Local times that a change of the clock skips fire once, at the first moment after it; local times
 * that come twice fire once, the first time.
 */
#ifndef CVM_BASE_CRON_H
#define CVM_BASE_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/zone.h"

struct cvm_cron {
    uint64_t minutes; /* bit n = minute n; so with the others */
    uint32_t hours;
    uint32_t days;    /* 1 to 31 */
    uint16_t months;  /* 1 to 12 */
    uint8_t weekdays; /* 0 = Sunday */
    bool has_days;    /* it does not begin with a star */
    bool has_weekdays;
};

/* CVM_E_INVALID names the field; an expression that never fires (30 February) is refused. */
CVM_MUST_CHECK enum cvm_status cvm_cron_parse(const char *text, struct cvm_cron *out_cron,
                                              struct cvm_error *err);

/* The first moment after `after_ms`. */
int64_t cvm_cron_next(const struct cvm_cron *cron, const struct cvm_zone *zone, int64_t after_ms);

#endif
