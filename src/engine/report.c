#include "engine/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "base/json_reader.h"
#include "engine/report_internal.h"
#include "engine/run_kind.h"
#include "engine/usage.h"
#include "model/money.h"
#include "storage/catalogue_store.h"
#include "storage/report_store.h"

#define RUNS_LOOKED_AT 1000
#define RUN_LIST_BYTES ((size_t)256 << 20)
#define STEPS_MAX      64
#define REASONS_MAX    32
#define JSON_BYTES_MAX ((size_t)1 << 20)

static enum cvm_status fail_memory(struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a report");
}

static enum cvm_status read_json(struct cvm_arena *arena, const char *text,
                                 const struct cvm_json_value **out_root, struct cvm_error *err)
{
    struct cvm_json_reader *reader = cvm_json_reader_create(JSON_BYTES_MAX);
    if (reader == NULL) {
        return fail_memory(err);
    }
    enum cvm_status status = cvm_json_read(reader, arena, text, strlen(text), false, out_root, err);
    cvm_json_reader_destroy(reader);
    return status;
}

/* ---- which runs ---- */

static enum cvm_status get_run(const struct cvm_report_job *job, const char *run_id,
                               struct cvm_run_record *out_run, struct cvm_error *err)
{
    struct cvm_run_record run;
    enum cvm_status status = cvm_run_get(job->store, job->arena, run_id, &run, err);
    if (status != CVM_OK) {
        return status;
    }
    bool is_done = strcmp(run.state, "done") == 0;
    if (!is_done || run.summary == NULL) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' %s", run.run_id,
                        is_done ? "holds decisions of single customers, which have no report"
                                : "is not finished");
    }
    *out_run = run;
    return CVM_OK;
}

/* The last one of its kind as of an earlier date, or what stands for its day. */
struct predecessor {
    const struct cvm_run_record *of;
    struct cvm_json_reader *reader;
    struct cvm_arena *arena; /* of the runs that are looked at */
    struct cvm_run_record run;
    bool is_found;
};

static enum cvm_status look_at_run(void *state, const struct cvm_run_record *run,
                                   struct cvm_error *err)
{
    struct predecessor *found = state;
    bool is_same = false;
    if (strcmp(run->state, "done") != 0 || run->summary == NULL ||
        run->as_of_day >= found->of->as_of_day) {
        return CVM_OK;
    }
    if (found->is_found && run->as_of_day <= found->run.as_of_day &&
        !cvm_run_kind_stands_for(run, &found->run)) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_run_kind_same(found->reader, found->arena, run->options,
                                               found->of->options, &is_same, err);
    if (status == CVM_OK && is_same) {
        found->run = *run;
        found->is_found = true;
    }
    return status;
}

/* *out_run_id is empty when there is none. */
static enum cvm_status look_before(struct cvm_report_job *job, char out_run_id[CVM_RUN_ID_SIZE],
                                   struct cvm_error *err)
{
    struct predecessor found = {
        .of = &job->now->run,
        .reader = cvm_json_reader_create(JSON_BYTES_MAX),
        .arena = cvm_arena_create(RUN_LIST_BYTES),
    };
    out_run_id[0] = '\0';
    enum cvm_status status =
        found.reader == NULL || found.arena == NULL
            ? fail_memory(err)
            : cvm_run_list(job->store, found.arena, RUNS_LOOKED_AT, look_at_run, &found, err);
    if (status == CVM_OK && found.is_found) {
        (void)!snprintf(out_run_id, CVM_RUN_ID_SIZE, "%s", found.run.run_id);
    }
    cvm_json_reader_destroy(found.reader);
    cvm_arena_destroy(found.arena);
    return status;
}

