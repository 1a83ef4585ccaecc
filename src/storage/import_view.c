/* import_view.c - reading the store for an import: batches, sources, and the rows of a slab's
 * customers. */
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "storage/db_sql.h"
#include "storage/import_report.h"
#include "storage/import_resolve.h"
#include "storage/vault.h"

/* Reading a range of keys is worth it while it brings at most so many times the wanted customers.
 */
#define RANGE_WASTE 4

/* ---- batches and sources ---- */

static enum cvm_status on_batch(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct cvm_import_view *view = state;
    int64_t batch = columns[0].integer;
    const char *word = columns[1].bytes.data;
    (void)column_count;
    if (batch < 0 || batch > INT32_MAX) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "the store has a batch %lld", (long long)batch);
    }
    if (batch >= view->batch_count) {
        size_t count = (size_t)batch * 2 + 16;
        uint8_t *grown = realloc(view->batch_states, count);
        if (grown == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu batches", count);
        }
        memset(grown + view->batch_count, CVM_IMPORT_ABSENT, count - (size_t)view->batch_count);
        view->batch_states = grown;
        view->batch_count = (int64_t)count;
    }
    if (strcmp(word, "closed") == 0) {
        view->batch_states[batch] = CVM_IMPORT_VISIBLE;
        view->last_closed = batch;
    } else if (strcmp(word, "retracted") == 0) {
        view->batch_states[batch] = CVM_IMPORT_RETRACTED;
    }
    view->batch = batch; /* the highest so far */
    return CVM_OK;
}

static enum cvm_status on_source(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    struct cvm_import_view *view = state;
    (void)column_count;
    (void)err;
    int source = cvm_catalogue_source(view->catalogue, columns[1].bytes.data);
    if (source != CVM_INDEX_NONE) {
        view->numbers[source] = (int32_t)columns[0].integer;
    }
    return CVM_OK;
}

static enum cvm_status on_count(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    *(int64_t *)state = columns[0].integer;
    return CVM_OK;
}

enum cvm_status cvm_import_highest_source(struct cvm_db *db, int32_t *out_highest,
                                          struct cvm_error *err)
{
    int64_t highest = 0;
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_IMPORT_SOURCE_HIGHEST), NULL,
                                          0, on_count, &highest, err);
    if (status == CVM_OK) {
        *out_highest = (int32_t)highest;
    }
    return status;
}

enum cvm_status cvm_import_view_open(struct cvm_import_view *view, struct cvm_store *store,
                                     const struct cvm_catalogue *catalogue, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    *view = (struct cvm_import_view){.store = store,
                                     .db = db,
                                     .catalogue = catalogue,
                                     .key_bits = 63,
                                     .first_day = CVM_DAY_NONE,
                                     .last_day = CVM_DAY_NONE};
    for (size_t s = 0; s < CVM_SOURCES_MAX; s++) {
        view->numbers[s] = -1;
    }
    enum cvm_status status =
        cvm_store_seals(store) ? cvm_store_vault(store, &view->vault, err) : CVM_OK;
    if (status == CVM_OK) {
        status =
            cvm_db_query(db, cvm_db_sql(db, CVM_SQL_IMPORT_BATCHES), NULL, 0, on_batch, view, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_db_query(db, cvm_db_sql(db, CVM_SQL_IMPORT_SOURCES), NULL, 0, on_source, view, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_IMPORT_CUSTOMER_COUNT), NULL, 0, on_count,
                              &view->customers_before, err);
    }
    if (status != CVM_OK) {
        cvm_import_view_close(view);
    }
    return status;
}

void cvm_import_view_close(struct cvm_import_view *view)
{
    free(view->batch_states);
    view->batch_states = NULL;
    view->batch_count = 0;
}

enum cvm_import_batch_state cvm_import_batch_state(const struct cvm_import_view *view,
                                                   int64_t batch)
{
    return batch < 0 || batch >= view->batch_count
               ? CVM_IMPORT_ABSENT
               : (enum cvm_import_batch_state)view->batch_states[batch];
}

