#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/run_internal.h"

/* ---- one decision ---- */

static enum cvm_reason reason_of(int forced_treatment, double value)
{
    if (forced_treatment == CVM_INDEX_NONE) {
        return CVM_REASON_BEST_VALUE;
    }
    return value > 0 ? CVM_REASON_FORCED : CVM_REASON_FORCED_NEGATIVE;
}

static struct cvm_usage_customer customer_of(const struct cvm_shard_values *shard, size_t customer)
{
    return (struct cvm_usage_customer){
        .margin = (double)((const float *)shard->margins.data)[customer],
        .groups = shard->has_groups ? ((const uint64_t *)shard->groups.data)[customer] : 0,
    };
}

struct cvm_run_decision cvm_run_make_decision(const struct cvm_run_maker *maker,
                                              const struct cvm_shard_values *shard, size_t customer,
                                              size_t treatment)
{
    const struct cvm_catalogue *catalogue = maker->catalogue;
    const struct cvm_treatment *given = &catalogue->treatments[treatment];
    const struct cvm_contact_facts *facts =
        (const struct cvm_contact_facts *)shard->facts.data + customer;
    struct cvm_usage_customer user = customer_of(shard, customer);
    double margin = user.margin;
    struct cvm_value_facts values = {
        .segment = ((const unsigned char *)shard->segments.data)[customer],
        .margin = margin,
        .churn = ((const float *)shard->churns.data)[customer],
        .tiring = ((const float *)shard->tirings.data)[customer],
    };
    size_t at = cvm_values_at(shard->treatment_count, customer, treatment);
    double value = ((const float *)shard->values.data)[at];
    struct cvm_run_decision decision = {
        .key = ((const uint64_t *)shard->keys.data)[customer],
        .customer_id = cvm_shard_values_id(shard, customer),
        .treatment = (int)treatment,
        .reason = reason_of(maker->forced_treatment, value),
        .value = value,
        .sd = cvm_action_value_sd(maker->recommender, &values, treatment),
        .price = cvm_usage_price(catalogue, maker->prices, treatment, &user),
        .cost_micro = cvm_recommend_cost_micro(given, CVM_MEASURE_MARGINAL, margin),
        .incentive_micro = cvm_recommend_cost_micro(given, CVM_MEASURE_INCENTIVE, margin),
        .churn = values.churn,
        .channel = cvm_recommend_channel(maker->recommender, treatment, facts),
        .arm = CVM_ARM_TREATED,
        .selection_probability = cvm_control_probability(maker->control, treatment, false, false),
        .withheld = CVM_INDEX_NONE,
    };
    memcpy(decision.language, facts->language, sizeof(decision.language));
    if (maker->windows != NULL) {
        struct cvm_contact_window window = cvm_run_window(maker->windows, decision.channel, facts);
        decision.earliest_ms = window.earliest_ms;
        decision.latest_ms = window.latest_ms;
    }
    return decision;
}

/* The decision that was not made: it is no contact, uses nothing and costs nothing. */
static struct cvm_run_decision make_ghost(const struct cvm_run_maker *maker,
                                          const struct cvm_shard_values *shard, size_t customer,
                                          size_t treatment)
{
    struct cvm_run_decision ghost = cvm_run_make_decision(maker, shard, customer, treatment);
    bool is_member = cvm_run_is_member(maker->control, ghost.key);
    ghost.reason = CVM_REASON_HELD_OUT;
    ghost.cost_micro = 0;
    ghost.incentive_micro = 0;
    ghost.earliest_ms = 0;
    ghost.latest_ms = 0;
    ghost.arm = cvm_control_arm(maker->control, is_member, treatment);
    ghost.selection_probability =
        cvm_control_probability(maker->control, treatment, true, is_member);
    ghost.withheld = (int)treatment;
    return ghost;
}

/* ---- what would have been given ---- */

struct deciding {
    struct cvm_run_job *job;
    struct cvm_run_maker maker;
    double least_forced; /* the least value that still got the forced treatment */
};

