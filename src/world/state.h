/* state.h - the hidden state of one generated customer: everything that records and truth share.
 *
 * Drawn from (seed, customer number, until_day) alone: neither the size of the base nor the number
 * of events changes it. Records are what can be seen of it, the truth is what it means. Only for
 * this folder.
 */
#ifndef CVM_WORLD_STATE_H
#define CVM_WORLD_STATE_H

#include <stdbool.h>

#include "base/random.h"
#include "world/world.h"

enum cvm_world_segment {
    CVM_WORLD_PREPAID,
    CVM_WORLD_SIM_ONLY,
    CVM_WORLD_CONTRACT,
    CVM_WORLD_CONVERGED,
    CVM_WORLD_SEGMENT_COUNT
};

/* What a customer is unhappy about: the subject of complaints, and what helps. */
enum cvm_world_grievance {
    CVM_WORLD_CONTENT,
    CVM_WORLD_NETWORK,
    CVM_WORLD_BILLING,
    CVM_WORLD_PRICE,
    CVM_WORLD_GRIEVANCE_COUNT
};

enum cvm_world_channel {
    CVM_WORLD_CALL,
    CVM_WORLD_EMAIL,
    CVM_WORLD_SMS,
    CVM_WORLD_PUSH,
    CVM_WORLD_CHANNEL_COUNT
};

/* Every use of random numbers has its own stream, so that a change in one moves no other. Streams
 * 0..CVM_WORLD_SOURCE_COUNT-1 belong to the sources. */
enum {
    CVM_WORLD_STREAM_STATE = 100,
    CVM_WORLD_STREAM_CONTACTS,
    CVM_WORLD_STREAM_RESPONSE,
    CVM_WORLD_STREAM_HOME
};

#define CVM_WORLD_CONTACTS_MAX 8
#define CVM_WORLD_REGION_COUNT 512
#define CVM_WORLD_ZONE_COUNT   5
#define CVM_WORLD_WEEKS        16 /* of network history */

struct cvm_world_segment_facts {
    double share;
    double margin, margin_log_sd, margin_min, margin_max; /* a month, major units */
    double churn_month;
    int horizon_months;
    double tenure_mean; /* months */
    double family_share;
};
extern const struct cvm_world_segment_facts cvm_world_segments[CVM_WORLD_SEGMENT_COUNT];

struct cvm_world_contact {
    int days_ago; /* 0..29 */
    enum cvm_world_channel channel;
};

struct cvm_world_state {
    uint64_t key; /* of all streams of this customer */
    int32_t until_day;
    enum cvm_world_segment segment;
    enum cvm_world_grievance grievance;

    int tenure_months;
    int32_t contract_end; /* CVM_DAY_NONE: no term */
    bool ends_soon;       /* within 90 days */
    int household_size, birth_year, language;
    int zone; /* of the clock on the wall */
    int region;
    double region_quality;      /* mean 0, sd 1; higher is better */
    uint32_t bad_weeks;         /* bit w: the network of the region was bad w weeks before */
    int fault_days_ago;         /* of the open fault, 0..13; -1: none */
    int allowance_gb;           /* 0: unlimited */
    int allowance_used_percent; /* of the newest month */
    bool is_traveller, is_shopper;

    int64_t charge_pence; /* now, a month */
    double margin;        /* a month, major units */
    int32_t rise_day;     /* of the price rise that counts; bills before are lower */
    int shock_bill;       /* 0 the newest, 1 the one before; -1 none */
    int64_t shock_pence;

    uint8_t marketing_consent, service_consent, billing_consent; /* bit per channel */
    struct cvm_world_contact contacts[CVM_WORLD_CONTACTS_MAX];   /* marketing, 30 days */
    int contact_count;

    double churn;        /* true, 90 days ahead, nothing done */
    double score;        /* what a calibrated model knows of it */
    double relative_log; /* log of true hazard / mean of the segment */
    double unseen_log;   /* the part of it that no score sees */
    double activity;     /* mean 1 */
    double responsiveness, reachability;
};

void cvm_world_state_draw(const struct cvm_world_options *options, int64_t customer,
                          struct cvm_world_state *out_state);
struct cvm_random cvm_world_stream(const struct cvm_world_state *state, int stream);

/* Season: a factor of churn over the 90 days after `day`, and of acceptance around it. */
double cvm_world_churn_season(int32_t day);
double cvm_world_accept_season(int32_t day, enum cvm_world_segment segment);

#endif
