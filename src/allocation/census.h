/* census.h - how many customers are alike, as far as it matters to which rows can be kept together:
 * their values do not.
 *
 * For files of allocation/ only. Alike are units of choice (customers, households) whose members
 * are of the same class, eligible for the same treatments and of the same amount.
 */
#ifndef CVM_ALLOCATION_CENSUS_H
#define CVM_ALLOCATION_CENSUS_H

#include "allocation/problem.h"
#include "base/arena.h"
#include "base/threads.h"

struct cvm_kind {
    uint64_t mask; /* a bit per eligible treatment that may serve a minimum or a share */
    double amount; /* the mean of those who are taken as alike */
    double amount_min;
    uint32_t customer_class;
};

/* Unit u has the members from first[u] to first[u + 1] - 1; there are weights[u] such units.
 * Customers who can serve no row are left out. */
struct cvm_census {
    size_t count;
    const uint32_t *first;
    const struct cvm_kind *members;
    const int64_t *weights;
    const unsigned char *max; /* members with a treatment that counts for the household */
    size_t size_max;
    bool is_rounded; /* amounts that differ by little were taken as alike */
};

/* Amounts of a large base are rounded unless `is_exact`. */
CVM_MUST_CHECK enum cvm_status cvm_census_take(const struct cvm_problem *problem, bool is_exact,
                                               struct cvm_pool *pool, struct cvm_arena *arena,
                                               struct cvm_census *out_census,
                                               struct cvm_error *err);

#endif
