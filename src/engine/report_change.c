/* What is different from the run before, and why: the catalogue, learned responses, capacity, data,
 * and prices of what treatments share. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "base/text.h"
#include "engine/report_internal.h"
#include "model/money.h"
#include "storage/catalogue_store.h"

#define SENTENCE_MAX     400
#define RUN_CAUSES_MAX   24
#define CHANGE_LEAST     0.01 /* of the value: less has no cause of its own */
#define CATALOGUE_CAUSES 8    /* of the whole; more are counted */

struct comparing {
    struct cvm_report_job *job;
    const struct cvm_catalogue_change *changes; /* of the catalogue */
    size_t change_count;
    bool has_failed; /* no memory */
};

const char *cvm_report_sentence(struct cvm_arena *arena, const char *format, ...)
{
    char sentence[SENTENCE_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)!vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    size_t length = strlen(sentence);
    while (length > 0 && !cvm_utf8_is_valid(sentence, length)) { /* cut inside a character */
        length--;
    }
    return cvm_arena_copy(arena, sentence, length);
}

static void add_cause(struct comparing *comparing, struct cvm_report_change *change,
                      const char *sentence)
{
    comparing->has_failed |= sentence == NULL;
    if (sentence != NULL && change->cause_count < CVM_REPORT_CAUSES_MAX) {
        change->causes[change->cause_count++] = sentence;
    }
}

/* ---- the catalogue ---- */

static const char *change_sentence(struct cvm_arena *arena, const char *what,
                                   const struct cvm_catalogue_change *change)
{
    if (change->before == NULL) {
        return cvm_report_sentence(arena, "catalogue: %s is new: %s", what, change->after);
    }
    if (change->after == NULL) {
        return cvm_report_sentence(arena, "catalogue: %s is gone", what);
    }
    return cvm_report_sentence(arena, "catalogue: %s from %s to %s", what, change->before,
                               change->after);
}

/* Of one file: the path of a change is "FILE: key". */
static void add_catalogue_causes(struct comparing *comparing, const char *file,
                                 struct cvm_report_change *change)
{
    size_t length = strlen(file);
    for (size_t i = 0; i < comparing->change_count; i++) {
        const struct cvm_catalogue_change *found = &comparing->changes[i];
        if (strncmp(found->path, file, length) == 0 &&
            (found->path[length] == ':' || found->path[length] == '\0')) {
            const char *key = found->path[length] == ':' ? found->path + length + 1 : "the file";
            add_cause(comparing, change,
                      change_sentence(comparing->job->arena, key + strspn(key, " "), found));
        }
    }
}

/* ---- one treatment ---- */

static void add_learned(struct comparing *comparing, const struct cvm_treatment *now,
                        const struct cvm_treatment *before, struct cvm_report_change *change)
{
    const struct {
        const char *name;
        double now, before;
    } parts[] = {
        {"reach", now->response.reach, before->response.reach},
        {"acceptance", now->response.accept, before->response.accept},
        {"cut of churn", now->response.churn_cut, before->response.churn_cut},
    };
    if (now->response.outcomes == before->response.outcomes) {
        return;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (fabs(parts[i].now - parts[i].before) >= 0.0005) { /* shows in the sentence */
            add_cause(comparing, change,
                      cvm_report_sentence(comparing->job->arena,
                                          "learned: %s from %.1f %% to %.1f %%", parts[i].name,
                                          100 * parts[i].before, 100 * parts[i].now));
        }
    }
}

/* What the run could give, in units of the ledger; -1 = unlimited. */
static double available(const struct cvm_report_side *side, size_t constraint)
{
    return side->summary.limits[constraint] < 0
               ? -1
               : (double)side->summary.remaining[constraint] + side->used[constraint];
}

static double in_units(const struct cvm_constraint *constraint, double amount)
{
    return amount / (double)cvm_constraint_scale(constraint);
}

