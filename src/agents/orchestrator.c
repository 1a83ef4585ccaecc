#include "agents/orchestrator.h"

#include <stdlib.h>
#include <string.h>

#include "agents/own_run.h"
#include "agents/registry.h"
#include "base/columns.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/trace.h"
#include "messaging/broker.h"
#include "storage/audit_chain.h"
#include "storage/lease.h"
#include "workflows/flow.h"

#define LEASE_DEFAULT_MS  10000
#define LOOKS_PER_CALL    64
#define MESSAGES_PER_SEND 64
#define CONFIRM_MS        5000
#define CLOCK_EVERY_MS    5000
#define PURGE_EVERY_MS    3600000
#define SEAL_EVERY_MS     60000
#define ARENA_BYTES_MAX   ((size_t)256 << 20)
#define SERVED_EVERY_MS   1000
#define QUEUES_MAX        16

struct partition {
    int64_t epoch;     /* 0 = not ours */
    int64_t renew_ms;  /* by then, steady */
    int64_t expiry_ms; /* from then on we do not know whether it is ours, steady */
    bool is_recovered;
};

/* A queue that something was sent to. */
struct served {
    const char *queue; /* the name of a kind */
    struct cvm_absence absence;
    bool is_unserved;
};

/* Where a command carries out its own run, its workflow is the only one that is looked at. */
struct cvm_orchestrator {
    struct cvm_orchestrator_options options;
    struct cvm_flow *flow;
    struct cvm_buffer bytes; /* of a message */
    struct partition partitions[CVM_FLOW_PARTITIONS];
    int64_t clock_ms; /* when schedules are looked at next, steady */
    int64_t purge_ms; /* and what is over is forgotten */
    int64_t seal_ms;  /* and the audit log is sealed */
    struct served served[QUEUES_MAX];
    size_t served_count;
    int64_t served_ms; /* when they are looked at next */
};

static int64_t steady_ms(const struct cvm_orchestrator *orchestrator)
{
    const struct cvm_clock *clock = &orchestrator->options.context->clock;
    return clock->steady_ns(clock->state) / 1000000;
}

/* ---- what is sent ---- */

/* {"input": ..., "needs": ...} gets the number of the step in front. */
static void write_payload(const struct cvm_flow_message *message, struct cvm_text *payload)
{
    cvm_text_add_format(payload, "{\"step_no\":%lld,", (long long)message->step_no);
    cvm_text_add_bytes(payload, message->payload + 1, message->payload_length - 1);
}

static struct cvm_slice slice_of(const char *text)
{
    return text == NULL ? (struct cvm_slice){"", 0} : (struct cvm_slice){text, strlen(text)};
}

/* The steps of a workflow are spans of one trace, also where who accepted it named none. */
static const char *trace_of(const struct cvm_flow_message *message, char text[CVM_TRACEPARENT_SIZE])
{
    struct cvm_random random;
    if (message->traceparent != NULL) {
        return message->traceparent;
    }
    cvm_random_init(&random, cvm_hash(message->workflow_id, strlen(message->workflow_id)));
    return cvm_traceparent_child((struct cvm_slice){"", 0}, &random, text);
}

