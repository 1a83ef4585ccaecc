#include "recommend/eligibility.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/date.h"

/* ---- compiling ---- */

struct gate_channels {
    const struct cvm_recommend_options *options;
    bool has_stopped; /* a channel that would have served is stopped */
};

static void try_channel(struct cvm_gate *gate, struct gate_channels *state,
                        enum cvm_channel channel, enum cvm_purpose purpose)
{
    enum cvm_channel asked = state->options->channel;
    bool is_open = asked == CVM_CHANNEL_UNSET || asked == CVM_CHANNEL_ANY || asked == channel;
    if (channel >= CVM_CHANNEL_COUNT || !is_open) {
        return;
    }
    if ((state->options->stopped_channels >> channel & 1) != 0) {
        state->has_stopped = true;
        return;
    }
    uint16_t bit = cvm_contact_bit(channel, purpose);
    gate->channels[gate->channel_count] = channel;
    gate->bits[gate->channel_count] = bit;
    gate->channel_count++;
    gate->mask |= bit;
}

/* The channels that may carry the contact; none when the request's channel or kill switches
 * exclude them all. */
static void set_channels(struct cvm_gate *gate, struct gate_channels *state,
                         const struct cvm_catalogue *catalogue,
                         const struct cvm_treatment *treatment)
{
    if (treatment->purpose >= CVM_PURPOSE_UNSET) {
        return;
    }
    if (treatment->channel != CVM_CHANNEL_ANY) {
        try_channel(gate, state, treatment->channel, treatment->purpose);
        return;
    }
    for (size_t i = 0; i < CVM_CHANNEL_COUNT; i++) {
        try_channel(gate, state, catalogue->consent_words.any_order[i], treatment->purpose);
    }
}

static bool is_valid_on(const struct cvm_treatment *treatment, int32_t day)
{
    return (treatment->valid_from_day == CVM_DAY_NONE || day >= treatment->valid_from_day) &&
           (treatment->valid_to_day == CVM_DAY_NONE || day <= treatment->valid_to_day);
}

