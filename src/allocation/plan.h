/* plan.h - what a solve came to: who gets what, the prices, and the proof of how close to the best
 * plan it is. */
#ifndef CVM_ALLOCATION_PLAN_H
#define CVM_ALLOCATION_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "allocation/problem.h"
#include "base/threads.h"

struct cvm_plan {
    /* The caller's array: customer i has the cvm_problem_per_customer() entries from i times that;
     * CVM_NOTHING fills up. */
    unsigned char *treatments;

    /* Per row, major units of value per unit of the row's scale (per major unit of money). The
     * price may lie anywhere from low to high with the same plan: low is what one more unit would
     * bring, high what one less would take. */
    double prices[CVM_PROBLEM_ROWS_MAX];
    double price_low[CVM_PROBLEM_ROWS_MAX];
    double price_high[CVM_PROBLEM_ROWS_MAX];
    bool is_binding[CVM_PROBLEM_ROWS_MAX];

    /* By cvm_plan_verify(): of the <= form. */
    int64_t used[CVM_PROBLEM_ROWS_MAX];
    int64_t covered[CVM_PROBLEM_ROWS_MAX];   /* pairs of the row's treatments */
    int64_t inside[CVM_PROBLEM_ROWS_MAX];    /* those of them of customers inside */
    int64_t shortfall[CVM_PROBLEM_ROWS_MAX]; /* use above the limit, of minimums; mostly 0 */
    int64_t counts[CVM_PROBLEM_TREATMENTS_MAX];
    int64_t treated; /* customers with a treatment */
    bool is_feasible;
    double value;      /* in double, of the exact values */
    double dual_bound; /* D(prices); no plan is better */
    double gap;        /* (bound - value) / |bound|, 0 when both are equal */
    /* Where the gap lives: bound - value = regret + slack. */
    double regret; /* sum over units of choice: best score minus that of what they got */
    double slack;  /* sum over rows: price x what is left of the limit */
    int passes;    /* over all customers, before the certificate */
};

/* Value, bound and use of a given plan at given prices, in double and integer money, from the
 * problem alone. CVM_E_INTERNAL if the plan breaks a row that is no minimum, or uses a pair or a
 * combination that may not be. cvm_solve() has called it. */
CVM_MUST_CHECK enum cvm_status cvm_plan_verify(const struct cvm_problem *problem,
                                               struct cvm_pool *pool, struct cvm_plan *plan,
                                               struct cvm_error *err);

/* What a pair costs at these prices. */
double cvm_pair_price(const struct cvm_problem *problem, const double *prices, size_t customer,
                      size_t treatment);

#endif
