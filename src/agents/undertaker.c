#include "agents/undertaker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "base/hash.h"
#include "base/log.h"
#include "messaging/broker.h"
#include "storage/broker_offset.h"
#include "storage/dead_letter.h"
#include "workflows/flow.h"

#define DEAD         "dead"
#define BATCH        16
#define FULL_PAUSE_S 60
#define WHY_SIZE     200

struct cvm_undertaker {
    const struct cvm_agent_site *site;
    const struct cvm_context *context;
    struct cvm_broker *broker;
    struct cvm_broker_link *link;
    bool is_subscribed;
    double full_until_s;
    struct cvm_buffer bytes; /* of a message that came as an envelope */
};

enum cvm_status cvm_undertaker_create(const struct cvm_agent_site *site,
                                      const struct cvm_context *context, struct cvm_broker *broker,
                                      struct cvm_undertaker **out_undertaker, struct cvm_error *err)
{
    struct cvm_undertaker *undertaker = calloc(1, sizeof(*undertaker));
    if (undertaker == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for agents");
    }
    undertaker->site = site;
    undertaker->context = context;
    undertaker->broker = broker;
    *out_undertaker = undertaker;
    return CVM_OK;
}

static void leave(struct cvm_undertaker *undertaker)
{
    cvm_broker_link_close(undertaker->link);
    undertaker->link = NULL;
    undertaker->is_subscribed = false;
}

void cvm_undertaker_destroy(struct cvm_undertaker *undertaker)
{
    if (undertaker != NULL) {
        leave(undertaker);
        cvm_buffer_finish(&undertaker->bytes);
        free(undertaker);
    }
}

/* ---- one letter ---- */

static enum cvm_status read_bytes(struct cvm_undertaker *undertaker,
                                  const struct cvm_delivery *delivery, struct cvm_slice *out_bytes,
                                  struct cvm_error *err)
{
    if (delivery->envelope == NULL || delivery->raw.length > 0) {
        size_t length = delivery->raw.length;
        *out_bytes = (struct cvm_slice){
            delivery->raw.data, length < CVM_ENVELOPE_BYTES_MAX ? length : CVM_ENVELOPE_BYTES_MAX};
        return CVM_OK;
    }
    size_t length = cvm_envelope_bytes(delivery->envelope);
    enum cvm_status status = cvm_buffer_reserve(&undertaker->bytes, length, err);
    if (status == CVM_OK) {
        cvm_envelope_encode(delivery->envelope, undertaker->bytes.data);
        *out_bytes = (struct cvm_slice){undertaker->bytes.data, length};
    }
    return status;
}

static void say_why(const struct cvm_delivery *delivery, char why[WHY_SIZE])
{
    struct cvm_envelope envelope;
    struct cvm_error err = {.message = ""};
    bool came_too_often =
        delivery->died_of != NULL && strcmp(delivery->died_of, "delivery_limit") == 0;
    if (delivery->raw.length > CVM_ENVELOPE_BYTES_MAX) {
        (void)snprintf(why, WHY_SIZE, "too long to be a message: its first %zu bytes are kept",
                       CVM_ENVELOPE_BYTES_MAX);
    } else if (delivery->envelope == NULL) {
        (void)!cvm_envelope_decode(delivery->raw.data, delivery->raw.length, &envelope, &err);
        (void)snprintf(why, WHY_SIZE, "no message: %.150s", err.message);
    } else if (came_too_often) {
        (void)snprintf(why, WHY_SIZE,
                       "delivered %u times and never done with: it may end whoever handles it",
                       (unsigned)delivery->died_after);
    } else {
        (void)snprintf(why, WHY_SIZE, "an agent refused it: its log says why");
    }
}

/* By its id; what has none is known by its bytes. */
static void name_letter(const struct cvm_delivery *delivery, struct cvm_slice bytes,
                        struct cvm_dead_letter *letter)
{
    unsigned char digest[CVM_DIGEST_BYTES];
    if (delivery->envelope != NULL && !cvm_message_id_is_none(&delivery->envelope->id)) {
        memcpy(letter->message_id, delivery->envelope->id.bytes, sizeof(letter->message_id));
    } else {
        cvm_digest_of(bytes.data, bytes.length, digest);
        memcpy(letter->message_id, digest, sizeof(letter->message_id));
    }
}

