#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/date.h"
#include "base/random.h"
#include "recommend/contact_window.h"

#define MINUTE  INT64_C(60000)
#define MINUTES 1440
#define SPAN    (6 * MINUTES) /* minutes that one scan looks at */
#define NO_HOURS                                                                                   \
    {                                                                                              \
        CVM_MINUTE_NONE, CVM_MINUTE_NONE                                                           \
    }

static struct cvm_zone *open_zone(const char *name)
{
    struct cvm_zone *zone = NULL;
    struct cvm_error err = {0};
    enum cvm_status status = cvm_zone_open(name, &zone, &err);
    if (status == CVM_E_NOT_FOUND && access("/usr/share/zoneinfo/Europe/London", R_OK) != 0) {
        skip(); /* this machine has no tzdata */
    }
    if (status != CVM_OK) {
        fail_msg("%s", err.message);
    }
    return zone;
}

static struct cvm_contact_policy no_hours(void)
{
    struct cvm_contact_policy policy = {.source = 0, .zone_feature = CVM_INDEX_NONE};
    for (size_t c = 0; c < CVM_CHANNEL_COUNT; c++) {
        policy.channel_hours[c] = (struct cvm_hours)NO_HOURS;
    }
    for (size_t p = 0; p < 5; p++) {
        policy.preferred[p] = (struct cvm_hours)NO_HOURS;
    }
    return policy;
}

static struct cvm_contact_facts no_facts(void)
{
    return (struct cvm_contact_facts){.quiet_start_min = CVM_MINUTE_NONE,
                                      .quiet_end_min = CVM_MINUTE_NONE,
                                      .preferred_time = CVM_TIME_ANY,
                                      .zone = 255};
}

static int16_t at(int hour, int minute)
{
    return (int16_t)(hour * 60 + minute);
}

static int64_t moment(const char *day, int hour, int minute)
{
    int32_t number = 0;
    assert_true(cvm_day_parse(day, strlen(day), &number, NULL, NULL));
    return (int64_t)number * MINUTES * MINUTE + at(hour, minute) * MINUTE;
}

static void check(const struct cvm_contact_policy *policy, const struct cvm_zone *zone,
                  const struct cvm_contact_facts *facts, int64_t from, int64_t earliest,
                  int64_t latest)
{
    struct cvm_contact_window window =
        cvm_contact_window_from(policy, zone, CVM_CHANNEL_CALL, facts, from);
    assert_int_equal(window.earliest_ms, earliest);
    assert_int_equal(window.latest_ms, latest);
}

/* ---- by hand ---- */

static void without_hours_it_is_a_day_from_now(void **state)
{
    struct cvm_zone *utc = open_zone("UTC");
    struct cvm_contact_policy policy = no_hours();
    struct cvm_contact_facts facts = no_facts();
    (void)state;
    check(&policy, utc, &facts, moment("2024-03-21", 0, 0), moment("2024-03-21", 0, 0),
          moment("2024-03-22", 0, 0));
    /* The minute that has begun is over. */
    check(&policy, utc, &facts, moment("2024-03-21", 0, 0) + 1, moment("2024-03-21", 0, 1),
          moment("2024-03-22", 0, 1));
    cvm_zone_close(utc);
}

static void quiet_hours_begin_inclusive_and_end_exclusive(void **state)
{
    struct cvm_zone *utc = open_zone("UTC");
    struct cvm_contact_policy policy = no_hours();
    struct cvm_contact_facts facts = no_facts();
    (void)state;
    facts.quiet_start_min = at(22, 0);
    facts.quiet_end_min = at(8, 0);
    check(&policy, utc, &facts, moment("2024-03-21", 21, 59), moment("2024-03-21", 21, 59),
          moment("2024-03-21", 22, 0));
    check(&policy, utc, &facts, moment("2024-03-21", 22, 0), moment("2024-03-22", 8, 0),
          moment("2024-03-22", 22, 0));
    check(&policy, utc, &facts, moment("2024-03-21", 7, 59), moment("2024-03-21", 8, 0),
          moment("2024-03-21", 22, 0));
    check(&policy, utc, &facts, moment("2024-03-21", 8, 0), moment("2024-03-21", 8, 0),
          moment("2024-03-21", 22, 0));
    cvm_zone_close(utc);
}

