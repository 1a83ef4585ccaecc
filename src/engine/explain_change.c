/* What would have to be otherwise for a treatment to be given: in words, with the numbers. */
#include <math.h>
#include <string.h>

#include "base/date.h"
#include "engine/explain_run.h"
#include "recommend/checks.h"

static const char *const sign_words[] = {
    [CVM_EQUAL] = "equal to ", [CVM_NOT_EQUAL] = "other than ",
    [CVM_LESS] = "below ",     [CVM_LESS_EQUAL] = "at most ",
    [CVM_GREATER] = "above ",  [CVM_GREATER_EQUAL] = "at least ",
};

static void add_value(const struct cvm_feature *feature, double value, struct cvm_text *out)
{
    char day[CVM_DAY_TEXT_SIZE];
    size_t words = 0;
    while (feature->words != NULL && feature->words[words] != NULL) {
        words++;
    }
    if (isnan(value)) {
        cvm_text_add(out, "unknown");
    } else if (value >= 0 && value < (double)words) {
        cvm_text_add_format(out, "'%s'", feature->words[(size_t)value]);
    } else if (feature->type == CVM_RULE_BOOL) {
        cvm_text_add(out, value != 0 ? "true" : "false");
    } else if (feature->type == CVM_RULE_DATE && fabs(value) < 1e6) {
        cvm_text_add(out, cvm_day_format((int32_t)value, day));
    } else if (feature->type == CVM_RULE_CODE) {
        cvm_text_add(out, "another");
    } else {
        cvm_text_add_format(out, "%.6g", value);
    }
}

/* "churn_90d at least 0.1"; a part that is no plain comparison as it is written. */
static void add_part(const struct cvm_catalogue *catalogue, const struct cvm_rule_part *part,
                     struct cvm_text *out)
{
    const struct cvm_comparison *comparison = &part->comparison;
    bool is_plain = part->is_simple && comparison->operand < catalogue->feature_count;
    if (!is_plain || catalogue->features[comparison->operand].type == CVM_RULE_CODE) {
        cvm_text_add(out, part->text);
        return;
    }
    const struct cvm_feature *feature = &catalogue->features[comparison->operand];
    cvm_text_add_format(out, "%s %s", feature->name, sign_words[comparison->compare]);
    add_value(feature, comparison->value, out);
}

static void add_clause(const struct cvm_catalogue *catalogue, const struct cvm_action_value *parts,
                       struct cvm_text *out)
{
    const struct cvm_rule_clause *clause = parts->failed_clause;
    for (size_t a = 0; a < clause->alternative_count; a++) {
        cvm_text_add(out, a == 0 ? "" : ", or ");
        add_part(catalogue, &clause->alternatives[a], out);
    }
    if (clause->alternative_count == 0) {
        add_part(catalogue, &clause->whole, out);
    }
    if (parts->failed_feature != CVM_INDEX_NONE) {
        const struct cvm_feature *feature = &catalogue->features[parts->failed_feature];
        cvm_text_add(out, clause->whole.operand_count > 1 ? " (" : " (it is ");
        if (clause->whole.operand_count > 1) {
            cvm_text_add_format(out, "%s is ", feature->name);
        }
        add_value(feature, parts->failed_value, out);
        cvm_text_add_char(out, ')');
    }
}

static const char *suppression_name(const struct cvm_catalogue *catalogue, const char *name)
{
    for (size_t s = 0; name != NULL && s < catalogue->suppression_count; s++) {
        if (strcmp(name, catalogue->suppressions[s].name) == 0) {
            return catalogue->suppressions[s].display_name;
        }
    }
    return name;
}

static void add_refusal(const struct cvm_catalogue *catalogue,
                        const struct cvm_explained_treatment *treatment, struct cvm_text *out)
{
    const struct cvm_treatment *t = &catalogue->treatments[treatment->treatment];
    switch (treatment->reason) {
    case CVM_REASON_NO_CONSENT:
    case CVM_REASON_NO_CONSENT_RECORD:
        cvm_text_add_format(out, "permission for %s by %s", cvm_purpose_words[t->purpose],
                            t->channel == CVM_CHANNEL_ANY ? "any channel"
                                                          : cvm_channel_words[t->channel]);
        break;
    case CVM_REASON_SUPPRESSED:
        cvm_text_add_format(out, "the end of the suppression '%s'",
                            suppression_name(catalogue, treatment->parts.failed_name));
        break;
    case CVM_REASON_STOPPED:
        cvm_text_add(out, "the end of the stop");
        break;
    case CVM_REASON_DISABLED:
        cvm_text_add(out, "the treatment enabled");
        break;
    case CVM_REASON_NO_CHANNEL:
        cvm_text_add(out, "a channel and a purpose");
        break;
    default:
        break;
    }
}

