/* tariff.h - the problem seen at given prices: what each treatment costs, and one pass over all
 * customers that chooses the best for each.
 *
 * For files of allocation/ only. A pass works in float on blocks of 16 customers; its sums are made
 * per group of CVM_GROUP_SIZE customers in customer order and added in group order, so they do not
 * depend on threads.
 */
#ifndef CVM_ALLOCATION_TARIFF_H
#define CVM_ALLOCATION_TARIFF_H

#include <stdbool.h>

#include "allocation/problem.h"
#include "base/arena.h"
#include "base/threads.h"

#define CVM_GROUP_SIZE ((size_t)8192)

/* A pair below this is ineligible: far from every value, and from the padding. */
#define CVM_PROBLEM_VALUE_MIN (-1e29f)

struct cvm_tariff {
    size_t count; /* treatments that can be given at all, in the order that breaks ties */
    unsigned char treatments[CVM_PROBLEM_TREATMENTS_MAX];
    /* by treatment: price = flat + rate x amount, major units of value */
    double flat[CVM_PROBLEM_TREATMENTS_MAX];
    double rate[CVM_PROBLEM_TREATMENTS_MAX];
    /* How far the jitter moves a score besides its share of the price; 0 but while searching. */
    double blur[CVM_PROBLEM_TREATMENTS_MAX];
};

/* Which treatments are left, in order of cost, priority, number; all prices and blurs 0. */
void cvm_tariff_init(const struct cvm_problem *problem, struct cvm_tariff *tariff);
void cvm_tariff_set(const struct cvm_problem *problem, const double *prices,
                    struct cvm_tariff *tariff);

/* A row's limit and the use of one pair, as the prices see them: units, or major units of money. */
double cvm_row_limit(const struct cvm_row *row);
static inline bool cvm_row_touches(const struct cvm_row *row, size_t treatment)
{
    return row->kind == CVM_ROW_UNITS ? row->units[treatment] != 0
                                      : row->flat[treatment] != 0.0 || row->rate[treatment] != 0.0;
}

/* The customers of a pass: all of them, or a sample. */
struct cvm_pass_data {
    size_t customer_count;
    size_t treatment_count;
    const float *values;  /* as in struct cvm_problem */
    const float *amounts; /* NULL = 0 */
    const float *jitters; /* per customer in [0, 1), padded to whole blocks */
};

/* The hash of a customer as a jitter. */
float cvm_jitter(uint64_t key);

struct cvm_pass_sums {
    double gain; /* sum over customers of the best score, 0 if none is positive */
    int64_t counts[CVM_PROBLEM_TREATMENTS_MAX];
    double amounts[CVM_PROBLEM_TREATMENTS_MAX]; /* sum of amounts of those who get it */
};

/* One per group. */
struct cvm_pass_sums *cvm_pass_scratch(struct cvm_arena *arena, size_t customer_count);

/* choices: NULL, or per customer where to write the treatment chosen. */
void cvm_pass_run(const struct cvm_pass_data *data, const struct cvm_tariff *tariff,
                  struct cvm_pool *pool, struct cvm_pass_sums *scratch, unsigned char *choices,
                  struct cvm_pass_sums *out_sums);

size_t cvm_group_count(size_t customer_count);

/* Run task(state, group, worker) for every group: on the pool, or here where that is faster. The
 * task can not fail. */
typedef void (*cvm_group_fn)(void *state, size_t group, size_t worker);
void cvm_groups_run(struct cvm_pool *pool, size_t group_count, cvm_group_fn task, void *state);

#endif
