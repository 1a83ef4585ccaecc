/* The messages of a simulation: encoded, on their way for a while, and not always once. */
#include "simulation.h"

#include <stdlib.h>
#include <string.h>

#define DELIVERIES_MAX 8

/* ---- sending ---- */

void sim_send(struct sim *sim, const char *queue, const struct cvm_envelope *envelope,
              int64_t delay_ms)
{
    if (sim->message_count == sim->message_room) {
        sim->message_room = sim->message_room * 2 + 64;
        sim->messages = realloc(sim->messages, sim->message_room * sizeof(*sim->messages));
        if (sim->messages == NULL) {
            abort();
        }
    }
    struct sim_message *message = &sim->messages[sim->message_count];
    *message = (struct sim_message){.length = cvm_envelope_bytes(envelope)};
    message->bytes = malloc(message->length);
    if (message->bytes == NULL) {
        abort();
    }
    cvm_envelope_encode(envelope, message->bytes);
    (void)snprintf(message->queue, sizeof(message->queue), "%s", queue);
    sim_plan(sim, sim->now_ms + delay_ms, SIM_DELIVER, sim->message_count++);
}

static int64_t delay_of(struct sim *sim)
{
    bool is_late = !sim->options.is_clean && !sim->is_calm && sim_chance(sim, 10);
    sim->counts.delayed += is_late;
    return is_late ? sim_between(sim, 1000, 90000) : sim_between(sim, 1, 50);
}

/* One sending: lost, refused, twice, or as it should be. */
static enum cvm_sending_state carry(struct sim *sim, const char *queue,
                                    const struct cvm_envelope *envelope)
{
    int64_t fate = sim->options.is_clean || sim->is_calm ? 99 : sim_between(sim, 0, 99);
    if (fate < 5) {
        return CVM_SENDING_REFUSED;
    }
    if (fate < 10) { /* nobody knows whether the broker has it */
        if (fate < 7) {
            sim_send(sim, queue, envelope, delay_of(sim));
        }
        return CVM_SENDING_UNKNOWN;
    }
    if (fate < 18) {
        sim->counts.dropped++;
        return CVM_SENDING_CONFIRMED; /* and the broker loses it */
    }
    if (fate < 30) {
        sim->counts.duplicated++;
        sim_send(sim, queue, envelope, delay_of(sim));
    }
    sim_send(sim, queue, envelope, delay_of(sim));
    return CVM_SENDING_CONFIRMED;
}

static struct sim *sim_of(struct cvm_broker_link *link)
{
    return ((const struct sim_network *)link->broker->backend)->sim;
}

static struct sim_process *process_of(struct cvm_broker_link *link)
{
    struct sim *sim = sim_of(link);
    for (size_t i = 0; i < sim->process_count; i++) {
        if (sim->processes[i].link == link) {
            return &sim->processes[i];
        }
    }
    return NULL;
}

static enum cvm_status network_publish(struct cvm_broker_link *link, const char *queue,
                                       struct cvm_sending *sendings, size_t count,
                                       struct cvm_error *err)
{
    struct sim *sim = sim_of(link);
    struct sim_process *process = process_of(link);
    (void)err;
    for (size_t i = 0; i < count; i++) {
        enum cvm_sending_state state =
            process->is_dead ? CVM_SENDING_UNKNOWN : carry(sim, queue, sendings[i].envelope);
        sim_note(sim, "%s sends %s to %s, attempt %u: %d", process->name,
                 cvm_message_type_name(sendings[i].envelope->type), queue,
                 sendings[i].envelope->attempt, (int)state);
        cvm_sending_end(link, &sendings[i], state);
    }
    if (process->fault == SIM_FAULT_DIE_SENDING) {
        process->is_dead = true;
    } else if (process->fault == SIM_FAULT_SLEEP_SENDING) {
        process->fault = SIM_FAULT_NONE;
        sim_sleep(process, process->sleep_ms);
    }
    return CVM_OK;
}

static enum cvm_status network_declare(struct cvm_broker_link *link, const char *queue,
                                       struct cvm_error *err)
{
    (void)link;
    (void)queue;
    (void)err;
    return CVM_OK;
}

static enum cvm_status network_confirm(struct cvm_broker_link *link, int timeout_ms,
                                       struct cvm_error *err)
{
    (void)link;
    (void)timeout_ms;
    (void)err;
    return CVM_OK;
}

void sim_network_init(struct sim *sim)
{
    struct cvm_broker_options options = {.prefetch = 1};
    struct cvm_error err = {0};
    if (cvm_broker_open("local:", &options, &sim->broker, &err) != CVM_OK) {
        sim_break(sim, "no broker: %s", err.message);
        return;
    }
    sim->network = (struct sim_network){.backend = cvm_broker_local, .sim = sim};
    sim->network.backend.publish = network_publish;
    sim->network.backend.declare = network_declare;
    sim->network.backend.confirm = network_confirm;
    sim->broker->backend = &sim->network.backend;
}

