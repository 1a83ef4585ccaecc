#include "engine/explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/customer.h"
#include "engine/explain_line.h"
#include "engine/explain_run.h"
#include "engine/needed.h"

/* ---- one customer ---- */

struct explain_job {
    struct cvm_explain_run run;
    struct cvm_explanation *explanation;
    struct cvm_chunk *chunk;
    struct cvm_values_view view;
    struct cvm_explain_place place;
    uint64_t key;
};

static enum cvm_status load_decision(struct explain_job *job, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->run.catalogue;
    struct cvm_explanation *explanation = job->explanation;
    struct cvm_decision *decision = CVM_NEW(job->run.arena, struct cvm_decision);
    explanation->treatment = CVM_INDEX_NONE;
    explanation->withheld = CVM_INDEX_NONE;
    if (decision == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a decision");
    }
    enum cvm_status status = cvm_decision_get(job->run.store, job->run.arena,
                                              job->run.record.run_id, job->key, decision, err);
    if (status != CVM_OK) {
        return status == CVM_E_NOT_FOUND ? CVM_OK : status;
    }
    explanation->decision = decision;
    if (!decision->ghost) {
        explanation->treatment = cvm_catalogue_treatment(catalogue, decision->treatment);
    }
    if (decision->withheld != NULL) {
        explanation->withheld = cvm_catalogue_treatment(catalogue, decision->withheld);
    }
    return CVM_OK;
}

static enum cvm_status note_block(void *state, const struct cvm_value_block *block,
                                  struct cvm_error *err)
{
    bool *has_blocks = state;
    (void)block;
    (void)err;
    *has_blocks = true;
    return CVM_E_CONFLICT; /* one is enough */
}

/* A run that keeps its values has those of everybody whom it looked at. */
static enum cvm_status refuse_missed(struct explain_job *job, struct cvm_error *err)
{
    bool has_blocks = false;
    const char *run_id = job->run.record.run_id;
    enum cvm_status status =
        cvm_value_block_scan(job->run.store, run_id, note_block, &has_blocks, err);
    if (!has_blocks) {
        return status;
    }
    status = CVM_FAIL(err, CVM_E_NOT_FOUND, "run '%s' did not look at customer '%s'", run_id,
                      job->explanation->customer_id);
    return cvm_error_hint(err, status,
                          "It was for some customers only, or this one came later or had a "
                          "decision of that day: `cvm plan list` names the others.");
}

static enum cvm_status load_block(struct explain_job *job, struct cvm_error *err)
{
    struct cvm_value_block block;
    job->place.row = SIZE_MAX;
    enum cvm_status status = cvm_value_block_get(job->run.store, job->run.arena,
                                                 job->run.record.run_id, job->key, &block, err);
    bool is_missed = status == CVM_E_NOT_FOUND;
    if (status == CVM_OK) {
        status = cvm_values_open(block.body, block.length, &job->view, err);
    }
    if (status == CVM_OK && job->view.treatment_count == job->run.catalogue->treatment_count) {
        job->place.row = cvm_values_find(&job->view, job->key);
        is_missed = job->place.row == SIZE_MAX;
    }
    if (is_missed) {
        return job->explanation->decision == NULL ? refuse_missed(job, err) : CVM_OK;
    }
    return status;
}

/* Of a permitted treatment that was not chosen. */
static enum cvm_reason why_not(const struct explain_job *job,
                               const struct cvm_explained_treatment *treatment)
{
    const struct cvm_explanation *explanation = job->explanation;
    if (treatment->treatment == explanation->withheld) {
        return CVM_REASON_HELD_OUT;
    }
    if (treatment->value <= 0) {
        return CVM_REASON_NO_VALUE;
    }
    if (treatment->margin <= 0) {
        return CVM_REASON_BELOW_PRICE;
    }
    return explanation->decision != NULL ? CVM_REASON_LOST_TO_BETTER : CVM_REASON_NO_CAPACITY;
}

static int compare_treatments(const void *a, const void *b)
{
    const struct cvm_explained_treatment *left = a;
    const struct cvm_explained_treatment *right = b;
    if (left->is_eligible != right->is_eligible) {
        return left->is_eligible ? -1 : 1;
    }
    if (left->is_eligible && left->margin != right->margin) {
        return left->margin > right->margin ? -1 : 1;
    }
    return left->treatment - right->treatment;
}

static enum cvm_status explain_changes(struct explain_job *job, struct cvm_error *err)
{
    struct cvm_explanation *explanation = job->explanation;
    struct cvm_explained_treatment *all = explanation->treatments;
    const struct cvm_explained_treatment *best =
        explanation->treatment_count > 0 && all[0].is_eligible ? &all[0] : NULL;
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < explanation->treatment_count; i++) {
        if (all[i].treatment != explanation->treatment) {
            status = cvm_explain_change(&job->run, &all[i], best, &all[i].change, err);
        }
        if (status == CVM_OK && !all[i].is_eligible) {
            status = cvm_explain_also(&job->run, &job->place, &all[i], err);
        }
    }
    return status;
}

