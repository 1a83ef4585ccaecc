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
#define PARTNERS_MAX      12 /* of moves that together make room for one */

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

static int64_t use_of(const struct cvm_row *row, const struct cvm_problem *problem, size_t customer,
                      unsigned char treatment)
{
    return cvm_row_use(row, cvm_problem_class(problem, customer), treatment,
                       cvm_problem_amount(problem, customer));
}

static const unsigned char no_rows[] = {CVM_PROBLEM_ROWS_MAX};

/* The rows that a pair is counted in, ascending to ROWS_MAX. */
static const unsigned char *rows_of(const struct cvm_moves *moves, size_t customer,
                                    unsigned char treatment)
{
    const struct cvm_problem *problem = moves->solve->problem;
    size_t customer_class = cvm_problem_class(problem, customer);
    size_t at = customer_class * problem->treatment_count + treatment;
    return treatment != CVM_NOTHING ? moves->class_rows + at * (problem->row_count + 1) : no_rows;
}

static bool counts_class(const struct cvm_row *row, size_t customer_class, size_t treatment)
{
    return cvm_row_is_money(row) || cvm_row_use(row, customer_class, treatment, 0.0) != 0;
}

enum cvm_status cvm_moves_init(struct cvm_moves *moves, struct cvm_error *err)
{
    const struct cvm_problem *problem = moves->solve->problem;
    size_t class_count = problem->class_count > 0 ? problem->class_count : 1;
    size_t lists = class_count * problem->treatment_count;
    cvm_touches_init(problem, &moves->touches);
    unsigned char *rows = cvm_arena_alloc_raw(moves->solve->arena, lists, problem->row_count + 1);
    if (rows == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to repair a plan");
    }
    moves->class_rows = rows;
    for (size_t c = 0; c < class_count; c++) {
        for (size_t t = 0; t < problem->treatment_count; t++) {
            unsigned char *next = rows;
            for (size_t k = 0; k < moves->touches.counts[t]; k++) {
                unsigned char r = moves->touches.rows[t][k];
                if (counts_class(&problem->rows[r], c, t)) {
                    *next++ = r;
                }
            }
            *next = CVM_PROBLEM_ROWS_MAX;
            rows += problem->row_count + 1;
        }
    }
    return CVM_OK;
}

/* Rows ascend, and those whose use stays the same are left out. */
static void change_of(const struct cvm_moves *moves, const struct cvm_move *move,
                      struct cvm_change *change)
{
    const struct cvm_problem *problem = moves->solve->problem;
    const unsigned char *out = rows_of(moves, move->out_customer, move->out);
    const unsigned char *in = rows_of(moves, move->in_customer, move->in);
    change->count = 0;
    while (*out < CVM_PROBLEM_ROWS_MAX || *in < CVM_PROBLEM_ROWS_MAX) {
        unsigned char r = *out < *in ? *out : *in;
        int64_t delta = 0;
        if (*out == r) {
            delta -= use_of(&problem->rows[r], problem, move->out_customer, move->out);
            out++;
        }
        if (*in == r) {
            delta += use_of(&problem->rows[r], problem, move->in_customer, move->in);
            in++;
        }
        if (delta != 0) {
            change->rows[change->count] = r;
            change->deltas[change->count++] = delta;
        }
    }
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
    moves->is_settled = false;
}

/* Bound minus value: regret, and what is left of priced rows. */
static double gap_of(const struct cvm_moves *moves)
{
    double gap = moves->regret;
    for (size_t r = 0; r < moves->solve->problem->row_count; r++) {
        const struct cvm_row *row = &moves->solve->problem->rows[r];
        gap += moves->prices[r] * cvm_row_natural(row, row->limit - moves->used[r]);
    }
    return gap;
}

bool cvm_moves_are_near(const struct cvm_moves *moves, double times)
{
    return gap_of(moves) <= times * moves->tolerance;
}

/* Value is added only by moves of less regret than the gap: what they cost at the prices must be
 * found again in room that is left. Twice that, for what the choices at the prices regret
 * themselves. */
