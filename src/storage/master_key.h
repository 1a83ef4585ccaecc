/* master_key.h - the key that wraps all others: base/key_file.h. For vault.c. */
#ifndef CVM_STORAGE_MASTER_KEY_H
#define CVM_STORAGE_MASTER_KEY_H

#include "base/key_file.h"

#define CVM_MASTER_KEY_BYTES CVM_SECRET_BYTES

/* From $CREDENTIALS_DIRECTORY/cvm-master-key where it is there, else from `path`. */
CVM_MUST_CHECK enum cvm_status cvm_master_key_read(const char *path,
                                                   unsigned char key[CVM_MASTER_KEY_BYTES],
                                                   struct cvm_error *err);
/* From `path` alone. */
CVM_MUST_CHECK enum cvm_status cvm_master_key_read_file(const char *path,
                                                        unsigned char key[CVM_MASTER_KEY_BYTES],
                                                        struct cvm_error *err);

#endif
