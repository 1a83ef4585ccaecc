#include "recommend/probability.h"

#include <assert.h>
#include <math.h>

#define LN2_HIGH  0x1.62e42fefa3800p-1 /* k * LN2_HIGH is exact for every exponent k */
#define LN2_LOW   0x1.ef35793c76730p-45
#define LOG2_E    1.4426950408889634
#define ROOT_HALF 0.70710678118654752
/* A score of exactly 0 or 1 stays finite on the logit scale. */
#define SCORE_MARGIN 1e-9

double cvm_stable_log(double x)
{
    int exponent = 0;
    double mantissa = frexp(x, &exponent); /* frexp and ldexp are exact everywhere */
    if (mantissa < ROOT_HALF) {
        mantissa *= 2.0;
        exponent--;
    }
    double s = (mantissa - 1.0) / (mantissa + 1.0);
    double square = s * s;
    double sum = 0.0;
    for (int term = 21; term >= 3; term -= 2) {
        sum = (sum + 1.0 / term) * square;
    }
    double k = exponent;
    return k * LN2_HIGH + (2.0 * (s + s * sum) + k * LN2_LOW);
}

double cvm_stable_exp(double x)
{
    if (x > 700.0) {
        x = 700.0;
    } else if (x < -700.0) {
        x = -700.0;
    }
    double k = floor(x * LOG2_E + 0.5);
    double rest = (x - k * LN2_HIGH) - k * LN2_LOW;
    double sum = 1.0;
    for (int term = 15; term >= 1; term--) {
        sum = 1.0 + sum * rest / term;
    }
    return ldexp(sum, (int)k);
}

double cvm_probability_rescale(double p, double from_days, double to_days)
{
    assert(from_days > 0.0 && to_days > 0.0);
    if (from_days == to_days || p <= 0.0) {
        return p;
    }
    if (p >= 1.0) {
        return 1.0;
    }
    return 1.0 - cvm_stable_exp(cvm_stable_log(1.0 - p) * (to_days / from_days));
}

double cvm_probability_calibrate(const struct cvm_score *score, double value)
{
    double p = value < 0.0 ? 0.0 : value > 1.0 ? 1.0 : value;
    if (score->intercept == 0.0 && score->slope == 1.0) {
        return p; /* what the formula gives, without its rounding */
    }
    p = p < SCORE_MARGIN ? SCORE_MARGIN : p > 1.0 - SCORE_MARGIN ? 1.0 - SCORE_MARGIN : p;
    double logit = cvm_stable_log(p / (1.0 - p));
    return 1.0 / (1.0 + cvm_stable_exp(-(score->intercept + score->slope * logit)));
}
