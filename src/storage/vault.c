#include "storage/vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "storage/db_backend.h"
#include "storage/db_sql.h"
#include "storage/master_key.h"
#include "storage/migrate.h"

#define KEY_BYTES     crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_BYTES   crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES     crypto_aead_xchacha20poly1305_ietf_ABYTES
#define WRAPPED_BYTES (NONCE_BYTES + KEY_BYTES + TAG_BYTES)

/* Fetched or made keys; a power of two. Emptied when it is three quarters full. */
#define SLOT_COUNT  ((size_t)4096)
#define SLOTS_MAX   (SLOT_COUNT / 4 * 3)
#define AHEAD_MAX   (SLOT_COUNT / 4)
#define POOL_NONCES ((size_t)256)

#define VAULT_KEY   INT64_C(0) /* row of the vault's own key: no customer has key 0 */

enum slot_state { SLOT_FREE, SLOT_KEY, SLOT_ERASED };

struct slot {
    uint64_t customer_key;
    enum slot_state state;
    unsigned char key[KEY_BYTES];
};

/* Records are sealed customer by customer. The first half of XChaCha20, HChaCha20 of the key and
 * the first 16 bytes of the nonce, is done once for a run of them: their nonces count in the last 8
 * bytes. Opening is plain XChaCha20-Poly1305. */
struct sealing {
    bool is_begun;
    uint64_t customer_key;
    unsigned char nonce[NONCE_BYTES]; /* of the next record */
    unsigned char key[KEY_BYTES];
};

/* In locked memory. */
struct secrets {
    unsigned char master[CVM_MASTER_KEY_BYTES];
    unsigned char next_master[CVM_MASTER_KEY_BYTES]; /* while keys are wrapped anew */
    unsigned char mac[crypto_generichash_KEYBYTES];
    struct sealing sealing;
    struct slot slots[SLOT_COUNT];
};

struct cvm_vault {
    struct cvm_db *db;
    struct secrets *secrets;
    size_t slot_count; /* taken */
    size_t read_ahead;
    /* Customers between the two that are in no slot have no key. */
    uint64_t known_first;
    uint64_t known_last;
    bool is_known;
    int64_t master_id;
    char id[CVM_VAULT_ID_SIZE];
    unsigned char nonces[POOL_NONCES][NONCE_BYTES]; /* random, each used once */
    size_t nonces_left;
    struct cvm_text blob;
};

/* ---- bytes ---- */

static void put_number(unsigned char *bytes, uint64_t value)
{
    for (size_t i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
}

/* A call to the system for each would cost more than the sealing. */
static const unsigned char *next_nonce(struct cvm_vault *vault)
{
    if (vault->nonces_left == 0) {
        randombytes_buf(vault->nonces, sizeof(vault->nonces));
        vault->nonces_left = POOL_NONCES;
    }
    return vault->nonces[--vault->nonces_left];
}

/* ---- wrapping ---- */

#define WRAP_PLACE_BYTES 16

static void wrap_place(int64_t customer_key, int64_t master_id,
                       unsigned char place[WRAP_PLACE_BYTES])
{
    put_number(place, (uint64_t)customer_key);
    put_number(place + 8, (uint64_t)master_id);
}

/* A master key and what stands for it in the open. */
struct wrapper {
    const unsigned char *master;
    int64_t id;
};

static void wrap(struct cvm_vault *vault, const struct wrapper *by, int64_t customer_key,
                 const unsigned char *key, unsigned char wrapped[WRAPPED_BYTES])
{
    unsigned char place[WRAP_PLACE_BYTES];
    wrap_place(customer_key, by->id, place);
    memcpy(wrapped, next_nonce(vault), NONCE_BYTES);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(wrapped + NONCE_BYTES, NULL, key, KEY_BYTES,
                                                     place, sizeof(place), NULL, wrapped,
                                                     by->master);
}

static enum cvm_status unwrap(struct cvm_vault *vault, const struct cvm_db_value *columns,
                              unsigned char *key, struct cvm_error *err)
{
    unsigned char place[WRAP_PLACE_BYTES];
    int64_t master_id = columns[1].integer;
    const unsigned char *wrapped = columns[2].bytes.data;
    if (master_id != vault->master_id) {
        enum cvm_status status = CVM_FAIL(
            err, CVM_E_DENIED, "keys are wrapped by master key %016llx, and %016llx was given",
            (unsigned long long)master_id, (unsigned long long)vault->master_id);
        return cvm_error_hint(err, status,
                              "Give the file of the first one as privacy.master_key in cvm.yaml.");
    }
    wrap_place(columns[0].integer, master_id, place);
    if (columns[2].bytes.length != WRAPPED_BYTES ||
        crypto_aead_xchacha20poly1305_ietf_decrypt(
            key, NULL, NULL, wrapped + NONCE_BYTES, WRAPPED_BYTES - NONCE_BYTES, place,
            sizeof(place), wrapped, vault->secrets->master) != 0) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "the key of customer key %016llx was changed",
                        (unsigned long long)columns[0].integer);
    }
    return CVM_OK;
}

