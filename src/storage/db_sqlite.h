/* db_sqlite.h - what db_sqlite.c and db_sqlite_open.c share; for these two only. */
#ifndef CVM_STORAGE_DB_SQLITE_H
#define CVM_STORAGE_DB_SQLITE_H

#include <sqlite3.h>

#include "storage/db_backend.h"

/* Prepared statements, found by the address of their text; a power of two. */
#define SQLITE_STATEMENT_SLOTS 512
#define SQLITE_STATEMENTS_MAX  384

struct sqlite_statement {
    const char *sql; /* NULL = free slot */
    sqlite3_stmt *handle;
    bool is_busy;
};

struct sqlite_db {
    struct cvm_db base;
    sqlite3 *handle;
    char *path;
    int64_t log_bytes; /* of the write-ahead log after the last commit */
    int64_t page_bytes;
    bool is_rebuildable;
    bool is_light; /* commits do not wait for the disk at present */
    size_t statement_count;
    struct sqlite_statement statements[SQLITE_STATEMENT_SLOTS];
};

/* Fill err from the connection's last error, with advice where there is any. */
enum cvm_status sqlite_fail(struct sqlite_db *db, struct cvm_error *err);

enum cvm_status sqlite_open(const char *location, const struct cvm_db_options *options,
                            struct cvm_db **out_db, struct cvm_error *err);
void sqlite_close(struct cvm_db *base);

#endif
