/* copy.h: all tables, every kind of value, broken off and taken up, and never two moments in one.
 */
#include "storage/copy.h"

#include <stdio.h>
#include <string.h>

#include "storage/copy_table.h"
#include "storage/db_sql.h"
#include "support/db_faulty.h"
#include "support/store_support.h"

#define CUSTOMERS 30000 /* more than one commit of a copy */

static struct cvm_arena *arena;

/* ---- two stores ---- */

static const struct cvm_store_options target_options = {
    .access = CVM_DB_WRITE,
    .may_create = true,
    .is_copy_target = true,
    .lock_wait_ms = 1000,
    .clock = {0},
};

static struct cvm_store *open_target(const char *url)
{
    struct cvm_store *store = NULL;
    struct cvm_store_options options = target_options;
    options.clock = cvm_clock_fixed(&support_now_ms);
    ASSERT_OK(cvm_store_open(url, &options, &store, ERR));
    return store;
}

/* What a store of this pass holds: extremes of every type in the columns that take them. */
static void fill(struct cvm_store *store, int customers)
{
    struct cvm_db *db = cvm_store_db(store);
    char sql[400];
    (void)snprintf(sql, sizeof(sql),
                   "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
                   "INSERT INTO customer (customer_key, customer_id, batch) "
                   "SELECT CAST(i AS BIGINT) * 1000000007, 'U' || CAST(i AS TEXT), 1 FROM n",
                   customers);
    support_exec(db, sql);
    support_exec(db, "INSERT INTO catalogue VALUES (1, 'd', 5, 'me', '')");
    support_exec(db, "INSERT INTO catalogue_file VALUES (1, 'a.yaml', ''), (1, 'b.yaml', 'ä''\"')");
    support_exec(db, "INSERT INTO batch (batch, state, catalogue_version, started_at, first_day) "
                     "VALUES (1, 'closed', 1, 5, -2147483648), (2, 'open', 1, 6, NULL)");
    support_exec(db, "INSERT INTO audit (at, who, action, object, why, before, after) "
                     "VALUES (1, 'me', 'plan', 'x', '', NULL, '{}')");
    support_exec(db, "INSERT INTO audit (at, who, action, object, why, before, after) "
                     "VALUES (2, 'me', 'plan', 'y', '', '', NULL)");
    support_exec(db, "INSERT INTO outcome_import (at, who, file) VALUES (1, 'me', 'f')");
    support_exec(db, "INSERT INTO outcome (run_id, customer_key, state, day, minutes, is_late, "
                     "outcome_import) VALUES ('r', 9223372036854775807, 2, -1, NULL, 0, 1), "
                     "('r', 2, 2, 0, 1e-320, 0, 1), "
                     "('r', 3, 2, 0, -1.7976931348623157e308, 1, 1), ('r', 4, 2, 0, 0.1, 0, 1)");
    /* SQLite keeps neither the sign of zero nor NaN. */
    support_exec(db,
                 support_words("INSERT INTO outcome (run_id, customer_key, state, day, minutes, "
                               "is_late, outcome_import) VALUES ('z', 1, 2, 0, -0.0, 0, 1)",
                               "INSERT INTO outcome (run_id, customer_key, state, day, minutes, "
                               "is_late, outcome_import) VALUES "
                               "('z', 1, 2, 0, CAST('-0' AS DOUBLE PRECISION), 0, 1), "
                               "('z', 2, 2, 0, CAST('NaN' AS DOUBLE PRECISION), 0, 1)"));
    support_exec(db, support_words("INSERT INTO household_part VALUES (1, x''), (2, x'00ff00')",
                                   "INSERT INTO household_part VALUES (1, ''), (2, '\\x00ff00')"));
    support_exec(db, support_words("INSERT INTO erased VALUES (1, 2, x'6d', 1, 'me', 'asked')",
                                   "INSERT INTO erased VALUES (1, 2, 'm', 1, 'me', 'asked')"));
}

static enum cvm_status copy(struct cvm_store *source, struct cvm_store *target, bool starts_anew,
                            struct cvm_copy_report *report, struct cvm_error *err)
{
    struct cvm_context context = {.clock = cvm_clock_fixed(&support_now_ms)};
    struct cvm_copy_options options = {.who = "me",
                                       .source_shown = "sqlite:source.db",
                                       .starts_anew = starts_anew,
                                       .context = &context};
    return cvm_store_copy(source, target, &options, arena, report, err);
}

static int setup(void **state)
{
    (void)state;
    arena = cvm_arena_create((size_t)16 << 20);
    return arena == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    cvm_arena_destroy(arena);
    return 0;
}

/* ---- the list ---- */

struct listed {
    struct cvm_db *db;
    int count;
};

