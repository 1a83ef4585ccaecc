/* outcome.h - the life of a decision after its release, from reports that may come out of order,
 * late and twice.
 *
 *   released -> sent -> delivered -> reached -> accepted -> fulfilled -> kept | reversed
 *                                            -> declined
 *                                 -> no_answer
 *                    -> bounced
 *            -> not_sent | expired               opted_out: at any time after sent
 *
 * A report implies the states before it. What a decision has become is the furthest of what was
 * reported, whatever came first; what was learned from it is a function of the same set. Pure.
 */
#ifndef CVM_MODEL_OUTCOME_H
#define CVM_MODEL_OUTCOME_H

#include <stddef.h>

#include "model/decision.h"
#include "model/learning.h"

/* States of outcomes: those of decisions, and how the outcome window ended. Stored. */
enum {
    CVM_OUTCOME_CHURNED = CVM_DECISION_STATE_COUNT,
    CVM_OUTCOME_STAYED,
    CVM_OUTCOME_STATE_COUNT
};
const char *cvm_outcome_name(int state);
/* The state that can be reported under this name, or -1: "decided", "released" and "withdrawn" are
 * ours to say. */
int cvm_outcome_parse(const char *name, size_t length);

/* The days of what was reported so far. */
struct cvm_outcomes {
    uint32_t states; /* bit per state */
    uint32_t late;   /* of them: after their window, see cvm_outcomes_mark_late() */
    int32_t days[CVM_OUTCOME_STATE_COUNT];
};
void cvm_outcomes_init(struct cvm_outcomes *outcomes);
bool cvm_outcomes_have(const struct cvm_outcomes *outcomes, int state);
void cvm_outcomes_add(struct cvm_outcomes *outcomes, int state, int32_t day);

/* What else counts. */
struct cvm_outcome_frame {
    bool is_ghost;
    bool is_exported; /* was handed to its channel */
    bool is_repeated; /* the same was decided for the same customer before, in the same stretch of
                         outcome_days: his churn is counted once */
    int32_t as_of_day;
    int response_days; /* of the treatment */
    int outcome_days;
    double churn; /* in outcome_days if untreated, as it was decided with */
};

/* Why this report can not be, in words, or NULL: "accepted" after "not_sent", a contact of a ghost,
 * "stayed" before its window has ended. Not for a state that is there already. `was` is the
 * decision's state before the report. */
const char *cvm_outcome_refusal(const struct cvm_outcomes *outcomes,
                                const struct cvm_outcome_frame *frame, enum cvm_decision_state was,
                                int state, int32_t day);

/* Whether the states show that the contact was made. */
bool cvm_outcomes_show_contact(const struct cvm_outcomes *outcomes);
/* Its day: of "sent" where that was reported, else of the first state that implies it;
 * CVM_DAY_NONE without one. */
int32_t cvm_outcomes_contact_day(const struct cvm_outcomes *outcomes);

/* The furthest state; `was` where nothing reported goes further, as with churned and stayed. */
enum cvm_decision_state cvm_outcomes_state(const struct cvm_outcomes *outcomes,
                                           enum cvm_decision_state was);

/* Responses later than the treatment's response window after the contact, and churn after the
 * outcome window, are late: kept, not learned from. */
void cvm_outcomes_mark_late(struct cvm_outcomes *outcomes, const struct cvm_outcome_frame *frame);

/* What this one decision teaches: counts of 0 and 1. `expected` is in steps of 2^-30, so that sums
 * do not depend on their order. */
void cvm_outcomes_learn(const struct cvm_outcomes *outcomes, const struct cvm_outcome_frame *frame,
                        struct cvm_learning *out_learning);
/* total += now - before */
void cvm_learning_change(struct cvm_learning *total, const struct cvm_learning *before,
                         const struct cvm_learning *now);

#endif
