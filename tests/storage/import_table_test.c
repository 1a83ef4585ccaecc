/* Tables of another database as a source of records. On a server they stand in a schema beside the
 * store's, otherwise in an SQLite file. */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/date.h"
#include "support/import_support.h"

#define ROWS      100000
#define FEW       20000
#define FIRST_DAY 19723 /* 2024-01-01 */

/* ---- the other database ---- */

static const char *other_url(void)
{
    static char file[400];
    if (file[0] == '\0') {
        (void)snprintf(file, sizeof(file), "%s", support_file_url("other.db"));
    }
    return support_is_server() ? support_url() : file;
}

/* Not the writer of a store: it takes no lock. */
static struct cvm_db *other(void)
{
    /* Its commits are waited for: tests end the server right after them. */
    struct cvm_db_options options = {.access = CVM_DB_WRITE, .may_create = true};
    struct cvm_db *db = NULL;
    ASSERT_OK(cvm_db_open(other_url(), &options, &db, ERR));
    return db;
}

static void make(const char *sqlite, const char *postgres)
{
    struct cvm_db *db = other();
    support_exec(db, support_words(sqlite, postgres));
    cvm_db_close(db);
}

static const char *table_name(const char *name)
{
    static char names[2][80];
    static int at;
    at = (at + 1) % 2;
    (void)snprintf(names[at], sizeof(names[at]), "%s%s", support_is_server() ? "other." : "", name);
    return names[at];
}

static void make_schema(void)
{
    if (support_is_server()) {
        struct cvm_db *db = other();
        support_exec(db, "DROP SCHEMA IF EXISTS other CASCADE");
        support_exec(db, "CREATE SCHEMA other");
        cvm_db_close(db);
    } else {
        (void)support_file_url("other.db"); /* removes it */
    }
}

/* The rows that write_tickets() writes as lines. */
static void make_tickets(int rows)
{
    char sql[2][700];
    make_schema();
    make("CREATE TABLE tickets (id INTEGER PRIMARY KEY, customer_id TEXT, date TEXT, ticket TEXT, "
         "size REAL, cost NUMERIC, code TEXT)",
         "CREATE TABLE other.tickets (id INTEGER PRIMARY KEY, customer_id TEXT, date DATE, "
         "ticket VARCHAR(20), size DOUBLE PRECISION, cost NUMERIC(12, 2), code TEXT)");
    (void)snprintf(
        sql[0], sizeof(sql[0]),
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d - 1) "
        "INSERT INTO tickets SELECT i, 'C' || (i * 7919 %% 20000), date('2024-01-01', "
        "(i %% 90) || ' days'), i, (i %% 7) / 4.0, CASE WHEN i %% 3 = 0 THEN i END, "
        "printf('k%%06d', i / 5) FROM n",
        rows);
    (void)snprintf(
        sql[1], sizeof(sql[1]),
        "INSERT INTO other.tickets SELECT i, 'C' || (i::BIGINT * 7919 %% 20000), "
        "DATE '2024-01-01' + i %% 90, i, (i %% 7) / 4.0, CASE WHEN i %% 3 = 0 THEN i END, "
        "'k' || lpad((i / 5)::TEXT, 6, '0') FROM generate_series(0, %d - 1) AS i",
        rows);
    make(sql[0], sql[1]);
}

static void write_tickets(const char *name, int rows)
{
    struct cvm_text text;
    char day[CVM_DAY_TEXT_SIZE];
    cvm_text_init(&text, 0);
    for (int64_t i = 0; i < rows; i++) {
        cvm_text_add_format(&text,
                            "{\"id\":%lld,\"customer_id\":\"C%lld\",\"date\":\"%s\","
                            "\"ticket\":\"%lld\",\"size\":",
                            (long long)i, (long long)(i * 7919 % 20000),
                            cvm_day_format(FIRST_DAY + (int32_t)(i % 90), day), (long long)i);
        cvm_text_add_double(&text, (double)(i % 7) / 4);
        if (i % 3 == 0) {
            cvm_text_add_format(&text, support_is_server() ? ",\"cost\":%lld.00" : ",\"cost\":%lld",
                                (long long)i);
        }
        cvm_text_add_format(&text, ",\"code\":\"k%06lld\"}\n", (long long)(i / 5));
    }
    assert_false(text.failed);
    import_write(name, text.data, text.length);
    cvm_text_finish(&text);
}

