/* import_sort.h - records in order (key, source, identity, file, record) within a memory limit:
 * sorted runs in an unlinked file, merged on reading.
 *
 * Inside storage/import*.c only. One sorter per worker; the merge reads all of them, on one thread.
 */
#ifndef CVM_STORAGE_IMPORT_SORT_H
#define CVM_STORAGE_IMPORT_SORT_H

#include "base/error.h"
#include "storage/import_record.h"

struct cvm_sorter;

/* NULL when out of memory. The folder must outlive the sorter; NULL = /var/tmp. */
struct cvm_sorter *cvm_sorter_create(size_t memory_bytes, const char *temporary_folder);
void cvm_sorter_destroy(struct cvm_sorter *sorter); /* NULL is fine */
CVM_MUST_CHECK enum cvm_status cvm_sorter_add(struct cvm_sorter *sorter,
                                              const struct cvm_import_record *record,
                                              struct cvm_error *err);
/* Sort what is left in memory. Nothing may be added afterwards. */
void cvm_sorter_finish(struct cvm_sorter *sorter);
int64_t cvm_sorter_count(const struct cvm_sorter *sorter);
int64_t cvm_sorter_spilled_bytes(const struct cvm_sorter *sorter);

struct cvm_sort_merge;

/* The sorters are borrowed. memory_bytes is shared by the read buffers of all runs. */
CVM_MUST_CHECK enum cvm_status cvm_sort_merge_open(struct cvm_sorter *const *sorters,
                                                   size_t sorter_count, size_t memory_bytes,
                                                   struct cvm_sort_merge **out_merge,
                                                   struct cvm_error *err);
void cvm_sort_merge_close(struct cvm_sort_merge *merge); /* NULL is fine */
/* The next record, valid until the next call; NULL at the end. */
CVM_MUST_CHECK enum cvm_status cvm_sort_merge_next(struct cvm_sort_merge *merge,
                                                   const struct cvm_import_record **out_record,
                                                   struct cvm_error *err);

#endif
