/* What became of what was decided, and how each kind of agent did: outcomes known by now, counted
 * by treatment; throughput, failures and times from the store. It reads, and writes nothing but its
 * step's output: outcomes come in by an import, which is alone in the store (engine/outcome.h).
 */
#include <string.h>

#include "agents/agent.h"
#include "base/date.h"
#include "base/json_writer.h"
#include "engine/outcome_tally.h"
#include "storage/catalogue_store.h"
#include "storage/plan_store.h"
#include "storage/turn.h"
#include "storage/workflow_store.h"
#include "workflows/figures.h"

#define HOUR_MS           INT64_C(3600000)
#define HOURS_DEFAULT     24
#define HOURS_MAX         (CVM_INBOX_KEEP_MS / HOUR_MS)
#define DAYS_DEFAULT      120
#define DAYS_MAX          3650
#define TREATMENTS_OUTPUT 40 /* an output holds 64 KiB, a treatment of all states about 1 */

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

/* ---- what is asked ---- */

struct question {
    struct cvm_tally_request tally;
    struct cvm_run_record run; /* of one run: run_id NULL = of days */
    bool has_plan;             /* of the run that this very workflow made */
    struct cvm_figure_window window;
};

static enum cvm_status read_number(const struct cvm_turn *turn, const char *name, int64_t most,
                                   int64_t *out_number, struct cvm_error *err)
{
    const struct cvm_json_value *value = cvm_turn_input(turn, name);
    if (value == NULL || value->type == CVM_JSON_NULL) {
        return CVM_OK;
    }
    if (value->type != CVM_JSON_INT || value->integer < 1 || value->integer > most) {
        return CVM_FAIL(err, CVM_E_INVALID, "'%s' is no whole number from 1 to %lld", name,
                        (long long)most);
    }
    *out_number = value->integer;
    return CVM_OK;
}

/* Of the step that made a plan, where this one needs it; else of the input. */
static const char *find_run_id(const struct cvm_turn *turn, bool *out_has_plan)
{
    const struct cvm_json_value *needs = cvm_json_member(turn->payload, "needs");
    const struct cvm_json_value *step = needs == NULL ? NULL : needs->first_child;
    for (; step != NULL; step = step->next) {
        const char *run_id = cvm_turn_text(turn, cvm_json_member(step, "run_id"));
        if (run_id != NULL) {
            *out_has_plan = true;
            return run_id;
        }
    }
    return cvm_turn_text(turn, cvm_turn_input(turn, "run_id"));
}

static enum cvm_status find_run(const struct cvm_turn *turn, struct cvm_store *reader,
                                struct question *question, struct cvm_error *err)
{
    const char *run_id = find_run_id(turn, &question->has_plan);
    if (run_id == NULL) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_run_get(reader, turn->arena, run_id, &question->run, err);
    question->tally.run_id = question->run.run_id;
    return status;
}

/* Up to now; of the workflow itself since it was accepted, else of the last hours. */
static enum cvm_status find_window(const struct cvm_turn *turn, struct cvm_store *reader,
                                   int64_t hours, struct question *question, struct cvm_error *err)
{
    const struct cvm_slice id = turn->message->workflow_id;
    int64_t now_ms = cvm_context_now_ms(turn->context);
    struct cvm_workflow workflow;
    question->window =
        (struct cvm_figure_window){.since_ms = now_ms - hours * HOUR_MS, .until_ms = now_ms + 1};
    if (!question->has_plan || id.length == 0) {
        return CVM_OK;
    }
    const char *workflow_id = cvm_arena_copy(turn->arena, id.data, id.length);
    enum cvm_status status =
        workflow_id == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for an evaluation")
                            : cvm_workflow_find(reader, turn->arena, workflow_id, &workflow, err);
    if (status == CVM_OK) {
        question->window.workflow_id = workflow.workflow_id;
        question->window.since_ms = workflow.created_ms;
    }
    return status;
}

static enum cvm_status read_question(const struct cvm_turn *turn, struct cvm_store *reader,
                                     struct question *question, struct cvm_error *err)
{
    int64_t hours = HOURS_DEFAULT;
    const char *day = cvm_turn_text(turn, cvm_turn_input(turn, "as_of"));
    *question = (struct question){
        .tally = {.as_of_day = cvm_zone_day(turn->site->zone, cvm_context_now_ms(turn->context)),
                  .days = DAYS_DEFAULT}};
    if (day != NULL && !cvm_day_parse(day, strlen(day), &question->tally.as_of_day, NULL, NULL)) {
        return CVM_FAIL(err, CVM_E_INVALID, "the message has no day in 'as_of'");
    }
    enum cvm_status status = read_number(turn, "days", DAYS_MAX, &question->tally.days, err);
    if (status == CVM_OK) {
        status = read_number(turn, "hours", HOURS_MAX, &hours, err);
    }
    if (status == CVM_OK) {
        status = find_run(turn, reader, question, err);
    }
    return status == CVM_OK ? find_window(turn, reader, hours, question, err) : status;
}

/* ---- the answer ---- */

static void write_answer(const struct question *question, const struct cvm_tallies *tallies,
                         const struct cvm_figures *figures, struct cvm_effects *effects)
{
    struct cvm_json_writer json;
    char day[CVM_DAY_TEXT_SIZE];
    cvm_json_init(&json, &effects->output, false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "as_of", cvm_day_format(question->tally.as_of_day, day));
    if (question->tally.run_id == NULL) {
        cvm_json_key_int(&json, "days", question->tally.days);
    } else {
        cvm_json_key_string(&json, "run_id", question->run.run_id);
        cvm_json_key_string(&json, "plan_state", question->run.plan_state);
        cvm_json_key_string(&json, "plan_digest", question->run.plan_digest);
    }
    cvm_outcome_tally_write(tallies, TREATMENTS_OUTPUT, &json);
    cvm_json_key_double(&json, "agents_seconds", figures->seconds);
    cvm_json_key(&json, "agents");
    cvm_figures_write(figures, &json);
    cvm_json_object_end(&json);
    effects->customers = tallies->all.decisions + tallies->all.controls;
}

static enum cvm_status evaluation_handle(void *worker, const struct cvm_turn *turn,
                                         struct cvm_effects *effects, struct cvm_error *err)
{
    struct question question;
    struct cvm_tallies tallies;
    struct cvm_figures figures;
    enum cvm_status status = read_question(turn, worker, &question, err);
    if (status == CVM_OK) {
        status = cvm_catalogue_store_load(worker, turn->arena, 0, &question.tally.catalogue, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_outcome_tally(worker, turn->context, &question.tally, turn->arena, &tallies, err);
    }
    if (status == CVM_OK) {
        status = cvm_figures_read(worker, turn->arena, &question.window, &figures, err);
    }
    if (status == CVM_OK) {
        write_answer(&question, &tallies, &figures, effects);
    }
    return status;
}

static const enum cvm_message_type evaluation_serves[] = {CVM_MESSAGE_EVALUATION_REQUEST,
                                                          CVM_MESSAGE_NONE};

const struct cvm_agent_kind cvm_agent_evaluation = {
    .name = "evaluation",
    .does = "says what became of what was decided and how each kind of agent did",
    .serves = evaluation_serves,
    .open = evaluation_open,
    .close = evaluation_close,
    .handle = evaluation_handle,
};
