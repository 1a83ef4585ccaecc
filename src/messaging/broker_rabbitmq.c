/* broker_rabbitmq.c - messages over RabbitMQ: frames, confirms in a window, deliveries.
 *
 * Frames are taken one by one with amqp_simple_wait_frame_noblock(), because librabbitmq 0.11 has
 * no confirms of its own and its readers of whole messages wait without an end in the middle of
 * one. What a frame says is copied at once, so that its buffers can be released at once: they grow
 * for ever else.
 */
#include "messaging/broker_rabbitmq.h"

#include <amqp_framing.h>
#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAR_EVERY    32        /* publishes between two looks at what came */
#define HEAR_EVERY_NS 100000000 /* and time */
#define WAIT_SLICE_MS 100
#define GOODBYE_MS    1000
#define PERSISTENT    2

static int64_t milliseconds_to(int64_t until_ns)
{
    int64_t left_ns = until_ns - rabbitmq_now_ns();
    return left_ns <= 0 ? 0 : (left_ns + 999999) / 1000000;
}

/* ---- the window of what is unconfirmed ---- */

static struct window_entry *entry_of(struct rabbitmq_link *link, uint64_t sequence)
{
    return &link->window[sequence % WINDOW];
}

static void end_entry(struct rabbitmq_link *link, struct window_entry *entry,
                      enum cvm_sending_state state)
{
    if (entry->is_open && entry->sending != NULL) {
        cvm_sending_end(&link->base, entry->sending, state);
        link->waiting--;
    }
    *entry = (struct window_entry){.is_open = false};
}

static void close_ended(struct rabbitmq_link *link)
{
    while (link->first_open < link->next_sequence && !entry_of(link, link->first_open)->is_open) {
        link->first_open++;
    }
}

/* A confirm is of one, or of all up to it. A returned envelope is confirmed as well: it went
 * nowhere. */
static void take_confirm(struct rabbitmq_link *link, uint64_t tag, bool is_multiple, bool is_ack)
{
    uint64_t from = is_multiple ? link->first_open : tag;
    for (uint64_t sequence = from; sequence <= tag && sequence < link->next_sequence; sequence++) {
        struct window_entry *entry = entry_of(link, sequence);
        if (sequence >= link->first_open) {
            end_entry(link, entry,
                      entry->was_returned ? CVM_SENDING_NO_QUEUE
                      : is_ack            ? CVM_SENDING_CONFIRMED
                                          : CVM_SENDING_REFUSED);
        }
    }
    close_ended(link);
}

/* Whose content it is stands in the property message_id. They come back in the order of sending. */
static void take_return(struct rabbitmq_link *link, const amqp_basic_properties_t *properties)
{
    char text[CVM_MESSAGE_ID_TEXT_SIZE];
    if ((properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG) == 0) {
        return;
    }
    for (uint64_t sequence = link->first_open; sequence < link->next_sequence; sequence++) {
        struct window_entry *entry = entry_of(link, sequence);
        cvm_message_id_format(&entry->id, text);
        if (entry->is_open && !entry->was_returned &&
            properties->message_id.len == sizeof(text) - 1 &&
            memcmp(properties->message_id.bytes, text, sizeof(text) - 1) == 0) {
            entry->was_returned = true;
            return;
        }
    }
}

/* ---- deliveries ---- */

static void append(struct incoming_list *list, struct incoming *incoming)
{
    incoming->next = NULL;
    if (list->first == NULL) {
        list->first = incoming;
    } else {
        list->last->next = incoming;
    }
    list->last = incoming;
}

void rabbitmq_forget(struct rabbitmq_link *link)
{
    for (uint64_t sequence = link->first_open; sequence < link->next_sequence; sequence++) {
        end_entry(link, entry_of(link, sequence), CVM_SENDING_UNKNOWN);
    }
    link->first_open = 1;
    link->next_sequence = 1;
    for (size_t p = 0; p < CVM_PRIORITY_COUNT; p++) {
        while (link->ready[p].first != NULL) {
            struct incoming *incoming = link->ready[p].first;
            link->ready[p].first = incoming->next;
            free(incoming);
        }
    }
    free(link->incoming);
    link->incoming = NULL;
    link->content = CONTENT_NONE;
}

