#include "storage/export_store.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "storage/db_sql.h"

/* A contact may be made this long after its run. */
#define CONTACT_DAYS 31

enum cvm_status cvm_export_next(struct cvm_store *store, int64_t *out_export, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    int64_t last = 0;
    enum cvm_status status = cvm_db_get_int(db, CVM_SQL_EXPORT_LAST, NULL, 0, &last, err);
    if (status == CVM_OK) {
        *out_export = last + 1;
    }
    return status;
}

/* ---- listing ---- */

struct export_item {
    struct cvm_plan_export export;
    struct export_item *next;
};
struct export_listing {
    struct cvm_arena *arena;
    struct export_item *first;
    struct export_item *last;
    size_t count;
};

static enum cvm_status list_export(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct export_listing *listing = state;
    struct export_item *item = CVM_NEW(listing->arena, struct export_item);
    (void)column_count;
    if (item == NULL || !cvm_db_copy_string(listing->arena, &columns[1], &item->export.run_id) ||
        !cvm_db_copy_string(listing->arena, &columns[2], &item->export.channel) ||
        !cvm_db_copy_string(listing->arena, &columns[3], &item->export.kind) ||
        !cvm_db_copy_string(listing->arena, &columns[4], &item->export.file) ||
        !cvm_db_copy_string(listing->arena, &columns[5], &item->export.digest) ||
        !cvm_db_copy_string(listing->arena, &columns[8], &item->export.who)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read an export");
    }
    item->export.export = columns[0].integer;
    item->export.rows = columns[6].integer;
    item->export.at_ms = columns[7].integer;
    if (listing->last == NULL) {
        listing->first = item;
    } else {
        listing->last->next = item;
    }
    listing->last = item;
    listing->count++;
    return CVM_OK;
}

enum cvm_status cvm_export_list(struct cvm_store *store, struct cvm_arena *arena,
                                const char *run_id, const struct cvm_plan_export **out_exports,
                                size_t *out_count, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct export_listing listing = {.arena = arena};
    struct cvm_db_value param = cvm_db_text(run_id);
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_EXPORT_LIST), &param, 1,
                                          list_export, &listing, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_plan_export *exports =
        CVM_NEW_ARRAY(arena, listing.count + 1, struct cvm_plan_export);
    if (exports == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read %zu exports", listing.count);
    }
    size_t count = 0;
    for (const struct export_item *item = listing.first; item != NULL; item = item->next) {
        exports[count++] = item->export;
    }
    *out_exports = exports;
    *out_count = count;
    return CVM_OK;
}

/* ---- writing ---- */

enum cvm_status cvm_export_add(struct cvm_store *store, const struct cvm_plan_export *export,
                               struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value params[] = {
        cvm_db_int(export->export), cvm_db_text(export->run_id), cvm_db_text(export->channel),
        cvm_db_text(export->kind),  cvm_db_text(export->file),   cvm_db_text(export->digest),
        cvm_db_int(export->rows),   cvm_db_int(export->at_ms),   cvm_db_text(export->who),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_EXPORT_ADD), params, CVM_DB_COUNT(params), NULL,
                       err);
}

struct marking {
    const struct cvm_plan_export *export;
    const uint64_t *next;
    size_t left;
};

static enum cvm_status next_mark(void *state, struct cvm_db_value *params, size_t param_count,
                                 bool *out_has_row, struct cvm_error *err)
{
    struct marking *marking = state;
    (void)err;
    assert(param_count == 3);
    (void)param_count;
    *out_has_row = marking->left > 0;
    if (marking->left > 0) {
        marking->left--;
        params[0] = cvm_db_int(marking->export->export);
        params[1] = cvm_db_text(marking->export->run_id);
        params[2] = cvm_db_int((int64_t)*marking->next++);
    }
    return CVM_OK;
}

enum cvm_status cvm_export_mark(struct cvm_store *store, const struct cvm_plan_export *export,
                                const uint64_t *keys, size_t count, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct marking marking = {.export = export, .next = keys, .left = count};
    assert(cvm_db_in_transaction(db));
    return cvm_db_bulk_load(db, cvm_db_sql(db, CVM_SQL_DECISION_MARK_EXPORTED), 3, next_mark,
                            &marking, NULL, err);
}

/* ---- history ---- */

struct history {
    cvm_audit_fn on_row;
    void *state;
};

