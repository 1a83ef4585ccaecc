/* The certificate: value, use and bound again from the problem and the plan alone, in double and in
 * integers, without the floats and the jitter of the search. */
#include "allocation/verify.h"

#include <math.h>
#include <string.h>

#include "allocation/choice.h"
#include "allocation/kernel.h"
#include "allocation/moves.h"
#include "model/money.h"

__extension__ typedef __int128 wide;

/* ---- counting a plan ---- */

struct count_group {
    double value;
    int64_t treated;
    size_t fault;                        /* 0, or 1 + the first customer with what may not be */
    int64_t rated[CVM_PROBLEM_ROWS_MAX]; /* use of budgets that ask a share of the amount */
};

struct count {
    const struct cvm_problem *problem;
    const unsigned char *treatments;
    bool with_values; /* else only use, which costs less to look up */
    size_t class_count;
    size_t worker_count;
    size_t rated_count;
    size_t rated_rows[CVM_PROBLEM_ROWS_MAX];
    struct count_group *groups;
    int64_t *counts; /* per worker: [class x COUNT_STRIDE + treatment], with nothing as one */
};
#define COUNT_STRIDE 256

static int64_t micro_of(double major)
{
    return (int64_t)((major * CVM_MICRO_PER_UNIT + CVM_MICRO_ROUNDER) - CVM_MICRO_ROUNDER);
}

static bool is_rated(const struct cvm_row *row, size_t treatment_count)
{
    for (size_t t = 0; cvm_row_is_money(row) && t < treatment_count; t++) {
        if (row->rate[t] != 0.0) {
            return true;
        }
    }
    return false;
}

/* One pair of the plan: its value, and its use of budgets that ask a share of the amount. */
static inline bool count_pair(const struct count *count, size_t customer, size_t t,
                              struct count_group *sums)
{
    const struct cvm_problem *problem = count->problem;
    if (count->with_values) {
        if (t >= problem->treatment_count ||
            !(cvm_problem_value(problem, customer, t) > CVM_PROBLEM_VALUE_MIN)) {
            return false;
        }
        sums->value += cvm_problem_exact(problem, customer, t);
    }
    double amount = cvm_problem_amount(problem, customer);
    for (size_t r = 0; r < count->rated_count; r++) {
        const struct cvm_row *row = &problem->rows[count->rated_rows[r]];
        sums->rated[r] += micro_of(row->flat[t] + row->rate[t] * amount); /* 10^15 each at most */
    }
    return true;
}

static bool count_customer(const struct count *count, size_t customer, struct count_group *sums)
{
    const struct cvm_problem *problem = count->problem;
    size_t per_customer = cvm_problem_per_customer(problem);
    const unsigned char *own = count->treatments + customer * per_customer;
    uint64_t set = 0;
    for (size_t k = 0; k < per_customer && own[k] != CVM_NOTHING; k++) {
        if ((own[k] < 64 && (set >> own[k] & 1) != 0) ||
            !count_pair(count, customer, own[k], sums)) {
            return false;
        }
        set |= UINT64_C(1) << own[k];
    }
    return per_customer == 1 || cvm_set_is_allowed(problem, set);
}

/* One treatment per customer, by far the most plans, without a branch: who is treated is as good as
 * random. False: somebody gets what may not be. */
static bool count_singles(const struct count *count, size_t first, size_t end, int64_t *counts,
                          struct count_group *sums)
{
    const struct cvm_problem *problem = count->problem;
    uint32_t treated[CVM_GROUP_SIZE];
    size_t treated_count = 0;
    for (size_t i = first; i < end; i++) {
        unsigned char t = count->treatments[i];
        counts[cvm_problem_class(problem, i) * COUNT_STRIDE + t]++;
        treated[treated_count] = (uint32_t)i;
        treated_count += t != CVM_NOTHING;
    }
    sums->treated = (int64_t)treated_count;
    bool is_good = true;
    for (size_t k = 0; count->with_values && k < treated_count; k++) {
        size_t t = count->treatments[treated[k]];
        is_good &= t < problem->treatment_count;
        t = t < problem->treatment_count ? t : 0;
        is_good &= cvm_problem_value(problem, treated[k], t) > CVM_PROBLEM_VALUE_MIN;
        sums->value += cvm_problem_exact(problem, treated[k], t);
    }
    for (size_t r = 0; r < count->rated_count && is_good; r++) {
        const struct cvm_row *row = &problem->rows[count->rated_rows[r]];
        int64_t sum = 0;
        for (size_t k = 0; k < treated_count; k++) {
            unsigned char t = count->treatments[treated[k]];
            sum += micro_of(row->flat[t] + row->rate[t] * cvm_problem_amount(problem, treated[k]));
        }
        sums->rated[r] = sum;
    }
    return is_good;
}

