/* db_read.c - small readers that every domain module wants. */
#include "storage/db_sql.h"

#include <stddef.h>

struct one_number {
    bool is_there;
    int64_t value;
};

static enum cvm_status read_number(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct one_number *number = state;
    (void)column_count;
    (void)err;
    number->is_there = true;
    number->value = columns[0].type == CVM_DB_INT ? columns[0].integer : 0;
    return CVM_OK;
}

enum cvm_status cvm_db_get_int(struct cvm_db *db, enum cvm_sql sql,
                               const struct cvm_db_value *params, size_t param_count,
                               int64_t *out_value, struct cvm_error *err)
{
    struct one_number number = {0};
    enum cvm_status status =
        cvm_db_query(db, cvm_db_sql(db, sql), params, param_count, read_number, &number, err);
    if (status == CVM_OK && !number.is_there) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "no such row");
    }
    if (status == CVM_OK) {
        *out_value = number.value;
    }
    return status;
}

const char *cvm_db_string(const struct cvm_db_value *column)
{
    bool has_bytes = column->type == CVM_DB_TEXT || column->type == CVM_DB_BLOB;
    return has_bytes ? column->bytes.data : NULL;
}

bool cvm_db_copy_string(struct cvm_arena *arena, const struct cvm_db_value *column,
                        const char **out_string)
{
    const char *string = cvm_db_string(column);
    if (string == NULL) {
        *out_string = NULL;
        return true;
    }
    char *copy = cvm_arena_copy(arena, string, column->bytes.length);
    if (copy != NULL) {
        *out_string = copy;
    }
    return copy != NULL;
}