static void add_capacity(struct comparing *comparing, size_t now, size_t before,
                         struct cvm_report_change *change)
{
    struct cvm_arena *arena = comparing->job->arena;
    const struct cvm_constraint *constraint = &comparing->job->now->catalogue->constraints[now];
    double has = available(comparing->job->now, now);
    double had = available(comparing->job->before, before);
    if (has == had) {
        return;
    }
    has = in_units(constraint, has);
    had = in_units(constraint, had);
    const char *name = constraint->kind == CVM_CONSTRAINT_CAPACITY ? "" : constraint->display_name;
    const char *space = name[0] == '\0' ? "" : " ";
    const char *sentence =
        has < 0   ? cvm_report_sentence(arena, "capacity:%s%s from %.10g to any", space, name, had)
        : had < 0 ? cvm_report_sentence(arena, "capacity:%s%s from any to %.10g", space, name, has)
                  : cvm_report_sentence(arena, "capacity:%s%s from %.10g to %.10g", space, name,
                                        had, has);
    add_cause(comparing, change, sentence);
}

static void add_price(struct comparing *comparing, size_t now, size_t before,
                      struct cvm_report_change *change)
{
    const struct cvm_constraint *constraint = &comparing->job->now->catalogue->constraints[now];
    double scale = constraint->kind == CVM_CONSTRAINT_RESOURCE ? 1000 : 1;
    double price = comparing->job->now->summary.prices[now] * scale;
    double was = comparing->job->before->summary.prices[before] * scale;
    price = price > 0 ? price : 0;
    was = was > 0 ? was : 0;
    if (fabs(price - was) > 0.01 * fmax(price, was)) {
        add_cause(comparing, change,
                  cvm_report_sentence(comparing->job->arena,
                                      "price of one more unit of %s from %.3g to %.3g",
                                      constraint->display_name, was, price));
    }
}

/* Capacities and shared means that the treatment counts in. */
static void add_limits(struct comparing *comparing, size_t treatment,
                       struct cvm_report_change *change)
{
    const struct cvm_catalogue *now = comparing->job->now->catalogue;
    const struct cvm_catalogue *before = comparing->job->before->catalogue;
    for (int pass = 0; pass < 2; pass++) { /* amounts first: prices follow from them */
        for (size_t c = 0; c < now->constraint_count; c++) {
            int was = cvm_catalogue_constraint(before, now->constraints[c].id);
            if ((now->constraints[c].treatments >> treatment & 1) == 0 || was == CVM_INDEX_NONE) {
                continue;
            }
            if (pass == 0) {
                add_capacity(comparing, c, (size_t)was, change);
            } else if (now->constraints[c].kind != CVM_CONSTRAINT_CAPACITY) {
                add_price(comparing, c, (size_t)was, change);
            }
        }
    }
}

static void add_data(struct comparing *comparing, const char *what, int64_t now, int64_t before,
                     struct cvm_report_change *change)
{
    bool is_data = comparing->job->now->run.last_batch != comparing->job->before->run.last_batch;
    if (now != before) { /* without new data it is time that passed, and contacts made meanwhile */
        add_cause(comparing, change,
                  cvm_report_sentence(comparing->job->arena, "%s: %s from %lld to %lld",
                                      is_data ? "data" : "time and contacts", what,
                                      (long long)before, (long long)now));
    }
}

