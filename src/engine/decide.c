#include "engine/decide.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "engine/customer.h"
#include "engine/run_internal.h"
#include "engine/run_results.h"

/* A decision of one customer lives in a run of its own kind: one a day and catalogue version, made
 * on the first decision. */
static enum cvm_status daily_run(struct cvm_engine *engine, struct cvm_store *writer,
                                 const struct cvm_decide_request *request, struct cvm_arena *arena,
                                 struct cvm_run_record *out_run, struct cvm_error *err)
{
    char day[CVM_DAY_TEXT_SIZE];
    char run_id[CVM_RUN_ID_SIZE];
    char digest[64];
    int64_t epoch = 0;
    cvm_day_format(request->as_of_day, day);
    long long version = (long long)engine->catalogue->version;
    (void)snprintf(run_id, sizeof(run_id), "%s-decide-v%lld", day, version);
    (void)snprintf(digest, sizeof(digest), "decide %s v%lld", day, version);
    struct cvm_run_record run = {
        .run_id = cvm_arena_string(arena, run_id),
        .request = cvm_arena_string(arena, digest),
        .as_of_day = request->as_of_day,
        .catalogue_version = engine->catalogue->version,
        .last_batch = engine->last_batch,
        .options = "{}",
        .created_at_ms = cvm_context_now_ms(engine->context),
        .finished_at_ms = cvm_context_now_ms(engine->context),
        .plan_digest = "",
    };
    if (run.run_id == NULL || run.request == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a decision");
    }
    enum cvm_status status = cvm_run_find(writer, arena, digest, out_run, err);
    if (status == CVM_OK && strcmp(out_run->state, "done") == 0) {
        return CVM_OK;
    }
    status = cvm_run_start(writer, &run, &epoch, err);
    if (status == CVM_OK) {
        status = cvm_db_begin(cvm_store_db(writer), err);
    }
    static const char *const states[] = {"approved", "released"};
    run.epoch = epoch;
    if (status == CVM_OK) {
        status = cvm_run_finish(writer, &run, err);
        for (size_t i = 0; status == CVM_OK && i < 2; i++) {
            status = cvm_plan_set_state(writer, run.run_id, states[i], request->who,
                                        "decisions of single customers", err);
        }
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(cvm_store_db(writer), err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(cvm_store_db(writer));
        return status;
    }
    *out_run = run;
    return CVM_OK;
}

static enum cvm_status has_room(struct cvm_engine *engine, struct cvm_store *writer, int32_t day,
                                const struct cvm_ledger_amount *uses, size_t count,
                                bool *out_has_room, struct cvm_error *err)
{
    bool has = true;
    for (size_t i = 0; has && i < count; i++) {
        struct cvm_ledger_row row;
        enum cvm_status status = cvm_ledger_row(
            writer, &engine->catalogue->constraints[uses[i].constraint], day, NULL, &row, err);
        if (status != CVM_OK) {
            return status;
        }
        has = row.granted - row.held - row.confirmed >= uses[i].amount;
    }
    *out_has_room = has;
    return CVM_OK;
}

struct choice {
    int treatment; /* CVM_INDEX_NONE = nothing */
    double value;
    double price;
};

/* The best value minus price among permitted treatments with room. A forced one is given also below
 * zero; where it can not be, nothing is: the others are told as alternatives. */
static enum cvm_status choose(struct cvm_engine *engine, struct cvm_store *writer,
                              const struct cvm_decide_request *request,
                              const struct cvm_verdicts *verdicts, const double *prices,
                              struct choice *out_choice, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = engine->catalogue;
    struct choice best = {.treatment = CVM_INDEX_NONE};
    double best_margin = 0;
    int forced = request->forced_treatment;
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        struct cvm_ledger_amount uses[CVM_CONSTRAINTS_MAX];
        bool is_free = false;
        if (verdicts->reasons[t] != CVM_REASON_PERMITTED ||
            (forced != CVM_INDEX_NONE && forced != (int)t)) {
            continue;
        }
        size_t count = cvm_usage_of(catalogue, t, verdicts->margins[0], uses);
        double value = verdicts->values[t];
        double price = cvm_usage_price(catalogue, prices, t, verdicts->margins[0]);
        if (forced == CVM_INDEX_NONE && value - price <= best_margin) {
            continue;
        }
        enum cvm_status status =
            has_room(engine, writer, request->as_of_day, uses, count, &is_free, err);
        if (status != CVM_OK) {
            return status;
        }
        if (is_free) {
            best = (struct choice){(int)t, value, price};
            best_margin = value - price;
        }
    }
    *out_choice = best;
    return CVM_OK;
}

struct decide_job {
    struct cvm_engine *engine;
    struct cvm_store *writer;
    const struct cvm_decide_request *request;
    struct cvm_arena *arena;
    struct cvm_recommender *recommender;
    struct cvm_chunk *chunk;
    struct cvm_shard_values values;
    struct cvm_verdicts verdicts;
    struct cvm_buffer buffer;
    struct cvm_run_result result;
    struct cvm_run_decision decision;
    struct cvm_run_record run;
    uint64_t key;
};

