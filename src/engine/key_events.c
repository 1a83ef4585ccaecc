#include "engine/key_events.h"

#include <math.h>
#include <string.h>

#include "base/date.h"

/* The best events so far for one wish, the best or newest first. */
struct candidate {
    const struct cvm_feature *feature;
    size_t kept_max;
    size_t count;
    struct cvm_key_event events[CVM_KEY_COUNTED_MAX];
};

struct search {
    const struct cvm_catalogue *catalogue;
    int32_t as_of_day;
    struct candidate *candidates;
    size_t count;
    size_t ordinals[CVM_SOURCES_MAX]; /* dated events of each source in earlier bodies */
};

/* ---- one event ---- */

static double value_at(const struct cvm_packed_section *section, int attribute, uint32_t event)
{
    const struct cvm_packed_column *column = cvm_packed_column_of(section, (uint16_t)attribute);
    double value = NAN;
    if (column != NULL) {
        cvm_packed_values(column, section->event_count, event, event + 1, &value);
    }
    return value;
}

static uint32_t topics_at(const struct cvm_packed_section *section, uint32_t event)
{
    uint32_t topics = 0;
    if (section->topics != NULL) {
        memcpy(&topics, section->topics + event * sizeof(topics), sizeof(topics));
    }
    return topics;
}

/* What a filter reads of an event: the values of its attributes by number. */
struct event_values {
    double values[CVM_ATTRIBUTES_MAX];
    uint32_t topics;
    struct cvm_rule_rows rows;
};

static void read_values(const struct cvm_rule *where, const struct cvm_packed_section *section,
                        uint32_t event, int32_t today, struct event_values *out)
{
    for (size_t c = 0; c < where->clause_count; c++) {
        const struct cvm_rule_part *part = &where->clauses[c].whole;
        for (size_t o = 0; o < part->operand_count; o++) {
            if (part->operands[o] < CVM_ATTRIBUTES_MAX) {
                out->values[part->operands[o]] = value_at(section, part->operands[o], event);
            }
        }
    }
    out->topics = topics_at(section, event);
    out->rows = (struct cvm_rule_rows){
        .values = out->values, .stride = 1, .topics = &out->topics, .today = today};
}

/* The topics of a passing event that made it pass: without one of them it fails, or, where several
 * would do, each of them would do alone. */
static uint32_t topics_behind(const struct cvm_rule *where, struct event_values *event)
{
    uint32_t all = event->topics;
    uint32_t needed = 0;
    uint32_t enough = 0;
    event->topics = 0;
    if (all == 0 || cvm_rule_holds(where, &event->rows)) {
        event->topics = all;
        return 0;
    }
    for (uint32_t left = all; left != 0; left &= left - 1) {
        uint32_t bit = left & -left;
        event->topics = all & ~bit;
        needed |= cvm_rule_holds(where, &event->rows) ? 0 : bit;
        event->topics = bit;
        enough |= cvm_rule_holds(where, &event->rows) ? bit : 0;
    }
    event->topics = all;
    return needed != 0 ? needed : enough;
}

/* ---- the best of them ---- */

/* Events come in journey order, so "not before" is the newest so far. */
static bool is_better(const struct candidate *candidate, int32_t day, double value)
{
    if (candidate->count == 0) {
        return true;
    }
    const struct cvm_key_event *best = &candidate->events[0];
    switch (candidate->feature->aggregate) {
    case CVM_AGGREGATE_MIN:
        return value < best->value;
    case CVM_AGGREGATE_SUM:
    case CVM_AGGREGATE_MAX:
        return value > best->value;
    case CVM_AGGREGATE_FIRST:
        return day < best->day;
    default:
        return day >= best->day;
    }
}

/* A count keeps its newest; sources come one after the other, so their days are not in order. */
static void keep_event(struct candidate *candidate, const struct cvm_key_event *event)
{
    size_t at = 0;
    while (at < candidate->count && candidate->kept_max > 1 &&
           candidate->events[at].day > event->day) {
        at++;
    }
    if (at == candidate->kept_max) {
        return;
    }
    size_t kept =
        candidate->count < candidate->kept_max ? candidate->count + 1 : candidate->kept_max;
    memmove(candidate->events + at + 1, candidate->events + at,
            (kept - at - 1) * sizeof(candidate->events[0]));
    candidate->events[at] = *event;
    candidate->count = kept;
}

static bool is_in_window(const struct search *search, const struct cvm_feature *feature,
                         int32_t day)
{
    int32_t window =
        feature->window_days > 0 ? feature->window_days : search->catalogue->history_days;
    return day == CVM_DAY_NONE ||
           (day <= search->as_of_day && (window <= 0 || day > search->as_of_day - window));
}

static void offer_event(struct search *search, size_t wish,
                        const struct cvm_packed_section *section, uint32_t event)
{
    struct candidate *candidate = &search->candidates[wish];
    const struct cvm_feature *feature = candidate->feature;
    int32_t day = cvm_packed_day(section, event);
    bool keeps_newest = candidate->kept_max > 1;
    struct event_values values;
    double value =
        feature->attribute == CVM_INDEX_NONE ? 1 : value_at(section, feature->attribute, event);
    if (!is_in_window(search, feature, day) || isnan(value) ||
        (!keeps_newest && !is_better(candidate, day, value))) {
        return;
    }
    read_values(&feature->where, section, event, search->as_of_day, &values);
    if (!cvm_rule_holds(&feature->where, &values.rows)) {
        return;
    }
    keep_event(
        candidate,
        &(struct cvm_key_event){
            .wish = wish,
            .day = day,
            .source = section->source,
            .ordinal = day == CVM_DAY_NONE ? event : search->ordinals[section->source] + event,
            .value = value,
            .topics = topics_behind(&feature->where, &values),
        });
}

