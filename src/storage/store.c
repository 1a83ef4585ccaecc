/* store.c - both databases of a store, opened, locked and migrated together. */
#include "storage/store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "storage/db_backend.h"
#include "storage/db_sql.h"
#include "storage/migrate.h"
#include "storage/store_lock.h"
#include "storage/store_private.h"
#include "storage/vault.h"

#define PATH_BYTES_MAX       4096
#define MIGRATE_LOCK_WAIT_MS 10000

/* Sizes measured in docs/concepts/store.md: journeys are scanned by key through a memory map, rows
 * are loaded in key order. */
#define STORE_PAGE_BYTES     8192
#define STORE_CACHE_BYTES    ((size_t)64 << 20)
#define JOURNEYS_PAGE_BYTES  16384
#define JOURNEYS_CACHE_BYTES ((size_t)32 << 20)
#define JOURNEYS_MAP_BYTES   ((size_t)64 << 30) /* address space only */

/* The file of a "sqlite:" URL; NULL for a database in memory or on a server. */
static const char *file_of(const char *url)
{
    if (strncmp(url, "sqlite:", 7) != 0 || strcmp(url + 7, ":memory:") == 0) {
        return NULL;
    }
    return url + 7;
}

/* "sqlite:x.db" -> "sqlite:x-<name>.db"; memory is a database of its own each time. */
static enum cvm_status url_beside(const char *url, const char *name, char out[PATH_BYTES_MAX],
                                  struct cvm_error *err)
{
    size_t length = strlen(url);
    bool is_file = file_of(url) != NULL;
    bool has_ending = is_file && length > 3 && strcmp(url + length - 3, ".db") == 0;
    int written = snprintf(out, PATH_BYTES_MAX, "%.*s%s%s%s", (int)(length - (has_ending ? 3 : 0)),
                           url, is_file ? "-" : "", is_file ? name : "", has_ending ? ".db" : "");
    if (written >= PATH_BYTES_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "the URL of the store is too long");
    }
    return CVM_OK;
}

static enum cvm_status take_lock(const char *url, int64_t wait_ms, const struct cvm_clock *clock,
                                 int *out_lock, struct cvm_error *err)
{
    const char *file = file_of(url);
    if (file == NULL || file[0] == '\0') {
        return CVM_OK; /* an empty name fails when it is opened */
    }
    char path[PATH_BYTES_MAX];
    if (snprintf(path, sizeof(path), "%s.lock", file) >= (int)sizeof(path)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "the URL of the store is too long");
    }
    return cvm_store_lock(path, wait_ms, clock, out_lock, err);
}

static enum cvm_status check_schema(struct cvm_db *db, const struct cvm_sql_migration *migrations,
                                    struct cvm_error *err)
{
    int at = 0;
    enum cvm_status status = cvm_migration_at(db, migrations, &at, err);
    if (status == CVM_OK && at == 0) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "the database is empty");
        return cvm_error_hint(err, status, "Create the store with `cvm init`.");
    }
    if (status == CVM_OK && at < cvm_migration_newest(migrations)) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "made by an older cvm: its schema is %d, not %d", at,
                          cvm_migration_newest(migrations));
        return cvm_error_hint(err, status, "Bring it up to date with `cvm migrate`.");
    }
    return status;
}

/* The schema is brought up to date, or must be. */
static enum cvm_status settle_schema(struct cvm_db *db, const char *url,
                                     const struct cvm_sql_migration *migrations, bool may_migrate,
                                     int64_t now_ms, struct cvm_error *err)
{
    int from = 0;
    int to = 0;
    enum cvm_status status = may_migrate ? cvm_migrate(db, migrations, now_ms, &from, &to, err)
                                         : check_schema(db, migrations, err);
    if (status != CVM_OK && file_of(url) != NULL) { /* a server's errors name it already */
        return cvm_error_context(err, status, "store '%s'", file_of(url));
    }
    return status;
}