static enum cvm_status encode(void *state, const struct cvm_flow_message *message,
                              struct cvm_text *out, struct cvm_error *err)
{
    struct cvm_orchestrator *orchestrator = state;
    struct cvm_text payload;
    char traceparent[CVM_TRACEPARENT_SIZE];
    struct cvm_envelope envelope = {
        .type = cvm_message_type_parse(message->type, strlen(message->type)),
        .schema_version = 1,
        .priority = message->priority > 0 ? CVM_PRIORITY_HIGH : CVM_PRIORITY_NORMAL,
        .attempt = (uint32_t)message->attempt,
        .shard = message->shard < 0 ? CVM_SHARD_NONE : (uint32_t)message->shard,
        .epoch = (uint64_t)message->epoch,
        .sender_incarnation = (uint64_t)orchestrator->options.incarnation,
        .created_ms = message->created_ms,
        .deadline_ms = message->deadline_ms,
        .run_id = slice_of(message->run_id),
        .workflow_id = slice_of(message->workflow_id),
        .step = slice_of(message->step),
        .sender = slice_of(orchestrator->options.name),
    };
    envelope.traceparent = slice_of(trace_of(message, traceparent));
    memcpy(envelope.id.bytes, message->message_id, sizeof(envelope.id.bytes));
    memcpy(envelope.idempotency_key, message->idempotency_key, sizeof(envelope.idempotency_key));
    cvm_text_init(&payload, CVM_ENVELOPE_PAYLOAD_MAX);
    write_payload(message, &payload);
    envelope.payload = (struct cvm_slice){cvm_text_string(&payload), payload.length};
    enum cvm_status status =
        payload.failed
            ? CVM_FAIL(err, CVM_E_LIMIT, "step '%s' needs to be told too much", message->step)
            : cvm_envelope_check(&envelope, err);
    if (status == CVM_OK) {
        size_t length = cvm_envelope_bytes(&envelope);
        status = cvm_buffer_reserve(&orchestrator->bytes, length, err);
        if (status == CVM_OK) {
            cvm_envelope_encode(&envelope, orchestrator->bytes.data);
            cvm_text_add_bytes(out, orchestrator->bytes.data, length);
        }
    }
    cvm_text_finish(&payload);
    return status == CVM_OK && out->failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a message")
                                           : status;
}

enum cvm_status cvm_orchestrator_create(const struct cvm_orchestrator_options *options,
                                        struct cvm_orchestrator **out_orchestrator,
                                        struct cvm_error *err)
{
    struct cvm_orchestrator *orchestrator = calloc(1, sizeof(*orchestrator));
    if (orchestrator == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an orchestrator");
    }
    orchestrator->options = *options;
    orchestrator->options.lease_ms = options->lease_ms > 0 ? options->lease_ms : LEASE_DEFAULT_MS;
    struct cvm_store *store = cvm_agent_writer_lock(options->site->writer);
    struct cvm_flow_options flow = {
        .store = store,
        .encode = encode,
        .encode_state = orchestrator,
        .seed = options->seed,
        .gives_up_at_once = options->site->own_run != NULL,
        .loses_messages = options->loses_messages,
    };
    enum cvm_status status = cvm_flow_create(&flow, &orchestrator->flow, err);
    cvm_agent_writer_unlock(options->site->writer);
    if (status != CVM_OK) {
        free(orchestrator);
        return status;
    }
    orchestrator->seal_ms = steady_ms(orchestrator) + SEAL_EVERY_MS;
    *out_orchestrator = orchestrator;
    return CVM_OK;
}

static const char *own_workflow(const struct cvm_orchestrator *orchestrator)
{
    const struct cvm_own_run *own = orchestrator->options.site->own_run;
    return own == NULL ? NULL : cvm_own_run_workflow_id(own);
}

static enum cvm_status begin_part(const struct cvm_orchestrator *orchestrator,
                                  struct cvm_store *store, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    return own_workflow(orchestrator) != NULL ? cvm_db_begin_light(db, err) : cvm_db_begin(db, err);
}

void cvm_orchestrator_destroy(struct cvm_orchestrator *orchestrator)
{
    if (orchestrator == NULL) {
        return;
    }
    struct cvm_store *store = cvm_agent_writer_lock(orchestrator->options.site->writer);
    for (int64_t p = 0; p < CVM_FLOW_PARTITIONS; p++) {
        char resource[CVM_FLOW_RESOURCE_SIZE];
        if (orchestrator->partitions[p].epoch != 0 &&
            begin_part(orchestrator, store, NULL) == CVM_OK) {
            /* Who can not give it back lets it expire. */
            (void)!cvm_lease_release(store, cvm_flow_resource(p, resource),
                                     orchestrator->partitions[p].epoch, NULL);
            (void)!cvm_db_commit(cvm_store_db(store), NULL);
        }
    }
    cvm_flow_destroy(orchestrator->flow);
    cvm_buffer_finish(&orchestrator->bytes);
    cvm_agent_writer_unlock(orchestrator->options.site->writer);
    free(orchestrator);
}

