/* zone_rule.h - the rule that ends a TZif file, "GMT0BST,M3.5.0/1,M10.5.0" (POSIX TZ with the
 * extensions of RFC 8536); for zone.c only. */
#ifndef CVM_BASE_ZONE_RULE_H
#define CVM_BASE_ZONE_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One end of daylight saving time in every year. */
struct cvm_zone_turn {
    enum { CVM_TURN_JULIAN, CVM_TURN_DAY, CVM_TURN_MONTH } kind; /* Jn, n, Mm.w.d */
    int32_t month;
    int32_t week; /* 5 = the last */
    int32_t day;  /* of the year, or the weekday from 0 = Sunday */
    int32_t second;
};

struct cvm_zone_rule {
    bool has_dst;
    int32_t std_offset_s; /* east of UTC */
    int32_t dst_offset_s;
    struct cvm_zone_turn start; /* in standard time */
    struct cvm_zone_turn end;   /* in daylight saving time */
};

/* False when the text is no such rule. */
bool cvm_zone_rule_parse(const char *text, size_t length, struct cvm_zone_rule *out_rule);

/* The moment of a turn in one year, in seconds UTC; `offset_s` is the one in force before it. */
int64_t cvm_zone_turn_time(const struct cvm_zone_turn *turn, int32_t year, int32_t offset_s);

#endif
