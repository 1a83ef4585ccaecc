/* db_backend.h - the contract a database signs.
 *
 * Included by db.c, the files named db_<database>.c, migrate.c and tests/support, by nobody else.
 * To add a database: write its statements in sql/<dialect>/ under the same names, fill one struct
 * cvm_db_backend, list it in db.c, and make tests/storage/store_contract_test.c pass against it.
 *
 * db.c has checked that arguments are present and not too many, that begin does not nest, that
 * commit and bulk_load have a begin, and it keeps the counts: a back end need not.
 */
#ifndef CVM_STORAGE_DB_BACKEND_H
#define CVM_STORAGE_DB_BACKEND_H

#include "storage/db.h"

/* One numbered step of a schema; a list of them ends with number 0. */
struct cvm_sql_migration {
    int number;
    const char *name;
    const char *const *statements; /* NULL-terminated */
};

struct cvm_sql_dialect {
    const char *const *statements; /* by enum cvm_sql */
    const struct cvm_sql_migration *store;
    const struct cvm_sql_migration *journeys; /* empty: those tables are in the store's schema */
    const struct cvm_sql_migration *keys;
};

struct cvm_db_backend {
    const char *scheme;       /* the part of the URL before ':' */
    const char *short_scheme; /* another word for it; NULL = none */
    const struct cvm_sql_dialect *dialect;

    /* `location` is the rest of the URL. On success *out_db embeds a struct cvm_db as its first
     * member, with .backend set; db.c fills the rest. A missing database is CVM_E_NOT_FOUND. */
    enum cvm_status (*open)(const char *location, const struct cvm_db_options *options,
                            struct cvm_db **out_db, struct cvm_error *err);
    void (*close)(struct cvm_db *db);

    enum cvm_status (*begin)(struct cvm_db *db, struct cvm_error *err);
    /* When it fails, nothing of the transaction is left: db.c calls rollback then. */
    enum cvm_status (*commit)(struct cvm_db *db, struct cvm_error *err);
    void (*rollback)(struct cvm_db *db); /* also when the database already did */

    enum cvm_status (*exec)(struct cvm_db *db, const char *sql, const struct cvm_db_value *params,
                            size_t param_count, int64_t *out_changed, struct cvm_error *err);
    enum cvm_status (*query)(struct cvm_db *db, const char *sql, const struct cvm_db_value *params,
                             size_t param_count, cvm_db_row_fn on_row, void *state,
                             struct cvm_error *err);
    enum cvm_status (*bulk_load)(struct cvm_db *db, const char *sql, size_t param_count,
                                 cvm_db_next_fn next_row, void *state, int64_t *out_rows,
                                 struct cvm_error *err);
    /* *out_cursor embeds a struct cvm_db_cursor as its first member, with next and close set. The
     * params are copied. */
    enum cvm_status (*scan)(struct cvm_db *db, const char *sql, const struct cvm_db_value *params,
                            size_t param_count, struct cvm_db_cursor **out_cursor,
                            struct cvm_error *err);
    enum cvm_status (*describe)(struct cvm_db *db, const char *sql, struct cvm_db_column *columns,
                                size_t *out_count, struct cvm_error *err);
    enum cvm_status (*checkpoint)(struct cvm_db *db, struct cvm_error *err);
    /* May be NULL: the database leaves nothing behind that cvm could remove. */
    enum cvm_status (*scrub)(struct cvm_db *db, struct cvm_error *err);
};

#define CVM_DB_PARAMS_MAX 32

/* Base of every database. */
struct cvm_db {
    const struct cvm_db_backend *backend;
    enum cvm_db_access access;
    bool in_transaction;
    bool is_light; /* of the transaction that begins: its commit need not wait for the disk */
    bool gave_way; /* set by a back end: it gave the transaction up in favour of other work */
    struct cvm_db_counts counts;
};

/* Base of every cursor. */
struct cvm_db_cursor {
    struct cvm_db *db; /* set by db.c */
    enum cvm_status (*next)(struct cvm_db_cursor *cursor, const struct cvm_db_value **out_columns,
                            struct cvm_error *err);
    void (*close)(struct cvm_db_cursor *cursor);
};

extern const struct cvm_db_backend cvm_db_sqlite;
extern const struct cvm_db_backend cvm_db_postgres; /* where libpq was there when it was built */

#endif
