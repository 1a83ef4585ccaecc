/* What only a server can do: other writers, restarts, limits. STORE_URL and CVM_TEST_RESTART come
 * from tests/support/postgres_server.sh. */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/db_sql.h"
#include "support/import_support.h"
#include "support/store_support.h"

#define CONNECTIONS_MAX 100

static enum cvm_status open_with(const char *url, enum cvm_db_access access, int64_t wait_ms,
                                 struct cvm_store **out_store, struct cvm_error *err)
{
    struct cvm_store_options options = {.access = access,
                                        .lock_wait_ms = wait_ms,
                                        .retry = {.attempts = 2, .base_ms = 1},
                                        .clock = cvm_clock_system};
    return cvm_store_open(url, &options, out_store, err);
}

/* The server ends as in a crash, and is started again. */
static void restart(void)
{
    char *program = getenv("CVM_TEST_RESTART");
    char *const arguments[] = {program, NULL};
    char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    pid_t child = 0;
    int result = -1;
    assert_non_null(program);
    assert_int_equal(posix_spawn(&child, program, NULL, NULL, arguments, environment), 0);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

static enum cvm_status add_source(struct cvm_store *store, int64_t number, const char *name,
                                  struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {cvm_db_int(number), cvm_db_text(name)};
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_SOURCE_ADD), params, 2, NULL, err);
}

static int64_t source_count(void)
{
    struct cvm_store *store = support_open(CVM_DB_READ);
    int64_t count = support_number(cvm_store_db(store), "SELECT count(*) FROM source");
    cvm_store_close(store);
    return count;
}

/* ---- opening ---- */

static void a_second_writer_is_told_who_writes(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_store *second = NULL;
    struct cvm_error err = {0};
    char holder[64];
    (void)snprintf(holder, sizeof(holder), "process %ld storage_postgres_test", (long)getpid());
    for (int64_t wait_ms = 0; wait_ms <= 50; wait_ms += 50) {
        assert_int_equal(open_with(support_url(), CVM_DB_WRITE, wait_ms, &second, &err),
                         CVM_E_UNAVAILABLE);
        assert_non_null(strstr(err.message, holder));
        assert_null(second);
    }
    ASSERT_OK(open_with(support_url(), CVM_DB_READ, 0, &second, ERR));
    cvm_store_close(second);
    cvm_store_close(store);
    ASSERT_OK(open_with(support_url(), CVM_DB_WRITE, 60000, &second, ERR));
    cvm_store_close(second);
}

/* A schema of a database is a store. */
static void a_store_that_is_not_there_yet_is_told_and_made_in_its_schema(void **state)
{
    (void)state;
    char url[700];
    struct cvm_store *first = support_fresh();
    struct cvm_store *store = NULL;
    struct cvm_error err = {0};
    (void)snprintf(url, sizeof(url), "%s&options=-c%%20search_path%%3Dsecond", support_url());
    support_exec(cvm_store_db(first), "DROP SCHEMA IF EXISTS second CASCADE");
    assert_int_equal(open_with(url, CVM_DB_READ, 0, &store, &err), CVM_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "no schema"));
    support_exec(cvm_store_db(first), "CREATE SCHEMA second");
    assert_int_equal(open_with(url, CVM_DB_READ, 0, &store, &err), CVM_E_NOT_FOUND);
    assert_non_null(strstr(err.hint, "cvm init"));
    store = support_open_url(url, CVM_DB_WRITE, true); /* beside the writer of the first */
    ASSERT_OK(add_source(store, 1, "of the second", ERR));
    assert_int_equal(support_number(cvm_store_db(first), "SELECT count(*) FROM source"), 0);
    cvm_store_close(store);
    cvm_store_close(first);
}

static int migrate_in_child(int go)
{
    struct cvm_error err = {0};
    int from = -1;
    int to = -1;
    char byte = 0;
    if (read(go, &byte, 1) < 0 || cvm_store_migrate(support_url(), 1, &from, &to, &err) != CVM_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 100;
    }
    return to * 10 + (from == 0 ? 1 : from == to ? 2 : 3);
}

