/* decision.h - what was decided for one customer, and the life of that decision. States are stored:
 * only add at the end. */
#ifndef CVM_MODEL_DECISION_H
#define CVM_MODEL_DECISION_H

#include <stdbool.h>
#include <stdint.h>

#define CVM_DECISION_STATE_TABLE(X)                                                                \
    X(DECIDED, "decided")                                                                          \
    X(RELEASED, "released")                                                                        \
    X(SENT, "sent")                                                                                \
    X(DELIVERED, "delivered")                                                                      \
    X(REACHED, "reached")                                                                          \
    X(ACCEPTED, "accepted")                                                                        \
    X(DECLINED, "declined")                                                                        \
    X(NO_ANSWER, "no_answer")                                                                      \
    X(FULFILLED, "fulfilled")                                                                      \
    X(KEPT, "kept")                                                                                \
    X(REVERSED, "reversed")                                                                        \
    X(NOT_SENT, "not_sent")                                                                        \
    X(BOUNCED, "bounced")                                                                          \
    X(OPTED_OUT, "opted_out")                                                                      \
    X(EXPIRED, "expired")                                                                          \
    X(WITHDRAWN, "withdrawn")

enum cvm_decision_state {
#define X(symbol, name) CVM_DECISION_##symbol,
    CVM_DECISION_STATE_TABLE(X)
#undef X
        CVM_DECISION_STATE_COUNT
};
const char *cvm_decision_state_name(enum cvm_decision_state state);

struct cvm_decision {
    const char *run_id;
    uint64_t customer_key;
    const char *customer_id;
    const char *treatment; /* id */
    const char *offer;     /* room: NULL */
    const char *content;   /* room: NULL */
    const char *language;  /* NULL = unknown */
    const char *channel;   /* resolved: "call", ... "none" */
    const char *withheld;  /* what the control group kept from the customer; NULL = nothing. A ghost
                              is given nothing else: treatment says the same */
    double value;
    double sd;
    double price;
    int64_t cost_micro;
    int64_t incentive_micro; /* expected: reach x accept x incentive; the one that budgets count */
    int reason;              /* enum cvm_reason */
    double churn;            /* p in the horizon if untreated, as it was decided with */
    const char *arm;         /* "treated", "universal_control", "holdout:<action>" */
    double selection_probability;
    bool ghost;
    int64_t earliest_at_ms; /* 0 = not set */
    int64_t latest_at_ms;   /* then it expires */
    enum cvm_decision_state state;
    int64_t export; /* plan_export.export that handed it over; 0 = none yet */
};

#define CVM_DECISION_ID_SIZE 64
/* run_id '.' customer_key in 16 hex digits */
const char *cvm_decision_id(const char *run_id, uint64_t customer_key,
                            char id[CVM_DECISION_ID_SIZE]);
/* False if malformed. run_id must hold CVM_DECISION_ID_SIZE bytes. */
bool cvm_decision_id_parse(const char *id, char *out_run_id, uint64_t *out_customer_key);

#endif
