/* vault.h - personal data sealed under a random key per customer, and the keys themselves, wrapped
 * by the master key in a database of their own.
 *
 * A blob is nonce, ciphertext and tag of XChaCha20-Poly1305; its place (row, customer) is
 * authenticated with it, so that a blob moved to another row is refused. Erasing a customer's key
 * makes every copy of the blobs unreadable, wherever it is.
 *
 * Thread safety: one struct cvm_vault per thread. Keys live in locked memory that core dumps leave
 * out, and are wiped when the vault is closed.
 */
#ifndef CVM_STORAGE_VAULT_H
#define CVM_STORAGE_VAULT_H

#include "base/arena.h"
#include "base/text.h"
#include "storage/db.h"

/* event.key_id, consent.key_id */
#define CVM_KEY_NONE        0 /* in the clear */
#define CVM_KEY_CUSTOMER    1 /* under the customer's own key */

#define CVM_VAULT_ID_SIZE   17
#define CVM_VAULT_MAC_BYTES 32

/* A new random master key in a file that only its owner may read. CVM_E_CONFLICT when there is a
 * file: a master key is never overwritten. */
CVM_MUST_CHECK enum cvm_status cvm_master_key_create(const char *path, struct cvm_error *err);

struct cvm_vault;

struct cvm_vault_options {
    const char *url; /* of the database of keys */
    /* File of the master key. $CREDENTIALS_DIRECTORY/cvm-master-key takes its place where systemd
     * hands one over. */
    const char *master_key;
    bool reads_file_only; /* ... and nothing takes the file's place */
    enum cvm_db_access access;
    bool may_create;
    int64_t now_ms;
};
/* CVM_E_NOT_FOUND when there is no master key or no database; CVM_E_DENIED for a master key that
 * others may read, or that is not the one the keys are wrapped with. */
CVM_MUST_CHECK enum cvm_status cvm_vault_open(const struct cvm_vault_options *options,
                                              struct cvm_vault **out_vault, struct cvm_error *err);
void cvm_vault_close(struct cvm_vault *vault); /* NULL is fine */

/* 16 hex digits that tell this vault from others and say nothing about its keys. */
const char *cvm_vault_id(const struct cvm_vault *vault);
/* Where the keys are: keys made by cvm_vault_seal() are committed there before the rows. */
struct cvm_db *cvm_vault_db(struct cvm_vault *vault);
/* Forget the keys that were not committed; nothing open is fine. */
void cvm_vault_rollback(struct cvm_vault *vault);
/* How many keys to fetch at once from the wanted one on: 1, unless customers come in key order. */
void cvm_vault_read_ahead(struct cvm_vault *vault, size_t key_count);

enum cvm_vault_kind { CVM_VAULT_EVENT = 1, CVM_VAULT_CONSENT = 2 };
/* The row that a blob belongs to. */
struct cvm_vault_place {
    enum cvm_vault_kind kind;
    uint64_t customer_key;
    int64_t source;    /* the store's number */
    uint64_t identity; /* 0 for consent */
    int64_t version;
};

/* A customer without a key gets one, inside the transaction of cvm_vault_db(). The blob is good
 * until the next call. CVM_E_CONFLICT for a customer whose key was erased. */
CVM_MUST_CHECK enum cvm_status cvm_vault_seal(struct cvm_vault *vault,
                                              const struct cvm_vault_place *place,
                                              struct cvm_slice text, struct cvm_slice *out_blob,
                                              struct cvm_error *err);
/* Into the arena, ended by '\0'. Nothing (data NULL) when the customer's key was erased;
 * CVM_E_NOT_FOUND when there never was one in this database; CVM_E_CORRUPT when the blob was
 * changed or moved. */
CVM_MUST_CHECK enum cvm_status cvm_vault_unseal(struct cvm_vault *vault, struct cvm_arena *arena,
                                                const struct cvm_vault_place *place,
                                                struct cvm_slice blob, struct cvm_slice *out_text,
                                                struct cvm_error *err);

/* Forget a customer's key for good, in a transaction of its own. A mark stays that it was erased.
 */
CVM_MUST_CHECK enum cvm_status cvm_vault_erase(struct cvm_vault *vault, uint64_t customer_key,
                                               struct cvm_error *err);

/* Wrap every key by the master key in `path` instead, in one transaction, and leave nothing of the
 * old wrapping in the file: what was killed before the commit has changed nothing. The caller is
 * the store's only writer. `path` is read as a file, whatever the system hands over; the key in use
 * makes no difference. *out_keys were wrapped anew. */
CVM_MUST_CHECK enum cvm_status cvm_vault_rewrap(struct cvm_vault *vault, const char *path,
                                                int64_t *out_keys, struct cvm_error *err);
/* 16 hex digits that tell the master key of a vault from others and say nothing about it. */
void cvm_vault_master_id(const struct cvm_vault *vault, char id[CVM_VAULT_ID_SIZE]);

/* The database of keys alone, its schema up to date; the master key is not looked at. */
CVM_MUST_CHECK enum cvm_status cvm_keys_open(const struct cvm_vault_options *options,
                                             struct cvm_db **out_db, struct cvm_error *err);
/* The keys of one database into another one, which is made where it is missing; wrapped as they
 * are, so no master key is needed. A key that was erased in either stays erased, and a second call
 * brings what came since. CVM_E_CONFLICT when the other holds keys of another vault, or wrapped by
 * another master key. */
CVM_MUST_CHECK enum cvm_status cvm_vault_copy(const char *from_url, const char *to_url,
                                              int64_t now_ms, int64_t *out_keys,
                                              struct cvm_error *err);

/* Keyed BLAKE2b of an id, to know an erased customer again; vault NULL: of a store without keys. */
void cvm_vault_mac(const struct cvm_vault *vault, const char *id, size_t length,
                   unsigned char mac[CVM_VAULT_MAC_BYTES]);

#endif
