#include <stdlib.h>
#include <string.h>

#include "engine/auto_hold.h"
#include "engine/run_internal.h"
#include "engine/run_results.h"

/* Decisions are stored in transactions of this many rows. */
#define DECISIONS_PER_COMMIT 65536

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

/* Decided, not released: that is a state of the plan (decision_now). */
struct cvm_decision cvm_run_stored_decision(const struct cvm_run_result *result,
                                            const struct cvm_run_decision *decision, bool is_ghost)
{
    const struct cvm_treatment *treatments = result->catalogue->treatments;
    return (struct cvm_decision){
        .run_id = result->run_id,
        .customer_key = decision->key,
        .customer_id = decision->customer_id,
        .treatment = treatments[decision->treatment].id,
        .language = decision->language[0] == '\0' ? NULL : decision->language,
        .channel = cvm_channel_words[decision->channel],
        .withheld = decision->withheld == CVM_INDEX_NONE ? NULL : treatments[decision->withheld].id,
        .value = decision->value,
        .sd = decision->sd,
        .price = decision->price,
        .cost_micro = decision->cost_micro,
        .incentive_micro = decision->incentive_micro,
        .reason = decision->reason,
        .churn = decision->churn,
        .arm = decision->arm,
        .selection_probability = decision->selection_probability,
        .ghost = is_ghost,
        .earliest_at_ms = decision->earliest_ms,
        .latest_at_ms = decision->latest_ms,
        .state = CVM_DECISION_DECIDED,
    };
}

/* Decisions and ghosts together, in the order of keys. */
struct merging {
    const struct cvm_run_result *result;
    size_t decision;
    size_t ghost;
};

static size_t fill_rows(struct merging *merging, struct cvm_decision *rows, size_t rows_max)
{
    const struct cvm_run_result *result = merging->result;
    size_t count = 0;
    for (; count < rows_max; count++) {
        const struct cvm_run_decision *decision = merging->decision < result->decision_count
                                                      ? &result->decisions[merging->decision]
                                                      : NULL;
        const struct cvm_run_decision *ghost =
            merging->ghost < result->ghost_count ? &result->ghosts[merging->ghost] : NULL;
        if (decision == NULL && ghost == NULL) {
            break;
        }
        bool is_ghost = decision == NULL || (ghost != NULL && ghost->key < decision->key);
        rows[count] = cvm_run_stored_decision(result, is_ghost ? ghost : decision, is_ghost);
        merging->ghost += is_ghost ? 1 : 0;
        merging->decision += is_ghost ? 0 : 1;
    }
    return count;
}

