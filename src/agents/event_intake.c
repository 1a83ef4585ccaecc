#include "agents/event_intake.h"

#include <stdlib.h>
#include <string.h>

#include "agents/event_batch.h"
#include "base/columns.h"
#include "base/date.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/threads.h"
#include "storage/catalogue_store.h"
#include "storage/dead_letter.h"
#include "storage/workflow_store.h"

#define WHO                 "agent:event"
#define ARENA_BYTES_MAX     ((size_t)1 << 30)
#define CATALOGUE_BYTES_MAX ((size_t)256 << 20)
#define IMPORT_BYTES        ((size_t)64 << 20)
#define LOCK_WAIT_MS        10000

struct cvm_event_intake {
    struct cvm_event_intake_options options;
    struct cvm_random random;
    struct cvm_json_reader *reader;
    struct cvm_pool *pool;
    struct cvm_arena *catalogue_arena;
    const struct cvm_catalogue *catalogue; /* NULL = not read yet */
};

/* Where an event stands in its message: for its letter. */
struct place {
    size_t message;
    size_t number;                      /* in the message */
    const struct cvm_json_value *entry; /* with "source"; NULL = the message as it came */
    const struct cvm_json_value *event;
};

/* An event that can not be stored, or a whole message. */
struct letter {
    struct place place;
    const char *why;
};

struct message {
    const struct cvm_delivery *delivery;
    const struct cvm_envelope *envelope; /* NULL = a foreign one */
    struct cvm_slice text;
    bool is_known; /* done with before */
    size_t item_count;
};

struct taking {
    struct cvm_event_intake *intake;
    struct cvm_arena *arena;
    struct cvm_event_batch *batch;
    struct cvm_column places; /* of the batch's events */
    struct cvm_column letters;
    struct message *messages;
    size_t message_count;
    bool *is_new; /* of messages: marked by this transaction */
    struct cvm_event_take take;
    struct cvm_store *store; /* of the transaction */
};

/* ---- life ---- */

enum cvm_status cvm_event_intake_create(const struct cvm_event_intake_options *options,
                                        struct cvm_event_intake **out_intake, struct cvm_error *err)
{
    struct cvm_event_intake *intake = calloc(1, sizeof(*intake));
    if (intake == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to take events");
    }
    intake->options = *options;
    cvm_random_init(&intake->random, options->seed);
    intake->reader = cvm_json_reader_create(CVM_ENVELOPE_PAYLOAD_MAX);
    enum cvm_status status = intake->reader != NULL
                                 ? cvm_pool_create(1, &intake->pool, err)
                                 : CVM_FAIL(err, CVM_E_LIMIT, "no memory to take events");
    if (status != CVM_OK) {
        cvm_event_intake_destroy(intake);
        return status;
    }
    *out_intake = intake;
    return CVM_OK;
}

void cvm_event_intake_destroy(struct cvm_event_intake *intake)
{
    if (intake != NULL) {
        cvm_pool_destroy(intake->pool);
        cvm_json_reader_destroy(intake->reader);
        cvm_arena_destroy(intake->catalogue_arena);
        free(intake);
    }
}

static enum cvm_status load_catalogue(struct cvm_event_intake *intake, struct cvm_store *store,
                                      int64_t version, struct cvm_error *err)
{
    cvm_arena_destroy(intake->catalogue_arena);
    intake->catalogue = NULL;
    intake->catalogue_arena = cvm_arena_create(CATALOGUE_BYTES_MAX);
    return intake->catalogue_arena == NULL
               ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a catalogue")
               : cvm_catalogue_store_load(store, intake->catalogue_arena, version,
                                          &intake->catalogue, err);
}

/* The one in force: a source that was added is known from its next event on. */
static enum cvm_status use_catalogue(struct cvm_event_intake *intake, struct cvm_store *store,
                                     struct cvm_error *err)
{
    int64_t version = 0;
    enum cvm_status status = cvm_catalogue_store_newest(store, &version, err);
    bool is_it = intake->catalogue != NULL && intake->catalogue->version == version;
    return status == CVM_OK && !is_it ? load_catalogue(intake, store, version, err) : status;
}

/* ---- reading messages ---- */

