/* catalogue.h - everything an analyst configures, as plain data: mappings, features, insights,
 * segments, treatments, constraints. One version of it governs a run.
 *
 * Written as a folder of YAML files (config/ is the shipped one), read by catalogue_read.h.
 * Immutable after reading: may be used from any thread. All texts live as long as the catalogue.
 * Numbers of things (source 3, attribute 17, feature 5, treatment 2) are indexes in this catalogue,
 * valid for this version only.
 */
#ifndef CVM_MODEL_CATALOGUE_H
#define CVM_MODEL_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "model/consent.h"
#include "model/constraint.h"
#include "model/contact_policy.h"
#include "model/governance.h"
#include "rules/rule.h"

#define CVM_SOURCES_MAX     64
#define CVM_ATTRIBUTES_MAX  256
#define CVM_TOPICS_MAX      32
#define CVM_FEATURES_MAX    256
#define CVM_SEGMENTS_MAX    32
#define CVM_TREATMENTS_MAX  64
#define CVM_CONSTRAINTS_MAX 128
#define CVM_INSIGHTS_MAX    64
#define CVM_MAPPINGS_MAX    16
#define CVM_INDEX_NONE      (-1)

/* ---- data: attributes, mappings, topics ---- */

enum cvm_attribute_type {
    CVM_ATTRIBUTE_NUMBER,
    CVM_ATTRIBUTE_BOOLEAN, /* 0 or 1 */
    CVM_ATTRIBUTE_WORD,    /* one of a closed list: the number is the index in it */
    CVM_ATTRIBUTE_DATE,    /* the number is the day */
    CVM_ATTRIBUTE_CODE,    /* short open text compared for equality only: journeys keep its
                              cvm_rule_code() */
    CVM_ATTRIBUTE_LABEL,   /* short open text that is no personal data: a plan name, a page */
    CVM_ATTRIBUTE_TEXT     /* free text: kept in the private blob, searched for topics */
};

/* The declared meaning of a score, without which it may not be used as a probability. */
struct cvm_score {
    double horizon_days; /* 0 = not a score */
    double intercept;    /* p = 1 / (1 + exp(-(intercept + slope * logit(score)))) */
    double slope;
    const char *calibration; /* "assumed", "measured", ... for display */
};

/* A canonical attribute; several sources may fill the same one. */
struct cvm_attribute {
    const char *name; /* "bill.extra" */
    enum cvm_attribute_type type;
    bool personal;            /* kept in the private blob, never a feature */
    bool sensitive;           /* so are the features that read it */
    const char *const *words; /* CVM_ATTRIBUTE_WORD: NULL-terminated */
    uint64_t sources;         /* bit per source that fills it */
    struct cvm_score score;
};

enum cvm_list_aggregate {
    CVM_LIST_FIRST,
    CVM_LIST_SUM,
    CVM_LIST_COUNT,
    CVM_LIST_MIN,
    CVM_LIST_MAX
};

/* One way to find an attribute in a record: steps "a", "b", ... ; a list step walks every element.
 */
#define CVM_PATH_STEPS_MAX 6
struct cvm_path {
    const char *text; /* "additional_charges[].amount" */
    const char *steps[CVM_PATH_STEPS_MAX];
    bool is_list[CVM_PATH_STEPS_MAX]; /* "[]" after the step */
    size_t step_count;
    double scale; /* unit factor, 60 for minutes to seconds */
};

struct cvm_word_map {
    const char *raw; /* as in the source, compared without case */
    double value;    /* index of the canonical word, or a number */
};

/* How one source fills one attribute: the first path that is present wins. */
struct cvm_mapped_field {
    int attribute;
    const struct cvm_path *paths;
    size_t path_count;
    enum cvm_list_aggregate aggregate; /* of what list paths give */
    const struct cvm_word_map
        *words; /* WORD, BOOLEAN: raw words (the canonical ones are included) */
    size_t word_count;
    const int
        *sum_of; /* otherwise the sum of these attributes, mapped before it; missing when all are */
    size_t sum_of_count;
    bool has_constant; /* otherwise this */
    double constant;
    bool required; /* a record without it is rejected */
};

enum cvm_source_kind {
    CVM_SOURCE_EVENTS,     /* dated facts */
    CVM_SOURCE_ATTRIBUTES, /* no date: what is known of the customer, newest version counts */
    CVM_SOURCE_CONSENT     /* permission records */
};

