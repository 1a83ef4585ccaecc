/* Sign-adaptive steps (Rprop) on the dual: a price goes up while its row is overfull and down while
 * it has room, its step grows while the direction stays and halves when it turns. Only the sign of
 * the slope is used, because slopes of rows differ by a factor of 10^5 and no common step fits
 * them: research put ten methods beside each other. The bound does not fall with every pass, so the
 * best prices seen are kept. */
#include "allocation/search.h"

#include <math.h>
#include <string.h>

#define BLOCK            CVM_PROBLEM_BLOCK
#define STEP_UP          1.25
#define STEP_UP_UNTURNED 1.6 /* until the first turn, to find the scale */
#define STEP_DOWN        0.5
#define STEP_FIRST_SHARE 0.1
#define STEP_NEAR_SHARE  0.05
#define STEP_REGION      0.1 /* of the way to the end of the region */
#define STEP_BACK        0.25
#define TURNS_BACK_MAX   6
#define WINDOW_PASSES    8
/* The price of a minimum that can not be met would rise for ever; at so many typical values per
 * unit everybody who can has long been taken. */
#define MEANS_BLOCKS      256
#define CAP_SCALES        1000.0
#define SETTLED_TOLERANCE 1e-9
/* Widths of the blur as shares of a treatment's typical value. */
#define BLUR_WIDEST      1.0
#define BLUR_WIDEST_NEAR 0x1p-6
#define BLUR_NARROWEST   0x1p-17
#define BLUR_STEP_SHARE  0.1
#define BLUR_PASSES      48 /* a width; few customers or a sample */
#define BLUR_PASSES_NEAR 8

struct stage {
    struct cvm_search *search;
    double *flats; /* the tariff in the middle of the region */
    double rates[CVM_PROBLEM_TREATMENTS_MAX];
    double worths[CVM_PROBLEM_TREATMENTS_MAX]; /* a typical value */
    double scales[CVM_PROBLEM_ROWS_MAX];       /* a typical price */
    double steps[CVM_PROBLEM_ROWS_MAX];
    int signs[CVM_PROBLEM_ROWS_MAX];
    bool has_turned[CVM_PROBLEM_ROWS_MAX];
    double prices[CVM_PROBLEM_ROWS_MAX];
    struct cvm_sums sums;
    double bound;
    int passes_min;
    int turned_back;
};

/* ---- scales: what a unit of each row is worth, roughly ---- */

struct column_means {
    double values[CVM_PROBLEM_TREATMENTS_MAX]; /* of positive ones */
    double sizes[CVM_PROBLEM_TREATMENTS_MAX];  /* of all, without sign */
    double amount;
};

static void find_means(const struct cvm_table *table, struct column_means *means)
{
    /* Only the order of magnitude matters: some blocks from everywhere tell it. */
    size_t block_count = (table->count + BLOCK - 1) / BLOCK;
    size_t stride = block_count / MEANS_BLOCKS + 1;
    double amount_count = 0.0;
    memset(means, 0, sizeof(*means));
    for (size_t b = 0; table->amounts != NULL && b < block_count; b += stride) {
        means->amount += table->amounts[b * BLOCK];
        amount_count += 1.0;
    }
    means->amount = amount_count > 0.0 ? means->amount / amount_count : 0.0;
    for (size_t t = 0; t < table->treatment_count; t++) {
        double count = 0.0;
        double count_positive = 0.0;
        for (size_t b = 0; b < block_count; b += stride) {
            const float *values = table->values + (b * table->treatment_count + t) * BLOCK;
            for (size_t i = 0; i < BLOCK; i++) {
                double value = (double)values[i];
                bool is_eligible = values[i] > CVM_PROBLEM_VALUE_MIN;
                means->values[t] += value > 0.0 ? value : 0.0;
                count_positive += value > 0.0 ? 1.0 : 0.0;
                means->sizes[t] += is_eligible ? fabs(value) : 0.0;
                count += is_eligible ? 1.0 : 0.0;
            }
        }
        means->values[t] = count_positive > 0.0 ? means->values[t] / count_positive : 0.0;
        means->sizes[t] = count > 0.0 ? means->sizes[t] / count : 0.0;
    }
}

static double typical_use(const struct cvm_row *row, size_t treatment, double amount)
{
    if (cvm_row_is_money(row)) {
        return row->flat[treatment] + row->rate[treatment] * amount;
    }
    double inside = fabs(cvm_row_natural(row, row->units[treatment]));
    double outside = fabs(cvm_row_natural(row, row->outside[treatment]));
    return fmax(inside, outside);
}

static void set_scales(struct stage *stage)
{
    const struct cvm_problem *problem = stage->search->solve->problem;
    struct column_means means;
    find_means(stage->search->table, &means);
    /* Where only minimums make anybody take anything, values are not positive. */
    for (size_t t = 0; t < problem->treatment_count; t++) {
        stage->worths[t] = means.values[t] > 0.0 ? means.values[t] : means.sizes[t];
    }
    for (size_t r = 0; r < problem->row_count; r++) {
        const struct cvm_row *row = &problem->rows[r];
        const double *worths = cvm_row_is_minimum(row) ? means.sizes : stage->worths;
        double scale = 0.0;
        for (size_t t = 0; t < problem->treatment_count; t++) {
            double use = typical_use(row, t, means.amount);
            double worth = use > 0.0 ? worths[t] / use : 0.0;
            scale = worth > scale && isfinite(worth) ? worth : scale;
        }
        stage->scales[r] = scale;
    }
}

