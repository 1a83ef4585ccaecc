/* state.h - what agents tell each other besides messages: who is there, counters, who is first.
 * "memory:" within one process, "redis://" between many.
 *
 * Nothing here is the truth: it may be lost at any moment, and then costs time, never correctness.
 * Leases that commits depend on are the store's (storage/workflow_store.h).
 *
 * Thread safety: one for all threads. With "redis://" the process must ignore SIGPIPE. Time is the
 * server's where there is one, else the context's.
 */
#ifndef CVM_STORAGE_STATE_H
#define CVM_STORAGE_STATE_H

#include <stdint.h>

#include "base/context.h"
#include "base/error.h"
#include "base/text.h"

struct cvm_state;

struct cvm_state_options {
    const char *prefix; /* of every name on a shared server, one per store; NULL = none */
    int timeout_ms;     /* how long a server may take to answer; 0 = 100 */
};

/* "memory:" or "redis://[user:password@]host[:port][/db]". Nothing is connected yet. CVM_E_INVALID
 * for another URL; no message ever holds the password. */
CVM_MUST_CHECK enum cvm_status cvm_state_open(const char *url,
                                              const struct cvm_state_options *options,
                                              struct cvm_state **out_state, struct cvm_error *err);
void cvm_state_close(struct cvm_state *state); /* NULL is fine; nobody may be using it */
/* Is it there? CVM_E_UNAVAILABLE, CVM_E_DENIED when it refuses user or password. */
CVM_MUST_CHECK enum cvm_status
cvm_state_check(struct cvm_state *state, const struct cvm_context *context, struct cvm_error *err);

#define CVM_STATE_NAME_MAX  100 /* of names, owners and members, at least 1 */
#define CVM_STATE_VALUE_MAX 1024

/* Every call below: CVM_E_UNAVAILABLE when the state is away, CVM_E_LIMIT when it is full. */

/* Add when the total then lies within 0 .. most, in one step whoever adds at the same time. The
 * counter is forgotten ttl_ms after its first addition. */
struct cvm_state_addition {
    const char *counter;
    int64_t amount; /* may be negative; amounts and totals below 2^53 */
    int64_t most;
    int64_t ttl_ms; /* > 0 */
};
/* CVM_E_CONFLICT: it would not lie within. *out_total is the total as it stands then. */
CVM_MUST_CHECK enum cvm_status cvm_state_add(struct cvm_state *state,
                                             const struct cvm_context *context,
                                             const struct cvm_state_addition *addition,
                                             int64_t *out_total, struct cvm_error *err);

/* Be the first: take the name, or keep it for longer. Each taking has a higher epoch, until the
 * state is lost. CVM_E_CONFLICT: another owner has it. */
struct cvm_state_claim {
    const char *name;
    const char *owner;
    int64_t ttl_ms; /* > 0 */
};
CVM_MUST_CHECK enum cvm_status cvm_state_take(struct cvm_state *state,
                                              const struct cvm_context *context,
                                              const struct cvm_state_claim *claim,
                                              int64_t *out_epoch, struct cvm_error *err);
/* Nothing when the owner does not have it. */
CVM_MUST_CHECK enum cvm_status cvm_state_give_back(struct cvm_state *state,
                                                   const struct cvm_context *context,
                                                   const struct cvm_state_claim *claim,
                                                   struct cvm_error *err);

/* Be a member of a group with a value, for ttl_ms: a heartbeat says it again. */
struct cvm_state_member {
    const char *group;
    const char *member;
    const char *value; /* a text */
    int64_t ttl_ms;    /* > 0 */
};
CVM_MUST_CHECK enum cvm_status cvm_state_announce(struct cvm_state *state,
                                                  const struct cvm_context *context,
                                                  const struct cvm_state_member *member,
                                                  struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_state_leave(struct cvm_state *state,
                                               const struct cvm_context *context,
                                               const struct cvm_state_member *member,
                                               struct cvm_error *err);
/* In no order; texts until on_member returns. on_member must not ask the state. */
typedef enum cvm_status (*cvm_state_member_fn)(void *state, const char *member, const char *value,
                                               struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_state_members(struct cvm_state *state,
                                                 const struct cvm_context *context,
                                                 const char *group, cvm_state_member_fn on_member,
                                                 void *on_member_state, struct cvm_error *err);
/* For how long the group has had a member without a break; 0 = it has none. Lost, it begins anew:
 * who was there before may not be a member again yet. INT64_MAX where nothing is ever lost. */
CVM_MUST_CHECK enum cvm_status cvm_state_group_age(struct cvm_state *state,
                                                   const struct cvm_context *context,
                                                   const char *group, int64_t *out_age_ms,
                                                   struct cvm_error *err);

#endif
