/* The contract of broker.h, on the broker of BROKER_URL. */
#include "messaging/broker.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "base/threads.h"
#include "support/broker_support.h"

/* ---- delivery ---- */

static void what_was_published_is_delivered_field_for_field(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_envelope envelope = make_envelope(5);
    envelope.shard = 12;
    envelope.hop = 3;
    envelope.reply_to = slice("reply.7");
    envelope.deadline_ms = NOW_MS + 1000;
    memset(envelope.idempotency_key, 0xab, sizeof(envelope.idempotency_key));
    send_one(link, "treatment", &envelope);
    struct cvm_delivery delivery = receive_one(link);
    unsigned char *sent = malloc(cvm_envelope_bytes(&envelope));
    unsigned char *got = malloc(cvm_envelope_bytes(&envelope));
    assert_int_equal(cvm_envelope_bytes(delivery.envelope), cvm_envelope_bytes(&envelope));
    cvm_envelope_encode(&envelope, sent);
    cvm_envelope_encode(delivery.envelope, got);
    assert_memory_equal(sent, got, cvm_envelope_bytes(&envelope));
    assert_int_equal(delivery.attempt, 1);
    assert_string_equal(delivery.queue, "treatment");
    ack(link, &delivery);
    assert_nothing_waits(link);
    free(sent);
    free(got);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

static void a_shard_keeps_its_order(void **state)
{
    (void)state;
    enum { SHARDS = 7 };
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *sender = open_link(broker);
    struct cvm_broker_link *receiver = open_receiver(broker, "treatment");
    uint64_t next[SHARDS] = {0, 1, 2, 3, 4, 5, 6};
    send_series(sender, "treatment", 0, MANY, SHARDS);
    for (size_t i = 0; i < MANY; i++) {
        struct cvm_delivery delivery = receive_one(receiver);
        uint32_t shard = delivery.envelope->shard;
        assert_int_equal(delivery.envelope->epoch, next[shard]);
        next[shard] += SHARDS;
        ack(receiver, &delivery);
    }
    cvm_broker_link_close(sender);
    cvm_broker_link_close(receiver);
    cvm_broker_close(broker);
}

static void the_largest_payload_arrives_whole(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_envelope envelope = make_envelope(1);
    char *payload = malloc(CVM_ENVELOPE_PAYLOAD_MAX + 1);
    assert_non_null(payload);
    for (size_t i = 0; i <= CVM_ENVELOPE_PAYLOAD_MAX; i++) {
        payload[i] = (char)cvm_random_u64(&random_source);
    }
    envelope.payload = (struct cvm_slice){payload, CVM_ENVELOPE_PAYLOAD_MAX};
    send_one(link, "treatment", &envelope);
    struct cvm_delivery delivery = receive_one(link);
    assert_int_equal(delivery.envelope->payload.length, CVM_ENVELOPE_PAYLOAD_MAX);
    assert_memory_equal(delivery.envelope->payload.data, payload, CVM_ENVELOPE_PAYLOAD_MAX);
    ack(link, &delivery);
    envelope.payload.length++;
    struct cvm_sending sending;
    assert_int_equal(publish_one(link, "treatment", &envelope, &sending, NULL), CVM_E_LIMIT);
    assert_int_equal(sending.state, CVM_SENDING_NEW);
    free(payload);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

static void what_waited_for_nobody_is_there_for_the_first_who_asks(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *sender = open_link(broker);
    bool seen[100] = {false};
    ASSERT_OK(cvm_broker_declare(sender, "journey", ERR));
    ASSERT_OK(cvm_broker_declare(sender, "journey", ERR));
    send_series(sender, "journey", 0, 100, 3);
    struct cvm_broker_link *receiver = open_receiver(broker, "journey");
    assert_int_equal(receive_series(receiver, seen, 100), 100);
    assert_nothing_waits(receiver);
    cvm_broker_link_close(sender);
    cvm_broker_link_close(receiver);
    cvm_broker_close(broker);
}

static void a_queue_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_link(broker);
    struct cvm_envelope envelope = make_envelope(1);
    struct cvm_sending sending;
    struct cvm_broker_depth depth;
    assert_int_equal(publish_one(link, "nobody", &envelope, &sending, NULL), CVM_E_NOT_FOUND);
    assert_int_equal(sending.state, CVM_SENDING_NO_QUEUE);
    assert_int_equal(cvm_broker_depth_of(link, "nobody", &depth, NULL), CVM_E_NOT_FOUND);
    /* And the link goes on. */
    ASSERT_OK(cvm_broker_declare(link, "somebody", ERR));
    send_one(link, "somebody", &envelope);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

static void a_name_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {
        "", "Treatment", "treatment all", "a/b", "gr\xc3\xbc", "treatment.high", "a*"};
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_link(broker);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(cvm_broker_declare(link, names[i], NULL), CVM_E_INVALID);
        assert_int_equal(cvm_broker_subscribe(link, names[i], NULL), CVM_E_INVALID);
    }
    assert_int_equal(cvm_broker_declare(link, "reply.7", NULL), CVM_E_INVALID);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

/* ---- redelivery ---- */

static void what_a_dead_consumer_held_comes_again(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *sender = open_link(broker);
    struct cvm_broker_link *dying = open_receiver(broker, "treatment");
    bool seen[100] = {false};
    struct cvm_delivery held[BATCH];
    size_t held_count = 0;
    send_series(sender, "treatment", 0, 100, 3);
    for (int i = 0; i < 10; i++) {
        struct cvm_delivery delivery = receive_one(dying);
        seen[delivery.envelope->epoch] = true;
        ack(dying, &delivery);
    }
    while (held_count == 0) {
        ASSERT_OK(cvm_broker_receive(dying, held, 20, PATIENCE_MS, &held_count, ERR));
    }
    cvm_broker_link_close(dying);
    struct cvm_broker_link *next = open_receiver(broker, "treatment");
    (void)receive_series(next, seen, 100);
    struct cvm_broker_counts counts = cvm_broker_counts_of(broker);
    if (broker_can(broker, CVM_BROKER_NACKS)) {
        assert_true(counts.redelivered >= held_count);
    }
    cvm_broker_link_close(sender);
    cvm_broker_link_close(next);
    cvm_broker_close(broker);
}

static void what_is_given_back_comes_again_and_says_so(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_envelope envelope = make_envelope(1);
    send_one(link, "treatment", &envelope);
    struct cvm_delivery delivery = receive_one(link);
    if (!broker_can(broker, CVM_BROKER_NACKS)) {
        assert_int_equal(cvm_broker_nack(link, delivery.tag, CVM_NACK_REQUEUE, NULL), CVM_E_DENIED);
        ack(link, &delivery);
    } else {
        ASSERT_OK(cvm_broker_nack(link, delivery.tag, CVM_NACK_REQUEUE, ERR));
        delivery = receive_one(link);
        assert_int_equal(delivery.attempt, 2);
        assert_int_equal(delivery.envelope->epoch, 1);
        ack(link, &delivery);
        assert_nothing_waits(link);
    }
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

static void what_comes_too_often_is_dead(void **state)
{
    (void)state;
    enum { LIMIT = 3 };
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){.delivery_limit = LIMIT});
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_broker_link *undertaker = open_receiver(broker, "dead");
    if (broker_can(broker, CVM_BROKER_NACKS)) {
        struct cvm_envelope envelope = make_envelope(7);
        send_one(link, "treatment", &envelope);
        for (uint32_t i = 1; i <= LIMIT; i++) {
            struct cvm_delivery delivery = receive_one(link);
            assert_int_equal(delivery.attempt, i);
            ASSERT_OK(cvm_broker_nack(link, delivery.tag, CVM_NACK_REQUEUE, ERR));
        }
        struct cvm_delivery dead = receive_one(undertaker);
        assert_int_equal(dead.envelope->epoch, 7);
        assert_string_equal(dead.queue, "dead");
        assert_string_equal(dead.died_in, "treatment");
        assert_string_equal(dead.died_of, "delivery_limit");
        assert_int_equal(dead.died_after, LIMIT);
        ack(undertaker, &dead);
        assert_nothing_waits(link);
    }
    cvm_broker_link_close(link);
    cvm_broker_link_close(undertaker);
    cvm_broker_close(broker);
}

