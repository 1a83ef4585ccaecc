#include "recommend/action_value.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/maths.h"
#include "model/money.h"
#include "recommend/probability.h"
#include "recommend/recommender.h"

#define VALUE_MAX 1e29 /* never looks like CVM_VALUE_INELIGIBLE nor overflows a float */

/* ---- compiling ---- */

static void compile_segment(const struct cvm_value_model *model, const struct cvm_segment *segment,
                            struct cvm_segment_terms *out_terms)
{
    double stay = 1.0 - model->churn_growth * segment->churn_month;
    double factor = (stay > 0.0 ? stay : 0.0) * model->discount_month;
    double weight = 1.0;
    struct cvm_segment_terms terms = {0.0, 0.0, 0.0};
    for (int month = 0; month < segment->horizon_months; month++) {
        terms.annuity += weight;
        weight *= factor;
    }
    terms.churn =
        cvm_probability_rescale(segment->churn_month, CVM_MONTH_DAYS, model->horizon_days);
    if (terms.churn > 0.0 && segment->churn_month < 1.0) {
        /* d churn / d churn_month = months (1 - churn) / (1 - churn_month) */
        double months = model->horizon_days / CVM_MONTH_DAYS;
        double slope = months * (1.0 - terms.churn) / (1.0 - segment->churn_month);
        terms.churn_sd_share = slope * segment->churn_month_sd / terms.churn;
    }
    *out_terms = terms;
}

static enum cvm_status find_score(const struct cvm_catalogue *catalogue,
                                  const struct cvm_score **out_score, struct cvm_error *err)
{
    int feature = catalogue->value.churn_feature;
    if (feature == CVM_INDEX_NONE) {
        *out_score = NULL;
        return CVM_OK;
    }
    assert(feature >= 0 && (size_t)feature < catalogue->feature_count);
    int attribute = catalogue->features[feature].attribute;
    if (attribute < 0 || (size_t)attribute >= catalogue->attribute_count ||
        !(catalogue->attributes[attribute].score.horizon_days > 0.0)) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_INVALID, "feature '%s' is not a declared score",
                     catalogue->features[feature].name);
        return cvm_error_hint(
            err, status, "Declare the horizon and calibration of its attribute in the mapping.");
    }
    *out_score = &catalogue->attributes[attribute].score;
    return CVM_OK;
}

static void compile_treatment(struct cvm_recommender *recommender,
                              const struct cvm_recommend_options *options, size_t t)
{
    const struct cvm_catalogue *catalogue = recommender->catalogue;
    const struct cvm_treatment *treatment = &catalogue->treatments[t];
    bool is_marketing_contact =
        treatment->purpose == CVM_PURPOSE_MARKETING && treatment->channel != CVM_CHANNEL_NONE;
    recommender->treatments[t] = (struct cvm_treatment_terms){
        .response = options->responses != NULL ? options->responses[t] : treatment->response,
        .cost = cvm_micro_to_double(treatment->cost_micro),
        .fatigue = is_marketing_contact ? catalogue->value.fatigue : 0.0,
        .tires = is_marketing_contact && catalogue->value.contacts_feature != CVM_INDEX_NONE,
    };
    cvm_gate_init(&recommender->gates[t], catalogue, options, (int)t);
}

static enum cvm_status compile(struct cvm_recommender *recommender,
                               const struct cvm_recommend_options *options, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = recommender->catalogue;
    double tiring = 1.0;
    for (size_t n = 0; n < CVM_TIRING_STEPS; n++) {
        recommender->tirings[n] = (float)tiring;
        tiring *= catalogue->value.tiring;
    }
    recommender->as_of_day = options->as_of_day;
    cvm_standing_rules_init(&recommender->standing, catalogue, options);
    for (size_t s = 0; s < catalogue->segment_count; s++) {
        compile_segment(&catalogue->value, &catalogue->segments[s], &recommender->segments[s]);
    }
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        compile_treatment(recommender, options, t);
    }
    return find_score(catalogue, &recommender->score, err);
}

enum cvm_status cvm_recommender_create(const struct cvm_catalogue *catalogue,
                                       const struct cvm_recommend_options *options,
                                       struct cvm_recommender **out_recommender,
                                       struct cvm_error *err)
{
    assert(catalogue->treatment_count <= CVM_TREATMENTS_MAX);
    assert(catalogue->segment_count <= CVM_SEGMENTS_MAX);
    if (catalogue->segment_count == 0 || catalogue->value.horizon_days <= 0) {
        return CVM_FAIL(err, CVM_E_INVALID, "the catalogue has no segments or no value horizon");
    }
    struct cvm_recommender *recommender = calloc(1, sizeof(*recommender));
    if (recommender == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the recommender");
    }
    recommender->catalogue = catalogue;
    enum cvm_status status = compile(recommender, options, err);
    if (status != CVM_OK) {
        cvm_recommender_destroy(recommender);
        return status;
    }
    *out_recommender = recommender;
    return CVM_OK;
}

