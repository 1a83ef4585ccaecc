/* treatment list, treatment show; the others stand in cmd_treatment_import.c and _edit.c */
#include <string.h>

#include "base/date.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/treatment_report.h"
#include "cli/work.h"

/* ---- JSON ---- */

static void write_estimate(struct cvm_json_writer *json, const char *key, double mean, double sd)
{
    cvm_json_key_object(json, key);
    cvm_json_key_double(json, "mean", mean);
    cvm_json_key_double(json, "sd", sd);
    cvm_json_object_end(json);
}

static void write_response(const struct cvm_response *response, struct cvm_json_writer *json)
{
    cvm_json_key_object(json, "response");
    write_estimate(json, "reach", response->reach, response->reach_sd);
    write_estimate(json, "accept", response->accept, response->accept_sd);
    write_estimate(json, "churn_cut", response->churn_cut, response->churn_cut_sd);
    cvm_json_key_double(json, "incentive", response->incentive);
    cvm_json_key_double(json, "incentive_margins", response->incentive_margins);
    cvm_json_key_double(json, "extra_margin", response->extra_margin);
    cvm_json_key_string(json, "source", response->source);
    cvm_json_object_end(json);
}

static void write_constraints(const struct cvm_catalogue *catalogue,
                              const struct cvm_treatment *treatment, struct cvm_json_writer *json)
{
    cvm_json_key_object(json, "constraints");
    cvm_json_key(json, "max_per_day");
    if (treatment->max_per_day < 0) {
        cvm_json_null(json);
    } else {
        cvm_json_int(json, treatment->max_per_day);
    }
    cvm_json_key_int(json, "priority", treatment->priority);
    cvm_json_key(json, "cost_per_contact");
    cvm_json_micro(json, treatment->cost_micro);
    cvm_json_key(json, "loaded_cost");
    cvm_json_micro(json, treatment->loaded_cost_micro);
    cvm_json_key_object(json, "uses");
    for (size_t i = 0; i < treatment->use_count; i++) {
        cvm_json_key_double(json, catalogue->constraints[treatment->uses[i].constraint].id,
                            treatment->uses[i].units);
    }
    cvm_json_object_end(json);
    cvm_json_object_end(json);
}

static const char *text_of(const struct cvm_rule *condition)
{
    return condition->text == NULL || condition->text[0] == '\0' ? NULL : condition->text;
}

void cvm_treatment_json_write(const struct cvm_catalogue *catalogue,
                              const struct cvm_treatment *treatment, struct cvm_json_writer *json)
{
    cvm_json_key_string(json, "id", treatment->id);
    cvm_json_key_string(json, "display_name", treatment->display_name);
    cvm_json_key_string(json, "description", treatment->description);
    cvm_json_key_string(json, "action", treatment->action);
    cvm_json_key_bool(json, "enabled", treatment->enabled);
    cvm_json_key_bool(json, "custom", treatment->custom);
    cvm_json_key_string(json, "channel", cvm_channel_words[treatment->channel]);
    cvm_json_key_string(json, "purpose", cvm_purpose_words[treatment->purpose]);
    cvm_json_key_string(json, "class", cvm_treatment_class_words[treatment->class]);
    write_constraints(catalogue, treatment, json);
}

void cvm_treatment_details_write(const struct cvm_treatment *treatment,
                                 struct cvm_json_writer *json)
{
    cvm_json_key_day(json, "valid_from", treatment->valid_from_day);
    cvm_json_key_day(json, "valid_to", treatment->valid_to_day);
    cvm_json_key_string(json, "eligible", text_of(&treatment->eligible));
    cvm_json_key_string(json, "applicable", text_of(&treatment->applicable));
    cvm_json_key_string(json, "suitable", text_of(&treatment->suitable));
    write_response(&treatment->response, json);
    cvm_json_key_array(json, "languages");
    for (size_t l = 0; l < treatment->language_count; l++) {
        cvm_json_string(json, treatment->languages[l]);
    }
    cvm_json_array_end(json);
    cvm_json_key_string(json, "created_at", treatment->created_at);
    cvm_json_key_string(json, "updated_at", treatment->updated_at);
    cvm_json_key_string(json, "file", treatment->file);
}

