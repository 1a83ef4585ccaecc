/* small_catalogue.h - a catalogue of three treatments and a chunk, built by hand for the tests of
 * this folder. */
#ifndef CVM_TESTS_RECOMMEND_SMALL_CATALOGUE_H
#define CVM_TESTS_RECOMMEND_SMALL_CATALOGUE_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "recommend/action_value.h"

enum { FEATURE_CHURN, FEATURE_CHARGE, FEATURE_PLAN, FEATURE_TENURE, FEATURE_COUNT };
enum { PLAN_PREPAID, PLAN_CONTRACT };
enum { SMS, UPGRADE, BOOST, TREATMENT_COUNT };
enum { AS_OF = 19802 };

struct small {
    struct cvm_catalogue catalogue;
    struct cvm_attribute attributes[1];
    struct cvm_feature features[FEATURE_COUNT];
    struct cvm_segment segments[2];
    struct cvm_treatment treatments[TREATMENT_COUNT];
    struct cvm_rule_clause clauses[8];
    char texts[8][64];
    struct cvm_recommend_options options;
    struct cvm_recommender *recommender;
    struct cvm_chunk *chunk;
    float values[TREATMENT_COUNT * CVM_CHUNK_SIZE];
    unsigned char reasons[TREATMENT_COUNT * CVM_CHUNK_SIZE];
    float margins[CVM_CHUNK_SIZE];
    float churns[CVM_CHUNK_SIZE];
    unsigned char segment_of[CVM_CHUNK_SIZE];
};

/* clauses[slot] becomes a rule of its own, and its text what an analyst would have written. */
static inline struct cvm_rule small_rule(struct small *small, size_t slot, int feature,
                                         enum cvm_compare compare, double value)
{
    static const char *const signs[] = {"==", "!=", "<", "<=", ">", ">="};
    char *text = small->texts[slot];
    (void)snprintf(text, sizeof(small->texts[slot]), "%s %s %g", small->features[feature].name,
                   signs[compare], value);
    struct cvm_rule_part *part = &small->clauses[slot].whole;
    *part = (struct cvm_rule_part){
        .text = text,
        .is_simple = true,
        .comparison = {(uint16_t)feature, (uint8_t)compare, value},
        .operands = &part->comparison.operand,
        .operand_count = 1,
    };
    return (struct cvm_rule){.text = text, .clauses = &small->clauses[slot], .clause_count = 1};
}

static inline void small_treatments(struct small *small)
{
    small->treatments[SMS] = (struct cvm_treatment){
        .id = "retention_sms",
        .channel = CVM_CHANNEL_SMS,
        .purpose = CVM_PURPOSE_MARKETING,
        .cost_micro = 10000,
        .response = {.reach = .95,
                     .reach_sd = .02,
                     .accept = .03,
                     .accept_sd = .01,
                     .churn_cut = .04,
                     .churn_cut_sd = .04,
                     .incentive_margins = .5},
    };
    small->treatments[UPGRADE] = (struct cvm_treatment){
        .id = "early_upgrade",
        .channel = CVM_CHANNEL_ANY,
        .purpose = CVM_PURPOSE_MARKETING,
        .cost_micro = 300000,
        .response = {.reach = .6,
                     .reach_sd = .08,
                     .accept = .1,
                     .accept_sd = .03,
                     .churn_cut = .35,
                     .churn_cut_sd = .2,
                     .incentive_margins = 3.0,
                     .extra_margin = 1.0},
    };
    small->treatments[BOOST] = (struct cvm_treatment){
        .id = "data_boost",
        .channel = CVM_CHANNEL_NONE,
        .purpose = CVM_PURPOSE_SERVICE,
        .cost_micro = 10000,
        .response = {.reach = .95,
                     .reach_sd = .02,
                     .accept = .4,
                     .accept_sd = .08,
                     .churn_cut = .04,
                     .churn_cut_sd = .04,
                     .incentive = .15,
                     .extra_margin = .03,
                     .source = "learned"},
    };
    for (size_t t = 0; t < TREATMENT_COUNT; t++) {
        small->treatments[t].enabled = true;
        small->treatments[t].valid_from_day = CVM_DAY_NONE;
        small->treatments[t].valid_to_day = CVM_DAY_NONE;
    }
}

