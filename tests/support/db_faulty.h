/* db_faulty.h - a database whose k-th call fails: a decorator of db_backend.h over another one.
 *
 * For k = 1, 2, ... until a whole piece of work succeeds: each failure must leave all or nothing.
 */
#ifndef CVM_TESTS_DB_FAULTY_H
#define CVM_TESTS_DB_FAULTY_H

#include "storage/store.h"

struct db_faults {
    int64_t fail_at;        /* number of the call that fails, from 1; 0 = none */
    int64_t calls;          /* made so far */
    bool loses_transaction; /* the failure costs the whole transaction, as a full disk does */
};

/* Put a faulty database over the store's main one (`journeys` false) or over the journeys; closing
 * the store closes both. `faults` is borrowed. */
void db_faulty_wrap(struct cvm_store *store, bool journeys, struct db_faults *faults);

#endif
