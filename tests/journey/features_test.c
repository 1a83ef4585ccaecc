#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "base/random.h"
#include "journey/features.h"

/* ---- a world: a catalogue and one customer's events, as written down by a person ---- */

#define EVENTS_MAX   70000
#define CELLS_MAX    8
#define FEATURES_MAX 40

struct fact {
    struct cvm_packed_event event;
    struct cvm_packed_cell cells[CELLS_MAX];
};

struct world {
    struct cvm_catalogue catalogue;
    struct cvm_source sources[4];
    struct cvm_attribute attributes[CELLS_MAX];
    struct cvm_feature features[FEATURES_MAX];
    struct cvm_rule_clause clauses[FEATURES_MAX][3];
    int32_t as_of_day;
    struct fact *facts;
    size_t fact_count;
    struct cvm_packer *packer;
    struct cvm_packed_event *packed;
    struct cvm_text body;
    struct cvm_consent consent;
};

static struct world *new_world(void)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->facts = calloc(EVENTS_MAX, sizeof(*world->facts));
    world->packed = calloc(EVENTS_MAX, sizeof(*world->packed));
    world->packer = cvm_packer_create();
    assert_non_null(world->facts);
    assert_non_null(world->packed);
    assert_non_null(world->packer);
    cvm_text_init(&world->body, 0);
    cvm_consent_init(&world->consent);
    world->catalogue.sources = world->sources;
    world->catalogue.source_count = 4;
    world->catalogue.attributes = world->attributes;
    world->catalogue.attribute_count = CELLS_MAX;
    world->catalogue.features = world->features;
    world->catalogue.history_days = 365;
    for (int s = 0; s < 4; s++) {
        world->sources[s].rank = s;
    }
    world->as_of_day = cvm_day_from_date((struct cvm_date){2024, 3, 20});
    return world;
}

static void free_world(struct world *world)
{
    cvm_packer_destroy(world->packer);
    cvm_text_finish(&world->body);
    free(world->facts);
    free(world->packed);
    free(world);
}

static struct fact *add_fact(struct world *world, int source, int32_t day, int32_t second)
{
    assert_true(world->fact_count < EVENTS_MAX);
    struct fact *fact = &world->facts[world->fact_count++];
    *fact = (struct fact){.event = {.day = day,
                                    .second = second,
                                    .source = (uint8_t)source,
                                    .rank = (uint8_t)world->sources[source].rank,
                                    .identity = world->fact_count}};
    return fact;
}

static void add_cell(struct fact *fact, int attribute, double value)
{
    fact->cells[fact->event.cell_count++] = (struct cvm_packed_cell){(uint16_t)attribute, value};
}

/* A dated event with one attribute: most tests need no more. */
static void add_value(struct world *world, int source, int32_t days_ago, double value)
{
    add_cell(add_fact(world, source, world->as_of_day - days_ago, 0), 0, value);
}

static struct cvm_feature *add_feature(struct world *world, enum cvm_aggregate aggregate,
                                       int attribute, uint64_t sources)
{
    struct cvm_feature *feature = &world->features[world->catalogue.feature_count++];
    *feature = (struct cvm_feature){
        .name = "feature", .aggregate = aggregate, .attribute = attribute, .sources = sources};
    return feature;
}

static void add_where(struct world *world, struct cvm_feature *feature, int operand,
                      enum cvm_compare compare, double value)
{
    struct cvm_rule_clause *clauses = world->clauses[feature - world->features];
    clauses[feature->where.clause_count++].whole = (struct cvm_rule_part){
        .is_simple = true, .comparison = {(uint16_t)operand, (uint8_t)compare, value}};
    feature->where.clauses = clauses;
}

/* ---- the fast way ---- */

static void pack_period(struct world *world, int32_t period)
{
    size_t count = 0;
    for (size_t i = 0; i < world->fact_count; i++) {
        struct fact *fact = &world->facts[i];
        if (cvm_packed_period(fact->event.day) == period) {
            world->packed[count] = fact->event;
            world->packed[count++].cells = fact->cells;
        }
    }
    bool is_profile = period == CVM_PERIOD_PROFILE;
    struct cvm_error err;
    assert_int_equal(cvm_packer_write(world->packer, is_profile ? "U1" : NULL,
                                      is_profile ? &world->consent : NULL, world->packed, count,
                                      &world->body, &err),
                     CVM_OK);
}