int cvm_import_source_of(const struct cvm_import_view *view, int64_t number)
{
    for (size_t s = 0; s < view->catalogue->source_count; s++) {
        if (view->numbers[s] == number) {
            return (int)s;
        }
    }
    return CVM_INDEX_NONE;
}

void cvm_import_read_consent(const struct cvm_db_value *columns,
                             struct cvm_import_old_consent *out_consent)
{
    struct cvm_import_old_consent old = {
        .key = (uint64_t)columns[0].integer,
        .version = columns[1].integer,
        .source = (int32_t)columns[2].integer,
        .content = (uint64_t)columns[4].integer,
    };
    cvm_consent_init(&old.consent);
    old.consent.has_record = true;
    old.consent.recorded = (uint32_t)columns[5].integer;
    old.consent.granted = (uint32_t)columns[6].integer;
    old.consent.updated_day = (int32_t)columns[7].integer;
    old.consent.quiet_start_min = (int16_t)columns[8].integer;
    old.consent.quiet_end_min = (int16_t)columns[9].integer;
    old.consent.preferred_time = (uint8_t)columns[10].integer;
    size_t length = columns[11].bytes.length;
    if (length > 0 && length < sizeof(old.consent.language)) {
        memcpy(old.consent.language, columns[11].bytes.data, length);
    }
    *out_consent = old;
}

/* ---- rows of a slab's customers ---- */

struct loading {
    struct cvm_import_view *view;
    struct cvm_import_slab *slab;
    struct cvm_column found; /* struct found: customer rows of the range */
    uint64_t highest_key;    /* given in this slab so far */
};

struct found {
    uint64_t key;
    const char *id; /* in the slab's arena */
    int64_t batch;
};

static enum cvm_status add_found(struct loading *l, const struct cvm_db_value *columns,
                                 struct cvm_error *err)
{
    void *room = NULL;
    enum cvm_status status = cvm_column_extend(&l->found, 1, &room, err);
    if (status != CVM_OK) {
        return status;
    }
    char *id = cvm_arena_copy(l->slab->arena, columns[1].bytes.data, columns[1].bytes.length);
    if (id == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the customers of a range");
    }
    *(struct found *)room = (struct found){(uint64_t)columns[0].integer, id, columns[2].integer};
    return CVM_OK;
}

static enum cvm_status on_customer(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    return add_found(state, columns, err);
}

static enum cvm_status on_event(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct loading *l = state;
    void *room = NULL;
    (void)column_count;
    enum cvm_import_batch_state batch = cvm_import_batch_state(l->view, columns[5].integer);
    if (batch == CVM_IMPORT_ABSENT) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_column_extend(&l->slab->existing, 1, &room, err);
    if (status == CVM_OK) {
        *(struct cvm_import_existing *)room = (struct cvm_import_existing){
            .key = (uint64_t)columns[0].integer,
            .day = (int32_t)columns[1].integer,
            .source = (int32_t)columns[2].integer,
            .identity = (uint64_t)columns[3].integer,
            .version = columns[4].integer,
            .content = (uint64_t)columns[6].integer,
            .is_visible = batch == CVM_IMPORT_VISIBLE,
        };
    }
    return status;
}

static enum cvm_status on_consent(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct loading *l = state;
    void *room = NULL;
    (void)column_count;
    enum cvm_import_batch_state batch = cvm_import_batch_state(l->view, columns[3].integer);
    if (batch == CVM_IMPORT_ABSENT) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_column_extend(&l->slab->consents, 1, &room, err);
    if (status == CVM_OK) {
        struct cvm_import_old_consent *old = room;
        cvm_import_read_consent(columns, old);
        old->is_visible = batch == CVM_IMPORT_VISIBLE;
    }
    return status;
}

static enum cvm_status query_between(struct loading *l, enum cvm_sql sql, uint64_t first,
                                     uint64_t last, cvm_db_row_fn on_row, struct cvm_error *err)
{
    struct cvm_db *db = l->view->db;
    struct cvm_db_value params[] = {cvm_db_int((int64_t)first), cvm_db_int((int64_t)last)};
    return cvm_db_query(db, cvm_db_sql(db, sql), params, 2, on_row, l, err);
}

/* ---- keys ---- */

