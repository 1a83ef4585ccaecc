#include "storage/purge_slice.h"

#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "model/packed.h"
#include "storage/db_sql.h"
#include "storage/private_text.h"

/* As many as a slab of an import may hold. */
#define TEXTS_BYTES_MAX ((size_t)4 << 30)

enum cvm_status cvm_purge_slice_init(struct cvm_purge_slice *slice, struct cvm_error *err)
{
    *slice = (struct cvm_purge_slice){.arena = cvm_arena_create(TEXTS_BYTES_MAX)};
    cvm_column_init(&slice->rows, sizeof(struct cvm_purge_row));
    cvm_column_init(&slice->ranges, sizeof(struct cvm_purge_range));
    cvm_column_init(&slice->bodies, sizeof(struct cvm_import_body));
    cvm_column_init(&slice->events, sizeof(struct cvm_import_pack_event));
    return slice->arena == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to purge") : CVM_OK;
}

void cvm_purge_slice_finish(struct cvm_purge_slice *slice)
{
    cvm_column_finish(&slice->rows);
    cvm_column_finish(&slice->ranges);
    cvm_column_finish(&slice->bodies);
    cvm_column_finish(&slice->events);
    cvm_arena_destroy(slice->arena);
}

/* ---- rows ---- */

static bool copy(struct cvm_arena *arena, const struct cvm_db_value *column, struct cvm_slice *out)
{
    if (column->type == CVM_DB_NULL || column->bytes.length == 0) {
        return true;
    }
    out->data = cvm_arena_copy(arena, column->bytes.data, column->bytes.length);
    out->length = column->bytes.length;
    return out->data != NULL;
}

static enum cvm_status on_row(void *state, const struct cvm_db_value *columns, size_t column_count,
                              struct cvm_error *err)
{
    struct cvm_purge_slice *slice = state;
    void *room = NULL;
    (void)column_count;
    enum cvm_status status = cvm_column_extend(&slice->rows, 1, &room, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_purge_row *row = room;
    *row = (struct cvm_purge_row){
        .key = (uint64_t)columns[0].integer,
        .day = (int32_t)columns[1].integer,
        .source = columns[2].integer,
        .identity = (uint64_t)columns[3].integer,
        .version = columns[4].integer,
        .is_visible = cvm_import_batch_state(slice->view, columns[5].integer) == CVM_IMPORT_VISIBLE,
        .second = (int32_t)columns[6].integer,
        .key_id = columns[9].integer,
    };
    return copy(slice->arena, &columns[7], &row->attributes) &&
                   copy(slice->arena, &columns[8], &row->private_blob)
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_LIMIT, "no memory for the rows of a range of customers");
}

static int compare_records(const struct cvm_purge_row *left, const struct cvm_purge_row *right)
{
    if (left->key != right->key) {
        return left->key < right->key ? -1 : 1;
    }
    if (left->source != right->source) {
        return left->source < right->source ? -1 : 1;
    }
    return (left->identity > right->identity) - (left->identity < right->identity);
}

static int compare_versions(const void *a, const void *b)
{
    const struct cvm_purge_row *left = a;
    const struct cvm_purge_row *right = b;
    int order = compare_records(left, right);
    return order != 0 ? order : (left->version > right->version) - (left->version < right->version);
}

/* By customer and day, as the bodies want them. */
static int compare_days(const void *a, const void *b)
{
    const struct cvm_purge_row *left = a;
    const struct cvm_purge_row *right = b;
    if (left->key != right->key) {
        return left->key < right->key ? -1 : 1;
    }
    if (left->day != right->day) {
        return left->day < right->day ? -1 : 1;
    }
    return compare_versions(a, b);
}

/* ---- what goes ---- */

static size_t limit_of(const struct cvm_purge_limits *limits, int64_t source)
{
    size_t at = 0;
    while (at < limits->count && limits->limits[at].source != source) {
        at++;
    }
    return at;
}