static enum cvm_status history_row(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct history *history = state;
    (void)column_count;
    struct cvm_audit_row row = {
        .id = columns[0].integer,
        .at_ms = columns[1].integer,
        .who = cvm_db_string(&columns[2]),
        .action = cvm_db_string(&columns[3]),
        .object = cvm_db_string(&columns[4]),
        .why = cvm_db_string(&columns[5]),
        .before = cvm_db_string(&columns[6]),
        .after = cvm_db_string(&columns[7]),
    };
    return history->on_row(history->state, &row, err);
}

enum cvm_status cvm_plan_history(struct cvm_store *store, const char *run_id, cvm_audit_fn on_row,
                                 void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct history history = {.on_row = on_row, .state = state};
    char object[CVM_RUN_ID_SIZE + 8];
    (void)snprintf(object, sizeof(object), "plan %s", run_id);
    struct cvm_db_value param = cvm_db_text(object);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_PLAN_HISTORY), &param, 1, history_row, &history,
                        err);
}

static enum cvm_status state_row(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    int64_t *counts = state;
    (void)column_count;
    int64_t index = columns[0].integer;
    if (index < 0 || index >= CVM_DECISION_STATE_COUNT) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "decisions in a state %lld", (long long)index);
    }
    counts[index] = columns[1].integer;
    return CVM_OK;
}

enum cvm_status cvm_plan_states(struct cvm_store *store, const char *run_id,
                                int64_t out_counts[CVM_DECISION_STATE_COUNT], struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value param = cvm_db_text(run_id);
    memset(out_counts, 0, CVM_DECISION_STATE_COUNT * sizeof(*out_counts));
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_PLAN_STATES), &param, 1, state_row, out_counts,
                        err);
}

/* ---- two plans ---- */

struct pair_scan {
    cvm_plan_pair_fn on_row;
    void *state;
};

static enum cvm_status pair_row(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct pair_scan *scan = state;
    (void)column_count;
    struct cvm_plan_pair_row row = {
        .key = (uint64_t)columns[0].integer,
        .is_after = columns[1].integer != 0,
        .treatment = cvm_db_string(&columns[2]),
        .value = columns[3].number,
        .spend_micro = columns[4].integer,
    };
    return scan->on_row(scan->state, &row, err);
}

enum cvm_status cvm_plan_pair_scan(struct cvm_store *store, const char *before, const char *after,
                                   cvm_plan_pair_fn on_row, void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct pair_scan scan = {.on_row = on_row, .state = state};
    struct cvm_db_value params[] = {cvm_db_text(before), cvm_db_text(after)};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_PLAN_DIFF_ROWS), params, CVM_DB_COUNT(params),
                        pair_row, &scan, err);
}

/* ---- what the release rules look at ---- */

struct report_scan {
    cvm_batch_report_fn on_report;
    void *state;
};

static enum cvm_status report_row(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct report_scan *scan = state;
    (void)column_count;
    return scan->on_report(scan->state, columns[0].integer, cvm_db_string(&columns[1]), err);
}

enum cvm_status cvm_batch_reports(struct cvm_store *store, int64_t after_batch, int64_t last_batch,
                                  cvm_batch_report_fn on_report, void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct report_scan scan = {.on_report = on_report, .state = state};
    struct cvm_db_value params[] = {cvm_db_int(after_batch), cvm_db_int(last_batch)};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_BATCH_REPORTS), params, CVM_DB_COUNT(params),
                        report_row, &scan, err);
}

static enum cvm_status read_pair(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    int64_t *pair = state;
    (void)column_count;
    (void)err;
    pair[0] = columns[0].integer;
    pair[1] = columns[1].integer;
    return CVM_OK;
}

enum cvm_status cvm_outcome_opt_outs(struct cvm_store *store, int32_t first_day, int32_t last_day,
                                     int64_t *out_contacts, int64_t *out_opt_outs,
                                     struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    int64_t pair[2] = {0, 0};
    struct cvm_db_value params[] = {
        cvm_db_int(first_day),
        cvm_db_int(last_day),
        cvm_db_int((int64_t)first_day - CONTACT_DAYS),
    };
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_OUTCOME_OPT_OUTS), params,
                                          CVM_DB_COUNT(params), read_pair, pair, err);
    if (status == CVM_OK) {
        *out_contacts = pair[0];
        *out_opt_outs = pair[1];
    }
    return status;
}
