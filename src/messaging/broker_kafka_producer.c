/* broker_kafka_producer.c - sending to Kafka: the producer of the process, tickets, reports. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "messaging/broker_kafka.h"

#define PORT              9092
#define PARTITIONS        12
#define TAKE_MS           100
#define FLUSH_MS          5000
#define TEXT_SIZE         512
#define FULL_WAIT_MS      50
#define MESSAGE_BYTES_MAX "1048576"

static const char url_hint[] =
    "kafka[s]://user:password@host:port,host:port?partitions=N&replication=N&sasl=SCRAM-SHA-512&"
    "ca=FILE&cert=FILE&key=FILE&password_file=FILE&compression=lz4&linger=MS";

int64_t kafka_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- settings ---- */

enum cvm_status kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value,
                               struct cvm_error *err)
{
    char text[TEXT_SIZE];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK) {
        return CVM_OK;
    }
    /* The library's words may hold the value, and the value be a password. */
    return CVM_FAIL(err, CVM_E_INVALID, "kafka: '%s' was refused by the client library", name);
}

/* What matters comes as an error as well. */
static void ignore_log(const rd_kafka_t *kafka, int level, const char *facility, const char *text)
{
    (void)kafka;
    (void)level;
    (void)facility;
    (void)text;
}

static enum cvm_status set_security(const struct kafka_broker *broker, rd_kafka_conf_t *conf,
                                    struct cvm_error *err)
{
    static const char *const files[][2] = {{"ca", "ssl.ca.location"},
                                           {"cert", "ssl.certificate.location"},
                                           {"key", "ssl.key.location"}};
    const struct cvm_broker_url *url = &broker->url;
    const char *sasl = cvm_broker_url_option(url, "sasl");
    const char *protocol = broker->is_secure ? (url->user != NULL ? "sasl_ssl" : "ssl")
                                             : (url->user != NULL ? "sasl_plaintext" : "plaintext");
    enum cvm_status status = kafka_conf_set(conf, "security.protocol", protocol, err);
    if (status == CVM_OK && url->user != NULL) {
        status = kafka_conf_set(conf, "sasl.mechanism", sasl == NULL ? "PLAIN" : sasl, err);
    }
    if (status == CVM_OK && url->user != NULL) {
        status = kafka_conf_set(conf, "sasl.username", url->user, err);
    }
    if (status == CVM_OK && url->user != NULL) {
        status = kafka_conf_set(conf, "sasl.password", url->password, err);
    }
    if (status == CVM_OK && broker->is_secure) {
        status = kafka_conf_set(conf, "ssl.endpoint.identification.algorithm", "https", err);
    }
    for (size_t i = 0; status == CVM_OK && i < sizeof(files) / sizeof(files[0]); i++) {
        const char *path = cvm_broker_url_option(url, files[i][0]);
        if (path != NULL) {
            status = kafka_conf_set(conf, files[i][1], path, err);
        }
    }
    return status;
}

