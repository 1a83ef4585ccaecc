/* When contacts of a plan may be made, in the customer's zone and the deployment's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/date.h"
#include "engine/run_internal.h"
#include "support/config_files.h"

#define CONTACT_DAY 19803 /* 2024-03-21 */
#define HOUR_MS     INT64_C(3600000)
#define DAY_MS      (24 * HOUR_MS)

struct zones {
    struct cvm_arena *arena;
    const struct cvm_catalogue *catalogue;
    struct cvm_zone *london;
    struct cvm_run_windows windows;
};

static int set_up(void **state)
{
    struct zones *zones = calloc(1, sizeof(*zones));
    struct cvm_error err = {0};
    assert_non_null(zones);
    zones->arena = cvm_arena_create((size_t)64 << 20);
    assert_non_null(zones->arena);
    const struct config_files config = config_load(zones->arena, 1000);
    config_check(config_read(zones->arena, &config, &zones->catalogue, &err), &err);
    if (access("/usr/share/zoneinfo/Europe/London", R_OK) == 0) {
        config_check(cvm_zone_open("Europe/London", &zones->london, &err), &err);
        config_check(cvm_run_windows_open(&zones->windows, zones->catalogue, zones->london, &err),
                     &err);
    }
    *state = zones;
    return 0;
}

static int tear_down(void **state)
{
    struct zones *zones = *state;
    cvm_run_windows_close(&zones->windows);
    cvm_zone_close(zones->london);
    cvm_arena_destroy(zones->arena);
    free(zones);
    return 0;
}

/* A text, which is sent from 8 to 21 o'clock; NULL = the deployment's zone. Hours since the start
 * of the contact day in London, which is that of UTC. */
static void check(struct zones *zones, const char *name, double earliest, double latest)
{
    const char *const *words =
        zones->catalogue->features[zones->catalogue->policy.zone_feature].words;
    struct cvm_contact_facts facts = {.quiet_start_min = CVM_MINUTE_NONE,
                                      .quiet_end_min = CVM_MINUTE_NONE,
                                      .preferred_time = CVM_TIME_ANY,
                                      .zone = 255};
    for (uint8_t word = 0; name != NULL && facts.zone == 255; word++) {
        assert_non_null(words[word]);
        facts.zone = strcmp(words[word], name) == 0 ? word : 255;
    }
    struct cvm_contact_window window = cvm_run_window(&zones->windows, CVM_CHANNEL_SMS, &facts);
    int64_t day = CONTACT_DAY * DAY_MS;
    assert_int_equal(window.earliest_ms, day + (int64_t)(earliest * (double)HOUR_MS));
    assert_int_equal(window.latest_ms, day + (int64_t)(latest * (double)HOUR_MS));
}

static void a_planned_contact_is_made_on_its_day_of_the_customers_calendar(void **state)
{
    struct zones *zones = *state;
    if (zones->london == NULL) {
        skip(); /* this machine has no tzdata */
    }
    cvm_run_windows_plan(&zones->windows, CONTACT_DAY);
    check(zones, NULL, 8, 21);
    check(zones, "America/New_York", 8 + 4, 21 + 4); /* not from 20 to 21 of the evening before */
    check(zones, "America/Los_Angeles", 8 + 7, 21 + 7);
    check(zones, "Asia/Kolkata", 8 - 5.5, 21 - 5.5);
    check(zones, "Pacific/Auckland", 0, 21 - 13); /* 13 o'clock there when the day begins here */
}

static void who_is_decided_for_now_may_be_contacted_now(void **state)
{
    struct zones *zones = *state;
    if (zones->london == NULL) {
        skip();
    }
    zones->windows.from_ms = CONTACT_DAY * DAY_MS + HOUR_MS / 2;
    check(zones, NULL, 8, 21);
    check(zones, "America/New_York", 0.5, 1); /* half past eight in the evening */
}

#define WITH_ZONES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ZONES(a_planned_contact_is_made_on_its_day_of_the_customers_calendar),
        WITH_ZONES(who_is_decided_for_now_may_be_contacted_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
