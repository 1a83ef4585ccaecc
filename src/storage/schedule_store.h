/* schedule_store.h - the moments of schedules that were noted: each once, whoever looks. */
#ifndef CVM_STORAGE_SCHEDULE_STORE_H
#define CVM_STORAGE_SCHEDULE_STORE_H

#include "storage/store.h"

/* Inside the caller's transaction; the schedule is this transaction's until its end.
 * *out_looked_ms: moments up to there are noted. A schedule that is new is noted up to now_ms. */
CVM_MUST_CHECK enum cvm_status cvm_schedule_lock(struct cvm_store *store, const char *schedule,
                                                 int64_t now_ms, int64_t *out_looked_ms,
                                                 struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_schedule_looked(struct cvm_store *store, const char *schedule,
                                                   int64_t looked_ms, struct cvm_error *err);

struct cvm_schedule_fire {
    const char *schedule;
    int64_t fire_ms;
    int64_t noted_ms;        /* given by the store */
    const char *outcome;     /* "started", "skipped", "missed" */
    const char *workflow_id; /* NULL = none */
    const char *why;         /* NULL = none */
};
/* CVM_E_CONFLICT when the moment was noted before. */
CVM_MUST_CHECK enum cvm_status cvm_schedule_fire_add(struct cvm_store *store,
                                                     const struct cvm_schedule_fire *fire,
                                                     struct cvm_error *err);
/* Newest first, schedule NULL = all; texts until on_fire returns. */
typedef enum cvm_status (*cvm_schedule_fire_fn)(void *state, const struct cvm_schedule_fire *fire,
                                                struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_schedule_fire_list(struct cvm_store *store, const char *schedule,
                                                      int64_t count_max,
                                                      cvm_schedule_fire_fn on_fire, void *state,
                                                      struct cvm_error *err);

#endif
