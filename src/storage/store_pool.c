#include "storage/store_pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/metrics.h"
#include "storage/db_sql.h"

#define WAIT_MS_DEFAULT        30000
#define CHECK_AFTER_MS_DEFAULT 30000
#define CLOSE_AFTER_MS_DEFAULT 300000
#define LOOK_MS                200 /* how often a waiting thread looks whether it was cancelled */

struct pooled {
    struct cvm_store *store; /* NULL = not open; set with the lock */
    int64_t idle_since_ns;
    bool is_lent;     /* or being opened, checked */
    bool is_doubtful; /* read and set by who has it */
};

struct cvm_store_pool {
    struct cvm_store_pool_options options; /* with the defaults filled in */
    char *url;
    pthread_mutex_t lock; /* guards what follows; a lent one is its borrower's */
    pthread_cond_t has_returned;
    struct cvm_store_pool_counts counts;
    size_t room; /* counts.most, or as many as a server gave that was full then */
    struct cvm_metric *open;
    struct cvm_metric *lent;
    struct cvm_metric *waited;
    struct cvm_metric *replaced;
    struct pooled *stores; /* counts.most of them */
};

static int64_t steady_ns(const struct cvm_store_pool *pool)
{
    const struct cvm_clock *clock = &pool->options.context->clock;
    return clock->steady_ns(clock->state);
}

static int64_t idle_ms(const struct cvm_store_pool *pool, const struct pooled *pooled)
{
    return (steady_ns(pool) - pooled->idle_since_ns) / 1000000;
}

static void show(struct cvm_store_pool *pool)
{
    cvm_metric_set(pool->open, (double)pool->counts.open);
    cvm_metric_set(pool->lent, (double)pool->counts.lent);
}

/* ---- one connection ---- */

static enum cvm_status ask(struct cvm_db *db)
{
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_STORE_CHECK), NULL, 0, NULL, NULL);
}

static bool is_there(const struct cvm_store_pool *pool, struct cvm_store *store)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db *journeys = cvm_store_journeys(store);
    bool is_good = ask(db) == CVM_OK && (journeys == db || ask(journeys) == CVM_OK);
    /* What can not be opened anew looks for its server itself when it is asked again. */
    return is_good || (pool->options.keeps_open && ask(db) == CVM_OK);
}

static void close_one(struct cvm_store_pool *pool, struct pooled *pooled)
{
    cvm_store_close(pooled->store);
    (void)pthread_mutex_lock(&pool->lock);
    pooled->store = NULL;
    pool->counts.open--;
    show(pool);
    (void)pthread_mutex_unlock(&pool->lock);
}

/* What is marked as lent is made fit for it: without the lock, since servers take their time. */
static enum cvm_status make_fit(struct cvm_store_pool *pool, struct pooled *pooled,
                                struct cvm_error *err)
{
    bool is_asked = pooled->store != NULL &&
                    (pooled->is_doubtful || idle_ms(pool, pooled) > pool->options.check_after_ms);
    bool is_broken = is_asked && !is_there(pool, pooled->store);
    if (is_broken) {
        close_one(pool, pooled);
    }
    pooled->is_doubtful = false;
    if (pooled->store != NULL) {
        return CVM_OK;
    }
    struct cvm_store *store = NULL;
    struct cvm_store_options options = pool->options.store;
    if (cvm_store_pool_counts_of(pool).open > 0) {
        options.retry.attempts = 1; /* one that is given back comes sooner */
    }
    enum cvm_status status = cvm_store_open(pool->url, &options, &store, err);
    if (status == CVM_OK) {
        (void)pthread_mutex_lock(&pool->lock);
        pooled->store = store;
        pool->counts.open++;
        pool->counts.replaced += is_broken;
        cvm_metric_add(pool->replaced, is_broken ? 1 : 0);
        show(pool);
        (void)pthread_mutex_unlock(&pool->lock);
    }
    return status;
}

/* ---- lending ---- */

