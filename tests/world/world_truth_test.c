/* The truth behind a world, and the outcomes that it plays. */
#include "world/world.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/json_reader.h"

#define UNTIL         19884
#define CUSTOMERS     20000
#define GOLDEN_TRUTH  0xfa063193db73392dU
#define MARKETING     1
#define EARLY_UPGRADE 7

static const struct cvm_world_options standard = {
    .customers = CUSTOMERS, .events_per_customer = 25, .seed = 1, .until_day = UNTIL};

static size_t treatment_count(void)
{
    size_t count = 0;
    while (cvm_world_treatments[count] != NULL) {
        count++;
    }
    return count;
}

static void the_truth_is_the_same_on_every_machine(void **state)
{
    (void)state;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_world_truth_header(&text);
    for (int64_t i = 0; i < 100; i++) {
        cvm_world_truth_rows(&standard, i, &text);
    }
    assert_false(text.failed);
    assert_int_equal(cvm_hash(text.data, text.length), GOLDEN_TRUTH);
    cvm_text_finish(&text);
}

static void a_table_has_a_row_of_eleven_fields_for_every_treatment(void **state)
{
    (void)state;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_world_truth_header(&text);
    cvm_world_truth_rows(&standard, 5, &text);
    size_t lines = 0;
    size_t commas = 0;
    for (size_t i = 0; i < text.length; i++) {
        lines += text.data[i] == '\n';
        commas += text.data[i] == ',';
    }
    assert_int_equal(lines, treatment_count() + 1);
    assert_int_equal(commas, 10 * lines);
    assert_non_null(strstr(text.data, "\nC0000000005,ignore,"));
    cvm_text_finish(&text);
}

static void doing_nothing_is_worth_nothing(void **state)
{
    (void)state;
    assert_string_equal(cvm_world_treatments[0], "ignore");
    for (int64_t i = 0; i < 100; i++) {
        struct cvm_world_truth truth;
        cvm_world_truth(&standard, i, 0, &truth);
        assert_true(truth.churn > 0.0 && truth.churn < 1.0);
        assert_true(truth.value == 0.0 && truth.reach == 0.0 && truth.accept == 0.0);
        assert_true(truth.margin > 0.0 && truth.worth > truth.margin);
    }
}

static void every_truth_is_made_of_probabilities_that_agree(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 2000; i++) {
        struct cvm_world_truth nothing;
        cvm_world_truth(&standard, i, 0, &nothing);
        for (size_t t = 1; t < treatment_count(); t++) {
            struct cvm_world_truth truth;
            cvm_world_truth(&standard, i, t, &truth);
            assert_true(truth.reach > 0.0 && truth.reach < 1.0);
            assert_true(truth.accept >= 0.0 && truth.accept < 1.0);
            double reached = nothing.churn * (1.0 - truth.churn_cut);
            assert_true(reached > 0.0 && reached < 1.0);
            double average = truth.reach * reached + (1.0 - truth.reach) * nothing.churn;
            assert_true(fabs(average - truth.churn) < 1e-12);
            assert_true(truth.worth == nothing.worth && truth.margin == nothing.margin);
        }
    }
}

static void value_is_the_formula_of_the_action_value(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 500; i++) {
        struct cvm_world_truth nothing;
        struct cvm_world_truth truth;
        cvm_world_truth(&standard, i, 0, &nothing);
        cvm_world_truth(&standard, i, EARLY_UPGRADE, &truth);
        double months = truth.worth / truth.margin;
        double value =
            truth.reach * (nothing.churn * truth.churn_cut * truth.worth +
                           truth.accept * (truth.extra_margin * months - truth.incentive)) -
            0.30 - 0.03;
        assert_true(fabs(value - truth.value) < 1e-9);
        assert_true(fabs(truth.incentive - 3.0 * truth.margin) < 1e-9);
    }
}

static void effects_differ_between_customers_and_may_hurt(void **state)
{
    (void)state;
    int64_t negative = 0;
    double least = 1.0;
    double most = 0.0;
    for (int64_t i = 0; i < CUSTOMERS; i++) {
        struct cvm_world_truth truth;
        cvm_world_truth(&standard, i, MARKETING, &truth);
        negative += truth.churn_cut < 0.0;
        least = truth.accept < least ? truth.accept : least;
        most = truth.accept > most ? truth.accept : most;
    }
    assert_in_range(negative, CUSTOMERS / 200, CUSTOMERS / 3);
    assert_true(most > 4.0 * least);
}

