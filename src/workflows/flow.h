/* flow.h - workflows at work: accepted, looked at, taken up after a crash, cancelled and resumed.
 *
 * Each function does its work inside the caller's transaction (storage/turn.h): it reads the rows,
 * lets progress.h decide, and keeps what was decided together with the messages to be sent. The
 * workflow's row is locked meanwhile, so two that look at it at once take turns.
 *
 * Who works on workflows owns a partition of them under a lease (cvm_flow_resource()), takes up
 * what is open in it, then looks at what cvm_workflow_due() names. A message that says so makes it
 * look sooner, and is not needed.
 *
 * Thread safety: one per thread and store.
 */
#ifndef CVM_WORKFLOWS_FLOW_H
#define CVM_WORKFLOWS_FLOW_H

#include "base/breaker.h"
#include "storage/turn.h"
#include "workflows/progress.h"

#define CVM_FLOW_PARTITIONS 16
int64_t cvm_flow_partition(const char *workflow_id);
#define CVM_FLOW_RESOURCE_SIZE 32
/* The lease of a partition: "orchestrator/07". */
const char *cvm_flow_resource(int64_t partition_no, char text[CVM_FLOW_RESOURCE_SIZE]);

/* A step to be sent: what an envelope says of it. */
struct cvm_flow_message {
    unsigned char message_id[CVM_TURN_MESSAGE_ID_BYTES]; /* the same each time for an attempt */
    unsigned char idempotency_key[32];                   /* the same for all attempts */
    const char *destination;                             /* agent */
    const char *type;                                    /* "TREATMENT_REQUEST" */
    const char *workflow_id;
    const char *run_id; /* NULL = none yet */
    const char *step;
    int64_t step_no;
    int64_t shard; /* -1 = the step is not cut into shards */
    int64_t attempt;
    int64_t epoch;
    int64_t priority;
    int64_t created_ms;
    int64_t deadline_ms;     /* of the attempt */
    const char *traceparent; /* NULL = none */
    const char *payload;     /* {"input": of the workflow, "needs": {step: its output}} */
    size_t payload_length;
};
/* Append the bytes that are sent. */
typedef enum cvm_status (*cvm_flow_encode_fn)(void *state, const struct cvm_flow_message *message,
                                              struct cvm_text *out, struct cvm_error *err);

struct cvm_flow_options {
    struct cvm_store *store;
    cvm_flow_encode_fn encode;
    void *encode_state;
    /* Each agent has a breaker: when too many of its attempts fail, its steps wait. */
    struct cvm_breaker_options breaker;
    /* Another reason to leave the agent of a step alone; NULL = none. */
    bool (*may_send)(void *state, const struct cvm_definition_step *step, int64_t *out_again_ms);
    void *may_send_state;
    uint64_t seed;         /* of the pauses between attempts */
    bool gives_up_at_once; /* a step that fails is not tried again: who asked is told, and waits */
    bool loses_messages;   /* the broker is this process: what was on its way is gone with it */
};

struct cvm_flow;
CVM_MUST_CHECK enum cvm_status cvm_flow_create(const struct cvm_flow_options *options,
                                               struct cvm_flow **out_flow, struct cvm_error *err);
void cvm_flow_destroy(struct cvm_flow *flow); /* NULL is fine */

/* ---- accepting ---- */

struct cvm_flow_request {
    const struct cvm_definition *definition;
    const char *input; /* JSON */
    const char
        *idempotency_key; /* 1 to CVM_WORKFLOW_KEY_MAX bytes: the same work, asked for again */
    const char *run_id;   /* NULL = none yet */
    int64_t priority;     /* added to the definition's */
    int64_t deadline_ms;  /* moment; 0 = as the definition says */
    const char *who;
    const char *traceparent; /* NULL = none */
};
/* *out_is_new false: it was accepted before. CVM_E_CONFLICT when the key came with another input or
 * for another workflow; CVM_E_INVALID when the input is not what the definition asks for. The
 * workflow lives in the arena. Needs no flow: who asks is not who works. */
CVM_MUST_CHECK enum cvm_status cvm_flow_accept(struct cvm_store *store, struct cvm_arena *arena,
                                               const struct cvm_flow_request *request,
                                               struct cvm_workflow *out_workflow, bool *out_is_new,
                                               struct cvm_error *err);

/* ---- working ---- */

struct cvm_flow_look {
    enum cvm_workflow_state state;
    size_t sent;
    size_t changed; /* rows of steps */
};
CVM_MUST_CHECK enum cvm_status cvm_flow_look(struct cvm_flow *flow, const char *workflow_id,
                                             int64_t epoch, struct cvm_flow_look *out_look,
                                             struct cvm_error *err);
/* Of each workflow that is open in a partition, once by its new owner. One that is given up leaves
 * a dead letter. */
CVM_MUST_CHECK enum cvm_status cvm_flow_recover(struct cvm_flow *flow, const char *workflow_id,
                                                int64_t epoch, struct cvm_flow_look *out_look,
                                                struct cvm_error *err);

/* Marks of messages and workflows that nobody will ask for any more (7 and 90 days). */
CVM_MUST_CHECK enum cvm_status cvm_flow_forget(struct cvm_store *store, struct cvm_error *err);

/* What an agent is taken for at present: for metrics. */
enum cvm_breaker_state cvm_flow_breaker(const struct cvm_flow *flow, const char *agent);

/* ---- a person's choice ---- */

/* CVM_WORKFLOW_CANCEL, _PAUSE or _RESUME; needs no flow. CVM_E_CONFLICT when its state does not
 * allow it. */
CVM_MUST_CHECK enum cvm_status cvm_flow_order(struct cvm_store *store, struct cvm_arena *arena,
                                              const char *workflow_id,
                                              enum cvm_workflow_event event,
                                              enum cvm_workflow_state *out_state,
                                              struct cvm_error *err);

#endif
