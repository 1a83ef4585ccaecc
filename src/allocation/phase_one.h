/* phase_one.h - can these rows be kept together by any plan, whatever it is worth?
 *
 * For files of allocation/ only. "No" comes with a proof: prices p >= 0 at which the cheapest plan
 * of all costs more than the limits are worth (Farkas). "Yes" is of plans in fractions of
 * customers, but of whole ones where the problem is small enough to try every plan.
 */
#ifndef CVM_ALLOCATION_PHASE_ONE_H
#define CVM_ALLOCATION_PHASE_ONE_H

#include "allocation/census.h"
#include "base/context.h"

enum cvm_answer { CVM_ANSWER_YES, CVM_ANSWER_NO, CVM_ANSWER_UNKNOWN };

struct cvm_question {
    bool is_asked[CVM_PROBLEM_ROWS_MAX]; /* rows that are to be kept */
    int64_t limits[CVM_PROBLEM_ROWS_MAX];
    int64_t shifts[CVM_PROBLEM_ROWS_MAX]; /* taken off the use of every pair of a share row: its
                                             share is so much looser */
};
/* All rows of the problem as they are. */
void cvm_question_init(const struct cvm_problem *problem, struct cvm_question *out_question);

struct cvm_reply {
    enum cvm_answer answer;
    /* No: the rows that the proof needs; by how much the limit of each must rise at least, in units
     * of its scale. */
    bool is_needed[CVM_PROBLEM_ROWS_MAX];
    double rises[CVM_PROBLEM_ROWS_MAX];
    /* Yes: use of all rows, in units of the scale, by a plan that keeps those asked. */
    double uses[CVM_PROBLEM_ROWS_MAX];
};

struct cvm_phase_one;

CVM_MUST_CHECK enum cvm_status
cvm_phase_one_create(const struct cvm_problem *problem, struct cvm_pool *pool,
                     const struct cvm_context *context, struct cvm_arena *arena,
                     struct cvm_phase_one **out_phase, struct cvm_error *err);
/* Before the first question, and when another census is to be asked from now on. */
CVM_MUST_CHECK enum cvm_status cvm_phase_one_use(struct cvm_phase_one *phase,
                                                 const struct cvm_census *census,
                                                 struct cvm_error *err);
/* What was learnt of the customers by one question serves the next. */
CVM_MUST_CHECK enum cvm_status cvm_phase_one_ask(struct cvm_phase_one *phase,
                                                 const struct cvm_question *question,
                                                 struct cvm_reply *out_reply,
                                                 struct cvm_error *err);

/* Once for all rows of the problem, with customers of nearly the same amount taken as alike. */
CVM_MUST_CHECK enum cvm_status cvm_phase_one_ask_all(const struct cvm_problem *problem,
                                                     struct cvm_pool *pool,
                                                     const struct cvm_context *context,
                                                     enum cvm_answer *out_answer,
                                                     struct cvm_error *err);

/* Every plan, one by one: of a few customers only. CVM_ANSWER_UNKNOWN where there are too many. */
CVM_MUST_CHECK enum cvm_status cvm_every_plan_ask(const struct cvm_problem *problem,
                                                  const struct cvm_question *question,
                                                  struct cvm_reply *out_reply,
                                                  struct cvm_error *err);

#endif
