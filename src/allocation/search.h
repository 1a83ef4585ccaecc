/* search.h - the prices that make the dual bound of a table smallest. For files of allocation/
 * only.
 */
#ifndef CVM_ALLOCATION_SEARCH_H
#define CVM_ALLOCATION_SEARCH_H

#include "allocation/pass.h"

struct cvm_search {
    struct cvm_solve *solve;
    const struct cvm_table *table;
    double limits[CVM_PROBLEM_ROWS_MAX]; /* what is left for this table, in units of the scale */
    double value;                        /* of customers decided elsewhere: part of the bound */
    bool is_near;                        /* the prices are nearly right already */
    bool is_rough;                       /* ties need not be broken yet */
    bool is_blurred; /* values lie on a grid: break ties from wide to narrow first */
    bool is_frozen[CVM_PROBLEM_ROWS_MAX]; /* these prices stay as they are */
    double tolerance; /* stop when a window of passes gains no more than this share of the bound */
    int passes_max;
    /* Prices may move so far from `prices` and no farther; NULL = anywhere. */
    const struct cvm_margins *region;
    double amount_max;                   /* with a region: the largest amount of anybody */
    double prices[CVM_PROBLEM_ROWS_MAX]; /* in: where to start; out: the best found */
    /* Out, at those prices: */
    double bound;
    double uses[CVM_PROBLEM_ROWS_MAX];
    double counts[CVM_PROBLEM_TREATMENTS_MAX]; /* who gets each treatment */
    bool has_left;    /* the search came to the end of the region; prices lie inside */
    double imbalance; /* how far the choices are from a plan, in money, as a share of the bound */
};

CVM_MUST_CHECK enum cvm_status cvm_search_run(struct cvm_search *search, struct cvm_error *err);

#endif
