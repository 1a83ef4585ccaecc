#include "allocation/repair.h"

#include <math.h>
#include <string.h>

#include "allocation/moves.h"
#include "base/hash.h"
#include "model/money.h"

#define BLOCK CVM_PROBLEM_BLOCK
/* Below this everybody may be moved; above, those nearest to indifference, several times as many as
 * the rows need. */
#define LIST_ALL_BELOW     ((size_t)4096)
#define LIST_NEED_SHARE    3.0
#define LIST_NEED_MIN      256.0
#define LIST_WIDER         16.0

#define IMPROVE_ROUNDS_MAX 8

/* Distances in steps of an eighth of a power of two. */
#define BUCKET_SHIFT 20
#define BUCKET_COUNT ((size_t)1 << (31 - BUCKET_SHIFT))

struct nearness {
    uint32_t limit_bucket;  /* below: near */
    uint32_t tie_threshold; /* in it: near if the hash is below */
};

struct survey {
    const struct cvm_repair *repair;
    struct cvm_touches touches;
    int64_t *group_used;  /* per group and row */
    uint32_t *histograms; /* per worker, treatment, bucket */
    struct nearness nearness[CVM_PROBLEM_TREATMENTS_MAX];
    unsigned char *is_near; /* per customer */
};

/* ---- exact use of the plan as chosen ---- */

static void use_of_group(void *state, size_t group, size_t worker)
{
    const struct survey *survey = state;
    const struct cvm_problem *problem = survey->repair->problem;
    int64_t *used = survey->group_used + group * CVM_PROBLEM_ROWS_MAX;
    size_t end = (group + 1) * CVM_GROUP_SIZE;
    end = end < problem->customer_count ? end : problem->customer_count;
    (void)worker;
    for (size_t i = group * CVM_GROUP_SIZE; i < end; i++) {
        size_t t = survey->repair->treatments[i];
        double amount = problem->amounts != NULL ? (double)problem->amounts[i] : 0.0;
        for (size_t k = 0; t != CVM_NOTHING && k < survey->touches.counts[t]; k++) {
            size_t r = survey->touches.rows[t][k];
            used[r] = cvm_micro_add(used[r], cvm_row_use(&problem->rows[r], t, amount));
        }
    }
}

static enum cvm_status count_use(struct survey *survey, int64_t *used, struct cvm_error *err)
{
    const struct cvm_problem *problem = survey->repair->problem;
    size_t group_count = cvm_group_count(problem->customer_count);
    survey->group_used =
        CVM_NEW_ARRAY(survey->repair->arena, group_count * CVM_PROBLEM_ROWS_MAX + 1, int64_t);
    if (survey->group_used == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to repair a plan");
    }
    cvm_groups_run(survey->repair->pool, group_count, use_of_group, survey);
    memset(used, 0, CVM_PROBLEM_ROWS_MAX * sizeof(*used));
    for (size_t group = 0; group < group_count; group++) {
        for (size_t r = 0; r < problem->row_count; r++) {
            used[r] = cvm_micro_add(used[r], survey->group_used[group * CVM_PROBLEM_ROWS_MAX + r]);
        }
    }
    return CVM_OK;
}

/* ---- who is near to indifference ---- */

struct block_scores {
    float scores[CVM_PROBLEM_TREATMENTS_MAX][BLOCK]; /* by place */
    float best[BLOCK];
    float second[BLOCK];
};

static void score_block(const struct cvm_repair *repair, size_t first, struct block_scores *out)
{
    const struct cvm_problem *problem = repair->problem;
    const struct cvm_tariff *tariff = repair->tariff;
    size_t left = problem->customer_count - first;
    float amounts[BLOCK] = {0};
    if (problem->amounts != NULL) {
        memcpy(amounts, problem->amounts + first, (left < BLOCK ? left : BLOCK) * sizeof(*amounts));
    }
    memset(out->best, 0, sizeof(out->best));
    for (size_t i = 0; i < BLOCK; i++) {
        out->second[i] = -INFINITY;
    }
    for (size_t place = 0; place < tariff->count; place++) {
        size_t t = tariff->treatments[place];
        const float *values = problem->values + first * problem->treatment_count + t * BLOCK;
        float flat = (float)tariff->flat[t];
        float rate = (float)tariff->rate[t];
        for (size_t i = 0; i < BLOCK; i++) {
            float score = values[i] - (flat + rate * amounts[i]);
            float best = out->best[i];
            float lower = score > best ? best : score;
            out->scores[place][i] = score;
            out->best[i] = score > best ? score : best;
            out->second[i] = lower > out->second[i] ? lower : out->second[i];
        }
    }
}

