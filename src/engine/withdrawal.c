#include "engine/withdrawal.h"

#include <string.h>

#include "engine/usage.h"
#include "storage/catalogue_store.h"
#include "storage/ledger.h"

enum cvm_status cvm_withdrawal_end(struct cvm_withdrawal *withdrawal, struct cvm_error *err)
{
    struct cvm_ledger_amount amounts[CVM_CONSTRAINTS_MAX];
    size_t count = 0;
    if (withdrawal->run_id == NULL) {
        return CVM_OK;
    }
    for (size_t c = 0; c < withdrawal->catalogue->constraint_count; c++) {
        if (withdrawal->amounts[c] != 0) {
            amounts[count++] = (struct cvm_ledger_amount){(int)c, withdrawal->amounts[c]};
        }
    }
    memset(withdrawal->amounts, 0, sizeof(withdrawal->amounts));
    return (withdrawal->takes_again ? cvm_ledger_take_again : cvm_ledger_return)(
        withdrawal->writer, withdrawal->catalogue, withdrawal->day, withdrawal->run_id, amounts,
        count, err);
}

static enum cvm_status change_run(struct cvm_withdrawal *withdrawal, const char *run_id,
                                  struct cvm_error *err)
{
    struct cvm_run_record run;
    if (withdrawal->run_id != NULL && strcmp(withdrawal->run_id, run_id) == 0) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_withdrawal_end(withdrawal, err);
    if (status == CVM_OK) {
        status = cvm_run_get(withdrawal->reader, withdrawal->arena, run_id, &run, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    withdrawal->run_id = run.run_id;
    withdrawal->catalogue = withdrawal->in_force;
    if (run.catalogue_version == withdrawal->in_force->version) {
        return CVM_OK;
    }
    return cvm_catalogue_store_load(withdrawal->reader, withdrawal->arena, run.catalogue_version,
                                    &withdrawal->catalogue, err);
}

static int64_t amount_of(const struct cvm_catalogue *catalogue, size_t c, size_t treatment,
                         const struct cvm_decision *decision)
{
    const struct cvm_constraint *constraint = &catalogue->constraints[c];
    if (constraint->limit < 0 || (constraint->treatments >> treatment & 1) == 0) {
        return 0;
    }
    if (constraint->kind != CVM_CONSTRAINT_BUDGET) {
        return cvm_usage_units(catalogue, c, treatment);
    }
    return (constraint->measure != CVM_MEASURE_INCENTIVE ? decision->cost_micro : 0) +
           (constraint->measure != CVM_MEASURE_MARGINAL ? decision->incentive_micro : 0);
}

enum cvm_status cvm_withdrawal_add(void *state, const struct cvm_decision *decision,
                                   struct cvm_error *err)
{
    struct cvm_withdrawal *withdrawal = state;
    if (decision->ghost) {
        return CVM_OK;
    }
    enum cvm_status status = change_run(withdrawal, decision->run_id, err);
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_catalogue *catalogue = withdrawal->catalogue;
    int treatment = cvm_catalogue_treatment(catalogue, decision->treatment);
    if (treatment == CVM_INDEX_NONE) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "run '%s' gave '%s', which its catalogue has not",
                        decision->run_id, decision->treatment);
    }
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        withdrawal->amounts[c] += amount_of(catalogue, c, (size_t)treatment, decision);
    }
    return CVM_OK;
}
