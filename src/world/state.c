/* How a customer comes to be. Shares, margins, churn and shocks are those of the telecom defaults;
 * constants without a source there are expert judgement, chosen so that 20,000 customers show the
 * shares that tests/world checks. */
#include "world/state.h"

#include <assert.h>
#include <string.h>

#include "base/date.h"
#include "base/hash.h"
#include "base/maths.h"

/* 90 days in mean months. */
#define HORIZON_MONTHS (90.0 * 12.0 / 365.25)
/* The spread of the log hazard, part seen by a churn score and part not. With contract windows,
 * regions and shocks it makes the 1.2 of the defaults. */
#define SEEN_LOG_SD   1.13
#define UNSEEN_LOG_SD 0.40
/* With the multipliers below it makes the 90-day mean of 5.6 %. */
#define HAZARD_SCALE       1.02

#define FAULT_ALONE_SHARE  0.0240 /* open faults apart from bad weeks */
#define FAULT_IN_BAD_SHARE 0.15
#define RESTING_SHARE      0.30
#define BAD_WEEK_SHARE     0.05
#define REGION_STREAM      0x7265670000ULL
#define WEEK_STREAM        0x7765656b0000ULL

const struct cvm_world_segment_facts cvm_world_segments[CVM_WORLD_SEGMENT_COUNT] = {
    [CVM_WORLD_PREPAID] = {.45, 3.0, .70, 1.0, 8.0, .030, 12, 16.0, .05},
    [CVM_WORLD_SIM_ONLY] = {.12, 8.0, .45, 5.0, 14.0, .020, 12, 23.0, .08},
    [CVM_WORLD_CONTRACT] = {.33, 13.0, .40, 8.0, 25.0, .010, 24, 37.0, .12},
    [CVM_WORLD_CONVERGED] = {.10, 24.0, .35, 15.0, 40.0, .008, 24, 46.0, .28},
};

struct cvm_random cvm_world_stream(const struct cvm_world_state *state, int stream)
{
    struct cvm_random random;
    cvm_random_init(&random, cvm_hash_mix(state->key, (uint64_t)stream));
    return random;
}

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static bool chance(struct cvm_random *random, double probability)
{
    return cvm_random_unit(random) < probability;
}

double cvm_world_churn_season(int32_t day)
{
    static const double month_factor[13] = {0,   1.15, .92, .92, 1.0,  1.0, 1.0,
                                            1.0, 1.0,  1.1, 1.0, 1.15, 1.15};
    double sum = 0.0;
    for (int32_t ahead = 15; ahead < 90; ahead += 30) {
        sum += month_factor[cvm_date_from_day(day + ahead).month];
    }
    return sum / 3.0;
}

double cvm_world_accept_season(int32_t day, enum cvm_world_segment segment)
{
    struct cvm_date date = cvm_date_from_day(day);
    double factor = 1.0;
    if (date.month >= 11) {
        factor = 1.2;
    } else if (date.month == 7 || date.month == 8) {
        factor = 0.9;
    }
    bool is_payday = date.day >= 25 && date.day <= 28;
    return segment == CVM_WORLD_PREPAID && is_payday ? factor * 1.25 : factor;
}

static void draw_person(struct cvm_world_state *state, struct cvm_random *random)
{
    double u = cvm_random_unit(random);
    int segment = 0;
    while (segment < CVM_WORLD_SEGMENT_COUNT - 1 && u >= cvm_world_segments[segment].share) {
        u -= cvm_world_segments[segment].share;
        segment++;
    }
    const struct cvm_world_segment_facts *facts = &cvm_world_segments[segment];
    state->segment = (enum cvm_world_segment)segment;
    double tenure = -facts->tenure_mean * cvm_log(1.0 - cvm_random_unit(random));
    state->tenure_months = (int)clamp(tenure, 0.0, 240.0);

    bool is_family = chance(random, facts->family_share);
    state->household_size =
        is_family ? 3 + (int)cvm_random_below(random, 3) : 1 + (int)cvm_random_below(random, 2);
    state->birth_year = cvm_date_from_day(state->until_day).year - 18 -
                        (int)cvm_random_below(random, 35) - (int)cvm_random_below(random, 35);
    state->language = chance(random, .96) ? 0 : 1 + (int)cvm_random_below(random, 5);
    state->is_traveller = chance(random, .08);
    state->activity = 0.4 + 0.6 * (double)cvm_random_below(random, 3);
}