/* All versions of one record: the one in force decides by its day; where none is, the youngest. */
static void decide_record(struct cvm_purge_slice *slice, const struct cvm_purge_limits *limits,
                          struct cvm_purge_row *rows, size_t count)
{
    size_t limit = limit_of(limits, rows[0].source);
    struct cvm_purge_row *in_force = NULL;
    int32_t youngest = rows[0].day;
    for (size_t i = 0; i < count; i++) {
        in_force = rows[i].is_visible ? &rows[i] : in_force;
        youngest = rows[i].day > youngest ? rows[i].day : youngest;
    }
    if (in_force != NULL) {
        in_force->is_in_force = true;
    }
    int32_t day = in_force != NULL ? in_force->day : youngest;
    if (limit == limits->count || day == CVM_DAY_NONE || day >= limits->limits[limit].before_day) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        rows[i].goes = true;
    }
    slice->records[limit]++;
    slice->row_counts[limit] += (int64_t)count;
}

static enum cvm_status add_range(struct cvm_purge_slice *slice, struct cvm_purge_range range,
                                 struct cvm_error *err)
{
    void *room = NULL;
    if (range.first_key > range.last_key) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_column_extend(&slice->ranges, 1, &room, err);
    if (status == CVM_OK) {
        *(struct cvm_purge_range *)room = range;
    }
    return status;
}

/* Does a limit of days say the same as the versions in force? */
static bool is_plain(const struct cvm_purge_limits *limits, const struct cvm_purge_row *row)
{
    size_t limit = limit_of(limits, row->source);
    bool is_under = limit < limits->count && row->day != CVM_DAY_NONE &&
                    row->day < limits->limits[limit].before_day;
    return is_under == row->goes;
}

/* Customers for whom it does are deleted from together, the few others row by row. */
static enum cvm_status find_ranges(struct cvm_purge_slice *slice,
                                   const struct cvm_purge_limits *limits, struct cvm_error *err)
{
    const struct cvm_purge_row *rows = CVM_COLUMN_DATA(&slice->rows, struct cvm_purge_row);
    enum cvm_status status = CVM_OK;
    uint64_t from = slice->first_key;
    for (size_t begin = 0, end = 0; status == CVM_OK && begin < slice->rows.count; begin = end) {
        bool loses = false;
        bool plain = true;
        for (end = begin; end < slice->rows.count && rows[end].key == rows[begin].key; end++) {
            loses = loses || rows[end].goes;
            plain = plain && is_plain(limits, &rows[end]);
        }
        uint64_t key = rows[begin].key;
        slice->customers += loses;
        if (plain) {
            continue;
        }
        status = add_range(slice, (struct cvm_purge_range){from, key - 1, false}, err);
        if (status == CVM_OK) {
            status = add_range(slice, (struct cvm_purge_range){key, key, true}, err);
        }
        from = key + 1;
    }
    return status == CVM_OK
               ? add_range(slice, (struct cvm_purge_range){from, slice->last_key, false}, err)
               : status;
}

enum cvm_status cvm_purge_slice_read(struct cvm_purge_slice *slice,
                                     const struct cvm_purge_limits *limits, const char *limits_json,
                                     struct cvm_error *err)
{
    struct cvm_db *db = slice->view->db;
    struct cvm_db_value params[] = {cvm_db_int((int64_t)slice->first_key),
                                    cvm_db_int((int64_t)slice->last_key), cvm_db_text(limits_json)};
    cvm_arena_reset(slice->arena);
    slice->rows.count = 0;
    slice->ranges.count = 0;
    slice->customers = 0;
    memset(slice->records, 0, sizeof(slice->records));
    memset(slice->row_counts, 0, sizeof(slice->row_counts));
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_PURGE_ROWS), params,
                                          CVM_DB_COUNT(params), on_row, slice, err);
    if (status != CVM_OK || slice->rows.count == 0) {
        return status;
    }
    struct cvm_purge_row *rows = CVM_COLUMN_DATA(&slice->rows, struct cvm_purge_row);
    size_t count = slice->rows.count;
    qsort(rows, count, sizeof(*rows), compare_versions);
    for (size_t begin = 0, end = 0; begin < count; begin = end) {
        for (end = begin + 1; end < count && compare_records(&rows[begin], &rows[end]) == 0;
             end++) {
        }
        decide_record(slice, limits, &rows[begin], end - begin);
    }
    return find_ranges(slice, limits, err);
}

