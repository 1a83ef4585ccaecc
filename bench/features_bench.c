/* features_bench.c - nanoseconds per customer and event of packing journeys and computing features,
 * with all bodies in memory: features_bench [CUSTOMERS [EVENTS_PER_CUSTOMER [ROUNDS]]]
 *
 * The catalogue has the shape of the shipped telecom one: 10 sources, 54 features, 400 days.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/date.h"
#include "base/random.h"
#include "journey/features.h"

#define SOURCES         10
#define SOURCE_CELLS    6
#define ATTRIBUTES      (SOURCES * SOURCE_CELLS)
#define FEATURES        54
#define AS_OF_DAY       19802 /* 2024-03-20 */
#define HISTORY_DAYS    400
#define EVENTS_MAX      4096
#define ALL_SOURCES     ((UINT64_C(1) << SOURCES) - 1)
#define BODIES_PER_MOST 8

struct body {
    size_t offset;
    uint32_t length;
    int32_t period;
    uint32_t customer;
};

struct base {
    struct cvm_text bytes;
    struct body *bodies;
    size_t body_count;
    size_t customer_count;
    size_t event_count;
};

struct shape {
    struct cvm_catalogue catalogue;
    struct cvm_source sources[SOURCES];
    struct cvm_attribute attributes[ATTRIBUTES];
    struct cvm_feature features[FEATURES];
    struct cvm_rule_clause clauses[FEATURES];
};

static double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void add(struct shape *shape, enum cvm_aggregate aggregate, int attribute, uint64_t sources,
                int window_days)
{
    shape->features[shape->catalogue.feature_count++] =
        (struct cvm_feature){.name = "feature",
                             .aggregate = aggregate,
                             .attribute = attribute,
                             .sources = sources,
                             .window_days = window_days};
}

static void add_where(struct shape *shape, uint64_t sources, int window_days, int operand,
                      double value)
{
    struct cvm_rule_clause *clause = &shape->clauses[shape->catalogue.feature_count];
    clause->whole = (struct cvm_rule_part){.is_simple = true,
                                           .comparison = {(uint16_t)operand, CVM_EQUAL, value}};
    add(shape, CVM_AGGREGATE_COUNT, CVM_INDEX_NONE, sources, window_days);
    struct cvm_feature *feature = &shape->features[shape->catalogue.feature_count - 1];
    feature->where = (struct cvm_rule){.clauses = clause, .clause_count = 1};
}

static void make_shape(struct shape *shape)
{
    memset(shape, 0, sizeof(*shape));
    shape->catalogue.sources = shape->sources;
    shape->catalogue.source_count = SOURCES;
    shape->catalogue.attributes = shape->attributes;
    shape->catalogue.attribute_count = ATTRIBUTES;
    shape->catalogue.features = shape->features;
    shape->catalogue.history_days = HISTORY_DAYS;
    for (int s = 0; s < SOURCES; s++) {
        shape->sources[s].rank = s * 10;
    }
    add(shape, CVM_AGGREGATE_COUNT, CVM_INDEX_NONE, ALL_SOURCES, 0);
    add(shape, CVM_AGGREGATE_COUNT, CVM_INDEX_NONE, ALL_SOURCES, 30);
    add(shape, CVM_AGGREGATE_DAYS_SINCE, CVM_INDEX_NONE, ALL_SOURCES, 0);
    for (int i = 0; i < 6; i++) {
        add_where(shape, 3, i < 3 ? 0 : 90, 0, i % 3);
    }
    for (int i = 0; i < 8; i++) {
        add_where(shape, i < 4 ? 3 : 4, 90, CVM_OPERAND_TOPIC, i);
    }
    for (int s = 0; s < SOURCES; s++) {
        int attribute = s * SOURCE_CELLS;
        uint64_t source = UINT64_C(1) << s;
        add(shape, CVM_AGGREGATE_COUNT, CVM_INDEX_NONE, source, s % 2 == 0 ? 30 : 90);
        add(shape, CVM_AGGREGATE_LAST, attribute + 1, source, 0);
        add(shape, s % 3 == 0 ? CVM_AGGREGATE_TREND : CVM_AGGREGATE_SUM, attribute + 2, source,
            180);
        if (shape->catalogue.feature_count < FEATURES - (size_t)(SOURCES - s) * 3) {
            add(shape, CVM_AGGREGATE_MAX, attribute + 3, source, 90);
        }
    }
    while (shape->catalogue.feature_count < FEATURES) {
        add(shape, CVM_AGGREGATE_AVG, 2, 1, (int)shape->catalogue.feature_count);
    }
}

