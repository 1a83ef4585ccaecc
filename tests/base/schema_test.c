/* schema_test.c - one table checks and fills; each kind of mistake names file, line, key, what was
 * found and what is allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "base/date.h"
#include "base/schema.h"

struct sample {
    const char *id;
    const char *title;
    bool enabled;
    bool has_enabled;
    int64_t max_per_day;
    int64_t any_int;
    double rate;
    double floor;
    int64_t cost_micro;
    int channel;
    int32_t from;
    int64_t pause_ms;
    struct cvm_schema_texts tags;
    const struct cvm_yaml_node *rules;
};

static const char *const channels[] = {"email", "sms", "call", NULL};

static const struct cvm_schema_field fields[] = {
    {"id", CVM_SCHEMA_NAME, offsetof(struct sample, id), .required = true},
    {"title", CVM_SCHEMA_TEXT, offsetof(struct sample, title)},
    {"enabled", CVM_SCHEMA_BOOL, offsetof(struct sample, enabled),
     .present_offset = offsetof(struct sample, has_enabled) + 1},
    {"max_per_day", CVM_SCHEMA_INT, offsetof(struct sample, max_per_day), .min = 0, .max = 1e9},
    {"any_int", CVM_SCHEMA_INT, offsetof(struct sample, any_int)},
    {"rate", CVM_SCHEMA_NUMBER, offsetof(struct sample, rate), .min = 0, .max = 1},
    {"floor", CVM_SCHEMA_NUMBER, offsetof(struct sample, floor), .min = 2, .max = INFINITY},
    {"cost", CVM_SCHEMA_MICRO, offsetof(struct sample, cost_micro), .min = -5, .max = 1000},
    {"channel", CVM_SCHEMA_WORD, offsetof(struct sample, channel), .words = channels},
    {"from", CVM_SCHEMA_DATE, offsetof(struct sample, from)},
    {"pause", CVM_SCHEMA_SPAN, offsetof(struct sample, pause_ms), .min = 2, .max = 86400000},
    {"tags", CVM_SCHEMA_TEXTS, offsetof(struct sample, tags)},
    {"rules", CVM_SCHEMA_NODE, offsetof(struct sample, rules)},
    {NULL},
};

static const struct cvm_schema schema = {"a treatment", fields};

static int set_up(void **state)
{
    *state = cvm_arena_create((size_t)4 << 20);
    return *state == NULL;
}

static int tear_down(void **state)
{
    cvm_arena_destroy(*state);
    return 0;
}

static enum cvm_status read_sample(void **state, const char *text, struct sample *out,
                                   struct cvm_error *err)
{
    const struct cvm_yaml_node *root = NULL;
    if (cvm_yaml_read(*state, "t.yaml", text, strlen(text), &root, err) != CVM_OK) {
        fail_msg("'%s' is no YAML: %s", text, err->message);
    }
    return cvm_schema_read(*state, &schema, root, out, err);
}

static struct sample accept(void **state, const char *text)
{
    struct sample sample = {.max_per_day = 42, .title = "default"};
    struct cvm_error err;
    if (read_sample(state, text, &sample, &err) != CVM_OK) {
        fail_msg("refused '%s': %s", text, err.message);
    }
    return sample;
}

/* `text` is put on line 2 of a good map; `message` is the whole message. */
static void refuse(void **state, const char *text, const char *message)
{
    struct sample sample;
    struct sample untouched;
    struct cvm_error err = {.where = ""};
    char whole[512];
    memset(&sample, 0x5A, sizeof(sample));
    memcpy(&untouched, &sample, sizeof(sample));
    (void)snprintf(whole, sizeof(whole), "id: x\n%s\n", text);
    assert_int_equal(read_sample(state, whole, &sample, &err), CVM_E_INVALID);
    assert_string_equal(err.message, message);
    assert_string_equal(err.where, "t.yaml:2");
    assert_memory_equal(&sample, &untouched, sizeof(sample));
}

