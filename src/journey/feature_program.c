/* feature_program.c - catalogue to operations. */
#include "journey/feature_program.h"

#include "journey/features.h"

#include "base/date.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM_BYTES_MAX ((size_t)256 * 1024 * 1024)

/* Sources by (rank, number): the order of sections in a body, and so of states and sums. */
struct source_order {
    uint8_t sources[CVM_SOURCES_MAX];
    size_t count;
};

static void sort_sources(const struct cvm_catalogue *catalogue, struct source_order *out_order)
{
    out_order->count = 0;
    for (size_t s = 0; s < catalogue->source_count; s++) {
        size_t at = out_order->count++;
        while (at > 0 &&
               catalogue->sources[out_order->sources[at - 1]].rank > catalogue->sources[s].rank) {
            out_order->sources[at] = out_order->sources[at - 1];
            at--;
        }
        out_order->sources[at] = (uint8_t)s;
    }
}

static int32_t window_first_day(const struct cvm_feature_program *program,
                                const struct cvm_feature *feature)
{
    if (feature->window_days <= 0) {
        return program->first_day;
    }
    int64_t first = (int64_t)program->as_of_day - feature->window_days + 1;
    return first < program->first_day ? program->first_day : (int32_t)first;
}

static uint16_t find_window(struct feature_source *source, int32_t first_day)
{
    for (uint32_t w = 0; w < source->window_count; w++) {
        if (source->window_first_days[w] == first_day) {
            return (uint16_t)w;
        }
    }
    source->window_first_days[source->window_count] = first_day;
    return (uint16_t)source->window_count++;
}

/* A source that does not fill the attribute may still have cells of it from an older mapping, so
 * the slot is given all the same: the data decide. */
static uint16_t find_slot(struct feature_source *source, int attribute)
{
    if (attribute < 0 || attribute >= CVM_ATTRIBUTES_MAX) {
        return attribute == CVM_INDEX_NONE ? FEATURE_SLOT_EVENT : FEATURE_SLOT_MISSING;
    }
    if (source->slot_of[attribute] == 0) {
        source->slot_of[attribute] = (uint16_t)source->slot_count++;
    }
    return source->slot_of[attribute];
}

static void plan_test(struct feature_source *source, struct feature_filter *filter,
                      const struct cvm_comparison *comparison)
{
    bool is_topic = comparison->operand == CVM_OPERAND_TOPIC;
    source->needs_topics = source->needs_topics || is_topic;
    filter->tests[filter->test_count++] = (struct feature_test){
        .slot = is_topic ? FEATURE_SLOT_TOPIC : find_slot(source, comparison->operand),
        .compare = comparison->compare,
        .value = comparison->value,
    };
}

static void plan_part(struct feature_source *source, struct feature_filter *filter,
                      const struct cvm_rule_part *part)
{
    for (size_t o = 0; o < part->operand_count; o++) {
        bool is_topic = part->operands[o] == CVM_OPERAND_TOPIC;
        source->needs_topics = source->needs_topics || is_topic;
        if (!is_topic) {
            (void)find_slot(source, part->operands[o]);
        }
    }
    filter->parts[filter->part_count++] = part;
}

static bool find_filter(struct cvm_arena *arena, struct feature_source *source,
                        const struct cvm_rule *where, uint16_t *out_filter)
{
    for (uint32_t f = 0; f < source->filter_count; f++) {
        if (cvm_rule_same(source->filters[f].where, where)) {
            *out_filter = (uint16_t)f;
            return true;
        }
    }
    struct feature_filter *filter = &source->filters[source->filter_count];
    filter->where = where;
    filter->tests = CVM_NEW_ARRAY(arena, where->clause_count + 1, struct feature_test);
    filter->parts = CVM_NEW_ARRAY(arena, where->clause_count + 1, const struct cvm_rule_part *);
    if (filter->tests == NULL || filter->parts == NULL) {
        return false;
    }
    for (size_t i = 0; i < where->clause_count; i++) {
        const struct cvm_rule_part *part = &where->clauses[i].whole;
        if (part->is_simple) {
            plan_test(source, filter, &part->comparison);
        } else {
            plan_part(source, filter, part);
        }
    }
    *out_filter = (uint16_t)source->filter_count++;
    return true;
}

