/* broker_backend.h - the contract of whoever carries messages.
 *
 * Included by broker.c and the files named broker_<back end>.c, by nobody else. To add one: fill
 * one struct cvm_broker_backend, list its schemes in broker.c, and make
 * tests/messaging/broker_contract_test.c pass against it. broker.c has checked names, envelopes and
 * arguments, gives tags to deliveries, and counts what it sees.
 */
#ifndef CVM_MESSAGING_BROKER_BACKEND_H
#define CVM_MESSAGING_BROKER_BACKEND_H

#include "messaging/broker.h"

enum cvm_settling {
    CVM_SETTLE_ACK,
    CVM_SETTLE_REQUEUE,
    CVM_SETTLE_DEAD,
    CVM_SETTLE_ABANDON, /* the link closes: it comes again */
};

struct cvm_broker_backend {
    unsigned abilities;

    /* On success *out_broker embeds a struct cvm_broker as its first member; broker.c fills it. The
     * options have no zeroes for defaults. */
    enum cvm_status (*open)(const char *url, const struct cvm_broker_options *options,
                            struct cvm_broker **out_broker, struct cvm_error *err);
    void (*close)(struct cvm_broker *broker);
    /* The same with a struct cvm_broker_link. Connects to nothing. */
    enum cvm_status (*link_open)(struct cvm_broker *broker, struct cvm_broker_link **out_link,
                                 struct cvm_error *err);
    void (*link_close)(struct cvm_broker_link *link);

    enum cvm_status (*declare)(struct cvm_broker_link *link, const char *queue,
                               struct cvm_error *err);
    /* Every sending that is taken becomes PENDING, each ends with cvm_sending_end(). */
    enum cvm_status (*publish)(struct cvm_broker_link *link, const char *queue,
                               struct cvm_sending *sendings, size_t count, struct cvm_error *err);
    /* Afterwards nothing is pending. The status is the reason of UNKNOWN ones, else CVM_OK. */
    enum cvm_status (*confirm)(struct cvm_broker_link *link, int timeout_ms, struct cvm_error *err);

    enum cvm_status (*subscribe)(struct cvm_broker_link *link, const char *queue,
                                 struct cvm_error *err);
    /* Fills all of a delivery but its tag; `held` is what settle() gets, once, whatever its
     * outcome. */
    enum cvm_status (*receive)(struct cvm_broker_link *link, struct cvm_delivery *deliveries,
                               size_t max, int timeout_ms, size_t *out_count,
                               struct cvm_error *err);
    void (*end_waiting)(struct cvm_broker *broker); /* on any thread; NULL = it can not */
    enum cvm_status (*settle)(struct cvm_broker_link *link, void *held, enum cvm_settling how,
                              struct cvm_error *err);
    enum cvm_status (*depth)(struct cvm_broker_link *link, const char *queue,
                             struct cvm_broker_depth *out_depth, struct cvm_error *err);
};

enum cvm_broker_counter {
#define X(member, help) CVM_BROKER_COUNT_##member,
    CVM_BROKER_COUNT_TABLE(X)
#undef X
        CVM_BROKER_COUNTER_COUNT
};

struct cvm_broker_guard; /* counters: broker.c */
struct cvm_broker {
    const struct cvm_broker_backend *backend;
    struct cvm_broker_options options;
    char prefix[CVM_BROKER_PREFIX_MAX + 1];
    struct cvm_broker_guard *guard;
};

struct cvm_broker_holding; /* what is unacknowledged: broker.c */
struct cvm_broker_link {
    struct cvm_broker *broker;
    uint32_t prefetch;
    struct cvm_broker_holding *holding;
    uint64_t ended[CVM_SENDING_UNKNOWN + 1]; /* sendings by state, since the last confirm */
};

extern const struct cvm_broker_backend cvm_broker_local;
extern const struct cvm_broker_backend cvm_broker_rabbitmq;
extern const struct cvm_broker_backend cvm_broker_kafka;

#define CVM_BROKER_DEAD           "dead"
#define CVM_BROKER_REJECTED       "rejected"       /* the names of RabbitMQ */
#define CVM_BROKER_DELIVERY_LIMIT "delivery_limit" /* the same */
bool cvm_broker_is_reply(const char *queue);
/* Bytes that are no envelope are handed out as they are. */
bool cvm_broker_takes_bytes(const char *queue);

/* Prefix, name and, for high priority, ".high": back ends whose queues know no priority keep two. A
 * reply queue is one. */
#define CVM_BROKER_FULL_NAME_SIZE (CVM_BROKER_PREFIX_MAX + CVM_BROKER_NAME_MAX + 8)
void cvm_broker_full_name(const struct cvm_broker *broker, const char *queue,
                          enum cvm_priority priority, char out[CVM_BROKER_FULL_NAME_SIZE]);

void cvm_broker_count(struct cvm_broker *broker, enum cvm_broker_counter counter, uint64_t amount);
/* The end of a sending, or of `count` of the same state. */
void cvm_sending_end(struct cvm_broker_link *link, struct cvm_sending *sending,
                     enum cvm_sending_state state);
/* False: unreadable; it is counted and logged. */
bool cvm_broker_read(struct cvm_broker_link *link, const char *queue, struct cvm_slice bytes,
                     struct cvm_envelope *out_envelope);
/* "broker" events of the log: what, and why. */
void cvm_broker_log(const struct cvm_broker *broker, const char *event,
                    const struct cvm_error *err);

#endif