static double worth_of(const struct cvm_moves *moves, enum cvm_moves_goal goal)
{
    return goal == CVM_MOVES_VALUE ? 2.0 * gap_of(moves) : INFINITY;
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

static bool is_legal_now(const struct cvm_moves *moves, const struct cvm_move *move)
{
    if (moves->is_simple) { /* then it takes what there is, or gives to who has nothing */
        return moves->treatments[move->in_customer] == move->out;
    }
    struct unit unit = find_unit(moves, move->unit);
    return is_legal(moves, &unit, move);
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
    double worth;
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
    if (move->regret <= listing->worth &&
        (!is_full || compare_moves(move, &listing->best[listing->count - 1]) < 0) &&
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
    double worth = worth_of(moves, goal);
    size_t count = 0;
    for (size_t u = 0; u < moves->unit_count; u++) {
        struct listing listing = {.goal = goal, .worth = worth};
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
        struct cvm_change change;
        if (is_legal_now(moves, &moves->list[i]) &&
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
    struct cvm_change changes[OUTS_MAX]; /* of the moves, when all are listed */
    size_t count;
};
struct cvm_pairs {
    enum cvm_moves_goal goal;
    double worth;
    size_t partners_max;
    struct short_list ins[CVM_PROBLEM_TREATMENTS_MAX + 1]; /* by what is given; last: nothing */
    struct room_list outs[CVM_PROBLEM_ROWS_MAX];           /* by the row that gets room */
};

static void list_pair(void *state, const struct cvm_moves *moves, const struct unit *unit,
                      struct cvm_move *move)
{
    struct cvm_pairs *pairs = state;
    struct cvm_change change;
    (void)unit;
    set_regret(moves, move);
    if (move->regret > pairs->worth) {
        return;
    }
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

/* A plan in the middle of a pair. */
struct middle {
    enum cvm_moves_goal goal;
    int64_t before[CVM_PROBLEM_ROWS_MAX]; /* use of each row before the pair */
    double gain;                          /* of what is made so far */
    size_t worse_count;
    unsigned char worse_rows[CVM_PROBLEM_ROWS_MAX]; /* over their limits, and were less so before */
};

static bool is_worse(const struct cvm_moves *moves, const struct middle *middle, size_t row,
                     int64_t used)
{
    return used > moves->solve->problem->rows[row].limit && used > middle->before[row] &&
           matters(moves, middle->goal, row);
}

static void find_worse(const struct cvm_moves *moves, struct middle *middle)
{
    middle->worse_count = 0;
    for (size_t r = 0; r < moves->solve->problem->row_count; r++) {
        if (is_worse(moves, middle, r, moves->used[r])) {
            middle->worse_rows[middle->worse_count++] = (unsigned char)r;
        }
    }
}

/* Would the change make no row worse than before, and how many that are worse would it mend? */
static bool mends(const struct cvm_moves *moves, const struct middle *middle,
                  const struct cvm_change *change, size_t *out_mended)
{
    *out_mended = 0;
    for (size_t k = 0; k < change->count; k++) {
        size_t r = change->rows[k];
        int64_t after = moves->used[r] + change->deltas[k];
        bool is_still = is_worse(moves, middle, r, after);
        if (is_still && change->deltas[k] > 0) {
            return false;
        }
        *out_mended += !is_still && is_worse(moves, middle, r, moves->used[r]);
    }
    return true;
}

/* Some row that was over its limit before is nearer to it when the change is made. */
static bool is_nearer(const struct cvm_moves *moves, const struct middle *middle,
                      const struct cvm_change *change)
{
    size_t k = 0;
    for (size_t r = 0; r < moves->solve->problem->row_count; r++) {
        while (k < change->count && change->rows[k] < r) {
            k++;
        }
        bool is_changed = k < change->count && change->rows[k] == r;
        int64_t after = moves->used[r] + (is_changed ? change->deltas[k] : 0);
        if (middle->before[r] > moves->solve->problem->rows[r].limit && after < middle->before[r] &&
            matters(moves, middle->goal, r)) {
            return true;
        }
    }
    return false;
}

static double room_in(const struct cvm_change *change, size_t row)
{
    for (size_t k = 0; k < change->count; k++) {
        if (change->rows[k] == row) {
            return (double)-change->deltas[k];
        }
    }
    return 0.0;
}

/* A move that is made for another one, and what it does. */
struct partner {
    const struct cvm_move *move;
    const struct cvm_change *change;
};

/* Looks for a partner among those that make room in one row. Moves that let everything fit go
 * first, the cheapest of them; without one, for value, the one that costs least for its room. */
struct search {
    struct partner best;
    double least; /* what it costs, or what its room does */
    bool is_whole;
};

static void search_row(const struct cvm_moves *moves, const struct cvm_pairs *pairs,
                       const struct middle *middle, size_t row, struct search *search)
{
    const struct room_list *outs = &pairs->outs[row];
    bool is_for_value = pairs->goal == CVM_MOVES_VALUE;
    double excess = (double)(moves->used[row] - moves->solve->problem->rows[row].limit);
    for (size_t k = 0; k < outs->count; k++) {
        const struct cvm_move *out = &outs->moves[k];
        double cost = is_for_value ? -gain_of(moves, out) : out->regret;
        const struct cvm_change *change = &outs->changes[k];
        size_t mended;
        if (moves->regret + out->regret > pairs->worth) { /* and so do all that follow */
            break;
        }
        if ((search->is_whole && !(cost < search->least)) ||
            (is_for_value && cost >= middle->gain) || !is_legal_now(moves, out)) {
            continue;
        }
        if (!mends(moves, middle, change, &mended)) {
            continue;
        }
        if (mended == middle->worse_count && (is_for_value || is_nearer(moves, middle, change))) {
            search->least = search->is_whole ? search->least : INFINITY;
            search->is_whole = true;
        } else if (search->is_whole) {
            continue;
        } else {
            double room = room_in(change, row);
            cost = room > 0.0 ? out->regret * fmax(1.0, excess / room) : INFINITY;
        }
        if (cost < search->least) {
            search->best = (struct partner){out, change};
            search->least = cost;
        }
    }
}

static bool find_partner(const struct cvm_moves *moves, const struct cvm_pairs *pairs,
                         const struct middle *middle, bool must_be_whole,
                         struct partner *out_partner)
{
    struct search search = {.least = INFINITY, .is_whole = must_be_whole};
    for (size_t k = 0; k < middle->worse_count; k++) {
        search_row(moves, pairs, middle, middle->worse_rows[k], &search);
    }
    *out_partner = search.best;
    return search.best.move != NULL;
}

/* With one move made: others, until everything fits. Without `is_kept` they are only tried. False:
 * there are none, or they are not worth it, and none is made. */
static bool make_room(struct cvm_moves *moves, const struct cvm_pairs *pairs, struct middle *middle,
                      bool is_kept)
{
    struct partner partners[PARTNERS_MAX];
    size_t count = 0;
    find_worse(moves, middle);
    while (middle->worse_count > 0 && count < pairs->partners_max &&
           find_partner(moves, pairs, middle, pairs->partners_max == 1, &partners[count])) {
        middle->gain += gain_of(moves, partners[count].move);
        apply(moves, partners[count].move, partners[count].change, 1);
        count++;
        find_worse(moves, middle);
    }
    bool is_good =
        middle->worse_count == 0 && (pairs->goal != CVM_MOVES_VALUE || middle->gain > 0.0);
    while (!(is_good && is_kept) && count > 0) {
        count--;
        apply(moves, partners[count].move, partners[count].change, -1);
    }
    return is_good;
}

/* *out_gain: the value that the move and its partners add. */
static bool make_pair(struct cvm_moves *moves, const struct cvm_pairs *pairs,
                      const struct cvm_move *in, bool is_kept, double *out_gain)
{
    struct middle middle = {.goal = pairs->goal, .gain = gain_of(moves, in)};
    struct cvm_change change;
    change_of(moves, in, &change);
    if (!is_legal_now(moves, in) || fits(moves, pairs->goal, &change) ||
        (pairs->goal != CVM_MOVES_VALUE && !relieves(moves, pairs->goal, &change))) {
        return false;
    }
    memcpy(middle.before, moves->used, sizeof(middle.before));
    apply(moves, in, &change, 1);
    bool is_good = make_room(moves, pairs, &middle, is_kept);
    if (!(is_good && is_kept)) {
        apply(moves, in, &change, -1);
    }
    *out_gain = middle.gain;
    return is_good;
}

struct offer {
    double gain;
    const struct cvm_move *in;
};

static int compare_offers(const void *a, const void *b)
{
    const struct offer *left = a;
    const struct offer *right = b;
    if (left->gain != right->gain) {
        return left->gain > right->gain ? -1 : 1;
    }
    return compare_moves(left->in, right->in);
}

/* For value the pairs that add most go first: they are tried before any is made. */
static size_t make_listed(struct cvm_moves *moves, struct cvm_pairs *pairs, size_t partners_max)
{
    struct offer offers[(CVM_PROBLEM_TREATMENTS_MAX + 1) * INS_MAX];
    size_t count = 0;
    size_t made = 0;
    pairs->partners_max = partners_max;
    for (size_t t = 0; t <= CVM_PROBLEM_TREATMENTS_MAX; t++) {
        for (size_t k = 0; k < pairs->ins[t].count; k++) {
            struct offer offer = {0.0, &pairs->ins[t].moves[k]};
            if (pairs->goal != CVM_MOVES_VALUE ||
                make_pair(moves, pairs, offer.in, false, &offer.gain)) {
                offers[count++] = offer;
            }
        }
    }
    if (pairs->goal == CVM_MOVES_VALUE) {
        qsort(offers, count, sizeof(*offers), compare_offers);
    }
    for (size_t k = 0; k < count; k++) {
        if (make_pair(moves, pairs, offers[k].in, true, &offers[k].gain)) {
            pairs->worth = worth_of(moves, pairs->goal);
            made++;
        }
    }
    return made;
}

/* The lists are long: made once, and emptied. NULL: no memory. */
static struct cvm_pairs *reserve_pairs(struct cvm_moves *moves)
{
    if (moves->pairs == NULL) {
        moves->pairs = cvm_arena_alloc_raw(moves->solve->arena, 1, sizeof(*moves->pairs));
    }
    struct cvm_pairs *pairs = moves->pairs;
    for (size_t t = 0; pairs != NULL && t <= CVM_PROBLEM_TREATMENTS_MAX; t++) {
        pairs->ins[t].count = 0;
    }
    for (size_t r = 0; pairs != NULL && r < CVM_PROBLEM_ROWS_MAX; r++) {
        pairs->outs[r].count = 0;
    }
    return pairs;
}

static enum cvm_status make_pairs(struct cvm_moves *moves, enum cvm_moves_goal goal,
                                  size_t *out_count, struct cvm_error *err)
{
    struct cvm_pairs *pairs = reserve_pairs(moves);
    if (pairs == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for pairs of moves");
    }
    pairs->goal = goal;
    pairs->worth = worth_of(moves, goal);
    for (size_t u = 0; u < moves->unit_count; u++) {
        offer_all(moves, moves->units[u], list_pair, pairs);
    }
    for (size_t r = 0; r < moves->solve->problem->row_count; r++) {
        struct room_list *outs = &pairs->outs[r];
        for (size_t k = 0; k < outs->count; k++) {
            change_of(moves, &outs->moves[k], &outs->changes[k]);
        }
    }
    *out_count = make_listed(moves, pairs, 1);
    if (*out_count == 0 && goal == CVM_MOVES_VALUE) {
        *out_count = make_listed(moves, pairs, PARTNERS_MAX);
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
    bool is_for_value = goal == CVM_MOVES_VALUE;
    if (is_for_value && moves->is_settled) {
        return CVM_OK;
    }
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
            moves->is_settled = is_for_value && status == CVM_OK;
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
    moves->is_settled = false;
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
