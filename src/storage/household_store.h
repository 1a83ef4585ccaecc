/* household_store.h - who lives in which household, as the last run of the whole base saw it:
 * opaque parts, which engine/household.h makes and reads.
 */
#ifndef CVM_STORAGE_HOUSEHOLD_STORE_H
#define CVM_STORAGE_HOUSEHOLD_STORE_H

#include "base/arena.h"
#include "storage/store.h"

#define CVM_HOUSEHOLD_PARTS 64

/* CVM_E_NOT_FOUND before any run stored one. The body is copied into the arena. */
CVM_MUST_CHECK enum cvm_status cvm_household_part_get(struct cvm_store *store,
                                                      struct cvm_arena *arena, size_t part,
                                                      const void **out_body, size_t *out_length,
                                                      struct cvm_error *err);
/* Replaces the part. Inside the caller's transaction. */
CVM_MUST_CHECK enum cvm_status cvm_household_part_put(struct cvm_store *store, size_t part,
                                                      const void *body, size_t length,
                                                      struct cvm_error *err);

#endif
