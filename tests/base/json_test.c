/* json_test.c - the JSON reader takes what RFC 8259 allows, refuses the rest with a place, and the
 * writer writes what the reader takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "base/json_reader.h"
#include "base/json_writer.h"

#define ARENA_BYTES    ((size_t)64 << 20)
#define DOCUMENT_BYTES ((size_t)16 << 20)

struct fixture {
    struct cvm_arena *arena;
    struct cvm_json_reader *reader;
    struct cvm_error err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->arena = cvm_arena_create(ARENA_BYTES);
    f->reader = cvm_json_reader_create(DOCUMENT_BYTES);
    assert_non_null(f->arena);
    assert_non_null(f->reader);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    cvm_json_reader_destroy(f->reader);
    cvm_arena_destroy(f->arena);
    free(f);
    return 0;
}

static const struct cvm_json_value *accept_n(struct fixture *f, const char *text, size_t length)
{
    const struct cvm_json_value *value = NULL;
    if (cvm_json_read(f->reader, f->arena, text, length, false, &value, &f->err) != CVM_OK) {
        fail_msg("refused %s: %s", text, f->err.message);
    }
    assert_non_null(value);
    return value;
}

static const struct cvm_json_value *accept(struct fixture *f, const char *text)
{
    return accept_n(f, text, strlen(text));
}

static const char sentinel_byte;

static void refuse_n(struct fixture *f, const char *text, size_t length, const char *words)
{
    const struct cvm_json_value *sentinel = (const struct cvm_json_value *)&sentinel_byte;
    const struct cvm_json_value *value = sentinel;
    memset(&f->err, 0, sizeof(f->err));
    enum cvm_status status =
        cvm_json_read(f->reader, f->arena, text, length, false, &value, &f->err);
    if (status != CVM_E_INVALID) {
        fail_msg("%.*s: status %d, expected invalid", (int)length, text, (int)status);
    }
    assert_ptr_equal(value, sentinel);
    if (strstr(f->err.message, words) == NULL) {
        fail_msg("%.*s: message '%s' lacks '%s'", (int)length, text, f->err.message, words);
    }
    char place[64];
    (void)!snprintf(place, sizeof(place), "JSON at byte %zu:", cvm_json_fault_offset(f->reader));
    assert_non_null(strstr(f->err.message, place));
}

static void refuse(struct fixture *f, const char *text, const char *words)
{
    refuse_n(f, text, strlen(text), words);
}

static void assert_slice(struct cvm_slice slice, const char *expected)
{
    if (!cvm_slice_equals(slice, expected)) {
        fail_msg("'%.*s' is not '%s'", (int)slice.length, slice.data, expected);
    }
}

static void a_document_becomes_a_tree_in_order(void **state)
{
    struct fixture *f = *state;
    const struct cvm_json_value *root =
        accept(f, " {\"id\": \"U1\", \"gb\": 18.5, \"n\": [1, true, null], \"o\": {\"x\": {}}} \n");
    assert_int_equal(root->type, CVM_JSON_OBJECT);
    assert_int_equal(root->child_count, 4);
    assert_slice(root->raw,
                 "{\"id\": \"U1\", \"gb\": 18.5, \"n\": [1, true, null], \"o\": {\"x\": {}}}");
    assert_slice(root->first_child->key, "id");
    assert_slice(root->first_child->string, "U1");
    assert_slice(root->first_child->raw, "\"U1\"");
    assert_int_equal(cvm_json_member(root, "gb")->type, CVM_JSON_DOUBLE);
    assert_true(cvm_json_member(root, "gb")->number == 18.5);
    const struct cvm_json_value *list = cvm_json_member(root, "n");
    assert_slice(list->raw, "[1, true, null]");
    assert_int_equal(list->child_count, 3);
    assert_int_equal(list->first_child->type, CVM_JSON_INT);
    assert_int_equal(list->first_child->integer, 1);
    assert_true(list->first_child->number == 1.0);
    assert_true(list->first_child->next->boolean);
    assert_int_equal(list->first_child->next->next->type, CVM_JSON_NULL);
    assert_null(list->first_child->next->next->next);
    assert_slice(cvm_json_member(root, "o")->raw, "{\"x\": {}}");
    assert_slice(cvm_json_member(cvm_json_member(root, "o"), "x")->raw, "{}");
    assert_null(cvm_json_member(root, "absent"));
    assert_null(cvm_json_member(list, "id"));
    assert_null(cvm_json_member(NULL, "id"));
}

static void a_bare_scalar_is_a_document(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(accept(f, "12")->integer, 12);
    assert_int_equal(accept(f, " -7 ")->integer, -7);
    assert_true(accept(f, "1.25")->number == 1.25);
    assert_slice(accept(f, "\"a b\"")->string, "a b");
    assert_true(accept(f, "true")->boolean);
    assert_int_equal(accept(f, "false\n")->type, CVM_JSON_BOOL);
    assert_int_equal(accept(f, "null")->type, CVM_JSON_NULL);
    refuse(f, "12 34", "byte 0: not a number");
    refuse(f, "\"a\" \"b\"", "byte 3: text after a string");
    refuse(f, "true x", "misspelt");
    refuse(f, "nul", "misspelt");
}

static void a_whole_number_is_int_as_long_as_it_fits(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(accept(f, "[9223372036854775807]")->first_child->integer, INT64_MAX);
    assert_int_equal(accept(f, "[-9223372036854775808]")->first_child->integer, INT64_MIN);
    const struct cvm_json_value *big = accept(f, "[9223372036854775808]")->first_child;
    assert_int_equal(big->type, CVM_JSON_DOUBLE);
    assert_true(big->number == 9223372036854775808.0);
    big = accept(f, "[123456789012345678901234567890]")->first_child;
    assert_true(big->number == 123456789012345678901234567890.0);
    assert_int_equal(accept(f, "[1.0]")->first_child->type, CVM_JSON_DOUBLE);
    assert_int_equal(accept(f, "[1e2]")->first_child->type, CVM_JSON_DOUBLE);
    assert_int_equal(accept(f, "[-0]")->first_child->type, CVM_JSON_INT);
}

static void a_number_outside_of_double_is_refused_and_a_tiny_one_is_zero(void **state)
{
    struct fixture *f = *state;
    refuse(f, "[1e999]", "byte 1: number out of range");
    refuse(f, "{\"a\": -1e400}", "byte 6: number out of range");
    assert_true(accept(f, "[1e-999]")->first_child->number == 0.0);
    assert_true(accept(f, "[5e-324]")->first_child->number == 5e-324);
    assert_true(accept(f, "[1.7976931348623157e308]")->first_child->number ==
                1.7976931348623157e308);
}

static void what_is_no_number_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"01",    "-",    "+1",       ".5",    "1.",  "1e",
                                      "1e+",   "0x10", "1_0",      "1.2.3", "--1", "-a",
                                      "1e5.0", "NaN",  "Infinity", "1a"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64];
        refuse(f, bad[i], "JSON at byte 0");
        (void)snprintf(text, sizeof(text), "[%s]", bad[i]);
        refuse(f, text, "JSON at byte 1");
        (void)snprintf(text, sizeof(text), "{\"k\":%s}", bad[i]);
        refuse(f, text, "JSON at byte 5");
    }
}

static void escapes_are_undone_in_keys_and_strings(void **state)
{
    struct fixture *f = *state;
    const struct cvm_json_value *root =
        accept(f, "{\"a\\u0062\": \"q\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00\"}");
    assert_slice(root->first_child->key, "ab");
    assert_slice(root->first_child->string, "q\"\\/\b\f\n\r\t\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    root = accept(f, "[\"a\\u0000b\"]");
    assert_int_equal(root->first_child->string.length, 3);
    assert_memory_equal(root->first_child->string.data, "a\0b", 3);
    refuse(f, "[\"\\x41\"]", "byte 1: invalid escape");
    refuse(f, "[\"\\u12\"]", "byte 1: invalid escape");
    refuse(f, "{\"\\q\": 1}", "byte 1: invalid escape");
}

static void a_lone_surrogate_is_refused(void **state)
{
    struct fixture *f = *state;
    refuse(f, "[\"\\ud800\"]", "lone surrogate");
    refuse(f, "[\"\\ud800x\"]", "lone surrogate");
    refuse(f, "[\"\\ud800\\ud800\"]", "lone surrogate");
    refuse(f, "[\"\\udc00\"]", "lone surrogate");
    refuse(f, "[\"\\ude00\\ud83d\"]", "lone surrogate");
    refuse(f, "{\"\\udfff\": 1}", "lone surrogate");
    refuse(f, "[\"\\ud800\\u0041\"]", "lone surrogate");
}

static void long_strings_with_late_escapes_come_out_whole(void **state)
{
    struct fixture *f = *state;
    for (size_t length = 0; length < 200; length++) {
        char text[256];
        char expected[256];
        memset(expected, 'x', sizeof(expected));
        expected[length] = '"';
        expected[length + 1] = '\0';
        (void)snprintf(text, sizeof(text), "[\"%.*s\\\"\"]", (int)length, expected);
        assert_slice(accept(f, text)->first_child->string, expected);
    }
}

static void invalid_utf8_and_raw_control_bytes_are_refused_with_their_place(void **state)
{
    struct fixture *f = *state;
    refuse(f, "[\"ab\xFF\"]", "byte 4: invalid UTF-8");
    refuse(f, "[\"\xC3\"]", "byte 2: invalid UTF-8");
    refuse(f, "[\"\xED\xA0\x80\"]", "invalid UTF-8");
    refuse(f, "[\"\xC0\x80\"]", "invalid UTF-8");
    refuse(f, "{\"\xF8\": 1}", "invalid UTF-8");
    refuse(f, "[1\xFF]", "invalid UTF-8");
    refuse(f, "[\"a\nb\"]", "byte 3: control character");
    refuse_n(f, "[\"a\0b\"]", 7, "byte 3: control character");
    refuse_n(f, "[1\0]", 4, "byte 1: not a number");
    refuse_n(f, "[\0]", 3, "byte 1");
    refuse_n(f, "[1]\0", 4, "byte 3: text after the end");
}

static void broken_structure_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {
        "",
        " \n",
        "{",
        "[",
        "}",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1:2]",
        "[\"a\":1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{1:2}",
        "{a:1}",
        "{\"a\":1]",
        "[{\"a\":1]}",
        "[1}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "[1] 2",
        "{} {}",
        "[]]",
        "[[]",
        "{\"a\":[}",
        "{\"a\":{\"b\":1}",
        "[tru]",
        "[truee]",
        "[nulll]",
        "['a']",
        "[1]//x",
        "[\"a\"b]",
        "{\"a\"b:1}",
        "{\"a\"::1}",
        "{\"a\":1,,\"b\":2}",
        "[True]",
        "[1,2",
        "{\"a\":\"b}",
        ",",
        ":",
        "[\"a\" \"b\"]",
        "{\"a\":[1,2}",
        "{}[]",
        "\"a",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        refuse(f, bad[i], "JSON at byte ");
    }
    refuse(f, "", "byte 0: the document is empty");
    refuse(f, "{\"a\":\"b}", "byte 5: a string that begins here is never closed");
    refuse(f, "[1] 2", "byte 4: text after the end of the document");
    refuse(f, "{\"a\":1,}", "missing or misplaced");
}

static void duplicate_keys_are_refused_in_small_and_large_objects(void **state)
{
    struct fixture *f = *state;
    struct cvm_text text;
    refuse(f, "{\"a\":1,\"b\":2,\"a\":3}", "byte 17: key 'a' appears twice");
    refuse(f, "{\"a\":1,\"\\u0061\":3}", "key 'a' appears twice");
    refuse(f, "[{\"x\":{\"\":1,\"\":1}}]", "key '' appears twice");
    accept(f, "[{\"a\":1},{\"a\":1,\"A\":2}]");
    for (int twin = 0; twin < 2; twin++) {
        cvm_text_init(&text, 0);
        cvm_text_add_char(&text, '{');
        for (int i = 0; i < 5000; i++) {
            cvm_text_add_format(&text, "\"key%d\":%d,", (i * 7919) % 5000, i);
        }
        cvm_text_add(&text, twin ? "\"key4321\":1}" : "\"key5000\":1}");
        if (twin) {
            refuse_n(f, text.data, text.length, "key 'key4321' appears twice");
        } else {
            assert_int_equal(accept_n(f, text.data, text.length)->child_count, 5001);
        }
        cvm_text_finish(&text);
    }
}

static void nesting_is_allowed_to_the_limit_and_refused_beyond(void **state)
{
    struct fixture *f = *state;
    char text[2 * 100 + 2];
    for (int depth = 1; depth <= 100; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        if (depth <= CVM_JSON_DEPTH_MAX) {
            (void)accept_n(f, text, 2 * (size_t)depth);
        } else {
            refuse_n(f, text, 2 * (size_t)depth, "byte 64: nested too deeply");
        }
    }
    struct cvm_text deep;
    cvm_text_init(&deep, 0);
    for (int i = 0; i < 100; i++) {
        cvm_text_add(&deep, "{\"a\":");
    }
    cvm_text_add(&deep, "1");
    for (int i = 0; i < 100; i++) {
        cvm_text_add(&deep, "}");
    }
    refuse_n(f, deep.data, deep.length, "nested too deeply");
    cvm_text_clear(&deep);
    for (int i = 0; i < 1000000; i++) {
        cvm_text_add_char(&deep, '[');
    }
    refuse_n(f, deep.data, deep.length, "JSON at byte");
    cvm_text_finish(&deep);
}

static const char sample[] = "[{\"id\":\"U\\u00e9\\n\",\"d\":\"2024-02-15\",\"gb\":-18.5e1,\"n\":["
                             "1,true,null,{}],\"o\":{\"x\":"
                             "false}}, \"\xE2\x82\xAC\"]";

static void a_document_cut_anywhere_is_refused_whatever_the_padding_holds(void **state)
{
    struct fixture *f = *state;
    static const char fillers[] = {' ', '\0', '"', '}', ']', ',', ':',
                                   '1', '\\', '{', '[', 'e', '\n'};
    char buffer[sizeof(sample) + CVM_JSON_PADDING];
    const struct cvm_json_value *value = NULL;
    size_t whole = sizeof(sample) - 1;
    for (size_t filler = 0; filler < sizeof(fillers); filler++) {
        for (size_t length = 0; length <= whole; length++) {
            memset(buffer, fillers[filler], sizeof(buffer));
            memcpy(buffer, sample, length);
            enum cvm_status status =
                cvm_json_read(f->reader, f->arena, buffer, length, true, &value, &f->err);
            assert_int_equal(status, length == whole ? CVM_OK : CVM_E_INVALID);
        }
        for (size_t length = 0; length <= whole; length++) { /* what really follows */
            memcpy(buffer, sample, sizeof(sample));
            enum cvm_status status =
                cvm_json_read(f->reader, f->arena, buffer, length, true, &value, &f->err);
            assert_int_equal(status, length == whole ? CVM_OK : CVM_E_INVALID);
        }
    }
    assert_ptr_equal(value->raw.data, buffer);
}

