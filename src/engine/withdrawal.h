/* withdrawal.h - giving back what withdrawn decisions used of every constraint, by the catalogue
 * that each was made with; or taking it again for those that were carried out after all.
 *
 * One transaction: init, add every decision, end. Amounts are summed and returned once per run.
 */
#ifndef CVM_ENGINE_WITHDRAWAL_H
#define CVM_ENGINE_WITHDRAWAL_H

#include "model/catalogue.h"
#include "storage/plan_store.h"

struct cvm_withdrawal {
    struct cvm_store *writer;
    struct cvm_store *reader; /* for runs and catalogues; may be the writer */
    struct cvm_arena *arena;
    const struct cvm_catalogue *in_force;
    int32_t day; /* as-of day of the decisions */
    bool takes_again;

    /* Decisions come run by run. */
    const char *run_id; /* whose catalogue is at hand; NULL = none yet */
    const struct cvm_catalogue *catalogue;
    int64_t amounts[CVM_CONSTRAINTS_MAX];
};

/* A cvm_decision_fn: `withdrawal` is a struct cvm_withdrawal. A ghost used nothing. */
CVM_MUST_CHECK enum cvm_status
cvm_withdrawal_add(void *withdrawal, const struct cvm_decision *decision, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_withdrawal_end(struct cvm_withdrawal *withdrawal,
                                                  struct cvm_error *err);

#endif