static enum cvm_status look_up(void *state, const struct cvm_db_value *columns, size_t column_count,
                               struct cvm_error *err)
{
    struct listed *listed = state;
    const char *name = cvm_db_string(&columns[0]);
    bool is_known = false;
    (void)column_count;
    (void)err;
    for (size_t i = 0; cvm_copy_moved[i].name != NULL; i++) {
        is_known = is_known || strcmp(cvm_copy_moved[i].name, name) == 0;
    }
    for (size_t i = 0; cvm_copy_left[i] != NULL; i++) {
        is_known = is_known || strcmp(cvm_copy_left[i], name) == 0;
    }
    if (!is_known) {
        fail_msg("table '%s' is new: list it in copy_table.c, to be copied or left", name);
    }
    listed->count++;
    return CVM_OK;
}

static void every_table_of_the_schema_is_copied_or_left_on_purpose(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct listed listed = {.db = cvm_store_db(store)};
    struct cvm_copy_plan plans[CVM_COPY_TABLES_MAX];
    size_t count = 0;
    ASSERT_OK(cvm_db_query(listed.db, cvm_db_sql(listed.db, CVM_SQL_TABLE_LIST), NULL, 0, look_up,
                           &listed, ERR));
    assert_true(listed.count > 25);
    /* And each that is listed is there, with columns and a key. */
    ASSERT_OK(cvm_copy_plan_all(listed.db, arena, plans, &count, ERR));
    assert_true(count > 25);
    cvm_store_close(store);
}

/* ---- whole copies ---- */

static void every_kind_of_value_comes_over_and_back(void **state)
{
    struct cvm_copy_report there;
    struct cvm_copy_report back;
    char first[400];
    (void)state;
    struct cvm_store *source = support_fresh();
    fill(source, 10);
    (void)snprintf(first, sizeof(first), "%s", support_file_url("first"));
    struct cvm_store *target = open_target(first);
    ASSERT_OK(copy(source, target, false, &there, ERR));
    ASSERT_OK(cvm_copy_end(target, ERR));
    assert_true(there.is_verified && !there.was_resumed);
    cvm_store_close(source);
    source = support_fresh(); /* empty: where it came from */
    ASSERT_OK(copy(target, source, false, &back, ERR));
    ASSERT_OK(cvm_copy_end(source, ERR));
    assert_true(back.is_verified);
    assert_int_equal(back.table_count, there.table_count);
    for (size_t i = 0; i < back.table_count; i++) {
        assert_string_equal(back.tables[i].source.digest, there.tables[i].source.digest);
    }
    /* Numbers that the database gives go on. */
    struct cvm_db *db = cvm_store_db(source);
    support_exec(db,
                 "INSERT INTO audit (at, who, action, object, why) VALUES (3, 'me', 'a', 'z', '')");
    assert_int_equal(support_number(db, "SELECT max(audit_id) FROM audit"), 3);
    support_exec(db, "INSERT INTO outcome_import (at, who, file) VALUES (2, 'me', 'g')");
    assert_int_equal(support_number(db, "SELECT max(outcome_import) FROM outcome_import"), 2);
    cvm_store_close(source);
    cvm_store_close(target);
}

static void a_copy_is_as_old_as_its_source(void **state)
{
    struct cvm_copy_report report;
    int64_t before = 0;
    int64_t after = 0;
    (void)state;
    struct cvm_store *source = support_fresh();
    support_now_ms += 1000;
    struct cvm_store *target = open_target(support_file_url("age"));
    ASSERT_OK(copy(source, target, false, &report, ERR));
    ASSERT_OK(cvm_store_created_ms(source, &before, ERR));
    ASSERT_OK(cvm_store_created_ms(target, &after, ERR));
    assert_int_equal(before, after);
    cvm_store_close(target);
    cvm_store_close(source);
}

/* ---- broken off ---- */

static void a_copy_that_has_not_ended_is_opened_by_nobody_else(void **state)
{
    struct cvm_copy_report report;
    struct cvm_error err = {0};
    char url[400];
    (void)state;
    struct cvm_store *source = support_fresh();
    (void)snprintf(url, sizeof(url), "%s", support_file_url("half"));
    struct cvm_store *target = open_target(url);
    ASSERT_OK(copy(source, target, false, &report, ERR));
    cvm_store_close(target);
    for (int access = CVM_DB_READ; access <= CVM_DB_WRITE; access++) {
        struct cvm_store_options options = {.access = (enum cvm_db_access)access,
                                            .clock = cvm_clock_fixed(&support_now_ms)};
        assert_int_equal(cvm_store_open(url, &options, &target, &err), CVM_E_CONFLICT);
        assert_non_null(strstr(err.message, "broken off"));
        assert_non_null(strstr(err.hint, "cvm copy"));
    }
    target = open_target(url);
    ASSERT_OK(copy(source, target, false, &report, ERR));
    assert_true(report.was_resumed && report.is_verified);
    ASSERT_OK(cvm_copy_end(target, ERR));
    cvm_store_close(target);
    cvm_store_close(support_open_url(url, CVM_DB_READ, false));
    cvm_store_close(source);
}

