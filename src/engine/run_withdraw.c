#include "engine/run_internal.h"
#include "engine/withdrawal.h"
#include "storage/customers.h"
#include "storage/plan_store.h"

/* A run that was asked for some customers takes nothing from the others. */
static enum cvm_status withdraw_selected(const struct cvm_run_job *job,
                                         struct cvm_withdrawal *withdrawal, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < job->request->customer_count; i++) {
        uint64_t key = 0;
        status = cvm_customer_find(job->engine->readers[0], job->request->customers[i], &key, err);
        if (status == CVM_OK) {
            status = cvm_decision_withdraw_customer(job->writer, job->request->as_of_day, key,
                                                    cvm_withdrawal_add, withdrawal, err);
        } else if (status == CVM_E_NOT_FOUND) {
            status = CVM_OK; /* told as an entry of the result */
        }
    }
    return status;
}

enum cvm_status cvm_run_withdraw(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(job->writer);
    struct cvm_withdrawal withdrawal = {
        .writer = job->writer,
        .reader = job->engine->readers[0],
        .arena = job->arena,
        .in_force = job->engine->catalogue,
        .day = job->request->as_of_day,
    };
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = job->request->customers != NULL
                     ? withdraw_selected(job, &withdrawal, err)
                     : cvm_decision_withdraw(job->writer, job->request->as_of_day,
                                             cvm_withdrawal_add, &withdrawal, err);
    }
    if (status == CVM_OK) {
        status = cvm_withdrawal_end(&withdrawal, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_plan_recall_emptied(job->writer, job->arena, job->request->as_of_day,
                                    job->request->who, "replaced by a run of the same day", err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(db);
    }
    return status;
}
