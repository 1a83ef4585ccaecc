/* agent_events.h - changes of workers (joined, gone, scaled), each with what it was decided from.
 */
#ifndef CVM_STORAGE_AGENT_EVENTS_H
#define CVM_STORAGE_AGENT_EVENTS_H

#include "storage/store.h"

struct cvm_agent_event {
    int64_t agent_event; /* number, given by the store */
    int64_t at_ms;       /* 0 = now */
    const char *agent_type;
    const char *agent; /* "" = all of the type */
    const char *event;
    const char *inputs; /* JSON: the figures that it was decided from */
};
/* Inside the caller's transaction. */
CVM_MUST_CHECK enum cvm_status cvm_agent_event_add(struct cvm_store *store,
                                                   const struct cvm_agent_event *event,
                                                   struct cvm_error *err);
/* Newest first, numbers below `before` (0 = from the newest); texts until on_event returns. */
typedef enum cvm_status (*cvm_agent_event_fn)(void *state, const struct cvm_agent_event *event,
                                              struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_agent_event_list(struct cvm_store *store, int64_t before,
                                                    int64_t count_max, cvm_agent_event_fn on_event,
                                                    void *state, struct cvm_error *err);

#endif