/* ---- leases ---- */

/* The only writer of the store steals it from who died with it. */
static enum cvm_status take_lease(const struct cvm_orchestrator *orchestrator,
                                  struct cvm_store *store, const char *resource,
                                  struct partition *partition, struct cvm_error *err)
{
    const struct cvm_orchestrator_options *options = &orchestrator->options;
    const struct cvm_lease_wish wish = {resource, options->name, options->incarnation,
                                        options->lease_ms};
    partition->is_recovered = false;
    return own_workflow(orchestrator) != NULL
               ? cvm_lease_steal(store, &wish, &partition->epoch, err)
               : cvm_lease_acquire(store, &wish, &partition->epoch, err);
}

/* Ours until it expires: renewed at a third of its time, given up at half of it without renewal. */
static enum cvm_status keep_lease(struct cvm_orchestrator *orchestrator, struct cvm_store *store,
                                  int64_t number, struct cvm_error *err)
{
    const struct cvm_orchestrator_options *options = &orchestrator->options;
    struct partition *partition = &orchestrator->partitions[number];
    char resource[CVM_FLOW_RESOURCE_SIZE];
    int64_t now_ms = steady_ms(orchestrator);
    enum cvm_status status = CVM_OK;
    cvm_flow_resource(number, resource);
    if (partition->epoch != 0 && now_ms < partition->renew_ms) {
        return CVM_OK;
    }
    status = begin_part(orchestrator, store, err);
    if (status == CVM_OK) {
        status = partition->epoch != 0
                     ? cvm_lease_renew(store, resource, partition->epoch, options->lease_ms, err)
                     : take_lease(orchestrator, store, resource, partition, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(cvm_store_db(store), err);
    }
    cvm_db_rollback(cvm_store_db(store));
    if (status == CVM_OK) {
        partition->renew_ms = now_ms + options->lease_ms / 3;
        partition->expiry_ms = now_ms + options->lease_ms / 2;
    } else if (status == CVM_E_CONFLICT || now_ms >= partition->expiry_ms) {
        partition->epoch = 0; /* another's, or nobody knows whose */
    }
    return status == CVM_E_CONFLICT ? CVM_OK : status;
}

/* ---- looking ---- */

typedef enum cvm_status (*look_fn)(struct cvm_flow *flow, const char *workflow_id, int64_t epoch,
                                   struct cvm_flow_look *out_look, struct cvm_error *err);

static enum cvm_status look_at(struct cvm_orchestrator *orchestrator, struct cvm_store *store,
                               int64_t number, const char *workflow_id, look_fn look,
                               struct cvm_error *err)
{
    char resource[CVM_FLOW_RESOURCE_SIZE];
    struct partition *partition = &orchestrator->partitions[number];
    struct cvm_turn_key key = {.resource = cvm_flow_resource(number, resource),
                               .epoch = partition->epoch,
                               .is_light = own_workflow(orchestrator) != NULL};
    struct cvm_turn_transaction turn;
    struct cvm_flow_look seen;
    enum cvm_status status = cvm_turn_begin(store, &key, &turn, err);
    if (status == CVM_OK) {
        status = look(orchestrator->flow, workflow_id, partition->epoch, &seen, err);
        if (status == CVM_OK) {
            status = cvm_turn_commit(&turn, err);
        } else {
            cvm_turn_abandon(&turn);
        }
    }
    if (status == CVM_E_CONFLICT) {
        partition->epoch = 0; /* fenced */
    }
    /* Nobody would resume it while the command waits. */
    bool is_over = status == CVM_OK &&
                   (cvm_workflow_has_ended(seen.state) || seen.state == CVM_WORKFLOW_PAUSED);
    if (is_over && own_workflow(orchestrator) != NULL) {
        cvm_own_run_end(orchestrator->options.site->own_run);
    }
    return status;
}

static enum cvm_status look_at_own(struct cvm_orchestrator *orchestrator, struct cvm_store *store,
                                   int64_t number, struct cvm_orchestrator_look *out,
                                   struct cvm_error *err)
{
    struct partition *partition = &orchestrator->partitions[number];
    bool is_taken_up =
        !partition->is_recovered && cvm_own_run_is_taken_up(orchestrator->options.site->own_run);
    enum cvm_status status = look_at(orchestrator, store, number, own_workflow(orchestrator),
                                     is_taken_up ? cvm_flow_recover : cvm_flow_look, err);
    partition->is_recovered |= status == CVM_OK;
    out->looked++;
    return status == CVM_E_CONFLICT ? CVM_OK : status;
}

static enum cvm_status look_at_all(struct cvm_orchestrator *orchestrator, struct cvm_store *store,
                                   int64_t number, struct cvm_orchestrator_look *out,
                                   struct cvm_error *err)
{
    struct partition *partition = &orchestrator->partitions[number];
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES_MAX);
    struct cvm_workflow_ids ids = {0};
    int64_t now_ms = 0;
    enum cvm_status status =
        arena == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for workflows") : CVM_OK;
    if (status == CVM_OK && !partition->is_recovered) {
        status = cvm_workflow_open_ids(store, arena, number, &ids, err);
        for (size_t i = 0; status == CVM_OK && i < ids.count; i++) {
            status = look_at(orchestrator, store, number, ids.ids[i], cvm_flow_recover, err);
        }
        partition->is_recovered = status == CVM_OK;
    }
    if (status == CVM_OK) {
        status = cvm_lease_now(store, &now_ms, err);
    }
    if (status == CVM_OK) {
        status = cvm_workflow_due(store, arena, number, now_ms, LOOKS_PER_CALL, &ids, err);
    }
    for (size_t i = 0; status == CVM_OK && i < ids.count; i++) {
        status = look_at(orchestrator, store, number, ids.ids[i], cvm_flow_look, err);
        out->looked++;
    }
    cvm_arena_destroy(arena);
    return status == CVM_E_CONFLICT ? CVM_OK : status;
}

