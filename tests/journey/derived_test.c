/* derived_test.c - features of rules: over other features, over events by any filter, with events
 * that are lent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "../support/config_files.h"
#include "base/date.h"
#include "base/random.h"
#include "journey/features.h"
#include "model/rule_scope.h"

#define AS_OF      19802 /* 2024-03-20 */
#define EVENTS_MAX 256

struct journey {
    struct cvm_packed_event events[EVENTS_MAX];
    struct cvm_packed_cell cells[EVENTS_MAX][4];
    size_t count;
};

struct world {
    struct cvm_arena *arena;
    const struct cvm_catalogue *catalogue;
    struct cvm_packer *packer;
    struct cvm_feature_program *program;
    struct cvm_feature_builder *builder;
    struct cvm_chunk *chunk;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct cvm_error err = {0};
    world->arena = cvm_arena_create((size_t)64 << 20);
    world->packer = cvm_packer_create();
    struct config_files config = config_load(world->arena, 100000);
    assert_int_equal(config_read(world->arena, &config, &world->catalogue, &err), CVM_OK);
    *state = world;
    return 0;
}

static void stop(struct world *world)
{
    cvm_chunk_destroy(world->chunk);
    cvm_feature_builder_destroy(world->builder);
    cvm_feature_program_destroy(world->program);
    world->chunk = NULL;
    world->builder = NULL;
    world->program = NULL;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    stop(world);
    cvm_packer_destroy(world->packer);
    cvm_arena_destroy(world->arena);
    free(world);
    return 0;
}

/* The catalogue's number for what a rule makes. */
static int add_rule(struct world *world, const char *text)
{
    struct cvm_rule rule;
    struct cvm_error err = {0};
    if (cvm_names_compile(world->arena, world->catalogue, text, CVM_RULE_NUMBER, &world->catalogue,
                          &rule, &err) != CVM_OK) {
        fail_msg("%s: %s", text, err.message);
    }
    return rule.clauses[0].whole.operands[0];
}

static void start(struct world *world, const struct cvm_feature_set *needed, size_t capacity)
{
    struct cvm_error err = {0};
    const struct cvm_feature_window window = {AS_OF, CVM_DAY_NONE, needed};
    assert_int_equal(cvm_feature_program_create(world->catalogue, window, &world->program, &err),
                     CVM_OK);
    assert_int_equal(cvm_feature_builder_create(world->program, &world->builder, &err), CVM_OK);
    assert_int_equal(
        cvm_chunk_create(capacity, world->catalogue->feature_count, &world->chunk, &err), CVM_OK);
    cvm_feature_builder_start(world->builder, world->chunk);
}

static double value_of(const struct world *world, int feature, size_t customer)
{
    return world->chunk->features[(size_t)feature * world->chunk->capacity + customer];
}

/* ---- journeys ---- */

static struct cvm_packed_event *add_event(const struct world *world, struct journey *journey,
                                          const char *source, int32_t days_ago)
{
    int s = cvm_catalogue_source(world->catalogue, source);
    assert_true(s >= 0 && journey->count < EVENTS_MAX);
    struct cvm_packed_event *event = &journey->events[journey->count];
    *event = (struct cvm_packed_event){.day = AS_OF - days_ago,
                                       .source = (uint8_t)s,
                                       .rank = (uint8_t)world->catalogue->sources[s].rank,
                                       .identity = journey->count,
                                       .cells = journey->cells[journey->count]};
    journey->count++;
    return event;
}

/* In ascending order of attributes, as the packer wants them. */
static void add_cell(const struct world *world, struct journey *journey, const char *attribute,
                     double value)
{
    struct cvm_packed_event *event = &journey->events[journey->count - 1];
    struct cvm_packed_cell *cells = journey->cells[journey->count - 1];
    int a = cvm_catalogue_attribute(world->catalogue, attribute);
    size_t at = event->cell_count++;
    assert_true(a >= 0 && at < 4);
    for (; at > 0 && cells[at - 1].attribute > a; at--) {
        cells[at] = cells[at - 1];
    }
    cells[at] = (struct cvm_packed_cell){(uint16_t)a, value};
}

