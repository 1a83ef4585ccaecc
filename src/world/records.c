/* Records of numbers: the register, permissions, bills, usage, network, scores, faults, contacts.
 * Field names are those of config/mappings/telecom.yaml. */
#include "world/records.h"

#include "base/maths.h"

const char *const cvm_world_languages[] = {"en", "de", "fr", "es", "it", "pl"};

static const struct cvm_world_phrase areas[] = {
    CVM_WORLD_PHRASE("aldworth"),  CVM_WORLD_PHRASE("barrow"),  CVM_WORLD_PHRASE("calder"),
    CVM_WORLD_PHRASE("denholm"),   CVM_WORLD_PHRASE("elswick"), CVM_WORLD_PHRASE("fenland"),
    CVM_WORLD_PHRASE("garnock"),   CVM_WORLD_PHRASE("harbour"), CVM_WORLD_PHRASE("inverley"),
    CVM_WORLD_PHRASE("kelham"),    CVM_WORLD_PHRASE("lowmoor"), CVM_WORLD_PHRASE("marston"),
    CVM_WORLD_PHRASE("northgate"), CVM_WORLD_PHRASE("oakhill"), CVM_WORLD_PHRASE("parkside"),
    CVM_WORLD_PHRASE("riverside"),
};
#define AREA_COUNT ((int)(sizeof(areas) / sizeof(areas[0])))

static const struct cvm_world_phrase segment_words[] = {
    CVM_WORLD_PHRASE("prepaid"), CVM_WORLD_PHRASE("sim_only"), CVM_WORLD_PHRASE("contract"),
    CVM_WORLD_PHRASE("converged")};
static const struct cvm_world_phrase plan_words[] = {
    CVM_WORLD_PHRASE("Pay As You Go"), CVM_WORLD_PHRASE("SIM Only"),
    CVM_WORLD_PHRASE("Mobile Plus"), CVM_WORLD_PHRASE("Home and Mobile")};

static void put_string(struct cvm_world_line *line, const char *text)
{
    cvm_world_put_bytes(line, text, strlen(text));
}

/* Most live where the operator is; some are away for work or for good. */
static const char *const zones[CVM_WORLD_ZONE_COUNT] = {
    "Europe/London", "Europe/Madrid", "Europe/Warsaw", "America/New_York", "Asia/Kolkata"};

static const char *age_band(const struct cvm_world_state *state)
{
    int age = cvm_date_from_day(state->until_day).year - state->birth_year;
    return age < 25 ? "under_25" : age < 40 ? "25_39" : age < 60 ? "40_59" : "60_plus";
}

void cvm_world_write_customer(struct cvm_world_scene *scene, struct cvm_random *random,
                              struct cvm_text *out)
{
    (void)random;
    const struct cvm_world_state *state = scene->state;
    struct cvm_world_line *line = &scene->line;
    cvm_world_put_customer(scene);
    CVM_WORLD_PUT(line, ",\"plan_type\":\"");
    cvm_world_put_phrase(line, &segment_words[state->segment]);
    if (state->contract_end != CVM_DAY_NONE) {
        CVM_WORLD_PUT(line, "\",\"contract_end\":\"");
        cvm_world_put_day(line, state->contract_end);
    }
    CVM_WORLD_PUT(line, "\",\"tenure_months\":");
    cvm_world_put_int(line, state->tenure_months);
    if (state->allowance_gb > 0) {
        CVM_WORLD_PUT(line, ",\"data_allowance_gb\":");
        cvm_world_put_int(line, state->allowance_gb);
    }
    CVM_WORLD_PUT(line, ",\"household_size\":");
    cvm_world_put_int(line, state->household_size);
    CVM_WORLD_PUT(line, ",\"region\":\"");
    cvm_world_put_phrase(line, &areas[state->region % AREA_COUNT]);
    CVM_WORLD_PUT(line, "-");
    cvm_world_put_int(line, 1 + state->region / AREA_COUNT);
    CVM_WORLD_PUT(line, "\",\"language\":\"");
    put_string(line, cvm_world_languages[state->language]);
    CVM_WORLD_PUT(line, "\",\"time_zone\":\"");
    put_string(line, zones[state->zone]);
    CVM_WORLD_PUT(line, "\",\"household_id\":\"");
    put_string(line, scene->household);
    CVM_WORLD_PUT(line, "\",\"age_band\":\"");
    put_string(line, age_band(state));
    CVM_WORLD_PUT(line, "\",\"birth_year\":");
    cvm_world_put_int(line, state->birth_year);
    CVM_WORLD_PUT(line, "}");
    cvm_world_line_finish(line, out);
}

