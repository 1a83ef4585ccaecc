/* broker_kafka.c - links to Kafka, and the table that broker.c calls. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "messaging/broker_kafka.h"

static struct kafka_link *link_of(struct cvm_broker_link *link)
{
    return (struct kafka_link *)link;
}

static enum cvm_status kafka_link_open(struct cvm_broker *broker, struct cvm_broker_link **out_link,
                                       struct cvm_error *err)
{
    struct kafka_link *link = calloc(1, sizeof(*link));
    (void)broker;
    if (link == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a link to the broker");
    }
    link->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (link->event_fd < 0) {
        free(link);
        return CVM_FAIL(err, CVM_E_LIMIT, "no file descriptor for a link to the broker");
    }
    *out_link = &link->base;
    return CVM_OK;
}

static void kafka_link_close(struct cvm_broker_link *base)
{
    struct kafka_link *link = link_of(base);
    for (size_t i = 0; i < link->subscription_count; i++) {
        kafka_subscription_close(link->subscriptions[i]);
    }
    kafka_leave_batches(link);
    cvm_buffer_finish(&link->bytes);
    (void)close(link->event_fd);
    free(link);
}

static enum cvm_status kafka_link_declare(struct cvm_broker_link *base, const char *queue,
                                          struct cvm_error *err)
{
    return kafka_declare(kafka_broker_of(link_of(base)), queue, false, err);
}

static enum cvm_status kafka_subscribe(struct cvm_broker_link *base, const char *queue,
                                       struct cvm_error *err)
{
    static const uint64_t one = 1;
    struct kafka_link *link = link_of(base);
    size_t before = link->subscription_count;
    int topics = kafka_topic_count(queue);
    if (before + (size_t)topics > SUBSCRIPTIONS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "a link subscribes to %d queues at most",
                        SUBSCRIPTIONS_MAX / CVM_PRIORITY_COUNT);
    }
    enum cvm_status status =
        kafka_declare(kafka_broker_of(link), queue, cvm_broker_is_reply(queue), err);
    for (int p = 0; status == CVM_OK && p < topics; p++) {
        struct kafka_subscription *subscription = NULL;
        status = kafka_subscription_open(link, queue, (enum cvm_priority)p, &subscription, err);
        if (status == CVM_OK) {
            link->subscriptions[link->subscription_count++] = subscription;
            rd_kafka_queue_io_event_enable(subscription->events, link->event_fd, &one, sizeof(one));
        }
    }
    while (status != CVM_OK && link->subscription_count > before) {
        kafka_subscription_close(link->subscriptions[--link->subscription_count]);
    }
    return status;
}

/* ---- receiving ---- */

static struct cvm_delivery deliver(struct kafka_item *item)
{
    const struct kafka_subscription *subscription = item->subscription;
    struct cvm_slice raw = {item->message->payload, item->message->len};
    item->is_held = true;
    item->subscription->held_count++;
    return (struct cvm_delivery){
        .envelope = item->is_readable ? &item->envelope : NULL,
        .raw =
            strcmp(subscription->queue, CVM_BROKER_DEAD) == 0 ? raw : (struct cvm_slice){NULL, 0},
        .attempt = 1,
        .partition = kafka_partition_number(subscription->priority, item->message->partition),
        .offset = item->offset,
        .queue = subscription->queue,
        .held = item,
    };
}

/* High priority of all before normal priority of any; each subscription is first in its turn. */
static size_t hand_out(struct kafka_link *link, struct cvm_delivery *deliveries, size_t max)
{
    size_t count = 0;
    for (int p = CVM_PRIORITY_COUNT - 1; p >= 0; p--) {
        for (size_t i = 0; i < link->subscription_count; i++) {
            struct kafka_subscription *subscription =
                link->subscriptions[(link->turn + i) % link->subscription_count];
            while (count < max && (int)subscription->priority == p &&
                   subscription->ready_first != NULL) {
                struct kafka_item *item = subscription->ready_first;
                subscription->ready_first = item->next_ready;
                subscription->ready_count--;
                deliveries[count++] = deliver(item);
            }
        }
    }
    link->turn++;
    return count;
}

