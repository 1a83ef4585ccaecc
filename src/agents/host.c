#include "agents/host.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agents/adjuster.h"
#include "agents/event_feed.h"
#include "agents/orchestrator.h"
#include "agents/own_run.h"
#include "agents/pulse.h"
#include "agents/registry.h"
#include "agents/runner.h"
#include "agents/scale.h"
#include "agents/undertaker.h"
#include "base/columns.h"
#include "base/hash.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "base/threads.h"
#include "messaging/broker.h"
#include "storage/broker_offset.h"

#define RECEIVE_MS     250 /* how long nobody looks whether it shall stop */
#define CONFIRM_MS     5000
#define PAUSE_MS       250 /* after something was away */
#define WORKERS_MAX    256
#define NAME_SIZE      (CVM_ENVELOPE_TEXT_MAX + 1)
#define HINTS_PER_LOOK 64
#define TRIES_MAX      8 /* of a message that can not be given back; then it is dead */

struct worker {
    struct cvm_host *host;
    const struct cvm_host_pool *pool;
    const struct cvm_agent_kind *kind;
    size_t number;
    size_t pool_no;
    size_t place; /* in its pool */
    char name[NAME_SIZE];
    struct cvm_thread *thread;
    struct cvm_random random;
    struct cvm_broker_link *link; /* NULL: it left its queue, for a turn that takes long */
    struct cvm_buffer bytes;      /* of the message, which may outlive its delivery */
    const struct cvm_delivery *delivery;
    struct cvm_pulse_beat beat;
};

/* The delivery that a worker has, and will try again. */
struct holding {
    struct cvm_delivery delivery;
    bool is_held;
    int tries;
};

struct cvm_host {
    struct cvm_host_options options;
    struct worker *workers;
    size_t worker_count;
    struct cvm_thread *orchestration;
    struct cvm_thread *feed;
    struct cvm_thread *heartbeat;
    struct cvm_thread *adjustment;
    struct cvm_adjuster *adjuster;
    struct cvm_pulse *pulse; /* NULL: nobody outside this process would see it */
    atomic_bool is_stopping;
    atomic_bool has_drained;
    atomic_bool has_failed;
    atomic_int in_flight;
    _Atomic uint64_t counts[CVM_TURN_ENDS];
};

static bool must_stop(const struct cvm_host *host)
{
    return atomic_load(&host->is_stopping);
}

static void pause_a_little(void)
{
    struct timespec pause = {0, PAUSE_MS * INT64_C(1000000)};
    (void)nanosleep(&pause, NULL);
}

/* ---- where work goes on ---- */

static enum cvm_status load_offset(void *state, const char *queue, int32_t partition,
                                   int64_t *out_offset, struct cvm_error *err)
{
    struct cvm_agent_writer *writer = state;
    if (strcmp(queue, CVM_ORCHESTRATION) == 0) {
        *out_offset = CVM_BROKER_OFFSET_END;
        return CVM_OK;
    }
    struct cvm_store *store = cvm_agent_writer_lock(writer);
    enum cvm_status status = cvm_broker_offset_get(store, queue, partition, out_offset, err);
    cvm_agent_writer_unlock(writer);
    return status;
}

struct cvm_broker_offsets cvm_host_offsets(struct cvm_agent_writer *writer)
{
    return (struct cvm_broker_offsets){load_offset, writer};
}

static bool has_ability(const struct worker *worker, unsigned ability)
{
    return (cvm_broker_abilities(worker->host->options.broker) & ability) != 0;
}

/* What ended without a transaction of its own. Where this fails the message comes again, and ends
 * the same way. */
static void move_offset(const struct worker *worker, const struct cvm_broker_offset *offset)
{
    struct cvm_error err = {0};
    struct cvm_agent_writer *writer = worker->host->options.site->writer;
    struct cvm_store *store = cvm_agent_writer_lock(writer);
    enum cvm_status status = cvm_broker_offset_move(store, offset, &err);
    cvm_agent_writer_unlock(writer);
    if (status != CVM_OK) {
        CVM_LOG(worker->host->options.context->log, CVM_LOG_INFO, "offset_not_kept",
                CVM_TEXT("agent", worker->name), CVM_TEXT("why", err.message));
    }
}

