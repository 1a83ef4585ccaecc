/* control_store.h - the universal control group: who belongs to it, frozen at enrolment, and how
 * many of each stratum were enrolled so far.
 *
 * Reading may happen anywhere, writing inside the caller's transaction.
 */
#ifndef CVM_STORAGE_CONTROL_STORE_H
#define CVM_STORAGE_CONTROL_STORE_H

#include "base/columns.h"
#include "storage/store.h"

/* Customers of batches up to this one are enrolled; 0 = nobody yet. */
CVM_MUST_CHECK enum cvm_status
cvm_control_enrolled_batch(struct cvm_store *store, int64_t *out_batch, struct cvm_error *err);
/* Customers of the store, counted no further than `least`. */
CVM_MUST_CHECK enum cvm_status cvm_control_customers(struct cvm_store *store, int64_t least,
                                                     int64_t *out_count, struct cvm_error *err);
/* Keys of the members, ascending, into a column of uint64_t. */
CVM_MUST_CHECK enum cvm_status
cvm_control_members(struct cvm_store *store, struct cvm_column *members, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_control_is_member(struct cvm_store *store, uint64_t key,
                                                     bool *out_is_member, struct cvm_error *err);
/* Keys of customers of batches after after_batch and up to last_batch, ascending. */
CVM_MUST_CHECK enum cvm_status cvm_control_newcomers(struct cvm_store *store, int64_t after_batch,
                                                     int64_t last_batch, struct cvm_column *keys,
                                                     struct cvm_error *err);

struct cvm_control_stratum {
    const char *name; /* until on_stratum returns */
    int64_t enrolled;
    int64_t members;
};
typedef enum cvm_status (*cvm_control_stratum_fn)(void *state,
                                                  const struct cvm_control_stratum *stratum,
                                                  struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_control_strata(struct cvm_store *store,
                                                  cvm_control_stratum_fn on_stratum, void *state,
                                                  struct cvm_error *err);

/* Replaces the stratum's counts. */
CVM_MUST_CHECK enum cvm_status cvm_control_stratum_put(struct cvm_store *store,
                                                       const struct cvm_control_stratum *stratum,
                                                       struct cvm_error *err);

struct cvm_control_member {
    uint64_t key;
    const char *stratum;
    const char *run_id;
};
CVM_MUST_CHECK enum cvm_status cvm_control_member_add(struct cvm_store *store,
                                                      const struct cvm_control_member *members,
                                                      size_t count, struct cvm_error *err);

struct cvm_control_enrolment {
    int64_t batch;
    const char *run_id;
    double share;
    int64_t enrolled; /* by this run */
    int64_t members;
};
CVM_MUST_CHECK enum cvm_status
cvm_control_enrolment_add(struct cvm_store *store, const struct cvm_control_enrolment *enrolment,
                          struct cvm_error *err);

#endif
