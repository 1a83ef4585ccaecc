#include "engine/decide.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "engine/customer.h"
#include "engine/groups.h"
#include "engine/prices.h"
#include "engine/run_internal.h"
#include "engine/run_results.h"
#include "storage/control_store.h"

/* Decisions of one customer on one day, each after the one before came to nothing. */
#define DAILY_RUNS_MAX 1000

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

struct decide_job {
    struct cvm_engine *engine;
    struct cvm_store *writer;
    const struct cvm_decide_request *request;
    struct cvm_arena *arena;
    const struct cvm_catalogue *catalogue; /* with the responses in force */
    struct cvm_run_inputs inputs;
    struct cvm_run_windows windows;
    struct cvm_pending pending;
    struct cvm_control_groups control;
    struct cvm_column household; /* struct cvm_household_member */
    struct cvm_recommender *recommender;
    struct cvm_chunk *chunk;
    struct cvm_shard_values values;
    struct cvm_buffer buffer;
    struct cvm_run_result result;
    struct cvm_run_decision decision;
    struct cvm_run_record run;
    uint64_t key;
};

/* The contact may be made from now on; who decides for another day plans it as a run would. */
static void begin_windows(struct decide_job *job)
{
    int64_t now_ms = cvm_context_now_ms(job->engine->context);
    if (cvm_zone_day(job->windows.deployment, now_ms) == job->request->as_of_day) {
        job->windows.from_ms = now_ms;
    } else {
        cvm_run_windows_plan(&job->windows,
                             job->request->as_of_day + job->catalogue->policy.lead_days);
    }
}

/* What stands in the store besides the journey. */
static enum cvm_status load_standing(struct decide_job *job, struct cvm_error *err)
{
    struct cvm_control_options options = {.is_forced =
                                              job->request->forced_treatment != CVM_INDEX_NONE};
    int64_t enrolled_batch = 0;
    enum cvm_status status = cvm_run_load_inputs(job->writer, job->engine->catalogue, job->arena,
                                                 &job->inputs, &job->catalogue, err);
    if (status == CVM_OK) {
        job->result.catalogue = job->catalogue;
        status = cvm_run_windows_open(&job->windows, job->catalogue, job->request->zone, err);
    }
    if (status == CVM_OK) {
        begin_windows(job);
        status = cvm_pending_add_customer(&job->pending, job->writer, job->catalogue,
                                          job->request->as_of_day, job->key, err);
        cvm_pending_forget(&job->pending, job->key, job->request->as_of_day);
    }
    if (status == CVM_OK) {
        status =
            cvm_control_customers(job->engine->readers[0], job->catalogue->control.least_customers,
                                  &options.customers, err);
    }
    if (status == CVM_OK) {
        status = cvm_control_enrolled_batch(job->writer, &enrolled_batch, err);
    }
    options.is_enrolled = enrolled_batch > 0;
    return status == CVM_OK
               ? cvm_control_groups_init(&job->control, job->catalogue, &options, job->arena, err)
               : status;
}

