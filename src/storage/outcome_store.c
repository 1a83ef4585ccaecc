#include "storage/outcome_store.h"

#include "storage/db_sql.h"

/* ---- learning ---- */

static enum cvm_status read_learning(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    struct cvm_learning *learning = state;
    (void)column_count;
    (void)err;
    *learning = (struct cvm_learning){
        .contacts = columns[0].integer,
        .reached = columns[1].integer,
        .answers = columns[2].integer,
        .accepted = columns[3].integer,
        .treated = columns[4].integer,
        .treated_churned = columns[5].integer,
        .treated_expected = columns[6].number,
        .controls = columns[7].integer,
        .controls_churned = columns[8].integer,
        .controls_expected = columns[9].number,
    };
    return CVM_OK;
}

enum cvm_status cvm_learning_get(struct cvm_store *store, const char *treatment,
                                 struct cvm_learning *out_learning, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_learning learning = {0};
    struct cvm_db_value params[] = {cvm_db_text(treatment)};
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_LEARNING_GET), params, 1,
                                          read_learning, &learning, err);
    if (status == CVM_OK) {
        *out_learning = learning;
    }
    return status;
}

/* ---- imports ---- */

enum cvm_status cvm_outcome_last_import(struct cvm_store *store, int64_t *out_import,
                                        struct cvm_error *err)
{
    return cvm_db_get_int(cvm_store_db(store), CVM_SQL_OUTCOME_LAST_IMPORT, NULL, 0, out_import,
                          err);
}