static void put_channel_permissions(struct cvm_world_scene *scene, const char *name, int channel,
                                    int days_ago)
{
    const struct cvm_world_state *state = scene->state;
    struct cvm_world_line *line = &scene->line;
    const uint8_t bits[3] = {state->marketing_consent, state->service_consent,
                             state->billing_consent};
    CVM_WORLD_PUT(line, "\"");
    put_string(line, name);
    CVM_WORLD_PUT(line, "\":{\"marketing\":\"");
    cvm_world_put_bytes(line, (bits[0] >> channel) & 1 ? "Y" : "N", 1);
    CVM_WORLD_PUT(line, "\",\"service_updates\":\"");
    cvm_world_put_bytes(line, (bits[1] >> channel) & 1 ? "Y" : "N", 1);
    CVM_WORLD_PUT(line, "\",\"billing\":\"");
    cvm_world_put_bytes(line, (bits[2] >> channel) & 1 ? "Y" : "N", 1);
    CVM_WORLD_PUT(line, "\",\"last_updated\":\"");
    cvm_world_put_day(line, state->until_day - days_ago);
    CVM_WORLD_PUT(line, "\"}");
}

void cvm_world_write_permissions(struct cvm_world_scene *scene, struct cvm_random *random,
                                 struct cvm_text *out)
{
    static const char *const times[] = {"any", "morning", "afternoon", "evening", "business_hours"};
    static const char *const quiet[] = {"21:00-08:00", "22:00-08:00", "22:00-07:00",
                                        "23:00-07:00", "20:00-09:00", "19:00-08:00"};
    struct cvm_world_line *line = &scene->line;
    int days_ago = cvm_world_between(random, 0, 900);
    cvm_world_put_customer(scene);
    CVM_WORLD_PUT(line, ",\"last_updated\":\"");
    cvm_world_put_day(line, scene->state->until_day - days_ago);
    CVM_WORLD_PUT(line, "\",\"permissions\":{");
    put_channel_permissions(scene, "email", CVM_WORLD_EMAIL, days_ago);
    CVM_WORLD_PUT(line, ",");
    put_channel_permissions(scene, "sms", CVM_WORLD_SMS, days_ago);
    CVM_WORLD_PUT(line, ",");
    put_channel_permissions(scene, "call", CVM_WORLD_CALL, days_ago);
    CVM_WORLD_PUT(line, ",");
    put_channel_permissions(scene, "push_notifications", CVM_WORLD_PUSH, days_ago);
    CVM_WORLD_PUT(line, "},\"preferred_contact_time\":\"");
    put_string(line, times[cvm_random_below(random, 5)]);
    CVM_WORLD_PUT(line, "\",\"preferred_language\":\"");
    put_string(line, cvm_world_languages[scene->state->language]);
    CVM_WORLD_PUT(line, "\",\"do_not_disturb\":\"");
    put_string(line, quiet[cvm_random_below(random, 6)]);
    CVM_WORLD_PUT(line, "\"}");
    cvm_world_line_finish(line, out);
}

/* Days since the bill `back` months before the newest one; usage is counted on the same days. */
static int bill_days_ago(const struct cvm_world_state *state, int back)
{
    struct cvm_date date = cvm_date_from_day(state->until_day);
    int32_t bill_day = 1 + (int32_t)(state->key >> 33) % 28;
    back += date.day < bill_day;
    date.month -= back;
    if (date.month < 1) {
        date.month += 12;
        date.year--;
    }
    date.day = bill_day;
    return state->until_day - cvm_day_from_date(date);
}

static int64_t extra_pence(const struct cvm_world_state *state, int back, struct cvm_random *random)
{
    if (state->shock_bill == back) {
        return state->shock_pence;
    }
    int over = state->allowance_used_percent - 100;
    if (back == 0 && over > 0 && state->allowance_gb > 0) {
        return 200 + 100 * over;
    }
    if (state->is_traveller && cvm_world_chance(random, .3)) {
        return cvm_world_between(random, 300, 1800);
    }
    return cvm_world_chance(random, .10) ? cvm_world_between(random, 50, 900) : 0;
}

