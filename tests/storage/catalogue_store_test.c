/* Versions of the catalogue in the store. */
#include "storage/catalogue_store.h"

#include <string.h>

#include "storage/audit.h"
#include "support/config_files.h"
#include "support/store_support.h"

static const struct cvm_catalogue_change_note note = {
    .who = "cli:me", .why = "a test", .changes = "[{\"path\":\"x\"}]"};

static int64_t add(struct cvm_store *store, const char *text, const char *digest)
{
    struct cvm_catalogue_file file[] = {
        {.name = "a.yaml", .text = text, .length = strlen(text)},
        {.name = "treatments/b.yaml", .text = "", .length = 0},
    };
    struct cvm_catalogue_files files = {.files = file, .count = 2};
    int64_t version = -1;
    ASSERT_OK(cvm_catalogue_store_add(store, &files, digest, &note, &version, ERR));
    return version;
}

static void a_store_without_a_catalogue_says_what_to_do(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_catalogue_files files = {.count = 99};
    int64_t version = -1;
    struct cvm_error err = {0};
    assert_int_equal(cvm_catalogue_store_files(store, arena, 0, &files, &version, &err),
                     CVM_E_NOT_FOUND);
    assert_non_null(strstr(err.hint, "cvm apply"));
    assert_int_equal(files.count, 99);
    assert_int_equal(version, -1);
    cvm_arena_destroy(arena);
    cvm_store_close(store);
}

static void each_change_is_a_version_and_no_change_is_none(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_catalogue_files files;
    int64_t version = 0;
    struct cvm_error err = {0};
    assert_int_equal(add(store, "one: 1\n", "d1"), 1);
    assert_int_equal(add(store, "one: 1\n", "d1"), 1);
    assert_int_equal(add(store, "two: 2\n", "d2"), 2);
    assert_int_equal(add(store, "one: 1\n", "d1"), 3); /* back to the first is a new one */
    struct cvm_db *db = cvm_store_db(store);
    assert_int_equal(support_number(db, "SELECT count(*) FROM audit"), 3);
    ASSERT_OK(cvm_catalogue_store_files(store, arena, 0, &files, &version, ERR));
    assert_int_equal(version, 3);
    ASSERT_OK(cvm_catalogue_store_files(store, arena, 2, &files, &version, ERR));
    assert_int_equal(version, 2);
    assert_int_equal(files.count, 2);
    assert_string_equal(files.files[0].name, "a.yaml");
    assert_string_equal(files.files[0].text, "two: 2\n");
    assert_int_equal(files.files[0].length, 7);
    assert_string_equal(files.files[1].name, "treatments/b.yaml");
    assert_string_equal(files.files[1].text, "");
    assert_int_equal(cvm_catalogue_store_files(store, arena, 4, &files, &version, &err),
                     CVM_E_NOT_FOUND);
    cvm_arena_destroy(arena);
    cvm_store_close(store);
}

static enum cvm_status check_row(void *state, const struct cvm_audit_row *row,
                                 struct cvm_error *err)
{
    (void)state;
    (void)err;
    assert_int_equal(row->at_ms, SUPPORT_NOW_MS);
    assert_string_equal(row->who, "cli:me");
    assert_string_equal(row->action, "catalogue");
    assert_string_equal(row->object, "version 1");
    assert_string_equal(row->why, "a test");
    assert_null(row->before);
    assert_string_equal(row->after, "[{\"path\":\"x\"}]");
    return CVM_OK;
}

static void a_version_leaves_an_audit_row(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    (void)add(store, "one: 1\n", "d1");
    ASSERT_OK(cvm_audit_list(store, 0, 10, check_row, NULL, ERR));
    cvm_store_close(store);
}

static void the_shipped_catalogue_comes_back_as_it_was_read(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_arena *arena = cvm_arena_create((size_t)64 << 20);
    struct config_files config = config_load(arena, 1000);
    struct cvm_catalogue_files files = {.files = config.files, .count = config.count};
    const struct cvm_catalogue *read = NULL;
    const struct cvm_catalogue *loaded = NULL;
    int64_t version = 0;
    ASSERT_OK(cvm_catalogue_read(arena, &files, "", &read, ERR));
    ASSERT_OK(cvm_catalogue_store_add(store, &files, read->digest, &note, &version, ERR));
    ASSERT_OK(cvm_catalogue_store_load(store, arena, 0, &loaded, ERR));
    assert_int_equal(loaded->version, 1);
    assert_string_equal(loaded->digest, read->digest);
    assert_string_equal(loaded->data_digest, read->data_digest);
    assert_int_equal(loaded->treatment_count, read->treatment_count);
    cvm_arena_destroy(arena);
    cvm_store_close(store);
}

static void loading_survives_an_arena_of_any_size(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    (void)add(store, "one: 1\n", "d1");
    enum cvm_status status = CVM_E_LIMIT;
    for (size_t budget = 0; status == CVM_E_LIMIT; budget += 16) {
        struct cvm_arena *arena = cvm_arena_create(budget);
        struct cvm_catalogue_files files = {.count = 99};
        int64_t version = -1;
        status = cvm_catalogue_store_files(store, arena, 0, &files, &version, NULL);
        assert_true(status == CVM_OK || (files.count == 99 && version == -1));
        cvm_arena_destroy(arena);
        assert_true(budget < 1 << 20);
    }
    assert_int_equal(status, CVM_OK);
    cvm_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_without_a_catalogue_says_what_to_do),
        cmocka_unit_test(each_change_is_a_version_and_no_change_is_none),
        cmocka_unit_test(a_version_leaves_an_audit_row),
        cmocka_unit_test(the_shipped_catalogue_comes_back_as_it_was_read),
        cmocka_unit_test(loading_survives_an_arena_of_any_size),
    };
    return SUPPORT_RUN("catalogue_store", tests);
}
