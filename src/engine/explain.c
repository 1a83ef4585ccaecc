#include "engine/explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_reader.h"
#include "engine/customer.h"
#include "engine/run_internal.h"
#include "engine/run_results.h"

struct explain_job {
    struct cvm_engine *engine;
    struct cvm_store *store;
    struct cvm_arena *arena;
    struct cvm_explanation *explanation;
    struct cvm_run_record run;
    struct cvm_run_result summary; /* prices */
    struct cvm_recommender *recommender;
    struct cvm_chunk *chunk;
    struct cvm_values_view view;
    size_t row; /* of the customer in the view; SIZE_MAX = its block is no longer kept */
    uint64_t key;
};

static enum cvm_status load_decision(struct explain_job *job, struct cvm_error *err)
{
    struct cvm_decision found;
    enum cvm_status status =
        cvm_decision_get(job->store, job->arena, job->run.run_id, job->key, &found, err);
    if (status == CVM_E_NOT_FOUND) {
        return CVM_OK;
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_run_decision *decision = CVM_NEW(job->arena, struct cvm_run_decision);
    if (decision == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a decision");
    }
    *decision = (struct cvm_run_decision){
        .key = job->key,
        .customer_id = job->explanation->customer_id,
        .treatment = cvm_catalogue_treatment(job->engine->catalogue, found.treatment),
        .reason = (enum cvm_reason)found.reason,
        .value = found.value,
        .sd = found.sd,
        .price = found.price,
        .cost_micro = found.cost_micro,
        .incentive_micro = found.incentive_micro,
    };
    job->explanation->decision = decision->treatment == CVM_INDEX_NONE ? NULL : decision;
    return CVM_OK;
}

static enum cvm_status load_block(struct explain_job *job, struct cvm_error *err)
{
    struct cvm_value_block block;
    job->row = SIZE_MAX;
    enum cvm_status status =
        cvm_value_block_get(job->store, job->arena, job->run.run_id, job->key, &block, err);
    if (status == CVM_E_NOT_FOUND) {
        return CVM_OK;
    }
    if (status == CVM_OK) {
        status = cvm_values_open(block.body, block.length, &job->view, err);
    }
    if (status == CVM_OK && job->view.treatment_count == job->engine->catalogue->treatment_count) {
        job->row = cvm_values_find(&job->view, job->key);
    }
    return status;
}

/* Of a permitted treatment that was not chosen. */
static enum cvm_reason why_not(const struct explain_job *job,
                               const struct cvm_explained_treatment *treatment)
{
    if (treatment->value <= 0) {
        return CVM_REASON_NO_VALUE;
    }
    if (treatment->margin <= 0) {
        return CVM_REASON_BELOW_PRICE;
    }
    return job->explanation->decision != NULL ? CVM_REASON_LOST_TO_BETTER : CVM_REASON_NO_CAPACITY;
}

static enum cvm_status explain_treatment(struct explain_job *job, size_t t, struct cvm_error *err)
{
    struct cvm_explained_treatment *out = &job->explanation->treatments[t];
    out->treatment = (int)t;
    cvm_recommend_explain(job->recommender, job->chunk, 0, t, &out->parts);
    if (out->parts.failed_rule != NULL) { /* the recommender goes before the explanation does */
        out->parts.failed_rule = cvm_arena_string(job->arena, out->parts.failed_rule);
        if (out->parts.failed_rule == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an explanation");
        }
    }
    out->reason = out->parts.reason;
    out->value = out->parts.value;
    out->sd = out->parts.sd;
    double margin = out->parts.margin;
    if (job->row != SIZE_MAX) {
        out->reason = (enum cvm_reason)cvm_values_reason(&job->view, job->row, t);
        out->value = cvm_values_value(&job->view, job->row, t);
        margin = cvm_values_margin(&job->view, job->row);
    }
    out->is_eligible = out->reason == CVM_REASON_PERMITTED;
    if (!out->is_eligible) {
        out->value = out->price = out->margin = out->sd = NAN;
        return CVM_OK;
    }
    out->price = cvm_usage_price(job->engine->catalogue, job->summary.prices, t, margin);
    out->margin = out->value - out->price;
    const struct cvm_run_decision *decision = job->explanation->decision;
    out->reason =
        decision != NULL && decision->treatment == (int)t ? decision->reason : why_not(job, out);
    return CVM_OK;
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

/* The run's --allowed and --treatment still hold when its values are explained. */
static void read_options(const struct explain_job *job, struct cvm_recommend_options *options)
{
    const struct cvm_json_value *root = NULL;
    struct cvm_json_reader *reader = cvm_json_reader_create((size_t)1 << 20);
    if (reader == NULL || cvm_json_read(reader, job->arena, job->run.options,
                                        strlen(job->run.options), false, &root, NULL) != CVM_OK) {
        cvm_json_reader_destroy(reader);
        return;
    }
    const struct cvm_json_value *forced = cvm_json_member(root, "treatment");
    const struct cvm_json_value *allowed = cvm_json_member(root, "allowed");
    for (size_t t = 0; t < job->engine->catalogue->treatment_count; t++) {
        const char *id = job->engine->catalogue->treatments[t].id;
        bool is_allowed = allowed == NULL;
        for (const struct cvm_json_value *item = allowed == NULL ? NULL : allowed->first_child;
             item != NULL; item = item->next) {
            is_allowed |= cvm_slice_equals(item->string, id);
        }
        options->allowed &= is_allowed ? UINT64_MAX : ~(UINT64_C(1) << t);
        if (forced != NULL && cvm_slice_equals(forced->string, id)) {
            options->forced_treatment = (int)t;
        }
    }
    cvm_json_reader_destroy(reader);
}

static enum cvm_status explain_all(struct explain_job *job, struct cvm_error *err)
{
    struct cvm_explanation *explanation = job->explanation;
    size_t count = job->engine->catalogue->treatment_count;
    struct cvm_recommend_options options = {
        .as_of_day = job->run.as_of_day,
        .direction = CVM_DIRECTION_OUTBOUND,
        .channel = CVM_CHANNEL_UNSET,
        .allowed = UINT64_MAX,
        .forced_treatment = CVM_INDEX_NONE,
    };
    read_options(job, &options);
    enum cvm_status status =
        cvm_recommender_create(job->engine->catalogue, &options, &job->recommender, err);
    if (status == CVM_OK) {
        status = cvm_engine_customer(
            job->engine, job->key,
            (struct cvm_feature_window){job->run.as_of_day, job->summary.since_day}, &job->chunk,
            err);
    }
    if (status != CVM_OK) {
        return status;
    }
    explanation->treatments = CVM_NEW_ARRAY(job->arena, count, struct cvm_explained_treatment);
    if (explanation->treatments == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an explanation");
    }
    explanation->treatment_count = count;
    for (size_t t = 0; status == CVM_OK && t < count; t++) {
        status = explain_treatment(job, t, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    qsort(explanation->treatments, count, sizeof(*explanation->treatments), compare_treatments);
    explanation->reason = explanation->decision != NULL ? explanation->decision->reason
                          : count > 0                   ? explanation->treatments[0].reason
                                                        : CVM_REASON_NO_VALUE;
    explanation->data_changed = job->engine->last_batch != job->run.last_batch;
    return CVM_OK;
}

static enum cvm_status explain_steps(struct explain_job *job, const char *run_id,
                                     struct cvm_error *err)
{
    enum cvm_status status = cvm_run_get(job->store, job->arena, run_id, &job->run, err);
    if (status == CVM_OK && job->run.summary == NULL) {
        bool is_done = strcmp(job->run.state, "done") == 0;
        status = CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' %s", job->run.run_id,
                          is_done ? "holds decisions of single customers, which keep no values"
                                  : "is not finished");
    }
    if (status == CVM_OK) {
        status = cvm_customer_find(job->store, job->explanation->customer_id, &job->key, err);
    }
    if (status == CVM_OK) {
        job->explanation->run_id = job->run.run_id;
        job->explanation->as_of_day = job->run.as_of_day;
        status = cvm_run_summary_parse(job->run.summary, &job->summary, err);
    }
    if (status == CVM_OK) {
        status = load_decision(job, err);
    }
    if (status == CVM_OK) {
        status = load_block(job, err);
    }
    return status == CVM_OK ? explain_all(job, err) : status;
}

enum cvm_status cvm_explain(struct cvm_engine *engine, struct cvm_store *store, const char *run_id,
                            const char *customer_id, struct cvm_arena *arena,
                            struct cvm_explanation **out_explanation, struct cvm_error *err)
{
    struct explain_job job = {.engine = engine, .store = store, .arena = arena};
    job.explanation = CVM_NEW(arena, struct cvm_explanation);
    if (job.explanation == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an explanation");
    }
    job.summary.catalogue = engine->catalogue;
    job.summary.run_id = run_id;
    job.explanation->customer_id = customer_id;
    enum cvm_status status = explain_steps(&job, run_id, err);
    cvm_chunk_destroy(job.chunk);
    cvm_recommender_destroy(job.recommender);
    if (status == CVM_OK) {
        *out_explanation = job.explanation;
    }
    return status;
}
