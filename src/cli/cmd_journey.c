#include <math.h>
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/event_text.h"
#include "cli/work.h"
#include "engine/customer.h"
#include "engine/key_events.h"
#include "journey/summary.h"

#define EVENTS_MAX 1000000

struct journey_job {
    struct cvm_session *session;
    struct cvm_work work;
    const char *customer_id;
    uint64_t key;
    int32_t as_of_day;
    int64_t max; /* 0 = all, in order; else the newest, newest first */
    struct cvm_event_row *rows;
    size_t row_count;
    size_t first; /* dated rows up to as_of_day: rows[first .. end) */
    size_t end;
    struct cvm_chunk *chunk;
    struct cvm_event_texts texts;
    struct cvm_journey_insight *insights;
    size_t insight_count;
    struct cvm_column wishes; /* of struct cvm_key_wish: what the insights rest on */
    struct cvm_key_event *key_events;
    size_t key_event_count;
    struct cvm_text summary;
};

static enum cvm_status parse(struct journey_job *job, const struct cvm_arguments *arguments,
                             struct cvm_error *err)
{
    job->customer_id = arguments->positional[0];
    job->as_of_day = CVM_DAY_NONE;
    enum cvm_status status = cvm_argument_int(arguments, "--max", 1, EVENTS_MAX, &job->max, err);
    if (status == CVM_OK) {
        status = cvm_argument_day(arguments, "--as-of", &job->as_of_day, err);
    }
    return cvm_session_usage(job->session, status);
}

/* Today, unless the window of history that ends today holds nothing of this customer: then the day
 * of the newest event, so that old data still tells its story. */
static int32_t default_day(const struct journey_job *job)
{
    int32_t today = cvm_session_today(job->session);
    int32_t newest = CVM_DAY_NONE;
    for (size_t i = 0; i < job->row_count; i++) {
        if (job->rows[i].day <= today) {
            newest = job->rows[i].day;
        }
    }
    bool is_old = newest != CVM_DAY_NONE && newest <= today - job->work.catalogue->history_days;
    return is_old ? newest : today;
}

static enum cvm_status load_rows(struct journey_job *job, struct cvm_error *err)
{
    struct cvm_work *work = &job->work;
    enum cvm_status status = cvm_customer_find(work->store, job->customer_id, &job->key, err);
    if (status == CVM_OK) {
        status = cvm_event_rows(work->store, job->session->arena, work->catalogue, job->key,
                                work->engine->last_batch, &job->rows, &job->row_count, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    job->as_of_day = job->as_of_day == CVM_DAY_NONE ? default_day(job) : job->as_of_day;
    status = cvm_work_warn_of_gone(work, job->as_of_day, err);
    if (status != CVM_OK) {
        return status;
    }
    while (job->first < job->row_count && job->rows[job->first].day == CVM_DAY_NONE) {
        job->first++;
    }
    job->end = job->first;
    while (job->end < job->row_count && job->rows[job->end].day <= job->as_of_day) {
        job->end++;
    }
    if (job->end == 0) {
        char day[CVM_DAY_TEXT_SIZE];
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "customer '%s' has no events up to %s",
                        job->customer_id, cvm_day_format(job->as_of_day, day));
    }
    return CVM_OK;
}

static struct cvm_feature_values values_of(const struct journey_job *job)
{
    return (struct cvm_feature_values){job->chunk->features, job->chunk->capacity, job->as_of_day};
}

static const struct cvm_insight *insight_of(const struct journey_job *job,
                                            const struct cvm_key_event *event)
{
    return CVM_COLUMN_DATA(&job->wishes, struct cvm_key_wish)[event->wish].insight;
}

/* For each feature that an insight rests on, the event that says most. */
static enum cvm_status find_key_events(struct journey_job *job, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; i < job->insight_count; i++) {
        const struct cvm_insight *insight = job->insights[i].insight;
        for (size_t n = 0; n < insight->when.clause_count && status == CVM_OK; n++) {
            const struct cvm_rule_part *part = &insight->when.clauses[n].whole;
            status = cvm_key_wishes(job->work.catalogue, part->operands, part->operand_count,
                                    insight, &job->wishes, err);
        }
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_key_event_request request = {
        .key = job->key,
        .as_of_day = job->as_of_day,
        .wishes = CVM_COLUMN_DATA(&job->wishes, struct cvm_key_wish),
        .wish_count = job->wishes.count,
        .counted_max = 1,
    };
    return cvm_engine_key_events(job->work.engine, &request, job->session->arena, &job->key_events,
                                 &job->key_event_count, err);
}

static enum cvm_status analyse(struct journey_job *job, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->work.catalogue;
    enum cvm_status status = cvm_engine_customer(
        job->work.engine, job->key, (struct cvm_feature_window){job->as_of_day, CVM_DAY_NONE},
        &job->chunk, err);
    if (status == CVM_OK) {
        status = cvm_journey_insights(catalogue, values_of(job), job->session->arena,
                                      &job->insights, &job->insight_count, err);
    }
    if (status == CVM_OK) {
        status = find_key_events(job, err);
    }
    if (status == CVM_OK) {
        cvm_journey_summary(catalogue, values_of(job), &job->summary);
        status = cvm_event_texts_open(catalogue, &job->texts, err);
    }
    return status;
}

/* Event number i of the output. */
static const struct cvm_event_row *event_at(const struct journey_job *job, size_t i)
{
    return job->max > 0 ? &job->rows[job->end - 1 - i] : &job->rows[job->first + i];
}

static size_t included_count(const struct journey_job *job)
{
    size_t total = job->end - job->first;
    return job->max > 0 && (size_t)job->max < total ? (size_t)job->max : total;
}

/* Key events that an earlier one of the list already names are not told again. */
static bool is_told_before(const struct journey_job *job, size_t number)
{
    const struct cvm_key_event *event = &job->key_events[number];
    for (size_t i = 0; i < number; i++) {
        if (job->key_events[i].source == event->source &&
            job->key_events[i].ordinal == event->ordinal) {
            return true;
        }
    }
    return false;
}

/* Its row: rows and packed journeys have the same order within a source. NULL if they disagree. */
static const struct cvm_event_row *row_of(const struct journey_job *job,
                                          const struct cvm_key_event *event)
{
    size_t ordinal = 0;
    /* Undated rows stand before `first` and are no key events. */
    for (size_t i = event->day == CVM_DAY_NONE ? job->end : job->first; i < job->end; i++) {
        if (job->rows[i].source == event->source && ordinal++ == event->ordinal) {
            return job->rows[i].day == event->day ? &job->rows[i] : NULL;
        }
    }
    return NULL;
}

/* ---- JSON ---- */

/* The members of an event; the caller opens and closes its object. */
static enum cvm_status write_event_members(struct journey_job *job, const struct cvm_event_row *row,
                                           struct cvm_json_writer *json, struct cvm_error *err)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    enum cvm_status status = cvm_event_text_write(&job->texts, row, &text, err);
    if (row->day != CVM_DAY_NONE) {
        cvm_json_key_day(json, "date", row->day);
    }
    cvm_json_key_string(json, "source", row->source_name);
    cvm_json_key_string(json, "summary", cvm_text_string(&text));
    cvm_text_finish(&text);
    return status;
}

