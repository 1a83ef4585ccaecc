#include "engine/outcome.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "base/maths.h"
#include "engine/outcome_follow.h"
#include "engine/withdrawal.h"
#include "storage/audit.h"
#include "storage/outcome_store.h"
#include "storage/plan_store.h"

#define ARENA_BYTES_MAX   ((size_t)1 << 30)
#define COMMIT_ROWS       20000
#define MINUTES_MAX       1e6
#define REASON_SIZE       200
#define DAY_MS            INT64_C(86400000)
#define TREATMENTS_LEARNT 256

/* A report as it was read; texts point into the record. */
struct report {
    struct cvm_slice decision_id;
    struct cvm_slice customer_id;
    struct cvm_outcome_row row; /* without run, customer and import */
};

struct learnt {
    const char *treatment;
    struct cvm_learning more; /* since the last commit */
};

struct outcome_job {
    const struct cvm_import_work *work;
    struct cvm_db *db;
    struct cvm_arena *arena;          /* of the job */
    struct cvm_arena *decision_arena; /* of a report */
    struct cvm_record_reader *reader;
    struct cvm_run_catalogues runs;
    struct learnt learnt[TREATMENTS_LEARNT];
    size_t learnt_count;
    int64_t uncommitted;
    const char *file; /* of the audit: the first path */
    char refusal[REASON_SIZE];
    struct cvm_outcome_report report;
};

/* ---- reading a report ---- */

static struct cvm_slice text_of(const struct cvm_record_view *record, const char *key)
{
    const struct cvm_json_value *value = cvm_json_member(record->value, key);
    return value != NULL && value->type == CVM_JSON_STRING ? value->string : (struct cvm_slice){0};
}

static const char *read_moment(struct cvm_slice text, struct cvm_outcome_row *row)
{
    int32_t second = 0;
    int32_t offset = INT32_MIN;
    if (!cvm_day_parse(text.data, text.length, &row->day, &second, &offset)) {
        return "the date is none: 2024-03-20, or 2024-03-20T11:22:33Z";
    }
    row->has_moment = offset != INT32_MIN;
    row->at_ms =
        row->has_moment ? row->day * DAY_MS + second * INT64_C(1000) - offset * INT64_C(60000) : 0;
    return NULL;
}

/* "date" and "time", either of them whole, or a date and an hour. */
static const char *read_date(const struct cvm_record_view *record, struct cvm_outcome_row *row)
{
    char both[64];
    struct cvm_slice date = text_of(record, "date");
    struct cvm_slice time = text_of(record, "time");
    if (date.length == 0 && time.length == 0) {
        return "it has no date";
    }
    if (date.length == 0 || time.length == 0) {
        return read_moment(date.length > 0 ? date : time, row);
    }
    if (read_moment(time, row) == NULL) {
        return NULL;
    }
    if (date.length + time.length + 1 >= sizeof(both)) {
        return "the date is none";
    }
    memcpy(both, date.data, date.length);
    both[date.length] = 'T';
    memcpy(both + date.length + 1, time.data, time.length);
    return read_moment((struct cvm_slice){both, date.length + 1 + time.length}, row);
}

static const char *read_minutes(const struct cvm_record_view *record, double *out_minutes)
{
    const struct cvm_json_value *value = cvm_json_member(record->value, "minutes");
    char copy[32] = "";
    char *end = NULL;
    *out_minutes = -1;
    if (value == NULL || value->type == CVM_JSON_NULL) {
        return NULL;
    }
    if (value->type == CVM_JSON_INT || value->type == CVM_JSON_DOUBLE) {
        *out_minutes = value->number;
    } else if (value->type == CVM_JSON_STRING && value->string.length > 0 &&
               value->string.length < sizeof(copy)) {
        memcpy(copy, value->string.data, value->string.length);
        *out_minutes = strtod(copy, &end);
    }
    bool is_number = end == NULL || *end == '\0';
    return is_number && *out_minutes >= 0 && *out_minutes <= MINUTES_MAX ? NULL
                                                                         : "minutes is no number";
}

