#include "evaluation/proportion.h"

#include <math.h>

struct cvm_proportion cvm_proportion_of(double hits, double size)
{
    return (struct cvm_proportion){size > 0 ? hits / size : NAN, size};
}

struct cvm_interval cvm_proportion_interval(struct cvm_proportion proportion)
{
    double n = proportion.size;
    double p = proportion.rate;
    if (!(n > 0) || isnan(p)) {
        return (struct cvm_interval){NAN, NAN, NAN};
    }
    double z2 = CVM_Z_95 * CVM_Z_95;
    double middle = (2 * n * p + z2) / (2 * (n + z2));
    double half = CVM_Z_95 * sqrt(z2 + 4 * n * p * (1 - p)) / (2 * (n + z2));
    return (struct cvm_interval){
        .estimate = p,
        .low = p <= 0 ? 0 : middle - half, /* exactly, not nearly */
        .high = p >= 1 ? 1 : middle + half,
    };
}

struct cvm_interval cvm_proportion_difference(struct cvm_proportion first,
                                              struct cvm_proportion second)
{
    struct cvm_interval one = cvm_proportion_interval(first);
    struct cvm_interval two = cvm_proportion_interval(second);
    double difference = one.estimate - two.estimate;
    return (struct cvm_interval){
        .estimate = difference,
        .low = difference - hypot(one.estimate - one.low, two.high - two.estimate),
        .high = difference + hypot(one.high - one.estimate, two.estimate - two.low),
    };
}

struct cvm_interval cvm_proportion_ratio(struct cvm_proportion first, struct cvm_proportion second)
{
    struct cvm_interval nothing = {NAN, NAN, NAN};
    if (!(first.size > 0) || !(second.size > 0) || isnan(first.rate) || isnan(second.rate)) {
        return nothing;
    }
    double a = first.rate * first.size;
    double b = second.rate * second.size;
    double add = a > 0 && b > 0 ? 0 : 0.5;
    double log_ratio = log((a + add) / (first.size + add)) - log((b + add) / (second.size + add));
    double variance =
        1 / (a + add) - 1 / (first.size + add) + 1 / (b + add) - 1 / (second.size + add);
    double half = CVM_Z_95 * sqrt(variance > 0 ? variance : 0);
    return (struct cvm_interval){
        .estimate = second.rate > 0 ? first.rate / second.rate : NAN,
        .low = exp(log_ratio - half),
        .high = exp(log_ratio + half),
    };
}

/* How far the fall stands above what the test needs to find it. */
static double excess(double rate, double fall, double size, double reference_size)
{
    double fallen = rate - fall;
    double pooled = (fallen * size + rate * reference_size) / (size + reference_size);
    double under_none = sqrt(pooled * (1 - pooled) * (1 / size + 1 / reference_size));
    double under_fall = sqrt(fallen * (1 - fallen) / size + rate * (1 - rate) / reference_size);
    return fall - CVM_Z_95 * under_none - CVM_Z_80 * under_fall;
}

double cvm_smallest_fall(double rate, double size, double reference_size)
{
    if (!(rate > 0) || !(rate < 1) || !(size > 0) || !(reference_size > 0) ||
        excess(rate, rate, size, reference_size) < 0) {
        return NAN;
    }
    double low = 0;
    double high = rate;
    for (int step = 0; step < 100; step++) { /* to the last bit */
        double middle = low + (high - low) / 2;
        if (excess(rate, middle, size, reference_size) < 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}
