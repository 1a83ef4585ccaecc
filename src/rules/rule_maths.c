#include <math.h>

#include "base/date.h"
#include "rules/rule_kernels.h"

/* Days of the years 1..9999; outside a date has no parts. */
#define DAY_FIRST (-719162.0)
#define DAY_LAST  2932896.0

double cvm_rule_date_part(enum cvm_rule_opcode code, double day)
{
    double whole = floor(day);
    if (!(whole >= DAY_FIRST && whole <= DAY_LAST)) {
        return NAN;
    }
    if (code == CVM_OP_WEEKDAY) {
        return cvm_day_weekday((int32_t)whole);
    }
    struct cvm_date date = cvm_date_from_day((int32_t)whole);
    return code == CVM_OP_YEAR ? date.year : code == CVM_OP_MONTH ? date.month : date.day;
}

double cvm_rule_apply(enum cvm_rule_opcode code, double a, double b)
{
    double out = NAN;
    cvm_rule_kernel(code, &a, &b, 1, &out);
    return out;
}