/* ---- imports ---- */

static struct cvm_import_report import_table(struct cvm_store *store,
                                             const struct cvm_import_table *table,
                                             const struct import_settings *settings)
{
    struct import_settings with = settings == NULL ? (struct import_settings){0} : *settings;
    with.table = table;
    return import_run(store, &with);
}

static void expect_refused(const struct cvm_import_table *table, enum cvm_status expected,
                           const char *words)
{
    struct import_settings settings = {.table = table};
    struct cvm_import_report report;
    struct cvm_error err = {0};
    struct cvm_store *store = support_fresh();
    assert_int_equal(import_try(store, &settings, &report, &err), expected);
    if (strstr(err.message, words) == NULL && strstr(err.hint, words) == NULL) {
        fail_msg("'%s' is not in: %s | %s", words, err.message, err.hint);
    }
    assert_int_equal(err.status, expected);
    cvm_store_close(store);
}

static void a_table_is_stored_as_the_same_records_from_a_file(void **state)
{
    (void)state;
    char expected[2][100];
    static const char *const sources[] = {"tickets", "notes"}; /* a key; the hash of the record */
    import_start();
    make_tickets(ROWS);
    for (int s = 0; s < 2; s++) {
        char name[40];
        (void)snprintf(name, sizeof(name), "%s.ndjson", sources[s]);
        struct cvm_store *store = support_fresh();
        write_tickets(name, ROWS);
        struct import_settings file = {.path = import_path(name)};
        assert_int_equal(import_run(store, &file).stored, ROWS);
        (void)snprintf(expected[s], sizeof(expected[s]), "%s", import_digest(store));
        cvm_store_close(store);
    }
    static const struct {
        const char *key;
        size_t readers;
        size_t threads;
        size_t block_bytes;
        size_t queue_blocks;
    } ways[] = {
        {NULL, 0, 1, 0, 0},   {"id", 3, 3, 20000, 2}, {"code", 4, 2, 3000, 4},
        {"size", 2, 2, 0, 0}, {"cost", 2, 1, 0, 0}, /* two of three rows have none */
    };
    /* A server's rows take their time: there once without a key and once with one. */
    size_t count = support_is_server() ? 2 : sizeof(ways) / sizeof(ways[0]);
    for (size_t w = 0; w < count; w++) {
        int s = (int)(w % 2);
        struct cvm_import_table table = {.url = other_url(),
                                         .table = table_name("tickets"),
                                         .source = sources[s],
                                         .key = ways[w].key,
                                         .readers = ways[w].readers};
        struct import_settings settings = {.threads = ways[w].threads,
                                           .block_bytes = ways[w].block_bytes,
                                           .queue_blocks = ways[w].queue_blocks};
        struct cvm_store *store = support_fresh();
        struct cvm_import_report report = import_table(store, &table, &settings);
        assert_int_equal(report.stored, ROWS);
        assert_int_equal(report.customers, 20000);
        assert_string_equal(import_digest(store), expected[s]);
        if (w == 0) {
            assert_int_equal(import_table(store, &table, &settings).stored, 0); /* once more */
        }
        cvm_store_close(store);
    }
    import_stop();
}

static void any_number_or_text_is_a_key(void **state)
{
    (void)state;
    static const char *const keys[] = {"size", "cost", "ticket"}; /* two of three have no cost */
    import_start();
    make_tickets(FEW);
    write_tickets("notes.ndjson", FEW);
    struct import_settings settings = {.threads = 2};
    struct cvm_store *store = support_fresh();
    assert_int_equal(import_run(store, &settings).stored, FEW);
    char expected[100];
    (void)snprintf(expected, sizeof(expected), "%s", import_digest(store));
    cvm_store_close(store);
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        struct cvm_import_table table = {.url = other_url(),
                                         .table = table_name("tickets"),
                                         .source = "notes",
                                         .key = keys[k],
                                         .readers = 2};
        store = support_fresh();
        assert_int_equal(import_table(store, &table, &settings).stored, FEW);
        assert_string_equal(import_digest(store), expected);
        cvm_store_close(store);
    }
    import_stop();
}

