#include <math.h>
#include <string.h>

#include "base/json_reader.h"
#include "engine/run_internal.h"
#include "engine/run_results.h"

#define SUMMARY_BYTES_MAX ((size_t)1 << 20)

static void write_counts(const struct cvm_run_result *result, struct cvm_json_writer *json)
{
    cvm_json_key(json, "by_treatment");
    cvm_json_object(json);
    for (size_t t = 0; t < result->catalogue->treatment_count; t++) {
        if (result->by_treatment[t] > 0) {
            cvm_json_key_int(json, result->catalogue->treatments[t].id, result->by_treatment[t]);
        }
    }
    cvm_json_key_int(json, result->catalogue->ignore.id,
                     result->customers - (int64_t)result->decision_count);
    cvm_json_object_end(json);
    cvm_json_key(json, "refusals");
    cvm_json_object(json);
    for (int reason = 1; reason < CVM_REASON_COUNT; reason++) {
        if (result->refusals[reason] > 0) {
            cvm_json_key_int(json, cvm_reason_name((enum cvm_reason)reason),
                             result->refusals[reason]);
        }
    }
    cvm_json_object_end(json);
}

/* Who got nothing so that effects can be measured, and whether a person has to look at the plan. */
static void write_governance(const struct cvm_run_result *result, struct cvm_json_writer *json)
{
    cvm_json_key(json, "control");
    cvm_json_object(json);
    cvm_json_key_int(json, "members", result->control_members);
    cvm_json_key_int(json, "universal", result->universal_ghosts);
    cvm_json_key_int(json, "held_out", (int64_t)result->ghost_count - result->universal_ghosts);
    cvm_json_object_end(json);
    cvm_json_key_string(json, "plan_state", result->plan_state);
    cvm_json_key(json, "hold_reasons");
    cvm_json_array(json);
    for (size_t i = 0; i < result->hold_reason_count; i++) {
        cvm_json_string(json, result->hold_reasons[i]);
    }
    cvm_json_array_end(json);
}