static const char *payment_status(const struct cvm_world_state *state, int back, int days_ago,
                                  struct cvm_random *random)
{
    double overdue = 0.0;
    if (state->segment != CVM_WORLD_PREPAID) {
        overdue = .045 * cvm_exp(.5 * state->relative_log);
        overdue = overdue > .4 ? .4 : overdue;
    }
    double u = cvm_random_unit(random);
    if (back == 0 && days_ago < 10) {
        return u < .6 ? "pending" : "paid";
    }
    return u < overdue ? "overdue" : "paid";
}

void cvm_world_write_bills(struct cvm_world_scene *scene, struct cvm_random *random,
                           struct cvm_text *out)
{
    const struct cvm_world_state *state = scene->state;
    struct cvm_world_line *line = &scene->line;
    for (int back = scene->plan.months - 1; back >= 0; back--) {
        int days_ago = bill_days_ago(state, back);
        bool is_before_rise =
            state->rise_day != CVM_DAY_NONE && state->until_day - days_ago < state->rise_day;
        cvm_world_put_event(scene, days_ago);
        CVM_WORLD_PUT(line, ",\"plan_name\":\"");
        cvm_world_put_phrase(line, &plan_words[state->segment]);
        if (state->allowance_gb > 0) {
            CVM_WORLD_PUT(line, " ");
            cvm_world_put_int(line, state->allowance_gb);
            CVM_WORLD_PUT(line, "GB");
        } else {
            CVM_WORLD_PUT(line, " Unlimited");
        }
        CVM_WORLD_PUT(line, "\",\"monthly_charge\":");
        cvm_world_put_scaled(
            line, is_before_rise ? state->charge_pence * 100 / 106 : state->charge_pence, 2);
        CVM_WORLD_PUT(line, ",\"additional_charges\":");
        cvm_world_put_scaled(line, extra_pence(state, back, random), 2);
        CVM_WORLD_PUT(line, ",\"payment_status\":\"");
        put_string(line, payment_status(state, back, days_ago, random));
        CVM_WORLD_PUT(line, "\"}");
        cvm_world_line_finish(line, out);
    }
}

void cvm_world_write_usage(struct cvm_world_scene *scene, struct cvm_random *random,
                           struct cvm_text *out)
{
    static const int voice_max[CVM_WORLD_SEGMENT_COUNT] = {180, 320, 480, 700};
    const struct cvm_world_state *state = scene->state;
    struct cvm_world_line *line = &scene->line;
    for (int back = scene->plan.months - 1; back >= 0; back--) {
        int percent = state->allowance_used_percent;
        if (back > 0) {
            percent = percent * cvm_world_between(random, 75, 110) / 100;
        }
        int tenths =
            state->allowance_gb > 0 ? state->allowance_gb * percent / 10 : 400 + 12 * percent;
        cvm_world_put_event(scene, bill_days_ago(state, back));
        CVM_WORLD_PUT(line, ",\"data_usage_gb\":");
        cvm_world_put_scaled(line, tenths, 1);
        CVM_WORLD_PUT(line, ",\"voice_minutes\":");
        cvm_world_put_int(line, cvm_world_between(random, 5, voice_max[state->segment]));
        CVM_WORLD_PUT(line, ",\"sms_count\":");
        cvm_world_put_int(line, cvm_world_between(random, 0, 90));
        bool roams = state->is_traveller && cvm_world_chance(random, .5);
        CVM_WORLD_PUT(line, ",\"roaming_data_gb\":");
        cvm_world_put_scaled(line, roams ? cvm_world_between(random, 1, 30) : 0, 1);
        if (state->allowance_gb > 0) {
            CVM_WORLD_PUT(line, ",\"allowance_share\":");
            cvm_world_put_scaled(line, percent, 2);
        }
        CVM_WORLD_PUT(line, ",\"peak_usage_hour\":");
        cvm_world_put_int(line, cvm_world_between(random, 7, 23));
        CVM_WORLD_PUT(line, ",\"weekend_usage_percent\":");
        cvm_world_put_int(line, cvm_world_between(random, 12, 55));
        CVM_WORLD_PUT(line, "}");
        cvm_world_line_finish(line, out);
    }
}

enum line_quality { POOR, FAIR, GOOD, EXCELLENT };

