/* One customer with 90 days of events: read by the engine (journey and features) and, by turns, by
 * the bare question for the journey alone; by one process, by several, and by several while another
 * one imports. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/random.h"
#include "cli/bench_bare.h"
#include "cli/work.h"
#include "engine/customer.h"

#define DAYS       90
#define KEYS       4096
#define SAMPLES    32768 /* kept of each reader: the last ones */
#define NEXT_NIGHT 2     /* seed of what is imported meanwhile */

struct latencies {
    int64_t count;
    uint32_t own_ns[SAMPLES];
    uint32_t bare_ns[SAMPLES];
};

struct reader {
    struct cvm_bench *bench;
    struct cvm_work work;
    struct cvm_bare *bare;
    uint64_t keys[KEYS];
    struct latencies *latencies;
};

/* ---- reading ---- */

static enum cvm_status take_key(void *state, uint64_t key, const char *customer_id,
                                struct cvm_error *err)
{
    (void)customer_id;
    (void)err;
    *(uint64_t *)state = key;
    return CVM_OK;
}

/* Keys are hashes: the customer after a random number is a random one. */
static enum cvm_status draw_keys(struct reader *reader, uint64_t seed, struct cvm_error *err)
{
    struct cvm_store *store = reader->work.engine->readers[0];
    struct cvm_random random;
    enum cvm_status status = CVM_OK;
    cvm_random_init(&random, seed);
    for (size_t i = 0; status == CVM_OK && i < KEYS; i++) {
        reader->keys[i] = 0;
        status = cvm_customer_list(store, cvm_random_u64(&random) >> 1, 1, take_key,
                                   &reader->keys[i], err);
        if (status == CVM_OK && reader->keys[i] == 0) { /* after the last one */
            status = cvm_customer_list(store, 0, 1, take_key, &reader->keys[i], err);
        }
    }
    return status;
}

static int64_t now_ns(const struct reader *reader)
{
    const struct cvm_clock *clock = &reader->bench->session->context.clock;
    return clock->steady_ns(clock->state);
}

static enum cvm_status read_own(struct reader *reader, uint64_t key, struct cvm_error *err)
{
    int32_t day = reader->bench->day;
    struct cvm_feature_window window = {.as_of_day = day, .since_day = day - DAYS + 1};
    struct cvm_chunk *chunk = NULL;
    enum cvm_status status = cvm_engine_customer(reader->work.engine, key, window, &chunk, err);
    if (status == CVM_OK) {
        cvm_chunk_destroy(chunk);
    }
    return status;
}

static enum cvm_status read_bare(struct reader *reader, uint64_t key, struct cvm_error *err)
{
    int32_t day = reader->bench->day;
    struct cvm_packed_range range = {key, key, cvm_packed_period(day - DAYS + 1),
                                     cvm_packed_period(day)};
    size_t bytes = 0;
    enum cvm_status status = reader->bare->kind->read(reader->bare, &range, &bytes, err);
    return status == CVM_OK && bytes == 0
               ? CVM_FAIL(err, CVM_E_INTERNAL, "the bare question found no journey")
               : status;
}

/* The two ask for different customers: neither finds what the other has just fetched. */
static enum cvm_status read_pair(struct reader *reader, int64_t number, struct cvm_error *err)
{
    struct latencies *latencies = reader->latencies;
    size_t at = (size_t)number % KEYS;
    size_t slot = (size_t)(latencies->count % SAMPLES);
    int64_t start = now_ns(reader);
    enum cvm_status status = read_own(reader, reader->keys[at], err);
    int64_t middle = now_ns(reader);
    if (status == CVM_OK) {
        status = read_bare(reader, reader->keys[(at + KEYS / 2) % KEYS], err);
    }
    if (status == CVM_OK) {
        latencies->own_ns[slot] = (uint32_t)(middle - start);
        latencies->bare_ns[slot] = (uint32_t)(now_ns(reader) - middle);
        latencies->count++;
    }
    return status;
}

static enum cvm_status open_reader(struct reader *reader, uint64_t seed, struct cvm_error *err)
{
    struct cvm_session *session = reader->bench->session;
    struct cvm_work_options options = {.access = CVM_DB_READ, .needs_engine = true, .threads = 1};
    enum cvm_status status = cvm_work_open(session, &options, &reader->work, err);
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_bare_open(session->config.store_url, reader->bench->folder, &reader->bare, err);
    if (status == CVM_OK) {
        status = draw_keys(reader, seed, err);
    }
    /* Prepare what is prepared once. */
    for (int64_t i = 0; status == CVM_OK && i < KEYS / 16; i++) {
        status = read_pair(reader, i, err);
    }
    reader->latencies->count = 0;
    return status;
}

static void close_reader(struct reader *reader)
{
    cvm_bare_close(reader->bare);
    cvm_work_close(&reader->work);
}