static enum cvm_status lose(struct rabbitmq_link *link, int code, const char *doing,
                            struct cvm_error *err)
{
    struct cvm_error found = {.message = ""};
    enum cvm_status status =
        CVM_FAIL(&found, CVM_E_UNAVAILABLE, "rabbitmq: %s: %s", doing, amqp_error_string2(code));
    rabbitmq_drop(link, &found);
    if (err != NULL) {
        *err = found;
    }
    return status;
}

/* A header that is a text; "" when it is not there, or too long. */
static void read_header(const amqp_basic_properties_t *properties, const char *name, char *out,
                        size_t size)
{
    int count =
        (properties->_flags & AMQP_BASIC_HEADERS_FLAG) == 0 ? 0 : properties->headers.num_entries;
    out[0] = '\0';
    for (int i = 0; i < count; i++) {
        const amqp_table_entry_t *entry = &properties->headers.entries[i];
        bool is_it = entry->key.len == strlen(name) &&
                     memcmp(entry->key.bytes, name, entry->key.len) == 0 &&
                     entry->value.kind == AMQP_FIELD_KIND_UTF8;
        if (is_it && entry->value.value.bytes.len < size) {
            memcpy(out, entry->value.value.bytes.bytes, entry->value.value.bytes.len);
            out[entry->value.value.bytes.len] = '\0';
        }
    }
}

/* Where it died first: the server wrote that down. The queue's name without what is ours in it. */
static void read_death(const struct rabbitmq_link *link, const amqp_basic_properties_t *properties,
                       struct incoming *incoming)
{
    char name[CVM_BROKER_FULL_NAME_SIZE];
    const char *prefix = link->base.broker->options.prefix;
    size_t prefix_length = strlen(prefix);
    read_header(properties, "x-first-death-queue", name, sizeof(name));
    read_header(properties, "x-first-death-reason", incoming->died_of, sizeof(incoming->died_of));
    if (strncmp(name, prefix, prefix_length) != 0) {
        return;
    }
    size_t length = strlen(name + prefix_length);
    bool is_high = length > 5 && strcmp(name + prefix_length + length - 5, ".high") == 0;
    (void)snprintf(incoming->died_in, sizeof(incoming->died_in), "%.*s",
                   (int)(is_high ? length - 5 : length), name + prefix_length);
}

/* How often a quorum queue has had it back. */
static uint32_t deliveries_of(const amqp_basic_properties_t *properties, bool is_again)
{
    if ((properties->_flags & AMQP_BASIC_HEADERS_FLAG) != 0) {
        for (int i = 0; i < properties->headers.num_entries; i++) {
            const amqp_table_entry_t *entry = &properties->headers.entries[i];
            bool is_count =
                entry->key.len == 16 && memcmp(entry->key.bytes, "x-delivery-count", 16) == 0;
            switch (is_count ? (int)entry->value.kind : 0) {
            case AMQP_FIELD_KIND_I64:
                return (uint32_t)entry->value.value.i64;
            case AMQP_FIELD_KIND_I32:
                return (uint32_t)entry->value.value.i32;
            case AMQP_FIELD_KIND_I16:
                return (uint32_t)entry->value.value.i16;
            case AMQP_FIELD_KIND_I8:
                return (uint32_t)entry->value.value.i8;
            case AMQP_FIELD_KIND_U8:
                return entry->value.value.u8;
            default:
                break;
            }
        }
    }
    return is_again ? 1 : 0;
}

