/* embedded.h - files inside the program: what `cvm init` writes ("catalogue/...", "cvm.yaml"), the
 * style and script of reports ("page/..."), and definitions of workflows ("workflow/..."). Made by
 * tools/embed_files.sh. */
#ifndef CVM_CLI_EMBEDDED_H
#define CVM_CLI_EMBEDDED_H

#include <stddef.h>

struct cvm_embedded_file {
    const char *name;  /* "cvm.yaml", "catalogue/treatments/ignore.yaml", "page/report.css" */
    const char *bytes; /* ended by '\0' */
    size_t length;
};
extern const struct cvm_embedded_file cvm_embedded_files[]; /* ends with .name = NULL */

#endif
