#include "recommend/eligibility.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/date.h"

/* ---- compiling ---- */

static void add_channel(struct cvm_gate *gate, enum cvm_channel channel, enum cvm_purpose purpose)
{
    uint32_t bit = cvm_consent_bit(channel, gate->direction, purpose);
    gate->channels[gate->channel_count] = channel;
    gate->bits[gate->channel_count] = bit;
    gate->channel_count++;
    gate->mask |= bit;
}

/* The channels that may carry the contact; none when the request's channel excludes them all. */
static void set_channels(struct cvm_gate *gate, const struct cvm_catalogue *catalogue,
                         const struct cvm_treatment *treatment, enum cvm_channel asked)
{
    bool is_open = asked == CVM_CHANNEL_UNSET || asked == CVM_CHANNEL_ANY;
    if (treatment->channel < CVM_CHANNEL_COUNT && (is_open || asked == treatment->channel)) {
        add_channel(gate, treatment->channel, treatment->purpose);
    }
    for (size_t i = 0; treatment->channel == CVM_CHANNEL_ANY && i < CVM_CHANNEL_COUNT; i++) {
        enum cvm_channel channel = catalogue->consent_words.any_order[i];
        if (channel < CVM_CHANNEL_COUNT && (is_open || asked == channel)) {
            add_channel(gate, channel, treatment->purpose);
        }
    }
}

static enum cvm_reason fixed_reason(const struct cvm_gate *gate,
                                    const struct cvm_treatment *treatment,
                                    const struct cvm_recommend_options *options, int number)
{
    if (!treatment->enabled) {
        return CVM_REASON_DISABLED;
    }
    if ((treatment->valid_from_day != CVM_DAY_NONE &&
         options->as_of_day < treatment->valid_from_day) ||
        (treatment->valid_to_day != CVM_DAY_NONE && options->as_of_day > treatment->valid_to_day)) {
        return CVM_REASON_NOT_VALID;
    }
    if (treatment->channel >= CVM_CHANNEL_UNSET || treatment->purpose >= CVM_PURPOSE_UNSET) {
        return CVM_REASON_NO_CHANNEL;
    }
    if ((options->allowed >> number & 1) == 0) {
        return CVM_REASON_NOT_ALLOWED;
    }
    if (treatment->channel != CVM_CHANNEL_NONE && gate->channel_count == 0) {
        return CVM_REASON_NOT_ALLOWED; /* the request is for another channel */
    }
    return CVM_REASON_PERMITTED;
}

static void add_stage(struct cvm_gate *gate, const struct cvm_rule *rule, enum cvm_reason reason)
{
    if (rule->clause_count > 0) {
        gate->stages[gate->stage_count++] = (struct cvm_gate_stage){rule, reason};
    }
}

void cvm_gate_init(struct cvm_gate *gate, const struct cvm_catalogue *catalogue,
                   const struct cvm_recommend_options *options, int number)
{
    const struct cvm_treatment *treatment = &catalogue->treatments[number];
    memset(gate, 0, sizeof(*gate));
    gate->direction = options->direction;
    gate->declared = treatment->channel;
    if (treatment->purpose < CVM_PURPOSE_UNSET) {
        set_channels(gate, catalogue, treatment, options->channel);
    }
    gate->asks_consent = gate->channel_count > 0;
    gate->fixed = fixed_reason(gate, treatment, options, number);

    add_stage(gate, &treatment->eligible, CVM_REASON_NOT_ELIGIBLE);
    if (options->forced_treatment != number) {
        add_stage(gate, &treatment->applicable, CVM_REASON_NOT_APPLICABLE);
        add_stage(gate, &treatment->suitable, CVM_REASON_NOT_SUITABLE);
    }
}

/* ---- columns ---- */

/* Outbound: permission must be on record. Inbound: the customer came to us, so only a recorded
 * refusal of inbound offers counts; nothing outbound is asked. */
