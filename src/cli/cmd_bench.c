#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/date.h"
#include "base/file.h"
#include "cli/bench.h"
#include "cli/bench_problem.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/paths.h"
#include "cli/work.h"

#define CUSTOMERS_DEFAULT 10000
#define CUSTOMERS_MAX     INT64_C(100000000)
#define EVENTS_DEFAULT    25
#define EVENTS_MAX        2000
#define REPEAT_DEFAULT    5
#define REPEAT_MAX        1000
#define READERS_DEFAULT   8
#define SEED_DEFAULT      1
#define WORKFLOWS_DEFAULT 3000

/* What the bench of the solver differs in. */
#define ALLOCATE_CUSTOMERS 1000000
#define ALLOCATE_REPEAT    7

static const struct bench_kind {
    const char *name;
    cvm_bench_fn prepare; /* unless a store is named; NULL: the job needs nothing */
    cvm_bench_fn job;
    bool needs_own_store;
    bool repeats_itself;
    bool is_solver;
    int64_t customers; /* 0 = CUSTOMERS_DEFAULT */
} kinds[] = {
    {"ingest", cvm_bench_write_data, cvm_bench_ingest, true, false, false, 0},
    {"journey", cvm_bench_fill_store, cvm_bench_journey, false, false, false, 0},
    {"rules", NULL, cvm_bench_rules, true, false, false, 0},
    {"recommend", cvm_bench_fill_store, cvm_bench_recommend, false, false, false, 0},
    {"allocate", NULL, cvm_bench_allocate, true, true, true, ALLOCATE_CUSTOMERS},
    {"read", cvm_bench_fill_store, cvm_bench_read, true, true, false, 0},
    {"run", cvm_bench_fill_store, cvm_bench_run, false, false, false, 0},
    {"cache", cvm_bench_fill_store, cvm_bench_cache, false, true, false, 0},
    {"agents", cvm_bench_fill_store, cvm_bench_agents, true, true, false, 0},
    {"embedded", cvm_bench_fill_store, cvm_bench_embedded, false, true, false, 0},
    {"broker", NULL, cvm_bench_broker, true, true, false, 0},
    {"workflow", NULL, cvm_bench_workflow, false, true, false, WORKFLOWS_DEFAULT},
};

struct bench_job {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    const struct bench_kind *kind;
    struct cvm_bench bench;
    int64_t repeats;
    struct cvm_bench_sample *samples;
};

/* ---- command line ---- */

static enum cvm_status find_kind(struct bench_job *job, struct cvm_error *err)
{
    const char *name = job->arguments->positional[0];
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            job->kind = &kinds[i];
            return CVM_OK;
        }
    }
    return CVM_FAIL(
        err, CVM_E_INVALID,
        "there is no bench '%s': ingest, journey, read, rules, recommend, allocate, run, cache, "
        "broker, agents, embedded and workflow are there",
        name);
}

static enum cvm_status parse_solver(struct bench_job *job, struct cvm_error *err)
{
    struct cvm_bench *bench = &job->bench;
    bench->rows = CVM_BENCH_ROWS_FEW;
    bench->seed = SEED_DEFAULT;
    bench->write_folder = cvm_argument(job->arguments, "--write");
    enum cvm_status status =
        cvm_argument_int(job->arguments, "--rows", 1, CVM_PROBLEM_ROWS_MAX, &bench->rows, err);
    if (status == CVM_OK && bench->rows != CVM_BENCH_ROWS_FEW &&
        bench->rows != CVM_BENCH_ROWS_MANY) {
        status = CVM_FAIL(err, CVM_E_INVALID, "--rows is %d or %d", CVM_BENCH_ROWS_FEW,
                          CVM_BENCH_ROWS_MANY);
    }
    if (status == CVM_OK) {
        status = cvm_argument_int(job->arguments, "--seed", 0, INT64_MAX, &bench->seed, err);
    }
    return status;
}

