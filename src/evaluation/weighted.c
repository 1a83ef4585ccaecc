#include "evaluation/weighted.h"

#include <math.h>

void cvm_weighted_add(struct cvm_weighted *sums, double probability, double value)
{
    if (!(probability > 0) || probability > 1 || isnan(value)) {
        return;
    }
    double weight = 1 / probability;
    sums->count++;
    sums->weight += weight;
    sums->weight2 += weight * weight;
    sums->value += weight * value;
    sums->weight2_value += weight * weight * value;
    sums->weight2_value2 += weight * weight * value * value;
}

double cvm_weighted_mean(const struct cvm_weighted *sums)
{
    return sums->weight > 0 ? sums->value / sums->weight : NAN;
}

/* sqrt(sum w^2 (y - mean)^2) / sum w, the square multiplied out */
double cvm_weighted_standard_error(const struct cvm_weighted *sums)
{
    double mean = cvm_weighted_mean(sums);
    if (isnan(mean)) {
        return NAN;
    }
    double squares =
        sums->weight2_value2 - 2 * mean * sums->weight2_value + mean * mean * sums->weight2;
    return sqrt(squares > 0 ? squares : 0) / sums->weight;
}

double cvm_weighted_effective_size(const struct cvm_weighted *sums)
{
    return sums->weight2 > 0 ? sums->weight * sums->weight / sums->weight2 : 0;
}

struct cvm_proportion cvm_weighted_proportion(const struct cvm_weighted *sums)
{
    return (struct cvm_proportion){cvm_weighted_mean(sums), cvm_weighted_effective_size(sums)};
}
