/* audit_chain.c - sealing audit rows, and clearing what must be erased. */
#include "storage/audit_chain.h"

#include <assert.h>
#include <string.h>

#include "base/columns.h"
#include "base/text.h"
#include "storage/db_sql.h"

#define ROWS_AT_ONCE     1000
#define ERASURES_AT_ONCE 1000
#define ENCODING_BYTES   1024

/* ---- encoding ---- */

static void encode_int(int64_t value, unsigned char bytes[8])
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)((uint64_t)value >> (8 * i));
    }
}

/* What is hashed, gathered first: a row has some twenty parts of a few bytes each. Longer rows go
 * into the digest piece by piece. */
struct encoding {
    size_t length;
    bool is_in_pieces;
    struct cvm_digest digest;
    unsigned char bytes[ENCODING_BYTES];
};

static void start(struct encoding *encoding)
{
    encoding->length = 0;
    encoding->is_in_pieces = false;
}

static void flush(struct encoding *encoding)
{
    if (!encoding->is_in_pieces) {
        cvm_digest_init(&encoding->digest);
        encoding->is_in_pieces = true;
    }
    cvm_digest_add(&encoding->digest, encoding->bytes, encoding->length);
    encoding->length = 0;
}

static void add_bytes(struct encoding *encoding, const void *bytes, size_t length)
{
    if (length > ENCODING_BYTES - encoding->length) {
        flush(encoding);
    }
    if (length > ENCODING_BYTES) {
        cvm_digest_add(&encoding->digest, bytes, length);
    } else if (length > 0) {
        memcpy(encoding->bytes + encoding->length, bytes, length);
        encoding->length += length;
    }
}

static void add_int(struct encoding *encoding, int64_t value)
{
    unsigned char bytes[8];
    encode_int(value, bytes);
    add_bytes(encoding, bytes, sizeof(bytes));
}

/* With its length before it, so that no two rows have one encoding. */
static void add_text(struct encoding *encoding, const struct cvm_db_value *value)
{
    add_int(encoding, (int64_t)value->bytes.length);
    add_bytes(encoding, value->bytes.data, value->bytes.length);
}

static void add_optional(struct encoding *encoding, const struct cvm_db_value *value)
{
    unsigned char is_given = value->type != CVM_DB_NULL;
    add_bytes(encoding, &is_given, 1);
    if (is_given) {
        add_text(encoding, value);
    }
}

static void finish(struct encoding *encoding, unsigned char digest[CVM_DIGEST_BYTES])
{
    if (encoding->is_in_pieces) {
        flush(encoding);
        cvm_digest_finish_bytes(&encoding->digest, digest);
    } else {
        cvm_digest_of(encoding->bytes, encoding->length, digest);
    }
}

void cvm_audit_content(const struct cvm_db_value *columns, struct cvm_audit_link *link)
{
    struct encoding encoding;
    start(&encoding);
    add_bytes(&encoding, link->salt, sizeof(link->salt));
    add_text(&encoding, &columns[4]);
    add_optional(&encoding, &columns[6]);
    add_optional(&encoding, &columns[7]);
    finish(&encoding, link->content);
}

void cvm_audit_chain(const struct cvm_db_value *columns,
                     const unsigned char before[CVM_DIGEST_BYTES], struct cvm_audit_link *link)
{
    const unsigned char version = 1;
    struct encoding encoding;
    start(&encoding);
    add_bytes(&encoding, &version, 1);
    add_bytes(&encoding, before, CVM_DIGEST_BYTES);
    add_int(&encoding, columns[0].integer);
    add_int(&encoding, columns[1].integer);
    add_text(&encoding, &columns[2]);
    add_text(&encoding, &columns[3]);
    add_text(&encoding, &columns[5]);
    add_bytes(&encoding, link->content, sizeof(link->content));
    finish(&encoding, link->hash);
}

void cvm_audit_checkpoint_encode(const struct cvm_audit_checkpoint *checkpoint,
                                 unsigned char bytes[CVM_AUDIT_CHECKPOINT_BYTES])
{
    static const char name[24] = "cvm audit checkpoint 1\n";
    memcpy(bytes, name, sizeof(name));
    encode_int(checkpoint->checkpoint, bytes + 24);
    encode_int(checkpoint->rows, bytes + 32);
    encode_int(checkpoint->at_ms, bytes + 40);
    memcpy(bytes + 48, checkpoint->hash, CVM_DIGEST_BYTES);
}

/* ---- sealing ---- */

struct sealing {
    struct cvm_db *db;
    struct cvm_column links; /* struct cvm_audit_link */
    size_t next;             /* to be stored */
    int64_t position;
    unsigned char hash[CVM_DIGEST_BYTES];
    struct cvm_audit_checkpoint checkpoint; /* the last one */
};

