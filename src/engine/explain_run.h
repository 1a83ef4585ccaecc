/* explain_run.h - a finished run as it stood when it decided: options, responses, prices, contacts
 * that were pending. Shared by explain and reasons; nobody else includes it. */
#ifndef CVM_ENGINE_EXPLAIN_RUN_H
#define CVM_ENGINE_EXPLAIN_RUN_H

#include "engine/explain.h"
#include "engine/pending.h"
#include "engine/responses.h"
#include "engine/run_internal.h"

struct cvm_explain_run {
    struct cvm_engine *engine;
    struct cvm_store *store;
    struct cvm_arena *arena;
    struct cvm_run_record record;
    struct cvm_run_result summary; /* prices */
    struct cvm_responses responses;
    const struct cvm_catalogue *catalogue; /* with the responses in force */
    struct cvm_recommender *recommender;
    struct cvm_pending pending;
    const struct cvm_pending *lent; /* what the engine had before */
};

/* CVM_E_CONFLICT for a run that keeps no values. Close it in any case. */
CVM_MUST_CHECK enum cvm_status cvm_explain_run_open(struct cvm_explain_run *run, const char *run_id,
                                                    struct cvm_error *err);
void cvm_explain_run_close(struct cvm_explain_run *run);

/* What the run stored about one treatment of one customer; `row` SIZE_MAX = no longer kept. */
struct cvm_explain_place {
    const struct cvm_chunk *chunk;
    size_t customer;
    const struct cvm_values_view *view;
    size_t row;
};
void cvm_explain_treatment(const struct cvm_explain_run *run, const struct cvm_explain_place *place,
                           size_t treatment, struct cvm_explained_treatment *out_explained);

/* What would have to be otherwise, in the run's arena; NULL when nothing can be said. `best` is the
 * treatment with the best margin, NULL = none has one. */
CVM_MUST_CHECK enum cvm_status cvm_explain_change(const struct cvm_explain_run *run,
                                                  const struct cvm_explained_treatment *treatment,
                                                  const struct cvm_explained_treatment *best,
                                                  const char **out_change, struct cvm_error *err);
/* The checks that a refused treatment fails beside the one that refused it, by name or rule. */
CVM_MUST_CHECK enum cvm_status cvm_explain_also(const struct cvm_explain_run *run,
                                                const struct cvm_explain_place *place,
                                                struct cvm_explained_treatment *treatment,
                                                struct cvm_error *err);

#endif
