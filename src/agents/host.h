/* host.h - a process of agents: workers with links to the broker, an orchestrator where it is asked
 * for, and a heartbeat; from start to the end of the last turn.
 *
 * Each worker is a thread with a link and a runner of its own. A turn that has begun ends; then the
 * worker stops. What it held unacknowledged comes again to another process.
 */
#ifndef CVM_AGENTS_HOST_H
#define CVM_AGENTS_HOST_H

#include "agents/agent.h"
#include "messaging/broker.h"
#include "workflows/schedule.h"

struct cvm_state;
struct cvm_host;

#define CVM_HOST_POOLS_MAX 32
#define CVM_ORCHESTRATION  "orchestration" /* its queue, for hints that there is news */

struct cvm_host_pool {
    const char *queue; /* a kind, or one of its specialists: "treatment.call_center" */
    size_t workers;    /* at first, and at least */
    size_t most;       /* at most, as busy as they are; less than `workers`: their number stays */
};
size_t cvm_host_pool_most(const struct cvm_host_pool *pool);

struct cvm_host_options {
    const struct cvm_agent_site *site;
    const struct cvm_context *context;
    struct cvm_broker *broker;
    struct cvm_state *state; /* where it says that it is there (registry.h); NULL = nowhere */
    bool knows_all;          /* everybody on the broker says so there, too */
    const char *name;        /* of the process, "host.4711", at most 32 bytes */
    int64_t incarnation;     /* another one each time it starts */
    struct cvm_host_pool pools[CVM_HOST_POOLS_MAX];
    size_t pool_count;
    const struct cvm_agent_kind *const *kinds; /* ends with NULL; NULL = cvm_agent_kinds */
    bool orchestrates;
    struct cvm_schedules schedules; /* as in orchestrator.h */
    const struct cvm_definition *const *scheduled;
    bool is_adjusted_by_hand; /* by cvm_host_adjust() alone; else every CVM_SCALE_EVERY_MS, too */
    bool is_alone;            /* the broker is this process: what was on its way is gone with it */
    uint64_t seed;
};
/* What the broker of a host is opened with: the places in logs of messages are kept in the store,
 * each with the work that it is behind. Hints are of no use later: who gets their partition goes on
 * with those to come. */
struct cvm_broker_offsets cvm_host_offsets(struct cvm_agent_writer *writer);

/* All are borrowed until it is stopped. CVM_E_NOT_FOUND names a queue that no kind serves. When it
 * fails nothing runs. */
CVM_MUST_CHECK enum cvm_status cvm_host_start(const struct cvm_host_options *options,
                                              struct cvm_host **out_host, struct cvm_error *err);
/* No further turn begins; waits for those that have. The error of a worker that had to stop by
 * itself. NULL is fine. */
CVM_MUST_CHECK enum cvm_status cvm_host_stop(struct cvm_host *host, struct cvm_error *err);
/* True once a worker, or the orchestrator, had to stop by itself. */
bool cvm_host_has_failed(const struct cvm_host *host);

/* A look at how busy the pools are, and how many workers each shall have (adjuster.h). For one
 * thread; for a host that is adjusted by hand. */
CVM_MUST_CHECK enum cvm_status cvm_host_adjust(struct cvm_host *host, struct cvm_error *err);
/* Workers of the pool that shall be at work now. */
size_t cvm_host_workers(const struct cvm_host *host, size_t pool);

/* How many turns ended how, by enum cvm_turn_end. */
void cvm_host_counts(const struct cvm_host *host, uint64_t *counts);

#endif
