/* Ten rules of ordinary shape over the features of a base in memory, chunk by chunk as a run holds
 * them, beside the bare reading of the same columns: what memory alone costs. */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/random.h"
#include "base/threads.h"
#include "cli/bench.h"
#include "rules/rule.h"

#define CHUNK      1024
#define RULE_COUNT 10
#define BENCH_SEED 1

static const char *const plans[] = {"prepaid", "sim_only", "contract", NULL};

/* Whole numbers `low` .. `high` times `unit`; one of sixteen is missing where that happens. */
static const struct column {
    const char *name;
    enum cvm_rule_type type;
    int low;
    int high;
    double unit;
    bool may_miss;
} columns[] = {
    {"churn_90d", CVM_RULE_NUMBER, 0, 400, 0.001, false},
    {"tenure_months", CVM_RULE_NUMBER, 0, 120, 1, false},
    {"data_use_share", CVM_RULE_NUMBER, 0, 120, 0.01, true},
    {"bill_trend", CVM_RULE_NUMBER, -30, 30, 1, true},
    {"marketing_contacts_30d", CVM_RULE_NUMBER, 0, 6, 1, false},
    {"marketing_contacts_3d", CVM_RULE_NUMBER, 0, 1, 1, false},
    {"overdue_bills_90d", CVM_RULE_NUMBER, 0, 3, 1, false},
    {"open_faults_14d", CVM_RULE_NUMBER, 0, 2, 1, false},
    {"household_size", CVM_RULE_NUMBER, 1, 6, 1, true},
    {"contract_end_days", CVM_RULE_NUMBER, -400, 400, 1, true},
    {"satisfaction", CVM_RULE_NUMBER, 1, 5, 1, true},
    {"shopping_visits_30d", CVM_RULE_NUMBER, 0, 3, 1, false},
    {"spend_90d", CVM_RULE_NUMBER, 0, 30000, 0.01, true},
    {"margin_month", CVM_RULE_NUMBER, 0, 6000, 0.01, false},
    {"data_gb_max_90d", CVM_RULE_NUMBER, 0, 500, 0.1, true},
    {"roaming_gb_90d", CVM_RULE_NUMBER, 0, 30, 0.1, false},
    {"calls_90d", CVM_RULE_NUMBER, 0, 5, 1, false},
    {"plan", CVM_RULE_WORD, 0, 2, 1, true},
    {"vulnerable", CVM_RULE_BOOL, 0, 1, 1, true},
    {"contract_end", CVM_RULE_DATE, 19000, 20500, 1, true},
};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

static const char *const texts[RULE_COUNT] = {
    "churn_90d >= 0.10 && marketing_contacts_30d < 4 && marketing_contacts_3d == 0 && !vulnerable",
    "contract_end_days >= -90 && contract_end_days <= 0 && marketing_contacts_30d < 4 && "
    "overdue_bills_90d == 0",
    "data_use_share >= 0.9 && plan in ['prepaid', 'sim_only'] && satisfaction > 2",
    "plan == 'contract' && contract_end - today <= 90 && churn_90d * margin_month >= 3",
    "household_size >= 3 && (overdue_bills_90d == 0 || tenure_months > 24) && open_faults_14d == 0",
    "open_faults_14d >= 1 && (has(satisfaction) ? satisfaction <= 3 : calls_90d > 2) && "
    "!vulnerable",
    "spend_90d / 3 > margin_month * 1.2 && bill_trend >= 10 && calls_90d >= 1",
    "shopping_visits_30d >= 1 && churn_90d >= 0.05 && plan != 'prepaid' && "
    "tenure_months in [11, 12, 23, 24, 35, 36]",
    "roaming_gb_90d > 0 && data_gb_max_90d > 5 && "
    "(plan == 'contract' ? spend_90d > 90 : spend_90d > 30)",
    "tenure_months >= 12 && satisfaction >= 4 && calls_90d < 2 && marketing_contacts_30d < 2 && "
    "churn_90d < 0.05",
};

static enum cvm_status resolve(void *state, const char *name, struct cvm_rule_operand *out_operand,
                               struct cvm_error *err)
{
    (void)state;
    for (uint16_t i = 0; i < COLUMN_COUNT; i++) {
        if (strcmp(columns[i].name, name) == 0) {
            enum cvm_rule_type type = columns[i].type;
            *out_operand = (struct cvm_rule_operand){i, type, type == CVM_RULE_WORD ? plans : NULL};
            return CVM_OK;
        }
    }
    return CVM_FAIL(err, CVM_E_NOT_FOUND, "unknown feature '%s'", name);
}

struct base {
    double *values; /* chunk after chunk, in it column after column */
    size_t customers;
    size_t chunks;
    int32_t today;
    struct cvm_rule rules[RULE_COUNT];
    struct count *counts; /* of each worker */
};
/* A worker's result, on cache lines of its own: without one the compiler would leave out the work.
 */
struct count {
    _Alignas(64) uint64_t holds;
    uint64_t bits;
};

static double *chunk_values(const struct base *base, size_t chunk)
{
    return base->values + chunk * COLUMN_COUNT * CHUNK;
}

static size_t chunk_size(const struct base *base, size_t chunk)
{
    size_t left = base->customers - chunk * CHUNK;
    return left < CHUNK ? left : CHUNK;
}

