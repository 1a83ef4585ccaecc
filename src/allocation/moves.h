/* moves.h - small changes of a plan: one treatment taken, given, or exchanged within a unit of
 * choice; and pairs of them that only fit together. For files of allocation/ only. */
#ifndef CVM_ALLOCATION_MOVES_H
#define CVM_ALLOCATION_MOVES_H

#include "allocation/pass.h"

/* Rows that count a treatment, by treatment: most rows touch few. */
struct cvm_touches {
    unsigned char rows[CVM_PROBLEM_TREATMENTS_MAX][CVM_PROBLEM_ROWS_MAX];
    size_t counts[CVM_PROBLEM_TREATMENTS_MAX];
};
void cvm_touches_init(const struct cvm_problem *problem, struct cvm_touches *touches);

/* CVM_NOTHING as `out` or `in`: nothing is taken or given. Both customers are of one unit, mostly
 * the same. */
struct cvm_move {
    double regret; /* what it costs at the prices */
    uint64_t tie;
    uint32_t unit;
    uint32_t out_customer;
    uint32_t in_customer;
    unsigned char out;
    unsigned char in;
};

struct cvm_pairs;
/* A plan while it is being repaired. */
struct cvm_moves {
    struct cvm_solve *solve;   /* its tariff is set at the plan's prices */
    bool is_simple;            /* customers with one treatment each, no households */
    unsigned char *treatments; /* the plan */
    int64_t used[CVM_PROBLEM_ROWS_MAX];
    double regret;    /* of all moves made */
    double tolerance; /* a gap that is small enough, in money */
    const double *prices;
    struct cvm_touches touches;
    const unsigned char *class_rows; /* the same by class of customers too: fewer still */
    bool is_settled;       /* no move of these units adds value to this plan: it was tried */
    const uint32_t *units; /* that may be moved; customers in the simple form */
    size_t unit_count;
    struct cvm_pairs *pairs; /* moves that only fit together, while they are looked for */
    struct cvm_move *list;
    size_t list_room;
};

/* What moves are made for. */
enum cvm_moves_goal {
    CVM_MOVES_LIMITS, /* towards the limits that the plan is over, and towards minimums */
    CVM_MOVES_HARD,   /* the same, whatever it costs the minimums */
    CVM_MOVES_VALUE   /* whatever adds value and fits */
};

/* Sets what follows from the problem of `solve`, in its arena. */
CVM_MUST_CHECK enum cvm_status cvm_moves_init(struct cvm_moves *moves, struct cvm_error *err);

/* Is the plan over no limit that the goal is for? */
bool cvm_moves_keep_limits(const struct cvm_moves *moves, enum cvm_moves_goal goal);
/* Is the plan nearer to the bound than so many tolerances? */
bool cvm_moves_are_near(const struct cvm_moves *moves, double times);

/* The moves of least regret first; where none fits alone, pairs of them. */
CVM_MUST_CHECK enum cvm_status cvm_moves_make(struct cvm_moves *moves, enum cvm_moves_goal goal,
                                              struct cvm_error *err);

/* Everything is taken from everybody: what keeps every limit but minimums. */
void cvm_moves_clear(struct cvm_moves *moves);

/* What a move changes of each row that it touches. */
struct cvm_change {
    size_t count;
    unsigned char rows[CVM_PROBLEM_ROWS_MAX];
    int64_t deltas[CVM_PROBLEM_ROWS_MAX];
};
/* Every legal move of the units. */
typedef void (*cvm_move_fn)(void *state, const struct cvm_moves *moves, const struct cvm_move *move,
                            const struct cvm_change *change);
void cvm_moves_each(const struct cvm_moves *moves, cvm_move_fn look, void *state);
/* Makes one of them (sign 1), or unmakes the last one made (-1). */
void cvm_moves_apply(struct cvm_moves *moves, const struct cvm_move *move, int sign);

/* The plan of one customer as a set of bits, and back. */
uint64_t cvm_plan_set(const struct cvm_problem *problem, const unsigned char *treatments,
                      size_t customer);
void cvm_plan_set_to(const struct cvm_problem *problem, unsigned char *treatments, size_t customer,
                     uint64_t set);

#endif
