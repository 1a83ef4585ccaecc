/* Cron expressions: what they say, in zones whose clocks change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cron.h"
#include "base/date.h"
#include "base/random.h"

static struct cvm_zone *open_zone(const char *name)
{
    struct cvm_zone *zone = NULL;
    assert_int_equal(cvm_zone_open(name, &zone, NULL), CVM_OK);
    return zone;
}

static struct cvm_cron parse(const char *text)
{
    struct cvm_cron cron;
    struct cvm_error err = {0};
    if (cvm_cron_parse(text, &cron, &err) != CVM_OK) {
        fail_msg("'%s': %s", text, err.message);
    }
    return cron;
}

static int64_t moment(const char *text)
{
    int32_t day = 0;
    int32_t second = 0;
    int32_t offset = 0;
    assert_true(cvm_day_parse(text, strlen(text), &day, &second, &offset));
    return ((int64_t)day * 86400 + second) * 1000;
}

/* After `from` (UTC) the expression fires at these moments (UTC), in this order. */
static void check(const char *text, const char *zone_name, const char *from,
                  const char *const *expected)
{
    struct cvm_cron cron = parse(text);
    struct cvm_zone *zone = open_zone(zone_name);
    int64_t at_ms = moment(from);
    for (; *expected != NULL; expected++) {
        char found[CVM_MOMENT_TEXT_SIZE];
        at_ms = cvm_cron_next(&cron, zone, at_ms);
        if (at_ms != moment(*expected)) {
            fail_msg("'%s' in %s: %s instead of %s", text, zone_name,
                     cvm_moment_format(at_ms, found), *expected);
        }
    }
    cvm_zone_close(zone);
}
#define CHECK(text, zone, from, ...)                                                               \
    check(text, zone, from, (const char *const[]){__VA_ARGS__, NULL})

static void expressions_say_when(void **state)
{
    (void)state;
    CHECK("0 2 * * *", "UTC", "2024-03-20T01:00:00Z", "2024-03-20T02:00:00Z",
          "2024-03-21T02:00:00Z");
    CHECK("0 2 * * *", "UTC", "2024-03-20T02:00:00Z", "2024-03-21T02:00:00Z");
    CHECK("*/20 * * * *", "UTC", "2024-03-20T23:30:00Z", "2024-03-20T23:40:00Z",
          "2024-03-21T00:00:00Z", "2024-03-21T00:20:00Z");
    CHECK("5/20 9 * * *", "UTC", "2024-03-20T00:00:00Z", "2024-03-20T09:05:00Z",
          "2024-03-20T09:25:00Z", "2024-03-20T09:45:00Z", "2024-03-21T09:05:00Z");
    CHECK("0 9-17/4 * * mon-fri", "UTC", "2024-03-22T14:00:00Z", "2024-03-22T17:00:00Z",
          "2024-03-25T09:00:00Z"); /* over the weekend */
    CHECK("30 6 1,15 * *", "UTC", "2024-01-31T00:00:00Z", "2024-02-01T06:30:00Z",
          "2024-02-15T06:30:00Z", "2024-03-01T06:30:00Z");
    CHECK("0 0 29 feb *", "UTC", "2024-03-01T00:00:00Z", "2028-02-29T00:00:00Z");
    CHECK("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z");
    CHECK("0 0 * * 7", "UTC", "2024-03-20T00:00:00Z", "2024-03-24T00:00:00Z");
    CHECK("0 0 * * Sun", "UTC", "2024-03-20T00:00:00Z", "2024-03-24T00:00:00Z");
    CHECK("0 0 13 * fri", "UTC", "2024-03-09T00:00:00Z", "2024-03-13T00:00:00Z",
          "2024-03-15T00:00:00Z"); /* either day is enough */
    CHECK("0 2 * * *", "Asia/Kolkata", "2024-03-20T00:00:00Z", "2024-03-20T20:30:00Z");
}

