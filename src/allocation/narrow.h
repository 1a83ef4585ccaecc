/* narrow.h - the dual problem, step by step on fewer customers.
 *
 * A sample tells roughly what the prices are and how far they may be off. One pass over everybody
 * then decides all customers whose best choice is the same wherever in that region the prices end;
 * the rest, a few per cent, are the same problem with less of every limit, and finding its prices
 * costs a fraction. That is exact while the prices stay in the region, which is checked. For files
 * of allocation/ only.
 */
#ifndef CVM_ALLOCATION_NARROW_H
#define CVM_ALLOCATION_NARROW_H

#include "allocation/search.h"

#define CVM_LEVELS_MAX 8

/* What the search over a problem came to. */
struct cvm_narrowed {
    double prices[CVM_PROBLEM_ROWS_MAX];
    double bound;
    double imbalance;
    /* Everybody, then those who were still open at each step, fewer and fewer; who was decided on
     * the way has a choice in `choices`, the last level's customers choose at the prices. */
    const struct cvm_table *levels[CVM_LEVELS_MAX];
    size_t level_count;
};

/* choices has room for everybody. */
CVM_MUST_CHECK enum cvm_status cvm_narrow_run(struct cvm_solve *solve, const double *warm_prices,
                                              const struct cvm_choices *choices,
                                              struct cvm_narrowed *out_narrowed,
                                              struct cvm_error *err);

/* How to search once more, over everybody: slow and sure. */
struct cvm_retry {
    const double *prices; /* where to start; NULL = at 0 */
    const bool *frozen;   /* per row; NULL = none */
    bool is_blurred;
};
CVM_MUST_CHECK enum cvm_status cvm_search_everybody(struct cvm_solve *solve,
                                                    const struct cvm_retry *retry,
                                                    struct cvm_narrowed *out_narrowed,
                                                    struct cvm_error *err);

/* By treatment, how near to indifference about it are the `ranks[t]` nearest customers of the
 * table, at the tariff as it is set. Households are not looked at: this is a guide. */
CVM_MUST_CHECK enum cvm_status cvm_margins_measure(struct cvm_solve *solve,
                                                   const struct cvm_table *table,
                                                   const double *ranks, double *out_margins,
                                                   struct cvm_error *err);

#endif
