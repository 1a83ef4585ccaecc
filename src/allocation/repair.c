#include "allocation/repair.h"

#include <math.h>
#include <string.h>

#include "allocation/exact.h"
#include "allocation/moves.h"
#include "allocation/press.h"
#include "allocation/verify.h"

/* Below this everybody may be moved; above, those nearest to indifference, several times as many as
 * the rows need. */
#define LIST_ALL_BELOW  ((size_t)4096)
#define LIST_NEED_SHARE 3.0
#define LIST_NEED_MIN   192.0
#define LIST_WIDER      16.0
/* Nothing is sought that is a smaller share of the bound. */
#define GAP_SMALL 1e-7
/* With so many times that, no list of more than so many is worth its time. */
#define NEAR_ENOUGH    5.0
#define LIST_WORTH_MAX ((size_t)16384)
/* More than this many are never looked at one by one. */
#define LIST_MAX ((size_t)400000)

/* How many customers may have to change this treatment. */
static double need_of(const struct cvm_moves *moves, const double *prices, size_t treatment,
                      double mean_amount)
{
    const struct cvm_problem *problem = moves->solve->problem;
    double need = 0.0;
    for (size_t k = 0; k < moves->touches.counts[treatment]; k++) {
        size_t r = moves->touches.rows[treatment][k];
        const struct cvm_row *row = &problem->rows[r];
        double inside = fabs((double)row->units[treatment]);
        double use =
            cvm_row_is_money(row)
                ? (row->flat[treatment] + row->rate[treatment] * mean_amount) * (double)row->scale
                : fmax(inside, fabs((double)row->outside[treatment]));
        double excess = (double)moves->used[r] - (double)row->limit;
        if (use > 0.0 && (excess > 0.0 || prices[r] > 0.0)) {
            need = fmax(need, fabs(excess) / use);
        }
    }
    return need;
}

static double mean_amount_of(const struct cvm_table *table)
{
    double sum = 0.0;
    for (size_t i = 0; table->amounts != NULL && i < table->count; i++) {
        sum += table->amounts[i];
    }
    return table->count > 0 ? sum / (double)table->count : 0.0;
}

/* ---- who may be moved ---- */

static enum cvm_status list_everybody(struct cvm_moves *moves, struct cvm_error *err)
{
    const struct cvm_table *all = &moves->solve->everybody;
    size_t count = all->units != NULL ? all->units->count : all->count;
    uint32_t *units = cvm_arena_alloc_raw(moves->solve->arena, count + 1, sizeof(uint32_t));
    if (units == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to repair a plan");
    }
    for (size_t u = 0; u < count; u++) {
        units[u] = (uint32_t)u;
    }
    moves->units = units;
    moves->unit_count = count;
    moves->is_settled = false;
    return CVM_OK;
}

/* The units of everybody that the table's customers belong to: both ascend. */
static enum cvm_status list_table(struct cvm_moves *moves, const struct cvm_table *table,
                                  struct cvm_error *err)
{
    const struct cvm_units *all = moves->solve->everybody.units;
    size_t count = table->units != NULL ? table->units->count : table->count;
    uint32_t *units = cvm_arena_alloc_raw(moves->solve->arena, count + 1, sizeof(uint32_t));
    if (units == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to repair a plan");
    }
    size_t at = 0;
    for (size_t u = 0; u < count; u++) {
        size_t customer =
            table->units != NULL ? cvm_units_member(table->units, table->units->first[u]) : u;
        size_t origin = cvm_table_origin(table, customer);
        if (all == NULL) {
            units[u] = (uint32_t)origin;
            continue;
        }
        while (all->members[all->first[at]] != origin) { /* units stand by their first member */
            at++;
        }
        units[u] = (uint32_t)at;
    }
    moves->units = units;
    moves->unit_count = count;
    moves->is_settled = false;
    return CVM_OK;
}

/* The customers of the table so near to indifference that moves between them cost next to nothing.
 */
