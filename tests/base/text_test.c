#include "base/text.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"

static void check_double(double value, const char *expected)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_text_add_double(&text, value);
    assert_string_equal(cvm_text_string(&text), expected);
    cvm_text_finish(&text);
}

static void doubles_are_written_with_the_fewest_digits(void **state)
{
    (void)state;
    check_double(75.99, "75.99");
    check_double(20, "20");
    check_double(-12.5, "-12.5");
    check_double(0.05, "0.05");
    check_double(0.0, "0");
    check_double(-0.0, "-0");
    check_double(0.1 + 0.2, "0.30000000000000004");
    check_double(1.0 / 3.0, "0.3333333333333333");
    check_double(0.0001, "0.0001");
    check_double(0.00001, "1e-05");
    check_double(123456789012.34, "123456789012.34");
    check_double(1e15, "1000000000000000");
    check_double(1e16, "1e+16");
    check_double(1e300, "1e+300");
    check_double(-2.5e-7, "-2.5e-07");
    check_double(DBL_MAX, "1.7976931348623157e+308");
    check_double(5e-324, "5e-324");
    check_double(9007199254740992.0, "9007199254740992");
    check_double(NAN, "nan");
    check_double(INFINITY, "inf");
    check_double(-INFINITY, "-inf");
}

static void every_double_reads_back_to_itself(void **state)
{
    (void)state;
    struct cvm_random random;
    struct cvm_text text;
    cvm_random_init(&random, 1);
    cvm_text_init(&text, 0);
    for (int i = 0; i < 300000; i++) {
        uint64_t bits = cvm_random_u64(&random);
        double value = 0;
        memcpy(&value, &bits, sizeof(value));
        if (i % 3 == 1) {
            value = (double)(int64_t)(bits >> 30) / 1000.0;
        } else if (i % 3 == 2) {
            value = (double)((int64_t)bits >> 24) / 100.0;
        }
        if (!isfinite(value)) {
            continue;
        }
        cvm_text_clear(&text);
        cvm_text_add_double(&text, value);
        assert_true(strtod(cvm_text_string(&text), NULL) == value);
        assert_true(text.length <= 24);
    }
    cvm_text_finish(&text);
}

static bool reads(const char *text, double *out_value)
{
    return cvm_text_to_double(text, strlen(text), out_value);
}

static void only_decimal_numbers_are_read_as_doubles(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } good[] = {
        {"0", 0},
        {"-0.5", -0.5},
        {"+12.25", 12.25},
        {"1e3", 1000},
        {"5.", 5},
        {".5", 0.5},
        {"1E-2", 0.01},
        {"007", 7},
        {"1e-400", 0},
        {"0e999", 0},
        {"4.9e-324", 5e-324},
        {"0.1", 0.1},
        {"1e308", 1e308},
        {"123456789012345678", 123456789012345678.0},
    };
    static const char *const bad[] = {
        "",    " 1",  "1 ",   "-",     "+",     "+-1", "--1",   ".",   "e5",       "1e",
        "inf", "nan", "-inf", "1e400", "0x1p3", "1,5", "1_000", "12a", "infinity", "-nan",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        double value = -1;
        assert_true(reads(good[i].text, &value));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        double value = -1;
        assert_false(reads(bad[i], &value));
        assert_true(value == -1);
    }
    double value = -1;
    assert_true(cvm_text_to_double("12345", 2, &value));
    assert_true(value == 12);
}

static void integers_are_written_to_the_last_one(void **state)
{
    (void)state;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_text_add_int(&text, INT64_MIN);
    cvm_text_add_char(&text, ' ');
    cvm_text_add_int(&text, 0);
    cvm_text_add_char(&text, ' ');
    cvm_text_add_int(&text, INT64_MAX);
    assert_string_equal(cvm_text_string(&text), "-9223372036854775808 0 9223372036854775807");
    cvm_text_finish(&text);
}