static void write_measurement(struct cvm_world_scene *scene, int days_ago,
                              enum line_quality quality, struct cvm_random *random,
                              struct cvm_text *out)
{
    static const char *const words[] = {"poor", "fair", "good", "excellent"};
    static const int download[] = {10, 250, 600, 1500, 9000}; /* tenths of Mbit/s */
    static const int latency[][2] = {{72, 160}, {40, 68}, {22, 40}, {4, 24}};
    static const int loss[][2] = {{160, 420}, {50, 140}, {10, 50}, {1, 15}}; /* hundredths */
    struct cvm_world_line *line = &scene->line;
    int down = cvm_world_between(random, download[quality], download[quality + 1]);
    cvm_world_put_event(scene, days_ago);
    CVM_WORLD_PUT(line, ",\"connection_quality\":\"");
    put_string(line, words[quality]);
    CVM_WORLD_PUT(line, "\",\"download_speed_mbps\":");
    cvm_world_put_scaled(line, down, 1);
    CVM_WORLD_PUT(line, ",\"upload_speed_mbps\":");
    cvm_world_put_scaled(line, down / cvm_world_between(random, 3, 9) + 1, 1);
    CVM_WORLD_PUT(line, ",\"latency_ms\":");
    cvm_world_put_int(line, cvm_world_between(random, latency[quality][0], latency[quality][1]));
    CVM_WORLD_PUT(line, ",\"packet_loss_percent\":");
    cvm_world_put_scaled(line, cvm_world_between(random, loss[quality][0], loss[quality][1]), 2);
    CVM_WORLD_PUT(line, "}");
    cvm_world_line_finish(line, out);
}

/* An open fault shows as a ticket, as a poor measurement, or both; both writers ask here. */
static void fault_shows(const struct cvm_world_state *state, bool *out_ticket, bool *out_measured)
{
    unsigned choice = (unsigned)(state->key >> 20) % 8;
    *out_ticket = state->fault_days_ago >= 0 && choice < 6;
    *out_measured = state->fault_days_ago >= 0 && choice >= 4;
}

static bool is_bad_day(const struct cvm_world_state *state, int days_ago)
{
    int weekday = cvm_day_weekday(state->until_day);
    int week = (days_ago + 6 - weekday) / 7;
    return week < CVM_WORLD_WEEKS && ((state->bad_weeks >> week) & 1U) != 0;
}

static enum line_quality measured_quality(const struct cvm_world_state *state, int days_ago,
                                          struct cvm_random *random)
{
    double x = 0.5 * state->region_quality + 2.0 * cvm_random_unit(random) +
               2.0 * cvm_random_unit(random) - 1.4;
    if (is_bad_day(state, days_ago)) {
        x -= 2.2;
    }
    if (days_ago < 14 && x < -1.3) {
        x = -1.0; /* poor means an open fault, and this customer has none that this line shows */
    }
    return x < -1.3 ? POOR : x < 0.0 ? FAIR : x < 1.2 ? GOOD : EXCELLENT;
}

void cvm_world_write_network(struct cvm_world_scene *scene, struct cvm_random *random,
                             struct cvm_text *out)
{
    struct cvm_world_days days = {{0}};
    bool has_ticket = false;
    bool is_measured = false;
    fault_shows(scene->state, &has_ticket, &is_measured);
    int64_t count = cvm_random_poisson(random, scene->plan.network);
    count = count > CVM_WORLD_SPAN_DAYS / 2 ? CVM_WORLD_SPAN_DAYS / 2 : count;
    for (int64_t i = 0; i < count; i++) {
        /* One a day: date is the identity of a measurement. */
        days.count[cvm_random_below(random, CVM_WORLD_SPAN_DAYS)] = 1;
    }
    if (is_measured) {
        days.count[scene->state->fault_days_ago] = 1;
    }
    for (int day = CVM_WORLD_SPAN_DAYS - 1; day >= 0; day--) {
        if (days.count[day] != 0) {
            bool is_fault = is_measured && day == scene->state->fault_days_ago;
            write_measurement(scene, day,
                              is_fault ? POOR : measured_quality(scene->state, day, random), random,
                              out);
        }
    }
}

static void put_risk_factors(struct cvm_world_line *line, const struct cvm_world_state *state)
{
    static const char *const by_grievance[] = {NULL, "network_issues", "billing_disputes",
                                               "price_sensitivity"};
    const char *factors[5];
    int count = 0;
    if (by_grievance[state->grievance] != NULL) {
        factors[count++] = by_grievance[state->grievance];
    }
    if (state->ends_soon) {
        factors[count++] = "contract_ending";
    }
    if (state->allowance_gb > 0 && state->allowance_used_percent >= 90) {
        factors[count++] = "high_usage";
    }
    if (state->relative_log > 0.9) {
        factors[count++] = "competitor_offers";
    }
    if (count == 0) {
        factors[count++] = state->tenure_months < 6 ? "short_tenure" : "low_engagement";
    }
    for (int i = 0; i < count; i++) {
        cvm_world_put_bytes(line, i == 0 ? "\"" : ",\"", i == 0 ? 1 : 2);
        put_string(line, factors[i]);
        CVM_WORLD_PUT(line, "\"");
    }
}

