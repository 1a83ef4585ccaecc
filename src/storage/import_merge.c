#include "storage/import_merge.h"

#include <stdlib.h>

#include "base/date.h"
#include "storage/db_sql.h"
#include "storage/vault.h"

#define SLAB_COUNT  5
#define COMMIT_ROWS 200000

/* Gathering, inserting and packing at once, slabs going round. */
struct merging {
    const struct cvm_import_merge *merge;
    struct cvm_import_slab *slabs[SLAB_COUNT];
    struct cvm_queue *free_slabs;
    struct cvm_queue *ready_slabs;
    struct cvm_thread *gatherer;
    struct cvm_import_packer *packer;
    int64_t records_done;
    int64_t rows_left; /* until the next commit */
    struct cvm_import_seconds seconds;
};

/* ---- rows ---- */

struct row_state {
    const struct cvm_import_view *view;
    struct cvm_import_slab *slab;
    size_t next;
};

static enum cvm_status next_customer(void *state, struct cvm_db_value *params, size_t param_count,
                                     bool *out_has_row, struct cvm_error *err)
{
    struct row_state *s = state;
    const struct cvm_import_customer *customers =
        CVM_COLUMN_DATA(&s->slab->customers, struct cvm_import_customer);
    (void)param_count;
    (void)err;
    while (s->next < s->slab->customers.count && !customers[s->next].is_new) {
        s->next++;
    }
    *out_has_row = s->next < s->slab->customers.count;
    if (*out_has_row) {
        const struct cvm_import_customer *customer = &customers[s->next++];
        params[0] = cvm_db_int((int64_t)customer->key);
        params[1] = cvm_db_text(customer->id);
        params[2] = cvm_db_int(s->view->batch);
    }
    return CVM_OK;
}

/* The private part and the id of its key: params[0] and params[1]. */
static enum cvm_status put_private(const struct row_state *s,
                                   const struct cvm_import_insert *insert, enum cvm_vault_kind kind,
                                   struct cvm_db_value *params, struct cvm_error *err)
{
    const struct cvm_import_record *record = insert->item->record;
    struct cvm_slice text = {cvm_import_record_private(record), record->private_length};
    struct cvm_slice blob = text;
    bool is_sealed = s->view->vault != NULL && text.length > 0;
    if (is_sealed) {
        struct cvm_vault_place place = {
            .kind = kind,
            .customer_key = insert->key,
            .source = insert->source,
            .identity = kind == CVM_VAULT_EVENT ? insert->item->identity : 0,
            .version = insert->item->version,
        };
        enum cvm_status status = cvm_vault_seal(s->view->vault, &place, text, &blob, err);
        if (status != CVM_OK) {
            return cvm_error_context(err, status, "customer '%s'", cvm_import_record_id(record));
        }
    }
    params[0] = text.length == 0 ? cvm_db_null() : cvm_db_blob(blob.data, blob.length);
    params[1] = cvm_db_int(is_sealed ? CVM_KEY_CUSTOMER : CVM_KEY_NONE);
    return CVM_OK;
}

static enum cvm_status next_event(void *state, struct cvm_db_value *params, size_t param_count,
                                  bool *out_has_row, struct cvm_error *err)
{
    struct row_state *s = state;
    (void)param_count;
    *out_has_row = s->next < s->slab->inserts.count;
    if (*out_has_row) {
        const struct cvm_import_insert *insert =
            &CVM_COLUMN_DATA(&s->slab->inserts, struct cvm_import_insert)[s->next++];
        const struct cvm_import_record *record = insert->item->record;
        params[0] = cvm_db_int((int64_t)insert->key);
        params[1] = cvm_db_int(insert->day);
        params[2] = cvm_db_int(insert->source);
        params[3] = cvm_db_int((int64_t)insert->item->identity);
        params[4] = cvm_db_int(insert->item->version);
        params[5] = cvm_db_int(insert->day == CVM_DAY_NONE ? 0 : record->second);
        params[6] = cvm_db_int(s->view->batch);
        params[7] = cvm_db_int((int64_t)record->content);
        params[8] = cvm_db_text_n(cvm_import_record_attributes(record), record->attributes_length);
        return put_private(s, insert, CVM_VAULT_EVENT, &params[9], err);
    }
    return CVM_OK;
}