static void count_group(const struct count *count, size_t group, size_t worker)
{
    const struct cvm_problem *problem = count->problem;
    size_t per_customer = cvm_problem_per_customer(problem);
    struct count_group *sums = &count->groups[group];
    int64_t *counts = count->counts + worker * count->class_count * COUNT_STRIDE;
    size_t first = group * CVM_GROUP_SIZE;
    size_t end = first + CVM_GROUP_SIZE;
    end = end < problem->customer_count ? end : problem->customer_count;
    if (per_customer == 1 && count_singles(count, first, end, counts, sums)) {
        return;
    }
    for (size_t i = first; i < end; i++) {
        const unsigned char *own = count->treatments + i * per_customer;
        int64_t *row = counts + cvm_problem_class(problem, i) * COUNT_STRIDE;
        for (size_t slot = 0; slot < per_customer; slot++) {
            row[own[slot]]++;
        }
        sums->treated += own[0] != CVM_NOTHING;
        if (!count_customer(count, i, sums)) {
            sums->fault = sums->fault == 0 ? i + 1 : sums->fault;
        }
    }
}

static int64_t clamp(wide sum)
{
    return sum > CVM_MICRO_MAX    ? CVM_MICRO_MAX
           : sum < -CVM_MICRO_MAX ? -CVM_MICRO_MAX
                                  : (int64_t)sum;
}

static void add_row(const struct count *count, size_t r, struct cvm_plan_sums *sums)
{
    const struct cvm_problem *problem = count->problem;
    const struct cvm_row *row = &problem->rows[r];
    wide used = 0;
    for (size_t c = 0; c < count->class_count; c++) {
        bool is_inside = row->inside == NULL || row->inside[c] != 0;
        for (size_t t = 0; t < problem->treatment_count; t++) {
            int64_t pairs = count->counts[c * COUNT_STRIDE + t];
            if (pairs != 0 && cvm_row_touches(row, t)) {
                used += (wide)pairs * cvm_row_use(row, c, t, 0.0);
                sums->covered[r] += pairs;
                sums->inside[r] += is_inside ? pairs : 0;
            }
        }
    }
    sums->used[r] = clamp(used);
}

static enum cvm_status check_households(const struct cvm_problem *problem,
                                        const unsigned char *treatments, struct cvm_arena *arena,
                                        struct cvm_error *err)
{
    if (problem->groups == NULL) {
        return CVM_OK;
    }
    uint32_t *counts = CVM_NEW_ARRAY(arena, problem->group_count + 1, uint32_t);
    if (counts == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu households", problem->group_count);
    }
    for (size_t i = 0; i < problem->customer_count; i++) {
        uint32_t group = problem->groups[i];
        if (group != CVM_NO_GROUP &&
            (cvm_plan_set(problem, treatments, i) & problem->group_treatments) != 0) {
            size_t max = problem->group_max != NULL ? problem->group_max[group] : 1;
            if (++counts[group] > max) {
                return CVM_FAIL(err, CVM_E_INTERNAL,
                                "the plan treats more than %zu customers of group %u", max, group);
            }
        }
    }
    return CVM_OK;
}

static enum cvm_status count_init(struct count *count, const struct cvm_problem *problem,
                                  const unsigned char *treatments, struct cvm_pool *pool,
                                  struct cvm_arena *arena, struct cvm_error *err)
{
    memset(count, 0, sizeof(*count));
    count->problem = problem;
    count->treatments = treatments;
    count->with_values = true;
    count->class_count = problem->class_count > 0 ? problem->class_count : 1;
    count->worker_count = cvm_worker_count(pool);
    count->groups =
        CVM_NEW_ARRAY(arena, cvm_group_count(problem->customer_count) + 1, struct count_group);
    count->counts =
        CVM_NEW_ARRAY(arena, count->worker_count * count->class_count * COUNT_STRIDE, int64_t);
    if (count->groups == NULL || count->counts == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to count a plan");
    }
    for (size_t r = 0; r < problem->row_count; r++) {
        if (is_rated(&problem->rows[r], problem->treatment_count)) {
            count->rated_rows[count->rated_count++] = r;
        }
    }
    return CVM_OK;
}

