#include "cli/arguments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"

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

/* "plan" alone is an error that names the commands which begin with it; CVM_OK = there are none. */
static enum cvm_status check_family(const char *word, struct cvm_error *err)
{
    struct cvm_text family;
    size_t length = strlen(word);
    enum cvm_status status = CVM_OK;
    cvm_text_init(&family, 0);
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        const char *name = cvm_commands[i]->name;
        if (strncmp(name, word, length) == 0 && name[length] == ' ') {
            cvm_text_add_format(&family, "%s'cvm %s'", family.length == 0 ? "" : ", ", name);
        }
    }
    if (family.length > 0) {
        status = CVM_FAIL(err, CVM_E_INVALID, "'cvm %s' needs one more word", word);
        status = cvm_error_hint(err, status, "There are %s.", cvm_text_string(&family));
    }
    cvm_text_finish(&family);
    return status;
}

static enum cvm_status unknown_command(char *const *words, size_t word_count, struct cvm_error *err)
{
    const char *nearest = NULL;
    size_t nearest_distance = 4;
    char typed[128];
    size_t length = 0;
    for (size_t i = 0; i < word_count && i < 2; i++) {
        size_t word = strnlen(words[i], sizeof(typed) / 2 - 2);
        if (i > 0) {
            typed[length++] = ' ';
        }
        memcpy(typed + length, words[i], word);
        length += word;
    }
    typed[length] = '\0';
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        const char *name = cvm_commands[i]->name;
        size_t distance = cvm_text_distance(typed, name);
        size_t first = cvm_text_distance(words[0], name);
        distance = first < distance ? first : distance;
        bool is_family = strncmp(name, words[0], strlen(words[0])) == 0;
        if ((distance < nearest_distance && distance < length) || (nearest == NULL && is_family)) {
            nearest_distance = distance;
            nearest = name;
        }
    }
    enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "there is no command '%s'", typed);
    return nearest != NULL ? cvm_error_hint(err, status, "Did you mean 'cvm %s'?", nearest)
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
    const char *nearest = NULL;
    size_t nearest_distance = 4;
    const struct cvm_option *tables[] = {command == NULL ? NULL : command->options,
                                         cvm_common_options};
    for (size_t table = 0; table < 2; table++) {
        for (const struct cvm_option *option = tables[table];
             option != NULL && option->name != NULL; option++) {
            size_t distance = cvm_text_distance(word, option->name);
            if (distance < nearest_distance) {
                nearest_distance = distance;
                nearest = option->name;
            }
        }
    }
    enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "unknown option '%s'", word);
    if (nearest != NULL) {
        return cvm_error_hint(err, status, "Did you mean '%s'?", nearest);
    }
    return cvm_error_hint(err, status, "'cvm %s --help' lists the options.",
                          command == NULL ? "" : command->name);
}

struct parser {
    char **words;
    size_t word_count;
    const char **values; /* per option of the command */
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
    if (positional == NULL || parser->values == NULL) {
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
        line.wants_help = true;
        line.command = find_command(parser.words + 1, parser.word_count - 1, &matched);
        *out_line = line;
        return CVM_OK;
    }
    line.command = find_command(parser.words, parser.word_count, &matched);
    if (line.command == NULL && parser.word_count > 0) {
        enum cvm_status family =
            parser.word_count == 1 ? check_family(parser.words[0], err) : CVM_OK;
        if (family != CVM_OK && asks_for_help(argc, argv)) {
            line.wants_help = true;
            *out_line = line;
            return CVM_OK;
        }
        return family != CVM_OK ? family : unknown_command(parser.words, parser.word_count, err);
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
