#include "engine/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/run_internal.h"
#include "engine/run_results.h"
#include "storage/retention.h"

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

/* ---- selection ---- */

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

static enum cvm_status plan_shards(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    enum cvm_status status = job->request->customers != NULL
                                 ? select_customers(job, err)
                                 : cvm_engine_shards(job->engine, job->arena, &memory->shards,
                                                     &memory->shard_count, err);
    if (status != CVM_OK) {
        return status;
    }
    memory->values = calloc(memory->shard_count + 1, sizeof(*memory->values));
    if (memory->values == NULL) {
        memory->shard_count = 0;
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu shards", memory->shard_count);
    }
    for (size_t i = 0; i < memory->shard_count; i++) {
        cvm_shard_values_init(&memory->values[i], job->catalogue->treatment_count);
        memory->values[i].has_groups = job->catalogue->group_count > 0;
    }
    return CVM_OK;
}

static enum cvm_status add_live_key(void *state, uint64_t key, struct cvm_error *err)
{
    struct cvm_column *keys = state;
    void *slot = NULL;
    enum cvm_status status = cvm_column_extend(keys, 1, &slot, err);
    if (status == CVM_OK) {
        *(uint64_t *)slot = key;
    }
    return status;
}

/* ---- taking up ---- */

struct dead_runs {
    struct cvm_arena *arena;
    const char *mine;
    struct cvm_run_record runs[64];
    size_t count;
};

static enum cvm_status note_dead_run(void *state, const struct cvm_run_record *run,
                                     struct cvm_error *err)
{
    struct dead_runs *dead = state;
    (void)err;
    if (strcmp(run->state, "running") == 0 && strcmp(run->run_id, dead->mine) != 0 &&
        dead->count < sizeof(dead->runs) / sizeof(dead->runs[0])) {
        dead->runs[dead->count] = *run;
        dead->runs[dead->count].run_id = cvm_arena_string(dead->arena, run->run_id);
        dead->count += dead->runs[dead->count].run_id != NULL;
    }
    return CVM_OK;
}

static enum cvm_status free_hold(struct cvm_run_job *job, const char *run_id, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(job->writer);
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_ledger_release(job->writer, run_id, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(db);
    }
    return status;
}

/* This process is the store's only writer, so a run that is still "running" has died: what it held
 * is free again, also what this very run held in an earlier life. */
static enum cvm_status bury_dead_runs(struct cvm_run_job *job, struct cvm_error *err)
{
    struct dead_runs dead = {.arena = job->arena, .mine = job->result->run_id};
    enum cvm_status status = cvm_run_list(job->writer, job->arena, 1000, note_dead_run, &dead, err);
    if (status == CVM_OK) {
        status = free_hold(job, dead.mine, err);
    }
    for (size_t i = 0; status == CVM_OK && i < dead.count; i++) {
        status = free_hold(job, dead.runs[i].run_id, err);
        if (status == CVM_OK) {
            status = cvm_run_fail(job->writer, dead.runs[i].run_id, dead.runs[i].epoch, err);
        }
    }
    return status;
}