static enum cvm_status parse(struct bench_job *job, struct cvm_error *err)
{
    const struct cvm_arguments *arguments = job->arguments;
    struct cvm_bench *bench = &job->bench;
    enum cvm_status status = find_kind(job, err);
    bool is_solver = status == CVM_OK && job->kind->is_solver;
    bench->session = job->session;
    bool has_default = status == CVM_OK && job->kind->customers != 0;
    bench->customers = has_default ? job->kind->customers : CUSTOMERS_DEFAULT;
    bench->events_per_customer = EVENTS_DEFAULT;
    bench->day = cvm_session_today(job->session);
    bench->cache_url = cvm_argument(arguments, "--cache");
    bench->broker_url = cvm_argument(arguments, "--broker");
    bench->server_url = cvm_argument(arguments, "--postgres");
    bench->readers = READERS_DEFAULT;
    job->repeats = is_solver ? ALLOCATE_REPEAT : REPEAT_DEFAULT;
    if (status == CVM_OK) {
        status =
            cvm_argument_int(arguments, "--customers", 1, CUSTOMERS_MAX, &bench->customers, err);
    }
    if (status == CVM_OK) {
        status = cvm_argument_int(arguments, "--events", 5, EVENTS_MAX, &bench->events_per_customer,
                                  err);
    }
    if (status == CVM_OK) {
        status = cvm_argument_int(arguments, "--repeat", 1, REPEAT_MAX, &job->repeats, err);
        bench->repeats = job->repeats;
    }
    if (status == CVM_OK) {
        status = cvm_argument_int(arguments, "--readers", 1, CVM_BENCH_READERS_MAX, &bench->readers,
                                  err);
    }
    if (status == CVM_OK) {
        status = cvm_argument_day(arguments, "--as-of", &bench->day, err);
    }
    if (status == CVM_OK) {
        status = cvm_session_threads(job->session, arguments, &bench->threads, err);
    }
    if (is_solver && status == CVM_OK) {
        status = parse_solver(job, err);
    }
    if (status == CVM_OK && job->session->is_store_named && job->kind->needs_own_store) {
        status = CVM_FAIL(err, CVM_E_INVALID, "'cvm bench %s' needs no store: no --store",
                          job->kind->name);
    }
    if (status == CVM_OK && bench->server_url != NULL &&
        (job->session->is_store_named || !cvm_store_is_server(bench->server_url))) {
        status = CVM_FAIL(err, CVM_E_INVALID,
                          "--postgres takes the URL of a server's database, and no --store beside "
                          "it");
    }
    return cvm_session_usage(job->session, status);
}

/* ---- the temporary folder ---- */

static enum cvm_status make_folder(struct bench_job *job, struct cvm_error *err)
{
    struct cvm_arena *arena = job->session->arena;
    const char *path = NULL;
    enum cvm_status status =
        cvm_path_join(arena, cvm_temporary_folder(), "cvm-bench-XXXXXX", &path, err);
    if (status != CVM_OK) {
        return status;
    }
    char *template = cvm_arena_string(arena, path);
    if (template == NULL || mkdtemp(template) == NULL) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot make a folder like '%s': %s", path,
                        strerror(errno));
    }
    job->bench.folder = template;
    status = cvm_path_join(arena, template, "data", &job->bench.data_folder, err);
    if (status == CVM_OK) {
        status = cvm_store_url_join(arena, template, "sqlite:bench.db",
                                    &job->session->config.store_url, err);
        job->session->config.privacy.keys_url = NULL; /* beside it */
    }
    if (status == CVM_OK && job->bench.server_url != NULL) {
        status = cvm_store_url_join(arena, template, "sqlite:bench-keys.db",
                                    &job->session->config.privacy.keys_url, err);
    }
    if (status == CVM_OK && job->bench.server_url != NULL) {
        status = cvm_bench_schema_make(&job->bench, err);
    }
    return status;
}

/* What can not be removed is left: the measurement counts all the same. */
static void remove_folder(const struct bench_job *job)
{
    struct cvm_file_list list;
    const char *folder = job->bench.folder;
    if (folder == NULL || cvm_folder_list(job->session->arena, folder, 2, &list, NULL) != CVM_OK) {
        return;
    }
    for (size_t i = 0; i < list.count; i++) {
        const char *path = NULL;
        if (cvm_path_join(job->session->arena, folder, list.paths[i], &path, NULL) == CVM_OK) {
            (void)unlink(path);
        }
    }
    (void)rmdir(job->bench.data_folder);
    (void)rmdir(folder);
}

/* ---- results ---- */

struct results {
    struct cvm_bench_result items[CVM_BENCH_RESULTS_MAX];
    size_t count;
};

