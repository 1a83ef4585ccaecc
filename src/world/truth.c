/* What every treatment would really do to every customer. True parameters lie around the telecom
 * defaults at three levels: the world (drawn once per seed: the prior is not the truth), the person
 * (responsiveness, reachability), and the fit of a treatment to what the person needs. The cut of
 * churn may be negative at each. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/maths.h"
#include "world/state.h"

#define TREATMENT_COUNT  12
#define TREATMENT_STREAM 0x7472756574ULL
#define FATIGUE_VALUE    0.03 /* k, of a marketing contact */
#define FATIGUE_FACTOR   0.85 /* of acceptance, per marketing contact in 30 days */

#define WORLD_CUT_SD     0.5  /* of the cut, relative */
#define WORLD_ACCEPT_SD  0.25 /* of the log */
#define WORLD_REACH_SD   0.25 /* of the logit */
#define PERSON_REACH_SD  0.30 /* of the logit */
#define PERSON_CUT_SD    0.40 /* of the cut, relative to the default */

const char *const cvm_world_treatments[] = {
    "ignore",
    "marketing_call_back",
    "service_call_back",
    "retention_email",
    "retention_sms",
    "service_sms",
    "loyalty_app",
    "early_upgrade",
    "family_plan",
    "data_boost",
    "loyalty_points",
    "personalized_offer",
    NULL,
};

enum treatment {
    IGNORE,
    MARKETING_CALL_BACK,
    SERVICE_CALL_BACK,
    RETENTION_EMAIL,
    RETENTION_SMS,
    SERVICE_SMS,
    LOYALTY_APP,
    EARLY_UPGRADE,
    FAMILY_PLAN,
    DATA_BOOST,
    LOYALTY_POINTS,
    PERSONALIZED_OFFER
};

struct parameters {
    double reach, accept, cut;
    double incentive, incentive_margins, extra_margin, cost;
    bool is_marketing, makes_contact;
};
/* research: the table of telecom defaults, per eligible customer. */
static const struct parameters defaults[TREATMENT_COUNT] = {
    [MARKETING_CALL_BACK] = {.35, .30, .25, 0, 1.0, 0, .30, true, true},
    [SERVICE_CALL_BACK] = {.45, 0, .20, 0, 0, 0, .30, false, true},
    [RETENTION_EMAIL] = {.22, .05, .06, 0, .5, 0, .003, true, true},
    [RETENTION_SMS] = {.95, .03, .04, 0, .5, 0, .01, true, true},
    [SERVICE_SMS] = {.95, 0, .03, 0, 0, 0, .01, false, true},
    [LOYALTY_APP] = {.25, .06, .03, .50, 0, .10, .002, true, true},
    [EARLY_UPGRADE] = {.60, .10, .35, 0, 3.0, 1.00, .30, true, true},
    [FAMILY_PLAN] = {.60, .012, .10, 5.0, 0, 4.00, .05, true, true},
    [DATA_BOOST] = {.95, .40, .04, .15, 0, .03, .01, false, false},
    [LOYALTY_POINTS] = {.95, .15, .03, .75, 0, 0, .01, true, false},
    [PERSONALIZED_OFFER] = {.40, .03, .06, 0, .5, 1.00, .05, true, true},
};

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* The parameters of this world: the same for all its customers. */
static struct parameters world_parameters(uint64_t seed, size_t treatment)
{
    struct parameters parameters = defaults[treatment];
    struct cvm_random random;
    cvm_random_init(&random, cvm_hash_mix(seed, TREATMENT_STREAM + treatment));
    double reach = WORLD_REACH_SD * cvm_random_normal(&random);
    double accept = WORLD_ACCEPT_SD * cvm_random_normal(&random);
    double cut = clamp(cvm_random_normal(&random), -2.5, 2.5);
    if (treatment != IGNORE) {
        parameters.reach = cvm_logistic(cvm_logit(parameters.reach) + reach);
        parameters.accept *= cvm_exp(accept - 0.5 * WORLD_ACCEPT_SD * WORLD_ACCEPT_SD);
        parameters.cut *= 1.0 + WORLD_CUT_SD * cut;
    }
    return parameters;
}

/* How much better or worse than for the average eligible customer: the cause of the churn decides
 * what helps, and what nobody asked for helps less. */
static double fit_of_cut(const struct cvm_world_state *state, size_t treatment)
{
    static const double discount[CVM_WORLD_GRIEVANCE_COUNT] = {.70, .65, 1.10, 1.40};
    switch (treatment) {
    case MARKETING_CALL_BACK:
    case RETENTION_EMAIL:
    case RETENTION_SMS:
    case PERSONALIZED_OFFER:
        return discount[state->grievance];
    case SERVICE_CALL_BACK:
    case SERVICE_SMS:
        if (state->fault_days_ago < 0) {
            return state->grievance == CVM_WORLD_NETWORK ? .5 : .05;
        }
        return state->grievance == CVM_WORLD_NETWORK ? 1.15 : .80;
    case EARLY_UPGRADE:
        return state->ends_soon ? 1.0 : .2;
    case FAMILY_PLAN:
        return state->household_size >= 3 ? 1.0 : .2;
    case DATA_BOOST:
        return state->allowance_gb > 0 && state->allowance_used_percent >= 90 ? 1.0 : .2;
    default:
        return 1.0;
    }
}

