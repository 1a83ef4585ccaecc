#include <math.h>
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/work.h"
#include "engine/explain.h"

struct explain_job {
    struct cvm_session *session;
    struct cvm_work work;
    struct cvm_run_record run;
    struct cvm_explanation *explanation;
};

/* The symbols of the value, as in the formula that the details give. */
struct part {
    const char *name;
    const char *symbol;
    double value;
};
#define PARTS 11
static void parts_of(const struct cvm_action_value *value, struct part parts[PARTS])
{
    const struct part found[PARTS] = {
        {"reach", "q", value->reach},
        {"churn", "p", value->churn},
        {"churn_cut", "rho", value->churn_cut},
        {"worth", "W", value->worth},
        {"accept", "a", value->accept},
        {"extra_margin", "u", value->extra_margin},
        {"annuity", "H", value->annuity},
        {"incentive", "g", value->incentive},
        {"cost", "c", value->cost},
        {"fatigue", "k", value->fatigue},
        {"margin_month", "m", value->margin},
    };
    memcpy(parts, found, sizeof(found));
}

static bool was_valued(const struct cvm_explained_treatment *treatment)
{
    return treatment->is_eligible;
}

/* ---- JSON ---- */

static void write_parts(const struct cvm_catalogue *catalogue,
                        const struct cvm_explained_treatment *treatment,
                        struct cvm_json_writer *json)
{
    const struct cvm_action_value *value = &treatment->parts;
    struct part parts[PARTS];
    cvm_json_key_object(json, "parts");
    if (was_valued(treatment)) {
        parts_of(value, parts);
        for (size_t i = 0; i < PARTS; i++) {
            cvm_json_key_double(json, parts[i].name, parts[i].value);
        }
        cvm_json_key_string(json, "segment", catalogue->segments[value->segment].name);
        cvm_json_key_string(json, "channel", cvm_channel_words[value->channel]);
        cvm_json_key_string(json, "source", value->source);
    }
    cvm_json_object_end(json);
}

static void write_treatment(const struct cvm_catalogue *catalogue,
                            const struct cvm_explained_treatment *treatment,
                            struct cvm_json_writer *json)
{
    cvm_json_object(json);
    cvm_json_key_string(json, "treatment", catalogue->treatments[treatment->treatment].id);
    cvm_json_key_bool(json, "eligible", treatment->is_eligible);
    cvm_json_key_string(json, "reason", cvm_reason_name(treatment->reason));
    cvm_json_key_string(json, "sentence", cvm_reason_sentence(treatment->reason));
    cvm_json_key_string(json, "failed_rule", treatment->parts.failed_rule);
    if (treatment->parts.failed_rule != NULL) {
        cvm_json_key_double(json, "failed_value", treatment->parts.failed_value);
    }
    cvm_json_key_double(json, "value", treatment->value);
    write_parts(catalogue, treatment, json);
    cvm_json_key_double(json, "sd", treatment->sd);
    cvm_json_key_double(json, "price", treatment->price);
    cvm_json_key_double(json, "margin", treatment->margin);
    cvm_json_object_end(json);
}

static void write_decision(const struct cvm_catalogue *catalogue,
                           const struct cvm_explanation *explanation, struct cvm_json_writer *json)
{
    const struct cvm_run_decision *decision = explanation->decision;
    char id[CVM_DECISION_ID_SIZE];
    cvm_json_key_object(json, "decision");
    cvm_json_key_string(json, "treatment",
                        decision == NULL ? catalogue->ignore.id
                                         : catalogue->treatments[decision->treatment].id);
    cvm_json_key_string(json, "reason", cvm_reason_name(explanation->reason));
    cvm_json_key_string(json, "sentence", cvm_reason_sentence(explanation->reason));
    if (decision != NULL) {
        cvm_json_key_string(json, "decision_id",
                            cvm_decision_id(explanation->run_id, decision->key, id));
        cvm_json_key_double(json, "value", decision->value);
        cvm_json_key_double(json, "sd", decision->sd);
        cvm_json_key_double(json, "price", decision->price);
        cvm_json_key(json, "cost");
        cvm_json_micro(json, decision->cost_micro);
        cvm_json_key(json, "incentive");
        cvm_json_micro(json, decision->incentive_micro);
    }
    cvm_json_object_end(json);
}

static enum cvm_status print_document(struct explain_job *job, struct cvm_error *err)
{
    const struct cvm_explanation *explanation = job->explanation;
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    cvm_document_init(&document);
    cvm_json_key_string(json, "customer_id", explanation->customer_id);
    cvm_json_key_string(json, "run_id", explanation->run_id);
    cvm_json_key_day(json, "as_of", explanation->as_of_day);
    cvm_json_key_int(json, "catalogue_version", job->work.catalogue->version);
    cvm_json_key_bool(json, "data_changed", explanation->data_changed);
    write_decision(job->work.catalogue, explanation, json);
    cvm_json_key_array(json, "treatments");
    for (size_t i = 0; i < explanation->treatment_count; i++) {
        write_treatment(job->work.catalogue, &explanation->treatments[i], json);
    }
    cvm_json_array_end(json);
    return cvm_document_print(&document, job->session, err);
}

/* ---- people ---- */

