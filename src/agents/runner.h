/* runner.h - one delivery, one turn: the only place where an agent's effects are kept.
 *
 * A runner is a worker of one kind: it looks whether the message's work is still wanted, lets the
 * kind handle it, and keeps effects, checkpoint and mark of the message in one transaction. It
 * knows no broker and no threads, so that a simulator can drive it step by step.
 *
 * Thread safety: one runner per thread.
 */
#ifndef CVM_AGENTS_RUNNER_H
#define CVM_AGENTS_RUNNER_H

#include "agents/agent.h"
#include "base/trace.h"
#include "storage/broker_offset.h"

struct cvm_runner;

struct cvm_runner_options {
    const struct cvm_agent_site *site;
    const struct cvm_agent_kind *kind;
    const char *queue; /* NULL = the kind's */
    const struct cvm_context *context;
    const char *name; /* of this worker, "treatment-1@host.4711": what rows say who did it */
    int64_t incarnation;
    uint64_t seed;
};
CVM_MUST_CHECK enum cvm_status cvm_runner_create(const struct cvm_runner_options *options,
                                                 struct cvm_runner **out_runner,
                                                 struct cvm_error *err);
void cvm_runner_destroy(struct cvm_runner *runner); /* NULL is fine */

/* What to do with the delivery. */
enum cvm_turn_end {
    CVM_TURN_DONE,      /* kept, now or before: acknowledge */
    CVM_TURN_DUPLICATE, /* kept before: acknowledge */
    CVM_TURN_STALE,     /* nobody wants it any more: its attempt was given up: acknowledge */
    CVM_TURN_FAILED,    /* the failure is kept, and whoever asked is told: acknowledge */
    CVM_TURN_LATER,     /* not even that: give it back */
    CVM_TURN_POISON,    /* it can not be handled by anybody: a dead letter */
    CVM_TURN_ENDS,
};
const char *cvm_turn_end_name(enum cvm_turn_end end);

struct cvm_turn_report {
    enum cvm_turn_end end;
    enum cvm_status status;                 /* of what failed */
    struct cvm_error err;                   /* the same */
    double seconds;                         /* of the handling */
    double commit_seconds;                  /* of keeping it; 0 = it was not */
    bool offset_is_kept;                    /* with what was kept */
    char traceparent[CVM_TRACEPARENT_SIZE]; /* of the turn: a span of the message's trace */
    struct cvm_text *answer; /* for who waits: JSON; empty where nothing was answered */
};

/* `answer` is cleared and filled. `offset` is where the message's log goes on after it, kept in the
 * transaction of the turn; NULL where the broker knows by itself. A turn that ends without one
 * leaves it to the caller. Acknowledge only after this has returned. */
struct cvm_turn_report cvm_runner_turn(struct cvm_runner *runner,
                                       const struct cvm_envelope *message,
                                       const struct cvm_broker_offset *offset,
                                       struct cvm_text *answer);

#endif
