/* zone_test.c - expected values are those of Python's zoneinfo on the same day's tzdata; named
 * zones are asked only about the past, which tzdata does not change. */
#include "base/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/date.h"
#include "base/random.h"

static struct cvm_zone *open_zone(const char *name)
{
    struct cvm_zone *zone = NULL;
    struct cvm_error err = {0};
    if (cvm_zone_open(name, &zone, &err) == CVM_E_NOT_FOUND &&
        access("/usr/share/zoneinfo/Europe/London", R_OK) != 0) {
        skip(); /* this machine has no tzdata */
    }
    assert_non_null(zone);
    return zone;
}

static int32_t day(int year, int month, int of_month)
{
    return cvm_day_from_date((struct cvm_date){year, month, of_month});
}

static void offsets_are_those_of_the_zone_at_that_moment(void **state)
{
    (void)state;
    const struct {
        const char *zone;
        int64_t moment_s;
        int32_t offset_s;
    } cases[] = {
        {"Europe/London", 1711846799, 0},           {"Europe/London", 1711846800, 3600},
        {"Europe/London", 1729990799, 3600},        {"Europe/London", 1729990800, 0},
        {"Europe/London", -902102400, 7200},        {"America/New_York", 1710053999, -18000},
        {"America/New_York", 1710054000, -14400},   {"America/New_York", 1730613599, -14400},
        {"America/New_York", 1730613600, -18000},   {"Australia/Lord_Howe", 1712415599, 39600},
        {"Australia/Lord_Howe", 1712415600, 37800}, {"Australia/Lord_Howe", 1728142199, 37800},
        {"Australia/Lord_Howe", 1728142200, 39600}, {"Asia/Kolkata", 1719792000, 19800},
        {"Pacific/Apia", 1325239199, -36000},       {"Pacific/Apia", 1325239200, 50400},
        {"America/Sao_Paulo", 1541300399, -10800},  {"America/Sao_Paulo", 1541300400, -7200},
        {"America/Sao_Paulo", 1669852800, -10800},  {"America/Sao_Paulo", -2208988800, -11188},
        {"Asia/Kathmandu", 504901799, 19800},       {"Asia/Kathmandu", 504901800, 20700},
        {"Europe/Dublin", 1705276800, 0},           {"Europe/Dublin", 1721001600, 3600},
        {"Antarctica/Troll", 1711846800, 7200},     {"Antarctica/Troll", 1729990800, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cvm_zone *zone = open_zone(cases[i].zone);
        assert_int_equal(cvm_zone_offset_s(zone, cases[i].moment_s * 1000), cases[i].offset_s);
        assert_int_equal(cvm_zone_offset_s(zone, cases[i].moment_s * 1000 + 999),
                         cases[i].offset_s);
        cvm_zone_close(zone);
    }
}

static void utc_needs_no_file(void **state)
{
    (void)state;
    struct cvm_zone *zone = NULL;
    assert_int_equal(setenv("TZDIR", "/nonexistent", 1), 0);
    assert_int_equal(cvm_zone_open("UTC", &zone, NULL), CVM_OK);
    assert_int_equal(unsetenv("TZDIR"), 0);
    assert_int_equal(cvm_zone_offset_s(zone, 1711846800000), 0);
    assert_int_equal(cvm_zone_day(zone, -1), -1);
    assert_int_equal(cvm_zone_day(zone, 0), 0);
    assert_true(cvm_zone_moment(zone, 19802, 40953) == 1710933753000);
    cvm_zone_close(zone);
    cvm_zone_close(NULL);
}

static void what_is_no_zone_is_not_found(void **state)
{
    (void)state;
    const char *const names[] = {"",
                                 "Europe/Nowhere",
                                 "Europe",
                                 "../../etc/passwd",
                                 "/etc/passwd",
                                 "Europe//London",
                                 "zone.tab",
                                 "Europe/London/",
                                 "Europe/ London"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct cvm_zone *zone = NULL;
        struct cvm_error err = {0};
        assert_int_equal(cvm_zone_open(names[i], &zone, &err), CVM_E_NOT_FOUND);
        assert_null(zone);
    }
}

/* A file of version 2 with no transitions of its own, one type, and a rule. */
static size_t make_file(unsigned char *bytes, const char *rule)
{
    static const unsigned char header[44] = {'T', 'Z', 'i', 'f', '2', [39] = 1, [43] = 4};
    static const unsigned char body[10] = {0, 0, 0, 0, 0, 0, 'S', 'T', 'D', 0};
    size_t length = 0;
    for (int half = 0; half < 2; half++) {
        memcpy(bytes + length, header, sizeof(header));
        memcpy(bytes + length + sizeof(header), body, sizeof(body));
        length += sizeof(header) + sizeof(body);
    }
    bytes[length++] = '\n';
    memcpy(bytes + length, rule, strlen(rule));
    length += strlen(rule);
    bytes[length++] = '\n';
    return length;
}

static struct cvm_zone *rule_zone(const char *rule)
{
    unsigned char bytes[300];
    struct cvm_zone *zone = NULL;
    struct cvm_error err = {0};
    size_t length = make_file(bytes, rule);
    assert_int_equal(cvm_zone_parse(bytes, length, &zone, &err), CVM_OK);
    return zone;
}

static int64_t utc_ms(int year, int month, int of_month, int second)
{
    return ((int64_t)day(year, month, of_month) * 86400 + second) * 1000;
}

static void check_turn(const struct cvm_zone *zone, int64_t moment_ms, int32_t before,
                       int32_t after)
{
    assert_int_equal(cvm_zone_offset_s(zone, moment_ms - 1), before);
    assert_int_equal(cvm_zone_offset_s(zone, moment_ms), after);
}

static void rules_go_on_for_ever(void **state)
{
    (void)state;
    struct cvm_zone *zone = rule_zone("GMT0BST,M3.5.0/1,M10.5.0");
    check_turn(zone, utc_ms(2024, 3, 31, 3600), 0, 3600);
    check_turn(zone, utc_ms(2024, 10, 27, 3600), 3600, 0);
    check_turn(zone, utc_ms(2099, 3, 29, 3600), 0, 3600);
    check_turn(zone, utc_ms(2424, 3, 31, 3600), 0, 3600);
    check_turn(zone, utc_ms(6024, 10, 27, 3600), 3600, 0);
    assert_true(cvm_zone_moment(zone, day(6024, 7, 1), 0) == utc_ms(6024, 6, 30, 82800));
    cvm_zone_close(zone);
}

static void rules_may_count_days_of_the_year(void **state)
{
    (void)state;
    struct cvm_zone *julian = rule_zone("AAA5BBB,J60/0,J300/0");
    check_turn(julian, utc_ms(2023, 3, 1, 18000), -18000, -14400);
    check_turn(julian, utc_ms(2024, 3, 1, 18000), -18000, -14400); /* 29 February not counted */
    cvm_zone_close(julian);
    struct cvm_zone *plain = rule_zone("<-05>5<-04>4,59/0,299/0");
    check_turn(plain, utc_ms(2023, 3, 1, 18000), -18000, -14400);
    check_turn(plain, utc_ms(2024, 2, 29, 18000), -18000, -14400);
    cvm_zone_close(plain);
}

static void rules_may_be_negative_and_reach_beyond_the_day(void **state)
{
    (void)state;
    struct cvm_zone *nuuk = rule_zone("<-02>2<-01>,M3.5.0/-1,M10.5.0/0");
    check_turn(nuuk, utc_ms(2024, 3, 31, 3600), -7200, -3600);
    cvm_zone_close(nuuk);
    struct cvm_zone *dublin = rule_zone("IST-1GMT0,M10.5.0,M3.5.0/1");
    check_turn(dublin, utc_ms(2024, 3, 31, 3600), 0, 3600);
    check_turn(dublin, utc_ms(2024, 10, 27, 3600), 3600, 0);
    cvm_zone_close(dublin);
    struct cvm_zone *south = rule_zone("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0");
    check_turn(south, utc_ms(2024, 10, 5, 55800), 37800, 39600);
    check_turn(south, utc_ms(2024, 4, 6, 54000), 39600, 37800);
    cvm_zone_close(south);
    struct cvm_zone *always = rule_zone("XXX3EDT4,0/0,J365/23");
    for (int month = 1; month <= 12; month++) {
        assert_int_equal(cvm_zone_offset_s(always, utc_ms(2024, month, 1, 0)), -14400);
    }
    check_turn(always, utc_ms(2025, 1, 1, 10800), -14400, -14400);
    cvm_zone_close(always);
    struct cvm_zone *fixed = rule_zone("<+0545>-5:45");
    assert_int_equal(cvm_zone_offset_s(fixed, 0), 20700);
    assert_int_equal(cvm_zone_offset_s(fixed, INT64_MAX), 20700);
    assert_int_equal(cvm_zone_offset_s(fixed, INT64_MIN), 20700);
    cvm_zone_close(fixed);
}

static void a_gap_gives_the_moment_after_it_and_an_overlap_the_earlier_one(void **state)
{
    (void)state;
    struct cvm_zone *london = rule_zone("GMT0BST,M3.5.0/1,M10.5.0");
    int64_t gap_end = utc_ms(2024, 3, 31, 3600);
    assert_true(cvm_zone_moment(london, day(2024, 3, 31), 3599) == gap_end - 1000);
    assert_true(cvm_zone_moment(london, day(2024, 3, 31), 3600) == gap_end);
    assert_true(cvm_zone_moment(london, day(2024, 3, 31), 5400) == gap_end);
    assert_true(cvm_zone_moment(london, day(2024, 3, 31), 7199) == gap_end);
    assert_true(cvm_zone_moment(london, day(2024, 3, 31), 7200) == gap_end);
    assert_true(cvm_zone_moment(london, day(2024, 3, 31), 7201) == gap_end + 1000);
    int64_t overlap = utc_ms(2024, 10, 27, 0);
    assert_true(cvm_zone_moment(london, day(2024, 10, 27), 3600) == overlap);
    assert_true(cvm_zone_moment(london, day(2024, 10, 27), 5400) == overlap + 1800000);
    assert_true(cvm_zone_moment(london, day(2024, 10, 27), 7200) == overlap + 7200000);
    cvm_zone_close(london);

    struct cvm_zone *apia = open_zone("Pacific/Apia"); /* had no 30 December 2011 */
    assert_true(cvm_zone_moment(apia, day(2011, 12, 30), 43200) == 1325239200000);
    assert_int_equal(cvm_zone_day(apia, 1325239199999), day(2011, 12, 29));
    assert_int_equal(cvm_zone_day(apia, 1325239200000), day(2011, 12, 31));
    cvm_zone_close(apia);
}

static void moments_and_local_times_convert_both_ways(void **state)
{
    (void)state;
    struct cvm_zone *zone = rule_zone("EST5EDT,M3.2.0,M11.1.0");
    struct cvm_random random;
    cvm_random_init(&random, 1);
    for (int i = 0; i < 20000; i++) {
        int64_t moment_s = (int64_t)cvm_random_below(&random, 40000000000) - 10000000000;
        int64_t local = moment_s + cvm_zone_offset_s(zone, moment_s * 1000);
        int32_t local_day = cvm_zone_day(zone, moment_s * 1000);
        int64_t back = cvm_zone_moment(zone, local_day, (int32_t)(local - local_day * 86400LL));
        assert_true(back == moment_s * 1000 || back == (moment_s - 3600) * 1000);
    }
    cvm_zone_close(zone);
}

static void rules_that_are_none_are_corrupt(void **state)
{
    (void)state;
    const char *const rules[] = {
        "GMT",
        "GM0",
        "GMT0BST",
        "GMT0BST,M3.5.0",
        "GMT25",
        "GMT0:60",
        "GMT0BST,M13.5.0,M10.5.0",
        "GMT0BST,M3.6.0,M10.5.0",
        "GMT0BST,M3.5.7,M10.5.0",
        "GMT0BST,J0,J300",
        "GMT0BST,366,1",
        "GMT0BST,M3.5.0/168,M10.5.0",
        "GMT0BST,M3.5.0,M10.5.0x",
        "<GMT0",
        "<>0",
        ",",
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        unsigned char bytes[300];
        struct cvm_zone *zone = NULL;
        size_t length = make_file(bytes, rules[i]);
        assert_int_equal(cvm_zone_parse(bytes, length, &zone, NULL), CVM_E_CORRUPT);
        assert_null(zone);
    }
}

/* 1970-01-02 00:00 to +1 h; bytes as the fields of RFC 8536, 3.2. */
static size_t make_old_file(unsigned char *bytes)
{
    static const unsigned char file[] = {
        'T', 'Z', 'i', 'f',  0,    0, 0, 0,   0,   0,   0,    0,    0,   0,   0, 0, 0, 0,
        0,   0,   0,   0,    0,    0, 0, 0,   0,   0,   0,    0,    0,   0,   0, 0, 0, 1,
        0,   0,   0,   2,    0,    0, 0, 8,   0,   1,   0x51, 0x80, 1,   0,   0, 0, 0, 0,
        0,   0,   0,   0x0E, 0x10, 1, 4, 'S', 'T', 'D', 0,    'D',  'S', 'T', 0};
    memcpy(bytes, file, sizeof(file));
    return sizeof(file);
}

static void files_of_version_1_hold_their_last_offset(void **state)
{
    (void)state;
    unsigned char bytes[100];
    struct cvm_zone *zone = NULL;
    size_t length = make_old_file(bytes);
    assert_int_equal(cvm_zone_parse(bytes, length, &zone, NULL), CVM_OK);
    check_turn(zone, 86400000, 0, 3600);
    assert_int_equal(cvm_zone_offset_s(zone, INT64_MAX), 3600);
    assert_int_equal(cvm_zone_offset_s(zone, INT64_MIN), 0);
    cvm_zone_close(zone);
}

static void a_file_that_was_cut_anywhere_is_corrupt(void **state)
{
    (void)state;
    unsigned char bytes[300];
    struct cvm_zone *zone = NULL;
    size_t length = make_file(bytes, "GMT0BST,M3.5.0/1,M10.5.0");
    for (size_t cut = 0; cut < length; cut++) {
        assert_int_equal(cvm_zone_parse(bytes, cut, &zone, NULL), CVM_E_CORRUPT);
    }
    length = make_old_file(bytes);
    for (size_t cut = 0; cut < length; cut++) {
        assert_int_equal(cvm_zone_parse(bytes, cut, &zone, NULL), CVM_E_CORRUPT);
    }
    assert_null(zone);
}

static void damaged_bytes_never_do_harm(void **state)
{
    (void)state;
    struct cvm_random random;
    cvm_random_init(&random, 9);
    for (int i = 0; i < 50000; i++) {
        unsigned char bytes[300];
        size_t length =
            i % 2 == 0 ? make_file(bytes, "EST5EDT,M3.2.0,M11.1.0") : make_old_file(bytes);
        for (uint64_t hits = 1 + cvm_random_below(&random, 4); hits > 0; hits--) {
            bytes[cvm_random_below(&random, length)] = (unsigned char)cvm_random_u64(&random);
        }
        struct cvm_zone *zone = NULL;
        enum cvm_status status = cvm_zone_parse(bytes, length, &zone, NULL);
        assert_true(status == CVM_OK || status == CVM_E_CORRUPT);
        if (status == CVM_OK) {
            int32_t offset = cvm_zone_offset_s(zone, (int64_t)cvm_random_u64(&random));
            assert_in_range(offset + 100000, 0, 200000);
            (void)cvm_zone_moment(zone, (int32_t)cvm_random_u64(&random), 86399);
            (void)cvm_zone_day(zone, INT64_MIN);
        }
        cvm_zone_close(zone);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_those_of_the_zone_at_that_moment),
        cmocka_unit_test(utc_needs_no_file),
        cmocka_unit_test(what_is_no_zone_is_not_found),
        cmocka_unit_test(rules_go_on_for_ever),
        cmocka_unit_test(rules_may_count_days_of_the_year),
        cmocka_unit_test(rules_may_be_negative_and_reach_beyond_the_day),
        cmocka_unit_test(a_gap_gives_the_moment_after_it_and_an_overlap_the_earlier_one),
        cmocka_unit_test(moments_and_local_times_convert_both_ways),
        cmocka_unit_test(rules_that_are_none_are_corrupt),
        cmocka_unit_test(files_of_version_1_hold_their_last_offset),
        cmocka_unit_test(a_file_that_was_cut_anywhere_is_corrupt),
        cmocka_unit_test(damaged_bytes_never_do_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
