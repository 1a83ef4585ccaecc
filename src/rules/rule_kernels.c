#include "rules/rule_kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- values ---- */

#define EACH(expression)                                                                           \
    for (size_t i = 0; i < count; i++) {                                                           \
        double x = a[i];                                                                           \
        out[i] = (expression);                                                                     \
    }                                                                                              \
    return

#define EACH_FINITE(expression)                                                                    \
    for (size_t i = 0; i < count; i++) {                                                           \
        double x = a[i];                                                                           \
        double y = b[i];                                                                           \
        double result = (expression);                                                              \
        out[i] = result + (result - result); /* infinite becomes missing */                        \
    }                                                                                              \
    return

static void one_operand(enum cvm_rule_opcode code, const double *restrict a, size_t count,
                        double *restrict out)
{
    switch (code) {
    case CVM_OP_NEGATE:
        EACH(0 - x);
    case CVM_OP_ABS:
        EACH(fabs(x));
    case CVM_OP_ROUND:
        EACH(round(x));
    case CVM_OP_FLOOR:
        EACH(floor(x));
    case CVM_OP_CEIL:
        EACH(ceil(x));
    case CVM_OP_YEAR:
    case CVM_OP_MONTH:
    case CVM_OP_DAY:
    case CVM_OP_WEEKDAY:
        EACH(cvm_rule_date_part(code, x));
    default:
        assert(code == CVM_OP_COPY);
        memcpy(out, a, count * sizeof(*out));
    }
}

void cvm_rule_kernel(enum cvm_rule_opcode code, const double *restrict a, const double *restrict b,
                     size_t count, double *restrict out)
{
    switch (code) {
    case CVM_OP_ADD:
        EACH_FINITE(x + y);
    case CVM_OP_SUBTRACT:
        EACH_FINITE(x - y);
    case CVM_OP_MULTIPLY:
        EACH_FINITE(x * y);
    case CVM_OP_DIVIDE:
        EACH_FINITE(x / y);
    case CVM_OP_MODULO:
        EACH_FINITE(fmod(x, y));
    case CVM_OP_LEAST: /* missing if one is missing: y - y is 0 or NaN */
        EACH_FINITE((x < y ? x : y) + (x - x));
    case CVM_OP_GREATEST:
        EACH_FINITE((x > y ? x : y) + (x - x));
    default:
        one_operand(code, a, count, out);
    }
}

void cvm_rule_choose(const unsigned char *restrict mask, const double *restrict yes,
                     const double *restrict no, size_t count, double *restrict out)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t take = -(uint64_t)mask[i];
        uint64_t a, b;
        memcpy(&a, &yes[i], sizeof(a));
        memcpy(&b, &no[i], sizeof(b));
        a = (a & take) | (b & ~take);
        memcpy(&out[i], &a, sizeof(a));
    }
}

/* ---- masks ---- */

#define EACH_MASK(expression)                                                                      \
    for (size_t i = 0; i < count; i++) {                                                           \
        mask[i] = (expression);                                                                    \
    }                                                                                              \
    break

/* The same as cvm_compare_holds(), a loop per operator: NaN fails every one of them. Unequal is
 * less or greater, so that a missing one on either side fails. */
void cvm_rule_compare_constant(const double *restrict column, enum cvm_compare compare,
                               double right, size_t count, unsigned char *restrict mask)
{
    switch (compare) {
    case CVM_EQUAL:
        EACH_MASK(column[i] == right);
    case CVM_NOT_EQUAL:
        EACH_MASK((column[i] < right) | (column[i] > right));
    case CVM_LESS:
        EACH_MASK(column[i] < right);
    case CVM_LESS_EQUAL:
        EACH_MASK(column[i] <= right);
    case CVM_GREATER:
        EACH_MASK(column[i] > right);
    case CVM_GREATER_EQUAL:
        EACH_MASK(column[i] >= right);
    }
}

void cvm_rule_compare_columns(const double *restrict left, enum cvm_compare compare,
                              const double *restrict right, size_t count,
                              unsigned char *restrict mask)
{
    switch (compare) {
    case CVM_EQUAL:
        EACH_MASK(left[i] == right[i]);
    case CVM_NOT_EQUAL:
        EACH_MASK((left[i] < right[i]) | (left[i] > right[i]));
    case CVM_LESS:
        EACH_MASK(left[i] < right[i]);
    case CVM_LESS_EQUAL:
        EACH_MASK(left[i] <= right[i]);
    case CVM_GREATER:
        EACH_MASK(left[i] > right[i]);
    case CVM_GREATER_EQUAL:
        EACH_MASK(left[i] >= right[i]);
    }
}

void cvm_rule_in_list(const double *restrict column, const double *list, size_t list_count,
                      size_t count, unsigned char *restrict mask)
{
    memset(mask, 0, count);
    for (size_t item = 0; item < list_count; item++) {
        double wanted = list[item];
        for (size_t i = 0; i < count; i++) {
            mask[i] |= column[i] == wanted;
        }
    }
}

void cvm_rule_topics(const uint32_t *restrict rows, uint32_t topics, size_t count,
                     unsigned char *restrict mask)
{
    memset(mask, 0, count);
    for (size_t i = 0; rows != NULL && i < count; i++) {
        mask[i] = (rows[i] & topics) != 0;
    }
}
