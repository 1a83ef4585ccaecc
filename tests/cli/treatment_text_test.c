#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cli/treatment_text.h"

#define OPEN_CHANNEL CVM_CHANNEL_UNSET
#define OPEN_PURPOSE CVM_PURPOSE_UNSET

/* What is expected of a text: NULL = not named. */
struct expected {
    const char *text;
    const char *limit;
    const char *priority;
    const char *cost;
    enum cvm_channel channel;
    enum cvm_purpose purpose;
};

static bool is_same_text(const char *found, const char *wanted)
{
    return found == NULL || wanted == NULL ? found == wanted : strcmp(found, wanted) == 0;
}

static void check(const struct expected *cases, size_t count)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    for (size_t i = 0; i < count; i++) {
        const struct expected *wanted = &cases[i];
        struct cvm_treatment_text found;
        struct cvm_error err;
        assert_int_equal(cvm_treatment_text_read(arena, wanted->text, &found, &err), CVM_OK);
        bool is_same = is_same_text(found.max_per_day, wanted->limit) &&
                       is_same_text(found.priority, wanted->priority) &&
                       is_same_text(found.cost, wanted->cost) && found.channel == wanted->channel &&
                       found.purpose == wanted->purpose;
        if (!is_same) {
            print_message("%s\n  limit %s priority %s cost %s channel %s purpose %s\n%s--\n%s",
                          wanted->text, found.max_per_day, found.priority, found.cost,
                          cvm_channel_words[found.channel], cvm_purpose_words[found.purpose],
                          cvm_text_string(&found.taken), cvm_text_string(&found.not_taken));
        }
        assert_true(is_same);
        cvm_treatment_text_finish(&found);
    }
    cvm_arena_destroy(arena);
}
#define CHECK(cases) check((cases), sizeof(cases) / sizeof((cases)[0]))

static void numbers_count_only_with_their_keyword(void **state)
{
    static const struct expected cases[] = {
        {"Send personalized video with limit 10 and priority 2", "10", "2", NULL, OPEN_CHANNEL,
         OPEN_PURPOSE},
        {"Give 5 GB for 3 months to 200 families", NULL, NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video, at most 20 per day", "20", NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video, no more than 1,500 customers a day", "1500", NULL, NULL, OPEN_CHANNEL,
         OPEN_PURPOSE},
        {"Video up to 50 GB, max 7", "7", NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video with a limit of 50 GB", NULL, NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video limit 10GB", NULL, NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video limit 10 per week", NULL, NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video at most 3", NULL, NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video for high priority customers", NULL, NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video 12 per day", NULL, NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video max_per_day: 5, priority=3", "5", "3", NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Limit 8. Limit 9.", "8", NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video limited to 4 a day", "4", NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video limit -5", "-5", NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE}, /* refused later */
    };
    (void)state;
    CHECK(cases);
}