static enum cvm_status add_key(struct cvm_vault *vault, int64_t customer_key,
                               const unsigned char *key, struct cvm_error *err)
{
    unsigned char wrapped[WRAPPED_BYTES];
    wrap(vault, &(struct wrapper){vault->secrets->master, vault->master_id}, customer_key, key,
         wrapped);
    struct cvm_db_value params[] = {cvm_db_int(customer_key), cvm_db_int(vault->master_id),
                                    cvm_db_blob(wrapped, sizeof(wrapped))};
    return cvm_db_exec(vault->db, cvm_db_sql(vault->db, CVM_SQL_KEY_ADD), params,
                       CVM_DB_COUNT(params), NULL, err);
}

/* ---- slots ---- */

/* The customer's slot, or the free one where it would stand. */
static struct slot *slot_of(struct cvm_vault *vault, uint64_t customer_key)
{
    size_t at = (size_t)(customer_key * UINT64_C(0x9e3779b97f4a7c15) >> 32);
    for (;; at++) {
        struct slot *slot = &vault->secrets->slots[at % SLOT_COUNT];
        if (slot->state == SLOT_FREE || slot->customer_key == customer_key) {
            return slot;
        }
    }
}

static void empty_slots(struct cvm_vault *vault)
{
    sodium_memzero(vault->secrets->slots, sizeof(vault->secrets->slots));
    sodium_memzero(&vault->secrets->sealing, sizeof(vault->secrets->sealing));
    vault->slot_count = 0;
    vault->is_known = false;
}

static struct slot *take_slot(struct cvm_vault *vault, uint64_t customer_key)
{
    struct slot *slot = slot_of(vault, customer_key);
    vault->slot_count += slot->state == SLOT_FREE;
    slot->customer_key = customer_key;
    return slot;
}

struct fetching {
    struct cvm_vault *vault;
    size_t count;
    uint64_t last;
};

static enum cvm_status fetch_row(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct fetching *fetching = state;
    (void)column_count;
    fetching->count++;
    fetching->last = (uint64_t)columns[0].integer;
    struct slot *slot = take_slot(fetching->vault, fetching->last);
    slot->state = SLOT_ERASED;
    if (columns[2].type == CVM_DB_NULL) {
        return CVM_OK;
    }
    enum cvm_status status = unwrap(fetching->vault, columns, slot->key, err);
    slot->state = status == CVM_OK ? SLOT_KEY : SLOT_ERASED;
    return status;
}

static enum cvm_status fetch(struct cvm_vault *vault, uint64_t customer_key, struct cvm_error *err)
{
    struct fetching fetching = {.vault = vault};
    struct cvm_db_value params[] = {cvm_db_int((int64_t)customer_key),
                                    cvm_db_int((int64_t)vault->read_ahead)};
    empty_slots(vault);
    enum cvm_status status = cvm_db_query(vault->db, cvm_db_sql(vault->db, CVM_SQL_KEY_READ),
                                          params, CVM_DB_COUNT(params), fetch_row, &fetching, err);
    if (status != CVM_OK) {
        empty_slots(vault);
        return status;
    }
    vault->known_first = customer_key;
    vault->known_last = fetching.count < vault->read_ahead ? UINT64_MAX : fetching.last;
    vault->is_known = true;
    return CVM_OK;
}

/* A slot in state SLOT_FREE: the customer has no key. A known absence is asked for again where
 * `is_fresh`: another process may have made the key since. */
