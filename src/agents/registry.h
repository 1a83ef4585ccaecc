/* registry.h - which processes of agents are there: each says so again with every heartbeat, in the
 * shared state (storage/state.h). Who is silent for CVM_HEARTBEAT_LIFE_MS is not there any more.
 *
 * Nothing rests on it: leases and attempts are the store's. It is for people, and for who asks
 * whether anybody could answer (discovery.h).
 */
#ifndef CVM_AGENTS_REGISTRY_H
#define CVM_AGENTS_REGISTRY_H

#include <stddef.h>

#include "base/arena.h"
#include "storage/state.h"

struct cvm_registry_pool {
    const char *queue; /* of its workers: a kind, or specialists of one */
    int64_t workers;
};
struct cvm_registry_process {
    const char *name; /* "host.4711" */
    const char *version;
    int64_t incarnation; /* another one each time it starts */
    int64_t beat_ms;     /* moment of its last heartbeat, by its own clock */
    bool is_draining;    /* takes no further messages */
    bool orchestrates;
    int64_t in_flight; /* turns */
    const struct cvm_registry_pool *pools;
    size_t pool_count;
};

#define CVM_REGISTRY_MORE_QUEUES "*" /* in place of pools that are too many to be listed */

CVM_MUST_CHECK enum cvm_status cvm_registry_say(struct cvm_state *state,
                                                const struct cvm_context *context,
                                                const struct cvm_registry_process *process,
                                                struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_registry_leave(struct cvm_state *state,
                                                  const struct cvm_context *context,
                                                  const char *name, struct cvm_error *err);

struct cvm_registry {
    struct cvm_registry_process *items; /* by name; in the arena */
    size_t count;
};
CVM_MUST_CHECK enum cvm_status cvm_registry_read(struct cvm_state *state,
                                                 const struct cvm_context *context,
                                                 struct cvm_arena *arena,
                                                 struct cvm_registry *out_registry,
                                                 struct cvm_error *err);
/* As cvm_state_group_age(). */
CVM_MUST_CHECK enum cvm_status cvm_registry_age(struct cvm_state *state,
                                                const struct cvm_context *context,
                                                int64_t *out_age_ms, struct cvm_error *err);

#endif
