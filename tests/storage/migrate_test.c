/* Schemas of other programs, and stores that can not be opened. */
#include "storage/migrate.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/db_backend.h"
#include "support/store_support.h"

static const char *const first[] = {"CREATE TABLE a (x INTEGER)", NULL};
static const char *const first_altered[] = {"CREATE TABLE a (x INTEGER, y INTEGER)", NULL};
static const char *const second[] = {"CREATE TABLE b (x INTEGER)", "INSERT INTO a VALUES (1)",
                                     NULL};
static const char *const broken[] = {"CREATE TABLE c (x INTEGER)", "CREATE NONSENSE", NULL};

static const struct cvm_sql_migration one[] = {{1, "first", first}, {0, NULL, NULL}};
static const struct cvm_sql_migration altered[] = {{1, "first", first_altered}, {0, NULL, NULL}};
static const struct cvm_sql_migration two[] = {
    {1, "first", first}, {2, "second", second}, {0, NULL, NULL}};
static const struct cvm_sql_migration three[] = {
    {1, "first", first}, {2, "second", second}, {3, "broken", broken}, {0, NULL, NULL}};

static struct cvm_db *open_db(void)
{
    struct cvm_db *db = NULL;
    struct cvm_db_options options = {.access = CVM_DB_WRITE, .may_create = true};
    ASSERT_OK(cvm_db_open("sqlite::memory:", &options, &db, ERR));
    return db;
}

static void check_migrate(struct cvm_db *db, const struct cvm_sql_migration *migrations, int from,
                          int to)
{
    int got_from = -1;
    int got_to = -1;
    ASSERT_OK(cvm_migrate(db, migrations, 5, &got_from, &got_to, ERR));
    assert_int_equal(got_from, from);
    assert_int_equal(got_to, to);
}

static void changes_are_applied_in_order_and_once(void **state)
{
    (void)state;
    struct cvm_db *db = open_db();
    check_migrate(db, one, 0, 1);
    check_migrate(db, one, 1, 1);
    check_migrate(db, two, 1, 2);
    check_migrate(db, two, 2, 2);
    assert_int_equal(support_number(db, "SELECT count(*) FROM a"), 1);
    assert_int_equal(support_number(db, "SELECT max(applied_at) FROM migration"), 5);
    int at = 0;
    ASSERT_OK(cvm_migration_at(db, two, &at, ERR));
    assert_int_equal(at, 2);
    cvm_db_close(db);
}