static void print_head(struct explain_job *job)
{
    const struct cvm_explanation *explanation = job->explanation;
    const struct cvm_catalogue *catalogue = job->work.catalogue;
    const struct cvm_run_decision *decision = explanation->decision;
    FILE *out = job->session->out;
    char day[CVM_DAY_TEXT_SIZE];
    fprintf(out, "Customer %s in run %s as of %s: %s\n", explanation->customer_id,
            explanation->run_id, cvm_day_format(explanation->as_of_day, day),
            decision == NULL ? catalogue->ignore.display_name
                             : catalogue->treatments[decision->treatment].display_name);
    fprintf(out, "%s\n\n", cvm_reason_sentence(explanation->reason));
    if (explanation->data_changed) {
        fputs("The data has changed since this run: parts are of today's data, values of the "
              "run.\n\n",
              out);
    }
}

static void add_why(struct cvm_table *table, const struct cvm_explained_treatment *treatment)
{
    const char *rule = treatment->parts.failed_rule;
    double found = treatment->parts.failed_value;
    if (treatment->is_eligible || rule == NULL) {
        cvm_table_add(table, cvm_reason_sentence(treatment->reason));
    } else if (isnan(found)) {
        cvm_table_add_format(table, "%s It needs %s, and that is unknown.",
                             cvm_reason_sentence(treatment->reason), rule);
    } else {
        cvm_table_add_format(table, "%s It needs %s, and it is %.4g.",
                             cvm_reason_sentence(treatment->reason), rule, found);
    }
}

static void print_treatments(const struct explain_job *job)
{
    static const char *const headers[] = {"treatment", ">value", ">sd", ">price", ">margin", "why"};
    const struct cvm_explanation *explanation = job->explanation;
    struct cvm_table table;
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t i = 0; i < explanation->treatment_count; i++) {
        const struct cvm_explained_treatment *treatment = &explanation->treatments[i];
        const double numbers[] = {treatment->value, treatment->sd, treatment->price,
                                  treatment->margin};
        cvm_table_add(&table, job->work.catalogue->treatments[treatment->treatment].display_name);
        for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
            if (was_valued(treatment) && isfinite(numbers[n])) {
                cvm_table_add_format(&table, "%.4f", numbers[n]);
            } else {
                cvm_table_add(&table, "-");
            }
        }
        add_why(&table, treatment);
    }
    cvm_table_print(&table, job->session->out);
}

static void print_parts(const struct explain_job *job)
{
    static const char *const headers[PARTS + 1] = {"parts", ">q", ">p", ">rho", ">W", ">a",
                                                   ">u",    ">H", ">g", ">c",   ">k", ">m"};
    const struct cvm_explanation *explanation = job->explanation;
    struct cvm_table table;
    struct part parts[PARTS];
    cvm_table_init(&table, headers, PARTS + 1);
    for (size_t i = 0; i < explanation->treatment_count; i++) {
        const struct cvm_explained_treatment *treatment = &explanation->treatments[i];
        if (!was_valued(treatment)) {
            continue;
        }
        cvm_table_add(&table, job->work.catalogue->treatments[treatment->treatment].id);
        parts_of(&treatment->parts, parts);
        for (size_t p = 0; p < PARTS; p++) {
            cvm_table_add_format(&table, "%.6g", parts[p].value);
        }
    }
    if (table.cell_count == 0) {
        cvm_text_finish(&table.cells);
        return;
    }
    fputc('\n', job->session->out);
    cvm_table_print(&table, job->session->out);
    fputs("\nvalue = q [ p rho W + a (u H - g) ] - c - k, W = m H; margin = value - price\n",
          job->session->out);
}

static enum cvm_status find_run(struct explain_job *job, const char *run_id, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    enum cvm_status status = cvm_session_store(job->session, CVM_DB_READ, &store, err);
    if (status == CVM_OK) {
        status = cvm_run_get(store, job->session->arena, run_id, &job->run, err);
    }
    cvm_store_close(store);
    return status;
}

static enum cvm_status run_explain(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    struct explain_job job = {.session = session};
    struct cvm_work_options options = {.access = CVM_DB_READ, .needs_engine = true, .threads = 1};
    enum cvm_status status = find_run(&job, arguments->positional[0], err);
    if (status == CVM_OK) {
        options.catalogue_version = job.run.catalogue_version;
        status = cvm_work_open(session, &options, &job.work, err);
    }
    if (status == CVM_OK) {
        status = cvm_explain(job.work.engine, job.work.store, job.run.run_id,
                             arguments->positional[1], session->arena, &job.explanation, err);
    }
    if (status == CVM_OK && session->is_json) {
        status = print_document(&job, err);
    } else if (status == CVM_OK) {
        print_head(&job);
        print_treatments(&job);
        print_parts(&job);
    }
    cvm_work_close(&job.work);
    return status;
}

const struct cvm_command cvm_command_explain = {
    .name = "explain",
    .arguments = "RUN|latest ID",
    .summary = "Why this treatment and not another: every part of every value",
    .details =
        "The parts give the same number in a spreadsheet:\n"
        "value = q [ p rho W + a (u H - g) ] - c - k\n"
        "q reached, p churn if untreated, rho cut of churn if reached, W worth of the\n"
        "customer, a accepts, u extra margin a month, H months it lasts, g incentive,\n"
        "c cost of the contact, k fatigue. Price: what the scarce means it needs are worth.\n\n"
        "  cvm explain latest U124",
    .positional_min = 2,
    .positional_max = 2,
    .run = run_explain,
};
