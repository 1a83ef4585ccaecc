#include "engine/auto_hold.h"

#include <math.h>
#include <string.h>

#include "base/date.h"
#include "base/json_reader.h"
#include "engine/auto_hold_internal.h"
#include "engine/run_kind.h"
#include "storage/export_store.h"

#define RUNS_LOOKED_AT  400
#define JSON_BYTES_MAX  ((size_t)4 << 20)
#define ROUNDING        1e-9 /* of shares: 0.9 - 0.6 is a little more than 0.3 */
#define OPT_OUT_DAYS    7
#define PLACES_OF_MICRO 10000 /* of a hundredth */

/* ---- sentences ---- */

void cvm_hold_begin(struct cvm_hold_job *job)
{
    cvm_text_clear(&job->sentence);
}

enum cvm_status cvm_hold_end(struct cvm_hold_job *job, struct cvm_error *err)
{
    const char *sentence =
        job->sentence.failed ? NULL : cvm_arena_string(job->arena, cvm_text_string(&job->sentence));
    if (sentence == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the reasons to hold a plan");
    }
    if (job->count < CVM_HOLD_REASONS_MAX) {
        job->reasons[job->count++] = sentence;
    }
    return CVM_OK;
}

/* 62 %, 4.2 %, 0.45 % */
void cvm_hold_add_share(struct cvm_text *out, double share)
{
    double scale = share >= 0.01 ? 1000 : 10000; /* one place, or two below 1 % */
    cvm_text_add_double(out, round(share * scale) / (scale / 100));
    cvm_text_add(out, " %");
}

static void add_amount(struct cvm_text *out, int64_t micro)
{
    int64_t cents = (micro + PLACES_OF_MICRO / 2) / PLACES_OF_MICRO;
    cvm_text_add_grouped(out, cents / 100);
    cvm_text_add_format(out, ".%02d", (int)(cents % 100));
}

/* ", 62 % more than the " */
void cvm_hold_add_change(struct cvm_text *out, double before, double after)
{
    cvm_text_add(out, ", ");
    cvm_hold_add_share(out, fabs(after - before) / before);
    cvm_text_add(out, after > before ? " more than the " : " fewer than the ");
}

static void add_limit(struct cvm_text *out, double share)
{
    cvm_text_add(out, "; at most ");
    cvm_hold_add_share(out, share);
    cvm_text_add(out, " is allowed");
}

/* ---- the run before ---- */

static enum cvm_status parse(const struct cvm_hold_job *job, const char *text,
                             const struct cvm_json_value **out_value, struct cvm_error *err)
{
    return cvm_json_read(job->reader, job->arena, text, strlen(text), false, out_value, err);
}

/* Whole-base runs of the same trigger, forced treatment and allowed treatments; newest first, so
 * the first that fits counts. */
static enum cvm_status consider_run(void *state, const struct cvm_run_record *run,
                                    struct cvm_error *err)
{
    struct cvm_hold_job *job = state;
    bool is_same = false;
    bool was_let_go = strcmp(run->plan_state, "approved") == 0 ||
                      strcmp(run->plan_state, "released") == 0 ||
                      strcmp(run->plan_state, "closed") == 0;
    if ((job->has_before && !cvm_run_kind_stands_for(run, &job->before)) || !was_let_go ||
        run->summary == NULL || strcmp(run->run_id, job->result->run_id) == 0 ||
        run->as_of_day > job->result->as_of_day || run->decisions < job->rules->least_decisions) {
        return CVM_OK;
    }
    enum cvm_status status =
        cvm_run_kind_same(job->reader, job->arena, run->options, job->mine.options, &is_same, err);
    if (status == CVM_OK && is_same) {
        job->before = *run;
        job->has_before = true;
    }
    return status;
}

/* ---- the checks against it ---- */

