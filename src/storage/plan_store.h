/* plan_store.h - runs, their plans, value blocks and decisions.
 *
 * A run's rows are written under a plan in state building, per shard, each in its own transaction;
 * one short transaction publishes it. What a dead process left behind under the same run is
 * replaced.
 */
#ifndef CVM_STORAGE_PLAN_STORE_H
#define CVM_STORAGE_PLAN_STORE_H

#include "base/arena.h"
#include "model/decision.h"
#include "storage/store.h"

#define CVM_RUN_ID_SIZE 32

struct cvm_run_record {
    const char *run_id;  /* "2024-03-20-1a2b3c4d": as-of and the first digits of the request */
    const char *request; /* digest */
    const char *state;   /* "running", "done", "failed" */
    const char *plan_state;
    int64_t epoch;
    int32_t as_of_day;
    int64_t seed;
    int64_t catalogue_version;
    int64_t last_batch;
    const char *options; /* JSON */
    const char *created_by;
    const char *responses;    /* JSON: engine/responses.h; NULL = the catalogue's priors */
    const char *hold_reasons; /* JSON array of sentences; NULL = not held by a rule */
    int64_t created_at_ms;
    int64_t finished_at_ms; /* 0 = not yet */
    const char *summary;    /* JSON or NULL */
    const char *plan_digest;
    int64_t decisions;
    double value;
    double dual_bound;
    int64_t spend_micro;
};

/* The run with this request, or CVM_E_NOT_FOUND. */
CVM_MUST_CHECK enum cvm_status cvm_run_find(struct cvm_store *store, struct cvm_arena *arena,
                                            const char *request, struct cvm_run_record *out_run,
                                            struct cvm_error *err);
/* "latest" = the newest done one; a unique prefix of an id is enough. */
CVM_MUST_CHECK enum cvm_status cvm_run_get(struct cvm_store *store, struct cvm_arena *arena,
                                           const char *run_id, struct cvm_run_record *out_run,
                                           struct cvm_error *err);
/* The run that chose for everybody among everything, on this day (CVM_DAY_NONE: on the newest that
 * has one): its largest plan, a recalled one last. CVM_E_NOT_FOUND. */
CVM_MUST_CHECK enum cvm_status cvm_run_for_everybody(struct cvm_store *store,
                                                     struct cvm_arena *arena, int32_t as_of_day,
                                                     struct cvm_run_record *out_run,
                                                     struct cvm_error *err);