static double fit_of_accept(const struct cvm_world_state *state, size_t treatment)
{
    switch (treatment) {
    case EARLY_UPGRADE:
        return state->ends_soon ? 1.0 : .3;
    case FAMILY_PLAN:
        return state->household_size >= 3 ? 1.0 : .15;
    case DATA_BOOST:
        return state->allowance_gb > 0 && state->allowance_used_percent >= 90 ? 1.0 : .3;
    case PERSONALIZED_OFFER:
        return state->is_shopper ? 1.0 : .4;
    default:
        return 1.0;
    }
}

/* H: months that a margin lasts, surviving and discounted. */
static double annuity(const struct cvm_world_segment_facts *facts)
{
    double factor = (1.0 - 1.5 * facts->churn_month) * .992;
    double power = 1.0;
    double sum = 0.0;
    for (int month = 0; month < facts->horizon_months; month++) {
        sum += power;
        power *= factor;
    }
    return sum;
}

/* Numbers of (customer, treatment) that no other treatment shares. */
static double own_normal(const struct cvm_world_state *state, size_t treatment)
{
    struct cvm_random random = cvm_world_stream(state, CVM_WORLD_STREAM_RESPONSE + (int)treatment);
    return cvm_random_normal(&random);
}

static void truth_of_state(uint64_t seed, const struct cvm_world_state *state, size_t treatment,
                           struct cvm_world_truth *out_truth)
{
    double months = annuity(&cvm_world_segments[state->segment]);
    struct cvm_world_truth truth = {
        .churn = state->churn, .margin = state->margin, .worth = state->margin * months};
    if (treatment != IGNORE) {
        struct parameters world = world_parameters(seed, treatment);
        double person_reach = PERSON_REACH_SD * state->reachability;
        truth.reach = cvm_logistic(cvm_logit(world.reach) + person_reach);
        double accept = world.accept * state->responsiveness * fit_of_accept(state, treatment);
        if (world.is_marketing) {
            accept *= cvm_world_accept_season(state->until_day, state->segment);
            for (int i = 0; i < state->contact_count; i++) {
                accept *= FATIGUE_FACTOR;
            }
        }
        truth.accept = clamp(accept, 0.0, .95);
        double cut = world.cut * state->responsiveness * fit_of_cut(state, treatment) +
                     PERSON_CUT_SD * defaults[treatment].cut * own_normal(state, treatment);
        /* Nobody churns with more than near certainty. */
        double cut_min = state->churn > 0.55 ? 1.0 - 0.98 / state->churn : -.8;
        truth.churn_cut = clamp(cut, cut_min, .9);
        truth.incentive = world.incentive + world.incentive_margins * state->margin;
        truth.extra_margin = world.extra_margin;
        double saved = state->churn * truth.churn_cut;
        truth.churn = state->churn - truth.reach * saved;
        double fatigue = world.is_marketing && world.makes_contact ? FATIGUE_VALUE : 0.0;
        truth.value =
            truth.reach * (saved * truth.worth +
                           truth.accept * (truth.extra_margin * months - truth.incentive)) -
            world.cost - fatigue;
    }
    *out_truth = truth;
}

void cvm_world_truth(const struct cvm_world_options *options, int64_t customer, size_t treatment,
                     struct cvm_world_truth *out_truth)
{
    assert(treatment < TREATMENT_COUNT);
    struct cvm_world_state state;
    cvm_world_state_draw(options, customer, &state);
    truth_of_state(options->seed, &state, treatment, out_truth);
}

void cvm_world_truth_header(struct cvm_text *out)
{
    cvm_text_add(out, "customer_id,treatment,churn,reach,accept,margin,worth,incentive,"
                      "extra_margin,value,churn_cut\n");
}

/* Seven decimals: what is left out is far below any frequency that could be measured. */
static void add_number(struct cvm_text *out, double value)
{
    cvm_text_add_char(out, ',');
    cvm_text_add_double(out, floor(value * 1e7 + 0.5) / 1e7);
}

void cvm_world_truth_rows(const struct cvm_world_options *options, int64_t customer,
                          struct cvm_text *out)
{
    struct cvm_world_state state;
    cvm_world_state_draw(options, customer, &state);
    char id[CVM_WORLD_ID_SIZE];
    cvm_world_customer_id(customer, id);
    for (size_t i = 0; i < TREATMENT_COUNT; i++) {
        struct cvm_world_truth truth;
        truth_of_state(options->seed, &state, i, &truth);
        cvm_text_add(out, id);
        cvm_text_add_char(out, ',');
        cvm_text_add(out, cvm_world_treatments[i]);
        add_number(out, truth.churn);
        add_number(out, truth.reach);
        add_number(out, truth.accept);
        add_number(out, truth.margin);
        add_number(out, truth.worth);
        add_number(out, truth.incentive);
        add_number(out, truth.extra_margin);
        add_number(out, truth.value);
        add_number(out, truth.churn_cut);
        cvm_text_add_char(out, '\n');
    }
}
