/* broker.c - what all brokers have in common: names, checks, tags of deliveries, counters. */
#include "messaging/broker.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "messaging/broker_backend.h"

#define PREFETCH_DEFAULT       64
#define PREFETCH_MAX           65536
#define QUEUE_DEFAULT          100000
#define DELIVERY_LIMIT_DEFAULT 8
#define TIMEOUT_DEFAULT_MS     5000

/* Senders and receivers count on cache lines of their own. */
struct counter {
    _Alignas(64) _Atomic uint64_t value;
};

struct cvm_broker_guard {
    struct counter counts[CVM_BROKER_COUNTER_COUNT];
    _Atomic uint32_t link_count;
    uint64_t published[CVM_BROKER_COUNTER_COUNT]; /* in the registry so far */
};

/* What a link has been delivered and has not settled: a slot each. A tag is the slot and how often
 * a slot was given out, so a tag that was settled is never taken for a later one. */
struct cvm_broker_holding {
    uint64_t turn;
    uint32_t capacity;
    uint32_t free_count;
    uint32_t *free_slots;
    struct held {
        uint64_t tag; /* 0 = free */
        void *item;
    } slots[];
};

static const struct scheme {
    const char *name;
    const struct cvm_broker_backend *backend;
} schemes[] = {
    {"local", &cvm_broker_local},
#ifdef CVM_HAS_RABBITMQ
    {"amqp", &cvm_broker_rabbitmq}, {"amqps", &cvm_broker_rabbitmq},
#endif
#ifdef CVM_HAS_KAFKA
    {"kafka", &cvm_broker_kafka},   {"kafkas", &cvm_broker_kafka},
#endif
};
#define SCHEME_COUNT (sizeof(schemes) / sizeof(schemes[0]))

/* ---- life ---- */

static enum cvm_status refuse_scheme(const char *url, size_t length, struct cvm_error *err)
{
    const char *names[SCHEME_COUNT + 1];
    char list[CVM_WORD_LIST_SIZE];
    for (size_t i = 0; i < SCHEME_COUNT; i++) {
        names[i] = schemes[i].name;
    }
    names[SCHEME_COUNT] = NULL;
    cvm_word_list(names, list);
    /* Only the scheme: the rest may hold a password. */
    return CVM_FAIL(err, CVM_E_INVALID, "there is no broker '%.*s:' in this program: %s",
                    length > 32 ? 32 : (int)length, url, list);
}

static struct cvm_broker_options with_defaults(const struct cvm_broker_options *given)
{
    struct cvm_broker_options options = *given;
    options.prefix = given->prefix == NULL ? "" : given->prefix;
    options.prefetch = given->prefetch == 0 ? PREFETCH_DEFAULT : given->prefetch;
    options.prefetch = options.prefetch > PREFETCH_MAX ? PREFETCH_MAX : options.prefetch;
    options.queue_max = given->queue_max == 0 ? QUEUE_DEFAULT : given->queue_max;
    options.delivery_limit =
        given->delivery_limit == 0 ? DELIVERY_LIMIT_DEFAULT : given->delivery_limit;
    options.timeout_ms = given->timeout_ms <= 0 ? TIMEOUT_DEFAULT_MS : given->timeout_ms;
    if (given->context.clock.now_ms == NULL) {
        options.context.clock = cvm_clock_system;
    }
    return options;
}

