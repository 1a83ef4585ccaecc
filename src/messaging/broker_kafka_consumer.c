/* broker_kafka_consumer.c - receiving from Kafka: a consumer per subscription.
 *
 * Where to go on is the caller's to know, or, without that, Kafka's: then an offset is stored once
 * everything before it is done. Partitions are given out by range, all at once: the incremental way
 * ("cooperative-sticky") of librdkafka before 2.6 may spin, hang or crash. Messages are taken with
 * rd_kafka_consumer_poll() one by one: its batches may lose some beside a rebalance before 2.1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "messaging/broker_kafka.h"

#define TEXT_SIZE     512
#define CLOSE_MS      5000
#define CLOSE_POLL_MS 50

static struct kafka_broker *broker_of(const struct kafka_subscription *subscription)
{
    return kafka_broker_of(subscription->link);
}

static bool keeps_offsets(const struct kafka_subscription *subscription)
{
    return broker_of(subscription)->base.options.offsets.load != NULL &&
           !cvm_broker_is_reply(subscription->queue);
}

/* ---- items ---- */

static void free_item(struct kafka_item *item)
{
    struct kafka_subscription *subscription = item->subscription;
    rd_kafka_message_destroy(item->message);
    item->next = subscription->spare;
    subscription->spare = item;
}

/* All but its envelope is set; NULL when out of memory. */
static struct kafka_item *new_item(struct kafka_subscription *subscription,
                                   struct kafka_partition *partition, rd_kafka_message_t *message)
{
    struct kafka_item *item = subscription->spare;
    if (item != NULL) {
        subscription->spare = item->next;
    } else {
        item = calloc(1, sizeof(*item));
    }
    if (item != NULL) {
        item->next = NULL;
        item->subscription = subscription;
        item->partition = partition;
        item->message = message;
        item->offset = message->offset;
        item->is_held = item->is_done = false;
    }
    return item;
}

/* Where Kafka is the one to know: after the last acknowledgement of what the caller holds, and with
 * each call that receives. */
static void tell_done(struct kafka_subscription *subscription)
{
    for (struct kafka_partition *partition = subscription->partitions; partition != NULL;
         partition = partition->next) {
        struct kafka_item *done = partition->done;
        if (done != NULL) {
            const rd_kafka_message_t *message = done->message;
            (void)rd_kafka_offset_store(message->rkt, message->partition, message->offset);
            free_item(done);
            partition->done = NULL;
        }
    }
}

static void append_ready(struct kafka_subscription *subscription, struct kafka_item *item)
{
    item->next_ready = NULL;
    if (subscription->ready_first == NULL) {
        subscription->ready_first = item;
    } else {
        subscription->ready_last->next_ready = item;
    }
    subscription->ready_last = item;
    subscription->ready_count++;
}

static struct kafka_partition *find_partition(const struct kafka_subscription *subscription,
                                              int32_t number)
{
    struct kafka_partition *partition = subscription->partitions;
    while (partition != NULL && partition->number != number) {
        partition = partition->next;
    }
    return partition;
}

/* Everything that waits; what the caller holds stays, and belongs to no partition any more. */
static void drop_partitions(struct kafka_subscription *subscription)
{
    tell_done(subscription);
    while (subscription->partitions != NULL) {
        struct kafka_partition *partition = subscription->partitions;
        subscription->partitions = partition->next;
        while (partition->first != NULL) {
            struct kafka_item *item = partition->first;
            partition->first = item->next;
            item->partition = NULL;
            if (!item->is_held) {
                free_item(item);
            }
        }
        free(partition);
    }
    subscription->ready_first = NULL;
    subscription->ready_count = 0;
}

/* What is done from the front on; the offset behind it is where a successor would go on. */
static void advance(struct kafka_subscription *subscription, struct kafka_partition *partition)
{
    while (partition->first != NULL && partition->first->is_done) {
        struct kafka_item *item = partition->first;
        partition->first = item->next;
        if (partition->done != NULL) {
            free_item(partition->done);
        }
        partition->done = item;
    }
    if (keeps_offsets(subscription) && partition->done != NULL) {
        free_item(partition->done);
        partition->done = NULL;
    }
}

/* ---- partitions come and go ---- */

static enum cvm_status find_offset(struct kafka_subscription *subscription,
                                   const struct kafka_partition *partition, int64_t *out_offset,
                                   struct cvm_error *err)
{
    const struct cvm_broker_offsets *offsets = &broker_of(subscription)->base.options.offsets;
    int32_t number = kafka_partition_number(subscription->priority, partition->number);
    enum cvm_status status =
        offsets->load(offsets->state, subscription->queue, number, out_offset, err);
    if (status == CVM_E_NOT_FOUND) {
        *out_offset = RD_KAFKA_OFFSET_BEGINNING;
        return CVM_OK;
    }
    if (status == CVM_OK && *out_offset == CVM_BROKER_OFFSET_END) {
        *out_offset = RD_KAFKA_OFFSET_END;
    }
    return status;
}

