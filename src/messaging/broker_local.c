/* broker_local.c - queues in the process.
 *
 * A message is one block: the envelope, its texts behind it. Blocks go around: from the pool to a
 * sender, through a queue to a receiver, and back to the pool, in chains of CHAIN_LENGTH, so that
 * the locks of queue and pool are taken per batch and the allocator is not asked again.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "messaging/broker_backend.h"

#define BLOCK_BYTES       512 /* of texts; a longer message gets a block of its own */
#define CHAIN_LENGTH      64
#define QUEUES_MAX        4096
#define SUBSCRIPTIONS_MAX 16

struct message {
    struct message *next;
    struct message *next_chain; /* of the first of a chain in the pool */
    struct cvm_envelope envelope;
    void *object;
    void (*release)(void *object);
    struct local_queue *queue;
    uint64_t place; /* in its queue: what comes back gets its old one */
    int64_t queued_ms;
    const char *died_in; /* what a delivery says of the dead */
    const char *died_of;
    uint32_t died_after;
    uint32_t deliveries;
    uint32_t capacity; /* of bytes */
    char bytes[];
};

struct list {
    struct message *first;
    struct message *last;
    size_t count;
};

struct subscription {
    struct local_link *link;
    struct local_queue *queue;
    struct subscription *next_waiting;
    bool is_waiting;
};

struct local_queue {
    struct local_queue *next;
    char name[CVM_BROKER_NAME_MAX + 1];
    struct local_link *owner; /* of a reply queue */
    size_t capacity;
    bool drops_oldest; /* "dead" */
    pthread_mutex_t lock;
    struct list waiting[CVM_PRIORITY_COUNT]; /* what follows is guarded by it */
    uint64_t next_place;
    struct subscription *waiters;
    _Atomic size_t in_flight; /* but not this */
};

struct local_broker {
    struct cvm_broker base;
    /* Read by who publishes, written by who makes or removes a queue: a queue that was found stays
     * until the lock is given back. Receivers hold theirs by their subscription. */
    pthread_rwlock_t queues_lock;
    struct local_queue *queues;
    size_t queue_count;
    pthread_mutex_t pool_lock;
    struct message *pool; /* chains */
    atomic_bool nobody_waits;
};

struct local_link {
    struct cvm_broker_link base;
    struct list spare; /* blocks to fill; at most CHAIN_LENGTH */
    struct list done;  /* blocks on their way to the pool */
    struct subscription subscriptions[SUBSCRIPTIONS_MAX];
    size_t subscription_count;
    size_t turn; /* the subscription that is asked first */
    pthread_mutex_t lock;
    pthread_cond_t was_called;
    bool is_called;
};

static struct local_broker *broker_of(struct cvm_broker *broker)
{
    return (struct local_broker *)broker;
}

static struct local_link *link_of(struct cvm_broker_link *link)
{
    return (struct local_link *)link;
}

/* ---- lists ---- */

static void append(struct list *list, struct message *message)
{
    message->next = NULL;
    if (list->first == NULL) {
        list->first = message;
    } else {
        list->last->next = message;
    }
    list->last = message;
    list->count++;
}

static struct message *take_first(struct list *list)
{
    struct message *message = list->first;
    list->first = message->next;
    list->count--;
    return message;
}

static void append_list(struct list *list, const struct list *more)
{
    if (more->first == NULL) {
        return;
    }
    if (list->first == NULL) {
        *list = *more;
    } else {
        list->last->next = more->first;
        list->last = more->last;
        list->count += more->count;
    }
}

/* Where it was: what comes back is older than nearly all that waits. */
static void insert(struct list *list, struct message *message)
{
    struct message *before = NULL;
    struct message *at = list->first;
    while (at != NULL && at->place < message->place) {
        before = at;
        at = at->next;
    }
    message->next = at;
    if (before == NULL) {
        list->first = message;
    } else {
        before->next = message;
    }
    if (at == NULL) {
        list->last = message;
    }
    list->count++;
}

