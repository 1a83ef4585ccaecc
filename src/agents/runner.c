#include "agents/runner.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "storage/lease.h"
#include "storage/step_store.h"
#include "storage/turn.h"
#include "workflows/progress.h"

#define ARENA_BYTES_MAX  ((size_t)1 << 30)
#define PAYLOAD_DOCUMENT (CVM_ENVELOPE_PAYLOAD_MAX + 1)

struct cvm_runner {
    struct cvm_runner_options options;
    void *worker; /* the kind's own */
    struct cvm_json_reader *reader;
    struct cvm_random random;
};

const char *cvm_turn_end_name(enum cvm_turn_end end)
{
    static const char *const names[CVM_TURN_ENDS] = {
        [CVM_TURN_DONE] = "done",   [CVM_TURN_DUPLICATE] = "duplicate",
        [CVM_TURN_STALE] = "stale", [CVM_TURN_FAILED] = "failed",
        [CVM_TURN_LATER] = "later", [CVM_TURN_POISON] = "poison",
    };
    return names[end];
}

enum cvm_status cvm_runner_create(const struct cvm_runner_options *options,
                                  struct cvm_runner **out_runner, struct cvm_error *err)
{
    struct cvm_runner *runner = calloc(1, sizeof(*runner));
    if (runner == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an agent");
    }
    runner->options = *options;
    runner->reader = cvm_json_reader_create(PAYLOAD_DOCUMENT);
    cvm_random_init(&runner->random, options->seed);
    enum cvm_status status =
        runner->reader == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for an agent") : CVM_OK;
    if (status == CVM_OK && options->kind->open != NULL) {
        status = options->kind->open(options->site, options->context, &runner->worker, err);
    }
    if (status != CVM_OK) {
        cvm_runner_destroy(runner);
        return status;
    }
    *out_runner = runner;
    return CVM_OK;
}

void cvm_runner_destroy(struct cvm_runner *runner)
{
    if (runner != NULL) {
        if (runner->worker != NULL && runner->options.kind->close != NULL) {
            runner->options.kind->close(runner->worker);
        }
        cvm_json_reader_destroy(runner->reader);
        free(runner);
    }
}

/* ---- a turn ---- */

struct turning {
    struct cvm_runner *runner;
    struct cvm_turn turn;
    struct cvm_effects effects;
    struct cvm_context context; /* with the message's deadline */
    const struct cvm_broker_offset *offset;
    const char *workflow_id; /* NULL: a request of its own */
    struct cvm_step_key step;
    int64_t started_ms;
    double commit_seconds;
    bool is_kept; /* as done or as failed */
};

static struct cvm_turn_key key_of(const struct turning *turning)
{
    struct cvm_turn_key key = {
        .consumer = turning->runner->options.kind->name,
        .offset = turning->offset,
        .is_light = turning->runner->options.site->own_run != NULL,
    };
    memcpy(key.message_id, turning->turn.message->id.bytes, sizeof(key.message_id));
    return key;
}

static enum cvm_status read_payload(struct turning *turning, struct cvm_error *err)
{
    const struct cvm_envelope *message = turning->turn.message;
    const struct cvm_agent_kind *kind = turning->runner->options.kind;
    if (!cvm_agent_kind_serves(kind, message->type)) {
        return CVM_FAIL(err, CVM_E_INVALID, "agents of kind '%s' serve no %s", kind->name,
                        cvm_message_type_name(message->type));
    }
    enum cvm_status status =
        cvm_json_read(turning->runner->reader, turning->turn.arena, message->payload.data,
                      message->payload.length, false, &turning->turn.payload, err);
    if (status != CVM_OK || message->workflow_id.length == 0) {
        return status;
    }
    const struct cvm_json_value *number = cvm_json_member(turning->turn.payload, "step_no");
    turning->workflow_id =
        cvm_arena_copy(turning->turn.arena, message->workflow_id.data, message->workflow_id.length);
    if (turning->workflow_id == NULL || number == NULL || number->type != CVM_JSON_INT) {
        return CVM_FAIL(err, CVM_E_INVALID, "the message is about no step of its workflow");
    }
    turning->step = (struct cvm_step_key){
        .workflow_id = turning->workflow_id,
        .step_no = number->integer,
        .shard_no = message->shard == CVM_SHARD_NONE ? CVM_STEP_SHARD_ONLY : message->shard,
        .attempt = message->attempt,
    };
    return CVM_OK;
}