static enum cvm_status check_volume(struct cvm_hold_job *job, struct cvm_error *err)
{
    double before = (double)job->before.decisions;
    double after = (double)job->result->decision_count;
    double limit = job->rules->volume_change;
    if (limit <= 0 || before <= 0 || fabs(after - before) <= limit * before + ROUNDING) {
        return CVM_OK;
    }
    cvm_hold_begin(job);
    cvm_text_add_grouped(&job->sentence, (int64_t)job->result->decision_count);
    cvm_text_add(&job->sentence, " decisions");
    cvm_hold_add_change(&job->sentence, before, after);
    cvm_text_add_grouped(&job->sentence, job->before.decisions);
    cvm_text_add_format(&job->sentence, " of run %s", job->before.run_id);
    add_limit(&job->sentence, limit);
    return cvm_hold_end(job, err);
}

static enum cvm_status check_spend(struct cvm_hold_job *job, struct cvm_error *err)
{
    double before = (double)job->before.spend_micro;
    double after = (double)job->result->spend_micro;
    double limit = job->rules->spend_change;
    if (limit <= 0 || before <= 0 || fabs(after - before) <= limit * before + ROUNDING) {
        return CVM_OK;
    }
    cvm_hold_begin(job);
    cvm_text_add(&job->sentence, "spend of ");
    add_amount(&job->sentence, job->result->spend_micro);
    cvm_text_add(&job->sentence, ", ");
    cvm_hold_add_share(&job->sentence, fabs(after - before) / before);
    cvm_text_add(&job->sentence, after > before ? " more than the " : " less than the ");
    add_amount(&job->sentence, job->before.spend_micro);
    cvm_text_add_format(&job->sentence, " of run %s", job->before.run_id);
    add_limit(&job->sentence, limit);
    return cvm_hold_end(job, err);
}

static double count_of(const struct cvm_json_value *summary, const char *treatment)
{
    const struct cvm_json_value *count =
        cvm_json_member(cvm_json_member(summary, "by_treatment"), treatment);
    return count != NULL && count->type == CVM_JSON_INT ? (double)count->integer : 0;
}

static enum cvm_status check_treatments(struct cvm_hold_job *job, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->result->catalogue;
    const struct cvm_json_value *summary = NULL;
    double limit = job->rules->treatment_change;
    double total = (double)job->result->decision_count;
    if (limit <= 0 || job->before.decisions <= 0) {
        return CVM_OK;
    }
    enum cvm_status status = parse(job, job->before.summary, &summary, err);
    for (size_t t = 0; status == CVM_OK && t < catalogue->treatment_count; t++) {
        const char *id = catalogue->treatments[t].id;
        double after = (double)job->result->by_treatment[t] / total;
        double before = count_of(summary, id) / (double)job->before.decisions;
        if (fabs(after - before) <= limit + ROUNDING) {
            continue;
        }
        cvm_hold_begin(job);
        cvm_text_add_format(&job->sentence, "%s is ", id);
        cvm_hold_add_share(&job->sentence, after);
        cvm_text_add(&job->sentence, " of the decisions and was ");
        cvm_hold_add_share(&job->sentence, before);
        cvm_text_add_format(&job->sentence,
                            " in run %s; at most %.0f points up or down are allowed",
                            job->before.run_id, limit * 100);
        status = cvm_hold_end(job, err);
    }
    return status;
}

static enum cvm_status check_opt_outs(struct cvm_hold_job *job, struct cvm_error *err)
{
    int64_t contacts = 0;
    int64_t opt_outs = 0;
    int32_t last = job->result->as_of_day;
    double limit = job->rules->opt_out_rate;
    if (limit <= 0) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_outcome_opt_outs(job->store, last - (OPT_OUT_DAYS - 1), last,
                                                  &contacts, &opt_outs, err);
    if (status != CVM_OK || contacts < job->rules->least_decisions ||
        (double)opt_outs <= limit * (double)contacts) {
        return status;
    }
    cvm_hold_begin(job);
    cvm_text_add_grouped(&job->sentence, opt_outs);
    cvm_text_add(&job->sentence, " opt-outs among the ");
    cvm_text_add_grouped(&job->sentence, contacts);
    cvm_text_add_format(&job->sentence, " contacts of the last %d days, ", OPT_OUT_DAYS);
    cvm_hold_add_share(&job->sentence, (double)opt_outs / (double)contacts);
    add_limit(&job->sentence, limit);
    return cvm_hold_end(job, err);
}

