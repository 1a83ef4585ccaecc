#include "allocation/moves.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define ROUNDS_MAX        64
#define PAIR_ROUNDS_MAX   12
#define MOVES_OF_UNIT_MAX 4
#define INS_MAX           96 /* of moves that do not fit alone, per treatment given */
#define OUTS_MAX          48 /* of moves that make room, per row */

void cvm_touches_init(const struct cvm_problem *problem, struct cvm_touches *touches)
{
    memset(touches, 0, sizeof(*touches));
    for (size_t t = 0; t < problem->treatment_count; t++) {
        for (size_t r = 0; r < problem->row_count; r++) {
            if (cvm_row_touches(&problem->rows[r], t)) {
                touches->rows[t][touches->counts[t]++] = (unsigned char)r;
            }
        }
    }
}

/* ---- the plan of one customer ---- */

uint64_t cvm_plan_set(const struct cvm_problem *problem, const unsigned char *treatments,
                      size_t customer)
{
    size_t per_customer = cvm_problem_per_customer(problem);
    uint64_t set = 0;
    for (size_t k = 0; k < per_customer; k++) {
        unsigned char t = treatments[customer * per_customer + k];
        set |= t != CVM_NOTHING ? UINT64_C(1) << t : 0;
    }
    return set;
}

void cvm_plan_set_to(const struct cvm_problem *problem, unsigned char *treatments, size_t customer,
                     uint64_t set)
{
    size_t per_customer = cvm_problem_per_customer(problem);
    for (size_t k = 0; k < per_customer; k++) {
        unsigned char first = set != 0 ? (unsigned char)__builtin_ctzll(set) : CVM_NOTHING;
        treatments[customer * per_customer + k] = first;
        set = set != 0 ? set & (set - 1) : 0;
    }
}

static uint64_t bit_of(unsigned char treatment)
{
    return treatment != CVM_NOTHING ? UINT64_C(1) << treatment : 0;
}

/* ---- what a move changes ---- */

static void add_pair(const struct cvm_moves *moves, size_t customer, unsigned char treatment,
                     int sign, struct cvm_change *change)
{
    const struct cvm_problem *problem = moves->solve->problem;
    if (treatment == CVM_NOTHING) {
        return;
    }
    size_t before = change->count;
    size_t customer_class = cvm_problem_class(problem, customer);
    double amount = cvm_problem_amount(problem, customer);
    for (size_t k = 0; k < moves->touches.counts[treatment]; k++) {
        unsigned char r = moves->touches.rows[treatment][k];
        int64_t use = sign * cvm_row_use(&problem->rows[r], customer_class, treatment, amount);
        size_t at = 0;
        while (at < before && change->rows[at] != r) {
            at++;
        }
        if (at < before) {
            change->deltas[at] += use;
        } else {
            change->rows[change->count] = r;
            change->deltas[change->count++] = use;
        }
    }
}

static void change_of(const struct cvm_moves *moves, const struct cvm_move *move,
                      struct cvm_change *change)
{
    change->count = 0;
    add_pair(moves, move->out_customer, move->out, -1, change);
    add_pair(moves, move->in_customer, move->in, 1, change);
}

static bool matters(const struct cvm_moves *moves, enum cvm_moves_goal goal, size_t row)
{
    return goal != CVM_MOVES_HARD || !cvm_row_is_minimum(&moves->solve->problem->rows[row]);
}

static bool is_over(const struct cvm_moves *moves, size_t row)
{
    return moves->used[row] > moves->solve->problem->rows[row].limit;
}

/* The first row that would end over its limit, and more so than now; ROWS_MAX: the change fits. */
static size_t blocked_row(const struct cvm_moves *moves, enum cvm_moves_goal goal,
                          const struct cvm_change *change)
{
    for (size_t k = 0; k < change->count; k++) {
        size_t r = change->rows[k];
        if (change->deltas[k] > 0 &&
            moves->used[r] + change->deltas[k] > moves->solve->problem->rows[r].limit &&
            matters(moves, goal, r)) {
            return r;
        }
    }
    return CVM_PROBLEM_ROWS_MAX;
}

static bool fits(const struct cvm_moves *moves, enum cvm_moves_goal goal,
                 const struct cvm_change *change)
{
    return blocked_row(moves, goal, change) == CVM_PROBLEM_ROWS_MAX;
}