/* ---- list ---- */

static enum cvm_status print_list_document(struct cvm_session *session,
                                           const struct cvm_catalogue *catalogue,
                                           struct cvm_error *err)
{
    struct cvm_document document;
    cvm_document_init(&document);
    cvm_json_key_int(&document.json, "catalogue_version", catalogue->version);
    cvm_json_key_array(&document.json, "treatments");
    for (size_t t = 0; t <= catalogue->treatment_count; t++) {
        bool is_last = t == catalogue->treatment_count;
        cvm_json_object(&document.json);
        cvm_treatment_json_write(
            catalogue, is_last ? &catalogue->ignore : &catalogue->treatments[t], &document.json);
        cvm_json_object_end(&document.json);
    }
    cvm_json_array_end(&document.json);
    return cvm_document_print(&document, session, err);
}

static void print_list(struct cvm_session *session, const struct cvm_catalogue *catalogue)
{
    static const char *const headers[] = {"id",    "name",     "channel",      "purpose",
                                          "class", ">per day", ">per contact", "state"};
    struct cvm_table table;
    char number[CVM_NUMBER_TEXT_SIZE];
    cvm_table_init(&table, headers, sizeof(headers) / sizeof(headers[0]));
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        const struct cvm_treatment *treatment = &catalogue->treatments[t];
        bool is_usable =
            treatment->channel != CVM_CHANNEL_UNSET && treatment->purpose != CVM_PURPOSE_UNSET;
        cvm_table_add(&table, treatment->id);
        cvm_table_add(&table, treatment->display_name);
        cvm_table_add(&table, cvm_channel_words[treatment->channel]);
        cvm_table_add(&table, cvm_purpose_words[treatment->purpose]);
        cvm_table_add(&table, cvm_treatment_class_words[treatment->class]);
        cvm_table_add(&table, treatment->max_per_day < 0
                                  ? "any"
                                  : cvm_grouped(treatment->max_per_day, number));
        cvm_table_add_format(&table, "%.3f", cvm_micro_to_double(treatment->cost_micro));
        cvm_table_add(&table, !treatment->enabled ? "disabled"
                              : is_usable         ? "enabled"
                                                  : "not usable: no channel or purpose");
    }
    table.has_colour = session->has_colour;
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

const struct cvm_command cvm_command_treatment_list = {
    .name = "treatment list",
    .arguments = "",
    .summary = "All treatments with their limits and costs",
    .details = "  cvm treatment list\n"
               "  cvm treatment list --json",
    .run = run_list,
};

/* ---- show ---- */

static enum cvm_status print_treatment(struct cvm_session *session,
                                       const struct cvm_catalogue *catalogue,
                                       const struct cvm_treatment *treatment, struct cvm_error *err)
{
    if (session->is_json) {
        struct cvm_document document;
        cvm_document_init(&document);
        cvm_treatment_json_write(catalogue, treatment, &document.json);
        cvm_treatment_details_write(treatment, &document.json);
        return cvm_document_print(&document, session, err);
    }
    struct cvm_text text;
    cvm_text_init(&text, 0);
    enum cvm_status status = cvm_treatment_write(treatment, catalogue, &text, err);
    if (status == CVM_OK) {
        fputs(cvm_text_string(&text), session->out);
    }
    cvm_text_finish(&text);
    return status;
}

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
    status = cvm_find_treatment(work.catalogue, arguments->positional[0], &found, err);
    if (status == CVM_OK) {
        const struct cvm_treatment *treatment =
            found == CVM_INDEX_NONE ? &work.catalogue->ignore : &work.catalogue->treatments[found];
        status = print_treatment(session, work.catalogue, treatment, err);
    }
    cvm_work_close(&work);
    return status;
}

const struct cvm_command cvm_command_treatment_show = {
    .name = "treatment show",
    .arguments = "ID",
    .summary = "One treatment in full, as its catalogue file says it",
    .details = "  cvm treatment show retention_sms",
    .positional_min = 1,
    .positional_max = 1,
    .run = run_show,
};
