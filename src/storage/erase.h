/* erase.h - forgetting a customer: its key, its rows, its name, and what deleted rows leave behind.
 *
 * Each step may be repeated: after a crash in the middle a second call completes the first. What
 * stays is counted by a pseudonym: decisions and outcomes keep their numbers.
 */
#ifndef CVM_STORAGE_ERASE_H
#define CVM_STORAGE_ERASE_H

#include "base/arena.h"
#include "storage/store.h"

struct cvm_erasure {
    const char *customer_id;
    const char *who;
    const char *why; /* CVM_E_INVALID when it names the customer: it is kept */
};

struct cvm_erasure_report {
    bool was_erased_before; /* nothing of the customer was left in the store */
    const char *pseudonym;  /* NULL then */
    int64_t events;
    int64_t consents;
    int64_t decisions;
    int64_t audit_rows;        /* cleared */
    const char **export_files; /* handed over to channels, and so beyond reach */
    size_t export_file_count;
};

/* One customer, without what cvm_erase_remnants() does, so that many share that. The store is open
 * for writing, the report lives in the arena. CVM_E_NOT_FOUND for an id that never was. */
CVM_MUST_CHECK enum cvm_status cvm_customer_erase(struct cvm_store *store, struct cvm_arena *arena,
                                                  const struct cvm_erasure *erasure,
                                                  struct cvm_erasure_report *out_report,
                                                  struct cvm_error *err);

/* Ids of customers that the vault knows as erased and the store does not: a backup from before was
 * restored, or an erasure was cut off. In the arena. */
CVM_MUST_CHECK enum cvm_status cvm_erased_and_back(struct cvm_store *store, struct cvm_arena *arena,
                                                   const char *const **out_ids, size_t *out_count,
                                                   struct cvm_error *err);

/* Write the databases anew, so that nothing of what was erased is left in their files. Takes as
 * long, and as much room, as copying the store. */
CVM_MUST_CHECK enum cvm_status cvm_erase_remnants(struct cvm_store *store, struct cvm_error *err);

/* Drop the lines that name a customer from the rejects-*.ndjson of a folder. */
CVM_MUST_CHECK enum cvm_status cvm_erase_rejects(struct cvm_arena *arena, const char *folder,
                                                 const char *customer_id, int64_t *out_lines,
                                                 struct cvm_error *err);

/* Whom an import refuses. Any thread may ask. */
struct cvm_erased_set {
    const struct cvm_vault *vault; /* that MACs are made with; NULL: a store in the clear */
    struct cvm_erased_id *ids;     /* by base key; in the arena */
    size_t count;
};
CVM_MUST_CHECK enum cvm_status cvm_erased_set_read(struct cvm_store *store, struct cvm_arena *arena,
                                                   struct cvm_erased_set *out_set,
                                                   struct cvm_error *err);
bool cvm_erased_set_has(const struct cvm_erased_set *set, uint64_t base_key, const char *id,
                        size_t length);

#endif