static enum feature_kind kind_of(const struct cvm_feature *feature, bool is_date)
{
    switch (feature->aggregate) {
    case CVM_AGGREGATE_COUNT:
        return FEATURE_KIND_COUNT;
    case CVM_AGGREGATE_SUM:
    case CVM_AGGREGATE_AVG:
        return FEATURE_KIND_SUM;
    case CVM_AGGREGATE_MIN:
        return FEATURE_KIND_MIN;
    case CVM_AGGREGATE_MAX:
        return FEATURE_KIND_MAX;
    case CVM_AGGREGATE_LAST:
        return FEATURE_KIND_LAST;
    case CVM_AGGREGATE_FIRST:
        return FEATURE_KIND_FIRST;
    case CVM_AGGREGATE_TREND:
        return FEATURE_KIND_TREND;
    default:
        return is_date ? FEATURE_KIND_LAST : FEATURE_KIND_LAST_DAY;
    }
}

static bool keeps_states_apart(enum feature_kind kind)
{
    return kind == FEATURE_KIND_SUM || kind == FEATURE_KIND_FIRST || kind == FEATURE_KIND_LAST ||
           kind == FEATURE_KIND_TREND;
}

static enum cvm_status check_feature(const struct cvm_catalogue *catalogue,
                                     const struct cvm_feature *feature, struct cvm_error *err)
{
    bool needs_attribute =
        feature->aggregate != CVM_AGGREGATE_COUNT && feature->aggregate != CVM_AGGREGATE_DAYS_SINCE;
    if (feature->attribute < CVM_INDEX_NONE ||
        (feature->attribute != CVM_INDEX_NONE &&
         (size_t)feature->attribute >= catalogue->attribute_count) ||
        (needs_attribute && feature->attribute == CVM_INDEX_NONE) ||
        feature->where.clause_count > CVM_RULE_CLAUSES_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID, "feature '%s' can not be computed", feature->name);
    }
    return CVM_OK;
}

static bool is_in(const struct cvm_feature_set *set, size_t feature)
{
    return set == NULL || (set->bits[feature / 64] >> feature % 64 & 1) != 0;
}

static enum cvm_status plan_outputs(struct cvm_feature_program *program,
                                    const struct cvm_catalogue *catalogue,
                                    const struct cvm_feature_set *needed, struct cvm_error *err)
{
    uint64_t known =
        catalogue->source_count >= 64 ? UINT64_MAX : (UINT64_C(1) << catalogue->source_count) - 1;
    for (size_t f = 0; f < catalogue->feature_count; f++) {
        const struct cvm_feature *feature = &catalogue->features[f];
        struct feature_output *output = &program->outputs[f];
        output->is_needed = is_in(needed, f);
        output->rule = feature->rule.clause_count > 0 ? &feature->rule : NULL;
        if (output->rule != NULL || !output->is_needed) {
            continue;
        }
        enum cvm_status status = check_feature(catalogue, feature, err);
        if (status != CVM_OK) {
            return status;
        }
        program->from_events[program->from_events_count++] = (uint16_t)f;
        output->aggregate = feature->aggregate;
        output->is_date = feature->aggregate == CVM_AGGREGATE_DAYS_SINCE &&
                          feature->attribute != CVM_INDEX_NONE &&
                          catalogue->attributes[feature->attribute].type == CVM_ATTRIBUTE_DATE;
        output->kind = kind_of(feature, output->is_date);
        output->first_state = (uint32_t)program->state_count;
        uint32_t source_count = (uint32_t)__builtin_popcountll(feature->sources & known);
        output->state_count =
            keeps_states_apart(output->kind) || source_count == 0 ? source_count : 1;
        program->state_count += output->state_count;
        program->needed |= feature->sources & known;
    }
    return CVM_OK;
}