enum cvm_status cvm_broker_open(const char *url, const struct cvm_broker_options *options,
                                struct cvm_broker **out_broker, struct cvm_error *err)
{
    assert(url != NULL && options != NULL && out_broker != NULL);
    size_t length = strcspn(url, ":");
    const struct cvm_broker_backend *backend = NULL;
    struct cvm_broker *broker = NULL;
    for (size_t i = 0; i < SCHEME_COUNT; i++) {
        bool is_it = url[length] == ':' && strlen(schemes[i].name) == length &&
                     strncmp(schemes[i].name, url, length) == 0;
        backend = is_it ? schemes[i].backend : backend;
    }
    if (backend == NULL) {
        return refuse_scheme(url, length, err);
    }
    struct cvm_broker_options full = with_defaults(options);
    if (strlen(full.prefix) > CVM_BROKER_PREFIX_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "the prefix of the broker's queues is too long");
    }
    struct cvm_broker_guard *guard = aligned_alloc(64, sizeof(*guard));
    if (guard == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a broker");
    }
    memset(guard, 0, sizeof(*guard));
    enum cvm_status status = backend->open(url, &full, &broker, err);
    if (status != CVM_OK) {
        free(guard);
        return status;
    }
    broker->backend = backend;
    broker->options = full;
    memcpy(broker->prefix, full.prefix, strlen(full.prefix) + 1);
    broker->options.prefix = broker->prefix;
    broker->guard = guard;
    *out_broker = broker;
    return CVM_OK;
}

void cvm_broker_close(struct cvm_broker *broker)
{
    if (broker != NULL) {
        struct cvm_broker_guard *guard = broker->guard;
        assert(atomic_load(&guard->link_count) == 0);
        broker->backend->close(broker);
        free(guard);
    }
}

unsigned cvm_broker_abilities(const struct cvm_broker *broker)
{
    return broker->backend->abilities;
}

/* "dead" need not be there: that the broker says so is all that is asked for. */
enum cvm_status cvm_broker_check(struct cvm_broker *broker, struct cvm_error *err)
{
    struct cvm_broker_link *link = NULL;
    struct cvm_broker_depth depth;
    struct cvm_error found = {.message = ""};
    enum cvm_status status = cvm_broker_link_open(broker, &link, &found);
    if (status == CVM_OK) {
        status = cvm_broker_depth_of(link, CVM_BROKER_DEAD, &depth, &found);
    }
    cvm_broker_link_close(link);
    if (status == CVM_OK || status == CVM_E_NOT_FOUND) {
        return CVM_OK;
    }
    if (err != NULL) {
        *err = found;
    }
    return status;
}

static struct cvm_broker_holding *holding_create(uint32_t capacity)
{
    struct cvm_broker_holding *holding =
        calloc(1, sizeof(*holding) + capacity * sizeof(holding->slots[0]));
    uint32_t *free_slots = calloc(capacity, sizeof(*free_slots));
    if (holding == NULL || free_slots == NULL) {
        free(holding);
        free(free_slots);
        return NULL;
    }
    holding->turn = 1;
    holding->capacity = capacity;
    holding->free_count = capacity;
    holding->free_slots = free_slots;
    for (uint32_t i = 0; i < capacity; i++) {
        free_slots[i] = capacity - 1 - i;
    }
    return holding;
}

static void holding_destroy(struct cvm_broker_holding *holding)
{
    if (holding != NULL) {
        free(holding->free_slots);
        free(holding);
    }
}

enum cvm_status cvm_broker_link_open(struct cvm_broker *broker, struct cvm_broker_link **out_link,
                                     struct cvm_error *err)
{
    struct cvm_broker_link *link = NULL;
    struct cvm_broker_holding *holding = holding_create(broker->options.prefetch);
    if (holding == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a link to the broker");
    }
    enum cvm_status status = broker->backend->link_open(broker, &link, err);
    if (status != CVM_OK) {
        holding_destroy(holding);
        return status;
    }
    link->broker = broker;
    link->holding = holding;
    (void)atomic_fetch_add(&broker->guard->link_count, 1);
    *out_link = link;
    return CVM_OK;
}

void cvm_broker_link_close(struct cvm_broker_link *link)
{
    if (link == NULL) {
        return;
    }
    struct cvm_broker *broker = link->broker;
    struct cvm_broker_holding *holding = link->holding;
    for (uint32_t i = 0; i < holding->capacity; i++) {
        if (holding->slots[i].tag != 0) { /* it can only be told of what is lost anyway */
            (void)broker->backend->settle(link, holding->slots[i].item, CVM_SETTLE_ABANDON, NULL);
        }
    }
    broker->backend->link_close(link);
    holding_destroy(holding);
    (void)atomic_fetch_sub(&broker->guard->link_count, 1);
}

