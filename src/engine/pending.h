/* pending.h - what is released and not yet reported counts in the contact policy as if it had been
 * made, until it is reported: as sent (then it is in the journey), not sent or expired. Silence is
 * no proof that nobody called.
 */
#ifndef CVM_ENGINE_PENDING_H
#define CVM_ENGINE_PENDING_H

#include "base/columns.h"
#include "journey/features.h"
#include "model/catalogue.h"
#include "storage/store.h"

struct cvm_pending_contact {
    uint64_t key;
    int32_t day;             /* as-of day of its decision */
    double channel, purpose; /* words of the policy's attributes */
    double action;           /* cvm_rule_code() */
};

struct cvm_pending {
    struct cvm_column contacts; /* struct cvm_pending_contact, ascending key, then day */
};

void cvm_pending_init(struct cvm_pending *pending);
void cvm_pending_finish(struct cvm_pending *pending);

/* Released decisions of runs up to as_of_day, as far back as any feature counts contacts, those
 * that make no contact too. Those of the run `except_run_id` (NULL = none) are left out. Nothing if
 * the catalogue has no policy. */
CVM_MUST_CHECK enum cvm_status cvm_pending_load(struct cvm_pending *pending,
                                                struct cvm_store *store,
                                                const struct cvm_catalogue *catalogue,
                                                int32_t as_of_day, const char *except_run_id,
                                                struct cvm_error *err);
/* Those of one customer, beside what was loaded before. */
CVM_MUST_CHECK enum cvm_status cvm_pending_add_customer(struct cvm_pending *pending,
                                                        struct cvm_store *store,
                                                        const struct cvm_catalogue *catalogue,
                                                        int32_t as_of_day, uint64_t key,
                                                        struct cvm_error *err);

/* Leave out the contacts of one customer that were decided on this day: who decides anew for that
 * day does not count the decision that it looks at. */
void cvm_pending_forget(struct cvm_pending *pending, uint64_t key, int32_t day);

/* Of the contacts of one customer; 0 = none. */
uint64_t cvm_pending_digest(const struct cvm_pending *pending, uint64_t key);

/* Hand a customer's pending contacts to the builder, between its bodies and its end. */
CVM_MUST_CHECK enum cvm_status cvm_pending_lend(const struct cvm_pending *pending,
                                                const struct cvm_catalogue *catalogue, uint64_t key,
                                                struct cvm_feature_builder *builder,
                                                struct cvm_error *err);

#endif