/* What is no message, or too long to be one, is given up at once: the server moves it to "dead". */
static enum cvm_status end_delivery(struct rabbitmq_link *link, struct cvm_error *err)
{
    struct incoming *incoming = link->incoming;
    const char *queue = link->subscriptions[incoming->subscription];
    size_t kept = incoming->is_too_long ? CVM_ENVELOPE_BYTES_MAX + 1 : incoming->length;
    link->incoming = NULL;
    incoming->is_readable =
        cvm_broker_read(&link->base, queue, (struct cvm_slice){(const char *)incoming->bytes, kept},
                        &incoming->envelope);
    if (incoming->is_readable || cvm_broker_takes_bytes(queue)) {
        append(&link->ready[incoming->priority], incoming);
        return CVM_OK;
    }
    uint64_t tag = incoming->server_tag;
    free(incoming);
    int code = amqp_basic_nack(link->connection, CHANNEL_MESSAGES, tag, 0, 0);
    return code == AMQP_STATUS_OK ? CVM_OK : lose(link, code, "give up a delivery", err);
}

static enum cvm_status start_delivery(struct rabbitmq_link *link,
                                      const amqp_basic_properties_t *properties, uint64_t length,
                                      struct cvm_error *err)
{
    bool is_too_long = length > CVM_ENVELOPE_BYTES_MAX;
    size_t kept = is_too_long ? CVM_ENVELOPE_BYTES_MAX + 1 : (size_t)length;
    struct incoming *incoming = malloc(sizeof(*incoming) + kept);
    if (incoming == NULL) {
        return lose(link, AMQP_STATUS_NO_MEMORY, "take a delivery", err);
    }
    *incoming = (struct incoming){
        .generation = link->generation,
        .server_tag = link->content_tag,
        .subscription = link->content_subscription,
        .priority = link->content_priority,
        .attempt = 1 + deliveries_of(properties, link->content_again),
        .is_too_long = is_too_long,
        .length = kept,
    };
    if (strcmp(link->subscriptions[incoming->subscription], CVM_BROKER_DEAD) == 0) {
        read_death(link, properties, incoming);
    }
    link->incoming = incoming;
    return CVM_OK;
}

/* ---- frames ---- */

static void take_deliver(struct rabbitmq_link *link, const amqp_basic_deliver_t *deliver)
{
    char tag[32];
    unsigned subscription = 0;
    int priority = 0;
    (void)snprintf(tag, sizeof(tag), "%.*s", (int)deliver->consumer_tag.len,
                   (const char *)deliver->consumer_tag.bytes);
    bool is_ours = sscanf(tag, "%u.%d", &subscription, &priority) == 2 &&
                   subscription < link->subscription_count && priority >= 0 &&
                   priority < CVM_PRIORITY_COUNT;
    link->content = is_ours ? CONTENT_DELIVERY : CONTENT_RETURN;
    link->content_subscription = subscription;
    link->content_priority = (enum cvm_priority)priority;
    link->content_tag = deliver->delivery_tag;
    link->content_again = deliver->redelivered != 0;
}

static enum cvm_status take_close(struct rabbitmq_link *link, int code, amqp_bytes_t text,
                                  struct cvm_error *err)
{
    struct cvm_error found = {.message = ""};
    enum cvm_status status =
        CVM_FAIL(&found, CVM_E_UNAVAILABLE, "rabbitmq ended the link: %.*s (%d)", (int)text.len,
                 (const char *)text.bytes, code);
    rabbitmq_drop(link, &found);
    if (err != NULL) {
        *err = found;
    }
    return status;
}

