/* A host on Kafka: the store says where work goes on, whatever became of a message. */
#include <librdkafka/rdkafka.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/host.h"
#include "agents/runner.h"
#include "storage/broker_offset.h"
#include "support/broker_support.h"

#define NUMBERS_MAX 64

/* What the agent did, and what stands in its way. */
static struct {
    _Atomic int handled[NUMBERS_MAX]; /* how often work of this number was tried */
    _Atomic int order[NUMBERS_MAX];   /* numbers as they were done */
    atomic_int done;
    atomic_int away; /* this number finds nothing that it needs; -1 = none */
} seen;

static enum cvm_status handle(void *worker, const struct cvm_turn *turn,
                              struct cvm_effects *effects, struct cvm_error *err)
{
    int number = (int)turn->message->epoch;
    (void)worker;
    (void)effects;
    atomic_fetch_add(&seen.handled[number], 1);
    if (number == atomic_load(&seen.away)) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "what %d needs is away", number);
    }
    if (number % 10 == 7) {
        return CVM_FAIL(err, CVM_E_INVALID, "%d can not be done", number);
    }
    atomic_store(&seen.order[atomic_fetch_add(&seen.done, 1)], number);
    return CVM_OK;
}

static const enum cvm_message_type served[] = {CVM_MESSAGE_EVENT, CVM_MESSAGE_NONE};
static const struct cvm_agent_kind numbers = {
    .name = "numbers", .does = "nothing", .serves = served, .handle = handle};
static const struct cvm_agent_kind *const kinds[] = {&numbers, NULL};

struct desk {
    struct cvm_context context;
    struct cvm_store *store;
    struct cvm_agent_site site;
    struct cvm_broker *broker;
    struct cvm_broker_link *sender;
    struct cvm_host *host;
    char prefix[32]; /* of this test's topics */
};

static void start_host(struct desk *desk)
{
    struct cvm_host_options options = {
        .site = &desk->site,
        .context = &desk->context,
        .broker = desk->broker,
        .name = "test.1",
        .incarnation = 1,
        .pools = {{"numbers", 1, 1}},
        .pool_count = 1,
        .kinds = kinds,
        .is_adjusted_by_hand = true,
        .seed = 7,
    };
    ASSERT_OK(cvm_host_start(&options, &desk->host, ERR));
}

static void stop_host(struct desk *desk)
{
    ASSERT_OK(cvm_host_stop(desk->host, ERR));
    desk->host = NULL;
}

static int set_up(void **state)
{
    static struct desk desk;
    static int number;
    char url[512];
    struct cvm_store_options options = {
        .access = CVM_DB_WRITE, .may_create = true, .clock = cvm_clock_system};
    memset(&seen, 0, sizeof(seen));
    atomic_store(&seen.away, -1);
    desk = (struct desk){.context = {.clock = cvm_clock_system}};
    ASSERT_OK(cvm_store_open("sqlite::memory:", &options, &desk.store, ERR));
    desk.site =
        (struct cvm_agent_site){.writer = cvm_agent_writer_create(desk.store), .version = "test"};
    (void)snprintf(desk.prefix, sizeof(desk.prefix), "offset%d.", number++);
    struct cvm_broker_options broker = {.prefix = desk.prefix,
                                        .timeout_ms = PATIENCE_MS,
                                        .offsets = cvm_host_offsets(desk.site.writer),
                                        .context = desk.context};
    (void)snprintf(url, sizeof(url), "%s?partitions=1&linger=0", broker_url());
    ASSERT_OK(cvm_broker_open(url, &broker, &desk.broker, ERR));
    desk.sender = open_link(desk.broker);
    ASSERT_OK(cvm_broker_declare(desk.sender, "numbers", ERR));
    *state = &desk;
    return 0;
}

static int tear_down(void **state)
{
    struct desk *desk = *state;
    (void)!cvm_host_stop(desk->host, NULL);
    cvm_broker_link_close(desk->sender);
    cvm_broker_close(desk->broker);
    cvm_agent_writer_destroy(desk->site.writer);
    cvm_store_close(desk->store);
    return 0;
}

static struct cvm_envelope number_message(int number)
{
    struct cvm_envelope envelope = make_envelope((uint64_t)number);
    envelope.type = CVM_MESSAGE_EVENT;
    envelope.workflow_id = envelope.reply_to = (struct cvm_slice){"", 0};
    envelope.deadline_ms = 0;
    envelope.payload = slice("{}");
    return envelope;
}

static void send_numbers(struct desk *desk, int first, int count)
{
    for (int number = first; number < first + count; number++) {
        struct cvm_envelope envelope = number_message(number);
        send_one(desk->sender, "numbers", &envelope);
    }
}