static void explain_treatment(struct comparing *comparing, int now, int before,
                              struct cvm_report_change *change)
{
    const struct cvm_report_job *job = comparing->job;
    const struct cvm_catalogue *catalogue = job->now->catalogue;
    if (now == CVM_INDEX_NONE || before == CVM_INDEX_NONE) {
        add_cause(comparing, change,
                  now == CVM_INDEX_NONE ? "catalogue: the treatment is gone"
                                        : "catalogue: the treatment is new");
        return;
    }
    add_catalogue_causes(comparing, catalogue->treatments[now].file, change);
    add_learned(comparing, &catalogue->treatments[now], &job->before->catalogue->treatments[before],
                change);
    add_limits(comparing, (size_t)now, change);
    if (job->now->has_values && job->before->has_values) {
        add_data(comparing, "customers who may have it", job->now->treatments[now].permitted,
                 job->before->treatments[before].permitted, change);
    }
    bool has_changed =
        change->treated != change->treated_before ||
        fabs(change->value - change->value_before) > CHANGE_LEAST * fabs(change->value_before);
    if (change->cause_count == 0 && has_changed) {
        add_cause(comparing, change, "what other treatments took or left");
    }
}

static void add_treatment(struct comparing *comparing, int now, int before)
{
    struct cvm_report_job *job = comparing->job;
    struct cvm_report *report = job->report;
    struct cvm_report_change change = {0};
    if (now != CVM_INDEX_NONE) {
        change.name = job->now->treatments[now].display_name;
        change.treated = job->now->treatments[now].sum.treated;
        change.value = job->now->treatments[now].sum.value;
    }
    if (before != CVM_INDEX_NONE) {
        change.name =
            change.name == NULL ? job->before->treatments[before].display_name : change.name;
        change.treated_before = job->before->treatments[before].sum.treated;
        change.value_before = job->before->treatments[before].sum.value;
    }
    if (change.treated > 0 || change.treated_before > 0) {
        explain_treatment(comparing, now, before, &change);
        report->treatment_changes[report->treatment_change_count++] = change;
    }
}

/* ---- segments ---- */

static void add_segments(struct comparing *comparing)
{
    struct cvm_report_job *job = comparing->job;
    struct cvm_report *report = job->report;
    for (size_t s = 0; s < job->now->catalogue->segment_count; s++) {
        const struct cvm_report_segment *now = &job->now->segments[s];
        for (size_t b = 0; b < job->before->catalogue->segment_count; b++) {
            const struct cvm_report_segment *before = &job->before->segments[b];
            if (strcmp(now->name, before->name) != 0) {
                continue;
            }
            struct cvm_report_change change = {
                .name = now->name,
                .treated = now->sum.treated,
                .treated_before = before->sum.treated,
                .value = now->sum.value,
                .value_before = before->sum.value,
            };
            add_catalogue_causes(comparing, "values.yaml", &change);
            add_data(comparing, "customers", now->customers, before->customers, &change);
            add_data(comparing, "customers who may have something", now->permitted,
                     before->permitted, &change);
            report->segment_changes[report->segment_change_count++] = change;
        }
    }
}

/* ---- the whole run ---- */

static void add_run_cause(struct comparing *comparing, const char *sentence)
{
    struct cvm_report *report = comparing->job->report;
    comparing->has_failed |= sentence == NULL;
    if (sentence != NULL && report->cause_count < RUN_CAUSES_MAX) {
        report->causes[report->cause_count++] = sentence;
    }
}

