#include "model/outcome.h"

#include <math.h>
#include <string.h>

#include "base/date.h"

#define BIT(state) (UINT32_C(1) << (state))

/* Bits of CVM_DECISION_X by their short names. */
enum {
    SENT = BIT(CVM_DECISION_SENT),
    DELIVERED = BIT(CVM_DECISION_DELIVERED),
    REACHED = BIT(CVM_DECISION_REACHED),
    ACCEPTED = BIT(CVM_DECISION_ACCEPTED),
    DECLINED = BIT(CVM_DECISION_DECLINED),
    NO_ANSWER = BIT(CVM_DECISION_NO_ANSWER),
    FULFILLED = BIT(CVM_DECISION_FULFILLED),
    KEPT = BIT(CVM_DECISION_KEPT),
    REVERSED = BIT(CVM_DECISION_REVERSED),
    NOT_SENT = BIT(CVM_DECISION_NOT_SENT),
    BOUNCED = BIT(CVM_DECISION_BOUNCED),
    OPTED_OUT = BIT(CVM_DECISION_OPTED_OUT),
    EXPIRED = BIT(CVM_DECISION_EXPIRED),
    CHURNED = BIT(CVM_OUTCOME_CHURNED),
    STAYED = BIT(CVM_OUTCOME_STAYED),

    SAID_YES = ACCEPTED | FULFILLED | KEPT | REVERSED,
    WAS_REACHED = REACHED | DECLINED | SAID_YES,
    WAS_DELIVERED = DELIVERED | NO_ANSWER | WAS_REACHED,
    CONTACT = SENT | BOUNCED | OPTED_OUT | WAS_DELIVERED,
    NO_CONTACT = NOT_SENT | EXPIRED,
    WINDOW_END = CHURNED | STAYED
};

const char *cvm_outcome_name(int state)
{
    return state == CVM_OUTCOME_CHURNED  ? "churned"
           : state == CVM_OUTCOME_STAYED ? "stayed"
                                         : cvm_decision_state_name((enum cvm_decision_state)state);
}

int cvm_outcome_parse(const char *name, size_t length)
{
    for (int state = CVM_DECISION_SENT; state < CVM_OUTCOME_STATE_COUNT; state++) {
        const char *known = cvm_outcome_name(state);
        if (state != CVM_DECISION_WITHDRAWN && strlen(known) == length &&
            memcmp(known, name, length) == 0) {
            return state;
        }
    }
    return -1;
}

void cvm_outcomes_init(struct cvm_outcomes *outcomes)
{
    *outcomes = (struct cvm_outcomes){0};
    for (int state = 0; state < CVM_OUTCOME_STATE_COUNT; state++) {
        outcomes->days[state] = CVM_DAY_NONE;
    }
}

bool cvm_outcomes_have(const struct cvm_outcomes *outcomes, int state)
{
    return (outcomes->states & BIT(state)) != 0;
}

void cvm_outcomes_add(struct cvm_outcomes *outcomes, int state, int32_t day)
{
    outcomes->states |= BIT(state);
    outcomes->days[state] = day;
}

/* ---- steps ---- */

static const char *refuse_window_end(const struct cvm_outcomes *outcomes,
                                     const struct cvm_outcome_frame *frame, int state, int32_t day)
{
    if ((outcomes->states & WINDOW_END) != 0) {
        return state == CVM_OUTCOME_CHURNED ? "it was reported as stayed"
                                            : "it was reported as churned";
    }
    if (state == CVM_OUTCOME_STAYED && day < frame->as_of_day + frame->outcome_days) {
        return "its outcome window has not ended on that date";
    }
    return NULL;
}

const char *cvm_outcome_refusal(const struct cvm_outcomes *outcomes,
                                const struct cvm_outcome_frame *frame, enum cvm_decision_state was,
                                int state, int32_t day)
{
    uint32_t bit = BIT(state);
    uint32_t states = outcomes->states;
    if (was == CVM_DECISION_DECIDED) {
        return "its plan is not released";
    }
    if (day < frame->as_of_day) {
        return "the date is before its decision";
    }
    if ((bit & WINDOW_END) != 0) {
        return refuse_window_end(outcomes, frame, state, day);
    }
    if (frame->is_ghost) {
        return "it belongs to a control group: nothing was done";
    }
    /* Recalled too late is a contact all the same; what was never handed over can not be one. */
    if ((bit & CONTACT) != 0 && was == CVM_DECISION_WITHDRAWN && !frame->is_exported) {
        return "it was withdrawn before it was handed over";
    }
    if ((bit & CONTACT) != 0 && (states & NO_CONTACT) != 0) {
        return (states & NOT_SENT) != 0 ? "it was reported as not sent"
                                        : "it was reported as expired";
    }
    if ((bit & NO_CONTACT) != 0 && (states & CONTACT) != 0) {
        return "it was reported as sent";
    }
    if ((bit & NO_CONTACT) != 0 && (states & NO_CONTACT) != 0) {
        return (states & NOT_SENT) != 0 ? "it was reported as not sent"
                                        : "it was reported as expired";
    }
    if ((bit & WAS_DELIVERED) != 0 && (states & BOUNCED) != 0) {
        return "it was reported as bounced";
    }
    if ((bit & BOUNCED) != 0 && (states & WAS_DELIVERED) != 0) {
        return "it was reported as delivered";
    }
    return NULL;
}

