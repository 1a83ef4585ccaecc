/* features.c - runs a feature program over packed journeys (feature_program.h has the idea). */
#include "journey/features.h"

#include "base/arena.h"
#include "base/date.h"
#include "journey/feature_program.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BUILDER_BYTES_MAX ((size_t)256 * 1024 * 1024)

/* Events of one source of the customer at hand, in journey order, undated ones first. */
struct block {
    uint32_t count;
    uint32_t undated_count;
    int32_t last_day;  /* of the customer so far, also of what was worked off */
    uint64_t *present; /* per slot: which events have it */
    double *values;    /* per slot: FEATURE_BLOCK_STRIDE values; unset where not present */
    int32_t days[FEATURE_BLOCK_EVENTS];
    int32_t seconds[FEATURE_BLOCK_EVENTS];
    uint32_t topics[FEATURE_BLOCK_EVENTS];
};

struct cvm_feature_builder {
    const struct cvm_feature_program *program;
    struct cvm_arena *arena;
    struct cvm_chunk *chunk;
    struct block *blocks;         /* per source */
    struct feature_state *states; /* of the customer at hand, as below */
    uint64_t touched;             /* bit per source that has a block */
    uint64_t key;
    struct cvm_text id;
    struct cvm_consent consent;
    uint32_t event_count;
    bool has_profile;
};

enum cvm_status cvm_feature_builder_create(const struct cvm_feature_program *program,
                                           struct cvm_feature_builder **out_builder,
                                           struct cvm_error *err)
{
    struct cvm_feature_builder *builder = calloc(1, sizeof(*builder));
    if (builder == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a feature builder");
    }
    cvm_text_init(&builder->id, 0);
    builder->program = program;
    builder->arena = cvm_arena_create(BUILDER_BYTES_MAX);
    bool has_memory = builder->arena != NULL;
    if (has_memory) {
        builder->blocks = CVM_NEW_ARRAY(builder->arena, program->source_count + 1, struct block);
        builder->states =
            CVM_NEW_ARRAY(builder->arena, program->state_count + 1, struct feature_state);
        has_memory = builder->blocks != NULL && builder->states != NULL;
    }
    for (size_t s = 0; has_memory && s < program->source_count; s++) {
        const struct feature_source *source = &program->sources[s];
        if (source->is_needed) {
            struct block *block = &builder->blocks[s];
            block->present = CVM_NEW_ARRAY(builder->arena, source->slot_count, uint64_t);
            block->values = CVM_NEW_ARRAY(
                builder->arena, (size_t)source->slot_count * FEATURE_BLOCK_STRIDE, double);
            has_memory = block->present != NULL && block->values != NULL;
        }
    }
    if (!has_memory) {
        cvm_feature_builder_destroy(builder);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a feature builder");
    }
    *out_builder = builder;
    return CVM_OK;
}

void cvm_feature_builder_destroy(struct cvm_feature_builder *builder)
{
    if (builder == NULL) {
        return;
    }
    cvm_text_finish(&builder->id);
    cvm_arena_destroy(builder->arena);
    free(builder);
}

void cvm_feature_builder_start(struct cvm_feature_builder *builder, struct cvm_chunk *chunk)
{
    assert(chunk->feature_count == builder->program->feature_count);
    cvm_chunk_clear(chunk);
    builder->chunk = chunk;
}

void cvm_feature_builder_customer(struct cvm_feature_builder *builder, uint64_t key)
{
    assert(builder->chunk != NULL && builder->chunk->count < builder->chunk->capacity);
    const struct cvm_feature_program *program = builder->program;
    if (program->state_count > 0) {
        memcpy(builder->states, program->blank, program->state_count * sizeof(*program->blank));
    }
    builder->key = key;
    builder->touched = 0;
    builder->event_count = 0;
    builder->has_profile = false;
    cvm_text_clear(&builder->id);
}

/* ---- sets of events ---- */

/* The compiler's own is a call where the machine is not known to have the instruction. */
static inline uint32_t count_bits(uint64_t bits)
{
    bits -= bits >> 1 & UINT64_C(0x5555555555555555);
    bits = (bits & UINT64_C(0x3333333333333333)) + (bits >> 2 & UINT64_C(0x3333333333333333));
    bits = (bits + (bits >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)(bits * UINT64_C(0x0101010101010101) >> 56);
}

static inline uint64_t first_bits(uint32_t count)
{
    return count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

/* Days ascend, so the events before a day are a prefix; undated events are in every window. */
static uint64_t events_since(const struct block *block, int32_t first_day)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i < block->count; i++) {
        before += block->days[i] < first_day;
    }
    return first_bits(block->count) & (~first_bits(before) | first_bits(block->undated_count));
}

