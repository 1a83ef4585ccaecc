/* feature_program.h - features compiled to short lists of operations per source; included by
 * feature_program.c and features.c only.
 *
 * A builder gathers the needed columns of a customer's events of one source in a block of 64, so
 * that any set of events is the bits of one word: those in a window, those that pass a filter,
 * those that have an attribute. An operation is the "and" of three such words and a loop over the
 * bits left. It adds to a state, so that a full block may be worked off and filled again.
 */
#ifndef CVM_JOURNEY_FEATURE_PROGRAM_H
#define CVM_JOURNEY_FEATURE_PROGRAM_H

#include "base/arena.h"
#include "model/catalogue.h"

#define FEATURE_BLOCK_EVENTS 64
/* Doubles from one attribute's values to the next: not a power of two, which would put the starts
 * of all attributes into a few sets of the first-level cache. */
#define FEATURE_BLOCK_STRIDE 72

/* Slot 0 stands for the event itself, which is always there. */
#define FEATURE_SLOT_EVENT   0
#define FEATURE_SLOT_MISSING 65534
#define FEATURE_SLOT_TOPIC   65535

enum feature_kind {
    FEATURE_KIND_COUNT,
    FEATURE_KIND_SUM,
    FEATURE_KIND_MIN,
    FEATURE_KIND_MAX,
    FEATURE_KIND_FIRST,
    FEATURE_KIND_LAST,
    FEATURE_KIND_LAST_DAY, /* of the last dated event */
    FEATURE_KIND_TREND,
    FEATURE_KIND_COUNT_OF
};

struct feature_op {
    uint16_t slot;
    uint16_t window;
    uint16_t filter;
    uint16_t state;
};

struct feature_test {
    uint16_t slot;
    uint8_t compare;
    double value;
};

/* Tests first: they look at the events that are left, one operand each. */
struct feature_filter {
    const struct cvm_rule *where; /* equal filters are shared */
    struct feature_test *tests;
    size_t test_count;
    const struct cvm_rule_part **parts; /* clauses that are more than a test */
    size_t part_count;
};

struct feature_source {
    bool is_needed;
    bool needs_seconds; /* only `first` and `last` over several sources do */
    bool needs_topics;
    uint16_t slot_of[CVM_ATTRIBUTES_MAX]; /* 0 = not needed */
    uint32_t slot_count;                  /* with slot 0 */
    int32_t *window_first_days;
    uint32_t window_count;
    struct feature_filter *filters; /* filter 0 passes all */
    uint32_t filter_count;
    struct feature_op *ops; /* by kind */
    uint32_t ops_begin[FEATURE_KIND_COUNT_OF + 1];
};

/* What an operation adds to; reset from program->blank for each customer. Sources share it where
 * the order of adding can not change the result; else each source has its own, by (rank, source),
 * and they are merged in that order at the end. */
struct feature_state {
    double value; /* or the sum of y */
    double x;     /* trend: sums of x, x^2, x*y; x = day minus as-of day */
    double xx;
    double xy;
    uint32_t count;
    int32_t day;
    int32_t second;
};

struct feature_output {
    bool is_needed;
    const struct cvm_rule *rule; /* over features before it; NULL = from events */
    enum cvm_aggregate aggregate;
    enum feature_kind kind;
    bool is_date; /* days_since of a DATE attribute */
    uint32_t first_state;
    uint32_t state_count; /* 0 when it has no source */
};

struct cvm_feature_program {
    struct cvm_arena *arena;
    int32_t as_of_day;
    int32_t first_day; /* of the history window */
    uint64_t needed;   /* bit per source */
    struct feature_source *sources;
    size_t source_count;
    struct feature_output *outputs;
    size_t feature_count;
    uint16_t *from_events; /* the needed features that are no rules */
    size_t from_events_count;
    struct feature_state *blank;
    size_t state_count;
};

#endif
