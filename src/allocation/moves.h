/* moves.h - changing one customer's treatment in a plan, with exact use of every row. For files of
 * allocation/ only. */
#ifndef CVM_ALLOCATION_MOVES_H
#define CVM_ALLOCATION_MOVES_H

#include "allocation/repair.h"

/* A plan in work: integer use of every row, and the customers who may be moved. */
struct cvm_moves {
    const struct cvm_repair *repair;
    struct cvm_touches touches;
    int64_t used[CVM_PROBLEM_ROWS_MAX];
    const uint32_t *customers; /* in order */
    size_t customer_count;
    struct cvm_move *moves; /* room, grown as needed */
    size_t move_room;
    struct cvm_arena *arena; /* of `moves` */
};

/* One customer from one treatment to another, either may be CVM_NOTHING. */
struct cvm_move {
    double regret; /* score given up, at the prices: what the move costs the bound */
    uint64_t tie;
    uint32_t customer;
    unsigned char from;
    unsigned char to;
};

/* v - p a, 0 for nothing. */
double cvm_move_score(const struct cvm_repair *repair, size_t customer, size_t treatment);

bool cvm_moves_are_feasible(const struct cvm_moves *moves);

/* Take customers off overfull rows, smallest regret first, never overfilling another. */
CVM_MUST_CHECK enum cvm_status cvm_moves_make_feasible(struct cvm_moves *moves,
                                                       struct cvm_error *err);
/* v, 0 for nothing. */
double cvm_move_value(const struct cvm_problem *problem, size_t customer, size_t treatment);
/* Moves the customer if no row that rises ends above its limit; says whether it did. What was there
 * before always fits again. */
bool cvm_move_try(struct cvm_moves *moves, size_t customer, size_t from, size_t to);
int cvm_move_compare(const void *a, const void *b);
bool cvm_move_is_eligible(const struct cvm_repair *repair, size_t customer, size_t treatment);
/* `score` is that of `from`: the same for all moves of a customer. */
struct cvm_move cvm_move_make(const struct cvm_repair *repair, size_t customer, size_t from,
                              size_t to, double score);

/* Of a feasible plan: every move that raises the value and fits, smallest regret first, until there
 * is none. */
CVM_MUST_CHECK enum cvm_status cvm_moves_fill(struct cvm_moves *moves, struct cvm_error *err);
/* Pairs: a customer moves into what another leaves, when together they gain. Tells how many. */
CVM_MUST_CHECK enum cvm_status cvm_moves_swap(struct cvm_moves *moves, size_t *out_count,
                                              struct cvm_error *err);

#endif