static inline uint32_t bucket_of(float distance)
{
    uint32_t bits = 0;
    memcpy(&bits, &distance, sizeof(bits));
    return bits >> BUCKET_SHIFT; /* distances are not negative: order of bits is order of numbers */
}

/* How far a treatment is from changing for a customer: from being chosen, or from being left. */
static inline uint32_t distance_bucket(const struct block_scores *block, size_t place, size_t i)
{
    float score = block->scores[place][i];
    float distance = score == block->best[i] ? score - block->second[i] : block->best[i] - score;
    return bucket_of(distance > 0.0f ? distance : 0.0f);
}

static void histogram_of_group(void *state, size_t group, size_t worker)
{
    const struct survey *survey = state;
    const struct cvm_problem *problem = survey->repair->problem;
    const struct cvm_tariff *tariff = survey->repair->tariff;
    uint32_t *histograms = survey->histograms + worker * tariff->count * BUCKET_COUNT;
    struct block_scores block;
    size_t end = (group + 1) * CVM_GROUP_SIZE;
    end = end < problem->customer_count ? end : problem->customer_count;
    for (size_t first = group * CVM_GROUP_SIZE; first < end; first += BLOCK) {
        size_t count = end - first < BLOCK ? end - first : BLOCK;
        score_block(survey->repair, first, &block);
        for (size_t place = 0; place < tariff->count; place++) {
            const float *values = problem->values + first * problem->treatment_count +
                                  tariff->treatments[place] * BLOCK;
            uint32_t *histogram = histograms + place * BUCKET_COUNT;
            for (size_t i = 0; i < count; i++) {
                if (values[i] > 0.0f) {
                    histogram[distance_bucket(&block, place, i)]++;
                }
            }
        }
    }
}

static void mark_group(void *state, size_t group, size_t worker)
{
    const struct survey *survey = state;
    const struct cvm_problem *problem = survey->repair->problem;
    const struct cvm_tariff *tariff = survey->repair->tariff;
    struct block_scores block;
    size_t end = (group + 1) * CVM_GROUP_SIZE;
    end = end < problem->customer_count ? end : problem->customer_count;
    (void)worker;
    for (size_t first = group * CVM_GROUP_SIZE; first < end; first += BLOCK) {
        size_t count = end - first < BLOCK ? end - first : BLOCK;
        score_block(survey->repair, first, &block);
        for (size_t place = 0; place < tariff->count; place++) {
            size_t t = tariff->treatments[place];
            const float *values = problem->values + first * problem->treatment_count + t * BLOCK;
            struct nearness nearness = survey->nearness[t];
            for (size_t i = 0; i < count; i++) {
                uint32_t bucket = distance_bucket(&block, place, i);
                if (bucket > nearness.limit_bucket || !(values[i] > 0.0f)) {
                    continue;
                }
                survey->is_near[first + i] |=
                    bucket < nearness.limit_bucket ||
                    cvm_hash_mix(problem->keys[first + i], t) >> 32 <= nearness.tie_threshold;
            }
        }
    }
}

/* How many customers may have to change this treatment. */
static double need_of(const struct cvm_moves *moves, size_t treatment, double mean_amount)
{
    const struct cvm_problem *problem = moves->repair->problem;
    double need = 0.0;
    for (size_t k = 0; k < moves->touches.counts[treatment]; k++) {
        size_t r = moves->touches.rows[treatment][k];
        const struct cvm_row *row = &problem->rows[r];
        double use =
            row->kind == CVM_ROW_UNITS
                ? (double)row->units[treatment]
                : (row->flat[treatment] + row->rate[treatment] * mean_amount) * CVM_MICRO_PER_UNIT;
        double excess = (double)moves->used[r] - (double)row->limit;
        if (use > 0.0 && (excess > 0.0 || moves->repair->prices[r] > 0.0)) {
            need = fmax(need, fabs(excess) / use);
        }
    }
    return need;
}

static void set_nearness(struct survey *survey, const struct cvm_moves *moves, double wider,
                         double mean_amount)
{
    const struct cvm_tariff *tariff = survey->repair->tariff;
    size_t worker_count =
        survey->repair->pool != NULL ? cvm_pool_thread_count(survey->repair->pool) : 1;
    for (size_t place = 0; place < tariff->count; place++) {
        size_t t = tariff->treatments[place];
        double target = wider * (LIST_NEED_SHARE * need_of(moves, t, mean_amount) + LIST_NEED_MIN);
        double before = 0.0;
        struct nearness nearness = {(uint32_t)BUCKET_COUNT, 0};
        for (size_t b = 0; b < BUCKET_COUNT; b++) {
            double count = 0.0;
            for (size_t w = 0; w < worker_count; w++) {
                count += survey->histograms[(w * tariff->count + place) * BUCKET_COUNT + b];
            }
            if (before + count >= target) {
                double share = (target - before) / count;
                nearness = (struct nearness){(uint32_t)b, (uint32_t)(share * 0xffffffffU)};
                break;
            }
            before += count;
        }
        survey->nearness[t] = nearness;
    }
}