static void a_query_is_read_like_a_table(void **state)
{
    (void)state;
    char query[300];
    import_start();
    make_tickets(FEW);
    (void)snprintf(query, sizeof(query),
                   "SELECT id, customer_id, date, ticket, size FROM %s WHERE id < 1000; -- all",
                   table_name("tickets"));
    struct cvm_import_table table = {
        .url = other_url(), .query = query, .source = "tickets", .key = "id"};
    expect_refused(&table, CVM_E_INVALID, "query"); /* something behind the statement's end */
    struct cvm_store *store = support_fresh();
    (void)snprintf(strchr(query, ';'), 8, " ; \n");
    assert_int_equal(import_table(store, &table, NULL).stored, 1000);
    cvm_store_close(store);
    import_stop();
}

/* ---- types ---- */

static void values_keep_their_types(void **state)
{
    (void)state;
    import_start();
    make_schema();
    make("CREATE TABLE notes (customer_id TEXT, date TEXT, size REAL, note TEXT, open BOOLEAN, "
         "due TEXT, other ANY, large INTEGER)",
         "CREATE TABLE other.notes (customer_id TEXT, date TIMESTAMP, size NUMERIC(30, 12), "
         "note TEXT, open BOOLEAN, due DATE, other JSON, large BIGINT)");
    make("INSERT INTO notes VALUES ('U1', '2024-03-02 10:11:12', 0.1, 'a \"b\"\n\\ \xC3\xA9', 1, "
         "'2024-04-01', 7, 9007199254740993), ('U2', '2024-03-03', NULL, NULL, 0, NULL, NULL, -1)",
         "INSERT INTO other.notes VALUES ('U1', '2024-03-02 10:11:12', 0.1, "
         "E'a \"b\"\\n\\\\ \\u00E9', true, '2024-04-01', E'{\\n\"n\": 7}', 9007199254740993), "
         "('U2', '2024-03-03', NULL, NULL, false, NULL, NULL, -1)");
    struct cvm_import_table table = {
        .url = other_url(), .table = table_name("notes"), .source = "notes"};
    struct cvm_store *store = support_fresh();
    struct cvm_import_report report = import_table(store, &table, NULL);
    assert_int_equal(report.stored, 2);
    assert_int_equal(report.sources[0].first_day, 19784);
    struct cvm_db *db = cvm_store_db(store);
    const char *attributes = import_string(db, "SELECT attributes FROM event ORDER BY day LIMIT 1");
    assert_non_null(strstr(attributes, "\"test.size\":0.1"));
    assert_non_null(strstr(attributes, "\"test.due\":\"2024-04-01\""));
    assert_non_null(strstr(attributes, "\"test.open\":true"));
    const char *kept = import_string(
        db, support_words("SELECT CAST(private AS TEXT) FROM event ORDER BY day LIMIT 1",
                          "SELECT convert_from(private, 'UTF8') FROM event ORDER BY day LIMIT 1"));
    assert_non_null(strstr(kept, "a \\\"b\\\"\\n\\\\ \xC3\xA9"));
    assert_non_null(strstr(kept, "9007199254740993"));
    assert_non_null(strstr(kept, support_words("\"other\":7", "\"other\":{\"n\":7}")));
    cvm_store_close(store);
    import_stop();
}

