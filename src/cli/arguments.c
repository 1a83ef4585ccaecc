#include "cli/arguments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "base/suggest.h"

const struct cvm_option cvm_common_options[] = {
    {"--config", "FILE", "cvm.yaml to use (default: ./cvm.yaml)"},
    {"--store", "URL", "store to use instead of the configured one"},
    {"--json", NULL, "one JSON document on standard output"},
    {"--quiet", NULL, "no progress and no hints"},
    {"--help", NULL, "show this help"},
    {NULL, NULL, NULL},
};

/* How many words of the command line name this command; 0 = it does not. */
static size_t match_words(const char *name, char *const *words, size_t word_count)
{
    size_t matched = 0;
    while (*name != '\0') {
        size_t length = strcspn(name, " ");
        if (matched == word_count || strlen(words[matched]) != length ||
            strncmp(words[matched], name, length) != 0) {
            return 0;
        }
        matched++;
        name += length + (name[length] == ' ' ? 1 : 0);
    }
    return matched;
}

static const struct cvm_command *find_command(char *const *words, size_t word_count,
                                              size_t *out_matched)
{
    const struct cvm_command *found = NULL;
    *out_matched = 0;
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        size_t matched = match_words(cvm_commands[i]->name, words, word_count);
        if (matched > *out_matched) {
            *out_matched = matched;
            found = cvm_commands[i];
        }
    }
    return found;
}

/* What stands behind the family's word in the name: "list" of "plan list"; NULL = not of it. */
static const char *member_of(const char *name, const char *family)
{
    size_t length = strlen(family);
    return strncmp(name, family, length) == 0 && name[length] == ' ' ? name + length + 1 : NULL;
}

bool cvm_command_is_family(const char *word)
{
    bool is_one = false;
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        is_one |= member_of(cvm_commands[i]->name, word) != NULL;
    }
    return is_one;
}

static enum cvm_status hint_family(const char *family, enum cvm_status status,
                                   struct cvm_error *err)
{
    struct cvm_text members;
    cvm_text_init(&members, 0);
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        const char *member = member_of(cvm_commands[i]->name, family);
        if (member != NULL) {
            cvm_text_add_format(&members, "%s%s", members.length == 0 ? "" : ", ", member);
        }
    }
    status = cvm_error_hint(err, status, "After 'cvm %s' comes one of: %s.", family,
                            cvm_text_string(&members));
    cvm_text_finish(&members);
    return status;
}

/* "cvm list plan" for "cvm plan list" */
static void try_swapped(struct cvm_suggestion *suggestion, char *const *words)
{
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        const char *member = member_of(cvm_commands[i]->name, words[1]);
        if (member != NULL && strcmp(member, words[0]) == 0) {
            suggestion->best = cvm_commands[i]->name;
            suggestion->rank = 0;
        }
    }
}

/* The first word alone may be the mistake: "exlain latest U1", "plann show latest". */
static void try_commands(struct cvm_suggestion *whole, struct cvm_suggestion *first)
{
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        const char *name = cvm_commands[i]->name;
        cvm_suggestion_try(whole, name);
        if (strchr(name, ' ') == NULL) {
            cvm_suggestion_try(first, name);
        }
    }
}

#define FAMILY_SIZE 32

/* The family whose word is nearest to what was typed; "" = none is near. */
static void nearest_family(const char *typed, char out_family[FAMILY_SIZE])
{
    size_t rank = SIZE_MAX;
    out_family[0] = '\0';
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        char word[FAMILY_SIZE];
        size_t length = strcspn(cvm_commands[i]->name, " ");
        struct cvm_suggestion suggestion = {.typed = typed};
        if (cvm_commands[i]->name[length] == '\0' || length >= sizeof(word)) {
            continue;
        }
        memcpy(word, cvm_commands[i]->name, length);
        word[length] = '\0';
        cvm_suggestion_try(&suggestion, word);
        if (suggestion.best != NULL && suggestion.rank < rank) {
            rank = suggestion.rank;
            memcpy(out_family, word, length + 1);
        }
    }
}

/* A word behind a family's that no command of it has. */
static enum cvm_status unknown_member(char *const *words, enum cvm_status status,
                                      struct cvm_error *err)
{
    struct cvm_suggestion suggestion = {.typed = words[1]};
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        const char *member = member_of(cvm_commands[i]->name, words[0]);
        if (member != NULL) {
            cvm_suggestion_try(&suggestion, member);
        }
    }
    return suggestion.best == NULL ? hint_family(words[0], status, err)
                                   : cvm_error_hint(err, status, "Did you mean 'cvm %s %s'?",
                                                    words[0], suggestion.best);
}