rd_kafka_conf_t *kafka_conf(struct kafka_broker *broker, struct cvm_error *err)
{
    static const char *const settings[][2] = {
        {"client.id", "cvm"},
        {"socket.nagle.disable", "true"},
        {"socket.keepalive.enable", "true"},
        /* A queue that is not there is told, not made in passing. */
        {"allow.auto.create.topics", "false"},
        {"message.max.bytes", MESSAGE_BYTES_MAX},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    enum cvm_status status = kafka_conf_set(conf, "bootstrap.servers", broker->hosts, err);
    for (size_t i = 0; status == CVM_OK && i < sizeof(settings) / sizeof(settings[0]); i++) {
        status = kafka_conf_set(conf, settings[i][0], settings[i][1], err);
    }
    if (status == CVM_OK) {
        status = set_security(broker, conf, err);
    }
    if (status != CVM_OK) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_conf_set_log_cb(conf, ignore_log);
    return conf;
}

/* Duplicates and gaps from the library's own retries are kept out by idempotence; everything is
 * bounded, so that what a broker does not take stays with the sender. */
static enum cvm_status set_producer(const struct kafka_broker *broker, rd_kafka_conf_t *conf,
                                    struct cvm_error *err)
{
    static const char *const settings[][2] = {
        {"enable.idempotence", "true"},
        {"message.timeout.ms", "30000"},
        {"queue.buffering.max.messages", "50000"},
        {"queue.buffering.max.kbytes", "65536"},
    };
    const char *linger = cvm_broker_url_option(&broker->url, "linger");
    const char *compression = cvm_broker_url_option(&broker->url, "compression");
    enum cvm_status status = kafka_conf_set(conf, "linger.ms", linger == NULL ? "5" : linger, err);
    for (size_t i = 0; status == CVM_OK && i < sizeof(settings) / sizeof(settings[0]); i++) {
        status = kafka_conf_set(conf, settings[i][0], settings[i][1], err);
    }
    if (status == CVM_OK && compression != NULL) {
        status = kafka_conf_set(conf, "compression.codec", compression, err);
    }
    return status;
}

/* ---- life ---- */

static enum cvm_status check_sasl(const struct cvm_broker_url *url, struct cvm_error *err)
{
    static const char *const known[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};
    const char *sasl = cvm_broker_url_option(url, "sasl");
    for (size_t i = 0; sasl != NULL && i < sizeof(known) / sizeof(known[0]); i++) {
        sasl = strcmp(sasl, known[i]) == 0 ? NULL : sasl;
    }
    return sasl == NULL ? CVM_OK
                        : CVM_FAIL(err, CVM_E_INVALID,
                                   "broker URL: sasl is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512");
}

static enum cvm_status read_url(struct kafka_broker *broker, const char *text,
                                struct cvm_error *err)
{
    static const char *const names[] = {"partitions", "replication", "sasl",   "ca", "cert",
                                        "key",        "compression", "linger", NULL};
    const struct cvm_broker_url_rules rules = {PORT, names, url_hint};
    int linger_ms = 5;
    size_t used = 0;
    enum cvm_status status = cvm_broker_url_parse(text, &rules, &broker->url, err);
    if (status == CVM_OK && broker->url.path != NULL && broker->url.path[0] != '\0') {
        status = CVM_FAIL(err, CVM_E_INVALID, "the broker URL 'kafka:' has no path");
    }
    if (status == CVM_OK) {
        status =
            cvm_broker_url_number(&broker->url, "partitions", 1, 10000, &broker->partitions, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_broker_url_number(&broker->url, "replication", 0, 100, &broker->replication, err);
    }
    if (status == CVM_OK) {
        status = cvm_broker_url_number(&broker->url, "linger", 0, 10000, &linger_ms, err);
    }
    if (status == CVM_OK) {
        status = check_sasl(&broker->url, err);
    }
    for (size_t i = 0; status == CVM_OK && i < broker->url.host_count; i++) {
        const struct cvm_broker_host *host = &broker->url.hosts[i];
        bool is_v6 = strchr(host->name, ':') != NULL;
        int length =
            snprintf(broker->hosts + used, sizeof(broker->hosts) - used, "%s%s%s%s:%d",
                     i == 0 ? "" : ",", is_v6 ? "[" : "", host->name, is_v6 ? "]" : "", host->port);
        used += (size_t)length;
        if (used >= sizeof(broker->hosts)) {
            status = CVM_FAIL(err, CVM_E_LIMIT, "the URL of the broker names too many hosts");
        }
    }
    return status;
}

enum cvm_status kafka_open(const char *url, const struct cvm_broker_options *options,
                           struct cvm_broker **out_broker, struct cvm_error *err)
{
    struct kafka_broker *broker = calloc(1, sizeof(*broker));
    (void)options;
    if (broker == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a broker");
    }
    broker->is_secure = strncmp(url, "kafkas:", 7) == 0;
    broker->partitions = PARTITIONS;
    enum cvm_status status = read_url(broker, url, err);
    rd_kafka_conf_t *conf = status == CVM_OK ? kafka_conf(broker, err) : NULL;
    if (conf == NULL || (status = set_producer(broker, conf, err)) != CVM_OK) {
        if (conf != NULL) {
            rd_kafka_conf_destroy(conf);
        }
        status = status == CVM_OK ? CVM_E_INVALID : status;
        cvm_broker_url_finish(&broker->url);
        free(broker);
        return status;
    }
    rd_kafka_conf_destroy(conf); /* it was to show what is wrong with the URL while it is read */
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&broker->has_reports, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&broker->lock, NULL);
    (void)pthread_rwlock_init(&broker->producer_lock, NULL);
    *out_broker = &broker->base;
    return CVM_OK;
}

/* ---- trouble ---- */

void kafka_note_trouble(struct kafka_broker *broker, rd_kafka_resp_err_t code, const char *reason)
{
    struct cvm_error found = {.message = ""};
    bool is_denied = code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
                     code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED ||
                     code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
                     code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
                     code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    (void)CVM_FAIL(&found, is_denied ? CVM_E_DENIED : CVM_E_UNAVAILABLE, "kafka: %s", reason);
    (void)pthread_mutex_lock(&broker->lock);
    broker->trouble = found;
    (void)pthread_mutex_unlock(&broker->lock);
    cvm_broker_count(&broker->base, CVM_BROKER_COUNT_losses, 1);
    cvm_broker_log(&broker->base, "broker_lost", &found);
}

enum cvm_status kafka_fail_away(struct kafka_broker *broker, const char *what,
                                struct cvm_error *err)
{
    (void)pthread_mutex_lock(&broker->lock);
    struct cvm_error trouble = broker->trouble;
    (void)pthread_mutex_unlock(&broker->lock);
    if (trouble.status != CVM_OK) {
        if (err != NULL) {
            *err = trouble;
        }
        return trouble.status;
    }
    return CVM_FAIL(err, CVM_E_UNAVAILABLE, "kafka: %s: nothing answers", what);
}

/* ---- reports ---- */

/* Under the lock, as is the next one. */
static void free_if_over(struct kafka_batch *batch)
{
    if (batch->unreported > 0 || batch->unseen > 0) {
        return;
    }
    if (batch->link != NULL) {
        struct kafka_batch **at =
            batch->previous != NULL ? &batch->previous->next : &batch->link->batches;
        *at = batch->next;
        if (batch->next != NULL) {
            batch->next->previous = batch->previous;
        }
    }
    free(batch);
}

/* True when a link has waited for just this one. */
static bool end_ticket(struct kafka_ticket *ticket, rd_kafka_resp_err_t outcome)
{
    struct kafka_batch *batch = ticket->batch;
    struct kafka_link *link = batch->link;
    batch->unreported--;
    ticket->outcome = outcome;
    ticket->is_reported = true;
    if (link != NULL) {
        ticket->next_ended = link->ended;
        link->ended = ticket;
        link->ended_count++;
        return link->ended_count == link->wanted;
    }
    free_if_over(batch);
    return false;
}

static void take_reports(struct kafka_broker *broker, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *messages[256];
    size_t count = 0;
    bool is_waited_for = false;
    (void)pthread_mutex_lock(&broker->lock);
    while ((count = rd_kafka_event_message_array(event, messages, 256)) > 0) {
        for (size_t i = 0; i < count; i++) {
            is_waited_for |= end_ticket(messages[i]->_private, messages[i]->err);
            if (messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
                broker->trouble.status = CVM_OK;
            }
        }
    }
    if (is_waited_for) {
        (void)pthread_cond_broadcast(&broker->has_reports);
    }
    (void)pthread_mutex_unlock(&broker->lock);
}

/* True when the producer is of no more use. */
static bool take_event(struct kafka_broker *broker, rd_kafka_event_t *event)
{
    bool is_fatal = false;
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR) {
        take_reports(broker, event);
    } else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR) {
        is_fatal = rd_kafka_event_error_is_fatal(event) != 0;
        kafka_note_trouble(broker, rd_kafka_event_error(event), rd_kafka_event_error_string(event));
    }
    rd_kafka_event_destroy(event);
    return is_fatal;
}