static bool is_permitted(const struct cvm_shard_values *shard, size_t at)
{
    return ((const unsigned char *)shard->reasons.data)[at] == CVM_REASON_PERMITTED;
}

/* A forced treatment goes to the customers with the best values until something runs out. */
static double least_forced_value(const struct cvm_run_job *job)
{
    const struct cvm_run_memory *memory = job->memory;
    size_t t = (size_t)job->request->forced_treatment;
    double least = INFINITY;
    bool has_run_out = false;
    for (size_t s = 0; s < memory->shard_count; s++) {
        const struct cvm_shard_values *shard = &memory->values[s];
        for (size_t i = 0; i < shard->count; i++) {
            size_t at = cvm_values_at(shard->treatment_count, i, t);
            double value = ((const float *)shard->values.data)[at];
            size_t customer = memory->first[s] + i;
            bool is_withheld = (((const uint64_t *)memory->withheld.data)[customer] >> t & 1) != 0;
            if (memory->solved.treatments[customer] == t) {
                least = value < least ? value : least;
            } else if (!is_withheld && is_permitted(shard, at)) {
                has_run_out = true;
            }
        }
    }
    return has_run_out ? least : -INFINITY;
}

/* The withheld treatment that the customer would have got at these prices, or CVM_INDEX_NONE: it is
 * better than nothing, and than all that is not withheld. */
static int withheld_choice(const struct deciding *deciding, const struct cvm_shard_values *shard,
                           size_t customer, uint64_t withheld)
{
    const struct cvm_run_maker *maker = &deciding->maker;
    const float *values = shard->values.data;
    struct cvm_usage_customer user = customer_of(shard, customer);
    bool may_gain = maker->catalogue->group_count > 0; /* a price may be below zero */
    double best = 0;
    int choice = CVM_INDEX_NONE;
    for (uint64_t left = withheld; left != 0; left &= left - 1) {
        size_t t = (size_t)__builtin_ctzll(left);
        size_t at = cvm_values_at(shard->treatment_count, customer, t);
        if (!is_permitted(shard, at)) {
            continue;
        }
        if (maker->forced_treatment != CVM_INDEX_NONE) {
            bool is_asked = maker->forced_treatment == (int)t;
            choice = is_asked && values[at] >= deciding->least_forced ? (int)t : choice;
        } else if (values[at] > best || may_gain) {
            double net = values[at] - cvm_usage_price(maker->catalogue, maker->prices, t, &user);
            choice = net > best ? (int)t : choice;
            best = net > best ? net : best;
        }
    }
    if (choice == CVM_INDEX_NONE || maker->forced_treatment != CVM_INDEX_NONE) {
        return choice;
    }
    for (size_t t = 0; t < shard->treatment_count; t++) {
        size_t at = cvm_values_at(shard->treatment_count, customer, t);
        bool is_free = (withheld >> t & 1) == 0 && is_permitted(shard, at);
        if (is_free && (values[at] >= best || may_gain) &&
            values[at] - cvm_usage_price(maker->catalogue, maker->prices, t, &user) >= best) {
            return CVM_INDEX_NONE;
        }
    }
    return choice;
}

/* ---- everybody ---- */

static bool is_unselected(const struct cvm_shard_values *shard, size_t customer)
{
    const unsigned char *reasons = shard->reasons.data;
    return shard->treatment_count > 0 &&
           reasons[cvm_values_at(shard->treatment_count, customer, 0)] == CVM_REASON_NOT_SELECTED;
}

static enum cvm_status add_ghost(struct deciding *deciding, const struct cvm_shard_values *shard,
                                 size_t customer, int treatment, struct cvm_error *err)
{
    struct cvm_run_result *result = deciding->job->result;
    void *slot = NULL;
    enum cvm_status status = cvm_column_extend(&deciding->job->memory->ghosts, 1, &slot, err);
    if (status == CVM_OK) {
        struct cvm_run_decision ghost =
            make_ghost(&deciding->maker, shard, customer, (size_t)treatment);
        result->universal_ghosts += strcmp(ghost.arm, CVM_ARM_UNIVERSAL) == 0;
        *(struct cvm_run_decision *)slot = ghost;
    }
    return status;
}