static enum cvm_status take_method(struct rabbitmq_link *link, const amqp_method_t *method,
                                   struct cvm_error *err)
{
    switch (method->id) {
    case AMQP_BASIC_ACK_METHOD: {
        const amqp_basic_ack_t *ack = method->decoded;
        take_confirm(link, ack->delivery_tag, ack->multiple != 0, true);
        return CVM_OK;
    }
    case AMQP_BASIC_NACK_METHOD: {
        const amqp_basic_nack_t *nack = method->decoded;
        take_confirm(link, nack->delivery_tag, nack->multiple != 0, false);
        return CVM_OK;
    }
    case AMQP_BASIC_RETURN_METHOD:
        link->content = CONTENT_RETURN;
        return CVM_OK;
    case AMQP_BASIC_DELIVER_METHOD:
        take_deliver(link, method->decoded);
        return CVM_OK;
    case AMQP_CONNECTION_BLOCKED_METHOD:
        link->is_blocked = true;
        return CVM_OK;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        link->is_blocked = false;
        return CVM_OK;
    case AMQP_CHANNEL_CLOSE_METHOD: {
        const amqp_channel_close_t *close = method->decoded;
        return take_close(link, close->reply_code, close->reply_text, err);
    }
    case AMQP_CONNECTION_CLOSE_METHOD: {
        const amqp_connection_close_t *close = method->decoded;
        return take_close(link, close->reply_code, close->reply_text, err);
    }
    case AMQP_BASIC_CANCEL_METHOD: /* somebody removed the queue: it is made again */
        return take_close(link, 0, amqp_cstring_bytes("a queue was removed"), err);
    default:
        return CVM_OK;
    }
}

static enum cvm_status end_content(struct rabbitmq_link *link, struct cvm_error *err)
{
    bool is_delivery = link->content == CONTENT_DELIVERY;
    link->content = CONTENT_NONE;
    return is_delivery ? end_delivery(link, err) : CVM_OK;
}

static enum cvm_status take_head(struct rabbitmq_link *link, const amqp_frame_t *frame,
                                 struct cvm_error *err)
{
    const amqp_basic_properties_t *properties = frame->payload.properties.decoded;
    uint64_t length = frame->payload.properties.body_size;
    enum cvm_status status = CVM_OK;
    link->content_left = (size_t)length;
    if (link->content == CONTENT_RETURN) {
        take_return(link, properties);
    } else if (link->content == CONTENT_DELIVERY) {
        status = start_delivery(link, properties, length, err);
    }
    return status == CVM_OK && link->content_left == 0 ? end_content(link, err) : status;
}

static enum cvm_status take_body(struct rabbitmq_link *link, amqp_bytes_t piece,
                                 struct cvm_error *err)
{
    struct incoming *incoming = link->content == CONTENT_DELIVERY ? link->incoming : NULL;
    if (incoming != NULL) {
        size_t room = incoming->length - incoming->filled;
        size_t kept = piece.len < room ? piece.len : room;
        memcpy(incoming->bytes + incoming->filled, piece.bytes, kept);
        incoming->filled += kept;
    }
    link->content_left -= piece.len < link->content_left ? piece.len : link->content_left;
    return link->content_left == 0 ? end_content(link, err) : CVM_OK;
}

static enum cvm_status take_frame(struct rabbitmq_link *link, const amqp_frame_t *frame,
                                  struct cvm_error *err)
{
    switch (frame->frame_type) {
    case AMQP_FRAME_METHOD:
        return take_method(link, &frame->payload.method, err);
    case AMQP_FRAME_HEADER:
        return take_head(link, frame, err);
    case AMQP_FRAME_BODY:
        return take_body(link, frame->payload.body_fragment, err);
    default:
        return CVM_OK; /* a heartbeat */
    }
}

/* Take what has come; wait for the first frame so long. This also sends and misses heartbeats: a
 * silent server is lost here after two of them. */
static enum cvm_status hear(struct rabbitmq_link *link, int64_t timeout_ms, struct cvm_error *err)
{
    struct timeval timeout = rabbitmq_timeval(timeout_ms);
    for (;;) {
        amqp_frame_t frame;
        amqp_maybe_release_buffers(link->connection);
        int code = amqp_simple_wait_frame_noblock(link->connection, &frame, &timeout);
        if (code == AMQP_STATUS_TIMEOUT) {
            link->heard_ns = rabbitmq_now_ns();
            return CVM_OK;
        }
        if (code != AMQP_STATUS_OK) {
            return lose(link, code, "the connection ended", err);
        }
        enum cvm_status status = take_frame(link, &frame, err);
        if (status != CVM_OK) {
            return status;
        }
        timeout = rabbitmq_timeval(0);
    }
}

/* ---- links ---- */

