#include "cli/problem_rows.h"

#include <math.h>
#include <string.h>

#include "model/money.h"

#define DIGITS_MAX 12
#define USE_MAX    1e12 /* of one pair, scaled: what the solver takes */
#define LIMIT_MAX  1e18
#define SUM_MAX    1e18 /* of all pairs, scaled */

void cvm_problem_limits(const struct cvm_problem_file *file, double limits[CVM_PROBLEM_ROWS_MAX])
{
    for (size_t r = 0; r < file->row_count; r++) {
        limits[r] = file->rows[r].limit;
    }
}

double cvm_problem_no_limit(enum cvm_row_kind kind)
{
    switch (kind) {
    case CVM_ROW_SEGMENT_MIN:
    case CVM_ROW_SHARE_MIN:
    case CVM_ROW_RESERVE:
        return 0.0;
    case CVM_ROW_SHARE_MAX:
        return 1.0;
    case CVM_ROW_CAPACITY:
    case CVM_ROW_SHARED:
    case CVM_ROW_BUDGET:
    case CVM_ROW_SEGMENT_MAX:
        break;
    }
    return INFINITY;
}

double cvm_problem_right_side(const struct cvm_problem_file *file, const double *limits, size_t row)
{
    return file->rows[row].kind == CVM_ROW_RESERVE
               ? cvm_problem_reserved_of(file, limits, row) - limits[row]
               : limits[row];
}

/* ---- one row ---- */

struct making {
    const struct cvm_problem_file *file;
    const struct cvm_problem_values *values;
    const double *limits;
    double pairs_max; /* of a plan */
};

/* Of what a row without a limit can use at most. */
static double greatest_use(const struct making *m, const struct cvm_problem_file_row *row)
{
    const struct cvm_problem_measure *measure = &m->file->measures[row->measure];
    double most = row->kind == CVM_ROW_SHARED || row->kind == CVM_ROW_BUDGET ? 0.0 : 1.0;
    for (size_t t = 0; t < m->file->treatment_count; t++) {
        double use = row->kind == CVM_ROW_SHARED ? row->units[t] : 0.0;
        if (row->kind == CVM_ROW_BUDGET) {
            use = measure->flat[t] + measure->rate[t] * m->values->amount_max;
        }
        most = (row->treatments >> t & 1) != 0 && use > most ? use : most;
    }
    return most;
}

static bool is_exact(double value, double scale)
{
    double scaled = nearbyint(value * scale);
    return scaled / scale == value;
}

/* The smallest power of ten that makes units and limit whole; of those with more digits than there
 * is room for, the largest that fits. */
static double find_scale(const struct making *m, const struct cvm_problem_file_row *row,
                         double limit)
{
    double most = greatest_use(m, row);
    double best = 1.0;
    double scale = 1.0;
    for (int digits = 0; digits <= DIGITS_MAX; digits++, scale *= 10.0) {
        bool fits = most * scale <= USE_MAX && most * scale * m->pairs_max <= SUM_MAX &&
                    limit * scale <= LIMIT_MAX;
        if (!fits) {
            break;
        }
        best = scale;
        bool is_whole = is_exact(limit, scale);
        for (size_t t = 0; row->kind == CVM_ROW_SHARED && t < m->file->treatment_count; t++) {
            is_whole &= is_exact(row->units[t], scale);
        }
        if (is_whole) {
            break;
        }
    }
    return best;
}

/* What does not come out even is rounded so that a limit that is kept here is kept in truth. */
static int64_t scaled_up(double value, double scale)
{
    return (int64_t)(is_exact(value, scale) ? nearbyint(value * scale) : ceil(value * scale));
}
static int64_t scaled_down(double value, double scale)
{
    return (int64_t)(is_exact(value, scale) ? nearbyint(value * scale) : floor(value * scale));
}

static int64_t scaled_money(double limit)
{
    int64_t micro = cvm_micro_from_double(limit);
    return (double)micro / CVM_MICRO_PER_UNIT > limit ? micro - 1 : micro;
}

/* A share of three tenths is 3 of 10, one of a third has as many digits as there is room for,
 * rounded to the side that allows more, so that no plan that keeps the share is missed. */
static void make_share(const struct making *m, const struct cvm_problem_file_row *row, double limit,
                       struct cvm_row *out_row)
{
    bool is_minimum = row->kind == CVM_ROW_SHARE_MIN;
    double scale = find_scale(m, row, limit);
    int64_t whole = (int64_t)scale;
    int64_t share = is_minimum ? scaled_down(limit, scale) : scaled_up(limit, scale);
    out_row->scale = whole;
    for (size_t t = 0; t < m->file->treatment_count; t++) {
        if ((row->treatments >> t & 1) != 0) {
            out_row->units[t] = is_minimum ? share - whole : whole - share;
            out_row->outside[t] = is_minimum ? share : -share;
        }
    }
}

