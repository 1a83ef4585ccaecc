/* broker_kafka_topic.c - topics of Kafka: made, found, removed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "messaging/broker_kafka.h"

#define TEXT_SIZE 512
#define LOOK_MS   50

struct kafka_topic {
    struct kafka_topic *next;
    char name[CVM_BROKER_FULL_NAME_SIZE];
};

/* ---- which are known ---- */

static bool is_known(struct kafka_broker *broker, const char *name)
{
    (void)pthread_mutex_lock(&broker->lock);
    const struct kafka_topic *topic = broker->topics;
    while (topic != NULL && strcmp(topic->name, name) != 0) {
        topic = topic->next;
    }
    (void)pthread_mutex_unlock(&broker->lock);
    return topic != NULL;
}

/* Without memory it is asked for again. */
static void remember(struct kafka_broker *broker, const char *name)
{
    struct kafka_topic *topic = calloc(1, sizeof(*topic));
    if (topic != NULL) {
        memcpy(topic->name, name, strlen(name) + 1);
        (void)pthread_mutex_lock(&broker->lock);
        topic->next = broker->topics;
        broker->topics = topic;
        (void)pthread_mutex_unlock(&broker->lock);
    }
}

void kafka_forget_topics(struct kafka_broker *broker)
{
    (void)pthread_mutex_lock(&broker->lock);
    while (broker->topics != NULL) {
        struct kafka_topic *topic = broker->topics;
        broker->topics = topic->next;
        free(topic);
    }
    (void)pthread_mutex_unlock(&broker->lock);
}

/* ---- looking ---- */

static bool has_leaders(const struct rd_kafka_metadata_topic *topic)
{
    for (int i = 0; i < topic->partition_cnt; i++) {
        if (topic->partitions[i].leader < 0) {
            return false;
        }
    }
    return topic->partition_cnt > 0;
}

/* CVM_E_TIMEOUT: it is there and not ready. */
static enum cvm_status look(struct kafka_broker *broker, const char *name, int timeout_ms,
                            struct cvm_error *err)
{
    const struct rd_kafka_metadata *found = NULL;
    (void)pthread_rwlock_rdlock(&broker->producer_lock);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(broker->producer, name, NULL);
    rd_kafka_resp_err_t code =
        topic == NULL ? rd_kafka_last_error()
                      : rd_kafka_metadata(broker->producer, 0, topic, &found, timeout_ms);
    if (topic != NULL) {
        rd_kafka_topic_destroy(topic);
    }
    (void)pthread_rwlock_unlock(&broker->producer_lock);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return kafka_fail_away(broker, "ask for a topic", err);
    }
    enum cvm_status status = CVM_E_TIMEOUT;
    if (found->topic_cnt != 1 || found->topics[0].err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "kafka: there is no topic '%s'", name);
    } else if (found->topics[0].err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        status = CVM_FAIL(err, CVM_E_DENIED, "kafka: the topic '%s' is not for this user", name);
    } else if (found->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR &&
               has_leaders(&found->topics[0])) {
        status = CVM_OK;
    }
    rd_kafka_metadata_destroy(found);
    return status;
}

enum cvm_status kafka_find_topic(struct kafka_broker *broker, const char *name,
                                 struct cvm_error *err)
{
    if (is_known(broker, name)) {
        return CVM_OK;
    }
    enum cvm_status status = look(broker, name, broker->base.options.timeout_ms, err);
    if (status == CVM_E_TIMEOUT) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "kafka: the topic '%s' has no leader", name);
    }
    if (status == CVM_OK) {
        remember(broker, name);
    }
    return status;
}

/* One that was just made: until every partition has a leader and this producer knows it. Without
 * this librdkafka 2.0 keeps the first message of a topic for up to a second. */
static enum cvm_status await(struct kafka_broker *broker, const char *name, struct cvm_error *err)
{
    int64_t until_ns = kafka_now_ns() + (int64_t)broker->base.options.timeout_ms * 1000000;
    struct cvm_error found = {.message = ""};
    enum cvm_status status = look(broker, name, broker->base.options.timeout_ms, &found);
    while ((status == CVM_E_NOT_FOUND || status == CVM_E_TIMEOUT) && kafka_now_ns() < until_ns) {
        /* Nothing tells when: a moment, then again. */
        (void)nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000}, NULL);
        status = look(broker, name, broker->base.options.timeout_ms, &found);
    }
    if (status == CVM_E_TIMEOUT) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "kafka: the topic '%s' has no leader", name);
    }
    if (status == CVM_E_NOT_FOUND) { /* a busy server: who asked tries again */
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "kafka: the topic '%s' is not there yet", name);
    }
    if (status == CVM_OK) {
        remember(broker, name);
    } else if (err != NULL) {
        *err = found;
    }
    return status;
}

/* ---- asking the controller ---- */