bool cvm_outcomes_show_contact(const struct cvm_outcomes *outcomes)
{
    return (outcomes->states & CONTACT) != 0;
}

int32_t cvm_outcomes_contact_day(const struct cvm_outcomes *outcomes)
{
    int32_t first = CVM_DAY_NONE;
    if ((outcomes->states & SENT) != 0) {
        return outcomes->days[CVM_DECISION_SENT];
    }
    for (int state = 0; state < CVM_DECISION_STATE_COUNT; state++) {
        int32_t day = outcomes->days[state];
        if ((outcomes->states & BIT(state) & CONTACT) != 0 &&
            (first == CVM_DAY_NONE || day < first)) {
            first = day;
        }
    }
    return first;
}

enum cvm_decision_state cvm_outcomes_state(const struct cvm_outcomes *outcomes,
                                           enum cvm_decision_state was)
{
    /* Nearest first. A yes outranks a no that was said before, and an answer that nobody came. */
    static const enum cvm_decision_state order[] = {
        CVM_DECISION_SENT,      CVM_DECISION_DELIVERED, CVM_DECISION_BOUNCED,
        CVM_DECISION_NO_ANSWER, CVM_DECISION_REACHED,   CVM_DECISION_DECLINED,
        CVM_DECISION_ACCEPTED,  CVM_DECISION_FULFILLED, CVM_DECISION_KEPT,
        CVM_DECISION_REVERSED,  CVM_DECISION_OPTED_OUT,
    };
    enum cvm_decision_state state = was;
    if ((outcomes->states & NO_CONTACT) != 0 && was != CVM_DECISION_WITHDRAWN) {
        state = (outcomes->states & NOT_SENT) != 0 ? CVM_DECISION_NOT_SENT : CVM_DECISION_EXPIRED;
    }
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        state = (outcomes->states & BIT(order[i])) != 0 ? order[i] : state;
    }
    return state;
}

/* ---- learning ---- */

void cvm_outcomes_mark_late(struct cvm_outcomes *outcomes, const struct cvm_outcome_frame *frame)
{
    int32_t contact = cvm_outcomes_contact_day(outcomes);
    int32_t from = contact == CVM_DAY_NONE ? frame->as_of_day : contact;
    outcomes->late = 0;
    for (int state = 0; state < CVM_OUTCOME_STATE_COUNT; state++) {
        uint32_t bit = BIT(state) & outcomes->states;
        bool is_response = (bit & (WAS_REACHED | NO_ANSWER)) != 0;
        int32_t last = is_response                    ? from + frame->response_days
                       : state == CVM_OUTCOME_CHURNED ? frame->as_of_day + frame->outcome_days
                                                      : INT32_MAX;
        outcomes->late |= outcomes->days[state] > last ? bit : 0;
    }
}

static double round_expected(double churn)
{
    double in_range = churn > 0.0 ? fmin(churn, 1.0) : 0.0; /* NaN is 0 */
    return ldexp(nearbyint(ldexp(in_range, 30)), -30);
}

void cvm_outcomes_learn(const struct cvm_outcomes *outcomes, const struct cvm_outcome_frame *frame,
                        struct cvm_learning *out_learning)
{
    struct cvm_learning learning = {0};
    uint32_t in_time = outcomes->states & ~outcomes->late;
    bool is_reached = (in_time & WAS_REACHED) != 0;
    bool has_ended = (in_time & WINDOW_END) != 0 && !frame->is_repeated;
    bool has_churned = has_ended && (in_time & CHURNED) != 0;
    double expected = has_ended ? round_expected(frame->churn) : 0.0;
    if (frame->is_ghost) {
        learning.controls = has_ended;
        learning.controls_churned = has_churned;
        learning.controls_expected = expected;
    } else {
        /* What was taken back is no acceptance, whenever that came. */
        bool said_yes = (in_time & SAID_YES) != 0 && (outcomes->states & REVERSED) == 0;
        learning.contacts = is_reached || (in_time & (NO_ANSWER | BOUNCED)) != 0;
        learning.reached = is_reached;
        learning.answers = (in_time & (SAID_YES | DECLINED)) != 0;
        learning.accepted = said_yes;
        learning.treated = is_reached && has_ended;
        learning.treated_churned = is_reached && has_churned;
        learning.treated_expected = is_reached ? expected : 0.0;
    }
    *out_learning = learning;
}

void cvm_learning_change(struct cvm_learning *total, const struct cvm_learning *before,
                         const struct cvm_learning *now)
{
    total->contacts += now->contacts - before->contacts;
    total->reached += now->reached - before->reached;
    total->answers += now->answers - before->answers;
    total->accepted += now->accepted - before->accepted;
    total->treated += now->treated - before->treated;
    total->treated_churned += now->treated_churned - before->treated_churned;
    total->treated_expected += now->treated_expected - before->treated_expected;
    total->controls += now->controls - before->controls;
    total->controls_churned += now->controls_churned - before->controls_churned;
    total->controls_expected += now->controls_expected - before->controls_expected;
}
