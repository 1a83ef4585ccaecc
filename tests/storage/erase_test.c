/* erase.h: whatever call to a database fails, a second erasure completes the first, and no file
 * tells of the customer any more. */
#include "storage/erase.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/db_faulty.h"
#include "support/import_support.h"
#include "support/store_support.h"

#include "base/file.h"
#include "base/json_writer.h"
#include "storage/customer_export.h"
#include "storage/vault.h"

#define ARENA_BYTES ((size_t)64 << 20)
#define FAULTS_MAX  200

static const char notes[] =
    "{\"customer_id\":\"Kunde-17\",\"date\":\"2024-03-01\",\"note\":\"Quill "
    "rang\",\"secret\":\"secret-Q1\"}\n"
    "{\"customer_id\":\"Kunde-17\",\"date\":\"2023-03-01\",\"note\":\"Quill "
    "wrote\",\"pin\":\"0815-4711\"}\n"
    "{\"customer_id\":\"Kunde-170\",\"date\":\"2024-03-01\",\"note\":\"Marsh "
    "rang\",\"secret\":\"secret-Q2\"}\n"
    "{\"customer_id\":\"Kunde-171\",\"date\":\"2024-03-01\",\"note\":\"Thorn rang\"}\n";

static char url[640];
static char master_key[640];

static struct cvm_store *open_store(bool may_create)
{
    struct cvm_store *store = NULL;
    struct cvm_store_options options = {
        .access = CVM_DB_WRITE,
        .may_create = may_create,
        .clock = cvm_clock_fixed(&support_now_ms),
        .privacy = {.master_key = master_key},
    };
    ASSERT_OK(cvm_store_open(url, &options, &store, ERR));
    return store;
}

/* One for each of two customers, with a step, a message and a letter. */
static void add_workflows(struct cvm_db *db)
{
    static const char *const ids[] = {"Kunde-17", "Kunde-170"};
    support_exec(db, "INSERT INTO workflow_definition VALUES ('d', 'w', 'w', 1)");
    for (size_t i = 0; i < 2; i++) {
        char sql[600];
        (void)snprintf(sql, sizeof(sql),
                       "INSERT INTO workflow (workflow_id, name, definition, state, "
                       "idempotency_key, input_digest, input, shards, partition_no, priority, "
                       "epoch, recovery_attempts, created_at, who) VALUES ('w%zu', 'w', 'd', "
                       "'running', 'ask %s', 'x', '{\"customer_id\":\"%s\"}', -1, 0, 0, 0, 0, 1, "
                       "'me')",
                       i, ids[i], ids[i]);
        support_exec(db, sql);
        (void)snprintf(sql, sizeof(sql),
                       "INSERT INTO step (workflow_id, step_no, shard_no, name, state, attempt, "
                       "attempt_max, epoch, is_news, output) VALUES ('w%zu', 0, 0, 's', 'done', 1, "
                       "1, 1, 0, '{\"of\":\"%s\"}')",
                       i, ids[i]);
        support_exec(db, sql);
        (void)snprintf(sql, sizeof(sql),
                       "INSERT INTO outbox (shard, message_id, destination, envelope, not_before, "
                       "created_at) VALUES (0, x'00', 'data', CAST('..{\"customer_id\":\"%s\"}' "
                       "AS BLOB), 0, 1)",
                       ids[i]);
        support_exec(db, sql);
        (void)snprintf(sql, sizeof(sql),
                       "INSERT INTO dead_letter (state, destination, message_id, shard, envelope, "
                       "error_class, error, attempts, first_at, last_at) VALUES ('waiting', 'x', "
                       "x'0%zu', 0, CAST('..\"%s\"' AS BLOB), 'poison', 'e', 1, 1, 1)",
                       i, ids[i]);
        support_exec(db, sql);
    }
}

/* A sealed store of three customers; the keys stand beside it. */
static void make_store(void)
{
    char keys[700];
    (void)snprintf(url, sizeof(url), "%s", support_file_url("erasure"));
    (void)snprintf(keys, sizeof(keys), "%s/erasure-keys.db", support_folder());
    (void)snprintf(master_key, sizeof(master_key), "%s/master.key", support_folder());
    (void)unlink(keys);
    (void)unlink(master_key);
    import_start();
    import_text("notes.ndjson", notes);
    ASSERT_OK(cvm_master_key_create(master_key, ERR));
    struct cvm_store *store = open_store(true);
    struct cvm_import_report report = import_run(store, &(struct import_settings){0});
    assert_int_equal(report.stored, 4);
    support_exec(cvm_store_db(store),
                 "INSERT INTO audit (at, who, action, object, why, before, after) VALUES "
                 "(1, 'me', 'consent', 'Kunde-17', '', '{\"a\":1}', '{\"a\":2}'), "
                 "(2, 'me', 'other', 'x', '', NULL, '{\"customer\":\"Kunde-17\"}'), "
                 "(3, 'me', 'other', 'Kunde-170', '', NULL, '{\"customer\":\"Kunde-170\"}')");
    add_workflows(cvm_store_db(store));
    cvm_store_close(store);
    import_stop();
}

