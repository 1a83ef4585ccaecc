/* cache.c - what all caches have in common: which entry will do, one maker at a time, counters. */
#include "storage/cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/metrics.h"
#include "storage/cache_backend.h"

#define STRIPES       16 /* of counters: threads on other names count on other cache lines */
#define WAIT_SLICE_NS 5000000

enum counter { HITS, MISSES, STALE, PUTS, WAITS, ERRORS, COUNTER_COUNT };

struct stripe {
    _Alignas(64) _Atomic uint64_t counts[COUNTER_COUNT];
};

/* One who waits: the maker copies the value to where he wants it. */
enum waiting_state { WAITING, GIVEN, FAILED, ON_ITS_OWN };
struct waiting {
    struct waiting *next;
    enum waiting_state state;
    enum cvm_status status;
    struct cvm_text *out_value;
    struct cvm_error *err;
};

/* A value that is being made; lives on its maker's stack. */
struct making {
    struct making *next;
    const struct cvm_cache_want *want;
    struct waiting *waiting;
};

struct cvm_cache_guard {
    struct stripe stripes[STRIPES];
    pthread_mutex_t lock; /* guards what follows and all of making and waiting */
    pthread_cond_t has_ended;
    struct making *makings;
    struct cvm_cache_counts published;
};

static const struct cvm_cache_backend *const backends[] = {
    &cvm_cache_memory,
    &cvm_cache_redis,
};

/* ---- life ---- */

static struct cvm_cache_guard *guard_create(void)
{
    struct cvm_cache_guard *guard = aligned_alloc(64, sizeof(*guard));
    pthread_condattr_t attributes;
    if (guard == NULL) {
        return NULL;
    }
    memset(guard, 0, sizeof(*guard));
    /* On Linux these only fill their structs. */
    (void)pthread_mutex_init(&guard->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&guard->has_ended, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return guard;
}

static void guard_destroy(struct cvm_cache_guard *guard)
{
    (void)pthread_cond_destroy(&guard->has_ended);
    (void)pthread_mutex_destroy(&guard->lock);
    free(guard);
}

static enum cvm_status refuse_scheme(const char *url, size_t length, struct cvm_error *err)
{
    enum cvm_status status = CVM_E_INVALID;
    if (length == 6 && strncmp(url, "rediss", length) == 0) {
        status = CVM_FAIL(err, status,
                          "cache: 'rediss:' needs a client library with TLS, and this "
                          "program is built with one without");
        return cvm_error_hint(err, status,
                              "Let a proxy beside the program speak TLS, and name it with redis:");
    }
    /* Only the scheme: the rest may hold a password. */
    return CVM_FAIL(err, status, "there is no cache '%.*s:': memory: and redis: are there",
                    length > 32 ? 32 : (int)length, url);
}

enum cvm_status cvm_cache_open(const char *url, const struct cvm_cache_options *options,
                               struct cvm_cache **out_cache, struct cvm_error *err)
{
    assert(url != NULL && options != NULL && out_cache != NULL);
    size_t length = strcspn(url, ":");
    const struct cvm_cache_backend *backend = NULL;
    struct cvm_cache *cache = NULL;
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        bool is_it = url[length] == ':' && strlen(backends[i]->scheme) == length &&
                     strncmp(backends[i]->scheme, url, length) == 0;
        backend = is_it ? backends[i] : backend;
    }
    if (backend == NULL) {
        return refuse_scheme(url, length, err);
    }
    struct cvm_cache_guard *guard = guard_create();
    if (guard == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a cache");
    }
    enum cvm_status status = backend->open(url + length + 1, options, &cache, err);
    if (status != CVM_OK) {
        guard_destroy(guard);
        return status;
    }
    cache->backend = backend;
    cache->guard = guard;
    *out_cache = cache;
    return CVM_OK;
}

void cvm_cache_close(struct cvm_cache *cache)
{
    if (cache != NULL) {
        struct cvm_cache_guard *guard = cache->guard;
        assert(guard->makings == NULL);
        cache->backend->close(cache);
        guard_destroy(guard);
    }
}

enum cvm_status cvm_cache_check(struct cvm_cache *cache, const struct cvm_context *context,
                                struct cvm_error *err)
{
    return cache->backend->check(cache, context, err);
}

/* ---- counters ---- */

static void count(struct cvm_cache *cache, struct cvm_slice name, enum counter counter)
{
    size_t stripe = cvm_hash(name.data, name.length) % STRIPES;
    (void)atomic_fetch_add_explicit(&cache->guard->stripes[stripe].counts[counter], 1,
                                    memory_order_relaxed);
}

struct cvm_cache_counts cvm_cache_counts_of(struct cvm_cache *cache)
{
    uint64_t sums[COUNTER_COUNT] = {0};
    for (size_t s = 0; s < STRIPES; s++) {
        for (size_t c = 0; c < COUNTER_COUNT; c++) {
            sums[c] +=
                atomic_load_explicit(&cache->guard->stripes[s].counts[c], memory_order_relaxed);
        }
    }
    struct cvm_cache_counts counts = {
        .hits = sums[HITS],
        .misses = sums[MISSES],
        .stale = sums[STALE],
        .puts = sums[PUTS],
        .waits = sums[WAITS],
        .errors = sums[ERRORS],
    };
    cache->backend->count(cache, &counts);
    return counts;
}

