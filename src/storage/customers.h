/* customers.h - customers, their events and consent as rows, and the scan of packed journeys.
 *
 * "Visible" rows are those whose batch is closed and <= last_batch, in their highest version.
 */
#ifndef CVM_STORAGE_CUSTOMERS_H
#define CVM_STORAGE_CUSTOMERS_H

#include "base/arena.h"
#include "model/catalogue.h"
#include "model/packed.h"
#include "storage/store.h"

/* The key that an id hashes to: 63 bits of XXH3, never 0. */
uint64_t cvm_customer_key(const char *customer_id, size_t length);

/* The id's own key in this store (ids are compared, so a collision finds the right one), or
 * CVM_E_NOT_FOUND. */
CVM_MUST_CHECK enum cvm_status cvm_customer_find(struct cvm_store *store, const char *customer_id,
                                                 uint64_t *out_key, struct cvm_error *err);
/* The same, also of who came only with batches that were taken back. */
CVM_MUST_CHECK enum cvm_status cvm_customer_find_ever(struct cvm_store *store,
                                                      const char *customer_id, uint64_t *out_key,
                                                      struct cvm_error *err);
/* The same from a given key on: for an import that makes collisions to test them. */
CVM_MUST_CHECK enum cvm_status cvm_customer_find_from(struct cvm_store *store, uint64_t first_key,
                                                      const char *customer_id, size_t length,
                                                      uint64_t *out_key, struct cvm_error *err);
/* The key to try after this one: the next, and after the last the first. */
uint64_t cvm_customer_next_key(uint64_t key);
CVM_MUST_CHECK enum cvm_status cvm_customer_id(struct cvm_store *store, struct cvm_arena *arena,
                                               uint64_t key, const char **out_customer_id,
                                               struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_customer_count(struct cvm_store *store, int64_t *out_count,
                                                  struct cvm_error *err);
/* In key order, from the first key > after_key. */
typedef enum cvm_status (*cvm_customer_fn)(void *state, uint64_t key, const char *customer_id,
                                           struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_customer_list(struct cvm_store *store, uint64_t after_key,
                                                 int64_t count_max, cvm_customer_fn on_customer,
                                                 void *state, struct cvm_error *err);

/* The store's numbers of the catalogue's sources: numbers[source], at least source_count of them. A
 * source that the store does not know gets the next number when may_add, inside the caller's
 * transaction, and 0 (no number) else. */
CVM_MUST_CHECK enum cvm_status cvm_source_numbers(struct cvm_store *store,
                                                  const struct cvm_catalogue *catalogue,
                                                  bool may_add, int64_t numbers[CVM_SOURCES_MAX],
                                                  struct cvm_error *err);

/* The last closed batch, 0 if none. */
CVM_MUST_CHECK enum cvm_status cvm_batch_last(struct cvm_store *store, int64_t *out_batch,
                                              struct cvm_error *err);
/* Oldest and newest day of the events of closed batches (batch.first_day, last_day, which the
 * import fills when it closes a batch); CVM_DAY_NONE when there are no dated events. */
CVM_MUST_CHECK enum cvm_status cvm_event_days(struct cvm_store *store, int32_t *out_first_day,
                                              int32_t *out_last_day, struct cvm_error *err);
/* The same of batches up to last_batch. */
CVM_MUST_CHECK enum cvm_status cvm_event_days_until(struct cvm_store *store, int64_t last_batch,
                                                    int32_t *out_first_day, int32_t *out_last_day,
                                                    struct cvm_error *err);

struct cvm_event_row {
    int32_t day; /* CVM_DAY_NONE for undated attributes */
    int32_t second;
    int source; /* in the catalogue; CVM_INDEX_NONE if the catalogue no longer has it */
    const char *source_name;
    uint64_t identity;
    int64_t version;
    int64_t batch;
    const char *attributes; /* JSON */
    const char *private;    /* JSON or NULL; decrypted */
};
/* Visible rows of one customer in journey order (day, second, source rank, identity), undated
 * first; in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_event_rows(struct cvm_store *store, struct cvm_arena *arena,
                                              const struct cvm_catalogue *catalogue, uint64_t key,
                                              int64_t last_batch, struct cvm_event_row **out_rows,
                                              size_t *out_count, struct cvm_error *err);
/* has_record is false when there is none. */
CVM_MUST_CHECK enum cvm_status cvm_consent_of(struct cvm_store *store, uint64_t key,
                                              int64_t last_batch, struct cvm_consent *out_consent,
                                              struct cvm_error *err);

/* ---- packed journeys ---- */

struct cvm_packed_row {
    uint64_t key;
    int32_t period;
    const void *body; /* until the next row */
    size_t length;
};

/* Rows with first_key <= key <= last_key whose period is CVM_PERIOD_PROFILE or within
 * [first_period, last_period], in (key, period) order. */
struct cvm_packed_range {
    uint64_t first_key;
    uint64_t last_key;
    int32_t first_period;
    int32_t last_period;
};
struct cvm_packed_scan;
CVM_MUST_CHECK enum cvm_status cvm_packed_scan_open(struct cvm_store *store,
                                                    const struct cvm_packed_range *range,
                                                    struct cvm_packed_scan **out_scan,
                                                    struct cvm_error *err);
/* *out_has_row false at the end. */
CVM_MUST_CHECK enum cvm_status cvm_packed_scan_next(struct cvm_packed_scan *scan, bool *out_has_row,
                                                    struct cvm_packed_row *out_row,
                                                    struct cvm_error *err);
void cvm_packed_scan_close(struct cvm_packed_scan *scan);
/* The rows of one customer, first_key of the range, by one question: for who reads customers one
 * by one. A status other than CVM_OK from on_row stops and is returned. */
typedef enum cvm_status (*cvm_packed_fn)(void *state, const struct cvm_packed_row *row,
                                         struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_packed_read(struct cvm_store *store,
                                               const struct cvm_packed_range *range,
                                               cvm_packed_fn on_row, void *state,
                                               struct cvm_error *err);

/* True when the journey file holds exactly the batches up to last_batch under this catalogue's
 * data_digest, without what purges have removed. */
CVM_MUST_CHECK enum cvm_status cvm_packed_is_current(struct cvm_store *store,
                                                     const struct cvm_catalogue *catalogue,
                                                     int64_t last_batch, bool *out_is_current,
                                                     struct cvm_error *err);

/* Another number after each change of the journeys, whoever's they are: imports, consent, opt-outs,
 * contacts, rebuilds. Read it before the journeys: what is read after it is at least as new. 0: not
 * known, because an older program wrote them. */
CVM_MUST_CHECK enum cvm_status cvm_packed_version(struct cvm_store *store, uint64_t *out_version,
                                                  struct cvm_error *err);

#endif
