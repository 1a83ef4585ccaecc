/* The certificate: value, use and bound again from the problem and the plan alone, in double and in
 * integers, without the floats and the jitter of the search. */
#include <math.h>
#include <string.h>

#include "allocation/repair.h"
#include "model/money.h"

#define BLOCK CVM_PROBLEM_BLOCK
/* Adding and taking away 1.5 x 2^52 rounds a double below 2^51 half to even, as
 * cvm_micro_from_double() does; uses are below 2^51 micros by cvm_problem_check(). */
#define ROUNDER 6755399441055744.0

struct group_sums {
    double value;
    double gain;
    int64_t used[CVM_PROBLEM_ROWS_MAX];
    int64_t counts[CVM_PROBLEM_TREATMENTS_MAX];
    size_t fault; /* 0, or 1 + the first customer with a pair that may not be */
};

struct verify {
    const struct cvm_problem *problem;
    const struct cvm_plan *plan;
    struct cvm_tariff tariff; /* of the rows in units */
    struct cvm_touches touches;
    struct group_sums *groups;
};

double cvm_pair_price(const struct cvm_problem *problem, const double *prices, size_t customer,
                      size_t treatment)
{
    double amount = problem->amounts != NULL ? (double)problem->amounts[customer] : 0.0;
    double price = 0.0;
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        if (cvm_row_touches(row, treatment)) {
            int64_t use = cvm_row_use(row, treatment, amount);
            price +=
                prices[r] * (row->kind == CVM_ROW_UNITS ? (double)use : cvm_micro_to_double(use));
        }
    }
    return price;
}

/* best[i] = max(best[i], v - p a) with the use in whole micros, as the limits count it: otherwise
 * half a micro a customer could push the best plan above the bound. */
static void raise_best(const struct verify *verify, const float *values, const double *amounts,
                       size_t treatment, double best[BLOCK])
{
    const struct cvm_problem *problem = verify->problem;
    double costs[BLOCK];
    for (size_t i = 0; i < BLOCK; i++) {
        costs[i] = verify->tariff.flat[treatment];
    }
    for (size_t k = 0; k < verify->touches.counts[treatment]; k++) {
        const struct cvm_row *row = &problem->rows[verify->touches.rows[treatment][k]];
        double price = verify->plan->prices[verify->touches.rows[treatment][k]];
        if (row->kind != CVM_ROW_MONEY || price == 0.0) {
            continue;
        }
        double flat = row->flat[treatment];
        double rate = row->rate[treatment];
        for (size_t i = 0; i < BLOCK; i++) {
            double micro = (flat + rate * amounts[i]) * CVM_MICRO_PER_UNIT;
            micro = (micro + ROUNDER) - ROUNDER;
            costs[i] += price * (micro / CVM_MICRO_PER_UNIT);
        }
    }
    for (size_t i = 0; i < BLOCK; i++) {
        double score = (double)values[i] - costs[i];
        best[i] = score > best[i] ? score : best[i];
    }
}

static void add_pair(const struct verify *verify, size_t customer, double amount,
                     struct group_sums *sums)
{
    const struct cvm_problem *problem = verify->problem;
    size_t t = verify->plan->treatments[customer];
    if (t == CVM_NOTHING) {
        return;
    }
    float value = t < problem->treatment_count ? cvm_problem_value(problem, customer, t)
                                               : CVM_PROBLEM_INELIGIBLE;
    if (!(value > CVM_PROBLEM_VALUE_MIN)) {
        sums->fault = sums->fault == 0 ? customer + 1 : sums->fault;
        return;
    }
    sums->value += (double)value;
    sums->counts[t]++;
    for (size_t k = 0; k < verify->touches.counts[t]; k++) {
        size_t r = verify->touches.rows[t][k];
        sums->used[r] = cvm_micro_add(sums->used[r], cvm_row_use(&problem->rows[r], t, amount));
    }
}

static void verify_group(void *state, size_t group, size_t worker)
{
    struct verify *verify = state;
    const struct cvm_problem *problem = verify->problem;
    struct group_sums *sums = &verify->groups[group];
    size_t end = (group + 1) * CVM_GROUP_SIZE;
    end = end < problem->customer_count ? end : problem->customer_count;
    (void)worker;
    for (size_t first = group * CVM_GROUP_SIZE; first < end; first += BLOCK) {
        const float *values = problem->values + first * problem->treatment_count;
        size_t count = end - first < BLOCK ? end - first : BLOCK;
        double amounts[BLOCK] = {0};
        double best[BLOCK] = {0};
        for (size_t i = 0; problem->amounts != NULL && i < count; i++) {
            amounts[i] = (double)problem->amounts[first + i];
        }
        for (size_t place = 0; place < verify->tariff.count; place++) {
            size_t t = verify->tariff.treatments[place];
            raise_best(verify, values + t * BLOCK, amounts, t, best);
        }
        for (size_t i = 0; i < count; i++) {
            sums->gain += best[i];
            add_pair(verify, first + i, amounts[i], sums);
        }
    }
}

