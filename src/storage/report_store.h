/* report_store.h - what a report reads besides runs and decisions: how fresh the sources are, who
 * moved a plan, what was measured.
 */
#ifndef CVM_STORAGE_REPORT_STORE_H
#define CVM_STORAGE_REPORT_STORE_H

#include "storage/store.h"

/* Texts live until the callback returns. */
struct cvm_report_delivery {
    const char *source;
    int32_t newest_day; /* of its events; CVM_DAY_NONE for undated ones */
    int64_t imported_at_ms;
    int64_t records; /* stored by all imports */
};
typedef enum cvm_status (*cvm_report_delivery_fn)(void *state,
                                                  const struct cvm_report_delivery *delivery,
                                                  struct cvm_error *err);
/* Of closed batches up to last_batch, by name of the source. */
CVM_MUST_CHECK enum cvm_status cvm_report_deliveries(struct cvm_store *store, int64_t last_batch,
                                                     cvm_report_delivery_fn on_delivery,
                                                     void *state, struct cvm_error *err);

struct cvm_plan_step {
    int64_t at_ms;
    const char *who;
    const char *why;
    const char *state; /* that the plan moved to; NULL = it stayed */
};
typedef enum cvm_status (*cvm_plan_step_fn)(void *state, const struct cvm_plan_step *step,
                                            struct cvm_error *err);
/* Of a run's plan, oldest first. */
CVM_MUST_CHECK enum cvm_status cvm_plan_steps(struct cvm_store *store, const char *run_id,
                                              cvm_plan_step_fn on_step, void *state,
                                              struct cvm_error *err);

/* Decisions of one treatment and arm whose outcome window has ended. */
struct cvm_report_measured {
    const char *treatment;
    const char *arm;
    bool is_ghost;
    int64_t count;
    double churned;
    double expected; /* sum of the probabilities of churn that they were decided with */
    /* sums with weights w = 1 / selection probability, y = churned or not */
    double weight, weight2, value, weight2_value;
};
typedef enum cvm_status (*cvm_report_measured_fn)(void *state,
                                                  const struct cvm_report_measured *measured,
                                                  struct cvm_error *err);
/* Of all runs as of days up to last_day. */
CVM_MUST_CHECK enum cvm_status cvm_report_measured(struct cvm_store *store, int32_t last_day,
                                                   cvm_report_measured_fn on_measured, void *state,
                                                   struct cvm_error *err);

#endif
