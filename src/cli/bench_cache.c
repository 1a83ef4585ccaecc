/* The cache: gets and puts in memory by one and two threads on names that are asked for by a zipf
 * law; the same on a Redis server beside a bare loop of its client library that sends the same
 * commands; and what it is for: one customer read from the store, from memory and from the server.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "base/random.h"
#include "base/threads.h"
#include "cli/bench.h"
#include "cli/work.h"
#include "engine/customer.h"
#include "storage/cache.h"

#define NAMES       100000
#define NAME_BYTES  90 /* as long as that of a customer's features */
#define VALUE_BYTES 800
#define MEMORY_URL  "memory:32MB" /* about a third of all */
#define AWAY_URL    "redis://127.0.0.1:1"
#define STEPS       (1 << 20)
#define SERVER_PART 64 /* a server is asked for this part of the steps */
#define READS       2000
#define THREADS_MAX 2
#define SAMPLE_MASK 15
#define TTL_MS      86400000
#define REPEATS_MAX 32

enum work_kind { GET, PUT, GET_OR_PUT };

struct load {
    struct cvm_bench *bench;
    struct cvm_bench_sample *sample;
    char *names; /* NAMES of NAME_BYTES */
    char value[VALUE_BYTES];
    uint32_t *steps; /* numbers of names, by a zipf law */
    /* of the measurement at hand */
    struct cvm_cache *cache;
    redisContext *bare; /* instead of the cache */
    enum work_kind kind;
    size_t step_count;  /* of each thread */
    int64_t *latencies; /* ns, THREADS_MAX times a part of the steps */
    int64_t hits[THREADS_MAX];
};

static void add_result(struct load *load, const char *what, const char *name, double value,
                       const char *unit)
{
    struct cvm_bench_sample *sample = load->sample;
    if (sample->result_count < CVM_BENCH_RESULTS_MAX) {
        struct cvm_bench_result *result = &sample->results[sample->result_count++];
        (void)snprintf(result->name, sizeof(result->name), "%s_%s", what, name);
        result->value = value;
        result->unit = unit;
    }
}

static struct cvm_slice name_of(const struct load *load, uint32_t number)
{
    return (struct cvm_slice){load->names + (size_t)number * NAME_BYTES, NAME_BYTES};
}

/* ---- the work ---- */

static enum cvm_status bare_step(struct load *load, enum work_kind kind, struct cvm_slice name,
                                 struct cvm_error *err)
{
    const char *words[] = {kind == PUT ? "SET" : "GET", name.data, load->value, "PX", "86400000"};
    size_t lengths[] = {3, name.length, sizeof(load->value), 2, 8};
    redisReply *reply = redisCommandArgv(load->bare, kind == PUT ? 5 : 2, words, lengths);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        freeReplyObject(reply);
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "the server does not answer a bare command");
    }
    freeReplyObject(reply);
    return CVM_OK;
}

static void cache_step(struct load *load, size_t item, struct cvm_slice name,
                       struct cvm_text *value)
{
    const struct cvm_context *context = &load->bench->session->context;
    struct cvm_cache_want want = {name, 1, UINT64_MAX};
    struct cvm_cache_entry entry = {name, {load->value, sizeof(load->value)}, 1, TTL_MS};
    bool puts = load->kind == PUT;
    if (!puts) {
        bool is_hit = cvm_cache_get(load->cache, context, &want, value);
        load->hits[item] += is_hit ? 1 : 0;
        puts = !is_hit && load->kind == GET_OR_PUT;
    }
    if (puts) {
        cvm_cache_put(load->cache, context, &entry);
    }
}

static enum cvm_status do_steps(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    struct load *load = state;
    const struct cvm_clock *clock = &load->bench->session->context.clock;
    int64_t *latencies = load->latencies + item * (STEPS / (SAMPLE_MASK + 1));
    struct cvm_text value;
    enum cvm_status status = CVM_OK;
    (void)worker;
    load->hits[item] = 0;
    cvm_text_init(&value, 0);
    for (size_t i = 0; status == CVM_OK && i < load->step_count; i++) {
        size_t at = (i + item * STEPS / 2) % STEPS; /* threads do not walk side by side */
        struct cvm_slice name = name_of(load, load->steps[at]);
        bool is_sampled = (i & SAMPLE_MASK) == 0;
        int64_t start = is_sampled ? clock->steady_ns(clock->state) : 0;
        if (load->bare != NULL) {
            status = bare_step(load, load->kind, name, err);
        } else {
            cache_step(load, item, name, &value);
        }
        if (is_sampled) {
            latencies[i / (SAMPLE_MASK + 1)] = clock->steady_ns(clock->state) - start;
        }
    }
    cvm_text_finish(&value);
    return status;
}

