/* household_internal.h - what the files of households share; nobody else includes it. */
#ifndef CVM_ENGINE_HOUSEHOLD_INTERNAL_H
#define CVM_ENGINE_HOUSEHOLD_INTERNAL_H

#include "engine/household.h"

/* One limit, with what it is applied to. */
struct cvm_household_rule {
    size_t index;
    int max;
    uint64_t governed; /* bit per treatment */
    int forced_treatment;
    struct cvm_shard_values *shards;
};
struct cvm_household_rule cvm_household_rule_of(const struct cvm_catalogue *catalogue, size_t index,
                                                int forced_treatment,
                                                struct cvm_shard_values *shards);

/* Members of one household stand together, in the order of their keys. */
void cvm_household_sort(struct cvm_column *members);
/* One past the last member of the household that begins at `first`. */
size_t cvm_household_end(const struct cvm_column *members, size_t first);

/* The best members of one household stay; changes the order among them. */
void cvm_household_limit(const struct cvm_household_rule *rule,
                         struct cvm_household_member *members, size_t count);
/* Of every household. */
void cvm_household_limit_all(const struct cvm_household_rule *rule, struct cvm_column *members);

#endif
