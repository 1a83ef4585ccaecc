/* Key files, signatures, lists of public keys. */
#include "base/signing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static int make_path(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/cvm-key-%ld", (long)getpid());
    (void)unlink(path);
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void a_key_is_readable_by_its_owner_alone_and_never_overwritten(void **state)
{
    (void)state;
    struct cvm_signing_key made;
    struct cvm_signing_key read;
    struct cvm_error err = {0};
    struct stat about;
    assert_int_equal(cvm_signing_key_read(path, &read, &err), CVM_E_NOT_FOUND);
    assert_int_equal(cvm_signing_key_create(path, &made, &err), CVM_OK);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(cvm_signing_key_create(path, &read, &err), CVM_E_CONFLICT);
    assert_int_equal(cvm_signing_key_read(path, &read, &err), CVM_OK);
    assert_memory_equal(&made, &read, sizeof(made));
}

static void a_key_that_others_may_read_is_refused(void **state)
{
    (void)state;
    struct cvm_signing_key key;
    struct cvm_error err = {0};
    assert_int_equal(cvm_signing_key_create(path, &key, &err), CVM_OK);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(cvm_signing_key_read(path, &key, &err), CVM_E_DENIED);
    assert_non_null(strstr(err.hint, "chmod 600"));
}

static void a_file_that_is_no_key_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "abc\n", "zz", "\n\n\n"};
    for (size_t i = 0; i < 4; i++) {
        struct cvm_signing_key key;
        struct cvm_error err = {0};
        write_file(texts[i]);
        assert_int_equal(chmod(path, 0600), 0);
        assert_int_equal(cvm_signing_key_read(path, &key, &err), CVM_E_INVALID);
    }
}

static void a_signature_holds_for_its_bytes_and_its_key_only(void **state)
{
    (void)state;
    struct cvm_signing_key key;
    struct cvm_signing_key other;
    unsigned char signature[CVM_SIGNATURE_BYTES];
    char text[] = "what was signed";
    assert_int_equal(cvm_signing_key_create(path, &key, NULL), CVM_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cvm_signing_key_create(path, &other, NULL), CVM_OK);
    cvm_sign(&key, text, sizeof(text), signature);
    assert_true(cvm_signature_is_good(&key.public_key, text, sizeof(text), signature));
    assert_false(cvm_signature_is_good(&other.public_key, text, sizeof(text), signature));
    text[3] ^= 1;
    assert_false(cvm_signature_is_good(&key.public_key, text, sizeof(text), signature));
    text[3] ^= 1;
    signature[63] ^= 1;
    assert_false(cvm_signature_is_good(&key.public_key, text, sizeof(text), signature));
}

static void a_list_of_public_keys_may_have_remarks_and_names_a_bad_line(void **state)
{
    (void)state;
    struct cvm_signing_key key;
    struct cvm_public_key *keys = NULL;
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    size_t count = 0;
    char hex[CVM_PUBLIC_KEY_TEXT_SIZE];
    char text[300];
    struct cvm_error err = {0};
    assert_int_equal(cvm_signing_key_create(path, &key, NULL), CVM_OK);
    cvm_public_key_format(&key.public_key, hex);
    (void)!snprintf(text, sizeof(text), "# of 2026\n%s\r\n\n%s", hex, hex);
    write_file(text);
    assert_int_equal(cvm_public_keys_read(arena, path, &keys, &count, &err), CVM_OK);
    assert_int_equal(count, 2);
    assert_memory_equal(&keys[1], &key.public_key, sizeof(keys[1]));
    (void)!snprintf(text, sizeof(text), "%s\n%.63s\n", hex, hex);
    write_file(text);
    assert_int_equal(cvm_public_keys_read(arena, path, &keys, &count, &err), CVM_E_INVALID);
    assert_non_null(strstr(err.message, "line 2"));
    write_file("# none\n");
    assert_int_equal(cvm_public_keys_read(arena, path, &keys, &count, &err), CVM_E_INVALID);
    cvm_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_is_readable_by_its_owner_alone_and_never_overwritten,
                                        make_path, remove_path),
        cmocka_unit_test_setup_teardown(a_key_that_others_may_read_is_refused, make_path,
                                        remove_path),
        cmocka_unit_test_setup_teardown(a_file_that_is_no_key_is_refused, make_path, remove_path),
        cmocka_unit_test_setup_teardown(a_signature_holds_for_its_bytes_and_its_key_only, make_path,
                                        remove_path),
        cmocka_unit_test_setup_teardown(a_list_of_public_keys_may_have_remarks_and_names_a_bad_line,
                                        make_path, remove_path),
    };
    return cmocka_run_group_tests_name("signing", tests, NULL, NULL);
}
