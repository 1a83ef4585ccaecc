/* solver_bench - time, passes and gap of one solve, on made-up bases of 10k, 100k and 1M customers.
 *
 * solver_bench [CUSTOMERS [TREATMENTS [THREADS [SEED [GRID]]]]]. Heavy-tailed worth, scarce
 * call-backs, cheap messages, call-centre minutes, and an incentive budget of 70 % of what would be
 * spent without it: the shape of a telecom base. GRID rounds values to multiples of it: mass ties.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocation/solver.h"
#include "base/hash.h"
#include "base/random.h"

#define REPEATS 5

struct base {
    struct cvm_problem problem;
    struct cvm_row rows[CVM_PROBLEM_ROWS_MAX];
    int64_t costs[CVM_PROBLEM_TREATMENTS_MAX];
    int64_t priorities[CVM_PROBLEM_TREATMENTS_MAX];
};

static void *must(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

static void fill_customer(float *values, float *amount, size_t count, size_t i, uint64_t key)
{
    struct cvm_random random;
    cvm_random_init(&random, key);
    double worth = cvm_random_lognormal(&random, 30.0, 1.15);
    worth *= cvm_random_unit(&random) < 0.01 ? 4.0 : 1.0;
    *amount = (float)cvm_random_lognormal(&random, 12.0, 0.5);
    for (size_t t = 0; t < count; t++) {
        double lift = 0.4 / (1.0 + (double)t) * cvm_random_lognormal(&random, 1.0, 0.6);
        bool is_eligible = cvm_random_unit(&random) >= 0.3;
        double cost = 6.0 / (1.0 + (double)(t * t));
        values[(i / CVM_PROBLEM_BLOCK * count + t) * CVM_PROBLEM_BLOCK + i % CVM_PROBLEM_BLOCK] =
            is_eligible ? (float)(worth * lift - cost) : CVM_PROBLEM_INELIGIBLE;
    }
}

static void fill_rows(struct base *base, size_t customers, size_t treatments)
{
    static const double shares[] = {.0005, .001, .01, .02, .03, .04, .05, .06, .08, .10, .10};
    struct cvm_row *minutes = &base->rows[treatments];
    struct cvm_row *calls = &base->rows[treatments + 1];
    struct cvm_row *budget = &base->rows[treatments + 2];
    *minutes = (struct cvm_row){.name = "minutes", .kind = CVM_ROW_UNITS};
    *calls = (struct cvm_row){.name = "contacts", .kind = CVM_ROW_UNITS};
    *budget = (struct cvm_row){.name = "budget", .kind = CVM_ROW_MONEY, .limit = INT64_C(1) << 50};
    minutes->limit = (int64_t)((double)customers * 0.012 * 10000);
    calls->limit = (int64_t)((double)customers * 0.3);
    for (size_t t = 0; t < treatments; t++) {
        struct cvm_row *row = &base->rows[t];
        *row = (struct cvm_row){.name = "capacity", .kind = CVM_ROW_UNITS};
        row->limit = (int64_t)(shares[t % 11] * (double)customers) + 1;
        row->units[t] = 1;
        minutes->units[t] = t < 3 ? 10000 - (int64_t)t * 2500 : 0;
        calls->units[t] = t >= 3;
        budget->flat[t] = t % 2 == 0 ? 0.25 : 0.0;
        budget->rate[t] = 0.4 / (1.0 + (double)t);
        base->costs[t] = 1000000 / (int64_t)(t + 1);
        base->priorities[t] = (int64_t)t + 1;
    }
    base->problem.row_count = treatments + 3;
}

static void round_values(float *values, size_t count, double grid)
{
    for (size_t i = 0; grid > 0.0 && i < count; i++) {
        if (values[i] > -1e29f) {
            values[i] = (float)(round((double)values[i] / grid) * grid);
        }
    }
}

struct shape {
    size_t customers;
    size_t treatments;
    uint64_t seed;
    double grid;
};

static void make_base(struct base *base, const struct shape *shape)
{
    size_t customers = shape->customers;
    size_t treatments = shape->treatments;
    size_t padded = (customers + CVM_PROBLEM_BLOCK - 1) / CVM_PROBLEM_BLOCK * CVM_PROBLEM_BLOCK;
    float *values = must(malloc((padded * treatments + 1) * sizeof(*values)));
    float *amounts = must(malloc((padded + 1) * sizeof(*amounts)));
    uint64_t *keys = must(malloc((padded + 1) * sizeof(*keys)));
    for (size_t i = 0; i < padded * treatments; i++) {
        values[i] = CVM_PROBLEM_INELIGIBLE;
    }
    for (size_t i = 0; i < customers; i++) {
        keys[i] = cvm_hash_mix(i, shape->seed);
        fill_customer(values, &amounts[i], treatments, i, keys[i]);
    }
    round_values(values, padded * treatments, shape->grid);
    base->problem = (struct cvm_problem){
        .customer_count = customers,
        .treatment_count = treatments,
        .values = values,
        .keys = keys,
        .amounts = amounts,
        .priorities = base->priorities,
        .tie_cost_micro = base->costs,
        .rows = base->rows,
        .forced_treatment = -1,
    };
    fill_rows(base, customers, treatments);
}

static void free_base(struct base *base)
{
    free((void *)base->problem.values);
    free((void *)base->problem.amounts);
    free((void *)base->problem.keys);
}

static double now_ms(void)
{
    return (double)cvm_clock_system.steady_ns(cvm_clock_system.state) / 1e6;
}

static void solve(const struct base *base, struct cvm_pool *pool, struct cvm_plan *plan)
{
    struct cvm_error err;
    if (cvm_solve(&base->problem, NULL, pool, NULL, plan, &err) != CVM_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

static void measure(const struct shape *shape, struct cvm_pool *pool)
{
    struct base base;
    size_t customers = shape->customers;
    size_t treatments = shape->treatments;
    make_base(&base, shape);
    struct cvm_plan plan = {.treatments = must(malloc(customers + 1))};
    solve(&base, pool, &plan);
    base.rows[treatments + 2].limit = (int64_t)((double)plan.used[treatments + 2] * 0.7);

    double best_ms = INFINITY;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = now_ms();
        solve(&base, pool, &plan);
        best_ms = fmin(best_ms, now_ms() - start);
    }
    double start = now_ms();
    struct cvm_error err;
    if (cvm_plan_verify(&base.problem, pool, &plan, &err) != CVM_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    double verify_ms = now_ms() - start;
    printf("%9zu customers x %zu, %zu rows, %zu threads: %8.1f ms (verify %.1f), %d passes, gap "
           "%.1e, value %.4f, treated %" PRId64 ", plan %016" PRIx64 "\n",
           customers, treatments, base.problem.row_count, cvm_pool_thread_count(pool), best_ms,
           verify_ms, plan.passes, plan.gap, plan.value, plan.treated,
           cvm_hash(plan.treatments, customers));
    free(plan.treatments);
    free_base(&base);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {10000, 100000, 1000000};
    size_t customers = argc > 1 ? (size_t)strtoull(argv[1], NULL, 10) : 0;
    size_t treatments = argc > 2 ? (size_t)strtoull(argv[2], NULL, 10) : 11;
    size_t threads = argc > 3 ? (size_t)strtoull(argv[3], NULL, 10) : 0;
    struct shape shape = {
        .treatments = treatments,
        .seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 1,
        .grid = argc > 5 ? strtod(argv[5], NULL) : 0.0,
    };
    struct cvm_pool *pool = NULL;
    struct cvm_error err;
    if (treatments == 0 || treatments > CVM_PROBLEM_TREATMENTS_MAX) {
        fprintf(stderr, "1 to %d treatments\n", CVM_PROBLEM_TREATMENTS_MAX);
        return 2;
    }
    if (cvm_pool_create(threads, &pool, &err) != CVM_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (customers == 0 || i == 0) {
            shape.customers = customers == 0 ? sizes[i] : customers;
            measure(&shape, pool);
        }
    }
    cvm_pool_destroy(pool);
    return 0;
}
