/* broker.h - messages between agents: "local:" queues in the process, "amqp://" RabbitMQ,
 * "kafka://" Kafka.
 *
 * A broker may lose anything and deliver anything twice; the store is the truth. What is promised:
 * an envelope whose sending is CONFIRMED is delivered at least once, unless its queue was a reply
 * queue; a delivery that is not acknowledged comes again (Kafka: when it is read again).
 *
 * Queues are named after kinds of agents, "treatment" or "treatment.call_center". What begins with
 * "reply." is a reply queue: it belongs to the link that subscribes to it and goes with it. "dead"
 * keeps what could not be handled. High priority overtakes normal priority, it does not interrupt.
 *
 * Thread safety: one struct cvm_broker for all threads, one struct cvm_broker_link per thread. A
 * link that publishes and receives stands still as a whole when the server holds up who publishes
 * (RabbitMQ's alarms): relays that publish what others made should have a link of their own.
 * The process must ignore SIGPIPE. Waiting is in real time.
 */
#ifndef CVM_MESSAGING_BROKER_H
#define CVM_MESSAGING_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/context.h"
#include "base/error.h"
#include "base/text.h"
#include "model/envelope.h"

struct cvm_broker;
struct cvm_broker_link;

/* Where a consumer of Kafka goes on: offsets are the caller's, kept in the store in the transaction
 * of the work. Called on the thread of the link that receives. */
#define CVM_BROKER_OFFSET_END (-1) /* what comes from now on: for who needs nothing of before */
struct cvm_broker_offsets {
    /* The first offset of the partition whose work is not done; CVM_E_NOT_FOUND: nothing was done,
     * so it begins with the oldest that is there.
     * CVM_E_UNAVAILABLE: nothing is received from it until the store answers. */
    enum cvm_status (*load)(void *state, const char *queue, int32_t partition, int64_t *out_offset,
                            struct cvm_error *err);
    void *state;
};

#define CVM_BROKER_PREFIX_MAX 64
#define CVM_BROKER_NAME_MAX   100

struct cvm_broker_options {
    const char *prefix;      /* of every name on a shared server, one per store; NULL = none */
    uint32_t prefetch;       /* deliveries that a link holds unacknowledged at most; 0 = 64 */
    uint32_t queue_max;      /* envelopes that may wait in a queue before it refuses; 0 = 100,000 */
    uint32_t delivery_limit; /* of an envelope, then it is dead; 0 = 8 */
    int timeout_ms;          /* how long a server may take to answer; 0 = 5,000 */
    struct cvm_broker_offsets offsets; /* .load NULL: Kafka keeps them, moved by each
                                          acknowledgement */
    struct cvm_context context;        /* clock and log */
};

/* "local:"; "amqp[s]://[user:password@]host[:port][/vhost]", "kafka[s]://[user:password@]host
 * [:port][,host...]", with options as ?name=value&... (docs/concepts/broker.md). Nothing is
 * connected yet. CVM_E_INVALID for another URL; no message ever holds the password. */
CVM_MUST_CHECK enum cvm_status cvm_broker_open(const char *url,
                                               const struct cvm_broker_options *options,
                                               struct cvm_broker **out_broker,
                                               struct cvm_error *err);
void cvm_broker_close(struct cvm_broker *broker); /* NULL is fine; all links are closed before */

/* What a broker can do beyond the rest. */
enum {
    CVM_BROKER_NACKS = 1 << 0,   /* counts deliveries, brings back what was returned, and makes dead
                                    what came too often */
    CVM_BROKER_BOUNDS = 1 << 1,  /* a full queue refuses */
    CVM_BROKER_OBJECTS = 1 << 2, /* hands objects over */
    CVM_BROKER_OFFSETS = 1 << 3, /* deliveries have partition and offset */
};
unsigned cvm_broker_abilities(const struct cvm_broker *broker);

/* Is it there? CVM_E_UNAVAILABLE, CVM_E_DENIED when it refuses user or password. */
CVM_MUST_CHECK enum cvm_status cvm_broker_check(struct cvm_broker *broker, struct cvm_error *err);

CVM_MUST_CHECK enum cvm_status cvm_broker_link_open(struct cvm_broker *broker,
                                                    struct cvm_broker_link **out_link,
                                                    struct cvm_error *err);
/* What is not confirmed stays so, what is not acknowledged comes again to another link; the last
 * acknowledgements may not have arrived, and their envelopes come again too. A server gets a few
 * seconds for an orderly end. NULL is fine. */
void cvm_broker_link_close(struct cvm_broker_link *link);

/* See to it that a queue is there. Who publishes declares, so that work may wait for its agents.
 * Reply queues are made by subscribing. */
CVM_MUST_CHECK enum cvm_status cvm_broker_declare(struct cvm_broker_link *link, const char *queue,
                                                  struct cvm_error *err);

/* ---- sending ---- */

enum cvm_sending_state {
    CVM_SENDING_NEW,
    CVM_SENDING_PENDING,   /* on its way */
    CVM_SENDING_CONFIRMED, /* the broker has it for good */
    CVM_SENDING_REFUSED,   /* the queue is full, or the broker could not keep it: try later */
    CVM_SENDING_NO_QUEUE,  /* there is no such queue */
    CVM_SENDING_UNKNOWN,   /* the broker may have it or not: send it again, with its id */
};

struct cvm_sending {
    const struct cvm_envelope *envelope; /* borrowed for the call of publish */
    /* With a local broker the receiver gets `object` itself. Once CONFIRMED it is the broker's, who
     * calls `release` when it is no longer needed: at once where objects can not travel, else after
     * the acknowledgement, on any thread. Until then it is the sender's. NULL = none. */
    void *object;
    void (*release)(void *object);
    enum cvm_sending_state state;
};

