/* kernel.h - the two inner loops over customers, in the fastest form that this machine runs.
 *
 * For files of allocation/ only. Both work on blocks of sixteen customers with one treatment each,
 * sixteen lanes at once; every lane is computed alone, so that the width changes nothing.
 */
#ifndef CVM_ALLOCATION_KERNEL_H
#define CVM_ALLOCATION_KERNEL_H

#include "allocation/solver.h"
#include "allocation/table.h"

/* What one treatment costs at given prices: flat[class] + rate x amount. */
struct cvm_fare {
    const float *flat; /* per class, padded to whole sixteens */
    float rate;
    float blur;   /* see tariff.h */
    float factor; /* turns a customer's jitter, so that no two treatments move together */
    /* The price may move by spread x |price| + slack either way (cvm_kernel.narrow). */
    float spread;
    float slack;
    uint32_t column; /* offset of the treatment in a block */
    bool is_free;    /* nobody pays anything */
};

/* What a kernel reads: a table at a tariff. */
struct cvm_kernel_pass {
    const struct cvm_table *table;
    const struct cvm_fare *fares; /* in the order that breaks ties */
    size_t fare_count;
    size_t class_count;
    bool is_jittered;
    unsigned char *choices; /* per customer: place in `fares`, or fare_count; NULL = not wanted */
};

/* What it adds up over the customers it is given. */
struct cvm_kernel_sums {
    double gain[CVM_PROBLEM_BLOCK];             /* best scores, or values of the decided */
    double amounts[CVM_PROBLEM_TREATMENTS_MAX]; /* by place */
    int64_t *counts;                            /* [class x fare_count + place] */
};

/* Customers whose choice depends on where the price moves. */
struct cvm_kernel_list {
    uint32_t *customers;
    float *values; /* treatment_count per customer */
    size_t count;
    size_t room;
    bool is_full; /* some did not fit */
};
#define CVM_UNDECIDED 254 /* among choices */

/* Adding and taking away 1.5 x 2^52 rounds a double below 2^51 half to even, as
 * cvm_micro_from_double() does; uses are below 2^51 micros by cvm_problem_check(). */
#define CVM_MICRO_ROUNDER 6755399441055744.0

/* What one treatment costs, in double and whole micros: for the certificate. */
struct cvm_exact_fare {
    const double *flat; /* per class: all but */
    size_t rated_count; /* budgets that ask a share of the amount */
    struct cvm_rated {
        double price_micro, flat, rate; /* the price of a millionth */
    } rated[CVM_PROBLEM_ROWS_MAX];
};
struct cvm_exact_pass {
    const struct cvm_problem *problem;
    const struct cvm_exact_fare *fares; /* by treatment */
    size_t class_count;
};

/* One customer of the general form: what each treatment costs it and is worth at that, in double
 * and with the jitter of the other kernels. By treatment. */
struct cvm_kernel_member {
    int treatment_count;
    const double *flats; /* of the customer's class */
    const double *rates;
    const double *blurs;
    const float *values;
    double amount;
    float jitter;
    bool is_jittered;
};

struct cvm_kernel {
    /* Customers first to end - 1, first a multiple of 16: the best treatment of each. */
    void (*choose)(const struct cvm_kernel_pass *pass, size_t first, size_t end,
                   struct cvm_kernel_sums *sums);
    /* The same where it is best however the prices move; the others go to the list. */
    void (*narrow)(const struct cvm_kernel_pass *pass, size_t first, size_t end,
                   struct cvm_kernel_sums *sums, struct cvm_kernel_list *list);
    void (*score)(const struct cvm_kernel_member *member, double *restrict prices,
                  double *restrict scores);
    /* Adds everybody's best score, exactly, to sixteen sums. */
    void (*bound)(const struct cvm_exact_pass *pass, size_t first, size_t end, double *gain);
};

/* CVM_E_INVALID where this machine or build lacks them. */
CVM_MUST_CHECK enum cvm_status cvm_kernel_find(enum cvm_instructions instructions,
                                               const struct cvm_kernel **out_kernel,
                                               struct cvm_error *err);

extern const struct cvm_kernel cvm_kernel_plain;
extern const struct cvm_kernel cvm_kernel_avx2;
extern const struct cvm_kernel cvm_kernel_avx512;

/* Thousands of customers may have exactly the same value, and then one price treats them all alike:
 * all in or all out. So each sees prices up to one part in 2^17 higher or lower, by its key and the
 * treatment. The bound is computed without it. */
#define CVM_JITTER_SHARE 0x1p-16f

#endif
