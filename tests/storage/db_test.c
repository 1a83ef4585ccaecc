/* The contract of db.h, on every database. */
#include "storage/db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/ledger_support.h"
#include "support/store_support.h"

#include "storage/db_backend.h"
#include "storage/db_sql.h"
#include "storage/migrate.h"

static enum cvm_status audit(struct cvm_db *db, const char *object, struct cvm_error *err)
{
    struct cvm_db_value params[] = {
        cvm_db_int(1),      cvm_db_text("me"), cvm_db_text("plan"), cvm_db_text(object),
        cvm_db_text("why"), cvm_db_null(),     cvm_db_null(),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_AUDIT_ADD), params, CVM_DB_COUNT(params), NULL,
                       err);
}

static int64_t audit_count(struct cvm_db *db)
{
    return support_number(db, "SELECT count(*) FROM audit");
}

/* A database of keys: the vault opens one where a master key is given. */
static struct cvm_db *open_keys(void)
{
    struct cvm_db_options options = {.access = CVM_DB_WRITE, .may_create = true};
    struct cvm_db *keys = NULL;
    int from = 0;
    int to = 0;
    ASSERT_OK(cvm_db_open("sqlite::memory:", &options, &keys, ERR));
    ASSERT_OK(cvm_migrate(keys, keys->backend->dialect->keys, 0, &from, &to, ERR));
    return keys;
}

static void every_statement_prepares_on_one_of_the_databases(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *keys = open_keys();
    for (int sql = 0; sql < CVM_SQL_COUNT; sql++) {
        struct cvm_db *dbs[] = {cvm_store_db(store), cvm_store_journeys(store), keys};
        struct cvm_error err = {0};
        bool is_fine = false;
        for (size_t i = 0; i < 3 && !is_fine; i++) {
            const char *text = cvm_db_sql(dbs[i], (enum cvm_sql)sql);
            struct cvm_db_cursor *cursor = NULL;
            if (text == NULL) { /* keys are SQLite's alone */
                continue;
            }
            /* The wrong number of values is found after the statement was prepared. */
            for (size_t count = 0; count <= 32 && !is_fine; count++) {
                struct cvm_db_value nulls[32] = {{0}};
                is_fine = cvm_db_scan(dbs[i], text, nulls, count, &cursor, &err) == CVM_OK;
            }
            cvm_db_cursor_close(cursor);
        }
        if (!is_fine) {
            fail_msg("%s: %s", err.message, cvm_db_sql(keys, (enum cvm_sql)sql));
        }
    }
    cvm_db_close(keys);
    cvm_store_close(store);
}

struct seen {
    struct cvm_db_value first[32];
    char text[64];
    unsigned char blob[16];
    int rows;
};

static enum cvm_status look(void *state, const struct cvm_db_value *columns, size_t column_count,
                            struct cvm_error *err)
{
    struct seen *seen = state;
    (void)err;
    memcpy(seen->first, columns, column_count * sizeof(columns[0]));
    seen->rows++;
    return CVM_OK;
}

static void integers_numbers_and_nulls_come_back_as_they_went_in(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    static const double numbers[] = {0.1, -1e300, 5e-324, 1.0 / 3.0, 0.0};
    static const int64_t integers[] = {INT64_MIN, -1, 0, 4294967296, INT64_MAX};
    for (uint64_t i = 0; i < 5; i++) {
        struct cvm_decision decision = support_decision("r", i + 1);
        decision.value = numbers[i];
        decision.cost_micro = integers[i];
        support_begin(store);
        ASSERT_OK(cvm_decision_add(store, &decision, 1, ERR));
        support_commit(store);
        char sql[128];
        (void)snprintf(sql, sizeof(sql),
                       "SELECT value, cost_micro, latest_at FROM decision WHERE customer_key = %d",
                       (int)i + 1);
        struct seen seen = {0};
        ASSERT_OK(cvm_db_query(db, sql, NULL, 0, look, &seen, ERR));
        assert_int_equal(seen.first[0].type, CVM_DB_DOUBLE);
        assert_memory_equal(&seen.first[0].number, &numbers[i], sizeof(double));
        assert_int_equal(seen.first[1].type, CVM_DB_INT);
        assert_true(seen.first[1].integer == integers[i]);
        assert_int_equal(seen.first[2].type, CVM_DB_NULL);
    }
    cvm_store_close(store);
}