static void feed_customer(struct world *world, const struct cvm_feature_program *program,
                          struct cvm_feature_builder *builder, uint64_t key)
{
    struct cvm_error err;
    cvm_feature_builder_customer(builder, key);
    pack_period(world, CVM_PERIOD_PROFILE);
    assert_int_equal(cvm_feature_builder_body(builder, CVM_PERIOD_PROFILE, world->body.data,
                                              world->body.length, &err),
                     CVM_OK);
    for (int32_t period = cvm_feature_first_period(program);
         period <= cvm_feature_last_period(program); period++) {
        pack_period(world, period);
        assert_int_equal(
            cvm_feature_builder_body(builder, period, world->body.data, world->body.length, &err),
            CVM_OK);
    }
    assert_int_equal(cvm_feature_builder_customer_end(builder, &err), CVM_OK);
}

struct machine {
    struct cvm_feature_program *program;
    struct cvm_feature_builder *builder;
    struct cvm_chunk *chunk;
};

static struct machine start_machine(struct world *world, size_t capacity)
{
    struct machine machine = {0};
    struct cvm_error err;
    assert_int_equal(
        cvm_feature_program_create(&world->catalogue,
                                   (struct cvm_feature_window){world->as_of_day, CVM_DAY_NONE},
                                   &machine.program, &err),
        CVM_OK);
    assert_int_equal(cvm_feature_builder_create(machine.program, &machine.builder, &err), CVM_OK);
    assert_int_equal(
        cvm_chunk_create(capacity, world->catalogue.feature_count, &machine.chunk, &err), CVM_OK);
    cvm_feature_builder_start(machine.builder, machine.chunk);
    return machine;
}

static void stop_machine(struct machine *machine)
{
    cvm_chunk_destroy(machine->chunk);
    cvm_feature_builder_destroy(machine->builder);
    cvm_feature_program_destroy(machine->program);
}

/* One customer's features into `values`; returns event_counts. */
static uint32_t compute(struct world *world, double *values)
{
    struct machine machine = start_machine(world, 3);
    feed_customer(world, machine.program, machine.builder, 7);
    assert_int_equal(machine.chunk->count, 1);
    assert_int_equal(machine.chunk->keys[0], 7);
    for (size_t f = 0; f < world->catalogue.feature_count; f++) {
        values[f] = machine.chunk->features[f * machine.chunk->capacity];
    }
    uint32_t event_count = machine.chunk->event_counts[0];
    stop_machine(&machine);
    return event_count;
}

/* ---- the obvious way ---- */

static double cell_of(const struct fact *fact, int attribute)
{
    for (size_t c = 0; c < fact->event.cell_count; c++) {
        if (fact->cells[c].attribute == attribute) {
            return fact->cells[c].value;
        }
    }
    return NAN;
}

static bool passes(const struct fact *fact, const struct cvm_rule *where)
{
    for (size_t i = 0; i < where->clause_count; i++) {
        const struct cvm_comparison *test = &where->clauses[i].whole.comparison;
        if (test->operand == CVM_OPERAND_TOPIC) {
            bool has = (fact->event.topics & (UINT32_C(1) << (int)test->value)) != 0;
            if (has != (test->compare == CVM_EQUAL)) {
                return false;
            }
        } else if (!cvm_compare_holds(cell_of(fact, test->operand), test->compare, test->value)) {
            return false;
        }
    }
    return true;
}

static int compare_facts(const void *left, const void *right)
{
    const struct cvm_packed_event *a = &((const struct fact *)left)->event;
    const struct cvm_packed_event *b = &((const struct fact *)right)->event;
    if (a->day != b->day) {
        return a->day < b->day ? -1 : 1;
    }
    if (a->second != b->second) {
        return a->second < b->second ? -1 : 1;
    }
    if (a->rank != b->rank || a->source != b->source) {
        return a->rank != b->rank ? a->rank - b->rank : a->source - b->source;
    }
    return a->identity < b->identity ? -1 : a->identity > b->identity;
}

