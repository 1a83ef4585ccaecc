/* rule_count.h - for how many customers a rule holds, or what values it gives. */
#ifndef CVM_ENGINE_RULE_COUNT_H
#define CVM_ENGINE_RULE_COUNT_H

#include "engine/engine.h"

struct cvm_rule_count {
    int64_t customers;
    int64_t holds;                              /* of a number or date: customers with a value */
    int64_t clause_holds[CVM_RULE_CLAUSES_MAX]; /* each alone */
    double least, greatest, sum;                /* of the values; 0 without any */
};

/* `catalogue` is the engine's, or what cvm_names_compile() made of it for this rule; it may have
 * more features than the engine's and no more topics. Sums are made shard by shard in key order:
 * the same on any number of threads. */
CVM_MUST_CHECK enum cvm_status cvm_rule_count(struct cvm_engine *engine,
                                              const struct cvm_catalogue *catalogue,
                                              const struct cvm_rule *rule, int32_t as_of_day,
                                              struct cvm_rule_count *out_count,
                                              struct cvm_error *err);

#endif