static enum cvm_status look_at_bytes(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    struct seen *seen = state;
    (void)column_count;
    (void)err;
    seen->first[0] = columns[0];
    assert_non_null(columns[0].bytes.data);
    memcpy(seen->blob, columns[0].bytes.data, columns[0].bytes.length);
    if (columns[0].type == CVM_DB_TEXT) {
        const char *text = columns[0].bytes.data;
        assert_int_equal(text[columns[0].bytes.length], '\0');
    }
    seen->rows++;
    return CVM_OK;
}

static void blobs_and_texts_come_back_byte_for_byte(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    static const unsigned char bytes[] = {0, 255, 0, 'x', 0};
    for (size_t length = 0; length <= sizeof(bytes); length += sizeof(bytes)) {
        struct cvm_value_block block = {
            .first_key = 10 + length, .last_key = 20, .body = bytes, .length = length};
        support_begin(store);
        ASSERT_OK(cvm_value_block_add(store, "r", &block, ERR));
        support_commit(store);
        struct seen seen = {0};
        ASSERT_OK(cvm_db_query(db, "SELECT body FROM value_block ORDER BY first_key DESC LIMIT 1",
                               NULL, 0, look_at_bytes, &seen, ERR));
        assert_int_equal(seen.rows, 1);
        assert_int_equal(seen.first[0].type, CVM_DB_BLOB);
        assert_int_equal(seen.first[0].bytes.length, length);
        assert_memory_equal(seen.blob, bytes, length);
    }
    ASSERT_OK(audit(db, "na\xc3\xafve 'quoted'", ERR));
    struct seen seen = {0};
    ASSERT_OK(cvm_db_query(db, "SELECT object FROM audit", NULL, 0, look_at_bytes, &seen, ERR));
    assert_memory_equal(seen.blob, "na\xc3\xafve 'quoted'", 15);
    ASSERT_OK(audit(db, "", ERR));
    ASSERT_OK(cvm_db_query(db, "SELECT object FROM audit ORDER BY audit_id DESC LIMIT 1", NULL, 0,
                           look_at_bytes, &seen, ERR));
    assert_int_equal(seen.first[0].type, CVM_DB_TEXT);
    assert_int_equal(seen.first[0].bytes.length, 0);
    cvm_store_close(store);
}

static void a_rollback_leaves_nothing_and_a_commit_everything(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    support_begin(store);
    assert_true(cvm_db_in_transaction(db));
    ASSERT_OK(audit(db, "a", ERR));
    cvm_db_rollback(db);
    assert_false(cvm_db_in_transaction(db));
    cvm_db_rollback(db); /* nothing open is fine */
    assert_int_equal(audit_count(db), 0);
    support_begin(store);
    ASSERT_OK(audit(db, "b", ERR));
    ASSERT_OK(audit(db, "c", ERR));
    support_commit(store);
    cvm_db_rollback(db);
    assert_int_equal(audit_count(db), 2);
    cvm_store_close(store);
}

static void a_light_transaction_is_rolled_back_and_kept_like_any_other(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    for (int round = 1; round <= 2; round++) { /* with one that waits for the disk in between */
        ASSERT_OK(cvm_db_begin_light(db, ERR));
        ASSERT_OK(audit(db, "gone", ERR));
        cvm_db_rollback(db);
        ASSERT_OK(cvm_db_begin_light(db, ERR));
        ASSERT_OK(audit(db, "light", ERR));
        ASSERT_OK(cvm_db_commit(db, ERR));
        support_begin(store);
        ASSERT_OK(audit(db, "full", ERR));
        support_commit(store);
        assert_int_equal(audit_count(db), 2 * round);
    }
    cvm_store_close(store);
}

static void a_refused_statement_is_a_conflict_and_the_transaction_goes_on(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_error err = {0};
    struct cvm_db_value row[] = {cvm_db_text("c"), cvm_db_text("p"), cvm_db_int(1)};
    const char *add =
        support_words("INSERT INTO ledger (constraint_id, period, granted, held, confirmed) "
                      "VALUES (?1, ?2, ?3, 0, 0)",
                      "INSERT INTO ledger (constraint_id, period, granted, held, confirmed) "
                      "VALUES ($1, $2, $3, 0, 0)");
    support_begin(store);
    ASSERT_OK(cvm_db_exec(db, add, row, 3, NULL, ERR));
    int64_t changed = 77;
    assert_int_equal(cvm_db_exec(db, add, row, 3, &changed, &err), CVM_E_CONFLICT);
    assert_int_equal(changed, 77);
    assert_int_equal(err.status, CVM_E_CONFLICT);
    row[1] = cvm_db_text("q");
    row[2] = cvm_db_int(-1); /* CHECK */
    assert_int_equal(cvm_db_exec(db, add, row, 3, NULL, &err), CVM_E_CONFLICT);
    row[2] = cvm_db_text("many"); /* a text is no integer */
    assert_int_equal(cvm_db_exec(db, add, row, 3, NULL, &err), CVM_E_CONFLICT);
    row[2] = cvm_db_int(5);
    ASSERT_OK(cvm_db_exec(db, add, row, 3, &changed, ERR));
    assert_int_equal(changed, 1);
    support_commit(store);
    assert_int_equal(support_number(db, "SELECT count(*) FROM ledger"), 2);
    cvm_store_close(store);
}