static bool counts_for(const struct world *world, const struct cvm_feature *feature,
                       const struct fact *fact)
{
    int32_t history = world->as_of_day - world->catalogue.history_days + 1;
    int32_t window =
        feature->window_days == 0 ? history : world->as_of_day - feature->window_days + 1;
    bool is_undated = fact->event.day == CVM_DAY_NONE;
    bool is_seen = is_undated || (fact->event.day >= history && fact->event.day >= window &&
                                  fact->event.day <= world->as_of_day);
    return is_seen && (feature->sources >> fact->event.source & 1) != 0 &&
           passes(fact, &feature->where) &&
           (feature->attribute == CVM_INDEX_NONE || !isnan(cell_of(fact, feature->attribute)));
}

struct sums {
    double n, y, x, xx, xy;
};

/* Sums of each source in journey order, added up in order of (rank, source). */
static struct sums sums_of(const struct world *world, const struct cvm_feature *feature,
                           bool dated_only)
{
    struct sums total = {0};
    bool is_first = true;
    for (int rank = 0; rank < 256; rank++) {
        for (int source = 0; source < 4; source++) {
            struct sums sums = {0};
            for (size_t i = 0; world->sources[source].rank == rank && i < world->fact_count; i++) {
                const struct fact *fact = &world->facts[i];
                if (fact->event.source != source || !counts_for(world, feature, fact) ||
                    (dated_only && fact->event.day == CVM_DAY_NONE)) {
                    continue;
                }
                double y =
                    feature->attribute == CVM_INDEX_NONE ? 0 : cell_of(fact, feature->attribute);
                double x = fact->event.day == CVM_DAY_NONE ? 0 : fact->event.day - world->as_of_day;
                sums.n += 1;
                sums.y += y;
                sums.x += x;
                sums.xx += x * x;
                sums.xy += x * y;
            }
            if (sums.n > 0) {
                total = is_first
                            ? sums
                            : (struct sums){total.n + sums.n, total.y + sums.y, total.x + sums.x,
                                            total.xx + sums.xx, total.xy + sums.xy};
                is_first = false;
            }
        }
    }
    return total;
}

/* The facts are sorted in journey order. */
static double obvious_pick(const struct world *world, const struct cvm_feature *feature)
{
    bool is_date = feature->attribute != CVM_INDEX_NONE &&
                   world->attributes[feature->attribute].type == CVM_ATTRIBUTE_DATE;
    double found = NAN;
    for (size_t i = 0; i < world->fact_count; i++) {
        const struct fact *fact = &world->facts[i];
        if (!counts_for(world, feature, fact)) {
            continue;
        }
        double value = cell_of(fact, feature->attribute);
        switch (feature->aggregate) {
        case CVM_AGGREGATE_MIN:
            found = isnan(found) || value < found ? value : found;
            break;
        case CVM_AGGREGATE_MAX:
            found = isnan(found) || value > found ? value : found;
            break;
        case CVM_AGGREGATE_FIRST:
            found = isnan(found) ? value : found;
            break;
        case CVM_AGGREGATE_LAST:
            found = value;
            break;
        default:
            if (is_date) {
                found = world->as_of_day - value;
            } else if (fact->event.day != CVM_DAY_NONE) {
                found = world->as_of_day - fact->event.day;
            }
            break;
        }
    }
    return found;
}

static double obvious(const struct world *world, const struct cvm_feature *feature)
{
    struct sums sums = sums_of(world, feature, feature->aggregate == CVM_AGGREGATE_TREND);
    double below = sums.n * sums.xx - sums.x * sums.x;
    switch (feature->aggregate) {
    case CVM_AGGREGATE_COUNT:
        return sums.n;
    case CVM_AGGREGATE_SUM:
        return sums.y;
    case CVM_AGGREGATE_AVG:
        return sums.n == 0 ? NAN : sums.y / sums.n;
    case CVM_AGGREGATE_TREND:
        return sums.n < 2 || below <= 0 ? NAN : (sums.n * sums.xy - sums.x * sums.y) / below * 30;
    default:
        return obvious_pick(world, feature);
    }
}

static void assert_same(double fast, double slow, const struct cvm_feature *feature)
{
    if (isnan(fast) && isnan(slow)) {
        return;
    }
    if (memcmp(&fast, &slow, sizeof(fast)) != 0) {
        /* Minimum and maximum of 0 and -0 may be either. */
        bool is_zero = fast == 0 && slow == 0;
        if (!is_zero) {
            fail_msg("aggregate %d attribute %d sources %llx window %d: %.17g, not %.17g",
                     feature->aggregate, feature->attribute, (unsigned long long)feature->sources,
                     feature->window_days, fast, slow);
        }
    }
}

