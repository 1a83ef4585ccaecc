/* import_rebuild.c - packed journeys anew from the rows, customer by customer in key order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "storage/db_sql.h"
#include "storage/import_merge.h"
#include "storage/import_report.h"
#include "storage/private_text.h"

#define SLAB_COUNT     3
#define SLAB_CUSTOMERS 1024
#define SLAB_BYTES     ((size_t)8 << 20)
#define PLAN_BYTES_MAX ((size_t)64 << 20)

struct row {
    struct cvm_import_existing meta;
    int source; /* in the catalogue */
    int32_t second;
    struct cvm_slice attributes;
    struct cvm_slice private_text;
};

struct rebuilding {
    struct cvm_import_view view;
    struct cvm_db *journeys;
    const struct cvm_import_options *options;
    const struct cvm_context *context;
    struct cvm_arena *arena;
    const struct cvm_import_plan *plan;
    struct cvm_import_slab *slabs[SLAB_COUNT];
    struct cvm_queue *free_slabs;
    struct cvm_import_packer *packer;
    struct cvm_db_cursor *customers;
    struct cvm_db_cursor *events;
    struct cvm_db_cursor *consents;
    const struct cvm_db_value *event; /* current row; NULL at the end */
    const struct cvm_db_value *consent;
    struct cvm_column rows; /* of one customer */
    struct cvm_import_slab *slab;
    int64_t customers_done;
};

static enum cvm_status copy(struct rebuilding *r, const struct cvm_db_value *value,
                            struct cvm_slice *out, struct cvm_error *err)
{
    *out = (struct cvm_slice){0};
    if (value->type == CVM_DB_NULL || value->bytes.length == 0) {
        return CVM_OK;
    }
    out->data = cvm_arena_copy(r->slab->arena, value->bytes.data, value->bytes.length);
    out->length = value->bytes.length;
    return out->data == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the rows of a customer")
                             : CVM_OK;
}

static enum cvm_status add_row(struct rebuilding *r, struct cvm_error *err)
{
    const struct cvm_db_value *columns = r->event;
    void *room = NULL;
    int source = cvm_import_source_of(&r->view, columns[2].integer);
    if (source == CVM_INDEX_NONE ||
        cvm_import_batch_state(&r->view, columns[5].integer) != CVM_IMPORT_VISIBLE) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_column_extend(&r->rows, 1, &room, err);
    if (status != CVM_OK) {
        return status;
    }
    struct row *row = room;
    *row = (struct row){
        .meta = {.key = (uint64_t)columns[0].integer,
                 .day = (int32_t)columns[1].integer,
                 .source = (int32_t)columns[2].integer,
                 .identity = (uint64_t)columns[3].integer,
                 .version = columns[4].integer},
        .source = source,
        .second = (int32_t)columns[6].integer,
    };
    struct cvm_private_row stored = {
        .place = {CVM_VAULT_EVENT, row->meta.key, row->meta.source, row->meta.identity,
                  row->meta.version},
        .blob = &columns[8],
        .key_id = columns[9].integer,
    };
    status = copy(r, &columns[7], &row->attributes, err);
    return status == CVM_OK ? cvm_private_text_read(r->view.store, r->slab->arena, &stored,
                                                    &row->private_text, err)
                            : status;
}

/* By event, the version in force last. */
static int compare_versions(const void *a, const void *b)
{
    const struct cvm_import_existing *left = &((const struct row *)a)->meta;
    const struct cvm_import_existing *right = &((const struct row *)b)->meta;
    if (left->source != right->source) {
        return left->source < right->source ? -1 : 1;
    }
    if (left->identity != right->identity) {
        return left->identity < right->identity ? -1 : 1;
    }
    return (left->version > right->version) - (left->version < right->version);
}

static int compare_days(const void *a, const void *b)
{
    int32_t left = ((const struct row *)a)->meta.day;
    int32_t right = ((const struct row *)b)->meta.day;
    return left != right ? (left < right ? -1 : 1) : compare_versions(a, b);
}