static void a_moment_has_the_date_of_its_time_zone(void **state)
{
    (void)state;
    if (!support_is_server()) {
        return;
    }
    import_start();
    make_schema();
    make(NULL, "CREATE TABLE other.notes AS SELECT 'U1'::TEXT AS customer_id, "
               "'2024-07-01 23:30:00+00'::TIMESTAMPTZ AS date, 1 AS size");
    static const char *const zones[] = {NULL, "Europe/Paris"};
    for (int z = 0; z < 2; z++) {
        /* 2024-07-01, or the day after */
        struct cvm_import_window window = {19905 + z, 19905 + z};
        struct import_settings settings = {.window = &window};
        struct cvm_import_table table = {
            .url = other_url(), .table = "other.notes", .source = "notes", .time_zone = zones[z]};
        struct cvm_store *store = support_fresh();
        struct cvm_import_report report = import_table(store, &table, &settings);
        assert_int_equal(report.stored, 1);
        assert_int_equal(report.sources[0].first_day, 19905 + z);
        cvm_store_close(store);
    }
    import_stop();
}

static void what_can_not_be_read_is_told(void **state)
{
    (void)state;
    import_start();
    make_schema();
    make("CREATE TABLE pictures (customer_id TEXT, date TEXT, picture BLOB)",
         "CREATE TABLE other.pictures (customer_id TEXT, date TEXT, picture BYTEA)");
    make("INSERT INTO pictures VALUES ('U1', '2024-03-02', x'00FF')",
         "INSERT INTO other.pictures VALUES ('U1', '2024-03-02', '\\x00FF')");
    struct cvm_import_table table = {
        .url = other_url(), .table = table_name("pictures"), .source = "notes"};
    expect_refused(&table, CVM_E_INVALID, "'picture'");
    expect_refused(&table, CVM_E_INVALID, "--query");
    table.table = table_name("nothing");
    expect_refused(&table, CVM_E_INVALID, "nothing");
    table = (struct cvm_import_table){.url = other_url(), .source = "notes", .key = "custommer"};
    table.query = "SELECT 'U1' AS customer, 1 = 1 AS yes";
    expect_refused(&table, CVM_E_INVALID, "Did you mean 'customer'?");
    if (support_is_server()) { /* for SQLite it is a number */
        table.key = "yes";
        expect_refused(&table, CVM_E_INVALID, "neither a number nor text");
    }
    table.key = NULL;
    table.query = "SELECT 1 AS a, 2 AS a";
    if (support_is_server()) { /* SQLite calls the second one "a:1" */
        expect_refused(&table, CVM_E_INVALID, "two columns of query are called 'a'");
    }
    table.query = "DELETE FROM notes";
    expect_refused(&table, CVM_E_INVALID, "query");
    table.query = "SELECT 1 AS a";
    table.source = "absent";
    expect_refused(&table, CVM_E_NOT_FOUND, "no source 'absent'");
    table.url = "sqlite:/nonexistent/x.db";
    expect_refused(&table, CVM_E_NOT_FOUND, "/nonexistent");
    import_stop();
}

static void a_row_that_can_not_be_mapped_is_rejected_and_the_others_are_stored(void **state)
{
    (void)state;
    import_start();
    make_schema();
    make("CREATE TABLE notes (customer_id TEXT, date TEXT, note TEXT)",
         "CREATE TABLE other.notes (customer_id TEXT, date TEXT, note TEXT)");
    make("INSERT INTO notes VALUES ('U1', '2024-02-30', 'no such day'), (NULL, '2024-03-01', ''), "
         "('U2', '2024-03-02', 'good'), ('U3', '2024-03-02', replace(printf('%5000d', 0), ' ', "
         "'x'))",
         "INSERT INTO other.notes VALUES ('U1', '2024-02-30', 'no such day'), "
         "(NULL, '2024-03-01', ''), ('U2', '2024-03-02', 'good'), "
         "('U3', '2024-03-02', repeat('x', 5000))");
    struct cvm_import_table table = {
        .url = other_url(), .table = table_name("notes"), .source = "notes"};
    struct import_settings settings = {.record_bytes_max = 2000, .block_bytes = 10};
    struct cvm_store *store = support_fresh();
    struct cvm_import_report report = import_table(store, &table, &settings);
    assert_int_equal(report.read, 4);
    assert_int_equal(report.stored, 1);
    assert_int_equal(report.rejected, 3);
    assert_non_null(strstr(import_rejects(), "no date that exists"));
    assert_non_null(strstr(import_rejects(), "longer than 2000 bytes"));
    assert_non_null(strstr(import_rejects(), "notes"));
    cvm_store_close(store);
    import_stop();
}

