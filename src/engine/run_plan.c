#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/run_internal.h"
#include "engine/run_results.h"

/* Decisions are stored in transactions of this many rows. */
#define DECISIONS_PER_COMMIT 65536

static enum cvm_reason reason_of(const struct cvm_run_request *request, double value)
{
    if (request->forced_treatment == CVM_INDEX_NONE) {
        return CVM_REASON_BEST_VALUE;
    }
    return value > 0 ? CVM_REASON_FORCED : CVM_REASON_FORCED_NEGATIVE;
}

static void decide_shard(struct cvm_run_job *job, const struct cvm_shard_values *shard,
                         size_t first)
{
    const struct cvm_run_memory *memory = job->memory;
    const struct cvm_catalogue *catalogue = job->engine->catalogue;
    struct cvm_run_result *result = job->result;
    for (size_t i = 0; i < shard->count; i++) {
        size_t t = memory->solved.treatments[first + i];
        if (t == CVM_NOTHING) {
            continue;
        }
        const struct cvm_treatment *treatment = &catalogue->treatments[t];
        double margin = ((const float *)shard->margins.data)[i];
        double churn = ((const float *)shard->churns.data)[i];
        size_t segment = ((const unsigned char *)shard->segments.data)[i];
        double value =
            ((const float *)shard->values.data)[cvm_values_at(shard->treatment_count, i, t)];
        result->decisions[result->decision_count++] = (struct cvm_run_decision){
            .key = ((const uint64_t *)shard->keys.data)[i],
            .customer_id = cvm_shard_values_id(shard, i),
            .treatment = (int)t,
            .reason = reason_of(job->request, value),
            .value = value,
            .sd = cvm_action_value_sd(memory->recommender,
                                      &(struct cvm_value_facts){segment, margin, churn, 1.0}, t),
            .price = cvm_usage_price(catalogue, result->prices, t, margin),
            .cost_micro = cvm_recommend_cost_micro(treatment, CVM_MEASURE_MARGINAL, margin),
            .incentive_micro = cvm_recommend_cost_micro(treatment, CVM_MEASURE_INCENTIVE, margin),
        };
        result->by_treatment[t]++;
        result->spend_micro = cvm_micro_add(
            result->spend_micro, result->decisions[result->decision_count - 1].cost_micro);
        result->spend_micro = cvm_micro_add(
            result->spend_micro, result->decisions[result->decision_count - 1].incentive_micro);
    }
}

static void count_refusals(struct cvm_run_result *result, const struct cvm_shard_values *shard)
{
    const unsigned char *reasons = shard->reasons.data;
    for (size_t i = 0; i < shard->count; i++) {
        bool was_decided = false;
        for (size_t t = 0; t < shard->treatment_count; t++) {
            unsigned char reason = reasons[cvm_values_at(shard->treatment_count, i, t)];
            if (reason < CVM_REASON_COUNT) {
                result->refusals[reason]++;
            }
            was_decided |= reason == CVM_REASON_ALREADY_DECIDED;
        }
        result->undecided_before += was_decided ? 0 : 1;
    }
}

static enum cvm_status make_decisions(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    job->result->decisions =
        calloc((size_t)memory->solved.treated + 1, sizeof(struct cvm_run_decision));
    if (job->result->decisions == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %" PRId64 " decisions",
                        memory->solved.treated);
    }
    size_t first = 0;
    for (size_t s = 0; s < memory->shard_count; s++) {
        decide_shard(job, &memory->values[s], first);
        count_refusals(job->result, &memory->values[s]);
        first += memory->values[s].count;
    }
    job->result->customers = (int64_t)memory->customer_count;
    job->result->refusals[CVM_REASON_PERMITTED] = 0;
    return CVM_OK;
}

static int compare_ids(const void *a, const void *b)
{
    const struct cvm_run_decision *const *left = a;
    const struct cvm_run_decision *const *right = b;
    return strcmp((*left)->customer_id, (*right)->customer_id);
}

enum cvm_status cvm_run_digest(struct cvm_run_result *result, struct cvm_error *err)
{
    struct cvm_digest digest;
    const struct cvm_run_decision **order = calloc(result->decision_count + 1, sizeof(*order));
    if (order == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the plan's digest");
    }
    for (size_t i = 0; i < result->decision_count; i++) {
        order[i] = &result->decisions[i];
    }
    qsort(order, result->decision_count, sizeof(*order), compare_ids);
    cvm_digest_init(&digest);
    for (size_t i = 0; i < result->decision_count; i++) {
        const char *treatment = result->catalogue->treatments[order[i]->treatment].id;
        cvm_digest_add(&digest, order[i]->customer_id, strlen(order[i]->customer_id));
        cvm_digest_add(&digest, "\t", 1);
        cvm_digest_add(&digest, treatment, strlen(treatment));
        cvm_digest_add(&digest, "\n", 1);
    }
    cvm_digest_finish(&digest, result->plan_digest);
    free(order);
    return CVM_OK;
}

