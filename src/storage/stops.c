#include "storage/stops.h"

#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "storage/audit.h"
#include "storage/db_sql.h"

/* ---- reading ---- */

struct loading {
    const struct cvm_catalogue *catalogue;
    struct cvm_stops stops;
};

/* What the catalogue does not know (any more) can not be given either. */
static enum cvm_status load_stop(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct loading *loading = state;
    const char *id = cvm_db_string(&columns[1]);
    (void)column_count;
    (void)err;
    if (strcmp(cvm_db_string(&columns[0]), "treatment") == 0) {
        int t = cvm_catalogue_treatment(loading->catalogue, id);
        loading->stops.treatments |= t == CVM_INDEX_NONE ? 0 : (uint64_t)1 << t;
        return CVM_OK;
    }
    for (unsigned c = 0; c < CVM_CHANNEL_COUNT; c++) {
        if (strcmp(cvm_channel_words[c], id) == 0) {
            loading->stops.channels |= 1U << c;
        }
    }
    return CVM_OK;
}

enum cvm_status cvm_stops_load(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                               struct cvm_stops *out_stops, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct loading loading = {.catalogue = catalogue};
    enum cvm_status status =
        cvm_db_query(db, cvm_db_sql(db, CVM_SQL_STOP_LIST), NULL, 0, load_stop, &loading, err);
    if (status == CVM_OK) {
        *out_stops = loading.stops;
    }
    return status;
}

struct listing {
    cvm_stop_fn on_stop;
    void *state;
};

static enum cvm_status list_stop(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct listing *listing = state;
    (void)column_count;
    struct cvm_stop stop = {
        .kind = cvm_db_string(&columns[0]),
        .id = cvm_db_string(&columns[1]),
        .at_ms = columns[2].integer,
        .who = cvm_db_string(&columns[3]),
        .why = cvm_db_string(&columns[4]),
    };
    return listing->on_stop(listing->state, &stop, err);
}

enum cvm_status cvm_stop_list(struct cvm_store *store, cvm_stop_fn on_stop, void *state,
                              struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct listing listing = {.on_stop = on_stop, .state = state};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_STOP_LIST), NULL, 0, list_stop, &listing, err);
}

/* ---- throwing the switch ---- */

static enum cvm_status audit_stop(struct cvm_store *store, const struct cvm_stop *stop,
                                  bool is_stopped, struct cvm_error *err)
{
    struct cvm_text object;
    cvm_text_init(&object, 0);
    cvm_text_add_format(&object, "%s %s", stop->kind, stop->id);
    struct cvm_audit_row row = {
        .who = stop->who,
        .action = "stop",
        .object = cvm_text_string(&object),
        .why = stop->why,
        .before = is_stopped ? "{\"stopped\":false}" : "{\"stopped\":true}",
        .after = is_stopped ? "{\"stopped\":true}" : "{\"stopped\":false}",
    };
    enum cvm_status status = object.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a stop")
                                           : cvm_audit_add(store, &row, err);
    cvm_text_finish(&object);
    return status;
}

enum cvm_status cvm_stop_add(struct cvm_store *store, const struct cvm_stop *stop,
                             struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value params[] = {
        cvm_db_text(stop->kind), cvm_db_text(stop->id),  cvm_db_int(cvm_store_now_ms(store)),
        cvm_db_text(stop->who),  cvm_db_text(stop->why),
    };
    enum cvm_status status =
        cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_STOP_ADD), params, CVM_DB_COUNT(params), NULL, err);
    if (status == CVM_E_CONFLICT) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "%s '%s' is stopped already", stop->kind, stop->id);
    }
    return status == CVM_OK ? audit_stop(store, stop, true, err) : status;
}

enum cvm_status cvm_stop_lift(struct cvm_store *store, const struct cvm_stop *stop,
                              struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    int64_t changed = 0;
    struct cvm_db_value params[] = {cvm_db_text(stop->kind), cvm_db_text(stop->id)};
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_STOP_LIFT), params,
                                         CVM_DB_COUNT(params), &changed, err);
    if (status == CVM_OK && changed == 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "%s '%s' is not stopped", stop->kind, stop->id);
    }
    return status == CVM_OK ? audit_stop(store, stop, false, err) : status;
}
