/* step_kind.h - what agents can be asked for in a step: what it takes of the steps before it, and
 * what it gives to those after it.
 *
 * The edges of a definition are typed by this table: each thing that a step takes must come from
 * one of the steps that it needs, and each of those must give something that it takes.
 */
#ifndef CVM_WORKFLOWS_STEP_KIND_H
#define CVM_WORKFLOWS_STEP_KIND_H

#include <stdbool.h>

#define CVM_STEP_TAKES_MAX 3

struct cvm_step_kind {
    const char *agent;
    const char *message;
    const char *takes[CVM_STEP_TAKES_MAX + 1];    /* ends with NULL */
    const char *may_take[CVM_STEP_TAKES_MAX + 1]; /* the same: where it comes, it is used */
    const char *gives;
    bool cuts;            /* its output names the number of shards: {"parts": 12} */
    bool may_fan_out;     /* it can work on one shard */
    bool may_stand_alone; /* a step that needs no other takes nothing: of a plan, or of all plans */
};

extern const struct cvm_step_kind cvm_step_kinds[]; /* ends with .agent = NULL */

#endif