/* ---- by the clock ---- */

/* In a turn of the first partition: its owner is the one who looks. */
static enum cvm_status in_first(struct cvm_orchestrator *orchestrator, struct cvm_store *store,
                                enum cvm_status (*body)(struct cvm_orchestrator *,
                                                        struct cvm_store *, struct cvm_error *),
                                struct cvm_error *err)
{
    char resource[CVM_FLOW_RESOURCE_SIZE];
    struct partition *first = &orchestrator->partitions[0];
    struct cvm_turn_key key = {.resource = cvm_flow_resource(0, resource), .epoch = first->epoch};
    struct cvm_turn_transaction turn;
    enum cvm_status status = cvm_turn_begin(store, &key, &turn, err);
    if (status != CVM_OK) {
        first->epoch = status == CVM_E_CONFLICT ? 0 : first->epoch;
        return status == CVM_E_CONFLICT ? CVM_OK : status;
    }
    status = body(orchestrator, store, err);
    if (status != CVM_OK) {
        cvm_turn_abandon(&turn);
        return status;
    }
    return cvm_turn_commit(&turn, err);
}

/* One that can not start (its input is not what the workflow takes) must not stop the others. */
static enum cvm_status look_at_schedules(struct cvm_orchestrator *orchestrator,
                                         struct cvm_store *store, struct cvm_error *err)
{
    const struct cvm_orchestrator_options *options = &orchestrator->options;
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES_MAX);
    enum cvm_status status =
        arena == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for schedules") : CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < options->schedules.count; i++) {
        const struct cvm_schedule *schedule = &options->schedules.items[i];
        struct cvm_schedule_look look = {0};
        status = cvm_schedule_look(store, arena, schedule, options->scheduled[i], options->name,
                                   &look, err);
        if (look.outcome != NULL) {
            CVM_LOG(options->context->log, CVM_LOG_INFO, "schedule",
                    CVM_TEXT("schedule", schedule->name), CVM_TEXT("outcome", look.outcome),
                    CVM_INT("missed", look.missed));
        }
    }
    cvm_arena_destroy(arena);
    return status;
}