/* ---- random worlds ---- */

static double random_value(struct cvm_random *random, int attribute)
{
    switch (attribute) {
    case 0:
        return (double)cvm_random_below(random, 3);
    case 1:
        return (double)cvm_random_below(random, 20000) / 100.0;
    case 2:
        return cvm_random_normal(random);
    case 3:
        return (double)cvm_random_below(random, 10000) / 10000.0;
    case 4:
        return 19000 + (double)cvm_random_below(random, 1000); /* a date */
    case 5:
        return (double)cvm_random_below(random, 5000) - 2500;
    case 6:
        return cvm_random_below(random, 2) == 0 ? -0.0 : 0.0;
    default:
        return cvm_random_lognormal(random, 100, 3);
    }
}

static void random_features(struct world *world, struct cvm_random *random)
{
    static const int windows[] = {0, 1, 7, 30, 90, 91, 365, 1000};
    world->attributes[4].type = CVM_ATTRIBUTE_DATE;
    for (int s = 0; s < 4; s++) {
        world->sources[s].rank = (int)cvm_random_below(random, 3);
    }
    world->catalogue.history_days = 1 + (int)cvm_random_below(random, 800);
    world->as_of_day = 19500 + (int32_t)cvm_random_below(random, 400);
    for (int f = 0; f < FEATURES_MAX; f++) {
        enum cvm_aggregate aggregate = (enum cvm_aggregate)cvm_random_below(random, 9);
        bool may_lack = aggregate == CVM_AGGREGATE_COUNT || aggregate == CVM_AGGREGATE_DAYS_SINCE;
        int attribute = may_lack && cvm_random_below(random, 2) == 0
                            ? CVM_INDEX_NONE
                            : (int)cvm_random_below(random, CELLS_MAX);
        uint64_t sources = cvm_random_below(random, 2) == 0
                               ? UINT64_C(1) << cvm_random_below(random, 4)
                               : cvm_random_below(random, 16);
        struct cvm_feature *feature = add_feature(world, aggregate, attribute, sources);
        feature->window_days = windows[cvm_random_below(random, 8)];
        size_t tests = cvm_random_below(random, 6);
        for (size_t t = 0; t < tests && t < 3 && tests < 4; t++) {
            if (cvm_random_below(random, 4) == 0) {
                add_where(world, feature, CVM_OPERAND_TOPIC,
                          cvm_random_below(random, 2) == 0 ? CVM_EQUAL : CVM_NOT_EQUAL,
                          (double)cvm_random_below(random, 3));
            } else {
                int operand = (int)cvm_random_below(random, CELLS_MAX);
                add_where(world, feature, operand, (enum cvm_compare)cvm_random_below(random, 6),
                          random_value(random, operand));
            }
        }
    }
}

static void random_facts(struct world *world, struct cvm_random *random)
{
    world->fact_count = 0;
    size_t count = cvm_random_below(random, 40);
    if (cvm_random_below(random, 50) == 0) {
        count += 400; /* more than one block per source */
    }
    bool may_be_undated = cvm_random_below(random, 2) == 0;
    for (size_t i = 0; i < count; i++) {
        int source = (int)cvm_random_below(random, 4);
        int32_t day = world->as_of_day + 20 - (int32_t)cvm_random_below(random, 900);
        if (may_be_undated && cvm_random_below(random, 8) == 0) {
            day = CVM_DAY_NONE;
        }
        int32_t second = (int32_t)cvm_random_below(random, 3) * 40000;
        struct fact *fact = add_fact(world, source, day, second);
        fact->event.topics = (uint32_t)cvm_random_below(random, 8) & (uint32_t)source;
        for (int attribute = 0; attribute < CELLS_MAX; attribute++) {
            if (cvm_random_below(random, 3) != 0) {
                add_cell(fact, attribute, random_value(random, attribute));
            }
        }
    }
    qsort(world->facts, world->fact_count, sizeof(*world->facts), compare_facts);
}