/* ---- results ---- */

static int compare_ns(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

struct percentiles {
    double p50_us, p99_us;
};

static struct percentiles percentiles_of(uint32_t *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_ns);
    return (struct percentiles){values[count / 2] / 1e3, values[count * 99 / 100] / 1e3};
}

static void add_result(struct cvm_bench_sample *sample, const char *phase, const char *name,
                       double value, const char *unit)
{
    char full[48];
    (void)snprintf(full, sizeof(full), "%s_%s", phase, name);
    cvm_bench_add_result(sample, full, value, unit);
}

static size_t kept(const struct latencies *latencies)
{
    return latencies->count < SAMPLES ? (size_t)latencies->count : SAMPLES;
}

/* All readers together. */
static enum cvm_status add_percentiles(struct cvm_bench_sample *sample, const char *phase,
                                       const struct latencies *all, size_t reader_count,
                                       struct cvm_error *err)
{
    size_t count = 0;
    int64_t reads = 0;
    uint32_t *values = malloc(2 * reader_count * SAMPLES * sizeof(*values));
    if (values == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
    }
    uint32_t *bare_values = values + reader_count * SAMPLES;
    for (size_t r = 0; r < reader_count; r++) {
        memcpy(values + count, all[r].own_ns, kept(&all[r]) * sizeof(*values));
        memcpy(bare_values + count, all[r].bare_ns, kept(&all[r]) * sizeof(*values));
        count += kept(&all[r]);
        reads += all[r].count;
    }
    enum cvm_status status =
        count == 0 ? CVM_FAIL(err, CVM_E_INTERNAL, "nobody read anything") : CVM_OK;
    if (status == CVM_OK) {
        struct percentiles own = percentiles_of(values, count);
        struct percentiles bare = percentiles_of(bare_values, count);
        add_result(sample, phase, "reads", (double)reads, "count");
        add_result(sample, phase, "p50", own.p50_us, "us");
        add_result(sample, phase, "p99", own.p99_us, "us");
        add_result(sample, phase, "bare_p50", bare.p50_us, "us");
        add_result(sample, phase, "bare_p99", bare.p99_us, "us");
        add_result(sample, phase, "p50_to_bare", own.p50_us / bare.p50_us, "ratio");
        add_result(sample, phase, "p99_to_bare", own.p99_us / bare.p99_us, "ratio");
    }
    free(values);
    return status;
}

enum cvm_status cvm_bench_point_reads(struct cvm_bench *bench, const char *phase,
                                      struct cvm_bench_sample *sample, struct cvm_error *err)
{
    struct reader *reader = calloc(1, sizeof(*reader));
    struct latencies *latencies = calloc(1, sizeof(*latencies));
    enum cvm_status status = CVM_OK;
    if (reader == NULL || latencies == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
        goto out;
    }
    reader->bench = bench;
    reader->latencies = latencies;
    status = open_reader(reader, 0, err);
    for (int64_t i = 0; status == CVM_OK && i < KEYS; i++) {
        status = read_pair(reader, i, err);
    }
    close_reader(reader);
    if (status == CVM_OK) {
        status = add_percentiles(sample, phase, latencies, 1, err);
    }

out:
    free(reader);
    free(latencies);
    return status;
}

/* ---- several at once ---- */

/* In memory that all processes see. */
struct crowd {
    atomic_int ready;
    atomic_int must_stop;
    struct member {
        enum cvm_status status;
        struct cvm_error error;
        struct latencies latencies;
    } members[CVM_BENCH_READERS_MAX];
};

static enum cvm_status read_until_stopped(struct reader *reader, struct crowd *crowd,
                                          int64_t reads_max, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (int64_t i = 0; status == CVM_OK && (reads_max == 0 || i < reads_max) &&
                        atomic_load(&crowd->must_stop) == 0;
         i++) {
        status = read_pair(reader, i, err);
    }
    return status;
}

/* A child: no exit handlers, no buffers of the parent. It starts when all are there. */
static _Noreturn void be_reader(struct cvm_bench *bench, struct crowd *crowd, size_t number,
                                int start_fd, int64_t reads_max)
{
    struct member *member = &crowd->members[number];
    struct reader *reader = calloc(1, sizeof(*reader));
    char go = 0;
    bench->session->has_progress = false;
    if (reader == NULL) {
        member->status = CVM_FAIL(&member->error, CVM_E_LIMIT, "no memory for a bench");
        _exit(1);
    }
    reader->bench = bench;
    reader->latencies = &member->latencies;
    member->status = open_reader(reader, number, &member->error);
    atomic_fetch_add(&crowd->ready, 1);
    if (read(start_fd, &go, 1) >= 0 && member->status == CVM_OK) { /* the pipe's end */
        member->status = read_until_stopped(reader, crowd, reads_max, &member->error);
    }
    _exit(0);
}

