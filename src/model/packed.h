/* packed.h - a customer's journey in columns: the derived form that runs read.
 *
 * One body per customer and calendar half-year, plus one for the profile (period 0: id, consent,
 * undated attributes). A body holds a section per source, its events in journey order (day, second,
 * source rank, identity), each numeric attribute a column in the smallest exact encoding. Free text
 * is not here: only its topic bits are. Numbers of sources, attributes and topics are those of the
 * catalogue whose data_digest stands in the journey file. Decoding trusts nothing: a damaged body
 * is CVM_E_CORRUPT, never a crash. docs/concepts/journey.md has the layout.
 */
#ifndef CVM_MODEL_PACKED_H
#define CVM_MODEL_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "model/consent.h"

#define CVM_PERIOD_PROFILE 0

/* Calendar half-year of a day: year * 2 + half (0, 1); > 0 for every valid day. Longer periods mean
 * fewer rows to scan, shorter ones less to write again for a late event. */
int32_t cvm_packed_period(int32_t day);
int32_t cvm_packed_first_day(int32_t period); /* not of CVM_PERIOD_PROFILE */

#define CVM_PACKED_ATTRIBUTE_MAX 4095

/* ---- writing ---- */

struct cvm_packed_cell {
    uint16_t attribute;
    double value; /* missing cells are left out; a NaN is taken as missing */
};

struct cvm_packed_event {
    int32_t day;    /* CVM_DAY_NONE for undated attributes */
    int32_t second; /* of the day; 0 if no time is known */
    uint8_t source;
    uint8_t rank; /* the source's rank: order among events of one moment */
    uint64_t identity;
    uint32_t topics;
    const struct cvm_packed_cell *cells; /* ascending attribute */
    uint16_t cell_count;
};

struct cvm_packer;                          /* keeps its buffers */
struct cvm_packer *cvm_packer_create(void); /* NULL when out of memory */
void cvm_packer_destroy(struct cvm_packer *packer);

/* Write the body of one period to `out` (cleared first). The events are all of that period; they
 * are sorted in place. For CVM_PERIOD_PROFILE the events are undated and id and consent are written
 * too, else both are NULL. CVM_E_INVALID for events that break a rule of this file (several
 * periods, cells out of order), CVM_E_LIMIT for more than CVM_PACKED_EVENTS_MAX events or
 * CVM_PACKED_COLUMNS_MAX attributes of one source or an attribute above CVM_PACKED_ATTRIBUTE_MAX.
 */
CVM_MUST_CHECK enum cvm_status cvm_packer_write(struct cvm_packer *packer, const char *customer_id,
                                                const struct cvm_consent *consent,
                                                struct cvm_packed_event *events, size_t event_count,
                                                struct cvm_text *out, struct cvm_error *err);

/* ---- reading: no allocation, pointers into the body ---- */

struct cvm_packed_profile {
    struct cvm_slice customer_id;
    struct cvm_consent consent;
};

struct cvm_packed_column {
    uint16_t attribute;
    uint8_t encoding; /* private to packed.c */
    const unsigned char *data;
};

#define CVM_PACKED_COLUMNS_MAX 64 /* attributes of one source */
#define CVM_PACKED_EVENTS_MAX  65535

struct cvm_packed_section {
    uint8_t source;
    uint32_t event_count;
    int32_t base_day; /* days[i] counts from here; CVM_DAY_NONE for undated sections */
    const unsigned char
        *days; /* uint16 little-endian, ascending, may be unaligned; read with cvm_packed_day() */
    const unsigned char *seconds; /* uint32 little-endian each, or NULL when all are 0 */
    const unsigned char *topics;  /* uint32 little-endian each, or NULL when all are 0 */
    uint32_t column_count;
    struct cvm_packed_column columns[CVM_PACKED_COLUMNS_MAX];
};

struct cvm_packed_reader {
    const unsigned char *at;
    const unsigned char *end;
    int32_t base_day;
    uint64_t seen;    /* bit per source that was met: none may come twice */
    uint64_t columns; /* bit per source whose columns are wanted, all at first: the sections of
                         others come without columns, which is faster */
};

/* Start on a body; for the profile period pass out_profile, else NULL. */
CVM_MUST_CHECK enum cvm_status cvm_packed_open(const void *body, size_t length, bool is_profile,
                                               struct cvm_packed_reader *out_reader,
                                               struct cvm_packed_profile *out_profile,
                                               struct cvm_error *err);
/* CVM_E_NOT_FOUND after the last section (err untouched then). */
CVM_MUST_CHECK enum cvm_status cvm_packed_next(struct cvm_packed_reader *reader,
                                               struct cvm_packed_section *out_section,
                                               struct cvm_error *err);

int32_t cvm_packed_day(const struct cvm_packed_section *section, uint32_t event);
/* Decode events [from, to) of a column to doubles, NaN where missing. */
void cvm_packed_values(const struct cvm_packed_column *column, uint32_t event_count, uint32_t from,
                       uint32_t to, double *out_values);
/* NULL if the section has no such attribute. */
const struct cvm_packed_column *cvm_packed_column_of(const struct cvm_packed_section *section,
                                                     uint16_t attribute);

#endif