static rd_kafka_t *new_producer(struct kafka_broker *broker, struct cvm_error *err)
{
    char text[TEXT_SIZE];
    rd_kafka_conf_t *conf = kafka_conf(broker, err);
    if (conf == NULL || set_producer(broker, conf, err) != CVM_OK) {
        return NULL; /* not after kafka_open() has tried the same */
    }
    rd_kafka_conf_set_opaque(conf, broker);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (producer == NULL) {
        rd_kafka_conf_destroy(conf);
        (void)CVM_FAIL(err, CVM_E_LIMIT, "kafka: no producer: %s", text);
    }
    return producer;
}

/* What is on its way with a producer that ends is reported as not confirmed. */
static void end_producer(struct kafka_broker *broker, rd_kafka_t *producer,
                         rd_kafka_queue_t *reports)
{
    (void)rd_kafka_purge(producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    int64_t until_ns = kafka_now_ns() + (int64_t)FLUSH_MS * 1000000;
    while (rd_kafka_outq_len(producer) > 0 && kafka_now_ns() < until_ns) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(reports, TAKE_MS);
        if (event != NULL) {
            (void)take_event(broker, event);
        }
    }
    rd_kafka_queue_destroy(reports);
    rd_kafka_destroy(producer);
}

/* An idempotent producer that can not tell whether something was written is dead for good
 * (librdkafka before 2.3 dies of more than it needs to): another one takes its place, and the
 * senders send again what was not confirmed. */
