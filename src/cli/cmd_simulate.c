#include <string.h>

#include "base/file.h"
#include "base/threads.h"
#include "cli/commands.h"
#include "cli/simulate_report.h"
#include "cli/work.h"

struct simulate_job {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    struct cvm_run_record run;
    struct cvm_simulate_input input;
    struct cvm_simulate_report report;
};

static enum cvm_status check_usage(const struct simulate_job *job, struct cvm_error *err)
{
    const struct cvm_arguments *arguments = job->arguments;
    const char *csv = cvm_argument(arguments, "--csv");
    const char *svg = cvm_argument(arguments, "--svg");
    bool has_sweep = cvm_argument_given(arguments, "--sweep");
    bool has_names =
        cvm_argument_given(arguments, "--scenario") || cvm_argument_given(arguments, "--scenarios");
    if (!has_sweep && (csv != NULL || svg != NULL)) {
        return CVM_FAIL(err, CVM_E_INVALID, "--csv and --svg go with --sweep NAME=FROM:TO:STEP");
    }
    if (has_sweep && has_names) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "a sweep has no named scenarios; what --set says holds at every point");
    }
    int to_output = (csv != NULL && strcmp(csv, "-") == 0) +
                    (svg != NULL && strcmp(svg, "-") == 0) + job->session->is_json;
    return to_output > 1 ? CVM_FAIL(err, CVM_E_INVALID, "only one format can go to standard output")
                         : CVM_OK;
}

static enum cvm_status find_run(struct simulate_job *job, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    bool is_named = job->arguments->positional_count > 0;
    enum cvm_status status = cvm_session_store(job->session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_run_get(store, job->session->arena,
                             is_named ? job->arguments->positional[0] : "latest", &job->run, err);
    }
    cvm_store_close(store);
    return status;
}

/* "-" is standard output. */
static enum cvm_status write_file(const struct simulate_job *job, const char *path,
                                  void (*write)(const struct cvm_simulate_report *,
                                                struct cvm_text *),
                                  struct cvm_error *err)
{
    struct cvm_text text;
    enum cvm_status status = CVM_OK;
    bool is_output = strcmp(path, "-") == 0;
    cvm_text_init(&text, 0);
    write(&job->report, &text);
    if (text.failed) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory to write '%s'", path);
    } else if (is_output) {
        status = fwrite(text.data, 1, text.length, job->session->out) == text.length
                     ? CVM_OK
                     : CVM_FAIL(err, CVM_E_UNAVAILABLE, "standard output can not be written");
    } else {
        status = cvm_file_write(path, text.data, text.length, err);
    }
    if (status == CVM_OK && !is_output && !job->session->is_json) {
        fprintf(job->session->out, "Wrote %s\n", path);
    }
    cvm_text_finish(&text);
    return status;
}

static enum cvm_status write_all(const struct simulate_job *job, struct cvm_error *err)
{
    const char *csv = cvm_argument(job->arguments, "--csv");
    const char *svg = cvm_argument(job->arguments, "--svg");
    enum cvm_status status = CVM_OK;
    if (csv != NULL) {
        status = write_file(job, csv, cvm_simulate_write_csv, err);
    }
    if (status == CVM_OK && svg != NULL) {
        status = write_file(job, svg, cvm_simulate_write_svg, err);
    }
    if (status == CVM_OK && job->session->is_json) {
        return cvm_simulate_print_json(&job->report, job->session, err);
    }
    if (status == CVM_OK && csv == NULL && svg == NULL) {
        cvm_simulate_print(&job->report, job->session);
    }
    return status;
}

static enum cvm_status simulate(struct simulate_job *job, const struct cvm_work *work,
                                int64_t threads, struct cvm_error *err)
{
    struct cvm_simulate_request request = {
        .run_id = job->run.run_id,
        .catalogue = work->catalogue,
        .context = &job->session->context,
    };
    enum cvm_status status = cvm_session_usage(
        job->session, cvm_simulate_input_read(job->arguments, work->catalogue, job->session->arena,
                                              &job->input, err));
    if (status == CVM_OK) {
        status = cvm_pool_create((size_t)threads, &request.pool, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    request.scenarios = job->input.scenarios;
    request.scenario_count = job->input.scenario_count;
    request.wants_conflicts = job->input.sweep == NULL;
    status = cvm_simulate(work->store, &request, job->session->arena, &job->report.simulation, err);
    cvm_pool_destroy(request.pool);
    return status;
}

static enum cvm_status run_simulate(struct cvm_session *session,
                                    const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct simulate_job job = {
        .session = session,
        .arguments = arguments,
        .report = {.currency = session->config.currency},
    };
    struct cvm_work_options options = {.access = CVM_DB_READ};
    struct cvm_work work;
    job.report.input = &job.input;
    enum cvm_status status = cvm_session_usage(session, check_usage(&job, err));
    if (status == CVM_OK) {
        status = cvm_session_usage(session,
                                   cvm_session_threads(session, arguments, &options.threads, err));
    }
    if (status == CVM_OK) {
        status = find_run(&job, err);
    }
    if (status == CVM_OK) {
        options.catalogue_version = job.run.catalogue_version;
        status = cvm_work_open(session, &options, &work, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = simulate(&job, &work, options.threads, err);
    if (status == CVM_OK) {
        status = write_all(&job, err);
    }
    cvm_work_close(&work);
    return status;
}

static const struct cvm_option options[] = {
    {"--set", "NAME=NUMBER", "another limit; may be given several times"},
    {"--scenario", "NAME", "the --set behind it are of this scenario; may be given several times"},
    {"--scenarios", "FILE", "scenarios as YAML or JSON: {name: {limit: number}}"},
    {"--sweep", "NAME=FROM:TO:STEP", "value, spend and price over this limit"},
    {"--csv", "FILE", "the points of the sweep (- = standard output)"},
    {"--svg", "FILE", "a picture of the sweep (- = standard output)"},
    {"--threads", "N", "threads to use (default: as configured)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_simulate = {
    .name = "simulate",
    .arguments = "[RUN|latest]",
    .summary = "What if: the plan of a run under other limits",
    .details =
        "Solves the run's stored values again: journeys are not read and nothing is stored. NAME\n"
        "is ID.max_per_day or ID.enabled (=false) of a treatment, or the id of a resource, budget\n"
        "or group of constraints.yaml; `budget` is the only budget. NUMBER counts as the\n"
        "catalogue does, or is `unlimited`. What others used of a limit stays used. What changes\n"
        "values (costs, responses, rules) needs `cvm run --dry-run`.\n\n"
        "Examples:\n"
        "  cvm simulate --set marketing_call_back.max_per_day=10 --set budget=5000\n"
        "  cvm simulate latest --scenario more --set budget=5000 --scenario less --set budget=500\n"
        "  cvm simulate --sweep budget=0:10000:500 --svg budget.svg --csv budget.csv\n",
    .positional_max = 1,
    .options = options,
    .run = run_simulate,
};
