#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cli/arguments.h"

/* A table of its own: the parser must not depend on which commands there are. */
static enum cvm_status run_nothing(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    (void)session;
    (void)arguments;
    (void)err;
    return CVM_OK;
}

static const struct cvm_option options[] = {
    {"--count", "N", "how many"},
    {"--as-of", "D", "a day"},
    {"--all", NULL, "a switch"},
    {NULL, NULL, NULL},
};
static const struct cvm_command thing = {
    .name = "thing",
    .arguments = "",
    .summary = "",
    .details = "",
    .options = options,
    .run = run_nothing,
};
static const struct cvm_command thing_show = {
    .name = "thing show",
    .arguments = "ID",
    .summary = "",
    .details = "",
    .positional_min = 1,
    .positional_max = 1,
    .options = options,
    .run = run_nothing,
};
const struct cvm_command *const cvm_commands[] = {&thing, &thing_show, NULL};

struct parsed {
    struct cvm_arena *arena;
    struct cvm_command_line line;
    struct cvm_error err;
    enum cvm_status status;
};

static struct parsed parse(const char *words)
{
    struct parsed parsed = {.arena = cvm_arena_create(1 << 20)};
    char *copy = cvm_arena_string(parsed.arena, words);
    char **argv = CVM_NEW_ARRAY(parsed.arena, strlen(words) + 2, char *);
    char *rest = NULL;
    int argc = 0;
    argv[argc++] = cvm_arena_string(parsed.arena, "cvm");
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = word;
    }
    parsed.status = cvm_command_line_parse(parsed.arena, argc, argv, &parsed.line, &parsed.err);
    return parsed;
}

static void the_longest_command_name_wins(void **state)
{
    (void)state;
    struct parsed parsed = parse("thing show U1");
    assert_int_equal(parsed.status, CVM_OK);
    assert_ptr_equal(parsed.line.command, &thing_show);
    assert_int_equal(parsed.line.arguments.positional_count, 1);
    assert_string_equal(parsed.line.arguments.positional[0], "U1");
    cvm_arena_destroy(parsed.arena);
}

static void options_take_their_value_after_a_space_or_an_equals_sign(void **state)
{
    (void)state;
    struct parsed parsed = parse("thing show --count 3 U1 --as-of=2024-03-20 --json --all");
    int64_t count = 0;
    int32_t day = 0;
    assert_int_equal(parsed.status, CVM_OK);
    assert_int_equal(
        cvm_argument_int(&parsed.line.arguments, "--count", 0, 10, &count, &parsed.err), CVM_OK);
    assert_int_equal(count, 3);
    assert_int_equal(cvm_argument_day(&parsed.line.arguments, "--as-of", &day, &parsed.err),
                     CVM_OK);
    assert_int_equal(day, 19802);
    assert_true(parsed.line.is_json);
    assert_true(cvm_argument_given(&parsed.line.arguments, "--all"));
    cvm_arena_destroy(parsed.arena);
}

static void the_last_value_given_counts_and_a_missing_one_leaves_the_default(void **state)
{
    (void)state;
    struct parsed parsed = parse("thing --count 3 --count 4");
    int64_t count = 0;
    int32_t day = 7;
    assert_int_equal(
        cvm_argument_int(&parsed.line.arguments, "--count", 0, 10, &count, &parsed.err), CVM_OK);
    assert_int_equal(count, 4);
    assert_int_equal(cvm_argument_day(&parsed.line.arguments, "--as-of", &day, &parsed.err),
                     CVM_OK);
    assert_int_equal(day, 7);
    assert_false(cvm_argument_given(&parsed.line.arguments, "--all"));
    cvm_arena_destroy(parsed.arena);
}

static void options_that_repeat_keep_their_order(void **state)
{
    (void)state;
    struct parsed parsed = parse("thing --count 3 --all --json --count=4");
    const struct cvm_arguments *arguments = &parsed.line.arguments;
    assert_int_equal(parsed.status, CVM_OK);
    assert_int_equal(arguments->given_count, 3);
    assert_string_equal(arguments->given[0].value, "3");
    assert_string_equal(arguments->given[1].option->name, "--all");
    assert_string_equal(arguments->given[2].option->name, "--count");
    assert_string_equal(arguments->given[2].value, "4");
    cvm_arena_destroy(parsed.arena);
}

