/* run_workflow.h - a run that agents carry out: accepted as a workflow, watched until its end. The
 * agents are other processes, or threads of this one.
 */
#ifndef CVM_CLI_RUN_WORKFLOW_H
#define CVM_CLI_RUN_WORKFLOW_H

#include "cli/work.h"
#include "engine/run_steps.h"

/* Accept the request as workflow 'batch', or find it accepted, and wait for its end with progress;
 * the result is the stored one. `work` has an engine, and a store that may be written beside
 * others. The same request that was answered before is returned at once. CVM_E_TIMEOUT when the
 * command is cancelled: the workflow goes on. */
CVM_MUST_CHECK enum cvm_status cvm_run_by_workflow(struct cvm_work *work,
                                                   const struct cvm_run_request *request,
                                                   struct cvm_run_result **out_result,
                                                   struct cvm_error *err);

/* The same with agents that are threads of this process: a broker `local:`, and the only writer of
 * the store. What a run that died left is taken up by the same request, and ended for another one.
 * The first failure of an agent ends it, and is what is returned. */
CVM_MUST_CHECK enum cvm_status cvm_run_embedded(struct cvm_work *work,
                                                const struct cvm_run_request *request,
                                                struct cvm_run_result **out_result,
                                                struct cvm_error *err);

#endif
