/* customer_desk.h - an engine for single customers, with the catalogue in force and the last batch:
 * opened again when either has changed.
 */
#ifndef CVM_AGENTS_CUSTOMER_DESK_H
#define CVM_AGENTS_CUSTOMER_DESK_H

#include "agents/agent.h"
#include "engine/engine.h"

struct cvm_customer_desk;

CVM_MUST_CHECK enum cvm_status cvm_customer_desk_create(const struct cvm_agent_site *site,
                                                        const struct cvm_context *context,
                                                        struct cvm_customer_desk **out_desk,
                                                        struct cvm_error *err);
void cvm_customer_desk_destroy(struct cvm_customer_desk *desk); /* NULL is fine */

/* As of now; borrowed until the next call. CVM_E_UNAVAILABLE while the journeys are not those of
 * the last batch. */
CVM_MUST_CHECK enum cvm_status cvm_customer_desk_engine(struct cvm_customer_desk *desk,
                                                        struct cvm_engine **out_engine,
                                                        struct cvm_error *err);

/* Whom and when a message asks about: "customer_id", and "as_of" or today. */
struct cvm_customer_question {
    const char *customer_id;
    int32_t day;
};
CVM_MUST_CHECK enum cvm_status cvm_customer_question_read(const struct cvm_turn *turn,
                                                          struct cvm_customer_question *out,
                                                          struct cvm_error *err);

#endif
