/* run_catalogues.h - the day and the catalogue that each run was made with, for work over decisions
 * of many runs. */
#ifndef CVM_ENGINE_RUN_CATALOGUES_H
#define CVM_ENGINE_RUN_CATALOGUES_H

#include "base/arena.h"
#include "base/columns.h"
#include "model/catalogue.h"
#include "storage/store.h"

struct cvm_run_catalogue {
    const char *run_id;
    int32_t as_of_day;
    const struct cvm_catalogue *catalogue;
};

struct cvm_run_catalogues {
    struct cvm_store *store;
    struct cvm_arena *arena; /* of what was loaded */
    const struct cvm_catalogue *in_force;
    struct cvm_column runs; /* const struct cvm_run_catalogue * */
};

void cvm_run_catalogues_init(struct cvm_run_catalogues *runs, struct cvm_store *store,
                             struct cvm_arena *arena, const struct cvm_catalogue *in_force);
void cvm_run_catalogues_finish(struct cvm_run_catalogues *runs);
/* Lives in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_run_catalogues_find(struct cvm_run_catalogues *runs,
                                                       const char *run_id,
                                                       const struct cvm_run_catalogue **out_run,
                                                       struct cvm_error *err);

#endif