static void a_byte_changed_anywhere_never_breaks_the_reader(void **state)
{
    struct fixture *f = *state;
    char text[sizeof(sample)];
    for (size_t at = 0; at < sizeof(sample) - 1; at++) {
        for (int byte = 0; byte < 256; byte++) {
            const struct cvm_json_value *value = NULL;
            memcpy(text, sample, sizeof(sample));
            text[at] = (char)byte;
            cvm_arena_reset(f->arena);
            enum cvm_status status = cvm_json_read(f->reader, f->arena, text, sizeof(sample) - 1,
                                                   false, &value, &f->err);
            assert_true(status == CVM_OK || status == CVM_E_INVALID);
        }
    }
}

static void a_byte_order_mark_is_skipped_and_counted(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(accept(f, "\xEF\xBB\xBF[1]")->child_count, 1);
    refuse(f, "\xEF\xBB\xBF[x]", "byte 4");
}

static void too_large_a_document_and_too_small_an_arena_are_limits(void **state)
{
    struct fixture *f = *state;
    const struct cvm_json_value *value = NULL;
    struct cvm_json_reader *small = cvm_json_reader_create(1000);
    char *text = malloc(100001);
    assert_non_null(small);
    assert_non_null(text);
    memset(text, ' ', 100001);
    text[0] = '1';
    assert_int_equal(cvm_json_read(small, f->arena, text, 1000, false, &value, &f->err), CVM_OK);
    assert_int_equal(cvm_json_read(small, f->arena, text, 1001, false, &value, &f->err),
                     CVM_E_LIMIT);
    struct cvm_arena *tight = cvm_arena_create(64 * 1024);
    assert_non_null(tight);
    text[0] = '[';
    for (size_t i = 1; i < 100000; i += 2) {
        text[i] = '1';
        text[i + 1] = i + 2 < 100000 ? ',' : ']';
    }
    assert_int_equal(cvm_json_read(f->reader, tight, text, 100001, false, &value, &f->err),
                     CVM_E_LIMIT);
    cvm_arena_destroy(tight);
    struct cvm_arena *middling = cvm_arena_create(1 << 20);
    assert_int_equal(cvm_json_read(f->reader, middling, text, 100001, false, &value, &f->err),
                     CVM_E_LIMIT);
    assert_int_equal(cvm_json_read(f->reader, f->arena, text, 100001, false, &value, &f->err),
                     CVM_OK);
    assert_int_equal(value->child_count, 50000);
    assert_int_equal(cvm_json_read(f->reader, f->arena, "[", 1, false, &value, NULL),
                     CVM_E_INVALID);
    cvm_arena_destroy(middling);
    cvm_json_reader_destroy(small);
    cvm_json_reader_destroy(NULL);
    free(text);
}

