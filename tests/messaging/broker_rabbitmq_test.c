/* What a RabbitMQ server does to those who talk to it: it stands still, runs short of memory, holds
 * what is no message, has TLS and passwords. */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/threads.h"
#include "support/broker_support.h"

#define HEARTBEAT_S 1

static double seconds(void)
{
    return (double)cvm_clock_system.steady_ns(NULL) / 1e9;
}

/* The URL with another option. */
static const char *url_with(const char *option)
{
    static char url[512];
    (void)snprintf(url, sizeof(url), "%s?%s", broker_url(), option);
    return url;
}

/* ---- a silent server ---- */

/* 2 heartbeats and a second on a machine that is not busy; without an end if this is done wrong. */
static void assert_in_time(double started)
{
    double took = seconds() - started;
    printf("a silent server was given up after %.2f s (heartbeat %d s)\n", took, HEARTBEAT_S);
    assert_true(took < 10 * (2 * HEARTBEAT_S + 1));
}

static void receive_until_lost(struct cvm_broker_link *link)
{
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK) {
        struct cvm_delivery none;
        size_t count = 0;
        status = cvm_broker_receive(link, &none, 1, 1000, &count, NULL);
        assert_true(status != CVM_OK || count == 0);
    }
    assert_int_equal(status, CVM_E_UNAVAILABLE);
}

