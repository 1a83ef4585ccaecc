/* workflow_store.h - workflows: what was accepted, how far it is, and what has to be looked at.
 *
 * Rows only; what a workflow does next is decided by workflows/flow.h. Whoever decides locks the
 * workflow's row for its transaction, so that two never decide at once. Steps: step_store.h.
 *
 * Writing happens inside the caller's transaction. Records live in the arena.
 */
#ifndef CVM_STORAGE_WORKFLOW_STORE_H
#define CVM_STORAGE_WORKFLOW_STORE_H

#include "base/arena.h"
#include "storage/store.h"

#define CVM_WORKFLOW_ID_MAX  64 /* bytes */
#define CVM_WORKFLOW_KEY_MAX 200

enum cvm_workflow_state {
    CVM_WORKFLOW_ACCEPTED,
    CVM_WORKFLOW_RUNNING,
    CVM_WORKFLOW_WAITING,   /* running, and nothing can be done before a moment to come */
    CVM_WORKFLOW_PAUSED,    /* until somebody resumes it */
    CVM_WORKFLOW_COMPLETED, /* from here on it has ended */
    CVM_WORKFLOW_FAILED,
    CVM_WORKFLOW_CANCELLED,
    CVM_WORKFLOW_DEAD, /* given up after too many recoveries */
    CVM_WORKFLOW_STATES,
};
const char *cvm_workflow_state_name(enum cvm_workflow_state state);
bool cvm_workflow_has_ended(enum cvm_workflow_state state);
/* Index of the name, or -1. */
int cvm_workflow_state_parse(const char *name);

struct cvm_workflow {
    const char *workflow_id;
    const char *name;
    const char *definition; /* digest of its text */
    enum cvm_workflow_state state;
    const char *idempotency_key;
    const char *input_digest;
    const char *input;  /* JSON */
    const char *run_id; /* NULL = none yet */
    int64_t shards;     /* -1 = not known yet */
    int64_t partition_no;
    int64_t priority;
    int64_t epoch;
    int64_t recovery_attempts;
    int64_t created_ms;
    int64_t started_ms; /* 0 = not yet; so with those below */
    int64_t finished_ms;
    int64_t deadline_ms;
    int64_t wake_ms; /* to be looked at by then */
    const char *result;
    const char *error;
    const char *who;
    const char *traceparent;
};

/* ---- definitions ---- */

/* Nothing when it is there. */
CVM_MUST_CHECK enum cvm_status cvm_workflow_definition_add(struct cvm_store *store,
                                                           const char *digest, const char *name,
                                                           const char *body, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status
cvm_workflow_definition_get(struct cvm_store *store, struct cvm_arena *arena, const char *digest,
                            const char **out_body, struct cvm_error *err);

/* ---- workflows ---- */

/* A new one, accepted. *out_is_new false: its key (or id) is taken, and nothing has changed. */
CVM_MUST_CHECK enum cvm_status cvm_workflow_add(struct cvm_store *store,
                                                const struct cvm_workflow *workflow,
                                                bool *out_is_new, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_workflow_by_key(struct cvm_store *store, struct cvm_arena *arena,
                                                   const char *idempotency_key,
                                                   struct cvm_workflow *out_workflow,
                                                   struct cvm_error *err);
/* By id, the beginning of one, or the run that it makes; "latest" is the newest. CVM_E_NOT_FOUND,
 * CVM_E_CONFLICT when several begin so. */
CVM_MUST_CHECK enum cvm_status cvm_workflow_find(struct cvm_store *store, struct cvm_arena *arena,
                                                 const char *name,
                                                 struct cvm_workflow *out_workflow,
                                                 struct cvm_error *err);
/* By id; the row is this transaction's until its end. CVM_E_NOT_FOUND. */
CVM_MUST_CHECK enum cvm_status cvm_workflow_lock(struct cvm_store *store, struct cvm_arena *arena,
                                                 const char *workflow_id,
                                                 struct cvm_workflow *out_workflow,
                                                 struct cvm_error *err);
/* Keeps state, run, shards, epoch, recovery attempts, started, finished, wake, result and error of
 * a row that was locked. */
CVM_MUST_CHECK enum cvm_status cvm_workflow_put(struct cvm_store *store,
                                                const struct cvm_workflow *workflow,
                                                struct cvm_error *err);

typedef enum cvm_status (*cvm_workflow_fn)(void *state, const struct cvm_workflow *workflow,
                                           struct cvm_error *err);
/* Newest first; state NULL = all; made before before_ms, 0 = from the newest. */
CVM_MUST_CHECK enum cvm_status cvm_workflow_list(struct cvm_store *store, struct cvm_arena *arena,
                                                 const char *state, int64_t before_ms,
                                                 int64_t count_max, cvm_workflow_fn on_workflow,
                                                 void *state_of_fn, struct cvm_error *err);

/* Ids, in the arena. */
struct cvm_workflow_ids {
    const char **ids;
    size_t count;
};
/* Of a partition, to be looked at: a step has news, or its moment has come. The first of higher
 * priority first. */
CVM_MUST_CHECK enum cvm_status cvm_workflow_due(struct cvm_store *store, struct cvm_arena *arena,
                                                int64_t partition_no, int64_t now_ms,
                                                int64_t count_max, struct cvm_workflow_ids *out_ids,
                                                struct cvm_error *err);
/* All of a partition that have not ended: what a new owner of it takes up. */
CVM_MUST_CHECK enum cvm_status cvm_workflow_open_ids(struct cvm_store *store,
                                                     struct cvm_arena *arena, int64_t partition_no,
                                                     struct cvm_workflow_ids *out_ids,
                                                     struct cvm_error *err);
/* When the first of a partition wants to be looked at; 0 = none asked to. */
CVM_MUST_CHECK enum cvm_status cvm_workflow_next_wake(struct cvm_store *store, int64_t partition_no,
                                                      int64_t *out_ms, struct cvm_error *err);
/* How many make a run at present, and neither have ended nor wait for a person. A run reads the
 * data that it began with, and fails when others come in. */
CVM_MUST_CHECK enum cvm_status cvm_workflow_runs_at_work(struct cvm_store *store,
                                                         int64_t *out_count, struct cvm_error *err);
/* How many of a name neither have ended nor wait for a person. */
CVM_MUST_CHECK enum cvm_status cvm_workflow_moving(struct cvm_store *store, const char *name,
                                                   int64_t *out_count, struct cvm_error *err);
/* Forget those that ended before before_ms, with their steps. */
CVM_MUST_CHECK enum cvm_status cvm_workflow_purge(struct cvm_store *store, int64_t before_ms,
                                                  struct cvm_error *err);

#endif