static void draw_contract(struct cvm_world_state *state, struct cvm_random *random)
{
    state->contract_end = CVM_DAY_NONE;
    if (state->segment != CVM_WORLD_CONTRACT && state->segment != CVM_WORLD_CONVERGED) {
        return;
    }
    double u = cvm_random_unit(random);
    state->ends_soon = u < .12;
    int32_t ahead = 0;
    if (state->ends_soon) {
        ahead = (int32_t)cvm_random_below(random, 91);
    } else if (u < .90) {
        ahead = 91 + (int32_t)cvm_random_below(random, 640);
    } else { /* the term is over, the contract goes on */
        ahead = -1 - (int32_t)cvm_random_below(random, 400);
    }
    state->contract_end = state->until_day + ahead;
}

static void draw_money(struct cvm_world_state *state, struct cvm_random *random)
{
    const struct cvm_world_segment_facts *facts = &cvm_world_segments[state->segment];
    double margin = cvm_random_lognormal(random, facts->margin, facts->margin_log_sd);
    margin = clamp(margin, 0.8 * facts->margin_min, 1.2 * facts->margin_max);
    double margin_share = 0.50 + 0.10 * cvm_random_unit(random);
    /* Prices end in 49 or 99. */
    state->charge_pence = (int64_t)(margin / margin_share * 2.0 + 0.5) * 50 - 1;
    state->margin = (double)state->charge_pence / 100.0 * margin_share;

    static const int allowances[CVM_WORLD_SEGMENT_COUNT][3] = {
        {5, 10, 20}, {10, 30, 60}, {20, 50, 100}, {50, 100, 200}};
    bool is_unlimited = state->segment >= CVM_WORLD_CONTRACT && chance(random, .15);
    state->allowance_gb =
        is_unlimited ? 0 : allowances[state->segment][cvm_random_below(random, 3)];
    bool is_near = chance(random, .107);
    double used = cvm_random_lognormal(random, 42.0, .45);
    state->allowance_used_percent =
        is_near ? 90 + (int)cvm_random_below(random, 26) : (int)clamp(used, 2.0, 89.0);
}

/* Bills do not wait for the customer: an extra charge of more than £20 on one of the last two. */
static void draw_shocks(struct cvm_world_state *state, struct cvm_random *random)
{
    double share = state->segment == CVM_WORLD_PREPAID ? .02 : .07;
    double u = cvm_random_unit(random);
    state->shock_bill = u >= share ? -1 : u < 0.5 * share ? 0 : 1;
    state->shock_pence = 2100 + (int64_t)cvm_random_below(random, 6900);

    struct cvm_date date = cvm_date_from_day(state->until_day);
    date = (struct cvm_date){date.month >= 4 ? date.year : date.year - 1, 4, 1};
    state->rise_day = state->segment == CVM_WORLD_PREPAID ? CVM_DAY_NONE : cvm_day_from_date(date);
}

/* Regions share their network: quality, and the weeks in which it was bad. */
static void draw_network(struct cvm_world_state *state, uint64_t seed, struct cvm_random *random)
{
    state->region = (int)cvm_random_below(random, CVM_WORLD_REGION_COUNT);
    uint64_t region_key = cvm_hash_mix(seed, REGION_STREAM + (uint64_t)state->region);
    struct cvm_random region;
    cvm_random_init(&region, region_key);
    state->region_quality = cvm_random_normal(&region);

    double bad_share = BAD_WEEK_SHARE * cvm_exp(-0.4 * clamp(state->region_quality, -2.0, 2.0));
    int weekday = cvm_day_weekday(state->until_day);
    int64_t week = ((int64_t)state->until_day - weekday + 3) / 7;
    for (int w = 0; w < CVM_WORLD_WEEKS; w++) {
        uint64_t hash = cvm_hash_mix(region_key, WEEK_STREAM + (uint64_t)(week - w));
        bool is_bad = (double)(hash >> 11) * 0x1p-53 < bad_share;
        state->bad_weeks |= (uint32_t)is_bad << w;
    }

    bool may_come_from_bad_week = (state->bad_weeks & 3U) != 0;
    state->fault_days_ago = -1;
    if (may_come_from_bad_week && chance(random, FAULT_IN_BAD_SHARE)) {
        bool is_this_week = (state->bad_weeks & 1U) != 0;
        state->fault_days_ago = is_this_week ? (int)cvm_random_below(random, (uint64_t)weekday + 1)
                                             : weekday + 1 + (int)cvm_random_below(random, 7);
    } else if (chance(random, FAULT_ALONE_SHARE)) {
        state->fault_days_ago = (int)cvm_random_below(random, 14);
    }
}

