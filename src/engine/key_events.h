/* key_events.h - the events behind a customer's insights: for each feature that an insight rests
 * on, the one event that says most: the extreme one for min and max, the
 * largest of a sum, the first for first, else the
 * newest.
 */
#ifndef CVM_ENGINE_KEY_EVENTS_H
#define CVM_ENGINE_KEY_EVENTS_H

#include "base/arena.h"
#include "engine/engine.h"
#include "journey/summary.h"

struct cvm_key_event {
    int32_t day;
    int source;
    size_t ordinal; /* among all dated events of that source, in journey order, from 0 */
    const struct cvm_insight *insight;
};

struct cvm_key_event_request {
    uint64_t key;
    int32_t as_of_day;
    const struct cvm_journey_insight *insights; /* that hold */
    size_t insight_count;
};

/* In the order of insights, one per insight and feature; an event may come several times. Features
 * of undated attributes have no event. In the arena. */
CVM_MUST_CHECK enum cvm_status cvm_engine_key_events(struct cvm_engine *engine,
                                                     const struct cvm_key_event_request *request,
                                                     struct cvm_arena *arena,
                                                     struct cvm_key_event **out_events,
                                                     size_t *out_count, struct cvm_error *err);

#endif
