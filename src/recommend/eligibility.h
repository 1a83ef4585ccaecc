/* eligibility.h - may this customer get this treatment: validity, consent and rules, in code.
 *
 * For files of recommend/ only. A gate is one treatment's checks, compiled for one run:
 * enabled, dates, channel and purpose set, allowed by the request, consent, then the rules
 * eligible, applicable, suitable. The first that fails gives the reason.
 */
#ifndef CVM_RECOMMEND_ELIGIBILITY_H
#define CVM_RECOMMEND_ELIGIBILITY_H

#include "base/arena.h"
#include "recommend/action_value.h"

#define CVM_GATE_STAGES 3

struct cvm_gate_stage {
    const struct cvm_rule *rule;
    enum cvm_reason reason;
};

struct cvm_gate {
    enum cvm_reason fixed; /* the same refusal for everybody, or CVM_REASON_PERMITTED */
    enum cvm_direction direction;
    bool asks_consent;
    enum cvm_channel declared;
    enum cvm_channel channels[CVM_CHANNEL_COUNT]; /* in the order in which they are tried */
    uint32_t bits[CVM_CHANNEL_COUNT];             /* of the run's direction */
    size_t channel_count;
    uint32_t mask; /* all bits */
    struct cvm_gate_stage stages[CVM_GATE_STAGES];
    size_t stage_count;
};

void cvm_gate_init(struct cvm_gate *gate, const struct cvm_catalogue *catalogue,
                   const struct cvm_recommend_options *options, int treatment);

/* reasons[i] for customers [from, from + count), at most CVM_STRIP_SIZE. */
#define CVM_STRIP_SIZE 256
void cvm_gate_check(const struct cvm_gate *gate, const struct cvm_chunk *chunk, size_t from,
                    size_t count, unsigned char *reasons);

/* One customer: the same reason, the channel, and the comparison that failed. */
struct cvm_gate_answer {
    enum cvm_reason reason;
    enum cvm_channel channel;
    const char *failed_rule;
    double failed_value;
};
void cvm_gate_explain(const struct cvm_gate *gate, const struct cvm_chunk *chunk, size_t customer,
                      struct cvm_gate_answer *out_answer);

#endif
