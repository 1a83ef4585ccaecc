#include "workflows/flow.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_writer.h"
#include "base/random.h"
#include "base/retry.h"
#include "storage/dead_letter.h"
#include "storage/lease.h"

#define INPUT_BYTES_MAX      ((size_t)64 << 10)
#define LOOK_BYTES_MAX       ((size_t)256 << 20)
#define DEFINITION_ARENA_MAX ((size_t)8 << 20)
#define DEFINITIONS_KEPT     8
#define NAME_IN_ID_MAX       46 /* with a dash and 16 digits it fits into an id */
#define DEAD_DESTINATION     "workflow"
#define KINDS_MAX            16
#define RETRY_SHARE          0.1 /* of the steps that are sent */
#define RETRY_BURST          20
#define WORKFLOW_KEEP_MS     (INT64_C(90) * 24 * 3600 * 1000)

struct kept_definition {
    struct cvm_arena *arena; /* NULL = free */
    const struct cvm_definition *definition;
};

struct cvm_flow {
    struct cvm_flow_options options;
    struct cvm_arena *arena; /* of one look */
    struct cvm_json_reader *reader;
    struct cvm_text payload;
    struct cvm_text envelope;
    struct cvm_random random;
    struct kept_definition kept[DEFINITIONS_KEPT];
    size_t next_kept;
    struct cvm_retry_budget budgets[KINDS_MAX]; /* by kind of step */
    struct cvm_breaker breakers[KINDS_MAX];     /* the same */
    int64_t now_ms;                             /* of the look */
};

static size_t kind_of(const struct cvm_definition_step *step)
{
    return (size_t)(step->kind - cvm_step_kinds) % KINDS_MAX;
}

enum cvm_status cvm_flow_create(const struct cvm_flow_options *options, struct cvm_flow **out_flow,
                                struct cvm_error *err)
{
    struct cvm_flow *flow = calloc(1, sizeof(*flow));
    if (flow != NULL) {
        flow->options = *options;
        flow->arena = cvm_arena_create(LOOK_BYTES_MAX);
        flow->reader = cvm_json_reader_create(CVM_STEP_OUTPUT_MAX);
        cvm_text_init(&flow->payload, 0);
        cvm_text_init(&flow->envelope, 0);
        cvm_random_init(&flow->random, options->seed);
        for (size_t i = 0; i < KINDS_MAX; i++) {
            cvm_retry_budget_init(&flow->budgets[i], RETRY_SHARE, RETRY_BURST);
            cvm_breaker_init(&flow->breakers[i], &options->breaker, options->seed + i);
        }
    }
    if (flow == NULL || flow->arena == NULL || flow->reader == NULL) {
        cvm_flow_destroy(flow);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to work on workflows");
    }
    *out_flow = flow;
    return CVM_OK;
}

void cvm_flow_destroy(struct cvm_flow *flow)
{
    if (flow == NULL) {
        return;
    }
    for (size_t i = 0; i < DEFINITIONS_KEPT; i++) {
        cvm_arena_destroy(flow->kept[i].arena);
    }
    cvm_text_finish(&flow->payload);
    cvm_text_finish(&flow->envelope);
    cvm_json_reader_destroy(flow->reader);
    cvm_arena_destroy(flow->arena);
    free(flow);
}

int64_t cvm_flow_partition(const char *workflow_id)
{
    return (int64_t)(cvm_hash(workflow_id, strlen(workflow_id)) % CVM_FLOW_PARTITIONS);
}

const char *cvm_flow_resource(int64_t partition_no, char text[CVM_FLOW_RESOURCE_SIZE])
{
    (void)snprintf(text, CVM_FLOW_RESOURCE_SIZE, "orchestrator/%02" PRId64, partition_no);
    return text;
}

/* ---- accepting ---- */

static void digest_text(struct cvm_digest *digest, const char *text)
{
    cvm_digest_add(digest, text, strlen(text) + 1); /* with its end: "ab", "c" is not "a", "bc" */
}