static uint64_t hash_of(struct fixture *f, const char *text)
{
    return cvm_json_hash(accept(f, text));
}

static void the_hash_ignores_key_order_and_space_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    static const char *const different[] = {
        "{\"a\":1}",
        "{\"a\":1.0}",
        "{\"a\":\"1\"}",
        "{\"a\":true}",
        "{\"a\":null}",
        "{\"a\":[]}",
        "{\"a\":{}}",
        "{\"b\":1}",
        "{\"a\":1,\"b\":2}",
        "{\"a\":2,\"b\":1}",
        "[1,2]",
        "[2,1]",
        "[[1],2]",
        "[1,[2]]",
        "[]",
        "{}",
        "\"\"",
        "null",
        "false",
        "true",
        "0",
        "[null]",
        "[0]",
        "[\"\"]",
        "{\"\":\"\"}",
        "{\"a\":[{\"b\":1},{\"c\":2}]}",
        "{\"a\":[{\"b\":2},{\"c\":1}]}",
    };
    assert_true(hash_of(f, "{\"a\":1,\"b\":[1, {\"x\":2,\"y\":3}]}") ==
                hash_of(f, "{ \"b\" : [1,{\"y\":3,\"x\":2}], \"\\u0061\" : 1 }"));
    for (size_t i = 0; i < sizeof(different) / sizeof(different[0]); i++) {
        for (size_t j = 0; j < i; j++) {
            if (hash_of(f, different[i]) == hash_of(f, different[j])) {
                fail_msg("%s and %s have one hash", different[i], different[j]);
            }
        }
    }
}

