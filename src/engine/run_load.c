/* The result of a run: made, loaded again from the store, destroyed. */
#include <stdlib.h>
#include <string.h>

#include "base/json_reader.h"
#include "engine/run_internal.h"

enum cvm_status cvm_run_new_result(const struct cvm_engine *engine,
                                   struct cvm_feature_window window,
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
    cvm_column_init(&memory->ghosts, sizeof(struct cvm_run_decision));
    cvm_column_init(&memory->enrolment.newcomers, sizeof(uint64_t));
    cvm_column_init(&memory->enrolment.joining, sizeof(struct cvm_run_joining));
    cvm_column_init(&memory->control.members, sizeof(uint64_t));
    cvm_household_init(&memory->taken_households);
    cvm_pending_init(&memory->pending);
    result->memory = memory;
    result->catalogue = engine->catalogue;
    result->as_of_day = window.as_of_day;
    result->since_day = window.since_day;
    result->forced_treatment = CVM_INDEX_NONE;
    result->created_at_ms = cvm_context_now_ms(engine->context);
    *out_result = result;
    return CVM_OK;
}

/* ---- loading ---- */

struct load_state {
    struct cvm_run_result *result;
    struct cvm_arena *arena;
    size_t capacity;
};

static enum cvm_channel channel_of(const char *name)
{
    int channel = CVM_CHANNEL_CALL;
    while (name != NULL && channel < CVM_CHANNEL_NONE &&
           strcmp(cvm_channel_words[channel], name) != 0) {
        channel++;
    }
    return name == NULL ? CVM_CHANNEL_NONE : (enum cvm_channel)channel;
}

enum cvm_status cvm_run_loaded_decision(const struct cvm_catalogue *catalogue,
                                        const struct cvm_decision *stored, struct cvm_arena *arena,
                                        struct cvm_run_decision *out_decision,
                                        struct cvm_error *err)
{
    struct cvm_run_decision decision = {
        .key = stored->customer_key,
        .customer_id = cvm_arena_string(arena, stored->customer_id),
        .treatment = cvm_catalogue_treatment(catalogue, stored->treatment),
        .reason = (enum cvm_reason)stored->reason,
        .value = stored->value,
        .sd = stored->sd,
        .price = stored->price,
        .cost_micro = stored->cost_micro,
        .incentive_micro = stored->incentive_micro,
        .churn = stored->churn,
        .channel = channel_of(stored->channel),
        .earliest_ms = stored->earliest_at_ms,
        .latest_ms = stored->latest_at_ms,
        .arm = cvm_arena_string(arena, stored->arm),
        .selection_probability = stored->selection_probability,
        .withheld = stored->withheld == NULL ? CVM_INDEX_NONE
                                             : cvm_catalogue_treatment(catalogue, stored->withheld),
    };
    if (decision.customer_id == NULL || decision.arm == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for decisions");
    }
    size_t length = stored->language == NULL ? 0 : strlen(stored->language);
    if (length < sizeof(decision.language)) {
        memcpy(decision.language, stored->language == NULL ? "" : stored->language, length);
    }
    *out_decision = decision;
    return CVM_OK;
}

static enum cvm_status load_decision(void *state, const struct cvm_decision *stored,
                                     struct cvm_error *err)
{
    struct load_state *load = state;
    struct cvm_run_result *result = load->result;
    void *slot = NULL;
    if (stored->ghost) {
        enum cvm_status status = cvm_column_extend(&result->memory->ghosts, 1, &slot, err);
        return status == CVM_OK
                   ? cvm_run_loaded_decision(result->catalogue, stored, load->arena, slot, err)
                   : status;
    }
    if (result->decision_count == load->capacity) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "run '%s' has more decisions than it says",
                        result->run_id);
    }
    return cvm_run_loaded_decision(result->catalogue, stored, load->arena,
                                   &result->decisions[result->decision_count++], err);
}

/* The catalogue with the responses that the run decided with. */
static enum cvm_status load_responses(const struct cvm_run_record *run, struct cvm_arena *arena,
                                      struct cvm_run_result *result, struct cvm_error *err)
{
    struct cvm_responses responses;
    enum cvm_status status =
        cvm_responses_parse(run->responses, result->catalogue, arena, &responses, err);
    return status == CVM_OK
               ? cvm_responses_apply(&responses, result->catalogue, arena, &result->catalogue, err)
               : status;
}

#define REASONS_BYTES_MAX ((size_t)1 << 20)

