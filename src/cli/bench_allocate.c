/* The solver on a made-up base: cold, from the prices of the cold solve, after 1 % of the values
 * changed, after a capacity changed; beside a plain pass over the values and the bare reading of
 * them. All in one process, so that one making of the base serves every repeat. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "allocation/solver.h"
#include "cli/bench.h"
#include "cli/bench_problem.h"

#define BLOCK CVM_PROBLEM_BLOCK
#define GROUP 8192 /* customers read by one worker at a time */

struct allocate_job {
    struct cvm_bench *bench;
    struct cvm_bench_sample *sample;
    struct cvm_bench_problem base;
    struct cvm_arena *arena;
    struct cvm_pool *pool;
    struct cvm_plan plan;
    double *seconds; /* of each repeat */
    double *sums;    /* of each group: without a result the compiler would leave out the work */
};

static void CVM_PRINTF(4, 5)
    add(struct cvm_bench_sample *sample, double value, const char *unit, const char *format, ...)
{
    if (sample->result_count == CVM_BENCH_RESULTS_MAX) {
        return;
    }
    struct cvm_bench_result *result = &sample->results[sample->result_count++];
    va_list args;
    va_start(args, format);
    if (vsnprintf(result->name, sizeof(result->name), format, args) < 0) {
        result->name[0] = '\0';
    }
    va_end(args);
    result->value = value;
    result->unit = unit;
}

static double now(const struct allocate_job *job)
{
    return cvm_context_seconds(&job->bench->session->context);
}

static struct cvm_bench_spread add_seconds(struct allocate_job *job, const char *name)
{
    struct cvm_bench_spread spread = cvm_bench_spread_of(job->seconds, (size_t)job->bench->repeats);
    add(job->sample, spread.best, "s", "%s_seconds_best", name);
    add(job->sample, spread.median, "s", "%s_seconds_median", name);
    add(job->sample, spread.worst, "s", "%s_seconds_worst", name);
    return spread;
}

/* ---- solves ---- */

static enum cvm_status solve(struct allocate_job *job, const char *name, const double *warm_prices,
                             double *out_median, struct cvm_error *err)
{
    const struct cvm_solver_options options = {.warm_prices = warm_prices};
    for (int64_t i = 0; i < job->bench->repeats; i++) {
        double start = now(job);
        enum cvm_status status = cvm_solve(&job->base.problem, &options, job->pool,
                                           &job->bench->session->context, &job->plan, err);
        job->seconds[i] = now(job) - start;
        if (status != CVM_OK) {
            return status;
        }
    }
    *out_median = add_seconds(job, name).median;
    add(job->sample, job->plan.gap, "ratio", "%s_gap", name);
    add(job->sample, (double)job->plan.passes, "count", "%s_passes", name);
    return CVM_OK;
}

static enum cvm_status verify(struct allocate_job *job, struct cvm_error *err)
{
    for (int64_t i = 0; i < job->bench->repeats; i++) {
        double start = now(job);
        enum cvm_status status = cvm_plan_verify(&job->base.problem, job->pool, &job->plan, err);
        job->seconds[i] = now(job) - start;
        if (status != CVM_OK) {
            return status;
        }
    }
    (void)add_seconds(job, "verify");
    add(job->sample, job->plan.value, "money", "value");
    add(job->sample, job->plan.dual_bound, "money", "dual_bound");
    add(job->sample, job->plan.regret, "money", "regret");
    add(job->sample, job->plan.slack, "money", "slack");
    add(job->sample, (double)job->plan.treated, "count", "treated");
    add(job->sample, job->plan.is_feasible, "flag", "feasible");
    return CVM_OK;
}

/* ---- what memory alone costs ---- */

static const float *group_values(const struct allocate_job *job, size_t group, size_t *out_count)
{
    size_t padded = (job->base.problem.customer_count + BLOCK - 1) / BLOCK * BLOCK;
    size_t first = group * GROUP;
    size_t customers = padded - first < GROUP ? padded - first : GROUP;
    *out_count = customers * CVM_BENCH_TREATMENTS;
    return job->base.values + first * CVM_BENCH_TREATMENTS;
}

/* The best value of every customer, summed: the least that any solver has to do. */
static enum cvm_status pass_group(void *state, size_t group, size_t worker, struct cvm_error *err)
{
    const struct allocate_job *job = state;
    size_t count;
    const float *values = group_values(job, group, &count);
    double sums[BLOCK] = {0};
    (void)worker;
    (void)err;
    for (size_t at = 0; at < count; at += (size_t)BLOCK * CVM_BENCH_TREATMENTS) {
        float best[BLOCK] = {0};
        for (size_t t = 0; t < CVM_BENCH_TREATMENTS; t++) {
            for (size_t i = 0; i < BLOCK; i++) {
                float value = values[at + t * BLOCK + i];
                best[i] = value > best[i] ? value : best[i];
            }
        }
        for (size_t i = 0; i < BLOCK; i++) {
            sums[i] += (double)best[i];
        }
    }
    for (size_t i = 1; i < BLOCK; i++) {
        sums[0] += sums[i];
    }
    job->sums[group] = sums[0];
    return CVM_OK;
}

