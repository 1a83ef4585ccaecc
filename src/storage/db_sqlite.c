/* db_sqlite.c - SQLite behind db_backend.h: statements prepared once per connection, one writer
 * that also checkpoints. */
#include "storage/db_sqlite.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "storage/sql_names.h"

#include "storage/sql_sqlite.h"

/* The log is folded back when it is longer than this after a commit: long enough that a bulk load
 * does not sync all the time, short enough that the log stays in memory. */
#define LOG_BYTES_MAX ((int64_t)64 << 20)

static const struct cvm_sql_dialect dialect = {
    .statements = sqlite_statements,
    .store = store_migrations,
    .journeys = journeys_migrations,
    .keys = keys_migrations,
};

/* ---- errors ---- */

static enum cvm_status status_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
        return CVM_E_CONFLICT;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
        return CVM_E_UNAVAILABLE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return CVM_E_CORRUPT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return CVM_E_DENIED;
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
        return CVM_E_LIMIT;
    case SQLITE_INTERRUPT:
        return CVM_E_TIMEOUT;
    default:
        return CVM_E_INTERNAL;
    }
}

static const char *hint_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return "Free space on the disk that holds the store; nothing was changed.";
    case SQLITE_IOERR:
        return "Check the disk that holds the store: space, quota, file size limit, hardware.";
    case SQLITE_CANTOPEN:
        return "The database keeps its log beside it: its folder must be writable, also for "
               "readers.";
    case SQLITE_NOTADB:
        return "The URL must name a database that `cvm init` made.";
    case SQLITE_CORRUPT:
        return "Restore the store from a backup.";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "Another process has the store locked: try again.";
    case SQLITE_READONLY:
        /* Plain: this connection may not write. Otherwise the log can not be made or read. */
        return code == SQLITE_READONLY
                   ? NULL
                   : "The database keeps its log beside it: its folder must be writable, also for "
                     "readers.";
    default:
        return NULL;
    }
}

enum cvm_status sqlite_fail(struct sqlite_db *db, struct cvm_error *err)
{
    int code = sqlite3_extended_errcode(db->handle);
    enum cvm_status status =
        (code & 0xff) == SQLITE_NOTADB
            ? CVM_FAIL(err, CVM_E_CORRUPT, "'%s' is not a database", db->path)
            : CVM_FAIL(err, status_of(code), "'%s': %s", db->path, sqlite3_errmsg(db->handle));
    const char *hint = hint_of(code);
    return hint == NULL ? status : cvm_error_hint(err, status, "%s", hint);
}

/* ---- statements ---- */

/* A statement in use: `slot` is NULL when it is not kept. */
struct lease {
    sqlite3_stmt *handle;
    struct sqlite_statement *slot;
};

static struct sqlite_statement *slot_of(struct sqlite_db *db, const char *sql)
{
    size_t at = (size_t)cvm_hash_mix((uint64_t)(uintptr_t)sql, 0);
    for (;; at++) {
        struct sqlite_statement *slot = &db->statements[at % SQLITE_STATEMENT_SLOTS];
        if (slot->sql == NULL || slot->sql == sql) {
            return slot; /* there is always a free one: SQLITE_STATEMENTS_MAX */
        }
    }
}

static enum cvm_status prepare(struct sqlite_db *db, const char *sql, bool is_kept,
                               sqlite3_stmt **out_handle, struct cvm_error *err)
{
    const char *rest = "";
    sqlite3_stmt *handle = NULL;
    unsigned flags = is_kept ? SQLITE_PREPARE_PERSISTENT : 0;
    if (sqlite3_prepare_v3(db->handle, sql, -1, flags, &handle, &rest) != SQLITE_OK) {
        return sqlite_fail(db, err);
    }
    if (handle == NULL || rest[strspn(rest, " \t\r\n;")] != '\0' ||
        sqlite3_column_count(handle) > CVM_DB_COLUMNS_MAX) {
        (void)sqlite3_finalize(handle);
        return CVM_FAIL(err, CVM_E_INTERNAL, "not one statement of at most %d columns: %.60s",
                        CVM_DB_COLUMNS_MAX, sql);
    }
    *out_handle = handle;
    return CVM_OK;
}

