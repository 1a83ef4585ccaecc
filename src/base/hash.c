#include "base/hash.h"

#include <assert.h>
#include <sodium.h>
#include <xxhash.h>

static_assert(sizeof(crypto_generichash_state) <= sizeof(((struct cvm_digest *)0)->state),
              "struct cvm_digest is too small for libsodium's state");
static_assert(_Alignof(crypto_generichash_state) <= _Alignof(struct cvm_digest),
              "struct cvm_digest is not aligned for libsodium's state");

uint64_t cvm_hash(const void *bytes, size_t length)
{
    return XXH3_64bits(bytes, length);
}

uint64_t cvm_hash_seeded(const void *bytes, size_t length, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, length, seed);
}

static uint64_t finalise(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9U;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBU;
    x ^= x >> 31;
    return x;
}

uint64_t cvm_hash_mix(uint64_t a, uint64_t b)
{
    const uint64_t golden = 0x9E3779B97F4A7C15U;
    return finalise((finalise(a + golden) ^ b) + golden);
}

void cvm_digest_init(struct cvm_digest *digest)
{
    /* Thread safe and cheap after the first call; when it fails (no random source) the digest still
     * works, only without the fast implementation. */
    int rc = sodium_init();
    rc = crypto_generichash_init((void *)digest->state, NULL, 0, CVM_DIGEST_BYTES);
    assert(rc == 0);
    (void)rc;
}

void cvm_digest_add(struct cvm_digest *digest, const void *bytes, size_t length)
{
    if (length > 0) {
        (void)crypto_generichash_update((void *)digest->state, bytes, length);
    }
}

void cvm_digest_finish_bytes(struct cvm_digest *digest, unsigned char bytes[CVM_DIGEST_BYTES])
{
    int rc = crypto_generichash_final((void *)digest->state, bytes, CVM_DIGEST_BYTES);
    assert(rc == 0);
    (void)rc;
}

void cvm_digest_format(const unsigned char bytes[CVM_DIGEST_BYTES], char text[CVM_DIGEST_TEXT_SIZE])
{
    (void)sodium_bin2hex(text, CVM_DIGEST_TEXT_SIZE, bytes, CVM_DIGEST_BYTES);
}

void cvm_digest_finish(struct cvm_digest *digest, char text[CVM_DIGEST_TEXT_SIZE])
{
    unsigned char bytes[CVM_DIGEST_BYTES];
    cvm_digest_finish_bytes(digest, bytes);
    cvm_digest_format(bytes, text);
}

void cvm_digest_of(const void *bytes, size_t length, unsigned char digest[CVM_DIGEST_BYTES])
{
    int rc = sodium_init(); /* as in cvm_digest_init() */
    rc = crypto_generichash(digest, CVM_DIGEST_BYTES, bytes, length, NULL, 0);
    assert(rc == 0);
    (void)rc;
}