/* A failure is told once. */
static enum cvm_status take_failure(struct kafka_link *link, struct cvm_error *err)
{
    for (size_t i = 0; i < link->subscription_count; i++) {
        struct cvm_error *failed = &link->subscriptions[i]->failed;
        if (failed->status != CVM_OK) {
            enum cvm_status status = failed->status;
            if (err != NULL) {
                *err = *failed;
            }
            failed->status = CVM_OK;
            return status;
        }
    }
    return CVM_OK;
}

static int milliseconds_to(int64_t until_ns)
{
    int64_t left_ns = until_ns - kafka_now_ns();
    return left_ns <= 0 ? 0 : (int)((left_ns + 999999) / 1000000);
}

static void wait_for_more(struct kafka_link *link, int timeout_ms)
{
    if (link->subscription_count == 1) {
        kafka_drain(link->subscriptions[0], timeout_ms);
    } else {
        struct pollfd poller = {.fd = link->event_fd, .events = POLLIN};
        uint64_t count = 0;
        if (poll(&poller, 1, timeout_ms) > 0) {
            (void)!read(link->event_fd, &count, sizeof(count)); /* to be woken again */
        }
    }
}

static bool is_down(const struct kafka_link *link)
{
    bool is_down = link->subscription_count > 0;
    for (size_t i = 0; i < link->subscription_count; i++) {
        is_down = is_down && link->subscriptions[i]->is_down;
    }
    return is_down;
}

static enum cvm_status kafka_receive(struct cvm_broker_link *base, struct cvm_delivery *deliveries,
                                     size_t max, int timeout_ms, size_t *out_count,
                                     struct cvm_error *err)
{
    struct kafka_link *link = link_of(base);
    int64_t until_ns = kafka_now_ns() + (int64_t)timeout_ms * 1000000;
    size_t count = 0;
    for (;;) {
        for (size_t i = 0; i < link->subscription_count; i++) {
            kafka_drain(link->subscriptions[i], 0);
        }
        count = hand_out(link, deliveries, max);
        enum cvm_status status = count > 0 ? CVM_OK : take_failure(link, err);
        if (status != CVM_OK) {
            return status;
        }
        int left_ms = milliseconds_to(until_ns);
        if (count > 0 || left_ms == 0) {
            break;
        }
        wait_for_more(link, left_ms);
    }
    if (count == 0 && timeout_ms > 0 && is_down(link)) {
        return kafka_fail_away(kafka_broker_of(link), "receive", err);
    }
    *out_count = count;
    return CVM_OK;
}

static enum cvm_status kafka_depth(struct cvm_broker_link *base, const char *queue,
                                   struct cvm_broker_depth *out_depth, struct cvm_error *err)
{
    struct kafka_link *link = link_of(base);
    struct kafka_broker *broker = kafka_broker_of(link);
    char name[CVM_BROKER_FULL_NAME_SIZE];
    cvm_broker_full_name(&broker->base, queue, CVM_PRIORITY_NORMAL, name);
    enum cvm_status status = kafka_make_producer(broker, err);
    if (status == CVM_OK) {
        status = kafka_find_topic(broker, name, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    int64_t ready = -1; /* only who consumes knows */
    for (size_t i = 0; i < link->subscription_count; i++) {
        if (strcmp(link->subscriptions[i]->queue, queue) == 0) {
            ready = (ready < 0 ? 0 : ready) + kafka_lag(link->subscriptions[i]);
        }
    }
    *out_depth = (struct cvm_broker_depth){.ready = ready, .in_flight = -1, .oldest_ms = -1};
    return CVM_OK;
}

const struct cvm_broker_backend cvm_broker_kafka = {
    .abilities = CVM_BROKER_OFFSETS,
    .open = kafka_open,
    .close = kafka_close,
    .link_open = kafka_link_open,
    .link_close = kafka_link_close,
    .declare = kafka_link_declare,
    .publish = kafka_publish,
    .confirm = kafka_confirm,
    .subscribe = kafka_subscribe,
    .receive = kafka_receive,
    .settle = kafka_settle,
    .depth = kafka_depth,
};
