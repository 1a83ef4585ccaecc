/* Who gets what: one solve over everybody, published as a plan; or the best for one customer now.
 */

#include "agents/desks.h"
#include "agents/own_run.h"
#include "agents/part_shelf.h"
#include "base/json_writer.h"
#include "engine/decide.h"
#include "engine/run_results.h"
#include "storage/run_parts.h"

/* ---- everybody ---- */

struct gathering {
    struct cvm_run_job *job;
    bool *is_there; /* by part */
    size_t count;
};

static enum cvm_status take(struct gathering *gathering, size_t number, struct cvm_run_part *part,
                            struct cvm_error *err)
{
    enum cvm_status status = cvm_run_take(gathering->job, part, err);
    if (status != CVM_OK) {
        cvm_run_part_destroy(part);
    } else {
        gathering->is_there[number] = true;
    }
    return status;
}

static enum cvm_status take_stored(void *state, const struct cvm_stored_part *stored,
                                   struct cvm_error *err)
{
    struct gathering *gathering = state;
    struct cvm_run_part *part = NULL;
    if (stored->part < 0 || (size_t)stored->part >= gathering->count ||
        gathering->is_there[stored->part]) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_run_part_decode(stored->body, stored->length, &part, err);
    return status == CVM_OK ? take(gathering, (size_t)stored->part, part, err) : status;
}

/* From the shelf, from the store; what is in neither was lost with its process, and is made again.
 */
static enum cvm_status gather(const struct cvm_turn *turn, struct cvm_run_desk *desk,
                              struct cvm_run_job *job, struct cvm_store *writer,
                              struct cvm_error *err)
{
    struct gathering gathering = {.job = job, .count = cvm_run_part_count(job)};
    const char *run_id = cvm_run_job_id(job);
    enum cvm_status status = CVM_OK;
    gathering.is_there = CVM_NEW_ARRAY(turn->arena, gathering.count + 1, bool);
    if (gathering.is_there == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the parts of a run");
    }
    for (size_t p = 0; status == CVM_OK && turn->site->shelf != NULL && p < gathering.count; p++) {
        struct cvm_run_part *part = cvm_part_shelf_take(turn->site->shelf, run_id, p);
        status = part == NULL ? CVM_OK : take(&gathering, p, part, err);
    }
    if (status == CVM_OK && turn->site->shelf == NULL) {
        status = cvm_run_part_scan(writer, run_id, take_stored, &gathering, err);
    }
    for (size_t p = 0; status == CVM_OK && p < gathering.count; p++) {
        struct cvm_run_part *part = NULL;
        if (!gathering.is_there[p]) {
            status = cvm_run_value(job, cvm_run_desk_engine(desk), p, &part, err);
            status = status == CVM_OK ? take(&gathering, p, part, err) : status;
        }
    }
    return status;
}

static enum cvm_status keep(void *state, struct cvm_store *writer, struct cvm_error *err)
{
    const struct cvm_turn *turn = state;
    return turn->keep(turn->keep_state, writer, err);
}

/* Known before the last transaction; the rest of the result is in the run's own row. */
static void tell_run(const char *run_id, struct cvm_effects *effects)
{
    struct cvm_json_writer json;
    cvm_json_init(&json, &effects->output, false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "run_id", run_id);
    cvm_json_object_end(&json);
}

static enum cvm_status decide_run(struct cvm_desks *worker, const struct cvm_turn *turn,
                                  const struct cvm_run_ticket *ticket, struct cvm_effects *effects,
                                  struct cvm_error *err)
{
    struct cvm_store *writer = cvm_agent_writer_lock(turn->site->writer);
    struct cvm_run_publishing publishing = {keep, (void *)(uintptr_t)turn};
    struct cvm_run_job *job = NULL;
    struct cvm_run_result *result = NULL;
    bool is_new = false;
    enum cvm_status status = cvm_run_desk_open(worker->run, ticket, writer, &job, &is_new, err);
    if (status == CVM_OK && is_new) {
        status = cvm_run_join(job, err);
    }
    if (status == CVM_OK && is_new) {
        status = cvm_run_take_up(job, err);
    }
    if (status == CVM_OK) {
        status = gather(turn, worker->run, job, writer, err);
    }
    if (status == CVM_OK) {
        tell_run(ticket->run_id, effects);
        status = cvm_run_decide(job, &publishing, &result, err);
    }
    if (status == CVM_OK) {
        effects->customers = result->customers;
    }
    if (status == CVM_OK && turn->site->own_run != NULL) {
        cvm_own_run_finish(turn->site->own_run, result);
    } else {
        cvm_run_result_destroy(result);
    }
    cvm_run_desk_clear(worker->run);
    cvm_agent_writer_unlock(turn->site->writer);
    return status;
}

