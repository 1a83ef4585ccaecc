/* What a Kafka cluster does to its clients, on the mock cluster of librdkafka. It keeps 5 MiB and
 * 100,000 messages a partition and knows nothing of transactions: the tests need neither. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/broker_support.h"

#define BROKERS     3
#define PRODUCE_KEY 0 /* of the protocol */
#define SHORT_MS    500

struct cluster {
    rd_kafka_t *owner; /* apart from the clients under test, which are destroyed before it */
    rd_kafka_mock_cluster_t *mock;
    struct cvm_broker *broker;
    struct cvm_broker_link *link;
};

static struct cvm_broker *open_mock(const struct cluster *cluster, int timeout_ms)
{
    char url[512];
    struct cvm_broker *broker = NULL;
    struct cvm_broker_options options = {.prefix = "mock.", .timeout_ms = timeout_ms};
    (void)snprintf(url, sizeof(url), "kafka://%s?partitions=4",
                   rd_kafka_mock_cluster_bootstraps(cluster->mock));
    ASSERT_OK(cvm_broker_open(url, &options, &broker, ERR));
    return broker;
}

static int start(void **state)
{
    static struct cluster cluster;
    static const char *const topics[] = {"mock.treatment", "mock.treatment.high", "mock.dead"};
    char text[512];
    cluster.owner = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof(text));
    cluster.mock = rd_kafka_mock_cluster_new(cluster.owner, BROKERS);
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        (void)rd_kafka_mock_topic_create(cluster.mock, topics[i], 4, BROKERS);
    }
    cluster.broker = open_mock(&cluster, PATIENCE_MS);
    cluster.link = open_link(cluster.broker);
    *state = &cluster;
    return 0;
}

static int stop(void **state)
{
    struct cluster *cluster = *state;
    cvm_broker_link_close(cluster->link);
    cvm_broker_close(cluster->broker);
    rd_kafka_mock_cluster_destroy(cluster->mock);
    rd_kafka_destroy(cluster->owner);
    return 0;
}

/* What was not confirmed is sent again, with its id, until it is. */
static void send_until_confirmed(struct cvm_broker_link *link, size_t count, int timeout_ms)
{
    static struct cvm_envelope envelopes[MANY];
    static struct cvm_sending sendings[MANY];
    size_t left = count;
    for (size_t i = 0; i < count; i++) {
        envelopes[i] = make_envelope(i);
        envelopes[i].shard = (uint32_t)i % 7;
        sendings[i] = (struct cvm_sending){.envelope = &envelopes[i]};
    }
    for (int round = 0; left > 0; round++) {
        size_t kept = 0;
        assert_true(round < 1000);
        (void)!cvm_broker_publish(link, "treatment", sendings, left, NULL);
        (void)!cvm_broker_confirm(link, timeout_ms, NULL);
        for (size_t i = 0; i < left; i++) {
            if (sendings[i].state != CVM_SENDING_CONFIRMED) {
                sendings[kept++] = sendings[i];
            }
        }
        left = kept;
    }
}

static void assert_all_arrive(struct cluster *cluster, size_t count)
{
    bool seen[MANY] = {false};
    struct cvm_broker_link *receiver = open_receiver(cluster->broker, "treatment");
    assert_true(receive_series(receiver, seen, count) >= count);
    cvm_broker_link_close(receiver);
}

static void errors_that_pass_lose_nothing(void **state)
{
    struct cluster *cluster = *state;
    rd_kafka_mock_push_request_errors(
        cluster->mock, PRODUCE_KEY, 4, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR__TRANSPORT);
    send_until_confirmed(cluster->link, MANY, PATIENCE_MS);
    assert_all_arrive(cluster, MANY);
}

