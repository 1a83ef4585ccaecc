/* customer.h - one customer through the same engine as a whole base. */
#ifndef CVM_ENGINE_CUSTOMER_H
#define CVM_ENGINE_CUSTOMER_H

#include "engine/engine.h"

/* A chunk of one customer: the same bits, whether the engine has a cache or not, and whether that
 * holds the customer in the present version of the journeys or not. CVM_E_NOT_FOUND if the journeys
 * do not have the key. The caller destroys the chunk. */
CVM_MUST_CHECK enum cvm_status cvm_engine_customer(struct cvm_engine *engine, uint64_t key,
                                                   struct cvm_feature_window window,
                                                   struct cvm_chunk **out_chunk,
                                                   struct cvm_error *err);

/* NULL is fine. For cvm_engine_close(). */
void cvm_customer_reader_destroy(struct cvm_customer_reader *reader);

#endif
