/* import_report.h - what an import tells: a table per source, warnings, and the JSON document. */
#ifndef CVM_CLI_IMPORT_REPORT_H
#define CVM_CLI_IMPORT_REPORT_H

#include "cli/command.h"
#include "storage/import.h"

/* Prints, and sets session->is_partial when a record or a file did not get in. */
CVM_MUST_CHECK enum cvm_status cvm_import_report_print(struct cvm_session *session,
                                                       const struct cvm_catalogue *catalogue,
                                                       const struct cvm_import_report *report,
                                                       struct cvm_error *err);

#endif
