/* Manual pages from the table of commands, in man(7): the build writes one per command. */
#include <ctype.h>
#include <string.h>

#include "cli/arguments.h"

#define PAGE_DATE "2026-11-23" /* of the last change of their form, so that builds agree */

/* Text that roff would take for a request, an escape or a hyphen stays what it is. */
static void print_text(FILE *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool is_start = i == 0 || text[i - 1] == '\n';
        if (is_start && (text[i] == '.' || text[i] == '\'')) {
            fputs("\\&", out);
        }
        if (text[i] == '\\') {
            fputs("\\e", out);
        } else if (text[i] == '-') {
            fputs("\\-", out);
        } else if (text[i] == '\'') {
            fputs("\\(aq", out);
        } else if (text[i] == '`') {
            fputs("\\(ga", out);
        } else {
            fputc(text[i], out);
        }
    }
}

static void print_string(FILE *out, const char *text)
{
    print_text(out, text, strlen(text));
}

/* Lines that begin with two spaces are examples; an empty line ends a paragraph. */
static void print_details(FILE *out, const char *details)
{
    bool is_example = false;
    bool is_gap = true; /* the summary stands before */
    while (*details != '\0') {
        size_t length = strcspn(details, "\n");
        bool indented = strncmp(details, "  ", 2) == 0;
        if (length == 0) {
            is_gap = true;
        } else {
            if (is_example && !indented) {
                fputs(".EE\n.RE\n", out);
            }
            if (is_gap || (indented && !is_example) || (is_example && !indented)) {
                fputs(is_example && indented ? "\n" : ".PP\n", out);
            }
            if (indented && !is_example) {
                fputs(".RS 4\n.EX\n", out);
            }
            print_text(out, details + (indented ? 2 : 0), length - (indented ? 2 : 0));
            fputc('\n', out);
            is_example = indented;
            is_gap = false;
        }
        details += length + (details[length] == '\n' ? 1 : 0);
    }
    fputs(is_example ? ".EE\n.RE\n" : "", out);
}

static void print_options(FILE *out, const struct cvm_option *options)
{
    for (; options != NULL && options->name != NULL; options++) {
        fputs(".TP\n.B ", out);
        print_string(out, options->name);
        if (options->value != NULL) {
            fputc(' ', out);
            print_string(out, options->value);
        }
        fputc('\n', out);
        print_string(out, options->help);
        fputc('\n', out);
    }
}

/* "plan show" -> "plan-show" */
static void print_page_name(FILE *out, const char *name, bool is_upper)
{
    for (; *name != '\0'; name++) {
        if (*name == ' ' || *name == '-') {
            fputs(is_upper ? "-" : "\\-", out);
        } else {
            fputc(is_upper ? toupper((unsigned char)*name) : *name, out);
        }
    }
}

static void print_head(FILE *out, const char *name, const char *summary, const char *version)
{
    fputs(".TH CVM", out);
    if (name != NULL) {
        fputc('-', out);
        print_page_name(out, name, true);
    }
    fprintf(out, " 1 \"" PAGE_DATE "\" \"cvm %s\" \"User Commands\"\n.SH NAME\ncvm", version);
    if (name != NULL) {
        fputs("\\-", out);
        print_page_name(out, name, false);
    }
    fputs(" \\- ", out);
    print_string(out, summary);
    fputc('\n', out);
}

static void print_command(FILE *out, const struct cvm_command *command, const char *version)
{
    print_head(out, command->name, command->summary, version);
    fputs(".SH SYNOPSIS\n.B cvm ", out);
    print_string(out, command->name);
    fputc('\n', out);
    if (command->arguments[0] != '\0') {
        print_string(out, command->arguments);
        fputc('\n', out);
    }
    fputs("[\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n", out);
    print_string(out, command->summary);
    fputs(".\n", out);
    if (command->details != NULL && command->details[0] != '\0') {
        print_details(out, command->details);
    }
    fputs(".SH OPTIONS\n", out);
    print_options(out, command->options);
    print_options(out, cvm_common_options);
    fputs(".SH SEE ALSO\n.BR cvm (1)\n", out);
}

static void print_program(FILE *out, const char *version)
{
    print_head(out, NULL, "decides which treatment each customer should get", version);
    fputs(".SH SYNOPSIS\n.B cvm\n\\fICOMMAND\\fR [\\fIARGUMENTS\\fR]\n.SH DESCRIPTION\n"
          "Imports what is known of every customer, values every permitted treatment,\n"
          "allocates the scarce ones over the whole base at once, and explains every\n"
          "decision.\n",
          out);
    for (size_t t = 0; cvm_help_group_title(t) != NULL; t++) {
        const char *title = cvm_help_group_title(t);
        bool has_title = false;
        for (size_t i = 0; cvm_commands[i] != NULL; i++) {
            if (strcmp(cvm_help_group(cvm_commands[i]->name), title) == 0) {
                fprintf(out, "%s%s%s.TP\n.B cvm ", has_title ? "" : ".SS ", has_title ? "" : title,
                        has_title ? "" : "\n");
                print_string(out, cvm_commands[i]->name);
                fputc('\n', out);
                print_string(out, cvm_commands[i]->summary);
                fputc('\n', out);
                has_title = true;
            }
        }
    }
    fputs(".SH OPTIONS\nEvery command takes:\n", out);
    print_options(out, cvm_common_options);
    fputs(".SH EXIT STATUS\n0 success, 1 failure, 2 usage, 3 partial (some records or customers\n"
          "failed; the output says which).\n.SH ENVIRONMENT\n.TP\n.B NO_COLOR\n"
          "Any value: no colours. With TERM=dumb there are none either, and no progress.\n"
          ".SH FILES\n.TP\n.I cvm.yaml\nWiring: store, catalogue folder, threads, time zone.\n",
          out);
}

void cvm_man_print(FILE *out, const struct cvm_command *command, const char *version)
{
    if (command == NULL) {
        print_program(out, version);
    } else {
        print_command(out, command, version);
    }
}