/* Of the worker's queue by its own name: the delivery's goes with the link. */
static struct cvm_broker_offset offset_behind(const struct worker *worker)
{
    const struct cvm_delivery *delivery = worker->delivery;
    return (struct cvm_broker_offset){worker->pool->queue, delivery->partition,
                                      delivery->offset + 1};
}

/* ---- a worker ---- */

/* Whoever waits gets the answer, and the orchestrator a hint that there is news: neither is relied
 * on, so nobody is told when it does not arrive. */
static void send_one(struct worker *worker, const char *queue, struct cvm_envelope *envelope)
{
    const struct cvm_context *context = worker->host->options.context;
    struct cvm_sending sending = {.envelope = envelope};
    envelope->id = cvm_message_id_make(cvm_context_now_ms(context), &worker->random);
    envelope->schema_version = 1;
    envelope->attempt = 1;
    envelope->created_ms = cvm_context_now_ms(context);
    envelope->sender = (struct cvm_slice){worker->name, strlen(worker->name)};
    envelope->sender_incarnation = (uint64_t)worker->host->options.incarnation;
    if (cvm_broker_publish(worker->link, queue, &sending, 1, NULL) != CVM_OK ||
        cvm_broker_confirm(worker->link, CONFIRM_MS, NULL) != CVM_OK) {
        CVM_LOG(context->log, CVM_LOG_DEBUG, "answer_lost", CVM_TEXT("queue", queue));
    }
}

static void hint(struct worker *worker, const struct cvm_envelope *message,
                 const struct cvm_turn_report *report)
{
    struct cvm_envelope envelope = {
        .type = CVM_MESSAGE_ORCHESTRATION_REQUEST,
        .shard = CVM_SHARD_NONE,
        .hop = (uint8_t)(message->hop + 1),
        .causation_id = message->id,
        .workflow_id = message->workflow_id,
        .traceparent = {report->traceparent, CVM_TRACEPARENT_LENGTH},
        .payload = {"{}", 2},
    };
    send_one(worker, CVM_ORCHESTRATION, &envelope);
}

/* The answer to a request has the number of its type plus one. */
static void answer(struct worker *worker, const struct cvm_envelope *message,
                   const struct cvm_turn_report *report)
{
    char queue[CVM_ENVELOPE_REPLY_MAX + 1];
    struct cvm_json_writer json;
    struct cvm_text payload;
    cvm_text_init(&payload, CVM_ENVELOPE_PAYLOAD_MAX);
    cvm_json_init(&json, &payload, false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "end", cvm_turn_end_name(report->end));
    if (report->end == CVM_TURN_DONE) {
        cvm_json_key(&json, "output");
        const char *output = report->answer->length == 0 ? "{}" : cvm_text_string(report->answer);
        cvm_json_raw(&json, output, strlen(output));
    } else {
        cvm_json_key_string(&json, "error", report->err.message);
    }
    cvm_json_object_end(&json);
    struct cvm_envelope envelope = {
        .type = (enum cvm_message_type)((int)message->type + 1),
        .shard = message->shard,
        .hop = (uint8_t)(message->hop + 1),
        .correlation_id = message->id,
        .causation_id = message->id,
        .traceparent = {report->traceparent, CVM_TRACEPARENT_LENGTH},
        .payload = {cvm_text_string(&payload), payload.length},
    };
    (void)snprintf(queue, sizeof(queue), "%.*s", (int)message->reply_to.length,
                   message->reply_to.data);
    send_one(worker, queue, &envelope);
    cvm_text_finish(&payload);
}

/* A message that can not be given back is kept and tried again, or the offset of the next one would
 * pass it by: as long as the store is away, and else a few times. */
