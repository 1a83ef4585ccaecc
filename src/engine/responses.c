#include "engine/responses.h"

#include <stddef.h>
#include <string.h>

#include "base/json_reader.h"
#include "recommend/learning.h"
#include "storage/outcome_store.h"

#define RESPONSES_BYTES_MAX ((size_t)1 << 20)

static const struct {
    const char *name;
    size_t offset;
} parameters[] = {
    {"reach", offsetof(struct cvm_response, reach)},
    {"reach_sd", offsetof(struct cvm_response, reach_sd)},
    {"accept", offsetof(struct cvm_response, accept)},
    {"accept_sd", offsetof(struct cvm_response, accept_sd)},
    {"churn_cut", offsetof(struct cvm_response, churn_cut)},
    {"churn_cut_sd", offsetof(struct cvm_response, churn_cut_sd)},
    {"incentive", offsetof(struct cvm_response, incentive)},
    {"incentive_margins", offsetof(struct cvm_response, incentive_margins)},
    {"extra_margin", offsetof(struct cvm_response, extra_margin)},
};
#define PARAMETER_COUNT (sizeof(parameters) / sizeof(parameters[0]))

static double *parameter_of(struct cvm_response *response, size_t parameter)
{
    return (double *)(void *)((char *)response + parameters[parameter].offset);
}

static void take_priors(const struct cvm_catalogue *catalogue, struct cvm_responses *responses)
{
    memset(responses, 0, sizeof(*responses));
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        responses->of[t] = catalogue->treatments[t].response;
    }
}

enum cvm_status cvm_responses_load(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                                   struct cvm_responses *out_responses, struct cvm_error *err)
{
    struct cvm_responses responses;
    take_priors(catalogue, &responses);
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        const struct cvm_treatment *treatment = &catalogue->treatments[t];
        struct cvm_learning learning;
        enum cvm_status status = cvm_learning_get(store, treatment->id, &learning, err);
        if (status != CVM_OK) {
            return status;
        }
        cvm_response_learn(&treatment->response, &learning, &responses.of[t]);
    }
    *out_responses = responses;
    return CVM_OK;
}

void cvm_responses_write(const struct cvm_responses *responses,
                         const struct cvm_catalogue *catalogue, struct cvm_text *out)
{
    struct cvm_json_writer json;
    cvm_json_init(&json, out, false);
    cvm_json_object(&json);
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        struct cvm_response response = responses->of[t];
        cvm_json_key(&json, catalogue->treatments[t].id);
        cvm_json_object(&json);
        for (size_t p = 0; p < PARAMETER_COUNT; p++) {
            cvm_json_key_double(&json, parameters[p].name, *parameter_of(&response, p));
        }
        cvm_json_key_string(&json, "source", response.source == NULL ? "prior" : response.source);
        cvm_json_key_int(&json, "outcomes", response.outcomes);
        cvm_json_object_end(&json);
    }
    cvm_json_object_end(&json);
}

static enum cvm_status take_stored(const struct cvm_json_value *stored,
                                   struct cvm_response *response, struct cvm_arena *arena,
                                   struct cvm_error *err)
{
    for (size_t p = 0; p < PARAMETER_COUNT; p++) {
        const struct cvm_json_value *value = cvm_json_member(stored, parameters[p].name);
        if (value != NULL && (value->type == CVM_JSON_INT || value->type == CVM_JSON_DOUBLE)) {
            *parameter_of(response, p) = value->number;
        }
    }
    const struct cvm_json_value *source = cvm_json_member(stored, "source");
    const struct cvm_json_value *outcomes = cvm_json_member(stored, "outcomes");
    if (source != NULL && source->type == CVM_JSON_STRING) {
        response->source = cvm_arena_copy(arena, source->string.data, source->string.length);
        if (response->source == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a run's responses");
        }
    }
    response->outcomes = outcomes != NULL && outcomes->type == CVM_JSON_INT ? outcomes->integer : 0;
    return CVM_OK;
}

enum cvm_status cvm_responses_parse(const char *json, const struct cvm_catalogue *catalogue,
                                    struct cvm_arena *arena, struct cvm_responses *out_responses,
                                    struct cvm_error *err)
{
    const struct cvm_json_value *root = NULL;
    struct cvm_responses responses;
    take_priors(catalogue, &responses);
    if (json == NULL) {
        *out_responses = responses;
        return CVM_OK;
    }
    struct cvm_json_reader *reader = cvm_json_reader_create(RESPONSES_BYTES_MAX);
    if (reader == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a run's responses");
    }
    enum cvm_status status = cvm_json_read(reader, arena, json, strlen(json), false, &root, err);
    if (status != CVM_OK) {
        status = cvm_error_context(err, status, "stored responses of a run");
    }
    for (size_t t = 0; status == CVM_OK && t < catalogue->treatment_count; t++) {
        const struct cvm_json_value *stored = cvm_json_member(root, catalogue->treatments[t].id);
        if (stored != NULL) {
            status = take_stored(stored, &responses.of[t], arena, err);
        }
    }
    cvm_json_reader_destroy(reader);
    if (status == CVM_OK) {
        *out_responses = responses;
    }
    return status;
}

enum cvm_status cvm_responses_apply(const struct cvm_responses *responses,
                                    const struct cvm_catalogue *catalogue, struct cvm_arena *arena,
                                    const struct cvm_catalogue **out_catalogue,
                                    struct cvm_error *err)
{
    struct cvm_catalogue *copy = CVM_NEW(arena, struct cvm_catalogue);
    struct cvm_treatment *treatments =
        CVM_NEW_ARRAY(arena, catalogue->treatment_count + 1, struct cvm_treatment);
    if (copy == NULL || treatments == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a run's responses");
    }
    *copy = *catalogue;
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        treatments[t] = catalogue->treatments[t];
        treatments[t].response = responses->of[t];
    }
    copy->treatments = treatments;
    *out_catalogue = copy;
    return CVM_OK;
}