/* ---- measuring ---- */

struct measured {
    double per_second;
    double p50_ns;
    double p99_ns;
};

static int compare_latencies(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static enum cvm_status measure_once(struct load *load, struct cvm_pool *pool,
                                    struct measured *out_measured, struct cvm_error *err)
{
    const struct cvm_context *context = &load->bench->session->context;
    size_t threads = cvm_pool_thread_count(pool);
    double start = cvm_context_seconds(context);
    enum cvm_status status = cvm_pool_run(pool, threads, do_steps, load, err);
    if (status != CVM_OK) {
        return status;
    }
    double seconds = cvm_context_seconds(context) - start;
    size_t samples = (load->step_count + SAMPLE_MASK) / (SAMPLE_MASK + 1); /* the first thread's */
    qsort(load->latencies, samples, sizeof(*load->latencies), compare_latencies);
    *out_measured = (struct measured){
        .per_second = (double)(threads * load->step_count) / seconds,
        .p50_ns = (double)load->latencies[samples / 2],
        .p99_ns = (double)load->latencies[samples * 99 / 100],
    };
    return CVM_OK;
}

static void add_measured(struct load *load, const char *what, const struct measured *all,
                         size_t count, struct measured *out_median)
{
    double values[3][REPEATS_MAX];
    for (size_t i = 0; i < count; i++) {
        values[0][i] = all[i].per_second;
        values[1][i] = all[i].p50_ns;
        values[2][i] = all[i].p99_ns;
    }
    *out_median = (struct measured){
        cvm_bench_spread_of(values[0], count).median,
        cvm_bench_spread_of(values[1], count).median,
        cvm_bench_spread_of(values[2], count).median,
    };
    add_result(load, what, "per_second", out_median->per_second, "1/s");
    add_result(load, what, "p50", out_median->p50_ns, "ns");
    add_result(load, what, "p99", out_median->p99_ns, "ns");
}

static size_t repeats_of(const struct load *load)
{
    int64_t repeats = load->bench->repeats;
    return repeats < REPEATS_MAX ? (size_t)repeats : REPEATS_MAX;
}

/* ---- in memory ---- */

static enum cvm_status measure_memory(struct load *load, size_t threads, struct cvm_error *err)
{
    static const char *const names[THREADS_MAX][2] = {{"memory_get_1", "memory_put_1"},
                                                      {"memory_get_2", "memory_put_2"}};
    struct measured all[REPEATS_MAX];
    struct measured median;
    struct cvm_pool *pool = NULL;
    load->step_count = STEPS;
    enum cvm_status status = cvm_pool_create(threads, &pool, err);
    for (int kind = GET; status == CVM_OK && kind <= PUT; kind++) {
        load->kind = GET_OR_PUT; /* warm, as this trace makes it */
        status = measure_once(load, pool, &all[0], err);
        for (size_t i = 0; status == CVM_OK && i < repeats_of(load); i++) {
            load->kind = kind == GET ? GET : PUT;
            status = measure_once(load, pool, &all[i], err);
        }
        if (status == CVM_OK) {
            add_measured(load, names[threads - 1][kind], all, repeats_of(load), &median);
        }
        if (status == CVM_OK && kind == GET && threads == 1) {
            add_result(load, "memory", "hit_rate", (double)load->hits[0] / STEPS, "ratio");
        }
    }
    cvm_pool_destroy(pool);
    return status;
}

static enum cvm_status bench_memory(struct load *load, struct cvm_error *err)
{
    enum cvm_status status =
        cvm_cache_open(MEMORY_URL, &(struct cvm_cache_options){0}, &load->cache, err);
    for (size_t threads = 1; status == CVM_OK && threads <= THREADS_MAX; threads++) {
        status = measure_memory(load, threads, err);
    }
    cvm_cache_close(load->cache);
    load->cache = NULL;
    return status;
}

/* ---- on a server ---- */

/* Of a server without a login: the bare loop knows nothing else. */
static enum cvm_status connect_bare(struct load *load, struct cvm_error *err)
{
    char host[128];
    int port = 6379;
    const char *url = load->bench->cache_url;
    if (strchr(url, '@') != NULL || sscanf(url, "redis://%127[^:/]:%d", host, &port) < 1) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "--cache takes the redis://host:port of a server without a login");
    }
    load->bare = redisConnect(host, port);
    if (load->bare == NULL || load->bare->err != 0) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "redis at %s:%d: %s", host, port,
                        load->bare == NULL ? "no memory" : load->bare->errstr);
    }
    return CVM_OK;
}

