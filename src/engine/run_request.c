/* A request as JSON: what narrows the run, for its row; all of it, for another process. */
#include <string.h>

#include "engine/run_internal.h"

static void write_narrowing(const struct cvm_run_request *request,
                            const struct cvm_catalogue *catalogue, struct cvm_json_writer *json)
{
    if (request->customers != NULL) {
        cvm_json_key(json, "customers");
        cvm_json_array(json);
        for (size_t i = 0; i < request->customer_count; i++) {
            cvm_json_string(json, request->customers[i]);
        }
        cvm_json_array_end(json);
    }
    if (request->trigger != NULL) {
        cvm_json_key_string(json, "trigger", request->trigger);
    }
    if (request->forced_treatment != CVM_INDEX_NONE) {
        cvm_json_key_string(json, "treatment", catalogue->treatments[request->forced_treatment].id);
    }
    if (request->allowed != UINT64_MAX) {
        cvm_json_key(json, "allowed");
        cvm_json_array(json);
        for (size_t t = 0; t < catalogue->treatment_count; t++) {
            if ((request->allowed >> t & 1) != 0) {
                cvm_json_string(json, catalogue->treatments[t].id);
            }
        }
        cvm_json_array_end(json);
    }
    cvm_json_key_bool(json, "replace", request->is_replacing);
}

void cvm_run_options_write(const struct cvm_run_job *job, struct cvm_json_writer *json)
{
    cvm_json_object(json);
    write_narrowing(job->request, job->engine->catalogue, json);
    cvm_json_object_end(json);
}

void cvm_run_request_write(const struct cvm_run_request *request,
                           const struct cvm_catalogue *catalogue, struct cvm_json_writer *json)
{
    char day[CVM_DAY_TEXT_SIZE];
    cvm_json_object(json);
    cvm_json_key_string(json, "as_of", cvm_day_format(request->as_of_day, day));
    if (request->since_day != CVM_DAY_NONE) {
        cvm_json_key_string(json, "since", cvm_day_format(request->since_day, day));
    }
    write_narrowing(request, catalogue, json);
    cvm_json_key_bool(json, "release", request->must_release);
    cvm_json_key_int(json, "seed", request->seed);
    cvm_json_key_double(json, "realtime_share", request->realtime_share);
    cvm_json_key_int(json, "keep_runs", request->keep_runs);
    cvm_json_key_string(json, "who", request->who);
    cvm_json_object_end(json);
}

/* ---- reading it ---- */

static const char *text_of(const struct cvm_json_value *json, const char *key,
                           struct cvm_arena *arena)
{
    const struct cvm_json_value *value = cvm_json_member(json, key);
    bool is_text = value != NULL && value->type == CVM_JSON_STRING;
    return is_text ? cvm_arena_copy(arena, value->string.data, value->string.length) : NULL;
}

static bool flag_of(const struct cvm_json_value *json, const char *key)
{
    const struct cvm_json_value *value = cvm_json_member(json, key);
    return value != NULL && value->boolean;
}

static int64_t integer_of(const struct cvm_json_value *json, const char *key)
{
    const struct cvm_json_value *value = cvm_json_member(json, key);
    return value != NULL && value->type == CVM_JSON_INT ? value->integer : 0;
}

static bool parse_day(const char *text, int32_t *out_day)
{
    int32_t second = 0;
    int32_t offset = 0;
    return cvm_day_parse(text, strlen(text), out_day, &second, &offset);
}

static enum cvm_status read_days(const struct cvm_json_value *json, struct cvm_arena *arena,
                                 struct cvm_run_request *request, struct cvm_error *err)
{
    const char *as_of = text_of(json, "as_of", arena);
    const char *since = text_of(json, "since", arena);
    request->since_day = CVM_DAY_NONE;
    bool is_right = as_of != NULL && parse_day(as_of, &request->as_of_day);
    is_right &= since == NULL || parse_day(since, &request->since_day);
    return is_right
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_INVALID, "the request of a run names no day to look from");
}

static enum cvm_status find_treatment(const struct cvm_catalogue *catalogue, const char *id,
                                      int *out_treatment, struct cvm_error *err)
{
    *out_treatment = cvm_catalogue_treatment(catalogue, id);
    return *out_treatment != CVM_INDEX_NONE
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no treatment '%s'", id);
}

static enum cvm_status read_treatments(const struct cvm_json_value *json,
                                       const struct cvm_catalogue *catalogue,
                                       struct cvm_arena *arena, struct cvm_run_request *request,
                                       struct cvm_error *err)
{
    const char *forced = text_of(json, "treatment", arena);
    const struct cvm_json_value *allowed = cvm_json_member(json, "allowed");
    request->forced_treatment = CVM_INDEX_NONE;
    request->allowed = allowed == NULL ? UINT64_MAX : 0;
    enum cvm_status status =
        forced == NULL ? CVM_OK
                       : find_treatment(catalogue, forced, &request->forced_treatment, err);
    const struct cvm_json_value *one = allowed == NULL ? NULL : allowed->first_child;
    for (; status == CVM_OK && one != NULL; one = one->next) {
        const char *id = cvm_arena_copy(arena, one->string.data, one->string.length);
        int treatment = CVM_INDEX_NONE;
        status = id == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a request")
                            : find_treatment(catalogue, id, &treatment, err);
        request->allowed |= status == CVM_OK ? UINT64_C(1) << treatment : 0;
    }
    return status;
}

static enum cvm_status read_customers(const struct cvm_json_value *json, struct cvm_arena *arena,
                                      struct cvm_run_request *request, struct cvm_error *err)
{
    const struct cvm_json_value *list = cvm_json_member(json, "customers");
    if (list == NULL) {
        return CVM_OK;
    }
    const char **ids = CVM_NEW_ARRAY(arena, list->child_count + 1, const char *);
    const struct cvm_json_value *one = list->first_child;
    for (; ids != NULL && one != NULL; one = one->next) {
        const char *id = cvm_arena_copy(arena, one->string.data, one->string.length);
        ids[request->customer_count++] = id;
        ids = id == NULL ? NULL : ids;
    }
    request->customers = ids;
    return ids != NULL ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for a request");
}

enum cvm_status cvm_run_request_read(const struct cvm_json_value *json,
                                     const struct cvm_catalogue *catalogue, struct cvm_arena *arena,
                                     struct cvm_run_request *out_request, struct cvm_error *err)
{
    const struct cvm_json_value *share = cvm_json_member(json, "realtime_share");
    struct cvm_run_request request = {
        .trigger = text_of(json, "trigger", arena),
        .is_replacing = flag_of(json, "replace"),
        .must_release = flag_of(json, "release"),
        .seed = integer_of(json, "seed"),
        .realtime_share = share == NULL ? 0 : share->number,
        .keep_runs = integer_of(json, "keep_runs"),
        .who = text_of(json, "who", arena),
    };
    enum cvm_status status = read_days(json, arena, &request, err);
    if (status == CVM_OK) {
        status = read_treatments(json, catalogue, arena, &request, err);
    }
    if (status == CVM_OK) {
        status = read_customers(json, arena, &request, err);
    }
    if (status == CVM_OK) {
        *out_request = request;
    }
    return status;
}