static enum cvm_status start_run(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_text options;
    struct cvm_json_writer json;
    cvm_text_init(&options, 0);
    cvm_json_init(&json, &options, false);
    cvm_run_options_write(job, &json);
    struct cvm_run_record run = {
        .run_id = job->result->run_id,
        .request = job->request_digest,
        .as_of_day = job->request->as_of_day,
        .seed = job->request->seed,
        .catalogue_version = job->engine->catalogue->version,
        .last_batch = job->engine->last_batch,
        .options = cvm_text_string(&options),
        .created_at_ms = job->result->created_at_ms,
        .created_by = job->request->who,
        .responses = job->inputs.responses_json,
    };
    enum cvm_status status = bury_dead_runs(job, err);
    if (status == CVM_OK && job->request->is_replacing) {
        status = cvm_run_withdraw(job, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_start(job->writer, &run, &job->epoch, err);
    }
    if (status == CVM_OK) {
        status = cvm_decision_live(job->writer, job->request->as_of_day, job->result->run_id,
                                   add_live_key, &job->memory->live_keys, err);
    }
    cvm_text_finish(&options);
    return status;
}

/* ---- the whole ---- */

static enum cvm_status check_window(const struct cvm_run_job *job, struct cvm_error *err)
{
    uint64_t dated = 0;
    size_t customers = 0;
    int32_t first_day = CVM_DAY_NONE;
    int32_t last_day = CVM_DAY_NONE;
    for (size_t s = 0; s < job->memory->shard_count; s++) {
        dated += job->memory->values[s].dated_events;
        customers += job->memory->values[s].count;
    }
    if (dated > 0 || job->request->customers != NULL) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_event_days_until(job->engine->readers[0], job->engine->last_batch,
                                                  &first_day, &last_day, err);
    if (status == CVM_OK && last_day == CVM_DAY_NONE && customers == 0) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "the store has no customers");
        return cvm_error_hint(err, status, "Bring them in with `cvm import PATH`.");
    }
    if (status != CVM_OK || last_day == CVM_DAY_NONE) {
        return status; /* only undated attributes: nothing can be out of date */
    }
    char day[CVM_DAY_TEXT_SIZE];
    char newest[CVM_DAY_TEXT_SIZE];
    cvm_day_format(last_day, newest);
    status = CVM_FAIL(
        err, CVM_E_NOT_FOUND, "no event lies in the %d days up to %s; the newest is of %s",
        job->engine->catalogue->history_days, cvm_day_format(job->request->as_of_day, day), newest);
    return cvm_error_hint(err, status, "Import newer data, or run with --as-of %s.", newest);
}

