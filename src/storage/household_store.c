#include "storage/household_store.h"

#include <assert.h>
#include <string.h>

#include "storage/db_sql.h"

struct part_copy {
    struct cvm_arena *arena;
    void *body;
    size_t length;
};

static enum cvm_status copy_part(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct part_copy *copy = state;
    (void)column_count;
    copy->length = columns[0].bytes.length;
    copy->body = cvm_arena_alloc_raw(copy->arena, copy->length + 1, 1);
    if (copy->body == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read households");
    }
    memcpy(copy->body, columns[0].bytes.data, copy->length);
    return CVM_OK;
}

enum cvm_status cvm_household_part_get(struct cvm_store *store, struct cvm_arena *arena,
                                       size_t part, const void **out_body, size_t *out_length,
                                       struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct part_copy copy = {.arena = arena};
    struct cvm_db_value param = cvm_db_int((int64_t)part);
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_HOUSEHOLD_PART_GET), &param, 1,
                                          copy_part, &copy, err);
    if (status == CVM_OK && copy.body == NULL) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "no run has stored households yet");
    }
    if (status == CVM_OK) {
        *out_body = copy.body;
        *out_length = copy.length;
    }
    return status;
}

enum cvm_status cvm_household_part_put(struct cvm_store *store, size_t part, const void *body,
                                       size_t length, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db) && part < CVM_HOUSEHOLD_PARTS);
    struct cvm_db_value params[] = {
        cvm_db_int((int64_t)part),
        cvm_db_blob(length == 0 ? "" : body, length),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_HOUSEHOLD_PART_PUT), params, CVM_DB_COUNT(params),
                       NULL, err);
}
