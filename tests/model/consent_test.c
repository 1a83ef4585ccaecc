/* consent_test.c - default deny, one bit per channel, direction and purpose; quiet hours; reasons.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/date.h"
#include "model/consent.h"
#include "model/reason.h"

static void nothing_is_allowed_without_a_record(void **state)
{
    struct cvm_consent consent;

    (void)state;
    cvm_consent_init(&consent);
    assert_false(consent.has_record);
    assert_int_equal(consent.updated_day, CVM_DAY_NONE);
    assert_int_equal(consent.quiet_start_min, CVM_MINUTE_NONE);
    for (int c = 0; c < CVM_CHANNEL_COUNT; c++) {
        for (int d = 0; d < CVM_DIRECTION_COUNT; d++) {
            for (int p = 0; p < CVM_PURPOSE_COUNT; p++) {
                assert_false(cvm_consent_allows(&consent, c, d, p));
            }
        }
    }
    /* A grant that is on no record is none. */
    consent.granted = UINT32_MAX;
    assert_false(
        cvm_consent_allows(&consent, CVM_CHANNEL_SMS, CVM_DIRECTION_OUTBOUND, CVM_PURPOSE_SERVICE));
    consent.has_record = true;
    assert_false(
        cvm_consent_allows(&consent, CVM_CHANNEL_SMS, CVM_DIRECTION_OUTBOUND, CVM_PURPOSE_SERVICE));
}

static void each_channel_direction_and_purpose_has_its_own_bit(void **state)
{
    uint32_t seen = 0;

    (void)state;
    for (int c = 0; c < CVM_CHANNEL_COUNT; c++) {
        for (int d = 0; d < CVM_DIRECTION_COUNT; d++) {
            for (int p = 0; p < CVM_PURPOSE_COUNT; p++) {
                struct cvm_consent consent;
                uint32_t bit = cvm_consent_bit(c, d, p);
                assert_int_equal(seen & bit, 0);
                seen |= bit;
                cvm_consent_init(&consent);
                consent.has_record = true;
                consent.recorded = bit;
                assert_false(cvm_consent_allows(&consent, c, d, p));
                consent.granted = bit;
                assert_true(cvm_consent_allows(&consent, c, d, p));
            }
        }
    }
    assert_int_equal(__builtin_popcount(seen),
                     CVM_CHANNEL_COUNT * CVM_DIRECTION_COUNT * CVM_PURPOSE_COUNT);
}

static void quiet_hours_may_cross_midnight(void **state)
{
    int16_t start = 0;
    int16_t end = 0;

    (void)state;
    assert_true(cvm_quiet_hours_parse("22:30-07:00", &start, &end));
    assert_int_equal(start, 22 * 60 + 30);
    assert_int_equal(end, 7 * 60);
    assert_true(cvm_quiet_hours_parse("00:00-23:59", &start, &end));
    assert_int_equal(end, 23 * 60 + 59);
}

static void malformed_quiet_hours_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "22:00",
                                      "22:00-8:00",
                                      "24:00-08:00",
                                      "22:60-08:0",
                                      "22:00 08:00",
                                      "22:00-08:00x",
                                      "ab:cd-ef:gh",
                                      "22-00-08:00",
                                      "22:00-08:60",
                                      "-1:00-08:00"};
    int16_t start = 1;
    int16_t end = 2;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(cvm_quiet_hours_parse(bad[i], &start, &end));
        assert_int_equal(start, 1);
        assert_int_equal(end, 2);
    }
}

static void words_stand_at_the_place_of_their_number(void **state)
{
    (void)state;
    assert_string_equal(cvm_channel_words[CVM_CHANNEL_CALL], "call");
    assert_string_equal(cvm_channel_words[CVM_CHANNEL_PUSH], "push");
    assert_string_equal(cvm_channel_words[CVM_CHANNEL_ANY], "any");
    assert_string_equal(cvm_channel_words[CVM_CHANNEL_NONE], "none");
    assert_string_equal(cvm_channel_words[CVM_CHANNEL_UNSET], "unset");
    assert_null(cvm_channel_words[CVM_CHANNEL_UNSET + 1]);
    assert_string_equal(cvm_purpose_words[CVM_PURPOSE_BILLING], "billing");
    assert_string_equal(cvm_purpose_words[CVM_PURPOSE_UNSET], "unset");
    assert_string_equal(cvm_preferred_time_words[CVM_TIME_BUSINESS_HOURS], "business_hours");
}

static void every_reason_has_a_name_and_a_sentence(void **state)
{
    (void)state;
    for (int i = 0; i < CVM_REASON_COUNT; i++) {
        const char *sentence = cvm_reason_sentence(i);
        assert_true(cvm_reason_name(i)[0] != '\0');
        assert_int_equal(sentence[strlen(sentence) - 1], '.');
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(cvm_reason_name(i), cvm_reason_name(j));
        }
    }
    assert_string_equal(cvm_reason_name(CVM_REASON_NO_CONSENT), "no_consent");
    assert_string_equal(cvm_reason_stage(CVM_REASON_NO_CONSENT), "consent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_allowed_without_a_record),
        cmocka_unit_test(each_channel_direction_and_purpose_has_its_own_bit),
        cmocka_unit_test(quiet_hours_may_cross_midnight),
        cmocka_unit_test(malformed_quiet_hours_are_refused),
        cmocka_unit_test(words_stand_at_the_place_of_their_number),
        cmocka_unit_test(every_reason_has_a_name_and_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
