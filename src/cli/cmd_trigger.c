/* trigger list, show, match; the others stand in cmd_trigger_edit.c */
#include <math.h>
#include <string.h>

#include "base/date.h"
#include "base/suggest.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/trigger_report.h"
#include "cli/work.h"
#include "engine/trigger.h"
#include "journey/summary.h"

#define MATCHES_SHOWN     1000
#define MATCHES_SHOWN_MAX 1000000

enum cvm_status cvm_find_trigger(const struct cvm_catalogue *catalogue, const char *name,
                                 int *out_trigger, struct cvm_error *err)
{
    struct cvm_suggestion suggestion = {.typed = name};
    int found = cvm_catalogue_trigger(catalogue, name);
    if (found != CVM_INDEX_NONE) {
        *out_trigger = found;
        return CVM_OK;
    }
    for (size_t t = 0; t < catalogue->trigger_count; t++) {
        cvm_suggestion_try(&suggestion, catalogue->triggers[t].name);
    }
    enum cvm_status status = CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no trigger '%s'", name);
    return suggestion.best == NULL
               ? cvm_error_hint(err, status, "`cvm trigger list` shows what there is.")
               : cvm_error_hint(err, status, "Did you mean '%s'?", suggestion.best);
}

void cvm_trigger_json_write(const struct cvm_trigger *trigger, struct cvm_json_writer *json)
{
    cvm_json_key_string(json, "name", trigger->name);
    cvm_json_key_string(json, "display_name", trigger->display_name);
    cvm_json_key_string(json, "description", trigger->description);
    cvm_json_key_bool(json, "enabled", trigger->enabled);
    cvm_json_key_bool(json, "custom", trigger->custom);
    cvm_json_key_string(json, "when", trigger->when.text);
    cvm_json_key_string(json, "created_at", trigger->created_at);
    cvm_json_key_string(json, "file", trigger->file);
}

void cvm_trigger_print(FILE *out, const struct cvm_trigger *trigger)
{
    fprintf(out, "%s: %s%s%s\n  %s\n", trigger->name, trigger->display_name,
            trigger->custom ? ", added by a person" : "", trigger->enabled ? "" : ", disabled",
            trigger->description);
    if (trigger->when.clause_count == 1 && trigger->when.clauses[0].alternative_count > 0) {
        const struct cvm_rule_clause *clause = &trigger->when.clauses[0];
        for (size_t a = 0; a < clause->alternative_count; a++) {
            fprintf(out, "  %-4s %s\n", a == 0 ? "when" : "or", clause->alternatives[a].text);
        }
    } else {
        for (size_t c = 0; c < trigger->when.clause_count; c++) {
            fprintf(out, "  %-4s %s\n", c == 0 ? "when" : "and",
                    trigger->when.clauses[c].whole.text);
        }
    }
}

/* ---- list ---- */

static enum cvm_status print_list_document(struct cvm_session *session,
                                           const struct cvm_catalogue *catalogue,
                                           struct cvm_error *err)
{
    struct cvm_document document;
    cvm_document_init(&document);
    cvm_json_key_int(&document.json, "catalogue_version", catalogue->version);
    cvm_json_key_array(&document.json, "triggers");
    for (size_t t = 0; t < catalogue->trigger_count; t++) {
        cvm_json_object(&document.json);
        cvm_trigger_json_write(&catalogue->triggers[t], &document.json);
        cvm_json_object_end(&document.json);
    }
    cvm_json_array_end(&document.json);
    return cvm_document_print(&document, session, err);
}

static void print_list(struct cvm_session *session, const struct cvm_catalogue *catalogue)
{
    static const char *const headers[] = {"trigger", "state", "looks for"};
    struct cvm_table table;
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t t = 0; t < catalogue->trigger_count; t++) {
        const struct cvm_trigger *trigger = &catalogue->triggers[t];
        cvm_table_add(&table, trigger->name);
        cvm_table_add_format(&table, "%s%s", trigger->custom ? "own, " : "",
                             trigger->enabled ? "enabled" : "disabled");
        cvm_table_add(&table, trigger->description);
    }
    cvm_table_print(&table, session->out);
}

static enum cvm_status run_list(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct cvm_work_options options = {.access = CVM_DB_READ};
    struct cvm_work work;
    (void)arguments;
    enum cvm_status status = cvm_work_open(session, &options, &work, err);
    if (status != CVM_OK) {
        return status;
    }
    if (session->is_json) {
        status = print_list_document(session, work.catalogue, err);
    } else {
        print_list(session, work.catalogue);
    }
    cvm_work_close(&work);
    return status;
}

const struct cvm_command cvm_command_trigger_list = {
    .name = "trigger list",
    .arguments = "",
    .summary = "All triggers: whom the catalogue looks for",
    .details = "  cvm trigger list",
    .run = run_list,
};

/* ---- show ---- */