/* What the scan and the solve are lent besides journeys. */
static enum cvm_status prepare(struct cvm_run_job *job, struct cvm_error *err)
{
    const struct cvm_stops *stops = &job->inputs.stops;
    struct cvm_recommend_options options = {
        .as_of_day = job->request->as_of_day,
        .direction = CVM_DIRECTION_OUTBOUND,
        .channel = CVM_CHANNEL_UNSET,
        .allowed = job->request->allowed,
        .stopped = stops->treatments,
        .stopped_channels = stops->channels,
        .responses = job->inputs.responses.of,
        .forced_treatment = job->request->forced_treatment,
    };
    enum cvm_status status =
        cvm_recommender_create(job->catalogue, &options, &job->memory->recommender, err);
    if (status == CVM_OK) {
        status = cvm_pending_load(&job->memory->pending, job->store, job->catalogue,
                                  job->request->as_of_day, job->result->run_id, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_open_control(job, err);
    }
    return status == CVM_OK ? plan_shards(job, err) : status;
}

static enum cvm_status run_steps(struct cvm_run_job *job, struct cvm_error *err)
{
    enum cvm_status status = prepare(job, err);
    if (status == CVM_OK) {
        status = cvm_run_make_values(job, err);
    }
    if (status == CVM_OK) {
        status = check_window(job, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_enrol(job, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_allocate(job, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_publish(job, err);
    }
    return status;
}

static enum cvm_status execute(struct cvm_run_job *job, struct cvm_error *err)
{
    double start = cvm_context_seconds(job->engine->context);
    enum cvm_status status = job->writer == NULL ? CVM_OK : start_run(job, err);
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_pending *lent = job->engine->pending;
    job->engine->pending = &job->memory->pending;
    status = run_steps(job, err);
    job->engine->pending = lent;
    if (status != CVM_OK && job->writer != NULL) {
        /* The first error counts; when even this fails the next run buries what is left. */
        struct cvm_db *db = cvm_store_db(job->writer);
        cvm_db_rollback(db);
        if (cvm_db_begin(db, NULL) != CVM_OK ||
            cvm_ledger_release(job->writer, job->result->run_id, NULL) != CVM_OK ||
            cvm_db_commit(db, NULL) != CVM_OK) {
            cvm_db_rollback(db);
        }
        (void)!cvm_run_fail(job->writer, job->result->run_id, job->epoch, NULL);
    }
    job->result->seconds.total = cvm_context_seconds(job->engine->context) - start;
    return status;
}

static enum cvm_status count_day_runs(void *state, const struct cvm_run_record *run,
                                      struct cvm_error *err)
{
    struct {
        int32_t day;
        int64_t count;
    } *counter = state;
    (void)err;
    counter->count += run->as_of_day == counter->day;
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

/* All that the request's identity is made of, and the identity. */
static enum cvm_status identify(struct cvm_run_job *job, struct cvm_error *err)
{
    struct {
        int32_t day;
        int64_t count;
    } earlier = {job->request->as_of_day, 0};
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
    if (status == CVM_OK && job->request->is_replacing && job->writer != NULL) {
        status = cvm_run_list(job->writer, job->arena, INT64_MAX, count_day_runs, &earlier, err);
    }
    return status == CVM_OK ? digest_request(job, earlier.count, err) : status;
}

/* A day before the last purge, or the data of an earlier import, with features that would miss what
 * the purge has removed: their numbers would be others than they were then. */
static enum cvm_status check_kept(const struct cvm_run_job *job, struct cvm_error *err)
{
    const struct cvm_run_request *request = job->request;
    const struct cvm_catalogue *catalogue = job->engine->catalogue;
    struct cvm_retention retention;
    struct cvm_missing_data missing;
    char first[CVM_DAY_TEXT_SIZE];
    char gone[CVM_DAY_TEXT_SIZE];
    enum cvm_status status = cvm_retention_read(job->store, catalogue, &retention, err);
    if (status != CVM_OK) {
        return status;
    }
    bool looks_back = job->engine->journeys_url != NULL || request->as_of_day < retention.as_of_day;
    if (!looks_back || !cvm_retention_misses(&retention, catalogue, request->as_of_day,
                                             request->since_day, &missing)) {
        return CVM_OK;
    }
    status = CVM_FAIL(err, CVM_E_CONFLICT,
                      "the data are gone: feature '%s' looks at events of '%s' from %s on, and a "
                      "purge has removed those before %s",
                      missing.feature->name, missing.source->name,
                      cvm_day_format(missing.first_day, first),
                      cvm_day_format(missing.gone_before, gone));
    return cvm_error_hint(err, status,
                          "`cvm plan list` shows what was decided then; a backup from before the "
                          "purge has the data.");
}

/* The same request was answered before? */
static enum cvm_status find_done(struct cvm_run_job *job, struct cvm_run_result **out_result,
                                 struct cvm_error *err)
{
    struct cvm_run_record found;
    *out_result = NULL;
    if (job->writer == NULL) {
        return CVM_OK;
    }
    enum cvm_status status =
        cvm_run_find(job->writer, job->arena, job->request_digest, &found, err);
    if (status != CVM_OK || strcmp(found.state, "done") != 0) {
        return status == CVM_E_NOT_FOUND ? CVM_OK : status;
    }
    status = cvm_run_load(job->engine, job->writer, found.run_id, job->arena, out_result, err);
    if (status == CVM_OK) {
        (*out_result)->was_done_before = true;
        (*out_result)->forced_treatment = job->request->forced_treatment;
        (*out_result)->trigger = job->request->trigger;
    }
    return status;
}

enum cvm_status cvm_run(struct cvm_engine *engine, struct cvm_store *writer,
                        const struct cvm_run_request *request, struct cvm_arena *arena,
                        struct cvm_run_result **out_result, struct cvm_error *err)
{
    struct cvm_run_job job = {
        .engine = engine,
        .writer = writer,
        .store = writer != NULL ? writer : engine->readers[0],
        .request = request,
        .arena = arena,
    };
    struct cvm_run_result *before = NULL;
    struct cvm_feature_window window = {request->as_of_day, request->since_day, NULL};
    enum cvm_status status = cvm_run_new_result(engine, window, &job.result, err);
    if (status != CVM_OK) {
        return status;
    }
    job.memory = job.result->memory;
    job.result->forced_treatment = request->forced_treatment;
    job.result->trigger = request->trigger;
    status = identify(&job, err);
    if (status == CVM_OK) {
        status = find_done(&job, &before, err);
    }
    if (status == CVM_OK && before == NULL) {
        status = check_kept(&job, err);
    }
    if (status == CVM_OK && before == NULL) {
        status = execute(&job, err);
    }
    if (status != CVM_OK || before != NULL) {
        cvm_run_result_destroy(job.result);
    }
    if (status == CVM_OK) {
        *out_result = before != NULL ? before : job.result;
    }
    return status;
}