static const char *read_report(const struct cvm_record_view *record, struct report *out_report)
{
    struct report report = {.decision_id = text_of(record, "decision_id"),
                            .customer_id = text_of(record, "customer_id")};
    struct cvm_slice state = text_of(record, "state");
    if (report.decision_id.length == 0) {
        return "it has no decision_id";
    }
    if (state.length == 0) {
        return "it has no state";
    }
    report.row.state = cvm_outcome_parse(state.data, state.length);
    if (report.row.state < 0) {
        return "its state is unknown";
    }
    report.row.reason = text_of(record, "reason");
    const char *refusal = read_date(record, &report.row);
    if (refusal == NULL) {
        refusal = read_minutes(record, &report.row.minutes);
    }
    *out_report = report;
    return refusal;
}

/* ---- what it means for its decision ---- */

/* A decision, its run, and the reports of it so far. */
struct subject {
    struct cvm_decision decision;
    const struct cvm_run_catalogue *run;
    struct cvm_outcome_frame frame;
    struct cvm_outcomes before;
};

static double rescale_churn(double churn, double from_days, double to_days)
{
    bool is_same = from_days == to_days || from_days <= 0 || !(churn > 0.0) || churn >= 1.0;
    return is_same ? churn : 1.0 - cvm_exp(cvm_log(1.0 - churn) * to_days / from_days);
}

static enum cvm_status load_subject(struct outcome_job *job, const char *run_id, uint64_t key,
                                    struct subject *subject, struct cvm_error *err)
{
    struct cvm_store *store = job->work->store;
    enum cvm_status status =
        cvm_decision_get(store, job->decision_arena, run_id, key, &subject->decision, err);
    if (status == CVM_OK) {
        status = cvm_outcome_get(store, run_id, key, &subject->before, err);
    }
    if (status == CVM_OK) {
        status = cvm_run_catalogues_find(&job->runs, subject->decision.run_id, &subject->run, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_decision *decision = &subject->decision;
    const struct cvm_catalogue *catalogue = subject->run->catalogue;
    int t = cvm_catalogue_treatment(catalogue, decision->treatment);
    if (t == CVM_INDEX_NONE) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "run '%s' gave '%s', which its catalogue has not",
                        decision->run_id, decision->treatment);
    }
    const struct cvm_treatment *treatment = &catalogue->treatments[t];
    subject->frame = (struct cvm_outcome_frame){
        .is_ghost = decision->ghost,
        .is_exported = decision->export != 0,
        .as_of_day = subject->run->as_of_day,
        .response_days = treatment->response_days,
        .outcome_days = treatment->outcome_days,
        .churn =
            rescale_churn(decision->churn, catalogue->value.horizon_days, treatment->outcome_days),
    };
    return CVM_OK;
}

/* Who is left untreated is decided for again each night, and churns once. So the days are cut into
 * stretches of outcome_days, and the first decision of a kind in a stretch is the one whose churn
 * is learned from: a function of the decisions, whatever was reported when. */
static enum cvm_status find_repeated(struct cvm_store *store, struct subject *subject, int state,
                                     struct cvm_error *err)
{
    struct cvm_outcome_frame *frame = &subject->frame;
    int days = frame->outcome_days > 0 ? frame->outcome_days : 1;
    struct cvm_outcome_span span = {
        .first_day = frame->as_of_day - frame->as_of_day % days,
        .end_day = frame->as_of_day,
    };
    bool has_ended = state >= CVM_OUTCOME_CHURNED ||
                     cvm_outcomes_have(&subject->before, CVM_OUTCOME_CHURNED) ||
                     cvm_outcomes_have(&subject->before, CVM_OUTCOME_STAYED);
    if (!has_ended) {
        return CVM_OK; /* not asked yet */
    }
    return cvm_outcome_has_alike(store, &subject->decision, span, &frame->is_repeated, err);
}

