/* exact.h - the best plan there is, for problems in which a dozen customers may get anything: there
 * a step of one unit is a large part of everything. For files of allocation/ only. */
#ifndef CVM_ALLOCATION_EXACT_H
#define CVM_ALLOCATION_EXACT_H

#include "allocation/moves.h"

/* Depth first over the customers, bounded by the prices. A plan that is better than that of
 * `moves`, or keeps minimums that it misses, replaces it. Does nothing where there are too many
 * customers, and gives up where it takes too long. */
CVM_MUST_CHECK enum cvm_status cvm_exact_run(struct cvm_moves *moves, const double *prices,
                                             struct cvm_error *err);

#endif
