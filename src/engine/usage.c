#include "engine/usage.h"

#include <math.h>

#include "model/money.h"
#include "recommend/action_value.h"

static bool counts(const struct cvm_constraint *constraint, size_t treatment)
{
    return constraint->limit >= 0 && (constraint->treatments >> treatment & 1) != 0;
}

int64_t cvm_usage_units(const struct cvm_catalogue *catalogue, size_t constraint, size_t treatment)
{
    const struct cvm_constraint *limit = &catalogue->constraints[constraint];
    const struct cvm_treatment *user = &catalogue->treatments[treatment];
    if (!counts(limit, treatment) || limit->kind == CVM_CONSTRAINT_BUDGET) {
        return 0;
    }
    if (limit->kind == CVM_CONSTRAINT_CAPACITY) {
        return 1;
    }
    int64_t units = 0;
    for (size_t u = 0; u < user->use_count; u++) {
        if (user->uses[u].constraint == (int)constraint) {
            units = llrint(user->uses[u].units * 1000);
        }
    }
    return units;
}

static int64_t use_of(const struct cvm_catalogue *catalogue, size_t constraint, size_t treatment,
                      double margin)
{
    const struct cvm_constraint *limit = &catalogue->constraints[constraint];
    return limit->kind == CVM_CONSTRAINT_BUDGET
               ? cvm_recommend_cost_micro(&catalogue->treatments[treatment], limit->measure, margin)
               : cvm_usage_units(catalogue, constraint, treatment);
}

size_t cvm_usage_of(const struct cvm_catalogue *catalogue, size_t treatment, double margin,
                    struct cvm_ledger_amount amounts[CVM_CONSTRAINTS_MAX])
{
    size_t count = 0;
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        if (counts(&catalogue->constraints[c], treatment)) {
            amounts[count++] =
                (struct cvm_ledger_amount){(int)c, use_of(catalogue, c, treatment, margin)};
        }
    }
    return count;
}

static enum cvm_row_kind row_kind(enum cvm_constraint_kind kind)
{
    static const enum cvm_row_kind kinds[] = {
        [CVM_CONSTRAINT_CAPACITY] = CVM_ROW_SHARED,
        [CVM_CONSTRAINT_RESOURCE] = CVM_ROW_SHARED,
        [CVM_CONSTRAINT_BUDGET] = CVM_ROW_BUDGET,
        [CVM_CONSTRAINT_SEGMENT_MAX] = CVM_ROW_SEGMENT_MAX,
        [CVM_CONSTRAINT_SEGMENT_MIN] = CVM_ROW_SEGMENT_MIN,
        [CVM_CONSTRAINT_SHARE_MIN] = CVM_ROW_SHARE_MIN,
        [CVM_CONSTRAINT_SHARE_MAX] = CVM_ROW_SHARE_MAX,
        [CVM_CONSTRAINT_RESERVE] = CVM_ROW_RESERVE,
    };
    return kinds[kind];
}

void cvm_usage_row(const struct cvm_catalogue *catalogue, size_t constraint, int64_t limit,
                   const unsigned char *inside, struct cvm_row *out_row)
{
    const struct cvm_constraint *from = &catalogue->constraints[constraint];
    int64_t units[CVM_TREATMENTS_MAX] = {0};
    double flat[CVM_TREATMENTS_MAX] = {0};
    double rate[CVM_TREATMENTS_MAX] = {0};
    bool is_budget = from->kind == CVM_CONSTRAINT_BUDGET;
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        units[t] = cvm_usage_units(catalogue, constraint, t);
        if (is_budget && (from->treatments >> t & 1) != 0) {
            cvm_recommend_cost_rate(&catalogue->treatments[t], from->measure, &flat[t], &rate[t]);
        }
    }
    cvm_row_make(&(struct cvm_row_terms){.name = from->id,
                                         .kind = row_kind(from->kind),
                                         .treatments = from->treatments,
                                         .inside = inside,
                                         .limit = limit,
                                         .share = (double)from->limit / CVM_SHARE_SCALE,
                                         .units = units,
                                         .flat = flat,
                                         .rate = rate},
                 out_row);
}

/* Of one pair, as the solver's row counts it. */
static double group_use(const struct cvm_constraint *group, bool is_inside)
{
    double one = is_inside ? 1 : 0;
    double share = (double)group->limit / CVM_SHARE_SCALE;
    switch (group->kind) {
    case CVM_CONSTRAINT_SEGMENT_MIN:
        return -one;
    case CVM_CONSTRAINT_SHARE_MIN:
        return share - one;
    case CVM_CONSTRAINT_SHARE_MAX:
        return one - share;
    case CVM_CONSTRAINT_RESERVE:
        return 1 - one;
    case CVM_CONSTRAINT_SEGMENT_MAX:
    case CVM_CONSTRAINT_CAPACITY:
    case CVM_CONSTRAINT_RESOURCE:
    case CVM_CONSTRAINT_BUDGET:
        break;
    }
    return one;
}

double cvm_usage_price(const struct cvm_catalogue *catalogue, const double *prices,
                       size_t treatment, const struct cvm_usage_customer *customer)
{
    double price = 0;
    size_t end = catalogue->constraint_count + catalogue->group_count;
    for (size_t c = 0; c < end; c++) {
        const struct cvm_constraint *constraint = &catalogue->constraints[c];
        if (!(prices[c] > 0) || !counts(constraint, treatment)) {
            continue;
        }
        if (cvm_constraint_is_group(constraint)) {
            bool is_inside = (customer->groups >> (c - catalogue->constraint_count) & 1) != 0;
            price += prices[c] * group_use(constraint, is_inside);
        } else {
            int64_t use = use_of(catalogue, c, treatment, customer->margin);
            price +=
                prices[c] * (constraint->kind == CVM_CONSTRAINT_BUDGET ? cvm_micro_to_double(use)
                                                                       : (double)use);
        }
    }
    return price;
}
