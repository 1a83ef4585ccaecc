/* Whom a run looks at: ranges of customer keys. */
#include <stdlib.h>

#include "engine/run_scan.h"

static int compare_shards(const void *a, const void *b)
{
    const struct cvm_shard *left = a;
    const struct cvm_shard *right = b;
    return (left->first_key > right->first_key) - (left->first_key < right->first_key);
}

/* Each asked-for customer is a shard of one; ids that are not in the store are kept for the result.
 */
static enum cvm_status select_customers(struct cvm_run_job *job, struct cvm_error *err)
{
    const struct cvm_run_request *request = job->request;
    struct cvm_run_memory *memory = job->memory;
    memory->shards = CVM_NEW_ARRAY(job->arena, request->customer_count, struct cvm_shard);
    job->result->unknown_ids = CVM_NEW_ARRAY(job->arena, request->customer_count, const char *);
    if (memory->shards == NULL || job->result->unknown_ids == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu customers", request->customer_count);
    }
    for (size_t i = 0; i < request->customer_count; i++) {
        uint64_t key = 0;
        enum cvm_status status =
            cvm_customer_find(job->engine->readers[0], request->customers[i], &key, err);
        if (status == CVM_E_NOT_FOUND) {
            job->result->unknown_ids[job->result->unknown_count++] = request->customers[i];
        } else if (status != CVM_OK) {
            return status;
        } else {
            memory->shards[memory->shard_count++] = (struct cvm_shard){key, key};
        }
    }
    if (memory->shard_count == 0) {
        return CVM_OK;
    }
    qsort(memory->shards, memory->shard_count, sizeof(struct cvm_shard), compare_shards);
    size_t kept = 1; /* the same customer asked for twice is decided once */
    for (size_t i = 1; i < memory->shard_count; i++) {
        if (memory->shards[i].first_key != memory->shards[kept - 1].first_key) {
            memory->shards[kept++] = memory->shards[i];
        }
    }
    memory->shard_count = kept;
    return CVM_OK;
}

void cvm_run_init_values(const struct cvm_run_job *job, struct cvm_shard_values *values)
{
    cvm_shard_values_init(values, job->catalogue->treatment_count);
    values->has_groups = job->catalogue->group_count > 0;
    values->has_households = cvm_household_is_on(job->catalogue);
}

enum cvm_status cvm_run_plan_shards(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    enum cvm_status status = CVM_OK;
    if (job->request->customers != NULL) {
        status = select_customers(job, err);
    } else if (job->part_count != 0) {
        memory->shard_count = job->part_count;
        status = cvm_engine_cut(job->arena, job->part_count, &memory->shards, err);
    } else {
        status =
            cvm_engine_shards(job->engine, job->arena, &memory->shards, &memory->shard_count, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    memory->values = calloc(memory->shard_count + 1, sizeof(*memory->values));
    if (memory->values == NULL) {
        size_t wanted = memory->shard_count;
        memory->shard_count = 0;
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu shards", wanted);
    }
    for (size_t i = 0; i < memory->shard_count; i++) {
        cvm_run_init_values(job, &memory->values[i]);
    }
    return CVM_OK;
}
