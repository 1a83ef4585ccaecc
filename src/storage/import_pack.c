#include "storage/import_pack.h"

#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "base/date.h"
#include "base/json_reader.h"
#include "storage/db_sql.h"

#define ROW_BYTES_MAX   ((size_t)1 << 30)
#define ARENA_BYTES_MAX ((size_t)4 << 30)
#define BODY_BYTES_MAX  ((size_t)1 << 28)

struct cvm_import_packing {
    const struct cvm_import_plan *plan;
    struct cvm_packer *packer;
    struct cvm_json_reader *reader;
    struct cvm_arena *arena; /* of one body */
    struct cvm_column events;
    struct cvm_text body;

    /* the bodies being written */
    const struct cvm_import_body *bodies;
    const struct cvm_import_pack_event *body_events;
    size_t count;
    size_t next;
};

struct cvm_import_packing *cvm_import_packing_create(const struct cvm_import_plan *plan)
{
    struct cvm_import_packing *packing = calloc(1, sizeof(*packing));
    if (packing == NULL) {
        return NULL;
    }
    packing->plan = plan;
    packing->packer = cvm_packer_create();
    packing->reader = cvm_json_reader_create(ROW_BYTES_MAX);
    packing->arena = cvm_arena_create(ARENA_BYTES_MAX);
    cvm_column_init(&packing->events, sizeof(struct cvm_packed_event));
    cvm_text_init(&packing->body, BODY_BYTES_MAX);
    if (packing->packer == NULL || packing->reader == NULL || packing->arena == NULL) {
        cvm_import_packing_destroy(packing);
        return NULL;
    }
    return packing;
}

void cvm_import_packing_destroy(struct cvm_import_packing *packing)
{
    if (packing == NULL) {
        return;
    }
    cvm_packer_destroy(packing->packer);
    cvm_json_reader_destroy(packing->reader);
    cvm_arena_destroy(packing->arena);
    cvm_column_finish(&packing->events);
    cvm_text_finish(&packing->body);
    free(packing);
}

/* ---- a stored row ---- */

static bool read_cell(const struct cvm_attribute *attribute, const struct cvm_json_value *value,
                      double *out_value)
{
    int32_t day = 0;
    switch (attribute->type) {
    case CVM_ATTRIBUTE_NUMBER:
        *out_value = value->number + 0.0;
        return value->type == CVM_JSON_INT || value->type == CVM_JSON_DOUBLE;
    case CVM_ATTRIBUTE_BOOLEAN:
        *out_value = value->boolean;
        return value->type == CVM_JSON_BOOL;
    case CVM_ATTRIBUTE_DATE:
        if (value->type != CVM_JSON_STRING ||
            !cvm_day_parse(value->string.data, value->string.length, &day, NULL, NULL)) {
            return false;
        }
        *out_value = day;
        return true;
    case CVM_ATTRIBUTE_WORD:
        for (size_t w = 0; value->type == CVM_JSON_STRING && attribute->words[w] != NULL; w++) {
            if (cvm_slice_equals(value->string, attribute->words[w])) {
                *out_value = (double)w;
                return true;
            }
        }
        return false;
    case CVM_ATTRIBUTE_CODE:
        *out_value = cvm_rule_code(value->string.data, value->string.length);
        return value->type == CVM_JSON_STRING;
    case CVM_ATTRIBUTE_LABEL:
    case CVM_ATTRIBUTE_TEXT:
        return false;
    }
    return false;
}

/* Rows hold their attributes in catalogue order, so the next one is mostly right behind. */
static int find_attribute(const struct cvm_import_source *source,
                          const struct cvm_catalogue *catalogue, struct cvm_slice name,
                          size_t *order_at)
{
    size_t field_count = source->source->field_count;
    for (size_t tried = 0; tried < field_count; tried++) {
        size_t at = (*order_at + tried) % field_count;
        const struct cvm_import_field *field = &source->fields[source->order[at]];
        if (cvm_slice_equals(name, field->attribute->name)) {
            *order_at = at + 1;
            return field->field->attribute;
        }
    }
    for (size_t a = 0; a < catalogue->attribute_count; a++) {
        if (cvm_slice_equals(name, catalogue->attributes[a].name)) {
            return (int)a;
        }
    }
    return CVM_INDEX_NONE;
}

