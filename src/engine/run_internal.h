/* run_internal.h - what the files of the run share; nobody else includes it. */
#ifndef CVM_ENGINE_RUN_INTERNAL_H
#define CVM_ENGINE_RUN_INTERNAL_H

#include <stdatomic.h>

#include "base/date.h"
#include "base/json_writer.h"
#include "engine/control.h"
#include "engine/groups.h"
#include "engine/household.h"
#include "engine/pending.h"
#include "engine/responses.h"
#include "engine/run_steps.h"
#include "engine/usage.h"
#include "engine/values.h"
#include "recommend/contact_window.h"
#include "storage/ledger.h"
#include "storage/run_parts.h"
#include "storage/stops.h"

/* Rows of the solver from what the ledger still has, and which constraint each is; behind them the
 * rows of groups, which the ledger does not know. */
struct cvm_run_rows {
    struct cvm_row rows[CVM_PROBLEM_ROWS_MAX];
    int constraint[CVM_PROBLEM_ROWS_MAX];
    size_t ledger_count;
    size_t count;
};

/* When customers may be contacted: from a moment on, and where a contact is planned, not before its
 * day begins on the customer's own clock. The zones of the policy, opened once. For one thread. */
struct cvm_run_windows {
    const struct cvm_contact_policy *policy;
    const struct cvm_zone *deployment;
    struct cvm_zone *utc;    /* owned: where no zone was lent */
    struct cvm_zone **zones; /* owned, by word of the zone feature */
    size_t zone_count;
    int64_t from_ms;
    int32_t contact_day;               /* CVM_DAY_NONE: from_ms alone counts */
    struct cvm_run_window_slot *slots; /* windows already worked out */
};

/* What changes from one day to the next without a new catalogue or batch. */
struct cvm_run_inputs {
    struct cvm_stops stops;
    struct cvm_responses responses;
    const char *responses_json; /* in the arena */
    int64_t last_outcome_import;
};

/* Who joins the universal control group in this run. */
struct cvm_run_joining {
    uint64_t key;
    uint16_t stratum;
};
struct cvm_run_stratum {
    const char *name;          /* NULL: no newcomers */
    int64_t enrolled, members; /* before this run */
    int64_t newcomers, joining;
};
struct cvm_run_enrolment {
    bool is_on;
    bool is_everybody;              /* nobody was enrolled before */
    struct cvm_column newcomers;    /* uint64_t, ascending, otherwise */
    struct cvm_run_stratum *strata; /* cvm_control_stratum_count() of them, in the arena */
    struct cvm_column joining;      /* struct cvm_run_joining, ascending key */
};

/* The columns of a run between its steps. */
struct cvm_run_memory {
    struct cvm_shard *shards;
    struct cvm_shard_values *values; /* per shard */
    size_t shard_count;
    atomic_size_t shards_ended; /* of the scan, for progress */
    size_t customer_count;
    bool is_spilled;           /* the matrix is a mapped file */
    struct cvm_buffer matrix;  /* float, blocks of 16, all shards */
    struct cvm_buffer keys;    /* uint64_t */
    struct cvm_buffer amounts; /* double: margins */
    struct cvm_buffer classes; /* uint16_t, where the catalogue has groups */
    struct cvm_group_classes group_classes;
    struct cvm_buffer plan; /* unsigned char */
    struct cvm_run_rows rows;
    struct cvm_plan solved;
    struct cvm_recommender *recommender;
    struct cvm_column live_keys; /* uint64_t, ascending: customers decided before */
    struct cvm_pending pending;
    struct cvm_control_groups control;
    struct cvm_run_enrolment enrolment;
    size_t *first;                 /* customer that each shard begins with, and their count */
    struct cvm_column ghosts;      /* struct cvm_run_decision */
    struct cvm_buffer withheld;    /* uint64_t per customer: bit per treatment; empty when no
                                      control group is on */
    struct cvm_column *households; /* per worker; NULL without household limits */
    size_t household_columns;
    struct cvm_column taken_households; /* of parts that were taken, until all are there */
    uint32_t household_count;           /* in which the solver chooses */
    struct cvm_buffer members_of;       /* uint32_t per customer: which of these, or CVM_NO_GROUP */
    struct cvm_buffer allowances;       /* unsigned char per household: how many of it */
    struct cvm_run_windows windows;
};

