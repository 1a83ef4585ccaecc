/* What customers say, read and are offered. Sentences are an opening, a subject and an ending, with
 * the words that the shipped topics look for; what a complaint is about is the customer's
 * grievance. */
#include "world/records.h"

#include "base/maths.h"

#define PHRASES_MAX 10
struct phrases {
    size_t count;
    struct cvm_world_phrase items[PHRASES_MAX];
};
#define P(literal) CVM_WORLD_PHRASE(literal)

static const struct phrases complaint_openings[2] = {
    {7,
     {P("Customer called about "), P("Customer called again about "), P("Follow-up call about "),
      P("Customer complained about "), P("Customer called, frustrated by "),
      P("Customer expressed strong dissatisfaction with "), P("Third call this month about ")}},
    {6,
     {P("Customer wrote about "), P("Customer complained in a chat about "),
      P("Customer asked when something will be done about "),
      P("Customer expressed frustration with "), P("Customer sent screenshots of "),
      P("Customer came back to the chat about ")}},
};
static const struct phrases complaint_subjects[CVM_WORLD_GRIEVANCE_COUNT] = {
    [CVM_WORLD_CONTENT] = {4,
                           {P("a long wait on the line"), P("a delivery that came a week late"),
                            P("the app signing out every day"),
                            P("an agent who \\\"did not listen\\\"")}},
    [CVM_WORLD_NETWORK] = {7,
                           {P("network issues at home that have lasted for days"),
                            P("repeated network issues and dropped calls during work"),
                            P("connection issues every evening"),
                            P("slow data and network issues on the train"),
                            P("network issues since the outage: \\\"no signal\\\" indoors"),
                            P("poor coverage and connection issues in the village"),
                            P("network issues that the last engineer did not solve")}},
    [CVM_WORLD_BILLING] = {7,
                           {P("an unexpected charge on the newest bill"),
                            P("a billing dispute that is still open"),
                            P("an unexpected charge of £15 for premium texts"),
                            P("a billing dispute over data that was never used"),
                            P("unexpected charges after a day abroad"),
                            P("a refund promised in the last billing dispute"),
                            P("the \\\"unexpected charge\\\" that came back this month")}},
    [CVM_WORLD_PRICE] = {6,
                         {P("the price compared with competitive offers"),
                          P("a cheaper deal from a competitor"),
                          P("the price rise for loyal customers"), P("poor value for money"),
                          P("new customers paying less for the same"),
                          P("the end of a promotional discount")}},
};
static const struct phrases complaint_endings = {
    6,
    {P("; the agent opened a case."), P("; an answer was promised within two days."),
     P(" and asked for a supervisor."), P("; a credit was offered and declined."),
     P("; nothing could be solved at once."), P(" and wants it escalated.")}};
static const struct phrases leaving_endings = {
    5,
    {P(" and asked how to cancel."), P(" and asked for a porting code."),
     P(" and is thinking of leaving."), P("; said other providers do better and may leave."),
     P(" and asked about cancellation fees.")}};

static const struct phrases openings[2] = {
    {5,
     {P("Customer called about "), P("Customer asked about "), P("Customer wanted help with "),
      P("Call about "), P("Customer had a question on ")}},
    {4,
     {P("Customer asked in the chat about "), P("Customer wanted to know about "), P("Chat about "),
      P("Customer needed help with ")}},
};
static const struct phrases subjects = {
    10,
    {P("how to read the newest invoice"), P("changing the payment date"),
     P("activating an eSIM on a second phone"), P("Wi-Fi calling settings"),
     P("moving house and keeping the number"), P("setting up voicemail"),
     P("a replacement SIM card"), P("usage alerts in the app"),
     P("changing the address on the account"), P("the loyalty points balance")}};
