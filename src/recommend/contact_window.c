#include "recommend/contact_window.h"

#define MINUTE_MS   60000
#define DAY_MINUTES 1440
/* In a zone that is on the other side of a leap of the calendar nothing opens for a day more. */
#define SEARCH_MINUTES ((int64_t)3 * DAY_MINUTES)

/* What decides whether a minute of the local day is open. */
struct hours {
    struct cvm_hours quiet; /* closed within */
    struct cvm_hours channel;
    struct cvm_hours preferred;
    bool asks_quiet, asks_channel, asks_preferred;
};

static bool is_within(struct cvm_hours hours, int minute)
{
    bool is_after = minute >= hours.from_min;
    bool is_before = minute < hours.to_min;
    return hours.from_min <= hours.to_min ? is_after && is_before : is_after || is_before;
}

static bool is_open(const struct hours *hours, int minute)
{
    return !(hours->asks_quiet && is_within(hours->quiet, minute)) &&
           (!hours->asks_channel || is_within(hours->channel, minute)) &&
           (!hours->asks_preferred || is_within(hours->preferred, minute));
}

/* Minutes of the local day at which something may open or close. */
#define EDGES 6
static void list_edges(const struct hours *hours, int edges[EDGES])
{
    const struct cvm_hours all[] = {hours->quiet, hours->channel, hours->preferred};
    for (size_t i = 0; i < EDGES / 2; i++) {
        edges[2 * i] = all[i].from_min < 0 ? 0 : all[i].from_min;
        edges[2 * i + 1] = all[i].to_min < 0 ? 0 : all[i].to_min;
    }
}

static bool opens_at_all(const struct hours *hours)
{
    int edges[EDGES];
    list_edges(hours, edges);
    bool opens = is_open(hours, 0);
    for (size_t i = 0; i < EDGES && !opens; i++) {
        opens = is_open(hours, edges[i]);
    }
    return opens;
}

static bool is_set(struct cvm_hours hours)
{
    return hours.from_min != CVM_MINUTE_NONE && hours.to_min != CVM_MINUTE_NONE &&
           hours.from_min != hours.to_min;
}

/* The preference is passed over first, then the channel's hours, then even the quiet hours: hours
 * shift a contact, they never refuse it. */
static struct hours hours_of(const struct cvm_contact_policy *policy, enum cvm_channel channel,
                             const struct cvm_contact_facts *facts)
{
    struct hours hours = {
        .quiet = {facts->quiet_start_min, facts->quiet_end_min},
        .channel = {CVM_MINUTE_NONE, CVM_MINUTE_NONE},
        .preferred = {CVM_MINUTE_NONE, CVM_MINUTE_NONE},
    };
    if (policy->source != CVM_INDEX_NONE && channel < CVM_CHANNEL_COUNT) {
        hours.channel = policy->channel_hours[channel];
    }
    if (policy->source != CVM_INDEX_NONE && facts->preferred_time <= CVM_TIME_BUSINESS_HOURS) {
        hours.preferred = policy->preferred[facts->preferred_time];
    }
    hours.asks_quiet = is_set(hours.quiet);
    hours.asks_channel = is_set(hours.channel);
    hours.asks_preferred = is_set(hours.preferred);
    hours.asks_preferred = hours.asks_preferred && opens_at_all(&hours);
    hours.asks_channel = hours.asks_channel && opens_at_all(&hours);
    hours.asks_quiet = hours.asks_quiet && opens_at_all(&hours);
    return hours;
}

/* ---- moments, counted in minutes ---- */

static int64_t offset_of(const struct cvm_zone *zone, int64_t minute)
{
    return cvm_zone_offset_s(zone, minute * MINUTE_MS);
}

static int local_minute(const struct cvm_zone *zone, int64_t minute)
{
    int64_t second = minute * 60 + offset_of(zone, minute);
    int64_t day_second = second % 86400;
    return (int)((day_second < 0 ? day_second + 86400 : day_second) / 60);
}

/* How long until the local clock shows the next edge, if nobody changes it. */
static int64_t next_edge(const struct hours *hours, int minute)
{
    int edges[EDGES];
    int64_t least = DAY_MINUTES;
    list_edges(hours, edges);
    for (size_t i = 0; i < EDGES; i++) {
        int64_t distance = (edges[i] - minute + DAY_MINUTES) % DAY_MINUTES;
        least = distance > 0 && distance < least ? distance : least;
    }
    return least;
}

/* The first minute in (from, to] whose offset differs from that of `from`; `to` if none does. */
static int64_t clock_change(const struct cvm_zone *zone, int64_t from, int64_t to)
{
    int64_t offset = offset_of(zone, from);
    int64_t low = from;
    int64_t high = to;
    if (offset_of(zone, to) == offset) {
        return to;
    }
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (offset_of(zone, middle) == offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}

/* The first minute from `from` on that is open (or closed), `end` if none before it is. */
static int64_t find_minute(const struct hours *hours, const struct cvm_zone *zone, bool wants_open,
                           int64_t from, int64_t end)
{
    int64_t minute = from;
    while (minute < end) {
        int local = local_minute(zone, minute);
        if (is_open(hours, local) == wants_open) {
            return minute;
        }
        minute = clock_change(zone, minute, minute + next_edge(hours, local));
    }
    return end;
}

struct cvm_contact_window cvm_contact_window_from(const struct cvm_contact_policy *policy,
                                                  const struct cvm_zone *zone,
                                                  enum cvm_channel channel,
                                                  const struct cvm_contact_facts *facts,
                                                  int64_t from_ms)
{
    struct hours hours = hours_of(policy, channel, facts);
    int64_t whole = from_ms / MINUTE_MS;
    int64_t from = whole + (from_ms > whole * MINUTE_MS ? 1 : 0);
    int64_t earliest = find_minute(&hours, zone, true, from, from + SEARCH_MINUTES);
    int64_t latest = find_minute(&hours, zone, false, earliest, earliest + DAY_MINUTES);
    return (struct cvm_contact_window){earliest * MINUTE_MS, latest * MINUTE_MS};
}
