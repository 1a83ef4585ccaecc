#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/columns.h"
#include "base/date.h"
#include "cli/bench_bare.h"
#include "cli/paths.h"
#include "cli/shipped.h"
#include "cli/work.h"
#include "cli/world_input.h"
#include "engine/needed.h"
#include "engine/run.h"
#include "recommend/action_value.h"
#include "storage/import.h"

#define BENCH_SEED   1
#define SCHEMA_BYTES 32

static struct cvm_world_input_options world_of(const struct cvm_bench *bench, uint64_t seed)
{
    return (struct cvm_world_input_options){
        .world =
            {
                .customers = bench->customers,
                .events_per_customer = (int)bench->events_per_customer,
                .seed = seed,
                .until_day = bench->day,
            },
        .context = &bench->session->context,
    };
}

/* A store as `cvm init` makes it. */
static enum cvm_status make_store(struct cvm_bench *bench, struct cvm_error *err)
{
    struct cvm_catalogue_files files;
    int64_t version = 0;
    enum cvm_status status =
        cvm_shipped_catalogue(bench->session->arena, bench->customers, &files, err);
    return status == CVM_OK ? cvm_shipped_store(bench->session, bench->session->config.store_url,
                                                &files, "cvm bench", &version, err)
                            : status;
}

enum cvm_status cvm_bench_write_data(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                     struct cvm_error *err)
{
    struct cvm_world_input_options options = world_of(bench, BENCH_SEED);
    return cvm_world_write_files(&options, bench->data_folder, NULL, NULL, &out_sample->events,
                                 err);
}

/* ---- ingest ---- */

struct import_job {
    struct cvm_bench *bench;
    struct cvm_work work;
    struct cvm_import_options options;
    struct cvm_pool *pool;
    struct cvm_import_report report;
};

static enum cvm_status open_import(struct import_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->bench->session;
    struct cvm_work_options work = {.access = CVM_DB_WRITE};
    enum cvm_status status = cvm_work_open(session, &work, &job->work, err);
    if (status == CVM_OK) {
        status = cvm_session_import_options(session, NULL, &job->options, err);
    }
    return status == CVM_OK ? cvm_pool_create((size_t)job->bench->threads, &job->pool, err)
                            : status;
}

static struct cvm_import_work import_work(const struct import_job *job)
{
    return (struct cvm_import_work){job->work.store, job->work.catalogue, &job->options, job->pool,
                                    &job->bench->session->context};
}

static void close_import(struct import_job *job)
{
    cvm_pool_destroy(job->pool);
    cvm_work_close(&job->work);
}

enum cvm_status cvm_bench_import_world(struct cvm_bench *bench, uint64_t seed,
                                       struct cvm_bench_sample *out_sample, struct cvm_error *err)
{
    struct import_job job = {.bench = bench};
    struct cvm_world_input *input = NULL;
    enum cvm_status status = open_import(&job, err);
    double start = cvm_context_seconds(&bench->session->context);
    if (status == CVM_OK) {
        struct cvm_world_input_options options = world_of(bench, seed);
        options.catalogue = job.work.catalogue;
        status = cvm_world_input_create(&options, &input, err);
    }
    if (status == CVM_OK) {
        struct cvm_import_work work = import_work(&job);
        status = cvm_import_records(&work, cvm_world_input_records(input), bench->session->arena,
                                    &job.report, err);
    }
    if (status == CVM_OK) {
        out_sample->seconds = cvm_context_seconds(&bench->session->context) - start;
        out_sample->customers = job.report.customers;
        out_sample->events = job.report.stored;
    }
    cvm_world_input_destroy(input);
    close_import(&job);
    return status;
}

enum cvm_status cvm_bench_fill_store(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                     struct cvm_error *err)
{
    enum cvm_status status = make_store(bench, err);
    return status == CVM_OK ? cvm_bench_import_world(bench, BENCH_SEED, out_sample, err) : status;
}