static bool plan_states(struct cvm_feature_program *program)
{
    program->blank = CVM_NEW_ARRAY(program->arena, program->state_count, struct feature_state);
    if (program->blank == NULL) {
        return program->state_count == 0;
    }
    for (size_t f = 0; f < program->feature_count; f++) {
        const struct feature_output *output = &program->outputs[f];
        for (uint32_t s = 0; s < output->state_count; s++) {
            struct feature_state *state = &program->blank[output->first_state + s];
            state->day = CVM_DAY_NONE;
            state->value = output->kind == FEATURE_KIND_MIN   ? (double)INFINITY
                           : output->kind == FEATURE_KIND_MAX ? -(double)INFINITY
                                                              : 0;
        }
    }
    return true;
}

/* Which of the feature's states belongs to the source. */
static uint32_t state_of(const struct feature_output *output, const struct cvm_feature *feature,
                         const struct source_order *order, size_t source)
{
    uint32_t state = output->first_state;
    if (output->state_count == 1) {
        return state;
    }
    for (size_t i = 0; i < order->count && order->sources[i] != source; i++) {
        state += (uint32_t)(feature->sources >> order->sources[i] & 1);
    }
    return state;
}

/* The operation of a feature on events of the source, of its kind. */
static bool plan_op(struct cvm_feature_program *program, const struct cvm_catalogue *catalogue,
                    const struct source_order *order, size_t s, size_t f, struct feature_op *out_op)
{
    const struct cvm_feature *feature = &catalogue->features[f];
    const struct feature_output *output = &program->outputs[f];
    struct feature_source *source = &program->sources[s];
    uint16_t filter = 0;
    if (!find_filter(program->arena, source, &feature->where, &filter)) {
        return false;
    }
    source->needs_seconds =
        source->needs_seconds || (output->state_count > 1 && (output->kind == FEATURE_KIND_FIRST ||
                                                              output->kind == FEATURE_KIND_LAST));
    *out_op = (struct feature_op){
        .slot = find_slot(source, feature->attribute),
        .window = find_window(source, window_first_day(program, feature)),
        .filter = filter,
        .state = (uint16_t)state_of(output, feature, order, s),
    };
    return true;
}

static bool plan_source(struct cvm_feature_program *program, const struct cvm_catalogue *catalogue,
                        const struct source_order *order, size_t s)
{
    static const struct cvm_rule always;
    struct feature_source *source = &program->sources[s];
    source->slot_count = 1;
    source->is_needed = (program->needed >> s & 1) != 0;
    if (!source->is_needed) {
        return true;
    }
    source->window_first_days = CVM_NEW_ARRAY(program->arena, program->feature_count, int32_t);
    source->filters =
        CVM_NEW_ARRAY(program->arena, program->feature_count + 1, struct feature_filter);
    source->ops = CVM_NEW_ARRAY(program->arena, program->feature_count, struct feature_op);
    if (source->window_first_days == NULL || source->filters == NULL || source->ops == NULL) {
        return false;
    }
    uint16_t passes_all = 0;
    bool has_memory = find_filter(program->arena, source, &always, &passes_all);
    uint32_t op_count = 0;
    for (uint32_t kind = 0; kind < FEATURE_KIND_COUNT_OF; kind++) {
        source->ops_begin[kind] = op_count;
        for (size_t f = 0; f < program->feature_count && has_memory; f++) {
            const struct feature_output *output = &program->outputs[f];
            if (output->kind == kind && output->is_needed && output->rule == NULL &&
                (catalogue->features[f].sources >> s & 1) != 0) {
                has_memory = plan_op(program, catalogue, order, s, f, &source->ops[op_count++]);
            }
        }
    }
    source->ops_begin[FEATURE_KIND_COUNT_OF] = op_count;
    return has_memory;
}

