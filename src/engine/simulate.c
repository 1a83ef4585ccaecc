#include "engine/simulate.h"

#include <math.h>
#include <string.h>

#include "allocation/solver.h"
#include "base/json_reader.h"
#include "engine/report_internal.h"
#include "model/money.h"
#include "recommend/action_value.h"

#define OPTIONS_BYTES_MAX ((size_t)16 << 20)

struct simulate_job {
    const struct cvm_simulate_request *request;
    struct cvm_arena *arena;
    struct cvm_report_job report; /* the run's columns */
    struct cvm_report_problem problem;
    struct cvm_simulation *simulation;
    int64_t available[CVM_CONSTRAINTS_MAX]; /* to the run */
    struct cvm_plan *plan;                  /* of the scenario at hand */
    const unsigned char *base_plan;
};

static enum cvm_status fail_memory(struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a simulation");
}

/* ---- the run ---- */

static enum cvm_status check_options(const struct simulate_job *job, struct cvm_error *err)
{
    const struct cvm_run_record *run = &job->simulation->run;
    const struct cvm_json_value *root = NULL;
    struct cvm_json_reader *reader = cvm_json_reader_create(OPTIONS_BYTES_MAX);
    enum cvm_status status = reader == NULL
                                 ? fail_memory(err)
                                 : cvm_json_read(reader, job->arena, run->options,
                                                 strlen(run->options), false, &root, err);
    if (status == CVM_OK && cvm_json_member(root, "treatment") != NULL) {
        status = CVM_FAIL(err, CVM_E_CONFLICT,
                          "run '%s' was asked for one treatment: nothing was weighed in it",
                          run->run_id);
    }
    cvm_json_reader_destroy(reader);
    return status;
}

static enum cvm_status load_run(struct simulate_job *job, struct cvm_error *err)
{
    struct cvm_run_record *run = &job->simulation->run;
    enum cvm_status status =
        cvm_run_get(job->report.store, job->arena, job->request->run_id, run, err);
    if (status != CVM_OK) {
        return status;
    }
    if (strcmp(run->state, "done") != 0) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' is not finished", run->run_id);
    }
    if (run->summary == NULL) {
        return CVM_FAIL(err, CVM_E_CONFLICT,
                        "run '%s' holds decisions of single customers, which keep no values",
                        run->run_id);
    }
    return check_options(job, err);
}

static enum cvm_status load_columns(struct simulate_job *job, struct cvm_error *err)
{
    struct cvm_report_side *side = CVM_NEW(job->arena, struct cvm_report_side);
    if (side == NULL) {
        return fail_memory(err);
    }
    job->report.now = side;
    side->run = job->simulation->run;
    enum cvm_status status =
        cvm_report_side_load(&job->report, job->request->catalogue, side, &job->report.base, err);
    if (status == CVM_OK && !side->has_values) {
        status =
            CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' keeps no values (any more)", side->run.run_id);
        status = cvm_error_hint(err, status,
                                "The values of the last keep_runs runs are kept (cvm.yaml).");
    }
    if (status == CVM_OK) {
        status =
            cvm_report_problem_make(&job->report, CVM_REPORT_GHOSTS_AS_IN_RUN, &job->problem, err);
    }
    if (status == CVM_OK) {
        job->simulation->catalogue = side->catalogue;
        job->simulation->customers = (int64_t)job->report.base.count;
        job->simulation->run_value = side->summary.value;
        job->base_plan = job->report.base.given.data;
    }
    return status;
}

/* ---- what a plan comes to ---- */