struct cvm_source {
    const char *name;    /* "billing_data" */
    const char *mapping; /* the mapping file's name: "telecom" */
    const char *display_name;
    enum cvm_source_kind kind;
    int rank;                         /* order among events of one moment */
    const char *const *file_patterns; /* "billing_data*"; NULL-terminated */
    const struct cvm_path *customer_paths;
    size_t customer_path_count;
    const struct cvm_path *date_paths; /* none for attributes */
    size_t date_path_count;
    const struct cvm_path *identity_paths; /* key fields; none = hash of the record */
    size_t identity_path_count;
    const struct cvm_mapped_field *fields;
    size_t field_count;
    const struct cvm_path *ignored_paths; /* known and not kept as unknown fields */
    size_t ignored_path_count;
    const char *sentence; /* timeline: "{bill.plan_name}: {bill.total} in total" */
    const char *channel;  /* journey metrics: interactions_by_channel; NULL = not an interaction */
    double freshness_days_max; /* 0 = not declared */
    double expected_rows_min;  /* 0 = not declared */
    int keep_days; /* of CVM_SOURCE_EVENTS: events of the last so many days are kept, the day of
                      counting among them; 0 = all of them */
    /* CVM_SOURCE_CONSENT */
    struct cvm_path consent_path; /* object of channel -> purpose -> yes/no; direction outbound */
    struct cvm_path quiet_path;   /* step_count 0 = not given */
    struct cvm_path preferred_path;
    struct cvm_path language_path;
};

/* Words in free text that mean the same: up to 32, one bit per topic and event. */
struct cvm_topic {
    const char *name;
    const char *const *phrases; /* whole words, any case; NULL-terminated */
    bool is_anonymous;          /* of a rule's mentions(); behind all named ones */
};

/* Aliases: raw word -> canonical number. */
struct cvm_alias {
    const char *raw;
    int value;
};
struct cvm_language_alias {
    const char *raw;
    const char *code;
};
struct cvm_consent_words {
    const struct cvm_alias *channels;
    size_t channel_count;
    const struct cvm_alias *purposes;
    size_t purpose_count;
    const struct cvm_alias *preferred_times;
    size_t preferred_time_count;
    const struct cvm_language_alias *languages;
    size_t language_count;
    const char *const *yes; /* NULL-terminated */
    const char *const *no;
    enum cvm_channel any_order[CVM_CHANNEL_COUNT]; /* which channel "any" tries first */
};

/* ---- journey ---- */

enum cvm_aggregate {
    CVM_AGGREGATE_COUNT,
    CVM_AGGREGATE_SUM,
    CVM_AGGREGATE_AVG,
    CVM_AGGREGATE_MIN,
    CVM_AGGREGATE_MAX,
    CVM_AGGREGATE_LAST,
    CVM_AGGREGATE_FIRST,
    CVM_AGGREGATE_TREND,     /* least-squares slope per 30 days */
    CVM_AGGREGATE_DAYS_SINCE /* as-of day minus the last event's day, or minus a DATE attribute */
};

/* From events, or by a rule over the features before it. A rule's own aggregate is an anonymous
 * feature, named as it was written. */
struct cvm_feature {
    const char *name;
    const char *description;
    enum cvm_rule_type type;
    bool is_anonymous;
    struct cvm_rule rule; /* clause_count 0: from events, as below */
    uint64_t sources;     /* bit per source */
    int attribute;        /* CVM_INDEX_NONE: the event itself (count, days_since) */
    enum cvm_aggregate aggregate;
    int window_days; /* last n days including the as-of day; 0 = the whole history window */
    struct cvm_rule where;
    bool sensitive; /* may not enter a value; so is what a rule makes of it */
    const char *const
        *words; /* of the attribute, when it is a WORD and the aggregate keeps it; else NULL */
};

struct cvm_insight {
    const char *name;
    const char *severity; /* "info", "warning", "high" */
    struct cvm_rule when; /* over features */
    const char *sentence; /* "{feature}" is replaced by its value */
};

/* A sentence of the summary: the first `when` that holds gives the text of its group. */
struct cvm_summary_line {
    int group;
    struct cvm_rule when;
    const char *sentence;
};

/* "metrics" of the journey contract: name or name.part -> feature. */
struct cvm_metric_line {
    const char *name; /* "sentiment.positive" */
    int feature;
};

/* ---- values ---- */

struct cvm_segment {
    const char *name;
    struct cvm_rule when; /* first that holds wins; the last segment has none */
    double margin_median; /* monthly, major units: used when the margin feature is missing */
    double margin_min;
    double margin_max;
    double churn_month; /* probability */
    double churn_month_sd;
    int horizon_months;
};

struct cvm_value_model {
    int horizon_days;      /* of churn: 90 */
    int churn_feature;     /* a declared score; CVM_INDEX_NONE = segment prior only */
    int margin_feature;    /* monthly charge; CVM_INDEX_NONE = segment median */
    double margin_share;   /* of the charge */
    double discount_month; /* .992 */
    double churn_growth;   /* 1.5: survival (1 - 1.5 churn)^k */
    double fatigue;        /* k per marketing contact, major units */
    int contacts_feature;  /* marketing contacts of late; CVM_INDEX_NONE = responses do not tire */
    double tiring;         /* .85: q shrinks by this factor with each of them */
};

enum cvm_treatment_class {
    CVM_CLASS_MANDATORY,
    CVM_CLASS_SERVICE,
    CVM_CLASS_RETENTION,
    CVM_CLASS_SALES
};
extern const char *const cvm_treatment_class_words[];

