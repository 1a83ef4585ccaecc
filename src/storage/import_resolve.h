/* import_resolve.h - new records of a slab against what the store holds: keys, duplicates,
 * versions, and which packed bodies change. Inside storage/import*.c only. */
#ifndef CVM_STORAGE_IMPORT_RESOLVE_H
#define CVM_STORAGE_IMPORT_RESOLVE_H

#include "storage/import_slab.h"

enum cvm_import_batch_state { CVM_IMPORT_ABSENT, CVM_IMPORT_VISIBLE, CVM_IMPORT_RETRACTED };

/* The store as one import sees it. */
struct cvm_import_view {
    struct cvm_store *store;
    struct cvm_db *db;       /* of the store */
    struct cvm_vault *vault; /* that seals what is put in; NULL = it stays in the clear */
    const struct cvm_catalogue *catalogue;
    int64_t batch;                    /* that is being put in; 0 when rebuilding */
    uint8_t *batch_states;            /* by batch number: enum cvm_import_batch_state */
    int64_t batch_count;              /* of batch_states */
    int64_t last_closed;              /* batch; 0 = none */
    int32_t numbers[CVM_SOURCES_MAX]; /* the store's number of each source of the catalogue */
    int64_t customers_before;
    int key_bits;
    uint64_t highest_key; /* given to a customer by this import */

    /* counted by source of the catalogue */
    int64_t stored[CVM_SOURCES_MAX];
    int64_t duplicate[CVM_SOURCES_MAX];
    int64_t changed[CVM_SOURCES_MAX];
    int64_t new_customers;
    int32_t first_day; /* of the dated events stored; CVM_DAY_NONE = none */
    int32_t last_day;
};

/* Opens the vault where there is one, reads the batches and the numbers of the sources;
 * batch_states is malloc'ed. */
CVM_MUST_CHECK enum cvm_status cvm_import_view_open(struct cvm_import_view *view,
                                                    struct cvm_store *store,
                                                    const struct cvm_catalogue *catalogue,
                                                    struct cvm_error *err);
void cvm_import_view_close(struct cvm_import_view *view);
enum cvm_import_batch_state cvm_import_batch_state(const struct cvm_import_view *view,
                                                   int64_t batch);
/* In the catalogue; CVM_INDEX_NONE if it has no such source. */
int cvm_import_source_of(const struct cvm_import_view *view, int64_t number);

/* Load what the store holds of the slab's customers. */
CVM_MUST_CHECK enum cvm_status cvm_import_load(struct cvm_import_view *view,
                                               struct cvm_import_slab *slab, struct cvm_error *err);
/* Fill the slab's keys, versions, inserts, bodies and events. */
CVM_MUST_CHECK enum cvm_status cvm_import_resolve(struct cvm_import_view *view,
                                                  struct cvm_import_slab *slab,
                                                  struct cvm_error *err);

/* Columns of import_consents_between and import_consents_all. */
void cvm_import_read_consent(const struct cvm_db_value *columns,
                             struct cvm_import_old_consent *out_consent);

#endif