static enum cvm_status forget_old(struct cvm_orchestrator *orchestrator, struct cvm_store *store,
                                  struct cvm_error *err)
{
    (void)orchestrator;
    return cvm_flow_forget(store, err);
}

/* Commands seal what they wrote when they end; agents do not end. */
static enum cvm_status seal_audit(struct cvm_orchestrator *orchestrator, struct cvm_store *store,
                                  struct cvm_error *err)
{
    struct cvm_audit_seal seal;
    return cvm_audit_seal(store, orchestrator->options.site->audit_key, &seal, err);
}

static enum cvm_status look_at_clock(struct cvm_orchestrator *orchestrator, struct cvm_error *err)
{
    struct cvm_agent_writer *writer = orchestrator->options.site->writer;
    int64_t now_ms = steady_ms(orchestrator);
    enum cvm_status status = CVM_OK;
    if (orchestrator->partitions[0].epoch == 0 || own_workflow(orchestrator) != NULL) {
        return CVM_OK;
    }
    struct cvm_store *store = cvm_agent_writer_lock(writer);
    if (orchestrator->options.schedules.count > 0 && now_ms >= orchestrator->clock_ms) {
        status = in_first(orchestrator, store, look_at_schedules, err);
        orchestrator->clock_ms = now_ms + CLOCK_EVERY_MS;
    }
    if (status == CVM_OK && orchestrator->partitions[0].epoch != 0 &&
        now_ms >= orchestrator->purge_ms) {
        status = in_first(orchestrator, store, forget_old, err);
        orchestrator->purge_ms = now_ms + PURGE_EVERY_MS;
    }
    if (status == CVM_OK && orchestrator->partitions[0].epoch != 0 &&
        now_ms >= orchestrator->seal_ms) {
        status = in_first(orchestrator, store, seal_audit, err);
        orchestrator->seal_ms = now_ms + SEAL_EVERY_MS;
    }
    cvm_agent_writer_unlock(writer);
    return status;
}

/* ---- sending ---- */

struct relay {
    struct cvm_arena *arena;
    const char *only; /* of this workflow; NULL = all */
    struct cvm_sending sendings[MESSAGES_PER_SEND];
    struct cvm_envelope envelopes[MESSAGES_PER_SEND];
    const char *destinations[MESSAGES_PER_SEND];
    int64_t numbers[MESSAGES_PER_SEND];
    size_t count;
};

static bool is_of(const struct cvm_outbox_message *message, const char *workflow_id)
{
    struct cvm_envelope envelope;
    return cvm_envelope_decode(message->envelope, message->length, &envelope, NULL) == CVM_OK &&
           envelope.workflow_id.length == strlen(workflow_id) &&
           memcmp(envelope.workflow_id.data, workflow_id, envelope.workflow_id.length) == 0;
}

