#include "allocation/problem.h"

#include <math.h>
#include <string.h>

#include "model/money.h"

/* Uses and limits stay far enough below 2^63 for sums over 10^8 customers to be tested safely. */
#define UNITS_MAX  INT64_C(1000000000000)
#define LIMIT_MAX  CVM_MICRO_MAX
#define AMOUNT_MAX 1e9 /* major units, also of one pair's use */

/* ---- making rows ---- */

static void make_share(const struct cvm_row_terms *terms, struct cvm_row *row)
{
    /* Cross-multiplied: inside - share x all, in parts of CVM_ROW_SHARE_SCALE. */
    double parts = terms->share * (double)CVM_ROW_SHARE_SCALE;
    bool is_minimum = terms->kind == CVM_ROW_SHARE_MIN;
    /* To the easier side: two of three are a share of two thirds, however that is written. */
    int64_t share = (int64_t)(is_minimum ? floor(parts) : ceil(parts));
    int sign = is_minimum ? -1 : 1;
    row->scale = CVM_ROW_SHARE_SCALE;
    for (size_t t = 0; t < CVM_PROBLEM_TREATMENTS_MAX; t++) {
        if ((terms->treatments >> t & 1) != 0) {
            row->units[t] = sign * (CVM_ROW_SHARE_SCALE - share);
            row->outside[t] = sign * -share;
        }
    }
}

static void make_counts(const struct cvm_row_terms *terms, struct cvm_row *row)
{
    bool is_minimum = terms->kind == CVM_ROW_SEGMENT_MIN;
    bool has_units = terms->kind == CVM_ROW_SHARED && terms->units != NULL;
    bool is_reserve = terms->kind == CVM_ROW_RESERVE;
    row->scale = terms->scale > 0 ? terms->scale : 1;
    row->limit = is_minimum ? -terms->limit : terms->limit;
    for (size_t t = 0; t < CVM_PROBLEM_TREATMENTS_MAX; t++) {
        if ((terms->treatments >> t & 1) == 0) {
            continue;
        }
        int64_t units = has_units ? terms->units[t] : row->scale;
        row->units[t] = is_minimum ? -units : is_reserve ? 0 : units;
        row->outside[t] = is_reserve ? units : 0;
    }
}

void cvm_row_make(const struct cvm_row_terms *terms, struct cvm_row *out_row)
{
    memset(out_row, 0, sizeof(*out_row));
    out_row->name = terms->name;
    out_row->kind = terms->kind;
    out_row->inside = terms->inside;
    if (terms->kind == CVM_ROW_SHARE_MIN || terms->kind == CVM_ROW_SHARE_MAX) {
        make_share(terms, out_row);
    } else if (terms->kind == CVM_ROW_BUDGET) {
        out_row->scale = CVM_MICRO_PER_UNIT;
        out_row->limit = terms->limit;
        for (size_t t = 0; t < CVM_PROBLEM_TREATMENTS_MAX; t++) {
            bool is_covered = (terms->treatments >> t & 1) != 0;
            out_row->flat[t] = is_covered && terms->flat != NULL ? terms->flat[t] : 0.0;
            out_row->rate[t] = is_covered && terms->rate != NULL ? terms->rate[t] : 0.0;
        }
    } else {
        make_counts(terms, out_row);
    }
}

int64_t cvm_row_use(const struct cvm_row *row, size_t customer_class, size_t treatment,
                    double amount)
{
    if (cvm_row_is_money(row)) {
        return cvm_micro_from_double(row->flat[treatment] + row->rate[treatment] * amount);
    }
    bool is_inside = row->inside == NULL || row->inside[customer_class] != 0;
    return is_inside ? row->units[treatment] : row->outside[treatment];
}

/* ---- checking ---- */

static bool is_amount(double value)
{
    return value >= 0.0 && value <= AMOUNT_MAX; /* false for NaN */
}

static enum cvm_status check_uses(const struct cvm_row *row, const char *name, size_t t,
                                  double amount_max, struct cvm_error *err)
{
    bool may_be_negative = row->kind == CVM_ROW_SEGMENT_MIN || row->kind == CVM_ROW_SHARE_MIN ||
                           row->kind == CVM_ROW_SHARE_MAX;
    int64_t least = may_be_negative ? -UNITS_MAX : 0;
    int64_t both[] = {row->units[t], row->outside[t]};
    for (size_t k = 0; k < 2; k++) {
        if (both[k] < least || both[k] > UNITS_MAX) {
            return CVM_FAIL(err, CVM_E_INVALID,
                            "row '%s' asks %lld units of treatment %zu, outside %lld to 10^12",
                            name, (long long)both[k], t, (long long)least);
        }
    }
    if (cvm_row_is_money(row) && (!is_amount(row->flat[t]) || !is_amount(row->rate[t]) ||
                                  !is_amount(row->flat[t] + row->rate[t] * amount_max))) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "row '%s' asks money of treatment %zu outside 0 to 10^9", name, t);
    }
    return CVM_OK;
}