static int64_t next_offset(struct desk *desk)
{
    int64_t next = 0;
    struct cvm_store *store = cvm_agent_writer_lock(desk->site.writer);
    enum cvm_status status = cvm_broker_offset_get(store, "numbers", 0, &next, NULL);
    cvm_agent_writer_unlock(desk->site.writer);
    return status == CVM_OK ? next : 0;
}

static void wait_for_offset(struct desk *desk, int64_t offset)
{
    double until = cvm_context_seconds(&desk->context) + PATIENCE_MS / 1000;
    while (next_offset(desk) < offset && cvm_context_seconds(&desk->context) < until) {
        (void)sched_yield();
    }
    assert_int_equal(next_offset(desk), offset);
}

/* ---- rules ---- */

static void whatever_becomes_of_a_message_its_place_is_kept(void **state)
{
    struct desk *desk = *state;
    uint64_t counts[CVM_TURN_ENDS];
    struct cvm_envelope twice = number_message(1);
    struct cvm_envelope bad = number_message(2);
    bad.type = CVM_MESSAGE_OUTCOME;
    start_host(desk);
    send_one(desk->sender, "numbers", &twice);
    wait_for_offset(desk, 1);
    send_one(desk->sender, "numbers", &twice); /* as an outbox does */
    wait_for_offset(desk, 2);
    send_one(desk->sender, "numbers", &bad);
    wait_for_offset(desk, 3);
    send_numbers(desk, 7, 1);
    wait_for_offset(desk, 4);
    cvm_host_counts(desk->host, counts);
    assert_int_equal(counts[CVM_TURN_DONE], 1);
    assert_int_equal(counts[CVM_TURN_DUPLICATE], 1);
    assert_int_equal(counts[CVM_TURN_POISON], 1);
    assert_int_equal(counts[CVM_TURN_FAILED], 1);
    stop_host(desk);
    start_host(desk);
    send_numbers(desk, 11, 1);
    wait_for_offset(desk, 5);
    cvm_host_counts(desk->host, counts);
    assert_int_equal(counts[CVM_TURN_DONE], 1);
    assert_int_equal(counts[CVM_TURN_DUPLICATE] + counts[CVM_TURN_POISON] + counts[CVM_TURN_FAILED],
                     0);
}

static void nothing_passes_a_message_that_waits_for_what_is_away(void **state)
{
    struct desk *desk = *state;
    atomic_store(&seen.away, 22);
    start_host(desk);
    send_numbers(desk, 20, 6); /* 20 to 25 */
    wait_for_offset(desk, 2);
    double until = cvm_context_seconds(&desk->context) + PATIENCE_MS / 1000;
    while (atomic_load(&seen.handled[22]) < 2 && cvm_context_seconds(&desk->context) < until) {
        (void)sched_yield();
    }
    assert_true(atomic_load(&seen.handled[22]) >= 2);
    assert_int_equal(atomic_load(&seen.handled[23]), 0);
    stop_host(desk); /* who held it is gone, too */
    assert_int_equal(next_offset(desk), 2);
    atomic_store(&seen.away, -1);
    start_host(desk);
    wait_for_offset(desk, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(atomic_load(&seen.order[i]), 20 + i);
    }
    assert_int_equal(atomic_load(&seen.done), 6);
}

static void kafka_keeps_no_place_of_its_own(void **state)
{
    struct desk *desk = *state;
    char text[512];
    char topic[64];
    start_host(desk);
    send_numbers(desk, 30, 5);
    wait_for_offset(desk, 5);
    stop_host(desk);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)snprintf(topic, sizeof(topic), "%snumbers", desk->prefix);
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", broker_url() + strlen("kafka://"),
                                       text, sizeof(text)),
                     RD_KAFKA_CONF_OK);
    assert_int_equal(rd_kafka_conf_set(conf, "group.id", topic, text, sizeof(text)),
                     RD_KAFKA_CONF_OK);
    rd_kafka_t *asker = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *at = rd_kafka_topic_partition_list_add(list, topic, 0);
    assert_int_equal(rd_kafka_committed(asker, list, PATIENCE_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(at->err, RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(at->offset, RD_KAFKA_OFFSET_INVALID);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(asker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whatever_becomes_of_a_message_its_place_is_kept, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nothing_passes_a_message_that_waits_for_what_is_away,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(kafka_keeps_no_place_of_its_own, set_up, tear_down),
    };
    broker_support_init();
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests_name("offset", tests, NULL, NULL);
}
