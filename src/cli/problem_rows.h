/* problem_rows.h - a problem file's rows as the solver counts them: whole numbers of a scale under
 * limits, which a scenario may have changed. */
#ifndef CVM_CLI_PROBLEM_ROWS_H
#define CVM_CLI_PROBLEM_ROWS_H

#include "cli/problem_values.h"

/* The limits as in the file. Per row, INFINITY = none. */
void cvm_problem_limits(const struct cvm_problem_file *file, double limits[CVM_PROBLEM_ROWS_MAX]);
/* What a row without its limit has for one: the number under which it never binds. */
double cvm_problem_no_limit(enum cvm_row_kind kind);
/* What stands on the right of a row's sign: of a reserve, what its capacity leaves to the others.
 */
double cvm_problem_right_side(const struct cvm_problem_file *file, const double *limits,
                              size_t row);

/* CVM_E_INVALID when a reserve keeps more than its capacity. Everything lives in the arena. */
CVM_MUST_CHECK enum cvm_status
cvm_problem_rows_make(struct cvm_arena *arena, const struct cvm_problem_file *file,
                      const struct cvm_problem_values *values, const double *limits,
                      const struct cvm_row **out_rows, struct cvm_error *err);

/* Treatments, customers and groups; the caller adds rows. */
CVM_MUST_CHECK enum cvm_status cvm_problem_make(struct cvm_arena *arena,
                                                const struct cvm_problem_file *file,
                                                const struct cvm_problem_values *values,
                                                struct cvm_problem *out_problem,
                                                struct cvm_error *err);

/* The first row whose segment has no customers, from row `first` on; row_count if there is none. */
size_t cvm_problem_empty_segment(const struct cvm_problem_file *file,
                                 const struct cvm_problem_values *values, size_t first);

#endif
