/* rule check: what a rule means, before it stands in a file. */
#include <math.h>
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/work.h"
#include "engine/rule_count.h"
#include "model/rule_scope.h"

struct check_job {
    struct cvm_session *session;
    const struct cvm_arguments *arguments;
    struct cvm_work work;
    const struct cvm_catalogue *catalogue; /* with the rule's own counts behind its features */
    struct cvm_rule rule;
    bool is_counted;
    int32_t as_of_day;
    struct cvm_rule_count count;
};

static const char *const type_names[] = {
    [CVM_RULE_BOOL] = "boolean", [CVM_RULE_NUMBER] = "number", [CVM_RULE_WORD] = "word",
    [CVM_RULE_DATE] = "date",    [CVM_RULE_CODE] = "code",
};
static const char *kind_of(const struct cvm_rule *rule)
{
    return rule->type == CVM_RULE_BOOL ? "condition" : type_names[rule->type];
}

/* ---- what it reads, each once ---- */

static struct cvm_feature_set features_of(const struct cvm_rule *rule)
{
    struct cvm_feature_set set = {{0}};
    for (size_t c = 0; c < rule->clause_count; c++) {
        const struct cvm_rule_part *part = &rule->clauses[c].whole;
        for (size_t o = 0; o < part->operand_count; o++) {
            set.bits[part->operands[o] / 64] |= UINT64_C(1) << part->operands[o] % 64;
        }
    }
    return set;
}

static bool is_in(const struct cvm_feature_set *set, size_t feature)
{
    return (set->bits[feature / 64] >> feature % 64 & 1) != 0;
}

/* ---- the document ---- */

static void write_clause(const struct check_job *job, size_t number, struct cvm_json_writer *json)
{
    const struct cvm_rule_clause *clause = &job->rule.clauses[number];
    cvm_json_object(json);
    cvm_json_key_string(json, "text", clause->whole.text);
    cvm_json_key_array(json, "alternatives");
    for (size_t a = 0; a < clause->alternative_count; a++) {
        cvm_json_string(json, clause->alternatives[a].text);
    }
    cvm_json_array_end(json);
    cvm_json_key_array(json, "reads");
    for (size_t o = 0; o < clause->whole.operand_count; o++) {
        cvm_json_string(json, job->catalogue->features[clause->whole.operands[o]].name);
    }
    cvm_json_array_end(json);
    if (job->is_counted && job->rule.type == CVM_RULE_BOOL) {
        cvm_json_key_int(json, "customers", job->count.clause_holds[number]);
    }
    cvm_json_object_end(json);
}

static void write_feature(const struct cvm_feature *feature, struct cvm_json_writer *json)
{
    cvm_json_object(json);
    cvm_json_key_string(json, "name", feature->name);
    cvm_json_key_string(json, "type", type_names[feature->type]);
    cvm_json_key_string(json, "description", feature->description);
    cvm_json_key_bool(json, "sensitive", feature->sensitive);
    cvm_json_key_array(json, "words");
    for (size_t i = 0; feature->words != NULL && feature->words[i] != NULL; i++) {
        cvm_json_string(json, feature->words[i]);
    }
    cvm_json_array_end(json);
    cvm_json_object_end(json);
}

static void write_value(const struct check_job *job, const char *key, double value,
                        struct cvm_json_writer *json)
{
    if (job->rule.type == CVM_RULE_DATE) {
        cvm_json_key_day(json, key, (int32_t)value);
    } else {
        cvm_json_key_double(json, key, value);
    }
}

static void write_count(const struct check_job *job, struct cvm_json_writer *json)
{
    const struct cvm_rule_count *count = &job->count;
    cvm_json_key_object(json, "count");
    cvm_json_key_day(json, "as_of", job->as_of_day);
    cvm_json_key_int(json, "customers", count->customers);
    if (job->rule.type == CVM_RULE_BOOL) {
        cvm_json_key_int(json, "holds", count->holds);
    } else {
        cvm_json_key_int(json, "missing", count->customers - count->holds);
        if (count->holds > 0) {
            write_value(job, "least", count->least, json);
            write_value(job, "mean", count->sum / (double)count->holds, json);
            write_value(job, "greatest", count->greatest, json);
        }
    }
    cvm_json_object_end(json);
}

