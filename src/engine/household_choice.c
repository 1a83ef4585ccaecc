/* Households as units of choice: which of them the solver chooses in, and what their other members
 * are told. */
#include <stdlib.h>

#include "allocation/problem.h"
#include "engine/household_internal.h"
#include "engine/usage.h"
#include "model/reason.h"

/* Governed treatments that nothing refuses and that may be worth giving: below zero only where a
 * minimum may pay for them. */
static uint64_t candidates_of(const struct cvm_household_problem *problem,
                              const struct cvm_household_rule *rule,
                              const struct cvm_household_member *member)
{
    if (member->shard == CVM_HOUSEHOLD_ABSENT) {
        return 0;
    }
    const struct cvm_shard_values *shard = &rule->shards[member->shard];
    const unsigned char *reasons = shard->reasons.data;
    const float *values = shard->values.data;
    bool may_pay = problem->catalogue->group_count > 0;
    uint64_t candidates = 0;
    for (uint64_t left = rule->governed; left != 0; left &= left - 1) {
        size_t t = (size_t)__builtin_ctzll(left);
        size_t at = cvm_values_at(shard->treatment_count, member->customer, t);
        bool is_permitted = reasons[at] == CVM_REASON_PERMITTED &&
                            (values[at] > 0 || may_pay || problem->forced_treatment == (int)t);
        candidates |= is_permitted ? UINT64_C(1) << t : 0;
    }
    return candidates;
}

static size_t customer_of(const struct cvm_household_problem *problem,
                          const struct cvm_household_member *member)
{
    return problem->first[member->shard] + member->customer;
}

static void number_household(const struct cvm_household_problem *problem,
                             const struct cvm_household_rule *rule,
                             struct cvm_household_member *members, size_t count, uint32_t *numbered)
{
    int64_t allowance = rule->max;
    int64_t candidate_count = 0;
    bool is_withheld = false;
    for (size_t i = 0; i < count; i++) {
        uint64_t candidates = candidates_of(problem, rule, &members[i]);
        allowance -= members[i].contacts[rule->index];
        candidate_count += candidates != 0 ? 1 : 0;
        is_withheld |= candidates != 0 && problem->withheld != NULL &&
                       (problem->withheld[customer_of(problem, &members[i])] & candidates) != 0;
    }
    if (candidate_count <= allowance) {
        return;
    }
    if (allowance <= 0 || is_withheld) {
        cvm_household_limit(rule, members, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (candidates_of(problem, rule, &members[i]) != 0) {
            const struct cvm_shard_values *shard = &rule->shards[members[i].shard];
            ((uint32_t *)shard->households.data)[members[i].customer] = *numbered;
            ((unsigned char *)shard->allowances.data)[members[i].customer] =
                (unsigned char)(allowance < UINT8_MAX ? allowance : UINT8_MAX);
        }
    }
    ++*numbered;
}

uint32_t cvm_household_number(struct cvm_column *members,
                              const struct cvm_household_problem *problem)
{
    const struct cvm_catalogue *catalogue = problem->catalogue;
    struct cvm_household_member *all = CVM_COLUMN_DATA(members, struct cvm_household_member);
    uint32_t numbered = 0;
    size_t end = 0;
    cvm_household_sort(members);
    for (size_t l = 1; l < catalogue->policy.household_count; l++) {
        struct cvm_household_rule rule =
            cvm_household_rule_of(catalogue, l, problem->forced_treatment, problem->shards);
        cvm_household_limit_all(&rule, members);
    }
    struct cvm_household_rule rule =
        cvm_household_rule_of(catalogue, 0, problem->forced_treatment, problem->shards);
    for (size_t first = 0; first < members->count; first = end) {
        end = cvm_household_end(members, first);
        number_household(problem, &rule, all + first, end - first, &numbered);
    }
    return numbered;
}

/* ---- after the solve ---- */

struct telling {
    const struct cvm_household_problem *problem;
    const struct cvm_household_rule *rule;
    const unsigned char *plan;
    const double *prices;
};

static double score(const struct telling *telling, const struct cvm_household_member *member,
                    size_t treatment)
{
    const struct cvm_shard_values *shard = &telling->rule->shards[member->shard];
    size_t at = cvm_values_at(shard->treatment_count, member->customer, treatment);
    const struct cvm_usage_customer customer = {
        .margin = (double)((const float *)shard->margins.data)[member->customer],
        .groups = shard->has_groups ? ((const uint64_t *)shard->groups.data)[member->customer] : 0,
    };
    return (double)((const float *)shard->values.data)[at] -
           cvm_usage_price(telling->problem->catalogue, telling->prices, treatment, &customer);
}

/* What the customer would have got but for the others. */
static void tell_member(const struct telling *telling, const struct cvm_household_member *member)
{
    size_t got = telling->plan[customer_of(telling->problem, member)];
    bool is_forced = telling->problem->forced_treatment != CVM_INDEX_NONE;
    double best = got == CVM_NOTHING ? 0 : score(telling, member, got);
    struct cvm_shard_values *shard = &telling->rule->shards[member->shard];
    unsigned char *reasons = shard->reasons.data;
    for (uint64_t left = candidates_of(telling->problem, telling->rule, member); left != 0;
         left &= left - 1) {
        size_t t = (size_t)__builtin_ctzll(left);
        bool is_asked = telling->problem->forced_treatment == (int)t;
        if (is_forced ? is_asked : score(telling, member, t) > best) {
            reasons[cvm_values_at(shard->treatment_count, member->customer, t)] =
                CVM_REASON_HOUSEHOLD;
        }
    }
}

static bool is_chosen(const struct telling *telling, const struct cvm_household_member *member)
{
    size_t got = telling->plan[customer_of(telling->problem, member)];
    return got != CVM_NOTHING && (telling->rule->governed >> got & 1) != 0;
}

static bool is_numbered(const struct telling *telling, const struct cvm_household_member *member)
{
    return member->shard != CVM_HOUSEHOLD_ABSENT &&
           ((const uint32_t *)telling->rule->shards[member->shard]
                .households.data)[member->customer] != CVM_NO_GROUP;
}

static void tell_household(const struct telling *telling,
                           const struct cvm_household_member *members, size_t count)
{
    int chosen = 0;
    int allowance = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_numbered(telling, &members[i])) {
            const struct cvm_shard_values *shard = &telling->rule->shards[members[i].shard];
            chosen += is_chosen(telling, &members[i]) ? 1 : 0;
            allowance = ((const unsigned char *)shard->allowances.data)[members[i].customer];
        }
    }
    for (size_t i = 0; chosen > 0 && chosen >= allowance && i < count; i++) {
        if (is_numbered(telling, &members[i]) && !is_chosen(telling, &members[i])) {
            tell_member(telling, &members[i]);
        }
    }
}

void cvm_household_tell(const struct cvm_column *members,
                        const struct cvm_household_problem *problem, const unsigned char *plan,
                        const double *prices)
{
    const struct cvm_household_member *all =
        CVM_COLUMN_DATA(members, const struct cvm_household_member);
    struct cvm_household_rule rule =
        cvm_household_rule_of(problem->catalogue, 0, problem->forced_treatment, problem->shards);
    struct telling telling = {problem, &rule, plan, prices};
    size_t end = 0;
    for (size_t first = 0; first < members->count; first = end) {
        end = cvm_household_end(members, first);
        tell_household(&telling, all + first, end - first);
    }
}
