/* solver.h - one solve over everybody: problem in; plan, prices, bound out.
 *
 * Lagrangian dual: for prices p >= 0, D(p) = sum over units of choice (customers, households) of
 * the best score, where a pair scores v - sum_r p_r a_r(i, t), plus sum_r p_r b_r, bounds the best
 * plan from above. The plan is integral and never over a limit. The result is a pure function of
 * the problem's values, rows and keys: not of threads, instruction set, or the order in which
 * customers came (sums run in fixed groups of customers, groups are added in order).
 */
#ifndef CVM_ALLOCATION_SOLVER_H
#define CVM_ALLOCATION_SOLVER_H

#include "allocation/plan.h"
#include "base/context.h"

/* Which instructions the passes use; all give the same result. */
enum cvm_instructions {
    CVM_INSTRUCTIONS_BEST, /* of this machine */
    CVM_INSTRUCTIONS_PLAIN,
    CVM_INSTRUCTIONS_AVX2,
    CVM_INSTRUCTIONS_AVX512
};

struct cvm_solver_options {
    const double *warm_prices;          /* of an earlier solve; NULL = cold */
    enum cvm_instructions instructions; /* CVM_E_INVALID where the machine lacks them */
    bool is_mapped; /* the columns are a mapped file: give pages back after each use */
};

/* out_plan->treatments must have room for customer_count x per_customer_max. Where minimums are out
 * of reach the plan falls short of them by as little as was found possible, and is_feasible is
 * false. */
CVM_MUST_CHECK enum cvm_status cvm_solve(const struct cvm_problem *problem,
                                         const struct cvm_solver_options *options,
                                         struct cvm_pool *pool, const struct cvm_context *context,
                                         struct cvm_plan *out_plan, struct cvm_error *err);

#endif