static size_t keep_in_force(struct row *rows, size_t count)
{
    size_t kept = 0;
    if (count > 1) {
        qsort(rows, count, sizeof(*rows), compare_versions);
    }
    for (size_t i = 0; i < count; i++) {
        bool is_last = i + 1 == count || rows[i + 1].meta.source != rows[i].meta.source ||
                       rows[i + 1].meta.identity != rows[i].meta.identity;
        if (is_last) {
            rows[kept++] = rows[i];
        }
    }
    if (kept > 1) {
        qsort(rows, kept, sizeof(*rows), compare_days);
    }
    return kept;
}

static enum cvm_status add_body(struct rebuilding *r, const struct cvm_import_body *from,
                                const struct row *rows, size_t count, struct cvm_error *err)
{
    void *room = NULL;
    size_t first = r->slab->events.count;
    enum cvm_status status = cvm_column_extend(&r->slab->events, count, &room, err);
    struct cvm_import_pack_event *events = room;
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        events[i] = (struct cvm_import_pack_event){
            .identity = rows[i].meta.identity,
            .day = rows[i].meta.day,
            .second = rows[i].second,
            .source = rows[i].source,
            .attributes = rows[i].attributes,
            .private_text = rows[i].private_text,
        };
    }
    if (status == CVM_OK) {
        status = cvm_column_extend(&r->slab->bodies, 1, &room, err);
    }
    if (status == CVM_OK) {
        struct cvm_import_body body = *from;
        body.first_event = first;
        body.event_count = count;
        *(struct cvm_import_body *)room = body;
    }
    return status;
}

static enum cvm_status add_bodies(struct rebuilding *r, uint64_t key, const char *id,
                                  const struct cvm_consent *consent, struct cvm_error *err)
{
    struct row *rows = CVM_COLUMN_DATA(&r->rows, struct row);
    size_t count = keep_in_force(rows, r->rows.count);
    size_t begin = 0;
    while (begin < count && rows[begin].meta.day == CVM_DAY_NONE) {
        begin++;
    }
    struct cvm_import_body profile = {
        .key = key, .period = CVM_PERIOD_PROFILE, .customer_id = id, .consent = consent};
    enum cvm_status status = add_body(r, &profile, rows, begin, err);
    while (status == CVM_OK && begin < count) {
        struct cvm_import_body body = {.key = key,
                                       .period = cvm_packed_period(rows[begin].meta.day)};
        size_t end = begin + 1;
        while (end < count && cvm_packed_period(rows[end].meta.day) == body.period) {
            end++;
        }
        status = add_body(r, &body, rows + begin, end - begin, err);
        begin = end;
    }
    return status;
}

static enum cvm_status read_customer(struct rebuilding *r, const struct cvm_db_value *columns,
                                     struct cvm_error *err)
{
    uint64_t key = (uint64_t)columns[0].integer;
    bool is_visible = cvm_import_batch_state(&r->view, columns[2].integer) == CVM_IMPORT_VISIBLE;
    struct cvm_import_old_consent old;
    struct cvm_consent *consent = NULL;
    struct cvm_slice id = {0};
    enum cvm_status status = copy(r, &columns[1], &id, err);
    r->rows.count = 0;
    while (status == CVM_OK && r->event != NULL && (uint64_t)r->event[0].integer <= key) {
        if ((uint64_t)r->event[0].integer == key) {
            status = add_row(r, err);
        }
        status = status == CVM_OK ? cvm_db_cursor_next(r->events, &r->event, err) : status;
    }
    while (status == CVM_OK && r->consent != NULL && (uint64_t)r->consent[0].integer <= key) {
        bool counts = (uint64_t)r->consent[0].integer == key &&
                      cvm_import_batch_state(&r->view, r->consent[3].integer) == CVM_IMPORT_VISIBLE;
        if (counts) {
            cvm_import_read_consent(r->consent, &old);
            consent = consent == NULL ? CVM_NEW(r->slab->arena, struct cvm_consent) : consent;
            if (consent == NULL) {
                return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the consent of a customer");
            }
            *consent = old.consent;
        }
        status = cvm_db_cursor_next(r->consents, &r->consent, err);
    }
    bool is_there = is_visible || r->rows.count > 0 || consent != NULL;
    return status == CVM_OK && is_there && id.data != NULL
               ? add_bodies(r, key, id.data, consent, err)
               : status;
}