struct stopping {
    atomic_bool is_cancelled;
    int64_t at_rows;
};

static void stop_at(void *state, const char *stage, double fraction, int64_t rows)
{
    struct stopping *stopping = state;
    (void)fraction;
    if (strcmp(stage, "customer") == 0 && rows >= stopping->at_rows) {
        atomic_store(&stopping->is_cancelled, true);
    }
}

/* In the second part of the customers. */
static void break_off(struct cvm_store *source, struct cvm_store *target)
{
    struct stopping stopping = {.at_rows = CUSTOMERS};
    struct cvm_error err = {0};
    struct cvm_copy_report report;
    struct cvm_context context = {.clock = cvm_clock_fixed(&support_now_ms),
                                  .cancelled = &stopping.is_cancelled};
    struct cvm_copy_options options = {.who = "me",
                                       .source_shown = "",
                                       .context = &context,
                                       .on_progress = stop_at,
                                       .progress_state = &stopping};
    assert_int_equal(cvm_store_copy(source, target, &options, arena, &report, &err), CVM_E_TIMEOUT);
    struct cvm_db *db = cvm_store_db(target);
    assert_int_equal(support_number(db, "SELECT count(*) FROM customer"), 20000);
    assert_int_equal(support_number(db, "SELECT rows FROM store_copy"), 20000);
}

static void a_copy_goes_on_behind_its_last_commit(void **state)
{
    struct cvm_copy_report report;
    (void)state;
    struct cvm_store *source = support_fresh();
    fill(source, CUSTOMERS);
    struct cvm_store *target = open_target(support_file_url("on"));
    break_off(source, target);
    ASSERT_OK(copy(source, target, false, &report, ERR));
    assert_true(report.was_resumed && report.is_verified);
    assert_int_equal(support_number(cvm_store_db(target), "SELECT count(*) FROM customer"),
                     CUSTOMERS);
    cvm_store_close(target);
    cvm_store_close(source);
}

static void a_source_that_changed_meanwhile_is_not_mixed_in(void **state)
{
    struct cvm_copy_report report;
    struct cvm_error err = {0};
    (void)state;
    struct cvm_store *source = support_fresh();
    fill(source, CUSTOMERS);
    struct cvm_store *target = open_target(support_file_url("changed"));
    break_off(source, target);
    support_exec(cvm_store_db(source), "UPDATE batch SET state = 'closed' WHERE batch = 2");
    assert_int_equal(copy(source, target, false, &report, &err), CVM_E_CONFLICT);
    assert_non_null(strstr(err.message, "has changed"));
    ASSERT_OK(copy(source, target, true, &report, ERR));
    assert_true(!report.was_resumed && report.is_verified);
    cvm_store_close(target);
    cvm_store_close(source);
}

static void a_row_that_was_altered_in_the_half_copy_is_found_and_its_table_named(void **state)
{
    struct cvm_copy_report report;
    (void)state;
    struct cvm_store *source = support_fresh();
    fill(source, CUSTOMERS);
    struct cvm_store *target = open_target(support_file_url("altered"));
    break_off(source, target);
    support_exec(cvm_store_db(target),
                 "UPDATE customer SET customer_id = 'V7' WHERE customer_id = 'U7'");
    ASSERT_OK(copy(source, target, false, &report, ERR));
    assert_false(report.is_verified);
    for (size_t i = 0; i < report.table_count; i++) {
        assert_int_equal(report.tables[i].is_equal, strcmp(report.tables[i].name, "customer") != 0);
    }
    ASSERT_OK(copy(source, target, true, &report, ERR));
    assert_true(report.is_verified);
    cvm_store_close(target);
    cvm_store_close(source);
}

static void whatever_call_fails_the_next_copy_is_whole(void **state)
{
    struct cvm_copy_report report;
    enum cvm_status status = CVM_E_UNAVAILABLE;
    (void)state;
    struct cvm_store *source = support_fresh();
    fill(source, 3);
    for (int64_t fail_at = 1; status != CVM_OK; fail_at += 11) {
        struct db_faults faults = {.fail_at = fail_at, .loses_transaction = fail_at % 2 == 0};
        struct cvm_error err = {0};
        struct cvm_store *target = open_target(support_file_url("fault"));
        db_faulty_wrap(target, false, &faults);
        status = copy(source, target, false, &report, &err);
        status = status == CVM_OK ? cvm_copy_end(target, &err) : status;
        assert_true(status == CVM_OK || status == CVM_E_UNAVAILABLE);
        if (status != CVM_OK) {
            faults.fail_at = 0;
            ASSERT_OK(copy(source, target, false, &report, ERR));
            ASSERT_OK(cvm_copy_end(target, ERR));
        }
        assert_true(report.is_verified);
        cvm_store_close(target);
    }
    cvm_store_close(source);
}

