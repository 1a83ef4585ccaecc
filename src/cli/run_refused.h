/* run_refused.h - a run over named customers that asks for a treatment that does not exist: every
 * entry is an error, nothing is decided and no capacity used.
 */
#ifndef CVM_CLI_RUN_REFUSED_H
#define CVM_CLI_RUN_REFUSED_H

#include "cli/command.h"

struct cvm_run_refused {
    const char *const *customers;
    size_t customer_count;
    const char *treatment; /* as asked for */
    const char *out_path;  /* or NULL */
    int32_t as_of_day;
};
CVM_MUST_CHECK enum cvm_status cvm_run_refuse(struct cvm_session *session,
                                              const struct cvm_catalogue *catalogue,
                                              const struct cvm_run_refused *refused,
                                              struct cvm_error *err);

#endif