/* ---- the window ---- */

static void a_window_is_the_same_from_files_and_from_tables(void **state)
{
    (void)state;
    import_start();
    make_tickets(FEW);
    write_tickets("tickets.ndjson", FEW);
    struct cvm_import_window windows[] = {
        {FIRST_DAY + 10, FIRST_DAY + 19},
        {FIRST_DAY + 80, CVM_DAY_NONE},
        {CVM_DAY_NONE, FIRST_DAY},
    };
    for (size_t w = 0; w < 3; w++) {
        struct import_settings settings = {.window = &windows[w]};
        struct cvm_store *store = support_fresh();
        struct cvm_import_report from_file = import_run(store, &settings);
        char expected[100];
        (void)snprintf(expected, sizeof(expected), "%s", import_digest(store));
        cvm_store_close(store);
        assert_int_equal(from_file.read, FEW);
        assert_int_equal(from_file.outside, FEW - from_file.stored);
        assert_int_equal(from_file.rejected, 0);
        struct cvm_import_table table = {.url = other_url(),
                                         .table = table_name("tickets"),
                                         .source = "tickets",
                                         .key = w == 1 ? NULL : "id"};
        store = support_fresh();
        struct cvm_import_report from_table = import_table(store, &table, &settings);
        assert_int_equal(from_table.stored, from_file.stored);
        assert_int_equal(from_table.outside, 0); /* the database passed over them */
        assert_int_equal(from_table.read, from_table.stored);
        assert_string_equal(import_digest(store), expected);
        cvm_store_close(store);
    }
    import_stop();
}

static void a_time_of_day_belongs_to_its_day_in_every_type(void **state)
{
    (void)state;
    static const char *const types[] = {"TEXT", "TIMESTAMP", "TIMESTAMPTZ"};
    import_start();
    for (int t = 0; t < 3; t++) {
        char sql[500];
        if (t > 0 && !support_is_server()) {
            break;
        }
        make_schema();
        (void)snprintf(sql, sizeof(sql),
                       "CREATE TABLE %s (customer_id TEXT, date %s, size INTEGER)",
                       table_name("notes"), types[t]);
        make(sql, sql);
        (void)snprintf(sql, sizeof(sql),
                       "INSERT INTO %s VALUES ('U1', '2024-03-01 23:59:59', 1), ('U1', '2024-03-02 "
                       "00:00:00', 2), ('U1', '2024-03-02 23:59:59', 3), ('U1', '2024-03-03 "
                       "00:00:00', 4), ('U1', NULL, 5)",
                       table_name("notes"));
        make(sql, sql);
        struct cvm_import_window window = {19784, 19784}; /* 2024-03-02 */
        struct import_settings settings = {.window = &window};
        struct cvm_import_table table = {
            .url = other_url(), .table = table_name("notes"), .source = "notes"};
        struct cvm_store *store = support_fresh();
        struct cvm_import_report report = import_table(store, &table, &settings);
        assert_int_equal(report.read, 3);
        assert_int_equal(report.stored, 2);
        assert_int_equal(report.rejected, 1); /* what has no date is rejected, as in a file */
        cvm_store_close(store);
    }
    import_stop();
}

/* ---- a server that goes away ---- */

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

struct breaking {
    int calls;
    int every;
    int most;
    int breaks;
};

static void break_off(void *state, const char *stage, double fraction, int64_t count)
{
    struct breaking *breaking = state;
    (void)fraction;
    (void)count;
    if (strcmp(stage, "read") == 0 && ++breaking->calls % breaking->every == 0 &&
        breaking->breaks < breaking->most) {
        breaking->breaks++;
        restart();
    }
}

/* The store is a file: only the table's server goes. */
static struct cvm_store *store_in_file(void)
{
    char url[400];
    (void)snprintf(url, sizeof(url), "%s", support_file_url("store.db"));
    (void)support_file_url("store-journeys.db");
    return support_open_url(url, CVM_DB_WRITE, true);
}

