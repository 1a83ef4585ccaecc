#include "agents/part_shelf.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "storage/plan_store.h"

struct cvm_part_shelf {
    pthread_mutex_t lock;
    char run_id[CVM_RUN_ID_SIZE];
    struct cvm_column parts; /* struct cvm_run_part *, by number; NULL = not there */
};

struct cvm_part_shelf *cvm_part_shelf_create(void)
{
    struct cvm_part_shelf *shelf = calloc(1, sizeof(*shelf));
    if (shelf != NULL) {
        (void)pthread_mutex_init(&shelf->lock, NULL); /* on Linux this only fills it */
        cvm_column_init(&shelf->parts, sizeof(struct cvm_run_part *));
    }
    return shelf;
}

static void clear(struct cvm_part_shelf *shelf)
{
    struct cvm_run_part **parts = CVM_COLUMN_DATA(&shelf->parts, struct cvm_run_part *);
    for (size_t i = 0; i < shelf->parts.count; i++) {
        cvm_run_part_destroy(parts[i]);
    }
    shelf->parts.count = 0;
}

void cvm_part_shelf_destroy(struct cvm_part_shelf *shelf)
{
    if (shelf != NULL) {
        clear(shelf);
        cvm_column_finish(&shelf->parts);
        (void)pthread_mutex_destroy(&shelf->lock);
        free(shelf);
    }
}

/* Room for the number: what is between is not there. */
static enum cvm_status make_room(struct cvm_part_shelf *shelf, size_t number, struct cvm_error *err)
{
    void *slot = NULL;
    if (number < shelf->parts.count) {
        return CVM_OK;
    }
    size_t more = number + 1 - shelf->parts.count;
    enum cvm_status status = cvm_column_extend(&shelf->parts, more, &slot, err);
    if (status == CVM_OK) {
        memset(slot, 0, more * sizeof(struct cvm_run_part *));
    }
    return status;
}

enum cvm_status cvm_part_shelf_put(struct cvm_part_shelf *shelf, const char *run_id, size_t number,
                                   struct cvm_run_part *part, struct cvm_error *err)
{
    (void)pthread_mutex_lock(&shelf->lock);
    if (strcmp(shelf->run_id, run_id) != 0) {
        clear(shelf);
        memcpy(shelf->run_id, run_id, strnlen(run_id, CVM_RUN_ID_SIZE - 1) + 1);
    }
    enum cvm_status status = make_room(shelf, number, err);
    if (status == CVM_OK) {
        struct cvm_run_part **place =
            CVM_COLUMN_DATA(&shelf->parts, struct cvm_run_part *) + number;
        cvm_run_part_destroy(*place);
        *place = part;
    }
    (void)pthread_mutex_unlock(&shelf->lock);
    if (status != CVM_OK) {
        cvm_run_part_destroy(part);
    }
    return status;
}

struct cvm_run_part *cvm_part_shelf_take(struct cvm_part_shelf *shelf, const char *run_id,
                                         size_t number)
{
    struct cvm_run_part *part = NULL;
    (void)pthread_mutex_lock(&shelf->lock);
    if (strcmp(shelf->run_id, run_id) == 0 && number < shelf->parts.count) {
        struct cvm_run_part **place =
            CVM_COLUMN_DATA(&shelf->parts, struct cvm_run_part *) + number;
        part = *place;
        *place = NULL;
    }
    (void)pthread_mutex_unlock(&shelf->lock);
    return part;
}
