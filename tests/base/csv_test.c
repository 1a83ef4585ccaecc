/* csv_test.c - records split as RFC 4180 says, whatever the quoting, and bad ones cost themselves
 * only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/csv.h"

#define ARENA_BYTES ((size_t)16 << 20)

static int set_up(void **state)
{
    *state = cvm_arena_create(ARENA_BYTES);
    return *state == NULL;
}

static int tear_down(void **state)
{
    cvm_arena_destroy(*state);
    return 0;
}

/* Split `record` and compare its fields, written as "a|b|c". */
static void splits_to_n(void **state, const char *record, size_t length, const char *expected)
{
    struct cvm_slice *fields = NULL;
    size_t count = 0;
    struct cvm_error err;
    struct cvm_text joined;
    if (cvm_csv_split(*state, record, length, ',', &fields, &count, &err) != CVM_OK) {
        fail_msg("refused '%.*s': %s", (int)length, record, err.message);
    }
    cvm_text_init(&joined, 0);
    for (size_t i = 0; i < count; i++) {
        cvm_text_add(&joined, i == 0 ? "" : "|");
        cvm_text_add_bytes(&joined, fields[i].data, fields[i].length);
    }
    assert_string_equal(cvm_text_string(&joined), expected);
    cvm_text_finish(&joined);
}

static void splits_to(void **state, const char *record, const char *expected)
{
    splits_to_n(state, record, strlen(record), expected);
}

static void refuses_n(void **state, const char *record, size_t length, const char *words)
{
    struct cvm_slice *fields = NULL;
    size_t count = 77;
    struct cvm_error err;
    enum cvm_status status = cvm_csv_split(*state, record, length, ',', &fields, &count, &err);
    assert_int_equal(status, CVM_E_INVALID);
    assert_null(fields);
    assert_int_equal(count, 77);
    if (strstr(err.message, words) == NULL) {
        fail_msg("message '%s' lacks '%s'", err.message, words);
    }
}

static void refuses(void **state, const char *record, const char *words)
{
    refuses_n(state, record, strlen(record), words);
}

static void plain_fields_split_at_the_separator(void **state)
{
    splits_to(state, "a,b,c\n", "a|b|c");
    splits_to(state, "a,b,c\r\n", "a|b|c");
    splits_to(state, "a,b,c", "a|b|c");
    splits_to(state, ",,\n", "||");
    splits_to(state, "\n", "");
    splits_to(state, "", "");
    splits_to(state, " a , b \n", " a | b ");
    splits_to(state, "a;b\tc,d", "a;b\tc|d");
    splits_to(state,
              "\xEF\xBB\xBF"
              "a,b",
              "a|b");
    splits_to(state, "na\xC3\xAFve,\xE2\x82\xAC", "na\xC3\xAFve|\xE2\x82\xAC");
}

static void quoted_fields_hold_separators_newlines_and_doubled_quotes(void **state)
{
    splits_to(state, "\"a,b\",c\n", "a,b|c");
    splits_to(state, "\"a\nb\",\"c\r\nd\"\r\n", "a\nb|c\r\nd");
    splits_to(state, "\"say \"\"hi\"\"\",x\n", "say \"hi\"|x");
    splits_to(state, "\"\"\"\",\"\",\"\"\"\"\"\"\n", "\"||\"\"");
    splits_to(state, "\xEF\xBB\xBF\"a,b\",c", "a,b|c");
    splits_to(state, "a,\"b\"", "a|b");
    splits_to(state, "\"a\",", "a|");
}

static void a_stray_quote_is_refused_with_its_place(void **state)
{
    refuses(state, "a,b\"c,d\n", "field 2, byte 3: stray quote");
    refuses(state, "a,\"b\"c,d\n", "field 2, byte 5: text after the closing quote");
    refuses(state, "a,\"b,d\n", "field 2, byte 2: quote is never closed");
    refuses(state, "\"", "quote is never closed");
    refuses(state, "\"\"\"", "quote is never closed");
    refuses(state, "a \"b\"\n", "stray quote");
}

static void nul_bytes_and_invalid_utf8_are_refused(void **state)
{
    refuses_n(state, "a,\0b\n", 5, "byte 2: NUL byte");
    refuses_n(state, "\"a\0\",b\n", 7, "NUL byte");
    refuses(state, "a,\xFF\n", "invalid UTF-8");
    refuses(state, "a,\"\xC3\",b\n", "invalid UTF-8");
}

static void a_record_ends_at_a_newline_outside_quotes(void **state)
{
    (void)state;
    assert_int_equal(cvm_csv_record_length("a,b\nc,d\n", 8, false), 4);
    assert_int_equal(cvm_csv_record_length("a,b\r\nc\n", 7, false), 5);
    assert_int_equal(cvm_csv_record_length("\n\n", 2, false), 1);
    assert_int_equal(cvm_csv_record_length("\"a\nb\",c\nd\n", 10, false), 8);
    assert_int_equal(cvm_csv_record_length("x,\"a\"\"\nb\"\ny\n", 12, false), 10);
    assert_int_equal(cvm_csv_record_length("\xEF\xBB\xBF\"a\nb\"\nc\n", 11, false), 9);
    assert_int_equal(cvm_csv_record_length("a,b", 3, false), 0);
    assert_int_equal(cvm_csv_record_length("a,b", 3, true), 3);
    assert_int_equal(cvm_csv_record_length("\"a\nb", 4, false), 0);
    assert_int_equal(cvm_csv_record_length("\"a\nb", 4, true), 4);
    assert_int_equal(cvm_csv_record_length("", 0, true), 0);
}