static enum cvm_status store_decisions(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(job->writer);
    struct merging merging = {.result = job->result};
    size_t all = job->result->decision_count + job->result->ghost_count;
    size_t rows_max = all < DECISIONS_PER_COMMIT ? all : DECISIONS_PER_COMMIT;
    struct cvm_decision *rows = calloc(rows_max + 1, sizeof(*rows));
    enum cvm_status status = CVM_OK;
    if (rows == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for decisions");
    }
    for (size_t stored = 0; status == CVM_OK && stored < all;) {
        size_t count = fill_rows(&merging, rows, rows_max);
        stored += count;
        status = cvm_db_begin(db, err);
        if (status == CVM_OK) {
            status = cvm_run_fence(job->writer, job->result->run_id, job->epoch, err);
        }
        if (status == CVM_OK) {
            status = cvm_decision_add(job->writer, rows, count, err);
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

/* ---- publication ---- */

/* What the rules of release say, before the summary is written. */
static enum cvm_status find_plan_state(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_result *result = job->result;
    result->plan_state = job->request->must_release ? "released" : "draft";
    enum cvm_status status = cvm_auto_hold(job->engine, job->writer, result, job->arena,
                                           &result->hold_reasons, &result->hold_reason_count, err);
    if (status == CVM_OK && result->hold_reason_count > 0) {
        result->plan_state = "held";
    }
    return status;
}

static enum cvm_status hold_plan(struct cvm_run_job *job, struct cvm_error *err)
{
    const struct cvm_run_result *result = job->result;
    struct cvm_json_writer json;
    struct cvm_text reasons;
    cvm_text_init(&reasons, 0);
    cvm_json_init(&json, &reasons, false);
    cvm_json_array(&json);
    for (size_t i = 0; i < result->hold_reason_count; i++) {
        cvm_json_string(&json, result->hold_reasons[i]);
    }
    cvm_json_array_end(&json);
    enum cvm_status status =
        reasons.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the reasons of a hold")
                       : cvm_plan_set_state(job->writer, result->run_id, "held", job->request->who,
                                            result->hold_reasons[0], err);
    if (status == CVM_OK) {
        status =
            cvm_plan_set_hold_reasons(job->writer, result->run_id, cvm_text_string(&reasons), err);
    }
    cvm_text_finish(&reasons);
    return status;
}

static enum cvm_status move_plan(struct cvm_run_job *job, struct cvm_error *err)
{
    static const char *const auto_states[] = {"approved", "released"};
    enum cvm_status status = CVM_OK;
    if (job->result->hold_reason_count > 0) {
        return hold_plan(job, err);
    }
    for (size_t i = 0; status == CVM_OK && job->request->must_release && i < 2; i++) {
        status = cvm_plan_set_state(job->writer, job->result->run_id, auto_states[i],
                                    job->request->who, "release: auto", err);
    }
    return status;
}

/* Confirm what the plan uses, release the rest of the hold, finish the run, move the plan on,
 * enrol customers in the control group: one transaction. */
static enum cvm_status publish(struct cvm_run_job *job, const char *summary, struct cvm_error *err)
{
    struct cvm_run_result *result = job->result;
    const struct cvm_run_rows *rows = &job->memory->rows;
    struct cvm_ledger_amount used[CVM_PROBLEM_ROWS_MAX];
    for (size_t r = 0; r < rows->ledger_count; r++) {
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
        cvm_ledger_confirm(job->writer, job->catalogue, job->request->as_of_day, &holder, used,
                           rows->ledger_count, err);
    if (status == CVM_OK) {
        status = cvm_run_finish(job->writer, &run, err);
    }
    if (status == CVM_OK) {
        status = move_plan(job, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_store_enrolment(job, err);
    }
    if (status == CVM_OK && job->memory->households != NULL && job->request->customers == NULL) {
        status = cvm_household_store(&job->memory->households[0], job->writer, err);
    }
    if (status == CVM_OK) {
        status = cvm_value_block_prune(job->writer, job->request->keep_runs, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_part_drop(job->writer, result->run_id, err);
    }
    if (status == CVM_OK && job->publishing != NULL && job->publishing->in_transaction != NULL) {
        status = job->publishing->in_transaction(job->publishing->state, job->writer, err);
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

/* Decisions and their digest; meanwhile the blocks that could not be stored during the scan. */
static enum cvm_status make_decisions(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_thread *blocks = NULL;
    struct cvm_error blocks_err = {0};
    enum cvm_status status = CVM_OK;
    if (job->has_unwritten_blocks) {
        status = cvm_thread_start(cvm_run_write_blocks, job, &blocks, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_make_decisions(job, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_digest(job->result, err);
    }
    enum cvm_status blocks_status = cvm_thread_join(blocks, &blocks_err);
    if (status == CVM_OK && blocks_status != CVM_OK) {
        status = blocks_status;
        if (err != NULL) {
            *err = blocks_err;
        }
    }
    return status;
}

enum cvm_status cvm_run_publish(struct cvm_run_job *job, struct cvm_error *err)
{
    double start = cvm_context_seconds(job->engine->context);
    enum cvm_status status = make_decisions(job, err);
    if (status == CVM_OK && !job->request->is_dry) {
        status = store_decisions(job, err);
    }
    job->result->seconds.plan = cvm_context_seconds(job->engine->context) - start;
    if (status == CVM_OK && !job->request->is_dry) {
        status = find_plan_state(job, err);
    }
    if (status == CVM_OK && !job->request->is_dry) {
        status = publish_transaction(job, err);
        job->result->seconds.plan = cvm_context_seconds(job->engine->context) - start;
    }
    return status;
}
