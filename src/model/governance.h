/* governance.h - how a plan is tested, approved and handed over: control groups (control.yaml),
 * release rules (release.yaml), channel files (channels/NAME.yaml), as plain data. Triggers
 * (triggers/NAME.yaml) too.
 */
#ifndef CVM_MODEL_GOVERNANCE_H
#define CVM_MODEL_GOVERNANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/consent.h"
#include "rules/rule.h"

#define CVM_TRIGGERS_MAX        128
#define CVM_STRATA_FEATURES_MAX 4
#define CVM_CHANNEL_FILES_MAX   16
#define CVM_FILE_COLUMNS_MAX    64
#define CVM_REPORT_GROUPS_MAX   8

/* Whom to look for. */
struct cvm_trigger {
    const char *name;
    const char *display_name;
    const char *description;
    bool enabled;
    bool custom; /* added by a person, not shipped */
    struct cvm_rule when;
    const char *created_at; /* as given, or NULL */
    const char *file;       /* "triggers/churn_risk.yaml" */
};

/* Ghosts go through the solve: their would-be treatment is recorded and uses nothing. */
struct cvm_control {
    double universal_share;  /* of customers, frozen at enrolment; withholds marketing only */
    int64_t least_customers; /* smaller bases have no control groups */
    int strata[CVM_STRATA_FEATURES_MAX]; /* features besides the value segment */
    size_t strata_count;
    double holdout[64]; /* per treatment: share of customers whose action is held out; the same for
                           all treatments of one action */
};

/* A plan that differs more than this from the last run of its kind is held for a person. 0 = the
 * check is off. */
struct cvm_release_rules {
    int64_t least_decisions; /* smaller plans are not compared */
    double volume_change;    /* share of decisions */
    double spend_change;     /* share of spend */
    double treatment_change; /* share of one treatment's decisions */
    double opt_out_rate;     /* of contacts sent in the last 7 days */
    double source_shrink;    /* newest batch of a source against the one before */
    bool hold_stale;         /* a source older than its freshness_days */
};

enum cvm_file_format { CVM_FILE_CSV, CVM_FILE_NDJSON };
/* A column of a channel file: a field of the decision (decision_id, customer_id, treatment, action,
 * offer, language, earliest_at, latest_at, value, display_name, run_id, as_of, is_test), a feature,
 * or a constant. */
struct cvm_file_column {
    const char *name;
    const char *field;
    int feature; /* CVM_INDEX_NONE: see field, constant */
    const char *constant;
};
struct cvm_channel_file {
    const char
        *name; /* of the file and of the channel: call, email, ...; "none" = without contact */
    enum cvm_channel channel;
    enum cvm_file_format format;
    char delimiter;
    struct cvm_file_column *columns;
    size_t column_count;
    const char *const *test_recipients; /* customer ids put into every test file; NULL-terminated */
    const char *file;                   /* "channels/sms.yaml" */
};

#endif
