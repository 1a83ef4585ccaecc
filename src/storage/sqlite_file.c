#include "storage/sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/file.h"

#define PATH_BYTES_MAX 4096

static enum cvm_status fail(sqlite3 *handle, int code, const char *path, struct cvm_error *err)
{
    const char *what = handle == NULL ? sqlite3_errstr(code) : sqlite3_errmsg(handle);
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_IOERR:
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "'%s': %s", path, what);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return CVM_FAIL(err, CVM_E_CORRUPT, "'%s': %s", path, what);
    case SQLITE_NOMEM:
        return CVM_FAIL(err, CVM_E_LIMIT, "'%s': %s", path, what);
    default:
        return CVM_FAIL(err, CVM_E_DENIED, "'%s': %s", path, what);
    }
}

static enum cvm_status open_file(const char *path, int flags, sqlite3 **out_handle,
                                 struct cvm_error *err)
{
    sqlite3 *handle = NULL;
    if (!cvm_file_exists(path)) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no database '%s'", path);
    }
    int code = sqlite3_open_v2(path, &handle, flags | SQLITE_OPEN_EXRESCODE, NULL);
    if (code == SQLITE_OK) { /* only the store's writer checkpoints: store.h */
        (void)sqlite3_wal_autocheckpoint(handle, 0);
        code = sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    if (code != SQLITE_OK) {
        enum cvm_status status = fail(handle, code, path, err);
        (void)sqlite3_close_v2(handle);
        return status;
    }
    *out_handle = handle;
    return CVM_OK;
}

/* One statement with at most one text; the first column of its first row into `answer`. */
static enum cvm_status ask(sqlite3 *handle, const char *path, const char *sql, const char *param,
                           char answer[256], struct cvm_error *err)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(handle, sql, -1, &statement, NULL);
    if (code == SQLITE_OK && param != NULL) {
        code = sqlite3_bind_text(statement, 1, param, -1, SQLITE_STATIC);
    }
    answer[0] = '\0';
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    if (code == SQLITE_ROW) {
        const unsigned char *text = sqlite3_column_text(statement, 0);
        (void)!snprintf(answer, 256, "%s", text == NULL ? "" : (const char *)text);
    }
    enum cvm_status status =
        code == SQLITE_ROW || code == SQLITE_DONE ? CVM_OK : fail(handle, code, path, err);
    (void)sqlite3_finalize(statement);
    return status;
}

enum cvm_status cvm_sqlite_file_check(const char *path, struct cvm_error *err)
{
    sqlite3 *handle = NULL;
    char answer[256];
    enum cvm_status status = open_file(path, SQLITE_OPEN_READONLY, &handle, err);
    if (status != CVM_OK) {
        return status;
    }
    status = ask(handle, path, "PRAGMA integrity_check(1)", NULL, answer, err);
    if (status == CVM_OK && strcmp(answer, "ok") != 0) {
        status = CVM_FAIL(err, CVM_E_CORRUPT, "'%s' is damaged: %s", path, answer);
    }
    (void)sqlite3_close_v2(handle);
    return status;
}

enum cvm_status cvm_sqlite_file_settle(const char *path, struct cvm_error *err)
{
    sqlite3 *handle = NULL;
    char answer[256];
    enum cvm_status status = open_file(path, SQLITE_OPEN_READWRITE, &handle, err);
    if (status != CVM_OK) {
        return status;
    }
    /* Leaving the log takes the file for oneself. */
    status = ask(handle, path, "PRAGMA journal_mode = DELETE", NULL, answer, err);
    if (status == CVM_OK && strcmp(answer, "delete") != 0) {
        status = CVM_FAIL(err, CVM_E_UNAVAILABLE, "'%s' can not be taken out of use", path);
    }
    (void)sqlite3_close_v2(handle);
    return status;
}

/* ---- copying ---- */

static enum cvm_status fail_file(const char *path, const char *what, struct cvm_error *err)
{
    return CVM_FAIL(err, errno == ENOSPC ? CVM_E_UNAVAILABLE : CVM_E_DENIED, "cannot %s '%s': %s",
                    what, path, strerror(errno));
}

/* SQLite does not sync what VACUUM INTO writes; nor does it ask who may read it. */
static enum cvm_status create_empty(const char *path, struct cvm_error *err)
{
    (void)unlink(path); /* of a copy that was cut off */
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) {
        return fail_file(path, "make", err);
    }
    (void)close(file);
    return CVM_OK;
}

static enum cvm_status sync_path(const char *path, int flags, struct cvm_error *err)
{
    int file = open(path, flags | O_CLOEXEC);
    if (file < 0) {
        return fail_file(path, "open", err);
    }
    enum cvm_status status = fsync(file) == 0 ? CVM_OK : fail_file(path, "sync", err);
    (void)close(file);
    return status;
}

static enum cvm_status put_in_place(const char *part, const char *to, struct cvm_error *err)
{
    char folder[PATH_BYTES_MAX];
    (void)!snprintf(folder, sizeof(folder), "%s", to);
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        (void)!snprintf(folder, sizeof(folder), ".");
    } else {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    enum cvm_status status = sync_path(part, O_RDWR, err);
    if (status == CVM_OK && rename(part, to) != 0) {
        status = fail_file(to, "make", err);
    }
    return status == CVM_OK ? sync_path(folder, O_RDONLY | O_DIRECTORY, err) : status;
}

enum cvm_status cvm_sqlite_file_copy(const char *from, const char *to, struct cvm_error *err)
{
    char part[PATH_BYTES_MAX];
    char answer[256];
    sqlite3 *handle = NULL;
    if (cvm_file_exists(to)) {
        enum cvm_status status = CVM_FAIL(err, CVM_E_CONFLICT, "there is a file '%s'", to);
        return cvm_error_hint(err, status, "A copy never replaces another: name a new file.");
    }
    if (snprintf(part, sizeof(part), "%s.part", to) >= (int)sizeof(part)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "the path of the copy is too long");
    }
    enum cvm_status status = open_file(from, SQLITE_OPEN_READONLY, &handle, err);
    if (status != CVM_OK) {
        return status;
    }
    status = create_empty(part, err);
    if (status == CVM_OK) {
        status = ask(handle, from, "VACUUM INTO ?1", part, answer, err);
    }
    (void)sqlite3_close_v2(handle);
    if (status == CVM_OK) {
        status = cvm_sqlite_file_check(part, err);
    }
    if (status == CVM_OK) {
        status = put_in_place(part, to, err);
    }
    if (status != CVM_OK) {
        (void)unlink(part);
    }
    return status;
}