static enum cvm_status unknown_command(char *const *words, size_t word_count, struct cvm_error *err)
{
    char typed[128];
    char family[FAMILY_SIZE];
    (void)!snprintf(typed, sizeof(typed), "%.60s%s%.60s", words[0], word_count > 1 ? " " : "",
                    word_count > 1 ? words[1] : "");
    struct cvm_suggestion whole = {.typed = typed};
    struct cvm_suggestion first = {.typed = words[0]};
    enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "there is no command '%s'", typed);
    if (word_count > 1 && cvm_command_is_family(words[0])) {
        return unknown_member(words, status, err);
    }
    try_commands(&whole, &first);
    nearest_family(words[0], family);
    if (word_count > 1) {
        try_swapped(&whole, words);
    }
    const char *best = whole.best;
    if (first.best != NULL && (best == NULL || first.rank < whole.rank)) {
        best = first.best;
    }
    if (best != NULL) {
        return cvm_error_hint(err, status, "Did you mean 'cvm %s'?", best);
    }
    return family[0] != '\0' ? hint_family(family, status, err)
                             : cvm_error_hint(err, status, "'cvm --help' lists the commands.");
}

static const struct cvm_option *find_option(const struct cvm_option *options, const char *word,
                                            size_t length)
{
    for (; options != NULL && options->name != NULL; options++) {
        if (strlen(options->name) == length && strncmp(options->name, word, length) == 0) {
            return options;
        }
    }
    return NULL;
}

static enum cvm_status unknown_option(const struct cvm_command *command, const char *word,
                                      struct cvm_error *err)
{
    struct cvm_suggestion suggestion = {.typed = word};
    const struct cvm_option *tables[] = {command == NULL ? NULL : command->options,
                                         cvm_common_options};
    for (size_t table = 0; table < 2; table++) {
        for (const struct cvm_option *option = tables[table];
             option != NULL && option->name != NULL; option++) {
            cvm_suggestion_try(&suggestion, option->name);
        }
    }
    enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "unknown option '%s'", word);
    if (suggestion.best != NULL) {
        return cvm_error_hint(err, status, "Did you mean '%s'?", suggestion.best);
    }
    return cvm_error_hint(err, status, "'cvm %s --help' lists the options.",
                          command == NULL ? "" : command->name);
}

struct parser {
    char **words;
    size_t word_count;
    const char **values; /* per option of the command */
    struct cvm_given *given;
    size_t given_count;
    struct cvm_command_line *line;
};

static bool set_common(struct cvm_command_line *line, const struct cvm_option *option,
                       const char *value)
{
    switch (option->name[2]) {
    case 'c':
        line->config_path = value;
        break;
    case 's':
        line->store_url = value;
        break;
    case 'j':
        line->is_json = true;
        break;
    case 'q':
        line->is_quiet = true;
        break;
    default:
        line->wants_help = true;
        break;
    }
    return true;
}

/* "--name", "--name value", "--name=value"; *index moves over a separate value. */
static enum cvm_status take_option(struct parser *parser, int argc, char *const *argv, int *index,
                                   struct cvm_error *err)
{
    const struct cvm_command *command = parser->line->command;
    const char *word = argv[*index];
    size_t length = strcspn(word, "=");
    const struct cvm_option *option =
        find_option(command == NULL ? NULL : command->options, word, length);
    bool is_common = option == NULL;
    const char *value = "";
    if (is_common) {
        option = find_option(cvm_common_options, word, length);
    }
    if (option == NULL) {
        return unknown_option(command, word, err);
    }
    if (option->value == NULL && word[length] == '=') {
        return CVM_FAIL(err, CVM_E_INVALID, "option '%s' takes no value", option->name);
    }
    if (option->value != NULL) {
        if (word[length] == '=') {
            value = word + length + 1;
        } else if (*index + 1 < argc && strncmp(argv[*index + 1], "--", 2) != 0) {
            value = argv[++*index]; /* one that begins with "--" is written --name=value */
        } else {
            return CVM_FAIL(err, CVM_E_INVALID, "option '%s' needs a value: %s %s", option->name,
                            option->name, option->value);
        }
    }
    if (is_common) {
        set_common(parser->line, option, value);
    } else {
        parser->values[option - command->options] = value;
        parser->given[parser->given_count++] = (struct cvm_given){option, value};
    }
    return CVM_OK;
}