/* Put envelopes on their way. `sendings` is borrowed until cvm_broker_confirm() returns or the link
 * is closed; .state of each changes in any call on the link. Waits for room in the window of
 * unconfirmed ones. CVM_E_INVALID and CVM_E_LIMIT name an envelope that may not be sent: none of
 * the call was then. CVM_E_UNAVAILABLE: the broker is away; those not sent are NEW or UNKNOWN. */
CVM_MUST_CHECK enum cvm_status cvm_broker_publish(struct cvm_broker_link *link, const char *queue,
                                                  struct cvm_sending *sendings, size_t count,
                                                  struct cvm_error *err);

/* Wait until nothing is pending; then no sending is borrowed any more. CVM_OK: all that was
 * published since the last call is CONFIRMED. Else the states tell, and the status is that of the
 * worst of them: CVM_E_NOT_FOUND for NO_QUEUE, CVM_E_LIMIT for REFUSED, CVM_E_TIMEOUT or
 * CVM_E_UNAVAILABLE for UNKNOWN. */
CVM_MUST_CHECK enum cvm_status cvm_broker_confirm(struct cvm_broker_link *link, int timeout_ms,
                                                  struct cvm_error *err);

/* ---- receiving ---- */

struct cvm_delivery {
    const struct cvm_envelope *envelope; /* NULL: unreadable, found in "dead" */
    struct cvm_slice raw;                /* its bytes, in "dead" of a server; else empty */
    void *object;                        /* the sender's, or NULL */
    uint64_t tag;
    uint32_t attempt; /* from 1; Kafka does not count */
    int32_t partition;
    int64_t offset; /* with CVM_BROKER_OFFSETS: store offset + 1 with the work. Deliveries of one
                       partition are to be finished in their order. One that is not is kept, not
                       acknowledged: nothing behind it may be finished before. */
    const char *queue;
    void *held; /* the broker's own */
};

CVM_MUST_CHECK enum cvm_status cvm_broker_subscribe(struct cvm_broker_link *link, const char *queue,
                                                    struct cvm_error *err);

/* Up to `max` deliveries of the queues subscribed to. Waits for the first one; *out_count 0 when
 * none came. What they point to lives until they are acknowledged or the link is closed.
 * CVM_E_LIMIT: `prefetch` deliveries are unacknowledged. CVM_E_UNAVAILABLE: the broker stayed away
 * for all of the time; call again. */
CVM_MUST_CHECK enum cvm_status cvm_broker_receive(struct cvm_broker_link *link,
                                                  struct cvm_delivery *deliveries, size_t max,
                                                  int timeout_ms, size_t *out_count,
                                                  struct cvm_error *err);

/* From now on no call of receive waits, and who waits returns: this process ends. A broker in the
 * process does so; with a server the time of the call runs out. On any thread. */
void cvm_broker_end_waiting(struct cvm_broker *broker);

/* Done with, after the work is committed. CVM_E_CONFLICT: the link lost the broker or the partition
 * in between, so the envelope comes again, which the inbox absorbs. */
CVM_MUST_CHECK enum cvm_status cvm_broker_ack(struct cvm_broker_link *link, uint64_t tag,
                                              struct cvm_error *err);
enum cvm_nack { CVM_NACK_REQUEUE, CVM_NACK_DEAD };
/* REQUEUE: once more, now; CVM_E_DENIED without CVM_BROKER_NACKS (write a row to try again later,
 * then acknowledge). DEAD: into "dead". CVM_E_CONFLICT as above. */
CVM_MUST_CHECK enum cvm_status cvm_broker_nack(struct cvm_broker_link *link, uint64_t tag,
                                               enum cvm_nack how, struct cvm_error *err);

/* ---- what is going on ---- */

struct cvm_broker_depth {
    int64_t ready;     /* waiting; -1 = unknown */
    int64_t in_flight; /* delivered and not acknowledged; -1 = unknown */
    int64_t oldest_ms; /* how long the oldest has waited; -1 = unknown */
};
/* CVM_E_NOT_FOUND: no such queue. */
CVM_MUST_CHECK enum cvm_status cvm_broker_depth_of(struct cvm_broker_link *link, const char *queue,
                                                   struct cvm_broker_depth *out_depth,
                                                   struct cvm_error *err);

/* X(member, help) */
#define CVM_BROKER_COUNT_TABLE(X)                                                                  \
    X(published, "Envelopes put on their way.")                                                    \
    X(confirmed, "Envelopes that the broker has for good.")                                        \
    X(refused, "Envelopes that a full queue refused.")                                             \
    X(returned, "Envelopes for a queue that is not there.")                                        \
    X(unknown, "Envelopes that the broker may have or not.")                                       \
    X(received, "Deliveries.")                                                                     \
    X(redelivered, "Deliveries that were not the first of their envelope.")                        \
    X(acknowledged, "Deliveries done with.")                                                       \
    X(requeued, "Deliveries given back.")                                                          \
    X(dead, "Deliveries that this process gave up.")                                               \
    X(unreadable, "Deliveries whose bytes were no message.")                                       \
    X(connects, "Connections made.")                                                               \
    X(losses, "Connections lost or not made.")
struct cvm_broker_counts {
#define X(member, help) uint64_t member;
    CVM_BROKER_COUNT_TABLE(X)
#undef X
};
struct cvm_broker_counts cvm_broker_counts_of(const struct cvm_broker *broker);
struct cvm_metrics;
/* Bring the registry up to date: cvm_broker_published_total and so on. Before it is written out. */
void cvm_broker_report(struct cvm_broker *broker, struct cvm_metrics *metrics);

#endif
