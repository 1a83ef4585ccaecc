#include "cli/bench_problem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "allocation/solver.h"
#include "base/hash.h"
#include "base/maths.h"
#include "base/random.h"
#include "model/money.h"

#define BLOCK CVM_PROBLEM_BLOCK
/* Customers that one worker makes at a time; a whole number of blocks. */
#define GROUP    8192

#define CHANNELS 4

/* From the call-back of the few to the message of the many: share of the base that there is
 * capacity for, share of a customer's worth that it brings, effort, cost, and cost as a share of
 * the bill. */
static const struct treatment {
    const char *name;
    double capacity;
    double lift;
    double effort;
    double flat;
    double rate;
} treatments[CVM_BENCH_TREATMENTS] = {
    {"retention_call", 0.0005, 0.40, 6.00, 6.00, 0.20},
    {"service_call", 0.001, 0.30, 4.00, 4.00, 0.10},
    {"early_upgrade", 0.01, 0.26, 2.00, 1.50, 0.25},
    {"household_bundle", 0.02, 0.22, 1.50, 1.00, 0.20},
    {"device_offer", 0.03, 0.19, 1.20, 0.80, 0.15},
    {"plan_change", 0.04, 0.16, 1.00, 0.50, 0.12},
    {"roaming_pass", 0.05, 0.14, 0.80, 0.30, 0.10},
    {"data_boost", 0.06, 0.12, 0.60, 0.20, 0.08},
    {"loyalty_letter", 0.07, 0.10, 0.50, 0.60, 0.04},
    {"tariff_tip", 0.08, 0.09, 0.40, 0.10, 0.03},
    {"app_message", 0.09, 0.08, 0.30, 0.02, 0.02},
    {"e_mail", 0.10, 0.07, 0.30, 0.02, 0.01},
};

/* ---- columns ---- */

struct columns {
    float *values;
    double *amounts;
    uint64_t *keys;
    uint16_t *classes;
    size_t customers;
    uint64_t seed;
};

/* Sum of four uniforms from 56 bits: near enough to normal for a noise, and quick. */
static double rough_normal(uint64_t bits)
{
    double sum = 0.0;
    for (int k = 0; k < 4; k++) {
        sum += (double)(bits >> 14 * k & 0x3FFF) + 0.5;
    }
    return (sum / 16384.0 - 2.0) * 1.7320508075688772;
}

static void make_customer(const struct columns *columns, size_t i)
{
    struct cvm_random random;
    uint64_t step = (UINT64_C(1) << 63) / columns->customers;
    float *values = columns->values + i / BLOCK * BLOCK * CVM_BENCH_TREATMENTS + i % BLOCK;
    cvm_random_init(&random, cvm_hash_mix(columns->seed, i));
    double worth = cvm_random_lognormal(&random, 15.0, 1.15);
    worth *= cvm_random_unit(&random) < 0.01 ? 4.0 : 1.0;
    columns->amounts[i] = cvm_random_lognormal(&random, 12.0, 0.5);
    columns->keys[i] = i * step + cvm_random_u64(&random) % step;
    columns->classes[i] = (uint16_t)(cvm_random_u64(&random) % CVM_BENCH_SEGMENTS);
    worth *= 0.8 + 0.05 * (double)columns->classes[i];
    for (size_t t = 0; t < CVM_BENCH_TREATMENTS; t++) {
        uint64_t bits = cvm_random_u64(&random);
        double noise = cvm_exp(0.6 * rough_normal(bits));
        bool is_eligible = bits >> 56 >= 77; /* 30 % of 256 are not */
        double value = worth * treatments[t].lift * noise - treatments[t].effort;
        values[t * BLOCK] = is_eligible ? (float)value : CVM_PROBLEM_INELIGIBLE;
    }
}

static enum cvm_status make_group(void *state, size_t group, size_t worker, struct cvm_error *err)
{
    const struct columns *columns = state;
    size_t end = (group + 1) * GROUP;
    end = end < columns->customers ? end : columns->customers;
    (void)worker;
    (void)err;
    for (size_t i = group * GROUP; i < end; i++) {
        make_customer(columns, i);
    }
    return CVM_OK;
}

static size_t padded_of(size_t customers)
{
    return (customers + BLOCK - 1) / BLOCK * BLOCK;
}

