/* db_faulty.h - a database whose k-th call fails: a decorator of db_backend.h over another one.
 *
 * For k = 1, 2, ... until a whole piece of work succeeds: each failure must leave all or nothing.
 */
#ifndef CVM_TESTS_DB_FAULTY_H
#define CVM_TESTS_DB_FAULTY_H

#include "storage/store.h"

enum db_call { DB_CALL_BEGIN, DB_CALL_COMMIT, DB_CALL_OTHER };
enum db_fate {
    DB_PASSES,
    DB_FAILS,
    DB_FAILS_KEPT, /* of a commit: it was kept, and its reply was lost */
};

struct db_faults {
    int64_t fail_at;        /* number of the call that fails, from 1; 0 = none */
    int64_t calls;          /* made so far */
    bool loses_transaction; /* the failure costs the whole transaction, as a full disk does */
    /* Asked before each call, which may do other work meanwhile outside a transaction. NULL = only
     * fail_at counts. */
    enum db_fate (*choose)(void *state, enum db_call call, bool in_transaction);
    void *choose_state;
};

/* Put a faulty database over the store's main one (`journeys` false) or over the journeys; closing
 * the store closes both. `faults` is borrowed. */
void db_faulty_wrap(struct cvm_store *store, bool journeys, struct db_faults *faults);
/* Take it off the store's main database again. */
void db_faulty_unwrap(struct cvm_store *store);

#endif