static enum cvm_status find_before(struct cvm_report_job *job, const char *against,
                                   bool *out_is_there, struct cvm_run_record *out_run,
                                   struct cvm_error *err)
{
    char run_id[CVM_RUN_ID_SIZE];
    if (against == NULL) {
        enum cvm_status status = look_before(job, run_id, err);
        if (status != CVM_OK) {
            return status;
        }
        against = run_id;
    }
    *out_is_there = against[0] != '\0';
    return *out_is_there ? get_run(job, against, out_run, err) : CVM_OK;
}

static enum cvm_status load_before(struct cvm_report_job *job, const char *against,
                                   struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_report_base base = {0};
    struct cvm_run_record run;
    bool is_there = false;
    enum cvm_status status = find_before(job, against, &is_there, &run, err);
    if (status != CVM_OK || !is_there) {
        return status;
    }
    job->before = CVM_NEW(job->arena, struct cvm_report_side);
    if (job->before == NULL) {
        return fail_memory(err);
    }
    job->before->run = run;
    status =
        cvm_catalogue_store_load(job->store, job->arena, run.catalogue_version, &catalogue, err);
    if (status == CVM_OK) {
        status = cvm_report_side_load(job, catalogue, job->before, &base, err);
    }
    cvm_report_base_finish(&base);
    return cvm_error_context(err, status, "the run before, '%s'", run.run_id);
}

/* ---- run, plan, sources ---- */

static enum cvm_status take_step(void *state, const struct cvm_plan_step *step,
                                 struct cvm_error *err)
{
    struct cvm_report_job *job = state;
    struct cvm_report *report = job->report;
    if (report->step_count == STEPS_MAX) {
        return CVM_OK;
    }
    struct cvm_report_step kept = {
        .at_ms = step->at_ms,
        .who = cvm_arena_string(job->arena, step->who),
        .why = cvm_arena_string(job->arena, step->why),
        .state = step->state == NULL ? NULL : cvm_arena_string(job->arena, step->state),
    };
    if (kept.who == NULL || kept.why == NULL || (step->state != NULL && kept.state == NULL)) {
        return fail_memory(err);
    }
    report->steps[report->step_count++] = kept;
    return CVM_OK;
}

static enum cvm_status read_hold_reasons(struct cvm_report_job *job, struct cvm_error *err)
{
    struct cvm_report *report = job->report;
    const struct cvm_json_value *root = NULL;
    if (report->run.hold_reasons == NULL) {
        return CVM_OK;
    }
    enum cvm_status status = read_json(job->arena, report->run.hold_reasons, &root, err);
    for (const struct cvm_json_value *item = status == CVM_OK ? root->first_child : NULL;
         status == CVM_OK && item != NULL && report->hold_reason_count < REASONS_MAX;
         item = item->next) {
        const char *reason = cvm_arena_copy(job->arena, item->string.data, item->string.length);
        if (reason == NULL) {
            return fail_memory(err);
        }
        report->hold_reasons[report->hold_reason_count++] = reason;
    }
    return status;
}

static enum cvm_status make_head(struct cvm_report_job *job, struct cvm_error *err)
{
    struct cvm_report *report = job->report;
    const struct cvm_json_value *options = NULL;
    report->run = job->now->run;
    report->catalogue = job->now->catalogue;
    report->steps = CVM_NEW_ARRAY(job->arena, STEPS_MAX, struct cvm_report_step);
    report->hold_reasons = CVM_NEW_ARRAY(job->arena, REASONS_MAX, const char *);
    if (report->steps == NULL || report->hold_reasons == NULL) {
        return fail_memory(err);
    }
    enum cvm_status status = read_hold_reasons(job, err);
    if (status == CVM_OK) {
        status = cvm_plan_steps(job->store, report->run.run_id, take_step, job, err);
    }
    if (status == CVM_OK) {
        status = read_json(job->arena, report->run.options, &options, err);
    }
    report->is_forced = status == CVM_OK && cvm_json_member(options, "treatment") != NULL;
    return status;
}

