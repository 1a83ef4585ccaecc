/* broker_rabbitmq_connect.c - connections to RabbitMQ: made, guarded, lost, made again; and the
 * questions that go over them. */
#include "messaging/broker_rabbitmq.h"

#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT             5672
#define PORT_TLS         5671
#define FRAME_BYTES      131072
#define HEARTBEAT_S      30
#define RETRY_FIRST_MS   100
#define RETRY_MOST_MS    30000
#define GUARD_TICK_MS    250
#define CERTIFICATES     "/etc/ssl/certs/ca-certificates.crt"
#define CODE_REFUSED     403
#define CODE_NOT_FOUND   404
#define CODE_LOCKED      405
#define CODE_NO_MATCH    406
#define CODE_NOT_ALLOWED 530

static const char url_hint[] =
    "amqp[s]://user:password@host:port/vhost?heartbeat=S&ca=FILE&cert=FILE&key=FILE&password_file="
    "FILE; write ':' '/' '?' '@' of a password as %3A %2F %3F %40.";

int64_t rabbitmq_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct rabbitmq_broker *broker_of(const struct rabbitmq_link *link)
{
    return (struct rabbitmq_broker *)link->base.broker;
}

/* ---- life ---- */

enum cvm_status rabbitmq_open(const char *url, const struct cvm_broker_options *options,
                              struct cvm_broker **out_broker, struct cvm_error *err)
{
    static const char *const names[] = {"heartbeat", "ca", "cert", "key", NULL};
    bool is_secure = strncmp(url, "amqps:", 6) == 0;
    const struct cvm_broker_url_rules rules = {is_secure ? PORT_TLS : PORT, names, url_hint};
    struct rabbitmq_broker *broker = calloc(1, sizeof(*broker));
    (void)options;
    if (broker == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a broker");
    }
    enum cvm_status status = cvm_broker_url_parse(url, &rules, &broker->url, err);
    broker->is_secure = is_secure;
    broker->heartbeat_s = HEARTBEAT_S;
    if (status == CVM_OK) {
        status =
            cvm_broker_url_number(&broker->url, "heartbeat", 1, 600, &broker->heartbeat_s, err);
    }
    if (status == CVM_OK && !is_secure && cvm_broker_url_option(&broker->url, "ca") != NULL) {
        status = CVM_FAIL(err, CVM_E_INVALID, "broker URL: certificates are for 'amqps:'");
    }
    if (status != CVM_OK) {
        cvm_broker_url_finish(&broker->url);
        free(broker);
        return status;
    }
    if (broker->url.user == NULL) {
        broker->url.user = "guest"; /* as every client of RabbitMQ has it */
        broker->url.password = "guest";
    }
    /* On Linux these only fill their structs. */
    (void)pthread_mutex_init(&broker->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&broker->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    *out_broker = &broker->base;
    return CVM_OK;
}

void rabbitmq_close(struct cvm_broker *base)
{
    struct rabbitmq_broker *broker = (struct rabbitmq_broker *)base;
    (void)pthread_mutex_lock(&broker->lock);
    broker->is_closing = true;
    (void)pthread_cond_signal(&broker->changed);
    (void)pthread_mutex_unlock(&broker->lock);
    if (broker->has_guard) {
        (void)pthread_join(broker->guard, NULL);
    }
    (void)pthread_cond_destroy(&broker->changed);
    (void)pthread_mutex_destroy(&broker->lock);
    cvm_broker_url_finish(&broker->url);
    free(broker);
}

/* ---- the guard ---- */

/* amqp_basic_publish() of librabbitmq 0.11 waits for ever on a server that stands still: once the
 * time for a heartbeat has passed, it asks for what has come with a time of 0, which there means
 * without an end; and a full socket it waits for without an end as well. Frames are asked for
 * before each publish, which sees a silent server; what slips through ends here: a call that takes
 * two heartbeats loses its socket, and so comes back. */
static void cut_late_calls(struct rabbitmq_broker *broker)
{
    int64_t now_ns = rabbitmq_now_ns();
    for (struct rabbitmq_link *link = broker->links; link != NULL; link = link->next) {
        int64_t until_ns = atomic_load(&link->call_until_ns);
        if (until_ns != 0 && until_ns <= now_ns && link->fd >= 0) {
            (void)shutdown(link->fd, SHUT_RDWR);
        }
    }
}

/* librabbitmq sends heartbeats in its calls only. A link whose thread works for long, or waits for
 * a lock of the database, would be given up by the server, and what it holds would be done twice.
 * Nothing is read for it: what has come waits in the socket. A socket that takes nothing is left
 * alone, since the guard must not wait. */
static void send_heartbeat(const struct rabbitmq_broker *broker, struct rabbitmq_link *link,
                           int64_t now_ns)
{
    struct pollfd socket = {.fd = link->fd, .events = POLLOUT};
    const amqp_frame_t heartbeat = {.frame_type = AMQP_FRAME_HEARTBEAT};
    if (pthread_mutex_trylock(&link->in_call) != 0) {
        return; /* its thread is in a call, which sends them */
    }
    bool is_due = link->connection != NULL && link->beat_code == AMQP_STATUS_OK &&
                  now_ns - link->beat_ns >= (int64_t)broker->heartbeat_s * 1000000000 / 2;
    if (is_due && link->fd >= 0 && poll(&socket, 1, 0) == 1 && (socket.revents & POLLOUT) != 0) {
        link->beat_code = amqp_send_frame(link->connection, &heartbeat);
        link->beat_ns = now_ns;
    }
    (void)pthread_mutex_unlock(&link->in_call);
}

static void *guard_links(void *state)
{
    struct rabbitmq_broker *broker = state;
    (void)pthread_mutex_lock(&broker->lock);
    while (!broker->is_closing) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += GUARD_TICK_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&broker->changed, &broker->lock, &until);
        cut_late_calls(broker);
        int64_t now_ns = rabbitmq_now_ns();
        for (struct rabbitmq_link *link = broker->links; link != NULL; link = link->next) {
            send_heartbeat(broker, link, now_ns);
        }
    }
    (void)pthread_mutex_unlock(&broker->lock);
    return NULL;
}