static struct cvm_turn_key key_of(const struct message *message)
{
    struct cvm_turn_key key = {.consumer = CVM_BROKER_EVENTS};
    memcpy(key.message_id, message->envelope->id.bytes, sizeof(key.message_id));
    return key;
}

static enum cvm_status add_letter(struct taking *taking, const struct place *place, const char *why,
                                  struct cvm_error *err)
{
    void *room = NULL;
    struct letter letter = {*place, cvm_arena_string(taking->arena, why)};
    enum cvm_status status = letter.why == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a dead letter")
                                 : cvm_column_extend(&taking->letters, 1, &room, err);
    if (status == CVM_OK) {
        *(struct letter *)room = letter;
    }
    return status;
}

/* What all events of an entry have in common. */
struct entry {
    int source;
    int32_t as_of_day;
};

static enum cvm_status add_event(struct taking *taking, const struct place *place,
                                 const struct entry *entry, struct cvm_error *err)
{
    struct cvm_error why = {.message = ""};
    void *room = NULL;
    enum cvm_status status = cvm_event_batch_add(taking->batch, entry->source, place->event->raw,
                                                 entry->as_of_day, &why);
    if (status == CVM_E_INVALID || status == CVM_E_LIMIT) { /* as the import would */
        return add_letter(taking, place, why.message, err);
    }
    if (status != CVM_OK) {
        return CVM_FAIL(err, status, "%s", why.message);
    }
    status = cvm_column_extend(&taking->places, 1, &room, err);
    if (status == CVM_OK) {
        *(struct place *)room = *place;
    }
    return status;
}

/* NULL, or what is wrong with it. */
static const char *read_entry(const struct taking *taking, const struct cvm_json_value *value,
                              struct entry *out_entry)
{
    const struct cvm_json_value *source = cvm_json_member(value, "source");
    const struct cvm_json_value *as_of = cvm_json_member(value, "as_of");
    if (source == NULL || source->type != CVM_JSON_STRING) {
        return "an event comes as {\"source\": NAME, \"event\": {...}}";
    }
    const char *name = cvm_arena_copy(taking->arena, source->string.data, source->string.length);
    out_entry->source = name == NULL ? -1 : cvm_catalogue_source(taking->intake->catalogue, name);
    if (out_entry->source < 0) {
        return "the catalogue has no such source";
    }
    out_entry->as_of_day = CVM_DAY_NONE;
    bool is_day =
        as_of == NULL || as_of->type == CVM_JSON_NULL ||
        (as_of->type == CVM_JSON_STRING && cvm_day_parse(as_of->string.data, as_of->string.length,
                                                         &out_entry->as_of_day, NULL, NULL));
    return is_day ? NULL : "'as_of' is no day";
}

static enum cvm_status read_events(struct taking *taking, size_t number,
                                   const struct cvm_json_value *value, struct cvm_error *err)
{
    struct message *message = &taking->messages[number];
    struct place place = {number, 0, value, cvm_json_member(value, "event")};
    struct entry entry;
    const char *why = read_entry(taking, value, &entry);
    if (why == NULL && place.event == NULL) {
        why = "there is no 'event'";
    }
    if (why != NULL) {
        place.number = message->item_count++;
        return add_letter(taking, &place, why, err);
    }
    bool is_list = place.event->type == CVM_JSON_ARRAY;
    enum cvm_status status = CVM_OK;
    place.event = is_list ? place.event->first_child : place.event;
    while (status == CVM_OK && place.event != NULL) {
        place.number = message->item_count++;
        status = add_event(taking, &place, &entry, err);
        place.event = is_list ? place.event->next : NULL;
    }
    return status;
}

static enum cvm_status parse(struct taking *taking, const struct message *message,
                             const struct cvm_json_value **out_root, struct cvm_error *why)
{
    if (message->envelope != NULL && message->envelope->type != CVM_MESSAGE_EVENT) {
        return CVM_FAIL(why, CVM_E_INVALID, "a %s is no EVENT",
                        cvm_message_type_name(message->envelope->type));
    }
    if (message->text.length > CVM_ENVELOPE_PAYLOAD_MAX) {
        return CVM_FAIL(why, CVM_E_INVALID, "a message of events has at most %zu bytes",
                        CVM_ENVELOPE_PAYLOAD_MAX);
    }
    return cvm_json_read(taking->intake->reader, taking->arena, message->text.data,
                         message->text.length, false, out_root, why);
}