static enum cvm_status acquire(struct sqlite_db *db, const char *sql, struct lease *out_lease,
                               struct cvm_error *err)
{
    struct sqlite_statement *slot = slot_of(db, sql);
    if (slot->sql != NULL && !slot->is_busy && strcmp(sqlite3_sql(slot->handle), sql) == 0) {
        slot->is_busy = true;
        *out_lease = (struct lease){.handle = slot->handle, .slot = slot};
        return CVM_OK;
    }
    /* In use by an outer call, or another text at the same address: not kept. */
    bool is_kept = slot->sql == NULL && db->statement_count < SQLITE_STATEMENTS_MAX;
    sqlite3_stmt *handle = NULL;
    enum cvm_status status = prepare(db, sql, is_kept, &handle, err);
    if (status != CVM_OK) {
        return status;
    }
    if (is_kept) {
        *slot = (struct sqlite_statement){.sql = sql, .handle = handle, .is_busy = true};
        db->statement_count++;
    }
    *out_lease = (struct lease){.handle = handle, .slot = is_kept ? slot : NULL};
    return CVM_OK;
}

/* Keeps the connection's error: reset would only repeat it. */
static void give_back(struct lease *lease)
{
    if (lease->slot == NULL) {
        (void)sqlite3_finalize(lease->handle);
    } else {
        (void)sqlite3_reset(lease->handle);
        lease->slot->is_busy = false;
    }
    lease->handle = NULL;
}

static int bind_value(sqlite3_stmt *statement, int at, const struct cvm_db_value *value,
                      sqlite3_destructor_type copy)
{
    switch (value->type) {
    case CVM_DB_INT:
        return sqlite3_bind_int64(statement, at, value->integer);
    case CVM_DB_DOUBLE:
        return sqlite3_bind_double(statement, at, value->number);
    case CVM_DB_TEXT:
        return sqlite3_bind_text64(statement, at, value->bytes.data, value->bytes.length, copy,
                                   SQLITE_UTF8);
    case CVM_DB_BLOB:
        return sqlite3_bind_blob64(statement, at, value->bytes.data, value->bytes.length, copy);
    case CVM_DB_NULL:
    default:
        return sqlite3_bind_null(statement, at);
    }
}

static enum cvm_status bind(struct sqlite_db *db, sqlite3_stmt *statement,
                            const struct cvm_db_value *params, size_t param_count,
                            sqlite3_destructor_type copy, struct cvm_error *err)
{
    if (sqlite3_bind_parameter_count(statement) != (int)param_count) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "%zu values for %d parameters: %.60s", param_count,
                        sqlite3_bind_parameter_count(statement), sqlite3_sql(statement));
    }
    for (size_t i = 0; i < param_count; i++) {
        if (bind_value(statement, (int)i + 1, &params[i], copy) != SQLITE_OK) {
            return sqlite_fail(db, err);
        }
    }
    return CVM_OK;
}

/* Of a connection that one thread has: so the values may be read without SQLite's locks and checks
 * at each call, which cost more than most values. */
static enum cvm_status read_columns(struct sqlite_db *db, sqlite3_stmt *statement, int count,
                                    struct cvm_db_value *columns, struct cvm_error *err)
{
    for (int i = 0; i < count; i++) {
        struct cvm_db_value *column = &columns[i];
        sqlite3_value *value = sqlite3_column_value(statement, i);
        switch (sqlite3_value_type(value)) {
        case SQLITE_INTEGER:
            *column = cvm_db_int(sqlite3_value_int64(value));
            break;
        case SQLITE_FLOAT:
            *column = cvm_db_double(sqlite3_value_double(value));
            break;
        case SQLITE_TEXT:
            column->type = CVM_DB_TEXT;
            column->bytes.data = sqlite3_value_text(value);
            column->bytes.length = (size_t)sqlite3_value_bytes(value);
            break;
        case SQLITE_BLOB:
            column->type = CVM_DB_BLOB;
            column->bytes.data = sqlite3_value_blob(value);
            column->bytes.length = (size_t)sqlite3_value_bytes(value);
            if (column->bytes.length == 0) {
                column->bytes.data = ""; /* SQLite says NULL for an empty blob */
            }
            break;
        default:
            *column = cvm_db_null();
        }
        if ((column->type == CVM_DB_TEXT || column->type == CVM_DB_BLOB) &&
            column->bytes.data == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "'%s': no memory for a value", db->path);
        }
    }
    return CVM_OK;
}