/* What can be known about the log hazard, relative to the segment's mean. */
static double seen_log_hazard(const struct cvm_world_state *state, struct cvm_random *random)
{
    double factor = HAZARD_SCALE * cvm_world_churn_season(state->until_day);
    if (state->contract_end != CVM_DAY_NONE) {
        factor *= state->ends_soon ? 3.0 : .73;
    }
    factor *= state->tenure_months < 6 ? 1.2 : state->tenure_months > 36 ? .85 : 1.0;
    /* Shocks pass: a fault doubles the hazard of the first month, a bill shock raises it by .6 for
     * 60 days, a price rise by .5 for 60 days. Here is what is left of them on average. */
    factor *= state->fault_days_ago >= 0 ? 1.4 : 1.0;
    factor *= state->shock_bill == 0 ? 1.35 : state->shock_bill == 1 ? 1.15 : 1.0;
    if (state->rise_day != CVM_DAY_NONE) {
        int32_t left = state->rise_day + 60 - state->until_day;
        factor *= left > 0 ? 1.0 + 0.5 * (double)left / 90.0 : 1.0;
    }
    factor *= state->allowance_used_percent >= 90 && state->allowance_gb > 0 ? 1.2 : 1.0;
    double person = SEEN_LOG_SD * cvm_random_normal(random) - 0.5 * SEEN_LOG_SD * SEEN_LOG_SD;
    return cvm_log(factor) + person - 0.12 * state->region_quality;
}

static double churn_of_hazard(double hazard_month)
{
    return 1.0 - cvm_exp(-HORIZON_MONTHS * hazard_month);
}

/* The score is the mean of the true probability over what it does not see: calibrated as it is
 * (intercept 0, slope 1). Gauss-Hermite, 5 points. */
static double score_of_hazard(double hazard_month)
{
    static const double nodes[5] = {-2.8569700138728056, -1.3556261799742659, 0.0,
                                    1.3556261799742659, 2.8569700138728056};
    static const double weights[5] = {.011257411327720689, .22207592200561264, .53333333333333333,
                                      .22207592200561264, .011257411327720689};
    double sum = 0.0;
    for (int i = 0; i < 5; i++) {
        double unseen = UNSEEN_LOG_SD * nodes[i] - 0.5 * UNSEEN_LOG_SD * UNSEEN_LOG_SD;
        sum += weights[i] * churn_of_hazard(hazard_month * cvm_exp(unseen));
    }
    return sum;
}

static void draw_churn(struct cvm_world_state *state, struct cvm_random *random)
{
    double seen = seen_log_hazard(state, random);
    state->unseen_log =
        UNSEEN_LOG_SD * cvm_random_normal(random) - 0.5 * UNSEEN_LOG_SD * UNSEEN_LOG_SD;
    state->relative_log = seen + state->unseen_log;
    double mean = cvm_world_segments[state->segment].churn_month;
    state->churn = clamp(churn_of_hazard(mean * cvm_exp(state->relative_log)), 0.0, 0.97);
    state->score = score_of_hazard(mean * cvm_exp(seen));
    state->is_shopper = chance(random, state->ends_soon ? .60 : .375 + .25 * state->score);
}

static void draw_grievance(struct cvm_world_state *state, struct cvm_random *random)
{
    double weights[CVM_WORLD_GRIEVANCE_COUNT] = {
        .55 * cvm_exp(-0.6 * clamp(state->relative_log, -3.0, 3.0)),
        state->fault_days_ago >= 0 ? 3.0
        : state->bad_weeks != 0    ? .25
                                   : .12,
        state->shock_bill >= 0 ? 2.0 : .15,
        .30,
    };
    double total = 0.0;
    for (int i = 0; i < CVM_WORLD_GRIEVANCE_COUNT; i++) {
        total += weights[i];
    }
    double u = cvm_random_unit(random) * total;
    int grievance = 0;
    while (grievance < CVM_WORLD_GRIEVANCE_COUNT - 1 && u >= weights[grievance]) {
        u -= weights[grievance];
        grievance++;
    }
    state->grievance = (enum cvm_world_grievance)grievance;
}

