#include "engine/give_back.h"

#include "engine/usage.h"

/* Budgets count what the decision itself says: prices may have been of that day. */
static int64_t amount_of(const struct cvm_catalogue *catalogue, size_t constraint, size_t treatment,
                         const struct cvm_decision *decision)
{
    const struct cvm_constraint *limit = &catalogue->constraints[constraint];
    if (limit->kind != CVM_CONSTRAINT_BUDGET) {
        return cvm_usage_units(catalogue, constraint, treatment);
    }
    return (limit->measure != CVM_MEASURE_INCENTIVE ? decision->cost_micro : 0) +
           (limit->measure != CVM_MEASURE_MARGINAL ? decision->incentive_micro : 0);
}

enum cvm_status cvm_give_back_amounts(const struct cvm_catalogue *catalogue,
                                      const struct cvm_decision *decision,
                                      struct cvm_ledger_amount amounts[CVM_CONSTRAINTS_MAX],
                                      size_t *out_count, struct cvm_error *err)
{
    int treatment = cvm_catalogue_treatment(catalogue, decision->treatment);
    size_t count = 0;
    if (decision->ghost) {
        *out_count = 0;
        return CVM_OK;
    }
    if (treatment == CVM_INDEX_NONE) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "run '%s' gave '%s', which its catalogue has not",
                        decision->run_id, decision->treatment);
    }
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        const struct cvm_constraint *constraint = &catalogue->constraints[c];
        if (constraint->limit >= 0 && (constraint->treatments >> treatment & 1) != 0) {
            amounts[count++] = (struct cvm_ledger_amount){
                (int)c, amount_of(catalogue, c, (size_t)treatment, decision)};
        }
    }
    *out_count = count;
    return CVM_OK;
}

enum cvm_status cvm_give_back(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                              int32_t as_of_day, const struct cvm_decision *decision,
                              struct cvm_error *err)
{
    struct cvm_ledger_amount amounts[CVM_CONSTRAINTS_MAX];
    size_t count = 0;
    enum cvm_status status = cvm_give_back_amounts(catalogue, decision, amounts, &count, err);
    return status == CVM_OK && count > 0 ? cvm_ledger_return(store, catalogue, as_of_day,
                                                             decision->run_id, amounts, count, err)
                                         : status;
}
