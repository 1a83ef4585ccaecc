#include "model/money.h"

#include <math.h>

#define DECIMALS_MAX 6

int64_t cvm_micro_from_double(double major)
{
    if (isnan(major)) {
        return 0;
    }
    double micro = major * CVM_MICRO_PER_UNIT;
    if (micro >= (double)CVM_MICRO_MAX) {
        return CVM_MICRO_MAX;
    }
    if (micro <= -(double)CVM_MICRO_MAX) {
        return -CVM_MICRO_MAX;
    }
    return (int64_t)nearbyint(micro); /* the default rounding mode: half to even */
}

double cvm_micro_to_double(int64_t micro)
{
    return (double)micro / CVM_MICRO_PER_UNIT;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool cvm_micro_parse(const char *text, size_t length, int64_t *out_micro)
{
    size_t at = 0;
    bool negative = length > 0 && text[0] == '-';
    int64_t micro = 0;
    int decimals = 0;

    at += negative ? 1 : 0;
    if (at == length || !is_digit(text[at])) {
        return false;
    }
    for (; at < length && is_digit(text[at]); at++) {
        micro = micro * 10 + (text[at] - '0');
        if (micro > CVM_MICRO_MAX / CVM_MICRO_PER_UNIT) {
            return false;
        }
    }
    if (at < length && text[at] == '.') {
        for (at++; at < length && is_digit(text[at]) && decimals < DECIMALS_MAX; at++) {
            micro = micro * 10 + (text[at] - '0');
            decimals++;
        }
        if (decimals == 0) {
            return false;
        }
    }
    if (at != length) {
        return false;
    }
    for (; decimals < DECIMALS_MAX; decimals++) {
        micro *= 10;
    }
    if (micro > CVM_MICRO_MAX) {
        return false;
    }
    *out_micro = negative ? -micro : micro;
    return true;
}

int64_t cvm_micro_add(int64_t a, int64_t b)
{
    int64_t sum = 0;
    if (__builtin_add_overflow(a, b, &sum)) {
        return a < 0 ? -CVM_MICRO_MAX : CVM_MICRO_MAX;
    }
    return sum > CVM_MICRO_MAX ? CVM_MICRO_MAX : sum < -CVM_MICRO_MAX ? -CVM_MICRO_MAX : sum;
}