/* A workflow's deadline is a moment by the store's clock, which this process need not share. */
static enum cvm_status set_deadline(struct turning *turning, struct cvm_store *store,
                                    struct cvm_error *err)
{
    int64_t deadline_ms = turning->turn.message->deadline_ms;
    int64_t store_ms = 0;
    enum cvm_status status = deadline_ms == 0 ? CVM_OK : cvm_lease_now(store, &store_ms, err);
    if (status == CVM_OK && deadline_ms != 0) {
        turning->context.deadline_ms =
            cvm_context_now_ms(&turning->context) + (deadline_ms - store_ms);
    }
    return status;
}

/* Before the work, so that it is not done in vain; the transaction asks again. */
static enum cvm_status is_wanted(struct turning *turning, bool *out_is_wanted,
                                 struct cvm_error *err)
{
    struct cvm_step step;
    bool was_kept = false;
    struct cvm_turn_key key = key_of(turning);
    struct cvm_agent_writer *writer = turning->runner->options.site->writer;
    struct cvm_store *store = cvm_agent_writer_lock(writer);
    enum cvm_status status = CVM_OK;
    *out_is_wanted = true;
    if (turning->workflow_id != NULL) {
        status = cvm_step_get(store, turning->turn.arena, &turning->step, &step, err);
        *out_is_wanted = status == CVM_OK && step.state == CVM_STEP_RUNNING &&
                         step.attempt == turning->step.attempt;
        if (*out_is_wanted) {
            status = set_deadline(turning, store, err);
        }
    } else {
        status = cvm_turn_was_kept(store, &key, &was_kept, err);
        *out_is_wanted = !was_kept;
    }
    cvm_agent_writer_unlock(writer);
    return status == CVM_E_NOT_FOUND ? CVM_OK : status;
}

static enum cvm_status write_effects(const struct turning *turning, struct cvm_store *store,
                                     struct cvm_error *err)
{
    const struct cvm_effects *effects = &turning->effects;
    enum cvm_status status = CVM_OK;
    if (effects->output.failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for what a step says");
    }
    if (effects->write != NULL) {
        status = effects->write(effects->write_state, store, err);
    }
    if (status == CVM_OK && turning->workflow_id != NULL) {
        const char *output = cvm_text_string(&effects->output);
        struct cvm_step_result result = {
            .worker = turning->runner->options.name,
            .output = output[0] == '\0' ? NULL : output,
            .customers = effects->customers,
            .started_ms = turning->started_ms,
            .finished_ms = cvm_context_now_ms(turning->turn.context),
        };
        status = cvm_step_done(store, &turning->step, &result, err);
    }
    return status;
}

/* As a transaction, or as a part of the one that the kind has open. */
static enum cvm_status keep(void *state, struct cvm_store *store, struct cvm_error *err)
{
    struct turning *turning = state;
    struct cvm_turn_key key = key_of(turning);
    struct cvm_turn_transaction transaction;
    enum cvm_status status = cvm_turn_begin(store, &key, &transaction, err);
    if (status != CVM_OK) {
        return status;
    }
    if (!transaction.is_new) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "the message was handled before");
    }
    status = write_effects(turning, store, err);
    if (status != CVM_OK) {
        cvm_turn_abandon(&transaction);
        return status;
    }
    double start = cvm_context_seconds(turning->turn.context);
    status = cvm_turn_commit(&transaction, err);
    turning->commit_seconds = cvm_context_seconds(turning->turn.context) - start;
    turning->is_kept = status == CVM_OK;
    return status;
}

/* A failure of the work is news for its workflow, too. */
static enum cvm_status keep_failure(struct turning *turning, enum cvm_status failure,
                                    const struct cvm_error *cause, struct cvm_error *err)
{
    struct cvm_agent_writer *writer = turning->runner->options.site->writer;
    struct cvm_turn_key key = key_of(turning);
    struct cvm_turn_transaction transaction;
    struct cvm_step_failure row = {
        .worker = turning->runner->options.name,
        .error_class = cvm_failure_name(cvm_failure_of_status(failure)),
        .error = cause->message,
        .started_ms = turning->started_ms,
    };
    struct cvm_store *store = cvm_agent_writer_lock(writer);
    cvm_db_rollback(cvm_store_db(store)); /* whatever the work left open */
    enum cvm_status status = cvm_turn_begin(store, &key, &transaction, err);
    if (status == CVM_OK && transaction.is_new) {
        status = cvm_step_failed(store, &turning->step, &row, err);
        if (status == CVM_OK) {
            status = cvm_turn_commit(&transaction, err);
            turning->is_kept = status == CVM_OK;
        } else {
            cvm_turn_abandon(&transaction);
        }
    }
    cvm_agent_writer_unlock(writer);
    return status;
}

