/* probability.h - churn as a probability, from a declared score or a monthly rate. For files of
 * recommend/ only. */
#ifndef CVM_RECOMMEND_PROBABILITY_H
#define CVM_RECOMMEND_PROBABILITY_H

#include "model/catalogue.h"

#define CVM_MONTH_DAYS 30.0

/* p over `from` days to p over `to` days at a constant rate: 1 - (1 - p)^(to / from). */
double cvm_probability_rescale(double p, double from_days, double to_days);

/* What the score says, over the score's own horizon; not for a missing one. */
double cvm_probability_calibrate(const struct cvm_score *score, double value);

#endif
