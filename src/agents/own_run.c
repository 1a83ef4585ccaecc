#include "agents/own_run.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct cvm_own_run {
    struct cvm_run_work work;
    struct cvm_run_job *job;
    const char *run_id;
    const char *workflow_id;
    bool is_taken_up;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t has_news;
    struct cvm_run_result *result;
    enum cvm_status status; /* of the first step that failed */
    struct cvm_error why;
    bool is_over;
};

struct cvm_own_run *cvm_own_run_create(const struct cvm_run_work *work, struct cvm_run_job *job)
{
    struct cvm_own_run *own = calloc(1, sizeof(*own));
    const char *run_id = cvm_arena_string(work->arena, cvm_run_job_id(job));
    if (own == NULL || run_id == NULL) {
        free(own);
        return NULL;
    }
    own->work = *work;
    own->job = job;
    own->run_id = run_id;
    (void)pthread_mutex_init(&own->lock, NULL); /* on Linux these only fill them */
    (void)pthread_cond_init(&own->has_news, NULL);
    return own;
}

void cvm_own_run_destroy(struct cvm_own_run *own)
{
    if (own != NULL) {
        cvm_run_close(own->job);
        cvm_run_result_destroy(own->result);
        (void)pthread_cond_destroy(&own->has_news);
        (void)pthread_mutex_destroy(&own->lock);
        free(own);
    }
}

void cvm_own_run_name(struct cvm_own_run *own, const char *workflow_id, bool is_taken_up)
{
    own->workflow_id = workflow_id;
    own->is_taken_up = is_taken_up;
}

const char *cvm_own_run_workflow_id(const struct cvm_own_run *own)
{
    return own->workflow_id;
}

bool cvm_own_run_is_taken_up(const struct cvm_own_run *own)
{
    return own->is_taken_up;
}

/* ---- for agents ---- */

struct cvm_engine *cvm_own_run_engine(const struct cvm_own_run *own)
{
    return own->work.engine;
}

struct cvm_run_job *cvm_own_run_job(const struct cvm_own_run *own)
{
    return own->job;
}

/* Cut as it was when it began, by a process that may have had other threads. */
static enum cvm_status take_up(struct cvm_own_run *own, size_t part_count, struct cvm_error *err)
{
    struct cvm_run_work work = own->work;
    struct cvm_run_job *job = NULL;
    work.run_id = own->run_id;
    work.part_count = part_count;
    enum cvm_status status = cvm_run_open(&work, &job, err);
    if (status == CVM_OK) {
        status = cvm_run_join(job, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_take_up(job, err);
    }
    if (status != CVM_OK) {
        cvm_run_close(job);
        return status;
    }
    cvm_run_close(own->job);
    own->job = job;
    return CVM_OK;
}

enum cvm_status cvm_own_run_join(struct cvm_own_run *own, const char *run_id, size_t part_count,
                                 struct cvm_run_job **out_job, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    if (strcmp(run_id, own->run_id) != 0) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "run %s is not the one of this process, %s", run_id,
                        own->run_id);
    }
    if (cvm_run_job_epoch(own->job) == 0) {
        status = take_up(own, part_count, err);
    }
    if (status == CVM_OK) {
        *out_job = own->job;
    }
    return status;
}

void cvm_own_run_finish(struct cvm_own_run *own, struct cvm_run_result *result)
{
    (void)pthread_mutex_lock(&own->lock);
    cvm_run_result_destroy(own->result);
    own->result = result;
    (void)pthread_mutex_unlock(&own->lock);
}

void cvm_own_run_fail(struct cvm_own_run *own, enum cvm_status status, const struct cvm_error *why,
                      bool is_over)
{
    (void)pthread_mutex_lock(&own->lock);
    if (own->status == CVM_OK) {
        own->status = status;
        own->why = *why;
    }
    own->is_over |= is_over;
    (void)pthread_cond_signal(&own->has_news);
    (void)pthread_mutex_unlock(&own->lock);
}

void cvm_own_run_end(struct cvm_own_run *own)
{
    (void)pthread_mutex_lock(&own->lock);
    own->is_over = true;
    (void)pthread_cond_signal(&own->has_news);
    (void)pthread_mutex_unlock(&own->lock);
}

/* ---- for the command ---- */

enum cvm_status cvm_own_run_wait(struct cvm_own_run *own, struct cvm_run_result **out_result,
                                 struct cvm_error *err)
{
    (void)pthread_mutex_lock(&own->lock);
    while (!own->is_over) {
        (void)pthread_cond_wait(&own->has_news, &own->lock);
    }
    /* What was published is published, whatever came after it. */
    enum cvm_status status = own->result != NULL ? CVM_OK : own->status;
    if (status == CVM_OK) {
        *out_result = own->result;
        own->result = NULL;
    } else if (err != NULL) {
        *err = own->why;
    }
    (void)pthread_mutex_unlock(&own->lock);
    return status;
}