/* From here to leave() the guard leaves the connection alone. */
static struct rabbitmq_link *enter(struct cvm_broker_link *base)
{
    struct rabbitmq_link *link = (struct rabbitmq_link *)base;
    (void)pthread_mutex_lock(&link->in_call);
    if (link->beat_code != AMQP_STATUS_OK) {
        (void)lose(link, link->beat_code, "send a heartbeat", NULL);
    }
    return link;
}

static enum cvm_status leave(struct rabbitmq_link *link, enum cvm_status status)
{
    (void)pthread_mutex_unlock(&link->in_call);
    return status;
}

static enum cvm_status rabbitmq_link_open(struct cvm_broker *broker,
                                          struct cvm_broker_link **out_link, struct cvm_error *err)
{
    struct rabbitmq_link *link = calloc(1, sizeof(*link));
    if (link == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a link to the broker");
    }
    link->base.broker = broker;
    link->fd = -1;
    link->first_open = 1;
    link->next_sequence = 1;
    (void)pthread_mutex_init(&link->in_call, NULL); /* on Linux this only fills it */
    cvm_random_init(&link->random, (uint64_t)rabbitmq_now_ns() ^ (uint64_t)(uintptr_t)link);
    enum cvm_status status = rabbitmq_guard_add(link, err);
    if (status != CVM_OK) {
        (void)pthread_mutex_destroy(&link->in_call);
        free(link);
        return status;
    }
    *out_link = &link->base;
    return CVM_OK;
}

/* An orderly end brings the last acknowledgements over; a server that does not answer is not waited
 * for. */
static void rabbitmq_link_close(struct cvm_broker_link *base)
{
    struct rabbitmq_link *link = enter(base);
    if (link->connection != NULL && !link->is_blocked) {
        struct timeval timeout = rabbitmq_timeval(GOODBYE_MS);
        rabbitmq_call_begin(link);
        (void)amqp_set_rpc_timeout(link->connection, &timeout);
        (void)amqp_connection_close(link->connection, AMQP_REPLY_SUCCESS);
    }
    rabbitmq_drop(link, NULL);
    (void)leave(link, CVM_OK);
    rabbitmq_guard_remove(link);
    (void)pthread_mutex_destroy(&link->in_call);
    free(link);
}

static enum cvm_status make_queue(struct rabbitmq_link *link, const char *queue,
                                  struct cvm_error *err)
{
    enum cvm_status status = rabbitmq_connect(link, err);
    if (status == CVM_OK) {
        rabbitmq_call_begin(link);
        status = rabbitmq_declare(link, queue, err);
        rabbitmq_call_end(link);
    }
    return status;
}

static enum cvm_status subscribe(struct rabbitmq_link *link, const char *queue,
                                 struct cvm_error *err)
{
    if (link->subscription_count == SUBSCRIPTIONS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "a link subscribes to %d queues at most",
                        SUBSCRIPTIONS_MAX);
    }
    enum cvm_status status = rabbitmq_connect(link, err);
    if (status != CVM_OK) {
        return status;
    }
    size_t subscription = link->subscription_count;
    memcpy(link->subscriptions[subscription], queue, strlen(queue) + 1);
    rabbitmq_call_begin(link);
    status = rabbitmq_declare(link, queue, err);
    if (status == CVM_OK) {
        link->subscription_count++; /* before the first delivery names it */
        status = rabbitmq_consume(link, subscription, err);
    }
    rabbitmq_call_end(link);
    if (status != CVM_OK) {
        link->subscription_count = subscription;
    }
    return status;
}

/* ---- sending ---- */

/* Room in the window. A server that holds up its senders, or does not confirm in time, is as good
 * as a full queue: the sender keeps what it has. */
