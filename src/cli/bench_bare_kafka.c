/* bench_bare_kafka.c - librdkafka by itself, with the settings of ours. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>

#include "cli/bench_broker.h"

#define WAIT_MS   30000
#define TEXT_SIZE 512

struct progress {
    size_t confirmed;
    size_t failed;
};

static void take_report(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *state)
{
    struct progress *progress = state;
    (void)kafka;
    progress->confirmed++;
    progress->failed += message->err != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_t *open_bare(const struct cvm_bare *bare, rd_kafka_type_t type,
                             const char *const settings[][2], struct progress *progress)
{
    char text[TEXT_SIZE];
    char hosts[TEXT_SIZE];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *from = bare->url + strlen("kafka://");
    (void)snprintf(hosts, sizeof(hosts), "%.*s", (int)strcspn(from, "/?"), from);
    bool is_good =
        rd_kafka_conf_set(conf, "bootstrap.servers", hosts, text, sizeof(text)) == RD_KAFKA_CONF_OK;
    for (size_t i = 0; settings[i][0] != NULL; i++) {
        is_good = is_good && rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text,
                                               sizeof(text)) == RD_KAFKA_CONF_OK;
    }
    rd_kafka_conf_set_opaque(conf, progress);
    if (type == RD_KAFKA_PRODUCER) {
        rd_kafka_conf_set_dr_msg_cb(conf, take_report);
    }
    rd_kafka_t *kafka = is_good ? rd_kafka_new(type, conf, text, sizeof(text)) : NULL;
    if (kafka == NULL) {
        rd_kafka_conf_destroy(conf);
    }
    return kafka;
}

enum cvm_status cvm_bare_kafka_send(const struct cvm_bare *bare, struct cvm_taken *out_taken,
                                    struct cvm_error *err)
{
    static const char *const settings[][2] = {{"enable.idempotence", "true"},
                                              {"socket.nagle.disable", "true"},
                                              {"linger.ms", "5"},
                                              {"queue.buffering.max.messages", "50000"},
                                              {"queue.buffering.max.kbytes", "65536"},
                                              {NULL, NULL}};
    struct progress progress = {0};
    rd_kafka_t *producer = open_bare(bare, RD_KAFKA_PRODUCER, settings, &progress);
    if (producer == NULL) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "bare kafka: no producer");
    }
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, bare->queue, NULL);
    const struct rd_kafka_metadata *warm = NULL;
    if (rd_kafka_metadata(producer, 0, topic, &warm, WAIT_MS) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_metadata_destroy(warm);
    }
    struct cvm_taken start = cvm_taken_now();
    bool is_good = true;
    for (size_t sent = 0; is_good && sent < bare->count;) {
        if (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
                             (void *)(uintptr_t)bare->bytes, bare->length, "0", 1, NULL) == 0) {
            sent++;
            (void)rd_kafka_poll(producer, 0);
        } else {
            is_good = rd_kafka_last_error() == RD_KAFKA_RESP_ERR__QUEUE_FULL;
            (void)rd_kafka_poll(producer, 10);
        }
    }
    while (is_good && progress.confirmed < bare->count && cvm_taken_since(start).seconds < 300) {
        (void)rd_kafka_poll(producer, 100);
    }
    *out_taken = cvm_taken_since(start);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
    return is_good && progress.failed == 0 && progress.confirmed == bare->count
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_UNAVAILABLE, "bare kafka: producing failed");
}

enum cvm_status cvm_bare_kafka_receive(const struct cvm_bare *bare, struct cvm_taken *out_taken,
                                       struct cvm_error *err)
{
    static const char *const settings[][2] = {{"group.id", "bare"},
                                              {"enable.auto.offset.store", "false"},
                                              {"auto.offset.reset", "earliest"},
                                              {"queued.max.messages.kbytes", "16384"},
                                              {"fetch.wait.max.ms", "100"},
                                              {NULL, NULL}};
    struct progress progress = {0};
    rd_kafka_t *consumer = open_bare(bare, RD_KAFKA_CONSUMER, settings, &progress);
    if (consumer == NULL) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "bare kafka: no consumer");
    }
    (void)rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    (void)rd_kafka_topic_partition_list_add(list, bare->queue, RD_KAFKA_PARTITION_UA);
    (void)rd_kafka_subscribe(consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    struct cvm_taken start =
        cvm_taken_now(); /* from the first one on: joining the group is no work */
    size_t received = 0;
    bool is_good = true;
    while (is_good && received < bare->count) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, WAIT_MS);
        is_good = message != NULL;
        if (is_good && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            start = received == 0 ? cvm_taken_now() : start;
            (void)rd_kafka_offset_store(message->rkt, message->partition, message->offset);
            received++;
        }
        if (is_good) {
            rd_kafka_message_destroy(message);
        }
    }
    *out_taken = cvm_taken_since(start);
    (void)rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    return is_good ? CVM_OK : CVM_FAIL(err, CVM_E_UNAVAILABLE, "bare kafka: nothing to consume");
}
