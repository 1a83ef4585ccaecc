#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/suggest.h"

static const char *const names[] = {"run",         "plan show",       "treatment list", "--as-of",
                                    "--customers", "retention_email", "retention_sms",  NULL};

static const char *nearest(const char *typed)
{
    struct cvm_suggestion suggestion = {.typed = typed};
    for (size_t i = 0; names[i] != NULL; i++) {
        cvm_suggestion_try(&suggestion, names[i]);
    }
    return suggestion.best;
}

static void a_typing_mistake_or_two_are_near(void **state)
{
    (void)state;
    assert_string_equal(nearest("rnu"), "run");
    assert_string_equal(nearest("plann show"), "plan show");
    assert_string_equal(nearest("--customer"), "--customers");
    assert_string_equal(nearest("retention_emial"), "retention_email");
}

static void a_beginning_or_a_part_is_near_when_no_mistake_explains_it(void **state)
{
    (void)state;
    assert_string_equal(nearest("--as"), "--as-of");
    assert_string_equal(nearest("_email"), "retention_email");
    assert_string_equal(nearest("treatment"), "treatment list");
}

static void of_equal_ones_the_first_is_named_and_a_mistake_beats_a_beginning(void **state)
{
    struct cvm_suggestion suggestion = {.typed = "ab"};
    (void)state;
    assert_string_equal(nearest("retention_"), "retention_email"); /* both begin with it */
    cvm_suggestion_try(&suggestion, "abcdef");
    cvm_suggestion_try(&suggestion, "ax");
    assert_string_equal(suggestion.best, "ax");
    cvm_suggestion_try(&suggestion, "ay");
    assert_string_equal(suggestion.best, "ax");
}

static void what_is_far_is_not_suggested(void **state)
{
    (void)state;
    assert_null(nearest("frobnicate"));
    assert_null(nearest("x"));
    assert_null(nearest(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_typing_mistake_or_two_are_near),
        cmocka_unit_test(a_beginning_or_a_part_is_near_when_no_mistake_explains_it),
        cmocka_unit_test(of_equal_ones_the_first_is_named_and_a_mistake_beats_a_beginning),
        cmocka_unit_test(what_is_far_is_not_suggested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