static void count_customer(const struct simulate_job *job, size_t customer, size_t treatment,
                           struct cvm_simulated *result)
{
    const struct cvm_treatment *given = &job->simulation->catalogue->treatments[treatment];
    double margin = cvm_problem_amount(&job->problem.of, customer);
    double value = cvm_problem_exact(&job->problem.of, customer, treatment);
    size_t segment = ((const unsigned char *)job->report.base.segments.data)[customer];
    result->treatments[treatment].treated++;
    result->treatments[treatment].value += value;
    result->segments[segment].treated++;
    result->segments[segment].value += value;
    for (int measure = CVM_MEASURE_MARGINAL; measure <= CVM_MEASURE_INCENTIVE; measure++) {
        result->spend_micro =
            cvm_micro_add(result->spend_micro,
                          cvm_recommend_cost_micro(given, (enum cvm_measure)measure, margin));
    }
}

static void measure(const struct simulate_job *job, const int64_t *granted,
                    const int64_t *available, struct cvm_simulated *result)
{
    const struct cvm_plan *plan = job->plan;
    result->value = plan->value;
    result->dual_bound = plan->dual_bound;
    result->gap = plan->gap;
    result->is_feasible = plan->is_feasible;
    result->treated = plan->treated;
    for (size_t i = 0; i < job->problem.of.customer_count; i++) {
        size_t treatment = plan->treatments[i];
        result->changed += treatment != job->base_plan[i] ? 1 : 0;
        if (treatment != CVM_NOTHING) {
            count_customer(job, i, treatment, result);
        }
    }
    for (size_t r = 0; r < job->problem.of.row_count; r++) {
        int c = job->problem.constraint[r];
        result->limits[c] = (struct cvm_simulated_limit){
            .is_limited = true,
            .granted = granted[c],
            .available = available[c],
            .used = plan->used[r],
            .covered = plan->covered[r],
            .inside = plan->inside[r],
            .shortfall = plan->shortfall[r],
            .price = plan->prices[r],
            .price_low = plan->price_low[r],
            .price_high = plan->price_high[r],
            .is_binding = plan->is_binding[r],
        };
    }
}

/* ---- the base ---- */

static enum cvm_status make_base(struct simulate_job *job, struct cvm_error *err)
{
    struct cvm_simulation *simulation = job->simulation;
    const struct cvm_run_result *summary = &job->report.now->summary;
    double start = cvm_context_seconds(job->request->context);
    cvm_report_available(job->report.now, job->available);
    cvm_report_problem_limit(&job->problem, simulation->catalogue, job->available);
    job->plan->treatments = job->report.base.given.data;
    for (size_t r = 0; r < job->problem.of.row_count; r++) {
        int c = job->problem.constraint[r];
        const struct cvm_run_limit *solved = &summary->solved[c];
        job->plan->prices[r] = summary->prices[c] > 0 ? summary->prices[c] : 0;
        job->plan->price_low[r] = solved->is_solved ? solved->price_low : NAN;
        job->plan->price_high[r] = solved->is_solved ? solved->price_high : NAN;
        job->plan->is_binding[r] = summary->prices[c] > 0;
    }
    enum cvm_status status = cvm_plan_verify(&job->problem.of, job->request->pool, job->plan, err);
    if (status != CVM_OK) {
        return cvm_error_context(err, status, "the plan of run '%s'", simulation->run.run_id);
    }
    measure(job, summary->limits, job->available, &simulation->base);
    simulation->is_reproduced = simulation->base.value == simulation->run_value;
    simulation->base.seconds = cvm_context_seconds(job->request->context) - start;
    return CVM_OK;
}

/* ---- a scenario ---- */

/* Limits of a scenario: the run's, and the settings on top. */
struct limits {
    struct cvm_catalogue catalogue; /* which says what is limited */
    int64_t granted[CVM_CONSTRAINTS_MAX];
    int64_t available[CVM_CONSTRAINTS_MAX];
};

/* Others keep what they have of a limit in the ledger; groups are of the run alone. */
static int64_t left_of(const struct simulate_job *job, int constraint, int64_t limit)
{
    const struct cvm_run_result *summary = &job->report.now->summary;
    bool is_shared = (size_t)constraint < job->simulation->catalogue->constraint_count &&
                     job->available[constraint] != CVM_REPORT_NO_ROW;
    int64_t elsewhere = is_shared ? summary->limits[constraint] - job->available[constraint] : 0;
    return limit > elsewhere ? limit - elsewhere : 0;
}