static enum cvm_status explain_all(struct explain_job *job, struct cvm_error *err)
{
    struct cvm_explanation *explanation = job->explanation;
    size_t count = job->run.catalogue->treatment_count;
    explanation->treatments =
        CVM_NEW_ARRAY(job->run.arena, count + 1, struct cvm_explained_treatment);
    if (explanation->treatments == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an explanation");
    }
    explanation->treatment_count = count;
    for (size_t t = 0; t < count; t++) {
        struct cvm_explained_treatment *explained = &explanation->treatments[t];
        cvm_explain_treatment(&job->run, &job->place, t, explained);
        if (explanation->treatment == (int)t) {
            explained->reason = (enum cvm_reason)explanation->decision->reason;
        } else if (explained->is_eligible) {
            explained->reason = why_not(job, explained);
        }
    }
    if (count > 0) {
        qsort(explanation->treatments, count, sizeof(*explanation->treatments), compare_treatments);
    }
    explanation->reason = explanation->decision != NULL
                              ? (enum cvm_reason)explanation->decision->reason
                          : count > 0 ? explanation->treatments[0].reason
                                      : CVM_REASON_NO_VALUE;
    explanation->data_changed = job->run.engine->last_batch != job->run.record.last_batch;
    enum cvm_status status = explain_changes(job, err);
    return status == CVM_OK ? cvm_explain_lines(&job->run, &job->place, explanation->treatment,
                                                explanation->treatments, count, err)
                            : status;
}

static enum cvm_status explain_steps(struct explain_job *job, const char *run_id,
                                     struct cvm_error *err)
{
    enum cvm_status status = cvm_explain_run_open(&job->run, run_id, err);
    if (status == CVM_OK) {
        job->explanation->run_id = job->run.record.run_id;
        job->explanation->as_of_day = job->run.record.as_of_day;
        job->explanation->catalogue = job->run.catalogue;
        status = cvm_customer_find(job->run.store, job->explanation->customer_id, &job->key, err);
    }
    if (status == CVM_OK) {
        status = load_decision(job, err);
    }
    if (status == CVM_OK) {
        status = load_block(job, err);
    }
    if (status == CVM_OK) {
        struct cvm_feature_window window = {job->run.record.as_of_day, job->run.summary.since_day,
                                            NULL};
        status = cvm_engine_customer(job->run.engine, job->key, window, &job->chunk, err);
    }
    if (status == CVM_OK) {
        job->place.chunk = job->chunk;
        job->place.view = &job->view;
        status = explain_all(job, err);
    }
    return status;
}

enum cvm_status cvm_explain(struct cvm_engine *engine, struct cvm_store *store, const char *run_id,
                            const char *customer_id, struct cvm_arena *arena,
                            struct cvm_explanation **out_explanation, struct cvm_error *err)
{
    struct explain_job job = {.run = {.engine = engine, .store = store, .arena = arena}};
    job.explanation = CVM_NEW(arena, struct cvm_explanation);
    if (job.explanation == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an explanation");
    }
    job.explanation->customer_id = customer_id;
    enum cvm_status status = explain_steps(&job, run_id, err);
    cvm_chunk_destroy(job.chunk);
    cvm_explain_run_close(&job.run);
    if (status == CVM_OK) {
        *out_explanation = job.explanation;
    }
    return status;
}

/* ---- many customers ---- */

struct parts_job {
    struct cvm_explain_run run;
    const struct cvm_explain_many *request;
    uint64_t *keys; /* of the customers asked for, ascending; NULL = everybody */
    size_t key_count;
    struct cvm_arena *block_arena;
    struct cvm_value_block block; /* the last one looked at */
    struct cvm_values_view view;
    bool has_block;
};