static void replace_producer(struct kafka_broker *broker)
{
    struct cvm_error err = {.message = ""};
    rd_kafka_t *next = new_producer(broker, &err);
    if (next == NULL) {
        cvm_broker_log(&broker->base, "broker_lost", &err);
        return;
    }
    (void)pthread_rwlock_wrlock(&broker->producer_lock);
    rd_kafka_t *dead = broker->producer;
    rd_kafka_queue_t *reports = broker->reports;
    broker->producer = next;
    broker->reports = rd_kafka_queue_get_main(next);
    (void)pthread_rwlock_unlock(&broker->producer_lock);
    kafka_forget_topics(broker); /* the new one is to ask for them before it sends */
    cvm_broker_count(&broker->base, CVM_BROKER_COUNT_connects, 1);
    end_producer(broker, dead, reports);
}

static void *take_all_reports(void *state)
{
    struct kafka_broker *broker = state;
    while (!atomic_load(&broker->is_closing)) {
        /* Only this thread replaces it. */
        rd_kafka_event_t *event = rd_kafka_queue_poll(broker->reports, TAKE_MS);
        if (event != NULL && take_event(broker, event)) {
            replace_producer(broker);
        }
    }
    return NULL;
}

enum cvm_status kafka_make_producer(struct kafka_broker *broker, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    (void)pthread_rwlock_rdlock(&broker->producer_lock);
    bool is_there = broker->producer != NULL;
    (void)pthread_rwlock_unlock(&broker->producer_lock);
    if (is_there) {
        return CVM_OK;
    }
    (void)pthread_rwlock_wrlock(&broker->producer_lock);
    if (broker->producer == NULL) { /* still */
        rd_kafka_t *producer = new_producer(broker, err);
        status = producer == NULL ? CVM_E_LIMIT : CVM_OK;
        if (status == CVM_OK) {
            broker->producer = producer;
            broker->reports = rd_kafka_queue_get_main(producer);
            cvm_broker_count(&broker->base, CVM_BROKER_COUNT_connects, 1);
            broker->has_taker = pthread_create(&broker->taker, NULL, take_all_reports, broker) == 0;
            if (!broker->has_taker) {
                rd_kafka_queue_destroy(broker->reports);
                rd_kafka_destroy(producer);
                broker->producer = NULL;
                status = CVM_FAIL(err, CVM_E_LIMIT, "no thread for the broker");
            }
        }
    }
    (void)pthread_rwlock_unlock(&broker->producer_lock);
    return status;
}

void kafka_close(struct cvm_broker *base)
{
    struct kafka_broker *broker = (struct kafka_broker *)base;
    atomic_store(&broker->is_closing, true);
    if (broker->has_taker) {
        (void)pthread_join(broker->taker, NULL);
        end_producer(broker, broker->producer, broker->reports);
    }
    kafka_forget_topics(broker);
    (void)pthread_rwlock_destroy(&broker->producer_lock);
    (void)pthread_cond_destroy(&broker->has_reports);
    (void)pthread_mutex_destroy(&broker->lock);
    cvm_broker_url_finish(&broker->url);
    free(broker);
}

/* ---- sending ---- */

static bool is_no_topic(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
           code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

static enum cvm_sending_state state_of(rd_kafka_resp_err_t code)
{
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return CVM_SENDING_CONFIRMED;
    }
    return is_no_topic(code) ? CVM_SENDING_NO_QUEUE
           : code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || code == RD_KAFKA_RESP_ERR__QUEUE_FULL
               ? CVM_SENDING_REFUSED
               : CVM_SENDING_UNKNOWN;
}

