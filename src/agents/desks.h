/* desks.h - what a worker keeps that works on runs and on single customers: the open() and close()
 * of its kind. */
#ifndef CVM_AGENTS_DESKS_H
#define CVM_AGENTS_DESKS_H

#include "agents/customer_desk.h"
#include "agents/run_desk.h"

struct cvm_desks {
    struct cvm_run_desk *run;
    struct cvm_customer_desk *customer;
};

/* For a kind that works for everybody, with as many threads as the site says, and for one of which
 * there are many. *out_desks is a struct cvm_desks. */
CVM_MUST_CHECK enum cvm_status cvm_desks_open(const struct cvm_agent_site *site,
                                              const struct cvm_context *context, void **out_desks,
                                              struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_desks_open_one_thread(const struct cvm_agent_site *site,
                                                         const struct cvm_context *context,
                                                         void **out_desks, struct cvm_error *err);
void cvm_desks_close(void *desks); /* NULL is fine */

#endif
