/* problem.h - the whole-base problem in columns: maximise total value, at most one treatment per
 * customer, under tens of rows (constraints).
 *
 * Customers stand in blocks of 16, treatment-major inside the block: value of treatment t for
 * customer i is values[(i / 16) * 16 * treatment_count + t * 16 + i % 16]; the last block is padded
 * with CVM_PROBLEM_INELIGIBLE. Nothing is owned: the columns belong to the caller and are only
 * read.
 */
#ifndef CVM_ALLOCATION_PROBLEM_H
#define CVM_ALLOCATION_PROBLEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CVM_PROBLEM_BLOCK          16
#define CVM_PROBLEM_INELIGIBLE     (-1e30f)
#define CVM_PROBLEM_TREATMENTS_MAX 64
#define CVM_PROBLEM_ROWS_MAX       128
#define CVM_NOTHING                255 /* in a plan: no treatment */

enum cvm_row_kind {
    CVM_ROW_UNITS, /* use = units[t], limit in the same units (thousandths for resources) */
    CVM_ROW_MONEY  /* use = micros of flat[t] + rate[t] * amount(i), half-even per pair; limit in
                      micros */
};

/* sum of use over chosen pairs <= limit */
struct cvm_row {
    const char *name;
    enum cvm_row_kind kind;
    int64_t limit;
    int64_t units[CVM_PROBLEM_TREATMENTS_MAX]; /* 0 = the treatment does not count */
    double flat[CVM_PROBLEM_TREATMENTS_MAX];   /* major units */
    double rate[CVM_PROBLEM_TREATMENTS_MAX];
    /* room for issue "3 of 5": segment, minimum, share and reserve rows */
};

struct cvm_problem {
    size_t customer_count;
    size_t treatment_count;
    const float *values;
    const uint64_t *keys;      /* customer keys: break ties by hash(customer, treatment) */
    const float *amounts;      /* per customer; NULL = 0 */
    const int64_t *priorities; /* per treatment, 1 = highest: breaks exact ties of value within a
                                  customer, after */
    const int64_t *tie_cost_micro; /* lower cost */
    const struct cvm_row *rows;
    size_t row_count;
    /* A forced treatment: customers are taken in order of its value until a row ends, also where it
     * is negative; -1 = the ordinary problem. */
    int forced_treatment;
};

/* Counts and ranges; names the fault. */
CVM_MUST_CHECK enum cvm_status cvm_problem_check(const struct cvm_problem *problem,
                                                 struct cvm_error *err);

static inline float cvm_problem_value(const struct cvm_problem *problem, size_t customer,
                                      size_t treatment)
{
    return problem
        ->values[(customer / CVM_PROBLEM_BLOCK) * CVM_PROBLEM_BLOCK * problem->treatment_count +
                 treatment * CVM_PROBLEM_BLOCK + customer % CVM_PROBLEM_BLOCK];
}
int64_t cvm_row_use(const struct cvm_row *row, size_t treatment, double amount);

#endif
