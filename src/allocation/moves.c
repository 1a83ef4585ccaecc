#include "allocation/moves.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "model/money.h"

#define FILL_ROUNDS_MAX       64
#define MOVES_ROOM            ((size_t)4096)
#define MOVES_OF_CUSTOMER_MAX 3

/* ---- one move ---- */

double cvm_move_score(const struct cvm_repair *repair, size_t customer, size_t treatment)
{
    if (treatment == CVM_NOTHING) {
        return 0.0;
    }
    const struct cvm_problem *problem = repair->problem;
    double amount = problem->amounts != NULL ? (double)problem->amounts[customer] : 0.0;
    return (double)cvm_problem_value(problem, customer, treatment) -
           (repair->tariff->flat[treatment] + repair->tariff->rate[treatment] * amount);
}

double cvm_move_value(const struct cvm_problem *problem, size_t customer, size_t treatment)
{
    return treatment == CVM_NOTHING ? 0.0 : (double)cvm_problem_value(problem, customer, treatment);
}

static void add_use(struct cvm_moves *moves, size_t customer, size_t treatment, int sign)
{
    if (treatment == CVM_NOTHING) {
        return;
    }
    const struct cvm_problem *problem = moves->repair->problem;
    double amount = problem->amounts != NULL ? (double)problem->amounts[customer] : 0.0;
    for (size_t k = 0; k < moves->touches.counts[treatment]; k++) {
        size_t r = moves->touches.rows[treatment][k];
        moves->used[r] += sign * cvm_row_use(&problem->rows[r], treatment, amount);
    }
}

bool cvm_move_try(struct cvm_moves *moves, size_t customer, size_t from, size_t to)
{
    const struct cvm_problem *problem = moves->repair->problem;
    int64_t before[CVM_PROBLEM_ROWS_MAX];
    bool fits = true;
    for (size_t k = 0; to != CVM_NOTHING && k < moves->touches.counts[to]; k++) {
        size_t r = moves->touches.rows[to][k];
        before[r] = moves->used[r];
    }
    add_use(moves, customer, from, -1);
    add_use(moves, customer, to, 1);
    for (size_t k = 0; to != CVM_NOTHING && k < moves->touches.counts[to]; k++) {
        size_t r = moves->touches.rows[to][k];
        fits = fits && (moves->used[r] <= problem->rows[r].limit || moves->used[r] <= before[r]);
    }
    if (!fits) {
        add_use(moves, customer, to, -1);
        add_use(moves, customer, from, 1);
        return false;
    }
    moves->repair->treatments[customer] = (unsigned char)to;
    return true;
}

static bool is_overfull(const struct cvm_moves *moves, size_t row)
{
    return moves->used[row] > moves->repair->problem->rows[row].limit;
}

bool cvm_moves_are_feasible(const struct cvm_moves *moves)
{
    for (size_t r = 0; r < moves->repair->problem->row_count; r++) {
        if (is_overfull(moves, r)) {
            return false;
        }
    }
    return true;
}

static bool touches_overfull(const struct cvm_moves *moves, size_t treatment)
{
    if (treatment == CVM_NOTHING) {
        return false;
    }
    for (size_t k = 0; k < moves->touches.counts[treatment]; k++) {
        if (is_overfull(moves, moves->touches.rows[treatment][k])) {
            return true;
        }
    }
    return false;
}

/* ---- lists of moves ---- */

int cvm_move_compare(const void *a, const void *b)
{
    const struct cvm_move *left = a;
    const struct cvm_move *right = b;
    if (left->regret != right->regret) {
        return left->regret < right->regret ? -1 : 1;
    }
    if (left->tie != right->tie) {
        return left->tie < right->tie ? -1 : 1;
    }
    if (left->customer != right->customer) {
        return left->customer < right->customer ? -1 : 1;
    }
    return (int)left->to - (int)right->to;
}

static enum cvm_status add_move(struct cvm_moves *moves, size_t *count, struct cvm_move move,
                                struct cvm_error *err)
{
    if (*count == moves->move_room) {
        size_t room = moves->move_room == 0 ? MOVES_ROOM : moves->move_room * 2;
        struct cvm_move *grown = cvm_arena_alloc_raw(moves->arena, room, sizeof(*grown));
        if (grown == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu moves", room);
        }
        if (*count > 0) {
            memcpy(grown, moves->moves, *count * sizeof(*grown));
        }
        moves->moves = grown;
        moves->move_room = room;
    }
    moves->moves[(*count)++] = move;
    return CVM_OK;
}

/* Does the move belong in the list that is being made? */
typedef bool (*accepts_fn)(struct cvm_moves *moves, size_t customer, size_t from, size_t to);

bool cvm_move_is_eligible(const struct cvm_repair *repair, size_t customer, size_t treatment)
{
    return cvm_problem_value(repair->problem, customer, treatment) > CVM_PROBLEM_VALUE_MIN;
}

