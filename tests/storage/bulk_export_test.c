/* All rows in the order of their cursors, one at a time; what a database that fails does to a walk;
 * the same values in both formats. */
#include "storage/bulk_export.h"

#include <string.h>

#include "support/db_faulty.h"
#include "support/store_support.h"

#define FAULTS_MAX 200

static const struct cvm_bulk_request everything = {
    .first_day = INT32_MIN, .last_day = INT32_MAX, .since_ms = INT64_MIN, .until_ms = INT64_MAX};

/* Three customers, one without anything known; two runs, one of which is being built. */
static void fill(struct cvm_store *store)
{
    static const char *const statements[] = {
        "INSERT INTO source (source, name) VALUES (1, 'register')",
        "INSERT INTO batch (batch, state, catalogue_version, started_at, who) "
        "VALUES (1, 'closed', 1, 5, ''), (2, 'retracted', 1, 6, ''), (3, 'open', 1, 7, '')",
        "INSERT INTO customer (customer_key, customer_id, batch) "
        "VALUES (10, 'A', 1), (20, 'B', 1), (30, 'C', 1), (40, 'gone', 2), (50, 'erased-1', 0)",
        "INSERT INTO event (customer_key, day, source, identity, version, second, batch, content, "
        "attributes, key_id) VALUES "
        "(10, -2147483648, 1, 1, 1, 0, 1, 1, '{\"a\":1}', 0), "
        "(10, -2147483648, 1, 1, 2, 0, 1, 2, '{\"a\":2}', 0), "
        "(10, -2147483648, 1, 1, 3, 0, 3, 3, '{\"a\":3}', 0), "
        "(10, -2147483648, 1, 2, 1, 0, 1, 4, '{}', 0), "
        "(10, -2147483648, 1, 3, 1, 0, 1, 5, '{\"b\":\"x\"}', 0), "
        "(10, 19000, 1, 4, 1, 0, 1, 6, '{\"dated\":1}', 0), "
        "(30, -2147483648, 1, 1, 1, 0, 1, 7, '{\"c\":1}', 0)",
        "INSERT INTO consent (customer_key, version, source, batch, content, recorded, granted, "
        "updated_day, quiet_start_min, quiet_end_min, preferred_time, language, key_id) VALUES "
        "(10, 1, 1, 1, 1, 3, 3, 19000, -1, -1, 0, '', 0), "
        "(10, 2, 1, 1, 2, 3, 1, 19001, 60, 120, 0, 'en', 0), "
        "(10, 3, 1, 3, 3, 3, 0, 19002, 60, 120, 0, 'en', 0)",
        "INSERT INTO run (run_id, request, state, epoch, as_of_day, seed, catalogue_version, "
        "last_batch, options, created_at) VALUES "
        "('r1', 'q1', 'done', 1, 19000, 1, 1, 1, '{}', 1), "
        "('r2', 'q2', 'running', 1, 19001, 1, 1, 1, '{}', 2), "
        "('r3', 'q3', 'done', 1, 19002, 1, 1, 1, '{}', 3)",
        "INSERT INTO plan (run_id, state, decisions, value, dual_bound, spend_micro, changed_at) "
        "VALUES ('r1', 'released', 1, 0.0, 0.0, 0, 1), ('r2', 'building', 0, 0.0, 0.0, 0, 1), "
        "('r3', 'recalled', 2, 0.0, 0.0, 0, 1)",
        "INSERT INTO decision (run_id, customer_key, customer_id, treatment, value, sd, price, "
        "cost_micro, incentive_micro, reason, arm, selection_probability, ghost, state) VALUES "
        "('r1', 10, 'A', 't', 1.5, 0.5, 0.0, 10, 0, 0, 'treated', 1.0, 0, 0), "
        "('r2', 10, 'A', 't', 1.5, 0.5, 0.0, 10, 0, 0, 'treated', 1.0, 0, 0), "
        "('r3', 10, 'A', 't', 1.5, 0.5, 0.0, 10, 0, 0, 'treated', 1.0, 0, 0), "
        "('r3', 20, 'B', 't', 1.5, 0.5, 0.0, 10, 0, 0, 'treated', 1.0, 0, 2)",
        "INSERT INTO audit (at, who, action, object, why, before, after) VALUES "
        "(1, 'me', 'plan', 'x, \"y\"', '', NULL, '{\"n\":1}'), (2, 'me', 'plan', '', 'w', NULL, "
        "NULL)",
    };
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        support_exec(cvm_store_db(store), statements[i]);
    }
}

