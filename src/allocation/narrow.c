#include "allocation/narrow.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"

#define BLOCK             CVM_PROBLEM_BLOCK
#define EVERYBODY_BELOW   ((size_t)24576) /* customers of whom no sample is taken */
#define SAMPLE_SIZE       ((size_t)32768)
#define SAMPLE_SHARE_MIN  0.004
#define SAMPLE_SEED       UINT64_C(0x73616d706c65)
#define SAMPLE_TOLERANCE  1e-5
#define SAMPLE_PASSES_MAX 160
#define OPEN_TOLERANCE    1e-7
#define OPEN_PASSES_MAX   400
#define FULL_TOLERANCE    1e-7
#define FULL_PASSES_MAX   400
#define ATTEMPTS_MAX      5
/* So many deviations of a sample's count, and some more, is how many of it may change their choice.
 */
#define RANK_DEVIATIONS 3.0
#define RANK_LEAST      12.0
#define RANK_WIDER      3.0
#define OPEN_SHARE_MAX  0.35
#define OPEN_LEAST      ((size_t)16384)
/* A row of the sample with less than this of its limit used has no price anywhere near. */
#define IDLE_BELOW 0.8

/* ---- how near customers are to indifference ---- */

/* Distances in steps of an eighth of a power of two. */
#define BUCKET_SHIFT 20
#define BUCKET_COUNT ((size_t)1 << (31 - BUCKET_SHIFT))

static inline uint32_t bucket_of(float distance)
{
    uint32_t bits = 0;
    memcpy(&bits, &distance, sizeof(bits));
    return bits >> BUCKET_SHIFT; /* distances are not negative: order of bits is order of numbers */
}

static inline float top_of(size_t bucket)
{
    uint32_t bits = (uint32_t)(bucket + 1) << BUCKET_SHIFT;
    float top = 0.0f;
    memcpy(&top, &bits, sizeof(top));
    return top;
}

struct block_scores {
    float scores[CVM_PROBLEM_TREATMENTS_MAX][BLOCK]; /* by place */
    float best[BLOCK];
    float second[BLOCK];
};

static void score_block(const struct cvm_tariff *tariff, const struct cvm_table *table,
                        size_t first, struct block_scores *out)
{
    size_t count = table->count - first < BLOCK ? table->count - first : BLOCK;
    float amounts[BLOCK] = {0};
    uint16_t classes[BLOCK] = {0};
    for (size_t i = 0; i < count; i++) {
        amounts[i] = table->amounts != NULL ? (float)table->amounts[first + i] : 0.0f;
        classes[i] = table->classes != NULL ? table->classes[first + i] : 0;
    }
    for (size_t i = 0; i < BLOCK; i++) {
        out->best[i] = 0.0f;
        out->second[i] = -INFINITY;
    }
    for (size_t place = 0; place < tariff->count; place++) {
        const struct cvm_fare *fare = &tariff->fares[place];
        const float *values = table->values + first * table->treatment_count + fare->column;
        for (size_t i = 0; i < BLOCK; i++) {
            float score = values[i] - (fare->flat[classes[i]] + fare->rate * amounts[i]);
            float best = out->best[i];
            float lower = score > best ? best : score;
            out->scores[place][i] = score;
            out->best[i] = score > best ? score : best;
            out->second[i] = lower > out->second[i] ? lower : out->second[i];
        }
    }
}

enum cvm_status cvm_margins_measure(struct cvm_solve *solve, const struct cvm_table *table,
                                    const double *ranks, double *out_margins,
                                    struct cvm_error *err)
{
    const struct cvm_tariff *tariff = &solve->tariff;
    uint32_t *histograms = CVM_NEW_ARRAY(solve->arena, tariff->count * BUCKET_COUNT + 1, uint32_t);
    if (histograms == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for margins");
    }
    for (size_t first = 0; first < table->count; first += BLOCK) {
        struct block_scores block;
        size_t count = table->count - first < BLOCK ? table->count - first : BLOCK;
        score_block(tariff, table, first, &block);
        for (size_t place = 0; place < tariff->count; place++) {
            const float *values =
                table->values + first * table->treatment_count + tariff->fares[place].column;
            uint32_t *histogram = histograms + place * BUCKET_COUNT;
            for (size_t i = 0; i < count; i++) {
                float score = block.scores[place][i];
                bool is_best = score == block.best[i];
                float distance = is_best ? score - block.second[i] : block.best[i] - score;
                histogram[bucket_of(distance > 0.0f ? distance : 0.0f)] +=
                    values[i] > CVM_PROBLEM_VALUE_MIN;
            }
        }
    }
    for (size_t place = 0; place < tariff->count; place++) {
        size_t t = tariff->treatments[place];
        double seen = 0.0;
        out_margins[t] = ranks[t] > 0.0 ? HUGE_VAL : 0.0;
        for (size_t b = 0; ranks[t] > 0.0 && b < BUCKET_COUNT; b++) {
            seen += histograms[place * BUCKET_COUNT + b];
            if (seen >= ranks[t]) {
                out_margins[t] = (double)top_of(b);
                break;
            }
        }
    }
    return CVM_OK;
}

