/* proportion.h - shares of customers: their intervals, differences and ratios, and what a test of a
 * given size can see at all.
 *
 * Pure. 95 % intervals, two-sided tests at 5 %. A rate may come with an effective size (weighted
 * means: weighted.h), which need not be whole. A rate of nobody gives NaN.
 */
#ifndef CVM_EVALUATION_PROPORTION_H
#define CVM_EVALUATION_PROPORTION_H

/* The normal quantiles of 95 % on both sides, and of 80 % on one. */
#define CVM_Z_95 1.959963984540054
#define CVM_Z_80 0.8416212335729143

struct cvm_proportion {
    double rate; /* 0 to 1 */
    double size; /* customers, or as many as the weights leave */
};
struct cvm_proportion cvm_proportion_of(double hits, double size);

struct cvm_interval {
    double estimate;
    double low;
    double high;
};

/* Wilson's score interval (E. B. Wilson, JASA 22, 1927). */
struct cvm_interval cvm_proportion_interval(struct cvm_proportion proportion);

/* first - second by Newcombe's hybrid score interval, his method 10 (R. G. Newcombe, Statistics in
 * Medicine 17, 1998, 873-890): right also for few customers and for rates of 0 and 1. */
struct cvm_interval cvm_proportion_difference(struct cvm_proportion first,
                                              struct cvm_proportion second);

/* first / second with Katz's logarithmic interval (D. Katz et al., Biometrics 34, 1978, 469-474).
 * Where one of them has no hit, half a hit is added to both for the interval (not the estimate). */
struct cvm_interval cvm_proportion_ratio(struct cvm_proportion first, struct cvm_proportion second);

/* The smallest fall of `rate` that groups of these sizes find in 80 of 100 tests (J. L. Fleiss,
 * Statistical Methods for Rates and Proportions, 1981, formula 3.14, for unequal groups). NaN when
 * even a fall to 0 would not be found. */
double cvm_smallest_fall(double rate, double size, double reference_size);

#endif
