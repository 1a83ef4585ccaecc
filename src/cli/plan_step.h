/* plan_step.h - what the commands that move a plan share: who does it, on which plan, and what the
 * check before a release took out. */
#ifndef CVM_CLI_PLAN_STEP_H
#define CVM_CLI_PLAN_STEP_H

#include "cli/document.h"
#include "cli/work.h"
#include "engine/release.h"
#include "storage/plan_store.h"

struct cvm_plan_step {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    const char *who; /* "cli:root", or "cli:root as ANNA" with --as ANNA */
    const char *why; /* --why, or "" */
    struct cvm_run_record run;
};
/* Reads the options; CVM_E_INVALID (usage) when `needs_why` and there is none. */
CVM_MUST_CHECK enum cvm_status cvm_plan_step_init(struct cvm_plan_step *step,
                                                  struct cvm_session *session,
                                                  const struct cvm_arguments *arguments,
                                                  bool needs_why, struct cvm_error *err);
/* The run of the first argument, which must be done. */
CVM_MUST_CHECK enum cvm_status cvm_plan_step_find(struct cvm_plan_step *step,
                                                  struct cvm_store *store, struct cvm_error *err);
/* CVM_E_CONFLICT for the run of a day's single decisions: they were answered at once. */
CVM_MUST_CHECK enum cvm_status cvm_plan_step_is_plan(const struct cvm_plan_step *step,
                                                     struct cvm_error *err);
/* Inside the caller's transaction; an impossible step has a hint about the possible one. */
CVM_MUST_CHECK enum cvm_status cvm_plan_step_set(struct cvm_plan_step *step,
                                                 struct cvm_store *writer, const char *state,
                                                 const char *why, struct cvm_error *err);

/* The person of "cli:root as ANNA": ANNA; of "cli:root" and "x as cli:root": root. */
const char *cvm_plan_person(const char *who);

/* ---- what a check took out ---- */

struct cvm_withdrawn {
    struct cvm_arena *arena;
    struct cvm_withdrawn_item *first, *last; /* up to a limit */
    int64_t shown;
    int64_t count;
    int64_t by_reason[CVM_REASON_COUNT];
};
/* A cvm_decision_fn. */
enum cvm_status cvm_withdrawn_add(void *withdrawn, const struct cvm_decision *decision,
                                  struct cvm_error *err);
/* "withdrawn": {count, by_reason{}, decisions[]} into the open object. */
void cvm_withdrawn_write(const struct cvm_withdrawn *withdrawn, struct cvm_json_writer *json);
void cvm_withdrawn_print(const struct cvm_withdrawn *withdrawn, FILE *out);

/* Check the decisions that `request` asks for and withdraw, in a transaction of its own when
 * `state` is NULL, else in the one that also moves the plan to that state. */
CVM_MUST_CHECK enum cvm_status
cvm_plan_step_check(struct cvm_plan_step *step, struct cvm_work *work,
                    struct cvm_release_request *request, const char *state,
                    struct cvm_withdrawn *withdrawn, int64_t *out_checked, struct cvm_error *err);

#endif
