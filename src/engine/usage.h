/* usage.h - what one treatment of one customer uses of the constraints, and what that costs at
 * their prices.
 *
 * Amounts are those of the ledger: units, thousandths of a resource unit, millionths of money.
 */
#ifndef CVM_ENGINE_USAGE_H
#define CVM_ENGINE_USAGE_H

#include "allocation/problem.h"
#include "model/catalogue.h"
#include "storage/ledger.h"

/* Of a capacity or a resource, whoever the customer is; 0 for a budget or a treatment that does not
 * count. */
int64_t cvm_usage_units(const struct cvm_catalogue *catalogue, size_t constraint, size_t treatment);

/* Of every limited constraint that counts the treatment, for a customer of this monthly margin;
 * returns how many. */
size_t cvm_usage_of(const struct cvm_catalogue *catalogue, size_t treatment, double margin,
                    struct cvm_ledger_amount amounts[CVM_CONSTRAINTS_MAX]);

/* What a limited constraint, or one on a group, asks of every pair, in the solver's terms: one of
 * its units, or money. `inside` says per class whether its customers are in the group; NULL without
 * one. The limit of a reserve is what is left for the others; a share has none but the catalogue's.
 */
void cvm_usage_row(const struct cvm_catalogue *catalogue, size_t constraint, int64_t limit,
                   const unsigned char *inside, struct cvm_row *out_row);

/* What is known of a customer where a treatment is priced. */
struct cvm_usage_customer {
    double margin;   /* monthly */
    uint64_t groups; /* engine/groups.h */
};

/* prices[c] is per unit (or major unit of money) of constraint c, groups too; what is not above 0,
 * NaN too, costs nothing. Negative where a group that falls short of its minimum is served. */
double cvm_usage_price(const struct cvm_catalogue *catalogue, const double *prices,
                       size_t treatment, const struct cvm_usage_customer *customer);

#endif