static enum cvm_status wait_for_room(struct rabbitmq_link *link, bool *out_has_room,
                                     struct cvm_error *err)
{
    int64_t until_ns = rabbitmq_now_ns() + (int64_t)link->base.broker->options.timeout_ms * 1000000;
    enum cvm_status status = CVM_OK;
    *out_has_room = false;
    while (status == CVM_OK && !*out_has_room) {
        int64_t left_ms = milliseconds_to(until_ns);
        *out_has_room = !link->is_blocked && link->next_sequence - link->first_open < WINDOW;
        if (!*out_has_room) {
            if (left_ms == 0) {
                return CVM_OK;
            }
            status = hear(link, left_ms < WAIT_SLICE_MS ? left_ms : WAIT_SLICE_MS, err);
        }
    }
    return status;
}

static int send_bytes(struct rabbitmq_link *link, const char *name,
                      const struct cvm_envelope *envelope, unsigned char *bytes)
{
    char id[CVM_MESSAGE_ID_TEXT_SIZE];
    const char *type = cvm_message_type_name(envelope->type);
    cvm_message_id_format(&envelope->id, id);
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TYPE_FLAG,
        .delivery_mode = PERSISTENT,
        .message_id = amqp_cstring_bytes(id),
        .type = amqp_cstring_bytes(type),
    };
    amqp_bytes_t body = {cvm_envelope_bytes(envelope), bytes};
    cvm_envelope_encode(envelope, bytes);
    rabbitmq_call_begin(link);
    int code = amqp_basic_publish(link->connection, CHANNEL_MESSAGES, amqp_empty_bytes,
                                  amqp_cstring_bytes(name), 1, 0, &properties, body);
    rabbitmq_call_end(link);
    return code;
}

static enum cvm_status publish_one(struct rabbitmq_link *link, const char *queue,
                                   struct cvm_sending *sending, unsigned char *bytes,
                                   struct cvm_error *err)
{
    char name[CVM_BROKER_FULL_NAME_SIZE];
    uint64_t sequence = link->next_sequence++;
    cvm_broker_full_name(link->base.broker, queue, sending->envelope->priority, name);
    *entry_of(link, sequence) =
        (struct window_entry){.sending = sending, .id = sending->envelope->id, .is_open = true};
    link->waiting++;
    sending->state = CVM_SENDING_PENDING;
    int code = send_bytes(link, name, sending->envelope, bytes);
    return code == AMQP_STATUS_OK ? CVM_OK : lose(link, code, "publish", err);
}

static size_t longest(const struct cvm_sending *sendings, size_t count)
{
    size_t most = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length = cvm_envelope_bytes(sendings[i].envelope);
        most = length > most ? length : most;
    }
    return most;
}

static enum cvm_status publish(struct rabbitmq_link *link, const char *queue,
                               struct cvm_sending *sendings, size_t count, struct cvm_error *err)
{
    bool has_room = true;
    size_t done = 0;
    unsigned char *bytes = malloc(longest(sendings, count));
    enum cvm_status status = bytes == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to send with")
                                           : rabbitmq_connect(link, err);
    for (; status == CVM_OK && has_room && done < count; done += has_room) {
        if (done % HEAR_EVERY == 0 || rabbitmq_now_ns() - link->heard_ns > HEAR_EVERY_NS) {
            status = hear(link, 0, err);
        }
        if (status == CVM_OK) {
            status = wait_for_room(link, &has_room, err);
        }
        if (status == CVM_OK && has_room) {
            status = publish_one(link, queue, &sendings[done], bytes, err);
        }
    }
    free(bytes);
    if (status == CVM_OK) {
        for (; done < count; done++) {
            cvm_sending_end(&link->base, &sendings[done], CVM_SENDING_REFUSED);
        }
    }
    return status;
}

/* Whoever is still unconfirmed keeps its place in the window, for the server will say something of
 * it some time; but nobody waits for that. */
static void give_up_waiting(struct rabbitmq_link *link)
{
    for (uint64_t sequence = link->first_open; sequence < link->next_sequence; sequence++) {
        struct window_entry *entry = entry_of(link, sequence);
        if (entry->is_open && entry->sending != NULL) {
            cvm_sending_end(&link->base, entry->sending, CVM_SENDING_UNKNOWN);
            entry->sending = NULL;
            link->waiting--;
        }
    }
}