static enum cvm_status erase(struct cvm_store *store, const char *id, struct cvm_error *err)
{
    struct cvm_erasure erasure = {.customer_id = id, .who = "me", .why = "asked"};
    struct cvm_erasure_report report;
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES);
    enum cvm_status status = cvm_customer_erase(store, arena, &erasure, &report, err);
    if (status == CVM_OK) {
        status = cvm_erase_remnants(store, err);
    }
    cvm_arena_destroy(arena);
    return status;
}

/* "Kunde-17" is a part of "Kunde-170", which stays. */
static bool tells(const char *data, size_t length, const char *word)
{
    size_t word_length = strlen(word);
    for (size_t at = 0; at + word_length <= length; at++) {
        bool is_longer = at + word_length < length && data[at + word_length] >= '0' &&
                         data[at + word_length] <= '9';
        if (!is_longer && memcmp(data + at, word, word_length) == 0) {
            return true;
        }
    }
    return false;
}

static void check_files(const char *const *words, bool are_there)
{
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES);
    struct cvm_file_list list;
    bool is_found = false;
    ASSERT_OK(cvm_folder_list(arena, support_folder(), 0, &list, ERR));
    for (size_t i = 0; i < list.count; i++) {
        char path[700];
        char *data = NULL;
        size_t length = 0;
        (void)snprintf(path, sizeof(path), "%s/%s", support_folder(), list.paths[i]);
        ASSERT_OK(cvm_file_read(arena, path, ARENA_BYTES, &data, &length, ERR));
        for (const char *const *word = words; *word != NULL; word++) {
            if (tells(data, length, *word)) {
                is_found = true;
                if (!are_there) {
                    fail_msg("'%s' is still in %s", *word, path);
                }
            }
        }
    }
    assert_int_equal(is_found, are_there);
    cvm_arena_destroy(arena);
}

static void check_others(struct cvm_store *store)
{
    static const char *const counts[] = {
        "SELECT count(*) FROM workflow",
        "SELECT count(*) FROM step",
        "SELECT count(*) FROM outbox",
        "SELECT count(*) FROM dead_letter",
    };
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        assert_int_equal(support_number(cvm_store_db(store), counts[i]), 1);
    }
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES);
    struct cvm_text text;
    struct cvm_json_writer json;
    cvm_text_init(&text, 0);
    cvm_json_init(&json, &text, false);
    cvm_json_object(&json);
    ASSERT_OK(cvm_customer_export_write(store, arena, "Kunde-170", &json, ERR));
    cvm_json_object_end(&json);
    assert_non_null(strstr(cvm_text_string(&text), "Marsh rang"));
    assert_non_null(strstr(cvm_text_string(&text), "\"secret-Q2\""));
    cvm_text_finish(&text);
    cvm_arena_destroy(arena);
    struct cvm_db *db = cvm_store_db(store);
    assert_int_equal(support_number(db, "SELECT count(*) FROM erased"), 1);
    assert_int_equal(support_number(db, "SELECT count(*) FROM customer WHERE batch = 0"), 1);
    assert_int_equal(support_number(db, "SELECT count(*) FROM event"), 2);
    assert_int_equal(support_number(db, "SELECT count(*) FROM audit WHERE action = 'erase'"), 1);
    assert_int_equal(support_number(db, "SELECT count(*) FROM audit WHERE object = 'Kunde-170' AND "
                                        "after IS NOT NULL"),
                     1);
}

static const char *const traces[] = {"Kunde-17", "Quill", "secret-Q1", "0815-4711", NULL};
static const char *const personal[] = {"Quill", "secret-Q1", "0815-4711", "Marsh", NULL};

static void sweep(bool journeys, bool loses_transaction)
{
    enum cvm_status status = CVM_E_UNAVAILABLE;
    for (int64_t fail_at = 1; status != CVM_OK; fail_at++) {
        struct cvm_error err = {0};
        struct db_faults faults = {.fail_at = fail_at, .loses_transaction = loses_transaction};
        assert_true(fail_at < FAULTS_MAX);
        make_store();
        check_files(personal, false);
        check_files(traces, true);
        struct cvm_store *store = open_store(false);
        db_faulty_wrap(store, journeys, &faults);
        status = erase(store, "Kunde-17", &err);
        assert_true(status == CVM_OK || faults.calls >= fail_at);
        cvm_store_close(store);
        store = open_store(false);
        if (status != CVM_OK) {
            ASSERT_OK(erase(store, "Kunde-17", ERR));
        }
        check_others(store);
        cvm_store_close(store);
        check_files(traces, false);
    }
}

