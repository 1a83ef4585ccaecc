#include "storage/price_store.h"

#include <assert.h>

#include "storage/db_sql.h"

struct finding {
    struct cvm_arena *arena;
    struct cvm_price_record *record;
    bool is_found;
};

static enum cvm_status take_record(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct finding *finding = state;
    (void)column_count;
    finding->record->made_at_ms = columns[0].integer;
    finding->is_found =
        cvm_db_copy_string(finding->arena, &columns[1], &finding->record->made_by) &&
        cvm_db_copy_string(finding->arena, &columns[2], &finding->record->body);
    return finding->is_found ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory for prices");
}

enum cvm_status cvm_price_newest(struct cvm_store *store, struct cvm_arena *arena,
                                 int32_t as_of_day, const char *run_id,
                                 struct cvm_price_record *out_record, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_price_record record = {.as_of_day = as_of_day, .run_id = run_id};
    struct finding finding = {.arena = arena, .record = &record};
    struct cvm_db_value params[] = {cvm_db_int(as_of_day), cvm_db_text(run_id)};
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_DAY_PRICE_NEWEST), params,
                                          CVM_DB_COUNT(params), take_record, &finding, err);
    if (status == CVM_OK && !finding.is_found) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "no prices were made anew on run '%s'", run_id);
    }
    if (status == CVM_OK) {
        *out_record = record;
    }
    return status;
}

enum cvm_status cvm_price_add(struct cvm_store *store, const struct cvm_price_record *record,
                              struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value params[] = {
        cvm_db_int(record->as_of_day), cvm_db_text(record->run_id), cvm_db_int(record->made_at_ms),
        cvm_db_text(record->made_by),  cvm_db_text(record->body),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_DAY_PRICE_ADD), params, CVM_DB_COUNT(params),
                       NULL, err);
}