/* ---- blocks ---- */

static void release_object(struct message *message)
{
    if (message->object != NULL) {
        message->release(message->object);
        message->object = NULL;
    }
}

static void free_list(struct list *list)
{
    while (list->first != NULL) {
        struct message *message = take_first(list);
        release_object(message);
        free(message);
    }
}

static void give_back(struct local_link *link, struct message *message)
{
    struct local_broker *broker = broker_of(link->base.broker);
    if (message->capacity != BLOCK_BYTES) {
        free(message);
        return;
    }
    append(&link->done, message);
    if (link->done.count == CHAIN_LENGTH) {
        struct message *chain = link->done.first;
        link->done = (struct list){NULL, NULL, 0};
        (void)pthread_mutex_lock(&broker->pool_lock);
        chain->next_chain = broker->pool;
        broker->pool = chain;
        (void)pthread_mutex_unlock(&broker->pool_lock);
    }
}

/* A chain of the pool, whole; NULL when it has none. */
static struct message *take_chain(struct local_broker *broker)
{
    (void)pthread_mutex_lock(&broker->pool_lock);
    struct message *chain = broker->pool;
    if (chain != NULL) {
        broker->pool = chain->next_chain;
    }
    (void)pthread_mutex_unlock(&broker->pool_lock);
    return chain;
}

static struct message *make_block(struct local_link *link, size_t length)
{
    if (length > BLOCK_BYTES) {
        struct message *message = malloc(sizeof(*message) + length);
        if (message != NULL) {
            message->capacity = (uint32_t)length;
        }
        return message;
    }
    if (link->spare.first == NULL && link->done.first != NULL) {
        link->spare = link->done; /* who both sends and receives */
        link->done = (struct list){NULL, NULL, 0};
    }
    if (link->spare.first == NULL) {
        link->spare.first = take_chain(broker_of(link->base.broker));
        link->spare.count = link->spare.first == NULL ? 0 : CHAIN_LENGTH;
    }
    if (link->spare.first != NULL) {
        return take_first(&link->spare);
    }
    struct message *message = malloc(sizeof(*message) + BLOCK_BYTES);
    if (message != NULL) {
        message->capacity = BLOCK_BYTES;
    }
    return message;
}

static char *copy_slice(struct cvm_slice *slice, char *to)
{
    if (slice->length > 0) {
        memcpy(to, slice->data, slice->length);
    }
    slice->data = to;
    return to + slice->length;
}

static struct message *make_message(struct local_link *link, const struct cvm_sending *sending)
{
    size_t length = cvm_envelope_bytes(sending->envelope) - CVM_ENVELOPE_HEAD_BYTES;
    struct message *message = make_block(link, length);
    if (message == NULL) {
        return NULL;
    }
    char *to = message->bytes;
    struct cvm_envelope *envelope = &message->envelope;
    *envelope = *sending->envelope;
    to = copy_slice(&envelope->run_id, to);
    to = copy_slice(&envelope->workflow_id, to);
    to = copy_slice(&envelope->step, to);
    to = copy_slice(&envelope->sender, to);
    to = copy_slice(&envelope->reply_to, to);
    to = copy_slice(&envelope->traceparent, to);
    (void)copy_slice(&envelope->payload, to);
    message->object = sending->object;
    message->release = sending->release;
    message->deliveries = 0;
    message->died_in = NULL;
    message->died_of = NULL;
    message->died_after = 0;
    return message;
}

/* ---- queues ---- */

static struct local_queue *find_queue(struct local_broker *broker, const char *name)
{
    struct local_queue *queue = broker->queues;
    while (queue != NULL && strcmp(queue->name, name) != 0) {
        queue = queue->next;
    }
    return queue;
}

