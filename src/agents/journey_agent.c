/* What a customer's journey says: the insights that hold. Of a base in a run journeys are read by
 * who values them, in one pass. */
#include "agents/customer_desk.h"
#include "base/json_writer.h"
#include "engine/customer.h"
#include "journey/summary.h"

static enum cvm_status journey_open(const struct cvm_agent_site *site,
                                    const struct cvm_context *context, void **out_worker,
                                    struct cvm_error *err)
{
    struct cvm_customer_desk *desk = NULL;
    enum cvm_status status = cvm_customer_desk_create(site, context, &desk, err);
    *out_worker = desk;
    return status;
}

static void journey_close(void *worker)
{
    cvm_customer_desk_destroy(worker);
}

static enum cvm_status tell(const struct cvm_turn *turn, const struct cvm_catalogue *catalogue,
                            struct cvm_feature_values values, struct cvm_effects *effects,
                            struct cvm_error *err)
{
    struct cvm_journey_insight *insights = NULL;
    struct cvm_json_writer json;
    size_t count = 0;
    enum cvm_status status =
        cvm_journey_insights(catalogue, values, turn->arena, &insights, &count, err);
    if (status != CVM_OK) {
        return status;
    }
    cvm_json_init(&json, &effects->output, false);
    cvm_json_object(&json);
    cvm_json_key(&json, "insights");
    cvm_json_array(&json);
    for (size_t i = 0; i < count; i++) {
        cvm_json_string(&json, insights[i].insight->name);
    }
    cvm_json_array_end(&json);
    cvm_json_object_end(&json);
    return CVM_OK;
}

static enum cvm_status journey_handle(void *worker, const struct cvm_turn *turn,
                                      struct cvm_effects *effects, struct cvm_error *err)
{
    struct cvm_customer_question question;
    struct cvm_engine *engine = NULL;
    struct cvm_chunk *chunk = NULL;
    uint64_t key = 0;
    enum cvm_status status = cvm_customer_question_read(turn, &question, err);
    if (status == CVM_OK) {
        status = cvm_customer_desk_engine(worker, &engine, err);
    }
    if (status == CVM_OK) {
        status = cvm_customer_find(engine->readers[0], question.customer_id, &key, err);
    }
    if (status == CVM_OK) {
        struct cvm_feature_window window = {question.day, CVM_DAY_NONE, NULL};
        status = cvm_engine_customer(engine, key, window, &chunk, err);
    }
    if (status == CVM_OK) {
        struct cvm_feature_values values = {chunk->features, chunk->capacity, question.day};
        effects->customers = 1;
        status = tell(turn, engine->catalogue, values, effects, err);
    }
    cvm_chunk_destroy(chunk);
    return status;
}

static const enum cvm_message_type journey_serves[] = {CVM_MESSAGE_JOURNEY_REQUEST,
                                                       CVM_MESSAGE_NONE};

const struct cvm_agent_kind cvm_agent_journey = {
    .name = "journey",
    .does = "reads a customer's journey and says which insights hold",
    .serves = journey_serves,
    .open = journey_open,
    .close = journey_close,
    .handle = journey_handle,
};
