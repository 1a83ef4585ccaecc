/* What the solve made of every constraint: the part of a run's certificate that speaks of rows. */
#include <math.h>
#include <stdlib.h>

#include "engine/run_internal.h"

void cvm_run_limits_take(const struct cvm_problem *problem, const int *constraints,
                         const struct cvm_plan *plan, struct cvm_run_result *result)
{
    for (size_t r = 0; r < problem->row_count; r++) {
        size_t c = (size_t)constraints[r];
        result->prices[c] = plan->prices[r];
        result->remaining[c] = problem->rows[r].limit - plan->used[r];
        result->solved[c] = (struct cvm_run_limit){
            .is_solved = true,
            .available = problem->rows[r].limit,
            .used = plan->used[r],
            .covered = plan->covered[r],
            .inside = plan->inside[r],
            .shortfall = plan->shortfall[r],
            .price_low = plan->price_low[r],
            .price_high = plan->price_high[r],
            .is_binding = plan->is_binding[r],
        };
    }
    result->value = plan->value;
    result->dual_bound = plan->dual_bound;
    result->gap = plan->gap;
    result->regret = plan->regret;
    result->slack = plan->slack;
    result->is_feasible = plan->is_feasible;
}

/* ---- as people count ---- */

/* A capacity is of one treatment. */
static const struct cvm_treatment *treatment_of(const struct cvm_catalogue *catalogue,
                                                const struct cvm_constraint *constraint)
{
    bool is_capacity = constraint->kind == CVM_CONSTRAINT_CAPACITY && constraint->treatments != 0;
    return is_capacity ? &catalogue->treatments[__builtin_ctzll(constraint->treatments)] : NULL;
}

static const char *key_of(const struct cvm_catalogue *catalogue,
                          const struct cvm_constraint *constraint)
{
    const struct cvm_treatment *treatment = treatment_of(catalogue, constraint);
    return treatment != NULL ? treatment->id : constraint->id;
}

/* Prices of a resource are per thousandth inside. */
static double price_scale(const struct cvm_constraint *constraint)
{
    return constraint->kind == CVM_CONSTRAINT_RESOURCE ? 1000 : 1;
}

/* Of the row's sum <= limit; what it is per unit that prices are per. */
static double in_units(const struct cvm_constraint *constraint, int64_t amount)
{
    return (double)amount / (double)cvm_constraint_scale(constraint);
}

static double share_of(const struct cvm_run_limit *limit)
{
    return limit->covered == 0 ? 0 : (double)limit->inside / (double)limit->covered;
}

/* ---- writing ---- */

static void write_amount(struct cvm_json_writer *json, const char *key,
                         const struct cvm_constraint *constraint, int64_t amount)
{
    cvm_json_key(json, key);
    cvm_constraint_write_amount(constraint, amount, json);
}

static void write_means(const struct cvm_run_result *result, size_t c, struct cvm_json_writer *json)
{
    const struct cvm_constraint *constraint = &result->catalogue->constraints[c];
    bool is_capacity = constraint->kind == CVM_CONSTRAINT_CAPACITY;
    const char *limit_key = is_capacity ? "max_per_day" : "limit";
    const char *remaining_key = is_capacity ? "remaining_availability" : "remaining";
    if (result->limits[c] >= 0) {
        write_amount(json, limit_key, constraint, result->limits[c]);
        write_amount(json, remaining_key, constraint, result->remaining[c]);
    } else {
        cvm_json_key(json, limit_key);
        cvm_json_null(json);
        cvm_json_key(json, remaining_key);
        cvm_json_null(json);
    }
    if (result->solved[c].is_solved) {
        write_amount(json, "available", constraint, result->solved[c].available);
        write_amount(json, "used", constraint, result->solved[c].used);
    }
}

/* A group's amounts are positive, whatever the form of its row. */
static void write_group(const struct cvm_run_result *result, size_t c, struct cvm_json_writer *json)
{
    const struct cvm_constraint *constraint = &result->catalogue->constraints[c];
    const struct cvm_run_limit *limit = &result->solved[c];
    write_amount(json, "limit", constraint, constraint->limit);
    if (!limit->is_solved) {
        return;
    }
    if (cvm_constraint_is_share(constraint)) {
        cvm_json_key_double(json, "used", share_of(limit));
    } else {
        cvm_json_key_int(json, "available", llabs(limit->available));
        cvm_json_key_int(json, "used", llabs(limit->used));
    }
    cvm_json_key_int(json, "covered", limit->covered);
    cvm_json_key_int(json, "inside", limit->inside);
}