static void a_publish_to_a_silent_server_comes_back(void **state)
{
    (void)state;
    struct cvm_broker *broker =
        open_broker_url(url_with("heartbeat=1"), (struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_link(broker);
    static struct cvm_envelope envelopes[MANY];
    static struct cvm_sending sendings[MANY];
    ASSERT_OK(cvm_broker_declare(link, "treatment", ERR));
    send_series(link, "treatment", 0, 10, 1);
    for (size_t i = 0; i < MANY; i++) {
        envelopes[i] = make_envelope(10 + i);
        sendings[i] = (struct cvm_sending){.envelope = &envelopes[i]};
    }
    assert_true(broker_control("pause"));
    double started = seconds();
    assert_int_equal(cvm_broker_publish(link, "treatment", sendings, MANY, NULL),
                     CVM_E_UNAVAILABLE);
    assert_in_time(started);
    assert_int_equal(cvm_broker_confirm(link, PATIENCE_MS, NULL), CVM_E_UNAVAILABLE);
    assert_int_equal(sendings[0].state, CVM_SENDING_UNKNOWN);
    assert_int_equal(sendings[MANY - 1].state, CVM_SENDING_NEW);
    assert_true(broker_control("resume"));
    /* The sender still has all of them. */
    enum cvm_status status = CVM_E_UNAVAILABLE;
    while (status == CVM_E_UNAVAILABLE) {
        struct cvm_delivery none;
        size_t count = 0;
        (void)!cvm_broker_receive(link, &none, 1, 100, &count, NULL);
        status = cvm_broker_publish(link, "treatment", sendings, MANY, NULL);
    }
    ASSERT_OK(status);
    ASSERT_OK(cvm_broker_confirm(link, PATIENCE_MS, ERR));
    struct cvm_broker_link *receiver = open_receiver(broker, "treatment");
    static bool seen[10 + MANY];
    assert_true(receive_series(receiver, seen, 10 + MANY) >= 10 + MANY);
    cvm_broker_link_close(link);
    cvm_broker_link_close(receiver);
    cvm_broker_close(broker);
}

/* The very case that hangs with librabbitmq 0.11: the time for a heartbeat has passed while nobody
 * called, and the next call is a publish. */
static void a_publish_after_a_missed_heartbeat_comes_back(void **state)
{
    (void)state;
    struct cvm_broker *broker =
        open_broker_url(url_with("heartbeat=1"), (struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_link(broker);
    struct cvm_envelope envelope = make_envelope(1);
    struct cvm_sending sending = {.envelope = &envelope};
    ASSERT_OK(cvm_broker_declare(link, "treatment", ERR));
    struct cvm_broker_link *later = open_receiver(broker, "treatment");
    assert_true(broker_control("pause"));
    receive_until_lost(later); /* and so it is too late for the other one */
    double started = seconds();
    assert_int_equal(cvm_broker_publish(link, "treatment", &sending, 1, NULL), CVM_E_UNAVAILABLE);
    assert_in_time(started);
    assert_true(broker_control("resume"));
    cvm_broker_link_close(link);
    cvm_broker_link_close(later);
    cvm_broker_close(broker);
}

static void a_socket_that_takes_nothing_is_cut(void **state)
{
    (void)state;
    struct cvm_broker *broker =
        open_broker_url(url_with("heartbeat=1"), (struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_link(broker);
    static char payload[CVM_ENVELOPE_PAYLOAD_MAX];
    static struct cvm_envelope envelopes[200];
    static struct cvm_sending sendings[200]; /* 50 MB: no socket takes that unread */
    ASSERT_OK(cvm_broker_declare(link, "treatment", ERR));
    for (size_t i = 0; i < 200; i++) {
        envelopes[i] = make_envelope(i);
        envelopes[i].payload = (struct cvm_slice){payload, sizeof(payload)};
        sendings[i] = (struct cvm_sending){.envelope = &envelopes[i]};
    }
    assert_true(broker_control("pause"));
    double started = seconds();
    assert_int_equal(cvm_broker_publish(link, "treatment", sendings, 200, NULL), CVM_E_UNAVAILABLE);
    assert_in_time(started);
    assert_true(broker_control("resume"));
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

static void a_receiver_leaves_a_silent_server_and_finds_it_again(void **state)
{
    (void)state;
    struct cvm_broker *broker =
        open_broker_url(url_with("heartbeat=1"), (struct cvm_broker_options){.timeout_ms = 1000});
    struct cvm_broker_link *receiver = open_receiver(broker, "treatment");
    send_series(receiver, "treatment", 0, 1, 1);
    struct cvm_delivery delivery = receive_one(receiver);
    assert_true(broker_control("pause"));
    receive_until_lost(receiver);
    assert_true(broker_control("resume"));
    assert_int_equal(cvm_broker_ack(receiver, delivery.tag, NULL), CVM_E_CONFLICT);
    delivery = receive_one(receiver);
    assert_int_equal(delivery.envelope->epoch, 0);
    assert_true(delivery.attempt > 1);
    ack(receiver, &delivery);
    assert_true(cvm_broker_counts_of(broker).losses > 0);
    cvm_broker_link_close(receiver);
    cvm_broker_close(broker);
}

/* ---- a thread that is elsewhere ---- */

static void receive_none(struct cvm_broker_link *link, double duration_s)
{
    double until = seconds() + duration_s;
    while (seconds() < until) {
        struct cvm_delivery none;
        size_t count = 0;
        ASSERT_OK(cvm_broker_receive(link, &none, 1, 500, &count, ERR));
        assert_int_equal(count, 0);
    }
}

/* The thread of the receiver makes no call while the other one waits. */
static void assert_a_busy_link_is_kept(const char *url)
{
    struct cvm_broker *broker = open_broker_url(url, (struct cvm_broker_options){0});
    struct cvm_broker_link *receiver = open_receiver(broker, "treatment");
    send_series(receiver, "treatment", 0, 1, 1);
    struct cvm_delivery delivery = receive_one(receiver);
    struct cvm_broker_link *other = open_receiver(broker, "treatment");
    receive_none(other, 4 * HEARTBEAT_S + 1);
    assert_int_equal(cvm_broker_counts_of(broker).losses, 0);
    ack(receiver, &delivery);
    cvm_broker_link_close(receiver);
    receive_none(other, 0.5); /* and the acknowledgement counts */
    /* What came meanwhile is there: a call after so long works as any other. */
    send_series(other, "treatment", 1, 1, 1);
    delivery = receive_one(other);
    assert_int_equal(delivery.attempt, 1);
    ack(other, &delivery);
    cvm_broker_link_close(other);
    cvm_broker_close(broker);
}

static void a_link_whose_thread_works_for_long_keeps_what_it_holds(void **state)
{
    (void)state;
    assert_a_busy_link_is_kept(url_with("heartbeat=1"));
}

static void and_so_does_one_over_tls(void **state)
{
    (void)state;
    char url[512];
    const char *tls_url = getenv("BROKER_TLS_URL");
    if (tls_url == NULL || tls_url[0] == '\0') {
        skip();
        return;
    }
    (void)snprintf(url, sizeof(url), "%s&heartbeat=1", tls_url);
    assert_a_busy_link_is_kept(url);
}

static void hold_one_and_stand_still(const char *url, const char *prefix)
{
    struct cvm_broker *broker = NULL;
    struct cvm_broker_options options = {.prefix = prefix, .timeout_ms = PATIENCE_MS};
    ASSERT_OK(cvm_broker_open(url, &options, &broker, ERR));
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    send_series(link, "treatment", 7, 1, 1);
    (void)receive_one(link);
    (void)raise(SIGSTOP);
}

static void a_process_that_is_stopped_is_given_up(void **state)
{
    (void)state;
    char prefix[32];
    int how = 0;
    const char *url = url_with("heartbeat=1");
    (void)snprintf(prefix, sizeof(prefix), "stopped%d.", (int)getpid());
    pid_t child = fork();
    if (child == 0) {
        hold_one_and_stand_still(url, prefix);
        _exit(1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &how, WUNTRACED), child);
    assert_true(WIFSTOPPED(how));
    double started = seconds();
    struct cvm_broker *broker = NULL;
    struct cvm_broker_options options = {.prefix = prefix, .timeout_ms = PATIENCE_MS};
    ASSERT_OK(cvm_broker_open(url, &options, &broker, ERR));
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_delivery delivery = receive_one(link);
    assert_in_time(started);
    assert_int_equal(delivery.envelope->epoch, 7);
    assert_true(delivery.attempt > 1);
    ack(link, &delivery);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &how, 0), child);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

/* ---- a server that is short of memory ---- */

static void an_alarm_holds_up_senders_and_loses_nothing(void **state)
{
    (void)state;
    struct cvm_broker *broker = open_broker((struct cvm_broker_options){.timeout_ms = 1000});
    struct cvm_broker_link *link = open_link(broker);
    struct cvm_broker_link *receiver = open_receiver(broker, "treatment");
    static struct cvm_envelope envelopes[MANY];
    static struct cvm_sending sendings[MANY];
    static bool seen[MANY];
    size_t refused = 0;
    for (size_t i = 0; i < MANY; i++) {
        envelopes[i] = make_envelope(i);
        sendings[i] = (struct cvm_sending){.envelope = &envelopes[i]};
    }
    ASSERT_OK(cvm_broker_declare(link, "treatment", ERR));
    assert_true(broker_control("alarm"));
    ASSERT_OK(cvm_broker_publish(link, "treatment", sendings, MANY, ERR));
    enum cvm_status status = cvm_broker_confirm(link, 1000, NULL);
    assert_true(status == CVM_E_TIMEOUT || status == CVM_E_LIMIT);
    for (size_t i = 0; i < MANY; i++) {
        refused += sendings[i].state == CVM_SENDING_REFUSED;
        assert_int_not_equal(sendings[i].state, CVM_SENDING_CONFIRMED);
    }
    assert_true(refused >= MANY - 256); /* no more than a window is in the dark */
    assert_true(broker_control("calm"));
    status = CVM_E_LIMIT;
    while (status != CVM_OK) {
        ASSERT_OK(cvm_broker_publish(link, "treatment", sendings, MANY, ERR));
        status = cvm_broker_confirm(link, PATIENCE_MS, NULL);
        assert_true(status == CVM_OK || status == CVM_E_LIMIT);
    }
    assert_true(receive_series(receiver, seen, MANY) >= MANY);
    cvm_broker_link_close(link);
    cvm_broker_link_close(receiver);
    cvm_broker_close(broker);
}

/* ---- bytes that are no message ---- */

static void publish_raw(const char *name, const void *bytes, size_t length)
{
    char host[64];
    int port = 0;
    assert_int_equal(sscanf(broker_url(), "amqp://guest:guest@%63[^:]:%d", host, &port), 2);
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    assert_int_equal(amqp_socket_open(socket, host, port), AMQP_STATUS_OK);
    assert_int_equal(
        amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest")
            .reply_type,
        AMQP_RESPONSE_NORMAL);
    (void)amqp_channel_open(connection, 1);
    assert_int_equal(amqp_basic_publish(connection, 1, amqp_empty_bytes, amqp_cstring_bytes(name),
                                        0, 0, NULL,
                                        (amqp_bytes_t){length, (void *)(uintptr_t)bytes}),
                     AMQP_STATUS_OK);
    (void)amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    (void)amqp_destroy_connection(connection);
}

static void what_is_no_message_is_put_aside_and_the_rest_goes_on(void **state)
{
    (void)state;
    static char too_long[2 * CVM_ENVELOPE_BYTES_MAX];
    static char prefix[] = "raw-rabbitmq.";
    struct cvm_broker *broker = NULL;
    struct cvm_broker_options options = {.prefix = prefix, .timeout_ms = PATIENCE_MS};
    ASSERT_OK(cvm_broker_open(broker_url(), &options, &broker, ERR));
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    struct cvm_broker_link *undertaker = open_receiver(broker, "dead");
    publish_raw("raw-rabbitmq.treatment", "hello", 5);
    publish_raw("raw-rabbitmq.treatment", "", 0);
    publish_raw("raw-rabbitmq.treatment", too_long, sizeof(too_long));
    send_series(link, "treatment", 1, 1, 1);
    struct cvm_delivery delivery = receive_one(link);
    assert_int_equal(delivery.envelope->epoch, 1);
    ack(link, &delivery);
    assert_nothing_waits(link);
    bool has_hello = false;
    for (int i = 0; i < 3; i++) {
        struct cvm_delivery dead = receive_one(undertaker);
        assert_null(dead.envelope);
        assert_string_equal(dead.died_in, "treatment");
        has_hello = has_hello || (dead.raw.length == 5 && memcmp(dead.raw.data, "hello", 5) == 0);
        ack(undertaker, &dead);
    }
    assert_true(has_hello);
    assert_int_equal(cvm_broker_counts_of(broker).unreadable, 3);
    cvm_broker_link_close(link);
    cvm_broker_link_close(undertaker);
    cvm_broker_close(broker);
}

/* Where anybody may publish. */
static void the_queue_of_events_hands_out_what_is_no_message(void **state)
{
    (void)state;
    static char prefix[] = "open-rabbitmq.";
    struct cvm_broker *broker = NULL;
    struct cvm_broker_options options = {.prefix = prefix, .timeout_ms = PATIENCE_MS};
    ASSERT_OK(cvm_broker_open(broker_url(), &options, &broker, ERR));
    struct cvm_broker_link *link = NULL;
    ASSERT_OK(cvm_broker_link_open_with(broker, 200, &link, ERR)); /* more than others hold */
    ASSERT_OK(cvm_broker_declare(link, CVM_BROKER_EVENTS, ERR));
    ASSERT_OK(cvm_broker_subscribe(link, CVM_BROKER_EVENTS, ERR));
    publish_raw("open-rabbitmq.event", "{\"a\":1}", 7);
    struct cvm_delivery bare = receive_one(link);
    assert_null(bare.envelope);
    assert_int_equal(bare.raw.length, 7);
    assert_memory_equal(bare.raw.data, "{\"a\":1}", 7);
    send_series(link, CVM_BROKER_EVENTS, 1, 100, 1);
    struct cvm_delivery ours[100];
    for (int i = 0; i < 100; i++) {
        ours[i] = receive_one(link);
        assert_non_null(ours[i].envelope);
    }
    for (int i = 0; i < 100; i++) {
        ack(link, &ours[i]);
    }
    ack(link, &bare);
    assert_int_equal(cvm_broker_counts_of(broker).unreadable, 0);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
}

/* ---- who may come in ---- */

static void assert_check(const char *url, enum cvm_status wanted)
{
    struct cvm_error err = {.message = ""};
    struct cvm_broker *broker = open_broker_url(url, (struct cvm_broker_options){0});
    enum cvm_status status = cvm_broker_check(broker, &err);
    if (status != wanted) {
        fail_msg("%s: '%s'", cvm_status_name(status), err.message);
    }
    assert_null(strstr(err.message, "secret"));
    cvm_broker_close(broker);
}

static void a_wrong_password_is_denied_and_not_shown(void **state)
{
    (void)state;
    char url[256];
    const char *address = strchr(broker_url(), '@') + 1;
    (void)snprintf(url, sizeof(url), "amqp://guest:secret@%s", address);
    assert_check(url, CVM_E_DENIED);
    (void)snprintf(url, sizeof(url), "amqp://guest:guest@%s/nowhere", address);
    assert_check(url, CVM_E_DENIED);
    assert_check("amqp://guest:secret@127.0.0.1:1", CVM_E_UNAVAILABLE);
    assert_check(broker_url(), CVM_OK);
}

static void a_password_may_stand_in_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/cvm-password-XXXXXX";
    char url[256];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(dprintf(fd, "guest\n"), 6);
    (void)snprintf(url, sizeof(url), "amqp://guest@%s?password_file=%s",
                   strchr(broker_url(), '@') + 1, path);
    assert_check(url, CVM_OK);
    (void)unlink(path);
    struct cvm_broker *broker = NULL;
    assert_int_equal(cvm_broker_open(url, &(struct cvm_broker_options){0}, &broker, NULL),
                     CVM_E_NOT_FOUND);
}

static void tls_is_used_and_its_certificate_is_checked(void **state)
{
    (void)state;
    char url[512];
    const char *tls_url = getenv("BROKER_TLS_URL");
    if (tls_url == NULL || tls_url[0] == '\0') {
        skip();
        return;
    }
    assert_check(tls_url, CVM_OK);
    struct cvm_broker *broker = open_broker_url(tls_url, (struct cvm_broker_options){0});
    struct cvm_broker_link *link = open_receiver(broker, "treatment");
    bool seen[50] = {false};
    send_series(link, "treatment", 0, 50, 1);
    assert_int_equal(receive_series(link, seen, 50), 50);
    cvm_broker_link_close(link);
    cvm_broker_close(broker);
    /* Not signed by anybody we know; and of another name. */
    (void)snprintf(url, sizeof(url), "%.*s", (int)strcspn(tls_url, "?"), tls_url);
    assert_check(url, CVM_E_UNAVAILABLE);
    (void)snprintf(url, sizeof(url), "amqps://guest:guest@127.0.0.1%s", strrchr(tls_url, ':'));
    assert_check(url, CVM_E_UNAVAILABLE);
}

static void a_url_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "amqp:",           "amqp://",          "amqp:secret",          "amqp://h:port",
        "amqp://h:0",      "amqp://h:70000",   "amqp://u:secret%@h",   "amqp://u:secret%00@h",
        "amqp://h?x=1",    "amqp://h?ca=file", "amqp://h?heartbeat=0", "amqp://h?heartbeat=x",
        "amqp://h?secret", "amqp://[::1",      "amqp://:secret@h",     "amqp://h,"};
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
        cmocka_unit_test(a_wrong_password_is_denied_and_not_shown),
        cmocka_unit_test(a_password_may_stand_in_a_file),
        cmocka_unit_test(tls_is_used_and_its_certificate_is_checked),
        cmocka_unit_test(what_is_no_message_is_put_aside_and_the_rest_goes_on),
        cmocka_unit_test(the_queue_of_events_hands_out_what_is_no_message),
        cmocka_unit_test(a_publish_to_a_silent_server_comes_back),
        cmocka_unit_test(a_publish_after_a_missed_heartbeat_comes_back),
        cmocka_unit_test(a_socket_that_takes_nothing_is_cut),
        cmocka_unit_test(a_receiver_leaves_a_silent_server_and_finds_it_again),
        cmocka_unit_test(a_link_whose_thread_works_for_long_keeps_what_it_holds),
        cmocka_unit_test(and_so_does_one_over_tls),
        cmocka_unit_test(a_process_that_is_stopped_is_given_up),
        cmocka_unit_test(an_alarm_holds_up_senders_and_loses_nothing),
    };
    broker_support_init();
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests_name("rabbitmq", tests, NULL, NULL);
}