static void remove_store(const char *store_url)
{
    static const char *const endings[] = {
        ".db",          ".db-wal",          ".db-shm",          ".db.lock",
        "-journeys.db", "-journeys.db-wal", "-journeys.db-shm", "-keys.db",
        "-keys.db-wal", "-keys.db-shm"};
    char path[4096];
    const char *file = strchr(store_url, ':') + 1;
    size_t length = strlen(file) - strlen(".db");
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        (void)snprintf(path, sizeof(path), "%.*s%s", (int)length, file, endings[i]);
        (void)unlink(path); /* what is not there need not be removed */
    }
}

/* ---- a schema of a server ---- */

/* The verb and what follows the schema's name. */
static enum cvm_status change_schema(const struct cvm_bench *bench, const char *verb,
                                     const char *rest, struct cvm_error *err)
{
    /* Rebuildable: this connection waits for no writer. */
    struct cvm_db_options options = {.access = CVM_DB_WRITE, .is_rebuildable = true};
    struct cvm_db *db = NULL;
    char sql[160];
    (void)snprintf(sql, sizeof(sql), "%s %s%s", verb, bench->schema, rest);
    enum cvm_status status = cvm_db_open(bench->server_url, &options, &db, err);
    if (status == CVM_OK) {
        status = cvm_db_exec(db, sql, NULL, 0, NULL, err);
    }
    cvm_db_close(db);
    return status;
}

enum cvm_status cvm_bench_schema_drop(struct cvm_bench *bench, struct cvm_error *err)
{
    return change_schema(bench, "DROP SCHEMA IF EXISTS", " CASCADE", err);
}

enum cvm_status cvm_bench_schema_make(struct cvm_bench *bench, struct cvm_error *err)
{
    struct cvm_session *session = bench->session;
    const char *separator = strchr(bench->server_url, '?') == NULL ? "?" : "&";
    char *schema = CVM_NEW_ARRAY(session->arena, SCHEMA_BYTES, char);
    struct cvm_text url;
    if (schema == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
    }
    (void)snprintf(schema, SCHEMA_BYTES, "cvm_bench_%d", (int)getpid());
    bench->schema = schema;
    cvm_text_init(&url, 0);
    cvm_text_add_format(&url, "%s%soptions=-csearch_path%%3D%s", bench->server_url, separator,
                        schema);
    session->config.store_url = cvm_arena_string(session->arena, cvm_text_string(&url));
    bool is_good = !url.failed && session->config.store_url != NULL;
    cvm_text_finish(&url);
    return is_good ? change_schema(bench, "CREATE SCHEMA", "", err)
                   : CVM_FAIL(err, CVM_E_LIMIT, "no memory for a URL");
}

/* ---- ingest ---- */

static enum cvm_status make_empty_store(struct cvm_bench *bench, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    if (cvm_store_is_server(bench->session->config.store_url)) {
        status = cvm_bench_schema_drop(bench, err);
        if (status == CVM_OK) {
            status = change_schema(bench, "CREATE SCHEMA", "", err);
        }
    } else {
        remove_store(bench->session->config.store_url);
    }
    return status == CVM_OK ? make_store(bench, err) : status;
}

enum cvm_status cvm_bench_ingest(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                 struct cvm_error *err)
{
    struct import_job job = {.bench = bench};
    const char *const paths[] = {bench->data_folder};
    enum cvm_status status = make_empty_store(bench, err);
    if (status != CVM_OK) {
        return status;
    }
    status = open_import(&job, err);
    double start = cvm_context_seconds(&bench->session->context);
    if (status == CVM_OK) {
        struct cvm_import_work work = import_work(&job);
        status = cvm_import_files(&work, &(struct cvm_import_paths){paths, 1, NULL},
                                  bench->session->arena, &job.report, err);
    }
    if (status == CVM_OK) {
        *out_sample = (struct cvm_bench_sample){
            .seconds = cvm_context_seconds(&bench->session->context) - start,
            .stage_names = {"parse", "store", "sort", "insert", "pack"},
            .stage_seconds = {job.report.seconds_parse, job.report.seconds_store,
                              job.report.seconds_sort, job.report.seconds_insert,
                              job.report.seconds_pack},
            .customers = job.report.customers,
            .events = job.report.stored,
            .bytes = job.report.bytes,
        };
    }
    close_import(&job);
    cvm_bench_note_usage(out_sample);
    return status == CVM_OK ? cvm_bench_bare_load(bench, out_sample, err) : status;
}