static void a_stray_quote_costs_its_own_line_only(void **state)
{
    (void)state;
    assert_int_equal(cvm_csv_record_length("5\" screen,1\nnext\n", 17, false), 12);
    assert_int_equal(cvm_csv_record_length("5\"\" screen,1\nnext\n", 18, false), 13);
    assert_int_equal(cvm_csv_record_length("a,\"b\"c\"d\ne\n", 11, false), 9);
}

static void a_record_cut_anywhere_is_not_whole(void **state)
{
    (void)state;
    static const char record[] = "U1,\"a \"\"quoted\"\" text,\nover lines\",3.5,\"\",\"\"\"\"\r\n";
    size_t whole = sizeof(record) - 1;
    for (size_t length = 0; length < whole; length++) {
        assert_int_equal(cvm_csv_record_length(record, length, false), 0);
        assert_int_equal(cvm_csv_record_length(record, length, true), length);
    }
    assert_int_equal(cvm_csv_record_length(record, whole, false), whole);
}

static void many_quotes_cost_linear_time(void **state)
{
    size_t length = (size_t)4 << 20;
    char *text = malloc(length);
    assert_non_null(text);
    for (size_t i = 0; i + 4 <= length; i += 4) {
        memcpy(text + i, "\"\",a", 4);
    }
    assert_int_equal(cvm_csv_record_length(text, length, true), length);
    memset(text, '"', length);
    assert_int_equal(cvm_csv_record_length(text, length, true), length);
    splits_to_n(state, text, 6, "\"\"");
    free(text);
}

static void the_header_names_the_separator(void **state)
{
    (void)state;
    assert_int_equal(cvm_csv_separator("a,b,c\n", 6), ',');
    assert_int_equal(cvm_csv_separator("a;b;c,d\n", 8), ';');
    assert_int_equal(cvm_csv_separator("a\tb\tc\n1,2,3,4,5\n", 17), '\t');
    assert_int_equal(cvm_csv_separator("\"a,b,c,d\";e\n", 12), ';');
    assert_int_equal(cvm_csv_separator("alone\n", 6), ',');
    assert_int_equal(cvm_csv_separator("", 0), ',');
}

static void what_is_written_reads_back(void **state)
{
    static const char *const fields[] = {"",   "plain", "a,b",           "say \"hi\"", "two\nlines",
                                         "\r", "\"",    "\xEF\xBB\xBFx", "a;b",        " space "};
    size_t field_count = sizeof(fields) / sizeof(fields[0]);
    struct cvm_text out;
    cvm_text_init(&out, 0);
    for (size_t i = 0; i < field_count; i++) {
        size_t at = (i + 7) % field_count; /* the one like a byte-order mark comes first */
        cvm_text_add(&out, i == 0 ? "" : ",");
        cvm_csv_add_field(&out, fields[at], strlen(fields[at]), ',');
    }
    cvm_text_add(&out, "\n");
    struct cvm_slice *split = NULL;
    size_t count = 0;
    struct cvm_error err;
    assert_int_equal(cvm_csv_record_length(out.data, out.length, false), out.length);
    assert_int_equal(cvm_csv_split(*state, out.data, out.length, ',', &split, &count, &err),
                     CVM_OK);
    assert_int_equal(count, field_count);
    for (size_t i = 0; i < count; i++) {
        assert_true(cvm_slice_equals(split[i], fields[(i + 7) % field_count]));
    }
    cvm_text_finish(&out);
}

static void a_full_arena_is_a_limit(void **state)
{
    (void)state;
    struct cvm_arena *tiny = cvm_arena_create(4096);
    struct cvm_slice *fields = NULL;
    size_t count = 0;
    struct cvm_error err;
    char record[2000];
    assert_non_null(tiny);
    memset(record, ',', sizeof(record));
    assert_int_equal(cvm_csv_split(tiny, record, sizeof(record), ',', &fields, &count, &err),
                     CVM_E_LIMIT);
    cvm_arena_destroy(tiny);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plain_fields_split_at_the_separator),
        TEST(quoted_fields_hold_separators_newlines_and_doubled_quotes),
        TEST(a_stray_quote_is_refused_with_its_place),
        TEST(nul_bytes_and_invalid_utf8_are_refused),
        TEST(a_record_ends_at_a_newline_outside_quotes),
        TEST(a_stray_quote_costs_its_own_line_only),
        TEST(a_record_cut_anywhere_is_not_whole),
        TEST(many_quotes_cost_linear_time),
        TEST(the_header_names_the_separator),
        TEST(what_is_written_reads_back),
        TEST(a_full_arena_is_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