static void a_preference_narrows_the_window_and_is_passed_over_where_nothing_is_left(void **state)
{
    struct cvm_zone *utc = open_zone("UTC");
    struct cvm_contact_policy policy = no_hours();
    struct cvm_contact_facts facts = no_facts();
    (void)state;
    policy.channel_hours[CVM_CHANNEL_CALL] = (struct cvm_hours){at(9, 0), at(20, 0)};
    policy.preferred[CVM_TIME_EVENING] = (struct cvm_hours){at(17, 0), at(21, 0)};
    policy.preferred[CVM_TIME_MORNING] = (struct cvm_hours){at(6, 0), at(8, 30)};
    facts.preferred_time = CVM_TIME_EVENING;
    check(&policy, utc, &facts, moment("2024-03-21", 0, 0), moment("2024-03-21", 17, 0),
          moment("2024-03-21", 20, 0));
    facts.preferred_time = CVM_TIME_MORNING; /* before calls are allowed */
    check(&policy, utc, &facts, moment("2024-03-21", 0, 0), moment("2024-03-21", 9, 0),
          moment("2024-03-21", 20, 0));
    facts.quiet_start_min = at(8, 0); /* and now the whole of the channel's hours are quiet */
    facts.quiet_end_min = at(21, 0);
    check(&policy, utc, &facts, moment("2024-03-21", 12, 0), moment("2024-03-21", 21, 0),
          moment("2024-03-22", 8, 0));
    cvm_zone_close(utc);
}

static void hours_are_those_of_the_customers_clock(void **state)
{
    struct cvm_zone *kolkata = open_zone("Asia/Kolkata");
    struct cvm_contact_policy policy = no_hours();
    struct cvm_contact_facts facts = no_facts();
    (void)state;
    policy.channel_hours[CVM_CHANNEL_CALL] = (struct cvm_hours){at(9, 0), at(20, 0)};
    check(&policy, kolkata, &facts, moment("2024-03-21", 0, 0), moment("2024-03-21", 3, 30),
          moment("2024-03-21", 14, 30));
    cvm_zone_close(kolkata);
}

/* London, 2024-03-31: 01:00 becomes 02:00; 2024-10-27: 02:00 becomes 01:00. */
static void a_change_of_clocks_moves_the_hours(void **state)
{
    struct cvm_zone *london = open_zone("Europe/London");
    struct cvm_contact_policy policy = no_hours();
    struct cvm_contact_facts facts = no_facts();
    (void)state;
    facts.quiet_start_min = at(22, 0);
    facts.quiet_end_min = at(8, 0);
    check(&policy, london, &facts, moment("2024-03-30", 22, 0), moment("2024-03-31", 7, 0),
          moment("2024-03-31", 21, 0));
    check(&policy, london, &facts, moment("2024-10-26", 21, 0), moment("2024-10-27", 8, 0),
          moment("2024-10-27", 22, 0));
    facts.quiet_start_min = at(20, 0); /* ends inside the hour that does not exist */
    facts.quiet_end_min = at(1, 30);
    check(&policy, london, &facts, moment("2024-03-30", 21, 0), moment("2024-03-31", 1, 0),
          moment("2024-03-31", 19, 0));
    cvm_zone_close(london);
}

/* ---- against a scan of every minute ---- */

struct scan {
    bool may[MINUTES];           /* by the local clock */
    int64_t next_open[SPAN + 1]; /* from minute i of the span: the first open one */
    int64_t next_closed[SPAN + 1];
};

static bool minute_is_in(struct cvm_hours hours, int minute)
{
    for (int m = hours.from_min; m != hours.to_min; m = (m + 1) % MINUTES) {
        if (m == minute) {
            return true;
        }
    }
    return false;
}

static bool any_minute(const bool *minutes)
{
    bool any = false;
    for (int m = 0; m < MINUTES; m++) {
        any |= minutes[m];
    }
    return any;
}

static bool is_in_or_unset(struct cvm_hours hours, int minute)
{
    return hours.from_min == CVM_MINUTE_NONE || minute_is_in(hours, minute);
}

/* All three; where that leaves nothing without the preference, then without the channel's hours. */
static void fill_minutes(struct scan *scan, const struct cvm_contact_policy *policy,
                         const struct cvm_contact_facts *facts)
{
    struct cvm_hours quiet = {facts->quiet_start_min, facts->quiet_end_min};
    struct cvm_hours channel = policy->channel_hours[CVM_CHANNEL_CALL];
    struct cvm_hours preferred = policy->preferred[facts->preferred_time];
    memset(scan->may, 0, sizeof(scan->may));
    for (int passed_over = 0; passed_over < 3 && !any_minute(scan->may); passed_over++) {
        for (int m = 0; m < MINUTES; m++) {
            bool is_quiet = quiet.from_min != CVM_MINUTE_NONE && minute_is_in(quiet, m);
            scan->may[m] = !is_quiet && (passed_over > 1 || is_in_or_unset(channel, m)) &&
                           (passed_over > 0 || is_in_or_unset(preferred, m));
        }
    }
}

