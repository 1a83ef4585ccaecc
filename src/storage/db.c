/* db.c - the only caller of a back end's table: checks once, counts, and picks the back end. */
#include "storage/db.h"

#include <assert.h>
#include <string.h>

#include "storage/db_backend.h"
#include "storage/db_sql.h"

static const struct cvm_db_backend *const backends[] = {
    &cvm_db_sqlite,
#ifdef CVM_HAS_POSTGRES
    &cvm_db_postgres,
#endif
};

struct cvm_db_value cvm_db_null(void)
{
    return (struct cvm_db_value){.type = CVM_DB_NULL};
}

struct cvm_db_value cvm_db_int(int64_t value)
{
    return (struct cvm_db_value){.type = CVM_DB_INT, .integer = value};
}

struct cvm_db_value cvm_db_double(double value)
{
    return (struct cvm_db_value){.type = CVM_DB_DOUBLE, .number = value};
}

struct cvm_db_value cvm_db_text(const char *value)
{
    return value == NULL ? cvm_db_null() : cvm_db_text_n(value, strlen(value));
}

struct cvm_db_value cvm_db_text_n(const char *value, size_t length)
{
    return (struct cvm_db_value){.type = CVM_DB_TEXT, .bytes = {value, length}};
}

struct cvm_db_value cvm_db_blob(const void *data, size_t length)
{
    if (data == NULL) {
        return cvm_db_null();
    }
    return (struct cvm_db_value){.type = CVM_DB_BLOB, .bytes = {data, length}};
}

const char *cvm_db_sql(const struct cvm_db *db, enum cvm_sql sql)
{
    assert(sql < CVM_SQL_COUNT);
    return db->backend->dialect->statements[sql];
}

static enum cvm_status failed(struct cvm_db *db, enum cvm_status status)
{
    if (status != CVM_OK) {
        db->counts.failures++;
    }
    return status;
}

static bool is_word(const char *url, size_t length, const char *scheme)
{
    return scheme != NULL && length == strlen(scheme) && memcmp(url, scheme, length) == 0;
}

enum cvm_status cvm_db_open(const char *url, const struct cvm_db_options *options,
                            struct cvm_db **out_db, struct cvm_error *err)
{
    assert(url != NULL && options != NULL);
    const char *colon = strchr(url, ':');
    size_t length = colon == NULL ? 0 : (size_t)(colon - url);
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        const struct cvm_db_backend *backend = backends[i];
        if (is_word(url, length, backend->scheme) || is_word(url, length, backend->short_scheme)) {
            struct cvm_db *db = NULL;
            enum cvm_status status = backend->open(colon + 1, options, &db, err);
            if (status != CVM_OK) {
                return status;
            }
            db->access = options->access;
            *out_db = db;
            return CVM_OK;
        }
    }
    /* The location may hold a password: only the scheme is shown. */
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_INVALID, "no database is known for the URL '%.*s%s'",
                 (int)(length == 0 ? strnlen(url, 32) : length), url, length == 0 ? "" : ":...");
    return cvm_error_hint(err, status,
                          "Write the URL as sqlite:PATH or postgresql://USER@HOST/DATABASE.");
}

void cvm_db_close(struct cvm_db *db)
{
    if (db != NULL) {
        cvm_db_rollback(db);
        db->backend->close(db);
    }
}

enum cvm_db_access cvm_db_access_of(const struct cvm_db *db)
{
    return db->access;
}

bool cvm_db_may_write(const struct cvm_db *db)
{
    return db->access != CVM_DB_READ;
}

bool cvm_db_in_transaction(const struct cvm_db *db)
{
    return db->in_transaction;
}

struct cvm_db_counts cvm_db_counts_of(const struct cvm_db *db)
{
    return db->counts;
}

static enum cvm_status begin(struct cvm_db *db, bool is_light, struct cvm_error *err)
{
    assert(!db->in_transaction);
    db->gave_way = false;
    db->is_light = is_light;
    enum cvm_status status = failed(db, db->backend->begin(db, err));
    db->in_transaction = status == CVM_OK;
    return status;
}

enum cvm_status cvm_db_begin(struct cvm_db *db, struct cvm_error *err)
{
    return begin(db, false, err);
}

enum cvm_status cvm_db_begin_light(struct cvm_db *db, struct cvm_error *err)
{
    return begin(db, true, err);
}

enum cvm_status cvm_db_commit(struct cvm_db *db, struct cvm_error *err)
{
    assert(db->in_transaction);
    enum cvm_status status = failed(db, db->backend->commit(db, err));
    if (status != CVM_OK) {
        db->backend->rollback(db);
    }
    db->in_transaction = false;
    return status;
}

void cvm_db_rollback(struct cvm_db *db)
{
    if (db->in_transaction) {
        db->backend->rollback(db);
        db->in_transaction = false;
    }
}