static uint64_t events_with_topic(const struct block *block, const struct feature_test *test)
{
    if (!(test->value >= 0 && test->value < 32)) {
        return 0;
    }
    uint32_t topic = (uint32_t)test->value;
    uint64_t with = 0;
    for (uint32_t i = 0; i < block->count; i++) {
        with |= (uint64_t)(block->topics[i] >> topic & 1) << i;
    }
    return test->compare == CVM_EQUAL       ? with
           : test->compare == CVM_NOT_EQUAL ? first_bits(block->count) & ~with
                                            : 0;
}

static uint64_t events_passing_test(const struct block *block, const struct feature_test *test,
                                    uint64_t among)
{
    if (test->slot == FEATURE_SLOT_TOPIC) {
        return among & events_with_topic(block, test);
    }
    if (test->slot == FEATURE_SLOT_MISSING) {
        return 0;
    }
    const double *values = block->values + (size_t)test->slot * FEATURE_BLOCK_STRIDE;
    uint64_t passing = 0;
    for (uint64_t bits = among & block->present[test->slot]; bits != 0; bits &= bits - 1) {
        double value = values[__builtin_ctzll(bits)];
        bool less = value < test->value;
        bool equal = value == test->value;
        bool greater = value > test->value;
        bool holds = test->compare == CVM_EQUAL        ? equal
                     : test->compare == CVM_NOT_EQUAL  ? less || greater
                     : test->compare == CVM_LESS       ? less
                     : test->compare == CVM_LESS_EQUAL ? less || equal
                     : test->compare == CVM_GREATER    ? greater
                                                       : greater || equal;
        passing |= holds ? bits & -bits : 0;
    }
    return passing;
}

/* A rule reads whole columns: what is not there must be seen to be missing. */
static void blank_missing(const struct block *block, const struct feature_source *source,
                          const struct cvm_rule_part *part)
{
    for (size_t o = 0; o < part->operand_count; o++) {
        if (part->operands[o] == CVM_OPERAND_TOPIC) {
            continue;
        }
        size_t slot = source->slot_of[part->operands[o]];
        double *values = block->values + slot * FEATURE_BLOCK_STRIDE;
        for (uint64_t missing = first_bits(block->count) & ~block->present[slot]; missing != 0;
             missing &= missing - 1) {
            values[__builtin_ctzll(missing)] = NAN;
        }
    }
}

static uint64_t events_passing_part(const struct block *block, const struct feature_source *source,
                                    const struct cvm_rule_part *part, int32_t today)
{
    unsigned char mask[FEATURE_BLOCK_EVENTS];
    uint64_t passing = 0;
    blank_missing(block, source, part);
    cvm_rule_part_mask(part,
                       &(struct cvm_rule_rows){.values = block->values,
                                               .stride = FEATURE_BLOCK_STRIDE,
                                               .columns = source->slot_of,
                                               .topics = block->topics,
                                               .today = today},
                       block->count, mask);
    for (uint32_t i = 0; i < block->count; i++) {
        passing |= (uint64_t)(mask[i] != 0) << i;
    }
    return passing;
}

static uint64_t events_passing(const struct block *block, const struct feature_source *source,
                               const struct feature_filter *filter, int32_t today)
{
    uint64_t passing = first_bits(block->count);
    for (size_t t = 0; t < filter->test_count && passing != 0; t++) {
        passing = events_passing_test(block, &filter->tests[t], passing);
    }
    for (size_t p = 0; p < filter->part_count && passing != 0; p++) {
        passing &= events_passing_part(block, source, filter->parts[p], today);
    }
    return passing;
}

/* ---- operations: each adds the events of a set to its state ---- */

static void add_sum(struct feature_state *state, const double *values, uint64_t events)
{
    double sum = state->value;
    state->count += count_bits(events);
    for (; events != 0; events &= events - 1) {
        sum += values[__builtin_ctzll(events)];
    }
    state->value = sum;
}