/* ---- packed bodies ---- */

static enum cvm_status add_event(struct cvm_purge_slice *slice, const struct cvm_purge_row *row,
                                 int source, struct cvm_error *err)
{
    void *room = NULL;
    struct cvm_db_value blob = row->private_blob.data == NULL
                                   ? cvm_db_null()
                                   : cvm_db_blob(row->private_blob.data, row->private_blob.length);
    struct cvm_private_row stored = {
        .place = {CVM_VAULT_EVENT, row->key, row->source, row->identity, row->version},
        .blob = &blob,
        .key_id = row->key_id,
    };
    struct cvm_import_pack_event event = {
        .identity = row->identity,
        .day = row->day,
        .second = row->second,
        .source = source,
        .attributes = row->attributes,
    };
    enum cvm_status status =
        cvm_private_text_read(slice->view->store, slice->arena, &stored, &event.private_text, err);
    if (status == CVM_OK) {
        status = cvm_column_extend(&slice->events, 1, &room, err);
    }
    if (status == CVM_OK) {
        *(struct cvm_import_pack_event *)room = event;
    }
    return status;
}

/* What stays of a customer's period, in the order of days. */
static enum cvm_status add_body(struct cvm_purge_slice *slice, const struct cvm_purge_row *rows,
                                size_t count, struct cvm_error *err)
{
    void *room = NULL;
    size_t first = slice->events.count;
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        int source = cvm_import_source_of(slice->view, rows[i].source);
        if (rows[i].is_in_force && !rows[i].goes && source != CVM_INDEX_NONE) {
            status = add_event(slice, &rows[i], source, err);
        }
    }
    if (status == CVM_OK) {
        status = cvm_column_extend(&slice->bodies, 1, &room, err);
    }
    if (status == CVM_OK) {
        *(struct cvm_import_body *)room = (struct cvm_import_body){
            .key = rows[0].key,
            .period = cvm_packed_period(rows[0].day),
            .first_event = first,
            .event_count = slice->events.count - first,
        };
    }
    return status;
}

enum cvm_status cvm_purge_slice_pack(struct cvm_purge_slice *slice, struct cvm_error *err)
{
    struct cvm_purge_row *rows = CVM_COLUMN_DATA(&slice->rows, struct cvm_purge_row);
    size_t count = slice->rows.count;
    enum cvm_status status = CVM_OK;
    slice->bodies.count = 0;
    slice->events.count = 0;
    if (count > 1) {
        qsort(rows, count, sizeof(*rows), compare_days);
    }
    for (size_t begin = 0, end = 0; status == CVM_OK && begin < count; begin = end) {
        bool is_dated = rows[begin].day != CVM_DAY_NONE;
        int32_t period = is_dated ? cvm_packed_period(rows[begin].day) : CVM_PERIOD_PROFILE;
        bool loses = false;
        for (end = begin; end < count && rows[end].key == rows[begin].key &&
                          (rows[end].day != CVM_DAY_NONE) == is_dated &&
                          (!is_dated || cvm_packed_period(rows[end].day) == period);
             end++) {
            loses = loses || (rows[end].goes && rows[end].is_in_force);
        }
        if (is_dated && loses) {
            status = add_body(slice, &rows[begin], end - begin, err);
        }
    }
    return status;
}
