/* learning.c - the arithmetic behind recommend/learning.h.
 *
 * | symbol | is |
 * |---|---|
 * | E | churns expected of the treated, C those seen |
 * | F | churns expected of the ghosts, D those seen |
 * | K | prior expected churns that say the model of churn is right: its factor is 1 with the
 *       relative standard deviation 1/sqrt(K) = 15 % |
 *
 * The model's factor is f = (K + D) / (K + F), a Gamma posterior, relative variance 1 / (K + D): a
 * few ghosts move it little, thousands decide it, and without any the 15 % stay in the variance,
 * so that a wrong churn score is never mistaken for a strong treatment. Then C is Poisson with mean
 * E f (1 - rho), and 1 - C / (E f) measures rho with the variance
 * (1 - rho)/(E f) + (1 - rho)^2 / (K + D). The unknown rho in it is the posterior mean, found by a
 * few rounds that begin at the prior: the seen C itself would give lucky small counts more weight
 * than unlucky ones.
 */
#include "recommend/learning.h"

#include <math.h>

/* K above; so many expected churns of ghosts make the value "calibrated". */
#define MODEL_CHURNS      44.0
#define CALIBRATED_CHURNS 50.0
#define PSEUDO_COUNTS_MIN 2.0
#define ROUNDS            4

static void learn_share(double *mean, double *sd, int64_t trials, int64_t successes)
{
    double prior = *mean;
    /* Known for certain: nothing can be learned. */
    if (trials <= 0 || *sd <= 0.0 || prior <= 0.0 || prior >= 1.0) {
        return;
    }
    double counts = fmax(prior * (1.0 - prior) / (*sd * *sd) - 1.0, PSEUDO_COUNTS_MIN);
    double all = counts + (double)trials;
    *mean = (counts * prior + (double)successes) / all;
    *sd = sqrt(*mean * (1.0 - *mean) / (all + 1.0));
}

static void learn_churn_cut(double *mean, double *sd, const struct cvm_learning *learning)
{
    double factor = (MODEL_CHURNS + (double)learning->controls_churned) /
                    (MODEL_CHURNS + learning->controls_expected);
    double expected = learning->treated_expected * factor;
    if (learning->treated <= 0 || expected <= 0.0 || *sd <= 0.0) {
        return;
    }
    double prior = *mean;
    double prior_weight = 1.0 / (*sd * *sd);
    double measured = 1.0 - (double)learning->treated_churned / expected;
    double doubt = 1.0 / (MODEL_CHURNS + (double)learning->controls_churned);
    double weight = 0.0;
    for (int round = 0; round < ROUNDS; round++) {
        double stays = fmax(1.0 - *mean, 1.0 / expected); /* of what would churn, still churns */
        weight = 1.0 / (stays / expected + stays * stays * doubt);
        *mean = (prior_weight * prior + weight * measured) / (prior_weight + weight);
    }
    *sd = sqrt(1.0 / (prior_weight + weight));
}

void cvm_response_learn(const struct cvm_response *prior, const struct cvm_learning *learning,
                        struct cvm_response *out_response)
{
    struct cvm_response response = *prior;
    int64_t outcomes = learning->contacts + learning->controls;
    if (outcomes + learning->treated > 0) {
        learn_share(&response.reach, &response.reach_sd, learning->contacts, learning->reached);
        learn_share(&response.accept, &response.accept_sd, learning->answers, learning->accepted);
        learn_churn_cut(&response.churn_cut, &response.churn_cut_sd, learning);
        bool is_calibrated =
            learning->treated > 0 && learning->controls_expected >= CALIBRATED_CHURNS;
        response.source = is_calibrated ? "calibrated" : "learned";
        response.outcomes = outcomes;
    }
    *out_response = response;
}