/* What was reported since the last look. */
static void collect(struct kafka_link *link)
{
    struct kafka_broker *broker = kafka_broker_of(link);
    bool is_gone = false;
    (void)pthread_mutex_lock(&broker->lock);
    struct kafka_ticket *ended = link->ended;
    link->ended = NULL;
    link->ended_count = 0;
    (void)pthread_mutex_unlock(&broker->lock);
    for (const struct kafka_ticket *ticket = ended; ticket != NULL; ticket = ticket->next_ended) {
        is_gone = is_gone || is_no_topic(ticket->outcome);
        cvm_sending_end(&link->base, ticket->sending, state_of(ticket->outcome));
        link->pending--;
    }
    if (ended == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&broker->lock);
    while (ended != NULL) {
        struct kafka_batch *batch = ended->batch;
        ended = ended->next_ended;
        batch->unseen--;
        free_if_over(batch);
    }
    (void)pthread_mutex_unlock(&broker->lock);
    if (is_gone) {
        kafka_forget_topics(broker); /* one that was there and was removed */
    }
}

/* Wait for so many reports that were not collected, at most so long. */
static void wait_for_reports(struct kafka_link *link, size_t count, int64_t until_ns)
{
    struct kafka_broker *broker = kafka_broker_of(link);
    struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    int code = 0;
    (void)pthread_mutex_lock(&broker->lock);
    link->wanted = count;
    while (link->ended_count < count && code != ETIMEDOUT) {
        code = pthread_cond_timedwait(&broker->has_reports, &broker->lock, &until);
    }
    link->wanted = 0;
    (void)pthread_mutex_unlock(&broker->lock);
}

static size_t write_number(uint32_t number, char *to)
{
    char digits[10];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (size_t i = 0; i < count; i++) {
        to[i] = digits[count - 1 - i];
    }
    return count;
}

/* Messages of one key go to one partition, which keeps their order: the shard, else the workflow.
 */
static size_t key_of(const struct cvm_envelope *envelope, char key[CVM_ENVELOPE_TEXT_MAX + 1])
{
    if (envelope->shard != CVM_SHARD_NONE) {
        return write_number(envelope->shard, key);
    }
    if (envelope->workflow_id.length > 0) {
        memcpy(key, envelope->workflow_id.data, envelope->workflow_id.length);
    }
    return envelope->workflow_id.length;
}

/* All of its tickets are unreported until they turn out not to be needed. */
static struct kafka_batch *make_batch(struct kafka_link *link, struct cvm_sending *sendings,
                                      size_t count)
{
    struct kafka_broker *broker = kafka_broker_of(link);
    struct kafka_batch *batch = calloc(1, sizeof(*batch) + count * sizeof(batch->tickets[0]));
    if (batch == NULL) {
        return NULL;
    }
    batch->link = link;
    batch->unreported = count;
    batch->unseen = count;
    batch->count = count;
    for (size_t i = 0; i < count; i++) {
        batch->tickets[i].batch = batch;
        batch->tickets[i].sending = &sendings[i];
    }
    (void)pthread_mutex_lock(&broker->lock);
    batch->next = link->batches;
    if (link->batches != NULL) {
        link->batches->previous = batch;
    }
    link->batches = batch;
    (void)pthread_mutex_unlock(&broker->lock);
    return batch;
}

/* The last ones were not sent after all. */
static void cut_batch(struct kafka_batch *batch, size_t sent)
{
    struct kafka_broker *broker = kafka_broker_of(batch->link);
    size_t unsent = batch->count - sent;
    (void)pthread_mutex_lock(&broker->lock);
    batch->count = sent;
    batch->unreported -= unsent;
    batch->unseen -= unsent;
    free_if_over(batch);
    (void)pthread_mutex_unlock(&broker->lock);
}

/* The library copies the bytes behind its own: one allocation, and what the sender frees is not
 * what another thread has allocated. No headers: librdkafka before 2.12 may free them twice. */