static enum cvm_status read_message(struct taking *taking, size_t number, struct cvm_error *err)
{
    struct message *message = &taking->messages[number];
    const struct cvm_json_value *root = NULL;
    struct cvm_error why = {.message = ""};
    enum cvm_status status = parse(taking, message, &root, &why);
    if (status == CVM_E_INVALID) {
        struct place place = {.message = number, .number = message->item_count++};
        status = add_letter(taking, &place, why.message, err);
    } else if (status != CVM_OK) {
        return CVM_FAIL(err, status, "%s", why.message);
    } else {
        bool is_list = root->type == CVM_JSON_ARRAY;
        const struct cvm_json_value *value = is_list ? root->first_child : root;
        while (status == CVM_OK && value != NULL) {
            status = read_events(taking, number, value, err);
            value = is_list ? value->next : NULL;
        }
    }
    taking->take.events += (int64_t)message->item_count;
    return status;
}

/* One that was done with before is not read again: the event may have been corrected since. */
static enum cvm_status read_messages(struct taking *taking, struct cvm_store *store,
                                     struct cvm_error *err)
{
    enum cvm_status status = use_catalogue(taking->intake, store, err);
    for (size_t i = 0; status == CVM_OK && i < taking->message_count; i++) {
        struct message *message = &taking->messages[i];
        if (message->envelope != NULL) {
            struct cvm_turn_key key = key_of(message);
            status = cvm_turn_was_kept(store, &key, &message->is_known, err);
        }
    }
    if (status == CVM_OK) {
        status = cvm_event_batch_create(taking->arena, taking->intake->catalogue,
                                        CVM_ENVELOPE_PAYLOAD_MAX, &taking->batch, err);
    }
    for (size_t i = 0; status == CVM_OK && i < taking->message_count; i++) {
        if (!taking->messages[i].is_known) {
            status = read_message(taking, i, err);
        }
    }
    return status;
}

/* ---- storing ---- */

static enum cvm_status look(struct cvm_store *store, const char **out_held_up_by,
                            struct cvm_error *err)
{
    int64_t runs = 0;
    int64_t open = 0;
    enum cvm_status status = cvm_workflow_runs_at_work(store, &runs, err);
    if (status == CVM_OK) {
        status = cvm_workflow_moving(store, CVM_EVENT_WORKFLOW, &open, err);
    }
    if (status == CVM_OK) {
        *out_held_up_by = runs > 0                      ? "a run is at work"
                          : open >= CVM_EVENTS_OPEN_MAX ? "agents are busy with events"
                                                        : NULL;
    }
    return status;
}

/* Looked at by who excludes the turns that begin a run, so that none begins meanwhile. */
static enum cvm_status import_with(struct taking *taking, struct cvm_store *writer,
                                   struct cvm_error *err)
{
    const struct cvm_event_intake *intake = taking->intake;
    const struct cvm_agent_site *site = intake->options.site;
    const struct cvm_context *context = intake->options.context;
    struct cvm_import_options options = {
        .who = WHO,
        .record_bytes_max = CVM_ENVELOPE_PAYLOAD_MAX,
        .memory_bytes = IMPORT_BYTES,
        .temporary_folder = site->spill_folder,
        .today = cvm_zone_day(site->zone, cvm_context_now_ms(context)),
    };
    struct cvm_import_work work = {writer, intake->catalogue, &options, intake->pool, context};
    struct cvm_import_report report = {0};
    enum cvm_status status = look(writer, &taking->take.held_up_by, err);
    if (status == CVM_OK && taking->take.held_up_by == NULL) {
        status = cvm_event_batch_import(taking->batch, &work, CVM_BROKER_EVENTS, &report, err);
        taking->take.stored = report.stored;
    }
    return status;
}

/* The process's own writer where it is alone in the store; on a server the turns of all processes
 * are waited for, and wait. */