static void put_body(struct world *world, const struct journey *journey, int32_t period)
{
    static struct cvm_packed_event events[EVENTS_MAX];
    struct cvm_consent consent;
    struct cvm_error err = {0};
    struct cvm_text body;
    size_t count = 0;
    bool is_profile = period == CVM_PERIOD_PROFILE;
    for (size_t i = 0; i < journey->count; i++) {
        if (!is_profile && cvm_packed_period(journey->events[i].day) == period) {
            events[count++] = journey->events[i];
        }
    }
    if (count == 0 && !is_profile) {
        return;
    }
    cvm_consent_init(&consent);
    cvm_text_init(&body, 0);
    assert_int_equal(cvm_packer_write(world->packer, is_profile ? "U1" : NULL,
                                      is_profile ? &consent : NULL, events, count, &body, &err),
                     CVM_OK);
    assert_int_equal(cvm_feature_builder_body(world->builder, period, body.data, body.length, &err),
                     CVM_OK);
    cvm_text_finish(&body);
}

static void begin_customer(struct world *world, const struct journey *journey, uint64_t key)
{
    cvm_feature_builder_customer(world->builder, key);
    put_body(world, journey, CVM_PERIOD_PROFILE);
    for (int32_t period = cvm_feature_first_period(world->program);
         period <= cvm_feature_last_period(world->program); period++) {
        put_body(world, journey, period);
    }
}

static void end_customer(struct world *world)
{
    struct cvm_error err = {0};
    assert_int_equal(cvm_feature_builder_customer_end(world->builder, &err), CVM_OK);
}

static void lend(struct world *world, const struct cvm_packed_event *event)
{
    struct cvm_error err = {0};
    const struct cvm_feature_event lent = {.source = event->source,
                                           .day = event->day,
                                           .cells = event->cells,
                                           .cell_count = event->cell_count};
    assert_int_equal(cvm_feature_builder_event(world->builder, &lent, &err), CVM_OK);
}

/* ---- rules over features ---- */

/* Customer i of 600: charge i, churn i / 1000; every seventh has no score, every ninth no bill. */
static void a_feature_by_a_rule_is_computed_for_the_whole_chunk(void **state)
{
    struct world *world = *state;
    int value = cvm_catalogue_feature(world->catalogue, "value_12m");
    int high = cvm_catalogue_feature(world->catalogue, "high_value");
    start(world, NULL, 600);
    for (size_t i = 0; i < 600; i++) {
        struct journey journey = {.count = 0};
        if (i % 9 != 0) {
            add_event(world, &journey, "billing_data", 10);
            add_cell(world, &journey, "bill.plan_charge", (double)i);
        }
        if (i % 7 != 0) {
            add_event(world, &journey, "churn_score", 10);
            add_cell(world, &journey, "churn.probability", (double)i / 1000);
        }
        begin_customer(world, &journey, i + 1);
        end_customer(world);
    }
    cvm_feature_builder_end(world->builder);
    for (size_t i = 0; i < 600; i++) {
        bool is_known = i % 9 != 0 && i % 7 != 0;
        double expected = (double)i * 0.55 * 12 * (1 - (double)i / 1000);
        if (is_known) {
            assert_true(value_of(world, value, i) == expected);
        } else {
            assert_true(isnan(value_of(world, value, i)));
        }
        assert_true(value_of(world, high, i) == (is_known && expected >= 400 ? 1 : 0));
    }
}

static void only_what_is_needed_is_computed(void **state)
{
    struct world *world = *state;
    struct cvm_feature_set needed = {{0}};
    int high = cvm_catalogue_feature(world->catalogue, "high_value");
    int charge = cvm_catalogue_feature(world->catalogue, "plan_charge");
    cvm_feature_set_add(&needed, world->catalogue, (size_t)high);
    struct journey journey = {.count = 0};
    add_event(world, &journey, "billing_data", 10);
    add_cell(world, &journey, "bill.plan_charge", 100);
    add_event(world, &journey, "churn_score", 10);
    add_cell(world, &journey, "churn.probability", 0.25);
    start(world, &needed, 1);
    begin_customer(world, &journey, 1);
    end_customer(world);
    cvm_feature_builder_end(world->builder);
    assert_true(value_of(world, high, 0) == 1);
    assert_true(value_of(world, charge, 0) == 100);
    assert_true(isnan(value_of(world, cvm_catalogue_feature(world->catalogue, "events"), 0)));
    assert_true(isnan(value_of(world, cvm_catalogue_feature(world->catalogue, "bill_total"), 0)));
    size_t count = 0;
    for (size_t f = 0; f < world->catalogue->feature_count; f++) {
        count += needed.bits[f / 64] >> f % 64 & 1;
    }
    assert_int_equal(count, 4); /* high_value, value_12m, plan_charge, churn_90d */
}