/* ---- the journey ---- */

static enum cvm_status read_body(struct search *search, const struct cvm_packed_row *row,
                                 struct cvm_error *err)
{
    bool is_profile = row->period == CVM_PERIOD_PROFILE;
    struct cvm_packed_profile profile;
    struct cvm_packed_reader reader;
    struct cvm_packed_section section;
    enum cvm_status status = cvm_packed_open(row->body, row->length, is_profile, &reader,
                                             is_profile ? &profile : NULL, err);
    while (status == CVM_OK && (status = cvm_packed_next(&reader, &section, err)) == CVM_OK) {
        if (section.source >= search->catalogue->source_count) {
            continue;
        }
        for (size_t c = 0; c < search->count; c++) {
            bool reads = (search->candidates[c].feature->sources >> section.source & 1) != 0;
            for (uint32_t e = 0; reads && e < section.event_count; e++) {
                offer_event(search, c, &section, e);
            }
        }
        search->ordinals[section.source] += is_profile ? 0 : section.event_count;
    }
    return status == CVM_E_NOT_FOUND ? CVM_OK : status;
}

static enum cvm_status read_journey(struct cvm_engine *engine, uint64_t key, struct search *search,
                                    struct cvm_error *err)
{
    struct cvm_packed_range range = {
        .first_key = key,
        .last_key = key,
        .first_period = CVM_PERIOD_PROFILE,
        .last_period = cvm_packed_period(search->as_of_day),
    };
    struct cvm_packed_scan *scan = NULL;
    struct cvm_packed_row row;
    bool has_row = false;
    enum cvm_status status = cvm_packed_scan_open(engine->readers[0], &range, &scan, err);
    while (status == CVM_OK) {
        status = cvm_packed_scan_next(scan, &has_row, &row, err);
        if (status != CVM_OK || !has_row) {
            break;
        }
        status = read_body(search, &row, err);
    }
    cvm_packed_scan_close(scan);
    return status;
}

enum cvm_status cvm_engine_key_events(struct cvm_engine *engine,
                                      const struct cvm_key_event_request *request,
                                      struct cvm_arena *arena, struct cvm_key_event **out_events,
                                      size_t *out_count, struct cvm_error *err)
{
    struct search search = {.catalogue = engine->catalogue, .as_of_day = request->as_of_day};
    size_t counted_max = request->counted_max < 1                     ? 1
                         : request->counted_max < CVM_KEY_COUNTED_MAX ? request->counted_max
                                                                      : CVM_KEY_COUNTED_MAX;
    struct cvm_key_event *events =
        CVM_NEW_ARRAY(arena, request->wish_count * counted_max + 1, struct cvm_key_event);
    search.candidates = CVM_NEW_ARRAY(arena, request->wish_count + 1, struct candidate);
    if (events == NULL || search.candidates == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for key events");
    }
    search.count = request->wish_count;
    for (size_t w = 0; w < request->wish_count; w++) {
        const struct cvm_feature *feature =
            &engine->catalogue->features[request->wishes[w].feature];
        search.candidates[w].feature = feature;
        search.candidates[w].kept_max = feature->aggregate == CVM_AGGREGATE_COUNT ? counted_max : 1;
    }
    enum cvm_status status = read_journey(engine, request->key, &search, err);
    if (status != CVM_OK) {
        return status;
    }
    size_t count = 0;
    for (size_t w = 0; w < search.count; w++) {
        for (size_t e = 0; e < search.candidates[w].count; e++) {
            events[count++] = search.candidates[w].events[e];
        }
    }
    *out_events = events;
    *out_count = count;
    return CVM_OK;
}

/* ---- features that a rule rests on ---- */

static enum cvm_status add_wish(const struct cvm_catalogue *catalogue, size_t feature,
                                const struct cvm_insight *insight, struct cvm_feature_set *seen,
                                struct cvm_column *wishes, struct cvm_error *err)
{
    void *room = NULL;
    uint64_t bit = UINT64_C(1) << feature % 64;
    const struct cvm_rule *rule = &catalogue->features[feature].rule;
    if ((seen->bits[feature / 64] & bit) != 0) {
        return CVM_OK;
    }
    seen->bits[feature / 64] |= bit;
    for (size_t c = 0; c < rule->clause_count; c++) {
        const struct cvm_rule_part *part = &rule->clauses[c].whole;
        for (size_t o = 0; o < part->operand_count; o++) {
            enum cvm_status status =
                add_wish(catalogue, part->operands[o], insight, seen, wishes, err);
            if (status != CVM_OK) {
                return status;
            }
        }
    }
    if (rule->clause_count > 0) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_column_extend(wishes, 1, &room, err);
    if (status == CVM_OK) {
        *(struct cvm_key_wish *)room =
            (struct cvm_key_wish){.feature = (int)feature, .insight = insight};
    }
    return status;
}

enum cvm_status cvm_key_wishes(const struct cvm_catalogue *catalogue, const uint16_t *features,
                               size_t count, const struct cvm_insight *insight,
                               struct cvm_column *wishes, struct cvm_error *err)
{
    struct cvm_feature_set seen = {{0}};
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; i < count && status == CVM_OK; i++) {
        status = add_wish(catalogue, features[i], insight, &seen, wishes, err);
    }
    return status;
}
