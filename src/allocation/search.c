/* Sign-adaptive steps (Rprop) on the dual: a price goes up while its row is overfull and down while
 * it has room, its step grows while the direction stays and halves when it turns. Only the sign of
 * the slope is used, because slopes of rows differ by a factor of 10^5 and no common step fits
 * them: research put ten methods beside each other. The bound does not fall with every pass, so the
 * best prices seen are kept. */
#include "allocation/search.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"

#define BLOCK             CVM_PROBLEM_BLOCK
#define STEP_UP           1.25
#define STEP_UP_UNTURNED  1.6 /* until the first turn, to find the scale */
#define STEP_DOWN         0.5
#define STEP_FIRST_SHARE  0.1
#define STEP_WARM_SHARE   0.05
#define WINDOW_PASSES     8
#define SAMPLE_TOLERANCE  1e-5
#define FULL_TOLERANCE    1e-7
#define SAMPLE_ABOVE      ((size_t)65536)
#define SAMPLE_SIZE       ((size_t)32768)
#define SAMPLE_SHARE_MIN  0.02
#define SAMPLE_PASSES_MAX 128
#define FULL_PASSES_MAX   200
#define NEAR_PASSES_MAX   64
#define SAMPLE_SEED       UINT64_C(0x73616d706c65)
#define SETTLED_TOLERANCE 1e-9
/* Widths of the blur as shares of a treatment's typical value. */
#define BLUR_WIDEST      1.0
#define BLUR_WIDEST_WARM 0x1p-6
#define BLUR_NARROWEST   0x1p-17
#define BLUR_STEP_SHARE  0.1
#define BLUR_PASSES      48 /* a width; few customers or a sample */
#define BLUR_PASSES_WARM 8

struct stage {
    struct cvm_search *search;
    const struct cvm_pass_data *data;
    double limits[CVM_PROBLEM_ROWS_MAX];
    double worths[CVM_PROBLEM_TREATMENTS_MAX]; /* a typical positive value */
    double scales[CVM_PROBLEM_ROWS_MAX];       /* a typical price */
    double steps[CVM_PROBLEM_ROWS_MAX];
    int signs[CVM_PROBLEM_ROWS_MAX];
    bool has_turned[CVM_PROBLEM_ROWS_MAX];
    double prices[CVM_PROBLEM_ROWS_MAX];
    double uses[CVM_PROBLEM_ROWS_MAX];
    double bound;
    double best_bound;
    double tolerance;
    int passes_min;
    int passes_max;
};

/* ---- scales: what a unit of each row is worth, roughly ---- */

struct column_means {
    double values[CVM_PROBLEM_TREATMENTS_MAX]; /* of positive ones */
    double amount;
};

static void find_means(const struct cvm_pass_data *data, struct column_means *means)
{
    /* Only the order of magnitude matters: some hundred blocks from everywhere tell it. */
    size_t block_count = (data->customer_count + BLOCK - 1) / BLOCK;
    size_t stride = block_count / 1024 + 1;
    double sums[CVM_PROBLEM_TREATMENTS_MAX] = {0};
    double counts[CVM_PROBLEM_TREATMENTS_MAX] = {0};
    double amount = 0.0;
    double amount_count = 0.0;
    for (size_t b = 0; b < block_count; b += stride) {
        const float *values = data->values + b * BLOCK * data->treatment_count;
        for (size_t t = 0; t < data->treatment_count; t++) {
            for (size_t i = 0; i < BLOCK; i++) {
                bool is_positive = values[t * BLOCK + i] > 0.0f;
                sums[t] += is_positive ? (double)values[t * BLOCK + i] : 0.0;
                counts[t] += is_positive ? 1.0 : 0.0;
            }
        }
        if (data->amounts != NULL) {
            amount += (double)data->amounts[b * BLOCK];
            amount_count += 1.0;
        }
    }
    for (size_t t = 0; t < data->treatment_count; t++) {
        means->values[t] = counts[t] > 0.0 ? sums[t] / counts[t] : 0.0;
    }
    means->amount = amount_count > 0.0 ? amount / amount_count : 0.0;
}

