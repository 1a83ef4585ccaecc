/* db.h - a thin door to a relational database: prepared statements, bound values, transactions,
 * bulk, scans.
 *
 * Domain modules (events, catalogue, plan, ledger, audit) are written once over this; the SQL they
 * pass comes from sql/<dialect>/, as `cvm_db_sql(db, CVM_SQL_X)`. See db_backend.h to add a
 * database.
 *
 * Thread safety: one struct cvm_db per thread. One writer per database, or several that share it,
 * see store.h.
 * Values read from a row live until the next row; texts end in '\0'.
 */
#ifndef CVM_STORAGE_DB_H
#define CVM_STORAGE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/retry.h"

struct cvm_db;

enum cvm_db_type { CVM_DB_NULL, CVM_DB_INT, CVM_DB_DOUBLE, CVM_DB_TEXT, CVM_DB_BLOB };

struct cvm_db_value {
    enum cvm_db_type type;
    union {
        int64_t integer;
        double number;
        struct {
            const void *data;
            size_t length;
        } bytes; /* TEXT, BLOB */
    };
};
struct cvm_db_value cvm_db_null(void);
struct cvm_db_value cvm_db_int(int64_t value);
struct cvm_db_value cvm_db_double(double value);
struct cvm_db_value cvm_db_text(const char *value); /* NULL becomes null */
struct cvm_db_value cvm_db_text_n(const char *value, size_t length);
struct cvm_db_value cvm_db_blob(const void *data, size_t length); /* NULL becomes null */

/* SHARED writes beside others that do, in transactions only: while a WRITE connection is open none
 * of them begins, and that one waits for theirs to end. A server's only: see store.h. */
enum cvm_db_access { CVM_DB_READ, CVM_DB_SHARED, CVM_DB_WRITE };
struct cvm_db_options {
    enum cvm_db_access access;
    bool may_create;     /* make the database when it is missing */
    bool is_rebuildable; /* derived data: a crash of the machine may cost it, so syncs are spared */
    int page_bytes;      /* of a new database; 0 = default */
    size_t cache_bytes;  /* 0 = default */
    size_t map_bytes;    /* memory map for reading; 0 = none */
    /* A server holds the lock of the only writer, for what is not rebuildable: how long to wait for
     * others. A file's lock lies beside it: store_lock.h. */
    int64_t lock_wait_ms;
    /* How often to knock at a server that is starting, full, or not there. */
    struct cvm_retry_policy retry;
};

CVM_MUST_CHECK enum cvm_status cvm_db_open(const char *url, const struct cvm_db_options *options,
                                           struct cvm_db **out_db, struct cvm_error *err);
void cvm_db_close(struct cvm_db *db); /* NULL is fine; an open transaction is rolled back */
enum cvm_db_access cvm_db_access_of(const struct cvm_db *db);
bool cvm_db_may_write(const struct cvm_db *db);

/* Transactions do not nest. A reader's transaction sees the database as it was at its begin. After
 * a commit that failed nothing of the transaction is left. */
CVM_MUST_CHECK enum cvm_status cvm_db_begin(struct cvm_db *db, struct cvm_error *err);
/* The same, and its commit need not wait for the disk: a crash of the machine may cost it, unless
 * one that waited was committed after it. A crash of the process costs nothing. For what is made
 * again when it is lost, and of which nobody outside was told. */
