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

/* Inside the caller's transaction, so that the change and its audit row are one. */
CVM_MUST_CHECK enum cvm_status
cvm_audit_add(struct cvm_store *store, const struct cvm_audit_row *row, struct cvm_error *err);

/* Newest first, `count_max` rows with id < before_id (0 = from the newest). */
typedef enum cvm_status (*cvm_audit_fn)(void *state, const struct cvm_audit_row *row,
                                        struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_audit_list(struct cvm_store *store, int64_t before_id,
                                              int64_t count_max, cvm_audit_fn on_row, void *state,
                                              struct cvm_error *err);

#endif
