/* adjuster.h - how busy the pools of a host are, how many of their workers shall be at work
 * (scale.h), and the figures of both for whoever watches.
 *
 * Workers tell it of their turns and ask whether they are wanted. Somebody looks every
 * CVM_SCALE_EVERY_MS: a look measures, chooses, and leaves a log line and a row (agent_events.h)
 * with its figures for each change.
 *
 * A breaker stands before the store: where turns could not even keep that they failed, or commits
 * are slow, workers take no messages for a while, so that no attempts are used up.
 *
 * Thread safety: all but cvm_adjuster_look(), which is for one thread, from any thread.
 */
#ifndef CVM_AGENTS_ADJUSTER_H
#define CVM_AGENTS_ADJUSTER_H

#include "agents/host.h"
#include "agents/runner.h"

#define CVM_ADJUSTER_COMMIT_SLOW_S 0.5

struct cvm_adjuster;

/* The options of the host are borrowed until it is destroyed. */
CVM_MUST_CHECK enum cvm_status cvm_adjuster_create(const struct cvm_host_options *options,
                                                   struct cvm_adjuster **out_adjuster,
                                                   struct cvm_error *err);
void cvm_adjuster_destroy(struct cvm_adjuster *adjuster); /* NULL is fine */

/* Workers of the pool that shall be at work: those with smaller numbers. */
size_t cvm_adjuster_wanted(struct cvm_adjuster *adjuster, size_t pool);

/* May a message be taken now? Then cvm_adjuster_took_none() or cvm_adjuster_began() follows. */
bool cvm_adjuster_may_take(struct cvm_adjuster *adjuster);
void cvm_adjuster_took_none(struct cvm_adjuster *adjuster);
void cvm_adjuster_began(struct cvm_adjuster *adjuster, size_t pool);
void cvm_adjuster_ended(struct cvm_adjuster *adjuster, size_t pool,
                        const struct cvm_turn_report *report);

/* Measure and choose. Errors say that broker or store are away: look again later. */
CVM_MUST_CHECK enum cvm_status cvm_adjuster_look(struct cvm_adjuster *adjuster,
                                                 struct cvm_error *err);

#endif
