/* import_merge.h - sorted records to rows and packed bodies: one thread gathers customers, the
 * caller's inserts rows, one writes the journey file. Inside storage/import*.c only. */
#ifndef CVM_STORAGE_IMPORT_MERGE_H
#define CVM_STORAGE_IMPORT_MERGE_H

#include "storage/import.h"
#include "storage/import_resolve.h"

struct cvm_import_merge {
    struct cvm_import_view *view;
    struct cvm_db *journeys;
    const struct cvm_import_plan *plan;
    struct cvm_import_gathering *gathering;
    const struct cvm_import_options *options;
    const struct cvm_context *context;
    int64_t record_count; /* for the progress */
    struct cvm_import_seconds {
        double sort, insert, pack;
    } * out_seconds; /* how long the thread of each was at work */
};

/* Everything is committed under the open batch when this returns CVM_OK. */
CVM_MUST_CHECK enum cvm_status cvm_import_merge_run(const struct cvm_import_merge *merge,
                                                    struct cvm_error *err);

/* The thread that writes the journey file, also for rebuilding. Slabs come ready through `push` and
 * go back to `free_slabs` when they are packed. */
struct cvm_import_packer;
CVM_MUST_CHECK enum cvm_status
cvm_import_packer_start(struct cvm_db *journeys, const struct cvm_import_plan *plan,
                        struct cvm_queue *free_slabs, const struct cvm_context *context,
                        struct cvm_import_packer **out_packer, struct cvm_error *err);
/* False when the thread has failed; cvm_import_packer_finish() says why. */
bool cvm_import_packer_push(struct cvm_import_packer *packer, struct cvm_import_slab *slab);
/* Waits until all is packed and committed. *out_seconds: how long it was at work; may be NULL. */
CVM_MUST_CHECK enum cvm_status cvm_import_packer_finish(struct cvm_import_packer *packer,
                                                        double *out_seconds, struct cvm_error *err);

#endif