static const char *refuse_customer(struct outcome_job *job, const struct report *report,
                                   const struct subject *subject)
{
    if (report->customer_id.length == 0 ||
        cvm_slice_equals(report->customer_id, subject->decision.customer_id)) {
        return NULL;
    }
    (void)snprintf(job->refusal, sizeof(job->refusal), "the decision is of customer '%.60s'",
                   subject->decision.customer_id);
    return job->refusal;
}

static const char *refuse_step(struct outcome_job *job, const struct report *report,
                               const struct subject *subject)
{
    int state = report->row.state;
    const char *why = cvm_outcome_refusal(&subject->before, &subject->frame,
                                          subject->decision.state, state, report->row.day);
    bool is_empty =
        strcmp(subject->decision.channel == NULL ? "" : subject->decision.channel, "none") == 0;
    if (why == NULL && state == CVM_DECISION_OPTED_OUT && is_empty) {
        why = "it made no contact that could be opted out of";
    }
    if (why == NULL) {
        return NULL;
    }
    (void)snprintf(job->refusal, sizeof(job->refusal), "the decision can not be %s: %s",
                   cvm_outcome_name(state), why);
    return job->refusal;
}

/* ---- applying ---- */

static enum cvm_status learn(struct outcome_job *job, const struct subject *subject,
                             const struct cvm_outcomes *now, struct cvm_error *err)
{
    struct cvm_learning before;
    struct cvm_learning after;
    const char *treatment = subject->decision.treatment;
    size_t i = 0;
    cvm_outcomes_learn(&subject->before, &subject->frame, &before);
    cvm_outcomes_learn(now, &subject->frame, &after);
    while (i < job->learnt_count && strcmp(job->learnt[i].treatment, treatment) != 0) {
        i++;
    }
    if (i == TREATMENTS_LEARNT) {
        return CVM_FAIL(err, CVM_E_LIMIT, "outcomes of more than %d treatments at once",
                        TREATMENTS_LEARNT);
    }
    if (i == job->learnt_count) {
        job->learnt[i].treatment = cvm_arena_string(job->arena, treatment);
        if (job->learnt[i].treatment == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for outcomes");
        }
        job->learnt_count++;
    }
    cvm_learning_change(&job->learnt[i].more, &before, &after);
    return CVM_OK;
}

/* What was not sent gives back what it used; what was withdrawn and is sent takes it again. */
static enum cvm_status change_use(struct outcome_job *job, const struct subject *subject,
                                  bool takes_again, struct cvm_error *err)
{
    const struct cvm_catalogue *in_force = job->work->catalogue;
    const struct cvm_catalogue *catalogue = subject->run->catalogue;
    struct cvm_withdrawal withdrawal = {
        .writer = job->work->store,
        .reader = job->work->store,
        .arena = job->arena,
        .in_force = in_force,
        .day = subject->run->as_of_day,
        .run_id = subject->run->run_id,
        .catalogue = catalogue,
        .takes_again = takes_again,
    };
    enum cvm_status status = cvm_withdrawal_add(&withdrawal, &subject->decision, err);
    for (size_t c = 0; status == CVM_OK && c < catalogue->constraint_count; c++) {
        int same = takes_again || withdrawal.amounts[c] == 0
                       ? CVM_INDEX_NONE
                       : cvm_catalogue_constraint(in_force, catalogue->constraints[c].id);
        if (same != CVM_INDEX_NONE) {
            job->report.returned[same] += withdrawal.amounts[c];
        }
    }
    return status == CVM_OK ? cvm_withdrawal_end(&withdrawal, err) : status;
}

