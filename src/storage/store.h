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
 * Agents of several processes open it CVM_DB_SHARED, which only a server has: each transaction of
 * theirs excludes a writer and is excluded by one. What may be called then is said in
 * docs/concepts/workflow.md. A file is opened for writing instead, by one process as ever.
 *
 * Thread safety: one struct cvm_store per thread; readers are opened per thread from the same URL.
 */
#ifndef CVM_STORAGE_STORE_H
#define CVM_STORAGE_STORE_H

#include "base/context.h"
#include "storage/db.h"

struct cvm_store;

/* How personal data are kept: sealed under keys that a master key wraps, or in the clear. */
struct cvm_store_privacy {
    const char *master_key; /* path of its file; NULL = in the clear */
    const char *keys_url;   /* database of keys; NULL = "cvm-keys.db" beside "cvm.db" */
};

struct cvm_store_options {
    enum cvm_db_access access;
    bool may_create;
    int64_t lock_wait_ms; /* how long to wait for another writer; then CVM_E_UNAVAILABLE naming its
                             process */
    struct cvm_retry_policy retry; /* of a server that can not be reached; zeroes = defaults */
    struct cvm_clock clock;
    struct cvm_store_privacy privacy;
    const char *journeys_url; /* of cvm_journeys_create(); NULL = the store's own */
    size_t cache_bytes;       /* of the main database; 0 = for work that comes back to its rows */
    bool is_copy_target;      /* may be a copy that has not ended; anybody else is refused it */
    /* Called once before a store that was opened to write, alone or with others, is closed: outside
     * a transaction. */
    void (*before_close)(void *state, struct cvm_store *store);
    void *before_close_state;
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

/* An empty journey file at `url`, for journeys of another moment; what is there is replaced. */
CVM_MUST_CHECK enum cvm_status cvm_journeys_create(const char *url, int64_t now_ms,
                                                   struct cvm_db **out_db, struct cvm_error *err);

struct cvm_db *cvm_store_db(struct cvm_store *store);
struct cvm_db *cvm_store_journeys(struct cvm_store *store);
const char *cvm_store_url(const struct cvm_store *store);
int64_t cvm_store_now_ms(const struct cvm_store *store);

/* What keeps the store, and how many connections it has room for. */
struct cvm_store_server {
    char version[64]; /* "PostgreSQL 15.4" */
    int64_t used;     /* connections of others */
    int64_t most;     /* 0 = as many as one likes */
    int64_t reserved; /* of these, for administrators */
};
CVM_MUST_CHECK enum cvm_status cvm_store_server(struct cvm_store *store,
                                                struct cvm_store_server *out_server,
                                                struct cvm_error *err);

/* When the store was made: another one in its place is another store. */
CVM_MUST_CHECK enum cvm_status cvm_store_created_ms(struct cvm_store *store, int64_t *out_ms,
                                                    struct cvm_error *err);

/* Of the database of keys; NULL = no master key was named. */
const char *cvm_store_keys_url(const struct cvm_store *store);
/* True when new personal data are to be sealed. */
bool cvm_store_seals(const struct cvm_store *store);
/* The vault, opened at the first call; it belongs to the store. CVM_E_DENIED when no master key was
 * named, CVM_E_NOT_FOUND when the master key or the keys are not there, CVM_E_CONFLICT when they
 * are those of another store. A writer makes the keys of a store that has none, and records whose
 * they are, in a transaction of its own unless one is open. */
struct cvm_vault;
CVM_MUST_CHECK enum cvm_status cvm_store_vault(struct cvm_store *store,
                                               struct cvm_vault **out_vault, struct cvm_error *err);

/* Fold the write-ahead logs back into the files (the writer only). */
CVM_MUST_CHECK enum cvm_status cvm_store_checkpoint(struct cvm_store *store, struct cvm_error *err);

#endif
