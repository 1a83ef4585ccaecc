/* weighted.h - means over customers who were selected with unequal probability.
 *
 * Each counts with 1 / probability, so that the mean stands for everybody who could have been
 * selected: the ratio estimator of Hajek, with its linearised standard error (C.-E. Sarndal, B.
 * Swensson, J. Wretman, Model Assisted Survey Sampling, 1992, 5.7). Sums may be added: a database
 * can make them.
 */
#ifndef CVM_EVALUATION_WEIGHTED_H
#define CVM_EVALUATION_WEIGHTED_H

#include <stdint.h>

#include "evaluation/proportion.h"

struct cvm_weighted {
    int64_t count;
    double weight;         /* sum of w */
    double weight2;        /* of w^2 */
    double value;          /* of w y */
    double weight2_value;  /* of w^2 y */
    double weight2_value2; /* of w^2 y^2 */
};

/* A probability outside (0, 1] can not have selected anybody: it is passed over. */
void cvm_weighted_add(struct cvm_weighted *sums, double probability, double value);

/* NaN for nobody. */
double cvm_weighted_mean(const struct cvm_weighted *sums);
double cvm_weighted_standard_error(const struct cvm_weighted *sums);
/* As many equally likely customers would tell as much (L. Kish, Survey Sampling, 1965): (sum w)^2 /
 * sum w^2. */
double cvm_weighted_effective_size(const struct cvm_weighted *sums);
/* Of values 0 and 1. */
struct cvm_proportion cvm_weighted_proportion(const struct cvm_weighted *sums);

#endif
