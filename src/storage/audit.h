/* audit.h - who changed what, when and why: one row per plan, catalogue change, import, capacity
 * change, ... */
#ifndef CVM_STORAGE_AUDIT_H
#define CVM_STORAGE_AUDIT_H

#include "storage/store.h"

struct cvm_audit_row {
    int64_t id; /* given by the store */
    int64_t at_ms;
    const char *who;    /* "cli:root" */
    const char *action; /* "import", "catalogue", "plan", "capacity" */
    const char *object; /* "batch 3" */
    const char *why;
    const char *before; /* JSON or NULL */
    const char *after;
};

/* Inside the caller's transaction, so that the change and its audit row are one. Where the store is
 * shared, those that add rows wait for each other from here to their commit: rows are committed in
 * the order of their numbers, which the chain of audit_chain.h is made in. */
CVM_MUST_CHECK enum cvm_status
cvm_audit_add(struct cvm_store *store, const struct cvm_audit_row *row, struct cvm_error *err);

/* Take the turn that cvm_audit_add() takes; nothing where there is one writer. */
CVM_MUST_CHECK enum cvm_status cvm_audit_lock(struct cvm_store *store, struct cvm_error *err);

/* Newest first, `count_max` rows with id < before_id (0 = from the newest). */
typedef enum cvm_status (*cvm_audit_fn)(void *state, const struct cvm_audit_row *row,
                                        struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_audit_list(struct cvm_store *store, int64_t before_id,
                                              int64_t count_max, cvm_audit_fn on_row, void *state,
                                              struct cvm_error *err);

#endif