void cvm_recommender_destroy(struct cvm_recommender *recommender)
{
    free(recommender);
}

/* ---- the formula: the only place that has it ---- */

struct person {
    double annuity, margin, churn, tiring;
};

static inline double action_value(const struct cvm_treatment_terms *terms, struct person person)
{
    const struct cvm_response *r = &terms->response;
    double worth = person.margin * person.annuity;
    double incentive = r->incentive + r->incentive_margins * person.margin;
    double kept = person.churn * r->churn_cut * worth;
    double sold = r->accept * (r->extra_margin * person.annuity - incentive);
    return person.tiring * r->reach * (kept + sold) - terms->cost - terms->fatigue;
}

static inline float as_float(double value)
{
    value = value > VALUE_MAX ? VALUE_MAX : value < -VALUE_MAX ? -VALUE_MAX : value;
    return (float)value;
}

/* ---- customers ---- */

static void find_segments(const struct cvm_recommender *recommender, const struct cvm_chunk *chunk,
                          struct cvm_strip *strip)
{
    const struct cvm_catalogue *catalogue = recommender->catalogue;
    unsigned char mask[CVM_STRIP_SIZE];
    const struct cvm_rule_rows rows = cvm_chunk_rows(chunk, strip->from, recommender->as_of_day);
    size_t last = catalogue->segment_count - 1;
    memset(strip->segments, (int)last, strip->count);
    for (size_t s = last; s-- > 0;) { /* backwards, so that the first that holds wins */
        cvm_rule_mask(&catalogue->segments[s].when, &rows, strip->count, mask);
        for (size_t i = 0; i < strip->count; i++) {
            strip->segments[i] = mask[i] ? (unsigned char)s : strip->segments[i];
        }
    }
}

static void find_margins(const struct cvm_catalogue *catalogue, const struct cvm_chunk *chunk,
                         struct cvm_strip *strip)
{
    int feature = catalogue->value.margin_feature;
    const double *charges = feature == CVM_INDEX_NONE
                                ? NULL
                                : chunk->features + (size_t)feature * chunk->capacity + strip->from;
    for (size_t i = 0; i < strip->count; i++) {
        const struct cvm_segment *segment = &catalogue->segments[strip->segments[i]];
        double margin = segment->margin_median;
        if (charges != NULL && !isnan(charges[i])) {
            margin = catalogue->value.margin_share * charges[i];
            margin = margin < segment->margin_min   ? segment->margin_min
                     : margin > segment->margin_max ? segment->margin_max
                                                    : margin;
        }
        strip->margins[i] = as_float(margin);
    }
}

static void find_churns(const struct cvm_recommender *recommender, const struct cvm_chunk *chunk,
                        struct cvm_strip *strip)
{
    const struct cvm_value_model *model = &recommender->catalogue->value;
    const struct cvm_score *score = recommender->score;
    const double *scores =
        score == NULL
            ? NULL
            : chunk->features + (size_t)model->churn_feature * chunk->capacity + strip->from;
    for (size_t i = 0; i < strip->count; i++) {
        double churn = recommender->segments[strip->segments[i]].churn;
        if (scores != NULL && !isnan(scores[i])) {
            churn = cvm_probability_rescale(cvm_probability_calibrate(score, scores[i]),
                                            score->horizon_days, model->horizon_days);
        }
        strip->churns[i] = (float)churn;
    }
}

static float tiring_of(const struct cvm_recommender *recommender, double contacts)
{
    double whole = (double)(int64_t)contacts;
    if (contacts == whole && contacts < CVM_TIRING_STEPS) {
        return recommender->tirings[(size_t)contacts];
    }
    double tiring = recommender->catalogue->value.tiring;
    return tiring > 0.0 ? (float)cvm_exp(contacts * cvm_log(tiring)) : 0.0f;
}

/* Missing or negative: nothing has tired the customer. */
static void find_tirings(const struct cvm_recommender *recommender, const struct cvm_chunk *chunk,
                         struct cvm_strip *strip)
{
    int feature = recommender->catalogue->value.contacts_feature;
    const double *contacts =
        feature == CVM_INDEX_NONE
            ? NULL
            : chunk->features + (size_t)feature * chunk->capacity + strip->from;
    for (size_t i = 0; i < strip->count; i++) {
        bool is_tired = contacts != NULL && contacts[i] > 0.0 && contacts[i] < 1e6;
        strip->tirings[i] = is_tired ? tiring_of(recommender, contacts[i]) : 1.0f;
    }
}

