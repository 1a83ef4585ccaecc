#include "storage/schedule_store.h"

#include <assert.h>

#include "storage/db_sql.h"

enum cvm_status cvm_schedule_lock(struct cvm_store *store, const char *schedule, int64_t now_ms,
                                  int64_t *out_looked_ms, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value params[] = {cvm_db_text(schedule), cvm_db_int(now_ms)};
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_SCHEDULE_ADD), params,
                                         CVM_DB_COUNT(params), NULL, err);
    return status == CVM_OK
               ? cvm_db_get_int(db, CVM_SQL_SCHEDULE_LOCK, params, 1, out_looked_ms, err)
               : status;
}

enum cvm_status cvm_schedule_looked(struct cvm_store *store, const char *schedule,
                                    int64_t looked_ms, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value params[] = {cvm_db_text(schedule), cvm_db_int(looked_ms)};
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_SCHEDULE_LOOKED), params, CVM_DB_COUNT(params),
                       NULL, err);
}

enum cvm_status cvm_schedule_fire_add(struct cvm_store *store, const struct cvm_schedule_fire *fire,
                                      struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    int64_t changed = 0;
    struct cvm_db_value params[] = {
        cvm_db_text(fire->schedule),         cvm_db_int(fire->fire_ms),
        cvm_db_int(cvm_store_now_ms(store)), cvm_db_text(fire->outcome),
        cvm_db_text(fire->workflow_id),      cvm_db_text(fire->why),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_SCHEDULE_FIRE_ADD), params,
                                         CVM_DB_COUNT(params), &changed, err);
    return status == CVM_OK && changed == 0
               ? CVM_FAIL(err, CVM_E_CONFLICT, "this moment of schedule '%s' was noted before",
                          fire->schedule)
               : status;
}

struct listing {
    cvm_schedule_fire_fn on_fire;
    void *state;
};

static enum cvm_status list_fire(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct listing *listing = state;
    (void)column_count;
    struct cvm_schedule_fire fire = {
        .schedule = cvm_db_string(&columns[0]),
        .fire_ms = columns[1].integer,
        .noted_ms = columns[2].integer,
        .outcome = cvm_db_string(&columns[3]),
        .workflow_id = cvm_db_string(&columns[4]),
        .why = cvm_db_string(&columns[5]),
    };
    return listing->on_fire(listing->state, &fire, err);
}

enum cvm_status cvm_schedule_fire_list(struct cvm_store *store, const char *schedule,
                                       int64_t count_max, cvm_schedule_fire_fn on_fire, void *state,
                                       struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct listing listing = {on_fire, state};
    struct cvm_db_value params[] = {cvm_db_text(schedule), cvm_db_int(count_max)};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_SCHEDULE_FIRE_LIST), params,
                        CVM_DB_COUNT(params), list_fire, &listing, err);
}