/* ---- the sample ---- */

/* Whole blocks, or units, by hash of their place: places follow keys, so that the order in which
 * customers came does not matter. */
static enum cvm_status take_sample(struct cvm_solve *solve, struct cvm_table *out_sample,
                                   struct cvm_error *err)
{
    const struct cvm_table *all = &solve->everybody;
    size_t per_item = all->units != NULL ? 1 : BLOCK;
    size_t items = all->units != NULL ? all->units->count : all->count / BLOCK;
    double share = (double)SAMPLE_SIZE / (double)all->count;
    share = share > SAMPLE_SHARE_MIN ? share : SAMPLE_SHARE_MIN;
    uint64_t threshold = (uint64_t)(share * 0x1p63) * 2;
    size_t taken = 0;
    for (size_t b = 0; b < items; b++) {
        taken += cvm_hash_mix(b, SAMPLE_SEED) < threshold;
    }
    uint32_t *chosen = cvm_arena_alloc_raw(solve->arena, taken * per_item + 1, sizeof(uint32_t));
    if (chosen == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a sample of %zu customers", taken);
    }
    size_t at = 0;
    for (size_t b = 0; b < items; b++) {
        if (cvm_hash_mix(b, SAMPLE_SEED) < threshold) {
            for (size_t i = 0; i < per_item; i++) {
                chosen[at++] = (uint32_t)(b * per_item + i);
            }
        }
    }
    return cvm_table_pick(all, chosen, at, solve->arena, out_sample, err);
}

static void search_init(struct cvm_search *search, struct cvm_solve *solve,
                        const struct cvm_table *table)
{
    memset(search, 0, sizeof(*search));
    search->solve = solve;
    search->table = table;
    for (size_t r = 0; r < solve->problem->row_count; r++) {
        search->limits[r] = cvm_row_natural(&solve->problem->rows[r], solve->problem->rows[r].limit);
    }
}

static enum cvm_status search_sample(struct cvm_search *search, const double *warm_prices,
                                     struct cvm_error *err)
{
    const struct cvm_problem *problem = search->solve->problem;
    double share =
        (double)search->table->count / (double)search->solve->everybody.count;
    for (size_t r = 0; r < problem->row_count; r++) {
        search->limits[r] *= share;
    }
    search->tolerance = SAMPLE_TOLERANCE;
    search->passes_max = SAMPLE_PASSES_MAX;
    if (warm_prices != NULL) {
        memcpy(search->prices, warm_prices, sizeof(search->prices));
        search->passes_max = 1;
    }
    return cvm_search_run(search, err);
}

/* ---- the region ---- */

/* How many customers of the sample may choose otherwise at the right prices. */
static void set_ranks(const struct cvm_search *sample, double wider, double *ranks)
{
    const struct cvm_problem *problem = sample->solve->problem;
    memset(ranks, 0, CVM_PROBLEM_TREATMENTS_MAX * sizeof(*ranks));
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        bool is_idle = sample->prices[r] == 0.0 &&
                       sample->uses[r] < IDLE_BELOW * sample->limits[r] && sample->limits[r] > 0.0;
        for (size_t t = 0; t < problem->treatment_count; t++) {
            double unit = row->units[t] != 0 ? fabs(cvm_row_natural(row, row->units[t])) : 1.0;
            double count = fabs(sample->limits[r]) / unit;
            if (cvm_row_is_money(row) || count > (double)sample->table->count) {
                count = (double)sample->table->count;
            }
            double rank = wider * (RANK_DEVIATIONS * sqrt(count) + RANK_LEAST);
            if (!is_idle && cvm_row_touches(row, t) && (ranks[t] == 0.0 || rank < ranks[t])) {
                ranks[t] = rank;
            }
        }
    }
}