static enum cvm_status run_show(struct cvm_session *session, const struct cvm_arguments *arguments,
                                struct cvm_error *err)
{
    struct cvm_work_options options = {.access = CVM_DB_READ};
    struct cvm_work work;
    int found = CVM_INDEX_NONE;
    enum cvm_status status = cvm_work_open(session, &options, &work, err);
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_find_trigger(work.catalogue, arguments->positional[0], &found, err);
    if (status == CVM_OK && session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_trigger_json_write(&work.catalogue->triggers[found], &document.json);
        status = cvm_document_print(&document, session, err);
    } else if (status == CVM_OK) {
        cvm_trigger_print(session->out, &work.catalogue->triggers[found]);
    }
    cvm_work_close(&work);
    return status;
}

const struct cvm_command cvm_command_trigger_show = {
    .name = "trigger show",
    .arguments = "NAME",
    .summary = "One trigger and its rule",
    .details = "  cvm trigger show churn_risk",
    .positional_min = 1,
    .positional_max = 1,
    .run = run_show,
};

/* ---- match ---- */

struct match_job {
    struct cvm_session *session;
    struct cvm_work work;
    struct cvm_trigger_request request;
    struct cvm_trigger_result result;
};

static void write_value(const struct cvm_catalogue *catalogue,
                        const struct cvm_trigger_evidence *evidence, struct cvm_json_writer *json)
{
    enum cvm_rule_type type = catalogue->features[evidence->feature].type;
    cvm_json_key(json, "value");
    if (isnan(evidence->value) || type == CVM_RULE_NUMBER || type == CVM_RULE_BOOL) {
        cvm_json_double(json, evidence->value);
        return;
    }
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_feature_format(catalogue, (size_t)evidence->feature, evidence->value, &text);
    cvm_json_string(json, cvm_text_string(&text));
    cvm_text_finish(&text);
}

