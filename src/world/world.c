/* One customer: the hidden state, how many events of which kind, then source by source. */
#include "world/world.h"

#include "base/hash.h"
#include "base/maths.h"
#include "world/records.h"

#define EVENTS_MIN 5
#define EVENTS_MAX 2000

const char *const cvm_world_source_names[] = {
    [CVM_WORLD_CUSTOMERS] = "customers",
    [CVM_WORLD_PERMISSIONS] = "permissions",
    [CVM_WORLD_BILLING_DATA] = "billing_data",
    [CVM_WORLD_USAGE_DATA] = "usage_data",
    [CVM_WORLD_NETWORK_DATA] = "network_data",
    [CVM_WORLD_CHURN_SCORE] = "churn_score",
    [CVM_WORLD_CALL_TRANSCRIPTS] = "call_transcripts",
    [CVM_WORLD_WEB_TRANSCRIPTS] = "web_transcripts",
    [CVM_WORLD_WEB_CLICKS] = "web_clicks",
    [CVM_WORLD_OFFER_RECOMMENDATIONS] = "offer_recommendations",
    [CVM_WORLD_FAULT_TICKETS] = "fault_tickets",
    [CVM_WORLD_CONTACT_HISTORY] = "contact_history",
    [CVM_WORLD_SUPPRESSIONS] = "suppressions",
    [CVM_WORLD_SOURCE_COUNT] = NULL,
};

static const struct {
    cvm_world_source_fn *write;
} sources[CVM_WORLD_SOURCE_COUNT] = {
    [CVM_WORLD_CUSTOMERS] = {cvm_world_write_customer},
    [CVM_WORLD_PERMISSIONS] = {cvm_world_write_permissions},
    [CVM_WORLD_BILLING_DATA] = {cvm_world_write_bills},
    [CVM_WORLD_USAGE_DATA] = {cvm_world_write_usage},
    [CVM_WORLD_NETWORK_DATA] = {cvm_world_write_network},
    [CVM_WORLD_CHURN_SCORE] = {cvm_world_write_scores},
    [CVM_WORLD_CALL_TRANSCRIPTS] = {cvm_world_write_calls},
    [CVM_WORLD_WEB_TRANSCRIPTS] = {cvm_world_write_chats},
    [CVM_WORLD_WEB_CLICKS] = {cvm_world_write_clicks},
    [CVM_WORLD_OFFER_RECOMMENDATIONS] = {cvm_world_write_offers},
    [CVM_WORLD_FAULT_TICKETS] = {cvm_world_write_faults},
    [CVM_WORLD_CONTACT_HISTORY] = {cvm_world_write_contacts},
    [CVM_WORLD_SUPPRESSIONS] = {cvm_world_write_suppressions},
};

void cvm_world_customer_id(int64_t customer, char id[CVM_WORLD_ID_SIZE])
{
    char digits[20];
    size_t count = 0;
    for (uint64_t rest = (uint64_t)customer; rest != 0 || count < 10; rest /= 10) {
        digits[count++] = (char)('0' + rest % 10);
    }
    *id++ = 'C';
    while (count > 0) {
        *id++ = digits[--count];
    }
    *id = '\0';
}

/* Customers live together in threes at most: of three in a row none, the first two, the last two or
 * all are one household, which is named after its first. */
static void name_household(uint64_t seed, int64_t customer, char household[CVM_WORLD_ID_SIZE])
{
    static const int first_of[4][3] = {{0, 1, 2}, {0, 0, 2}, {0, 1, 1}, {0, 0, 0}};
    int64_t three = customer / 3;
    uint64_t kind = cvm_hash_mix(seed, (uint64_t)three) >> 62;
    cvm_world_customer_id(three * 3 + first_of[kind][customer % 3], household);
    household[0] = 'H';
}

static double at_most(double x, double limit)
{
    return x < limit ? x : limit;
}

/* Every customer has a bill, a usage record, a score and the contacts that policy asks about; what
 * the wanted mean leaves beyond them grows at about the rates of a telecom base, and page visits,
 * of which there may be any number, take the rest. */
static struct cvm_world_plan make_plan(int events)
{
    events = events < EVENTS_MIN ? EVENTS_MIN : events > EVENTS_MAX ? EVENTS_MAX : events;
    double growth = (events - 4) / 21.0; /* 1 at 25 events */
    struct cvm_world_plan plan = {
        .months = events < 10   ? 1
                  : events < 20 ? 2
                  : events < 35 ? 3
                                : 4,
        .score_max = events < 15 ? 1 : 3,
        .network = at_most(2.9 * growth, 14.0),
        .calls = 0.50 * at_most(growth, 2.0),
        .chats = 0.60 * at_most(growth, 2.0),
        .call_complaints = 0.04 + 0.26 * at_most(growth, 1.5),
        .chat_complaints = 0.04 + 0.16 * at_most(growth, 1.5),
        .offers = 1.2 * at_most(growth, 4.0),
        .old_contacts = 1.2 * at_most(growth, 2.0),
        .closed_faults = at_most(growth, 1.0),
    };
    /* Means, as measured, of scores beyond the first, recent contacts, open and closed faults. */
    double fixed = 2.0 * plan.months + (plan.score_max == 3 ? 1.8 : 1.0) + 0.85 + 0.05 +
                   0.12 * plan.closed_faults;
    double wanted = events - fixed - plan.network - plan.calls - plan.chats - plan.call_complaints -
                    plan.chat_complaints - plan.offers - plan.old_contacts;
    /* Two on one day are one: about n^2 / 2 days of n events. */
    wanted +=
        (plan.network * plan.network + plan.offers * plan.offers) / (2.0 * CVM_WORLD_SPAN_DAYS);
    /* Shoppers and those seen today (45 % together) have one visit at least. */
    plan.clicks = wanted;
    for (int i = 0; i < 8 && wanted < 4.0; i++) {
        plan.clicks = wanted - 0.45 * cvm_exp(-plan.clicks);
        plan.clicks = plan.clicks < 0.02 ? 0.02 : plan.clicks;
    }
    return plan;
}

void cvm_world_customer(const struct cvm_world_options *options, int64_t customer,
                        struct cvm_text records[CVM_WORLD_SOURCE_COUNT])
{
    struct cvm_world_state state;
    cvm_world_state_draw(options, customer, &state);
    struct cvm_world_scene scene;
    scene.state = &state;
    scene.plan = make_plan(options->events_per_customer);
    scene.is_seen_today = customer % 8 == 0;
    scene.line.length = 0;
    name_household(options->seed, customer, scene.household);
    char id[CVM_WORLD_ID_SIZE];
    cvm_world_customer_id(customer, id);
    CVM_WORLD_PUT(&scene.line, "{\"customer_id\":\"");
    cvm_world_put_bytes(&scene.line, id, strlen(id));
    CVM_WORLD_PUT(&scene.line, "\"");
    scene.prefix_length = scene.line.length;
    memcpy(scene.prefix, scene.line.bytes, scene.prefix_length);
    scene.line.length = 0;
    for (int source = 0; source < CVM_WORLD_SOURCE_COUNT; source++) {
        struct cvm_random random = cvm_world_stream(&state, source);
        sources[source].write(&scene, &random, &records[source]);
    }
}