bool sim_network_is_empty(const struct sim *sim)
{
    for (size_t i = 0; i < sim->message_count; i++) {
        if (!sim->messages[i].is_over) {
            return false;
        }
    }
    return true;
}

/* ---- receiving ---- */

static struct sim_process *idle_worker(struct sim *sim, const char *queue)
{
    struct sim_process *found = NULL;
    int64_t first = sim_between(sim, 0, (int64_t)sim->process_count - 1);
    for (size_t i = 0; found == NULL && i < sim->process_count; i++) {
        struct sim_process *one = &sim->processes[((size_t)first + i) % sim->process_count];
        if (one->kind != NULL && !one->is_busy && !one->is_dead &&
            strcmp(one->kind->name, queue) == 0) {
            found = one;
        }
    }
    return found;
}

/* It was not acknowledged: once more, but not for ever. */
static void bring_back(struct sim *sim, size_t number, int64_t delay_ms)
{
    struct sim_message *message = &sim->messages[number];
    if (message->deliveries >= DELIVERIES_MAX) {
        message->is_over = true;
        sim_note(sim, "message %zu is dead: it came too often", number);
        return;
    }
    sim_plan(sim, sim->now_ms + delay_ms, SIM_DELIVER, number);
}

/* What host.c does with a delivery after its turn. */
static void finish(struct sim *sim, struct sim_process *worker, size_t number,
                   const struct cvm_envelope *envelope, enum cvm_turn_end end)
{
    if (end == CVM_TURN_LATER) {
        bring_back(sim, number, sim_between(sim, 100, 1000));
        return;
    }
    sim->messages[number].is_over = true;
    if (end != CVM_TURN_POISON) {
        sim_check_acknowledged(sim, envelope, worker->kind->name);
    }
    if (end == CVM_TURN_DONE || end == CVM_TURN_FAILED) {
        sim_hint(sim);
    }
}

void sim_deliver(struct sim *sim, size_t number)
{
    struct sim_process *worker = idle_worker(sim, sim->messages[number].queue);
    struct cvm_envelope envelope;
    struct cvm_error err = {0};
    struct cvm_text answer;
    if (worker == NULL) {
        sim_plan(sim, sim->now_ms + sim_between(sim, 50, 500), SIM_DELIVER, number);
        return;
    }
    sim->messages[number].deliveries++;
    unsigned char *bytes = sim->messages[number].bytes; /* the list may move meanwhile */
    if (cvm_envelope_decode(bytes, sim->messages[number].length, &envelope, &err) != CVM_OK) {
        sim_break(sim, "message %zu came broken: %s", number, err.message);
        return;
    }
    cvm_text_init(&answer, CVM_ENVELOPE_PAYLOAD_MAX);
    uint64_t jumps = sim->jumps;
    sim_begin_turn(worker);
    struct cvm_turn_report report = cvm_runner_turn(worker->runner, &envelope, NULL, &answer);
    bool has_died = sim_end_turn(worker);
    sim_note(sim, "%s got message %zu, step %.*s, shard %d, attempt %u, of %.*s: %s%s %s",
             worker->name, number, (int)envelope.step.length, envelope.step.data,
             (int)envelope.shard, envelope.attempt, (int)envelope.workflow_id.length,
             envelope.workflow_id.data, cvm_turn_end_name(report.end),
             has_died ? ", and it died" : "", report.err.message);
    cvm_text_finish(&answer);
    sim->counts.turns[report.end]++;
    if (report.err.status == CVM_E_TIMEOUT && jumps == sim->jumps &&
        sim_store_ms(sim) < envelope.deadline_ms) {
        sim_break(sim, "%s gave a message up before its time: its own clock is off by %lld ms",
                  worker->name, (long long)worker->skew_ms);
    }
    if (has_died) {
        bring_back(sim, number, sim_between(sim, 1000, 8000));
    } else {
        finish(sim, worker, number, &envelope, report.end);
    }
}

/* Messages that no orchestrator sent: of another attempt, of another epoch, or nonsense. */
void sim_forge(struct sim *sim)
{
    static const char nonsense[] = "{\"step_no\":";
    struct cvm_envelope envelope;
    if (sim->message_count == 0) {
        return;
    }
    size_t number = (size_t)sim_between(sim, 0, (int64_t)sim->message_count - 1);
    const struct sim_message *message = &sim->messages[number];
    char queue[CVM_BROKER_NAME_MAX + 1];
    memcpy(queue, message->queue, sizeof(queue));
    if (cvm_envelope_decode(message->bytes, message->length, &envelope, NULL) != CVM_OK) {
        return;
    }
    envelope.id.bytes[0] ^= 0x5a;
    if (sim_chance(sim, 50)) {
        envelope.payload = (struct cvm_slice){nonsense, sizeof(nonsense) - 1};
    } else {
        envelope.attempt += 7;
        envelope.epoch += 1000;
    }
    sim_note(sim, "somebody forges a message to %s", queue);
    sim_send(sim, queue, &envelope, sim_between(sim, 1, 50));
}