static void add_min(struct feature_state *state, const double *values, uint64_t events)
{
    double least = state->value;
    state->count += count_bits(events);
    for (; events != 0; events &= events - 1) {
        double value = values[__builtin_ctzll(events)];
        least = value < least ? value : least;
    }
    state->value = least;
}

static void add_max(struct feature_state *state, const double *values, uint64_t events)
{
    double most = state->value;
    state->count += count_bits(events);
    for (; events != 0; events &= events - 1) {
        double value = values[__builtin_ctzll(events)];
        most = value > most ? value : most;
    }
    state->value = most;
}

static void keep_event(struct feature_state *state, const struct block *block, const double *values,
                       int event)
{
    state->value = values[event];
    state->day = block->days[event];
    state->second = block->seconds[event];
    state->count = 1;
}

static void add_trend(struct feature_state *state, const struct block *block, const double *values,
                      uint64_t events, int32_t as_of_day)
{
    events &= ~first_bits(block->undated_count); /* no date, no place on a line */
    state->count += count_bits(events);
    for (; events != 0; events &= events - 1) {
        int event = __builtin_ctzll(events);
        double x = block->days[event] - as_of_day;
        double y = values[event];
        state->x += x;
        state->value += y;
        state->xx += x * x;
        state->xy += x * y;
    }
}

static inline __attribute__((always_inline)) void
run_kind(struct cvm_feature_builder *builder, const struct feature_source *source,
         const struct block *block, const uint64_t *windows, const uint64_t *filters,
         enum feature_kind kind)
{
    const struct feature_op *end = source->ops + source->ops_begin[kind + 1];
    for (const struct feature_op *op = source->ops + source->ops_begin[kind]; op < end; op++) {
        uint64_t events = windows[op->window] & filters[op->filter] & block->present[op->slot];
        struct feature_state *state = &builder->states[op->state];
        const double *values = block->values + (size_t)op->slot * FEATURE_BLOCK_STRIDE;
        if (kind == FEATURE_KIND_LAST_DAY) {
            events &= ~first_bits(block->undated_count);
        }
        if (kind == FEATURE_KIND_COUNT) {
            state->count += count_bits(events);
        } else if (events == 0) {
            continue;
        } else if (kind == FEATURE_KIND_SUM) {
            add_sum(state, values, events);
        } else if (kind == FEATURE_KIND_MIN) {
            add_min(state, values, events);
        } else if (kind == FEATURE_KIND_MAX) {
            add_max(state, values, events);
        } else if (kind == FEATURE_KIND_FIRST) {
            int event = __builtin_ctzll(events);
            if (state->count == 0 || block->days[event] < state->day) {
                keep_event(state, block, values, event);
            }
        } else if (kind == FEATURE_KIND_LAST) {
            int event = 63 - __builtin_clzll(events);
            if (block->days[event] >= state->day) { /* a lent event may be older */
                keep_event(state, block, values, event);
            }
        } else if (kind == FEATURE_KIND_LAST_DAY) {
            int32_t day = block->days[63 - __builtin_clzll(events)];
            state->day = day > state->day ? day : state->day;
            state->count = 1;
        } else {
            add_trend(state, block, values, events, builder->program->as_of_day);
        }
    }
}

/* Work off the block and empty it. */
static void run_block(struct cvm_feature_builder *builder, const struct feature_source *source,
                      struct block *block)
{
    uint64_t windows[CVM_FEATURES_MAX];
    uint64_t filters[CVM_FEATURES_MAX + 1];
    for (uint32_t w = 0; w < source->window_count; w++) {
        windows[w] = events_since(block, source->window_first_days[w]);
    }
    for (uint32_t f = 0; f < source->filter_count; f++) {
        filters[f] =
            events_passing(block, source, &source->filters[f], builder->program->as_of_day);
    }
    run_kind(builder, source, block, windows, filters, FEATURE_KIND_COUNT);
    run_kind(builder, source, block, windows, filters, FEATURE_KIND_SUM);
    run_kind(builder, source, block, windows, filters, FEATURE_KIND_MIN);
    run_kind(builder, source, block, windows, filters, FEATURE_KIND_MAX);
    run_kind(builder, source, block, windows, filters, FEATURE_KIND_FIRST);
    run_kind(builder, source, block, windows, filters, FEATURE_KIND_LAST);
    run_kind(builder, source, block, windows, filters, FEATURE_KIND_LAST_DAY);
    run_kind(builder, source, block, windows, filters, FEATURE_KIND_TREND);
    block->count = 0;
    block->undated_count = 0;
    memset(block->present, 0, source->slot_count * sizeof(*block->present));
}

