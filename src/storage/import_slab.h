/* import_slab.h - a few hundred customers on their way into the store: their new records, what the
 * store holds of them, what is to be written.
 *
 * Inside storage/import*.c only. A slab is filled by the merging thread (import_slab.c), resolved
 * and inserted by the store's thread (import_resolve.c, import_merge.c), packed by the journey
 * file's thread, and used again. One thread has it at a time.
 */
#ifndef CVM_STORAGE_IMPORT_SLAB_H
#define CVM_STORAGE_IMPORT_SLAB_H

#include "base/columns.h"
#include "storage/erase.h"
#include "storage/import_pack.h"
#include "storage/import_reject.h"
#include "storage/import_sort.h"

struct cvm_import_item {
    const struct cvm_import_record *record; /* in the slab's bytes */
    uint64_t identity;
    int64_t version; /* under which it is stored; 0 = a duplicate */
};

struct cvm_import_customer {
    uint64_t base_key; /* that the id hashes to */
    uint64_t key;      /* its own */
    const char *id;
    size_t first_item; /* its items are in order of (source, identity, file, record) */
    size_t item_count;
    bool is_new;       /* its row is to be inserted */
    bool is_returning; /* its row is of a batch that was taken back */
    size_t first_existing;
    size_t existing_count;
    size_t first_consent;
    size_t consent_count;
};

/* A row of the store that counts: its batch is closed or retracted. */
struct cvm_import_existing {
    uint64_t key;
    uint64_t identity;
    uint64_t content;
    int64_t version;
    int32_t day;
    int32_t source;   /* the store's number */
    bool is_visible;  /* not retracted */
    bool is_in_force; /* the highest visible version, and not replaced by this import */
    bool is_replaced; /* was in force until this import */
};

struct cvm_import_old_consent {
    uint64_t key;
    uint64_t content;
    int64_t version;
    int32_t source; /* the store's number */
    bool is_visible;
    struct cvm_consent consent;
};

struct cvm_import_slab {
    struct cvm_column bytes;     /* records, in units of 8 */
    struct cvm_column items;     /* struct cvm_import_item */
    struct cvm_column customers; /* struct cvm_import_customer, ascending base key */
    struct cvm_column existing;  /* struct cvm_import_existing */
    struct cvm_column consents;  /* struct cvm_import_old_consent */
    struct cvm_column inserts; /* struct cvm_import_insert: event rows in the order of their key */
    struct cvm_column consent_inserts;
    struct cvm_column bodies; /* struct cvm_import_body */
    struct cvm_column events; /* struct cvm_import_pack_event, of the bodies */
    struct cvm_arena *arena;  /* texts of stored rows */
    int64_t record_count;
};

struct cvm_import_insert {
    uint64_t key;
    const struct cvm_import_item *item;
    int32_t day; /* CVM_DAY_NONE for undated attributes */
    int32_t source;
};

/* NULL when out of memory. */
struct cvm_import_slab *cvm_import_slab_create(void);
void cvm_import_slab_destroy(struct cvm_import_slab *slab); /* NULL is fine */

/* Reads a merge customer by customer. */
struct cvm_import_gathering {
    struct cvm_sort_merge *merge;
    const struct cvm_import_record *next; /* read but not yet taken */
    bool is_started;
    struct cvm_import_rejects *rejects;
    const char *const *files; /* names by number */
    int64_t *rejected;        /* per source: beyond what one customer may have, or of one erased */
    const struct cvm_erased_set *erased; /* whose records are refused; NULL = nobody's */
};
/* Fill the slab with whole customers; record_count 0 at the end. */
CVM_MUST_CHECK enum cvm_status cvm_import_slab_fill(struct cvm_import_slab *slab,
                                                    struct cvm_import_gathering *gathering,
                                                    struct cvm_error *err);

#endif
