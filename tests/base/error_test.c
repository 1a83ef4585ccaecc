#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_status_has_a_name_of_its_own(void **state)
{
    (void)state;
    assert_string_equal(cvm_status_name(CVM_OK), "ok");
    assert_string_equal(cvm_status_name(CVM_E_NOT_FOUND), "not_found");
    assert_int_equal(cvm_status_http(CVM_E_CONFLICT), 409);
    assert_true(cvm_status_may_retry(CVM_E_UNAVAILABLE));
    assert_false(cvm_status_may_retry(CVM_E_CORRUPT));
    for (int a = CVM_OK; a <= CVM_E_TIMEOUT; a++) {
        for (int b = a + 1; b <= CVM_E_TIMEOUT; b++) {
            assert_string_not_equal(cvm_status_name((enum cvm_status)a),
                                    cvm_status_name((enum cvm_status)b));
        }
    }
}

static void a_status_outside_the_set_is_internal(void **state)
{
    (void)state;
    assert_string_equal(cvm_status_name((enum cvm_status)99), "internal");
    assert_int_equal(cvm_status_http((enum cvm_status)99), 500);
    assert_false(cvm_status_may_retry((enum cvm_status)99));
}

static void a_failure_returns_its_status_and_fills_the_error(void **state)
{
    (void)state;
    struct cvm_error err = {.where = "old", .hint = "old"};
    assert_int_equal(CVM_FAIL(&err, CVM_E_INVALID, "bad '%s'", "x"), CVM_E_INVALID);
    assert_int_equal(err.status, CVM_E_INVALID);
    assert_string_equal(err.message, "bad 'x'");
    assert_string_equal(err.where, "");
    assert_string_equal(err.hint, "");
    assert_non_null(strstr(err.file, "error_test.c"));
    assert_true(err.line > 0);
}

static void context_goes_before_the_message(void **state)
{
    (void)state;
    struct cvm_error err;
    enum cvm_status status = CVM_FAIL(&err, CVM_E_UNAVAILABLE, "refused");
    status = cvm_error_context(&err, status, "connect to '%s'", "db");
    assert_int_equal(cvm_error_context(&err, status, "open store"), CVM_E_UNAVAILABLE);
    assert_string_equal(err.message, "open store: connect to 'db': refused");
}

static void where_and_hint_are_kept_apart(void **state)
{
    (void)state;
    struct cvm_error err;
    (void)CVM_FAIL(&err, CVM_E_INVALID, "bad");
    assert_int_equal(cvm_error_where(&err, CVM_E_INVALID, "%s:%d", "a.yaml", 7), CVM_E_INVALID);
    assert_int_equal(cvm_error_hint(&err, CVM_E_INVALID, "Write %d.", 8), CVM_E_INVALID);
    assert_string_equal(err.message, "bad");
    assert_string_equal(err.where, "a.yaml:7");
    assert_string_equal(err.hint, "Write 8.");
}

static void an_error_that_nobody_wants_is_fine(void **state)
{
    (void)state;
    assert_int_equal(CVM_FAIL(NULL, CVM_E_LIMIT, "x"), CVM_E_LIMIT);
    assert_int_equal(cvm_error_context(NULL, CVM_E_LIMIT, "x"), CVM_E_LIMIT);
    assert_int_equal(cvm_error_where(NULL, CVM_E_LIMIT, "x"), CVM_E_LIMIT);
    assert_int_equal(cvm_error_hint(NULL, CVM_E_LIMIT, "x"), CVM_E_LIMIT);
}

static void a_long_message_is_cut_and_says_so(void **state)
{
    (void)state;
    struct cvm_error err;
    char long_text[2000];
    memset(long_text, 'a', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    (void)CVM_FAIL(&err, CVM_E_INVALID, "%s", long_text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
    assert_string_equal(err.message + sizeof(err.message) - 4, "...");
    (void)cvm_error_context(&err, CVM_E_INVALID, "outer");
    assert_int_equal(strncmp(err.message, "outer: aaa", 10), 0);
    assert_string_equal(err.message + strlen(err.message) - 3, "...");
}

static void a_cut_never_leaves_half_a_character(void **state)
{
    (void)state;
    for (size_t lead = 0; lead < 4; lead++) {
        struct cvm_error err;
        char text[2000] = "";
        memset(text, 'a', lead);
        for (size_t at = lead; at + 3 < sizeof(text); at += 3) {
            memcpy(text + at, "\xE2\x82\xAC", 4);
        }
        (void)CVM_FAIL(&err, CVM_E_INVALID, "%s", text);
        size_t length = strlen(err.message);
        assert_string_equal(err.message + length - 3, "...");
        assert_int_equal((length - 3 - lead) % 3, 0);
    }
}

static void a_message_may_be_made_of_the_old_one(void **state)
{
    (void)state;
    struct cvm_error err;
    (void)CVM_FAIL(&err, CVM_E_INVALID, "inner");
    (void)CVM_FAIL(&err, CVM_E_CORRUPT, "outer (%s)", err.message);
    assert_string_equal(err.message, "outer (inner)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_of_its_own),
        cmocka_unit_test(a_status_outside_the_set_is_internal),
        cmocka_unit_test(a_failure_returns_its_status_and_fills_the_error),
        cmocka_unit_test(context_goes_before_the_message),
        cmocka_unit_test(where_and_hint_are_kept_apart),
        cmocka_unit_test(an_error_that_nobody_wants_is_fine),
        cmocka_unit_test(a_long_message_is_cut_and_says_so),
        cmocka_unit_test(a_cut_never_leaves_half_a_character),
        cmocka_unit_test(a_message_may_be_made_of_the_old_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