void cvm_touches_init(const struct cvm_problem *problem, struct cvm_touches *touches)
{
    memset(touches, 0, sizeof(*touches));
    for (size_t t = 0; t < problem->treatment_count; t++) {
        for (size_t r = 0; r < problem->row_count; r++) {
            if (cvm_row_touches(&problem->rows[r], t)) {
                touches->rows[t][touches->counts[t]++] = (unsigned char)r;
            }
        }
    }
}

/* Prices of the rows in units only: those of money are added in whole micros. */
static void set_unit_prices(struct verify *verify)
{
    const struct cvm_problem *problem = verify->problem;
    double prices[CVM_PROBLEM_ROWS_MAX] = {0};
    for (size_t r = 0; r < problem->row_count; r++) {
        prices[r] = problem->rows[r].kind == CVM_ROW_UNITS ? verify->plan->prices[r] : 0.0;
    }
    cvm_tariff_init(problem, &verify->tariff);
    cvm_tariff_set(problem, prices, &verify->tariff);
}

static enum cvm_status add_groups(const struct verify *verify, struct group_sums *total,
                                  struct cvm_error *err)
{
    const struct cvm_problem *problem = verify->problem;
    for (size_t g = 0; g < cvm_group_count(problem->customer_count); g++) {
        const struct group_sums *sums = &verify->groups[g];
        if (sums->fault != 0) {
            return CVM_FAIL(err, CVM_E_INTERNAL, "the plan gives customer %zu an ineligible pair",
                            sums->fault - 1);
        }
        total->value += sums->value;
        total->gain += sums->gain;
        for (size_t r = 0; r < problem->row_count; r++) {
            total->used[r] = cvm_micro_add(total->used[r], sums->used[r]);
        }
        for (size_t t = 0; t < problem->treatment_count; t++) {
            total->counts[t] += sums->counts[t];
        }
    }
    for (size_t r = 0; r < problem->row_count; r++) {
        if (total->used[r] > problem->rows[r].limit) {
            return CVM_FAIL(err, CVM_E_INTERNAL, "the plan uses %lld of row '%s' with %lld",
                            (long long)total->used[r],
                            problem->rows[r].name != NULL ? problem->rows[r].name : "unnamed",
                            (long long)problem->rows[r].limit);
        }
    }
    return CVM_OK;
}

static void fill_plan(const struct cvm_problem *problem, const struct group_sums *total,
                      struct cvm_plan *plan)
{
    double bound = total->gain;
    plan->treated = 0;
    for (size_t r = 0; r < problem->row_count; r++) {
        bound += plan->prices[r] * cvm_row_limit(&problem->rows[r]);
        plan->used[r] = total->used[r];
    }
    for (size_t t = 0; t < problem->treatment_count; t++) {
        plan->counts[t] = total->counts[t];
        plan->treated += total->counts[t];
    }
    plan->value = total->value;
    /* A forced plan is not a choice among values: it is its own bound. */
    /* An optimal plan's value and bound are the same number summed in two ways: what rounding makes
     * of their order is no gap. */
    bool is_rounding = plan->value > bound && plan->value - bound <= 1e-12 * fabs(plan->value);
    plan->dual_bound = problem->forced_treatment >= 0 || is_rounding ? plan->value : bound;
    plan->gap =
        plan->dual_bound == 0.0 ? 0.0 : (plan->dual_bound - plan->value) / fabs(plan->dual_bound);
}

enum cvm_status cvm_plan_verify(const struct cvm_problem *problem, struct cvm_pool *pool,
                                struct cvm_plan *plan, struct cvm_error *err)
{
    size_t group_count = cvm_group_count(problem->customer_count);
    struct cvm_arena *arena = cvm_arena_create(SIZE_MAX);
    struct verify *verify = arena == NULL ? NULL : CVM_NEW(arena, struct verify);
    struct group_sums *total =
        verify == NULL ? NULL : CVM_NEW_ARRAY(arena, group_count + 1, struct group_sums);
    if (total == NULL) {
        cvm_arena_destroy(arena);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to verify a plan");
    }
    verify->problem = problem;
    verify->plan = plan;
    verify->groups = total + 1;
    cvm_touches_init(problem, &verify->touches);
    set_unit_prices(verify);
    cvm_groups_run(pool, group_count, verify_group, verify);
    enum cvm_status status = add_groups(verify, total, err);
    if (status == CVM_OK) {
        fill_plan(problem, total, plan);
    }
    cvm_arena_destroy(arena);
    return status;
}