static rd_kafka_resp_err_t produce(struct kafka_link *link, rd_kafka_topic_t *topic,
                                   const struct cvm_envelope *envelope, void *ticket)
{
    char key[CVM_ENVELOPE_TEXT_MAX + 1];
    size_t key_length = key_of(envelope, key);
    size_t length = cvm_envelope_bytes(envelope);
    if (cvm_buffer_reserve(&link->bytes, length, NULL) != CVM_OK) {
        return RD_KAFKA_RESP_ERR__QUEUE_FULL;
    }
    cvm_envelope_encode(envelope, link->bytes.data);
    return rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, link->bytes.data,
                            length, key_length == 0 ? NULL : key, key_length, ticket) == 0
               ? RD_KAFKA_RESP_ERR_NO_ERROR
               : rd_kafka_last_error();
}

/* As many as the library has room for, in their order; why there are not more is told by the code.
 */
static size_t produce_batch(struct kafka_link *link, const char *queue,
                            struct cvm_sending *sendings, struct kafka_batch *batch,
                            rd_kafka_resp_err_t *out_code)
{
    struct kafka_broker *broker = kafka_broker_of(link);
    rd_kafka_topic_t *topics[CVM_PRIORITY_COUNT] = {NULL};
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    size_t count = batch->count;
    size_t done = 0;
    link->pending += count;
    (void)pthread_rwlock_rdlock(&broker->producer_lock);
    while (code == RD_KAFKA_RESP_ERR_NO_ERROR && done < count) {
        enum cvm_priority priority = sendings[done].envelope->priority;
        if (topics[priority] == NULL) {
            char name[CVM_BROKER_FULL_NAME_SIZE];
            cvm_broker_full_name(&broker->base, queue, priority, name);
            topics[priority] = rd_kafka_topic_new(broker->producer, name, NULL);
        }
        sendings[done].state = CVM_SENDING_PENDING;
        code = topics[priority] == NULL ? RD_KAFKA_RESP_ERR__QUEUE_FULL
                                        : produce(link, topics[priority], sendings[done].envelope,
                                                  &batch->tickets[done]);
        done += code == RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    for (size_t p = 0; p < CVM_PRIORITY_COUNT; p++) {
        if (topics[p] != NULL) {
            rd_kafka_topic_destroy(topics[p]);
        }
    }
    (void)pthread_rwlock_unlock(&broker->producer_lock);
    if (done < count) {
        sendings[done].state = CVM_SENDING_NEW;
        link->pending -= count - done;
        cut_batch(batch, done);
    }
    *out_code = code;
    return done;
}

static enum cvm_status find_topics(struct kafka_broker *broker, const char *queue,
                                   const struct cvm_sending *sendings, size_t count,
                                   struct cvm_error *err)
{
    bool is_used[CVM_PRIORITY_COUNT] = {false};
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; i < count; i++) {
        is_used[sendings[i].envelope->priority] = true;
    }
    for (int p = 0; status == CVM_OK && p < CVM_PRIORITY_COUNT; p++) {
        char name[CVM_BROKER_FULL_NAME_SIZE];
        cvm_broker_full_name(&broker->base, queue, (enum cvm_priority)p, name);
        status = is_used[p] ? kafka_find_topic(broker, name, err) : CVM_OK;
    }
    return status;
}

enum cvm_status kafka_publish(struct cvm_broker_link *base, const char *queue,
                              struct cvm_sending *sendings, size_t count, struct cvm_error *err)
{
    struct kafka_link *link = (struct kafka_link *)base;
    struct kafka_broker *broker = kafka_broker_of(link);
    int64_t until_ns = kafka_now_ns() + (int64_t)base->broker->options.timeout_ms * 1000000;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    size_t done = 0;
    struct cvm_error found = {.message = ""};
    enum cvm_status status = kafka_make_producer(broker, &found);
    if (status == CVM_OK) {
        status = find_topics(broker, queue, sendings, count, &found);
    }
    if (status != CVM_OK && status != CVM_E_NOT_FOUND) {
        if (err != NULL) {
            *err = found;
        }
        return status;
    }
    code = status == CVM_OK ? code : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    while (done < count && (code == RD_KAFKA_RESP_ERR_NO_ERROR ||
                            (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && kafka_now_ns() < until_ns))) {
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            wait_for_reports(link, 1, kafka_now_ns() + (int64_t)FULL_WAIT_MS * 1000000);
        }
        struct kafka_batch *batch = make_batch(link, sendings + done, count - done);
        if (batch == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory to send with");
        }
        done += produce_batch(link, queue, sendings + done, batch, &code);
        collect(link);
    }
    if (code == RD_KAFKA_RESP_ERR__FATAL) { /* its successor is on its way */
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "kafka: the producer has failed and is replaced");
    }
    for (; done < count; done++) {
        cvm_sending_end(base, &sendings[done], state_of(code));
    }
    return CVM_OK;
}

