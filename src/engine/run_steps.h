/* run_steps.h - a run in steps, for agents that carry them out apart: on one machine or many.
 *
 *   open, begin            one process, once
 *   open, join, value      for each part of the base: anybody, in any order, side by side
 *   open, join, take_up, take, decide   one process, once all parts are there
 *
 * cvm_run() is all of them in one go. The plan is the same whoever does what: a job that joins a
 * run checks that it sees exactly what the run began with, and is refused otherwise.
 *
 * Thread safety: a job belongs to one thread, like the engine it works with, but for
 * cvm_run_value(); any number of them may work on one run.
 */
#ifndef CVM_ENGINE_RUN_STEPS_H
#define CVM_ENGINE_RUN_STEPS_H

#include "base/json_reader.h"
#include "base/json_writer.h"
#include "engine/run.h"

struct cvm_run_job;

/* The identity of the request. `writer` is NULL for who neither begins nor decides, or in a dry
 * run. `run_id`: the run that the request is known to be, NULL = find out. All are borrowed until
 * the job is closed. CVM_E_CONFLICT when run_id is another run: data, catalogue or outcomes changed
 * since. */
struct cvm_run_work {
    struct cvm_engine *engine;
    struct cvm_store *writer;
    const struct cvm_run_request *request;
    const char *run_id;
    size_t part_count; /* that the run began with; 0 = this job begins it */
    struct cvm_arena *arena;
};
CVM_MUST_CHECK enum cvm_status cvm_run_open(const struct cvm_run_work *work,
                                            struct cvm_run_job **out_job, struct cvm_error *err);
void cvm_run_close(struct cvm_run_job *job); /* NULL is fine */
const char *cvm_run_job_id(const struct cvm_run_job *job);
int64_t cvm_run_job_epoch(const struct cvm_run_job *job); /* after begin or join */

/* The result of the same request answered before, or NULL. */
CVM_MUST_CHECK enum cvm_status cvm_run_find_done(struct cvm_run_job *job,
                                                 struct cvm_run_result **out_result,
                                                 struct cvm_error *err);

/* Give the run its row under a higher epoch than before; what dead runs held is free again, so
 * nobody else may be running: the caller's lease, or lock of the store, sees to that. With
 * `is_replacing`, earlier decisions of the day are withdrawn. */
CVM_MUST_CHECK enum cvm_status cvm_run_begin(struct cvm_run_job *job, struct cvm_error *err);
/* Work on a run that somebody began. CVM_E_CONFLICT when it is not running. */
CVM_MUST_CHECK enum cvm_status cvm_run_join(struct cvm_run_job *job, struct cvm_error *err);

/* Into so many parts a base of this size is cut: the unit of fan-out. After begin or join. */
size_t cvm_run_part_count(const struct cvm_run_job *job);

/* What the value step makes of one part. */
struct cvm_run_part;
/* Journeys, features and verdicts of the part; nothing is written. CVM_E_CONFLICT when the journeys
 * changed meanwhile. Threads that have an engine each, of the job's catalogue, may value parts of
 * one job at once. */
CVM_MUST_CHECK enum cvm_status cvm_run_value(struct cvm_run_job *job, struct cvm_engine *engine,
                                             size_t part, struct cvm_run_part **out_part,
                                             struct cvm_error *err);
void cvm_run_part_destroy(struct cvm_run_part *part); /* NULL is fine */
size_t cvm_run_part_customers(const struct cvm_run_part *part);

/* As bytes, for another process: no ids of customers, no personal data. */
CVM_MUST_CHECK enum cvm_status cvm_run_part_encode(const struct cvm_run_part *part,
                                                   struct cvm_text *out, struct cvm_error *err);
/* CVM_E_CORRUPT for bytes that are none. */
CVM_MUST_CHECK enum cvm_status cvm_run_part_decode(const void *bytes, size_t length,
                                                   struct cvm_run_part **out_part,
                                                   struct cvm_error *err);

/* The part belongs to the job afterwards, or where it fails still to the caller. */
CVM_MUST_CHECK enum cvm_status cvm_run_take(struct cvm_run_job *job, struct cvm_run_part *part,
                                            struct cvm_error *err);

/* Before deciding: whoever was deciding for this run before has lost it (a dead process, or one
 * that only seems so), and what it stored and held is gone. CVM_E_CONFLICT when another took it up
 * since. */
CVM_MUST_CHECK enum cvm_status cvm_run_take_up(struct cvm_run_job *job, struct cvm_error *err);

/* Allocation over everybody, the plan, its publication. `in_transaction` is called inside the
 * transaction that publishes, before it commits; NULL = nobody. Every part must have been taken.
 * The result is the caller's. */
struct cvm_run_publishing {
    enum cvm_status (*in_transaction)(void *state, struct cvm_store *writer, struct cvm_error *err);
    void *state;
};
CVM_MUST_CHECK enum cvm_status cvm_run_decide(struct cvm_run_job *job,
                                              const struct cvm_run_publishing *publishing,
                                              struct cvm_run_result **out_result,
                                              struct cvm_error *err);
/* Free what the run holds and call it failed; errors are of no use to anybody here. */
void cvm_run_give_up(struct cvm_run_job *job);

/* The request as text that another process reads, without what is lent: progress, zone, folders. */
void cvm_run_request_write(const struct cvm_run_request *request,
                           const struct cvm_catalogue *catalogue, struct cvm_json_writer *json);
/* Texts in the arena. CVM_E_NOT_FOUND names a treatment that the catalogue has not. */
CVM_MUST_CHECK enum cvm_status cvm_run_request_read(const struct cvm_json_value *json,
                                                    const struct cvm_catalogue *catalogue,
                                                    struct cvm_arena *arena,
                                                    struct cvm_run_request *out_request,
                                                    struct cvm_error *err);

#endif
