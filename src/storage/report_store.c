#include "storage/report_store.h"

#include <string.h>

#include "base/date.h"
#include "storage/db_sql.h"

struct delivery_reader {
    cvm_report_delivery_fn on_delivery;
    void *state;
};

static enum cvm_status read_delivery(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    const struct delivery_reader *reader = state;
    const char *newest = cvm_db_string(&columns[1]);
    struct cvm_report_delivery delivery = {
        .source = cvm_db_string(&columns[0]),
        .newest_day = CVM_DAY_NONE,
        .imported_at_ms = columns[2].type == CVM_DB_INT ? columns[2].integer : 0,
        .records = (int64_t)columns[3].number,
    };
    (void)column_count;
    if (newest != NULL &&
        !cvm_day_parse(newest, strlen(newest), &delivery.newest_day, NULL, NULL)) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "the report of a batch has the date '%s'", newest);
    }
    return reader->on_delivery(reader->state, &delivery, err);
}

enum cvm_status cvm_report_deliveries(struct cvm_store *store, int64_t last_batch,
                                      cvm_report_delivery_fn on_delivery, void *state,
                                      struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value param = cvm_db_int(last_batch);
    struct delivery_reader reader = {on_delivery, state};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_REPORT_SOURCES), &param, 1, read_delivery,
                        &reader, err);
}

struct step_reader {
    cvm_plan_step_fn on_step;
    void *state;
};

static enum cvm_status read_step(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    const struct step_reader *reader = state;
    (void)column_count;
    struct cvm_plan_step step = {
        .at_ms = columns[0].integer,
        .who = cvm_db_string(&columns[1]),
        .why = cvm_db_string(&columns[2]),
        .state = cvm_db_string(&columns[3]),
    };
    return reader->on_step(reader->state, &step, err);
}

enum cvm_status cvm_plan_steps(struct cvm_store *store, const char *run_id,
                               cvm_plan_step_fn on_step, void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value param = cvm_db_text(run_id);
    struct step_reader reader = {on_step, state};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_REPORT_PLAN_STEPS), &param, 1, read_step,
                        &reader, err);
}

struct measured_reader {
    cvm_report_measured_fn on_measured;
    void *state;
};

static enum cvm_status read_measured(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    const struct measured_reader *reader = state;
    (void)column_count;
    struct cvm_report_measured measured = {
        .treatment = cvm_db_string(&columns[0]),
        .arm = cvm_db_string(&columns[1]),
        .is_ghost = columns[2].integer != 0,
        .count = columns[3].integer,
        .churned = columns[4].number,
        .expected = columns[5].number,
        .weight = columns[6].number,
        .weight2 = columns[7].number,
        .value = columns[8].number,
        .weight2_value = columns[9].number,
    };
    return reader->on_measured(reader->state, &measured, err);
}

enum cvm_status cvm_report_measured(struct cvm_store *store, int32_t last_day,
                                    cvm_report_measured_fn on_measured, void *state,
                                    struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value param = cvm_db_int(last_day);
    struct measured_reader reader = {on_measured, state};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_REPORT_MEASURED), &param, 1, read_measured,
                        &reader, err);
}
