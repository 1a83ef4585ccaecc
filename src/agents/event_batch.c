#include "agents/event_batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/columns.h"
#include "base/date.h"
#include "base/hash.h"
#include "base/json_writer.h"
#include "base/trace.h"

#define BUCKETS ((size_t)1 << 12)
#define NONE    SIZE_MAX

struct cvm_event_batch {
    struct cvm_arena *arena;
    const struct cvm_catalogue *catalogue;
    struct cvm_identifier *identifier;
    struct cvm_column events;
    size_t buckets[BUCKETS]; /* the last event of each hash of an identity */
    size_t *order;           /* of the events as the import counts its records */
};

enum cvm_status cvm_event_batch_create(struct cvm_arena *arena,
                                       const struct cvm_catalogue *catalogue,
                                       size_t record_bytes_max, struct cvm_event_batch **out_batch,
                                       struct cvm_error *err)
{
    struct cvm_event_batch *batch = CVM_NEW(arena, struct cvm_event_batch);
    if (batch == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for events");
    }
    batch->arena = arena;
    batch->catalogue = catalogue;
    cvm_column_init(&batch->events, sizeof(struct cvm_event));
    for (size_t i = 0; i < BUCKETS; i++) {
        batch->buckets[i] = NONE;
    }
    enum cvm_status status =
        cvm_identifier_create(catalogue, record_bytes_max, &batch->identifier, err);
    if (status == CVM_OK) {
        *out_batch = batch;
    }
    return status;
}

void cvm_event_batch_destroy(struct cvm_event_batch *batch)
{
    if (batch != NULL) {
        cvm_identifier_destroy(batch->identifier);
        cvm_column_finish(&batch->events);
    }
}

size_t cvm_event_batch_count(const struct cvm_event_batch *batch)
{
    return batch->events.count;
}

struct cvm_event *cvm_event_batch_at(const struct cvm_event_batch *batch, size_t number)
{
    return &CVM_COLUMN_DATA(&batch->events, struct cvm_event)[number];
}

/* ---- adding ---- */

/* A line break is white space in JSON, never within a text. */
static char *copy_on_one_line(struct cvm_arena *arena, struct cvm_slice text)
{
    char *line = cvm_arena_copy(arena, text.data, text.length);
    for (size_t i = 0; line != NULL && i < text.length; i++) {
        line[i] = line[i] == '\n' || line[i] == '\r' ? ' ' : line[i];
    }
    return line;
}

/* The same event as the last one of its identity is stored once: an import takes equal records of
 * one file for as many events. */
static size_t find_first(const struct cvm_event_batch *batch, size_t bucket,
                         const struct cvm_event *event)
{
    for (size_t i = batch->buckets[bucket]; i != NONE; i = cvm_event_batch_at(batch, i)->next) {
        const struct cvm_event *other = cvm_event_batch_at(batch, i);
        bool is_identical = other->source == event->source &&
                            other->identity.customer_hash == event->identity.customer_hash &&
                            other->identity.identity == event->identity.identity &&
                            strcmp(other->identity.customer_id, event->identity.customer_id) == 0;
        if (is_identical) {
            return other->identity.content == event->identity.content ? other->first : NONE;
        }
    }
    return NONE;
}

enum cvm_status cvm_event_batch_add(struct cvm_event_batch *batch, int source,
                                    struct cvm_slice text, int32_t as_of_day, struct cvm_error *err)
{
    void *room = NULL;
    struct cvm_event event = {.source = source, .as_of_day = as_of_day, .may_be_kept = true};
    enum cvm_status status =
        cvm_import_identify(batch->identifier, batch->arena, source, text, &event.identity, err);
    if (status != CVM_OK) {
        return status;
    }
    const char *line = copy_on_one_line(batch->arena, text);
    if (line == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for events");
    }
    event.text = (struct cvm_slice){line, text.length};
    size_t number = batch->events.count;
    size_t bucket = cvm_hash_mix(event.identity.identity, event.identity.customer_hash) % BUCKETS;
    size_t first = find_first(batch, bucket, &event);
    event.first = first == NONE ? number : first;
    event.next = batch->buckets[bucket];
    status = cvm_column_extend(&batch->events, 1, &room, err);
    if (status == CVM_OK) {
        *(struct cvm_event *)room = event;
        batch->buckets[bucket] = number;
    }
    return status;
}

/* ---- storing ---- */

/* A block for each source that has events, made before the import begins: it asks for them on a
 * thread of its own. */
struct input {
    struct cvm_record_input base; /* first */
    struct cvm_event_batch *batch;
    struct cvm_record_block blocks[CVM_SOURCES_MAX];
    size_t block_count;
    size_t taken;
};

static size_t bytes_of(const struct cvm_event_batch *batch, int source)
{
    size_t bytes = 0;
    for (size_t i = 0; i < batch->events.count; i++) {
        const struct cvm_event *event = cvm_event_batch_at(batch, i);
        bytes += event->source == source && event->first == i ? event->text.length + 1 : 0;
    }
    return bytes;
}

static void fill_block(struct cvm_event_batch *batch, struct cvm_record_block *block,
                       size_t *record_count)
{
    block->first_record = (int64_t)*record_count + 1;
    for (size_t i = 0; i < batch->events.count; i++) {
        const struct cvm_event *event = cvm_event_batch_at(batch, i);
        if (event->source == block->source && event->first == i) {
            memcpy(block->data + block->length, event->text.data, event->text.length);
            block->length += event->text.length;
            block->data[block->length++] = '\n';
            batch->order[(*record_count)++] = i;
        }
    }
}