static void the_writer_writes_compact_and_pretty(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "{\"a\":1,\"b\":[true,null,{}],\"c\":{\"d\":\"x\"},\"e\":[],\"f\":1.5}",
        "{\n  \"a\": 1,\n  \"b\": [\n    true,\n    null,\n    {}\n  ],\n  \"c\": {\n    \"d\": "
        "\"x\"\n  },\n  \"e\": [],\n  \"f\": 1.5\n}",
    };
    for (int pretty = 0; pretty < 2; pretty++) {
        struct cvm_text text;
        struct cvm_json_writer w;
        cvm_text_init(&text, 0);
        cvm_json_init(&w, &text, pretty == 1);
        cvm_json_object(&w);
        cvm_json_key_int(&w, "a", 1);
        cvm_json_key(&w, "b");
        cvm_json_array(&w);
        cvm_json_bool(&w, true);
        cvm_json_null(&w);
        cvm_json_object(&w);
        cvm_json_object_end(&w);
        cvm_json_array_end(&w);
        cvm_json_key(&w, "c");
        cvm_json_object(&w);
        cvm_json_key_string(&w, "d", "x");
        cvm_json_object_end(&w);
        cvm_json_key(&w, "e");
        cvm_json_array(&w);
        cvm_json_array_end(&w);
        cvm_json_key_double(&w, "f", 1.5);
        cvm_json_object_end(&w);
        assert_string_equal(cvm_text_string(&text), expected[pretty]);
        cvm_text_finish(&text);
    }
}

