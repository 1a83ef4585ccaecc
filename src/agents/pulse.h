/* pulse.h - signs of life of long work: while a turn goes on, its step says so in the store, every
 * CVM_PULSE_MS. When its process dies they stop, and the attempt is given up CVM_PULSE_LIFE_MS
 * after the last one, whatever the broker knows of it.
 *
 * One for all workers of a process, with a thread and a connection of its own: who works long may
 * keep the process' writer to itself.
 */
#ifndef CVM_AGENTS_PULSE_H
#define CVM_AGENTS_PULSE_H

#include <stdbool.h>

#include "agents/agent.h"
#include "storage/step_store.h"
#include "storage/workflow_store.h"

#define CVM_PULSE_MS      3000
#define CVM_PULSE_LIFE_MS 9000

struct cvm_pulse;

/* A step at work; its worker's. */
struct cvm_pulse_beat {
    struct cvm_pulse_beat *next;
    struct cvm_step_key step;
    const char *worker; /* its name; borrowed */
    char workflow_id[CVM_WORKFLOW_ID_MAX + 1];
    int64_t deadline_ms; /* by the store's clock; the attempt is given up then all the same */
};

/* For a store that several processes share. Nothing is connected before the first beat. */
CVM_MUST_CHECK enum cvm_status cvm_pulse_create(const struct cvm_agent_site *site,
                                                const struct cvm_context *context,
                                                struct cvm_pulse **out_pulse,
                                                struct cvm_error *err);
void cvm_pulse_destroy(struct cvm_pulse *pulse); /* NULL is fine */

/* The first sign of life, at once, by which the attempt is this worker's alone; `beat` is borrowed
 * until cvm_pulse_end(), its workflow_id is filled in. CVM_E_CONFLICT: it is another's, or not in
 * force any more. On a failure nothing has begun. */
CVM_MUST_CHECK enum cvm_status cvm_pulse_begin(struct cvm_pulse *pulse, struct cvm_pulse_beat *beat,
                                               struct cvm_error *err);
void cvm_pulse_end(struct cvm_pulse *pulse, struct cvm_pulse_beat *beat);

#endif
