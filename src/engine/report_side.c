/* Everything that one run left behind: the run that is reported, or the one before. */
#include <math.h>
#include <string.h>

#include "engine/report_internal.h"
#include "engine/responses.h"
#include "engine/run_internal.h"
#include "model/money.h"

const char *const cvm_report_source_kinds[CVM_REPORT_SOURCE_KINDS] = {"prior", "learned",
                                                                      "calibrated"};

/* Sums of standard deviations, apart for each treatment. */
struct side_spread {
    double value[CVM_SEGMENTS_MAX][CVM_TREATMENTS_MAX];
    double year[CVM_SEGMENTS_MAX][CVM_TREATMENTS_MAX];
};

struct decision_loading {
    struct cvm_report_side *side;
    struct cvm_report_base *base;
    struct side_spread *spread;
    const struct cvm_catalogue *priors;  /* before anything was learned */
    double year_share[CVM_SEGMENTS_MAX]; /* annuity of 12 months over that of the horizon */
    double annuity[CVM_SEGMENTS_MAX];
    size_t at; /* in the base: decisions come in key order */
};

/* ---- the first twelve months ---- */

static double annuity(const struct cvm_value_model *model, const struct cvm_segment *segment,
                      int months)
{
    double stay = 1.0 - model->churn_growth * segment->churn_month;
    double factor = (stay > 0.0 ? stay : 0.0) * model->discount_month;
    double weight = 1.0;
    double sum = 0.0;
    for (int month = 0; month < months; month++) {
        sum += weight;
        weight *= factor;
    }
    return sum;
}

static void find_annuities(struct decision_loading *loading)
{
    const struct cvm_catalogue *catalogue = loading->side->catalogue;
    for (size_t s = 0; s < catalogue->segment_count; s++) {
        const struct cvm_segment *segment = &catalogue->segments[s];
        int months = segment->horizon_months < 12 ? segment->horizon_months : 12;
        loading->annuity[s] = annuity(&catalogue->value, segment, segment->horizon_months);
        loading->year_share[s] = annuity(&catalogue->value, segment, months) / loading->annuity[s];
    }
}

/* value = f q [ (saved + sold) x annuity - paid ] - costs, of the customer at hand. */
struct bracket {
    double saved, sold; /* a month: margin that the cut of churn saves, that is sold to acceptors */
    double paid;        /* incentives */
    double annuity;
    double year_share; /* of it in the first 12 months */
};

static struct bracket bracket_of(const struct decision_loading *loading, size_t treatment)
{
    const struct cvm_response *response = &loading->side->catalogue->treatments[treatment].response;
    size_t segment = ((const unsigned char *)loading->base->segments.data)[loading->at];
    double margin = ((const double *)loading->base->margins.data)[loading->at];
    double churn = (double)((const float *)loading->base->churns.data)[loading->at];
    return (struct bracket){
        .saved = churn * response->churn_cut * margin,
        .sold = response->accept * response->extra_margin,
        .paid = response->accept * (response->incentive + response->incentive_margins * margin),
        .annuity = loading->annuity[segment],
        .year_share = loading->year_share[segment],
    };
}

/* The factor f of late contacts is not stored; it stands before all of the bracket, so the two
 * brackets' ratio is enough. */
static double first_year(const struct decision_loading *loading, size_t treatment, double value)
{
    const struct cvm_catalogue *catalogue = loading->side->catalogue;
    const struct cvm_treatment *given = &catalogue->treatments[treatment];
    struct bracket in = bracket_of(loading, treatment);
    bool tires = given->purpose == CVM_PURPOSE_MARKETING && given->channel != CVM_CHANNEL_NONE;
    double costs =
        cvm_micro_to_double(given->cost_micro) + (tires ? catalogue->value.fatigue : 0.0);
    double monthly = in.saved + in.sold;
    double whole = monthly * in.annuity - in.paid;
    double year = whole - monthly * in.annuity * (1 - in.year_share);
    return fabs(whole) < 1e-9 ? value : (value + costs) * (year / whole) - costs;
}

/* ---- what the value rests on ---- */

/* What outcomes have left of a prior: its share in a conjugate mean is the share of its variance
 * that remains. What the prior took for certain, nothing is learned of. */
static double prior_left(double prior_sd, double sd)
{
    return prior_sd <= 0 ? 1.0 : fmin(sd * sd / (prior_sd * prior_sd), 1.0);
}

/* A few outcomes make a response "learned" and change it little: each part of the value rests on
 * the prior by what is left of the prior of its own response. */