static void a_change_that_fails_leaves_the_step_before(void **state)
{
    (void)state;
    struct cvm_db *db = open_db();
    struct cvm_error err = {0};
    int from = -1;
    int to = -1;
    assert_int_equal(cvm_migrate(db, three, 5, &from, &to, &err), CVM_E_INTERNAL);
    assert_non_null(strstr(err.message, "schema change 3 'broken'"));
    assert_int_equal(from, -1);
    int at = 0;
    ASSERT_OK(cvm_migration_at(db, three, &at, ERR));
    assert_int_equal(at, 2);
    assert_int_equal(support_number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'c'"), 0);
    cvm_db_close(db);
}

static void an_altered_change_is_found(void **state)
{
    (void)state;
    struct cvm_db *db = open_db();
    struct cvm_error err = {0};
    int at = -1;
    check_migrate(db, one, 0, 1);
    assert_int_equal(cvm_migration_at(db, altered, &at, &err), CVM_E_CORRUPT);
    assert_non_null(strstr(err.message, "schema change 1 'first'"));
    support_exec(db, "INSERT INTO migration VALUES (3, 'x', 'y', 0)");
    assert_int_equal(cvm_migration_at(db, three, &at, &err), CVM_E_CORRUPT);
    assert_non_null(strstr(err.message, "2 is missing"));
    assert_int_equal(at, -1);
    cvm_db_close(db);
}

static enum cvm_status try_open(const char *url, enum cvm_db_access access, bool may_create,
                                struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    struct cvm_store_options options = {
        .access = access, .may_create = may_create, .clock = cvm_clock_system};
    enum cvm_status status = cvm_store_open(url, &options, &store, err);
    cvm_store_close(store);
    assert_true(status == CVM_OK || err->message[0] != '\0');
    return status;
}

static void a_store_of_a_newer_program_is_refused(void **state)
{
    (void)state;
    const char *url = support_file_url("newer");
    struct cvm_error err = {0};
    struct cvm_store *store = support_open_url(url, CVM_DB_WRITE, true);
    support_exec(cvm_store_db(store), "INSERT INTO migration VALUES (99, 'future', 'x', 0)");
    cvm_store_close(store);
    for (int access = CVM_DB_READ; access <= (int)CVM_DB_WRITE; access++) {
        for (int may_create = 0; may_create < 2; may_create++) {
            assert_int_equal(try_open(url, (enum cvm_db_access)access, may_create != 0, &err),
                             CVM_E_CONFLICT);
            assert_non_null(strstr(err.message, "made by a newer cvm"));
        }
    }
    int from = -1;
    int to = -1;
    assert_int_equal(cvm_store_migrate(url, 1, &from, &to, &err), CVM_E_CONFLICT);
    assert_int_equal(from, -1);
}

static void a_store_whose_schema_was_altered_is_refused(void **state)
{
    (void)state;
    const char *url = support_file_url("altered");
    struct cvm_error err = {0};
    struct cvm_store *store = support_open_url(url, CVM_DB_WRITE, true);
    support_exec(cvm_store_db(store), "UPDATE migration SET checksum = 'x' WHERE number = 1");
    cvm_store_close(store);
    assert_int_equal(try_open(url, CVM_DB_READ, false, &err), CVM_E_CORRUPT);
    assert_int_equal(try_open(url, CVM_DB_WRITE, true, &err), CVM_E_CORRUPT);
}

static void migrating_makes_a_store_and_twice_changes_nothing(void **state)
{
    (void)state;
    const char *url = support_file_url("made");
    struct cvm_error err = {0};
    int from = -1;
    int to = -1;
    ASSERT_OK(cvm_store_migrate(url, 1, &from, &to, ERR));
    assert_int_equal(from, 0);
    assert_true(to >= 1);
    int newest = to;
    ASSERT_OK(cvm_store_migrate(url, 1, &from, &to, ERR));
    assert_int_equal(from, newest);
    assert_int_equal(to, newest);
    assert_int_equal(try_open(url, CVM_DB_READ, false, &err), CVM_OK);
}

static void write_file(const char *url, const char *text)
{
    FILE *file = fopen(url + strlen("sqlite:"), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void what_is_no_store_is_named(void **state)
{
    (void)state;
    struct cvm_error err = {0};
    const char *url = support_file_url("none");
    assert_int_equal(try_open(url, CVM_DB_READ, false, &err), CVM_E_NOT_FOUND);
    assert_non_null(strstr(err.hint, "cvm init"));
    assert_int_equal(try_open(url, CVM_DB_WRITE, false, &err), CVM_E_NOT_FOUND);
    assert_int_equal(access(url + strlen("sqlite:"), F_OK), -1); /* nothing was made */
    write_file(url, "this is a long text that is certainly no database of SQLite, by any means: "
                    "its first bytes differ");
    assert_int_equal(try_open(url, CVM_DB_READ, false, &err), CVM_E_CORRUPT);
    assert_non_null(strstr(err.message, "is not a database"));
    assert_int_equal(try_open(url, CVM_DB_WRITE, true, &err), CVM_E_CORRUPT);
    write_file(url, ""); /* an empty file is an empty database */
    assert_int_equal(try_open(url, CVM_DB_READ, false, &err), CVM_E_NOT_FOUND);
    assert_int_equal(try_open(url, CVM_DB_WRITE, true, &err), CVM_OK);
    assert_int_equal(try_open("sqlite:/nowhere/at/all.db", CVM_DB_WRITE, true, &err),
                     CVM_E_NOT_FOUND);
    assert_int_equal(try_open("sqlite:/tmp", CVM_DB_READ, false, &err), CVM_E_INVALID);
}

static void another_programs_database_is_left_alone(void **state)
{
    (void)state;
    struct cvm_error err = {0};
    const char *url = support_file_url("foreign");
    struct cvm_db *db = NULL;
    struct cvm_db_options options = {.access = CVM_DB_WRITE, .may_create = true};
    ASSERT_OK(cvm_db_open(url, &options, &db, ERR));
    support_exec(db, "CREATE TABLE theirs (x INTEGER)");
    cvm_db_close(db);
    assert_int_equal(try_open(url, CVM_DB_WRITE, true, &err), CVM_E_CONFLICT);
    assert_non_null(strstr(err.message, "not one of cvm"));
}

static void missing_journeys_are_made_again_by_a_writer(void **state)
{
    (void)state;
    struct cvm_error err = {0};
    const char *url = support_file_url("derived");
    char journeys[600];
    cvm_store_close(support_open_url(url, CVM_DB_WRITE, true));
    (void)snprintf(journeys, sizeof(journeys), "%.*s-journeys.db",
                   (int)strlen(url + strlen("sqlite:")) - 3, url + strlen("sqlite:"));
    assert_int_equal(unlink(journeys), 0);
    assert_int_equal(try_open(url, CVM_DB_READ, false, &err), CVM_E_NOT_FOUND);
    assert_int_equal(try_open(url, CVM_DB_WRITE, false, &err), CVM_OK);
    assert_int_equal(try_open(url, CVM_DB_READ, false, &err), CVM_OK);
}

/* Run in a child, so that its limits and rights are its own; its exit code is the status. */
static int in_child(int (*body)(const char *url), const char *url)
{
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(body(url));
    }
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    return WEXITSTATUS(result);
}

static int open_as_nobody(const char *url)
{
    struct cvm_error err = {0};
    if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
        return 100;
    }
    int status = (int)try_open(url, CVM_DB_WRITE, true, &err);
    return err.message[0] == '\0' || err.hint[0] == '\0' ? 101 : status;
}

static int read_as_nobody(const char *url)
{
    struct cvm_error err = {0};
    if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
        return 100;
    }
    int status = (int)try_open(url, CVM_DB_READ, false, &err);
    return err.hint[0] == '\0' ? 101 : status;
}