/* ---- names ---- */

bool cvm_broker_is_reply(const char *queue)
{
    return strncmp(queue, "reply.", 6) == 0;
}

void cvm_broker_full_name(const struct cvm_broker *broker, const char *queue,
                          enum cvm_priority priority, char out[CVM_BROKER_FULL_NAME_SIZE])
{
    bool is_high = priority == CVM_PRIORITY_HIGH && !cvm_broker_is_reply(queue) &&
                   strcmp(queue, CVM_BROKER_DEAD) != 0;
    (void)snprintf(out, CVM_BROKER_FULL_NAME_SIZE, "%s%s%s", broker->options.prefix, queue,
                   is_high ? ".high" : "");
}

static enum cvm_status check_name(const char *queue, struct cvm_error *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-.";
    size_t length = strlen(queue);
    bool is_high = length > 5 && strcmp(queue + length - 5, ".high") == 0;
    if (length == 0 || length > CVM_BROKER_NAME_MAX || strspn(queue, allowed) != length ||
        is_high) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_INVALID, "'%.100s' is no name of a queue", queue);
        return cvm_error_hint(err, status,
                              "Up to %d of a-z 0-9 _ - and '.', not ending in '.high'.",
                              CVM_BROKER_NAME_MAX);
    }
    return CVM_OK;
}

/* ---- counters ---- */

void cvm_broker_count(struct cvm_broker *broker, enum cvm_broker_counter counter, uint64_t amount)
{
    (void)atomic_fetch_add_explicit(&broker->guard->counts[counter].value, amount,
                                    memory_order_relaxed);
}

static uint64_t count_of(const struct cvm_broker *broker, size_t counter)
{
    return atomic_load_explicit(&broker->guard->counts[counter].value, memory_order_relaxed);
}

struct cvm_broker_counts cvm_broker_counts_of(const struct cvm_broker *broker)
{
    return (struct cvm_broker_counts){
#define X(member, help) .member = count_of(broker, CVM_BROKER_COUNT_##member),
        CVM_BROKER_COUNT_TABLE(X)
#undef X
    };
}

void cvm_broker_report(struct cvm_broker *broker, struct cvm_metrics *metrics)
{
    static const struct {
        const char *name;
        const char *help;
    } reported[] = {
#define X(member, help) {"cvm_broker_" #member "_total", help},
        CVM_BROKER_COUNT_TABLE(X)
#undef X
    };
    for (size_t i = 0; i < CVM_BROKER_COUNTER_COUNT; i++) {
        uint64_t now = count_of(broker, i);
        struct cvm_metric *metric =
            cvm_metrics_get(metrics, CVM_METRIC_COUNTER, reported[i].name, "", reported[i].help);
        cvm_metric_add(metric, (double)(now - broker->guard->published[i]));
        broker->guard->published[i] = now;
    }
}

void cvm_broker_log(const struct cvm_broker *broker, const char *event, const struct cvm_error *err)
{
    CVM_LOG(broker->options.context.log, CVM_LOG_WARN, event, CVM_TEXT("reason", err->message),
            CVM_TEXT("status", cvm_status_name(err->status)));
}

/* ---- sending ---- */

void cvm_sending_end(struct cvm_broker_link *link, struct cvm_sending *sending,
                     enum cvm_sending_state state)
{
    bool can_travel = (link->broker->backend->abilities & CVM_BROKER_OBJECTS) != 0;
    sending->state = state;
    link->ended[state]++;
    if (state == CVM_SENDING_CONFIRMED && sending->object != NULL && !can_travel) {
        sending->release(sending->object);
        sending->object = NULL;
    }
}

