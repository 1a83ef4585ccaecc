/* plan_check.h - a plan judged by the words of its problem, apart from the product: every row,
 * pair, household and combination, the value, and the bound at the reported prices, all counted
 * again.
 */
#ifndef CVM_TESTS_PLAN_CHECK_H
#define CVM_TESTS_PLAN_CHECK_H

#include "support/random_problem.h"

/* False, and the first fault in words, if the plan breaks a row that is no minimum, uses what may
 * not be, or tells a figure that is not so. */
bool plan_check(const struct random_problem *made, const struct cvm_plan *plan, char *text,
                size_t size);

/* The bound at the plan's prices: sum over units of choice of the best score, plus price x limit.
 */
double plan_check_bound(const struct random_problem *made, const double *prices);

#endif