static void two_processes_may_migrate_at_once(void **state)
{
    (void)state;
    pid_t children[2];
    int went_first = 0;
    int newest = 0;
    int go[2];
    struct cvm_store *store = support_fresh();
    support_exec(cvm_store_db(store), "DROP SCHEMA public CASCADE");
    support_exec(cvm_store_db(store), "CREATE SCHEMA public");
    cvm_store_close(store);
    assert_int_equal(pipe(go), 0);
    (void)fflush(NULL);
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            (void)close(go[1]);
            _exit(migrate_in_child(go[0]));
        }
    }
    (void)close(go[0]);
    (void)close(go[1]); /* both at once */
    for (int i = 0; i < 2; i++) {
        int result = 0;
        assert_int_equal(waitpid(children[i], &result, 0), children[i]);
        assert_true(WIFEXITED(result));
        int code = WEXITSTATUS(result);
        assert_true(code != 100 && code % 10 != 3);
        went_first += code % 10 == 1;
        newest = code / 10;
    }
    assert_int_equal(went_first, 1);
    store = support_open(CVM_DB_READ);
    assert_int_equal(support_number(cvm_store_db(store), "SELECT max(number) FROM migration"),
                     newest);
    cvm_store_close(store);
}

static void a_password_is_never_shown(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "postgresql://me:secret@127.0.0.1:1/x",
        "postgres://me@127.0.0.1:1/x?password=secret",
        "postgresql://me:secret@[::1/x",
        "postgresql://me:secret@h:port/x?secret=secret",
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct cvm_store *store = NULL;
        struct cvm_error err = {0};
        enum cvm_status status = open_with(urls[i], CVM_DB_READ, 0, &store, &err);
        assert_true(status == CVM_E_UNAVAILABLE || status == CVM_E_INVALID);
        assert_null(strstr(err.message, "secret"));
        assert_null(strstr(err.hint, "secret"));
        assert_true(err.message[0] != '\0' && err.hint[0] != '\0');
    }
}

static void a_database_or_user_that_is_missing_is_told_apart(void **state)
{
    (void)state;
    char url[600];
    struct cvm_store *store = NULL;
    struct cvm_error err = {0};
    const char *rest = strchr(support_url(), '?');
    assert_non_null(rest);
    (void)snprintf(url, sizeof(url), "postgresql://cvm@/nothing%s", rest);
    assert_int_equal(open_with(url, CVM_DB_READ, 0, &store, &err), CVM_E_NOT_FOUND);
    assert_non_null(strstr(err.hint, "createdb"));
    (void)snprintf(url, sizeof(url), "postgres://nobody_at_all@/cvm%s", rest);
    assert_int_equal(open_with(url, CVM_DB_READ, 0, &store, &err), CVM_E_DENIED);
}

static void a_server_without_a_free_connection_says_what_to_do(void **state)
{
    (void)state;
    struct cvm_store *readers[CONNECTIONS_MAX] = {NULL};
    struct cvm_error err = {0};
    enum cvm_status status = CVM_OK;
    cvm_store_close(support_fresh());
    for (int i = 0; status == CVM_OK && i < CONNECTIONS_MAX; i++) {
        status = open_with(support_url(), CVM_DB_READ, 0, &readers[i], &err);
    }
    assert_int_equal(status, CVM_E_UNAVAILABLE);
    assert_non_null(strstr(err.hint, "max_connections"));
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        cvm_store_close(readers[i]);
    }
}

/* ---- values and rows ---- */

static enum cvm_status take_value(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    *(struct cvm_db_value *)state = columns[0];
    return CVM_OK;
}

