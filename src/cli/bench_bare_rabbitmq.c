/* bench_bare_rabbitmq.c - librabbitmq by itself. */
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <sys/time.h>

#include "cli/bench_broker.h"
#include "messaging/broker_url.h"

#define PORT       5672
#define PERSISTENT 2

static enum cvm_status fail(const char *what, struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_UNAVAILABLE, "bare rabbitmq: %s failed", what);
}

static enum cvm_status open_bare(const struct cvm_bare *bare, amqp_connection_state_t connection,
                                 struct cvm_error *err)
{
    static const char *const names[] = {"heartbeat", NULL};
    const struct cvm_broker_url_rules rules = {PORT, names, "amqp://user:password@host:port"};
    struct cvm_broker_url url;
    enum cvm_status status = cvm_broker_url_parse(bare->url, &rules, &url, err);
    if (status != CVM_OK) {
        return status;
    }
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    const char *user = url.user == NULL ? "guest" : url.user;
    bool is_open =
        socket != NULL && amqp_socket_open(socket, url.hosts[0].name, url.hosts[0].port) == 0 &&
        amqp_login(connection, url.path == NULL ? "/" : url.path, 0, 131072, 30,
                   AMQP_SASL_METHOD_PLAIN, user, url.user == NULL ? "guest" : url.password)
                .reply_type == AMQP_RESPONSE_NORMAL &&
        amqp_channel_open(connection, 1) != NULL;
    cvm_broker_url_finish(&url);
    return is_open ? CVM_OK : fail("connecting", err);
}

/* Confirms that have come; waits for the first one when it has to. */
static bool take_confirms(amqp_connection_state_t connection, bool must_wait, uint64_t *confirmed)
{
    struct timeval wait = {.tv_sec = must_wait ? 30 : 0};
    amqp_frame_t frame;
    int code = amqp_simple_wait_frame_noblock(connection, &frame, &wait);
    while (code == AMQP_STATUS_OK) {
        if (frame.frame_type == AMQP_FRAME_METHOD &&
            frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
            const amqp_basic_ack_t *ack = frame.payload.method.decoded;
            /* The server may confirm out of order: counted as such, this is only a window. */
            *confirmed = ack->multiple
                             ? (ack->delivery_tag > *confirmed ? ack->delivery_tag : *confirmed)
                             : *confirmed + 1;
        }
        amqp_maybe_release_buffers(connection);
        wait.tv_sec = 0;
        code = amqp_simple_wait_frame_noblock(connection, &frame, &wait);
    }
    return code == AMQP_STATUS_TIMEOUT;
}

static bool send_all(amqp_connection_state_t connection, const struct cvm_bare *bare)
{
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TYPE_FLAG,
        .delivery_mode = PERSISTENT,
        .message_id = amqp_cstring_bytes("018e5b5f-fc67-7000-8000-000000000000"),
        .type = amqp_cstring_bytes("TREATMENT_REQUEST"),
    };
    amqp_bytes_t body = {bare->length, (void *)(uintptr_t)bare->bytes};
    amqp_bytes_t name = amqp_cstring_bytes(bare->queue);
    uint64_t confirmed = 0;
    bool is_good = true;
    for (uint64_t sent = 0; is_good && sent < bare->count; sent++) {
        is_good = amqp_basic_publish(connection, 1, amqp_empty_bytes, name, 1, 0, &properties,
                                     body) == AMQP_STATUS_OK;
        while (is_good && sent + 1 - confirmed >= CVM_BENCH_WINDOW) {
            is_good = take_confirms(connection, true, &confirmed);
        }
    }
    while (is_good && confirmed < bare->count) {
        is_good = take_confirms(connection, true, &confirmed);
    }
    return is_good;
}

enum cvm_status cvm_bare_rabbitmq_send(const struct cvm_bare *bare, struct cvm_taken *out_taken,
                                       struct cvm_error *err)
{
    amqp_connection_state_t connection = amqp_new_connection();
    enum cvm_status status = open_bare(bare, connection, err);
    if (status == CVM_OK && amqp_confirm_select(connection, 1) == NULL) {
        status = fail("asking for confirms", err);
    }
    if (status == CVM_OK) {
        struct cvm_taken start = cvm_taken_now();
        status = send_all(connection, bare) ? CVM_OK : fail("publishing", err);
        *out_taken = cvm_taken_since(start);
    }
    (void)amqp_destroy_connection(connection);
    return status;
}

static bool receive_all(amqp_connection_state_t connection, const struct cvm_bare *bare)
{
    struct timeval wait = {.tv_sec = 30};
    for (size_t received = 0; received < bare->count; received++) {
        amqp_envelope_t envelope;
        amqp_maybe_release_buffers(connection);
        if (amqp_consume_message(connection, &envelope, &wait, 0).reply_type !=
                AMQP_RESPONSE_NORMAL ||
            amqp_basic_ack(connection, 1, envelope.delivery_tag, 0) != AMQP_STATUS_OK) {
            return false;
        }
        amqp_destroy_envelope(&envelope);
    }
    return true;
}

enum cvm_status cvm_bare_rabbitmq_receive(const struct cvm_bare *bare, struct cvm_taken *out_taken,
                                          struct cvm_error *err)
{
    amqp_connection_state_t connection = amqp_new_connection();
    enum cvm_status status = open_bare(bare, connection, err);
    struct cvm_taken start = cvm_taken_now();
    if (status == CVM_OK &&
        (amqp_basic_qos(connection, 1, 0, CVM_BENCH_PREFETCH, 0) == NULL ||
         amqp_basic_consume(connection, 1, amqp_cstring_bytes(bare->queue), amqp_empty_bytes, 0, 0,
                            0, amqp_empty_table) == NULL)) {
        status = fail("consuming", err);
    }
    if (status == CVM_OK) {
        status = receive_all(connection, bare) ? CVM_OK : fail("receiving", err);
        *out_taken = cvm_taken_since(start);
    }
    (void)amqp_connection_close(connection, AMQP_REPLY_SUCCESS); /* with the last acknowledgement */
    (void)amqp_destroy_connection(connection);
    return status;
}
