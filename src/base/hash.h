/* hash.h - one fast hash for keys and ties, one strong digest for proofs. */
#ifndef CVM_BASE_HASH_H
#define CVM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH3, 64 bits. The result is the same on every machine. */
uint64_t cvm_hash(const void *bytes, size_t length);
uint64_t cvm_hash_seeded(const void *bytes, size_t length, uint64_t seed);
/* Mixes two numbers into one (splitmix64 finaliser); order matters. */
uint64_t cvm_hash_mix(uint64_t a, uint64_t b);

#define CVM_DIGEST_BYTES     32
#define CVM_DIGEST_TEXT_SIZE 65

/* BLAKE2b-256, incremental. */
struct cvm_digest {
    _Alignas(64) unsigned char state[448];
};
void cvm_digest_init(struct cvm_digest *digest);
void cvm_digest_add(struct cvm_digest *digest, const void *bytes, size_t length);
/* Lower-case hex, ended by '\0'. */
void cvm_digest_finish(struct cvm_digest *digest, char text[CVM_DIGEST_TEXT_SIZE]);
void cvm_digest_finish_bytes(struct cvm_digest *digest, unsigned char bytes[CVM_DIGEST_BYTES]);
void cvm_digest_format(const unsigned char bytes[CVM_DIGEST_BYTES],
                       char text[CVM_DIGEST_TEXT_SIZE]);
/* The same of bytes that are all there. */
void cvm_digest_of(const void *bytes, size_t length, unsigned char digest[CVM_DIGEST_BYTES]);

#endif
