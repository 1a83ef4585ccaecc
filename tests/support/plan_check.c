#include "support/plan_check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-9

struct check {
    const struct random_problem *made;
    const struct cvm_problem *problem;
    const struct cvm_plan *plan;
    char *text;
    size_t size;
    bool is_sound;
    /* counted again */
    int64_t used[CVM_PROBLEM_ROWS_MAX];
    int64_t covered[CVM_PROBLEM_ROWS_MAX];
    int64_t inside[CVM_PROBLEM_ROWS_MAX];
    int64_t counts[CVM_PROBLEM_TREATMENTS_MAX];
    int64_t treated;
    double value;
};

static void CVM_PRINTF(2, 3) fault(struct check *check, const char *format, ...)
{
    va_list args;
    if (!check->is_sound) {
        return; /* the first one is told */
    }
    check->is_sound = false;
    va_start(args, format);
    int length = vsnprintf(check->text, check->size, format, args);
    va_end(args);
    if (length < 0) {
        check->text[0] = '\0';
    }
}

static int64_t limit_of(const struct cvm_row_terms *terms)
{
    switch (terms->kind) {
    case CVM_ROW_SEGMENT_MIN:
        return -terms->limit;
    case CVM_ROW_SHARE_MIN:
    case CVM_ROW_SHARE_MAX:
        return 0;
    default:
        return terms->limit;
    }
}

static double scale_of(const struct cvm_row_terms *terms)
{
    switch (terms->kind) {
    case CVM_ROW_BUDGET:
        return 1e6;
    case CVM_ROW_SHARE_MIN:
    case CVM_ROW_SHARE_MAX:
        return (double)CVM_ROW_SHARE_SCALE;
    default:
        return terms->scale > 0 ? (double)terms->scale : 1.0;
    }
}

static bool is_minimum(const struct cvm_row_terms *terms)
{
    return terms->kind == CVM_ROW_SEGMENT_MIN || terms->kind == CVM_ROW_SHARE_MIN;
}

/* ---- what the plan gives ---- */

/* A treatment that uses nothing of a row is none of its own. */
static bool is_covered(const struct cvm_row_terms *terms, size_t treatment)
{
    if ((terms->treatments >> treatment & 1) == 0) {
        return false;
    }
    if (terms->kind == CVM_ROW_BUDGET) {
        return (terms->flat != NULL && terms->flat[treatment] != 0.0) ||
               (terms->rate != NULL && terms->rate[treatment] != 0.0);
    }
    return terms->kind != CVM_ROW_SHARED || terms->units == NULL || terms->units[treatment] != 0;
}

static void count_pair(struct check *check, size_t customer, size_t treatment)
{
    const struct cvm_problem *problem = check->problem;
    if (treatment >= problem->treatment_count ||
        !(cvm_problem_value(problem, customer, treatment) > -1e29f)) {
        fault(check, "customer %zu gets treatment %zu, which may not be", customer, treatment);
        return;
    }
    size_t class = cvm_problem_class(problem, customer);
    check->value += cvm_problem_exact(problem, customer, treatment);
    check->counts[treatment]++;
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row_terms *terms = &check->made->terms[r];
        if (is_covered(terms, treatment)) {
            check->covered[r]++;
            check->inside[r] += terms->inside == NULL || terms->inside[class] != 0;
            check->used[r] +=
                random_row_use(terms, class, treatment, cvm_problem_amount(problem, customer));
        }
    }
}

/* What the customer gets, as bits. */
static uint64_t count_customer(struct check *check, size_t customer)
{
    const struct cvm_problem *problem = check->problem;
    size_t per_customer = cvm_problem_per_customer(problem);
    uint64_t given = 0;
    bool has_ended = false;
    for (size_t k = 0; k < per_customer && check->is_sound; k++) {
        size_t t = check->plan->treatments[customer * per_customer + k];
        if (t == CVM_NOTHING) {
            has_ended = true;
            continue;
        }
        count_pair(check, customer, t);
        if (has_ended || !check->is_sound) {
            fault(check, "customer %zu gets nothing before something", customer);
            return given;
        }
        uint64_t excluded = problem->exclusions != NULL ? problem->exclusions[t] : 0;
        if (((excluded | UINT64_C(1) << t) & given) != 0) {
            fault(check, "customer %zu gets treatment %zu beside what excludes it", customer, t);
        }
        given |= UINT64_C(1) << t;
    }
    check->treated += given != 0;
    return given;
}