static void set_margins(const struct cvm_solve *solve, const struct cvm_table *table,
                        const double *widths, struct cvm_margins *out_margins)
{
    const struct cvm_tariff *tariff = &solve->tariff;
    double amount = 0.0;
    for (size_t i = 0; table->amounts != NULL && i < table->count; i++) {
        amount += table->amounts[i];
    }
    amount = table->count > 0 ? amount / (double)table->count : 0.0;
    memset(out_margins, 0, sizeof(*out_margins));
    for (size_t t = 0; t < table->treatment_count; t++) {
        double price = 0.0;
        for (size_t c = 0; c < tariff->class_count; c++) {
            price += fabs(cvm_tariff_price(tariff, c, t, amount)) / (double)tariff->class_count;
        }
        bool is_priced = price > 0.0 && price < 1e20;
        out_margins->shares[t] = is_priced ? 0.5 * widths[t] / price : 0.0;
        out_margins->slacks[t] = is_priced ? 0.5 * widths[t] : widths[t];
        out_margins->shares[t] = fmax(out_margins->shares[t], (double)CVM_JITTER_SHARE);
    }
}

/* Prices of a treatment as they were and as they are now, for the two ends of amounts. */
static bool has_left(const struct cvm_tariff *tariff, const double *flats_before,
                     const double *rates_before, const struct cvm_margins *margins,
                     double amount_max)
{
    for (size_t place = 0; place < tariff->count; place++) {
        size_t t = tariff->treatments[place];
        for (size_t k = 0; k < 2 * tariff->class_count; k++) {
            size_t at = t * tariff->class_count + k / 2;
            double amount = k % 2 == 0 ? 0.0 : amount_max;
            double before = flats_before[at] + rates_before[t] * amount;
            double now = tariff->flat[at] + tariff->rate[t] * amount;
            double width = margins->shares[t] * fabs(before) + margins->slacks[t];
            if (fabs(now - before) > width) {
                return true;
            }
        }
    }
    return false;
}

/* ---- everybody ---- */

enum cvm_status cvm_search_everybody(struct cvm_solve *solve, const double *prices, bool is_blurred,
                                     struct cvm_narrowed *out_narrowed, struct cvm_error *err)
{
    struct cvm_search *search = CVM_NEW(solve->arena, struct cvm_search);
    if (search == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a search");
    }
    search_init(search, solve, &solve->everybody);
    search->tolerance = FULL_TOLERANCE;
    search->passes_max = FULL_PASSES_MAX;
    search->is_blurred = is_blurred;
    if (prices != NULL) {
        search->is_near = true;
        memcpy(search->prices, prices, sizeof(search->prices));
    }
    enum cvm_status status = cvm_search_run(search, err);
    if (status == CVM_OK) {
        memcpy(out_narrowed->prices, search->prices, sizeof(out_narrowed->prices));
        out_narrowed->bound = search->bound;
        out_narrowed->imbalance = search->imbalance;
        out_narrowed->open = NULL;
    }
    return status;
}

struct narrowing {
    struct cvm_solve *solve;
    const struct cvm_choices *choices;
    struct cvm_search *sample;
    struct cvm_search *open;
    double *flats; /* of the tariff that the region is around */
    double rates[CVM_PROBLEM_TREATMENTS_MAX];
    struct cvm_margins margins;
    struct cvm_sums decided;
    double amount_max;
    double wider;
};

/* One region around the tariff as it is set: decide, search among the rest. *out_done when the
 * prices found lie in it. */
