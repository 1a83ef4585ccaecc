#include "base/signing.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define SEED_BYTES         crypto_sign_SEEDBYTES
#define SEED_TEXT_LENGTH   ((size_t)SEED_BYTES * 2)
#define KEY_FILE_BYTES_MAX 4096
#define PUBLIC_BYTES_MAX   ((size_t)1 << 20)
#define PUBLIC_TEXT_LENGTH ((size_t)CVM_PUBLIC_KEY_TEXT_SIZE - 1)
#define OTHERS_MAY_READ    (S_IRWXG | S_IRWXO)

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

static enum cvm_status write_all(int file, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t written = write(file, text, length);
        if (written < 0 && errno != EINTR) {
            return CVM_E_UNAVAILABLE;
        }
        text += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
    return fsync(file) == 0 ? CVM_OK : CVM_E_UNAVAILABLE;
}

/* Created with its mode, so that it is never readable by others, not even for a moment. */
static enum cvm_status write_key(const char *path, const char *text, size_t length,
                                 struct cvm_error *err)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (file < 0 && errno == EEXIST) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "the key file '%s' is already there", path);
    }
    if (file < 0) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot make the key file '%s': %s", path,
                        strerror(errno));
    }
    enum cvm_status status = write_all(file, text, length);
    int reason = errno;
    if (close(file) != 0 && status == CVM_OK) {
        status = CVM_E_UNAVAILABLE;
        reason = errno;
    }
    if (status != CVM_OK) {
        (void)unlink(path);
        return CVM_FAIL(err, status, "cannot write the key file '%s': %s", path, strerror(reason));
    }
    return CVM_OK;
}

enum cvm_status cvm_signing_key_create(const char *path, struct cvm_signing_key *out_key,
                                       struct cvm_error *err)
{
    unsigned char seed[SEED_BYTES];
    char text[SEED_TEXT_LENGTH + 2];
    struct cvm_signing_key key;
    cvm_random_bytes(seed, sizeof(seed));
    (void)sodium_bin2hex(text, sizeof(text), seed, sizeof(seed));
    text[SEED_TEXT_LENGTH] = '\n';
    key_of_seed(seed, &key);
    enum cvm_status status = write_key(path, text, SEED_TEXT_LENGTH + 1, err);
    sodium_memzero(seed, sizeof(seed));
    sodium_memzero(text, sizeof(text));
    if (status == CVM_OK) {
        *out_key = key;
    }
    cvm_signing_key_clear(&key);
    return status;
}

static enum cvm_status read_seed(const char *path, FILE *file, unsigned char seed[SEED_BYTES],
                                 struct cvm_error *err)
{
    char text[KEY_FILE_BYTES_MAX];
    struct stat about;
    size_t length = 0;
    if (fstat(fileno(file), &about) != 0) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot read the key file '%s': %s", path,
                        strerror(errno));
    }
    if ((about.st_mode & OTHERS_MAY_READ) != 0) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_DENIED, "others than its owner may read the key file '%s'", path);
        return cvm_error_hint(err, status, "chmod 600, or make a new one if it may be known.");
    }
    size_t count = fread(text, 1, sizeof(text), file);
    while (count > 0 && (text[count - 1] == '\n' || text[count - 1] == '\r')) {
        count--;
    }
    bool is_good = count == SEED_TEXT_LENGTH &&
                   sodium_hex2bin(seed, SEED_BYTES, text, count, NULL, &length, NULL) == 0 &&
                   length == SEED_BYTES;
    sodium_memzero(text, sizeof(text));
    return is_good ? CVM_OK
                   : CVM_FAIL(err, CVM_E_INVALID,
                              "'%s' is no key file: one line of %zu hex digits is expected", path,
                              SEED_TEXT_LENGTH);
}

enum cvm_status cvm_signing_key_read(const char *path, struct cvm_signing_key *out_key,
                                     struct cvm_error *err)
{
    unsigned char seed[SEED_BYTES];
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        return CVM_FAIL(err, errno == ENOENT ? CVM_E_NOT_FOUND : CVM_E_UNAVAILABLE,
                        "cannot read the key file '%s': %s", path, strerror(errno));
    }
    enum cvm_status status = read_seed(path, file, seed, err);
    (void)fclose(file);
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