static void what_kills_its_consumers_is_dead_too(void **state)
{
    (void)state;
    enum { LIMIT = 3 };
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){.delivery_limit = LIMIT});
    struct cvm_broker_link *sender = open_link(broker);
    struct cvm_broker_link *undertaker = open_receiver(broker, "dead");
    if (broker_can(broker, CVM_BROKER_NACKS)) {
        struct cvm_envelope poison = make_envelope(9);
        ASSERT_OK(cvm_broker_declare(sender, "treatment", ERR));
        send_one(sender, "treatment", &poison);
        for (int i = 0; i < LIMIT; i++) {
            struct cvm_broker_link *victim = open_receiver(broker, "treatment");
            assert_int_equal(receive_one(victim).envelope->epoch, 9);
            cvm_broker_link_close(victim);
        }
        struct cvm_delivery dead = receive_one(undertaker);
        assert_int_equal(dead.envelope->epoch, 9);
        ack(undertaker, &dead);
    }
    cvm_broker_link_close(sender);
    cvm_broker_link_close(undertaker);
    cvm_broker_close(broker);
}

static void what_is_given_up_is_kept_in_dead(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_broker_link *undertaker = open_receiver(broker, "dead");
    struct cvm_envelope envelope = make_envelope(3);
    send_one(link, "treatment", &envelope);
    struct cvm_delivery delivery = receive_one(link);
    ASSERT_OK(cvm_broker_nack(link, delivery.tag, CVM_NACK_DEAD, ERR));
    struct cvm_delivery dead = receive_one(undertaker);
    assert_int_equal(dead.envelope->epoch, 3);
    assert_string_equal(dead.died_in, "treatment");
    assert_memory_equal(&dead.envelope->id, &envelope.id, sizeof(envelope.id));
    ack(undertaker, &dead);
    assert_int_equal(cvm_broker_counts_of(broker).dead, 1);
    cvm_broker_link_close(link);
    cvm_broker_link_close(undertaker);
    cvm_broker_close(broker);
}