void cvm_strip_fill(const struct cvm_recommender *recommender, const struct cvm_chunk *chunk,
                    size_t from, size_t count, struct cvm_strip *out_strip)
{
    assert(count <= CVM_STRIP_SIZE && from + count <= chunk->count);
    out_strip->from = from;
    out_strip->count = count;
    find_segments(recommender, chunk, out_strip);
    find_margins(recommender->catalogue, chunk, out_strip);
    find_churns(recommender, chunk, out_strip);
    find_tirings(recommender, chunk, out_strip);
}

void cvm_strip_values(const struct cvm_recommender *recommender, size_t treatment,
                      const struct cvm_strip *strip, float *values)
{
    const struct cvm_treatment_terms terms = recommender->treatments[treatment];
    for (size_t i = 0; i < strip->count; i++) {
        values[i] = as_float(action_value(
            &terms, (struct person){.annuity = recommender->segments[strip->segments[i]].annuity,
                                    .margin = (double)strip->margins[i],
                                    .churn = (double)strip->churns[i],
                                    .tiring = terms.tires ? (double)strip->tirings[i] : 1.0}));
    }
}

static void fill_facts(const struct cvm_recommender *recommender, const struct cvm_chunk *chunk,
                       const struct cvm_standing *standing, struct cvm_contact_facts *facts)
{
    int feature = recommender->catalogue->policy.zone_feature;
    const double *zones =
        feature == CVM_INDEX_NONE
            ? NULL
            : chunk->features + (size_t)feature * chunk->capacity + standing->from;
    for (size_t i = 0; i < standing->count; i++) {
        const struct cvm_consent *consent = &chunk->consents[standing->from + i];
        bool has_zone = zones != NULL && zones[i] >= 0.0 && zones[i] < 255.0;
        facts[i].usable = standing->open[i];
        facts[i].quiet_start_min = consent->quiet_start_min;
        facts[i].quiet_end_min = consent->quiet_end_min;
        facts[i].preferred_time = consent->preferred_time;
        facts[i].zone = has_zone ? (uint8_t)zones[i] : 255;
        memcpy(facts[i].language, consent->language, sizeof(facts[i].language));
    }
}

static void fill_treatment(const struct cvm_recommender *recommender, size_t treatment,
                           const struct cvm_chunk *chunk, const struct cvm_standing *standing,
                           const struct cvm_strip *strip, const struct cvm_verdicts *verdicts)
{
    size_t at = treatment * verdicts->stride + strip->from;
    unsigned char *reasons = verdicts->reasons + at;
    float *values = verdicts->values + at;
    const struct cvm_rule_rows rows = cvm_chunk_rows(chunk, strip->from, recommender->as_of_day);
    cvm_gate_check(&recommender->gates[treatment], standing, &rows, reasons);
    cvm_strip_values(recommender, treatment, strip, values);
    for (size_t i = 0; i < strip->count; i++) {
        values[i] = reasons[i] == CVM_REASON_PERMITTED ? values[i] : CVM_VALUE_INELIGIBLE;
    }
}

void cvm_recommend_chunk(const struct cvm_recommender *recommender, const struct cvm_chunk *chunk,
                         const struct cvm_verdicts *out_verdicts)
{
    const struct cvm_verdicts *out = out_verdicts;
    struct cvm_strip strip;
    struct cvm_standing standing;
    assert(out->stride >= chunk->count);
    for (size_t from = 0; from < chunk->count; from += CVM_STRIP_SIZE) {
        size_t left = chunk->count - from;
        size_t count = left < CVM_STRIP_SIZE ? left : CVM_STRIP_SIZE;
        cvm_strip_fill(recommender, chunk, from, count, &strip);
        cvm_standing_fill(&recommender->standing, chunk, from, count, &standing);
        memcpy(out->margins + from, strip.margins, count * sizeof(float));
        memcpy(out->churns + from, strip.churns, count * sizeof(float));
        memcpy(out->segments + from, strip.segments, count);
        if (out->tirings != NULL) {
            memcpy(out->tirings + from, strip.tirings, count * sizeof(float));
        }
        if (out->facts != NULL) {
            fill_facts(recommender, chunk, &standing, out->facts + from);
        }
        for (size_t t = 0; t < recommender->catalogue->treatment_count; t++) {
            fill_treatment(recommender, t, chunk, &standing, &strip, out);
        }
    }
}

enum cvm_channel cvm_recommend_channel(const struct cvm_recommender *recommender, size_t treatment,
                                       const struct cvm_contact_facts *facts)
{
    assert(treatment < recommender->catalogue->treatment_count);
    return cvm_gate_channel(&recommender->gates[treatment], facts->usable);
}

/* ---- one customer and treatment ---- */