static int compare_days(const void *a, const void *b)
{
    const struct cvm_packed_event *left = a;
    const struct cvm_packed_event *right = b;
    return (left->day > right->day) - (left->day < right->day);
}

static void make_event(struct cvm_random *random, struct cvm_packed_event *event,
                       struct cvm_packed_cell cells[SOURCE_CELLS], bool is_undated)
{
    uint64_t u = cvm_random_below(random, 2 * SOURCES - 2);
    int source = is_undated ? SOURCES - 1 : (int)(u % (SOURCES - 1));
    for (int c = 0; c < SOURCE_CELLS; c++) {
        double n = (double)cvm_random_below(random, c == 0 ? 3 : 20000);
        cells[c] =
            (struct cvm_packed_cell){(uint16_t)(source * SOURCE_CELLS + c), c < 2   ? n
                                                                            : c < 5 ? n / 100
                                                                                    : n / 10000};
    }
    *event = (struct cvm_packed_event){
        .day =
            is_undated ? CVM_DAY_NONE : AS_OF_DAY - (int32_t)cvm_random_below(random, HISTORY_DAYS),
        .source = (uint8_t)source,
        .rank = (uint8_t)(source * 10),
        .identity = cvm_random_u64(random),
        .topics = source < 3 ? (uint32_t)cvm_random_below(random, 16) : 0,
        .cells = cells,
        .cell_count = SOURCE_CELLS,
    };
}

/* The bodies of one customer's events, which are sorted by day. */
static bool pack_customer(struct base *base, struct cvm_packer *packer, uint32_t customer,
                          struct cvm_packed_event *events, size_t count, struct cvm_text *body)
{
    struct cvm_consent consent;
    char id[32];
    struct cvm_error err;
    cvm_consent_init(&consent);
    (void)snprintf(id, sizeof(id), "C%07u", customer);
    size_t next = 0;
    for (size_t first = 0; first < count; first = next) {
        int32_t period = cvm_packed_period(events[first].day);
        while (next < count && cvm_packed_period(events[next].day) == period) {
            next++;
        }
        bool is_profile = period == CVM_PERIOD_PROFILE;
        if (cvm_packer_write(packer, is_profile ? id : NULL, is_profile ? &consent : NULL,
                             events + first, next - first, body, &err) != CVM_OK) {
            fprintf(stderr, "%s\n", err.message);
            return false;
        }
        base->bodies[base->body_count++] =
            (struct body){base->bytes.length, (uint32_t)body->length, period, customer};
        cvm_text_add_bytes(&base->bytes, body->data, body->length);
    }
    return !base->bytes.failed;
}

static bool make_base(struct base *base, size_t customers, size_t events_each, double *out_seconds)
{
    static struct cvm_packed_event events[EVENTS_MAX];
    static struct cvm_packed_cell cells[EVENTS_MAX][SOURCE_CELLS];
    struct cvm_packer *packer = cvm_packer_create();
    struct cvm_text body;
    cvm_text_init(&body, 0);
    cvm_text_init(&base->bytes, (size_t)8 << 30);
    base->bodies = malloc(customers * BODIES_PER_MOST * sizeof(*base->bodies));
    base->customer_count = customers;
    base->event_count = customers * events_each;
    bool ok = packer != NULL && base->bodies != NULL;
    *out_seconds = 0;
    for (size_t c = 0; ok && c < customers; c++) {
        struct cvm_random random;
        cvm_random_init(&random, c);
        for (size_t e = 0; e < events_each; e++) {
            make_event(&random, &events[e], cells[e], e == 0);
        }
        qsort(events, events_each, sizeof(events[0]), compare_days);
        double start = seconds_now();
        ok = pack_customer(base, packer, (uint32_t)c, events, events_each, &body);
        *out_seconds += seconds_now() - start;
    }
    cvm_text_finish(&body);
    cvm_packer_destroy(packer);
    return ok;
}