static void features_equal_the_obvious_evaluation_on_10000_random_journeys(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct cvm_random random;
        cvm_random_init(&random, seed);
        struct world *world = new_world();
        random_features(world, &random);
        struct machine machine = start_machine(world, 100);
        for (uint64_t journey = 0; journey < 100; journey++) {
            random_facts(world, &random);
            feed_customer(world, machine.program, machine.builder, journey);
            uint32_t in_history = 0;
            struct cvm_feature any = {.attribute = CVM_INDEX_NONE, .sources = 15};
            for (size_t i = 0; i < world->fact_count; i++) {
                in_history += world->facts[i].event.day != CVM_DAY_NONE &&
                              counts_for(world, &any, &world->facts[i]);
            }
            assert_int_equal(machine.chunk->event_counts[journey], in_history);
            for (size_t f = 0; f < FEATURES_MAX; f++) {
                assert_same(machine.chunk->features[f * machine.chunk->capacity + journey],
                            obvious(world, &world->features[f]), &world->features[f]);
            }
        }
        stop_machine(&machine);
        free_world(world);
    }
}

/* ---- one rule each ---- */

static void counts_and_sums_of_nothing_are_0_and_other_aggregates_missing(void **state)
{
    (void)state;
    struct world *world = new_world();
    for (enum cvm_aggregate a = CVM_AGGREGATE_COUNT; a <= CVM_AGGREGATE_DAYS_SINCE; a++) {
        add_feature(world, a, 0, 1);
    }
    double values[FEATURES_MAX];
    assert_int_equal(compute(world, values), 0);
    assert_true(values[CVM_AGGREGATE_COUNT] == 0);
    assert_true(values[CVM_AGGREGATE_SUM] == 0);
    for (enum cvm_aggregate a = CVM_AGGREGATE_AVG; a <= CVM_AGGREGATE_DAYS_SINCE; a++) {
        assert_true(isnan(values[a]));
    }
    free_world(world);
}

static void a_window_is_the_last_n_days_including_the_as_of_day(void **state)
{
    (void)state;
    struct world *world = new_world();
    add_value(world, 0, 30, 1);
    add_value(world, 0, 29, 10);
    add_value(world, 0, 0, 100);
    add_value(world, 0, -1, 1000);
    add_feature(world, CVM_AGGREGATE_SUM, 0, 1)->window_days = 30;
    add_feature(world, CVM_AGGREGATE_SUM, 0, 1)->window_days = 1;
    add_feature(world, CVM_AGGREGATE_SUM, 0, 1);
    double values[FEATURES_MAX];
    assert_int_equal(compute(world, values), 3);
    assert_true(values[0] == 110);
    assert_true(values[1] == 100);
    assert_true(values[2] == 111);
    free_world(world);
}

static void events_before_the_history_window_are_not_seen_by_a_longer_feature_window(void **state)
{
    (void)state;
    struct world *world = new_world();
    add_value(world, 0, 365, 1);
    add_value(world, 0, 364, 10);
    add_feature(world, CVM_AGGREGATE_SUM, 0, 1)->window_days = 500;
    double values[FEATURES_MAX];
    assert_int_equal(compute(world, values), 1);
    assert_true(values[0] == 10);
    free_world(world);
}

static void undated_attributes_count_in_every_window_but_not_as_events_of_the_journey(void **state)
{
    (void)state;
    struct world *world = new_world();
    add_cell(add_fact(world, 1, CVM_DAY_NONE, 0), 0, 24);
    add_feature(world, CVM_AGGREGATE_LAST, 0, 2)->window_days = 7;
    add_feature(world, CVM_AGGREGATE_COUNT, CVM_INDEX_NONE, 2)->window_days = 1;
    add_feature(world, CVM_AGGREGATE_DAYS_SINCE, CVM_INDEX_NONE, 2);
    double values[FEATURES_MAX];
    assert_int_equal(compute(world, values), 0);
    assert_true(values[0] == 24);
    assert_true(values[1] == 1);
    assert_true(isnan(values[2]));
    free_world(world);
}