static void people_get_groups_of_three(void **state)
{
    (void)state;
    const struct {
        int64_t value;
        const char *expected;
    } cases[] = {
        {0, "0"},
        {999, "999"},
        {1000, "1,000"},
        {12345678, "12,345,678"},
        {-100, "-100"},
        {-1000, "-1,000"},
        {INT64_MIN, "-9,223,372,036,854,775,808"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cvm_text text;
        cvm_text_init(&text, 0);
        cvm_text_add_grouped(&text, cases[i].value);
        assert_string_equal(cvm_text_string(&text), cases[i].expected);
        cvm_text_finish(&text);
    }
}

static void text_grows_and_always_ends_in_a_nul(void **state)
{
    (void)state;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    assert_string_equal(cvm_text_string(&text), "");
    for (int i = 0; i < 10000; i++) {
        cvm_text_add_format(&text, "%d,", i % 10);
        assert_int_equal(text.data[text.length], '\0');
    }
    assert_int_equal(text.length, 20000);
    cvm_text_clear(&text);
    assert_string_equal(cvm_text_string(&text), "");
    char wide[1000];
    memset(wide, 'x', sizeof(wide) - 1);
    wide[sizeof(wide) - 1] = '\0';
    cvm_text_add_format(&text, "%s!", wide);
    assert_int_equal(text.length, 1000);
    assert_int_equal(text.data[999], '!');
    cvm_text_finish(&text);
    assert_string_equal(cvm_text_string(&text), "");
}

static void a_failure_sticks_until_the_text_is_cleared(void **state)
{
    (void)state;
    struct cvm_text text;
    cvm_text_init(&text, 5);
    cvm_text_add(&text, "abc");
    cvm_text_add(&text, "def");
    assert_true(text.failed);
    cvm_text_add(&text, "x");
    assert_string_equal(cvm_text_string(&text), "abc");
    cvm_text_clear(&text);
    assert_false(text.failed);
    cvm_text_add(&text, "12345");
    assert_false(text.failed);
    cvm_text_add_char(&text, '6');
    assert_true(text.failed);
    assert_string_equal(cvm_text_string(&text), "12345");
    cvm_text_finish(&text);
}

static void slices_compare_with_strings(void **state)
{
    (void)state;
    assert_true(cvm_slice_equals((struct cvm_slice){"abcdef", 3}, "abc"));
    assert_false(cvm_slice_equals((struct cvm_slice){"abcdef", 3}, "abcd"));
    assert_false(cvm_slice_equals((struct cvm_slice){"ab\0d", 4}, "ab"));
    assert_true(cvm_slice_equals((struct cvm_slice){NULL, 0}, ""));
}

static void utf8_is_checked_byte_by_byte(void **state)
{
    (void)state;
    const char *const good[] = {"",
                                "plain ascii, longer than a word",
                                "caf\xC3\xA9",
                                "\xE2\x82\xAC",
                                "\xF0\x9F\x98\x80",
                                "\xED\x9F\xBF",
                                "\xEE\x80\x80",
                                "\xF4\x8F\xBF\xBF"};
    const char *const bad[] = {
        "\x80",     "\xC3",         "\xC0\xAF",         "\xC1\xBF",         "\xE0\x80\x80",
        "\xE2\x82", "\xED\xA0\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
        "\xFF",     "12345678\xFF", "a\xC3(",           "\xF0\x9F\x98"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(cvm_utf8_is_valid(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(cvm_utf8_is_valid(bad[i], strlen(bad[i])));
    }
}

static void distance_counts_edits(void **state)
{
    (void)state;
    assert_int_equal(cvm_text_distance("", ""), 0);
    assert_int_equal(cvm_text_distance("", "abc"), 3);
    assert_int_equal(cvm_text_distance("kitten", "sitting"), 3);
    assert_int_equal(cvm_text_distance("channel", "chanel"), 1);
    char a[200];
    memset(a, 'a', sizeof(a) - 1);
    a[sizeof(a) - 1] = '\0';
    assert_int_equal(cvm_text_distance(a, ""), 64);
}

static void phrases_are_whole_words_in_any_case(void **state)
{
    (void)state;
    const struct {
        const char *text;
        const char *phrase;
        ptrdiff_t at;
    } cases[] = {
        {"I want to CANCEL now", "cancel", 10},
        {"cancellation", "cancel", -1},
        {"uncancel", "cancel", -1},
        {"cancellation, then cancel.", "cancel", 19},
        {"cancel", "cancel", 0},
        {"cancel2", "cancel", -1},
        {"pre-cancel_it", "cancel", 4},
        {"call back later", "Call Back", 0},
        {"Schlie\xC3\x9F"
         "en \xC3\x9C"
         "ber alles",
         "\xC3\xBC"
         "ber",
         11},
        {"R\xC3\xA9siliation demand\xC3\xA9"
         "e",
         "R\xC3\x89SILIATION", 0},
        {"caf\xC3\xA9s", "caf\xC3\xA9", -1},
        {"caf\xC3\xA9", "caf", -1},
        {"\xC5\xBB\xC3\xB3\xC5\x82w", "\xC5\xBC\xC3\xB3\xC5\x81W", 0},
        {"\xE2\x80\x9C"
         "cancel\xE2\x80\x9D",
         "cancel", 3},
        {"c++ rocks", "c++", 0},
        {"", "x", -1},
        {"x", "", -1},
        {"ab", "abc", -1},
        {"caf\xC3", "caf", -1},
        {"network \r\n  ISSUES", "network issues", 0},
        {"network issues", "network  issues", 0},
        {"networkissues", "network issues", -1},
        {"don\u2019t cancel", "don't", 0},
        {"\u041F\u0440\u0438\u0432\u0435\u0442 \u041C\u0418\u0420", "\u043C\u0438\u0440", 13},
        {"\u041C\u0418\u0420\u041E\u0412", "\u043C\u0438\u0440", -1},
        {"\u03A3\u03AF\u03C3\u03C5\u03C6\u03BF\u03C2", "\u03C3\u038A\u03A3\u03A5\u03A6\u039F\u03A3",
         0},
        {"\u1EA0 \u1EBF", "\u1EA1 \u1EBE", 0},
        /* Japanese and Chinese have no spaces */
        {"\u79C1\u306F\u65E5\u672C\u8A9E\u3092", "\u65E5\u672C\u8A9E", 6},
        {"\u65E5\u672C 5G\u3001", "5g", 7},
        {"\u89E3\u7D04cancel\u3057\u305F", "cancel", 6},
        /* neither emojis nor currencies go on with a word */
        {"cancel\U0001F621", "cancel", 0},
        {"5\u20AC", "5", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(
            cvm_text_find_phrase(cases[i].text, strlen(cases[i].text), cases[i].phrase, NULL),
            cases[i].at);
    }
}

static void check_snippet(const char *text, size_t offset, size_t hit_length, size_t context,
                          const char *expected)
{
    struct cvm_text out;
    cvm_text_init(&out, 0);
    cvm_text_snippet(&out, text, strlen(text), offset, hit_length, context);
    assert_string_equal(cvm_text_string(&out), expected);
    cvm_text_finish(&out);
}

static void a_snippet_has_dots_only_where_something_was_cut_off(void **state)
{
    (void)state;
    check_snippet("keyword and much more text", 0, 7, 10, "keyword and much ...");
    check_snippet("some text ends in keyword", 18, 7, 10, "...t ends in keyword");
    check_snippet("keyword", 0, 7, 10, "keyword");
    check_snippet("a long text with keyword in the middle", 17, 7, 5, "...with keyword in t...");
    check_snippet("", 0, 7, 10, "");
    check_snippet("text", 0, 0, 10, "");
    check_snippet("text", 9, 2, 10, "");
    check_snippet("text", 2, 99, 0, "...xt");
}

static void a_snippet_counts_characters_and_not_bytes(void **state)
{
    (void)state;
    check_snippet("\xC3\xA9\xC3\xA9\xC3\xA9 key \xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC", 7, 3, 2,
                  "...\xC3\xA9 key \xE2\x82\xAC...");
}

static void a_star_matches_any_run(void **state)
{
    (void)state;
    assert_true(cvm_text_matches_pattern("billing.json", "*.json"));
    assert_true(cvm_text_matches_pattern("billing.json", "bill*"));
    assert_true(cvm_text_matches_pattern("billing.json", "*l*l*.j*n"));
    assert_true(cvm_text_matches_pattern("", "*"));
    assert_true(cvm_text_matches_pattern("", ""));
    assert_true(cvm_text_matches_pattern("abab", "*ab"));
    assert_false(cvm_text_matches_pattern("billing.jsonl", "*.json"));
    assert_false(cvm_text_matches_pattern("billing", "bill"));
    assert_false(cvm_text_matches_pattern("bill", "billing"));
    assert_false(cvm_text_matches_pattern("", "a"));
    assert_false(
        cvm_text_matches_pattern("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "*a*a*a*a*a*a*b"));
}

static void words_are_listed_as_far_as_they_fit(void **state)
{
    static const char *const none[] = {NULL};
    static const char *const one[] = {"a", NULL};
    static const char *const three[] = {"a", "b", "c", NULL};
    char longest[CVM_WORD_LIST_SIZE];
    const char *const many[] = {"a", longest, "b", NULL};
    char found[CVM_WORD_LIST_SIZE];
    (void)state;
    cvm_word_list(none, found);
    assert_string_equal(found, "");
    cvm_word_list(one, found);
    assert_string_equal(found, "a");
    cvm_word_list(three, found);
    assert_string_equal(found, "a, b or c");
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    cvm_word_list(many, found);
    assert_string_equal(found, "a, ...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_are_written_with_the_fewest_digits),
        cmocka_unit_test(every_double_reads_back_to_itself),
        cmocka_unit_test(only_decimal_numbers_are_read_as_doubles),
        cmocka_unit_test(integers_are_written_to_the_last_one),
        cmocka_unit_test(people_get_groups_of_three),
        cmocka_unit_test(text_grows_and_always_ends_in_a_nul),
        cmocka_unit_test(a_failure_sticks_until_the_text_is_cleared),
        cmocka_unit_test(slices_compare_with_strings),
        cmocka_unit_test(utf8_is_checked_byte_by_byte),
        cmocka_unit_test(distance_counts_edits),
        cmocka_unit_test(phrases_are_whole_words_in_any_case),
        cmocka_unit_test(a_snippet_has_dots_only_where_something_was_cut_off),
        cmocka_unit_test(a_snippet_counts_characters_and_not_bytes),
        cmocka_unit_test(a_star_matches_any_run),
        cmocka_unit_test(words_are_listed_as_far_as_they_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
