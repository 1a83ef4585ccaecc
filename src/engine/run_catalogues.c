#include "engine/run_catalogues.h"

#include <string.h>

#include "storage/catalogue_store.h"
#include "storage/plan_store.h"

void cvm_run_catalogues_init(struct cvm_run_catalogues *runs, struct cvm_store *store,
                             struct cvm_arena *arena, const struct cvm_catalogue *in_force)
{
    *runs = (struct cvm_run_catalogues){.store = store, .arena = arena, .in_force = in_force};
    cvm_column_init(&runs->runs, sizeof(const struct cvm_run_catalogue *));
}

void cvm_run_catalogues_finish(struct cvm_run_catalogues *runs)
{
    cvm_column_finish(&runs->runs);
}

static const struct cvm_catalogue *find_version(const struct cvm_run_catalogues *runs,
                                                int64_t version)
{
    const struct cvm_run_catalogue **known =
        CVM_COLUMN_DATA(&runs->runs, const struct cvm_run_catalogue *);
    if (runs->in_force->version == version) {
        return runs->in_force;
    }
    for (size_t i = 0; i < runs->runs.count; i++) {
        if (known[i]->catalogue->version == version) {
            return known[i]->catalogue;
        }
    }
    return NULL;
}

static enum cvm_status load(struct cvm_run_catalogues *runs, const char *run_id,
                            const struct cvm_run_catalogue **out_run, struct cvm_error *err)
{
    struct cvm_run_record record;
    void *room = NULL;
    enum cvm_status status = cvm_run_get(runs->store, runs->arena, run_id, &record, err);
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_catalogue *catalogue = find_version(runs, record.catalogue_version);
    if (catalogue == NULL) {
        status = cvm_catalogue_store_load(runs->store, runs->arena, record.catalogue_version,
                                          &catalogue, err);
    }
    if (status == CVM_OK) {
        status = cvm_column_extend(&runs->runs, 1, &room, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_run_catalogue *run = CVM_NEW(runs->arena, struct cvm_run_catalogue);
    if (run == NULL) {
        runs->runs.count--;
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the runs of decisions");
    }
    *run = (struct cvm_run_catalogue){record.run_id, record.as_of_day, catalogue};
    *(const struct cvm_run_catalogue **)room = run;
    *out_run = run;
    return CVM_OK;
}

enum cvm_status cvm_run_catalogues_find(struct cvm_run_catalogues *runs, const char *run_id,
                                        const struct cvm_run_catalogue **out_run,
                                        struct cvm_error *err)
{
    const struct cvm_run_catalogue **known =
        CVM_COLUMN_DATA(&runs->runs, const struct cvm_run_catalogue *);
    for (size_t i = runs->runs.count; i-- > 0;) { /* mostly the last one */
        if (strcmp(known[i]->run_id, run_id) == 0) {
            *out_run = known[i];
            return CVM_OK;
        }
    }
    return load(runs, run_id, out_run, err);
}
