/* completion: a script for the shell, made from the table of commands. Words of the line are
 * completed from the table; ids of treatments, triggers, runs and batches are asked of cvm when
 * needed.
 */
#include <string.h>

#include "cli/arguments.h"
#include "cli/commands.h"

/* What an argument or an option's value is, by the name that the help gives it. */
enum value_kind { VALUE_OTHER, VALUE_FILE, VALUE_TREATMENT, VALUE_TRIGGER, VALUE_RUN, VALUE_BATCH };

static enum value_kind kind_of_value(const char *option, const char *value)
{
    bool is_treatment = strstr(option, "treatment") != NULL || strcmp(option, "--allowed") == 0;
    bool is_file = value != NULL && (strstr(value, "FILE") != NULL ||
                                     strstr(value, "DIR") != NULL || strstr(value, "PATH") != NULL);
    if (is_file) {
        return VALUE_FILE;
    }
    if (value != NULL && strcmp(value, "BATCH") == 0) {
        return VALUE_BATCH;
    }
    if (strcmp(option, "--trigger") == 0) {
        return VALUE_TRIGGER;
    }
    return is_treatment ? VALUE_TREATMENT : VALUE_OTHER;
}

static enum value_kind kind_of_argument(const struct cvm_command *command)
{
    const char *arguments = command->arguments;
    if (strncmp(arguments, "RUN", 3) == 0 || strncmp(arguments, "[RUN", 4) == 0) {
        return VALUE_RUN;
    }
    if (strncmp(arguments, "BATCH", 5) == 0) {
        return VALUE_BATCH;
    }
    if (strncmp(command->name, "treatment ", 10) == 0 && strncmp(arguments, "ID", 2) == 0) {
        return VALUE_TREATMENT;
    }
    if (strncmp(command->name, "trigger ", 8) == 0 &&
        (strncmp(arguments, "NAME", 4) == 0 || strncmp(arguments, "ID", 2) == 0)) {
        return VALUE_TRIGGER;
    }
    bool is_file = strstr(arguments, "FILE") != NULL || strstr(arguments, "DIR") != NULL ||
                   strstr(arguments, "PATH") != NULL;
    return is_file ? VALUE_FILE : VALUE_OTHER;
}

/* The first column of a listing, without its header. */
static const char ids_function[] =
    "_cvm_ids() {\n"
    "    case $1 in\n"
    "    treatment) cvm treatment list --quiet 2>/dev/null ;;\n"
    "    trigger) cvm trigger list --quiet 2>/dev/null ;;\n"
    "    batch) cvm batch list --quiet 2>/dev/null ;;\n"
    "    run) echo; echo latest; cvm plan list --quiet 2>/dev/null | tail -n +2 ;;\n"
    "    esac | awk 'NR > 1 && NF { print $1 }'\n"
    "}\n";

static const char *const kind_names[] = {
    [VALUE_OTHER] = "",          [VALUE_FILE] = "file", [VALUE_TREATMENT] = "treatment",
    [VALUE_TRIGGER] = "trigger", [VALUE_RUN] = "run",   [VALUE_BATCH] = "batch",
};

/* The members of a family, or the first words of all commands. */
static void write_words(struct cvm_text *out, const char *family)
{
    size_t length = family == NULL ? 0 : strlen(family);
    const char *last = "";
    size_t last_length = 0;
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        const char *name = cvm_commands[i]->name;
        if (family != NULL && (strncmp(name, family, length) != 0 || name[length] != ' ')) {
            continue;
        }
        const char *word = family == NULL ? name : name + length + 1;
        size_t word_length = strcspn(word, " ");
        bool is_same = word_length == last_length && strncmp(word, last, word_length) == 0;
        if (!is_same) {
            cvm_text_add(out, out->length == 0 ? "" : " ");
            cvm_text_add_bytes(out, word, word_length);
        }
        last = word;
        last_length = word_length;
    }
}

static void write_options(struct cvm_text *out, const struct cvm_command *command)
{
    const struct cvm_option *tables[] = {command->options, cvm_common_options};
    for (size_t t = 0; t < 2; t++) {
        for (const struct cvm_option *option = tables[t]; option != NULL && option->name != NULL;
             option++) {
            cvm_text_add_format(out, "%s%s", out->length == 0 ? "" : " ", option->name);
        }
    }
}

/* ---- bash and zsh: one function that knows words, options and kinds of values ---- */

/* A case arm per command: options, and the kind of its arguments. */
static void print_command_arms(FILE *out)
{
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        struct cvm_text options;
        cvm_text_init(&options, 0);
        write_options(&options, cvm_commands[i]);
        fprintf(out, "    '%s') options='%s'; kind='%s' ;;\n", cvm_commands[i]->name,
                cvm_text_string(&options), kind_names[kind_of_argument(cvm_commands[i])]);
        cvm_text_finish(&options);
    }
}