static enum cvm_status value_customer(struct decide_job *job, struct cvm_error *err)
{
    size_t treatment_count = job->engine->catalogue->treatment_count;
    struct cvm_recommend_options options = {
        .as_of_day = job->request->as_of_day,
        .direction = job->request->direction,
        .channel = job->request->channel,
        .allowed = job->request->allowed,
        .forced_treatment = job->request->forced_treatment,
    };
    enum cvm_status status = cvm_engine_customer(
        job->engine, job->key, (struct cvm_feature_window){job->request->as_of_day, CVM_DAY_NONE},
        &job->chunk, err);
    if (status == CVM_OK) {
        status = cvm_recommender_create(job->engine->catalogue, &options, &job->recommender, err);
    }
    if (status == CVM_OK) {
        status = cvm_buffer_reserve(
            &job->buffer, (treatment_count + 2) * sizeof(float) + treatment_count + 1, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    float *numbers = job->buffer.data;
    job->verdicts = (struct cvm_verdicts){
        .values = numbers,
        .margins = numbers + treatment_count,
        .churns = numbers + treatment_count + 1,
        .reasons = (unsigned char *)(numbers + treatment_count + 2),
        .segments = (unsigned char *)(numbers + treatment_count + 2) + treatment_count,
        .stride = 1,
    };
    cvm_recommend_chunk(job->recommender, job->chunk, &job->verdicts);
    return cvm_shard_values_add(&job->values, job->chunk, &job->verdicts, err);
}

/* Prices of the last whole-base run; 0 where there was none. */
static enum cvm_status load_prices(struct decide_job *job, struct cvm_error *err)
{
    struct cvm_run_record last;
    enum cvm_status status = cvm_run_get(job->writer, job->arena, "latest", &last, err);
    if (status == CVM_E_NOT_FOUND) {
        return CVM_OK;
    }
    if (status == CVM_OK && last.summary != NULL) {
        job->result.run_id = last.run_id;
        status = cvm_run_summary_parse(last.summary, &job->result, err);
    }
    return status;
}

static enum cvm_status take(struct decide_job *job, const struct choice *choice,
                            struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->engine->catalogue;
    const struct cvm_treatment *treatment = &catalogue->treatments[choice->treatment];
    struct cvm_ledger_amount uses[CVM_CONSTRAINTS_MAX];
    char decision_id[CVM_DECISION_ID_SIZE];
    double margin = job->verdicts.margins[0];
    size_t count = cvm_usage_of(catalogue, (size_t)choice->treatment, margin, uses);
    struct cvm_ledger_holder holder = {
        .holder = cvm_decision_id(job->run.run_id, job->key, decision_id),
        .epoch = 1,
        .expires_at_ms = cvm_context_now_ms(job->engine->context) + 60000,
    };
    job->decision = (struct cvm_run_decision){
        .key = job->key,
        .customer_id = job->request->customer_id,
        .treatment = choice->treatment,
        .reason = job->request->forced_treatment == CVM_INDEX_NONE ? CVM_REASON_BEST_VALUE
                  : choice->value > 0                              ? CVM_REASON_FORCED
                                                                   : CVM_REASON_FORCED_NEGATIVE,
        .value = choice->value,
        .sd = cvm_action_value_sd(job->recommender,
                                  &(struct cvm_value_facts){job->verdicts.segments[0], margin,
                                                            job->verdicts.churns[0], 1.0},
                                  (size_t)choice->treatment),
        .price = choice->price,
        .cost_micro = cvm_recommend_cost_micro(treatment, CVM_MEASURE_MARGINAL, margin),
        .incentive_micro = cvm_recommend_cost_micro(treatment, CVM_MEASURE_INCENTIVE, margin),
    };
    struct cvm_decision row = {
        .run_id = job->run.run_id,
        .customer_key = job->key,
        .customer_id = job->request->customer_id,
        .treatment = treatment->id,
        .value = job->decision.value,
        .sd = job->decision.sd,
        .price = job->decision.price,
        .cost_micro = job->decision.cost_micro,
        .incentive_micro = job->decision.incentive_micro,
        .reason = job->decision.reason,
        .arm = "treated",
        .selection_probability = 1,
        .state = CVM_DECISION_RELEASED,
    };
    enum cvm_status status =
        cvm_ledger_hold(job->writer, catalogue, job->request->as_of_day, &holder, uses, count, err);
    if (status == CVM_OK) {
        status = cvm_ledger_confirm(job->writer, catalogue, job->request->as_of_day, &holder, uses,
                                    count, err);
    }
    if (status == CVM_OK) {
        status = cvm_decision_add(job->writer, &row, 1, err);
    }
    return status;
}

/* Nothing more is given: also the entry says so. */
static void mark_decided(struct decide_job *job)
{
    unsigned char *reasons = job->values.reasons.data;
    size_t count = job->engine->catalogue->treatment_count;
    for (size_t t = 0; t < count; t++) {
        reasons[cvm_values_at(count, 0, t)] = CVM_REASON_ALREADY_DECIDED;
        job->verdicts.reasons[t] = CVM_REASON_ALREADY_DECIDED;
    }
}

/* The day's decision of this customer, from whichever run. One that the request does not allow (it
 * asks for another treatment or channel) is not repeated, and leaves no room for a second. */
static enum cvm_status earlier_decision(struct decide_job *job, bool *out_is_found,
                                        struct cvm_error *err)
{
    int forced = job->request->forced_treatment;
    struct cvm_decision found;
    *out_is_found = false;
    enum cvm_status status = cvm_decision_of_day(job->writer, job->arena, job->request->as_of_day,
                                                 job->key, &found, err);
    if (status != CVM_OK) {
        return status == CVM_E_NOT_FOUND ? CVM_OK : status;
    }
    int treatment = cvm_catalogue_treatment(job->engine->catalogue, found.treatment);
    if (treatment == CVM_INDEX_NONE || (forced != CVM_INDEX_NONE && forced != treatment) ||
        job->verdicts.reasons[treatment] == CVM_REASON_NOT_ALLOWED) {
        mark_decided(job);
        return CVM_OK;
    }
    job->decision = (struct cvm_run_decision){
        .key = job->key,
        .customer_id = job->request->customer_id,
        .treatment = treatment,
        .reason = (enum cvm_reason)found.reason,
        .value = found.value,
        .sd = found.sd,
        .price = found.price,
    };
    job->run.run_id = found.run_id; /* what its id begins with */
    *out_is_found = true;
    return CVM_OK;
}

static enum cvm_status decide_in_transaction(struct decide_job *job, struct cvm_error *err)
{
    struct choice choice = {.treatment = CVM_INDEX_NONE};
    bool is_found = false;
    enum cvm_status status = earlier_decision(job, &is_found, err);
    if (status == CVM_OK && !is_found) {
        status = choose(job->engine, job->writer, job->request, &job->verdicts, job->result.prices,
                        &choice, err);
    }
    if (status == CVM_OK && choice.treatment != CVM_INDEX_NONE) {
        status = take(job, &choice, err);
        is_found = status == CVM_OK;
    }
    job->result.decisions = &job->decision;
    job->result.decision_count = is_found ? 1 : 0;
    return status;
}

static enum cvm_status decide_steps(struct decide_job *job, struct cvm_text *out_entry,
                                    struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(job->writer);
    struct cvm_json_writer json;
    enum cvm_status status =
        cvm_customer_find(job->engine->readers[0], job->request->customer_id, &job->key, err);
    if (status == CVM_OK) {
        status = value_customer(job, err);
    }
    if (status == CVM_OK) {
        status = load_prices(job, err);
    }
    if (status == CVM_OK) {
        status = daily_run(job->engine, job->writer, job->request, job->arena, &job->run, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_begin(db, err);
    }
    if (status == CVM_OK) {
        status = decide_in_transaction(job, err);
        if (status == CVM_OK) {
            status = cvm_db_commit(db, err);
        }
        if (status != CVM_OK) {
            cvm_db_rollback(db);
        }
    }
    if (status != CVM_OK) {
        return status;
    }
    job->result.run_id = job->run.run_id;
    cvm_json_init(&json, out_entry, false);
    struct cvm_values_view view = cvm_values_view_of(&job->values);
    return cvm_run_entry_write(&job->result, &view, job->chunk, 0, &json, err);
}

enum cvm_status cvm_decide(struct cvm_engine *engine, struct cvm_store *writer,
                           const struct cvm_decide_request *request, struct cvm_arena *arena,
                           struct cvm_text *out_entry, struct cvm_error *err)
{
    struct decide_job job = {
        .engine = engine, .writer = writer, .request = request, .arena = arena};
    job.result.catalogue = engine->catalogue;
    job.result.as_of_day = request->as_of_day;
    job.result.since_day = CVM_DAY_NONE;
    job.result.forced_treatment = request->forced_treatment;
    job.result.created_at_ms = cvm_context_now_ms(engine->context);
    for (size_t c = 0; c < CVM_CONSTRAINTS_MAX; c++) {
        job.result.prices[c] = NAN;
    }
    cvm_shard_values_init(&job.values, engine->catalogue->treatment_count);
    enum cvm_status status = decide_steps(&job, out_entry, err);
    cvm_shard_values_finish(&job.values);
    cvm_buffer_finish(&job.buffer);
    cvm_chunk_destroy(job.chunk);
    cvm_recommender_destroy(job.recommender);
    return status;
}
