/* backup.h - a SQLite store copied while it is in use, and a copy put in the place of a store.
 *
 * A copy is the main database alone: packed journeys are derived, and the keys of personal data
 * belong elsewhere (vault.h), or an erasure would not reach it. A server has tools of its own:
 * CVM_E_INVALID.
 */
#ifndef CVM_STORAGE_BACKUP_H
#define CVM_STORAGE_BACKUP_H

#include "storage/store.h"

/* As cvm_sqlite_file_copy(). The database of a URL: a store's, or that of its keys. */
CVM_MUST_CHECK enum cvm_status cvm_backup_make(const char *url, const char *to,
                                               struct cvm_error *err);

struct cvm_restoring {
    const char *url;    /* of the store */
    const char *backup; /* file */
    bool may_replace;   /* a store that is there is moved aside; else it is CVM_E_CONFLICT */
    struct cvm_clock clock;
};
struct cvm_restored {
    char kept[4096]; /* where the store is that was there before; "" = there was none */
    int schema_from;
    int schema_to;
};
/* Check the copy, put it in place, bring its schema up to date. The journeys go: the next command
 * that needs them builds them. CVM_E_UNAVAILABLE while the store is in use, CVM_E_CORRUPT for a
 * damaged copy, CVM_E_CONFLICT for one of a newer program; nothing has changed then. */
CVM_MUST_CHECK enum cvm_status cvm_backup_restore(const struct cvm_restoring *restoring,
                                                  struct cvm_restored *out_restored,
                                                  struct cvm_error *err);

#endif
