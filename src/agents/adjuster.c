#include "agents/adjuster.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agents/scale.h"
#include "base/breaker.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "base/metrics.h"
#include "messaging/broker.h"
#include "storage/agent_events.h"
#include "storage/dead_letter.h"
#include "storage/turn.h"

#define COMMITS_MAX 128 /* the last ones of a look */

/* Since the last look, but for `scale` and what is at work. */
struct pool {
    struct cvm_scale scale;
    uint64_t began;
    uint64_t ended;
    double seconds;  /* of turns that ended */
    size_t at_work;  /* turns */
    double starts_s; /* sum of when they began */
    int64_t backlog; /* at the last look; < 0 = unknown */
};

struct cvm_adjuster {
    const struct cvm_host_options *options;
    pthread_mutex_t lock; /* of what follows, but for the link */
    struct pool pools[CVM_HOST_POOLS_MAX];
    struct cvm_breaker breaker;
    double commits[COMMITS_MAX];
    size_t commit_count;
    double looked_s; /* 0 = never */
    struct cvm_broker_link *link;
};

static double now_s(const struct cvm_adjuster *adjuster)
{
    return cvm_context_seconds(adjuster->options->context);
}

static int64_t steady_ms(const struct cvm_adjuster *adjuster)
{
    const struct cvm_clock *clock = &adjuster->options->context->clock;
    return clock->steady_ns(clock->state) / 1000000;
}

enum cvm_status cvm_adjuster_create(const struct cvm_host_options *options,
                                    struct cvm_adjuster **out_adjuster, struct cvm_error *err)
{
    struct cvm_adjuster *adjuster = calloc(1, sizeof(*adjuster));
    if (adjuster == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for agents");
    }
    struct cvm_breaker_options breaker = {.calls_max = 0};
    adjuster->options = options;
    (void)pthread_mutex_init(&adjuster->lock, NULL); /* on Linux this only fills it */
    cvm_breaker_init(&adjuster->breaker, &breaker, options->seed);
    for (size_t p = 0; p < options->pool_count; p++) {
        const struct cvm_host_pool *pool = &options->pools[p];
        cvm_scale_init(&adjuster->pools[p].scale, pool->workers, cvm_host_pool_most(pool),
                       pool->workers);
        adjuster->pools[p].backlog = -1;
    }
    adjuster->looked_s = now_s(adjuster);
    *out_adjuster = adjuster;
    return CVM_OK;
}

void cvm_adjuster_destroy(struct cvm_adjuster *adjuster)
{
    if (adjuster != NULL) {
        cvm_broker_link_close(adjuster->link);
        (void)pthread_mutex_destroy(&adjuster->lock);
        free(adjuster);
    }
}

/* ---- workers ---- */

size_t cvm_adjuster_wanted(struct cvm_adjuster *adjuster, size_t pool)
{
    (void)pthread_mutex_lock(&adjuster->lock);
    size_t workers = adjuster->pools[pool].scale.workers;
    (void)pthread_mutex_unlock(&adjuster->lock);
    return workers;
}

bool cvm_adjuster_may_take(struct cvm_adjuster *adjuster)
{
    int64_t again_ms = 0;
    (void)pthread_mutex_lock(&adjuster->lock);
    bool may = cvm_breaker_ask(&adjuster->breaker, steady_ms(adjuster), &again_ms);
    (void)pthread_mutex_unlock(&adjuster->lock);
    return may;
}

void cvm_adjuster_took_none(struct cvm_adjuster *adjuster)
{
    (void)pthread_mutex_lock(&adjuster->lock);
    cvm_breaker_done(&adjuster->breaker, steady_ms(adjuster), CVM_CALL_IGNORED);
    (void)pthread_mutex_unlock(&adjuster->lock);
}

void cvm_adjuster_began(struct cvm_adjuster *adjuster, size_t pool)
{
    (void)pthread_mutex_lock(&adjuster->lock);
    adjuster->pools[pool].began++;
    adjuster->pools[pool].at_work++;
    adjuster->pools[pool].starts_s += now_s(adjuster);
    (void)pthread_mutex_unlock(&adjuster->lock);
}

