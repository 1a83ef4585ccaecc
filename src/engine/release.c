#include "engine/release.h"

#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "engine/pending.h"
#include "engine/plan_scan.h"
#include "engine/withdrawal.h"
#include "recommend/action_value.h"
#include "storage/stops.h"

/* Up to one decision for so many customers, decisions are looked up one by one instead of by a scan
 * of everybody. */
#define CUSTOMERS_PER_LOOKUP 16

#define ARENA_BYTES_MAX      ((size_t)1 << 30)

void cvm_release_check_init(struct cvm_release_check *check)
{
    *check = (struct cvm_release_check){0};
    cvm_column_init(&check->failures, sizeof(struct cvm_release_failure));
}

void cvm_release_check_finish(struct cvm_release_check *check)
{
    cvm_column_finish(&check->failures);
}

enum cvm_status cvm_release_day(struct cvm_store *store, int32_t as_of_day, int32_t today,
                                int32_t *out_day, struct cvm_error *err)
{
    int32_t first_day = CVM_DAY_NONE;
    int32_t last_day = CVM_DAY_NONE;
    enum cvm_status status = cvm_event_days(store, &first_day, &last_day, err);
    if (status == CVM_OK) {
        int32_t newest = last_day != CVM_DAY_NONE && last_day < today ? last_day : today;
        *out_day = last_day != CVM_DAY_NONE && newest > as_of_day ? newest : as_of_day;
    }
    return status;
}

/* ---- the scan ---- */

struct check_worker {
    struct cvm_buffer buffer; /* the verdicts of one chunk */
    struct cvm_verdicts verdicts;
    struct cvm_column failures;
    int64_t checked;
};

struct check_job {
    struct cvm_engine *engine;
    const struct cvm_release_request *request;
    struct cvm_recommender *recommender;
    struct cvm_stops stops;
    struct cvm_arena *arena;
    struct check_worker *workers;
    struct cvm_shard *shards;
    size_t shard_count;
    struct cvm_column keys; /* of the decisions, while they are few */
    size_t keys_max;
};

enum cvm_channel cvm_release_channel(const struct cvm_catalogue *catalogue,
                                     const struct cvm_decision *decision)
{
    int t = cvm_catalogue_treatment(catalogue, decision->treatment);
    enum cvm_channel channel =
        t == CVM_INDEX_NONE ? CVM_CHANNEL_UNSET : catalogue->treatments[t].channel;
    for (unsigned c = 0; decision->channel != NULL && cvm_channel_words[c] != NULL; c++) {
        if (strcmp(cvm_channel_words[c], decision->channel) == 0) {
            channel = (enum cvm_channel)c;
        }
    }
    return channel == CVM_CHANNEL_ANY ? CVM_CHANNEL_UNSET : channel;
}

static bool is_asked_for(const struct check_job *job, const struct cvm_decision *decision)
{
    const struct cvm_release_request *request = job->request;
    bool is_channel = request->channel == CVM_CHANNEL_UNSET ||
                      request->channel == cvm_release_channel(job->engine->catalogue, decision);
    return !decision->ghost && decision->state == request->state && is_channel &&
           (decision->export != 0) == request->is_handed_over;
}

/* Of the recommender's refusals these are about permission, and what others did meanwhile; the rest
 * (rules, value) was the plan's business when it was made. */
static enum cvm_reason permission_of(unsigned char reason)
{
    switch (reason) {
    case CVM_REASON_NO_CONSENT_RECORD:
    case CVM_REASON_NO_CONSENT:
    case CVM_REASON_SUPPRESSED:
    case CVM_REASON_CONTACT_POLICY:
    case CVM_REASON_NOT_VALID:
    case CVM_REASON_DISABLED:
    case CVM_REASON_NO_CHANNEL:
    case CVM_REASON_STOPPED:
        return (enum cvm_reason)reason;
    default:
        return CVM_REASON_PERMITTED;
    }
}

