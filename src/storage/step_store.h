/* step_store.h - the steps of workflows: one row per step and shard, the checkpoint of its work.
 *
 * Workers touch the rows of their steps alone: an attempt's result counts while the row is running
 * under that attempt, so of several workers that do the same work one is kept.
 *
 * Writing happens inside the caller's transaction. Records live in the arena.
 */
#ifndef CVM_STORAGE_STEP_STORE_H
#define CVM_STORAGE_STEP_STORE_H

#include "base/arena.h"
#include "storage/store.h"

#define CVM_STEP_OUTPUT_MAX ((size_t)64 << 10) /* bytes: references, not data */
#define CVM_STEP_SHARD_ONLY 0                  /* of steps that are not cut into shards */

enum cvm_step_state {
    CVM_STEP_PENDING,
    CVM_STEP_RUNNING, /* sent, under one attempt */
    CVM_STEP_RETRY,   /* an attempt failed */
    CVM_STEP_DONE,
    CVM_STEP_FAILED,
    CVM_STEP_SKIPPED,
    CVM_STEP_STATES,
};
const char *cvm_step_state_name(enum cvm_step_state state);

struct cvm_step {
    int64_t step_no; /* in the definition */
    int64_t shard_no;
    const char *name;
    enum cvm_step_state state;
    int64_t attempt; /* 0 = never sent */
    int64_t attempt_max;
    int64_t epoch;
    int64_t due_ms; /* running: given up then; retry: sent again then, 0 = not decided */
    bool is_news;
    const char *worker;
    const char *output; /* JSON */
    int64_t customers;
    const char *error_class;
    const char *error;
    int64_t queued_ms;
    int64_t started_ms;
    int64_t finished_ms;
};

/* ---- steps, for who decides ---- */

/* Pending rows of shards first_shard to last_shard; those that are there stay. */
struct cvm_step_rows {
    const char *workflow_id;
    int64_t step_no;
    const char *name;
    int64_t first_shard;
    int64_t last_shard;
    int64_t attempt_max;
};
CVM_MUST_CHECK enum cvm_status
cvm_step_add(struct cvm_store *store, const struct cvm_step_rows *rows, struct cvm_error *err);
struct cvm_steps {
    struct cvm_step *items; /* by step, then shard; in the arena */
    size_t count;
};
CVM_MUST_CHECK enum cvm_status cvm_step_list(struct cvm_store *store, struct cvm_arena *arena,
                                             const char *workflow_id, struct cvm_steps *out_steps,
                                             struct cvm_error *err);
/* The news, which are seen then: what workers made of attempts. Called before the steps are read:
 * what ends in between is news again. NULL: only that they are seen. */
struct cvm_step_news {
    int64_t step_no;
    enum cvm_step_state state; /* DONE or RETRY, mostly */
    const char *error_class;   /* until on_news returns */
};
typedef void (*cvm_step_news_fn)(void *state, const struct cvm_step_news *news);
CVM_MUST_CHECK enum cvm_status cvm_step_news_take(struct cvm_store *store, const char *workflow_id,
                                                  cvm_step_news_fn on_news, void *state,
                                                  struct cvm_error *err);
/* Keeps state, attempts, epoch, due, queued, finished and error of a step that was `from` before.
 * *out_kept false: a worker moved it on since, and there will be news of it. */
CVM_MUST_CHECK enum cvm_status cvm_step_put(struct cvm_store *store, const char *workflow_id,
                                            const struct cvm_step *from, const struct cvm_step *to,
                                            bool *out_kept, struct cvm_error *err);

/* ---- steps, for workers ---- */

struct cvm_step_key {
    const char *workflow_id;
    int64_t step_no;
    int64_t shard_no;
    int64_t attempt;
};
struct cvm_step_result {
    const char *worker;
    const char *output; /* JSON of references; NULL = none */
    int64_t customers;
    int64_t started_ms;
    int64_t finished_ms;
};
struct cvm_step_failure {
    int64_t step_no; /* those five are filled in by cvm_step_failure_list() */
    int64_t shard_no;
    int64_t attempt;
    int64_t epoch;
    int64_t failed_ms;
    const char *worker;
    const char *error_class; /* workflows/progress.h */
    const char *error;
    int64_t started_ms;
    bool is_seen; /* by who decides: it is no news */
};
/* Both are CVM_E_CONFLICT when the attempt is not in force any more: it took too long, was
 * cancelled, or another one has the result. Abandon the turn then. */
CVM_MUST_CHECK enum cvm_status cvm_step_done(struct cvm_store *store,
                                             const struct cvm_step_key *key,
                                             const struct cvm_step_result *result,
                                             struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_step_failed(struct cvm_store *store,
                                               const struct cvm_step_key *key,
                                               const struct cvm_step_failure *failure,
                                               struct cvm_error *err);
/* The worker is alive, and the attempt is its alone: unless it says so again, it is given up after
 * life_ms by the store's clock, or at deadline_ms. CVM_E_CONFLICT as above, and when it is
 * another's. */
struct cvm_step_life {
    const char *worker;
    int64_t life_ms;
    int64_t deadline_ms;
};
CVM_MUST_CHECK enum cvm_status cvm_step_beat(struct cvm_store *store,
                                             const struct cvm_step_key *key,
                                             const struct cvm_step_life *life,
                                             struct cvm_error *err);
/* The row: what became of a turn whose commit is unknown, and the result that stands. */
CVM_MUST_CHECK enum cvm_status cvm_step_get(struct cvm_store *store, struct cvm_arena *arena,
                                            const struct cvm_step_key *key,
                                            struct cvm_step *out_step, struct cvm_error *err);
typedef enum cvm_status (*cvm_step_failure_fn)(void *state, const struct cvm_step_failure *failure,
                                               struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_step_failure_list(struct cvm_store *store,
                                                     const char *workflow_id,
                                                     cvm_step_failure_fn on_failure, void *state,
                                                     struct cvm_error *err);

#endif