static enum cvm_status digest_input(struct cvm_arena *arena, const struct cvm_flow_request *request,
                                    char text[CVM_DIGEST_TEXT_SIZE], struct cvm_error *err)
{
    const struct cvm_json_value *input = NULL;
    size_t length = strlen(request->input);
    if (length > INPUT_BYTES_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "the input of a workflow has at most %zu bytes",
                        INPUT_BYTES_MAX);
    }
    struct cvm_json_reader *reader = cvm_json_reader_create(length + 1);
    if (reader == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read the input of a workflow");
    }
    enum cvm_status status =
        cvm_json_read(reader, arena, request->input, length, false, &input, err);
    if (status == CVM_OK) {
        status = cvm_definition_check_input(request->definition, input, err);
    }
    if (status == CVM_OK) { /* blind to white space and the order of keys */
        struct cvm_digest digest;
        uint64_t hash = cvm_json_hash(input);
        cvm_digest_init(&digest);
        digest_text(&digest, request->definition->name);
        cvm_digest_add(&digest, &hash, sizeof(hash));
        cvm_digest_finish(&digest, text);
    }
    cvm_json_reader_destroy(reader);
    return status;
}

/* "batch-3f9a62c1d07e5b18": the key's, so that whoever asks again names the same one. */
static void make_id(const struct cvm_flow_request *request, char id[CVM_WORKFLOW_ID_MAX + 1])
{
    struct cvm_digest digest;
    char text[CVM_DIGEST_TEXT_SIZE];
    cvm_digest_init(&digest);
    digest_text(&digest, request->idempotency_key);
    cvm_digest_finish(&digest, text);
    (void)snprintf(id, CVM_WORKFLOW_ID_MAX + 1, "%.*s-%.16s", NAME_IN_ID_MAX,
                   request->definition->name, text);
}

static enum cvm_status check_request(const struct cvm_flow_request *request, struct cvm_error *err)
{
    size_t length = strlen(request->idempotency_key);
    if (length == 0 || length > CVM_WORKFLOW_KEY_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID, "the key of a workflow has 1 to %d bytes",
                        CVM_WORKFLOW_KEY_MAX);
    }
    return CVM_OK;
}

static enum cvm_status find_accepted(struct cvm_store *store, struct cvm_arena *arena,
                                     const struct cvm_flow_request *request, const char *digest,
                                     struct cvm_workflow *out_workflow, struct cvm_error *err)
{
    struct cvm_workflow found;
    enum cvm_status status =
        cvm_workflow_by_key(store, arena, request->idempotency_key, &found, err);
    if (status == CVM_OK && strcmp(found.input_digest, digest) != 0) {
        return CVM_FAIL(err, CVM_E_CONFLICT,
                        "the key '%s' was used for workflow '%s' with another input",
                        request->idempotency_key, found.workflow_id);
    }
    if (status == CVM_OK) {
        *out_workflow = found;
    }
    return status;
}

