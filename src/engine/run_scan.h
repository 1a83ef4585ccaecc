/* run_scan.h - the scan of some shards of a run, as cvm_run_make_values() does it of all. Only
 * files of the run include it.
 */
#ifndef CVM_ENGINE_RUN_SCAN_H
#define CVM_ENGINE_RUN_SCAN_H

#include "engine/run_internal.h"

/* Into columns of the caller's, and nothing into the store. Changes nothing of the job but the
 * count of shards that have ended, so several threads may do it. */
struct cvm_run_scan {
    struct cvm_engine *engine; /* of the calling thread */
    size_t first_shard;
    size_t shard_count;
    struct cvm_shard_values *values; /* of these shards */
    struct cvm_column *households;   /* by worker of the engine, joined in the first; NULL = off */
};
struct cvm_run_seconds {
    double features, values;
};
CVM_MUST_CHECK enum cvm_status cvm_run_scan_shards(struct cvm_run_job *job,
                                                   const struct cvm_run_scan *scan,
                                                   struct cvm_run_seconds *seconds,
                                                   struct cvm_error *err);
/* Empty columns of a shard. */
void cvm_run_init_values(const struct cvm_run_job *job, struct cvm_shard_values *values);

#endif
