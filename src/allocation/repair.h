/* repair.h - from everybody's best choice at the prices to a plan that keeps every limit exactly.
 * For files of allocation/ only. */
#ifndef CVM_ALLOCATION_REPAIR_H
#define CVM_ALLOCATION_REPAIR_H

#include "allocation/narrow.h"

/* plan->treatments are the choices at the prices found, to which the tariff of `solve` is set: who
 * is near to indifference is looked for in the last levels first. Fills in the range of every price
 * too. */
CVM_MUST_CHECK enum cvm_status cvm_repair_run(struct cvm_solve *solve,
                                              const struct cvm_narrowed *narrowed,
                                              struct cvm_plan *plan, struct cvm_error *err);

#endif
