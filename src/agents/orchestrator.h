/* orchestrator.h - the agent that moves workflows on: it owns partitions of them under leases,
 * looks at those with news, and sends what comes next.
 *
 * Every look is a turn of its own (storage/turn.h) that proves the lease of the partition, so one
 * that was replaced while it slept changes nothing. What is to be sent is committed with the look,
 * and sent afterwards by whoever owns the partition then.
 *
 * It knows no threads and waits for nothing: cvm_orchestrator_look() is called again and again.
 */
#ifndef CVM_AGENTS_ORCHESTRATOR_H
#define CVM_AGENTS_ORCHESTRATOR_H

#include "agents/agent.h"
#include "workflows/schedule.h"

struct cvm_orchestrator;
struct cvm_broker_link;
struct cvm_state;

struct cvm_orchestrator_options {
    const struct cvm_agent_site *site;
    const struct cvm_context *context;
    const char *name; /* of this owner; borrowed */
    int64_t incarnation;
    int64_t lease_ms; /* 0 = 10 s; kept by looks: call them three times as often */
    uint64_t seed;
    bool loses_messages; /* the broker is this process */
    /* Where all who take its messages say that they are there (registry.h); NULL = nothing is
     * known. What goes to a queue that nobody serves waits there, and a log line says so. */
    struct cvm_state *registry;
    /* What starts by the clock, and the definition of each; borrowed. */
    struct cvm_schedules schedules;
    const struct cvm_definition *const *scheduled;
};
CVM_MUST_CHECK enum cvm_status
cvm_orchestrator_create(const struct cvm_orchestrator_options *options,
                        struct cvm_orchestrator **out_orchestrator, struct cvm_error *err);
/* Gives the leases back. NULL is fine. */
void cvm_orchestrator_destroy(struct cvm_orchestrator *orchestrator);

struct cvm_orchestrator_look {
    size_t partitions; /* owned */
    size_t looked;     /* workflows */
    size_t sent;       /* messages that the broker has */
    size_t unsent;     /* those it has not: they wait in the store */
    int64_t wake_ms;   /* when the next workflow wants to be looked at; 0 = none asked to */
};
/* Take, keep and renew leases, look at what is due, send. `link` may be NULL: then nothing is sent.
 * An error says that the store is away: nothing is lost, call again later. */
CVM_MUST_CHECK enum cvm_status cvm_orchestrator_look(struct cvm_orchestrator *orchestrator,
                                                     struct cvm_broker_link *link,
                                                     struct cvm_orchestrator_look *out_look,
                                                     struct cvm_error *err);

#endif
