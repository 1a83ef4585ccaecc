#include "storage/backup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "storage/db_backend.h"
#include "storage/migrate.h"
#include "storage/sqlite_file.h"
#include "storage/store_lock.h"

#define PATH_BYTES_MAX 4096
#define LOCK_WAIT_MS   2000

static enum cvm_status path_of(const char *url, const char **out_path, struct cvm_error *err)
{
    if (strncmp(url, "sqlite:", 7) == 0 && strcmp(url + 7, ":memory:") != 0) {
        *out_path = url + 7;
        return CVM_OK;
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_INVALID, "only a store in a file is copied like this");
    return cvm_error_hint(err, status,
                          "A server has its own tools, pg_basebackup and pg_dump: "
                          "docs/concepts/backup.md.");
}

enum cvm_status cvm_backup_make(const char *url, const char *to, struct cvm_error *err)
{
    const char *path = NULL;
    enum cvm_status status = path_of(url, &path, err);
    return status == CVM_OK ? cvm_sqlite_file_copy(path, to, err) : status;
}

/* ---- restoring ---- */

/* That it is a store, of this program or an older one. */
static enum cvm_status check_schema(const char *backup, struct cvm_error *err)
{
    char url[PATH_BYTES_MAX];
    struct cvm_db *db = NULL;
    struct cvm_db_options options = {.access = CVM_DB_READ};
    int at = 0;
    if (snprintf(url, sizeof(url), "sqlite:%s", backup) >= (int)sizeof(url)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "the path of the backup is too long");
    }
    enum cvm_status status = cvm_db_open(url, &options, &db, err);
    if (status == CVM_OK) {
        status = cvm_migration_at(db, db->backend->dialect->store, &at, err);
    }
    cvm_db_close(db);
    if (status == CVM_OK && at == 0) {
        status = CVM_FAIL(err, CVM_E_CORRUPT, "it is empty");
    }
    return status == CVM_OK ? CVM_OK : cvm_error_context(err, status, "'%s'", backup);
}

/* A file with what SQLite keeps beside it: a log left behind would be read into its successor. */
static enum cvm_status move_aside(const char *path, const char *to, struct cvm_error *err)
{
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        char from[PATH_BYTES_MAX + 8];
        char target[PATH_BYTES_MAX + 8];
        (void)!snprintf(from, sizeof(from), "%s%s", path, endings[i]);
        (void)!snprintf(target, sizeof(target), "%s%s", to, endings[i]);
        if (rename(from, target) != 0 && errno != ENOENT) {
            return CVM_FAIL(err, CVM_E_DENIED, "cannot move '%s': %s", from, strerror(errno));
        }
    }
    return CVM_OK;
}

static enum cvm_status remove_journeys(const char *path, struct cvm_error *err)
{
    static const char *const endings[] = {"", "-wal", "-shm"};
    size_t length = strlen(path);
    bool has_ending = length > 3 && strcmp(path + length - 3, ".db") == 0;
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        char name[PATH_BYTES_MAX + 16];
        (void)!snprintf(name, sizeof(name), "%.*s-journeys%s%s",
                        (int)(length - (has_ending ? 3 : 0)), path, has_ending ? ".db" : "",
                        endings[i]);
        if (unlink(name) != 0 && errno != ENOENT) {
            return CVM_FAIL(err, CVM_E_DENIED, "cannot remove '%s': %s", name, strerror(errno));
        }
    }
    return CVM_OK;
}

/* A store that can not be read any more may be why somebody restores: it is moved as it is. */
static enum cvm_status take_out_of_use(const char *path, struct cvm_error *err)
{
    enum cvm_status status = cvm_sqlite_file_settle(path, err);
    if (status == CVM_E_UNAVAILABLE) {
        return cvm_error_hint(err, status,
                              "Another process has the store open: end it, then try again.");
    }
    return status == CVM_E_CORRUPT ? CVM_OK : status;
}

static enum cvm_status put_in_place(const struct cvm_restoring *restoring, const char *path,
                                    struct cvm_restored *restored, struct cvm_error *err)
{
    char fresh[PATH_BYTES_MAX];
    struct stat before;
    bool is_there = stat(path, &before) == 0;
    enum cvm_status status = CVM_OK;
    if (is_there && !restoring->may_replace) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "there is a store '%s'", path);
        return cvm_error_hint(err, status, "`--replace` moves it aside.");
    }
    if (snprintf(fresh, sizeof(fresh), "%s.restored", path) >= (int)sizeof(fresh)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "the path of the store is too long");
    }
    (void)unlink(fresh); /* of a call that was cut off */
    status = cvm_sqlite_file_copy(restoring->backup, fresh, err);
    if (status == CVM_OK && is_there && chmod(fresh, before.st_mode & 07777) != 0) {
        status =
            CVM_FAIL(err, CVM_E_DENIED, "cannot set who may read '%s': %s", fresh, strerror(errno));
    }
    if (status == CVM_OK && is_there) {
        (void)!snprintf(restored->kept, sizeof(restored->kept), "%s.before-%lld", path,
                        (long long)restoring->clock.now_ms(restoring->clock.state));
        status = take_out_of_use(path, err);
        status = status == CVM_OK ? move_aside(path, restored->kept, err) : status;
    }
    if (status == CVM_OK) {
        status = remove_journeys(path, err);
    }
    if (status == CVM_OK) {
        status = move_aside(fresh, path, err);
    }
    if (status != CVM_OK) {
        (void)unlink(fresh);
        if (is_there && !cvm_file_exists(path)) {
            (void)!move_aside(restored->kept, path, NULL);
        }
    }
    return status;
}

enum cvm_status cvm_backup_restore(const struct cvm_restoring *restoring,
                                   struct cvm_restored *out_restored, struct cvm_error *err)
{
    const char *path = NULL;
    char lock_path[PATH_BYTES_MAX];
    int lock = -1;
    struct cvm_restored restored = {0};
    enum cvm_status status = path_of(restoring->url, &path, err);
    if (status == CVM_OK &&
        snprintf(lock_path, sizeof(lock_path), "%s.lock", path) >= (int)sizeof(lock_path)) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "the path of the store is too long");
    }
    if (status == CVM_OK) {
        status = cvm_sqlite_file_check(restoring->backup, err);
    }
    if (status == CVM_OK) {
        status = check_schema(restoring->backup, err);
    }
    if (status == CVM_OK) {
        status = cvm_store_lock(lock_path, LOCK_WAIT_MS, &restoring->clock, &lock, err);
    }
    if (status == CVM_OK) {
        status = put_in_place(restoring, path, &restored, err);
    }
    cvm_store_unlock(lock);
    if (status == CVM_OK) {
        status = cvm_store_migrate(restoring->url, restoring->clock.now_ms(restoring->clock.state),
                                   &restored.schema_from, &restored.schema_to, err);
    }
    if (status == CVM_OK) {
        *out_restored = restored;
    }
    return status;
}