static void fill_parts(const struct cvm_recommender *recommender,
                       const struct cvm_value_facts *facts, size_t treatment,
                       struct cvm_action_value *parts)
{
    const struct cvm_treatment_terms *terms = &recommender->treatments[treatment];
    const struct cvm_response *response = &terms->response;
    double annuity = recommender->segments[facts->segment].annuity;
    parts->segment = (int)facts->segment;
    parts->margin = facts->margin;
    parts->annuity = annuity;
    parts->worth = facts->margin * annuity;
    parts->reach = response->reach;
    parts->churn = facts->churn;
    parts->churn_cut = response->churn_cut;
    parts->accept = response->accept;
    parts->extra_margin = response->extra_margin;
    parts->incentive = response->incentive + response->incentive_margins * facts->margin;
    parts->cost = terms->cost;
    parts->fatigue = terms->fatigue;
    parts->tiring = terms->tires ? facts->tiring : 1.0;
    parts->value =
        action_value(terms, (struct person){annuity, facts->margin, facts->churn, parts->tiring});
    parts->source = response->source != NULL ? response->source : "prior";
    parts->outcomes = response->outcomes;
}

/* Delta method: the inputs are taken as independent, so the variances of their effects add. */
static double value_sd(const struct cvm_response *response, const struct cvm_action_value *parts,
                       double churn_sd)
{
    double sale = parts->extra_margin * parts->annuity - parts->incentive;
    double kept = parts->churn * parts->churn_cut * parts->worth;
    double by_reach = (kept + parts->accept * sale) * response->reach_sd;
    double by_accept = parts->reach * sale * response->accept_sd;
    double by_cut = parts->reach * parts->churn * parts->worth * response->churn_cut_sd;
    double by_churn = parts->reach * parts->churn_cut * parts->worth * churn_sd;
    return parts->tiring * sqrt(by_reach * by_reach + by_accept * by_accept + by_cut * by_cut +
                                by_churn * by_churn);
}

double cvm_action_value_sd(const struct cvm_recommender *recommender,
                           const struct cvm_value_facts *facts, size_t treatment)
{
    struct cvm_action_value parts = {0};
    assert(facts->segment < recommender->catalogue->segment_count);
    assert(treatment < recommender->catalogue->treatment_count);
    fill_parts(recommender, facts, treatment, &parts);
    return value_sd(&recommender->treatments[treatment].response, &parts,
                    recommender->segments[facts->segment].churn_sd_share * facts->churn);
}

void cvm_recommend_explain(const struct cvm_recommender *recommender, const struct cvm_chunk *chunk,
                           size_t customer, size_t treatment, struct cvm_action_value *out_value)
{
    assert(customer < chunk->count && treatment < recommender->catalogue->treatment_count);
    struct cvm_action_value value = {0};
    struct cvm_gate_answer answer;
    struct cvm_strip strip;
    cvm_strip_fill(recommender, chunk, customer, 1, &strip);
    const struct cvm_value_facts facts = {
        .segment = strip.segments[0],
        .margin = (double)strip.margins[0],
        .churn = (double)strip.churns[0],
        .tiring = (double)strip.tirings[0],
    };
    fill_parts(recommender, &facts, treatment, &value);
    value.sd = cvm_action_value_sd(recommender, &facts, treatment);
    cvm_gate_explain(&recommender->gates[treatment], &recommender->standing, chunk, customer,
                     &answer);
    value.reason = answer.reason;
    value.channel = answer.channel;
    value.failed_name = answer.failed_name;
    value.failed_rule = answer.failed_rule;
    value.failed_clause = answer.failed_clause;
    value.failed_feature = answer.failed_feature;
    value.failed_value = answer.failed_value;
    *out_value = value;
}

/* ---- costs ---- */

void cvm_recommend_cost_rate(const struct cvm_treatment *treatment, enum cvm_measure measure,
                             double *out_flat, double *out_rate)
{
    const struct cvm_response *response = &treatment->response;
    double paid = response->reach * response->accept;
    double flat = 0.0;
    double rate = 0.0;
    if (measure == CVM_MEASURE_MARGINAL || measure == CVM_MEASURE_BOTH) {
        flat += cvm_micro_to_double(treatment->cost_micro);
    }
    if (measure == CVM_MEASURE_INCENTIVE || measure == CVM_MEASURE_BOTH) {
        flat += paid * response->incentive;
        rate += paid * response->incentive_margins;
    }
    *out_flat = flat;
    *out_rate = rate;
}

int64_t cvm_recommend_cost_micro(const struct cvm_treatment *treatment, enum cvm_measure measure,
                                 double margin)
{
    double flat = 0.0;
    double rate = 0.0;
    cvm_recommend_cost_rate(treatment, measure, &flat, &rate);
    return cvm_micro_from_double(flat + rate * margin);
}