static double mean_use(const struct cvm_row *row, size_t treatment, double amount)
{
    return row->kind == CVM_ROW_UNITS ? (double)row->units[treatment]
                                      : row->flat[treatment] + row->rate[treatment] * amount;
}

static void set_scales(struct stage *stage)
{
    const struct cvm_problem *problem = stage->search->problem;
    struct column_means means;
    find_means(stage->data, &means);
    memcpy(stage->worths, means.values, sizeof(stage->worths));
    for (size_t r = 0; r < problem->row_count; r++) {
        double scale = 0.0;
        for (size_t t = 0; t < problem->treatment_count; t++) {
            double use = mean_use(&problem->rows[r], t, means.amount);
            double worth = use > 0.0 ? means.values[t] / use : 0.0;
            scale = worth > scale && isfinite(worth) ? worth : scale;
        }
        stage->scales[r] = scale;
    }
}

/* ---- one pass and one step ---- */

static void evaluate(struct stage *stage)
{
    struct cvm_search *search = stage->search;
    const struct cvm_problem *problem = search->problem;
    struct cvm_pass_sums sums;
    cvm_tariff_set(problem, stage->prices, &search->tariff);
    cvm_pass_run(stage->data, &search->tariff, search->pool, search->scratch, NULL, &sums);
    search->passes += stage->data == &search->data;
    double bound = sums.gain;
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        double use = 0.0;
        for (size_t t = 0; t < problem->treatment_count; t++) {
            double count = (double)sums.counts[t];
            use += row->kind == CVM_ROW_UNITS
                       ? (double)row->units[t] * count
                       : row->flat[t] * count + row->rate[t] * sums.amounts[t];
        }
        stage->uses[r] = use;
        bound += stage->prices[r] * stage->limits[r];
    }
    stage->bound = bound;
}

/* Feasible, and whatever has a price is full: no price can do better. */
static bool is_settled(const struct stage *stage)
{
    double loose = 0.0;
    for (size_t r = 0; r < stage->search->problem->row_count; r++) {
        if (stage->uses[r] > stage->limits[r]) {
            return false;
        }
        loose += stage->prices[r] * (stage->limits[r] - stage->uses[r]);
    }
    return loose <= SETTLED_TOLERANCE * fabs(stage->bound);
}

/* How far the choices at these prices are from a plan, in money, as a share of the bound. */
static double imbalance_of(const struct stage *stage)
{
    double money = 0.0;
    for (size_t r = 0; r < stage->search->problem->row_count; r++) {
        double excess = stage->uses[r] - stage->limits[r];
        money += excess > 0.0 ? excess * stage->scales[r] : -excess * stage->prices[r];
    }
    return stage->bound > 0.0 ? money / stage->bound : 0.0;
}

static void step_row(struct stage *stage, size_t row)
{
    double excess = stage->uses[row] - stage->limits[row];
    int sign = excess > 0.0 ? 1 : excess < 0.0 ? -1 : 0;
    double price = stage->prices[row];
    if (sign == 0 || (sign < 0 && price == 0.0)) {
        return;
    }
    double step = stage->steps[row];
    if (stage->signs[row] == sign) {
        step *= stage->has_turned[row] ? STEP_UP : STEP_UP_UNTURNED;
    } else if (stage->signs[row] == -sign) {
        stage->has_turned[row] = true;
        step *= STEP_DOWN;
    }
    double moved = price + sign * step;
    if (moved < 0.0) {
        step = price; /* what was really walked */
        moved = 0.0;
    }
    stage->prices[row] = moved;
    stage->steps[row] = step;
    stage->signs[row] = sign;
}

static enum cvm_status check_cancelled(const struct cvm_search *search, struct cvm_error *err)
{
    return search->context != NULL ? cvm_context_check(search->context, err) : CVM_OK;
}

static void step_all(struct stage *stage)
{
    for (size_t r = 0; r < stage->search->problem->row_count; r++) {
        step_row(stage, r);
    }
}

