/* agent.h - the base of every agent: one message in, effects out, everything else lent.
 *
 * A kind of agent is a name, the messages it serves, and handle(). handle() reads what its turn
 * lends and fills in effects; it waits for nobody and writes nothing. The runner (runner.h) looks
 * whether the work is still wanted, calls it, and keeps the effects in one transaction with the
 * mark of the message and the checkpoint of the step; then it sends and acknowledges. So a turn may
 * happen twice, or half: its effects happen once, or not at all.
 *
 * To add a kind: CONTRIBUTING.md.
 */
#ifndef CVM_AGENTS_AGENT_H
#define CVM_AGENTS_AGENT_H

#include "base/arena.h"
#include "base/context.h"
#include "base/json_reader.h"
#include "base/random.h"
#include "base/signing.h"
#include "base/text.h"
#include "base/zone.h"
#include "model/envelope.h"
#include "storage/store.h"

struct cvm_own_run;
struct cvm_part_shelf;

/* ---- what is lent ---- */

/* The only writer of a process, for one at a time. */
struct cvm_agent_writer;

/* What a process lends to all its agents; borrowed for as long as they run. */
struct cvm_agent_site {
    const char *store_url;
    struct cvm_store_privacy privacy;
    struct cvm_agent_writer *writer;
    const struct cvm_zone *zone; /* of the deployment */
    size_t threads;              /* of one that works for everybody: the solver; 0 = one per core */
    size_t chunk_size;           /* 0 = default */
    size_t matrix_bytes_max;     /* as in engine/run.h */
    const char *spill_folder;
    /* Of a run whose request does not say: as in engine/run.h. */
    bool must_release;
    double realtime_share;
    int64_t keep_runs;
    struct cvm_part_shelf *shelf; /* parts of runs that stay in this process; NULL = they are stored
                                   */
    /* The run of the command whose threads these agents are: they do nothing else, nobody waits for
     * a second attempt, and what the store keeps on the way to the plan is kept lightly
     * (cvm_db_begin_light). NULL = a process of agents. */
    struct cvm_own_run *own_run;
    const char *version;                     /* of the program */
    const struct cvm_signing_key *audit_key; /* signs the audit log; NULL = nobody does */
};

struct cvm_store *cvm_agent_writer_lock(struct cvm_agent_writer *writer);
void cvm_agent_writer_unlock(struct cvm_agent_writer *writer);
/* The store is borrowed, and used through the writer alone. NULL when out of memory. */
struct cvm_agent_writer *cvm_agent_writer_create(struct cvm_store *store);
void cvm_agent_writer_destroy(struct cvm_agent_writer *writer);

/* ---- a turn ---- */

/* Inside the transaction that keeps the effects. */
typedef enum cvm_status (*cvm_effect_fn)(void *state, struct cvm_store *store,
                                         struct cvm_error *err);

struct cvm_effects {
    struct cvm_text output; /* JSON of references, for the step and for who waits; "" = {} */
    int64_t customers;      /* that it was about */
    cvm_effect_fn write;    /* rows of the turn; NULL = none */
    void *write_state;      /* lives as long as the turn */
};

struct cvm_turn {
    const struct cvm_envelope *message;
    const char *queue; /* of the worker: its kind's name, or a specialist's; NULL = the kind's */
    const struct cvm_json_value *payload; /* of the message: cvm_turn_text() and its like */
    const struct cvm_agent_site *site;
    const struct cvm_context *context; /* with the deadline of the message */
    struct cvm_random *random;
    struct cvm_arena *arena; /* until the turn ends */
    /* For who has transactions of its own: to be called inside the last one, when the effects are
     * filled in. They are kept with it. */
    cvm_effect_fn keep;
    void *keep_state;
};

/* The payload is {"input": of the workflow, "needs": {step: its output}}, or a request's own. A
 * member of the input, or of the output of a step before; NULL when it is not there. */
const struct cvm_json_value *cvm_turn_input(const struct cvm_turn *turn, const char *name);
const struct cvm_json_value *cvm_turn_need(const struct cvm_turn *turn, const char *step,
                                           const char *name);
/* A text in the arena, or NULL. */
const char *cvm_turn_text(const struct cvm_turn *turn, const struct cvm_json_value *value);
/* CVM_E_INVALID names what is missing. */
CVM_MUST_CHECK enum cvm_status cvm_turn_must_text(const struct cvm_turn *turn, const char *name,
                                                  const char **out_text, struct cvm_error *err);

/* ---- a kind ---- */

struct cvm_agent_kind {
    const char *name;                    /* "treatment": its queue, too */
    const char *does;                    /* one line, for people */
    const enum cvm_message_type *serves; /* ends with CVM_MESSAGE_NONE */
    bool needs_writer_alone; /* keeps the writer while it works: it has transactions of its own */
    /* What a worker keeps from turn to turn; NULL = nothing. On the worker's thread. */
    enum cvm_status (*open)(const struct cvm_agent_site *site, const struct cvm_context *context,
                            void **out_worker, struct cvm_error *err);
    void (*close)(void *worker);
    /* CVM_E_INVALID and CVM_E_CORRUPT: the message is to blame, nobody need try again.
     * CVM_E_CONFLICT: what it was about has changed. CVM_E_UNAVAILABLE, CVM_E_TIMEOUT, CVM_E_LIMIT:
     * later. */
    enum cvm_status (*handle)(void *worker, const struct cvm_turn *turn,
                              struct cvm_effects *effects, struct cvm_error *err);
};

extern const struct cvm_agent_kind cvm_agent_data;
extern const struct cvm_agent_kind cvm_agent_trigger;
extern const struct cvm_agent_kind cvm_agent_journey;
extern const struct cvm_agent_kind cvm_agent_treatment;
extern const struct cvm_agent_kind cvm_agent_allocation;
extern const struct cvm_agent_kind cvm_agent_evaluation;

extern const struct cvm_agent_kind *const cvm_agent_kinds[]; /* NULL-terminated: agent.c */
/* NULL when there is none: of the name, or of the queue "treatment.call_center". */
const struct cvm_agent_kind *cvm_agent_kind_find(const char *queue);
/* The same among others than these. */
const struct cvm_agent_kind *cvm_agent_kind_find_in(const struct cvm_agent_kind *const *kinds,
                                                    const char *queue);
bool cvm_agent_kind_serves(const struct cvm_agent_kind *kind, enum cvm_message_type type);

#endif
