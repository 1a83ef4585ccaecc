#include "engine/prices.h"

#include <math.h>

#include "engine/run_internal.h"

enum cvm_status cvm_prices_load(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                                int32_t day, struct cvm_arena *arena,
                                const struct cvm_prices **out_prices, struct cvm_error *err)
{
    struct cvm_run_record run;
    struct cvm_prices *prices = CVM_NEW(arena, struct cvm_prices);
    if (prices == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for prices");
    }
    enum cvm_status status = cvm_run_for_everybody(store, arena, day, &run, err);
    if (status != CVM_OK) {
        return status;
    }
    prices->run_id = run.run_id;
    prices->as_of_day = run.as_of_day;
    prices->result.catalogue = catalogue;
    prices->result.run_id = run.run_id;
    status = cvm_run_summary_parse(run.summary, &prices->result, err);
    *out_prices = prices;
    return status;
}