enum special { ROAMING, UPGRADE, FAMILY, ALLOWANCE, SPECIAL_COUNT };
static const struct phrases special_subjects[SPECIAL_COUNT] = {
    [ROAMING] = {3,
                 {P("roaming rates for a trip to Spain"), P("an international day pass"),
                  P("using the phone abroad next month")}},
    [UPGRADE] = {3,
                 {P("an upgrade to a newer device"),
                  P("the date from which an upgrade is possible"),
                  P("the trade-in price for a new phone")}},
    [FAMILY] = {3,
                {P("additional lines for family members"), P("parental controls for a child"),
                 P("sharing data in the family")}},
    [ALLOWANCE] = {3,
                   {P("more data until the end of the month"), P("what happens at the data limit"),
                    P("unlimited data")}},
};
static const struct phrases neutral_endings = {
    4,
    {P("; the agent explained the steps."), P("; the question was answered."),
     P("; a link to the guide was sent."), P("; the change was made.")}};
static const struct phrases positive_endings = {
    4,
    {P("; the customer thanked the agent."), P("; solved at once, and the customer was pleased."),
     P(" and was happy with the answer."), P("; the customer appreciated the quick help.")}};

static void put_one(struct cvm_world_line *line, const struct phrases *phrases,
                    struct cvm_random *random)
{
    cvm_world_put_phrase(line, &phrases->items[cvm_random_below(random, phrases->count)]);
}

enum conversation { CALL, CHAT };

enum sentiment { NEGATIVE, NEUTRAL, POSITIVE };

static void put_end(struct cvm_world_line *line, enum sentiment sentiment, int minutes)
{
    static const struct cvm_world_phrase words[] = {P("negative"), P("neutral"), P("positive")};
    CVM_WORLD_PUT(line, "\",\"sentiment\":\"");
    cvm_world_put_phrase(line, &words[sentiment]);
    CVM_WORLD_PUT(line, "\",\"duration_minutes\":");
    cvm_world_put_int(line, minutes);
    CVM_WORLD_PUT(line, "}");
}

static void put_start(struct cvm_world_scene *scene, enum conversation kind, int days_ago)
{
    cvm_world_put_event(scene, days_ago);
    if (kind == CALL) {
        CVM_WORLD_PUT(&scene->line, ",\"type\":\"call\",\"summary\":\"");
    } else {
        CVM_WORLD_PUT(&scene->line, ",\"channel\":\"web_chat\",\"summary\":\"");
    }
}

static void write_complaint(struct cvm_world_scene *scene, enum conversation kind, int days_ago,
                            struct cvm_random *random, struct cvm_text *out)
{
    const struct cvm_world_state *state = scene->state;
    double leaving = state->grievance == CVM_WORLD_CONTENT ? 0.0 : .04 + .9 * state->churn;
    put_start(scene, kind, days_ago);
    put_one(&scene->line, &complaint_openings[kind], random);
    put_one(&scene->line, &complaint_subjects[state->grievance], random);
    bool is_leaving = cvm_world_chance(random, leaving);
    put_one(&scene->line, is_leaving ? &leaving_endings : &complaint_endings, random);
    bool is_calm = cvm_world_chance(random, .12);
    put_end(&scene->line, is_calm ? NEUTRAL : NEGATIVE, cvm_world_between(random, 6, 30));
    cvm_world_line_finish(&scene->line, out);
}

static const struct phrases *choose_subjects(const struct cvm_world_state *state,
                                             struct cvm_random *random)
{
    if (!cvm_world_chance(random, .4)) {
        return &subjects;
    }
    if (state->is_traveller) {
        return &special_subjects[ROAMING];
    }
    if (state->ends_soon) {
        return &special_subjects[UPGRADE];
    }
    if (state->household_size >= 3) {
        return &special_subjects[FAMILY];
    }
    bool is_near = state->allowance_gb > 0 && state->allowance_used_percent >= 90;
    return is_near ? &special_subjects[ALLOWANCE] : &subjects;
}