static bool relieves(const struct cvm_moves *moves, enum cvm_moves_goal goal,
                     const struct cvm_change *change)
{
    for (size_t k = 0; k < change->count; k++) {
        size_t r = change->rows[k];
        if (change->deltas[k] < 0 && is_over(moves, r) && matters(moves, goal, r)) {
            return true;
        }
    }
    return false;
}

bool cvm_moves_keep_limits(const struct cvm_moves *moves, enum cvm_moves_goal goal)
{
    for (size_t r = 0; r < moves->solve->problem->row_count; r++) {
        if (is_over(moves, r) && matters(moves, goal, r)) {
            return false;
        }
    }
    return true;
}

/* ---- one move ---- */

static double value_of(const struct cvm_moves *moves, size_t customer, unsigned char treatment)
{
    return treatment == CVM_NOTHING ? 0.0
                                    : cvm_problem_exact(moves->solve->problem, customer, treatment);
}

static double score_of(const struct cvm_moves *moves, size_t customer, unsigned char treatment)
{
    if (treatment == CVM_NOTHING) {
        return 0.0;
    }
    const struct cvm_problem *problem = moves->solve->problem;
    return value_of(moves, customer, treatment) -
           cvm_tariff_price(&moves->solve->tariff, cvm_problem_class(problem, customer), treatment,
                            cvm_problem_amount(problem, customer));
}

static double gain_of(const struct cvm_moves *moves, const struct cvm_move *move)
{
    return value_of(moves, move->in_customer, move->in) -
           value_of(moves, move->out_customer, move->out);
}

static void set_regret(const struct cvm_moves *moves, struct cvm_move *move)
{
    const uint64_t *keys = moves->solve->problem->keys;
    move->regret = score_of(moves, move->out_customer, move->out) -
                   score_of(moves, move->in_customer, move->in);
    /* Equals: the lowest hash comes in first, the highest goes out first. */
    move->tie = move->in == CVM_NOTHING ? ~cvm_hash_mix(keys[move->out_customer], move->out)
                                        : cvm_hash_mix(keys[move->in_customer], move->in);
}

static int compare_moves(const void *a, const void *b)
{
    const struct cvm_move *left = a;
    const struct cvm_move *right = b;
    if (left->regret != right->regret) {
        return left->regret < right->regret ? -1 : 1;
    }
    if (left->tie != right->tie) {
        return left->tie < right->tie ? -1 : 1;
    }
    if (left->in_customer != right->in_customer) {
        return left->in_customer < right->in_customer ? -1 : 1;
    }
    return (int)left->out * 256 + (int)left->in - ((int)right->out * 256 + (int)right->in);
}

static void apply_sets(struct cvm_moves *moves, const struct cvm_move *move, int sign)
{
    const struct cvm_problem *problem = moves->solve->problem;
    uint64_t out = bit_of(sign > 0 ? move->out : move->in);
    uint64_t in = bit_of(sign > 0 ? move->in : move->out);
    size_t out_customer = sign > 0 ? move->out_customer : move->in_customer;
    size_t in_customer = sign > 0 ? move->in_customer : move->out_customer;
    uint64_t set = cvm_plan_set(problem, moves->treatments, out_customer) & ~out;
    cvm_plan_set_to(problem, moves->treatments, out_customer, set);
    set = cvm_plan_set(problem, moves->treatments, in_customer) | in;
    cvm_plan_set_to(problem, moves->treatments, in_customer, set);
}

static void apply(struct cvm_moves *moves, const struct cvm_move *move,
                  const struct cvm_change *change, int sign)
{
    if (moves->is_simple) {
        moves->treatments[move->in_customer] = sign > 0 ? move->in : move->out;
    } else {
        apply_sets(moves, move, sign);
    }
    for (size_t k = 0; k < change->count; k++) {
        moves->used[change->rows[k]] += sign * change->deltas[k];
    }
    moves->regret += sign * move->regret;
}

/* Bound minus value: regret, and what is left of priced rows. */
bool cvm_moves_are_near(const struct cvm_moves *moves, double times)
{
    double gap = moves->regret;
    for (size_t r = 0; r < moves->solve->problem->row_count; r++) {
        const struct cvm_row *row = &moves->solve->problem->rows[r];
        gap += moves->prices[r] * cvm_row_natural(row, row->limit - moves->used[r]);
    }
    return gap <= times * moves->tolerance;
}