static void make_row(const struct making *m, size_t number, const unsigned char *inside,
                     struct cvm_row *out_row)
{
    const struct cvm_problem_file_row *row = &m->file->rows[number];
    const struct cvm_problem_measure *measure = &m->file->measures[row->measure];
    int64_t units[CVM_PROBLEM_TREATMENTS_MAX] = {0};
    struct cvm_row_terms terms = {
        .name = row->name, .kind = row->kind, .treatments = row->treatments, .inside = inside};
    double limit = cvm_problem_right_side(m->file, m->limits, number);
    if (isinf(limit)) {
        limit = ceil(greatest_use(m, row) * m->pairs_max) + 1.0;
        limit = limit < CVM_PROBLEM_LIMIT_MAX ? limit : CVM_PROBLEM_LIMIT_MAX;
    }
    if (row->kind == CVM_ROW_SHARE_MIN || row->kind == CVM_ROW_SHARE_MAX) {
        terms.share = limit;
    } else if (row->kind == CVM_ROW_BUDGET) {
        terms.limit = scaled_money(limit);
        terms.flat = measure->flat;
        terms.rate = measure->rate;
    } else {
        double scale = find_scale(m, row, limit);
        for (size_t t = 0; t < m->file->treatment_count; t++) {
            units[t] = scaled_up(row->units[t], scale);
        }
        terms.scale = (int64_t)scale;
        terms.units = row->kind == CVM_ROW_SHARED ? units : NULL;
        terms.limit =
            row->kind == CVM_ROW_SEGMENT_MIN ? scaled_up(limit, scale) : scaled_down(limit, scale);
    }
    cvm_row_make(&terms, out_row);
    if (row->kind == CVM_ROW_SHARE_MIN || row->kind == CVM_ROW_SHARE_MAX) {
        make_share(m, row, limit, out_row);
    }
}

static enum cvm_status check_reserve(const struct making *m, size_t number, struct cvm_error *err)
{
    const struct cvm_problem_file_row *row = &m->file->rows[number];
    if (row->kind != CVM_ROW_RESERVE || cvm_problem_right_side(m->file, m->limits, number) >= 0.0) {
        return CVM_OK;
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_INVALID, "row '%s' reserves %.15g of a capacity of %.15g", row->name,
                 m->limits[number], cvm_problem_reserved_of(m->file, m->limits, number));
    (void)cvm_error_where(err, status, "%s:%d", m->file->name, row->line);
    return cvm_error_hint(err, status, "Lower its limit to the capacity at most.");
}

enum cvm_status cvm_problem_rows_make(struct cvm_arena *arena, const struct cvm_problem_file *file,
                                      const struct cvm_problem_values *values, const double *limits,
                                      const struct cvm_row **out_rows, struct cvm_error *err)
{
    struct making m = {
        .file = file,
        .values = values,
        .limits = limits,
        .pairs_max = (double)values->customer_count * (double)file->per_customer_max,
    };
    size_t classes = values->class_count;
    struct cvm_row *rows = CVM_NEW_ARRAY(arena, file->row_count + 1, struct cvm_row);
    unsigned char *inside = cvm_arena_alloc(arena, file->row_count + 1, classes);
    if (rows == NULL || inside == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu rows", file->row_count);
    }
    for (size_t r = 0; r < file->row_count; r++) {
        enum cvm_status status = check_reserve(&m, r, err);
        if (status != CVM_OK) {
            return status;
        }
        bool is_of_some = file->rows[r].segment != NULL || file->rows[r].kind == CVM_ROW_RESERVE;
        unsigned char *flags = inside + r * classes;
        for (size_t c = 0; is_of_some && c < classes; c++) {
            flags[c] = cvm_problem_class_is_in(values, c, r) ? 1 : 0;
        }
        make_row(&m, r, is_of_some ? flags : NULL, &rows[r]);
    }
    *out_rows = rows;
    return CVM_OK;
}

/* ---- the rest of the problem ---- */

enum cvm_status cvm_problem_make(struct cvm_arena *arena, const struct cvm_problem_file *file,
                                 const struct cvm_problem_values *values,
                                 struct cvm_problem *out_problem, struct cvm_error *err)
{
    int64_t *priorities = CVM_NEW_ARRAY(arena, file->treatment_count, int64_t);
    int64_t *costs = CVM_NEW_ARRAY(arena, file->treatment_count, int64_t);
    unsigned char *group_max = cvm_arena_alloc(arena, values->group_count + 1, 1);
    if (priorities == NULL || costs == NULL || group_max == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the problem");
    }
    for (size_t t = 0; t < file->treatment_count; t++) {
        costs[t] = cvm_micro_from_double(file->measures[0].flat[t]);
    }
    memset(group_max, (int)file->group_max, values->group_count + 1);
    *out_problem = (struct cvm_problem){
        .customer_count = values->customer_count,
        .treatment_count = file->treatment_count,
        .values = values->values.data,
        .exact_values = values->exact.data,
        .keys = values->keys.data,
        .amounts = values->amounts.data,
        .classes = values->classes.data,
        .class_count = values->class_count,
        .priorities = priorities,
        .tie_cost_micro = costs,
        .forced_treatment = -1,
        .per_customer_max = file->per_customer_max,
        .exclusions = file->has_exclusions ? file->exclusions : NULL,
        .groups = values->groups.data,
        .group_count = values->group_count,
        .group_max = group_max,
        .group_treatments = UINT64_MAX,
    };
    return CVM_OK;
}

size_t cvm_problem_empty_segment(const struct cvm_problem_file *file,
                                 const struct cvm_problem_values *values, size_t first)
{
    for (size_t r = first; r < file->row_count; r++) {
        bool is_empty = file->rows[r].segment != NULL;
        for (size_t c = 0; is_empty && c < values->class_count; c++) {
            is_empty = !cvm_problem_class_is_in(values, c, r);
        }
        if (is_empty) {
            return r;
        }
    }
    return file->row_count;
}
