/* db_postgres.h - what the files db_postgres*.c share; for these only. */
#ifndef CVM_STORAGE_DB_POSTGRES_H
#define CVM_STORAGE_DB_POSTGRES_H

#include <libpq-fe.h>

#include "base/text.h"
#include "storage/db_backend.h"

/* Prepared statements, found by the address of their text; a power of two. */
#define POSTGRES_STATEMENT_SLOTS 512
#define POSTGRES_STATEMENTS_MAX  384

/* What a statement is, as far as it matters here. */
enum postgres_kind {
    POSTGRES_READS,   /* SELECT, WITH, VALUES */
    POSTGRES_CHANGES, /* INSERT, UPDATE, DELETE */
    POSTGRES_OTHER,   /* schema and savepoints: never prepared, no values */
};

struct postgres_statement {
    const char *sql; /* its address is the key; NULL = free slot */
    char *text;      /* what stood there */
    enum postgres_kind kind;
    bool is_prepared; /* on this connection */
    char name[16];    /* on the server; "" = the one without a name, not kept */
    size_t param_count;
    Oid types[CVM_DB_PARAMS_MAX];
    /* An insert of its values as they are: the COPY that does the same. NULL = none. */
    char *copy;
    bool is_tried;      /* it was looked for */
    bool replaces;      /* ON CONFLICT follows: rows may be there */
    int copies_to_skip; /* rows were there the last time: the next parts go row by row */
};

struct postgres_db {
    struct cvm_db base;
    PGconn *connection;
    char *url;
    char *shown; /* the URL without what is secret, for messages */
    bool is_rebuildable;
    bool is_lost; /* the only writer does not come back: see postgres_ready() */
    int64_t lock_wait_ms;
    long locking_backend;            /* the server's process that has the writer's lock; 0 = none */
    struct postgres_rows *streaming; /* rows of a query that are still on their way */
    size_t cursor_count;             /* that are declared on the server */
    bool has_cursor_transaction;     /* begun for them */
    uint64_t cursors_made;
    struct cvm_text encoded; /* reused */
    size_t statement_count;
    struct postgres_statement unnamed;
    struct postgres_statement statements[POSTGRES_STATEMENT_SLOTS];
};

/* ---- db_postgres.c ---- */

/* As with a full disk under SQLite. */
#define POSTGRES_FULL_HINT "Free space on the disk that holds the store; nothing was changed."

/* Fill err from a result, or from the connection where result is NULL; the result is cleared. */
enum cvm_status postgres_fail(struct postgres_db *db, PGresult *result, struct cvm_error *err);
/* A statement without values and rows. */
enum cvm_status postgres_run(struct postgres_db *db, const char *sql, struct cvm_error *err);
/* One of a writer's steps, prepared under these names: the statement without a name does not
 * outlive any other text. */
#define POSTGRES_SAVE    "cvm_save"    /* SAVEPOINT cvm */
#define POSTGRES_RELEASE "cvm_release" /* RELEASE cvm */
#define POSTGRES_UNDO    "cvm_undo"    /* ROLLBACK TO cvm */
enum cvm_status postgres_step(struct postgres_db *db, const char *name, struct cvm_error *err);
/* The connection is free for another statement: what streams is read to its end, and one that lost
 * its server looks for it again, unless it is in a transaction or the only writer. */
enum cvm_status postgres_ready(struct postgres_db *db, struct cvm_error *err);
/* The statement, prepared, with param_count values; valid until the next call for another one. */
enum cvm_status postgres_acquire(struct postgres_db *db, const char *sql, size_t param_count,
                                 struct postgres_statement **out_statement, struct cvm_error *err);
/* Whether a statement failed because the connection is gone. */
bool postgres_is_lost(const struct postgres_db *db);

enum cvm_status postgres_exec(struct cvm_db *base, const char *sql,
                              const struct cvm_db_value *params, size_t param_count,
                              int64_t *out_changed, struct cvm_error *err);

/* ---- db_postgres_open.c ---- */

/* A transaction until whose end no exclusive writer is at work. CVM_E_UNAVAILABLE names the one
 * that is, after the connection's lock_timeout; nothing is open then. */
enum cvm_status postgres_begin_shared(struct postgres_db *db, struct cvm_error *err);

enum cvm_status postgres_open(const char *location, const struct cvm_db_options *options,
                              struct cvm_db **out_db, struct cvm_error *err);
void postgres_close(struct cvm_db *base);
enum cvm_status postgres_reconnect(struct postgres_db *db, struct cvm_error *err);

/* ---- db_postgres_value.c ---- */

/* Values as the server wants them; texts and blobs are borrowed. */
struct postgres_params {
    const char *values[CVM_DB_PARAMS_MAX];
    int lengths[CVM_DB_PARAMS_MAX];
    int formats[CVM_DB_PARAMS_MAX];
    char scratch[CVM_DB_PARAMS_MAX][32];
};
enum cvm_status postgres_encode(const struct postgres_statement *statement,
                                const struct cvm_db_value *params,
                                struct postgres_params *out_params, struct cvm_error *err);
enum cvm_status postgres_decode(const PGresult *result, int row, struct cvm_db_value *columns,
                                struct cvm_error *err);

enum cvm_db_column_kind postgres_kind_of_type(Oid type);

/* ---- db_postgres_rows.c ---- */

enum cvm_status postgres_describe(struct cvm_db *base, const char *sql,
                                  struct cvm_db_column *columns, size_t *out_count,
                                  struct cvm_error *err);

enum cvm_status postgres_query(struct cvm_db *base, const char *sql,
                               const struct cvm_db_value *params, size_t param_count,
                               cvm_db_row_fn on_row, void *state, struct cvm_error *err);
enum cvm_status postgres_scan(struct cvm_db *base, const char *sql,
                              const struct cvm_db_value *params, size_t param_count,
                              struct cvm_db_cursor **out_cursor, struct cvm_error *err);
/* The rest of the rows into memory. */
enum cvm_status postgres_keep_rows(struct postgres_db *db, struct cvm_error *err);

/* ---- db_postgres_bulk.c ---- */

/* The COPY, in a savepoint, that loads what an INSERT INTO t (columns) VALUES ($1, ...) does; NULL
 * when the statement is another one. *out_replaces: ON CONFLICT follows. The caller frees it. */
char *postgres_copy_of(const char *sql, size_t param_count, bool *out_replaces);
enum cvm_status postgres_bulk_load(struct cvm_db *base, const char *sql, size_t param_count,
                                   cvm_db_next_fn next_row, void *state, int64_t *out_rows,
                                   struct cvm_error *err);

#endif