static const struct published {
    const char *name;
    const char *help;
    size_t offset;
    enum cvm_metric_kind kind;
} published[] = {
#define PUBLISHED(member, suffix, kind, help)                                                      \
    {                                                                                              \
        "cvm_cache_" #member suffix, help, offsetof(struct cvm_cache_counts, member), kind         \
    }
    PUBLISHED(hits, "_total", CVM_METRIC_COUNTER, "Values found."),
    PUBLISHED(misses, "_total", CVM_METRIC_COUNTER, "Values not found, for whatever reason."),
    PUBLISHED(stale, "_total", CVM_METRIC_COUNTER, "Misses whose entry was too old."),
    PUBLISHED(puts, "_total", CVM_METRIC_COUNTER, "Values put."),
    PUBLISHED(waits, "_total", CVM_METRIC_COUNTER, "Callers who waited for another one's making."),
    PUBLISHED(errors, "_total", CVM_METRIC_COUNTER, "Server away, refusing, or damaged values."),
    PUBLISHED(evictions, "_total", CVM_METRIC_COUNTER, "Entries given up for others."),
    PUBLISHED(entries, "", CVM_METRIC_GAUGE, "Entries in this process."),
    PUBLISHED(bytes, "", CVM_METRIC_GAUGE, "Bytes that they take."),
#undef PUBLISHED
};

static uint64_t value_at(const struct cvm_cache_counts *counts, size_t offset)
{
    uint64_t value;
    memcpy(&value, (const char *)counts + offset, sizeof(value));
    return value;
}

void cvm_cache_publish(struct cvm_cache *cache, struct cvm_metrics *metrics)
{
    struct cvm_cache_guard *guard = cache->guard;
    (void)pthread_mutex_lock(&guard->lock);
    struct cvm_cache_counts counts = cvm_cache_counts_of(cache);
    for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); i++) {
        const struct published *it = &published[i];
        struct cvm_metric *metric = cvm_metrics_get(metrics, it->kind, it->name, "", it->help);
        uint64_t now = value_at(&counts, it->offset);
        if (it->kind == CVM_METRIC_GAUGE) {
            cvm_metric_set(metric, (double)now);
        } else {
            cvm_metric_add(metric, (double)(now - value_at(&guard->published, it->offset)));
        }
    }
    guard->published = counts;
    (void)pthread_mutex_unlock(&guard->lock);
}

/* ---- entries ---- */

static void check_name(struct cvm_slice name)
{
    assert(name.data != NULL && name.length > 0 && name.length <= CVM_CACHE_NAME_MAX);
}

static bool look_up(struct cvm_cache *cache, const struct cvm_context *context,
                    const struct cvm_cache_want *want, bool is_counted, struct cvm_text *out_value)
{
    struct cvm_cache_head head;
    cvm_text_clear(out_value);
    enum cvm_status status = cache->backend->get(cache, context, want->name, &head, out_value);
    bool will_do = status == CVM_OK && head.version >= want->least_version &&
                   head.version <= want->most_version &&
                   cvm_context_now_ms(context) < head.expires_ms;
    if (!will_do) {
        cvm_text_clear(out_value);
    }
    if (is_counted) {
        count(cache, want->name, will_do ? HITS : MISSES);
        if (status == CVM_OK && !will_do) {
            count(cache, want->name, STALE);
        }
    }
    if (status != CVM_OK && status != CVM_E_NOT_FOUND) {
        count(cache, want->name, ERRORS);
    }
    return will_do;
}

bool cvm_cache_get(struct cvm_cache *cache, const struct cvm_context *context,
                   const struct cvm_cache_want *want, struct cvm_text *out_value)
{
    check_name(want->name);
    return look_up(cache, context, want, true, out_value);
}

void cvm_cache_put(struct cvm_cache *cache, const struct cvm_context *context,
                   const struct cvm_cache_entry *entry)
{
    check_name(entry->name);
    assert(entry->ttl_ms > 0);
    if (cache->backend->put(cache, context, entry) == CVM_OK) {
        count(cache, entry->name, PUTS);
    } else {
        count(cache, entry->name, ERRORS);
    }
}

void cvm_cache_remove(struct cvm_cache *cache, const struct cvm_context *context,
                      struct cvm_slice name)
{
    check_name(name);
    if (cache->backend->remove(cache, context, name) != CVM_OK) {
        count(cache, name, ERRORS);
    }
}

/* ---- one maker at a time ---- */

/* What is made for one want must do for the other. */
static bool serves(const struct making *making, const struct cvm_cache_want *want)
{
    const struct cvm_cache_want *other = making->want;
    return other->name.length == want->name.length &&
           memcmp(other->name.data, want->name.data, want->name.length) == 0 &&
           other->least_version >= want->least_version && other->most_version <= want->most_version;
}

