#include "recommend/standing.h"

#include <assert.h>
#include <string.h>

/* ---- compiling ---- */

static uint64_t withheld_by(const struct cvm_catalogue *catalogue,
                            const struct cvm_suppression *suppression)
{
    uint64_t treatments = 0;
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        const struct cvm_treatment *treatment = &catalogue->treatments[t];
        bool is_covered = treatment->channel != CVM_CHANNEL_NONE || suppression->covers_no_contact;
        if (is_covered && (suppression->purposes >> treatment->purpose & 1) != 0) {
            treatments |= UINT64_C(1) << t;
        }
    }
    return treatments;
}

static uint16_t closed_by(const struct cvm_catalogue *catalogue, const struct cvm_policy_rule *rule)
{
    uint16_t bits = 0;
    for (size_t t = 0; rule->channel < CVM_CHANNEL_COUNT && t < catalogue->treatment_count; t++) {
        enum cvm_purpose purpose = catalogue->treatments[t].purpose;
        if ((rule->treatments >> t & 1) != 0 && purpose < CVM_PURPOSE_COUNT) {
            bits |= cvm_contact_bit(rule->channel, purpose);
        }
    }
    return bits;
}

void cvm_standing_rules_init(struct cvm_standing_rules *rules,
                             const struct cvm_catalogue *catalogue,
                             const struct cvm_recommend_options *options)
{
    const struct cvm_contact_policy *policy = &catalogue->policy;
    bool is_inbound = options->direction == CVM_DIRECTION_INBOUND;
    assert(catalogue->suppression_count <= CVM_SUPPRESSIONS_MAX);
    assert(policy->rule_count <= CVM_POLICY_RULES_MAX);
    memset(rules, 0, sizeof(*rules));
    rules->catalogue = catalogue;
    rules->direction = options->direction;
    rules->as_of_day = options->as_of_day;
    for (int c = 0; c < CVM_CHANNEL_COUNT; c++) {
        for (int p = 0; (options->stopped_channels >> c & 1) != 0 && p < CVM_PURPOSE_COUNT; p++) {
            rules->stopped |= cvm_contact_bit((enum cvm_channel)c, (enum cvm_purpose)p);
        }
    }
    for (size_t s = 0; s < catalogue->suppression_count; s++) {
        rules->withheld[s] = withheld_by(catalogue, &catalogue->suppressions[s]);
    }
    rules->limit_count = is_inbound ? 0 : policy->rule_count;
    for (size_t r = 0; r < rules->limit_count; r++) {
        rules->closes[r] = closed_by(catalogue, &policy->rules[r]);
    }
}

/* ---- columns ---- */

struct cvm_rule_rows cvm_chunk_rows(const struct cvm_chunk *chunk, size_t from, int32_t as_of_day)
{
    return (struct cvm_rule_rows){
        .values = chunk->features, .stride = chunk->capacity, .from = from, .today = as_of_day};
}

/* The bits of one direction, as cvm_contact_bit() numbers them. */
static uint16_t contact_bits(uint32_t consent_bits, enum cvm_direction direction)
{
    unsigned bits = 0;
    unsigned one_channel = (1u << CVM_PURPOSE_COUNT) - 1;
    for (unsigned c = 0; c < CVM_CHANNEL_COUNT; c++) {
        unsigned from = (c * CVM_DIRECTION_COUNT + (unsigned)direction) * CVM_PURPOSE_COUNT;
        bits |= (consent_bits >> from & one_channel) << (c * CVM_PURPOSE_COUNT);
    }
    return (uint16_t)bits;
}

/* Outbound: permission must be on record. Inbound: the customer came to us, so only a recorded
 * refusal of inbound offers counts; nothing outbound is asked. */
static void fill_consents(const struct cvm_standing_rules *rules,
                          const struct cvm_consent *consents, struct cvm_standing *standing)
{
    bool is_inbound = rules->direction == CVM_DIRECTION_INBOUND;
    for (size_t i = 0; i < standing->count; i++) {
        const struct cvm_consent *consent = &consents[i];
        uint32_t given = is_inbound ? ~(consent->recorded & ~consent->granted)
                                    : consent->recorded & consent->granted;
        uint32_t without_record = is_inbound ? ~UINT32_C(0) : 0;
        uint16_t bits =
            contact_bits(consent->has_record ? given : without_record, rules->direction);
        standing->has_record[i] = consent->has_record;
        standing->consented[i] = bits & (uint16_t)~rules->stopped;
    }
}

static void add_suppression(uint64_t treatments, const unsigned char *mask,
                            struct cvm_standing *standing)
{
    for (size_t i = 0; i < standing->count; i++) {
        standing->suppressed[i] |= treatments & (0 - (uint64_t)mask[i]);
    }
}

/* mask: one more contact is allowed */
static void add_limit(const struct cvm_policy_rule *rule, uint16_t closes,
                      const unsigned char *mask, struct cvm_standing *standing)
{
    uint64_t treatments = closes == 0 ? rule->treatments : 0;
    for (size_t i = 0; i < standing->count; i++) {
        standing->limited[i] |= treatments & ((uint64_t)mask[i] - 1);
        standing->open[i] &= (uint16_t) ~(closes & ((unsigned)mask[i] - 1));
    }
}

void cvm_standing_fill(const struct cvm_standing_rules *rules, const struct cvm_chunk *chunk,
                       size_t from, size_t count, struct cvm_standing *out_standing)
{
    unsigned char mask[CVM_STRIP_SIZE];
    const struct cvm_catalogue *catalogue = rules->catalogue;
    const struct cvm_rule_rows rows = cvm_chunk_rows(chunk, from, rules->as_of_day);
    assert(count <= CVM_STRIP_SIZE && from + count <= chunk->count);
    out_standing->from = from;
    out_standing->count = count;
    memset(out_standing->suppressed, 0, count * sizeof(out_standing->suppressed[0]));
    memset(out_standing->limited, 0, count * sizeof(out_standing->limited[0]));
    fill_consents(rules, chunk->consents + from, out_standing);
    memcpy(out_standing->open, out_standing->consented, count * sizeof(out_standing->open[0]));
    for (size_t s = 0; s < catalogue->suppression_count; s++) {
        if (rules->withheld[s] != 0) {
            cvm_rule_mask(&catalogue->suppressions[s].when, &rows, count, mask);
            add_suppression(rules->withheld[s], mask, out_standing);
        }
    }
    for (size_t r = 0; r < rules->limit_count; r++) {
        const struct cvm_policy_rule *rule = &catalogue->policy.rules[r];
        if (rule->treatments != 0) {
            cvm_rule_mask(&rule->allows, &rows, count, mask);
            add_limit(rule, rules->closes[r], mask, out_standing);
        }
    }
}