enum cvm_status rabbitmq_guard_add(struct rabbitmq_link *link, struct cvm_error *err)
{
    struct rabbitmq_broker *broker = broker_of(link);
    (void)pthread_mutex_lock(&broker->lock);
    if (!broker->has_guard) {
        broker->has_guard = pthread_create(&broker->guard, NULL, guard_links, broker) == 0;
    }
    bool is_guarded = broker->has_guard;
    if (is_guarded) {
        link->next = broker->links;
        broker->links = link;
    }
    (void)pthread_mutex_unlock(&broker->lock);
    return is_guarded ? CVM_OK
                      : CVM_FAIL(err, CVM_E_LIMIT, "no thread to guard the broker's calls");
}

void rabbitmq_guard_remove(struct rabbitmq_link *link)
{
    struct rabbitmq_broker *broker = broker_of(link);
    (void)pthread_mutex_lock(&broker->lock);
    struct rabbitmq_link **at = &broker->links;
    while (*at != link) {
        at = &(*at)->next;
    }
    *at = link->next;
    (void)pthread_mutex_unlock(&broker->lock);
}

static void set_fd(struct rabbitmq_link *link, int fd)
{
    struct rabbitmq_broker *broker = broker_of(link);
    (void)pthread_mutex_lock(&broker->lock);
    link->fd = fd;
    (void)pthread_mutex_unlock(&broker->lock);
}

void rabbitmq_call_begin(struct rabbitmq_link *link)
{
    int64_t limit_ns = 2 * (int64_t)broker_of(link)->heartbeat_s * 1000000000;
    atomic_store_explicit(&link->call_until_ns, rabbitmq_now_ns() + limit_ns, memory_order_relaxed);
}

void rabbitmq_call_end(struct rabbitmq_link *link)
{
    atomic_store_explicit(&link->call_until_ns, 0, memory_order_relaxed);
}

/* ---- losing it ---- */

