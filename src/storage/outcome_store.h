/* outcome_store.h - what became of decisions, and what was learned from it.
 *
 * All inside the caller's transaction.
 */
#ifndef CVM_STORAGE_OUTCOME_STORE_H
#define CVM_STORAGE_OUTCOME_STORE_H

#include "base/arena.h"
#include "base/text.h"
#include "model/decision.h"
#include "model/learning.h"
#include "model/outcome.h"
#include "storage/store.h"

/* Learning per treatment id; zeros where nothing is known. */
CVM_MUST_CHECK enum cvm_status cvm_learning_get(struct cvm_store *store, const char *treatment,
                                                struct cvm_learning *out_learning,
                                                struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_learning_add(struct cvm_store *store, const char *treatment,
                                                const struct cvm_learning *more,
                                                struct cvm_error *err);

/* ---- reports of one decision ---- */

struct cvm_outcome_row {
    const char *run_id;
    uint64_t customer_key;
    int state; /* model/outcome.h */
    int32_t day;
    bool has_moment;
    int64_t at_ms;
    double minutes;          /* negative = not given */
    struct cvm_slice reason; /* empty = not given */
    bool is_late;
    int64_t import;
};
/* CVM_E_CONFLICT when this state was reported before. */
CVM_MUST_CHECK enum cvm_status
cvm_outcome_add(struct cvm_store *store, const struct cvm_outcome_row *row, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_outcome_get(struct cvm_store *store, const char *run_id,
                                               uint64_t customer_key,
                                               struct cvm_outcomes *out_outcomes,
                                               struct cvm_error *err);
/* Store which of the reports are late, where that changed. */
CVM_MUST_CHECK enum cvm_status cvm_outcome_set_late(struct cvm_store *store, const char *run_id,
                                                    uint64_t customer_key,
                                                    const struct cvm_outcomes *before,
                                                    const struct cvm_outcomes *now,
                                                    struct cvm_error *err);
/* The state and, where one was reported, the end of the outcome window of a decision. */
CVM_MUST_CHECK enum cvm_status cvm_decision_set_state(struct cvm_store *store, const char *run_id,
                                                      uint64_t customer_key,
                                                      enum cvm_decision_state state,
                                                      const struct cvm_outcomes *outcomes,
                                                      struct cvm_error *err);

/* Whether this customer got a decision of the same treatment (or was its ghost) as of first_day or
 * later, before end_day. */
struct cvm_outcome_span {
    int32_t first_day;
    int32_t end_day;
};
CVM_MUST_CHECK enum cvm_status cvm_outcome_has_alike(struct cvm_store *store,
                                                     const struct cvm_decision *decision,
                                                     struct cvm_outcome_span span, bool *out_has,
                                                     struct cvm_error *err);

/* ---- imports ---- */

/* The last outcome import that changed anything: part of what a run is a function of. */
CVM_MUST_CHECK enum cvm_status cvm_outcome_last_import(struct cvm_store *store, int64_t *out_import,
                                                       struct cvm_error *err);

/* An import is unfinished until its contacts and opt-outs stand in the journeys: the next one takes
 * them up. */
CVM_MUST_CHECK enum cvm_status cvm_outcome_import_start(struct cvm_store *store, const char *who,
                                                        const char *file, int64_t *out_import,
                                                        struct cvm_error *err);
/* All that are unfinished get this report. */
CVM_MUST_CHECK enum cvm_status cvm_outcome_import_finish(struct cvm_store *store,
                                                         const char *report, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_outcome_unfinished(struct cvm_store *store, int64_t *out_count,
                                                      struct cvm_error *err);

/* Decisions whose contact or opt-out (has_opted_out) became known by unfinished imports, by
 * customer. An opt-out that was known before is none: the customer may have consented since. */
typedef enum cvm_status (*cvm_outcome_decision_fn)(void *state, const char *run_id,
                                                   uint64_t customer_key, bool has_opted_out,
                                                   struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_outcome_to_follow(struct cvm_store *store,
                                                     cvm_outcome_decision_fn on_decision,
                                                     void *state, struct cvm_error *err);

/* ---- whole runs ---- */

/* Runs as of first_day to last_day whose plans went out, oldest first; run_id: that one alone, NULL
 * = all. Texts until the callback returns. */
struct cvm_outcome_run {
    const char *run_id;
    int32_t as_of_day;
    bool is_recalled;
};
typedef enum cvm_status (*cvm_outcome_run_fn)(void *state, const struct cvm_outcome_run *run,
                                              struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_outcome_runs(struct cvm_store *store, int32_t first_day,
                                                int32_t last_day, const char *run_id,
                                                cvm_outcome_run_fn on_run, void *state,
                                                struct cvm_error *err);

/* Decisions of a run that are alike. */
struct cvm_outcome_group {
    const char *treatment;
    bool is_ghost;
    enum cvm_decision_state state; /* as stored: the plan moves those that nobody acted on */
    int horizon;                   /* -1 = open, 0 = stayed, 1 = churned */
    int32_t contact_day;           /* CVM_DAY_NONE without a contact */
    int64_t count;
    double value; /* sums */
    int64_t cost_micro;
    double churn;
};
typedef enum cvm_status (*cvm_outcome_group_fn)(void *state, const struct cvm_outcome_group *group,
                                                struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_outcome_groups(struct cvm_store *store, const char *run_id,
                                                  cvm_outcome_group_fn on_group, void *state,
                                                  struct cvm_error *err);

/* Reports of one state on decisions of a run. */
struct cvm_outcome_count {
    const char *treatment;
    int state; /* model/outcome.h */
    int64_t count;
    int64_t late;
    double minutes;
};
typedef enum cvm_status (*cvm_outcome_count_fn)(void *state, const struct cvm_outcome_count *count,
                                                struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_outcome_counts(struct cvm_store *store, const char *run_id,
                                                  cvm_outcome_count_fn on_count, void *state,
                                                  struct cvm_error *err);

#endif
