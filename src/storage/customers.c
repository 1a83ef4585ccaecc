#include "storage/customers.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "base/hash.h"
#include "storage/db_sql.h"

#define KEY_MAX    ((uint64_t)INT64_MAX)
#define PROBES_MAX 1000 /* a chain this long says that the keys are no hashes */

uint64_t cvm_customer_key(const char *customer_id, size_t length)
{
    uint64_t key = cvm_hash(customer_id, length) & KEY_MAX;
    return key == 0 ? 1 : key;
}

uint64_t cvm_customer_next_key(uint64_t key)
{
    return key >= KEY_MAX ? 1 : key + 1;
}

struct probe {
    struct cvm_slice id;
    bool is_taken; /* the key has a customer */
    bool is_match;
    bool is_gone; /* came only with batches that were taken back */
};

static enum cvm_status compare_id(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct probe *probe = state;
    (void)column_count;
    (void)err;
    probe->is_taken = true;
    probe->is_gone = columns[1].integer != 0;
    probe->is_match = columns[0].bytes.length == probe->id.length &&
                      memcmp(columns[0].bytes.data, probe->id.data, probe->id.length) == 0;
    return CVM_OK;
}

static enum cvm_status find_from(struct cvm_store *store, uint64_t first_key, struct cvm_slice id,
                                 bool may_be_gone, uint64_t *out_key, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    uint64_t key = first_key;
    for (int i = 0; i < PROBES_MAX; i++, key = cvm_customer_next_key(key)) {
        struct probe probe = {.id = id};
        struct cvm_db_value param = cvm_db_int((int64_t)key);
        enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_CUSTOMER_ID), &param, 1,
                                              compare_id, &probe, err);
        if (status != CVM_OK) {
            return status;
        }
        if (probe.is_match && (may_be_gone || !probe.is_gone)) {
            *out_key = key;
            return CVM_OK;
        }
        if (!probe.is_taken || probe.is_match) {
            break;
        }
    }
    return CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no customer '%.*s'",
                    (int)(id.length > 200 ? 200 : id.length), id.data);
}

enum cvm_status cvm_customer_find_from(struct cvm_store *store, uint64_t first_key,
                                       const char *customer_id, size_t length, uint64_t *out_key,
                                       struct cvm_error *err)
{
    return find_from(store, first_key, (struct cvm_slice){customer_id, length}, false, out_key,
                     err);
}

enum cvm_status cvm_customer_find_ever(struct cvm_store *store, const char *customer_id,
                                       uint64_t *out_key, struct cvm_error *err)
{
    struct cvm_slice id = {customer_id, strlen(customer_id)};
    return find_from(store, cvm_customer_key(id.data, id.length), id, true, out_key, err);
}

enum cvm_status cvm_customer_find(struct cvm_store *store, const char *customer_id,
                                  uint64_t *out_key, struct cvm_error *err)
{
    size_t length = strlen(customer_id);
    return cvm_customer_find_from(store, cvm_customer_key(customer_id, length), customer_id, length,
                                  out_key, err);
}

struct id_copy {
    struct cvm_arena *arena;
    const char *id;
};

static enum cvm_status copy_id(void *state, const struct cvm_db_value *columns, size_t column_count,
                               struct cvm_error *err)
{
    struct id_copy *copy = state;
    (void)column_count;
    if (!cvm_db_copy_string(copy->arena, &columns[0], &copy->id)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a customer id");
    }
    return CVM_OK;
}

enum cvm_status cvm_customer_id(struct cvm_store *store, struct cvm_arena *arena, uint64_t key,
                                const char **out_customer_id, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct id_copy copy = {.arena = arena};
    struct cvm_db_value param = cvm_db_int((int64_t)key);
    enum cvm_status status =
        cvm_db_query(db, cvm_db_sql(db, CVM_SQL_CUSTOMER_ID), &param, 1, copy_id, &copy, err);
    if (status == CVM_OK && copy.id == NULL) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no customer with key %016llx",
                        (unsigned long long)key);
    }
    if (status == CVM_OK) {
        *out_customer_id = copy.id;
    }
    return status;
}

enum cvm_status cvm_customer_count(struct cvm_store *store, int64_t *out_count,
                                   struct cvm_error *err)
{
    return cvm_db_get_int(cvm_store_db(store), CVM_SQL_CUSTOMER_COUNT, NULL, 0, out_count, err);
}

struct listing {
    cvm_customer_fn on_customer;
    void *state;
};

static enum cvm_status list_customer(void *state, const struct cvm_db_value *columns,
                                     size_t column_count, struct cvm_error *err)
{
    struct listing *listing = state;
    (void)column_count;
    return listing->on_customer(listing->state, (uint64_t)columns[0].integer,
                                cvm_db_string(&columns[1]), err);
}

