/* batches.h - imports as they came, and taking one back.
 *
 * Taking a batch back deletes nothing: its rows no longer count, what stood before them counts
 * again, and that it was done is a batch of its own, the last one then. Who imports the files again
 * brings the rows back as new versions.
 */
#ifndef CVM_STORAGE_BATCHES_H
#define CVM_STORAGE_BATCHES_H

#include "storage/store.h"

struct cvm_batch {
    int64_t batch;
    const char *state; /* "open", "closed", "empty", "abandoned", "retracted" */
    int64_t catalogue_version;
    int64_t started_at_ms;
    int64_t finished_at_ms; /* 0 = not yet */
    const char *who;
    int64_t retracts;     /* batch that it takes back; 0 = it is an import */
    int64_t retracted_by; /* 0 = it was not taken back */
    int32_t first_day;    /* CVM_DAY_NONE when it has no dated events */
    int32_t last_day;
    const char *report; /* JSON of the import, or NULL */
};
typedef enum cvm_status (*cvm_batch_fn)(void *state, const struct cvm_batch *batch,
                                        struct cvm_error *err);
/* Newest first, at most count_max, those below `before` (0 = from the newest). */
CVM_MUST_CHECK enum cvm_status cvm_batch_list(struct cvm_store *store, int64_t before,
                                              int64_t count_max, cvm_batch_fn on_batch, void *state,
                                              struct cvm_error *err);

/* The newest batch that takes back one of those up to `last_batch`; 0 = none does. */
CVM_MUST_CHECK enum cvm_status cvm_batch_retraction(struct cvm_store *store, int64_t last_batch,
                                                    int64_t *out_batch, struct cvm_error *err);
/* What a run may be pinned to: `batch`, or when it brought nothing the last one before it that
 * did. CVM_E_NOT_FOUND, CVM_E_CONFLICT with the reason. */
CVM_MUST_CHECK enum cvm_status cvm_batch_pin(struct cvm_store *store, int64_t batch,
                                             int64_t *out_last_batch, struct cvm_error *err);

struct cvm_retraction {
    int64_t batch;          /* the new one */
    int64_t customers_gone; /* who came with what is taken back and with nothing else */
    /* Imports after it: what they brought again was known then, and was not stored. */
    int64_t later_imports;
};
/* A transaction of its own, audited; packed journeys are no longer current afterwards.
 * CVM_E_NOT_FOUND; CVM_E_CONFLICT when there is nothing to take back. */
CVM_MUST_CHECK enum cvm_status cvm_batch_retract(struct cvm_store *store, int64_t batch,
                                                 const char *who, const char *why,
                                                 struct cvm_retraction *out_retraction,
                                                 struct cvm_error *err);

#endif
