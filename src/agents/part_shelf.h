/* part_shelf.h - parts of runs that stay in the process: handed over as they are, from the agent
 * that values to the one that decides. What is lost with the process is made again.
 *
 * Thread safety: one for all threads.
 */
#ifndef CVM_AGENTS_PART_SHELF_H
#define CVM_AGENTS_PART_SHELF_H

#include "engine/run_steps.h"

struct cvm_part_shelf;

struct cvm_part_shelf *cvm_part_shelf_create(void); /* NULL when out of memory */
void cvm_part_shelf_destroy(struct cvm_part_shelf *shelf);

/* The part is the shelf's from now on, also on failure. One that is there already is replaced;
 * those of other runs go. */
CVM_MUST_CHECK enum cvm_status cvm_part_shelf_put(struct cvm_part_shelf *shelf, const char *run_id,
                                                  size_t number, struct cvm_run_part *part,
                                                  struct cvm_error *err);
/* The caller's from now on; NULL when it is not there. */
struct cvm_run_part *cvm_part_shelf_take(struct cvm_part_shelf *shelf, const char *run_id,
                                         size_t number);

#endif
