/* zone.h - time zones from the system's TZif files (RFC 8536, versions 1 to 4, with the POSIX
 * footer).
 *
 * Immutable after loading: may be read from any thread. "UTC" always loads, also without files.
 */
#ifndef CVM_BASE_ZONE_H
#define CVM_BASE_ZONE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct cvm_zone;

/* `name` is an IANA name, "Europe/London"; looked up under $TZDIR or /usr/share/zoneinfo.
 * CVM_E_NOT_FOUND if there is no such zone, CVM_E_CORRUPT if the file is damaged. */
CVM_MUST_CHECK enum cvm_status cvm_zone_open(const char *name, struct cvm_zone **out_zone,
                                             struct cvm_error *err);
/* From bytes: for tests and fuzzing. */
CVM_MUST_CHECK enum cvm_status cvm_zone_parse(const void *bytes, size_t length,
                                              struct cvm_zone **out_zone, struct cvm_error *err);
void cvm_zone_close(struct cvm_zone *zone);

int32_t cvm_zone_offset_s(const struct cvm_zone *zone, int64_t moment_ms); /* seconds east of UTC */
int32_t cvm_zone_day(const struct cvm_zone *zone, int64_t moment_ms);      /* local calendar day */
/* Local day and second to a moment; in a gap the first moment after it, in an overlap the earlier
 * one. */
int64_t cvm_zone_moment(const struct cvm_zone *zone, int32_t day, int32_t second_of_day);

#endif
