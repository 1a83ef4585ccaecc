/* import_map.h - one record of a source to canonical attributes, consent and private data.
 *
 * Inside storage/import*.c only. One mapper per thread; it keeps its buffers between records.
 */
#ifndef CVM_STORAGE_IMPORT_MAP_H
#define CVM_STORAGE_IMPORT_MAP_H

#include "storage/import.h"
#include "storage/import_plan.h"
#include "storage/import_record.h"

#define CVM_IMPORT_ID_BYTES_MAX 255

struct cvm_mapper;

struct cvm_mapper_options {
    size_t record_bytes_max;
    int key_bits;
    const struct cvm_import_window *window; /* NULL = all days; outlives the mapper */
    const int32_t *first_days; /* by source: events of earlier days are no longer kept; NULL */
};

/* NULL when out of memory. The plan outlives the mapper. */
struct cvm_mapper *cvm_mapper_create(const struct cvm_import_plan *plan,
                                     const struct cvm_mapper_options *options);
void cvm_mapper_destroy(struct cvm_mapper *mapper);

/* Before the records of a block: its source and, for CSV, its header. */
CVM_MUST_CHECK enum cvm_status cvm_mapper_start(struct cvm_mapper *mapper,
                                                const struct cvm_record_block *block,
                                                struct cvm_error *err);

/* Map text[0..length), which is followed by 64 readable bytes. *out_record lives until the next
 * call; it is NULL for a record outside the window. CVM_E_INVALID and CVM_E_LIMIT reject the
 * record; the message says why. CVM_E_CONFLICT: it is older than its source keeps; it counts as too
 * old and as rejected. */
CVM_MUST_CHECK enum cvm_status cvm_mapper_map(struct cvm_mapper *mapper, const char *text,
                                              size_t length, uint32_t file, int64_t record,
                                              const struct cvm_import_record **out_record,
                                              struct cvm_error *err);

/* What came of the records of one source so far. */
struct cvm_import_counts {
    int64_t read;
    int64_t rejected;
    int64_t outside; /* the window */
    int64_t too_old; /* part of rejected */
    int64_t unmapped_fields;
    int64_t unclear_quiet_hours;
    int64_t bytes;
    int32_t first_day; /* CVM_DAY_NONE: no dated record */
    int32_t last_day;
    int64_t *missing; /* per mapped field of the source */
};
struct cvm_import_counts *cvm_mapper_counts(struct cvm_mapper *mapper, int source);

#endif