void kafka_leave_batches(struct kafka_link *link)
{
    struct kafka_broker *broker = kafka_broker_of(link);
    (void)pthread_mutex_lock(&broker->lock);
    struct kafka_batch *batch = link->batches;
    link->batches = NULL;
    while (batch != NULL) {
        struct kafka_batch *next = batch->next;
        for (size_t i = 0; i < batch->count; i++) {
            if (!batch->tickets[i].is_reported) {
                cvm_sending_end(&link->base, batch->tickets[i].sending, CVM_SENDING_UNKNOWN);
                link->pending--;
                batch->unseen--;
            }
        }
        batch->link = NULL;
        free_if_over(batch);
        batch = next;
    }
    (void)pthread_mutex_unlock(&broker->lock);
    collect(link); /* what was reported and not yet seen */
}

enum cvm_status kafka_confirm(struct cvm_broker_link *base, int timeout_ms, struct cvm_error *err)
{
    struct kafka_link *link = (struct kafka_link *)base;
    int64_t until_ns = kafka_now_ns() + (int64_t)timeout_ms * 1000000;
    collect(link);
    while (link->pending > 0 && kafka_now_ns() < until_ns) {
        wait_for_reports(link, link->pending, until_ns);
        collect(link);
    }
    if (link->pending > 0) {
        size_t count = link->pending;
        kafka_leave_batches(link);
        return CVM_FAIL(err, CVM_E_TIMEOUT, "kafka: %zu envelopes not confirmed in %d ms", count,
                        timeout_ms);
    }
    return CVM_OK;
}

/* ---- the dead ---- */

static enum cvm_status wait_for_burial(struct kafka_link *link, struct cvm_sending *sending,
                                       struct cvm_error *err)
{
    int timeout_ms = link->base.broker->options.timeout_ms;
    int64_t until_ns = kafka_now_ns() + (int64_t)timeout_ms * 1000000;
    collect(link);
    while (sending->state == CVM_SENDING_PENDING && kafka_now_ns() < until_ns) {
        wait_for_reports(link, 1, until_ns);
        collect(link);
    }
    if (sending->state == CVM_SENDING_PENDING) {
        kafka_leave_batches(link); /* `sending` is about to go */
    }
    link->base.ended[sending->state]--; /* it was none of the caller's */
    return sending->state == CVM_SENDING_CONFIRMED
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_UNAVAILABLE,
                          "kafka: '" CVM_BROKER_DEAD "' does not take a message");
}

enum cvm_status kafka_bury(struct kafka_link *link, const rd_kafka_message_t *message,
                           struct cvm_error *err)
{
    struct kafka_broker *broker = kafka_broker_of(link);
    struct cvm_sending sending = {.state = CVM_SENDING_PENDING};
    char name[CVM_BROKER_FULL_NAME_SIZE];
    enum cvm_status status = kafka_make_producer(broker, err);
    if (status == CVM_OK) {
        status = kafka_declare(broker, CVM_BROKER_DEAD, false, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    struct kafka_batch *batch = make_batch(link, &sending, 1);
    if (batch == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to put a message aside");
    }
    cvm_broker_full_name(&broker->base, CVM_BROKER_DEAD, CVM_PRIORITY_NORMAL, name);
    link->pending++;
    (void)pthread_rwlock_rdlock(&broker->producer_lock);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(broker->producer, name, NULL);
    bool is_on_its_way =
        topic != NULL &&
        rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, message->payload,
                         message->len, NULL, 0, &batch->tickets[0]) == 0;
    if (topic != NULL) {
        rd_kafka_topic_destroy(topic);
    }
    (void)pthread_rwlock_unlock(&broker->producer_lock);
    if (!is_on_its_way) {
        link->pending--;
        cut_batch(batch, 0);
        return CVM_FAIL(err, CVM_E_UNAVAILABLE,
                        "kafka: '" CVM_BROKER_DEAD "' does not take a message");
    }
    return wait_for_burial(link, &sending, err);
}
