/* key_rotation.h - another master key for the personal data of a store. */
#ifndef CVM_STORAGE_KEY_ROTATION_H
#define CVM_STORAGE_KEY_ROTATION_H

#include "storage/store.h"
#include "storage/vault.h"

struct cvm_key_rotation {
    const char *new_master_key; /* path of its file */
    const char *who;
    const char *why;
};
struct cvm_key_rotation_report {
    int64_t keys; /* wrapped anew by this call, the vault's own among them */
    bool was_done_before;
    char before[CVM_VAULT_ID_SIZE]; /* tells the master key from others; "" when it was done before
                                     */
    char after[CVM_VAULT_ID_SIZE];
};

/* Keys are wrapped by the new master key, all or none, and an audit row says so. The store is open
 * for writing with the old master key, or already with the new one: a call that was cut off is
 * completed by the next. CVM_E_DENIED when the keys are wrapped by neither. */
CVM_MUST_CHECK enum cvm_status cvm_master_key_rotate(struct cvm_store *store,
                                                     const struct cvm_key_rotation *rotation,
                                                     struct cvm_key_rotation_report *out_report,
                                                     struct cvm_error *err);

#endif
