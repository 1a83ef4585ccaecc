#include "storage/run_parts.h"

#include "storage/db_sql.h"

enum cvm_status cvm_run_part_put(struct cvm_store *store, const char *run_id,
                                 const struct cvm_stored_part *part, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {
        cvm_db_text(run_id),
        cvm_db_int(part->part),
        cvm_db_int(part->customers),
        cvm_db_blob(part->body, part->length),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_RUN_PART_PUT), params, CVM_DB_COUNT(params), NULL,
                       err);
}

struct scanning {
    cvm_stored_part_fn on_part;
    void *state;
};

static enum cvm_status scan_row(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    const struct scanning *scanning = state;
    (void)column_count;
    struct cvm_stored_part part = {
        .part = columns[0].integer,
        .customers = columns[1].integer,
        .body = columns[2].bytes.data,
        .length = columns[2].bytes.length,
    };
    return scanning->on_part(scanning->state, &part, err);
}

enum cvm_status cvm_run_part_scan(struct cvm_store *store, const char *run_id,
                                  cvm_stored_part_fn on_part, void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct scanning scanning = {on_part, state};
    struct cvm_db_value params[] = {cvm_db_text(run_id)};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_RUN_PART_SCAN), params, CVM_DB_COUNT(params),
                        scan_row, &scanning, err);
}

enum cvm_status cvm_run_part_drop(struct cvm_store *store, const char *run_id,
                                  struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {cvm_db_text(run_id)};
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_RUN_PART_DROP), params, CVM_DB_COUNT(params),
                       NULL, err);
}

static enum cvm_status change_if_ours(struct cvm_db *db, const char *sql, const char *run_id,
                                      int64_t epoch, struct cvm_error *err)
{
    int64_t changed = 0;
    struct cvm_db_value params[] = {cvm_db_text(run_id), cvm_db_int(epoch)};
    enum cvm_status status = cvm_db_exec(db, sql, params, CVM_DB_COUNT(params), &changed, err);
    return status == CVM_OK && changed == 0
               ? CVM_FAIL(err, CVM_E_CONFLICT, "run '%s' was taken over by another process", run_id)
               : status;
}

enum cvm_status cvm_run_fence(struct cvm_store *store, const char *run_id, int64_t epoch,
                              struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    return change_if_ours(db, cvm_db_sql(db, CVM_SQL_RUN_FENCE), run_id, epoch, err);
}

enum cvm_status cvm_run_take_over(struct cvm_store *store, const char *run_id, int64_t *epoch,
                                  struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {cvm_db_text(run_id)};
    enum cvm_status status =
        change_if_ours(db, cvm_db_sql(db, CVM_SQL_RUN_TAKE_OVER), run_id, *epoch, err);
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_VALUE_BLOCK_DELETE), params, 1, NULL, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_DECISION_DELETE), params, 1, NULL, err);
    }
    if (status == CVM_OK) {
        (*epoch)++;
    }
    return status;
}
