/* explain_line.h - who stands before a customer in the line for a scarce treatment, and who was the
 * last to get it: from the values, prices and decisions that the run kept. One pass over the base.
 */
#ifndef CVM_ENGINE_EXPLAIN_LINE_H
#define CVM_ENGINE_EXPLAIN_LINE_H

#include "engine/explain_run.h"

/* Fills in the line of every permitted treatment, in any order of the treatments. `given` is what
 * the customer of `place` got, CVM_INDEX_NONE = nothing. */
CVM_MUST_CHECK enum cvm_status cvm_explain_lines(const struct cvm_explain_run *run,
                                                 const struct cvm_explain_place *place, int given,
                                                 struct cvm_explained_treatment *treatments,
                                                 size_t treatment_count, struct cvm_error *err);

#endif