/* Equals: the lowest hash comes in first, the highest goes out first. */
struct cvm_move cvm_move_make(const struct cvm_repair *repair, size_t customer, size_t from,
                              size_t to, double score)
{
    uint64_t key = repair->problem->keys[customer];
    return (struct cvm_move){
        .regret = score - cvm_move_score(repair, customer, to),
        .tie = to == CVM_NOTHING ? ~cvm_hash_mix(key, from) : cvm_hash_mix(key, to),
        .customer = (uint32_t)customer,
        .from = (unsigned char)from,
        .to = (unsigned char)to,
    };
}

/* A customer's moves with the smallest regrets; the others wait for the next round. */
static size_t best_of_customer(struct cvm_moves *moves, size_t customer, accepts_fn accepts,
                               struct cvm_move best[MOVES_OF_CUSTOMER_MAX])
{
    const struct cvm_repair *repair = moves->repair;
    size_t from = repair->treatments[customer];
    double score = cvm_move_score(repair, customer, from);
    size_t count = 0;
    for (size_t place = 0; place < repair->tariff->count; place++) {
        size_t to = repair->tariff->treatments[place];
        if (to == from || !cvm_move_is_eligible(repair, customer, to)) {
            continue;
        }
        struct cvm_move move = cvm_move_make(repair, customer, from, to, score);
        bool is_full = count == MOVES_OF_CUSTOMER_MAX;
        if ((is_full && cvm_move_compare(&move, &best[count - 1]) >= 0) ||
            !accepts(moves, customer, from, to)) {
            continue;
        }
        size_t at = is_full ? count - 1 : count++;
        for (; at > 0 && cvm_move_compare(&move, &best[at - 1]) < 0; at--) {
            best[at] = best[at - 1];
        }
        best[at] = move;
    }
    return count;
}

static enum cvm_status list_of_customer(struct cvm_moves *moves, size_t customer,
                                        accepts_fn accepts, size_t *count, struct cvm_error *err)
{
    const struct cvm_repair *repair = moves->repair;
    struct cvm_move best[MOVES_OF_CUSTOMER_MAX];
    size_t best_count = best_of_customer(moves, customer, accepts, best);
    size_t from = repair->treatments[customer];
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < best_count; i++) {
        status = add_move(moves, count, best[i], err);
    }
    /* To nothing is always possible: what makes a plan feasible in the end. */
    if (status == CVM_OK && from != CVM_NOTHING && accepts(moves, customer, from, CVM_NOTHING)) {
        double score = cvm_move_score(repair, customer, from);
        status =
            add_move(moves, count, cvm_move_make(repair, customer, from, CVM_NOTHING, score), err);
    }
    return status;
}

static enum cvm_status list_moves(struct cvm_moves *moves, accepts_fn accepts, size_t *out_count,
                                  struct cvm_error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < moves->customer_count; i++) {
        enum cvm_status status = list_of_customer(moves, moves->customers[i], accepts, &count, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    if (count > 0) {
        qsort(moves->moves, count, sizeof(*moves->moves), cvm_move_compare);
    }
    *out_count = count;
    return CVM_OK;
}

/* ---- the three sweeps ---- */

static bool may_relieve(struct cvm_moves *moves, size_t customer, size_t from, size_t to)
{
    (void)customer;
    return touches_overfull(moves, from) && !touches_overfull(moves, to);
}

enum cvm_status cvm_moves_make_feasible(struct cvm_moves *moves, struct cvm_error *err)
{
    size_t count = 0;
    if (cvm_moves_are_feasible(moves)) {
        return CVM_OK;
    }
    enum cvm_status status = list_moves(moves, may_relieve, &count, err);
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        const struct cvm_move *move = &moves->moves[i];
        if (moves->repair->treatments[move->customer] == move->from &&
            touches_overfull(moves, move->from) && !touches_overfull(moves, move->to)) {
            (void)cvm_move_try(moves, move->customer, move->from, move->to);
        }
    }
    return status;
}

static bool gains(struct cvm_moves *moves, size_t customer, size_t from, size_t to)
{
    const struct cvm_problem *problem = moves->repair->problem;
    return cvm_move_value(problem, customer, to) > cvm_move_value(problem, customer, from);
}

static bool gains_and_fits(struct cvm_moves *moves, size_t customer, size_t from, size_t to)
{
    if (!gains(moves, customer, from, to) || !cvm_move_try(moves, customer, from, to)) {
        return false;
    }
    (void)cvm_move_try(moves, customer, to, from);
    return true;
}

enum cvm_status cvm_moves_fill(struct cvm_moves *moves, struct cvm_error *err)
{
    for (int round = 0; round < FILL_ROUNDS_MAX; round++) {
        size_t count = 0;
        size_t applied = 0;
        enum cvm_status status = list_moves(moves, gains_and_fits, &count, err);
        if (status != CVM_OK) {
            return status;
        }
        for (size_t i = 0; i < count; i++) {
            const struct cvm_move *move = &moves->moves[i];
            applied += moves->repair->treatments[move->customer] == move->from &&
                       cvm_move_try(moves, move->customer, move->from, move->to);
        }
        if (applied == 0) {
            break;
        }
    }
    return CVM_OK;
}
