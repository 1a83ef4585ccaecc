/* db_sqlite_open.c - opening a SQLite file so that whatever is wrong with it has a clear message.
 */
#include "storage/db_sqlite.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* SQLite counts allocations under one global lock unless told otherwise before its first use; two
 * threads then load at 0.6 of the speed (research: limits 3). Its configuration is not thread safe,
 * so it happens before main(). */
__attribute__((constructor)) static void configure(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static bool is_memory(const char *location)
{
    return strcmp(location, ":memory:") == 0;
}

/* "." for a path without '/'. */
static enum cvm_status folder_of(const char *path, char *folder, size_t size, struct cvm_error *err)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    if (length >= size) {
        return CVM_FAIL(err, CVM_E_LIMIT, "the path of the database is too long");
    }
    (void)snprintf(folder, size, "%.*s", (int)length, path);
    if (slash == NULL) {
        (void)snprintf(folder, size, ".");
    } else if (length == 0) {
        (void)snprintf(folder, size, "/");
    }
    return CVM_OK;
}

/* What SQLite would report as "unable to open database file", told apart. */
static enum cvm_status check_path(const char *path, const struct cvm_db_options *options,
                                  struct cvm_error *err)
{
    char folder[4096];
    struct stat info;
    enum cvm_status status = folder_of(path, folder, sizeof(folder), err);
    if (status != CVM_OK) {
        return status;
    }
    if (stat(folder, &info) != 0 || !S_ISDIR(info.st_mode)) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no folder '%s'", folder);
    }
    bool is_writer = options->access == CVM_DB_WRITE;
    if (stat(path, &info) != 0) {
        if (errno != ENOENT) {
            return CVM_FAIL(err, CVM_E_DENIED, "cannot reach '%s': %s", path, strerror(errno));
        }
        if (!is_writer || !options->may_create) {
            return CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no database '%s'", path);
        }
    } else if (!S_ISREG(info.st_mode)) {
        return CVM_FAIL(err, CVM_E_INVALID, "'%s' is not a file", path);
    } else if (access(path, is_writer ? R_OK | W_OK : R_OK) != 0) {
        return CVM_FAIL(err, CVM_E_DENIED, "'%s' may not be %s by this user", path,
                        is_writer ? "written" : "read");
    }
    if (is_writer && access(folder, W_OK | X_OK) != 0) {
        status = CVM_FAIL(err, CVM_E_DENIED, "cannot write in the folder '%s': %s", folder,
                          strerror(errno));
        return cvm_error_hint(err, status,
                              "The database keeps its log beside it: make the folder writable.");
    }
    return CVM_OK;
}

static int after_commit(void *state, sqlite3 *handle, const char *name, int pages)
{
    struct sqlite_db *db = state;
    (void)handle;
    (void)name;
    db->log_bytes = pages * db->page_bytes;
    return SQLITE_OK;
}

static int run(struct sqlite_db *db, const char *format, int64_t value)
{
    char sql[128];
    (void)snprintf(sql, sizeof(sql), format, (long long)value);
    return sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
}

static int read_page_bytes(struct sqlite_db *db)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->handle, "PRAGMA page_size", -1, &statement, NULL);
    if (code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
        db->page_bytes = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    return code;
}

static int set_up_writer(struct sqlite_db *db, const struct cvm_db_options *options)
{
    int code = SQLITE_OK;
    if (options->page_bytes > 0) {
        code = run(db, "PRAGMA page_size = %lld", options->page_bytes); /* of a new file only */
    }
    if (code == SQLITE_OK) {
        code = run(db, "PRAGMA journal_mode = WAL", 0);
    }
    db->is_rebuildable = options->is_rebuildable;
    /* FULL: each commit is on the disk when it returns. NORMAL syncs at checkpoints only: a crash
     * of the machine may cost the last commits, a crash of the process nothing. */
    if (code == SQLITE_OK) {
        code = run(db, "PRAGMA synchronous = %lld", options->is_rebuildable ? 1 : 2);
    }
    /* db_sqlite.c checkpoints after commits; SQLite's own would do so every 4 MB. */
    if (code == SQLITE_OK) {
        (void)sqlite3_wal_hook(db->handle, after_commit, db);
        code = run(db, "PRAGMA journal_size_limit = %lld", 256 << 20);
    }
    return code;
}

static int set_up(struct sqlite_db *db, const struct cvm_db_options *options)
{
    (void)sqlite3_busy_timeout(db->handle, 5000);
    int code = sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    }
    if (code == SQLITE_OK && options->access == CVM_DB_WRITE) {
        code = set_up_writer(db, options);
    } else if (code == SQLITE_OK) {
        /* Two connections that checkpoint at once can lose commits in 3.40: readers never do. */
        (void)sqlite3_wal_autocheckpoint(db->handle, 0);
        code = sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    if (code == SQLITE_OK && options->cache_bytes > 0) {
        code = run(db, "PRAGMA cache_size = -%lld", (int64_t)(options->cache_bytes >> 10));
    }
    if (code == SQLITE_OK && options->map_bytes > 0) {
        code = run(db, "PRAGMA mmap_size = %lld", (int64_t)options->map_bytes);
    }
    /* The first read of the file: finds out that it is none of SQLite's. */
    if (code == SQLITE_OK) {
        code = run(db, "SELECT count(*) FROM sqlite_schema", 0);
    }
    return code == SQLITE_OK ? read_page_bytes(db) : code;
}

enum cvm_status sqlite_open(const char *location, const struct cvm_db_options *options,
                            struct cvm_db **out_db, struct cvm_error *err)
{
    if (location[0] == '\0') {
        return CVM_FAIL(err, CVM_E_INVALID, "the URL of the database names no file");
    }
    enum cvm_status status = is_memory(location) ? CVM_OK : check_path(location, options, err);
    if (status != CVM_OK) {
        return status;
    }
    struct sqlite_db *db = calloc(1, sizeof(*db));
    if (db == NULL || (db->path = strdup(location)) == NULL) {
        free(db);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to open '%s'", location);
    }
    db->base.backend = &cvm_db_sqlite;
    db->base.access = options->access;
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (options->access == CVM_DB_WRITE || is_memory(location)) {
        flags |= SQLITE_OPEN_READWRITE | (options->may_create ? SQLITE_OPEN_CREATE : 0);
    } else {
        flags |= SQLITE_OPEN_READONLY;
    }
    int code = sqlite3_open_v2(location, &db->handle, flags, NULL);
    if (code == SQLITE_OK) {
        code = set_up(db, options);
    }
    if (code != SQLITE_OK) {
        status = db->handle == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to open '%s'", location)
                                    : cvm_error_context(err, sqlite_fail(db, err), "cannot open");
        sqlite_close(&db->base);
        return status;
    }
    *out_db = &db->base;
    return CVM_OK;
}

void sqlite_close(struct cvm_db *base)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    for (size_t i = 0; i < SQLITE_STATEMENT_SLOTS; i++) {
        assert(!db->statements[i].is_busy); /* a cursor was left open */
        (void)sqlite3_finalize(db->statements[i].handle);
    }
    (void)sqlite3_close_v2(db->handle);
    free(db->path);
    free(db);
}