static enum cvm_status check_row(const struct cvm_problem *problem, size_t number,
                                 double amount_max, struct cvm_error *err)
{
    const struct cvm_row *row = &problem->rows[number];
    const char *name = row->name != NULL ? row->name : "unnamed";
    int64_t least = row->kind == CVM_ROW_SEGMENT_MIN ? -LIMIT_MAX : 0;
    int64_t most = row->kind == CVM_ROW_SEGMENT_MIN ? 0 : LIMIT_MAX;
    if ((unsigned)row->kind > CVM_ROW_RESERVE || row->scale < 1) {
        return CVM_FAIL(err, CVM_E_INVALID, "row '%s' is of no known kind or scale", name);
    }
    if (row->limit < least || row->limit > most) {
        return CVM_FAIL(err, CVM_E_INVALID, "row '%s' has the limit %lld, outside 0 to 10^18", name,
                        (long long)row->limit);
    }
    if (cvm_row_is_money(row) && row->inside != NULL) {
        return CVM_FAIL(err, CVM_E_INVALID, "row '%s' is a budget and can not be of a segment",
                        name);
    }
    enum cvm_status status = CVM_OK;
    for (size_t t = 0; status == CVM_OK && t < problem->treatment_count; t++) {
        status = check_uses(row, name, t, amount_max, err);
    }
    return status;
}

static enum cvm_status check_counts(const struct cvm_problem *problem, struct cvm_error *err)
{
    if (problem->treatment_count > CVM_PROBLEM_TREATMENTS_MAX ||
        problem->row_count > CVM_PROBLEM_ROWS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "%zu treatments and %zu rows are more than %d and %d",
                        problem->treatment_count, problem->row_count, CVM_PROBLEM_TREATMENTS_MAX,
                        CVM_PROBLEM_ROWS_MAX);
    }
    if (problem->customer_count >= UINT32_MAX || problem->group_count >= CVM_NO_GROUP) {
        return CVM_FAIL(err, CVM_E_LIMIT, "%zu customers are more than 2^32 - 2",
                        problem->customer_count);
    }
    if (problem->class_count > CVM_PROBLEM_CLASSES_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "%zu classes of customers are more than %d",
                        problem->class_count, CVM_PROBLEM_CLASSES_MAX);
    }
    if (problem->per_customer_max > CVM_PROBLEM_PER_CUSTOMER_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "%zu treatments per customer are more than %d",
                        problem->per_customer_max, CVM_PROBLEM_PER_CUSTOMER_MAX);
    }
    if (problem->forced_treatment >= 0 &&
        (size_t)problem->forced_treatment >= problem->treatment_count) {
        return CVM_FAIL(err, CVM_E_INVALID, "the forced treatment %d does not exist",
                        problem->forced_treatment);
    }
    return CVM_OK;
}

/* Without a branch, so that compilers make vectors of it; who is at fault is looked for after. */
static bool has_fault(const struct cvm_problem *problem, double *out_amount_max)
{
    size_t count = problem->customer_count;
    size_t class_count = problem->class_count > 0 ? problem->class_count : 1;
    unsigned is_bad = 0;
    double most = 0.0;
    for (size_t i = 1; i < count; i++) {
        is_bad |= problem->keys[i] <= problem->keys[i - 1];
    }
    for (size_t i = 0; problem->amounts != NULL && i < count; i++) {
        double amount = problem->amounts[i];
        is_bad |= !is_amount(amount);
        most = amount > most ? amount : most;
    }
    for (size_t i = 0; problem->classes != NULL && i < count; i++) {
        is_bad |= problem->classes[i] >= class_count;
    }
    for (size_t i = 0; problem->groups != NULL && i < count; i++) {
        is_bad |= problem->groups[i] != CVM_NO_GROUP && problem->groups[i] >= problem->group_count;
    }
    *out_amount_max = most;
    return is_bad != 0;
}

static enum cvm_status name_fault(const struct cvm_problem *problem, struct cvm_error *err)
{
    size_t class_count = problem->class_count > 0 ? problem->class_count : 1;
    for (size_t i = 0; i < problem->customer_count; i++) {
        double amount = cvm_problem_amount(problem, i);
        if (i > 0 && problem->keys[i] <= problem->keys[i - 1]) {
            return CVM_FAIL(err, CVM_E_INVALID,
                            "the key of customer %zu is not above the one before", i);
        }
        if (!is_amount(amount)) {
            return CVM_FAIL(err, CVM_E_INVALID, "customer %zu has the amount %g, outside 0 to 10^9",
                            i, amount);
        }
        if (cvm_problem_class(problem, i) >= class_count) {
            return CVM_FAIL(err, CVM_E_INVALID, "customer %zu is of class %zu of %zu", i,
                            cvm_problem_class(problem, i), class_count);
        }
        if (problem->groups != NULL && problem->groups[i] != CVM_NO_GROUP &&
            problem->groups[i] >= problem->group_count) {
            return CVM_FAIL(err, CVM_E_INVALID, "customer %zu is of group %u of %zu", i,
                            problem->groups[i], problem->group_count);
        }
    }
    return CVM_OK;
}

enum cvm_status cvm_problem_check(const struct cvm_problem *problem, struct cvm_error *err)
{
    double amount_max = 0.0;
    enum cvm_status status = check_counts(problem, err);
    if (status == CVM_OK && has_fault(problem, &amount_max)) {
        status = name_fault(problem, err);
    }
    for (size_t r = 0; status == CVM_OK && r < problem->row_count; r++) {
        status = check_row(problem, r, amount_max, err);
    }
    return status;
}