static void acknowledging_out_of_order_is_fine(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_delivery held[20];
    bool seen[40] = {false};
    send_series(link, "treatment", 0, 40, 1);
    for (size_t i = 0; i < 20; i++) {
        held[i] = receive_one(link);
    }
    for (size_t i = 20; i > 1; i--) { /* all but the first one */
        seen[held[i - 1].envelope->epoch] = true;
        ack(link, &held[i - 1]);
    }
    uint64_t first = held[0].envelope->epoch;
    cvm_broker_link_close(link);
    link = open_receiver(broker, "treatment");
    (void)receive_series(link, seen, 40);
    assert_true(seen[first]);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

/* ---- limits ---- */

static void a_full_queue_refuses_until_it_has_room(void **state)
{
    (void)state;
    enum { MAX = 20 };
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){.queue_max = MAX});
    struct cvm_broker_link *sender = open_link(broker);
    static struct cvm_envelope envelopes[MAX + 400];
    static struct cvm_sending sendings[MAX + 400];
    size_t confirmed = 0;
    ASSERT_OK(cvm_broker_declare(sender, "treatment", ERR));
    for (size_t i = 0; i < MAX + 400; i++) {
        envelopes[i] = make_envelope(i);
        sendings[i] = (struct cvm_sending){.envelope = &envelopes[i]};
    }
    if (broker_can(broker, CVM_BROKER_BOUNDS)) {
        ASSERT_OK(cvm_broker_publish(sender, "treatment", sendings, MAX + 400, ERR));
        assert_int_equal(cvm_broker_confirm(sender, PATIENCE_MS, NULL), CVM_E_LIMIT);
        for (size_t i = 0; i < MAX + 400; i++) {
            confirmed += sendings[i].state == CVM_SENDING_CONFIRMED;
            assert_true(sendings[i].state == CVM_SENDING_CONFIRMED ||
                        sendings[i].state == CVM_SENDING_REFUSED);
        }
        assert_true(confirmed >= MAX && confirmed < MAX + 400);
        struct cvm_broker_link *receiver = open_receiver(broker, "treatment");
        for (size_t i = 0; i < confirmed; i++) {
            struct cvm_delivery delivery = receive_one(receiver);
            assert_int_equal(sendings[delivery.envelope->epoch].state, CVM_SENDING_CONFIRMED);
            ack(receiver, &delivery);
        }
        struct cvm_sending again;
        enum cvm_status status = CVM_E_LIMIT;
        while (status == CVM_E_LIMIT) { /* a server frees its room a little later */
            status = publish_one(sender, "treatment", &envelopes[0], &again, NULL);
        }
        assert_int_equal(status, CVM_OK);
        assert_true(cvm_broker_counts_of(broker).refused > 0);
        cvm_broker_link_close(receiver);
    }
    cvm_broker_link_close(sender);
    cvm_broker_close(broker);
}