/* Round by round one after the other, so that what else the machine does hits both. */
static enum cvm_status measure_server(struct load *load, enum work_kind kind, struct cvm_error *err)
{
    struct measured mine[REPEATS_MAX];
    struct measured bare[REPEATS_MAX];
    struct measured median[2];
    struct cvm_pool *pool = NULL;
    redisContext *connection = load->bare;
    load->kind = kind;
    load->step_count = STEPS / SERVER_PART;
    enum cvm_status status = cvm_pool_create(1, &pool, err);
    for (size_t i = 0; status == CVM_OK && i < repeats_of(load); i++) {
        load->bare = NULL;
        status = measure_once(load, pool, &mine[i], err);
        load->bare = connection;
        if (status == CVM_OK) {
            status = measure_once(load, pool, &bare[i], err);
        }
    }
    load->bare = connection;
    if (status == CVM_OK) {
        const char *name = kind == GET ? "redis_get" : "redis_put";
        add_measured(load, name, mine, repeats_of(load), &median[0]);
        add_measured(load, kind == GET ? "bare_get" : "bare_set", bare, repeats_of(load),
                     &median[1]);
        add_result(load, name, "to_bare", median[0].per_second / median[1].per_second, "ratio");
    }
    cvm_pool_destroy(pool);
    return status;
}

static enum cvm_status bench_server(struct load *load, struct cvm_error *err)
{
    struct cvm_cache_options options = {.prefix = "bench:"};
    enum cvm_status status = cvm_cache_open(load->bench->cache_url, &options, &load->cache, err);
    if (status == CVM_OK) {
        status = cvm_cache_check(load->cache, &load->bench->session->context, err);
    }
    if (status == CVM_OK) {
        status = connect_bare(load, err);
    }
    if (status == CVM_OK) { /* puts first: then what is got is there, in both ways */
        status = measure_server(load, PUT, err);
    }
    if (status == CVM_OK) {
        status = measure_server(load, GET, err);
    }
    if (load->bare != NULL) {
        redisFree(load->bare);
        load->bare = NULL;
    }
    cvm_cache_close(load->cache);
    load->cache = NULL;
    return status;
}

/* What a server costs that is not there. */
static enum cvm_status bench_away(struct load *load, struct cvm_error *err)
{
    struct measured all[REPEATS_MAX];
    struct measured median;
    struct cvm_pool *pool = NULL;
    struct cvm_context *context = &load->bench->session->context;
    struct cvm_log *log = context->log;
    load->kind = GET;
    load->step_count = STEPS / SERVER_PART;
    context->log = NULL; /* that it is away is no news */
    enum cvm_status status =
        cvm_cache_open(AWAY_URL, &(struct cvm_cache_options){0}, &load->cache, err);
    if (status == CVM_OK) {
        status = cvm_pool_create(1, &pool, err);
    }
    for (size_t i = 0; status == CVM_OK && i < repeats_of(load); i++) {
        status = measure_once(load, pool, &all[i], err);
    }
    if (status == CVM_OK) {
        add_measured(load, "redis_away", all, repeats_of(load), &median);
    }
    context->log = log;
    cvm_pool_destroy(pool);
    cvm_cache_close(load->cache);
    load->cache = NULL;
    return status;
}

/* ---- what it is for ---- */

struct keys {
    uint64_t *keys;
    size_t count;
};

static enum cvm_status add_key(void *state, uint64_t key, const char *customer_id,
                               struct cvm_error *err)
{
    struct keys *keys = state;
    (void)customer_id;
    (void)err;
    keys->keys[keys->count++] = key;
    return CVM_OK;
}