static void set_limit(const struct simulate_job *job, const struct cvm_setting *setting,
                      struct limits *limits)
{
    int c = setting->constraint;
    if (setting->is_kept) {
        return;
    }
    limits->catalogue.constraints[c].limit = setting->limit;
    limits->granted[c] = setting->limit;
    limits->available[c] = setting->limit < 0 ? CVM_REPORT_NO_ROW : left_of(job, c, setting->limit);
}

/* A reserve leaves the others what its capacity has beyond it. */
static void set_reserves(const struct cvm_catalogue *catalogue, struct limits *limits)
{
    for (size_t g = 0; g < catalogue->group_count; g++) {
        size_t c = catalogue->constraint_count + g;
        const struct cvm_constraint *group = &limits->catalogue.constraints[c];
        if (group->kind != CVM_CONSTRAINT_RESERVE || limits->available[c] == CVM_REPORT_NO_ROW) {
            continue;
        }
        int capacity =
            cvm_catalogue_capacity(catalogue, (size_t)__builtin_ctzll(group->treatments));
        int64_t of_capacity = limits->available[capacity];
        limits->available[c] = of_capacity == CVM_REPORT_NO_ROW ? CVM_REPORT_NO_ROW
                               : of_capacity > group->limit     ? of_capacity - group->limit
                                                                : 0;
    }
}

static size_t constraint_count(const struct cvm_catalogue *catalogue)
{
    return catalogue->constraint_count + catalogue->group_count;
}

static enum cvm_status make_limits(const struct simulate_job *job,
                                   const struct cvm_scenario *scenario, struct limits **out_limits,
                                   struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->simulation->catalogue;
    size_t count = constraint_count(catalogue);
    struct limits *limits = CVM_NEW(job->arena, struct limits);
    struct cvm_constraint *constraints =
        CVM_NEW_ARRAY(job->arena, count + 1, struct cvm_constraint);
    if (limits == NULL || constraints == NULL) {
        return fail_memory(err);
    }
    limits->catalogue = *catalogue;
    limits->catalogue.constraints = constraints;
    memcpy(constraints, catalogue->constraints, count * sizeof(*constraints));
    memcpy(limits->granted, job->report.now->summary.limits, sizeof(limits->granted));
    memcpy(limits->available, job->available, sizeof(limits->available));
    for (size_t s = 0; s < scenario->setting_count; s++) {
        set_limit(job, &scenario->settings[s], limits);
    }
    set_reserves(catalogue, limits);
    *out_limits = limits;
    return CVM_OK;
}

/* A share has no other limit than the catalogue's. */
static bool is_base(const struct simulate_job *job, const struct limits *limits)
{
    const struct cvm_catalogue *catalogue = job->simulation->catalogue;
    bool is_same = true;
    for (size_t c = 0; c < constraint_count(catalogue); c++) {
        bool is_share = cvm_constraint_is_share(&catalogue->constraints[c]);
        is_same &= limits->available[c] == job->available[c];
        is_same &=
            !is_share || limits->catalogue.constraints[c].limit == catalogue->constraints[c].limit;
    }
    return is_same;
}

static enum cvm_status solve(struct simulate_job *job, const struct limits *limits,
                             struct cvm_error *err)
{
    const double *prices = job->report.now->summary.prices;
    double warm[CVM_PROBLEM_ROWS_MAX];
    cvm_report_problem_limit(&job->problem, &limits->catalogue, limits->available);
    for (size_t r = 0; r < job->problem.of.row_count; r++) {
        double price = prices[job->problem.constraint[r]];
        warm[r] = price > 0 ? price : 0;
    }
    return cvm_solve(&job->problem.of, &(struct cvm_solver_options){.warm_prices = warm},
                     job->request->pool, job->request->context, job->plan, err);
}

