#include <stdlib.h>

#include "engine/run_internal.h"

/* Few customers differ in zone, channel, quiet and preferred hours, and their windows are equal. */
#define SLOTS 4096

struct cvm_run_window_slot {
    uint64_t what; /* 0 = empty */
    struct cvm_contact_window window;
};

static enum cvm_status open_zones(struct cvm_run_windows *windows,
                                  const struct cvm_catalogue *catalogue, struct cvm_error *err)
{
    int feature = catalogue->policy.zone_feature;
    const char *const *words =
        feature == CVM_INDEX_NONE ? NULL : catalogue->features[feature].words;
    size_t count = 0;
    for (; words != NULL && words[count] != NULL; count++) {
    }
    windows->zones = calloc(count + 1, sizeof(struct cvm_zone *));
    if (windows->zones == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for time zones");
    }
    for (; windows->zone_count < count; windows->zone_count++) {
        enum cvm_status status =
            cvm_zone_open(words[windows->zone_count], &windows->zones[windows->zone_count], err);
        if (status != CVM_OK) {
            return cvm_error_context(err, status, "feature '%s' of the contact policy",
                                     catalogue->features[feature].name);
        }
    }
    return CVM_OK;
}

enum cvm_status cvm_run_windows_open(struct cvm_run_windows *windows,
                                     const struct cvm_catalogue *catalogue,
                                     const struct cvm_zone *zone, struct cvm_error *err)
{
    *windows = (struct cvm_run_windows){
        .policy = &catalogue->policy, .deployment = zone, .contact_day = CVM_DAY_NONE};
    enum cvm_status status = CVM_OK;
    windows->slots = calloc(SLOTS, sizeof(*windows->slots));
    if (windows->slots == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for contact windows");
    }
    if (zone == NULL) {
        status = cvm_zone_open("UTC", &windows->utc, err);
        windows->deployment = windows->utc;
    }
    return status == CVM_OK ? open_zones(windows, catalogue, err) : status;
}

void cvm_run_windows_close(struct cvm_run_windows *windows)
{
    for (size_t i = 0; i < windows->zone_count; i++) {
        cvm_zone_close(windows->zones[i]);
    }
    free(windows->zones);
    free(windows->slots);
    cvm_zone_close(windows->utc);
    *windows = (struct cvm_run_windows){0};
}

void cvm_run_windows_plan(struct cvm_run_windows *windows, int32_t day)
{
    windows->from_ms = cvm_zone_moment(windows->deployment, day, 0);
    windows->contact_day = day;
}

/* West of the deployment the contact day begins later: its evening before is not the day. East of
 * it the day has begun when the plan is made. */
static int64_t begin_in(const struct cvm_run_windows *windows, const struct cvm_zone *zone)
{
    int64_t begin = windows->contact_day == CVM_DAY_NONE
                        ? windows->from_ms
                        : cvm_zone_moment(zone, windows->contact_day, 0);
    return begin > windows->from_ms ? begin : windows->from_ms;
}

struct cvm_contact_window cvm_run_window(struct cvm_run_windows *windows, enum cvm_channel channel,
                                         const struct cvm_contact_facts *facts)
{
    if (channel >= CVM_CHANNEL_COUNT) {
        return (struct cvm_contact_window){0, 0};
    }
    /* What the window is a function of, in 46 bits; the top one keeps it from being 0. */
    uint64_t what = UINT64_C(1) << 63 | (uint64_t)channel << 40 |
                    (uint64_t)(uint16_t)facts->quiet_start_min << 24 |
                    (uint64_t)(uint16_t)facts->quiet_end_min << 8 | facts->zone |
                    (uint64_t)facts->preferred_time << 48;
    struct cvm_run_window_slot *slot = &windows->slots[cvm_hash_mix(what, 0) % SLOTS];
    if (slot->what != what) {
        const struct cvm_zone *zone =
            facts->zone < windows->zone_count ? windows->zones[facts->zone] : windows->deployment;
        slot->what = what;
        slot->window =
            cvm_contact_window_from(windows->policy, zone, channel, facts, begin_in(windows, zone));
    }
    return slot->window;
}
