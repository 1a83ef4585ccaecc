#include "agents/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/registry.h"
#include "messaging/broker.h"

#define REPLY_SIZE (CVM_ENVELOPE_REPLY_MAX + 1)
#define SLICE_MS   200

struct cvm_requester {
    const struct cvm_context *context;
    struct cvm_broker_link *link;
    struct cvm_state *registry; /* NULL = nothing is known */
    struct cvm_random random;
    const char *name;
    char reply_to[REPLY_SIZE];
};

enum cvm_status cvm_requester_open(struct cvm_broker *broker, const struct cvm_context *context,
                                   const char *name, uint64_t seed,
                                   struct cvm_requester **out_requester, struct cvm_error *err)
{
    struct cvm_requester *requester = calloc(1, sizeof(*requester));
    if (requester == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a request");
    }
    requester->context = context;
    requester->name = name;
    cvm_random_init(&requester->random, seed);
    (void)snprintf(requester->reply_to, sizeof(requester->reply_to), "reply.%.48s.%08llx", name,
                   (unsigned long long)(cvm_random_u64(&requester->random) >> 32));
    enum cvm_status status = cvm_broker_link_open(broker, &requester->link, err);
    if (status == CVM_OK) {
        status = cvm_broker_subscribe(requester->link, requester->reply_to, err);
    }
    if (status != CVM_OK) {
        cvm_requester_close(requester);
        return status;
    }
    *out_requester = requester;
    return CVM_OK;
}

void cvm_requester_close(struct cvm_requester *requester)
{
    if (requester != NULL) {
        cvm_broker_link_close(requester->link);
        free(requester);
    }
}

void cvm_requester_discover(struct cvm_requester *requester, struct cvm_state *registry)
{
    requester->registry = registry;
}

/* An answer to an earlier request, which was not waited for any longer, is thrown away. */
static enum cvm_status take_answer(struct cvm_requester *requester,
                                   const struct cvm_message_id *asked, int timeout_ms,
                                   struct cvm_text *out_answer, bool *out_is_there,
                                   struct cvm_error *err)
{
    struct cvm_delivery delivery;
    size_t count = 0;
    *out_is_there = false;
    enum cvm_status status =
        cvm_broker_receive(requester->link, &delivery, 1, timeout_ms, &count, err);
    if (status != CVM_OK || count == 0) {
        return status;
    }
    const struct cvm_envelope *envelope = delivery.envelope;
    if (memcmp(envelope->correlation_id.bytes, asked->bytes, sizeof(asked->bytes)) == 0) {
        cvm_text_add_bytes(out_answer, envelope->payload.data, envelope->payload.length);
        *out_is_there = true;
    }
    (void)!cvm_broker_ack(requester->link, delivery.tag, NULL);
    return CVM_OK;
}

static enum cvm_status send(struct cvm_requester *requester, const char *queue,
                            struct cvm_sending *sending, int timeout_ms, struct cvm_error *err)
{
    enum cvm_status status = cvm_broker_declare(requester->link, queue, err);
    if (status == CVM_OK) {
        status = cvm_broker_publish(requester->link, queue, sending, 1, err);
    }
    return status == CVM_OK ? cvm_broker_confirm(requester->link, timeout_ms, err) : status;
}

/* Until somebody answers, the time is over, or it turns out that nobody could. */
static enum cvm_status wait_for_answer(struct cvm_requester *requester,
                                       const struct cvm_envelope *question, const char *queue,
                                       double deadline_s, struct cvm_text *out_answer,
                                       struct cvm_error *err)
{
    struct cvm_absence absence = {0};
    bool is_there = false;
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && !is_there) {
        double left_ms = (deadline_s - cvm_context_seconds(requester->context)) * 1000;
        if (left_ms <= 0) {
            return CVM_FAIL(err, CVM_E_TIMEOUT, "no '%s' agent answered within %lld ms", queue,
                            (long long)(question->deadline_ms - question->created_ms));
        }
        int wait_ms = left_ms < SLICE_MS ? (int)left_ms + 1 : SLICE_MS;
        status = take_answer(requester, &question->id, wait_ms, out_answer, &is_there, err);
        if (status == CVM_OK && !is_there &&
            cvm_registry_is_unserved(requester->registry, requester->context, queue, &absence)) {
            status = CVM_FAIL(err, CVM_E_NOT_FOUND, "nobody serves '%s'", queue);
            return cvm_error_hint(err, status, "`cvm agent %s` starts one who does.", queue);
        }
    }
    return status;
}

enum cvm_status cvm_requester_ask(struct cvm_requester *requester,
                                  const struct cvm_request *request, struct cvm_text *out_answer,
                                  struct cvm_error *err)
{
    bool goes_elsewhere = request->instead != NULL &&
                          cvm_registry_is_better_served(requester->registry, requester->context,
                                                        request->instead, request->queue);
    const char *queue = goes_elsewhere ? request->instead : request->queue;
    int64_t now_ms = cvm_context_now_ms(requester->context);
    double deadline = cvm_context_seconds(requester->context) + (double)request->timeout_ms / 1000;
    struct cvm_envelope envelope = {
        .id = cvm_message_id_make(now_ms, &requester->random),
        .type = request->type,
        .schema_version = 1,
        .priority = CVM_PRIORITY_HIGH,
        .attempt = 1,
        .shard = CVM_SHARD_NONE,
        .created_ms = now_ms,
        .deadline_ms = now_ms + request->timeout_ms,
        .sender = {requester->name, strlen(requester->name)},
        .reply_to = {requester->reply_to, strlen(requester->reply_to)},
        .payload = {request->payload, strlen(request->payload)},
    };
    struct cvm_sending sending = {.envelope = &envelope};
    cvm_text_clear(out_answer);
    enum cvm_status status = send(requester, queue, &sending, (int)request->timeout_ms, err);
    if (status == CVM_OK) {
        status = wait_for_answer(requester, &envelope, queue, deadline, out_answer, err);
    }
    return status == CVM_OK && out_answer->failed
               ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for an answer")
               : status;
}