static enum cvm_status fill_chunk(void *state, size_t chunk, size_t worker, struct cvm_error *err)
{
    const struct base *base = state;
    struct cvm_random random;
    double *values = chunk_values(base, chunk);

    (void)worker;
    (void)err;
    cvm_random_init(&random, cvm_hash_mix(BENCH_SEED, chunk));
    for (size_t c = 0; c < COLUMN_COUNT; c++) {
        const struct column *column = &columns[c];
        uint64_t range = (uint64_t)(column->high - column->low) + 1;
        for (size_t i = 0; i < CHUNK; i++) {
            uint64_t bits = cvm_random_u64(&random);
            bool is_missing = column->may_miss && bits >> 60 == 0;
            double value = column->low + (double)((bits & 0xFFFFFFFF) % range);
            values[c * CHUNK + i] = is_missing ? NAN : value * column->unit;
        }
    }
    return CVM_OK;
}

/* As fast as memory lets it: one add per eight bytes. */
static enum cvm_status read_chunk(void *state, size_t chunk, size_t worker, struct cvm_error *err)
{
    const struct base *base = state;
    const double *values = chunk_values(base, chunk);
    uint64_t sum = 0;

    (void)err;
    for (size_t i = 0; i < COLUMN_COUNT * CHUNK; i++) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        sum += bits;
    }
    base->counts[worker].bits += sum;
    return CVM_OK;
}

static enum cvm_status rule_chunk(void *state, size_t chunk, size_t worker, struct cvm_error *err)
{
    const struct base *base = state;
    unsigned char mask[CVM_RULE_ROWS_MAX];
    size_t size = chunk_size(base, chunk);
    uint64_t holds = 0;

    (void)err;
    for (size_t from = 0; from < size; from += CVM_RULE_ROWS_MAX) {
        size_t count = size - from < CVM_RULE_ROWS_MAX ? size - from : CVM_RULE_ROWS_MAX;
        const struct cvm_rule_rows rows = {.values = chunk_values(base, chunk),
                                           .stride = CHUNK,
                                           .from = from,
                                           .today = base->today};
        for (size_t r = 0; r < RULE_COUNT; r++) {
            cvm_rule_mask(&base->rules[r], &rows, count, mask);
            for (size_t i = 0; i < count; i++) {
                holds += mask[i];
            }
        }
    }
    base->counts[worker].holds += holds;
    return CVM_OK;
}

static enum cvm_status make_base(const struct cvm_bench *bench, struct cvm_arena *arena,
                                 size_t workers, struct base *base, struct cvm_error *err)
{
    const struct cvm_rule_scope scope = {.resolve = resolve};

    base->counts = CVM_NEW_ARRAY(arena, workers, struct count);
    base->values = cvm_arena_alloc_raw(arena, base->chunks, COLUMN_COUNT * CHUNK * sizeof(double));
    if (base->counts == NULL || base->values == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the features of %lld customers",
                        (long long)bench->customers);
    }
    for (size_t r = 0; r < RULE_COUNT; r++) {
        enum cvm_status status =
            cvm_rule_compile(arena, texts[r], CVM_RULE_BOOL, &scope, &base->rules[r], err);
        if (status != CVM_OK) {
            return status;
        }
    }
    return CVM_OK;
}

/* The task twice, the second time measured: the first one warms what a long run has warm. */
static enum cvm_status measure(struct cvm_bench *bench, struct cvm_pool *pool, cvm_task_fn task,
                               struct base *base, double *out_seconds)
{
    enum cvm_status status = cvm_pool_run(pool, base->chunks, task, base, NULL);
    double start = cvm_context_seconds(&bench->session->context);
    status = status == CVM_OK ? cvm_pool_run(pool, base->chunks, task, base, NULL) : status;
    *out_seconds = cvm_context_seconds(&bench->session->context) - start;
    return status;
}

enum cvm_status cvm_bench_rules(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                struct cvm_error *err)
{
    struct base base = {.customers = (size_t)bench->customers, .today = bench->day};
    struct cvm_pool *pool = NULL;
    double read_seconds = 0;
    double seconds = 0;

    base.chunks = (base.customers + CHUNK - 1) / CHUNK;
    size_t bytes = base.chunks * COLUMN_COUNT * CHUNK * sizeof(double);
    struct cvm_arena *arena = cvm_arena_create(bytes + ((size_t)8 << 20));
    enum cvm_status status = arena == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench")
                                           : cvm_pool_create((size_t)bench->threads, &pool, err);
    if (status == CVM_OK) {
        status = make_base(bench, arena, cvm_pool_thread_count(pool), &base, err);
    }
    if (status == CVM_OK) {
        status = cvm_pool_run(pool, base.chunks, fill_chunk, &base, err);
    }
    if (status == CVM_OK) {
        status = measure(bench, pool, read_chunk, &base, &read_seconds);
    }
    if (status == CVM_OK) {
        status = measure(bench, pool, rule_chunk, &base, &seconds);
    }
    if (status == CVM_OK) {
        *out_sample = (struct cvm_bench_sample){
            .seconds = seconds,
            .customers = bench->customers,
            .bytes = (int64_t)bytes,
            .rules = RULE_COUNT,
            .threads = (int64_t)cvm_pool_thread_count(pool),
            .stage_names = {"memory_read"},
            .stage_seconds = {read_seconds},
        };
    }
    cvm_pool_destroy(pool);
    cvm_arena_destroy(arena);
    return status;
}
