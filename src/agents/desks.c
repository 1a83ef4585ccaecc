#include "agents/desks.h"

#include <stdlib.h>

static enum cvm_status create(const struct cvm_agent_site *site, const struct cvm_context *context,
                              size_t threads, void **out_desks, struct cvm_error *err)
{
    struct cvm_desks *desks = calloc(1, sizeof(*desks));
    if (desks == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an agent");
    }
    enum cvm_status status = cvm_run_desk_create(site, context, threads, &desks->run, err);
    if (status == CVM_OK) {
        status = cvm_customer_desk_create(site, context, &desks->customer, err);
    }
    if (status != CVM_OK) {
        cvm_desks_close(desks);
        return status;
    }
    *out_desks = desks;
    return CVM_OK;
}

enum cvm_status cvm_desks_open(const struct cvm_agent_site *site, const struct cvm_context *context,
                               void **out_desks, struct cvm_error *err)
{
    return create(site, context, site->threads, out_desks, err);
}

enum cvm_status cvm_desks_open_one_thread(const struct cvm_agent_site *site,
                                          const struct cvm_context *context, void **out_desks,
                                          struct cvm_error *err)
{
    return create(site, context, 1, out_desks, err);
}

void cvm_desks_close(void *state)
{
    struct cvm_desks *desks = state;
    if (desks != NULL) {
        cvm_run_desk_destroy(desks->run);
        cvm_customer_desk_destroy(desks->customer);
        free(desks);
    }
}
