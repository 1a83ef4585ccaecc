/* constraint.h - what the catalogue says is scarce, and limits on groups of customers. */
#ifndef CVM_MODEL_CONSTRAINT_H
#define CVM_MODEL_CONSTRAINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json_writer.h"
#include "rules/rule.h"

enum cvm_constraint_kind {
    CVM_CONSTRAINT_CAPACITY, /* of one treatment; made from max_per_day, id "capacity:<treatment>"
                              */
    CVM_CONSTRAINT_RESOURCE, /* shared units: call-centre minutes */
    CVM_CONSTRAINT_BUDGET,   /* money of one measure */
    /* Of a group of customers: not in the ledger, they hold within one run. */
    CVM_CONSTRAINT_SEGMENT_MAX, /* treatments in the group */
    CVM_CONSTRAINT_SEGMENT_MIN,
    CVM_CONSTRAINT_SHARE_MIN, /* of all these treatments, those in the group */
    CVM_CONSTRAINT_SHARE_MAX,
    CVM_CONSTRAINT_RESERVE /* of the capacity of one treatment, kept for the group */
};
enum cvm_measure { CVM_MEASURE_MARGINAL, CVM_MEASURE_INCENTIVE, CVM_MEASURE_BOTH };
enum cvm_period { CVM_PERIOD_RUN, CVM_PERIOD_DAY, CVM_PERIOD_WEEK, CVM_PERIOD_MONTH };
extern const char *const cvm_constraint_kind_words[];
extern const char *const cvm_measure_words[];
extern const char *const cvm_period_words[];

struct cvm_constraint {
    const char *id; /* "capacity:retention_email", "call_centre_minutes", "incentive_budget" */
    const char *display_name;
    enum cvm_constraint_kind kind;
    enum cvm_period period;
    enum cvm_measure measure; /* budgets */
    uint64_t treatments;      /* bit per treatment that counts */
    int64_t limit; /* units, or micros for a budget; resources: thousandths of a unit; shares:
                      thousand-millionths */
    /* Of a group: who is in it. */
    int segment;               /* CVM_INDEX_NONE = any */
    struct cvm_rule customers; /* over features */
};

static inline bool cvm_constraint_is_group(const struct cvm_constraint *constraint)
{
    return constraint->kind >= CVM_CONSTRAINT_SEGMENT_MAX;
}
static inline bool cvm_constraint_is_share(const struct cvm_constraint *constraint)
{
    return constraint->kind == CVM_CONSTRAINT_SHARE_MIN ||
           constraint->kind == CVM_CONSTRAINT_SHARE_MAX;
}
#define CVM_SHARE_SCALE INT64_C(1000000000)

/* So many of an amount are one unit as people count it: 1, 1000 of a resource, a million of money,
 * a thousand million of a share. */
int64_t cvm_constraint_scale(const struct cvm_constraint *constraint);
/* An amount as people count it. */
void cvm_constraint_write_amount(const struct cvm_constraint *constraint, int64_t amount,
                                 struct cvm_json_writer *json);

#endif