/* ---- filters ---- */

/* 0 negative, 1 neutral, 2 positive; NaN = not there */
struct call {
    double sentiment;
    double minutes;
    bool has_topic;
};

static bool passes(const struct call *call)
{
    return call->sentiment == 0 ||
           (call->minutes > 20 && call->has_topic && !isnan(call->sentiment)) ||
           call->minutes * 2 == 10;
}

static void a_filter_of_events_may_be_any_rule(void **state)
{
    struct world *world = *state;
    struct cvm_random random;
    int counted =
        add_rule(world, "count(call_transcripts, contact.sentiment == 'negative' || "
                        "contact.minutes > 20 && topic == 'price' && has(contact.sentiment) || "
                        "contact.minutes * 2 == 10)");
    int simple_too = add_rule(world, "sum(contact.minutes, contact.minutes >= 5 && "
                                     "(contact.sentiment != 'negative' || topic == 'price'))");
    unsigned topic = 0;
    while (strcmp(world->catalogue->topics[topic].name, "price") != 0) {
        topic++;
    }
    cvm_random_init(&random, 5);
    for (int round = 0; round < 50; round++) {
        struct journey journey = {.count = 0};
        int expected = 0;
        double sum = 0;
        size_t events = cvm_random_below(&random, 200);
        for (size_t i = 0; i < events; i++) {
            struct call call = {NAN, NAN, cvm_random_below(&random, 2) == 0};
            struct cvm_packed_event *event =
                add_event(world, &journey, "call_transcripts", (int32_t)(399 - i));
            event->topics = call.has_topic ? UINT32_C(1) << topic : UINT32_C(1) << (topic + 1);
            if (cvm_random_below(&random, 3) > 0) {
                call.sentiment = (double)cvm_random_below(&random, 3);
                add_cell(world, &journey, "contact.sentiment", call.sentiment);
            }
            if (cvm_random_below(&random, 3) > 0) {
                call.minutes = (double)cvm_random_below(&random, 40);
                add_cell(world, &journey, "contact.minutes", call.minutes);
            }
            expected += passes(&call) ? 1 : 0;
            bool is_summed = call.minutes >= 5 && (call.sentiment > 0 || call.has_topic);
            sum += is_summed ? call.minutes : 0;
        }
        start(world, NULL, 1);
        begin_customer(world, &journey, 1);
        end_customer(world);
        assert_true(value_of(world, counted, 0) == expected);
        assert_true(value_of(world, simple_too, 0) == sum);
        stop(world);
    }
}

static void codes_are_compared_by_their_text(void **state)
{
    struct world *world = *state;
    int premium = add_rule(world, "count(billing_data, bill.plan_name in ['Premium', 'Gold'])");
    struct journey journey = {.count = 0};
    const char *plans[] = {"Premium", "Basic", "Gold", "premium"};
    for (int i = 0; i < 4; i++) {
        add_event(world, &journey, "billing_data", 40 - i);
        add_cell(world, &journey, "bill.plan_name", cvm_rule_code(plans[i], strlen(plans[i])));
    }
    start(world, NULL, 1);
    begin_customer(world, &journey, 1);
    end_customer(world);
    assert_true(value_of(world, premium, 0) == 2);
    assert_true(value_of(world, cvm_catalogue_feature(world->catalogue, "plan_name"), 0) ==
                cvm_rule_code("premium", 7));
}

/* ---- lent events ---- */