static size_t option_count(const struct cvm_command *command)
{
    size_t count = 0;
    while (command != NULL && command->options != NULL && command->options[count].name != NULL) {
        count++;
    }
    return count;
}

/* The words that are not options; a common option's separate value is not a word. */
static void collect_words(struct parser *parser, int argc, char *const *argv)
{
    for (int i = 1; i < argc && strncmp(argv[i], "-", 1) != 0; i++) {
        parser->words[parser->word_count++] = argv[i];
    }
}

static enum cvm_status take_rest(struct parser *parser, struct cvm_arena *arena, int argc,
                                 char *const *argv, int first, struct cvm_error *err)
{
    struct cvm_command_line *line = parser->line;
    const char **positional = CVM_NEW_ARRAY(arena, (size_t)argc + 1, const char *);
    parser->values = CVM_NEW_ARRAY(arena, option_count(line->command) + 1, const char *);
    parser->given = CVM_NEW_ARRAY(arena, (size_t)argc + 1, struct cvm_given);
    if (positional == NULL || parser->values == NULL || parser->given == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "too many arguments");
    }
    size_t count = 0;
    bool options_end = false;
    for (int i = first; i < argc; i++) {
        enum cvm_status status = CVM_OK;
        if (!options_end && strcmp(argv[i], "--") == 0) {
            options_end = true;
        } else if (!options_end && strcmp(argv[i], "-h") == 0) {
            line->wants_help = true;
        } else if (!options_end && strncmp(argv[i], "--", 2) == 0) {
            status = take_option(parser, argc, argv, &i, err);
        } else {
            positional[count++] = argv[i];
        }
        if (status != CVM_OK) {
            return status;
        }
    }
    line->arguments = (struct cvm_arguments){
        .positional = positional,
        .positional_count = count,
        .options = line->command == NULL ? NULL : line->command->options,
        .values = parser->values,
        .given = parser->given,
        .given_count = parser->given_count,
    };
    return CVM_OK;
}

static enum cvm_status check_positional(const struct cvm_command_line *line, struct cvm_error *err)
{
    const struct cvm_command *command = line->command;
    size_t count = line->arguments.positional_count;
    if (count >= command->positional_min && count <= command->positional_max) {
        return CVM_OK;
    }
    enum cvm_status status =
        count < command->positional_min
            ? CVM_FAIL(err, CVM_E_INVALID, "'cvm %s' needs %s", command->name, command->arguments)
            : CVM_FAIL(err, CVM_E_INVALID, "'cvm %s' does not take '%s'", command->name,
                       line->arguments.positional[command->positional_max]);
    return cvm_error_hint(err, status, "Usage: cvm %s %s", command->name, command->arguments);
}

static bool asks_for_help(int argc, char *const *argv)
{
    bool asks = false;
    for (int i = 1; i < argc; i++) {
        asks |= strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
    }
    return asks;
}

/* `cvm help`, `cvm help run`, `cvm help plan`; --man and --names are for the build and for
 * completion. */
static enum cvm_status parse_help(struct parser *parser, int argc, char *const *argv,
                                  struct cvm_error *err)
{
    struct cvm_command_line *line = parser->line;
    size_t matched = 0;
    size_t count = 0;
    char **words = parser->words; /* again, as options may stand between them */
    line->wants_help = true;
    for (int i = 1; i < argc; i++) {
        line->help_form = strcmp(argv[i], "--man") == 0     ? CVM_HELP_MAN
                          : strcmp(argv[i], "--names") == 0 ? CVM_HELP_NAMES
                                                            : line->help_form;
        const struct cvm_option *option = find_option(cvm_common_options, argv[i], strlen(argv[i]));
        if (option != NULL && option->value != NULL) {
            i++; /* its value is no word */
        } else if (argv[i][0] != '-' && (count > 0 || strcmp(argv[i], "help") != 0)) {
            words[count++] = argv[i];
        }
    }
    line->command = find_command(words, count, &matched);
    if (count == 1 && line->command == NULL && cvm_command_is_family(words[0])) {
        line->help_family = words[0];
        return CVM_OK;
    }
    return matched == count ? CVM_OK : unknown_command(words, count, err);
}