static bool must_hold(const struct worker *worker, struct holding *holding,
                      const struct cvm_turn_report *report)
{
    enum cvm_status why = report->err.status;
    if (report->end != CVM_TURN_LATER || has_ability(worker, CVM_BROKER_NACKS)) {
        return false;
    }
    holding->tries += why != CVM_E_UNAVAILABLE && why != CVM_E_TIMEOUT;
    return holding->tries < TRIES_MAX;
}

static void finish(struct worker *worker, const struct cvm_turn_report *report)
{
    struct cvm_broker_link *link = worker->link;
    const struct cvm_delivery *delivery = worker->delivery;
    enum cvm_status status = CVM_OK;
    if (report->end == CVM_TURN_LATER && has_ability(worker, CVM_BROKER_NACKS)) {
        status = cvm_broker_nack(link, delivery->tag, CVM_NACK_REQUEUE, NULL);
    } else if (report->end == CVM_TURN_POISON || report->end == CVM_TURN_LATER) {
        status = cvm_broker_nack(link, delivery->tag, CVM_NACK_DEAD, NULL);
    } else {
        status = cvm_broker_ack(link, delivery->tag, NULL);
    }
    if (status != CVM_OK) { /* it comes again, and its mark absorbs it */
        CVM_LOG(worker->host->options.context->log, CVM_LOG_INFO, "acknowledgement_lost",
                CVM_TEXT("agent", worker->name));
    }
}

/* The command that waits for a run of its own is told what its agents met. */
static void tell_own_run(const struct cvm_host *host, const struct cvm_turn_report *report)
{
    struct cvm_own_run *own = host->options.site->own_run;
    bool has_failed = report->end >= CVM_TURN_FAILED;
    if (own != NULL && has_failed) {
        cvm_own_run_fail(own, report->status, &report->err, report->end != CVM_TURN_FAILED);
    }
}

static void note_failure(struct cvm_host *host, enum cvm_status status, const struct cvm_error *err)
{
    atomic_store(&host->has_failed, true);
    if (host->options.site->own_run != NULL) {
        cvm_own_run_fail(host->options.site->own_run, status, err, true);
    }
}

/* The worker leaves its queue until the turn is over: a broker takes back what was not acknowledged
 * for long, or gives up whoever does not ask for more, and the next message would wait here. Where
 * the store is away the turn goes on as any other. */
static enum cvm_status go_long(void *state, const struct cvm_step_key *step, int64_t deadline_ms,
                               struct cvm_error *err)
{
    struct worker *worker = state;
    struct cvm_pulse *pulse = worker->host->pulse;
    struct cvm_error away = {0};
    if (pulse == NULL || worker->link == NULL) {
        return CVM_OK;
    }
    worker->beat =
        (struct cvm_pulse_beat){.step = *step, .worker = worker->name, .deadline_ms = deadline_ms};
    enum cvm_status status = cvm_pulse_begin(pulse, &worker->beat, &away);
    if (status == CVM_E_CONFLICT) {
        return CVM_FAIL(err, status, "%s", away.message);
    }
    if (status != CVM_OK) {
        CVM_LOG(worker->host->options.context->log, CVM_LOG_WARN, "no_sign_of_life",
                CVM_TEXT("workflow", step->workflow_id), CVM_TEXT("why", away.message));
        return CVM_OK;
    }
    if (has_ability(worker, CVM_BROKER_OFFSETS)) {
        const struct cvm_broker_offset offset = offset_behind(worker);
        move_offset(worker, &offset);
    }
    (void)!cvm_broker_ack(worker->link, worker->delivery->tag, NULL); /* else it is refused */
    cvm_broker_link_close(worker->link);
    worker->link = NULL;
    return CVM_OK;
}