static enum cvm_status import_events(struct taking *taking, struct cvm_error *err)
{
    const struct cvm_agent_site *site = taking->intake->options.site;
    struct cvm_store_options options = {
        .access = CVM_DB_WRITE,
        .lock_wait_ms = LOCK_WAIT_MS,
        .clock = taking->intake->options.context->clock,
        .privacy = site->privacy,
    };
    struct cvm_store *own = NULL;
    struct cvm_store *writer = cvm_agent_writer_lock(site->writer);
    bool is_alone = cvm_db_access_of(cvm_store_db(writer)) == CVM_DB_WRITE;
    enum cvm_status status = is_alone ? import_with(taking, writer, err) : CVM_OK;
    cvm_agent_writer_unlock(site->writer);
    if (!is_alone) {
        status = cvm_store_open(site->store_url, &options, &own, err);
        if (status == CVM_OK) {
            status = import_with(taking, own, err);
        }
        cvm_store_close(own);
    }
    return status;
}

/* ---- letters ---- */

/* The same for the same event of the same message, so that its letter is one, however often the
 * message comes. */
static struct cvm_message_id letter_id(const struct message *message, size_t number)
{
    struct cvm_message_id id;
    bool is_ours = message->envelope != NULL;
    const void *bytes = is_ours ? (const void *)message->envelope->id.bytes : message->text.data;
    size_t length = is_ours ? sizeof(message->envelope->id.bytes) : message->text.length;
    uint64_t halves[] = {cvm_hash_seeded(bytes, length, number),
                         cvm_hash_seeded(bytes, length, ~(uint64_t)number)};
    memcpy(id.bytes, halves, sizeof(id.bytes));
    return id;
}

static void write_member(struct cvm_json_writer *json, const char *key,
                         const struct cvm_json_value *value)
{
    if (value != NULL) {
        cvm_json_key(json, key);
        cvm_json_raw(json, value->raw.data, value->raw.length);
    }
}

static void write_payload(const struct message *message, const struct place *place,
                          struct cvm_text *text)
{
    const struct cvm_json_value *entry = place->entry;
    struct cvm_json_writer json;
    if (entry == NULL || entry->type != CVM_JSON_OBJECT) {
        struct cvm_slice bytes = entry == NULL ? message->text : entry->raw;
        bool is_long = bytes.length > CVM_ENVELOPE_PAYLOAD_MAX;
        cvm_text_add_bytes(text, bytes.data, is_long ? CVM_ENVELOPE_PAYLOAD_MAX : bytes.length);
        return;
    }
    cvm_json_init(&json, text, false);
    cvm_json_object(&json);
    write_member(&json, "source", cvm_json_member(entry, "source"));
    write_member(&json, "as_of", cvm_json_member(entry, "as_of"));
    write_member(&json, "event", place->event);
    cvm_json_object_end(&json);
}

static enum cvm_status encode(const struct taking *taking, const struct letter *letter,
                              struct cvm_envelope *envelope, const unsigned char **out_bytes,
                              struct cvm_error *err)
{
    struct cvm_text payload;
    cvm_text_init(&payload, 0);
    write_payload(&taking->messages[letter->place.message], &letter->place, &payload);
    envelope->payload = (struct cvm_slice){cvm_text_string(&payload), payload.length};
    enum cvm_status status = payload.failed
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a dead letter")
                                 : cvm_envelope_check(envelope, err);
    if (status == CVM_OK) {
        unsigned char *bytes = cvm_arena_alloc(taking->arena, cvm_envelope_bytes(envelope), 1);
        if (bytes == NULL) {
            status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for a dead letter");
        } else {
            cvm_envelope_encode(envelope, bytes);
            *out_bytes = bytes;
        }
    }
    cvm_text_finish(&payload);
    return status;
}

