#include "engine/run_internal.h"
#include "storage/outcome_store.h"

enum cvm_status cvm_run_load_inputs(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                                    struct cvm_arena *arena, struct cvm_run_inputs *out_inputs,
                                    const struct cvm_catalogue **out_catalogue,
                                    struct cvm_error *err)
{
    struct cvm_text json;
    enum cvm_status status = cvm_stops_load(store, catalogue, &out_inputs->stops, err);
    if (status == CVM_OK) {
        status = cvm_responses_load(store, catalogue, &out_inputs->responses, err);
    }
    if (status == CVM_OK) {
        status = cvm_outcome_last_import(store, &out_inputs->last_outcome_import, err);
    }
    if (status == CVM_OK) {
        status = cvm_responses_apply(&out_inputs->responses, catalogue, arena, out_catalogue, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    cvm_text_init(&json, 0);
    cvm_responses_write(&out_inputs->responses, catalogue, &json);
    out_inputs->responses_json =
        json.failed ? NULL : cvm_arena_copy(arena, cvm_text_string(&json), json.length);
    cvm_text_finish(&json);
    return out_inputs->responses_json != NULL
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_LIMIT, "no memory for the responses");
}
