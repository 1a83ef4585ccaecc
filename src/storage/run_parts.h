/* run_parts.h - a run at work on many machines: what its parts are until somebody decides for
 * everybody, and who that is. Inside the caller's transaction.
 */
#ifndef CVM_STORAGE_RUN_PARTS_H
#define CVM_STORAGE_RUN_PARTS_H

#include "storage/store.h"

struct cvm_stored_part {
    int64_t part;
    int64_t customers;
    const void *body; /* engine/run_steps.h knows the layout */
    size_t length;
};

/* The last one put counts: the same part is the same bytes, whoever made it. */
CVM_MUST_CHECK enum cvm_status cvm_run_part_put(struct cvm_store *store, const char *run_id,
                                                const struct cvm_stored_part *part,
                                                struct cvm_error *err);
/* In their order; the body lives until on_part returns. Needs no transaction. */
typedef enum cvm_status (*cvm_stored_part_fn)(void *state, const struct cvm_stored_part *part,
                                              struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_run_part_scan(struct cvm_store *store, const char *run_id,
                                                 cvm_stored_part_fn on_part, void *state,
                                                 struct cvm_error *err);
/* Those of this run, and of runs that nobody works on any more. */
CVM_MUST_CHECK enum cvm_status cvm_run_part_drop(struct cvm_store *store, const char *run_id,
                                                 struct cvm_error *err);

/* From now on the run is ours: its epoch grows, and what somebody before decided of it goes.
 * CVM_E_CONFLICT (fenced) when its epoch is another one, or nobody works on it. */
CVM_MUST_CHECK enum cvm_status cvm_run_take_over(struct cvm_store *store, const char *run_id,
                                                 int64_t *epoch, struct cvm_error *err);
/* Still ours until the transaction's end? CVM_E_CONFLICT when somebody took it over. */
CVM_MUST_CHECK enum cvm_status cvm_run_fence(struct cvm_store *store, const char *run_id,
                                             int64_t epoch, struct cvm_error *err);

#endif