static void explain_run(struct comparing *comparing)
{
    const struct cvm_report_job *job = comparing->job;
    const struct cvm_run_record *now = &job->now->run;
    const struct cvm_run_record *before = &job->before->run;
    char days[2][CVM_DAY_TEXT_SIZE];
    if (now->as_of_day != before->as_of_day) {
        add_run_cause(comparing, cvm_report_sentence(job->arena, "date: from %s to %s",
                                                     cvm_day_format(before->as_of_day, days[0]),
                                                     cvm_day_format(now->as_of_day, days[1])));
    }
    if (now->last_batch != before->last_batch) {
        add_run_cause(comparing, cvm_report_sentence(
                                     job->arena, "data: from batch %lld to batch %lld",
                                     (long long)before->last_batch, (long long)now->last_batch));
    }
    if (job->now->funnel.customers != job->before->funnel.customers && job->now->has_values &&
        job->before->has_values) {
        add_run_cause(comparing,
                      cvm_report_sentence(job->arena, "data: customers from %lld to %lld",
                                          (long long)job->before->funnel.customers,
                                          (long long)job->now->funnel.customers));
    }
    if (now->catalogue_version != before->catalogue_version) {
        add_run_cause(comparing, cvm_report_sentence(job->arena,
                                                     "catalogue: from version %lld to version "
                                                     "%lld, %zu differences",
                                                     (long long)before->catalogue_version,
                                                     (long long)now->catalogue_version,
                                                     comparing->change_count));
    }
    for (size_t i = 0; i < comparing->change_count && i < CATALOGUE_CAUSES; i++) {
        add_run_cause(comparing, change_sentence(job->arena, comparing->changes[i].path,
                                                 &comparing->changes[i]));
    }
    int64_t learned = 0;
    for (size_t t = 0; t < job->now->catalogue->treatment_count; t++) {
        int was = cvm_catalogue_treatment(job->before->catalogue, job->now->treatments[t].id);
        learned += was != CVM_INDEX_NONE &&
                           job->now->treatments[t].outcomes != job->before->treatments[was].outcomes
                       ? 1
                       : 0;
    }
    if (learned > 0) {
        add_run_cause(comparing,
                      cvm_report_sentence(job->arena, "learned: responses of %lld treatments",
                                          (long long)learned));
    }
}

static enum cvm_status diff_catalogues(struct comparing *comparing, struct cvm_error *err)
{
    const struct cvm_report_job *job = comparing->job;
    struct cvm_catalogue_files now;
    struct cvm_catalogue_files before;
    int64_t version = 0;
    if (job->now->run.catalogue_version == job->before->run.catalogue_version) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_catalogue_store_files(
        job->store, job->arena, job->now->run.catalogue_version, &now, &version, err);
    if (status == CVM_OK) {
        status = cvm_catalogue_store_files(
            job->store, job->arena, job->before->run.catalogue_version, &before, &version, err);
    }
    return status == CVM_OK ? cvm_catalogue_diff(job->arena, &before, &now, &comparing->changes,
                                                 &comparing->change_count, err)
                            : status;
}

enum cvm_status cvm_report_changes_make(struct cvm_report_job *job, struct cvm_error *err)
{
    struct cvm_report *report = job->report;
    struct comparing comparing = {.job = job};
    if (job->before == NULL) {
        return CVM_OK;
    }
    size_t count =
        job->now->catalogue->treatment_count + job->before->catalogue->treatment_count + 1;
    report->treatment_changes = CVM_NEW_ARRAY(job->arena, count, struct cvm_report_change);
    report->segment_changes =
        CVM_NEW_ARRAY(job->arena, job->now->catalogue->segment_count + 1, struct cvm_report_change);
    report->causes = CVM_NEW_ARRAY(job->arena, RUN_CAUSES_MAX, const char *);
    comparing.has_failed = report->treatment_changes == NULL || report->segment_changes == NULL ||
                           report->causes == NULL;
    enum cvm_status status = comparing.has_failed ? CVM_E_LIMIT : diff_catalogues(&comparing, err);
    if (status == CVM_OK) {
        explain_run(&comparing);
        for (size_t t = 0; t < job->now->catalogue->treatment_count; t++) {
            add_treatment(
                &comparing, (int)t,
                cvm_catalogue_treatment(job->before->catalogue, job->now->treatments[t].id));
        }
        for (size_t t = 0; t < job->before->catalogue->treatment_count; t++) {
            if (cvm_catalogue_treatment(job->now->catalogue, job->before->treatments[t].id) ==
                CVM_INDEX_NONE) {
                add_treatment(&comparing, CVM_INDEX_NONE, (int)t);
            }
        }
        if (job->now->has_values && job->before->has_values) {
            add_segments(&comparing);
        }
    }
    return comparing.has_failed
               ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the changes of a report")
               : status;
}