static void parameters_differ_between_worlds(void **state)
{
    (void)state;
    double cut[2] = {0};
    for (int w = 0; w < 2; w++) {
        struct cvm_world_options options = standard;
        options.seed = (uint64_t)w + 10;
        for (int64_t i = 0; i < 2000; i++) {
            struct cvm_world_truth truth;
            cvm_world_truth(&options, i, MARKETING, &truth);
            cut[w] += truth.churn_cut / 2000.0;
        }
    }
    assert_true(fabs(cut[0] - cut[1]) > .01);
}

static size_t count_of(const struct cvm_text *text, const char *state)
{
    char needle[64] = "\"state\":\"";
    strncat(needle, state, 20);
    strncat(needle, "\"", 2);
    size_t count = 0;
    for (const char *at = cvm_text_string(text); (at = strstr(at, needle)) != NULL; at++) {
        count++;
    }
    return count;
}

static void check_frequency(const char *what, size_t found, double expected, double variance)
{
    double distance = fabs((double)found - expected);
    if (distance > 4.0 * sqrt(variance) + 1.0) {
        fail_msg("%s: %zu, expected %g, sd %g", what, found, expected, sqrt(variance));
    }
}

static void outcomes_happen_as_often_as_the_truth_says(void **state)
{
    (void)state;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    double mean[3] = {0};
    double variance[3] = {0};
    for (int64_t i = 0; i < CUSTOMERS; i++) {
        char id[CVM_WORLD_ID_SIZE];
        cvm_world_customer_id(i, id);
        struct cvm_world_truth truth;
        cvm_world_truth(&standard, i, MARKETING, &truth);
        struct cvm_world_decision decision = {"D1", id, "marketing_call_back", UNTIL};
        cvm_world_respond(7, &decision, &truth, &text);
        const double p[3] = {truth.reach, truth.reach * truth.accept, truth.churn};
        for (int k = 0; k < 3; k++) {
            mean[k] += p[k];
            variance[k] += p[k] * (1.0 - p[k]);
        }
    }
    assert_int_equal(count_of(&text, "sent"), CUSTOMERS);
    assert_int_equal(count_of(&text, "delivered"), CUSTOMERS);
    assert_int_equal(count_of(&text, "reached") + count_of(&text, "no_answer"), CUSTOMERS);
    assert_int_equal(count_of(&text, "accepted") + count_of(&text, "declined"),
                     count_of(&text, "reached"));
    assert_int_equal(count_of(&text, "churned") + count_of(&text, "stayed"), CUSTOMERS);
    check_frequency("reached", count_of(&text, "reached"), mean[0], variance[0]);
    check_frequency("accepted", count_of(&text, "accepted"), mean[1], variance[1]);
    check_frequency("churned", count_of(&text, "churned"), mean[2], variance[2]);
    cvm_text_finish(&text);
}

static void only_who_is_reached_is_kept_by_a_treatment(void **state)
{
    (void)state;
    struct cvm_text with;
    struct cvm_text without;
    cvm_text_init(&with, 0);
    cvm_text_init(&without, 0);
    size_t saved = 0;
    for (int64_t i = 0; i < CUSTOMERS; i++) {
        char id[CVM_WORLD_ID_SIZE];
        cvm_world_customer_id(i, id);
        struct cvm_world_truth nothing = {.churn = .3};
        struct cvm_world_truth truth = {.reach = .4, .accept = .2, .churn_cut = .5};
        truth.churn = nothing.churn * (1.0 - truth.reach * truth.churn_cut);
        struct cvm_world_decision decision = {"D1", id, "retention_sms", UNTIL};
        cvm_text_clear(&with);
        cvm_world_respond(7, &decision, &truth, &with);
        decision.treatment = "ignore";
        cvm_text_clear(&without);
        cvm_world_respond(7, &decision, &nothing, &without);
        bool was_reached = count_of(&with, "reached") == 1;
        if (!was_reached) {
            assert_int_equal(count_of(&with, "churned"), count_of(&without, "churned"));
        }
        assert_true(count_of(&with, "churned") <= count_of(&without, "churned"));
        saved += count_of(&without, "churned") - count_of(&with, "churned");
    }
    check_frequency("saved", saved, CUSTOMERS * .3 * .4 * .5, CUSTOMERS * .06 * .94);
    cvm_text_finish(&with);
    cvm_text_finish(&without);
}