/* Newest first. */
typedef enum cvm_status (*cvm_run_fn)(void *state, const struct cvm_run_record *run,
                                      struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_run_list(struct cvm_store *store, struct cvm_arena *arena,
                                            int64_t count_max, cvm_run_fn on_run, void *state,
                                            struct cvm_error *err);
/* The same, only those that are older than one of them. */
struct cvm_run_page {
    const char *before; /* its whole id; NULL = from the newest */
    int64_t count_max;
};
CVM_MUST_CHECK enum cvm_status cvm_run_list_page(struct cvm_store *store, struct cvm_arena *arena,
                                                 const struct cvm_run_page *page, cvm_run_fn on_run,
                                                 void *state, struct cvm_error *err);

/* Insert the run, or take up one that a dead process left in 'running' (or 'failed'): epoch + 1,
 * its blocks and decisions deleted. Plan state becomes building. Own transaction. */
CVM_MUST_CHECK enum cvm_status cvm_run_start(struct cvm_store *store,
                                             const struct cvm_run_record *run, int64_t *out_epoch,
                                             struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_run_fail(struct cvm_store *store, const char *run_id,
                                            int64_t epoch, struct cvm_error *err);

/* Inside the caller's transaction. CVM_E_CONFLICT when the stored epoch is newer (fenced). */
CVM_MUST_CHECK enum cvm_status
cvm_run_finish(struct cvm_store *store, const struct cvm_run_record *run, struct cvm_error *err);
/* Plans of this day whose decisions are all withdrawn become recalled: nobody shall approve them.
 * Inside the caller's transaction. */
CVM_MUST_CHECK enum cvm_status cvm_plan_recall_emptied(struct cvm_store *store,
                                                       struct cvm_arena *arena, int32_t as_of_day,
                                                       const char *who, const char *why,
                                                       struct cvm_error *err);
/* building -> draft -> approved -> released -> closed, held, recalled; a step that is not allowed
 * is CVM_E_CONFLICT; audited; inside the caller's transaction. */
CVM_MUST_CHECK enum cvm_status cvm_plan_set_state(struct cvm_store *store, const char *run_id,
                                                  const char *state, const char *who,
                                                  const char *why, struct cvm_error *err);

/* Why a rule held the plan: a JSON array of sentences. Inside the caller's transaction. */
CVM_MUST_CHECK enum cvm_status cvm_plan_set_hold_reasons(struct cvm_store *store,
                                                         const char *run_id, const char *reasons,
                                                         struct cvm_error *err);

/* Value blocks. Inside the caller's transaction. */
struct cvm_value_block {
    uint64_t first_key;
    uint64_t last_key;
    int64_t customers;
    const void *body; /* engine/values.h knows the layout */
    size_t length;
};
CVM_MUST_CHECK enum cvm_status cvm_value_block_add(struct cvm_store *store, const char *run_id,
                                                   const struct cvm_value_block *block,
                                                   struct cvm_error *err);
/* The block that may hold the key; CVM_E_NOT_FOUND. The body is copied into the arena. */
CVM_MUST_CHECK enum cvm_status cvm_value_block_get(struct cvm_store *store, struct cvm_arena *arena,
                                                   const char *run_id, uint64_t key,
                                                   struct cvm_value_block *out_block,
                                                   struct cvm_error *err);
/* All blocks of a run in key order; the body lives until on_block returns. */
typedef enum cvm_status (*cvm_value_block_fn)(void *state, const struct cvm_value_block *block,
                                              struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_value_block_scan(struct cvm_store *store, const char *run_id,
                                                    cvm_value_block_fn on_block, void *state,
                                                    struct cvm_error *err);
/* Drop the blocks of all but the newest keep_runs done runs. Inside the caller's transaction. */
CVM_MUST_CHECK enum cvm_status cvm_value_block_prune(struct cvm_store *store, int64_t keep_runs,
                                                     struct cvm_error *err);

/* Decisions, ascending key, inside the caller's transaction. */
CVM_MUST_CHECK enum cvm_status cvm_decision_add(struct cvm_store *store,
                                                const struct cvm_decision *decisions, size_t count,
                                                struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_decision_get(struct cvm_store *store, struct cvm_arena *arena,
                                                const char *run_id, uint64_t customer_key,
                                                struct cvm_decision *out_decision,
                                                struct cvm_error *err);
/* The live decision of a customer for this day, whichever run made it, ghosts apart;
 * CVM_E_NOT_FOUND. */
CVM_MUST_CHECK enum cvm_status cvm_decision_of_day(struct cvm_store *store, struct cvm_arena *arena,
                                                   int32_t as_of_day, uint64_t customer_key,
                                                   struct cvm_decision *out_decision,
                                                   struct cvm_error *err);
typedef enum cvm_status (*cvm_decision_fn)(void *state, const struct cvm_decision *decision,
                                           struct cvm_error *err);
/* In key order. */
CVM_MUST_CHECK enum cvm_status cvm_decision_scan(struct cvm_store *store, const char *run_id,
                                                 cvm_decision_fn on_decision, void *state,
                                                 struct cvm_error *err);
/* The same between two keys, both ends included: keys[0] and keys[1]. */
CVM_MUST_CHECK enum cvm_status cvm_decision_scan_range(struct cvm_store *store, const char *run_id,
                                                       const uint64_t keys[2],
                                                       cvm_decision_fn on_decision, void *state,
                                                       struct cvm_error *err);
/* What was handed over to a channel and is not reported, in key order; the state is that of the
 * decision's own row, so a recalled plan tells what it had handed over. */
CVM_MUST_CHECK enum cvm_status cvm_decision_scan_handed_over(struct cvm_store *store,
                                                             const char *run_id,
                                                             cvm_decision_fn on_decision,
                                                             void *state, struct cvm_error *err);
/* Withdraw one decision that is not yet sent; inside the caller's transaction. */
CVM_MUST_CHECK enum cvm_status cvm_decision_withdraw_one(struct cvm_store *store,
                                                         const char *run_id, uint64_t customer_key,
                                                         struct cvm_error *err);
/* Decisions that are released and not yet reported as sent, not sent or expired: of runs of the
 * days first_day to last_day, of the customers first_key to last_key. Texts until on_pending
 * returns; no order. */
struct cvm_pending_query {
    int32_t first_day;
    int32_t last_day;
    uint64_t first_key;
    uint64_t last_key;
    const char *except_run_id; /* NULL = none */
};
struct cvm_pending_row {
    uint64_t key;
    const char *treatment;
    const char *channel;
    int32_t as_of_day;
};
typedef enum cvm_status (*cvm_pending_fn)(void *state, const struct cvm_pending_row *row,
                                          struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_decision_pending(struct cvm_store *store,
                                                    const struct cvm_pending_query *query,
                                                    cvm_pending_fn on_pending, void *state,
                                                    struct cvm_error *err);
/* Keys of customers with a live decision for this day (not withdrawn or ended before contact; of a
 * recalled plan what was sent all the same), ascending, from all runs but except_run_id. */
typedef enum cvm_status (*cvm_key_fn)(void *state, uint64_t key, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_decision_live(struct cvm_store *store, int32_t as_of_day,
                                                 const char *except_run_id, cvm_key_fn on_key,
                                                 void *state, struct cvm_error *err);
/* Withdraw what is not yet handed over or sent (states decided and released) of all runs of this
 * day; the amounts that come free are reported per decision so that the caller returns them to the
 * ledger. Inside the caller's transaction. */
CVM_MUST_CHECK enum cvm_status cvm_decision_withdraw(struct cvm_store *store, int32_t as_of_day,
                                                     cvm_decision_fn on_withdrawn, void *state,
                                                     struct cvm_error *err);
/* The same for one customer. */
CVM_MUST_CHECK enum cvm_status
cvm_decision_withdraw_customer(struct cvm_store *store, int32_t as_of_day, uint64_t customer_key,
                               cvm_decision_fn on_withdrawn, void *state, struct cvm_error *err);

#endif