static void a_link_holds_no_more_than_its_prefetch(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){.prefetch = 4});
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_delivery deliveries[8];
    size_t count = 0;
    size_t more = 0;
    send_series(link, "treatment", 0, 10, 1);
    while (count < 4) {
        ASSERT_OK(cvm_broker_receive(link, deliveries + count, 8 - count, PATIENCE_MS, &more, ERR));
        count += more;
    }
    assert_int_equal(count, 4);
    assert_int_equal(cvm_broker_receive(link, deliveries, 1, 0, &more, NULL), CVM_E_LIMIT);
    ack(link, &deliveries[2]);
    struct cvm_delivery next = receive_one(link);
    assert_int_equal(next.envelope->epoch, 4);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

/* Each delivery takes as long as a confirm does, as work would. */
static void high_priority_overtakes(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_broker_link *worker = open_link(broker);
    struct cvm_envelope urgent = make_envelope(0);
    size_t high_at_last = 0;
    urgent.priority = CVM_PRIORITY_HIGH;
    ASSERT_OK(cvm_broker_declare(worker, "allocation", ERR));
    send_series(link, "treatment", 0, 500, 1);
    for (int i = 0; i < 5; i++) {
        send_one(link, "treatment", &urgent);
    }
    for (size_t i = 0; i < 505; i++) {
        struct cvm_delivery delivery = receive_one(link);
        struct cvm_envelope result = make_envelope(i);
        high_at_last = delivery.envelope->priority == CVM_PRIORITY_HIGH ? i : high_at_last;
        send_one(worker, "allocation", &result);
        ack(link, &delivery);
    }
    /* They were sent last; a server may have handed out before what it had ready. */
    assert_true(high_at_last < 400);
    cvm_broker_link_close(link);
    cvm_broker_link_close(worker);
    cvm_broker_close(broker);
}

/* Receive `count` messages of a series with both; who got how many. */
static void share(struct cvm_broker_link *receivers[2], size_t count, size_t counts[2])
{
    static bool seen[MANY];
    size_t missing = count;
    memset(seen, 0, sizeof(seen));
    while (missing > 0) {
        for (size_t r = 0; r < 2; r++) {
            struct cvm_delivery deliveries[8];
            size_t got = 0;
            ASSERT_OK(cvm_broker_receive(receivers[r], deliveries, 8, 10, &got, ERR));
            for (size_t i = 0; i < got; i++) {
                uint64_t number = deliveries[i].envelope->epoch;
                missing -= number < count && !seen[number];
                seen[number] = true;
                ack(receivers[r], &deliveries[i]);
            }
            counts[r] += got;
        }
    }
}

static void two_consumers_share(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){.prefetch = 8});
    struct cvm_broker_link *sender = open_link(broker);
    struct cvm_broker_link *receivers[2] = {open_receiver(broker, "treatment"),
                                            open_receiver(broker, "treatment")};
    size_t counts[2] = {0, 0};
    for (int i = 0; i < 1000 && (counts[0] == 0 || counts[1] == 0); i++) { /* until both are in */
        send_series(sender, "treatment", 0, 100, 100);
        share(receivers, 100, counts);
    }
    memset(counts, 0, sizeof(counts));
    send_series(sender, "treatment", 0, MANY, 100);
    share(receivers, MANY, counts);
    assert_true(counts[0] > MANY / 5 && counts[1] > MANY / 5);
    cvm_broker_link_close(sender);
    cvm_broker_link_close(receivers[0]);
    cvm_broker_link_close(receivers[1]);
    cvm_broker_close(broker);
}

