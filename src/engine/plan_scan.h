/* plan_scan.h - the decisions of a plan beside the journeys of their customers: a merge by customer
 * key, in the memory of a chunk per worker.
 */
#ifndef CVM_ENGINE_PLAN_SCAN_H
#define CVM_ENGINE_PLAN_SCAN_H

#include "engine/engine.h"
#include "storage/plan_store.h"

/* Where the customer of a decision is: customer `at` of `chunk`. */
struct cvm_plan_place {
    const struct cvm_chunk *chunk; /* NULL: the journeys do not know the customer, or none are read
                                    */
    size_t at;
    size_t worker;
};
typedef enum cvm_status (*cvm_plan_decision_fn)(void *state, const struct cvm_decision *decision,
                                                const struct cvm_plan_place *place,
                                                struct cvm_error *err);

struct cvm_plan_scan {
    const char *run_id;
    const struct cvm_feature_program *program; /* NULL: no journeys are read */
    const struct cvm_shard *shards;
    size_t shard_count;
    bool is_ordered; /* one decision after the other in key order; else shards run on all workers */
    void (*on_chunk)(void *state, size_t worker, const struct cvm_chunk *chunk); /* or NULL: before
                                                                        the chunk's decisions */
    cvm_plan_decision_fn on_decision;
    void *state;
};
CVM_MUST_CHECK enum cvm_status
cvm_plan_scan(struct cvm_engine *engine, const struct cvm_plan_scan *scan, struct cvm_error *err);

#endif
