/* import_report.h - small parts that import.c and import_rebuild.c share. Inside storage/import*.c
 * only. */
#ifndef CVM_STORAGE_IMPORT_REPORT_H
#define CVM_STORAGE_IMPORT_REPORT_H

#include "storage/import.h"

/* The journey file now holds the batches up to `batch` under this catalogue; its own transaction.
 * changed_ms: when what it holds has changed, 0 = it has not. */
CVM_MUST_CHECK enum cvm_status cvm_import_journeys_done(struct cvm_db *journeys,
                                                        const struct cvm_catalogue *catalogue,
                                                        int64_t batch, int64_t changed_ms,
                                                        struct cvm_error *err);
/* The highest number in table source, 0 if it is empty. */
CVM_MUST_CHECK enum cvm_status cvm_import_highest_source(struct cvm_db *db, int32_t *out_highest,
                                                         struct cvm_error *err);

#endif