static void a_request_gets_its_reply(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *asker = open_receiver(broker, "reply.77");
    struct cvm_broker_link *agent = open_receiver(broker, "treatment");
    struct cvm_envelope request = make_envelope(1);
    char queue[CVM_BROKER_NAME_MAX + 1];
    request.reply_to = slice("reply.77");
    send_one(asker, "treatment", &request);
    struct cvm_delivery asked = receive_one(agent);
    struct cvm_slice reply_to = asked.envelope->reply_to;
    (void)snprintf(queue, sizeof(queue), "%.*s", (int)reply_to.length, reply_to.data);
    struct cvm_envelope reply = make_envelope(2);
    reply.type = CVM_MESSAGE_TREATMENT_RESPONSE;
    reply.correlation_id = asked.envelope->id;
    send_one(agent, queue, &reply);
    ack(agent, &asked);
    struct cvm_delivery answer = receive_one(asker);
    assert_memory_equal(&answer.envelope->correlation_id, &request.id, sizeof(request.id));
    ack(asker, &answer);
    assert_int_equal(cvm_broker_declare(agent, "reply.77", NULL), CVM_E_INVALID);
    cvm_broker_link_close(asker);
    cvm_broker_link_close(agent);
    cvm_broker_close(broker);
}

static void a_reply_to_who_has_gone_finds_no_queue(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *asker = open_receiver(broker, "reply.78");
    struct cvm_broker_link *agent = open_link(broker);
    struct cvm_envelope reply = make_envelope(2);
    struct cvm_sending sending;
    send_one(agent, "reply.78", &reply);
    cvm_broker_link_close(asker);
    enum cvm_status status = CVM_OK;
    for (int i = 0; status == CVM_OK && i < 10000; i++) { /* a server notices a little later */
        status = publish_one(agent, "reply.78", &reply, &sending, NULL);
    }
    assert_int_equal(status, CVM_E_NOT_FOUND);
    cvm_broker_link_close(agent);
    cvm_broker_close(broker);
}

/* ---- objects ---- */

static void count_release(void *object)
{
    (*(int *)object)++;
}

static void an_object_travels_in_the_process_and_is_released_once(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){.queue_max = 1});
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_envelope envelope = make_envelope(1);
    int released[2] = {0, 0};
    struct cvm_sending sendings[2] = {
        {.envelope = &envelope, .object = &released[0], .release = count_release},
        {.envelope = &envelope, .object = &released[1], .release = count_release}};
    bool travels = broker_can(broker, CVM_BROKER_OBJECTS);
    ASSERT_OK(cvm_broker_publish(link, "treatment", sendings, travels ? 2 : 1, ERR));
    assert_int_equal(cvm_broker_confirm(link, PATIENCE_MS, NULL), travels ? CVM_E_LIMIT : CVM_OK);
    assert_int_equal(released[0], travels ? 0 : 1);
    struct cvm_delivery delivery = receive_one(link);
    assert_ptr_equal(delivery.object, travels ? &released[0] : NULL);
    if (travels) { /* it comes again with it; and what was refused is still the sender's */
        ASSERT_OK(cvm_broker_nack(link, delivery.tag, CVM_NACK_REQUEUE, ERR));
        assert_int_equal(released[0], 0);
        delivery = receive_one(link);
        assert_ptr_equal(delivery.object, &released[0]);
    }
    ack(link, &delivery);
    assert_int_equal(released[0], 1);
    assert_int_equal(released[1], 0);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

static void an_object_that_nobody_took_is_released_with_the_broker(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_link(broker);
    struct cvm_envelope envelope = make_envelope(1);
    int released = 0;
    struct cvm_sending sending = {
        .envelope = &envelope, .object = &released, .release = count_release};
    ASSERT_OK(cvm_broker_declare(link, "treatment", ERR));
    ASSERT_OK(cvm_broker_publish(link, "treatment", &sending, 1, ERR));
    ASSERT_OK(cvm_broker_confirm(link, PATIENCE_MS, ERR));
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
    assert_int_equal(released, 1);
}

/* ---- many at once ---- */

#define TRAFFIC_SENDERS   3
#define TRAFFIC_RECEIVERS 3
#define TRAFFIC_EACH      2000

struct traffic {
    struct cvm_broker *broker;
    atomic_int seen[TRAFFIC_SENDERS * TRAFFIC_EACH];
    atomic_size_t missing;
};