/* The answer to a question that went to `answers`; NULL when there is none in time. */
static rd_kafka_event_t *wait_for_answer(struct kafka_broker *broker, rd_kafka_queue_t *answers)
{
    return rd_kafka_queue_poll(answers, broker->base.options.timeout_ms + 1000);
}

static rd_kafka_AdminOptions_t *make_options(struct kafka_broker *broker)
{
    char text[TEXT_SIZE];
    int timeout_ms = broker->base.options.timeout_ms;
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(broker->producer, RD_KAFKA_ADMIN_OP_ANY);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof(text));
    (void)rd_kafka_AdminOptions_set_operation_timeout(options, timeout_ms, text, sizeof(text));
    return options;
}

static enum cvm_status read_answer(struct kafka_broker *broker, rd_kafka_event_t *event,
                                   bool is_new, struct cvm_error *err)
{
    size_t count = 0;
    if (event == NULL) {
        return kafka_fail_away(broker, "make a topic", err);
    }
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        /* A server that can not be asked has them made by its people. */
        return code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE
                   ? CVM_OK
                   : CVM_FAIL(err, CVM_E_UNAVAILABLE, "kafka: make a topic: %s",
                              rd_kafka_event_error_string(event));
    }
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &count);
    for (size_t i = 0; i < count; i++) {
        code = rd_kafka_topic_result_error(topics[i]);
        if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS && is_new) {
            return CVM_FAIL(err, CVM_E_CONFLICT, "the reply queue '%s' belongs to another link",
                            rd_kafka_topic_result_name(topics[i]));
        }
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
            return CVM_FAIL(err, CVM_E_UNAVAILABLE, "kafka: make the topic '%s': %s",
                            rd_kafka_topic_result_name(topics[i]), rd_kafka_err2str(code));
        }
    }
    return CVM_OK;
}

static enum cvm_status make_topic(struct kafka_broker *broker, const char *name, int partitions,
                                  bool is_new, struct cvm_error *err)
{
    char text[TEXT_SIZE];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(
        name, partitions, broker->replication == 0 ? -1 : broker->replication, text, sizeof(text));
    if (topic == NULL) {
        return CVM_FAIL(err, CVM_E_INVALID, "kafka: no topic '%s': %s", name, text);
    }
    (void)pthread_rwlock_rdlock(&broker->producer_lock);
    rd_kafka_queue_t *answers = rd_kafka_queue_new(broker->producer);
    rd_kafka_AdminOptions_t *options = make_options(broker);
    rd_kafka_CreateTopics(broker->producer, &topic, 1, options, answers);
    rd_kafka_event_t *event = wait_for_answer(broker, answers);
    enum cvm_status status = read_answer(broker, event, is_new, err);
    if (event != NULL) {
        rd_kafka_event_destroy(event);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(answers);
    rd_kafka_NewTopic_destroy(topic);
    (void)pthread_rwlock_unlock(&broker->producer_lock);
    return status == CVM_OK ? await(broker, name, err) : status;
}

enum cvm_status kafka_declare(struct kafka_broker *broker, const char *queue, bool is_new,
                              struct cvm_error *err)
{
    int partitions = kafka_topic_count(queue) == 1 ? 1 : broker->partitions;
    enum cvm_status status = kafka_make_producer(broker, err);
    for (int p = 0; status == CVM_OK && p < kafka_topic_count(queue); p++) {
        char name[CVM_BROKER_FULL_NAME_SIZE];
        cvm_broker_full_name(&broker->base, queue, (enum cvm_priority)p, name);
        struct cvm_error found = {.message = ""};
        status = is_new ? CVM_E_NOT_FOUND : kafka_find_topic(broker, name, &found);
        if (status == CVM_E_NOT_FOUND) {
            status = make_topic(broker, name, partitions, is_new, err);
        } else if (status != CVM_OK && err != NULL) {
            *err = found;
        }
    }
    return status;
}

/* As well as it goes: what is left over is an empty topic. */
void kafka_delete_topic(struct kafka_broker *broker, const char *queue)
{
    char name[CVM_BROKER_FULL_NAME_SIZE];
    cvm_broker_full_name(&broker->base, queue, CVM_PRIORITY_NORMAL, name);
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
    (void)pthread_rwlock_rdlock(&broker->producer_lock);
    rd_kafka_queue_t *answers = rd_kafka_queue_new(broker->producer);
    rd_kafka_AdminOptions_t *options = make_options(broker);
    rd_kafka_DeleteTopics(broker->producer, &topic, 1, options, answers);
    rd_kafka_event_t *event = rd_kafka_queue_poll(answers, 1000);
    if (event != NULL) {
        rd_kafka_event_destroy(event);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(answers);
    rd_kafka_DeleteTopic_destroy(topic);
    (void)pthread_rwlock_unlock(&broker->producer_lock);
    kafka_forget_topics(broker);
}
