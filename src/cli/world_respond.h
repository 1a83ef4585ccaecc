/* world_respond.h - the generated world answers the decisions of a run.
 *
 * Reads the truth file that `cvm generate --truth` wrote, row by row; nothing else of cvm reads it.
 */
#ifndef CVM_CLI_WORLD_RESPOND_H
#define CVM_CLI_WORLD_RESPOND_H

#include "base/context.h"
#include "base/zone.h"
#include "storage/plan_store.h"

struct cvm_respond_request {
    const char *run_id;
    const char *truth_path;
    const char *out_path; /* NDJSON of outcomes */
    uint64_t seed;
    const struct cvm_zone *zone; /* of the deployment: contacts are dated by it */
};
struct cvm_respond_result {
    int64_t decisions; /* of the run */
    int64_t answered;  /* those that the truth file has */
    int64_t outcomes;  /* lines written */
    int64_t accepted;
    int64_t churned;
};
CVM_MUST_CHECK enum cvm_status
cvm_world_respond_run(struct cvm_store *store, const struct cvm_context *context,
                      const struct cvm_run_record *run, const struct cvm_respond_request *request,
                      struct cvm_respond_result *out_result, struct cvm_error *err);

#endif
