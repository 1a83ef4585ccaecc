#include "allocation/tariff.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "model/money.h"

#define BLOCK CVM_PROBLEM_BLOCK
/* Thousands of customers may have exactly the same value, and then one price treats them all alike:
 * all in or all out. So each sees prices up to one part in 2^17 higher or lower, by a hash of
 * customer and treatment. The bound is computed without it. */
#define JITTER_SHARE 0x1p-16f
/* Waking threads costs more than a pass over fewer groups than this. */
#define GROUPS_PARALLEL_MIN 4
#define BLOCKS_AHEAD        4
#define JITTER_SEED         UINT64_C(0x6a6974746572)

/* ---- groups ---- */

size_t cvm_group_count(size_t customer_count)
{
    return (customer_count + CVM_GROUP_SIZE - 1) / CVM_GROUP_SIZE;
}

struct group_run {
    cvm_group_fn task;
    void *state;
};

static enum cvm_status run_group(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    const struct group_run *run = state;
    (void)err;
    run->task(run->state, item, worker);
    return CVM_OK;
}

void cvm_groups_run(struct cvm_pool *pool, size_t group_count, cvm_group_fn task, void *state)
{
    if (pool == NULL || group_count < GROUPS_PARALLEL_MIN || cvm_pool_thread_count(pool) == 1) {
        for (size_t group = 0; group < group_count; group++) {
            task(state, group, 0);
        }
        return;
    }
    struct group_run run = {task, state};
    enum cvm_status status = cvm_pool_run(pool, group_count, run_group, &run, NULL);
    assert(status == CVM_OK);
    (void)status;
}

/* ---- prices ---- */

static bool comes_before(const struct cvm_problem *problem, size_t a, size_t b)
{
    if (problem->tie_cost_micro != NULL &&
        problem->tie_cost_micro[a] != problem->tie_cost_micro[b]) {
        return problem->tie_cost_micro[a] < problem->tie_cost_micro[b];
    }
    if (problem->priorities != NULL && problem->priorities[a] != problem->priorities[b]) {
        return problem->priorities[a] < problem->priorities[b];
    }
    return a < b;
}

/* A row that one unit of the treatment overfills rules it out, whatever the prices. */
static bool can_be_given(const struct cvm_problem *problem, size_t treatment)
{
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        int64_t least = row->kind == CVM_ROW_UNITS ? row->units[treatment]
                                                   : cvm_micro_from_double(row->flat[treatment]);
        if (least > row->limit) {
            return false;
        }
    }
    return true;
}

void cvm_tariff_init(const struct cvm_problem *problem, struct cvm_tariff *tariff)
{
    memset(tariff, 0, sizeof(*tariff));
    for (size_t t = 0; t < problem->treatment_count; t++) {
        if (!can_be_given(problem, t)) {
            continue;
        }
        size_t at = tariff->count++;
        for (; at > 0 && comes_before(problem, t, tariff->treatments[at - 1]); at--) {
            tariff->treatments[at] = tariff->treatments[at - 1];
        }
        tariff->treatments[at] = (unsigned char)t;
    }
}

void cvm_tariff_set(const struct cvm_problem *problem, const double *prices,
                    struct cvm_tariff *tariff)
{
    for (size_t t = 0; t < problem->treatment_count; t++) {
        double flat = 0.0;
        double rate = 0.0;
        for (size_t r = 0; r < problem->row_count; r++) {
            const struct cvm_row *row = &problem->rows[r];
            if (row->kind == CVM_ROW_UNITS) {
                flat += prices[r] * (double)row->units[t];
            } else {
                flat += prices[r] * row->flat[t];
                rate += prices[r] * row->rate[t];
            }
        }
        tariff->flat[t] = flat;
        tariff->rate[t] = rate;
    }
}

double cvm_row_limit(const struct cvm_row *row)
{
    return row->kind == CVM_ROW_UNITS ? (double)row->limit : cvm_micro_to_double(row->limit);
}

float cvm_jitter(uint64_t key)
{
    return (float)(cvm_hash_mix(key, JITTER_SEED) >> 40) * 0x1p-24f;
}

/* ---- the pass ---- */

/* Plain loops over 16 lanes, which compilers turn into vectors of whatever width there is; every
 * lane is computed alone, so the width changes nothing. */

struct lanes {
    float best[BLOCK];
    int32_t who[BLOCK]; /* place in the tariff's order */
};

/* By mask and not by branch: compilers give up vectors for a store under a condition. */
static inline void keep_better(struct lanes *lanes, size_t i, float score, int32_t place)
{
    float best = lanes->best[i];
    int32_t who = lanes->who[i];
    int32_t mask = -(int32_t)(score > best);
    lanes->who[i] = who ^ ((who ^ place) & mask);
    lanes->best[i] = score > best ? score : best;
}

static inline void take_free(struct lanes *lanes, const float *restrict values, int32_t place)
{
    for (size_t i = 0; i < BLOCK; i++) {
        float score = values[i];
        keep_better(lanes, i, score, place);
    }
}

static inline float spread(float jitter, float factor)
{
    float turned = jitter * factor; /* an odd factor per treatment: no two move together */
    return turned - (float)(int32_t)turned - 0.5f;
}

/* A treatment's price as the blocks need it, made once per pass. */
struct fare {
    size_t column; /* offset in the block */
    float flat;
    float rate;
    float blur;
    float factor;
};