/* Half a store answers every question wrongly. */
static enum cvm_status check_whole(struct cvm_db *db, struct cvm_error *err)
{
    int64_t unended = 0;
    enum cvm_status status = cvm_db_get_int(db, CVM_SQL_COPY_UNENDED, NULL, 0, &unended, err);
    if (status == CVM_OK && unended > 0) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "the store is a copy that was broken off");
        return cvm_error_hint(err, status,
                              "Give the same `cvm copy` again: it goes on where it was.");
    }
    return status;
}

/* What is there is brought up to date on the way, but not another store that somebody takes for an
 * empty target. */
static enum cvm_status check_migrates(struct cvm_store *store,
                                      const struct cvm_store_options *options,
                                      bool *out_may_migrate, struct cvm_error *err)
{
    struct cvm_db *db = store->db;
    int at = 0;
    int64_t newest = 0;
    enum cvm_status status = CVM_OK;
    if (options->is_copy_target) {
        status = cvm_migration_at(db, db->backend->dialect->store, &at, err);
    }
    if (status == CVM_OK && at > 0) {
        status = cvm_db_get_int(db, CVM_SQL_AUDIT_NEWEST, NULL, 0, &newest, err);
    }
    if (status == CVM_OK) {
        *out_may_migrate = options->may_create && newest == 0;
    }
    return status;
}

static enum cvm_status open_main(struct cvm_store *store, const struct cvm_store_options *options,
                                 int64_t now_ms, struct cvm_error *err)
{
    struct cvm_db_options main_options = {
        .access = options->access,
        .may_create = options->may_create,
        .page_bytes = STORE_PAGE_BYTES,
        .cache_bytes = options->cache_bytes == 0 ? STORE_CACHE_BYTES : options->cache_bytes,
        .lock_wait_ms = options->lock_wait_ms,
        .retry = options->retry,
    };
    enum cvm_status status = cvm_db_open(store->url, &main_options, &store->db, err);
    if (status == CVM_E_NOT_FOUND && file_of(store->url) != NULL) {
        return cvm_error_hint(err, status, "Create the store with `cvm init`.");
    }
    if (status != CVM_OK) {
        return status;
    }
    bool may_migrate = false;
    status = check_migrates(store, options, &may_migrate, err);
    if (status == CVM_OK) {
        status = settle_schema(store->db, store->url, store->db->backend->dialect->store,
                               may_migrate, now_ms, err);
    }
    return status == CVM_OK && !options->is_copy_target ? check_whole(store->db, err) : status;
}

/* On a server the journeys' tables stand beside the others. A reader needs one connection for both;
 * a writer two, since packing is a thread of its own. */
static bool has_journeys_inside(const struct cvm_store *store)
{
    return store->db->backend->dialect->journeys[0].number == 0;
}

static enum cvm_status open_inside(struct cvm_store *store, const struct cvm_store_options *options,
                                   struct cvm_error *err)
{
    struct cvm_db_options journeys_options = {
        .access = options->access, .is_rebuildable = true, .retry = options->retry};
    if (options->access != CVM_DB_WRITE) { /* who shares a store imports nothing */
        store->journeys = store->db;
        return CVM_OK;
    }
    return cvm_db_open(store->url, &journeys_options, &store->journeys, err);
}

