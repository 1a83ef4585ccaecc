/* arguments.h - the command line to a command, its options and its positional arguments. */
#ifndef CVM_CLI_ARGUMENTS_H
#define CVM_CLI_ARGUMENTS_H

#include "cli/command.h"

/* Options that every command takes. */
extern const struct cvm_option cvm_common_options[];

enum cvm_help_form { CVM_HELP_PAGE, CVM_HELP_MAN, CVM_HELP_NAMES };

struct cvm_command_line {
    const struct cvm_command *command; /* NULL: only help was asked for, or nothing */
    struct cvm_arguments arguments;
    const char *config_path; /* --config */
    const char *store_url;   /* --store */
    bool is_json, is_quiet, wants_help, wants_version;
    enum cvm_help_form help_form;
    const char *help_family; /* "plan": help on the commands that begin with it; else NULL */
};

/* Everything lives in `arena` or in argv. CVM_E_INVALID = usage error, with a hint. */
CVM_MUST_CHECK enum cvm_status cvm_command_line_parse(struct cvm_arena *arena, int argc,
                                                      char *const *argv,
                                                      struct cvm_command_line *out_line,
                                                      struct cvm_error *err);

/* Do commands of several words begin with it? */
bool cvm_command_is_family(const char *word);

/* The help that the line asks for: of a command, of a family, or the overview. */
void cvm_help_print(FILE *out, const struct cvm_command_line *line);
/* The tasks of the overview in order; NULL behind the last. */
const char *cvm_help_group_title(size_t index);
/* A command's place in the overview: "Plans". */
const char *cvm_help_group(const char *name);
/* The manual page of a command as man(7) source; NULL = of the program. */
void cvm_man_print(FILE *out, const struct cvm_command *command, const char *version);

#endif