static void print_family_arms(FILE *out)
{
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        char family[64];
        size_t length = strcspn(cvm_commands[i]->name, " ");
        bool is_first =
            i == 0 || strncmp(cvm_commands[i]->name, cvm_commands[i - 1]->name, length + 1) != 0;
        if (cvm_commands[i]->name[length] == '\0' || !is_first || length >= sizeof(family)) {
            continue;
        }
        memcpy(family, cvm_commands[i]->name, length);
        family[length] = '\0';
        struct cvm_text words;
        cvm_text_init(&words, 0);
        write_words(&words, family);
        fprintf(out, "    %s) members='%s' ;;\n", family, cvm_text_string(&words));
        cvm_text_finish(&words);
    }
}

/* Values of options whose kind is known; the others have none to offer. */
static void print_value_arms(FILE *out)
{
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        for (const struct cvm_option *option = cvm_commands[i]->options;
             option != NULL && option->name != NULL; option++) {
            if (option->value != NULL) {
                fprintf(out, "    '%s %s') value='%s' ;;\n", cvm_commands[i]->name, option->name,
                        kind_names[kind_of_value(option->name, option->value)]);
            }
        }
    }
    fputs("    *' --config') value=file ;;\n    *' --store') value='' ;;\n    *) return 1 ;;\n",
          out);
}

/* Sets `reply`, the words that may stand at the end, or `reply_files`. */
static void print_function(FILE *out)
{
    struct cvm_text words;
    cvm_text_init(&words, 0);
    write_words(&words, NULL);
    fputs(ids_function, out);
    fputs("_cvm_members() {\n    members=''\n    case $1 in\n", out);
    print_family_arms(out);
    fputs("    esac\n}\n_cvm_command() {\n    options=''; kind=''\n    case $1 in\n", out);
    print_command_arms(out);
    fputs("    *) return 1 ;;\n    esac\n}\n_cvm_value() {\n    case $1 in\n", out);
    print_value_arms(out);
    fputs("    esac\n}\n", out);
    fprintf(out,
            "_cvm_reply() { # last word, the words before it\n"
            "    local current=$1 members options kind value name before\n"
            "    shift\n"
            "    reply=''; reply_files=''\n"
            "    [ \"$1\" = help ] && shift\n"
            "    if [ $# -eq 0 ]; then reply='%s help'; return; fi\n"
            "    _cvm_members \"$1\"\n"
            "    if [ -n \"$members\" ] && [ $# -eq 1 ]; then reply=$members; return; fi\n"
            "    name=$1\n"
            "    if [ -n \"$members\" ]; then name=\"$1 $2\"; shift; fi\n"
            "    _cvm_command \"$name\" || return\n"
            "    for before in \"$@\"; do :; done\n"
            "    if _cvm_value \"$name $before\"; then kind=$value\n"
            "    else case $current in -*) reply=$options; return ;; esac; fi\n"
            "    case $kind in\n"
            "    file) reply_files=yes ;;\n"
            "    treatment | trigger | run | batch) reply=$(_cvm_ids \"$kind\") ;;\n"
            "    esac\n"
            "}\n",
            cvm_text_string(&words));
    cvm_text_finish(&words);
}

static void print_bash(FILE *out)
{
    fputs("# bash completion of cvm: source <(cvm completion bash)\n", out);
    print_function(out);
    fputs("_cvm() {\n"
          "    local reply reply_files current=${COMP_WORDS[COMP_CWORD]}\n"
          "    _cvm_reply \"$current\" \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"\n"
          "    if [ -n \"$reply_files\" ]; then\n"
          "        compopt -o filenames 2>/dev/null\n"
          "        COMPREPLY=($(compgen -f -- \"$current\"))\n"
          "    else\n"
          "        COMPREPLY=($(compgen -W \"$reply\" -- \"$current\"))\n"
          "    fi\n"
          "}\n"
          "complete -F _cvm cvm\n",
          out);
}

static void print_zsh(FILE *out)
{
    fputs("#compdef cvm\n# zsh completion of cvm: put it as _cvm into a folder of $fpath, or\n"
          "# source <(cvm completion zsh)\n",
          out);
    print_function(out);
    fputs("_cvm() {\n"
          "    local reply reply_files\n"
          "    _cvm_reply \"${words[CURRENT]}\" \"${(@)words[2,CURRENT-1]}\"\n"
          "    if [[ -n $reply_files ]]; then _files; else compadd -- ${=reply}; fi\n"
          "}\n"
          "if [[ $funcstack[1] = _cvm ]]; then _cvm \"$@\"; else compdef _cvm cvm; fi\n",
          out);
}

/* ---- fish: a line per word ---- */

static void print_fish_text(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        fputs(*text == '\'' ? "\\'" : *text == '\\' ? "\\\\" : "", out);
        if (*text != '\'' && *text != '\\') {
            fputc(*text, out);
        }
    }
    fputc('\'', out);
}

