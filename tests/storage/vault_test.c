/* vault.h: what is sealed is opened by its key, in its place, unchanged, and by nothing else. */
#include "storage/vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/store_support.h"

#include "storage/db_backend.h"

static const char secret[] = "{\"text\":{\"summary\":\"Mrs Quill wants to leave\"}}";

static char path[300];
static char url[800];

/* A vault of its own per test: new files. */
static void fresh_files(const char *name)
{
    (void)snprintf(path, sizeof(path), "%s/%s.key", support_folder(), name);
    (void)unlink(path);
    (void)snprintf(url, sizeof(url), "%s", support_file_url(name));
    ASSERT_OK(cvm_master_key_create(path, ERR));
}

static enum cvm_status open_vault(const char *master_key, enum cvm_db_access access,
                                  struct cvm_vault **out_vault, struct cvm_error *err)
{
    struct cvm_vault_options options = {
        .url = url,
        .master_key = master_key,
        .access = access,
        .may_create = access == CVM_DB_WRITE,
        .now_ms = SUPPORT_NOW_MS,
    };
    return cvm_vault_open(&options, out_vault, err);
}

static struct cvm_vault *writer(void)
{
    struct cvm_vault *vault = NULL;
    ASSERT_OK(open_vault(path, CVM_DB_WRITE, &vault, ERR));
    return vault;
}

static struct cvm_vault_place place_of(uint64_t customer_key)
{
    return (struct cvm_vault_place){CVM_VAULT_EVENT, customer_key, 3, 77, 1};
}

/* The blob in the arena. */
static struct cvm_slice seal(struct cvm_vault *vault, struct cvm_arena *arena,
                             struct cvm_vault_place place)
{
    struct cvm_slice blob = {0};
    struct cvm_slice text = {secret, sizeof(secret) - 1};
    ASSERT_OK(cvm_vault_seal(vault, &place, text, &blob, ERR));
    blob.data = cvm_arena_copy(arena, blob.data, blob.length);
    assert_non_null(blob.data);
    return blob;
}

static enum cvm_status unseal(struct cvm_vault *vault, struct cvm_arena *arena,
                              struct cvm_vault_place place, struct cvm_slice blob,
                              struct cvm_slice *out_text)
{
    struct cvm_error err = {0};
    return cvm_vault_unseal(vault, arena, &place, blob, out_text, &err);
}

static void begin(struct cvm_vault *vault)
{
    ASSERT_OK(cvm_db_begin(cvm_vault_db(vault), ERR));
}

static void commit(struct cvm_vault *vault)
{
    ASSERT_OK(cvm_db_commit(cvm_vault_db(vault), ERR));
}

static void what_is_sealed_is_opened_by_another_process(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_slice text = {0};
    (void)state;
    fresh_files("another");
    struct cvm_vault *vault = writer();
    begin(vault);
    struct cvm_slice blob = seal(vault, arena, place_of(5));
    commit(vault);
    assert_null(memmem(blob.data, blob.length, "Quill", 5));
    char id[CVM_VAULT_ID_SIZE];
    (void)snprintf(id, sizeof(id), "%s", cvm_vault_id(vault));
    cvm_vault_close(vault);
    struct cvm_vault *reader = NULL;
    ASSERT_OK(open_vault(path, CVM_DB_READ, &reader, ERR));
    assert_string_equal(cvm_vault_id(reader), id);
    assert_int_equal(unseal(reader, arena, place_of(5), blob, &text), CVM_OK);
    assert_string_equal(text.data, secret);
    cvm_vault_close(reader);
    cvm_arena_destroy(arena);
}

static void equal_texts_are_never_sealed_alike(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    (void)state;
    fresh_files("alike");
    struct cvm_vault *vault = writer();
    begin(vault);
    struct cvm_slice last = {0};
    for (int i = 0; i < 600; i++) { /* more than are made at once */
        struct cvm_slice blob = seal(vault, arena, place_of(5));
        assert_true(last.data == NULL || memcmp(last.data, blob.data, blob.length) != 0);
        last = blob;
    }
    cvm_vault_rollback(vault);
    cvm_vault_close(vault);
    cvm_arena_destroy(arena);
}