static struct cvm_decision stored_form(const struct cvm_run_job *job,
                                       const struct cvm_run_decision *decision)
{
    return (struct cvm_decision){
        .run_id = job->result->run_id,
        .customer_key = decision->key,
        .customer_id = decision->customer_id,
        .treatment = job->engine->catalogue->treatments[decision->treatment].id,
        .value = decision->value,
        .sd = decision->sd,
        .price = decision->price,
        .cost_micro = decision->cost_micro,
        .incentive_micro = decision->incentive_micro,
        .reason = decision->reason,
        .arm = "treated",
        .selection_probability = 1,
        .state = job->request->must_release ? CVM_DECISION_RELEASED : CVM_DECISION_DECIDED,
    };
}

static enum cvm_status store_decisions(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(job->writer);
    size_t count = job->result->decision_count;
    size_t rows_max = count < DECISIONS_PER_COMMIT ? count : DECISIONS_PER_COMMIT;
    struct cvm_decision *rows = calloc(rows_max + 1, sizeof(*rows));
    enum cvm_status status = CVM_OK;
    if (rows == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for decisions");
    }
    for (size_t first = 0; status == CVM_OK && first < count; first += rows_max) {
        size_t part = count - first < rows_max ? count - first : rows_max;
        for (size_t i = 0; i < part; i++) {
            rows[i] = stored_form(job, &job->result->decisions[first + i]);
        }
        status = cvm_db_begin(db, err);
        if (status == CVM_OK) {
            status = cvm_decision_add(job->writer, rows, part, err);
        }
        if (status == CVM_OK) {
            status = cvm_db_commit(db, err);
        }
        if (status != CVM_OK) {
            cvm_db_rollback(db);
        }
    }
    free(rows);
    return status;
}

/* Confirm what the plan uses, release the rest of the hold, finish the run, move the plan on: one
 * transaction. */
static enum cvm_status publish(struct cvm_run_job *job, const char *summary, struct cvm_error *err)
{
    struct cvm_run_result *result = job->result;
    const struct cvm_run_rows *rows = &job->memory->rows;
    struct cvm_ledger_amount used[CVM_PROBLEM_ROWS_MAX];
    for (size_t r = 0; r < rows->count; r++) {
        used[r] = (struct cvm_ledger_amount){rows->constraint[r], job->memory->solved.used[r]};
    }
    struct cvm_ledger_holder holder = {.holder = result->run_id, .epoch = job->epoch};
    struct cvm_run_record run = {
        .run_id = result->run_id,
        .request = job->request_digest,
        .epoch = job->epoch,
        .finished_at_ms = cvm_context_now_ms(job->engine->context),
        .summary = summary,
        .plan_digest = result->plan_digest,
        .decisions = (int64_t)result->decision_count,
        .value = result->value,
        .dual_bound = result->dual_bound,
        .spend_micro = result->spend_micro,
    };
    enum cvm_status status =
        cvm_ledger_confirm(job->writer, job->engine->catalogue, job->request->as_of_day, &holder,
                           used, rows->count, err);
    if (status == CVM_OK) {
        status = cvm_run_finish(job->writer, &run, err);
    }
    static const char *const auto_states[] = {"approved", "released"};
    for (size_t i = 0; status == CVM_OK && job->request->must_release && i < 2; i++) {
        status = cvm_plan_set_state(job->writer, result->run_id, auto_states[i], job->request->who,
                                    "release: auto", err);
    }
    if (status == CVM_OK) {
        status = cvm_value_block_prune(job->writer, job->request->keep_runs, err);
    }
    return status;
}

static enum cvm_status publish_transaction(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(job->writer);
    struct cvm_text summary;
    struct cvm_json_writer json;
    cvm_text_init(&summary, 0);
    cvm_json_init(&json, &summary, false);
    cvm_run_summary_write(job->result, &json);
    enum cvm_status status = summary.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a summary")
                                            : cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = publish(job, cvm_text_string(&summary), err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(db);
    }
    cvm_text_finish(&summary);
    return status;
}

enum cvm_status cvm_run_publish(struct cvm_run_job *job, struct cvm_error *err)
{
    double start = cvm_context_seconds(job->engine->context);
    enum cvm_status status = make_decisions(job, err);
    if (status == CVM_OK) {
        status = cvm_run_digest(job->result, err);
    }
    if (status == CVM_OK && job->writer != NULL) {
        status = store_decisions(job, err);
    }
    job->result->seconds.plan = cvm_context_seconds(job->engine->context) - start;
    if (status == CVM_OK && job->writer != NULL) {
        status = publish_transaction(job, err);
        job->result->seconds.plan = cvm_context_seconds(job->engine->context) - start;
    }
    return status;
}
