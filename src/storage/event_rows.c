/* event_rows.c - the rows of one customer, in their version in force and in journey order. */
#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "base/date.h"
#include "storage/customers.h"
#include "storage/db_sql.h"
#include "storage/private_text.h"

struct reading {
    struct cvm_store *store;
    uint64_t key;
    struct cvm_arena *arena;
    const struct cvm_catalogue *catalogue;
    struct cvm_column rows; /* struct cvm_event_row */
};

static enum cvm_status read_private(struct reading *reading, const struct cvm_db_value *columns,
                                    struct cvm_event_row *row, struct cvm_error *err)
{
    struct cvm_slice text = {0};
    struct cvm_private_row stored = {
        .place = {CVM_VAULT_EVENT, reading->key, columns[9].integer, row->identity, row->version},
        .blob = &columns[7],
        .key_id = columns[8].integer,
    };
    if (!cvm_db_copy_string(reading->arena, &columns[6], &row->attributes)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the events of one customer");
    }
    enum cvm_status status =
        cvm_private_text_read(reading->store, reading->arena, &stored, &text, err);
    row->private = text.data;
    return status;
}

static enum cvm_status read_row(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct reading *reading = state;
    void *place = NULL;
    (void)column_count;
    struct cvm_event_row row = {
        .day = (int32_t)columns[0].integer,
        .second = (int32_t)columns[1].integer,
        .source = cvm_catalogue_source(reading->catalogue, cvm_db_string(&columns[2])),
        .identity = (uint64_t)columns[3].integer,
        .version = columns[4].integer,
        .batch = columns[5].integer,
    };
    if (!cvm_db_copy_string(reading->arena, &columns[2], &row.source_name)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the events of one customer");
    }
    if (row.source != CVM_INDEX_NONE) {
        row.source_name = reading->catalogue->sources[row.source].name;
    }
    enum cvm_status status = read_private(reading, columns, &row, err);
    if (status == CVM_OK) {
        status = cvm_column_extend(&reading->rows, 1, &place, err);
    }
    if (status == CVM_OK) {
        memcpy(place, &row, sizeof(row));
    }
    return status;
}

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* Versions of one record stand together, the highest first; a record is (source, identity), its day
 * may differ between versions. */
static int by_record(const void *left, const void *right)
{
    const struct cvm_event_row *a = left;
    const struct cvm_event_row *b = right;
    int order = strcmp(a->source_name, b->source_name);
    if (order == 0) {
        order = (a->identity > b->identity) - (a->identity < b->identity);
    }
    return order != 0 ? order : compare(b->version, a->version);
}

static size_t keep_highest(struct cvm_event_row *rows, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || rows[kept - 1].identity != rows[i].identity ||
            strcmp(rows[kept - 1].source_name, rows[i].source_name) != 0) {
            rows[kept++] = rows[i];
        }
    }
    return kept;
}

struct ranked {
    struct cvm_event_row row;
    int rank;
};

/* Sources that the catalogue no longer has come last among events of one moment. */
static int in_journey_order(const void *left, const void *right)
{
    const struct ranked *a = left;
    const struct ranked *b = right;
    int order = compare(a->row.day, b->row.day); /* CVM_DAY_NONE is the lowest */
    if (order == 0) {
        order = compare(a->row.second, b->row.second);
    }
    if (order == 0) {
        order = compare(a->rank, b->rank);
    }
    if (order == 0) {
        order = (a->row.identity > b->row.identity) - (a->row.identity < b->row.identity);
    }
    return order != 0 ? order : strcmp(a->row.source_name, b->row.source_name);
}

static enum cvm_status order_rows(struct cvm_arena *arena, const struct cvm_catalogue *catalogue,
                                  const struct cvm_event_row *rows, size_t count,
                                  struct cvm_event_row **out_rows, struct cvm_error *err)
{
    struct ranked *ranked = CVM_NEW_ARRAY(arena, count + 1, struct ranked);
    struct cvm_event_row *ordered = CVM_NEW_ARRAY(arena, count + 1, struct cvm_event_row);
    if (ranked == NULL || ordered == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the events of one customer");
    }
    for (size_t i = 0; i < count; i++) {
        bool is_known = rows[i].source != CVM_INDEX_NONE;
        ranked[i].row = rows[i];
        ranked[i].rank = is_known ? catalogue->sources[rows[i].source].rank : INT32_MAX;
    }
    qsort(ranked, count, sizeof(ranked[0]), in_journey_order);
    for (size_t i = 0; i < count; i++) {
        ordered[i] = ranked[i].row;
    }
    *out_rows = ordered;
    return CVM_OK;
}

enum cvm_status cvm_event_rows(struct cvm_store *store, struct cvm_arena *arena,
                               const struct cvm_catalogue *catalogue, uint64_t key,
                               int64_t last_batch, struct cvm_event_row **out_rows,
                               size_t *out_count, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct reading reading = {.store = store, .key = key, .arena = arena, .catalogue = catalogue};
    cvm_column_init(&reading.rows, sizeof(struct cvm_event_row));
    struct cvm_db_value params[] = {cvm_db_int((int64_t)key), cvm_db_int(last_batch)};
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_EVENT_ROWS), params,
                                          CVM_DB_COUNT(params), read_row, &reading, err);
    if (status == CVM_OK) {
        struct cvm_event_row *rows = CVM_COLUMN_DATA(&reading.rows, struct cvm_event_row);
        size_t count = reading.rows.count;
        if (count > 0) {
            qsort(rows, count, sizeof(rows[0]), by_record);
            count = keep_highest(rows, count);
        }
        status = order_rows(arena, catalogue, rows, count, out_rows, err);
        if (status == CVM_OK) {
            *out_count = count;
        }
    }
    cvm_column_finish(&reading.rows);
    return status;
}
