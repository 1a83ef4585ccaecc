/* The chain of the audit log: whatever is done to it afterwards is found and named. */
#include "storage/audit_chain.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/random.h"
#include "storage/db_sql.h"
#include "support/store_support.h"

#define ROWS       100000
#define GAP_BEFORE 50000 /* one number is left free here, for a row that is put in */

static struct cvm_signing_key key;

static void make_key(void)
{
    char path[100];
    (void)!snprintf(path, sizeof(path), "%s/audit.key", support_folder());
    (void)unlink(path);
    ASSERT_OK(cvm_signing_key_create(path, &key, ERR));
}

static struct cvm_audit_seal seal(struct cvm_store *store, bool is_signed)
{
    struct cvm_audit_seal sealed;
    ASSERT_OK(cvm_audit_seal(store, is_signed ? &key : NULL, &sealed, ERR));
    return sealed;
}

static struct cvm_audit_verdict verify(struct cvm_store *store, const char *expected)
{
    struct cvm_audit_verdict verdict;
    struct cvm_audit_check check = {.keys = &key.public_key, .key_count = 1, .expected = expected};
    ASSERT_OK(cvm_audit_verify(store, &check, &verdict, ERR));
    return verdict;
}

static void add(struct cvm_store *store, const char *object, const char *after)
{
    struct cvm_audit_row row = {
        .who = "cli:me", .action = "plan", .object = object, .why = "a test", .after = after};
    ASSERT_OK(cvm_audit_add(store, &row, ERR));
}

/* Rows with and without values before and after, and a free number in the middle. */
static void fill(struct cvm_store *store, int count)
{
    support_begin(store);
    for (int i = 1; i <= count; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "{\"number\":%d}", i);
        struct cvm_audit_row row = {
            .who = "cli:me",
            .action = "plan",
            .object = text,
            .why = i % 3 == 0 ? "" : "because",
            .before = i % 2 == 0 ? text : NULL,
            .after = i % 5 == 0 ? NULL : text,
        };
        if (i == GAP_BEFORE) {
            support_exec(cvm_store_db(store),
                         "INSERT INTO audit (audit_id, at, who, action, object, why) "
                         "SELECT max(audit_id) + 2, 1, 'a', 'b', 'c', 'd' FROM audit");
        }
        ASSERT_OK(cvm_audit_add(store, &row, ERR));
    }
    support_commit(store);
}

/* ---- one bit ---- */

struct cell {
    struct cvm_db_value value;
    unsigned char bytes[256];
};

static enum cvm_status read_cell(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct cell *cell = state;
    (void)column_count;
    (void)err;
    cell->value = columns[0];
    if (cell->value.type == CVM_DB_TEXT || cell->value.type == CVM_DB_BLOB) {
        assert_true(cell->value.bytes.length <= sizeof(cell->bytes));
        memcpy(cell->bytes, cell->value.bytes.data, cell->value.bytes.length);
        cell->value.bytes.data = cell->bytes;
    }
    return CVM_OK;
}

/* False where there is no bit to flip. */
static bool flip(struct cell *cell, struct cvm_random *random)
{
    if (cell->value.type == CVM_DB_INT) {
        cell->value.integer ^= INT64_C(1) << cvm_random_below(random, 62);
        return true;
    }
    if (cell->value.type == CVM_DB_NULL || cell->value.bytes.length == 0) {
        return false;
    }
    uint64_t bit = cvm_random_below(random, cell->value.bytes.length * 8);
    cell->bytes[bit / 8] ^= (unsigned char)(1U << (bit % 8));
    return true;
}

static bool flip_in(struct cvm_db *db, const char *table, const char *column, const char *where,
                    struct cvm_random *random)
{
    char sql[300];
    struct cell cell = {0};
    (void)snprintf(sql, sizeof(sql), "SELECT %s FROM %s WHERE %s", column, table, where);
    ASSERT_OK(cvm_db_query(db, sql, NULL, 0, read_cell, &cell, ERR));
    if (!flip(&cell, random)) {
        return false;
    }
    (void)snprintf(sql, sizeof(sql), "UPDATE %s SET %s = ?1 WHERE %s", table, column, where);
    int64_t changed = 0;
    ASSERT_OK(cvm_db_exec(db, sql, &cell.value, 1, &changed, ERR));
    assert_int_equal(changed, 1);
    return true;
}