/* Derived data: a writer makes the file anew when it is missing. */
static enum cvm_status open_journeys(struct cvm_store *store,
                                     const struct cvm_store_options *options, int64_t now_ms,
                                     struct cvm_error *err)
{
    char url[PATH_BYTES_MAX];
    bool is_writer = options->access == CVM_DB_WRITE;
    struct cvm_db_options journeys_options = {
        .access = is_writer ? CVM_DB_WRITE : CVM_DB_READ,
        .may_create = is_writer,
        .is_rebuildable = true,
        .retry = options->retry,
        .page_bytes = JOURNEYS_PAGE_BYTES,
        .cache_bytes = JOURNEYS_CACHE_BYTES,
        .map_bytes = is_writer ? 0 : JOURNEYS_MAP_BYTES,
    };
    if (has_journeys_inside(store) && options->journeys_url == NULL) {
        return open_inside(store, options, err);
    }
    bool is_own = options->journeys_url == NULL;
    enum cvm_status status = is_own ? url_beside(store->url, "journeys", url, err) : CVM_OK;
    if (!is_own && snprintf(url, sizeof(url), "%s", options->journeys_url) >= (int)sizeof(url)) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "the URL of the journeys is too long");
    }
    if (status == CVM_OK) {
        status = cvm_db_open(url, &journeys_options, &store->journeys, err);
    }
    if (status == CVM_OK) {
        status = settle_schema(store->journeys, url, store->journeys->backend->dialect->journeys,
                               is_writer || options->may_create, now_ms, err);
    }
    if (status == CVM_E_NOT_FOUND || status == CVM_E_CORRUPT) {
        return cvm_error_hint(err, status,
                              "Packed journeys are derived from the store: delete '%s', the next "
                              "import makes it again.",
                              file_of(url) == NULL ? url : file_of(url));
    }
    return status;
}

enum cvm_status cvm_journeys_create(const char *url, int64_t now_ms, struct cvm_db **out_db,
                                    struct cvm_error *err)
{
    struct cvm_db_options options = {
        .access = CVM_DB_WRITE,
        .may_create = true,
        .is_rebuildable = true,
        .page_bytes = JOURNEYS_PAGE_BYTES,
        .cache_bytes = JOURNEYS_CACHE_BYTES,
    };
    struct cvm_db *db = NULL;
    int from = 0;
    int to = 0;
    enum cvm_status status = cvm_db_open(url, &options, &db, err);
    if (status == CVM_OK) {
        status = cvm_migrate(db, db->backend->dialect->journeys, now_ms, &from, &to, err);
    }
    if (status != CVM_OK) {
        cvm_db_close(db);
        return status;
    }
    *out_db = db;
    return CVM_OK;
}

static enum cvm_status store_create(const char *url, const struct cvm_clock *clock,
                                    struct cvm_store **out_store, struct cvm_error *err)
{
    struct cvm_store *store = calloc(1, sizeof(*store));
    if (store == NULL || (store->url = strdup(url)) == NULL) {
        free(store);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to open the store");
    }
    store->clock = *clock;
    store->lock = -1;
    *out_store = store;
    return CVM_OK;
}

static enum cvm_status keep_privacy(struct cvm_store *store,
                                    const struct cvm_store_privacy *privacy, struct cvm_error *err)
{
    char url[PATH_BYTES_MAX];
    if (privacy->master_key == NULL) {
        return CVM_OK;
    }
    enum cvm_status status = CVM_OK;
    if (privacy->keys_url != NULL) {
        (void)snprintf(url, sizeof(url), "%s", privacy->keys_url);
    } else if (strncmp(store->url, "sqlite:", 7) == 0) {
        status = url_beside(store->url, "keys", url, err);
    } else {
        status = CVM_FAIL(err, CVM_E_INVALID,
                          "personal data are sealed, and nothing says where "
                          "their keys are");
        return cvm_error_hint(err, status, "Name a database as privacy.keys in cvm.yaml.");
    }
    if (status == CVM_OK) {
        store->master_key = strdup(privacy->master_key);
        store->keys_url = strdup(url);
        if (store->master_key == NULL || store->keys_url == NULL) {
            status = CVM_FAIL(err, CVM_E_LIMIT, "no memory to open the store");
        }
    }
    return status;
}

static enum cvm_status open_store(struct cvm_store *store, const struct cvm_store_options *options,
                                  struct cvm_error *err)
{
    int64_t now_ms = cvm_store_now_ms(store);
    const char *file = file_of(store->url);
    bool is_there = file == NULL || options->may_create || cvm_file_exists(file);
    enum cvm_status status = CVM_OK;
    /* No lock file beside a store that does not exist. */
    if (options->access == CVM_DB_WRITE && is_there) {
        status = take_lock(store->url, options->lock_wait_ms, &options->clock, &store->lock, err);
    }
    if (status == CVM_OK) {
        status = keep_privacy(store, &options->privacy, err);
    }
    if (status == CVM_OK) {
        status = open_main(store, options, now_ms, err);
    }
    if (status == CVM_OK) {
        status = open_journeys(store, options, now_ms, err);
    }
    return status;
}