static void the_writer_escapes_and_repairs(void **state)
{
    (void)state;
    struct cvm_text text;
    struct cvm_json_writer w;
    cvm_text_init(&text, 0);
    cvm_json_init(&w, &text, false);
    cvm_json_array(&w);
    cvm_json_string(&w, "\"\\\n\r\t\x01\x7F/\xC3\xA9");
    cvm_json_string(&w, NULL);
    cvm_json_string_n(&w, "a\0b", 3);
    cvm_json_string(&w, "x\xFFy\xC3");
    cvm_json_string(&w, "\xE2\x82\xAC\xED\xA0\x80");
    cvm_json_double(&w, NAN);
    cvm_json_double(&w, INFINITY);
    cvm_json_raw(&w, "{\"r\":1}", 7);
    cvm_json_array_end(&w);
    assert_string_equal(cvm_text_string(&text),
                        "[\"\\\"\\\\\\n\\r\\t\\u0001\x7F/\xC3\xA9\",null,\"a\\u0000b\",\"x\xEF\xBF"
                        "\xBDy\xEF\xBF\xBD\",\"\xE2\x82\xAC\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\","
                        "null,null,{\"r\":1}]");
    cvm_text_finish(&text);
}

static void micro_amounts_are_exact_decimals(void **state)
{
    (void)state;
    static const struct {
        int64_t micro;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "0.000001"},
        {-1, "-0.000001"},
        {5000000, "5"},
        {75990000, "75.99"},
        {12345678, "12.345678"},
        {-1500000, "-1.5"},
        {INT64_MAX, "9223372036854.775807"},
        {INT64_MIN, "-9223372036854.775808"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cvm_text text;
        struct cvm_json_writer w;
        cvm_text_init(&text, 0);
        cvm_json_init(&w, &text, false);
        cvm_json_micro(&w, cases[i].micro);
        assert_string_equal(cvm_text_string(&text), cases[i].text);
        cvm_text_finish(&text);
    }
}

