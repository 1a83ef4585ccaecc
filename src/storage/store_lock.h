/* store_lock.h - one writer in one process at a time, by a lock on a file beside the store.
 *
 * The system drops the lock when its process dies, so a dead writer never blocks the next. The file
 * stays: removing it would let two processes lock two files of one name.
 */
#ifndef CVM_STORAGE_STORE_LOCK_H
#define CVM_STORAGE_STORE_LOCK_H

#include "base/context.h"

/* *out_lock is a file descriptor, released by cvm_store_unlock(). CVM_E_UNAVAILABLE names the
 * process that holds it after wait_ms; CVM_E_DENIED when the folder may not be written. */
CVM_MUST_CHECK enum cvm_status cvm_store_lock(const char *path, int64_t wait_ms,
                                              const struct cvm_clock *clock, int *out_lock,
                                              struct cvm_error *err);
void cvm_store_unlock(int lock); /* negative is fine */

/* This process, as messages name it: "4711 cvm run". */
#define CVM_LOCK_HOLDER_BYTES 96
void cvm_store_lock_describe(char text[CVM_LOCK_HOLDER_BYTES]);

#endif
