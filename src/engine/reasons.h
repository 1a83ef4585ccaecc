/* reasons.h - how many customers each rule, consent, limit and price of a run excluded, alone and
 * together with others: one scan of the base, every check of every treatment. */
#ifndef CVM_ENGINE_REASONS_H
#define CVM_ENGINE_REASONS_H

#include "engine/run.h"
#include "recommend/checks.h"

/* Value not above 0, and the price of each constraint; they count whatever the other checks say. */
#define CVM_REASON_LINES_MAX (CVM_CHECKS_MAX + 1 + CVM_CONSTRAINTS_MAX)

struct cvm_reason_line {
    struct cvm_check check; /* the name of a price is its constraint's id */
    int64_t alone;          /* customers whom only this check keeps from the treatment */
    int64_t together;       /* customers whom it keeps from it, with others or not */
};

struct cvm_treatment_reasons {
    struct cvm_reason_line *lines; /* in the order of the checks; ones that excluded nobody too */
    size_t line_count;
    int64_t passed; /* customers who pass them all */
    int64_t given;  /* as decided in the run */
};

struct cvm_reasons {
    const char *run_id;
    int32_t as_of_day;
    const struct cvm_catalogue *catalogue;
    int64_t customers;
    struct cvm_treatment_reasons *treatments; /* per treatment of the catalogue */
    bool data_changed;
};

/* engine->catalogue must be the version of the run; kill switches as they are now. In the arena. */
CVM_MUST_CHECK enum cvm_status cvm_reasons_scan(struct cvm_engine *engine, struct cvm_store *store,
                                                const char *run_id, struct cvm_arena *arena,
                                                struct cvm_reasons **out_reasons,
                                                struct cvm_error *err);

#endif
