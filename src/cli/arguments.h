/* arguments.h - the command line to a command, its options and its positional arguments. */
#ifndef CVM_CLI_ARGUMENTS_H
#define CVM_CLI_ARGUMENTS_H

#include "cli/command.h"

/* Options that every command takes. */
extern const struct cvm_option cvm_common_options[];

struct cvm_command_line {
    const struct cvm_command *command; /* NULL: only help was asked for, or nothing */
    struct cvm_arguments arguments;
    const char *config_path; /* --config */
    const char *store_url;   /* --store */
    bool is_json, is_quiet, wants_help, wants_version;
};

/* Everything lives in `arena` or in argv. CVM_E_INVALID = usage error, with a hint. */
CVM_MUST_CHECK enum cvm_status cvm_command_line_parse(struct cvm_arena *arena, int argc,
                                                      char *const *argv,
                                                      struct cvm_command_line *out_line,
                                                      struct cvm_error *err);

void cvm_help_print(FILE *out, const struct cvm_command *command); /* NULL = the overview */

#endif