static void write_question(struct cvm_world_scene *scene, enum conversation kind, int days_ago,
                           struct cvm_random *random, struct cvm_text *out)
{
    bool is_positive = cvm_world_chance(random, .38);
    put_start(scene, kind, days_ago);
    put_one(&scene->line, &openings[kind], random);
    put_one(&scene->line, choose_subjects(scene->state, random), random);
    put_one(&scene->line, is_positive ? &positive_endings : &neutral_endings, random);
    put_end(&scene->line, is_positive ? POSITIVE : NEUTRAL, cvm_world_between(random, 3, 18));
    cvm_world_line_finish(&scene->line, out);
}

/* Complaints grow with the hazard relative to the segment; the divisor takes their mean to 1. */
static double complaint_factor(const struct cvm_world_state *state)
{
    double x = state->relative_log;
    x = x > 2.8 ? 2.8 : x < -4.0 ? -4.0 : x;
    double mood = state->grievance == CVM_WORLD_CONTENT ? .35 : 1.3;
    return mood * cvm_exp(.65 * x) / .83;
}

static void write_conversations(struct cvm_world_scene *scene, enum conversation kind,
                                struct cvm_random *random, struct cvm_text *out)
{
    const struct cvm_world_plan *plan = &scene->plan;
    struct cvm_world_days questions = {{0}};
    struct cvm_world_days complaints = {{0}};
    int64_t count = cvm_random_poisson(random, kind == CALL ? plan->calls : plan->chats);
    for (int64_t i = 0; i < count; i++) {
        questions.count[cvm_random_below(random, CVM_WORLD_SPAN_DAYS)]++;
    }
    double rate = kind == CALL ? plan->call_complaints : plan->chat_complaints;
    int64_t anger = cvm_random_poisson(random, rate * complaint_factor(scene->state));
    count += anger;
    for (int64_t i = 0; i < anger; i++) {
        /* Those about to leave complain now: the minimum of two days crowds towards the end. */
        uint64_t day = cvm_random_below(random, CVM_WORLD_SPAN_DAYS);
        uint64_t other = cvm_random_below(random, CVM_WORLD_SPAN_DAYS);
        bool is_rising = scene->state->relative_log > 0.0;
        complaints.count[is_rising && other < day ? other : day]++;
    }
    for (int day = CVM_WORLD_SPAN_DAYS - 1; day >= 0 && count > 0; day--) {
        for (int i = 0; i < questions.count[day]; i++, count--) {
            write_question(scene, kind, day, random, out);
        }
        for (int i = 0; i < complaints.count[day]; i++, count--) {
            write_complaint(scene, kind, day, random, out);
        }
    }
}

void cvm_world_write_calls(struct cvm_world_scene *scene, struct cvm_random *random,
                           struct cvm_text *out)
{
    write_conversations(scene, CALL, random, out);
}

void cvm_world_write_chats(struct cvm_world_scene *scene, struct cvm_random *random,
                           struct cvm_text *out)
{
    write_conversations(scene, CHAT, random, out);
}

/* Only these are about buying: what the shopping topic of the catalogue means by it. */
static const struct phrases shopping_pages = {6,
                                              {P("/plans/compare"), P("/plans/unlimited"),
                                               P("/offers/current"), P("/products/phones"),
                                               P("/account/upgrade-options"), P("/offers/family")}};
static const struct phrases other_pages = {
    10,
    {P("/account/overview"), P("/billing/current"), P("/billing/history"), P("/usage/details"),
     P("/support/network-status"), P("/support/faq"), P("/account/settings"), P("/usage/alerts"),
     P("/account/login"), P("/help/search?q=esim+setup")}};
static const struct phrases leaving_pages = {2,
                                             {P("/support/leaving"), P("/account/contract-end")}};

