/* key_file.h - a secret of 32 bytes in a file of its own: 64 hex digits, for its owner's eyes. */
#ifndef CVM_BASE_KEY_FILE_H
#define CVM_BASE_KEY_FILE_H

#include <stdbool.h>

#include "base/error.h"

#define CVM_SECRET_BYTES 32

/* A new random secret in a new file of mode 0600, on the disk when this returns. CVM_E_CONFLICT
 * when the file is there: a secret is never overwritten. */
CVM_MUST_CHECK enum cvm_status cvm_key_file_create(const char *path,
                                                   unsigned char out_secret[CVM_SECRET_BYTES],
                                                   struct cvm_error *err);

/* White space around the digits is not held against it. CVM_E_NOT_FOUND; CVM_E_DENIED when others
 * than the owner may read the file, unless its folder guards it (a systemd credential, where access
 * lists show as rights of the group); CVM_E_INVALID. The caller wipes the secret. */
CVM_MUST_CHECK enum cvm_status cvm_key_file_read(const char *path, bool is_guarded,
                                                 unsigned char out_secret[CVM_SECRET_BYTES],
                                                 struct cvm_error *err);

#endif
