#include <errno.h>
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/import_report.h"
#include "cli/work.h"
#include "cli/world_input.h"
#include "cli/world_respond.h"

#define CUSTOMERS_MAX  INT64_C(1000000000)
#define EVENTS_DEFAULT 25
#define EVENTS_MAX     2000

struct generate_job {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    struct cvm_world_input_options options;
    int64_t threads;
    const char *truth_path;
    const char *out_folder;
};

static enum cvm_status parse(struct generate_job *job, struct cvm_error *err)
{
    const struct cvm_arguments *arguments = job->arguments;
    struct cvm_world_options *world = &job->options.world;
    int64_t events = EVENTS_DEFAULT;
    int64_t seed = 1;
    world->until_day = cvm_session_today(job->session);
    enum cvm_status status =
        cvm_argument_int(arguments, "--customers", 1, CUSTOMERS_MAX, &world->customers, err);
    if (status == CVM_OK && world->customers == 0 && !cvm_argument_given(arguments, "--respond")) {
        status = CVM_FAIL(err, CVM_E_INVALID, "'cvm generate' needs --customers N");
    }
    if (status == CVM_OK) {
        status = cvm_argument_int(arguments, "--events", 5, EVENTS_MAX, &events, err);
    }
    if (status == CVM_OK) {
        status = cvm_argument_int(arguments, "--seed", 0, INT64_MAX, &seed, err);
    }
    if (status == CVM_OK) {
        status = cvm_argument_day(arguments, "--until", &world->until_day, err);
    }
    if (status == CVM_OK) {
        status = cvm_session_threads(job->session, arguments, &job->threads, err);
    }
    world->events_per_customer = (int)events;
    world->seed = (uint64_t)seed;
    job->options.context = &job->session->context;
    job->truth_path = cvm_argument(arguments, "--truth");
    job->out_folder = cvm_argument(arguments, "--out");
    return cvm_session_usage(job->session, status);
}

/* ---- into the store ---- */

static enum cvm_status import_world(struct generate_job *job, struct cvm_store *store,
                                    struct cvm_import_report *out_report, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    struct cvm_import_options options;
    struct cvm_world_input *input = NULL;
    struct cvm_pool *pool = NULL;
    enum cvm_status status = cvm_session_import_options(session, NULL, &options, err);
    if (status == CVM_OK) {
        status = cvm_world_input_create(&job->options, &input, err);
    }
    if (status == CVM_OK) {
        status = cvm_pool_create((size_t)job->threads, &pool, err);
    }
    if (status == CVM_OK) {
        struct cvm_import_work work = {store, job->options.catalogue, &options, pool,
                                       &session->context};
        status = cvm_import_records(&work, cvm_world_input_records(input), session->arena,
                                    out_report, err);
    }
    cvm_pool_destroy(pool);
    cvm_world_input_destroy(input);
    return status;
}

static enum cvm_status generate_store(struct generate_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    struct cvm_work_options options = {.access = CVM_DB_WRITE};
    struct cvm_work work;
    struct cvm_import_report report;
    enum cvm_status status = cvm_work_open(session, &options, &work, err);
    if (status != CVM_OK) {
        return status;
    }
    job->options.catalogue = work.catalogue;
    status = import_world(job, work.store, &report, err);
    if (status == CVM_OK) {
        status = cvm_import_report_print(session, work.catalogue, &report, err);
    }
    cvm_work_close(&work);
    return status;
}

/* ---- into files ---- */

static enum cvm_status generate_files(struct generate_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    int64_t records = 0;
    enum cvm_status status = cvm_world_write_files(&job->options, job->out_folder,
                                                   cvm_session_progress, session, &records, err);
    cvm_session_progress_end(session);
    if (status != CVM_OK) {
        return status;
    }
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "out", job->out_folder);
        cvm_json_key_int(&document.json, "customers", job->options.world.customers);
        cvm_json_key_int(&document.json, "records", records);
        cvm_json_key_string(&document.json, "truth", job->truth_path);
        return cvm_document_print(&document, session, err);
    }
    char numbers[2][CVM_NUMBER_TEXT_SIZE];
    fprintf(session->out, "%s records of %s customers written to %s.\n",
            cvm_grouped(records, numbers[0]), cvm_grouped(job->options.world.customers, numbers[1]),
            job->out_folder);
    return CVM_OK;
}

