#include "storage/import_resolve.h"

#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "base/hash.h"
#include "storage/db_sql.h"
#include "storage/private_text.h"

/* One customer of a slab being resolved. */
struct resolving {
    struct cvm_import_view *view;
    struct cvm_import_slab *slab;
    struct cvm_import_customer *customer;
    struct cvm_import_existing *existing; /* by (source, identity, version) */
    size_t existing_count;
    const struct cvm_import_old_consent *consents; /* by version */
    size_t consent_count;
    size_t first_insert;
    bool has_new_profile;              /* id, consent or undated attributes change */
    const struct cvm_consent *consent; /* in force after this import; NULL = none */
};

/* ---- stored rows ---- */

static int compare_existing(const void *a, const void *b)
{
    const struct cvm_import_existing *left = a;
    const struct cvm_import_existing *right = b;
    if (left->source != right->source) {
        return left->source < right->source ? -1 : 1;
    }
    if (left->identity != right->identity) {
        return left->identity < right->identity ? -1 : 1;
    }
    return (left->version > right->version) - (left->version < right->version);
}

static bool is_same_event(const struct cvm_import_existing *a, const struct cvm_import_existing *b)
{
    return a->source == b->source && a->identity == b->identity;
}

/* Sort a customer's rows and mark the version in force of each event. */
static void prepare_existing(struct resolving *r)
{
    if (r->existing_count > 1) {
        qsort(r->existing, r->existing_count, sizeof(*r->existing), compare_existing);
    }
    bool is_decided = false; /* a higher version of this event is in force */
    for (size_t e = r->existing_count; e-- > 0;) {
        struct cvm_import_existing *row = &r->existing[e];
        if (e + 1 == r->existing_count || !is_same_event(row, row + 1)) {
            is_decided = false;
        }
        row->is_in_force = row->is_visible && !is_decided;
        is_decided = is_decided || row->is_visible;
    }
}

