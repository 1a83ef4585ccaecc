#include <string.h>

#include "engine/give_back.h"
#include "engine/run_internal.h"
#include "storage/catalogue_store.h"
#include "storage/customers.h"
#include "storage/plan_store.h"

/* Decisions come run by run, and each run used what its own catalogue version says. */
struct withdrawal {
    struct cvm_run_job *job;
    const char *run_id; /* whose catalogue is at hand */
    const struct cvm_catalogue *catalogue;
};

static enum cvm_status find_catalogue(struct withdrawal *withdrawal, const char *run_id,
                                      struct cvm_error *err)
{
    struct cvm_run_job *job = withdrawal->job;
    struct cvm_run_record run;
    if (withdrawal->run_id != NULL && strcmp(withdrawal->run_id, run_id) == 0) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_run_get(job->engine->readers[0], job->arena, run_id, &run, err);
    if (status != CVM_OK) {
        return status;
    }
    withdrawal->run_id = run.run_id;
    withdrawal->catalogue = job->engine->catalogue;
    if (run.catalogue_version == job->engine->catalogue->version) {
        return CVM_OK;
    }
    return cvm_catalogue_store_load(job->engine->readers[0], job->arena, run.catalogue_version,
                                    &withdrawal->catalogue, err);
}

static enum cvm_status return_capacity(void *state, const struct cvm_decision *decision,
                                       struct cvm_error *err)
{
    struct withdrawal *withdrawal = state;
    struct cvm_run_job *job = withdrawal->job;
    enum cvm_status status = find_catalogue(withdrawal, decision->run_id, err);
    return status == CVM_OK ? cvm_give_back(job->writer, withdrawal->catalogue,
                                            job->request->as_of_day, decision, err)
                            : status;
}

/* A run that was asked for some customers takes nothing from the others. */
static enum cvm_status withdraw_selected(struct withdrawal *withdrawal, struct cvm_error *err)
{
    struct cvm_run_job *job = withdrawal->job;
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < job->request->customer_count; i++) {
        uint64_t key = 0;
        status = cvm_customer_find(job->engine->readers[0], job->request->customers[i], &key, err);
        if (status == CVM_OK) {
            status = cvm_decision_withdraw_customer(job->writer, job->request->as_of_day, key,
                                                    return_capacity, withdrawal, err);
        } else if (status == CVM_E_NOT_FOUND) {
            status = CVM_OK; /* told as an entry of the result */
        }
    }
    return status;
}

enum cvm_status cvm_run_withdraw(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(job->writer);
    struct withdrawal withdrawal = {.job = job};
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = job->request->customers != NULL
                     ? withdraw_selected(&withdrawal, err)
                     : cvm_decision_withdraw(job->writer, job->request->as_of_day, return_capacity,
                                             &withdrawal, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(db);
    }
    return status;
}