static int satisfaction(const struct cvm_world_state *state, struct cvm_random *random)
{
    double noise = 1.3 * (cvm_random_unit(random) + cvm_random_unit(random) - 1.0);
    double x = 3.3 - 0.75 * state->relative_log + noise + 0.5;
    return x < 1.0 ? 1 : x >= 5.0 ? 5 : (int)x;
}

/* The newest score is the calibrated one; older ones knew less: they scatter around it and lean
 * towards the segment's usual churn. */
void cvm_world_write_scores(struct cvm_world_scene *scene, struct cvm_random *random,
                            struct cvm_text *out)
{
    const struct cvm_world_state *state = scene->state;
    struct cvm_world_line *line = &scene->line;
    int count = 1;
    if (scene->plan.score_max == 3) {
        double u = cvm_random_unit(random);
        count = u < .4 ? 1 : u < .8 ? 2 : 3;
    }
    int newest = (int)cvm_random_below(random, 28);
    for (int back = count - 1; back >= 0; back--) {
        double score = state->score;
        if (back > 0) {
            double usual = 3.0 * cvm_world_segments[state->segment].churn_month;
            double noise = 0.7 * (cvm_random_unit(random) + cvm_random_unit(random) - 1.0);
            score = (score * (1.0 - .15 * back) + usual * .15 * back) * cvm_exp(noise);
        }
        int days_ago = newest + 29 * back + (back > 0 ? (int)cvm_random_below(random, 7) : 0);
        int64_t scaled = (int64_t)(score * 10000.0 + 0.5);
        scaled = scaled < 2 ? 2 : scaled > 9700 ? 9700 : scaled;
        int tenure = state->tenure_months - days_ago / 30;
        cvm_world_put_event(scene, days_ago);
        CVM_WORLD_PUT(line, ",\"churn_probability\":");
        cvm_world_put_scaled(line, scaled, 4);
        CVM_WORLD_PUT(line, ",\"risk_factors\":[");
        put_risk_factors(line, state);
        CVM_WORLD_PUT(line, "],\"customer_lifetime_months\":");
        cvm_world_put_int(line, tenure < 0 ? 0 : tenure);
        CVM_WORLD_PUT(line, ",\"recent_satisfaction_score\":");
        cvm_world_put_int(line, satisfaction(state, random));
        CVM_WORLD_PUT(line, "}");
        cvm_world_line_finish(line, out);
    }
}

static void write_ticket(struct cvm_world_scene *scene, int days_ago, bool is_open, int days_open,
                         struct cvm_text *out)
{
    struct cvm_world_line *line = &scene->line;
    cvm_world_put_event(scene, days_ago);
    CVM_WORLD_PUT(line, ",\"status\":\"");
    put_string(line, is_open ? "open" : "closed");
    CVM_WORLD_PUT(line, "\",\"days_open\":");
    cvm_world_put_int(line, days_open);
    CVM_WORLD_PUT(line, "}");
    cvm_world_line_finish(line, out);
}

void cvm_world_write_faults(struct cvm_world_scene *scene, struct cvm_random *random,
                            struct cvm_text *out)
{
    const struct cvm_world_state *state = scene->state;
    bool has_ticket = false;
    bool is_measured = false;
    fault_shows(state, &has_ticket, &is_measured);
    for (int week = CVM_WORLD_WEEKS - 2; week >= 2; week--) {
        bool was_bad = ((state->bad_weeks >> week) & 1U) != 0;
        if (was_bad && cvm_world_chance(random, .14 * scene->plan.closed_faults)) {
            int days_ago = week * 7 + (int)cvm_random_below(random, 7);
            write_ticket(scene, days_ago, false, cvm_world_between(random, 1, 9), out);
        }
    }
    if (has_ticket) {
        write_ticket(scene, state->fault_days_ago, true, cvm_world_between(random, 0, 3), out);
    }
}

/* What is done, whatever the channel: as in config/treatments. */
static const char *action_of(const char *treatment)
{
    if (strcmp(treatment, "loyalty_app") == 0) {
        return "loyalty_offers";
    }
    if (strcmp(treatment, "service_sms") == 0) {
        return "service_notice";
    }
    return strcmp(treatment, "personalized_offer") == 0 ? "personalized_offer" : "retention_offer";
}