enum cvm_status cvm_broker_declare(struct cvm_broker_link *link, const char *queue,
                                   struct cvm_error *err)
{
    enum cvm_status status = check_name(queue, err);
    if (status == CVM_OK && cvm_broker_is_reply(queue)) {
        status = CVM_FAIL(err, CVM_E_INVALID, "the reply queue '%s' is made by subscribing to it",
                          queue);
    }
    return status == CVM_OK ? link->broker->backend->declare(link, queue, err) : status;
}

enum cvm_status cvm_broker_publish(struct cvm_broker_link *link, const char *queue,
                                   struct cvm_sending *sendings, size_t count,
                                   struct cvm_error *err)
{
    enum cvm_status status = check_name(queue, err);
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        assert(sendings[i].object == NULL || sendings[i].release != NULL);
        sendings[i].state = CVM_SENDING_NEW;
        status = cvm_envelope_check(sendings[i].envelope, err);
    }
    if (status != CVM_OK || count == 0) {
        return status;
    }
    cvm_broker_count(link->broker, CVM_BROKER_COUNT_published, count);
    return link->broker->backend->publish(link, queue, sendings, count, err);
}

/* `reason` is why the wait ended, if not because all was confirmed. */
static enum cvm_status judge_sendings(const struct cvm_broker_link *link,
                                      const struct cvm_error *reason, struct cvm_error *err)
{
    const uint64_t *ended = link->ended;
    if (ended[CVM_SENDING_UNKNOWN] > 0 && reason->status != CVM_OK) {
        if (err != NULL) {
            *err = *reason;
        }
        return reason->status;
    }
    if (ended[CVM_SENDING_UNKNOWN] > 0) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "%llu envelopes were not confirmed by the broker",
                        (unsigned long long)ended[CVM_SENDING_UNKNOWN]);
    }
    if (ended[CVM_SENDING_NO_QUEUE] > 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "%llu envelopes were for a queue that is not there",
                        (unsigned long long)ended[CVM_SENDING_NO_QUEUE]);
    }
    if (ended[CVM_SENDING_REFUSED] > 0) {
        return CVM_FAIL(err, CVM_E_LIMIT, "%llu envelopes were refused: their queue is full",
                        (unsigned long long)ended[CVM_SENDING_REFUSED]);
    }
    return CVM_OK;
}

enum cvm_status cvm_broker_confirm(struct cvm_broker_link *link, int timeout_ms,
                                   struct cvm_error *err)
{
    struct cvm_error reason = {.message = ""};
    struct cvm_broker *broker = link->broker;
    (void)broker->backend->confirm(link, timeout_ms, &reason);
    enum cvm_status status = judge_sendings(link, &reason, err);
    cvm_broker_count(broker, CVM_BROKER_COUNT_confirmed, link->ended[CVM_SENDING_CONFIRMED]);
    cvm_broker_count(broker, CVM_BROKER_COUNT_refused, link->ended[CVM_SENDING_REFUSED]);
    cvm_broker_count(broker, CVM_BROKER_COUNT_returned, link->ended[CVM_SENDING_NO_QUEUE]);
    cvm_broker_count(broker, CVM_BROKER_COUNT_unknown, link->ended[CVM_SENDING_UNKNOWN]);
    memset(link->ended, 0, sizeof(link->ended));
    return status;
}

/* ---- receiving ---- */

bool cvm_broker_read(struct cvm_broker_link *link, const char *queue, struct cvm_slice bytes,
                     struct cvm_envelope *out_envelope)
{
    struct cvm_error err; /* a kilobyte, for each message: it is not cleared first */
    struct cvm_broker *broker = link->broker;
    if (cvm_envelope_decode(bytes.data, bytes.length, out_envelope, &err) == CVM_OK) {
        return true;
    }
    if (strcmp(queue, CVM_BROKER_DEAD) != 0) { /* there it is known already */
        cvm_broker_count(broker, CVM_BROKER_COUNT_unreadable, 1);
        CVM_LOG(broker->options.context.log, CVM_LOG_WARN, "message_unreadable",
                CVM_TEXT("queue", queue), CVM_TEXT("reason", err.message));
    }
    return false;
}

