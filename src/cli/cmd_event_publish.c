/* event publish */
#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "base/hash.h"
#include "base/trace.h"
#include "cli/agent_process.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/event_input.h"
#include "messaging/broker.h"

#define CONFIRM_MS 30000
#define SENDER     "event-publish"
#define SHARDS     1000 /* those of a customer keep their order on Kafka */

/* What is put on its way: an envelope an event. */
struct outgoing {
    struct cvm_sending *sendings;
    struct cvm_envelope *envelopes;
    size_t count;
};

static enum cvm_status write_payload(struct cvm_session *session,
                                     const struct cvm_catalogue *catalogue,
                                     const struct cvm_event *event, struct cvm_slice *out_payload,
                                     struct cvm_error *err)
{
    struct cvm_json_writer json;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_json_init(&json, &text, false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "source", catalogue->sources[event->source].name);
    if (event->as_of_day != CVM_DAY_NONE) {
        cvm_json_key_day(&json, "as_of", event->as_of_day);
    }
    cvm_json_key(&json, "event");
    cvm_json_raw(&json, event->text.data, event->text.length);
    cvm_json_object_end(&json);
    const char *payload =
        text.failed ? NULL : cvm_arena_copy(session->arena, text.data, text.length);
    *out_payload = (struct cvm_slice){payload, text.length};
    cvm_text_finish(&text);
    return payload != NULL ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for events");
}

static enum cvm_status make_envelopes(struct cvm_session *session,
                                      const struct cvm_catalogue *catalogue,
                                      const struct cvm_event_records *records,
                                      struct outgoing *outgoing, struct cvm_error *err)
{
    const struct cvm_context *context = &session->context;
    size_t count = cvm_event_batch_count(records->batch);
    struct cvm_random random;
    enum cvm_status status = CVM_OK;
    cvm_random_init(&random,
                    cvm_hash_mix((uint64_t)cvm_context_now_ms(context),
                                 (uint64_t)context->clock.steady_ns(context->clock.state)));
    outgoing->sendings = CVM_NEW_ARRAY(session->arena, count, struct cvm_sending);
    outgoing->envelopes = CVM_NEW_ARRAY(session->arena, count, struct cvm_envelope);
    char *traces = cvm_arena_alloc(session->arena, count, CVM_TRACEPARENT_SIZE);
    if (outgoing->sendings == NULL || outgoing->envelopes == NULL || traces == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for events");
    }
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        struct cvm_envelope *envelope = &outgoing->envelopes[i];
        const struct cvm_event *event = cvm_event_batch_at(records->batch, i);
        char *trace = traces + i * CVM_TRACEPARENT_SIZE;
        (void)cvm_traceparent_child((struct cvm_slice){"", 0}, &random, trace);
        *envelope = (struct cvm_envelope){
            .id = cvm_message_id_make(cvm_context_now_ms(context), &random),
            .type = CVM_MESSAGE_EVENT,
            .schema_version = 1,
            .attempt = 1,
            .shard = (uint32_t)(event->identity.customer_hash % SHARDS),
            .created_ms = cvm_context_now_ms(context),
            .sender = {SENDER, strlen(SENDER)},
            .traceparent = {trace, CVM_TRACEPARENT_LENGTH},
        };
        status = write_payload(session, catalogue, event, &envelope->payload, err);
        outgoing->sendings[i] = (struct cvm_sending){.envelope = envelope};
    }
    outgoing->count = count;
    return status;
}

static enum cvm_status send(struct cvm_broker *broker, struct outgoing *outgoing,
                            struct cvm_error *err)
{
    struct cvm_broker_link *link = NULL;
    enum cvm_status status = cvm_broker_link_open(broker, &link, err);
    if (status == CVM_OK) {
        status = cvm_broker_declare(link, CVM_BROKER_EVENTS, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_broker_publish(link, CVM_BROKER_EVENTS, outgoing->sendings, outgoing->count, err);
    }
    if (status == CVM_OK) {
        status = cvm_broker_confirm(link, CONFIRM_MS, err);
        status =
            status == CVM_OK
                ? CVM_OK
                : cvm_error_hint(err, status, "Publish them again: what came is not stored twice.");
    }
    cvm_broker_link_close(link);
    return status;
}

static enum cvm_status tell(struct cvm_session *session, const char *prefix, size_t count,
                            struct cvm_error *err)
{
    char queue[64];
    struct cvm_document document;
    (void)snprintf(queue, sizeof(queue), "%s%s", prefix, CVM_BROKER_EVENTS);
    if (!session->is_json) {
        fprintf(session->out, "%zu published to %s.\n", count, queue);
        return CVM_OK;
    }
    cvm_document_init(&document);
    cvm_json_key_int(&document.json, "published", (int64_t)count);
    cvm_json_key_string(&document.json, "queue", queue);
    return cvm_document_print(&document, session, err);
}

static enum cvm_status run_publish(struct cvm_session *session,
                                   const struct cvm_arguments *arguments, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_event_records records = {.batch = NULL};
    struct outgoing outgoing = {.count = 0};
    struct cvm_broker *broker = NULL;
    struct cvm_store *store = NULL;
    char prefix[40] = "";
    enum cvm_status status = cvm_event_arguments_check(session, arguments, err);
    if (status == CVM_OK && cvm_session_broker_is_local(session)) {
        status = CVM_FAIL(err, CVM_E_INVALID, "the queues of local: are within one process");
        return cvm_error_hint(err, status, "`cvm event push` stores events without a broker.");
    }
    if (status == CVM_OK) {
        status = cvm_session_store(session, CVM_DB_READ, &store, err);
    }
    if (status == CVM_OK) {
        status = cvm_session_catalogue(session, store, &catalogue, err);
    }
    if (status == CVM_OK) {
        status = cvm_event_records_read(session, catalogue, arguments, &records, err);
    }
    if (status == CVM_OK) {
        status = make_envelopes(session, catalogue, &records, &outgoing, err);
    }
    if (status == CVM_OK) {
        status = cvm_session_broker(session, store, prefix, &broker, err);
    }
    if (status == CVM_OK) {
        status = send(broker, &outgoing, err);
    }
    cvm_broker_close(broker);
    cvm_event_records_finish(&records);
    cvm_store_close(store);
    return status == CVM_OK ? tell(session, prefix, outgoing.count, err) : status;
}

static const struct cvm_option publish_options[] = {
    {"--source", "NAME", "the source of the catalogue whose events these are"},
    {"--as-of", "D", "look at the customers as of this day (default: today)"},
    {NULL, NULL, NULL},
};

const struct cvm_command cvm_command_event_publish = {
    .name = "event publish",
    .arguments = "[JSON|FILE|-]",
    .summary = "Put events into the broker's queue of events",
    .details = "As `cvm event push`, but it returns once the broker (amqp://, kafka://) has the\n"
               "events: agents of type event store them, and begin trigger_and_process for each\n"
               "that is new. It says the name of the queue, for other producers: they put JSON\n"
               "there, {\"source\": NAME, \"event\": {...}}. What can not be stored is in\n"
               "`cvm dead-letter list`.\n\n"
               "  cvm event publish --source churn_score "
               "'{\"customer_id\":\"U1\",\"date\":\"2024-03-20\",\n"
               "      \"churn_probability\":0.9}'\n"
               "  tail -n 1 calls.ndjson | cvm event publish --source call_transcripts",
    .positional_max = 1,
    .options = publish_options,
    .run = run_publish,
};