static enum cvm_status read_last_link(void *state, const struct cvm_db_value *columns,
                                      size_t column_count, struct cvm_error *err)
{
    struct sealing *sealing = state;
    (void)column_count;
    if (columns[1].bytes.length != CVM_DIGEST_BYTES) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "the last hash of the audit log is not %d bytes long",
                        CVM_DIGEST_BYTES);
    }
    sealing->position = columns[0].integer;
    memcpy(sealing->hash, columns[1].bytes.data, CVM_DIGEST_BYTES);
    return CVM_OK;
}

static enum cvm_status read_last_checkpoint(void *state, const struct cvm_db_value *columns,
                                            size_t column_count, struct cvm_error *err)
{
    struct sealing *sealing = state;
    (void)column_count;
    (void)err;
    sealing->checkpoint.checkpoint = columns[0].integer;
    sealing->checkpoint.rows = columns[1].integer;
    return CVM_OK;
}

static enum cvm_status seal_row(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct sealing *sealing = state;
    void *room = NULL;
    (void)column_count;
    enum cvm_status status = cvm_column_extend(&sealing->links, 1, &room, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_audit_link *link = room;
    link->position = ++sealing->position;
    link->audit_id = columns[0].integer;
    cvm_random_bytes(link->salt, sizeof(link->salt));
    cvm_audit_content(columns, link);
    cvm_audit_chain(columns, sealing->hash, link);
    memcpy(sealing->hash, link->hash, sizeof(link->hash));
    return CVM_OK;
}

static enum cvm_status next_link(void *state, struct cvm_db_value *params, size_t param_count,
                                 bool *out_has_row, struct cvm_error *err)
{
    struct sealing *sealing = state;
    (void)param_count;
    (void)err;
    *out_has_row = sealing->next < sealing->links.count;
    if (*out_has_row) {
        const struct cvm_audit_link *link =
            &CVM_COLUMN_DATA(&sealing->links, struct cvm_audit_link)[sealing->next++];
        params[0] = cvm_db_int(link->position);
        params[1] = cvm_db_int(link->audit_id);
        params[2] = cvm_db_blob(link->salt, sizeof(link->salt));
        params[3] = cvm_db_blob(link->content, sizeof(link->content));
        params[4] = cvm_db_blob(link->hash, sizeof(link->hash));
    }
    return CVM_OK;
}

static enum cvm_status seal_rows(struct sealing *sealing, struct cvm_error *err)
{
    struct cvm_db *db = sealing->db;
    struct cvm_db_value limit = cvm_db_int(ROWS_AT_ONCE);
    enum cvm_status status = CVM_OK;
    do {
        sealing->links.count = 0;
        sealing->next = 0;
        status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_AUDIT_UNSEALED), &limit, 1, seal_row,
                              sealing, err);
        if (status == CVM_OK && sealing->links.count > 0) {
            status = cvm_db_bulk_load(db, cvm_db_sql(db, CVM_SQL_AUDIT_CHAIN_ADD), 5, next_link,
                                      sealing, NULL, err);
        }
    } while (status == CVM_OK && sealing->links.count == ROWS_AT_ONCE);
    return status;
}

static enum cvm_status sign_head(struct sealing *sealing, const struct cvm_signing_key *key,
                                 int64_t now_ms, struct cvm_error *err)
{
    struct cvm_audit_checkpoint *checkpoint = &sealing->checkpoint;
    unsigned char bytes[CVM_AUDIT_CHECKPOINT_BYTES];
    unsigned char signature[CVM_SIGNATURE_BYTES];
    checkpoint->checkpoint++;
    checkpoint->rows = sealing->position;
    checkpoint->at_ms = now_ms;
    memcpy(checkpoint->hash, sealing->hash, sizeof(checkpoint->hash));
    cvm_audit_checkpoint_encode(checkpoint, bytes);
    cvm_sign(key, bytes, sizeof(bytes), signature);
    struct cvm_db_value params[] = {
        cvm_db_int(checkpoint->checkpoint),
        cvm_db_int(checkpoint->rows),
        cvm_db_blob(checkpoint->hash, sizeof(checkpoint->hash)),
        cvm_db_int(checkpoint->at_ms),
        cvm_db_blob(key->public_key.bytes, sizeof(key->public_key.bytes)),
        cvm_db_blob(signature, sizeof(signature)),
    };
    return cvm_db_exec(sealing->db, cvm_db_sql(sealing->db, CVM_SQL_AUDIT_CHECKPOINT_ADD), params,
                       CVM_DB_COUNT(params), NULL, err);
}

/* Inside a transaction. */
static enum cvm_status seal(struct sealing *sealing, const struct cvm_signing_key *key,
                            int64_t now_ms, struct cvm_audit_seal *out_seal, struct cvm_error *err)
{
    struct cvm_db *db = sealing->db;
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_AUDIT_CHAIN_LAST), NULL, 0,
                                          read_last_link, sealing, err);
    if (status == CVM_OK) {
        status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_AUDIT_CHECKPOINT_LAST), NULL, 0,
                              read_last_checkpoint, sealing, err);
    }
    int64_t before = sealing->position;
    if (status == CVM_OK) {
        status = seal_rows(sealing, err);
    }
    if (status == CVM_OK && key != NULL && sealing->checkpoint.rows < sealing->position) {
        status = sign_head(sealing, key, now_ms, err);
    }
    if (status == CVM_OK) {
        *out_seal = (struct cvm_audit_seal){
            .sealed = sealing->position - before,
            .rows = sealing->position,
            .checkpoints = sealing->checkpoint.checkpoint,
            .is_signed = sealing->checkpoint.rows == sealing->position && sealing->position > 0,
        };
        cvm_digest_format(sealing->hash, out_seal->head);
    }
    return status;
}