enum cvm_status cvm_broker_subscribe(struct cvm_broker_link *link, const char *queue,
                                     struct cvm_error *err)
{
    enum cvm_status status = check_name(queue, err);
    return status == CVM_OK ? link->broker->backend->subscribe(link, queue, err) : status;
}

static uint64_t hold(struct cvm_broker_holding *holding, void *item)
{
    uint32_t slot = holding->free_slots[--holding->free_count];
    uint64_t tag = holding->turn++ * holding->capacity + slot;
    holding->slots[slot] = (struct held){tag, item};
    return tag;
}

void cvm_broker_end_waiting(struct cvm_broker *broker)
{
    if (broker->backend->end_waiting != NULL) {
        broker->backend->end_waiting(broker);
    }
}

enum cvm_status cvm_broker_receive(struct cvm_broker_link *link, struct cvm_delivery *deliveries,
                                   size_t max, int timeout_ms, size_t *out_count,
                                   struct cvm_error *err)
{
    struct cvm_broker_holding *holding = link->holding;
    size_t count = 0;
    uint64_t again = 0;
    if (holding->free_count == 0) {
        return CVM_FAIL(err, CVM_E_LIMIT, "all of %u deliveries are unacknowledged",
                        holding->capacity);
    }
    max = max > holding->free_count ? holding->free_count : max;
    enum cvm_status status =
        link->broker->backend->receive(link, deliveries, max, timeout_ms, &count, err);
    if (status != CVM_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        deliveries[i].tag = hold(holding, deliveries[i].held);
        again += deliveries[i].attempt > 1;
    }
    if (count > 0) {
        cvm_broker_count(link->broker, CVM_BROKER_COUNT_received, count);
        cvm_broker_count(link->broker, CVM_BROKER_COUNT_redelivered, again);
    }
    *out_count = count;
    return CVM_OK;
}

static enum cvm_status settle(struct cvm_broker_link *link, uint64_t tag, enum cvm_settling how,
                              struct cvm_error *err)
{
    struct cvm_broker_holding *holding = link->holding;
    uint32_t slot = (uint32_t)(tag % holding->capacity);
    struct held *held = &holding->slots[slot];
    assert(tag != 0 && held->tag == tag); /* settled twice, or another link's */
    held->tag = 0;
    holding->free_slots[holding->free_count++] = slot;
    return link->broker->backend->settle(link, held->item, how, err);
}

enum cvm_status cvm_broker_ack(struct cvm_broker_link *link, uint64_t tag, struct cvm_error *err)
{
    enum cvm_status status = settle(link, tag, CVM_SETTLE_ACK, err);
    if (status == CVM_OK) {
        cvm_broker_count(link->broker, CVM_BROKER_COUNT_acknowledged, 1);
    }
    return status;
}

enum cvm_status cvm_broker_nack(struct cvm_broker_link *link, uint64_t tag, enum cvm_nack how,
                                struct cvm_error *err)
{
    struct cvm_broker *broker = link->broker;
    bool is_dead = how == CVM_NACK_DEAD;
    if (!is_dead && (broker->backend->abilities & CVM_BROKER_NACKS) == 0) {
        return CVM_FAIL(err, CVM_E_DENIED, "this broker brings nothing back that was delivered");
    }
    enum cvm_status status = settle(link, tag, is_dead ? CVM_SETTLE_DEAD : CVM_SETTLE_REQUEUE, err);
    if (status == CVM_OK) {
        cvm_broker_count(broker, is_dead ? CVM_BROKER_COUNT_dead : CVM_BROKER_COUNT_requeued, 1);
    }
    return status;
}

enum cvm_status cvm_broker_depth_of(struct cvm_broker_link *link, const char *queue,
                                    struct cvm_broker_depth *out_depth, struct cvm_error *err)
{
    enum cvm_status status = check_name(queue, err);
    return status == CVM_OK ? link->broker->backend->depth(link, queue, out_depth, err) : status;
}