static bool start_readers(struct cvm_bench *bench, struct crowd *crowd, const int pipes[2],
                          int64_t reads_max, pid_t *children)
{
    bool is_good = true;
    fflush(bench->session->out);
    fflush(bench->session->err);
    for (size_t r = 0; r < (size_t)bench->readers; r++) {
        children[r] = fork();
        if (children[r] == 0) {
            (void)close(pipes[1]);
            be_reader(bench, crowd, r, pipes[0], reads_max);
        }
        is_good = is_good && children[r] > 0;
    }
    return is_good;
}

static void wait_for(pid_t child)
{
    int how = 0;
    while (child > 0 && waitpid(child, &how, 0) < 0 && errno == EINTR) {
    }
}

/* A child that died has said nothing: the others must not wait for it. */
static bool are_all_ready(struct crowd *crowd, size_t reader_count, const pid_t *children)
{
    while ((size_t)atomic_load(&crowd->ready) < reader_count) {
        for (size_t r = 0; r < reader_count; r++) {
            siginfo_t info = {0};
            if (waitid(P_PID, (id_t)children[r], &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
                info.si_pid != 0) {
                return false;
            }
        }
        (void)usleep(1000);
    }
    return true;
}

static enum cvm_status failure_of(const struct crowd *crowd, size_t reader_count,
                                  struct cvm_error *err)
{
    for (size_t r = 0; r < reader_count; r++) {
        if (crowd->members[r].status != CVM_OK) {
            if (err != NULL) {
                *err = crowd->members[r].error;
            }
            return crowd->members[r].status;
        }
    }
    return CVM_OK;
}

/* Another night of the same customers: events that are not there yet, and new versions. */
static enum cvm_status import_night(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                    struct cvm_error *err)
{
    return cvm_bench_import_world(bench, NEXT_NIGHT, out_sample, err);
}

static enum cvm_status run_crowd(struct cvm_bench *bench, struct crowd *crowd, bool with_import,
                                 struct cvm_bench_sample *out_import, struct cvm_error *err)
{
    pid_t children[CVM_BENCH_READERS_MAX] = {0};
    int pipes[2];
    size_t count = (size_t)bench->readers;
    if (pipe(pipes) != 0) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot make a pipe: %s", strerror(errno));
    }
    bool is_started = start_readers(bench, crowd, pipes, with_import ? 0 : KEYS, children) &&
                      are_all_ready(crowd, count, children);
    enum cvm_status status = failure_of(crowd, count, err);
    if (status == CVM_OK && !is_started) {
        status = CVM_FAIL(err, CVM_E_UNAVAILABLE, "not all readers could be started");
    }
    if (status != CVM_OK) {
        atomic_store(&crowd->must_stop, 1);
    }
    (void)close(pipes[0]);
    (void)close(pipes[1]); /* go */
    if (status == CVM_OK && with_import) {
        status = cvm_bench_measure(bench, import_night, out_import, err);
        atomic_store(&crowd->must_stop, 1);
    }
    for (size_t r = 0; r < count; r++) {
        wait_for(children[r]);
    }
    return status == CVM_OK ? failure_of(crowd, count, err) : status;
}

static enum cvm_status measure_crowd(struct cvm_bench *bench, const char *phase, bool with_import,
                                     struct cvm_bench_sample *sample, struct cvm_error *err)
{
    struct cvm_bench_sample import = {0};
    struct crowd *crowd =
        mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (crowd == MAP_FAILED) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
    }
    enum cvm_status status = run_crowd(bench, crowd, with_import, &import, err);
    struct latencies *all = NULL;
    if (status == CVM_OK) {
        all = malloc((size_t)bench->readers * sizeof(*all));
        status = all == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench") : CVM_OK;
    }
    for (size_t r = 0; status == CVM_OK && r < (size_t)bench->readers; r++) {
        all[r] = crowd->members[r].latencies;
    }
    if (status == CVM_OK) {
        status = add_percentiles(sample, phase, all, (size_t)bench->readers, err);
    }
    if (status == CVM_OK && with_import) {
        add_result(sample, phase, "seconds", import.seconds, "s");
        add_result(sample, phase, "records_per_second", (double)import.events / import.seconds,
                   "1/s");
    }
    free(all);
    (void)munmap(crowd, sizeof(*crowd));
    return status;
}

enum cvm_status cvm_bench_read(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                               struct cvm_error *err)
{
    enum cvm_status status = cvm_bench_point_reads(bench, "one_reader", out_sample, err);
    cvm_bench_add_result(out_sample, "readers", (double)bench->readers, "count");
    if (status == CVM_OK) {
        status = measure_crowd(bench, "readers", false, out_sample, err);
    }
    if (status == CVM_OK) {
        status = measure_crowd(bench, "during_import", true, out_sample, err);
    }
    return status;
}
