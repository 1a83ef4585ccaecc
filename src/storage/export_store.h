/* export_store.h - what of a plan was handed over to channels, and who did what with the plan. */
#ifndef CVM_STORAGE_EXPORT_STORE_H
#define CVM_STORAGE_EXPORT_STORE_H

#include "base/arena.h"
#include "model/decision.h"
#include "storage/audit.h"
#include "storage/plan_store.h"

/* One file that was made. */
struct cvm_plan_export {
    int64_t export; /* decisions point to it */
    const char *run_id;
    const char *channel; /* word */
    const char *kind;    /* "full", "pilot", "test", "recall" */
    const char *file;    /* name, without a folder */
    const char *digest;
    int64_t rows;
    int64_t at_ms;
    const char *who;
};

/* The number that the next export gets. */
CVM_MUST_CHECK enum cvm_status cvm_export_next(struct cvm_store *store, int64_t *out_export,
                                               struct cvm_error *err);
/* Of a plan, oldest first, in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_export_list(struct cvm_store *store, struct cvm_arena *arena,
                                               const char *run_id,
                                               const struct cvm_plan_export **out_exports,
                                               size_t *out_count, struct cvm_error *err);

/* Inside the caller's transaction. */
CVM_MUST_CHECK enum cvm_status cvm_export_add(struct cvm_store *store,
                                              const struct cvm_plan_export *export,
                                              struct cvm_error *err);
/* The decisions of these customers were handed over by that export. */
CVM_MUST_CHECK enum cvm_status cvm_export_mark(struct cvm_store *store,
                                               const struct cvm_plan_export *export,
                                               const uint64_t *keys, size_t count,
                                               struct cvm_error *err);

/* Audit rows of the plan, oldest first. */
CVM_MUST_CHECK enum cvm_status cvm_plan_history(struct cvm_store *store, const char *run_id,
                                                cvm_audit_fn on_row, void *state,
                                                struct cvm_error *err);

/* How many decisions of a plan are in each state now, ghosts apart. */
CVM_MUST_CHECK enum cvm_status cvm_plan_states(struct cvm_store *store, const char *run_id,
                                               int64_t out_counts[CVM_DECISION_STATE_COUNT],
                                               struct cvm_error *err);

/* The decisions of two plans side by side, by customer key, the first plan's first. */
struct cvm_plan_pair_row {
    uint64_t key;
    bool is_after; /* of the second plan */
    const char *treatment;
    double value;
    int64_t spend_micro;
};
typedef enum cvm_status (*cvm_plan_pair_fn)(void *state, const struct cvm_plan_pair_row *row,
                                            struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_plan_pair_scan(struct cvm_store *store, const char *before,
                                                  const char *after, cvm_plan_pair_fn on_row,
                                                  void *state, struct cvm_error *err);

/* ---- what the release rules look at ---- */

/* Reports (JSON, as `cvm import` printed them) of the imports after `after_batch` up to
 * `last_batch`, newest first. */
typedef enum cvm_status (*cvm_batch_report_fn)(void *state, int64_t batch, const char *report,
                                               struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_batch_reports(struct cvm_store *store, int64_t after_batch,
                                                 int64_t last_batch, cvm_batch_report_fn on_report,
                                                 void *state, struct cvm_error *err);

/* Contacts made from first_day to last_day, and how many of them were answered by an opt-out. */
CVM_MUST_CHECK enum cvm_status cvm_outcome_opt_outs(struct cvm_store *store, int32_t first_day,
                                                    int32_t last_day, int64_t *out_contacts,
                                                    int64_t *out_opt_outs, struct cvm_error *err);

#endif