/* A random row of which every column is tried, one at a time. */
static void flip_columns_of_a_row(struct cvm_store *store, struct cvm_random *random)
{
    static const char *const columns[][2] = {
        {"audit", "at"},
        {"audit", "who"},
        {"audit", "action"},
        {"audit", "object"},
        {"audit", "why"},
        {"audit", "before"},
        {"audit", "after"},
        {"audit", "audit_id"},
        {"audit_chain", "audit_id"},
        {"audit_chain", "salt"},
        {"audit_chain", "content"},
        {"audit_chain", "hash"},
        {"audit_chain", "position"},
    };
    struct cvm_db *db = cvm_store_db(store);
    for (size_t c = 0; c < sizeof(columns) / sizeof(columns[0]); c++) {
        char where[64];
        int64_t id = 1 + (int64_t)cvm_random_below(random, GAP_BEFORE - 2);
        (void)snprintf(where, sizeof(where), "audit_id = %lld", (long long)id);
        support_begin(store);
        /* A flipped number may be one that is taken: then the database itself refuses it. */
        bool is_number =
            strcmp(columns[c][1], "audit_id") == 0 || strcmp(columns[c][1], "position") == 0;
        bool is_flipped = true;
        if (is_number) {
            char sql[200];
            (void)snprintf(sql, sizeof(sql), "UPDATE %s SET %s = %s + 1048576 WHERE %s",
                           columns[c][0], columns[c][1], columns[c][1], where);
            support_exec(db, sql);
        } else {
            is_flipped = flip_in(db, columns[c][0], columns[c][1], where, random);
        }
        struct cvm_audit_verdict verdict = verify(store, NULL);
        if (is_flipped && verdict.audit_id != id) {
            fail_msg("%s.%s of row %lld: %s", columns[c][0], columns[c][1], (long long)id,
                     verdict.what);
        }
        assert_true(is_flipped == (verdict.fault != CVM_AUDIT_INTACT));
        cvm_db_rollback(db);
    }
}

static void flip_columns_of_a_checkpoint(struct cvm_store *store, struct cvm_random *random)
{
    static const char *const columns[] = {"rows", "hash", "at", "public_key", "signature"};
    struct cvm_db *db = cvm_store_db(store);
    for (size_t c = 0; c < sizeof(columns) / sizeof(columns[0]); c++) {
        support_begin(store);
        assert_true(flip_in(db, "audit_checkpoint", columns[c], "checkpoint = 2", random));
        struct cvm_audit_verdict verdict = verify(store, NULL);
        assert_int_equal(verdict.fault, CVM_AUDIT_CHECKPOINT);
        assert_int_equal(verdict.checkpoint, 2);
        cvm_db_rollback(db);
    }
}

struct tampering {
    const char *sql[3];
    enum cvm_audit_fault fault;
    int64_t audit_id;
};

static const struct tampering tamperings[] = {
    {{"DELETE FROM audit WHERE audit_id = 777"}, CVM_AUDIT_MISSING, 777},
    {{"DELETE FROM audit WHERE audit_id = 777", "DELETE FROM audit_chain WHERE audit_id = 777"},
     CVM_AUDIT_MISSING,
     777},
    {{"DELETE FROM audit_chain WHERE audit_id = 777"}, CVM_AUDIT_MISSING, 777},
    {{"DELETE FROM audit WHERE audit_id = 1", "DELETE FROM audit_chain WHERE audit_id = 1",
      "UPDATE audit_chain SET position = position - 1"},
     CVM_AUDIT_ALTERED,
     2},
    {{"UPDATE audit SET audit_id = 0 WHERE audit_id = 500",
      "UPDATE audit SET audit_id = 500 WHERE audit_id = 900",
      "UPDATE audit SET audit_id = 900 WHERE audit_id = 0"},
     CVM_AUDIT_ALTERED,
     500},
    {{"UPDATE audit_chain SET position = 0 WHERE audit_id = 500",
      "UPDATE audit_chain SET position = 500 WHERE audit_id = 900",
      "UPDATE audit_chain SET position = 900 WHERE audit_id = 500"},
     CVM_AUDIT_ALTERED,
     900},
    {{"INSERT INTO audit (audit_id, at, who, action, object, why) "
      "VALUES (50000, 1, 'a', 'b', 'c', 'd')"},
     CVM_AUDIT_INSERTED,
     50000},
    {{"INSERT INTO audit (audit_id, at, who, action, object, why) "
      "VALUES (-3, 1, 'a', 'b', 'c', 'd')"},
     CVM_AUDIT_INSERTED,
     -3},
    {{"DELETE FROM audit WHERE audit_id > 99000"}, CVM_AUDIT_MISSING, 99001},
    {{"DELETE FROM audit WHERE audit_id > 99000", "DELETE FROM audit_chain WHERE audit_id > 99000"},
     CVM_AUDIT_TRUNCATED,
     99001},
    {{"DELETE FROM audit_checkpoint WHERE checkpoint = 2"}, CVM_AUDIT_CHECKPOINT, 0},
};