/* The first row of (source, identity) or, if there is none, the place where it would stand. */
static size_t find_existing(const struct resolving *r, int32_t source, uint64_t identity)
{
    size_t low = 0;
    size_t high = r->existing_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct cvm_import_existing *row = &r->existing[middle];
        if (row->source < source || (row->source == source && row->identity < identity)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* ---- versions ---- */

static void count_duplicates(struct resolving *r, int source, size_t count)
{
    r->view->duplicate[source] += (int64_t)count;
}

static enum cvm_status add_insert(struct resolving *r, struct cvm_column *inserts,
                                  const struct cvm_import_item *item, struct cvm_error *err)
{
    void *room = NULL;
    enum cvm_status status = cvm_column_extend(inserts, 1, &room, err);
    if (status == CVM_OK) {
        const struct cvm_import_record *record = item->record;
        *(struct cvm_import_insert *)room = (struct cvm_import_insert){
            .key = r->customer->key,
            .item = item,
            .day = record->kind == CVM_SOURCE_EVENTS ? record->day : CVM_DAY_NONE,
            .source = r->view->numbers[record->source],
        };
    }
    return status;
}

static void count_stored(struct cvm_import_view *view, const struct cvm_import_record *record)
{
    view->stored[record->source]++;
    if (record->kind == CVM_SOURCE_EVENTS) {
        bool is_first = view->first_day == CVM_DAY_NONE || record->day < view->first_day;
        view->first_day = is_first ? record->day : view->first_day;
        view->last_day = record->day > view->last_day ? record->day : view->last_day;
    }
}

/* The record that stands for an event or for undated attributes: new, changed or known. */
static enum cvm_status settle(struct resolving *r, struct cvm_import_item *item,
                              struct cvm_error *err)
{
    const struct cvm_import_record *record = item->record;
    int32_t source = r->view->numbers[record->source];
    struct cvm_import_existing *in_force = NULL;
    int64_t version = 0;
    for (size_t e = find_existing(r, source, item->identity);
         e < r->existing_count && r->existing[e].source == source &&
         r->existing[e].identity == item->identity;
         e++) {
        in_force = r->existing[e].is_in_force ? &r->existing[e] : in_force;
        version = r->existing[e].version;
    }
    if (in_force != NULL && in_force->content == record->content) {
        count_duplicates(r, record->source, 1);
        return CVM_OK;
    }
    if (in_force != NULL) {
        in_force->is_in_force = false;
        in_force->is_replaced = true;
        r->view->changed[record->source]++;
        r->has_new_profile = r->has_new_profile || in_force->day == CVM_DAY_NONE;
    }
    item->version = version + 1;
    count_stored(r->view, record);
    r->has_new_profile = r->has_new_profile || record->kind != CVM_SOURCE_EVENTS;
    return add_insert(r, &r->slab->inserts, item, err);
}

/* Records without key fields: equal ones of one file are as many events; what another file has of
 * them is the same events again. The group is in order of (file, record). */
static enum cvm_status settle_counted(struct resolving *r, struct cvm_import_item *items,
                                      size_t count, struct cvm_error *err)
{
    uint64_t ordinal = 0;
    uint64_t seen = 0;
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        bool is_same_file = i > 0 && items[i].record->file == items[i - 1].record->file;
        ordinal = is_same_file ? ordinal + 1 : 0;
        if (ordinal < seen) {
            count_duplicates(r, items[i].record->source, 1);
            continue;
        }
        seen = ordinal + 1;
        items[i].identity =
            ordinal == 0 ? items[i].identity : cvm_hash_mix(items[i].identity, ordinal);
        status = settle(r, &items[i], err);
    }
    return status;
}

/* One line per customer and source: the newest by date, then the last of the files. */
static struct cvm_import_item *newest_of(struct cvm_import_item *items, size_t count)
{
    struct cvm_import_item *newest = &items[0];
    for (size_t i = 1; i < count; i++) {
        newest = items[i].record->day >= newest->record->day ? &items[i] : newest;
    }
    return newest;
}

/* ---- consent ---- */

static void find_last_consent(struct resolving *r)
{
    for (size_t c = 0; c < r->consent_count; c++) {
        r->consent = r->consents[c].is_visible ? &r->consents[c].consent : r->consent;
    }
}

static bool is_known_consent(const struct resolving *r, const struct cvm_import_record *record)
{
    const struct cvm_import_old_consent *last_of_source = NULL;
    for (size_t c = 0; c < r->consent_count; c++) {
        if (r->consents[c].is_visible &&
            r->consents[c].source == r->view->numbers[record->source]) {
            last_of_source = &r->consents[c];
        }
    }
    if (last_of_source != NULL && last_of_source->content == record->content) {
        return true;
    }
    /* What was said earlier does not take back what was said later. */
    return r->consent != NULL && r->consent->updated_day != CVM_DAY_NONE &&
           record->day != CVM_DAY_NONE && record->day < r->consent->updated_day;
}

static enum cvm_status settle_consent(struct resolving *r, struct cvm_import_item *item,
                                      int64_t *version, struct cvm_error *err)
{
    const struct cvm_import_record *record = item->record;
    if (is_known_consent(r, record)) {
        count_duplicates(r, record->source, 1);
        return CVM_OK;
    }
    count_stored(r->view, record);
    r->view->changed[record->source] += r->consent != NULL;
    item->version = ++*version;
    r->consent = cvm_import_record_consent(record);
    r->has_new_profile = true;
    return add_insert(r, &r->slab->consent_inserts, item, err);
}

static enum cvm_status settle_consents(struct resolving *r, struct cvm_import_item **newest,
                                       size_t count, struct cvm_error *err)
{
    int64_t version = r->consent_count > 0 ? r->consents[r->consent_count - 1].version : 0;
    enum cvm_status status = CVM_OK;
    for (size_t i = 1; i < count; i++) { /* by date, then source: as few as there are sources */
        struct cvm_import_item *moving = newest[i];
        size_t at = i;
        while (at > 0 && newest[at - 1]->record->day > moving->record->day) {
            newest[at] = newest[at - 1];
            at--;
        }
        newest[at] = moving;
    }
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        status = settle_consent(r, newest[i], &version, err);
    }
    return status;
}