static enum cvm_status add_partition(struct kafka_subscription *subscription,
                                     rd_kafka_topic_partition_t *given, struct cvm_error *err)
{
    struct kafka_partition *partition = calloc(1, sizeof(*partition));
    if (partition == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a partition");
    }
    partition->number = given->partition;
    partition->next = subscription->partitions;
    subscription->partitions = partition;
    return keeps_offsets(subscription) ? find_offset(subscription, partition, &given->offset, err)
                                       : CVM_OK;
}

static void forget_waiting(struct kafka_subscription *subscription)
{
    if (subscription->waiting != NULL) {
        rd_kafka_topic_partition_list_destroy(subscription->waiting);
        subscription->waiting = NULL;
    }
}

/* Without an offset nothing is consumed: better than from a wrong one. It is asked for again with
 * the next call. */
static void take_assignment(struct kafka_subscription *subscription,
                            rd_kafka_topic_partition_list_t *given)
{
    struct cvm_error err = {.message = ""};
    enum cvm_status status = CVM_OK;
    drop_partitions(subscription);
    forget_waiting(subscription);
    for (int i = 0; status == CVM_OK && i < given->cnt; i++) {
        status = add_partition(subscription, &given->elems[i], &err);
    }
    if (status == CVM_OK) {
        (void)rd_kafka_assign(subscription->consumer, given);
        subscription->is_down = false;
    } else {
        drop_partitions(subscription);
        (void)rd_kafka_assign(subscription->consumer, NULL);
        subscription->waiting = rd_kafka_topic_partition_list_copy(given);
        subscription->failed = err;
    }
}

static void rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t code,
                      rd_kafka_topic_partition_list_t *partitions, void *state)
{
    struct kafka_subscription *subscription = state;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        take_assignment(subscription, partitions);
    } else {
        drop_partitions(subscription);
        forget_waiting(subscription);
        (void)rd_kafka_assign(consumer, NULL);
    }
}

static void ask_again(struct kafka_subscription *subscription)
{
    rd_kafka_topic_partition_list_t *given = subscription->waiting;
    if (given != NULL) {
        subscription->waiting = NULL;
        take_assignment(subscription, given);
        rd_kafka_topic_partition_list_destroy(given);
    }
}

static void take_error(rd_kafka_t *consumer, int code, const char *reason, void *state)
{
    struct kafka_subscription *subscription = state;
    (void)consumer;
    subscription->is_down = subscription->is_down || code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
    kafka_note_trouble(broker_of(subscription), (rd_kafka_resp_err_t)code, reason);
}

/* ---- life ---- */

static enum cvm_status set_consumer(const struct kafka_subscription *subscription,
                                    rd_kafka_conf_t *conf, struct cvm_error *err)
{
    bool is_reply = cvm_broker_is_reply(subscription->queue);
    const char *const settings[][2] = {
        {"group.id", subscription->topic},
        {"enable.auto.offset.store", "false"},
        /* What was stored because it is done; else the store of the caller has it. */
        {"enable.auto.commit", keeps_offsets(subscription) || is_reply ? "false" : "true"},
        {"auto.commit.interval.ms", "1000"},
        /* Of an offset that is not kept any more: never skip without a word. */
        {"auto.offset.reset", keeps_offsets(subscription) ? "error" : "earliest"},
        {"partition.assignment.strategy", "range"},
        /* What a consumer that was killed held comes again after so long: the least that a server
         * allows unless told otherwise. The library's own thread beats, also beside a long turn. */
        {"session.timeout.ms", "6000"},
        {"heartbeat.interval.ms", "1500"},
        /* Once it has so much, librdkafka before 2.2 asks for no more for a second: 16 MiB are some
         * 50,000 messages, and a message is a shard's work. */
        {"queued.max.messages.kbytes", "16384"},
        {"fetch.wait.max.ms", "100"},
    };
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < sizeof(settings) / sizeof(settings[0]); i++) {
        status = kafka_conf_set(conf, settings[i][0], settings[i][1], err);
    }
    return status;
}