static void add_decision(struct deciding *deciding, const struct cvm_shard_values *shard,
                         size_t customer, size_t treatment, int withheld)
{
    struct cvm_run_result *result = deciding->job->result;
    struct cvm_run_decision decision =
        cvm_run_make_decision(&deciding->maker, shard, customer, treatment);
    decision.withheld = withheld;
    result->decisions[result->decision_count++] = decision;
    result->by_treatment[treatment]++;
    result->spend_micro = cvm_micro_add(result->spend_micro, decision.cost_micro);
    result->spend_micro = cvm_micro_add(result->spend_micro, decision.incentive_micro);
}

static enum cvm_status decide_shard(struct deciding *deciding, size_t s, struct cvm_error *err)
{
    const struct cvm_run_memory *memory = deciding->job->memory;
    const struct cvm_shard_values *shard = &memory->values[s];
    const struct cvm_control_groups *control = &memory->control;
    bool has_control = cvm_control_is_on(control);
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < shard->count; i++) {
        size_t t = memory->solved.treatments[memory->first[s] + i];
        int withheld = CVM_INDEX_NONE;
        if (has_control) {
            uint64_t bits = ((const uint64_t *)memory->withheld.data)[memory->first[s] + i];
            bool may_be_member = (bits & control->marketing) == control->marketing;
            deciding->job->result->control_members +=
                may_be_member && !is_unselected(shard, i) &&
                cvm_run_is_member(control, ((const uint64_t *)shard->keys.data)[i]);
            withheld = bits == 0 ? CVM_INDEX_NONE : withheld_choice(deciding, shard, i, bits);
        }
        if (t != CVM_NOTHING) {
            add_decision(deciding, shard, i, t, withheld);
        } else if (withheld != CVM_INDEX_NONE) {
            status = add_ghost(deciding, shard, i, withheld, err);
        }
    }
    return status;
}

static void count_refusals(struct cvm_run_result *result, const struct cvm_shard_values *shard)
{
    const unsigned char *reasons = shard->reasons.data;
    for (size_t i = 0; i < shard->count; i++) {
        bool was_decided = false;
        if (is_unselected(shard, i)) {
            continue;
        }
        for (size_t t = 0; t < shard->treatment_count; t++) {
            unsigned char reason = reasons[cvm_values_at(shard->treatment_count, i, t)];
            if (reason < CVM_REASON_COUNT) {
                result->refusals[reason]++;
            }
            was_decided |= reason == CVM_REASON_ALREADY_DECIDED;
        }
        result->customers++;
        result->undecided_before += was_decided ? 0 : 1;
    }
}

enum cvm_status cvm_run_make_decisions(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_run_memory *memory = job->memory;
    struct cvm_run_result *result = job->result;
    struct deciding deciding = {
        .job = job,
        .maker =
            {
                .catalogue = job->catalogue,
                .recommender = memory->recommender,
                .control = &memory->control,
                .prices = result->prices,
                .windows = &memory->windows,
                .forced_treatment = job->request->forced_treatment,
            },
    };
    result->decisions = calloc((size_t)memory->solved.treated + 1, sizeof(struct cvm_run_decision));
    if (result->decisions == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %" PRId64 " decisions",
                        memory->solved.treated);
    }
    if (cvm_control_is_on(&memory->control) && job->request->forced_treatment != CVM_INDEX_NONE) {
        deciding.least_forced = least_forced_value(job);
    }
    enum cvm_status status = CVM_OK;
    for (size_t s = 0; status == CVM_OK && s < memory->shard_count; s++) {
        status = decide_shard(&deciding, s, err);
        count_refusals(result, &memory->values[s]);
    }
    result->ghosts = CVM_COLUMN_DATA(&memory->ghosts, struct cvm_run_decision);
    result->ghost_count = memory->ghosts.count;
    result->refusals[CVM_REASON_PERMITTED] = 0;
    return status;
}
