#include "engine/customer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "engine/pending.h"
#include "storage/cache.h"

/* The as-of day is in the name: the next day asks for other entries. */
#define KEPT_MS      INT64_C(86400000)
#define ID_BYTES_MAX ((size_t)1 << 20)

/* Features compiled, and the room to compute them in: making these takes longer than a customer. */
struct cvm_customer_reader {
    struct cvm_feature_window window;
    const struct cvm_catalogue *catalogue;
    struct cvm_feature_program *program;
    struct cvm_feature_builder *builder;
};

void cvm_customer_reader_destroy(struct cvm_customer_reader *reader)
{
    if (reader != NULL) {
        cvm_feature_builder_destroy(reader->builder);
        cvm_feature_program_destroy(reader->program);
        free(reader);
    }
}

static bool fits(const struct cvm_customer_reader *reader, const struct cvm_engine *engine,
                 const struct cvm_feature_window *window)
{
    return reader != NULL && reader->catalogue == engine->catalogue &&
           reader->window.as_of_day == window->as_of_day &&
           reader->window.since_day == window->since_day && reader->window.needed == NULL &&
           window->needed == NULL;
}

/* The engine's reader for this window: the one that is there, or a new one in its place. */
static enum cvm_status find_reader(struct cvm_engine *engine,
                                   const struct cvm_feature_window *window, struct cvm_error *err)
{
    if (fits(engine->customer_reader, engine, window)) {
        return CVM_OK;
    }
    struct cvm_customer_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read a customer");
    }
    reader->window = *window;
    reader->catalogue = engine->catalogue;
    enum cvm_status status =
        cvm_feature_program_create(engine->catalogue, *window, &reader->program, err);
    if (status == CVM_OK) {
        status = cvm_feature_builder_create(reader->program, &reader->builder, err);
    }
    if (status != CVM_OK) {
        cvm_customer_reader_destroy(reader);
        return status;
    }
    cvm_customer_reader_destroy(engine->customer_reader);
    engine->customer_reader = reader;
    return CVM_OK;
}

struct reading {
    struct cvm_engine *engine;
    struct cvm_feature_window window;
    uint64_t key;
    uint64_t version;
    struct cvm_chunk *chunk; /* of one customer */
};

struct bodies {
    struct cvm_feature_builder *builder;
    size_t count;
};

static enum cvm_status take_body(void *state, const struct cvm_packed_row *row,
                                 struct cvm_error *err)
{
    struct bodies *bodies = state;
    if (bodies->count++ == 0) {
        cvm_feature_builder_customer(bodies->builder, row->key);
    }
    enum cvm_status status =
        cvm_feature_builder_body(bodies->builder, row->period, row->body, row->length, err);
    return status == CVM_OK ? CVM_OK
                            : cvm_error_context(err, status, "packed journey %llu of period %d",
                                                (unsigned long long)row->key, (int)row->period);
}

static enum cvm_status end_customer(struct reading *reading, struct cvm_feature_builder *builder,
                                    struct cvm_error *err)
{
    const struct cvm_engine *engine = reading->engine;
    enum cvm_status status = CVM_OK;
    if (engine->pending != NULL && engine->pending->contacts.count > 0) {
        status = cvm_pending_lend(engine->pending, engine->catalogue, reading->key, builder, err);
    }
    if (status == CVM_OK) {
        status = cvm_feature_builder_customer_end(builder, err);
    }
    if (status == CVM_OK) {
        cvm_feature_builder_end(builder);
    }
    return status;
}

static enum cvm_status scan_customer(struct reading *reading, struct cvm_error *err)
{
    struct cvm_engine *engine = reading->engine;
    enum cvm_status status = find_reader(engine, &reading->window, err);
    if (status != CVM_OK) {
        return status;
    }
    const struct cvm_customer_reader *reader = engine->customer_reader;
    struct bodies bodies = {.builder = reader->builder};
    struct cvm_packed_range range = {
        .first_key = reading->key,
        .last_key = reading->key,
        .first_period = cvm_feature_first_period(reader->program),
        .last_period = cvm_feature_last_period(reader->program),
    };
    cvm_feature_builder_start(reader->builder, reading->chunk);
    status = cvm_packed_read(engine->readers[0], &range, take_body, &bodies, err);
    if (status == CVM_OK && bodies.count == 0) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "the customer has no journey yet");
    }
    return status == CVM_OK ? end_customer(reading, reader->builder, err) : status;
}

/* ---- through the cache ---- */

/* What is kept, in the byte order of the machine; the id is left out, so that nothing that names
 * anybody leaves the store. */
struct record {
    uint64_t key;
    uint32_t feature_count;
    uint32_t event_count;
    uint32_t recorded;
    uint32_t granted;
    int32_t updated_day;
    int16_t quiet_start_min;
    int16_t quiet_end_min;
    uint8_t preferred_time;
    uint8_t has_record;
    uint8_t nothing[6];
    char language[CVM_LANGUAGE_SIZE];
};
_Static_assert(sizeof(struct record) == 48, "no hidden bytes, and another size is another name");

