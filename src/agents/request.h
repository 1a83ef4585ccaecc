/* request.h - send and wait: ask an agent for one thing now, as the command line and the API do.
 * Agents themselves never wait.
 */
#ifndef CVM_AGENTS_REQUEST_H
#define CVM_AGENTS_REQUEST_H

#include "base/context.h"
#include "base/json_reader.h"
#include "base/random.h"
#include "base/text.h"
#include "model/envelope.h"

struct cvm_broker;
struct cvm_requester;
struct cvm_state;

/* With a link and a queue for answers of its own; for one thread. `name` is told apart from those
 * of other processes; borrowed. */
CVM_MUST_CHECK enum cvm_status
cvm_requester_open(struct cvm_broker *broker, const struct cvm_context *context, const char *name,
                   uint64_t seed, struct cvm_requester **out_requester, struct cvm_error *err);
void cvm_requester_close(struct cvm_requester *requester); /* NULL is fine */
/* Where all who may answer say that they are there (registry.h); borrowed. Without, or while it is
 * away, nothing is known of them, and answers are waited for. */
void cvm_requester_discover(struct cvm_requester *requester, struct cvm_state *registry);

struct cvm_request {
    const char *queue; /* "treatment" */
    enum cvm_message_type type;
    const char *payload; /* JSON */
    int64_t timeout_ms;
    const char *instead; /* asked in place of `queue` where nobody serves that one, but this one:
                            "treatment" for "treatment.call_center"; NULL = nobody */
};
/* out_answer gets {"end": "done", "output": {...}} or {"end": ..., "error": text}: what the agent
 * said, also when it could not. CVM_E_TIMEOUT when nobody answered in time; the work may be done
 * all the same. CVM_E_NOT_FOUND when it turns out before (registry.h) that nobody is there
 * who could: the question stays in its queue until its time is over. CVM_E_UNAVAILABLE when the
 * broker is away. */
CVM_MUST_CHECK enum cvm_status cvm_requester_ask(struct cvm_requester *requester,
                                                 const struct cvm_request *request,
                                                 struct cvm_text *out_answer,
                                                 struct cvm_error *err);

#endif