/* As fast as memory lets it: one add per eight bytes. */
static enum cvm_status read_group(void *state, size_t group, size_t worker, struct cvm_error *err)
{
    const struct allocate_job *job = state;
    size_t count;
    const float *values = group_values(job, group, &count);
    uint64_t sum = 0;
    (void)worker;
    (void)err;
    for (size_t at = 0; at < count; at += 2) {
        uint64_t bits;
        memcpy(&bits, &values[at], sizeof(bits));
        sum += bits;
    }
    job->sums[group] = (double)sum;
    return CVM_OK;
}

static enum cvm_status time_reading(struct allocate_job *job, cvm_task_fn task, const char *name,
                                    double *out_median, struct cvm_error *err)
{
    size_t customers = job->base.problem.customer_count;
    double bytes = (double)customers * CVM_BENCH_TREATMENTS * sizeof(float);
    for (int64_t i = 0; i < job->bench->repeats; i++) {
        double start = now(job);
        enum cvm_status status =
            cvm_pool_run(job->pool, (customers + GROUP - 1) / GROUP, task, job, err);
        job->seconds[i] = now(job) - start;
        if (status != CVM_OK) {
            return status;
        }
    }
    *out_median = add_seconds(job, name).median;
    add(job->sample, bytes / *out_median / 1e9, "GB/s", "%s_rate", name);
    return CVM_OK;
}

/* ---- the job ---- */

static enum cvm_status solve_again(struct allocate_job *job, struct cvm_error *err)
{
    double prices[CVM_PROBLEM_ROWS_MAX];
    double ignored;
    memcpy(prices, job->plan.prices, sizeof(prices));
    enum cvm_status status = solve(job, "warm", prices, &ignored, err);
    if (status == CVM_OK) {
        status = cvm_bench_problem_change(&job->base, job->pool);
    }
    if (status == CVM_OK) {
        status = solve(job, "values_changed", prices, &ignored, err);
        memcpy(prices, job->plan.prices, sizeof(prices));
    }
    if (status == CVM_OK) {
        job->base.rows[2].limit -= job->base.rows[2].limit / 10;
        status = solve(job, "capacity_changed", prices, &ignored, err);
    }
    return status;
}

static enum cvm_status measure(struct allocate_job *job, struct cvm_error *err)
{
    double cold = 0.0;
    double pass = 1.0;
    double ignored;
    enum cvm_status status = solve(job, "cold", NULL, &cold, err);
    if (status == CVM_OK) {
        status = verify(job, err);
    }
    if (status == CVM_OK) {
        status = time_reading(job, pass_group, "plain_pass", &pass, err);
    }
    if (status == CVM_OK) {
        status = time_reading(job, read_group, "memory_read", &ignored, err);
        add(job->sample, cold / pass, "ratio", "cold_to_plain_pass");
    }
    return status == CVM_OK ? solve_again(job, err) : status;
}

static enum cvm_status make_job(struct allocate_job *job, struct cvm_error *err)
{
    struct cvm_bench *bench = job->bench;
    size_t customers = (size_t)bench->customers;
    size_t bytes = cvm_bench_problem_bytes(customers) + customers + ((size_t)16 << 20);
    job->arena = cvm_arena_create(bytes);
    if (job->arena != NULL) {
        job->plan.treatments = cvm_arena_alloc_raw(job->arena, customers + 1, 1);
        job->seconds = CVM_NEW_ARRAY(job->arena, (size_t)bench->repeats, double);
        job->sums = CVM_NEW_ARRAY(job->arena, customers / GROUP + 1, double);
    }
    if (job->arena == NULL || job->plan.treatments == NULL || job->seconds == NULL ||
        job->sums == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu customers", customers);
    }
    enum cvm_status status = cvm_pool_create((size_t)bench->threads, &job->pool, err);
    if (status == CVM_OK) {
        status = cvm_bench_problem_make(customers, (size_t)bench->rows, (uint64_t)bench->seed,
                                        job->pool, job->arena, &job->base);
        if (status != CVM_OK) {
            (void)CVM_FAIL(err, status, "cannot make a base of %zu customers", customers);
        }
    }
    return status;
}

enum cvm_status cvm_bench_allocate(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                   struct cvm_error *err)
{
    struct cvm_bench_sample sample = {.customers = bench->customers};
    struct allocate_job job = {.bench = bench, .sample = &sample};
    const struct cvm_problem *problem = &job.base.problem;
    enum cvm_status status = make_job(&job, err);
    if (status == CVM_OK && bench->write_folder != NULL) {
        status = cvm_bench_problem_write(&job.base, bench->write_folder, err);
    }
    if (status == CVM_OK) {
        size_t bytes = CVM_BENCH_TREATMENTS * sizeof(float) + sizeof(*problem->amounts) +
                       sizeof(*problem->keys) + sizeof(*problem->classes);
        add(&sample, (double)bench->customers, "count", "customers");
        add(&sample, (double)problem->treatment_count, "count", "treatments");
        add(&sample, (double)problem->row_count, "count", "rows");
        add(&sample, (double)bench->seed, "count", "seed");
        add(&sample, (double)cvm_pool_thread_count(job.pool), "count", "threads");
        add(&sample, (double)bench->repeats, "count", "repeats");
        add(&sample, (double)bytes, "bytes", "data_per_customer");
        status = measure(&job, err);
    }
    if (status == CVM_OK) {
        *out_sample = sample;
    }
    cvm_pool_destroy(job.pool);
    cvm_arena_destroy(job.arena);
    return status;
}
