#include "engine/needed.h"

#include "recommend/action_value.h"

struct needed {
    const struct cvm_catalogue *catalogue;
    struct cvm_feature_set *set;
};

static void add_rule(void *state, const struct cvm_rule *rule)
{
    const struct needed *needed = state;
    cvm_feature_set_add_rule(needed->set, needed->catalogue, rule);
}

static void add_feature(void *state, size_t feature)
{
    const struct needed *needed = state;
    cvm_feature_set_add(needed->set, needed->catalogue, feature);
}

void cvm_needed_for_values(const struct cvm_catalogue *catalogue, struct cvm_feature_set *set)
{
    struct needed needed = {catalogue, set};
    cvm_recommend_list_needs(catalogue,
                             &(struct cvm_recommend_needs){add_rule, add_feature, &needed});
}