static void add_result(struct results *results, const char *name, double value, const char *unit)
{
    if (results->count < CVM_BENCH_RESULTS_MAX) {
        struct cvm_bench_result *result = &results->items[results->count++];
        (void)snprintf(result->name, sizeof(result->name), "%s", name);
        result->value = value;
        result->unit = unit;
    }
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

struct cvm_bench_spread cvm_bench_spread_of(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    double median =
        count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
    return (struct cvm_bench_spread){values[0], median, values[count - 1]};
}

static void add_spread(struct results *results, const char *name, struct cvm_bench_spread spread)
{
    char full[48];
    (void)snprintf(full, sizeof(full), "%.30s_best", name);
    add_result(results, full, spread.best, "s");
    (void)snprintf(full, sizeof(full), "%.30s_median", name);
    add_result(results, full, spread.median, "s");
    (void)snprintf(full, sizeof(full), "%.30s_worst", name);
    add_result(results, full, spread.worst, "s");
}

static void add_stages(const struct bench_job *job, double *values, struct results *results)
{
    size_t count = (size_t)job->repeats;
    for (size_t stage = 0; stage < CVM_BENCH_STAGES_MAX; stage++) {
        const char *name = job->samples[0].stage_names[stage];
        char full[48];
        if (name == NULL) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            values[i] = job->samples[i].stage_seconds[stage];
        }
        (void)snprintf(full, sizeof(full), "%s_seconds_median", name);
        add_result(results, full, cvm_bench_spread_of(values, count).median, "s");
    }
}

static void add_memory(const struct bench_job *job, struct results *results)
{
    const struct cvm_bench_sample *first = &job->samples[0];
    int64_t peak = 0;
    for (int64_t i = 0; i < job->repeats; i++) {
        peak = job->samples[i].peak_bytes > peak ? job->samples[i].peak_bytes : peak;
    }
    add_result(results, "peak_memory", (double)peak, "bytes");
    if (first->matrix_bytes > 0) {
        add_result(results, "value_matrix", (double)first->matrix_bytes, "bytes");
    }
    if (first->chunks_bytes > 0) {
        add_result(results, "chunks_in_flight", (double)first->chunks_bytes, "bytes");
    }
    if (first->bytes > 0) {
        add_result(results, "input", (double)first->bytes, "bytes");
    }
}

/* Rules beside the bare reading of the same columns, which is their first stage. */
static void add_rules(const struct bench_job *job, double *values, double seconds,
                      struct results *results)
{
    const struct cvm_bench_sample *first = &job->samples[0];
    for (int64_t i = 0; i < job->repeats; i++) {
        values[i] = job->samples[i].stage_seconds[0];
    }
    double read = cvm_bench_spread_of(values, (size_t)job->repeats).median;
    add_result(results, "rules", (double)first->rules, "count");
    add_result(results, "threads", (double)first->threads, "count");
    add_result(results, "rules_x_customers_per_second",
               (double)first->rules * (double)first->customers / seconds, "1/s");
    add_result(results, "to_memory_read", seconds / read, "ratio");
}

static void add_events(const struct cvm_bench_sample *first, double seconds,
                       struct results *results)
{
    double events = first->events > 0 ? (double)first->events : 1;
    add_result(results, "per_event", 1e9 * seconds / events, "ns");
    add_result(results, "events_per_second", events / seconds, "1/s");
}

/* Records through all of it beside bare rows: what comes before the database, and what cvm's way
 * into it costs. */
static void add_bare(const struct bench_job *job, double *values, double seconds,
                     struct results *results)
{
    const struct cvm_bench_sample *first = &job->samples[0];
    double rate = (double)first->events / seconds;
    add_result(results, "records_per_second", rate, "1/s");
    for (size_t stage = 0; stage < CVM_BENCH_STAGES_MAX; stage++) {
        const char *name = first->stage_names[stage];
        char full[48];
        if (name == NULL || strncmp(name, "bare_load", 9) != 0) {
            continue;
        }
        for (int64_t i = 0; i < job->repeats; i++) {
            values[i] = job->samples[i].stage_seconds[stage];
        }
        double bare =
            (double)first->bare_rows / cvm_bench_spread_of(values, (size_t)job->repeats).median;
        (void)snprintf(full, sizeof(full), "%s_rows_per_second", name);
        add_result(results, full, bare, "1/s");
        (void)snprintf(full, sizeof(full), "to_%s", name);
        add_result(results, full, rate / bare, "ratio");
    }
}

