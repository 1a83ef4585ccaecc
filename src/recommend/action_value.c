#include "recommend/action_value.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/money.h"
#include "recommend/eligibility.h"
#include "recommend/probability.h"

#define RULES_BYTES_MAX ((size_t)4 << 20)
#define VALUE_MAX       1e29 /* never looks like CVM_VALUE_INELIGIBLE nor overflows a float */

struct segment_terms {
    double annuity;
    double churn;          /* prior over the catalogue's horizon */
    double churn_sd_share; /* its standard deviation over it */
};

struct treatment_terms {
    const struct cvm_response *response;
    double cost;
    double fatigue;
};

struct cvm_recommender {
    const struct cvm_catalogue *catalogue;
    const struct cvm_score *score; /* NULL = segment priors only */
    struct cvm_arena *arena;
    struct segment_terms segments[CVM_SEGMENTS_MAX];
    struct treatment_terms treatments[CVM_TREATMENTS_MAX];
    struct cvm_gate gates[CVM_TREATMENTS_MAX];
};

/* What the values of up to CVM_STRIP_SIZE customers are made of. */
struct strip {
    size_t from;
    size_t count;
    unsigned char segments[CVM_STRIP_SIZE];
    float margins[CVM_STRIP_SIZE];
    float churns[CVM_STRIP_SIZE];
};

/* ---- compiling ---- */

static void compile_segment(const struct cvm_value_model *model, const struct cvm_segment *segment,
                            struct segment_terms *out_terms)
{
    double stay = 1.0 - model->churn_growth * segment->churn_month;
    double factor = (stay > 0.0 ? stay : 0.0) * model->discount_month;
    double weight = 1.0;
    struct segment_terms terms = {0.0, 0.0, 0.0};
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

static enum cvm_status compile(struct cvm_recommender *recommender,
                               const struct cvm_recommend_options *options, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = recommender->catalogue;
    enum cvm_status status = find_score(catalogue, &recommender->score, err);
    for (size_t s = 0; s < catalogue->segment_count; s++) {
        compile_segment(&catalogue->value, &catalogue->segments[s], &recommender->segments[s]);
    }
    for (size_t t = 0; status == CVM_OK && t < catalogue->treatment_count; t++) {
        const struct cvm_treatment *treatment = &catalogue->treatments[t];
        bool is_marketing_contact =
            treatment->purpose == CVM_PURPOSE_MARKETING && treatment->channel != CVM_CHANNEL_NONE;
        recommender->treatments[t] = (struct treatment_terms){
            .response = &treatment->response,
            .cost = cvm_micro_to_double(treatment->cost_micro),
            .fatigue = is_marketing_contact ? catalogue->value.fatigue : 0.0,
        };
        cvm_gate_init(&recommender->gates[t], catalogue, options, (int)t);
    }
    return status;
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
    struct cvm_arena *arena = cvm_arena_create(RULES_BYTES_MAX);
    if (recommender == NULL || arena == NULL) {
        free(recommender);
        cvm_arena_destroy(arena);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the recommender");
    }
    recommender->catalogue = catalogue;
    recommender->arena = arena;
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
    if (recommender != NULL) {
        cvm_arena_destroy(recommender->arena);
        free(recommender);
    }
}

/* ---- the formula: the only place that has it ---- */

static inline double action_value(const struct treatment_terms *terms, double annuity,
                                  double margin, double churn)
{
    const struct cvm_response *r = terms->response;
    double worth = margin * annuity;
    double incentive = r->incentive + r->incentive_margins * margin;
    double kept = churn * r->churn_cut * worth;
    double sold = r->accept * (r->extra_margin * annuity - incentive);
    return r->reach * (kept + sold) - terms->cost - terms->fatigue;
}

static inline float as_float(double value)
{
    value = value > VALUE_MAX ? VALUE_MAX : value < -VALUE_MAX ? -VALUE_MAX : value;
    return (float)value;
}

/* ---- customers ---- */

static void find_segments(const struct cvm_catalogue *catalogue, const struct cvm_chunk *chunk,
                          struct strip *strip)
{
    unsigned char mask[CVM_STRIP_SIZE];
    const struct cvm_rule_rows rows = {
        .values = chunk->features, .stride = chunk->capacity, .from = strip->from};
    size_t last = catalogue->segment_count - 1;
    memset(strip->segments, (int)last, strip->count);
    for (size_t s = last; s-- > 0;) { /* backwards, so that the first that holds wins */
        cvm_rule_mask(&catalogue->segments[s].when, &rows, strip->count, mask);
        for (size_t i = 0; i < strip->count; i++) {
            strip->segments[i] = mask[i] ? (unsigned char)s : strip->segments[i];
        }
    }
}

/* Margin and churn are floats from here on, as they are stored: value, incentive, standard
 * deviation and the solver's rows are all made from the same numbers. */
static void find_margins(const struct cvm_catalogue *catalogue, const struct cvm_chunk *chunk,
                         struct strip *strip)
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
                        struct strip *strip)
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