static void faults_of_a_statement_are_errors_and_never_crashes(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_error err = {0};
    struct cvm_db_value value = cvm_db_int(1);
    assert_int_equal(cvm_db_exec(db, "SELEC 1", NULL, 0, NULL, &err), CVM_E_INTERNAL);
    assert_int_equal(cvm_db_exec(db, "", NULL, 0, NULL, &err), CVM_E_INTERNAL);
    assert_int_equal(cvm_db_exec(db, "SELECT 1; SELECT 2", NULL, 0, NULL, &err), CVM_E_INTERNAL);
    assert_int_equal(cvm_db_exec(db, "SELECT $1", NULL, 0, NULL, &err), CVM_E_INTERNAL);
    assert_int_equal(cvm_db_exec(db, "SELECT 1", &value, 1, NULL, &err), CVM_E_INTERNAL);
    assert_int_equal(cvm_db_exec(db, "SELECT * FROM nowhere", NULL, 0, NULL, &err), CVM_E_INTERNAL);
    assert_non_null(strstr(err.message, "nowhere"));
    cvm_store_close(store);
}

struct stopping {
    struct cvm_db *db;
    int rows;
    int stop_at;
};

static enum cvm_status stop(void *state, const struct cvm_db_value *columns, size_t column_count,
                            struct cvm_error *err)
{
    struct stopping *stopping = state;
    (void)columns;
    (void)column_count;
    if (++stopping->rows == stopping->stop_at) {
        return CVM_FAIL(err, CVM_E_TIMEOUT, "enough");
    }
    return CVM_OK;
}

static const char ten_rows[] =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n";

static void a_query_stops_with_the_status_of_its_row(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_error err = {0};
    struct stopping stopping = {.stop_at = 3};
    assert_int_equal(cvm_db_query(db, ten_rows, NULL, 0, stop, &stopping, &err), CVM_E_TIMEOUT);
    assert_int_equal(stopping.rows, 3);
    assert_string_equal(err.message, "enough");
    stopping = (struct stopping){0};
    ASSERT_OK(cvm_db_query(db, ten_rows, NULL, 0, stop, &stopping, ERR));
    assert_int_equal(stopping.rows, 10);
    cvm_store_close(store);
}

static enum cvm_status query_again(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct stopping *outer = state;
    struct stopping inner = {0};
    (void)columns;
    (void)column_count;
    enum cvm_status status = cvm_db_query(outer->db, ten_rows, NULL, 0, stop, &inner, err);
    assert_int_equal(inner.rows, 10);
    outer->rows++;
    return status;
}

static void the_same_statement_may_run_inside_itself(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct stopping outer = {.db = cvm_store_db(store)};
    ASSERT_OK(cvm_db_query(outer.db, ten_rows, NULL, 0, query_again, &outer, ERR));
    assert_int_equal(outer.rows, 10);
    cvm_store_close(store);
}

static void a_text_that_changes_at_one_address_is_another_statement(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    char sql[32];
    for (int i = 0; i < 400; i++) { /* more than are kept */
        (void)snprintf(sql, sizeof(sql), "SELECT %d", i);
        assert_int_equal(support_number(db, sql), i);
    }
    static char many[400][32];
    for (int i = 0; i < 400; i++) {
        (void)snprintf(many[i], sizeof(many[i]), "SELECT %d", i);
        assert_int_equal(support_number(db, many[i]), i);
    }
    cvm_store_close(store);
}