/* As a message of its own, so that it can be replayed by itself once its source is known. */
static enum cvm_status keep_letter(struct taking *taking, const struct letter *letter,
                                   struct cvm_error *err)
{
    const struct message *message = &taking->messages[letter->place.message];
    const struct cvm_envelope *came = message->envelope;
    const unsigned char *bytes = NULL;
    struct cvm_envelope envelope = {
        .id = letter_id(message, letter->place.number),
        .type = came != NULL ? came->type : CVM_MESSAGE_EVENT,
        .schema_version = 1,
        .hop = came != NULL ? came->hop : 0,
        .attempt = 1,
        .shard = CVM_SHARD_NONE,
        .created_ms = cvm_context_now_ms(taking->intake->options.context),
        .sender = {WHO, strlen(WHO)},
        .traceparent = came != NULL ? came->traceparent : (struct cvm_slice){"", 0},
    };
    enum cvm_status status = encode(taking, letter, &envelope, &bytes, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_dead_letter row = {
        .destination = CVM_BROKER_EVENTS,
        .step_no = -1,
        .envelope = bytes,
        .length = cvm_envelope_bytes(&envelope),
        .error_class = "poison",
        .error = letter->why,
        .attempts = message->delivery->attempt,
    };
    memcpy(row.message_id, envelope.id.bytes, sizeof(row.message_id));
    taking->take.dead++;
    return cvm_dead_letter_add(taking->store, &row, err);
}

/* ---- accepting ---- */

static enum cvm_status accept_event(struct taking *taking, size_t number, struct cvm_error *err)
{
    struct cvm_event *event = cvm_event_batch_at(taking->batch, number);
    const struct place *place = &CVM_COLUMN_DATA(&taking->places, struct place)[number];
    const struct cvm_envelope *envelope = taking->messages[place->message].envelope;
    struct cvm_error why = {.message = ""};
    struct cvm_event_acceptance how = {
        .definition = taking->intake->options.definition,
        .who = WHO,
        .traceparent = envelope != NULL ? envelope->traceparent : (struct cvm_slice){"", 0},
        .random = &taking->intake->random,
    };
    if (event->why == NULL) {
        enum cvm_status status =
            cvm_event_batch_accept(taking->batch, number, taking->store, &how, &why);
        taking->take.started += status == CVM_OK && event->is_new;
        if (status != CVM_E_INVALID && status != CVM_E_CONFLICT) {
            return status == CVM_OK ? CVM_OK : CVM_FAIL(err, status, "%s", why.message);
        }
    }
    struct letter letter = {*place, event->why != NULL ? event->why : why.message};
    letter.place.event = event->may_be_kept ? place->event : NULL;
    return keep_letter(taking, &letter, err);
}

static enum cvm_status mark_messages(struct taking *taking, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < taking->message_count; i++) {
        const struct message *message = &taking->messages[i];
        taking->is_new[i] = !message->is_known;
        if (message->envelope != NULL && !message->is_known) {
            struct cvm_turn_key key = key_of(message);
            status = cvm_turn_mark(taking->store, &key, &taking->is_new[i], err);
        }
    }
    return status;
}

static bool is_last_of_partition(const struct taking *taking, size_t number)
{
    const struct cvm_delivery *delivery = taking->messages[number].delivery;
    for (size_t i = number + 1; i < taking->message_count; i++) {
        if (taking->messages[i].delivery->partition == delivery->partition) {
            return false;
        }
    }
    return true;
}

static enum cvm_status move_offsets(const struct taking *taking, struct cvm_error *err)
{
    bool has_offsets = taking->intake->options.has_offsets;
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && has_offsets && i < taking->message_count; i++) {
        const struct cvm_delivery *delivery = taking->messages[i].delivery;
        struct cvm_broker_offset offset = {CVM_BROKER_EVENTS, delivery->partition,
                                           delivery->offset + 1};
        if (is_last_of_partition(taking, i)) {
            status = cvm_broker_offset_move(taking->store, &offset, err);
        }
    }
    return status;
}

/* One transaction: places in a log, marks, workflows, letters. */
static enum cvm_status keep(void *state, struct cvm_error *err)
{
    struct taking *taking = state;
    const struct place *places = CVM_COLUMN_DATA(&taking->places, struct place);
    const struct letter *letters = CVM_COLUMN_DATA(&taking->letters, struct letter);
    taking->take.started = 0;
    taking->take.dead = 0;
    enum cvm_status status = move_offsets(taking, err);
    if (status == CVM_OK) {
        status = mark_messages(taking, err);
    }
    for (size_t i = 0; status == CVM_OK && i < taking->places.count; i++) {
        if (taking->is_new[places[i].message]) {
            status = accept_event(taking, i, err);
        }
    }
    for (size_t i = 0; status == CVM_OK && i < taking->letters.count; i++) {
        if (taking->is_new[letters[i].place.message]) {
            status = keep_letter(taking, &letters[i], err);
        }
    }
    return status;
}

/* ---- all of it ---- */