static void a_good_map_fills_the_struct(void **state)
{
    struct sample s = accept(state, "id: data_boost.1\ntitle: Data \"boost\"\nenabled: yes\n"
                                    "max_per_day: 1000000000\nany_int: -9223372036854775808\n"
                                    "rate: 2.5e-1\nfloor: 1e300\ncost: 12.345678\nchannel: call\n"
                                    "from: 2024-02-29\ntags: [a, \"12\", b c]\nrules:\n  - x: 1\n");
    assert_string_equal(s.id, "data_boost.1");
    assert_string_equal(s.title, "Data \"boost\"");
    assert_true(s.enabled);
    assert_true(s.has_enabled);
    assert_int_equal(s.max_per_day, 1000000000);
    assert_int_equal(s.any_int, INT64_MIN);
    assert_true(s.rate == 0.25);
    assert_true(s.floor == 1e300);
    assert_int_equal(s.cost_micro, 12345678);
    assert_int_equal(s.channel, 2);
    assert_int_equal(s.from, cvm_day_from_date((struct cvm_date){2024, 2, 29}));
    assert_int_equal(s.tags.count, 3);
    assert_string_equal(s.tags.items[1], "12");
    assert_int_equal(s.rules->type, CVM_YAML_LIST);
}

static void a_span_of_time_has_a_unit(void **state)
{
    assert_int_equal(accept(state, "id: x\npause: 250ms\n").pause_ms, 250);
    assert_int_equal(accept(state, "id: x\npause: 30s\n").pause_ms, 30000);
    assert_int_equal(accept(state, "id: x\npause: 10m\n").pause_ms, 600000);
    assert_int_equal(accept(state, "id: x\npause: 4h\n").pause_ms, 14400000);
    assert_int_equal(accept(state, "id: x\npause: 1d\n").pause_ms, 86400000);
    refuse(state, "pause: 30",
           "key 'pause': found '30', a span of time, like 250ms, 30s, 10m, 4h or 2d, is allowed");
    refuse(state, "pause: -1s",
           "key 'pause': found '-1s', a span of time, like 250ms, 30s, 10m, 4h or 2d, is allowed");
    refuse(state, "pause: 99999999999d",
           "key 'pause': found '99999999999d', a span of time, like 250ms, 30s, 10m, 4h or 2d, is "
           "allowed");
    refuse(state, "pause: 1ms",
           "key 'pause': found '1ms', a span, in milliseconds from 2 to 86400000 is allowed");
}

static void what_is_absent_keeps_its_default(void **state)
{
    struct sample s = accept(state, "id: x\n");
    assert_int_equal(s.max_per_day, 42);
    assert_string_equal(s.title, "default");
    assert_false(s.has_enabled);
    s = accept(state, "id: x\ntitle:\ntags: one\nenabled: Off");
    assert_string_equal(s.title, "");
    assert_int_equal(s.tags.count, 1);
    assert_string_equal(s.tags.items[0], "one");
    assert_false(s.enabled);
    assert_true(s.has_enabled);
    assert_int_equal(accept(state, "id: x\ntags: []\n").tags.count, 0);
    assert_int_equal(accept(state, "id: x\ntags:\n").tags.count, 0);
    assert_string_equal(accept(state, "id: x\ntitle: \"null\"\n").title, "null");
}

static void amounts_are_exact_to_six_decimals(void **state)
{
    assert_int_equal(accept(state, "id: x\ncost: 0.1").cost_micro, 100000);
    assert_int_equal(accept(state, "id: x\ncost: 75.99").cost_micro, 75990000);
    assert_int_equal(accept(state, "id: x\ncost: -0.000001").cost_micro, -1);
    assert_int_equal(accept(state, "id: x\ncost: +1000").cost_micro, 1000000000);
    refuse(state, "cost: 0.1234567",
           "key 'cost': found '0.1234567', an amount with at most 6 decimals is allowed");
    refuse(state, "cost: 1000.000001",
           "key 'cost': found '1000.000001', an amount from -5 to 1000 is allowed");
    refuse(state, "cost: 99999999999999999999",
           "key 'cost': found '99999999999999999999', an amount from -5 to 1000 is allowed");
    refuse(state, "cost: 1e3", "key 'cost': found '1e3', an amount from -5 to 1000 is allowed");
    refuse(state, "cost: 1.", "key 'cost': found '1.', an amount from -5 to 1000 is allowed");
    refuse(state, "cost: .5", "key 'cost': found '.5', an amount from -5 to 1000 is allowed");
    refuse(state, "cost: \"5\"",
           "key 'cost': found text '5', an amount from -5 to 1000 is allowed");
}

