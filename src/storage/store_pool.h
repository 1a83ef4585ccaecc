/* store_pool.h - at most so many connections to one store, lent to the threads that read it.
 *
 * A connection is opened when it is first wanted. One that was idle for a while, or whose borrower
 * failed, is asked whether it is still there before it is lent again; a broken one is replaced,
 * with pauses as `store.retry` says. Who finds all of them lent waits, and so does who gets no new
 * one because the server has no room for it. Those that nobody wanted for long are closed.
 *
 * Thread safety: any thread may call; a store that was lent belongs to its borrower alone.
 */
#ifndef CVM_STORAGE_STORE_POOL_H
#define CVM_STORAGE_STORE_POOL_H

#include "storage/store.h"

struct cvm_store_pool;

struct cvm_store_pool_options {
    const char *url;
    struct cvm_store_options store; /* what it points to outlives the pool; access is READ */
    size_t connections_max;
    int64_t wait_ms;        /* for one to be given back; 0 = 30 s */
    int64_t check_after_ms; /* of idleness; 0 = 30 s */
    int64_t close_after_ms; /* of idleness; 0 = 5 minutes */
    /* Opened with the pool, and kept: its files may be removed then. */
    bool keeps_open;
    const struct cvm_context *context; /* clock, cancel, metrics */
};

/* The counters cvm_store_connections_waited_total and ..._replaced_total and the gauges
 * cvm_store_connections_open and ..._lent go to context->metrics. */
CVM_MUST_CHECK enum cvm_status cvm_store_pool_create(const struct cvm_store_pool_options *options,
                                                     struct cvm_store_pool **out_pool,
                                                     struct cvm_error *err);
void cvm_store_pool_destroy(struct cvm_store_pool *pool); /* all given back; NULL is fine */

/* CVM_E_UNAVAILABLE, naming the limit and its key in cvm.yaml, when all stayed lent for wait_ms;
 * otherwise what opening the store says. */
CVM_MUST_CHECK enum cvm_status cvm_store_pool_lend(struct cvm_store_pool *pool,
                                                   struct cvm_store **out_store,
                                                   struct cvm_error *err);
/* `status` is what became of the borrower's work; an open transaction is rolled back. */
void cvm_store_pool_give_back(struct cvm_store_pool *pool, struct cvm_store *store,
                              enum cvm_status status);

struct cvm_store_pool_counts {
    size_t most;
    size_t open;
    size_t lent;
    int64_t waited;   /* for one to be given back */
    int64_t replaced; /* because they were broken */
};
struct cvm_store_pool_counts cvm_store_pool_counts_of(struct cvm_store_pool *pool);

#endif