/* ---- one customer ---- */

/* A step before it looked which triggers find the customer, and none did. */
static bool is_found_by_none(const struct cvm_turn *turn)
{
    const struct cvm_json_value *needs = cvm_json_member(turn->payload, "needs");
    const struct cvm_json_value *need = needs == NULL ? NULL : needs->first_child;
    for (; need != NULL; need = need->next) {
        const struct cvm_json_value *triggers = cvm_json_member(need, "triggers");
        if (triggers != NULL && triggers->type == CVM_JSON_ARRAY && triggers->child_count == 0) {
            return true;
        }
    }
    return false;
}

static enum cvm_status decide_nothing(const struct cvm_turn *turn, struct cvm_effects *effects,
                                      struct cvm_error *err)
{
    struct cvm_customer_question question;
    struct cvm_json_writer json;
    enum cvm_status status = cvm_customer_question_read(turn, &question, err);
    if (status == CVM_OK) {
        cvm_json_init(&json, &effects->output, false);
        cvm_json_object(&json);
        cvm_json_key_string(&json, "customer_id", question.customer_id);
        cvm_json_key(&json, "decision");
        cvm_json_null(&json);
        cvm_json_key_string(&json, "reason", "no_trigger");
        cvm_json_object_end(&json);
        effects->customers = 1;
    }
    return status;
}

static enum cvm_status decide_customer(struct cvm_desks *worker, const struct cvm_turn *turn,
                                       struct cvm_effects *effects, struct cvm_error *err)
{
    struct cvm_customer_question question;
    struct cvm_engine *engine = NULL;
    const char *who = cvm_turn_text(turn, cvm_turn_input(turn, "who"));
    enum cvm_status status = cvm_customer_question_read(turn, &question, err);
    if (status == CVM_OK) {
        status = cvm_customer_desk_engine(worker->customer, &engine, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_decide_request request = {
        .customer_id = question.customer_id,
        .as_of_day = question.day,
        .channel = CVM_CHANNEL_UNSET,
        .direction = CVM_DIRECTION_OUTBOUND,
        .forced_treatment = CVM_INDEX_NONE,
        .allowed = UINT64_MAX,
        .who = who != NULL ? who : "agent:allocation",
        .zone = turn->site->zone,
    };
    struct cvm_store *writer = cvm_agent_writer_lock(turn->site->writer);
    status = cvm_decide(engine, writer, &request, turn->arena, &effects->output, err);
    cvm_agent_writer_unlock(turn->site->writer);
    effects->customers = 1;
    return status;
}

static enum cvm_status allocation_handle(void *worker, const struct cvm_turn *turn,
                                         struct cvm_effects *effects, struct cvm_error *err)
{
    struct cvm_run_ticket ticket;
    if (cvm_turn_input(turn, "request") == NULL) {
        return is_found_by_none(turn) ? decide_nothing(turn, effects, err)
                                      : decide_customer(worker, turn, effects, err);
    }
    enum cvm_status status = cvm_run_desk_ticket(turn, &ticket, err);
    if (status == CVM_OK && ticket.run_id == NULL) {
        status = CVM_FAIL(err, CVM_E_INVALID, "the message is about no run");
    }
    if (status == CVM_OK) {
        status = cvm_turn_go_long(turn, err);
    }
    return status == CVM_OK ? decide_run(worker, turn, &ticket, effects, err) : status;
}

static const enum cvm_message_type allocation_serves[] = {CVM_MESSAGE_ALLOCATION_REQUEST,
                                                          CVM_MESSAGE_NONE};

const struct cvm_agent_kind cvm_agent_allocation = {
    .name = "allocation",
    .does = "decides who gets what: for everybody in a run, or for one customer now",
    .serves = allocation_serves,
    .open = cvm_desks_open,
    .close = cvm_desks_close,
    .handle = allocation_handle,
};
