#include "allocation/narrow.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"

#define BLOCK               CVM_PROBLEM_BLOCK
#define EVERYBODY_BELOW     ((size_t)24576) /* customers of whom no sample is taken */
#define SAMPLE_SIZE         ((size_t)32768)
#define SAMPLE_SHARE_MIN    0.004
#define SAMPLE_SHARE_MAX    0.17
#define SAMPLE_SEED         UINT64_C(0x73616d706c65)
#define SAMPLE_TOLERANCE    1e-6
#define SAMPLE_PASSES_MAX   320
#define ROUGH_IMBALANCE_MAX 2e-3
#define OPEN_PASSES_MAX     400
#define LEVEL_TOLERANCE     1e-7
#define LAST_TOLERANCE      1e-9
#define FULL_PASSES_MAX     400
/* Every level has about an eighth of the customers of the one before, down to so many. */
#define LEVEL_STEP   0.125
#define LEVEL_LEAST  ((size_t)3072)
#define ATTEMPTS_MAX 5
/* So many deviations of a sample's count, and some more, is how many of it may change their choice.
 */
#define RANK_DEVIATIONS    8.0
#define RANK_LEAST         12.0
#define RANK_WIDER         3.0
#define SEGMENTS_WIDER_MAX 2.5
#define OPEN_SHARE_MAX     0.35
#define OPEN_LEAST         ((size_t)16384)
/* A row of the sample with less than this of its limit used has no price anywhere near. */
#define IDLE_BELOW 0.8

/* ---- how near customers are to indifference ---- */