enum cvm_status cvm_store_open(const char *url, const struct cvm_store_options *options,
                               struct cvm_store **out_store, struct cvm_error *err)
{
    assert(url != NULL && options != NULL && options->clock.now_ms != NULL);
    struct cvm_store *store = NULL;
    struct cvm_store_options mine = *options;
    bool is_shared_file = options->access == CVM_DB_SHARED && strncmp(url, "sqlite:", 7) == 0;
    if (is_shared_file) {
        mine.access = CVM_DB_WRITE;
    }
    enum cvm_status status = store_create(url, &options->clock, &store, err);
    if (status != CVM_OK) {
        return status;
    }
    status = open_store(store, &mine, err);
    if (status != CVM_OK) {
        bool is_locked_out = status == CVM_E_UNAVAILABLE && is_shared_file && store->lock < 0;
        cvm_store_close(store);
        return is_locked_out
                   ? cvm_error_hint(err, status,
                                    "Processes can not share a store on SQLite: run all agents in "
                                    "one process, or put the store on PostgreSQL.")
                   : status;
    }
    if (mine.access != CVM_DB_READ) {
        store->before_close = options->before_close;
        store->before_close_state = options->before_close_state;
    }
    *out_store = store;
    return CVM_OK;
}

void cvm_store_close(struct cvm_store *store)
{
    if (store == NULL) {
        return;
    }
    if (store->before_close != NULL) {
        cvm_db_rollback(store->db);
        store->before_close(store->before_close_state, store);
    }
    cvm_vault_close(store->vault);
    cvm_db_close(store->journeys == store->db ? NULL : store->journeys);
    cvm_db_close(store->db);
    cvm_store_unlock(store->lock);
    free(store->master_key);
    free(store->keys_url);
    free(store->url);
    free(store);
}

enum cvm_status cvm_store_migrate(const char *url, int64_t now_ms, int *out_from, int *out_to,
                                  struct cvm_error *err)
{
    struct cvm_store_options options = {.access = CVM_DB_WRITE, .may_create = true};
    struct cvm_store *store = NULL;
    int from = 0;
    int to = 0;
    enum cvm_status status = store_create(url, &cvm_clock_system, &store, err);
    if (status != CVM_OK) {
        return status;
    }
    status = take_lock(url, MIGRATE_LOCK_WAIT_MS, &cvm_clock_system, &store->lock, err);
    struct cvm_db_options main_options = {
        .access = CVM_DB_WRITE,
        .may_create = true,
        .page_bytes = STORE_PAGE_BYTES,
        .lock_wait_ms = MIGRATE_LOCK_WAIT_MS,
    };
    if (status == CVM_OK) {
        status = cvm_db_open(url, &main_options, &store->db, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_migrate(store->db, store->db->backend->dialect->store, now_ms, &from, &to, err);
    }
    if (status == CVM_OK) {
        status = open_journeys(store, &options, now_ms, err);
    }
    cvm_store_close(store);
    if (status != CVM_OK) {
        return status;
    }
    *out_from = from;
    *out_to = to;
    return CVM_OK;
}

struct cvm_db *cvm_store_db(struct cvm_store *store)
{
    return store->db;
}

struct cvm_db *cvm_store_journeys(struct cvm_store *store)
{
    return store->journeys;
}

const char *cvm_store_url(const struct cvm_store *store)
{
    return store->url;
}

int64_t cvm_store_now_ms(const struct cvm_store *store)
{
    return store->clock.now_ms(store->clock.state);
}

static enum cvm_status read_server(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct cvm_store_server *server = state;
    (void)column_count;
    (void)err;
    (void)!snprintf(server->version, sizeof(server->version), "%s", cvm_db_string(&columns[0]));
    server->used = columns[1].integer;
    server->most = columns[2].integer;
    server->reserved = columns[3].integer;
    return CVM_OK;
}

enum cvm_status cvm_store_server(struct cvm_store *store, struct cvm_store_server *out_server,
                                 struct cvm_error *err)
{
    struct cvm_store_server server = {{0}, 0, 0, 0};
    enum cvm_status status = cvm_db_query(store->db, cvm_db_sql(store->db, CVM_SQL_STORE_SERVER),
                                          NULL, 0, read_server, &server, err);
    if (status == CVM_OK) {
        *out_server = server;
    }
    return status;
}

enum cvm_status cvm_store_created_ms(struct cvm_store *store, int64_t *out_ms,
                                     struct cvm_error *err)
{
    return cvm_db_get_int(store->db, CVM_SQL_STORE_CREATED, NULL, 0, out_ms, err);
}

/* ---- keys of personal data ---- */

bool cvm_store_seals(const struct cvm_store *store)
{
    return store->master_key != NULL;
}

const char *cvm_store_keys_url(const struct cvm_store *store)
{
    return store->keys_url;
}

static enum cvm_status read_vault_id(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    (void)snprintf(state, CVM_VAULT_ID_SIZE, "%s", cvm_db_string(&columns[0]));
    return CVM_OK;
}

static enum cvm_status record_vault(struct cvm_store *store, const char *vault_id,
                                    struct cvm_error *err)
{
    struct cvm_db *db = store->db;
    struct cvm_db_value param = cvm_db_text(vault_id);
    bool is_inside = cvm_db_in_transaction(db);
    enum cvm_status status = is_inside ? CVM_OK : cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_VAULT_ADD), &param, 1, NULL, err);
    }
    if (!is_inside && status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (!is_inside) {
        cvm_db_rollback(db);
    }
    return status;
}

