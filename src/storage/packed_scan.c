/* packed_scan.c - packed journeys by key range, pulled one by one. */
#include <stdlib.h>
#include <string.h>

#include "storage/customers.h"
#include "storage/db_sql.h"

struct cvm_packed_scan {
    struct cvm_db_cursor *cursor;
};

enum cvm_status cvm_packed_scan_open(struct cvm_store *store, const struct cvm_packed_range *range,
                                     struct cvm_packed_scan **out_scan, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_journeys(store);
    struct cvm_packed_scan *scan = calloc(1, sizeof(*scan));
    if (scan == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a scan of journeys");
    }
    uint64_t last_key = range->last_key > INT64_MAX ? INT64_MAX : range->last_key;
    struct cvm_db_value params[] = {
        cvm_db_int((int64_t)range->first_key),
        cvm_db_int((int64_t)last_key),
        cvm_db_int(range->first_period),
        cvm_db_int(range->last_period),
    };
    enum cvm_status status = CVM_OK;
    if (range->first_key <= INT64_MAX) { /* no key is higher */
        status = cvm_db_scan(db, cvm_db_sql(db, CVM_SQL_PACKED_SCAN), params, CVM_DB_COUNT(params),
                             &scan->cursor, err);
    }
    if (status != CVM_OK) {
        free(scan);
        return status;
    }
    *out_scan = scan;
    return CVM_OK;
}

enum cvm_status cvm_packed_scan_next(struct cvm_packed_scan *scan, bool *out_has_row,
                                     struct cvm_packed_row *out_row, struct cvm_error *err)
{
    const struct cvm_db_value *columns = NULL;
    if (scan->cursor != NULL) {
        enum cvm_status status = cvm_db_cursor_next(scan->cursor, &columns, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    if (columns != NULL) {
        out_row->key = (uint64_t)columns[0].integer;
        out_row->period = (int32_t)columns[1].integer;
        out_row->body = columns[2].bytes.data;
        out_row->length = columns[2].bytes.length;
    }
    *out_has_row = columns != NULL;
    return CVM_OK;
}

void cvm_packed_scan_close(struct cvm_packed_scan *scan)
{
    if (scan != NULL) {
        cvm_db_cursor_close(scan->cursor);
        free(scan);
    }
}

struct reading {
    uint64_t key;
    cvm_packed_fn on_row;
    void *state;
};

static enum cvm_status read_row(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    const struct reading *reading = state;
    struct cvm_packed_row row = {
        .key = reading->key,
        .period = (int32_t)columns[0].integer,
        .body = columns[1].bytes.data,
        .length = columns[1].bytes.length,
    };
    (void)column_count;
    return reading->on_row(reading->state, &row, err);
}

enum cvm_status cvm_packed_read(struct cvm_store *store, const struct cvm_packed_range *range,
                                cvm_packed_fn on_row, void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_journeys(store);
    struct reading reading = {range->first_key, on_row, state};
    struct cvm_db_value params[] = {
        cvm_db_int((int64_t)range->first_key),
        cvm_db_int(range->first_period),
        cvm_db_int(range->last_period),
    };
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_PACKED_OF), params, CVM_DB_COUNT(params),
                        read_row, &reading, err);
}

struct journeys_meta {
    const struct cvm_catalogue *catalogue; /* NULL: its digest is not asked for */
    int64_t batch;                         /* -1 = not said */
    int64_t changed_ms;                    /* 0 = not said */
    int64_t purges;                        /* changes by purges that are in here */
    bool is_building;
    bool has_digest;
};

static enum cvm_status read_meta(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct journeys_meta *meta = state;
    const char *name = cvm_db_string(&columns[0]);
    const char *value = cvm_db_string(&columns[1]);
    (void)column_count;
    (void)err;
    if (strcmp(name, "batch") == 0) {
        meta->batch = strtoll(value, NULL, 10);
    } else if (strcmp(name, "changed") == 0) {
        meta->changed_ms = strtoll(value, NULL, 10);
    } else if (strcmp(name, "purges") == 0) {
        meta->purges = strtoll(value, NULL, 10);
    } else if (strcmp(name, "building") == 0) {
        meta->is_building = true;
    } else if (strcmp(name, "data_digest") == 0 && meta->catalogue != NULL) {
        meta->has_digest = strcmp(value, meta->catalogue->data_digest) == 0;
    }
    return CVM_OK;
}

enum cvm_status cvm_packed_is_current(struct cvm_store *store,
                                      const struct cvm_catalogue *catalogue, int64_t last_batch,
                                      bool *out_is_current, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_journeys(store);
    struct journeys_meta meta = {.catalogue = catalogue, .batch = -1};
    enum cvm_status status =
        cvm_db_query(db, cvm_db_sql(db, CVM_SQL_META_LIST), NULL, 0, read_meta, &meta, err);
    int64_t purges = 0;
    if (status == CVM_OK) {
        status = cvm_db_get_int(cvm_store_db(store), CVM_SQL_PURGE_CHANGES, NULL, 0, &purges, err);
    }
    if (status == CVM_OK) {
        /* A new file holds nothing, which is all that a store without batches has. */
        bool is_new = meta.batch < 0 && last_batch == 0;
        bool is_same = meta.has_digest && meta.batch == last_batch && meta.purges == purges;
        *out_is_current = !meta.is_building && (is_new || is_same);
    }
    return status;
}

/* The moment tells stores apart that went different ways from one backup; the batch, changes within
 * a millisecond. */
enum cvm_status cvm_packed_version(struct cvm_store *store, uint64_t *out_version,
                                   struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_journeys(store);
    struct journeys_meta meta = {.batch = -1};
    enum cvm_status status =
        cvm_db_query(db, cvm_db_sql(db, CVM_SQL_META_LIST), NULL, 0, read_meta, &meta, err);
    if (status == CVM_OK) {
        bool is_known = meta.changed_ms > 0 && !meta.is_building;
        *out_version =
            is_known ? (uint64_t)meta.changed_ms << 20 | ((uint64_t)meta.batch & 0xFFFFF) : 0;
    }
    return status;
}