/* Full jitter: anywhere between now and a bound that doubles. */
static void schedule_retry(struct rabbitmq_link *link)
{
    unsigned doublings = link->failures < 10 ? link->failures : 10;
    uint64_t bound_ms = (uint64_t)RETRY_FIRST_MS << doublings;
    bound_ms = bound_ms > RETRY_MOST_MS ? RETRY_MOST_MS : bound_ms;
    link->failures++;
    link->next_try_ns =
        rabbitmq_now_ns() + (int64_t)cvm_random_below(&link->random, bound_ms + 1) * 1000000;
}

void rabbitmq_drop(struct rabbitmq_link *link, const struct cvm_error *why)
{
    struct cvm_broker *broker = link->base.broker;
    if (link->connection != NULL) {
        /* First, so that an end of TLS waits for nobody. */
        if (link->fd >= 0) {
            (void)shutdown(link->fd, SHUT_RDWR);
        }
        set_fd(link, -1);
        (void)amqp_destroy_connection(link->connection);
        link->connection = NULL;
    }
    rabbitmq_call_end(link);
    link->beat_code = AMQP_STATUS_OK;
    link->generation++;
    link->is_blocked = false;
    rabbitmq_forget(link);
    if (why != NULL) {
        link->lost = *why;
        schedule_retry(link);
        cvm_broker_count(broker, CVM_BROKER_COUNT_losses, 1);
        cvm_broker_log(broker, "broker_lost", why);
    }
}

/* ---- questions ---- */

static enum cvm_status status_of_code(int code)
{
    switch (code) {
    case CODE_REFUSED:
    case CODE_NOT_ALLOWED:
        return CVM_E_DENIED;
    case CODE_NOT_FOUND:
        return CVM_E_NOT_FOUND;
    case CODE_LOCKED:
    case CODE_NO_MATCH:
        return CVM_E_CONFLICT;
    default:
        return CVM_E_UNAVAILABLE;
    }
}

static enum cvm_status fail_closed(amqp_rpc_reply_t reply, const char *what, struct cvm_error *err)
{
    int code = 0;
    amqp_bytes_t text = {0, NULL};
    if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *close = reply.reply.decoded;
        code = close->reply_code;
        text = close->reply_text;
    } else if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *close = reply.reply.decoded;
        code = close->reply_code;
        text = close->reply_text;
    }
    return CVM_FAIL(err, status_of_code(code), "rabbitmq: %s: %.*s (%d)", what, (int)text.len,
                    (const char *)text.bytes, code);
}

static enum cvm_status fail_library(int code, const char *what, struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_UNAVAILABLE, "rabbitmq: %s: %s", what, amqp_error_string2(code));
}

static bool open_channel(struct rabbitmq_link *link, amqp_channel_t channel)
{
    (void)amqp_channel_open(link->connection, channel);
    return amqp_get_rpc_reply(link->connection).reply_type == AMQP_RESPONSE_NORMAL;
}

enum cvm_status rabbitmq_judge(struct rabbitmq_link *link, amqp_rpc_reply_t reply, const char *what,
                               struct cvm_error *err)
{
    struct cvm_error found = {.message = ""};
    if (reply.reply_type == AMQP_RESPONSE_NORMAL) {
        return CVM_OK;
    }
    bool is_refusal = reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION;
    enum cvm_status status = is_refusal ? fail_closed(reply, what, &found)
                                        : fail_library(reply.library_error, what, &found);
    if (err != NULL) {
        *err = found;
    }
    if (is_refusal && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        amqp_channel_close_ok_t ok = {.dummy = '\0'};
        if (amqp_send_method(link->connection, CHANNEL_QUESTIONS, AMQP_CHANNEL_CLOSE_OK_METHOD,
                             &ok) == AMQP_STATUS_OK &&
            open_channel(link, CHANNEL_QUESTIONS)) {
            return status;
        }
    }
    rabbitmq_drop(link, &found);
    return status;
}

static amqp_table_entry_t text_entry(const char *key, const char *value)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(key),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)}};
}

static amqp_table_entry_t number_entry(const char *key, uint32_t value)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(key),
        .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = (int64_t)value}};
}

static enum cvm_status declare_one(struct rabbitmq_link *link, const char *name, bool is_reply,
                                   amqp_table_t arguments, struct cvm_error *err)
{
    (void)amqp_queue_declare(link->connection, CHANNEL_QUESTIONS, amqp_cstring_bytes(name), 0,
                             !is_reply, is_reply, is_reply, arguments);
    return rabbitmq_judge(link, amqp_get_rpc_reply(link->connection), "declare a queue", err);
}

