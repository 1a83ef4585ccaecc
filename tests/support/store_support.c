#include "support/store_support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];
static char url[512];
static char file_url[512];
int64_t support_now_ms = SUPPORT_NOW_MS;

/* At exit, so that a failed test leaves nothing behind either; children leave by _exit(). */
static void remove_folder(void)
{
    DIR *listing = opendir(folder);
    struct dirent *entry = NULL;
    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        char path[400];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        (void)unlink(path);
    }
    if (listing != NULL) {
        (void)closedir(listing);
    }
    (void)rmdir(folder);
}

const char *support_folder(void)
{
    if (folder[0] == '\0') {
        (void)snprintf(folder, sizeof(folder), "/tmp/cvm-test-XXXXXX");
        if (mkdtemp(folder) == NULL || atexit(remove_folder) != 0) {
            abort();
        }
    }
    return folder;
}

static void remove_files(const char *store_url)
{
    static const char *const endings[] = {"", "-wal", "-shm", ".lock", "-journal"};
    char path[600];
    if (strncmp(store_url, "sqlite:/", 8) != 0) {
        return;
    }
    size_t stem = strlen(store_url + 7) - 3; /* without ".db" */
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        (void)snprintf(path, sizeof(path), "%.*s.db%s", (int)stem, store_url + 7, endings[i]);
        (void)unlink(path);
        (void)snprintf(path, sizeof(path), "%.*s-journeys.db%s", (int)stem, store_url + 7,
                       endings[i]);
        (void)unlink(path);
    }
}

const char *support_url(void)
{
    return url;
}

bool support_is_shared(void)
{
    return strstr(url, ":memory:") == NULL;
}

bool support_is_server(void)
{
    return strncmp(url, "sqlite:", 7) != 0;
}

const char *support_words(const char *sqlite, const char *postgres)
{
    return support_is_server() ? postgres : sqlite;
}

const char *support_file_url(const char *name)
{
    (void)snprintf(file_url, sizeof(file_url), "sqlite:%s/%s.db", support_folder(), name);
    remove_files(file_url);
    return file_url;
}

static int run_once(const char *name, const struct CMUnitTest *tests, size_t count)
{
    char title[600];
    (void)snprintf(title, sizeof(title), "%s on %s", name, url);
    return _cmocka_run_group_tests(title, tests, count, NULL, NULL);
}

int support_run(const char *name, const struct CMUnitTest *tests, size_t count)
{
    const char *given = getenv("STORE_URL");
    int failed = 0;
    if (given != NULL && given[0] != '\0') {
        (void)snprintf(url, sizeof(url), "%s", given);
        failed = run_once(name, tests, count);
    } else {
        (void)snprintf(url, sizeof(url), "sqlite::memory:");
        failed = run_once(name, tests, count);
        (void)snprintf(url, sizeof(url), "sqlite:%s/store.db", support_folder());
        failed += run_once(name, tests, count);
    }
    remove_files(url);
    return failed;
}

struct cvm_store *support_open_url(const char *store_url, enum cvm_db_access access,
                                   bool may_create)
{
    struct cvm_store *store = NULL;
    struct cvm_store_options options = {
        .access = access,
        .may_create = may_create,
        .lock_wait_ms = 60000,
        .clock = cvm_clock_fixed(&support_now_ms),
    };
    ASSERT_OK(cvm_store_open(store_url, &options, &store, ERR));
    return store;
}

static const char delete_all[] =
    "DO $$ DECLARE name TEXT; BEGIN "
    "SET LOCAL session_replication_role = replica; "
    "FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN "
    "('migration') AND tablename !~ '_[0-7]$' LOOP EXECUTE 'DELETE FROM ' || name; END LOOP; "
    "FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP "
    "EXECUTE 'ALTER SEQUENCE ' || name || ' RESTART'; END LOOP; END $$";

/* A server's schema, anew. Connections that a failed test left open would be in the way. */
static void empty_schema(void)
{
    struct cvm_db *db = NULL;
    struct cvm_db_options options = {.access = CVM_DB_READ};
    ASSERT_OK(cvm_db_open(url, &options, &db, ERR));
    (void)support_number(db, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                             "WHERE datname = current_database() AND pid <> pg_backend_pid()");
    cvm_db_close(db);
    options = (struct cvm_db_options){.access = CVM_DB_WRITE, .lock_wait_ms = 60000};
    ASSERT_OK(cvm_db_open(url, &options, &db, ERR));
    if (support_number(db, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0) {
        support_exec(db, "DROP SCHEMA IF EXISTS public CASCADE");
        support_exec(db, "CREATE SCHEMA public");
    } else { /* ten times quicker than making the tables again */
        support_exec(db, delete_all);
    }
    cvm_db_close(db);
}

struct cvm_store *support_fresh(void)
{
    support_now_ms = SUPPORT_NOW_MS;
    if (support_is_server()) {
        empty_schema();
    }
    remove_files(url);
    return support_open_url(url, CVM_DB_WRITE, true);
}

struct cvm_store *support_open(enum cvm_db_access access)
{
    return support_open_url(url, access, false);
}

void support_begin(struct cvm_store *store)
{
    ASSERT_OK(cvm_db_begin(cvm_store_db(store), ERR));
}

void support_commit(struct cvm_store *store)
{
    ASSERT_OK(cvm_db_commit(cvm_store_db(store), ERR));
}

static enum cvm_status read_number(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    *(int64_t *)state = columns[0].integer;
    return CVM_OK;
}

int64_t support_number(struct cvm_db *db, const char *sql)
{
    int64_t number = -1;
    ASSERT_OK(cvm_db_query(db, sql, NULL, 0, read_number, &number, ERR));
    return number;
}

void support_exec(struct cvm_db *db, const char *sql)
{
    ASSERT_OK(cvm_db_exec(db, sql, NULL, 0, NULL, ERR));
}