static void assert_same_features(const struct world *world, size_t a, size_t b)
{
    for (size_t f = 0; f < world->catalogue->feature_count; f++) {
        double x = value_of(world, (int)f, a);
        double y = value_of(world, (int)f, b);
        if (x != y && !(isnan(x) && isnan(y))) {
            fail_msg("%s: %g and %g", world->catalogue->features[f].name, x, y);
        }
    }
}

/* Contacts on as many different days; some are in the body, the others lent: all features are those
 * of a body with all of them. */
static void a_lent_event_counts_as_if_it_were_in_the_journey(void **state)
{
    static const char *const actions[] = {"retention_offer", "upgrade"};
    struct world *world = *state;
    struct cvm_random random;
    (void)add_rule(world,
                   "last(outreach.action, outreach.purpose == 'marketing') == 'upgrade' ? 1 : 0");
    (void)add_rule(world, "first(outreach.channel, 200) == 'sms' ? 1 : 0");
    (void)add_rule(world, "last(outreach.channel) == 'sms' ? 1 : 0");
    (void)add_rule(world, "count(contact_history, 60, outreach.action == 'upgrade' || "
                          "outreach.channel == 'call')");
    (void)add_rule(world, "days_since(contact_history, outreach.action == 'retention_offer')");
    cvm_random_init(&random, 9);
    for (int round = 0; round < 100; round++) {
        struct journey all = {.count = 0};
        struct journey some = {.count = 0};
        struct cvm_packed_event lent[EVENTS_MAX];
        size_t lent_count = 0;
        size_t events = cvm_random_below(&random, round < 50 ? 20 : 200);
        for (size_t i = 0; i < events; i++) {
            const char *action = actions[cvm_random_below(&random, 2)];
            add_event(world, &all, "contact_history", (int32_t)(420 - 2 * i));
            add_cell(world, &all, "outreach.channel", (double)cvm_random_below(&random, 4));
            add_cell(world, &all, "outreach.purpose", (double)cvm_random_below(&random, 3));
            if (cvm_random_below(&random, 4) > 0) {
                add_cell(world, &all, "outreach.action", cvm_rule_code(action, strlen(action)));
            }
            if (cvm_random_below(&random, 4) == 0) {
                lent[lent_count++] = all.events[i];
            } else {
                some.events[some.count] = all.events[i];
                memcpy(some.cells[some.count], all.cells[i], sizeof(all.cells[i]));
                some.events[some.count].cells = some.cells[some.count];
                some.count++;
            }
        }
        start(world, NULL, 2);
        begin_customer(world, &all, 1);
        end_customer(world);
        begin_customer(world, &some, 2);
        for (size_t i = 0; i < lent_count; i++) {
            lend(world, &lent[i]);
        }
        end_customer(world);
        cvm_feature_builder_end(world->builder);
        assert_same_features(world, 0, 1);
        stop(world);
    }
}

static void a_lent_event_outside_the_history_is_not_seen(void **state)
{
    struct world *world = *state;
    int events = cvm_catalogue_feature(world->catalogue, "events");
    struct journey none = {.count = 0};
    struct journey lent = {.count = 0};
    struct cvm_error err = {0};
    add_event(world, &lent, "contact_history", -1);
    add_event(world, &lent, "contact_history", 400);
    add_event(world, &lent, "contact_history", 0);
    add_event(world, &lent, "contact_history", 399);
    start(world, NULL, 2);
    begin_customer(world, &none, 1);
    for (size_t i = 0; i < lent.count; i++) {
        lend(world, &lent.events[i]);
    }
    const struct cvm_feature_event unknown = {.source = 64, .day = AS_OF};
    assert_int_equal(cvm_feature_builder_event(world->builder, &unknown, &err), CVM_E_INVALID);
    end_customer(world);
    begin_customer(world, &none, 2);
    end_customer(world);
    assert_true(value_of(world, events, 0) == 2);
    assert_true(value_of(world, events, 1) == 0); /* nothing is left of the customer before */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_feature_by_a_rule_is_computed_for_the_whole_chunk, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(only_what_is_needed_is_computed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_filter_of_events_may_be_any_rule, set_up, tear_down),
        cmocka_unit_test_setup_teardown(codes_are_compared_by_their_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lent_event_counts_as_if_it_were_in_the_journey, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_lent_event_outside_the_history_is_not_seen, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
