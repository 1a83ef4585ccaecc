/* action_value.h - which treatments a customer may get, and what each is worth.
 *
 * Pure. Validity, consent, suppression, contact policy and rules come first, in code (default
 * deny); then the action value of every permitted treatment (docs/concepts/value.md):
 *
 *     value = f q [ p rho W + a (u H - g) ] - c - k
 *
 * f tiring: what late marketing contacts leave of the response to one more, 1 for other treatments;
 * q reach; p churn in the horizon if untreated; rho relative cut of churn if reached; W worth of
 * the customer = margin x H; a accepts; u extra margin a month; H months it lasts = sum over months
 * m < horizon of (1 - growth x churn)^m x discount^m; g incentive; c marginal cost; k fatigue
 *
 * Compile once per run, use from any thread. Results depend on the customer's features and consent
 * only.
 */
#ifndef CVM_RECOMMEND_ACTION_VALUE_H
#define CVM_RECOMMEND_ACTION_VALUE_H

#include "base/error.h"
#include "model/catalogue.h"
#include "model/chunk.h"
#include "model/reason.h"

/* Values of refused treatments in the matrix. */
#define CVM_VALUE_INELIGIBLE (-1e30f)

struct cvm_recommender; /* immutable */

struct cvm_recommend_options {
    int32_t as_of_day;
    enum cvm_direction direction; /* inbound decisions ignore outbound consent and the contact
                                     policy, never a recorded refusal of inbound offers */
    enum cvm_channel channel;     /* CVM_CHANNEL_UNSET = all; decide --channel C restricts */
    uint64_t allowed;             /* bit per treatment; ~0 = all */
    uint64_t stopped;             /* bit per treatment: kill switch */
    unsigned stopped_channels;    /* bit per channel: kill switch */
    const struct cvm_response *responses; /* per treatment, as learned; NULL = the catalogue's.
                                             Copied; their texts must outlive the recommender */
    int forced_treatment; /* CVM_INDEX_NONE; skips applicable and suitable, nothing else */
};

CVM_MUST_CHECK enum cvm_status cvm_recommender_create(const struct cvm_catalogue *catalogue,
                                                      const struct cvm_recommend_options *options,
                                                      struct cvm_recommender **out_recommender,
                                                      struct cvm_error *err);
void cvm_recommender_destroy(struct cvm_recommender *recommender);

/* What is known of the way to a customer, for contact windows and channels. */
struct cvm_contact_facts {
    uint16_t usable; /* cvm_contact_bit(): consented, not stopped, within the channel's limits */
    int16_t quiet_start_min; /* as in the consent; CVM_MINUTE_NONE */
    int16_t quiet_end_min;
    uint8_t preferred_time;
    uint8_t zone; /* word of the policy's zone feature; 255 = the deployment's */
    char language[CVM_LANGUAGE_SIZE];
};
static inline uint16_t cvm_contact_bit(enum cvm_channel channel, enum cvm_purpose purpose)
{
    return (uint16_t)(1u << ((unsigned)channel * CVM_PURPOSE_COUNT + (unsigned)purpose));
}

/* Where the results go. */
struct cvm_verdicts {
    float *values; /* treatment t of customer i: values[t * stride + i]; CVM_VALUE_INELIGIBLE =
                      refused */
    unsigned char *reasons; /* same index; CVM_REASON_PERMITTED or why not */
    float *margins; /* per customer: monthly margin, major units (what incentives scale with) */
    float *churns;  /* per customer: p, calibrated, in the horizon; always filled */
    float *tirings; /* per customer: what late contacts leave of the response, 0..1; NULL = not
                       wanted */
    unsigned char *segments;         /* per customer */
    struct cvm_contact_facts *facts; /* per customer; NULL = not wanted */
    size_t stride;                   /* >= chunk->count */
};
/* Column-wise over the whole chunk; no allocation. */
void cvm_recommend_chunk(const struct cvm_recommender *recommender, const struct cvm_chunk *chunk,
                         const struct cvm_verdicts *out_verdicts);

/* The channel of a permitted treatment for this customer: "any" becomes one. */
enum cvm_channel cvm_recommend_channel(const struct cvm_recommender *recommender, size_t treatment,
                                       const struct cvm_contact_facts *facts);

/* One customer and treatment in full, for explain and spreadsheets. value equals the matrix's value
 * (as float). */
struct cvm_action_value {
    enum cvm_reason reason;
    const char *failed_name; /* of the suppression or limit that refused it; NULL */
    const char *failed_rule; /* text of the clause that refused it, or NULL; the catalogue's */
    const struct cvm_rule_clause *failed_clause; /* the same; NULL for a suppression: that held */
    int failed_feature;       /* the first that the clause reads; CVM_INDEX_NONE */
    double failed_value;      /* its value; NaN = missing */
    enum cvm_channel channel; /* resolved: "any" became one */
    int segment;
    double margin, annuity, worth;          /* margin, H, W */
    double reach, churn, churn_cut, accept; /* q p rho a */
    double extra_margin, incentive;         /* u, g in major units */
    double cost, fatigue;                   /* c k */
    double tiring;                          /* factor on q */
    double value, sd;
    const char *source; /* "prior", "learned", "calibrated" */
    int64_t outcomes;   /* behind it */
};
void cvm_recommend_explain(const struct cvm_recommender *recommender, const struct cvm_chunk *chunk,
                           size_t customer, size_t treatment, struct cvm_action_value *out_value);

/* Standard deviation of the value from those of reach, accept, churn cut and churn (delta method),
 * from the columns that are stored with the values. */
struct cvm_value_facts {
    size_t segment;
    double margin, churn, tiring;
};
double cvm_action_value_sd(const struct cvm_recommender *recommender,
                           const struct cvm_value_facts *facts, size_t treatment);

/* What one treatment of a customer with this margin uses of a budget's measure, half-even to
 * micros, by the treatment's response: hand in one of the catalogue with the responses in force.
 * Expected incentive = q a g: paid to those who accept. Tiring is left out, so that what is booked
 * is at most too careful. */
int64_t cvm_recommend_cost_micro(const struct cvm_treatment *treatment, enum cvm_measure measure,
                                 double margin);
/* The same as flat + rate x margin, for the solver's rows. */
void cvm_recommend_cost_rate(const struct cvm_treatment *treatment, enum cvm_measure measure,
                             double *out_flat, double *out_rate);

/* What all this reads, so that no other feature need be computed: every rule, and the features that
 * are read without one. */
struct cvm_recommend_needs {
    void (*on_rule)(void *state, const struct cvm_rule *rule);
    void (*on_feature)(void *state, size_t feature);
    void *state;
};
void cvm_recommend_list_needs(const struct cvm_catalogue *catalogue,
                              const struct cvm_recommend_needs *needs);

#endif
