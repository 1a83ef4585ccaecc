#include "storage/batches.h"

#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "storage/audit.h"
#include "storage/db_sql.h"

struct listing {
    cvm_batch_fn on_batch;
    void *state;
};

static int32_t day_of(const struct cvm_db_value *column)
{
    return column->type == CVM_DB_INT ? (int32_t)column->integer : CVM_DAY_NONE;
}

static enum cvm_status list_batch(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct listing *listing = state;
    (void)column_count;
    struct cvm_batch batch = {
        .batch = columns[0].integer,
        .state = cvm_db_string(&columns[1]),
        .catalogue_version = columns[2].integer,
        .started_at_ms = columns[3].integer,
        .finished_at_ms = columns[4].type == CVM_DB_INT ? columns[4].integer : 0,
        .who = cvm_db_string(&columns[5]),
        .retracts = columns[6].integer,
        .retracted_by = columns[7].integer,
        .first_day = day_of(&columns[8]),
        .last_day = day_of(&columns[9]),
        .report = cvm_db_string(&columns[10]),
    };
    return listing->on_batch(listing->state, &batch, err);
}

enum cvm_status cvm_batch_list(struct cvm_store *store, int64_t before, int64_t count_max,
                               cvm_batch_fn on_batch, void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct listing listing = {.on_batch = on_batch, .state = state};
    struct cvm_db_value params[] = {
        cvm_db_int(before == 0 ? INT64_MAX : before),
        cvm_db_int(count_max),
    };
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_BATCH_LIST), params, CVM_DB_COUNT(params),
                        list_batch, &listing, err);
}

/* ---- one batch ---- */

struct found {
    int64_t batch;
    char state[16];
    int64_t retracts;
    int64_t retracted_by;
    bool follows_outcomes;
};

static enum cvm_status note_batch(void *state, const struct cvm_batch *batch, struct cvm_error *err)
{
    struct found *found = state;
    (void)err;
    if (batch->batch == found->batch) {
        (void)!snprintf(found->state, sizeof(found->state), "%s", batch->state);
        found->retracts = batch->retracts;
        found->retracted_by = batch->retracted_by;
        found->follows_outcomes =
            batch->report != NULL && strstr(batch->report, "\"follows_outcomes\":true") != NULL;
    }
    return CVM_OK;
}

static enum cvm_status find_batch(struct cvm_store *store, int64_t batch, struct found *out_found,
                                  struct cvm_error *err)
{
    *out_found = (struct found){.batch = batch};
    enum cvm_status status = cvm_batch_list(store, batch + 1, 1, note_batch, out_found, err);
    if (status == CVM_OK && out_found->state[0] == '\0') {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no batch %lld", (long long)batch);
        return cvm_error_hint(err, status, "`cvm batch list` shows what there is.");
    }
    if (status == CVM_OK && strcmp(out_found->state, "retracted") == 0) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "batch %lld was taken back by batch %lld",
                        (long long)batch, (long long)out_found->retracted_by);
    }
    bool is_unfinished =
        strcmp(out_found->state, "open") == 0 || strcmp(out_found->state, "abandoned") == 0;
    if (status == CVM_OK && is_unfinished) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "batch %lld is %s: no row of it counts",
                        (long long)batch, out_found->state);
    }
    return status;
}

enum cvm_status cvm_batch_retraction(struct cvm_store *store, int64_t last_batch,
                                     int64_t *out_batch, struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_int(last_batch);
    return cvm_db_get_int(cvm_store_db(store), CVM_SQL_BATCH_RETRACTION_OF, &param, 1, out_batch,
                          err);
}

enum cvm_status cvm_batch_pin(struct cvm_store *store, int64_t batch, int64_t *out_last_batch,
                              struct cvm_error *err)
{
    struct found found;
    struct cvm_db_value param = cvm_db_int(batch);
    enum cvm_status status = find_batch(store, batch, &found, err);
    if (status == CVM_E_CONFLICT) {
        return cvm_error_hint(err, status, "Name a batch that counts: `cvm batch list`.");
    }
    return status == CVM_OK ? cvm_db_get_int(cvm_store_db(store), CVM_SQL_BATCH_LAST_UNTIL, &param,
                                             1, out_last_batch, err)
                            : status;
}

/* ---- taking back ---- */