/* One shared number for some channels ties the answers of a person together and leaves each share
 * as it is. */
static uint8_t draw_consent(struct cvm_random *random, const double share[4])
{
    double shared = cvm_random_unit(random);
    uint8_t bits = 0;
    for (int channel = 0; channel < CVM_WORLD_CHANNEL_COUNT; channel++) {
        double u = chance(random, .25) ? shared : cvm_random_unit(random);
        bits |= (uint8_t)((u < share[channel]) << channel);
    }
    return bits;
}

static void draw_consents(struct cvm_world_state *state, struct cvm_random *random)
{
    static const double marketing[4] = {.62, .70, .60, .45};
    static const double service[4] = {.97, .97, .97, .97};
    state->marketing_consent = draw_consent(random, marketing);
    state->service_consent = draw_consent(random, service);
    state->billing_consent = draw_consent(random, service);
}

static void add_contact(struct cvm_world_state *state, int days_ago, struct cvm_random *random)
{
    if (state->contact_count == CVM_WORLD_CONTACTS_MAX) {
        return;
    }
    bool was_called = false;
    for (int i = 0; i < state->contact_count; i++) {
        was_called |= state->contacts[i].channel == CVM_WORLD_CALL;
    }
    uint64_t channel = cvm_random_below(random, CVM_WORLD_CHANNEL_COUNT);
    unsigned allowed = state->marketing_consent;
    /* Calls are few, and one in 60 days is the policy, where another channel is permitted. */
    if ((was_called || !chance(random, .15)) && allowed != 1U << CVM_WORLD_CALL) {
        allowed &= ~(1U << CVM_WORLD_CALL);
    }
    while (((allowed >> channel) & 1U) == 0) {
        channel = (channel + 1) % CVM_WORLD_CHANNEL_COUNT;
    }
    state->contacts[state->contact_count++] =
        (struct cvm_world_contact){days_ago, (enum cvm_world_channel)channel};
}

/* Marketing of the last 30 days. 30 % of the base rest: touched within three days, or four times in
 * 30. Who permits no channel is never touched. */
static void draw_contacts(struct cvm_world_state *state, struct cvm_random *random)
{
    static const double none_permitted = .037;
    if (state->marketing_consent == 0) {
        return;
    }
    if (!chance(random, RESTING_SHARE / (1.0 - none_permitted))) {
        int count = (int)cvm_random_below(random, 12);
        count = count >= 9 ? count - 9 : count % 2; /* mean .67 */
        for (int i = 0; i < count; i++) {
            add_contact(state, 3 + (int)cvm_random_below(random, 27), random);
        }
    } else if (chance(random, .85)) {
        add_contact(state, (int)cvm_random_below(random, 3), random);
        if (chance(random, .4)) {
            add_contact(state, 3 + (int)cvm_random_below(random, 27), random);
        }
    } else {
        for (int i = 0; i < 4; i++) {
            add_contact(state, 4 + 6 * i + (int)cvm_random_below(random, 6), random);
        }
    }
}

void cvm_world_state_draw(const struct cvm_world_options *options, int64_t customer,
                          struct cvm_world_state *out_state)
{
    assert(customer >= 0);
    memset(out_state, 0, sizeof(*out_state));
    out_state->key = cvm_hash_mix(options->seed, (uint64_t)customer);
    out_state->until_day = options->until_day;
    struct cvm_random random = cvm_world_stream(out_state, CVM_WORLD_STREAM_STATE);
    draw_person(out_state, &random);
    draw_contract(out_state, &random);
    draw_money(out_state, &random);
    draw_shocks(out_state, &random);
    draw_network(out_state, options->seed, &random);
    draw_churn(out_state, &random);
    draw_grievance(out_state, &random);
    draw_consents(out_state, &random);
    out_state->responsiveness = cvm_random_lognormal(&random, cvm_exp(-.125), .5);
    out_state->reachability = cvm_random_normal(&random);
    struct cvm_random home = cvm_world_stream(out_state, CVM_WORLD_STREAM_HOME);
    if (chance(&home, .05)) {
        out_state->zone = 1 + (int)cvm_random_below(&home, CVM_WORLD_ZONE_COUNT - 1);
    }
    struct cvm_random contacts = cvm_world_stream(out_state, CVM_WORLD_STREAM_CONTACTS);
    draw_contacts(out_state, &contacts);
}
