#include <string.h>

#include "cli/arguments.h"

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

static void print_overview(FILE *out)
{
    fputs("cvm decides which treatment each customer should get.\n\n"
          "Usage: cvm COMMAND [ARGUMENTS] [--config FILE] [--store URL] [--json] [--quiet]\n\n"
          "Commands:\n",
          out);
    for (size_t i = 0; cvm_commands[i] != NULL; i++) {
        fprintf(out, "  %-18s %s\n", cvm_commands[i]->name, cvm_commands[i]->summary);
    }
    fputs("\nFirst steps:\n"
          "  cvm init my-base --customers 10000\n"
          "  cd my-base && cvm generate --customers 10000\n"
          "  cvm run\n"
          "  cvm explain latest CUSTOMER\n\n"
          "'cvm COMMAND --help' tells more.\n"
          "Exit status: 0 success, 1 failure, 2 usage, 3 partial (some records or customers "
          "failed).\n",
          out);
}

void cvm_help_print(FILE *out, const struct cvm_command *command)
{
    if (command == NULL) {
        print_overview(out);
        return;
    }
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