/* The message as a copy that is the worker's where a turn may acknowledge it before its end. */
static enum cvm_status copy_message(struct worker *worker, const struct cvm_envelope *message,
                                    struct cvm_envelope *out_copy, struct cvm_error *err)
{
    if (worker->host->pulse == NULL) { /* no turn goes long */
        *out_copy = *message;
        return CVM_OK;
    }
    size_t length = cvm_envelope_bytes(message);
    enum cvm_status status = cvm_buffer_reserve(&worker->bytes, length, err);
    if (status == CVM_OK) {
        cvm_envelope_encode(message, worker->bytes.data);
        status = cvm_envelope_decode(worker->bytes.data, length, out_copy, err);
    }
    return status;
}

/* Of a turn that went long nobody is told: its workflow is looked at soon enough. */
static void tell(struct worker *worker, const struct cvm_envelope *message,
                 const struct cvm_turn_report *report)
{
    if (message->workflow_id.length > 0 &&
        (report->end == CVM_TURN_DONE || report->end == CVM_TURN_FAILED)) {
        hint(worker, message, report);
    }
    if (message->reply_to.length > 0 && report->end != CVM_TURN_LATER) {
        answer(worker, message, report);
    }
}

static enum cvm_status take_turn(struct worker *worker, struct cvm_runner *runner,
                                 struct holding *holding, struct cvm_text *text,
                                 struct cvm_error *err)
{
    struct cvm_host *host = worker->host;
    struct cvm_envelope message;
    enum cvm_status status = copy_message(worker, holding->delivery.envelope, &message, err);
    if (status != CVM_OK) {
        return status;
    }
    worker->delivery = &holding->delivery;
    const struct cvm_broker_offset offset = offset_behind(worker);
    bool has_offset = has_ability(worker, CVM_BROKER_OFFSETS);
    atomic_fetch_add(&host->in_flight, 1);
    cvm_adjuster_began(host->adjuster, worker->pool_no);
    struct cvm_turn_report report =
        cvm_runner_turn(runner, &message, has_offset ? &offset : NULL, text);
    bool went_long = worker->link == NULL;
    holding->is_held = !went_long && must_hold(worker, holding, &report);
    cvm_adjuster_ended(host->adjuster, worker->pool_no, &report);
    atomic_fetch_add(&host->counts[report.end], 1);
    tell_own_run(host, &report);
    if (went_long) {
        cvm_pulse_end(host->pulse, &worker->beat);
    } else {
        tell(worker, &message, &report);
    }
    if (!went_long && !holding->is_held) {
        finish(worker, &report);
    }
    if (!went_long && !holding->is_held && has_offset && !report.offset_is_kept) {
        move_offset(worker, &offset);
    }
    atomic_fetch_sub(&host->in_flight, 1);
    if (report.end == CVM_TURN_LATER) {
        pause_a_little();
    }
    return CVM_OK;
}

static bool is_wanted(const struct worker *worker)
{
    return worker->place < cvm_adjuster_wanted(worker->host->adjuster, worker->pool_no);
}

static enum cvm_status serve(struct worker *worker, struct cvm_runner *runner,
                             struct cvm_error *err)
{
    struct holding holding = {.is_held = false};
    struct cvm_text text;
    enum cvm_status status = CVM_OK;
    cvm_text_init(&text, CVM_ENVELOPE_PAYLOAD_MAX);
    while (!must_stop(worker->host) && is_wanted(worker) && worker->link != NULL) {
        size_t count = 1;
        if (!cvm_adjuster_may_take(worker->host->adjuster)) {
            pause_a_little();
            continue;
        }
        if (!holding.is_held) {
            holding.tries = 0;
            status =
                cvm_broker_receive(worker->link, &holding.delivery, 1, RECEIVE_MS, &count, err);
        }
        if (status != CVM_OK || count == 0) {
            cvm_adjuster_took_none(worker->host->adjuster);
        }
        if (status == CVM_OK && count > 0) {
            status = take_turn(worker, runner, &holding, &text, err);
        }
        if (status == CVM_E_UNAVAILABLE) {
            pause_a_little(); /* the link looks for its broker by itself */
        } else if (status != CVM_OK) {
            break;
        }
    }
    cvm_text_finish(&text);
    return status == CVM_E_UNAVAILABLE ? CVM_OK : status;
}

