/* Which run a request is: everything that its plan depends on, as a digest. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/run_internal.h"

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The canonical text of (as-of, selection, options, seed, catalogue version, last batch, stops,
 * responses). */
static enum cvm_status digest_request(struct cvm_run_job *job, int64_t replaced_runs,
                                      struct cvm_error *err)
{
    const struct cvm_run_request *request = job->request;
    const struct cvm_run_inputs *inputs = &job->inputs;
    struct cvm_digest digest;
    char line[512];
    int length =
        snprintf(line, sizeof(line),
                 "as_of %d since %d forced %d allowed %" PRIx64 " seed %" PRId64
                 " catalogue %" PRId64 " batch %" PRId64 " release %d replaced %" PRId64
                 " trigger %d from %" PRId64 " stops %" PRIx64 " %x outcomes %" PRId64 "\n",
                 request->as_of_day, request->since_day, request->forced_treatment,
                 request->allowed, request->seed, job->catalogue->version, job->engine->last_batch,
                 request->must_release, replaced_runs, job->trigger, job->memory->windows.from_ms,
                 inputs->stops.treatments, inputs->stops.channels, inputs->last_outcome_import);
    const char **ids = calloc(request->customer_count + 1, sizeof(*ids));
    if (ids == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu customers", request->customer_count);
    }
    for (size_t i = 0; i < request->customer_count; i++) {
        ids[i] = request->customers[i];
    }
    qsort(ids, request->customer_count, sizeof(*ids), compare_texts);
    cvm_digest_init(&digest);
    cvm_digest_add(&digest, line, (size_t)length);
    if (job->engine->retraction != 0) { /* a batch among these was taken back after them */
        length = snprintf(line, sizeof(line), "retraction %" PRId64 "\n", job->engine->retraction);
        cvm_digest_add(&digest, line, (size_t)length);
    }
    cvm_digest_add(&digest, inputs->responses_json, strlen(inputs->responses_json) + 1);
    for (size_t i = 0; i < request->customer_count; i++) {
        cvm_digest_add(&digest, ids[i], strlen(ids[i]) + 1);
    }
    cvm_digest_finish(&digest, job->request_digest);
    free(ids);

    char day[CVM_DAY_TEXT_SIZE];
    char run_id[CVM_RUN_ID_SIZE];
    (void)snprintf(run_id, sizeof(run_id), "%s-%.8s", cvm_day_format(request->as_of_day, day),
                   job->request_digest);
    job->result->run_id = cvm_arena_string(job->arena, run_id);
    return job->result->run_id == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a run") : CVM_OK;
}

/* A run that replaces others is another one each time. */
struct earlier_runs {
    int32_t day;
    const char *itself; /* once it has begun */
    int64_t count;
};

static enum cvm_status count_day_runs(void *state, const struct cvm_run_record *run,
                                      struct cvm_error *err)
{
    struct earlier_runs *earlier = state;
    bool is_itself = earlier->itself != NULL && strcmp(run->run_id, earlier->itself) == 0;
    (void)err;
    earlier->count += run->as_of_day == earlier->day && !is_itself;
    return CVM_OK;
}

/* The trigger by name; close names are told. */
static enum cvm_status find_trigger(struct cvm_run_job *job, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->engine->catalogue;
    const char *wanted = job->request->trigger;
    const char *near = NULL;
    size_t near_distance = 4;
    job->trigger = CVM_INDEX_NONE;
    if (wanted == NULL) {
        return CVM_OK;
    }
    job->trigger = cvm_catalogue_trigger(catalogue, wanted);
    if (job->trigger != CVM_INDEX_NONE && catalogue->triggers[job->trigger].enabled) {
        return CVM_OK;
    }
    if (job->trigger != CVM_INDEX_NONE) {
        enum cvm_status status = CVM_FAIL(err, CVM_E_CONFLICT, "trigger '%s' is disabled", wanted);
        return cvm_error_hint(err, status, "`cvm trigger enable %s` lets runs take it.", wanted);
    }
    for (size_t i = 0; i < catalogue->trigger_count; i++) {
        size_t distance = cvm_text_distance(wanted, catalogue->triggers[i].name);
        near = distance < near_distance ? catalogue->triggers[i].name : near;
        near_distance = distance < near_distance ? distance : near_distance;
    }
    enum cvm_status status = CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no trigger '%s'", wanted);
    return near != NULL ? cvm_error_hint(err, status, "Did you mean '%s'?", near)
                        : cvm_error_hint(err, status, "`cvm trigger list` shows them all.");
}

enum cvm_status cvm_run_identify(struct cvm_run_job *job, const char *run_id, struct cvm_error *err)
{
    struct earlier_runs earlier = {.day = job->request->as_of_day, .itself = run_id};
    struct cvm_run_windows *windows = &job->memory->windows;
    enum cvm_status status = find_trigger(job, err);
    if (status == CVM_OK) {
        status = cvm_run_windows_open(windows, job->engine->catalogue, job->request->zone, err);
    }
    if (status == CVM_OK) {
        int32_t contact_day = job->request->as_of_day + job->engine->catalogue->policy.lead_days;
        cvm_run_windows_plan(windows, contact_day);
        status = cvm_run_load_inputs(job->store, job->engine->catalogue, job->arena, &job->inputs,
                                     &job->catalogue, err);
        job->result->catalogue = job->catalogue;
    }
    if (status == CVM_OK && job->request->is_replacing && !job->request->is_dry) {
        status = cvm_run_list(job->store, job->arena, INT64_MAX, count_day_runs, &earlier, err);
    }
    if (status == CVM_OK) {
        status = digest_request(job, earlier.count, err);
    }
    if (status == CVM_OK && run_id != NULL && strcmp(run_id, job->result->run_id) != 0) {
        status = CVM_FAIL(err, CVM_E_CONFLICT,
                          "run %s began with other data, catalogue or outcomes than there are now",
                          run_id);
        return cvm_error_hint(err, status, "It has to begin again.");
    }
    return status;
}
