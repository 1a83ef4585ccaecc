/* learning.h - what outcomes make of a prior: conjugate updates of reach, acceptance and churn cut.
 *
 * reach and accept: Beta with the prior's mean and sd, plus counts. churn cut: Normal prior; the
 * measurement is 1 - (churned / expected) of reached ones, expected being scaled by what the ghosts
 * of the same treatment showed where there are enough of them ("calibrated", else "learned"),
 * its variance from the counts (Poisson, delta method). Gelman et al., Bayesian Data Analysis, 2.
 */
#ifndef CVM_RECOMMEND_LEARNING_H
#define CVM_RECOMMEND_LEARNING_H

#include "model/catalogue.h"
#include "model/learning.h"

/* *out_response is the prior where nothing was learned; `source` and `outcomes` say what it is. */
void cvm_response_learn(const struct cvm_response *prior, const struct cvm_learning *learning,
                        struct cvm_response *out_response);

#endif
