/* price_store.h - prices of scarce means that were made anew during a day, on what was left of
 * them. Kept as a record each; the newest counts.
 */
#ifndef CVM_STORAGE_PRICE_STORE_H
#define CVM_STORAGE_PRICE_STORE_H

#include "base/arena.h"
#include "storage/store.h"

struct cvm_price_record {
    int32_t as_of_day;  /* whose capacity it speaks of */
    const char *run_id; /* whose values it rests on */
    int64_t made_at_ms;
    const char *made_by;
    const char *body; /* JSON: engine/prices.h */
};

/* The newest of this day and run; CVM_E_NOT_FOUND. Texts are copied into the arena. */
CVM_MUST_CHECK enum cvm_status cvm_price_newest(struct cvm_store *store, struct cvm_arena *arena,
                                                int32_t as_of_day, const char *run_id,
                                                struct cvm_price_record *out_record,
                                                struct cvm_error *err);
/* Inside the caller's transaction. */
CVM_MUST_CHECK enum cvm_status cvm_price_add(struct cvm_store *store,
                                             const struct cvm_price_record *record,
                                             struct cvm_error *err);

#endif