static void free_queue(struct local_queue *queue)
{
    for (size_t p = 0; p < CVM_PRIORITY_COUNT; p++) {
        free_list(&queue->waiting[p]);
    }
    (void)pthread_mutex_destroy(&queue->lock);
    free(queue);
}

/* Under the lock for writing. */
static struct local_queue *make_queue(struct local_broker *broker, size_t capacity,
                                      const char *name)
{
    struct local_queue *queue = find_queue(broker, name);
    if (queue != NULL) {
        return queue;
    }
    queue = broker->queue_count < QUEUES_MAX ? calloc(1, sizeof(*queue)) : NULL;
    if (queue == NULL) {
        return NULL;
    }
    memcpy(queue->name, name, strlen(name) + 1);
    queue->capacity = capacity;
    queue->drops_oldest = strcmp(name, CVM_BROKER_DEAD) == 0;
    (void)pthread_mutex_init(&queue->lock, NULL); /* on Linux this only fills it */
    queue->next = broker->queues;
    broker->queues = queue;
    broker->queue_count++;
    return queue;
}

static size_t depth_of(const struct local_queue *queue)
{
    size_t depth = 0;
    for (size_t p = 0; p < CVM_PRIORITY_COUNT; p++) {
        depth += queue->waiting[p].count;
    }
    return depth;
}

/* Under the lock of the queue: wake as many of those who wait as there are messages. */
static void call_waiters(struct local_queue *queue, size_t count)
{
    for (; count > 0 && queue->waiters != NULL; count--) {
        struct subscription *waiter = queue->waiters;
        queue->waiters = waiter->next_waiting;
        waiter->is_waiting = false;
        (void)pthread_mutex_lock(&waiter->link->lock);
        waiter->link->is_called = true;
        (void)pthread_cond_signal(&waiter->link->was_called);
        (void)pthread_mutex_unlock(&waiter->link->lock);
    }
}

/* Into "dead", with the newest kept when there are too many. The object does not die with it. */
static void bury(struct local_link *link, struct message *message, const char *why)
{
    struct local_broker *broker = broker_of(link->base.broker);
    struct message *too_many = NULL;
    (void)pthread_rwlock_rdlock(&broker->queues_lock);
    struct local_queue *dead = find_queue(broker, CVM_BROKER_DEAD);
    release_object(message);
    (void)pthread_mutex_lock(&dead->lock);
    struct list *list = &dead->waiting[CVM_PRIORITY_NORMAL];
    if (list->count >= dead->capacity) {
        too_many = take_first(list);
    }
    message->died_in = message->queue->owner == NULL ? message->queue->name : NULL; /* that stays */
    message->died_of = why;
    message->died_after = message->deliveries;
    message->queue = dead;
    message->place = dead->next_place++;
    message->deliveries = 0;
    append(list, message);
    call_waiters(dead, 1);
    (void)pthread_mutex_unlock(&dead->lock);
    (void)pthread_rwlock_unlock(&broker->queues_lock);
    if (too_many != NULL) {
        give_back(link, too_many);
    }
}

/* ---- life ---- */

static enum cvm_status local_open(const char *url, const struct cvm_broker_options *options,
                                  struct cvm_broker **out_broker, struct cvm_error *err)
{
    if (strcmp(url, "local:") != 0) {
        return CVM_FAIL(err, CVM_E_INVALID, "the broker in the process is 'local:' and no more");
    }
    struct local_broker *broker = calloc(1, sizeof(*broker));
    if (broker == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a broker");
    }
    pthread_rwlockattr_t attributes;
    (void)pthread_rwlockattr_init(&attributes);
    /* Else who makes a queue may wait for ever beside threads that publish without a pause. */
    (void)pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&broker->queues_lock, &attributes);
    (void)pthread_rwlockattr_destroy(&attributes);
    (void)pthread_mutex_init(&broker->pool_lock, NULL);
    if (make_queue(broker, options->queue_max, CVM_BROKER_DEAD) == NULL) {
        free(broker);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a broker");
    }
    *out_broker = &broker->base;
    return CVM_OK;
}