static bool is_better(const struct pooled *one, const struct pooled *other)
{
    return one->store != NULL &&
           (other->store == NULL || one->idle_since_ns > other->idle_since_ns);
}

/* The one used last, so that the others grow old enough to be closed; else a place for a new one.
 */
static struct pooled *find(struct cvm_store_pool *pool)
{
    struct pooled *found = NULL;
    for (size_t i = 0; i < pool->counts.most; i++) {
        struct pooled *one = &pool->stores[i];
        bool may_be = !one->is_lent && (one->store != NULL || pool->counts.open < pool->room);
        if (may_be && (found == NULL || is_better(one, found))) {
            found = one;
        }
    }
    return found;
}

static struct timespec in_ms(int64_t ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    at.tv_sec += ms / 1000 + at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

static enum cvm_status fail_full(const struct cvm_store_pool *pool, struct cvm_error *err)
{
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_UNAVAILABLE,
                 "all %zu connections for reading the store stayed in use for %lld ms", pool->room,
                 (long long)pool->options.wait_ms);
    return cvm_error_hint(err, status, "Raise `connections` in cvm.yaml, or use fewer --threads.");
}

/* With the lock, also while it waits. */
static enum cvm_status wait_for_one(struct cvm_store_pool *pool, struct pooled **out_pooled,
                                    struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    struct pooled *found = NULL;
    if (find(pool) == NULL) {
        pool->counts.waited++;
        cvm_metric_add(pool->waited, 1);
    }
    int64_t left_ms = pool->options.wait_ms;
    while (status == CVM_OK && (found = find(pool)) == NULL) {
        int64_t part_ms = left_ms < LOOK_MS ? left_ms : LOOK_MS;
        struct timespec until = in_ms(part_ms);
        if (left_ms <= 0) {
            status = fail_full(pool, err);
        } else if (pthread_cond_timedwait(&pool->has_returned, &pool->lock, &until) == ETIMEDOUT) {
            left_ms -= part_ms;
            status = cvm_context_check(pool->options.context, err);
        }
    }
    *out_pooled = found;
    return status;
}

static void set_free(struct cvm_store_pool *pool, struct pooled *pooled)
{
    (void)pthread_mutex_lock(&pool->lock);
    pooled->is_lent = false;
    pooled->idle_since_ns = steady_ns(pool);
    pool->counts.lent--;
    show(pool);
    (void)pthread_cond_signal(&pool->has_returned);
    (void)pthread_mutex_unlock(&pool->lock);
}

/* With the lock: closing tells the server good-bye and waits for nobody. */
static void close_old(struct cvm_store_pool *pool)
{
    for (size_t i = 0; !pool->options.keeps_open && i < pool->counts.most; i++) {
        struct pooled *one = &pool->stores[i];
        if (!one->is_lent && one->store != NULL &&
            idle_ms(pool, one) > pool->options.close_after_ms) {
            cvm_store_close(one->store);
            one->store = NULL;
            pool->counts.open--;
        }
    }
}