/* ---- units ---- */

struct unit {
    size_t first, size;
    size_t max;
    const struct cvm_units *units; /* NULL: the customer `first` */
    size_t counting;               /* customers with a treatment that counts */
};

static uint64_t counting_treatments(const struct cvm_problem *problem)
{
    return problem->groups != NULL ? problem->group_treatments : 0;
}

static size_t member(const struct unit *unit, size_t j)
{
    return unit->units != NULL ? cvm_units_member(unit->units, unit->first + j) : unit->first;
}

static struct unit find_unit(const struct cvm_moves *moves, size_t number)
{
    const struct cvm_problem *problem = moves->solve->problem;
    const struct cvm_units *units = moves->solve->everybody.units;
    if (units == NULL) {
        return (struct unit){.first = number, .size = 1, .max = 1};
    }
    struct unit unit = {
        .first = units->first[number],
        .size = units->first[number + 1] - units->first[number],
        .max = units->max[number],
        .units = units,
    };
    uint64_t counting = counting_treatments(problem);
    for (size_t j = 0; j < unit.size; j++) {
        unit.counting +=
            (cvm_plan_set(problem, moves->treatments, member(&unit, j)) & counting) != 0;
    }
    return unit;
}

/* Is the plan such that the move can be made, and may be when it is made? */
static bool is_legal(const struct cvm_moves *moves, const struct unit *unit,
                     const struct cvm_move *move)
{
    const struct cvm_problem *problem = moves->solve->problem;
    if (moves->is_simple) { /* then it takes what there is, or gives to who has nothing */
        return moves->treatments[move->in_customer] == move->out;
    }
    uint64_t counting = counting_treatments(problem);
    uint64_t out_set = cvm_plan_set(problem, moves->treatments, move->out_customer);
    uint64_t in_set = cvm_plan_set(problem, moves->treatments, move->in_customer);
    if ((out_set & bit_of(move->out)) != bit_of(move->out) || (in_set & bit_of(move->in)) != 0) {
        return false;
    }
    uint64_t out_after = out_set & ~bit_of(move->out);
    uint64_t in_after =
        (move->out_customer == move->in_customer ? out_after : in_set) | bit_of(move->in);
    if (move->in != CVM_NOTHING && !cvm_set_is_allowed(problem, in_after)) {
        return false;
    }
    size_t count = unit->counting;
    if (move->out_customer != move->in_customer) {
        count -= (out_set & counting) != 0 && (out_after & counting) == 0;
    }
    uint64_t before = move->out_customer == move->in_customer ? out_set : in_set;
    count += (in_after & counting) != 0;
    count -= (before & counting) != 0;
    return count <= unit->max || (bit_of(move->in) & counting) == 0;
}

typedef void (*offer_fn)(void *state, const struct cvm_moves *moves, const struct unit *unit,
                         struct cvm_move *move);

/* Every way to give one customer of the unit one more treatment. */
static void offer_ins(const struct cvm_moves *moves, const struct unit *unit, struct cvm_move move,
                      offer_fn offer, void *state)
{
    const struct cvm_problem *problem = moves->solve->problem;
    move.out_customer = move.in_customer;
    if (moves->is_simple) {
        move.out = moves->treatments[move.in_customer];
        offer(state, moves, unit, &move);
        return;
    }
    uint64_t own = cvm_plan_set(problem, moves->treatments, move.in_customer);
    move.out = CVM_NOTHING;
    if (is_legal(moves, unit, &move)) {
        offer(state, moves, unit, &move);
    }
    for (uint64_t set = own; set != 0; set &= set - 1) {
        move.out = (unsigned char)__builtin_ctzll(set);
        if (is_legal(moves, unit, &move)) {
            offer(state, moves, unit, &move);
        }
    }
    bool is_full = unit->counting >= unit->max;
    for (size_t j = 0; is_full && unit->size > 1 && j < unit->size; j++) {
        move.out_customer = (uint32_t)member(unit, j);
        uint64_t set = cvm_plan_set(problem, moves->treatments, move.out_customer) &
                       counting_treatments(problem);
        if (move.out_customer != move.in_customer && set != 0 && (set & (set - 1)) == 0) {
            move.out = (unsigned char)__builtin_ctzll(set);
            if (is_legal(moves, unit, &move)) {
                offer(state, moves, unit, &move);
            }
        }
    }
}

