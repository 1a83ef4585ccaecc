#include "allocation/problem.h"

#include <math.h>

#include "model/money.h"

/* Uses and limits stay far enough below 2^63 for sums over 10^8 customers to be tested safely. */
#define UNITS_MAX  INT64_C(1000000000000)
#define LIMIT_MAX  CVM_MICRO_MAX
#define AMOUNT_MAX 1e9 /* major units, also of one pair's use */

static bool is_amount(double value)
{
    return value >= 0.0 && value <= AMOUNT_MAX; /* false for NaN */
}

static enum cvm_status check_row(const struct cvm_problem *problem, size_t number,
                                 double amount_max, struct cvm_error *err)
{
    const struct cvm_row *row = &problem->rows[number];
    const char *name = row->name != NULL ? row->name : "unnamed";
    if (row->kind != CVM_ROW_UNITS && row->kind != CVM_ROW_MONEY) {
        return CVM_FAIL(err, CVM_E_INVALID, "row '%s' is of no known kind", name);
    }
    if (row->limit < 0 || row->limit > LIMIT_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID, "row '%s' has the limit %lld, outside 0 to 10^18", name,
                        (long long)row->limit);
    }
    for (size_t t = 0; t < problem->treatment_count; t++) {
        if (row->kind == CVM_ROW_UNITS && (row->units[t] < 0 || row->units[t] > UNITS_MAX)) {
            return CVM_FAIL(err, CVM_E_INVALID,
                            "row '%s' asks %lld units of treatment %zu, outside 0 to 10^12", name,
                            (long long)row->units[t], t);
        }
        if (row->kind == CVM_ROW_MONEY && (!is_amount(row->flat[t]) || !is_amount(row->rate[t]) ||
                                           !is_amount(row->flat[t] + row->rate[t] * amount_max))) {
            return CVM_FAIL(err, CVM_E_INVALID,
                            "row '%s' asks money of treatment %zu outside 0 to 10^9", name, t);
        }
    }
    return CVM_OK;
}

enum cvm_status cvm_problem_check(const struct cvm_problem *problem, struct cvm_error *err)
{
    double amount_max = 0.0;
    if (problem->treatment_count > CVM_PROBLEM_TREATMENTS_MAX ||
        problem->row_count > CVM_PROBLEM_ROWS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "%zu treatments and %zu rows are more than %d and %d",
                        problem->treatment_count, problem->row_count, CVM_PROBLEM_TREATMENTS_MAX,
                        CVM_PROBLEM_ROWS_MAX);
    }
    if (problem->customer_count > UINT32_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "%zu customers are more than 2^32 - 1",
                        problem->customer_count);
    }
    if (problem->forced_treatment >= 0 &&
        (size_t)problem->forced_treatment >= problem->treatment_count) {
        return CVM_FAIL(err, CVM_E_INVALID, "the forced treatment %d does not exist",
                        problem->forced_treatment);
    }
    for (size_t i = 0; problem->amounts != NULL && i < problem->customer_count; i++) {
        double amount = (double)problem->amounts[i];
        if (!is_amount(amount)) {
            return CVM_FAIL(err, CVM_E_INVALID, "customer %zu has the amount %g, outside 0 to 10^9",
                            i, amount);
        }
        amount_max = amount > amount_max ? amount : amount_max;
    }
    for (size_t r = 0; r < problem->row_count; r++) {
        enum cvm_status status = check_row(problem, r, amount_max, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    return CVM_OK;
}

int64_t cvm_row_use(const struct cvm_row *row, size_t treatment, double amount)
{
    if (row->kind == CVM_ROW_UNITS) {
        return row->units[treatment];
    }
    return cvm_micro_from_double(row->flat[treatment] + row->rate[treatment] * amount);
}
