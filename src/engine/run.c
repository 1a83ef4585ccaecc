#include "engine/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/run_internal.h"
#include "engine/run_results.h"

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The canonical text of (as-of, selection, options, seed, catalogue version, last batch). */
static enum cvm_status digest_request(struct cvm_run_job *job, int64_t replaced_runs,
                                      struct cvm_error *err)
{
    const struct cvm_run_request *request = job->request;
    struct cvm_digest digest;
    char line[256];
    int length =
        snprintf(line, sizeof(line),
                 "as_of %d since %d forced %d allowed %" PRIx64 " seed %" PRId64
                 " catalogue %" PRId64 " batch %" PRId64 " release %d replaced %" PRId64 "\n",
                 request->as_of_day, request->since_day, request->forced_treatment,
                 request->allowed, request->seed, job->engine->catalogue->version,
                 job->engine->last_batch, request->must_release, replaced_runs);
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
        cvm_shard_values_init(&memory->values[i], job->engine->catalogue->treatment_count);
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
    enum cvm_status status = cvm_event_days(job->engine->readers[0], &first_day, &last_day, err);
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

static enum cvm_status run_steps(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_recommend_options options = {
        .as_of_day = job->request->as_of_day,
        .direction = CVM_DIRECTION_OUTBOUND,
        .channel = CVM_CHANNEL_UNSET,
        .allowed = job->request->allowed,
        .forced_treatment = job->request->forced_treatment,
    };
    enum cvm_status status =
        cvm_recommender_create(job->engine->catalogue, &options, &job->memory->recommender, err);
    if (status == CVM_OK) {
        status = plan_shards(job, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_make_values(job, err);
    }
    if (status == CVM_OK) {
        status = check_window(job, err);
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
    status = run_steps(job, err);
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

static enum cvm_status new_result(const struct cvm_engine *engine, struct cvm_feature_window window,
                                  struct cvm_run_result **out_result, struct cvm_error *err)
{
    struct cvm_run_result *result = calloc(1, sizeof(*result));
    struct cvm_run_memory *memory = calloc(1, sizeof(*memory));
    if (result == NULL || memory == NULL) {
        free(result);
        free(memory);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a run");
    }
    cvm_column_init(&memory->live_keys, sizeof(uint64_t));
    result->memory = memory;
    result->catalogue = engine->catalogue;
    result->as_of_day = window.as_of_day;
    result->since_day = window.since_day;
    result->forced_treatment = CVM_INDEX_NONE;
    result->created_at_ms = cvm_context_now_ms(engine->context);
    *out_result = result;
    return CVM_OK;
}

enum cvm_status cvm_run(struct cvm_engine *engine, struct cvm_store *writer,
                        const struct cvm_run_request *request, struct cvm_arena *arena,
                        struct cvm_run_result **out_result, struct cvm_error *err)
{
    struct cvm_run_job job = {
        .engine = engine, .writer = writer, .request = request, .arena = arena};
    struct {
        int32_t day;
        int64_t count;
    } earlier = {request->as_of_day, 0};
    struct cvm_run_record found;
    enum cvm_status status =
        new_result(engine, (struct cvm_feature_window){request->as_of_day, request->since_day},
                   &job.result, err);
    if (status != CVM_OK) {
        return status;
    }
    job.memory = job.result->memory;
    job.result->forced_treatment = request->forced_treatment;
    if (request->is_replacing && writer != NULL) {
        status = cvm_run_list(writer, arena, INT64_MAX, count_day_runs, &earlier, err);
    }
    if (status == CVM_OK) {
        status = digest_request(&job, earlier.count, err);
    }
    if (status == CVM_OK && writer != NULL) {
        status = cvm_run_find(writer, arena, job.request_digest, &found, err);
        if (status == CVM_OK && strcmp(found.state, "done") == 0) {
            cvm_run_result_destroy(job.result);
            status = cvm_run_load(engine, writer, found.run_id, arena, out_result, err);
            if (status == CVM_OK) {
                (*out_result)->was_done_before = true;
                (*out_result)->forced_treatment = request->forced_treatment;
            }
            return status;
        }
        status = status == CVM_E_NOT_FOUND ? CVM_OK : status;
    }
    if (status == CVM_OK) {
        status = execute(&job, err);
    }
    if (status != CVM_OK) {
        cvm_run_result_destroy(job.result);
        return status;
    }
    *out_result = job.result;
    return CVM_OK;
}

/* ---- loading ---- */

struct load_state {
    struct cvm_run_result *result;
    struct cvm_arena *arena;
    size_t capacity;
};

static enum cvm_status load_decision(void *state, const struct cvm_decision *decision,
                                     struct cvm_error *err)
{
    struct load_state *load = state;
    struct cvm_run_result *result = load->result;
    if (result->decision_count == load->capacity) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "run '%s' has more decisions than it says",
                        result->run_id);
    }
    const char *id = cvm_arena_string(load->arena, decision->customer_id);
    if (id == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for decisions");
    }
    result->decisions[result->decision_count++] = (struct cvm_run_decision){
        .key = decision->customer_key,
        .customer_id = id,
        .treatment = cvm_catalogue_treatment(result->catalogue, decision->treatment),
        .reason = (enum cvm_reason)decision->reason,
        .value = decision->value,
        .sd = decision->sd,
        .price = decision->price,
        .cost_micro = decision->cost_micro,
        .incentive_micro = decision->incentive_micro,
    };
    return CVM_OK;
}

enum cvm_status cvm_run_load(struct cvm_engine *engine, struct cvm_store *store, const char *run_id,
                             struct cvm_arena *arena, struct cvm_run_result **out_result,
                             struct cvm_error *err)
{
    struct cvm_run_record run;
    struct cvm_run_result *result = NULL;
    enum cvm_status status = cvm_run_get(store, arena, run_id, &run, err);
    if (status == CVM_OK && run.summary == NULL) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' is not finished", run.run_id);
    }
    if (status == CVM_OK) {
        status = new_result(engine, (struct cvm_feature_window){run.as_of_day, CVM_DAY_NONE},
                            &result, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    result->run_id = run.run_id;
    result->created_at_ms = run.created_at_ms;
    struct load_state load = {.result = result, .arena = arena, .capacity = (size_t)run.decisions};
    result->decisions = calloc(load.capacity + 1, sizeof(*result->decisions));
    if (result->decisions == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for decisions");
    }
    if (status == CVM_OK) {
        status = cvm_run_summary_parse(run.summary, result, err);
    }
    if (status == CVM_OK) {
        status = cvm_decision_scan(store, run.run_id, load_decision, &load, err);
    }
    if (status != CVM_OK) {
        cvm_run_result_destroy(result);
        return status;
    }
    *out_result = result;
    return CVM_OK;
}

void cvm_run_result_destroy(struct cvm_run_result *result)
{
    if (result == NULL) {
        return;
    }
    struct cvm_run_memory *memory = result->memory;
    if (memory != NULL) {
        for (size_t i = 0; memory->values != NULL && i < memory->shard_count; i++) {
            cvm_shard_values_finish(&memory->values[i]);
        }
        free(memory->values);
        cvm_buffer_finish(&memory->matrix);
        cvm_buffer_finish(&memory->keys);
        cvm_buffer_finish(&memory->amounts);
        cvm_buffer_finish(&memory->plan);
        cvm_column_finish(&memory->live_keys);
        cvm_recommender_destroy(memory->recommender);
        free(memory);
    }
    free(result->decisions);
    free(result);
}