static void fill_strip(const struct cvm_recommender *recommender, const struct cvm_chunk *chunk,
                       size_t from, size_t count, struct strip *strip)
{
    assert(count <= CVM_STRIP_SIZE && from + count <= chunk->count);
    strip->from = from;
    strip->count = count;
    find_segments(recommender->catalogue, chunk, strip);
    find_margins(recommender->catalogue, chunk, strip);
    find_churns(recommender, chunk, strip);
}

static void fill_values(const struct cvm_recommender *recommender, size_t treatment,
                        const struct strip *strip, const unsigned char *reasons, float *values)
{
    const struct treatment_terms *terms = &recommender->treatments[treatment];
    for (size_t i = 0; i < strip->count; i++) {
        double annuity = recommender->segments[strip->segments[i]].annuity;
        float value = as_float(
            action_value(terms, annuity, (double)strip->margins[i], (double)strip->churns[i]));
        values[i] = reasons[i] == CVM_REASON_PERMITTED ? value : CVM_VALUE_INELIGIBLE;
    }
}

void cvm_recommend_chunk(const struct cvm_recommender *recommender, const struct cvm_chunk *chunk,
                         const struct cvm_verdicts *out_verdicts)
{
    const struct cvm_catalogue *catalogue = recommender->catalogue;
    struct strip strip;
    assert(out_verdicts->stride >= chunk->count);
    for (size_t from = 0; from < chunk->count; from += CVM_STRIP_SIZE) {
        size_t left = chunk->count - from;
        fill_strip(recommender, chunk, from, left < CVM_STRIP_SIZE ? left : CVM_STRIP_SIZE, &strip);
        memcpy(out_verdicts->margins + from, strip.margins, strip.count * sizeof(float));
        memcpy(out_verdicts->churns + from, strip.churns, strip.count * sizeof(float));
        memcpy(out_verdicts->segments + from, strip.segments, strip.count);
        for (size_t t = 0; t < catalogue->treatment_count; t++) {
            size_t at = t * out_verdicts->stride + from;
            cvm_gate_check(&recommender->gates[t], chunk, from, strip.count,
                           out_verdicts->reasons + at);
            fill_values(recommender, t, &strip, out_verdicts->reasons + at,
                        out_verdicts->values + at);
        }
    }
}

/* ---- one customer and treatment ---- */

static void fill_parts(const struct cvm_recommender *recommender, size_t segment, double margin,
                       double churn, size_t treatment, struct cvm_action_value *parts)
{
    const struct treatment_terms *terms = &recommender->treatments[treatment];
    const struct cvm_response *response = terms->response;
    double annuity = recommender->segments[segment].annuity;
    parts->segment = (int)segment;
    parts->margin = margin;
    parts->annuity = annuity;
    parts->worth = margin * annuity;
    parts->reach = response->reach;
    parts->churn = churn;
    parts->churn_cut = response->churn_cut;
    parts->accept = response->accept;
    parts->extra_margin = response->extra_margin;
    parts->incentive = response->incentive + response->incentive_margins * margin;
    parts->cost = terms->cost;
    parts->fatigue = terms->fatigue;
    parts->value = action_value(terms, annuity, margin, churn);
    parts->source = response->source != NULL ? response->source : "prior";
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
    return sqrt(by_reach * by_reach + by_accept * by_accept + by_cut * by_cut +
                by_churn * by_churn);
}

double cvm_action_value_sd(const struct cvm_recommender *recommender,
                           const struct cvm_value_facts *facts, size_t treatment)
{
    size_t segment = facts->segment;
    double margin = facts->margin;
    double churn = facts->churn;
    struct cvm_action_value parts = {0};
    assert(segment < recommender->catalogue->segment_count);
    assert(treatment < recommender->catalogue->treatment_count);
    fill_parts(recommender, segment, margin, churn, treatment, &parts);
    return value_sd(recommender->treatments[treatment].response, &parts,
                    recommender->segments[segment].churn_sd_share * churn);
}

void cvm_recommend_explain(const struct cvm_recommender *recommender, const struct cvm_chunk *chunk,
                           size_t customer, size_t treatment, struct cvm_action_value *out_value)
{
    assert(customer < chunk->count && treatment < recommender->catalogue->treatment_count);
    struct cvm_action_value value = {0};
    struct cvm_gate_answer answer;
    struct strip strip;
    fill_strip(recommender, chunk, customer, 1, &strip);
    double margin = (double)strip.margins[0];
    double churn = (double)strip.churns[0];
    size_t segment = strip.segments[0];
    fill_parts(recommender, segment, margin, churn, treatment, &value);
    value.sd = cvm_action_value_sd(
        recommender, &(struct cvm_value_facts){segment, margin, churn, 1.0}, treatment);
    cvm_gate_explain(&recommender->gates[treatment], chunk, customer, &answer);
    value.reason = answer.reason;
    value.failed_rule = answer.failed_rule;
    value.failed_value = answer.failed_value;
    value.channel = answer.channel;
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
