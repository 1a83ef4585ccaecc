/* simulate.h - what if: a finished run's problem solved again with other limits.
 *
 * From what the run kept (its value blocks, decisions, prices): journeys are not read, nothing is
 * stored. Only limits may be other; whatever changes a value or who may get something needs a run.
 * The base is the run's own plan with its own prices, checked anew; each scenario is solved from
 * these prices on. What others used of a limit, or what was kept for real time, stays as it was.
 */
#ifndef CVM_ENGINE_SIMULATE_H
#define CVM_ENGINE_SIMULATE_H

#include "allocation/conflict.h"
#include "base/arena.h"
#include "base/context.h"
#include "base/threads.h"
#include "model/catalogue.h"
#include "storage/plan_store.h"

struct cvm_setting {
    const char *name; /* as people call it: "retention_email.max_per_day", "incentive_budget" */
    int constraint;
    int64_t limit; /* of the period, in units of the ledger; -1 = unlimited */
    bool is_kept;  /* as in the run: what it asks for is so already */
};

#define CVM_SIMULATE_UNLIMITED "unlimited"
/* "NAME" and "NUMBER" as people give them: `ID.max_per_day` and `ID.enabled` of a treatment, or a
 * constraint's id; "budget" is the only budget where there is one. CVM_E_INVALID says what is wrong
 * and what was meant. Texts of the setting live in the catalogue or the arena. */
CVM_MUST_CHECK enum cvm_status
cvm_setting_parse(const struct cvm_catalogue *catalogue, struct cvm_arena *arena, const char *name,
                  const char *number, struct cvm_setting *out_setting, struct cvm_error *err);

struct cvm_scenario {
    const char *name;
    const struct cvm_setting *settings; /* the last one of a constraint counts */
    size_t setting_count;
};

struct cvm_simulated_part {
    int64_t treated;
    double value;
};

/* In units of the ledger, as is the price. */
struct cvm_simulated_limit {
    bool is_limited;   /* the rest is only then known */
    int64_t granted;   /* for the period */
    int64_t available; /* of it, to the run */
    int64_t used;      /* in the form of allocation/problem.h: negative for a minimum */
    int64_t covered;   /* treatments that count, and those of them in the group */
    int64_t inside;
    int64_t shortfall;
    double price, price_low, price_high; /* the range is NaN where it is not known */
    bool is_binding;
};

struct cvm_simulated {
    const struct cvm_scenario *scenario; /* NULL: the base */
    double value, dual_bound, gap;
    bool is_feasible;
    int64_t spend_micro;
    int64_t treated;
    int64_t changed; /* customers who get something else than in the base */
    struct cvm_simulated_part treatments[CVM_TREATMENTS_MAX];
    struct cvm_simulated_part segments[CVM_SEGMENTS_MAX];
    struct cvm_simulated_limit limits[CVM_CONSTRAINTS_MAX];
    const struct cvm_conflict *conflicts; /* where a minimum is not reached: why, in words */
    size_t conflict_count;
    double seconds; /* of the solve and its certificate */
};

struct cvm_simulation {
    struct cvm_run_record run;
    const struct cvm_catalogue *catalogue; /* with the responses that the run decided with */
    int64_t customers;
    double run_value;   /* as the run told it */
    bool is_reproduced; /* the base has the same */
    struct cvm_simulated base;
    struct cvm_simulated *results; /* per scenario */
    size_t result_count;
    double read_seconds;
};

struct cvm_simulate_request {
    const char *run_id;
    const struct cvm_catalogue *catalogue; /* the version of the run */
    const struct cvm_scenario *scenarios;
    size_t scenario_count;
    bool wants_conflicts; /* it takes further solves */
    struct cvm_pool *pool;
    const struct cvm_context *context;
};
/* CVM_E_CONFLICT for a run that is not finished, keeps no values, or was asked for one treatment.
 */
CVM_MUST_CHECK enum cvm_status cvm_simulate(struct cvm_store *store,
                                            const struct cvm_simulate_request *request,
                                            struct cvm_arena *arena,
                                            const struct cvm_simulation **out_simulation,
                                            struct cvm_error *err);

#endif
