/* decide.h - one customer now: the best value minus price among what has room, and its capacity
 * taken at once.
 *
 * Stops, learned responses, pending contacts and control groups count as in a run: members of a
 * control group are refused what it withholds (CVM_REASON_HELD_OUT), and no ghost is recorded.
 *
 * A customer gets at most one live decision a day, a run's included: asked again, the same one
 * comes back; a request that does not allow it gets nothing (CVM_REASON_ALREADY_DECIDED). One that
 * came to nothing (not sent, bounced, expired, withdrawn) leaves room for another.
 */
#ifndef CVM_ENGINE_DECIDE_H
#define CVM_ENGINE_DECIDE_H

#include "base/zone.h"
#include "engine/run.h"

struct cvm_decide_request {
    const char *customer_id;
    int32_t as_of_day;
    enum cvm_channel channel;     /* CVM_CHANNEL_UNSET = all */
    enum cvm_direction direction; /* inbound: the customer is on the line */
    int forced_treatment;         /* this one or nothing; CVM_INDEX_NONE = the best */
    uint64_t allowed;             /* bit per treatment */
    const char *who;
    const struct cvm_zone *zone; /* of the deployment; NULL = UTC */
};

/* out_entry gets the JSON object of the entry (as in a run's result file). CVM_E_NOT_FOUND for an
 * unknown customer. */
CVM_MUST_CHECK enum cvm_status cvm_decide(struct cvm_engine *engine, struct cvm_store *writer,
                                          const struct cvm_decide_request *request,
                                          struct cvm_arena *arena, struct cvm_text *out_entry,
                                          struct cvm_error *err);

/* What each treatment is worth to the customer now, and its price: as cvm_decide() would choose
 * among them, capacity apart. out_values gets {"treatments": [{treatment, value, price, reason}]};
 * value and price are null where it is refused. Nothing is written. CVM_E_NOT_FOUND for an unknown
 * customer. */
CVM_MUST_CHECK enum cvm_status cvm_decide_values(struct cvm_engine *engine, struct cvm_store *store,
                                                 const struct cvm_decide_request *request,
                                                 struct cvm_arena *arena,
                                                 struct cvm_text *out_values,
                                                 struct cvm_error *err);

#endif
