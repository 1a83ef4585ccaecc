/* Households in a run: collected in the scan, numbered for the solver, told what it chose. */
#include <stdlib.h>

#include "engine/run_internal.h"

enum cvm_status cvm_run_open_households(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    if (!cvm_household_is_on(job->catalogue)) {
        return CVM_OK;
    }
    memory->households = calloc(job->engine->worker_count, sizeof(*memory->households));
    if (memory->households == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for households");
    }
    memory->household_columns = job->engine->worker_count;
    for (size_t i = 0; i < memory->household_columns; i++) {
        cvm_household_init(&memory->households[i]);
    }
    return CVM_OK;
}

enum cvm_status cvm_run_add_other_households(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    struct cvm_column *all = memory->households;
    struct cvm_feature_window window = {job->request->as_of_day, job->request->since_day, NULL};
    if (all == NULL) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_household_join(all, &memory->taken_households, err);
    bool is_partial = status == CVM_OK && job->request->customers != NULL &&
                      cvm_household_has_candidates(all, job->catalogue,
                                                   job->request->forced_treatment, memory->values);
    return is_partial ? cvm_household_add_others(all, job->engine, window, NULL, err) : status;
}

static struct cvm_household_problem problem_of(const struct cvm_run_job *job)
{
    const struct cvm_run_memory *memory = job->memory;
    return (struct cvm_household_problem){
        .catalogue = job->catalogue,
        .forced_treatment = job->request->forced_treatment,
        .shards = memory->values,
        .first = memory->first,
        .withheld = cvm_control_is_on(&memory->control) ? memory->withheld.data : NULL,
    };
}

enum cvm_status cvm_run_number_households(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    if (memory->households == NULL) {
        return CVM_OK;
    }
    const struct cvm_household_problem problem = problem_of(job);
    memory->household_count = cvm_household_number(memory->households, &problem);
    enum cvm_status status = cvm_buffer_reserve(
        &memory->members_of, (memory->customer_count + 1) * sizeof(uint32_t), err);
    if (status == CVM_OK) {
        status = cvm_buffer_reserve(&memory->allowances, (size_t)memory->household_count + 1, err);
    }
    for (size_t s = 0; status == CVM_OK && s < memory->shard_count; s++) {
        const struct cvm_shard_values *shard = &memory->values[s];
        const uint32_t *households = shard->households.data;
        uint32_t *members_of = (uint32_t *)memory->members_of.data + memory->first[s];
        for (size_t i = 0; i < shard->count; i++) {
            members_of[i] = households[i];
            if (households[i] != CVM_NO_GROUP) {
                ((unsigned char *)memory->allowances.data)[households[i]] =
                    ((const unsigned char *)shard->allowances.data)[i];
            }
        }
    }
    return status;
}

void cvm_run_tell_households(struct cvm_run_job *job)
{
    struct cvm_run_memory *memory = job->memory;
    if (memory->household_count > 0) {
        const struct cvm_household_problem problem = problem_of(job);
        cvm_household_tell(memory->households, &problem, memory->solved.treatments,
                           job->result->prices);
    }
}