enum cvm_status cvm_flow_accept(struct cvm_store *store, struct cvm_arena *arena,
                                const struct cvm_flow_request *request,
                                struct cvm_workflow *out_workflow, bool *out_is_new,
                                struct cvm_error *err)
{
    const struct cvm_definition *definition = request->definition;
    char id[CVM_WORKFLOW_ID_MAX + 1];
    char digest[CVM_DIGEST_TEXT_SIZE];
    int64_t now_ms = 0;
    bool is_new = false;
    enum cvm_status status = check_request(request, err);
    if (status == CVM_OK) {
        status = digest_input(arena, request, digest, err);
    }
    if (status == CVM_OK) {
        status = cvm_lease_now(store, &now_ms, err);
    }
    if (status == CVM_OK) {
        status = cvm_workflow_definition_add(store, definition->digest, definition->name,
                                             definition->text, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    make_id(request, id);
    int64_t own_deadline = definition->deadline_ms == 0 ? 0 : now_ms + definition->deadline_ms;
    struct cvm_workflow workflow = {
        .workflow_id = id,
        .name = definition->name,
        .definition = definition->digest,
        .idempotency_key = request->idempotency_key,
        .input_digest = digest,
        .input = request->input,
        .run_id = request->run_id,
        .shards = -1,
        .partition_no = cvm_flow_partition(id),
        .priority = definition->priority + request->priority,
        .created_ms = now_ms,
        .deadline_ms = request->deadline_ms != 0 ? request->deadline_ms : own_deadline,
        .who = request->who,
        .traceparent = request->traceparent,
    };
    status = cvm_workflow_add(store, &workflow, &is_new, err);
    if (status == CVM_OK) {
        status = find_accepted(store, arena, request, digest, out_workflow, err);
    }
    if (status == CVM_OK) {
        *out_is_new = is_new;
    }
    return status;
}

/* ---- what a look reads ---- */

static enum cvm_status read_definition(struct cvm_store *store, struct cvm_arena *arena,
                                       const struct cvm_workflow *workflow,
                                       const struct cvm_definition **out_definition,
                                       struct cvm_error *err)
{
    const char *body = NULL;
    char file[CVM_WORKFLOW_ID_MAX + 8];
    (void)snprintf(file, sizeof(file), "%.64s.yaml", workflow->name);
    enum cvm_status status =
        cvm_workflow_definition_get(store, arena, workflow->definition, &body, err);
    if (status == CVM_OK) {
        status = cvm_definition_read(arena, file, body, strlen(body), out_definition, err);
    }
    return status == CVM_OK
               ? status
               : cvm_error_context(err, status, "workflow '%s'", workflow->workflow_id);
}

static enum cvm_status find_definition(struct cvm_flow *flow, const struct cvm_workflow *workflow,
                                       const struct cvm_definition **out_definition,
                                       struct cvm_error *err)
{
    for (size_t i = 0; i < DEFINITIONS_KEPT; i++) {
        const struct kept_definition *kept = &flow->kept[i];
        if (kept->arena != NULL && strcmp(kept->definition->digest, workflow->definition) == 0) {
            *out_definition = kept->definition;
            return CVM_OK;
        }
    }
    struct cvm_arena *arena = cvm_arena_create(DEFINITION_ARENA_MAX);
    const struct cvm_definition *definition = NULL;
    enum cvm_status status =
        arena == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the definition of a workflow")
                      : read_definition(flow->options.store, arena, workflow, &definition, err);
    if (status != CVM_OK) {
        cvm_arena_destroy(arena);
        return status;
    }
    struct kept_definition *kept = &flow->kept[flow->next_kept];
    flow->next_kept = (flow->next_kept + 1) % DEFINITIONS_KEPT;
    cvm_arena_destroy(kept->arena);
    *kept = (struct kept_definition){arena, definition};
    *out_definition = definition;
    return CVM_OK;
}

struct looking {
    struct cvm_flow *flow;
    const struct cvm_definition *definition;
    struct cvm_workflow stored;
    struct cvm_workflow workflow; /* with what was read out of its steps */
    struct cvm_steps steps;
    const char *fault; /* a step gave what can not be used; NULL = none */
    int64_t epoch;
    int64_t now_ms;
    struct cvm_error *err;
};

static enum cvm_status add_rows(struct looking *l, bool is_fanned)
{
    struct cvm_store *store = l->flow->options.store;
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < l->definition->step_count; i++) {
        const struct cvm_definition_step *step = &l->definition->steps[i];
        struct cvm_step_rows rows = {
            .workflow_id = l->workflow.workflow_id,
            .step_no = (int64_t)i,
            .name = step->id,
            .first_shard = CVM_STEP_SHARD_ONLY,
            .last_shard = is_fanned ? l->workflow.shards - 1 : CVM_STEP_SHARD_ONLY,
            .attempt_max = step->attempts,
        };
        if (step->is_fanned == is_fanned) {
            status = cvm_step_add(store, &rows, l->err);
        }
    }
    return status == CVM_OK
               ? cvm_step_list(store, l->flow->arena, l->workflow.workflow_id, &l->steps, l->err)
               : status;
}

/* The workflow can not go on, whoever looks at it: it fails, and says why. */
static enum cvm_status find_fault(struct looking *l, const struct cvm_step *step, const char *what)
{
    char text[300];
    int length = snprintf(text, sizeof(text), "step '%s': %s", step->name, what);
    l->fault = cvm_arena_copy(l->flow->arena, text, strnlen(text, (size_t)length));
    return l->fault == NULL ? CVM_FAIL(l->err, CVM_E_LIMIT, "no memory for an error") : CVM_OK;
}

static enum cvm_status note_shards(struct looking *l, const struct cvm_step *step,
                                   const struct cvm_json_value *output)
{
    const struct cvm_json_value *parts = cvm_json_member(output, "parts");
    int64_t fanned = 0;
    for (size_t i = 0; i < l->definition->step_count; i++) {
        fanned += l->definition->steps[i].is_fanned;
    }
    if (parts == NULL || parts->type != CVM_JSON_INT || parts->integer < 0) {
        return find_fault(l, step, "its output does not say into how many parts the base is cut");
    }
    if (parts->integer > CVM_WORKFLOW_SHARDS_MAX ||
        parts->integer * fanned > CVM_WORKFLOW_ROWS_MAX) {
        return find_fault(l, step, "it cuts the base into more parts than are allowed");
    }
    l->workflow.shards = parts->integer;
    return add_rows(l, true);
}

/* What the output of a step says of the whole workflow: its run, and into how many shards. */
static enum cvm_status note_output(struct looking *l, const struct cvm_step *step)
{
    bool wants_shards = l->definition->steps[step->step_no].kind->cuts &&
                        l->definition->has_fan_out && l->workflow.shards < 0;
    const struct cvm_json_value *output = NULL;
    if (step->state != CVM_STEP_DONE || (!wants_shards && l->workflow.run_id != NULL)) {
        return CVM_OK;
    }
    const char *text = step->output == NULL ? "{}" : step->output;
    enum cvm_status status =
        cvm_json_read(l->flow->reader, l->flow->arena, text, strlen(text), false, &output, l->err);
    if (status == CVM_E_INVALID) {
        return find_fault(l, step, "its output is no JSON");
    }
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_json_value *run = cvm_json_member(output, "run_id");
    if (l->workflow.run_id == NULL && run != NULL && run->type == CVM_JSON_STRING) {
        l->workflow.run_id = cvm_arena_copy(l->flow->arena, run->string.data, run->string.length);
        if (l->workflow.run_id == NULL) {
            return CVM_FAIL(l->err, CVM_E_LIMIT, "no memory for the id of a run");
        }
    }
    return wants_shards ? note_shards(l, step, output) : CVM_OK;
}

static enum cvm_status note_outputs(struct looking *l)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && l->fault == NULL && i < l->steps.count; i++) {
        const struct cvm_step *step = &l->steps.items[i];
        if (step->step_no >= 0 && (size_t)step->step_no < l->definition->step_count &&
            !l->definition->steps[step->step_no].is_fanned) {
            status = note_output(l, step);
        }
    }
    return status;
}