static enum cvm_status add_groups(const struct count *count, struct cvm_arena *arena,
                                  struct cvm_plan_sums *sums, struct cvm_error *err)
{
    const struct cvm_problem *problem = count->problem;
    size_t slots = count->class_count * COUNT_STRIDE;
    memset(sums, 0, sizeof(*sums));
    for (size_t i = slots; i < count->worker_count * slots; i++) {
        count->counts[i % slots] += count->counts[i];
    }
    for (size_t r = 0; r < problem->row_count; r++) {
        add_row(count, r, sums);
    }
    for (size_t k = 0; k < count->rated_count; k++) {
        sums->used[count->rated_rows[k]] = 0;
    }
    for (size_t g = 0; g < cvm_group_count(problem->customer_count); g++) {
        const struct count_group *group = &count->groups[g];
        if (group->fault != 0) {
            return CVM_FAIL(err, CVM_E_INTERNAL, "the plan gives customer %zu what it may not",
                            group->fault - 1);
        }
        sums->value += group->value;
        sums->treated += group->treated;
        for (size_t k = 0; k < count->rated_count; k++) {
            int64_t *used = &sums->used[count->rated_rows[k]];
            *used = cvm_micro_add(*used, group->rated[k]);
        }
    }
    for (size_t i = 0; i < slots; i++) {
        if (i % COUNT_STRIDE < problem->treatment_count) {
            sums->counts[i % COUNT_STRIDE] += count->counts[i];
        }
    }
    return check_households(problem, count->treatments, arena, err);
}

static void count_one(void *state, size_t group, size_t worker)
{
    count_group(state, group, worker);
}

enum cvm_status cvm_plan_count(const struct cvm_problem *problem, const unsigned char *treatments,
                               struct cvm_pool *pool, struct cvm_arena *arena,
                               struct cvm_plan_sums *out_sums, struct cvm_error *err)
{
    struct count *count = CVM_NEW(arena, struct count);
    if (count == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to count a plan");
    }
    enum cvm_status status = count_init(count, problem, treatments, pool, arena, err);
    if (status == CVM_OK) {
        count->with_values = false;
        cvm_groups_run(pool, cvm_group_count(problem->customer_count), count_one, count);
        status = add_groups(count, arena, out_sums, err);
    }
    return status;
}

/* ---- the bound ---- */

double cvm_pair_price(const struct cvm_problem *problem, const double *prices, size_t customer,
                      size_t treatment)
{
    double amount = cvm_problem_amount(problem, customer);
    double price = 0.0;
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        if (cvm_row_touches(row, treatment)) {
            int64_t use = cvm_row_use(row, cvm_problem_class(problem, customer), treatment, amount);
            price += prices[r] * cvm_row_natural(row, use);
        }
    }
    return price;
}

struct bound {
    const struct cvm_problem *problem;
    const struct cvm_kernel *kernel;
    struct cvm_exact_pass pass;
    struct cvm_exact_fare fares[CVM_PROBLEM_TREATMENTS_MAX];
    struct cvm_table table; /* with its units */
    struct cvm_chooser *choosers;
    double (*gains)[CVM_PROBLEM_BLOCK]; /* per group */
    struct count count;                 /* of the plan: while its values are at hand */
};

/* Uses in whole micros, as the limits count them: otherwise half a micro a customer could push the
 * best plan above the bound. */
static void set_fares(struct bound *bound, const double *prices, double *flats, size_t class_count)
{
    const struct cvm_problem *problem = bound->problem;
    for (size_t t = 0; t < problem->treatment_count; t++) {
        struct cvm_exact_fare *fare = &bound->fares[t];
        double *flat = flats + t * class_count;
        fare->flat = flat;
        for (size_t r = 0; r < problem->row_count; r++) {
            const struct cvm_row *row = &problem->rows[r];
            bool is_share = cvm_row_is_money(row) && row->rate[t] != 0.0;
            if (prices[r] == 0.0 || !cvm_row_touches(row, t)) {
                continue;
            }
            if (is_share) {
                fare->rated[fare->rated_count++] =
                    (struct cvm_rated){prices[r] / CVM_MICRO_PER_UNIT, row->flat[t], row->rate[t]};
                continue;
            }
            for (size_t c = 0; c < class_count; c++) {
                flat[c] += prices[r] * cvm_row_natural(row, cvm_row_use(row, c, t, 0.0));
            }
        }
    }
}

