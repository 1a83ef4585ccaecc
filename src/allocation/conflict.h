/* conflict.h - rows that can not all be kept: which, why, and what would have to give.
 *
 * Before a solve: rows that are impossible by themselves, by counting. After one that fell short:
 * the smallest sets of rows that no plan keeps together, with the cheapest way out of each.
 */
#ifndef CVM_ALLOCATION_CONFLICT_H
#define CVM_ALLOCATION_CONFLICT_H

#include "allocation/plan.h"
#include "base/arena.h"
#include "base/context.h"

#define CVM_CONFLICTS_MAX 16

struct cvm_conflict {
    size_t rows[CVM_PROBLEM_ROWS_MAX]; /* numbers of rows */
    size_t row_count;
    const char *message;    /* "minimum 'north' asks for 500 ... only 320 customers ..." */
    const char *relaxation; /* "lower 'north' to 320" */
};

/* By counting alone, before a solve or after one that fell short; nothing to count where there is
 * no minimum. Every conflict told is one, but not every one is told. out_conflicts has room for
 * CVM_CONFLICTS_MAX; texts live in the arena. */
CVM_MUST_CHECK enum cvm_status cvm_conflicts_before(const struct cvm_problem *problem,
                                                    struct cvm_pool *pool, struct cvm_arena *arena,
                                                    struct cvm_conflict *out_conflicts,
                                                    size_t *out_count, struct cvm_error *err);

/* Of a plan that fell short: sets of rows that are proven to be in conflict and of which none can
 * be left out, each with other minimums than the ones before. A way out changes one limit and holds
 * with all other limits kept; large limits are told to four digits. Where nothing is proven, one
 * "conflict" tells what the plan lacks. */
CVM_MUST_CHECK enum cvm_status
cvm_conflicts_after(const struct cvm_problem *problem, const struct cvm_plan *plan,
                    struct cvm_pool *pool, const struct cvm_context *context,
                    struct cvm_arena *arena, struct cvm_conflict *out_conflicts, size_t *out_count,
                    struct cvm_error *err);

#endif
