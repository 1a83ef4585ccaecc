/* workflow_definitions.h - definitions of workflows by name: a file of the folder `workflows`
 * beside cvm.yaml, or what ships with the program.
 */
#ifndef CVM_CLI_WORKFLOW_DEFINITIONS_H
#define CVM_CLI_WORKFLOW_DEFINITIONS_H

#include "cli/command.h"
#include "workflows/definition.h"

/* In the session's arena. CVM_E_NOT_FOUND names what there is. */
CVM_MUST_CHECK enum cvm_status cvm_session_definition(struct cvm_session *session, const char *name,
                                                      const struct cvm_definition **out_definition,
                                                      struct cvm_error *err);

/* Names of all there are, sorted. */
struct cvm_definition_name {
    const char *name;
    const char *where; /* path of the file, or NULL: it ships with the program */
};
struct cvm_definition_names {
    struct cvm_definition_name *items;
    size_t count;
};
CVM_MUST_CHECK enum cvm_status cvm_session_definition_names(struct cvm_session *session,
                                                            struct cvm_definition_names *out_names,
                                                            struct cvm_error *err);

#endif
