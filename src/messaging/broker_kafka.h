/* broker_kafka.h - what the files named broker_kafka*.c share.
 *
 * A process has one producer, whose reports a thread of its own takes in. A queue is a topic, and a
 * second one for high priority; each topic that a link subscribes to has a consumer of its own, in
 * the group of the topic: in one consumer the urgent would stand behind all that was fetched
 * before.
 */
#ifndef CVM_MESSAGING_BROKER_KAFKA_H
#define CVM_MESSAGING_BROKER_KAFKA_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/columns.h"
#include "messaging/broker_backend.h"
#include "messaging/broker_url.h"

#define SUBSCRIPTIONS_MAX 32 /* topics */

struct kafka_broker {
    struct cvm_broker base;
    struct cvm_broker_url url;
    char hosts[1024]; /* as librdkafka wants them */
    bool is_secure;
    int partitions;  /* of a topic that is made */
    int replication; /* the same; 0 = as the server has it */

    /* Read by who produces, written by who replaces a producer that has failed for good. */
    pthread_rwlock_t producer_lock;
    rd_kafka_t *producer;
    rd_kafka_queue_t *reports; /* its events */
    pthread_t taker;           /* of reports */
    bool has_taker;
    atomic_bool is_closing;

    pthread_mutex_t lock; /* guards what follows, and the batches of all links */
    pthread_cond_t has_reports;
    struct kafka_topic *topics; /* that are known to be there */
    struct cvm_error trouble;   /* what the client library last said; CVM_OK = nothing */
};

/* The sendings of one call of publish, until each was reported and the link has seen that. A link
 * that closes or gives up leaves it behind: whoever takes in the last report frees it. */
struct kafka_batch {
    struct kafka_link *link; /* NULL = nobody waits */
    struct kafka_batch *next;
    struct kafka_batch *previous;
    size_t unreported;
    size_t unseen;
    size_t count;
    struct kafka_ticket {
        struct kafka_batch *batch;
        struct cvm_sending *sending;
        struct kafka_ticket *next_ended;
        rd_kafka_resp_err_t outcome;
        bool is_reported;
    } tickets[];
};

/* A message from its arrival to its acknowledgement. */
struct kafka_item {
    struct kafka_item *next; /* of its partition */
    struct kafka_item *next_ready;
    struct kafka_subscription *subscription;
    struct kafka_partition *partition; /* NULL = it was taken away from this consumer */
    rd_kafka_message_t *message;
    int64_t offset;
    bool is_held; /* by the caller */
    bool is_done;
    bool is_readable;
    struct cvm_envelope envelope;
};

struct kafka_partition {
    struct kafka_partition *next;
    int32_t number;
    struct kafka_item *first; /* in the order of offsets: what comes before is done */
    struct kafka_item *last;
    struct kafka_item *done; /* the last of those; Kafka is not told of it yet */
};

struct kafka_subscription {
    struct kafka_link *link;
    char queue[CVM_BROKER_NAME_MAX + 1];
    enum cvm_priority priority;
    char topic[CVM_BROKER_FULL_NAME_SIZE];
    rd_kafka_t *consumer;
    rd_kafka_queue_t *events;
    struct kafka_partition *partitions;       /* assigned */
    rd_kafka_topic_partition_list_t *waiting; /* assigned, and nobody says yet where to go on */
    struct kafka_item *ready_first;           /* not handed out yet */
    struct kafka_item *ready_last;
    size_t ready_count;
    size_t held_count;        /* by the caller */
    struct kafka_item *spare; /* for messages to come */
    struct cvm_error failed;  /* CVM_OK = not */
    bool is_down;
};

struct kafka_link {
    struct cvm_broker_link base;
    struct cvm_buffer bytes; /* of one message, until the library has copied them */
    struct kafka_batch *batches;
    struct kafka_ticket *ended; /* reported; the link has not looked yet */
    size_t ended_count;
    size_t wanted; /* the link waits until so many are; 0 = it does not wait */
    size_t pending;
    int event_fd; /* something came for one of several consumers */
    struct kafka_subscription *subscriptions[SUBSCRIPTIONS_MAX];
    size_t subscription_count;
    size_t turn;
};

int64_t kafka_now_ns(void);
static inline struct kafka_broker *kafka_broker_of(const struct kafka_link *link)
{
    return (struct kafka_broker *)link->base.broker;
}

/* ---- broker_kafka_producer.c ---- */

enum cvm_status kafka_open(const char *url, const struct cvm_broker_options *options,
                           struct cvm_broker **out_broker, struct cvm_error *err);
void kafka_close(struct cvm_broker *broker);
/* What producers and consumers have in common; NULL when out of memory or a value is refused. */
rd_kafka_conf_t *kafka_conf(struct kafka_broker *broker, struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status kafka_conf_set(rd_kafka_conf_t *conf, const char *name,
                                              const char *value, struct cvm_error *err);
enum cvm_status kafka_publish(struct cvm_broker_link *link, const char *queue,
                              struct cvm_sending *sendings, size_t count, struct cvm_error *err);
enum cvm_status kafka_confirm(struct cvm_broker_link *link, int timeout_ms, struct cvm_error *err);
/* Bytes as they are into "dead", and wait until they are there. */
enum cvm_status kafka_bury(struct kafka_link *link, const rd_kafka_message_t *message,
                           struct cvm_error *err);
/* Nobody waits for the sendings of the link any more: UNKNOWN. */
void kafka_leave_batches(struct kafka_link *link);
/* For people: what the library last said, or that nothing answered. */
enum cvm_status kafka_fail_away(struct kafka_broker *broker, const char *what,
                                struct cvm_error *err);
void kafka_note_trouble(struct kafka_broker *broker, rd_kafka_resp_err_t code, const char *reason);

/* ---- broker_kafka_topic.c ---- */

enum cvm_status kafka_make_producer(struct kafka_broker *broker, struct cvm_error *err);
/* Topics of a queue: made where they are not there. `is_new`: CVM_E_CONFLICT when they are. */
enum cvm_status kafka_declare(struct kafka_broker *broker, const char *queue, bool is_new,
                              struct cvm_error *err);
/* CVM_E_NOT_FOUND when it is not there. Asked once, then known. */
enum cvm_status kafka_find_topic(struct kafka_broker *broker, const char *name,
                                 struct cvm_error *err);
void kafka_forget_topics(struct kafka_broker *broker);
void kafka_delete_topic(struct kafka_broker *broker, const char *queue);
static inline int kafka_topic_count(const char *queue)
{
    return cvm_broker_is_reply(queue) || strcmp(queue, CVM_BROKER_DEAD) == 0 ? 1
                                                                             : CVM_PRIORITY_COUNT;
}

/* ---- broker_kafka_consumer.c ---- */

/* One number for the partitions of both topics of a queue, to keep offsets under. */
static inline int32_t kafka_partition_number(enum cvm_priority priority, int32_t partition)
{
    return partition + (priority == CVM_PRIORITY_HIGH ? 65536 : 0);
}

enum cvm_status kafka_subscription_open(struct kafka_link *link, const char *queue,
                                        enum cvm_priority priority,
                                        struct kafka_subscription **out_subscription,
                                        struct cvm_error *err);
void kafka_subscription_close(struct kafka_subscription *subscription);
/* Take what has come, up to the prefetch; wait for the first one so long. */
void kafka_drain(struct kafka_subscription *subscription, int timeout_ms);
/* The item is done with, or comes again. */
enum cvm_status kafka_settle(struct cvm_broker_link *link, void *held, enum cvm_settling how,
                             struct cvm_error *err);
int64_t kafka_lag(const struct kafka_subscription *subscription);

#endif