static void a_flipped_bit_anywhere_is_refused(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_slice text = {0};
    (void)state;
    fresh_files("flipped");
    struct cvm_vault *vault = writer();
    begin(vault);
    struct cvm_slice blob = seal(vault, arena, place_of(5));
    char *bytes = cvm_arena_copy(arena, blob.data, blob.length);
    for (size_t bit = 0; bit < blob.length * 8; bit++) {
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
        assert_int_equal(
            unseal(vault, arena, place_of(5), (struct cvm_slice){bytes, blob.length}, &text),
            CVM_E_CORRUPT);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
    }
    for (size_t length = 0; length < blob.length; length++) {
        assert_int_equal(
            unseal(vault, arena, place_of(5), (struct cvm_slice){bytes, length}, &text),
            CVM_E_CORRUPT);
    }
    assert_null(text.data);
    commit(vault);
    cvm_vault_close(vault);
    cvm_arena_destroy(arena);
}

static void a_record_moved_to_another_row_is_refused(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_slice text = {0};
    (void)state;
    fresh_files("moved");
    struct cvm_vault *vault = writer();
    begin(vault);
    struct cvm_slice blob = seal(vault, arena, place_of(5));
    (void)seal(vault, arena, place_of(6));
    struct cvm_vault_place others[] = {
        {CVM_VAULT_EVENT, 6, 3, 77, 1},   {CVM_VAULT_EVENT, 5, 4, 77, 1},
        {CVM_VAULT_EVENT, 5, 3, 78, 1},   {CVM_VAULT_EVENT, 5, 3, 77, 2},
        {CVM_VAULT_CONSENT, 5, 3, 77, 1},
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(unseal(vault, arena, others[i], blob, &text), CVM_E_CORRUPT);
    }
    commit(vault);
    cvm_vault_close(vault);
    cvm_arena_destroy(arena);
}

static void keys_wrapped_for_one_customer_are_no_keys_of_another(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_slice text = {0};
    (void)state;
    fresh_files("swapped");
    struct cvm_vault *vault = writer();
    begin(vault);
    struct cvm_slice blob = seal(vault, arena, place_of(5));
    (void)seal(vault, arena, place_of(6));
    support_exec(cvm_vault_db(vault),
                 "UPDATE data_key SET wrapped = (SELECT o.wrapped FROM "
                 "data_key o WHERE o.customer_key = 6) WHERE customer_key = 5");
    commit(vault);
    cvm_vault_close(vault);
    vault = writer();
    assert_int_equal(unseal(vault, arena, place_of(5), blob, &text), CVM_E_CORRUPT);
    cvm_vault_close(vault);
    cvm_arena_destroy(arena);
}

static void another_master_key_is_refused_by_name(void **state)
{
    struct cvm_vault *vault = NULL;
    struct cvm_error err = {0};
    char other[400];
    (void)state;
    fresh_files("master");
    cvm_vault_close(writer());
    (void)snprintf(other, sizeof(other), "%s.other", path);
    ASSERT_OK(cvm_master_key_create(other, ERR));
    assert_int_equal(open_vault(other, CVM_DB_READ, &vault, &err), CVM_E_DENIED);
    assert_non_null(strstr(err.message, "master key"));
    assert_int_equal(unlink(other), 0);
    assert_int_equal(open_vault(other, CVM_DB_READ, &vault, &err), CVM_E_NOT_FOUND);
    assert_null(vault);
}

static void write_key(const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void a_master_key_that_others_may_read_is_refused(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0620, 0602, 0666};
    struct cvm_vault *vault = NULL;
    struct cvm_error err = {0};
    struct stat info;
    (void)state;
    fresh_files("rights");
    assert_true(stat(path, &info) == 0 && (info.st_mode & 0777) == 0600);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_int_equal(open_vault(path, CVM_DB_WRITE, &vault, &err), CVM_E_DENIED);
    }
    assert_int_equal(chmod(path, 0400), 0);
    cvm_vault_close(writer());
    assert_int_equal(cvm_master_key_create(path, &err), CVM_E_CONFLICT);
}