static void a_wrong_number_names_what_is_allowed(void **state)
{
    refuse(state, "max_per_day: lots",
           "key 'max_per_day': found 'lots', a whole number from 0 to 1000000000 is allowed");
    refuse(state, "max_per_day: 1.5",
           "key 'max_per_day': found '1.5', a whole number from 0 to 1000000000 is allowed");
    refuse(state, "max_per_day: -1",
           "key 'max_per_day': found '-1', a whole number from 0 to 1000000000 is allowed");
    refuse(state, "max_per_day: 1000000001",
           "key 'max_per_day': found '1000000001', a whole number from 0 to 1000000000 is allowed");
    refuse(state, "max_per_day: \"12\"",
           "key 'max_per_day': found text '12', a whole number from 0 to 1000000000 is allowed");
    refuse(state, "max_per_day:",
           "key 'max_per_day': found nothing, a whole number from 0 to 1000000000 is allowed");
    refuse(state, "max_per_day: [1]",
           "key 'max_per_day': found a list, a whole number from 0 to 1000000000 is allowed");
    refuse(state, "any_int: 9223372036854775808",
           "key 'any_int': found '9223372036854775808', a whole number is allowed");
    refuse(state, "rate: 1.01", "key 'rate': found '1.01', a number from 0 to 1 is allowed");
    refuse(state, "rate: nan", "key 'rate': found 'nan', a number from 0 to 1 is allowed");
    refuse(state, "rate: 0x1", "key 'rate': found '0x1', a number from 0 to 1 is allowed");
    refuse(state, "rate: 1e999", "key 'rate': found '1e999', a number from 0 to 1 is allowed");
    refuse(state, "rate: 1-1", "key 'rate': found '1-1', a number from 0 to 1 is allowed");
    refuse(state, "floor: 1", "key 'floor': found '1', a number, 2 or more, is allowed");
}

static void wrong_words_texts_dates_and_lists_name_what_is_allowed(void **state)
{
    refuse(state, "enabled: maybe", "key 'enabled': found 'maybe', true or false is allowed");
    refuse(state, "enabled: \"true\"",
           "key 'enabled': found text 'true', true or false is allowed");
    refuse(state, "channel: fax", "key 'channel': found 'fax', one of email, sms, call is allowed");
    refuse(state, "channel: emial",
           "key 'channel': found 'emial', one of email, sms, call is "
           "allowed; did you mean 'email'?");
    refuse(state, "channel: {}", "key 'channel': found a map, one of email, sms, call is allowed");
    refuse(state, "title: [x]", "key 'title': found a list, text is allowed");
    refuse(state, "from: 2023-02-29",
           "key 'from': found '2023-02-29', a date that exists, like 2026-03-20, is allowed");
    refuse(state, "from: 2023-02-01T00:00:00Z",
           "key 'from': found '2023-02-01T00:00:00Z', a date that exists, like 2026-03-20, is "
           "allowed");
    refuse(state, "tags: {a: b}", "key 'tags': found a map, a list of texts is allowed");
    refuse(state, "tags: [a, [b]]", "key 'tags': found a list in the list, text is allowed");
    refuse(state, "tags: [a, ~]", "key 'tags': found nothing in the list, text is allowed");
}

static void an_unknown_key_names_the_nearest_known_one(void **state)
{
    struct sample sample;
    struct cvm_error err;
    refuse(state, "max_perday: 5",
           "unknown key 'max_perday' in a treatment; did you mean 'max_per_day'?");
    refuse(state, "Title: 5", "unknown key 'Title' in a treatment; did you mean 'title'?");
    refuse(state, "colour: red", "unknown key 'colour' in a treatment");
    assert_int_equal(read_sample(state, "id: x\ncolour: 1\n", &sample, &err), CVM_E_INVALID);
    assert_non_null(strstr(err.hint, "Known keys: id, title, enabled"));
}