static enum cvm_status send_traffic(struct traffic *traffic, size_t sender, struct cvm_error *err)
{
    struct cvm_broker_link *link = NULL;
    struct cvm_random random;
    enum cvm_status status = cvm_broker_link_open(traffic->broker, &link, err);
    cvm_random_init(&random, sender);
    for (size_t i = 0; status == CVM_OK && i < TRAFFIC_EACH;) {
        struct cvm_envelope envelopes[BATCH];
        struct cvm_sending sendings[BATCH];
        size_t count = 1 + cvm_random_below(&random, BATCH);
        count = count > TRAFFIC_EACH - i ? TRAFFIC_EACH - i : count;
        for (size_t k = 0; k < count; k++) {
            envelopes[k] = (struct cvm_envelope){
                .id = cvm_message_id_make(NOW_MS, &random),
                .type = CVM_MESSAGE_JOURNEY_REQUEST,
                .schema_version = 1,
                .attempt = 1,
                .shard = (uint32_t)(i + k),
                .epoch = sender * TRAFFIC_EACH + i + k,
                .priority = (enum cvm_priority)cvm_random_below(&random, CVM_PRIORITY_COUNT),
            };
            sendings[k] = (struct cvm_sending){.envelope = &envelopes[k]};
        }
        status = cvm_broker_publish(link, "journey", sendings, count, err);
        if (status == CVM_OK) {
            status = cvm_broker_confirm(link, PATIENCE_MS, err);
        }
        i += count;
    }
    cvm_broker_link_close(link);
    return status;
}

static enum cvm_status receive_traffic(struct traffic *traffic, size_t receiver,
                                       struct cvm_error *err)
{
    struct cvm_broker_link *link = NULL;
    struct cvm_delivery deliveries[BATCH];
    struct cvm_random random;
    enum cvm_status status = cvm_broker_link_open(traffic->broker, &link, err);
    bool can_nack = broker_can(traffic->broker, CVM_BROKER_NACKS);
    cvm_random_init(&random, receiver);
    if (status == CVM_OK) {
        status = cvm_broker_subscribe(link, "journey", err);
    }
    while (status == CVM_OK && atomic_load(&traffic->missing) > 0) {
        size_t count = 0;
        status = cvm_broker_receive(link, deliveries, 1 + cvm_random_below(&random, BATCH), 20,
                                    &count, err);
        for (size_t i = 0; status == CVM_OK && i < count; i++) {
            uint64_t number = deliveries[i].envelope->epoch;
            if (can_nack && deliveries[i].attempt == 1 && cvm_random_below(&random, 20) == 0) {
                status = cvm_broker_nack(link, deliveries[i].tag, CVM_NACK_REQUEUE, err);
                continue;
            }
            if (atomic_fetch_add(&traffic->seen[number], 1) == 0) {
                (void)atomic_fetch_sub(&traffic->missing, 1);
            }
            status = cvm_broker_ack(link, deliveries[i].tag, err);
        }
    }
    cvm_broker_link_close(link);
    return status;
}

static enum cvm_status run_traffic(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    (void)worker;
    return item < TRAFFIC_SENDERS ? send_traffic(state, item, err)
                                  : receive_traffic(state, item, err);
}

static void nothing_is_lost_between_many_threads(void **state)
{
    (void)state;
    static struct traffic traffic;
    struct cvm_pool *pool = NULL;
    memset(&traffic, 0, sizeof(traffic));
    traffic.broker = open_broker((struct cvm_broker_options){0});
    traffic.missing = TRAFFIC_SENDERS * TRAFFIC_EACH;
    struct cvm_broker_link *link = open_link(traffic.broker);
    ASSERT_OK(cvm_broker_declare(link, "journey", ERR));
    cvm_broker_link_close(link);
    ASSERT_OK(cvm_pool_create(TRAFFIC_SENDERS + TRAFFIC_RECEIVERS, &pool, ERR));
    ASSERT_OK(cvm_pool_run(pool, TRAFFIC_SENDERS + TRAFFIC_RECEIVERS, run_traffic, &traffic, ERR));
    cvm_pool_destroy(pool);
    if (broker_is_local()) { /* not even twice */
        for (size_t i = 0; i < TRAFFIC_SENDERS * TRAFFIC_EACH; i++) {
            assert_int_equal(traffic.seen[i], 1);
        }
    }
    cvm_broker_close(traffic.broker);
}