/* A broker that is away when the process starts is waited for. */
static enum cvm_status subscribe(struct cvm_host *host, const char *queue, uint32_t prefetch,
                                 struct cvm_broker_link **out_link, struct cvm_error *err)
{
    enum cvm_status status = CVM_E_UNAVAILABLE;
    while (status == CVM_E_UNAVAILABLE && !must_stop(host)) {
        status = cvm_broker_link_open_with(host->options.broker, prefetch, out_link, err);
        if (status == CVM_OK) {
            status = cvm_broker_declare(*out_link, CVM_ORCHESTRATION, err);
        }
        if (status == CVM_OK) {
            status = cvm_broker_declare(*out_link, queue, err);
        }
        if (status == CVM_OK) {
            status = cvm_broker_subscribe(*out_link, queue, err);
        }
        if (status != CVM_OK) {
            cvm_broker_link_close(*out_link);
            *out_link = NULL;
            pause_a_little();
        }
    }
    return status;
}

/* With a runner and a link of its own, which cost a connection each. */
static enum cvm_status work_a_while(struct worker *worker, struct cvm_error *err)
{
    struct cvm_host *host = worker->host;
    struct cvm_runner *runner = NULL;
    struct cvm_runner_options options = {
        .site = host->options.site,
        .kind = worker->kind,
        .queue = worker->pool->queue,
        .context = host->options.context,
        .name = worker->name,
        .incarnation = host->options.incarnation,
        .seed = cvm_hash_mix(host->options.seed, worker->number),
        .go_long = go_long,
        .go_long_state = worker,
    };
    enum cvm_status status = cvm_runner_create(&options, &runner, err);
    if (status == CVM_OK) {
        status = subscribe(host, worker->pool->queue, 1, &worker->link, err);
    }
    if (status == CVM_OK && worker->link != NULL) {
        status = serve(worker, runner, err);
    }
    cvm_broker_link_close(worker->link);
    worker->link = NULL;
    cvm_runner_destroy(runner);
    return status == CVM_E_UNAVAILABLE && must_stop(host) ? CVM_OK : status;
}

static enum cvm_status work(void *state, struct cvm_error *err)
{
    struct worker *worker = state;
    enum cvm_status status = CVM_OK;
    cvm_random_init(&worker->random, cvm_hash_mix(worker->host->options.seed, ~worker->number));
    while (status == CVM_OK && !must_stop(worker->host)) {
        if (is_wanted(worker)) {
            status = work_a_while(worker, err);
        } else {
            pause_a_little();
        }
    }
    cvm_buffer_finish(&worker->bytes);
    if (status != CVM_OK) {
        note_failure(worker->host, status, err);
    }
    return status;
}

/* ---- orchestration ---- */

/* Hints only wake it up: what is to be looked at stands in the store. */
static void wait_for_hints(struct cvm_broker_link *link, int wait_ms)
{
    struct cvm_delivery hints[HINTS_PER_LOOK];
    size_t count = 0;
    struct cvm_error err;
    if (cvm_broker_receive(link, hints, HINTS_PER_LOOK, wait_ms, &count, &err) != CVM_OK) {
        pause_a_little();
        return;
    }
    for (size_t i = 0; i < count; i++) {
        (void)!cvm_broker_ack(link, hints[i].tag, NULL);
    }
}

static int wait_of(const struct cvm_host *host, const struct cvm_orchestrator_look *look)
{
    int64_t now_ms = cvm_context_now_ms(host->options.context);
    int64_t left = look->wake_ms == 0 ? RECEIVE_MS : look->wake_ms - now_ms;
    left = left < RECEIVE_MS ? left : RECEIVE_MS;
    return left > 1 ? (int)left : 1;
}