static enum cvm_status write_event(struct journey_job *job, const struct cvm_event_row *row,
                                   struct cvm_json_writer *json, struct cvm_error *err)
{
    cvm_json_object(json);
    enum cvm_status status = write_event_members(job, row, json, err);
    cvm_json_object_end(json);
    return status;
}

static enum cvm_status write_key_events(struct journey_job *job, struct cvm_json_writer *json,
                                        struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    cvm_json_key_array(json, "key_events");
    for (size_t i = 0; status == CVM_OK && i < job->key_event_count; i++) {
        const struct cvm_key_event *event = &job->key_events[i];
        const struct cvm_event_row *row = row_of(job, event);
        const struct cvm_insight *last = NULL;
        if (row == NULL || is_told_before(job, i)) {
            continue;
        }
        cvm_json_object(json);
        status = write_event_members(job, row, json, err);
        cvm_json_key_array(json, "insights");
        for (size_t n = i; n < job->key_event_count; n++) {
            const struct cvm_key_event *other = &job->key_events[n];
            if (other->source == event->source && other->ordinal == event->ordinal &&
                insight_of(job, other) != last) {
                last = insight_of(job, other);
                cvm_json_string(json, last->name);
            }
        }
        cvm_json_array_end(json);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    return status;
}

static enum cvm_status write_events(struct journey_job *job, struct cvm_json_writer *json,
                                    struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    size_t count = included_count(job);
    cvm_json_key_array(json, "profile");
    for (size_t i = 0; status == CVM_OK && i < job->first; i++) {
        status = write_event(job, &job->rows[i], json, err);
    }
    cvm_json_array_end(json);
    cvm_json_key_int(json, "total_events", (int64_t)(job->end - job->first));
    cvm_json_key_int(json, "included", (int64_t)count);
    cvm_json_key_array(json, "events");
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        status = write_event(job, event_at(job, i), json, err);
    }
    cvm_json_array_end(json);
    return status;
}