static double mean_amount_of(const struct cvm_problem *problem)
{
    double sum = 0.0;
    for (size_t i = 0; problem->amounts != NULL && i < problem->customer_count; i++) {
        sum += (double)problem->amounts[i];
    }
    return problem->customer_count > 0 ? sum / (double)problem->customer_count : 0.0;
}

static enum cvm_status mark_near(struct survey *survey, const struct cvm_moves *moves, double wider,
                                 struct cvm_error *err)
{
    const struct cvm_repair *repair = survey->repair;
    size_t customer_count = repair->problem->customer_count;
    size_t worker_count = repair->pool != NULL ? cvm_pool_thread_count(repair->pool) : 1;
    size_t bucket_count = worker_count * repair->tariff->count * BUCKET_COUNT;
    if (survey->histograms == NULL) {
        survey->histograms = CVM_NEW_ARRAY(repair->arena, bucket_count + 1, uint32_t);
        survey->is_near = CVM_NEW_ARRAY(repair->arena, customer_count + 1, unsigned char);
        if (survey->histograms == NULL || survey->is_near == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory to repair a plan");
        }
        cvm_groups_run(repair->pool, cvm_group_count(customer_count), histogram_of_group, survey);
    }
    set_nearness(survey, moves, wider, mean_amount_of(repair->problem));
    cvm_groups_run(repair->pool, cvm_group_count(customer_count), mark_group, survey);
    return CVM_OK;
}

/* The customers who may be moved; wider 0 = everybody. */
static enum cvm_status list_customers(struct survey *survey, struct cvm_moves *moves, double wider,
                                      struct cvm_error *err)
{
    const struct cvm_problem *problem = survey->repair->problem;
    bool is_all = wider == 0.0 || problem->customer_count < LIST_ALL_BELOW;
    size_t count = 0;
    if (!is_all) {
        enum cvm_status status = mark_near(survey, moves, wider, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    for (size_t i = 0; i < problem->customer_count; i++) {
        count += is_all || survey->is_near[i];
    }
    uint32_t *customers = cvm_arena_alloc_raw(survey->repair->arena, count + 1, sizeof(uint32_t));
    if (customers == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to repair a plan");
    }
    size_t at = 0;
    for (size_t i = 0; i < problem->customer_count; i++) {
        if (is_all || survey->is_near[i]) {
            customers[at++] = (uint32_t)i;
        }
    }
    moves->customers = customers;
    moves->customer_count = count;
    return CVM_OK;
}

/* Swaps make room for single moves, and these for swaps. */
static enum cvm_status improve(struct cvm_moves *moves, struct cvm_error *err)
{
    enum cvm_status status = cvm_moves_fill(moves, err);
    for (int round = 0; status == CVM_OK && round < IMPROVE_ROUNDS_MAX; round++) {
        size_t count = 0;
        status = cvm_moves_swap(moves, &count, err);
        if (status != CVM_OK || count == 0) {
            break;
        }
        status = cvm_moves_fill(moves, err);
    }
    return status;
}

enum cvm_status cvm_repair_run(struct cvm_repair *repair, struct cvm_error *err)
{
    struct survey *survey = CVM_NEW(repair->arena, struct survey);
    struct cvm_moves *moves = CVM_NEW(repair->arena, struct cvm_moves);
    if (survey == NULL || moves == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to repair a plan");
    }
    survey->repair = repair;
    moves->repair = repair;
    moves->arena = repair->arena;
    cvm_touches_init(repair->problem, &survey->touches);
    moves->touches = survey->touches;
    enum cvm_status status = count_use(survey, moves->used, err);

    static const double widths[] = {1.0, LIST_WIDER, 0.0};
    for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++) {
        if (status == CVM_OK && repair->context != NULL) {
            status = cvm_context_check(repair->context, err);
        }
        if (status == CVM_OK) {
            status = list_customers(survey, moves, widths[w], err);
        }
        if (status == CVM_OK) {
            status = cvm_moves_make_feasible(moves, err);
        }
        if (status != CVM_OK || cvm_moves_are_feasible(moves)) {
            break;
        }
    }
    return status == CVM_OK ? improve(moves, err) : status;
}