static enum cvm_status next_consent(void *state, struct cvm_db_value *params, size_t param_count,
                                    bool *out_has_row, struct cvm_error *err)
{
    struct row_state *s = state;
    (void)param_count;
    *out_has_row = s->next < s->slab->consent_inserts.count;
    if (*out_has_row) {
        const struct cvm_import_insert *insert =
            &CVM_COLUMN_DATA(&s->slab->consent_inserts, struct cvm_import_insert)[s->next++];
        const struct cvm_import_record *record = insert->item->record;
        const struct cvm_consent *consent = cvm_import_record_consent(record);
        params[0] = cvm_db_int((int64_t)insert->key);
        params[1] = cvm_db_int(insert->item->version);
        params[2] = cvm_db_int(insert->source);
        params[3] = cvm_db_int(s->view->batch);
        params[4] = cvm_db_int((int64_t)record->content);
        params[5] = cvm_db_int(consent->recorded);
        params[6] = cvm_db_int(consent->granted);
        params[7] = cvm_db_int(consent->updated_day);
        params[8] = cvm_db_int(consent->quiet_start_min);
        params[9] = cvm_db_int(consent->quiet_end_min);
        params[10] = cvm_db_int(consent->preferred_time);
        params[11] = cvm_db_text(consent->language);
        return put_private(s, insert, CVM_VAULT_CONSENT, &params[12], err);
    }
    return CVM_OK;
}

static enum cvm_status load(struct cvm_import_view *view, struct cvm_import_slab *slab,
                            enum cvm_sql sql, size_t param_count, cvm_db_next_fn next_row,
                            struct cvm_error *err)
{
    struct row_state state = {.view = view, .slab = slab};
    return cvm_db_bulk_load(view->db, cvm_db_sql(view->db, sql), param_count, next_row, &state,
                            NULL, err);
}

/* Keys are there before the rows that need them: a key too many does no harm. */
static enum cvm_status begin(struct cvm_import_view *view, struct cvm_error *err)
{
    enum cvm_status status =
        view->vault == NULL ? CVM_OK : cvm_db_begin(cvm_vault_db(view->vault), err);
    return status == CVM_OK ? cvm_db_begin(view->db, err) : status;
}

static enum cvm_status commit(struct cvm_import_view *view, struct cvm_error *err)
{
    enum cvm_status status =
        view->vault == NULL ? CVM_OK : cvm_db_commit(cvm_vault_db(view->vault), err);
    return status == CVM_OK ? cvm_db_commit(view->db, err) : status;
}

static enum cvm_status insert_slab(struct merging *m, struct cvm_import_slab *slab,
                                   struct cvm_error *err)
{
    struct cvm_import_view *view = m->merge->view;
    enum cvm_status status = load(view, slab, CVM_SQL_IMPORT_CUSTOMER_ADD, 3, next_customer, err);
    if (status == CVM_OK && slab->inserts.count > 0) {
        status = load(view, slab, CVM_SQL_IMPORT_EVENT_ADD, 11, next_event, err);
    }
    if (status == CVM_OK && slab->consent_inserts.count > 0) {
        status = load(view, slab, CVM_SQL_IMPORT_CONSENT_ADD, 14, next_consent, err);
    }
    m->rows_left -= (int64_t)(slab->inserts.count + slab->consent_inserts.count);
    if (status == CVM_OK && m->rows_left <= 0) {
        m->rows_left = COMMIT_ROWS;
        status = commit(view, err);
        status = status == CVM_OK ? begin(view, err) : status;
    }
    return status;
}

/* ---- threads ---- */

static enum cvm_status gather(void *state, struct cvm_error *err)
{
    struct merging *m = state;
    void *taken = NULL;
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && cvm_queue_pop(m->free_slabs, &taken)) {
        struct cvm_import_slab *slab = taken;
        double start = cvm_context_seconds(m->merge->context);
        status = cvm_import_slab_fill(slab, m->merge->gathering, err);
        m->seconds.sort += cvm_context_seconds(m->merge->context) - start;
        if (status != CVM_OK || slab->record_count == 0 || !cvm_queue_push(m->ready_slabs, slab)) {
            break;
        }
    }
    cvm_queue_close(m->ready_slabs);
    return status;
}