static enum cvm_status find(struct cvm_vault *vault, uint64_t customer_key, bool is_fresh,
                            struct slot **out_slot, struct cvm_error *err)
{
    struct slot *slot = slot_of(vault, customer_key);
    bool is_absent = !is_fresh && vault->is_known && vault->slot_count < SLOTS_MAX &&
                     customer_key >= vault->known_first && customer_key <= vault->known_last;
    if (slot->state == SLOT_FREE && !is_absent) {
        enum cvm_status status = fetch(vault, customer_key, err);
        if (status != CVM_OK) {
            return status;
        }
        slot = slot_of(vault, customer_key);
    }
    *out_slot = slot;
    return CVM_OK;
}

/* ---- opening ---- */

/* What stands for the master key in the open: says which one it is, and nothing about it. */
static int64_t master_id_of(const unsigned char master[CVM_MASTER_KEY_BYTES])
{
    static const unsigned char label[] = "cvm master key id";
    unsigned char hash[crypto_generichash_BYTES_MIN];
    uint64_t id = 0;
    (void)crypto_generichash(hash, sizeof(hash), label, sizeof(label) - 1, master,
                             CVM_MASTER_KEY_BYTES);
    memcpy(&id, hash, sizeof(id));
    return (int64_t)(id & INT64_MAX);
}

/* The vault's own key gives the key of MACs and the id. */
static void derive(struct cvm_vault *vault, const unsigned char own[KEY_BYTES])
{
    unsigned char id[crypto_kdf_BYTES_MIN];
    (void)crypto_kdf_derive_from_key(vault->secrets->mac, sizeof(vault->secrets->mac), 1,
                                     "cvmvault", own);
    (void)crypto_kdf_derive_from_key(id, sizeof(id), 2, "cvmvault", own);
    (void)sodium_bin2hex(vault->id, sizeof(vault->id), id, (CVM_VAULT_ID_SIZE - 1) / 2);
    sodium_memzero(id, sizeof(id));
}

static enum cvm_status make_own_key(struct cvm_vault *vault, struct cvm_error *err)
{
    unsigned char own[KEY_BYTES];
    randombytes_buf(own, sizeof(own));
    enum cvm_status status = cvm_db_begin(vault->db, err);
    if (status == CVM_OK) {
        status = add_key(vault, VAULT_KEY, own, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(vault->db, err);
    }
    cvm_db_rollback(vault->db);
    if (status == CVM_OK) {
        derive(vault, own);
    }
    sodium_memzero(own, sizeof(own));
    return status;
}

static enum cvm_status read_own_key(struct cvm_vault *vault, bool may_create, struct cvm_error *err)
{
    struct slot *slot = NULL;
    vault->read_ahead = 1;
    enum cvm_status status = find(vault, (uint64_t)VAULT_KEY, true, &slot, err);
    if (status == CVM_OK && slot->state == SLOT_FREE) {
        return may_create ? make_own_key(vault, err)
                          : CVM_FAIL(err, CVM_E_CORRUPT, "the database of keys is empty");
    }
    if (status == CVM_OK) {
        derive(vault, slot->key);
    }
    empty_slots(vault);
    return status;
}

static enum cvm_status settle_keys(struct cvm_db *db, int64_t now_ms, struct cvm_error *err)
{
    int from = 0;
    int to = 0;
    const struct cvm_sql_migration *migrations = db->backend->dialect->keys;
    if (migrations == NULL) {
        enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "keys stand in an SQLite database");
        return cvm_error_hint(err, status, "Name one as privacy.keys: `sqlite:cvm-keys.db`.");
    }
    if (cvm_db_access_of(db) == CVM_DB_WRITE) {
        return cvm_migrate(db, migrations, now_ms, &from, &to, err);
    }
    enum cvm_status status = cvm_migration_at(db, migrations, &to, err);
    return status == CVM_OK && to < cvm_migration_newest(migrations)
               ? CVM_FAIL(err, CVM_E_CONFLICT, "the database of keys was made by an older cvm")
               : status;
}

