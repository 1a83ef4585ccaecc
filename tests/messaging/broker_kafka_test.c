/* What a Kafka server brings and takes away: offsets, partitions, rubbish, silence. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/broker_support.h"

#define SHORT_MS 500

/* The store of the caller: where to go on, and which numbers are done. */
#define PARTITIONS_MAX 131072
struct book {
    int64_t offsets[PARTITIONS_MAX]; /* -1 = nothing is done */
    bool done[MANY];
    size_t done_count;
    size_t again; /* what came although it was done */
    size_t loads;
    size_t away;  /* so many times the store does not answer */
    bool is_idle; /* it needs nothing of before */
};

static enum cvm_status load_offset(void *state, const char *queue, int32_t partition,
                                   int64_t *out_offset, struct cvm_error *err)
{
    struct book *book = state;
    assert_string_equal(queue, "treatment");
    assert_true(partition >= 0 && partition < PARTITIONS_MAX);
    book->loads++;
    if (book->away > 0) {
        book->away--;
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "the store is away");
    }
    if (book->is_idle) {
        *out_offset = CVM_BROKER_OFFSET_END;
        return CVM_OK;
    }
    if (book->offsets[partition] < 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "nothing was done of partition %d", partition);
    }
    *out_offset = book->offsets[partition];
    return CVM_OK;
}

static struct book *new_book(void)
{
    static struct book book;
    memset(&book, 0, sizeof(book));
    memset(book.offsets, 0xff, sizeof(book.offsets));
    return &book;
}

/* The work of one delivery, and where to go on, in one transaction. */
static void work(struct book *book, const struct cvm_delivery *delivery)
{
    uint64_t number = delivery->envelope->epoch;
    assert_true(number < MANY);
    book->again += book->done[number];
    book->done_count += !book->done[number];
    book->done[number] = true;
    if (delivery->offset + 1 > book->offsets[delivery->partition]) {
        book->offsets[delivery->partition] = delivery->offset + 1;
    }
}

static const char *url_with(const char *option)
{
    static char url[512];
    (void)snprintf(url, sizeof(url), "%s?%s", broker_url(), option);
    return url;
}

static struct cvm_broker *open_with_book(struct book *book, const char *option)
{
    struct cvm_broker_options options = {.prefetch = 16, .offsets = {load_offset, book}};
    return open_broker_url(url_with(option), options);
}