/* Everything that one run needs at hand. */
struct cvm_run_job {
    struct cvm_engine *engine;
    struct cvm_store *writer; /* NULL in a dry run, and for who only values */
    struct cvm_store *store;  /* the writer, or a reader */
    const struct cvm_run_request *request;
    struct cvm_arena *arena;
    struct cvm_run_result *result;
    struct cvm_run_memory *memory;
    const struct cvm_catalogue *catalogue; /* with the responses in force */
    int trigger;                           /* CVM_INDEX_NONE */
    struct cvm_run_inputs inputs;
    char request_digest[CVM_DIGEST_TEXT_SIZE];
    int64_t epoch;     /* 0 = it has not begun */
    size_t part_count; /* of the whole base; 0 = find out */
    double start;
    bool has_unwritten_blocks; /* of values: they are stored with the decisions */
    const struct cvm_run_publishing *publishing;
};

/* run_identity.c: the request's digest and the run's id; `run_id` as in struct cvm_run_work. */
CVM_MUST_CHECK enum cvm_status cvm_run_identify(struct cvm_run_job *job, const char *run_id,
                                                struct cvm_error *err);

/* run_begin.c: the row of the run; customers who have a decision of that day. run_shards.c: whom
 * the run looks at, and room for their values. */
CVM_MUST_CHECK enum cvm_status cvm_run_start_record(struct cvm_run_job *job, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_run_find_live(struct cvm_run_job *job, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_run_plan_shards(struct cvm_run_job *job, struct cvm_error *err);

/* run_load.c: an empty result, with its memory. */
CVM_MUST_CHECK enum cvm_status cvm_run_new_result(const struct cvm_engine *engine,
                                                  struct cvm_feature_window window,
                                                  struct cvm_run_result **out_result,
                                                  struct cvm_error *err);

/* A stored decision as a run has it; texts in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_run_loaded_decision(const struct cvm_catalogue *catalogue,
                                                       const struct cvm_decision *stored,
                                                       struct cvm_arena *arena,
                                                       struct cvm_run_decision *out_decision,
                                                       struct cvm_error *err);

/* run_values.c: scan, features and verdicts into memory->values, blocks into the store as they end.
 */
CVM_MUST_CHECK enum cvm_status cvm_run_make_values(struct cvm_run_job *job, struct cvm_error *err);
/* Blocks that were not stored during the scan: household limits change values after it, and who
 * takes parts has not scanned. The body of a thread; the job is its state. */
enum cvm_status cvm_run_write_blocks(void *job, struct cvm_error *err);

/* run_windows.c */
CVM_MUST_CHECK enum cvm_status cvm_run_windows_open(struct cvm_run_windows *windows,
                                                    const struct cvm_catalogue *catalogue,
                                                    const struct cvm_zone *zone,
                                                    struct cvm_error *err);
void cvm_run_windows_close(struct cvm_run_windows *windows);
/* Plan contacts for this day: from its start in the deployment's zone on, and in the customer's. */
void cvm_run_windows_plan(struct cvm_run_windows *windows, int32_t day);
/* Zeros where there is no contact. */
struct cvm_contact_window cvm_run_window(struct cvm_run_windows *windows, enum cvm_channel channel,
                                         const struct cvm_contact_facts *facts);

/* run_inputs.c: stops, responses and the last import of outcomes, as of now; the catalogue with
 * these responses. */
CVM_MUST_CHECK enum cvm_status
cvm_run_load_inputs(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                    struct cvm_arena *arena, struct cvm_run_inputs *out_inputs,
                    const struct cvm_catalogue **out_catalogue, struct cvm_error *err);

/* run_control.c: who belongs to which group, before the scan; who joins, after it; what is withheld
 * from whom, for the solver. */
CVM_MUST_CHECK enum cvm_status cvm_run_open_control(struct cvm_run_job *job, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_run_enrol(struct cvm_run_job *job, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_run_store_enrolment(struct cvm_run_job *job,
                                                       struct cvm_error *err);
bool cvm_run_is_member(const struct cvm_control_groups *groups, uint64_t key);
CVM_MUST_CHECK enum cvm_status cvm_run_withhold(struct cvm_run_job *job, struct cvm_error *err);

/* run_household.c: everybody's household, as the scan finds it, by worker; where the run is for a
 * few, the others of their households; in which of them the solver chooses, once it is known what
 * is withheld; what it chose, for who got nothing. */
CVM_MUST_CHECK enum cvm_status cvm_run_open_households(struct cvm_run_job *job,
                                                       struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_run_add_other_households(struct cvm_run_job *job,
                                                            struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_run_number_households(struct cvm_run_job *job,
                                                         struct cvm_error *err);
void cvm_run_tell_households(struct cvm_run_job *job);

/* run_withdraw.c: withdraw the day's decisions that are not yet sent, and give back what they used,
 * by the catalogue that they were made with. A transaction of its own. */
CVM_MUST_CHECK enum cvm_status cvm_run_withdraw(struct cvm_run_job *job, struct cvm_error *err);

/* run_solve.c: the ledger's rows, the hold, the solve. */
CVM_MUST_CHECK enum cvm_status cvm_run_allocate(struct cvm_run_job *job, struct cvm_error *err);

/* run_conflict.c: minimums out of reach, into the result: before the solve, and after one that fell
 * short. */
CVM_MUST_CHECK enum cvm_status cvm_run_find_conflicts(struct cvm_run_job *job,
                                                      const struct cvm_problem *problem,
                                                      bool is_solved, struct cvm_error *err);
/* The same of a stored run; its summary is JSON. */
CVM_MUST_CHECK enum cvm_status cvm_run_conflicts_load(const char *summary, struct cvm_arena *arena,
                                                      struct cvm_run_result *result,
                                                      struct cvm_error *err);

/* run_decisions.c: what a decision says besides whom and what: value, price, costs, channel,
 * window, arm. */
struct cvm_run_maker {
    const struct cvm_catalogue *catalogue;
    const struct cvm_recommender *recommender;
    const struct cvm_control_groups *control;
    const double *prices;
    struct cvm_run_windows *windows; /* NULL: the customer is on the line */
    int forced_treatment;
};
struct cvm_run_decision cvm_run_make_decision(const struct cvm_run_maker *maker,
                                              const struct cvm_shard_values *shard, size_t customer,
                                              size_t treatment);
/* Decisions and ghosts of the solved plan, and the counts. */
CVM_MUST_CHECK enum cvm_status cvm_run_make_decisions(struct cvm_run_job *job,
                                                      struct cvm_error *err);

/* run_plan.c: digest, publication, and the summary as JSON. */
CVM_MUST_CHECK enum cvm_status cvm_run_publish(struct cvm_run_job *job, struct cvm_error *err);

/* Over (customer id TAB treatment id LF) of the treated in byte order of id. */
CVM_MUST_CHECK enum cvm_status cvm_run_digest(struct cvm_run_result *result, struct cvm_error *err);
/* The decision as the store keeps it; texts are the result's and the catalogue's. */
struct cvm_decision cvm_run_stored_decision(const struct cvm_run_result *result,
                                            const struct cvm_run_decision *decision, bool is_ghost);

/* run_limits.c: what the solve made of every constraint, into the result and out of it;
 * constraints[r] is that of row r. */
void cvm_run_limits_take(const struct cvm_problem *problem, const int *constraints,
                         const struct cvm_plan *plan, struct cvm_run_result *result);
void cvm_run_limits_write(const struct cvm_run_result *result, struct cvm_json_writer *json);
void cvm_run_limits_parse(const struct cvm_json_value *states, struct cvm_run_result *result);

/* run_request.c: what narrows the run, for its row; run_summary.c: what it made. */
void cvm_run_options_write(const struct cvm_run_job *job, struct cvm_json_writer *json);
CVM_MUST_CHECK enum cvm_status
cvm_run_summary_parse(const char *json, struct cvm_run_result *result, struct cvm_error *err);

#endif