/* An "any" treatment is permitted when one channel is; the decision needs its own. */
static enum cvm_reason reason_of(const struct check_job *job, const struct cvm_decision *decision,
                                 const struct cvm_plan_place *place)
{
    const struct cvm_catalogue *catalogue = job->engine->catalogue;
    int t = cvm_catalogue_treatment(catalogue, decision->treatment);
    if (t == CVM_INDEX_NONE) {
        return CVM_REASON_UNKNOWN_TREATMENT;
    }
    const struct cvm_treatment *treatment = &catalogue->treatments[t];
    enum cvm_channel channel = cvm_release_channel(catalogue, decision);
    bool is_contact = channel < CVM_CHANNEL_COUNT;
    if ((job->stops.treatments >> t & 1) != 0 ||
        (is_contact && (job->stops.channels >> channel & 1) != 0)) {
        return CVM_REASON_STOPPED;
    }
    if (place->chunk == NULL) {
        return CVM_REASON_NOT_FOUND;
    }
    const struct cvm_verdicts *verdicts = &job->workers[place->worker].verdicts;
    enum cvm_reason reason =
        permission_of(verdicts->reasons[(size_t)t * verdicts->stride + place->at]);
    const struct cvm_consent *consent = &place->chunk->consents[place->at];
    if (reason != CVM_REASON_PERMITTED || !is_contact) {
        return reason;
    }
    if (treatment->purpose < CVM_PURPOSE_COUNT &&
        cvm_consent_allows(consent, channel, CVM_DIRECTION_OUTBOUND, treatment->purpose)) {
        return CVM_REASON_PERMITTED;
    }
    return consent->has_record ? CVM_REASON_NO_CONSENT : CVM_REASON_NO_CONSENT_RECORD;
}

static void check_chunk(void *state, size_t worker, const struct cvm_chunk *chunk)
{
    const struct check_job *job = state;
    cvm_recommend_chunk(job->recommender, chunk, &job->workers[worker].verdicts);
}

static enum cvm_status check_decision(void *state, const struct cvm_decision *decision,
                                      const struct cvm_plan_place *place, struct cvm_error *err)
{
    struct check_job *job = state;
    struct check_worker *worker = &job->workers[place->worker];
    if (!is_asked_for(job, decision)) {
        return CVM_OK;
    }
    struct cvm_release_failure failure = {
        .key = decision->customer_key,
        .reason = reason_of(job, decision, place),
    };
    worker->checked++;
    if (failure.reason == CVM_REASON_PERMITTED) {
        return CVM_OK;
    }
    void *slot = NULL;
    enum cvm_status status = cvm_column_extend(&worker->failures, 1, &slot, err);
    if (status == CVM_OK) {
        *(struct cvm_release_failure *)slot = failure;
    }
    return status;
}

/* ---- what to scan ---- */

static enum cvm_status note_key(void *state, const struct cvm_decision *decision,
                                struct cvm_error *err)
{
    struct check_job *job = state;
    void *slot = NULL;
    if (job->keys.count > job->keys_max || !is_asked_for(job, decision)) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_column_extend(&job->keys, 1, &slot, err);
    if (status == CVM_OK) {
        *(uint64_t *)slot = decision->customer_key;
    }
    return status;
}