static void write_price(const struct cvm_run_result *result, size_t c, struct cvm_json_writer *json)
{
    const struct cvm_constraint *constraint = &result->catalogue->constraints[c];
    const struct cvm_run_limit *limit = &result->solved[c];
    double scale = price_scale(constraint);
    double price = result->prices[c] * scale;
    cvm_json_key_double(json, "shadow_price", price);
    if (!limit->is_solved) {
        return;
    }
    cvm_json_key_double(json, "price_low", limit->price_low * scale);
    cvm_json_key_double(json, "price_high", limit->price_high * scale);
    cvm_json_key_bool(json, "binding", limit->is_binding);
    cvm_json_key_double(json, "shortfall", in_units(constraint, limit->shortfall));
    double left = in_units(constraint, limit->available - limit->used);
    cvm_json_key_double(json, "slack", price > 0 ? price * left : 0);
}

void cvm_run_limits_write(const struct cvm_run_result *result, struct cvm_json_writer *json)
{
    const struct cvm_catalogue *catalogue = result->catalogue;
    cvm_json_key(json, "constraints_final_state");
    cvm_json_object(json);
    for (size_t c = 0; c < catalogue->constraint_count + catalogue->group_count; c++) {
        const struct cvm_constraint *constraint = &catalogue->constraints[c];
        const struct cvm_treatment *treatment = treatment_of(catalogue, constraint);
        cvm_json_key(json, key_of(catalogue, constraint));
        cvm_json_object(json);
        cvm_json_key_string(json, "kind", cvm_constraint_kind_words[constraint->kind]);
        if (cvm_constraint_is_group(constraint)) {
            write_group(result, c, json);
        } else {
            write_means(result, c, json);
        }
        write_price(result, c, json);
        if (treatment != NULL) {
            cvm_json_key(json, "cost_per_contact");
            cvm_json_micro(json, treatment->cost_micro);
            cvm_json_key_int(json, "priority", treatment->priority);
        }
        cvm_json_object_end(json);
    }
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

static int64_t amount_of(const struct cvm_json_value *object, const char *key,
                         const struct cvm_constraint *constraint)
{
    double number = number_of(object, key);
    return isnan(number) ? -1 : llrint(number * (double)cvm_constraint_scale(constraint));
}

static int64_t count_of(const struct cvm_json_value *object, const char *key)
{
    double number = number_of(object, key);
    return isnan(number) ? 0 : llrint(number);
}

/* The sum of a share's row: problem.h. */
static int64_t share_sum(const struct cvm_constraint *constraint, const struct cvm_run_limit *limit)
{
    int64_t sum = limit->inside * CVM_SHARE_SCALE - limit->covered * constraint->limit;
    return constraint->kind == CVM_CONSTRAINT_SHARE_MIN ? -sum : sum;
}

static void parse_solved(const struct cvm_json_value *state,
                         const struct cvm_constraint *constraint, struct cvm_run_limit *limit)
{
    const struct cvm_json_value *binding = cvm_json_member(state, "binding");
    if (binding == NULL) {
        return; /* not in the solve, or a run from before there was more to tell */
    }
    double scale = price_scale(constraint);
    int64_t sign = constraint->kind == CVM_CONSTRAINT_SEGMENT_MIN ? -1 : 1;
    *limit = (struct cvm_run_limit){
        .is_solved = true,
        .covered = count_of(state, "covered"),
        .inside = count_of(state, "inside"),
        .price_low = number_of(state, "price_low") / scale,
        .price_high = number_of(state, "price_high") / scale,
        .is_binding = binding->boolean,
    };
    double shortfall = number_of(state, "shortfall");
    limit->shortfall = llrint(shortfall * (double)cvm_constraint_scale(constraint));
    if (cvm_constraint_is_share(constraint)) {
        limit->used = share_sum(constraint, limit);
    } else {
        limit->available = sign * amount_of(state, "available", constraint);
        limit->used = sign * amount_of(state, "used", constraint);
    }
}

void cvm_run_limits_parse(const struct cvm_json_value *states, struct cvm_run_result *result)
{
    const struct cvm_catalogue *catalogue = result->catalogue;
    for (size_t c = 0; c < catalogue->constraint_count + catalogue->group_count; c++) {
        const struct cvm_constraint *constraint = &catalogue->constraints[c];
        const struct cvm_json_value *state = cvm_json_member(states, key_of(catalogue, constraint));
        bool is_capacity = constraint->kind == CVM_CONSTRAINT_CAPACITY;
        result->limits[c] = amount_of(state, is_capacity ? "max_per_day" : "limit", constraint);
        result->remaining[c] =
            amount_of(state, is_capacity ? "remaining_availability" : "remaining", constraint);
        result->prices[c] = number_of(state, "shadow_price") / price_scale(constraint);
        parse_solved(state, constraint, &result->solved[c]);
    }
}
