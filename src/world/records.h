/* records.h - how a hidden state becomes records; only for this folder. */
#ifndef CVM_WORLD_RECORDS_H
#define CVM_WORLD_RECORDS_H

#include "world/line.h"
#include "world/state.h"

/* Events fall on one of these days, bills and usage excepted. */
#define CVM_WORLD_SPAN_DAYS 112

/* Expected numbers of events, so that their sum is events_per_customer. */
struct cvm_world_plan {
    int months;    /* bills and usage records */
    int score_max; /* 1..3 */
    double network, calls, chats, call_complaints, chat_complaints, offers;
    double old_contacts, closed_faults; /* old_contacts: before the last 30 days */
    double clicks;
};

/* One customer while it is being written. */
struct cvm_world_scene {
    const struct cvm_world_state *state;
    struct cvm_world_plan plan;
    bool is_seen_today; /* has an event on until_day, whatever else happens */
    size_t prefix_length;
    char prefix[48]; /* {"customer_id":"C0000001234" */
    char household[CVM_WORLD_ID_SIZE];
    struct cvm_world_line line;
};

/* How many events on which day: count[d] is for until_day - d. */
struct cvm_world_days {
    uint16_t count[CVM_WORLD_SPAN_DAYS];
};

static inline void cvm_world_put_customer(struct cvm_world_scene *scene)
{
    cvm_world_put_bytes(&scene->line, scene->prefix, scene->prefix_length);
}
/* {"customer_id":"C0000001234","date":"2024-03-20" */
static inline void cvm_world_put_event(struct cvm_world_scene *scene, int days_ago)
{
    cvm_world_put_customer(scene);
    CVM_WORLD_PUT(&scene->line, ",\"date\":\"");
    cvm_world_put_day(&scene->line, scene->state->until_day - days_ago);
    CVM_WORLD_PUT(&scene->line, "\"");
}
static inline bool cvm_world_chance(struct cvm_random *random, double probability)
{
    return cvm_random_unit(random) < probability;
}
/* A whole number in [low, high]. */
static inline int cvm_world_between(struct cvm_random *random, int low, int high)
{
    return low + (int)cvm_random_below(random, (uint64_t)(high - low + 1));
}

extern const char *const cvm_world_languages[];

/* One function per source, appending its records; their order means nothing. */
typedef void cvm_world_source_fn(struct cvm_world_scene *scene, struct cvm_random *random,
                                 struct cvm_text *out);
cvm_world_source_fn cvm_world_write_customer;
cvm_world_source_fn cvm_world_write_permissions;
cvm_world_source_fn cvm_world_write_bills;
cvm_world_source_fn cvm_world_write_usage;
cvm_world_source_fn cvm_world_write_network;
cvm_world_source_fn cvm_world_write_scores;
cvm_world_source_fn cvm_world_write_calls;
cvm_world_source_fn cvm_world_write_chats;
cvm_world_source_fn cvm_world_write_clicks;
cvm_world_source_fn cvm_world_write_offers;
cvm_world_source_fn cvm_world_write_faults;
cvm_world_source_fn cvm_world_write_contacts;
cvm_world_source_fn cvm_world_write_suppressions;

#endif