/* The clock of a breaker only has to go on; the database's may be set, which costs it a window. */
static void tell_breaker(struct looking *l, int64_t step_no, enum cvm_call_outcome outcome)
{
    cvm_breaker_done(&l->flow->breakers[kind_of(&l->definition->steps[step_no])], l->now_ms,
                     outcome);
}

/* Poison and what has changed say nothing of the agent. */
static void note_news(void *state, const struct cvm_step_news *news)
{
    struct looking *l = state;
    l->workflow.recovery_attempts = 0; /* its workers are alive */
    bool has_ended = news->state != CVM_STEP_RUNNING;
    if (has_ended && news->step_no >= 0 && (size_t)news->step_no < l->definition->step_count) {
        bool is_failure =
            news->state == CVM_STEP_RETRY && cvm_failure_may_repeat(news->error_class);
        tell_breaker(l, news->step_no,
                     news->state == CVM_STEP_DONE ? CVM_CALL_GOOD
                     : is_failure                 ? CVM_CALL_FAILED
                                                  : CVM_CALL_IGNORED);
    }
}

static enum cvm_status read_rows(struct looking *l, const char *workflow_id)
{
    struct cvm_store *store = l->flow->options.store;
    cvm_arena_reset(l->flow->arena);
    enum cvm_status status = cvm_lease_now(store, &l->now_ms, l->err);
    if (status == CVM_OK) {
        status = cvm_workflow_lock(store, l->flow->arena, workflow_id, &l->stored, l->err);
        l->workflow = l->stored;
    }
    if (status == CVM_OK) {
        status = find_definition(l->flow, &l->workflow, &l->definition, l->err);
    }
    if (status == CVM_OK) {
        status = cvm_step_news_take(store, workflow_id, note_news, l, l->err);
    }
    if (status == CVM_OK) {
        status = cvm_step_list(store, l->flow->arena, workflow_id, &l->steps, l->err);
    }
    if (status == CVM_OK && l->steps.count == 0) {
        status = add_rows(l, false);
    }
    return status;
}