size_t cvm_bench_problem_bytes(size_t customers)
{
    return padded_of(customers) * (CVM_BENCH_TREATMENTS * sizeof(float) + sizeof(double) +
                                   sizeof(uint64_t) + sizeof(uint16_t) + sizeof(unsigned char));
}

static enum cvm_status make_columns(struct cvm_bench_problem *base, size_t customers,
                                    struct cvm_pool *pool, struct cvm_arena *arena)
{
    size_t padded = padded_of(customers);
    struct columns columns = {
        .values = cvm_arena_alloc_raw(arena, padded * CVM_BENCH_TREATMENTS, sizeof(float)),
        .amounts = cvm_arena_alloc_raw(arena, padded, sizeof(double)),
        .keys = cvm_arena_alloc_raw(arena, padded, sizeof(uint64_t)),
        .classes = cvm_arena_alloc_raw(arena, padded, sizeof(uint16_t)),
        .customers = customers,
        .seed = base->seed,
    };
    if (columns.values == NULL || columns.amounts == NULL || columns.keys == NULL ||
        columns.classes == NULL) {
        return CVM_E_LIMIT;
    }
    size_t first = padded - BLOCK; /* of the last block, which may have room left */
    for (size_t k = 0; k < (size_t)BLOCK * CVM_BENCH_TREATMENTS; k++) {
        columns.values[first * CVM_BENCH_TREATMENTS + k] = CVM_PROBLEM_INELIGIBLE;
    }
    base->values = columns.values;
    base->problem = (struct cvm_problem){
        .customer_count = customers,
        .treatment_count = CVM_BENCH_TREATMENTS,
        .values = columns.values,
        .keys = columns.keys,
        .amounts = columns.amounts,
        .classes = columns.classes,
        .class_count = CVM_BENCH_SEGMENTS,
        .tie_cost_micro = base->costs,
        .rows = base->rows,
        .forced_treatment = -1,
    };
    return cvm_pool_run(pool, (customers + GROUP - 1) / GROUP, make_group, &columns, NULL);
}

/* ---- rows ---- */

static void CVM_PRINTF(3, 4)
    add_row(struct cvm_bench_problem *base, struct cvm_row_terms terms, const char *format, ...)
{
    size_t number = base->problem.row_count++;
    va_list args;
    va_start(args, format);
    if (vsnprintf(base->names[number], sizeof(base->names[number]), format, args) < 0) {
        base->names[number][0] = '\0';
    }
    va_end(args);
    terms.name = base->names[number];
    cvm_row_make(&terms, &base->rows[number]);
}

static const uint64_t all_treatments = (UINT64_C(1) << CVM_BENCH_TREATMENTS) - 1;

static void add_capacities(struct cvm_bench_problem *base)
{
    for (size_t t = 0; t < CVM_BENCH_TREATMENTS; t++) {
        double limit = treatments[t].capacity * (double)base->problem.customer_count;
        base->costs[t] = cvm_micro_from_double(treatments[t].flat);
        add_row(base,
                (struct cvm_row_terms){.kind = CVM_ROW_CAPACITY,
                                       .treatments = UINT64_C(1) << t,
                                       .limit = (int64_t)limit},
                "%s", treatments[t].name);
    }
}

static void add_budget(struct cvm_bench_problem *base, int64_t limit)
{
    double flat[CVM_BENCH_TREATMENTS];
    double rate[CVM_BENCH_TREATMENTS];
    for (size_t t = 0; t < CVM_BENCH_TREATMENTS; t++) {
        flat[t] = treatments[t].flat;
        rate[t] = treatments[t].rate;
    }
    add_row(base,
            (struct cvm_row_terms){.kind = CVM_ROW_BUDGET,
                                   .treatments = all_treatments,
                                   .limit = limit,
                                   .flat = flat,
                                   .rate = rate},
            "budget");
}

/* Three digits: a plan that is better by a hair makes the same problem. */
static int64_t three_digits(double amount)
{
    double unit = 1.0;
    while (unit * 1000.0 <= amount) {
        unit *= 10.0;
    }
    return (int64_t)(floor(amount / unit) * unit);
}