static void local_close(struct cvm_broker *base)
{
    struct local_broker *broker = broker_of(base);
    while (broker->queues != NULL) {
        struct local_queue *queue = broker->queues;
        broker->queues = queue->next;
        free_queue(queue);
    }
    while (broker->pool != NULL) {
        struct list chain = {broker->pool, NULL, CHAIN_LENGTH};
        broker->pool = broker->pool->next_chain;
        free_list(&chain);
    }
    (void)pthread_mutex_destroy(&broker->pool_lock);
    (void)pthread_rwlock_destroy(&broker->queues_lock);
    free(broker);
}

static enum cvm_status local_link_open(struct cvm_broker *broker, struct cvm_broker_link **out_link,
                                       struct cvm_error *err)
{
    struct local_link *link = calloc(1, sizeof(*link));
    pthread_condattr_t attributes;
    (void)broker;
    if (link == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a link to the broker");
    }
    (void)pthread_mutex_init(&link->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&link->was_called, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    *out_link = &link->base;
    return CVM_OK;
}

static void remove_reply_queues(struct local_link *link)
{
    struct local_broker *broker = broker_of(link->base.broker);
    (void)pthread_rwlock_wrlock(&broker->queues_lock);
    for (struct local_queue **at = &broker->queues; *at != NULL;) {
        struct local_queue *queue = *at;
        if (queue->owner == link) {
            *at = queue->next;
            broker->queue_count--;
            free_queue(queue);
        } else {
            at = &queue->next;
        }
    }
    (void)pthread_rwlock_unlock(&broker->queues_lock);
}

static void local_link_close(struct cvm_broker_link *base)
{
    struct local_link *link = link_of(base);
    remove_reply_queues(link);
    free_list(&link->spare);
    free_list(&link->done);
    (void)pthread_cond_destroy(&link->was_called);
    (void)pthread_mutex_destroy(&link->lock);
    free(link);
}

static enum cvm_status local_declare(struct cvm_broker_link *base, const char *name,
                                     struct cvm_error *err)
{
    struct local_broker *broker = broker_of(base->broker);
    (void)pthread_rwlock_wrlock(&broker->queues_lock);
    bool is_there = make_queue(broker, base->broker->options.queue_max, name) != NULL;
    (void)pthread_rwlock_unlock(&broker->queues_lock);
    return is_there ? CVM_OK
                    : CVM_FAIL(err, CVM_E_LIMIT, "no room for the queue '%s': %d queues at most",
                               name, QUEUES_MAX);
}

/* ---- sending ---- */

/* Under the lock of the queue. */
static void push(struct local_queue *queue, struct list ready[CVM_PRIORITY_COUNT])
{
    size_t count = 0;
    for (size_t p = 0; p < CVM_PRIORITY_COUNT; p++) {
        append_list(&queue->waiting[p], &ready[p]);
        count += ready[p].count;
    }
    call_waiters(queue, count);
}

/* `count` messages fit; they are made without the lock. Fewer when memory runs out. */
static size_t fill(struct local_link *link, const struct cvm_sending *sendings, size_t count,
                   struct list *made)
{
    for (size_t i = 0; i < count; i++) {
        struct message *message = make_message(link, &sendings[i]);
        if (message == NULL) {
            return i;
        }
        append(made, message);
    }
    return count;
}

/* At most CHAIN_LENGTH: in their order, until the queue is full. The number that went in. */
static size_t publish_batch(struct local_link *link, struct local_queue *queue,
                            const struct cvm_sending *sendings, size_t count)
{
    struct list made = {NULL, NULL, 0};
    struct list ready[CVM_PRIORITY_COUNT] = {{NULL, NULL, 0}};
    const struct cvm_context *context = &link->base.broker->options.context;
    int64_t now_ms = cvm_context_now_ms(context);
    count = fill(link, sendings, count, &made);
    (void)pthread_mutex_lock(&queue->lock);
    size_t depth = depth_of(queue);
    size_t room = depth < queue->capacity ? queue->capacity - depth : 0;
    size_t taken = room < count ? room : count;
    for (size_t i = 0; i < taken; i++) {
        struct message *message = take_first(&made);
        message->queue = queue;
        message->place = queue->next_place++;
        message->queued_ms = now_ms;
        append(&ready[message->envelope.priority], message);
    }
    push(queue, ready);
    (void)pthread_mutex_unlock(&queue->lock);
    while (made.first != NULL) {
        struct message *message = take_first(&made);
        message->object = NULL; /* still the sender's */
        give_back(link, message);
    }
    return taken;
}

static enum cvm_status local_publish(struct cvm_broker_link *base, const char *name,
                                     struct cvm_sending *sendings, size_t count,
                                     struct cvm_error *err)
{
    struct local_link *link = link_of(base);
    struct local_broker *broker = broker_of(base->broker);
    size_t done = 0;
    bool has_room = true;
    (void)err;
    (void)pthread_rwlock_rdlock(&broker->queues_lock);
    struct local_queue *queue = find_queue(broker, name);
    while (queue != NULL && has_room && done < count) {
        size_t batch = count - done < CHAIN_LENGTH ? count - done : CHAIN_LENGTH;
        size_t taken = publish_batch(link, queue, sendings + done, batch);
        has_room = taken == batch;
        for (size_t i = 0; i < taken; i++) {
            cvm_sending_end(base, &sendings[done++], CVM_SENDING_CONFIRMED);
        }
    }
    (void)pthread_rwlock_unlock(&broker->queues_lock);
    for (; done < count; done++) {
        cvm_sending_end(base, &sendings[done],
                        queue == NULL ? CVM_SENDING_NO_QUEUE : CVM_SENDING_REFUSED);
    }
    return CVM_OK;
}

static enum cvm_status local_confirm(struct cvm_broker_link *link, int timeout_ms,
                                     struct cvm_error *err)
{
    (void)link;
    (void)timeout_ms;
    (void)err;
    return CVM_OK; /* publishing did it */
}

/* ---- receiving ---- */

static enum cvm_status local_subscribe(struct cvm_broker_link *base, const char *name,
                                       struct cvm_error *err)
{
    struct local_link *link = link_of(base);
    struct local_broker *broker = broker_of(base->broker);
    bool is_reply = cvm_broker_is_reply(name);
    if (link->subscription_count == SUBSCRIPTIONS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "a link subscribes to %d queues at most",
                        SUBSCRIPTIONS_MAX);
    }
    (void)pthread_rwlock_wrlock(&broker->queues_lock);
    bool is_taken = is_reply && find_queue(broker, name) != NULL;
    struct local_queue *queue =
        is_taken ? NULL : make_queue(broker, base->broker->options.queue_max, name);
    if (queue != NULL && is_reply) {
        queue->owner = link;
    }
    (void)pthread_rwlock_unlock(&broker->queues_lock);
    if (is_taken) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "the reply queue '%s' belongs to another link", name);
    }
    if (queue == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no room for the queue '%s': %d queues at most", name,
                        QUEUES_MAX);
    }
    link->subscriptions[link->subscription_count++] =
        (struct subscription){.link = link, .queue = queue};
    return CVM_OK;
}