static enum cvm_status confirm(struct rabbitmq_link *link, int timeout_ms, struct cvm_error *err)
{
    int64_t until_ns = rabbitmq_now_ns() + (int64_t)timeout_ms * 1000000;
    enum cvm_status status = CVM_OK;
    if (link->connection == NULL) { /* everything has its end already */
        *err = link->lost;
        return link->lost.status;
    }
    do {
        status = hear(link, link->waiting == 0 ? 0 : milliseconds_to(until_ns), err);
    } while (status == CVM_OK && link->waiting > 0 && milliseconds_to(until_ns) > 0);
    if (status == CVM_OK && link->waiting > 0) {
        status = CVM_FAIL(err, CVM_E_TIMEOUT, "rabbitmq: %zu envelopes not confirmed in %d ms%s",
                          link->waiting, timeout_ms,
                          link->is_blocked ? ": it is short of memory or disk" : "");
        give_up_waiting(link);
    }
    return status;
}

/* ---- receiving ---- */

static const char *text_or_null(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

static size_t hand_out(struct rabbitmq_link *link, struct cvm_delivery *deliveries, size_t max)
{
    uint32_t limit = link->base.broker->options.delivery_limit;
    size_t count = 0;
    for (int p = CVM_PRIORITY_COUNT - 1; p >= 0; p--) {
        struct incoming_list *list = &link->ready[p];
        while (count < max && list->first != NULL) {
            struct incoming *incoming = list->first;
            struct cvm_slice raw = {(const char *)incoming->bytes, incoming->length};
            const char *queue = link->subscriptions[incoming->subscription];
            bool came_too_often = strcmp(incoming->died_of, CVM_BROKER_DELIVERY_LIMIT) == 0;
            list->first = incoming->next;
            deliveries[count++] = (struct cvm_delivery){
                .envelope = incoming->is_readable ? &incoming->envelope : NULL,
                .raw = cvm_broker_takes_bytes(queue) ? raw : (struct cvm_slice){NULL, 0},
                .died_in = text_or_null(incoming->died_in),
                .died_of = text_or_null(incoming->died_of),
                .died_after = came_too_often ? limit : 0,
                .attempt = incoming->attempt,
                .queue = queue,
                .held = incoming,
            };
        }
    }
    return count;
}

/* Until it is time to try again, or the caller's time is over. */
static void wait_for_retry(const struct rabbitmq_link *link, int64_t until_ns)
{
    int64_t wake_ns = link->next_try_ns < until_ns ? link->next_try_ns : until_ns;
    (void)poll(NULL, 0, (int)milliseconds_to(wake_ns));
}

static enum cvm_status receive(struct rabbitmq_link *link, struct cvm_delivery *deliveries,
                               size_t max, int timeout_ms, size_t *out_count, struct cvm_error *err)
{
    int64_t until_ns = rabbitmq_now_ns() + (int64_t)timeout_ms * 1000000;
    for (;;) {
        bool has_some = link->ready[CVM_PRIORITY_NORMAL].first != NULL ||
                        link->ready[CVM_PRIORITY_HIGH].first != NULL;
        int64_t left_ms = milliseconds_to(until_ns);
        struct cvm_error found = {.message = ""};
        enum cvm_status status = rabbitmq_connect(link, &found);
        if (status == CVM_OK) {
            status = hear(link, has_some ? 0 : left_ms, &found);
        }
        size_t count = status == CVM_OK ? hand_out(link, deliveries, max) : 0;
        if (count > 0 || (status == CVM_OK && milliseconds_to(until_ns) == 0)) {
            *out_count = count;
            return CVM_OK;
        }
        if (status != CVM_OK && (status != CVM_E_UNAVAILABLE || milliseconds_to(until_ns) == 0)) {
            if (err != NULL) {
                *err = found;
            }
            return status;
        }
        if (status != CVM_OK) {
            wait_for_retry(link, until_ns);
        }
    }
}

static enum cvm_status settle(struct rabbitmq_link *link, void *held, enum cvm_settling how,
                              struct cvm_error *err)
{
    struct incoming *incoming = held;
    uint64_t tag = incoming->server_tag;
    bool is_there = link->connection != NULL && incoming->generation == link->generation;
    /* What is in "dead" has no further grave: without this it would be gone. */
    bool comes_again = how == CVM_SETTLE_REQUEUE ||
                       strcmp(link->subscriptions[incoming->subscription], CVM_BROKER_DEAD) == 0;
    int code = AMQP_STATUS_OK;
    free(incoming);
    if (how == CVM_SETTLE_ABANDON) {
        return CVM_OK; /* the end of the connection gives it back */
    }
    if (is_there) {
        rabbitmq_call_begin(link);
        code = how == CVM_SETTLE_ACK
                   ? amqp_basic_ack(link->connection, CHANNEL_MESSAGES, tag, 0)
                   : amqp_basic_nack(link->connection, CHANNEL_MESSAGES, tag, 0, comes_again);
        rabbitmq_call_end(link);
        if (code != AMQP_STATUS_OK) {
            (void)lose(link, code, "acknowledge", NULL);
        }
    }
    return is_there && code == AMQP_STATUS_OK
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_CONFLICT,
                          "rabbitmq: the connection of the delivery is gone: it comes again");
}

