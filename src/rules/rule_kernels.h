/* rule_kernels.h - the loops that evaluation is made of. Private to this folder.
 *
 * No loop branches by row and no output overlaps an input, so that the compiler may use vector
 * instructions (gcc 12: arithmetic with SSE2, comparisons into bytes from AVX2 on; before that they
 * take about a cycle per row, which is no less than what packing the bytes by hand takes). Missing
 * is NaN and goes through arithmetic by itself; what is too large for a double, or divided by zero,
 * becomes infinite and by `x + (x - x)` missing.
 */
#ifndef CVM_RULES_RULE_KERNELS_H
#define CVM_RULES_RULE_KERNELS_H

#include "rules/rule.h"
#include "rules/rule_program.h"

/* A value operation (CVM_OP_COPY .. CVM_OP_GREATEST); b is not looked at where there is none. */
void cvm_rule_kernel(enum cvm_rule_opcode code, const double *restrict a, const double *restrict b,
                     size_t count, double *restrict out);
/* YEAR, MONTH, DAY, WEEKDAY of one day; NaN outside the years 1..9999. */
double cvm_rule_date_part(enum cvm_rule_opcode code, double day);

void cvm_rule_compare_constant(const double *restrict column, enum cvm_compare compare,
                               double right, size_t count, unsigned char *restrict mask);
void cvm_rule_compare_columns(const double *restrict left, enum cvm_compare compare,
                              const double *restrict right, size_t count,
                              unsigned char *restrict mask);
/* Is the value one of the list? */
void cvm_rule_in_list(const double *restrict column, const double *list, size_t list_count,
                      size_t count, unsigned char *restrict mask);
/* Has the row one of the topics? rows NULL = none has any. */
void cvm_rule_topics(const uint32_t *restrict rows, uint32_t topics, size_t count,
                     unsigned char *restrict mask);
void cvm_rule_choose(const unsigned char *restrict mask, const double *restrict yes,
                     const double *restrict no, size_t count, double *restrict out);

#endif