static enum cvm_status check_retractable(const struct found *found, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    if (found->retracts != 0) {
        status = CVM_FAIL(err, CVM_E_CONFLICT,
                          "batch %lld takes back batch %lld: that is not taken back itself",
                          (long long)found->batch, (long long)found->retracts);
        return cvm_error_hint(err, status, "Import the files of batch %lld again.",
                              (long long)found->retracts);
    }
    if (strcmp(found->state, "empty") == 0) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "batch %lld brought nothing that could be taken back",
                        (long long)found->batch);
    }
    if (found->follows_outcomes) {
        status = CVM_FAIL(err, CVM_E_CONFLICT,
                          "batch %lld holds contacts and opt-outs of `cvm outcome import`: taking "
                          "it back would have customers contacted again",
                          (long long)found->batch);
        return cvm_error_hint(err, status, "Correct them by a later `cvm outcome import`.");
    }
    return CVM_OK;
}

static enum cvm_status change_rows(struct cvm_store *store, int64_t batch, const char *who,
                                   struct cvm_retraction *retraction, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    int64_t now = cvm_store_now_ms(store);
    struct cvm_db_value one = cvm_db_int(batch);
    struct cvm_db_value added[] = {cvm_db_int(retraction->batch), cvm_db_int(now), cvm_db_text(who),
                                   cvm_db_int(batch)};
    struct cvm_db_value audited[] = {cvm_db_int(batch), cvm_db_int(now), cvm_db_text(who)};
    enum cvm_status status =
        cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_BATCH_RETRACT), &one, 1, NULL, err);
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_BATCH_RETRACTION_ADD), added,
                             CVM_DB_COUNT(added), NULL, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_BATCH_CUSTOMERS_MOVE), &one, 1, NULL, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_BATCH_CONSENT_AUDIT), audited,
                             CVM_DB_COUNT(audited), NULL, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_get_int(db, CVM_SQL_BATCH_LATER, &one, 1, &retraction->later_imports, err);
    }
    return status == CVM_OK ? cvm_db_get_int(db, CVM_SQL_BATCH_CUSTOMERS_GONE, &one, 1,
                                             &retraction->customers_gone, err)
                            : status;
}

static enum cvm_status add_audit(struct cvm_store *store, int64_t batch, const char *who,
                                 const char *why, const struct cvm_retraction *retraction,
                                 struct cvm_error *err)
{
    char object[40];
    char after[120];
    (void)!snprintf(object, sizeof(object), "batch %lld", (long long)batch);
    (void)!snprintf(after, sizeof(after),
                    "{\"state\":\"retracted\",\"by_batch\":%lld,\"customers_gone\":%lld}",
                    (long long)retraction->batch, (long long)retraction->customers_gone);
    struct cvm_audit_row row = {
        .who = who,
        .action = "retract",
        .object = object,
        .why = why,
        .before = "{\"state\":\"closed\"}",
        .after = after,
    };
    return cvm_audit_add(store, &row, err);
}

static enum cvm_status retract(struct cvm_store *store, int64_t batch, const char *who,
                               const char *why, struct cvm_retraction *retraction,
                               struct cvm_error *err)
{
    struct found found;
    int64_t newest = 0;
    enum cvm_status status = find_batch(store, batch, &found, err);
    if (status == CVM_OK) {
        status = check_retractable(&found, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_get_int(cvm_store_db(store), CVM_SQL_BATCH_NEWEST, NULL, 0, &newest, err);
    }
    retraction->batch = newest + 1;
    if (status == CVM_OK) {
        status = change_rows(store, batch, who, retraction, err);
    }
    return status == CVM_OK ? add_audit(store, batch, who, why, retraction, err) : status;
}

struct retracting {
    struct cvm_store *store;
    int64_t batch;
    const char *who;
    const char *why;
    struct cvm_retraction retraction;
};

static enum cvm_status retract_once(void *state, struct cvm_error *err)
{
    struct retracting *r = state;
    r->retraction = (struct cvm_retraction){0};
    return retract(r->store, r->batch, r->who, r->why, &r->retraction, err);
}

enum cvm_status cvm_batch_retract(struct cvm_store *store, int64_t batch, const char *who,
                                  const char *why, struct cvm_retraction *out_retraction,
                                  struct cvm_error *err)
{
    struct retracting r = {.store = store, .batch = batch, .who = who, .why = why};
    enum cvm_status status = cvm_db_transact(cvm_store_db(store), retract_once, &r, err);
    if (status == CVM_OK) {
        *out_retraction = r.retraction;
    }
    return status;
}