static enum cvm_status descend(struct stage *stage, struct cvm_error *err)
{
    struct cvm_search *search = stage->search;
    size_t row_count = search->problem->row_count;
    double window_bound = INFINITY;
    stage->best_bound = INFINITY;
    for (int pass = 1; pass <= stage->passes_max; pass++) {
        enum cvm_status status = check_cancelled(search, err);
        if (status != CVM_OK) {
            return status;
        }
        evaluate(stage);
        if (stage->bound < stage->best_bound) {
            stage->best_bound = stage->bound;
            search->imbalance = imbalance_of(stage);
            memcpy(search->prices, stage->prices, row_count * sizeof(double));
        }
        if (is_settled(stage)) {
            break;
        }
        if (pass % WINDOW_PASSES == 0) {
            /* Before the scale is found the bound may stand still. */
            bool is_stuck =
                window_bound - stage->best_bound <= stage->tolerance * fabs(stage->best_bound);
            if (is_stuck && pass >= stage->passes_min) {
                break;
            }
            window_bound = stage->best_bound;
        }
        step_all(stage);
    }
    return CVM_OK;
}

/* Where many values are equal, all their customers prefer the same treatment, and no single price
 * can rise alone. A blur as wide as the values spreads them; prices follow while it narrows. The
 * bound of a blurred problem is not that of the problem, so descend() has to come after. */
static enum cvm_status follow_blur(struct stage *stage, double widest, int passes,
                                   struct cvm_error *err)
{
    struct cvm_search *search = stage->search;
    const struct cvm_problem *problem = search->problem;
    enum cvm_status status = CVM_OK;
    for (double width = widest; status == CVM_OK && width > BLUR_NARROWEST; width *= 0.5) {
        for (size_t t = 0; t < problem->treatment_count; t++) {
            search->tariff.blur[t] = width * stage->worths[t];
        }
        for (size_t r = 0; r < problem->row_count; r++) {
            double step = BLUR_STEP_SHARE * width * stage->scales[r];
            stage->steps[r] = stage->steps[r] > step ? stage->steps[r] : step;
        }
        for (int pass = 0; status == CVM_OK && pass < passes; pass++) {
            status = check_cancelled(search, err);
            evaluate(stage);
            step_all(stage);
        }
    }
    memset(search->tariff.blur, 0, sizeof(search->tariff.blur));
    for (size_t r = 0; r < problem->row_count; r++) {
        stage->steps[r] = BLUR_NARROWEST * stage->scales[r];
        stage->has_turned[r] = true;
    }
    return status;
}

/* ---- stages ---- */

static void stage_init(struct stage *stage, struct cvm_search *search,
                       const struct cvm_pass_data *data, double share)
{
    memset(stage, 0, sizeof(*stage));
    stage->search = search;
    stage->data = data;
    for (size_t r = 0; r < search->problem->row_count; r++) {
        stage->limits[r] = cvm_row_limit(&search->problem->rows[r]) * share;
    }
    memcpy(stage->prices, search->prices, sizeof(stage->prices));
    set_scales(stage);
    stage->passes_min = 3 * WINDOW_PASSES;
    for (size_t r = 0; r < search->problem->row_count; r++) {
        stage->steps[r] = stage->scales[r] * STEP_FIRST_SHARE;
    }
}