/* ---- transactions ---- */

/* Some failures (disk full, I/O) make SQLite roll the whole transaction back by itself; going on
 * would commit each further statement alone. */
static enum cvm_status check_transaction(struct sqlite_db *db, struct cvm_error *err)
{
    if (db->base.in_transaction && sqlite3_get_autocommit(db->handle) != 0) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE,
                        "'%s': the transaction was given up after an earlier failure", db->path);
    }
    return CVM_OK;
}

/* PASSIVE never waits. Failing here costs nothing but a longer log: the commit stands. */
static void checkpoint_if_due(struct sqlite_db *db)
{
    if (db->log_bytes > LOG_BYTES_MAX && sqlite3_get_autocommit(db->handle) != 0) {
        (void)sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        db->log_bytes = 0;
    }
}

static enum cvm_status step_once(struct sqlite_db *db, const char *sql, struct cvm_error *err)
{
    struct lease lease;
    enum cvm_status status = acquire(db, sql, &lease, err);
    if (status != CVM_OK) {
        return status;
    }
    int code = sqlite3_step(lease.handle);
    if (code != SQLITE_DONE && code != SQLITE_ROW) {
        status = sqlite_fail(db, err);
    }
    give_back(&lease);
    return status;
}

/* With NORMAL the log is still written in the order of commits, so the next one under FULL keeps
 * those before it. The pragma works when it is prepared: it is no statement to be kept. */
static void set_light(struct sqlite_db *db, bool is_light)
{
    if (db->is_light != is_light && !db->is_rebuildable) {
        (void)sqlite3_exec(db->handle,
                           is_light ? "PRAGMA synchronous = 1" : "PRAGMA synchronous = 2", NULL,
                           NULL, NULL); /* else it waits, which is more than was asked for */
        db->is_light = is_light;
    }
}

static enum cvm_status sqlite_begin(struct cvm_db *base, struct cvm_error *err)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    if (base->access == CVM_DB_WRITE) {
        set_light(db, base->is_light);
        return step_once(db, "BEGIN IMMEDIATE", err);
    }
    enum cvm_status status = step_once(db, "BEGIN", err);
    if (status == CVM_OK) {
        /* The snapshot is taken by the first read. */
        status = step_once(db, "SELECT 1 FROM sqlite_schema LIMIT 1", err);
        if (status != CVM_OK) {
            (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
        }
    }
    return status;
}

static enum cvm_status sqlite_commit(struct cvm_db *base, struct cvm_error *err)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    enum cvm_status status = check_transaction(db, err);
    if (status == CVM_OK) {
        status = step_once(db, "COMMIT", err);
    }
    if (status == CVM_OK) {
        set_light(db, false);
        checkpoint_if_due(db);
    }
    return status;
}

static void sqlite_rollback(struct cvm_db *base)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    if (sqlite3_get_autocommit(db->handle) == 0) {
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    }
    set_light(db, false);
}

static enum cvm_status sqlite_checkpoint(struct cvm_db *base, struct cvm_error *err)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    /* TRUNCATE would wait for readers; what they hold back stays in the log. */
    (void)sqlite3_busy_timeout(db->handle, 0);
    int code = sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    enum cvm_status status =
        code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY ? CVM_OK : sqlite_fail(db, err);
    (void)sqlite3_busy_timeout(db->handle, 5000);
    return status;
}

/* Deleted rows leave their bytes in free pages, in gaps within pages, and in the log: VACUUM writes
 * pages that hold the living rows only, and the log is cut to nothing. */