/* Said once, until it goes well again. */
static bool take_dead(const struct cvm_host *host, struct cvm_undertaker *undertaker,
                      bool went_well)
{
    struct cvm_error away = {0};
    bool goes_well = cvm_undertaker_look(undertaker, &away) == CVM_OK;
    if (!goes_well && went_well) {
        CVM_LOG(host->options.context->log, CVM_LOG_WARN, "dead_not_taken",
                CVM_TEXT("why", away.message));
    }
    return goes_well;
}

static enum cvm_status orchestrate_with(struct cvm_host *host,
                                        struct cvm_orchestrator *orchestrator,
                                        struct cvm_undertaker *undertaker,
                                        struct cvm_broker_link *link, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    bool is_dead_taken = true;
    while (!must_stop(host)) {
        struct cvm_orchestrator_look look = {0};
        status = cvm_orchestrator_look(orchestrator, link, &look, err);
        if (status == CVM_OK && host->options.site->own_run == NULL) {
            is_dead_taken = take_dead(host, undertaker, is_dead_taken);
        }
        bool may_come_back = host->options.site->own_run == NULL &&
                             (status == CVM_E_UNAVAILABLE || status == CVM_E_TIMEOUT);
        if (may_come_back) {
            CVM_LOG(host->options.context->log, CVM_LOG_WARN, "store_unavailable",
                    CVM_TEXT("why", err->message));
            pause_a_little();
        } else if (status != CVM_OK) {
            return status;
        } else {
            wait_for_hints(link, wait_of(host, &look));
        }
    }
    return CVM_OK;
}

static enum cvm_status orchestrate(void *state, struct cvm_error *err)
{
    struct cvm_host *host = state;
    struct cvm_orchestrator *orchestrator = NULL;
    struct cvm_undertaker *undertaker = NULL;
    struct cvm_broker_link *link = NULL;
    struct cvm_orchestrator_options options = {
        .site = host->options.site,
        .context = host->options.context,
        .name = host->options.name,
        .incarnation = host->options.incarnation,
        .seed = host->options.seed,
        .loses_messages = host->options.is_alone,
        .registry = host->options.knows_all ? host->options.state : NULL,
        .schedules = host->options.schedules,
        .scheduled = host->options.scheduled,
    };
    enum cvm_status status = cvm_orchestrator_create(&options, &orchestrator, err);
    if (status == CVM_OK) {
        status = cvm_undertaker_create(host->options.site, host->options.context,
                                       host->options.broker, &undertaker, err);
    }
    if (status == CVM_OK) {
        status = subscribe(host, CVM_ORCHESTRATION, 0, &link, err);
    }
    if (status == CVM_OK && link != NULL) {
        status = orchestrate_with(host, orchestrator, undertaker, link, err);
    }
    cvm_broker_link_close(link);
    cvm_undertaker_destroy(undertaker);
    cvm_orchestrator_destroy(orchestrator);
    if (status != CVM_OK) {
        note_failure(host, status, err);
    }
    return status == CVM_E_UNAVAILABLE && must_stop(host) ? CVM_OK : status;
}

/* ---- events ---- */

static enum cvm_status feed(void *state, struct cvm_error *err)
{
    struct cvm_host *host = state;
    struct cvm_event_feed_options options = {
        .intake =
            {
                .site = host->options.site,
                .context = host->options.context,
                .definition = host->options.event_workflow,
                .has_offsets =
                    (cvm_broker_abilities(host->options.broker) & CVM_BROKER_OFFSETS) != 0,
                .seed = cvm_hash_mix(host->options.seed, WORKERS_MAX),
            },
        .broker = host->options.broker,
        .name = host->options.name,
        .incarnation = host->options.incarnation,
        .is_alone = host->options.is_alone,
        .is_stopping = &host->is_stopping,
    };
    enum cvm_status status = cvm_event_feed(&options, err);
    if (status != CVM_OK) {
        note_failure(host, status, err);
    }
    return status;
}

/* ---- heartbeat ---- */