static enum cvm_call_outcome outcome_of(const struct cvm_turn_report *report)
{
    bool is_slow = report->commit_seconds >= CVM_ADJUSTER_COMMIT_SLOW_S;
    return report->end == CVM_TURN_LATER ? CVM_CALL_FAILED
           : is_slow                     ? CVM_CALL_SLOW
                                         : CVM_CALL_GOOD;
}

void cvm_adjuster_ended(struct cvm_adjuster *adjuster, size_t number,
                        const struct cvm_turn_report *report)
{
    struct pool *pool = &adjuster->pools[number];
    (void)pthread_mutex_lock(&adjuster->lock);
    pool->ended++;
    pool->seconds += report->seconds;
    pool->at_work--;
    pool->starts_s = pool->at_work == 0 ? 0 : pool->starts_s - (now_s(adjuster) - report->seconds);
    if (report->commit_seconds > 0) {
        adjuster->commits[adjuster->commit_count++ % COMMITS_MAX] = report->commit_seconds;
    }
    cvm_breaker_done(&adjuster->breaker, steady_ms(adjuster), outcome_of(report));
    (void)pthread_mutex_unlock(&adjuster->lock);
}

/* ---- a look ---- */

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* 0 when nothing was committed since the last look. */
static double commit_p99(struct cvm_adjuster *adjuster)
{
    size_t count = adjuster->commit_count < COMMITS_MAX ? adjuster->commit_count : COMMITS_MAX;
    adjuster->commit_count = 0;
    if (count == 0) {
        return 0;
    }
    qsort(adjuster->commits, count, sizeof(adjuster->commits[0]), compare);
    return adjuster->commits[(count - 1) * 99 / 100];
}

struct figures {
    struct cvm_scale_sample samples[CVM_HOST_POOLS_MAX];
    struct cvm_broker_depth depths[CVM_HOST_POOLS_MAX];
    double commit_p99_s;
    enum cvm_breaker_state breaker;
};

/* A turn that goes on and on counts with the time that it has taken so far. Messages that this
 * process took, and those that queue up, have arrived. */
static struct cvm_scale_sample sample_of(struct cvm_adjuster *adjuster, size_t number, double now,
                                         const struct cvm_broker_depth *depth)
{
    struct pool *pool = &adjuster->pools[number];
    double elapsed_s = now - adjuster->looked_s > 0.001 ? now - adjuster->looked_s : 0.001;
    double at_work_s = (double)pool->at_work * now - pool->starts_s;
    double turns = (double)pool->ended + (double)pool->at_work;
    double grown =
        depth->ready < 0 || pool->backlog < 0 ? 0 : (double)(depth->ready - pool->backlog);
    double arrived = (double)pool->began + grown;
    pool->backlog = depth->ready;
    struct cvm_scale_sample sample = {
        .now_ms = steady_ms(adjuster),
        .arrivals_per_s = arrived > 0 ? arrived / elapsed_s : 0,
        .service_s = turns > 0 ? (pool->seconds + at_work_s) / turns : 0,
        .backlog = depth->ready,
    };
    pool->began = 0;
    pool->ended = 0;
    pool->seconds = 0;
    return sample;
}

static enum cvm_status read_depths(struct cvm_adjuster *adjuster, struct figures *figures,
                                   struct cvm_error *err)
{
    const struct cvm_host_options *options = adjuster->options;
    enum cvm_status status = CVM_OK;
    if (adjuster->link == NULL) {
        status = cvm_broker_link_open(options->broker, &adjuster->link, err);
    }
    for (size_t p = 0; status == CVM_OK && p < options->pool_count; p++) {
        status =
            cvm_broker_depth_of(adjuster->link, options->pools[p].queue, &figures->depths[p], err);
        if (status == CVM_E_NOT_FOUND) { /* no worker has made it yet */
            figures->depths[p] = (struct cvm_broker_depth){-1, -1, -1};
            status = CVM_OK;
        }
    }
    return status;
}