static void add_price(const struct cvm_explain_run *run,
                      const struct cvm_explained_treatment *treatment,
                      const struct cvm_explained_treatment *best, struct cvm_text *out)
{
    switch (treatment->reason) {
    case CVM_REASON_NO_VALUE:
        cvm_text_add_format(out, "a value higher by more than %.4f", -treatment->value);
        break;
    case CVM_REASON_BELOW_PRICE:
        cvm_text_add_format(out,
                            "a price below %.4f (it is %.4f), or a value higher by more "
                            "than %.4f",
                            treatment->value, treatment->price, -treatment->margin);
        break;
    case CVM_REASON_LOST_TO_BETTER:
        if (best != NULL && best != treatment) {
            cvm_text_add_format(out, "a value higher by more than %.4f, to pass '%s'",
                                best->margin - treatment->margin,
                                run->catalogue->treatments[best->treatment].display_name);
        }
        break;
    case CVM_REASON_NO_CAPACITY:
        cvm_text_add(out, "free capacity");
        break;
    default:
        break;
    }
}

enum cvm_status cvm_explain_change(const struct cvm_explain_run *run,
                                   const struct cvm_explained_treatment *treatment,
                                   const struct cvm_explained_treatment *best,
                                   const char **out_change, struct cvm_error *err)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    if (treatment->is_eligible) {
        add_price(run, treatment, best, &text);
    } else if (treatment->parts.failed_clause != NULL) {
        add_clause(run->catalogue, &treatment->parts, &text);
    } else {
        add_refusal(run->catalogue, treatment, &text);
    }
    bool has_failed = text.failed;
    const char *change =
        text.length == 0 ? NULL : cvm_arena_string(run->arena, cvm_text_string(&text));
    has_failed |= text.length > 0 && change == NULL;
    cvm_text_finish(&text);
    if (has_failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an explanation");
    }
    *out_change = change;
    return CVM_OK;
}

/* ---- what else would refuse it ---- */

static bool is_same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_consent(enum cvm_reason reason)
{
    return reason == CVM_REASON_NO_CONSENT || reason == CVM_REASON_NO_CONSENT_RECORD;
}

/* The check that the verdict stopped at. */
static bool is_told(const struct cvm_explained_treatment *treatment, const struct cvm_check *check)
{
    if (is_consent(check->reason)) {
        return is_consent(treatment->reason);
    }
    if (check->reason != treatment->reason) {
        return false;
    }
    return check->name != NULL ? is_same_text(check->name, treatment->parts.failed_name)
                               : is_same_text(check->rule, treatment->parts.failed_rule);
}

static const char *check_text(const struct cvm_check *check)
{
    return check->display_name != NULL ? check->display_name
           : check->rule != NULL       ? check->rule
                                       : cvm_reason_sentence(check->reason);
}

enum cvm_status cvm_explain_also(const struct cvm_explain_run *run,
                                 const struct cvm_explain_place *place,
                                 struct cvm_explained_treatment *treatment, struct cvm_error *err)
{
    struct cvm_check *checks = CVM_NEW_ARRAY(run->arena, CVM_CHECKS_MAX, struct cvm_check);
    unsigned char *fails =
        CVM_NEW_ARRAY(run->arena, CVM_CHECKS_MAX * CVM_CHECK_STRIP, unsigned char);
    float *worth = CVM_NEW_ARRAY(run->arena, 2 * CVM_CHECK_STRIP, float);
    const char **also = CVM_NEW_ARRAY(run->arena, CVM_CHECKS_MAX, const char *);
    if (checks == NULL || fails == NULL || worth == NULL || also == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an explanation");
    }
    size_t t = (size_t)treatment->treatment;
    size_t count = cvm_recommend_checks(run->recommender, t, checks);
    cvm_recommend_check_strip(
        run->recommender, place->chunk, place->customer, 1, t,
        &(struct cvm_check_results){fails, worth, worth + CVM_CHECK_STRIP, NULL});
    treatment->also = also;
    treatment->also_count = 0;
    for (size_t c = 0; c < count; c++) {
        if (fails[c * CVM_CHECK_STRIP] != 0 && !is_told(treatment, &checks[c])) {
            also[treatment->also_count++] = check_text(&checks[c]);
        }
    }
    return CVM_OK;
}
