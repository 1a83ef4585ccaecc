/* verify.h - what a plan comes to, counted exactly. For files of allocation/ only. */
#ifndef CVM_ALLOCATION_VERIFY_H
#define CVM_ALLOCATION_VERIFY_H

#include "allocation/plan.h"
#include "base/arena.h"

struct cvm_plan_sums {
    double value;
    int64_t treated;
    int64_t counts[CVM_PROBLEM_TREATMENTS_MAX];
    int64_t used[CVM_PROBLEM_ROWS_MAX];
    int64_t covered[CVM_PROBLEM_ROWS_MAX];
    int64_t inside[CVM_PROBLEM_ROWS_MAX];
};

/* What a plan of sound pairs uses; its value is left at 0. */
CVM_MUST_CHECK enum cvm_status cvm_plan_count(const struct cvm_problem *problem,
                                              const unsigned char *treatments,
                                              struct cvm_pool *pool, struct cvm_arena *arena,
                                              struct cvm_plan_sums *out_sums,
                                              struct cvm_error *err);

/* As cvm_plan_verify(), with the instructions given. */
struct cvm_kernel;
CVM_MUST_CHECK enum cvm_status cvm_plan_verify_with(const struct cvm_problem *problem,
                                                    const struct cvm_kernel *kernel,
                                                    struct cvm_pool *pool, struct cvm_plan *plan,
                                                    struct cvm_error *err);

#endif
