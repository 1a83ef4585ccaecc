/* report.h - the figures of a run, for people: what it is worth and how sure that is, what it uses,
 * whom it refuses and why, what changed, what simpler rules would have done, what was measured.
 *
 * Made from what the run left behind (its record, decisions, value blocks), and one scan for the
 * groups. Money that is expected is in major units. What can not be said is NaN, and has a reason
 * in the has_... flags. All texts live in the arena.
 */
#ifndef CVM_ENGINE_REPORT_H
#define CVM_ENGINE_REPORT_H

#include "base/arena.h"
#include "engine/engine.h"
#include "evaluation/proportion.h"
#include "model/reason.h"
#include "storage/plan_store.h"

/* What some decisions come to. The errors of one treatment's parameters are shared by all its
 * decisions, so that sds add within a treatment and squares between treatments. */
struct cvm_report_sum {
    int64_t treated;        /* without ghosts */
    int64_t contacts;       /* of them on a channel */
    double contact_value;   /* of those */
    int64_t ghosts;         /* in a control group: would have been treated */
    double value, value_sd; /* over the horizon of the value */
    double year, year_sd;   /* of it in the first 12 months */
    double withheld;        /* value of the ghosts */
    int64_t cost_micro, incentive_micro, loaded_micro;
};

struct cvm_report_treatment {
    int index;
    const char *id, *display_name;
    const char *source; /* "prior", "learned", "calibrated" */
    int64_t outcomes;   /* behind it */
    int64_t permitted;  /* customers who may have it, and for whom it is ... */
    int64_t valuable;   /* ... worth something */
    struct cvm_report_sum sum;
};

struct cvm_report_segment {
    const char *name;
    int64_t customers;
    int64_t permitted; /* something at all */
    struct cvm_report_sum sum;
};

/* In units as people count them: contacts, resource units, major units of money. */
struct cvm_report_limit {
    const char *id, *display_name;
    enum cvm_constraint_kind kind;
    enum cvm_period period;
    int treatment;    /* of a capacity; CVM_INDEX_NONE */
    double granted;   /* for the period */
    double elsewhere; /* of it used by others before, or kept for real time */
    double used;      /* by this run */
    double left;
    bool was_gone; /* nothing was left when the run began */
    double price; /* of one more unit; 0 = it is not scarce, NAN = it alone would bring nothing, and
                     nothing was left */
    bool has_range;
    double price_low, price_high; /* the plan is the same for any price from one to the other */
    bool is_binding;
};

/* Customers who pass one gate after the other. */
struct cvm_report_funnel {
    int64_t customers, undecided, permitted, valuable, above_price, chosen, treated;
};

struct cvm_report_refusal {
    enum cvm_reason reason;
    int64_t pairs; /* of customer and treatment */
};

struct cvm_report_source {
    const char *name, *display_name;
    int32_t newest_day;     /* CVM_DAY_NONE: undated, or nothing yet */
    int age_days;           /* on the run's date; -1 = not known */
    double freshness_days;  /* 0 = not declared */
    int64_t imported_at_ms; /* 0 = never */
    int64_t records;
    bool is_stale;
};

struct cvm_report_step {
    int64_t at_ms;
    const char *who, *why, *state;
};

#define CVM_REPORT_CAUSES_MAX 6
/* One treatment or segment against the other run. */
struct cvm_report_change {
    const char *name;
    int64_t treated, treated_before;
    double value, value_before;
    const char *causes[CVM_REPORT_CAUSES_MAX]; /* sentences, the likeliest first */
    size_t cause_count;
};

/* How often a group is treated. */
struct cvm_report_group {
    const char *feature; /* "language" for that of the permission record */
    const char *display_name;
    const char *value;
    int64_t customers, permitted, treated;
    struct cvm_interval rate;  /* treated of customers */
    struct cvm_interval ratio; /* to the largest group's rate */
    bool is_reference;         /* the largest */
};

struct cvm_report_baseline {
    const char *name, *display_name;
    double value;
    int64_t treated;
};

/* Treated against not treated, of decisions whose outcome window has ended. */
struct cvm_report_outcome {
    const char *treatment; /* NULL = all marketing, against the universal control group */
    const char *display_name;
    int64_t treated, controls;
    double treated_churned, controls_churned;   /* customers */
    double treated_expected, controls_expected; /* rates that the decisions were made with */
    struct cvm_interval treated_rate, control_rate, difference; /* weighted; of churn */
    double smallest_fall; /* of the control's rate that these sizes show; NaN = none */
    bool is_too_few;
};

/* Responses to contacts, as reported so far. */
struct cvm_report_response {
    const char *treatment, *display_name;
    int64_t contacts, reached, answers, accepted;
};

#define CVM_REPORT_SOURCE_KINDS 3
extern const char *const cvm_report_source_kinds[CVM_REPORT_SOURCE_KINDS];

struct cvm_report {
    struct cvm_run_record run;
    struct cvm_run_record before;          /* run_id NULL = there is none to compare with */
    const struct cvm_catalogue *catalogue; /* of the run, with the responses that it used */
    bool has_values;                       /* the run's value blocks are still kept */
    bool is_forced;                        /* one treatment was asked for: nothing to compare */

    struct cvm_report_sum total;
    double by_source[CVM_REPORT_SOURCE_KINDS]; /* share of the value that rests on each kind; 0
                                                  counts what is left of priors in the others */
    double dual_bound, gap;
    double regret, slack; /* where the gap lies; NAN = the run is from before it was kept */
    struct cvm_report_funnel funnel;
    struct cvm_report_treatment treatments[CVM_TREATMENTS_MAX];
    size_t treatment_count;
    struct cvm_report_segment segments[CVM_SEGMENTS_MAX];
    size_t segment_count;
    struct cvm_report_limit limits[CVM_CONSTRAINTS_MAX];
    size_t limit_count;
    struct cvm_report_refusal refusals[CVM_REASON_COUNT]; /* most first */
    size_t refusal_count;
    struct cvm_report_source sources[CVM_SOURCES_MAX];
    size_t source_count;
    struct cvm_report_step *steps;
    size_t step_count;
    struct cvm_report_sum before_total;
    struct cvm_report_change *treatment_changes;
    size_t treatment_change_count;
    struct cvm_report_change *segment_changes;
    size_t segment_change_count;
    const char **causes; /* of the whole change */
    size_t cause_count;
    struct cvm_report_group *groups; /* by feature, largest first */
    size_t group_count;
    struct cvm_report_baseline baselines[4]; /* the plan first */
    size_t baseline_count;
    struct cvm_report_outcome *outcomes;
    size_t outcome_count;
    struct cvm_report_response *responses;
    size_t response_count;
    const char **hold_reasons;
    size_t hold_reason_count;
};

struct cvm_report_request {
    const char *run_id;  /* or a prefix, or "latest" */
    const char *against; /* the same; NULL = the last one of its kind as of an earlier date */
};
/* The engine's catalogue is the run's version, or one with the same sources. CVM_E_CONFLICT for a
 * run that is not finished or holds decisions of single customers. */
CVM_MUST_CHECK enum cvm_status cvm_report_make(struct cvm_engine *engine, struct cvm_store *store,
                                               const struct cvm_report_request *request,
                                               struct cvm_arena *arena,
                                               const struct cvm_report **out_report,
                                               struct cvm_error *err);

#endif