static void a_skipped_hour_fires_once_after_it(void **state)
{
    (void)state;
    /* London goes from 01:00 to 02:00 on 2024-03-31, at 01:00 UTC. */
    CHECK("30 1 * * *", "Europe/London", "2024-03-30T12:00:00Z", "2024-03-31T01:00:00Z",
          "2024-04-01T00:30:00Z");
    CHECK("*/10 1 * * *", "Europe/London", "2024-03-31T00:30:00Z", "2024-03-31T01:00:00Z",
          "2024-04-01T00:00:00Z"); /* six of them, once */
    CHECK("0 1,2 * * *", "Europe/London", "2024-03-30T12:00:00Z", "2024-03-31T01:00:00Z",
          "2024-04-01T00:00:00Z", "2024-04-01T01:00:00Z");
}

static void an_hour_that_comes_twice_fires_once(void **state)
{
    (void)state;
    /* London goes from 02:00 back to 01:00 on 2024-10-27, at 01:00 UTC. */
    CHECK("30 1 * * *", "Europe/London", "2024-10-26T12:00:00Z", "2024-10-27T00:30:00Z",
          "2024-10-28T01:30:00Z");
    CHECK("0 * * * *", "Europe/London", "2024-10-26T23:30:00Z", "2024-10-27T00:00:00Z",
          "2024-10-27T02:00:00Z");
    /* New York at 06:00 UTC on 2024-11-03. */
    CHECK("15 1 * * *", "America/New_York", "2024-11-03T04:00:00Z", "2024-11-03T05:15:00Z",
          "2024-11-04T06:15:00Z");
}

static void a_day_that_a_zone_never_had_fires_with_the_next(void **state)
{
    (void)state;
    /* Samoa had no 2011-12-30: it went from UTC-10 to UTC+14 at its midnight. */
    CHECK("0 12 * * *", "Pacific/Apia", "2011-12-29T23:00:00Z", "2011-12-30T10:00:00Z",
          "2011-12-30T22:00:00Z");
}

