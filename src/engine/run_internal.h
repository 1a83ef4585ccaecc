/* run_internal.h - what the files of the run share; nobody else includes it. */
#ifndef CVM_ENGINE_RUN_INTERNAL_H
#define CVM_ENGINE_RUN_INTERNAL_H

#include "base/date.h"
#include "base/json_writer.h"
#include "engine/run.h"
#include "engine/usage.h"
#include "engine/values.h"
#include "storage/ledger.h"

/* Rows of the solver from what the ledger still has, and which constraint each is. */
struct cvm_run_rows {
    struct cvm_row rows[CVM_PROBLEM_ROWS_MAX];
    int constraint[CVM_PROBLEM_ROWS_MAX];
    size_t count;
};

/* The columns of a run between its steps. */
struct cvm_run_memory {
    struct cvm_shard *shards;
    struct cvm_shard_values *values; /* per shard */
    size_t shard_count;
    size_t customer_count;
    struct cvm_buffer matrix;  /* float, blocks of 16, all shards */
    struct cvm_buffer keys;    /* uint64_t */
    struct cvm_buffer amounts; /* float: margins */
    struct cvm_buffer plan;    /* unsigned char */
    struct cvm_run_rows rows;
    struct cvm_plan solved;
    struct cvm_recommender *recommender;
    struct cvm_column live_keys; /* uint64_t, ascending: customers decided before */
};

/* Everything that one cvm_run() call needs at hand. */
struct cvm_run_job {
    struct cvm_engine *engine;
    struct cvm_store *writer;
    const struct cvm_run_request *request;
    struct cvm_arena *arena;
    struct cvm_run_result *result;
    struct cvm_run_memory *memory;
    char request_digest[CVM_DIGEST_TEXT_SIZE];
    int64_t epoch;
};

/* run_values.c: scan, features and verdicts into memory->values, blocks into the store as they end.
 */
CVM_MUST_CHECK enum cvm_status cvm_run_make_values(struct cvm_run_job *job, struct cvm_error *err);

/* run_withdraw.c: withdraw the day's decisions that are not yet sent, and give back what they used,
 * by the catalogue that they were made with. A transaction of its own. */
CVM_MUST_CHECK enum cvm_status cvm_run_withdraw(struct cvm_run_job *job, struct cvm_error *err);

/* run_solve.c: the ledger's rows, the hold, the solve. */
CVM_MUST_CHECK enum cvm_status cvm_run_allocate(struct cvm_run_job *job, struct cvm_error *err);

/* run_plan.c: decisions, digest, publication, and the summary as JSON. */
CVM_MUST_CHECK enum cvm_status cvm_run_publish(struct cvm_run_job *job, struct cvm_error *err);

/* Over (customer id TAB treatment id LF) of the treated in byte order of id. */
CVM_MUST_CHECK enum cvm_status cvm_run_digest(struct cvm_run_result *result, struct cvm_error *err);

/* run_summary.c */
void cvm_run_options_write(const struct cvm_run_job *job, struct cvm_json_writer *json);
CVM_MUST_CHECK enum cvm_status
cvm_run_summary_parse(const char *json, struct cvm_run_result *result, struct cvm_error *err);

#endif
