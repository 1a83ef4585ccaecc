#include "engine/explain_run.h"

#include <math.h>
#include <string.h>

#include "base/json_reader.h"
#include "engine/groups.h"

/* The run's --allowed and --treatment still hold when its values are explained. */
static enum cvm_status read_options(const struct cvm_explain_run *run,
                                    struct cvm_recommend_options *options, struct cvm_error *err)
{
    const struct cvm_json_value *root = NULL;
    const char *text = run->record.options;
    struct cvm_json_reader *reader = cvm_json_reader_create((size_t)16 << 20);
    enum cvm_status status =
        reader == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a run's options")
                       : cvm_json_read(reader, run->arena, text, strlen(text), false, &root, err);
    const struct cvm_json_value *forced = cvm_json_member(root, "treatment");
    const struct cvm_json_value *allowed = cvm_json_member(root, "allowed");
    for (size_t t = 0; status == CVM_OK && t < run->catalogue->treatment_count; t++) {
        const char *id = run->catalogue->treatments[t].id;
        bool is_allowed = allowed == NULL;
        for (const struct cvm_json_value *item = allowed == NULL ? NULL : allowed->first_child;
             item != NULL; item = item->next) {
            is_allowed |= cvm_slice_equals(item->string, id);
        }
        options->allowed &= is_allowed ? UINT64_MAX : ~(UINT64_C(1) << t);
        if (forced != NULL && cvm_slice_equals(forced->string, id)) {
            options->forced_treatment = (int)t;
        }
    }
    cvm_json_reader_destroy(reader);
    return status;
}

static enum cvm_status load_record(struct cvm_explain_run *run, const char *run_id,
                                   struct cvm_error *err)
{
    enum cvm_status status = cvm_run_get(run->store, run->arena, run_id, &run->record, err);
    if (status == CVM_OK && run->record.summary == NULL) {
        bool is_done = strcmp(run->record.state, "done") == 0;
        return CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' %s", run->record.run_id,
                        is_done ? "holds decisions of single customers, which keep no values"
                                : "is not finished");
    }
    if (status == CVM_OK) {
        run->summary.run_id = run->record.run_id;
        status = cvm_run_summary_parse(run->record.summary, &run->summary, err);
    }
    return status;
}

enum cvm_status cvm_explain_run_open(struct cvm_explain_run *run, const char *run_id,
                                     struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = run->engine->catalogue;
    struct cvm_recommend_options options = {
        .direction = CVM_DIRECTION_OUTBOUND,
        .channel = CVM_CHANNEL_UNSET,
        .allowed = UINT64_MAX,
        .forced_treatment = CVM_INDEX_NONE,
    };
    cvm_pending_init(&run->pending);
    run->lent = run->engine->pending;
    run->summary.catalogue = catalogue;
    enum cvm_status status = load_record(run, run_id, err);
    if (status == CVM_OK) {
        status =
            cvm_responses_parse(run->record.responses, catalogue, run->arena, &run->responses, err);
    }
    if (status == CVM_OK) {
        status = cvm_responses_apply(&run->responses, catalogue, run->arena, &run->catalogue, err);
    }
    if (status == CVM_OK) {
        status = read_options(run, &options, err);
    }
    if (status == CVM_OK) {
        options.as_of_day = run->record.as_of_day;
        options.responses = run->responses.of;
        status = cvm_recommender_create(run->catalogue, &options, &run->recommender, err);
    }
    if (status == CVM_OK) {
        status = cvm_pending_load(&run->pending, run->store, run->catalogue, run->record.as_of_day,
                                  run->record.run_id, err);
    }
    if (status == CVM_OK) {
        run->engine->pending = &run->pending;
    }
    return status;
}

void cvm_explain_run_close(struct cvm_explain_run *run)
{
    run->engine->pending = run->lent;
    cvm_recommender_destroy(run->recommender);
    cvm_pending_finish(&run->pending);
}

/* What refused it then is not what would refuse it by today's data. */
static void forget_failure(struct cvm_action_value *parts)
{
    parts->failed_name = NULL;
    parts->failed_rule = NULL;
    parts->failed_clause = NULL;
    parts->failed_feature = CVM_INDEX_NONE;
    parts->failed_value = NAN;
}

void cvm_explain_treatment(const struct cvm_explain_run *run, const struct cvm_explain_place *place,
                           size_t treatment, struct cvm_explained_treatment *out_explained)
{
    struct cvm_explained_treatment out = {.treatment = (int)treatment};
    cvm_recommend_explain(run->recommender, place->chunk, place->customer, treatment, &out.parts);
    out.reason = out.parts.reason;
    out.value = out.parts.value;
    out.sd = out.parts.sd;
    struct cvm_usage_customer user = {.margin = out.parts.margin};
    if (place->row == SIZE_MAX) {
        unsigned char segment = (unsigned char)out.parts.segment;
        cvm_groups_of(run->catalogue,
                      &(struct cvm_groups_strip){place->chunk, place->customer, 1, &segment,
                                                 run->record.as_of_day},
                      &user.groups);
    } else {
        out.reason = (enum cvm_reason)cvm_values_reason(place->view, place->row, treatment);
        out.value = cvm_values_value(place->view, place->row, treatment);
        user.margin = cvm_values_margin(place->view, place->row);
        user.groups = cvm_values_groups(place->view, place->row);
    }
    if (out.reason != out.parts.reason) {
        forget_failure(&out.parts);
    }
    out.is_eligible = out.reason == CVM_REASON_PERMITTED;
    if (out.is_eligible) {
        out.price = cvm_usage_price(run->catalogue, run->summary.prices, treatment, &user);
        out.margin = out.value - out.price;
    } else {
        out.value = out.price = out.margin = out.sd = NAN;
    }
    *out_explained = out;
}