static enum cvm_status take_slab(struct rebuilding *r, struct cvm_error *err)
{
    void *taken = NULL;
    if (!cvm_queue_pop(r->free_slabs, &taken)) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "the journey file cannot be written");
    }
    r->slab = taken;
    r->slab->bodies.count = 0;
    r->slab->events.count = 0;
    cvm_arena_reset(r->slab->arena);
    return CVM_OK;
}

static bool hand_over(struct rebuilding *r)
{
    struct cvm_import_slab *slab = r->slab;
    r->slab = NULL;
    return cvm_import_packer_push(r->packer, slab);
}

static void report_progress(const struct rebuilding *r)
{
    if (r->options->on_progress != NULL && r->view.customers_before > 0) {
        r->options->on_progress(r->options->progress_state, "rebuild",
                                (double)r->customers_done / (double)r->view.customers_before,
                                r->customers_done);
    }
}

static enum cvm_status read_customers(struct rebuilding *r, struct cvm_error *err)
{
    const struct cvm_db_value *columns = NULL;
    bool is_pushed = true;
    size_t in_slab = 0;
    enum cvm_status status = cvm_db_cursor_next(r->events, &r->event, err);
    status = status == CVM_OK ? cvm_db_cursor_next(r->consents, &r->consent, err) : status;
    status = status == CVM_OK ? cvm_db_cursor_next(r->customers, &columns, err) : status;
    while (status == CVM_OK && is_pushed && columns != NULL) {
        if (r->slab == NULL) {
            in_slab = 0;
            status = cvm_context_check(r->context, err);
            status = status == CVM_OK ? take_slab(r, err) : status;
        }
        status = status == CVM_OK ? read_customer(r, columns, err) : status;
        status = status == CVM_OK ? cvm_db_cursor_next(r->customers, &columns, err) : status;
        r->customers_done++;
        in_slab++;
        bool is_full = status == CVM_OK && r->slab != NULL &&
                       (in_slab == SLAB_CUSTOMERS || columns == NULL ||
                        cvm_arena_used(r->slab->arena) > SLAB_BYTES);
        if (is_full) {
            is_pushed = hand_over(r);
            report_progress(r);
        }
    }
    return status;
}

static enum cvm_status open_cursors(struct rebuilding *r, struct cvm_error *err)
{
    struct cvm_db *db = r->view.db;
    enum cvm_status status =
        cvm_db_scan(db, cvm_db_sql(db, CVM_SQL_IMPORT_CUSTOMERS_ALL), NULL, 0, &r->customers, err);
    if (status == CVM_OK) {
        status =
            cvm_db_scan(db, cvm_db_sql(db, CVM_SQL_IMPORT_EVENTS_ALL), NULL, 0, &r->events, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_scan(db, cvm_db_sql(db, CVM_SQL_IMPORT_CONSENTS_ALL), NULL, 0, &r->consents,
                             err);
    }
    return status;
}

/* Nothing in the file counts until cvm_import_journeys_done(). */
static enum cvm_status clear_journeys(struct rebuilding *r, struct cvm_error *err)
{
    struct cvm_db *db = r->journeys;
    struct cvm_db_value params[] = {cvm_db_text("building"), cvm_db_text("0")};
    char number[24];
    int64_t changes = 0;
    enum cvm_status status =
        cvm_db_get_int(r->view.db, CVM_SQL_PURGE_CHANGES, NULL, 0, &changes, err);
    (void)snprintf(number, sizeof(number), "%lld", (long long)changes);
    struct cvm_db_value purges[] = {cvm_db_text("purges"), cvm_db_text(number)};
    if (status == CVM_OK) {
        status = cvm_db_begin(db, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_IMPORT_META_PUT), params, 2, NULL, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_IMPORT_META_PUT), purges, 2, NULL, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_IMPORT_PACKED_CLEAR), NULL, 0, NULL, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(db);
    }
    return status;
}