static inline void small_init(struct small *small)
{
    static const char *const plans[] = {"prepaid", "contract", NULL};
    static const enum cvm_channel order[] = {CVM_CHANNEL_CALL, CVM_CHANNEL_EMAIL, CVM_CHANNEL_SMS,
                                             CVM_CHANNEL_PUSH};
    memset(small, 0, sizeof(*small));
    small->attributes[0].name = "churn.score";
    small->attributes[0].score = (struct cvm_score){90.0, 0.0, 1.0, "assumed"};
    small->features[FEATURE_CHURN] = (struct cvm_feature){.name = "churn_90d", .attribute = 0};
    small->features[FEATURE_CHARGE] =
        (struct cvm_feature){.name = "plan_charge", .attribute = CVM_INDEX_NONE};
    small->features[FEATURE_PLAN] =
        (struct cvm_feature){.name = "plan_type", .attribute = CVM_INDEX_NONE, .words = plans};
    small->features[FEATURE_TENURE] =
        (struct cvm_feature){.name = "tenure_months", .attribute = CVM_INDEX_NONE};
    small->segments[0] =
        (struct cvm_segment){.name = "prepaid",
                             .when = small_rule(small, 0, FEATURE_PLAN, CVM_EQUAL, PLAN_PREPAID),
                             .margin_median = 3.0,
                             .margin_min = 1.0,
                             .margin_max = 8.0,
                             .churn_month = .03,
                             .churn_month_sd = .0075,
                             .horizon_months = 2};
    small->segments[1] = (struct cvm_segment){.name = "contract",
                                              .margin_median = 13.0,
                                              .margin_min = 8.0,
                                              .margin_max = 25.0,
                                              .churn_month = .01,
                                              .churn_month_sd = .002,
                                              .horizon_months = 24};
    small_treatments(small);
    small->catalogue = (struct cvm_catalogue){
        .attributes = small->attributes,
        .attribute_count = 1,
        .features = small->features,
        .feature_count = FEATURE_COUNT,
        .segments = small->segments,
        .segment_count = 2,
        .treatments = small->treatments,
        .treatment_count = TREATMENT_COUNT,
        .value = {.horizon_days = 90,
                  .churn_feature = FEATURE_CHURN,
                  .margin_feature = FEATURE_CHARGE,
                  .margin_share = .55,
                  .discount_month = .992,
                  .churn_growth = 1.5,
                  .fatigue = .03,
                  .contacts_feature = CVM_INDEX_NONE},
        .policy = {.source = CVM_INDEX_NONE,
                   .zone_feature = CVM_INDEX_NONE,
                   .household_feature = CVM_INDEX_NONE},
    };
    memcpy(small->catalogue.consent_words.any_order, order, sizeof(order));
    small->options = (struct cvm_recommend_options){
        .as_of_day = AS_OF,
        .direction = CVM_DIRECTION_OUTBOUND,
        .channel = CVM_CHANNEL_UNSET,
        .allowed = ~UINT64_C(0),
        .forced_treatment = CVM_INDEX_NONE,
    };
    assert_int_equal(cvm_chunk_create(CVM_CHUNK_SIZE, FEATURE_COUNT, &small->chunk, NULL), CVM_OK);
}

static inline void small_finish(struct small *small)
{
    cvm_recommender_destroy(small->recommender);
    cvm_chunk_destroy(small->chunk);
}

static inline void small_set(struct small *small, size_t customer, int feature, double value)
{
    small->chunk->features[(size_t)feature * small->chunk->capacity + customer] = value;
}

static inline void small_grant(struct small *small, size_t customer, enum cvm_channel channel,
                               enum cvm_purpose purpose, bool is_granted)
{
    struct cvm_consent *consent = &small->chunk->consents[customer];
    uint32_t bit = cvm_consent_bit(channel, CVM_DIRECTION_OUTBOUND, purpose);
    consent->has_record = true;
    consent->recorded |= bit;
    consent->granted = is_granted ? consent->granted | bit : consent->granted & ~bit;
}

/* A prepaid customer of 10 a month, churn .2, 30 months, who consents to everything. */
static inline size_t small_add(struct small *small)
{
    size_t customer = small->chunk->count++;
    cvm_consent_init(&small->chunk->consents[customer]);
    for (int c = 0; c < CVM_CHANNEL_COUNT; c++) {
        for (int p = 0; p < CVM_PURPOSE_COUNT; p++) {
            small_grant(small, customer, (enum cvm_channel)c, (enum cvm_purpose)p, true);
        }
    }
    small_set(small, customer, FEATURE_CHURN, .2);
    small_set(small, customer, FEATURE_CHARGE, 10.0);
    small_set(small, customer, FEATURE_PLAN, PLAN_PREPAID);
    small_set(small, customer, FEATURE_TENURE, 30.0);
    return customer;
}

static inline void small_recommend(struct small *small)
{
    struct cvm_error err;
    err.message[0] = '\0';
    cvm_recommender_destroy(small->recommender);
    small->recommender = NULL;
    enum cvm_status status =
        cvm_recommender_create(&small->catalogue, &small->options, &small->recommender, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, CVM_OK);
    struct cvm_verdicts verdicts = {.values = small->values,
                                    .reasons = small->reasons,
                                    .margins = small->margins,
                                    .churns = small->churns,
                                    .segments = small->segment_of,
                                    .stride = CVM_CHUNK_SIZE};
    cvm_recommend_chunk(small->recommender, small->chunk, &verdicts);
}

static inline struct cvm_action_value small_explain(const struct small *small, size_t customer,
                                                    size_t treatment)
{
    struct cvm_action_value value;
    cvm_recommend_explain(small->recommender, small->chunk, customer, treatment, &value);
    return value;
}

static inline float small_value(const struct small *small, size_t customer, size_t treatment)
{
    return small->values[treatment * CVM_CHUNK_SIZE + customer];
}

static inline enum cvm_reason small_reason(const struct small *small, size_t customer,
                                           size_t treatment)
{
    unsigned char reason = small->reasons[treatment * CVM_CHUNK_SIZE + customer];
    /* Both ways must agree, always. */
    assert_int_equal(small_explain(small, customer, treatment).reason, reason);
    return (enum cvm_reason)reason;
}

#endif
