/* progress.h - what a workflow does next: a pure function of its rows and the moment.
 *
 * Nothing here remembers anything between calls, reads a clock or writes: rows in, changed rows and
 * steps to be sent out. So a recovery is the same call on the same rows, a wake-up that comes twice
 * or for nothing is harmless, and every case is a test. flow.h reads and keeps the rows.
 *
 * States move by two tables, cvm_step_next() and cvm_workflow_next(), and in no other way.
 */
#ifndef CVM_WORKFLOWS_PROGRESS_H
#define CVM_WORKFLOWS_PROGRESS_H

#include "storage/step_store.h"
#include "storage/workflow_store.h"
#include "workflows/definition.h"

/* ---- states ---- */

enum cvm_step_event {
    CVM_STEP_SEND,      /* or send again, when its message is lost */
    CVM_STEP_RESULT,    /* a worker made it */
    CVM_STEP_FAILURE,   /* an attempt failed, or took too long */
    CVM_STEP_GIVE_UP,   /* no attempt is left */
    CVM_STEP_PASS_OVER, /* it is not wanted any more */
    CVM_STEP_AGAIN,     /* a person resumes the workflow */
    CVM_STEP_EVENTS,
};
enum cvm_workflow_event {
    CVM_WORKFLOW_START,
    CVM_WORKFLOW_WAIT, /* for a moment to come */
    CVM_WORKFLOW_GO_ON,
    CVM_WORKFLOW_PAUSE,
    CVM_WORKFLOW_RESUME,
    CVM_WORKFLOW_COMPLETE,
    CVM_WORKFLOW_FAIL,
    CVM_WORKFLOW_CANCEL,
    CVM_WORKFLOW_DIE, /* too many recoveries */
    CVM_WORKFLOW_EVENTS,
};
/* The state after the event; -1 when the event is none of this state. */
int cvm_step_next(enum cvm_step_state state, enum cvm_step_event event);
int cvm_workflow_next(enum cvm_workflow_state state, enum cvm_workflow_event event);

/* ---- why an attempt failed ---- */

enum cvm_failure_class {
    CVM_FAILURE_TRANSIENT, /* later, it may go well */
    CVM_FAILURE_THROTTLED, /* the same: something is busy */
    CVM_FAILURE_TIMEOUT,   /* the same: nobody answered */
    CVM_FAILURE_POISON,    /* it will never go well: the message, or a bug */
    CVM_FAILURE_EXPIRED,   /* the deadline has passed */
    CVM_FAILURE_CHANGED,   /* what it was about is not there any more, or another's */
    CVM_FAILURE_BUDGET,    /* a limit of the workflow is used up */
    CVM_FAILURE_CLASSES,
};
const char *cvm_failure_name(enum cvm_failure_class failure);
enum cvm_failure_class cvm_failure_of_status(enum cvm_status status);
/* NULL and unknown names may be repeated. */
bool cvm_failure_may_repeat(const char *name);

/* ---- progress ---- */

#define CVM_WORKFLOW_RECOVERIES_MAX 5

struct cvm_progress_means {
    int64_t now_ms;
    int64_t epoch; /* of the lease under which it is decided */
    /* The pause after so many failed attempts; NULL = the step's cap. */
    int64_t (*pause_ms)(void *state, const struct cvm_definition_step *step, int64_t failures);
    /* May the step be sent now? false: when to ask again. No attempt is used up. NULL = always. */
    bool (*may_send)(void *state, const struct cvm_definition_step *step, int64_t *out_again_ms);
    bool gives_up_at_once; /* who asked waits for no second attempt */
    void *state;
};

struct cvm_progress {
    struct cvm_workflow workflow; /* as it is now */
    struct cvm_step *steps;       /* the same, in the order of the rows */
    bool *is_changed;             /* per row */
    bool *is_late;                /* per row: an attempt took too long, and counts as failed */
    size_t *sends;                /* rows to be sent */
    size_t send_count;
    size_t row_count;
};

struct cvm_progress_rows {
    const struct cvm_definition *definition;
    const struct cvm_workflow *workflow;
    const struct cvm_steps *steps; /* by step and shard; once the shards are known, all of them */
    const struct cvm_progress_means *means;
};
/* CVM_E_CORRUPT when the rows are not those of the definition. */
CVM_MUST_CHECK enum cvm_status cvm_progress_make(struct cvm_arena *arena,
                                                 const struct cvm_progress_rows *rows,
                                                 struct cvm_progress *out_progress,
                                                 struct cvm_error *err);

/* Somebody else takes the workflow up, after a crash. With `is_lost` the messages that were on
 * their way are gone: they are sent again, under a new attempt that none of the allowed ones is
 * used up for. After CVM_WORKFLOW_RECOVERIES_MAX times without news of any step it is dead. */
CVM_MUST_CHECK enum cvm_status cvm_progress_recover(struct cvm_arena *arena,
                                                    const struct cvm_progress_rows *rows,
                                                    bool is_lost, struct cvm_progress *out_progress,
                                                    struct cvm_error *err);

/* It can not go on, for this reason (borrowed). */
CVM_MUST_CHECK enum cvm_status
cvm_progress_fail(struct cvm_arena *arena, const struct cvm_progress_rows *rows, const char *error,
                  struct cvm_progress *out_progress, struct cvm_error *err);

/* A person's choice: CANCEL, PAUSE or RESUME. CVM_E_CONFLICT when the state does not allow it. */
CVM_MUST_CHECK enum cvm_status cvm_progress_order(struct cvm_arena *arena,
                                                  const struct cvm_progress_rows *rows,
                                                  enum cvm_workflow_event event,
                                                  struct cvm_progress *out_progress,
                                                  struct cvm_error *err);

#endif