/* ---- filling blocks ---- */

static inline uint32_t read_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16) | ((uint32_t)p[3] << 24);
}

static void append_days(struct block *block, const struct cvm_packed_section *section,
                        uint32_t from, uint32_t count)
{
    int32_t *days = block->days + block->count;
    if (section->days == NULL) {
        for (uint32_t i = 0; i < count; i++) {
            days[i] = CVM_DAY_NONE;
        }
        return;
    }
    const unsigned char *p = section->days + 2 * (size_t)from;
    for (uint32_t i = 0; i < count; i++, p += 2) {
        days[i] = section->base_day + (p[0] | p[1] << 8);
    }
}

/* Events [from, to), which have room. */
static void append_events(const struct feature_source *source, struct block *block,
                          const struct cvm_packed_section *section, uint32_t from, uint32_t to)
{
    uint32_t at = block->count;
    uint32_t count = to - from;
    append_days(block, section, from, count);
    if (source->needs_seconds) {
        for (uint32_t i = 0; i < count; i++) {
            block->seconds[at + i] =
                section->seconds == NULL
                    ? 0
                    : (int32_t)read_u32(section->seconds + 4 * (size_t)(from + i));
        }
    }
    if (source->needs_topics) {
        for (uint32_t i = 0; i < count; i++) {
            block->topics[at + i] =
                section->topics == NULL ? 0 : read_u32(section->topics + 4 * (size_t)(from + i));
        }
    }
    for (uint32_t c = 0; c < section->column_count; c++) {
        const struct cvm_packed_column *column = &section->columns[c];
        uint32_t slot =
            column->attribute < CVM_ATTRIBUTES_MAX ? source->slot_of[column->attribute] : 0;
        if (slot == 0) {
            continue;
        }
        double *values = block->values + (size_t)slot * FEATURE_BLOCK_STRIDE + at;
        cvm_packed_values(column, section->event_count, from, to, values);
        uint64_t present = 0;
        for (uint32_t i = 0; i < count; i++) {
            present |= (uint64_t)(values[i] == values[i]) << i;
        }
        block->present[slot] |= present << at;
    }
    block->present[FEATURE_SLOT_EVENT] |= first_bits(count) << at;
    block->undated_count += section->days == NULL ? count : 0;
    block->count += count;
}

/* The first event on `day` or later. */
static uint32_t find_day(const struct cvm_packed_section *section, int32_t day)
{
    uint32_t low = 0;
    uint32_t high = section->event_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (cvm_packed_day(section, middle) < day) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The block of a source, empty at the customer's first event. */
static struct block *touch_block(struct cvm_feature_builder *builder, size_t source)
{
    struct block *block = &builder->blocks[source];
    if ((builder->touched >> source & 1) == 0) {
        builder->touched |= UINT64_C(1) << source;
        block->count = 0;
        block->undated_count = 0;
        block->last_day = CVM_DAY_NONE;
        memset(block->present, 0,
               builder->program->sources[source].slot_count * sizeof(*block->present));
    }
    return block;
}

static enum cvm_status add_section(struct cvm_feature_builder *builder,
                                   const struct cvm_packed_section *section, struct cvm_error *err)
{
    const struct cvm_feature_program *program = builder->program;
    uint32_t from = 0;
    uint32_t to = section->event_count;
    int32_t first_day = cvm_packed_day(section, 0);
    if (section->days != NULL) {
        if (first_day < program->first_day) {
            from = find_day(section, program->first_day);
        }
        if (cvm_packed_day(section, to - 1) > program->as_of_day) {
            to = find_day(section, program->as_of_day + 1);
        }
        builder->event_count += to - from;
    }
    if ((program->needed >> section->source & 1) == 0 || from == to) {
        return CVM_OK;
    }
    const struct feature_source *source = &program->sources[section->source];
    struct block *block = touch_block(builder, section->source);
    if (first_day < block->last_day) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "packed journey: bodies are not in order of period");
    }
    block->last_day = cvm_packed_day(section, to - 1);
    while (from < to) {
        if (block->count == FEATURE_BLOCK_EVENTS) {
            run_block(builder, source, block);
        }
        uint32_t room = FEATURE_BLOCK_EVENTS - block->count;
        uint32_t end = to - from > room ? from + room : to;
        append_events(source, block, section, from, end);
        from = end;
    }
    return CVM_OK;
}