enum cvm_status cvm_keys_open(const struct cvm_vault_options *options, struct cvm_db **out_db,
                              struct cvm_error *err)
{
    struct cvm_db_options db_options = {.access = options->access,
                                        .may_create = options->may_create};
    struct cvm_db *db = NULL;
    enum cvm_status status = cvm_db_open(options->url, &db_options, &db, err);
    if (status == CVM_OK) {
        status = settle_keys(db, options->now_ms, err);
    }
    if (status != CVM_OK) {
        cvm_db_close(db);
        return status;
    }
    *out_db = db;
    return CVM_OK;
}

enum cvm_status cvm_vault_open(const struct cvm_vault_options *options,
                               struct cvm_vault **out_vault, struct cvm_error *err)
{
    struct cvm_vault *vault = calloc(1, sizeof(*vault));
    if (sodium_init() < 0 || vault == NULL ||
        (vault->secrets = sodium_malloc(sizeof(*vault->secrets))) == NULL) {
        free(vault);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for keys");
    }
    cvm_text_init(&vault->blob, 0);
    sodium_memzero(vault->secrets, sizeof(*vault->secrets));
    unsigned char *master = vault->secrets->master;
    enum cvm_status status = options->reads_file_only
                                 ? cvm_master_key_read_file(options->master_key, master, err)
                                 : cvm_master_key_read(options->master_key, master, err);
    if (status == CVM_OK) {
        vault->master_id = master_id_of(vault->secrets->master);
        status = cvm_keys_open(options, &vault->db, err);
    }
    if (status == CVM_OK) {
        status = read_own_key(vault, options->access == CVM_DB_WRITE && options->may_create, err);
    }
    if (status != CVM_OK) {
        cvm_vault_close(vault);
        return cvm_error_context(err, status, "keys of personal data");
    }
    *out_vault = vault;
    return CVM_OK;
}

void cvm_vault_close(struct cvm_vault *vault)
{
    if (vault != NULL) {
        cvm_db_close(vault->db);
        cvm_text_finish(&vault->blob);
        sodium_free(vault->secrets); /* wipes it */
        free(vault);
    }
}

const char *cvm_vault_id(const struct cvm_vault *vault)
{
    return vault->id;
}

struct cvm_db *cvm_vault_db(struct cvm_vault *vault)
{
    return vault->db;
}

void cvm_vault_rollback(struct cvm_vault *vault)
{
    cvm_db_rollback(vault->db);
    empty_slots(vault);
}

void cvm_vault_read_ahead(struct cvm_vault *vault, size_t key_count)
{
    vault->read_ahead = key_count < 1 ? 1 : key_count > AHEAD_MAX ? AHEAD_MAX : key_count;
}

/* ---- sealing ---- */

#define PLACE_BYTES 33

static void write_place(const struct cvm_vault_place *place, unsigned char bytes[PLACE_BYTES])
{
    bytes[0] = (unsigned char)place->kind;
    put_number(bytes + 1, place->customer_key);
    put_number(bytes + 9, (uint64_t)place->source);
    put_number(bytes + 17, place->identity);
    put_number(bytes + 25, (uint64_t)place->version);
}

static enum cvm_status make_key(struct cvm_vault *vault, uint64_t customer_key,
                                struct slot **out_slot, struct cvm_error *err)
{
    if (vault->slot_count >= SLOTS_MAX) {
        empty_slots(vault);
    }
    struct slot *slot = take_slot(vault, customer_key);
    randombytes_buf(slot->key, sizeof(slot->key));
    slot->state = SLOT_KEY;
    enum cvm_status status = add_key(vault, (int64_t)customer_key, slot->key, err);
    if (status != CVM_OK) {
        empty_slots(vault);
        return status;
    }
    *out_slot = slot;
    return CVM_OK;
}

static void encrypt(struct cvm_vault *vault, const struct slot *slot,
                    const struct cvm_vault_place *place, unsigned char *blob, size_t length)
{
    struct sealing *sealing = &vault->secrets->sealing;
    unsigned char bytes[PLACE_BYTES];
    unsigned char tail[crypto_aead_chacha20poly1305_ietf_NPUBBYTES] = {0};
    if (!sealing->is_begun || sealing->customer_key != slot->customer_key) {
        memcpy(sealing->nonce, next_nonce(vault), NONCE_BYTES);
        (void)crypto_core_hchacha20(sealing->key, sealing->nonce, slot->key, NULL);
        sealing->customer_key = slot->customer_key;
        sealing->is_begun = true;
    }
    write_place(place, bytes);
    memcpy(tail + 4, sealing->nonce + 16, 8);
    memcpy(blob, sealing->nonce, NONCE_BYTES);
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(blob + NONCE_BYTES, NULL, blob + NONCE_BYTES,
                                                    length, bytes, sizeof(bytes), NULL, tail,
                                                    sealing->key);
    sodium_increment(sealing->nonce + 16, 8);
}

