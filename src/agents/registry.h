/* registry.h - who is there: each process of agents says every second, in the shared state, what it
 * is and which queues it serves; whoever asks finds out who serves one.
 *
 * The registry may be lost at any moment, and is whole again when everybody has spoken once more,
 * which takes CVM_REGISTRY_WHOLE_MS at most. Until then who is not found may be there all the same,
 * and everybody goes on as if there were no registry.
 *
 * Thread safety: as the state's.
 */
#ifndef CVM_AGENTS_REGISTRY_H
#define CVM_AGENTS_REGISTRY_H

#include <stddef.h>

#include "base/arena.h"
#include "base/context.h"
#include "base/error.h"

struct cvm_state;

#define CVM_HEARTBEAT_MS      1000
#define CVM_HEARTBEAT_LIFE_MS 3000 /* silent for longer: not there */
#define CVM_ABSENCE_MS        2000 /* nobody found for so long: nobody serves it */
#define CVM_REGISTRY_WHOLE_MS                                                                      \
    40000 /* a registry so old has everybody: who could not reach it for                           \
             long tries again after up to 36 s (redis_client.c) */
#define CVM_REGISTRY_QUEUES_MAX 33

/* A process, as it is now; texts are borrowed. */
struct cvm_registry_process {
    const char *name; /* "host.4711" */
    const char *version;
    int64_t incarnation; /* another one each time it starts */
    int64_t beat_ms;     /* moment of its last heartbeat, by its own clock */
    bool is_draining;    /* it takes no more messages */
    int64_t in_flight;   /* turns */
    struct {
        const char *queue; /* a kind, or "treatment.call_center": what it is able to do */
        int64_t workers;
    } serves[CVM_REGISTRY_QUEUES_MAX];
    size_t serves_count;
    bool is_unknown; /* when read: it does not say what it serves */
};
/* Until it has been silent for CVM_HEARTBEAT_LIFE_MS. CVM_E_UNAVAILABLE when the state is away. */
CVM_MUST_CHECK enum cvm_status cvm_registry_say(struct cvm_state *state,
                                                const struct cvm_context *context,
                                                const struct cvm_registry_process *process,
                                                struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_registry_leave(struct cvm_state *state,
                                                  const struct cvm_context *context,
                                                  const char *name, struct cvm_error *err);

/* Everybody who is there, by name; texts in the arena. What another version does not say is empty.
 */
struct cvm_registry {
    struct cvm_registry_process *items;
    size_t count;
};
CVM_MUST_CHECK enum cvm_status cvm_registry_read(struct cvm_state *state,
                                                 const struct cvm_context *context,
                                                 struct cvm_arena *arena,
                                                 struct cvm_registry *out_registry,
                                                 struct cvm_error *err);

struct cvm_registry_found {
    size_t processes; /* that serve the queue and take messages */
    size_t draining;  /* that end what they have of it */
    int64_t workers;  /* of both */
    size_t unknown;   /* processes that do not say what they serve */
};
CVM_MUST_CHECK enum cvm_status
cvm_registry_find(struct cvm_state *state, const struct cvm_context *context, const char *queue,
                  struct cvm_registry_found *out_found, struct cvm_error *err);

/* Zero before the first look. */
struct cvm_absence {
    bool is_absent; /* at the last look; false: somebody was there, or nothing is known */
    double since_s;
};
/* Look once more: true when every look for CVM_ABSENCE_MS found nobody. `state` may be NULL:
 * nothing is known. */
bool cvm_registry_is_unserved(struct cvm_state *state, const struct cvm_context *context,
                              const char *queue, struct cvm_absence *absence);
/* May a request go elsewhere? True when a whole registry has nobody for `queue`, and somebody for
 * `instead`. */
bool cvm_registry_is_better_served(struct cvm_state *state, const struct cvm_context *context,
                                   const char *instead, const char *queue);

#endif
