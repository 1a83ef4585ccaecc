/* prices.h - what scarce means cost on a day: the prices of the run that chose for everybody, or
 * those that were made anew since, on what was left of them (engine/reprice.h).
 */
#ifndef CVM_ENGINE_PRICES_H
#define CVM_ENGINE_PRICES_H

#include "engine/run.h"

struct cvm_prices {
    const char *run_id;
    int32_t as_of_day;
    /* Of `result` only prices, limits, remaining and solved count. */
    struct cvm_run_result result;
};

/* Of this day; CVM_DAY_NONE: of the newest day that has a run for everybody. One for some
 * customers, or of one treatment, finds means plentiful that the base is short of. CVM_E_NOT_FOUND.
 * Numbers are those of `catalogue`; what it does not know by id has no price. */
CVM_MUST_CHECK enum cvm_status cvm_prices_load(struct cvm_store *store,
                                               const struct cvm_catalogue *catalogue, int32_t day,
                                               struct cvm_arena *arena,
                                               const struct cvm_prices **out_prices,
                                               struct cvm_error *err);

#endif
