#include "storage/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_writer.h"
#include "storage/audit.h"
#include "storage/db_sql.h"

struct listing {
    cvm_version_fn on_version;
    void *state;
    bool has_body;
};

static enum cvm_status list_version(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    struct listing *listing = state;
    (void)column_count;
    struct cvm_version version = {
        .version = columns[0].integer,
        .at_ms = columns[1].integer,
        .who = cvm_db_string(&columns[2]),
        .why = listing->has_body ? "" : cvm_db_string(&columns[3]),
        .body = listing->has_body ? cvm_db_string(&columns[3]) : NULL,
    };
    return listing->on_version(listing->state, &version, err);
}

static enum cvm_status list_versions(struct cvm_store *store, enum cvm_sql sql, int64_t before,
                                     int64_t count_max, struct listing *listing,
                                     struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value params[] = {
        cvm_db_int(before == 0 ? INT64_MAX : before),
        cvm_db_int(count_max),
    };
    return cvm_db_query(db, cvm_db_sql(db, sql), params, CVM_DB_COUNT(params), list_version,
                        listing, err);
}

enum cvm_status cvm_catalogue_versions(struct cvm_store *store, int64_t before, int64_t count_max,
                                       cvm_version_fn on_version, void *state,
                                       struct cvm_error *err)
{
    struct listing listing = {.on_version = on_version, .state = state};
    return list_versions(store, CVM_SQL_HISTORY_CATALOGUE, before, count_max, &listing, err);
}

enum cvm_status cvm_config_versions(struct cvm_store *store, int64_t before, int64_t count_max,
                                    cvm_version_fn on_version, void *state, struct cvm_error *err)
{
    struct listing listing = {.on_version = on_version, .state = state, .has_body = true};
    return list_versions(store, CVM_SQL_HISTORY_CONFIG, before, count_max, &listing, err);
}

/* ---- the configuration ---- */

struct newest {
    int64_t version;
    char *body; /* NULL = none */
};

static enum cvm_status read_newest(void *state, const struct cvm_version *version,
                                   struct cvm_error *err)
{
    struct newest *newest = state;
    newest->version = version->version;
    newest->body = strdup(version->body);
    return newest->body == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the configuration")
                                : CVM_OK;
}

static void add_string(struct cvm_text *text, const char *value)
{
    struct cvm_json_writer json;
    cvm_json_init(&json, text, false);
    cvm_json_string(&json, value);
}

static enum cvm_status add_config(struct cvm_store *store, const struct newest *newest,
                                  const char *who, const char *body, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_text before;
    struct cvm_text after;
    char object[48];
    struct cvm_db_value params[] = {
        cvm_db_int(newest->version + 1),
        cvm_db_int(cvm_store_now_ms(store)),
        cvm_db_text(who),
        cvm_db_text(body),
    };
    cvm_text_init(&before, 0);
    cvm_text_init(&after, 0);
    add_string(&before, newest->body);
    add_string(&after, body);
    (void)snprintf(object, sizeof(object), "version %lld", (long long)newest->version + 1);
    struct cvm_audit_row row = {
        .who = who,
        .action = "config",
        .object = object,
        .why = "cvm.yaml",
        .before = cvm_text_string(&before),
        .after = cvm_text_string(&after),
    };
    enum cvm_status status = before.failed || after.failed
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the configuration")
                                 : cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_HISTORY_CONFIG_ADD),
                                               params, CVM_DB_COUNT(params), NULL, err);
    if (status == CVM_OK) {
        status = cvm_audit_add(store, &row, err);
    }
    cvm_text_finish(&before);
    cvm_text_finish(&after);
    return status;
}

enum cvm_status cvm_config_note(struct cvm_store *store, const char *who, const char *body,
                                struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct newest newest = {0};
    enum cvm_status status = cvm_db_begin(db, err);
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_config_versions(store, 0, 1, read_newest, &newest, err);
    bool is_new = newest.body == NULL || strcmp(newest.body, body) != 0;
    if (status == CVM_OK && is_new) {
        status = add_config(store, &newest, who, body, err);
        status = status == CVM_OK ? cvm_db_commit(db, err) : status;
    }
    cvm_db_rollback(db);
    free(newest.body);
    return status;
}

/* ---- one customer ---- */

/* Columns: batch, moment, who, state. */
static void read_origin(const struct cvm_db_value *columns, struct cvm_version_origin *origin)
{
    origin->batch = columns[0].integer;
    origin->at_ms = columns[1].type == CVM_DB_INT ? columns[1].integer : 0;
    origin->who = cvm_db_string(&columns[2]);
    origin->is_retracted = strcmp(cvm_db_string(&columns[3]), "retracted") == 0;
}

struct record_listing {
    cvm_record_version_fn on_version;
    void *state;
};

static enum cvm_status list_record(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct record_listing *listing = state;
    bool has_private = columns[9].type != CVM_DB_NULL;
    (void)column_count;
    struct cvm_record_version version = {
        .origin = {.source = cvm_db_string(&columns[0]), .version = columns[3].integer},
        .day = (int32_t)columns[1].integer,
        .identity = (uint64_t)columns[2].integer,
        .attributes = cvm_db_string(&columns[8]),
        .private_bytes = has_private ? columns[9].bytes.data : NULL,
        .private_length = has_private ? columns[9].bytes.length : 0,
    };
    read_origin(&columns[4], &version.origin);
    return listing->on_version(listing->state, &version, err);
}

enum cvm_status cvm_record_versions(struct cvm_store *store, uint64_t key,
                                    cvm_record_version_fn on_version, void *state,
                                    struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct record_listing listing = {.on_version = on_version, .state = state};
    struct cvm_db_value param = cvm_db_int((int64_t)key);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_HISTORY_RECORDS), &param, 1, list_record,
                        &listing, err);
}

struct consent_listing {
    cvm_consent_version_fn on_version;
    void *state;
};

static enum cvm_status list_consent(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    struct consent_listing *listing = state;
    (void)column_count;
    struct cvm_consent_version version = {
        .origin = {.source = cvm_db_string(&columns[0]), .version = columns[1].integer},
        .consent = {.recorded = (uint32_t)columns[6].integer,
                    .granted = (uint32_t)columns[7].integer,
                    .updated_day = (int32_t)columns[8].integer,
                    .quiet_start_min = (int16_t)columns[9].integer,
                    .quiet_end_min = (int16_t)columns[10].integer,
                    .preferred_time = (uint8_t)columns[11].integer,
                    .has_record = true},
    };
    (void)snprintf(version.consent.language, sizeof(version.consent.language), "%s",
                   cvm_db_string(&columns[12]));
    read_origin(&columns[2], &version.origin);
    return listing->on_version(listing->state, &version, err);
}

enum cvm_status cvm_consent_versions(struct cvm_store *store, uint64_t key,
                                     cvm_consent_version_fn on_version, void *state,
                                     struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct consent_listing listing = {.on_version = on_version, .state = state};
    struct cvm_db_value param = cvm_db_int((int64_t)key);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_HISTORY_CONSENTS), &param, 1, list_consent,
                        &listing, err);
}