static void any_change_among_100000_rows_is_found_and_named(void **state)
{
    (void)state;
    struct cvm_random random;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    cvm_random_init(&random, 2026);
    make_key();
    fill(store, ROWS - 2000);
    assert_true(seal(store, true).is_signed);
    for (int i = 0; i < 2; i++) {
        fill(store, 1000);
        (void)seal(store, true);
    }
    struct cvm_audit_verdict verdict = verify(store, NULL);
    assert_int_equal(verdict.fault, CVM_AUDIT_INTACT);
    assert_int_equal(verdict.rows, ROWS + 1);
    assert_int_equal(verdict.signed_rows, ROWS + 1);
    assert_int_equal(verdict.checkpoints, 3);
    flip_columns_of_a_row(store, &random);
    flip_columns_of_a_checkpoint(store, &random);
    for (size_t t = 0; t < sizeof(tamperings) / sizeof(tamperings[0]); t++) {
        support_begin(store);
        for (size_t s = 0; s < 3 && tamperings[t].sql[s] != NULL; s++) {
            support_exec(db, tamperings[t].sql[s]);
        }
        verdict = verify(store, NULL);
        if (verdict.fault != tamperings[t].fault || verdict.audit_id != tamperings[t].audit_id) {
            fail_msg("%s: %s, %s", tamperings[t].sql[0], cvm_audit_fault_name(verdict.fault),
                     verdict.what);
        }
        cvm_db_rollback(db);
    }
    cvm_store_close(store);
}

/* ---- parts side by side ---- */

static struct cvm_pool *pool;

static struct cvm_audit_verdict verify_in_parts(struct cvm_store *store, const char *expected)
{
    struct cvm_audit_verdict verdict;
    struct cvm_audit_check check = {
        .keys = &key.public_key, .key_count = 1, .expected = expected, .pool = pool};
    ASSERT_OK(cvm_audit_verify(store, &check, &verdict, ERR));
    return verdict;
}

static void assert_same_in_parts(struct cvm_store *store, const char *what, int64_t id)
{
    struct cvm_audit_verdict whole = verify(store, NULL);
    struct cvm_audit_verdict parts = verify_in_parts(store, NULL);
    if (whole.fault != parts.fault || whole.audit_id != parts.audit_id ||
        whole.position != parts.position || whole.checkpoint != parts.checkpoint ||
        whole.rows != parts.rows || whole.signed_rows != parts.signed_rows ||
        whole.erased != parts.erased || strcmp(whole.what, parts.what) != 0) {
        fail_msg("%s of row %lld: '%s' and '%s'", what, (long long)id, whole.what, parts.what);
    }
}

/* What is done and how it is undone again. */
static const char *const changes[][2] = {
    {"UPDATE audit SET who = who || '!' WHERE audit_id = %lld",
     "UPDATE audit SET who = substr(who, 1, length(who) - 1) WHERE audit_id = %lld"},
    {"UPDATE audit SET audit_id = audit_id + 1048576 WHERE audit_id = %lld",
     "UPDATE audit SET audit_id = audit_id - 1048576 WHERE audit_id = %lld + 1048576"},
    {"UPDATE audit_chain SET position = position + 1048576 WHERE audit_id = %lld",
     "UPDATE audit_chain SET position = position - 1048576 WHERE audit_id = %lld"},
    {"UPDATE audit_chain SET hash = content, content = hash WHERE audit_id = %lld",
     "UPDATE audit_chain SET hash = content, content = hash WHERE audit_id = %lld"},
};

