#include "engine/key_events.h"

#include <math.h>
#include <string.h>

#include "base/date.h"

/* The best event so far for one feature of one insight. */
struct candidate {
    const struct cvm_feature *feature;
    struct cvm_key_event event;
    double value;
    bool is_found;
};

struct search {
    const struct cvm_catalogue *catalogue;
    int32_t as_of_day;
    struct candidate *candidates;
    size_t count;
    size_t ordinals[CVM_SOURCES_MAX]; /* events of each source in earlier bodies */
};

static double value_at(const struct cvm_packed_section *section, int attribute, uint32_t event)
{
    const struct cvm_packed_column *column = cvm_packed_column_of(section, (uint16_t)attribute);
    double value = NAN;
    if (column != NULL) {
        cvm_packed_values(column, section->event_count, event, event + 1, &value);
    }
    return value;
}

static bool has_topic(const struct cvm_packed_section *section, uint32_t event, double topic)
{
    uint32_t topics = 0;
    if (section->topics != NULL) {
        memcpy(&topics, section->topics + event * sizeof(topics), sizeof(topics));
    }
    return (topics >> (unsigned)topic & 1) != 0;
}

static bool passes(const struct cvm_rule *where, const struct cvm_packed_section *section,
                   uint32_t event)
{
    for (size_t i = 0; i < where->clause_count; i++) {
        const struct cvm_comparison *comparison = &where->clauses[i].whole.comparison;
        bool holds =
            comparison->operand == CVM_OPERAND_TOPIC
                ? has_topic(section, event, comparison->value) == (comparison->compare == CVM_EQUAL)
                : cvm_compare_holds(value_at(section, comparison->operand, event),
                                    comparison->compare, comparison->value);
        if (!holds) {
            return false;
        }
    }
    return true;
}

/* Events come in journey order, so "not before" is the newest so far. */
static bool is_better(const struct candidate *candidate, int32_t day, double value)
{
    if (!candidate->is_found) {
        return true;
    }
    switch (candidate->feature->aggregate) {
    case CVM_AGGREGATE_MIN:
        return value < candidate->value;
    case CVM_AGGREGATE_SUM:
    case CVM_AGGREGATE_MAX:
        return value > candidate->value;
    case CVM_AGGREGATE_FIRST:
        return day < candidate->event.day;
    default:
        return day >= candidate->event.day;
    }
}

static void offer_event(struct search *search, struct candidate *candidate,
                        const struct cvm_packed_section *section, uint32_t event)
{
    const struct cvm_feature *feature = candidate->feature;
    int32_t day = cvm_packed_day(section, event);
    int32_t window =
        feature->window_days > 0 ? feature->window_days : search->catalogue->history_days;
    double value =
        feature->attribute == CVM_INDEX_NONE ? 0 : value_at(section, feature->attribute, event);
    if (day > search->as_of_day || (window > 0 && day <= search->as_of_day - window) ||
        isnan(value) || !passes(&feature->where, section, event) ||
        !is_better(candidate, day, value)) {
        return;
    }
    candidate->is_found = true;
    candidate->value = value;
    candidate->event.day = day;
    candidate->event.source = section->source;
    candidate->event.ordinal = search->ordinals[section->source] + event;
}

static enum cvm_status read_body(struct search *search, const struct cvm_packed_row *row,
                                 struct cvm_error *err)
{
    struct cvm_packed_reader reader;
    struct cvm_packed_section section;
    enum cvm_status status = cvm_packed_open(row->body, row->length, false, &reader, NULL, err);
    while (status == CVM_OK) {
        status = cvm_packed_next(&reader, &section, err);
        if (status != CVM_OK) {
            break;
        }
        for (size_t c = 0; c < search->count; c++) {
            if ((search->candidates[c].feature->sources >> section.source & 1) == 0) {
                continue;
            }
            for (uint32_t event = 0; event < section.event_count; event++) {
                offer_event(search, &search->candidates[c], &section, event);
            }
        }
        search->ordinals[section.source] += section.event_count;
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
        if (row.period != CVM_PERIOD_PROFILE) {
            status = read_body(search, &row, err);
        }
    }
    cvm_packed_scan_close(scan);
    return status;
}

enum cvm_status cvm_engine_key_events(struct cvm_engine *engine,
                                      const struct cvm_key_event_request *request,
                                      struct cvm_arena *arena, struct cvm_key_event **out_events,
                                      size_t *out_count, struct cvm_error *err)
{
    size_t capacity = request->insight_count * CVM_RULE_CLAUSES_MAX;
    struct search search = {.catalogue = engine->catalogue, .as_of_day = request->as_of_day};
    struct cvm_key_event *events = CVM_NEW_ARRAY(arena, capacity + 1, struct cvm_key_event);
    search.candidates = CVM_NEW_ARRAY(arena, capacity + 1, struct candidate);
    if (events == NULL || search.candidates == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for key events");
    }
    for (size_t i = 0; i < request->insight_count; i++) {
        const struct cvm_insight *insight = request->insights[i].insight;
        for (size_t n = 0; n < insight->when.clause_count; n++) {
            search.candidates[search.count++] = (struct candidate){
                .feature =
                    &engine->catalogue->features[insight->when.clauses[n].whole.comparison.operand],
                .event = {.insight = insight},
            };
        }
    }
    enum cvm_status status = read_journey(engine, request->key, &search, err);
    if (status != CVM_OK) {
        return status;
    }
    size_t count = 0;
    for (size_t c = 0; c < search.count; c++) {
        if (search.candidates[c].is_found) {
            events[count++] = search.candidates[c].event;
        }
    }
    *out_events = events;
    *out_count = count;
    return CVM_OK;
}