/* The dead are kept while there is room, then the oldest go. */
static enum cvm_status declare_dead(struct rabbitmq_link *link, const char *name,
                                    struct cvm_error *err)
{
    amqp_table_entry_t entries[] = {
        text_entry("x-queue-type", "quorum"),
        number_entry("x-max-length", link->base.broker->options.queue_max),
    };
    return declare_one(link, name, false, (amqp_table_t){2, entries}, err);
}

/* A quorum queue of RabbitMQ 3.10 has no limit of deliveries of itself: what kills its consumers
 * would come for ever. At-least-once dead letters need reject-publish. */
static enum cvm_status declare_work(struct rabbitmq_link *link, const char *queue, const char *dead,
                                    struct cvm_error *err)
{
    const struct cvm_broker_options *options = &link->base.broker->options;
    amqp_table_entry_t entries[] = {
        text_entry("x-queue-type", "quorum"),
        number_entry("x-delivery-limit", options->delivery_limit - 1), /* how often it comes back */
        number_entry("x-max-length", options->queue_max),
        text_entry("x-overflow", "reject-publish"),
        text_entry("x-dead-letter-exchange", ""),
        text_entry("x-dead-letter-routing-key", dead),
        text_entry("x-dead-letter-strategy", "at-least-once"),
    };
    enum cvm_status status = CVM_OK;
    for (int p = 0; status == CVM_OK && p < CVM_PRIORITY_COUNT; p++) {
        char name[CVM_BROKER_FULL_NAME_SIZE];
        cvm_broker_full_name(link->base.broker, queue, (enum cvm_priority)p, name);
        status = declare_one(link, name, false,
                             (amqp_table_t){sizeof(entries) / sizeof(entries[0]), entries}, err);
    }
    return status;
}

enum cvm_status rabbitmq_declare(struct rabbitmq_link *link, const char *queue,
                                 struct cvm_error *err)
{
    char name[CVM_BROKER_FULL_NAME_SIZE];
    char dead[CVM_BROKER_FULL_NAME_SIZE];
    cvm_broker_full_name(link->base.broker, queue, CVM_PRIORITY_NORMAL, name);
    cvm_broker_full_name(link->base.broker, CVM_BROKER_DEAD, CVM_PRIORITY_NORMAL, dead);
    if (cvm_broker_is_reply(queue)) {
        return declare_one(link, name, true, amqp_empty_table, err);
    }
    enum cvm_status status = declare_dead(link, dead, err);
    return status == CVM_OK && strcmp(name, dead) != 0 ? declare_work(link, queue, dead, err)
                                                       : status;
}

static bool has_high(const char *queue)
{
    return !cvm_broker_is_reply(queue) && strcmp(queue, CVM_BROKER_DEAD) != 0;
}

/* The tag of a consumer says what it is: "n.p", subscription and priority. */
enum cvm_status rabbitmq_consume(struct rabbitmq_link *link, size_t subscription,
                                 struct cvm_error *err)
{
    const char *queue = link->subscriptions[subscription];
    int priorities = has_high(queue) ? CVM_PRIORITY_COUNT : 1;
    enum cvm_status status = CVM_OK;
    for (int p = priorities - 1; status == CVM_OK && p >= 0; p--) {
        char name[CVM_BROKER_FULL_NAME_SIZE];
        char tag[32];
        cvm_broker_full_name(link->base.broker, queue, (enum cvm_priority)p, name);
        (void)snprintf(tag, sizeof(tag), "%zu.%d", subscription, p);
        (void)amqp_basic_consume(link->connection, CHANNEL_MESSAGES, amqp_cstring_bytes(name),
                                 amqp_cstring_bytes(tag), 0, 0, 0, amqp_empty_table);
        amqp_rpc_reply_t reply = amqp_get_rpc_reply(link->connection);
        if (reply.reply_type != AMQP_RESPONSE_NORMAL) { /* channel 1 is gone then */
            struct cvm_error found = {.message = ""};
            status = reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION
                         ? fail_closed(reply, "consume", &found)
                         : fail_library(reply.library_error, "consume", &found);
            rabbitmq_drop(link, &found);
            if (err != NULL) {
                *err = found;
            }
        }
    }
    return status;
}