static void a_missing_key_and_a_bad_name_are_refused(void **state)
{
    static const char *const bad[] = {"X",
                                      "1a",
                                      "a-b",
                                      "_a",
                                      "\"\"",
                                      "a b",
                                      ("a2345678901234567890123456789012345678901234567890123456789"
                                       "012345")};
    struct sample sample;
    struct cvm_error err;
    assert_int_equal(read_sample(state, "# none\n\ntitle: x\n", &sample, &err), CVM_E_INVALID);
    assert_string_equal(err.message, "key 'id' is missing in a treatment");
    assert_string_equal(err.where, "t.yaml:3");
    assert_int_equal(read_sample(state, "", &sample, &err), CVM_E_INVALID);
    assert_string_equal(err.message, "key 'id' is missing in a treatment");
    assert_int_equal(read_sample(state, "id:\n", &sample, &err), CVM_E_INVALID);
    assert_string_equal(err.message, "key 'id': found nothing, text is allowed");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "id: %s\n", bad[i]);
        assert_int_equal(read_sample(state, text, &sample, &err), CVM_E_INVALID);
        assert_non_null(strstr(err.message, "a name of at most 64"));
    }
    assert_int_equal(read_sample(state, "- id: x\n", &sample, &err), CVM_E_INVALID);
    assert_string_equal(err.message, "found a list where a treatment is wanted, a map of keys is "
                                     "allowed");
}

static void a_long_value_is_cut_in_the_message(void **state)
{
    struct sample sample;
    struct cvm_error err;
    char text[400] = "id: x\nrate: ";
    size_t length = strlen(text);
    for (int i = 0; i < 150; i++) {
        memcpy(text + length, "\xC3\xA9", 2);
        length += 2;
    }
    text[length] = '\0';
    assert_int_equal(read_sample(state, text, &sample, &err), CVM_E_INVALID);
    assert_non_null(strstr(err.message, "\xC3\xA9'..., a number from 0 to 1 is allowed"));
    assert_true(cvm_utf8_is_valid(err.message, strlen(err.message)));
}

static void scalars_of_their_own_give_the_same_messages(void **state)
{
    const struct cvm_yaml_node *root = NULL;
    struct cvm_error err;
    double number = 7;
    const char *text = "a: 0.5\nb:\n  - 3\n";
    assert_int_equal(cvm_yaml_read(*state, "n.yaml", text, strlen(text), &root, &err), CVM_OK);
    const struct cvm_yaml_node *item = cvm_yaml_member(root, "b")->first_child;
    assert_int_equal(cvm_schema_number(root->first_child, 0, 1, &number, &err), CVM_OK);
    assert_true(number == 0.5);
    assert_int_equal(cvm_schema_number(item, 0, 1, &number, &err), CVM_E_INVALID);
    assert_string_equal(err.message, "found '3', a number from 0 to 1 is allowed");
    assert_string_equal(err.where, "n.yaml:3");
    assert_true(number == 0.5);
    assert_int_equal(cvm_schema_fail(root->first_child, &err, "wants %d", 5), CVM_E_INVALID);
    assert_string_equal(err.message, "key 'a': wants 5");
    assert_int_equal(cvm_schema_fail(root->first_child, NULL, "x"), CVM_E_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_good_map_fills_the_struct),
        TEST(a_span_of_time_has_a_unit),
        TEST(what_is_absent_keeps_its_default),
        TEST(amounts_are_exact_to_six_decimals),
        TEST(a_wrong_number_names_what_is_allowed),
        TEST(wrong_words_texts_dates_and_lists_name_what_is_allowed),
        TEST(an_unknown_key_names_the_nearest_known_one),
        TEST(a_missing_key_and_a_bad_name_are_refused),
        TEST(a_long_value_is_cut_in_the_message),
        TEST(scalars_of_their_own_give_the_same_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
