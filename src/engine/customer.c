#include "engine/customer.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "engine/pending.h"
#include "storage/cache.h"

/* The as-of day is in the name: the next day asks for other entries. */
#define KEPT_MS      INT64_C(86400000)
#define ID_BYTES_MAX ((size_t)1 << 20)

static enum cvm_status copy_chunk(void *state, size_t shard, size_t worker,
                                  const struct cvm_chunk *chunk, struct cvm_error *err)
{
    struct cvm_chunk *mine = state;
    (void)shard;
    (void)worker;
    mine->count = 1;
    mine->keys[0] = chunk->keys[0];
    mine->consents[0] = chunk->consents[0];
    mine->event_counts[0] = chunk->event_counts[0];
    for (size_t f = 0; f < chunk->feature_count; f++) {
        mine->features[f * mine->capacity] = chunk->features[f * chunk->capacity];
    }
    mine->id_offsets[0] = 0;
    cvm_text_clear(&mine->ids);
    cvm_text_add(&mine->ids, cvm_chunk_id(chunk, 0));
    cvm_text_add_char(&mine->ids, '\0');
    return mine->ids.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a customer") : CVM_OK;
}

struct reading {
    struct cvm_engine *engine;
    struct cvm_feature_window window;
    uint64_t key;
    uint64_t version;
    struct cvm_chunk *chunk; /* of one customer */
};

static enum cvm_status scan_customer(struct reading *reading, struct cvm_error *err)
{
    struct cvm_shard shard = {reading->key, reading->key};
    struct cvm_scan_request scan = {
        .window = reading->window,
        .shards = &shard,
        .shard_count = 1,
        .on_chunk = copy_chunk,
        .state = reading->chunk,
    };
    enum cvm_status status = cvm_engine_scan(reading->engine, &scan, err);
    if (status == CVM_OK && reading->chunk->count == 0) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "the customer has no journey yet");
    }
    return status;
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