static void cursors_of_one_statement_walk_alone_and_end_once(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_cursor *a = NULL;
    struct cvm_db_cursor *b = NULL;
    const struct cvm_db_value *columns = NULL;
    ASSERT_OK(cvm_db_scan(db, ten_rows, NULL, 0, &a, ERR));
    for (int i = 1; i <= 5; i++) {
        ASSERT_OK(cvm_db_cursor_next(a, &columns, ERR));
        assert_int_equal(columns[0].integer, i);
    }
    ASSERT_OK(cvm_db_scan(db, ten_rows, NULL, 0, &b, ERR));
    ASSERT_OK(cvm_db_cursor_next(b, &columns, ERR));
    assert_int_equal(columns[0].integer, 1);
    for (int i = 6; i <= 10; i++) {
        ASSERT_OK(cvm_db_cursor_next(a, &columns, ERR));
        assert_int_equal(columns[0].integer, i);
    }
    for (int i = 0; i < 3; i++) {
        ASSERT_OK(cvm_db_cursor_next(a, &columns, ERR));
        assert_null(columns);
    }
    cvm_db_cursor_close(a);
    cvm_db_cursor_close(b);
    cvm_db_cursor_close(NULL);
    cvm_store_close(store);
}

static void a_cursor_keeps_its_own_copy_of_the_values(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_cursor *cursor = NULL;
    const struct cvm_db_value *columns = NULL;
    char text[] = "before";
    struct cvm_db_value value = cvm_db_text(text);
    ASSERT_OK(cvm_db_scan(db, "SELECT $1", &value, 1, &cursor, ERR));
    memcpy(text, "after!", sizeof(text));
    ASSERT_OK(cvm_db_cursor_next(cursor, &columns, ERR));
    assert_string_equal(columns[0].bytes.data, "before");
    cvm_db_cursor_close(cursor);
    cvm_store_close(store);
}

struct loading {
    int64_t next;
    int64_t last;
    int64_t fail_at;
};

static enum cvm_status next_row(void *state, struct cvm_db_value *params, size_t param_count,
                                bool *out_has_row, struct cvm_error *err)
{
    struct loading *loading = state;
    assert_int_equal(param_count, 3);
    if (loading->next == loading->fail_at) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "bad row");
    }
    *out_has_row = loading->next <= loading->last;
    params[0] = cvm_db_text("bulk");
    params[1] = cvm_db_text("p");
    params[2] = cvm_db_int(loading->next++);
    return CVM_OK;
}

static const char load_sql[] =
    "INSERT INTO ledger (constraint_id, period, granted, held, confirmed) "
    "VALUES ($1, $2 || CAST(CAST($3 AS BIGINT) AS TEXT), $3, 0, 0)";

static void a_bulk_load_takes_all_rows_or_says_why_not(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_error err = {0};
    struct loading loading = {.next = 1, .last = 1000};
    int64_t rows = 0;
    support_begin(store);
    ASSERT_OK(cvm_db_bulk_load(db, load_sql, 3, next_row, &loading, &rows, ERR));
    support_commit(store);
    assert_int_equal(rows, 1000);
    assert_int_equal(cvm_db_counts_of(db).rows_loaded, 1000);

    loading = (struct loading){.next = 2000, .last = 3000, .fail_at = 2010};
    support_begin(store);
    rows = -5;
    assert_int_equal(cvm_db_bulk_load(db, load_sql, 3, next_row, &loading, &rows, &err),
                     CVM_E_CORRUPT);
    assert_int_equal(rows, -5);
    assert_string_equal(err.message, "bad row");
    cvm_db_rollback(db);
    loading = (struct loading){.next = 1000, .last = 1001}; /* 1000 is there */
    support_begin(store);
    assert_int_equal(cvm_db_bulk_load(db, load_sql, 3, next_row, &loading, &rows, &err),
                     CVM_E_CONFLICT);
    cvm_db_rollback(db);
    assert_int_equal(support_number(db, "SELECT count(*) FROM ledger"), 1000);
    cvm_store_close(store);
}

static void a_reader_sees_one_moment_until_its_transaction_ends(void **state)
{
    (void)state;
    struct cvm_store *writer = support_fresh();
    if (!support_is_shared()) {
        cvm_store_close(writer);
        skip();
    }
    struct cvm_store *reader = support_open(CVM_DB_READ);
    ASSERT_OK(audit(cvm_store_db(writer), "a", ERR));
    support_begin(reader);
    ASSERT_OK(audit(cvm_store_db(writer), "b", ERR));
    assert_int_equal(audit_count(cvm_store_db(reader)), 1);
    support_begin(writer);
    ASSERT_OK(audit(cvm_store_db(writer), "c", ERR));
    support_commit(writer);
    ASSERT_OK(cvm_store_checkpoint(writer, ERR)); /* as far as the reader lets it */
    assert_int_equal(audit_count(cvm_store_db(reader)), 1);
    support_commit(reader);
    assert_int_equal(audit_count(cvm_store_db(reader)), 3);
    cvm_store_close(writer);
    assert_int_equal(audit_count(cvm_store_db(reader)), 3);
    cvm_store_close(reader);
}

