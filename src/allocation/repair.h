/* repair.h - from everybody's best choice at the prices to a plan that keeps every limit exactly.
 * For files of allocation/ only. */
#ifndef CVM_ALLOCATION_REPAIR_H
#define CVM_ALLOCATION_REPAIR_H

#include "allocation/plan.h"
#include "allocation/table.h"

struct cvm_solve;

/* plan->treatments are the choices at plan->prices, to which the tariff of `solve` is set; `open`
 * holds the customers near to indifference, NULL = everybody may be. Fills in the range of every
 * price too. */
CVM_MUST_CHECK enum cvm_status cvm_repair_run(struct cvm_solve *solve, const struct cvm_table *open,
                                              struct cvm_plan *plan, struct cvm_error *err);

#endif