/* Of who dies in its turn this is the last word: what it was at. */
static void log_beginning(const struct turning *turning)
{
    const struct cvm_envelope *message = turning->turn.message;
    CVM_LOG(turning->context.log, CVM_LOG_DEBUG, "turn_began",
            CVM_TEXT("agent", turning->runner->options.name),
            CVM_TEXT("message", cvm_message_type_name(message->type)),
            CVM_INT("attempt", message->attempt), CVM_TEXT("workflow", turning->workflow_id),
            CVM_INT("step", turning->step.step_no), CVM_INT("shard", turning->step.shard_no));
}

static enum cvm_status work(struct turning *turning, struct cvm_error *err)
{
    struct cvm_runner *runner = turning->runner;
    struct cvm_agent_writer *writer = runner->options.site->writer;
    log_beginning(turning);
    enum cvm_status status = cvm_context_check(turning->turn.context, err);
    if (status == CVM_OK) {
        status =
            runner->options.kind->handle(runner->worker, &turning->turn, &turning->effects, err);
    }
    if (status == CVM_OK && !turning->is_kept) {
        struct cvm_store *store = cvm_agent_writer_lock(writer);
        status = keep(turning, store, err);
        cvm_agent_writer_unlock(writer);
    }
    return status;
}

/* A commit whose reply was lost may have been kept: the store knows. */
static bool was_kept_after_all(struct turning *turning)
{
    bool was_kept = false;
    struct cvm_turn_key key = key_of(turning);
    struct cvm_agent_writer *writer = turning->runner->options.site->writer;
    struct cvm_store *store = cvm_agent_writer_lock(writer);
    enum cvm_status status = cvm_turn_was_kept(store, &key, &was_kept, NULL);
    cvm_agent_writer_unlock(writer);
    return status == CVM_OK && was_kept;
}

/* Of a step that is done: by another, who took it over from us? */
static bool was_replaced(struct turning *turning)
{
    struct cvm_step step;
    struct cvm_agent_writer *writer = turning->runner->options.site->writer;
    if (turning->workflow_id == NULL) {
        return false;
    }
    struct cvm_store *store = cvm_agent_writer_lock(writer);
    enum cvm_status status = cvm_step_get(store, turning->turn.arena, &turning->step, &step, NULL);
    cvm_agent_writer_unlock(writer);
    return status == CVM_OK && step.worker != NULL &&
           strcmp(step.worker, turning->runner->options.name) != 0;
}

static enum cvm_turn_end end_failed(struct turning *turning, enum cvm_status failure,
                                    struct cvm_turn_report *report)
{
    struct cvm_error err = {0};
    turning->is_kept = false; /* a part of a transaction that failed after it was not */
    if (turning->turn.payload == NULL) {
        return CVM_TURN_POISON;
    }
    if (was_kept_after_all(turning)) {
        return was_replaced(turning) ? CVM_TURN_STALE : CVM_TURN_DONE;
    }
    if (turning->workflow_id == NULL) {
        bool is_hopeless = failure == CVM_E_UNAVAILABLE;
        return is_hopeless ? CVM_TURN_LATER : CVM_TURN_FAILED;
    }
    enum cvm_status status = keep_failure(turning, failure, &report->err, &err);
    if (status == CVM_E_CONFLICT) {
        return CVM_TURN_STALE; /* its attempt was given up meanwhile */
    }
    if (status != CVM_OK) {
        report->err = err; /* what it failed of will be seen again */
    }
    return status == CVM_OK ? CVM_TURN_FAILED : CVM_TURN_LATER;
}

static void count_failure(const struct cvm_runner *runner, enum cvm_status status)
{
    char labels[96];
    (void)snprintf(labels, sizeof(labels), "kind=\"%s\",class=\"%s\"", runner->options.kind->name,
                   cvm_failure_name(cvm_failure_of_status(status)));
    cvm_metric_add(cvm_metrics_get(runner->options.context->metrics, CVM_METRIC_COUNTER,
                                   "cvm_agent_failures_total", labels,
                                   "Attempts that failed, by why."),
                   1);
}

static enum cvm_turn_end take_turn(struct turning *turning, struct cvm_turn_report *report)
{
    struct cvm_error *err = &report->err;
    bool wanted = true;
    enum cvm_status status = read_payload(turning, err);
    report->status = status;
    if (status != CVM_OK) {
        return turning->workflow_id == NULL || turning->turn.payload == NULL
                   ? CVM_TURN_POISON
                   : end_failed(turning, status, report);
    }
    status = is_wanted(turning, &wanted, err);
    report->status = status;
    if (status != CVM_OK) {
        return CVM_TURN_LATER;
    }
    if (!wanted) {
        return was_kept_after_all(turning) ? CVM_TURN_DUPLICATE : CVM_TURN_STALE;
    }
    status = work(turning, err);
    report->status = status;
    if (status == CVM_OK) {
        return CVM_TURN_DONE;
    }
    count_failure(turning->runner, status);
    return end_failed(turning, status, report);
}

