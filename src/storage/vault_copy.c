/* vault_copy.c - keys of personal data for the copy of a store: they are bound to customer and
 * master key, not to the file that they stand in. */
#include <string.h>

#include "storage/db_sql.h"
#include "storage/vault.h"

#define OWN_KEY_BYTES_MAX 128

/* The vault's own key as it is wrapped: the first row. */
struct own_key {
    unsigned char wrapped[OWN_KEY_BYTES_MAX];
    size_t length; /* 0 = there is none */
};

static enum cvm_status note_own_key(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    struct own_key *own = state;
    (void)column_count;
    if (columns[0].integer != 0 || columns[2].type != CVM_DB_BLOB ||
        columns[2].bytes.length > sizeof(own->wrapped)) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "a database of keys has lost its own key");
    }
    own->length = columns[2].bytes.length;
    memcpy(own->wrapped, columns[2].bytes.data, own->length);
    return CVM_OK;
}

static enum cvm_status read_own_key(struct cvm_db *db, struct own_key *own, struct cvm_error *err)
{
    struct cvm_db_value params[] = {cvm_db_int(0), cvm_db_int(1)};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_KEY_READ), params, CVM_DB_COUNT(params),
                        note_own_key, own, err);
}

/* Two wrappings of one key are never alike, so equal bytes are one vault under one master key. */
static enum cvm_status check_same(struct cvm_db *from, struct cvm_db *to, const char *to_url,
                                  struct cvm_error *err)
{
    struct own_key theirs = {.length = 0};
    struct own_key mine = {.length = 0};
    enum cvm_status status = read_own_key(from, &theirs, err);
    if (status == CVM_OK) {
        status = read_own_key(to, &mine, err);
    }
    bool is_same = mine.length == 0 || (mine.length == theirs.length &&
                                        memcmp(mine.wrapped, theirs.wrapped, mine.length) == 0);
    if (status == CVM_OK && !is_same) {
        status =
            CVM_FAIL(err, CVM_E_CONFLICT, "'%s' holds other keys than those of the source", to_url);
        return cvm_error_hint(err, status, "Move that file away, or name another one: --keys URL.");
    }
    return status;
}

static enum cvm_status next_key(void *state, struct cvm_db_value *params, size_t param_count,
                                bool *out_has_row, struct cvm_error *err)
{
    const struct cvm_db_value *columns = NULL;
    enum cvm_status status = cvm_db_cursor_next(state, &columns, err);
    *out_has_row = status == CVM_OK && columns != NULL;
    if (*out_has_row) {
        memcpy(params, columns, param_count * sizeof(*params));
    }
    return status;
}

static enum cvm_status merge(struct cvm_db *from, struct cvm_db *to, int64_t *out_keys,
                             struct cvm_error *err)
{
    struct cvm_db_cursor *cursor = NULL;
    enum cvm_status status =
        cvm_db_scan(from, cvm_db_sql(from, CVM_SQL_KEY_ALL), NULL, 0, &cursor, err);
    if (status == CVM_OK) {
        status = cvm_db_begin(to, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_bulk_load(to, cvm_db_sql(to, CVM_SQL_KEY_MERGE), 3, next_key, cursor,
                                  out_keys, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(to, err);
    }
    cvm_db_rollback(to);
    cvm_db_cursor_close(cursor);
    return status;
}

enum cvm_status cvm_vault_copy(const char *from_url, const char *to_url, int64_t now_ms,
                               int64_t *out_keys, struct cvm_error *err)
{
    struct cvm_vault_options read = {.url = from_url, .access = CVM_DB_READ, .now_ms = now_ms};
    struct cvm_vault_options write = {
        .url = to_url, .access = CVM_DB_WRITE, .may_create = true, .now_ms = now_ms};
    struct cvm_db *from = NULL;
    struct cvm_db *to = NULL;
    int64_t keys = 0;
    enum cvm_status status = cvm_keys_open(&read, &from, err);
    if (status == CVM_OK) {
        status = cvm_keys_open(&write, &to, err);
    }
    if (status == CVM_OK) {
        status = check_same(from, to, to_url, err);
    }
    if (status == CVM_OK) {
        status = merge(from, to, &keys, err);
    }
    cvm_db_close(to);
    cvm_db_close(from);
    if (status == CVM_OK) {
        *out_keys = keys;
        return status;
    }
    return cvm_error_context(err, status, "keys of personal data");
}
