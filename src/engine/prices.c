#include "engine/prices.h"

#include "engine/run_internal.h"
#include "storage/price_store.h"

static enum cvm_status load(struct cvm_store *store, const struct cvm_prices *wanted,
                            int32_t run_day, struct cvm_arena *arena,
                            const struct cvm_prices **out_prices, struct cvm_error *err)
{
    struct cvm_run_record run;
    struct cvm_price_record record;
    struct cvm_prices *prices = CVM_NEW(arena, struct cvm_prices);
    if (prices == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for prices");
    }
    enum cvm_status status = cvm_run_for_everybody(store, arena, run_day, &run, err);
    if (status != CVM_OK) {
        return status;
    }
    *prices = *wanted;
    prices->run_id = run.run_id;
    prices->result.run_id = run.run_id;
    status = cvm_price_newest(store, arena, wanted->as_of_day, run.run_id, &record, err);
    bool is_renewed = status == CVM_OK;
    if (is_renewed || status == CVM_E_NOT_FOUND) {
        prices->as_of_day = run.as_of_day;
        prices->made_at_ms = is_renewed ? record.made_at_ms : 0;
        status =
            cvm_run_summary_parse(is_renewed ? record.body : run.summary, &prices->result, err);
    }
    if (status == CVM_OK) {
        *out_prices = prices;
    }
    return status;
}

enum cvm_status cvm_prices_in_force(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                                    int32_t day, struct cvm_arena *arena,
                                    const struct cvm_prices **out_prices, struct cvm_error *err)
{
    struct cvm_prices wanted = {.as_of_day = day, .result.catalogue = catalogue};
    return load(store, &wanted, CVM_DAY_NONE, arena, out_prices, err);
}

enum cvm_status cvm_prices_of_day(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                                  int32_t day, struct cvm_arena *arena,
                                  const struct cvm_prices **out_prices, struct cvm_error *err)
{
    struct cvm_prices wanted = {.as_of_day = day, .result.catalogue = catalogue};
    enum cvm_status status = load(store, &wanted, day, arena, out_prices, err);
    if (status != CVM_E_NOT_FOUND) {
        return status;
    }
    const struct cvm_prices *newest = NULL;
    status = load(store, &wanted, CVM_DAY_NONE, arena, &newest, err);
    if (status == CVM_OK && newest->made_at_ms == 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "no run of that day chose for everybody");
    }
    if (status == CVM_OK) {
        *out_prices = newest;
    }
    return status;
}