static double share_on_prior(const struct decision_loading *loading, size_t treatment)
{
    const struct cvm_response *prior = &loading->priors->treatments[treatment].response;
    const struct cvm_response *now = &loading->side->catalogue->treatments[treatment].response;
    double cut = prior_left(prior->churn_cut_sd, now->churn_cut_sd);
    double accept = prior_left(prior->accept_sd, now->accept_sd);
    if (!loading->side->has_values) {
        return fmax(cut, accept);
    }
    struct bracket in = bracket_of(loading, treatment);
    double saved = fabs(in.saved * in.annuity);
    double sold = fabs(in.sold * in.annuity - in.paid);
    return saved + sold <= 0 ? 1.0 : (saved * cut + sold * accept) / (saved + sold);
}

/* ---- decisions ---- */

static size_t kind_of(const struct cvm_response *response)
{
    for (size_t k = 0; k < CVM_REPORT_SOURCE_KINDS; k++) {
        if (response->source != NULL && strcmp(response->source, cvm_report_source_kinds[k]) == 0) {
            return k;
        }
    }
    return 0;
}

static bool makes_contact(const struct cvm_decision *decision,
                          const struct cvm_treatment *treatment)
{
    return decision->channel == NULL
               ? treatment->channel != CVM_CHANNEL_NONE
               : strcmp(decision->channel, cvm_channel_words[CVM_CHANNEL_NONE]) != 0;
}

static void add_to(struct cvm_report_sum *sum, const struct cvm_report_sum *one)
{
    sum->treated += one->treated;
    sum->contacts += one->contacts;
    sum->ghosts += one->ghosts;
    sum->contact_value += one->contact_value;
    sum->value += one->value;
    sum->year += one->year;
    sum->withheld += one->withheld;
    sum->cost_micro = cvm_micro_add(sum->cost_micro, one->cost_micro);
    sum->incentive_micro = cvm_micro_add(sum->incentive_micro, one->incentive_micro);
    sum->loaded_micro = cvm_micro_add(sum->loaded_micro, one->loaded_micro);
}

/* The decision's customer in the base; without value blocks there is none. */
static bool find_customer(struct decision_loading *loading, uint64_t key)
{
    const uint64_t *keys = loading->base->keys.data;
    while (loading->at < loading->base->count && keys[loading->at] < key) {
        loading->at++;
    }
    return loading->at < loading->base->count && keys[loading->at] == key;
}

static void count_use(struct cvm_report_side *side, const struct cvm_decision *decision,
                      size_t treatment)
{
    const struct cvm_catalogue *catalogue = side->catalogue;
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        const struct cvm_constraint *constraint = &catalogue->constraints[c];
        if (constraint->kind != CVM_CONSTRAINT_BUDGET) {
            side->used[c] += (double)cvm_usage_units(catalogue, c, treatment);
        } else if ((constraint->treatments >> treatment & 1) != 0) {
            side->used[c] +=
                (constraint->measure != CVM_MEASURE_INCENTIVE ? (double)decision->cost_micro : 0) +
                (constraint->measure != CVM_MEASURE_MARGINAL ? (double)decision->incentive_micro
                                                             : 0);
        }
    }
}

static void add_treated(struct decision_loading *loading, const struct cvm_decision *decision,
                        size_t treatment, size_t segment)
{
    struct cvm_report_side *side = loading->side;
    const struct cvm_treatment *given = &side->catalogue->treatments[treatment];
    bool is_contact = makes_contact(decision, given);
    struct cvm_report_sum one = {
        .treated = 1,
        .contacts = is_contact ? 1 : 0,
        .contact_value = is_contact ? decision->value : 0,
        .value = decision->value,
        .year = side->has_values ? first_year(loading, treatment, decision->value) : NAN,
        .cost_micro = decision->cost_micro,
        .incentive_micro = decision->incentive_micro,
        .loaded_micro = is_contact ? given->loaded_cost_micro : 0,
    };
    add_to(&side->treatments[treatment].sum, &one);
    add_to(&side->segments[segment].sum, &one);
    double on_prior = decision->value * share_on_prior(loading, treatment);
    side->value_by_source[0] += on_prior;
    side->value_by_source[kind_of(&given->response)] += decision->value - on_prior;
    loading->spread->value[segment][treatment] += decision->sd;
    loading->spread->year[segment][treatment] += decision->sd * loading->year_share[segment];
    count_use(side, decision, treatment);
}

