#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/date.h"
#include "journey/summary.h"

static const char *const plans[] = {"prepaid", "contract", NULL};
static const struct cvm_rule_clause bills_above_2 = {
    .whole = {.is_simple = true, .comparison = {.operand = 0, .compare = CVM_GREATER, .value = 2}}};
static const struct cvm_rule_clause is_contract = {
    .whole = {.is_simple = true, .comparison = {.operand = 1, .compare = CVM_EQUAL, .value = 1}}};

static struct cvm_attribute attributes[] = {{.type = CVM_ATTRIBUTE_NUMBER},
                                            {.type = CVM_ATTRIBUTE_WORD, .words = plans},
                                            {.type = CVM_ATTRIBUTE_DATE},
                                            {.type = CVM_ATTRIBUTE_BOOLEAN}};
static struct cvm_feature features[] = {
    {.name = "bills", .attribute = CVM_INDEX_NONE, .aggregate = CVM_AGGREGATE_COUNT},
    {.name = "plan", .attribute = 1, .aggregate = CVM_AGGREGATE_LAST, .words = plans},
    {.name = "contract_end", .attribute = 2, .aggregate = CVM_AGGREGATE_LAST},
    {.name = "is_active", .attribute = 3, .aggregate = CVM_AGGREGATE_LAST},
    {.name = "bill.average", .attribute = 0, .aggregate = CVM_AGGREGATE_AVG},
};
static struct cvm_summary_line lines[] = {
    {.group = 0,
     .when = {.clauses = &bills_above_2, .clause_count = 1},
     .sentence = "{bills} bills."},
    {.group = 0, .when = {0}, .sentence = "Few bills."},
    {.group = 1, .when = {.clauses = &is_contract, .clause_count = 1}, .sentence = "On {plan}."},
};
static struct cvm_insight insights[] = {
    {.name = "many_bills",
     .when = {.clauses = &bills_above_2, .clause_count = 1},
     .sentence = "{bills} bills of {bill.average}"},
    {.name = "contract", .when = {.clauses = &is_contract, .clause_count = 1}, .sentence = "Bound"},
};
static const struct cvm_catalogue catalogue = {.attributes = attributes,
                                               .attribute_count = 4,
                                               .features = features,
                                               .feature_count = 5,
                                               .summary_lines = lines,
                                               .summary_line_count = 3,
                                               .insights = insights,
                                               .insight_count = 2};

static void assert_format(size_t feature, double value, const char *expected)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_feature_format(&catalogue, feature, value, &text);
    assert_string_equal(cvm_text_string(&text), expected);
    cvm_text_finish(&text);
}

static void numbers_have_at_most_two_decimals_and_no_trailing_zeros(void **state)
{
    (void)state;
    assert_format(4, 20, "20");
    assert_format(4, 75.99, "75.99");
    assert_format(4, 0.5, "0.5");
    assert_format(4, 1.0 / 3, "0.33");
    assert_format(4, -2.05, "-2.05");
    assert_format(4, -0.001, "0");
    assert_format(4, -0.0, "0");
    assert_format(4, 0.999, "1");
    assert_format(4, 1e300, "1e+300");
    assert_format(4, (double)INFINITY, "inf");
}

static void words_dates_and_truth_values_are_written_as_such_and_missing_is_unknown(void **state)
{
    (void)state;
    assert_format(1, 0, "prepaid");
    assert_format(1, 1, "contract");
    assert_format(1, 7, "7");
    assert_format(1, (double)NAN, "unknown");
    assert_format(2, cvm_day_from_date((struct cvm_date){2024, 2, 29}), "2024-02-29");
    assert_format(3, 1, "yes");
    assert_format(3, 0, "no");
    assert_format(0, (double)NAN, "unknown");
}

static bool lookup_x(const void *state, struct cvm_slice name, struct cvm_text *out)
{
    (void)state;
    if (cvm_slice_equals(name, "x")) {
        cvm_text_add(out, "found");
        return true;
    }
    return false;
}

