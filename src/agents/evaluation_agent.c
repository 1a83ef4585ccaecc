/* What became of a run, and how each kind of agent did in it: throughput, failures, time. */
#include <stdlib.h>
#include <string.h>

#include "agents/agent.h"
#include "base/json_writer.h"
#include "storage/plan_store.h"
#include "storage/step_store.h"

static enum cvm_status evaluation_open(const struct cvm_agent_site *site,
                                       const struct cvm_context *context, void **out_worker,
                                       struct cvm_error *err)
{
    struct cvm_store_options options = {
        .access = CVM_DB_READ, .clock = context->clock, .privacy = site->privacy};
    struct cvm_store *reader = NULL;
    enum cvm_status status = cvm_store_open(site->store_url, &options, &reader, err);
    *out_worker = reader;
    return status;
}

static void evaluation_close(void *worker)
{
    cvm_store_close(worker);
}

/* Of the steps of one name. */
struct score {
    const char *step;
    int64_t turns, attempts, customers;
    int64_t busy_ms, longest_ms;
};

static void count_step(struct score *score, const struct cvm_step *step)
{
    int64_t took_ms = step->finished_ms - step->started_ms;
    score->step = step->name;
    score->turns++;
    score->attempts += step->attempt;
    score->customers += step->customers;
    score->busy_ms += took_ms;
    score->longest_ms = took_ms > score->longest_ms ? took_ms : score->longest_ms;
}

static void write_score(const struct score *score, struct cvm_json_writer *json)
{
    cvm_json_object(json);
    cvm_json_key_string(json, "step", score->step);
    cvm_json_key_int(json, "turns", score->turns);
    cvm_json_key_int(json, "failures", score->attempts - score->turns);
    cvm_json_key_int(json, "customers", score->customers);
    cvm_json_key_double(json, "seconds", (double)score->busy_ms / 1000);
    cvm_json_key_double(json, "longest_seconds", (double)score->longest_ms / 1000);
    cvm_json_object_end(json);
}

/* The steps stand by number, so those of one name together. */
static void write_scores(const struct cvm_steps *steps, struct cvm_json_writer *json)
{
    struct score score = {0};
    cvm_json_key(json, "agents");
    cvm_json_array(json);
    for (size_t i = 0; i < steps->count; i++) {
        const struct cvm_step *step = &steps->items[i];
        if (step->state != CVM_STEP_DONE) {
            continue;
        }
        if (score.turns > 0 && strcmp(score.step, step->name) != 0) {
            write_score(&score, json);
            score = (struct score){0};
        }
        count_step(&score, step);
    }
    if (score.turns > 0) {
        write_score(&score, json);
    }
    cvm_json_array_end(json);
}

static enum cvm_status evaluation_handle(void *worker, const struct cvm_turn *turn,
                                         struct cvm_effects *effects, struct cvm_error *err)
{
    struct cvm_run_record run;
    struct cvm_steps steps;
    struct cvm_json_writer json;
    const struct cvm_envelope *message = turn->message;
    const char *run_id = cvm_turn_text(turn, cvm_turn_need(turn, "begin", "run_id"));
    const char *workflow_id =
        cvm_arena_copy(turn->arena, message->workflow_id.data, message->workflow_id.length);
    if (run_id == NULL || workflow_id == NULL) {
        return CVM_FAIL(err, CVM_E_INVALID, "the message is about no run");
    }
    enum cvm_status status = cvm_run_get(worker, turn->arena, run_id, &run, err);
    if (status == CVM_OK) {
        status = cvm_step_list(worker, turn->arena, workflow_id, &steps, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    cvm_json_init(&json, &effects->output, false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "run_id", run.run_id);
    cvm_json_key_string(&json, "plan_state", run.plan_state);
    cvm_json_key_string(&json, "plan_digest", run.plan_digest);
    cvm_json_key_int(&json, "decisions", run.decisions);
    cvm_json_key_double(&json, "value", run.value);
    write_scores(&steps, &json);
    cvm_json_object_end(&json);
    return CVM_OK;
}

static const enum cvm_message_type evaluation_serves[] = {CVM_MESSAGE_EVALUATION_REQUEST,
                                                          CVM_MESSAGE_NONE};

const struct cvm_agent_kind cvm_agent_evaluation = {
    .name = "evaluation",
    .does = "says what became of a run and how each kind of agent did in it",
    .serves = evaluation_serves,
    .open = evaluation_open,
    .close = evaluation_close,
    .handle = evaluation_handle,
};
