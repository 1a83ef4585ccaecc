/* world.h - generated customer bases with known truth: joint behaviour of segments, seasons, bad
 * network weeks, bill shocks, complaints before churn, consents and contacts.
 *
 * Pure and deterministic: customer i of (seed, options) is the same whatever the size of the base,
 * the thread or the order. Records come in the input format of the shipped telecom mapping; the
 * truth (outcome probabilities) is written apart and no other part of cvm reads it.
 */
#ifndef CVM_WORLD_WORLD_H
#define CVM_WORLD_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

struct cvm_world_options {
    int64_t customers;
    int events_per_customer; /* mean, dated events; at least 5, less is taken as 5 */
    uint64_t seed;
    int32_t until_day; /* the last events fall on this day */
};

enum cvm_world_source {
    CVM_WORLD_CUSTOMERS,
    CVM_WORLD_PERMISSIONS,
    CVM_WORLD_BILLING_DATA,
    CVM_WORLD_USAGE_DATA,
    CVM_WORLD_NETWORK_DATA,
    CVM_WORLD_CHURN_SCORE,
    CVM_WORLD_CALL_TRANSCRIPTS,
    CVM_WORLD_WEB_TRANSCRIPTS,
    CVM_WORLD_WEB_CLICKS,
    CVM_WORLD_OFFER_RECOMMENDATIONS,
    CVM_WORLD_FAULT_TICKETS,
    CVM_WORLD_CONTACT_HISTORY,
    CVM_WORLD_SUPPRESSIONS,
    CVM_WORLD_SOURCE_COUNT
};
extern const char *const cvm_world_source_names[]; /* as in the telecom mapping */

#define CVM_WORLD_HISTORY_DAYS 124 /* no event is older, counted from until_day */

/* Append the NDJSON records of customer number `customer` (0..customers-1), per source. */
void cvm_world_customer(const struct cvm_world_options *options, int64_t customer,
                        struct cvm_text records[CVM_WORLD_SOURCE_COUNT]);
/* "C0000001234" */
#define CVM_WORLD_ID_SIZE 24
void cvm_world_customer_id(int64_t customer, char id[CVM_WORLD_ID_SIZE]);

/* Treatment ids of the truth, "ignore" first; NULL-terminated. */
extern const char *const cvm_world_treatments[];

struct cvm_world_truth {
    double churn;  /* probability of churn in 90 days under this treatment, contact or not averaged
                      in */
    double reach;  /* q */
    double accept; /* given reached */
    double margin; /* monthly, major units */
    double worth;  /* W */
    double incentive;    /* paid on acceptance */
    double extra_margin; /* per month on acceptance */
    double value;        /* true expected incremental value of the treatment against nothing */
    double churn_cut;    /* rho: relative cut of churn if reached; may be negative */
};
void cvm_world_truth(const struct cvm_world_options *options, int64_t customer, size_t treatment,
                     struct cvm_world_truth *out_truth);
/* CSV with a header:
 * customer_id,treatment,churn,reach,accept,margin,worth,incentive,extra_margin,value,churn_cut */
void cvm_world_truth_header(struct cvm_text *out);
void cvm_world_truth_rows(const struct cvm_world_options *options, int64_t customer,
                          struct cvm_text *out);

/* Play the world's outcome of one decision: NDJSON lines of {decision_id, customer_id, treatment,
 * state, date, minutes (calls)} in the life cycle sent -> delivered -> reached -> accepted |
 * declined | no_answer, and "churned" (on its day) or "stayed" (on the last day of the horizon).
 * "ignore", NULL or "" has the last line only, and so has a ghost, which is given as "ignore"; a
 * treatment that cannot be accepted ends with reached; one without a contact is carried out (sent)
 * but not delivered. Random numbers come from (seed, customer_id, decision day) only, the same for
 * every treatment: common random numbers. A churn_cut of 0 with a churn already lowered is played
 * as it stands, reached or not. */
struct cvm_world_decision {
    const char *decision_id;
    const char *customer_id;
    const char *treatment;
    int32_t day;
    bool makes_no_contact;
    int delay_days; /* the contact is made so many days after the decision */
};
void cvm_world_respond(uint64_t seed, const struct cvm_world_decision *decision,
                       const struct cvm_world_truth *truth, struct cvm_text *out);

#endif