static enum cvm_status take_message(void *state, const struct cvm_outbox_message *message,
                                    struct cvm_error *err)
{
    struct relay *relay = state;
    size_t i = relay->count;
    if (relay->only != NULL && (i == MESSAGES_PER_SEND || !is_of(message, relay->only))) {
        return CVM_OK;
    }
    const char *bytes = cvm_arena_copy(relay->arena, message->envelope, message->length);
    relay->destinations[i] = cvm_arena_string(relay->arena, message->destination);
    if (bytes == NULL || relay->destinations[i] == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for messages");
    }
    enum cvm_status status = cvm_envelope_decode(bytes, message->length, &relay->envelopes[i], err);
    if (status == CVM_OK) {
        relay->sendings[i] = (struct cvm_sending){.envelope = &relay->envelopes[i]};
        relay->numbers[i] = message->outbox;
        relay->count++;
    }
    return status;
}

/* Messages for one queue go together; those of a queue that is away do not hold up the others. */
static void publish(struct relay *relay, struct cvm_broker_link *link)
{
    for (size_t i = 0; i < relay->count;) {
        size_t end = i + 1;
        while (end < relay->count &&
               strcmp(relay->destinations[end], relay->destinations[i]) == 0) {
            end++;
        }
        enum cvm_status status = cvm_broker_declare(link, relay->destinations[i], NULL);
        if (status == CVM_OK) {
            status = cvm_broker_publish(link, relay->destinations[i], &relay->sendings[i], end - i,
                                        NULL);
        }
        (void)!cvm_broker_confirm(link, CONFIRM_MS, NULL); /* the states tell */
        i = end;
    }
}

static void note_queue(struct cvm_orchestrator *orchestrator, const char *destination)
{
    const struct cvm_agent_kind *kind = cvm_agent_kind_find(destination);
    for (size_t i = 0; kind != NULL && i < orchestrator->served_count; i++) {
        kind = orchestrator->served[i].queue == kind->name ? NULL : kind;
    }
    if (kind != NULL && orchestrator->served_count < QUEUES_MAX) {
        orchestrator->served[orchestrator->served_count++] = (struct served){.queue = kind->name};
    }
}

/* Work is not lost where nobody serves its queue; a person has to know why it does not go on. */
static void look_who_serves(struct cvm_orchestrator *orchestrator)
{
    const struct cvm_orchestrator_options *options = &orchestrator->options;
    int64_t now_ms = steady_ms(orchestrator);
    if (options->registry == NULL || now_ms < orchestrator->served_ms) {
        return;
    }
    orchestrator->served_ms = now_ms + SERVED_EVERY_MS;
    for (size_t i = 0; i < orchestrator->served_count; i++) {
        struct served *served = &orchestrator->served[i];
        bool was_unserved = served->is_unserved;
        served->is_unserved = cvm_registry_is_unserved(options->registry, options->context,
                                                       served->queue, &served->absence);
        if (served->is_unserved && !was_unserved) {
            CVM_LOG(options->context->log, CVM_LOG_WARN, "nobody_serves",
                    CVM_TEXT("queue", served->queue));
        } else if (was_unserved && !served->is_unserved) {
            CVM_LOG(options->context->log, CVM_LOG_INFO, "served_again",
                    CVM_TEXT("queue", served->queue));
        }
    }
}

static enum cvm_status mark_sent(const struct cvm_orchestrator *orchestrator,
                                 struct cvm_store *store, struct relay *relay, size_t *out_sent,
                                 struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    size_t sent = 0;
    for (size_t i = 0; i < relay->count; i++) {
        if (relay->sendings[i].state == CVM_SENDING_CONFIRMED) {
            relay->numbers[sent++] = relay->numbers[i];
        }
    }
    *out_sent += sent;
    if (sent == 0) {
        return CVM_OK;
    }
    enum cvm_status status = begin_part(orchestrator, store, err);
    if (status == CVM_OK) {
        status = cvm_outbox_sent(store, relay->numbers, sent, err);
        status = status == CVM_OK ? cvm_db_commit(db, err) : status;
        cvm_db_rollback(db);
    }
    return status;
}

