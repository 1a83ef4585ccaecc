/* solver.h - one solve over everybody: problem in; plan, prices, bound out.
 *
 * Lagrangian dual: for prices p >= 0, D(p) = sum_i max(0, max_t v_it - sum_r p_r a_r(i,t)) + sum_r
 * p_r b_r bounds the best plan from above; the plan is integral and never over a limit. The result
 * is a pure function of the problem's values, rows and keys: not of threads, chunk size or
 * instruction set (sums run in fixed groups of customers, groups are added in order). research:
 * allocation.md.
 */
#ifndef CVM_ALLOCATION_SOLVER_H
#define CVM_ALLOCATION_SOLVER_H

#include "allocation/problem.h"
#include "base/context.h"
#include "base/threads.h"

struct cvm_plan {
    unsigned char *treatments; /* per customer: treatment or CVM_NOTHING; the caller's array */
    double prices[CVM_PROBLEM_ROWS_MAX]; /* per row, major units of value per unit (or per major
                                            unit of money) of use */
    int64_t used[CVM_PROBLEM_ROWS_MAX];
    int64_t counts[CVM_PROBLEM_TREATMENTS_MAX];
    int64_t treated;
    double value;      /* of the plan, in double, verified by a separate pass */
    double dual_bound; /* D(prices) by that pass */
    double gap;        /* (bound - value) / |bound|, 0 when the bound is 0 */
    int passes;
};

struct cvm_solver_options {
    const double *warm_prices; /* NULL = cold */
    int passes_max;            /* 0 = default */
};

/* out_plan->treatments must have room for customer_count. */
CVM_MUST_CHECK enum cvm_status cvm_solve(const struct cvm_problem *problem,
                                         const struct cvm_solver_options *options,
                                         struct cvm_pool *pool, const struct cvm_context *context,
                                         struct cvm_plan *out_plan, struct cvm_error *err);

/* Value, bound and use of a given plan at given prices, in double and integer money; CVM_E_INTERNAL
 * if the plan breaks a row or uses an ineligible pair. cvm_solve() has called it. */
CVM_MUST_CHECK enum cvm_status cvm_plan_verify(const struct cvm_problem *problem,
                                               struct cvm_pool *pool, struct cvm_plan *plan,
                                               struct cvm_error *err);

/* What a pair costs at these prices. */
double cvm_pair_price(const struct cvm_problem *problem, const double *prices, size_t customer,
                      size_t treatment);

#endif
