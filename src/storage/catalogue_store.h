/* catalogue_store.h - catalogue versions in the store, which is their truth. */
#ifndef CVM_STORAGE_CATALOGUE_STORE_H
#define CVM_STORAGE_CATALOGUE_STORE_H

#include "base/arena.h"
#include "model/catalogue_read.h"
#include "storage/store.h"

struct cvm_catalogue_change_note {
    const char *who;
    const char *why;
    const char *changes; /* JSON of the difference, for the audit row */
};

/* Store the files as the next version (files were read without error before); its own transaction,
 * audited. The same digest as the version in force stores nothing and gives that version. */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_store_add(struct cvm_store *store,
                                                       const struct cvm_catalogue_files *files,
                                                       const char *digest,
                                                       const struct cvm_catalogue_change_note *note,
                                                       int64_t *out_version, struct cvm_error *err);

/* The version in force, 0 = none. */
CVM_MUST_CHECK enum cvm_status
cvm_catalogue_store_newest(struct cvm_store *store, int64_t *out_version, struct cvm_error *err);

/* version 0 = the one in force. CVM_E_NOT_FOUND if there is none. */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_store_files(struct cvm_store *store,
                                                         struct cvm_arena *arena, int64_t version,
                                                         struct cvm_catalogue_files *out_files,
                                                         int64_t *out_version,
                                                         struct cvm_error *err);

/* Files and reading at once; out_catalogue->version is set. */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_store_load(struct cvm_store *store,
                                                        struct cvm_arena *arena, int64_t version,
                                                        const struct cvm_catalogue **out_catalogue,
                                                        struct cvm_error *err);
#endif
