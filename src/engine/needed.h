/* needed.h - the features that verdicts and values rest on: nothing else need be computed for a
 * whole base. */
#ifndef CVM_ENGINE_NEEDED_H
#define CVM_ENGINE_NEEDED_H

#include "journey/features.h"

/* Adds to the set. */
void cvm_needed_for_values(const struct cvm_catalogue *catalogue, struct cvm_feature_set *set);

#endif
