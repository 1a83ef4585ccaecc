/* run.h - one whole-base job as of a date: journeys, values, one solve over everybody, a plan.
 *
 * A pure function of (snapshot, catalogue, request): neither threads nor chunk size nor the order
 * of rows show in its plan_digest. The same request on the same snapshot is the same run: returned,
 * not repeated.
 */
#ifndef CVM_ENGINE_RUN_H
#define CVM_ENGINE_RUN_H

#include "allocation/solver.h"
#include "base/arena.h"
#include "base/zone.h"
#include "engine/engine.h"
#include "model/money.h"
#include "model/reason.h"
#include "storage/plan_store.h"

struct cvm_run_request {
    int32_t as_of_day;
    int32_t since_day;            /* CVM_DAY_NONE: the catalogue's history window */
    const char *const *customers; /* ids; NULL = everybody */
    size_t customer_count;
    const char *trigger;  /* only customers that it finds; NULL = all */
    int forced_treatment; /* CVM_INDEX_NONE */
    uint64_t allowed;     /* bit per treatment, ~0 = all */
    bool is_dry;          /* nothing is stored, no capacity is used */
    bool is_replacing;    /* withdraw what is not yet sent for this date first */
    bool must_release;    /* release: auto */
    int64_t seed;
    double realtime_share;   /* of each capacity, left for `cvm decide` */
    int64_t keep_runs;       /* whose value blocks stay */
    size_t matrix_bytes_max; /* of the solver's values in memory; 0 = any. More live in a file */
    const char *spill_folder;
    const char *who;
    const struct cvm_zone *zone; /* of the deployment; NULL = UTC */
    void (*on_progress)(void *state, const char *stage, double fraction, int64_t customers);
    void *progress_state;
};

/* What the solve made of one constraint, in its amounts and prices per unit of it (usage.h). */
struct cvm_run_limit {
    bool is_solved;    /* the rest is only then known */
    int64_t available; /* to this run, in the form of problem.h: negative for a minimum */
    int64_t used;      /* the same */
    int64_t covered;   /* treatments that count, and those of them in the group */
    int64_t inside;
    int64_t shortfall; /* of a minimum */
    double price_low, price_high;
    bool is_binding;
};

/* Rows that no plan keeps together, or one that is impossible by itself. */
struct cvm_run_conflict {
    const char *const *rows; /* ids of constraints */
    size_t row_count;
    const char *message;
    const char *relaxation;
};

struct cvm_run_decision {
    uint64_t key;
    const char *customer_id;
    int treatment;
    enum cvm_reason reason;
    double value, sd, price;
    int64_t cost_micro, incentive_micro;
    double churn;             /* in the horizon if untreated */
    enum cvm_channel channel; /* resolved; CVM_CHANNEL_NONE = no contact */
    char language[CVM_LANGUAGE_SIZE];
    int64_t earliest_ms, latest_ms; /* 0 without a contact */
    const char *arm;                /* engine/control.h */
    double selection_probability;
    int withheld; /* what a control group kept from the customer; CVM_INDEX_NONE = nothing */
};

/* Everything a summary, a result file and explain want to know. Owned by the result. */
struct cvm_run_result {
    const char *run_id;
    bool was_done_before;
    const struct cvm_catalogue *catalogue;
    int32_t as_of_day;
    int32_t since_day; /* CVM_DAY_NONE: the catalogue's history window */
    int64_t created_at_ms;
    int64_t customers;                  /* looked at; with a trigger those that it found */
    int64_t undecided_before;           /* without a live decision, so decided now */
    int forced_treatment;               /* of the request; CVM_INDEX_NONE */
    const char *trigger;                /* of the request; NULL */
    struct cvm_run_decision *decisions; /* treated ones, ascending key */
    size_t decision_count;
    /* What control groups left with nothing: treatment = withheld is what they would have got.
     * They use nothing and are in no count but these. */
    struct cvm_run_decision *ghosts; /* ascending key */
    size_t ghost_count;
    int64_t control_members;  /* of the universal group, among the customers looked at */
    int64_t universal_ghosts; /* of ghost_count; the others are held out */
    const char *plan_state;   /* NULL in a dry run */
    const char *const *hold_reasons;
    size_t hold_reason_count;
    const char **unknown_ids; /* asked for, not in the store */
    size_t unknown_count;
    /* The certificate: no plan is worth more than dual_bound, which is value + regret + slack. */
    double value, dual_bound, gap;
    double regret, slack;
    bool is_feasible;                                 /* every minimum is reached */
    struct cvm_run_limit solved[CVM_CONSTRAINTS_MAX]; /* by constraint, groups behind the others */
    const struct cvm_run_conflict *conflicts;
    size_t conflict_count;
    int64_t spend_micro;
    int64_t by_treatment[CVM_TREATMENTS_MAX];
    int64_t refusals[CVM_REASON_COUNT];  /* pairs of customer and treatment */
    double prices[CVM_CONSTRAINTS_MAX];  /* by constraint, groups too; NaN = not in this solve */
    int64_t limits[CVM_CONSTRAINTS_MAX]; /* granted for the period; -1 = unlimited */
    int64_t remaining[CVM_CONSTRAINTS_MAX];
    char plan_digest[CVM_DIGEST_TEXT_SIZE];
    struct {
        double features, values, allocation, plan, total;
    } seconds;
    struct cvm_run_memory *memory; /* private to run.c */
};

/* CVM_E_NOT_FOUND names a trigger that the catalogue has not.
 * `writer` may be NULL only for a dry run. Texts of the result live in `arena` or in the result. */
CVM_MUST_CHECK enum cvm_status cvm_run(struct cvm_engine *engine, struct cvm_store *writer,
                                       const struct cvm_run_request *request,
                                       struct cvm_arena *arena, struct cvm_run_result **out_result,
                                       struct cvm_error *err);
/* Load a finished run again, as cvm_run() left it (without seconds). */
CVM_MUST_CHECK enum cvm_status cvm_run_load(struct cvm_engine *engine, struct cvm_store *store,
                                            const char *run_id, struct cvm_arena *arena,
                                            struct cvm_run_result **out_result,
                                            struct cvm_error *err);
void cvm_run_result_destroy(struct cvm_run_result *result);

#endif
