#include "recommend/probability.h"

#include <assert.h>

#include "base/maths.h"

/* A score of exactly 0 or 1 stays finite on the logit scale. */
#define SCORE_MARGIN 1e-9

double cvm_probability_rescale(double p, double from_days, double to_days)
{
    assert(from_days > 0.0 && to_days > 0.0);
    if (from_days == to_days || p <= 0.0) {
        return p;
    }
    if (p >= 1.0) {
        return 1.0;
    }
    return 1.0 - cvm_exp(cvm_log(1.0 - p) * (to_days / from_days));
}

double cvm_probability_calibrate(const struct cvm_score *score, double value)
{
    double p = value < 0.0 ? 0.0 : value > 1.0 ? 1.0 : value;
    if (score->intercept == 0.0 && score->slope == 1.0) {
        return p; /* what the formula gives, without its rounding */
    }
    p = p < SCORE_MARGIN ? SCORE_MARGIN : p > 1.0 - SCORE_MARGIN ? 1.0 - SCORE_MARGIN : p;
    double logit = cvm_log(p / (1.0 - p));
    return 1.0 / (1.0 + cvm_exp(-(score->intercept + score->slope * logit)));
}
