/* run_results.h - what a run tells the world: its summary, and the result file with an entry per
 * customer. */
#ifndef CVM_ENGINE_RUN_RESULTS_H
#define CVM_ENGINE_RUN_RESULTS_H

#include "base/json_writer.h"
#include "engine/run.h"
#include "engine/values.h"

/* The summary object of the result file (design: contracts of the command line). */
void cvm_run_summary_write(const struct cvm_run_result *result, struct cvm_json_writer *json);

struct cvm_run_file_options {
    const char
        *path; /* "x.json" (one document) or "x.ndjson" (an entry a line, the summary last) */
    bool includes_everybody; /* also customers that got nothing */
    struct cvm_store *store; /* where the run's value blocks are; NULL for a dry run */
};
/* Written beside and renamed: a reader never sees half a file. Customers in key order. */
CVM_MUST_CHECK enum cvm_status cvm_run_write_file(struct cvm_engine *engine,
                                                  const struct cvm_run_result *result,
                                                  const struct cvm_run_file_options *options,
                                                  struct cvm_error *err);

/* The entry of customer i of a chunk, whose values `view` holds; nothing was decided if the result
 * has no decision of it. */
CVM_MUST_CHECK enum cvm_status cvm_run_entry_write(const struct cvm_run_result *result,
                                                   const struct cvm_values_view *view,
                                                   const struct cvm_chunk *chunk, size_t i,
                                                   struct cvm_json_writer *json,
                                                   struct cvm_error *err);

/* The entry of a customer that is not in the store. */
void cvm_run_unknown_entry(const struct cvm_run_result *result, const char *customer_id,
                           struct cvm_json_writer *json);

#endif
