/* press.h - a plan that keeps minimums which prices show no way to: where values are all alike, or
 * limits leave little choice. For files of allocation/ only. */
#ifndef CVM_ALLOCATION_PRESS_H
#define CVM_ALLOCATION_PRESS_H

#include "allocation/moves.h"

/* Moves the units of `moves` to a plan that keeps every limit, or falls shorter of minimums by
 * less; leaves the plan as it is where it finds none. */
CVM_MUST_CHECK enum cvm_status cvm_press_run(struct cvm_moves *moves, struct cvm_error *err);

/* How far minimums are missed, each in its own unit. */
double cvm_press_shortfall(const struct cvm_moves *moves);

#endif
