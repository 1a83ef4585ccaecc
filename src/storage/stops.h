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

/* One switch as stored. kind: "treatment" or "channel". */
struct cvm_stop {
    const char *kind;
    const char *id;
    const char *who;
    const char *why;
    int64_t at_ms;
};
/* Channels first, each kind by id; texts live until on_stop returns. */
typedef enum cvm_status (*cvm_stop_fn)(void *state, const struct cvm_stop *stop,
                                       struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_stop_list(struct cvm_store *store, cvm_stop_fn on_stop,
                                             void *state, struct cvm_error *err);
/* Both audited, inside the caller's transaction. Stopping what is stopped is CVM_E_CONFLICT,
 * lifting what is not CVM_E_NOT_FOUND. Lifting takes kind, id, who and why from `stop`. */
CVM_MUST_CHECK enum cvm_status cvm_stop_add(struct cvm_store *store, const struct cvm_stop *stop,
                                            struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_stop_lift(struct cvm_store *store, const struct cvm_stop *stop,
                                             struct cvm_error *err);

#endif
