/* The beginning of a run: what it sees is pinned, and the base is cut into parts. And whether a
 * customer is there at all. */
#include <string.h>

#include "agents/desks.h"
#include "base/json_writer.h"
#include "storage/customers.h"
#include "storage/plan_store.h"
#include "storage/workflow_store.h"

#define RUNS_LOOKED_AT 1000
#define OTHERS_MAX     16

static void tell_run(const struct cvm_run_desk *desk, const struct cvm_run_job *job, bool is_done,
                     struct cvm_effects *effects)
{
    struct cvm_json_writer json;
    cvm_json_init(&json, &effects->output, false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "run_id", cvm_run_job_id(job));
    cvm_json_key_int(&json, "parts", is_done ? 0 : (int64_t)cvm_run_part_count(job));
    cvm_json_key_int(&json, "catalogue_version", cvm_run_desk_catalogue_version(desk));
    cvm_json_key_int(&json, "last_batch", cvm_run_desk_last_batch(desk));
    cvm_json_key_bool(&json, "reused", is_done);
    cvm_json_object_end(&json);
}

/* Whoever begins a run frees what dead ones held, so nobody else may be at work: one whose workflow
 * is open is not dead. The only writer of a store need not ask. */
struct others {
    struct cvm_arena *arena;
    const char *mine;
    const char *running[OTHERS_MAX];
    size_t count;
};

static enum cvm_status note_other(void *state, const struct cvm_run_record *run,
                                  struct cvm_error *err)
{
    struct others *others = state;
    bool is_other = strcmp(run->state, "running") == 0 && strcmp(run->run_id, others->mine) != 0;
    if (!is_other || others->count == OTHERS_MAX) {
        return CVM_OK;
    }
    const char *id = cvm_arena_string(others->arena, run->run_id);
    others->running[others->count++] = id;
    return id != NULL ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for runs");
}

static enum cvm_status check_others(const struct cvm_turn *turn, struct cvm_store *store,
                                    const struct cvm_run_job *job, struct cvm_error *err)
{
    struct others others = {.arena = turn->arena, .mine = cvm_run_job_id(job)};
    enum cvm_status status =
        cvm_run_list(store, turn->arena, RUNS_LOOKED_AT, note_other, &others, err);
    for (size_t i = 0; status == CVM_OK && i < others.count; i++) {
        struct cvm_workflow workflow;
        status = cvm_workflow_find(store, turn->arena, others.running[i], &workflow, err);
        if (status == CVM_OK && !cvm_workflow_has_ended(workflow.state)) {
            return CVM_FAIL(err, CVM_E_UNAVAILABLE, "run %s is at work: one at a time",
                            others.running[i]);
        }
        status = status == CVM_E_NOT_FOUND ? CVM_OK : status;
    }
    return status;
}

/* Before the run has its row, so that it is never seen without the workflow that works on it. */
static enum cvm_status name_run(const struct cvm_turn *turn, struct cvm_store *store,
                                const char *run_id, struct cvm_error *err)
{
    const struct cvm_slice *id = &turn->message->workflow_id;
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_workflow workflow;
    const struct cvm_slice *named = &turn->message->run_id;
    bool is_named =
        named->length == strlen(run_id) && memcmp(named->data, run_id, named->length) == 0;
    if (id->length == 0 || is_named) {
        return CVM_OK;
    }
    const char *workflow_id = cvm_arena_copy(turn->arena, id->data, id->length);
    enum cvm_status status = workflow_id == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a workflow")
                                 : cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_workflow_lock(store, turn->arena, workflow_id, &workflow, err);
    }
    if (status == CVM_OK) {
        workflow.run_id = run_id;
        status = cvm_workflow_put(store, &workflow, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
    return status;
}

/* Who brings new data looks whether a run is at work, which this one is once it is named; what came
 * in before would end it. */
static enum cvm_status check_batch(struct cvm_store *store, const struct cvm_run_desk *desk,
                                   struct cvm_error *err)
{
    int64_t last_batch = 0;
    enum cvm_status status = cvm_batch_last(store, &last_batch, err);
    return status == CVM_OK && last_batch != cvm_run_desk_last_batch(desk)
               ? CVM_FAIL(err, CVM_E_UNAVAILABLE, "data came in while the run began")
               : status;
}

/* A request that was answered before is the same run: nothing is left to do. */
static enum cvm_status begin_run(struct cvm_desks *worker, const struct cvm_turn *turn,
                                 struct cvm_effects *effects, struct cvm_error *err)
{
    struct cvm_run_ticket ticket;
    struct cvm_run_job *job = NULL;
    struct cvm_run_result *done = NULL;
    bool is_new = false;
    enum cvm_status status = cvm_run_desk_ticket(turn, &ticket, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_store *writer = cvm_agent_writer_lock(turn->site->writer);
    status = cvm_run_desk_open(worker->run, &ticket, writer, &job, &is_new, err);
    if (status == CVM_OK) {
        status = cvm_run_find_done(job, &done, err);
    }
    if (status == CVM_OK && done == NULL && turn->site->own_run == NULL) {
        status = check_others(turn, writer, job, err);
    }
    if (status == CVM_OK && done == NULL) {
        status = name_run(turn, writer, cvm_run_job_id(job), err);
    }
    if (status == CVM_OK && done == NULL) {
        status = check_batch(writer, worker->run, err);
    }
    if (status == CVM_OK && done == NULL) {
        status = cvm_run_begin(job, err);
    }
    cvm_agent_writer_unlock(turn->site->writer);
    if (status == CVM_OK) {
        tell_run(worker->run, job, done != NULL, effects);
    }
    cvm_run_result_destroy(done);
    cvm_run_desk_clear(worker->run);
    return status;
}

static enum cvm_status find_customer(struct cvm_desks *worker, const struct cvm_turn *turn,
                                     struct cvm_effects *effects, struct cvm_error *err)
{
    struct cvm_customer_question question;
    struct cvm_engine *engine = NULL;
    uint64_t key = 0;
    enum cvm_status status = cvm_customer_question_read(turn, &question, err);
    if (status == CVM_OK) {
        status = cvm_customer_desk_engine(worker->customer, &engine, err);
    }
    if (status == CVM_OK) {
        status = cvm_customer_find(engine->readers[0], question.customer_id, &key, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_json_writer json;
    cvm_json_init(&json, &effects->output, false);
    cvm_json_object(&json);
    cvm_json_key_int(&json, "last_batch", engine->last_batch);
    cvm_json_key_int(&json, "catalogue_version", engine->catalogue->version);
    cvm_json_object_end(&json);
    effects->customers = 1;
    return CVM_OK;
}

static enum cvm_status data_handle(void *worker, const struct cvm_turn *turn,
                                   struct cvm_effects *effects, struct cvm_error *err)
{
    bool is_run = cvm_turn_input(turn, "request") != NULL;
    return is_run ? begin_run(worker, turn, effects, err)
                  : find_customer(worker, turn, effects, err);
}

static const enum cvm_message_type data_serves[] = {CVM_MESSAGE_CUSTOMER_DATA_REQUEST,
                                                    CVM_MESSAGE_NONE};

const struct cvm_agent_kind cvm_agent_data = {
    .name = "data",
    .does = "pins what a run sees and cuts the base into parts; finds a customer",
    .serves = data_serves,
    .open = cvm_desks_open,
    .close = cvm_desks_close,
    .handle = data_handle,
};
