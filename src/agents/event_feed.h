/* event_feed.h - the thread of a process that takes events off the broker's queue `event`, in
 * batches: what came within a moment is stored by one import.
 *
 * One process of all feeds at a time, under a lease: an import excludes the turns of all agents, so
 * few big ones are better than many small ones, and events are stored in the order of the queue.
 * The lease is no promise: two that feed at once store nothing twice.
 */
#ifndef CVM_AGENTS_EVENT_FEED_H
#define CVM_AGENTS_EVENT_FEED_H

#include <stdatomic.h>

#include "agents/event_intake.h"

struct cvm_event_feed_options {
    struct cvm_event_intake_options intake;
    struct cvm_broker *broker;
    const char *name; /* of the process: who holds the lease */
    int64_t incarnation;
    bool is_alone; /* the broker is this process: nobody else could feed */
    const atomic_bool *is_stopping;
};
/* Until it is stopped; a batch that has begun ends. While the store or the broker is away, or a run
 * is at work, messages stay in the broker. All options are borrowed. */
CVM_MUST_CHECK enum cvm_status cvm_event_feed(const struct cvm_event_feed_options *options,
                                              struct cvm_error *err);

#endif