static enum cvm_status settle_all(struct resolving *r, struct cvm_error *err)
{
    struct cvm_import_item *items =
        CVM_COLUMN_DATA(&r->slab->items, struct cvm_import_item) + r->customer->first_item;
    size_t count = r->customer->item_count;
    struct cvm_import_item *consents[CVM_SOURCES_MAX];
    size_t consent_count = 0;
    enum cvm_status status = CVM_OK;
    for (size_t begin = 0, end = 0; status == CVM_OK && begin < count; begin = end) {
        const struct cvm_import_record *first = items[begin].record;
        for (end = begin + 1; end < count && items[end].record->source == first->source &&
                              items[end].record->identity == first->identity;
             end++) {
        }
        if (first->kind == CVM_SOURCE_EVENTS && first->is_counted) {
            status = settle_counted(r, items + begin, end - begin, err);
            continue;
        }
        struct cvm_import_item *item = first->kind == CVM_SOURCE_EVENTS
                                           ? &items[end - 1]
                                           : newest_of(items + begin, end - begin);
        count_duplicates(r, first->source, end - begin - 1);
        if (first->kind == CVM_SOURCE_CONSENT) {
            consents[consent_count++] = item;
        } else {
            status = settle(r, item, err);
        }
    }
    return status == CVM_OK ? settle_consents(r, consents, consent_count, err) : status;
}

/* ---- packed bodies ---- */

static int compare_inserts(const void *a, const void *b)
{
    const struct cvm_import_insert *left = a;
    const struct cvm_import_insert *right = b;
    if (left->day != right->day) {
        return left->day < right->day ? -1 : 1;
    }
    if (left->source != right->source) {
        return left->source < right->source ? -1 : 1;
    }
    int64_t x = (int64_t)left->item->identity; /* as the database orders them */
    int64_t y = (int64_t)right->item->identity;
    return (x > y) - (x < y);
}

static int32_t period_of(int32_t day)
{
    return day == CVM_DAY_NONE ? CVM_PERIOD_PROFILE : cvm_packed_period(day);
}

static enum cvm_status add_event(struct resolving *r, const struct cvm_import_pack_event *event,
                                 struct cvm_error *err)
{
    void *room = NULL;
    enum cvm_status status = cvm_column_extend(&r->slab->events, 1, &room, err);
    if (status == CVM_OK) {
        memcpy(room, event, sizeof(*event));
    }
    return status;
}

static bool copy_slice(struct cvm_arena *arena, const struct cvm_db_value *column,
                       struct cvm_slice *out)
{
    *out = (struct cvm_slice){0};
    if (column->type == CVM_DB_NULL || column->bytes.length == 0) {
        return true;
    }
    out->data = cvm_arena_copy(arena, column->bytes.data, column->bytes.length);
    out->length = column->bytes.length;
    return out->data != NULL;
}