static enum cvm_status store_report(struct outcome_job *job, const struct subject *subject,
                                    const struct cvm_outcomes *now, struct cvm_outcome_row *row,
                                    struct cvm_error *err)
{
    struct cvm_store *store = job->work->store;
    const struct cvm_decision *decision = &subject->decision;
    enum cvm_decision_state state = cvm_outcomes_state(now, decision->state);
    row->run_id = decision->run_id;
    row->customer_key = decision->customer_key;
    row->is_late = (now->late >> row->state & 1) != 0;
    row->import = job->report.import;
    enum cvm_status status = cvm_outcome_add(store, row, err);
    if (status == CVM_OK) {
        status = cvm_outcome_set_late(store, decision->run_id, decision->customer_key,
                                      &subject->before, now, err);
    }
    if (status == CVM_OK && (state != decision->state || row->state >= CVM_OUTCOME_CHURNED)) {
        status = cvm_decision_set_state(store, decision->run_id, decision->customer_key, state, now,
                                        err);
    }
    bool was_withdrawn = decision->state == CVM_DECISION_WITHDRAWN;
    bool is_given_up = row->state == CVM_DECISION_NOT_SENT || row->state == CVM_DECISION_EXPIRED;
    bool is_made_after_all = was_withdrawn && state != CVM_DECISION_WITHDRAWN;
    if (status == CVM_OK && (is_made_after_all || (is_given_up && !was_withdrawn))) {
        status = change_use(job, subject, is_made_after_all, err);
    }
    return status;
}

/* The first report that is new opens the import and the transaction. */
static enum cvm_status begin(struct outcome_job *job, struct cvm_error *err)
{
    const char *who = job->work->options->who == NULL ? "import" : job->work->options->who;
    if (cvm_db_in_transaction(job->db)) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_db_begin(job->db, err);
    return status == CVM_OK && job->report.import == 0
               ? cvm_outcome_import_start(job->work->store, who, job->file, &job->report.import,
                                          err)
               : status;
}

static enum cvm_status commit(struct outcome_job *job, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    if (!cvm_db_in_transaction(job->db)) {
        return CVM_OK;
    }
    for (size_t i = 0; status == CVM_OK && i < job->learnt_count; i++) {
        status =
            cvm_learning_add(job->work->store, job->learnt[i].treatment, &job->learnt[i].more, err);
        job->learnt[i].more = (struct cvm_learning){0};
    }
    job->uncommitted = 0;
    return status == CVM_OK ? cvm_db_commit(job->db, err) : status;
}