static enum cvm_status take_decision(void *state, const struct cvm_decision *decision,
                                     struct cvm_error *err)
{
    struct decision_loading *loading = state;
    struct cvm_report_side *side = loading->side;
    int treatment = cvm_catalogue_treatment(side->catalogue, decision->treatment);
    size_t segment = 0;
    if (treatment == CVM_INDEX_NONE) {
        return CVM_FAIL(err, CVM_E_CORRUPT,
                        "a decision has the treatment '%s', which its catalogue lacks",
                        decision->treatment);
    }
    if (side->has_values && !find_customer(loading, decision->customer_key)) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "customer '%s' has a decision and no values",
                        decision->customer_id);
    }
    if (side->has_values) {
        unsigned char *flags = loading->base->flags.data;
        flags[loading->at] |= decision->ghost ? CVM_REPORT_GHOST : CVM_REPORT_TREATED;
        if (!decision->ghost) {
            ((unsigned char *)loading->base->given.data)[loading->at] = (unsigned char)treatment;
        }
        segment = ((const unsigned char *)loading->base->segments.data)[loading->at];
    }
    if (decision->ghost) {
        struct cvm_report_sum one = {.ghosts = 1, .withheld = decision->value};
        add_to(&side->treatments[treatment].sum, &one);
        add_to(&side->segments[segment].sum, &one);
    } else {
        add_treated(loading, decision, (size_t)treatment, segment);
    }
    return CVM_OK;
}

/* Within a treatment standard deviations add, between treatments their squares do. */
static void finish_spread(struct cvm_report_side *side, const struct side_spread *spread)
{
    double total = 0.0;
    double total_year = 0.0;
    for (size_t t = 0; t < side->catalogue->treatment_count; t++) {
        struct cvm_report_sum *sum = &side->treatments[t].sum;
        for (size_t s = 0; s < side->catalogue->segment_count; s++) {
            struct cvm_report_sum *of_segment = &side->segments[s].sum;
            sum->value_sd += spread->value[s][t];
            sum->year_sd += spread->year[s][t];
            of_segment->value_sd = hypot(of_segment->value_sd, spread->value[s][t]);
            of_segment->year_sd = hypot(of_segment->year_sd, spread->year[s][t]);
        }
        add_to(&side->total, sum);
        total += sum->value_sd * sum->value_sd;
        total_year += sum->year_sd * sum->year_sd;
    }
    side->total.value_sd = sqrt(total);
    side->total.year_sd = side->has_values ? sqrt(total_year) : NAN;
}

static enum cvm_status load_decisions(const struct cvm_report_job *job,
                                      const struct cvm_catalogue *priors,
                                      struct cvm_report_side *side, struct cvm_report_base *base,
                                      struct cvm_error *err)
{
    struct decision_loading loading = {.side = side, .base = base, .priors = priors};
    loading.spread = CVM_NEW(job->arena, struct side_spread);
    if (loading.spread == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a report");
    }
    find_annuities(&loading);
    enum cvm_status status =
        cvm_decision_scan(job->store, side->run.run_id, take_decision, &loading, err);
    if (status == CVM_OK) {
        finish_spread(side, loading.spread);
        side->funnel.treated = side->total.treated;
        side->funnel.chosen = side->total.treated + side->total.ghosts;
    }
    return status;
}

/* ---- the side ---- */

static enum cvm_status apply_responses(const struct cvm_report_job *job,
                                       const struct cvm_catalogue *catalogue,
                                       struct cvm_report_side *side, struct cvm_error *err)
{
    struct cvm_responses responses;
    enum cvm_status status =
        cvm_responses_parse(side->run.responses, catalogue, job->arena, &responses, err);
    return status == CVM_OK
               ? cvm_responses_apply(&responses, catalogue, job->arena, &side->catalogue, err)
               : status;
}

static void name_parts(struct cvm_report_side *side)
{
    for (size_t t = 0; t < side->catalogue->treatment_count; t++) {
        const struct cvm_treatment *treatment = &side->catalogue->treatments[t];
        side->treatments[t].index = (int)t;
        side->treatments[t].id = treatment->id;
        side->treatments[t].display_name = treatment->display_name;
        side->treatments[t].source = cvm_report_source_kinds[kind_of(&treatment->response)];
        side->treatments[t].outcomes = treatment->response.outcomes;
    }
    for (size_t s = 0; s < side->catalogue->segment_count; s++) {
        side->segments[s].name = side->catalogue->segments[s].name;
    }
}

enum cvm_status cvm_report_side_load(const struct cvm_report_job *job,
                                     const struct cvm_catalogue *catalogue,
                                     struct cvm_report_side *side, struct cvm_report_base *base,
                                     struct cvm_error *err)
{
    enum cvm_status status = apply_responses(job, catalogue, side, err);
    if (status != CVM_OK) {
        return status;
    }
    name_parts(side);
    side->summary.run_id = side->run.run_id;
    side->summary.catalogue = side->catalogue;
    status = cvm_run_summary_parse(side->run.summary, &side->summary, err);
    if (status == CVM_OK) {
        status = cvm_report_values_load(job->store, side, base, err);
    }
    if (status == CVM_OK) {
        status = load_decisions(job, catalogue, side, base, err);
    }
    return status;
}