static void add_channels(struct cvm_bench_problem *base, const struct cvm_plan *plan)
{
    for (size_t c = 0; c < CHANNELS; c++) {
        uint64_t bits = 0;
        int64_t given = 0;
        for (size_t t = c; t < CVM_BENCH_TREATMENTS; t += CHANNELS) {
            bits |= UINT64_C(1) << t;
            given += plan->counts[t];
        }
        add_row(base,
                (struct cvm_row_terms){.kind = CVM_ROW_SHARED,
                                       .treatments = bits,
                                       .limit = three_digits(0.95 * (double)given)},
                "channel %zu", c + 1);
    }
}

/* Half of the segments may get a fifth less than they would, the others must get a twentieth more.
 */
static void add_segments(struct cvm_bench_problem *base, const struct cvm_plan *plan)
{
    double given[CVM_BENCH_SEGMENTS] = {0};
    for (size_t i = 0; i < base->problem.customer_count; i++) {
        given[base->problem.classes[i]] += plan->treatments[i] != CVM_NOTHING;
    }
    for (size_t g = 0; g < CVM_BENCH_SEGMENTS; g++) {
        struct cvm_row_terms terms = {.treatments = all_treatments, .inside = base->inside[g]};
        bool is_favoured = g % 2 == 1;
        base->inside[g][g] = 1;
        terms.kind = CVM_ROW_SEGMENT_MAX;
        terms.limit = three_digits(given[g] * (is_favoured ? 1.3 : 0.82));
        add_row(base, terms, "segment %zu at most", g + 1);
        terms.kind = CVM_ROW_SEGMENT_MIN;
        terms.limit = three_digits(given[g] * (is_favoured ? 1.05 : 0.6));
        add_row(base, terms, "segment %zu at least", g + 1);
    }
}

enum cvm_status cvm_bench_problem_make(size_t customers, size_t row_count, uint64_t seed,
                                       struct cvm_pool *pool, struct cvm_arena *arena,
                                       struct cvm_bench_problem *out_problem)
{
    struct cvm_bench_problem *base = out_problem;
    struct cvm_plan plan = {.treatments = cvm_arena_alloc_raw(arena, customers + 1, 1)};
    *base = (struct cvm_bench_problem){.seed = seed};
    enum cvm_status status =
        plan.treatments == NULL ? CVM_E_LIMIT : make_columns(base, customers, pool, arena);
    if (status != CVM_OK) {
        return status;
    }
    add_capacities(base);
    /* A budget that nobody can reach tells what would be spent without one. */
    add_budget(base, INT64_C(1000000000000) * CVM_MICRO_PER_UNIT);
    status = cvm_solve(&base->problem, NULL, pool, NULL, &plan, NULL);
    if (status == CVM_OK) {
        base->problem.row_count--;
        add_budget(base, three_digits(0.7 * (double)plan.used[CVM_BENCH_TREATMENTS]));
    }
    if (status == CVM_OK && row_count > CVM_BENCH_ROWS_FEW) {
        status = cvm_solve(&base->problem, NULL, pool, NULL, &plan, NULL);
    }
    if (status == CVM_OK && row_count > CVM_BENCH_ROWS_FEW) {
        add_channels(base, &plan);
        add_segments(base, &plan);
    }
    return status;
}

/* ---- another day ---- */

static enum cvm_status change_group(void *state, size_t group, size_t worker, struct cvm_error *err)
{
    const struct cvm_bench_problem *base = state;
    size_t block_values = (size_t)BLOCK * CVM_BENCH_TREATMENTS;
    size_t end = padded_of(base->problem.customer_count) / BLOCK * block_values;
    size_t group_end = (group + 1) * GROUP * CVM_BENCH_TREATMENTS;
    struct cvm_random random;
    (void)worker;
    (void)err;
    cvm_random_init(&random, cvm_hash_mix(base->seed + 1, group));
    end = group_end < end ? group_end : end;
    for (size_t at = group * GROUP * CVM_BENCH_TREATMENTS; at < end; at++) {
        if (cvm_random_below(&random, 100) == 0 && base->values[at] > CVM_PROBLEM_VALUE_MIN) {
            base->values[at] *= (float)cvm_random_lognormal(&random, 1.0, 0.2);
        }
    }
    return CVM_OK;
}

enum cvm_status cvm_bench_problem_change(struct cvm_bench_problem *base, struct cvm_pool *pool)
{
    return cvm_pool_run(pool, (base->problem.customer_count + GROUP - 1) / GROUP, change_group,
                        base, NULL);
}