static enum cvm_status lend_once(struct cvm_store_pool *pool, struct pooled **out_pooled,
                                 struct cvm_error *err)
{
    (void)pthread_mutex_lock(&pool->lock);
    enum cvm_status status = wait_for_one(pool, out_pooled, err);
    if (status == CVM_OK) {
        (*out_pooled)->is_lent = true;
        pool->counts.lent++;
        close_old(pool);
        show(pool);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return status;
}

/* A server that has no room for more: what it gave must do. */
static bool can_do_with_less(struct cvm_store_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    bool can = pool->counts.open > 0;
    pool->room = can ? pool->counts.open : pool->counts.most;
    (void)pthread_mutex_unlock(&pool->lock);
    return can;
}

enum cvm_status cvm_store_pool_lend(struct cvm_store_pool *pool, struct cvm_store **out_store,
                                    struct cvm_error *err)
{
    struct pooled *pooled = NULL;
    enum cvm_status status = CVM_OK;
    bool goes_on = true;
    while (goes_on) {
        status = lend_once(pool, &pooled, err);
        if (status != CVM_OK) {
            return status;
        }
        status = make_fit(pool, pooled, err);
        if (status != CVM_OK) {
            set_free(pool, pooled);
        }
        goes_on = status == CVM_E_UNAVAILABLE && can_do_with_less(pool);
    }
    if (status == CVM_OK) {
        *out_store = pooled->store;
    }
    return status;
}

void cvm_store_pool_give_back(struct cvm_store_pool *pool, struct cvm_store *store,
                              enum cvm_status status)
{
    size_t at = 0;
    (void)pthread_mutex_lock(&pool->lock);
    while (at < pool->counts.most && pool->stores[at].store != store) {
        at++;
    }
    assert(at < pool->counts.most && pool->stores[at].is_lent);
    (void)pthread_mutex_unlock(&pool->lock);
    cvm_db_rollback(cvm_store_db(store));
    pool->stores[at].is_doubtful = status != CVM_OK;
    set_free(pool, &pool->stores[at]);
}

struct cvm_store_pool_counts cvm_store_pool_counts_of(struct cvm_store_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct cvm_store_pool_counts counts = pool->counts;
    (void)pthread_mutex_unlock(&pool->lock);
    return counts;
}

/* ---- life ---- */

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static void name_metrics(struct cvm_store_pool *pool)
{
    struct cvm_metrics *metrics = pool->options.context->metrics;
    pool->open = cvm_metrics_get(metrics, CVM_METRIC_GAUGE, "cvm_store_connections_open", "",
                                 "Connections that read the store.");
    pool->lent = cvm_metrics_get(metrics, CVM_METRIC_GAUGE, "cvm_store_connections_lent", "",
                                 "Connections that a thread reads with now.");
    pool->waited =
        cvm_metrics_get(metrics, CVM_METRIC_COUNTER, "cvm_store_connections_waited_total", "",
                        "Times that a thread found all connections in use.");
    pool->replaced =
        cvm_metrics_get(metrics, CVM_METRIC_COUNTER, "cvm_store_connections_replaced_total", "",
                        "Connections that were found broken and opened anew.");
}

static enum cvm_status open_all(struct cvm_store_pool *pool, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < pool->counts.most; i++) {
        status = make_fit(pool, &pool->stores[i], err);
    }
    return status;
}

enum cvm_status cvm_store_pool_create(const struct cvm_store_pool_options *options,
                                      struct cvm_store_pool **out_pool, struct cvm_error *err)
{
    assert(options->connections_max > 0 && options->store.access == CVM_DB_READ);
    struct cvm_store_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for connections");
    }
    pthread_condattr_t attributes;
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&pool->has_returned, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    struct cvm_store_pool_options *filled = &pool->options;
    *filled = *options;
    filled->wait_ms = or_default(options->wait_ms, WAIT_MS_DEFAULT);
    filled->check_after_ms = or_default(options->check_after_ms, CHECK_AFTER_MS_DEFAULT);
    filled->close_after_ms = or_default(options->close_after_ms, CLOSE_AFTER_MS_DEFAULT);
    pool->url = strdup(options->url);
    pool->stores = calloc(options->connections_max, sizeof(*pool->stores));
    pool->counts.most = pool->stores == NULL ? 0 : options->connections_max;
    pool->room = pool->counts.most;
    name_metrics(pool);
    enum cvm_status status = pool->url == NULL || pool->stores == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for connections")
                                 : CVM_OK;
    if (status == CVM_OK && options->keeps_open) {
        status = open_all(pool, err);
    }
    if (status != CVM_OK) {
        cvm_store_pool_destroy(pool);
        return status;
    }
    *out_pool = pool;
    return CVM_OK;
}

void cvm_store_pool_destroy(struct cvm_store_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    assert(pool->counts.lent == 0);
    for (size_t i = 0; i < pool->counts.most; i++) {
        cvm_store_close(pool->stores[i].store);
    }
    cvm_metric_set(pool->open, 0);
    (void)pthread_cond_destroy(&pool->has_returned);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool->stores);
    free(pool->url);
    free(pool);
}