/* ---- calls ---- */

static enum cvm_status rabbitmq_call_declare(struct cvm_broker_link *base, const char *queue,
                                             struct cvm_error *err)
{
    struct rabbitmq_link *link = enter(base);
    return leave(link, make_queue(link, queue, err));
}

static enum cvm_status rabbitmq_call_publish(struct cvm_broker_link *base, const char *queue,
                                             struct cvm_sending *sendings, size_t count,
                                             struct cvm_error *err)
{
    struct rabbitmq_link *link = enter(base);
    return leave(link, publish(link, queue, sendings, count, err));
}

static enum cvm_status rabbitmq_call_confirm(struct cvm_broker_link *base, int timeout_ms,
                                             struct cvm_error *err)
{
    struct rabbitmq_link *link = enter(base);
    return leave(link, confirm(link, timeout_ms, err));
}

static enum cvm_status rabbitmq_call_subscribe(struct cvm_broker_link *base, const char *queue,
                                               struct cvm_error *err)
{
    struct rabbitmq_link *link = enter(base);
    return leave(link, subscribe(link, queue, err));
}

static enum cvm_status rabbitmq_call_receive(struct cvm_broker_link *base,
                                             struct cvm_delivery *deliveries, size_t max,
                                             int timeout_ms, size_t *out_count,
                                             struct cvm_error *err)
{
    struct rabbitmq_link *link = enter(base);
    return leave(link, receive(link, deliveries, max, timeout_ms, out_count, err));
}

static enum cvm_status rabbitmq_call_settle(struct cvm_broker_link *base, void *held,
                                            enum cvm_settling how, struct cvm_error *err)
{
    struct rabbitmq_link *link = enter(base);
    return leave(link, settle(link, held, how, err));
}

static enum cvm_status rabbitmq_call_depth(struct cvm_broker_link *base, const char *queue,
                                           struct cvm_broker_depth *out_depth,
                                           struct cvm_error *err)
{
    struct rabbitmq_link *link = enter(base);
    return leave(link, rabbitmq_depth(link, queue, out_depth, err));
}

const struct cvm_broker_backend cvm_broker_rabbitmq = {
    .abilities = CVM_BROKER_NACKS | CVM_BROKER_BOUNDS,
    .open = rabbitmq_open,
    .close = rabbitmq_close,
    .link_open = rabbitmq_link_open,
    .link_close = rabbitmq_link_close,
    .declare = rabbitmq_call_declare,
    .publish = rabbitmq_call_publish,
    .confirm = rabbitmq_call_confirm,
    .subscribe = rabbitmq_call_subscribe,
    .receive = rabbitmq_call_receive,
    .settle = rabbitmq_call_settle,
    .depth = rabbitmq_call_depth,
};
