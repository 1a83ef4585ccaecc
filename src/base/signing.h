/* signing.h - Ed25519: a key file of this deployment, signatures that anybody can check with its
 * public half.
 *
 * A key file is a text of one line in hex, readable by its owner alone; a file of public keys has
 * one in hex per line, lines with '#' are remarks.
 */
#ifndef CVM_BASE_SIGNING_H
#define CVM_BASE_SIGNING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"

#define CVM_PUBLIC_KEY_BYTES     32
#define CVM_PUBLIC_KEY_TEXT_SIZE 65
#define CVM_SIGNATURE_BYTES      64

struct cvm_public_key {
    unsigned char bytes[CVM_PUBLIC_KEY_BYTES];
};
struct cvm_signing_key {
    struct cvm_public_key public_key;
    unsigned char secret[64];
};

/* A new key in a new file of mode 0600. CVM_E_CONFLICT when the file is there: a key is never
 * overwritten. */
CVM_MUST_CHECK enum cvm_status
cvm_signing_key_create(const char *path, struct cvm_signing_key *out_key, struct cvm_error *err);
/* CVM_E_NOT_FOUND; CVM_E_DENIED when others than the owner may read the file; CVM_E_INVALID. */
CVM_MUST_CHECK enum cvm_status
cvm_signing_key_read(const char *path, struct cvm_signing_key *out_key, struct cvm_error *err);
void cvm_signing_key_clear(struct cvm_signing_key *key);

void cvm_sign(const struct cvm_signing_key *key, const void *bytes, size_t length,
              unsigned char signature[CVM_SIGNATURE_BYTES]);
bool cvm_signature_is_good(const struct cvm_public_key *key, const void *bytes, size_t length,
                           const unsigned char signature[CVM_SIGNATURE_BYTES]);

/* Lower-case hex, ended by '\0'. */
void cvm_public_key_format(const struct cvm_public_key *key, char text[CVM_PUBLIC_KEY_TEXT_SIZE]);
/* The public keys of a file, at least one. */
CVM_MUST_CHECK enum cvm_status cvm_public_keys_read(struct cvm_arena *arena, const char *path,
                                                    struct cvm_public_key **out_keys,
                                                    size_t *out_count, struct cvm_error *err);

/* `length` bytes that nobody can guess. */
void cvm_random_bytes(void *bytes, size_t length);

#endif