static void sample_all(struct cvm_adjuster *adjuster, struct figures *figures)
{
    double now = now_s(adjuster);
    figures->commit_p99_s = commit_p99(adjuster);
    figures->breaker = adjuster->breaker.state;
    bool is_slow = figures->commit_p99_s >= CVM_ADJUSTER_COMMIT_SLOW_S ||
                   figures->breaker == CVM_BREAKER_OPEN ||
                   figures->breaker == CVM_BREAKER_HALF_OPEN ||
                   figures->breaker == CVM_BREAKER_FORCED_OPEN;
    for (size_t p = 0; p < adjuster->options->pool_count; p++) {
        figures->samples[p] = sample_of(adjuster, p, now, &figures->depths[p]);
        figures->samples[p].is_dependency_slow = is_slow;
    }
    adjuster->looked_s = now;
}

static void write_inputs(const struct cvm_scale_sample *sample, const struct figures *figures,
                         const struct cvm_scale_choice *choice, size_t before,
                         struct cvm_text *text)
{
    struct cvm_json_writer json;
    cvm_json_init(&json, text, false);
    cvm_json_object(&json);
    cvm_json_key_int(&json, "before", (int64_t)before);
    cvm_json_key_int(&json, "workers", (int64_t)choice->workers);
    cvm_json_key_double(&json, "need", choice->need);
    cvm_json_key_double(&json, "arrivals_per_s", sample->arrivals_per_s);
    cvm_json_key_double(&json, "service_s", sample->service_s);
    cvm_json_key_int(&json, "backlog", sample->backlog);
    cvm_json_key_double(&json, "commit_p99_s", figures->commit_p99_s);
    cvm_json_key_string(&json, "store_breaker", cvm_breaker_state_name(figures->breaker));
    cvm_json_object_end(&json);
}

static enum cvm_status keep_row(const struct cvm_adjuster *adjuster,
                                const struct cvm_agent_event *event, struct cvm_error *err)
{
    struct cvm_store *store = cvm_agent_writer_lock(adjuster->options->site->writer);
    struct cvm_db *db = cvm_store_db(store);
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_agent_event_add(store, event, err);
        status = status == CVM_OK ? cvm_db_commit(db, err) : status;
        cvm_db_rollback(db);
    }
    cvm_agent_writer_unlock(adjuster->options->site->writer);
    return status;
}

static enum cvm_status note_change(const struct cvm_adjuster *adjuster, size_t number,
                                   const struct figures *figures,
                                   const struct cvm_scale_choice *choice, size_t before,
                                   struct cvm_error *err)
{
    const struct cvm_scale_sample *sample = &figures->samples[number];
    const char *queue = adjuster->options->pools[number].queue;
    struct cvm_text inputs;
    cvm_text_init(&inputs, 0);
    write_inputs(sample, figures, choice, before, &inputs);
    CVM_LOG(adjuster->options->context->log, CVM_LOG_INFO, "workers_changed",
            CVM_TEXT("queue", queue), CVM_TEXT("why", cvm_scale_reason_name(choice->reason)),
            CVM_INT("before", (int64_t)before), CVM_INT("workers", (int64_t)choice->workers),
            CVM_DOUBLE("need", choice->need), CVM_DOUBLE("arrivals_per_s", sample->arrivals_per_s),
            CVM_DOUBLE("service_s", sample->service_s), CVM_INT("backlog", sample->backlog),
            CVM_DOUBLE("commit_p99_s", figures->commit_p99_s));
    const struct cvm_agent_event event = {
        .agent_type = queue,
        .agent = adjuster->options->name,
        .event = cvm_scale_reason_name(choice->reason),
        .inputs = cvm_text_string(&inputs),
    };
    enum cvm_status status = inputs.failed
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a change of workers")
                                 : keep_row(adjuster, &event, err);
    cvm_text_finish(&inputs);
    return status;
}

/* ---- figures for whoever watches ---- */

static void gauge(const struct cvm_adjuster *adjuster, const char *name, const char *labels,
                  const char *help, double value)
{
    cvm_metric_set(
        cvm_metrics_get(adjuster->options->context->metrics, CVM_METRIC_GAUGE, name, labels, help),
        value);
}