static void a_master_key_is_64_hex_digits_and_no_error_shows_it(void **state)
{
    static const char digits[] = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
    struct cvm_vault *vault = NULL;
    struct cvm_error err = {0};
    char text[100];
    (void)state;
    fresh_files("digits");
    (void)snprintf(text, sizeof(text), " \n%s\r\n", digits);
    write_key(text, 0600);
    cvm_vault_close(writer());
    const char *bad[] = {"",
                         "0011",
                         "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEF",
                         "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFFF",
                         "00112233445566778899aabbccddeeff 0112233445566778899AABBCCDDEEFF",
                         "gg112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_key(bad[i], 0600);
        assert_int_equal(open_vault(path, CVM_DB_WRITE, &vault, &err), CVM_E_INVALID);
        assert_null(strstr(err.message, "112233"));
    }
}

static void a_credential_takes_the_place_of_the_file(void **state)
{
    char folder[700];
    char credential[800];
    (void)state;
    fresh_files("credential");
    (void)snprintf(folder, sizeof(folder), "%s", support_folder());
    (void)snprintf(credential, sizeof(credential), "%s/cvm-master-key", folder);
    assert_int_equal(rename(path, credential), 0);
    assert_int_equal(chmod(credential, 0440), 0); /* as systemd's access lists look */
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    cvm_vault_close(writer());
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    struct cvm_vault *vault = NULL;
    struct cvm_error err = {0};
    assert_int_equal(open_vault(path, CVM_DB_WRITE, &vault, &err), CVM_E_NOT_FOUND);
    assert_int_equal(unlink(credential), 0);
}

static void an_erased_key_opens_nothing_and_never_comes_back(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_slice text = {secret, 3};
    struct cvm_slice blob = {0};
    struct cvm_error err = {0};
    struct cvm_vault_place place = place_of(5);
    (void)state;
    fresh_files("erased");
    struct cvm_vault *vault = writer();
    begin(vault);
    struct cvm_slice sealed = seal(vault, arena, place);
    commit(vault);
    for (int i = 0; i < 2; i++) { /* again is no error */
        ASSERT_OK(cvm_vault_erase(vault, 5, ERR));
    }
    ASSERT_OK(cvm_vault_erase(vault, 9, ERR)); /* nor for one that never had a key */
    assert_int_equal(unseal(vault, arena, place, sealed, &text), CVM_OK);
    assert_null(text.data);
    begin(vault);
    text = (struct cvm_slice){secret, 3};
    assert_int_equal(cvm_vault_seal(vault, &place, text, &blob, &err), CVM_E_CONFLICT);
    cvm_vault_rollback(vault);
    assert_int_equal(
        support_number(cvm_vault_db(vault), "SELECT count(*) FROM data_key WHERE wrapped IS NULL"),
        2);
    cvm_vault_close(vault);
    cvm_arena_destroy(arena);
}

static void a_key_that_never_was_is_an_error_and_no_empty_text(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_slice text = {0};
    (void)state;
    fresh_files("never");
    struct cvm_vault *vault = writer();
    begin(vault);
    struct cvm_slice blob = seal(vault, arena, place_of(5));
    cvm_vault_rollback(vault); /* what was not committed is not remembered either */
    assert_int_equal(unseal(vault, arena, place_of(5), blob, &text), CVM_E_NOT_FOUND);
    cvm_vault_close(vault);
    cvm_arena_destroy(arena);
}