static void count(const struct cvm_runner *runner, const struct cvm_envelope *message,
                  const struct cvm_turn_report *report)
{
    struct cvm_metrics *metrics = runner->options.context->metrics;
    int64_t age_ms = cvm_context_now_ms(runner->options.context) - message->created_ms;
    char labels[96];
    (void)snprintf(labels, sizeof(labels), "kind=\"%s\",end=\"%s\"", runner->options.kind->name,
                   cvm_turn_end_name(report->end));
    cvm_metric_add(cvm_metrics_get(metrics, CVM_METRIC_COUNTER, "cvm_agent_turns_total", labels,
                                   "Turns of agents, by how they ended."),
                   1);
    (void)snprintf(labels, sizeof(labels), "kind=\"%s\"", runner->options.kind->name);
    cvm_metric_observe(cvm_metrics_get(metrics, CVM_METRIC_HISTOGRAM, "cvm_agent_turn_seconds",
                                       labels, "How long turns of agents took."),
                       report->seconds);
    if (report->end == CVM_TURN_DONE) {
        cvm_metric_observe(cvm_metrics_get(metrics, CVM_METRIC_HISTOGRAM, "cvm_agent_step_seconds",
                                           labels, "From when work was asked for to its result."),
                           (double)(age_ms > 0 ? age_ms : 0) / 1000);
        cvm_metric_observe(cvm_metrics_get(metrics, CVM_METRIC_HISTOGRAM,
                                           "cvm_agent_commit_seconds", labels,
                                           "How long keeping a turn took."),
                           report->commit_seconds);
    }
}

static void log_turn(const struct cvm_runner *runner, const struct cvm_envelope *message,
                     const struct cvm_turn_report *report)
{
    char trace[CVM_TRACE_ID_SIZE];
    char workflow[CVM_ENVELOPE_TEXT_MAX + 1];
    (void)snprintf(workflow, sizeof(workflow), "%.*s", (int)message->workflow_id.length,
                   message->workflow_id.data);
    /* A command that waits for its own agents tells the failure itself. */
    bool is_news = report->end > CVM_TURN_STALE && runner->options.site->own_run == NULL;
    CVM_LOG(runner->options.context->log, is_news ? CVM_LOG_WARN : CVM_LOG_INFO, "turn",
            CVM_TEXT("agent", runner->options.name),
            CVM_TEXT("message", cvm_message_type_name(message->type)),
            CVM_TEXT("end", cvm_turn_end_name(report->end)), CVM_INT("attempt", message->attempt),
            CVM_DOUBLE("seconds", report->seconds),
            CVM_TEXT("trace", cvm_trace_id(report->traceparent, trace)),
            CVM_TEXT("workflow", workflow),
            CVM_TEXT("why", report->end == CVM_TURN_DONE ? "" : report->err.message));
}

struct cvm_turn_report cvm_runner_turn(struct cvm_runner *runner,
                                       const struct cvm_envelope *message,
                                       const struct cvm_broker_offset *offset,
                                       struct cvm_text *answer)
{
    const struct cvm_context *context = runner->options.context;
    struct cvm_turn_report report = {.answer = answer};
    struct turning turning = {
        .runner = runner,
        .offset = offset,
        .context = *context,
        .started_ms = cvm_context_now_ms(context),
        .turn =
            {
                .message = message,
                .queue = runner->options.queue,
                .site = runner->options.site,
                .random = &runner->random,
                .arena = cvm_arena_create(ARENA_BYTES_MAX),
                .keep = keep,
            },
    };
    double start = cvm_context_seconds(context);
    turning.turn.context = &turning.context;
    turning.turn.keep_state = &turning;
    turning.context.deadline_ms = message->deadline_ms;
    cvm_text_init(&turning.effects.output, CVM_STEP_OUTPUT_MAX);
    cvm_text_clear(answer);
    report.end = turning.turn.arena == NULL ? CVM_TURN_LATER : take_turn(&turning, &report);
    if (report.end == CVM_TURN_DONE) {
        cvm_text_add_bytes(answer, turning.effects.output.data, turning.effects.output.length);
    }
    cvm_text_finish(&turning.effects.output);
    cvm_arena_destroy(turning.turn.arena);
    report.seconds = cvm_context_seconds(context) - start;
    report.commit_seconds = turning.commit_seconds;
    report.offset_is_kept = turning.is_kept && offset != NULL;
    (void)cvm_traceparent_child(message->traceparent, &runner->random, report.traceparent);
    count(runner, message, &report);
    log_turn(runner, message, &report);
    return report;
}
