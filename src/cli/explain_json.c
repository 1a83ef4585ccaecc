#include <math.h>
#include <string.h>

#include "cli/document.h"
#include "cli/explain_report.h"

void cvm_explain_parts_of(const struct cvm_action_value *value,
                          struct cvm_explain_part parts[CVM_EXPLAIN_PARTS])
{
    const struct cvm_explain_part found[CVM_EXPLAIN_PARTS] = {
        {"tiring", "f", value->tiring},
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

static void write_parts(const struct cvm_catalogue *catalogue,
                        const struct cvm_explained_treatment *treatment,
                        struct cvm_json_writer *json)
{
    const struct cvm_action_value *value = &treatment->parts;
    struct cvm_explain_part parts[CVM_EXPLAIN_PARTS];
    cvm_json_key_object(json, "parts");
    if (treatment->is_eligible) {
        cvm_explain_parts_of(value, parts);
        for (size_t i = 0; i < CVM_EXPLAIN_PARTS; i++) {
            cvm_json_key_double(json, parts[i].name, parts[i].value);
        }
        cvm_json_key_string(json, "segment", catalogue->segments[value->segment].name);
        cvm_json_key_string(json, "channel", cvm_channel_words[value->channel]);
        cvm_json_key_string(json, "source", value->source);
        cvm_json_key_int(json, "outcomes", value->outcomes);
    }
    cvm_json_object_end(json);
}

static void write_failure(const struct cvm_catalogue *catalogue,
                          const struct cvm_action_value *value, struct cvm_json_writer *json)
{
    cvm_json_key_string(json, "failed_name", value->failed_name);
    cvm_json_key_string(json, "failed_rule", value->failed_rule);
    if (value->failed_rule == NULL) {
        return;
    }
    cvm_json_key_string(json, "failed_feature",
                        value->failed_feature == CVM_INDEX_NONE
                            ? NULL
                            : catalogue->features[value->failed_feature].name);
    cvm_json_key_double(json, "failed_value", value->failed_value);
}

static void write_marginal(struct cvm_json_writer *json, const char *key,
                           const struct cvm_marginal_customer *customer)
{
    cvm_json_key(json, key);
    if (customer->customer_id == NULL) {
        cvm_json_null(json);
        return;
    }
    cvm_json_object(json);
    cvm_json_key_string(json, "customer_id", customer->customer_id);
    cvm_json_key_double(json, "value", customer->value);
    cvm_json_key_double(json, "margin", customer->margin);
    cvm_json_key_double(json, "lead", customer->lead);
    cvm_json_object_end(json);
}

static void write_line(struct cvm_json_writer *json, const struct cvm_explained_line *line,
                       bool is_given)
{
    cvm_json_key(json, "line");
    if (!line->is_known) {
        cvm_json_null(json);
        return;
    }
    cvm_json_object(json);
    cvm_json_key_bool(json, "binding", line->is_binding);
    cvm_json_key_double(json, "lead", line->lead);
    cvm_json_key_double(json, "value_needed", !is_given && line->lead < 0 ? -line->lead : 0);
    cvm_json_key_int(json, "treated", line->treated);
    cvm_json_key_int(json, "ahead", line->ahead);
    cvm_json_key_int(json, "capacity_needed", is_given || !line->is_binding ? 0 : line->ahead + 1);
    write_marginal(json, "last_in", &line->last_in);
    write_marginal(json, "first_out", &line->first_out);
    cvm_json_object_end(json);
}

static void write_treatment(const struct cvm_catalogue *catalogue,
                            const struct cvm_explained_treatment *treatment, bool is_given,
                            struct cvm_json_writer *json)
{
    bool has_line = treatment->line.is_known;
    cvm_json_object(json);
    cvm_json_key_string(json, "treatment", catalogue->treatments[treatment->treatment].id);
    cvm_json_key_bool(json, "eligible", treatment->is_eligible);
    cvm_json_key_string(json, "reason", cvm_reason_name(treatment->reason));
    cvm_json_key_string(json, "stage", cvm_reason_stage(treatment->reason));
    cvm_json_key_string(json, "sentence", cvm_reason_sentence(treatment->reason));
    write_failure(catalogue, &treatment->parts, json);
    cvm_json_key_string(json, "change", treatment->change);
    cvm_json_key_array(json, "also_failed");
    for (size_t i = 0; i < treatment->also_count; i++) {
        cvm_json_string(json, treatment->also[i]);
    }
    cvm_json_array_end(json);
    cvm_json_key_double(json, "value", treatment->value);
    write_parts(catalogue, treatment, json);
    cvm_json_key_double(json, "sd", treatment->sd);
    cvm_json_key_double(json, "price", treatment->price);
    cvm_json_key_double(json, "price_low", has_line ? treatment->line.price_low : NAN);
    cvm_json_key_double(json, "price_high", has_line ? treatment->line.price_high : NAN);
    cvm_json_key_double(json, "margin", treatment->margin);
    write_line(json, &treatment->line, is_given);
    cvm_json_object_end(json);
}

static void write_decision(const struct cvm_explanation *explanation, struct cvm_json_writer *json)
{
    const struct cvm_catalogue *catalogue = explanation->catalogue;
    const struct cvm_decision *decision = explanation->decision;
    bool is_given = explanation->treatment != CVM_INDEX_NONE;
    char id[CVM_DECISION_ID_SIZE];
    cvm_json_key_object(json, "decision");
    cvm_json_key_string(json, "treatment",
                        is_given ? catalogue->treatments[explanation->treatment].id
                                 : catalogue->ignore.id);
    cvm_json_key_string(json, "reason", cvm_reason_name(explanation->reason));
    cvm_json_key_string(json, "sentence", cvm_reason_sentence(explanation->reason));
    if (decision != NULL) {
        cvm_json_key_string(json, "decision_id",
                            cvm_decision_id(explanation->run_id, decision->customer_key, id));
        cvm_json_key_double(json, "value", decision->value);
        cvm_json_key_double(json, "sd", decision->sd);
        cvm_json_key_double(json, "price", decision->price);
        cvm_json_key(json, "cost");
        cvm_json_micro(json, decision->cost_micro);
        cvm_json_key(json, "incentive");
        cvm_json_micro(json, decision->incentive_micro);
        cvm_json_key_string(json, "channel", decision->channel);
        cvm_json_key_string(json, "arm", decision->arm);
        cvm_json_key_bool(json, "ghost", decision->ghost);
        cvm_json_key_string(json, "withheld", decision->withheld);
        cvm_json_key_moment(json, "earliest_at", decision->earliest_at_ms);
        cvm_json_key_moment(json, "latest_at", decision->latest_at_ms);
        cvm_json_key_string(json, "state", cvm_decision_state_name(decision->state));
    }
    cvm_json_object_end(json);
}

enum cvm_status cvm_explain_print_json(const struct cvm_explanation *explanation,
                                       struct cvm_session *session, struct cvm_error *err)
{
    struct cvm_document document;
    struct cvm_json_writer *json = &document.json;
    cvm_document_init(&document);
    cvm_json_key_string(json, "customer_id", explanation->customer_id);
    cvm_json_key_string(json, "run_id", explanation->run_id);
    cvm_json_key_day(json, "as_of", explanation->as_of_day);
    cvm_json_key_int(json, "catalogue_version", explanation->catalogue->version);
    cvm_json_key_bool(json, "data_changed", explanation->data_changed);
    write_decision(explanation, json);
    cvm_json_key_array(json, "treatments");
    for (size_t i = 0; i < explanation->treatment_count; i++) {
        const struct cvm_explained_treatment *treatment = &explanation->treatments[i];
        write_treatment(explanation->catalogue, treatment,
                        treatment->treatment == explanation->treatment, json);
    }
    cvm_json_array_end(json);
    return cvm_document_print(&document, session, err);
}