static void count_all(struct check *check)
{
    const struct cvm_problem *problem = check->problem;
    unsigned char *in_group = calloc(problem->group_count + 1, 1);
    for (size_t i = 0; i < problem->customer_count && check->is_sound && in_group != NULL; i++) {
        uint64_t given = count_customer(check, i);
        uint32_t group = problem->groups != NULL ? problem->groups[i] : CVM_NO_GROUP;
        if (group == CVM_NO_GROUP || (given & problem->group_treatments) == 0) {
            continue;
        }
        unsigned char max = problem->group_max != NULL ? problem->group_max[group] : 1;
        if (++in_group[group] > max) {
            fault(check, "more than %d of the household %u are treated", max, group);
        }
    }
    free(in_group);
}

static void check_rows(struct check *check)
{
    const struct cvm_plan *plan = check->plan;
    bool is_feasible = true;
    for (size_t r = 0; r < check->problem->row_count; r++) {
        const struct cvm_row_terms *terms = &check->made->terms[r];
        int64_t over = check->used[r] - limit_of(terms);
        int64_t shortfall = over > 0 && is_minimum(terms) ? over : 0;
        is_feasible = is_feasible && shortfall == 0;
        if (over > 0 && !is_minimum(terms)) {
            fault(check, "%s of kind %d: %lld is used of %lld", terms->name, (int)terms->kind,
                  (long long)check->used[r], (long long)limit_of(terms));
        }
        if (plan->used[r] != check->used[r] || plan->covered[r] != check->covered[r] ||
            plan->inside[r] != check->inside[r] || plan->shortfall[r] != shortfall) {
            fault(check,
                  "%s of kind %d: used %lld, covered %lld, inside %lld, short %lld are told; "
                  "%lld, %lld, %lld, %lld are so",
                  terms->name, (int)terms->kind, (long long)plan->used[r],
                  (long long)plan->covered[r], (long long)plan->inside[r],
                  (long long)plan->shortfall[r], (long long)check->used[r],
                  (long long)check->covered[r], (long long)check->inside[r], (long long)shortfall);
        }
    }
    if (plan->is_feasible != is_feasible) {
        fault(check, "is_feasible is %d, and the plan is the other", plan->is_feasible);
    }
    if (plan->treated != check->treated ||
        memcmp(plan->counts, check->counts, check->problem->treatment_count * sizeof(int64_t)) !=
            0) {
        fault(check, "counts of customers or treatments are not so");
    }
}

static void check_prices(struct check *check)
{
    const struct cvm_plan *plan = check->plan;
    for (size_t r = 0; r < check->problem->row_count; r++) {
        double price = plan->prices[r];
        if (!(price >= 0.0 && isfinite(price) && plan->price_low[r] >= 0.0 &&
              plan->price_low[r] <= price && price <= plan->price_high[r])) {
            fault(check, "row %zu: the price %.17g is outside %.17g to %.17g", r, price,
                  plan->price_low[r], plan->price_high[r]);
        }
        if (!plan->is_binding[r] && price != 0.0) {
            fault(check, "row %zu does not bind and has the price %.17g", r, price);
        }
    }
}

/* ---- the bound ---- */

/* The best sum of scores of at most `left` treatments from number `from` on that may go together.
 */
static double best_set(const struct cvm_problem *problem, const double *scores, uint64_t barred,
                       size_t from, size_t left)
{
    double best = 0.0;
    for (size_t t = from; left > 0 && t < problem->treatment_count; t++) {
        if ((barred >> t & 1) != 0 || scores[t] <= 0.0) {
            continue;
        }
        uint64_t excluded = problem->exclusions != NULL ? problem->exclusions[t] : 0;
        double sum =
            scores[t] +
            (left == 1 ? 0.0 : best_set(problem, scores, barred | excluded, t + 1, left - 1));
        best = fmax(best, sum);
    }
    return best;
}

static void score_customer(const struct random_problem *made, const double *prices, size_t customer,
                           double *scores)
{
    const struct cvm_problem *problem = &made->problem;
    size_t class = cvm_problem_class(problem, customer);
    double amount = cvm_problem_amount(problem, customer);
    for (size_t t = 0; t < problem->treatment_count; t++) {
        scores[t] = -INFINITY;
        if (cvm_problem_value(problem, customer, t) > -1e29f) {
            scores[t] = cvm_problem_exact(problem, customer, t);
        }
    }
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row_terms *terms = &made->terms[r];
        for (size_t t = 0; prices[r] > 0.0 && t < problem->treatment_count; t++) {
            if ((terms->treatments >> t & 1) != 0) {
                scores[t] -=
                    prices[r] * (double)random_row_use(terms, class, t, amount) / scale_of(terms);
            }
        }
    }
}