static void more_customers_than_fit_at_once_keep_their_keys(void **state)
{
    enum { CUSTOMERS = 9000 };
    struct cvm_arena *arena = cvm_arena_create(64 << 20);
    struct cvm_slice *blobs = CVM_NEW_ARRAY(arena, CUSTOMERS + 1, struct cvm_slice);
    (void)state;
    fresh_files("many");
    struct cvm_vault *vault = writer();
    for (int pass = 0; pass < 3; pass++) {
        cvm_vault_read_ahead(vault, pass == 1 ? SIZE_MAX : 1);
        begin(vault);
        for (uint64_t c = 1; c <= CUSTOMERS; c++) {
            uint64_t key = pass == 2 ? CUSTOMERS + 1 - c : c;
            struct cvm_slice text = {0};
            if (pass == 0) {
                blobs[key] = seal(vault, arena, place_of(key));
            } else {
                assert_int_equal(unseal(vault, arena, place_of(key), blobs[key], &text), CVM_OK);
                assert_string_equal(text.data, secret);
                (void)seal(vault, arena, place_of(key)); /* under the key that it has */
            }
        }
        commit(vault);
    }
    assert_int_equal(support_number(cvm_vault_db(vault), "SELECT count(*) FROM data_key"),
                     CUSTOMERS + 1);
    cvm_vault_close(vault);
    cvm_arena_destroy(arena);
}

static void a_store_takes_the_keys_of_no_other_store(void **state)
{
    struct cvm_store *store = NULL;
    struct cvm_vault *vault = NULL;
    struct cvm_error err = {0};
    char store_url[640];
    char other[400];
    (void)state;
    fresh_files("keysone");
    (void)snprintf(other, sizeof(other), "sqlite:%s/keystwo.db", support_folder());
    (void)snprintf(store_url, sizeof(store_url), "%s", support_file_url("owner"));
    struct cvm_store_options options = {
        .access = CVM_DB_WRITE,
        .may_create = true,
        .clock = cvm_clock_fixed(&support_now_ms),
        .privacy = {.master_key = path, .keys_url = url},
    };
    ASSERT_OK(cvm_store_open(store_url, &options, &store, ERR));
    ASSERT_OK(cvm_store_vault(store, &vault, ERR));
    cvm_store_close(store);
    options.may_create = false;
    options.privacy.keys_url = other; /* is not there: it is not made a second time */
    ASSERT_OK(cvm_store_open(store_url, &options, &store, ERR));
    assert_int_equal(cvm_store_vault(store, &vault, &err), CVM_E_NOT_FOUND);
    cvm_store_close(store);
    (void)snprintf(url, sizeof(url), "%s", other);
    cvm_vault_close(writer());
    ASSERT_OK(cvm_store_open(store_url, &options, &store, ERR));
    assert_int_equal(cvm_store_vault(store, &vault, &err), CVM_E_CONFLICT);
    cvm_store_close(store);
}

/* ---- another master key ---- */

/* A vault with keys of customers 1 to `count`, of which 2 was erased; a blob of customer 5. */
static struct cvm_vault *filled(struct cvm_arena *arena, uint64_t count, struct cvm_slice *out_blob)
{
    struct cvm_vault *vault = writer();
    begin(vault);
    for (uint64_t key = 1; key <= count; key++) {
        struct cvm_slice blob = seal(vault, arena, place_of(key));
        *out_blob = key == 5 ? blob : *out_blob;
    }
    commit(vault);
    ASSERT_OK(cvm_vault_erase(vault, 2, ERR));
    return vault;
}

static void new_master_key(char other[320])
{
    (void)snprintf(other, 320, "%s.new", path);
    (void)unlink(other);
    ASSERT_OK(cvm_master_key_create(other, ERR));
}

