/* plan_history.h - who did what with a plan, why it was held, and what was handed over. */
#ifndef CVM_CLI_PLAN_HISTORY_H
#define CVM_CLI_PLAN_HISTORY_H

#include "cli/document.h"
#include "storage/plan_store.h"

/* Into the open object: created_by, hold_reasons[], history[], exports[]. */
CVM_MUST_CHECK enum cvm_status cvm_plan_history_write(struct cvm_session *session,
                                                      struct cvm_store *store,
                                                      const struct cvm_run_record *run,
                                                      struct cvm_json_writer *json,
                                                      struct cvm_error *err);
/* For people; nothing when nothing happened yet. */
CVM_MUST_CHECK enum cvm_status cvm_plan_history_print(struct cvm_session *session,
                                                      struct cvm_store *store,
                                                      const struct cvm_run_record *run,
                                                      struct cvm_error *err);

#endif