static void open_filled(struct cvm_store **out_store)
{
    struct cvm_store *store = support_fresh();
    fill(store);
    cvm_store_close(store);
    *out_store = support_open(CVM_DB_READ);
}

/* The rows behind request->after as lines of CSV; *out_text is a failure's as far as it came. */
static enum cvm_status walk(struct cvm_store *store, const struct cvm_bulk_request *request,
                            struct cvm_text *out_text, struct cvm_error *err)
{
    const struct cvm_db_value *columns = NULL;
    struct cvm_bulk_walk *bulk = NULL;
    struct cvm_text scratch;
    cvm_text_init(&scratch, 0);
    cvm_text_clear(out_text);
    enum cvm_status status = cvm_bulk_open(store, request, &bulk, err);
    if (status == CVM_OK) {
        status = cvm_bulk_next(bulk, &columns, err);
    }
    while (status == CVM_OK && columns != NULL) {
        cvm_members_write_line(cvm_bulk_members(request->kind), columns, &scratch, out_text);
        status = cvm_bulk_next(bulk, &columns, err);
    }
    cvm_bulk_close(bulk);
    cvm_text_finish(&scratch);
    return status;
}

static const char *const whole[] = {
    [CVM_BULK_CUSTOMERS] =
        "A,1,2022-01-09,01:00,02:00,any,en,\"[\"\"call outbound marketing\"\"]\","
        "\"[\"\"call outbound service\"\"]\",\"{\"\"a\"\":2,\"\"b\"\":\"\"x\"\"}\"\n"
        "B,1,,,,,,,,{}\n"
        "C,1,,,,,,,,\"{\"\"c\"\":1}\"\n",
    [CVM_BULK_DECISIONS] =
        "r1.000000000000000a,A,r1,2022-01-08,t,,,,,treated,,false,released,1.5,0.5,0,0,1,0.00001,"
        "0,,,,\n"
        "r3.000000000000000a,A,r3,2022-01-10,t,,,,,treated,,false,withdrawn,1.5,0.5,0,0,1,0.00001,"
        "0,,,,\n"
        "r3.0000000000000014,B,r3,2022-01-10,t,,,,,treated,,false,sent,1.5,0.5,0,0,1,0.00001,0,,,,"
        "\n",
    [CVM_BULK_AUDIT] = ("1,1970-01-01T00:00:00Z,me,plan,\"x, \"\"y\"\"\",,,\"{\"\"n\"\":1}\"\n"
                        "2,1970-01-01T00:00:00Z,me,plan,,w,,\n"),
};

static void what_counts_is_given_in_the_order_of_its_cursor(void **state)
{
    struct cvm_store *store = NULL;
    struct cvm_text text;
    (void)state;
    if (!support_is_shared()) {
        skip();
    }
    cvm_text_init(&text, 0);
    open_filled(&store);
    for (int kind = CVM_BULK_CUSTOMERS; kind <= CVM_BULK_AUDIT; kind++) {
        struct cvm_bulk_request request = everything;
        request.kind = (enum cvm_bulk_kind)kind;
        ASSERT_OK(walk(store, &request, &text, ERR));
        assert_string_equal(cvm_text_string(&text), whole[kind]);
    }
    cvm_text_finish(&text);
    cvm_store_close(store);
}

