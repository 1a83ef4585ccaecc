/* Which triggers find a customer, now that something happened. */
#include "agents/customer_desk.h"
#include "base/json_writer.h"
#include "engine/trigger.h"

static enum cvm_status trigger_open(const struct cvm_agent_site *site,
                                    const struct cvm_context *context, void **out_worker,
                                    struct cvm_error *err)
{
    struct cvm_customer_desk *desk = NULL;
    enum cvm_status status = cvm_customer_desk_create(site, context, &desk, err);
    *out_worker = desk;
    return status;
}

static void trigger_close(void *worker)
{
    cvm_customer_desk_destroy(worker);
}

static enum cvm_status trigger_handle(void *worker, const struct cvm_turn *turn,
                                      struct cvm_effects *effects, struct cvm_error *err)
{
    struct cvm_customer_question question;
    struct cvm_engine *engine = NULL;
    struct cvm_json_writer json;
    enum cvm_status status = cvm_customer_question_read(turn, &question, err);
    if (status == CVM_OK) {
        status = cvm_customer_desk_engine(worker, &engine, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_catalogue *catalogue = engine->catalogue;
    cvm_json_init(&json, &effects->output, false);
    cvm_json_object(&json);
    cvm_json_key(&json, "triggers");
    cvm_json_array(&json);
    for (size_t t = 0; status == CVM_OK && t < catalogue->trigger_count; t++) {
        struct cvm_trigger_request request = {
            .trigger = (int)t,
            .as_of_day = question.day,
            .customers = &question.customer_id,
            .customer_count = 1,
        };
        struct cvm_trigger_result result = {0};
        if (catalogue->triggers[t].enabled) {
            status = cvm_trigger_match(engine, &request, turn->arena, &result, err);
        }
        if (status == CVM_OK && result.total_matches > 0) {
            cvm_json_string(&json, catalogue->triggers[t].name);
        }
    }
    cvm_json_array_end(&json);
    cvm_json_object_end(&json);
    effects->customers = 1;
    return status;
}

static const enum cvm_message_type trigger_serves[] = {CVM_MESSAGE_TRIGGER_REQUEST,
                                                       CVM_MESSAGE_NONE};

const struct cvm_agent_kind cvm_agent_trigger = {
    .name = "trigger",
    .does = "says which triggers find a customer",
    .serves = trigger_serves,
    .open = trigger_open,
    .close = trigger_close,
    .handle = trigger_handle,
};