static enum cvm_status plan_shards(struct check_job *job, struct cvm_error *err)
{
    int64_t customers = 0;
    enum cvm_status status = cvm_customer_count(job->engine->readers[0], &customers, err);
    job->keys_max = (size_t)customers / CUSTOMERS_PER_LOOKUP + 1;
    if (status == CVM_OK) {
        status =
            cvm_decision_scan(job->engine->readers[0], job->request->run_id, note_key, job, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    bool is_few = job->keys.count <= job->keys_max;
    if (!is_few) {
        status = cvm_engine_shards(job->engine, job->arena, &job->shards, &job->shard_count, err);
    } else {
        job->shard_count = job->keys.count;
        job->shards = CVM_NEW_ARRAY(job->arena, job->shard_count + 1, struct cvm_shard);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (job->shards == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to check %zu decisions", job->keys.count);
    }
    for (size_t s = 0; is_few && s < job->shard_count; s++) {
        uint64_t key = CVM_COLUMN_DATA(&job->keys, uint64_t)[s];
        job->shards[s] = (struct cvm_shard){key, key};
    }
    return CVM_OK;
}

static enum cvm_status worker_init(struct check_worker *worker, const struct cvm_engine *engine,
                                   struct cvm_error *err)
{
    size_t chunk_size = engine->chunk_size;
    size_t treatment_count = engine->catalogue->treatment_count;
    size_t numbers = chunk_size * (treatment_count + 2);
    size_t bytes = chunk_size * (treatment_count + 1);
    cvm_column_init(&worker->failures, sizeof(struct cvm_release_failure));
    enum cvm_status status =
        cvm_buffer_reserve(&worker->buffer, numbers * sizeof(float) + bytes, err);
    if (status != CVM_OK) {
        return status;
    }
    float *values = worker->buffer.data;
    worker->verdicts = (struct cvm_verdicts){
        .values = values,
        .margins = values + chunk_size * treatment_count,
        .churns = values + chunk_size * (treatment_count + 1),
        .reasons = (unsigned char *)(values + numbers),
        .segments = (unsigned char *)(values + numbers) + chunk_size * treatment_count,
        .stride = chunk_size,
    };
    return CVM_OK;
}

static enum cvm_status scan(struct check_job *job, struct cvm_error *err)
{
    struct cvm_engine *engine = job->engine;
    struct cvm_feature_program *program = NULL;
    struct cvm_feature_window window = {.as_of_day = job->request->check_day,
                                        .since_day = CVM_DAY_NONE};
    struct cvm_recommend_options options = {
        .as_of_day = job->request->check_day,
        .direction = CVM_DIRECTION_OUTBOUND,
        .channel = CVM_CHANNEL_UNSET,
        .allowed = UINT64_MAX,
        .forced_treatment = CVM_INDEX_NONE,
    };
    const struct cvm_pending *lent = engine->pending;
    struct cvm_pending pending;
    cvm_pending_init(&pending);
    enum cvm_status status =
        cvm_recommender_create(engine->catalogue, &options, &job->recommender, err);
    if (status == CVM_OK) { /* two plans may wait for the same person */
        status = cvm_pending_load(&pending, engine->readers[0], engine->catalogue,
                                  job->request->check_day, job->request->run_id, err);
    }
    if (status == CVM_OK) {
        status = cvm_feature_program_create(engine->catalogue, window, &program, err);
    }
    if (status == CVM_OK) {
        struct cvm_plan_scan plan = {
            .run_id = job->request->run_id,
            .program = program,
            .shards = job->shards,
            .shard_count = job->shard_count,
            .on_chunk = check_chunk,
            .on_decision = check_decision,
            .state = job,
        };
        engine->pending = &pending;
        status = cvm_plan_scan(engine, &plan, err);
        engine->pending = lent;
    }
    cvm_pending_finish(&pending);
    cvm_feature_program_destroy(program);
    return status;
}

/* ---- the whole ---- */

static int compare_failures(const void *a, const void *b)
{
    const struct cvm_release_failure *left = a;
    const struct cvm_release_failure *right = b;
    return (left->key > right->key) - (left->key < right->key);
}

static enum cvm_status gather(const struct check_job *job, struct cvm_release_check *check,
                              struct cvm_error *err)
{
    for (size_t w = 0; w < job->engine->worker_count; w++) {
        const struct cvm_column *mine = &job->workers[w].failures;
        void *slot = NULL;
        check->checked += job->workers[w].checked;
        if (mine->count == 0) {
            continue;
        }
        enum cvm_status status = cvm_column_extend(&check->failures, mine->count, &slot, err);
        if (status != CVM_OK) {
            return status;
        }
        memcpy(slot, mine->buffer.data, mine->count * mine->element_bytes);
    }
    struct cvm_release_failure *failures =
        CVM_COLUMN_DATA(&check->failures, struct cvm_release_failure);
    if (check->failures.count > 0) {
        qsort(failures, check->failures.count, sizeof(*failures), compare_failures);
    }
    for (size_t i = 0; i < check->failures.count; i++) {
        check->by_reason[failures[i].reason]++;
    }
    return CVM_OK;
}

static enum cvm_status job_run(struct check_job *job, struct cvm_release_check *check,
                               struct cvm_error *err)
{
    struct cvm_engine *engine = job->engine;
    enum cvm_status status =
        cvm_stops_load(engine->readers[0], engine->catalogue, &job->stops, err);
    for (size_t i = 0; status == CVM_OK && i < engine->worker_count; i++) {
        status = worker_init(&job->workers[i], engine, err);
    }
    if (status == CVM_OK) {
        status = plan_shards(job, err);
    }
    if (status == CVM_OK && job->shard_count > 0) {
        status = scan(job, err);
    }
    return status == CVM_OK ? gather(job, check, err) : status;
}

enum cvm_status cvm_release_check(struct cvm_engine *engine,
                                  const struct cvm_release_request *request,
                                  struct cvm_release_check *out_check, struct cvm_error *err)
{
    struct check_job job = {.engine = engine, .request = request};
    struct cvm_release_check check;
    cvm_release_check_init(&check);
    cvm_column_init(&job.keys, sizeof(uint64_t));
    job.arena = cvm_arena_create(ARENA_BYTES_MAX);
    job.workers = calloc(engine->worker_count, sizeof(*job.workers));
    enum cvm_status status = job.arena == NULL || job.workers == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to check a plan")
                                 : job_run(&job, &check, err);
    for (size_t i = 0; job.workers != NULL && i < engine->worker_count; i++) {
        cvm_buffer_finish(&job.workers[i].buffer);
        cvm_column_finish(&job.workers[i].failures);
    }
    free(job.workers);
    cvm_recommender_destroy(job.recommender);
    cvm_column_finish(&job.keys);
    cvm_arena_destroy(job.arena);
    if (status != CVM_OK) {
        cvm_release_check_finish(&check);
        return status;
    }
    cvm_release_check_finish(out_check);
    *out_check = check;
    return CVM_OK;
}

/* ---- withdrawing ---- */

static enum cvm_status withdraw_one(struct cvm_withdrawal *withdrawal, struct cvm_arena *scratch,
                                    const char *run_id, const struct cvm_release_failure *failure,
                                    struct cvm_decision *out_decision, struct cvm_error *err)
{
    enum cvm_status status =
        cvm_decision_get(withdrawal->writer, scratch, run_id, failure->key, out_decision, err);
    if (status == CVM_OK) {
        status = cvm_withdrawal_add(withdrawal, out_decision, err);
    }
    return status == CVM_OK
               ? cvm_decision_withdraw_one(withdrawal->writer, run_id, failure->key, err)
               : status;
}

enum cvm_status cvm_release_withdraw(struct cvm_engine *engine, struct cvm_store *writer,
                                     const struct cvm_release_request *request,
                                     const struct cvm_release_check *check,
                                     cvm_decision_fn on_withdrawn, void *state,
                                     struct cvm_error *err)
{
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES_MAX);
    struct cvm_arena *scratch = cvm_arena_create(1 << 20);
    const struct cvm_release_failure *failures =
        CVM_COLUMN_DATA(&check->failures, struct cvm_release_failure);
    struct cvm_withdrawal withdrawal = {
        .writer = writer,
        .reader = engine->readers[0],
        .arena = arena,
        .in_force = engine->catalogue,
        .day = request->as_of_day,
    };
    enum cvm_status status = arena == NULL || scratch == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to withdraw decisions")
                                 : CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < check->failures.count; i++) {
        struct cvm_decision decision;
        cvm_arena_reset(scratch);
        status = withdraw_one(&withdrawal, scratch, request->run_id, &failures[i], &decision, err);
        if (status == CVM_OK && on_withdrawn != NULL) {
            decision.reason = (int)failures[i].reason;
            decision.state = CVM_DECISION_WITHDRAWN;
            status = on_withdrawn(state, &decision, err);
        }
    }
    if (status == CVM_OK) {
        status = cvm_withdrawal_end(&withdrawal, err);
    }
    cvm_arena_destroy(scratch);
    cvm_arena_destroy(arena);
    return status;
}
