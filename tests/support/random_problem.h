/* random_problem.h - made-up problems of allocation with rows of every kind; each a function of its
 * seed alone.
 *
 * Beside the product's rows stand the words they were made of (`terms`), so that a test can say on
 * its own what they mean.
 */
#ifndef CVM_TESTS_RANDOM_PROBLEM_H
#define CVM_TESTS_RANDOM_PROBLEM_H

#include "allocation/plan.h"

enum random_values {
    RANDOM_VALUES_PLAIN, /* heavy-tailed worth of a customer x lift of a treatment - its cost */
    RANDOM_VALUES_EXACT, /* the same in double, of which the floats are rounded */
    RANDOM_VALUES_GRID,  /* the same in steps of 5: mass ties */
    RANDOM_VALUES_EQUAL,
    RANDOM_VALUES_ZERO,
    RANDOM_VALUES_NEGATIVE,
    RANDOM_VALUES_MIXED, /* 1e-9 and 1e9 side by side */
    RANDOM_VALUES_COUNT
};

struct random_shape {
    uint64_t seed;
    size_t customers;
    size_t treatments;
    size_t per_customer_max;
    bool has_households;
    enum random_values values;
};

#define RANDOM_CLASSES_MAX 24

/* What one row was made of. */
struct random_row {
    char name[24];
    unsigned char inside[RANDOM_CLASSES_MAX];
    int64_t units[CVM_PROBLEM_TREATMENTS_MAX];
    double flat[CVM_PROBLEM_TREATMENTS_MAX];
    double rate[CVM_PROBLEM_TREATMENTS_MAX];
};

struct random_problem {
    struct cvm_problem problem;
    struct cvm_row_terms terms[CVM_PROBLEM_ROWS_MAX];
    struct random_row made[CVM_PROBLEM_ROWS_MAX];
    struct cvm_row rows[CVM_PROBLEM_ROWS_MAX];
    uint64_t exclusions[CVM_PROBLEM_TREATMENTS_MAX];
    int64_t priorities[CVM_PROBLEM_TREATMENTS_MAX];
    int64_t costs[CVM_PROBLEM_TREATMENTS_MAX];
    /* The columns, owned. Exactly as long as the problem says, so that sanitizers see a read
     * beyond. */
    float *values;
    double *exact;
    double *amounts;
    uint64_t *keys;
    uint16_t *classes;
    uint32_t *groups;
    unsigned char *group_max;
};

/* At most 8 customers and 4 treatments; anything goes: limits of 0, minimums that nobody can
 * reach. */
struct random_problem *random_problem_small(uint64_t seed);
/* The same customers among many others who may get nothing: its plans are worth the same. */
struct random_problem *random_problem_among_others(const struct random_problem *small);
/* Every kind of row; there is a plan that keeps them all. */
struct random_problem *random_problem_big(const struct random_shape *shape);
/* A shape for each seed: 6 to 16 treatments, one or two per customer, with or without
 * households. */
struct random_shape random_shape_of(uint64_t seed, size_t customers);
void random_problem_free(struct random_problem *made);

/* Room for the problem's treatments; to be freed. */
unsigned char *random_problem_treatments(const struct random_problem *made);

/* The use of one pair in words of the terms, apart from the product. */
int64_t random_row_use(const struct cvm_row_terms *terms, size_t customer_class, size_t treatment,
                       double amount);

#endif
