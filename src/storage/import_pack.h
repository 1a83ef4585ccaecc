/* import_pack.h - mapped records and stored rows to packed bodies in the journey file.
 *
 * Inside storage/import*.c only. One packing per thread; it keeps its buffers.
 */
#ifndef CVM_STORAGE_IMPORT_PACK_H
#define CVM_STORAGE_IMPORT_PACK_H

#include "storage/db.h"
#include "storage/import_plan.h"
#include "storage/import_record.h"

/* One event of a body: a record of this import, or the texts of a stored row. */
struct cvm_import_pack_event {
    const struct cvm_import_record *record; /* NULL: the row below */
    uint64_t identity;
    int32_t day; /* CVM_DAY_NONE for undated attributes */
    int32_t second;
    int source; /* in the catalogue */
    struct cvm_slice attributes;
    struct cvm_slice private_text;
};

struct cvm_import_body {
    uint64_t key;
    int32_t period;
    const char *customer_id;           /* of a profile, else NULL */
    const struct cvm_consent *consent; /* of a profile with a permission record, else NULL */
    size_t first_event;                /* in the array of events that comes along */
    size_t event_count;                /* 0 and no profile: the body is removed */
};

struct cvm_import_packing;

struct cvm_import_packing *cvm_import_packing_create(const struct cvm_import_plan *plan);
void cvm_import_packing_destroy(struct cvm_import_packing *packing); /* NULL is fine */

/* Write the bodies inside the caller's transaction on the journey file. */
CVM_MUST_CHECK enum cvm_status cvm_import_pack(struct cvm_import_packing *packing,
                                               struct cvm_db *journeys,
                                               const struct cvm_import_body *bodies, size_t count,
                                               const struct cvm_import_pack_event *events,
                                               struct cvm_error *err);

#endif