static double pair_score(const struct bound *bound, size_t customer, size_t t)
{
    const struct cvm_problem *problem = bound->problem;
    const struct cvm_exact_fare *fare = &bound->fares[t];
    double cost = fare->flat[cvm_problem_class(problem, customer)];
    double amount = cvm_problem_amount(problem, customer);
    for (size_t k = 0; k < fare->rated_count; k++) {
        int64_t micro = cvm_micro_from_double(fare->rated[k].flat + fare->rated[k].rate * amount);
        cost += fare->rated[k].price_micro * (double)micro;
    }
    return cvm_problem_exact(problem, customer, t) - cost;
}

static void bound_units(const struct bound *bound, size_t group, size_t worker)
{
    const struct cvm_units *units = bound->table.units;
    struct cvm_chooser *chooser = &bound->choosers[worker];
    size_t end = (group + 1) * CVM_GROUP_SIZE;
    end = end < units->count ? end : units->count;
    for (size_t u = group * CVM_GROUP_SIZE; u < end; u++) {
        size_t size = units->first[u + 1] - units->first[u];
        for (size_t j = 0; j < size; j++) {
            size_t customer = cvm_units_member(units, units->first[u] + j);
            double *scores = chooser->scores + j * bound->problem->treatment_count;
            for (size_t t = 0; t < bound->problem->treatment_count; t++) {
                bool is_eligible =
                    cvm_problem_value(bound->problem, customer, t) > CVM_PROBLEM_VALUE_MIN;
                scores[t] = is_eligible ? pair_score(bound, customer, t) : -INFINITY;
            }
        }
        bound->gains[group][0] += cvm_choose_unit(chooser, size, units->max[u], chooser->sets);
    }
}

static void bound_group(void *state, size_t group, size_t worker)
{
    struct bound *bound = state;
    size_t end = (group + 1) * CVM_GROUP_SIZE;
    end = end < bound->problem->customer_count ? end : bound->problem->customer_count;
    if (bound->table.units != NULL) {
        bound_units(bound, group, worker);
    } else {
        bound->kernel->bound(&bound->pass, group * CVM_GROUP_SIZE, end, bound->gains[group]);
    }
    count_group(&bound->count, group, worker);
}

static enum cvm_status prepare_units(struct bound *bound, struct cvm_pool *pool,
                                     struct cvm_arena *arena, struct cvm_error *err)
{
    size_t workers = cvm_worker_count(pool);
    enum cvm_status status = cvm_table_of_problem(bound->problem, arena, &bound->table, err);
    if (status != CVM_OK || bound->table.units == NULL) {
        return status;
    }
    bound->choosers = CVM_NEW_ARRAY(arena, workers, struct cvm_chooser);
    if (bound->choosers == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu threads", workers);
    }
    for (size_t w = 0; status == CVM_OK && w < workers; w++) {
        status = cvm_chooser_init(&bound->choosers[w], bound->problem, bound->table.units->size_max,
                                  arena, err);
    }
    return status;
}

/* Sum over units of choice of their best score. */
static enum cvm_status sum_gains(struct bound *bound, const double *prices, struct cvm_pool *pool,
                                 struct cvm_arena *arena, double *out_gain, struct cvm_error *err)
{
    const struct cvm_problem *problem = bound->problem;
    size_t class_count = problem->class_count > 0 ? problem->class_count : 1;
    size_t group_count = cvm_group_count(problem->customer_count);
    double *flats = CVM_NEW_ARRAY(arena, problem->treatment_count * class_count + 1, double);
    bound->gains = cvm_arena_alloc(arena, group_count + 1, sizeof(bound->gains[0]));
    if (flats == NULL || bound->gains == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to verify a plan");
    }
    enum cvm_status status = prepare_units(bound, pool, arena, err);
    if (status != CVM_OK) {
        return status;
    }
    set_fares(bound, prices, flats, class_count);
    bound->pass = (struct cvm_exact_pass){problem, bound->fares, class_count};
    cvm_groups_run(pool, group_count, bound_group, bound);
    *out_gain = 0.0;
    for (size_t group = 0; group < group_count; group++) {
        double gain = 0.0;
        for (size_t i = 0; i < CVM_PROBLEM_BLOCK; i++) {
            gain += bound->gains[group][i];
        }
        *out_gain += gain;
    }
    return CVM_OK;
}