static void offer_all(const struct cvm_moves *moves, size_t number, offer_fn offer, void *state)
{
    const struct cvm_problem *problem = moves->solve->problem;
    const struct cvm_tariff *tariff = &moves->solve->tariff;
    struct unit unit = find_unit(moves, number);
    for (size_t j = 0; j < unit.size; j++) {
        uint32_t customer = (uint32_t)member(&unit, j);
        size_t customer_class = cvm_problem_class(problem, customer);
        uint64_t own = cvm_plan_set(problem, moves->treatments, customer);
        for (size_t place = 0; place < tariff->count; place++) {
            unsigned char t = tariff->treatments[place];
            bool is_open =
                cvm_problem_value(problem, customer, t) > CVM_PROBLEM_VALUE_MIN &&
                (own >> t & 1) == 0 &&
                tariff->flat[t * tariff->class_count + customer_class] < CVM_TARIFF_FORBIDDEN;
            struct cvm_move move = {.unit = (uint32_t)number, .in_customer = customer, .in = t};
            if (is_open) {
                offer_ins(moves, &unit, move, offer, state);
            }
        }
        for (uint64_t set = own; set != 0; set &= set - 1) {
            struct cvm_move move = {
                .unit = (uint32_t)number,
                .out_customer = customer,
                .in_customer = customer,
                .out = (unsigned char)__builtin_ctzll(set),
                .in = CVM_NOTHING,
            };
            offer(state, moves, &unit, &move);
        }
    }
}

/* ---- single moves ---- */

struct listing {
    enum cvm_moves_goal goal;
    struct cvm_move best[MOVES_OF_UNIT_MAX];
    size_t count;
};

static bool is_wanted(const struct cvm_moves *moves, enum cvm_moves_goal goal,
                      const struct cvm_move *move, struct cvm_change *change)
{
    if (goal == CVM_MOVES_VALUE && !(gain_of(moves, move) > 0.0)) {
        return false;
    }
    change_of(moves, move, change);
    return fits(moves, goal, change) && (goal == CVM_MOVES_VALUE || relieves(moves, goal, change));
}

static void keep_best(struct cvm_move *list, size_t *count, size_t room,
                      const struct cvm_move *move)
{
    size_t at = *count < room ? (*count)++ : room - 1;
    for (; at > 0 && compare_moves(move, &list[at - 1]) < 0; at--) {
        list[at] = list[at - 1];
    }
    list[at] = *move;
}

static void list_single(void *state, const struct cvm_moves *moves, const struct unit *unit,
                        struct cvm_move *move)
{
    struct listing *listing = state;
    struct cvm_change change;
    (void)unit;
    set_regret(moves, move);
    bool is_full = listing->count == MOVES_OF_UNIT_MAX;
    if ((!is_full || compare_moves(move, &listing->best[listing->count - 1]) < 0) &&
        is_wanted(moves, listing->goal, move, &change)) {
        keep_best(listing->best, &listing->count, MOVES_OF_UNIT_MAX, move);
    }
}

static enum cvm_status reserve_list(struct cvm_moves *moves, struct cvm_error *err)
{
    size_t room = moves->unit_count * MOVES_OF_UNIT_MAX + 1;
    if (moves->list_room < room) {
        moves->list = cvm_arena_alloc_raw(moves->solve->arena, room, sizeof(*moves->list));
        moves->list_room = moves->list != NULL ? room : 0;
    }
    return moves->list != NULL ? CVM_OK
                               : CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu moves", room);
}

static size_t list_singles(struct cvm_moves *moves, enum cvm_moves_goal goal)
{
    size_t count = 0;
    for (size_t u = 0; u < moves->unit_count; u++) {
        struct listing listing = {.goal = goal};
        offer_all(moves, moves->units[u], list_single, &listing);
        memcpy(moves->list + count, listing.best, listing.count * sizeof(*moves->list));
        count += listing.count;
    }
    qsort(moves->list, count, sizeof(*moves->list), compare_moves);
    return count;
}

