/* The beginning of a run: what dead ones left is taken up or freed, and the run has its row. */
#include <string.h>

#include "engine/run_internal.h"

static enum cvm_status add_live_key(void *state, uint64_t key, struct cvm_error *err)
{
    struct cvm_column *keys = state;
    void *slot = NULL;
    enum cvm_status status = cvm_column_extend(keys, 1, &slot, err);
    if (status == CVM_OK) {
        *(uint64_t *)slot = key;
    }
    return status;
}

/* ---- taking up ---- */

struct dead_runs {
    struct cvm_arena *arena;
    const char *mine;
    struct cvm_run_record runs[64];
    size_t count;
};

static enum cvm_status note_dead_run(void *state, const struct cvm_run_record *run,
                                     struct cvm_error *err)
{
    struct dead_runs *dead = state;
    (void)err;
    if (strcmp(run->state, "running") == 0 && strcmp(run->run_id, dead->mine) != 0 &&
        dead->count < sizeof(dead->runs) / sizeof(dead->runs[0])) {
        dead->runs[dead->count] = *run;
        dead->runs[dead->count].run_id = cvm_arena_string(dead->arena, run->run_id);
        dead->count += dead->runs[dead->count].run_id != NULL;
    }
    return CVM_OK;
}

static enum cvm_status free_hold(struct cvm_run_job *job, const char *run_id, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(job->writer);
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_ledger_release(job->writer, run_id, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(db);
    }
    return status;
}

/* This process is the store's only writer, so a run that is still "running" has died: what it held
 * is free again, also what this very run held in an earlier life. */
static enum cvm_status bury_dead_runs(struct cvm_run_job *job, struct cvm_error *err)
{
    struct dead_runs dead = {.arena = job->arena, .mine = job->result->run_id};
    enum cvm_status status = cvm_run_list(job->writer, job->arena, 1000, note_dead_run, &dead, err);
    if (status == CVM_OK) {
        status = free_hold(job, dead.mine, err);
    }
    for (size_t i = 0; status == CVM_OK && i < dead.count; i++) {
        status = free_hold(job, dead.runs[i].run_id, err);
        if (status == CVM_OK) {
            status = cvm_run_fail(job->writer, dead.runs[i].run_id, dead.runs[i].epoch, err);
        }
    }
    return status;
}

enum cvm_status cvm_run_start_record(struct cvm_run_job *job, struct cvm_error *err)
{
    struct cvm_text options;
    struct cvm_json_writer json;
    cvm_text_init(&options, 0);
    cvm_json_init(&json, &options, false);
    cvm_run_options_write(job, &json);
    struct cvm_run_record run = {
        .run_id = job->result->run_id,
        .request = job->request_digest,
        .as_of_day = job->request->as_of_day,
        .seed = job->request->seed,
        .catalogue_version = job->engine->catalogue->version,
        .last_batch = job->engine->last_batch,
        .options = cvm_text_string(&options),
        .created_at_ms = job->result->created_at_ms,
        .created_by = job->request->who,
        .responses = job->inputs.responses_json,
    };
    enum cvm_status status = bury_dead_runs(job, err);
    if (status == CVM_OK && job->request->is_replacing) {
        status = cvm_run_withdraw(job, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_start(job->writer, &run, &job->epoch, err);
    }
    cvm_text_finish(&options);
    return status;
}

enum cvm_status cvm_run_find_live(struct cvm_run_job *job, struct cvm_error *err)
{
    return cvm_decision_live(job->store, job->request->as_of_day, job->result->run_id, add_live_key,
                             &job->memory->live_keys, err);
}