/* Who gave way meets the same rival again soon: short pauses do. */
static const struct cvm_retry_policy rival_policy = {.base_ms = 20, .cap_ms = 1000, .attempts = 6};

enum cvm_status cvm_db_transact(struct cvm_db *db, cvm_db_work_fn body, void *state,
                                struct cvm_error *err)
{
    struct cvm_retry_means means = cvm_retry_means_system();
    struct cvm_retry retry;
    enum cvm_status status = CVM_OK;
    cvm_retry_start(&retry, &rival_policy, &means);
    do {
        status = cvm_db_begin(db, err);
        if (status == CVM_OK) {
            status = body(state, err);
        }
        if (status == CVM_OK) {
            status = cvm_db_commit(db, err);
        }
        cvm_db_rollback(db);
    } while (status != CVM_OK && db->gave_way && cvm_retry_again(&retry));
    return status;
}

enum cvm_status cvm_db_describe(struct cvm_db *db, const char *sql, struct cvm_db_column *columns,
                                size_t *out_count, struct cvm_error *err)
{
    return failed(db, db->backend->describe(db, sql, columns, out_count, err));
}

enum cvm_status cvm_db_checkpoint(struct cvm_db *db, struct cvm_error *err)
{
    assert(cvm_db_may_write(db) && !db->in_transaction);
    return failed(db, db->backend->checkpoint(db, err));
}

enum cvm_status cvm_db_scrub(struct cvm_db *db, struct cvm_error *err)
{
    assert(db->access == CVM_DB_WRITE && !db->in_transaction);
    return db->backend->scrub == NULL ? CVM_OK : failed(db, db->backend->scrub(db, err));
}

enum cvm_status cvm_db_exec(struct cvm_db *db, const char *sql, const struct cvm_db_value *params,
                            size_t param_count, int64_t *out_changed, struct cvm_error *err)
{
    assert(sql != NULL && param_count <= CVM_DB_PARAMS_MAX);
    db->counts.statements++;
    return failed(db, db->backend->exec(db, sql, params, param_count, out_changed, err));
}

struct counted_rows {
    cvm_db_row_fn on_row;
    void *state;
    int64_t count;
};

static enum cvm_status count_row(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct counted_rows *rows = state;
    rows->count++;
    return rows->on_row(rows->state, columns, column_count, err);
}

enum cvm_status cvm_db_query(struct cvm_db *db, const char *sql, const struct cvm_db_value *params,
                             size_t param_count, cvm_db_row_fn on_row, void *state,
                             struct cvm_error *err)
{
    assert(sql != NULL && on_row != NULL && param_count <= CVM_DB_PARAMS_MAX);
    struct counted_rows rows = {.on_row = on_row, .state = state};
    enum cvm_status status =
        db->backend->query(db, sql, params, param_count, count_row, &rows, err);
    db->counts.statements++;
    db->counts.rows_read += rows.count;
    return failed(db, status);
}

enum cvm_status cvm_db_bulk_load(struct cvm_db *db, const char *sql, size_t param_count,
                                 cvm_db_next_fn next_row, void *state, int64_t *out_rows,
                                 struct cvm_error *err)
{
    assert(sql != NULL && next_row != NULL && param_count <= CVM_DB_PARAMS_MAX);
    assert(db->in_transaction);
    int64_t rows = 0;
    enum cvm_status status =
        failed(db, db->backend->bulk_load(db, sql, param_count, next_row, state, &rows, err));
    db->counts.statements++;
    db->counts.rows_loaded += rows;
    if (status == CVM_OK && out_rows != NULL) {
        *out_rows = rows;
    }
    return status;
}

enum cvm_status cvm_db_scan(struct cvm_db *db, const char *sql, const struct cvm_db_value *params,
                            size_t param_count, struct cvm_db_cursor **out_cursor,
                            struct cvm_error *err)
{
    assert(sql != NULL && param_count <= CVM_DB_PARAMS_MAX);
    db->counts.statements++;
    struct cvm_db_cursor *cursor = NULL;
    enum cvm_status status =
        failed(db, db->backend->scan(db, sql, params, param_count, &cursor, err));
    if (status == CVM_OK) {
        cursor->db = db;
        *out_cursor = cursor;
    }
    return status;
}

enum cvm_status cvm_db_cursor_next(struct cvm_db_cursor *cursor,
                                   const struct cvm_db_value **out_columns, struct cvm_error *err)
{
    const struct cvm_db_value *columns = NULL;
    enum cvm_status status = cursor->next(cursor, &columns, err);
    if (status != CVM_OK) {
        return failed(cursor->db, status);
    }
    cursor->db->counts.rows_read += columns != NULL;
    *out_columns = columns;
    return CVM_OK;
}

void cvm_db_cursor_close(struct cvm_db_cursor *cursor)
{
    if (cursor != NULL) {
        cursor->close(cursor);
    }
}