static void assert_sentence(const char *sentence, const char *expected)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_sentence_write(sentence, lookup_x, NULL, &text);
    assert_string_equal(cvm_text_string(&text), expected);
    cvm_text_finish(&text);
}

static void names_in_braces_are_replaced_and_unknown_ones_stay(void **state)
{
    (void)state;
    assert_sentence("a {x} b", "a found b");
    assert_sentence("{x}{x}", "foundfound");
    assert_sentence("{y} {x}", "{y} found");
    assert_sentence("{{x}}", "{found}");
    assert_sentence("{x", "{x");
    assert_sentence("x}", "x}");
    assert_sentence("{}", "{}");
    assert_sentence("{", "{");
    assert_sentence("", "");
}

static void a_summary_takes_the_first_line_of_each_group_that_holds(void **state)
{
    (void)state;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    /* A stride, as in a chunk. */
    double many[] = {3, -1, 1, -1, NAN, -1, NAN, -1, 20.5, -1};
    cvm_journey_summary(&catalogue, (struct cvm_feature_values){many, 2}, &text);
    assert_string_equal(cvm_text_string(&text), "3 bills. On contract.");
    double few[] = {2, 0, NAN, NAN, NAN};
    cvm_text_clear(&text);
    cvm_journey_summary(&catalogue, (struct cvm_feature_values){few, 1}, &text);
    assert_string_equal(cvm_text_string(&text), "Few bills.");
    cvm_text_finish(&text);
}

static void insights_are_those_whose_threshold_is_crossed_in_catalogue_order(void **state)
{
    (void)state;
    struct cvm_arena *arena = cvm_arena_create(1 << 16);
    struct cvm_journey_insight *found = NULL;
    size_t count = 0;
    struct cvm_error err;
    double both[] = {3, 1, NAN, NAN, 20.5};
    assert_int_equal(cvm_journey_insights(&catalogue, (struct cvm_feature_values){both, 1}, arena,
                                          &found, &count, &err),
                     CVM_OK);
    assert_int_equal(count, 2);
    assert_ptr_equal(found[0].insight, &insights[0]);
    assert_string_equal(found[0].sentence, "3 bills of 20.5");
    assert_string_equal(found[1].sentence, "Bound");
    double none[] = {NAN, NAN, NAN, NAN, NAN};
    assert_int_equal(cvm_journey_insights(&catalogue, (struct cvm_feature_values){none, 1}, arena,
                                          &found, &count, &err),
                     CVM_OK);
    assert_int_equal(count, 0);
    cvm_arena_destroy(arena);
}

static void insights_survive_the_failure_of_each_allocation(void **state)
{
    (void)state;
    double both[] = {3, 1, NAN, NAN, 20.5};
    enum cvm_status status = CVM_E_LIMIT;
    for (size_t budget = 1; status == CVM_E_LIMIT; budget += 16) {
        struct cvm_arena *arena = cvm_arena_create(budget);
        struct cvm_journey_insight *found = NULL;
        size_t count = 99;
        assert_non_null(arena);
        status = cvm_journey_insights(&catalogue, (struct cvm_feature_values){both, 1}, arena,
                                      &found, &count, NULL);
        assert_true(status == CVM_OK || (found == NULL && count == 99));
        cvm_arena_destroy(arena);
        assert_true(budget < 1 << 20);
    }
    assert_int_equal(status, CVM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_at_most_two_decimals_and_no_trailing_zeros),
        cmocka_unit_test(words_dates_and_truth_values_are_written_as_such_and_missing_is_unknown),
        cmocka_unit_test(names_in_braces_are_replaced_and_unknown_ones_stay),
        cmocka_unit_test(a_summary_takes_the_first_line_of_each_group_that_holds),
        cmocka_unit_test(insights_are_those_whose_threshold_is_crossed_in_catalogue_order),
        cmocka_unit_test(insights_survive_the_failure_of_each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
