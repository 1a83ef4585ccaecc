/* private_text.h - the private part of a stored row as the text that was imported, sealed or not.
 */
#ifndef CVM_STORAGE_PRIVATE_TEXT_H
#define CVM_STORAGE_PRIVATE_TEXT_H

#include "storage/store.h"
#include "storage/vault.h"

struct cvm_private_row {
    struct cvm_vault_place place;
    const struct cvm_db_value *blob; /* column `private` */
    int64_t key_id;
};

/* Into the arena, ended by '\0'; data NULL when there is none, or when the customer was erased. */
CVM_MUST_CHECK enum cvm_status cvm_private_text_read(struct cvm_store *store,
                                                     struct cvm_arena *arena,
                                                     const struct cvm_private_row *row,
                                                     struct cvm_slice *out_text,
                                                     struct cvm_error *err);

#endif