/* The text behind a code: the newest row that has it says it. False if none does. */
static bool write_code(struct journey_job *job, size_t feature, double value,
                       struct cvm_json_writer *json)
{
    const struct cvm_catalogue *catalogue = job->work.catalogue;
    const struct cvm_feature *declared = &catalogue->features[feature];
    if (declared->attribute == CVM_INDEX_NONE) {
        return false;
    }
    for (size_t i = job->end; i > 0; i--) {
        const struct cvm_event_row *row = &job->rows[i - 1];
        const struct cvm_json_value *object = NULL;
        if (row->source == CVM_INDEX_NONE || (declared->sources >> row->source & 1) == 0 ||
            cvm_event_attributes_read(&job->texts, row, &object, NULL) != CVM_OK) {
            continue;
        }
        const struct cvm_json_value *text =
            cvm_json_member(object, catalogue->attributes[declared->attribute].name);
        if (text != NULL && text->type == CVM_JSON_STRING &&
            cvm_rule_code(text->string.data, text->string.length) == value) {
            cvm_json_string_n(json, text->string.data, text->string.length);
            return true;
        }
    }
    return false;
}

/* Numbers as numbers, yes and no as 1 and 0; words, dates and codes as people write them; missing
 * as null. */
static void write_value(struct journey_job *job, size_t feature, double value,
                        struct cvm_json_writer *json)
{
    const struct cvm_catalogue *catalogue = job->work.catalogue;
    enum cvm_rule_type type = catalogue->features[feature].type;
    if (isnan(value) || type == CVM_RULE_NUMBER || type == CVM_RULE_BOOL) {
        cvm_json_double(json, value);
        return;
    }
    if (type == CVM_RULE_CODE && write_code(job, feature, value, json)) {
        return;
    }
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_feature_format(catalogue, feature, value, &text);
    cvm_json_string(json, cvm_text_string(&text));
    cvm_text_finish(&text);
}

static void write_features(struct journey_job *job, struct cvm_json_writer *json)
{
    const struct cvm_catalogue *catalogue = job->work.catalogue;
    struct cvm_feature_values values = values_of(job);
    cvm_json_key_object(json, "features");
    for (size_t f = 0; f < catalogue->feature_count; f++) {
        if (catalogue->features[f].is_anonymous) {
            continue;
        }
        cvm_json_key(json, catalogue->features[f].name);
        write_value(job, f, values.features[f * values.stride], json);
    }
    cvm_json_object_end(json);
}

/* The metric "recent_activity" is declared as days since the last event; it is shown as its day. */
static void write_metric_value(struct journey_job *job, size_t feature,
                               struct cvm_json_writer *json)
{
    const struct cvm_catalogue *catalogue = job->work.catalogue;
    struct cvm_feature_values values = values_of(job);
    const struct cvm_feature *declared = &catalogue->features[feature];
    double value = values.features[feature * values.stride];
    bool is_event_day = declared->aggregate == CVM_AGGREGATE_DAYS_SINCE &&
                        declared->attribute == CVM_INDEX_NONE && fabs(value) < 1e6;
    if (is_event_day) {
        char day[CVM_DAY_TEXT_SIZE];
        cvm_json_string(json, cvm_day_format(job->as_of_day - (int32_t)value, day));
    } else {
        write_value(job, feature, value, json);
    }
}

static bool same_parent(const char *a, const char *b, size_t length)
{
    return strncmp(a, b, length) == 0 && (b[length] == '.');
}

/* "a", "b.x", "b.y" become {"a": .., "b": {"x": .., "y": ..}}: one level of nesting. */
static void write_metrics(struct journey_job *job, struct cvm_json_writer *json)
{
    const struct cvm_catalogue *catalogue = job->work.catalogue;
    const struct cvm_metric_line *lines = catalogue->metric_lines;
    cvm_json_key_object(json, "metrics");
    for (size_t i = 0; i < catalogue->metric_line_count; i++) {
        const char *name = lines[i].name;
        size_t length = strcspn(name, ".");
        bool was_written = false;
        for (size_t before = 0; name[length] == '.' && before < i; before++) {
            was_written |= same_parent(name, lines[before].name, length);
        }
        if (was_written) {
            continue;
        }
        if (name[length] == '\0') {
            cvm_json_key(json, name);
            write_metric_value(job, (size_t)lines[i].feature, json);
            continue;
        }
        char parent[128];
        (void)snprintf(parent, sizeof(parent), "%.*s", (int)length, name);
        cvm_json_key_object(json, parent);
        for (size_t m = i; m < catalogue->metric_line_count; m++) {
            if (same_parent(name, lines[m].name, length)) {
                cvm_json_key(json, lines[m].name + length + 1);
                write_metric_value(job, (size_t)lines[m].feature, json);
            }
        }
        cvm_json_object_end(json);
    }
    cvm_json_object_end(json);
}