/* A stored row of a body that is written anew: kept if it is still in force. */
static enum cvm_status on_text(void *state, const struct cvm_db_value *columns, size_t column_count,
                               struct cvm_error *err)
{
    struct resolving *r = state;
    (void)column_count;
    int32_t source = (int32_t)columns[1].integer;
    uint64_t identity = (uint64_t)columns[2].integer;
    for (size_t e = find_existing(r, source, identity);
         e < r->existing_count && r->existing[e].source == source &&
         r->existing[e].identity == identity;
         e++) {
        const struct cvm_import_existing *row = &r->existing[e];
        if (!row->is_in_force || row->version != columns[3].integer ||
            row->day != (int32_t)columns[0].integer) {
            continue;
        }
        struct cvm_import_pack_event event = {
            .identity = identity,
            .day = row->day,
            .second = (int32_t)columns[4].integer,
            .source = cvm_import_source_of(r->view, source),
        };
        if (event.source == CVM_INDEX_NONE) {
            return CVM_OK; /* the catalogue no longer has it: its rows stay, journeys are without */
        }
        struct cvm_private_row stored = {
            .place = {CVM_VAULT_EVENT, row->key, source, identity, row->version},
            .blob = &columns[6],
            .key_id = columns[7].integer,
        };
        if (!copy_slice(r->slab->arena, &columns[5], &event.attributes)) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the stored rows of a customer");
        }
        enum cvm_status status = cvm_private_text_read(r->view->store, r->slab->arena, &stored,
                                                       &event.private_text, err);
        return status == CVM_OK ? add_event(r, &event, err) : status;
    }
    return CVM_OK;
}

static enum cvm_status add_existing_events(struct resolving *r, int32_t period,
                                           struct cvm_error *err)
{
    struct cvm_db *db = r->view->db;
    bool has_rows = false;
    for (size_t e = 0; !has_rows && e < r->existing_count; e++) {
        has_rows = r->existing[e].is_in_force && period_of(r->existing[e].day) == period;
    }
    if (!has_rows) {
        return CVM_OK;
    }
    int32_t first = CVM_DAY_NONE;
    int32_t last = CVM_DAY_NONE;
    if (period != CVM_PERIOD_PROFILE) {
        first = cvm_packed_first_day(period);
        last = cvm_packed_first_day(period + 1) - 1;
    }
    struct cvm_db_value params[] = {cvm_db_int((int64_t)r->customer->key), cvm_db_int(first),
                                    cvm_db_int(last)};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_IMPORT_EVENT_TEXTS), params, 3, on_text, r, err);
}

/* inserts[0..count) are the new rows of the period. */
static enum cvm_status add_body(struct resolving *r, int32_t period, size_t first_insert,
                                size_t count, struct cvm_error *err)
{
    struct cvm_import_slab *slab = r->slab;
    void *room = NULL;
    size_t first_event = slab->events.count;
    enum cvm_status status = add_existing_events(r, period, err);
    const struct cvm_import_insert *inserts =
        CVM_COLUMN_DATA(&slab->inserts, struct cvm_import_insert) + first_insert;
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        const struct cvm_import_record *record = inserts[i].item->record;
        struct cvm_import_pack_event event = {
            .record = record,
            .identity = inserts[i].item->identity,
            .day = inserts[i].day,
            .second = inserts[i].day == CVM_DAY_NONE ? 0 : record->second,
            .source = record->source,
        };
        status = add_event(r, &event, err);
    }
    if (status == CVM_OK) {
        status = cvm_column_extend(&slab->bodies, 1, &room, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    bool is_profile = period == CVM_PERIOD_PROFILE;
    *(struct cvm_import_body *)room = (struct cvm_import_body){
        .key = r->customer->key,
        .period = period,
        .customer_id = is_profile ? r->customer->id : NULL,
        .consent = is_profile ? r->consent : NULL,
        .first_event = first_event,
        .event_count = slab->events.count - first_event,
    };
    return CVM_OK;
}

/* Periods that only lose an event: its new version lies in another one. */
static enum cvm_status add_left_bodies(struct resolving *r, const int32_t *lost, size_t lost_count,
                                       size_t first_body, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t p = 0; status == CVM_OK && p < lost_count; p++) {
        const struct cvm_import_body *bodies =
            CVM_COLUMN_DATA(&r->slab->bodies, struct cvm_import_body);
        bool is_written = false;
        for (size_t b = first_body; !is_written && b < r->slab->bodies.count; b++) {
            is_written = bodies[b].period == lost[p];
        }
        if (!is_written) {
            status = add_body(r, lost[p], 0, 0, err);
        }
    }
    return status;
}