static enum cvm_status store_slab(struct merging *m, struct cvm_import_slab *slab,
                                  struct cvm_error *err)
{
    struct cvm_import_view *view = m->merge->view;
    enum cvm_status status = cvm_context_check(m->merge->context, err);
    if (status == CVM_OK) {
        status = cvm_import_load(view, slab, err);
    }
    if (status == CVM_OK) {
        status = cvm_import_resolve(view, slab, err);
    }
    return status == CVM_OK ? insert_slab(m, slab, err) : status;
}

static void report_progress(struct merging *m, const struct cvm_import_slab *slab)
{
    const struct cvm_import_options *options = m->merge->options;
    m->records_done += slab->record_count;
    if (options->on_progress != NULL) {
        options->on_progress(options->progress_state, "store",
                             (double)m->records_done / (double)m->merge->record_count,
                             m->records_done);
    }
}

/* The caller's thread: the only one that touches the main database. */
static enum cvm_status store_all(struct merging *m, struct cvm_error *err)
{
    struct cvm_import_view *view = m->merge->view;
    void *slab = NULL;
    bool is_pushed = true;
    enum cvm_status status = begin(view, err);
    while (status == CVM_OK && is_pushed && cvm_queue_pop(m->ready_slabs, &slab)) {
        double start = cvm_context_seconds(m->merge->context);
        status = store_slab(m, slab, err);
        m->seconds.insert += cvm_context_seconds(m->merge->context) - start;
        if (status == CVM_OK) {
            report_progress(m, slab);
            is_pushed = cvm_import_packer_push(m->packer, slab);
        }
    }
    if (status == CVM_OK) {
        status = commit(view, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(view->db);
        if (view->vault != NULL) {
            cvm_vault_rollback(view->vault);
        }
    }
    /* Whoever waits for a slab goes home. */
    cvm_queue_close(m->ready_slabs);
    cvm_queue_close(m->free_slabs);
    return status;
}

static enum cvm_status start(struct merging *m, struct cvm_error *err)
{
    m->free_slabs = cvm_queue_create(SLAB_COUNT);
    m->ready_slabs = cvm_queue_create(SLAB_COUNT);
    bool is_good = m->free_slabs != NULL && m->ready_slabs != NULL;
    for (size_t s = 0; is_good && s < SLAB_COUNT; s++) {
        m->slabs[s] = cvm_import_slab_create();
        is_good = m->slabs[s] != NULL && cvm_queue_push(m->free_slabs, m->slabs[s]);
    }
    if (!is_good) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to merge records");
    }
    enum cvm_status status = cvm_import_packer_start(
        m->merge->journeys, m->merge->plan, m->free_slabs, m->merge->context, &m->packer, err);
    return status == CVM_OK ? cvm_thread_start(gather, m, &m->gatherer, err) : status;
}

enum cvm_status cvm_import_merge_run(const struct cvm_import_merge *merge, struct cvm_error *err)
{
    struct merging m = {.merge = merge, .rows_left = COMMIT_ROWS};
    struct cvm_error gather_error;
    struct cvm_error pack_error;
    enum cvm_status status = start(&m, err);
    if (status == CVM_OK) {
        status = store_all(&m, err);
    }
    if (m.free_slabs != NULL) {
        cvm_queue_close(m.free_slabs);
    }
    enum cvm_status gathered = cvm_thread_join(m.gatherer, &gather_error);
    enum cvm_status packed = cvm_import_packer_finish(m.packer, &m.seconds.pack, &pack_error);
    if (status == CVM_OK) {
        const struct cvm_error *error = gathered != CVM_OK ? &gather_error : &pack_error;
        status = gathered != CVM_OK ? gathered : packed;
        if (status != CVM_OK && err != NULL) {
            *err = *error;
        }
    }
    for (size_t s = 0; s < SLAB_COUNT; s++) {
        cvm_import_slab_destroy(m.slabs[s]);
    }
    cvm_queue_destroy(m.free_slabs);
    cvm_queue_destroy(m.ready_slabs);
    *merge->out_seconds = m.seconds;
    return status;
}
