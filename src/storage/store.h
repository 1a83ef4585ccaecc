/* store.h - a deployment's store: the main database and, for SQLite, the file of packed journeys
 * beside it.
 *
 * "postgresql://USER@HOST/DATABASE" keeps all in one schema of that database: the first of the
 * connection's search path. The writer holds a lock of its session there.
 *
 * "sqlite:cvm.db" keeps journeys in "cvm-journeys.db" and a lock file "cvm.db.lock";
 * "sqlite::memory:" is for tests (both databases in memory, one connection each: one thread).
 * SQLite 3.40 can lose commits when two connections write or checkpoint at once, so opening for
 * writing takes the lock file: one writer in one process at a time, which also checkpoints; readers
 * never do.
 *
 * Thread safety: one struct cvm_store per thread; readers are opened per thread from the same URL.
 */
#ifndef CVM_STORAGE_STORE_H
#define CVM_STORAGE_STORE_H

#include "base/context.h"
#include "storage/db.h"

struct cvm_store;

struct cvm_store_options {
    enum cvm_db_access access;
    bool may_create;
    int64_t lock_wait_ms; /* how long to wait for another writer; then CVM_E_UNAVAILABLE naming its
                             process */
    struct cvm_clock clock;
};

/* Creates and migrates when may_create; else CVM_E_NOT_FOUND with a hint (`cvm init`). A store of a
 * newer version is CVM_E_CONFLICT ("made by a newer cvm"), of an older one CVM_E_CONFLICT with the
 * hint `cvm migrate`. */
CVM_MUST_CHECK enum cvm_status cvm_store_open(const char *url,
                                              const struct cvm_store_options *options,
                                              struct cvm_store **out_store, struct cvm_error *err);
void cvm_store_close(struct cvm_store *store);

/* Bring the schema of an existing or new store up to date; *out_from and *out_to are migration
 * numbers. */
CVM_MUST_CHECK enum cvm_status cvm_store_migrate(const char *url, int64_t now_ms, int *out_from,
                                                 int *out_to, struct cvm_error *err);

struct cvm_db *cvm_store_db(struct cvm_store *store);
struct cvm_db *cvm_store_journeys(struct cvm_store *store);
const char *cvm_store_url(const struct cvm_store *store);
int64_t cvm_store_now_ms(const struct cvm_store *store);

/* Fold the write-ahead logs back into the files (the writer only). */
CVM_MUST_CHECK enum cvm_status cvm_store_checkpoint(struct cvm_store *store, struct cvm_error *err);

#endif