static void every_key_is_wrapped_by_the_new_master_key_and_by_no_other(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_slice blob = {0};
    struct cvm_slice text = {0};
    char other[320];
    int64_t keys = 0;
    (void)state;
    fresh_files("rotated");
    new_master_key(other);
    struct cvm_vault *vault = filled(arena, 600, &blob); /* more than are wrapped at once */
    char id[CVM_VAULT_ID_SIZE];
    (void)snprintf(id, sizeof(id), "%s", cvm_vault_id(vault));
    ASSERT_OK(cvm_vault_rewrap(vault, other, &keys, ERR));
    assert_int_equal(keys, 600); /* the vault's own, and all but the erased one */
    assert_int_equal(unseal(vault, arena, place_of(5), blob, &text), CVM_OK);
    assert_string_equal(text.data, secret);
    ASSERT_OK(cvm_vault_rewrap(vault, other, &keys, ERR)); /* again: nothing is left to do */
    assert_int_equal(keys, 0);
    cvm_vault_close(vault);
    struct cvm_error err = {0};
    assert_int_equal(open_vault(path, CVM_DB_READ, &vault, &err), CVM_E_DENIED);
    ASSERT_OK(open_vault(other, CVM_DB_READ, &vault, ERR));
    assert_string_equal(cvm_vault_id(vault), id);
    assert_int_equal(unseal(vault, arena, place_of(5), blob, &text), CVM_OK);
    assert_string_equal(text.data, secret);
    assert_int_equal(unseal(vault, arena, place_of(2), blob, &text), CVM_OK);
    assert_null(text.data); /* erased it stays */
    cvm_vault_close(vault);
    cvm_arena_destroy(arena);
}

/* The bytes of a file, or of nothing. */
static size_t slurp(const char *file, char *bytes, size_t size)
{
    FILE *stream = fopen(file, "rb");
    size_t length = stream == NULL ? 0 : fread(bytes, 1, size, stream);
    if (stream != NULL) {
        (void)fclose(stream);
    }
    return length;
}

static enum cvm_status keep_wrapped(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    memcpy(state, columns[0].bytes.data, 72);
    return CVM_OK;
}

static void no_file_holds_the_old_wrapping_afterwards(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_slice blob = {0};
    static char bytes[1 << 22];
    char wrapped[72];
    char other[320];
    char file[900];
    int64_t keys = 0;
    (void)state;
    fresh_files("remnants");
    new_master_key(other);
    struct cvm_vault *vault = filled(arena, 50, &blob);
    ASSERT_OK(cvm_db_query(cvm_vault_db(vault),
                           "SELECT wrapped FROM data_key WHERE customer_key = 5", NULL, 0,
                           keep_wrapped, wrapped, ERR));
    ASSERT_OK(cvm_vault_rewrap(vault, other, &keys, ERR));
    static const char *const endings[] = {"", "-wal", "-journal"};
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(file, sizeof(file), "%s%s", url + strlen("sqlite:"), endings[i]);
        size_t length = slurp(file, bytes, sizeof(bytes));
        assert_true(i > 0 || length > 0);
        assert_null(memmem(bytes, length, wrapped, sizeof(wrapped)));
    }
    cvm_vault_close(vault);
    cvm_arena_destroy(arena);
}

static void a_key_under_a_third_master_key_stops_the_change_and_nothing_has_changed(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_slice blob = {0};
    struct cvm_slice text = {0};
    struct cvm_error err = {0};
    char other[320];
    int64_t keys = -1;
    (void)state;
    fresh_files("third");
    new_master_key(other);
    struct cvm_vault *vault = filled(arena, 600, &blob);
    support_exec(cvm_vault_db(vault), "UPDATE data_key SET master_id = 7 WHERE customer_key = 599");
    assert_int_equal(cvm_vault_rewrap(vault, other, &keys, &err), CVM_E_DENIED);
    assert_int_equal(keys, -1);
    assert_int_equal(unseal(vault, arena, place_of(5), blob, &text), CVM_OK);
    assert_string_equal(text.data, secret);
    cvm_vault_close(vault);
    ASSERT_OK(open_vault(path, CVM_DB_READ, &vault, ERR));
    cvm_vault_close(vault);
    cvm_arena_destroy(arena);
}

/* ---- copies of keys ---- */