enum cvm_status rabbitmq_depth(struct rabbitmq_link *link, const char *queue,
                               struct cvm_broker_depth *out_depth, struct cvm_error *err)
{
    struct cvm_broker_depth depth = {.ready = 0, .in_flight = -1, .oldest_ms = -1};
    int priorities = has_high(queue) ? CVM_PRIORITY_COUNT : 1;
    enum cvm_status status = rabbitmq_connect(link, err);
    for (int p = 0; status == CVM_OK && p < priorities; p++) {
        char name[CVM_BROKER_FULL_NAME_SIZE];
        cvm_broker_full_name(link->base.broker, queue, (enum cvm_priority)p, name);
        const amqp_queue_declare_ok_t *ok =
            amqp_queue_declare(link->connection, CHANNEL_QUESTIONS, amqp_cstring_bytes(name), 1, 0,
                               0, 0, amqp_empty_table);
        status = rabbitmq_judge(link, amqp_get_rpc_reply(link->connection), "look at a queue", err);
        depth.ready += status == CVM_OK ? (int64_t)ok->message_count : 0;
    }
    if (status == CVM_OK) {
        *out_depth = depth;
    }
    return status;
}

/* ---- connecting ---- */

static enum cvm_status make_secure_socket(const struct rabbitmq_broker *broker,
                                          amqp_connection_state_t connection,
                                          amqp_socket_t **out_socket, struct cvm_error *err)
{
    const char *ca = cvm_broker_url_option(&broker->url, "ca");
    const char *cert = cvm_broker_url_option(&broker->url, "cert");
    const char *key = cvm_broker_url_option(&broker->url, "key");
    amqp_socket_t *socket = amqp_ssl_socket_new(connection);
    if (socket == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "rabbitmq: no memory for TLS");
    }
    amqp_ssl_socket_set_verify_peer(socket, 1);
    amqp_ssl_socket_set_verify_hostname(socket, 1);
    if (amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST) != AMQP_STATUS_OK ||
        amqp_ssl_socket_set_cacert(socket, ca == NULL ? CERTIFICATES : ca) != AMQP_STATUS_OK) {
        return CVM_FAIL(err, CVM_E_INVALID, "rabbitmq: no certificates in '%s'",
                        ca == NULL ? CERTIFICATES : ca);
    }
    if (cert != NULL &&
        amqp_ssl_socket_set_key(socket, cert, key == NULL ? cert : key) != AMQP_STATUS_OK) {
        return CVM_FAIL(err, CVM_E_INVALID, "rabbitmq: no certificate and key in '%s'", cert);
    }
    *out_socket = socket;
    return CVM_OK;
}

static enum cvm_status open_socket(struct rabbitmq_link *link, struct cvm_error *err)
{
    const struct rabbitmq_broker *broker = broker_of(link);
    const struct cvm_broker_host *host =
        &broker->url.hosts[link->next_host % broker->url.host_count];
    amqp_socket_t *socket = NULL;
    enum cvm_status status = CVM_OK;
    if (broker->is_secure) {
        status = make_secure_socket(broker, link->connection, &socket, err);
    } else {
        socket = amqp_tcp_socket_new(link->connection);
        status = socket != NULL ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "rabbitmq: no memory");
    }
    if (status == CVM_OK) {
        struct timeval timeout = rabbitmq_timeval(broker->base.options.timeout_ms);
        int code = amqp_socket_open_noblock(socket, host->name, host->port, &timeout);
        if (code != AMQP_STATUS_OK) {
            status = CVM_FAIL(err, CVM_E_UNAVAILABLE, "rabbitmq at %s:%d: %s", host->name,
                              host->port, amqp_error_string2(code));
            link->next_host++;
        }
    }
    if (status == CVM_OK) {
        set_fd(link, amqp_get_sockfd(link->connection));
    }
    return status;
}