static enum cvm_status compile(struct cvm_feature_program *program,
                               const struct cvm_catalogue *catalogue,
                               const struct cvm_feature_set *needed, struct cvm_error *err)
{
    program->source_count = catalogue->source_count;
    program->feature_count = catalogue->feature_count;
    program->sources =
        CVM_NEW_ARRAY(program->arena, catalogue->source_count + 1, struct feature_source);
    program->outputs =
        CVM_NEW_ARRAY(program->arena, catalogue->feature_count + 1, struct feature_output);
    program->from_events = CVM_NEW_ARRAY(program->arena, catalogue->feature_count + 1, uint16_t);
    if (program->sources == NULL || program->outputs == NULL || program->from_events == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the features");
    }
    enum cvm_status status = plan_outputs(program, catalogue, needed, err);
    if (status != CVM_OK) {
        return status;
    }
    struct source_order order;
    sort_sources(catalogue, &order);
    bool has_memory = plan_states(program);
    for (size_t s = 0; s < program->source_count && has_memory; s++) {
        has_memory = plan_source(program, catalogue, &order, s);
    }
    return has_memory ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for the features");
}

static int32_t first_day_of(const struct cvm_catalogue *catalogue, struct cvm_feature_window window)
{
    int64_t first_possible = cvm_day_from_date((struct cvm_date){1, 1, 1});
    int64_t first_day = (int64_t)window.as_of_day - catalogue->history_days + 1;
    if (window.since_day != CVM_DAY_NONE) {
        first_day = window.since_day;
    } else if (catalogue->history_days <= 0) {
        first_day = first_possible;
    }
    return (int32_t)(first_day > first_possible ? first_day : first_possible);
}

enum cvm_status cvm_feature_program_create(const struct cvm_catalogue *catalogue,
                                           struct cvm_feature_window window,
                                           struct cvm_feature_program **out_program,
                                           struct cvm_error *err)
{
    assert(catalogue->source_count <= CVM_SOURCES_MAX);
    assert(catalogue->feature_count <= CVM_FEATURES_MAX);
    assert(catalogue->attribute_count <= CVM_ATTRIBUTES_MAX);
    struct cvm_feature_program *program = calloc(1, sizeof(*program));
    if (program == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the features");
    }
    program->as_of_day = window.as_of_day;
    program->first_day = first_day_of(catalogue, window);
    program->arena = cvm_arena_create(PROGRAM_BYTES_MAX);
    enum cvm_status status = CVM_OK;
    if (program->arena == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for the features");
    } else {
        status = compile(program, catalogue, window.needed, err);
    }
    if (status != CVM_OK) {
        cvm_feature_program_destroy(program);
        return status;
    }
    *out_program = program;
    return CVM_OK;
}

void cvm_feature_program_destroy(struct cvm_feature_program *program)
{
    if (program == NULL) {
        return;
    }
    cvm_arena_destroy(program->arena);
    free(program);
}

int32_t cvm_feature_first_period(const struct cvm_feature_program *program)
{
    return cvm_packed_period(program->first_day);
}

int32_t cvm_feature_last_period(const struct cvm_feature_program *program)
{
    return cvm_packed_period(program->as_of_day);
}

void cvm_feature_set_add(struct cvm_feature_set *set, const struct cvm_catalogue *catalogue,
                         size_t feature)
{
    if (feature >= catalogue->feature_count || is_in(set, feature)) {
        return;
    }
    set->bits[feature / 64] |= UINT64_C(1) << feature % 64;
    cvm_feature_set_add_rule(set, catalogue, &catalogue->features[feature].rule);
}

void cvm_feature_set_add_rule(struct cvm_feature_set *set, const struct cvm_catalogue *catalogue,
                              const struct cvm_rule *rule)
{
    for (size_t c = 0; c < rule->clause_count; c++) {
        const struct cvm_rule_part *part = &rule->clauses[c].whole;
        for (size_t o = 0; o < part->operand_count; o++) {
            cvm_feature_set_add(set, catalogue, part->operands[o]);
        }
    }
}