enum cvm_status cvm_feature_builder_body(struct cvm_feature_builder *builder, int32_t period,
                                         const void *body, size_t length, struct cvm_error *err)
{
    bool is_profile = period == CVM_PERIOD_PROFILE;
    struct cvm_packed_reader reader;
    struct cvm_packed_profile profile;
    enum cvm_status status =
        cvm_packed_open(body, length, is_profile, &reader, is_profile ? &profile : NULL, err);
    if (status != CVM_OK) {
        return status;
    }
    if (is_profile) {
        cvm_text_clear(&builder->id);
        cvm_text_add_bytes(&builder->id, profile.customer_id.data, profile.customer_id.length);
        builder->consent = profile.consent;
        builder->has_profile = true;
    }
    reader.columns = builder->program->needed;
    struct cvm_packed_section section;
    while ((status = cvm_packed_next(&reader, &section, err)) == CVM_OK) {
        status = add_section(builder, &section, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    return status == CVM_E_NOT_FOUND ? CVM_OK : status;
}

/* ---- lent events ---- */

/* Open a gap for an event after those of its day. */
static uint32_t make_room(const struct feature_source *source, struct block *block, int32_t day)
{
    uint32_t at = block->count;
    while (at > block->undated_count && block->days[at - 1] > day) {
        at--;
    }
    size_t moved = block->count - at;
    memmove(block->days + at + 1, block->days + at, moved * sizeof(block->days[0]));
    memmove(block->seconds + at + 1, block->seconds + at, moved * sizeof(block->seconds[0]));
    memmove(block->topics + at + 1, block->topics + at, moved * sizeof(block->topics[0]));
    uint64_t before = first_bits(at);
    for (uint32_t slot = 0; slot < source->slot_count; slot++) {
        double *values = block->values + (size_t)slot * FEATURE_BLOCK_STRIDE;
        memmove(values + at + 1, values + at, moved * sizeof(values[0]));
        block->present[slot] = (block->present[slot] & before) | (block->present[slot] & ~before)
                                                                     << 1;
    }
    block->count++;
    return at;
}

enum cvm_status cvm_feature_builder_event(struct cvm_feature_builder *builder,
                                          const struct cvm_feature_event *event,
                                          struct cvm_error *err)
{
    const struct cvm_feature_program *program = builder->program;
    if (event->source < 0 || (size_t)event->source >= program->source_count) {
        return CVM_FAIL(err, CVM_E_INVALID, "an event of an unknown source");
    }
    if ((program->needed >> event->source & 1) == 0 || event->day < program->first_day ||
        event->day > program->as_of_day) {
        return CVM_OK;
    }
    const struct feature_source *source = &program->sources[event->source];
    struct block *block = touch_block(builder, (size_t)event->source);
    if (block->count == FEATURE_BLOCK_EVENTS) {
        run_block(builder, source, block);
    }
    uint32_t at = make_room(source, block, event->day);
    block->days[at] = event->day;
    block->seconds[at] = 0;
    block->topics[at] = 0;
    block->present[FEATURE_SLOT_EVENT] |= UINT64_C(1) << at;
    for (size_t c = 0; c < event->cell_count; c++) {
        uint16_t attribute = event->cells[c].attribute;
        uint32_t slot = attribute < CVM_ATTRIBUTES_MAX ? source->slot_of[attribute] : 0;
        double value = event->cells[c].value;
        if (slot != 0 && value == value) {
            block->values[(size_t)slot * FEATURE_BLOCK_STRIDE + at] = value;
            block->present[slot] |= UINT64_C(1) << at;
        }
    }
    return CVM_OK;
}

/* ---- results ---- */

/* `first` and `last` of several sources: by day and second, then in order of sources. */
static bool is_earlier(const struct feature_state *a, const struct feature_state *b)
{
    return a->day != b->day ? a->day < b->day : a->second < b->second;
}

static void merge_state(struct feature_state *into, const struct feature_state *from,
                        enum feature_kind kind)
{
    if (from->count == 0) {
        return;
    }
    if (into->count == 0) {
        *into = *from;
        return;
    }
    switch (kind) {
    case FEATURE_KIND_FIRST:
        if (is_earlier(from, into)) {
            *into = *from;
        }
        return;
    case FEATURE_KIND_LAST:
        if (!is_earlier(from, into)) {
            *into = *from;
        }
        return;
    default:
        into->value += from->value;
        into->x += from->x;
        into->xx += from->xx;
        into->xy += from->xy;
        break;
    }
    into->count += from->count;
}

static double trend_of(const struct feature_state *state)
{
    double n = state->count;
    double below = n * state->xx - state->x * state->x;
    if (state->count < 2 || below <= 0) {
        return NAN;
    }
    return (n * state->xy - state->x * state->value) / below * 30;
}

static double value_of(const struct feature_output *output, const struct feature_state *state,
                       int32_t as_of_day)
{
    switch (output->aggregate) {
    case CVM_AGGREGATE_COUNT:
        return state->count;
    case CVM_AGGREGATE_SUM:
        return state->value;
    case CVM_AGGREGATE_AVG:
        return state->count == 0 ? (double)NAN : state->value / state->count;
    case CVM_AGGREGATE_TREND:
        return trend_of(state);
    case CVM_AGGREGATE_DAYS_SINCE:
        if (state->count == 0) {
            return NAN;
        }
        return output->is_date ? as_of_day - state->value : (double)as_of_day - state->day;
    default:
        return state->count == 0 ? (double)NAN : state->value;
    }
}

static void write_features(struct cvm_feature_builder *builder)
{
    const struct cvm_feature_program *program = builder->program;
    double *features = builder->chunk->features + builder->chunk->count;
    size_t stride = builder->chunk->capacity;
    for (size_t i = 0; i < program->from_events_count; i++) {
        size_t f = program->from_events[i];
        const struct feature_output *output = &program->outputs[f];
        struct feature_state *state = &builder->states[output->first_state];
        for (uint32_t s = 1; s < output->state_count; s++) {
            merge_state(state, state + s, output->kind);
        }
        /* A feature of no known source has no state: it stays missing, or 0. */
        features[f * stride] =
            output->state_count > 0 ? value_of(output, state, program->as_of_day)
            : output->kind == FEATURE_KIND_COUNT || output->aggregate == CVM_AGGREGATE_SUM
                ? 0
                : (double)NAN;
    }
}

enum cvm_status cvm_feature_builder_customer_end(struct cvm_feature_builder *builder,
                                                 struct cvm_error *err)
{
    struct cvm_chunk *chunk = builder->chunk;
    if (!builder->has_profile) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "packed journey: a customer has no profile");
    }
    size_t id_offset = chunk->ids.length;
    cvm_text_add_bytes(&chunk->ids, cvm_text_string(&builder->id), builder->id.length);
    cvm_text_add_char(&chunk->ids, '\0');
    if (builder->id.failed || chunk->ids.failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the ids of a chunk");
    }
    for (uint64_t left = builder->touched; left != 0; left &= left - 1) {
        int source = __builtin_ctzll(left);
        run_block(builder, &builder->program->sources[source], &builder->blocks[source]);
    }
    write_features(builder);
    chunk->id_offsets[chunk->count] = (uint32_t)id_offset;
    chunk->keys[chunk->count] = builder->key;
    chunk->consents[chunk->count] = builder->consent;
    chunk->event_counts[chunk->count] = builder->event_count;
    chunk->count++;
    return CVM_OK;
}

void cvm_feature_builder_end(struct cvm_feature_builder *builder)
{
    const struct cvm_feature_program *program = builder->program;
    struct cvm_chunk *chunk = builder->chunk;
    for (size_t f = 0; f < program->feature_count; f++) {
        const struct feature_output *output = &program->outputs[f];
        double *column = chunk->features + f * chunk->capacity;
        for (size_t i = 0; !output->is_needed && i < chunk->count; i++) {
            column[i] = NAN;
        }
        if (!output->is_needed || output->rule == NULL) {
            continue;
        }
        for (size_t from = 0; from < chunk->count; from += CVM_RULE_ROWS_MAX) {
            size_t left = chunk->count - from;
            cvm_rule_values(output->rule,
                            &(struct cvm_rule_rows){.values = chunk->features,
                                                    .stride = chunk->capacity,
                                                    .from = from,
                                                    .today = program->as_of_day},
                            left < CVM_RULE_ROWS_MAX ? left : CVM_RULE_ROWS_MAX, column + from);
        }
    }
}
