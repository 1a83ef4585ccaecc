/* greedy.h - what simpler rules would have made of the same problem: the baselines that a report
 * sets beside the plan.
 *
 * Whole treatments of positive value only, never over a limit, at most one per customer; minimums
 * and households are not looked at. A pure function of the problem (and the order), on one thread.
 */
#ifndef CVM_ALLOCATION_GREEDY_H
#define CVM_ALLOCATION_GREEDY_H

#include "allocation/problem.h"
#include "base/arena.h"

struct cvm_greedy {
    double value;
    int64_t treated;
    int64_t counts[CVM_PROBLEM_TREATMENTS_MAX];
    int64_t used[CVM_PROBLEM_ROWS_MAX];
};

/* Customers come one after the other (order[0] first; NULL = as they stand, which is by key) and
 * each takes the best treatment that still has room. `choices` gets everybody's treatment or
 * CVM_NOTHING; it may be NULL. */
void cvm_greedy_in_order(const struct cvm_problem *problem, const uint32_t *order,
                         unsigned char *choices, struct cvm_greedy *out_greedy);

/* Pairs of customer and treatment from the greatest value down; equal values by hash of both.
 * Working memory (24 bytes per customer) comes from the arena. */
CVM_MUST_CHECK enum cvm_status cvm_greedy_by_value(const struct cvm_problem *problem,
                                                   struct cvm_arena *arena, unsigned char *choices,
                                                   struct cvm_greedy *out_greedy,
                                                   struct cvm_error *err);

#endif