static enum cvm_status read_customers(struct load *load, struct cvm_engine *engine,
                                      const struct keys *keys, const char *name,
                                      struct cvm_error *err)
{
    const struct cvm_context *context = &load->bench->session->context;
    struct cvm_feature_window window = {load->bench->day, CVM_DAY_NONE, NULL};
    double seconds[REPEATS_MAX];
    enum cvm_status status = CVM_OK;
    /* The first round fills what is to be measured. */
    for (size_t round = 0; status == CVM_OK && round <= repeats_of(load); round++) {
        double start = cvm_context_seconds(context);
        for (size_t i = 0; status == CVM_OK && i < keys->count; i++) {
            struct cvm_chunk *chunk = NULL;
            status = cvm_engine_customer(engine, keys->keys[i], window, &chunk, err);
            if (status == CVM_OK) {
                cvm_chunk_destroy(chunk);
            }
        }
        seconds[round == 0 ? 0 : round - 1] = cvm_context_seconds(context) - start;
    }
    if (status == CVM_OK) {
        double median = cvm_bench_spread_of(seconds, repeats_of(load)).median;
        add_result(load, "customer", name, 1e6 * median / (double)keys->count, "us");
    }
    return status;
}

static enum cvm_status bench_customers(struct load *load, struct cvm_error *err)
{
    const char *const urls[][2] = {{NULL, "from_store"},
                                   {"memory:64MB", "from_memory"},
                                   {load->bench->cache_url, "from_redis"}};
    struct cvm_work_options options = {.access = CVM_DB_READ, .needs_engine = true, .threads = 1};
    struct cvm_session *session = load->bench->session;
    struct cvm_work work;
    struct keys keys = {.keys = CVM_NEW_ARRAY(session->arena, READS, uint64_t)};
    enum cvm_status status = keys.keys == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench")
                                               : cvm_work_open(session, &options, &work, err);
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_customer_list(work.store, 0, READS, add_key, &keys, err);
    size_t count = load->bench->cache_url == NULL ? 2 : 3;
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        struct cvm_cache *cache = NULL;
        if (urls[i][0] != NULL) {
            struct cvm_cache_options cache_options = {.prefix = "bench:"};
            status = cvm_cache_open(urls[i][0], &cache_options, &cache, err);
        }
        work.engine->cache = cache;
        if (status == CVM_OK) {
            status = read_customers(load, work.engine, &keys, urls[i][1], err);
        }
        work.engine->cache = NULL;
        cvm_cache_close(cache);
    }
    cvm_work_close(&work);
    return status;
}

/* ---- the bench ---- */

static enum cvm_status make_load(struct load *load, struct cvm_arena *arena, struct cvm_error *err)
{
    struct cvm_random random;
    double *weights = CVM_NEW_ARRAY(arena, NAMES, double);
    load->names = CVM_NEW_ARRAY(arena, (size_t)NAMES * NAME_BYTES, char);
    load->steps = CVM_NEW_ARRAY(arena, STEPS, uint32_t);
    load->latencies =
        CVM_NEW_ARRAY(arena, (size_t)THREADS_MAX * STEPS / (SAMPLE_MASK + 1), int64_t);
    if (weights == NULL || load->names == NULL || load->steps == NULL || load->latencies == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
    }
    double sum = 0;
    for (uint32_t i = 0; i < NAMES; i++) {
        char name[NAME_BYTES + 1];
        sum += 1 / (double)(i + 1);
        weights[i] = sum;
        (void)snprintf(name, sizeof(name), "customer%0*u", NAME_BYTES - 8, (unsigned)i);
        memcpy(load->names + (size_t)i * NAME_BYTES, name, NAME_BYTES);
    }
    cvm_random_init(&random, 1);
    for (size_t i = 0; i < STEPS; i++) {
        double at = cvm_random_unit(&random) * sum;
        uint32_t low = 0;
        uint32_t high = NAMES - 1;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            low = weights[middle] < at ? middle + 1 : low;
            high = weights[middle] < at ? high : middle;
        }
        load->steps[i] = low;
    }
    memset(load->value, 'v', sizeof(load->value));
    return CVM_OK;
}

enum cvm_status cvm_bench_cache(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                struct cvm_error *err)
{
    struct load load = {.bench = bench, .sample = out_sample};
    struct cvm_arena *arena = cvm_arena_create((size_t)64 << 20);
    enum cvm_status status = arena == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench")
                                           : make_load(&load, arena, err);
    out_sample->result_count = 0;
    if (status == CVM_OK) {
        status = bench_memory(&load, err);
    }
    if (status == CVM_OK && bench->cache_url != NULL) {
        status = bench_server(&load, err);
    }
    if (status == CVM_OK) {
        status = bench_away(&load, err);
    }
    if (status == CVM_OK) {
        status = bench_customers(&load, err);
    }
    cvm_arena_destroy(arena);
    return status;
}