static int compare_keys(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static enum cvm_status find_keys(struct parts_job *job, struct cvm_error *err)
{
    const struct cvm_explain_many *request = job->request;
    if (request->customers == NULL) {
        return CVM_OK;
    }
    job->keys = CVM_NEW_ARRAY(job->run.arena, request->customer_count + 1, uint64_t);
    if (job->keys == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu customers", request->customer_count);
    }
    for (size_t i = 0; i < request->customer_count; i++) {
        enum cvm_status status = cvm_customer_find(job->run.store, request->customers[i],
                                                   &job->keys[job->key_count], err);
        if (status != CVM_OK && status != CVM_E_NOT_FOUND) {
            return status;
        }
        job->key_count += status == CVM_OK ? 1 : 0;
    }
    qsort(job->keys, job->key_count, sizeof(*job->keys), compare_keys);
    return CVM_OK;
}

/* The stored values around a key; chunks come in key order, so a block serves many of them. */
static enum cvm_status find_block(struct parts_job *job, uint64_t key, struct cvm_error *err)
{
    if (job->has_block && key >= job->block.first_key && key <= job->block.last_key) {
        return CVM_OK;
    }
    cvm_arena_reset(job->block_arena);
    job->has_block = false;
    enum cvm_status status = cvm_value_block_get(job->run.store, job->block_arena,
                                                 job->run.record.run_id, key, &job->block, err);
    if (status == CVM_E_NOT_FOUND) {
        return CVM_OK;
    }
    if (status == CVM_OK) {
        status = cvm_values_open(job->block.body, job->block.length, &job->view, err);
    }
    job->has_block =
        status == CVM_OK && job->view.treatment_count == job->run.catalogue->treatment_count;
    return status;
}

static enum cvm_status explain_customer(struct parts_job *job, const struct cvm_chunk *chunk,
                                        size_t i, struct cvm_error *err)
{
    uint64_t key = chunk->keys[i];
    enum cvm_status status = find_block(job, key, err);
    struct cvm_explain_place place = {.chunk = chunk, .customer = i, .view = &job->view};
    place.row = job->has_block ? cvm_values_find(&job->view, key) : SIZE_MAX;
    for (size_t t = 0; status == CVM_OK && t < job->run.catalogue->treatment_count; t++) {
        struct cvm_explained_treatment explained;
        cvm_explain_treatment(&job->run, &place, t, &explained);
        if (explained.is_eligible) {
            status = job->request->on_treatment(job->request->state, cvm_chunk_id(chunk, i),
                                                &explained, err);
        }
    }
    return status;
}

static enum cvm_status explain_chunk(void *state, size_t shard, size_t worker,
                                     const struct cvm_chunk *chunk, struct cvm_error *err)
{
    struct parts_job *job = state;
    enum cvm_status status = CVM_OK;
    (void)shard;
    (void)worker;
    for (size_t i = 0; status == CVM_OK && i < chunk->count; i++) {
        if (job->keys == NULL || bsearch(&chunk->keys[i], job->keys, job->key_count,
                                         sizeof(*job->keys), compare_keys) != NULL) {
            status = explain_customer(job, chunk, i, err);
        }
    }
    return status;
}

/* The named customers are shards of one key each; nobody else is read. */
static enum cvm_status plan_parts(struct parts_job *job, struct cvm_shard **out_shards,
                                  size_t *out_count, struct cvm_error *err)
{
    if (job->keys == NULL) {
        return cvm_engine_shards(job->run.engine, job->run.arena, out_shards, out_count, err);
    }
    *out_shards = CVM_NEW_ARRAY(job->run.arena, job->key_count + 1, struct cvm_shard);
    if (*out_shards == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu customers", job->key_count);
    }
    *out_count = job->key_count;
    for (size_t i = 0; i < job->key_count; i++) {
        (*out_shards)[i] = (struct cvm_shard){job->keys[i], job->keys[i]};
    }
    return CVM_OK;
}

static enum cvm_status scan_parts(struct parts_job *job, struct cvm_error *err)
{
    struct cvm_feature_set needed = {{0}};
    struct cvm_shard *shards = NULL;
    size_t shard_count = 0;
    cvm_needed_for_values(job->run.catalogue, &needed);
    enum cvm_status status = find_keys(job, err);
    if (status == CVM_OK) {
        status = plan_parts(job, &shards, &shard_count, err);
    }
    if (status == CVM_OK) {
        const struct cvm_scan_request scan = {
            .window = {job->run.record.as_of_day, job->run.summary.since_day, &needed},
            .shards = shards,
            .shard_count = shard_count,
            .on_chunk = explain_chunk,
            .state = job,
        };
        status = cvm_engine_scan(job->run.engine, &scan, err);
    }
    return status;
}

enum cvm_status cvm_explain_parts(struct cvm_engine *engine, struct cvm_store *store,
                                  const struct cvm_explain_many *request, struct cvm_arena *arena,
                                  struct cvm_error *err)
{
    struct parts_job job = {.run = {.engine = engine, .store = store, .arena = arena},
                            .request = request};
    job.block_arena = cvm_arena_create((size_t)256 << 20);
    if (job.block_arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for blocks of values");
    }
    enum cvm_status status = cvm_explain_run_open(&job.run, request->run_id, err);
    if (status == CVM_OK) {
        status = scan_parts(&job, err);
    }
    cvm_explain_run_close(&job.run);
    cvm_arena_destroy(job.block_arena);
    return status;
}