static enum cvm_status sqlite_scrub(struct cvm_db *base, struct cvm_error *err)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    int code = sqlite3_exec(db->handle, "PRAGMA secure_delete = ON", NULL, NULL, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_exec(db->handle, "VACUUM", NULL, NULL, NULL);
    }
    if (code == SQLITE_OK) {
        code = sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    if (code == SQLITE_OK) {
        return CVM_OK;
    }
    enum cvm_status status = sqlite_fail(db, err);
    return (code & 0xff) == SQLITE_BUSY
               ? cvm_error_hint(err, status,
                                "Another process reads the store, and with it the older state: end "
                                "it, then try again.")
               : status;
}

/* ---- statements with and without rows ---- */

static enum cvm_status sqlite_exec(struct cvm_db *base, const char *sql,
                                   const struct cvm_db_value *params, size_t param_count,
                                   int64_t *out_changed, struct cvm_error *err)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    struct lease lease;
    enum cvm_status status = check_transaction(db, err);
    if (status == CVM_OK) {
        status = acquire(db, sql, &lease, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = bind(db, lease.handle, params, param_count, SQLITE_STATIC, err);
    int code = SQLITE_DONE;
    if (status == CVM_OK) {
        do {
            code = sqlite3_step(lease.handle);
        } while (code == SQLITE_ROW);
    }
    if (status == CVM_OK && code != SQLITE_DONE) {
        status = sqlite_fail(db, err);
    }
    if (status == CVM_OK && out_changed != NULL) {
        *out_changed = sqlite3_changes64(db->handle);
    }
    give_back(&lease);
    if (status == CVM_OK) {
        checkpoint_if_due(db);
    }
    return status;
}

static enum cvm_status step_rows(struct sqlite_db *db, sqlite3_stmt *statement,
                                 cvm_db_row_fn on_row, void *state, struct cvm_error *err)
{
    struct cvm_db_value columns[CVM_DB_COLUMNS_MAX];
    int count = sqlite3_column_count(statement);
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK) {
        int code = sqlite3_step(statement);
        if (code != SQLITE_ROW) {
            return code == SQLITE_DONE ? CVM_OK : sqlite_fail(db, err);
        }
        status = read_columns(db, statement, count, columns, err);
        if (status == CVM_OK) {
            status = on_row(state, columns, (size_t)count, err);
        }
    }
    return status;
}