/* ---- one pass and one step ---- */

static void evaluate(struct stage *stage)
{
    struct cvm_search *search = stage->search;
    cvm_tariff_set(&search->solve->tariff, stage->prices);
    cvm_pass_choose(search->solve, search->table, NULL, &stage->sums);
    stage->bound = search->value + stage->sums.gain;
    for (size_t r = 0; r < search->solve->problem->row_count; r++) {
        stage->bound += stage->prices[r] * search->limits[r];
    }
}

/* Prices are linear in the amount, so the two ends of amounts tell. */
static bool is_outside(const struct stage *stage)
{
    const struct cvm_search *search = stage->search;
    const struct cvm_tariff *tariff = &search->solve->tariff;
    for (size_t place = 0; search->region != NULL && place < tariff->count; place++) {
        size_t t = tariff->treatments[place];
        for (size_t k = 0; k < 2 * tariff->class_count; k++) {
            size_t at = t * tariff->class_count + k / 2;
            double amount = k % 2 == 0 ? 0.0 : search->amount_max;
            double before = stage->flats[at] + stage->rates[t] * amount;
            double now = tariff->flat[at] + tariff->rate[t] * amount;
            double width = search->region->shares[t] * fabs(before) + search->region->slacks[t];
            if (fabs(now - before) > width) {
                return true;
            }
        }
    }
    return false;
}

/* Feasible, and whatever has a price is full: no price can do better. */
static bool is_settled(const struct stage *stage)
{
    double loose = 0.0;
    for (size_t r = 0; r < stage->search->solve->problem->row_count; r++) {
        if (stage->sums.uses[r] > stage->search->limits[r]) {
            return false;
        }
        loose += stage->prices[r] * (stage->search->limits[r] - stage->sums.uses[r]);
    }
    return loose <= SETTLED_TOLERANCE * fabs(stage->bound);
}

static double imbalance_of(const struct stage *stage)
{
    double money = 0.0;
    for (size_t r = 0; r < stage->search->solve->problem->row_count; r++) {
        double excess = stage->sums.uses[r] - stage->search->limits[r];
        money += excess > 0.0 ? excess * stage->scales[r] : -excess * stage->prices[r];
    }
    return stage->bound > 0.0 ? money / stage->bound : 0.0;
}