static void exact_decimals_are_integers_where_they_can_be(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        bool is_integer;
        int64_t integer;
        double number;
    } cases[] = {
        {"SELECT CAST(0 AS NUMERIC)", true, 0, 0},
        {"SELECT CAST(-12345678 AS NUMERIC)", true, -12345678, 0},
        {"SELECT CAST(100000000 AS NUMERIC)", true, 100000000, 0},
        {"SELECT CAST(9223372036854775807 AS NUMERIC)", true, INT64_MAX, 0},
        {"SELECT CAST(9223372036854775807 AS NUMERIC) * 2", false, 0, 18446744073709551614.0},
        {"SELECT CAST(0.5 AS NUMERIC)", false, 0, 0.5},
        {"SELECT CAST(-1234567.25 AS NUMERIC)", false, 0, -1234567.25},
        {"SELECT sum(i) FROM generate_series(CAST(1 AS BIGINT), 1000) i", true, 500500, 0},
    };
    struct cvm_store *store = support_fresh();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cvm_db_value value = cvm_db_null();
        ASSERT_OK(
            cvm_db_query(cvm_store_db(store), cases[i].sql, NULL, 0, take_value, &value, ERR));
        assert_int_equal(value.type, cases[i].is_integer ? CVM_DB_INT : CVM_DB_DOUBLE);
        assert_true(cases[i].is_integer ? value.integer == cases[i].integer
                                        : value.number == cases[i].number);
    }
    cvm_store_close(store);
}

struct packing {
    int64_t next;
    int64_t last;
    int64_t repeats; /* each key so many times, the last of them counts */
    int64_t repeat;
    char body[32];
    const char *word;
};

static enum cvm_status next_body(void *state, struct cvm_db_value *params, size_t param_count,
                                 bool *out_has_row, struct cvm_error *err)
{
    struct packing *packing = state;
    (void)param_count;
    (void)err;
    *out_has_row = packing->next <= packing->last;
    (void)snprintf(packing->body, sizeof(packing->body), "%s %lld", packing->word,
                   (long long)packing->repeat);
    params[0] = cvm_db_int(packing->next);
    params[1] = cvm_db_int(0);
    params[2] = cvm_db_blob(packing->body, strlen(packing->body));
    if (++packing->repeat >= packing->repeats) {
        packing->repeat = 0;
        packing->next++;
    }
    return CVM_OK;
}

static void load_packed(struct cvm_store *store, struct packing packing)
{
    struct cvm_db *db = cvm_store_journeys(store);
    const char *sql = cvm_db_sql(db, CVM_SQL_IMPORT_PACKED_PUT);
    int64_t rows = 0;
    ASSERT_OK(cvm_db_begin(db, ERR));
    ASSERT_OK(cvm_db_bulk_load(db, sql, 3, next_body, &packing, &rows, ERR));
    ASSERT_OK(cvm_db_commit(db, ERR));
    assert_true(rows >= packing.last);
}

static void rows_that_are_there_are_replaced_by_a_load(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    load_packed(store, (struct packing){.last = 3000, .repeats = 1, .word = "a"});
    load_packed(store, (struct packing){.last = 2000, .repeats = 3, .word = "b"});
    load_packed(store, (struct packing){.last = 10, .repeats = 1, .word = "c"});
    assert_int_equal(support_number(db, "SELECT count(*) FROM packed"), 3001);
    assert_int_equal(support_number(db, "SELECT count(*) FROM packed WHERE body = 'a 0'"), 1000);
    assert_int_equal(support_number(db, "SELECT count(*) FROM packed WHERE body = 'b 2'"), 1990);
    assert_int_equal(support_number(db, "SELECT count(*) FROM packed WHERE body = 'c 0'"), 11);
    cvm_store_close(store);
}