static void print_fish_options(FILE *out, const char *condition, const struct cvm_option *options)
{
    for (; options != NULL && options->name != NULL; options++) {
        enum value_kind kind = kind_of_value(options->name, options->value);
        fprintf(out, "complete -c cvm%s%s%s -l %s -d ", condition[0] == '\0' ? "" : " -n '",
                condition, condition[0] == '\0' ? "" : "'", options->name + 2);
        print_fish_text(out, options->help);
        if (options->value != NULL) {
            fputs(kind == VALUE_FILE ? " -r -F" : " -x", out);
        }
        if (options->value != NULL && kind > VALUE_FILE) {
            fprintf(out, " -a '(__cvm_ids %s)'", kind_names[kind]);
        }
        fputc('\n', out);
    }
}

static void print_fish_command(FILE *out, const struct cvm_command *command)
{
    char condition[128];
    const char *space = strchr(command->name, ' ');
    enum value_kind kind = kind_of_argument(command);
    if (space == NULL) {
        fprintf(out, "complete -c cvm -n __fish_use_subcommand -a %s -d ", command->name);
        (void)!snprintf(condition, sizeof(condition), "__fish_seen_subcommand_from %s",
                        command->name);
    } else {
        int length = (int)(space - command->name);
        fprintf(out, "complete -c cvm -n '__cvm_after %.*s' -a %s -d ", length, command->name,
                space + 1);
        (void)!snprintf(condition, sizeof(condition), "__cvm_seen %.*s %s", length, command->name,
                        space + 1);
    }
    print_fish_text(out, command->summary);
    fputc('\n', out);
    print_fish_options(out, condition, command->options);
    if (kind == VALUE_FILE) {
        fprintf(out, "complete -c cvm -n '%s' -F\n", condition);
    } else if (kind > VALUE_FILE) {
        fprintf(out, "complete -c cvm -n '%s' -a '(__cvm_ids %s)'\n", condition, kind_names[kind]);
    }
}

static void print_fish(FILE *out)
{
    fputs("# fish completion of cvm: cvm completion fish | source\n"
          "function __cvm_ids\n"
          "    switch $argv[1]\n"
          "        case treatment\n"
          "            cvm treatment list --quiet 2>/dev/null | awk 'NR > 1 && NF { print $1 }'\n"
          "        case trigger\n"
          "            cvm trigger list --quiet 2>/dev/null | awk 'NR > 1 && NF { print $1 }'\n"
          "        case batch\n"
          "            cvm batch list --quiet 2>/dev/null | awk 'NR > 1 && NF { print $1 }'\n"
          "        case run\n"
          "            echo latest\n"
          "            cvm plan list --quiet 2>/dev/null | awk 'NR > 1 && NF { print $1 }'\n"
          "    end\nend\n"
          "function __cvm_after\n"
          "    set -l words (commandline -opc)\n"
          "    test (count $words) -eq 2; and test $words[2] = $argv[1]\nend\n"
          "function __cvm_seen\n"
          "    set -l words (commandline -opc)\n"
          "    test (count $words) -ge 3; and test $words[2] = $argv[1]; and test $words[3] = "
          "$argv[2]\nend\n"
          "complete -c cvm -f\n",
          out);
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        const char *name = cvm_commands[i]->name;
        size_t length = strcspn(name, " ");
        bool is_first = i == 0 || strncmp(name, cvm_commands[i - 1]->name, length + 1) != 0;
        if (name[length] == ' ' && is_first) {
            fprintf(out, "complete -c cvm -n __fish_use_subcommand -a %.*s -d 'cvm %.*s ...'\n",
                    (int)length, name, (int)length, name);
        }
        print_fish_command(out, cvm_commands[i]);
    }
    print_fish_options(out, "", cvm_common_options);
}

static enum cvm_status run_completion(struct cvm_session *session,
                                      const struct cvm_arguments *arguments, struct cvm_error *err)
{
    static const struct {
        const char *name;
        void (*print)(FILE *out);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    const char *shell = arguments->positional[0];
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].print(session->out);
            return CVM_OK;
        }
    }
    return cvm_session_usage(
        session,
        CVM_FAIL(err, CVM_E_INVALID, "found the shell '%s', bash, zsh or fish is allowed", shell));
}

const struct cvm_command cvm_command_completion = {
    .name = "completion",
    .arguments = "bash|zsh|fish",
    .summary = "Print a script that completes commands, options and ids in your shell",
    .details =
        "Ids of treatments, triggers, runs and batches are asked of the store of ./cvm.yaml.\n\n"
        "  source <(cvm completion bash)      # and in ~/.bashrc\n"
        "  cvm completion zsh > ~/.zfunc/_cvm # a folder of $fpath\n"
        "  cvm completion fish > ~/.config/fish/completions/cvm.fish",
    .positional_min = 1,
    .positional_max = 1,
    .run = run_completion,
};