/* One pass over the base; returns a sum that the compiler can not drop, or -1. */
static double compute(const struct base *base, struct cvm_feature_builder *builder,
                      struct cvm_chunk *chunk)
{
    double sum = 0;
    struct cvm_error err;
    cvm_feature_builder_start(builder, chunk);
    for (size_t b = 0; b < base->body_count;) {
        uint32_t customer = base->bodies[b].customer;
        if (chunk->count == chunk->capacity) {
            sum += chunk->features[0];
            cvm_feature_builder_start(builder, chunk);
        }
        cvm_feature_builder_customer(builder, customer);
        for (; b < base->body_count && base->bodies[b].customer == customer; b++) {
            const struct body *body = &base->bodies[b];
            if (cvm_feature_builder_body(builder, body->period, base->bytes.data + body->offset,
                                         body->length, &err) != CVM_OK) {
                fprintf(stderr, "%s\n", err.message);
                return -1;
            }
        }
        if (cvm_feature_builder_customer_end(builder, &err) != CVM_OK) {
            fprintf(stderr, "%s\n", err.message);
            return -1;
        }
    }
    return sum;
}

int main(int argc, char **argv)
{
    size_t customers = argc > 1 ? strtoul(argv[1], NULL, 10) : 50000;
    size_t events_each = argc > 2 ? strtoul(argv[2], NULL, 10) : 25;
    size_t rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 5;
    if (customers == 0 || events_each == 0 || events_each > EVENTS_MAX) {
        fprintf(stderr, "usage: features_bench [CUSTOMERS [EVENTS_PER_CUSTOMER [ROUNDS]]]\n");
        return 2;
    }
    struct shape shape;
    struct base base = {0};
    double pack_seconds = 0;
    struct cvm_feature_program *program = NULL;
    struct cvm_feature_builder *builder = NULL;
    struct cvm_chunk *chunk = NULL;
    int failed = 1;
    make_shape(&shape);
    if (!make_base(&base, customers, events_each, &pack_seconds) ||
        cvm_feature_program_create(&shape.catalogue,
                                   (struct cvm_feature_window){AS_OF_DAY, CVM_DAY_NONE}, &program,
                                   NULL) != CVM_OK ||
        cvm_feature_builder_create(program, &builder, NULL) != CVM_OK ||
        cvm_chunk_create(CVM_CHUNK_SIZE, shape.catalogue.feature_count, &chunk, NULL) != CVM_OK) {
        goto out;
    }
    printf("%zu customers, %zu events, %zu features: %.0f bytes, %.1f bodies per customer\n",
           customers, base.event_count, shape.catalogue.feature_count,
           (double)base.bytes.length / (double)customers,
           (double)base.body_count / (double)customers);
    printf("pack      %8.0f ns per customer %6.1f ns per event\n",
           pack_seconds / (double)customers * 1e9, pack_seconds / (double)base.event_count * 1e9);
    for (size_t round = 0; round < rounds; round++) {
        double start = seconds_now();
        if (compute(&base, builder, chunk) < 0) {
            goto out;
        }
        double seconds = seconds_now() - start;
        printf("features  %8.0f ns per customer %6.1f ns per event\n",
               seconds / (double)customers * 1e9, seconds / (double)base.event_count * 1e9);
    }
    failed = 0;

out:
    cvm_chunk_destroy(chunk);
    cvm_feature_builder_destroy(builder);
    cvm_feature_program_destroy(program);
    cvm_text_finish(&base.bytes);
    free(base.bodies);
    return failed;
}