/* A second run of a day decides only for those that the first one left out: its size says nothing.
 */
static bool is_comparable(const struct cvm_hold_job *job)
{
    return job->has_before && job->result->undecided_before * 2 >= job->result->customers;
}

static enum cvm_status check_all(struct cvm_hold_job *job, struct cvm_error *err)
{
    static enum cvm_status (*const checks[])(struct cvm_hold_job *, struct cvm_error *) = {
        check_volume, check_spend, check_treatments};
    bool is_whole = false;
    enum cvm_status status =
        cvm_run_get(job->store, job->arena, job->result->run_id, &job->mine, err);
    if (status == CVM_OK) {
        status = cvm_run_kind_whole(job->reader, job->arena, job->mine.options, &is_whole, err);
    }
    if (status != CVM_OK || !is_whole) {
        return status; /* some customers: nothing to compare with */
    }
    status = cvm_run_list(job->store, job->arena, RUNS_LOOKED_AT, consider_run, job, err);
    for (size_t i = 0; status == CVM_OK && i < 3 && is_comparable(job); i++) {
        status = checks[i](job, err);
    }
    if (status == CVM_OK) {
        status = check_opt_outs(job, err);
    }
    return status == CVM_OK ? cvm_hold_check_sources(job, err) : status;
}

enum cvm_status cvm_auto_hold(struct cvm_engine *engine, struct cvm_store *store,
                              const struct cvm_run_result *result, struct cvm_arena *arena,
                              const char *const **out_reasons, size_t *out_count,
                              struct cvm_error *err)
{
    const struct cvm_release_rules *rules = &engine->catalogue->release;
    struct cvm_hold_job job = {
        .engine = engine, .store = store, .result = result, .arena = arena, .rules = rules};
    if ((int64_t)result->decision_count < rules->least_decisions || result->decision_count == 0) {
        *out_reasons = NULL;
        *out_count = 0;
        return CVM_OK;
    }
    cvm_text_init(&job.sentence, 0);
    job.reasons = CVM_NEW_ARRAY(arena, CVM_HOLD_REASONS_MAX, const char *);
    job.reader = cvm_json_reader_create(JSON_BYTES_MAX);
    enum cvm_status status = job.reasons == NULL || job.reader == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to compare a plan")
                                 : check_all(&job, err);
    cvm_json_reader_destroy(job.reader);
    cvm_text_finish(&job.sentence);
    if (status == CVM_OK) {
        *out_reasons = job.reasons;
        *out_count = job.count;
    }
    return status;
}

#define SHRINK_DEFAULT 0.5

enum cvm_status cvm_auto_hold_sources(struct cvm_engine *engine, struct cvm_store *store,
                                      int32_t as_of_day, struct cvm_arena *arena,
                                      const char *const **out_reasons, size_t *out_count,
                                      struct cvm_error *err)
{
    const struct cvm_run_result result = {.as_of_day = as_of_day};
    struct cvm_release_rules rules = engine->catalogue->release;
    struct cvm_hold_job job = {
        .engine = engine, .store = store, .result = &result, .arena = arena, .rules = &rules};
    rules.hold_stale = true;
    rules.source_shrink = rules.source_shrink > 0 ? rules.source_shrink : SHRINK_DEFAULT;
    cvm_text_init(&job.sentence, 0);
    job.reasons = CVM_NEW_ARRAY(arena, CVM_HOLD_REASONS_MAX, const char *);
    job.reader = cvm_json_reader_create(JSON_BYTES_MAX);
    enum cvm_status status = job.reasons == NULL || job.reader == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to look at the sources")
                                 : cvm_hold_check_sources(&job, err);
    cvm_json_reader_destroy(job.reader);
    cvm_text_finish(&job.sentence);
    if (status == CVM_OK) {
        *out_reasons = job.reasons;
        *out_count = job.count;
    }
    return status;
}