static void write_record(const struct cvm_chunk *chunk, struct cvm_text *out)
{
    const struct cvm_consent *consent = &chunk->consents[0];
    struct record record = {
        .key = chunk->keys[0],
        .feature_count = (uint32_t)chunk->feature_count,
        .event_count = chunk->event_counts[0],
        .recorded = consent->recorded,
        .granted = consent->granted,
        .updated_day = consent->updated_day,
        .quiet_start_min = consent->quiet_start_min,
        .quiet_end_min = consent->quiet_end_min,
        .preferred_time = consent->preferred_time,
        .has_record = consent->has_record ? 1 : 0,
    };
    memcpy(record.language, consent->language, sizeof(record.language));
    cvm_text_add_bytes(out, &record, sizeof(record));
    for (size_t f = 0; f < chunk->feature_count; f++) {
        cvm_text_add_bytes(out, &chunk->features[f * chunk->capacity], sizeof(double));
    }
}

/* False: of another layout. */
static bool read_record(const struct cvm_text *text, uint64_t key, struct cvm_chunk *chunk)
{
    struct record record;
    if (text->length != sizeof(record) + chunk->feature_count * sizeof(double)) {
        return false;
    }
    memcpy(&record, text->data, sizeof(record));
    if (record.key != key || record.feature_count != chunk->feature_count) {
        return false;
    }
    chunk->count = 1;
    chunk->keys[0] = record.key;
    chunk->event_counts[0] = record.event_count;
    chunk->consents[0] = (struct cvm_consent){
        .recorded = record.recorded,
        .granted = record.granted,
        .updated_day = record.updated_day,
        .quiet_start_min = record.quiet_start_min,
        .quiet_end_min = record.quiet_end_min,
        .preferred_time = record.preferred_time,
        .has_record = record.has_record != 0,
    };
    memcpy(chunk->consents[0].language, record.language, sizeof(record.language));
    for (size_t f = 0; f < chunk->feature_count; f++) {
        memcpy(&chunk->features[f * chunk->capacity],
               text->data + sizeof(record) + f * sizeof(double), sizeof(double));
    }
    return true;
}

static enum cvm_status make_record(void *state, struct cvm_text *out_value, uint64_t *out_version,
                                   struct cvm_error *err)
{
    struct reading *reading = state;
    enum cvm_status status = scan_customer(reading, err);
    if (status == CVM_OK) {
        write_record(reading->chunk, out_value);
        *out_version = reading->version;
    }
    return status;
}

static enum cvm_status add_id(const struct reading *reading, struct cvm_error *err)
{
    struct cvm_text *ids = &reading->chunk->ids;
    const char *id = NULL;
    struct cvm_arena *arena = cvm_arena_create(ID_BYTES_MAX);
    enum cvm_status status =
        arena == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a customer")
                      : cvm_customer_id(reading->engine->readers[0], arena, reading->key, &id, err);
    if (status == CVM_OK) {
        reading->chunk->id_offsets[0] = 0;
        cvm_text_clear(ids);
        cvm_text_add(ids, id);
        cvm_text_add_char(ids, '\0');
        status = ids->failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a customer") : CVM_OK;
    }
    cvm_arena_destroy(arena);
    return status;
}

/* All that features rest on besides the journey, whose version goes along. */
static struct cvm_slice name_of(const struct reading *reading, char name[CVM_CACHE_NAME_MAX])
{
    const struct cvm_engine *engine = reading->engine;
    uint64_t pending =
        engine->pending == NULL ? 0 : cvm_pending_digest(engine->pending, reading->key);
    int length = snprintf(name, CVM_CACHE_NAME_MAX, "features%zu:%016llx:%d:%.32s:%016llx",
                          sizeof(struct record), (unsigned long long)reading->key,
                          (int)reading->window.as_of_day, engine->catalogue->digest,
                          (unsigned long long)pending);
    return (struct cvm_slice){name, (size_t)length};
}

static enum cvm_status read_through(struct reading *reading, struct cvm_error *err)
{
    struct cvm_engine *engine = reading->engine;
    char name[CVM_CACHE_NAME_MAX];
    struct cvm_cache_want want = {name_of(reading, name), reading->version, reading->version};
    struct cvm_cache_maker maker = {make_record, reading, KEPT_MS};
    struct cvm_text value;
    cvm_text_init(&value, 0);
    enum cvm_status status =
        cvm_cache_get_or_make(engine->cache, engine->context, &want, &maker, &value, err);
    if (status == CVM_OK && read_record(&value, reading->key, reading->chunk)) {
        status = add_id(reading, err);
    } else if (status == CVM_OK) {
        status = scan_customer(reading, err);
    }
    cvm_text_finish(&value);
    return status;
}

enum cvm_status cvm_engine_customer(struct cvm_engine *engine, uint64_t key,
                                    struct cvm_feature_window window, struct cvm_chunk **out_chunk,
                                    struct cvm_error *err)
{
    struct reading reading = {.engine = engine, .window = window, .key = key};
    bool is_usual = window.since_day == CVM_DAY_NONE && window.needed == NULL;
    enum cvm_status status =
        cvm_chunk_create(1, engine->catalogue->feature_count, &reading.chunk, err);
    if (status == CVM_OK && engine->cache != NULL && is_usual) {
        status = cvm_packed_version(engine->readers[0], &reading.version, err);
    }
    if (status == CVM_OK) {
        status = reading.version != 0 ? read_through(&reading, err) : scan_customer(&reading, err);
    }
    if (status != CVM_OK) {
        cvm_chunk_destroy(reading.chunk);
        return status;
    }
    *out_chunk = reading.chunk;
    return CVM_OK;
}