static void the_callers_offsets_say_where_to_go_on(void **state)
{
    (void)state;
    struct book *book = new_book();
    struct cvm_broker *broker = open_with_book(book, "partitions=1");
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    send_series(link, "treatment", 0, 40, 1);
    for (uint64_t i = 0; i < 20; i++) {
        struct cvm_delivery delivery = receive_one(link);
        assert_int_equal(delivery.envelope->epoch, i);
        assert_int_equal(delivery.offset, i);
        if (i < 10) { /* the rest is acknowledged, and its transaction failed */
            work(book, &delivery);
        }
        ack(link, &delivery);
    }
    cvm_broker_link_close(link);
    link = open_receiver(broker, "treatment");
    for (uint64_t i = 10; i < 40; i++) {
        struct cvm_delivery delivery = receive_one(link);
        assert_int_equal(delivery.envelope->epoch, i);
        work(book, &delivery);
        ack(link, &delivery);
    }
    assert_int_equal(book->again, 0);
    assert_nothing_waits(link);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

static void an_offset_that_is_not_kept_is_told_and_not_skipped(void **state)
{
    (void)state;
    struct book *book = new_book();
    struct cvm_broker *broker = open_with_book(book, "partitions=1");
    struct cvm_broker_link *link = open_link(broker);
    struct cvm_error err = {.message = ""};
    ASSERT_OK(cvm_broker_declare(link, "treatment", ERR));
    send_series(link, "treatment", 0, 10, 1);
    book->offsets[0] = 5000;
    ASSERT_OK(cvm_broker_subscribe(link, "treatment", ERR));
    struct cvm_delivery delivery;
    size_t count = 0;
    assert_int_equal(cvm_broker_receive(link, &delivery, 1, PATIENCE_MS, &count, &err),
                     CVM_E_CORRUPT);
    assert_non_null(strstr(err.message, "no longer keeps the offset"));
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

/* Nothing is taken from a wrong place meanwhile. */
static void a_store_that_is_away_is_asked_again(void **state)
{
    (void)state;
    struct book *book = new_book();
    struct cvm_broker *broker = open_with_book(book, "partitions=1");
    struct cvm_broker_link *sender = open_link(broker);
    struct cvm_error err = {.message = ""};
    struct cvm_delivery delivery;
    size_t count = 0;
    ASSERT_OK(cvm_broker_declare(sender, "treatment", ERR));
    send_series(sender, "treatment", 0, 10, 1);
    book->offsets[0] = 4;
    book->away = 3;
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    while (book->away > 0) {
        assert_int_equal(cvm_broker_receive(link, &delivery, 1, PATIENCE_MS, &count, &err),
                         CVM_E_UNAVAILABLE);
        assert_non_null(strstr(err.message, "the store is away"));
    }
    for (uint64_t i = 4; i < 10; i++) {
        /* The other consumer, of high priority, may have met the store away as well. */
        while (cvm_broker_receive(link, &delivery, 1, PATIENCE_MS, &count, &err) != CVM_OK) {
            assert_int_equal(err.status, CVM_E_UNAVAILABLE);
        }
        assert_int_equal(count, 1);
        assert_int_equal(delivery.envelope->epoch, i);
        ack(link, &delivery);
    }
    cvm_broker_link_close(sender);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

static void who_needs_nothing_of_before_gets_what_comes_from_then_on(void **state)
{
    (void)state;
    struct book *book = new_book();
    struct cvm_broker *broker = open_with_book(book, "partitions=1");
    struct cvm_broker_link *sender = open_link(broker);
    struct cvm_delivery delivery;
    size_t count = 0;
    ASSERT_OK(cvm_broker_declare(sender, "treatment", ERR));
    send_series(sender, "treatment", 0, 5, 1);
    book->is_idle = true;
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    for (uint64_t i = 5; count == 0; i++) {
        assert_true(i < MANY);
        if (book->loads > 0) {
            send_series(sender, "treatment", i, 1, 1);
        }
        ASSERT_OK(cvm_broker_receive(link, &delivery, 1, 100, &count, ERR));
    }
    assert_true(delivery.envelope->epoch >= 5);
    ack(link, &delivery);
    cvm_broker_link_close(sender);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

/* Consumers come and go in the middle of batches, some with what they hold; every number is done,
 * and what comes twice is known by its number, as an inbox does. */
static void nothing_is_lost_while_partitions_change_hands(void **state)
{
    (void)state;
    enum { LINKS = 3 };
    struct book *book = new_book();
    struct cvm_broker *broker = open_with_book(book, "partitions=6");
    struct cvm_broker_link *links[LINKS] = {open_receiver(broker, "treatment"), NULL, NULL};
    struct cvm_broker_link *sender = open_link(broker);
    size_t sent = 0;
    for (size_t round = 0; book->done_count < MANY; round++) {
        size_t changing = 1 + round % (LINKS - 1);
        if (round % 5 == 0) { /* one comes, or goes */
            bool is_there = links[changing] != NULL;
            cvm_broker_link_close(links[changing]);
            links[changing] = is_there ? NULL : open_receiver(broker, "treatment");
        }
        if (sent < MANY) {
            send_series(sender, "treatment", sent, 50, 11);
            sent += 50;
        }
        for (size_t i = 0; i < LINKS; i++) {
            struct cvm_delivery deliveries[16];
            size_t count = 0;
            if (links[i] == NULL) {
                continue;
            }
            enum cvm_status status =
                cvm_broker_receive(links[i], deliveries, 16, 100, &count, NULL);
            assert_true(status == CVM_OK || status == CVM_E_LIMIT);
            for (size_t k = 0; k < count; k++) {
                work(book, &deliveries[k]);
                (void)!cvm_broker_ack(links[i], deliveries[k].tag, NULL); /* or it is another's */
            }
        }
        assert_true(round < 10000);
    }
    assert_true(book->loads > 12); /* hands did change */
    cvm_broker_link_close(sender);
    for (size_t i = 0; i < LINKS; i++) {
        cvm_broker_link_close(links[i]);
    }
    cvm_broker_close(broker);
}

/* ---- bytes that are no message ---- */

static void publish_raw(const char *topic, const void *bytes, size_t length)
{
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", broker_url() + strlen("kafka://"),
                                       text, sizeof(text)),
                     RD_KAFKA_CONF_OK);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(producer);
    rd_kafka_topic_t *to = rd_kafka_topic_new(producer, topic, NULL);
    assert_int_equal(rd_kafka_produce(to, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
                                      (void *)(uintptr_t)bytes, length, NULL, 0, NULL),
                     0);
    rd_kafka_topic_destroy(to);
    assert_int_equal(rd_kafka_flush(producer, PATIENCE_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_destroy(producer);
}

static void what_is_no_message_is_put_aside_and_the_rest_goes_on(void **state)
{
    (void)state;
    struct cvm_broker *broker = NULL;
    struct cvm_broker_options options = {.prefix = "raw.", .timeout_ms = PATIENCE_MS};
    ASSERT_OK(cvm_broker_open(url_with("partitions=1"), &options, &broker, ERR));
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_broker_link *undertaker = open_receiver(broker, "dead");
    publish_raw("raw.treatment", "hello", 5);
    publish_raw("raw.treatment", "", 0);
    send_series(link, "treatment", 1, 1, 1);
    struct cvm_delivery delivery = receive_one(link);
    assert_int_equal(delivery.envelope->epoch, 1);
    assert_int_equal(delivery.offset, 2);
    ack(link, &delivery);
    struct cvm_delivery dead = receive_one(undertaker);
    assert_null(dead.envelope);
    assert_int_equal(dead.raw.length, 5);
    assert_memory_equal(dead.raw.data, "hello", 5);
    ack(undertaker, &dead);
    assert_int_equal(cvm_broker_counts_of(broker).unreadable, 2);
    cvm_broker_link_close(link);
    cvm_broker_link_close(undertaker);
    cvm_broker_close(broker);
}

/* ---- a silent server ---- */

static void a_silent_server_is_waited_for_so_long_and_no_longer(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_link(broker);
    struct cvm_envelope envelope = make_envelope(1);
    struct cvm_sending sending = {.envelope = &envelope};
    ASSERT_OK(cvm_broker_declare(link, "treatment", ERR));
    send_series(link, "treatment", 0, 1, 1);
    assert_true(broker_control("pause"));
    ASSERT_OK(cvm_broker_publish(link, "treatment", &sending, 1, ERR));
    assert_int_equal(cvm_broker_confirm(link, SHORT_MS, NULL), CVM_E_TIMEOUT);
    assert_int_equal(sending.state, CVM_SENDING_UNKNOWN);
    assert_true(broker_control("resume"));
    ASSERT_OK(publish_one(link, "treatment", &envelope, &sending, ERR));
    bool seen[2] = {false};
    struct cvm_broker_link *receiver = open_receiver(broker, "treatment");
    (void)receive_series(receiver, seen, 2);
    cvm_broker_link_close(link);
    cvm_broker_link_close(receiver);
    cvm_broker_close(broker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_callers_offsets_say_where_to_go_on),
        cmocka_unit_test(an_offset_that_is_not_kept_is_told_and_not_skipped),
        cmocka_unit_test(a_store_that_is_away_is_asked_again),
        cmocka_unit_test(who_needs_nothing_of_before_gets_what_comes_from_then_on),
        cmocka_unit_test(nothing_is_lost_while_partitions_change_hands),
        cmocka_unit_test(what_is_no_message_is_put_aside_and_the_rest_goes_on),
        cmocka_unit_test(a_silent_server_is_waited_for_so_long_and_no_longer),
    };
    broker_support_init();
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests_name("kafka", tests, NULL, NULL);
}