static enum cvm_status make_blocks(struct input *input, const char *file, struct cvm_error *err)
{
    struct cvm_event_batch *batch = input->batch;
    size_t record_count = 0;
    batch->order = CVM_NEW_ARRAY(batch->arena, batch->events.count + 1, size_t);
    for (size_t s = 0; batch->order != NULL && s < batch->catalogue->source_count; s++) {
        size_t bytes = bytes_of(batch, (int)s);
        if (bytes == 0) {
            continue;
        }
        struct cvm_record_block *block = &input->blocks[input->block_count++];
        *block = (struct cvm_record_block){
            .source = (int)s,
            .file = file,
            .format = CVM_RECORDS_NDJSON,
            .data = cvm_arena_alloc(batch->arena, bytes + CVM_JSON_PADDING, 1),
        };
        if (block->data == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for events");
        }
        fill_block(batch, block, &record_count);
    }
    return batch->order != NULL ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for events");
}

static enum cvm_status next_block(struct cvm_record_input *base, struct cvm_record_block *out_block,
                                  bool *out_has_block, struct cvm_error *err)
{
    struct input *input = (struct input *)base;
    (void)err;
    *out_has_block = input->taken < input->block_count;
    if (*out_has_block) {
        *out_block = input->blocks[input->taken++];
    }
    return CVM_OK;
}

static void release_block(struct cvm_record_input *base, struct cvm_record_block *block)
{
    (void)base; /* the arena's */
    (void)block;
}

static double progress(const struct cvm_record_input *base)
{
    (void)base;
    return -1;
}

static void note_reject(void *state, const struct cvm_record_reject *reject)
{
    struct input *input = state;
    struct cvm_event *event =
        cvm_event_batch_at(input->batch, input->batch->order[reject->record - 1]);
    const char *why = cvm_arena_string(input->batch->arena, reject->reason);
    event->why = why == NULL ? "the import rejected it" : why;
    event->may_be_kept = reject->text != NULL;
}

enum cvm_status cvm_event_batch_import(struct cvm_event_batch *batch,
                                       const struct cvm_import_work *work, const char *file,
                                       struct cvm_import_report *out_report, struct cvm_error *err)
{
    struct cvm_import_options options = *work->options;
    struct cvm_import_work mine = *work;
    struct input input = {
        .base = {.next = next_block, .release = release_block, .progress = progress},
        .batch = batch,
    };
    options.on_reject = note_reject;
    options.reject_state = &input;
    mine.options = &options;
    enum cvm_status status = make_blocks(&input, file, err);
    if (status == CVM_OK) {
        status = cvm_import_records(&mine, &input.base, batch->arena, out_report, err);
    }
    for (size_t i = 0; status == CVM_OK && i < batch->events.count; i++) {
        struct cvm_event *event = cvm_event_batch_at(batch, i);
        const struct cvm_event *first = cvm_event_batch_at(batch, event->first);
        event->why = first->why;
        event->may_be_kept = first->may_be_kept;
    }
    return status;
}

/* ---- accepting ---- */

/* Who pushes the same event again asks for the same work; one that was corrected is other work. */
static void make_key(const struct cvm_event_batch *batch, const struct cvm_event *event,
                     char key[CVM_WORKFLOW_KEY_MAX])
{
    const struct cvm_record_identity *identity = &event->identity;
    char day[CVM_DAY_TEXT_SIZE] = "";
    if (event->as_of_day != CVM_DAY_NONE) {
        (void)cvm_day_format(event->as_of_day, day);
    }
    (void)snprintf(key, CVM_WORKFLOW_KEY_MAX,
                   "event/%.64s/%016" PRIx64 "/%016" PRIx64 "/%016" PRIx64 "/%s",
                   batch->catalogue->sources[event->source].name, identity->customer_hash,
                   identity->identity, identity->content, day);
}

static const char *make_input(const struct cvm_event_batch *batch, const struct cvm_event *event)
{
    struct cvm_json_writer json;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_json_init(&json, &text, false);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "customer_id", event->identity.customer_id);
    if (event->as_of_day != CVM_DAY_NONE) {
        char day[CVM_DAY_TEXT_SIZE];
        (void)cvm_day_format(event->as_of_day, day);
        cvm_json_key_string(&json, "as_of", day);
    }
    cvm_json_object_end(&json);
    const char *input = text.failed ? NULL : cvm_arena_copy(batch->arena, text.data, text.length);
    cvm_text_finish(&text);
    return input;
}

enum cvm_status cvm_event_batch_accept(struct cvm_event_batch *batch, size_t number,
                                       struct cvm_store *store,
                                       const struct cvm_event_acceptance *how,
                                       struct cvm_error *err)
{
    struct cvm_event *event = cvm_event_batch_at(batch, number);
    char key[CVM_WORKFLOW_KEY_MAX];
    char trace[CVM_TRACEPARENT_SIZE];
    make_key(batch, event, key);
    struct cvm_flow_request request = {
        .definition = how->definition,
        .input = make_input(batch, event),
        .idempotency_key = key,
        .who = how->who,
        .traceparent = cvm_traceparent_child(how->traceparent, how->random, trace),
    };
    return request.input == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a workflow")
                                 : cvm_flow_accept(store, batch->arena, &request, &event->workflow,
                                                   &event->is_new, err);
}