/* Minimums that can not be reached: why, and what would have to give. */
static void write_conflicts(const struct cvm_run_result *result, struct cvm_json_writer *json)
{
    cvm_json_key(json, "infeasible");
    cvm_json_array(json);
    for (size_t i = 0; i < result->conflict_count; i++) {
        const struct cvm_run_conflict *conflict = &result->conflicts[i];
        cvm_json_object(json);
        cvm_json_key(json, "rows");
        cvm_json_array(json);
        for (size_t r = 0; r < conflict->row_count; r++) {
            cvm_json_string(json, conflict->rows[r]);
        }
        cvm_json_array_end(json);
        cvm_json_key_string(json, "message", conflict->message);
        cvm_json_key_string(json, "relaxation", conflict->relaxation);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

void cvm_run_summary_write(const struct cvm_run_result *result, struct cvm_json_writer *json)
{
    char day[CVM_DAY_TEXT_SIZE];
    cvm_json_object(json);
    cvm_json_key_int(json, "total_processed", result->customers + (int64_t)result->unknown_count);
    cvm_json_key_int(json, "successful", result->customers);
    cvm_json_key_int(json, "failed", (int64_t)result->unknown_count);
    cvm_json_key_int(json, "already_decided", result->customers - result->undecided_before);
    cvm_json_key_int(json, "treated", (int64_t)result->decision_count);
    cvm_json_key_double(json, "total_value", result->value);
    cvm_json_key_double(json, "dual_bound", result->dual_bound);
    cvm_json_key_double(json, "gap", result->gap);
    cvm_json_key_double(json, "regret", result->regret);
    cvm_json_key_double(json, "slack", result->slack);
    cvm_json_key_bool(json, "feasible", result->is_feasible);
    cvm_json_key(json, "spend");
    cvm_json_micro(json, result->spend_micro);
    write_counts(result, json);
    write_governance(result, json);
    cvm_run_limits_write(result, json);
    write_conflicts(result, json);
    cvm_json_key_string(json, "optimization_method", "lagrangian_dual");
    cvm_json_key(json, "llm");
    cvm_json_object(json);
    cvm_json_key_int(json, "calls", 0);
    cvm_json_key_int(json, "tokens", 0);
    cvm_json_key_int(json, "cost", 0);
    cvm_json_key_int(json, "saved", 0);
    cvm_json_object_end(json);
    cvm_json_key_string(json, "plan_digest", result->plan_digest);
    cvm_json_key_string(json, "as_of", cvm_day_format(result->as_of_day, day));
    cvm_json_key_string(json, "since",
                        result->since_day == CVM_DAY_NONE ? NULL
                                                          : cvm_day_format(result->since_day, day));
    cvm_json_key_string(json, "trigger", result->trigger);
    cvm_json_key_string(json, "run_id", result->run_id);
    cvm_json_key_int(json, "catalogue_version", result->catalogue->version);
    cvm_json_key(json, "seconds");
    cvm_json_object(json);
    cvm_json_key_double(json, "journeys", result->seconds.features);
    cvm_json_key_double(json, "values", result->seconds.values);
    cvm_json_key_double(json, "allocation", result->seconds.allocation);
    cvm_json_key_double(json, "plan", result->seconds.plan);
    cvm_json_key_double(json, "total", result->seconds.total);
    cvm_json_object_end(json);
    cvm_json_object_end(json);
}

/* ---- reading it back ---- */

static double number_of(const struct cvm_json_value *object, const char *key)
{
    const struct cvm_json_value *value = cvm_json_member(object, key);
    bool is_number =
        value != NULL && (value->type == CVM_JSON_INT || value->type == CVM_JSON_DOUBLE);
    return is_number ? value->number : NAN;
}

static int64_t integer_of(const struct cvm_json_value *object, const char *key)
{
    double number = number_of(object, key);
    return isnan(number) ? 0 : (int64_t)llrint(number);
}

static void parse_numbers(const struct cvm_json_value *summary, struct cvm_run_result *result)
{
    const struct cvm_json_value *seconds = cvm_json_member(summary, "seconds");
    result->customers = integer_of(summary, "successful");
    result->undecided_before = result->customers - integer_of(summary, "already_decided");
    result->value = number_of(summary, "total_value");
    result->dual_bound = number_of(summary, "dual_bound");
    result->gap = number_of(summary, "gap");
    result->regret = number_of(summary, "regret");
    result->slack = number_of(summary, "slack");
    const struct cvm_json_value *feasible = cvm_json_member(summary, "feasible");
    result->is_feasible = feasible == NULL || feasible->boolean; /* older runs had no minimums */
    result->spend_micro = cvm_micro_from_double(number_of(summary, "spend"));
    result->seconds.features = number_of(seconds, "journeys");
    result->seconds.values = number_of(seconds, "values");
    result->seconds.allocation = number_of(seconds, "allocation");
    result->seconds.plan = number_of(seconds, "plan");
    result->seconds.total = number_of(seconds, "total");
    const struct cvm_json_value *control = cvm_json_member(summary, "control");
    result->control_members = integer_of(control, "members");
    result->universal_ghosts = integer_of(control, "universal");
    const struct cvm_json_value *counts = cvm_json_member(summary, "by_treatment");
    for (size_t t = 0; t < result->catalogue->treatment_count; t++) {
        result->by_treatment[t] = integer_of(counts, result->catalogue->treatments[t].id);
    }
    const struct cvm_json_value *refusals = cvm_json_member(summary, "refusals");
    for (int reason = 1; reason < CVM_REASON_COUNT; reason++) {
        result->refusals[reason] = integer_of(refusals, cvm_reason_name((enum cvm_reason)reason));
    }
}

enum cvm_status cvm_run_summary_parse(const char *json, struct cvm_run_result *result,
                                      struct cvm_error *err)
{
    const struct cvm_json_value *summary = NULL;
    struct cvm_arena *arena = cvm_arena_create(4 * SUMMARY_BYTES_MAX);
    struct cvm_json_reader *reader = cvm_json_reader_create(SUMMARY_BYTES_MAX);
    enum cvm_status status = CVM_E_LIMIT;
    if (arena == NULL || reader == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for a summary");
        goto out;
    }
    status = cvm_json_read(reader, arena, json, strlen(json), false, &summary, err);
    if (status != CVM_OK) {
        status = cvm_error_context(err, status, "stored summary of run '%s'", result->run_id);
        goto out;
    }
    parse_numbers(summary, result);
    cvm_run_limits_parse(cvm_json_member(summary, "constraints_final_state"), result);
    const struct cvm_json_value *since = cvm_json_member(summary, "since");
    if (since == NULL || since->type != CVM_JSON_STRING ||
        !cvm_day_parse(since->string.data, since->string.length, &result->since_day, NULL, NULL)) {
        result->since_day = CVM_DAY_NONE;
    }
    const struct cvm_json_value *digest = cvm_json_member(summary, "plan_digest");
    if (digest != NULL && digest->string.length == CVM_DIGEST_TEXT_SIZE - 1) {
        memcpy(result->plan_digest, digest->string.data, CVM_DIGEST_TEXT_SIZE - 1);
    }

out:
    cvm_json_reader_destroy(reader);
    cvm_arena_destroy(arena);
    return status;
}