static enum cvm_status take(struct taking *taking, struct cvm_error *err)
{
    struct cvm_agent_writer *writer = taking->intake->options.site->writer;
    enum cvm_status status = read_messages(taking, cvm_agent_writer_lock(writer), err);
    cvm_agent_writer_unlock(writer);
    if (status == CVM_OK && cvm_event_batch_count(taking->batch) > 0) {
        status = import_events(taking, err);
    }
    if (status == CVM_OK && taking->take.held_up_by == NULL) {
        taking->store = cvm_agent_writer_lock(writer);
        status = cvm_db_transact(cvm_store_db(taking->store), keep, taking, err);
        cvm_agent_writer_unlock(writer);
    }
    return status;
}

static void tell(const struct cvm_event_intake *intake, size_t messages,
                 const struct cvm_event_take *take)
{
    static const char help[] = "Events that came in by the broker, by what became of them.";
    struct cvm_metrics *metrics = intake->options.context->metrics;
    const struct {
        const char *labels;
        int64_t count;
    } ends[] = {{"end=\"stored\"", take->stored},
                {"end=\"there\"", take->events - take->stored - take->dead},
                {"end=\"dead\"", take->dead}};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        double count = ends[i].count < 0 ? 0 : (double)ends[i].count;
        cvm_metric_add(
            cvm_metrics_get(metrics, CVM_METRIC_COUNTER, "cvm_events_total", ends[i].labels, help),
            count);
    }
    cvm_metric_observe(cvm_metrics_get(metrics, CVM_METRIC_HISTOGRAM, "cvm_event_take_seconds", "",
                                       "How long it took to store a batch of events."),
                       take->seconds);
    CVM_LOG(intake->options.context->log, CVM_LOG_INFO, "events_taken",
            CVM_INT("messages", (int64_t)messages), CVM_INT("events", take->events),
            CVM_INT("stored", take->stored), CVM_INT("started", take->started),
            CVM_INT("dead", take->dead), CVM_DOUBLE("seconds", take->seconds));
}

static enum cvm_status note_messages(struct taking *taking, const struct cvm_delivery *deliveries,
                                     struct cvm_error *err)
{
    size_t count = taking->message_count;
    if (taking->arena != NULL) {
        taking->messages = CVM_NEW_ARRAY(taking->arena, count + 1, struct message);
        taking->is_new = CVM_NEW_ARRAY(taking->arena, count + 1, bool);
    }
    if (taking->messages == NULL || taking->is_new == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for events");
    }
    for (size_t i = 0; i < count; i++) {
        const struct cvm_envelope *envelope = deliveries[i].envelope;
        struct cvm_slice text = envelope != NULL ? envelope->payload : deliveries[i].raw;
        taking->messages[i] = (struct message){
            .delivery = &deliveries[i],
            .envelope = envelope,
            .text = {text.length == 0 ? "" : text.data, text.length},
        };
    }
    return CVM_OK;
}

enum cvm_status cvm_event_intake_take(struct cvm_event_intake *intake,
                                      const struct cvm_delivery *deliveries, size_t count,
                                      struct cvm_event_take *out_take, struct cvm_error *err)
{
    double start = cvm_context_seconds(intake->options.context);
    struct taking taking = {
        .intake = intake,
        .arena = cvm_arena_create(ARENA_BYTES_MAX),
        .message_count = count,
    };
    cvm_column_init(&taking.places, sizeof(struct place));
    cvm_column_init(&taking.letters, sizeof(struct letter));
    enum cvm_status status = note_messages(&taking, deliveries, err);
    if (status == CVM_OK) {
        status = take(&taking, err);
    }
    cvm_event_batch_destroy(taking.batch);
    cvm_column_finish(&taking.places);
    cvm_column_finish(&taking.letters);
    cvm_arena_destroy(taking.arena);
    if (status == CVM_OK) {
        taking.take.seconds = cvm_context_seconds(intake->options.context) - start;
        *out_take = taking.take;
        if (taking.take.held_up_by == NULL) {
            tell(intake, count, out_take);
        }
    }
    return status;
}

enum cvm_status cvm_event_intake_look(struct cvm_event_intake *intake, const char **out_held_up_by,
                                      struct cvm_error *err)
{
    struct cvm_agent_writer *writer = intake->options.site->writer;
    enum cvm_status status = look(cvm_agent_writer_lock(writer), out_held_up_by, err);
    cvm_agent_writer_unlock(writer);
    return status;
}