static void write_contact(struct cvm_world_scene *scene, int days_ago,
                          enum cvm_world_channel channel, const char *treatment,
                          struct cvm_text *out)
{
    static const char *const words[] = {"call", "email", "sms", "push"};
    struct cvm_world_line *line = &scene->line;
    cvm_world_put_event(scene, days_ago);
    CVM_WORLD_PUT(line, ",\"channel\":\"");
    put_string(line, words[channel]);
    CVM_WORLD_PUT(line, "\",\"purpose\":\"");
    put_string(line, strcmp(treatment, "service_sms") == 0 ? "service" : "marketing");
    CVM_WORLD_PUT(line, "\",\"treatment\":\"");
    put_string(line, treatment);
    CVM_WORLD_PUT(line, "\",\"action\":\"");
    put_string(line, action_of(treatment));
    CVM_WORLD_PUT(line, "\"}");
    cvm_world_line_finish(line, out);
}

static const char *contact_treatment(enum cvm_world_channel channel, struct cvm_random *random)
{
    bool is_offer = cvm_world_chance(random, .35);
    switch (channel) {
    case CVM_WORLD_CALL:
        return "marketing_call_back";
    case CVM_WORLD_PUSH:
        return "loyalty_app";
    case CVM_WORLD_EMAIL:
        return is_offer ? "personalized_offer" : "retention_email";
    default:
        return is_offer ? "personalized_offer" : "retention_sms";
    }
}

void cvm_world_write_contacts(struct cvm_world_scene *scene, struct cvm_random *random,
                              struct cvm_text *out)
{
    const struct cvm_world_state *state = scene->state;
    int64_t old = cvm_random_poisson(random, scene->plan.old_contacts);
    for (int64_t i = 0; i < old; i++) {
        int days_ago = 30 + (int)cvm_random_below(random, CVM_WORLD_SPAN_DAYS - 30);
        unsigned messages = state->marketing_consent & ~(1U << CVM_WORLD_CALL);
        uint64_t channel = cvm_random_below(random, CVM_WORLD_CHANNEL_COUNT);
        bool is_marketing = ((messages >> channel) & 1U) != 0;
        if (!is_marketing && ((state->service_consent >> CVM_WORLD_SMS) & 1U) == 0) {
            continue;
        }
        const char *treatment = is_marketing
                                    ? contact_treatment((enum cvm_world_channel)channel, random)
                                    : "service_sms";
        write_contact(scene, days_ago,
                      is_marketing ? (enum cvm_world_channel)channel : CVM_WORLD_SMS, treatment,
                      out);
    }
    for (int i = 0; i < state->contact_count; i++) {
        const struct cvm_world_contact *contact = &state->contacts[i];
        write_contact(scene, contact->days_ago, contact->channel,
                      contact_treatment(contact->channel, random), out);
    }
}

/* Who is to be left alone, for a while or for good. */
void cvm_world_write_suppressions(struct cvm_world_scene *scene, struct cvm_random *random,
                                  struct cvm_text *out)
{
    static const struct {
        const char *kind;
        double share;
        int days; /* how long it holds; 0 = for good */
    } kinds[] = {
        {"vulnerable", .006, 0}, {"bereaved", .001, 90},           {"minor", .003, 0},
        {"fraud", .001, 0},      {"collections", .008, 60},        {"complaint", .006, 30},
        {"port_out", .002, 30},  {"profiling_objection", .012, 0},
    };
    struct cvm_world_line *line = &scene->line;
    double u = cvm_random_unit(random);
    int days_ago = (int)cvm_random_below(random, CVM_WORLD_SPAN_DAYS);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (u < kinds[i].share) {
            cvm_world_put_event(scene, days_ago);
            CVM_WORLD_PUT(line, ",\"kind\":\"");
            put_string(line, kinds[i].kind);
            CVM_WORLD_PUT(line, "\"");
            if (kinds[i].days > 0) {
                CVM_WORLD_PUT(line, ",\"until\":\"");
                cvm_world_put_day(line, scene->state->until_day - days_ago + kinds[i].days);
                CVM_WORLD_PUT(line, "\"");
            }
            CVM_WORLD_PUT(line, "}");
            cvm_world_line_finish(line, out);
            return;
        }
        u -= kinds[i].share;
    }
}
