/* problem.h - the whole-base problem in columns: maximise the total value of the treatments given,
 * under tens of rows (constraints).
 *
 * Customers stand in blocks of 16, treatment-major inside the block: value of treatment t for
 * customer i is values[(i / 16) * 16 * treatment_count + t * 16 + i % 16]; the last block is padded
 * with CVM_PROBLEM_INELIGIBLE. They stand in ascending order of key, so that nothing depends on the
 * order in which they came. Nothing is owned: the columns belong to the caller and are only read.
 */
#ifndef CVM_ALLOCATION_PROBLEM_H
#define CVM_ALLOCATION_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CVM_PROBLEM_BLOCK            16
#define CVM_PROBLEM_INELIGIBLE       (-1e30f)
#define CVM_PROBLEM_TREATMENTS_MAX   64
#define CVM_PROBLEM_ROWS_MAX         128
#define CVM_PROBLEM_CLASSES_MAX      4096
#define CVM_PROBLEM_PER_CUSTOMER_MAX 8
#define CVM_NOTHING                  255 /* in a plan: no treatment */
#define CVM_NO_GROUP                 UINT32_MAX

/* A pair below this is ineligible: far from every value, and from the padding. */
#define CVM_PROBLEM_VALUE_MIN (-1e29f)

/* What a row says of the pairs (customer, treatment) of a plan. "Covered" are its treatments,
 * "inside" the customers of its classes. */
enum cvm_row_kind {
    CVM_ROW_CAPACITY,    /* covered pairs <= limit */
    CVM_ROW_SHARED,      /* sum of units of covered pairs <= limit */
    CVM_ROW_BUDGET,      /* sum of flat[t] + rate[t] * amount(i), in micros, half-even per pair */
    CVM_ROW_SEGMENT_MAX, /* covered pairs inside <= limit */
    CVM_ROW_SEGMENT_MIN, /* covered pairs inside >= limit */
    CVM_ROW_SHARE_MIN,   /* covered pairs inside >= share of all covered pairs */
    CVM_ROW_SHARE_MAX,   /* covered pairs inside <= share of all covered pairs */
    CVM_ROW_RESERVE      /* covered pairs outside <= limit: what is left of a capacity */
};

/* Every kind in one form: sum of use over the pairs of the plan <= limit. Made by cvm_row_make().
 */
struct cvm_row {
    const char *name;
    enum cvm_row_kind kind;
    int64_t limit; /* of the sum; negative for a minimum */
    int64_t scale; /* so many of use are one unit that people speak of; prices are per such unit */
    const unsigned char *inside; /* per class, 1 = its customers are inside; NULL = all are */
    int64_t units[CVM_PROBLEM_TREATMENTS_MAX];   /* use of a customer inside; 0 = not covered */
    int64_t outside[CVM_PROBLEM_TREATMENTS_MAX]; /* and of one outside */
    double flat[CVM_PROBLEM_TREATMENTS_MAX];     /* CVM_ROW_BUDGET only, major units */
    double rate[CVM_PROBLEM_TREATMENTS_MAX];
};

/* What cvm_row_make() makes a row of. */
struct cvm_row_terms {
    const char *name;
    enum cvm_row_kind kind;
    uint64_t treatments;         /* bit per covered treatment */
    const unsigned char *inside; /* of a row on a segment; of CVM_ROW_RESERVE: high value */
    int64_t limit;               /* as people say it, in use (micros for a budget) */
    double share;                /* CVM_ROW_SHARE_MIN, CVM_ROW_SHARE_MAX instead */
    int64_t scale;               /* 0 = 1; ignored for shares and budgets */
    const int64_t *units;        /* CVM_ROW_SHARED: per treatment; NULL = 1 each */
    const double *flat;          /* CVM_ROW_BUDGET: per treatment */
    const double *rate;
};
void cvm_row_make(const struct cvm_row_terms *terms, struct cvm_row *out_row);

