/* yaml_test.c - a YAML file becomes a tree that knows its lines; what nobody can review is refused
 * with file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/yaml.h"

#define ARENA_BYTES ((size_t)64 << 20)

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

static const struct cvm_yaml_node *accept_n(void **state, const char *text, size_t length)
{
    const struct cvm_yaml_node *root = NULL;
    struct cvm_error err;
    if (cvm_yaml_read(*state, "a.yaml", text, length, &root, &err) != CVM_OK) {
        fail_msg("refused '%s': %s", text, err.message);
    }
    return root;
}

static const struct cvm_yaml_node *accept(void **state, const char *text)
{
    return accept_n(state, text, strlen(text));
}

static void refuse_n(void **state, const char *text, size_t length, int line, const char *words)
{
    const struct cvm_yaml_node *root = NULL;
    struct cvm_error err;
    char where[64];
    memset(&err, 0, sizeof(err));
    enum cvm_status status = cvm_yaml_read(*state, "a.yaml", text, length, &root, &err);
    if (status != CVM_E_INVALID || strstr(err.message, words) == NULL) {
        fail_msg("'%s': status %d, message '%s' lacks '%s'", text, (int)status, err.message, words);
    }
    (void)snprintf(where, sizeof(where), "a.yaml:%d", line);
    assert_string_equal(err.where, where);
    assert_null(root);
}

static void refuse(void **state, const char *text, int line, const char *words)
{
    refuse_n(state, text, strlen(text), line, words);
}

static void a_file_becomes_a_tree_that_knows_its_lines(void **state)
{
    const struct cvm_yaml_node *root = accept(state, "# comment\n"
                                                     "id: T1\n"
                                                     "max: \"12\"\n"
                                                     "limits:\n"
                                                     "  per_day: 5\n"
                                                     "channels: [call, 'sms']\n"
                                                     "steps:\n"
                                                     "  - a: 1\n"
                                                     "  - plain text\n"
                                                     "sql: |\n"
                                                     "  select 1\n"
                                                     "  from x\n"
                                                     "empty:\n");
    assert_int_equal(root->type, CVM_YAML_MAP);
    assert_int_equal(root->child_count, 7);
    assert_string_equal(root->first_child->key, "id");
    assert_string_equal(root->first_child->text, "T1");
    assert_int_equal(root->first_child->line, 2);
    assert_string_equal(root->first_child->file, "a.yaml");
    assert_false(root->first_child->is_quoted);
    assert_true(cvm_yaml_member(root, "max")->is_quoted);
    assert_int_equal(cvm_yaml_member(root, "limits")->line, 4);
    assert_int_equal(cvm_yaml_member(cvm_yaml_member(root, "limits"), "per_day")->line, 5);
    const struct cvm_yaml_node *channels = cvm_yaml_member(root, "channels");
    assert_int_equal(channels->type, CVM_YAML_LIST);
    assert_int_equal(channels->child_count, 2);
    assert_null(channels->first_child->key);
    assert_true(channels->first_child->next->is_quoted);
    const struct cvm_yaml_node *steps = cvm_yaml_member(root, "steps");
    assert_int_equal(steps->line, 7);
    assert_int_equal(steps->first_child->line, 8);
    assert_int_equal(steps->first_child->next->line, 9);
    assert_string_equal(cvm_yaml_member(root, "sql")->text, "select 1\nfrom x\n");
    assert_string_equal(cvm_yaml_member(root, "empty")->text, "");
    assert_int_equal(cvm_yaml_member(root, "empty")->line, 13);
    assert_null(cvm_yaml_member(root, "absent"));
    assert_null(cvm_yaml_member(NULL, "id"));
    assert_null(cvm_yaml_member(channels, "id"));
}

static void an_empty_document_is_an_empty_map(void **state)
{
    static const char *const empty[] = {"",      "\n\n",        "# only a comment\n",
                                        "---\n", "--- \n...\n", "\xEF\xBB\xBF"};
    for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        const struct cvm_yaml_node *root = accept(state, empty[i]);
        assert_int_equal(root->type, CVM_YAML_MAP);
        assert_int_equal(root->child_count, 0);
        assert_int_equal(root->line, 1);
        assert_string_equal(root->file, "a.yaml");
    }
    assert_string_equal(accept(state, "\xEF\xBB\xBF"
                                      "a: 1\r\nb: 2\r\n")
                            ->first_child->key,
                        "a");
}

static void anchors_aliases_tags_and_merge_keys_are_refused(void **state)
{
    refuse(state, "a: &x 1\n", 1, "anchors");
    refuse(state, "a: 1\nb: &x {c: 1}\n", 2, "anchors");
    refuse(state, "a: &x [1]\n", 1, "anchors");
    refuse(state, "a: *x\n", 1, "alias");
    refuse(state, "*x : 1\n", 1, "alias");
    refuse(state, "&x a: 1\n", 1, "anchors");
    refuse(state, "a: !!str 1\n", 1, "tags");
    refuse(state, "a: !mine {b: 1}\n", 1, "tags");
    refuse(state, "a:\n  <<: {b: 1}\n", 2, "merge keys");
    refuse(state, "%TAG ! tag:x,2000:\n---\na: 1\n", 1, "%TAG");
}

static void duplicate_keys_are_refused_in_small_and_large_maps(void **state)
{
    struct cvm_text text;
    refuse(state, "a: 1\nb: 2\na: 3\n", 3, "key 'a' appears twice in one map, first on line 1");
    refuse(state, "x:\n  - {a: 1, 'a': 2}\n", 2, "key 'a' appears twice");
    (void)accept(state, "x: {a: 1}\ny: {a: 1}\n");
    cvm_text_init(&text, 0);
    for (int i = 0; i < 2000; i++) {
        cvm_text_add_format(&text, "k%d: 1\n", (i * 7919) % 2000);
    }
    assert_int_equal(accept_n(state, text.data, text.length)->child_count, 2000);
    cvm_text_add(&text, "k77: 1\n");
    refuse_n(state, text.data, text.length, 2001, "key 'k77' appears twice");
    cvm_text_finish(&text);
}

static void common_mistakes_get_words_that_name_them(void **state)
{
    refuse(state, "a: 1\n\tb: 2\n", 2, "a tab in the indentation");
    refuse(state, "a:\n  \tb: 2\n", 2, "a tab in the indentation");
    refuse(state, "a: 1\nb: \"open\nc: 2\n", 2, "a quote that opens on this line is never closed");
    refuse(state, "a: 'open\n", 1, "a quote that opens on this line is never closed");
    refuse(state, "a: 1\nb: x: y\n", 2, "mapping values are not allowed");
    refuse(state, "a: [1, 2\nb: 3\n", 2, "not valid YAML");
    refuse(state, "a: {b: 1\n", 2, "not valid YAML");
    refuse(state, "a: 1\n b: 2\n", 2, "not valid YAML");
    refuse(state, "a: 1\n---\nb: 2\n", 2, "a second document begins here");
    refuse(state, "[a, b]: 1\n", 1, "a list or a map cannot be a key");
    refuse(state, "? {a: 1}\n: 2\n", 1, "a list or a map cannot be a key");
    refuse(state, "a: 1\n\"\": 2\n", 2, "a key is empty");
    refuse(state, "? \n: 2\n", 1, "a key is empty");
    refuse(state, "a: @b\n", 1, "not valid YAML");
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    refuse(state, "a: 1\nb: \xFF\n", 2, "invalid UTF-8");
    refuse(state, "a: \xC3\n", 1, "invalid UTF-8");
    refuse(state,
           "\xFF\xFE"
           "a",
           1, "invalid UTF-8");
    refuse_n(state, "a: 1\nb: x\0y\n", 12, 2, "a NUL byte");
    refuse(state, "a: 1\nb: \"x\\0y\"\n", 2, "NUL byte");
    refuse(state, "a: 1\nb: 2\nc: \x01\n", 3, "a character that YAML does not allow");
    refuse(state, "a: \"\\ud800\"\n", 1, "not valid YAML");
    refuse(state, "a: \"\\q\"\n", 1, "not valid YAML");
}

static void nesting_is_allowed_to_the_limit_and_refused_beyond(void **state)
{
    char text[512];
    for (int depth = 1; depth <= 100; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        if (depth <= CVM_YAML_DEPTH_MAX) {
            (void)accept_n(state, text, 2 * (size_t)depth);
        } else {
            refuse_n(state, text, 2 * (size_t)depth, 1, "nested too deeply");
        }
    }
    for (size_t i = 0; i < sizeof(text); i += 2) {
        memcpy(text + i, "- ", 2);
    }
    refuse_n(state, text, sizeof(text), 1, "nested too deeply");
}

static void size_and_memory_have_limits(void **state)
{
    const struct cvm_yaml_node *root = NULL;
    struct cvm_error err;
    size_t length = CVM_YAML_BYTES_MAX + 1;
    char *text = malloc(length);
    struct cvm_arena *tiny = cvm_arena_create(4096);
    assert_non_null(text);
    assert_non_null(tiny);
    memset(text, '\n', length);
    assert_int_equal(cvm_yaml_read(*state, "a.yaml", text, length, &root, &err), CVM_E_LIMIT);
    assert_string_equal(err.where, "a.yaml:1");
    assert_int_equal(cvm_yaml_read(*state, "a.yaml", text, length - 1, &root, &err), CVM_OK);
    for (size_t i = 0; i + 3 <= length; i += 3) {
        memcpy(text + i, "- \n", 3);
    }
    assert_int_equal(cvm_yaml_read(tiny, "a.yaml", text, 30000, &root, &err), CVM_E_LIMIT);
    cvm_arena_reset(tiny);
    assert_int_equal(cvm_yaml_read(tiny, "a.yaml", "[", 1, &root, NULL), CVM_E_INVALID);
    cvm_arena_destroy(tiny);
    free(text);
}

static void a_file_cut_anywhere_is_read_or_refused_with_its_line(void **state)
{
    static const char sample[] =
        "a: \"x\\u00e9\"\nb:\n  - {c: 1, d: [2, 'y']}\n  - |\n    t\xC3\xA9xt\n"
        "  - >-\n    fold\n    ed\ne: ~ # c\n";
    for (size_t length = 0; length < sizeof(sample); length++) {
        const struct cvm_yaml_node *root = NULL;
        struct cvm_error err = {.where = ""};
        enum cvm_status status = cvm_yaml_read(*state, "a.yaml", sample, length, &root, &err);
        if (status != CVM_OK) {
            assert_int_equal(status, CVM_E_INVALID);
            assert_true(strncmp(err.where, "a.yaml:", 7) == 0);
        }
    }
    char text[sizeof(sample)];
    for (size_t at = 0; at < sizeof(sample) - 1; at++) {
        for (int byte = 0; byte < 256; byte++) {
            const struct cvm_yaml_node *root = NULL;
            memcpy(text, sample, sizeof(sample));
            text[at] = (char)byte;
            cvm_arena_reset(*state);
            enum cvm_status status =
                cvm_yaml_read(*state, "a.yaml", text, sizeof(sample) - 1, &root, NULL);
            assert_true(status == CVM_OK || status == CVM_E_INVALID);
        }
    }
}

static void a_written_scalar_reads_back_as_the_same_text(void **state)
{ /* lint: long, because it is one table */
    static const char *const values[] = {
        "",
        "plain",
        "two words",
        " lead",
        "trail ",
        "12",
        "-1.5",
        "1e5",
        "0x1F",
        "true",
        "No",
        "null",
        "~",
        "on",
        "a: b",
        "a #b",
        "#a",
        "- a",
        "&a",
        "*a",
        "!a",
        "'q'",
        "\"q\"",
        "a\nb",
        "a\tb",
        "\x01",
        "\x7F",
        "a\\b",
        "{a}",
        "[a]",
        "a, b",
        "%a",
        "@a",
        "`a",
        "|",
        ">",
        "?",
        ":",
        "-",
        "---",
        "...",
        "caf\xC3\xA9",
        "<<",
        "=",
        "2024-01-02",
        "12:30",
        ("a\xC2\x85"
         "b"),
        "\xE2\x80\xA8",
        "\xEF\xBB\xBFx",
        "\xF0\x9F\x98\x80",
        "\r\n",
        "y",
        ".5",
        "1_000",
        "0o7",
        "\xEF\xBF\xBE",
        "key:",
        "x:y",
        "\xC2\xA0",
        "a  b",
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct cvm_text text;
        cvm_text_init(&text, 0);
        cvm_text_add(&text, "k: ");
        cvm_yaml_add_scalar(&text, values[i]);
        cvm_text_add(&text, "\nl: [");
        cvm_yaml_add_scalar(&text, values[i]);
        cvm_text_add(&text, "]\n");
        const struct cvm_yaml_node *root = accept_n(state, text.data, text.length);
        assert_string_equal(root->first_child->text, values[i]);
        assert_string_equal(root->first_child->next->first_child->text, values[i]);
        cvm_text_finish(&text);
    }
}