static enum cvm_status log_in(struct rabbitmq_link *link, struct cvm_error *err)
{
    const struct rabbitmq_broker *broker = broker_of(link);
    const char *vhost = broker->url.path;
    vhost = vhost == NULL || vhost[0] == '\0' ? "/" : vhost;
    amqp_table_entry_t abilities[] = {
        {.key = amqp_cstring_bytes("connection.blocked"),
         .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}},
        {.key = amqp_cstring_bytes("consumer_cancel_notify"),
         .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}},
        {.key = amqp_cstring_bytes("basic.nack"),
         .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}},
        {.key = amqp_cstring_bytes("publisher_confirms"),
         .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}},
    };
    amqp_table_entry_t entries[] = {
        text_entry("product", "cvm"),
        {.key = amqp_cstring_bytes("capabilities"),
         .value = {.kind = AMQP_FIELD_KIND_TABLE,
                   .value.table = {sizeof(abilities) / sizeof(abilities[0]), abilities}}},
    };
    amqp_table_t properties = {2, entries};
    struct timeval timeout = rabbitmq_timeval(broker->base.options.timeout_ms);
    (void)amqp_set_handshake_timeout(link->connection, &timeout);
    (void)amqp_set_rpc_timeout(link->connection, &timeout);
    amqp_rpc_reply_t reply = amqp_login_with_properties(
        link->connection, vhost, 0, FRAME_BYTES, broker->heartbeat_s, &properties,
        AMQP_SASL_METHOD_PLAIN, broker->url.user, broker->url.password);
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION) {
        return fail_closed(reply, "log in", err);
    }
    return reply.reply_type == AMQP_RESPONSE_NORMAL
               ? CVM_OK
               : fail_library(reply.library_error, "log in", err);
}

static enum cvm_status open_channels(struct rabbitmq_link *link, struct cvm_error *err)
{
    uint32_t prefetch = link->base.prefetch;
    bool is_good =
        open_channel(link, CHANNEL_MESSAGES) && open_channel(link, CHANNEL_QUESTIONS) &&
        amqp_confirm_select(link->connection, CHANNEL_MESSAGES) != NULL &&
        amqp_basic_qos(link->connection, CHANNEL_MESSAGES, 0,
                       prefetch > UINT16_MAX ? UINT16_MAX : (uint16_t)prefetch, 0) != NULL;
    return is_good ? CVM_OK : CVM_FAIL(err, CVM_E_UNAVAILABLE, "rabbitmq: no channel was opened");
}

static enum cvm_status connect_anew(struct rabbitmq_link *link, struct cvm_error *err)
{
    struct cvm_error found = {.message = ""};
    enum cvm_status status = CVM_OK;
    link->connection = amqp_new_connection();
    if (link->connection == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "rabbitmq: no memory for a connection");
    }
    rabbitmq_call_begin(link);
    status = open_socket(link, &found);
    if (status == CVM_OK) {
        status = log_in(link, &found);
    }
    if (status == CVM_OK) {
        status = open_channels(link, &found);
    }
    rabbitmq_call_end(link);
    if (status != CVM_OK) {
        rabbitmq_drop(link, &found);
        if (err != NULL) {
            *err = found;
        }
        return status;
    }
    link->heard_ns = rabbitmq_now_ns();
    cvm_broker_count(link->base.broker, CVM_BROKER_COUNT_connects, 1);
    for (size_t i = 0; status == CVM_OK && i < link->subscription_count; i++) {
        status = rabbitmq_declare(link, link->subscriptions[i], err);
        if (status == CVM_OK) {
            status = rabbitmq_consume(link, i, err);
        }
    }
    if (status == CVM_OK) {
        link->failures = 0;
    } else if (link->connection != NULL) { /* half of its queues are no use to anybody */
        found = (struct cvm_error){.status = status};
        (void)snprintf(found.message, sizeof(found.message), "rabbitmq: not all queues came back");
        rabbitmq_drop(link, err != NULL ? err : &found);
    }
    return status;
}

enum cvm_status rabbitmq_connect(struct rabbitmq_link *link, struct cvm_error *err)
{
    if (link->connection != NULL) {
        return CVM_OK;
    }
    if (rabbitmq_now_ns() < link->next_try_ns) {
        if (err != NULL) {
            *err = link->lost;
        }
        return link->lost.status;
    }
    return connect_anew(link, err);
}
