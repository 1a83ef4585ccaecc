/* evaluation_text.h - the report of the evaluation agent (docs/agents/README.md), for people. */
#ifndef CVM_CLI_EVALUATION_TEXT_H
#define CVM_CLI_EVALUATION_TEXT_H

#include "cli/command.h"

/* What a step gave, as JSON: nothing is printed where it is no such report. */
CVM_MUST_CHECK enum cvm_status cvm_evaluation_print(struct cvm_session *session, const char *output,
                                                    struct cvm_error *err);

#endif