static enum cvm_status make_consumer(struct kafka_subscription *subscription, struct cvm_error *err)
{
    char text[TEXT_SIZE];
    rd_kafka_conf_t *conf = kafka_conf(broker_of(subscription), err);
    if (conf == NULL || set_consumer(subscription, conf, err) != CVM_OK) {
        if (conf != NULL) {
            rd_kafka_conf_destroy(conf);
        }
        return CVM_E_INVALID;
    }
    rd_kafka_conf_set_opaque(conf, subscription);
    rd_kafka_conf_set_rebalance_cb(conf, rebalance);
    rd_kafka_conf_set_error_cb(conf, take_error);
    subscription->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (subscription->consumer == NULL) {
        rd_kafka_conf_destroy(conf);
        return CVM_FAIL(err, CVM_E_LIMIT, "kafka: no consumer: %s", text);
    }
    (void)rd_kafka_poll_set_consumer(subscription->consumer);
    subscription->events = rd_kafka_queue_get_consumer(subscription->consumer);
    return CVM_OK;
}

static enum cvm_status start_consumer(struct kafka_subscription *subscription,
                                      struct cvm_error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    bool is_reply = cvm_broker_is_reply(subscription->queue);
    rd_kafka_topic_partition_list_add(list, subscription->topic,
                                      is_reply ? 0 : RD_KAFKA_PARTITION_UA)
        ->offset = RD_KAFKA_OFFSET_BEGINNING;
    if (is_reply) { /* it is this link's alone */
        take_assignment(subscription, list);
    } else {
        code = rd_kafka_subscribe(subscription->consumer, list);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_UNAVAILABLE, "kafka: subscribe: %s", rd_kafka_err2str(code));
}

enum cvm_status kafka_subscription_open(struct kafka_link *link, const char *queue,
                                        enum cvm_priority priority,
                                        struct kafka_subscription **out_subscription,
                                        struct cvm_error *err)
{
    struct kafka_subscription *subscription = calloc(1, sizeof(*subscription));
    if (subscription == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a subscription");
    }
    subscription->link = link;
    subscription->priority = priority;
    memcpy(subscription->queue, queue, strlen(queue) + 1);
    cvm_broker_full_name(link->base.broker, queue, priority, subscription->topic);
    enum cvm_status status = make_consumer(subscription, err);
    if (status == CVM_OK) {
        status = start_consumer(subscription, err);
    }
    if (status != CVM_OK) {
        kafka_subscription_close(subscription);
        return status;
    }
    *out_subscription = subscription;
    return CVM_OK;
}

/* rd_kafka_consumer_close() may wait for ever on a coordinator that is away: this one asks for the
 * end, helps with it for a while, and then leaves; what was not committed comes again. */
static void close_consumer(struct kafka_subscription *subscription)
{
    rd_kafka_queue_t *events = rd_kafka_queue_new(subscription->consumer);
    rd_kafka_error_t *refusal = rd_kafka_consumer_close_queue(subscription->consumer, events);
    int64_t until_ns = kafka_now_ns() + (int64_t)CLOSE_MS * 1000000;
    while (refusal == NULL && !rd_kafka_consumer_closed(subscription->consumer) &&
           kafka_now_ns() < until_ns) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(events, CLOSE_POLL_MS);
        if (event != NULL && rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE) {
            (void)rd_kafka_assign(subscription->consumer, NULL);
        }
        if (event != NULL) {
            rd_kafka_event_destroy(event);
        }
    }
    if (refusal != NULL) {
        rd_kafka_error_destroy(refusal);
    }
    rd_kafka_queue_destroy(events);
    rd_kafka_destroy_flags(subscription->consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

void kafka_subscription_close(struct kafka_subscription *subscription)
{
    drop_partitions(subscription);
    forget_waiting(subscription);
    if (subscription->consumer != NULL) {
        rd_kafka_queue_destroy(subscription->events);
        close_consumer(subscription);
        if (cvm_broker_is_reply(subscription->queue)) {
            kafka_delete_topic(broker_of(subscription), subscription->queue);
        }
    }
    while (subscription->spare != NULL) {
        struct kafka_item *item = subscription->spare;
        subscription->spare = item->next;
        free(item);
    }
    free(subscription);
}

/* ---- receiving ---- */

static void take_failure(struct kafka_subscription *subscription, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        (void)CVM_FAIL(
            &subscription->failed, CVM_E_CORRUPT,
            "kafka: '%s' no longer keeps the offset where work was to go on in partition "
            "%d: its retention is too short",
            subscription->queue, message->partition);
    } else if (message->err == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED ||
               message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        return; /* the partitions come back by themselves */
    } else {
        kafka_note_trouble(broker_of(subscription), message->err, rd_kafka_message_errstr(message));
    }
}

static void put_aside(struct kafka_subscription *subscription, struct kafka_item *item)
{
    struct cvm_error err = {.message = ""};
    if (kafka_bury(subscription->link, item->message, &err) == CVM_OK) {
        item->is_done = true;
    } else {
        cvm_broker_log(&broker_of(subscription)->base, "message_kept_back", &err);
    }
}

