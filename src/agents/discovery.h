/* discovery.h - who serves a queue, by what processes say of themselves (registry.h).
 *
 * The registry may be lost at any moment, and is whole again when everybody has spoken once more,
 * which takes CVM_REGISTRY_WHOLE_MS at most. Until then who is not found may be there all the same,
 * and everybody goes on as if there were no registry.
 *
 * Thread safety: as the state's.
 */
#ifndef CVM_AGENTS_DISCOVERY_H
#define CVM_AGENTS_DISCOVERY_H

#include <stddef.h>

#include "base/context.h"
#include "base/error.h"

struct cvm_state;

#define CVM_ABSENCE_MS 2000 /* nobody found for so long: nobody serves it */
/* A registry so old has everybody: who could not reach it for long tries again after up to 36 s
 * (redis_client.c). */
#define CVM_REGISTRY_WHOLE_MS 40000

struct cvm_servers {
    size_t ready;    /* processes that serve the queue and take messages */
    size_t draining; /* that end what they have of it */
    int64_t workers; /* of both */
    size_t unknown;  /* processes that do not say what they serve */
};
CVM_MUST_CHECK enum cvm_status cvm_servers_find(struct cvm_state *registry,
                                                const struct cvm_context *context,
                                                const char *queue, struct cvm_servers *out_servers,
                                                struct cvm_error *err);

/* Zero before the first look. */
struct cvm_absence {
    bool is_absent; /* at the last look; false: somebody was there, or nothing is known */
    double since_s;
};
/* Look once more: true when every look for CVM_ABSENCE_MS found nobody in a registry that is whole;
 * when it may not be, for CVM_REGISTRY_WHOLE_MS. `registry` may be NULL: nothing is known. */
bool cvm_queue_is_unserved(struct cvm_state *registry, const struct cvm_context *context,
                           const char *queue, struct cvm_absence *absence);
/* May a request go elsewhere? True when a whole registry has nobody for `queue`, and somebody for
 * `instead`. */
bool cvm_queue_is_better_served(struct cvm_state *registry, const struct cvm_context *context,
                                const char *instead, const char *queue);

#endif