#define MEASURED_MOST ((size_t)16384)
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
                                    const double *ranks, double *out_margins, struct cvm_error *err)
{
    const struct cvm_tariff *tariff = &solve->tariff;
    uint32_t *histograms = CVM_NEW_ARRAY(solve->arena, tariff->count * BUCKET_COUNT + 1, uint32_t);
    if (histograms == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for margins");
    }
    /* A part of a large table tells as much. */
    size_t stride = (table->count / MEASURED_MOST + 1) * BLOCK;
    size_t measured = 0;
    for (size_t first = 0; first < table->count; first += stride) {
        struct block_scores block;
        size_t count = table->count - first < BLOCK ? table->count - first : BLOCK;
        measured += count;
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
    double part = table->count > 0 ? (double)measured / (double)table->count : 1.0;
    for (size_t place = 0; place < tariff->count; place++) {
        size_t t = tariff->treatments[place];
        double seen = 0.0;
        out_margins[t] = ranks[t] > 0.0 ? HUGE_VAL : 0.0;
        for (size_t b = 0; ranks[t] > 0.0 && b < BUCKET_COUNT; b++) {
            seen += histograms[place * BUCKET_COUNT + b];
            if (seen >= ranks[t] * part) {
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
    share = fmin(fmax(share, SAMPLE_SHARE_MIN), SAMPLE_SHARE_MAX);
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
        search->limits[r] =
            cvm_row_natural(&solve->problem->rows[r], solve->problem->rows[r].limit);
    }
}

/* How large a part of the customers that a row can count is in the sample: segments are sampled
 * more or less by chance, and their limits should be too. */
static double share_of_row(const struct cvm_row *row, const double *sampled, const double *all,
                           size_t class_count)
{
    double part = 0.0;
    double whole = 0.0;
    for (size_t c = 0; c < class_count; c++) {
        bool is_inside = row->inside == NULL || row->inside[c] != 0;
        bool counts = row->kind == CVM_ROW_RESERVE ? !is_inside : is_inside;
        part += counts ? sampled[c] : 0.0;
        whole += counts ? all[c] : 0.0;
    }
    return whole > 0.0 ? part / whole : 0.0;
}

static void count_classes(const struct cvm_table *table, double *counts)
{
    uint32_t part[4][CVM_PROBLEM_CLASSES_MAX] = {
        0}; /* four, so that equal neighbours do not wait */
    for (size_t i = 0; table->classes != NULL && i < table->count; i++) {
        part[i % 4][table->classes[i]]++;
    }
    for (size_t c = 0; c < CVM_PROBLEM_CLASSES_MAX; c++) {
        counts[c] = (double)part[0][c] + part[1][c] + part[2][c] + part[3][c];
    }
    counts[0] = table->classes != NULL ? counts[0] : (double)table->count;
}

static enum cvm_status set_sample_limits(struct cvm_search *search, struct cvm_error *err)
{
    const struct cvm_solve *solve = search->solve;
    double *sampled = CVM_NEW_ARRAY(solve->arena, 2 * CVM_PROBLEM_CLASSES_MAX, double);
    if (sampled == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for classes");
    }
    double *all = sampled + CVM_PROBLEM_CLASSES_MAX;
    count_classes(search->table, sampled);
    count_classes(&solve->everybody, all);
    for (size_t r = 0; r < solve->problem->row_count; r++) {
        search->limits[r] *=
            share_of_row(&solve->problem->rows[r], sampled, all, solve->tariff.class_count);
    }
    return CVM_OK;
}

static enum cvm_status search_sample(struct cvm_search *search, const double *warm_prices,
                                     struct cvm_error *err)
{
    enum cvm_status status = set_sample_limits(search, err);
    if (status != CVM_OK) {
        return status;
    }
    search->is_rough = true;
    search->tolerance = SAMPLE_TOLERANCE;
    search->passes_max = SAMPLE_PASSES_MAX;
    if (warm_prices != NULL) {
        memcpy(search->prices, warm_prices, sizeof(search->prices));
        search->passes_max = 1;
        return cvm_search_run(search, err);
    }
    status = cvm_search_run(search, err);
    if (status == CVM_OK && search->imbalance > ROUGH_IMBALANCE_MAX) {
        /* Equal values: thousands change their mind at once. */
        search->is_rough = false;
        search->is_near = true;
        status = cvm_search_run(search, err);
    }
    return status;
}

/* ---- the region ---- */

/* How many customers of the sample may choose otherwise at the right prices. */
static void set_ranks(const struct cvm_search *sample, double *ranks)
{
    const struct cvm_problem *problem = sample->solve->problem;
    double parts = 1.0;
    memset(ranks, 0, CVM_PROBLEM_TREATMENTS_MAX * sizeof(*ranks));
    /* Prices of segments are known from their customers only. */
    for (size_t r = 0; r < problem->row_count; r++) {
        parts += problem->rows[r].inside != NULL && sample->prices[r] > 0.0;
    }
    double wider = fmin(sqrt(parts), SEGMENTS_WIDER_MAX);
    for (size_t r = 0; r < problem->row_count; r++) {
        bool is_idle = sample->prices[r] == 0.0 &&
                       sample->uses[r] < IDLE_BELOW * sample->limits[r] && sample->limits[r] > 0.0;
        for (size_t t = 0; t < problem->treatment_count; t++) {
            if (!is_idle && cvm_row_touches(&problem->rows[r], t)) {
                ranks[t] = wider * (RANK_DEVIATIONS * sqrt(sample->counts[t]) + RANK_LEAST);
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

/* ---- the levels ---- */

/* What is left of the problem for the customers of a table. */
struct level {
    const struct cvm_table *table;
    double limits[CVM_PROBLEM_ROWS_MAX];
    double value; /* of those decided before */
};

struct narrowing {
    struct cvm_solve *solve;
    const struct cvm_choices *choices; /* of everybody */
    struct cvm_narrowed *narrowed;
    struct cvm_search *search;
    struct level level;
    double ranks[CVM_PROBLEM_TREATMENTS_MAX]; /* of the level's customers */
    struct cvm_margins margins;
    double amount_max;
    bool is_rough; /* ties need not be broken before the last level */
};

static void search_level(struct narrowing *narrowing, const struct level *level)
{
    struct cvm_search *search = narrowing->search;
    search_init(search, narrowing->solve, level->table);
    memcpy(search->limits, level->limits, sizeof(search->limits));
    memcpy(search->prices, narrowing->narrowed->prices, sizeof(search->prices));
    search->value = level->value;
    search->is_near = true;
    search->amount_max = narrowing->amount_max;
    search->passes_max = OPEN_PASSES_MAX;
}

static void keep_found(struct narrowing *narrowing)
{
    struct cvm_narrowed *narrowed = narrowing->narrowed;
    memcpy(narrowed->prices, narrowing->search->prices, sizeof(narrowed->prices));
    narrowed->bound = narrowing->search->bound;
    narrowed->imbalance = narrowing->search->imbalance;
}

/* Decisions about customers of a level, to where everybody's stand. */
static void store_decided(const struct narrowing *narrowing, const struct cvm_choices *decided)
{
    const struct cvm_table *table = narrowing->level.table;
    for (size_t i = 0; table->origins != NULL && i < table->count; i++) {
        if (decided->sets != NULL) {
            narrowing->choices->sets[table->origins[i]] = decided->sets[i];
        } else {
            narrowing->choices->treatments[table->origins[i]] = decided->treatments[i];
        }
    }
}

static enum cvm_status choices_of_level(const struct narrowing *narrowing,
                                        struct cvm_choices *out_choices, struct cvm_error *err)
{
    const struct cvm_table *table = narrowing->level.table;
    *out_choices = *narrowing->choices;
    if (table->origins == NULL) {
        return CVM_OK;
    }
    *out_choices = (struct cvm_choices){0};
    if (table->units != NULL) {
        out_choices->sets =
            cvm_arena_alloc_raw(narrowing->solve->arena, table->count + 1, sizeof(uint64_t));
    } else {
        out_choices->treatments = cvm_arena_alloc_raw(narrowing->solve->arena, table->count + 1, 1);
    }
    return out_choices->sets != NULL || out_choices->treatments != NULL
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu choices", table->count);
}

/* One region around the prices: decide whom it allows, search among the rest. *out_next has no
 * table when they are too many, or when the search came to the region's end. */
static enum cvm_status attempt(struct narrowing *narrowing, const struct cvm_table *measured,
                               const double *ranks, struct level *out_next, struct cvm_error *err)
{
    struct cvm_solve *solve = narrowing->solve;
    const struct cvm_table *table = narrowing->level.table;
    double widths[CVM_PROBLEM_TREATMENTS_MAX] = {0};
    struct cvm_table *open = NULL;
    struct cvm_choices choices;
    struct cvm_sums decided;
    struct cvm_narrow_request request = {
        .table = table,
        .margins = &narrowing->margins,
        .choices = &choices,
        .most = (size_t)(OPEN_SHARE_MAX * (double)table->count) + OPEN_LEAST,
    };
    out_next->table = NULL;
    cvm_tariff_set(&solve->tariff, narrowing->narrowed->prices);
    enum cvm_status status = cvm_margins_measure(solve, measured, ranks, widths, err);
    if (status == CVM_OK) {
        status = choices_of_level(narrowing, &choices, err);
    }
    if (status == CVM_OK) {
        set_margins(solve, measured, widths, &narrowing->margins);
        status = cvm_pass_narrow(solve, &request, &decided, &open, err);
    }
    if (status != CVM_OK || open == NULL) {
        return status;
    }
    struct level next = {.table = open, .value = narrowing->level.value + decided.gain};
    for (size_t r = 0; r < solve->problem->row_count; r++) {
        next.limits[r] = narrowing->level.limits[r] - decided.uses[r];
    }
    search_level(narrowing, &next);
    narrowing->search->region = &narrowing->margins;
    narrowing->search->is_rough = narrowing->is_rough && open->count > LEVEL_LEAST;
    narrowing->search->tolerance = open->count > LEVEL_LEAST ? LEVEL_TOLERANCE : LAST_TOLERANCE;
    status = cvm_search_run(narrowing->search, err);
    if (status == CVM_OK) {
        keep_found(narrowing);
        if (!narrowing->search->has_left) {
            store_decided(narrowing, &choices);
            *out_next = next;
        }
    }
    return status;
}

/* From one level to the next; *out_is_done when there is none. */
static enum cvm_status descend(struct narrowing *narrowing, const struct cvm_table *measured,
                               bool *out_is_done, struct cvm_error *err)
{
    struct cvm_narrowed *narrowed = narrowing->narrowed;
    struct level next = {0};
    double ranks[CVM_PROBLEM_TREATMENTS_MAX];
    enum cvm_status status = CVM_OK;
    double wider = 1.0;
    for (int i = 0; status == CVM_OK && next.table == NULL && i < ATTEMPTS_MAX; i++) {
        for (size_t t = 0; t < CVM_PROBLEM_TREATMENTS_MAX; t++) {
            ranks[t] = wider * narrowing->ranks[t];
        }
        status = attempt(narrowing, measured, ranks, &next, err);
        wider *= RANK_WIDER;
    }
    *out_is_done = next.table == NULL;
    if (status == CVM_OK && next.table != NULL) {
        narrowing->level = next;
        narrowed->levels[narrowed->level_count++] = next.table;
        /* As many customers as their share of the new level, and fewer by a step. */
        double scale = (double)next.table->count * LEVEL_STEP;
        double sum = 0.0;
        for (size_t t = 0; t < CVM_PROBLEM_TREATMENTS_MAX; t++) {
            sum += narrowing->ranks[t];
        }
        for (size_t t = 0; t < CVM_PROBLEM_TREATMENTS_MAX; t++) {
            narrowing->ranks[t] = sum > 0.0 ? narrowing->ranks[t] / sum * scale : 0.0;
        }
    }
    return status;
}

enum cvm_status cvm_search_everybody(struct cvm_solve *solve, const struct cvm_retry *retry,
                                     struct cvm_narrowed *out_narrowed, struct cvm_error *err)
{
    struct cvm_search *search = CVM_NEW(solve->arena, struct cvm_search);
    if (search == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a search");
    }
    search_init(search, solve, &solve->everybody);
    search->tolerance = LAST_TOLERANCE;
    search->passes_max = FULL_PASSES_MAX;
    search->is_blurred = retry->is_blurred;
    if (retry->frozen != NULL) {
        memcpy(search->is_frozen, retry->frozen, sizeof(search->is_frozen));
    }
    if (retry->prices != NULL) {
        search->is_near = true;
        memcpy(search->prices, retry->prices, sizeof(search->prices));
    }
    enum cvm_status status = cvm_search_run(search, err);
    if (status == CVM_OK) {
        memcpy(out_narrowed->prices, search->prices, sizeof(out_narrowed->prices));
        out_narrowed->bound = search->bound;
        out_narrowed->imbalance = search->imbalance;
        out_narrowed->levels[0] = &solve->everybody;
        out_narrowed->level_count = 1;
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
                              struct cvm_error *err)
{
    struct cvm_solve *solve = narrowing->solve;
    struct cvm_narrowed *narrowed = narrowing->narrowed;
    struct cvm_table sample;
    bool is_done = false;
    enum cvm_status status = take_sample(solve, &sample, err);
    if (status != CVM_OK) {
        return status;
    }
    search_init(narrowing->search, solve, &solve->everybody);
    narrowing->level.table = &solve->everybody;
    memcpy(narrowing->level.limits, narrowing->search->limits, sizeof(narrowing->level.limits));
    search_init(narrowing->search, solve, &sample);
    status = search_sample(narrowing->search, warm_prices, err);
    narrowing->is_rough = narrowing->search->is_rough;
    set_ranks(narrowing->search, narrowing->ranks);
    keep_found(narrowing);
    narrowed->levels[0] = &solve->everybody;
    narrowed->level_count = 1;
    if (status == CVM_OK) {
        status = descend(narrowing, &sample, &is_done, err);
    }
    if (status == CVM_OK && is_done) {
        /* Too many are near to indifference: equal values, mostly. */
        return cvm_search_everybody(solve, &(struct cvm_retry){.prices = narrowed->prices},
                                    narrowed, err);
    }
    while (status == CVM_OK && !is_done && narrowing->level.table->count > LEVEL_LEAST &&
           narrowed->level_count < CVM_LEVELS_MAX) {
        status = descend(narrowing, narrowing->level.table, &is_done, err);
    }
    if (status == CVM_OK && is_done) {
        search_level(narrowing, &narrowing->level);
        narrowing->search->tolerance = LAST_TOLERANCE;
        status = cvm_search_run(narrowing->search, err);
        keep_found(narrowing);
    }
    return status;
}

enum cvm_status cvm_narrow_run(struct cvm_solve *solve, const double *warm_prices,
                               const struct cvm_choices *choices, struct cvm_narrowed *out_narrowed,
                               struct cvm_error *err)
{
    memset(out_narrowed, 0, sizeof(*out_narrowed));
    if (solve->everybody.count < EVERYBODY_BELOW) {
        return cvm_search_everybody(solve, &(struct cvm_retry){.prices = warm_prices}, out_narrowed,
                                    err);
    }
    struct narrowing *narrowing = CVM_NEW(solve->arena, struct narrowing);
    if (narrowing != NULL) {
        narrowing->search = CVM_NEW(solve->arena, struct cvm_search);
    }
    if (narrowing == NULL || narrowing->search == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a search");
    }
    narrowing->solve = solve;
    narrowing->choices = choices;
    narrowing->narrowed = out_narrowed;
    narrowing->amount_max = find_amount_max(&solve->everybody);
    return narrow(narrowing, warm_prices, err);
}
