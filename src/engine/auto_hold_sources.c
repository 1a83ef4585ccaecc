#include <string.h>

#include "base/date.h"
#include "engine/auto_hold_internal.h"
#include "storage/export_store.h"

/* What the reports of the imports say of one source. */
struct source_history {
    int32_t newest_day; /* CVM_DAY_NONE: no dated event was ever imported */
    size_t imports;     /* deliveries of the source; the newest two are kept */
    int64_t batch[2];
    double rows[2];
    double rows_per_day[2]; /* a first import brings years, a nightly one a day */
};

struct history {
    struct cvm_hold_job *job;
    struct source_history sources[CVM_SOURCES_MAX];
};

static int32_t day_of(const struct cvm_json_value *report, const char *key)
{
    const struct cvm_json_value *text = cvm_json_member(report, key);
    int32_t day = CVM_DAY_NONE;
    if (text == NULL || text->type != CVM_JSON_STRING ||
        !cvm_day_parse(text->string.data, text->string.length, &day, NULL, NULL)) {
        return CVM_DAY_NONE;
    }
    return day;
}

static void note_source(struct source_history *history, int64_t batch,
                        const struct cvm_json_value *report, bool is_delivery, int32_t as_of_day)
{
    const struct cvm_json_value *read = cvm_json_member(report, "read");
    int32_t first = day_of(report, "first_date");
    int32_t last = day_of(report, "last_date");
    double rows = read != NULL && read->type == CVM_JSON_INT ? (double)read->integer : 0;
    double days = first != CVM_DAY_NONE && last >= first ? (double)last - first + 1 : 1;
    if (last != CVM_DAY_NONE) {
        int32_t known = last < as_of_day ? last : as_of_day;
        history->newest_day = known > history->newest_day ? known : history->newest_day;
    }
    if (is_delivery && rows > 0 && history->imports < 2) {
        history->batch[history->imports] = batch;
        history->rows[history->imports] = rows;
        history->rows_per_day[history->imports] = rows / days;
        history->imports++;
    }
}

static enum cvm_status note_report(void *state, int64_t batch, const char *report,
                                   struct cvm_error *err)
{
    struct history *history = state;
    const struct cvm_catalogue *catalogue = history->job->engine->catalogue;
    const struct cvm_json_value *root = NULL;
    enum cvm_status status = cvm_json_read(history->job->reader, history->job->arena, report,
                                           strlen(report), false, &root, err);
    const struct cvm_json_value *by_source =
        status == CVM_OK ? cvm_json_member(root, "by_source") : NULL;
    const struct cvm_json_value *follows = cvm_json_member(root, "follows_outcomes");
    bool is_delivery = follows == NULL || follows->type != CVM_JSON_BOOL || !follows->boolean;
    for (size_t s = 0; by_source != NULL && s < catalogue->source_count; s++) {
        const struct cvm_json_value *mine = cvm_json_member(by_source, catalogue->sources[s].name);
        if (mine != NULL) {
            note_source(&history->sources[s], batch, mine, is_delivery,
                        history->job->result->as_of_day);
        }
    }
    return status;
}

static enum cvm_status check_stale(struct cvm_hold_job *job, const struct cvm_source *source,
                                   const struct source_history *history, struct cvm_error *err)
{
    char newest[CVM_DAY_TEXT_SIZE];
    char as_of[CVM_DAY_TEXT_SIZE];
    double age = (double)job->result->as_of_day - history->newest_day;
    if (!job->rules->hold_stale || source->freshness_days_max <= 0 ||
        history->newest_day == CVM_DAY_NONE || age <= source->freshness_days_max) {
        return CVM_OK;
    }
    cvm_hold_begin(job);
    cvm_text_add_format(&job->sentence,
                        "source %s: the newest event is of %s, %.0f days before %s; at most %.0f "
                        "days are allowed",
                        source->name, cvm_day_format(history->newest_day, newest), age,
                        cvm_day_format(job->result->as_of_day, as_of), source->freshness_days_max);
    return cvm_hold_end(job, err);
}

/* Judged once, by the first run after the import. Both the records and the records per day that
 * they cover must have shrunk: neither a nightly import after the first one nor a late event is a
 * shrunken source. */
static enum cvm_status check_shrunken(struct cvm_hold_job *job, const struct cvm_source *source,
                                      const struct source_history *history, struct cvm_error *err)
{
    double share = 1 - job->rules->source_shrink;
    int64_t judged = job->has_before ? job->before.last_batch : 0;
    if (job->rules->source_shrink <= 0 || history->imports < 2 || history->batch[0] <= judged ||
        history->rows[1] < (double)job->rules->least_decisions ||
        history->rows[0] >= share * history->rows[1] ||
        history->rows_per_day[0] >= share * history->rows_per_day[1]) {
        return CVM_OK;
    }
    cvm_hold_begin(job);
    cvm_text_add_format(&job->sentence, "source %s: ", source->name);
    cvm_text_add_grouped(&job->sentence, (int64_t)history->rows[0]);
    cvm_text_add_format(&job->sentence, " records in batch %lld", (long long)history->batch[0]);
    cvm_hold_add_change(&job->sentence, history->rows[1], history->rows[0]);
    cvm_text_add_grouped(&job->sentence, (int64_t)history->rows[1]);
    cvm_text_add_format(&job->sentence, " of batch %lld; at most ", (long long)history->batch[1]);
    cvm_hold_add_share(&job->sentence, job->rules->source_shrink);
    cvm_text_add(&job->sentence, " is allowed");
    return cvm_hold_end(job, err);
}

enum cvm_status cvm_hold_check_sources(struct cvm_hold_job *job, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->engine->catalogue;
    struct history *history = CVM_NEW(job->arena, struct history);
    if (history == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the history of sources");
    }
    history->job = job;
    for (size_t s = 0; s < CVM_SOURCES_MAX; s++) {
        history->sources[s].newest_day = CVM_DAY_NONE;
    }
    if (!job->rules->hold_stale && job->rules->source_shrink <= 0) {
        return CVM_OK;
    }
    enum cvm_status status =
        cvm_batch_reports(job->store, 0, job->engine->last_batch, note_report, history, err);
    for (size_t s = 0; status == CVM_OK && s < catalogue->source_count; s++) {
        status = check_stale(job, &catalogue->sources[s], &history->sources[s], err);
        if (status == CVM_OK) {
            status = check_shrunken(job, &catalogue->sources[s], &history->sources[s], err);
        }
    }
    return status;
}