/* ---- journey and recommend ---- */

struct scan_job {
    struct cvm_bench *bench;
    struct cvm_recommender *recommender; /* NULL: features only */
    struct scan_worker {
        int64_t customers;
        int64_t events;
        double recommend_seconds;
        struct cvm_buffer verdicts;
    } workers[256];
    size_t treatment_count;
    double recommend_seconds; /* of all workers side by side */
};

static enum cvm_status recommend_chunk(struct scan_job *job, struct scan_worker *worker,
                                       const struct cvm_chunk *chunk, struct cvm_error *err)
{
    size_t stride = chunk->capacity;
    size_t pairs = job->treatment_count * stride;
    size_t size = pairs * (sizeof(float) + 1) +
                  stride * (sizeof(struct cvm_contact_facts) + 3 * sizeof(float) + 1);
    enum cvm_status status = cvm_buffer_reserve(&worker->verdicts, size, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_contact_facts *facts = worker->verdicts.data;
    float *numbers = (float *)(void *)(facts + stride);
    unsigned char *bytes = (unsigned char *)(numbers + pairs + 3 * stride);
    struct cvm_verdicts verdicts = {
        .values = numbers,
        .margins = numbers + pairs,
        .churns = numbers + pairs + stride,
        .tirings = numbers + pairs + 2 * stride,
        .reasons = bytes,
        .segments = bytes + pairs,
        .facts = facts,
        .stride = stride,
    };
    double start = cvm_context_seconds(&job->bench->session->context);
    cvm_recommend_chunk(job->recommender, chunk, &verdicts);
    worker->recommend_seconds += cvm_context_seconds(&job->bench->session->context) - start;
    return CVM_OK;
}

static enum cvm_status take_chunk(void *state, size_t shard, size_t worker_number,
                                  const struct cvm_chunk *chunk, struct cvm_error *err)
{
    struct scan_job *job = state;
    struct scan_worker *worker = &job->workers[worker_number];
    (void)shard;
    worker->customers += (int64_t)chunk->count;
    for (size_t i = 0; i < chunk->count; i++) {
        worker->events += chunk->event_counts[i];
    }
    return job->recommender == NULL ? CVM_OK : recommend_chunk(job, worker, chunk, err);
}

static enum cvm_status scan(struct scan_job *job, struct cvm_engine *engine, struct cvm_error *err)
{
    struct cvm_feature_set needed = {{0}};
    struct cvm_feature_window window = {job->bench->day, CVM_DAY_NONE,
                                        job->recommender != NULL ? &needed : NULL};
    const struct cvm_scan_request request = {
        .window = window, .on_chunk = take_chunk, .state = job};
    cvm_needed_for_values(engine->catalogue, &needed);
    return cvm_engine_scan(engine, &request, err);
}

static void sum_workers(struct scan_job *job, struct cvm_bench_sample *sample, size_t worker_count)
{
    for (size_t w = 0; w < sizeof(job->workers) / sizeof(job->workers[0]); w++) {
        sample->customers += job->workers[w].customers;
        sample->events += job->workers[w].events;
        job->recommend_seconds += job->workers[w].recommend_seconds / (double)worker_count;
        cvm_buffer_finish(&job->workers[w].verdicts);
    }
}

static int64_t chunk_bytes(const struct cvm_engine *engine)
{
    return (int64_t)(engine->worker_count * engine->chunk_size *
                     (engine->catalogue->feature_count * sizeof(double) +
                      sizeof(struct cvm_consent) + 24));
}

static int64_t matrix_bytes(const struct cvm_engine *engine, int64_t customers)
{
    return customers * (int64_t)engine->catalogue->treatment_count * (int64_t)(sizeof(float) + 1);
}

static enum cvm_status measure_scan(struct cvm_bench *bench, bool with_values,
                                    struct cvm_bench_sample *out_sample, struct cvm_error *err)
{
    struct cvm_work_options options = {
        .access = CVM_DB_READ, .needs_engine = true, .threads = bench->threads};
    struct cvm_work work;
    struct scan_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
    }
    job->bench = bench;
    enum cvm_status status = cvm_work_open(bench->session, &options, &work, err);
    if (status != CVM_OK) {
        free(job);
        return status;
    }
    job->treatment_count = work.catalogue->treatment_count;
    struct cvm_recommend_options recommend = {
        .as_of_day = bench->day,
        .channel = CVM_CHANNEL_UNSET,
        .allowed = UINT64_MAX,
        .forced_treatment = CVM_INDEX_NONE,
    };
    if (with_values) {
        status = cvm_recommender_create(work.catalogue, &recommend, &job->recommender, err);
    }
    double start = cvm_context_seconds(&bench->session->context);
    if (status == CVM_OK) {
        status = scan(job, work.engine, err);
    }
    struct cvm_bench_sample sample = {
        .seconds = cvm_context_seconds(&bench->session->context) - start,
        .chunks_bytes = chunk_bytes(work.engine),
    };
    sum_workers(job, &sample, work.engine->worker_count);
    if (with_values) { /* the journeys only supply the features: they are told apart */
        sample.stage_names[0] = "journeys";
        sample.stage_seconds[0] = sample.seconds - job->recommend_seconds;
        sample.seconds = job->recommend_seconds;
    }
    sample.matrix_bytes = with_values ? matrix_bytes(work.engine, sample.customers) : 0;
    cvm_recommender_destroy(job->recommender);
    cvm_work_close(&work);
    free(job);
    if (status == CVM_OK) {
        *out_sample = sample;
    }
    return status;
}