static void mistakes_name_what_is_allowed(void **state)
{
    static const struct {
        const char *words;
        const char *told;
    } cases[] = {
        {"thnig", "Did you mean 'cvm thing'?"},
        {"thing --coutn 3", "Did you mean '--count'?"},
        {"thing --count", "option '--count' needs a value"},
        {"thing --all=yes", "option '--all' takes no value"},
        {"thing show", "'cvm thing show' needs ID"},
        {"thing show U1 U2", "does not take 'U2'"},
        {"thing shwo", "'cvm thing' does not take 'shwo'"},
        {"show thing", "Did you mean 'cvm thing show'?"},
        {"thnig show", "Did you mean 'cvm thing show'?"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct parsed parsed = parse(cases[i].words);
        assert_int_equal(parsed.status, CVM_E_INVALID);
        bool is_told = strstr(parsed.err.message, cases[i].told) != NULL ||
                       strstr(parsed.err.hint, cases[i].told) != NULL;
        if (!is_told) {
            print_message("%s: %s %s\n", cases[i].words, parsed.err.message, parsed.err.hint);
        }
        assert_true(is_told);
        cvm_arena_destroy(parsed.arena);
    }
}

static void numbers_and_dates_that_are_none_leave_the_output_untouched(void **state)
{
    static const char *const counts[] = {"x", "1x", "11", "-1", "99999999999999999999"};
    static const char *const days[] = {"2024-02-30", "20240320", "2024-3-20", "tomorrow"};
    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        char words[64];
        int64_t count = 5;
        (void)snprintf(words, sizeof(words), "thing --count %s", counts[i]);
        struct parsed parsed = parse(words);
        assert_int_equal(
            cvm_argument_int(&parsed.line.arguments, "--count", 0, 10, &count, &parsed.err),
            CVM_E_INVALID);
        assert_int_equal(count, 5);
        assert_non_null(strstr(parsed.err.message, "from 0 to 10"));
        cvm_arena_destroy(parsed.arena);
    }
    for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
        char words[64];
        int32_t day = 5;
        (void)snprintf(words, sizeof(words), "thing --as-of %s", days[i]);
        struct parsed parsed = parse(words);
        assert_int_equal(cvm_argument_day(&parsed.line.arguments, "--as-of", &day, &parsed.err),
                         CVM_E_INVALID);
        assert_int_equal(day, 5);
        cvm_arena_destroy(parsed.arena);
    }
}

static void a_list_is_split_at_commas_and_an_empty_one_is_an_error(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    const char *const *items = NULL;
    size_t count = 0;
    struct cvm_error err;
    (void)state;
    assert_int_equal(cvm_argument_list(arena, "A,,B,", &items, &count, &err), CVM_OK);
    assert_int_equal(count, 2);
    assert_string_equal(items[0], "A");
    assert_string_equal(items[1], "B");
    assert_int_equal(cvm_argument_list(arena, ",", &items, &count, &err), CVM_E_INVALID);
    assert_int_equal(cvm_argument_list(arena, "", &items, &count, &err), CVM_E_INVALID);
    assert_int_equal(count, 2);
    cvm_arena_destroy(arena);
}

static void help_is_asked_for_by_word_or_option(void **state)
{
    (void)state;
    struct parsed first = parse("help thing show");
    struct parsed second = parse("thing show --help");
    struct parsed third = parse("--version");
    struct parsed fourth = parse("help --man --config a.yaml thing");
    struct parsed fifth = parse("help thign");
    struct parsed sixth = parse("help");
    assert_int_equal(fourth.line.help_form, CVM_HELP_MAN);
    assert_ptr_equal(fourth.line.command, &thing);
    assert_int_equal(fifth.status, CVM_E_INVALID);
    assert_int_equal(sixth.status, CVM_OK);
    assert_null(sixth.line.command);
    assert_true(first.line.wants_help && second.line.wants_help);
    assert_ptr_equal(first.line.command, &thing_show);
    assert_ptr_equal(second.line.command, &thing_show);
    assert_true(third.line.wants_version);
    cvm_arena_destroy(first.arena);
    cvm_arena_destroy(second.arena);
    cvm_arena_destroy(third.arena);
    cvm_arena_destroy(fourth.arena);
    cvm_arena_destroy(fifth.arena);
    cvm_arena_destroy(sixth.arena);
}

static void after_two_dashes_everything_is_a_word(void **state)
{
    (void)state;
    struct parsed parsed = parse("thing show -- --all");
    assert_int_equal(parsed.status, CVM_OK);
    assert_string_equal(parsed.line.arguments.positional[0], "--all");
    assert_false(cvm_argument_given(&parsed.line.arguments, "--all"));
    cvm_arena_destroy(parsed.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_command_name_wins),
        cmocka_unit_test(options_take_their_value_after_a_space_or_an_equals_sign),
        cmocka_unit_test(the_last_value_given_counts_and_a_missing_one_leaves_the_default),
        cmocka_unit_test(options_that_repeat_keep_their_order),
        cmocka_unit_test(mistakes_name_what_is_allowed),
        cmocka_unit_test(numbers_and_dates_that_are_none_leave_the_output_untouched),
        cmocka_unit_test(a_list_is_split_at_commas_and_an_empty_one_is_an_error),
        cmocka_unit_test(help_is_asked_for_by_word_or_option),
        cmocka_unit_test(after_two_dashes_everything_is_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