static void a_range_that_broke_off_goes_on_behind_its_last_key(void **state)
{
    (void)state;
    if (!support_is_server()) {
        return;
    }
    import_start();
    make_tickets(FEW);
    write_tickets("notes.ndjson", FEW);
    struct cvm_store *store = store_in_file();
    struct import_settings file = {0};
    assert_int_equal(import_run(store, &file).stored, FEW);
    char expected[100];
    (void)snprintf(expected, sizeof(expected), "%s", import_digest(store));
    cvm_store_close(store);
    static const char *const keys[] = {"id", "code"}; /* one row per key; five */
    for (int k = 0; k < 2; k++) {
        struct breaking breaking = {.every = 20, .most = 2};
        struct cvm_import_table table = {
            .url = other_url(),
            .table = "other.tickets",
            .source = "notes",
            .key = keys[k],
            .readers = 3,
            .retry = {.base_ms = 20, .cap_ms = 200, .attempts = 500, .limit_ms = 60000},
        };
        struct import_settings settings = {.block_bytes = 8000,
                                           .queue_blocks = 4,
                                           .on_progress = break_off,
                                           .progress_state = &breaking};
        store = store_in_file();
        struct cvm_import_report report = import_table(store, &table, &settings);
        assert_true(breaking.breaks >= 1);  /* the second may come when all is read */
        assert_int_equal(report.read, FEW); /* no row was read twice, none is missing */
        assert_int_equal(report.stored, FEW);
        assert_string_equal(import_digest(store), expected);
        cvm_store_close(store);
    }
    import_stop();
}

static void what_has_no_key_to_go_on_from_ends_with_advice(void **state)
{
    (void)state;
    if (!support_is_server()) {
        return;
    }
    import_start();
    make_tickets(FEW);
    struct breaking breaking = {.every = 40, .most = 1};
    struct cvm_import_table table = {
        .url = other_url(), .table = "other.tickets", .source = "notes"};
    struct import_settings settings = {.table = &table,
                                       .block_bytes = 8000,
                                       .queue_blocks = 4,
                                       .on_progress = break_off,
                                       .progress_state = &breaking};
    struct cvm_import_report report;
    struct cvm_error err = {0};
    struct cvm_store *store = store_in_file();
    assert_int_equal(import_try(store, &settings, &report, &err), CVM_E_UNAVAILABLE);
    assert_non_null(strstr(err.message, "broke off"));
    assert_non_null(strstr(err.hint, "--key"));
    cvm_store_close(store);
    import_stop();
}

static void a_server_that_does_not_come_is_given_up(void **state)
{
    (void)state;
    if (!support_is_server()) {
        return;
    }
    import_start();
    struct cvm_import_table table = {.url = "postgresql://cvm@/cvm?host=/nonexistent",
                                     .table = "t",
                                     .source = "notes",
                                     .retry = {.base_ms = 1, .attempts = 3}};
    expect_refused(&table, CVM_E_UNAVAILABLE, "cannot connect");
    import_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_stored_as_the_same_records_from_a_file),
        cmocka_unit_test(any_number_or_text_is_a_key),
        cmocka_unit_test(a_query_is_read_like_a_table),
        cmocka_unit_test(values_keep_their_types),
        cmocka_unit_test(a_moment_has_the_date_of_its_time_zone),
        cmocka_unit_test(what_can_not_be_read_is_told),
        cmocka_unit_test(a_row_that_can_not_be_mapped_is_rejected_and_the_others_are_stored),
        cmocka_unit_test(a_window_is_the_same_from_files_and_from_tables),
        cmocka_unit_test(a_time_of_day_belongs_to_its_day_in_every_type),
        cmocka_unit_test(a_range_that_broke_off_goes_on_behind_its_last_key),
        cmocka_unit_test(what_has_no_key_to_go_on_from_ends_with_advice),
        cmocka_unit_test(a_server_that_does_not_come_is_given_up),
    };
    return SUPPORT_RUN("import_table", tests);
}