/* False: it has been put aside, or must come again. */
static bool read_item(struct kafka_subscription *subscription, struct kafka_item *item)
{
    struct cvm_slice bytes = {item->message->payload, item->message->len};
    item->is_readable =
        cvm_broker_read(&subscription->link->base, subscription->queue, bytes, &item->envelope);
    if (item->is_readable || strcmp(subscription->queue, CVM_BROKER_DEAD) == 0) {
        return true;
    }
    put_aside(subscription, item);
    return false;
}

/* What comes behind a message that was lost must not be done before it: all partitions anew. */
static void start_over(struct kafka_subscription *subscription)
{
    rd_kafka_topic_partition_list_t *given = NULL;
    drop_partitions(subscription);
    (void)rd_kafka_assignment(subscription->consumer, &given);
    (void)rd_kafka_assign(subscription->consumer, NULL);
    for (int i = 0; given != NULL && i < given->cnt; i++) {
        given->elems[i].offset = RD_KAFKA_OFFSET_INVALID; /* as Kafka has it, or the caller */
    }
    subscription->waiting = given;
    (void)CVM_FAIL(&subscription->failed, CVM_E_UNAVAILABLE, "kafka: no memory for a message");
}

static void take_message(struct kafka_subscription *subscription, rd_kafka_message_t *message)
{
    struct kafka_partition *partition = find_partition(subscription, message->partition);
    struct kafka_item *item = partition == NULL ? NULL : new_item(subscription, partition, message);
    if (item == NULL) {
        rd_kafka_message_destroy(message);
        if (partition != NULL) { /* else it was taken away in between */
            start_over(subscription);
        }
        return;
    }
    if (partition->first == NULL) {
        partition->first = item;
    } else {
        partition->last->next = item;
    }
    partition->last = item;
    if (read_item(subscription, item)) {
        append_ready(subscription, item);
    } else {
        advance(subscription, partition);
    }
}

void kafka_drain(struct kafka_subscription *subscription, int timeout_ms)
{
    uint32_t prefetch = broker_of(subscription)->base.options.prefetch;
    tell_done(subscription);
    ask_again(subscription);
    while (subscription->ready_count < prefetch) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(subscription->consumer, timeout_ms);
        if (message == NULL) {
            return;
        }
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            subscription->is_down = false;
            take_message(subscription, message);
        } else {
            take_failure(subscription, message);
            rd_kafka_message_destroy(message);
        }
        timeout_ms = 0;
    }
}

/* ---- settling ---- */

enum cvm_status kafka_settle(struct cvm_broker_link *base, void *held, enum cvm_settling how,
                             struct cvm_error *err)
{
    struct kafka_link *link = (struct kafka_link *)base;
    struct kafka_item *item = held;
    struct kafka_partition *partition = item->partition;
    enum cvm_status status = CVM_OK;
    struct kafka_subscription *subscription = item->subscription;
    item->is_held = false;
    subscription->held_count--;
    if (how == CVM_SETTLE_DEAD) {
        status = kafka_bury(link, item->message, err);
    }
    if (partition == NULL) {
        free_item(item);
        return status != CVM_OK || how == CVM_SETTLE_ABANDON
                   ? status
                   : CVM_FAIL(err, CVM_E_CONFLICT,
                              "kafka: the partition of the delivery has gone to another consumer");
    }
    if (status == CVM_OK && how != CVM_SETTLE_ABANDON) {
        item->is_done = true;
        advance(subscription, partition);
        if (subscription->held_count == 0) {
            tell_done(subscription);
        }
    }
    return status;
}

/* From what the consumer knows without asking: its questions may outlast their time-out. */
int64_t kafka_lag(const struct kafka_subscription *subscription)
{
    int64_t lag = (int64_t)subscription->ready_count;
    for (const struct kafka_partition *partition = subscription->partitions; partition != NULL;
         partition = partition->next) {
        int64_t low = 0;
        int64_t high = 0;
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_t *at =
            rd_kafka_topic_partition_list_add(list, subscription->topic, partition->number);
        if (rd_kafka_get_watermark_offsets(subscription->consumer, subscription->topic,
                                           partition->number, &low,
                                           &high) == RD_KAFKA_RESP_ERR_NO_ERROR &&
            rd_kafka_position(subscription->consumer, list) == RD_KAFKA_RESP_ERR_NO_ERROR &&
            at->offset >= 0 && high > at->offset) {
            lag += high - at->offset;
        }
        rd_kafka_topic_partition_list_destroy(list);
    }
    return lag;
}