static enum cvm_status missing_command(const struct parser *parser, int argc, char *const *argv,
                                       struct cvm_command_line *out_line, struct cvm_error *err)
{
    bool is_family = parser->word_count == 1 && cvm_command_is_family(parser->words[0]);
    if (!is_family) {
        return unknown_command(parser->words, parser->word_count, err);
    }
    if (asks_for_help(argc, argv)) {
        *out_line = *parser->line;
        out_line->wants_help = true;
        out_line->help_family = parser->words[0];
        return CVM_OK;
    }
    return hint_family(
        parser->words[0],
        CVM_FAIL(err, CVM_E_INVALID, "'cvm %s' needs one more word", parser->words[0]), err);
}

enum cvm_status cvm_command_line_parse(struct cvm_arena *arena, int argc, char *const *argv,
                                       struct cvm_command_line *out_line, struct cvm_error *err)
{
    struct cvm_command_line line = {0};
    struct parser parser = {.line = &line};
    size_t matched = 0;
    parser.words = CVM_NEW_ARRAY(arena, (size_t)argc + 1, char *);
    if (parser.words == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "too many arguments");
    }
    collect_words(&parser, argc, argv);
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        line.wants_version = true;
        *out_line = line;
        return CVM_OK;
    }
    if (parser.word_count > 0 && strcmp(parser.words[0], "help") == 0) {
        enum cvm_status status = parse_help(&parser, argc, argv, err);
        if (status == CVM_OK) {
            *out_line = line;
        }
        return status;
    }
    line.command = find_command(parser.words, parser.word_count, &matched);
    if (line.command == NULL && parser.word_count > 0) {
        return missing_command(&parser, argc, argv, out_line, err);
    }
    enum cvm_status status = take_rest(&parser, arena, argc, argv, 1 + (int)matched, err);
    if (status == CVM_OK && line.command != NULL && !line.wants_help) {
        status = check_positional(&line, err);
    }
    /* --json shapes the error document, so it is told even when the rest is wrong. */
    out_line->is_json = line.is_json;
    if (status == CVM_OK) {
        *out_line = line;
    }
    return status;
}

/* ---- values ---- */

const char *cvm_argument(const struct cvm_arguments *arguments, const char *name)
{
    const struct cvm_option *option = find_option(arguments->options, name, strlen(name));
    return option == NULL ? NULL : arguments->values[option - arguments->options];
}

bool cvm_argument_given(const struct cvm_arguments *arguments, const char *name)
{
    return cvm_argument(arguments, name) != NULL;
}

enum cvm_status cvm_argument_int(const struct cvm_arguments *arguments, const char *name,
                                 int64_t min, int64_t max, int64_t *out_value,
                                 struct cvm_error *err)
{
    const char *text = cvm_argument(arguments, name);
    char *end = NULL;
    if (text == NULL) {
        return CVM_OK;
    }
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "option '%s': found '%s', a whole number from %lld to %lld is allowed",
                        name, text, (long long)min, (long long)max);
    }
    *out_value = value;
    return CVM_OK;
}

enum cvm_status cvm_argument_day(const struct cvm_arguments *arguments, const char *name,
                                 int32_t *out_day, struct cvm_error *err)
{
    const char *text = cvm_argument(arguments, name);
    if (text == NULL) {
        return CVM_OK;
    }
    if (strlen(text) != 10 || !cvm_day_parse(text, 10, out_day, NULL, NULL)) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "option '%s': found '%s', an existing date such as 2024-03-20 is allowed",
                        name, text);
    }
    return CVM_OK;
}

static int compare_items(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum cvm_status cvm_argument_list(struct cvm_arena *arena, const char *text,
                                  const char *const **out_items, size_t *out_count,
                                  struct cvm_error *err)
{
    size_t count = 0;
    const char **items = CVM_NEW_ARRAY(arena, strlen(text) + 1, const char *);
    if (items == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a list");
    }
    while (*text != '\0') {
        size_t length = strcspn(text, ",");
        if (length > 0) {
            items[count] = cvm_arena_copy(arena, text, length);
            if (items[count++] == NULL) {
                return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a list");
            }
        }
        text += length + (text[length] == ',' ? 1 : 0);
    }
    if (count == 0) {
        return CVM_FAIL(err, CVM_E_INVALID, "an empty list was given");
    }
    qsort(items, count, sizeof(*items), compare_items);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        if (strcmp(items[i], items[kept - 1]) != 0) {
            items[kept++] = items[i];
        }
    }
    *out_items = items;
    *out_count = kept;
    return CVM_OK;
}