static void say(const struct cvm_host *host, bool is_draining)
{
    struct cvm_registry_process process = {
        .name = host->options.name,
        .version = host->options.site->version,
        .incarnation = host->options.incarnation,
        .beat_ms = cvm_context_now_ms(host->options.context),
        .is_draining = is_draining,
        .in_flight = atomic_load(&host->in_flight),
    };
    for (size_t p = 0; p < host->options.pool_count; p++) {
        process.serves[p].queue = host->options.pools[p].queue;
        process.serves[p].workers = (int64_t)cvm_adjuster_wanted(host->adjuster, p);
    }
    process.serves_count = host->options.pool_count;
    if (host->options.orchestrates) {
        process.serves[process.serves_count].queue = CVM_ORCHESTRATION;
        process.serves[process.serves_count++].workers = 1;
    }
    /* Where the state is away nobody sees us, and nothing else happens. */
    (void)!cvm_registry_say(host->options.state, host->options.context, &process, NULL);
}

/* Until the last turn has ended. That no more are taken is said at once. */
static enum cvm_status beat(void *state, struct cvm_error *err)
{
    struct cvm_host *host = state;
    bool is_draining = false;
    (void)err;
    for (int i = 0; !atomic_load(&host->has_drained); i++) {
        bool was_draining = is_draining;
        is_draining = must_stop(host);
        if (is_draining != was_draining || i % (CVM_HEARTBEAT_MS / PAUSE_MS) == 0) {
            say(host, is_draining);
        }
        pause_a_little();
    }
    (void)!cvm_registry_leave(host->options.state, host->options.context, host->options.name, NULL);
    return CVM_OK;
}

/* ---- adjustment ---- */

static enum cvm_status adjust(void *state, struct cvm_error *err)
{
    struct cvm_host *host = state;
    (void)err;
    for (int i = 1; !must_stop(host); i++) {
        struct cvm_error away = {0};
        if (i % (CVM_SCALE_EVERY_MS / PAUSE_MS) == 0 &&
            cvm_adjuster_look(host->adjuster, &away) != CVM_OK) {
            CVM_LOG(host->options.context->log, CVM_LOG_WARN, "not_adjusted",
                    CVM_TEXT("why", away.message));
        }
        pause_a_little();
    }
    return CVM_OK;
}

enum cvm_status cvm_host_adjust(struct cvm_host *host, struct cvm_error *err)
{
    return cvm_adjuster_look(host->adjuster, err);
}

size_t cvm_host_workers(const struct cvm_host *host, size_t pool)
{
    return cvm_adjuster_wanted(host->adjuster, pool);
}

size_t cvm_host_pool_most(const struct cvm_host_pool *pool)
{
    return pool->most > pool->workers ? pool->most : pool->workers;
}

/* ---- start and stop ---- */

static const struct cvm_agent_kind *find_kind(const struct cvm_host *host, const char *queue)
{
    const struct cvm_agent_kind *const *kinds = host->options.kinds;
    return cvm_agent_kind_find_in(kinds == NULL ? cvm_agent_kinds : kinds, queue);
}

static enum cvm_status plan_workers(struct cvm_host *host, struct cvm_error *err)
{
    size_t count = 0;
    for (size_t p = 0; p < host->options.pool_count; p++) {
        const struct cvm_host_pool *pool = &host->options.pools[p];
        if (find_kind(host, pool->queue) == NULL) {
            return CVM_FAIL(err, CVM_E_NOT_FOUND, "there are no agents of kind '%s'", pool->queue);
        }
        count += cvm_host_pool_most(pool);
    }
    host->workers = calloc(count + 1, sizeof(*host->workers));
    if (host->workers == NULL || count > WORKERS_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "%zu workers are too many for one process", count);
    }
    for (size_t p = 0; p < host->options.pool_count; p++) {
        const struct cvm_host_pool *pool = &host->options.pools[p];
        for (size_t w = 0; w < cvm_host_pool_most(pool); w++) {
            struct worker *worker = &host->workers[host->worker_count];
            worker->host = host;
            worker->pool = pool;
            worker->kind = find_kind(host, pool->queue);
            worker->pool_no = p;
            worker->place = w;
            worker->number = host->worker_count++;
            (void)snprintf(worker->name, sizeof(worker->name), "%.20s-%u@%.32s", pool->queue,
                           (unsigned)(w % WORKERS_MAX + 1), host->options.name);
        }
    }
    return CVM_OK;
}

