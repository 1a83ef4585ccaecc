/* The broker: envelopes from thread to thread in the process, and there and back; the same over a
 * server, beside loops of its bare client library that alternate with ours. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/random.h"
#include "base/threads.h"
#include "cli/bench.h"
#include "cli/bench_broker.h"
#include "messaging/broker.h"

#define BATCH        64
#define LOCAL_COUNT  ((size_t)1 << 21)
#define RABBIT_COUNT 5000
#define KAFKA_COUNT  40000 /* less than the client takes in at once */
#define QUEUE_MAX    10000000
#define LOCAL_QUEUE  4096
#define TRIPS        2000
#define REPEATS_MAX  32
#define WAIT_MS      60000
#define PREFIX       "bench."

struct load {
    struct cvm_bench *bench;
    struct cvm_bench_sample *sample;
    struct cvm_broker *broker;
    size_t count;   /* messages of each sender */
    size_t threads; /* that send, and as many that receive */
    /* To be received by all; below 0 when a server brought some twice: the last acknowledgements
     * before the end of a link may be lost. */
    atomic_llong left;
    atomic_bool has_ended;
    int64_t *trips; /* ns */
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

static double seconds(const struct load *load)
{
    return cvm_context_seconds(&load->bench->session->context);
}

struct cvm_taken cvm_taken_now(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (struct cvm_taken){
        .seconds = (double)cvm_clock_system.steady_ns(NULL) / 1e9,
        .processor_seconds = (double)used.tv_sec + (double)used.tv_nsec / 1e9,
    };
}

struct cvm_taken cvm_taken_since(struct cvm_taken start)
{
    struct cvm_taken now = cvm_taken_now();
    return (struct cvm_taken){now.seconds - start.seconds,
                              now.processor_seconds - start.processor_seconds};
}

static size_t repeats_of(const struct load *load)
{
    return load->bench->repeats < REPEATS_MAX ? (size_t)load->bench->repeats : REPEATS_MAX;
}

static struct cvm_slice slice(const char *text)
{
    return (struct cvm_slice){text, strlen(text)};
}

/* As an orchestrator sends it: 256 bytes on the wire. */
static struct cvm_envelope make_envelope(struct cvm_random *random)
{
    return (struct cvm_envelope){
        .id = cvm_message_id_make(0, random),
        .type = CVM_MESSAGE_TREATMENT_REQUEST,
        .schema_version = 1,
        .attempt = 1,
        .run_id = slice("r7"),
        .step = slice("treatment"),
        .sender = slice("o1"),
        .reply_to = slice("reply.1"),
        .traceparent = slice("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        .payload = slice("{\"block\":\"f7\"}"),
    };
}

/* ---- one way ---- */

/* What a full queue refuses is sent again, as an outbox does. */
static enum cvm_status send_batch(struct cvm_broker_link *link, struct cvm_sending *sendings,
                                  size_t count, struct cvm_error *err)
{
    size_t done = 0;
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && done < count) {
        status = cvm_broker_publish(link, "work", sendings + done, count - done, err);
        if (status == CVM_OK) {
            status = cvm_broker_confirm(link, WAIT_MS, err);
            status = status == CVM_E_LIMIT ? CVM_OK : status;
        }
        while (done < count && sendings[done].state == CVM_SENDING_CONFIRMED) {
            done++;
        }
        if (done < count) {
            (void)usleep(0); /* let somebody make room */
        }
    }
    return status;
}

/* `window` at once: a confirm waits for all of them. The seconds are without connecting. */
static enum cvm_status send_work(struct load *load, size_t number, size_t window,
                                 struct cvm_taken *out_taken, struct cvm_error *err)
{
    struct cvm_random random;
    struct cvm_broker_link *link = NULL;
    struct cvm_envelope *envelopes = calloc(window, sizeof(*envelopes));
    struct cvm_sending *sendings = calloc(window, sizeof(*sendings));
    enum cvm_status status = envelopes == NULL || sendings == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench")
                                 : cvm_broker_link_open(load->broker, &link, err);
    cvm_random_init(&random, number);
    for (size_t i = 0; status == CVM_OK && i < window; i++) {
        envelopes[i] = make_envelope(&random);
        sendings[i].envelope = &envelopes[i];
    }
    struct cvm_taken start = cvm_taken_now();
    for (size_t sent = 0; status == CVM_OK && sent < load->count;) {
        size_t batch = load->count - sent < window ? load->count - sent : window;
        status = send_batch(link, sendings, batch, err);
        sent += batch;
    }
    *out_taken = cvm_taken_since(start);
    cvm_broker_link_close(link);
    free(envelopes);
    free(sendings);
    return status;
}

/* Until all threads together have all; the seconds are from the first one on. */
static enum cvm_status receive_work(struct load *load, struct cvm_taken *out_taken,
                                    struct cvm_error *err)
{
    struct cvm_broker_link *link = NULL;
    struct cvm_delivery deliveries[BATCH];
    struct cvm_taken start = {0};
    enum cvm_status status = cvm_broker_link_open(load->broker, &link, err);
    if (status == CVM_OK) {
        status = cvm_broker_subscribe(link, "work", err);
    }
    while (status == CVM_OK && atomic_load_explicit(&load->left, memory_order_relaxed) > 0 &&
           !atomic_load(&load->has_ended)) {
        size_t count = 0;
        status = cvm_broker_receive(link, deliveries, BATCH, 100, &count, err);
        start = start.seconds == 0 && count > 0 ? cvm_taken_now() : start;
        for (size_t i = 0; status == CVM_OK && i < count; i++) {
            status = cvm_broker_ack(link, deliveries[i].tag, err);
        }
        if (count > 0) {
            (void)atomic_fetch_sub_explicit(&load->left, (long long)count, memory_order_relaxed);
        }
    }
    *out_taken = cvm_taken_since(start);
    cvm_broker_link_close(link);
    return status;
}

static enum cvm_status do_traffic(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    struct load *load = state;
    struct cvm_taken taken;
    (void)worker;
    enum cvm_status status = item < load->threads ? send_work(load, item, BATCH, &taken, err)
                                                  : receive_work(load, &taken, err);
    if (status != CVM_OK) {
        atomic_store(&load->has_ended, true); /* nobody is to wait for the rest */
    }
    return status;
}

static enum cvm_status open_broker(struct load *load, const char *url, size_t queue_max,
                                   struct cvm_error *err)
{
    struct cvm_broker_options options = {.prefix = PREFIX,
                                         .prefetch = CVM_BENCH_PREFETCH,
                                         .queue_max = (uint32_t)queue_max,
                                         .timeout_ms = WAIT_MS,
                                         .context = load->bench->session->context};
    options.context.deadline_ms = 0;
    return cvm_broker_open(url, &options, &load->broker, err);
}

static enum cvm_status declare(struct load *load, const char *queue, struct cvm_error *err)
{
    struct cvm_broker_link *link = NULL;
    enum cvm_status status = cvm_broker_link_open(load->broker, &link, err);
    if (status == CVM_OK) {
        status = cvm_broker_declare(link, queue, err);
    }
    cvm_broker_link_close(link);
    return status;
}

static enum cvm_status bench_threads(struct load *load, size_t threads, const char *name,
                                     struct cvm_error *err)
{
    double rates[REPEATS_MAX];
    struct cvm_pool *pool = NULL;
    enum cvm_status status = cvm_pool_create(2 * threads, &pool, err);
    load->threads = threads;
    load->count = LOCAL_COUNT / threads;
    for (size_t i = 0; status == CVM_OK && i < repeats_of(load); i++) {
        load->left = (long long)(load->count * threads);
        double start = seconds(load);
        status = cvm_pool_run(pool, 2 * threads, do_traffic, load, err);
        rates[i] = (double)LOCAL_COUNT / (seconds(load) - start);
    }
    cvm_pool_destroy(pool);
    if (status == CVM_OK) {
        struct cvm_bench_spread spread = cvm_bench_spread_of(rates, repeats_of(load));
        add_result(load, name, "median", spread.median, "1/s");
        add_result(load, name, "best", spread.worst, "1/s"); /* the highest */
    }
    return status;
}

/* ---- there and back ---- */

static enum cvm_status echo(struct load *load, struct cvm_error *err)
{
    struct cvm_broker_link *link = NULL;
    enum cvm_status status = cvm_broker_link_open(load->broker, &link, err);
    if (status == CVM_OK) {
        status = cvm_broker_subscribe(link, "echo", err);
    }
    while (status == CVM_OK && !atomic_load(&load->has_ended)) {
        struct cvm_delivery delivery;
        size_t count = 0;
        status = cvm_broker_receive(link, &delivery, 1, 100, &count, err);
        if (status == CVM_OK && count > 0) {
            struct cvm_sending reply = {.envelope = delivery.envelope};
            status = cvm_broker_publish(link, "reply.1", &reply, 1, err);
            if (status == CVM_OK) {
                status = cvm_broker_confirm(link, WAIT_MS, err);
            }
            if (status == CVM_OK) {
                status = cvm_broker_ack(link, delivery.tag, err);
            }
        }
    }
    cvm_broker_link_close(link);
    return status;
}

static enum cvm_status ask_once(struct cvm_broker_link *link, const struct cvm_envelope *envelope,
                                struct cvm_error *err)
{
    struct cvm_delivery delivery;
    struct cvm_sending request = {.envelope = envelope};
    size_t count = 0;
    enum cvm_status status = cvm_broker_publish(link, "echo", &request, 1, err);
    if (status == CVM_OK) {
        status = cvm_broker_confirm(link, WAIT_MS, err);
    }
    if (status == CVM_OK) {
        status = cvm_broker_receive(link, &delivery, 1, WAIT_MS, &count, err);
    }
    if (status == CVM_OK) {
        status = count == 1 ? cvm_broker_ack(link, delivery.tag, err)
                            : CVM_FAIL(err, CVM_E_TIMEOUT, "no reply came back");
    }
    return status;
}

static enum cvm_status ask(struct load *load, struct cvm_error *err)
{
    struct cvm_broker_link *link = NULL;
    struct cvm_random random;
    const struct cvm_clock *clock = &load->bench->session->context.clock;
    cvm_random_init(&random, 1);
    struct cvm_envelope envelope = make_envelope(&random);
    enum cvm_status status = cvm_broker_link_open(load->broker, &link, err);
    if (status == CVM_OK) {
        status = cvm_broker_subscribe(link, "reply.1", err);
    }
    /* The first one waits until everybody is there. */
    for (size_t i = 0; status == CVM_OK && i <= load->count; i++) {
        int64_t start = clock->steady_ns(clock->state);
        status = ask_once(link, &envelope, err);
        load->trips[i == 0 ? 0 : i - 1] = clock->steady_ns(clock->state) - start;
    }
    cvm_broker_link_close(link);
    atomic_store(&load->has_ended, true);
    return status;
}

static enum cvm_status ask_or_echo(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    (void)worker;
    return item == 0 ? ask(state, err) : echo(state, err);
}

static int compare_trips(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static enum cvm_status bench_trips(struct load *load, size_t count, const char *name,
                                   struct cvm_error *err)
{
    struct cvm_pool *pool = NULL;
    enum cvm_status status = declare(load, "echo", err);
    if (status == CVM_OK) {
        status = cvm_pool_create(2, &pool, err);
    }
    load->count = count;
    atomic_store(&load->has_ended, false);
    if (status == CVM_OK) {
        status = cvm_pool_run(pool, 2, ask_or_echo, load, err);
    }
    atomic_store(&load->has_ended, false);
    cvm_pool_destroy(pool);
    if (status == CVM_OK) {
        qsort(load->trips, count, sizeof(load->trips[0]), compare_trips);
        add_result(load, name, "round_trip_p50", (double)load->trips[count / 2] / 1e3, "us");
        add_result(load, name, "round_trip_p99", (double)load->trips[count * 99 / 100] / 1e3, "us");
    }
    return status;
}

static enum cvm_status bench_local(struct load *load, struct cvm_error *err)
{
    enum cvm_status status = open_broker(load, "local:", LOCAL_QUEUE, err);
    if (status == CVM_OK) {
        status = declare(load, "work", err);
    }
    if (status == CVM_OK) {
        status = bench_threads(load, 1, "local_1p1c", err);
    }
    if (status == CVM_OK) {
        status = bench_threads(load, 2, "local_2p2c", err);
    }
    if (status == CVM_OK) {
        status = bench_trips(load, TRIPS, "local", err);
    }
    cvm_broker_close(load->broker);
    load->broker = NULL;
    return status;
}

/* ---- a server ---- */

static const struct peer {
    const char *scheme;
    const char *name;
    cvm_bare_fn send;
    cvm_bare_fn receive;
    size_t count;
    size_t window; /* of ours: RabbitMQ's is in the link, Kafka's in the library */
} peers[] = {
#ifdef CVM_HAS_RABBITMQ
    {"amqp:", "rabbitmq", cvm_bare_rabbitmq_send, cvm_bare_rabbitmq_receive, RABBIT_COUNT,
     RABBIT_COUNT},
#endif
#ifdef CVM_HAS_KAFKA
    {"kafka:", "kafka", cvm_bare_kafka_send, cvm_bare_kafka_receive, KAFKA_COUNT, KAFKA_COUNT},
#endif
    {NULL, NULL, NULL, NULL, 0, 0},
};

struct pair {
    struct cvm_taken ours[REPEATS_MAX];
    struct cvm_taken bare[REPEATS_MAX];
};

static enum cvm_status one_round(struct load *load, const struct peer *peer,
                                 const struct cvm_bare *bare, struct pair pairs[2], size_t round,
                                 struct cvm_error *err)
{
    enum cvm_status status = send_work(load, round, peer->window, &pairs[0].ours[round], err);
    if (status == CVM_OK) {
        status = peer->send(bare, &pairs[0].bare[round], err);
    }
    load->left = (long long)load->count;
    if (status == CVM_OK) {
        status = receive_work(load, &pairs[1].ours[round], err);
    }
    if (status == CVM_OK) {
        status = peer->receive(bare, &pairs[1].bare[round], err);
    }
    return status;
}

/* Medians of both times. */
static struct cvm_taken middle_of(const struct load *load, const struct cvm_taken *taken)
{
    double seconds[REPEATS_MAX];
    double processor_seconds[REPEATS_MAX];
    for (size_t i = 0; i < repeats_of(load); i++) {
        seconds[i] = taken[i].seconds;
        processor_seconds[i] = taken[i].processor_seconds;
    }
    return (struct cvm_taken){
        cvm_bench_spread_of(seconds, repeats_of(load)).median,
        cvm_bench_spread_of(processor_seconds, repeats_of(load)).median,
    };
}

static void add_pair(struct load *load, const struct peer *peer, const char *what,
                     const struct pair *pair)
{
    char name[32];
    double count = (double)peer->count;
    struct cvm_taken ours = middle_of(load, pair->ours);
    struct cvm_taken bare = middle_of(load, pair->bare);
    (void)snprintf(name, sizeof(name), "%s_%s", peer->name, what);
    add_result(load, name, "rate", count / ours.seconds, "1/s");
    add_result(load, name, "bare_rate", count / bare.seconds, "1/s");
    add_result(load, name, "to_bare", bare.seconds / ours.seconds, "ratio");
    add_result(load, name, "cpu", ours.processor_seconds / count * 1e6, "us");
    add_result(load, name, "bare_cpu", bare.processor_seconds / count * 1e6, "us");
}

static enum cvm_status bench_peer(struct load *load, const struct peer *peer, struct cvm_error *err)
{
    struct pair pairs[2];
    struct cvm_random random;
    cvm_random_init(&random, 1);
    struct cvm_envelope envelope = make_envelope(&random);
    unsigned char bytes[1024];
    struct cvm_bare bare = {.url = load->bench->broker_url,
                            .queue = PREFIX "bare",
                            .bytes = bytes,
                            .length = cvm_envelope_bytes(&envelope),
                            .count = peer->count};
    cvm_envelope_encode(&envelope, bytes);
    enum cvm_status status = open_broker(load, load->bench->broker_url, QUEUE_MAX, err);
    if (status == CVM_OK) {
        status = declare(load, "work", err);
    }
    if (status == CVM_OK) {
        status = declare(load, "bare", err);
    }
    load->count = peer->count;
    for (size_t round = 0; status == CVM_OK && round < repeats_of(load); round++) {
        status = one_round(load, peer, &bare, pairs, round, err);
    }
    if (status == CVM_OK) {
        add_pair(load, peer, "send", &pairs[0]);
        add_pair(load, peer, "receive", &pairs[1]);
        status = bench_trips(load, TRIPS / 10, peer->name, err);
    }
    cvm_broker_close(load->broker);
    load->broker = NULL;
    return status;
}

static enum cvm_status bench_server(struct load *load, struct cvm_error *err)
{
    for (const struct peer *peer = peers; peer->scheme != NULL; peer++) {
        if (strncmp(load->bench->broker_url, peer->scheme, strlen(peer->scheme)) == 0) {
            return bench_peer(load, peer, err);
        }
    }
    return CVM_FAIL(err, CVM_E_INVALID, "--broker is amqp: or kafka:, as this program is built");
}

enum cvm_status cvm_bench_broker(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                 struct cvm_error *err)
{
    struct load load = {.bench = bench, .sample = out_sample};
    struct cvm_arena *arena = cvm_arena_create((size_t)1 << 20);
    enum cvm_status status = CVM_OK;
    (void)signal(SIGPIPE, SIG_IGN); /* this process is the bench's own */
    out_sample->result_count = 0;
    load.trips = arena == NULL ? NULL : CVM_NEW_ARRAY(arena, TRIPS + 1, int64_t);
    if (load.trips == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
    }
    if (status == CVM_OK) {
        status = bench_local(&load, err);
    }
    if (status == CVM_OK && bench->broker_url != NULL) {
        status = bench_server(&load, err);
    }
    cvm_arena_destroy(arena);
    return status;
}