/* ---- other targets ---- */

static void a_target_that_holds_anything_else_is_refused_and_left_alone(void **state)
{
    struct cvm_copy_report report;
    struct cvm_error err = {0};
    (void)state;
    struct cvm_store *source = support_fresh();
    fill(source, 10);
    struct cvm_store *target = open_target(support_file_url("other"));
    support_exec(cvm_store_db(target), "INSERT INTO source (source, name) VALUES (1, 'mine')");
    for (int anew = 0; anew < 2; anew++) {
        assert_int_equal(copy(source, target, anew == 1, &report, &err), CVM_E_CONFLICT);
        assert_non_null(strstr(err.message, "a store already"));
    }
    assert_int_equal(support_number(cvm_store_db(target), "SELECT count(*) FROM source"), 1);
    cvm_store_close(target);
    cvm_store_close(source);
}

/* Without what the newest schema change made. */
static void make_older(struct cvm_store *store)
{
    support_exec(cvm_store_db(store), "DROP TABLE broker_offset");
    support_exec(cvm_store_db(store), "DELETE FROM migration WHERE number >= 11");
}

static void an_older_store_taken_for_an_empty_target_is_not_brought_up_to_date(void **state)
{
    struct cvm_error err = {0};
    char url[400];
    (void)state;
    (void)snprintf(url, sizeof(url), "%s", support_file_url("older"));
    struct cvm_store *store = open_target(url);
    make_older(store);
    cvm_store_close(store);
    store = open_target(url); /* made and never used: it is */
    support_exec(cvm_store_db(store), "INSERT INTO audit (at, who, action, object, why) "
                                      "VALUES (1, 'me', 'plan', 'x', '')");
    make_older(store);
    cvm_store_close(store);
    struct cvm_store_options options = target_options;
    options.clock = cvm_clock_fixed(&support_now_ms);
    assert_int_equal(cvm_store_open(url, &options, &store, &err), CVM_E_CONFLICT);
    assert_non_null(strstr(err.message, "older cvm"));
}

static void a_copy_that_has_ended_is_not_touched_again(void **state)
{
    struct cvm_copy_report report;
    struct cvm_error err = {0};
    (void)state;
    struct cvm_store *source = support_fresh();
    fill(source, 10);
    struct cvm_store *target = open_target(support_file_url("ended"));
    ASSERT_OK(copy(source, target, false, &report, ERR));
    ASSERT_OK(cvm_copy_end(target, ERR));
    for (int anew = 0; anew < 2; anew++) {
        assert_int_equal(copy(source, target, anew == 1, &report, &err), CVM_E_CONFLICT);
        assert_non_null(strstr(err.message, "has ended"));
    }
    cvm_store_close(target);
    cvm_store_close(source);
}

static void a_half_copy_of_another_store_is_refused(void **state)
{
    struct cvm_copy_report report;
    struct cvm_error err = {0};
    (void)state;
    struct cvm_store *source = support_fresh();
    struct cvm_store *target = open_target(support_file_url("strange"));
    ASSERT_OK(copy(source, target, false, &report, ERR));
    support_exec(cvm_store_db(source), "UPDATE migration SET applied_at = applied_at + 1");
    assert_int_equal(copy(source, target, false, &report, &err), CVM_E_CONFLICT);
    assert_non_null(strstr(err.message, "another store"));
    cvm_store_close(target);
    cvm_store_close(source);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_table_of_the_schema_is_copied_or_left_on_purpose,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(every_kind_of_value_comes_over_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_is_as_old_as_its_source, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_that_has_not_ended_is_opened_by_nobody_else, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_copy_goes_on_behind_its_last_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_that_changed_meanwhile_is_not_mixed_in, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_row_that_was_altered_in_the_half_copy_is_found_and_its_table_named, setup, teardown),
        cmocka_unit_test_setup_teardown(whatever_call_fails_the_next_copy_is_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_target_that_holds_anything_else_is_refused_and_left_alone,
                                        setup, teardown),
        cmocka_unit_test(an_older_store_taken_for_an_empty_target_is_not_brought_up_to_date),
        cmocka_unit_test_setup_teardown(a_copy_that_has_ended_is_not_touched_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_half_copy_of_another_store_is_refused, setup, teardown),
    };
    return SUPPORT_RUN("copy", tests);
}