/* The holder of a key in the store: of the range that was read, or by a query of its own. */
static enum cvm_status find_holder(struct loading *l, bool has_range, uint64_t key,
                                   struct found *out_found, struct cvm_error *err)
{
    const struct cvm_import_customer *customers =
        CVM_COLUMN_DATA(&l->slab->customers, struct cvm_import_customer);
    uint64_t last = customers[l->slab->customers.count - 1].base_key;
    *out_found = (struct found){0};
    if (l->view->customers_before == 0 && key > l->view->highest_key) {
        return CVM_OK;
    }
    if (!has_range || key > last) {
        size_t before = l->found.count;
        enum cvm_status status =
            query_between(l, CVM_SQL_IMPORT_CUSTOMERS_BETWEEN, key, key, on_customer, err);
        if (status == CVM_OK && l->found.count > before) {
            *out_found = CVM_COLUMN_DATA(&l->found, struct found)[before];
        }
        l->found.count = before;
        return status;
    }
    const struct found *found = CVM_COLUMN_DATA(&l->found, struct found);
    size_t low = 0;
    size_t high = l->found.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (found[middle].key < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < l->found.count && found[low].key == key) {
        *out_found = found[low];
    }
    return CVM_OK;
}

/* Keys that earlier customers of this slab got and that are not in the store yet. */
static bool is_taken(const struct loading *l, size_t count, uint64_t key)
{
    const struct cvm_import_customer *customers =
        CVM_COLUMN_DATA(&l->slab->customers, struct cvm_import_customer);
    if (key > l->highest_key) { /* as ever, unless keys collide: bases ascend */
        return false;
    }
    for (size_t c = count; c-- > 0;) {
        if (customers[c].key == key) {
            return true;
        }
    }
    return false;
}

/* The id's own key, or the next free one from its hash on. */
static enum cvm_status give_key(struct loading *l, bool has_range, size_t number,
                                struct cvm_error *err)
{
    struct cvm_import_customer *customers =
        CVM_COLUMN_DATA(&l->slab->customers, struct cvm_import_customer);
    struct cvm_import_customer *customer = &customers[number];
    for (uint64_t key = customer->base_key; key <= INT64_MAX; key++) {
        struct found holder;
        if (is_taken(l, number, key)) {
            continue;
        }
        enum cvm_status status = find_holder(l, has_range, key, &holder, err);
        if (status != CVM_OK) {
            return status;
        }
        /* A pseudonym (batch 0) is nobody's id. */
        if (holder.id == NULL || (holder.batch != 0 && strcmp(holder.id, customer->id) == 0)) {
            customer->key = key;
            /* The row of an abandoned import is given this batch. */
            customer->is_new = holder.id == NULL ||
                               cvm_import_batch_state(l->view, holder.batch) == CVM_IMPORT_ABSENT;
            customer->is_returning =
                !customer->is_new &&
                cvm_import_batch_state(l->view, holder.batch) == CVM_IMPORT_RETRACTED;
            l->highest_key = key > l->highest_key ? key : l->highest_key;
            if (key > l->view->highest_key) {
                l->view->highest_key = key;
            }
            return CVM_OK;
        }
    }
    return CVM_FAIL(err, CVM_E_LIMIT, "no key is left for customer '%s'", customer->id);
}

static enum cvm_status give_keys(struct loading *l, bool has_range, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t c = 0; status == CVM_OK && c < l->slab->customers.count; c++) {
        status = give_key(l, has_range, c, err);
    }
    return status;
}

/* ---- rows ---- */

static enum cvm_status load_rows(struct loading *l, uint64_t first, uint64_t last,
                                 struct cvm_error *err)
{
    enum cvm_status status =
        query_between(l, CVM_SQL_IMPORT_EVENTS_BETWEEN, first, last, on_event, err);
    return status == CVM_OK
               ? query_between(l, CVM_SQL_IMPORT_CONSENTS_BETWEEN, first, last, on_consent, err)
               : status;
}