static void an_erasure_whose_store_fails_is_completed_by_the_next(void **state)
{
    (void)state;
    sweep(false, true);
}

static void an_erasure_whose_journeys_fail_is_completed_by_the_next(void **state)
{
    (void)state;
    sweep(true, false);
}

/* Without the master key erasing would leave the key, and so the backups. */
static void an_erasure_without_the_keys_is_refused_and_changes_nothing(void **state)
{
    struct cvm_error err = {0};
    (void)state;
    make_store();
    assert_int_equal(unlink(master_key), 0);
    struct cvm_store *store = open_store(false);
    assert_int_equal(erase(store, "Kunde-17", &err), CVM_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "master key"));
    assert_int_equal(support_number(cvm_store_db(store), "SELECT count(*) FROM event"), 4);
    cvm_store_close(store);
    store = support_open_url(url, CVM_DB_WRITE, false); /* says nothing of keys */
    assert_int_equal(erase(store, "Kunde-17", &err), CVM_E_DENIED);
    cvm_store_close(store);
}

static void a_reader_of_the_older_state_is_said_to_be_in_the_way(void **state)
{
    struct cvm_error err = {0};
    (void)state;
    make_store();
    struct cvm_store *reader = support_open_url(url, CVM_DB_READ, false);
    support_begin(reader);
    struct cvm_store *store = open_store(false);
    assert_int_equal(erase(store, "Kunde-17", &err), CVM_E_UNAVAILABLE);
    assert_non_null(strstr(err.hint, "reads the store"));
    cvm_store_close(reader);
    ASSERT_OK(erase(store, "Kunde-17", ERR));
    check_others(store);
    cvm_store_close(store);
    check_files(traces, false);
}

static void a_reason_that_names_the_customer_is_refused(void **state)
{
    struct cvm_erasure erasure = {
        .customer_id = "Kunde-17", .who = "me", .why = "for Kunde-17, urgent"};
    struct cvm_erasure_report report;
    struct cvm_error err = {0};
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES);
    (void)state;
    make_store();
    struct cvm_store *store = open_store(false);
    assert_int_equal(cvm_customer_erase(store, arena, &erasure, &report, &err), CVM_E_INVALID);
    erasure.why = "";
    assert_int_equal(cvm_customer_erase(store, arena, &erasure, &report, &err), CVM_E_INVALID);
    erasure.why = "as Kunde-170 was";
    ASSERT_OK(cvm_customer_erase(store, arena, &erasure, &report, ERR));
    assert_int_equal(report.events, 2);
    assert_int_equal(report.audit_rows, 2);
    cvm_store_close(store);
    cvm_arena_destroy(arena);
}

static void write_file(const char *name, const char *text)
{
    char path[700];
    (void)snprintf(path, sizeof(path), "%s/%s", support_folder(), name);
    ASSERT_OK(cvm_file_write(path, text, strlen(text), ERR));
}

static void lines_that_name_the_customer_leave_the_rejects_files(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES);
    int64_t lines = 0;
    (void)state;
    write_file("rejects-1.ndjson",
               "{\"text\":\"{\\\"id\\\":\\\"K-18\\\"}\"}\n{\"text\":\"K-181\"}\n"
               "{\"text\":\"XK-18\"}\n{\"text\":\"x\\nK-18\"}\n{\"text\":\"K-18\"");
    write_file("rejects-2.ndjson", "{\"text\":\"K-19\"}\n");
    write_file(".rejects-1.ndjson.77.0.tmp", "K-18\n");
    ASSERT_OK(cvm_erase_rejects(arena, support_folder(), "K-18", &lines, ERR));
    assert_int_equal(lines, 3);
    char *text = NULL;
    size_t length = 0;
    char path[700];
    (void)snprintf(path, sizeof(path), "%s/rejects-1.ndjson", support_folder());
    ASSERT_OK(cvm_file_read(arena, path, 1000, &text, &length, ERR));
    assert_string_equal(text, "{\"text\":\"K-181\"}\n{\"text\":\"XK-18\"}\n");
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/rejects-2.ndjson", support_folder());
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof(path), "%s/.rejects-1.ndjson.77.0.tmp", support_folder());
    assert_int_not_equal(access(path, F_OK), 0);
    cvm_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_erasure_whose_store_fails_is_completed_by_the_next),
        cmocka_unit_test(an_erasure_whose_journeys_fail_is_completed_by_the_next),
        cmocka_unit_test(an_erasure_without_the_keys_is_refused_and_changes_nothing),
        cmocka_unit_test(a_reader_of_the_older_state_is_said_to_be_in_the_way),
        cmocka_unit_test(a_reason_that_names_the_customer_is_refused),
        cmocka_unit_test(lines_that_name_the_customer_leave_the_rejects_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
