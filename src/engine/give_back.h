/* give_back.h - a decision that comes to nothing gives back what it used: withdrawn, recalled, not
 * sent, expired. The one place that knows the amounts.
 */
#ifndef CVM_ENGINE_GIVE_BACK_H
#define CVM_ENGINE_GIVE_BACK_H

#include "model/catalogue.h"
#include "model/decision.h"
#include "storage/ledger.h"

/* What the decision used of every constraint that counts its treatment, under the catalogue that
 * its run was made with; 0 for a ghost. CVM_E_INTERNAL when that catalogue lacks its treatment. */
CVM_MUST_CHECK enum cvm_status
cvm_give_back_amounts(const struct cvm_catalogue *catalogue, const struct cvm_decision *decision,
                      struct cvm_ledger_amount amounts[CVM_CONSTRAINTS_MAX], size_t *out_count,
                      struct cvm_error *err);

/* The same amounts, returned to the ledger's rows of its run. Inside the caller's transaction; the
 * caller sees to it that it happens once. */
CVM_MUST_CHECK enum cvm_status cvm_give_back(struct cvm_store *store,
                                             const struct cvm_catalogue *catalogue,
                                             int32_t as_of_day, const struct cvm_decision *decision,
                                             struct cvm_error *err);

#endif
