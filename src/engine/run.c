#include "engine/run.h"

#include <stdlib.h>
#include <string.h>

#include "engine/run_internal.h"
#include "storage/retention.h"

/* ---- identity ---- */

enum cvm_status cvm_run_open(const struct cvm_run_work *work, struct cvm_run_job **out_job,
                             struct cvm_error *err)
{
    const struct cvm_run_request *request = work->request;
    struct cvm_feature_window window = {request->as_of_day, request->since_day, NULL};
    struct cvm_run_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a run");
    }
    job->engine = work->engine;
    job->writer = work->writer;
    job->store = work->writer != NULL ? work->writer : work->engine->readers[0];
    job->request = request;
    job->arena = work->arena;
    job->part_count = work->part_count;
    job->start = cvm_context_seconds(work->engine->context);
    enum cvm_status status = cvm_run_new_result(work->engine, window, &job->result, err);
    if (status == CVM_OK) {
        job->memory = job->result->memory;
        job->result->forced_treatment = request->forced_treatment;
        job->result->trigger = request->trigger;
        status = cvm_run_identify(job, work->run_id, err);
    }
    if (status != CVM_OK) {
        cvm_run_close(job);
        return status;
    }
    *out_job = job;
    return CVM_OK;
}

void cvm_run_close(struct cvm_run_job *job)
{
    if (job != NULL) {
        cvm_run_result_destroy(job->result);
        free(job);
    }
}

const char *cvm_run_job_id(const struct cvm_run_job *job)
{
    return job->result->run_id;
}

int64_t cvm_run_job_epoch(const struct cvm_run_job *job)
{
    return job->epoch;
}

enum cvm_status cvm_run_find_done(struct cvm_run_job *job, struct cvm_run_result **out_result,
                                  struct cvm_error *err)
{
    struct cvm_run_record found;
    *out_result = NULL;
    if (job->request->is_dry) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_run_find(job->store, job->arena, job->request_digest, &found, err);
    if (status != CVM_OK || strcmp(found.state, "done") != 0) {
        return status == CVM_E_NOT_FOUND ? CVM_OK : status;
    }
    status = cvm_run_load(job->engine, job->store, found.run_id, job->arena, out_result, err);
    if (status == CVM_OK) {
        (*out_result)->was_done_before = true;
        (*out_result)->forced_treatment = job->request->forced_treatment;
        (*out_result)->trigger = job->request->trigger;
    }
    return status;
}

/* ---- the beginning ---- */

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
    if (status == CVM_OK) {
        status = cvm_run_plan_shards(job, err);
    }
    return status == CVM_OK ? cvm_run_open_households(job, err) : status;
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

enum cvm_status cvm_run_begin(struct cvm_run_job *job, struct cvm_error *err)
{
    enum cvm_status status = check_kept(job, err);
    if (status == CVM_OK && !job->request->is_dry) {
        status = cvm_run_start_record(job, err);
        if (status == CVM_OK) {
            status = cvm_run_find_live(job, err);
        }
    }
    return status == CVM_OK ? prepare(job, err) : status;
}

enum cvm_status cvm_run_join(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_record found;
    enum cvm_status status = cvm_run_find(job->store, job->arena, job->request_digest, &found, err);
    if (status == CVM_OK && strcmp(found.state, "running") != 0) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "run %s is %s: nobody works on it any more",
                          found.run_id, found.state);
    }
    if (status != CVM_OK) {
        return status;
    }
    job->epoch = found.epoch;
    job->result->created_at_ms = found.created_at_ms;
    status = cvm_run_find_live(job, err);
    return status == CVM_OK ? prepare(job, err) : status;
}

/* ---- the end ---- */

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

enum cvm_status cvm_run_take_up(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(job->writer);
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_run_take_over(job->writer, job->result->run_id, &job->epoch, err);
    }
    if (status == CVM_OK) { /* else this run would find its own capacity taken */
        status = cvm_ledger_release(job->writer, job->result->run_id, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(db);
    }
    return status;
}

enum cvm_status cvm_run_decide(struct cvm_run_job *job, const struct cvm_run_publishing *publishing,
                               struct cvm_run_result **out_result, struct cvm_error *err)
{
    const struct cvm_pending *lent = job->engine->pending;
    job->publishing = publishing;
    job->engine->pending = &job->memory->pending;
    enum cvm_status status = check_window(job, err);
    if (status == CVM_OK) {
        status = cvm_run_add_other_households(job, err);
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
    job->engine->pending = lent;
    job->result->seconds.total = cvm_context_seconds(job->engine->context) - job->start;
    if (status == CVM_OK) {
        *out_result = job->result;
        job->result = NULL;
    }
    return status;
}

void cvm_run_give_up(struct cvm_run_job *job)
{
    struct cvm_db *db = cvm_store_db(job->writer);
    cvm_db_rollback(db);
    if (cvm_db_begin(db, NULL) != CVM_OK ||
        cvm_ledger_release(job->writer, job->result->run_id, NULL) != CVM_OK ||
        cvm_db_commit(db, NULL) != CVM_OK) {
        cvm_db_rollback(db);
    }
    (void)!cvm_run_fail(job->writer, job->result->run_id, job->epoch, NULL);
}

/* ---- all of it in one go ---- */

static enum cvm_status execute(struct cvm_run_job *job, struct cvm_run_result **out_result,
                               struct cvm_error *err)
{
    enum cvm_status status = cvm_run_begin(job, err);
    if (status == CVM_OK) {
        status = cvm_run_make_values(job, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_decide(job, NULL, out_result, err);
    }
    if (status != CVM_OK && job->epoch != 0) {
        cvm_run_give_up(job); /* when even this fails the next run buries what is left */
    }
    return status;
}

enum cvm_status cvm_run(struct cvm_engine *engine, struct cvm_store *writer,
                        const struct cvm_run_request *request, struct cvm_arena *arena,
                        struct cvm_run_result **out_result, struct cvm_error *err)
{
    const struct cvm_run_work work = {
        .engine = engine,
        .writer = writer,
        .request = request,
        .arena = arena,
    };
    struct cvm_run_job *job = NULL;
    struct cvm_run_result *result = NULL;
    enum cvm_status status = cvm_run_open(&work, &job, err);
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_run_find_done(job, &result, err);
    if (status == CVM_OK && result == NULL) {
        status = execute(job, &result, err);
    }
    cvm_run_close(job);
    if (status == CVM_OK) {
        *out_result = result;
    }
    return status;
}
