#include "cli/run_refused.h"

#include "base/date.h"
#include "base/file.h"
#include "cli/document.h"
#include "model/reason.h"

static void write_entry(const struct cvm_session *session, const struct cvm_catalogue *catalogue,
                        const char *customer_id, const char *treatment,
                        struct cvm_json_writer *json)
{
    char explanation[256];
    (void)snprintf(explanation, sizeof(explanation), "%s ('%s')",
                   cvm_reason_sentence(CVM_REASON_UNKNOWN_TREATMENT), treatment);
    cvm_json_object(json);
    cvm_json_key_string(json, "customer_id", customer_id);
    cvm_json_key_string(json, "selected_treatment", catalogue->ignore.id);
    cvm_json_key_string(json, "status", "error");
    cvm_json_key_double(json, "value", 0);
    cvm_json_key_double(json, "price", 0);
    cvm_json_key_string(json, "reason", cvm_reason_name(CVM_REASON_UNKNOWN_TREATMENT));
    cvm_json_key_string(json, "explanation", explanation);
    cvm_json_key_raw(json, "confidence", NULL);
    cvm_json_key_array(json, "alternatives");
    cvm_json_array_end(json);
    cvm_json_key_raw(json, "journey_summary", NULL);
    cvm_json_key_array(json, "journey_insights");
    cvm_json_array_end(json);
    cvm_json_key_raw(json, "arm", NULL);
    cvm_json_key_raw(json, "decision_id", NULL);
    cvm_json_key_moment(json, "timestamp", cvm_context_now_ms(&session->context));
    cvm_json_object_end(json);
}

static void write_empty_object(struct cvm_json_writer *json, const char *key)
{
    cvm_json_key_object(json, key);
    cvm_json_object_end(json);
}

static void write_summary(const struct cvm_run_refused *refused, struct cvm_json_writer *json)
{
    int64_t count = (int64_t)refused->customer_count;
    cvm_json_object(json);
    cvm_json_key_int(json, "total_processed", count);
    cvm_json_key_int(json, "successful", 0);
    cvm_json_key_int(json, "failed", count);
    cvm_json_key_double(json, "total_value", 0);
    cvm_json_key_double(json, "dual_bound", 0);
    cvm_json_key_double(json, "gap", 0);
    cvm_json_key_double(json, "spend", 0);
    write_empty_object(json, "by_treatment");
    cvm_json_key_object(json, "refusals");
    cvm_json_key_int(json, cvm_reason_name(CVM_REASON_UNKNOWN_TREATMENT), count);
    cvm_json_object_end(json);
    write_empty_object(json, "constraints_final_state");
    cvm_json_key_string(json, "optimization_method", "none");
    cvm_json_key_object(json, "llm");
    cvm_json_key_int(json, "calls", 0);
    cvm_json_key_int(json, "tokens", 0);
    cvm_json_key_int(json, "cost", 0);
    cvm_json_key_int(json, "saved", 0);
    cvm_json_object_end(json);
    cvm_json_key_raw(json, "plan_digest", NULL);
    cvm_json_key_day(json, "as_of", refused->as_of_day);
    write_empty_object(json, "seconds");
    cvm_json_object_end(json);
}

static enum cvm_status write_file(struct cvm_session *session,
                                  const struct cvm_catalogue *catalogue,
                                  const struct cvm_run_refused *refused, struct cvm_error *err)
{
    bool is_lines = cvm_text_matches_pattern(refused->out_path, "*.ndjson");
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_text_add(&text, is_lines ? "" : "{\"results\":[\n");
    for (size_t i = 0; i < refused->customer_count; i++) {
        struct cvm_json_writer json;
        cvm_text_add(&text, is_lines || i == 0 ? "" : ",\n");
        cvm_json_init(&json, &text, false);
        write_entry(session, catalogue, refused->customers[i], refused->treatment, &json);
        cvm_text_add(&text, is_lines ? "\n" : "");
    }
    cvm_text_add(&text, is_lines ? "{\"summary\":" : "\n],\n\"summary\":");
    struct cvm_json_writer json;
    cvm_json_init(&json, &text, false);
    write_summary(refused, &json);
    cvm_text_add(&text, "}\n");
    enum cvm_status status = text.failed
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the result file")
                                 : cvm_file_write(refused->out_path, text.data, text.length, err);
    cvm_text_finish(&text);
    return status;
}

enum cvm_status cvm_run_refuse(struct cvm_session *session, const struct cvm_catalogue *catalogue,
                               const struct cvm_run_refused *refused, struct cvm_error *err)
{
    enum cvm_status status =
        refused->out_path == NULL ? CVM_OK : write_file(session, catalogue, refused, err);
    if (status != CVM_OK) {
        return status;
    }
    session->is_partial = true;
    if (!session->is_json) {
        fprintf(session->err, "cvm: there is no treatment '%s': all %zu customers failed\n",
                refused->treatment, refused->customer_count);
        return CVM_OK;
    }
    struct cvm_document document;
    cvm_document_init(&document);
    cvm_json_key_raw(&document.json, "run_id", NULL);
    cvm_json_key_string(&document.json, "out", refused->out_path);
    cvm_json_key_bool(&document.json, "reused", false);
    cvm_json_key(&document.json, "summary");
    write_summary(refused, &document.json);
    return cvm_document_print(&document, session, err);
}