static void change(struct cvm_store *store, const char *format, int64_t id)
{
    char sql[200];
    const char *number = strstr(format, "%lld");
    (void)snprintf(sql, sizeof(sql), "%.*s%lld%s", (int)(number - format), format, (long long)id,
                   number + 4);
    support_begin(store);
    support_exec(cvm_store_db(store), sql);
    support_commit(store);
}

static void parts_side_by_side_find_the_same_first_fault(void **state)
{
    (void)state;
    static const int64_t ids[] = {1, 6000, 6001, 12000, 12001, 18000};
    if (!support_is_shared()) {
        return;
    }
    struct cvm_store *store = support_fresh();
    make_key();
    ASSERT_OK(cvm_pool_create(3, &pool, ERR));
    fill(store, 12000);
    (void)seal(store, true);
    fill(store, 6000);
    struct cvm_audit_seal head = seal(store, true);
    assert_same_in_parts(store, "nothing", 0);
    assert_int_equal(verify_in_parts(store, head.head).fault, CVM_AUDIT_INTACT);
    assert_string_equal(verify_in_parts(store, NULL).head, head.head);
    for (size_t c = 0; c < sizeof(changes) / sizeof(changes[0]); c++) {
        for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
            change(store, changes[c][0], ids[i]);
            assert_same_in_parts(store, changes[c][0], ids[i]);
            assert_int_not_equal(verify_in_parts(store, NULL).fault, CVM_AUDIT_INTACT);
            change(store, changes[0][0], 17000); /* a later one changes nothing */
            assert_same_in_parts(store, changes[c][0], ids[i]);
            change(store, changes[0][1], 17000);
            change(store, changes[c][1], ids[i]);
        }
    }
    assert_int_equal(verify_in_parts(store, NULL).fault, CVM_AUDIT_INTACT);
    change(store, "UPDATE audit_checkpoint SET at = at + %lld WHERE checkpoint = 2", 1);
    assert_same_in_parts(store, "checkpoint", 2);
    cvm_pool_destroy(pool);
    cvm_store_close(store);
}

static void a_chain_that_was_made_anew_does_not_fit_what_was_signed(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    make_key();
    fill(store, 20);
    (void)seal(store, true);
    fill(store, 20);
    struct cvm_audit_seal head = seal(store, true);
    support_begin(store);
    support_exec(db, "UPDATE audit SET who = 'nobody' WHERE audit_id = 30");
    support_exec(db, "DELETE FROM audit_chain WHERE audit_id >= 30");
    (void)seal(store, false);
    struct cvm_audit_verdict verdict = verify(store, NULL);
    assert_int_equal(verdict.fault, CVM_AUDIT_ALTERED);
    assert_int_equal(verdict.checkpoint, 2);
    assert_int_equal(verdict.audit_id, 40);
    /* Without the checkpoint only a hash that is kept elsewhere tells. */
    support_exec(db, "DELETE FROM audit_checkpoint WHERE checkpoint = 2");
    assert_int_equal(verify(store, NULL).fault, CVM_AUDIT_INTACT);
    assert_int_equal(verify(store, head.head).fault, CVM_AUDIT_UNEXPECTED);
    cvm_db_rollback(db);
    assert_int_equal(verify(store, head.head).fault, CVM_AUDIT_INTACT);
    fill(store, 3);
    (void)seal(store, true);
    assert_int_equal(verify(store, head.head).fault, CVM_AUDIT_INTACT); /* still in it */
    cvm_store_close(store);
}

static void a_signature_of_another_key_is_refused(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    make_key();
    fill(store, 3);
    (void)seal(store, true);
    struct cvm_public_key first = key.public_key;
    make_key();
    struct cvm_audit_verdict verdict = verify(store, NULL);
    assert_int_equal(verdict.fault, CVM_AUDIT_CHECKPOINT);
    assert_int_equal(verdict.checkpoint, 1);
    assert_non_null(strstr(verdict.what, "another key"));
    fill(store, 3);
    (void)seal(store, true);
    struct cvm_public_key both[] = {key.public_key, first};
    struct cvm_audit_check check = {.keys = both, .key_count = 2};
    ASSERT_OK(cvm_audit_verify(store, &check, &verdict, ERR));
    assert_int_equal(verdict.fault, CVM_AUDIT_INTACT);
    cvm_store_close(store);
}

