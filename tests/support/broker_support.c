#include "support/broker_support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct cvm_random random_source;

void broker_support_init(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    cvm_random_init(&random_source, (uint64_t)getpid());
}

const char *broker_url(void)
{
    const char *url = getenv("BROKER_URL");
    return url != NULL ? url : "local:";
}

bool broker_is_local(void)
{
    return strcmp(broker_url(), "local:") == 0;
}

bool broker_control(const char *word)
{
    const char *program = getenv("BROKER_CONTROL");
    int how = 0;
    if (program == NULL) {
        return false;
    }
    pid_t child = fork();
    if (child == 0) {
        (void)execl(program, program, word, (char *)NULL);
        _exit(127);
    }
    assert_true(child > 0 && waitpid(child, &how, 0) == child);
    assert_int_equal(how, 0);
    return true;
}

/* ---- opening ---- */

struct cvm_broker *open_broker(struct cvm_broker_options options)
{
    return open_broker_url(broker_url(), options);
}

struct cvm_broker *open_broker_url(const char *url, struct cvm_broker_options options)
{
    static int number;
    char prefix[32];
    struct cvm_broker *broker = NULL;
    (void)snprintf(prefix, sizeof(prefix), "test%d-%d.", (int)getpid(), number++);
    options.prefix = prefix;
    options.timeout_ms = options.timeout_ms == 0 ? PATIENCE_MS : options.timeout_ms;
    ASSERT_OK(cvm_broker_open(url, &options, &broker, ERR));
    return broker;
}

struct cvm_broker_link *open_link(struct cvm_broker *broker)
{
    struct cvm_broker_link *link = NULL;
    ASSERT_OK(cvm_broker_link_open(broker, &link, ERR));
    return link;
}

struct cvm_broker_link *open_receiver(struct cvm_broker *broker, const char *queue)
{
    struct cvm_broker_link *link = open_link(broker);
    ASSERT_OK(cvm_broker_subscribe(link, queue, ERR));
    return link;
}

bool broker_can(const struct cvm_broker *broker, unsigned ability)
{
    return (cvm_broker_abilities(broker) & ability) != 0;
}

/* ---- sending ---- */

struct cvm_slice slice(const char *text)
{
    return (struct cvm_slice){text, strlen(text)};
}

/* Number `number` of a series: told by its epoch. */
struct cvm_envelope make_envelope(uint64_t number)
{
    return (struct cvm_envelope){
        .id = cvm_message_id_make(NOW_MS, &random_source),
        .type = CVM_MESSAGE_TREATMENT_REQUEST,
        .schema_version = 1,
        .attempt = 1,
        .shard = 0,
        .epoch = number,
        .created_ms = NOW_MS,
        .run_id = slice("run-1"),
        .step = slice("treatment"),
        .sender = slice("orchestrator-1"),
        .traceparent = slice("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        .payload = slice("{\"features\":\"block/7\",\"plan\":\"run-1\"}"),
    };
}

enum cvm_status publish_one(struct cvm_broker_link *link, const char *queue,
                            const struct cvm_envelope *envelope, struct cvm_sending *out_sending,
                            struct cvm_error *err)
{
    *out_sending = (struct cvm_sending){.envelope = envelope};
    enum cvm_status status = cvm_broker_publish(link, queue, out_sending, 1, err);
    return status == CVM_OK ? cvm_broker_confirm(link, PATIENCE_MS, err) : status;
}

void send_one(struct cvm_broker_link *link, const char *queue, const struct cvm_envelope *envelope)
{
    struct cvm_sending sending;
    ASSERT_OK(publish_one(link, queue, envelope, &sending, ERR));
    assert_int_equal(sending.state, CVM_SENDING_CONFIRMED);
}

/* first .. first + count - 1, over `shards` shards, all of them confirmed. */
void send_series(struct cvm_broker_link *link, const char *queue, uint64_t first, size_t count,
                 uint32_t shards)
{
    static struct cvm_envelope envelopes[MANY];
    static struct cvm_sending sendings[MANY];
    assert_true(count <= MANY);
    for (size_t i = 0; i < count; i++) {
        envelopes[i] = make_envelope(first + i);
        envelopes[i].shard = (uint32_t)i % shards;
        sendings[i] = (struct cvm_sending){.envelope = &envelopes[i]};
    }
    ASSERT_OK(cvm_broker_publish(link, queue, sendings, count, ERR));
    ASSERT_OK(cvm_broker_confirm(link, PATIENCE_MS, ERR));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(sendings[i].state, CVM_SENDING_CONFIRMED);
    }
}

/* ---- receiving ---- */

struct cvm_delivery receive_one(struct cvm_broker_link *link)
{
    struct cvm_delivery delivery;
    size_t count = 0;
    ASSERT_OK(cvm_broker_receive(link, &delivery, 1, PATIENCE_MS, &count, ERR));
    assert_int_equal(count, 1);
    return delivery;
}

void ack(struct cvm_broker_link *link, const struct cvm_delivery *delivery)
{
    ASSERT_OK(cvm_broker_ack(link, delivery->tag, ERR));
}

void assert_nothing_waits(struct cvm_broker_link *link)
{
    struct cvm_delivery delivery;
    size_t count = 0;
    ASSERT_OK(cvm_broker_receive(link, &delivery, 1, 0, &count, ERR));
    assert_int_equal(count, 0);
}

/* Receive and acknowledge until each of `count` numbers was seen; how often in all. */
size_t receive_series(struct cvm_broker_link *link, bool *seen, size_t count)
{
    struct cvm_delivery deliveries[BATCH];
    size_t missing = 0;
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        missing += !seen[i];
    }
    while (missing > 0) {
        size_t got = 0;
        ASSERT_OK(cvm_broker_receive(link, deliveries, BATCH, PATIENCE_MS, &got, ERR));
        assert_true(got > 0);
        for (size_t i = 0; i < got; i++) {
            uint64_t number = deliveries[i].envelope->epoch;
            assert_true(number < count);
            missing -= !seen[number];
            seen[number] = true;
            ack(link, &deliveries[i]);
        }
        total += got;
    }
    return total;
}