static void what_is_no_expression_names_the_field(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *words;
    } cases[] = {
        {"", "has 0 fields"},
        {"0 2 * *", "has 4 fields"},
        {"0 2 * * * *", "has 6 fields"},
        {"60 * * * *", "'60' is no minute"},
        {"-1 * * * *", "'-1' is no minute"},
        {"5- * * * *", "'5-' is no minute"},
        {"9-5 * * * *", "'9-5' is no minute"},
        {"*/0 * * * *", "'*/0' is no minute"},
        {"1,,2 * * * *", "'1,,2' is no minute"},
        {"1, * * * *", "'1,' is no minute"},
        {"* 24 * * *", "'24' is no hour"},
        {"* * 0 * *", "'0' is no day of the month"},
        {"* * 32 * *", "'32' is no day of the month"},
        {"* * * 13 *", "'13' is no month"},
        {"* * * ja *", "'ja' is no month"},
        {"* * * * 8", "'8' is no day of the week"},
        {"* * * * monday", "'monday' is no day of the week"},
        {"* * ? * *", "'?' is no day of the month"},
        {"@daily", "has 1 fields"},
        {"0 0 30 2 *", "never fires"},
        {"0 0 31 feb,apr,jun *", "never fires"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cvm_cron cron;
        struct cvm_error err = {0};
        assert_int_equal(cvm_cron_parse(cases[i].text, &cron, &err), CVM_E_INVALID);
        if (strstr(err.message, cases[i].words) == NULL) {
            fail_msg("'%s': %s", cases[i].text, err.message);
        }
    }
    char longer[300];
    memset(longer, ' ', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    struct cvm_cron cron;
    assert_int_equal(cvm_cron_parse(longer, &cron, NULL), CVM_E_INVALID);
}

/* ---- against the slow, obvious way ---- */

static bool fires_at(const struct cvm_cron *cron, int32_t day, int minute_of_day)
{
    struct cvm_date date = cvm_date_from_day(day);
    bool is_month_day = (cron->days >> date.day & 1) != 0;
    bool is_weekday = (cron->weekdays >> (cvm_day_weekday(day) + 1) % 7 & 1) != 0;
    bool is_day = cron->has_days && cron->has_weekdays ? is_month_day || is_weekday
                                                       : is_month_day && is_weekday;
    return is_day && (cron->months >> date.month & 1) != 0 &&
           (cron->hours >> minute_of_day / 60 & 1) != 0 &&
           (cron->minutes >> minute_of_day % 60 & 1) != 0;
}

/* Every local minute in turn; those that the clock skips are the first moment after it. */
static int64_t slow_next(const struct cvm_cron *cron, const struct cvm_zone *zone, int64_t after_ms)
{
    for (int32_t day = cvm_zone_day(zone, after_ms) - 2;; day++) {
        for (int minute = 0; minute < 1440; minute++) {
            if (fires_at(cron, day, minute)) {
                int64_t at_ms = cvm_zone_moment(zone, day, minute * 60);
                if (at_ms > after_ms) {
                    return at_ms;
                }
            }
        }
    }
}

static void random_field(struct cvm_random *random, int min, int max, char text[32])
{
    int a = min + (int)cvm_random_below(random, (uint64_t)(max - min + 1));
    int b = min + (int)cvm_random_below(random, (uint64_t)(max - min + 1));
    switch (cvm_random_below(random, 5)) {
    case 0:
        (void)snprintf(text, 32, "%d", a);
        break;
    case 1:
        (void)snprintf(text, 32, "%d-%d", a < b ? a : b, a < b ? b : a);
        break;
    case 2:
        (void)snprintf(text, 32, "*/%d", 1 + (int)cvm_random_below(random, (uint64_t)max));
        break;
    case 3:
        (void)snprintf(text, 32, "%d,%d", a, b);
        break;
    default:
        (void)snprintf(text, 32, "*");
    }
}

static void any_expression_in_any_zone_fires_when_the_slow_way_says(void **state)
{
    (void)state;
    static const char *const zones[] = {"UTC",          "Europe/London",       "America/New_York",
                                        "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"};
    struct cvm_random random;
    cvm_random_init(&random, 11);
    for (int i = 0; i < 180; i++) {
        char fields[5][32];
        char text[200];
        struct cvm_cron cron;
        random_field(&random, 0, 59, fields[0]);
        random_field(&random, 0, 23, fields[1]);
        random_field(&random, 1, 31, fields[2]);
        random_field(&random, 1, 12, fields[3]);
        random_field(&random, 0, 7, fields[4]);
        (void)snprintf(text, sizeof(text), "%s %s %s %s %s", fields[0], fields[1], fields[2],
                       fields[3], fields[4]);
        if (cvm_cron_parse(text, &cron, NULL) != CVM_OK) {
            continue; /* never fires */
        }
        struct cvm_zone *zone = open_zone(zones[i % 6]);
        /* Near the changes of 2024, and of 2011 where a day was skipped. */
        int64_t at_ms = i % 6 == 5
                            ? moment("2011-12-29T00:00:00Z")
                            : moment(i % 2 == 0 ? "2024-03-09T00:00:00Z" : "2024-10-25T00:00:00Z");
        at_ms += (int64_t)cvm_random_below(&random, 30LL * 86400000);
        for (int n = 0; n < 8; n++) {
            int64_t next_ms = cvm_cron_next(&cron, zone, at_ms);
            assert_true(next_ms > at_ms);
            if (next_ms != slow_next(&cron, zone, at_ms)) {
                char found[CVM_MOMENT_TEXT_SIZE];
                fail_msg("'%s' in %s: %s", text, zones[i % 6], cvm_moment_format(next_ms, found));
            }
            at_ms = next_ms - 1 > at_ms && n % 4 == 0 ? next_ms - 1 : next_ms;
        }
        cvm_zone_close(zone);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_say_when),
        cmocka_unit_test(a_skipped_hour_fires_once_after_it),
        cmocka_unit_test(an_hour_that_comes_twice_fires_once),
        cmocka_unit_test(a_day_that_a_zone_never_had_fires_with_the_next),
        cmocka_unit_test(what_is_no_expression_names_the_field),
        cmocka_unit_test(any_expression_in_any_zone_fires_when_the_slow_way_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