static void add_cpu(const struct bench_job *job, double *values, struct results *results)
{
    for (int64_t i = 0; i < job->repeats; i++) {
        values[i] = job->samples[i].cpu_seconds;
    }
    add_result(results, "cpu_seconds_median",
               cvm_bench_spread_of(values, (size_t)job->repeats).median, "s");
}

static enum cvm_status make_results(const struct bench_job *job, struct results *results,
                                    struct cvm_error *err)
{
    const struct cvm_bench_sample *first = &job->samples[0];
    double *values = CVM_NEW_ARRAY(job->session->arena, (size_t)job->repeats, double);
    for (size_t i = 0; i < first->result_count; i++) {
        results->items[results->count++] = first->results[i];
    }
    if (job->kind->repeats_itself) {
        add_memory(job, results);
        return CVM_OK;
    }
    if (values == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for results");
    }
    for (int64_t i = 0; i < job->repeats; i++) {
        values[i] = job->samples[i].seconds;
    }
    struct cvm_bench_spread spread = cvm_bench_spread_of(values, (size_t)job->repeats);
    double customers = first->customers > 0 ? (double)first->customers : 1;
    add_result(results, "customers", (double)first->customers, "count");
    if (first->rules == 0) {
        add_result(results, "events", (double)first->events, "count");
    }
    add_result(results, "repeats", (double)job->repeats, "count");
    add_spread(results, "seconds", spread);
    add_result(results, "per_customer", 1e6 * spread.median / customers, "us");
    if (first->rules == 0) {
        add_events(first, spread.median, results);
    } else {
        add_rules(job, values, spread.median, results);
    }
    add_result(results, "customers_per_second", customers / spread.median, "1/s");
    add_stages(job, values, results);
    add_cpu(job, values, results);
    if (first->bare_rows > 0) {
        add_bare(job, values, spread.median, results);
    }
    add_memory(job, results);
    return CVM_OK;
}

/* ---- the machine ---- */

static void read_cpu(char *name, size_t size)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "rb");
    (void)snprintf(name, size, "unknown");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            (void)snprintf(name, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file); /* opened for reading: nothing left to lose */
    }
}

static const char compiler[] =
#if defined(__clang__)
    "clang " __clang_version__;
#else
    "gcc " __VERSION__;
#endif

static void write_machine(struct cvm_json_writer *json)
{
    char cpu[200];
    read_cpu(cpu, sizeof(cpu));
    cvm_json_key_object(json, "machine");
    cvm_json_key_string(json, "cpu", cpu);
    cvm_json_key_int(json, "cores", sysconf(_SC_NPROCESSORS_ONLN));
    cvm_json_key_int(json, "memory_bytes",
                     (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE));
    cvm_json_key_string(json, "compiler", compiler);
    cvm_json_object_end(json);
}

static enum cvm_status report(const struct bench_job *job, const struct results *results,
                              struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    if (session->is_json) {
        struct cvm_document document;
        struct cvm_json_writer *json = &document.json;
        cvm_document_init(&document);
        cvm_json_key_string(json, "bench", job->kind->name);
        write_machine(json);
        cvm_json_key_array(json, "results");
        for (size_t i = 0; i < results->count; i++) {
            cvm_json_object(json);
            cvm_json_key_string(json, "name", results->items[i].name);
            cvm_json_key_double(json, "value", results->items[i].value);
            cvm_json_key_string(json, "unit", results->items[i].unit);
            cvm_json_object_end(json);
        }
        cvm_json_array_end(json);
        return cvm_document_print(&document, session, err);
    }
    static const char *const headers[] = {"result", ">value", "unit"};
    struct cvm_table table;
    char text[CVM_NUMBER_TEXT_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < results->count; i++) {
        const struct cvm_bench_result *result = &results->items[i];
        cvm_table_add(&table, result->name);
        if (result->value >= 1000) {
            cvm_table_add(&table, cvm_grouped((int64_t)result->value, text));
        } else {
            cvm_table_add_format(&table, "%.4g", result->value);
        }
        cvm_table_add(&table, result->unit);
    }
    cvm_table_print(&table, session->out);
    return CVM_OK;
}

/* ---- the command ---- */

