/* Range reduction by ln 2, then the plain series: a table of minimax coefficients would save a few
 * nanoseconds and cost the reader more. */
#include "base/maths.h"

#include <math.h>

#define LN_2_HIGH 0x1.62e42fee00000p-1 /* k * LN_2_HIGH is exact for every exponent k */
#define LN_2_LOW  0x1.a39ef35793c76p-33
#define LOG_2_E   1.4426950408889634

/* exp x = 2^k exp r, |r| <= ln 2 / 2 */
double cvm_exp(double x)
{
    static const double inverse[] = {0.0,      1.0,      1.0 / 2,  1.0 / 3,  1.0 / 4,
                                     1.0 / 5,  1.0 / 6,  1.0 / 7,  1.0 / 8,  1.0 / 9,
                                     1.0 / 10, 1.0 / 11, 1.0 / 12, 1.0 / 13, 1.0 / 14};
    if (x > 709.0) {
        return INFINITY;
    }
    if (x < -745.0) {
        return 0.0;
    }
    double k = floor(x * LOG_2_E + 0.5);
    double r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    double sum = 1.0;
    for (int n = 14; n >= 1; n--) {
        sum = 1.0 + sum * r * inverse[n];
    }
    return ldexp(sum, (int)k);
}

/* log x = e ln 2 + 2 atanh((m - 1) / (m + 1)) for x = m 2^e, m in [sqrt 1/2, sqrt 2). */
double cvm_log(double x)
{
    int exponent = 0;
    double m = frexp(x, &exponent);
    if (m < 0.70710678118654752) {
        m *= 2.0;
        exponent--;
    }
    double s = (m - 1.0) / (m + 1.0);
    double square = s * s;
    double sum = 0.0;
    for (int k = 23; k >= 1; k -= 2) {
        sum = sum * square + 1.0 / k;
    }
    return exponent * LN_2_HIGH + (2.0 * s * sum + exponent * LN_2_LOW);
}

double cvm_logistic(double x)
{
    return 1.0 / (1.0 + cvm_exp(-x));
}

double cvm_logit(double p)
{
    return cvm_log(p / (1.0 - p));
}