static void a_wait_for_a_lock_ends(void **state)
{
    (void)state;
    char url[700];
    struct cvm_store *writer = support_fresh();
    struct cvm_store *reader = NULL;
    struct cvm_error err = {0};
    struct cvm_db_value value = cvm_db_null();
    (void)snprintf(url, sizeof(url), "%s&options=-c%%20lock_timeout%%3D50ms", support_url());
    ASSERT_OK(open_with(url, CVM_DB_READ, 0, &reader, ERR));
    support_begin(writer);
    support_exec(cvm_store_db(writer), "LOCK TABLE source");
    assert_int_equal(cvm_db_query(cvm_store_db(reader), "SELECT count(*) FROM source", NULL, 0,
                                  take_value, &value, &err),
                     CVM_E_UNAVAILABLE);
    assert_non_null(strstr(err.hint, "locked"));
    support_commit(writer);
    assert_int_equal(support_number(cvm_store_db(reader), "SELECT count(*) FROM source"), 0);
    cvm_store_close(reader);
    cvm_store_close(writer);
}

/* ---- other work in the way ---- */

struct giving_way {
    struct cvm_store *store;
    const char *state; /* SQLSTATE of what is raised the first `times` */
    int times;
    int calls;
};

static enum cvm_status add_and_give_way(void *state, struct cvm_error *err)
{
    struct giving_way *way = state;
    char sql[120];
    enum cvm_status status = add_source(way->store, 7, "repeated", err);
    if (status == CVM_OK && way->calls++ < way->times) {
        (void)snprintf(sql, sizeof(sql), "DO $$BEGIN RAISE SQLSTATE '%s'; END$$", way->state);
        status = cvm_db_exec(cvm_store_db(way->store), sql, NULL, 0, NULL, err);
    }
    return status;
}

static void a_transaction_that_gave_way_is_repeated_as_a_whole(void **state)
{
    (void)state;
    static const char *const states[] = {"40001", "40P01"};
    for (int i = 0; i < 2; i++) {
        struct giving_way way = {.store = support_fresh(), .state = states[i], .times = 2};
        struct cvm_db *db = cvm_store_db(way.store);
        ASSERT_OK(cvm_db_transact(db, add_and_give_way, &way, ERR));
        assert_int_equal(way.calls, 3);
        assert_int_equal(support_number(db, "SELECT count(*) FROM source"), 1);
        cvm_store_close(way.store);
    }
    struct giving_way way = {.store = support_fresh(), .state = "40001", .times = 1000};
    struct cvm_error err = {0};
    assert_int_equal(cvm_db_transact(cvm_store_db(way.store), add_and_give_way, &way, &err),
                     CVM_E_UNAVAILABLE);
    assert_int_equal(way.calls, 6);
    way = (struct giving_way){.store = way.store, .state = "22012", .times = 1};
    assert_int_equal(cvm_db_transact(cvm_store_db(way.store), add_and_give_way, &way, &err),
                     CVM_E_CONFLICT);
    assert_int_equal(way.calls, 1); /* a mistake stays one */
    assert_int_equal(support_number(cvm_store_db(way.store), "SELECT count(*) FROM source"), 0);
    cvm_store_close(way.store);
}

static void the_server_tells_its_version_and_its_connections(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_store_server server;
    ASSERT_OK(cvm_store_server(store, &server, ERR));
    assert_memory_equal(server.version, "PostgreSQL ", 11);
    assert_true(server.most > server.reserved && server.reserved > 0);
    assert_int_equal(server.used, 0); /* our own are not those of others */
    struct cvm_store *other = NULL;
    char url[700];
    (void)snprintf(url, sizeof(url), "%s&application_name=somebody", support_url());
    ASSERT_OK(open_with(url, CVM_DB_READ, 0, &other, ERR));
    ASSERT_OK(cvm_store_server(store, &server, ERR));
    assert_int_equal(server.used, 1);
    cvm_store_close(other);
    cvm_store_close(store);
}

