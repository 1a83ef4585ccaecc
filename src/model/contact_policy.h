/* contact_policy.h - when a customer may be contacted, how often, and who must not be: the
 * catalogue's contact_policy.yaml and suppressions.yaml as plain data.
 *
 * Limits are rules: "at most 4 marketing contacts in 30 days" is compiled to
 * `count(contact_history, 30, outreach.purpose == 'marketing') < 4`, so that contacts of other
 * teams (imported), ours (reported as sent) and those released but not yet reported (lent to the
 * journey as events, journey/features.h) count alike, and explain names the number that failed.
 */
#ifndef CVM_MODEL_CONTACT_POLICY_H
#define CVM_MODEL_CONTACT_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "model/consent.h"
#include "rules/rule.h"

#define CVM_SUPPRESSIONS_MAX 32
#define CVM_POLICY_RULES_MAX 128

/* Who is left alone: vulnerable, bereaved, minor, fraud, ... */
struct cvm_suppression {
    const char *name;
    const char *display_name;
    struct cvm_rule when;   /* holds = suppressed */
    unsigned purposes;      /* bit per enum cvm_purpose that it withholds */
    bool covers_no_contact; /* also treatments that make no contact (profiling) */
};

/* A limit governs treatments, and of those on channel "any" only one channel if it names one: the
 * next consented channel is tried then. */
struct cvm_policy_rule {
    const char *name; /* as in the file, "same_action:retention_offer" when it was for each */
    const char *display_name; /* "at most 4 marketing contacts in 30 days" */
    struct cvm_rule allows;   /* over features; holds = one more contact is within the limit */
    uint64_t treatments;      /* bit per treatment that it governs */
    enum cvm_channel channel; /* CVM_CHANNEL_UNSET = every channel */
};

/* Local minutes of the day, from inclusive, to exclusive; from > to crosses midnight;
 * CVM_MINUTE_NONE = the whole day. */
struct cvm_hours {
    int16_t from_min;
    int16_t to_min;
};

struct cvm_household_limit {
    const char *name;
    const char *display_name;
    int max;
    int window_days;
    enum cvm_purpose purpose; /* CVM_PURPOSE_UNSET = every purpose */
    int count_feature;        /* contacts of one member in the window */
};
#define CVM_HOUSEHOLD_LIMITS_MAX 4

struct cvm_contact_policy {
    int source;                               /* of contacts; CVM_INDEX_NONE = no policy */
    int channel_attribute, purpose_attribute; /* words: of model/consent.h, checked on reading */
    int action_attribute;                     /* a CODE; CVM_INDEX_NONE = not known */
    int zone_feature;      /* words are IANA zones; CVM_INDEX_NONE = the deployment's */
    int household_feature; /* a CODE or number; CVM_INDEX_NONE = none */
    int lead_days;         /* the contact day is as-of + lead_days */
    struct cvm_hours channel_hours[CVM_CHANNEL_COUNT]; /* allowed at all, law */
    struct cvm_hours preferred[5];                     /* by enum cvm_preferred_time */
    struct cvm_policy_rule *rules;
    size_t rule_count;
    struct cvm_household_limit household[CVM_HOUSEHOLD_LIMITS_MAX];
    size_t household_count;
};

#endif