enum cvm_status cvm_customer_list(struct cvm_store *store, uint64_t after_key, int64_t count_max,
                                  cvm_customer_fn on_customer, void *state, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct listing listing = {.on_customer = on_customer, .state = state};
    struct cvm_db_value params[] = {cvm_db_int((int64_t)after_key), cvm_db_int(count_max)};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_CUSTOMER_LIST), params, CVM_DB_COUNT(params),
                        list_customer, &listing, err);
}

/* ---- batches and sources ---- */

enum cvm_status cvm_batch_last(struct cvm_store *store, int64_t *out_batch, struct cvm_error *err)
{
    return cvm_db_get_int(cvm_store_db(store), CVM_SQL_BATCH_LAST, NULL, 0, out_batch, err);
}

struct days {
    int32_t first;
    int32_t last;
};

static enum cvm_status read_days(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct days *days = state;
    (void)column_count;
    (void)err;
    if (columns[0].type == CVM_DB_INT && columns[1].type == CVM_DB_INT) {
        days->first = (int32_t)columns[0].integer;
        days->last = (int32_t)columns[1].integer;
    }
    return CVM_OK;
}

enum cvm_status cvm_event_days(struct cvm_store *store, int32_t *out_first_day,
                               int32_t *out_last_day, struct cvm_error *err)
{
    return cvm_event_days_until(store, INT64_MAX, out_first_day, out_last_day, err);
}

enum cvm_status cvm_event_days_until(struct cvm_store *store, int64_t last_batch,
                                     int32_t *out_first_day, int32_t *out_last_day,
                                     struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_int(last_batch);
    struct cvm_db *db = cvm_store_db(store);
    struct days days = {CVM_DAY_NONE, CVM_DAY_NONE};
    enum cvm_status status =
        cvm_db_query(db, cvm_db_sql(db, CVM_SQL_BATCH_DAYS), &param, 1, read_days, &days, err);
    if (status == CVM_OK) {
        *out_first_day = days.first;
        *out_last_day = days.last;
    }
    return status;
}

struct numbering {
    const struct cvm_catalogue *catalogue;
    int64_t numbers[CVM_SOURCES_MAX];
    int64_t highest;
};

static enum cvm_status read_source(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct numbering *numbering = state;
    (void)column_count;
    (void)err;
    int source = cvm_catalogue_source(numbering->catalogue, cvm_db_string(&columns[1]));
    if (source != CVM_INDEX_NONE) {
        numbering->numbers[source] = columns[0].integer;
    }
    if (columns[0].integer > numbering->highest) {
        numbering->highest = columns[0].integer;
    }
    return CVM_OK;
}

enum cvm_status cvm_source_numbers(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                                   bool may_add, int64_t numbers[CVM_SOURCES_MAX],
                                   struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(!may_add || cvm_db_in_transaction(db));
    struct numbering numbering = {.catalogue = catalogue};
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_SOURCE_LIST), NULL, 0,
                                          read_source, &numbering, err);
    for (size_t i = 0; may_add && status == CVM_OK && i < catalogue->source_count; i++) {
        if (numbering.numbers[i] == 0) {
            numbering.numbers[i] = ++numbering.highest;
            struct cvm_db_value params[] = {
                cvm_db_int(numbering.numbers[i]),
                cvm_db_text(catalogue->sources[i].name),
            };
            status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_SOURCE_ADD), params,
                                 CVM_DB_COUNT(params), NULL, err);
        }
    }
    if (status == CVM_OK) {
        memcpy(numbers, numbering.numbers, catalogue->source_count * sizeof(numbers[0]));
    }
    return status;
}

/* ---- consent ---- */

static enum cvm_status read_consent(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    struct cvm_consent *consent = state;
    (void)column_count;
    (void)err;
    consent->recorded = (uint32_t)columns[0].integer;
    consent->granted = (uint32_t)columns[1].integer;
    consent->updated_day = (int32_t)columns[2].integer;
    consent->quiet_start_min = (int16_t)columns[3].integer;
    consent->quiet_end_min = (int16_t)columns[4].integer;
    consent->preferred_time = (uint8_t)columns[5].integer;
    consent->has_record = true;
    (void)snprintf(consent->language, sizeof(consent->language), "%s", cvm_db_string(&columns[6]));
    return CVM_OK;
}

enum cvm_status cvm_consent_of(struct cvm_store *store, uint64_t key, int64_t last_batch,
                               struct cvm_consent *out_consent, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_consent consent;
    cvm_consent_init(&consent);
    struct cvm_db_value params[] = {cvm_db_int((int64_t)key), cvm_db_int(last_batch)};
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_CONSENT_OF), params,
                                          CVM_DB_COUNT(params), read_consent, &consent, err);
    if (status == CVM_OK) {
        *out_consent = consent;
    }
    return status;
}