static void a_reader_may_not_write(void **state)
{
    (void)state;
    struct cvm_store *writer = support_fresh();
    if (!support_is_shared()) {
        cvm_store_close(writer);
        skip();
    }
    struct cvm_store *reader = support_open(CVM_DB_READ);
    struct cvm_error err = {0};
    assert_int_equal(audit(cvm_store_db(reader), "a", &err), CVM_E_DENIED);
    cvm_store_close(reader);
    cvm_store_close(writer);
}

static void a_full_database_fails_the_transaction_and_nothing_of_it_stays(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    if (strncmp(support_url(), "sqlite:", 7) != 0) {
        cvm_store_close(store);
        skip();
    }
    ASSERT_OK(audit(db, "before", ERR));
    char limit[64];
    (void)snprintf(limit, sizeof(limit), "PRAGMA max_page_count = %lld",
                   (long long)support_number(db, "PRAGMA page_count") + 10);
    support_exec(db, limit);
    struct cvm_error err = {0};
    struct loading loading = {.next = 1, .last = 1000000};
    support_begin(store);
    assert_int_equal(cvm_db_bulk_load(db, load_sql, 3, next_row, &loading, NULL, &err),
                     CVM_E_UNAVAILABLE);
    assert_non_null(strstr(err.hint, "space"));
    /* Whether the database gave the transaction up or not: nothing may be committed alone. */
    enum cvm_status status = audit(db, "after", &err);
    if (status == CVM_OK) {
        cvm_db_rollback(db);
    } else {
        assert_int_equal(cvm_db_commit(db, &err), CVM_E_UNAVAILABLE);
    }
    assert_false(cvm_db_in_transaction(db));
    assert_int_equal(audit_count(db), 1);
    assert_int_equal(support_number(db, "SELECT count(*) FROM ledger"), 0);
    ASSERT_OK(audit(db, "later", ERR));
    cvm_store_close(store);
}

static void a_url_that_nobody_knows_is_refused_without_showing_a_password(void **state)
{
    (void)state;
    struct cvm_db *db = NULL;
    struct cvm_db_options options = {.access = CVM_DB_READ};
    struct cvm_error err = {0};
    assert_int_equal(cvm_db_open("oracle://me:secret@host/x", &options, &db, &err), CVM_E_INVALID);
    assert_null(strstr(err.message, "secret"));
    assert_non_null(strstr(err.message, "oracle"));
    assert_int_equal(cvm_db_open("cvm.db", &options, &db, &err), CVM_E_INVALID);
    assert_int_equal(cvm_db_open("", &options, &db, &err), CVM_E_INVALID);
    assert_int_equal(cvm_db_open("sqlite:", &options, &db, &err), CVM_E_INVALID);
    assert_null(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_statement_prepares_on_one_of_the_databases),
        cmocka_unit_test(integers_numbers_and_nulls_come_back_as_they_went_in),
        cmocka_unit_test(blobs_and_texts_come_back_byte_for_byte),
        cmocka_unit_test(a_rollback_leaves_nothing_and_a_commit_everything),
        cmocka_unit_test(a_light_transaction_is_rolled_back_and_kept_like_any_other),
        cmocka_unit_test(a_refused_statement_is_a_conflict_and_the_transaction_goes_on),
        cmocka_unit_test(faults_of_a_statement_are_errors_and_never_crashes),
        cmocka_unit_test(a_query_stops_with_the_status_of_its_row),
        cmocka_unit_test(the_same_statement_may_run_inside_itself),
        cmocka_unit_test(a_text_that_changes_at_one_address_is_another_statement),
        cmocka_unit_test(cursors_of_one_statement_walk_alone_and_end_once),
        cmocka_unit_test(a_cursor_keeps_its_own_copy_of_the_values),
        cmocka_unit_test(a_bulk_load_takes_all_rows_or_says_why_not),
        cmocka_unit_test(a_reader_sees_one_moment_until_its_transaction_ends),
        cmocka_unit_test(a_reader_may_not_write),
        cmocka_unit_test(a_full_database_fails_the_transaction_and_nothing_of_it_stays),
        cmocka_unit_test(a_url_that_nobody_knows_is_refused_without_showing_a_password),
    };
    return SUPPORT_RUN("db", tests);
}