static void text_that_means_something_else_is_written_in_quotes(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *written;
    } cases[] = {
        {"plain", "plain"},
        {"a.b/c-d", "a.b/c-d"},
        {"12", "\"12\""},
        {"1.5e3", "\"1.5e3\""},
        {"yes", "\"yes\""},
        {"", "\"\""},
        {"a: b", "\"a: b\""},
        {"2024-01-02", "\"2024-01-02\""},
        {"x\xFFy", "\"x\\ufffdy\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cvm_text text;
        cvm_text_init(&text, 0);
        cvm_yaml_add_scalar(&text, cases[i].value);
        assert_string_equal(cvm_text_string(&text), cases[i].written);
        cvm_text_finish(&text);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_becomes_a_tree_that_knows_its_lines),
        TEST(an_empty_document_is_an_empty_map),
        TEST(anchors_aliases_tags_and_merge_keys_are_refused),
        TEST(duplicate_keys_are_refused_in_small_and_large_maps),
        TEST(common_mistakes_get_words_that_name_them),
        TEST(bytes_that_are_no_text_are_refused),
        TEST(nesting_is_allowed_to_the_limit_and_refused_beyond),
        TEST(size_and_memory_have_limits),
        TEST(a_file_cut_anywhere_is_read_or_refused_with_its_line),
        TEST(a_written_scalar_reads_back_as_the_same_text),
        TEST(text_that_means_something_else_is_written_in_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
