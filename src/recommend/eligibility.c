#include "recommend/eligibility.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/date.h"

static const char *const compare_words[] = {"==", "!=", "<", "<=", ">", ">="};

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

static enum cvm_status rule_text(struct cvm_arena *arena, const struct cvm_feature *feature,
                                 const struct cvm_comparison *comparison, const char **out_text,
                                 struct cvm_error *err)
{
    char text[320];
    const char *word = NULL;
    for (size_t i = 0; feature->words != NULL && feature->words[i] != NULL; i++) {
        word = (double)i == comparison->value ? feature->words[i] : word;
    }
    int length = word != NULL ? snprintf(text, sizeof(text), "%s %s '%s'", feature->name,
                                         compare_words[comparison->compare], word)
                              : snprintf(text, sizeof(text), "%s %s %.12g", feature->name,
                                         compare_words[comparison->compare], comparison->value);
    const char *copy = length < 0 ? NULL : cvm_arena_string(arena, text);
    if (copy == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the rules");
    }
    *out_text = copy;
    return CVM_OK;
}

static enum cvm_status add_stage(struct cvm_gate *gate, struct cvm_arena *arena,
                                 const struct cvm_catalogue *catalogue,
                                 const struct cvm_condition *condition, enum cvm_reason reason,
                                 struct cvm_error *err)
{
    if (condition->count == 0) {
        return CVM_OK;
    }
    const char **rules = CVM_NEW_ARRAY(arena, condition->count, const char *);
    if (rules == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the rules");
    }
    for (size_t i = 0; i < condition->count; i++) {
        const struct cvm_comparison *comparison = &condition->comparisons[i];
        if (comparison->operand >= catalogue->feature_count ||
            comparison->compare > CVM_GREATER_EQUAL) {
            return CVM_FAIL(err, CVM_E_INVALID, "rule '%s' compares an unknown feature",
                            condition->text != NULL ? condition->text : "");
        }
        enum cvm_status status =
            rule_text(arena, &catalogue->features[comparison->operand], comparison, &rules[i], err);
        if (status != CVM_OK) {
            return status;
        }
    }
    gate->stages[gate->stage_count++] = (struct cvm_gate_stage){condition, reason, rules};
    return CVM_OK;
}

enum cvm_status cvm_gate_init(struct cvm_gate *gate, struct cvm_arena *arena,
                              const struct cvm_catalogue *catalogue,
                              const struct cvm_recommend_options *options, int number,
                              struct cvm_error *err)
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

    enum cvm_status status =
        add_stage(gate, arena, catalogue, &treatment->eligible, CVM_REASON_NOT_ELIGIBLE, err);
    if (options->forced_treatment == number) {
        return status;
    }
    if (status == CVM_OK) {
        status = add_stage(gate, arena, catalogue, &treatment->applicable,
                           CVM_REASON_NOT_APPLICABLE, err);
    }
    if (status == CVM_OK) {
        status =
            add_stage(gate, arena, catalogue, &treatment->suitable, CVM_REASON_NOT_SUITABLE, err);
    }
    return status;
}

/* ---- columns ---- */

/* The same as cvm_compare_holds(), a loop per operator: NaN fails every one of them. */
static void and_comparison(const struct cvm_comparison *comparison, const double *column,
                           size_t count, unsigned char *mask)
{
    double right = comparison->value;
    switch ((enum cvm_compare)comparison->compare) {
    case CVM_EQUAL:
        for (size_t i = 0; i < count; i++) {
            mask[i] &= column[i] == right;
        }
        break;
    case CVM_NOT_EQUAL: /* less or greater, so that a missing one on either side fails */
        for (size_t i = 0; i < count; i++) {
            mask[i] &= (column[i] < right) | (column[i] > right);
        }
        break;
    case CVM_LESS:
        for (size_t i = 0; i < count; i++) {
            mask[i] &= column[i] < right;
        }
        break;
    case CVM_LESS_EQUAL:
        for (size_t i = 0; i < count; i++) {
            mask[i] &= column[i] <= right;
        }
        break;
    case CVM_GREATER:
        for (size_t i = 0; i < count; i++) {
            mask[i] &= column[i] > right;
        }
        break;
    case CVM_GREATER_EQUAL:
        for (size_t i = 0; i < count; i++) {
            mask[i] &= column[i] >= right;
        }
        break;
    }
}

void cvm_condition_mask(const struct cvm_condition *condition, const struct cvm_chunk *chunk,
                        size_t from, size_t count, unsigned char *mask)
{
    memset(mask, 1, count);
    for (size_t i = 0; i < condition->count; i++) {
        const struct cvm_comparison *comparison = &condition->comparisons[i];
        assert(comparison->operand < chunk->feature_count);
        and_comparison(comparison,
                       chunk->features + (size_t)comparison->operand * chunk->capacity + from,
                       count, mask);
    }
}

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
        cvm_condition_mask(gate->stages[s].condition, chunk, from, count, mask);
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

static void explain_stages(const struct cvm_gate *gate, const double *features, size_t stride,
                           struct cvm_gate_answer *answer)
{
    for (size_t s = 0; s < gate->stage_count; s++) {
        const struct cvm_gate_stage *stage = &gate->stages[s];
        for (size_t i = 0; i < stage->condition->count; i++) {
            const struct cvm_comparison *comparison = &stage->condition->comparisons[i];
            double value = features[comparison->operand * stride];
            if (!cvm_compare_holds(value, (enum cvm_compare)comparison->compare,
                                   comparison->value)) {
                answer->reason = stage->reason;
                answer->failed_rule = stage->rules[i];
                answer->failed_value = value;
                return;
            }
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
        explain_stages(gate, chunk->features + customer, chunk->capacity, &answer);
    }
    *out_answer = answer;
}
