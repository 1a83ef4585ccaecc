/* event_intake.h - messages of the queue of events, many at a time, to events in the store and
 * workflows that look at them.
 *
 * A message is an envelope of type EVENT with JSON for payload, or the JSON itself:
 *
 *     {"source": "churn_score", "event": {...}}
 *
 * "event" may be a list of events of the source, the whole may be a list of such objects, and
 * "as_of", a day, may stand beside "source". What can not be stored becomes a dead letter with the
 * reason, each event for itself; the others go on.
 *
 * All of it is done before the messages are acknowledged, and may be done again (event_batch.h).
 * It knows no broker and no threads; event_feed.h is who calls it.
 */
#ifndef CVM_AGENTS_EVENT_INTAKE_H
#define CVM_AGENTS_EVENT_INTAKE_H

#include "agents/agent.h"
#include "messaging/broker.h"
#include "workflows/definition.h"

struct cvm_event_intake;

struct cvm_event_intake_options {
    const struct cvm_agent_site *site;
    const struct cvm_context *context;
    const struct cvm_definition *definition; /* of CVM_EVENT_WORKFLOW */
    bool has_offsets; /* deliveries have them: kept with their work (storage/broker_offset.h) */
    uint64_t seed;
};
/* All are borrowed. */
CVM_MUST_CHECK enum cvm_status
cvm_event_intake_create(const struct cvm_event_intake_options *options,
                        struct cvm_event_intake **out_intake, struct cvm_error *err);
void cvm_event_intake_destroy(struct cvm_event_intake *intake); /* NULL is fine */

#define CVM_EVENTS_OPEN_MAX 500 /* as many workflows of events are open before others wait */

struct cvm_event_take {
    const char *held_up_by; /* why nothing was done, and the messages are to wait; NULL = it was */
    int64_t events;         /* in the messages, bad ones too */
    int64_t stored;         /* new, or new versions */
    int64_t started;        /* workflows */
    int64_t dead;           /* letters */
    double seconds;
};
/* After CVM_OK, and unless they are to wait, all deliveries are done with: acknowledge them. After
 * an error none is, whatever has been stored: call again with the same ones, or let them come
 * again. */
CVM_MUST_CHECK enum cvm_status cvm_event_intake_take(struct cvm_event_intake *intake,
                                                     const struct cvm_delivery *deliveries,
                                                     size_t count, struct cvm_event_take *out_take,
                                                     struct cvm_error *err);
/* Would they have to wait now? A run at work would fail when new data came in; and what agents can
 * not get done in time is better off in the broker. NULL = no. This asks without holding up
 * anybody. */
CVM_MUST_CHECK enum cvm_status cvm_event_intake_look(struct cvm_event_intake *intake,
                                                     const char **out_held_up_by,
                                                     struct cvm_error *err);

#endif