static void writers_do_not_wait_and_what_they_add_is_sealed_once(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    make_key();
    struct cvm_audit_verdict verdict = verify(store, NULL);
    assert_int_equal(verdict.fault, CVM_AUDIT_INTACT);
    assert_int_equal(verdict.rows, 0);
    fill(store, 2500);
    verdict = verify(store, NULL);
    assert_int_equal(verdict.unsealed, 2500);
    struct cvm_audit_seal sealed = seal(store, false);
    assert_int_equal(sealed.sealed, 2500);
    assert_false(sealed.is_signed);
    sealed = seal(store, true); /* the key came later */
    assert_int_equal(sealed.sealed, 0);
    assert_true(sealed.is_signed);
    assert_int_equal(sealed.checkpoints, 1);
    assert_int_equal(seal(store, true).checkpoints, 1); /* nothing new, nothing signed */
    verdict = verify(store, NULL);
    assert_int_equal(verdict.unsealed, 0);
    assert_int_equal(verdict.signed_rows, 2500);
    assert_string_equal(verdict.head, sealed.head);
    cvm_store_close(store);
}

static void erased_values_are_right_only_when_an_erasure_names_them(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    int64_t erased = 0;
    make_key();
    support_begin(store);
    add(store, "C1", "{\"secret\":1}");
    add(store, "C2", "{\"secret\":2}");
    support_commit(store);
    struct cvm_audit_seal before = seal(store, true);
    support_begin(store);
    add(store, "C1", "{\"secret\":3}"); /* not sealed yet when it is erased */
    struct cvm_audit_row note = {.who = "cli:me", .object = "customer 7", .why = "asked for it"};
    ASSERT_OK(cvm_audit_erase(store, "C1", NULL, &note, &erased, ERR));
    support_commit(store);
    assert_int_equal(erased, 2);
    assert_int_equal(support_number(db, "SELECT count(*) FROM audit WHERE object = 'C1'"), 0);
    assert_int_equal(support_number(db, "SELECT count(*) FROM audit WHERE after LIKE '%secret%'"),
                     1);
    (void)seal(store, true);
    struct cvm_audit_verdict verdict = verify(store, before.head);
    assert_int_equal(verdict.fault, CVM_AUDIT_INTACT);
    assert_int_equal(verdict.erased, 2);
    support_begin(store);
    ASSERT_OK(cvm_audit_erase(store, "C1", NULL, &note, &erased, ERR));
    assert_int_equal(erased, 0); /* twice is once */
    /* Cleared without an erasure, and with one that does not name it. */
    support_exec(db, "UPDATE audit SET object = '', after = NULL WHERE audit_id = 2");
    support_exec(db, "UPDATE audit_chain SET salt = NULL WHERE audit_id = 2");
    verdict = verify(store, NULL);
    assert_int_equal(verdict.fault, CVM_AUDIT_ALTERED);
    assert_int_equal(verdict.audit_id, 2);
    support_exec(db, "INSERT INTO audit_erasure VALUES (2, 4)");
    assert_int_equal(verify(store, NULL).audit_id, 2);
    cvm_db_rollback(db);
    /* Other values in place of the cleared ones. */
    support_begin(store);
    support_exec(db, "UPDATE audit SET after = 'x' WHERE audit_id = 1");
    assert_int_equal(verify(store, NULL).audit_id, 1);
    cvm_db_rollback(db);
    cvm_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_change_among_100000_rows_is_found_and_named),
        cmocka_unit_test(parts_side_by_side_find_the_same_first_fault),
        cmocka_unit_test(a_chain_that_was_made_anew_does_not_fit_what_was_signed),
        cmocka_unit_test(a_signature_of_another_key_is_refused),
        cmocka_unit_test(writers_do_not_wait_and_what_they_add_is_sealed_once),
        cmocka_unit_test(erased_values_are_right_only_when_an_erasure_names_them),
    };
    return SUPPORT_RUN("audit", tests);
}