static void deliver(struct message *message, struct cvm_delivery *out)
{
    message->deliveries++;
    *out = (struct cvm_delivery){
        .envelope = &message->envelope,
        .object = message->object,
        .died_in = message->died_in,
        .died_of = message->died_of,
        .died_after = message->died_after,
        .attempt = message->deliveries,
        .queue = message->queue->name,
        .held = message,
    };
}

/* Under the lock of the queue. */
static size_t take(struct local_queue *queue, enum cvm_priority priority,
                   struct cvm_delivery *deliveries, size_t max)
{
    struct list *list = &queue->waiting[priority];
    size_t count = 0;
    while (count < max && list->first != NULL) {
        deliver(take_first(list), &deliveries[count++]);
    }
    (void)atomic_fetch_add_explicit(&queue->in_flight, count, memory_order_relaxed);
    return count;
}

/* High priority of all queues before normal priority of any; each queue is first in its turn. Who
 * was called and leaves something passes the call on. */
static size_t poll_queues(struct local_link *link, struct cvm_delivery *deliveries, size_t max)
{
    size_t count = 0;
    for (int p = CVM_PRIORITY_COUNT - 1; p >= 0; p--) {
        for (size_t i = 0; i < link->subscription_count; i++) {
            size_t at = (link->turn + i) % link->subscription_count;
            struct local_queue *queue = link->subscriptions[at].queue;
            (void)pthread_mutex_lock(&queue->lock);
            count += take(queue, (enum cvm_priority)p, deliveries + count, max - count);
            if (p == CVM_PRIORITY_NORMAL && depth_of(queue) > 0) {
                call_waiters(queue, 1);
            }
            (void)pthread_mutex_unlock(&queue->lock);
        }
    }
    link->turn++;
    return count;
}

