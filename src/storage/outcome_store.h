/* outcome_store.h - what became of decisions, and what was learned from it.
 *
 * All inside the caller's transaction.
 */
#ifndef CVM_STORAGE_OUTCOME_STORE_H
#define CVM_STORAGE_OUTCOME_STORE_H

#include "base/arena.h"
#include "model/decision.h"
#include "model/learning.h"
#include "storage/store.h"

/* Learning per treatment id; zeros where nothing is known. */
CVM_MUST_CHECK enum cvm_status cvm_learning_get(struct cvm_store *store, const char *treatment,
                                                struct cvm_learning *out_learning,
                                                struct cvm_error *err);
/* The last outcome import that changed anything: part of what a run is a function of. */
CVM_MUST_CHECK enum cvm_status cvm_outcome_last_import(struct cvm_store *store, int64_t *out_import,
                                                       struct cvm_error *err);

#endif
