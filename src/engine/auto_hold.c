#include "engine/auto_hold.h"

enum cvm_status cvm_auto_hold(struct cvm_engine *engine, struct cvm_store *store,
                              const struct cvm_run_result *result, struct cvm_arena *arena,
                              const char *const **out_reasons, size_t *out_count,
                              struct cvm_error *err)
{
    (void)engine;
    (void)store;
    (void)result;
    (void)arena;
    (void)err;
    *out_reasons = NULL;
    *out_count = 0;
    return CVM_OK;
}