static enum cvm_status print_document(struct journey_job *job, struct cvm_error *err)
{
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    cvm_document_init(&document);
    cvm_json_key_string(json, "customer_id", job->customer_id);
    cvm_json_key_day(json, "as_of", job->as_of_day);
    enum cvm_status status = write_events(job, json, err);
    if (status == CVM_OK) {
        status = write_key_events(job, json, err);
    }
    if (status != CVM_OK) {
        cvm_document_finish(&document);
        return status;
    }
    write_features(job, json);
    cvm_json_key_string(json, "summary", cvm_text_string(&job->summary));
    cvm_json_key_array(json, "insights");
    for (size_t i = 0; i < job->insight_count; i++) {
        cvm_json_object(json);
        cvm_json_key_string(json, "name", job->insights[i].insight->name);
        cvm_json_key_string(json, "severity", job->insights[i].insight->severity);
        cvm_json_key_string(json, "sentence", job->insights[i].sentence);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    write_metrics(job, json);
    return cvm_document_print(&document, job->session, err);
}

/* ---- people ---- */

static enum cvm_status print_event(struct journey_job *job, const struct cvm_event_row *row,
                                   struct cvm_error *err)
{
    char day[CVM_DAY_TEXT_SIZE] = "-";
    struct cvm_text text;
    cvm_text_init(&text, 0);
    enum cvm_status status = cvm_event_text_write(&job->texts, row, &text, err);
    fprintf(job->session->out, "  %-10s  %-24s  %s\n",
            row->day == CVM_DAY_NONE ? "always" : cvm_day_format(row->day, day),
            cvm_event_source_label(job->work.catalogue, row), cvm_text_string(&text));
    cvm_text_finish(&text);
    return status;
}

static enum cvm_status print_key_events(struct journey_job *job, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    bool has_any = false;
    for (size_t i = 0; status == CVM_OK && i < job->key_event_count; i++) {
        const struct cvm_event_row *row = row_of(job, &job->key_events[i]);
        if (row != NULL && !is_told_before(job, i)) {
            fputs(has_any ? "" : "The events behind these:\n", job->session->out);
            has_any = true;
            status = print_event(job, row, err);
        }
    }
    fputs(has_any ? "\nEverything:\n" : "", job->session->out);
    return status;
}

static enum cvm_status print_timeline(struct journey_job *job, struct cvm_error *err)
{
    FILE *out = job->session->out;
    size_t total = job->end - job->first;
    size_t count = included_count(job);
    char day[CVM_DAY_TEXT_SIZE];
    enum cvm_status status = CVM_OK;
    fprintf(out, "Journey of %s as of %s\n\n%s\n\n", job->customer_id,
            cvm_day_format(job->as_of_day, day), cvm_text_string(&job->summary));
    for (size_t i = 0; i < job->insight_count; i++) {
        fprintf(out, "  %-8s %s\n", job->insights[i].insight->severity, job->insights[i].sentence);
    }
    fputs(job->insight_count > 0 ? "\n" : "", out);
    status = print_key_events(job, err);
    for (size_t i = 0; status == CVM_OK && i < job->first; i++) {
        status = print_event(job, &job->rows[i], err);
    }
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        status = print_event(job, event_at(job, i), err);
    }
    if (count < total) {
        fprintf(out, "  ... and %zu older events\n", total - count);
    }
    return status;
}

static enum cvm_status run_journey(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct journey_job job = {.session = session};
    struct cvm_work_options options = {.access = CVM_DB_READ, .needs_engine = true, .threads = 1};
    enum cvm_status status = parse(&job, arguments, err);
    if (status == CVM_OK) {
        status = cvm_work_open(session, &options, &job.work, err);
    }
    cvm_column_init(&job.wishes, sizeof(struct cvm_key_wish));
    cvm_text_init(&job.summary, 0);
    if (status == CVM_OK) {
        status = load_rows(&job, err);
    }
    if (status == CVM_OK) {
        status = analyse(&job, err);
    }
    if (status == CVM_OK) {
        status = session->is_json ? print_document(&job, err) : print_timeline(&job, err);
    }
    cvm_text_finish(&job.summary);
    cvm_column_finish(&job.wishes);
    cvm_event_texts_close(&job.texts);
    cvm_chunk_destroy(job.chunk);
    cvm_work_close(&job.work);
    return status;
}

static const struct cvm_option journey_options[] = {
    {"--as-of", "D", "the end of this day (default: today, or the newest event of old data)"},
    {"--max", "N", "only the N newest events, newest first"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_journey = {
    .name = "journey",
    .arguments = "ID",
    .summary = "One customer's timeline, summary, insights and features",
    .details = "  cvm journey U124 --as-of 2024-03-20\n"
               "  cvm journey U124 --max 5 --json",
    .positional_min = 1,
    .positional_max = 1,
    .options = journey_options,
    .run = run_journey,
};