static enum cvm_status measure(struct bench_job *job, struct cvm_error *err)
{
    struct cvm_bench_sample ignored;
    struct results results = {.count = 0};
    enum cvm_status status = CVM_OK;
    job->samples =
        CVM_NEW_ARRAY(job->session->arena, (size_t)job->repeats, struct cvm_bench_sample);
    if (job->samples == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for results");
    }
    if (job->bench.folder != NULL && job->kind->prepare != NULL) {
        cvm_session_progress(job->session, "prepare", -1, job->bench.customers);
        status = cvm_bench_measure(&job->bench, job->kind->prepare, &ignored, err);
    }
    job->repeats = job->kind->repeats_itself ? 1 : job->repeats;
    for (int64_t i = 0; status == CVM_OK && i < job->repeats; i++) {
        cvm_session_progress(job->session, "measure", (double)i / (double)job->repeats, i);
        job->bench.repeat = (int)i;
        status = cvm_context_check(&job->session->context, err);
        if (status == CVM_OK) {
            status = cvm_bench_measure(&job->bench, job->kind->job, &job->samples[i], err);
        }
    }
    cvm_session_progress_end(job->session);
    if (status == CVM_OK) {
        status = make_results(job, &results, err);
    }
    return status == CVM_OK ? report(job, &results, err) : status;
}

static enum cvm_status run_bench(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 struct cvm_error *err)
{
    struct bench_job job = {.session = session, .arguments = arguments};
    enum cvm_status status = parse(&job, err);
    session->config.catalogue_folder = NULL; /* the store's catalogue is what is measured */
    if (status == CVM_OK && !session->is_store_named) {
        status = make_folder(&job, err);
    }
    if (status == CVM_OK) {
        status = measure(&job, err);
    }
    if (job.bench.schema != NULL) { /* the measurement counts all the same */
        (void)cvm_bench_schema_drop(&job.bench, NULL);
    }
    remove_folder(&job);
    return status;
}

static const struct cvm_option bench_options[] = {
    {"--customers", "N", "size of the base (default 10000; allocate 1000000; workflow 3000)"},
    {"--events", "M", "dated events per customer (default 25)"},
    {"--repeat", "K", "how often (default 5; allocate 7); best, median and worst are told"},
    {"--threads", "N", "threads (default: as configured; 0 = one per core)"},
    {"--as-of", "D", "day of the base's last events (default: today)"},
    {"--rows", "N", "allocate: 13, or 33 with channels and segments (default 13)"},
    {"--seed", "S", "allocate: another base of the same kind (default 1)"},
    {"--readers", "N", "read: how many processes read at once (default 8)"},
    {"--postgres", "URL", "on a schema of its own in this database, dropped at the end"},
    {"--cache", "URL", "cache: redis://host:port of a server to measure too"},
    {"--broker", "URL", "broker, agents: amqp://... or kafka://... of a server to measure with"},
    {"--write", "FOLDER", "allocate: the problem as files for 'cvm allocate' too"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_bench = {
    .name = "bench",
    .arguments = "NAME",
    .summary =
        "Measure ingest, journey, read, rules, recommend, allocate, run, cache, broker, workflow",
    .details =
        "Makes a base in a temporary folder, which is removed afterwards; with --store the\n"
        "named store is measured instead (not for ingest, read, rules and allocate; run and\n"
        "embedded add their runs to it), with --postgres one on a server. Each repeat is a process "
        "of its\n"
        "own, so that its peak of memory stands alone.\n\n"
        "ingest is NDJSON to rows and packed journeys, beside bare loading of the same rows:\n"
        "prepared inserts of SQLite, or COPY. journey is the features of all customers, and\n"
        "of single ones beside the bare question. read is that by one process, by several,\n"
        "and by several while another one imports. allocate is the solver alone on a made-up\n"
        "base: cold, warm, and after changes, beside a plain pass over the values and a bare\n"
        "memory read. cache is gets and puts in memory and, with --cache, on a Redis server\n"
        "beside a bare loop of its client library, and one customer read with and without.\n"
        "agents is single customers that an agent values and decides, asked by send and wait,\n"
        "and the turns of a run, all in one process, with --broker over a server.\n"
        "embedded is a run by the agents of its own process and the same directly, in pairs.\n"
        "broker is messages between threads and, with --broker, over a server beside bare\n"
        "loops of its client library with the same settings.\n"
        "workflow is durable workflows of three steps, many at once and one at a time,\n"
        "beside the rate at which the disk syncs pages.\n\n"
        "  cvm bench journey --customers 200000 --repeat 7 --json\n"
        "  cvm bench read --postgres postgresql://cvm@db.example/scratch --readers 8",
    .positional_min = 1,
    .positional_max = 1,
    .options = bench_options,
    .run = run_bench,
};
