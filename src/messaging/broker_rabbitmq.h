/* broker_rabbitmq.h - what the files named broker_rabbitmq*.c share.
 *
 * A link is a connection, since librabbitmq allows a connection one thread only. Channel 1 carries
 * messages and what is said about them, channel 2 questions whose refusal closes their channel.
 * After any error the connection is destroyed, never used again: librabbitmq 0.11 may crash else.
 */
#ifndef CVM_MESSAGING_BROKER_RABBITMQ_H
#define CVM_MESSAGING_BROKER_RABBITMQ_H

#include <amqp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/time.h>

#include "base/random.h"
#include "messaging/broker_backend.h"
#include "messaging/broker_url.h"

#define CHANNEL_MESSAGES  1
#define CHANNEL_QUESTIONS 2
#define WINDOW            256 /* unconfirmed envelopes of a link */
#define SUBSCRIPTIONS_MAX 16

struct rabbitmq_broker {
    struct cvm_broker base;
    struct cvm_broker_url url;
    bool is_secure;
    int heartbeat_s;
    /* The guard: a thread that cuts connections whose call does not come back, and sends heartbeats
     * for links whose thread is elsewhere. */
    pthread_mutex_t lock; /* guards links, their fd, is_closing */
    pthread_cond_t changed;
    pthread_t guard;
    bool has_guard;
    bool is_closing;
    struct rabbitmq_link *links;
};

/* A delivery, from its first frame to its acknowledgement. */
struct incoming {
    struct incoming *next;
    uint64_t generation; /* of the connection that it came over */
    uint64_t server_tag;
    size_t subscription;
    enum cvm_priority priority; /* of the queue that it came from */
    uint32_t attempt;
    bool is_too_long;
    bool is_readable;
    char died_in[CVM_BROKER_FULL_NAME_SIZE]; /* "" = not known */
    char died_of[24];
    struct cvm_envelope envelope;
    size_t length; /* said by the head */
    size_t filled;
    unsigned char bytes[];
};

struct incoming_list {
    struct incoming *first;
    struct incoming *last;
};

struct rabbitmq_link {
    struct cvm_broker_link base;
    struct rabbitmq_link *next;
    amqp_connection_state_t connection; /* NULL = none */
    uint64_t generation;                /* counts connections */
    struct cvm_error lost;              /* why there is none */
    unsigned failures;                  /* in a row */
    int64_t next_try_ns;
    size_t next_host;
    struct cvm_random random;
    bool is_blocked;  /* the server holds up who publishes */
    int64_t heard_ns; /* when frames were last asked for */

    /* Held by the link's thread while it is in a call, by the guard while it sends a heartbeat:
     * librabbitmq allows a connection one thread at a time. */
    pthread_mutex_t in_call;
    int64_t beat_ns; /* when the guard sent one last */
    int beat_code;   /* how that failed; the connection is lost then, which its thread sees to */

    int fd;                        /* for the guard; -1 = none */
    _Atomic int64_t call_until_ns; /* when the guard cuts it; 0 = not in a call */

    /* Sending: sequence numbers as the server counts them, from 1 per connection. */
    struct window_entry {
        struct cvm_sending *sending; /* NULL = nobody waits for it any more */
        struct cvm_message_id id;
        bool is_open;
        bool was_returned;
    } window[WINDOW];
    uint64_t first_open; /* the oldest that is unconfirmed */
    uint64_t next_sequence;
    size_t waiting; /* open entries with a sending */

    /* Content under way on channel 1. */
    enum { CONTENT_NONE, CONTENT_DELIVERY, CONTENT_RETURN } content;
    struct incoming *incoming; /* of a delivery; a return needs no more than its head */
    size_t content_left;
    uint64_t content_tag;
    bool content_again;
    size_t content_subscription;
    enum cvm_priority content_priority;

    char subscriptions[SUBSCRIPTIONS_MAX][CVM_BROKER_NAME_MAX + 1];
    size_t subscription_count;
    struct incoming_list ready[CVM_PRIORITY_COUNT];
};

int64_t rabbitmq_now_ns(void);
static inline struct timeval rabbitmq_timeval(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
}

/* broker_rabbitmq_connect.c */
enum cvm_status rabbitmq_open(const char *url, const struct cvm_broker_options *options,
                              struct cvm_broker **out_broker, struct cvm_error *err);
void rabbitmq_close(struct cvm_broker *broker);
enum cvm_status rabbitmq_guard_add(struct rabbitmq_link *link, struct cvm_error *err);
void rabbitmq_guard_remove(struct rabbitmq_link *link);
/* A connection, or CVM_E_UNAVAILABLE at once while it is too early to try again. */
enum cvm_status rabbitmq_connect(struct rabbitmq_link *link, struct cvm_error *err);
/* Destroy the connection; the reason is logged and kept for who asks next. */
void rabbitmq_drop(struct rabbitmq_link *link, const struct cvm_error *why);
/* The outcome of a question on `channel`. A refusal closes channel 2, which is opened anew. */
enum cvm_status rabbitmq_judge(struct rabbitmq_link *link, amqp_rpc_reply_t reply, const char *what,
                               struct cvm_error *err);
enum cvm_status rabbitmq_declare(struct rabbitmq_link *link, const char *queue,
                                 struct cvm_error *err);
enum cvm_status rabbitmq_consume(struct rabbitmq_link *link, size_t subscription,
                                 struct cvm_error *err);
enum cvm_status rabbitmq_depth(struct rabbitmq_link *link, const char *queue,
                               struct cvm_broker_depth *out_depth, struct cvm_error *err);

/* Calls of librabbitmq that might wait for ever stand between these two. */
void rabbitmq_call_begin(struct rabbitmq_link *link);
void rabbitmq_call_end(struct rabbitmq_link *link);

/* broker_rabbitmq.c: what was in flight over a connection that is gone. */
void rabbitmq_forget(struct rabbitmq_link *link);

#endif
