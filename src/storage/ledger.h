/* ledger.h - scarce means by (constraint, period): granted, held, confirmed. Never granted twice,
 * never exceeded.
 *
 * A decision changes all its rows in one transaction, or none. Every function runs inside the
 * caller's transaction and does all of its work or none: after CVM_E_LIMIT, CVM_E_CONFLICT or
 * CVM_E_INVALID the transaction may go on, after anything else it must be rolled back. Amounts are
 * units, thousandths of a resource unit, or millionths of money.
 */
#ifndef CVM_STORAGE_LEDGER_H
#define CVM_STORAGE_LEDGER_H

#include "model/catalogue.h"
#include "storage/store.h"

#define CVM_PERIOD_NAME_SIZE 64

/* "2024-03-20", "2024-W12", "2024-03", "run:<run_id>"; run_id may be NULL for other periods. */
void cvm_ledger_period(enum cvm_period period, int32_t day, const char *run_id,
                       char name[CVM_PERIOD_NAME_SIZE]);

struct cvm_ledger_row {
    char period[CVM_PERIOD_NAME_SIZE];
    int64_t granted;
    int64_t held;
    int64_t confirmed;
};

/* Row of a constraint, made with granted = limit when it is missing. When the catalogue's limit
 * changed since, granted follows it, but never below held + confirmed. limit < 0 (unlimited) gives
 * INT64_MAX and writes nothing; so does a store that is open for reading. */
CVM_MUST_CHECK enum cvm_status cvm_ledger_row(struct cvm_store *store,
                                              const struct cvm_constraint *constraint, int32_t day,
                                              const char *run_id, struct cvm_ledger_row *out_row,
                                              struct cvm_error *err);

struct cvm_ledger_amount {
    int constraint; /* in the catalogue */
    int64_t amount;
};

struct cvm_ledger_holder {
    const char *holder; /* run_id or decision_id */
    int64_t epoch;
    int64_t expires_at_ms;
};

/* Hold all amounts or none: CVM_E_LIMIT names the constraint without room. The same holder with the
 * same epoch replaces what it held before; an older epoch than the stored one is CVM_E_CONFLICT
 * (fenced). */
CVM_MUST_CHECK enum cvm_status cvm_ledger_hold(struct cvm_store *store,
                                               const struct cvm_catalogue *catalogue, int32_t day,
                                               const struct cvm_ledger_holder *holder,
                                               const struct cvm_ledger_amount *amounts,
                                               size_t count, struct cvm_error *err);
/* Turn a hold into use: `used` <= held each; the rest is released; the hold is gone. */
CVM_MUST_CHECK enum cvm_status
cvm_ledger_confirm(struct cvm_store *store, const struct cvm_catalogue *catalogue, int32_t day,
                   const struct cvm_ledger_holder *holder, const struct cvm_ledger_amount *used,
                   size_t count, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_ledger_release(struct cvm_store *store, const char *holder,
                                                  struct cvm_error *err);
/* Give confirmed use back: a withdrawn plan, a contact that was not sent. */
CVM_MUST_CHECK enum cvm_status cvm_ledger_return(struct cvm_store *store,
                                                 const struct cvm_catalogue *catalogue, int32_t day,
                                                 const char *run_id,
                                                 const struct cvm_ledger_amount *amounts,
                                                 size_t count, struct cvm_error *err);
/* What was returned and is used after all, as much of it as there is room for: a contact that was
 * made although its plan had been recalled. */
CVM_MUST_CHECK enum cvm_status cvm_ledger_take_again(struct cvm_store *store,
                                                     const struct cvm_catalogue *catalogue,
                                                     int32_t day, const char *run_id,
                                                     const struct cvm_ledger_amount *amounts,
                                                     size_t count, struct cvm_error *err);
/* Release holds past their expiry. */
CVM_MUST_CHECK enum cvm_status cvm_ledger_expire(struct cvm_store *store, int64_t now_ms,
                                                 struct cvm_error *err);
/* `cvm capacity reset`: holds of nobody alive (expired; of a failed run; of a plan that is
 * released, closed or recalled) are dropped, granted becomes the limit again; refuses what is
 * confirmed (it stays); audited by the caller. */
CVM_MUST_CHECK enum cvm_status cvm_ledger_reset(struct cvm_store *store,
                                                const struct cvm_catalogue *catalogue, int32_t day,
                                                struct cvm_error *err);

#endif