static void limits_that_would_end_a_session_that_waits_for_us_do_not_count(void **state)
{
    (void)state;
    static const char idle_sql[] =
        "SELECT CAST(setting AS BIGINT) FROM pg_settings WHERE name = 'idle_session_timeout'";
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    support_exec(db, "ALTER DATABASE cvm SET idle_in_transaction_session_timeout = '1ms'");
    bool has_idle = support_number(db, "SELECT count(*) FROM pg_settings WHERE name = "
                                       "'idle_session_timeout'") == 1; /* from 14 on */
    if (has_idle) {
        support_exec(db, "ALTER DATABASE cvm SET idle_session_timeout = '1h'");
    }
    cvm_store_close(store);
    store = support_open(CVM_DB_WRITE);
    db = cvm_store_db(store);
    assert_int_equal(support_number(db, "SELECT CAST(setting AS BIGINT) FROM pg_settings WHERE "
                                        "name = 'idle_in_transaction_session_timeout'"),
                     3600000);
    assert_true(!has_idle || support_number(db, idle_sql) == 0);
    support_exec(db, "ALTER DATABASE cvm RESET ALL");
    cvm_store_close(store);
}

static void what_a_sleeping_agent_holds_is_free_after_the_time_of_a_lease(void **state)
{
    (void)state;
    cvm_store_close(support_fresh());
    struct cvm_store *store = support_open(CVM_DB_SHARED);
    struct cvm_db *db = cvm_store_db(store);
    assert_int_equal(support_number(db, "SELECT CAST(setting AS BIGINT) FROM pg_settings WHERE "
                                        "name = 'idle_in_transaction_session_timeout'"),
                     10000);
    cvm_store_close(store);
}

/* ---- restarts ---- */

static void a_reader_finds_its_server_again(void **state)
{
    (void)state;
    struct cvm_store *writer = support_fresh();
    ASSERT_OK(add_source(writer, 1, "kept", ERR));
    cvm_store_close(writer);
    struct cvm_store *reader = support_open(CVM_DB_READ);
    struct cvm_db *db = cvm_store_db(reader);
    static const char sql[] = "SELECT count(*) FROM source";
    assert_int_equal(support_number(db, sql), 1);
    restart();
    assert_int_equal(support_number(db, sql), 1);
    restart();
    support_begin(reader);
    assert_int_equal(support_number(db, sql), 1);
    struct cvm_db_value value = cvm_db_null();
    struct cvm_error err = {0};
    restart(); /* its snapshot is gone: no other one is put in its place */
    assert_int_equal(cvm_db_query(db, sql, NULL, 0, take_value, &value, &err), CVM_E_UNAVAILABLE);
    assert_non_null(strstr(err.hint, "again"));
    cvm_db_rollback(db);
    assert_int_equal(support_number(db, sql), 1);
    cvm_store_close(reader);
}

static void a_writer_that_lost_its_server_ends_and_nothing_half_done_stays(void **state)
{
    (void)state;
    struct cvm_error err = {0};
    struct cvm_store *writer = support_fresh();
    ASSERT_OK(add_source(writer, 1, "kept", ERR));
    support_begin(writer);
    ASSERT_OK(add_source(writer, 2, "lost", ERR));
    restart();
    assert_int_equal(add_source(writer, 3, "lost too", &err), CVM_E_UNAVAILABLE);
    assert_int_equal(cvm_db_commit(cvm_store_db(writer), &err), CVM_E_UNAVAILABLE);
    /* Another writer may have been at work since. */
    assert_int_equal(cvm_db_begin(cvm_store_db(writer), &err), CVM_E_UNAVAILABLE);
    assert_int_equal(add_source(writer, 4, "alone", &err), CVM_E_UNAVAILABLE);
    assert_non_null(strstr(err.message, "lost"));
    cvm_store_close(writer);
    assert_int_equal(source_count(), 1);
    writer = support_open(CVM_DB_WRITE);
    ASSERT_OK(add_source(writer, 2, "again", ERR));
    cvm_store_close(writer);
    assert_int_equal(source_count(), 2);
}