/* Shares are kept to one part in 10^9. */
#define CVM_ROW_SHARE_SCALE INT64_C(1000000000)

static inline bool cvm_row_is_money(const struct cvm_row *row)
{
    return row->kind == CVM_ROW_BUDGET;
}
/* A minimum may be out of reach; then it falls short by as little as possible. */
static inline bool cvm_row_is_minimum(const struct cvm_row *row)
{
    return row->kind == CVM_ROW_SEGMENT_MIN || row->kind == CVM_ROW_SHARE_MIN;
}

struct cvm_problem {
    size_t customer_count;
    size_t treatment_count;
    const float *values;
    const double *exact_values; /* NULL, or what the floats were rounded from, in the same blocks:
                                   the certificate speaks of these */
    const uint64_t *keys;       /* strictly ascending; ties between customers go by them */
    const double *amounts;      /* per customer, 0 to 10^9; NULL = 0 */
    const uint16_t *classes;    /* per customer, which rows it is inside of; NULL = all class 0 */
    size_t class_count;         /* 0 = 1 */
    const int64_t *priorities;  /* per treatment, 1 = highest: breaks exact ties of value within a
                                   customer, after */
    const int64_t *tie_cost_micro; /* lower cost */
    const struct cvm_row *rows;
    size_t row_count;
    /* A forced treatment: customers are taken in order of its value until a row ends, also where it
     * is negative; -1 = the ordinary problem. */
    int forced_treatment;
    size_t per_customer_max; /* treatments per customer; 0 = 1 */
    const uint64_t
        *exclusions; /* per treatment: bits of those that never go with it; NULL = none */
    /* Households: of the customers of a group at most so many get one of the treatments that count
     * (the others are free). */
    const uint32_t *groups; /* per customer, below group_count, or CVM_NO_GROUP; NULL = none */
    size_t group_count;
    const unsigned char *group_max; /* per group; NULL = 1 each */
    uint64_t group_treatments;      /* bit per treatment that counts */
};

/* Counts, ranges, order of keys; names the fault. */
CVM_MUST_CHECK enum cvm_status cvm_problem_check(const struct cvm_problem *problem,
                                                 struct cvm_error *err);

static inline size_t cvm_problem_at(const struct cvm_problem *problem, size_t customer,
                                    size_t treatment)
{
    return customer / CVM_PROBLEM_BLOCK * CVM_PROBLEM_BLOCK * problem->treatment_count +
           treatment * CVM_PROBLEM_BLOCK + customer % CVM_PROBLEM_BLOCK;
}
static inline float cvm_problem_value(const struct cvm_problem *problem, size_t customer,
                                      size_t treatment)
{
    return problem->values[cvm_problem_at(problem, customer, treatment)];
}
static inline double cvm_problem_exact(const struct cvm_problem *problem, size_t customer,
                                       size_t treatment)
{
    size_t at = cvm_problem_at(problem, customer, treatment);
    return problem->exact_values != NULL ? problem->exact_values[at] : (double)problem->values[at];
}
static inline double cvm_problem_amount(const struct cvm_problem *problem, size_t customer)
{
    return problem->amounts != NULL ? problem->amounts[customer] : 0.0;
}
static inline size_t cvm_problem_class(const struct cvm_problem *problem, size_t customer)
{
    return problem->classes != NULL ? problem->classes[customer] : 0;
}
static inline size_t cvm_problem_per_customer(const struct cvm_problem *problem)
{
    return problem->per_customer_max > 0 ? problem->per_customer_max : 1;
}

/* The use of one pair. */
int64_t cvm_row_use(const struct cvm_row *row, size_t customer_class, size_t treatment,
                    double amount);
/* Use as people speak of it: in units of the row's scale. */
static inline double cvm_row_natural(const struct cvm_row *row, int64_t use)
{
    return (double)use / (double)row->scale;
}

#endif