/* Why a minimum is not reached. */
static enum cvm_status find_conflicts(const struct simulate_job *job, struct cvm_simulated *result,
                                      struct cvm_error *err)
{
    if (result->is_feasible || !job->request->wants_conflicts) {
        return CVM_OK;
    }
    struct cvm_conflict *found = CVM_NEW_ARRAY(job->arena, CVM_CONFLICTS_MAX, struct cvm_conflict);
    if (found == NULL) {
        return fail_memory(err);
    }
    result->conflicts = found;
    return cvm_conflicts_after(&job->problem.of, job->plan, job->request->pool,
                               job->request->context, job->arena, found, &result->conflict_count,
                               err);
}

static enum cvm_status make_scenario(struct simulate_job *job, const struct cvm_scenario *scenario,
                                     struct cvm_simulated *result, struct cvm_error *err)
{
    struct limits *limits = NULL;
    double start = cvm_context_seconds(job->request->context);
    enum cvm_status status = make_limits(job, scenario, &limits, err);
    if (status != CVM_OK) {
        return status;
    }
    if (is_base(job, limits)) {
        /* The plan stays, whatever is granted. */
        *result = job->simulation->base;
        for (size_t c = 0; c < constraint_count(job->simulation->catalogue); c++) {
            result->limits[c].granted = limits->granted[c];
        }
    } else {
        status = solve(job, limits, err);
        if (status == CVM_OK) {
            measure(job, limits->granted, limits->available, result);
            status = find_conflicts(job, result, err);
        }
    }
    result->scenario = scenario;
    result->seconds = cvm_context_seconds(job->request->context) - start;
    return cvm_error_context(err, status, "scenario '%s'", scenario->name);
}

static enum cvm_status simulate(struct simulate_job *job, struct cvm_error *err)
{
    struct cvm_simulation *simulation = job->simulation;
    const struct cvm_simulate_request *request = job->request;
    double start = cvm_context_seconds(request->context);
    enum cvm_status status = load_run(job, err);
    if (status == CVM_OK) {
        status = load_columns(job, err);
    }
    simulation->read_seconds = cvm_context_seconds(request->context) - start;
    if (status == CVM_OK) {
        status = make_base(job, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    simulation->results =
        CVM_NEW_ARRAY(job->arena, request->scenario_count + 1, struct cvm_simulated);
    job->plan->treatments = cvm_arena_alloc_raw(job->arena, job->problem.of.customer_count + 1, 1);
    if (simulation->results == NULL || job->plan->treatments == NULL) {
        return fail_memory(err);
    }
    simulation->result_count = request->scenario_count;
    for (size_t s = 0; status == CVM_OK && s < request->scenario_count; s++) {
        status = make_scenario(job, &request->scenarios[s], &simulation->results[s], err);
    }
    return status;
}

enum cvm_status cvm_simulate(struct cvm_store *store, const struct cvm_simulate_request *request,
                             struct cvm_arena *arena, const struct cvm_simulation **out_simulation,
                             struct cvm_error *err)
{
    struct simulate_job job = {
        .request = request,
        .arena = arena,
        .report = {.store = store,
                   .arena = arena,
                   .base = {.has_matrix = true, .keeps_households = true}},
        .simulation = CVM_NEW(arena, struct cvm_simulation),
        .plan = CVM_NEW(arena, struct cvm_plan),
    };
    if (job.simulation == NULL || job.plan == NULL) {
        return fail_memory(err);
    }
    enum cvm_status status = simulate(&job, err);
    cvm_report_problem_finish(&job.problem);
    cvm_report_base_finish(&job.report.base);
    if (status == CVM_OK) {
        *out_simulation = job.simulation;
    }
    return status;
}