static void a_producer_that_failed_for_good_is_replaced(void **state)
{
    struct cluster *cluster = *state;
    struct cvm_envelope envelope = make_envelope(0);
    struct cvm_sending sending = {.envelope = &envelope};
    send_series(cluster->link, "treatment", 0, 1, 1);
    rd_kafka_mock_push_request_errors(cluster->mock, PRODUCE_KEY, 1,
                                      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    ASSERT_OK(cvm_broker_publish(cluster->link, "treatment", &sending, 1, ERR));
    assert_int_equal(cvm_broker_confirm(cluster->link, PATIENCE_MS, NULL), CVM_E_UNAVAILABLE);
    assert_int_equal(sending.state, CVM_SENDING_UNKNOWN);
    send_until_confirmed(cluster->link, MANY, PATIENCE_MS);
    assert_true(cvm_broker_counts_of(cluster->broker).connects >= 2);
    assert_true(cvm_broker_counts_of(cluster->broker).losses >= 1);
    assert_all_arrive(cluster, MANY);
}

static void a_cluster_that_answers_late_is_waited_for_so_long_and_no_longer(void **state)
{
    struct cluster *cluster = *state;
    struct cvm_envelope envelope = make_envelope(0);
    struct cvm_sending sending = {.envelope = &envelope};
    send_series(cluster->link, "treatment", 0, 1, 1);
    for (int i = 1; i <= BROKERS; i++) {
        (void)rd_kafka_mock_broker_set_rtt(cluster->mock, i, 5000);
    }
    ASSERT_OK(cvm_broker_publish(cluster->link, "treatment", &sending, 1, ERR));
    assert_int_equal(cvm_broker_confirm(cluster->link, SHORT_MS, NULL), CVM_E_TIMEOUT);
    assert_int_equal(sending.state, CVM_SENDING_UNKNOWN);
    for (int i = 1; i <= BROKERS; i++) {
        (void)rd_kafka_mock_broker_set_rtt(cluster->mock, i, 0);
    }
    send_until_confirmed(cluster->link, 100, PATIENCE_MS);
    assert_all_arrive(cluster, 100);
}

static void a_cluster_that_is_down_gets_it_when_it_is_back(void **state)
{
    struct cluster *cluster = *state;
    struct cvm_envelope envelope = make_envelope(0);
    struct cvm_sending sending = {.envelope = &envelope};
    send_series(cluster->link, "treatment", 0, 1, 1);
    for (int i = 1; i <= BROKERS; i++) {
        (void)rd_kafka_mock_broker_set_down(cluster->mock, i);
    }
    ASSERT_OK(cvm_broker_publish(cluster->link, "treatment", &sending, 1, ERR));
    assert_int_equal(cvm_broker_confirm(cluster->link, SHORT_MS, NULL), CVM_E_TIMEOUT);
    assert_int_equal(sending.state, CVM_SENDING_UNKNOWN);
    for (int i = 1; i <= BROKERS; i++) {
        (void)rd_kafka_mock_broker_set_up(cluster->mock, i);
    }
    send_until_confirmed(cluster->link, 100, PATIENCE_MS);
    assert_all_arrive(cluster, 100);
}

static void leaders_and_coordinators_move_and_no_offset_is_skipped(void **state)
{
    struct cluster *cluster = *state;
    struct cvm_broker_link *receiver = open_receiver(cluster->broker, "treatment");
    bool seen[MANY] = {false};
    size_t missing = MANY;
    int moves = 0;
    send_until_confirmed(cluster->link, MANY, PATIENCE_MS);
    while (missing > 0) {
        struct cvm_delivery deliveries[BATCH];
        size_t count = 0;
        ASSERT_OK(cvm_broker_receive(receiver, deliveries, BATCH, PATIENCE_MS, &count, ERR));
        for (size_t i = 0; i < count; i++) {
            missing -= !seen[deliveries[i].envelope->epoch];
            seen[deliveries[i].envelope->epoch] = true;
            (void)!cvm_broker_ack(receiver, deliveries[i].tag, NULL); /* it may have moved */
        }
        moves++;
        (void)rd_kafka_mock_partition_set_leader(cluster->mock, "mock.treatment", moves % 4,
                                                 1 + moves % BROKERS);
        (void)rd_kafka_mock_coordinator_set(cluster->mock, "group", "mock.treatment",
                                            1 + moves % BROKERS);
    }
    cvm_broker_link_close(receiver);
}

static void who_leaves_with_envelopes_on_their_way_leaves_no_trace(void **state)
{
    struct cluster *cluster = *state;
    static struct cvm_envelope envelopes[BATCH];
    static struct cvm_sending sendings[BATCH];
    struct cvm_broker_link *leaving = open_link(cluster->broker);
    send_series(leaving, "treatment", 0, 1, 1);
    for (int i = 1; i <= BROKERS; i++) {
        (void)rd_kafka_mock_broker_set_rtt(cluster->mock, i, 500);
    }
    for (size_t i = 0; i < BATCH; i++) {
        envelopes[i] = make_envelope(i);
        sendings[i] = (struct cvm_sending){.envelope = &envelopes[i]};
    }
    ASSERT_OK(cvm_broker_publish(leaving, "treatment", sendings, BATCH, ERR));
    cvm_broker_link_close(leaving);
    memset(sendings, 0xee, sizeof(sendings)); /* they are the sender's again */
    for (int i = 1; i <= BROKERS; i++) {
        (void)rd_kafka_mock_broker_set_rtt(cluster->mock, i, 0);
    }
    send_series(cluster->link, "treatment", 0, 1, 1);
}

static void a_cluster_that_is_not_there_is_told(void **state)
{
    struct cvm_broker *broker = NULL;
    struct cvm_error err = {.message = ""};
    struct cvm_broker_options options = {.timeout_ms = SHORT_MS};
    (void)state;
    ASSERT_OK(cvm_broker_open("kafka://user:secret@127.0.0.1:1", &options, &broker, ERR));
    assert_int_equal(cvm_broker_check(broker, &err), CVM_E_UNAVAILABLE);
    assert_null(strstr(err.message, "secret"));
    cvm_broker_close(broker);
}

static void a_url_that_is_none_is_refused(void **state)
{
    static const char *const urls[] = {"kafka:",
                                       "kafka://",
                                       "kafka://h:port",
                                       "kafka://h,",
                                       "kafka://h/topic",
                                       "kafka://h?x=1",
                                       "kafka://h?partitions=0",
                                       "kafka://h?linger=x",
                                       "kafka://h?secret",
                                       "kafka://u:secret@h?sasl=NONE",
                                       "kafka://h?compression=secret",
                                       "kafkas://h?ca=/no/such/file"};
    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct cvm_broker *broker = NULL;
        struct cvm_error err = {.message = ""};
        enum cvm_status status =
            cvm_broker_open(urls[i], &(struct cvm_broker_options){0}, &broker, &err);
        if (status != CVM_E_INVALID || strstr(err.message, "secret") != NULL) {
            fail_msg("%s: %s, '%s'", urls[i], cvm_status_name(status), err.message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_that_is_none_is_refused),
        cmocka_unit_test(a_cluster_that_is_not_there_is_told),
        cmocka_unit_test_setup_teardown(errors_that_pass_lose_nothing, start, stop),
        cmocka_unit_test_setup_teardown(a_producer_that_failed_for_good_is_replaced, start, stop),
        cmocka_unit_test_setup_teardown(
            a_cluster_that_answers_late_is_waited_for_so_long_and_no_longer, start, stop),
        cmocka_unit_test_setup_teardown(a_cluster_that_is_down_gets_it_when_it_is_back, start,
                                        stop),
        cmocka_unit_test_setup_teardown(leaders_and_coordinators_move_and_no_offset_is_skipped,
                                        start, stop),
        cmocka_unit_test_setup_teardown(who_leaves_with_envelopes_on_their_way_leaves_no_trace,
                                        start, stop),
    };
    broker_support_init();
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests_name("kafka mock", tests, NULL, NULL);
}
