/* bench_problem.h - the made-up base that the solver is measured on: twelve treatments of a telecom
 * company, heavy-tailed worth, scarce call-backs, cheap messages, an incentive budget of 70 % of
 * what would be spent without it. A function of size, rows and seed.
 */
#ifndef CVM_CLI_BENCH_PROBLEM_H
#define CVM_CLI_BENCH_PROBLEM_H

#include "allocation/plan.h"
#include "base/arena.h"

#define CVM_BENCH_TREATMENTS 12
#define CVM_BENCH_SEGMENTS   8
/* A capacity per treatment and the budget; and with the caps of 4 channels, 8 maximums and 8
 * minimums of segments. */
#define CVM_BENCH_ROWS_FEW  13
#define CVM_BENCH_ROWS_MANY 33

struct cvm_bench_problem {
    struct cvm_problem problem;
    struct cvm_row rows[CVM_BENCH_ROWS_MANY];
    char names[CVM_BENCH_ROWS_MANY][24];
    unsigned char inside[CVM_BENCH_SEGMENTS][CVM_BENCH_SEGMENTS];
    int64_t costs[CVM_BENCH_TREATMENTS];
    uint64_t seed;
    float *values; /* as in the problem; they may be changed */
};

/* Bytes per customer that cvm_bench_problem_make() takes from the arena, its plan included. */
size_t cvm_bench_problem_bytes(size_t customers);

/* `row_count` is one of the two above. Solves once or twice on the way: the budget and the limits
 * of segments are shares of what would be spent and given without them. */
CVM_MUST_CHECK enum cvm_status cvm_bench_problem_make(size_t customers, size_t row_count,
                                                      uint64_t seed, struct cvm_pool *pool,
                                                      struct cvm_arena *arena,
                                                      struct cvm_bench_problem *out_problem);

/* Another day: one of a hundred values moves by some 20 %. */
CVM_MUST_CHECK enum cvm_status cvm_bench_problem_change(struct cvm_bench_problem *base,
                                                        struct cvm_pool *pool);

/* problem.json and values.csv for `cvm allocate` and other solvers. */
CVM_MUST_CHECK enum cvm_status cvm_bench_problem_write(const struct cvm_bench_problem *base,
                                                       const char *folder, struct cvm_error *err);

#endif
