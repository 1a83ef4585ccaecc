/* lease.h - who may work on a resource: one owner at a time, told apart by epochs that only grow.
 *
 * A lease is held until it expires by the database's clock, or is given back. Its epoch is what
 * counts: a turn proves it in its own transaction (turn.h), so an owner that was taken over while
 * it slept changes nothing, whatever its clock says.
 *
 * Each call is a transaction of its own, or part of the caller's.
 */
#ifndef CVM_STORAGE_LEASE_H
#define CVM_STORAGE_LEASE_H

#include "base/arena.h"
#include "storage/store.h"

#define CVM_LEASE_NAME_MAX 100 /* bytes of a resource, of an owner */

struct cvm_lease_wish {
    const char *resource;
    const char *owner;   /* not empty */
    int64_t incarnation; /* a program that was started again is another owner */
    int64_t ttl_ms;
};

/* CVM_E_CONFLICT names the owner when somebody else holds it. Who holds it already gets a new
 * epoch.
 */
CVM_MUST_CHECK enum cvm_status cvm_lease_acquire(struct cvm_store *store,
                                                 const struct cvm_lease_wish *wish,
                                                 int64_t *out_epoch, struct cvm_error *err);
/* Take it from whoever holds it: an operator's choice. */
CVM_MUST_CHECK enum cvm_status cvm_lease_steal(struct cvm_store *store,
                                               const struct cvm_lease_wish *wish,
                                               int64_t *out_epoch, struct cvm_error *err);
/* CVM_E_CONFLICT when it was taken over: stop now. */
CVM_MUST_CHECK enum cvm_status cvm_lease_renew(struct cvm_store *store, const char *resource,
                                               int64_t epoch, int64_t ttl_ms,
                                               struct cvm_error *err);
/* Give it back; nothing when it was taken over. */
CVM_MUST_CHECK enum cvm_status cvm_lease_release(struct cvm_store *store, const char *resource,
                                                 int64_t epoch, struct cvm_error *err);

struct cvm_lease {
    const char *owner; /* "" = given back */
    int64_t incarnation;
    int64_t epoch;
    int64_t expires_at_ms;
    int64_t committed_at_ms; /* 0 = never */
};
/* CVM_E_NOT_FOUND when nobody ever held it. */
CVM_MUST_CHECK enum cvm_status cvm_lease_get(struct cvm_store *store, struct cvm_arena *arena,
                                             const char *resource, struct cvm_lease *out_lease,
                                             struct cvm_error *err);

/* The moment by the database's clock, which all processes share; a file's store has its own. */
CVM_MUST_CHECK enum cvm_status cvm_lease_now(struct cvm_store *store, int64_t *out_ms,
                                             struct cvm_error *err);

#endif
