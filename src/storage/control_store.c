#include "storage/control_store.h"

#include <assert.h>

#include "storage/db_sql.h"

/* ---- reading ---- */

static enum cvm_status read_int(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    *(int64_t *)state = columns[0].integer;
    return CVM_OK;
}

enum cvm_status cvm_control_enrolled_batch(struct cvm_store *store, int64_t *out_batch,
                                           struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    int64_t batch = 0;
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_CONTROL_ENROLLED_BATCH), NULL,
                                          0, read_int, &batch, err);
    if (status == CVM_OK) {
        *out_batch = batch;
    }
    return status;
}

enum cvm_status cvm_control_customers(struct cvm_store *store, int64_t least, int64_t *out_count,
                                      struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value param = cvm_db_int(least);
    int64_t count = 0;
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_CONTROL_CUSTOMERS), &param, 1,
                                          read_int, &count, err);
    if (status == CVM_OK) {
        *out_count = count;
    }
    return status;
}

static enum cvm_status add_key(void *state, const struct cvm_db_value *columns, size_t column_count,
                               struct cvm_error *err)
{
    void *slot = NULL;
    (void)column_count;
    enum cvm_status status = cvm_column_extend(state, 1, &slot, err);
    if (status == CVM_OK) {
        *(uint64_t *)slot = (uint64_t)columns[0].integer;
    }
    return status;
}

enum cvm_status cvm_control_members(struct cvm_store *store, struct cvm_column *members,
                                    struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_CONTROL_MEMBERS), NULL, 0, add_key, members,
                        err);
}

enum cvm_status cvm_control_is_member(struct cvm_store *store, uint64_t key, bool *out_is_member,
                                      struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value param = cvm_db_int((int64_t)key);
    int64_t count = 0;
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_CONTROL_IS_MEMBER), &param, 1,
                                          read_int, &count, err);
    if (status == CVM_OK) {
        *out_is_member = count > 0;
    }
    return status;
}

enum cvm_status cvm_control_newcomers(struct cvm_store *store, int64_t after_batch,
                                      int64_t last_batch, struct cvm_column *keys,
                                      struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {cvm_db_int(after_batch), cvm_db_int(last_batch)};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_CONTROL_NEWCOMERS), params, CVM_DB_COUNT(params),
                        add_key, keys, err);
}

struct stratum_scan {
    cvm_control_stratum_fn on_stratum;
    void *state;
};

static enum cvm_status scan_stratum(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    struct stratum_scan *scan = state;
    struct cvm_control_stratum stratum = {
        .name = cvm_db_string(&columns[0]),
        .enrolled = columns[1].integer,
        .members = columns[2].integer,
    };
    (void)column_count;
    return scan->on_stratum(scan->state, &stratum, err);
}

enum cvm_status cvm_control_strata(struct cvm_store *store, cvm_control_stratum_fn on_stratum,
                                   void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct stratum_scan scan = {on_stratum, state};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_CONTROL_STRATA), NULL, 0, scan_stratum, &scan,
                        err);
}

/* ---- writing ---- */

enum cvm_status cvm_control_stratum_put(struct cvm_store *store,
                                        const struct cvm_control_stratum *stratum,
                                        struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value params[] = {
        cvm_db_text(stratum->name),
        cvm_db_int(stratum->enrolled),
        cvm_db_int(stratum->members),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_CONTROL_STRATUM_PUT), params,
                       CVM_DB_COUNT(params), NULL, err);
}

enum { MEMBER_COLUMNS = 3 };

struct adding {
    const struct cvm_control_member *next;
    size_t left;
};

static enum cvm_status next_member(void *state, struct cvm_db_value *params, size_t param_count,
                                   bool *out_has_row, struct cvm_error *err)
{
    struct adding *adding = state;
    (void)err;
    assert(param_count == MEMBER_COLUMNS);
    *out_has_row = adding->left > 0;
    if (adding->left > 0) {
        const struct cvm_control_member *member = adding->next++;
        adding->left--;
        params[0] = cvm_db_int((int64_t)member->key);
        params[1] = cvm_db_text(member->stratum);
        params[2] = cvm_db_text(member->run_id);
    }
    return CVM_OK;
}

enum cvm_status cvm_control_member_add(struct cvm_store *store,
                                       const struct cvm_control_member *members, size_t count,
                                       struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct adding adding = {members, count};
    assert(cvm_db_in_transaction(db));
    return cvm_db_bulk_load(db, cvm_db_sql(db, CVM_SQL_CONTROL_MEMBER_ADD), MEMBER_COLUMNS,
                            next_member, &adding, NULL, err);
}

enum cvm_status cvm_control_enrolment_add(struct cvm_store *store,
                                          const struct cvm_control_enrolment *enrolment,
                                          struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value params[] = {
        cvm_db_int(enrolment->batch),        cvm_db_text(enrolment->run_id),
        cvm_db_int(cvm_store_now_ms(store)), cvm_db_double(enrolment->share),
        cvm_db_int(enrolment->enrolled),     cvm_db_int(enrolment->members),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_CONTROL_ENROLMENT_ADD), params,
                       CVM_DB_COUNT(params), NULL, err);
}
