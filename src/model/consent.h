/* consent.h - what a customer permits: channel x direction x purpose, default deny.
 *
 * The vocabularies of sources and old configurations (service_updates, push_notifications, app,
 * ...) are unified by the catalogue's consent.yaml; here are only the canonical words.
 */
#ifndef CVM_MODEL_CONSENT_H
#define CVM_MODEL_CONSENT_H

#include <stdbool.h>
#include <stdint.h>

/* The order is the configured order of an "any" channel unless the catalogue says otherwise. */
enum cvm_channel {
    CVM_CHANNEL_CALL,
    CVM_CHANNEL_EMAIL,
    CVM_CHANNEL_SMS,
    CVM_CHANNEL_PUSH,
    CVM_CHANNEL_COUNT,                   /* real channels are below */
    CVM_CHANNEL_ANY = CVM_CHANNEL_COUNT, /* the first consented one in configured order */
    CVM_CHANNEL_NONE,                    /* makes no contact: crediting points without a message */
    CVM_CHANNEL_UNSET                    /* not known yet: not usable for contact */
};
enum cvm_direction { CVM_DIRECTION_OUTBOUND, CVM_DIRECTION_INBOUND, CVM_DIRECTION_COUNT };
enum cvm_purpose {
    CVM_PURPOSE_MARKETING,
    CVM_PURPOSE_SERVICE,
    CVM_PURPOSE_BILLING,
    CVM_PURPOSE_COUNT,
    CVM_PURPOSE_UNSET = CVM_PURPOSE_COUNT
};

extern const char
    *const cvm_channel_words[]; /* NULL-terminated: call email sms push any none unset */
extern const char *const cvm_direction_words[]; /* outbound inbound */
extern const char *const cvm_purpose_words[];   /* marketing service billing unset */

enum cvm_preferred_time {
    CVM_TIME_ANY,
    CVM_TIME_MORNING,
    CVM_TIME_AFTERNOON,
    CVM_TIME_EVENING,
    CVM_TIME_BUSINESS_HOURS
};
extern const char *const cvm_preferred_time_words[];

#define CVM_LANGUAGE_SIZE 8
#define CVM_MINUTE_NONE   (-1)

struct cvm_consent {
    uint32_t recorded;   /* bit per (channel, direction, purpose): something is on record */
    uint32_t granted;    /* subset of recorded */
    int32_t updated_day; /* CVM_DAY_NONE if not given */
    int16_t
        quiet_start_min; /* local minute of the day, inclusive; CVM_MINUTE_NONE = no quiet hours */
    int16_t quiet_end_min;            /* exclusive; may be before start: crosses midnight */
    uint8_t preferred_time;           /* enum cvm_preferred_time */
    bool has_record;                  /* false: no permission record at all */
    char language[CVM_LANGUAGE_SIZE]; /* ISO 639-1, "" if unknown */
};

uint32_t cvm_consent_bit(enum cvm_channel channel, enum cvm_direction direction,
                         enum cvm_purpose purpose);

/* The state of a customer of whom nothing is known: everything denied. */
void cvm_consent_init(struct cvm_consent *consent);

/* True only if permission is on record. */
bool cvm_consent_allows(const struct cvm_consent *consent, enum cvm_channel channel,
                        enum cvm_direction direction, enum cvm_purpose purpose);

/* "22:00-08:00" -> minutes; false if malformed. */
bool cvm_quiet_hours_parse(const char *text, int16_t *out_start_min, int16_t *out_end_min);

#endif