static uint32_t usable_bits(const struct cvm_gate *gate, const struct cvm_consent *consent)
{
    if (gate->direction == CVM_DIRECTION_INBOUND) {
        return consent->has_record ? ~(consent->recorded & ~consent->granted) : ~UINT32_C(0);
    }
    return consent->has_record ? consent->recorded & consent->granted : 0;
}

static void check_consent(const struct cvm_gate *gate, const struct cvm_consent *consents,
                          size_t count, unsigned char *reasons)
{
    for (size_t i = 0; i < count; i++) {
        bool is_allowed = (usable_bits(gate, &consents[i]) & gate->mask) != 0;
        reasons[i] = (unsigned char)(is_allowed               ? CVM_REASON_PERMITTED
                                     : consents[i].has_record ? CVM_REASON_NO_CONSENT
                                                              : CVM_REASON_NO_CONSENT_RECORD);
    }
}

void cvm_gate_check(const struct cvm_gate *gate, const struct cvm_chunk *chunk, size_t from,
                    size_t count, unsigned char *reasons)
{
    unsigned char mask[CVM_STRIP_SIZE];
    const struct cvm_rule_rows rows = {
        .values = chunk->features, .stride = chunk->capacity, .from = from};
    assert(count <= CVM_STRIP_SIZE);
    memset(reasons, (int)gate->fixed, count);
    if (gate->fixed != CVM_REASON_PERMITTED) {
        return;
    }
    if (gate->asks_consent) {
        check_consent(gate, chunk->consents + from, count, reasons);
    }
    for (size_t s = 0; s < gate->stage_count; s++) {
        unsigned char refusal = (unsigned char)gate->stages[s].reason;
        cvm_rule_mask(gate->stages[s].rule, &rows, count, mask);
        for (size_t i = 0; i < count; i++) {
            bool fails = (reasons[i] == CVM_REASON_PERMITTED) & (mask[i] == 0);
            reasons[i] = fails ? refusal : reasons[i];
        }
    }
}

/* ---- one customer ---- */

static enum cvm_channel resolve_channel(const struct cvm_gate *gate,
                                        const struct cvm_consent *consent)
{
    uint32_t usable = usable_bits(gate, consent);
    for (size_t i = 0; i < gate->channel_count; i++) {
        if ((usable & gate->bits[i]) != 0) {
            return gate->channels[i];
        }
    }
    return gate->declared;
}

static void explain_stages(const struct cvm_gate *gate, const struct cvm_rule_rows *rows,
                           struct cvm_gate_answer *answer)
{
    for (size_t s = 0; s < gate->stage_count; s++) {
        const struct cvm_gate_stage *stage = &gate->stages[s];
        const struct cvm_rule_clause *failed = cvm_rule_failed(stage->rule, rows);
        if (failed != NULL) {
            size_t operand = failed->whole.operands[0];
            answer->reason = stage->reason;
            answer->failed_rule = failed->whole.text;
            answer->failed_value = rows->values[operand * rows->stride + rows->from];
            return;
        }
    }
}

void cvm_gate_explain(const struct cvm_gate *gate, const struct cvm_chunk *chunk, size_t customer,
                      struct cvm_gate_answer *out_answer)
{
    unsigned char reason = (unsigned char)gate->fixed;
    struct cvm_gate_answer answer = {.channel = gate->declared, .failed_value = NAN};
    answer.channel = resolve_channel(gate, &chunk->consents[customer]);
    if (gate->fixed == CVM_REASON_PERMITTED && gate->asks_consent) {
        check_consent(gate, &chunk->consents[customer], 1, &reason);
    }
    answer.reason = (enum cvm_reason)reason;
    if (answer.reason == CVM_REASON_PERMITTED) {
        explain_stages(gate,
                       &(struct cvm_rule_rows){
                           .values = chunk->features, .stride = chunk->capacity, .from = customer},
                       &answer);
    }
    *out_answer = answer;
}
