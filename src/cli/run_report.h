/* run_report.h - what a run tells a person: what was given, for what, at which price, and why not.
 */
#ifndef CVM_CLI_RUN_REPORT_H
#define CVM_CLI_RUN_REPORT_H

#include "cli/command.h"
#include "engine/run.h"

struct cvm_run_report {
    const struct cvm_run_result *result;
    const char *out_path; /* result file, or NULL */
};
void cvm_run_report_print(struct cvm_session *session, const struct cvm_run_report *report);

#endif
