/* search.h - the prices that make the dual bound smallest. For files of allocation/ only. */
#ifndef CVM_ALLOCATION_SEARCH_H
#define CVM_ALLOCATION_SEARCH_H

#include "allocation/solver.h"
#include "allocation/tariff.h"

struct cvm_search {
    const struct cvm_problem *problem;
    const struct cvm_solver_options *options;
    struct cvm_pool *pool;
    const struct cvm_context *context; /* NULL = never cancelled */
    struct cvm_arena *arena;
    struct cvm_pass_data data;
    struct cvm_pass_sums *scratch; /* for all of data's groups */
    struct cvm_tariff tariff;
    bool is_blurred; /* in: values lie on a grid, break ties from wide to narrow */
    double prices[CVM_PROBLEM_ROWS_MAX]; /* in: warm; out: the best found */
    double imbalance;                    /* out: of the choices at them, a share of the bound */
    int passes;                          /* over all customers */
};

CVM_MUST_CHECK enum cvm_status cvm_search_run(struct cvm_search *search, struct cvm_error *err);

#endif
