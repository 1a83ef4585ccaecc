/* reason.h - why a treatment was refused: a code in the store, a sentence on reading. Codes are
 * stored: only add at the end. */
#ifndef CVM_MODEL_REASON_H
#define CVM_MODEL_REASON_H

/* X(symbol, name, stage, sentence) */
#define CVM_REASON_TABLE(X)                                                                        \
    X(PERMITTED, "permitted", "", "Permitted.")                                                    \
    X(NO_CONSENT_RECORD, "no_consent_record", "consent",                                           \
      "The customer has no permission record, so no contact is allowed.")                          \
    X(NO_CONSENT, "no_consent", "consent",                                                         \
      "The customer has not consented to this channel for this purpose.")                          \
    X(SUPPRESSED, "suppressed", "suppression", "The customer is suppressed.")                      \
    X(CONTACT_POLICY, "contact_policy", "policy", "The contact policy does not allow it now.")     \
    X(NOT_ELIGIBLE, "not_eligible", "eligible", "The customer is not eligible.")                   \
    X(NOT_APPLICABLE, "not_applicable", "applicable", "It does not apply to the customer now.")    \
    X(NOT_SUITABLE, "not_suitable", "suitable", "It does not suit the customer.")                  \
    X(NOT_VALID, "not_valid", "validity", "The treatment is not valid on this date.")              \
    X(DISABLED, "disabled", "validity", "The treatment is disabled.")                              \
    X(NO_CHANNEL, "no_channel", "validity",                                                        \
      "The treatment has no channel or purpose yet, so it can not be used for a contact.")         \
    X(NOT_ALLOWED, "not_allowed", "request", "The request does not allow this treatment.")         \
    X(NO_VALUE, "no_value", "value", "Its value is not positive: doing nothing is worth more.")    \
    X(BELOW_PRICE, "below_price", "allocation",                                                    \
      "Its value is below the price of the scarce means that it needs.")                           \
    X(LOST_TO_BETTER, "lost_to_better", "allocation", "Another treatment is worth more.")          \
    X(NO_CAPACITY, "no_capacity", "allocation", "No availability is left.")                        \
    X(NOT_FOUND, "not_found", "request", "There is no such customer.")                             \
    X(NO_JOURNEY, "no_journey", "request", "The customer has no events.")                          \
    X(UNKNOWN_TREATMENT, "unknown_treatment", "request", "There is no such treatment.")            \
    X(BEST_VALUE, "best_value", "decision",                                                        \
      "It has the best value after the price of scarce means.")                                    \
    X(FORCED, "forced", "decision", "It was asked for.")                                           \
    X(FORCED_NEGATIVE, "forced_negative", "decision",                                              \
      "It was asked for, although its value is negative.")                                         \
    X(ALREADY_DECIDED, "already_decided", "request",                                               \
      "The customer already has a live decision for this date.")                                   \
    X(STOPPED, "stopped", "validity", "The treatment or its channel is stopped by a kill switch.") \
    X(HELD_OUT, "held_out", "control", "A control group keeps it from the customer.")              \
    X(HOUSEHOLD, "household", "policy",                                                            \
      "Another member of the household is contacted: the household's limit is reached.")           \
    X(NOT_SELECTED, "not_selected", "request", "The trigger does not select the customer.")

enum cvm_reason {
#define X(symbol, name, stage, sentence) CVM_REASON_##symbol,
    CVM_REASON_TABLE(X)
#undef X
        CVM_REASON_COUNT
};

const char *cvm_reason_name(enum cvm_reason reason);
const char *cvm_reason_stage(enum cvm_reason reason);
const char *cvm_reason_sentence(enum cvm_reason reason);

#endif