enum cvm_status cvm_vault_seal(struct cvm_vault *vault, const struct cvm_vault_place *place,
                               struct cvm_slice text, struct cvm_slice *out_blob,
                               struct cvm_error *err)
{
    static const unsigned char room[NONCE_BYTES] = {0};
    struct slot *slot = NULL;
    enum cvm_status status = find(vault, place->customer_key, false, &slot, err);
    if (status == CVM_OK && slot->state == SLOT_FREE) {
        status = make_key(vault, place->customer_key, &slot, err);
    }
    if (status == CVM_OK && slot->state == SLOT_ERASED) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "the key of this customer was erased");
        return cvm_error_hint(err, status,
                              "An erasure has begun and not ended: call `cvm customer erase` of "
                              "this customer again, which completes it.");
    }
    if (status != CVM_OK) {
        return status;
    }
    cvm_text_clear(&vault->blob);
    cvm_text_add_bytes(&vault->blob, room, NONCE_BYTES);
    cvm_text_add_bytes(&vault->blob, text.data, text.length); /* sealed where it stands */
    cvm_text_add_bytes(&vault->blob, room, TAG_BYTES);
    if (vault->blob.failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to seal a record");
    }
    encrypt(vault, slot, place, (unsigned char *)vault->blob.data, text.length);
    *out_blob = (struct cvm_slice){vault->blob.data, vault->blob.length};
    return CVM_OK;
}

enum cvm_status cvm_vault_unseal(struct cvm_vault *vault, struct cvm_arena *arena,
                                 const struct cvm_vault_place *place, struct cvm_slice blob,
                                 struct cvm_slice *out_text, struct cvm_error *err)
{
    struct slot *slot = NULL;
    unsigned char bytes[PLACE_BYTES];
    const unsigned char *data = (const unsigned char *)blob.data;
    enum cvm_status status = find(vault, place->customer_key, true, &slot, err);
    if (status == CVM_OK && slot->state == SLOT_FREE) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no key for customer key %016llx",
                          (unsigned long long)place->customer_key);
        return cvm_error_hint(err, status,
                              "The database of keys is older than the store: restore its newest "
                              "backup.");
    }
    if (status != CVM_OK) {
        return status;
    }
    if (slot->state == SLOT_ERASED) {
        *out_text = (struct cvm_slice){0};
        return CVM_OK;
    }
    if (blob.length < NONCE_BYTES + TAG_BYTES) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "a sealed record is cut off");
    }
    size_t length = blob.length - NONCE_BYTES - TAG_BYTES;
    char *text = cvm_arena_alloc_raw(arena, length + 1, 1);
    if (text == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a sealed record");
    }
    write_place(place, bytes);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)text, NULL, NULL,
                                                   data + NONCE_BYTES, blob.length - NONCE_BYTES,
                                                   bytes, sizeof(bytes), data, slot->key) != 0) {
        return CVM_FAIL(err, CVM_E_CORRUPT,
                        "a sealed record of customer key %016llx was changed or moved",
                        (unsigned long long)place->customer_key);
    }
    text[length] = '\0';
    *out_text = (struct cvm_slice){text, length};
    return CVM_OK;
}

/* ---- another master key ---- */

#define PAGE_KEYS ((size_t)256)

struct rewrapping {
    struct cvm_vault *vault;
    struct wrapper by;
    int64_t first; /* of the next page */
    size_t rows;   /* of this one */
    size_t count;  /* of them with a key: not erased */
    int64_t keys;  /* of all pages */
    int64_t customer_keys[PAGE_KEYS];
    unsigned char wrapped[PAGE_KEYS][WRAPPED_BYTES];
};

void cvm_vault_master_id(const struct cvm_vault *vault, char id[CVM_VAULT_ID_SIZE])
{
    (void)snprintf(id, CVM_VAULT_ID_SIZE, "%016llx", (unsigned long long)vault->master_id);
}