static enum cvm_status compute_verdicts(struct decide_job *job, struct cvm_error *err)
{
    size_t treatment_count = job->catalogue->treatment_count;
    size_t numbers = treatment_count + 3;
    enum cvm_status status = cvm_buffer_reserve(
        &job->buffer,
        sizeof(struct cvm_contact_facts) + numbers * sizeof(float) + treatment_count + 1, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_verdicts verdicts = {.facts = job->buffer.data, .stride = 1};
    verdicts.values = (float *)(void *)(verdicts.facts + 1);
    verdicts.margins = verdicts.values + treatment_count;
    verdicts.churns = verdicts.margins + 1;
    verdicts.tirings = verdicts.churns + 1;
    verdicts.reasons = (unsigned char *)(verdicts.values + numbers);
    verdicts.segments = verdicts.reasons + treatment_count;
    cvm_recommend_chunk(job->recommender, job->chunk, &verdicts);
    job->values.has_groups = job->catalogue->group_count > 0;
    status = cvm_shard_values_add(&job->values, job->chunk, &verdicts, err);
    if (status == CVM_OK && job->values.has_groups) {
        cvm_groups_of(job->catalogue,
                      &(struct cvm_groups_strip){job->chunk, 0, 1, verdicts.segments,
                                                 job->request->as_of_day},
                      job->values.groups.data);
    }
    return status;
}

static void refuse(struct decide_job *job, uint64_t treatments, enum cvm_reason reason)
{
    float *values = job->values.values.data;
    unsigned char *reasons = job->values.reasons.data;
    for (uint64_t left = treatments; left != 0; left &= left - 1) {
        size_t at = cvm_values_at(job->values.treatment_count, 0, (size_t)__builtin_ctzll(left));
        if (reasons[at] == CVM_REASON_PERMITTED) {
            values[at] = CVM_VALUE_INELIGIBLE;
            reasons[at] = (unsigned char)reason;
        }
    }
}

/* What a control group withholds, and what the rest of the household has used up. A customer who is
 * on the line is no contact of the household. */
static enum cvm_status refuse_more(struct decide_job *job, struct cvm_feature_window window,
                                   struct cvm_error *err)
{
    bool is_member = false;
    enum cvm_status status = CVM_OK;
    if (job->control.universal_share > 0) {
        status = cvm_control_is_member(job->writer, job->key, &is_member, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    refuse(job, cvm_control_withheld(&job->control, is_member, job->key), CVM_REASON_HELD_OUT);
    if (!cvm_household_is_on(job->catalogue) || job->request->direction == CVM_DIRECTION_INBOUND) {
        return CVM_OK;
    }
    status = cvm_household_add(&job->household, job->catalogue, job->chunk, 0, 0, err);
    int forced = job->request->forced_treatment;
    if (status == CVM_OK &&
        cvm_household_has_candidates(&job->household, job->catalogue, forced, &job->values)) {
        status = cvm_household_add_others(&job->household, job->engine, window, &job->pending, err);
    }
    if (status == CVM_OK) {
        cvm_household_apply(&job->household, job->catalogue, forced, &job->values);
    }
    return status;
}

static enum cvm_status value_customer(struct decide_job *job, struct cvm_error *err)
{
    const struct cvm_stops *stops = &job->inputs.stops;
    struct cvm_feature_window window = {job->request->as_of_day, CVM_DAY_NONE, NULL};
    struct cvm_recommend_options options = {
        .as_of_day = job->request->as_of_day,
        .direction = job->request->direction,
        .channel = job->request->channel,
        .allowed = job->request->allowed,
        .stopped = stops->treatments,
        .stopped_channels = stops->channels,
        .responses = job->inputs.responses.of,
        .forced_treatment = job->request->forced_treatment,
    };
    job->engine->pending = &job->pending;
    enum cvm_status status = cvm_engine_customer(job->engine, job->key, window, &job->chunk, err);
    if (status == CVM_OK) {
        status = cvm_recommender_create(job->catalogue, &options, &job->recommender, err);
    }
    if (status == CVM_OK) {
        status = compute_verdicts(job, err);
    }
    if (status == CVM_OK) {
        status = refuse_more(job, window, err);
    }
    job->engine->pending = NULL;
    return status;
}

static struct cvm_usage_customer customer_of(const struct decide_job *job)
{
    return (struct cvm_usage_customer){
        .margin = (double)((const float *)job->values.margins.data)[0],
        .groups = job->values.has_groups ? ((const uint64_t *)job->values.groups.data)[0] : 0,
    };
}

struct choice {
    int treatment; /* CVM_INDEX_NONE = nothing */
    double value;
    double price;
};

/* The best value minus price among permitted treatments with room. A forced one is given also below
 * zero; where it can not be, nothing is: the others are told as alternatives. */
static enum cvm_status choose(struct decide_job *job, struct choice *out_choice,
                              struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->catalogue;
    const float *values = job->values.values.data;
    const unsigned char *reasons = job->values.reasons.data;
    const struct cvm_usage_customer user = customer_of(job);
    struct choice best = {.treatment = CVM_INDEX_NONE};
    double best_margin = 0;
    int forced = job->request->forced_treatment;
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        struct cvm_ledger_amount uses[CVM_CONSTRAINTS_MAX];
        size_t at = cvm_values_at(job->values.treatment_count, 0, t);
        bool is_free = false;
        if (reasons[at] != CVM_REASON_PERMITTED || (forced != CVM_INDEX_NONE && forced != (int)t)) {
            continue;
        }
        size_t count = cvm_usage_of(catalogue, t, user.margin, uses);
        double value = values[at];
        double price = cvm_usage_price(catalogue, job->result.prices, t, &user);
        if (forced == CVM_INDEX_NONE && value - price <= best_margin) {
            continue;
        }
        enum cvm_status status =
            has_room(job->engine, job->writer, job->request->as_of_day, uses, count, &is_free, err);
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

/* A minimum is of everybody: one customer is given nothing that is worth nothing for its sake. */
static void forget_minimums(struct decide_job *job)
{
    const struct cvm_catalogue *catalogue = job->catalogue;
    for (size_t g = 0; g < catalogue->group_count; g++) {
        size_t c = catalogue->constraint_count + g;
        enum cvm_constraint_kind kind = catalogue->constraints[c].kind;
        if (kind == CVM_CONSTRAINT_SEGMENT_MIN || kind == CVM_CONSTRAINT_SHARE_MIN) {
            job->result.prices[c] = NAN;
        }
    }
}

/* 0 where no run has chosen for everybody yet. */
static enum cvm_status load_prices(struct decide_job *job, struct cvm_error *err)
{
    const struct cvm_prices *prices = NULL;
    enum cvm_status status = cvm_prices_in_force(job->writer, job->catalogue,
                                                 job->request->as_of_day, job->arena, &prices, err);
    if (status == CVM_OK) {
        memcpy(job->result.prices, prices->result.prices, sizeof(job->result.prices));
        forget_minimums(job);
    }
    return status == CVM_E_NOT_FOUND ? CVM_OK : status;
}

static enum cvm_status take(struct decide_job *job, const struct choice *choice,
                            struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->catalogue;
    struct cvm_ledger_amount uses[CVM_CONSTRAINTS_MAX];
    char decision_id[CVM_DECISION_ID_SIZE];
    double margin = ((const float *)job->values.margins.data)[0];
    size_t count = cvm_usage_of(catalogue, (size_t)choice->treatment, margin, uses);
    bool is_outbound = job->request->direction == CVM_DIRECTION_OUTBOUND;
    struct cvm_ledger_holder holder = {
        .holder = cvm_decision_id(job->run.run_id, job->key, decision_id),
        .epoch = 1,
        .expires_at_ms = cvm_context_now_ms(job->engine->context) + 60000,
    };
    struct cvm_run_maker maker = {
        .catalogue = catalogue,
        .recommender = job->recommender,
        .control = &job->control,
        .prices = job->result.prices,
        .windows = is_outbound ? &job->windows : NULL,
        .forced_treatment = job->request->forced_treatment,
    };
    job->decision = cvm_run_make_decision(&maker, &job->values, 0, (size_t)choice->treatment);
    job->result.run_id = job->run.run_id;
    struct cvm_decision row = cvm_run_stored_decision(&job->result, &job->decision, false);
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
    }
}

static enum cvm_reason reason_of(const struct decide_job *job, int treatment)
{
    size_t at = cvm_values_at(job->values.treatment_count, 0, (size_t)treatment);
    return (enum cvm_reason)((const unsigned char *)job->values.reasons.data)[at];
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
        reason_of(job, treatment) == CVM_REASON_NOT_ALLOWED) {
        mark_decided(job);
        return CVM_OK;
    }
    status = cvm_run_loaded_decision(job->catalogue, &found, job->arena, &job->decision, err);
    if (status != CVM_OK) {
        return status;
    }
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
        status = choose(job, &choice, err);
    }
    if (status == CVM_OK && choice.treatment != CVM_INDEX_NONE) {
        status = take(job, &choice, err);
        is_found = status == CVM_OK;
    }
    job->result.decisions = &job->decision;
    job->result.decision_count = is_found ? 1 : 0;
    return status;
}

/* A decision of one customer lives in a run of its own kind: one a day and catalogue version, made
 * on the first decision, and numbered ones for customers whose decision in it came to nothing. */
static enum cvm_status daily_run(const struct decide_job *job, int number,
                                 struct cvm_run_record *out_run, struct cvm_error *err)
{
    struct cvm_engine *engine = job->engine;
    struct cvm_store *writer = job->writer;
    const struct cvm_decide_request *request = job->request;
    struct cvm_arena *arena = job->arena;
    char day[CVM_DAY_TEXT_SIZE];
    char run_id[80];
    char digest[80];
    char suffix[16] = "";
    int64_t epoch = 0;
    cvm_day_format(request->as_of_day, day);
    long long version = (long long)engine->catalogue->version;
    if (number > 1) {
        (void)snprintf(suffix, sizeof(suffix), "-%d", number);
    }
    (void)snprintf(run_id, sizeof(run_id), "%s-decide-v%lld%s", day, version, suffix);
    (void)snprintf(digest, sizeof(digest), "decide %s v%lld%s", day, version, suffix);
    struct cvm_run_record run = {
        .run_id = cvm_arena_string(arena, run_id),
        .request = cvm_arena_string(arena, digest),
        .as_of_day = request->as_of_day,
        .catalogue_version = engine->catalogue->version,
        .last_batch = engine->last_batch,
        .options = "{}",
        .created_by = request->who,
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

static bool came_to_nothing(enum cvm_decision_state state)
{
    return state == CVM_DECISION_NOT_SENT || state == CVM_DECISION_BOUNCED ||
           state == CVM_DECISION_EXPIRED || state == CVM_DECISION_WITHDRAWN;
}

/* A run has one decision of a customer: where that came to nothing, the next one takes the next. */
static enum cvm_status find_daily_run(struct decide_job *job, struct cvm_error *err)
{
    for (int number = 1; number <= DAILY_RUNS_MAX; number++) {
        struct cvm_decision found;
        enum cvm_status status = daily_run(job, number, &job->run, err);
        if (status == CVM_OK) {
            status =
                cvm_decision_get(job->writer, job->arena, job->run.run_id, job->key, &found, err);
        }
        if (status != CVM_OK || !came_to_nothing(found.state)) {
            return status == CVM_E_NOT_FOUND ? CVM_OK : status;
        }
    }
    return CVM_FAIL(err, CVM_E_LIMIT, "%d decisions for customer '%s' came to nothing on one day",
                    DAILY_RUNS_MAX, job->request->customer_id);
}

/* All that is known of the customer: values, reasons and prices. */
static enum cvm_status look_at(struct decide_job *job, struct cvm_error *err)
{
    enum cvm_status status =
        cvm_customer_find(job->engine->readers[0], job->request->customer_id, &job->key, err);
    if (status == CVM_OK) {
        status = load_standing(job, err);
    }
    if (status == CVM_OK) {
        status = value_customer(job, err);
    }
    return status == CVM_OK ? load_prices(job, err) : status;
}

static enum cvm_status take_best(struct decide_job *job, struct cvm_text *out_entry,
                                 struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(job->writer);
    struct cvm_json_writer json;
    enum cvm_status status = find_daily_run(job, err);
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

static enum cvm_status tell_values(struct decide_job *job, struct cvm_text *out_values,
                                   struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->catalogue;
    const struct cvm_usage_customer user = customer_of(job);
    struct cvm_json_writer json;
    cvm_json_init(&json, out_values, false);
    cvm_json_object(&json);
    cvm_json_key(&json, "treatments");
    cvm_json_array(&json);
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        size_t at = cvm_values_at(job->values.treatment_count, 0, t);
        enum cvm_reason reason = reason_of(job, (int)t);
        bool is_permitted = reason == CVM_REASON_PERMITTED;
        double value = ((const float *)job->values.values.data)[at];
        double price = cvm_usage_price(catalogue, job->result.prices, t, &user);
        cvm_json_object(&json);
        cvm_json_key_string(&json, "treatment", catalogue->treatments[t].id);
        cvm_json_key_double(&json, "value", is_permitted ? value : NAN);
        cvm_json_key_double(&json, "price", is_permitted ? price : NAN);
        cvm_json_key_string(&json, "reason", cvm_reason_name(reason));
        cvm_json_object_end(&json);
    }
    cvm_json_array_end(&json);
    cvm_json_object_end(&json);
    return out_values->failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for values") : CVM_OK;
}

static void open_job(struct decide_job *job)
{
    job->result.catalogue = job->engine->catalogue;
    job->result.as_of_day = job->request->as_of_day;
    job->result.since_day = CVM_DAY_NONE;
    job->result.forced_treatment = job->request->forced_treatment;
    job->result.created_at_ms = cvm_context_now_ms(job->engine->context);
    for (size_t c = 0; c < CVM_CONSTRAINTS_MAX; c++) {
        job->result.prices[c] = NAN;
    }
    cvm_shard_values_init(&job->values, job->engine->catalogue->treatment_count);
    cvm_pending_init(&job->pending);
    cvm_household_init(&job->household);
    cvm_column_init(&job->control.members, sizeof(uint64_t));
}

static void close_job(struct decide_job *job)
{
    cvm_shard_values_finish(&job->values);
    cvm_pending_finish(&job->pending);
    cvm_column_finish(&job->household);
    cvm_control_groups_finish(&job->control);
    cvm_run_windows_close(&job->windows);
    cvm_buffer_finish(&job->buffer);
    cvm_chunk_destroy(job->chunk);
    cvm_recommender_destroy(job->recommender);
}

enum cvm_status cvm_decide(struct cvm_engine *engine, struct cvm_store *writer,
                           const struct cvm_decide_request *request, struct cvm_arena *arena,
                           struct cvm_text *out_entry, struct cvm_error *err)
{
    struct decide_job job = {
        .engine = engine, .writer = writer, .request = request, .arena = arena};
    open_job(&job);
    enum cvm_status status = look_at(&job, err);
    if (status == CVM_OK) {
        status = take_best(&job, out_entry, err);
    }
    close_job(&job);
    return status;
}

enum cvm_status cvm_decide_values(struct cvm_engine *engine, struct cvm_store *store,
                                  const struct cvm_decide_request *request, struct cvm_arena *arena,
                                  struct cvm_text *out_values, struct cvm_error *err)
{
    struct decide_job job = {.engine = engine, .writer = store, .request = request, .arena = arena};
    open_job(&job);
    enum cvm_status status = look_at(&job, err);
    if (status == CVM_OK) {
        status = tell_values(&job, out_values, err);
    }
    close_job(&job);
    return status;
}