static enum cvm_status print_document(const struct check_job *job, struct cvm_error *err)
{
    const struct cvm_feature_set reads = features_of(&job->rule);
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    cvm_document_init(&document);
    cvm_json_key_string(json, "rule", job->rule.text);
    cvm_json_key_string(json, "type", kind_of(&job->rule));
    cvm_json_key_array(json, "clauses");
    for (size_t c = 0; c < job->rule.clause_count; c++) {
        write_clause(job, c, json);
    }
    cvm_json_array_end(json);
    cvm_json_key_array(json, "reads");
    for (size_t f = 0; f < job->catalogue->feature_count; f++) {
        if (is_in(&reads, f)) {
            write_feature(&job->catalogue->features[f], json);
        }
    }
    cvm_json_array_end(json);
    if (job->is_counted) {
        write_count(job, json);
    }
    return cvm_document_print(&document, job->session, err);
}

/* ---- for people ---- */

static void print_clauses(const struct check_job *job)
{
    static const char *const headers[] = {"", "clause", ">customers"};
    bool has_counts = job->is_counted;
    char number[CVM_NUMBER_TEXT_SIZE];
    struct cvm_table table;
    cvm_table_init(&table, headers, has_counts ? 3 : 2);
    for (size_t c = 0; c < job->rule.clause_count; c++) {
        const struct cvm_rule_clause *clause = &job->rule.clauses[c];
        cvm_table_add(&table, c == 0 ? "" : "and");
        cvm_table_add(&table, clause->whole.text);
        if (has_counts) {
            cvm_table_add(&table, cvm_grouped(job->count.clause_holds[c], number));
        }
    }
    cvm_table_print(&table, job->session->out);
}

static void print_features(const struct check_job *job)
{
    static const char *const headers[] = {"reads", "type", "is"};
    const struct cvm_feature_set reads = features_of(&job->rule);
    struct cvm_table table;
    size_t count = 0;
    cvm_table_init(&table, headers, 3);
    for (size_t f = 0; f < job->catalogue->feature_count; f++) {
        const struct cvm_feature *feature = &job->catalogue->features[f];
        if (is_in(&reads, f)) {
            cvm_table_add(&table, feature->name);
            cvm_table_add(&table, type_names[feature->type]);
            cvm_table_add(&table, feature->is_anonymous          ? "counted for this rule"
                                  : feature->description == NULL ? ""
                                                                 : feature->description);
            count++;
        }
    }
    fputs(count > 0 ? "\n" : "\nIt reads no feature.\n", job->session->out);
    if (count > 0) {
        cvm_table_print(&table, job->session->out);
    } else {
        cvm_text_finish(&table.cells);
    }
}

static void print_values(const struct check_job *job)
{
    FILE *out = job->session->out;
    const struct cvm_rule_count *count = &job->count;
    char least[CVM_DAY_TEXT_SIZE];
    char greatest[CVM_DAY_TEXT_SIZE];
    if (count->holds == 0) {
        fputs("; no customer has a value.\n", out);
    } else if (job->rule.type == CVM_RULE_DATE) {
        fprintf(out, ": from %s to %s.\n", cvm_day_format((int32_t)count->least, least),
                cvm_day_format((int32_t)count->greatest, greatest));
    } else {
        fprintf(out, ": from %.6g to %.6g, %.6g on average.\n", count->least, count->greatest,
                count->sum / (double)count->holds);
    }
}

static void print_count(const struct check_job *job)
{
    FILE *out = job->session->out;
    const struct cvm_rule_count *count = &job->count;
    char holds[CVM_NUMBER_TEXT_SIZE];
    char all[CVM_NUMBER_TEXT_SIZE];
    char day[CVM_DAY_TEXT_SIZE];
    bool is_condition = job->rule.type == CVM_RULE_BOOL;
    fprintf(out, "\nAs of %s it %s for %s of %s customers", cvm_day_format(job->as_of_day, day),
            is_condition ? "holds" : "has a value", cvm_grouped(count->holds, holds),
            cvm_grouped(count->customers, all));
    if (!is_condition) {
        print_values(job);
    } else if (count->customers > 0) {
        fprintf(out, " (%.1f %%).\n", 100.0 * (double)count->holds / (double)count->customers);
    } else {
        fputs(".\n", out);
    }
}

