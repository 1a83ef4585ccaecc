/* ledger_support.h - a small catalogue of constraints, and runs and decisions, for tests of the
 * store. */
#ifndef CVM_TESTS_LEDGER_SUPPORT_H
#define CVM_TESTS_LEDGER_SUPPORT_H

#include "storage/ledger.h"
#include "storage/plan_store.h"

/* Constraints of the catalogue below. */
enum { EMAIL, MINUTES, BUDGET, UNLIMITED, PER_RUN, CONSTRAINTS };

struct support_catalogue {
    struct cvm_constraint constraints[CONSTRAINTS];
    struct cvm_catalogue catalogue;
};

/* 10 e-mails a day, 60,000 thousandths of a minute a week, 100 of money a month, one without limit,
 * 5 per run. */
static inline const struct cvm_catalogue *support_constraints(struct support_catalogue *support)
{
    *support = (struct support_catalogue){
        .constraints =
            {
                [EMAIL] = {.id = "capacity:email", .period = CVM_PERIOD_DAY, .limit = 10},
                [MINUTES] = {.id = "minutes", .period = CVM_PERIOD_WEEK, .limit = 60000},
                [BUDGET] = {.id = "budget", .period = CVM_PERIOD_MONTH, .limit = 100000000},
                [UNLIMITED] = {.id = "capacity:push", .period = CVM_PERIOD_DAY, .limit = -1},
                [PER_RUN] = {.id = "per_run", .period = CVM_PERIOD_RUN, .limit = 5},
            },
    };
    support->catalogue.constraints = support->constraints;
    support->catalogue.constraint_count = CONSTRAINTS;
    return &support->catalogue;
}

static inline struct cvm_run_record support_run_record(const char *run_id, int32_t day)
{
    return (struct cvm_run_record){
        .run_id = run_id,
        .request = run_id, /* as good as a digest */
        .as_of_day = day,
        .seed = 42,
        .catalogue_version = 1,
        .last_batch = 3,
        .options = "{\"all\":true}",
        .created_at_ms = 1000 + day,
    };
}

static inline struct cvm_decision support_decision(const char *run_id, uint64_t key)
{
    return (struct cvm_decision){
        .run_id = run_id,
        .customer_key = key,
        .customer_id = "U1",
        .treatment = "retention_email",
        .language = "en",
        .value = 12.5,
        .sd = 3.25,
        .price = 0.125,
        .cost_micro = 50000,
        .incentive_micro = 2000000,
        .reason = 19,
        .arm = "treated",
        .selection_probability = 1.0,
        .earliest_at_ms = 1710950400000,
    };
}

#endif
