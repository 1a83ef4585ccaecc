/* prices.h - what scarce means cost on a day: the prices of the run that chose for everybody, or
 * those that were made anew since, on what is left of them.
 *
 * Single decisions use means up that the run priced. Once more than a tenth of what was left of one
 * has gone (or come back), cvm_prices_renew() solves the run's values again, for whom the day has
 * no decision of yet, on what is left; nobody is given anything by it.
 */
#ifndef CVM_ENGINE_PRICES_H
#define CVM_ENGINE_PRICES_H

#include "base/threads.h"
#include "engine/run.h"

struct cvm_prices {
    const char *run_id;
    int32_t as_of_day;  /* of the run */
    int64_t made_at_ms; /* anew; 0 = they are the run's own */
    /* Of `result` only prices, limits, remaining and solved count. */
    struct cvm_run_result result;
};

/* In force for single decisions of this day: those of the newest run for everybody, whichever day
 * it was of. One for some customers, or of one treatment, finds means plentiful that the base is
 * short of. CVM_E_NOT_FOUND before there was one. Numbers are those of `catalogue`; what the run
 * did not know by id has no price. */
CVM_MUST_CHECK enum cvm_status cvm_prices_in_force(struct cvm_store *store,
                                                   const struct cvm_catalogue *catalogue,
                                                   int32_t day, struct cvm_arena *arena,
                                                   const struct cvm_prices **out_prices,
                                                   struct cvm_error *err);
/* Of this day only: of its own run for everybody, or made anew on this day. CVM_E_NOT_FOUND. */
CVM_MUST_CHECK enum cvm_status cvm_prices_of_day(struct cvm_store *store,
                                                 const struct cvm_catalogue *catalogue, int32_t day,
                                                 struct cvm_arena *arena,
                                                 const struct cvm_prices **out_prices,
                                                 struct cvm_error *err);

struct cvm_prices_request {
    int32_t day;
    double realtime_share; /* as the run was given */
    const char *who;
    const struct cvm_catalogue *catalogue; /* the version of the run */
    struct cvm_pool *pool;
    const struct cvm_context *context;
};
/* Makes prices anew and stores them, in a transaction of its own, if what is left has changed by
 * more than a tenth; out_is_renewed says so. CVM_E_NOT_FOUND without a run, CVM_E_CONFLICT where
 * the run keeps no values. */
CVM_MUST_CHECK enum cvm_status cvm_prices_renew(struct cvm_store *writer,
                                                const struct cvm_prices_request *request,
                                                struct cvm_arena *arena, bool *out_is_renewed,
                                                struct cvm_error *err);

#endif
