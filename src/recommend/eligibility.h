/* eligibility.h - may this customer get this treatment: validity, consent, suppression, contact
 * policy and rules, in code.
 *
 * For files of recommend/ only. A gate is one treatment's checks, compiled for one run: kill
 * switch, enabled, dates, channel and purpose set, allowed by the request, then consent,
 * suppressions and limits (standing.h), then the rules eligible, applicable, suitable. The first
 * that fails gives the reason.
 */
#ifndef CVM_RECOMMEND_ELIGIBILITY_H
#define CVM_RECOMMEND_ELIGIBILITY_H

#include "recommend/standing.h"

#define CVM_GATE_STAGES 3

struct cvm_gate_stage {
    const struct cvm_rule *rule;
    enum cvm_reason reason;
};

struct cvm_gate {
    int treatment;
    enum cvm_reason fixed; /* the same refusal for everybody, or CVM_REASON_PERMITTED */
    enum cvm_channel declared;
    enum cvm_channel channels[CVM_CHANNEL_COUNT]; /* in the order in which they are tried */
    uint16_t bits[CVM_CHANNEL_COUNT];             /* cvm_contact_bit() of each */
    size_t channel_count;                         /* 0 = makes no contact, when it is permitted */
    uint16_t mask;                                /* all bits */
    struct cvm_gate_stage stages[CVM_GATE_STAGES];
    size_t stage_count;
};

void cvm_gate_init(struct cvm_gate *gate, const struct cvm_catalogue *catalogue,
                   const struct cvm_recommend_options *options, int treatment);

/* reasons[i] for the customers of the strip. */
void cvm_gate_check(const struct cvm_gate *gate, const struct cvm_standing *standing,
                    const struct cvm_rule_rows *rows, unsigned char *reasons);

/* The first channel among these contact bits; the declared one when there is none. */
enum cvm_channel cvm_gate_channel(const struct cvm_gate *gate, uint16_t usable);

/* One customer (a strip of one): the same reason, the channel, and what failed. */
struct cvm_gate_answer {
    enum cvm_reason reason;
    enum cvm_channel channel;
    const char *failed_name;
    const char *failed_rule;
    const struct cvm_rule_clause *failed_clause;
    int failed_feature;
    double failed_value;
};
void cvm_gate_explain(const struct cvm_gate *gate, const struct cvm_standing_rules *rules,
                      const struct cvm_chunk *chunk, size_t customer,
                      struct cvm_gate_answer *out_answer);

#endif
