/* tariff.h - the problem seen at given prices: what each treatment costs whom.
 *
 * For files of allocation/ only. One tariff serves the problem and every table picked from it.
 */
#ifndef CVM_ALLOCATION_TARIFF_H
#define CVM_ALLOCATION_TARIFF_H

#include "allocation/kernel.h"

/* The price of what a row with a limit of 0 forbids: above every value. */
#define CVM_TARIFF_FORBIDDEN 1e28

struct cvm_tariff {
    const struct cvm_problem *problem;
    size_t count; /* treatments that can be given at all, in the order that breaks ties: cost,
                     priority, number */
    size_t class_count;
    unsigned char treatments[CVM_PROBLEM_TREATMENTS_MAX]; /* by place */
    /* price = flat[treatment x class_count + class] + rate[treatment] x amount, major units */
    double *flat;
    double *flat_of_class; /* the same, [class x treatment_count + treatment] */
    double rate[CVM_PROBLEM_TREATMENTS_MAX];
    struct cvm_fare fares[CVM_PROBLEM_TREATMENTS_MAX]; /* the same as floats, by place */
    float *fare_flats;
    /* How far the jitter moves a score besides its share of the price, by treatment; 0 but while
     * ties are broken from wide to narrow (search.c). */
    double blur[CVM_PROBLEM_TREATMENTS_MAX];
};

/* Which treatments can be given to anybody, in the order that breaks ties; returns how many. */
size_t cvm_tariff_order(const struct cvm_problem *problem,
                        unsigned char treatments[CVM_PROBLEM_TREATMENTS_MAX]);

/* All prices and blurs 0. */
CVM_MUST_CHECK enum cvm_status cvm_tariff_init(struct cvm_tariff *tariff,
                                               const struct cvm_problem *problem,
                                               struct cvm_arena *arena, struct cvm_error *err);
void cvm_tariff_set(struct cvm_tariff *tariff, const double *prices);

static inline double cvm_tariff_price(const struct cvm_tariff *tariff, size_t customer_class,
                                      size_t treatment, double amount)
{
    return tariff->flat[treatment * tariff->class_count + customer_class] +
           tariff->rate[treatment] * amount;
}

/* Does a row with a limit of 0 rule the pair out, whatever the prices? */
bool cvm_row_forbids(const struct cvm_row *row, size_t customer_class, size_t treatment);

/* Does the row count the treatment of anybody? */
static inline bool cvm_row_touches(const struct cvm_row *row, size_t treatment)
{
    return cvm_row_is_money(row) ? row->flat[treatment] != 0.0 || row->rate[treatment] != 0.0
                                 : row->units[treatment] != 0 || row->outside[treatment] != 0;
}

#endif