static void unlink_waiting(struct making *making, const struct waiting *me)
{
    struct waiting **link = &making->waiting;
    while (*link != me) {
        link = &(*link)->next;
    }
    *link = me->next;
}

/* Holds the lock. In slices, so that cancelling and a clock that is set by hand count too. */
static enum cvm_status wait_for(struct cvm_cache_guard *guard, struct making *making,
                                const struct cvm_context *context, struct waiting *me,
                                struct cvm_error *err)
{
    me->next = making->waiting;
    making->waiting = me;
    while (me->state == WAITING) {
        enum cvm_status status = cvm_context_check(context, err);
        if (status != CVM_OK) {
            unlink_waiting(making, me);
            return cvm_error_context(err, status, "waiting for another one's result");
        }
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WAIT_SLICE_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        (void)pthread_cond_timedwait(&guard->has_ended, &guard->lock, &until);
    }
    return me->state == FAILED ? me->status : CVM_OK;
}

/* Holds the lock: give the result to everybody who waits. */
static void hand_out(struct making *making, enum cvm_status status, const struct cvm_text *value,
                     const struct cvm_error *err)
{
    for (struct waiting *one = making->waiting; one != NULL; one = one->next) {
        if (status == CVM_OK) {
            cvm_text_clear(one->out_value);
            cvm_text_add_bytes(one->out_value, value->data, value->length);
            one->state = one->out_value->failed ? ON_ITS_OWN : GIVEN;
        } else if (status == CVM_E_TIMEOUT) {
            one->state = ON_ITS_OWN;
        } else {
            one->state = FAILED;
            one->status = status;
            if (one->err != NULL && err != NULL) {
                *one->err = *err;
            }
        }
    }
}

static enum cvm_status make(struct cvm_cache *cache, const struct cvm_context *context,
                            const struct cvm_cache_want *want, const struct cvm_cache_maker *maker,
                            struct cvm_text *out_value, struct cvm_error *err)
{
    uint64_t version = want->least_version;
    cvm_text_clear(out_value);
    enum cvm_status status = maker->make(maker->state, out_value, &version, err);
    if (status == CVM_OK && out_value->failed) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for a cached value");
    }
    if (status == CVM_OK) {
        cvm_cache_put(cache, context,
                      &(struct cvm_cache_entry){
                          .name = want->name,
                          .value = {cvm_text_string(out_value), out_value->length},
                          .version = version,
                          .ttl_ms = maker->ttl_ms,
                      });
    }
    return status;
}

/* After a miss. *out_is_done false: look again. */
static enum cvm_status join_or_make(struct cvm_cache *cache, const struct cvm_context *context,
                                    const struct cvm_cache_want *want,
                                    const struct cvm_cache_maker *maker, struct cvm_text *out_value,
                                    bool *out_is_done, struct cvm_error *err)
{
    struct cvm_cache_guard *guard = cache->guard;
    struct cvm_error mine = {0}; /* also when the caller wants none, those who wait may */
    struct making making = {.want = want};
    struct making *other = NULL;
    enum cvm_status status = CVM_OK;
    (void)pthread_mutex_lock(&guard->lock);
    for (other = guard->makings; other != NULL && !serves(other, want); other = other->next) {
    }
    if (other != NULL) {
        struct waiting me = {.out_value = out_value, .err = err};
        count(cache, want->name, WAITS);
        status = wait_for(guard, other, context, &me, err);
        *out_is_done = me.state != ON_ITS_OWN;
        (void)pthread_mutex_unlock(&guard->lock);
        return status;
    }
    making.next = guard->makings;
    guard->makings = &making;
    (void)pthread_mutex_unlock(&guard->lock);

    /* Another one may have ended between the miss and the lock. */
    if (!look_up(cache, context, want, false, out_value)) {
        status = make(cache, context, want, maker, out_value, &mine);
    }

    (void)pthread_mutex_lock(&guard->lock);
    struct making **link = &guard->makings;
    while (*link != &making) {
        link = &(*link)->next;
    }
    *link = making.next;
    hand_out(&making, status, out_value, &mine);
    (void)pthread_cond_broadcast(&guard->has_ended);
    (void)pthread_mutex_unlock(&guard->lock);
    if (status != CVM_OK && err != NULL) {
        *err = mine;
    }
    *out_is_done = true;
    return status;
}

enum cvm_status cvm_cache_get_or_make(struct cvm_cache *cache, const struct cvm_context *context,
                                      const struct cvm_cache_want *want,
                                      const struct cvm_cache_maker *maker,
                                      struct cvm_text *out_value, struct cvm_error *err)
{
    check_name(want->name);
    assert(maker->make != NULL && maker->ttl_ms > 0);
    bool is_done = false;
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && !is_done) {
        status = cvm_context_check(context, err);
        if (status == CVM_OK && cvm_cache_get(cache, context, want, out_value)) {
            return CVM_OK;
        }
        if (status == CVM_OK) {
            status = join_or_make(cache, context, want, maker, out_value, &is_done, err);
        }
    }
    if (status != CVM_OK) {
        cvm_text_clear(out_value);
    }
    return status;
}
