/* recommender.h - a recommender from inside: what the files of recommend/ share; nobody else
 * includes it. */
#ifndef CVM_RECOMMEND_RECOMMENDER_H
#define CVM_RECOMMEND_RECOMMENDER_H

#include "recommend/eligibility.h"

#define CVM_TIRING_STEPS 32

struct cvm_segment_terms {
    double annuity;
    double churn;          /* prior over the catalogue's horizon */
    double churn_sd_share; /* its standard deviation over it */
};

struct cvm_treatment_terms {
    struct cvm_response response;
    double cost;
    double fatigue;
    bool tires; /* a marketing contact */
};

struct cvm_recommender {
    const struct cvm_catalogue *catalogue;
    const struct cvm_score *score; /* NULL = segment priors only */
    int32_t as_of_day;
    struct cvm_segment_terms segments[CVM_SEGMENTS_MAX];
    struct cvm_treatment_terms treatments[CVM_TREATMENTS_MAX];
    float tirings[CVM_TIRING_STEPS]; /* after 0, 1, 2 ... contacts */
    struct cvm_standing_rules standing;
    struct cvm_gate gates[CVM_TREATMENTS_MAX];
};

/* What the values of up to CVM_STRIP_SIZE customers are made of. Margin, churn and tiring are
 * floats, as they are stored: value, incentive, standard deviation and the solver's rows are all
 * made from the same numbers. */
struct cvm_strip {
    size_t from;
    size_t count;
    unsigned char segments[CVM_STRIP_SIZE];
    float margins[CVM_STRIP_SIZE];
    float churns[CVM_STRIP_SIZE];
    float tirings[CVM_STRIP_SIZE];
};
void cvm_strip_fill(const struct cvm_recommender *recommender, const struct cvm_chunk *chunk,
                    size_t from, size_t count, struct cvm_strip *out_strip);
/* Values of one treatment whatever its gate says. */
void cvm_strip_values(const struct cvm_recommender *recommender, size_t treatment,
                      const struct cvm_strip *strip, float *values);

#endif