static void write_click(struct cvm_world_scene *scene, int days_ago, const struct phrases *pages,
                        struct cvm_random *random, struct cvm_text *out)
{
    static const struct cvm_world_phrase devices[] = {P("mobile"), P("desktop"), P("tablet")};
    struct cvm_world_line *line = &scene->line;
    uint64_t usual = (scene->state->key >> 40) % 3;
    uint64_t other = cvm_random_below(random, 12);
    cvm_world_put_event(scene, days_ago);
    CVM_WORLD_PUT(line, ",\"page\":\"");
    put_one(line, pages, random);
    CVM_WORLD_PUT(line, "\",\"duration_seconds\":");
    cvm_world_put_int(line, cvm_world_between(random, 5, 420));
    CVM_WORLD_PUT(line, ",\"device\":\"");
    cvm_world_put_phrase(line, &devices[other < 3 ? other : usual]);
    CVM_WORLD_PUT(line, "\"}");
    cvm_world_line_finish(line, out);
}

/* A shopper looks at plans or offers in the last 30 days, nobody else does. */
static const struct phrases *choose_page(const struct cvm_world_state *state, int days_ago,
                                         struct cvm_random *random)
{
    double u = cvm_random_unit(random);
    if (days_ago < 30 ? state->is_shopper && u < .25 : u < .10) {
        return &shopping_pages;
    }
    return u > 1.0 - .25 * state->churn ? &leaving_pages : &other_pages;
}

void cvm_world_write_clicks(struct cvm_world_scene *scene, struct cvm_random *random,
                            struct cvm_text *out)
{
    const struct cvm_world_state *state = scene->state;
    struct cvm_world_days days = {{0}};
    int64_t count = cvm_random_poisson(random, scene->plan.clicks * state->activity);
    int shopping_day = state->is_shopper ? (int)cvm_random_below(random, 30) : -1;
    shopping_day = state->is_shopper && scene->is_seen_today ? 0 : shopping_day;
    int first_day = state->is_shopper ? shopping_day : scene->is_seen_today ? 0 : -1;
    if (first_day >= 0) {
        days.count[first_day]++;
        count = count > 0 ? count - 1 : 0;
    }
    for (int64_t i = 0; i < count; i++) {
        days.count[cvm_random_below(random, CVM_WORLD_SPAN_DAYS)]++;
    }
    for (int day = CVM_WORLD_SPAN_DAYS - 1; day >= 0; day--) {
        for (int i = 0; i < days.count[day]; i++) {
            bool must_shop = day == shopping_day && i == 0;
            write_click(scene, day, must_shop ? &shopping_pages : choose_page(state, day, random),
                        random, out);
        }
    }
}

struct offer {
    struct cvm_world_phrase type, name, description;
    int discount, months, pence_month;
};
static const struct offer offers[] = {
    {P("plan_upgrade"), P("Data Saver Plus"), P("More data and rollover"), 5, 12, 400},
    {P("plan_upgrade"), P("Unlimited Weekend"), P("Unlimited data on Saturday and Sunday"), 10, 6,
     300},
    {P("loyalty_reward"), P("Thank You Credit"), P("A credit for loyal customers"), 0, 1, 500},
    {P("device_offer"), P("Phone Trade-in"), P("A bonus for the old phone"), 15, 24, 450},
    {P("family_plan"), P("Family Share"), P("Lines that share one allowance"), 20, 12, 600},
    {P("international_package"), P("Euro Traveler"), P("Data in 40 countries"), 10, 1, 800},
    {P("service_feature"), P("Usage Alerts"), P("A text at 80 and 100 percent"), 0, 12, 100},
    {P("retention_discount"), P("Stay and Save"), P("A lower price for a new term"), 25, 12, 350},
    {P("entertainment"), P("Music Included"), P("Streaming without using data"), 0, 6, 500},
};
#define OFFER_COUNT (sizeof(offers) / sizeof(offers[0]))

