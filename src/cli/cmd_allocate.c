/* allocate */
#include <string.h>
#include <sys/stat.h>

#include "base/threads.h"
#include "cli/allocation.h"
#include "cli/commands.h"
#include "cli/work.h"

struct allocate_job {
    struct cvm_session *session;
    const char *problem_path;
    const char *scenarios_path;
    const char *plan_path;
    int64_t threads;
    struct cvm_problem_file file;
    struct cvm_problem_values *values;
    struct cvm_allocations all;
};

static bool is_output(const char *path)
{
    return strcmp(path, "-") == 0;
}

static enum cvm_status parse(struct allocate_job *job, const struct cvm_arguments *arguments,
                             struct cvm_error *err)
{
    job->problem_path = arguments->positional[0];
    job->plan_path = cvm_argument(arguments, "--plan");
    job->scenarios_path = cvm_argument(arguments, "--scenarios");
    if (job->plan_path != NULL && job->plan_path[0] == '\0') {
        return CVM_FAIL(err, CVM_E_INVALID, "option '--plan' names no file");
    }
    if (job->plan_path != NULL && is_output(job->plan_path) && job->session->is_json) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "'--plan -' and '--json' both want standard output: name a file");
    }
    return cvm_session_threads(job->session, arguments, &job->threads, err);
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat left;
    struct stat right;
    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev &&
           left.st_ino == right.st_ino && S_ISREG(left.st_mode);
}

/* A plan over its own input would be found out too late. */
static enum cvm_status check_plan_path(const struct allocate_job *job, struct cvm_error *err)
{
    const char *const inputs[] = {job->problem_path, job->file.values_path, job->scenarios_path};
    for (size_t i = 0; job->plan_path != NULL && i < sizeof(inputs) / sizeof(inputs[0]); i++) {
        if (inputs[i] != NULL && is_same_file(job->plan_path, inputs[i])) {
            return CVM_FAIL(err, CVM_E_INVALID,
                            "option '--plan': '%s' is one of the files that are read",
                            job->plan_path);
        }
    }
    return CVM_OK;
}

static void warn(const struct allocate_job *job)
{
    if (job->file.has_group_max && job->values->group_count == 0) {
        cvm_session_warn(job->session,
                         "'max_per_group' of '%s' changes nothing: nobody in '%s' is in a group",
                         job->file.name, job->file.values_path);
    }
    if (job->values->customer_count == 0) {
        cvm_session_warn(job->session, "'%s' has no customers", job->file.values_path);
        return;
    }
    for (size_t r = cvm_problem_empty_segment(&job->file, job->values, 0); r < job->file.row_count;
         r = cvm_problem_empty_segment(&job->file, job->values, r + 1)) {
        cvm_session_warn(job->session, "row '%s': no customer is in segment '%s'",
                         job->file.rows[r].name, job->file.rows[r].segment);
    }
}

static enum cvm_status read_input(struct allocate_job *job, struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    double start = cvm_context_seconds(&session->context);
    enum cvm_status status =
        cvm_problem_file_read(session->arena, job->problem_path, &job->file, err);
    if (status == CVM_OK && job->scenarios_path != NULL) {
        status = cvm_problem_scenarios_read(session->arena, job->scenarios_path, &job->file,
                                            &job->all.scenarios, &job->all.scenario_count, err);
    }
    if (status == CVM_OK) {
        status = cvm_session_usage(session, check_plan_path(job, err));
    }
    if (status == CVM_OK) {
        status = cvm_problem_values_read(session, &job->file, job->values, err);
    }
    job->all.read_s = cvm_context_seconds(&session->context) - start;
    return status;
}

static enum cvm_status allocate(struct allocate_job *job, struct cvm_error *err)
{
    job->all.session = job->session;
    job->all.file = &job->file;
    job->all.values = job->values;
    job->all.problem_path = job->problem_path;
    job->all.plan_path = job->plan_path;
    enum cvm_status status = read_input(job, err);
    if (status != CVM_OK) {
        return status;
    }
    warn(job);
    status = cvm_pool_create((size_t)job->threads, &job->all.pool, err);
    if (status == CVM_OK) {
        status = cvm_allocations_solve(&job->all, err);
    }
    cvm_pool_destroy(job->all.pool);
    if (status == CVM_OK && job->plan_path != NULL) {
        status = cvm_allocation_write_plan(&job->all, job->all.base, job->plan_path, err);
    }
    bool is_told = job->plan_path == NULL || !is_output(job->plan_path);
    return status == CVM_OK && is_told ? cvm_allocations_print(&job->all, err) : status;
}

static enum cvm_status run_allocate(struct cvm_session *session,
                                    const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct allocate_job job = {.session = session};
    enum cvm_status status = cvm_session_usage(session, parse(&job, arguments, err));
    if (status != CVM_OK) {
        return status;
    }
    job.values = CVM_NEW(session->arena, struct cvm_problem_values);
    if (job.values == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the problem");
    }
    status = allocate(&job, err);
    cvm_problem_values_finish(job.values);
    return status;
}

static const struct cvm_option allocate_options[] = {
    {"--plan", "FILE", "write who gets what: customer_id,treatment; - is standard output"},
    {"--scenarios", "FILE",
     "also solve under other limits: [{\"name\", \"set\": {\"ROW.limit\": N}}]"},
    {"--threads", "N", "threads (default: as configured; 0 = one per core)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_allocate = {
    .name = "allocate",
    .arguments = "PROBLEM.json",
    .summary = "Solve an allocation from files, without a store",
    .details =
        "PROBLEM.json names the treatments, a CSV file of values per customer, and the rows that\n"
        "limit the plan: capacities, shared capacity, budgets, minimums, maximums and shares of\n"
        "segments, reserves. The answer is the plan of the greatest value with a bound that\n"
        "proves how good it is, the price of every row, and, where minimums are out of reach,\n"
        "which rows contradict each other. docs/concepts/problem.md has the format.\n\n"
        "  cvm allocate problem.json\n"
        "  cvm allocate problem.json --plan plan.csv --json\n"
        "  cvm allocate problem.json --scenarios what_if.json",
    .positional_min = 1,
    .positional_max = 1,
    .options = allocate_options,
    .run = run_allocate,
};
