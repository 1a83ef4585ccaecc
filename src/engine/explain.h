/* explain.h - why this treatment, and why not the others: every part of every value in one run. */
#ifndef CVM_ENGINE_EXPLAIN_H
#define CVM_ENGINE_EXPLAIN_H

#include "engine/run.h"
#include "recommend/action_value.h"

/* The lead of a customer for a treatment: what it leaves above its price, less what the best other
 * choice leaves (nothing leaves 0). Whoever has more of it goes first. */
struct cvm_marginal_customer {
    const char *customer_id; /* NULL = nobody */
    double value, margin, lead;
};
/* Everybody who may have the treatment, in the order in which more of it would be given. */
struct cvm_explained_line {
    bool is_known;                /* the run's values are kept; the rest is only then there */
    bool is_binding;              /* the treatment has a price */
    double price_low, price_high; /* where its price may lie with the same plan; NaN = not known */
    double lead;                  /* negative: so much more value was needed */
    int64_t treated;              /* who got it */
    int64_t ahead; /* with a larger lead, among those who got it too, or did not either */
    struct cvm_marginal_customer last_in, first_out;
};

struct cvm_explained_treatment {
    int treatment;
    enum cvm_reason reason; /* permitted, or why not; of permitted ones why it was not chosen */
    bool is_eligible;
    double value, price, margin; /* of the run; margin = value - price; NaN when refused */
    double sd;
    struct cvm_action_value parts; /* failed_... only where they are of this reason */
    const char *change;            /* what would have to be otherwise; NULL = nothing can be said */
    const char *const *also; /* of a refused one: the further checks that it would fail then */
    size_t also_count;
    struct cvm_explained_line line; /* of a permitted one, where one customer is explained */
};

struct cvm_explanation {
    const char *customer_id;
    const char *run_id;
    int32_t as_of_day;
    const struct cvm_catalogue *catalogue; /* with the responses that the run decided with */
    const struct cvm_decision *decision;   /* NULL = nothing was decided */
    int treatment;                         /* that was given; CVM_INDEX_NONE */
    int withheld;                          /* by a control group; CVM_INDEX_NONE */
    enum cvm_reason reason;
    struct cvm_explained_treatment *treatments; /* by margin, refused ones last */
    size_t treatment_count;
    bool data_changed; /* the customer's data is newer than the run: parts are of today's data,
                          values of the run */
};

/* engine->catalogue must be the version of the run (cvm_run_get tells it). In the arena. */
CVM_MUST_CHECK enum cvm_status cvm_explain(struct cvm_engine *engine, struct cvm_store *store,
                                           const char *run_id, const char *customer_id,
                                           struct cvm_arena *arena,
                                           struct cvm_explanation **out_explanation,
                                           struct cvm_error *err);

/* The parts of every permitted treatment of many customers, in key order. `change` is NULL. */
typedef enum cvm_status (*cvm_explained_fn)(void *state, const char *customer_id,
                                            const struct cvm_explained_treatment *treatment,
                                            struct cvm_error *err);
struct cvm_explain_many {
    const char *run_id;
    const char *const *customers; /* NULL = everybody; unknown ids are passed over */
    size_t customer_count;
    cvm_explained_fn on_treatment;
    void *state;
};
/* The engine must have one worker. */
CVM_MUST_CHECK enum cvm_status cvm_explain_parts(struct cvm_engine *engine, struct cvm_store *store,
                                                 const struct cvm_explain_many *request,
                                                 struct cvm_arena *arena, struct cvm_error *err);

#endif
