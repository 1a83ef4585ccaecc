/* simulation.h - agents, messages and a store in one thread: time, chance and faults come from one
 * seed, so the same seed is the same story, event by event.
 *
 * simulation.c tells the story (events, processes, persons), network.c carries messages,
 * cheap_kinds.c are agents that take no time, invariants.c looks after every event whether what
 * must hold holds. A process is one connection to the store with faults in it: it may fail, die or
 * sleep before any of its calls, and while it sleeps everybody else goes on.
 */
#ifndef CVM_TESTS_SIMULATION_H
#define CVM_TESTS_SIMULATION_H

#include <stdio.h>

#include "agents/orchestrator.h"
#include "agents/runner.h"
#include "base/hash.h"
#include "messaging/broker_backend.h"
#include "storage/store_private.h"
#include "support/db_faulty.h"
#include "workflows/flow.h"

#define SIM_WORKFLOWS_MAX 4
#define SIM_PROCESSES_MAX 16
#define SIM_ROWS_MAX      96
#define SIM_TAIL          40
#define SIM_LINE          200
#define SIM_SLEEPERS_MAX  3                        /* stories within stories */
#define SIM_STORY_MS      (INT64_C(3) * 60 * 1000) /* faults happen so long */
#define SIM_PATIENCE_MS   (INT64_C(4) * 3600 * 1000)

struct sim;

/* What may happen to a process in one of its turns. */
enum sim_fault {
    SIM_FAULT_NONE,
    SIM_FAULT_CALL,        /* a call of the store fails */
    SIM_FAULT_DIE,         /* it is gone, with its connection, at a call of the store */
    SIM_FAULT_COMMIT_LOST, /* a commit fails */
    SIM_FAULT_COMMIT_KEPT, /* its reply is lost */
    SIM_FAULT_COMMIT_LAST, /* it is kept, and the process dies */
    SIM_FAULT_SLEEP,       /* it stands still before a call */
    SIM_FAULT_DIE_AT_END,  /* after the turn and before the acknowledgement */
    SIM_FAULT_DIE_SENDING, /* when it has handed messages over */
    SIM_FAULT_SLEEP_SENDING,
    SIM_FAULTS,
};

struct sim_process {
    struct sim *sim;
    char name[32];
    const struct cvm_agent_kind *kind; /* NULL: an orchestrator, or a person */
    int64_t incarnation;
    int64_t skew_ms; /* of its wall clock */
    struct cvm_context context;
    struct cvm_store view; /* the store, by a connection of its own */
    struct db_faults faults;
    struct cvm_agent_writer *writer;
    struct cvm_agent_site site;
    struct cvm_runner *runner;
    struct cvm_orchestrator *orchestrator;
    struct cvm_broker_link *link;
    enum sim_fault fault; /* of this turn */
    int64_t calls_left;   /* until it happens */
    int64_t sleep_ms;
    bool orchestrates;
    bool is_dead;
    bool is_busy;
    int64_t look_at_ms; /* an orchestrator's next look */
};

enum sim_event_type {
    SIM_DELIVER,
    SIM_LOOK,
    SIM_RESTART,
    SIM_ACCEPT,
    SIM_ORDER,
    SIM_JUMP,
    SIM_FORGE
};

struct sim_event {
    int64_t at_ms;
    uint64_t order; /* of two at the same moment the older goes first */
    enum sim_event_type type;
    size_t subject; /* message, process or workflow */
};

struct sim_message {
    unsigned char *bytes;
    size_t length;
    char queue[CVM_BROKER_NAME_MAX + 1];
    uint32_t deliveries;
    bool is_over; /* acknowledged, dead or lost */
};

/* Local queues whose sendings go through the simulator. The backend is first: a link finds its
 * network by it. */
struct sim_network {
    struct cvm_broker_backend backend;
    struct sim *sim;
};

struct sim_workflow {
    char key[32];
    char input[256];
    const struct cvm_definition *definition;
    char id[CVM_WORKFLOW_ID_MAX + 1]; /* "" = not accepted yet */
    int64_t parts;                    /* 0 = about one customer */
    uint64_t digest;                  /* of what was decided, at the end */
    enum cvm_workflow_state state;
    size_t killer;     /* step that kills whoever handles it; the count of steps = none */
    bool was_reopened; /* by a person, since it was looked at */
};