static void days_since_a_date_attribute_counts_from_its_value_also_undated(void **state)
{
    (void)state;
    struct world *world = new_world();
    world->attributes[3].type = CVM_ATTRIBUTE_DATE;
    add_cell(add_fact(world, 0, CVM_DAY_NONE, 0), 3,
             cvm_day_from_date((struct cvm_date){2024, 2, 29}));
    add_value(world, 0, 4, 1);
    add_feature(world, CVM_AGGREGATE_DAYS_SINCE, 3, 1)->window_days = 5;
    add_feature(world, CVM_AGGREGATE_DAYS_SINCE, 0, 1);
    add_feature(world, CVM_AGGREGATE_DAYS_SINCE, CVM_INDEX_NONE, 1);
    double values[FEATURES_MAX];
    assert_int_equal(compute(world, values), 1);
    assert_true(values[0] == 20); /* a leap day to 20 March */
    assert_true(values[1] == 4);
    assert_true(values[2] == 4);
    free_world(world);
}

static void last_and_first_of_one_moment_go_by_rank_of_the_source(void **state)
{
    (void)state;
    struct world *world = new_world();
    world->sources[0].rank = 9;
    world->sources[1].rank = 2;
    add_value(world, 0, 3, 1);
    add_value(world, 1, 3, 2);
    add_feature(world, CVM_AGGREGATE_LAST, 0, 3);
    add_feature(world, CVM_AGGREGATE_FIRST, 0, 3);
    double values[FEATURES_MAX];
    assert_int_equal(compute(world, values), 2);
    assert_true(values[0] == 1);
    assert_true(values[1] == 2);
    /* A later second beats the rank. */
    add_cell(add_fact(world, 1, world->as_of_day - 3, 60), 0, 5);
    assert_int_equal(compute(world, values), 3);
    assert_true(values[0] == 5);
    free_world(world);
}

static void a_filter_on_a_missing_attribute_passes_nothing_also_with_unequal(void **state)
{
    (void)state;
    struct world *world = new_world();
    add_value(world, 0, 3, 1);
    struct cvm_feature *feature = add_feature(world, CVM_AGGREGATE_COUNT, CVM_INDEX_NONE, 1);
    add_where(world, feature, 5, CVM_NOT_EQUAL, 1);
    double values[FEATURES_MAX];
    assert_int_equal(compute(world, values), 1);
    assert_true(values[0] == 0);
    free_world(world);
}

static void a_topic_filter_tests_the_bit_and_unequal_its_absence(void **state)
{
    (void)state;
    struct world *world = new_world();
    add_fact(world, 0, world->as_of_day, 0)->event.topics = UINT32_C(1) << 31;
    add_fact(world, 0, world->as_of_day, 0)->event.topics = 1;
    add_fact(world, 0, world->as_of_day, 0);
    add_where(world, add_feature(world, CVM_AGGREGATE_COUNT, CVM_INDEX_NONE, 1), CVM_OPERAND_TOPIC,
              CVM_EQUAL, 31);
    add_where(world, add_feature(world, CVM_AGGREGATE_COUNT, CVM_INDEX_NONE, 1), CVM_OPERAND_TOPIC,
              CVM_NOT_EQUAL, 31);
    add_where(world, add_feature(world, CVM_AGGREGATE_COUNT, CVM_INDEX_NONE, 1), CVM_OPERAND_TOPIC,
              CVM_EQUAL, 99);
    double values[FEATURES_MAX];
    assert_int_equal(compute(world, values), 3);
    assert_true(values[0] == 1);
    assert_true(values[1] == 2);
    assert_true(values[2] == 0);
    free_world(world);
}

static void a_trend_is_the_slope_per_30_days_and_missing_on_one_day(void **state)
{
    (void)state;
    struct world *world = new_world();
    add_feature(world, CVM_AGGREGATE_TREND, 0, 1);
    add_value(world, 0, 60, 10);
    double values[FEATURES_MAX];
    assert_int_equal(compute(world, values), 1);
    assert_true(isnan(values[0]));
    add_value(world, 0, 60, 10);
    assert_int_equal(compute(world, values), 2);
    assert_true(isnan(values[0]));
    add_value(world, 0, 30, 13);
    add_value(world, 0, 30, 13);
    add_value(world, 0, 0, 16);
    add_value(world, 0, 0, 16);
    assert_int_equal(compute(world, values), 6);
    assert_true(fabs(values[0] - 3) < 1e-12);
    free_world(world);
}

