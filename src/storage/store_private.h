/* store_private.h - the inside of a store, for store.c and tests/support, which puts faulty
 * databases in. */
#ifndef CVM_STORAGE_STORE_PRIVATE_H
#define CVM_STORAGE_STORE_PRIVATE_H

#include "storage/store.h"

struct cvm_store {
    struct cvm_db *db;
    struct cvm_db *journeys;
    char *url;
    struct cvm_vault *vault; /* NULL until it is asked for */
    char *master_key;        /* NULL = in the clear */
    char *keys_url;
    struct cvm_clock clock;
    int lock; /* -1 = none */
    void (*before_close)(void *state, struct cvm_store *store);
    void *before_close_state;
};

#endif