static enum cvm_status list_near(struct cvm_moves *moves, const struct cvm_table *table,
                                 const double *prices, double wider, struct cvm_error *err)
{
    struct cvm_solve *solve = moves->solve;
    size_t most = table->count < LIST_MAX ? table->count : LIST_MAX;
    double mean_amount = mean_amount_of(table);
    double ranks[CVM_PROBLEM_TREATMENTS_MAX];
    struct cvm_margins margins;
    struct cvm_choices choices = {0};
    struct cvm_sums sums;
    struct cvm_table *near = NULL;
    memset(&margins, 0, sizeof(margins));
    for (size_t t = 0; t < solve->problem->treatment_count; t++) {
        ranks[t] =
            wider * (LIST_NEED_SHARE * need_of(moves, prices, t, mean_amount) + LIST_NEED_MIN);
    }
    enum cvm_status status = cvm_margins_measure(solve, table, ranks, margins.slacks, err);
    if (table->units != NULL) {
        choices.sets = cvm_arena_alloc_raw(solve->arena, table->count + 1, sizeof(uint64_t));
    } else {
        choices.treatments = cvm_arena_alloc_raw(solve->arena, table->count + 1, 1);
    }
    if (status == CVM_OK && choices.sets == NULL && choices.treatments == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to repair a plan");
    }
    if (status == CVM_OK) {
        struct cvm_narrow_request request = {table, &margins, &choices, most};
        status = cvm_pass_narrow(solve, &request, &sums, &near, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    return list_table(moves, near != NULL ? near : table, err);
}

/* ---- ranges of prices ---- */

struct ranges {
    double low[CVM_PROBLEM_ROWS_MAX];
    double high[CVM_PROBLEM_ROWS_MAX];
};

/* The move pays off when the price falls (or rises) by its regret per unit of use. */
static void narrow_ranges(const struct cvm_moves *moves, const struct cvm_move *move,
                          const struct cvm_change *change, const double *prices,
                          struct ranges *ranges)
{
    for (size_t k = 0; k < change->count; k++) {
        size_t r = change->rows[k];
        double use = cvm_row_natural(&moves->solve->problem->rows[r], change->deltas[k]);
        double regret = move->regret > 0.0 ? move->regret : 0.0;
        if (use > 0.0) {
            ranges->low[r] = fmax(ranges->low[r], prices[r] - regret / use);
        } else if (use < 0.0) {
            ranges->high[r] = fmin(ranges->high[r], prices[r] - regret / use);
        }
    }
}

struct range_state {
    const double *prices;
    struct ranges ranges;
};

static void look_at_move(void *state, const struct cvm_moves *moves, const struct cvm_move *move,
                         const struct cvm_change *change)
{
    struct range_state *ranges = state;
    narrow_ranges(moves, move, change, ranges->prices, &ranges->ranges);
}

static void set_ranges(const struct cvm_moves *moves, struct cvm_plan *plan)
{
    size_t row_count = moves->solve->problem->row_count;
    struct range_state state = {.prices = plan->prices};
    for (size_t r = 0; r < row_count; r++) {
        state.ranges.low[r] = 0.0;
        state.ranges.high[r] = HUGE_VAL;
    }
    cvm_moves_each(moves, look_at_move, &state);
    for (size_t r = 0; r < row_count; r++) {
        double high = state.ranges.high[r];
        plan->is_binding[r] = plan->prices[r] > 0.0;
        plan->price_low[r] = plan->is_binding[r] ? fmin(state.ranges.low[r], plan->prices[r]) : 0.0;
        plan->price_high[r] = plan->is_binding[r] && high < HUGE_VAL ? high : plan->prices[r];
    }
}

/* ---- the whole ---- */

/* Wider and wider: from those nearest to indifference to everybody. */
static enum cvm_status list_for(struct cvm_moves *moves, const struct cvm_narrowed *narrowed,
                                size_t attempt, bool *out_is_last, struct cvm_error *err)
{
    const struct cvm_table *all = &moves->solve->everybody;
    const double *prices = narrowed->prices;
    size_t last = narrowed->level_count - 1;
    const struct cvm_table *table = narrowed->levels[attempt < last ? last - attempt : 0];
    bool is_base = table == all;
    *out_is_last = is_base && (attempt > last + 1 || all->count < LIST_ALL_BELOW);
    if (!is_base || *out_is_last) {
        return table->count < LIST_MAX
                   ? is_base ? list_everybody(moves, err) : list_table(moves, table, err)
                   : list_near(moves, table, prices, LIST_WIDER * LIST_WIDER, err);
    }
    return list_near(moves, table, prices, attempt == last ? 1.0 : LIST_WIDER, err);
}

/* A rare treatment may find its last taker only in a wider list; as long as that is short it is
 * looked through. */
static bool is_enough(const struct cvm_moves *moves, const struct cvm_narrowed *narrowed,
                      size_t attempt)
{
    size_t last = narrowed->level_count - 1;
    return attempt >= last || narrowed->levels[last - attempt - 1]->count > LIST_WORTH_MAX ||
           cvm_moves_are_near(moves, NEAR_ENOUGH);
}

static enum cvm_status relieve(struct cvm_moves *moves, const struct cvm_narrowed *narrowed,
                               struct cvm_error *err)
{
    const struct cvm_context *context = moves->solve->context;
    enum cvm_status status = CVM_OK;
    bool is_last = false;
    for (size_t attempt = 0; status == CVM_OK && !is_last; attempt++) {
        if (context != NULL) {
            status = cvm_context_check(context, err);
        }
        if (status == CVM_OK) {
            status = list_for(moves, narrowed, attempt, &is_last, err);
        }
        if (status == CVM_OK) {
            status = cvm_moves_make(moves, CVM_MOVES_LIMITS, err);
        }
        if (status == CVM_OK && cvm_moves_keep_limits(moves, CVM_MOVES_LIMITS)) {
            status = cvm_moves_make(moves, CVM_MOVES_VALUE, err);
            is_last = is_last || is_enough(moves, narrowed, attempt);
        }
    }
    if (status != CVM_OK || cvm_moves_keep_limits(moves, CVM_MOVES_LIMITS)) {
        return status;
    }
    /* What is a limit is kept, whatever becomes of minimums. */
    if (status == CVM_OK && !cvm_moves_keep_limits(moves, CVM_MOVES_HARD)) {
        status = cvm_moves_make(moves, CVM_MOVES_HARD, err);
    }
    if (status == CVM_OK && !cvm_moves_keep_limits(moves, CVM_MOVES_HARD)) {
        cvm_moves_clear(moves);
    }
    return status == CVM_OK ? cvm_moves_make(moves, CVM_MOVES_LIMITS, err) : status;
}

/* Where minimums are missed: once more from nothing, which misses none that is a share. */
static enum cvm_status start_again(struct cvm_moves *moves, struct cvm_error *err)
{
    const struct cvm_problem *problem = moves->solve->problem;
    size_t count = problem->customer_count * cvm_problem_per_customer(problem);
    unsigned char *kept = cvm_arena_alloc_raw(moves->solve->arena, count + 1, 1);
    int64_t used[CVM_PROBLEM_ROWS_MAX];
    double shortfall = cvm_press_shortfall(moves);
    double regret = moves->regret;
    if (kept == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to repair a plan");
    }
    memcpy(kept, moves->treatments, count);
    memcpy(used, moves->used, sizeof(used));
    cvm_moves_clear(moves);
    enum cvm_status status = cvm_moves_make(moves, CVM_MOVES_LIMITS, err);
    if (status == CVM_OK && cvm_press_shortfall(moves) >= shortfall) {
        memcpy(moves->treatments, kept, count);
        memcpy(moves->used, used, sizeof(used));
        moves->regret = regret;
        moves->is_settled = false;
    }
    return status;
}

enum cvm_status cvm_repair_run(struct cvm_solve *solve, const struct cvm_narrowed *narrowed,
                               struct cvm_plan *plan, struct cvm_error *err)
{
    struct cvm_moves *moves = CVM_NEW(solve->arena, struct cvm_moves);
    struct cvm_plan_sums *sums = CVM_NEW(solve->arena, struct cvm_plan_sums);
    if (moves == NULL || sums == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to repair a plan");
    }
    moves->solve = solve;
    moves->is_simple = solve->everybody.units == NULL;
    moves->treatments = plan->treatments;
    moves->prices = narrowed->prices;
    moves->tolerance = GAP_SMALL * fabs(narrowed->bound);
    enum cvm_status status = cvm_moves_init(moves, err);
    if (status == CVM_OK) {
        status =
            cvm_plan_count(solve->problem, plan->treatments, solve->pool, solve->arena, sums, err);
    }
    memcpy(moves->used, sums->used, sizeof(moves->used));
    if (status == CVM_OK) {
        status = relieve(moves, narrowed, err);
    }
    if (status == CVM_OK && !cvm_moves_keep_limits(moves, CVM_MOVES_LIMITS)) {
        status = start_again(moves, err);
    }
    if (status == CVM_OK && !cvm_moves_keep_limits(moves, CVM_MOVES_LIMITS)) {
        status = cvm_press_run(moves, err);
    }
    if (status == CVM_OK) {
        status = cvm_moves_make(moves, CVM_MOVES_VALUE, err);
    }
    if (status == CVM_OK) {
        status = cvm_exact_run(moves, narrowed->prices, err);
    }
    if (status == CVM_OK) {
        set_ranges(moves, plan);
    }
    return status;
}
