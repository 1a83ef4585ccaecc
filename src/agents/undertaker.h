/* undertaker.h - what the broker gave up becomes a dead letter in the store, where a person finds
 * it.
 *
 * Messages that no agent can read, that one refused, or that came too often end in the broker's
 * queue "dead". Whoever orchestrates takes them from there: kept once, with their bytes, then
 * acknowledged. When CVM_UNDERTAKER_LETTERS_MAX letters wait for a person the rest stays in "dead",
 * which has a bound of its own.
 *
 * For one thread; waits for nothing.
 */
#ifndef CVM_AGENTS_UNDERTAKER_H
#define CVM_AGENTS_UNDERTAKER_H

#include "agents/agent.h"

struct cvm_broker;
struct cvm_undertaker;

#define CVM_UNDERTAKER_LETTERS_MAX 10000

CVM_MUST_CHECK enum cvm_status cvm_undertaker_create(const struct cvm_agent_site *site,
                                                     const struct cvm_context *context,
                                                     struct cvm_broker *broker,
                                                     struct cvm_undertaker **out_undertaker,
                                                     struct cvm_error *err);
void cvm_undertaker_destroy(struct cvm_undertaker *undertaker); /* NULL is fine */

/* Take what has come. After a failure (the broker or the store is away) it comes again: call again
 * later. */
CVM_MUST_CHECK enum cvm_status cvm_undertaker_look(struct cvm_undertaker *undertaker,
                                                   struct cvm_error *err);

#endif