static void a_commit_that_the_server_did_not_get_keeps_nothing(void **state)
{
    (void)state;
    struct cvm_error err = {0};
    struct cvm_store *writer = support_fresh();
    support_begin(writer);
    ASSERT_OK(add_source(writer, 1, "lost", ERR));
    restart();
    assert_int_equal(cvm_db_commit(cvm_store_db(writer), &err), CVM_E_UNAVAILABLE);
    assert_non_null(strstr(err.hint, "not known"));
    assert_false(cvm_db_in_transaction(cvm_store_db(writer)));
    cvm_store_close(writer);
    assert_int_equal(source_count(), 0);
}

/* A few slabs of customers. */
static void write_tickets(void)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    for (int i = 0; i < 9000; i++) {
        cvm_text_add_format(&text,
                            "{\"customer_id\":\"C%d\",\"date\":\"2024-0%d-05\",\"ticket\":\"%d\","
                            "\"size\":%d}\n",
                            i % 4500, 1 + i / 4500, i, i % 7);
    }
    assert_false(text.failed);
    import_write("tickets.ndjson", text.data, text.length);
    cvm_text_finish(&text);
}

struct interrupting {
    int at; /* slab after which the server goes */
    int slabs;
};

static void interrupt(void *state, const char *stage, double fraction, int64_t count)
{
    struct interrupting *interrupting = state;
    (void)fraction;
    (void)count;
    if (strcmp(stage, "store") == 0 && ++interrupting->slabs == interrupting->at) {
        restart();
    }
}

static void an_import_that_lost_its_server_is_made_right_by_the_next(void **state)
{
    (void)state;
    import_start();
    write_tickets();
    struct cvm_store *store = support_fresh();
    static const struct import_settings plain = {0};
    assert_int_equal(import_run(store, &plain).stored, 9000);
    const char *expected = import_digest(store);
    cvm_store_close(store);
    for (int at = 1; at <= 3; at += 2) {
        struct interrupting interrupting = {.at = at};
        struct import_settings settings = {.on_progress = interrupt,
                                           .progress_state = &interrupting};
        struct cvm_import_report report;
        struct cvm_error err = {0};
        store = support_fresh();
        assert_int_equal(import_try(store, &settings, &report, &err), CVM_E_UNAVAILABLE);
        assert_true(interrupting.slabs >= at);
        cvm_store_close(store);
        store = support_open(CVM_DB_WRITE);
        report = import_run(store, &plain);
        assert_int_equal(report.stored, 9000);
        assert_int_equal(report.duplicate, 0);
        assert_int_equal(report.customers, 4500);
        assert_string_equal(import_digest(store), expected);
        cvm_store_close(store);
    }
    import_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_writer_is_told_who_writes),
        cmocka_unit_test(a_store_that_is_not_there_yet_is_told_and_made_in_its_schema),
        cmocka_unit_test(two_processes_may_migrate_at_once),
        cmocka_unit_test(a_password_is_never_shown),
        cmocka_unit_test(a_database_or_user_that_is_missing_is_told_apart),
        cmocka_unit_test(a_server_without_a_free_connection_says_what_to_do),
        cmocka_unit_test(exact_decimals_are_integers_where_they_can_be),
        cmocka_unit_test(rows_that_are_there_are_replaced_by_a_load),
        cmocka_unit_test(a_wait_for_a_lock_ends),
        cmocka_unit_test(a_transaction_that_gave_way_is_repeated_as_a_whole),
        cmocka_unit_test(the_server_tells_its_version_and_its_connections),
        cmocka_unit_test(limits_that_would_end_a_session_that_waits_for_us_do_not_count),
        cmocka_unit_test(what_a_sleeping_agent_holds_is_free_after_the_time_of_a_lease),
        cmocka_unit_test(a_reader_finds_its_server_again),
        cmocka_unit_test(a_writer_that_lost_its_server_ends_and_nothing_half_done_stays),
        cmocka_unit_test(a_commit_that_the_server_did_not_get_keeps_nothing),
        cmocka_unit_test(an_import_that_lost_its_server_is_made_right_by_the_next),
    };
    return SUPPORT_RUN("postgres", tests);
}
