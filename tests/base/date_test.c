#include "base/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool parse(const char *text, int32_t *day, int32_t *second, int32_t *offset)
{
    return cvm_day_parse(text, strlen(text), day, second, offset);
}

static void days_and_dates_convert_both_ways(void **state)
{
    (void)state;
    assert_int_equal(cvm_day_from_date((struct cvm_date){1970, 1, 1}), 0);
    assert_int_equal(cvm_day_from_date((struct cvm_date){2024, 3, 20}), 19802);
    assert_int_equal(cvm_day_from_date((struct cvm_date){1969, 12, 31}), -1);
    struct cvm_date previous = cvm_date_from_day(-800001);
    for (int32_t day = -800000; day < 800000; day++) {
        struct cvm_date date = cvm_date_from_day(day);
        assert_int_equal(cvm_day_from_date(date), day);
        bool is_next_day =
            date.month == previous.month ? date.day == previous.day + 1 : date.day == 1;
        assert_true(is_next_day);
        previous = date;
    }
}

static void weekdays_begin_on_monday(void **state)
{
    (void)state;
    assert_int_equal(cvm_day_weekday(0), 3);
    assert_int_equal(cvm_day_weekday(19802), 2); /* 2024-03-20 was a Wednesday */
    assert_int_equal(cvm_day_weekday(-1), 2);
    assert_int_equal(cvm_day_weekday(-4), 6);
    assert_in_range(cvm_day_weekday(INT32_MIN), 0, 6);
    assert_in_range(cvm_day_weekday(INT32_MAX), 0, 6);
}

static void a_date_may_be_followed_by_time_and_offset(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int32_t second;
        int32_t offset;
    } good[] = {
        {"2024-03-20", 0, INT32_MIN},
        {"2024-03-20T11:22", 40920, INT32_MIN},
        {"2024-03-20 11:22:33", 40953, INT32_MIN},
        {"2024-03-20T11:22:33.5", 40953, INT32_MIN},
        {"2024-03-20T11:22:33.123456789Z", 40953, 0},
        {"2024-03-20T23:59:59Z", 86399, 0},
        {"2024-03-20T00:00+05:30", 0, 330},
        {"2024-03-20T00:00:00-03:30", 0, -210},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int32_t day = 0;
        int32_t second = -1;
        int32_t offset = -1;
        assert_true(parse(good[i].text, &day, &second, &offset));
        assert_int_equal(day, 19802);
        assert_int_equal(second, good[i].second);
        assert_int_equal(offset, good[i].offset);
        assert_true(parse(good[i].text, &day, NULL, NULL));
    }
}

static void what_is_no_date_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    const char *const bad[] = {
        "",
        "2024",
        "2024-3-20",
        "2024-03-2",
        "2024-02-30",
        "2023-02-29",
        "1900-02-29",
        "2024-13-01",
        "2024-00-01",
        "2024-01-00",
        "1899-12-31",
        "2200-01-01",
        "20240320",
        "2024/03/20",
        "2024-03-20x",
        "2024-03-20T",
        "2024-03-20T11",
        "2024-03-20T24:00",
        "2024-03-20T11:60",
        "2024-03-20T11:22:60",
        "2024-03-20T11:22:",
        "2024-03-20T11:22:33.",
        "2024-03-20T11:22:33Zx",
        "2024-03-20T11:22+5",
        "2024-03-20T11:22+05:60",
        "2024-03-20T11:22+0530",
        "2024-03-20Z",
        " 2024-03-20",
        "2024-03-20 ",
        "+024-03-20",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int32_t day = 7;
        int32_t second = 7;
        int32_t offset = 7;
        assert_false(parse(bad[i], &day, &second, &offset));
        assert_int_equal(day, 7);
        assert_int_equal(second, 7);
        assert_int_equal(offset, 7);
    }
    int32_t day = 7;
    assert_false(cvm_day_parse(NULL, 0, &day, NULL, NULL));
    assert_false(cvm_day_parse("2024-03-20", 9, &day, NULL, NULL));
}

static void leap_days_exist_in_leap_years_only(void **state)
{
    (void)state;
    int32_t day = 0;
    assert_true(parse("2024-02-29", &day, NULL, NULL));
    assert_true(parse("2000-02-29", &day, NULL, NULL));
    assert_false(parse("2100-02-29", &day, NULL, NULL));
}

static void days_and_moments_are_written_as_iso(void **state)
{
    (void)state;
    char day[CVM_DAY_TEXT_SIZE];
    char moment[CVM_MOMENT_TEXT_SIZE];
    assert_string_equal(cvm_day_format(19802, day), "2024-03-20");
    assert_string_equal(cvm_day_format(-1, day), "1969-12-31");
    assert_string_equal(cvm_day_format(CVM_DAY_NONE, day), "");
    assert_string_equal(cvm_day_format(INT32_MAX, day), "5881580-07-11");
    assert_string_equal(cvm_moment_format(1710933753999, moment), "2024-03-20T11:22:33Z");
    assert_string_equal(cvm_moment_format(-1, moment), "1969-12-31T23:59:59Z");
    assert_non_null(cvm_moment_format(INT64_MIN, moment));
    assert_non_null(cvm_moment_format(INT64_MAX, moment));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_and_dates_convert_both_ways),
        cmocka_unit_test(weekdays_begin_on_monday),
        cmocka_unit_test(a_date_may_be_followed_by_time_and_offset),
        cmocka_unit_test(what_is_no_date_is_refused_and_changes_nothing),
        cmocka_unit_test(leap_days_exist_in_leap_years_only),
        cmocka_unit_test(days_and_moments_are_written_as_iso),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