CVM_MUST_CHECK enum cvm_status cvm_db_begin_light(struct cvm_db *db, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_db_commit(struct cvm_db *db, struct cvm_error *err);
void cvm_db_rollback(struct cvm_db *db); /* nothing open is fine */
bool cvm_db_in_transaction(const struct cvm_db *db);

/* A transaction that can be repeated as a whole: begin, body, commit. When the database gave it up
 * in favour of other work (a deadlock, a serialization failure) it is done again from its begin, a
 * few times. So the body starts from scratch each time, and changes nothing but the database and
 * what it sets anew. After a failure nothing of the transaction is left. */
typedef enum cvm_status (*cvm_db_work_fn)(void *state, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_db_transact(struct cvm_db *db, cvm_db_work_fn body, void *state,
                                               struct cvm_error *err);

/* Fold the write-ahead log back into the database, as far as readers let it; the writer only. */
CVM_MUST_CHECK enum cvm_status cvm_db_checkpoint(struct cvm_db *db, struct cvm_error *err);

/* Nothing that was deleted is left in the database's files: they are written anew. Takes as long,
 * and as much room, as copying them. CVM_E_UNAVAILABLE while a reader keeps an older state. The
 * writer only. */
CVM_MUST_CHECK enum cvm_status cvm_db_scrub(struct cvm_db *db, struct cvm_error *err);

/* What passed through, for metrics. */
struct cvm_db_counts {
    int64_t statements;
    int64_t rows_read;
    int64_t rows_loaded;
    int64_t failures;
};
struct cvm_db_counts cvm_db_counts_of(const struct cvm_db *db);

/* One statement; rows that it gives are passed over. out_changed may be NULL. CVM_E_CONFLICT when a
 * key or CHECK refuses it, CVM_E_UNAVAILABLE when the disk is full or the database is locked,
 * CVM_E_CORRUPT, CVM_E_DENIED when read-only. */
CVM_MUST_CHECK enum cvm_status cvm_db_exec(struct cvm_db *db, const char *sql,
                                           const struct cvm_db_value *params, size_t param_count,
                                           int64_t *out_changed, struct cvm_error *err);

/* The rows one by one; a status other than CVM_OK from on_row stops and is returned. */
typedef enum cvm_status (*cvm_db_row_fn)(void *state, const struct cvm_db_value *columns,
                                         size_t column_count, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_db_query(struct cvm_db *db, const char *sql,
                                            const struct cvm_db_value *params, size_t param_count,
                                            cvm_db_row_fn on_row, void *state,
                                            struct cvm_error *err);

/* Many rows by one insert statement: next_row fills `params` (valid until the next call) and says
 * whether there was one. Runs inside the caller's transaction. The fastest road in. */
typedef enum cvm_status (*cvm_db_next_fn)(void *state, struct cvm_db_value *params,
                                          size_t param_count, bool *out_has_row,
                                          struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_db_bulk_load(struct cvm_db *db, const char *sql,
                                                size_t param_count, cvm_db_next_fn next_row,
                                                void *state, int64_t *out_rows,
                                                struct cvm_error *err);

/* What the rows of a statement will be, for tables that are not ours. */
enum cvm_db_column_kind {
    CVM_DB_COLUMN_ANY, /* each value has a type of its own */
    CVM_DB_COLUMN_INTEGER,
    CVM_DB_COLUMN_NUMBER,  /* binary floating point */
    CVM_DB_COLUMN_DECIMAL, /* of any length */
    CVM_DB_COLUMN_BOOLEAN,
    CVM_DB_COLUMN_TEXT,
    CVM_DB_COLUMN_BINARY,
    CVM_DB_COLUMN_DATE,
    CVM_DB_COLUMN_TIME,   /* date and time of day */
    CVM_DB_COLUMN_MOMENT, /* the same with a time zone */
    CVM_DB_COLUMN_OTHER,
};
#define CVM_DB_COLUMN_NAME_BYTES 128
#define CVM_DB_COLUMNS_MAX       256
struct cvm_db_column {
    char name[CVM_DB_COLUMN_NAME_BYTES];
    enum cvm_db_column_kind kind;
};
/* The statement's columns into `columns`, which has room for CVM_DB_COLUMNS_MAX; it is prepared,
 * not executed. */
CVM_MUST_CHECK enum cvm_status cvm_db_describe(struct cvm_db *db, const char *sql,
                                               struct cvm_db_column *columns, size_t *out_count,
                                               struct cvm_error *err);

/* A cursor that the caller pulls. One statement may have several cursors open at once. */
struct cvm_db_cursor;
CVM_MUST_CHECK enum cvm_status cvm_db_scan(struct cvm_db *db, const char *sql,
                                           const struct cvm_db_value *params, size_t param_count,
                                           struct cvm_db_cursor **out_cursor,
                                           struct cvm_error *err);
/* *out_columns is NULL at the end. */
CVM_MUST_CHECK enum cvm_status cvm_db_cursor_next(struct cvm_db_cursor *cursor,
                                                  const struct cvm_db_value **out_columns,
                                                  struct cvm_error *err);
void cvm_db_cursor_close(struct cvm_db_cursor *cursor); /* NULL is fine */

#endif