static enum cvm_status keep(struct cvm_undertaker *undertaker, const struct cvm_delivery *delivery,
                            struct cvm_error *err)
{
    struct cvm_agent_writer *writer = undertaker->site->writer;
    char why[WHY_SIZE];
    char workflow_id[CVM_ENVELOPE_TEXT_MAX + 1] = "";
    struct cvm_slice bytes = {NULL, 0};
    enum cvm_status status = read_bytes(undertaker, delivery, &bytes, err);
    if (status != CVM_OK) {
        return status;
    }
    say_why(delivery, why);
    if (delivery->envelope != NULL) {
        (void)snprintf(workflow_id, sizeof(workflow_id), "%.*s",
                       (int)delivery->envelope->workflow_id.length,
                       delivery->envelope->workflow_id.data);
    }
    struct cvm_dead_letter letter = {
        .destination = delivery->died_in == NULL ? CVM_DEAD_LETTER_LOST : delivery->died_in,
        .workflow_id = workflow_id[0] == '\0' ? NULL : workflow_id,
        .step_no = -1,
        .outbox_shard = cvm_flow_partition(workflow_id),
        .envelope = bytes.length == 0 ? "" : bytes.data,
        .length = bytes.length,
        .error_class = cvm_failure_name(CVM_FAILURE_POISON),
        .error = why,
        .attempts = delivery->died_after > 0 ? delivery->died_after : 1,
    };
    name_letter(delivery, bytes, &letter);
    const struct cvm_broker_offset offset = {DEAD, delivery->partition, delivery->offset + 1};
    struct cvm_store *store = cvm_agent_writer_lock(writer);
    status = cvm_dead_letter_take(store, &letter, err);
    if (status == CVM_OK && (cvm_broker_abilities(undertaker->broker) & CVM_BROKER_OFFSETS) != 0) {
        status = cvm_broker_offset_move(store, &offset, err);
    }
    cvm_agent_writer_unlock(writer);
    if (status == CVM_OK) {
        CVM_LOG(undertaker->context->log, CVM_LOG_WARN, "dead_letter",
                CVM_TEXT("queue", letter.destination), CVM_TEXT("why", why));
    }
    return status;
}

/* ---- a look ---- */

static enum cvm_status subscribe(struct cvm_undertaker *undertaker, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    if (undertaker->link == NULL) {
        status = cvm_broker_link_open_with(undertaker->broker, BATCH, &undertaker->link, err);
    }
    if (status == CVM_OK && !undertaker->is_subscribed) {
        status = cvm_broker_subscribe(undertaker->link, DEAD, err);
        undertaker->is_subscribed = status == CVM_OK;
    }
    return status;
}

/* More of them would help nobody. */
static enum cvm_status look_for_room(struct cvm_undertaker *undertaker, struct cvm_error *err)
{
    struct cvm_backlog backlog = {0};
    struct cvm_agent_writer *writer = undertaker->site->writer;
    struct cvm_store *store = cvm_agent_writer_lock(writer);
    enum cvm_status status = cvm_dead_letter_backlog(store, &backlog, err);
    cvm_agent_writer_unlock(writer);
    if (status == CVM_OK && backlog.count >= CVM_UNDERTAKER_LETTERS_MAX) {
        undertaker->full_until_s = cvm_context_seconds(undertaker->context) + FULL_PAUSE_S;
        CVM_LOG(undertaker->context->log, CVM_LOG_WARN, "too_many_dead_letters",
                CVM_INT("waiting", backlog.count));
    }
    return status;
}

static enum cvm_status take_batch(struct cvm_undertaker *undertaker, size_t *out_count,
                                  struct cvm_error *err)
{
    struct cvm_delivery deliveries[BATCH];
    enum cvm_status status =
        cvm_broker_receive(undertaker->link, deliveries, BATCH, 0, out_count, err);
    if (status != CVM_OK) {
        return status == CVM_E_UNAVAILABLE ? status : (leave(undertaker), status);
    }
    for (size_t i = 0; status == CVM_OK && i < *out_count; i++) {
        status = keep(undertaker, &deliveries[i], err);
        if (status == CVM_OK) {
            (void)!cvm_broker_ack(undertaker->link, deliveries[i].tag, NULL); /* else once more */
        }
    }
    if (status == CVM_OK && *out_count > 0) {
        status = look_for_room(undertaker, err);
    }
    if (status != CVM_OK) { /* what is not acknowledged comes again to another link */
        leave(undertaker);
    }
    return status;
}

enum cvm_status cvm_undertaker_look(struct cvm_undertaker *undertaker, struct cvm_error *err)
{
    size_t count = BATCH;
    enum cvm_status status = subscribe(undertaker, err);
    while (status == CVM_OK && count == BATCH &&
           cvm_context_seconds(undertaker->context) >= undertaker->full_until_s) {
        count = 0;
        status = take_batch(undertaker, &count, err);
    }
    return status;
}