static enum cvm_status apply(struct outcome_job *job, const struct subject *subject,
                             struct report *report, struct cvm_error *err)
{
    int state = report->row.state;
    struct cvm_outcomes now = subject->before;
    cvm_outcomes_add(&now, state, report->row.day);
    cvm_outcomes_mark_late(&now, &subject->frame);
    enum cvm_status status = begin(job, err);
    if (status == CVM_OK) {
        status = store_report(job, subject, &now, &report->row, err);
    }
    if (status == CVM_OK) {
        status = learn(job, subject, &now, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    job->report.applied++;
    job->report.by_state[state]++;
    job->report.late += now.late >> state & 1;
    return ++job->uncommitted >= COMMIT_ROWS ? commit(job, err) : CVM_OK;
}

/* *out_refusal says why the report was not applied; NULL when it was, or is there already. */
static enum cvm_status take_report(struct outcome_job *job, struct report *report,
                                   const char **out_refusal, struct cvm_error *err)
{
    char id[CVM_DECISION_ID_SIZE] = "";
    char run_id[CVM_DECISION_ID_SIZE];
    uint64_t key = 0;
    struct subject subject;
    if (report->row.day > job->work->options->today) {
        *out_refusal = "the date is in the future";
        return CVM_OK;
    }
    *out_refusal = "there is no such decision";
    if (report->decision_id.length >= sizeof(id)) {
        return CVM_OK;
    }
    memcpy(id, report->decision_id.data, report->decision_id.length);
    if (strlen(id) != report->decision_id.length || !cvm_decision_id_parse(id, run_id, &key)) {
        return CVM_OK;
    }
    cvm_arena_reset(job->decision_arena);
    enum cvm_status status = load_subject(job, run_id, key, &subject, err);
    if (status != CVM_OK) {
        return status == CVM_E_NOT_FOUND ? CVM_OK : status;
    }
    *out_refusal = refuse_customer(job, report, &subject);
    if (*out_refusal == NULL && cvm_outcomes_have(&subject.before, report->row.state)) {
        job->report.duplicate++;
        return CVM_OK;
    }
    if (*out_refusal == NULL) {
        *out_refusal = refuse_step(job, report, &subject);
    }
    if (*out_refusal != NULL) {
        return CVM_OK;
    }
    status = find_repeated(job->work->store, &subject, report->row.state, err);
    return status == CVM_OK ? apply(job, &subject, report, err) : status;
}

static enum cvm_status take_all(struct outcome_job *job, struct cvm_error *err)
{
    struct cvm_record_view record;
    bool has_record = true;
    int64_t count = 0;
    enum cvm_status status = CVM_OK;
    const struct cvm_import_options *options = job->work->options;
    while (status == CVM_OK) {
        status = cvm_record_reader_next(job->reader, &record, &has_record, err);
        if (status != CVM_OK || !has_record) {
            break;
        }
        struct report report;
        const char *refusal = read_report(&record, &report);
        if (refusal == NULL) {
            status = take_report(job, &report, &refusal, err);
        }
        if (status == CVM_OK && refusal != NULL) {
            status = cvm_record_reader_reject(job->reader, &record, refusal, err);
        }
        if (status == CVM_OK && ++count % 1024 == 0) {
            status = cvm_context_check(job->work->context, err);
            if (options->on_progress != NULL) {
                options->on_progress(options->progress_state, "outcomes", -1, count);
            }
        }
    }
    return status == CVM_OK ? commit(job, err) : status;
}

/* ---- the end ---- */

static void write_counts(const struct cvm_outcome_report *report, struct cvm_json_writer *json)
{
    cvm_json_key_int(json, "import", report->import);
    cvm_json_key_int(json, "read", report->read);
    cvm_json_key_int(json, "applied", report->applied);
    cvm_json_key_int(json, "duplicate", report->duplicate);
    cvm_json_key_int(json, "late", report->late);
    cvm_json_key_int(json, "rejected", report->rejected);
    cvm_json_key_int(json, "contacts", report->contacts);
    cvm_json_key_int(json, "opt_outs", report->opt_outs);
}

void cvm_outcome_report_write(const struct cvm_outcome_report *report,
                              const struct cvm_catalogue *catalogue, struct cvm_json_writer *json)
{
    write_counts(report, json);
    cvm_json_key(json, "by_state");
    cvm_json_object(json);
    for (int state = 0; state < CVM_OUTCOME_STATE_COUNT; state++) {
        if (report->by_state[state] > 0) {
            cvm_json_key_int(json, cvm_outcome_name(state), report->by_state[state]);
        }
    }
    cvm_json_object_end(json);
    cvm_json_key(json, "returned_capacity");
    cvm_json_object(json);
    for (size_t c = 0; c < catalogue->constraint_count; c++) {
        if (report->returned[c] > 0) {
            cvm_json_key(json, catalogue->constraints[c].id);
            cvm_constraint_write_amount(&catalogue->constraints[c], report->returned[c], json);
        }
    }
    cvm_json_object_end(json);
    cvm_json_key_string(json, "rejects_file", report->rejects_path);
    cvm_json_key(json, "failed_files");
    cvm_json_array(json);
    for (size_t f = 0; f < report->failed_file_count; f++) {
        cvm_json_string(json, report->failed_files[f]);
    }
    cvm_json_array_end(json);
}

static enum cvm_status store_end(struct outcome_job *job, const char *text, struct cvm_error *err)
{
    char object[48];
    int64_t import = 0;
    enum cvm_status status = cvm_outcome_last_import(job->work->store, &import, err);
    (void)snprintf(object, sizeof(object), "outcome import %lld", (long long)import);
    struct cvm_audit_row row = {
        .at_ms = cvm_store_now_ms(job->work->store),
        .who = job->work->options->who == NULL ? "import" : job->work->options->who,
        .action = "outcome",
        .object = object,
        .why = "outcome import",
        .after = text,
    };
    if (status == CVM_OK) {
        status = cvm_db_begin(job->db, err);
    }
    if (status == CVM_OK) {
        status = cvm_outcome_import_finish(job->work->store, text, err);
    }
    if (status == CVM_OK) {
        status = cvm_audit_add(job->work->store, &row, err);
    }
    return status == CVM_OK ? cvm_db_commit(job->db, err) : status;
}

/* Contacts and opt-outs of this import, and of one that a dead process left. */
static enum cvm_status follow_up(struct outcome_job *job, struct cvm_error *err)
{
    int64_t unfinished = 0;
    struct cvm_outcome_follow follow = {0};
    struct cvm_text text;
    struct cvm_json_writer json;
    enum cvm_status status = cvm_outcome_unfinished(job->work->store, &unfinished, err);
    if (status != CVM_OK || unfinished == 0) {
        return status;
    }
    status = cvm_outcome_follow(job->work, &job->runs, &follow, err);
    if (status != CVM_OK) {
        return status;
    }
    job->report.contacts = follow.contacts;
    job->report.opt_outs = follow.opt_outs;
    cvm_text_init(&text, 0);
    cvm_json_init(&json, &text, false);
    cvm_json_object(&json);
    cvm_outcome_report_write(&job->report, job->work->catalogue, &json);
    cvm_json_object_end(&json);
    status = text.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the report")
                         : store_end(job, cvm_text_string(&text), err);
    cvm_text_finish(&text);
    return status;
}

static enum cvm_status finish_reading(struct outcome_job *job, struct cvm_arena *arena,
                                      struct cvm_error *err)
{
    struct cvm_record_counts counts;
    enum cvm_status status = cvm_record_reader_finish(job->reader, arena, &counts, err);
    if (status == CVM_OK) {
        job->report.read = counts.read;
        job->report.rejected = counts.rejected;
        job->report.rejects_path = counts.rejects_path;
        job->report.failed_files = counts.failed_files;
        job->report.failed_file_count = counts.failed_file_count;
    }
    return status;
}

enum cvm_status cvm_outcome_import(const struct cvm_import_work *work, const char *const *paths,
                                   size_t path_count, struct cvm_arena *arena,
                                   struct cvm_outcome_report *out_report, struct cvm_error *err)
{
    struct outcome_job job = {
        .work = work, .db = cvm_store_db(work->store), .file = path_count > 0 ? paths[0] : ""};
    struct cvm_record_files files = {
        .paths = paths, .count = path_count, .rejects_path = work->options->rejects_path};
    job.arena = cvm_arena_create(ARENA_BYTES_MAX);
    job.decision_arena = cvm_arena_create(ARENA_BYTES_MAX);
    cvm_run_catalogues_init(&job.runs, work->store, job.arena, work->catalogue);
    enum cvm_status status = job.arena == NULL || job.decision_arena == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for outcomes")
                                 : cvm_record_reader_open(&files, &job.reader, err);
    if (status == CVM_OK) {
        status = take_all(&job, err);
    }
    if (status == CVM_OK) {
        status = finish_reading(&job, arena, err);
    }
    if (status == CVM_OK) {
        status = follow_up(&job, err);
    }
    cvm_db_rollback(job.db); /* what was not committed: nothing, unless something failed */
    cvm_record_reader_close(job.reader);
    cvm_run_catalogues_finish(&job.runs);
    cvm_arena_destroy(job.decision_arena);
    cvm_arena_destroy(job.arena);
    if (status == CVM_OK) {
        *out_report = job.report;
    }
    return status;
}
