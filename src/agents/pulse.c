#include "agents/pulse.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/threads.h"

struct cvm_pulse {
    const struct cvm_agent_site *site;
    const struct cvm_context *context;
    struct cvm_thread *thread;
    pthread_mutex_t store_lock; /* taken first */
    struct cvm_store *store;    /* NULL = not needed yet, or away */
    pthread_mutex_t lock;       /* of what follows */
    pthread_cond_t changed;
    bool is_closing;
    struct cvm_pulse_beat *beats;
};

/* ---- the store ---- */

/* Under the lock of the store. */
static enum cvm_status open_store(struct cvm_pulse *pulse, struct cvm_error *err)
{
    struct cvm_store_options options = {
        .access = CVM_DB_SHARED, .clock = pulse->context->clock, .privacy = pulse->site->privacy};
    return pulse->store != NULL
               ? CVM_OK
               : cvm_store_open(pulse->site->store_url, &options, &pulse->store, err);
}

static enum cvm_status beat_once(struct cvm_pulse *pulse, const struct cvm_pulse_beat *beat,
                                 struct cvm_error *err)
{
    const struct cvm_step_life life = {beat->worker, CVM_PULSE_LIFE_MS, beat->deadline_ms};
    (void)pthread_mutex_lock(&pulse->store_lock);
    enum cvm_status status = open_store(pulse, err);
    if (status == CVM_OK) {
        struct cvm_db *db = cvm_store_db(pulse->store);
        status = cvm_db_begin(db, err);
        if (status == CVM_OK) {
            status = cvm_step_beat(pulse->store, &beat->step, &life, err);
        }
        if (status == CVM_OK) {
            status = cvm_db_commit(db, err);
        }
        cvm_db_rollback(db);
    }
    (void)pthread_mutex_unlock(&pulse->store_lock);
    return status;
}

/* ---- the thread ---- */

/* The beat at place `number`; false when there are fewer. A copy: its turn may end meanwhile. */
static bool copy_beat(struct cvm_pulse *pulse, size_t number, struct cvm_pulse_beat *out_beat)
{
    (void)pthread_mutex_lock(&pulse->lock);
    const struct cvm_pulse_beat *beat = pulse->beats;
    for (size_t i = 0; i < number && beat != NULL; i++) {
        beat = beat->next;
    }
    if (beat != NULL) {
        *out_beat = *beat;
        out_beat->step.workflow_id = out_beat->workflow_id;
    }
    (void)pthread_mutex_unlock(&pulse->lock);
    return beat != NULL;
}

/* One whose attempt was given up has its end at its commit, which is refused. */
static void beat_all(struct cvm_pulse *pulse)
{
    struct cvm_pulse_beat beat;
    for (size_t i = 0; copy_beat(pulse, i, &beat); i++) {
        struct cvm_error err = {0};
        enum cvm_status status = beat_once(pulse, &beat, &err);
        if (status != CVM_OK) {
            CVM_LOG(pulse->context->log, CVM_LOG_WARN, "no_sign_of_life",
                    CVM_TEXT("workflow", beat.workflow_id), CVM_TEXT("why", err.message));
        }
    }
}

/* False: it is to end. */
static bool wait_for_next(struct cvm_pulse *pulse)
{
    struct timespec until;
    int code = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CVM_PULSE_MS / 1000;
    (void)pthread_mutex_lock(&pulse->lock);
    while (!pulse->is_closing && code == 0) {
        code = pthread_cond_timedwait(&pulse->changed, &pulse->lock, &until);
    }
    bool goes_on = !pulse->is_closing;
    (void)pthread_mutex_unlock(&pulse->lock);
    return goes_on;
}

static enum cvm_status run(void *state, struct cvm_error *err)
{
    struct cvm_pulse *pulse = state;
    (void)err;
    while (wait_for_next(pulse)) {
        beat_all(pulse);
    }
    return CVM_OK;
}

/* ---- life ---- */

enum cvm_status cvm_pulse_create(const struct cvm_agent_site *site,
                                 const struct cvm_context *context, struct cvm_pulse **out_pulse,
                                 struct cvm_error *err)
{
    struct cvm_pulse *pulse = calloc(1, sizeof(*pulse));
    pthread_condattr_t attributes;
    if (pulse == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for agents");
    }
    pulse->site = site;
    pulse->context = context;
    /* On Linux these only fill their structs. */
    (void)pthread_mutex_init(&pulse->store_lock, NULL);
    (void)pthread_mutex_init(&pulse->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&pulse->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    enum cvm_status status = cvm_thread_start(run, pulse, &pulse->thread, err);
    if (status != CVM_OK) {
        cvm_pulse_destroy(pulse);
        return status;
    }
    *out_pulse = pulse;
    return CVM_OK;
}

void cvm_pulse_destroy(struct cvm_pulse *pulse)
{
    if (pulse == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&pulse->lock);
    pulse->is_closing = true;
    (void)pthread_cond_signal(&pulse->changed);
    (void)pthread_mutex_unlock(&pulse->lock);
    (void)!cvm_thread_join(pulse->thread, NULL);
    cvm_store_close(pulse->store);
    (void)pthread_cond_destroy(&pulse->changed);
    (void)pthread_mutex_destroy(&pulse->lock);
    (void)pthread_mutex_destroy(&pulse->store_lock);
    free(pulse);
}

/* ---- beats ---- */

enum cvm_status cvm_pulse_begin(struct cvm_pulse *pulse, struct cvm_pulse_beat *beat,
                                struct cvm_error *err)
{
    (void)snprintf(beat->workflow_id, sizeof(beat->workflow_id), "%s", beat->step.workflow_id);
    beat->step.workflow_id = beat->workflow_id; /* the turn's may go first */
    enum cvm_status status = beat_once(pulse, beat, err);
    if (status != CVM_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&pulse->lock);
    beat->next = pulse->beats;
    pulse->beats = beat;
    (void)pthread_mutex_unlock(&pulse->lock);
    return CVM_OK;
}

void cvm_pulse_end(struct cvm_pulse *pulse, struct cvm_pulse_beat *beat)
{
    (void)pthread_mutex_lock(&pulse->lock);
    struct cvm_pulse_beat **at = &pulse->beats;
    while (*at != beat) {
        at = &(*at)->next;
    }
    *at = beat->next;
    (void)pthread_mutex_unlock(&pulse->lock);
}
