#include "storage/audit.h"

#include <assert.h>

#include "storage/db_sql.h"

enum cvm_status cvm_audit_lock(struct cvm_store *store, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    int64_t ignored = 0;
    return cvm_db_access_of(db) == CVM_DB_SHARED
               ? cvm_db_get_int(db, CVM_SQL_AUDIT_LOCK, NULL, 0, &ignored, err)
               : CVM_OK;
}

enum cvm_status cvm_audit_add(struct cvm_store *store, const struct cvm_audit_row *row,
                              struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    enum cvm_status status = cvm_audit_lock(store, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_db_value params[] = {
        cvm_db_int(row->at_ms == 0 ? cvm_store_now_ms(store) : row->at_ms),
        cvm_db_text(row->who),
        cvm_db_text(row->action),
        cvm_db_text(row->object),
        cvm_db_text(row->why == NULL ? "" : row->why),
        cvm_db_text(row->before),
        cvm_db_text(row->after),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_AUDIT_ADD), params, CVM_DB_COUNT(params), NULL,
                       err);
}

struct listing {
    cvm_audit_fn on_row;
    void *state;
};

static enum cvm_status list_row(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct listing *listing = state;
    (void)column_count;
    struct cvm_audit_row row = {
        .id = columns[0].integer,
        .at_ms = columns[1].integer,
        .who = cvm_db_string(&columns[2]),
        .action = cvm_db_string(&columns[3]),
        .object = cvm_db_string(&columns[4]),
        .why = cvm_db_string(&columns[5]),
        .before = cvm_db_string(&columns[6]),
        .after = cvm_db_string(&columns[7]),
    };
    return listing->on_row(listing->state, &row, err);
}

enum cvm_status cvm_audit_list(struct cvm_store *store, int64_t before_id, int64_t count_max,
                               cvm_audit_fn on_row, void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct listing listing = {.on_row = on_row, .state = state};
    struct cvm_db_value params[] = {
        cvm_db_int(before_id == 0 ? INT64_MAX : before_id),
        cvm_db_int(count_max),
    };
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_AUDIT_LIST), params, CVM_DB_COUNT(params),
                        list_row, &listing, err);
}