/* Whole blocks by hash, so that the order of customers does not matter much. */
static enum cvm_status take_sample(struct cvm_search *search, struct cvm_pass_data *out_sample,
                                   struct cvm_error *err)
{
    const struct cvm_pass_data *all = &search->data;
    size_t block_count = all->customer_count / BLOCK; /* the last, partial one stays out */
    double share = (double)SAMPLE_SIZE / (double)all->customer_count;
    share = share > SAMPLE_SHARE_MIN ? share : SAMPLE_SHARE_MIN;
    uint64_t threshold = (uint64_t)(share * 0x1p63) * 2;
    size_t taken = 0;
    for (size_t b = 0; b < block_count; b++) {
        taken += cvm_hash_mix(b, SAMPLE_SEED) < threshold;
    }
    size_t block_floats = BLOCK * all->treatment_count;
    float *values = cvm_arena_alloc_raw(search->arena, taken * block_floats, sizeof(float));
    float *amounts = cvm_arena_alloc_raw(search->arena, taken * BLOCK, sizeof(float));
    float *jitters = cvm_arena_alloc_raw(search->arena, taken * BLOCK, sizeof(float));
    if (values == NULL || amounts == NULL || jitters == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a sample of %zu customers", taken * BLOCK);
    }
    size_t at = 0;
    for (size_t b = 0; b < block_count; b++) {
        if (cvm_hash_mix(b, SAMPLE_SEED) >= threshold) {
            continue;
        }
        memcpy(values + at * block_floats, all->values + b * block_floats,
               block_floats * sizeof(float));
        memcpy(jitters + at * BLOCK, all->jitters + b * BLOCK, BLOCK * sizeof(float));
        if (all->amounts != NULL) {
            memcpy(amounts + at * BLOCK, all->amounts + b * BLOCK, BLOCK * sizeof(float));
        }
        at++;
    }
    *out_sample = (struct cvm_pass_data){taken * BLOCK, all->treatment_count, values,
                                         all->amounts != NULL ? amounts : NULL, jitters};
    return CVM_OK;
}

static enum cvm_status search_sample(struct cvm_search *search, struct cvm_error *err)
{
    struct cvm_pass_data sample;
    struct stage stage;
    enum cvm_status status = take_sample(search, &sample, err);
    if (status != CVM_OK || sample.customer_count == 0) {
        return status;
    }
    stage_init(&stage, search, &sample,
               (double)sample.customer_count / (double)search->data.customer_count);
    stage.tolerance = SAMPLE_TOLERANCE;
    stage.passes_max = SAMPLE_PASSES_MAX;
    if (search->is_blurred) {
        status = follow_blur(&stage, BLUR_WIDEST, BLUR_PASSES, err);
    }
    return status == CVM_OK ? descend(&stage, err) : status;
}

/* Near the end already: steps as wide as prices from a sample are uncertain. */
static void warm_steps(struct stage *stage)
{
    stage->passes_min = 2 * WINDOW_PASSES;
    for (size_t r = 0; r < stage->search->problem->row_count; r++) {
        double price = stage->prices[r];
        stage->steps[r] = STEP_WARM_SHARE * (price > 0.0 ? price : stage->scales[r]);
        stage->has_turned[r] = true;
    }
}

enum cvm_status cvm_search_run(struct cvm_search *search, struct cvm_error *err)
{
    const double *warm = search->options != NULL ? search->options->warm_prices : NULL;
    int passes_max = search->options != NULL ? search->options->passes_max : 0;
    enum cvm_status status = CVM_OK;
    bool is_near = warm != NULL && !search->is_blurred;
    struct stage stage;
    memset(search->prices, 0, sizeof(search->prices));
    for (size_t r = 0; is_near && r < search->problem->row_count; r++) {
        search->prices[r] = warm[r] > 0.0 && isfinite(warm[r]) ? warm[r] : 0.0;
    }
    if (!is_near && search->data.customer_count > SAMPLE_ABOVE) {
        status = search_sample(search, err);
        is_near = true;
    }
    stage_init(&stage, search, &search->data, 1.0);
    if (is_near) {
        warm_steps(&stage);
    }
    stage.tolerance = FULL_TOLERANCE;
    stage.passes_max = passes_max > 0 ? passes_max : is_near ? NEAR_PASSES_MAX : FULL_PASSES_MAX;
    if (status == CVM_OK && search->is_blurred) {
        status = is_near ? follow_blur(&stage, BLUR_WIDEST_WARM, BLUR_PASSES_WARM, err)
                         : follow_blur(&stage, BLUR_WIDEST, BLUR_PASSES, err);
    }
    return status == CVM_OK ? descend(&stage, err) : status;
}
