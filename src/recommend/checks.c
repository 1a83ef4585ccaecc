#include "recommend/checks.h"

#include <assert.h>
#include <string.h>

#include "recommend/recommender.h"

static_assert(CVM_CHECK_STRIP == CVM_STRIP_SIZE, "one strip is one strip");

static bool is_withheld(const struct cvm_recommender *recommender, size_t suppression,
                        size_t treatment)
{
    return (recommender->standing.withheld[suppression] >> treatment & 1) != 0;
}

static bool is_governed(const struct cvm_recommender *recommender, size_t limit, size_t treatment)
{
    uint16_t closes = recommender->standing.closes[limit];
    uint64_t governed = recommender->catalogue->policy.rules[limit].treatments;
    return closes == 0 ? (governed >> treatment & 1) != 0
                       : (closes & recommender->gates[treatment].mask) != 0;
}

size_t cvm_recommend_checks(const struct cvm_recommender *recommender, size_t treatment,
                            struct cvm_check *out_checks)
{
    const struct cvm_catalogue *catalogue = recommender->catalogue;
    const struct cvm_gate *gate = &recommender->gates[treatment];
    size_t count = 0;
    assert(treatment < catalogue->treatment_count);
    if (gate->fixed != CVM_REASON_PERMITTED) {
        out_checks[count++] = (struct cvm_check){.reason = gate->fixed};
        return count;
    }
    if (gate->channel_count > 0) {
        out_checks[count++] = (struct cvm_check){.reason = CVM_REASON_NO_CONSENT};
    }
    for (size_t s = 0; s < catalogue->suppression_count; s++) {
        const struct cvm_suppression *suppression = &catalogue->suppressions[s];
        if (is_withheld(recommender, s, treatment)) {
            out_checks[count++] =
                (struct cvm_check){CVM_REASON_SUPPRESSED, suppression->name,
                                   suppression->display_name, suppression->when.text};
        }
    }
    for (size_t r = 0; r < recommender->standing.limit_count; r++) {
        const struct cvm_policy_rule *rule = &catalogue->policy.rules[r];
        if (is_governed(recommender, r, treatment)) {
            out_checks[count++] = (struct cvm_check){CVM_REASON_CONTACT_POLICY, rule->name,
                                                     rule->display_name, rule->allows.text};
        }
    }
    for (size_t s = 0; s < gate->stage_count; s++) {
        const struct cvm_rule *rule = gate->stages[s].rule;
        for (size_t c = 0; c < rule->clause_count; c++) {
            out_checks[count++] = (struct cvm_check){.reason = gate->stages[s].reason,
                                                     .rule = rule->clauses[c].whole.text};
        }
    }
    return count;
}

/* ---- strips ---- */

struct strip_checks {
    const struct cvm_recommender *recommender;
    size_t treatment;
    struct cvm_rule_rows rows;
    size_t count;
    unsigned char *next; /* where the next check's column goes */
};

static unsigned char *take_column(struct strip_checks *checks)
{
    unsigned char *column = checks->next;
    checks->next += CVM_CHECK_STRIP;
    return column;
}

static void negate(unsigned char *column, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        column[i] ^= 1;
    }
}

static void check_consent(struct strip_checks *checks, const struct cvm_standing *standing)
{
    uint16_t mask = checks->recommender->gates[checks->treatment].mask;
    unsigned char *fails = take_column(checks);
    for (size_t i = 0; i < checks->count; i++) {
        fails[i] = (standing->consented[i] & mask) == 0;
    }
}

static void check_suppressions(struct strip_checks *checks)
{
    const struct cvm_catalogue *catalogue = checks->recommender->catalogue;
    for (size_t s = 0; s < catalogue->suppression_count; s++) {
        if (is_withheld(checks->recommender, s, checks->treatment)) {
            cvm_rule_mask(&catalogue->suppressions[s].when, &checks->rows, checks->count,
                          take_column(checks));
        }
    }
}

static void check_limits(struct strip_checks *checks, const struct cvm_standing *standing)
{
    const struct cvm_recommender *recommender = checks->recommender;
    uint16_t mask = recommender->gates[checks->treatment].mask;
    for (size_t r = 0; r < recommender->standing.limit_count; r++) {
        if (!is_governed(recommender, r, checks->treatment)) {
            continue;
        }
        unsigned char *fails = take_column(checks);
        cvm_rule_mask(&recommender->catalogue->policy.rules[r].allows, &checks->rows, checks->count,
                      fails);
        negate(fails, checks->count);
        for (size_t i = 0; recommender->standing.closes[r] != 0 && i < checks->count; i++) {
            bool was_open = (standing->consented[i] & mask) != 0;
            bool is_shut = (standing->open[i] & mask) == 0;
            fails[i] &= (unsigned char)(was_open & is_shut);
        }
    }
}

static void check_rules(struct strip_checks *checks)
{
    const struct cvm_gate *gate = &checks->recommender->gates[checks->treatment];
    for (size_t s = 0; s < gate->stage_count; s++) {
        const struct cvm_rule *rule = gate->stages[s].rule;
        for (size_t c = 0; c < rule->clause_count; c++) {
            unsigned char *fails = take_column(checks);
            cvm_rule_part_mask(&rule->clauses[c].whole, &checks->rows, checks->count, fails);
            negate(fails, checks->count);
        }
    }
}

void cvm_recommend_check_strip(const struct cvm_recommender *recommender,
                               const struct cvm_chunk *chunk, size_t from, size_t count,
                               size_t treatment, const struct cvm_check_results *out_results)
{
    struct cvm_standing standing;
    struct cvm_strip strip;
    struct strip_checks checks = {
        .recommender = recommender,
        .treatment = treatment,
        .rows = cvm_chunk_rows(chunk, from, recommender->as_of_day),
        .count = count,
        .next = out_results->fails,
    };
    assert(count <= CVM_CHECK_STRIP && treatment < recommender->catalogue->treatment_count);
    cvm_strip_fill(recommender, chunk, from, count, &strip);
    cvm_strip_values(recommender, treatment, &strip, out_results->values);
    memcpy(out_results->margins, strip.margins, count * sizeof(float));
    if (out_results->segments != NULL) {
        memcpy(out_results->segments, strip.segments, count);
    }
    if (recommender->gates[treatment].fixed != CVM_REASON_PERMITTED) {
        memset(take_column(&checks), 1, count);
        return;
    }
    cvm_standing_fill(&recommender->standing, chunk, from, count, &standing);
    if (recommender->gates[treatment].channel_count > 0) {
        check_consent(&checks, &standing);
    }
    check_suppressions(&checks);
    check_limits(&checks, &standing);
    check_rules(&checks);
}