static void insert_cell(struct cvm_packed_cell *cells, uint16_t *count, int attribute, double value)
{
    uint16_t at = *count;
    while (at > 0 && cells[at - 1].attribute > attribute) {
        cells[at] = cells[at - 1];
        at--;
    }
    cells[at] = (struct cvm_packed_cell){.attribute = (uint16_t)attribute, .value = value};
    (*count)++;
}

static enum cvm_status read_cells(struct cvm_import_packing *packing,
                                  const struct cvm_import_pack_event *row,
                                  struct cvm_packed_event *event, struct cvm_error *err)
{
    const struct cvm_import_source *source = &packing->plan->sources[row->source];
    const struct cvm_catalogue *catalogue = packing->plan->catalogue;
    const struct cvm_json_value *root = NULL;
    enum cvm_status status = cvm_json_read(packing->reader, packing->arena, row->attributes.data,
                                           row->attributes.length, false, &root, err);
    if (status != CVM_OK) {
        return status == CVM_E_INVALID
                   ? CVM_FAIL(err, CVM_E_CORRUPT, "the attributes of a stored row are no JSON")
                   : status;
    }
    struct cvm_packed_cell *cells =
        CVM_NEW_ARRAY(packing->arena, root->child_count + 1, struct cvm_packed_cell);
    if (cells == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the attributes of a row");
    }
    size_t order_at = 0;
    for (const struct cvm_json_value *m = root->first_child; m != NULL; m = m->next) {
        int attribute = find_attribute(source, catalogue, m->key, &order_at);
        double value = 0;
        if (attribute != CVM_INDEX_NONE && !catalogue->attributes[attribute].personal &&
            read_cell(&catalogue->attributes[attribute], m, &value)) {
            insert_cell(cells, &event->cell_count, attribute, value);
        }
    }
    event->cells = cells;
    return CVM_OK;
}

static enum cvm_status read_topics(struct cvm_import_packing *packing, struct cvm_slice text,
                                   uint32_t *out_topics, struct cvm_error *err)
{
    const struct cvm_json_value *root = NULL;
    uint32_t topics = 0;
    if (text.length == 0) {
        return CVM_OK;
    }
    enum cvm_status status =
        cvm_json_read(packing->reader, packing->arena, text.data, text.length, false, &root, err);
    if (status != CVM_OK) {
        return status == CVM_E_INVALID
                   ? CVM_FAIL(err, CVM_E_CORRUPT, "the private part of a stored row is no JSON")
                   : status;
    }
    const struct cvm_json_value *texts = cvm_json_member(root, "text");
    for (const struct cvm_json_value *m = texts == NULL ? NULL : texts->first_child; m != NULL;
         m = m->next) {
        if (m->type == CVM_JSON_STRING) {
            topics |= cvm_import_topics(packing->plan, m->string.data, m->string.length);
        }
    }
    *out_topics = topics;
    return CVM_OK;
}

static enum cvm_status to_event(struct cvm_import_packing *packing,
                                const struct cvm_import_pack_event *from,
                                struct cvm_packed_event *out, struct cvm_error *err)
{
    const struct cvm_source *source = &packing->plan->catalogue->sources[from->source];
    *out = (struct cvm_packed_event){
        .day = from->day,
        .second = from->second,
        .source = (uint8_t)from->source,
        .rank = (uint8_t)source->rank,
        .identity = from->identity,
    };
    if (from->record != NULL) {
        out->topics = from->record->topics;
        out->cells = cvm_import_record_cells(from->record);
        out->cell_count = from->record->cell_count;
        return CVM_OK;
    }
    enum cvm_status status = read_cells(packing, from, out, err);
    return status == CVM_OK ? read_topics(packing, from->private_text, &out->topics, err) : status;
}

/* ---- a body ---- */