static enum cvm_status take_delivery(void *state, const struct cvm_report_delivery *delivery,
                                     struct cvm_error *err)
{
    struct cvm_report *report = state;
    (void)err;
    for (size_t s = 0; s < report->source_count; s++) {
        struct cvm_report_source *source = &report->sources[s];
        if (strcmp(source->name, delivery->source) == 0) {
            source->newest_day = delivery->newest_day;
            source->imported_at_ms = delivery->imported_at_ms;
            source->records = delivery->records;
        }
    }
    return CVM_OK;
}

static enum cvm_status make_sources(struct cvm_report_job *job, struct cvm_error *err)
{
    struct cvm_report *report = job->report;
    const struct cvm_catalogue *catalogue = job->now->catalogue;
    for (size_t s = 0; s < catalogue->source_count; s++) {
        report->sources[report->source_count++] = (struct cvm_report_source){
            .name = catalogue->sources[s].name,
            .display_name = catalogue->sources[s].display_name,
            .newest_day = CVM_DAY_NONE,
            .age_days = -1,
            .freshness_days = catalogue->sources[s].freshness_days_max,
        };
    }
    enum cvm_status status =
        cvm_report_deliveries(job->store, job->now->run.last_batch, take_delivery, report, err);
    for (size_t s = 0; s < report->source_count; s++) {
        struct cvm_report_source *source = &report->sources[s];
        bool has_day = source->newest_day != CVM_DAY_NONE;
        if (has_day) { /* what lies after the run's date was not looked at */
            int32_t age = job->now->run.as_of_day - source->newest_day;
            source->age_days = age > 0 ? age : 0;
        }
        source->is_stale = source->freshness_days > 0 &&
                           (!has_day || (double)source->age_days > source->freshness_days);
    }
    return status;
}

/* ---- figures of the run ---- */

static double in_units(const struct cvm_constraint *constraint, double amount)
{
    return amount / (double)cvm_constraint_scale(constraint);
}

static void make_limits(struct cvm_report_job *job)
{
    struct cvm_report *report = job->report;
    const struct cvm_report_side *now = job->now;
    for (size_t c = 0; c < now->catalogue->constraint_count; c++) {
        const struct cvm_constraint *constraint = &now->catalogue->constraints[c];
        bool is_capacity =
            constraint->kind == CVM_CONSTRAINT_CAPACITY && constraint->treatments != 0;
        if (now->summary.limits[c] < 0) {
            continue;
        }
        double granted = (double)now->summary.limits[c];
        double left = (double)now->summary.remaining[c];
        bool was_gone = left <= 0 && now->used[c] <= 0;
        const struct cvm_run_limit *solved = &now->summary.solved[c];
        double scale = constraint->kind == CVM_CONSTRAINT_RESOURCE ? 1000 : 1;
        double price = now->summary.prices[c] > 0 ? now->summary.prices[c] : was_gone ? NAN : 0;
        report->limits[report->limit_count++] = (struct cvm_report_limit){
            .id = constraint->id,
            .display_name = constraint->display_name,
            .kind = constraint->kind,
            .period = constraint->period,
            .treatment = is_capacity ? __builtin_ctzll(constraint->treatments) : CVM_INDEX_NONE,
            .granted = in_units(constraint, granted),
            .elsewhere = in_units(constraint, granted - left - now->used[c]),
            .used = in_units(constraint, now->used[c]),
            .left = in_units(constraint, left),
            .was_gone = was_gone,
            .price = price * scale,
            .has_range = solved->is_solved,
            .price_low = solved->price_low * scale,
            .price_high = solved->price_high * scale,
            .is_binding = solved->is_binding,
        };
    }
}

static int compare_refusals(const void *a, const void *b)
{
    const struct cvm_report_refusal *left = a;
    const struct cvm_report_refusal *right = b;
    if (left->pairs != right->pairs) {
        return left->pairs > right->pairs ? -1 : 1;
    }
    return (int)left->reason - (int)right->reason;
}