static enum cvm_status load_hold_reasons(const struct cvm_run_record *run, struct cvm_arena *arena,
                                         struct cvm_run_result *result, struct cvm_error *err)
{
    const struct cvm_json_value *root = NULL;
    if (run->hold_reasons == NULL) {
        return CVM_OK;
    }
    struct cvm_json_reader *reader = cvm_json_reader_create(REASONS_BYTES_MAX);
    if (reader == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the reasons of a hold");
    }
    enum cvm_status status = cvm_json_read(reader, arena, run->hold_reasons,
                                           strlen(run->hold_reasons), false, &root, err);
    cvm_json_reader_destroy(reader);
    if (status != CVM_OK) {
        return status;
    }
    const char **reasons = CVM_NEW_ARRAY(arena, root->child_count + 1, const char *);
    size_t count = 0;
    for (const struct cvm_json_value *item = root->first_child; reasons != NULL && item != NULL;
         item = item->next) {
        reasons[count] = cvm_arena_copy(arena, item->string.data, item->string.length);
        count += reasons[count] != NULL;
    }
    result->hold_reasons = reasons;
    result->hold_reason_count = count;
    return reasons != NULL ? CVM_OK
                           : CVM_FAIL(err, CVM_E_LIMIT, "no memory for the reasons of a hold");
}

static enum cvm_status load_steps(struct cvm_store *store, const struct cvm_run_record *run,
                                  struct load_state *load, struct cvm_error *err)
{
    struct cvm_run_result *result = load->result;
    result->run_id = run->run_id;
    result->created_at_ms = run->created_at_ms;
    result->plan_state = run->plan_state;
    result->decisions = calloc(load->capacity + 1, sizeof(*result->decisions));
    if (result->decisions == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for decisions");
    }
    enum cvm_status status = load_responses(run, load->arena, result, err);
    if (status == CVM_OK) {
        status = load_hold_reasons(run, load->arena, result, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_summary_parse(run->summary, result, err);
    }
    if (status == CVM_OK && !result->is_feasible) {
        status = cvm_run_conflicts_load(run->summary, load->arena, result, err);
    }
    if (status == CVM_OK) {
        status = cvm_decision_scan(store, run->run_id, load_decision, load, err);
    }
    result->ghosts = CVM_COLUMN_DATA(&result->memory->ghosts, struct cvm_run_decision);
    result->ghost_count = result->memory->ghosts.count;
    return status;
}

enum cvm_status cvm_run_load(struct cvm_engine *engine, struct cvm_store *store, const char *run_id,
                             struct cvm_arena *arena, struct cvm_run_result **out_result,
                             struct cvm_error *err)
{
    struct cvm_run_record run;
    struct load_state load = {.arena = arena};
    enum cvm_status status = cvm_run_get(store, arena, run_id, &run, err);
    if (status == CVM_OK && run.summary == NULL) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' is not finished", run.run_id);
    }
    if (status == CVM_OK) {
        struct cvm_feature_window window = {run.as_of_day, CVM_DAY_NONE, NULL};
        status = cvm_run_new_result(engine, window, &load.result, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    load.capacity = (size_t)run.decisions;
    status = load_steps(store, &run, &load, err);
    if (status != CVM_OK) {
        cvm_run_result_destroy(load.result);
        return status;
    }
    *out_result = load.result;
    return CVM_OK;
}

/* ---- the end ---- */

static void destroy_memory(struct cvm_run_memory *memory)
{
    for (size_t i = 0; memory->values != NULL && i < memory->shard_count; i++) {
        cvm_shard_values_finish(&memory->values[i]);
    }
    for (size_t i = 0; i < memory->household_columns; i++) {
        cvm_column_finish(&memory->households[i]);
    }
    free(memory->households);
    cvm_column_finish(&memory->taken_households);
    cvm_buffer_finish(&memory->members_of);
    cvm_buffer_finish(&memory->allowances);
    free(memory->values);
    cvm_buffer_finish(&memory->matrix);
    cvm_buffer_finish(&memory->keys);
    cvm_buffer_finish(&memory->amounts);
    cvm_buffer_finish(&memory->classes);
    cvm_group_classes_finish(&memory->group_classes);
    cvm_buffer_finish(&memory->plan);
    cvm_buffer_finish(&memory->withheld);
    cvm_column_finish(&memory->live_keys);
    cvm_column_finish(&memory->ghosts);
    cvm_column_finish(&memory->enrolment.newcomers);
    cvm_column_finish(&memory->enrolment.joining);
    cvm_control_groups_finish(&memory->control);
    cvm_pending_finish(&memory->pending);
    cvm_run_windows_close(&memory->windows);
    cvm_recommender_destroy(memory->recommender);
    free(memory);
}

void cvm_run_result_destroy(struct cvm_run_result *result)
{
    if (result == NULL) {
        return;
    }
    if (result->memory != NULL) {
        destroy_memory(result->memory);
    }
    free(result->decisions);
    free(result);
}
