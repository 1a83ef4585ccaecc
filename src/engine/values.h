/* values.h - the values of a shard: what the treatment step makes, the solver reads, and the store
 * keeps.
 *
 * In memory and on disk the same columns: blocks of 16 customers, treatment-major inside the block,
 * as allocation/problem.h wants them.
 */
#ifndef CVM_ENGINE_VALUES_H
#define CVM_ENGINE_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/columns.h"
#include "base/error.h"
#include "base/text.h"
#include "model/chunk.h"
#include "recommend/action_value.h"

struct cvm_shard_values {
    size_t treatment_count;
    size_t count;               /* customers */
    size_t capacity;            /* customers that the columns have room for; a multiple of 16 */
    struct cvm_buffer keys;     /* uint64_t */
    struct cvm_buffer margins;  /* float, monthly, major units */
    struct cvm_buffer churns;   /* float, in the horizon if untreated */
    struct cvm_buffer tirings;  /* float, what late contacts leave of the response */
    struct cvm_buffer segments; /* unsigned char */
    /* Kept where the catalogue asks for them, filled by the caller: */
    bool has_groups; /* set before anything is added */
    bool has_households;
    struct cvm_buffer groups;     /* uint64_t, a bit each (engine/groups.h) */
    struct cvm_buffer households; /* uint32_t: number among those in which the solver chooses
                                     (engine/household.h), or CVM_NO_GROUP */
    struct cvm_buffer allowances; /* unsigned char: how many of that household */
    struct cvm_buffer values;     /* float, blocks of 16 */
    struct cvm_buffer reasons;    /* unsigned char, the same order */
    struct cvm_buffer id_offsets; /* uint32_t into ids */
    /* Not stored: */
    struct cvm_buffer facts;  /* struct cvm_contact_facts */
    struct cvm_buffer strata; /* uint16_t, filled by the caller (engine/control.h) */
    struct cvm_text ids;
    uint64_t dated_events;
};

void cvm_shard_values_init(struct cvm_shard_values *values, size_t treatment_count);
void cvm_shard_values_finish(struct cvm_shard_values *values);

/* Where customer i's value or reason of treatment t stands. */
static inline size_t cvm_values_at(size_t treatment_count, size_t customer, size_t treatment)
{
    return customer / 16 * 16 * treatment_count + treatment * 16 + customer % 16;
}

/* Append the verdicts on a chunk (stride = chunk capacity), with tirings and facts. */
CVM_MUST_CHECK enum cvm_status cvm_shard_values_add(struct cvm_shard_values *values,
                                                    const struct cvm_chunk *chunk,
                                                    const struct cvm_verdicts *verdicts,
                                                    struct cvm_error *err);
const char *cvm_shard_values_id(const struct cvm_shard_values *values, size_t customer);

/* The stored form, little-endian: "CVMV", uint32 version 3, uint32 treatments (plus 2^16 with
 * groups, 2^17 with households), uint32 customers, then the columns keys, margins, churns, tirings,
 * groups, households, allowances, segments (padded to 16), values, reasons. Ids are not in it: the
 * store has them by key. Version 2 had no groups and households, version 1 no tirings. A value that
 * is refused because another member of the household was chosen stays: it could be given at other
 * prices. */
CVM_MUST_CHECK enum cvm_status cvm_shard_values_encode(const struct cvm_shard_values *values,
                                                       struct cvm_text *out, struct cvm_error *err);

/* A view into a stored block: nothing is copied. */
struct cvm_values_view {
    size_t treatment_count;
    size_t count;
    const unsigned char *keys;
    const unsigned char *margins;
    const unsigned char *churns;
    const unsigned char *tirings;    /* NULL in a block of version 1: 1 for everybody */
    const unsigned char *groups;     /* NULL = in none */
    const unsigned char *households; /* NULL = in none; with allowances */
    const unsigned char *allowances;
    const unsigned char *segments;
    const unsigned char *values;
    const unsigned char *reasons;
};
CVM_MUST_CHECK enum cvm_status cvm_values_open(const void *body, size_t length,
                                               struct cvm_values_view *out_view,
                                               struct cvm_error *err);
/* The columns of a block as values in memory, which were only initialised before: for who goes on
 * with them. Ids, facts and strata are not in a block: facts and strata have room, ids have not. */
CVM_MUST_CHECK enum cvm_status cvm_shard_values_copy(struct cvm_shard_values *values,
                                                     const struct cvm_values_view *view,
                                                     struct cvm_error *err);
/* Index of the customer, or SIZE_MAX. */
size_t cvm_values_find(const struct cvm_values_view *view, uint64_t key);
float cvm_values_value(const struct cvm_values_view *view, size_t customer, size_t treatment);
unsigned char cvm_values_reason(const struct cvm_values_view *view, size_t customer,
                                size_t treatment);
float cvm_values_margin(const struct cvm_values_view *view, size_t customer);
float cvm_values_churn(const struct cvm_values_view *view, size_t customer);
float cvm_values_tiring(const struct cvm_values_view *view, size_t customer);
uint64_t cvm_values_key(const struct cvm_values_view *view, size_t customer);
uint64_t cvm_values_groups(const struct cvm_values_view *view, size_t customer);
/* CVM_NO_GROUP where the solver does not choose in the customer's household. */
uint32_t cvm_values_household(const struct cvm_values_view *view, size_t customer);
unsigned char cvm_values_allowance(const struct cvm_values_view *view, size_t customer);
unsigned char cvm_values_segment(const struct cvm_values_view *view, size_t customer);

/* The same view of values in memory, for as long as they are not added to. */
struct cvm_values_view cvm_values_view_of(const struct cvm_shard_values *values);

#endif
