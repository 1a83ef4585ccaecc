/* choice.h - the best choice of one unit: which of its customers get which treatments, at given
 * scores.
 *
 * For files of allocation/ only. A customer takes at most problem.per_customer_max treatments, none
 * that exclude each other; of a household at most so many customers take one that counts. Exact, so
 * that the bound is one.
 */
#ifndef CVM_ALLOCATION_CHOICE_H
#define CVM_ALLOCATION_CHOICE_H

#include "allocation/problem.h"
#include "base/arena.h"

/* One thread's working memory. */
struct cvm_chooser {
    const struct cvm_problem *problem;
    uint64_t open;                                   /* treatments that are looked at */
    unsigned char ranks[CVM_PROBLEM_TREATMENTS_MAX]; /* of these: the lower one wins a tie */
    double *scores; /* size_max x treatment_count; for the caller to fill */
    double *prices; /* the same; for the caller */
    double *gains;  /* size_max each: what a treatment that counts adds */
    uint64_t *with;
    uint64_t *sets; /* size_max each: for the caller */
    uint64_t *worst;
};

CVM_MUST_CHECK enum cvm_status cvm_chooser_init(struct cvm_chooser *chooser,
                                                const struct cvm_problem *problem, size_t size_max,
                                                struct cvm_arena *arena, struct cvm_error *err);
/* These treatments from now on, in the order that breaks ties; before, all as they stand. */
void cvm_chooser_set_order(struct cvm_chooser *chooser, const unsigned char *order, size_t count);

/* chooser->scores holds the scores of `size` customers, treatment_count each; what is not above 0
 * is not taken. Sets get a bit per treatment taken. Returns the sum of scores. */
double cvm_choose_unit(struct cvm_chooser *chooser, size_t size, size_t max, uint64_t *sets);

/* May these treatments of one customer go together, as many as they are? */
bool cvm_set_is_allowed(const struct cvm_problem *problem, uint64_t set);

#endif
