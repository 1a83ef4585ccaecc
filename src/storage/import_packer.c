/* import_packer.c - a thread of its own for the journey file. */
#include <stdlib.h>

#include "storage/import_merge.h"

#define QUEUE_LENGTH  4
#define COMMIT_BODIES 200000

struct cvm_import_packer {
    struct cvm_db *journeys;
    struct cvm_import_packing *packing;
    struct cvm_queue *queue;
    struct cvm_queue *free_slabs;
    struct cvm_thread *thread;
    const struct cvm_context *context;
    double seconds;
    size_t bodies_left; /* until the next commit */
};

static enum cvm_status pack_slab(struct cvm_import_packer *packer, struct cvm_import_slab *slab,
                                 struct cvm_error *err)
{
    enum cvm_status status = cvm_import_pack(
        packer->packing, packer->journeys, CVM_COLUMN_DATA(&slab->bodies, struct cvm_import_body),
        slab->bodies.count, CVM_COLUMN_DATA(&slab->events, struct cvm_import_pack_event), err);
    if (status != CVM_OK || slab->bodies.count < packer->bodies_left) {
        packer->bodies_left -= status == CVM_OK ? slab->bodies.count : 0;
        return status;
    }
    packer->bodies_left = COMMIT_BODIES;
    status = cvm_db_commit(packer->journeys, err);
    return status == CVM_OK ? cvm_db_begin(packer->journeys, err) : status;
}

static enum cvm_status run(void *state, struct cvm_error *err)
{
    struct cvm_import_packer *packer = state;
    void *slab = NULL;
    enum cvm_status status = cvm_db_begin(packer->journeys, err);
    while (status == CVM_OK && cvm_queue_pop(packer->queue, &slab)) {
        double start = cvm_context_seconds(packer->context);
        status = pack_slab(packer, slab, err);
        packer->seconds += cvm_context_seconds(packer->context) - start;
        (void)cvm_queue_push(packer->free_slabs, slab); /* closed: nobody wants it any more */
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(packer->journeys, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(packer->journeys);
        cvm_queue_close(packer->queue);
        cvm_queue_close(packer->free_slabs);
        return cvm_error_context(err, status, "write packed journeys");
    }
    return CVM_OK;
}

static void destroy(struct cvm_import_packer *packer)
{
    cvm_import_packing_destroy(packer->packing);
    cvm_queue_destroy(packer->queue);
    free(packer);
}

enum cvm_status cvm_import_packer_start(struct cvm_db *journeys, const struct cvm_import_plan *plan,
                                        struct cvm_queue *free_slabs,
                                        const struct cvm_context *context,
                                        struct cvm_import_packer **out_packer,
                                        struct cvm_error *err)
{
    struct cvm_import_packer *packer = calloc(1, sizeof(*packer));
    if (packer == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to pack journeys");
    }
    packer->journeys = journeys;
    packer->free_slabs = free_slabs;
    packer->context = context;
    packer->bodies_left = COMMIT_BODIES;
    packer->packing = cvm_import_packing_create(plan);
    packer->queue = cvm_queue_create(QUEUE_LENGTH);
    enum cvm_status status = packer->packing == NULL || packer->queue == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to pack journeys")
                                 : cvm_thread_start(run, packer, &packer->thread, err);
    if (status != CVM_OK) {
        destroy(packer);
        return status;
    }
    *out_packer = packer;
    return CVM_OK;
}

bool cvm_import_packer_push(struct cvm_import_packer *packer, struct cvm_import_slab *slab)
{
    return cvm_queue_push(packer->queue, slab);
}

enum cvm_status cvm_import_packer_finish(struct cvm_import_packer *packer, double *out_seconds,
                                         struct cvm_error *err)
{
    if (packer == NULL) {
        return CVM_OK;
    }
    cvm_queue_close(packer->queue);
    enum cvm_status status = cvm_thread_join(packer->thread, err);
    if (out_seconds != NULL) {
        *out_seconds = packer->seconds;
    }
    destroy(packer);
    return status;
}
