/* Every row presses on the plan as far as it is over its limit. The move that gives way most is
 * made; where none does, the rows that are over press harder, so that the plan leaves every place
 * in which it is stuck. Limits may be broken on the way: only what keeps them is kept. */
#include "allocation/press.h"

#include <math.h>

#include "base/hash.h"

#define WINDOW       ((size_t)48) /* units looked at per step */
#define STEPS_MAX    30000
#define IDLE_MAX     1500 /* steps after the best plan so far */
#define RESTS_MAX    8    /* units that may have to rest after a move */
#define KICK_STEPS   64   /* idle steps until pressures are drawn anew */
#define KICK_LEVELS  16
#define LEAST_RELIEF 1e-9

struct press {
    struct cvm_moves *moves;
    double pressures[CVM_PROBLEM_ROWS_MAX]; /* per unit of use above the limit */
    double weights[CVM_PROBLEM_ROWS_MAX];   /* how much harder than at first */
    double sizes[CVM_PROBLEM_ROWS_MAX];     /* what all moves change of the row, and how many do */
    double counts[CVM_PROBLEM_ROWS_MAX];
    size_t number; /* of the step */
    /* The best move of the window. */
    bool is_found;
    double best; /* the pressure that it adds: below 0 */
    uint64_t tie;
    struct cvm_move move;
    double shortfall; /* of the best plan so far, and the moves made since */
    struct cvm_move since[IDLE_MAX];
    size_t since_count;
    size_t idle; /* steps since */
    uint32_t rests[RESTS_MAX];
    size_t moves_made;
};

double cvm_press_shortfall(const struct cvm_moves *moves)
{
    double sum = 0.0;
    for (size_t r = 0; r < moves->solve->problem->row_count; r++) {
        const struct cvm_row *row = &moves->solve->problem->rows[r];
        int64_t over = moves->used[r] - row->limit;
        sum += over > 0 ? cvm_row_natural(row, over) : 0.0;
    }
    return sum;
}

/* ---- pressures ---- */

static void add_sizes(void *state, const struct cvm_moves *moves, const struct cvm_move *move,
                      const struct cvm_change *change)
{
    struct press *press = state;
    (void)moves;
    (void)move;
    for (size_t k = 0; k < change->count; k++) {
        press->sizes[change->rows[k]] += fabs((double)change->deltas[k]);
        press->counts[change->rows[k]] += change->deltas[k] != 0 ? 1.0 : 0.0;
    }
}

static void set_weight(struct press *press, size_t row, double weight)
{
    double size = press->counts[row] > 0.0 ? press->sizes[row] / press->counts[row] : 1.0;
    press->weights[row] = weight;
    press->pressures[row] = weight / size;
}

static void press_harder(struct press *press)
{
    const struct cvm_moves *moves = press->moves;
    for (size_t r = 0; r < moves->solve->problem->row_count; r++) {
        if (moves->used[r] > moves->solve->problem->rows[r].limit) {
            set_weight(press, r, press->weights[r] + 1.0);
        }
    }
}

/* Rows that press against each other in turn would do so for ever. */
static void press_anew(struct press *press)
{
    for (size_t r = 0; r < press->moves->solve->problem->row_count; r++) {
        set_weight(press, r, 1.0 + (double)(cvm_hash_mix(press->number, r) % KICK_LEVELS));
    }
}

/* ---- moves ---- */

/* Who was moved just now is left alone, or the same moves would be made and unmade for ever. */
static bool must_rest(const struct press *press, uint32_t unit)
{
    for (size_t k = 1; k <= press->moves_made % RESTS_MAX; k++) {
        if (press->rests[(press->moves_made - k) % RESTS_MAX] == unit) {
            return true;
        }
    }
    return false;
}

static void weigh_move(void *state, const struct cvm_moves *moves, const struct cvm_move *move,
                       const struct cvm_change *change)
{
    struct press *press = state;
    double sum = 0.0;
    for (size_t k = 0; k < change->count; k++) {
        size_t r = change->rows[k];
        int64_t over = moves->used[r] - moves->solve->problem->rows[r].limit;
        int64_t after = over + change->deltas[k];
        sum +=
            press->pressures[r] * ((double)(after > 0 ? after : 0) - (double)(over > 0 ? over : 0));
    }
    uint64_t tie = cvm_hash_mix(move->tie, press->number);
    bool is_better =
        !press->is_found || sum < press->best || (sum == press->best && tie < press->tie);
    if (sum < -LEAST_RELIEF && is_better && !must_rest(press, move->unit)) {
        press->is_found = true;
        press->best = sum;
        press->tie = tie;
        press->move = *move;
    }
}

/* One window after the other, round and round. */
static void find_move(struct press *press)
{
    struct cvm_moves *moves = press->moves;
    const uint32_t *units = moves->units;
    size_t count = moves->unit_count;
    size_t first = press->number % ((count + WINDOW - 1) / WINDOW) * WINDOW;
    press->is_found = false;
    moves->units = units + first;
    moves->unit_count = WINDOW < count - first ? WINDOW : count - first;
    cvm_moves_each(moves, weigh_move, press);
    moves->units = units;
    moves->unit_count = count;
}

/* ---- the walk ---- */

static void step(struct press *press)
{
    struct cvm_moves *moves = press->moves;
    press->idle++;
    if (press->idle % KICK_STEPS == 0) {
        press_anew(press);
    }
    find_move(press);
    if (!press->is_found) {
        press_harder(press);
        return;
    }
    cvm_moves_apply(moves, &press->move, 1);
    press->rests[press->moves_made++ % RESTS_MAX] = press->move.unit;
    press->since[press->since_count++] = press->move;
    double shortfall = cvm_press_shortfall(moves);
    if (shortfall < press->shortfall && cvm_moves_keep_limits(moves, CVM_MOVES_HARD)) {
        press->shortfall = shortfall;
        press->since_count = 0;
        press->idle = 0;
    }
}

enum cvm_status cvm_press_run(struct cvm_moves *moves, struct cvm_error *err)
{
    const struct cvm_solve *solve = moves->solve;
    enum cvm_status status = CVM_OK;
    struct press *press = CVM_NEW(solve->arena, struct press);
    if (press == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to look for a plan that keeps every row");
    }
    press->moves = moves;
    press->shortfall = cvm_press_shortfall(moves);
    cvm_moves_each(moves, add_sizes, press);
    for (size_t r = 0; r < solve->problem->row_count; r++) {
        set_weight(press, r, 1.0);
    }
    bool is_open = moves->unit_count > 0;
    while (status == CVM_OK && is_open && press->shortfall > 0.0) {
        step(press);
        is_open = press->idle < IDLE_MAX && ++press->number < STEPS_MAX;
        if (solve->context != NULL && press->number % KICK_STEPS == 0) {
            status = cvm_context_check(solve->context, err);
        }
    }
    while (press->since_count > 0) {
        cvm_moves_apply(moves, &press->since[--press->since_count], -1);
    }
    return status;
}