/* What was seen after the event before. */
struct sim_step_seen {
    size_t workflow;
    int64_t step_no;
    int64_t shard_no;
    int64_t attempt;
    int64_t epoch;
    enum cvm_step_state state;
    uint64_t result; /* hash of what was made, and by whom */
};
struct sim_seen {
    struct sim_step_seen steps[SIM_ROWS_MAX];
    size_t step_count;
    enum cvm_workflow_state states[SIM_WORKFLOWS_MAX];
    int64_t workflow_epochs[SIM_WORKFLOWS_MAX];
    int64_t lease_epochs[CVM_FLOW_PARTITIONS];
};

struct sim_counts {
    uint64_t events;
    uint64_t turns[CVM_TURN_ENDS];
    uint64_t faults[SIM_FAULTS];
    uint64_t dropped;
    uint64_t duplicated;
    uint64_t delayed;
    uint64_t states[CVM_WORKFLOW_STATES];
};

struct sim_options {
    uint64_t seed;
    bool is_clean;             /* nothing goes wrong */
    bool is_planned_by_agents; /* the real kinds, on this store */
    struct cvm_store *store;   /* borrowed; NULL = one of its own, in memory */
    const char *store_url;
    const struct cvm_zone *zone;
    const char *customer_id; /* somebody in the store */
    const struct cvm_definition *batch;
    const struct cvm_definition *selection;
};

struct sim {
    struct sim_options options;
    struct cvm_random random;
    int64_t now_ms;        /* never goes back */
    int64_t store_skew_ms; /* of the store's clock */
    int64_t start_ms;
    bool is_calm;
    struct cvm_store *store;
    struct cvm_arena *arena; /* of one check */
    struct cvm_broker *broker;
    struct sim_network network;
    struct sim_process processes[SIM_PROCESSES_MAX];
    size_t process_count;
    size_t sleepers;
    struct sim_workflow workflows[SIM_WORKFLOWS_MAX];
    size_t workflow_count;
    struct sim_event *events; /* a heap */
    size_t event_count;
    size_t event_room;
    uint64_t event_order;
    struct sim_message *messages;
    size_t message_count;
    size_t message_room;
    struct sim_seen seen;
    struct sim_counts counts;
    uint64_t trace; /* hash of all lines */
    char tail[SIM_TAIL][SIM_LINE];
    uint64_t line_count;
    uint64_t jumps;   /* of any clock */
    char breach[400]; /* what did not hold; "" = nothing */
};

/* One story, to its end. False: something did not hold, see sim->breach. */
struct sim *sim_create(const struct sim_options *options);
bool sim_tell(struct sim *sim);
void sim_destroy(struct sim *sim);

/* ---- for its parts ---- */

void sim_note(struct sim *sim, const char *format, ...) CVM_PRINTF(2, 3);
void sim_break(struct sim *sim, const char *format, ...) CVM_PRINTF(2, 3);
bool sim_chance(struct sim *sim, int percent);
int64_t sim_between(struct sim *sim, int64_t low, int64_t high);
void sim_plan(struct sim *sim, int64_t at_ms, enum sim_event_type type, size_t subject);
/* The process stands still; all others go on. */
void sim_sleep(struct sim_process *process, int64_t ms);
int64_t sim_store_ms(const struct sim *sim);

const char *sim_fault_name(enum sim_fault fault);

/* network.c */
void sim_network_init(struct sim *sim);
void sim_send(struct sim *sim, const char *queue, const struct cvm_envelope *envelope,
              int64_t delay_ms);
void sim_deliver(struct sim *sim, size_t message);
void sim_forge(struct sim *sim);
bool sim_network_is_empty(const struct sim *sim);

/* simulation.c: processes */
void sim_begin_turn(struct sim_process *process);
/* True when it died in it: it comes back by itself. */
bool sim_end_turn(struct sim_process *process);
void sim_hint(struct sim *sim);

/* cheap_kinds.c */
extern const struct cvm_agent_kind *const sim_cheap_kinds[]; /* NULL-terminated */
void sim_cheap_tables(struct sim *sim);

/* invariants.c */
void sim_check(struct sim *sim);
void sim_check_acknowledged(struct sim *sim, const struct cvm_envelope *message,
                            const char *consumer);
void sim_check_end(struct sim *sim);
/* A number that a query gives, with one text to fill in (or NULL). */
int64_t sim_number(struct sim *sim, const char *sql, const char *param);

#endif