static size_t sweep(struct cvm_moves *moves, enum cvm_moves_goal goal)
{
    size_t count = list_singles(moves, goal);
    size_t applied = 0;
    for (size_t i = 0; i < count; i++) {
        struct unit unit = find_unit(moves, moves->list[i].unit);
        struct cvm_change change;
        if (is_legal(moves, &unit, &moves->list[i]) &&
            is_wanted(moves, goal, &moves->list[i], &change)) {
            apply(moves, &moves->list[i], &change, 1);
            applied++;
        }
    }
    return applied;
}

/* ---- pairs: one that does not fit alone, and one that makes room for it ---- */

struct short_list {
    struct cvm_move moves[INS_MAX];
    size_t count;
};
struct room_list {
    struct cvm_move moves[OUTS_MAX];
    size_t count;
};
struct pairs {
    enum cvm_moves_goal goal;
    struct short_list ins[CVM_PROBLEM_TREATMENTS_MAX + 1]; /* by what is given; last: nothing */
    struct room_list outs[CVM_PROBLEM_ROWS_MAX];           /* by the row that gets room */
};

static void list_pair(void *state, const struct cvm_moves *moves, const struct unit *unit,
                      struct cvm_move *move)
{
    struct pairs *pairs = state;
    struct cvm_change change;
    (void)unit;
    set_regret(moves, move);
    change_of(moves, move, &change);
    size_t slot = move->in == CVM_NOTHING ? CVM_PROBLEM_TREATMENTS_MAX : move->in;
    struct short_list *ins = &pairs->ins[slot];
    bool is_short = ins->count < INS_MAX || compare_moves(move, &ins->moves[INS_MAX - 1]) < 0;
    bool is_in = pairs->goal == CVM_MOVES_VALUE ? gain_of(moves, move) > 0.0
                                                : relieves(moves, pairs->goal, &change);
    if (is_in && is_short && !fits(moves, pairs->goal, &change)) {
        keep_best(ins->moves, &ins->count, INS_MAX, move);
    }
    for (size_t k = 0; k < change.count; k++) {
        struct room_list *outs = &pairs->outs[change.rows[k]];
        if (change.deltas[k] < 0 &&
            (outs->count < OUTS_MAX || compare_moves(move, &outs->moves[OUTS_MAX - 1]) < 0)) {
            keep_best(outs->moves, &outs->count, OUTS_MAX, move);
        }
    }
}

/* After both moves no row that matters is over its limit and worse than before. */
static bool is_no_worse(const struct cvm_moves *moves, enum cvm_moves_goal goal,
                        const int64_t *before)
{
    for (size_t r = 0; r < moves->solve->problem->row_count; r++) {
        if (is_over(moves, r) && moves->used[r] > before[r] && matters(moves, goal, r)) {
            return false;
        }
    }
    return true;
}

/* Some row that was over its limit is nearer to it. */
static bool is_nearer(const struct cvm_moves *moves, enum cvm_moves_goal goal,
                      const int64_t *before)
{
    for (size_t r = 0; r < moves->solve->problem->row_count; r++) {
        if (before[r] > moves->solve->problem->rows[r].limit && moves->used[r] < before[r] &&
            matters(moves, goal, r)) {
            return true;
        }
    }
    return false;
}

/* With `in` made: the move that goes best with it. */
static const struct cvm_move *find_partner(struct cvm_moves *moves, const struct pairs *pairs,
                                           const struct cvm_move *in, size_t row,
                                           const int64_t *before)
{
    const struct room_list *outs = &pairs->outs[row];
    const struct cvm_move *best = NULL;
    bool is_for_value = pairs->goal == CVM_MOVES_VALUE;
    double best_gain = is_for_value ? 0.0 : -INFINITY;
    double in_gain = gain_of(moves, in);
    for (size_t k = 0; k < outs->count; k++) {
        const struct cvm_move *out = &outs->moves[k];
        double gain = is_for_value ? in_gain + gain_of(moves, out) : -out->regret;
        if (!(gain > best_gain)) {
            continue;
        }
        struct unit unit = find_unit(moves, out->unit);
        struct cvm_change change;
        if (!is_legal(moves, &unit, out)) {
            continue;
        }
        change_of(moves, out, &change);
        apply(moves, out, &change, 1);
        bool is_good = is_no_worse(moves, pairs->goal, before) &&
                       (is_for_value || is_nearer(moves, pairs->goal, before));
        apply(moves, out, &change, -1);
        if (is_good) {
            best_gain = gain;
            best = out;
        }
    }
    return best;
}

