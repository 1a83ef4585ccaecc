/* What each permitted treatment is worth: of a part of the base in a run, or to one customer. */
#include <string.h>

#include "agents/desks.h"
#include "agents/part_shelf.h"
#include "engine/decide.h"
#include "storage/run_parts.h"

/* ---- a part of the base ---- */

struct storing {
    const char *run_id;
    struct cvm_stored_part part;
};

static enum cvm_status store_part(void *state, struct cvm_store *store, struct cvm_error *err)
{
    const struct storing *storing = state;
    return cvm_run_part_put(store, storing->run_id, &storing->part, err);
}

static enum cvm_status keep_bytes(const struct cvm_turn *turn, const char *run_id,
                                  const struct cvm_run_part *part, struct cvm_effects *effects,
                                  struct cvm_error *err)
{
    struct cvm_text body;
    cvm_text_init(&body, 0);
    enum cvm_status status = cvm_run_part_encode(part, &body, err);
    struct storing *storing = CVM_NEW(turn->arena, struct storing);
    const char *bytes =
        status == CVM_OK ? cvm_arena_copy(turn->arena, body.data, body.length) : NULL;
    if (status == CVM_OK && (storing == NULL || bytes == NULL)) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for a part of a run");
    }
    if (status == CVM_OK) {
        *storing = (struct storing){
            run_id, {(int64_t)turn->message->shard, effects->customers, bytes, body.length}};
        effects->write = store_part;
        effects->write_state = storing;
    }
    cvm_text_finish(&body);
    return status;
}

/* Within one process it is handed over; between two it is a row. */
static enum cvm_status pass_on(const struct cvm_turn *turn, const char *run_id,
                               struct cvm_run_part *part, struct cvm_effects *effects,
                               struct cvm_error *err)
{
    if (turn->site->shelf != NULL) {
        return cvm_part_shelf_put(turn->site->shelf, run_id, turn->message->shard, part, err);
    }
    enum cvm_status status = keep_bytes(turn, run_id, part, effects, err);
    cvm_run_part_destroy(part);
    return status;
}

static enum cvm_status open_job(struct cvm_desks *worker, const struct cvm_turn *turn,
                                const struct cvm_run_ticket *ticket, struct cvm_run_job **out_job,
                                bool *out_is_new, struct cvm_error *err)
{
    bool is_own = turn->site->own_run != NULL;
    if (is_own) {
        (void)cvm_agent_writer_lock(turn->site->writer);
    }
    enum cvm_status status = cvm_run_desk_open(worker->run, ticket, NULL, out_job, out_is_new, err);
    if (is_own) {
        cvm_agent_writer_unlock(turn->site->writer);
    }
    return status;
}

static enum cvm_status value_part(struct cvm_desks *worker, const struct cvm_turn *turn,
                                  struct cvm_effects *effects, struct cvm_error *err)
{
    struct cvm_run_ticket ticket;
    struct cvm_run_job *job = NULL;
    struct cvm_run_part *part = NULL;
    bool is_new = false;
    enum cvm_status status = cvm_run_desk_ticket(turn, &ticket, err);
    if (status == CVM_OK && (ticket.run_id == NULL || turn->message->shard >= ticket.parts)) {
        status = CVM_FAIL(err, CVM_E_INVALID, "the message is about no part of a run");
    }
    if (status == CVM_OK) {
        status = open_job(worker, turn, &ticket, &job, &is_new, err);
    }
    if (status == CVM_OK && is_new) {
        status = cvm_run_join(job, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_run_value(job, cvm_run_desk_engine(worker->run), turn->message->shard, &part, err);
    }
    if (status != CVM_OK) {
        cvm_run_desk_clear(worker->run);
        return status;
    }
    effects->customers = (int64_t)cvm_run_part_customers(part);
    return pass_on(turn, ticket.run_id, part, effects, err);
}

/* ---- one customer ---- */

/* Who listens on the queue of a specialist answers for what he offers alone. */
static const struct specialist {
    const char *queue;
    enum cvm_channel channel;
} specialists[] = {
    {"treatment.call_center", CVM_CHANNEL_CALL},
};

static enum cvm_channel channel_of(const struct cvm_turn *turn)
{
    for (size_t i = 0; i < sizeof(specialists) / sizeof(specialists[0]); i++) {
        if (turn->queue != NULL && strcmp(turn->queue, specialists[i].queue) == 0) {
            return specialists[i].channel;
        }
    }
    return CVM_CHANNEL_UNSET;
}

static enum cvm_status value_customer(struct cvm_desks *worker, const struct cvm_turn *turn,
                                      struct cvm_effects *effects, struct cvm_error *err)
{
    struct cvm_customer_question question;
    struct cvm_engine *engine = NULL;
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
        .channel = channel_of(turn),
        .direction = CVM_DIRECTION_OUTBOUND,
        .forced_treatment = CVM_INDEX_NONE,
        .allowed = UINT64_MAX,
        .zone = turn->site->zone,
    };
    effects->customers = 1;
    return cvm_decide_values(engine, engine->readers[0], &request, turn->arena, &effects->output,
                             err);
}

static enum cvm_status treatment_handle(void *worker, const struct cvm_turn *turn,
                                        struct cvm_effects *effects, struct cvm_error *err)
{
    return turn->message->shard == CVM_SHARD_NONE ? value_customer(worker, turn, effects, err)
                                                  : value_part(worker, turn, effects, err);
}

static const enum cvm_message_type treatment_serves[] = {CVM_MESSAGE_TREATMENT_REQUEST,
                                                         CVM_MESSAGE_NONE};

const struct cvm_agent_kind cvm_agent_treatment = {
    .name = "treatment",
    .does = "values every permitted treatment: of a part of the base, or for one customer",
    .serves = treatment_serves,
    .open = cvm_desks_open_one_thread,
    .close = cvm_desks_close,
    .handle = treatment_handle,
};
