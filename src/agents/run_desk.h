/* run_desk.h - the run that a worker is at: an engine that sees what the run began with, and a job
 * on it. Kept from turn to turn, since the next message is mostly about the same run.
 */
#ifndef CVM_AGENTS_RUN_DESK_H
#define CVM_AGENTS_RUN_DESK_H

#include "agents/agent.h"
#include "engine/run_steps.h"

struct cvm_run_desk;

/* threads: of the engine; 0 = one per core. */
CVM_MUST_CHECK enum cvm_status cvm_run_desk_create(const struct cvm_agent_site *site,
                                                   const struct cvm_context *context,
                                                   size_t threads, struct cvm_run_desk **out_desk,
                                                   struct cvm_error *err);
void cvm_run_desk_destroy(struct cvm_run_desk *desk); /* NULL is fine */

/* What a message about a run says of it: the output of the step that began it. */
struct cvm_run_ticket {
    const char *run_id; /* NULL: the run is not known yet */
    int64_t parts;
    int64_t catalogue_version; /* 0 = the one in force */
    int64_t last_batch;        /* 0 = the last */
    const struct cvm_json_value *request;
};
/* Of the step "begin", and of the request in the workflow's input. CVM_E_INVALID when there is
 * none. */
CVM_MUST_CHECK enum cvm_status cvm_run_desk_ticket(const struct cvm_turn *turn,
                                                   struct cvm_run_ticket *out_ticket,
                                                   struct cvm_error *err);
/* The job on this run, opened and not yet begun or joined, or the one that is open already: with a
 * run of the process' own it is joined, too, once it has begun, and the writer is to be locked.
 * `writer` as in struct cvm_run_work. It stays the desk's. */
CVM_MUST_CHECK enum cvm_status cvm_run_desk_open(struct cvm_run_desk *desk,
                                                 const struct cvm_run_ticket *ticket,
                                                 struct cvm_store *writer,
                                                 struct cvm_run_job **out_job, bool *out_is_new,
                                                 struct cvm_error *err);
/* The catalogue that the job works with, and the last batch that it sees. */
int64_t cvm_run_desk_catalogue_version(const struct cvm_run_desk *desk);
int64_t cvm_run_desk_last_batch(const struct cvm_run_desk *desk);
/* The worker's: to value with. */
struct cvm_engine *cvm_run_desk_engine(const struct cvm_run_desk *desk);
/* Forget the run: it is over, or something went wrong with it. */
void cvm_run_desk_clear(struct cvm_run_desk *desk);

#endif
