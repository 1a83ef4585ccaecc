/* outcome_follow.h - what unfinished outcome imports leave to do: contacts into the journey as
 * events of the policy's source, opt-outs into consent as permission records, through the road of
 * every import. Doing it again changes nothing. For engine/outcome.c. */
#ifndef CVM_ENGINE_OUTCOME_FOLLOW_H
#define CVM_ENGINE_OUTCOME_FOLLOW_H

#include "engine/run_catalogues.h"
#include "storage/import.h"

struct cvm_outcome_follow {
    int64_t contacts; /* new ones */
    int64_t opt_outs; /* customers whose permissions changed */
};
CVM_MUST_CHECK enum cvm_status cvm_outcome_follow(const struct cvm_import_work *work,
                                                  struct cvm_run_catalogues *runs,
                                                  struct cvm_outcome_follow *out_follow,
                                                  struct cvm_error *err);

#endif
