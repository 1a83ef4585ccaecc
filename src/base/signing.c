#include "base/signing.h"

#include <sodium.h>
#include <string.h>

#include "base/file.h"
#include "base/key_file.h"

#define SEED_BYTES         crypto_sign_SEEDBYTES
#define PUBLIC_BYTES_MAX   ((size_t)1 << 20)
#define PUBLIC_TEXT_LENGTH ((size_t)CVM_PUBLIC_KEY_TEXT_SIZE - 1)

_Static_assert(crypto_sign_SEEDBYTES == CVM_SECRET_BYTES, "Ed25519 seed");
_Static_assert(crypto_sign_PUBLICKEYBYTES == CVM_PUBLIC_KEY_BYTES, "Ed25519 public key");
_Static_assert(crypto_sign_SECRETKEYBYTES == sizeof(((struct cvm_signing_key *)0)->secret),
               "Ed25519 secret key");
_Static_assert(crypto_sign_BYTES == CVM_SIGNATURE_BYTES, "Ed25519 signature");

void cvm_random_bytes(void *bytes, size_t length)
{
    int rc = sodium_init(); /* without it randombytes_buf() opens the source by itself */
    (void)rc;
    randombytes_buf(bytes, length);
}

static void key_of_seed(const unsigned char seed[SEED_BYTES], struct cvm_signing_key *out_key)
{
    (void)crypto_sign_seed_keypair(out_key->public_key.bytes, out_key->secret, seed);
}

enum cvm_status cvm_signing_key_create(const char *path, struct cvm_signing_key *out_key,
                                       struct cvm_error *err)
{
    unsigned char seed[SEED_BYTES];
    enum cvm_status status = cvm_key_file_create(path, seed, err);
    if (status == CVM_OK) {
        key_of_seed(seed, out_key);
    }
    sodium_memzero(seed, sizeof(seed));
    return status;
}

enum cvm_status cvm_signing_key_read(const char *path, struct cvm_signing_key *out_key,
                                     struct cvm_error *err)
{
    unsigned char seed[SEED_BYTES];
    enum cvm_status status = cvm_key_file_read(path, false, seed, err);
    if (status == CVM_OK) {
        key_of_seed(seed, out_key);
    }
    sodium_memzero(seed, sizeof(seed));
    return status;
}

void cvm_signing_key_clear(struct cvm_signing_key *key)
{
    sodium_memzero(key, sizeof(*key));
}

void cvm_sign(const struct cvm_signing_key *key, const void *bytes, size_t length,
              unsigned char signature[CVM_SIGNATURE_BYTES])
{
    (void)crypto_sign_detached(signature, NULL, bytes, length, key->secret);
}

bool cvm_signature_is_good(const struct cvm_public_key *key, const void *bytes, size_t length,
                           const unsigned char signature[CVM_SIGNATURE_BYTES])
{
    return crypto_sign_verify_detached(signature, bytes, length, key->bytes) == 0;
}

void cvm_public_key_format(const struct cvm_public_key *key, char text[CVM_PUBLIC_KEY_TEXT_SIZE])
{
    (void)sodium_bin2hex(text, CVM_PUBLIC_KEY_TEXT_SIZE, key->bytes, sizeof(key->bytes));
}

/* One line, without its end: a key, a remark or nothing. */
static bool read_line(const char *line, size_t length, struct cvm_public_key *out_key,
                      size_t *out_count)
{
    size_t bytes = 0;
    while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\r')) {
        length--;
    }
    *out_count = 0;
    if (length == 0 || line[0] == '#') {
        return true;
    }
    *out_count = 1;
    return length == PUBLIC_TEXT_LENGTH &&
           sodium_hex2bin(out_key->bytes, sizeof(out_key->bytes), line, length, NULL, &bytes,
                          NULL) == 0 &&
           bytes == sizeof(out_key->bytes);
}

enum cvm_status cvm_public_keys_read(struct cvm_arena *arena, const char *path,
                                     struct cvm_public_key **out_keys, size_t *out_count,
                                     struct cvm_error *err)
{
    char *text = NULL;
    size_t length = 0;
    enum cvm_status status = cvm_file_read(arena, path, PUBLIC_BYTES_MAX, &text, &length, err);
    if (status != CVM_OK) {
        return status;
    }
    size_t count = 0;
    struct cvm_public_key *keys =
        CVM_NEW_ARRAY(arena, length / PUBLIC_TEXT_LENGTH + 1, struct cvm_public_key);
    if (keys == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the public keys of '%s'", path);
    }
    for (size_t at = 0, number = 1; at < length; number++) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t line_length = end == NULL ? length - at : (size_t)(end - text) - at;
        size_t found = 0;
        if (!read_line(text + at, line_length, &keys[count], &found)) {
            return CVM_FAIL(err, CVM_E_INVALID,
                            "line %zu of '%s' is no public key: %zu hex digits are expected",
                            number, path, PUBLIC_TEXT_LENGTH);
        }
        count += found;
        at += line_length + 1;
    }
    if (count == 0) {
        return CVM_FAIL(err, CVM_E_INVALID, "'%s' holds no public key", path);
    }
    *out_keys = keys;
    *out_count = count;
    return CVM_OK;
}