static void features_see_all_of_65535_events_at_one_moment(void **state)
{
    (void)state;
    struct world *world = new_world();
    for (int i = 0; i < CVM_PACKED_EVENTS_MAX; i++) {
        add_value(world, 2, 5, i);
    }
    add_feature(world, CVM_AGGREGATE_COUNT, CVM_INDEX_NONE, 4);
    add_feature(world, CVM_AGGREGATE_SUM, 0, 4);
    add_feature(world, CVM_AGGREGATE_FIRST, 0, 4);
    add_feature(world, CVM_AGGREGATE_LAST, 0, 4);
    add_feature(world, CVM_AGGREGATE_TREND, 0, 4);
    double values[FEATURES_MAX];
    assert_int_equal(compute(world, values), CVM_PACKED_EVENTS_MAX);
    assert_true(values[0] == CVM_PACKED_EVENTS_MAX);
    assert_true(values[1] == 65534.0 * 65535.0 / 2);
    assert_true(values[2] == 0);
    assert_true(values[3] == 65534);
    assert_true(isnan(values[4]));
    free_world(world);
}

static void days_of_1900_and_2199_and_leap_days_are_counted_right(void **state)
{
    (void)state;
    struct world *world = new_world();
    world->catalogue.history_days = 0; /* all of it */
    world->as_of_day = cvm_day_from_date((struct cvm_date){2199, 12, 31});
    add_value(world, 0, 0, 1);
    add_cell(add_fact(world, 0, cvm_day_from_date((struct cvm_date){2196, 2, 29}), 0), 0, 10);
    struct cvm_feature *feature = add_feature(world, CVM_AGGREGATE_SUM, 0, 1);
    feature->window_days =
        (int)(world->as_of_day - cvm_day_from_date((struct cvm_date){2196, 2, 29}) + 1);
    double values[FEATURES_MAX];
    assert_int_equal(compute(world, values), 2);
    assert_true(values[0] == 11);
    free_world(world);

    world = new_world();
    world->as_of_day = cvm_day_from_date((struct cvm_date){1900, 3, 1});
    add_value(world, 0, 1, 1); /* 28 February: 1900 was no leap year */
    add_value(world, 0, 59, 2);
    add_feature(world, CVM_AGGREGATE_SUM, 0, 1)->window_days = 60;
    add_feature(world, CVM_AGGREGATE_SUM, 0, 1)->window_days = 2;
    assert_int_equal(compute(world, values), 2);
    assert_true(values[0] == 3);
    assert_true(values[1] == 1);
    free_world(world);
}

static void a_damaged_body_fails_the_customer_and_the_next_one_is_clean(void **state)
{
    (void)state;
    struct world *world = new_world();
    add_value(world, 0, 1, 5);
    add_feature(world, CVM_AGGREGATE_SUM, 0, 1);
    struct machine machine = start_machine(world, 2);
    struct cvm_error err;
    cvm_feature_builder_customer(machine.builder, 1);
    assert_int_equal(cvm_feature_builder_body(machine.builder, CVM_PERIOD_PROFILE, "x", 1, &err),
                     CVM_E_CORRUPT);
    cvm_feature_builder_customer(machine.builder, 2);
    pack_period(world, cvm_packed_period(world->as_of_day));
    assert_int_equal(cvm_feature_builder_body(machine.builder, cvm_packed_period(world->as_of_day),
                                              world->body.data, world->body.length, &err),
                     CVM_OK);
    assert_int_equal(cvm_feature_builder_customer_end(machine.builder, &err), CVM_E_CORRUPT);
    assert_string_equal(err.message, "packed journey: a customer has no profile");
    feed_customer(world, machine.program, machine.builder, 3);
    assert_int_equal(machine.chunk->count, 1);
    assert_int_equal(machine.chunk->keys[0], 3);
    assert_string_equal(cvm_chunk_id(machine.chunk, 0), "U1");
    assert_true(machine.chunk->features[0] == 5);
    stop_machine(&machine);
    free_world(world);
}

