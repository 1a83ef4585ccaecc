#include <string.h>

#include "cli/arguments.h"

/* The overview goes by task. A command belongs where its name or its first word stands. */
static const struct group {
    const char *title;
    const char *words[16];
} groups[] = {
    {"Data",
     {"init", "import", "generate", "batch", "outcome", "contact", "customer", "journey", "purge",
      NULL}},
    {"Decide",
     {"run", "decide", "explain", "simulate", "trigger match", "capacity", "allocate", NULL}},
    {"Plans", {"plan", "stop", "report", NULL}},
    {"Catalogue",
     {"treatment", "trigger", "rule", "apply", "catalogue", "history", "diff", "rollback", NULL}},
    {"Operate",
     {"workflow", "schedule", "dead-letter", "doctor", "audit", "export", "backup", "restore",
      "migrate", "copy", "key", "bench", "completion", NULL}},
};
#define GROUP_COUNT (sizeof(groups) / sizeof(groups[0]))
#define OTHER       "More"

const char *cvm_help_group_title(size_t index)
{
    return index < GROUP_COUNT ? groups[index].title : index == GROUP_COUNT ? OTHER : NULL;
}

/* How well the entry names the command: 2 = by its whole name, 1 = by its first word. */
static int match_entry(const char *entry, const char *name)
{
    size_t length = strlen(entry);
    if (strcmp(entry, name) == 0) {
        return 2;
    }
    return strncmp(entry, name, length) == 0 && name[length] == ' ' ? 1 : 0;
}

const char *cvm_help_group(const char *name)
{
    const char *title = OTHER;
    int best = 0;
    for (size_t g = 0; g < GROUP_COUNT; g++) {
        for (size_t w = 0; groups[g].words[w] != NULL; w++) {
            int match = match_entry(groups[g].words[w], name);
            if (match > best) {
                best = match;
                title = groups[g].title;
            }
        }
    }
    return title;
}

static void print_options(FILE *out, const struct cvm_option *options)
{
    for (; options != NULL && options->name != NULL; options++) {
        char left[64];
        (void)!snprintf(left, sizeof(left), "%s%s%s", options->name,
                        options->value == NULL ? "" : " ",
                        options->value == NULL ? "" : options->value);
        fprintf(out, "  %-24s %s\n", left, options->help);
    }
}

static void print_group(FILE *out, const char *title)
{
    bool has_title = false;
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        if (strcmp(cvm_help_group(cvm_commands[i]->name), title) == 0) {
            if (!has_title) {
                fprintf(out, "\n%s\n", title);
            }
            has_title = true;
            fprintf(out, "  %-20s %s\n", cvm_commands[i]->name, cvm_commands[i]->summary);
        }
    }
}

static void print_overview(FILE *out)
{
    fputs("cvm decides which treatment each customer should get.\n\n"
          "Usage: cvm COMMAND [ARGUMENTS] [--config FILE] [--store URL] [--json] [--quiet]\n\n"
          "Commands:\n",
          out);
    for (size_t g = 0; cvm_help_group_title(g) != NULL; g++) {
        print_group(out, cvm_help_group_title(g));
    }
    fputs("\nFirst steps:\n"
          "  cvm init my-base --customers 10000\n"
          "  cd my-base && cvm generate --customers 10000\n"
          "  cvm run\n"
          "  cvm explain latest CUSTOMER\n\n"
          "'cvm help COMMAND' tells more; `cvm completion bash` completes words in your shell.\n"
          "Exit status: 0 success, 1 failure, 2 usage, 3 partial (some records or customers "
          "failed).\n",
          out);
}

static void print_family(FILE *out, const char *family)
{
    size_t length = strlen(family);
    fprintf(out, "Commands that begin with 'cvm %s':\n\n", family);
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        const struct cvm_command *command = cvm_commands[i];
        if (strncmp(command->name, family, length) == 0 &&
            (command->name[length] == ' ' || command->name[length] == '\0')) {
            fprintf(out, "  %-20s %s\n", command->name, command->summary);
        }
    }
    fprintf(out, "\n'cvm help %s WORD' tells more.\n", family);
}

static void print_command(FILE *out, const struct cvm_command *command)
{
    fprintf(out, "%s\n\nUsage: cvm %s%s%s\n", command->summary, command->name,
            command->arguments[0] == '\0' ? "" : " ", command->arguments);
    if (command->details != NULL && command->details[0] != '\0') {
        fprintf(out, "\n%s\n", command->details);
    }
    if (command->options != NULL && command->options[0].name != NULL) {
        fputs("\nOptions:\n", out);
        print_options(out, command->options);
    }
    fputs("\nCommon options:\n", out);
    print_options(out, cvm_common_options);
}

void cvm_help_print(FILE *out, const struct cvm_command_line *line)
{
    if (line->help_form == CVM_HELP_NAMES) {
        for (size_t i = 0; cvm_commands[i] != NULL; i++) {
            fprintf(out, "%s\n", cvm_commands[i]->name);
        }
    } else if (line->command != NULL) {
        print_command(out, line->command);
    } else if (line->help_family != NULL) {
        print_family(out, line->help_family);
    } else {
        print_overview(out);
    }
}