/* ---- what a look keeps ---- */

static void hash_step(const struct looking *l, const struct cvm_step *step, bool has_attempt,
                      unsigned char bytes[CVM_DIGEST_BYTES])
{
    struct cvm_digest digest;
    const int64_t numbers[] = {step->step_no, step->shard_no, has_attempt ? step->attempt : -1};
    cvm_digest_init(&digest);
    digest_text(&digest, has_attempt ? l->workflow.workflow_id : l->workflow.idempotency_key);
    digest_text(&digest, l->workflow.input_digest);
    cvm_digest_add(&digest, numbers, sizeof(numbers));
    cvm_digest_finish_bytes(&digest, bytes);
}

/* The row of a needed step that speaks for it: of the same shard, or its only one. Of all shards
 * together nothing is said: what they made is in the store, under the run. */
static const struct cvm_step *find_need(const struct looking *l, const struct cvm_step *step,
                                        size_t need)
{
    const struct cvm_definition_step *before = &l->definition->steps[need];
    if (before->is_fanned && !l->definition->steps[step->step_no].is_fanned) {
        return NULL;
    }
    int64_t shard = before->is_fanned ? step->shard_no : CVM_STEP_SHARD_ONLY;
    for (size_t i = 0; i < l->steps.count; i++) {
        const struct cvm_step *row = &l->steps.items[i];
        if (row->step_no == (int64_t)need && row->shard_no == shard) {
            return row->state == CVM_STEP_DONE ? row : NULL;
        }
    }
    return NULL;
}

static enum cvm_status write_payload(struct looking *l, const struct cvm_step *step)
{
    const struct cvm_definition_step *definition = &l->definition->steps[step->step_no];
    struct cvm_json_writer json;
    cvm_text_clear(&l->flow->payload);
    cvm_json_init(&json, &l->flow->payload, false);
    cvm_json_object(&json);
    cvm_json_key(&json, "input");
    cvm_json_raw(&json, l->workflow.input, strlen(l->workflow.input));
    cvm_json_key(&json, "needs");
    cvm_json_object(&json);
    for (size_t i = 0; i < definition->need_count; i++) {
        const struct cvm_step *row = find_need(l, step, definition->needs[i]);
        if (row != NULL && row->output != NULL) {
            cvm_json_key(&json, row->name);
            cvm_json_raw(&json, row->output, strlen(row->output));
        }
    }
    cvm_json_object_end(&json);
    cvm_json_object_end(&json);
    return l->flow->payload.failed ? CVM_FAIL(l->err, CVM_E_LIMIT, "no memory for a message")
                                   : CVM_OK;
}