/* ---- the certificate ---- */

static enum cvm_status check_limits(const struct cvm_problem *problem,
                                    const struct cvm_plan_sums *sums, struct cvm_error *err)
{
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        if (sums->used[r] > row->limit && !cvm_row_is_minimum(row)) {
            return CVM_FAIL(err, CVM_E_INTERNAL, "the plan uses %lld of row '%s' with %lld",
                            (long long)sums->used[r], row->name != NULL ? row->name : "unnamed",
                            (long long)row->limit);
        }
    }
    return CVM_OK;
}

static void fill_plan(const struct cvm_problem *problem, const struct cvm_plan_sums *sums,
                      double gain, struct cvm_plan *plan)
{
    double bound = gain;
    double terms = fabs(gain) + fabs(sums->value); /* what rounding is a share of */
    plan->slack = 0.0;
    plan->is_feasible = true;
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        int64_t over = sums->used[r] - row->limit;
        double limit = plan->prices[r] * cvm_row_natural(row, row->limit);
        bound += limit;
        terms += fabs(limit);
        plan->slack += plan->prices[r] * cvm_row_natural(row, -over);
        plan->shortfall[r] = over > 0 ? over : 0;
        plan->is_feasible = plan->is_feasible && over <= 0;
    }
    memcpy(plan->used, sums->used, sizeof(plan->used));
    memcpy(plan->covered, sums->covered, sizeof(plan->covered));
    memcpy(plan->inside, sums->inside, sizeof(plan->inside));
    memcpy(plan->counts, sums->counts, sizeof(plan->counts));
    plan->treated = sums->treated;
    plan->value = sums->value;
    /* Where huge terms cancel, what rounding may have taken from the bound is given back. */
    double rounding = terms * 0x1p-50;
    bound += rounding > 1e-12 * fabs(bound) ? rounding : 0.0;
    /* An optimal plan's value and bound are the same number summed in two ways: what rounding makes
     * of their order is no gap. A forced plan is not a choice among values: it is its own bound. */
    bool is_rounding = plan->value > bound && plan->value - bound <= 1e-12 * terms;
    plan->dual_bound = problem->forced_treatment >= 0 || is_rounding ? plan->value : bound;
    plan->gap =
        plan->dual_bound == 0.0 ? 0.0 : (plan->dual_bound - plan->value) / fabs(plan->dual_bound);
    plan->regret = plan->dual_bound - plan->value - plan->slack;
}

enum cvm_status cvm_plan_verify_with(const struct cvm_problem *problem,
                                     const struct cvm_kernel *kernel, struct cvm_pool *pool,
                                     struct cvm_plan *plan, struct cvm_error *err)
{
    struct cvm_arena *arena = cvm_arena_create(SIZE_MAX);
    struct bound *bound = arena == NULL ? NULL : CVM_NEW(arena, struct bound);
    struct cvm_plan_sums *sums = bound == NULL ? NULL : CVM_NEW(arena, struct cvm_plan_sums);
    double gain = 0.0;
    if (sums == NULL) {
        cvm_arena_destroy(arena);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to verify a plan");
    }
    bound->problem = problem;
    bound->kernel = kernel;
    enum cvm_status status = count_init(&bound->count, problem, plan->treatments, pool, arena, err);
    if (status == CVM_OK) {
        status = sum_gains(bound, plan->prices, pool, arena, &gain, err);
    }
    if (status == CVM_OK) {
        status = add_groups(&bound->count, arena, sums, err);
    }
    if (status == CVM_OK) {
        status = check_limits(problem, sums, err);
    }
    if (status == CVM_OK) {
        fill_plan(problem, sums, gain, plan);
    }
    cvm_arena_destroy(arena);
    return status;
}

enum cvm_status cvm_plan_verify(const struct cvm_problem *problem, struct cvm_pool *pool,
                                struct cvm_plan *plan, struct cvm_error *err)
{
    const struct cvm_kernel *kernel = NULL;
    enum cvm_status status = cvm_kernel_find(CVM_INSTRUCTIONS_BEST, &kernel, err);
    return status == CVM_OK ? cvm_plan_verify_with(problem, kernel, pool, plan, err) : status;
}