static void keys_that_were_copied_open_and_what_was_erased_in_either_stays_erased(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_slice blob = {0};
    struct cvm_slice text = {0};
    char from[800];
    int64_t keys = 0;
    (void)state;
    fresh_files("from");
    struct cvm_vault *vault = filled(arena, 10, &blob);
    (void)snprintf(from, sizeof(from), "%s", url);
    (void)snprintf(url, sizeof(url), "%s", support_file_url("to"));
    ASSERT_OK(cvm_vault_copy(from, url, SUPPORT_NOW_MS, &keys, ERR));
    struct cvm_vault *copy = writer();
    assert_string_equal(cvm_vault_id(copy), cvm_vault_id(vault));
    assert_int_equal(unseal(copy, arena, place_of(5), blob, &text), CVM_OK);
    assert_string_equal(text.data, secret);
    assert_int_equal(unseal(copy, arena, place_of(2), blob, &text), CVM_OK);
    assert_null(text.data);
    /* Once more, after one was erased here and one there. */
    ASSERT_OK(cvm_vault_erase(copy, 5, ERR));
    ASSERT_OK(cvm_vault_erase(vault, 6, ERR));
    cvm_vault_close(copy);
    ASSERT_OK(cvm_vault_copy(from, url, SUPPORT_NOW_MS, &keys, ERR));
    copy = writer();
    for (uint64_t key = 5; key <= 6; key++) {
        assert_int_equal(unseal(copy, arena, place_of(key), blob, &text), CVM_OK);
        assert_null(text.data);
    }
    cvm_vault_close(copy);
    cvm_vault_close(vault);
    cvm_arena_destroy(arena);
}

static void keys_of_another_vault_are_not_written_over(void **state)
{
    struct cvm_error err = {0};
    char from[800];
    int64_t keys = -1;
    (void)state;
    fresh_files("one");
    cvm_vault_close(writer());
    (void)snprintf(from, sizeof(from), "%s", url);
    (void)snprintf(url, sizeof(url), "%s", support_file_url("two"));
    struct cvm_vault *other = writer(); /* the same master key, and another vault */
    char id[CVM_VAULT_ID_SIZE];
    (void)snprintf(id, sizeof(id), "%s", cvm_vault_id(other));
    cvm_vault_close(other);
    assert_int_equal(cvm_vault_copy(from, url, SUPPORT_NOW_MS, &keys, &err), CVM_E_CONFLICT);
    assert_int_equal(keys, -1);
    other = writer();
    assert_string_equal(cvm_vault_id(other), id);
    cvm_vault_close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_is_opened_by_another_process),
        cmocka_unit_test(equal_texts_are_never_sealed_alike),
        cmocka_unit_test(a_flipped_bit_anywhere_is_refused),
        cmocka_unit_test(a_record_moved_to_another_row_is_refused),
        cmocka_unit_test(keys_wrapped_for_one_customer_are_no_keys_of_another),
        cmocka_unit_test(another_master_key_is_refused_by_name),
        cmocka_unit_test(a_master_key_that_others_may_read_is_refused),
        cmocka_unit_test(a_master_key_is_64_hex_digits_and_no_error_shows_it),
        cmocka_unit_test(a_credential_takes_the_place_of_the_file),
        cmocka_unit_test(an_erased_key_opens_nothing_and_never_comes_back),
        cmocka_unit_test(a_key_that_never_was_is_an_error_and_no_empty_text),
        cmocka_unit_test(more_customers_than_fit_at_once_keep_their_keys),
        cmocka_unit_test(a_store_takes_the_keys_of_no_other_store),
        cmocka_unit_test(every_key_is_wrapped_by_the_new_master_key_and_by_no_other),
        cmocka_unit_test(no_file_holds_the_old_wrapping_afterwards),
        cmocka_unit_test(a_key_under_a_third_master_key_stops_the_change_and_nothing_has_changed),
        cmocka_unit_test(keys_that_were_copied_open_and_what_was_erased_in_either_stays_erased),
        cmocka_unit_test(keys_of_another_vault_are_not_written_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
