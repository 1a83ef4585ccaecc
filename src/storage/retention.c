#include "storage/retention.h"

#include "base/date.h"
#include "storage/db_sql.h"

struct reading {
    const struct cvm_catalogue *catalogue;
    struct cvm_retention *retention;
};

static enum cvm_status read_gone(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    const struct reading *reading = state;
    struct cvm_retention *retention = reading->retention;
    int source = cvm_catalogue_source(reading->catalogue, cvm_db_string(&columns[0]));
    int32_t as_of_day = (int32_t)columns[2].integer;
    (void)column_count;
    (void)err;
    if (source != CVM_INDEX_NONE && columns[1].type == CVM_DB_INT) {
        retention->gone_before[source] = (int32_t)columns[1].integer;
    }
    retention->as_of_day = as_of_day > retention->as_of_day ? as_of_day : retention->as_of_day;
    return CVM_OK;
}

static enum cvm_status read_newest(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct cvm_retention *retention = state;
    (void)column_count;
    (void)err;
    retention->purges = columns[0].integer;
    retention->is_unfinished = columns[3].integer != 0;
    retention->finished_at_ms = columns[4].type == CVM_DB_INT ? columns[4].integer : 0;
    return CVM_OK;
}

enum cvm_status cvm_retention_read(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                                   struct cvm_retention *out_retention, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_retention retention = {.as_of_day = CVM_DAY_NONE};
    struct reading reading = {.catalogue = catalogue, .retention = &retention};
    for (size_t s = 0; s < CVM_SOURCES_MAX; s++) {
        retention.gone_before[s] = CVM_DAY_NONE;
    }
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_PURGE_NEWEST), NULL, 0,
                                          read_newest, &retention, err);
    if (status == CVM_OK && retention.purges > 0) {
        status =
            cvm_db_query(db, cvm_db_sql(db, CVM_SQL_PURGE_GONE), NULL, 0, read_gone, &reading, err);
    }
    if (status == CVM_OK) {
        *out_retention = retention;
    }
    return status;
}

int32_t cvm_retention_first_day(const struct cvm_retention *retention,
                                const struct cvm_catalogue *catalogue, size_t source)
{
    int keep = catalogue->sources[source].keep_days;
    return keep == 0 || retention->as_of_day == CVM_DAY_NONE ? CVM_DAY_NONE
                                                             : retention->as_of_day - keep + 1;
}

bool cvm_retention_misses(const struct cvm_retention *retention,
                          const struct cvm_catalogue *catalogue, int32_t as_of_day,
                          int32_t since_day, struct cvm_missing_data *out_missing)
{
    for (size_t f = 0; retention->purges > 0 && f < catalogue->feature_count; f++) {
        const struct cvm_feature *feature = &catalogue->features[f];
        int32_t first = as_of_day - catalogue->history_days + 1;
        first = since_day != CVM_DAY_NONE ? since_day : first;
        if (feature->window_days > 0 && as_of_day - feature->window_days + 1 > first) {
            first = as_of_day - feature->window_days + 1;
        }
        for (size_t s = 0; s < catalogue->source_count; s++) {
            if ((feature->sources >> s & 1) != 0 && first < retention->gone_before[s]) {
                *out_missing = (struct cvm_missing_data){
                    .feature = feature,
                    .source = &catalogue->sources[s],
                    .first_day = first,
                    .gone_before = retention->gone_before[s],
                };
                return true;
            }
        }
    }
    return false;
}
