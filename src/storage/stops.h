/* stops.h - kill switches: a treatment or a channel that is stopped at once, whatever the catalogue
 * says. Honoured when a run values, when a plan is released or exported, and by `cvm decide`. */
#ifndef CVM_STORAGE_STOPS_H
#define CVM_STORAGE_STOPS_H

#include "model/catalogue.h"
#include "storage/store.h"

struct cvm_stops {
    uint64_t treatments; /* bit per treatment of the catalogue */
    unsigned channels;   /* bit per enum cvm_channel */
};
CVM_MUST_CHECK enum cvm_status cvm_stops_load(struct cvm_store *store,
                                              const struct cvm_catalogue *catalogue,
                                              struct cvm_stops *out_stops, struct cvm_error *err);

#endif