static inline void take_flat(struct lanes *lanes, const float *restrict values,
                             const float *restrict jitters, const struct fare *fare, int32_t place)
{
    float price = fare->flat;
    float factor = fare->factor;
    float width = price * JITTER_SHARE + fare->blur;
    for (size_t i = 0; i < BLOCK; i++) {
        float score = (values[i] - price) - spread(jitters[i], factor) * width;
        keep_better(lanes, i, score, place);
    }
}

static inline void take_rated(struct lanes *lanes, const float *restrict values,
                              const float *restrict jitters, const float *restrict amounts,
                              const struct fare *fare, int32_t place)
{
    float flat = fare->flat;
    float rate = fare->rate;
    float blur = fare->blur;
    float factor = fare->factor;
    for (size_t i = 0; i < BLOCK; i++) {
        float price = flat + rate * amounts[i];
        float width = price * JITTER_SHARE + blur;
        float score = (values[i] - price) - spread(jitters[i], factor) * width;
        keep_better(lanes, i, score, place);
    }
}

struct pass {
    const struct cvm_pass_data *data;
    const struct cvm_tariff *tariff;
    struct fare fares[CVM_PROBLEM_TREATMENTS_MAX]; /* by place */
    struct cvm_pass_sums *groups;
    unsigned char *choices;
};

static void set_fares(struct pass *pass)
{
    for (size_t place = 0; place < pass->tariff->count; place++) {
        size_t t = pass->tariff->treatments[place];
        pass->fares[place] = (struct fare){
            .column = t * BLOCK,
            .flat = (float)pass->tariff->flat[t],
            .rate = (float)pass->tariff->rate[t],
            .blur = (float)pass->tariff->blur[t],
            .factor = (float)(2 * t + 1),
        };
    }
}

static void choose_block(const struct pass *pass, const float *values, const float *amounts,
                         const float *jitters, struct lanes *lanes)
{
    int32_t count = (int32_t)pass->tariff->count;
    /* The order of treatments is not that of memory, which the processor's own guess relies on. */
    size_t ahead = BLOCKS_AHEAD * BLOCK * pass->data->treatment_count;
    for (size_t i = 0; i < BLOCK; i++) {
        lanes->best[i] = 0.0f;
        lanes->who[i] = count; /* nothing */
    }
    for (int32_t place = 0; place < count; place++) {
        const struct fare *fare = &pass->fares[place];
        const float *column = values + fare->column;
        __builtin_prefetch(column + ahead);
        if (fare->rate != 0.0f) {
            take_rated(lanes, column, jitters, amounts, fare, place);
        } else if (fare->flat != 0.0f || fare->blur != 0.0f) {
            take_flat(lanes, column, jitters, fare, place);
        } else {
            take_free(lanes, column, place);
        }
    }
}

static void pass_group(void *state, size_t group, size_t worker)
{
    const struct pass *pass = state;
    const struct cvm_pass_data *data = pass->data;
    const struct cvm_tariff *tariff = pass->tariff;
    int32_t counts[CVM_PROBLEM_TREATMENTS_MAX + 1] = {0};
    double totals[CVM_PROBLEM_TREATMENTS_MAX + 1] = {0};
    double gain = 0.0;
    struct lanes lanes;
    size_t end = (group + 1) * CVM_GROUP_SIZE;
    end = end < data->customer_count ? end : data->customer_count;
    (void)worker;
    for (size_t first = group * CVM_GROUP_SIZE; first < end; first += BLOCK) {
        float amounts[BLOCK] = {0};
        size_t count = end - first < BLOCK ? end - first : BLOCK;
        if (data->amounts != NULL) {
            memcpy(amounts, data->amounts + first, count * sizeof(float));
        }
        choose_block(pass, data->values + first * data->treatment_count, amounts,
                     data->jitters + first, &lanes);
        for (size_t i = 0; i < BLOCK; i++) {
            gain += (double)lanes.best[i];
            counts[lanes.who[i]]++;
            totals[lanes.who[i]] += (double)amounts[i];
        }
        for (size_t i = 0; pass->choices != NULL && i < count; i++) {
            size_t place = (size_t)lanes.who[i];
            pass->choices[first + i] =
                place == tariff->count ? CVM_NOTHING : tariff->treatments[place];
        }
    }
    struct cvm_pass_sums *sums = &pass->groups[group];
    sums->gain = gain;
    for (size_t place = 0; place < tariff->count; place++) {
        sums->counts[tariff->treatments[place]] = counts[place];
        sums->amounts[tariff->treatments[place]] = totals[place];
    }
}

struct cvm_pass_sums *cvm_pass_scratch(struct cvm_arena *arena, size_t customer_count)
{
    return CVM_NEW_ARRAY(arena, cvm_group_count(customer_count) + 1, struct cvm_pass_sums);
}

void cvm_pass_run(const struct cvm_pass_data *data, const struct cvm_tariff *tariff,
                  struct cvm_pool *pool, struct cvm_pass_sums *scratch, unsigned char *choices,
                  struct cvm_pass_sums *out_sums)
{
    struct pass pass = {.data = data, .tariff = tariff, .groups = scratch, .choices = choices};
    size_t group_count = cvm_group_count(data->customer_count);
    set_fares(&pass);
    cvm_groups_run(pool, group_count, pass_group, &pass);
    memset(out_sums, 0, sizeof(*out_sums));
    for (size_t group = 0; group < group_count; group++) {
        out_sums->gain += scratch[group].gain;
        for (size_t place = 0; place < tariff->count; place++) {
            size_t t = tariff->treatments[place];
            out_sums->counts[t] += scratch[group].counts[t];
            out_sums->amounts[t] += scratch[group].amounts[t];
        }
    }
}