static int compare_newest(const void *a, const void *b)
{
    const struct cvm_packed_event *left = a;
    const struct cvm_packed_event *right = b;
    if (left->source != right->source) {
        return left->source < right->source ? -1 : 1;
    }
    if (left->day != right->day) {
        return left->day > right->day ? -1 : 1;
    }
    if (left->second != right->second) {
        return left->second > right->second ? -1 : 1;
    }
    return (left->identity < right->identity) - (left->identity > right->identity);
}

/* A body has room for so many events of a source: the newest. Rows keep them all. */
static size_t drop_oldest(struct cvm_packed_event *events, size_t count)
{
    size_t kept = 0;
    size_t of_source = 0;
    qsort(events, count, sizeof(*events), compare_newest);
    for (size_t i = 0; i < count; i++) {
        of_source = i > 0 && events[i].source == events[i - 1].source ? of_source + 1 : 1;
        if (of_source <= CVM_PACKED_EVENTS_MAX) {
            events[kept++] = events[i];
        }
    }
    return kept;
}

static enum cvm_status write_body(struct cvm_import_packing *packing,
                                  const struct cvm_import_body *body, struct cvm_error *err)
{
    void *room = NULL;
    packing->events.count = 0;
    cvm_arena_reset(packing->arena);
    enum cvm_status status = cvm_column_extend(&packing->events, body->event_count + 1, &room, err);
    struct cvm_packed_event *events = room;
    for (size_t e = 0; status == CVM_OK && e < body->event_count; e++) {
        status = to_event(packing, &packing->body_events[body->first_event + e], &events[e], err);
    }
    if (status != CVM_OK) {
        return status;
    }
    size_t count = body->event_count;
    if (count > CVM_PACKED_EVENTS_MAX) {
        count = drop_oldest(events, count);
    }
    struct cvm_consent none;
    const struct cvm_consent *consent = body->consent;
    if (body->customer_id != NULL && consent == NULL) {
        cvm_consent_init(&none);
        consent = &none;
    }
    return cvm_packer_write(packing->packer, body->customer_id, consent, events, count,
                            &packing->body, err);
}

static bool is_removed(const struct cvm_import_body *body)
{
    return body->event_count == 0 && body->customer_id == NULL;
}

static enum cvm_status next_body(void *state, struct cvm_db_value *params, size_t param_count,
                                 bool *out_has_row, struct cvm_error *err)
{
    struct cvm_import_packing *packing = state;
    (void)param_count;
    while (packing->next < packing->count && is_removed(&packing->bodies[packing->next])) {
        packing->next++;
    }
    if (packing->next == packing->count) {
        *out_has_row = false;
        return CVM_OK;
    }
    const struct cvm_import_body *body = &packing->bodies[packing->next++];
    enum cvm_status status = write_body(packing, body, err);
    if (status != CVM_OK) {
        return status;
    }
    params[0] = cvm_db_int((int64_t)body->key);
    params[1] = cvm_db_int(body->period);
    params[2] = cvm_db_blob(packing->body.data, packing->body.length);
    *out_has_row = true;
    return CVM_OK;
}

enum cvm_status cvm_import_pack(struct cvm_import_packing *packing, struct cvm_db *journeys,
                                const struct cvm_import_body *bodies, size_t count,
                                const struct cvm_import_pack_event *events, struct cvm_error *err)
{
    packing->bodies = bodies;
    packing->body_events = events;
    packing->count = count;
    packing->next = 0;
    enum cvm_status status =
        cvm_db_bulk_load(journeys, cvm_db_sql(journeys, CVM_SQL_IMPORT_PACKED_PUT), 3, next_body,
                         packing, NULL, err);
    for (size_t b = 0; status == CVM_OK && b < count; b++) {
        if (is_removed(&bodies[b])) {
            struct cvm_db_value params[] = {cvm_db_int((int64_t)bodies[b].key),
                                            cvm_db_int(bodies[b].period)};
            status = cvm_db_exec(journeys, cvm_db_sql(journeys, CVM_SQL_IMPORT_PACKED_REMOVE),
                                 params, CVM_DB_COUNT(params), NULL, err);
        }
    }
    return status;
}