static void fill_span(struct scan *scan, const struct cvm_zone *zone, int64_t start)
{
    scan->next_open[SPAN] = scan->next_closed[SPAN] = INT64_MAX;
    for (int64_t i = SPAN - 1; i >= 0; i--) {
        int64_t now = start + i * MINUTE;
        int64_t local = now / 1000 + cvm_zone_offset_s(zone, now);
        bool is_open = scan->may[local % 86400 / 60];
        scan->next_open[i] = is_open ? i : scan->next_open[i + 1];
        scan->next_closed[i] = is_open ? scan->next_closed[i + 1] : i;
    }
}

/* Every minute from midnight UTC of the day on, for a day and a half. */
static void check_day(const struct cvm_contact_policy *policy, const struct cvm_zone *zone,
                      const struct cvm_contact_facts *facts, const char *day)
{
    static struct scan scan;
    int64_t start = moment(day, 0, 0);
    fill_minutes(&scan, policy, facts);
    fill_span(&scan, zone, start);
    for (int64_t i = 0; i < MINUTES * 3 / 2; i++) {
        int64_t earliest = scan.next_open[i];
        int64_t closed = scan.next_closed[earliest];
        int64_t latest = closed < earliest + MINUTES ? closed : earliest + MINUTES;
        check(policy, zone, facts, start + i * MINUTE, start + earliest * MINUTE,
              start + latest * MINUTE);
    }
}

static struct cvm_hours random_hours(struct cvm_random *random)
{
    struct cvm_hours hours = NO_HOURS;
    if (cvm_random_below(random, 4) != 0) {
        hours.from_min = (int16_t)(cvm_random_below(random, 96) * 15);
        hours.to_min =
            (int16_t)((hours.from_min + 15 + (int)cvm_random_below(random, 95) * 15) % MINUTES);
    }
    return hours;
}

static void every_minute_of_a_day_is_right_in_five_zones_and_across_changes_of_clocks(void **state)
{
    static const struct {
        const char *zone;
        const char *days[3]; /* usual, clocks forward, clocks back (or usual ones) */
    } cases[] = {
        {"Europe/London", {"2024-03-21", "2024-03-30", "2024-10-26"}},
        {"America/New_York", {"2024-07-04", "2024-03-09", "2024-11-02"}},
        {"Australia/Lord_Howe", {"2024-01-15", "2024-10-05", "2024-04-06"}}, /* half an hour */
        {"Asia/Kolkata", {"2024-03-21", "2024-06-30", "2024-12-31"}},
        {"Pacific/Apia", {"2024-03-21", "2011-12-29", "2021-04-03"}}, /* a day that never was */
    };
    struct cvm_random random;
    (void)state;
    cvm_random_init(&random, 7);
    for (size_t z = 0; z < sizeof(cases) / sizeof(cases[0]); z++) {
        struct cvm_zone *zone = open_zone(cases[z].zone);
        for (size_t d = 0; d < 3; d++) {
            for (int k = 0; k < 12; k++) {
                struct cvm_contact_policy policy = no_hours();
                struct cvm_contact_facts facts = no_facts();
                struct cvm_hours quiet = random_hours(&random);
                policy.channel_hours[CVM_CHANNEL_CALL] = random_hours(&random);
                policy.preferred[CVM_TIME_MORNING] = random_hours(&random);
                facts.preferred_time = CVM_TIME_MORNING;
                facts.quiet_start_min = quiet.from_min;
                facts.quiet_end_min = quiet.to_min;
                check_day(&policy, zone, &facts, cases[z].days[d]);
            }
        }
        cvm_zone_close(zone);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_hours_it_is_a_day_from_now),
        cmocka_unit_test(quiet_hours_begin_inclusive_and_end_exclusive),
        cmocka_unit_test(a_preference_narrows_the_window_and_is_passed_over_where_nothing_is_left),
        cmocka_unit_test(hours_are_those_of_the_customers_clock),
        cmocka_unit_test(a_change_of_clocks_moves_the_hours),
        cmocka_unit_test(every_minute_of_a_day_is_right_in_five_zones_and_across_changes_of_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