static enum cvm_reason fixed_reason(const struct cvm_gate *gate,
                                    const struct cvm_treatment *treatment,
                                    const struct gate_channels *channels)
{
    const struct cvm_recommend_options *options = channels->options;
    bool lacks_channel = treatment->channel != CVM_CHANNEL_NONE && gate->channel_count == 0;
    if ((options->stopped >> gate->treatment & 1) != 0 ||
        (lacks_channel && channels->has_stopped)) {
        return CVM_REASON_STOPPED;
    }
    if (!treatment->enabled) {
        return CVM_REASON_DISABLED;
    }
    if (!is_valid_on(treatment, options->as_of_day)) {
        return CVM_REASON_NOT_VALID;
    }
    if (treatment->channel >= CVM_CHANNEL_UNSET || treatment->purpose >= CVM_PURPOSE_UNSET) {
        return CVM_REASON_NO_CHANNEL;
    }
    if ((options->allowed >> gate->treatment & 1) == 0 || lacks_channel) {
        return CVM_REASON_NOT_ALLOWED; /* the request is for others, or for another channel */
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
    struct gate_channels channels = {options, false};
    memset(gate, 0, sizeof(*gate));
    gate->treatment = number;
    gate->declared = treatment->channel;
    set_channels(gate, &channels, catalogue, treatment);
    gate->fixed = fixed_reason(gate, treatment, &channels);

    add_stage(gate, &treatment->eligible, CVM_REASON_NOT_ELIGIBLE);
    if (options->forced_treatment != number) {
        add_stage(gate, &treatment->applicable, CVM_REASON_NOT_APPLICABLE);
        add_stage(gate, &treatment->suitable, CVM_REASON_NOT_SUITABLE);
    }
}

/* ---- columns ---- */

/* How many are left. */
static size_t check_standing(const struct cvm_gate *gate, const struct cvm_standing *standing,
                             unsigned char *reasons)
{
    unsigned treatment = (unsigned)gate->treatment;
    uint16_t mask = gate->mask;
    bool makes_contact = gate->channel_count > 0;
    size_t left = 0;
    for (size_t i = 0; i < standing->count; i++) {
        bool has_consent = !makes_contact | ((standing->consented[i] & mask) != 0);
        bool is_suppressed = (standing->suppressed[i] >> treatment & 1) != 0;
        bool is_limited = ((standing->limited[i] >> treatment & 1) != 0) |
                          (makes_contact & ((standing->open[i] & mask) == 0));
        int refusal =
            standing->has_record[i] ? CVM_REASON_NO_CONSENT : CVM_REASON_NO_CONSENT_RECORD;
        int reason = is_limited ? CVM_REASON_CONTACT_POLICY : CVM_REASON_PERMITTED;
        reason = is_suppressed ? CVM_REASON_SUPPRESSED : reason;
        reason = has_consent ? reason : refusal;
        reasons[i] = (unsigned char)reason;
        left += reason == CVM_REASON_PERMITTED;
    }
    return left;
}

void cvm_gate_check(const struct cvm_gate *gate, const struct cvm_standing *standing,
                    const struct cvm_rule_rows *rows, unsigned char *reasons)
{
    unsigned char mask[CVM_STRIP_SIZE];
    size_t count = standing->count;
    if (gate->fixed != CVM_REASON_PERMITTED) {
        memset(reasons, (int)gate->fixed, count);
        return;
    }
    size_t left = check_standing(gate, standing, reasons);
    for (size_t s = 0; left > 0 && s < gate->stage_count; s++) {
        unsigned char refusal = (unsigned char)gate->stages[s].reason;
        cvm_rule_mask(gate->stages[s].rule, rows, count, mask);
        left = 0;
        for (size_t i = 0; i < count; i++) {
            bool fails = (reasons[i] == CVM_REASON_PERMITTED) & (mask[i] == 0);
            reasons[i] = fails ? refusal : reasons[i];
            left += reasons[i] == CVM_REASON_PERMITTED;
        }
    }
}

enum cvm_channel cvm_gate_channel(const struct cvm_gate *gate, uint16_t usable)
{
    for (size_t i = 0; i < gate->channel_count; i++) {
        if ((usable & gate->bits[i]) != 0) {
            return gate->channels[i];
        }
    }
    return gate->declared;
}

/* ---- one customer ---- */

static void name_clause(const struct cvm_rule_clause *clause, const struct cvm_rule_rows *rows,
                        struct cvm_gate_answer *answer)
{
    answer->failed_clause = clause;
    answer->failed_rule = clause->whole.text;
    if (clause->whole.operand_count > 0) {
        size_t operand = clause->whole.operands[0];
        answer->failed_feature = (int)operand;
        answer->failed_value = rows->values[operand * rows->stride + rows->from];
    }
}

static void explain_suppression(const struct cvm_gate *gate, const struct cvm_standing_rules *rules,
                                const struct cvm_rule_rows *rows, struct cvm_gate_answer *answer)
{
    for (size_t s = 0; s < rules->catalogue->suppression_count; s++) {
        const struct cvm_suppression *suppression = &rules->catalogue->suppressions[s];
        if ((rules->withheld[s] >> gate->treatment & 1) != 0 &&
            cvm_rule_holds(&suppression->when, rows)) {
            if (suppression->when.clause_count > 0) {
                name_clause(&suppression->when.clauses[0], rows, answer);
            }
            answer->failed_clause = NULL; /* it held, and no single value would lift it */
            answer->failed_name = suppression->name;
            answer->failed_rule = suppression->when.text;
            return;
        }
    }
}

/* The limit on everything that the treatment could be sent by: the first that refuses it as a
 * whole, else the last one that closed a channel. */
static void explain_limit(const struct cvm_gate *gate, const struct cvm_standing_rules *rules,
                          const struct cvm_rule_rows *rows, struct cvm_gate_answer *answer)
{
    for (size_t r = 0; r < rules->limit_count; r++) {
        const struct cvm_policy_rule *rule = &rules->catalogue->policy.rules[r];
        bool closes_channel = (rules->closes[r] & gate->mask) != 0;
        bool governs =
            rules->closes[r] == 0 ? (rule->treatments >> gate->treatment & 1) != 0 : closes_channel;
        const struct cvm_rule_clause *failed =
            governs ? cvm_rule_failed(&rule->allows, rows) : NULL;
        if (failed != NULL) {
            name_clause(failed, rows, answer);
            answer->failed_name = rule->name;
            if (!closes_channel) {
                return;
            }
        }
    }
}

static void explain_stages(const struct cvm_gate *gate, const struct cvm_rule_rows *rows,
                           struct cvm_gate_answer *answer)
{
    for (size_t s = 0; s < gate->stage_count; s++) {
        const struct cvm_rule_clause *failed = cvm_rule_failed(gate->stages[s].rule, rows);
        if (failed != NULL) {
            answer->reason = gate->stages[s].reason;
            name_clause(failed, rows, answer);
            return;
        }
    }
}

void cvm_gate_explain(const struct cvm_gate *gate, const struct cvm_standing_rules *rules,
                      const struct cvm_chunk *chunk, size_t customer,
                      struct cvm_gate_answer *out_answer)
{
    struct cvm_standing standing;
    unsigned char reason = (unsigned char)gate->fixed;
    struct cvm_gate_answer answer = {.failed_feature = CVM_INDEX_NONE, .failed_value = NAN};
    const struct cvm_rule_rows rows = cvm_chunk_rows(chunk, customer, rules->as_of_day);
    cvm_standing_fill(rules, chunk, customer, 1, &standing);
    answer.channel = cvm_gate_channel(gate, standing.open[0]);
    if (gate->fixed == CVM_REASON_PERMITTED) {
        (void)check_standing(gate, &standing, &reason);
    }
    answer.reason = (enum cvm_reason)reason;
    if (reason == CVM_REASON_SUPPRESSED) {
        explain_suppression(gate, rules, &rows, &answer);
    } else if (reason == CVM_REASON_CONTACT_POLICY) {
        explain_limit(gate, rules, &rows, &answer);
    } else if (reason == CVM_REASON_PERMITTED) {
        explain_stages(gate, &rows, &answer);
    }
    *out_answer = answer;
}