static void stop_waiting(struct local_link *link)
{
    for (size_t i = 0; i < link->subscription_count; i++) {
        struct subscription *mine = &link->subscriptions[i];
        (void)pthread_mutex_lock(&mine->queue->lock);
        struct subscription **at = &mine->queue->waiters;
        while (mine->is_waiting && *at != mine) {
            at = &(*at)->next_waiting;
        }
        if (mine->is_waiting) {
            *at = mine->next_waiting;
            mine->is_waiting = false;
        }
        (void)pthread_mutex_unlock(&mine->queue->lock);
    }
}

/* Stand in line at every queue; false when one of them is not empty. */
static bool start_waiting(struct local_link *link)
{
    bool is_empty = true;
    link->is_called = false; /* nobody knows of this link yet */
    for (size_t i = 0; i < link->subscription_count && is_empty; i++) {
        struct subscription *mine = &link->subscriptions[i];
        (void)pthread_mutex_lock(&mine->queue->lock);
        is_empty = depth_of(mine->queue) == 0;
        if (is_empty) {
            mine->next_waiting = mine->queue->waiters;
            mine->queue->waiters = mine;
            mine->is_waiting = true;
        }
        (void)pthread_mutex_unlock(&mine->queue->lock);
    }
    return is_empty;
}

/* False: the time is over and nobody called. */
static bool wait_for_call(struct local_link *link, const struct timespec *until)
{
    int code = 0;
    (void)pthread_mutex_lock(&link->lock);
    while (!link->is_called && code != ETIMEDOUT &&
           !atomic_load(&broker_of(link->base.broker)->nobody_waits)) {
        code = pthread_cond_timedwait(&link->was_called, &link->lock, until);
    }
    bool is_called = link->is_called;
    (void)pthread_mutex_unlock(&link->lock);
    return is_called;
}

static struct timespec time_after(int timeout_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return until;
}

static enum cvm_status local_receive(struct cvm_broker_link *base, struct cvm_delivery *deliveries,
                                     size_t max, int timeout_ms, size_t *out_count,
                                     struct cvm_error *err)
{
    struct local_link *link = link_of(base);
    size_t count = poll_queues(link, deliveries, max);
    (void)err;
    if (count == 0 && timeout_ms > 0) {
        struct timespec until = time_after(timeout_ms);
        bool may_wait = true;
        while (count == 0 && may_wait && !atomic_load(&broker_of(base->broker)->nobody_waits)) {
            may_wait = start_waiting(link) ? wait_for_call(link, &until) : true;
            stop_waiting(link);
            /* A call that came with the end of the time is not to be lost: nobody else got it. */
            may_wait = may_wait || link->is_called;
            count = may_wait ? poll_queues(link, deliveries, max) : 0;
        }
    }
    *out_count = count;
    return CVM_OK;
}