static bool is_store_shared(const struct cvm_agent_site *site)
{
    struct cvm_store *store = cvm_agent_writer_lock(site->writer);
    bool is_shared = cvm_db_access_of(cvm_store_db(store)) == CVM_DB_SHARED;
    cvm_agent_writer_unlock(site->writer);
    return is_shared;
}

enum cvm_status cvm_host_start(const struct cvm_host_options *options, struct cvm_host **out_host,
                               struct cvm_error *err)
{
    struct cvm_host *host = calloc(1, sizeof(*host));
    if (host == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for agents");
    }
    host->options = *options;
    enum cvm_status status = plan_workers(host, err);
    if (status == CVM_OK) {
        status = cvm_adjuster_create(&host->options, &host->adjuster, err);
    }
    if (status == CVM_OK && !options->is_alone && is_store_shared(options->site)) {
        status = cvm_pulse_create(options->site, options->context, &host->pulse, err);
    }
    for (size_t w = 0; status == CVM_OK && w < host->worker_count; w++) {
        status = cvm_thread_start(work, &host->workers[w], &host->workers[w].thread, err);
    }
    if (status == CVM_OK && options->orchestrates) {
        status = cvm_thread_start(orchestrate, host, &host->orchestration, err);
    }
    if (status == CVM_OK && options->event_workflow != NULL) {
        status = cvm_thread_start(feed, host, &host->feed, err);
    }
    if (status == CVM_OK && !options->is_adjusted_by_hand) {
        status = cvm_thread_start(adjust, host, &host->adjustment, err);
    }
    if (status == CVM_OK && options->state != NULL) {
        status = cvm_thread_start(beat, host, &host->heartbeat, err);
    }
    if (status != CVM_OK) {
        (void)!cvm_host_stop(host, NULL);
        return status;
    }
    *out_host = host;
    return CVM_OK;
}

bool cvm_host_has_failed(const struct cvm_host *host)
{
    return atomic_load(&host->has_failed);
}

void cvm_host_counts(const struct cvm_host *host, uint64_t *counts)
{
    for (size_t i = 0; i < CVM_TURN_ENDS; i++) {
        counts[i] = atomic_load(&host->counts[i]);
    }
}

static enum cvm_status join(struct cvm_thread *thread, enum cvm_status status,
                            struct cvm_error *err)
{
    struct cvm_error own = {0};
    enum cvm_status ended = cvm_thread_join(thread, &own);
    if (status == CVM_OK && ended != CVM_OK) {
        if (err != NULL) {
            *err = own;
        }
        return ended;
    }
    return status;
}

/* The intake first, then what moves workflows on: what the last turns made is still seen. */
enum cvm_status cvm_host_stop(struct cvm_host *host, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    if (host == NULL) {
        return CVM_OK;
    }
    atomic_store(&host->is_stopping, true);
    if (host->options.is_alone) {
        cvm_broker_end_waiting(host->options.broker);
    }
    for (size_t w = 0; w < host->worker_count; w++) {
        status = join(host->workers[w].thread, status, err);
    }
    status = join(host->feed, status, err);
    status = join(host->orchestration, status, err);
    atomic_store(&host->has_drained, true);
    status = join(host->heartbeat, status, err);
    status = join(host->adjustment, status, err);
    cvm_pulse_destroy(host->pulse);
    cvm_adjuster_destroy(host->adjuster);
    free(host->workers);
    free(host);
    return status;
}
