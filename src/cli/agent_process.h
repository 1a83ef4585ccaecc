/* agent_process.h - what commands open that run agents: a writer, a broker, the shared state, and a
 * host with the workers.
 */
#ifndef CVM_CLI_AGENT_PROCESS_H
#define CVM_CLI_AGENT_PROCESS_H

#include "agents/host.h"
#include "cli/command.h"

#define CVM_PROCESS_NAME_SIZE 33

struct cvm_agent_process_options {
    const char *types; /* "data,treatment", "treatment.call_center", "orchestration", "all" */
    int64_t workers; /* of each type; 0 = as configured, else one, and of treatment one per core */
    int64_t workers_max; /* as busy as they are; 0 = as configured, else their number stays */
    int64_t threads;     /* of the solver; 0 = one per core */
};

struct cvm_agent_process {
    struct cvm_session *session;
    struct cvm_store *store;
    struct cvm_agent_site site;
    struct cvm_signing_key audit_key;
    struct cvm_context context; /* of the agents: what cancels the command lets them end a turn */
    struct cvm_broker *broker;
    struct cvm_state *state;
    struct cvm_state *registry; /* the state, where all on the broker say that they are there; else
                                   NULL: nothing is known of others */
    struct cvm_schedules schedules; /* of cvm.yaml, where it orchestrates */
    const struct cvm_definition *const *scheduled;
    struct cvm_host *host;
    char name[CVM_PROCESS_NAME_SIZE]; /* "host.4711" */
    char prefix[40];                  /* of names on shared servers: one per store */
};

/* CVM_E_INVALID names a type that is none; CVM_E_UNAVAILABLE a store that another process writes
 * and that only one can. On failure nothing is left open. */
CVM_MUST_CHECK enum cvm_status
cvm_agent_process_open(struct cvm_session *session, const struct cvm_agent_process_options *options,
                       struct cvm_agent_process *out_process, struct cvm_error *err);
/* What would stop it from opening, without a worker: the same errors. Nothing is left open. */
CVM_MUST_CHECK enum cvm_status
cvm_agent_process_check(struct cvm_session *session,
                        const struct cvm_agent_process_options *options, struct cvm_error *err);
/* Waits for the turns that have begun. */
CVM_MUST_CHECK enum cvm_status cvm_agent_process_close(struct cvm_agent_process *process,
                                                       struct cvm_error *err);

/* What every agent of this process is lent, but for the shelf; the writer is to be destroyed. */
CVM_MUST_CHECK enum cvm_status cvm_session_site(const struct cvm_session *session,
                                                struct cvm_store *store,
                                                struct cvm_agent_site *out_site,
                                                struct cvm_error *err);
void cvm_process_name(char name[CVM_PROCESS_NAME_SIZE]);

/* The broker of the configuration, with the store's prefix. */
CVM_MUST_CHECK enum cvm_status cvm_session_broker(struct cvm_session *session,
                                                  struct cvm_store *store, char prefix[40],
                                                  struct cvm_broker **out_broker,
                                                  struct cvm_error *err);
/* The shared state of the configuration, with the same prefix. */
CVM_MUST_CHECK enum cvm_status cvm_session_state(struct cvm_session *session,
                                                 struct cvm_store *store,
                                                 struct cvm_state **out_state,
                                                 struct cvm_error *err);
bool cvm_session_broker_is_local(const struct cvm_session *session);

#endif
