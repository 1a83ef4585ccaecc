/* learning.h - what outcomes have said about a treatment so far: counts, which a conjugate update
 * turns into the parameters of its response (recommend/learning.h).
 */
#ifndef CVM_MODEL_LEARNING_H
#define CVM_MODEL_LEARNING_H

#include <stdint.h>

struct cvm_learning {
    int64_t contacts; /* decisions with a final answer: reached, or not (no_answer, bounced) */
    int64_t reached;
    int64_t answers; /* reached, and accepted or declined within the response window */
    int64_t accepted;
    /* Reached ones whose outcome window has ended: how many churned, and the sum of the
     * probabilities of churn if untreated that their decisions were made with; the same of ghosts.
     */
    int64_t treated, treated_churned;
    double treated_expected;
    int64_t controls, controls_churned;
    double controls_expected;
};

#endif
