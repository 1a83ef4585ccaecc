/* money.h - money that is spent, capped or billed: int64 millionths of the deployment's one
 * currency. */
#ifndef CVM_MODEL_MONEY_H
#define CVM_MODEL_MONEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CVM_MICRO_PER_UNIT 1000000
#define CVM_MICRO_MAX      INT64_C(1000000000000000000) /* 10^12 major units */

/* Major units to millionths, half to even; saturates at +-CVM_MICRO_MAX; NaN gives 0. */
int64_t cvm_micro_from_double(double major);
double cvm_micro_to_double(int64_t micro);
/* "12.5", "-0.000001"; at most 6 decimals; false for anything else. */
bool cvm_micro_parse(const char *text, size_t length, int64_t *out_micro);
/* Sums that saturate instead of wrapping. */
int64_t cvm_micro_add(int64_t a, int64_t b);

#endif