/* What a member of a household adds by getting one of the treatments that count. */
struct gain {
    uint32_t group;
    double value;
};

static int compare_gains(const void *a, const void *b)
{
    const struct gain *left = a;
    const struct gain *right = b;
    if (left->group != right->group) {
        return left->group < right->group ? -1 : 1;
    }
    return (left->value < right->value) - (left->value > right->value);
}

static double household_gains(const struct cvm_problem *problem, struct gain *gains, size_t count)
{
    double total = 0.0;
    unsigned char rank = 0;
    qsort(gains, count, sizeof(*gains), compare_gains);
    for (size_t i = 0; i < count; i++) {
        rank = i > 0 && gains[i].group == gains[i - 1].group ? rank : 0;
        unsigned char max = problem->group_max != NULL ? problem->group_max[gains[i].group] : 1;
        if (rank < max) {
            total += gains[i].value;
            rank++;
        }
    }
    return total;
}

double plan_check_bound(const struct random_problem *made, const double *prices)
{
    const struct cvm_problem *problem = &made->problem;
    size_t per_customer = cvm_problem_per_customer(problem);
    struct gain *gains = malloc((problem->customer_count + 1) * sizeof(*gains));
    size_t count = 0;
    double bound = 0.0;
    for (size_t i = 0; i < problem->customer_count && gains != NULL; i++) {
        double scores[CVM_PROBLEM_TREATMENTS_MAX];
        score_customer(made, prices, i, scores);
        double best = best_set(problem, scores, 0, 0, per_customer);
        if (problem->groups != NULL && problem->groups[i] != CVM_NO_GROUP) {
            double free_best =
                best_set(problem, scores, problem->group_treatments, 0, per_customer);
            gains[count++] = (struct gain){problem->groups[i], best - free_best};
            best = free_best;
        }
        bound += best;
    }
    bound += household_gains(problem, gains, count);
    for (size_t r = 0; r < problem->row_count; r++) {
        bound += prices[r] * (double)limit_of(&made->terms[r]) / scale_of(&made->terms[r]);
    }
    free(gains);
    return bound;
}

static void check_certificate(struct check *check)
{
    const struct cvm_plan *plan = check->plan;
    double bound = plan_check_bound(check->made, plan->prices);
    double size = fabs(bound) + fabs(check->value);
    for (size_t r = 0; r < check->problem->row_count; r++) {
        const struct cvm_row_terms *terms = &check->made->terms[r];
        size += plan->prices[r] * fabs((double)limit_of(terms)) / scale_of(terms);
    }
    double tolerance = TOLERANCE * size;
    double gap = plan->dual_bound - plan->value;
    if (!(fabs(plan->value - check->value) <= tolerance)) {
        fault(check, "the value %.17g is told, %.17g is so", plan->value, check->value);
    }
    if (!(fabs(plan->dual_bound - bound) <= tolerance)) {
        fault(check, "the bound %.17g is told, %.17g is so", plan->dual_bound, bound);
    }
    if (!(fabs(gap - (plan->regret + plan->slack)) <= tolerance)) {
        fault(check, "bound - value = %.17g is not regret %.17g + slack %.17g", gap, plan->regret,
              plan->slack);
    }
    double told = plan->gap * fabs(plan->dual_bound);
    if (!(fabs(told - gap) <= tolerance) && plan->dual_bound != 0.0) {
        fault(check, "the gap %.17g is not of the bound and the value", plan->gap);
    }
    if (plan->is_feasible && !(gap >= -tolerance)) {
        fault(check, "the value %.17g is above the bound %.17g", plan->value, plan->dual_bound);
    }
}

bool plan_check(const struct random_problem *made, const struct cvm_plan *plan, char *text,
                size_t size)
{
    struct check check = {
        .made = made,
        .problem = &made->problem,
        .plan = plan,
        .text = text,
        .size = size,
        .is_sound = true,
    };
    text[0] = '\0';
    count_all(&check);
    check_rows(&check);
    check_prices(&check);
    check_certificate(&check);
    return check.is_sound;
}