/* ---- a server that dies ---- */

static enum cvm_status restart_server(void *state, struct cvm_error *err)
{
    atomic_bool *is_up = state;
    (void)err;
    (void)broker_control("restart");
    atomic_store(is_up, true);
    return CVM_OK;
}

static enum cvm_status wait_for_nothing(void *state, struct cvm_error *err)
{
    struct cvm_broker_link *link = state;
    struct cvm_delivery delivery;
    size_t count = 1;
    enum cvm_status status = cvm_broker_receive(link, &delivery, 1, 600000, &count, err);
    assert_int_equal(count, 0);
    return status;
}

static void who_waits_is_let_go_and_nobody_waits_afterwards(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    if ((cvm_broker_abilities(broker) & CVM_BROKER_OBJECTS) == 0) { /* not in the process */
        cvm_broker_close(broker);
        skip();
    }
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_thread *thread = NULL;
    ASSERT_OK(cvm_thread_start(wait_for_nothing, link, &thread, ERR));
    cvm_broker_end_waiting(broker);
    ASSERT_OK(cvm_thread_join(thread, ERR));
    ASSERT_OK(wait_for_nothing(link, ERR));
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

static void what_was_confirmed_survives_the_death_of_the_server(void **state)
{
    (void)state;
    enum { AFTER = 100 };
    struct cvm_thread *thread = NULL;
    static bool confirmed[1000000];
    struct cvm_envelope envelopes[BATCH];
    struct cvm_sending sendings[BATCH];
    atomic_bool is_up = false;
    size_t sent = MANY;
    size_t rest = AFTER;
    if (getenv("BROKER_CONTROL") == NULL) {
        skip();
    }
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *sender = open_link(broker);
    ASSERT_OK(cvm_broker_declare(sender, "treatment", ERR));
    send_series(sender, "treatment", 0, MANY, 3);
    memset(confirmed, true, MANY);
    assert_true(broker_control("settle"));
    ASSERT_OK(cvm_thread_start(restart_server, &is_up, &thread, ERR));
    while (rest > 0 && sent + BATCH < sizeof(confirmed)) {
        bool was_up = atomic_load(&is_up);
        for (size_t i = 0; i < BATCH; i++) {
            envelopes[i] = make_envelope(sent + i);
            sendings[i] = (struct cvm_sending){.envelope = &envelopes[i]};
        }
        if (cvm_broker_publish(sender, "treatment", sendings, BATCH, NULL) != CVM_OK) {
            size_t count = 0; /* until it is time to try again */
            struct cvm_delivery none;
            (void)!cvm_broker_receive(sender, &none, 1, 100, &count, NULL);
        }
        (void)!cvm_broker_confirm(sender, PATIENCE_MS, NULL);
        for (size_t i = 0; i < BATCH; i++) {
            confirmed[sent + i] = sendings[i].state == CVM_SENDING_CONFIRMED;
            rest -= was_up && rest > 0 && confirmed[sent + i];
        }
        sent += confirmed[sent] ? BATCH : 0; /* else the same numbers once more */
    }
    ASSERT_OK(cvm_thread_join(thread, ERR));
    assert_int_equal(rest, 0);
    struct cvm_broker_link *receiver = open_receiver(broker, "treatment");
    static bool seen[sizeof(confirmed)];
    for (size_t i = 0; i < sent; i++) {
        seen[i] = !confirmed[i]; /* it may come or not */
    }
    (void)receive_series(receiver, seen, sent);
    cvm_broker_link_close(sender);
    cvm_broker_link_close(receiver);
    cvm_broker_close(broker);
}

/* ---- what is told ---- */

static void the_depth_tells_what_waits_and_what_is_out(void **state)
{
    (void)state;
    int64_t now_ms = NOW_MS;
    struct cvm_broker *broker =
        open_broker((struct cvm_broker_options){.context = {.clock = cvm_clock_fixed(&now_ms)}});
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_broker_depth depth;
    send_series(link, "treatment", 0, 5, 1);
    struct cvm_delivery delivery = receive_one(link);
    now_ms += 1500;
    ASSERT_OK(cvm_broker_depth_of(link, "treatment", &depth, ERR));
    assert_true(depth.ready <= 4);
    if (broker_is_local()) {
        assert_int_equal(depth.ready, 4);
        assert_int_equal(depth.in_flight, 1);
        assert_int_equal(depth.oldest_ms, 1500);
    }
    ack(link, &delivery);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

static void the_counters_tell_what_happened(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_metrics *metrics = cvm_metrics_create();
    struct cvm_text text;
    cvm_text_init(&text, 0);
    send_series(link, "treatment", 0, 10, 1);
    for (int i = 0; i < 10; i++) {
        struct cvm_delivery delivery = receive_one(link);
        ack(link, &delivery);
    }
    struct cvm_broker_counts counts = cvm_broker_counts_of(broker);
    assert_int_equal(counts.published, 10);
    assert_int_equal(counts.confirmed, 10);
    assert_int_equal(counts.received, 10);
    assert_int_equal(counts.acknowledged, 10);
    assert_int_equal(counts.unknown + counts.refused + counts.dead + counts.unreadable, 0);
    cvm_broker_report(broker, metrics);
    cvm_broker_report(broker, metrics);
    cvm_metrics_write(metrics, &text);
    assert_non_null(strstr(cvm_text_string(&text), "cvm_broker_published_total 10\n"));
    cvm_text_finish(&text);
    cvm_metrics_destroy(metrics);
    cvm_broker_link_close(link);
    ASSERT_OK(cvm_broker_check(broker, ERR));
    cvm_broker_close(broker);
}

static void a_url_that_is_none_is_refused_without_its_password(void **state)
{
    (void)state;
    static const char *const urls[] = {"",        "local",          "local:/tmp", "mqtt://secret@h",
                                       "local:x", "memory://secret"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct cvm_broker *broker = NULL;
        struct cvm_error err = {.message = ""};
        assert_int_equal(cvm_broker_open(urls[i], &(struct cvm_broker_options){0}, &broker, &err),
                         CVM_E_INVALID);
        assert_null(strstr(err.message, "secret"));
        assert_null(broker);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_published_is_delivered_field_for_field),
        cmocka_unit_test(a_shard_keeps_its_order),
        cmocka_unit_test(the_largest_payload_arrives_whole),
        cmocka_unit_test(what_waited_for_nobody_is_there_for_the_first_who_asks),
        cmocka_unit_test(a_queue_that_is_not_there_is_told),
        cmocka_unit_test(a_name_that_is_none_is_refused),
        cmocka_unit_test(what_a_dead_consumer_held_comes_again),
        cmocka_unit_test(what_is_given_back_comes_again_and_says_so),
        cmocka_unit_test(what_comes_too_often_is_dead),
        cmocka_unit_test(what_kills_its_consumers_is_dead_too),
        cmocka_unit_test(what_is_given_up_is_kept_in_dead),
        cmocka_unit_test(acknowledging_out_of_order_is_fine),
        cmocka_unit_test(a_full_queue_refuses_until_it_has_room),
        cmocka_unit_test(a_link_holds_no_more_than_its_prefetch),
        cmocka_unit_test(high_priority_overtakes),
        cmocka_unit_test(two_consumers_share),
        cmocka_unit_test(a_request_gets_its_reply),
        cmocka_unit_test(a_reply_to_who_has_gone_finds_no_queue),
        cmocka_unit_test(an_object_travels_in_the_process_and_is_released_once),
        cmocka_unit_test(an_object_that_nobody_took_is_released_with_the_broker),
        cmocka_unit_test(nothing_is_lost_between_many_threads),
        cmocka_unit_test(who_waits_is_let_go_and_nobody_waits_afterwards),
        cmocka_unit_test(what_was_confirmed_survives_the_death_of_the_server),
        cmocka_unit_test(the_depth_tells_what_waits_and_what_is_out),
        cmocka_unit_test(the_counters_tell_what_happened),
        cmocka_unit_test(a_url_that_is_none_is_refused_without_its_password),
    };
    broker_support_init();
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests_name(broker_url(), tests, NULL, NULL);
}
