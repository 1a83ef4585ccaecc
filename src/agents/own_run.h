/* own_run.h - the run of a command whose agents are threads of its own: the job that they all work
 * at, and what came of it, handed to the command that waits. Nothing is read twice, and an error is
 * the one that its agent met.
 *
 * Thread safety: the job is used by who has locked the writer, but for cvm_run_value(); the rest by
 * any thread.
 */
#ifndef CVM_AGENTS_OWN_RUN_H
#define CVM_AGENTS_OWN_RUN_H

#include "engine/run_steps.h"

struct cvm_own_run;

/* The job, opened from `work`, is its own from now on. `work` is copied, what it names borrowed.
 * NULL when out of memory: then the job is still the caller's. */
struct cvm_own_run *cvm_own_run_create(const struct cvm_run_work *work, struct cvm_run_job *job);
void cvm_own_run_destroy(struct cvm_own_run *own); /* NULL is fine */

/* The workflow that makes it (borrowed), before agents are started. One that is taken up was begun
 * by a process that died. */
void cvm_own_run_name(struct cvm_own_run *own, const char *workflow_id, bool is_taken_up);
const char *cvm_own_run_workflow_id(const struct cvm_own_run *own);
bool cvm_own_run_is_taken_up(const struct cvm_own_run *own);

/* ---- for agents ---- */

struct cvm_engine *cvm_own_run_engine(const struct cvm_own_run *own);
struct cvm_run_job *cvm_own_run_job(const struct cvm_own_run *own);
/* The job after its run has begun: one that a dead process began is joined and taken up. With the
 * writer locked. CVM_E_CONFLICT when it is another run. */
CVM_MUST_CHECK enum cvm_status cvm_own_run_join(struct cvm_own_run *own, const char *run_id,
                                                size_t part_count, struct cvm_run_job **out_job,
                                                struct cvm_error *err);
/* The result is its own from now on. */
void cvm_own_run_finish(struct cvm_own_run *own, struct cvm_run_result *result);
/* A step failed; the first one counts. The end of the workflow follows, unless `is_over`: then
 * nobody will tell of it. */
void cvm_own_run_fail(struct cvm_own_run *own, enum cvm_status status, const struct cvm_error *why,
                      bool is_over);
void cvm_own_run_end(struct cvm_own_run *own); /* the workflow has ended */

/* ---- for the command ---- */

/* Until the workflow has ended. CVM_OK and the result, the caller's then, NULL when no agent of
 * this process made it; or the status and error of the step that failed before there was one. */
CVM_MUST_CHECK enum cvm_status cvm_own_run_wait(struct cvm_own_run *own,
                                                struct cvm_run_result **out_result,
                                                struct cvm_error *err);

#endif