static void the_writer_nests_as_deep_as_the_reader_and_fails_beyond(void **state)
{
    struct fixture *f = *state;
    for (int depth = CVM_JSON_DEPTH_MAX; depth <= CVM_JSON_DEPTH_MAX + 40; depth++) {
        struct cvm_text text;
        struct cvm_json_writer w;
        cvm_text_init(&text, 0);
        cvm_json_init(&w, &text, false);
        for (int i = 0; i < depth; i++) {
            cvm_json_array(&w);
        }
        cvm_json_int(&w, 1);
        cvm_json_int(&w, 2);
        for (int i = 0; i < depth; i++) {
            cvm_json_array_end(&w);
        }
        assert_int_equal(text.failed, depth > CVM_JSON_DEPTH_MAX);
        if (!text.failed) {
            (void)accept_n(f, text.data, text.length);
        }
        cvm_text_finish(&text);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_document_becomes_a_tree_in_order),
        TEST(a_bare_scalar_is_a_document),
        TEST(a_whole_number_is_int_as_long_as_it_fits),
        TEST(a_number_outside_of_double_is_refused_and_a_tiny_one_is_zero),
        TEST(what_is_no_number_is_refused),
        TEST(escapes_are_undone_in_keys_and_strings),
        TEST(a_lone_surrogate_is_refused),
        TEST(long_strings_with_late_escapes_come_out_whole),
        TEST(invalid_utf8_and_raw_control_bytes_are_refused_with_their_place),
        TEST(broken_structure_is_refused),
        TEST(duplicate_keys_are_refused_in_small_and_large_objects),
        TEST(nesting_is_allowed_to_the_limit_and_refused_beyond),
        TEST(a_document_cut_anywhere_is_refused_whatever_the_padding_holds),
        TEST(a_byte_changed_anywhere_never_breaks_the_reader),
        TEST(a_byte_order_mark_is_skipped_and_counted),
        TEST(too_large_a_document_and_too_small_an_arena_are_limits),
        TEST(the_hash_ignores_key_order_and_space_and_nothing_else),
        TEST(the_writer_writes_compact_and_pretty),
        TEST(the_writer_escapes_and_repairs),
        TEST(micro_amounts_are_exact_decimals),
        TEST(the_writer_nests_as_deep_as_the_reader_and_fails_beyond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