static void a_walk_goes_on_behind_any_row(void **state)
{
    struct cvm_store *store = NULL;
    const struct cvm_db_value *columns = NULL;
    char cursor[CVM_BULK_CURSOR_SIZE];
    struct cvm_text text;
    (void)state;
    if (!support_is_shared()) {
        skip();
    }
    cvm_text_init(&text, 0);
    open_filled(&store);
    for (int kind = CVM_BULK_CUSTOMERS; kind <= CVM_BULK_AUDIT; kind++) {
        struct cvm_bulk_request request = everything;
        struct cvm_bulk_walk *bulk = NULL;
        request.kind = (enum cvm_bulk_kind)kind;
        const char *rest = whole[kind];
        while (rest[0] != '\0') {
            ASSERT_OK(cvm_bulk_open(store, &request, &bulk, ERR));
            ASSERT_OK(cvm_bulk_next(bulk, &columns, ERR));
            assert_non_null(columns);
            (void)cvm_bulk_cursor(bulk, cursor);
            cvm_bulk_close(bulk);
            rest = strchr(rest, '\n') + 1;
            request.after = cursor;
            ASSERT_OK(walk(store, &request, &text, ERR));
            assert_string_equal(cvm_text_string(&text), rest);
        }
    }
    cvm_text_finish(&text);
    cvm_store_close(store);
}

static void what_is_no_cursor_is_invalid_and_nothing_is_open(void **state)
{
    static const char *const wrong[] = {"", "x", "-1", "99999999999999999999", "0x1", "r1.", ".a"};
    struct cvm_store *store = support_fresh();
    (void)state;
    cvm_store_close(store);
    store = support_is_shared() ? support_open(CVM_DB_READ) : NULL;
    for (size_t i = 0; store != NULL && i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        for (int kind = CVM_BULK_CUSTOMERS; kind <= CVM_BULK_AUDIT; kind++) {
            struct cvm_bulk_request request = everything;
            struct cvm_bulk_walk *bulk = NULL;
            struct cvm_error err = {0};
            request.kind = (enum cvm_bulk_kind)kind;
            request.after = wrong[i];
            assert_int_equal(cvm_bulk_open(store, &request, &bulk, &err), CVM_E_INVALID);
            assert_null(bulk);
            assert_false(cvm_db_in_transaction(cvm_store_db(store)));
        }
    }
    cvm_store_close(store);
}

static void a_database_that_fails_ends_the_walk_with_its_error(void **state)
{
    struct cvm_text text;
    (void)state;
    if (!support_is_shared()) {
        skip();
    }
    cvm_text_init(&text, 0);
    struct cvm_store *store = NULL;
    open_filled(&store);
    cvm_store_close(store);
    for (int kind = CVM_BULK_CUSTOMERS; kind <= CVM_BULK_AUDIT; kind++) {
        enum cvm_status status = CVM_E_UNAVAILABLE;
        int64_t fail_at = 0;
        while (status != CVM_OK) {
            struct cvm_bulk_request request = everything;
            struct db_faults faults = {.fail_at = ++fail_at};
            struct cvm_error err = {0};
            request.kind = (enum cvm_bulk_kind)kind;
            assert_true(fail_at < FAULTS_MAX);
            store = support_open(CVM_DB_READ);
            db_faulty_wrap(store, false, &faults);
            status = walk(store, &request, &text, &err);
            assert_true(status == CVM_OK ||
                        (status == CVM_E_UNAVAILABLE && err.message[0] != '\0'));
            assert_false(cvm_db_in_transaction(cvm_store_db(store)));
            cvm_store_close(store);
        }
        assert_string_equal(cvm_text_string(&text), whole[kind]);
        assert_true(fail_at > 3);
    }
    cvm_text_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_counts_is_given_in_the_order_of_its_cursor),
        cmocka_unit_test(a_walk_goes_on_behind_any_row),
        cmocka_unit_test(what_is_no_cursor_is_invalid_and_nothing_is_open),
        cmocka_unit_test(a_database_that_fails_ends_the_walk_with_its_error),
    };
    return support_run("bulk_export", tests, sizeof(tests) / sizeof(tests[0]));
}