static bool make_pair(struct cvm_moves *moves, const struct pairs *pairs, const struct cvm_move *in)
{
    struct unit unit = find_unit(moves, in->unit);
    struct cvm_change change;
    int64_t before[CVM_PROBLEM_ROWS_MAX];
    change_of(moves, in, &change);
    size_t row = blocked_row(moves, pairs->goal, &change);
    if (!is_legal(moves, &unit, in) || row == CVM_PROBLEM_ROWS_MAX ||
        (pairs->goal != CVM_MOVES_VALUE && !relieves(moves, pairs->goal, &change))) {
        return false;
    }
    memcpy(before, moves->used, sizeof(before));
    apply(moves, in, &change, 1);
    const struct cvm_move *out = find_partner(moves, pairs, in, row, before);
    if (out == NULL) {
        apply(moves, in, &change, -1);
        return false;
    }
    change_of(moves, out, &change);
    apply(moves, out, &change, 1);
    return true;
}

static enum cvm_status make_pairs(struct cvm_moves *moves, enum cvm_moves_goal goal,
                                  size_t *out_count, struct cvm_error *err)
{
    struct pairs *pairs = CVM_NEW(moves->solve->arena, struct pairs);
    if (pairs == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for pairs of moves");
    }
    pairs->goal = goal;
    for (size_t u = 0; u < moves->unit_count; u++) {
        offer_all(moves, moves->units[u], list_pair, pairs);
    }
    *out_count = 0;
    for (size_t t = 0; t <= CVM_PROBLEM_TREATMENTS_MAX; t++) {
        for (size_t k = 0; k < pairs->ins[t].count; k++) {
            *out_count += make_pair(moves, pairs, &pairs->ins[t].moves[k]);
        }
    }
    return CVM_OK;
}

/* ---- both ---- */

static bool is_reached(const struct cvm_moves *moves, enum cvm_moves_goal goal)
{
    return goal == CVM_MOVES_VALUE ? cvm_moves_are_near(moves, 1.0)
                                   : cvm_moves_keep_limits(moves, goal);
}

enum cvm_status cvm_moves_make(struct cvm_moves *moves, enum cvm_moves_goal goal,
                               struct cvm_error *err)
{
    enum cvm_status status = reserve_list(moves, err);
    for (int round = 0; status == CVM_OK && round < PAIR_ROUNDS_MAX; round++) {
        size_t count = 1;
        for (int i = 0; count > 0 && !is_reached(moves, goal) && i < ROUNDS_MAX; i++) {
            count = sweep(moves, goal);
        }
        if (is_reached(moves, goal)) {
            break;
        }
        status = make_pairs(moves, goal, &count, err);
        if (count == 0) {
            break;
        }
    }
    return status;
}

void cvm_moves_clear(struct cvm_moves *moves)
{
    const struct cvm_problem *problem = moves->solve->problem;
    memset(moves->treatments, CVM_NOTHING,
           problem->customer_count * cvm_problem_per_customer(problem));
    memset(moves->used, 0, sizeof(moves->used));
    moves->regret = HUGE_VAL; /* not known, and never small enough */
}

/* ---- looking only ---- */

struct look {
    cvm_move_fn look;
    void *state;
};

static void look_at(void *state, const struct cvm_moves *moves, const struct unit *unit,
                    struct cvm_move *move)
{
    const struct look *look = state;
    struct cvm_change change;
    (void)unit;
    set_regret(moves, move);
    change_of(moves, move, &change);
    look->look(look->state, moves, move, &change);
}

void cvm_moves_each(const struct cvm_moves *moves, cvm_move_fn look, void *state)
{
    struct look looking = {look, state};
    for (size_t u = 0; u < moves->unit_count; u++) {
        offer_all(moves, moves->units[u], look_at, &looking);
    }
}

void cvm_moves_apply(struct cvm_moves *moves, const struct cvm_move *move, int sign)
{
    struct cvm_change change;
    change_of(moves, move, &change);
    apply(moves, move, &change, sign);
}