static void write_match(const struct cvm_catalogue *catalogue,
                        const struct cvm_trigger_match *match, struct cvm_json_writer *json)
{
    cvm_json_object(json);
    cvm_json_key_string(json, "customer_id", match->customer_id);
    cvm_json_key_string(json, "reason", match->reason);
    cvm_json_key_array(json, "evidence");
    for (size_t i = 0; i < match->evidence_count; i++) {
        const struct cvm_trigger_evidence *evidence = &match->evidence[i];
        cvm_json_object(json);
        cvm_json_key_string(json, "feature", catalogue->features[evidence->feature].name);
        write_value(catalogue, evidence, json);
        cvm_json_key_day(json, "date", evidence->day);
        cvm_json_key_string(
            json, "source",
            evidence->source == CVM_INDEX_NONE ? NULL : catalogue->sources[evidence->source].name);
        cvm_json_key_string(json, "words", evidence->words);
        cvm_json_key_string(json, "snippet", evidence->snippet);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    cvm_json_object_end(json);
}

/* NULL when nothing is left to show. */
static const char *next_cursor(const struct match_job *job, char cursor[CVM_KEY_CURSOR_SIZE])
{
    size_t count = job->result.count;
    return count == 0 || job->result.remaining == 0
               ? NULL
               : cvm_key_cursor(job->result.matches[count - 1].key, cursor);
}

static enum cvm_status print_document(const struct match_job *job, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = job->work.catalogue;
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    char cursor[CVM_KEY_CURSOR_SIZE];
    cvm_document_init(&document);
    cvm_json_key_string(json, "trigger", catalogue->triggers[job->request.trigger].name);
    cvm_json_key_day(json, "as_of", job->request.as_of_day);
    cvm_json_key_array(json, "matches");
    for (size_t i = 0; i < job->result.count; i++) {
        write_match(catalogue, &job->result.matches[i], json);
    }
    cvm_json_array_end(json);
    cvm_json_key_string(json, "next_cursor", next_cursor(job, cursor));
    cvm_json_key_int(json, "total_matches", job->result.total_matches);
    cvm_json_key_int(json, "customers", job->result.customers);
    return cvm_document_print(&document, job->session, err);
}

static void print_evidence(const struct match_job *job, const struct cvm_trigger_evidence *evidence)
{
    const struct cvm_catalogue *catalogue = job->work.catalogue;
    char day[CVM_DAY_TEXT_SIZE];
    if (evidence->source == CVM_INDEX_NONE) {
        return; /* its value stands in the reason */
    }
    fprintf(job->session->out, "    %-10s  %s",
            evidence->day == CVM_DAY_NONE ? "" : cvm_day_format(evidence->day, day),
            catalogue->sources[evidence->source].display_name);
    if (evidence->snippet == NULL) {
        fprintf(job->session->out, " (%s)\n", catalogue->features[evidence->feature].name);
    } else {
        fprintf(job->session->out, ": \"%s\"\n", evidence->snippet);
    }
}

static void print_matches(const struct match_job *job)
{
    FILE *out = job->session->out;
    const struct cvm_trigger_result *result = &job->result;
    char found[CVM_NUMBER_TEXT_SIZE];
    char looked_at[CVM_NUMBER_TEXT_SIZE];
    char day[CVM_DAY_TEXT_SIZE];
    char cursor[CVM_KEY_CURSOR_SIZE];
    for (size_t i = 0; i < result->count; i++) {
        const struct cvm_trigger_match *match = &result->matches[i];
        fprintf(out, "%s\n  %s\n", match->customer_id, match->reason);
        for (size_t e = 0; e < match->evidence_count; e++) {
            print_evidence(job, &match->evidence[e]);
        }
    }
    fprintf(out, "%s%s of %s customers match '%s' as of %s", result->count > 0 ? "\n" : "",
            cvm_grouped(result->total_matches, found), cvm_grouped(result->customers, looked_at),
            job->work.catalogue->triggers[job->request.trigger].name,
            cvm_day_format(job->request.as_of_day, day));
    if (result->count > 0 && (int64_t)result->count < result->total_matches) {
        bool is_one = result->count == 1;
        fprintf(out, "; the %s%s%s shown, --limit shows more",
                job->request.after_key == 0 ? "first " : "next ",
                is_one ? "" : cvm_grouped((int64_t)result->count, found), is_one ? "is" : " are");
    }
    fputs(".\n", out);
    const char *next = next_cursor(job, cursor);
    if (next != NULL && !job->session->is_quiet) {
        fprintf(job->session->err, "More: --after %s\n", next);
    }
}

static enum cvm_status parse_match(struct match_job *job, const struct cvm_arguments *arguments,
                                   struct cvm_error *err)
{
    const char *customers = cvm_argument(arguments, "--customers");
    int64_t limit = MATCHES_SHOWN;
    enum cvm_status status =
        cvm_argument_int(arguments, "--limit", 0, MATCHES_SHOWN_MAX, &limit, err);
    job->request.evidence_max = (size_t)limit;
    if (status == CVM_OK) {
        status = cvm_argument_key(arguments, "--after", &job->request.after_key, err);
    }
    if (status == CVM_OK && customers != NULL) {
        status = cvm_argument_list(job->session->arena, customers, &job->request.customers,
                                   &job->request.customer_count, err);
    }
    return status == CVM_OK ? CVM_OK : cvm_session_usage(job->session, status);
}

static enum cvm_status match(struct match_job *job, const struct cvm_arguments *arguments,
                             struct cvm_error *err)
{
    struct cvm_session *session = job->session;
    enum cvm_status status =
        cvm_find_trigger(job->work.catalogue, arguments->positional[0], &job->request.trigger, err);
    if (status == CVM_OK) {
        status = cvm_work_day(&job->work, arguments, &job->request.as_of_day, err);
    }
    if (status == CVM_OK) {
        if (!job->work.catalogue->triggers[job->request.trigger].enabled) {
            cvm_session_warn(session, "trigger '%s' is disabled: runs do not take it",
                             arguments->positional[0]);
        }
        status =
            cvm_trigger_match(job->work.engine, &job->request, session->arena, &job->result, err);
    }
    if (status == CVM_OK && session->is_json) {
        status = print_document(job, err);
    } else if (status == CVM_OK) {
        print_matches(job);
    }
    return status;
}

static enum cvm_status run_match(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 struct cvm_error *err)
{
    struct match_job job = {.session = session};
    struct cvm_work_options options = {.access = CVM_DB_READ, .needs_engine = true};
    enum cvm_status status = parse_match(&job, arguments, err);
    if (status == CVM_OK) {
        status = cvm_session_threads(session, arguments, &options.threads, err);
    }
    if (status == CVM_OK) {
        status = cvm_work_open(session, &options, &job.work, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = match(&job, arguments, err);
    cvm_work_close(&job.work);
    return status;
}

static const struct cvm_option match_options[] = {
    {"--as-of", "D", "the end of this day (default: today, or the newest event of old data)"},
    {"--customers", "A,B", "only these; unknown ones match nothing"},
    {"--limit", "N", "show so many matches (default 1000); all are counted"},
    {"--after", "CURSOR", "show those behind an earlier list: its next_cursor"},
    {"--threads", "N", "workers (default: as configured)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_trigger_match = {
    .name = "trigger match",
    .arguments = "NAME",
    .summary = "Whom a trigger finds, why, and on which records",
    .details =
        "Each match says which parts of the rule hold, the values that they read, the records\n"
        "behind these, and the words in them.\n\n"
        "  cvm trigger match churn_risk\n"
        "  cvm trigger match billing_disputes --customers U124,U126 --as-of 2024-03-20",
    .positional_min = 1,
    .positional_max = 1,
    .options = match_options,
    .run = run_match,
};