static void two_treatments_of_one_customer_share_their_random_numbers(void **state)
{
    (void)state;
    struct cvm_text a;
    struct cvm_text b;
    cvm_text_init(&a, 0);
    cvm_text_init(&b, 0);
    struct cvm_world_truth low = {.churn = .2, .reach = .3, .accept = .1};
    struct cvm_world_truth high = {.churn = .2, .reach = .6, .accept = .4};
    for (int64_t i = 0; i < 3000; i++) {
        char id[CVM_WORLD_ID_SIZE];
        cvm_world_customer_id(i, id);
        cvm_text_clear(&a);
        cvm_text_clear(&b);
        cvm_world_respond(7, &(struct cvm_world_decision){"D1", id, "retention_email", UNTIL}, &low,
                          &a);
        cvm_world_respond(7, &(struct cvm_world_decision){"D2", id, "personalized_offer", UNTIL},
                          &high, &b);
        assert_true(count_of(&a, "reached") <= count_of(&b, "reached"));
        assert_true(count_of(&a, "accepted") <= count_of(&b, "accepted"));
        assert_int_equal(count_of(&a, "churned"), count_of(&b, "churned"));
    }
    cvm_text_finish(&a);
    cvm_text_finish(&b);
}

static void an_outcome_is_a_valid_record_whatever_the_ids(void **state)
{
    (void)state;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    struct cvm_world_truth truth = {.churn = .2, .reach = 1.0, .accept = 1.0};
    struct cvm_world_decision decision = {"D\"1\n", "a\\b\"", "service_call_back", UNTIL};
    cvm_world_respond(7, &decision, &truth, &text);
    decision.treatment = NULL;
    cvm_world_respond(7, &decision, &truth, &text);
    struct cvm_json_reader *reader = cvm_json_reader_create(65536);
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    const char *at = cvm_text_string(&text);
    int lines = 0;
    for (const char *end = NULL; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        const struct cvm_json_value *value = NULL;
        assert_int_equal(cvm_json_read(reader, arena, at, (size_t)(end - at), false, &value, NULL),
                         CVM_OK);
        assert_true(cvm_slice_equals(cvm_json_member(value, "decision_id")->string, "D\"1\n"));
        assert_true(cvm_slice_equals(cvm_json_member(value, "customer_id")->string, "a\\b\""));
        lines++;
    }
    assert_int_equal(lines, 6); /* sent, delivered, reached, accepted, churn; churn */
    cvm_arena_destroy(arena);
    cvm_json_reader_destroy(reader);
    cvm_text_finish(&text);
}

static void a_service_that_cannot_be_accepted_ends_with_being_reached(void **state)
{
    (void)state;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    struct cvm_world_truth truth = {.churn = .2, .reach = 1.0};
    struct cvm_world_decision decision = {"D1", "C1", "service_sms", UNTIL};
    cvm_world_respond(7, &decision, &truth, &text);
    assert_int_equal(count_of(&text, "reached"), 1);
    assert_int_equal(count_of(&text, "accepted") + count_of(&text, "declined"), 0);
    cvm_text_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_truth_is_the_same_on_every_machine),
        cmocka_unit_test(a_table_has_a_row_of_eleven_fields_for_every_treatment),
        cmocka_unit_test(doing_nothing_is_worth_nothing),
        cmocka_unit_test(every_truth_is_made_of_probabilities_that_agree),
        cmocka_unit_test(value_is_the_formula_of_the_action_value),
        cmocka_unit_test(effects_differ_between_customers_and_may_hurt),
        cmocka_unit_test(parameters_differ_between_worlds),
        cmocka_unit_test(outcomes_happen_as_often_as_the_truth_says),
        cmocka_unit_test(only_who_is_reached_is_kept_by_a_treatment),
        cmocka_unit_test(two_treatments_of_one_customer_share_their_random_numbers),
        cmocka_unit_test(an_outcome_is_a_valid_record_whatever_the_ids),
        cmocka_unit_test(a_service_that_cannot_be_accepted_ends_with_being_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
