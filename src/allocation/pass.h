/* pass.h - one look at every customer of a table: who would choose what at the tariff's prices, and
 * what that adds up to.
 *
 * For files of allocation/ only.
 */
#ifndef CVM_ALLOCATION_PASS_H
#define CVM_ALLOCATION_PASS_H

#include "allocation/choice.h"
#include "allocation/tariff.h"

/* What all passes of a solve share. */
struct cvm_solve {
    const struct cvm_problem *problem;
    const struct cvm_kernel *kernel;
    struct cvm_pool *pool;
    const struct cvm_context *context; /* NULL = never cancelled */
    struct cvm_arena *arena;
    bool is_mapped;
    bool is_rough; /* ties are not broken: that matters near the end only */
    struct cvm_tariff tariff;
    struct cvm_table everybody;
    struct cvm_chooser *choosers;        /* per worker; NULL: customers with one treatment each */
    struct cvm_kernel_sums *worker_sums; /* per worker: its counts */
    struct cvm_kernel_sums *group_sums;  /* per group of the largest table: gain, amounts */
    int passes;                          /* over everybody */
};

CVM_MUST_CHECK enum cvm_status cvm_solve_init(struct cvm_solve *solve,
                                              const struct cvm_problem *problem,
                                              const struct cvm_kernel *kernel,
                                              struct cvm_arena *arena, struct cvm_pool *pool,
                                              struct cvm_error *err);

/* What the choices of a pass come to. */
struct cvm_sums {
    double gain;                               /* sum of best scores, or of values of the decided */
    double counts[CVM_PROBLEM_TREATMENTS_MAX]; /* by treatment: who gets it */
    double amounts[CVM_PROBLEM_TREATMENTS_MAX]; /* and their amounts */
    double uses[CVM_PROBLEM_ROWS_MAX];          /* in units of each row's scale */
};

/* Where the choices go: choices[i] (the simple form) or sets[i] (a bit per treatment; the general
 * form) of customer i of the table. Both NULL: nobody wants them. */
struct cvm_choices {
    unsigned char *treatments;
    uint64_t *sets;
};

/* At the tariff as it is set. */
void cvm_pass_choose(struct cvm_solve *solve, const struct cvm_table *table,
                     const struct cvm_choices *choices, struct cvm_sums *out_sums);

/* How far each price may still move: by share x |price| + slack either way, by treatment. */
struct cvm_margins {
    double shares[CVM_PROBLEM_TREATMENTS_MAX];
    double slacks[CVM_PROBLEM_TREATMENTS_MAX];
};

/* Who is decided wherever the prices end, and who is not. */
struct cvm_narrow_request {
    const struct cvm_table *table;
    const struct cvm_margins *margins;
    const struct cvm_choices *choices;
    size_t most; /* of the table's customers that may stay open */
};

/* Customers (units, where the table has them) whose choice depends on such moves are listed,
 * ascending, and get CVM_UNDECIDED (all bits) as choices; the sums are of the others, their gain is
 * in values without prices. *out_table is NULL where too many would be open. */
CVM_MUST_CHECK enum cvm_status cvm_pass_narrow(struct cvm_solve *solve,
                                               const struct cvm_narrow_request *narrowing,
                                               struct cvm_sums *out_sums,
                                               struct cvm_table **out_table, struct cvm_error *err);

#endif
