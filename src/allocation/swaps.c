/* After the fill, what keeps a unit of one row idle is often that another row is full to the last
 * micro: nobody can move alone. Here two move at once. Only the moves with the smallest regret can
 * gain, so a short list per treatment is enough. */
#include "allocation/moves.h"

#define SHORT_LIST_MAX 24

struct short_list {
    struct cvm_move moves[SHORT_LIST_MAX];
    size_t count;
};

struct swaps {
    struct cvm_moves *moves;
    struct short_list ins[CVM_PROBLEM_TREATMENTS_MAX]; /* by treatment moved to: gain, do not fit */
    struct short_list outs[CVM_PROBLEM_TREATMENTS_MAX]; /* by treatment left: fit, give room */
};

static void keep_move(struct short_list *list, const struct cvm_move *move)
{
    size_t at = list->count;
    if (at == SHORT_LIST_MAX) {
        if (cvm_move_compare(move, &list->moves[at - 1]) >= 0) {
            return;
        }
        at--;
    } else {
        list->count++;
    }
    for (; at > 0 && cvm_move_compare(move, &list->moves[at - 1]) < 0; at--) {
        list->moves[at] = list->moves[at - 1];
    }
    list->moves[at] = *move;
}

/* Could it enter its list at all? Asked first, because the exact check costs more. */
static bool is_short(const struct short_list *list, const struct cvm_move *move)
{
    return list->count < SHORT_LIST_MAX ||
           cvm_move_compare(move, &list->moves[list->count - 1]) < 0;
}

static void sort_move(struct swaps *swaps, const struct cvm_move *move)
{
    struct cvm_moves *moves = swaps->moves;
    const struct cvm_problem *problem = moves->repair->problem;
    bool is_in = move->to != CVM_NOTHING &&
                 cvm_move_value(problem, move->customer, move->to) >
                     cvm_move_value(problem, move->customer, move->from) &&
                 is_short(&swaps->ins[move->to], move);
    bool is_out = move->from != CVM_NOTHING && is_short(&swaps->outs[move->from], move);
    if (!is_in && !is_out) {
        return;
    }
    bool fits = cvm_move_try(moves, move->customer, move->from, move->to);
    if (fits) {
        (void)cvm_move_try(moves, move->customer, move->to, move->from);
    }
    if (is_in && !fits) {
        keep_move(&swaps->ins[move->to], move);
    }
    if (is_out && fits) {
        keep_move(&swaps->outs[move->from], move);
    }
}

static void list_swaps(struct swaps *swaps)
{
    const struct cvm_moves *moves = swaps->moves;
    const struct cvm_repair *repair = moves->repair;
    for (size_t t = 0; t < repair->problem->treatment_count; t++) {
        swaps->ins[t].count = 0;
        swaps->outs[t].count = 0;
    }
    for (size_t i = 0; i < moves->customer_count; i++) {
        size_t customer = moves->customers[i];
        size_t from = repair->treatments[customer];
        double score = cvm_move_score(repair, customer, from);
        for (size_t place = 0; place <= repair->tariff->count; place++) {
            size_t to =
                place == repair->tariff->count ? CVM_NOTHING : repair->tariff->treatments[place];
            if (to == from || (to != CVM_NOTHING && !cvm_move_is_eligible(repair, customer, to))) {
                continue;
            }
            struct cvm_move move = cvm_move_make(repair, customer, from, to, score);
            sort_move(swaps, &move);
        }
    }
}

static double gain_of(const struct cvm_problem *problem, const struct cvm_move *move)
{
    return cvm_move_value(problem, move->customer, move->to) -
           cvm_move_value(problem, move->customer, move->from);
}

static bool is_current(const struct cvm_moves *moves, const struct cvm_move *move)
{
    return moves->repair->treatments[move->customer] == move->from;
}

/* The partner with whom `in` gains most, or NULL. */
static const struct cvm_move *find_partner(struct swaps *swaps, const struct cvm_move *in)
{
    struct cvm_moves *moves = swaps->moves;
    const struct cvm_problem *problem = moves->repair->problem;
    double in_gain = gain_of(problem, in);
    double best_gain = 0.0;
    const struct cvm_move *best = NULL;
    for (size_t t = 0; t < problem->treatment_count; t++) {
        for (size_t k = 0; k < swaps->outs[t].count; k++) {
            const struct cvm_move *out = &swaps->outs[t].moves[k];
            double gain = in_gain + gain_of(problem, out);
            if (!(gain > best_gain) || out->customer == in->customer || !is_current(moves, out) ||
                !cvm_move_try(moves, out->customer, out->from, out->to)) {
                continue;
            }
            if (cvm_move_try(moves, in->customer, in->from, in->to)) {
                (void)cvm_move_try(moves, in->customer, in->to, in->from);
                best_gain = gain;
                best = out;
            }
            (void)cvm_move_try(moves, out->customer, out->to, out->from);
        }
    }
    return best;
}

static size_t apply_swaps(struct swaps *swaps)
{
    struct cvm_moves *moves = swaps->moves;
    size_t applied = 0;
    for (size_t t = 0; t < moves->repair->problem->treatment_count; t++) {
        for (size_t k = 0; k < swaps->ins[t].count; k++) {
            const struct cvm_move *in = &swaps->ins[t].moves[k];
            const struct cvm_move *out = is_current(moves, in) ? find_partner(swaps, in) : NULL;
            if (out != NULL) {
                (void)cvm_move_try(moves, out->customer, out->from, out->to);
                (void)cvm_move_try(moves, in->customer, in->from, in->to);
                applied++;
            }
        }
    }
    return applied;
}

enum cvm_status cvm_moves_swap(struct cvm_moves *moves, size_t *out_count, struct cvm_error *err)
{
    struct swaps *swaps = CVM_NEW(moves->arena, struct swaps);
    if (swaps == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for swaps");
    }
    swaps->moves = moves;
    list_swaps(swaps);
    *out_count = apply_swaps(swaps);
    return CVM_OK;
}