struct cvm_resource_use {
    int constraint; /* index of a resource constraint */
    double units;   /* per treatment */
};
#define CVM_USES_MAX 8

/* Priors of the response model, design: action value. */
struct cvm_response {
    double reach, reach_sd;         /* q */
    double accept, accept_sd;       /* a */
    double churn_cut, churn_cut_sd; /* rho; may be negative */
    double incentive;               /* g, major units, paid to every acceptor ... */
    double incentive_margins;       /* ... plus this many monthly margins */
    double extra_margin;            /* u per month */
    const char *source;             /* "prior", "learned" (from outcomes), "calibrated" (also
                                       against a control group) */
    int64_t outcomes;               /* behind it; 0 = a prior */
};

struct cvm_treatment {
    const char *id;
    const char *display_name;
    const char *description;
    const char *action; /* what we do, whatever the channel; defaults to id */
    bool enabled;
    bool custom; /* added by a person, not shipped */
    enum cvm_channel channel;
    enum cvm_purpose purpose;
    enum cvm_treatment_class class;
    int32_t valid_from_day; /* CVM_DAY_NONE = open */
    int32_t valid_to_day;   /* inclusive */
    struct cvm_rule eligible;
    struct cvm_rule applicable;
    struct cvm_rule suitable;
    int64_t max_per_day;       /* capacity; -1 = unlimited */
    int64_t priority;          /* 1 = highest; breaks exact ties only */
    int64_t cost_micro;        /* marginal, per contact: enters the value and the budget */
    int64_t loaded_cost_micro; /* reports only */
    struct cvm_resource_use uses[CVM_USES_MAX];
    size_t use_count;
    struct cvm_response response;
    const char *const *languages; /* that its content is written in; none = nobody said */
    size_t language_count;
    int response_days;      /* a response counts within so many days of the contact */
    int outcome_days;       /* churn is looked at after so many */
    const char *created_at; /* as given, or NULL */
    const char *updated_at;
    const char *file; /* catalogue file it stands in, "treatments/data_boost.yaml" */
};

/* ---- the whole ---- */

struct cvm_catalogue {
    char digest[CVM_DIGEST_TEXT_SIZE];      /* of all files */
    char data_digest[CVM_DIGEST_TEXT_SIZE]; /* of what packed journeys depend on: sources,
                                               attributes, topics */
    int64_t version;                        /* 0 = not stored yet */

    struct cvm_source *sources;
    size_t source_count;
    struct cvm_attribute *attributes;
    size_t attribute_count;
    struct cvm_topic *topics;
    size_t topic_count;
    struct cvm_consent_words consent_words;

    int history_days; /* the history window of a run, ending with the as-of day */
    struct cvm_feature *features;
    size_t feature_count;
    struct cvm_insight *insights;
    size_t insight_count;
    struct cvm_summary_line *summary_lines;
    size_t summary_line_count;
    struct cvm_metric_line *metric_lines;
    size_t metric_line_count;

    struct cvm_value_model value;
    struct cvm_segment *segments;
    size_t segment_count;
    struct cvm_treatment *treatments; /* without "ignore" */
    size_t treatment_count;
    struct cvm_treatment ignore;
    struct cvm_constraint *constraints; /* capacities first, in treatment order */
    size_t constraint_count;            /* of the ledger */
    size_t group_count;                 /* of groups of customers, behind them */

    struct cvm_suppression *suppressions;
    size_t suppression_count;
    struct cvm_contact_policy policy;
    struct cvm_control control;
    struct cvm_trigger *triggers;
    size_t trigger_count;
    struct cvm_release_rules release;
    struct cvm_channel_file *channel_files;
    size_t channel_file_count;
    int report_groups[CVM_REPORT_GROUPS_MAX]; /* features whose groups a report compares */
    size_t report_group_count;
};

/* Index or CVM_INDEX_NONE. */
int cvm_catalogue_source(const struct cvm_catalogue *catalogue, const char *name);
int cvm_catalogue_attribute(const struct cvm_catalogue *catalogue, const char *name);
int cvm_catalogue_feature(const struct cvm_catalogue *catalogue, const char *name);
int cvm_catalogue_treatment(const struct cvm_catalogue *catalogue, const char *id);
int cvm_catalogue_trigger(const struct cvm_catalogue *catalogue, const char *name);
int cvm_catalogue_constraint(const struct cvm_catalogue *catalogue, const char *id);
int cvm_catalogue_segment(const struct cvm_catalogue *catalogue, const char *name);
/* How many days back features look at events of the source, the as-of day counted; 0 = none does.
 * *out_feature, which may be NULL, is the one that looks back furthest. */
int cvm_catalogue_reach_days(const struct cvm_catalogue *catalogue, size_t source,
                             int *out_feature);
/* The capacity of the treatment, or CVM_INDEX_NONE. */
int cvm_catalogue_capacity(const struct cvm_catalogue *catalogue, size_t treatment);

#endif