enum cvm_status cvm_audit_seal(struct cvm_store *store, const struct cvm_signing_key *key,
                               struct cvm_audit_seal *out_seal, struct cvm_error *err)
{
    struct sealing sealing = {.db = cvm_store_db(store)};
    struct cvm_audit_seal result = {0};
    bool is_inside = cvm_db_in_transaction(sealing.db);
    enum cvm_status status = is_inside ? CVM_OK : cvm_db_begin(sealing.db, err);
    if (status != CVM_OK) {
        return status;
    }
    cvm_column_init(&sealing.links, sizeof(struct cvm_audit_link));
    status = cvm_audit_lock(store, err);
    status = status != CVM_OK ? status : seal(&sealing, key, cvm_store_now_ms(store), &result, err);
    if (status == CVM_OK && !is_inside) {
        status = cvm_db_commit(sealing.db, err);
    }
    if (!is_inside) {
        cvm_db_rollback(sealing.db);
    }
    cvm_column_finish(&sealing.links);
    if (status == CVM_OK) {
        *out_seal = result;
    }
    return status;
}

/* ---- erasing ---- */

struct erasing {
    int64_t ids[ERASURES_AT_ONCE];
    size_t count;
};

static enum cvm_status note_row(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct erasing *erasing = state;
    (void)column_count;
    (void)err;
    erasing->ids[erasing->count++] = columns[0].integer;
    return CVM_OK;
}

static enum cvm_status add_erasure_row(struct cvm_store *store, const struct erasing *erasing,
                                       const struct cvm_audit_row *note, int64_t *out_id,
                                       struct cvm_error *err)
{
    struct cvm_text after;
    cvm_text_init(&after, 0);
    cvm_text_add(&after, "{\"rows\":[");
    for (size_t i = 0; i < erasing->count; i++) {
        cvm_text_add(&after, i == 0 ? "" : ",");
        cvm_text_add_int(&after, erasing->ids[i]);
    }
    cvm_text_add(&after, "]}");
    struct cvm_audit_row row = *note;
    row.action = "erasure";
    row.before = NULL;
    row.after = cvm_text_string(&after);
    enum cvm_status status = after.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to erase")
                                          : cvm_audit_add(store, &row, err);
    cvm_text_finish(&after);
    return status == CVM_OK
               ? cvm_db_get_int(cvm_store_db(store), CVM_SQL_AUDIT_NEWEST, NULL, 0, out_id, err)
               : status;
}

static enum cvm_status clear_rows(struct cvm_db *db, const struct erasing *erasing, int64_t erasure,
                                  struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < erasing->count; i++) {
        struct cvm_db_value params[] = {cvm_db_int(erasing->ids[i]), cvm_db_int(erasure)};
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_AUDIT_CLEAR), params, 1, NULL, err);
        if (status == CVM_OK) {
            status =
                cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_AUDIT_CHAIN_CLEAR), params, 1, NULL, err);
        }
        if (status == CVM_OK) {
            status =
                cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_AUDIT_ERASURE_ADD), params, 2, NULL, err);
        }
    }
    return status;
}

enum cvm_status cvm_audit_erase(struct cvm_store *store, const char *object, const char *text,
                                const struct cvm_audit_row *note, int64_t *out_erased,
                                struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {cvm_db_text(object), cvm_db_int(ERASURES_AT_ONCE),
                                    cvm_db_text(text)};
    struct erasing erasing = {0};
    struct cvm_audit_seal sealed;
    int64_t erased = 0;
    assert(cvm_db_in_transaction(db) && strcmp(object, "") != 0 &&
           strcmp(object, note->object) != 0);
    /* A row that is not sealed yet has no digest that could stand for what is cleared. */
    enum cvm_status status = cvm_audit_seal(store, NULL, &sealed, err);
    do {
        int64_t erasure = 0;
        erasing.count = 0;
        if (status == CVM_OK) {
            status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_AUDIT_OF_OBJECT), params, 3, note_row,
                                  &erasing, err);
        }
        if (status == CVM_OK && erasing.count > 0) {
            status = add_erasure_row(store, &erasing, note, &erasure, err);
        }
        if (status == CVM_OK && erasing.count > 0) {
            status = clear_rows(db, &erasing, erasure, err);
        }
        erased += (int64_t)erasing.count;
    } while (status == CVM_OK && erasing.count == ERASURES_AT_ONCE);
    if (status == CVM_OK) {
        *out_erased = erased;
    }
    return status;
}
