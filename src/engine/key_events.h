/* key_events.h - the events behind a feature's value: the extreme one for min and max, the largest
 * of a sum, the first for first, else the newest. For explanations only: one customer at a time.
 */
#ifndef CVM_ENGINE_KEY_EVENTS_H
#define CVM_ENGINE_KEY_EVENTS_H

#include "base/arena.h"
#include "base/columns.h"
#include "engine/engine.h"
#include "journey/summary.h"

struct cvm_key_event {
    size_t wish; /* in the request */
    int32_t day; /* CVM_DAY_NONE: an undated attribute */
    int source;
    size_t ordinal;  /* among all dated events of that source, in journey order, from 0 */
    double value;    /* of the feature's attribute; 1 for the event itself */
    uint32_t topics; /* those without which it would not have passed the feature's filter */
};

/* A feature from events; one by a rule is asked for by the features that it reads. */
struct cvm_key_wish {
    int feature;
    const struct cvm_insight *insight; /* for whom; NULL = nobody says */
};

struct cvm_key_event_request {
    uint64_t key;
    int32_t as_of_day;
    const struct cvm_key_wish *wishes;
    size_t wish_count;
    size_t counted_max; /* of a count so many of its newest events are named; at least 1 */
};
#define CVM_KEY_COUNTED_MAX 8

/* In the order of wishes, the newest first within one; an event may come several times. In the
 * arena. */
CVM_MUST_CHECK enum cvm_status cvm_engine_key_events(struct cvm_engine *engine,
                                                     const struct cvm_key_event_request *request,
                                                     struct cvm_arena *arena,
                                                     struct cvm_key_event **out_events,
                                                     size_t *out_count, struct cvm_error *err);

/* The features from events that a list of features rests on, each once, in order of meeting. */
CVM_MUST_CHECK enum cvm_status cvm_key_wishes(const struct cvm_catalogue *catalogue,
                                              const uint16_t *features, size_t count,
                                              const struct cvm_insight *insight,
                                              struct cvm_column *wishes, struct cvm_error *err);

#endif
