/* repair.h - from everybody's best choice at the prices to a plan that keeps every limit exactly.
 * For files of allocation/ only. */
#ifndef CVM_ALLOCATION_REPAIR_H
#define CVM_ALLOCATION_REPAIR_H

#include "allocation/solver.h"
#include "allocation/tariff.h"

/* Pairs of (treatment, row) that count, by treatment: most rows touch few treatments. */
struct cvm_touches {
    unsigned char rows[CVM_PROBLEM_TREATMENTS_MAX][CVM_PROBLEM_ROWS_MAX];
    size_t counts[CVM_PROBLEM_TREATMENTS_MAX];
};
void cvm_touches_init(const struct cvm_problem *problem, struct cvm_touches *touches);

struct cvm_repair {
    const struct cvm_problem *problem;
    const struct cvm_tariff *tariff; /* at `prices` */
    const double *prices;
    struct cvm_pool *pool;
    struct cvm_arena *arena;
    const struct cvm_context *context; /* NULL = never cancelled */
    unsigned char *treatments;         /* the plan: in and out */
};

CVM_MUST_CHECK enum cvm_status cvm_repair_run(struct cvm_repair *repair, struct cvm_error *err);

#endif