static void print_text(const struct check_job *job)
{
    FILE *out = job->session->out;
    if (job->rule.type == CVM_RULE_BOOL) {
        fputs("A condition:\n\n", out);
        print_clauses(job);
    } else {
        fprintf(out, "A %s.\n", kind_of(&job->rule));
    }
    print_features(job);
    if (job->is_counted) {
        print_count(job);
    }
}

/* ---- the command ---- */

/* A condition, or a number. What is neither gets the message of the condition, which is the one
 * most often meant; a mistake gives the same message both times. */
static enum cvm_status compile(struct check_job *job, struct cvm_error *err)
{
    const char *text = job->arguments->positional[0];
    struct cvm_arena *arena = job->session->arena;
    struct cvm_error found = {0};
    enum cvm_status status = cvm_names_compile(arena, job->work.catalogue, text, CVM_RULE_BOOL,
                                               &job->catalogue, &job->rule, &found);
    if (status != CVM_OK && cvm_names_compile(arena, job->work.catalogue, text, CVM_RULE_NUMBER,
                                              &job->catalogue, &job->rule, NULL) == CVM_OK) {
        return CVM_OK;
    }
    if (status != CVM_OK && err != NULL) {
        *err = found;
    }
    return status;
}

static enum cvm_status count(struct check_job *job, struct cvm_error *err)
{
    if (job->catalogue->topic_count > job->work.catalogue->topic_count) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_INVALID, "the journeys do not know the words of mentions() yet");
        return cvm_error_hint(err, status,
                              "Put a rule with them, or a topic, into the catalogue and `cvm "
                              "apply` it; then they can be counted.");
    }
    enum cvm_status status = cvm_work_day(&job->work, job->arguments, &job->as_of_day, err);
    return status == CVM_OK ? cvm_rule_count(job->work.engine, job->catalogue, &job->rule,
                                             job->as_of_day, &job->count, err)
                            : status;
}

static enum cvm_status run_check(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 struct cvm_error *err)
{
    struct check_job job = {.session = session, .arguments = arguments};
    if (arguments->positional[0][strspn(arguments->positional[0], " \t\r\n")] == '\0') {
        return cvm_session_usage(session, CVM_FAIL(err, CVM_E_INVALID, "the rule is empty"));
    }
    job.is_counted = cvm_argument_given(arguments, "--count");
    struct cvm_work_options options = {.access = CVM_DB_READ, .needs_engine = job.is_counted};
    enum cvm_status status = cvm_session_threads(session, arguments, &options.threads, err);
    if (status == CVM_OK) {
        status = cvm_work_open(session, &options, &job.work, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = compile(&job, err);
    if (status == CVM_OK && job.is_counted) {
        status = count(&job, err);
    }
    if (status == CVM_OK && session->is_json) {
        status = print_document(&job, err);
    } else if (status == CVM_OK) {
        print_text(&job);
    }
    cvm_work_close(&job.work);
    return status;
}

static const struct cvm_option check_options[] = {
    {"--count", NULL, "for how many customers it holds, and each of its clauses alone"},
    {"--as-of", "D", "count as of the end of this day (default: today, or the newest event)"},
    {"--threads", "N", "workers (default: as configured)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_rule_check = {
    .name = "rule check",
    .arguments = "RULE",
    .summary = "What a rule means, what it reads, for whom it holds",
    .details =
        "Compiles the rule against the features in force and stores nothing. The language is\n"
        "in docs/concepts/rules.md.\n\n"
        "  cvm rule check \"churn_90d >= 0.1 && tenure_months > 12\" --count\n"
        "  cvm rule check \"count(call_transcripts, 90, contact.sentiment == 'negative')\"",
    .positional_min = 1,
    .positional_max = 1,
    .options = check_options,
    .run = run_check,
};