static enum cvm_status send_step(struct looking *l, const struct cvm_step *step)
{
    struct cvm_flow *flow = l->flow;
    const struct cvm_definition_step *definition = &l->definition->steps[step->step_no];
    unsigned char digest[CVM_DIGEST_BYTES];
    enum cvm_status status = write_payload(l, step);
    if (status != CVM_OK) {
        return status;
    }
    cvm_retry_budget_request(&flow->budgets[kind_of(definition)]);
    struct cvm_flow_message message = {
        .destination = definition->kind->agent,
        .type = definition->kind->message,
        .workflow_id = l->workflow.workflow_id,
        .run_id = l->workflow.run_id,
        .step = definition->id,
        .step_no = step->step_no,
        .shard = definition->is_fanned ? step->shard_no : -1,
        .attempt = step->attempt,
        .epoch = l->epoch,
        .priority = l->workflow.priority + definition->priority,
        .created_ms = l->now_ms,
        .deadline_ms = step->due_ms,
        .traceparent = l->workflow.traceparent,
        .payload = cvm_text_string(&flow->payload),
        .payload_length = flow->payload.length,
    };
    hash_step(l, step, true, digest);
    memcpy(message.message_id, digest, sizeof(message.message_id));
    hash_step(l, step, false, digest);
    memcpy(message.idempotency_key, digest, sizeof(message.idempotency_key));
    cvm_text_clear(&flow->envelope);
    status = flow->options.encode(flow->options.encode_state, &message, &flow->envelope, l->err);
    if (status == CVM_OK && flow->envelope.failed) {
        status = CVM_FAIL(l->err, CVM_E_LIMIT, "no memory for a message");
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_outbox_message out = {
        .shard = l->workflow.partition_no,
        .destination = message.destination,
        .envelope = flow->envelope.data,
        .length = flow->envelope.length,
    };
    memcpy(out.message_id, message.message_id, sizeof(out.message_id));
    return cvm_outbox_add(flow->options.store, &out, l->err);
}

/* An attempt that took too long failed, unless its result came in meanwhile: *out_from is the row
 * as it is now. */
static enum cvm_status keep_late(struct looking *l, const struct cvm_step *before,
                                 struct cvm_step *out_from, bool *out_is_moved)
{
    struct cvm_step_key key = {.workflow_id = l->workflow.workflow_id,
                               .step_no = before->step_no,
                               .shard_no = before->shard_no,
                               .attempt = before->attempt};
    struct cvm_step_failure failure = {
        .worker = before->worker,
        .error_class = cvm_failure_name(CVM_FAILURE_TIMEOUT),
        .error = "nobody answered in time",
        .started_ms = before->queued_ms,
        .failed_ms = l->now_ms,
        .is_seen = true,
    };
    enum cvm_status status = cvm_step_failed(l->flow->options.store, &key, &failure, l->err);
    *out_is_moved = status == CVM_E_CONFLICT;
    if (status == CVM_OK) {
        tell_breaker(l, before->step_no, CVM_CALL_FAILED);
    }
    *out_from = *before;
    out_from->state = CVM_STEP_RETRY;
    return status == CVM_E_CONFLICT ? CVM_OK : status;
}

static enum cvm_status keep_step(struct looking *l, const struct cvm_progress *progress, size_t row,
                                 bool *out_kept)
{
    struct cvm_step from = l->steps.items[row];
    bool is_moved = false;
    enum cvm_status status = CVM_OK;
    *out_kept = false;
    if (progress->is_late[row]) {
        status = keep_late(l, &l->steps.items[row], &from, &is_moved);
    }
    return status == CVM_OK && !is_moved
               ? cvm_step_put(l->flow->options.store, l->workflow.workflow_id, &from,
                              &progress->steps[row], out_kept, l->err)
               : status;
}

static enum cvm_status bury(struct looking *l, const struct cvm_workflow *workflow)
{
    struct cvm_digest digest;
    unsigned char bytes[CVM_DIGEST_BYTES];
    struct cvm_dead_letter letter = {
        .destination = DEAD_DESTINATION,
        .workflow_id = workflow->workflow_id,
        .step_no = -1,
        .outbox_shard = workflow->partition_no,
        .error_class = "recovery",
        .error = workflow->error,
        .attempts = workflow->recovery_attempts,
    };
    cvm_digest_init(&digest);
    digest_text(&digest, workflow->workflow_id);
    cvm_digest_finish_bytes(&digest, bytes);
    memcpy(letter.message_id, bytes, sizeof(letter.message_id));
    return cvm_dead_letter_add(l->flow->options.store, &letter, l->err);
}

static bool is_same(const struct cvm_workflow *a, const struct cvm_workflow *b)
{
    return a->state == b->state && a->wake_ms == b->wake_ms && a->shards == b->shards &&
           a->run_id == b->run_id && a->recovery_attempts == b->recovery_attempts &&
           a->epoch == b->epoch;
}

static enum cvm_status keep(struct looking *l, const struct cvm_progress *progress,
                            struct cvm_flow_look *out_look)
{
    struct cvm_flow_look look = {.state = progress->workflow.state};
    enum cvm_status status = CVM_OK;
    bool *is_kept = CVM_NEW_ARRAY(l->flow->arena, progress->row_count + 1, bool);
    if (is_kept == NULL) {
        return CVM_FAIL(l->err, CVM_E_LIMIT, "no memory for the steps of a workflow");
    }
    for (size_t row = 0; status == CVM_OK && row < progress->row_count; row++) {
        if (progress->is_changed[row]) {
            status = keep_step(l, progress, row, &is_kept[row]);
            look.changed += is_kept[row];
        }
    }
    for (size_t i = 0; status == CVM_OK && i < progress->send_count; i++) {
        if (is_kept[progress->sends[i]]) {
            status = send_step(l, &progress->steps[progress->sends[i]]);
            look.sent++;
        }
    }
    if (status == CVM_OK && !is_same(&l->stored, &progress->workflow)) {
        status = cvm_workflow_put(l->flow->options.store, &progress->workflow, l->err);
    }
    if (status == CVM_OK && progress->workflow.state == CVM_WORKFLOW_DEAD &&
        l->stored.state != CVM_WORKFLOW_DEAD) {
        status = bury(l, &progress->workflow);
    }
    if (status == CVM_OK) {
        *out_look = look;
    }
    return status;
}

/* ---- a look ---- */

/* Attempts of one agent's steps that are repeated stay a small share of all: beyond it they wait as
 * long as they may, so that an agent in trouble gets no storm on top. */
static int64_t pause_ms(void *state, const struct cvm_definition_step *step, int64_t failures)
{
    struct cvm_flow *flow = state;
    const struct cvm_retry_policy policy = {.base_ms = step->retry_base_ms,
                                            .cap_ms = step->retry_cap_ms};
    return cvm_retry_budget_take(&flow->budgets[kind_of(step)])
               ? cvm_retry_pause_ms(&policy, failures - 1, &flow->random)
               : step->retry_cap_ms;
}

static bool may_send(void *state, const struct cvm_definition_step *step, int64_t *out_again_ms)
{
    struct cvm_flow *flow = state;
    bool is_let = flow->options.may_send == NULL ||
                  flow->options.may_send(flow->options.may_send_state, step, out_again_ms);
    return is_let && cvm_breaker_ask(&flow->breakers[kind_of(step)], flow->now_ms, out_again_ms);
}

static enum cvm_status look(struct cvm_flow *flow, const char *workflow_id, int64_t epoch,
                            bool is_recovery, struct cvm_flow_look *out_look, struct cvm_error *err)
{
    struct looking l = {.flow = flow, .epoch = epoch, .err = err};
    struct cvm_progress progress;
    assert(cvm_db_in_transaction(cvm_store_db(flow->options.store)));
    enum cvm_status status = read_rows(&l, workflow_id);
    if (status == CVM_OK && !cvm_workflow_has_ended(l.stored.state)) {
        status = note_outputs(&l);
    }
    flow->now_ms = l.now_ms;
    const struct cvm_progress_means means = {
        .now_ms = l.now_ms,
        .epoch = epoch,
        .pause_ms = pause_ms,
        .may_send = may_send,
        .gives_up_at_once = flow->options.gives_up_at_once,
        .state = flow,
    };
    const struct cvm_progress_rows rows = {l.definition, &l.workflow, &l.steps, &means};
    if (status == CVM_OK && l.fault != NULL) {
        status = cvm_progress_fail(flow->arena, &rows, l.fault, &progress, err);
    } else if (status == CVM_OK && is_recovery) {
        status =
            cvm_progress_recover(flow->arena, &rows, flow->options.loses_messages, &progress, err);
    } else if (status == CVM_OK) {
        status = cvm_progress_make(flow->arena, &rows, &progress, err);
    }
    return status == CVM_OK ? keep(&l, &progress, out_look) : status;
}

enum cvm_status cvm_flow_look(struct cvm_flow *flow, const char *workflow_id, int64_t epoch,
                              struct cvm_flow_look *out_look, struct cvm_error *err)
{
    return look(flow, workflow_id, epoch, false, out_look, err);
}

enum cvm_status cvm_flow_recover(struct cvm_flow *flow, const char *workflow_id, int64_t epoch,
                                 struct cvm_flow_look *out_look, struct cvm_error *err)
{
    return look(flow, workflow_id, epoch, true, out_look, err);
}

enum cvm_status cvm_flow_forget(struct cvm_store *store, struct cvm_error *err)
{
    int64_t now_ms = 0;
    enum cvm_status status = cvm_lease_now(store, &now_ms, err);
    if (status == CVM_OK) {
        status = cvm_turn_purge(store, now_ms - CVM_INBOX_KEEP_MS, err);
    }
    return status == CVM_OK ? cvm_workflow_purge(store, now_ms - WORKFLOW_KEEP_MS, err) : status;
}

enum cvm_breaker_state cvm_flow_breaker(const struct cvm_flow *flow, const char *agent)
{
    for (size_t i = 0; cvm_step_kinds[i].agent != NULL; i++) {
        if (strcmp(cvm_step_kinds[i].agent, agent) == 0) {
            return flow->breakers[i % KINDS_MAX].state;
        }
    }
    return CVM_BREAKER_CLOSED;
}

/* ---- a person's choice ---- */

static enum cvm_status keep_order(struct cvm_store *store, const struct cvm_steps *steps,
                                  const struct cvm_progress *progress, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t row = 0; status == CVM_OK && row < progress->row_count; row++) {
        bool is_kept = false; /* one that a worker moves on just now is looked at by its news */
        if (progress->is_changed[row]) {
            status = cvm_step_put(store, progress->workflow.workflow_id, &steps->items[row],
                                  &progress->steps[row], &is_kept, err);
        }
    }
    if (status == CVM_OK && cvm_workflow_has_ended(progress->workflow.state)) {
        status = cvm_step_news_take(store, progress->workflow.workflow_id, NULL, NULL, err);
    }
    return status == CVM_OK ? cvm_workflow_put(store, &progress->workflow, err) : status;
}

enum cvm_status cvm_flow_order(struct cvm_store *store, struct cvm_arena *arena,
                               const char *workflow_id, enum cvm_workflow_event event,
                               enum cvm_workflow_state *out_state, struct cvm_error *err)
{
    struct cvm_workflow workflow;
    struct cvm_steps steps;
    struct cvm_progress progress;
    struct cvm_progress_means means = {0};
    const struct cvm_definition *definition = NULL;
    enum cvm_status status = cvm_lease_now(store, &means.now_ms, err);
    if (status == CVM_OK) {
        status = cvm_workflow_lock(store, arena, workflow_id, &workflow, err);
    }
    if (status == CVM_OK) {
        status = read_definition(store, arena, &workflow, &definition, err);
    }
    if (status == CVM_OK) {
        status = cvm_step_list(store, arena, workflow_id, &steps, err);
    }
    if (status == CVM_OK) {
        const struct cvm_progress_rows rows = {definition, &workflow, &steps, &means};
        status = cvm_progress_order(arena, &rows, event, &progress, err);
    }
    if (status == CVM_OK) {
        status = keep_order(store, &steps, &progress, err);
    }
    if (status == CVM_OK) {
        *out_state = progress.workflow.state;
    }
    return status;
}