static void make_refusals(struct cvm_report_job *job)
{
    struct cvm_report *report = job->report;
    const int64_t *pairs = job->now->has_values ? job->now->refusals : job->now->summary.refusals;
    for (int reason = CVM_REASON_PERMITTED + 1; reason < CVM_REASON_COUNT; reason++) {
        if (pairs[reason] > 0) {
            report->refusals[report->refusal_count++] =
                (struct cvm_report_refusal){(enum cvm_reason)reason, pairs[reason]};
        }
    }
    qsort(report->refusals, report->refusal_count, sizeof(report->refusals[0]), compare_refusals);
}

static int compare_treatments(const void *a, const void *b)
{
    const struct cvm_report_treatment *left = a;
    const struct cvm_report_treatment *right = b;
    if (left->sum.value != right->sum.value) {
        return left->sum.value > right->sum.value ? -1 : 1;
    }
    return left->index - right->index;
}

static void make_sums(struct cvm_report_job *job)
{
    struct cvm_report *report = job->report;
    const struct cvm_report_side *now = job->now;
    report->has_values = now->has_values;
    report->total = now->total;
    report->dual_bound = now->summary.dual_bound;
    report->regret = now->summary.regret;
    report->slack = now->summary.slack;
    report->gap = now->summary.gap;
    report->funnel = now->funnel;
    for (size_t t = 0; t < now->catalogue->treatment_count; t++) {
        const struct cvm_report_treatment *treatment = &now->treatments[t];
        bool is_of_interest = now->catalogue->treatments[t].enabled || treatment->permitted > 0 ||
                              treatment->sum.treated + treatment->sum.ghosts > 0;
        if (is_of_interest) {
            report->treatments[report->treatment_count++] = *treatment;
        }
    }
    qsort(report->treatments, report->treatment_count, sizeof(report->treatments[0]),
          compare_treatments);
    for (size_t s = 0; now->has_values && s < now->catalogue->segment_count; s++) {
        report->segments[report->segment_count++] = now->segments[s];
    }
    for (size_t k = 0; k < CVM_REPORT_SOURCE_KINDS; k++) {
        report->by_source[k] = now->value_by_source[k] / now->total.value;
    }
    if (job->before != NULL) {
        report->before = job->before->run;
        report->before_total = job->before->total;
    }
}

static enum cvm_status make(struct cvm_report_job *job, const struct cvm_report_request *request,
                            struct cvm_error *err)
{
    static enum cvm_status (*const parts[])(struct cvm_report_job *, struct cvm_error *) = {
        make_head,
        make_sources,
        cvm_report_changes_make,
        cvm_report_groups_make,
        cvm_report_outcomes_make,
        cvm_report_baselines_make, /* the last: it changes the columns */
    };
    enum cvm_status status = get_run(job, request->run_id, &job->now->run, err);
    if (status == CVM_OK) {
        status = cvm_report_side_load(job, job->engine->catalogue, job->now, &job->base, err);
    }
    if (status == CVM_OK) {
        status = load_before(job, request->against, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    make_sums(job);
    make_limits(job);
    make_refusals(job);
    for (size_t i = 0; status == CVM_OK && i < sizeof(parts) / sizeof(parts[0]); i++) {
        status = parts[i](job, err);
    }
    return status;
}

enum cvm_status cvm_report_make(struct cvm_engine *engine, struct cvm_store *store,
                                const struct cvm_report_request *request, struct cvm_arena *arena,
                                const struct cvm_report **out_report, struct cvm_error *err)
{
    struct cvm_report_job job = {
        .engine = engine, .store = store, .arena = arena, .base.has_matrix = true};
    job.report = CVM_NEW(arena, struct cvm_report);
    job.now = CVM_NEW(arena, struct cvm_report_side);
    if (job.report == NULL || job.now == NULL) {
        return fail_memory(err);
    }
    enum cvm_status status = make(&job, request, err);
    cvm_report_base_finish(&job.base);
    if (status == CVM_OK) {
        *out_report = job.report;
    }
    return status;
}
