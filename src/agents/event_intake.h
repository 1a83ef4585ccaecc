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
    uint64_t seed;
};
/* All are borrowed. */
CVM_MUST_CHECK enum cvm_status
cvm_event_intake_create(const struct cvm_event_intake_options *options,
                        struct cvm_event_intake **out_intake, struct cvm_error *err);
void cvm_event_intake_destroy(struct cvm_event_intake *intake); /* NULL is fine */

struct cvm_event_take {
    bool must_wait;  /* a run is at work, and new data would end it: nothing was done */
    int64_t events;  /* in the messages, bad ones too */
    int64_t stored;  /* new, or new versions */
    int64_t started; /* workflows */
    int64_t dead;    /* letters */
    double seconds;
};
/* After CVM_OK, and unless it must wait, all deliveries are done with: acknowledge them. After an
 * error none is, whatever has been stored: call again with the same ones, or let them come again.
 */
CVM_MUST_CHECK enum cvm_status cvm_event_intake_take(struct cvm_event_intake *intake,
                                                     const struct cvm_delivery *deliveries,
                                                     size_t count, struct cvm_event_take *out_take,
                                                     struct cvm_error *err);
/* Is a run at work? */
CVM_MUST_CHECK enum cvm_status cvm_event_intake_must_wait(struct cvm_event_intake *intake,
                                                          bool *out_must_wait,
                                                          struct cvm_error *err);

#endif