static void step_row(struct stage *stage, size_t row)
{
    double excess = stage->sums.uses[row] - stage->search->limits[row];
    int sign = excess > 0.0 ? 1 : excess < 0.0 ? -1 : 0;
    double price = stage->prices[row];
    if (sign == 0 || (sign < 0 && price == 0.0) || stage->search->is_frozen[row]) {
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
    double cap = cvm_row_is_minimum(&stage->search->solve->problem->rows[row])
                     ? CAP_SCALES * stage->scales[row]
                     : INFINITY;
    if (moved < 0.0 || moved > cap) {
        moved = moved < 0.0 ? 0.0 : cap;
        step = fabs(moved - price); /* what was really walked */
    }
    stage->prices[row] = moved;
    stage->steps[row] = step;
    stage->signs[row] = sign;
}

static void step_all(struct stage *stage)
{
    for (size_t r = 0; r < stage->search->solve->problem->row_count; r++) {
        step_row(stage, r);
    }
}

static enum cvm_status check_cancelled(const struct cvm_search *search, struct cvm_error *err)
{
    const struct cvm_context *context = search->solve->context;
    return context != NULL ? cvm_context_check(context, err) : CVM_OK;
}

static void keep_best(struct stage *stage)
{
    struct cvm_search *search = stage->search;
    search->bound = stage->bound;
    search->imbalance = imbalance_of(stage);
    memcpy(search->prices, stage->prices, sizeof(search->prices));
    memcpy(search->uses, stage->sums.uses, sizeof(search->uses));
    memcpy(search->counts, stage->sums.counts, sizeof(search->counts));
}

/* To the best prices so far, with shorter steps. */
static void turn_back(struct stage *stage)
{
    const struct cvm_search *search = stage->search;
    memcpy(stage->prices, search->prices, sizeof(stage->prices));
    for (size_t r = 0; r < search->solve->problem->row_count; r++) {
        stage->steps[r] *= STEP_BACK;
        stage->signs[r] = 0;
    }
    for (size_t r = 0; r < search->solve->problem->row_count; r++) {
        stage->sums.uses[r] = search->uses[r];
    }
    step_all(stage);
}

static enum cvm_status descend(struct stage *stage, struct cvm_error *err)
{
    struct cvm_search *search = stage->search;
    double window_bound = INFINITY;
    search->bound = INFINITY;
    for (int pass = 1; pass <= search->passes_max; pass++) {
        enum cvm_status status = check_cancelled(search, err);
        if (status != CVM_OK) {
            return status;
        }
        evaluate(stage);
        if (is_outside(stage)) { /* there the bound is not one of everybody */
            search->has_left = ++stage->turned_back > TURNS_BACK_MAX;
            if (search->has_left) {
                break;
            }
            turn_back(stage);
            continue;
        }
        if (stage->bound < search->bound) {
            keep_best(stage);
        }
        if (is_settled(stage)) {
            break;
        }
        if (pass % WINDOW_PASSES == 0) {
            /* Before the scale is found the bound may stand still. */
            bool is_stuck = window_bound - search->bound <= search->tolerance * fabs(search->bound);
            if (is_stuck && pass >= stage->passes_min) {
                break;
            }
            window_bound = search->bound;
        }
        step_all(stage);
    }
    return CVM_OK;
}

/* Where many values are equal, all their customers prefer the same treatment, and no single price
 * can rise alone. A blur as wide as the values spreads them; prices follow while it narrows. The
 * bound of a blurred problem is not that of the problem, so descend() has to come after. */
static enum cvm_status follow_blur(struct stage *stage, struct cvm_error *err)
{
    struct cvm_search *search = stage->search;
    struct cvm_tariff *tariff = &search->solve->tariff;
    const struct cvm_problem *problem = search->solve->problem;
    int passes = search->is_near ? BLUR_PASSES_NEAR : BLUR_PASSES;
    double widest = search->is_near ? BLUR_WIDEST_NEAR : BLUR_WIDEST;
    enum cvm_status status = CVM_OK;
    for (double width = widest; status == CVM_OK && width > BLUR_NARROWEST; width *= 0.5) {
        for (size_t t = 0; t < problem->treatment_count; t++) {
            tariff->blur[t] = width * stage->worths[t];
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
    memset(tariff->blur, 0, sizeof(tariff->blur));
    for (size_t r = 0; r < problem->row_count; r++) {
        stage->steps[r] = BLUR_NARROWEST * stage->scales[r];
        stage->has_turned[r] = true;
    }
    return status;
}

static enum cvm_status keep_middle(struct stage *stage, struct cvm_error *err)
{
    struct cvm_search *search = stage->search;
    struct cvm_tariff *tariff = &search->solve->tariff;
    size_t count = search->solve->problem->treatment_count * tariff->class_count;
    stage->flats = CVM_NEW_ARRAY(search->solve->arena, count + 1, double);
    if (stage->flats == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu prices", count);
    }
    cvm_tariff_set(tariff, search->prices);
    memcpy(stage->flats, tariff->flat, count * sizeof(*stage->flats));
    memcpy(stage->rates, tariff->rate, sizeof(stage->rates));
    return CVM_OK;
}

static void stage_init(struct stage *stage, struct cvm_search *search)
{
    memset(stage, 0, sizeof(*stage));
    stage->search = search;
    memcpy(stage->prices, search->prices, sizeof(stage->prices));
    set_scales(stage);
    stage->passes_min = (search->is_near ? 2 : 3) * WINDOW_PASSES;
    for (size_t r = 0; r < search->solve->problem->row_count; r++) {
        double price = search->prices[r];
        stage->has_turned[r] = search->is_near;
        stage->steps[r] = search->is_near
                              ? STEP_NEAR_SHARE * (price > 0.0 ? price : stage->scales[r])
                              : STEP_FIRST_SHARE * stage->scales[r];
    }
}

/* Steps that cross the region in some passes, whatever treatment they move most. */
static void set_region_steps(struct stage *stage)
{
    const struct cvm_search *search = stage->search;
    const struct cvm_problem *problem = search->solve->problem;
    const struct cvm_tariff *tariff = &search->solve->tariff;
    struct column_means means;
    find_means(search->table, &means);
    for (size_t r = 0; r < problem->row_count; r++) {
        double step = HUGE_VAL;
        for (size_t place = 0; place < tariff->count; place++) {
            size_t t = tariff->treatments[place];
            double use = typical_use(&problem->rows[r], t, means.amount);
            for (size_t c = 0; use > 0.0 && c < tariff->class_count; c++) {
                double price =
                    stage->flats[t * tariff->class_count + c] + stage->rates[t] * means.amount;
                double width = search->region->shares[t] * fabs(price) + search->region->slacks[t];
                step = fmin(step, STEP_REGION * width / use);
            }
        }
        stage->steps[r] = step < HUGE_VAL ? step : stage->steps[r];
    }
}

enum cvm_status cvm_search_run(struct cvm_search *search, struct cvm_error *err)
{
    struct stage stage;
    search->solve->is_rough = search->is_rough;
    stage_init(&stage, search);
    enum cvm_status status = CVM_OK;
    if (search->region != NULL) {
        status = keep_middle(&stage, err);
        if (status == CVM_OK) {
            set_region_steps(&stage);
        }
    }
    if (status == CVM_OK && search->is_blurred) {
        status = follow_blur(&stage, err);
    }
    status = status == CVM_OK ? descend(&stage, err) : status;
    search->solve->is_rough = false;
    if (status == CVM_OK) {
        cvm_tariff_set(&search->solve->tariff, search->prices);
    }
    return status;
}