static void a_read_only_folder_is_a_clear_refusal(void **state)
{
    (void)state;
    const char *url = support_file_url("readonly");
    cvm_store_close(support_open_url(url, CVM_DB_WRITE, true));
    assert_int_equal(chmod(support_folder(), 0555), 0);
    int status = in_child(open_as_nobody, url);
    int reading = in_child(read_as_nobody, url);
    assert_int_equal(chmod(support_folder(), 0700), 0);
    assert_int_equal(status, CVM_E_DENIED);
    assert_int_equal(reading, CVM_E_DENIED); /* the log can not be made */
}

/* A limit on the size of files stands for a full disk. */
static int fill_up(const char *url)
{
    struct cvm_store *store = NULL;
    struct cvm_error err = {0};
    struct cvm_store_options options = {.access = CVM_DB_WRITE, .clock = cvm_clock_system};
    struct rlimit limit = {.rlim_cur = 300000, .rlim_max = 300000};
    (void)signal(SIGXFSZ, SIG_IGN);
    if (cvm_store_open(url, &options, &store, &err) != CVM_OK) {
        return 100;
    }
    struct cvm_db *db = cvm_store_db(store);
    if (cvm_db_exec(db, "INSERT INTO source VALUES (1, 'kept')", NULL, 0, NULL, &err) != CVM_OK ||
        setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        return 101;
    }
    enum cvm_status status = cvm_db_begin(db, &err);
    for (int i = 0; status == CVM_OK && i < 2000; i++) {
        status = cvm_db_exec(db,
                             "INSERT INTO audit (at, who, action, object, why) VALUES "
                             "(0, '', '', '', hex(randomblob(2000)))",
                             NULL, 0, NULL, &err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, &err);
    }
    cvm_store_close(store);
    return err.hint[0] == '\0' ? 102 : (int)status;
}

static void a_full_disk_is_an_error_and_costs_nothing_that_was_committed(void **state)
{
    (void)state;
    const char *url = support_file_url("full");
    cvm_store_close(support_open_url(url, CVM_DB_WRITE, true));
    assert_int_equal(in_child(fill_up, url), CVM_E_UNAVAILABLE);
    struct cvm_store *store = support_open_url(url, CVM_DB_WRITE, false);
    struct cvm_db *db = cvm_store_db(store);
    assert_int_equal(support_number(db, "SELECT count(*) FROM source"), 1);
    assert_int_equal(support_number(db, "SELECT count(*) FROM audit"), 0);
    cvm_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_applied_in_order_and_once),
        cmocka_unit_test(a_change_that_fails_leaves_the_step_before),
        cmocka_unit_test(an_altered_change_is_found),
        cmocka_unit_test(a_store_of_a_newer_program_is_refused),
        cmocka_unit_test(a_store_whose_schema_was_altered_is_refused),
        cmocka_unit_test(migrating_makes_a_store_and_twice_changes_nothing),
        cmocka_unit_test(what_is_no_store_is_named),
        cmocka_unit_test(another_programs_database_is_left_alone),
        cmocka_unit_test(missing_journeys_are_made_again_by_a_writer),
        cmocka_unit_test(a_read_only_folder_is_a_clear_refusal),
        cmocka_unit_test(a_full_disk_is_an_error_and_costs_nothing_that_was_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