static void show_pools(struct cvm_adjuster *adjuster, const struct figures *figures)
{
    for (size_t p = 0; p < adjuster->options->pool_count; p++) {
        const struct cvm_broker_depth *depth = &figures->depths[p];
        char labels[96];
        (void)snprintf(labels, sizeof(labels), "queue=\"%.64s\"",
                       adjuster->options->pools[p].queue);
        gauge(adjuster, "cvm_agent_workers", labels, "Workers that are at work or wait for it.",
              (double)cvm_adjuster_wanted(adjuster, p));
        if (depth->ready >= 0) {
            gauge(adjuster, "cvm_queue_ready", labels, "Messages that wait.", (double)depth->ready);
        }
        if (depth->in_flight >= 0) {
            gauge(adjuster, "cvm_queue_in_flight", labels, "Messages delivered and not done with.",
                  (double)depth->in_flight);
        }
        if (depth->oldest_ms >= 0) {
            gauge(adjuster, "cvm_queue_oldest_seconds", labels,
                  "How long the oldest message has waited.", (double)depth->oldest_ms / 1000);
        }
    }
    for (int state = 0; state < CVM_BREAKER_STATES; state++) {
        char labels[64];
        (void)snprintf(labels, sizeof(labels), "of=\"store\",state=\"%s\"",
                       cvm_breaker_state_name((enum cvm_breaker_state)state));
        gauge(adjuster, "cvm_breaker_state", labels, "1 for the state that the breaker is in.",
              (int)figures->breaker == state ? 1 : 0);
    }
}

static void show_backlog(const struct cvm_adjuster *adjuster, const char *what,
                         const struct cvm_backlog *backlog, const char *help)
{
    int64_t now_ms = cvm_context_now_ms(adjuster->options->context);
    char name[64];
    (void)snprintf(name, sizeof(name), "cvm_%s", what);
    gauge(adjuster, name, "", help, (double)backlog->count);
    (void)snprintf(name, sizeof(name), "cvm_%s_oldest_seconds", what);
    gauge(adjuster, name, "", "How long ago the oldest of them was made.",
          backlog->oldest_ms == 0 ? 0 : (double)(now_ms - backlog->oldest_ms) / 1000);
}

static enum cvm_status show_store(const struct cvm_adjuster *adjuster, struct cvm_error *err)
{
    struct cvm_backlog outbox;
    struct cvm_backlog letters;
    if (adjuster->options->context->metrics == NULL) {
        return CVM_OK;
    }
    struct cvm_store *store = cvm_agent_writer_lock(adjuster->options->site->writer);
    enum cvm_status status = cvm_outbox_backlog(store, &outbox, err);
    if (status == CVM_OK) {
        status = cvm_dead_letter_backlog(store, &letters, err);
    }
    cvm_agent_writer_unlock(adjuster->options->site->writer);
    if (status == CVM_OK) {
        show_backlog(adjuster, "outbox_unsent", &outbox, "Messages in the store to be sent.");
        show_backlog(adjuster, "dead_letters_waiting", &letters,
                     "Messages and workflows given up that wait for a person.");
    }
    return status;
}

enum cvm_status cvm_adjuster_look(struct cvm_adjuster *adjuster, struct cvm_error *err)
{
    struct figures figures = {.commit_p99_s = 0};
    struct cvm_scale_choice choices[CVM_HOST_POOLS_MAX];
    size_t before[CVM_HOST_POOLS_MAX];
    size_t count = adjuster->options->pool_count;
    enum cvm_status status = read_depths(adjuster, &figures, err);
    if (status != CVM_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&adjuster->lock);
    sample_all(adjuster, &figures);
    for (size_t p = 0; p < count; p++) {
        before[p] = adjuster->pools[p].scale.workers;
        choices[p] = cvm_scale_next(&adjuster->pools[p].scale, &figures.samples[p]);
    }
    (void)pthread_mutex_unlock(&adjuster->lock);
    for (size_t p = 0; status == CVM_OK && p < count; p++) {
        if (choices[p].workers != before[p]) {
            status = note_change(adjuster, p, &figures, &choices[p], before[p], err);
        }
    }
    show_pools(adjuster, &figures);
    return status == CVM_OK ? show_store(adjuster, err) : status;
}
