/* needs.c - what gates and values read, so that no other feature need be computed. */
#include "recommend/action_value.h"

static void need_feature(const struct cvm_recommend_needs *needs, int feature)
{
    if (feature != CVM_INDEX_NONE) {
        needs->on_feature(needs->state, (size_t)feature);
    }
}

void cvm_recommend_list_needs(const struct cvm_catalogue *catalogue,
                              const struct cvm_recommend_needs *needs)
{
    const struct cvm_contact_policy *policy = &catalogue->policy;
    need_feature(needs, catalogue->value.churn_feature);
    need_feature(needs, catalogue->value.margin_feature);
    need_feature(needs, catalogue->value.contacts_feature);
    need_feature(needs, policy->zone_feature);
    need_feature(needs, policy->household_feature);
    for (size_t h = 0; h < policy->household_count; h++) {
        need_feature(needs, policy->household[h].count_feature);
    }
    for (size_t s = 0; s < catalogue->segment_count; s++) {
        needs->on_rule(needs->state, &catalogue->segments[s].when);
    }
    for (size_t s = 0; s < catalogue->suppression_count; s++) {
        needs->on_rule(needs->state, &catalogue->suppressions[s].when);
    }
    for (size_t r = 0; r < policy->rule_count; r++) {
        needs->on_rule(needs->state, &policy->rules[r].allows);
    }
    for (size_t g = 0; g < catalogue->group_count; g++) {
        needs->on_rule(needs->state,
                       &catalogue->constraints[catalogue->constraint_count + g].customers);
    }
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        needs->on_rule(needs->state, &catalogue->treatments[t].eligible);
        needs->on_rule(needs->state, &catalogue->treatments[t].applicable);
        needs->on_rule(needs->state, &catalogue->treatments[t].suitable);
    }
}
