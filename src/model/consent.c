#include "model/consent.h"

#include <assert.h>
#include <string.h>

#include "base/date.h"

const char *const cvm_channel_words[] = {"call", "email", "sms",   "push",
                                         "any",  "none",  "unset", NULL};
const char *const cvm_direction_words[] = {"outbound", "inbound", NULL};
const char *const cvm_purpose_words[] = {"marketing", "service", "billing", "unset", NULL};
const char *const cvm_preferred_time_words[] = {"any",     "morning",        "afternoon",
                                                "evening", "business_hours", NULL};

uint32_t cvm_consent_bit(enum cvm_channel channel, enum cvm_direction direction,
                         enum cvm_purpose purpose)
{
    assert(channel < CVM_CHANNEL_COUNT && direction < CVM_DIRECTION_COUNT);
    assert(purpose < CVM_PURPOSE_COUNT);
    return UINT32_C(1) << (((unsigned)channel * CVM_DIRECTION_COUNT + (unsigned)direction) *
                               CVM_PURPOSE_COUNT +
                           (unsigned)purpose);
}

void cvm_consent_init(struct cvm_consent *consent)
{
    memset(consent, 0, sizeof(*consent)); /* the padding too: consents are compared and hashed */
    consent->updated_day = CVM_DAY_NONE;
    consent->quiet_start_min = CVM_MINUTE_NONE;
    consent->quiet_end_min = CVM_MINUTE_NONE;
    consent->preferred_time = CVM_TIME_ANY;
}

bool cvm_consent_allows(const struct cvm_consent *consent, enum cvm_channel channel,
                        enum cvm_direction direction, enum cvm_purpose purpose)
{
    uint32_t bit = cvm_consent_bit(channel, direction, purpose);
    return consent->has_record && (consent->recorded & consent->granted & bit) != 0;
}

/* "HH:MM" */
static bool parse_minute(const char *text, int16_t *out_minute)
{
    for (int i = 0; i < 5; i++) {
        if (i == 2 ? text[i] != ':' : text[i] < '0' || text[i] > '9') {
            return false;
        }
    }
    int hour = (text[0] - '0') * 10 + (text[1] - '0');
    int minute = (text[3] - '0') * 10 + (text[4] - '0');
    if (hour > 23 || minute > 59) {
        return false;
    }
    *out_minute = (int16_t)(hour * 60 + minute);
    return true;
}

bool cvm_quiet_hours_parse(const char *text, int16_t *out_start_min, int16_t *out_end_min)
{
    int16_t start = 0;
    int16_t end = 0;

    if (strlen(text) != 11 || text[5] != '-' || !parse_minute(text, &start) ||
        !parse_minute(text + 6, &end)) {
        return false;
    }
    *out_start_min = start;
    *out_end_min = end;
    return true;
}