enum cvm_status cvm_bench_journey(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                  struct cvm_error *err)
{
    enum cvm_status status = measure_scan(bench, false, out_sample, err);
    cvm_bench_note_usage(out_sample);
    return status == CVM_OK ? cvm_bench_point_reads(bench, "point_read", out_sample, err) : status;
}

enum cvm_status cvm_bench_recommend(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                                    struct cvm_error *err)
{
    return measure_scan(bench, true, out_sample, err);
}

/* ---- run ---- */

/* Each repeat is a day of its own: the same work, with capacity that nobody has used. */
enum cvm_status cvm_bench_run(struct cvm_bench *bench, struct cvm_bench_sample *out_sample,
                              struct cvm_error *err)
{
    struct cvm_session *session = bench->session;
    struct cvm_work_options options = {
        .access = CVM_DB_WRITE, .needs_engine = true, .threads = bench->threads};
    struct cvm_work work;
    struct cvm_run_result *result = NULL;
    struct cvm_run_request request = {
        .as_of_day = bench->day + bench->repeat,
        .since_day = CVM_DAY_NONE,
        .forced_treatment = CVM_INDEX_NONE,
        .allowed = UINT64_MAX,
        .must_release = true,
        .seed = BENCH_SEED,
        .keep_runs = session->config.keep_runs,
        .who = session->who,
    };
    enum cvm_status status = cvm_work_open(session, &options, &work, err);
    if (status != CVM_OK) {
        return status;
    }
    double start = cvm_context_seconds(&session->context);
    status = cvm_run(work.engine, work.store, &request, session->arena, &result, err);
    if (status == CVM_OK && result->was_done_before) {
        status = CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' was done before: nothing to measure",
                          result->run_id);
    }
    if (status == CVM_OK) {
        *out_sample = (struct cvm_bench_sample){
            .seconds = cvm_context_seconds(&session->context) - start,
            .stage_names = {"journeys", "values", "allocation", "plan"},
            .stage_seconds = {result->seconds.features, result->seconds.values,
                              result->seconds.allocation, result->seconds.plan},
            .customers = result->customers,
            .events = result->customers * bench->events_per_customer,
            .matrix_bytes = matrix_bytes(work.engine, result->customers),
            .chunks_bytes = chunk_bytes(work.engine),
        };
    }
    cvm_run_result_destroy(result);
    cvm_work_close(&work);
    return status;
}