static enum cvm_status open_vault(struct cvm_store *store, struct cvm_vault **out_vault,
                                  struct cvm_error *err)
{
    char recorded[CVM_VAULT_ID_SIZE] = "";
    struct cvm_vault *vault = NULL;
    enum cvm_status status = cvm_db_query(store->db, cvm_db_sql(store->db, CVM_SQL_VAULT_ID), NULL,
                                          0, read_vault_id, recorded, err);
    bool is_writer = cvm_db_access_of(store->db) == CVM_DB_WRITE;
    struct cvm_vault_options options = {
        .url = store->keys_url,
        .master_key = store->master_key,
        .access = is_writer ? CVM_DB_WRITE : CVM_DB_READ,
        .may_create = is_writer && recorded[0] == '\0',
        .now_ms = cvm_store_now_ms(store),
    };
    if (status == CVM_OK) {
        status = cvm_vault_open(&options, &vault, err);
    }
    if (status == CVM_OK && recorded[0] != '\0' && strcmp(recorded, cvm_vault_id(vault)) != 0) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "the database of keys is not the one of this store");
        status = cvm_error_hint(err, status, "Name its own one as privacy.keys in cvm.yaml.");
    }
    if (status == CVM_OK && is_writer && recorded[0] == '\0') {
        status = record_vault(store, cvm_vault_id(vault), err);
    }
    if (status != CVM_OK) {
        cvm_vault_close(vault);
        return status;
    }
    *out_vault = vault;
    return CVM_OK;
}

enum cvm_status cvm_store_vault(struct cvm_store *store, struct cvm_vault **out_vault,
                                struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    if (!cvm_store_seals(store)) {
        status =
            CVM_FAIL(err, CVM_E_DENIED, "personal data are sealed, and no master key is given");
        return cvm_error_hint(err, status, "Name its file as privacy.master_key in cvm.yaml.");
    }
    if (store->vault == NULL) {
        status = open_vault(store, &store->vault, err);
    }
    if (status == CVM_OK) {
        *out_vault = store->vault;
    }
    return status;
}

enum cvm_status cvm_store_checkpoint(struct cvm_store *store, struct cvm_error *err)
{
    enum cvm_status status = cvm_db_checkpoint(store->db, err);
    return status == CVM_OK ? cvm_db_checkpoint(store->journeys, err) : status;
}