/* Who stands in line is called; who was about to sees it there (wait_for_call). */
static void local_end_waiting(struct cvm_broker *base)
{
    struct local_broker *broker = broker_of(base);
    atomic_store(&broker->nobody_waits, true);
    (void)pthread_rwlock_rdlock(&broker->queues_lock);
    for (struct local_queue *queue = broker->queues; queue != NULL; queue = queue->next) {
        (void)pthread_mutex_lock(&queue->lock);
        call_waiters(queue, SIZE_MAX);
        (void)pthread_mutex_unlock(&queue->lock);
    }
    (void)pthread_rwlock_unlock(&broker->queues_lock);
}

static enum cvm_status local_settle(struct cvm_broker_link *base, void *held, enum cvm_settling how,
                                    struct cvm_error *err)
{
    struct local_link *link = link_of(base);
    struct message *message = held;
    struct local_queue *queue = message->queue;
    bool comes_again = (how == CVM_SETTLE_REQUEUE || how == CVM_SETTLE_ABANDON) &&
                       (message->deliveries < base->broker->options.delivery_limit ||
                        queue->drops_oldest); /* the dead do not die */
    (void)err;
    (void)atomic_fetch_sub_explicit(&queue->in_flight, 1, memory_order_relaxed);
    if (comes_again) {
        (void)pthread_mutex_lock(&queue->lock);
        insert(
            &queue->waiting[queue->drops_oldest ? CVM_PRIORITY_NORMAL : message->envelope.priority],
            message);
        call_waiters(queue, 1);
        (void)pthread_mutex_unlock(&queue->lock);
    } else if (how == CVM_SETTLE_ACK) {
        release_object(message);
        give_back(link, message);
    } else {
        bury(link, message,
             how == CVM_SETTLE_DEAD ? CVM_BROKER_REJECTED : CVM_BROKER_DELIVERY_LIMIT);
    }
    return CVM_OK;
}

static enum cvm_status local_depth(struct cvm_broker_link *base, const char *name,
                                   struct cvm_broker_depth *out_depth, struct cvm_error *err)
{
    struct local_broker *broker = broker_of(base->broker);
    int64_t now_ms = cvm_context_now_ms(&base->broker->options.context);
    (void)pthread_rwlock_rdlock(&broker->queues_lock);
    struct local_queue *queue = find_queue(broker, name);
    if (queue != NULL) {
        (void)pthread_mutex_lock(&queue->lock);
        int64_t oldest_ms = now_ms;
        for (size_t p = 0; p < CVM_PRIORITY_COUNT; p++) {
            const struct message *first = queue->waiting[p].first;
            oldest_ms =
                first != NULL && first->queued_ms < oldest_ms ? first->queued_ms : oldest_ms;
        }
        *out_depth = (struct cvm_broker_depth){
            (int64_t)depth_of(queue), (int64_t)atomic_load(&queue->in_flight), now_ms - oldest_ms};
        (void)pthread_mutex_unlock(&queue->lock);
    }
    (void)pthread_rwlock_unlock(&broker->queues_lock);
    return queue != NULL ? CVM_OK : CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no queue '%s'", name);
}

const struct cvm_broker_backend cvm_broker_local = {
    .abilities = CVM_BROKER_NACKS | CVM_BROKER_BOUNDS | CVM_BROKER_OBJECTS,
    .open = local_open,
    .close = local_close,
    .link_open = local_link_open,
    .link_close = local_link_close,
    .declare = local_declare,
    .publish = local_publish,
    .confirm = local_confirm,
    .subscribe = local_subscribe,
    .receive = local_receive,
    .end_waiting = local_end_waiting,
    .settle = local_settle,
    .depth = local_depth,
};
