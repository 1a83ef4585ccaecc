/* plan_diff.h - what one plan gives that another did not: by treatment and by value segment, and
 * what changed in between that may be the cause.
 */
#ifndef CVM_ENGINE_PLAN_DIFF_H
#define CVM_ENGINE_PLAN_DIFF_H

#include "base/arena.h"
#include "model/catalogue_read.h"
#include "storage/plan_store.h"

struct cvm_plan_sum {
    int64_t count;
    double value;
    int64_t spend_micro;
};
/* Of one treatment: customers that had nothing before and get it now, that had it and get nothing,
 * that had another, that get another now. Of a segment `came` and `went` are both the customers
 * whose treatment changed. */
struct cvm_plan_diff_line {
    const char *name;
    struct cvm_plan_sum before, after;
    int64_t gained, lost, came, went;
};

/* Something that changed between the two runs. */
struct cvm_plan_cause {
    const char *kind; /* "catalogue", "data", "responses", "capacity", "request" */
    const char *text;
};

#define CVM_PLAN_DIFF_LINES_MAX  160
#define CVM_PLAN_DIFF_CAUSES_MAX 200
struct cvm_plan_diff {
    struct cvm_run_record before, after;
    struct cvm_plan_diff_line treatments[CVM_PLAN_DIFF_LINES_MAX];
    size_t treatment_count;
    struct cvm_plan_diff_line segments[CVM_PLAN_DIFF_LINES_MAX]; /* "" = no longer known */
    size_t segment_count;
    struct cvm_plan_diff_line total;
    int64_t kept; /* customers with the same treatment in both */
    struct cvm_plan_cause causes[CVM_PLAN_DIFF_CAUSES_MAX];
    size_t cause_count;
    int64_t causes_more; /* that had no room */
};

/* `before` and `after` are done runs. The difference lives in the arena. */
CVM_MUST_CHECK enum cvm_status
cvm_plan_diff(struct cvm_store *store, const struct cvm_run_record *before,
              const struct cvm_run_record *after, struct cvm_arena *arena,
              const struct cvm_plan_diff **out_diff, struct cvm_error *err);

/* plan_causes.c, for plan_diff.c only. */
CVM_MUST_CHECK enum cvm_status cvm_plan_causes(struct cvm_store *store, struct cvm_plan_diff *diff,
                                               const struct cvm_catalogue *const catalogues[2],
                                               struct cvm_arena *arena, struct cvm_error *err);

#endif