static enum cvm_status sqlite_query(struct cvm_db *base, const char *sql,
                                    const struct cvm_db_value *params, size_t param_count,
                                    cvm_db_row_fn on_row, void *state, struct cvm_error *err)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    struct lease lease;
    enum cvm_status status = check_transaction(db, err);
    if (status == CVM_OK) {
        status = acquire(db, sql, &lease, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = bind(db, lease.handle, params, param_count, SQLITE_STATIC, err);
    if (status == CVM_OK) {
        status = step_rows(db, lease.handle, on_row, state, err);
    }
    give_back(&lease);
    return status;
}

static enum cvm_status load_rows(struct sqlite_db *db, sqlite3_stmt *statement, size_t param_count,
                                 cvm_db_next_fn next_row, void *state, int64_t *out_rows,
                                 struct cvm_error *err)
{
    struct cvm_db_value params[CVM_DB_PARAMS_MAX];
    for (;;) {
        bool has_row = false;
        enum cvm_status status = next_row(state, params, param_count, &has_row, err);
        if (status != CVM_OK || !has_row) {
            return status;
        }
        status = bind(db, statement, params, param_count, SQLITE_STATIC, err);
        if (status != CVM_OK) {
            return status;
        }
        if (sqlite3_step(statement) != SQLITE_DONE) {
            return sqlite_fail(db, err);
        }
        (void)sqlite3_reset(statement);
        (*out_rows)++;
    }
}

static enum cvm_status sqlite_bulk_load(struct cvm_db *base, const char *sql, size_t param_count,
                                        cvm_db_next_fn next_row, void *state, int64_t *out_rows,
                                        struct cvm_error *err)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    struct lease lease;
    enum cvm_status status = check_transaction(db, err);
    if (status == CVM_OK) {
        status = acquire(db, sql, &lease, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = load_rows(db, lease.handle, param_count, next_row, state, out_rows, err);
    give_back(&lease);
    return status;
}

/* ---- cursors ---- */

struct sqlite_cursor {
    struct cvm_db_cursor base;
    struct sqlite_db *db;
    struct lease lease;
    int column_count;
    bool is_done;
    struct cvm_db_value columns[CVM_DB_COLUMNS_MAX];
};

static enum cvm_status cursor_next(struct cvm_db_cursor *base,
                                   const struct cvm_db_value **out_columns, struct cvm_error *err)
{
    struct sqlite_cursor *cursor = (struct sqlite_cursor *)base;
    if (cursor->is_done) { /* a further step would start it again */
        *out_columns = NULL;
        return CVM_OK;
    }
    int code = sqlite3_step(cursor->lease.handle);
    if (code != SQLITE_ROW) {
        cursor->is_done = true;
        if (code != SQLITE_DONE) {
            return sqlite_fail(cursor->db, err);
        }
        *out_columns = NULL;
        return CVM_OK;
    }
    enum cvm_status status =
        read_columns(cursor->db, cursor->lease.handle, cursor->column_count, cursor->columns, err);
    if (status == CVM_OK) {
        *out_columns = cursor->columns;
    }
    return status;
}

static void cursor_close(struct cvm_db_cursor *base)
{
    struct sqlite_cursor *cursor = (struct sqlite_cursor *)base;
    /* No value of the caller may stay behind in a kept statement. */
    (void)sqlite3_reset(cursor->lease.handle);
    (void)sqlite3_clear_bindings(cursor->lease.handle);
    give_back(&cursor->lease);
    free(cursor);
}

static enum cvm_status sqlite_scan(struct cvm_db *base, const char *sql,
                                   const struct cvm_db_value *params, size_t param_count,
                                   struct cvm_db_cursor **out_cursor, struct cvm_error *err)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    enum cvm_status status = check_transaction(db, err);
    if (status != CVM_OK) {
        return status;
    }
    struct sqlite_cursor *cursor = calloc(1, sizeof(*cursor));
    if (cursor == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a cursor");
    }
    status = acquire(db, sql, &cursor->lease, err);
    if (status != CVM_OK) {
        free(cursor);
        return status;
    }
    status = bind(db, cursor->lease.handle, params, param_count, SQLITE_TRANSIENT, err);
    if (status != CVM_OK) {
        cursor_close(&cursor->base);
        return status;
    }
    cursor->base.next = cursor_next;
    cursor->base.close = cursor_close;
    cursor->db = db;
    cursor->column_count = sqlite3_column_count(cursor->lease.handle);
    *out_cursor = &cursor->base;
    return CVM_OK;
}

/* A value may have any type, whatever its column says. */
static enum cvm_status sqlite_describe(struct cvm_db *base, const char *sql,
                                       struct cvm_db_column *columns, size_t *out_count,
                                       struct cvm_error *err)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    sqlite3_stmt *handle = NULL;
    enum cvm_status status = prepare(db, sql, false, &handle, err);
    if (status != CVM_OK) {
        return status;
    }
    size_t count = (size_t)sqlite3_column_count(handle);
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        const char *name = sqlite3_column_name(handle, (int)i);
        if (name == NULL || strlen(name) >= CVM_DB_COLUMN_NAME_BYTES) {
            status = CVM_FAIL(err, CVM_E_LIMIT, "the name of a column has more than %d bytes",
                              CVM_DB_COLUMN_NAME_BYTES - 1);
        } else {
            memcpy(columns[i].name, name, strlen(name) + 1);
            columns[i].kind = CVM_DB_COLUMN_ANY;
        }
    }
    (void)sqlite3_finalize(handle);
    if (status == CVM_OK) {
        *out_count = count;
    }
    return status;
}

const struct cvm_db_backend cvm_db_sqlite = {
    .scheme = "sqlite",
    .dialect = &dialect,
    .open = sqlite_open,
    .close = sqlite_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .exec = sqlite_exec,
    .query = sqlite_query,
    .bulk_load = sqlite_bulk_load,
    .scan = sqlite_scan,
    .describe = sqlite_describe,
    .checkpoint = sqlite_checkpoint,
    .scrub = sqlite_scrub,
};