static void money_is_a_cost_only_when_it_is_said_to_be(void **state)
{
    static const struct expected cases[] = {
        {"Video costs 0.50", NULL, NULL, "0.50", OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video at a cost of \u00a30.50 per contact", NULL, NULL, "0.50", OPEN_CHANNEL,
         OPEN_PURPOSE},
        {"Video, \u20ac2 per message", NULL, NULL, "2", OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video, cost 0,50", NULL, NULL, "0.50", OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video with $15 credit", NULL, NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video costs 20 per month", NULL, NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Low cost video, limit 3", "3", NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
        {"Video cost 3 GB", NULL, NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
    };
    (void)state;
    CHECK(cases);
}

static void channel_and_purpose_are_known_by_words(void **state)
{
    static const struct expected cases[] = {
        {"Call customers with a discount", NULL, NULL, NULL, CVM_CHANNEL_CALL,
         CVM_PURPOSE_MARKETING},
        {"Send an e-mail about the invoice", NULL, NULL, NULL, CVM_CHANNEL_EMAIL,
         CVM_PURPOSE_BILLING},
        {"Text message when a fault is repaired", NULL, NULL, NULL, CVM_CHANNEL_SMS,
         CVM_PURPOSE_SERVICE},
        {"Push notification with an upgrade", NULL, NULL, NULL, CVM_CHANNEL_PUSH,
         CVM_PURPOSE_MARKETING},
        {"Offer by phone a new handset", NULL, NULL, NULL, CVM_CHANNEL_CALL, CVM_PURPOSE_MARKETING},
        {"Offer a new phone", NULL, NULL, NULL, OPEN_CHANNEL, CVM_PURPOSE_MARKETING},
        {"Email customers with dropped calls and bad call quality, technical help", NULL, NULL,
         NULL, CVM_CHANNEL_EMAIL, CVM_PURPOSE_SERVICE},
        {"Push customers to read the text of the contract", NULL, NULL, NULL, OPEN_CHANNEL,
         OPEN_PURPOSE},
        {"Pushover callers smsing", NULL, NULL, NULL, OPEN_CHANNEL, OPEN_PURPOSE},
    };
    (void)state;
    CHECK(cases);
}

static void what_is_negated_or_quoted_is_not_taken(void **state)
{
    static const struct expected cases[] = {
        {"Discount by sms, no email", NULL, NULL, NULL, CVM_CHANNEL_SMS, CVM_PURPOSE_MARKETING},
        {"No email, sms or push: a discount by call", NULL, NULL, NULL, CVM_CHANNEL_CALL,
         CVM_PURPOSE_MARKETING},
        {"Not by email but by sms", NULL, NULL, NULL, CVM_CHANNEL_SMS, OPEN_PURPOSE},
        {"Say \"call us, limit 5\" in an email", NULL, NULL, NULL, CVM_CHANNEL_EMAIL, OPEN_PURPOSE},
        {"Say \u2018call us\u2019 by sms; don't sell", NULL, NULL, NULL, CVM_CHANNEL_SMS,
         OPEN_PURPOSE},
        {"No limit sms about the bill", NULL, NULL, NULL, CVM_CHANNEL_SMS, CVM_PURPOSE_BILLING},
        {"Repair help by sms, without any offer", NULL, NULL, NULL, CVM_CHANNEL_SMS,
         CVM_PURPOSE_SERVICE},
    };
    (void)state;
    CHECK(cases);
}

static void of_several_candidates_both_are_told(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_treatment_text found;
    struct cvm_error err;
    (void)state;
    assert_int_equal(
        cvm_treatment_text_read(
            arena, "Promote the app by email, discount on the bill, limit 5, max 9", &found, &err),
        CVM_OK);
    assert_int_equal(found.channel, CVM_CHANNEL_EMAIL);
    assert_int_equal(found.purpose, CVM_PURPOSE_MARKETING);
    assert_non_null(strstr(cvm_text_string(&found.taken), "'email': email"));
    assert_non_null(strstr(cvm_text_string(&found.not_taken), "'app': not said to be the channel"));
    assert_non_null(strstr(cvm_text_string(&found.not_taken), "'bill': marketing was taken"));
    assert_non_null(strstr(cvm_text_string(&found.not_taken), "'max 9': a limit was taken before"));
    cvm_treatment_text_finish(&found);
    cvm_arena_destroy(arena);
}

static void a_rate_without_the_word_limit_is_told(void **state)
{
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_treatment_text found;
    struct cvm_error err;
    (void)state;
    assert_int_equal(cvm_treatment_text_read(arena,
                                             "Call 20 customers a day, 3 GB a day, at most 7 a day",
                                             &found, &err),
                     CVM_OK);
    assert_string_equal(found.max_per_day, "7");
    assert_non_null(strstr(cvm_text_string(&found.not_taken),
                           "'20 customers a day': a number without the word limit"));
    assert_null(strstr(cvm_text_string(&found.not_taken), "3 GB"));
    assert_string_equal(found.description, "Call 20 customers a day, 3 GB a day");
    cvm_treatment_text_finish(&found);
    cvm_arena_destroy(arena);
}

static void the_description_is_the_text_without_its_settings(void **state)
{
    static const struct {
        const char *text;
        const char *description;
    } cases[] = {
        {"Send personalized video with limit 10 and priority 2", "Send personalized video"},
        {"limit 5: say \"limit 9\" to gamers", "say \"limit 9\" to gamers"},
        {"Video with a limit of 10 per day for gamers", "Video for gamers"},
        {"Give 5 GB for 3 months.", "Give 5 GB for 3 months."},
        {"limit 5", ""},
    };
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cvm_treatment_text found;
        struct cvm_error err;
        assert_int_equal(cvm_treatment_text_read(arena, cases[i].text, &found, &err), CVM_OK);
        assert_string_equal(found.description, cases[i].description);
        cvm_treatment_text_finish(&found);
    }
    cvm_arena_destroy(arena);
}

static void a_text_that_is_none_is_refused_and_leaves_the_output(void **state)
{
    static char long_text[CVM_TREATMENT_TEXT_MAX + 2];
    const char *const bad[] = {"", "  \n", "\xff\xfe", long_text};
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_treatment_text found = {.own_words = 77};
    struct cvm_error err;
    (void)state;
    memset(long_text, 'a', sizeof(long_text) - 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(cvm_treatment_text_read(arena, bad[i], &found, &err), CVM_E_INVALID);
        assert_int_equal(found.own_words, 77);
    }
    cvm_arena_destroy(arena);
}

static void any_bytes_are_read_to_the_end(void **state)
{
    static const char *const pieces[] = {"limit ", "10",     "\"",    "'",     "\u201c",   "no ",
                                         "by ",    "email ", ", ",    "per ",  "day ",     "\u00a3",
                                         "-3 ",    "or ",    "call ", "cost ", "\xc3\xa9", "max "};
    struct cvm_arena *arena = cvm_arena_create(1 << 22);
    uint64_t seed = 1;
    (void)state;
    for (int round = 0; round < 3000; round++) {
        char text[256] = "a ";
        for (int i = 0; i < 24; i++) {
            seed = cvm_hash_mix(seed, (uint64_t)i);
            (void)strncat(text, pieces[seed % (sizeof(pieces) / sizeof(pieces[0]))], 8);
        }
        struct cvm_treatment_text found;
        assert_int_equal(cvm_treatment_text_read(arena, text, &found, NULL), CVM_OK);
        cvm_treatment_text_finish(&found);
        cvm_arena_reset(arena);
    }
    cvm_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_count_only_with_their_keyword),
        cmocka_unit_test(money_is_a_cost_only_when_it_is_said_to_be),
        cmocka_unit_test(channel_and_purpose_are_known_by_words),
        cmocka_unit_test(what_is_negated_or_quoted_is_not_taken),
        cmocka_unit_test(of_several_candidates_both_are_told),
        cmocka_unit_test(a_rate_without_the_word_limit_is_told),
        cmocka_unit_test(the_description_is_the_text_without_its_settings),
        cmocka_unit_test(a_text_that_is_none_is_refused_and_leaves_the_output),
        cmocka_unit_test(any_bytes_are_read_to_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
