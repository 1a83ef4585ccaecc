/* The beginning of a run: what it sees is pinned, and the base is cut into parts. And whether a
 * customer is there at all. */
#include <stdlib.h>

#include "agents/customer_desk.h"
#include "agents/run_desk.h"
#include "base/json_writer.h"
#include "storage/customers.h"

struct worker {
    struct cvm_run_desk *run;
    struct cvm_customer_desk *customer;
};

static void data_close(void *state)
{
    struct worker *worker = state;
    if (worker != NULL) {
        cvm_run_desk_destroy(worker->run);
        cvm_customer_desk_destroy(worker->customer);
        free(worker);
    }
}

static enum cvm_status data_open(const struct cvm_agent_site *site,
                                 const struct cvm_context *context, void **out_worker,
                                 struct cvm_error *err)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an agent");
    }
    /* One for each core cuts the base into as many parts as keep them busy. */
    enum cvm_status status = cvm_run_desk_create(site, context, site->threads, &worker->run, err);
    if (status == CVM_OK) {
        status = cvm_customer_desk_create(site, context, &worker->customer, err);
    }
    if (status != CVM_OK) {
        data_close(worker);
        return status;
    }
    *out_worker = worker;
    return CVM_OK;
}

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

/* A request that was answered before is the same run: nothing is left to do. */
static enum cvm_status begin_run(struct worker *worker, const struct cvm_turn *turn,
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

static enum cvm_status find_customer(struct worker *worker, const struct cvm_turn *turn,
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
    .open = data_open,
    .close = data_close,
    .handle = data_handle,
};