static enum cvm_status prepare(struct rebuilding *r, struct cvm_error *err)
{
    r->arena = cvm_arena_create(PLAN_BYTES_MAX);
    r->free_slabs = cvm_queue_create(SLAB_COUNT);
    bool is_good = r->arena != NULL && r->free_slabs != NULL;
    for (size_t s = 0; is_good && s < SLAB_COUNT; s++) {
        r->slabs[s] = cvm_import_slab_create();
        is_good = r->slabs[s] != NULL && cvm_queue_push(r->free_slabs, r->slabs[s]);
    }
    enum cvm_status status =
        is_good ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory to build journeys");
    if (status == CVM_OK) {
        status = cvm_import_plan_make(r->arena, r->view.catalogue, &r->plan, err);
    }
    if (status == CVM_OK) {
        status = clear_journeys(r, err);
    }
    return status == CVM_OK ? cvm_import_packer_start(r->journeys, r->plan, r->free_slabs,
                                                      r->context, &r->packer, err)
                            : status;
}

static void release(struct rebuilding *r)
{
    cvm_db_cursor_close(r->customers);
    cvm_db_cursor_close(r->events);
    cvm_db_cursor_close(r->consents);
    for (size_t s = 0; s < SLAB_COUNT; s++) {
        cvm_import_slab_destroy(r->slabs[s]);
    }
    cvm_queue_destroy(r->free_slabs);
    cvm_column_finish(&r->rows);
    cvm_arena_destroy(r->arena);
    cvm_import_view_close(&r->view);
}

/* Batches behind `last_batch` are not there yet. */
static void limit_view(struct cvm_import_view *view, int64_t last_batch)
{
    for (int64_t batch = last_batch + 1; batch < view->batch_count; batch++) {
        view->batch_states[batch] = CVM_IMPORT_ABSENT;
    }
    view->last_closed = view->last_closed > last_batch ? last_batch : view->last_closed;
}

enum cvm_status cvm_import_rebuild_at(struct cvm_store *store, struct cvm_db *journeys,
                                      int64_t last_batch, const struct cvm_import_rebuild *how,
                                      struct cvm_error *err)
{
    struct rebuilding r = {.journeys = journeys, .options = how->options, .context = how->context};
    struct cvm_error pack_error;
    cvm_column_init(&r.rows, sizeof(struct row));
    enum cvm_status status = cvm_import_view_open(&r.view, store, how->catalogue, err);
    if (status != CVM_OK) {
        return status;
    }
    limit_view(&r.view, last_batch);
    if (r.view.vault != NULL) {
        cvm_vault_read_ahead(r.view.vault, SIZE_MAX);
    }
    status = prepare(&r, err);
    if (status == CVM_OK) {
        status = open_cursors(&r, err);
    }
    if (status == CVM_OK) {
        status = read_customers(&r, err);
    }
    enum cvm_status packed = cvm_import_packer_finish(r.packer, NULL, &pack_error);
    if (packed != CVM_OK) { /* what stopped the reading is then only its consequence */
        status = packed;
        if (err != NULL) {
            *err = pack_error;
        }
    }
    int64_t last = r.view.last_closed;
    release(&r);
    return status == CVM_OK ? cvm_import_journeys_done(journeys, how->catalogue, last,
                                                       cvm_store_now_ms(store), err)
                            : status;
}

enum cvm_status cvm_import_rebuild(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                                   const struct cvm_import_options *options,
                                   const struct cvm_context *context, struct cvm_error *err)
{
    struct cvm_import_rebuild how = {
        .catalogue = catalogue, .options = options, .context = context};
    return cvm_import_rebuild_at(store, cvm_store_journeys(store), INT64_MAX - 1, &how, err);
}
