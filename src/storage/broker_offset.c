#include "storage/broker_offset.h"

#include "storage/db_sql.h"

enum cvm_status cvm_broker_offset_get(struct cvm_store *store, const char *queue,
                                      int64_t partition_no, int64_t *out_next,
                                      struct cvm_error *err)
{
    struct cvm_db_value params[] = {cvm_db_text(queue), cvm_db_int(partition_no)};
    return cvm_db_get_int(cvm_store_db(store), CVM_SQL_BROKER_OFFSET_GET, params,
                          CVM_DB_COUNT(params), out_next, err);
}

enum cvm_status cvm_broker_offset_move(struct cvm_store *store,
                                       const struct cvm_broker_offset *offset,
                                       struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {
        cvm_db_text(offset->queue),
        cvm_db_int(offset->partition_no),
        cvm_db_int(offset->next_offset),
    };
    bool is_inside = cvm_db_in_transaction(db);
    enum cvm_status status = is_inside ? CVM_OK : cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_BROKER_OFFSET_MOVE), params,
                             CVM_DB_COUNT(params), NULL, err);
    }
    if (!is_inside && status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (!is_inside) {
        cvm_db_rollback(db);
    }
    return status;
}