/* Periods of rows that this import replaced; in the slab's arena. */
static enum cvm_status find_lost(struct resolving *r, int32_t **out_lost, size_t *out_count,
                                 struct cvm_error *err)
{
    int32_t *lost = NULL;
    size_t count = 0;
    for (size_t e = 0; e < r->existing_count; e++) {
        const struct cvm_import_existing *row = &r->existing[e];
        if (!row->is_replaced || row->day == CVM_DAY_NONE) {
            continue;
        }
        if (lost == NULL) {
            lost = CVM_NEW_ARRAY(r->slab->arena, r->existing_count, int32_t);
            if (lost == NULL) {
                return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the periods of a customer");
            }
        }
        lost[count++] = period_of(row->day);
    }
    *out_lost = lost;
    *out_count = count;
    return CVM_OK;
}

static enum cvm_status add_bodies(struct resolving *r, struct cvm_error *err)
{
    struct cvm_import_slab *slab = r->slab;
    size_t first_body = slab->bodies.count;
    size_t end = slab->inserts.count;
    size_t begin = r->first_insert;
    const struct cvm_import_insert *inserts =
        CVM_COLUMN_DATA(&slab->inserts, struct cvm_import_insert);
    int32_t *lost = NULL;
    size_t lost_count = 0;
    size_t undated = begin;
    while (undated < end && inserts[undated].day == CVM_DAY_NONE) {
        undated++;
    }
    enum cvm_status status = find_lost(r, &lost, &lost_count, err);
    if (status == CVM_OK && (r->has_new_profile || r->customer->is_new)) {
        status = add_body(r, CVM_PERIOD_PROFILE, begin, undated - begin, err);
    }
    for (begin = undated; status == CVM_OK && begin < end;) {
        int32_t period = period_of(inserts[begin].day);
        size_t next = begin + 1;
        while (next < end && period_of(inserts[next].day) == period) {
            next++;
        }
        status = add_body(r, period, begin, next - begin, err);
        begin = next;
    }
    return status == CVM_OK ? add_left_bodies(r, lost, lost_count, first_body, err) : status;
}

static enum cvm_status resolve_customer(struct cvm_import_view *view, struct cvm_import_slab *slab,
                                        struct cvm_import_customer *customer, struct cvm_error *err)
{
    struct resolving r = {
        .view = view,
        .slab = slab,
        .customer = customer,
        .existing =
            CVM_COLUMN_DATA(&slab->existing, struct cvm_import_existing) + customer->first_existing,
        .existing_count = customer->existing_count,
        .consents = CVM_COLUMN_DATA(&slab->consents, struct cvm_import_old_consent) +
                    customer->first_consent,
        .consent_count = customer->consent_count,
        .first_insert = slab->inserts.count,
    };
    prepare_existing(&r);
    find_last_consent(&r);
    customer->is_new = customer->is_new || customer->is_returning;
    enum cvm_status status = settle_all(&r, err);
    if (status != CVM_OK) {
        return status;
    }
    view->new_customers += customer->is_new;
    struct cvm_import_insert *inserts =
        CVM_COLUMN_DATA(&slab->inserts, struct cvm_import_insert) + r.first_insert;
    size_t insert_count = slab->inserts.count - r.first_insert;
    if (insert_count > 1) {
        qsort(inserts, insert_count, sizeof(*inserts), compare_inserts);
    }
    bool is_touched = insert_count > 0 || r.has_new_profile || customer->is_new;
    return is_touched ? add_bodies(&r, err) : CVM_OK;
}

enum cvm_status cvm_import_resolve(struct cvm_import_view *view, struct cvm_import_slab *slab,
                                   struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t c = 0; status == CVM_OK && c < slab->customers.count; c++) {
        status = resolve_customer(
            view, slab, &CVM_COLUMN_DATA(&slab->customers, struct cvm_import_customer)[c], err);
    }
    return status;
}