static void bodies_out_of_order_are_refused(void **state)
{
    (void)state;
    struct world *world = new_world();
    add_value(world, 0, 1, 5);
    add_value(world, 0, 200, 5);
    add_feature(world, CVM_AGGREGATE_SUM, 0, 1);
    struct machine machine = start_machine(world, 2);
    struct cvm_error err;
    cvm_feature_builder_customer(machine.builder, 1);
    int32_t periods[] = {cvm_packed_period(world->as_of_day),
                         cvm_packed_period(world->as_of_day - 200)};
    pack_period(world, periods[0]);
    assert_int_equal(cvm_feature_builder_body(machine.builder, periods[0], world->body.data,
                                              world->body.length, &err),
                     CVM_OK);
    pack_period(world, periods[1]);
    assert_int_equal(cvm_feature_builder_body(machine.builder, periods[1], world->body.data,
                                              world->body.length, &err),
                     CVM_E_CORRUPT);
    stop_machine(&machine);
    free_world(world);
}

static void the_consent_of_the_profile_comes_with_the_features(void **state)
{
    (void)state;
    struct world *world = new_world();
    uint32_t bit = cvm_consent_bit(CVM_CHANNEL_SMS, CVM_DIRECTION_OUTBOUND, CVM_PURPOSE_MARKETING);
    world->consent.recorded = bit;
    world->consent.granted = bit;
    world->consent.has_record = true;
    struct machine machine = start_machine(world, 1);
    feed_customer(world, machine.program, machine.builder, 3);
    assert_true(cvm_consent_allows(&machine.chunk->consents[0], CVM_CHANNEL_SMS,
                                   CVM_DIRECTION_OUTBOUND, CVM_PURPOSE_MARKETING));
    assert_false(cvm_consent_allows(&machine.chunk->consents[0], CVM_CHANNEL_CALL,
                                    CVM_DIRECTION_OUTBOUND, CVM_PURPOSE_MARKETING));
    stop_machine(&machine);
    free_world(world);
}

static void an_aggregate_that_needs_an_attribute_is_refused_without_one(void **state)
{
    (void)state;
    struct world *world = new_world();
    add_feature(world, CVM_AGGREGATE_SUM, CVM_INDEX_NONE, 1);
    struct cvm_feature_program *program = NULL;
    struct cvm_error err;
    assert_int_equal(cvm_feature_program_create(&world->catalogue,
                                                (struct cvm_feature_window){19000, CVM_DAY_NONE},
                                                &program, &err),
                     CVM_E_INVALID);
    assert_null(program);
    free_world(world);
}

static void the_periods_to_scan_span_the_history_window(void **state)
{
    (void)state;
    struct world *world = new_world();
    struct machine machine = start_machine(world, 1);
    /* 2023-03-22 to 2024-03-20 */
    assert_int_equal(cvm_feature_first_period(machine.program), 2023 * 2);
    assert_int_equal(cvm_feature_last_period(machine.program), 2024 * 2);
    stop_machine(&machine);
    free_world(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_equal_the_obvious_evaluation_on_10000_random_journeys),
        cmocka_unit_test(counts_and_sums_of_nothing_are_0_and_other_aggregates_missing),
        cmocka_unit_test(a_window_is_the_last_n_days_including_the_as_of_day),
        cmocka_unit_test(events_before_the_history_window_are_not_seen_by_a_longer_feature_window),
        cmocka_unit_test(undated_attributes_count_in_every_window_but_not_as_events_of_the_journey),
        cmocka_unit_test(days_since_a_date_attribute_counts_from_its_value_also_undated),
        cmocka_unit_test(last_and_first_of_one_moment_go_by_rank_of_the_source),
        cmocka_unit_test(a_filter_on_a_missing_attribute_passes_nothing_also_with_unequal),
        cmocka_unit_test(a_topic_filter_tests_the_bit_and_unequal_its_absence),
        cmocka_unit_test(a_trend_is_the_slope_per_30_days_and_missing_on_one_day),
        cmocka_unit_test(features_see_all_of_65535_events_at_one_moment),
        cmocka_unit_test(days_of_1900_and_2199_and_leap_days_are_counted_right),
        cmocka_unit_test(a_damaged_body_fails_the_customer_and_the_next_one_is_clean),
        cmocka_unit_test(bodies_out_of_order_are_refused),
        cmocka_unit_test(the_consent_of_the_profile_comes_with_the_features),
        cmocka_unit_test(an_aggregate_that_needs_an_attribute_is_refused_without_one),
        cmocka_unit_test(the_periods_to_scan_span_the_history_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