static int64_t put_offer(struct cvm_world_line *line, const struct offer *offer)
{
    CVM_WORLD_PUT(line, "{\"type\":\"");
    cvm_world_put_phrase(line, &offer->type);
    CVM_WORLD_PUT(line, "\",\"name\":\"");
    cvm_world_put_phrase(line, &offer->name);
    CVM_WORLD_PUT(line, "\",\"description\":\"");
    cvm_world_put_phrase(line, &offer->description);
    CVM_WORLD_PUT(line, "\",\"discount\":");
    cvm_world_put_int(line, offer->discount);
    CVM_WORLD_PUT(line, ",\"duration_months\":");
    cvm_world_put_int(line, offer->months);
    CVM_WORLD_PUT(line, ",\"value_per_month\":");
    cvm_world_put_scaled(line, offer->pence_month, 2);
    CVM_WORLD_PUT(line, "}");
    return (int64_t)offer->months * offer->pence_month;
}

static void put_outcome(struct cvm_world_scene *scene, int days_ago, struct cvm_random *random)
{
    struct cvm_world_line *line = &scene->line;
    double u = cvm_random_unit(random);
    int decided = days_ago - cvm_world_between(random, 0, 9);
    if (u < .55 || decided < 0) {
        CVM_WORLD_PUT(line, ",\"outcome\":{\"status\":\"pending\"}}");
        return;
    }
    double accepts = .12 * scene->state->responsiveness;
    if (u < .55 + (accepts > .4 ? .4 : accepts)) {
        CVM_WORLD_PUT(line, ",\"outcome\":{\"status\":\"accepted\",\"decision_date\":\"");
    } else {
        CVM_WORLD_PUT(line, ",\"outcome\":{\"status\":\"declined\",\"decision_date\":\"");
    }
    cvm_world_put_day(line, scene->state->until_day - decided);
    CVM_WORLD_PUT(line, "\"}}");
}

static void write_offers(struct cvm_world_scene *scene, int days_ago, struct cvm_random *random,
                         struct cvm_text *out)
{
    static const struct cvm_world_phrase priorities[] = {P("low"), P("medium"), P("high")};
    struct cvm_world_line *line = &scene->line;
    uint64_t first = cvm_random_below(random, OFFER_COUNT);
    uint64_t count = 1 + cvm_random_below(random, 3);
    int64_t total_pence = 0;
    cvm_world_put_event(scene, days_ago);
    CVM_WORLD_PUT(line, ",\"recommended_offers\":[");
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0) {
            CVM_WORLD_PUT(line, ",");
        }
        total_pence += put_offer(line, &offers[(first + 2 * i) % OFFER_COUNT]);
    }
    CVM_WORLD_PUT(line, "],\"total_value\":");
    cvm_world_put_scaled(line, total_pence, 2);
    CVM_WORLD_PUT(line, ",\"priority\":\"");
    double score = scene->state->score;
    cvm_world_put_phrase(line, &priorities[score < .05 ? 0 : score < .15 ? 1 : 2]);
    CVM_WORLD_PUT(line, "\",\"expiration_date\":\"");
    cvm_world_put_day(line, scene->state->until_day - days_ago + cvm_world_between(random, 10, 30));
    CVM_WORLD_PUT(line, "\"");
    put_outcome(scene, days_ago, random);
    cvm_world_line_finish(line, out);
}

void cvm_world_write_offers(struct cvm_world_scene *scene, struct cvm_random *random,
                            struct cvm_text *out)
{
    struct cvm_world_days days = {{0}};
    int64_t count = cvm_random_poisson(random, scene->plan.offers);
    for (int64_t i = 0; i < count; i++) {
        /* One a day: date is the identity of a recommendation. */
        days.count[cvm_random_below(random, CVM_WORLD_SPAN_DAYS)] = 1;
    }
    for (int day = CVM_WORLD_SPAN_DAYS - 1; day >= 0; day--) {
        if (days.count[day] != 0) {
            write_offers(scene, day, random, out);
        }
    }
}