/* Point each customer to its part of the rows, which were read in key order. */
static void set_parts(struct cvm_import_slab *slab, struct cvm_import_customer *customer)
{
    const struct cvm_import_existing *rows =
        CVM_COLUMN_DATA(&slab->existing, struct cvm_import_existing);
    const struct cvm_import_old_consent *consents =
        CVM_COLUMN_DATA(&slab->consents, struct cvm_import_old_consent);
    size_t low = 0;
    size_t high = slab->existing.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (rows[middle].key < customer->key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    customer->first_existing = low;
    while (low < slab->existing.count && rows[low].key == customer->key) {
        low++;
    }
    customer->existing_count = low - customer->first_existing;
    low = 0;
    high = slab->consents.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (consents[middle].key < customer->key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    customer->first_consent = low;
    while (low < slab->consents.count && consents[low].key == customer->key) {
        low++;
    }
    customer->consent_count = low - customer->first_consent;
}

static enum cvm_status load_point(struct loading *l, struct cvm_import_customer *customer,
                                  struct cvm_error *err)
{
    struct cvm_import_slab *slab = l->slab;
    customer->first_existing = slab->existing.count;
    customer->first_consent = slab->consents.count;
    enum cvm_status status = load_rows(l, customer->key, customer->key, err);
    customer->existing_count = slab->existing.count - customer->first_existing;
    customer->consent_count = slab->consents.count - customer->first_consent;
    return status;
}

static enum cvm_status load_points(struct loading *l, struct cvm_error *err)
{
    struct cvm_import_slab *slab = l->slab;
    struct cvm_import_customer *customers =
        CVM_COLUMN_DATA(&slab->customers, struct cvm_import_customer);
    enum cvm_status status = CVM_OK;
    for (size_t c = 0; status == CVM_OK && c < slab->customers.count; c++) {
        if (!customers[c].is_new) {
            status = load_point(l, &customers[c], err);
        }
    }
    return status;
}

static enum cvm_status load_range(struct loading *l, uint64_t first, uint64_t last,
                                  struct cvm_error *err)
{
    struct cvm_import_slab *slab = l->slab;
    struct cvm_import_customer *customers =
        CVM_COLUMN_DATA(&slab->customers, struct cvm_import_customer);
    enum cvm_status status = load_rows(l, first, last, err);
    for (size_t c = 0; status == CVM_OK && c < slab->customers.count; c++) {
        if (customers[c].key <= last && !customers[c].is_new) {
            set_parts(slab, &customers[c]);
        }
    }
    /* Customers that a collision moved beyond the range. */
    for (size_t c = 0; status == CVM_OK && c < slab->customers.count; c++) {
        if (customers[c].key > last && !customers[c].is_new) {
            status = load_point(l, &customers[c], err);
        }
    }
    return status;
}

static bool is_range_cheap(const struct cvm_import_view *view, size_t wanted, uint64_t first,
                           uint64_t last)
{
    double span = (double)(last - first) / (double)(UINT64_C(1) << view->key_bits);
    return (double)view->customers_before * span <= (double)(wanted * RANGE_WASTE + 16);
}

enum cvm_status cvm_import_load(struct cvm_import_view *view, struct cvm_import_slab *slab,
                                struct cvm_error *err)
{
    struct loading l = {.view = view, .slab = slab};
    const struct cvm_import_customer *customers =
        CVM_COLUMN_DATA(&slab->customers, struct cvm_import_customer);
    size_t count = slab->customers.count;
    if (count == 0) {
        return CVM_OK;
    }
    uint64_t first = customers[0].base_key;
    uint64_t last = customers[count - 1].base_key;
    bool has_rows = view->customers_before > 0;
    bool has_range = has_rows && is_range_cheap(view, count, first, last);
    if (view->vault != NULL) {
        cvm_vault_read_ahead(view->vault, has_rows && !has_range ? 1 : SIZE_MAX);
    }
    enum cvm_status status = CVM_OK;
    cvm_column_init(&l.found, sizeof(struct found));
    if (has_range) {
        status = query_between(&l, CVM_SQL_IMPORT_CUSTOMERS_BETWEEN, first, last, on_customer, err);
    }
    if (status == CVM_OK) {
        status = give_keys(&l, has_range, err);
    }
    if (status == CVM_OK && has_rows) {
        status = has_range ? load_range(&l, first, last, err) : load_points(&l, err);
    }
    cvm_column_finish(&l.found);
    return status;
}