/* The writer is free while the broker is waited for. */
static enum cvm_status send_all(struct cvm_orchestrator *orchestrator, int64_t number,
                                struct cvm_broker_link *link, struct cvm_orchestrator_look *out,
                                struct cvm_error *err)
{
    struct cvm_agent_writer *writer = orchestrator->options.site->writer;
    struct relay *relay = NULL;
    struct cvm_arena *arena = cvm_arena_create(ARENA_BYTES_MAX);
    int64_t now_ms = 0;
    size_t sent = 0;
    relay = arena == NULL ? NULL : CVM_NEW(arena, struct relay);
    if (relay == NULL) {
        cvm_arena_destroy(arena);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for messages");
    }
    relay->arena = arena;
    relay->only = own_workflow(orchestrator);
    int64_t count_max = relay->only != NULL ? INT64_MAX : MESSAGES_PER_SEND;
    struct cvm_store *store = cvm_agent_writer_lock(writer);
    enum cvm_status status = cvm_lease_now(store, &now_ms, err);
    if (status == CVM_OK) {
        status = cvm_outbox_pending(store, number, now_ms, count_max, take_message, relay, err);
    }
    cvm_agent_writer_unlock(writer);
    for (size_t i = 0; status == CVM_OK && i < relay->count; i++) {
        note_queue(orchestrator, relay->destinations[i]);
    }
    if (status == CVM_OK && relay->count > 0) {
        publish(relay, link);
        store = cvm_agent_writer_lock(writer);
        status = mark_sent(orchestrator, store, relay, &sent, err);
        cvm_agent_writer_unlock(writer);
    }
    out->sent += sent;
    out->unsent += relay->count - sent;
    cvm_arena_destroy(arena);
    return status;
}

static enum cvm_status look_at_partition(struct cvm_orchestrator *orchestrator, int64_t number,
                                         struct cvm_orchestrator_look *out, struct cvm_error *err)
{
    struct cvm_agent_writer *writer = orchestrator->options.site->writer;
    struct cvm_store *store = cvm_agent_writer_lock(writer);
    int64_t wake_ms = 0;
    enum cvm_status status = keep_lease(orchestrator, store, number, err);
    if (status == CVM_OK && orchestrator->partitions[number].epoch != 0) {
        out->partitions++;
        status = own_workflow(orchestrator) != NULL
                     ? look_at_own(orchestrator, store, number, out, err)
                     : look_at_all(orchestrator, store, number, out, err);
    }
    if (status == CVM_OK && orchestrator->partitions[number].epoch != 0 &&
        own_workflow(orchestrator) == NULL) {
        status = cvm_workflow_next_wake(store, number, &wake_ms, err);
    }
    bool is_earlier = wake_ms != 0 && (out->wake_ms == 0 || wake_ms < out->wake_ms);
    out->wake_ms = is_earlier ? wake_ms : out->wake_ms;
    cvm_agent_writer_unlock(writer);
    return status;
}

enum cvm_status cvm_orchestrator_look(struct cvm_orchestrator *orchestrator,
                                      struct cvm_broker_link *link,
                                      struct cvm_orchestrator_look *out_look, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    *out_look = (struct cvm_orchestrator_look){0};
    const char *own = own_workflow(orchestrator);
    for (int64_t p = 0; status == CVM_OK && p < CVM_FLOW_PARTITIONS; p++) {
        if (own != NULL && p != cvm_flow_partition(own)) {
            continue;
        }
        status = look_at_partition(orchestrator, p, out_look, err);
        size_t sent = MESSAGES_PER_SEND; /* a full batch may not have been all */
        bool is_ours = link != NULL && orchestrator->partitions[p].epoch != 0;
        while (status == CVM_OK && is_ours && sent == MESSAGES_PER_SEND) {
            size_t before = out_look->sent;
            status = send_all(orchestrator, p, link, out_look, err);
            sent = out_look->sent - before;
        }
    }
    look_who_serves(orchestrator);
    return status == CVM_OK ? look_at_clock(orchestrator, err) : status;
}