static enum cvm_status generate(struct generate_job *job, struct cvm_error *err)
{
    if (job->truth_path != NULL) {
        job->options.truth = fopen(job->truth_path, "wb");
        if (job->options.truth == NULL) {
            return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write '%s': %s", job->truth_path,
                            strerror(errno));
        }
    }
    enum cvm_status status =
        job->out_folder != NULL ? generate_files(job, err) : generate_store(job, err);
    if (job->options.truth != NULL && fclose(job->options.truth) != 0 && status == CVM_OK) {
        status = CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write '%s': %s", job->truth_path,
                          strerror(errno));
    }
    return status;
}

/* ---- the world's answer to a run ---- */

static enum cvm_status report_respond(struct generate_job *job,
                                      const struct cvm_respond_request *request,
                                      const struct cvm_respond_result *result,
                                      struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_json_key_string(&document.json, "run_id", request->run_id);
        cvm_json_key_string(&document.json, "out", request->out_path);
        cvm_json_key_int(&document.json, "decisions", result->decisions);
        cvm_json_key_int(&document.json, "answered", result->answered);
        cvm_json_key_int(&document.json, "outcomes", result->outcomes);
        cvm_json_key_int(&document.json, "accepted", result->accepted);
        cvm_json_key_int(&document.json, "churned", result->churned);
        return cvm_document_print(&document, session, err);
    }
    fprintf(session->out,
            "Run %s: %lld of %lld decisions answered, %lld accepted, %lld churned; %lld outcomes "
            "in %s.\n",
            request->run_id, (long long)result->answered, (long long)result->decisions,
            (long long)result->accepted, (long long)result->churned, (long long)result->outcomes,
            request->out_path);
    return CVM_OK;
}

static enum cvm_status default_out(struct generate_job *job, const char *run_id,
                                   const char **out_path, struct cvm_error *err)
{
    char name[128];
    (void)snprintf(name, sizeof(name), "responses-%s.ndjson", run_id);
    *out_path = cvm_arena_string(job->session->arena, name);
    return *out_path == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a path") : CVM_OK;
}

static enum cvm_status respond(struct generate_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    struct cvm_store *store = NULL;
    struct cvm_run_record run;
    struct cvm_respond_result result;
    struct cvm_respond_request request = {
        .truth_path = job->truth_path,
        .out_path = job->out_folder,
        .seed = job->options.world.seed,
        .zone = session->zone,
    };
    if (job->truth_path == NULL) {
        return cvm_session_usage(
            session,
            CVM_FAIL(err, CVM_E_INVALID, "'cvm generate --respond RUN' needs --truth FILE"));
    }
    enum cvm_status status = cvm_session_store(session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_run_get(store, session->arena, cvm_argument(job->arguments, "--respond"), &run,
                             err);
    }
    if (status == CVM_OK) {
        request.run_id = run.run_id;
        if (request.out_path == NULL) {
            status = default_out(job, run.run_id, &request.out_path, err);
        }
    }
    if (status == CVM_OK) {
        status = cvm_world_respond_run(store, &session->context, &run, &request, &result, err);
    }
    cvm_store_close(store);
    return status == CVM_OK ? report_respond(job, &request, &result, err) : status;
}

static enum cvm_status run_generate(struct cvm_session *session,
                                    const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct generate_job job = {.session = session, .arguments = arguments};
    enum cvm_status status = parse(&job, err);
    if (status != CVM_OK) {
        return status;
    }
    return cvm_argument_given(arguments, "--respond") ? respond(&job, err) : generate(&job, err);
}

static const struct cvm_option generate_options[] = {
    {"--customers", "N", "size of the base"},
    {"--events", "M", "dated events per customer, on average (default 25, at least 5)"},
    {"--seed", "S", "the same seed is the same base (default 1)"},
    {"--until", "D", "the last events fall on this day (default: today)"},
    {"--truth", "FILE", "write the true outcome probabilities of everybody and every treatment"},
    {"--out", "DIR", "write <source>.ndjson files there instead of storing"},
    {"--respond", "RUN", "play the outcomes of a run's decisions from --truth FILE to --out FILE"},
    {"--threads", "N", "threads (default: as configured; 0 = one per core)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_generate = {
    .name = "generate",
    .arguments = "",
    .summary = "Make an example base with a known truth",
    .details =
        "Customers with segments, seasons, bad network weeks, bill shocks, complaints before\n"
        "churn and permissions, in the input format of the telecom mapping, straight into\n"
        "the store. Customer i of a seed is the same whatever the size.\n\n"
        "  cvm generate --customers 10000 --truth truth.csv\n"
        "  cvm run\n"
        "  cvm generate --respond latest --truth truth.csv",
    .options = generate_options,
    .run = run_generate,
};