static enum cvm_status attempt(struct narrowing *narrowing, struct cvm_narrowed *narrowed,
                               bool *out_done, struct cvm_error *err)
{
    struct cvm_solve *solve = narrowing->solve;
    const struct cvm_tariff *tariff = &solve->tariff;
    const struct cvm_table *sample = narrowing->sample->table;
    struct cvm_search *open = narrowing->open;
    double ranks[CVM_PROBLEM_TREATMENTS_MAX];
    double widths[CVM_PROBLEM_TREATMENTS_MAX] = {0};
    size_t flat_count = solve->problem->treatment_count * tariff->class_count;
    size_t most = (size_t)(OPEN_SHARE_MAX * (double)solve->everybody.count) + OPEN_LEAST;
    *out_done = false;
    set_ranks(narrowing->sample, narrowing->wider, ranks);
    enum cvm_status status = cvm_margins_measure(solve, sample, ranks, widths, err);
    if (status != CVM_OK) {
        return status;
    }
    set_margins(solve, sample, widths, &narrowing->margins);
    memcpy(narrowing->flats, tariff->flat, flat_count * sizeof(*tariff->flat));
    memcpy(narrowing->rates, tariff->rate, sizeof(narrowing->rates));
    status = cvm_pass_narrow(solve, &solve->everybody, &narrowing->margins, most,
                             narrowing->choices, &narrowing->decided, &narrowed->open, err);
    if (status != CVM_OK || narrowed->open == NULL) {
        return status;
    }
    search_init(open, solve, narrowed->open);
    open->value = narrowing->decided.gain;
    for (size_t r = 0; r < solve->problem->row_count; r++) {
        open->limits[r] -= narrowing->decided.uses[r];
    }
    memcpy(open->prices, narrowed->prices, sizeof(open->prices));
    open->is_near = true;
    open->tolerance = OPEN_TOLERANCE;
    open->passes_max = OPEN_PASSES_MAX;
    status = cvm_search_run(open, err);
    if (status == CVM_OK) {
        memcpy(narrowed->prices, open->prices, sizeof(narrowed->prices));
        narrowed->bound = open->bound;
        narrowed->imbalance = open->imbalance;
        *out_done = !has_left(tariff, narrowing->flats, narrowing->rates, &narrowing->margins,
                              narrowing->amount_max);
    }
    return status;
}

static double find_amount_max(const struct cvm_table *table)
{
    double most = 0.0;
    for (size_t i = 0; table->amounts != NULL && i < table->count; i++) {
        most = table->amounts[i] > most ? table->amounts[i] : most;
    }
    return most;
}

static enum cvm_status narrow(struct narrowing *narrowing, const double *warm_prices,
                              struct cvm_narrowed *narrowed, struct cvm_error *err)
{
    struct cvm_table sample;
    enum cvm_status status = take_sample(narrowing->solve, &sample, err);
    if (status != CVM_OK) {
        return status;
    }
    search_init(narrowing->sample, narrowing->solve, &sample);
    status = search_sample(narrowing->sample, warm_prices, err);
    memcpy(narrowed->prices, narrowing->sample->prices, sizeof(narrowed->prices));
    bool is_done = false;
    for (int i = 0; status == CVM_OK && !is_done && i < ATTEMPTS_MAX; i++) {
        status = attempt(narrowing, narrowed, &is_done, err);
        if (narrowed->open == NULL) {
            break; /* too many are near to indifference: equal values, mostly */
        }
        narrowing->wider *= RANK_WIDER;
    }
    if (status == CVM_OK && !is_done) {
        status = cvm_search_everybody(narrowing->solve, narrowed->prices, false, narrowed, err);
    }
    return status;
}

enum cvm_status cvm_narrow_run(struct cvm_solve *solve, const double *warm_prices,
                               const struct cvm_choices *choices, struct cvm_narrowed *out_narrowed,
                               struct cvm_error *err)
{
    memset(out_narrowed, 0, sizeof(*out_narrowed));
    if (solve->everybody.count < EVERYBODY_BELOW) {
        return cvm_search_everybody(solve, warm_prices, false, out_narrowed, err);
    }
    struct narrowing narrowing = {
        .solve = solve,
        .choices = choices,
        .sample = CVM_NEW(solve->arena, struct cvm_search),
        .open = CVM_NEW(solve->arena, struct cvm_search),
        .flats = CVM_NEW_ARRAY(solve->arena,
                               solve->problem->treatment_count * solve->tariff.class_count + 1,
                               double),
        .amount_max = find_amount_max(&solve->everybody),
        .wider = 1.0,
    };
    if (narrowing.sample == NULL || narrowing.open == NULL || narrowing.flats == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a search");
    }
    return narrow(&narrowing, warm_prices, out_narrowed, err);
}