static enum cvm_status rewrap_row(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct rewrapping *r = state;
    unsigned char key[KEY_BYTES];
    (void)column_count;
    r->rows++;
    r->first = columns[0].integer + 1;
    if (columns[2].type == CVM_DB_NULL) {
        return CVM_OK;
    }
    enum cvm_status status = unwrap(r->vault, columns, key, err);
    if (status == CVM_OK) {
        wrap(r->vault, &r->by, columns[0].integer, key, r->wrapped[r->count]);
        r->customer_keys[r->count++] = columns[0].integer;
    }
    sodium_memzero(key, sizeof(key));
    return status;
}

static enum cvm_status rewrap_page(struct rewrapping *r, struct cvm_error *err)
{
    struct cvm_db *db = r->vault->db;
    struct cvm_db_value from[] = {cvm_db_int(r->first), cvm_db_int(PAGE_KEYS)};
    r->rows = 0;
    r->count = 0;
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_KEY_READ), from,
                                          CVM_DB_COUNT(from), rewrap_row, r, err);
    for (size_t i = 0; status == CVM_OK && i < r->count; i++) {
        struct cvm_db_value row[] = {cvm_db_int(r->customer_keys[i]), cvm_db_int(r->by.id),
                                     cvm_db_blob(r->wrapped[i], WRAPPED_BYTES)};
        status =
            cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_KEY_REWRAP), row, CVM_DB_COUNT(row), NULL, err);
    }
    r->keys += (int64_t)r->count;
    return status;
}

static enum cvm_status rewrap_all(struct rewrapping *r, struct cvm_error *err)
{
    struct cvm_vault *vault = r->vault;
    enum cvm_status status = cvm_db_begin(vault->db, err);
    do {
        status = status == CVM_OK ? rewrap_page(r, err) : status;
    } while (status == CVM_OK && r->rows == PAGE_KEYS);
    if (status == CVM_OK) {
        status = cvm_db_commit(vault->db, err);
    }
    cvm_db_rollback(vault->db);
    if (status == CVM_OK) {
        memcpy(vault->secrets->master, r->by.master, CVM_MASTER_KEY_BYTES);
        vault->master_id = r->by.id;
    }
    return status;
}

enum cvm_status cvm_vault_rewrap(struct cvm_vault *vault, const char *path, int64_t *out_keys,
                                 struct cvm_error *err)
{
    unsigned char *next = vault->secrets->next_master;
    struct rewrapping r = {.vault = vault, .by = {.master = next}};
    enum cvm_status status = cvm_master_key_read_file(path, next, err);
    if (status == CVM_OK) {
        r.by.id = master_id_of(next);
        status = r.by.id == vault->master_id ? CVM_OK : rewrap_all(&r, err);
    }
    sodium_memzero(next, CVM_MASTER_KEY_BYTES);
    if (status == CVM_OK) { /* also where it was done before and this was not */
        status = cvm_db_scrub(vault->db, err);
        status = status == CVM_OK ? status
                                  : cvm_error_context(err, status,
                                                      "wrapped anew, but the old wrapping is still "
                                                      "in the file");
    }
    if (status == CVM_OK) {
        *out_keys = r.keys;
    }
    return status;
}

/* ---- forgetting ---- */

enum cvm_status cvm_vault_erase(struct cvm_vault *vault, uint64_t customer_key,
                                struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_int((int64_t)customer_key);
    empty_slots(vault);
    enum cvm_status status = cvm_db_begin(vault->db, err);
    if (status == CVM_OK) {
        status =
            cvm_db_exec(vault->db, cvm_db_sql(vault->db, CVM_SQL_KEY_ERASE), &param, 1, NULL, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(vault->db, err);
    }
    cvm_db_rollback(vault->db);
    return status;
}

void cvm_vault_mac(const struct cvm_vault *vault, const char *id, size_t length,
                   unsigned char mac[CVM_VAULT_MAC_BYTES])
{
    static const unsigned char no_key[crypto_generichash_KEYBYTES] = {0};
    (void)crypto_generichash(mac, CVM_VAULT_MAC_BYTES, (const unsigned char *)id, length,
                             vault == NULL ? no_key : vault->secrets->mac,
                             crypto_generichash_KEYBYTES);
}
